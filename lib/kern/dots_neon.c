/*
 * dots_neon.c - many inner products of paired rows at once, NEON.
 *
 * Owns: the tile of 4 rows by 4 rows, whose sums stay in registers.
 * Must not know: where the rows come from.
 *
 * The 16 chains of a product are four vectors, of which a whole tile takes one at a time, in four
 * passes over its rows: 16 products share 8 loads then, where all four vectors of 2 x 2 products
 * share 16 for as many multiplications. After the first pass the rows are in L1. More products
 * would fit 32 registers, but compilers load a whole step ahead and run out of them.
 */
#include "kern_neon.h"

#if LQI_NEON

enum { DOTS_NEON_ROWS = 4 };

/* Where the chains of a tile stand: `sums` and `out` of its first element; `step` sums, `stride`
 * results lie between rows of b. */
struct dots_neon_place {
  float *sums, *out;
  size_t step, stride;
  int stage;
};

typedef float32x4_t dots_neon_chains[DOTS_NEON_ROWS][DOTS_NEON_ROWS][4];

/* Vectors first .. first + wide - 1 of the chains of m rows of a by `rows` rows of b. */
LQI_INLINE void dots_neon_pass(struct lqi_rows a, size_t m, struct lqi_rows b, size_t rows,
                               size_t n, size_t first, size_t wide, dots_neon_chains chains)
{
  float32x4_t sum[DOTS_NEON_ROWS][DOTS_NEON_ROWS][2];
  NEON_UNROLL
  for (size_t j = 0; j < rows; j++)
    NEON_UNROLL
  for (size_t i = 0; i < m; i++)
    NEON_UNROLL
  for (size_t q = 0; q < wide; q++)
    sum[j][i][q] = chains[j][i][first + q];
  for (size_t k = 4 * first; k < n; k += 16)
    NEON_UNROLL
  for (size_t q = 0; q < wide; q++) {
    float32x4_t v[DOTS_NEON_ROWS];
    NEON_UNROLL
    for (size_t i = 0; i < m; i++)
      v[i] = vld1q_f32(a.from + i * a.stride + k + 4 * q);
    NEON_UNROLL
    for (size_t j = 0; j < rows; j++) {
      float32x4_t w = vld1q_f32(b.from + j * b.stride + k + 4 * q);
      NEON_UNROLL
      for (size_t i = 0; i < m; i++)
        sum[j][i][q] = vfmaq_f32(sum[j][i][q], v[i], w);
    }
  }
  NEON_UNROLL
  for (size_t j = 0; j < rows; j++)
    NEON_UNROLL
  for (size_t i = 0; i < m; i++)
    NEON_UNROLL
  for (size_t q = 0; q < wide; q++)
    chains[j][i][first + q] = sum[j][i][q];
}

/* m rows of a by `rows` rows of b, each 4 or 1 and a constant where this is inlined. */
LQI_INLINE void dots_neon_tile(struct lqi_rows a, size_t m, struct lqi_rows b, size_t rows,
                               size_t n, const struct dots_neon_place *p)
{
  dots_neon_chains chains;
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < m; i++)
      NEON_UNROLL
  for (size_t q = 0; q < 4; q++)
    chains[j][i][q] = p->stage & LQI_DOTS_BEGIN
                          ? vdupq_n_f32(0.0f)
                          : vld1q_f32(p->sums + (j * p->step + i) * 16 + 4 * q);
  size_t wide = m * rows == DOTS_NEON_ROWS * DOTS_NEON_ROWS ? 1 : 2;
  for (size_t first = 0; first < 4; first += wide)
    dots_neon_pass(a, m, b, rows, n, first, wide, chains);
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < m; i++)
      if (p->stage & LQI_DOTS_END) {
        p->out[j * p->stride + i] = neon_fold(chains[j][i]);
      } else {
        NEON_UNROLL
        for (size_t q = 0; q < 4; q++)
          vst1q_f32(p->sums + (j * p->step + i) * 16 + 4 * q, chains[j][i][q]);
      }
}

/* `rows` rows of b, a constant where this is inlined, against all of a. */
LQI_INLINE void dots_neon_strip(struct lqi_rows a, struct lqi_rows b, size_t rows, size_t n,
                                struct dots_neon_place place)
{
  for (size_t left = a.count, m; left != 0; left -= m) {
    m = left >= DOTS_NEON_ROWS ? DOTS_NEON_ROWS : 1;
    if (m == DOTS_NEON_ROWS)
      dots_neon_tile(a, DOTS_NEON_ROWS, b, rows, n, &place);
    else
      dots_neon_tile(a, 1, b, rows, n, &place);
    a.from += m * a.stride;
    place.sums += m * 16;
    place.out += m;
  }
}

void lqi_dots_neon(struct lqi_rows a, struct lqi_rows b, size_t n, int stage, float *sums,
                   float *out, size_t stride)
{
  struct dots_neon_place place = {sums, out, a.count, stride, stage};
  for (size_t left = b.count, rows; left != 0; left -= rows) {
    rows = left >= DOTS_NEON_ROWS ? DOTS_NEON_ROWS : 1;
    if (rows == DOTS_NEON_ROWS)
      dots_neon_strip(a, b, DOTS_NEON_ROWS, n, place);
    else
      dots_neon_strip(a, b, 1, n, place);
    b.from += rows * b.stride;
    place.sums += rows * a.count * 16;
    place.out += rows * stride;
  }
}

#endif
