/*
 * kern_avx512.h - what the AVX-512 kernels share: vectors of 16 in and out of memory, and the maximum of a block.
 *
 * Owns: loads and stores of the three float types, with the rounding of half.h.
 * Must not know: codes.
 */
#ifndef LQI_KERN_AVX512_H
#define LQI_KERN_AVX512_H

#include "kern_x86.h"

#if LQI_X86

/* The lanes of a vector that starts at element i of n: all 16, or those that are left. */
LQI_INLINE LQI_AVX512 __mmask16 avx512_lanes(size_t i, size_t n)
{
  return n <= i ? 0 : n - i < 16 ? (__mmask16)((1u << (n - i)) - 1u) : (__mmask16)0xffff;
}

LQI_INLINE LQI_AVX512 __m512 avx512_from_half(__m256i h, int32_t dtype)
{
  if (dtype == LQ_F16)
    return _mm512_cvtph_ps(h);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

LQI_INLINE LQI_AVX512 __m512 avx512_load(const void *x, int32_t dtype, size_t i)
{
  if (dtype == LQ_F32)
    return _mm512_loadu_ps((const float *)x + i);
  return avx512_from_half(_mm256_loadu_si256((const void *)((const uint16_t *)x + i)), dtype);
}

/* Absent lanes are zero and are not read. */
LQI_INLINE LQI_AVX512 __m512 avx512_load_part(const void *x, int32_t dtype, size_t i, __mmask16 lanes)
{
  if (dtype == LQ_F32)
    return _mm512_maskz_loadu_ps(lanes, (const float *)x + i);
  return avx512_from_half(_mm256_maskz_loadu_epi16(lanes, (const uint16_t *)x + i), dtype);
}

/*
 * Upper halves of the result are the bf16: adding 0x7fff and the lowest kept bit rounds to nearest even. `nan` says that
 * v may hold a NaN with any payload, which the addition could carry into infinity or zero.
 */
LQI_INLINE LQI_AVX512 __m512i avx512_round_bf16(__m512 v, int nan)
{
  __m512i u = _mm512_castps_si512(v), one = _mm512_set1_epi32(1);
  __mmask16 odd = _mm512_test_epi32_mask(u, _mm512_set1_epi32(0x10000));
  __m512i sum = _mm512_add_epi32(u, _mm512_set1_epi32(0x7fff));
  sum = _mm512_mask_add_epi32(sum, odd, sum, one);
  if (!nan)
    return sum;
  return _mm512_mask_or_epi32(sum, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), u, _mm512_set1_epi32(0x400000));
}

LQI_INLINE LQI_AVX512 __m256i avx512_to_half(__m512 v, int32_t dtype, int nan)
{
  if (dtype == LQ_F16)
    return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(avx512_round_bf16(v, nan), 16));
}

/* Two vectors as 32 elements of a half type. */
LQI_INLINE LQI_AVX512 __m512i avx512_to_halves(__m512 a, __m512 b, int32_t dtype, int nan)
{
  if (dtype == LQ_F16)
    return _mm512_inserti64x4(_mm512_castsi256_si512(avx512_to_half(a, dtype, nan)), avx512_to_half(b, dtype, nan), 1);
  const __m512i upper =
    _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19, 17, 15,
                     13, 11, 9, 7, 5, 3, 1);
  return _mm512_permutex2var_epi16(avx512_round_bf16(a, nan), upper, avx512_round_bf16(b, nan));
}

LQI_INLINE LQI_AVX512 void avx512_put(void *to, __m512i bits, int stream)
{
  if (stream)
    _mm512_stream_si512(to, bits);
  else
    _mm512_storeu_si512(to, bits);
}

/* 32 elements from element i on; with `stream` the address is aligned. */
LQI_INLINE LQI_AVX512 void avx512_store_pair(void *out, int32_t dtype, size_t i, __m512 a, __m512 b, int nan, int stream)
{
  if (dtype == LQ_F32) {
    avx512_put((float *)out + i, _mm512_castps_si512(a), stream);
    avx512_put((float *)out + i + 16, _mm512_castps_si512(b), stream);
  } else {
    avx512_put((uint16_t *)out + i, avx512_to_halves(a, b, dtype, nan), stream);
  }
}

LQI_INLINE LQI_AVX512 void avx512_store_part(void *out, int32_t dtype, size_t i, __m512 v, int nan, __mmask16 lanes)
{
  if (dtype == LQ_F32)
    _mm512_mask_storeu_ps((float *)out + i, lanes, v);
  else
    _mm256_mask_storeu_epi16((uint16_t *)out + i, lanes, avx512_to_half(v, dtype, nan));
}

LQI_INLINE LQI_AVX512 float avx512_absmax_f32(const float *x, size_t n)
{
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i m[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  size_t i = 0;
  for (; i + 64 <= n; i += 64)
    for (size_t k = 0; k < 4; k++)
      m[k] = _mm512_max_epu32(m[k], _mm512_and_si512(_mm512_loadu_si512(x + i + 16 * k), magnitude));
  for (; i < n; i += 16)
    m[0] = _mm512_max_epu32(m[0], _mm512_and_si512(_mm512_maskz_loadu_epi32(avx512_lanes(i, n), x + i), magnitude));
  uint32_t max = _mm512_reduce_max_epu32(_mm512_max_epu32(_mm512_max_epu32(m[0], m[1]), _mm512_max_epu32(m[2], m[3])));
  return lqi_f32_from_bits(max > 0x7f800000u ? LQI_CANONICAL_NAN : max);
}

/* Widening is exact and keeps the order of magnitudes, so the maximum is found in 16 bits and widened alone. */
LQI_INLINE LQI_AVX512 float avx512_absmax_half(const uint16_t *x, int32_t dtype, size_t n)
{
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  __m512i m[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  size_t i = 0;
  for (; i + 64 <= n; i += 64)
    for (size_t k = 0; k < 2; k++)
      m[k] = _mm512_max_epu16(m[k], _mm512_and_si512(_mm512_loadu_si512(x + i + 32 * k), magnitude));
  for (; i < n; i += 32) {
    __mmask32 lanes = n - i < 32 ? (__mmask32)((1u << (n - i)) - 1u) : 0xffffffffu;
    m[0] = _mm512_max_epu16(m[0], _mm512_and_si512(_mm512_maskz_loadu_epi16(lanes, x + i), magnitude));
  }
  m[0] = _mm512_max_epu16(m[0], m[1]);
  __m256i half = _mm256_max_epu16(_mm512_castsi512_si256(m[0]), _mm512_extracti64x4_epi64(m[0], 1));
  __m128i eight = _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  /* The only horizontal instruction finds a minimum: of the complements. */
  __m128i ones = _mm_set1_epi16(-1);
  __m128i max = _mm_xor_si128(_mm_minpos_epu16(_mm_xor_si128(eight, ones)), ones);
  uint32_t bits = (uint32_t)_mm_extract_epi16(max, 0);
  if (bits > (dtype == LQ_F16 ? 0x7c00u : 0x7f80u))
    return lqi_f32_from_bits(LQI_CANONICAL_NAN);
  return dtype == LQ_F16 ? _mm_cvtss_f32(_mm_cvtph_ps(max)) : lqi_bf16_to_f32((uint16_t)bits);
}

LQI_INLINE LQI_AVX512 float avx512_absmax(const void *x, int32_t dtype, size_t first, size_t n)
{
  if (dtype == LQ_F32)
    return avx512_absmax_f32((const float *)x + first, n);
  return avx512_absmax_half((const uint16_t *)x + first, dtype, n);
}

#endif
#endif
