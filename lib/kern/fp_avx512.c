/*
 * fp_avx512.c - floating-point kernels, AVX-512.
 *
 * Owns: absmax, conversions and the inner product, 16 lanes wide.
 * Must not know: codes.
 */
#include "kern_avx512.h"

#if LQI_X86

LQI_INLINE LQI_AVX512 void fp_avx512_widen(const void *x, int32_t dtype, size_t n, float *out)
{
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    _mm512_storeu_ps(out + i, avx512_load(x, dtype, i));
  if (i < n)
    _mm512_mask_storeu_ps(out + i, avx512_lanes(i, n),
                          avx512_load_part(x, dtype, i, avx512_lanes(i, n)));
}

LQI_INLINE LQI_AVX512 void fp_avx512_narrow(const float *x, int32_t dtype, size_t n, void *out)
{
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    avx512_store_pair(out, dtype, i, _mm512_loadu_ps(x + i), _mm512_loadu_ps(x + i + 16), 1, 0);
  for (; i < n; i += 16)
    avx512_store_part(out, dtype, i, _mm512_maskz_loadu_ps(avx512_lanes(i, n), x + i), 1,
                      avx512_lanes(i, n));
}

/* The 16 chains are the lanes; a lane without an element keeps its sum, as a fused +0 could turn -0
 * into +0. */
/* A square of a widened f32 is exact, so that fusing it into its sum changes nothing. */
LQI_AVX512 void lqi_deviation_avx512(const float *a, const float *b, size_t n,
                                     struct lqi_deviation *sums)
{
  __m512d aa = _mm512_loadu_pd(sums->aa), bb = _mm512_loadu_pd(sums->bb);
  __m512d dd = _mm512_loadu_pd(sums->dd), ab = _mm512_loadu_pd(sums->ab);
  __m512d max = _mm512_loadu_pd(sums->max);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m512d x = _mm512_cvtps_pd(_mm256_loadu_ps(a + i)),
            y = _mm512_cvtps_pd(_mm256_loadu_ps(b + i));
    __m512d d = _mm512_sub_pd(x, y);
    aa = _mm512_fmadd_pd(x, x, aa);
    bb = _mm512_fmadd_pd(y, y, bb);
    ab = _mm512_fmadd_pd(x, y, ab);
    dd = _mm512_add_pd(dd, _mm512_mul_pd(d, d));
    max = _mm512_max_pd(max, _mm512_abs_pd(d));
  }
  _mm512_storeu_pd(sums->aa, aa);
  _mm512_storeu_pd(sums->bb, bb);
  _mm512_storeu_pd(sums->dd, dd);
  _mm512_storeu_pd(sums->ab, ab);
  _mm512_storeu_pd(sums->max, max);
  lqi_deviation_c(a + i, b + i, n - i, sums);
}

/* Some columns, whose sums stay in registers. */
LQI_INLINE LQI_AVX512 void fp_avx512_spread(const float *m, size_t ld, size_t depth, const float *e,
                                            float *w, size_t columns)
{
  __m512 low[8], high[8];
  X86_UNROLL
  for (size_t c = 0; c < columns; c++) {
    low[c] = _mm512_loadu_ps(w + 32 * c);
    high[c] = _mm512_loadu_ps(w + 32 * c + 16);
  }
  for (size_t k = 0; k < depth; k++, m += ld, e += 32) {
    const __m512 first = _mm512_loadu_ps(e), second = _mm512_loadu_ps(e + 16);
    X86_UNROLL
    for (size_t c = 0; c < columns; c++) {
      const __m512 f = _mm512_set1_ps(m[c]);
      low[c] = _mm512_fmadd_ps(f, first, low[c]);
      high[c] = _mm512_fmadd_ps(f, second, high[c]);
    }
  }
  X86_UNROLL
  for (size_t c = 0; c < columns; c++) {
    _mm512_storeu_ps(w + 32 * c, low[c]);
    _mm512_storeu_ps(w + 32 * c + 16, high[c]);
  }
}

LQI_AVX512 void lqi_spread_avx512(const float *m, size_t ld, size_t depth, const float *e,
                                  size_t count, float *w)
{
  size_t c = 0;
  for (; c + 8 <= count; c += 8)
    fp_avx512_spread(m + c, ld, depth, e, w + 32 * c, 8);
  for (; c < count; c++)
    fp_avx512_spread(m + c, ld, depth, e, w + 32 * c, 1);
}

#define FP_AVX512_ABSMAX(suffix, dtype) \
  LQI_AVX512 float lqi_absmax_##suffix##_avx512(const void *x, size_t n) \
  { \
    return avx512_absmax(x, dtype, 0, n); \
  }

#define FP_AVX512_CONVERT(suffix, dtype) \
  LQI_AVX512 void lqi_widen_##suffix##_avx512(const void *x, size_t n, float *out) \
  { \
    fp_avx512_widen(x, dtype, n, out); \
  } \
  LQI_AVX512 void lqi_narrow_##suffix##_avx512(const float *x, size_t n, void *out) \
  { \
    fp_avx512_narrow(x, dtype, n, out); \
  }

FP_AVX512_ABSMAX(f32, LQ_F32)
FP_AVX512_ABSMAX(f16, LQ_F16)
FP_AVX512_ABSMAX(bf16, LQ_BF16)
FP_AVX512_CONVERT(f16, LQ_F16)
FP_AVX512_CONVERT(bf16, LQ_BF16)

#endif
