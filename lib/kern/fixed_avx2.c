/*
 * fixed_avx2.c - products in 16-bit fixed point, AVX2.
 *
 * Owns: how a form becomes four vectors of 16 integers, and the order of x that goes with them.
 * Must not know: which method has which form.
 *
 * A unit of x is four vectors: columns 0 .. 15 and 32 .. 47, the even ones, then the odd ones, then
 * the other columns in the same way. That is how 32 bytes of 4-bit codes come apart, as bytes are
 * interleaved inside halves of a register: a vector of sums has chains 0 .. 3 and 8 .. 11, the
 * other one 4 .. 7 and 12 .. 15.
 *
 * The book is looked up in two planes of bytes. Eight registers hold sums, those of four products.
 */
#include "kern_avx2.h"

#include <float.h>

#if LQI_X86

/* Codes are fetched this far ahead, and no nearer than the second-level cache: the first one, which
 * holds x, has no room for them. */
enum { FIXED256_AHEAD = 16384, FIXED256_SUMS = 4, FIXED256_UNITS = 64 };

/* ---- x ---- */

/* Four values from each of two places on as integers. */
LQI_INLINE LQI_AVX2 __m256i fixed256_round(const float *x, __m256 by)
{
  __m256 v = _mm256_set_m128(_mm_loadu_ps(x + 32), _mm_loadu_ps(x));
  return _mm256_cvtps_epi32(_mm256_mul_ps(v, by));
}

LQI_AVX2 void lqi_fix_avx2(const float *x, size_t n, const struct lqi_fixed *out, size_t r)
{
  int16_t *q = out->q + r * out->stride;
  float *t = out->t + r * (out->stride / LQI_UNIT);
  for (size_t k = 0; k < n; k += LQI_UNIT, x += LQI_UNIT, q += LQI_UNIT, t++) {
    float most = avx2_absmax(x, LQ_F32, LQI_UNIT);
    if (!(most >= 0x1p-100f && most <= FLT_MAX)) {
      *t = most < 0x1p-100f ? 0.0f : lqi_f32_from_bits(LQI_CANONICAL_NAN);
      memset(q, 0, LQI_UNIT * sizeof *q);
      continue;
    }
    __m256 by = _mm256_set1_ps(32767.0f / most);
    *t = most / 32767.0f;
    /* Of a paired row: even columns 0 .. 15, odd ones, even columns 16 .. 31, odd ones. */
    for (size_t i = 0; i < 4; i++) {
      const float *from = x + i / 2 * 8 + i % 2 * 16;
      _mm256_storeu_si256((void *)(q + 16 * i), _mm256_packs_epi32(fixed256_round(from, by),
                                                                   fixed256_round(from + 4, by)));
    }
  }
}

/* ---- Factors ---- */

/* What rows of w and of x need for each of some units. */
struct fixed256_factors {
  float factor[FIXED256_SUMS][FIXED256_UNITS];  /* of the sums of a product */
  uint32_t zero[FIXED256_SUMS][FIXED256_UNITS]; /* zero points of a row, twice */
};

/* Where the numbers of 8 units are: in a row of the grid from `at` on, the scale of unit u in lane
 * scale[u] of two vectors, a zero point behind it. */
struct fixed256_places {
  size_t at;
  __m256i units, low, high; /* which units, and which lanes of either vector, are there */
  __m256i scale, in_high;
};

LQI_INLINE LQI_AVX2 __m256i fixed256_lanes(size_t first, size_t n)
{
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - (int)first), lane);
}

/* Of `count` units from `first` on, at most 8; `first` is a multiple of 8. A group has 2^shift
 * units. */
LQI_INLINE LQI_AVX2 struct fixed256_places fixed256_places(size_t numbers, size_t shift,
                                                           size_t first, size_t count)
{
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  size_t inside = first & (((size_t)1 << shift) - 1);
  size_t last = (((inside + count - 1) >> shift) + 1) * numbers;
  __m256i g = _mm256_add_epi32(lane, _mm256_set1_epi32((int)inside));
  g = _mm256_srl_epi32(g, _mm_cvtsi32_si128((int)shift));
  if (numbers == 2)
    g = _mm256_add_epi32(g, g);
  return (struct fixed256_places){.at = (first >> shift) * numbers,
                                  .units = fixed256_lanes(0, count),
                                  .low = fixed256_lanes(0, last),
                                  .high = fixed256_lanes(8, last),
                                  .scale = g,
                                  .in_high = _mm256_cmpgt_epi32(g, _mm256_set1_epi32(7))};
}

/* For groups of other sizes, a pair of numbers for each unit. */
LQI_INLINE void fixed256_gather(const struct lqi_strip *w, const float *grid, size_t first,
                                size_t count, float out[16])
{
  size_t units = w->group / LQI_UNIT;
  for (size_t u = 0; u < count; u++) {
    const float *from = grid + (first + u) / units * w->numbers;
    out[2 * u] = from[0];
    out[2 * u + 1] = from[w->numbers - 1];
  }
}

LQI_INLINE LQI_AVX2 __m256 fixed256_pick(const struct fixed256_places *p, __m256 low, __m256 high,
                                         __m256i place)
{
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, place),
                          _mm256_permutevar8x32_ps(high, place), _mm256_castsi256_ps(p->in_high));
}

/* Rows of w, and rows of x, both constants where this is inlined. */
struct fixed256_shape {
  int form;
  size_t rows, m;
};

/* Factors and zero points of units first .. first + count - 1, of many at once, since a scale a
 * unit would cost as much as its products. The next rows' scales are fetched meanwhile. */
LQI_INLINE LQI_AVX2 void fixed256_prepare(const struct lqi_strip *w, struct fixed256_shape s,
                                          float step, size_t r, const struct lqi_fixed *x,
                                          size_t first, size_t count, struct fixed256_factors *out)
{
  size_t units = w->group / LQI_UNIT, shift = 0;
  while ((units >> shift) > 1)
    shift++;
  int regular = units == (size_t)1 << shift;
  for (size_t u = 0; u < count; u += 8) {
    size_t some = count - u < 8 ? count - u : 8;
    struct fixed256_places p = regular ? fixed256_places(w->numbers, shift, first + u, some)
                                       : fixed256_places(2, 0, 0, some);
    X86_UNROLL
    for (size_t i = 0; i < s.rows; i++) {
      const float *grid = w->grid + (r + i) * w->grid_step;
      float each[16];
      if (!regular)
        fixed256_gather(w, grid, first + u, some, each);
      _mm_prefetch((const char *)(grid + p.at + s.rows * w->grid_step), _MM_HINT_T0);
      grid = regular ? grid + p.at : each;
      __m256 low = _mm256_maskload_ps(grid, p.low), high = _mm256_maskload_ps(grid + 8, p.high);
      __m256 f = _mm256_mul_ps(fixed256_pick(&p, low, high, p.scale), _mm256_set1_ps(step));
      for (size_t j = 0; j < s.m; j++) {
        const float *t = x->t + j * (x->stride / LQI_UNIT) + first + u;
        _mm256_storeu_ps(out->factor[j * s.rows + i] + u,
                         _mm256_mul_ps(f, _mm256_maskload_ps(t, p.units)));
      }
      if (!lqi_form_has_zero(s.form))
        continue;
      __m256i second = _mm256_or_si256(p.scale, _mm256_set1_epi32(1));
      __m256i z = _mm256_cvttps_epi32(fixed256_pick(&p, low, high, second));
      _mm256_storeu_si256((void *)(out->zero[i] + u), _mm256_or_si256(z, _mm256_slli_epi32(z, 16)));
    }
  }
}

/* ---- Weights ---- */

/* 64 columns in the order of x. */
struct fixed256_unit {
  __m256i v[4];
};

/* Low and high bytes of a book in integers. */
struct fixed256_book {
  __m256i low, high;
};

LQI_INLINE LQI_AVX2 struct fixed256_book fixed256_planes(const int16_t table[16])
{
  __m128i a = _mm_loadu_si128((const void *)table), b = _mm_loadu_si128((const void *)(table + 8));
  const __m128i mask = _mm_set1_epi16(255);
  __m128i low = _mm_packus_epi16(_mm_and_si128(a, mask), _mm_and_si128(b, mask));
  __m128i high = _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8));
  return (struct fixed256_book){_mm256_broadcastsi128_si256(low),
                                _mm256_broadcastsi128_si256(high)};
}

LQI_INLINE LQI_AVX2 struct fixed256_unit
fixed256_nibbles(const uint8_t *codes, int form, const struct fixed256_book *book, __m256i zero)
{
  const __m256i mask = _mm256_set1_epi8(15), none = _mm256_setzero_si256();
  __m256i both = _mm256_loadu_si256((const void *)codes), low = _mm256_and_si256(both, mask);
  __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
  if (form == LQI_FORM_BOOK4) {
    __m256i a = _mm256_shuffle_epi8(book->low, high), b = _mm256_shuffle_epi8(book->high, high);
    __m256i c = _mm256_shuffle_epi8(book->low, low), d = _mm256_shuffle_epi8(book->high, low);
    return (struct fixed256_unit){{_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d),
                                   _mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d)}};
  }
  return (struct fixed256_unit){{_mm256_sub_epi16(_mm256_unpacklo_epi8(low, none), zero),
                                 _mm256_sub_epi16(_mm256_unpacklo_epi8(high, none), zero),
                                 _mm256_sub_epi16(_mm256_unpackhi_epi8(low, none), zero),
                                 _mm256_sub_epi16(_mm256_unpackhi_epi8(high, none), zero)}};
}

LQI_INLINE LQI_AVX2 struct fixed256_unit fixed256_bytes(const uint8_t *codes, int form,
                                                        __m256i zero)
{
  struct fixed256_unit out;
  X86_UNROLL
  for (size_t i = 0; i < 4; i += 2) {
    __m128i a = _mm_loadu_si128((const void *)(codes + 8 * i));
    __m128i b = _mm_loadu_si128((const void *)(codes + 8 * i + 32));
    __m256i two = _mm256_set_m128i(b, a);
    if (form == LQI_FORM_I8) {
      out.v[i] = _mm256_srai_epi16(_mm256_slli_epi16(two, 8), 8);
      out.v[i + 1] = _mm256_srai_epi16(two, 8);
    } else {
      out.v[i] = _mm256_sub_epi16(_mm256_and_si256(two, _mm256_set1_epi16(255)), zero);
      out.v[i + 1] = _mm256_sub_epi16(_mm256_srli_epi16(two, 8), zero);
    }
  }
  return out;
}

/* Places of the bytes of eight lanes: columns 2l and 2l + 1 of 16 columns of 3 bits are six bits
 * that begin at bit 6 l % 8 of byte 6 l / 8; of 2 bits, four that begin at bit 4 l % 8 of byte l /
 * 2. A multiplication moves a code to the upper end of its lane, what lies above it out of that. */
LQI_INLINE LQI_AVX2 struct fixed256_unit fixed256_few(const uint8_t *codes, int form, __m256i zero)
{
  const int three = form == LQI_FORM_LOW3, up = three ? 13 : 14;
  const __m128i window = three ? _mm_setr_epi8(0, 1, 0, 1, 1, 2, 2, 3, 3, 4, 3, 4, 4, 5, 5, 6)
                               : _mm_setr_epi8(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  const __m256i even =
      three ? _mm256_set1_epi64x(0x0800020000802000) : _mm256_set1_epi32(0x04004000);
  const __m256i odd = three ? _mm256_srli_epi16(even, 3) : _mm256_srli_epi16(even, 2);
  const uint8_t *second = codes + 8; /* columns 32 .. begin in its byte 4 or 0 */
  __m256i bits;
  struct fixed256_unit out;
  if (three)
    bits = _mm256_set_m128i(_mm_loadu_si128((const void *)second),
                            _mm_loadu_si128((const void *)codes));
  else
    bits = _mm256_set_m128i(_mm_loadl_epi64((const void *)second),
                            _mm_loadl_epi64((const void *)codes));
  X86_UNROLL
  for (int h = 0; h < 2; h++) {
    const char at = (char)(three ? 6 * h : 4 * h);
    const __m256i place =
        _mm256_set_m128i(_mm_add_epi8(window, _mm_set1_epi8((char)(three ? at + 4 : at))),
                         _mm_add_epi8(window, _mm_set1_epi8(at)));
    __m256i lanes = _mm256_shuffle_epi8(bits, place);
    __m256i a = _mm256_srli_epi16(_mm256_mullo_epi16(lanes, even), up);
    __m256i b = _mm256_srli_epi16(_mm256_mullo_epi16(lanes, odd), up);
    out.v[2 * h] = _mm256_sub_epi16(a, zero);
    out.v[2 * h + 1] = _mm256_sub_epi16(b, zero);
  }
  return out;
}

LQI_INLINE LQI_AVX2 struct fixed256_unit
fixed256_decode(const uint8_t *codes, int form, const struct fixed256_book *book, __m256i zero)
{
  if (form >= LQI_FORM_U8)
    return fixed256_bytes(codes, form, zero);
  if (form == LQI_FORM_LOW3 || form == LQI_FORM_LOW2)
    return fixed256_few(codes, form, zero);
  return fixed256_nibbles(codes, form, book, zero);
}

/* ---- Products ---- */

/* Units first .. first + count - 1 of rows of w from row r on, added to the sums of the product of
 * row i of w and row j of x at j * s.rows + i. */
LQI_INLINE LQI_AVX2 void fixed256_units(const struct lqi_strip *w, struct fixed256_shape s,
                                        const struct fixed256_book *book, float step, size_t r,
                                        const struct lqi_fixed *x, size_t first, size_t count,
                                        __m256 sum[FIXED256_SUMS][2])
{
  struct fixed256_factors by;
  size_t unit_bytes = LQI_UNIT / 8 * lqi_form_bits(s.form), bytes = s.rows * unit_bytes;
  size_t stride = x->stride, row_bytes = w->row_bytes;
  const uint8_t *codes = w->codes + r * row_bytes, *next = codes + FIXED256_AHEAD + first * bytes;
  const int16_t *q = x->q + first * LQI_UNIT;
  codes += first * unit_bytes;
  fixed256_prepare(w, s, step, r, x, first, count, &by);
  for (size_t u = 0; u < count; u++, next += bytes, q += LQI_UNIT, codes += unit_bytes) {
    for (size_t line = 0; line < bytes; line += X86_LINE)
      _mm_prefetch((const char *)next + line, _MM_HINT_T1);
    X86_UNROLL
    for (size_t i = 0; i < s.rows; i++) {
      __m256i zero = lqi_form_has_zero(s.form) ? _mm256_set1_epi32((int)by.zero[i][u])
                                               : _mm256_setzero_si256();
      struct fixed256_unit v = fixed256_decode(codes + i * row_bytes, s.form, book, zero);
      X86_UNROLL
      for (size_t h = 0; h < 2; h++)
        X86_UNROLL
      for (size_t j = 0; j < s.m; j++) {
        const __m256i *at = (const void *)(q + j * stride + 32 * h);
        __m256i dot = _mm256_madd_epi16(v.v[2 * h], _mm256_loadu_si256(at));
        dot = _mm256_add_epi32(dot, _mm256_madd_epi16(v.v[2 * h + 1], _mm256_loadu_si256(at + 1)));
        size_t p = j * s.rows + i;
        sum[p][h] =
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(by.factor[p][u]), sum[p][h]);
      }
    }
  }
}

/* Folds the chains of `count` products, the others' results are anything. */
LQI_INLINE LQI_AVX2 __m128 fixed256_fold(__m256 (*sum)[2], size_t count)
{
  __m128 a[FIXED256_SUMS];
  X86_UNROLL
  for (size_t i = 0; i < FIXED256_SUMS; i++) {
    if (i >= count) {
      a[i] = a[0];
      continue;
    }
    __m128 first =
        _mm_add_ps(_mm256_castps256_ps128(sum[i][0]), _mm256_extractf128_ps(sum[i][0], 1));
    __m128 second =
        _mm_add_ps(_mm256_castps256_ps128(sum[i][1]), _mm256_extractf128_ps(sum[i][1], 1));
    a[i] = _mm_add_ps(first, second);
  }
  __m128 ab = _mm_add_ps(_mm_movelh_ps(a[0], a[1]), _mm_movehl_ps(a[1], a[0]));
  __m128 cd = _mm_add_ps(_mm_movelh_ps(a[2], a[3]), _mm_movehl_ps(a[3], a[2]));
  return _mm_add_ps(_mm_shuffle_ps(ab, cd, 0x88), _mm_shuffle_ps(ab, cd, 0xdd));
}

LQI_INLINE LQI_AVX2 void fixed256_tile(const struct lqi_strip *w, struct fixed256_shape s,
                                       const struct fixed256_book *book, float step, size_t r,
                                       size_t n, const struct lqi_fixed *x, float *out,
                                       size_t stride)
{
  __m256 sum[FIXED256_SUMS][2];
  float result[FIXED256_SUMS];
  X86_UNROLL
  for (size_t p = 0; p < s.rows * s.m; p++)
    sum[p][0] = sum[p][1] = _mm256_setzero_ps();
  for (size_t u = 0, count; u < n / LQI_UNIT; u += count) {
    count = n / LQI_UNIT - u < FIXED256_UNITS ? n / LQI_UNIT - u : FIXED256_UNITS;
    fixed256_units(w, s, book, step, r, x, u, count, sum);
  }
  _mm_storeu_ps(result, fixed256_fold(sum, s.rows * s.m));
  for (size_t j = 0; j < s.m; j++)
    memcpy(out + j * stride + r, result + j * s.rows, s.rows * sizeof *out);
}

/* All rows, s.rows at a time. */
LQI_INLINE LQI_AVX2 void fixed256_tiles(const struct lqi_strip *w, struct fixed256_shape s,
                                        size_t rows, size_t n, const struct lqi_fixed *x,
                                        float *out, size_t stride)
{
  int16_t table[16] = {0};
  struct fixed256_shape one = {s.form, 1, s.m};
  float step = s.form == LQI_FORM_I8 ? lqi_f32_from_bits(LQI_I8_STEP_BITS) : 1.0f;
  if (s.form == LQI_FORM_BOOK4)
    step = lqi_fixed_book(w->book, table);
  const struct fixed256_book book = fixed256_planes(table);
  size_t r = 0;
  for (; r + s.rows <= rows; r += s.rows)
    fixed256_tile(w, s, &book, step, r, n, x, out, stride);
  for (; r < rows; r++)
    fixed256_tile(w, one, &book, step, r, n, x, out, stride);
}

LQI_INLINE LQI_AVX2 void fixed256_dots(const struct lqi_strip *w, int form, size_t rows, size_t n,
                                       const struct lqi_fixed *x, size_t m, float *out,
                                       size_t stride)
{
  if (m == 1)
    fixed256_tiles(w, (struct fixed256_shape){form, 4, 1}, rows, n, x, out, stride);
  else if (m == 2)
    fixed256_tiles(w, (struct fixed256_shape){form, 2, 2}, rows, n, x, out, stride);
  else if (m == 3)
    fixed256_tiles(w, (struct fixed256_shape){form, 1, 3}, rows, n, x, out, stride);
  else if (m == 4)
    fixed256_tiles(w, (struct fixed256_shape){form, 1, 4}, rows, n, x, out, stride);
}

#define FIXED256_KERNEL(name, form) \
  LQI_AVX2 void lqi_fixed_dots_##name##_avx2(const struct lqi_strip *w, size_t rows, size_t n, \
                                             const struct lqi_fixed *x, size_t m, float *out, \
                                             size_t stride) \
  { \
    fixed256_dots(w, form, rows, n, x, m, out, stride); \
  }

FIXED256_KERNEL(book4, LQI_FORM_BOOK4)
FIXED256_KERNEL(low4, LQI_FORM_LOW4)
FIXED256_KERNEL(low3, LQI_FORM_LOW3)
FIXED256_KERNEL(low2, LQI_FORM_LOW2)
FIXED256_KERNEL(u8, LQI_FORM_U8)
FIXED256_KERNEL(i8, LQI_FORM_I8)

#endif
