/*
 * static_tensor.c - static weights from tensors.
 *
 * Owns: which tensors can be described, and the numbers of a fixed-point layer.
 * Must not know: how products are computed (static.c).
 */
#include "../method/blockwise.h"
#include "handle.h"

#include <math.h>
#include <string.h>

/* A bias of more units than that gets a larger scale. */
#define MOST_BIAS 0x1p30
#define MOST_INT8_COLUMNS 131071u

static void put_array(const struct lqi_span *span, const void **data, uint32_t *bytes)
{
  *data = span->bytes != 0 ? span->data : NULL;
  *bytes = (uint32_t)span->bytes;
}

/* The code book of a plane, or that of the method. */
static const float *book_of(const struct lqi_store *store, enum lqi_plane plane,
                            const struct lqi_block_codec *codec)
{
  return store->plane[plane].bytes != 0 ? store->plane[plane].data : codec->value;
}

static int is_static(const struct lqi_store *store)
{
  switch (store->method->id) {
  case LQ_NF4:
  case LQ_FP4: return 1;
  case LQ_AFFINE: return (store->bits == 4 || store->bits == 8) && !store->mapped;
  case LQ_INT8: return store->outliers == 0;
  default: return 0;
  }
}

LQ_API lq_status lq_static_from_tensor(const lq_tensor *tensor, lq_static *out)
{
  if (tensor == NULL || out == NULL)
    return LQ_E_ARGUMENT;
  if (!lqi_known_struct(out, out->size, sizeof *out))
    return LQ_E_VERSION;
  const struct lqi_store *store = &tensor->store;
  const struct lqi_shape *shape = &store->shape;
  const struct lqi_span *plane = store->plane;
  const void *nested, *zeros;
  if (!is_static(store))
    return LQ_E_UNSUPPORTED;
  /* The planes of affine fill words, so they may need more bytes than there are elements. */
  if (shape->rows > UINT32_MAX || shape->cols > UINT32_MAX || shape->count > UINT32_MAX ||
      plane[LQI_CODES].bytes > UINT32_MAX || plane[LQI_SCALES].bytes > UINT32_MAX)
    return LQ_E_OVERFLOW;
  *out = (lq_static){
      .size = out->size,
      .method = store->method->id,
      .rows = (uint32_t)shape->rows,
      .columns = (uint32_t)shape->cols,
      .bits = store->method->id == LQ_AFFINE ? store->bits : store->method->code_bits,
      .block = store->block_size,
      .scale_dtype = store->scale_dtype != 0         ? store->scale_dtype
                     : store->nested_block_size != 0 ? LQ_U8
                                                     : LQ_F32,
      .nested_block = store->nested_block_size,
      .nested_offset = store->nested_offset,
  };
  if (out->method == LQ_AFFINE)
    out->block =
        store->group_size != 0 ? store->group_size : (uint32_t)(shape->cols | !shape->cols);
  put_array(&plane[LQI_CODES], &out->codes, &out->codes_bytes);
  put_array(&plane[LQI_SCALES], &out->scales, &out->scales_bytes);
  put_array(&plane[LQI_ZEROS], &zeros, &out->zeros_bytes);
  put_array(&plane[LQI_NESTED_SCALES], &nested, &out->nested_scales_bytes);
  out->zeros = zeros;
  out->nested_scales = nested;
  if (store->nested_block_size != 0)
    out->nested_codebook = book_of(store, LQI_NESTED_CODEBOOK, &lqi_codec_dynamic);
  if (store->method->codec != NULL)
    out->codebook = book_of(store, LQI_CODEBOOK, store->method->codec);
  return lq_static_check(out);
}

/*
 * factor = q * 2^e with q in 1/2 .. 1: multiplier is q * 2^31 rounded half away from zero, where it
 * becomes 2^31 half of that with e + 1 (docs/firmware.md).
 */
LQ_API lq_status lq_requantize_factor(double factor, int32_t *multiplier, int32_t *shift)
{
  if (multiplier == NULL || shift == NULL)
    return LQ_E_ARGUMENT;
  *multiplier = *shift = 0;
  if (!(factor >= 0.0) || !(factor < 0x1p30))
    return LQ_E_ARGUMENT;
  if (factor == 0.0)
    return LQ_OK;
  int e;
  double m = floor(frexp(factor, &e) * 0x1p31 + 0.5);
  if (m == 0x1p31) {
    m = 0x1p30;
    e++;
  }
  if (e >= -31) {
    *multiplier = (int32_t)m;
    *shift = e;
  }
  return LQ_OK;
}

static lq_status check_layer(const lq_tensor *tensor, const lq_static_w8a8 *out)
{
  const struct lqi_store *store = &tensor->store;
  if (!lqi_known_struct(out, out->size, sizeof *out))
    return LQ_E_VERSION;
  if (store->method->id != LQ_INT8 || store->outliers != 0)
    return LQ_E_UNSUPPORTED;
  if (store->shape.cols > MOST_INT8_COLUMNS || store->shape.count > UINT32_MAX ||
      store->shape.rows > UINT32_MAX)
    return LQ_E_OVERFLOW;
  if (out->x_zero < INT8_MIN || out->x_zero > INT8_MAX || !(out->x_scale > 0.0f) ||
      !(out->y_scale > 0.0f) || !isfinite(out->x_scale) || !isfinite(out->y_scale))
    return LQ_E_ARGUMENT;
  return LQ_OK;
}

/* Codes of a row with a scale `ratio` times larger; returns their sum. */
static int32_t scale_codes(const int8_t *codes, uint64_t n, double ratio, int8_t *out)
{
  int32_t sum = 0;
  for (uint64_t i = 0; i < n; i++) {
    out[i] = ratio == 1.0 ? codes[i] : (int8_t)rint(codes[i] / ratio);
    sum += out[i];
  }
  return sum;
}

LQ_API lq_status lq_static_w8a8_from_tensor(const lq_tensor *tensor, const float *bias,
                                            int8_t *codes, int32_t *bias_out, int32_t *multiplier,
                                            int8_t *shift, lq_static_w8a8 *out)
{
  if (tensor == NULL || out == NULL || codes == NULL || bias_out == NULL || multiplier == NULL ||
      shift == NULL)
    return LQ_E_ARGUMENT;
  const struct lqi_store *store = &tensor->store;
  lq_status s = check_layer(tensor, out);
  if (s != LQ_OK)
    return s;
  const float *absmax = store->plane[LQI_SCALES].data;
  const int8_t *from = store->plane[LQI_CODES].data;
  uint64_t columns = store->shape.cols;
  for (uint64_t n = 0; n < store->shape.rows; n++, from += columns, codes += columns) {
    double scale = (double)absmax[n] / 127.0, x_scale = (double)out->x_scale, ratio = 1.0;
    double b = bias != NULL ? (double)bias[n] : 0.0, least = fabs(b) / (x_scale * MOST_BIAS);
    int32_t e;
    if (!isfinite(b) || !isfinite(scale))
      return LQ_E_NONFINITE;
    if (scale < least) {
      /* An infinite ratio, of a row of zeros, gives codes 0. */
      ratio = least / scale;
      scale = least;
    }
    int32_t sum = scale_codes(from, columns, ratio, codes);
    double units = scale > 0.0 ? rint(b / (x_scale * scale)) : 0.0;
    units -= (double)out->x_zero * sum;
    if (fabs(units) > INT32_MAX ||
        lq_requantize_factor(x_scale * scale / (double)out->y_scale, &multiplier[n], &e) != LQ_OK)
      return LQ_E_OVERFLOW;
    bias_out[n] = (int32_t)units;
    shift[n] = (int8_t)e;
  }
  out->rows = (uint32_t)store->shape.rows;
  out->columns = (uint32_t)columns;
  out->codes = codes - store->shape.count;
  out->bias = bias_out;
  out->multiplier = multiplier;
  out->shift = shift;
  return lq_static_check_w8a8(out);
}
