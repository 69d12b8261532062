/*
 * kern_avx2.h - what the AVX2 kernels share: vectors of 8 in and out of memory, and the maximum of a block.
 *
 * Owns: loads and stores of the three float types, with the rounding of half.h.
 * Must not know: codes.
 */
#ifndef LQI_KERN_AVX2_H
#define LQI_KERN_AVX2_H

#include "kern_x86.h"

#if LQI_X86

LQI_INLINE LQI_AVX2 __m256 avx2_load(const void *x, int32_t dtype, size_t i)
{
  if (dtype == LQ_F32)
    return _mm256_loadu_ps((const float *)x + i);
  __m128i h = _mm_loadu_si128((const void *)((const uint16_t *)x + i));
  if (dtype == LQ_F16)
    return _mm256_cvtph_ps(h);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/*
 * bf16 in the low half of each dword: adding 0x7fff and the lowest kept bit rounds to nearest even. `nan` says that v may
 * hold a NaN with any payload, which the addition could carry into infinity or zero.
 */
LQI_INLINE LQI_AVX2 __m256i avx2_round_bf16(__m256 v, int nan)
{
  __m256i u = _mm256_castps_si256(v), top = _mm256_srli_epi32(u, 16);
  __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
  __m256i sum = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd), 16);
  if (!nan)
    return sum;
  __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
  return _mm256_blendv_epi8(sum, quiet, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}

/* Two vectors as 16 elements of a half type. */
LQI_INLINE LQI_AVX2 __m256i avx2_to_halves(__m256 a, __m256 b, int32_t dtype, int nan)
{
  if (dtype == LQ_F16)
    return _mm256_set_m128i(_mm256_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  __m256i both = _mm256_packus_epi32(avx2_round_bf16(a, nan), avx2_round_bf16(b, nan));
  return _mm256_permute4x64_epi64(both, 0xd8);
}

LQI_INLINE LQI_AVX2 void avx2_put(void *to, __m256i bits, int stream)
{
  if (stream)
    _mm256_stream_si256(to, bits);
  else
    _mm256_storeu_si256(to, bits);
}

/* 16 elements from element i on; with `stream` the address is aligned. */
LQI_INLINE LQI_AVX2 void avx2_store_pair(void *out, int32_t dtype, size_t i, __m256 a, __m256 b, int nan, int stream)
{
  if (dtype == LQ_F32) {
    avx2_put((float *)out + i, _mm256_castps_si256(a), stream);
    avx2_put((float *)out + i + 8, _mm256_castps_si256(b), stream);
  } else {
    avx2_put((uint16_t *)out + i, avx2_to_halves(a, b, dtype, nan), stream);
  }
}

LQI_INLINE LQI_AVX2 float avx2_absmax_f32(const float *x, size_t n)
{
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i m[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    X86_UNROLL
    for (size_t k = 0; k < 4; k++)
      m[k] = _mm256_max_epu32(m[k], _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i + 8 * k)), magnitude));
  for (; i + 8 <= n; i += 8)
    m[0] = _mm256_max_epu32(m[0], _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i)), magnitude));
  __m256i eight = _mm256_max_epu32(_mm256_max_epu32(m[0], m[1]), _mm256_max_epu32(m[2], m[3]));
  __m128i four = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_max_epu32(four, _mm_unpackhi_epi64(four, four));
  four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 1));
  uint32_t max = (uint32_t)_mm_cvtsi128_si32(four);
  for (; i < n; i++) {
    uint32_t u = lqi_f32_bits(x[i]) & 0x7fffffffu;
    max = u > max ? u : max;
  }
  return lqi_f32_from_bits(max > 0x7f800000u ? LQI_CANONICAL_NAN : max);
}

/* Widening is exact and keeps the order of magnitudes, so the maximum is found in 16 bits and widened alone. */
LQI_INLINE LQI_AVX2 float avx2_absmax_half(const uint16_t *x, int32_t dtype, size_t n)
{
  const __m256i magnitude = _mm256_set1_epi16(0x7fff);
  const __m128i ones = _mm_set1_epi16(-1);
  __m256i m[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    X86_UNROLL
    for (size_t k = 0; k < 2; k++)
      m[k] = _mm256_max_epu16(m[k], _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i + 16 * k)), magnitude));
  m[0] = _mm256_max_epu16(m[0], m[1]);
  __m128i eight = _mm_max_epu16(_mm256_castsi256_si128(m[0]), _mm256_extracti128_si256(m[0], 1));
  for (; i + 8 <= n; i += 8)
    eight = _mm_max_epu16(eight, _mm_and_si128(_mm_loadu_si128((const void *)(x + i)), _mm256_castsi256_si128(magnitude)));
  /* The only horizontal instruction finds a minimum: of the complements. */
  uint32_t max = (uint32_t)_mm_cvtsi128_si32(_mm_xor_si128(_mm_minpos_epu16(_mm_xor_si128(eight, ones)), ones)) & 0xffffu;
  for (; i < n; i++)
    max = (x[i] & 0x7fffu) > max ? x[i] & 0x7fffu : max;
  if (max > (dtype == LQ_F16 ? 0x7c00u : 0x7f80u))
    return lqi_f32_from_bits(LQI_CANONICAL_NAN);
  return dtype == LQ_F16 ? _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128((int)max))) : lqi_bf16_to_f32((uint16_t)max);
}

LQI_INLINE LQI_AVX2 float avx2_absmax(const void *x, int32_t dtype, size_t first, size_t n)
{
  if (dtype == LQ_F32)
    return avx2_absmax_f32((const float *)x + first, n);
  return avx2_absmax_half((const uint16_t *)x + first, dtype, n);
}

#endif
#endif
