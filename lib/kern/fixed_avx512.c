/*
 * fixed_avx512.c - products in 16-bit fixed point, AVX-512: a multiplication and an addition.
 *
 * Owns: x as integers; the products by fixed_avx512.h.
 * Must not know: which method has which form.
 */
#include "kern_avx512.h"

#include <float.h>

#if LQI_X86

LQI_INLINE LQI_AVX512 __m512i fixed_avx512_round(__m512 a, __m512 b, __m512 by)
{
  /* The saturating pack works inside quarters; the permutation restores the order. */
  const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
  __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(a, by)),
          high = _mm512_cvtps_epi32(_mm512_mul_ps(b, by));
  return _mm512_permutexvar_epi64(order, _mm512_packs_epi32(low, high));
}

LQI_AVX512 void lqi_fix_avx512(const float *x, size_t n, const struct lqi_fixed *out, size_t r)
{
  int16_t *q = out->q + r * out->stride;
  float *t = out->t + r * (out->stride / LQI_UNIT);
  for (size_t k = 0; k < n; k += LQI_UNIT, x += LQI_UNIT, q += LQI_UNIT, t++) {
    float most = avx512_absmax(x, LQ_F32, 0, LQI_UNIT);
    if (!(most >= 0x1p-100f && most <= FLT_MAX)) {
      *t = most < 0x1p-100f ? 0.0f : lqi_f32_from_bits(LQI_CANONICAL_NAN);
      memset(q, 0, LQI_UNIT * sizeof *q);
      continue;
    }
    __m512 by = _mm512_set1_ps(32767.0f / most);
    *t = most / 32767.0f;
    for (size_t odd = 0; odd < 2; odd++)
      _mm512_storeu_si512(q + 32 * odd, fixed_avx512_round(_mm512_loadu_ps(x + 16 * odd),
                                                           _mm512_loadu_ps(x + 32 + 16 * odd), by));
  }
}

#define FIXED512(name) fixed_avx512_##name
#define FIXED512_ISA LQI_AVX512
#define FIXED512_DOT(sum, a, b) _mm512_add_epi32(sum, _mm512_madd_epi16(a, b))
#include "fixed_avx512.h"

FIXED512_KERNEL(lqi_fixed_dots_book4_avx512, LQI_FORM_BOOK4)
FIXED512_KERNEL(lqi_fixed_dots_low4_avx512, LQI_FORM_LOW4)
FIXED512_KERNEL(lqi_fixed_dots_low3_avx512, LQI_FORM_LOW3)
FIXED512_KERNEL(lqi_fixed_dots_low2_avx512, LQI_FORM_LOW2)
FIXED512_KERNEL(lqi_fixed_dots_u8_avx512, LQI_FORM_U8)
FIXED512_KERNEL(lqi_fixed_dots_i8_avx512, LQI_FORM_I8)

#undef FIXED512
#undef FIXED512_ISA
#undef FIXED512_DOT
#undef FIXED512_KERNEL

#endif
