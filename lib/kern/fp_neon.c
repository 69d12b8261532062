/*
 * fp_neon.c - floating-point kernels, NEON.
 *
 * Owns: absmax, conversions and the inner product, 4 lanes wide.
 * Must not know: codes.
 */
#include "kern_neon.h"

#include <math.h>

#if LQI_NEON

LQI_INLINE void fp_neon_widen(const void *x, int32_t dtype, size_t n, float *out)
{
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    vst1q_f32(out + i, neon_load(x, dtype, i));
  for (; i < n; i++)
    out[i] = lqi_load(x, dtype, i);
}

LQI_INLINE void fp_neon_narrow(const float *x, int32_t dtype, size_t n, void *out)
{
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    neon_store(out, dtype, i, vld1q_f32(x + i));
  for (; i < n; i++)
    lqi_store(out, dtype, i, x[i]);
}

/* Lanes 2 * pair, 2 * pair + 1 of all whole steps of 8. */
LQI_INLINE void fp_neon_deviation(const float *a, const float *b, size_t n, size_t pair,
                                  struct lqi_deviation *sums)
{
  size_t l = 2 * pair;
  float64x2_t aa = vld1q_f64(sums->aa + l), bb = vld1q_f64(sums->bb + l);
  float64x2_t dd = vld1q_f64(sums->dd + l), ab = vld1q_f64(sums->ab + l);
  float64x2_t max = vld1q_f64(sums->max + l);
  for (size_t i = l; i + 2 <= n; i += 8) {
    float64x2_t x = vcvt_f64_f32(vld1_f32(a + i)), y = vcvt_f64_f32(vld1_f32(b + i));
    float64x2_t d = vsubq_f64(x, y);
    aa = vfmaq_f64(aa, x, x);
    bb = vfmaq_f64(bb, y, y);
    ab = vfmaq_f64(ab, x, y);
    dd = vaddq_f64(dd, vmulq_f64(d, d));
    max = vmaxq_f64(max, vabsq_f64(d));
  }
  vst1q_f64(sums->aa + l, aa);
  vst1q_f64(sums->bb + l, bb);
  vst1q_f64(sums->dd + l, dd);
  vst1q_f64(sums->ab + l, ab);
  vst1q_f64(sums->max + l, max);
}

/* A square of a widened f32 is exact, so that fusing it into its sum changes nothing. */
void lqi_deviation_neon(const float *a, const float *b, size_t n, struct lqi_deviation *sums)
{
  size_t whole = n / 8 * 8;
  for (size_t pair = 0; pair < 4; pair++)
    fp_neon_deviation(a, b, whole, pair, sums);
  lqi_deviation_c(a + whole, b + whole, n - whole, sums);
}

/* One or two columns, whose sums stay in registers. */
LQI_INLINE void fp_neon_spread(const float *m, size_t ld, size_t depth, const float *e, float *w,
                               size_t columns)
{
  float32x4_t sum[2][8];
  NEON_UNROLL
  for (size_t i = 0; i < 8 * columns; i++)
    sum[i / 8][i % 8] = vld1q_f32(w + 4 * i);
  for (size_t k = 0; k < depth; k++, m += ld, e += 32)
    NEON_UNROLL
  for (size_t q = 0; q < 8; q++) {
    const float32x4_t v = vld1q_f32(e + 4 * q);
    NEON_UNROLL
    for (size_t c = 0; c < columns; c++)
      sum[c][q] = vfmaq_n_f32(sum[c][q], v, m[c]);
  }
  NEON_UNROLL
  for (size_t i = 0; i < 8 * columns; i++)
    vst1q_f32(w + 4 * i, sum[i / 8][i % 8]);
}

void lqi_spread_neon(const float *m, size_t ld, size_t depth, const float *e, size_t count,
                     float *w)
{
  size_t c = 0;
  for (; c + 2 <= count; c += 2)
    fp_neon_spread(m + c, ld, depth, e, w + 32 * c, 2);
  if (c < count)
    fp_neon_spread(m + c, ld, depth, e, w + 32 * c, 1);
}

#define FP_NEON_ABSMAX(suffix, dtype) \
  float lqi_absmax_##suffix##_neon(const void *x, size_t n) \
  { \
    return neon_absmax(x, dtype, 0, n); \
  }

#define FP_NEON_CONVERT(suffix, dtype) \
  void lqi_widen_##suffix##_neon(const void *x, size_t n, float *out) \
  { \
    fp_neon_widen(x, dtype, n, out); \
  } \
  void lqi_narrow_##suffix##_neon(const float *x, size_t n, void *out) \
  { \
    fp_neon_narrow(x, dtype, n, out); \
  }

FP_NEON_ABSMAX(f32, LQ_F32)
FP_NEON_ABSMAX(f16, LQ_F16)
FP_NEON_ABSMAX(bf16, LQ_BF16)
FP_NEON_CONVERT(f16, LQ_F16)
FP_NEON_CONVERT(bf16, LQ_BF16)

#endif
