/*
 * half.h - f16 and bf16 to f32 and back, in integers.
 *
 * Owns: the conversions that every faster path must equal bit for bit: round to nearest, ties to
 * even, subnormals kept, overflow to infinity, NaN stays NaN and becomes quiet.
 * Must not know: anything above a single value.
 */
#ifndef LQI_HALF_H
#define LQI_HALF_H

#include "base.h"

/* Without a C library its header may be missing, too; the function is the compiler's to find. */
#ifdef LQ_FREESTANDING
void *memcpy(void *to, const void *from, size_t bytes);
#else
#include <string.h>
#endif

LQI_INLINE uint32_t lqi_f32_bits(float x)
{
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

LQI_INLINE float lqi_f32_from_bits(uint32_t u)
{
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

LQI_INLINE float lqi_bf16_to_f32(uint16_t h)
{
  return lqi_f32_from_bits((uint32_t)h << 16);
}

LQI_INLINE uint16_t lqi_f32_to_bf16(float x)
{
  uint32_t u = lqi_f32_bits(x);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    return (uint16_t)(u >> 16 | 0x40u);
  return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

LQI_INLINE float lqi_f16_to_f32(uint16_t h)
{
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
  uint32_t exponent = h >> 10 & 0x1fu, fraction = h & 0x3ffu;
  if (exponent ==
      0x1f) /* infinity; NaN keeps its payload and turns quiet, as the conversion instructions do */
    return lqi_f32_from_bits(sign | 0x7f800000u | fraction << 13 | (fraction ? 0x400000u : 0));
  if (exponent != 0)
    return lqi_f32_from_bits(sign | (exponent + 112u) << 23 | fraction << 13);
  /* Subnormal: fraction * 2^-24 is exact in f32. */
  float magnitude = (float)fraction * 0x1p-24f;
  return lqi_f32_from_bits(sign | lqi_f32_bits(magnitude));
}

LQI_INLINE uint16_t lqi_f32_to_f16(float x)
{
  uint32_t u = lqi_f32_bits(x), sign = u >> 16 & 0x8000u;
  u &= 0x7fffffffu;
  if (u > 0x7f800000u)
    return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x3ffu));
  if (u >= 0x477ff000u) /* 65520, halfway from the largest finite half to the next power of two */
    return (uint16_t)(sign | 0x7c00u);
  if (u >= 0x38800000u) { /* normal: drop 13 bits, rounding to even */
    u += 0xfffu + (u >> 13 & 1u);
    return (uint16_t)(sign | (u - 0x38000000u) >> 13);
  }
  if (u < 0x33000000u) /* below half of the smallest subnormal, 2^-25 */
    return (uint16_t)sign;
  uint32_t shift = 126u - (u >> 23), fraction = (u & 0x7fffffu) | 0x800000u;
  uint32_t kept = fraction >> shift, rest = fraction & ((1u << shift) - 1u),
           half = 1u << (shift - 1u);
  kept += rest > half || (rest == half && (kept & 1u));
  return (uint16_t)(sign | kept);
}

/* Bytes of one element; 0 for an unknown dtype. */
LQI_INLINE uint32_t lqi_dtype_size(int32_t dtype)
{
  /* Four bits each: a look-up without a branch, wherever it is asked. */
  const uint64_t sizes = UINT64_C(4) << 4 * LQ_F32 | UINT64_C(4) << 4 * LQ_I32 |
                         UINT64_C(2) << 4 * LQ_F16 | UINT64_C(2) << 4 * LQ_BF16 |
                         UINT64_C(1) << 4 * LQ_I8 | UINT64_C(1) << 4 * LQ_U8 |
                         UINT64_C(8) << 4 * LQ_I64;
  return (uint32_t)(sizes >> 4 * ((uint32_t)dtype & 15u)) & (0u - ((uint32_t)dtype < 16u)) & 15u;
}

/* F32, F16 and BF16 are the dtypes that weights and results may have; kernels index tables with 0,
 * 1, 2. */
#define LQI_FLOATS 3

LQI_INLINE int lqi_is_float(int32_t dtype)
{
  return (uint32_t)dtype - LQ_F32 <= LQ_BF16 - LQ_F32;
}

LQI_INLINE uint32_t lqi_float_index(int32_t dtype)
{
  return (uint32_t)(dtype - LQ_F32);
}

/* Element i of an array of f32, f16 or bf16, widened exactly. */
LQI_INLINE float lqi_load(const void *p, int32_t dtype, uint64_t i)
{
  if (dtype == LQ_F32)
    return ((const float *)p)[i];
  uint16_t h = ((const uint16_t *)p)[i];
  return dtype == LQ_F16 ? lqi_f16_to_f32(h) : lqi_bf16_to_f32(h);
}

/* The same from an array at any address. */
LQI_INLINE float lqi_load_unaligned(const void *p, int32_t dtype, uint64_t i)
{
  float x;
  uint16_t h;
  if (dtype == LQ_F32) {
    memcpy(&x, (const char *)p + i * sizeof x, sizeof x);
    return x;
  }
  memcpy(&h, (const char *)p + i * sizeof h, sizeof h);
  return lqi_load(&h, dtype, 0);
}

/* Element i of an array of f32, f16 or bf16 := x, rounded once. */
LQI_INLINE void lqi_store(void *p, int32_t dtype, uint64_t i, float x)
{
  if (dtype == LQ_F32)
    ((float *)p)[i] = x;
  else
    ((uint16_t *)p)[i] = dtype == LQ_F16 ? lqi_f32_to_f16(x) : lqi_f32_to_bf16(x);
}

#endif
