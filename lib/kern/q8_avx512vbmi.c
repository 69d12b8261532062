/*
 * q8_avx512vbmi.c - 8-bit codes where bytes can be permuted across a register (VBMI) and multiplied
 * in fours (VNNI).
 *
 * Owns: decoding of 256-entry code books and the integer inner product for these processors.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_avx512.h"

#if LQI_X86

/* Byte p of all 256 values: look-up of 64 codes at once, one plane at a time. */
struct q8_avx512vbmi_table {
  __m512i plane[4][4];
};

LQI_INLINE LQI_AVX512VBMI void q8_avx512vbmi_prepare(struct q8_avx512vbmi_table *t,
                                                     const float *value)
{
  for (size_t i = 0; i < 4; i++) {
    __m128i part[4][4];
    for (size_t j = 0; j < 4; j++) {
      __m512i v = _mm512_loadu_si512(value + 64 * i + 16 * j);
      part[0][j] = _mm512_cvtepi32_epi8(v);
      part[1][j] = _mm512_cvtepi32_epi8(_mm512_srli_epi32(v, 8));
      part[2][j] = _mm512_cvtepi32_epi8(_mm512_srli_epi32(v, 16));
      part[3][j] = _mm512_cvtepi32_epi8(_mm512_srli_epi32(v, 24));
    }
    for (size_t p = 0; p < 4; p++) {
      __m512i x = _mm512_castsi128_si512(part[p][0]);
      x = _mm512_inserti32x4(x, part[p][1], 1);
      x = _mm512_inserti32x4(x, part[p][2], 2);
      t->plane[p][i] = _mm512_inserti32x4(x, part[p][3], 3);
    }
  }
}

/*
 * 64 codes to four vectors of values. Interleaving the planes works inside quarters and would put
 * elements 16q + 4i.. into quarter q of vector i; permuting the codes' dwords first, 4i + q to 4q +
 * i, makes that the natural order.
 */
LQI_INLINE LQI_AVX512VBMI void q8_avx512vbmi_values(const struct q8_avx512vbmi_table *t,
                                                    __m512i code, __m512 *v)
{
  __m512i plane[4];
  code = _mm512_permutexvar_epi32(
      _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0), code);
  __mmask64 upper = _mm512_movepi8_mask(code);
  X86_UNROLL
  for (size_t p = 0; p < 4; p++) {
    __m512i low = _mm512_permutex2var_epi8(t->plane[p][0], code, t->plane[p][1]);
    __m512i high = _mm512_permutex2var_epi8(t->plane[p][2], code, t->plane[p][3]);
    plane[p] = _mm512_mask_blend_epi8(upper, low, high);
  }
  __m512i a = _mm512_unpacklo_epi8(plane[0], plane[1]),
          b = _mm512_unpackhi_epi8(plane[0], plane[1]);
  __m512i c = _mm512_unpacklo_epi8(plane[2], plane[3]),
          d = _mm512_unpackhi_epi8(plane[2], plane[3]);
  v[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(a, c));
  v[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(a, c));
  v[2] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(b, d));
  v[3] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(b, d));
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

/*
 * The instruction multiplies unsigned by signed bytes: a + 128 takes the place of a, and 128 times
 * the sum of b is taken off again. Both sums wrap modulo 2^32, and their difference is exact as it
 * fits.
 */
LQI_AVX512VBMI int32_t lqi_dot_i8_avx512vbmi(const int8_t *a, const int8_t *b, size_t n)
{
  const __m512i bias = _mm512_set1_epi8((char)0x80);
  __m512i sum = _mm512_setzero_si512(), excess = _mm512_setzero_si512();
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    __m512i v = _mm512_loadu_si512(b + i);
    sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(_mm512_loadu_si512(a + i), bias), v);
    excess = _mm512_dpbusd_epi32(excess, bias, v);
  }
  if (i < n) {
    __mmask64 lanes = (1ull << (n - i)) - 1u;
    __m512i v = _mm512_maskz_loadu_epi8(lanes, b + i);
    sum =
        _mm512_dpbusd_epi32(sum, _mm512_xor_si512(_mm512_maskz_loadu_epi8(lanes, a + i), bias), v);
    excess = _mm512_dpbusd_epi32(excess, bias, v);
  }
  return _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, excess));
}

#define Q8_AVX512VBMI_DECODE(suffix, dtype) \
  LQI_AVX512VBMI void lqi_q8_decode_##suffix##_avx512vbmi( \
      const float *value, const uint8_t *codes, size_t blocks, size_t block, const float *absmax, \
      void *out, int stream) \
  { \
    struct q8_avx512vbmi_table t; \
    q8_avx512vbmi_prepare(&t, value); \
    x86_decode(q8_avx512vbmi_span, &t, codes, 8, blocks, block, absmax, 1, dtype, out, stream); \
  }

Q8_AVX512VBMI_DECODE(f32, LQ_F32)
Q8_AVX512VBMI_DECODE(f16, LQ_F16)
Q8_AVX512VBMI_DECODE(bf16, LQ_BF16)

#endif
