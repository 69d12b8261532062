/*
 * strip_avx512vbmi.c - products of rows coded by a book of 256 values, where bytes can be permuted
 * across a register (VBMI).
 *
 * Owns: how a piece of two rows passes through one look-up.
 * Must not know: which method has this form.
 *
 * The look-up of kern_avx512.h takes 64 codes: 32 of each of two rows, so that groups of any number
 * of pieces have no remainder. Its table fills half of the registers; more
 * than two rows at a time gain nothing.
 */
#include "kern_avx512.h"

#if LQI_X86

enum { STRIPVBMI_AHEAD = 8192, STRIPVBMI_SUMS = 2 * LQI_STRIP_M };

/* The even columns of a piece of row a, the odd ones, then those of row b. */
LQI_INLINE LQI_AVX512VBMI void stripvbmi_values(const struct avx512vbmi_table *t, const uint8_t *a,
                                                const uint8_t *b, __m512 *v)
{
  const __m512i quarter = _mm512_set4_epi32(0x47454341, 0x46444240, 0x07050301, 0x06040200);
  const __m512i order = _mm512_add_epi8(
      quarter, _mm512_set_epi64(0x1818181818181818, 0x1818181818181818, 0x1010101010101010,
                                0x1010101010101010, 0x0808080808080808, 0x0808080808080808, 0, 0));
  __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)a));
  __m512i second = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)b));
  avx512vbmi_look_up(t, _mm512_permutex2var_epi8(first, order, second), v);
}

LQI_INLINE LQI_AVX512VBMI __m512 stripvbmi_scale(const struct lqi_strip *w, size_t r, size_t g)
{
  return _mm512_set1_ps(w->grid[r * w->grid_step + g]);
}

LQI_AVX512VBMI void lqi_strip_pair_book8_avx512vbmi(const struct lqi_strip *w, size_t rows,
                                                    size_t n, float *out, size_t stride)
{
  struct avx512vbmi_table t;
  avx512vbmi_prepare(&t, w->book);
  for (size_t r = 0; r < rows; r += 2) {
    size_t b = r + 1 < rows ? r + 1 : r; /* of a single row twice the same */
    for (size_t k = 0, g = 0; k < n; g++) {
      __m512 scale[2] = {stripvbmi_scale(w, r, g), stripvbmi_scale(w, b, g)};
      for (size_t end = k + w->group; k < end; k += LQI_PIECE) {
        __m512 v[4];
        stripvbmi_values(&t, w->codes + r * w->row_bytes + k, w->codes + b * w->row_bytes + k, v);
        _mm512_storeu_ps(out + r * stride + k, _mm512_mul_ps(v[0], scale[0]));
        _mm512_storeu_ps(out + r * stride + k + 16, _mm512_mul_ps(v[1], scale[0]));
        _mm512_storeu_ps(out + b * stride + k, _mm512_mul_ps(v[2], scale[1]));
        _mm512_storeu_ps(out + b * stride + k + 16, _mm512_mul_ps(v[3], scale[1]));
      }
    }
  }
}

/* Rows r .. r + rows - 1 of w, 1 or 2 of them, by m rows of x; m and rows are constants where this
 * is inlined. */
LQI_INLINE LQI_AVX512VBMI void stripvbmi_tile(const struct lqi_strip *w,
                                              const struct avx512vbmi_table *t, size_t r,
                                              size_t rows, size_t n, const float *x,
                                              size_t x_stride, size_t m, float *out, size_t stride)
{
  __m512 sum[STRIPVBMI_SUMS], scale[2];
  float result[STRIPVBMI_SUMS];
  size_t second = rows - 1; /* of a single row twice the same */
  const uint8_t *a = w->codes + r * w->row_bytes, *b = a + second * w->row_bytes;
  const uint8_t *next = a + STRIPVBMI_AHEAD;
  X86_UNROLL
  for (size_t i = 0; i < STRIPVBMI_SUMS; i++)
    sum[i] = _mm512_setzero_ps();
  for (size_t k = 0, g = 0; k < n; g++) {
    scale[0] = stripvbmi_scale(w, r, g);
    scale[1] = stripvbmi_scale(w, r + second, g);
    for (size_t end = k + w->group; k < end; k += LQI_PIECE, next += rows * LQI_PIECE) {
      __m512 v[4];
      _mm_prefetch((const char *)next, _MM_HINT_T0);
      stripvbmi_values(t, a + k, b + k, v);
      X86_UNROLL
      for (size_t i = 0; i < rows; i++) {
        __m512 even = _mm512_mul_ps(v[2 * i], scale[i]),
               odd = _mm512_mul_ps(v[2 * i + 1], scale[i]);
        X86_UNROLL
        for (size_t j = 0; j < m; j++) {
          const float *at = x + j * x_stride + k;
          __m512 s = _mm512_fmadd_ps(even, _mm512_loadu_ps(at), sum[j * rows + i]);
          sum[j * rows + i] = _mm512_fmadd_ps(odd, _mm512_loadu_ps(at + 16), s);
        }
      }
    }
  }
  _mm_storeu_ps(result, avx512_fold(sum[0], sum[1], sum[2], sum[3]));
  if (rows * m > 4)
    _mm_storeu_ps(result + 4, avx512_fold(sum[4], sum[5], sum[6], sum[7]));
  for (size_t j = 0; j < m; j++)
    memcpy(out + j * stride + r, result + j * rows, rows * sizeof *out);
}

LQI_INLINE LQI_AVX512VBMI void stripvbmi_tiles(const struct lqi_strip *w, size_t rows, size_t n,
                                               const float *x, size_t x_stride, size_t m,
                                               float *out, size_t stride)
{
  struct avx512vbmi_table t;
  size_t r = 0;
  avx512vbmi_prepare(&t, w->book);
  for (; r + 2 <= rows; r += 2)
    stripvbmi_tile(w, &t, r, 2, n, x, x_stride, m, out, stride);
  if (r < rows)
    stripvbmi_tile(w, &t, r, 1, n, x, x_stride, m, out, stride);
}

LQI_AVX512VBMI void lqi_strip_dots_book8_avx512vbmi(const struct lqi_strip *w, size_t rows,
                                                    size_t n, const float *x, size_t x_stride,
                                                    size_t m, float *out, size_t stride)
{
  if (m == 1)
    stripvbmi_tiles(w, rows, n, x, x_stride, 1, out, stride);
  else if (m == 2)
    stripvbmi_tiles(w, rows, n, x, x_stride, 2, out, stride);
  else if (m == 3)
    stripvbmi_tiles(w, rows, n, x, x_stride, 3, out, stride);
  else if (m == 4)
    stripvbmi_tiles(w, rows, n, x, x_stride, 4, out, stride);
}

#endif
