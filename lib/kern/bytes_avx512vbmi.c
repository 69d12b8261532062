/*
 * bytes_avx512vbmi.c - products of coded rows in 8 bits, AVX-512 with VBMI and VNNI.
 *
 * Owns: the unpacking of codes to bytes, and the tile of 16 rows of W by 12 rows of x.
 * Must not know: which method has which form.
 *
 * One instruction multiplies four columns of 16 rows of W, a vector of bytes, by four of a row of
 * x, the same in every lane. All columns of a tile pass by while its sums stay in registers.
 */
#include "kern_avx512.h"

#if LQI_X86

/* Codes come from memory: rows that follow are asked for early enough. */
enum { BYTES_AHEAD = 16384 };

/* The instruction's own type: any other has its sums copied to and fro (gcc 12). */
typedef __v16si bytes_vnni_t;

/* ---- x ---- */

/* The four words of a vector, into a panel. */
LQI_INLINE LQI_AVX512 void bytes_512_store(int8_t *q, __m128i v)
{
  _mm_storeu_si32(q, v);
  _mm_storeu_si32(q + 4 * LQI_BYTE_PANEL, _mm_shuffle_epi32(v, 1));
  _mm_storeu_si32(q + 8 * LQI_BYTE_PANEL, _mm_shuffle_epi32(v, 2));
  _mm_storeu_si32(q + 12 * LQI_BYTE_PANEL, _mm_shuffle_epi32(v, 3));
}

LQI_AVX512 void lqi_byte_round_avx512(const float *x, size_t n, const struct lqi_byte_x *out,
                                      size_t r)
{
  struct lqi_byte_x to = *out;
  for (size_t k = 0; k < n; k += to.unit, to.t += LQI_BYTE_PANEL, to.minus += LQI_BYTE_PANEL) {
    __m512i sum = _mm512_setzero_si512();
    float most = lqi_absmax_f32_avx512(x + k, to.unit);
    to.q = out->q + k * LQI_BYTE_PANEL;
    if (LQI_UNLIKELY(!(most >= 0x1p-100f && most <= FLT_MAX))) {
      lqi_byte_round_c(x + k, to.unit, &to, r);
      continue;
    }
    __m512 by = _mm512_set1_ps(127.0f / most);
    for (size_t c = 0; c < to.unit; c += 16) {
      __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + k + c), by));
      bytes_512_store(to.q + c * LQI_BYTE_PANEL + 4 * r, _mm512_cvtepi32_epi8(v));
      sum = _mm512_add_epi32(sum, v);
    }
    to.t[r] = most / 127.0f;
    to.minus[r] = -_mm512_reduce_add_epi32(sum);
  }
}

/* ---- Weights ---- */

/* Of `bits` each, 64 codes (half: 32), 8 in each quarter of a line of 32. */
LQI_INLINE LQI_AVX512VBMI __m512i bytes_vnni_codes(const uint8_t *from, int form, int half)
{
  const __m512i low4 = _mm512_set1_epi64(0x1c1814100c080400),
                book4 = _mm512_set1_epi64(0x181c1014080c0004),
                low3 = _mm512_set1_epi64(0x15120f0c09060300),
                low2 = _mm512_set1_epi64(0x0e0c0a0806040200);
  if (form == LQI_FORM_LOW4 || form == LQI_FORM_BOOK4) {
    __m256i v = half ? _mm256_castsi128_si256(_mm_loadu_si128((const void *)from))
                     : _mm256_loadu_si256((const void *)from);
    return _mm512_and_si512(_mm512_multishift_epi64_epi8(form == LQI_FORM_LOW4 ? low4 : book4,
                                                         _mm512_cvtepu32_epi64(v)),
                            _mm512_set1_epi8(15));
  }
  if (form == LQI_FORM_LOW2) {
    __m128i v = half ? _mm_loadl_epi64((const void *)from) : _mm_loadu_si128((const void *)from);
    return _mm512_and_si512(_mm512_multishift_epi64_epi8(low2, _mm512_cvtepu16_epi64(v)),
                            _mm512_set1_epi8(3));
  }
  /* Three bytes to each quarter. */
  const __m512i three = _mm512_set_epi64(0x171615, 0x141312, 0x11100f, 0x0e0d0c, 0x0b0a09, 0x080706,
                                         0x050403, 0x020100);
  __m512i v = _mm512_maskz_loadu_epi8(half ? 0xfff : 0xffffff, from);
  return _mm512_and_si512(_mm512_multishift_epi64_epi8(low3, _mm512_permutexvar_epi8(three, v)),
                          _mm512_set1_epi8(7));
}

LQI_INLINE LQI_AVX512VBMI void bytes_vnni_row(const uint8_t *from, int form, size_t n,
                                              __m512i table, uint8_t *to)
{
  const size_t bits = form == LQI_FORM_LOW3 ? 3 : form == LQI_FORM_LOW2 ? 2 : 4;
  size_t k = 0;
  for (; k + 64 <= n; k += 64) {
    _mm_prefetch((const char *)from + k / 8 * bits + BYTES_AHEAD, _MM_HINT_T1);
    __m512i v = bytes_vnni_codes(from + k / 8 * bits, form, 0);
    _mm512_storeu_si512(to + k, form == LQI_FORM_BOOK4 ? _mm512_shuffle_epi8(table, v) : v);
  }
  if (k < n) {
    __m512i v = bytes_vnni_codes(from + k / 8 * bits, form, 1);
    v = form == LQI_FORM_BOOK4 ? _mm512_shuffle_epi8(table, v) : v;
    _mm256_storeu_si256((void *)(to + k), _mm512_castsi512_si256(v));
  }
}

#define BYTES_VNNI_STRIP(name, form) \
  LQI_AVX512VBMI void lqi_strip_bytes_##name##_avx512vbmi(const struct lqi_strip *w, size_t rows, \
                                                          size_t n, uint8_t *out, size_t stride) \
  { \
    uint8_t book[16] = {0}; \
    if (form == LQI_FORM_BOOK4) \
      lqi_byte_book(w->book, book); \
    __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)book)); \
    for (size_t r = 0; r < rows; r++) \
      bytes_vnni_row(w->codes + r * w->row_bytes, form, n, table, out + r * stride); \
  }

BYTES_VNNI_STRIP(book4, LQI_FORM_BOOK4)
BYTES_VNNI_STRIP(low4, LQI_FORM_LOW4)
BYTES_VNNI_STRIP(low3, LQI_FORM_LOW3)
BYTES_VNNI_STRIP(low2, LQI_FORM_LOW2)

/* ---- Products ---- */

/* A unit of m rows of a panel, a constant where this is inlined: added to `sum`. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_unit(const uint8_t *c, const uint8_t *end,
                                               const struct lqi_byte_x *x, size_t m, __m512i z,
                                               __m512 f, __m512 *sum)
{
  bytes_vnni_t whole[LQI_BYTE_PANEL];
  const int8_t *q = x->q;
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    whole[j] = (bytes_vnni_t)_mm512_mullo_epi32(z, _mm512_set1_epi32(x->minus[j]));
  for (; c < end; c += 4 * LQI_BYTE_ROWS, q += 4 * LQI_BYTE_PANEL) {
    __m512i v = _mm512_loadu_si512(c);
    X86_UNROLL
    for (size_t j = 0; j < m; j++)
      whole[j] = (bytes_vnni_t)_mm512_dpbusd_epi32(
          (__m512i)whole[j], v, _mm512_broadcastd_epi32(_mm_loadu_si32(q + 4 * j)));
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    sum[j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)whole[j]),
                             _mm512_mul_ps(f, _mm512_set1_ps(x->t[j])), sum[j]);
}

LQI_INLINE LQI_AVX512VBMI void bytes_vnni_rows(const struct lqi_byte_w *w,
                                               const struct lqi_byte_x *from, size_t first,
                                               size_t m, float *out, size_t stride)
{
  const size_t step = from->unit * LQI_BYTE_ROWS;
  struct lqi_byte_x x = *from;
  __m512 sum[LQI_BYTE_PANEL];
  const float *grid = w->grid;
  const uint8_t *c = w->c, *end = c + x.n * LQI_BYTE_ROWS;
  x.q += 4 * first, x.t += first, x.minus += first;
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    sum[j] = _mm512_setzero_ps();
  while (c < end) {
    __m512 f = _mm512_mul_ps(_mm512_loadu_ps(grid), _mm512_set1_ps(w->step));
    __m512i z = w->numbers == 2 ? _mm512_cvtps_epi32(_mm512_loadu_ps(grid + LQI_BYTE_ROWS))
                                : _mm512_set1_epi32(128);
    for (const uint8_t *stop = c + w->group * LQI_BYTE_ROWS; c < stop; c += step) {
      bytes_vnni_unit(c, c + step, &x, m, z, f, sum);
      x.q += x.unit * LQI_BYTE_PANEL, x.t += LQI_BYTE_PANEL, x.minus += LQI_BYTE_PANEL;
    }
    grid += w->numbers * LQI_BYTE_ROWS;
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    _mm512_storeu_ps(out + (first + j) * stride, sum[j]);
}

LQI_AVX512VBMI void lqi_byte_dots_avx512vbmi(const struct lqi_byte_w *w, const struct lqi_byte_x *x,
                                             size_t m, float *out, size_t stride)
{
  size_t j = 0;
  if (m == LQI_BYTE_PANEL) {
    bytes_vnni_rows(w, x, 0, LQI_BYTE_PANEL, out, stride);
    return;
  }
  for (; j + 4 <= m; j += 4)
    bytes_vnni_rows(w, x, j, 4, out, stride);
  for (; j < m; j++)
    bytes_vnni_rows(w, x, j, 1, out, stride);
}

#endif
