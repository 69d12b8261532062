/*
 * tile_neon.c - tiles of matrix products, NEON: 4 x 24 of f32, 4 x 12 of f64.
 *
 * Owns: the loop over k with the sums of a tile in 4 x 6 registers, and transposition into panels.
 * Must not know: what the product is for.
 *
 * 24 sums and a row of b in six registers leave two for the four values of a, which
 * multiply-and-add takes by lane. Narrow tiles leave out pairs of vectors.
 */
#include "kern_neon.h"

#if LQI_NEON

enum { TILE_NEON_ROWS = 4, TILE_NEON_F32 = 24, TILE_NEON_F64 = 12 };

/* Columns of a transposition at a time. */
enum { TRANSPOSE_F32 = 64, TRANSPOSE_F64 = 32 };

LQI_INLINE void tile_neon_products_f32(size_t depth, const float *a, size_t step, const float *b,
                                       size_t vectors, float32x4_t p[TILE_NEON_ROWS][6])
{
  NEON_UNROLL
  for (size_t i = 0; i < TILE_NEON_ROWS; i++)
    NEON_UNROLL
  for (size_t v = 0; v < vectors; v++)
    p[i][v] = vdupq_n_f32(0.0f);
  for (; depth != 0; depth--, a += step, b += TILE_NEON_F32) {
    float32x4_t x = vld1q_f32(a);
    NEON_UNROLL
    for (size_t v = 0; v < vectors; v++) {
      float32x4_t row = vld1q_f32(b + 4 * v);
      p[0][v] = vfmaq_laneq_f32(p[0][v], row, x, 0);
      p[1][v] = vfmaq_laneq_f32(p[1][v], row, x, 1);
      p[2][v] = vfmaq_laneq_f32(p[2][v], row, x, 2);
      p[3][v] = vfmaq_laneq_f32(p[3][v], row, x, 3);
    }
  }
}

LQI_INLINE void tile_neon_products_f64(size_t depth, const double *a, size_t step, const double *b,
                                       size_t vectors, float64x2_t p[TILE_NEON_ROWS][6])
{
  NEON_UNROLL
  for (size_t i = 0; i < TILE_NEON_ROWS; i++)
    NEON_UNROLL
  for (size_t v = 0; v < vectors; v++)
    p[i][v] = vdupq_n_f64(0.0);
  for (; depth != 0; depth--, a += step, b += TILE_NEON_F64) {
    float64x2_t x = vld1q_f64(a), y = vld1q_f64(a + 2);
    NEON_UNROLL
    for (size_t v = 0; v < vectors; v++) {
      float64x2_t row = vld1q_f64(b + 2 * v);
      p[0][v] = vfmaq_laneq_f64(p[0][v], row, x, 0);
      p[1][v] = vfmaq_laneq_f64(p[1][v], row, x, 1);
      p[2][v] = vfmaq_laneq_f64(p[2][v], row, y, 0);
      p[3][v] = vfmaq_laneq_f64(p[3][v], row, y, 1);
    }
  }
}

LQI_INLINE void tile_neon_put_f32(float *c, float32x4_t p, int mode)
{
  if (mode == LQI_TILE_ADD)
    p = vaddq_f32(vld1q_f32(c), p);
  else if (mode == LQI_TILE_SUB)
    p = vsubq_f32(vld1q_f32(c), p);
  vst1q_f32(c, p);
}

LQI_INLINE void tile_neon_add_sum(double *c, float32x4_t p)
{
  vst1q_f64(c, vaddq_f64(vld1q_f64(c), vcvt_f64_f32(vget_low_f32(p))));
  vst1q_f64(c + 2, vaddq_f64(vld1q_f64(c + 2), vcvt_high_f64_f32(p)));
}

LQI_INLINE void tile_neon_put_f64(double *c, float64x2_t p, int mode)
{
  if (mode == LQI_TILE_ADD)
    p = vaddq_f64(vld1q_f64(c), p);
  else if (mode == LQI_TILE_SUB)
    p = vsubq_f64(vld1q_f64(c), p);
  vst1q_f64(c, p);
}

LQI_INLINE void tile_neon_f32(size_t depth, const float *a, size_t step, const float *b, float *c,
                              size_t ldc, size_t m, int mode, size_t vectors)
{
  float32x4_t p[TILE_NEON_ROWS][6];
  tile_neon_products_f32(depth, a, step, b, vectors, p);
  NEON_UNROLL
  for (size_t i = 0; i < TILE_NEON_ROWS; i++)
    NEON_UNROLL
  for (size_t v = 0; v < vectors; v++)
    if (i < m)
      tile_neon_put_f32(c + i * ldc + 4 * v, p[i][v], mode);
}

LQI_INLINE void tile_neon_sum(size_t depth, const float *a, size_t step, const float *b, double *c,
                              size_t ldc, size_t m, size_t vectors)
{
  float32x4_t p[TILE_NEON_ROWS][6];
  tile_neon_products_f32(depth, a, step, b, vectors, p);
  NEON_UNROLL
  for (size_t i = 0; i < TILE_NEON_ROWS; i++)
    NEON_UNROLL
  for (size_t v = 0; v < vectors; v++)
    if (i < m)
      tile_neon_add_sum(c + i * ldc + 4 * v, p[i][v]);
}

LQI_INLINE void tile_neon_f64(size_t depth, const double *a, size_t step, const double *b,
                              double *c, size_t ldc, size_t m, int mode, size_t vectors)
{
  float64x2_t p[TILE_NEON_ROWS][6];
  tile_neon_products_f64(depth, a, step, b, vectors, p);
  NEON_UNROLL
  for (size_t i = 0; i < TILE_NEON_ROWS; i++)
    NEON_UNROLL
  for (size_t v = 0; v < vectors; v++)
    if (i < m)
      tile_neon_put_f64(c + i * ldc + 2 * v, p[i][v], mode);
}

/* Whole pairs of vectors, or the edge of a matrix: then in a buffer first. */
void lqi_tile_f32_neon(size_t depth, const float *a, size_t step, const float *b, float *c,
                       size_t ldc, size_t m, size_t n, int mode)
{
  const size_t whole = (n + 7) / 8 * 8;
  if (n != whole) {
    float edge[TILE_NEON_ROWS * TILE_NEON_F32];
    lqi_tile_f32_neon(depth, a, step, b, edge, TILE_NEON_F32, m, whole, LQI_TILE_SET);
    lqi_tile_edge_f32(edge, TILE_NEON_F32, c, ldc, m, n, mode);
    return;
  }
  if (n == TILE_NEON_F32)
    tile_neon_f32(depth, a, step, b, c, ldc, m, mode, 6);
  else if (n == 16)
    tile_neon_f32(depth, a, step, b, c, ldc, m, mode, 4);
  else
    tile_neon_f32(depth, a, step, b, c, ldc, m, mode, 2);
}

void lqi_tile_sum_neon(size_t depth, const float *a, size_t step, const float *b, double *c,
                       size_t ldc, size_t m, size_t n)
{
  const size_t whole = (n + 7) / 8 * 8;
  if (n != whole) {
    float edge[TILE_NEON_ROWS * TILE_NEON_F32];
    lqi_tile_f32_neon(depth, a, step, b, edge, TILE_NEON_F32, m, whole, LQI_TILE_SET);
    lqi_tile_edge_sum(edge, TILE_NEON_F32, c, ldc, m, n);
    return;
  }
  if (n == TILE_NEON_F32)
    tile_neon_sum(depth, a, step, b, c, ldc, m, 6);
  else if (n == 16)
    tile_neon_sum(depth, a, step, b, c, ldc, m, 4);
  else
    tile_neon_sum(depth, a, step, b, c, ldc, m, 2);
}

void lqi_tile_f64_neon(size_t depth, const double *a, size_t step, const double *b, double *c,
                       size_t ldc, size_t m, size_t n, int mode)
{
  const size_t whole = (n + 3) / 4 * 4;
  if (n != whole) {
    double edge[TILE_NEON_ROWS * TILE_NEON_F64];
    lqi_tile_f64_neon(depth, a, step, b, edge, TILE_NEON_F64, m, whole, LQI_TILE_SET);
    lqi_tile_edge_f64(edge, TILE_NEON_F64, c, ldc, m, n, mode);
    return;
  }
  if (n == TILE_NEON_F64)
    tile_neon_f64(depth, a, step, b, c, ldc, m, mode, 6);
  else if (n == 8)
    tile_neon_f64(depth, a, step, b, c, ldc, m, mode, 4);
  else
    tile_neon_f64(depth, a, step, b, c, ldc, m, mode, 2);
}

LQI_INLINE void transpose_neon_4x4(const float *x, size_t ld, float *out, size_t step)
{
  float32x4_t r0 = vld1q_f32(x), r1 = vld1q_f32(x + ld), r2 = vld1q_f32(x + 2 * ld),
              r3 = vld1q_f32(x + 3 * ld);
  float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(r0, r1)), /* columns 0, 2 of rows 0, 1 */
      b = vreinterpretq_f64_f32(vtrn2q_f32(r0, r1)), c = vreinterpretq_f64_f32(vtrn1q_f32(r2, r3)),
              d = vreinterpretq_f64_f32(vtrn2q_f32(r2, r3));
  vst1q_f32(out, vreinterpretq_f32_f64(vtrn1q_f64(a, c)));
  vst1q_f32(out + step, vreinterpretq_f32_f64(vtrn1q_f64(b, d)));
  vst1q_f32(out + 2 * step, vreinterpretq_f32_f64(vtrn2q_f64(a, c)));
  vst1q_f32(out + 3 * step, vreinterpretq_f32_f64(vtrn2q_f64(b, d)));
}

LQI_INLINE void transpose_neon_2x2(const double *x, size_t ld, double *out, size_t step)
{
  float64x2_t a = vld1q_f64(x), b = vld1q_f64(x + ld);
  vst1q_f64(out, vtrn1q_f64(a, b));
  vst1q_f64(out + step, vtrn2q_f64(a, b));
}

/* Some columns at a time, so that what is written fits L1. */
void lqi_transpose_f32_neon(const float *x, size_t ld, size_t rows, size_t columns, float *out,
                            size_t step)
{
  const size_t whole = columns / 4 * 4, high = rows / 4 * 4;
  for (size_t first = 0, end; first < whole; first = end) {
    end = whole - first < TRANSPOSE_F32 ? whole : first + TRANSPOSE_F32;
    for (size_t i = 0; i < high; i += 4)
      for (size_t k = first; k < end; k += 4)
        transpose_neon_4x4(x + i * ld + k, ld, out + k * step + i, step);
  }
  lqi_transpose_f32_c(x + whole, ld, high, columns - whole, out + whole * step, step);
  lqi_transpose_f32_c(x + high * ld, ld, rows - high, columns, out + high, step);
}

void lqi_transpose_f64_neon(const double *x, size_t ld, size_t rows, size_t columns, double *out,
                            size_t step)
{
  const size_t whole = columns / 2 * 2, high = rows / 2 * 2;
  for (size_t first = 0, end; first < whole; first = end) {
    end = whole - first < TRANSPOSE_F64 ? whole : first + TRANSPOSE_F64;
    for (size_t i = 0; i < high; i += 2)
      for (size_t k = first; k < end; k += 2)
        transpose_neon_2x2(x + i * ld + k, ld, out + k * step + i, step);
  }
  lqi_transpose_f64_c(x + whole, ld, high, columns - whole, out + whole * step, step);
  lqi_transpose_f64_c(x + high * ld, ld, rows - high, columns, out + high, step);
}

/* 8 vectors of sums at a time, so that none waits for its own last step; then what is left. */
LQI_INLINE void tile_neon_row(size_t depth, const float *a, const float *b, size_t ldb, float *p,
                              size_t vectors)
{
  float32x4_t sum[8];
  NEON_UNROLL
  for (size_t v = 0; v < vectors; v++)
    sum[v] = vld1q_f32(p + 4 * v);
  for (size_t k = 0; k < depth; k++, b += ldb) {
    float32x4_t x = vdupq_n_f32(a[k]);
    NEON_UNROLL
    for (size_t v = 0; v < vectors; v++)
      sum[v] = vfmaq_f32(sum[v], vld1q_f32(b + 4 * v), x);
  }
  NEON_UNROLL
  for (size_t v = 0; v < vectors; v++)
    vst1q_f32(p + 4 * v, sum[v]);
}

void lqi_tile_row_neon(size_t depth, const float *a, const float *b, size_t ldb, float *p, size_t n)
{
  size_t j = 0;
  for (; j + 32 <= n; j += 32)
    tile_neon_row(depth, a, b + j, ldb, p + j, 8);
  for (; j + 4 <= n; j += 4)
    tile_neon_row(depth, a, b + j, ldb, p + j, 1);
  for (; j < n; j++)
    for (size_t k = 0; k < depth; k++)
      p[j] = vget_lane_f32(vfma_f32(vdup_n_f32(p[j]), vdup_n_f32(b[k * ldb + j]), vdup_n_f32(a[k])),
                           0);
}

#endif
