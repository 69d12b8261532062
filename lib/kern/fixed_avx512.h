/*
 * fixed_avx512.h - the products of fixed_avx512.c and fixed_avx512vbmi.c, which differ in one
 * instruction. Includers define
 *   FIXED512(name)   the name of a function of theirs
 *   FIXED512_ISA     its target attribute
 *   FIXED512_DOT(sum, a, b)   sum + a * b over pairs of 16-bit integers
 *
 * Owns: how a form becomes two vectors of 32 integers, even columns and odd ones.
 * Must not know: how x became integers.
 *
 * 32 bytes of 4-bit codes widened to words hold a pair of columns a word. Of the five bits that a
 * look-up takes the upper one is the next code's, so the table holds the book twice.
 */

enum { FIXED512(ROWS) = 4, FIXED512(AHEAD) = 8192, FIXED512(UNITS) = 64 };

struct FIXED512(pair) {
  __m512i even, odd;
};

/* The table of a row's group g, or its zero point. */
LQI_INLINE FIXED512_ISA __m512i FIXED512(table)(const struct lqi_strip *w, int form, __m512i book,
                                                size_t r, size_t g)
{
  const float *grid = w->grid + r * w->grid_step + g * w->numbers;
  if (form == LQI_FORM_LOW4)
    return _mm512_sub_epi16(book, _mm512_set1_epi16((short)grid[1]));
  return form == LQI_FORM_U8 ? _mm512_set1_epi16((short)grid[1]) : book;
}

/* What the sums of units first .. first + count - 1 are to be multiplied by, for row r of w and row
 * j of x: made for many units at once, since a scale a unit would cost as much as its products. */
LQI_INLINE FIXED512_ISA void FIXED512(factors)(const struct lqi_strip *w, float step, size_t r,
                                               const float *t, size_t first, size_t count,
                                               float *out)
{
  const float *grid = w->grid + r * w->grid_step, *scale = grid + first;
  float spread[FIXED512(UNITS) + 16];
  size_t units = w->group / LQI_UNIT;
  if (units != 1 || w->numbers != 1) {
    size_t g = first / units, left = (g + 1) * units - first;
    for (size_t u = 0; u < count; u += left, left = units, g++)
      for (size_t end = count - u < left ? count : u + left, at = u; at < end; at += 16)
        _mm512_storeu_ps(spread + at, _mm512_set1_ps(grid[g * w->numbers]));
    scale = spread;
  }
  for (size_t u = 0; u < count; u += 16) {
    __mmask16 lanes = avx512_lanes(u, count);
    __m512 f = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, scale + u), _mm512_set1_ps(step));
    _mm512_mask_storeu_ps(out + u, lanes,
                          _mm512_mul_ps(f, _mm512_maskz_loadu_ps(lanes, t + first + u)));
  }
}

/* Columns k .. k + 63. */
LQI_INLINE FIXED512_ISA struct FIXED512(pair)
    FIXED512(decode)(const uint8_t *codes, int form, size_t k, __m512i table)
{
  if (form >= LQI_FORM_U8) {
    __m512i two = _mm512_loadu_si512(codes + k);
    if (form == LQI_FORM_I8)
      return (struct FIXED512(pair)){_mm512_srai_epi16(_mm512_slli_epi16(two, 8), 8),
                                     _mm512_srai_epi16(two, 8)};
    __m512i even = _mm512_and_si512(two, _mm512_set1_epi16(255));
    return (struct FIXED512(pair)){_mm512_sub_epi16(even, table),
                                   _mm512_sub_epi16(_mm512_srli_epi16(two, 8), table)};
  }
  __m512i low = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)(codes + k / 2)));
  __m512i first = _mm512_permutexvar_epi16(low, table);
  __m512i second = _mm512_permutexvar_epi16(_mm512_srli_epi16(low, 4), table);
  return form == LQI_FORM_BOOK4 ? (struct FIXED512(pair)){second, first}
                                : (struct FIXED512(pair)){first, second};
}

/* Units first .. first + count - 1 of `rows` rows of w from row r on by m rows of x, added to sum;
 * both numbers are constants where this is inlined. */
LQI_INLINE FIXED512_ISA void FIXED512(units)(const struct lqi_strip *w, int form, __m512i book,
                                             float step, size_t r, size_t rows,
                                             const struct lqi_fixed *x, size_t m, size_t first,
                                             size_t count, __m512 sum[LQI_STRIP_M][FIXED512(ROWS)])
{
  float factor[LQI_STRIP_M][FIXED512(ROWS)][FIXED512(UNITS)];
  __m512i table[FIXED512(ROWS)];
  size_t bytes = rows * (form >= LQI_FORM_U8 ? LQI_UNIT : LQI_UNIT / 2);
  size_t units = w->group / LQI_UNIT, g = first / units, left = (g + 1) * units - first;
  const uint8_t *next = w->codes + r * w->row_bytes + FIXED512(AHEAD) + first * bytes;
  for (size_t j = 0; j < m; j++)
    for (size_t i = 0; i < rows; i++)
      FIXED512(factors)
  (w, step, r + i, x->t + j * (x->stride / LQI_UNIT), first, count, factor[j][i]);
  X86_UNROLL
  for (size_t i = 0; i < rows; i++)
    table[i] = FIXED512(table)(w, form, book, r + i, g);
  for (size_t u = 0; u < count; u++, next += bytes, left--) {
    size_t k = (first + u) * LQI_UNIT;
    __m512i even[LQI_STRIP_M], odd[LQI_STRIP_M];
    if (left == 0) {
      left = units;
      g++;
      X86_UNROLL
      for (size_t i = 0; i < rows; i++)
        table[i] = FIXED512(table)(w, form, book, r + i, g);
    }
    for (size_t line = 0; line < bytes; line += X86_LINE)
      _mm_prefetch((const char *)next + line, _MM_HINT_T0);
    X86_UNROLL
    for (size_t j = 0; j < m; j++) {
      even[j] = _mm512_loadu_si512(x->q + j * x->stride + k);
      odd[j] = _mm512_loadu_si512(x->q + j * x->stride + k + 32);
    }
    X86_UNROLL
    for (size_t i = 0; i < rows; i++) {
      struct FIXED512(pair) v =
          FIXED512(decode)(w->codes + (r + i) * w->row_bytes, form, k, table[i]);
      X86_UNROLL
      for (size_t j = 0; j < m; j++) {
        __m512i dot = FIXED512_DOT(_mm512_setzero_si512(), v.even, even[j]);
        dot = FIXED512_DOT(dot, v.odd, odd[j]);
        sum[j][i] =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_set1_ps(factor[j][i][u]), sum[j][i]);
      }
    }
  }
}

LQI_INLINE FIXED512_ISA void FIXED512(tile)(const struct lqi_strip *w, int form, __m512i book,
                                            float step, size_t r, size_t rows, size_t n,
                                            const struct lqi_fixed *x, size_t j0, size_t m,
                                            float *out, size_t stride)
{
  struct lqi_fixed from = {x->q + j0 * x->stride, x->t + j0 * (x->stride / LQI_UNIT), x->stride};
  __m512 sum[LQI_STRIP_M][FIXED512(ROWS)];
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    X86_UNROLL
  for (size_t i = 0; i < rows; i++)
    sum[j][i] = _mm512_setzero_ps();
  for (size_t u = 0, count; u < n / LQI_UNIT; u += count) {
    count = n / LQI_UNIT - u < FIXED512(UNITS) ? n / LQI_UNIT - u : FIXED512(UNITS);
    FIXED512(units)(w, form, book, step, r, rows, &from, m, u, count, sum);
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    if (rows == FIXED512(ROWS))
      _mm_storeu_ps(out + j * stride + r, avx512_fold(sum[j][0], sum[j][1], sum[j][2], sum[j][3]));
    else
      out[j * stride + r] = _mm_cvtss_f32(avx512_fold(sum[j][0], sum[j][0], sum[j][0], sum[j][0]));
}

LQI_INLINE FIXED512_ISA void FIXED512(dots)(const struct lqi_strip *w, int form, size_t rows,
                                            size_t n, const struct lqi_fixed *x, size_t m,
                                            float *out, size_t stride)
{
  int16_t table[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  float step = form == LQI_FORM_I8 ? lqi_f32_from_bits(0x3c010204u) : 1.0f;
  if (form == LQI_FORM_BOOK4)
    step = lqi_fixed_book(w->book, table);
  __m512i book = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)table));
  size_t r = 0;
  for (; r + FIXED512(ROWS) <= rows; r += FIXED512(ROWS)) {
    size_t j = 0;
    if (m == 4)
      FIXED512(tile)(w, form, book, step, r, FIXED512(ROWS), n, x, 0, 4, out, stride);
    for (; m != 4 && j + 2 <= m; j += 2)
      FIXED512(tile)(w, form, book, step, r, FIXED512(ROWS), n, x, j, 2, out + j * stride, stride);
    if (m % 2 != 0)
      FIXED512(tile)(w, form, book, step, r, FIXED512(ROWS), n, x, j, 1, out + j * stride, stride);
  }
  for (; r < rows; r++)
    for (size_t j = 0; j < m; j++)
      FIXED512(tile)(w, form, book, step, r, 1, n, x, j, 1, out + j * stride, stride);
}

#define FIXED512_KERNEL(name, form) \
  FIXED512_ISA void name(const struct lqi_strip *w, size_t rows, size_t n, \
                         const struct lqi_fixed *x, size_t m, float *out, size_t stride) \
  { \
    FIXED512(dots)(w, form, rows, n, x, m, out, stride); \
  }
