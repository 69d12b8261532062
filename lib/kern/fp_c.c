/*
 * fp_c.c - floating-point kernels, portable C.
 *
 * Owns: the specification of absmax and conversions.
 * Must not know: codes.
 */
#include "../core/fused.h"
#include "kern_c.h"

#include <math.h>

void lqi_spread_c(const float *m, size_t ld, size_t depth, const float *e, size_t count, float *w)
{
  for (size_t c = 0; c < count; c++)
    for (size_t k = 0; k < depth; k++)
      for (size_t l = 0; l < 32; l++)
        w[c * 32 + l] = LQI_FMAF(m[k * ld + c], e[k * 32 + l], w[c * 32 + l]);
}

void lqi_deviation_c(const float *a, const float *b, size_t n, struct lqi_deviation *sums)
{
  for (size_t i = 0; i < n; i++) {
    double x = a[i], y = b[i], d = x - y;
    size_t l = i % 8;
    sums->aa[l] += x * x;
    sums->bb[l] += y * y;
    sums->dd[l] += d * d;
    sums->ab[l] += x * y;
    d = fabs(d);
    sums->max[l] = d > sums->max[l] ? d : sums->max[l];
  }
}

#define FP_KERNELS(suffix, dtype) \
  float lqi_absmax_##suffix##_c(const void *x, size_t n) \
  { \
    return lqi_absmax_any(x, dtype, 0, n); \
  } \
  void lqi_widen_##suffix##_c(const void *x, size_t n, float *out) \
  { \
    if ((dtype) == LQ_F32 && n != 0) \
      memcpy(out, x, n * sizeof *out); \
    for (size_t i = 0; (dtype) != LQ_F32 && i < n; i++) \
      out[i] = lqi_load(x, dtype, i); \
  } \
  void lqi_narrow_##suffix##_c(const float *x, size_t n, void *out) \
  { \
    for (size_t i = 0; i < n; i++) \
      lqi_store(out, dtype, i, x[i]); \
  }

FP_KERNELS(f32, LQ_F32)
FP_KERNELS(f16, LQ_F16)
FP_KERNELS(bf16, LQ_BF16)
