/*
 * dots_i8_avxvnni.c - inner products of rows of 8-bit codes, AVX-VNNI.
 *
 * Owns: the tile of 2 rows by 4 rows.
 * Must not know: what the codes stand for.
 *
 * As dots_i8_avx512vbmi.c, in vectors of 32: bytes of b are 128 too much, so 128 times the sum of
 * each row of a, its excess, is summed beside and taken off.
 */
#include "kern_avx2.h"

#if LQI_X86

enum { DOTS8_AVX_A = 2, DOTS8_AVX_B = 4, DOTS8_AVX_STEP = 32 };

LQI_INLINE LQI_AVXVNNI __v8si dots8_avxvnni_multiply(__v8si sum, __m256i b, __m256i a)
{
  return (__v8si)_mm256_dpbusd_avx_epi32((__m256i)sum, b, a);
}

/* m rows of a by `rows` rows of b, constants where this is inlined. */
LQI_INLINE LQI_AVXVNNI void dots8_avxvnni_tile(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                               size_t rows, size_t n, int32_t *out, size_t stride)
{
  const __m256i bias = _mm256_set1_epi8((char)0x80);
  const size_t whole = n / DOTS8_AVX_STEP * DOTS8_AVX_STEP;
  __v8si sum[DOTS8_AVX_B + 1][DOTS8_AVX_A];
  X86_UNROLL
  for (size_t j = 0; j <= rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    sum[j][i] = (__v8si)_mm256_setzero_si256();
  for (size_t k = 0; k < whole; k += DOTS8_AVX_STEP) {
    __m256i v[DOTS8_AVX_A];
    X86_UNROLL
    for (size_t i = 0; i < m; i++) {
      _mm_prefetch((const char *)(a.from + (m + i) * a.stride + k), _MM_HINT_T0);
      v[i] = _mm256_loadu_si256((const void *)(a.from + i * a.stride + k));
      sum[rows][i] = dots8_avxvnni_multiply(sum[rows][i], bias, v[i]);
    }
    X86_UNROLL
    for (size_t j = 0; j < rows; j++) {
      __m256i w = _mm256_loadu_si256((const void *)(b.from + j * b.stride + k));
      X86_UNROLL
      for (size_t i = 0; i < m; i++)
        sum[j][i] = dots8_avxvnni_multiply(sum[j][i], w, v[i]);
    }
  }
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < m; i++)
      out[j * stride + i] =
          avx2_fold_i32(_mm256_sub_epi32((__m256i)sum[j][i], (__m256i)sum[rows][i])) +
          lqi_dot_i8_part(a.from + i * a.stride + whole, b.from + j * b.stride + whole, n - whole);
}

/* m rows of a, a constant where this is inlined, against all of b. */
LQI_INLINE LQI_AVXVNNI void dots8_avxvnni_strip(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                                size_t n, int32_t *out, size_t stride)
{
  for (; b.count >= DOTS8_AVX_B; b.count -= DOTS8_AVX_B) {
    dots8_avxvnni_tile(a, m, b, DOTS8_AVX_B, n, out, stride);
    b.from += DOTS8_AVX_B * b.stride;
    out += DOTS8_AVX_B * stride;
  }
  for (; b.count != 0; b.count--, b.from += b.stride, out += stride)
    dots8_avxvnni_tile(a, m, b, 1, n, out, stride);
}

LQI_AVXVNNI void lqi_dots_i8_avxvnni(struct lqi_bytes a, struct lqi_bytes b, size_t n, int32_t *out,
                                     size_t stride)
{
  for (; a.count >= DOTS8_AVX_A; a.count -= DOTS8_AVX_A, out += DOTS8_AVX_A) {
    dots8_avxvnni_strip(a, DOTS8_AVX_A, b, n, out, stride);
    a.from += DOTS8_AVX_A * a.stride;
  }
  if (a.count != 0)
    dots8_avxvnni_strip(a, 1, b, n, out, stride);
}

#endif
