/*
 * strip_avx512.c - products of coded rows, AVX-512: codes are decoded in registers.
 *
 * Owns: how each form becomes two vectors of 16 columns, even and odd.
 * Must not know: which method has which form. Of book8 nothing: that is strip_avx2.c's.
 *
 * Sixteen bytes of 4-bit codes widened to 16 lanes hold one pair of columns a lane: the look-up
 * ignores upper bits, so the even columns and the odd ones cost one look-up each and one shift for
 * both. The table is scaled once a group, so that a look-up gives the decoded weight itself.
 *
 * Four rows go together, so that a vector of x is loaded once for four. They lie one behind the
 * other in memory, which is read ahead in that order, as one stream.
 */
#include "kern_avx512.h"

#if LQI_X86

enum { STRIP512_ROWS = 4, STRIP512_AHEAD = 16384 };

/* What a row needs of its present group: the scaled table, or scale and zero point. */
struct strip512_grid {
  __m512 table, zero;
};

struct strip512_pair {
  __m512 even, odd;
};

LQI_INLINE LQI_AVX512 struct strip512_grid strip512_grid(const struct lqi_strip *w, int form,
                                                         size_t r, size_t g)
{
  const float *grid = w->grid + r * w->grid_step + g * w->numbers;
  __m512 scale = _mm512_set1_ps(grid[0]), zero = _mm512_setzero_ps();
  if (form == LQI_FORM_I8)
    return (struct strip512_grid){scale, zero};
  if (form == LQI_FORM_BOOK4)
    return (struct strip512_grid){_mm512_mul_ps(_mm512_loadu_ps(w->book), scale), zero};
  zero = _mm512_set1_ps(grid[1]);
  if (form == LQI_FORM_U8)
    return (struct strip512_grid){scale, zero};
  __m512 code = _mm512_sub_ps(_mm512_loadu_ps(w->book), zero);
  return (struct strip512_grid){_mm512_mul_ps(scale, code), zero};
}

/* The bits of 16 pairs of columns, the even one in the low bits of its lane. */
LQI_INLINE LQI_AVX512 __m512i strip512_bits(const uint8_t *codes, int form, size_t k)
{
  /* Lane l of 3-bit codes begins at bit 6 l, in byte 3 l / 4; of 2-bit codes in byte l / 2. */
  const __m512i byte3 =
      _mm512_set_epi32(0x0c0b, 0x0b0a, 0x0a09, 0x0a09, 0x0908, 0x0807, 0x0706, 0x0706, 0x0605,
                       0x0504, 0x0403, 0x0403, 0x0302, 0x0201, 0x0100, 0x0100);
  const __m512i shift3 = _mm512_set_epi32(2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6, 0);
  const __m512i byte2 = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  const __m512i shift2 = _mm512_set1_epi64((long long)4 << 32);
  if (form == LQI_FORM_LOW3) {
    __m128i bits = _mm_maskz_loadu_epi32(7, codes + k / 8 * 3);
    return _mm512_srlv_epi32(_mm512_shuffle_epi8(_mm512_broadcast_i32x4(bits), byte3), shift3);
  }
  if (form == LQI_FORM_LOW2) {
    int64_t bits;
    memcpy(&bits, codes + k / 4, sizeof bits);
    return _mm512_srlv_epi32(_mm512_shuffle_epi8(_mm512_set1_epi64(bits), byte2), shift2);
  }
  return _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(codes + k / 2)));
}

LQI_INLINE LQI_AVX512 struct strip512_pair strip512_look_up(__m512 table, const uint8_t *codes,
                                                            int form, size_t k)
{
  __m512i low = strip512_bits(codes, form, k);
  __m512i high = _mm512_srli_epi32(low, form == LQI_FORM_LOW3 ? 3 : form == LQI_FORM_LOW2 ? 2 : 4);
  __m512 first = _mm512_permutexvar_ps(low, table), second = _mm512_permutexvar_ps(high, table);
  return form == LQI_FORM_BOOK4 ? (struct strip512_pair){second, first}
                                : (struct strip512_pair){first, second};
}

LQI_INLINE LQI_AVX512 struct strip512_pair strip512_bytes(const struct strip512_grid *grid,
                                                          const uint8_t *codes, int form, size_t k)
{
  const __m512 step = _mm512_castsi512_ps(_mm512_set1_epi32((int)LQI_I8_STEP_BITS));
  __m256i two = _mm256_loadu_si256((const void *)(codes + k));
  if (form == LQI_FORM_I8) {
    __m512i odd = _mm512_cvtepi16_epi32(two), even = _mm512_slli_epi32(odd, 24);
    __m512 a = _mm512_cvtepi32_ps(_mm512_srai_epi32(even, 24));
    __m512 b = _mm512_cvtepi32_ps(_mm512_srai_epi32(odd, 8));
    return (struct strip512_pair){_mm512_mul_ps(_mm512_mul_ps(a, grid->table), step),
                                  _mm512_mul_ps(_mm512_mul_ps(b, grid->table), step)};
  }
  __m512i both = _mm512_cvtepu16_epi32(two);
  __m512 a = _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(255)));
  __m512 b = _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 8));
  return (struct strip512_pair){_mm512_mul_ps(grid->table, _mm512_sub_ps(a, grid->zero)),
                                _mm512_mul_ps(grid->table, _mm512_sub_ps(b, grid->zero))};
}

LQI_INLINE LQI_AVX512 struct strip512_pair strip512_split(__m512 a, __m512 b)
{
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  return (struct strip512_pair){
      _mm512_permutex2var_ps(a, even, b),
      _mm512_permutex2var_ps(a, _mm512_or_si512(even, _mm512_set1_epi32(1)), b)};
}

LQI_INLINE LQI_AVX512 struct strip512_pair strip512_dense(const void *row, int32_t dtype, size_t k)
{
  if (dtype == LQ_F32)
    return strip512_split(_mm512_loadu_ps((const float *)row + k),
                          _mm512_loadu_ps((const float *)row + k + 16));
  __m512i two = _mm512_loadu_si512((const uint16_t *)row + k);
  if (dtype == LQ_BF16)
    return (struct strip512_pair){
        _mm512_castsi512_ps(_mm512_slli_epi32(two, 16)),
        _mm512_castsi512_ps(_mm512_and_si512(two, _mm512_set1_epi32((int)0xffff0000)))};
  return (struct strip512_pair){_mm512_cvtph_ps(_mm512_cvtepi32_epi16(two)),
                                _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(two, 16)))};
}

/* Columns k .. k + 31 of row r. */
LQI_INLINE LQI_AVX512 struct strip512_pair strip512_decode(const struct lqi_strip *w,
                                                           const struct strip512_grid *grid,
                                                           int form, size_t r, size_t k)
{
  const uint8_t *codes = w->codes + r * w->row_bytes;
  if (form >= LQI_FORM_F32)
    return strip512_dense(codes, form - LQI_FORM_F32 + LQ_F32, k);
  if (form >= LQI_FORM_U8)
    return strip512_bytes(grid, codes, form, k);
  return strip512_look_up(grid->table, codes, form, k);
}

LQI_INLINE LQI_AVX512 void strip512_rows(const struct lqi_strip *w, int form, size_t rows, size_t n,
                                         float *out, size_t stride)
{
  size_t group = form >= LQI_FORM_F32 ? n : w->group;
  for (size_t r = 0; r < rows; r++, out += stride)
    for (size_t k = 0, g = 0; k < n; g++) {
      struct strip512_grid grid = {_mm512_setzero_ps(), _mm512_setzero_ps()};
      if (form < LQI_FORM_F32)
        grid = strip512_grid(w, form, r, g);
      for (size_t end = k + group; k < end; k += LQI_PIECE) {
        struct strip512_pair v = strip512_decode(w, &grid, form, r, k);
        _mm512_storeu_ps(out + k, v.even);
        _mm512_storeu_ps(out + k + 16, v.odd);
      }
    }
}

LQI_INLINE LQI_AVX512 void strip512_ahead(const uint8_t *codes, size_t bytes)
{
  for (size_t line = 0; line < bytes; line += X86_LINE)
    _mm_prefetch((const char *)codes + line, _MM_HINT_T1);
}

/* `rows` rows of w from row r on by m rows of x; both numbers are constants where this is inlined.
 */
LQI_INLINE LQI_AVX512 void strip512_tile(const struct lqi_strip *w, int form, size_t r, size_t rows,
                                         size_t n, const float *x, size_t x_stride, size_t m,
                                         float *out, size_t stride)
{
  __m512 sum[LQI_STRIP_M][STRIP512_ROWS];
  struct strip512_grid grid[STRIP512_ROWS];
  size_t group = form >= LQI_FORM_F32 ? n : w->group,
         step = rows * LQI_PIECE / 8 * lqi_form_bits(form);
  const uint8_t *next = w->codes + r * w->row_bytes + STRIP512_AHEAD;
  for (size_t j = 0; j < m; j++)
    X86_UNROLL
  for (size_t i = 0; i < rows; i++)
    sum[j][i] = _mm512_setzero_ps();
  for (size_t k = 0, g = 0; k < n; g++) {
    X86_UNROLL
    for (size_t i = 0; i < rows; i++)
      if (form < LQI_FORM_F32)
        grid[i] = strip512_grid(w, form, r + i, g);
    for (size_t end = k + group; k < end; k += LQI_PIECE, next += step) {
      __m512 even[LQI_STRIP_M], odd[LQI_STRIP_M];
      strip512_ahead(next, step);
      X86_UNROLL
      for (size_t j = 0; j < m; j++) {
        even[j] = _mm512_loadu_ps(x + j * x_stride + k);
        odd[j] = _mm512_loadu_ps(x + j * x_stride + k + 16);
      }
      X86_UNROLL
      for (size_t i = 0; i < rows; i++) {
        struct strip512_pair v = strip512_decode(w, &grid[i], form, r + i, k);
        X86_UNROLL
        for (size_t j = 0; j < m; j++)
          sum[j][i] = _mm512_fmadd_ps(v.odd, odd[j], _mm512_fmadd_ps(v.even, even[j], sum[j][i]));
      }
    }
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    if (rows == STRIP512_ROWS)
      _mm_storeu_ps(out + j * stride + r, avx512_fold(sum[j][0], sum[j][1], sum[j][2], sum[j][3]));
    else
      out[j * stride + r] = _mm_cvtss_f32(avx512_fold(sum[j][0], sum[j][0], sum[j][0], sum[j][0]));
}

LQI_INLINE LQI_AVX512 void strip512_dots(const struct lqi_strip *w, int form, size_t rows, size_t n,
                                         const float *x, size_t x_stride, size_t m, float *out,
                                         size_t stride)
{
  size_t r = 0;
  for (; r + STRIP512_ROWS <= rows; r += STRIP512_ROWS)
    if (m == 4) {
      strip512_tile(w, form, r, STRIP512_ROWS, n, x, x_stride, 4, out, stride);
    } else {
      size_t j = 0;
      for (; j + 2 <= m; j += 2)
        strip512_tile(w, form, r, STRIP512_ROWS, n, x + j * x_stride, x_stride, 2, out + j * stride,
                      stride);
      if (j < m)
        strip512_tile(w, form, r, STRIP512_ROWS, n, x + j * x_stride, x_stride, 1, out + j * stride,
                      stride);
    }
  for (; r < rows; r++)
    for (size_t j = 0; j < m; j++)
      strip512_tile(w, form, r, 1, n, x + j * x_stride, x_stride, 1, out + j * stride, stride);
}

#define STRIP512_KERNELS(name, form) \
  LQI_AVX512 void lqi_strip_pair_##name##_avx512(const struct lqi_strip *w, size_t rows, size_t n, \
                                                 float *out, size_t stride) \
  { \
    strip512_rows(w, form, rows, n, out, stride); \
  } \
  LQI_AVX512 void lqi_strip_dots_##name##_avx512(const struct lqi_strip *w, size_t rows, size_t n, \
                                                 const float *x, size_t x_stride, size_t m, \
                                                 float *out, size_t stride) \
  { \
    strip512_dots(w, form, rows, n, x, x_stride, m, out, stride); \
  }

STRIP512_KERNELS(book4, LQI_FORM_BOOK4)
STRIP512_KERNELS(low4, LQI_FORM_LOW4)
STRIP512_KERNELS(low3, LQI_FORM_LOW3)
STRIP512_KERNELS(low2, LQI_FORM_LOW2)
STRIP512_KERNELS(u8, LQI_FORM_U8)
STRIP512_KERNELS(i8, LQI_FORM_I8)
STRIP512_KERNELS(f32, LQI_FORM_F32)
STRIP512_KERNELS(f16, LQI_FORM_F16)
STRIP512_KERNELS(bf16, LQI_FORM_BF16)

/* ---- Paired rows ---- */

LQI_INLINE LQI_AVX512 void strip512_pair_row(const void *x, int32_t dtype, size_t n, float *out)
{
  size_t k = 0;
  for (; k < n; k += LQI_PIECE, out += LQI_PIECE) {
    struct strip512_pair v;
    if (k + LQI_PIECE <= n)
      v = strip512_dense(x, dtype, k);
    else
      v = strip512_split(avx512_load_part(x, dtype, k, avx512_lanes(k, n)),
                         avx512_load_part(x, dtype, k + 16, avx512_lanes(k + 16, n)));
    _mm512_storeu_ps(out, v.even);
    _mm512_storeu_ps(out + 16, v.odd);
  }
}

LQI_AVX512 void lqi_pair_f32_avx512(const void *x, size_t n, float *out)
{
  strip512_pair_row(x, LQ_F32, n, out);
}

LQI_AVX512 void lqi_pair_f16_avx512(const void *x, size_t n, float *out)
{
  strip512_pair_row(x, LQ_F16, n, out);
}

LQI_AVX512 void lqi_pair_bf16_avx512(const void *x, size_t n, float *out)
{
  strip512_pair_row(x, LQ_BF16, n, out);
}

#endif
