/*
 * fp_avx2.c - floating-point kernels, AVX2.
 *
 * Owns: absmax, conversions and the inner product, 8 lanes wide.
 * Must not know: codes.
 */
#include "kern_avx2.h"

#include <math.h>

#if LQI_X86

LQI_INLINE LQI_AVX2 void fp_avx2_widen(const void *x, int32_t dtype, size_t n, float *out)
{
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i, avx2_load(x, dtype, i));
  for (; i < n; i++)
    out[i] = lqi_load(x, dtype, i);
}

LQI_INLINE LQI_AVX2 void fp_avx2_narrow(const float *x, int32_t dtype, size_t n, void *out)
{
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    avx2_store_pair(out, dtype, i, _mm256_loadu_ps(x + i), _mm256_loadu_ps(x + i + 8), 1, 0);
  for (; i < n; i++)
    lqi_store(out, dtype, i, x[i]);
}

/* Lanes 4 * half .. of all whole steps of 8. */
LQI_INLINE LQI_AVX2 void fp_avx2_deviation(const float *a, const float *b, size_t n, size_t half,
                                           struct lqi_deviation *sums)
{
  const __m256d sign = _mm256_set1_pd(-0.0);
  __m256d aa = _mm256_loadu_pd(sums->aa + half), bb = _mm256_loadu_pd(sums->bb + half);
  __m256d dd = _mm256_loadu_pd(sums->dd + half), ab = _mm256_loadu_pd(sums->ab + half);
  __m256d max = _mm256_loadu_pd(sums->max + half);
  for (size_t i = half; i + 4 <= n; i += 8) {
    __m256d x = _mm256_cvtps_pd(_mm_loadu_ps(a + i)), y = _mm256_cvtps_pd(_mm_loadu_ps(b + i));
    __m256d d = _mm256_sub_pd(x, y);
    aa = _mm256_fmadd_pd(x, x, aa);
    bb = _mm256_fmadd_pd(y, y, bb);
    ab = _mm256_fmadd_pd(x, y, ab);
    dd = _mm256_add_pd(dd, _mm256_mul_pd(d, d));
    max = _mm256_max_pd(max, _mm256_andnot_pd(sign, d));
  }
  _mm256_storeu_pd(sums->aa + half, aa);
  _mm256_storeu_pd(sums->bb + half, bb);
  _mm256_storeu_pd(sums->dd + half, dd);
  _mm256_storeu_pd(sums->ab + half, ab);
  _mm256_storeu_pd(sums->max + half, max);
}

/* A square of a widened f32 is exact, so that fusing it into its sum changes nothing. */
LQI_AVX2 void lqi_deviation_avx2(const float *a, const float *b, size_t n,
                                 struct lqi_deviation *sums)
{
  size_t whole = n / 8 * 8;
  fp_avx2_deviation(a, b, whole, 0, sums);
  fp_avx2_deviation(a, b, whole, 4, sums);
  lqi_deviation_c(a + whole, b + whole, n - whole, sums);
}

/* One or two columns, whose sums stay in registers. */
LQI_INLINE LQI_AVX2 void fp_avx2_spread(const float *m, size_t ld, size_t depth, const float *e,
                                        float *w, size_t columns)
{
  __m256 sum[2][4];
  X86_UNROLL
  for (size_t i = 0; i < 4 * columns; i++)
    sum[i / 4][i % 4] = _mm256_loadu_ps(w + 8 * i);
  for (size_t k = 0; k < depth; k++, m += ld, e += 32) {
    const __m256 e0 = _mm256_loadu_ps(e), e1 = _mm256_loadu_ps(e + 8), e2 = _mm256_loadu_ps(e + 16),
                 e3 = _mm256_loadu_ps(e + 24);
    X86_UNROLL
    for (size_t c = 0; c < columns; c++) {
      const __m256 f = _mm256_broadcast_ss(m + c);
      sum[c][0] = _mm256_fmadd_ps(f, e0, sum[c][0]);
      sum[c][1] = _mm256_fmadd_ps(f, e1, sum[c][1]);
      sum[c][2] = _mm256_fmadd_ps(f, e2, sum[c][2]);
      sum[c][3] = _mm256_fmadd_ps(f, e3, sum[c][3]);
    }
  }
  X86_UNROLL
  for (size_t i = 0; i < 4 * columns; i++)
    _mm256_storeu_ps(w + 8 * i, sum[i / 4][i % 4]);
}

LQI_AVX2 void lqi_spread_avx2(const float *m, size_t ld, size_t depth, const float *e, size_t count,
                              float *w)
{
  size_t c = 0;
  for (; c + 2 <= count; c += 2)
    fp_avx2_spread(m + c, ld, depth, e, w + 32 * c, 2);
  if (c < count)
    fp_avx2_spread(m + c, ld, depth, e, w + 32 * c, 1);
}

#define FP_AVX2_ABSMAX(suffix, dtype) \
  LQI_AVX2 float lqi_absmax_##suffix##_avx2(const void *x, size_t n) \
  { \
    return avx2_absmax(x, dtype, n); \
  }

#define FP_AVX2_CONVERT(suffix, dtype) \
  LQI_AVX2 void lqi_widen_##suffix##_avx2(const void *x, size_t n, float *out) \
  { \
    fp_avx2_widen(x, dtype, n, out); \
  } \
  LQI_AVX2 void lqi_narrow_##suffix##_avx2(const float *x, size_t n, void *out) \
  { \
    fp_avx2_narrow(x, dtype, n, out); \
  }

FP_AVX2_ABSMAX(f32, LQ_F32)
FP_AVX2_ABSMAX(f16, LQ_F16)
FP_AVX2_ABSMAX(bf16, LQ_BF16)
FP_AVX2_CONVERT(f16, LQ_F16)
FP_AVX2_CONVERT(bf16, LQ_BF16)

#endif
