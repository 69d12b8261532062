/*
 * fixed_avx512vbmi.c - products in 16-bit fixed point, AVX-512 with VNNI: one instruction.
 *
 * Owns: nothing but that; the rest is fixed_avx512.h.
 * Must not know: which method has which form.
 */
#include "kern_avx512.h"

#if LQI_X86

#define FIXED512(name) fixed_vnni_##name
#define FIXED512_ISA LQI_AVX512VBMI
#define FIXED512_DOT(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#include "fixed_avx512.h"

FIXED512_KERNEL(lqi_fixed_dots_book4_avx512vbmi, LQI_FORM_BOOK4)
FIXED512_KERNEL(lqi_fixed_dots_low4_avx512vbmi, LQI_FORM_LOW4)
FIXED512_KERNEL(lqi_fixed_dots_low3_avx512vbmi, LQI_FORM_LOW3)
FIXED512_KERNEL(lqi_fixed_dots_low2_avx512vbmi, LQI_FORM_LOW2)
FIXED512_KERNEL(lqi_fixed_dots_u8_avx512vbmi, LQI_FORM_U8)
FIXED512_KERNEL(lqi_fixed_dots_i8_avx512vbmi, LQI_FORM_I8)

#undef FIXED512
#undef FIXED512_ISA
#undef FIXED512_DOT
#undef FIXED512_KERNEL

#endif
