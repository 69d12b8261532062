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

enum { FIXED512(ROWS) = 4, FIXED512(AHEAD) = 8192 };

/* What a row needs of its present group: its table or zero point, its scale. */
struct FIXED512(grid) {
  __m512i table;
  float scale;
};

struct FIXED512(pair) {
  __m512i even, odd;
};

LQI_INLINE FIXED512_ISA struct FIXED512(grid)
    FIXED512(grid_of)(const struct lqi_strip *w, int form, __m512i book, float step, size_t r,
                      size_t g)
{
  const float *grid = w->grid + r * w->grid_step + g * w->numbers;
  struct FIXED512(grid) of = {book, grid[0] * step};
  if (form == LQI_FORM_LOW4)
    of.table = _mm512_sub_epi16(book, _mm512_set1_epi16((short)grid[1]));
  if (form == LQI_FORM_U8)
    of.table = _mm512_set1_epi16((short)grid[1]);
  return of;
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

/* `rows` rows of w from row r on by m rows of x; both numbers are constants where this is inlined.
 */
LQI_INLINE FIXED512_ISA void FIXED512(tile)(const struct lqi_strip *w, int form, __m512i book,
                                            float step, size_t r, size_t rows, size_t n,
                                            const struct lqi_fixed *x, size_t j0, size_t m,
                                            float *out, size_t stride)
{
  __m512 sum[LQI_STRIP_M][FIXED512(ROWS)];
  struct FIXED512(grid) grid[FIXED512(ROWS)];
  size_t bytes = rows * (form >= LQI_FORM_U8 ? LQI_UNIT : LQI_UNIT / 2), unit = 0;
  const uint8_t *next = w->codes + r * w->row_bytes + FIXED512(AHEAD);
  const int16_t *q = x->q + j0 * x->stride;
  const float *t = x->t + j0 * (x->stride / LQI_UNIT);
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    X86_UNROLL
  for (size_t i = 0; i < rows; i++)
    sum[j][i] = _mm512_setzero_ps();
  for (size_t k = 0, g = 0; k < n; g++) {
    X86_UNROLL
    for (size_t i = 0; i < rows; i++)
      grid[i] = FIXED512(grid_of)(w, form, book, step, r + i, g);
    for (size_t end = k + w->group; k < end; k += LQI_UNIT, unit++, next += bytes) {
      __m512i even[LQI_STRIP_M], odd[LQI_STRIP_M];
      for (size_t line = 0; line < bytes; line += X86_LINE)
        _mm_prefetch((const char *)next + line, _MM_HINT_T0);
      X86_UNROLL
      for (size_t j = 0; j < m; j++) {
        even[j] = _mm512_loadu_si512(q + j * x->stride + k);
        odd[j] = _mm512_loadu_si512(q + j * x->stride + k + 32);
      }
      X86_UNROLL
      for (size_t i = 0; i < rows; i++) {
        struct FIXED512(pair) v =
            FIXED512(decode)(w->codes + (r + i) * w->row_bytes, form, k, grid[i].table);
        X86_UNROLL
        for (size_t j = 0; j < m; j++) {
          __m512i dot = FIXED512_DOT(_mm512_setzero_si512(), v.even, even[j]);
          float by = grid[i].scale * t[j * (x->stride / LQI_UNIT) + unit];
          dot = FIXED512_DOT(dot, v.odd, odd[j]);
          sum[j][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_set1_ps(by), sum[j][i]);
        }
      }
    }
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
