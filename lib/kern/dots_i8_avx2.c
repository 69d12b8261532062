/*
 * dots_i8_avx2.c - inner products of rows of 8-bit codes, AVX2.
 *
 * Owns: the tile of 2 rows by 4 rows.
 * Must not know: what the codes stand for.
 *
 * The instruction for products of bytes saturates, as 255 * 127 twice is too much for 16 bits.
 * Bytes widened to 16 bits multiply exactly.
 */
#include "kern_avx2.h"

#if LQI_X86

enum { DOTS8_AVX2_A = 2, DOTS8_AVX2_B = 4 };

/* Of the type that addition has: gcc 12 copies sums of any other to and fro at every step. */
typedef __v8su dots8_avx2_t;

/* Sixteen codes in 16 bits each, from bytes that are `offset` in one bit. */
LQI_INLINE LQI_AVX2 __m256i dots8_avx2_load(const uint8_t *p, __m128i offset)
{
  return _mm256_cvtepi8_epi16(_mm_xor_si128(_mm_loadu_si128((const void *)p), offset));
}

/* One step of 16 columns. */
LQI_INLINE LQI_AVX2 void dots8_avx2_step(const uint8_t *a, size_t a_stride, size_t m,
                                         const uint8_t *b, size_t b_stride, size_t rows,
                                         dots8_avx2_t sum[DOTS8_AVX2_B][DOTS8_AVX2_A])
{
  const __m128i none = _mm_setzero_si128(), offset = _mm_set1_epi8((char)0x80);
  __m256i v[DOTS8_AVX2_A];
  X86_UNROLL
  for (size_t i = 0; i < m; i++)
    v[i] = dots8_avx2_load(a + i * a_stride, none);
  X86_UNROLL
  for (size_t j = 0; j < rows; j++) {
    __m256i w = dots8_avx2_load(b + j * b_stride, offset);
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      sum[j][i] = (dots8_avx2_t)_mm256_add_epi32((__m256i)sum[j][i], _mm256_madd_epi16(v[i], w));
  }
}

/* m rows of a by `rows` rows of b, constants where this is inlined. Those of a that
 * come next are fetched meanwhile: rows at a distance of a page are no stream to a processor. */
LQI_INLINE LQI_AVX2 void dots8_avx2_tile(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                         size_t rows, size_t n, int32_t *out, size_t stride)
{
  dots8_avx2_t sum[DOTS8_AVX2_B][DOTS8_AVX2_A];
  size_t whole = n / 16 * 16;
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    sum[j][i] = (dots8_avx2_t)_mm256_setzero_si256();
  size_t k = 0;
  for (; k + X86_LINE <= whole; k += X86_LINE) {
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      _mm_prefetch((const char *)(a.from + (m + i) * a.stride + k), _MM_HINT_T0);
    X86_UNROLL
    for (size_t part = 0; part < X86_LINE; part += 16)
      dots8_avx2_step(a.from + k + part, a.stride, m, b.from + k + part, b.stride, rows, sum);
  }
  for (; k < whole; k += 16)
    dots8_avx2_step(a.from + k, a.stride, m, b.from + k, b.stride, rows, sum);
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    out[j * stride + i] = avx2_fold_i32((__m256i)sum[j][i]);
  if (whole == n)
    return;
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < m; i++)
      out[j * stride + i] +=
          lqi_dot_i8_part(a.from + i * a.stride + whole, b.from + j * b.stride + whole, n - whole);
}

/* m rows of a, a constant where this is inlined, against all of b. */
LQI_INLINE LQI_AVX2 void dots8_avx2_strip(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                          size_t n, int32_t *out, size_t stride)
{
  for (size_t left = b.count; left != 0;) {
    size_t rows = left >= DOTS8_AVX2_B ? DOTS8_AVX2_B : 1;
    if (rows == DOTS8_AVX2_B)
      dots8_avx2_tile(a, m, b, DOTS8_AVX2_B, n, out, stride);
    else
      dots8_avx2_tile(a, m, b, 1, n, out, stride);
    b.from += rows * b.stride;
    out += rows * stride;
    left -= rows;
  }
}

LQI_AVX2 void lqi_dots_i8_avx2(struct lqi_bytes a, struct lqi_bytes b, size_t n, int32_t *out,
                               size_t stride)
{
  const size_t most = b.count < DOTS8_AVX2_B ? 1 : DOTS8_AVX2_A;
  for (size_t left = a.count; left != 0;) {
    size_t m = left >= most ? most : 1;
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
