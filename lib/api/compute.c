/*
 * compute.c - decoding.
 *
 * Owns: cutting such calls into tasks.
 * Must not know: any one method; an encoded tensor is decoded through its vtable.
 */
#include "handle.h"

/* Results above this size are written past the caches: whoever reads them next finds them in memory
 * either way. */
#define STREAM_BYTES (UINT64_C(8) << 20)

struct decode_tasks {
  const struct lqi_store *store;
  const struct lqi_kernels *kern;
  uint64_t first, count, per_task;
  int32_t dtype;
  int stream;
  void *out;
};

static void decode_task(void *arg, uint32_t index)
{
  const struct decode_tasks *t = arg;
  uint64_t at = index * t->per_task, n = lqi_min_u64(t->per_task, t->count - at);
  t->store->method->decode(t->store, t->kern, t->first + at, n, t->dtype,
                           lqi_element_mut(t->out, t->dtype, at), t->stream);
}

static lq_status decode_range(const lq_tensor *tensor, uint64_t first, uint64_t count,
                              int32_t dtype, void *out, size_t bytes, const lq_config *how)
{
  if (!lqi_is_float(dtype))
    return LQ_E_ARGUMENT;
  if (bytes != count * lqi_dtype_size(dtype))
    return LQ_E_SHAPE;
  if (count == 0)
    return LQ_OK;
  if (out == NULL || (uintptr_t)out % lqi_dtype_size(dtype) != 0)
    return LQ_E_ARGUMENT;
  const struct lqi_par par = lqi_par_of(how);
  const struct lqi_store *store = &tensor->store;
  /* Whole blocks a task, so that only the ends of the range meet partial ones. */
  uint64_t block = store->block_size != 0 ? store->block_size : 1;
  struct decode_tasks t = {
      .store = store,
      .kern = lqi_kernels(),
      .first = first,
      .count = count,
      .per_task = lqi_ceil_div(LQI_TASK_ELEMENTS, block) * block,
      .dtype = dtype,
      .stream = bytes > STREAM_BYTES,
      .out = out,
  };
  uint32_t tasks = lqi_task_count(count, &t.per_task);
  lqi_parallel(&par, tasks, decode_task, &t);
  return LQ_OK;
}

LQ_API lq_status lq_dequantize(const lq_tensor *tensor, int32_t dtype, void *out, size_t bytes,
                               const lq_config *how)
{
  if (tensor == NULL)
    return LQ_E_ARGUMENT;
  return decode_range(tensor, 0, tensor->store.shape.count, dtype, out, bytes, how);
}

LQ_API lq_status lq_dequantize_rows(const lq_tensor *tensor, uint64_t first_row, uint64_t rows,
                                    int32_t dtype, void *out, size_t bytes, const lq_config *how)
{
  if (tensor == NULL)
    return LQ_E_ARGUMENT;
  const struct lqi_shape *shape = &tensor->store.shape;
  if (first_row > shape->rows || rows > shape->rows - first_row)
    return LQ_E_SHAPE;
  return decode_range(tensor, first_row * shape->cols, rows * shape->cols, dtype, out, bytes, how);
}
