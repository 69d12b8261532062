/*
 * bitsandbytes.c - the tensors of a bitsandbytes module as transformers saves them.
 *
 * Owns: names, shapes and the quant_state text of 4-bit modules; SCB and weight_format of 8-bit
 * ones.
 * Must not know: files, module paths.
 */
#include "layout.h"

#include "../method/blockwise.h"
#include "../method/registry.h"

#include <string.h>

#define STATE_NF4 "weight.quant_state.bitsandbytes__nf4"
#define STATE_FP4 "weight.quant_state.bitsandbytes__fp4"

static int is_4bit(const struct lqi_store *store)
{
  return LQI_IS(store, NF4) || LQI_IS(store, FP4);
}

/* json.dumps of the reference's dictionary: its keys in its order, ", " and ": " between. */
static void bnb_describe(const struct lqi_store *store, struct lqi_text *t)
{
  lqi_text_clear(t);
  if (!is_4bit(store))
    return;
  lqi_text_add(t, "{\"quant_type\": \"");
  lqi_text_add(t, store->method->name);
  lqi_text_add(t, "\", \"blocksize\": ");
  lqi_text_add_u64(t, store->block_size);
  lqi_text_add(t, ", \"dtype\": \"");
  lqi_text_add(t, lqi_dtype_name(store->dtype));
  lqi_text_add(t, "\", \"shape\": ");
  lqi_text_add_shape(t, &store->shape);
  if (store->nested_block_size != 0) {
    lqi_text_add(t, ", \"nested_blocksize\": ");
    lqi_text_add_u64(t, store->nested_block_size);
    lqi_text_add(t, ", \"nested_dtype\": \"float32\", \"nested_offset\": ");
    lqi_text_add_double(t, store->nested_offset);
  }
  lqi_text_add(t, "}");
}

static uint32_t bnb_count(const struct lqi_store *store)
{
  if (store->method == &lqi_method_none)
    return 1;
  if (LQI_IS(store, INT8))
    return store->plane[LQI_OUTLIERS].bytes == 0 ? 3 : 0;
  if (!is_4bit(store) || !lqi_is_reference_block_size(store->block_size))
    return 0;
  return store->nested_block_size != 0 ? 6 : 4;
}

/* Planes of a 4-bit module. The code books are written out: the format does not assume them. */
static void bnb_plane_4bit(const struct lqi_store *store, const struct lqi_text *text, uint32_t i,
                           lq_plane *out)
{
  const struct lqi_span *p = store->plane;
  const void *book = p[LQI_CODEBOOK].bytes ? p[LQI_CODEBOOK].data : store->method->codec->value;
  const void *nested_book =
      p[LQI_NESTED_CODEBOOK].bytes ? p[LQI_NESTED_CODEBOOK].data : lqi_codec_dynamic.value;
  uint64_t n = p[LQI_SCALES].bytes;
  int nested = store->nested_block_size != 0;
  switch (i) {
  case 0:
    lqi_set_plane(out, "weight", LQ_U8, 2, p[LQI_CODES].bytes, 1, p[LQI_CODES].data,
                  p[LQI_CODES].bytes);
    break;
  case 1:
    lqi_set_plane(out, "weight.absmax", nested ? LQ_U8 : LQ_F32, 1, nested ? n : n / sizeof(float),
                  0, p[LQI_SCALES].data, n);
    break;
  case 2: lqi_set_plane(out, "weight.quant_map", LQ_F32, 1, 16, 0, book, 16 * sizeof(float)); break;
  case 3:
    lqi_set_plane(out, LQI_IS(store, NF4) ? STATE_NF4 : STATE_FP4, LQ_U8, 1, text->length, 0,
                  text->s, text->length);
    break;
  case 4:
    n = p[LQI_NESTED_SCALES].bytes;
    lqi_set_plane(out, "weight.nested_absmax", LQ_F32, 1, n / sizeof(float), 0,
                  p[LQI_NESTED_SCALES].data, n);
    break;
  default:
    lqi_set_plane(out, "weight.nested_quant_map", LQ_F32, 1, 256, 0, nested_book,
                  256 * sizeof(float));
    break;
  }
}

static void bnb_plane(const struct lqi_store *store, const struct lqi_text *text, uint32_t i,
                      lq_plane *out)
{
  static const uint8_t row_format = 0;
  const struct lqi_span *p = store->plane;
  if (is_4bit(store))
    bnb_plane_4bit(store, text, i, out);
  else if (store->method == &lqi_method_none)
    lqi_set_plane_shaped(out, "weight", store->dtype, store, &p[LQI_CODES]);
  else if (i == 0)
    lqi_set_plane_shaped(out, "weight", LQ_I8, store, &p[LQI_CODES]);
  else if (i == 1)
    lqi_set_plane(out, "SCB", LQ_F32, 1, p[LQI_SCALES].bytes / sizeof(float), 0, p[LQI_SCALES].data,
                  p[LQI_SCALES].bytes);
  else
    lqi_set_plane(out, "weight_format", LQ_U8, 0, 0, 0, &row_format, 1);
}

/* Takes a code book of `entries` values; the standard one is not kept, so that equal tensors have
 * equal planes. */
static lq_status take_book(const struct lqi_import *in, const char *name,
                           const struct lqi_block_codec *codec, struct lqi_span *out,
                           struct lqi_text *why)
{
  lq_status s = lqi_take_plane(in, name, LQ_F32, 0, out, why);
  if (s != LQ_OK)
    return s;
  if (out->bytes != codec->entries * sizeof(float))
    return lqi_fail(why, LQ_E_LAYOUT, name, " has the wrong number of entries");
  if (memcmp(out->data, codec->value, (size_t)out->bytes) == 0)
    *out = (struct lqi_span){NULL, 0};
  return LQ_OK;
}

static lq_status apply_state(const struct lqi_fields *f, struct lqi_store *out,
                             struct lqi_text *why)
{
  if (strcmp(f->method, out->method->name) != 0)
    return lqi_fail(why, LQ_E_LAYOUT, "quant_type is not the one in the plane's name: ", f->method);
  out->dtype = lqi_dtype_from_name(f->dtype);
  if (out->dtype == 0)
    return lqi_fail(why, LQ_E_LAYOUT, "unknown dtype in quant_state: ", f->dtype);
  if (f->block_size == 0 || f->block_size > UINT32_MAX || f->block_size % 8 != 0)
    return lqi_fail(why, LQ_E_LAYOUT, "blocksize in quant_state is out of range", NULL);
  out->block_size = (uint32_t)f->block_size;
  if (f->has_shape && lqi_shape_set(&out->shape, f->ndim, f->dims) != LQ_OK)
    return lqi_fail(why, LQ_E_LAYOUT, "shape in quant_state overflows", NULL);
  if (f->nested_block_size == 0)
    return LQ_OK;
  if (f->nested_block_size > UINT32_MAX || !f->has_nested_offset)
    return lqi_fail(why, LQ_E_LAYOUT, "nested fields in quant_state are incomplete or out of range",
                    NULL);
  if (f->nested_dtype[0] != '\0' && strcmp(f->nested_dtype, "float32") != 0)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "nested_dtype in quant_state: ", f->nested_dtype);
  out->nested_block_size = (uint32_t)f->nested_block_size;
  out->nested_offset = (float)f->nested_offset;
  return LQ_OK;
}

/* A module without a shape in its text (it may be null) has the caller's, or that of a vector: see
 * api/planes.c. */
static lq_status import_4bit(const struct lqi_import *in, const lq_plane *state,
                             struct lqi_store *out, struct lqi_text *why)
{
  struct lqi_fields fields;
  /* GCOVR_EXCL_START: builds without some methods, which tests/amalgamation.sh makes and tests */
  if (!LQI_HAS_BOOK4 || out->method == NULL)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "the method of the planes is not in this build", NULL);
  /* GCOVR_EXCL_STOP */
  if (state->dtype != LQ_U8)
    return lqi_fail(why, LQ_E_LAYOUT, state->name, " has the wrong dtype");
  const lq_plane *weight = lqi_find_plane(in, "weight");
  if (weight == NULL)
    return lqi_fail(why, LQ_E_LAYOUT, "weight is missing", NULL);
  lq_status s = lqi_fields_parse(state->data, state->bytes, &fields, why);
  if (s == LQ_OK)
    s = apply_state(&fields, out, why);
  if (s != LQ_OK)
    return s;
  /* quant_storage may be any dtype: the bytes are the same. */
  out->plane[LQI_CODES] = (struct lqi_span){(void *)(uintptr_t)weight->data, weight->bytes};
  s = lqi_take_plane(in, "weight.absmax", out->nested_block_size ? LQ_U8 : LQ_F32, 0,
                     &out->plane[LQI_SCALES], why);
  if (s == LQ_OK)
    s = take_book(in, "weight.quant_map", out->method->codec, &out->plane[LQI_CODEBOOK], why);
  if (s != LQ_OK || out->nested_block_size == 0)
    return s;
  s = lqi_take_plane(in, "weight.nested_absmax", LQ_F32, 0, &out->plane[LQI_NESTED_SCALES], why);
  if (s == LQ_OK)
    s = take_book(in, "weight.nested_quant_map", &lqi_codec_dynamic,
                  &out->plane[LQI_NESTED_CODEBOOK], why);
  return s;
}

/* Codes and shape from a plane that has the tensor's; the shape was checked (api/planes.c). */
static lq_status take_whole(const lq_plane *plane, struct lqi_store *out)
{
  out->plane[LQI_CODES] = (struct lqi_span){(void *)(uintptr_t)plane->data, plane->bytes};
  return lqi_shape_set(&out->shape, plane->ndim, plane->dims);
}

/* The dtype that the weights had is not stored with 8-bit modules; the reference restores to f16.
 */
static lq_status import_int8(const struct lqi_import *in, const lq_plane *weight,
                             struct lqi_store *out, struct lqi_text *why)
{
  struct lqi_span format;
  if (!LQI_HAS_INT8)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "the method of the planes is not in this build", NULL);
  out->method = lqi_method_by_id(LQ_INT8);
  out->dtype = LQ_F16;
  out->outliers_dropped = 1;
  lq_status s = lqi_take_plane(in, "SCB", LQ_F32, 0, &out->plane[LQI_SCALES], why);
  if (s == LQ_OK)
    s = lqi_take_plane(in, "weight_format", LQ_U8, 1, &format, why);
  if (s != LQ_OK)
    return s;
  if (format.bytes > 1)
    return lqi_fail(why, LQ_E_LAYOUT, "weight_format must be one byte", NULL);
  if (format.bytes == 1 && *(const uint8_t *)format.data != 0)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "weight_format is not row-major: only 0 can be read",
                    NULL);
  return take_whole(weight, out);
}

static lq_status bnb_import(const struct lqi_import *in, struct lqi_store *out,
                            struct lqi_text *why)
{
  *out = (struct lqi_store){0};
  const lq_plane *nf4 = lqi_find_plane(in, STATE_NF4), *fp4 = lqi_find_plane(in, STATE_FP4);
  const lq_plane *weight = lqi_find_plane(in, "weight");
  if (nf4 != NULL && fp4 != NULL)
    return lqi_fail(why, LQ_E_LAYOUT, "two quant_state planes", NULL);
  if (nf4 != NULL || fp4 != NULL) {
    out->method = lqi_method_by_id(nf4 != NULL ? LQ_NF4 : LQ_FP4);
    return import_4bit(in, nf4 != NULL ? nf4 : fp4, out, why);
  }
  if (weight == NULL)
    return lqi_fail(why, LQ_E_LAYOUT, "weight is missing", NULL);
  if (weight->dtype == LQ_I8)
    return import_int8(in, weight, out, why);
  if (!lqi_is_float(weight->dtype))
    return lqi_fail(why, LQ_E_LAYOUT, "weight is neither float nor int8, and has no quant_state",
                    NULL);
  out->method = &lqi_method_none;
  out->dtype = weight->dtype;
  return take_whole(weight, out);
}

const struct lqi_layout lqi_layout_bitsandbytes = {
    .id = LQ_LAYOUT_BITSANDBYTES,
    .describe = bnb_describe,
    .count = bnb_count,
    .plane = bnb_plane,
    .import = bnb_import,
};
