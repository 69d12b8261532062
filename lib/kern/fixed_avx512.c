/*
 * fixed_avx512.c - products in 16-bit fixed point, AVX-512.
 *
 * Owns: x as integers; how a form becomes two vectors of 32 integers, even columns and odd ones.
 * Must not know: which method has which form.
 *
 * 32 bytes of 4-bit codes widened to words hold a pair of columns a word. Of the five bits that a
 * look-up takes the upper one is the next code's, so the table holds the book twice. Uniform codes
 * are cheaper to compute with than to look up: permutations of words are two steps on some
 * processors and have one port on others. Processors that multiply bytes in fours do that instead
 * (bytes_avx512vbmi.c).
 */
#include "kern_avx512.h"

#include <float.h>

#if LQI_X86

/* ---- x ---- */

LQI_INLINE LQI_AVX512 __m512i fixed512_round(__m512 a, __m512 b, __m512 by)
{
  /* The saturating pack works inside quarters; the permutation restores the order. */
  const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
  __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(a, by)),
          high = _mm512_cvtps_epi32(_mm512_mul_ps(b, by));
  return _mm512_permutexvar_epi64(order, _mm512_packs_epi32(low, high));
}

LQI_AVX512 void lqi_fix_avx512(const float *x, size_t n, const struct lqi_fixed *out, size_t r)
{
  int16_t *q = out->q + r * out->stride;
  float *t = out->t + r * (out->stride / LQI_UNIT);
  for (size_t k = 0; k < n; k += LQI_UNIT, x += LQI_UNIT, q += LQI_UNIT, t++) {
    float most = avx512_absmax(x, LQ_F32, 0, LQI_UNIT);
    if (!(most >= 0x1p-100f && most <= FLT_MAX)) {
      *t = most < 0x1p-100f ? 0.0f : lqi_f32_from_bits(LQI_CANONICAL_NAN);
      memset(q, 0, LQI_UNIT * sizeof *q);
      continue;
    }
    __m512 by = _mm512_set1_ps(32767.0f / most);
    *t = most / 32767.0f;
    for (size_t odd = 0; odd < 2; odd++)
      _mm512_storeu_si512(q + 32 * odd, fixed512_round(_mm512_loadu_ps(x + 16 * odd),
                                                       _mm512_loadu_ps(x + 32 + 16 * odd), by));
  }
}

/* ---- Products ---- */

/* Codes are fetched this far ahead, and no nearer than the second-level cache: the first one, which
 * holds x, has no room for them (a third faster from memory on Zen 4). */
enum { FIXED512_ROWS = 4, FIXED512_AHEAD = 16384, FIXED512_UNITS = 32 };

struct fixed512_pair {
  __m512i even, odd;
};

/* What rows of w and of x need for each of some units. */
struct fixed512_factors {
  float factor[LQI_STRIP_M][FIXED512_ROWS][FIXED512_UNITS]; /* of the sums */
  uint32_t zero[FIXED512_ROWS][FIXED512_UNITS];             /* zero points, twice */
};

/* Where the numbers of 16 units are: in a row of the grid from `at` on, the scale of unit u in
 * lane scale[u] of two vectors, a zero point behind it. */
struct fixed512_places {
  size_t at;
  __mmask16 units, low, high; /* which units, and which lanes of either vector, are there */
  __m512i scale;
};

/* Of `count` units from `first` on, at most 16; `first` is a multiple of 16. A group has 2^shift
 * units. */
LQI_INLINE LQI_AVX512 struct fixed512_places fixed512_places(size_t numbers, size_t shift,
                                                             size_t first, size_t count)
{
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  size_t inside = first & (((size_t)1 << shift) - 1);
  size_t last = (((inside + count - 1) >> shift) + 1) * numbers;
  __m512i g = _mm512_add_epi32(lane, _mm512_set1_epi32((int)inside));
  g = _mm512_srl_epi32(g, _mm_cvtsi32_si128((int)shift));
  return (struct fixed512_places){.at = (first >> shift) * numbers,
                                  .units = avx512_lanes(0, count),
                                  .low = avx512_lanes(0, last),
                                  .high = avx512_lanes(16, last),
                                  .scale = numbers == 2 ? _mm512_add_epi32(g, g) : g};
}

/* For groups of other sizes, a pair of numbers for each unit. */
LQI_INLINE void fixed512_gather(const struct lqi_strip *w, const float *grid, size_t first,
                                size_t count, float out[32])
{
  size_t units = w->group / LQI_UNIT;
  for (size_t u = 0; u < count; u++) {
    const float *from = grid + (first + u) / units * w->numbers;
    out[2 * u] = from[0];
    out[2 * u + 1] = from[w->numbers - 1];
  }
}

/* Factors and zero points of units first .. first + count - 1, of many at once, since a scale a
 * unit would cost as much as its products. Those of the next rows are fetched meanwhile. */
LQI_INLINE LQI_AVX512 void fixed512_prepare(const struct lqi_strip *w, int form, float step,
                                            size_t r, size_t rows, const struct lqi_fixed *x,
                                            size_t m, size_t first, size_t count,
                                            struct fixed512_factors *out)
{
  int zeros = lqi_form_has_zero(form);
  size_t units = w->group / LQI_UNIT, shift = 0;
  while ((units >> shift) > 1)
    shift++;
  int regular = units == (size_t)1 << shift;
  for (size_t u = 0; u < count; u += 16) {
    size_t some = count - u < 16 ? count - u : 16;
    struct fixed512_places p = regular ? fixed512_places(w->numbers, shift, first + u, some)
                                       : fixed512_places(2, 0, 0, some);
    X86_UNROLL
    for (size_t i = 0; i < rows; i++) {
      const float *grid = w->grid + (r + i) * w->grid_step;
      float each[32];
      if (!regular)
        fixed512_gather(w, grid, first + u, some, each);
      _mm_prefetch((const char *)(grid + p.at + rows * w->grid_step), _MM_HINT_T0);
      grid = regular ? grid + p.at : each;
      __m512 low = _mm512_maskz_loadu_ps(p.low, grid);
      __m512 high = _mm512_maskz_loadu_ps(p.high, grid + 16);
      __m512 f = _mm512_mul_ps(_mm512_permutex2var_ps(low, p.scale, high), _mm512_set1_ps(step));
      for (size_t j = 0; j < m; j++) {
        const float *t = x->t + j * (x->stride / LQI_UNIT) + first + u;
        _mm512_storeu_ps(out->factor[j][i] + u,
                         _mm512_mul_ps(f, _mm512_maskz_loadu_ps(p.units, t)));
      }
      if (!zeros)
        continue;
      __m512i second = _mm512_or_si512(p.scale, _mm512_set1_epi32(1));
      __m512i z = _mm512_cvttps_epi32(_mm512_permutex2var_ps(low, second, high));
      _mm512_storeu_si512(out->zero[i] + u, _mm512_or_si512(z, _mm512_slli_epi32(z, 16)));
    }
  }
}

/* 64 columns of 3 bits: lane l of a quarter has columns 2l and 2l + 1 of 16, six bits that begin at
 * bit 6 l % 8 of byte 6 l / 8; a quarter begins in the first or the third byte of dwords. */
LQI_INLINE LQI_AVX512 struct fixed512_pair fixed512_low3(const uint8_t *codes, __m512i zero)
{
  const __m512i quarter = _mm512_set_epi32(0, 0, 5, 4, 0, 0, 4, 3, 0, 3, 2, 1, 0, 0, 1, 0);
  const __m512i window = _mm512_set_epi64(
      0x0807070606050605, 0x0504040303020302, 0x0605050404030403, 0x0302020101000100,
      0x0807070606050605, 0x0504040303020302, 0x0605050404030403, 0x0302020101000100);
  const __m512i shift = _mm512_set1_epi64(0x0002000400060000), mask = _mm512_set1_epi16(7);
  __m512i bits = _mm512_castsi256_si512(_mm256_maskz_loadu_epi32(0x3f, codes));
  bits = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(quarter, bits), window);
  bits = _mm512_srlv_epi16(bits, shift);
  __m512i odd = _mm512_and_si512(_mm512_srli_epi16(bits, 3), mask);
  return (struct fixed512_pair){_mm512_sub_epi16(_mm512_and_si512(bits, mask), zero),
                                _mm512_sub_epi16(odd, zero)};
}

/* Of 2 bits: two lanes have a byte. */
LQI_INLINE LQI_AVX512 struct fixed512_pair fixed512_low2(const uint8_t *codes, __m512i zero)
{
  const __m512i shift = _mm512_set1_epi32(4 << 16), mask = _mm512_set1_epi16(3);
  __m512i bits = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)codes));
  bits = _mm512_srlv_epi16(_mm512_or_si512(bits, _mm512_slli_epi32(bits, 16)), shift);
  __m512i odd = _mm512_and_si512(_mm512_srli_epi16(bits, 2), mask);
  return (struct fixed512_pair){_mm512_sub_epi16(_mm512_and_si512(bits, mask), zero),
                                _mm512_sub_epi16(odd, zero)};
}

/* 64 columns. */
LQI_INLINE LQI_AVX512 struct fixed512_pair fixed512_decode(const uint8_t *codes, int form,
                                                           __m512i book, __m512i zero)
{
  if (form >= LQI_FORM_U8) {
    __m512i two = _mm512_loadu_si512(codes);
    if (form == LQI_FORM_I8)
      return (struct fixed512_pair){_mm512_srai_epi16(_mm512_slli_epi16(two, 8), 8),
                                    _mm512_srai_epi16(two, 8)};
    __m512i even = _mm512_and_si512(two, _mm512_set1_epi16(255));
    return (struct fixed512_pair){_mm512_sub_epi16(even, zero),
                                  _mm512_sub_epi16(_mm512_srli_epi16(two, 8), zero)};
  }
  if (form == LQI_FORM_LOW3)
    return fixed512_low3(codes, zero);
  if (form == LQI_FORM_LOW2)
    return fixed512_low2(codes, zero);
  __m512i low = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)codes));
  __m512i high = _mm512_srli_epi16(low, 4);
  if (form == LQI_FORM_BOOK4)
    return (struct fixed512_pair){_mm512_permutexvar_epi16(high, book),
                                  _mm512_permutexvar_epi16(low, book)};
  low = _mm512_and_si512(low, _mm512_set1_epi16(15));
  return (struct fixed512_pair){_mm512_sub_epi16(low, zero), _mm512_sub_epi16(high, zero)};
}

/* Units first .. first + count - 1 of `rows` rows of w from row r on by m rows of x, added to sum;
 * both numbers are constants where this is inlined. */
LQI_INLINE LQI_AVX512 void fixed512_units(const struct lqi_strip *w, int form, __m512i book,
                                          float step, size_t r, size_t rows,
                                          const struct lqi_fixed *x, size_t m, size_t first,
                                          size_t count, __m512 sum[LQI_STRIP_M][FIXED512_ROWS])
{
  struct fixed512_factors by;
  size_t unit_bytes = LQI_UNIT / 8 * lqi_form_bits(form), bytes = rows * unit_bytes,
         stride = x->stride;
  size_t row_bytes = w->row_bytes;
  int zeros = lqi_form_has_zero(form);
  const uint8_t *codes = w->codes + r * row_bytes;
  const uint8_t *next = codes + FIXED512_AHEAD + first * bytes;
  const int16_t *q = x->q + first * LQI_UNIT;
  codes += first * unit_bytes;
  fixed512_prepare(w, form, step, r, rows, x, m, first, count, &by);
  for (size_t u = 0; u < count; u++, next += bytes, q += LQI_UNIT) {
    __m512i even[LQI_STRIP_M], odd[LQI_STRIP_M];
    for (size_t line = 0; line < bytes; line += X86_LINE)
      _mm_prefetch((const char *)next + line, _MM_HINT_T1);
    X86_UNROLL
    for (size_t j = 0; j < m; j++) {
      even[j] = _mm512_loadu_si512(q + j * stride);
      odd[j] = _mm512_loadu_si512(q + j * stride + 32);
    }
    X86_UNROLL
    for (size_t i = 0; i < rows; i++) {
      __m512i zero = zeros ? _mm512_set1_epi32((int)by.zero[i][u]) : _mm512_setzero_si512();
      struct fixed512_pair v = fixed512_decode(codes + i * row_bytes, form, book, zero);
      X86_UNROLL
      for (size_t j = 0; j < m; j++) {
        __m512i dot = _mm512_madd_epi16(v.even, even[j]);
        dot = _mm512_add_epi32(dot, _mm512_madd_epi16(v.odd, odd[j]));
        sum[j][i] =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_set1_ps(by.factor[j][i][u]), sum[j][i]);
      }
    }
    codes += unit_bytes;
  }
}

LQI_INLINE LQI_AVX512 void fixed512_tile(const struct lqi_strip *w, int form, __m512i book,
                                         float step, size_t r, size_t rows, size_t n,
                                         const struct lqi_fixed *x, size_t j0, size_t m, float *out,
                                         size_t stride)
{
  struct lqi_fixed from = {x->q + j0 * x->stride, x->t + j0 * (x->stride / LQI_UNIT), x->stride};
  __m512 sum[LQI_STRIP_M][FIXED512_ROWS];
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    X86_UNROLL
  for (size_t i = 0; i < rows; i++)
    sum[j][i] = _mm512_setzero_ps();
  for (size_t u = 0, count; u < n / LQI_UNIT; u += count) {
    count = n / LQI_UNIT - u < FIXED512_UNITS ? n / LQI_UNIT - u : FIXED512_UNITS;
    fixed512_units(w, form, book, step, r, rows, &from, m, u, count, sum);
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    if (rows == FIXED512_ROWS)
      _mm_storeu_ps(out + j * stride + r, avx512_fold(sum[j][0], sum[j][1], sum[j][2], sum[j][3]));
    else
      out[j * stride + r] = _mm_cvtss_f32(avx512_fold(sum[j][0], sum[j][0], sum[j][0], sum[j][0]));
}

LQI_INLINE LQI_AVX512 void fixed512_dots(const struct lqi_strip *w, int form, size_t rows, size_t n,
                                         const struct lqi_fixed *x, size_t m, float *out,
                                         size_t stride)
{
  int16_t table[16] = {0};
  float step = form == LQI_FORM_I8 ? lqi_f32_from_bits(LQI_I8_STEP_BITS) : 1.0f;
  if (form == LQI_FORM_BOOK4)
    step = lqi_fixed_book(w->book, table);
  __m512i book = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)table));
  size_t r = 0;
  for (; r + FIXED512_ROWS <= rows; r += FIXED512_ROWS) {
    size_t j = 0;
    if (m == 4)
      fixed512_tile(w, form, book, step, r, FIXED512_ROWS, n, x, 0, 4, out, stride);
    for (; m != 4 && j + 2 <= m; j += 2)
      fixed512_tile(w, form, book, step, r, FIXED512_ROWS, n, x, j, 2, out + j * stride, stride);
    if (m % 2 != 0)
      fixed512_tile(w, form, book, step, r, FIXED512_ROWS, n, x, j, 1, out + j * stride, stride);
  }
  for (; r < rows; r++)
    for (size_t j = 0; j < m; j++)
      fixed512_tile(w, form, book, step, r, 1, n, x, j, 1, out + j * stride, stride);
}

#define FIXED512_KERNEL(name, form) \
  LQI_AVX512 void lqi_fixed_dots_##name##_avx512(const struct lqi_strip *w, size_t rows, size_t n, \
                                                 const struct lqi_fixed *x, size_t m, float *out, \
                                                 size_t stride) \
  { \
    fixed512_dots(w, form, rows, n, x, m, out, stride); \
  }

FIXED512_KERNEL(book4, LQI_FORM_BOOK4)
FIXED512_KERNEL(low4, LQI_FORM_LOW4)
FIXED512_KERNEL(low3, LQI_FORM_LOW3)
FIXED512_KERNEL(low2, LQI_FORM_LOW2)
FIXED512_KERNEL(u8, LQI_FORM_U8)
FIXED512_KERNEL(i8, LQI_FORM_I8)

#endif
