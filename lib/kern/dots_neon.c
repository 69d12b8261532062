/*
 * dots_neon.c - many inner products at once, NEON.
 *
 * Owns: the tile of 2 rows by 2 rows, whose 4 sums take 16 of the 32 registers.
 * Must not know: where the rows come from.
 */
#include "kern_neon.h"

#include <math.h>

#if LQI_NEON

LQI_INLINE float dots_neon_fold(const float32x4_t *v)
{
  float32x4_t four = vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]));
  float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/* The last n < 16 elements, added to the chains of a sum in memory. */
LQI_INLINE void dots_neon_rest(const float *a, const float *b, size_t n, float32x4_t *v)
{
  float chain[16];
  for (size_t q = 0; q < 4; q++)
    vst1q_f32(chain + 4 * q, v[q]);
  for (size_t k = 0; k < n; k++)
    chain[k] = fmaf(a[k], b[k], chain[k]);
  for (size_t q = 0; q < 4; q++)
    v[q] = vld1q_f32(chain + 4 * q);
}

LQI_INLINE void dots_neon_tile(const float *a, size_t a_stride, const float *b, size_t b_stride,
                               size_t n, float *out, size_t stride)
{
  float32x4_t sum[2][2][4];
  size_t k = 0;
  NEON_UNROLL
  for (size_t q = 0; q < 4; q++)
    sum[0][0][q] = sum[0][1][q] = sum[1][0][q] = sum[1][1][q] = vdupq_n_f32(0.0f);
  for (; k + 16 <= n; k += 16)
    NEON_UNROLL
  for (size_t q = 0; q < 4; q++) {
    float32x4_t u0 = vld1q_f32(a + k + 4 * q), u1 = vld1q_f32(a + a_stride + k + 4 * q);
    float32x4_t w0 = vld1q_f32(b + k + 4 * q), w1 = vld1q_f32(b + b_stride + k + 4 * q);
    sum[0][0][q] = vfmaq_f32(sum[0][0][q], u0, w0);
    sum[0][1][q] = vfmaq_f32(sum[0][1][q], u1, w0);
    sum[1][0][q] = vfmaq_f32(sum[1][0][q], u0, w1);
    sum[1][1][q] = vfmaq_f32(sum[1][1][q], u1, w1);
  }
  for (size_t j = 0; j < 2; j++)
    for (size_t i = 0; i < 2; i++) {
      if (k < n)
        dots_neon_rest(a + i * a_stride + k, b + j * b_stride + k, n - k, sum[j][i]);
      out[j * stride + i] = dots_neon_fold(sum[j][i]);
    }
}

void lqi_dots_neon(struct lqi_rows a, struct lqi_rows b, size_t n, float *out, size_t stride)
{
  size_t pairs_a = a.count / 2 * 2, pairs_b = b.count / 2 * 2;
  for (size_t i = 0; i < pairs_a; i += 2)
    for (size_t j = 0; j < pairs_b; j += 2)
      dots_neon_tile(a.from + i * a.stride, a.stride, b.from + j * b.stride, b.stride, n,
                     out + j * stride + i, stride);
  for (size_t i = 0; i < a.count; i++)
    for (size_t j = i < pairs_a ? pairs_b : 0; j < b.count; j++)
      out[j * stride + i] = lqi_dot_neon(a.from + i * a.stride, b.from + j * b.stride, n);
}

#endif
