/*
 * dots_avx2.c - many inner products at once, AVX2.
 *
 * Owns: the tile of 2 rows by 3 rows, whose 6 sums take 12 of the 16 registers.
 * Must not know: where the rows come from.
 */
#include "kern_avx2.h"

#include <math.h>

#if LQI_X86

/* The last n < 16 elements, added to the chains of a sum in memory. */
LQI_INLINE LQI_AVX2 void dots_avx2_rest(const float *a, const float *b, size_t n, __m256 *sum)
{
  float chain[16];
  _mm256_storeu_ps(chain, sum[0]);
  _mm256_storeu_ps(chain + 8, sum[1]);
  for (size_t k = 0; k < n; k++)
    chain[k] = fmaf(a[k], b[k], chain[k]);
  sum[0] = _mm256_loadu_ps(chain);
  sum[1] = _mm256_loadu_ps(chain + 8);
}

LQI_INLINE LQI_AVX2 float dots_avx2_fold(const __m256 *sum)
{
  __m256 eight = _mm256_add_ps(sum[0], sum[1]);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

/* 2 rows of a by `rows` rows of b, a constant where this is inlined. */
LQI_INLINE LQI_AVX2 void dots_avx2_tile(const float *a, size_t a_stride, const float *b,
                                        size_t b_stride, size_t rows, size_t n, float *out,
                                        size_t stride)
{
  __m256 sum[3][2][2];
  size_t k = 0;
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < 2; i++)
      sum[j][i][0] = sum[j][i][1] = _mm256_setzero_ps();
  for (; k + 16 <= n; k += 16)
    X86_UNROLL
  for (size_t half = 0; half < 2; half++) {
    __m256 u = _mm256_loadu_ps(a + k + 8 * half), v = _mm256_loadu_ps(a + a_stride + k + 8 * half);
    X86_UNROLL
    for (size_t j = 0; j < rows; j++) {
      __m256 w = _mm256_loadu_ps(b + j * b_stride + k + 8 * half);
      sum[j][0][half] = _mm256_fmadd_ps(u, w, sum[j][0][half]);
      sum[j][1][half] = _mm256_fmadd_ps(v, w, sum[j][1][half]);
    }
  }
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < 2; i++) {
      if (k < n)
        dots_avx2_rest(a + i * a_stride + k, b + j * b_stride + k, n - k, sum[j][i]);
      out[j * stride + i] = dots_avx2_fold(sum[j][i]);
    }
}

LQI_AVX2 void lqi_dots_avx2(struct lqi_rows a, struct lqi_rows b, size_t n, float *out,
                            size_t stride)
{
  size_t i = 0;
  for (; i + 2 <= a.count; i += 2) {
    const float *two = a.from + i * a.stride;
    size_t j = 0;
    for (; j + 3 <= b.count; j += 3)
      dots_avx2_tile(two, a.stride, b.from + j * b.stride, b.stride, 3, n, out + j * stride + i,
                     stride);
    for (; j < b.count; j++)
      dots_avx2_tile(two, a.stride, b.from + j * b.stride, b.stride, 1, n, out + j * stride + i,
                     stride);
  }
  if (i < a.count)
    for (size_t j = 0; j < b.count; j++)
      out[j * stride + i] = lqi_dot_avx2(a.from + i * a.stride, b.from + j * b.stride, n);
}

#endif
