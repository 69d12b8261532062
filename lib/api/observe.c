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

static lq_status start(lq_quantizer *q, uint64_t columns)
{
  lqi_text_clear(&q->error);
  if (q->params.method->observe == NULL)
    return lqi_fail(&q->error, LQ_E_STATE, q->params.method->name, " does not calibrate");
  if (q->calibration != NULL)
    return q->calibration->moments.n == columns
               ? LQ_OK
               : lqi_fail(&q->error, LQ_E_SHAPE, "earlier inputs had other columns", NULL);
  lq_status s = lqi_calibration_create(&q->mem, columns, &q->calibration);
  return s == LQ_OK ? s : lqi_fail(&q->error, s, "out of memory", NULL);
}

/* Names the first element that is not finite; LQ_OK if all are. */
static lq_status check_finite(lq_quantizer *q, uint64_t rows, uint64_t columns, int32_t dtype,
                              const void *x, uint64_t stride)
{
  const struct lqi_kernels *kern = lqi_kernels();
  for (uint64_t i = 0; i < rows; i++) {
    const void *row = lqi_element(x, dtype, i * stride);
    if (lqi_is_finite(kern->absmax[lqi_float_index(dtype)](row, (size_t)columns)))
      continue;
    uint64_t j = 0;
    while (lqi_is_finite(lqi_load(row, dtype, j)))
      j++;
    float v = lqi_load(row, dtype, j);
    lqi_fail(&q->error, LQ_E_NONFINITE, "input [", NULL);
    lqi_text_add_u64(&q->error, i);
    lqi_text_add(&q->error, ", ");
    lqi_text_add_u64(&q->error, j);
    lqi_text_add(&q->error, v != v ? "] is nan" : v > 0.0f ? "] is inf" : "] is -inf");
    return LQ_E_NONFINITE;
  }
  return LQ_OK;
}

static lq_status widened(lq_quantizer *q, uint64_t rows, uint64_t columns, int32_t dtype,
                         const void *x, uint64_t stride)
{
  const struct lqi_kernels *kern = lqi_kernels();
  uint64_t bytes = lqi_min_u64(rows, ROWS) * columns * sizeof(float);
  float *wide = lqi_alloc(&q->mem, bytes);
  lq_status s = LQ_OK;
  if (wide == NULL)
    return lqi_fail(&q->error, LQ_E_MEMORY, "out of memory", NULL);
  for (uint64_t i = 0, n; i < rows && s == LQ_OK; i += n) {
    n = lqi_min_u64(ROWS, rows - i);
    for (uint64_t r = 0; r < n; r++)
      kern->widen[lqi_float_index(dtype)](lqi_element(x, dtype, (i + r) * stride), (size_t)columns,
                                          wide + r * columns);
    s = q->params.method->observe(q->calibration, wide, (size_t)n, (size_t)columns, &q->par);
  }
  lqi_free(&q->mem, wide, bytes);
  return s;
}

LQ_API lq_status lq_quantizer_observe(lq_quantizer *quantizer, uint64_t rows, uint64_t columns,
                                      int32_t x_dtype, const void *x, uint64_t x_stride)
{
  lq_quantizer *q = quantizer;
  uint64_t elements;
  if (q == NULL || !lqi_is_float(x_dtype) || (x == NULL && rows != 0 && columns != 0))
    return LQ_E_ARGUMENT;
  if ((uintptr_t)x % lqi_dtype_size(x_dtype) != 0)
    return LQ_E_ARGUMENT;
  if (rows > 1 && x_stride < columns)
    return LQ_E_SHAPE;
  if (columns > UINT32_MAX || lqi_mul_overflows(rows, x_stride, &elements) ||
      elements > SIZE_MAX / sizeof(float) || rows * columns > SIZE_MAX / sizeof(float))
    return LQ_E_OVERFLOW;
  int fresh = q->calibration == NULL;
  lq_status s = start(q, columns);
  if (s == LQ_OK)
    s = check_finite(q, rows, columns, x_dtype, x, x_stride);
  if (s == LQ_OK && rows != 0)
    s = x_dtype == LQ_F32
            ? q->params.method->observe(q->calibration, x, (size_t)rows, (size_t)x_stride, &q->par)
            : widened(q, rows, columns, x_dtype, x, x_stride);
  if (fresh && (s != LQ_OK || rows == 0))
    lq_quantizer_reset(q);
  return s;
}

LQ_API void lq_quantizer_reset(lq_quantizer *quantizer)
{
  if (quantizer == NULL)
    return;
  lqi_calibration_destroy(quantizer->calibration);
  quantizer->calibration = NULL;
}

LQ_API uint64_t lq_quantizer_save_bytes(const lq_quantizer *quantizer)
{
  return quantizer != NULL && quantizer->calibration != NULL
             ? lqi_calibration_bytes(quantizer->calibration)
             : 0;
}

LQ_API lq_status lq_quantizer_save(const lq_quantizer *quantizer, void *out, size_t bytes)
{
  if (quantizer == NULL || out == NULL)
    return LQ_E_ARGUMENT;
  if (quantizer->calibration == NULL)
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
  if (q->params.method->observe == NULL)
    return lqi_fail(&q->error, LQ_E_STATE, q->params.method->name, " does not calibrate");
  lq_status s = lqi_calibration_load(&q->mem, data, bytes, &loaded, &q->error);
  if (s == LQ_E_MEMORY)
    return lqi_fail(&q->error, s, "out of memory", NULL);
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
  if (other->calibration == NULL)
    return LQ_OK;
  int fresh = q->calibration == NULL;
  lq_status s = start(q, other->calibration->moments.n);
  if (s == LQ_OK)
    s = lqi_calibration_merge(q->calibration, other->calibration, &q->par);
  if (fresh && s != LQ_OK)
    lq_quantizer_reset(q);
  return s == LQ_E_MEMORY ? lqi_fail(&q->error, s, "out of memory", NULL) : s;
}
