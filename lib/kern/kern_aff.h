/*
 * kern_aff.h - what the aff kernels of every level share: the rules of one element.
 *
 * Owns: constants and scalar rules of uniform grids; the vector kernels end their groups with them.
 * Must not know: groups, packing.
 */
#ifndef LQI_KERN_AFF_H
#define LQI_KERN_AFF_H

#include "kern_c.h"

/* The smallest positive and the largest finite f16. */
#define AFF_LEAST_SCALE 0x1p-24f
#define AFF_MOST_SCALE 65504.0f

/*
 * Coefficients, lowest first: log2(1 + f) = f * sum LOG[i] f^i for 1 + f from sqrt(1/2) to sqrt(2),
 * error below 2e-8; 2^r = sum EXP[i] r^i for r from -1/2 to 1/2, relative error below 2e-8. Least
 * squares at Chebyshev points, rounded to f32. The search they serve only compares sums.
 */
#define AFF_LOG_TERMS 9
#define AFF_LOG \
  { \
    0x1.715476p+0f, -0x1.71547p-1f, 0x1.ec73d4p-2f, -0x1.715c9cp-2f, 0x1.26d41p-2f, \
        -0x1.e94f12p-3f, 0x1.b9b11ep-3f, -0x1.a8cc5cp-3f, 0x1.025a2p-3f \
  }
#define AFF_EXP_TERMS 7
#define AFF_EXP \
  { \
    0x1p+0f, 0x1.62e43p-1f, 0x1.ebfbep-3f, 0x1.c6aeccp-5f, 0x1.3b29d8p-7f, 0x1.5f48c8p-10f, \
        0x1.446c7ep-13f \
  }
#define AFF_SQRT_HALF_BITS 0x3f3504f3 /* with it, the mantissa is within the range of LOG */
#define AFF_LEAST_ERROR 0x1p-100f

/* Adding and removing 1.5 * 2^23 leaves the nearest integer, ties to even, of |v| < 2^22. */
LQI_INLINE float aff_rint(float v)
{
  return (v + 12582912.0f) - 12582912.0f;
}

LQI_INLINE uint32_t aff_code(float x, struct lqi_grid grid, float most)
{
  float t = x / grid.scale, low = -grid.zero, high = most - grid.zero;
  t = t > low ? t : low;
  t = t < high ? t : high;
  return (uint32_t)(int32_t)(aff_rint(t) + grid.zero);
}

LQI_INLINE float aff_value(uint32_t code, struct lqi_grid grid)
{
  return grid.scale * ((float)code - grid.zero);
}

/* d^power of d >= 0: exponent and mantissa apart, the integer part of the product with the exponent
 * back into the exponent. */
LQI_INLINE float aff_power(float d, float power)
{
  static const float log_terms[AFF_LOG_TERMS] = AFF_LOG, exp_terms[AFF_EXP_TERMS] = AFF_EXP;
  if (!(d >= AFF_LEAST_ERROR))
    return 0.0f;
  int32_t u = (int32_t)lqi_f32_bits(d), k = (u - AFF_SQRT_HALF_BITS) >> 23;
  float f = lqi_f32_from_bits((uint32_t)(u - k * (1 << 23))) - 1.0f, p = log_terms[8];
  for (int i = AFF_LOG_TERMS - 2; i >= 0; i--)
    p = p * f + log_terms[i];
  float y = (p * f + (float)k) * power;
  y = y < 126.0f ? y : 126.0f;
  if (!(y >= -126.0f))
    return 0.0f;
  float whole = aff_rint(y), r = y - whole, e = exp_terms[6];
  for (int i = AFF_EXP_TERMS - 2; i >= 0; i--)
    e = e * r + exp_terms[i];
  return lqi_f32_from_bits((uint32_t)((int32_t)lqi_f32_bits(e) + (int32_t)whole * (1 << 23)));
}

#endif
