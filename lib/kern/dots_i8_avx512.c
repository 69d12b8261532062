/*
 * dots_i8_avx512.c - inner products of rows of 8-bit codes, AVX-512 without VNNI.
 *
 * Owns: the tile of 4 rows by 4 rows.
 * Must not know: what the codes stand for.
 *
 * As with AVX2 (dots_i8_avx2.c) bytes are widened to 16 bits, b as it stands, and 128 times the sum
 * of a row of a is taken off at the end.
 */
#include "kern_avx512.h"

#if LQI_X86

enum { DOTS8_512_A = 4, DOTS8_512_B = 4 };

/* Columns k .. k + 31 of n, those beyond n as zeros. */
LQI_INLINE LQI_AVX512 __m256i dots8_512_load(const uint8_t *row, size_t k, size_t n)
{
  if (LQI_LIKELY(n - k >= 32))
    return _mm256_loadu_si256((const void *)(row + k));
  return _mm256_maskz_loadu_epi8((1u << (n - k)) - 1u, row + k);
}

/* 128 times the sums of m rows, lane by lane. */
LQI_INLINE LQI_AVX512 void dots8_512_excess(struct lqi_bytes a, size_t m, size_t n, __m512i *excess)
{
  for (size_t i = 0; i < m; i++) {
    excess[i] = _mm512_setzero_si512();
    for (size_t k = 0; k < n; k += 32) {
      __m512i v = _mm512_cvtepi8_epi16(dots8_512_load(a.from + i * a.stride, k, n));
      excess[i] = _mm512_add_epi32(excess[i], _mm512_madd_epi16(v, _mm512_set1_epi16(128)));
    }
  }
}

/* m rows of a by `rows` rows of b, constants where this is inlined. */
LQI_INLINE LQI_AVX512 void dots8_512_tile(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                          size_t rows, size_t n, const __m512i *excess,
                                          int32_t *out, size_t stride)
{
  __m512i sum[DOTS8_512_B][DOTS8_512_A];
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    sum[j][i] = _mm512_setzero_si512();
  for (size_t k = 0; k < n; k += 32) {
    __m512i v[DOTS8_512_A];
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      v[i] = _mm512_cvtepi8_epi16(dots8_512_load(a.from + i * a.stride, k, n));
    X86_UNROLL
    for (size_t j = 0; j < rows; j++) {
      __m512i w = _mm512_cvtepu8_epi16(dots8_512_load(b.from + j * b.stride, k, n));
      X86_UNROLL
      for (size_t i = 0; i < m; i++)
        sum[j][i] = _mm512_add_epi32(sum[j][i], _mm512_madd_epi16(v[i], w));
    }
  }
  X86_UNROLL
  for (size_t j = 0; j < rows; j++) {
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      sum[j][i] = _mm512_sub_epi32(sum[j][i], excess[i]);
    if (m == DOTS8_512_A)
      _mm_storeu_si128((void *)(out + j * stride),
                       avx512_fold_i32(sum[j][0], sum[j][1], sum[j][2], sum[j][3]));
    else
      out[j * stride] = _mm512_reduce_add_epi32(sum[j][0]);
  }
}

/* m rows of a, a constant where this is inlined, against all of b. */
LQI_INLINE LQI_AVX512 void dots8_512_strip(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                           size_t n, int32_t *out, size_t stride)
{
  __m512i excess[DOTS8_512_A];
  dots8_512_excess(a, m, n, excess);
  for (size_t left = b.count; left != 0;) {
    size_t rows = left >= DOTS8_512_B ? DOTS8_512_B : 1;
    if (rows == DOTS8_512_B)
      dots8_512_tile(a, m, b, DOTS8_512_B, n, excess, out, stride);
    else
      dots8_512_tile(a, m, b, 1, n, excess, out, stride);
    b.from += rows * b.stride;
    out += rows * stride;
    left -= rows;
  }
}

LQI_AVX512 void lqi_dots_i8_avx512(struct lqi_bytes a, struct lqi_bytes b, size_t n, int32_t *out,
                                   size_t stride)
{
  for (size_t left = a.count; left != 0;) {
    size_t m = left >= DOTS8_512_A ? DOTS8_512_A : 1;
    if (m == DOTS8_512_A)
      dots8_512_strip(a, DOTS8_512_A, b, n, out, stride);
    else
      dots8_512_strip(a, 1, b, n, out, stride);
    a.from += m * a.stride;
    out += m;
    left -= m;
  }
}

#endif
