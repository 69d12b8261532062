/*
 * native.c - libquant's own layout: the planes as they are in memory and a text that says what they
 * mean.
 *
 * Owns: names and shapes of native planes, the meta text.
 * Must not know: other families, files.
 */
#include "layout.h"

#include "../method/affine.h"
#include "../method/blockwise.h"
#include "../method/registry.h"

#include <string.h>

#define META_VERSION 1

static int is_affine(const struct lqi_store *store)
{
  return LQI_IS(store, AFFINE);
}

/* Of none there are none; those of ggml lie among the codes. */
static int has_scales(const struct lqi_store *store)
{
  return store->method != &lqi_method_none && store->method != &lqi_method_ggml;
}

static void describe_groups(const struct lqi_store *store, struct lqi_text *t)
{
  lqi_text_add(t, ", \"bits\": ");
  lqi_text_add_u64(t, store->bits);
  if (store->group_size != 0) {
    lqi_text_add(t, ", \"group_size\": ");
    lqi_text_add_u64(t, store->group_size);
  }
  if (store->mapped) {
    lqi_text_add(t, ", \"sorted_groups\": ");
    lqi_text_add_u64(t, store->groups);
  }
  lqi_text_add(t, store->symmetric ? ", \"symmetric\": 1" : ", \"symmetric\": 0");
}

static void native_describe(const struct lqi_store *store, struct lqi_text *t)
{
  lqi_text_clear(t);
  lqi_text_add(t, "{\"libquant\": ");
  lqi_text_add_u64(t, META_VERSION);
  lqi_text_add(t, ", \"method\": \"");
  lqi_text_add(t, store->method->name);
  lqi_text_add(t, "\", \"dtype\": \"");
  lqi_text_add(t, lqi_dtype_name(store->dtype));
  lqi_text_add(t, "\", \"shape\": ");
  lqi_text_add_shape(t, &store->shape);
  if (is_affine(store))
    describe_groups(store, t);
  if (store->method == &lqi_method_ggml) {
    lqi_text_add(t, ", \"block_type\": ");
    lqi_text_add_u64(t, (uint64_t)store->block_type);
  }
  if (store->block_size != 0) {
    lqi_text_add(t, ", \"block_size\": ");
    lqi_text_add_u64(t, store->block_size);
  }
  if (store->nested_block_size != 0) {
    lqi_text_add(t, ", \"nested_block_size\": ");
    lqi_text_add_u64(t, store->nested_block_size);
  }
  if (store->outliers_dropped && store->outliers != 0)
    lqi_text_add(t, ", \"outliers_dropped\": 1");
  lqi_text_add(t, "}");
}

/* Fills *out with plane number `which` of an affine tensor, which has them as matrices. */
static int affine_candidate(const struct lqi_store *store, uint32_t which, lq_plane *out)
{
  const struct lqi_span *p = store->plane;
  uint64_t rows = store->shape.rows, cols = store->shape.cols;
  switch (which) {
  case 1:
    lqi_set_plane(out, "codes", LQ_U8, 2, rows, lqi_affine_row_bytes(cols, store->bits),
                  p[LQI_CODES].data, p[LQI_CODES].bytes);
    return 1;
  case 2:
    lqi_set_plane(out, "scales", store->scale_dtype, 2, rows, store->groups, p[LQI_SCALES].data,
                  p[LQI_SCALES].bytes);
    return 1;
  case 7:
    lqi_set_plane(out, "zeros", LQ_U8, 2, rows, store->groups, p[LQI_ZEROS].data,
                  p[LQI_ZEROS].bytes);
    return !store->symmetric;
  default:
    lqi_set_plane(out, "g_idx", LQ_I32, 1, cols, 0, p[LQI_GROUP_INDEX].data,
                  p[LQI_GROUP_INDEX].bytes);
    return store->mapped;
  }
}

/* Fills *out with plane number `which` of the fixed order below if the tensor has it; returns
 * whether it does. */
static int native_candidate(const struct lqi_store *store, const struct lqi_text *text,
                            uint32_t which, lq_plane *out)
{
  const struct lqi_span *p = store->plane;
  uint64_t n = p[LQI_SCALES].bytes;
  if (is_affine(store) && (which == 1 || which == 2 || which > 6))
    return affine_candidate(store, which, out);
  switch (which) {
  case 0: lqi_set_plane(out, "meta", LQ_U8, 1, text->length, 0, text->s, text->length); return 1;
  case 1:
    if (store->method == &lqi_method_none)
      lqi_set_plane_shaped(out, "codes", store->dtype, store, &p[LQI_CODES]);
    else if (LQI_IS(store, INT8))
      lqi_set_plane_shaped(out, "codes", LQ_I8, store, &p[LQI_CODES]);
    else
      lqi_set_plane(out, "codes", LQ_U8, 1, p[LQI_CODES].bytes, 0, p[LQI_CODES].data,
                    p[LQI_CODES].bytes);
    return 1;
  case 2:
    if (store->nested_block_size != 0)
      lqi_set_plane(out, "scales", LQ_U8, 1, n, 0, p[LQI_SCALES].data, n);
    else
      lqi_set_plane(out, "scales", LQ_F32, 1, n / sizeof(float), 0, p[LQI_SCALES].data, n);
    return has_scales(store);
  case 3:
    n = p[LQI_NESTED_SCALES].bytes;
    lqi_set_plane(out, "nested_scales", LQ_F32, 1, n / sizeof(float), 0, p[LQI_NESTED_SCALES].data,
                  n);
    return store->nested_block_size != 0;
  case 4:
    lqi_set_plane(out, "nested_offset", LQ_F32, 1, 1, 0, &store->nested_offset,
                  sizeof store->nested_offset);
    return store->nested_block_size != 0;
  case 5:
    n = p[LQI_CODEBOOK].bytes;
    lqi_set_plane(out, "codebook", LQ_F32, 1, n / sizeof(float), 0, p[LQI_CODEBOOK].data, n);
    return n != 0;
  case 6:
    n = p[LQI_NESTED_CODEBOOK].bytes;
    lqi_set_plane(out, "nested_codebook", LQ_F32, 1, n / sizeof(float), 0,
                  p[LQI_NESTED_CODEBOOK].data, n);
    return n != 0;
  case 7:
    lqi_set_plane(out, "outlier_columns", LQ_I64, 1, store->outliers, 0,
                  p[LQI_OUTLIER_COLUMNS].data, p[LQI_OUTLIER_COLUMNS].bytes);
    return store->outliers != 0;
  default:
    lqi_set_plane(out, "outliers", store->dtype, 2, store->shape.rows, store->outliers,
                  p[LQI_OUTLIERS].data, p[LQI_OUTLIERS].bytes);
    return store->outliers != 0 && !store->outliers_dropped;
  }
}

#define CANDIDATES 9

static uint32_t native_count(const struct lqi_store *store)
{
  static const struct lqi_text none = {0};
  lq_plane ignored;
  uint32_t count = 0;
  ignored.size = sizeof ignored;
  for (uint32_t i = 0; i < CANDIDATES; i++)
    count += (uint32_t)native_candidate(store, &none, i, &ignored);
  return count;
}

static void native_plane(const struct lqi_store *store, const struct lqi_text *text, uint32_t i,
                         lq_plane *out)
{
  for (uint32_t which = 0;; which++) /* there are more than `i` */
    if (native_candidate(store, text, which, out) && i-- == 0)
      return;
}

static lq_status apply_groups(const struct lqi_fields *f, struct lqi_store *out,
                              struct lqi_text *why)
{
  if (!lqi_affine_has_bits(f->bits) || f->group_size > UINT32_MAX || f->groups > UINT32_MAX ||
      f->symmetric > 1)
    return lqi_fail(why, LQ_E_LAYOUT, "bits, groups or symmetric in meta are out of range", NULL);
  out->groups = f->groups;
  lqi_affine_form(out, (uint32_t)f->bits, (uint32_t)f->group_size, f->symmetric != 0,
                  f->groups != 0);
  return LQ_OK;
}

/* From the text to the fields of the store: every number is bounded before it is used. */
static lq_status apply_meta(const struct lqi_fields *f, struct lqi_store *out, struct lqi_text *why)
{
  if (f->version != META_VERSION)
    return lqi_fail(why, LQ_E_VERSION, "meta is of a version that this library does not know",
                    NULL);
  out->method = lqi_method_by_name(f->method);
  out->dtype = lqi_dtype_from_name(f->dtype);
  if (out->method == NULL || out->method->layout == NULL) /* gptq stores in others' planes */
    return lqi_fail(why, LQ_E_UNSUPPORTED, "unknown method ", f->method);
  if (out->dtype == 0 || !f->has_shape)
    return lqi_fail(why, LQ_E_LAYOUT, "meta lacks dtype or shape", NULL);
  lq_status s = lqi_shape_set(&out->shape, f->ndim, f->dims);
  if (s != LQ_OK)
    return lqi_fail(why, LQ_E_LAYOUT, "shape in meta overflows", NULL);
  if (f->block_size > UINT32_MAX || f->nested_block_size > UINT32_MAX || f->outliers_dropped > 1)
    return lqi_fail(why, LQ_E_LAYOUT, "block sizes or a flag in meta are out of range", NULL);
  out->block_size = (uint32_t)f->block_size;
  out->nested_block_size = (uint32_t)f->nested_block_size;
  if (f->block_type > INT32_MAX)
    return lqi_fail(why, LQ_E_LAYOUT, "block type in meta is out of range", NULL);
  out->block_type = (int32_t)f->block_type;
  out->outliers_dropped = f->outliers_dropped != 0;
  return is_affine(out) ? apply_groups(f, out, why) : LQ_OK;
}

static lq_status take_nested(const struct lqi_import *in, struct lqi_store *out,
                             struct lqi_text *why)
{
  struct lqi_span offset;
  lq_status s = lqi_take_plane(in, "nested_scales", LQ_F32, 0, &out->plane[LQI_NESTED_SCALES], why);
  if (s == LQ_OK)
    s = lqi_take_plane(in, "nested_offset", LQ_F32, 0, &offset, why);
  if (s == LQ_OK)
    s = lqi_take_plane(in, "nested_codebook", LQ_F32, 1, &out->plane[LQI_NESTED_CODEBOOK], why);
  if (s != LQ_OK)
    return s;
  if (offset.bytes != sizeof(float))
    return lqi_fail(why, LQ_E_LAYOUT, "nested_offset must be one f32", NULL);
  memcpy(&out->nested_offset, offset.data, sizeof(float));
  return LQ_OK;
}

static lq_status take_outliers(const struct lqi_import *in, struct lqi_store *out,
                               struct lqi_text *why)
{
  lq_status s =
      lqi_take_plane(in, "outlier_columns", LQ_I64, 1, &out->plane[LQI_OUTLIER_COLUMNS], why);
  out->outliers = out->plane[LQI_OUTLIER_COLUMNS].bytes / sizeof(int64_t);
  if (s == LQ_OK && out->outliers == 0 && lqi_find_plane(in, "outliers") != NULL)
    return lqi_fail(why, LQ_E_LAYOUT, "outliers without outlier_columns", NULL);
  if (s == LQ_OK && out->outliers != 0 && !out->outliers_dropped)
    s = lqi_take_plane(in, "outliers", out->dtype, 0, &out->plane[LQI_OUTLIERS], why);
  return s;
}

/* Scales are f16, f32, or codes of their own. */
static lq_status take_affine(const struct lqi_import *in, struct lqi_store *out,
                             struct lqi_text *why)
{
  const lq_plane *scales = lqi_find_plane(in, "scales");
  if (out->nested_block_size != 0)
    out->scale_dtype = LQ_U8;
  else if (scales != NULL && scales->dtype == LQ_F32)
    out->scale_dtype = LQ_F32;
  lq_status s = lqi_take_plane(in, "scales", out->scale_dtype, 0, &out->plane[LQI_SCALES], why);
  if (s == LQ_OK)
    s = lqi_take_plane(in, "zeros", LQ_U8, out->symmetric, &out->plane[LQI_ZEROS], why);
  if (s == LQ_OK)
    s = lqi_take_plane(in, "g_idx", LQ_I32, !out->mapped, &out->plane[LQI_GROUP_INDEX], why);
  if (s == LQ_OK && out->nested_block_size != 0)
    s = take_nested(in, out, why);
  return s;
}

static lq_status native_import(const struct lqi_import *in, struct lqi_store *out,
                               struct lqi_text *why)
{
  struct lqi_span meta;
  struct lqi_fields fields;
  *out = (struct lqi_store){0};
  lq_status s = lqi_take_plane(in, "meta", LQ_U8, 0, &meta, why);
  if (s == LQ_OK)
    s = lqi_fields_parse(meta.data, meta.bytes, &fields, why);
  if (s == LQ_OK)
    s = apply_meta(&fields, out, why);
  if (s != LQ_OK)
    return s;
  int32_t code_dtype = out->method == &lqi_method_none ? out->dtype
                       : LQI_IS(out, INT8)             ? LQ_I8
                                                       : LQ_U8;
  s = lqi_take_plane(in, "codes", code_dtype, 0, &out->plane[LQI_CODES], why);
  if (s != LQ_OK || !has_scales(out))
    return s;
  if (is_affine(out))
    return take_affine(in, out, why);
  s = lqi_take_plane(in, "scales", out->nested_block_size ? LQ_U8 : LQ_F32, 0,
                     &out->plane[LQI_SCALES], why);
  if (s == LQ_OK)
    s = lqi_take_plane(in, "codebook", LQ_F32, 1, &out->plane[LQI_CODEBOOK], why);
  if (s == LQ_OK && out->nested_block_size != 0)
    s = take_nested(in, out, why);
  if (s == LQ_OK && LQI_IS(out, INT8))
    s = take_outliers(in, out, why);
  return s;
}

const struct lqi_layout lqi_layout_native = {
    .id = LQ_LAYOUT_NATIVE,
    .describe = native_describe,
    .count = native_count,
    .plane = native_plane,
    .import = native_import,
};
