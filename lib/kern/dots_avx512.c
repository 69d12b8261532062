/*
 * dots_avx512.c - many inner products at once, AVX-512.
 *
 * Owns: the tile of 4 rows by 6 rows, whose 24 sums stay in registers.
 * Must not know: where the rows come from.
 */
#include "kern_avx512.h"

#if LQI_X86

/*
 * The chains of four sums folded, l with l + 8, then + 4, + 2, + 1, four sums at a time: two folds
 * of registers join two sums each, then every quarter of the register holds one.
 */
LQI_INLINE LQI_AVX512 __m128 dots_avx512_fold(__m512 a, __m512 b, __m512 c, __m512 d)
{
  __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
  __m512 v = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
  v = _mm512_add_ps(v, _mm512_permute_ps(v, 0x4e));
  v = _mm512_add_ps(v, _mm512_permute_ps(v, 0xb1));
  return _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, v));
}

/* 4 rows of a by `rows` rows of b, a constant where this is inlined. */
LQI_INLINE LQI_AVX512 void dots_avx512_tile(const float *a, size_t a_stride, const float *b,
                                            size_t b_stride, size_t rows, size_t n, float *out,
                                            size_t stride)
{
  __m512 sum[6][4];
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < 4; i++)
    sum[j][i] = _mm512_setzero_ps();
  size_t k = 0;
  for (; k + 16 <= n; k += 16) {
    __m512 v[4];
    X86_UNROLL
    for (size_t i = 0; i < 4; i++)
      v[i] = _mm512_loadu_ps(a + i * a_stride + k);
    X86_UNROLL
    for (size_t j = 0; j < rows; j++) {
      __m512 w = _mm512_loadu_ps(b + j * b_stride + k);
      X86_UNROLL
      for (size_t i = 0; i < 4; i++)
        sum[j][i] = _mm512_fmadd_ps(v[i], w, sum[j][i]);
    }
  }
  if (k < n) {
    __mmask16 lanes = avx512_lanes(k, n);
    X86_UNROLL
    for (size_t j = 0; j < rows; j++) {
      __m512 w = _mm512_maskz_loadu_ps(lanes, b + j * b_stride + k);
      X86_UNROLL
      for (size_t i = 0; i < 4; i++)
        sum[j][i] = _mm512_mask3_fmadd_ps(_mm512_maskz_loadu_ps(lanes, a + i * a_stride + k), w,
                                          sum[j][i], lanes);
    }
  }
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    _mm_storeu_ps(out + j * stride, dots_avx512_fold(sum[j][0], sum[j][1], sum[j][2], sum[j][3]));
}

/* `rows` rows of b, a constant where this is inlined, against all of a. They stay in L1 meanwhile,
 * where the loads of both sides together are fewest. */
LQI_INLINE LQI_AVX512 void dots_avx512_strip(struct lqi_rows a, const float *b, size_t b_stride,
                                             size_t rows, size_t n, float *out, size_t stride)
{
  size_t i = 0;
  for (; i + 4 <= a.count; i += 4)
    dots_avx512_tile(a.from + i * a.stride, a.stride, b, b_stride, rows, n, out + i, stride);
  for (; i < a.count; i++)
    for (size_t j = 0; j < rows; j++)
      out[j * stride + i] = lqi_dot_avx512(a.from + i * a.stride, b + j * b_stride, n);
}

LQI_AVX512 void lqi_dots_avx512(struct lqi_rows a, struct lqi_rows b, size_t n, float *out,
                                size_t stride)
{
  size_t j = 0;
  for (; j + 6 <= b.count; j += 6)
    dots_avx512_strip(a, b.from + j * b.stride, b.stride, 6, n, out + j * stride, stride);
  for (; j + 2 <= b.count; j += 2)
    dots_avx512_strip(a, b.from + j * b.stride, b.stride, 2, n, out + j * stride, stride);
  if (j < b.count)
    dots_avx512_strip(a, b.from + j * b.stride, b.stride, 1, n, out + j * stride, stride);
}

#endif
