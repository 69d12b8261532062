/*
 * observe.c - calibration through a quantizer: inputs, and what was seen stored and joined.
 *
 * Owns: checks of what callers pass; conversion of inputs.
 * Must not know: what the method does with them.
 */
#include "handle.h"

#include "../method/calibration.h"

/* Rows that are widened at a time. */
#define ROWS 64

/* The inputs of a call: those of the layer, and behind them those that they should be, if told. */
struct inputs {
  uint64_t rows, columns;
  int32_t dtype;
  uint32_t count;
  const void *x[2];
  uint64_t stride[2];
};

static int wants_pairs(const lq_quantizer *q)
{
  return q->params.input_correction > 0.0;
}

static lq_status wrong_pairs(lq_quantizer *q)
{
  return lqi_fail(&q->error, LQ_E_STATE,
                  wants_pairs(q) ? "input_correction needs pairs of inputs"
                                 : "pairs of inputs are for input_correction alone",
                  NULL);
}

LQI_INLINE int calibrates(const lq_quantizer *q)
{
  return LQI_HAS_GPTQ && q->params.method->observe != NULL;
}

LQI_INLINE int has_seen(const lq_quantizer *q)
{
  return LQI_HAS_GPTQ && q->calibration != NULL;
}

static lq_status start(lq_quantizer *q, uint64_t columns, int paired)
{
  lqi_text_clear(&q->error);
  if (!calibrates(q))
    return lqi_fail(&q->error, LQ_E_STATE, q->params.method->name, " does not calibrate");
  if (paired != wants_pairs(q))
    return wrong_pairs(q);
  if (has_seen(q))
    return q->calibration->moments.n == columns
               ? LQ_OK
               : lqi_fail(&q->error, LQ_E_SHAPE, "earlier inputs had other columns", NULL);
  lq_status s = lqi_calibration_create(&q->mem, columns, paired, &q->calibration);
  return s == LQ_OK ? s : lqi_fail(&q->error, s, "out of memory", NULL);
}

/* Names the first element that is not finite; LQ_OK if all are. */
static lq_status check_finite(lq_quantizer *q, const struct inputs *in, uint32_t which)
{
  const struct lqi_kernels *kern = lqi_kernels();
  for (uint64_t i = 0; i < in->rows; i++) {
    const void *row = lqi_element(in->x[which], in->dtype, i * in->stride[which]);
    if (lqi_is_finite(kern->absmax[lqi_float_index(in->dtype)](row, (size_t)in->columns)))
      continue;
    uint64_t j = 0;
    while (lqi_is_finite(lqi_load(row, in->dtype, j)))
      j++;
    float v = lqi_load(row, in->dtype, j);
    lqi_fail(&q->error, LQ_E_NONFINITE, which == 0 ? "input [" : "float input [", NULL);
    lqi_text_add_u64(&q->error, i);
    lqi_text_add(&q->error, ", ");
    lqi_text_add_u64(&q->error, j);
    lqi_text_add(&q->error, v != v ? "] is nan" : v > 0.0f ? "] is inf" : "] is -inf");
    return LQ_E_NONFINITE;
  }
  return LQ_OK;
}

static lq_status widened(lq_quantizer *q, const struct inputs *in)
{
  const struct lqi_kernels *kern = lqi_kernels();
  size_t columns = (size_t)in->columns;
  uint64_t piece = lqi_min_u64(in->rows, ROWS) * columns;
  uint64_t bytes = in->count * piece * sizeof(float);
  float *wide = lqi_alloc(&q->mem, bytes);
  lq_status s = LQ_OK;
  if (wide == NULL)
    return lqi_fail(&q->error, LQ_E_MEMORY, "out of memory", NULL);
  struct lqi_row_pairs rows = {wide, in->count > 1 ? wide + piece : NULL, columns, columns};
  for (uint64_t i = 0, n; i < in->rows && s == LQ_OK; i += n) {
    n = lqi_min_u64(ROWS, in->rows - i);
    for (uint32_t which = 0; which < in->count; which++)
      for (uint64_t r = 0; r < n; r++)
        kern->widen[lqi_float_index(in->dtype)](
            lqi_element(in->x[which], in->dtype, (i + r) * in->stride[which]), columns,
            wide + which * piece + r * columns);
    s = q->params.method->observe(q->calibration, &rows, (size_t)n, &q->par);
  }
  lqi_free(&q->mem, wide, bytes);
  return s;
}

/* What can be told without the quantizer's state. */
static lq_status check_inputs(const struct inputs *in)
{
  if (!lqi_is_float(in->dtype))
    return LQ_E_ARGUMENT;
  for (uint32_t i = 0; i < in->count; i++)
    if ((in->x[i] == NULL && in->rows != 0 && in->columns != 0) ||
        (uintptr_t)in->x[i] % lqi_dtype_size(in->dtype) != 0)
      return LQ_E_ARGUMENT;
  for (uint32_t i = 0; i < in->count; i++)
    if (in->rows > 1 && in->stride[i] < in->columns)
      return LQ_E_SHAPE;
  for (uint32_t i = 0; i < in->count; i++) {
    uint64_t elements;
    if (in->columns > UINT32_MAX || lqi_mul_overflows(in->rows, in->stride[i], &elements) ||
        elements > SIZE_MAX / sizeof(float) ||
        in->rows * in->columns > SIZE_MAX / sizeof(float) / in->count)
      return LQ_E_OVERFLOW;
  }
  return LQ_OK;
}

static lq_status observe(lq_quantizer *q, const struct inputs *in)
{
  lq_status s = q != NULL ? check_inputs(in) : LQ_E_ARGUMENT;
  if (s != LQ_OK)
    return s;
  int fresh = !has_seen(q);
  s = start(q, in->columns, in->count > 1);
  for (uint32_t i = 0; i < in->count && s == LQ_OK; i++)
    s = check_finite(q, in, i);
  if (s == LQ_OK && in->rows != 0 && in->dtype == LQ_F32) {
    const struct lqi_row_pairs rows = {in->x[0], in->x[1], (size_t)in->stride[0],
                                       (size_t)in->stride[1]};
    s = q->params.method->observe(q->calibration, &rows, (size_t)in->rows, &q->par);
  } else if (s == LQ_OK && in->rows != 0) {
    s = widened(q, in);
  }
  if (fresh && (s != LQ_OK || in->rows == 0))
    lq_quantizer_reset(q);
  return s;
}

LQ_API lq_status lq_quantizer_observe(lq_quantizer *quantizer, uint64_t rows, uint64_t columns,
                                      int32_t x_dtype, const void *x, uint64_t x_stride)
{
  const struct inputs in = {rows, columns, x_dtype, 1, {x, NULL}, {x_stride, 0}};
  return observe(quantizer, &in);
}

LQ_API lq_status lq_quantizer_observe_pair(lq_quantizer *quantizer, uint64_t rows, uint64_t columns,
                                           int32_t dtype, const void *x, uint64_t x_stride,
                                           const void *x_float, uint64_t x_float_stride)
{
  const struct inputs in = {rows, columns, dtype, 2, {x, x_float}, {x_stride, x_float_stride}};
  return observe(quantizer, &in);
}

LQ_API void lq_quantizer_reset(lq_quantizer *quantizer)
{
  if (quantizer == NULL || !has_seen(quantizer))
    return;
  lqi_calibration_destroy(quantizer->calibration);
  quantizer->calibration = NULL;
}

LQ_API uint64_t lq_quantizer_save_bytes(const lq_quantizer *quantizer)
{
  return quantizer != NULL && has_seen(quantizer) ? lqi_calibration_bytes(quantizer->calibration)
                                                  : 0;
}

LQ_API lq_status lq_quantizer_save(const lq_quantizer *quantizer, void *out, size_t bytes)
{
  if (quantizer == NULL || out == NULL)
    return LQ_E_ARGUMENT;
  if (!has_seen(quantizer))
    return LQ_E_STATE;
  if (bytes != lqi_calibration_bytes(quantizer->calibration))
    return LQ_E_SHAPE;
  lqi_calibration_save(quantizer->calibration, out);
  return LQ_OK;
}

LQ_API lq_status lq_quantizer_load(lq_quantizer *quantizer, const void *data, size_t bytes)
{
  lq_quantizer *q = quantizer;
  struct lqi_calibration *loaded;
  if (q == NULL || data == NULL)
    return LQ_E_ARGUMENT;
  lqi_text_clear(&q->error);
  if (!calibrates(q))
    return lqi_fail(&q->error, LQ_E_STATE, q->params.method->name, " does not calibrate");
  lq_status s = lqi_calibration_load(&q->mem, data, bytes, &loaded, &q->error);
  if (s == LQ_E_MEMORY)
    return lqi_fail(&q->error, s, "out of memory", NULL);
  if (s == LQ_OK && lqi_calibration_is_paired(loaded) != wants_pairs(q)) {
    lqi_calibration_destroy(loaded);
    s = wrong_pairs(q);
  }
  if (s != LQ_OK)
    return s;
  lqi_calibration_destroy(q->calibration);
  q->calibration = loaded;
  return LQ_OK;
}

LQ_API lq_status lq_quantizer_merge(lq_quantizer *quantizer, const lq_quantizer *other)
{
  lq_quantizer *q = quantizer;
  if (q == NULL || other == NULL || q == other)
    return LQ_E_ARGUMENT;
  lqi_text_clear(&q->error);
  if (!has_seen(other))
    return LQ_OK;
  int fresh = !has_seen(q);
  lq_status s =
      start(q, other->calibration->moments.n, lqi_calibration_is_paired(other->calibration));
  if (s == LQ_OK)
    s = lqi_calibration_merge(q->calibration, other->calibration, &q->par);
  if (fresh && s != LQ_OK)
    lq_quantizer_reset(q);
  return s == LQ_E_MEMORY ? lqi_fail(&q->error, s, "out of memory", NULL) : s;
}
