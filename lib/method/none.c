/*
 * none.c - dense f32, f16 or bf16, so that a whole model runs through one set of functions.
 *
 * Owns: the vtable of the method that changes nothing.
 * Must not know: codes.
 */
#include "registry.h"

#include <string.h>

/* Elements converted at a time between two half formats, on the stack. */
#define CONVERT_AT_ONCE 128

static void none_layout(const struct lqi_store *store, uint64_t bytes[LQI_PLANES])
{
  bytes[LQI_CODES] = store->shape.count * lqi_dtype_size(store->dtype);
}

static uint64_t none_units(const struct lqi_store *store)
{
  return store->shape.count;
}

static void none_encode(struct lqi_job *job, uint64_t first, uint64_t count)
{
  int32_t dtype = job->store->dtype;
  memcpy(lqi_element_mut(job->store->plane[LQI_CODES].data, dtype, first),
         lqi_element(job->source, dtype, first), (size_t)(count * lqi_dtype_size(dtype)));
}

static void none_decode(const struct lqi_store *store, const struct lqi_kernels *kern,
                        uint64_t first, uint64_t count, int32_t dtype, void *out, int stream)
{
  (void)stream;
  const void *in = lqi_element(store->plane[LQI_CODES].data, store->dtype, first);
  if (dtype == store->dtype) {
    memcpy(out, in, (size_t)(count * lqi_dtype_size(dtype)));
  } else if (dtype == LQ_F32) {
    kern->widen[lqi_float_index(store->dtype)](in, (size_t)count, out);
  } else if (store->dtype == LQ_F32) {
    kern->narrow[lqi_float_index(dtype)](in, (size_t)count, out);
  } else {
    for (uint64_t i = 0; i < count; i += CONVERT_AT_ONCE) {
      float v[CONVERT_AT_ONCE];
      size_t n = (size_t)lqi_min_u64(CONVERT_AT_ONCE, count - i);
      kern->widen[lqi_float_index(store->dtype)](lqi_element(in, store->dtype, i), n, v);
      kern->narrow[lqi_float_index(dtype)](v, n, lqi_element_mut(out, dtype, i));
    }
  }
}

static int none_strip(const struct lqi_store *store, const struct lqi_kernels *kern, uint64_t row,
                      uint64_t rows, float *grids, struct lqi_strip *out)
{
  (void)kern, (void)rows, (void)grids;
  uint64_t bytes = store->shape.cols * lqi_dtype_size(store->dtype);
  *out = (struct lqi_strip){
      .codes = (const uint8_t *)store->plane[LQI_CODES].data + row * bytes,
      .row_bytes = (size_t)bytes,
  };
  return LQI_FORM_F32 + (int)lqi_float_index(store->dtype);
}

const struct lqi_method lqi_method_none = {
    .id = LQ_NONE,
    .name = "none",
    .text = "f32, f16 or bf16 as they are",
    .layout = none_layout,
    .units = none_units,
    .encode = none_encode,
    .decode = none_decode,
    .strip = none_strip,
};
