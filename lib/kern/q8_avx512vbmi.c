/*
 * q8_avx512vbmi.c - 8-bit codes where bytes can be permuted across a register (VBMI) and multiplied
 * in fours (VNNI).
 *
 * Owns: decoding of 256-entry code books and the integer inner product for these processors.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_avx512.h"

#if LQI_X86

/* 64 codes to four vectors in their natural order; for that, dword 4i + q goes to 4q + i. */
LQI_INLINE LQI_AVX512VBMI void q8_avx512vbmi_values(const struct avx512vbmi_table *t, __m512i code,
                                                    __m512 *v)
{
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  avx512vbmi_look_up(t, _mm512_permutexvar_epi32(order, code), v);
}

LQI_INLINE LQI_AVX512VBMI void q8_avx512vbmi_span(const void *table, const float *scale,
                                                  const uint8_t *codes, size_t n, int32_t dtype,
                                                  void *out, int stream)
{
  const __m512 s = _mm512_set1_ps(*scale);
  __m512 v[4];
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    q8_avx512vbmi_values(table, _mm512_loadu_si512(codes + i), v);
    avx512_store_pair(out, dtype, i, _mm512_mul_ps(v[0], s), _mm512_mul_ps(v[1], s), 1, stream);
    avx512_store_pair(out, dtype, i + 32, _mm512_mul_ps(v[2], s), _mm512_mul_ps(v[3], s), 1,
                      stream);
  }
  if (i < n) {
    q8_avx512vbmi_values(table, _mm512_maskz_loadu_epi8((1ull << (n - i)) - 1u, codes + i), v);
    for (size_t j = 0; i < n; i += 16, j++)
      avx512_store_part(out, dtype, i, _mm512_mul_ps(v[j], s), 1, avx512_lanes(i, n));
  }
}

#define Q8_AVX512VBMI_DECODE(suffix, dtype) \
  LQI_AVX512VBMI void lqi_q8_decode_##suffix##_avx512vbmi( \
      const float *value, const uint8_t *codes, size_t blocks, size_t block, const float *absmax, \
      void *out, int stream) \
  { \
    struct avx512vbmi_table t; \
    avx512vbmi_prepare(&t, value); \
    x86_decode(q8_avx512vbmi_span, &t, codes, 8, blocks, block, absmax, 1, dtype, out, stream); \
  }

Q8_AVX512VBMI_DECODE(f32, LQ_F32)
Q8_AVX512VBMI_DECODE(f16, LQ_F16)
Q8_AVX512VBMI_DECODE(bf16, LQ_BF16)

#endif
