/*
 * bytes_avxvnni.c - products of coded rows in 8 bits, AVX2 with AVX-VNNI.
 *
 * Owns: the unpacking of 4-bit codes to bytes, and the tile of 16 rows of W by 4 rows of x.
 * Must not know: which method has which form.
 */
#include "kern_avx2.h"

#if LQI_X86

#include <float.h>

enum { BYTES_AVX_X = 4 };

/* ---- x ---- */

LQI_INLINE LQI_AVX2 __m256i bytes_avx2_round(const float *x, __m256 by)
{
  return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), by));
}

LQI_AVX2 void lqi_byte_round_avx2(const float *x, size_t n, const struct lqi_byte_x *out, size_t r)
{
  struct lqi_byte_x to = *out;
  for (size_t k = 0; k < n; k += to.unit, to.t += LQI_BYTE_PANEL, to.minus += LQI_BYTE_PANEL) {
    __m256i sum = _mm256_setzero_si256();
    float most = lqi_absmax_f32_avx2(x + k, to.unit);
    to.q = out->q + k * LQI_BYTE_PANEL;
    if (LQI_UNLIKELY(!(most >= 0x1p-100f && most <= FLT_MAX))) {
      lqi_byte_round_c(x + k, to.unit, &to, r);
      continue;
    }
    __m256 by = _mm256_set1_ps(127.0f / most);
    for (size_t c = 0; c < to.unit; c += 8) {
      __m256i v = bytes_avx2_round(x + k + c, by), words = _mm256_packs_epi32(v, v),
              bytes = _mm256_packs_epi16(words, words);
      int8_t *q = to.q + c * LQI_BYTE_PANEL + 4 * r;
      _mm_storeu_si32(q, _mm256_castsi256_si128(bytes));
      _mm_storeu_si32(q + 4 * LQI_BYTE_PANEL, _mm256_extracti128_si256(bytes, 1));
      sum = _mm256_add_epi32(sum, v);
    }
    to.t[r] = most / 127.0f;
    to.minus[r] = -avx2_fold_i32(sum);
  }
}

/* ---- Weights ---- */

/* 32 codes to their table's bytes; `high`: the first of two is the higher one. */
LQI_INLINE LQI_AVX2 void bytes_avx2_row(const uint8_t *from, size_t n, __m256i table, int high,
                                        uint8_t *to)
{
  const __m256i nibble = _mm256_set1_epi8(15);
  for (size_t k = 0; k < n; k += 32) {
    __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(from + k / 2)));
    __m256i low = _mm256_slli_epi16(both, high ? 8 : 4),
            first = _mm256_srli_epi16(both, high ? 4 : 0);
    __m256i code = high ? _mm256_or_si256(first, low) : _mm256_or_si256(both, low);
    code = _mm256_and_si256(code, nibble);
    _mm256_storeu_si256((void *)(to + k), _mm256_shuffle_epi8(table, code));
  }
}

LQI_AVX2 void lqi_strip_bytes_book4_avx2(const struct lqi_strip *w, size_t rows, size_t n,
                                         uint8_t *out, size_t stride)
{
  uint8_t book[16];
  lqi_byte_book(w->book, book);
  __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)book));
  for (size_t r = 0; r < rows; r++)
    bytes_avx2_row(w->codes + r * w->row_bytes, n, table, 1, out + r * stride);
}

LQI_AVX2 void lqi_strip_bytes_low4_avx2(const struct lqi_strip *w, size_t rows, size_t n,
                                        uint8_t *out, size_t stride)
{
  const __m256i table = _mm256_broadcastsi128_si256(
      _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  for (size_t r = 0; r < rows; r++)
    bytes_avx2_row(w->codes + r * w->row_bytes, n, table, 0, out + r * stride);
}

/* ---- Products ---- */

/* A unit of m rows of a panel, a constant where this is inlined: added to `sum`. */
LQI_INLINE LQI_AVXVNNI void bytes_avxvnni_unit(const uint8_t *c, const uint8_t *end,
                                               const struct lqi_byte_x *x, size_t m,
                                               const __m256i z[2], const __m256 f[2],
                                               __m256 (*sum)[2])
{
  __v8si whole[BYTES_AVX_X][2];
  const int8_t *q = x->q;
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    for (size_t h = 0; h < 2; h++)
      whole[j][h] = (__v8si)_mm256_mullo_epi32(z[h], _mm256_set1_epi32(x->minus[j]));
  for (; c < end; c += 4 * LQI_BYTE_ROWS, q += 4 * LQI_BYTE_PANEL) {
    __m256i low = _mm256_loadu_si256((const void *)c),
            high = _mm256_loadu_si256((const void *)(c + 32));
    X86_UNROLL
    for (size_t j = 0; j < m; j++) {
      __m256i four = _mm256_broadcastd_epi32(_mm_loadu_si32(q + 4 * j));
      whole[j][0] = (__v8si)_mm256_dpbusd_avx_epi32((__m256i)whole[j][0], low, four);
      whole[j][1] = (__v8si)_mm256_dpbusd_avx_epi32((__m256i)whole[j][1], high, four);
    }
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    for (size_t h = 0; h < 2; h++)
      sum[j][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps((__m256i)whole[j][h]),
                                  _mm256_mul_ps(f[h], _mm256_set1_ps(x->t[j])), sum[j][h]);
}

LQI_INLINE LQI_AVXVNNI void bytes_avxvnni_rows(const struct lqi_byte_w *w,
                                               const struct lqi_byte_x *from, size_t first,
                                               size_t m, float *out, size_t stride)
{
  const size_t step = from->unit * LQI_BYTE_ROWS;
  struct lqi_byte_x x = *from;
  __m256 sum[BYTES_AVX_X][2], by = _mm256_set1_ps(w->step);
  const float *grid = w->grid;
  const uint8_t *c = w->c, *end = c + x.n * LQI_BYTE_ROWS;
  x.q += 4 * first, x.t += first, x.minus += first;
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    sum[j][0] = sum[j][1] = _mm256_setzero_ps();
  while (c < end) {
    __m256 f[2] = {_mm256_mul_ps(_mm256_loadu_ps(grid), by),
                   _mm256_mul_ps(_mm256_loadu_ps(grid + 8), by)};
    __m256i z[2] = {_mm256_set1_epi32(128), _mm256_set1_epi32(128)};
    if (w->numbers == 2) {
      z[0] = _mm256_cvtps_epi32(_mm256_loadu_ps(grid + 16));
      z[1] = _mm256_cvtps_epi32(_mm256_loadu_ps(grid + 24));
    }
    for (const uint8_t *stop = c + w->group * LQI_BYTE_ROWS; c < stop; c += step) {
      bytes_avxvnni_unit(c, c + step, &x, m, z, f, sum);
      x.q += x.unit * LQI_BYTE_PANEL, x.t += LQI_BYTE_PANEL, x.minus += LQI_BYTE_PANEL;
    }
    grid += w->numbers * LQI_BYTE_ROWS;
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++) {
    _mm256_storeu_ps(out + (first + j) * stride, sum[j][0]);
    _mm256_storeu_ps(out + (first + j) * stride + 8, sum[j][1]);
  }
}

LQI_AVXVNNI void lqi_byte_dots_avxvnni(const struct lqi_byte_w *w, const struct lqi_byte_x *x,
                                       size_t m, float *out, size_t stride)
{
  size_t j = 0;
  for (; j + BYTES_AVX_X <= m; j += BYTES_AVX_X)
    bytes_avxvnni_rows(w, x, j, BYTES_AVX_X, out, stride);
  for (; j < m; j++)
    bytes_avxvnni_rows(w, x, j, 1, out, stride);
}

#endif
