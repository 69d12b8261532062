/*
 * dots_i8_avx2.c - inner products of rows of 8-bit codes, AVX2.
 *
 * Owns: the tile of 2 rows by 4 rows.
 * Must not know: what the codes stand for.
 *
 * The instruction for products of bytes saturates: 255 * 127 twice is too much for 16 bits. Bytes
 * widened to 16 bits multiply exactly, b as it stands; 128 times the sum of a row of a is taken off
 * at the end. Sums wrap modulo 2^32, and the difference is exact as it fits.
 */
#include "kern_avx2.h"

#if LQI_X86

enum { DOTS8_AVX2_A = 2, DOTS8_AVX2_B = 4 };

LQI_INLINE LQI_AVX2 __m256i dots8_avx2_signed(const uint8_t *a)
{
  return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)a));
}

LQI_INLINE LQI_AVX2 int32_t dots8_avx2_fold(__m256i sum)
{
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  four = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 1));
  return _mm_cvtsi128_si32(four);
}

/* 128 times the sums of m rows, n columns, lane by lane. */
LQI_INLINE LQI_AVX2 void dots8_avx2_excess(struct lqi_bytes a, size_t m, size_t n, __m256i *excess)
{
  for (size_t i = 0; i < m; i++) {
    excess[i] = _mm256_setzero_si256();
    for (size_t k = 0; k < n; k += 16)
      excess[i] = _mm256_add_epi32(
          excess[i],
          _mm256_madd_epi16(dots8_avx2_signed(a.from + i * a.stride + k), _mm256_set1_epi16(128)));
  }
}

/* m rows of a by `rows` rows of b, constants where this is inlined. */
LQI_INLINE LQI_AVX2 void dots8_avx2_tile(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                         size_t rows, size_t n, const __m256i *excess, int32_t *out,
                                         size_t stride)
{
  __m256i sum[DOTS8_AVX2_B][DOTS8_AVX2_A];
  size_t whole = n / 16 * 16;
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    sum[j][i] = _mm256_setzero_si256();
  for (size_t k = 0; k < whole; k += 16) {
    __m256i v[DOTS8_AVX2_A];
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      v[i] = dots8_avx2_signed(a.from + i * a.stride + k);
    X86_UNROLL
    for (size_t j = 0; j < rows; j++) {
      __m256i w = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(b.from + j * b.stride + k)));
      X86_UNROLL
      for (size_t i = 0; i < m; i++)
        sum[j][i] = _mm256_add_epi32(sum[j][i], _mm256_madd_epi16(v[i], w));
    }
  }
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    out[j * stride + i] =
        dots8_avx2_fold(_mm256_sub_epi32(sum[j][i], excess[i])) +
        lqi_dot_i8_part(a.from + i * a.stride + whole, b.from + j * b.stride + whole, n - whole);
}

/* m rows of a, a constant where this is inlined, against all of b. */
LQI_INLINE LQI_AVX2 void dots8_avx2_strip(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                          size_t n, int32_t *out, size_t stride)
{
  __m256i excess[DOTS8_AVX2_A];
  dots8_avx2_excess(a, m, n / 16 * 16, excess);
  for (size_t left = b.count; left != 0;) {
    size_t rows = left >= DOTS8_AVX2_B ? DOTS8_AVX2_B : 1;
    if (rows == DOTS8_AVX2_B)
      dots8_avx2_tile(a, m, b, DOTS8_AVX2_B, n, excess, out, stride);
    else
      dots8_avx2_tile(a, m, b, 1, n, excess, out, stride);
    b.from += rows * b.stride;
    out += rows * stride;
    left -= rows;
  }
}

LQI_AVX2 void lqi_dots_i8_avx2(struct lqi_bytes a, struct lqi_bytes b, size_t n, int32_t *out,
                               size_t stride)
{
  for (size_t left = a.count; left != 0;) {
    size_t m = left >= DOTS8_AVX2_A ? DOTS8_AVX2_A : 1;
    if (m == DOTS8_AVX2_A)
      dots8_avx2_strip(a, DOTS8_AVX2_A, b, n, out, stride);
    else
      dots8_avx2_strip(a, 1, b, n, out, stride);
    a.from += m * a.stride;
    out += m;
    left -= m;
  }
}

#endif
