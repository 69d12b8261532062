/*
 * tile_avx2.c - tiles of matrix products, AVX2: 4 x 24 of f32, 4 x 12 of f64.
 *
 * Owns: the loop over k with the sums of a tile in 4 x 3 registers, and transposition into panels.
 * Must not know: what the product is for.
 *
 * 12 sums, a row of b in three registers and one value of a fill the 16 registers; 7 loads for 12
 * fused multiply-adds leave the multipliers the limit. Narrow tiles leave out whole vectors.
 */
#include "kern_avx2.h"

#if LQI_X86

enum { TILE256_ROWS = 4, TILE256_F32 = 24, TILE256_F64 = 12, TILE256_AHEAD = 16 };

/* Columns of a transposition at a time. */
enum { TRANSPOSE_F32 = 64, TRANSPOSE_F64 = 32 };

/* The tile of c will be wanted when the loop over k ends. */
LQI_INLINE LQI_AVX2 void tile256_fetch(const void *c, size_t stride, size_t m, size_t bytes)
{
  for (size_t i = 0; i < m; i++)
    for (size_t at = 0; at < bytes + X86_LINE - 1; at += X86_LINE)
      _mm_prefetch((const char *)c + i * stride + (at < bytes ? at : bytes - 1), _MM_HINT_T0);
}

LQI_INLINE LQI_AVX2 void tile256_put_f32(float *c, __m256 p, int mode)
{
  __m256 old = mode == LQI_TILE_SET ? p : _mm256_loadu_ps(c);
  __m256 sum = mode == LQI_TILE_ADD ? _mm256_add_ps(old, p) : p;
  _mm256_storeu_ps(c, mode == LQI_TILE_SUB ? _mm256_sub_ps(old, p) : sum);
}

LQI_INLINE LQI_AVX2 void tile256_add_sum(double *c, __m256 p)
{
  __m256d first = _mm256_cvtps_pd(_mm256_castps256_ps128(p)),
          second = _mm256_cvtps_pd(_mm256_extractf128_ps(p, 1));
  _mm256_storeu_pd(c, _mm256_add_pd(_mm256_loadu_pd(c), first));
  _mm256_storeu_pd(c + 4, _mm256_add_pd(_mm256_loadu_pd(c + 4), second));
}

LQI_INLINE LQI_AVX2 void tile256_put_f64(double *c, __m256d p, int mode)
{
  __m256d old = mode == LQI_TILE_SET ? p : _mm256_loadu_pd(c);
  __m256d sum = mode == LQI_TILE_ADD ? _mm256_add_pd(old, p) : p;
  _mm256_storeu_pd(c, mode == LQI_TILE_SUB ? _mm256_sub_pd(old, p) : sum);
}

LQI_INLINE LQI_AVX2 void tile256_products_f32(size_t depth, const float *a, size_t step,
                                              const float *b, size_t vectors,
                                              __m256 p[TILE256_ROWS][3])
{
  X86_UNROLL
  for (size_t i = 0; i < TILE256_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    p[i][v] = _mm256_setzero_ps();
  for (; depth != 0; depth--, a += step, b += TILE256_F32) {
    __m256 row[3];
    _mm_prefetch((const char *)(b + TILE256_AHEAD * TILE256_F32), _MM_HINT_T0);
    X86_UNROLL
    for (size_t v = 0; v < vectors; v++)
      row[v] = _mm256_loadu_ps(b + 8 * v);
    X86_UNROLL
    for (size_t i = 0; i < TILE256_ROWS; i++) {
      __m256 x = _mm256_broadcast_ss(a + i);
      X86_UNROLL
      for (size_t v = 0; v < vectors; v++)
        p[i][v] = _mm256_fmadd_ps(x, row[v], p[i][v]);
    }
  }
}

LQI_INLINE LQI_AVX2 void tile256_products_f64(size_t depth, const double *a, size_t step,
                                              const double *b, size_t vectors,
                                              __m256d p[TILE256_ROWS][3])
{
  X86_UNROLL
  for (size_t i = 0; i < TILE256_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    p[i][v] = _mm256_setzero_pd();
  for (; depth != 0; depth--, a += step, b += TILE256_F64) {
    __m256d row[3];
    _mm_prefetch((const char *)(b + TILE256_AHEAD * TILE256_F64), _MM_HINT_T0);
    X86_UNROLL
    for (size_t v = 0; v < vectors; v++)
      row[v] = _mm256_loadu_pd(b + 4 * v);
    X86_UNROLL
    for (size_t i = 0; i < TILE256_ROWS; i++) {
      __m256d x = _mm256_broadcast_sd(a + i);
      X86_UNROLL
      for (size_t v = 0; v < vectors; v++)
        p[i][v] = _mm256_fmadd_pd(x, row[v], p[i][v]);
    }
  }
}

LQI_INLINE LQI_AVX2 void tile256_f32(size_t depth, const float *a, size_t step, const float *b,
                                     float *c, size_t ldc, size_t m, int mode, size_t vectors)
{
  __m256 p[TILE256_ROWS][3];
  tile256_products_f32(depth, a, step, b, vectors, p);
  X86_UNROLL
  for (size_t i = 0; i < TILE256_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    if (i < m)
      tile256_put_f32(c + i * ldc + 8 * v, p[i][v], mode);
}

LQI_INLINE LQI_AVX2 void tile256_sum(size_t depth, const float *a, size_t step, const float *b,
                                     double *c, size_t ldc, size_t m, size_t vectors)
{
  __m256 p[TILE256_ROWS][3];
  tile256_products_f32(depth, a, step, b, vectors, p);
  X86_UNROLL
  for (size_t i = 0; i < TILE256_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    if (i < m)
      tile256_add_sum(c + i * ldc + 8 * v, p[i][v]);
}

LQI_INLINE LQI_AVX2 void tile256_f64(size_t depth, const double *a, size_t step, const double *b,
                                     double *c, size_t ldc, size_t m, int mode, size_t vectors)
{
  __m256d p[TILE256_ROWS][3];
  tile256_products_f64(depth, a, step, b, vectors, p);
  X86_UNROLL
  for (size_t i = 0; i < TILE256_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    if (i < m)
      tile256_put_f64(c + i * ldc + 4 * v, p[i][v], mode);
}

/* Whole vectors, or the edge of a matrix: then in a buffer first. */
LQI_AVX2 void lqi_tile_f32_avx2(size_t depth, const float *a, size_t step, const float *b, float *c,
                                size_t ldc, size_t m, size_t n, int mode)
{
  const size_t whole = (n + 7) / 8 * 8;
  if (n != whole) {
    float edge[TILE256_ROWS * TILE256_F32];
    lqi_tile_f32_avx2(depth, a, step, b, edge, TILE256_F32, m, whole, LQI_TILE_SET);
    lqi_tile_edge_f32(edge, TILE256_F32, c, ldc, m, n, mode);
    return;
  }
  tile256_fetch(c, ldc * sizeof *c, m, n * sizeof *c);
  if (n == TILE256_F32)
    tile256_f32(depth, a, step, b, c, ldc, m, mode, 3);
  else if (n == 16)
    tile256_f32(depth, a, step, b, c, ldc, m, mode, 2);
  else
    tile256_f32(depth, a, step, b, c, ldc, m, mode, 1);
}

LQI_AVX2 void lqi_tile_sum_avx2(size_t depth, const float *a, size_t step, const float *b,
                                double *c, size_t ldc, size_t m, size_t n)
{
  const size_t whole = (n + 7) / 8 * 8;
  if (n != whole) {
    float edge[TILE256_ROWS * TILE256_F32];
    lqi_tile_f32_avx2(depth, a, step, b, edge, TILE256_F32, m, whole, LQI_TILE_SET);
    lqi_tile_edge_sum(edge, TILE256_F32, c, ldc, m, n);
    return;
  }
  tile256_fetch(c, ldc * sizeof *c, m, n * sizeof *c);
  if (n == TILE256_F32)
    tile256_sum(depth, a, step, b, c, ldc, m, 3);
  else if (n == 16)
    tile256_sum(depth, a, step, b, c, ldc, m, 2);
  else
    tile256_sum(depth, a, step, b, c, ldc, m, 1);
}

LQI_AVX2 void lqi_tile_f64_avx2(size_t depth, const double *a, size_t step, const double *b,
                                double *c, size_t ldc, size_t m, size_t n, int mode)
{
  const size_t whole = (n + 3) / 4 * 4;
  if (n != whole) {
    double edge[TILE256_ROWS * TILE256_F64];
    lqi_tile_f64_avx2(depth, a, step, b, edge, TILE256_F64, m, whole, LQI_TILE_SET);
    lqi_tile_edge_f64(edge, TILE256_F64, c, ldc, m, n, mode);
    return;
  }
  tile256_fetch(c, ldc * sizeof *c, m, n * sizeof *c);
  if (n == TILE256_F64)
    tile256_f64(depth, a, step, b, c, ldc, m, mode, 3);
  else if (n == 8)
    tile256_f64(depth, a, step, b, c, ldc, m, mode, 2);
  else
    tile256_f64(depth, a, step, b, c, ldc, m, mode, 1);
}

/* 8 rows, 4 columns: rows i and i + 4 share a register, so that no value must cross its middle. */
LQI_INLINE LQI_AVX2 void transpose_avx2_8x4(const float *x, size_t ld, float *out, size_t step)
{
  __m256 r[4];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++)
    r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x + i * ld)),
                                _mm_loadu_ps(x + (i + 4) * ld), 1);
  __m256 a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
  __m256 c = _mm256_unpacklo_ps(r[2], r[3]), d = _mm256_unpackhi_ps(r[2], r[3]);
  _mm256_storeu_ps(out, _mm256_shuffle_ps(a, c, 0x44));
  _mm256_storeu_ps(out + step, _mm256_shuffle_ps(a, c, 0xee));
  _mm256_storeu_ps(out + 2 * step, _mm256_shuffle_ps(b, d, 0x44));
  _mm256_storeu_ps(out + 3 * step, _mm256_shuffle_ps(b, d, 0xee));
}

/* 4 rows, 2 columns */
LQI_INLINE LQI_AVX2 void transpose_avx2_4x2(const double *x, size_t ld, double *out, size_t step)
{
  __m256d a =
      _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(x)), _mm_loadu_pd(x + 2 * ld), 1);
  __m256d b = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(x + ld)),
                                   _mm_loadu_pd(x + 3 * ld), 1);
  _mm256_storeu_pd(out, _mm256_unpacklo_pd(a, b));
  _mm256_storeu_pd(out + step, _mm256_unpackhi_pd(a, b));
}

/*
 * Some columns at a time: they are read a few lines after another, which hardware follows, and what
 * is written fits L1.
 */
LQI_AVX2 void lqi_transpose_f32_avx2(const float *x, size_t ld, size_t rows, size_t columns,
                                     float *out, size_t step)
{
  const size_t whole = columns / 4 * 4, high = rows / 8 * 8;
  for (size_t first = 0, end; first < whole; first = end) {
    end = whole - first < TRANSPOSE_F32 ? whole : first + TRANSPOSE_F32;
    for (size_t i = 0; i < high; i += 8)
      for (size_t k = first; k < end; k += 4)
        transpose_avx2_8x4(x + i * ld + k, ld, out + k * step + i, step);
  }
  lqi_transpose_f32_c(x + whole, ld, high, columns - whole, out + whole * step, step);
  lqi_transpose_f32_c(x + high * ld, ld, rows - high, columns, out + high, step);
}

LQI_AVX2 void lqi_transpose_f64_avx2(const double *x, size_t ld, size_t rows, size_t columns,
                                     double *out, size_t step)
{
  const size_t whole = columns / 2 * 2, high = rows / 4 * 4;
  for (size_t first = 0, end; first < whole; first = end) {
    end = whole - first < TRANSPOSE_F64 ? whole : first + TRANSPOSE_F64;
    for (size_t i = 0; i < high; i += 4)
      for (size_t k = first; k < end; k += 2)
        transpose_avx2_4x2(x + i * ld + k, ld, out + k * step + i, step);
  }
  lqi_transpose_f64_c(x + whole, ld, high, columns - whole, out + whole * step, step);
  lqi_transpose_f64_c(x + high * ld, ld, rows - high, columns, out + high, step);
}

/* 8 vectors of sums at a time, so that none waits for its own last step; then what is left. */
LQI_INLINE LQI_AVX2 void tile256_row(size_t depth, const float *a, const float *b, size_t ldb,
                                     float *p, size_t vectors)
{
  __m256 sum[8];
  X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    sum[v] = _mm256_loadu_ps(p + 8 * v);
  for (size_t k = 0; k < depth; k++, b += ldb) {
    __m256 x = _mm256_broadcast_ss(a + k);
    X86_UNROLL
    for (size_t v = 0; v < vectors; v++)
      sum[v] = _mm256_fmadd_ps(x, _mm256_loadu_ps(b + 8 * v), sum[v]);
  }
  X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    _mm256_storeu_ps(p + 8 * v, sum[v]);
}

LQI_AVX2 void lqi_tile_row_avx2(size_t depth, const float *a, const float *b, size_t ldb, float *p,
                                size_t n)
{
  size_t j = 0;
  for (; j + 64 <= n; j += 64)
    tile256_row(depth, a, b + j, ldb, p + j, 8);
  for (; j + 8 <= n; j += 8)
    tile256_row(depth, a, b + j, ldb, p + j, 1);
  for (; j < n; j++)
    for (size_t k = 0; k < depth; k++)
      p[j] = _mm_cvtss_f32(
          _mm_fmadd_ss(_mm_set_ss(a[k]), _mm_set_ss(b[k * ldb + j]), _mm_set_ss(p[j])));
}

#endif
