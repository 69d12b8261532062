/*
 * dots_i8_avx512.c - inner products of rows of 8-bit codes, AVX-512 without VNNI.
 *
 * Owns: the tile of 4 rows by 4 rows.
 * Must not know: what the codes stand for.
 *
 * As with AVX2 (dots_i8_avx2.c) bytes are widened to 16 bits, whose products are exact.
 */
#include "kern_avx512.h"

#if LQI_X86

enum { DOTS8_512_A = 4, DOTS8_512_B = 4 };

/* Of the type that addition has: gcc 12 copies sums of any other to and fro at every step. */
typedef __v16su dots8_512_t;

/* 32 codes in 16 bits each, or as many as there are lanes and zeros, from bytes that are `offset`
 * in one bit. */
LQI_INLINE LQI_AVX512 __m512i dots8_512_load(const uint8_t *p, int whole, __mmask32 lanes,
                                             __m256i offset)
{
  __m256i bytes = whole ? _mm256_loadu_si256((const void *)p) : _mm256_maskz_loadu_epi8(lanes, p);
  return _mm512_cvtepi8_epi16(_mm256_xor_si256(bytes, offset));
}

/* One step of 32 columns, or of fewer where it is not whole. Lanes beyond hold zeros of a. */
LQI_INLINE LQI_AVX512 void dots8_512_step(const uint8_t *a, size_t a_stride, size_t m,
                                          const uint8_t *b, size_t b_stride, size_t rows, int whole,
                                          __mmask32 lanes,
                                          dots8_512_t sum[DOTS8_512_B][DOTS8_512_A])
{
  __m512i v[DOTS8_512_A];
  X86_UNROLL
  for (size_t i = 0; i < m; i++)
    v[i] = dots8_512_load(a + i * a_stride, whole, lanes, _mm256_setzero_si256());
  X86_UNROLL
  for (size_t j = 0; j < rows; j++) {
    __m512i w = dots8_512_load(b + j * b_stride, whole, lanes, _mm256_set1_epi8((char)0x80));
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      sum[j][i] = (dots8_512_t)_mm512_add_epi32((__m512i)sum[j][i], _mm512_madd_epi16(v[i], w));
  }
}

/* m rows of a (4 or 1) by `rows` rows of b, constants where this is inlined. What comes
 * next of a is fetched meanwhile. */
LQI_INLINE LQI_AVX512 void dots8_512_tile(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                          size_t rows, size_t n, int32_t *out, size_t stride)
{
  dots8_512_t sum[DOTS8_512_B][DOTS8_512_A];
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    sum[j][i] = (dots8_512_t)_mm512_setzero_si512();
  size_t k = 0;
  for (; k + X86_LINE <= n; k += X86_LINE) {
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      _mm_prefetch((const char *)(a.from + (m + i) * a.stride + k), _MM_HINT_T0);
    dots8_512_step(a.from + k, a.stride, m, b.from + k, b.stride, rows, 1, 0, sum);
    dots8_512_step(a.from + k + 32, a.stride, m, b.from + k + 32, b.stride, rows, 1, 0, sum);
  }
  if (k + 32 <= n) {
    dots8_512_step(a.from + k, a.stride, m, b.from + k, b.stride, rows, 1, 0, sum);
    k += 32;
  }
  if (k < n)
    dots8_512_step(a.from + k, a.stride, m, b.from + k, b.stride, rows, 0, (1u << (n - k)) - 1u,
                   sum);
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    if (m == DOTS8_512_A)
      _mm_storeu_si128((void *)(out + j * stride),
                       avx512_fold_i32((__m512i)sum[j][0], (__m512i)sum[j][1], (__m512i)sum[j][2],
                                       (__m512i)sum[j][3]));
    else
      out[j * stride] = _mm512_reduce_add_epi32((__m512i)sum[j][0]);
}

/* m rows of a, a constant where this is inlined, against all of b. */
LQI_INLINE LQI_AVX512 void dots8_512_strip(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                           size_t n, int32_t *out, size_t stride)
{
  for (size_t left = b.count; left != 0;) {
    size_t rows = left >= DOTS8_512_B ? DOTS8_512_B : 1;
    if (rows == DOTS8_512_B)
      dots8_512_tile(a, m, b, DOTS8_512_B, n, out, stride);
    else
      dots8_512_tile(a, m, b, 1, n, out, stride);
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
