/*
 * tile_c.c - tiles of matrix products, transposition into panels, portable C.
 *
 * Owns: the specification of these kernels, and how sums reach their place at an edge.
 * Must not know: how panels are packed or what the product is for.
 */
#include "../core/fused.h"
#include "kern_c.h"

enum { TILE_C_ROWS = 4, TILE_C_F32 = 8, TILE_C_F64 = 4 };

void lqi_tile_edge_f32(const float *p, size_t columns, float *c, size_t ldc, size_t m, size_t n,
                       int mode)
{
  for (size_t i = 0; i < m; i++, p += columns, c += ldc)
    for (size_t j = 0; j < n; j++)
      c[j] = mode == LQI_TILE_SET ? p[j] : mode == LQI_TILE_ADD ? c[j] + p[j] : c[j] - p[j];
}

void lqi_tile_edge_sum(const float *p, size_t columns, double *c, size_t ldc, size_t m, size_t n)
{
  for (size_t i = 0; i < m; i++, p += columns, c += ldc)
    for (size_t j = 0; j < n; j++)
      c[j] += (double)p[j];
}

void lqi_tile_edge_f64(const double *p, size_t columns, double *c, size_t ldc, size_t m, size_t n,
                       int mode)
{
  for (size_t i = 0; i < m; i++, p += columns, c += ldc)
    for (size_t j = 0; j < n; j++)
      c[j] = mode == LQI_TILE_SET ? p[j] : mode == LQI_TILE_ADD ? c[j] + p[j] : c[j] - p[j];
}

static void tile_c_products(size_t depth, const float *a, size_t step, const float *b, size_t m,
                            size_t n, float p[TILE_C_ROWS * TILE_C_F32])
{
  for (size_t i = 0; i < TILE_C_ROWS * TILE_C_F32; i++)
    p[i] = 0.0f;
  for (; depth != 0; depth--, a += step, b += TILE_C_F32)
    for (size_t i = 0; i < m; i++)
      for (size_t j = 0; j < n; j++)
        p[i * TILE_C_F32 + j] = LQI_FMAF(a[i], b[j], p[i * TILE_C_F32 + j]);
}

void lqi_tile_f32_c(size_t depth, const float *a, size_t step, const float *b, float *c, size_t ldc,
                    size_t m, size_t n, int mode)
{
  float p[TILE_C_ROWS * TILE_C_F32];
  tile_c_products(depth, a, step, b, m, n, p);
  lqi_tile_edge_f32(p, TILE_C_F32, c, ldc, m, n, mode);
}

void lqi_tile_sum_c(size_t depth, const float *a, size_t step, const float *b, double *c,
                    size_t ldc, size_t m, size_t n)
{
  float p[TILE_C_ROWS * TILE_C_F32];
  tile_c_products(depth, a, step, b, m, n, p);
  lqi_tile_edge_sum(p, TILE_C_F32, c, ldc, m, n);
}

void lqi_tile_f64_c(size_t depth, const double *a, size_t step, const double *b, double *c,
                    size_t ldc, size_t m, size_t n, int mode)
{
  double p[TILE_C_ROWS * TILE_C_F64] = {0};
  for (; depth != 0; depth--, a += step, b += TILE_C_F64)
    for (size_t i = 0; i < m; i++)
      for (size_t j = 0; j < n; j++)
        p[i * TILE_C_F64 + j] = LQI_FMA(a[i], b[j], p[i * TILE_C_F64 + j]);
  lqi_tile_edge_f64(p, TILE_C_F64, c, ldc, m, n, mode);
}

void lqi_tile_row_c(size_t depth, const float *a, const float *b, size_t ldb, float *p, size_t n)
{
  for (size_t k = 0; k < depth; k++, b += ldb)
    for (size_t j = 0; j < n; j++)
      p[j] = LQI_FMAF(a[k], b[j], p[j]);
}

void lqi_transpose_f32_c(const float *x, size_t ld, size_t rows, size_t columns, float *out,
                         size_t step)
{
  for (size_t i = 0; i < rows; i++)
    for (size_t k = 0; k < columns; k++)
      out[k * step + i] = x[i * ld + k];
}

void lqi_transpose_f64_c(const double *x, size_t ld, size_t rows, size_t columns, double *out,
                         size_t step)
{
  for (size_t i = 0; i < rows; i++)
    for (size_t k = 0; k < columns; k++)
      out[k * step + i] = x[i * ld + k];
}
