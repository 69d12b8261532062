/*
 * strip_avx2.c - products of coded rows, AVX2: codes are decoded in registers.
 *
 * Owns: how each form becomes four vectors of 8 columns.
 * Must not know: which method has which form.
 *
 * The chains of a row take two registers, and eight of the sixteen hold sums: those of four
 * products at a time, whether four rows by one of x, two by two or one by four.
 *
 * A permutation of 8 values serves 2 and 3 bits, from a table scaled once a group. Sixteen values
 * take two and a choice: uniform 4-bit codes are converted instead, which is some 15 % faster, by
 * the operations of the specification.
 */
#include "kern_avx2.h"

#if LQI_X86

enum { STRIP256_AHEAD = 16384, STRIP256_SUMS = 4 };

/* What a row needs of its present group: scale and zero point, or a scaled table of 16, or of 8 in
 * a alone. */
struct strip256_grid {
  __m256 a, b;
};

/* 16 columns. */
struct strip256_pair {
  __m256 even, odd;
};

/* 32 columns in the order of a paired row: vectors 0 and 1 the even ones, 2 and 3 the odd ones. */
struct strip256_piece {
  __m256 v[4];
};

LQI_INLINE LQI_AVX2 struct strip256_grid strip256_grid(const struct lqi_strip *w, int form,
                                                       size_t r, size_t g)
{
  const float *grid = w->grid + r * w->grid_step + g * w->numbers;
  __m256 scale = _mm256_broadcast_ss(grid);
  if (form == LQI_FORM_BOOK4)
    return (struct strip256_grid){_mm256_mul_ps(_mm256_loadu_ps(w->book), scale),
                                  _mm256_mul_ps(_mm256_loadu_ps(w->book + 8), scale)};
  if (form == LQI_FORM_I8 || form == LQI_FORM_BOOK8)
    return (struct strip256_grid){scale, scale};
  __m256 zero = _mm256_broadcast_ss(grid + 1);
  if (form == LQI_FORM_LOW2 || form == LQI_FORM_LOW3)
    scale = _mm256_mul_ps(scale, _mm256_sub_ps(_mm256_loadu_ps(w->book), zero));
  return (struct strip256_grid){scale, zero};
}

/* 2 or 3 bits: the upper bits of a lane do not disturb the look-up. */
LQI_INLINE LQI_AVX2 struct strip256_pair strip256_few(__m256 table, const uint8_t *codes, int form,
                                                      size_t k)
{
  __m256i low;
  if (form == LQI_FORM_LOW2) {
    int32_t bits;
    memcpy(&bits, codes + k / 4, sizeof bits);
    low =
        _mm256_srlv_epi32(_mm256_set1_epi32(bits), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
  } else {
    /* Lane l begins at bit 6 l, in byte 3 l / 4. The second half of a piece lies in bytes 6 to 11,
     * of which 4 to 11 are loaded. */
    const __m256i byte =
        _mm256_setr_epi32(0x0100, 0x0100, 0x0201, 0x0302, 0x0403, 0x0403, 0x0504, 0x0605);
    const __m256i shift = _mm256_setr_epi32(0, 6, 4, 2, 0, 6, 4, 2);
    int second = k % LQI_PIECE != 0;
    int64_t bits;
    memcpy(&bits, codes + k / LQI_PIECE * 12 + (second ? 4 : 0), sizeof bits);
    low = _mm256_shuffle_epi8(_mm256_set1_epi64x(bits),
                              second ? _mm256_add_epi8(byte, _mm256_set1_epi32(0x0202)) : byte);
    low = _mm256_srlv_epi32(low, shift);
  }
  __m256i high = _mm256_srli_epi32(low, form == LQI_FORM_LOW2 ? 2 : 3);
  return (struct strip256_pair){_mm256_permutevar8x32_ps(table, low),
                                _mm256_permutevar8x32_ps(table, high)};
}

/* 16 values by code, high nibbles first. Each byte stands at both ends of its lane, so that the
 * choice between the halves of the table, the highest bit of a code, comes to be the sign. */
LQI_INLINE LQI_AVX2 struct strip256_pair strip256_look_up(const struct strip256_grid *grid,
                                                          const uint8_t *codes, size_t k)
{
  const __m256i byte = _mm256_setr_epi8(0, -1, -1, 0, 1, -1, -1, 1, 2, -1, -1, 2, 3, -1, -1, 3, 4,
                                        -1, -1, 4, 5, -1, -1, 5, 6, -1, -1, 6, 7, -1, -1, 7);
  int64_t bits;
  memcpy(&bits, codes + k / 2, sizeof bits);
  __m256i both = _mm256_shuffle_epi8(_mm256_set1_epi64x(bits), byte);
  __m256i high = _mm256_srli_epi32(both, 4), sign = _mm256_slli_epi32(both, 4);
  __m256 a = _mm256_blendv_ps(_mm256_permutevar8x32_ps(grid->a, high),
                              _mm256_permutevar8x32_ps(grid->b, high), _mm256_castsi256_ps(both));
  __m256 b = _mm256_blendv_ps(_mm256_permutevar8x32_ps(grid->a, both),
                              _mm256_permutevar8x32_ps(grid->b, both), _mm256_castsi256_ps(sign));
  return (struct strip256_pair){a, b};
}

/* book[] of bytes 0, 2, 4, 6 of a, then of b. Ordinary loads are faster than the instruction that
 * gathers, where that is made of many steps. */
LQI_INLINE LQI_AVX2 __m256 strip256_eight(const float *book, uint64_t a, uint64_t b)
{
  __m128 low =
      _mm_setr_ps(book[a & 255], book[a >> 16 & 255], book[a >> 32 & 255], book[a >> 48 & 255]);
  __m128 high =
      _mm_setr_ps(book[b & 255], book[b >> 16 & 255], book[b >> 32 & 255], book[b >> 48 & 255]);
  return _mm256_set_m128(high, low);
}

LQI_INLINE LQI_AVX2 struct strip256_pair strip256_load(const float *book, __m256 scale,
                                                       const uint8_t *codes)
{
  uint64_t a, b;
  memcpy(&a, codes, sizeof a);
  memcpy(&b, codes + 8, sizeof b);
  return (struct strip256_pair){_mm256_mul_ps(strip256_eight(book, a, b), scale),
                                _mm256_mul_ps(strip256_eight(book, a >> 8, b >> 8), scale)};
}

/* Integers of both columns, by arithmetic. */
LQI_INLINE LQI_AVX2 struct strip256_pair strip256_integers(const struct strip256_grid *grid,
                                                           const uint8_t *codes, int form, size_t k)
{
  const __m256 step = _mm256_castsi256_ps(_mm256_set1_epi32((int)LQI_I8_STEP_BITS));
  __m256i even, odd;
  if (form == LQI_FORM_LOW4) {
    odd = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(codes + k / 2)));
    even = _mm256_and_si256(odd, _mm256_set1_epi32(15));
    odd = _mm256_srli_epi32(odd, 4);
  } else if (form == LQI_FORM_U8) {
    odd = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(codes + k)));
    even = _mm256_and_si256(odd, _mm256_set1_epi32(255));
    odd = _mm256_srli_epi32(odd, 8);
  } else {
    odd = _mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)(codes + k)));
    even = _mm256_srai_epi32(_mm256_slli_epi32(odd, 24), 24);
    odd = _mm256_srai_epi32(odd, 8);
  }
  __m256 a = _mm256_cvtepi32_ps(even), b = _mm256_cvtepi32_ps(odd);
  if (form == LQI_FORM_I8)
    return (struct strip256_pair){_mm256_mul_ps(_mm256_mul_ps(a, grid->a), step),
                                  _mm256_mul_ps(_mm256_mul_ps(b, grid->a), step)};
  return (struct strip256_pair){_mm256_mul_ps(grid->a, _mm256_sub_ps(a, grid->b)),
                                _mm256_mul_ps(grid->a, _mm256_sub_ps(b, grid->b))};
}

LQI_INLINE LQI_AVX2 struct strip256_pair strip256_dense(const void *row, int32_t dtype, size_t k)
{
  if (dtype == LQ_F32) {
    const float *x = (const float *)row + k;
    __m256 a =
        _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x)), _mm_loadu_ps(x + 8), 1);
    __m256 b =
        _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x + 4)), _mm_loadu_ps(x + 12), 1);
    return (struct strip256_pair){_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd)};
  }
  const uint16_t *x = (const uint16_t *)row + k;
  if (dtype == LQ_BF16) {
    __m256i two = _mm256_loadu_si256((const void *)x);
    return (struct strip256_pair){
        _mm256_castsi256_ps(_mm256_slli_epi32(two, 16)),
        _mm256_castsi256_ps(_mm256_and_si256(two, _mm256_set1_epi32((int)0xffff0000)))};
  }
  const __m128i split = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  __m128i a = _mm_shuffle_epi8(_mm_loadu_si128((const void *)x), split);
  __m128i b = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(x + 8)), split);
  return (struct strip256_pair){_mm256_cvtph_ps(_mm_unpacklo_epi64(a, b)),
                                _mm256_cvtph_ps(_mm_unpackhi_epi64(a, b))};
}

/* Columns k .. k + 31 of row r. */
LQI_INLINE LQI_AVX2 struct strip256_piece strip256_decode(const struct lqi_strip *w,
                                                          const struct strip256_grid *grid,
                                                          int form, size_t r, size_t k)
{
  const uint8_t *codes = w->codes + r * w->row_bytes;
  struct strip256_pair half[2];
  X86_UNROLL
  for (size_t h = 0; h < 2; h++)
    if (form >= LQI_FORM_F32)
      half[h] = strip256_dense(codes, form - LQI_FORM_F32 + LQ_F32, k + 16 * h);
    else if (form == LQI_FORM_LOW2 || form == LQI_FORM_LOW3)
      half[h] = strip256_few(grid->a, codes, form, k + 16 * h);
    else if (form == LQI_FORM_BOOK8)
      half[h] = strip256_load(w->book, grid->a, codes + k + 16 * h);
    else if (form == LQI_FORM_BOOK4)
      half[h] = strip256_look_up(grid, codes, k + 16 * h);
    else
      half[h] = strip256_integers(grid, codes, form, k + 16 * h);
  return (struct strip256_piece){{half[0].even, half[1].even, half[0].odd, half[1].odd}};
}

LQI_INLINE LQI_AVX2 void strip256_rows(const struct lqi_strip *w, int form, size_t rows, size_t n,
                                       float *out, size_t stride)
{
  size_t group = form >= LQI_FORM_F32 ? n : w->group;
  for (size_t r = 0; r < rows; r++, out += stride)
    for (size_t k = 0, g = 0; k < n; g++) {
      struct strip256_grid grid;
      if (form < LQI_FORM_F32)
        grid = strip256_grid(w, form, r, g);
      for (size_t end = k + group; k < end; k += LQI_PIECE) {
        struct strip256_piece piece = strip256_decode(w, &grid, form, r, k);
        X86_UNROLL
        for (size_t i = 0; i < 4; i++)
          _mm256_storeu_ps(out + k + 8 * i, piece.v[i]);
      }
    }
}

LQI_INLINE LQI_AVX2 void strip256_ahead(const uint8_t *codes, size_t bytes)
{
  for (size_t line = 0; line < bytes; line += X86_LINE)
    _mm_prefetch((const char *)codes + line, _MM_HINT_T1);
}

/* Folds the chains of `count` products, the others' results are anything. */
LQI_INLINE LQI_AVX2 __m128 strip256_fold(__m256 (*sum)[2], size_t count)
{
  __m128 a[STRIP256_SUMS];
  X86_UNROLL
  for (size_t i = 0; i < count; i++) {
    __m256 eight = _mm256_add_ps(sum[i][0], sum[i][1]);
    a[i] = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  }
  X86_UNROLL
  for (size_t i = count; i < STRIP256_SUMS; i++)
    a[i] = a[0];
  __m128 ab = _mm_add_ps(_mm_movelh_ps(a[0], a[1]), _mm_movehl_ps(a[1], a[0]));
  __m128 cd = _mm_add_ps(_mm_movelh_ps(a[2], a[3]), _mm_movehl_ps(a[3], a[2]));
  return _mm_add_ps(_mm_shuffle_ps(ab, cd, 0x88), _mm_shuffle_ps(ab, cd, 0xdd));
}

/* `rows` rows of w from row r on by m rows of x; both numbers are constants where this is inlined,
 * and at most STRIP256_SUMS products. */
LQI_INLINE LQI_AVX2 void strip256_tile(const struct lqi_strip *w, int form, size_t r, size_t rows,
                                       size_t n, const float *x, size_t x_stride, size_t m,
                                       float *out, size_t stride)
{
  __m256 sum[STRIP256_SUMS][2];
  struct strip256_grid grid[STRIP256_SUMS];
  float result[STRIP256_SUMS];
  size_t group = form >= LQI_FORM_F32 ? n : w->group,
         step = rows * LQI_PIECE / 8 * lqi_form_bits(form);
  const uint8_t *next = w->codes + r * w->row_bytes + STRIP256_AHEAD;
  X86_UNROLL
  for (size_t i = 0; i < rows * m; i++)
    sum[i][0] = sum[i][1] = _mm256_setzero_ps();
  for (size_t k = 0, g = 0; k < n; g++) {
    X86_UNROLL
    for (size_t i = 0; i < rows; i++)
      if (form < LQI_FORM_F32)
        grid[i] = strip256_grid(w, form, r + i, g);
    for (size_t end = k + group; k < end; k += LQI_PIECE, next += step) {
      strip256_ahead(next, step);
      X86_UNROLL
      for (size_t i = 0; i < rows; i++) {
        struct strip256_piece piece = strip256_decode(w, &grid[i], form, r + i, k);
        X86_UNROLL
        for (size_t j = 0; j < m; j++)
          X86_UNROLL
        for (size_t q = 0; q < 4; q++) {
          __m256 four = _mm256_loadu_ps(x + j * x_stride + k + 8 * q);
          sum[j * rows + i][q % 2] = _mm256_fmadd_ps(piece.v[q], four, sum[j * rows + i][q % 2]);
        }
      }
    }
  }
  _mm_storeu_ps(result, strip256_fold(sum, rows * m));
  for (size_t j = 0; j < m; j++)
    memcpy(out + j * stride + r, result + j * rows, rows * sizeof *out);
}

/* All rows, `most` at a time; m and it are constants where this is inlined. */
LQI_INLINE LQI_AVX2 void strip256_tiles(const struct lqi_strip *w, int form, size_t most,
                                        size_t rows, size_t n, const float *x, size_t x_stride,
                                        size_t m, float *out, size_t stride)
{
  size_t r = 0;
  for (; r + most <= rows; r += most)
    strip256_tile(w, form, r, most, n, x, x_stride, m, out, stride);
  for (; r < rows; r++)
    strip256_tile(w, form, r, 1, n, x, x_stride, m, out, stride);
}

LQI_INLINE LQI_AVX2 void strip256_dots(const struct lqi_strip *w, int form, size_t rows, size_t n,
                                       const float *x, size_t x_stride, size_t m, float *out,
                                       size_t stride)
{
  if (m == 1)
    strip256_tiles(w, form, 4, rows, n, x, x_stride, 1, out, stride);
  else if (m == 2)
    strip256_tiles(w, form, 2, rows, n, x, x_stride, 2, out, stride);
  else if (m == 3)
    strip256_tiles(w, form, 1, rows, n, x, x_stride, 3, out, stride);
  else if (m == 4)
    strip256_tiles(w, form, 1, rows, n, x, x_stride, 4, out, stride);
}

#define STRIP256_KERNELS(name, form) \
  LQI_AVX2 void lqi_strip_pair_##name##_avx2(const struct lqi_strip *w, size_t rows, size_t n, \
                                             float *out, size_t stride) \
  { \
    strip256_rows(w, form, rows, n, out, stride); \
  } \
  LQI_AVX2 void lqi_strip_dots_##name##_avx2(const struct lqi_strip *w, size_t rows, size_t n, \
                                             const float *x, size_t x_stride, size_t m, \
                                             float *out, size_t stride) \
  { \
    strip256_dots(w, form, rows, n, x, x_stride, m, out, stride); \
  }

STRIP256_KERNELS(book4, LQI_FORM_BOOK4)
STRIP256_KERNELS(low4, LQI_FORM_LOW4)
STRIP256_KERNELS(low3, LQI_FORM_LOW3)
STRIP256_KERNELS(low2, LQI_FORM_LOW2)
STRIP256_KERNELS(book8, LQI_FORM_BOOK8)
STRIP256_KERNELS(u8, LQI_FORM_U8)
STRIP256_KERNELS(i8, LQI_FORM_I8)
STRIP256_KERNELS(f32, LQI_FORM_F32)
STRIP256_KERNELS(f16, LQI_FORM_F16)
STRIP256_KERNELS(bf16, LQI_FORM_BF16)

/* ---- Paired rows ---- */

LQI_INLINE LQI_AVX2 void strip256_pair_piece(const void *x, int32_t dtype, size_t k, float *out)
{
  X86_UNROLL
  for (size_t half = 0; half < 2; half++) {
    struct strip256_pair v = strip256_dense(x, dtype, k + half * 16);
    _mm256_storeu_ps(out + half * 8, v.even);
    _mm256_storeu_ps(out + 16 + half * 8, v.odd);
  }
}

LQI_INLINE LQI_AVX2 void strip256_pair_row(const void *x, int32_t dtype, size_t n, float *out)
{
  size_t k = 0, size = lqi_dtype_size(dtype);
  for (; k + LQI_PIECE <= n; k += LQI_PIECE)
    strip256_pair_piece(x, dtype, k, out + k);
  if (k < n) {
    float rest[LQI_PIECE] = {0}; /* its bytes: those of zero in every type */
    memcpy(rest, (const uint8_t *)x + k * size, (n - k) * size);
    strip256_pair_piece(rest, dtype, 0, out + k);
  }
}

LQI_AVX2 void lqi_pair_f32_avx2(const void *x, size_t n, float *out)
{
  strip256_pair_row(x, LQ_F32, n, out);
}

LQI_AVX2 void lqi_pair_f16_avx2(const void *x, size_t n, float *out)
{
  strip256_pair_row(x, LQ_F16, n, out);
}

LQI_AVX2 void lqi_pair_bf16_avx2(const void *x, size_t n, float *out)
{
  strip256_pair_row(x, LQ_BF16, n, out);
}

#endif
