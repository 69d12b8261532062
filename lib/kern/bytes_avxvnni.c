/*
 * bytes_avxvnni.c - products of coded rows in 8 bits, AVX2 with AVX-VNNI.
 *
 * Owns: the unpacking of codes to bytes, and the tile of 16 rows of W by 4 rows of x.
 * Must not know: which method has which form.
 */
#include "kern_avx2.h"
#include "kern_bytes.h"

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
  const __m128i order = out->split
                            ? _mm_setr_epi8(0, 2, 8, 10, 1, 3, 9, 11, 0, 0, 0, 0, 0, 0, 0, 0)
                            : _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0, 0);
  struct lqi_byte_x to = *out;
  for (size_t k = 0; k < n; k += to.unit, to.t += to.rows, to.minus += to.rows) {
    __m256i sum = _mm256_setzero_si256();
    float most = lqi_absmax_f32_avx2(x + k, to.unit);
    to.q = out->q + k * to.rows;
    if (LQI_UNLIKELY(!(most <= FLT_MAX))) {
      lqi_byte_round_c(x + k, to.unit, &to, r);
      continue;
    }
    const int usual = most >= 0x1p-100f;
    __m256 by = _mm256_set1_ps(usual ? 127.0f / most : 0.0f);
    for (size_t c = 0; c < to.unit; c += 8) {
      __m256i v = bytes_avx2_round(x + k + c, by), words = _mm256_packs_epi32(v, v),
              bytes = _mm256_packs_epi16(words, words);
      __m128i eight = _mm_shuffle_epi8(
          _mm_unpacklo_epi64(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)),
          order);
      int8_t *q = to.q + c * to.rows + 4 * r;
      _mm_storeu_si32(q, eight);
      _mm_storeu_si32(q + 4 * to.rows, _mm_shuffle_epi32(eight, 1));
      sum = _mm256_add_epi32(sum, v);
    }
    to.t[r] = usual ? most / 127.0f : 0.0f;
    to.minus[r] = -avx2_fold_i32(sum) * to.times;
  }
}

/* ---- Weights ---- */

/* 32 codes of 4 bits: of each 8 the even columns, which `high` nibbles are, then the odd ones. */
LQI_INLINE LQI_AVX2 void bytes_avx2_split(const uint8_t *from, __m128i table, int high, uint8_t *to)
{
  const __m128i nibble = _mm_set1_epi8(15);
  __m128i both = _mm_loadu_si128((const void *)from);
  __m128i low = _mm_shuffle_epi8(table, _mm_and_si128(both, nibble)),
          top = _mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(both, 4), nibble));
  __m128i even = high ? top : low, odd = high ? low : top;
  _mm_storeu_si128((void *)to, _mm_unpacklo_epi32(even, odd));
  _mm_storeu_si128((void *)(to + 16), _mm_unpackhi_epi32(even, odd));
}

/* `count` columns of a row, whole pieces of 32. */
LQI_INLINE LQI_AVX2 void bytes_avx2_row(const uint8_t *from, int form, __m128i table, size_t count,
                                        uint8_t *to)
{
  const __m256i top = _mm256_set1_epi8(form == LQI_FORM_I8 ? (char)0x80 : 0);
  if (lqi_form_bits(form) < 4) {
    bytes_narrow(from, (uint32_t)lqi_form_bits(form), count, to);
    return;
  }
  for (size_t k = 0; k < count; k += 32)
    if (form == LQI_FORM_BOOK4 || form == LQI_FORM_LOW4)
      bytes_avx2_split(from + k / 2, table, form == LQI_FORM_BOOK4, to + k);
    else
      _mm256_storeu_si256((void *)(to + k),
                          _mm256_xor_si256(_mm256_loadu_si256((const void *)(from + k)), top));
}

/* Rows of a unit to [columns / 4][16][4]. */
LQI_INLINE LQI_AVX2 void bytes_avx2_tile(const struct bytes_unit *w, const uint8_t table[16],
                                         size_t columns, int form, float *tile)
{
  const __m128i book = _mm_loadu_si128((const void *)table);
  float natural[LQI_BYTE_ROWS][BYTES_UNIT / 4] = {{0}};
  for (size_t r = 0; r < w->rows; r++)
    bytes_avx2_row(w->codes + r * w->row_bytes, form, book, columns, (uint8_t *)natural[r]);
  lqi_transpose_f32_avx2(natural[0], BYTES_UNIT / 4, LQI_BYTE_ROWS, columns / 4, tile,
                         LQI_BYTE_ROWS);
}

/* ---- Products ---- */

/* Rows first .. of a panel, m of them, a constant where this is inlined. */
LQI_INLINE LQI_AVXVNNI void bytes_avxvnni_rows(const struct bytes_unit *w, const float *tile,
                                               const struct lqi_byte_x *x, size_t first, size_t m,
                                               float *out, size_t stride)
{
  __v8si whole[BYTES_AVX_X][2];
  const int8_t *q = x->q + 4 * first;
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    for (size_t h = 0; h < 2; h++)
      whole[j][h] = (__v8si)_mm256_mullo_epi32(_mm256_loadu_si256((const void *)(w->z + 8 * h)),
                                               _mm256_set1_epi32(x->minus[first + j]));
  for (const float *end = tile + x->unit * 4; tile < end; tile += 16, q += 4 * x->rows) {
    __m256i low = _mm256_loadu_si256((const void *)tile),
            high = _mm256_loadu_si256((const void *)(tile + 8));
    X86_UNROLL
    for (size_t j = 0; j < m; j++) {
      __m256i four = _mm256_broadcastd_epi32(_mm_loadu_si32(q + 4 * j));
      whole[j][0] = (__v8si)_mm256_dpbusd_avx_epi32((__m256i)whole[j][0], low, four);
      whole[j][1] = (__v8si)_mm256_dpbusd_avx_epi32((__m256i)whole[j][1], high, four);
    }
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    for (size_t h = 0; h < 2; h++) {
      float *y = out + j * stride + 8 * h;
      __m256 f = _mm256_mul_ps(_mm256_loadu_ps(w->f + 8 * h), _mm256_set1_ps(x->t[first + j]));
      _mm256_storeu_ps(
          y, _mm256_fmadd_ps(_mm256_cvtepi32_ps((__m256i)whole[j][h]), f, _mm256_loadu_ps(y)));
    }
}

LQI_INLINE LQI_AVXVNNI void bytes_avxvnni_unit(const struct bytes_unit *w, const uint8_t table[16],
                                               const struct lqi_byte_x *x, size_t m, float *out,
                                               size_t stride, int form)
{
  float tile[BYTES_UNIT * LQI_BYTE_ROWS / 4];
  bytes_avx2_tile(w, table, x->unit, form, tile);
  for (size_t p = 0; p * x->rows < m; p++) {
    const struct lqi_byte_x panel = bytes_panel(x, p);
    const size_t left = m - p * x->rows, rows = left < x->rows ? left : x->rows;
    size_t j = 0;
    for (; j + BYTES_AVX_X <= rows; j += BYTES_AVX_X, out += BYTES_AVX_X * stride)
      bytes_avxvnni_rows(w, tile, &panel, j, BYTES_AVX_X, out, stride);
    for (; j < rows; j++, out += stride)
      bytes_avxvnni_rows(w, tile, &panel, j, 1, out, stride);
  }
}

#define BYTES_AVXVNNI(name, form) \
  static LQI_AVXVNNI void bytes_avxvnni_unit_##name( \
      const struct bytes_unit *w, const uint8_t table[16], const struct lqi_byte_x *x, size_t m, \
      float *out, size_t stride) \
  { \
    bytes_avxvnni_unit(w, table, x, m, out, stride, form); \
  } \
  LQI_AVXVNNI void lqi_byte_dots_##name##_avxvnni(const struct lqi_strip *w, size_t rows, \
                                                  float step, const struct lqi_byte_x *x, \
                                                  size_t m, float *out, size_t stride) \
  { \
    bytes_walk(w, rows, step, x, m, out, stride, form, lqi_transpose_f32_avx2, \
               bytes_avxvnni_unit_##name); \
  }

BYTES_AVXVNNI(book4, LQI_FORM_BOOK4)
BYTES_AVXVNNI(low4, LQI_FORM_LOW4)
BYTES_AVXVNNI(low3, LQI_FORM_LOW3)
BYTES_AVXVNNI(low2, LQI_FORM_LOW2)
BYTES_AVXVNNI(u8, LQI_FORM_U8)
BYTES_AVXVNNI(i8, LQI_FORM_I8)

#endif
