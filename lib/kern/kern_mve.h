/*
 * kern_mve.h - integer products with Helium (MVE), the vector unit of Cortex-M55 and M85.
 *
 * Owns: the same sums as the loops of api/static.c, 16 products an instruction; integers, so the
 * same bits. There is nothing to choose when the program runs: firmware is built for its core.
 * Must not know: scales, layers. Nothing in f32 is done with it, since its arithmetic takes
 * subnormals for 0.
 */
#ifndef LQI_KERN_MVE_H
#define LQI_KERN_MVE_H

#include "../core/base.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define LQI_MVE 1
#else
#define LQI_MVE 0
#endif

#if LQI_MVE
#include <arm_mve.h>

LQI_INLINE int32_t lqi_dot_i8_mve(const int8_t *w, const int8_t *x, uint32_t n)
{
  int32_t sum = 0;
  for (; n >= 16; n -= 16, w += 16, x += 16)
    sum = vmladavaq_s8(sum, vldrbq_s8(w), vldrbq_s8(x));
  if (n != 0) {
    mve_pred16_t p = vctp8q(n);
    sum = vmladavaq_p_s8(sum, vldrbq_z_s8(w, p), vldrbq_z_s8(x, p), p);
  }
  return sum;
}

/* Four rows, n columns apart. */
LQI_INLINE void lqi_dots_i8_mve(const int8_t *w, const int8_t *x, uint32_t n, int32_t sums[4])
{
  const int8_t *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
  int32_t a = 0, b = 0, c = 0, d = 0;
  for (; n >= 16; n -= 16, x += 16, w += 16, w1 += 16, w2 += 16, w3 += 16) {
    int8x16_t v = vldrbq_s8(x);
    a = vmladavaq_s8(a, vldrbq_s8(w), v);
    b = vmladavaq_s8(b, vldrbq_s8(w1), v);
    c = vmladavaq_s8(c, vldrbq_s8(w2), v);
    d = vmladavaq_s8(d, vldrbq_s8(w3), v);
  }
  if (n != 0) {
    mve_pred16_t p = vctp8q(n);
    int8x16_t v = vldrbq_z_s8(x, p);
    a = vmladavaq_p_s8(a, vldrbq_z_s8(w, p), v, p);
    b = vmladavaq_p_s8(b, vldrbq_z_s8(w1, p), v, p);
    c = vmladavaq_p_s8(c, vldrbq_z_s8(w2, p), v, p);
    d = vmladavaq_p_s8(d, vldrbq_z_s8(w3, p), v, p);
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}
#endif

#endif
