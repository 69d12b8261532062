/*
 * tile_avx512.c - tiles of matrix products, AVX-512: 8 x 48 of f32, 8 x 24 of f64.
 *
 * Owns: the loop over k with the sums of a tile in 8 x 3 registers.
 * Must not know: how panels are packed or what the product is for.
 *
 * 24 sums, a row of b in three registers, one value of a: 28 of 32 registers, and 11 loads for 24
 * fused multiply-adds, so that the multipliers are the limit. Narrow tiles leave out whole vectors.
 */
#include "kern_avx512.h"

#if LQI_X86

enum { TILE512_ROWS = 8, TILE512_F32 = 48, TILE512_F64 = 24, TILE512_AHEAD = 8 };

/* Where the sums will go: m rows of some bytes. */
struct tile512_goal {
  const char *c;
  size_t stride, m, bytes;
};

/*
 * A row of it will be wanted when the loop over k ends. One at a time is asked for: all at once
 * they would hold up what the loop itself needs.
 */
LQI_INLINE LQI_AVX512 void tile512_fetch(const struct tile512_goal *goal, size_t i)
{
  const char *row = goal->c + i * goal->stride;
  for (size_t at = 0; i < goal->m && at < goal->bytes + X86_LINE - 1; at += X86_LINE)
    _mm_prefetch(row + (at < goal->bytes ? at : goal->bytes - 1), _MM_HINT_T0);
}

LQI_INLINE LQI_AVX512 void tile512_products_f32(size_t depth, const float *a, size_t step,
                                                const float *b, size_t vectors,
                                                __m512 p[TILE512_ROWS][3],
                                                const struct tile512_goal *goal)
{
  X86_UNROLL
  for (size_t i = 0; i < TILE512_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    p[i][v] = _mm512_setzero_ps();
  for (size_t k = 0, part = 0; part < TILE512_ROWS; part++) {
    tile512_fetch(goal, part);
    for (size_t end = depth * (part + 1) / TILE512_ROWS; k < end;
         k++, a += step, b += TILE512_F32) {
      __m512 row[3];
      X86_UNROLL
      for (size_t v = 0; v < vectors; v++) {
        row[v] = _mm512_loadu_ps(b + 16 * v);
        _mm_prefetch((const char *)(b + 16 * v + TILE512_AHEAD * TILE512_F32), _MM_HINT_T0);
      }
      X86_UNROLL
      for (size_t i = 0; i < TILE512_ROWS; i++) {
        __m512 x = _mm512_set1_ps(a[i]);
        X86_UNROLL
        for (size_t v = 0; v < vectors; v++)
          p[i][v] = _mm512_fmadd_ps(x, row[v], p[i][v]);
      }
    }
  }
}

LQI_INLINE LQI_AVX512 void tile512_put_f32(float *c, __m512 p, __mmask16 lanes, int mode)
{
  __m512 old = mode == LQI_TILE_SET ? p : _mm512_maskz_loadu_ps(lanes, c);
  __m512 sum = mode == LQI_TILE_ADD ? _mm512_add_ps(old, p) : p;
  _mm512_mask_storeu_ps(c, lanes, mode == LQI_TILE_SUB ? _mm512_sub_ps(old, p) : sum);
}

LQI_INLINE LQI_AVX512 void tile512_f32(size_t depth, const float *a, size_t step, const float *b,
                                       float *c, size_t ldc, size_t m, size_t n, int mode,
                                       size_t vectors)
{
  __m512 p[TILE512_ROWS][3];
  const struct tile512_goal goal = {(const char *)c, ldc * sizeof *c, m, n * sizeof *c};
  tile512_products_f32(depth, a, step, b, vectors, p, &goal);
  X86_UNROLL
  for (size_t i = 0; i < TILE512_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    if (i < m)
      tile512_put_f32(c + i * ldc + 16 * v, p[i][v], avx512_lanes(16 * v, n), mode);
}

LQI_AVX512 void lqi_tile_f32_avx512(size_t depth, const float *a, size_t step, const float *b,
                                    float *c, size_t ldc, size_t m, size_t n, int mode)
{
  if (n > 32)
    tile512_f32(depth, a, step, b, c, ldc, m, n, mode, 3);
  else if (n > 16)
    tile512_f32(depth, a, step, b, c, ldc, m, n, mode, 2);
  else
    tile512_f32(depth, a, step, b, c, ldc, m, n, mode, 1);
}

LQI_INLINE LQI_AVX512 void tile512_add_sum(double *c, __m512 p, __mmask16 lanes)
{
  __mmask8 low = (__mmask8)lanes, high = (__mmask8)(lanes >> 8);
  __m512d first = _mm512_cvtps_pd(_mm512_castps512_ps256(p)),
          second = _mm512_cvtps_pd(_mm512_extractf32x8_ps(p, 1));
  _mm512_mask_storeu_pd(c, low, _mm512_add_pd(_mm512_maskz_loadu_pd(low, c), first));
  _mm512_mask_storeu_pd(c + 8, high, _mm512_add_pd(_mm512_maskz_loadu_pd(high, c + 8), second));
}

LQI_INLINE LQI_AVX512 void tile512_sum(size_t depth, const float *a, size_t step, const float *b,
                                       double *c, size_t ldc, size_t m, size_t n, size_t vectors)
{
  __m512 p[TILE512_ROWS][3];
  const struct tile512_goal goal = {(const char *)c, ldc * sizeof *c, m, n * sizeof *c};
  tile512_products_f32(depth, a, step, b, vectors, p, &goal);
  X86_UNROLL
  for (size_t i = 0; i < TILE512_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    if (i < m)
      tile512_add_sum(c + i * ldc + 16 * v, p[i][v], avx512_lanes(16 * v, n));
}

LQI_AVX512 void lqi_tile_sum_avx512(size_t depth, const float *a, size_t step, const float *b,
                                    double *c, size_t ldc, size_t m, size_t n)
{
  if (n > 32)
    tile512_sum(depth, a, step, b, c, ldc, m, n, 3);
  else if (n > 16)
    tile512_sum(depth, a, step, b, c, ldc, m, n, 2);
  else
    tile512_sum(depth, a, step, b, c, ldc, m, n, 1);
}

LQI_INLINE LQI_AVX512 void tile512_products_f64(size_t depth, const double *a, size_t step,
                                                const double *b, size_t vectors,
                                                __m512d p[TILE512_ROWS][3],
                                                const struct tile512_goal *goal)
{
  X86_UNROLL
  for (size_t i = 0; i < TILE512_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    p[i][v] = _mm512_setzero_pd();
  for (size_t k = 0, part = 0; part < TILE512_ROWS; part++) {
    tile512_fetch(goal, part);
    for (size_t end = depth * (part + 1) / TILE512_ROWS; k < end;
         k++, a += step, b += TILE512_F64) {
      __m512d row[3];
      X86_UNROLL
      for (size_t v = 0; v < vectors; v++) {
        row[v] = _mm512_loadu_pd(b + 8 * v);
        _mm_prefetch((const char *)(b + 8 * v + TILE512_AHEAD * TILE512_F64), _MM_HINT_T0);
      }
      X86_UNROLL
      for (size_t i = 0; i < TILE512_ROWS; i++) {
        __m512d x = _mm512_set1_pd(a[i]);
        X86_UNROLL
        for (size_t v = 0; v < vectors; v++)
          p[i][v] = _mm512_fmadd_pd(x, row[v], p[i][v]);
      }
    }
  }
}

LQI_INLINE LQI_AVX512 void tile512_put_f64(double *c, __m512d p, __mmask8 lanes, int mode)
{
  __m512d old = mode == LQI_TILE_SET ? p : _mm512_maskz_loadu_pd(lanes, c);
  __m512d sum = mode == LQI_TILE_ADD ? _mm512_add_pd(old, p) : p;
  _mm512_mask_storeu_pd(c, lanes, mode == LQI_TILE_SUB ? _mm512_sub_pd(old, p) : sum);
}

LQI_INLINE LQI_AVX512 void tile512_f64(size_t depth, const double *a, size_t step, const double *b,
                                       double *c, size_t ldc, size_t m, size_t n, int mode,
                                       size_t vectors)
{
  __m512d p[TILE512_ROWS][3];
  const struct tile512_goal goal = {(const char *)c, ldc * sizeof *c, m, n * sizeof *c};
  tile512_products_f64(depth, a, step, b, vectors, p, &goal);
  X86_UNROLL
  for (size_t i = 0; i < TILE512_ROWS; i++)
    X86_UNROLL
  for (size_t v = 0; v < vectors; v++)
    if (i < m)
      tile512_put_f64(c + i * ldc + 8 * v, p[i][v], (__mmask8)avx512_lanes(8 * v, n), mode);
}

LQI_AVX512 void lqi_tile_f64_avx512(size_t depth, const double *a, size_t step, const double *b,
                                    double *c, size_t ldc, size_t m, size_t n, int mode)
{
  if (n > 16)
    tile512_f64(depth, a, step, b, c, ldc, m, n, mode, 3);
  else if (n > 8)
    tile512_f64(depth, a, step, b, c, ldc, m, n, mode, 2);
  else
    tile512_f64(depth, a, step, b, c, ldc, m, n, mode, 1);
}

/* Four chains, so that none waits for its own last step. */
LQI_AVX512 void lqi_tile_row_avx512(size_t depth, const float *a, const float *b, size_t ldb,
                                    float *p, size_t n)
{
  for (size_t j = 0; j < n; j += 64) {
    __mmask16 lanes[4];
    __m512 sum[4];
    X86_UNROLL
    for (size_t v = 0; v < 4; v++) {
      lanes[v] = avx512_lanes(j + 16 * v, n);
      sum[v] = _mm512_maskz_loadu_ps(lanes[v], p + j + 16 * v);
    }
    for (size_t k = 0; k < depth; k++) {
      __m512 x = _mm512_set1_ps(a[k]);
      X86_UNROLL
      for (size_t v = 0; v < 4; v++)
        sum[v] =
            _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(lanes[v], b + k * ldb + j + 16 * v), sum[v]);
    }
    X86_UNROLL
    for (size_t v = 0; v < 4; v++)
      _mm512_mask_storeu_ps(p + j + 16 * v, lanes[v], sum[v]);
  }
}

#endif
