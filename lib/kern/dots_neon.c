/*
 * dots_neon.c - many inner products of paired rows at once, NEON.
 *
 * Owns: the tile of 2 rows by 2 rows, whose 4 sums take 16 of the 32 registers.
 * Must not know: where the rows come from.
 */
#include "kern_neon.h"

#if LQI_NEON

/* Where the chains of a tile stand: `sums` and `out` of its first element; `step` sums, `stride`
 * results lie between rows of b. */
struct dots_neon_place {
  float *sums, *out;
  size_t step, stride;
  int stage;
};

/* m rows of a by `rows` rows of b, each 2 or 1 and a constant where this is inlined. */
LQI_INLINE void dots_neon_tile(struct lqi_rows a, size_t m, struct lqi_rows b, size_t rows,
                               size_t n, const struct dots_neon_place *p)
{
  float32x4_t sum[2][2][4];
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < m; i++)
      NEON_UNROLL
  for (size_t q = 0; q < 4; q++)
    sum[j][i][q] = p->stage & LQI_DOTS_BEGIN ? vdupq_n_f32(0.0f)
                                             : vld1q_f32(p->sums + (j * p->step + i) * 16 + 4 * q);
  for (size_t k = 0; k < n; k += 16)
    NEON_UNROLL
  for (size_t q = 0; q < 4; q++) {
    float32x4_t v[2];
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
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < m; i++)
      if (p->stage & LQI_DOTS_END) {
        p->out[j * p->stride + i] = neon_fold(sum[j][i]);
      } else {
        NEON_UNROLL
        for (size_t q = 0; q < 4; q++)
          vst1q_f32(p->sums + (j * p->step + i) * 16 + 4 * q, sum[j][i][q]);
      }
}

void lqi_dots_neon(struct lqi_rows a, struct lqi_rows b, size_t n, int stage, float *sums,
                   float *out, size_t stride)
{
  for (size_t j = 0, rows; j < b.count; j += rows) {
    struct lqi_rows two = {b.from + j * b.stride, b.stride, 2};
    rows = b.count - j >= 2 ? 2 : 1;
    for (size_t i = 0, m; i < a.count; i += m) {
      struct lqi_rows from = {a.from + i * a.stride, a.stride, 2};
      struct dots_neon_place place = {sums + (j * a.count + i) * 16, out + j * stride + i, a.count,
                                      stride, stage};
      m = a.count - i >= 2 ? 2 : 1;
      if (m == 2 && rows == 2)
        dots_neon_tile(from, 2, two, 2, n, &place);
      else if (m == 2)
        dots_neon_tile(from, 2, two, 1, n, &place);
      else if (rows == 2)
        dots_neon_tile(from, 1, two, 2, n, &place);
      else
        dots_neon_tile(from, 1, two, 1, n, &place);
    }
  }
}

#endif
