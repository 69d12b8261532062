/*
 * kern_neon.h - what the NEON kernels share: vectors of 4 in and out of memory, the maximum of a
 * block, and the look-up of 4-bit codes.
 *
 * Owns: loads and stores of the three float types, with the rounding of half.h.
 * Must not know: what codes mean.
 */
#ifndef LQI_KERN_NEON_H
#define LQI_KERN_NEON_H

#include "kern_c.h"

#if LQI_NEON

#include <arm_neon.h>

/* Short loops over arrays of vectors are to become straight code on registers. */
#if defined(__clang__)
#define NEON_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NEON_UNROLL _Pragma("GCC unroll 16")
#endif

LQI_INLINE float32x4_t neon_load(const void *x, int32_t dtype, size_t i)
{
  if (dtype == LQ_F32)
    return vld1q_f32((const float *)x + i);
  uint16x4_t h = vld1_u16((const uint16_t *)x + i);
  if (dtype == LQ_F16)
    return vcvt_f32_f16(vreinterpret_f16_u16(h));
  return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

/*
 * Adding 0x7fff and the lowest kept bit rounds to nearest even; a NaN, which the addition could
 * carry into infinity or zero, is made quiet instead.
 */
LQI_INLINE uint16x4_t neon_to_bf16(float32x4_t v)
{
  uint32x4_t u = vreinterpretq_u32_f32(v), odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
  uint32x4_t sum = vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7fff)), odd);
  uint32x4_t quiet = vorrq_u32(u, vdupq_n_u32(0x400000));
  return vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), sum, quiet), 16);
}

LQI_INLINE void neon_store(void *out, int32_t dtype, size_t i, float32x4_t v)
{
  if (dtype == LQ_F32)
    vst1q_f32((float *)out + i, v);
  else if (dtype == LQ_F16)
    vst1_u16((uint16_t *)out + i, vreinterpret_u16_f16(vcvt_f16_f32(v)));
  else
    vst1_u16((uint16_t *)out + i, neon_to_bf16(v));
}

/* The sum of 16 chains: l with l + 8, then + 4, + 2, + 1. */
LQI_INLINE float neon_fold(const float32x4_t *v)
{
  float32x4_t four = vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]));
  float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/* The largest magnitude of n elements as the bits of one f32, all of which compare as integers. */
LQI_INLINE uint32_t neon_magnitude_f32(const float *x, size_t n)
{
  const uint32x4_t magnitude = vdupq_n_u32(0x7fffffff);
  uint32x4_t m[4] = {vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0)};
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    NEON_UNROLL
  for (size_t k = 0; k < 4; k++)
    m[k] = vmaxq_u32(m[k], vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + i + 4 * k)), magnitude));
  uint32_t most = vmaxvq_u32(vmaxq_u32(vmaxq_u32(m[0], m[1]), vmaxq_u32(m[2], m[3])));
  for (; i < n; i++) {
    uint32_t u = lqi_f32_bits(x[i]) & 0x7fffffffu;
    most = u > most ? u : most;
  }
  return most;
}

/* The same for halves, of which only the largest is widened. */
LQI_INLINE uint16_t neon_magnitude_half(const uint16_t *x, size_t n)
{
  const uint16x8_t magnitude = vdupq_n_u16(0x7fff);
  uint16x8_t m[2] = {vdupq_n_u16(0), vdupq_n_u16(0)};
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    NEON_UNROLL
  for (size_t k = 0; k < 2; k++)
    m[k] = vmaxq_u16(m[k], vandq_u16(vld1q_u16(x + i + 8 * k), magnitude));
  uint16_t most = vmaxvq_u16(vmaxq_u16(m[0], m[1]));
  for (; i < n; i++) {
    uint16_t u = x[i] & 0x7fffu;
    most = u > most ? u : most;
  }
  return most;
}

LQI_INLINE float neon_absmax(const void *x, int32_t dtype, size_t first, size_t n)
{
  if (dtype == LQ_F32) {
    float m = lqi_f32_from_bits(neon_magnitude_f32((const float *)x + first, n));
    return lqi_absmax_any(&m, LQ_F32, 0, 1);
  }
  uint16_t m = neon_magnitude_half((const uint16_t *)x + first, n);
  return lqi_absmax_any(&m, dtype, 0, 1);
}

/* Four vectors of integers that fit a byte, in order. */
LQI_INLINE uint8x16_t neon_bytes(const int32x4_t *v)
{
  int16x8_t a = vcombine_s16(vmovn_s32(v[0]), vmovn_s32(v[1]));
  int16x8_t b = vcombine_s16(vmovn_s32(v[2]), vmovn_s32(v[3]));
  return vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
}

/*
 * How many of 15 ascending bounds do NOT satisfy v <= bound: comparisons give 0 or -1, so the
 * outcomes add up to that number less 15. NaN satisfies none.
 */
LQI_INLINE int32x4_t neon_rank(const float32x4_t *bound, float32x4_t v)
{
  int32x4_t rank = vdupq_n_s32(15);
  NEON_UNROLL
  for (size_t i = 0; i < 15; i++)
    rank = vaddq_s32(rank, vreinterpretq_s32_u32(vcleq_f32(v, bound[i])));
  return rank;
}

/* 16 codes in order from 8 bytes; of two in a byte the first is the low nibble if low_first. */
LQI_INLINE uint8x16_t neon_split(uint8x8_t pair, int low_first)
{
  uint8x8_t high = vshr_n_u8(pair, 4), low = vand_u8(pair, vdup_n_u8(15));
  uint8x8_t a = low_first ? low : high, b = low_first ? high : low;
  return vcombine_u8(vzip1_u8(a, b), vzip2_u8(a, b));
}

/*
 * Values of n codes, n a multiple of 8, from a table of 16 to out[first..first + n). The table,
 * rounded to the output type, is taken apart into planes of bytes: decoding is a look-up in each
 * plane, and the interleaving store puts the bytes together again.
 */
LQI_INLINE void neon_nibbles_f32(const float *table, const uint8_t *codes, size_t n, int low_first,
                                 float *out)
{
  const uint8x16x4_t plane = vld4q_u8((const uint8_t *)table);
  for (size_t i = 0; i < n; i += 16) {
    int whole = n - i >= 16;
    uint8x8_t pair = vdup_n_u8(0);
    memcpy(&pair, codes + i / 2, whole ? 8 : 4);
    uint8x16_t code = neon_split(pair, low_first);
    uint8x16x4_t v;
    float some[16];
    NEON_UNROLL
    for (size_t p = 0; p < 4; p++)
      v.val[p] = vqtbl1q_u8(plane.val[p], code);
    vst4q_u8(whole ? (uint8_t *)(out + i) : (uint8_t *)some, v);
    if (!whole)
      memcpy(out + i, some, 8 * sizeof *out);
  }
}

LQI_INLINE void neon_nibbles_half(const float *table, const uint8_t *codes, size_t n, int low_first,
                                  int32_t dtype, uint16_t *out)
{
  uint16_t rounded[16];
  for (size_t i = 0; i < 16; i += 4)
    neon_store(rounded, dtype, i, vld1q_f32(table + i));
  const uint8x16x2_t plane = vld2q_u8((const uint8_t *)rounded);
  for (size_t i = 0; i < n; i += 16) {
    int whole = n - i >= 16;
    uint8x8_t pair = vdup_n_u8(0);
    memcpy(&pair, codes + i / 2, whole ? 8 : 4);
    uint8x16_t code = neon_split(pair, low_first);
    uint8x16x2_t v = {{vqtbl1q_u8(plane.val[0], code), vqtbl1q_u8(plane.val[1], code)}};
    vst2q_u8(whole ? (uint8_t *)(out + i) : (uint8_t *)rounded, v);
    if (!whole)
      memcpy(out + i, rounded, 8 * sizeof *out);
  }
}

LQI_INLINE void neon_nibbles(const float *table, const uint8_t *codes, size_t n, int low_first,
                             int32_t dtype, void *out, size_t first)
{
  if (dtype == LQ_F32)
    neon_nibbles_f32(table, codes, n, low_first, (float *)out + first);
  else
    neon_nibbles_half(table, codes, n, low_first, dtype, (uint16_t *)out + first);
}

#endif
#endif
