/*
 * aff_neon.c - uniform grids with a zero point, NEON.
 *
 * Owns: the aff kernels, 4 lanes wide; what is left of a group that has no multiple of 8 elements
 * goes by the rules of kern_aff.h.
 * Must not know: how codes of other widths than 4 and 8 bits are packed, tensors.
 */
#include "kern_neon.h"
#include "kern_aff.h"

#if LQI_NEON

/*
 * min and max of this processor return NaN where one operand is, and it stays. They take -0 for
 * less than 0: adding 0 makes it 0.
 */
LQI_INLINE void aff_neon_range(const void *x, int32_t dtype, size_t groups, size_t group, float *lo,
                               float *hi)
{
  const float nan = lqi_f32_from_bits(LQI_CANONICAL_NAN);
  for (size_t g = 0; g < groups; g++) {
    float32x4_t zero = vdupq_n_f32(0.0f), least[2] = {zero, zero}, most[2] = {zero, zero};
    size_t i = g * group, end = i + group;
    for (; i + 8 <= end; i += 8)
      NEON_UNROLL
    for (size_t k = 0; k < 2; k++) {
      float32x4_t v = neon_load(x, dtype, i + 4 * k);
      least[k] = vminq_f32(least[k], v);
      most[k] = vmaxq_f32(most[k], v);
    }
    float low = vminvq_f32(vminq_f32(least[0], least[1])) + 0.0f,
          high = vmaxvq_f32(vmaxq_f32(most[0], most[1]));
    for (; i < end; i++) {
      float v = lqi_load(x, dtype, i);
      low = v < low || v != v ? v : low;
      high = v > high || v != v ? v : high;
    }
    lo[g] = low != low ? nan : low;
    hi[g] = low != low ? nan : high;
  }
}

/* Where a is NaN these give b, as comparisons do. */
LQI_INLINE float32x4_t aff_neon_max(float32x4_t a, float32x4_t b)
{
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}

LQI_INLINE float32x4_t aff_neon_min(float32x4_t a, float32x4_t b)
{
  return vbslq_f32(vcltq_f32(a, b), a, b);
}

void lqi_aff_grid_neon(const float *lo, const float *hi, size_t n, uint32_t bits, int symmetric,
                       struct lqi_grid *grid, uint16_t *half)
{
  const float32x4_t most = vdupq_n_f32((float)((1u << bits) - 1u));
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    float32x4_t low = vld1q_f32(lo + i), high = vld1q_f32(hi + i);
    if (symmetric) {
      high = aff_neon_max(vnegq_f32(low), high);
      low = vnegq_f32(high);
    }
    uint32x4_t none = vceqq_f32(low, high);
    low = vbslq_f32(none, vdupq_n_f32(-1.0f), low);
    high = vbslq_f32(none, vdupq_n_f32(1.0f), high);
    float32x4_t s = vdivq_f32(vsubq_f32(high, low), most);
    s = aff_neon_max(vdupq_n_f32(AFF_LEAST_SCALE), s);
    s = aff_neon_min(vdupq_n_f32(AFF_MOST_SCALE), s);
    float16x4_t h = vcvt_f16_f32(s);
    s = vcvt_f32_f16(h);
    float32x4_t z = vdivq_f32(vnegq_f32(low), s);
    z = aff_neon_min(aff_neon_max(z, vdupq_n_f32(0.0f)), most);
    z = symmetric ? vdupq_n_f32((float)(1u << (bits - 1u))) : vrndnq_f32(z);
    vst1_u16(half + i, vreinterpret_u16_f16(h));
    float32x4x2_t pairs = {{s, z}};
    vst2q_f32((float *)(grid + i), pairs);
  }
  lqi_aff_grid_c(lo + i, hi + i, n - i, bits, symmetric, grid + i, half + i);
}

LQI_INLINE int32x4_t aff_neon_code(const struct lqi_grid *grid, float most, float32x4_t x)
{
  float32x4_t t = vdivq_f32(x, vdupq_n_f32(grid->scale));
  t = aff_neon_max(t, vdupq_n_f32(-grid->zero));
  t = aff_neon_min(t, vdupq_n_f32(most - grid->zero));
  return vaddq_s32(vcvtnq_s32_f32(t), vdupq_n_s32((int32_t)grid->zero));
}

/* Bounded values are rounded as floats: the difference of code and zero is one already. */
void lqi_aff_round_neon(const float *x, const float *scale, const float *zero, float most,
                        uint8_t *codes, float *q)
{
  for (size_t l = 0; l < 32; l += 16) {
    int32x4_t v[4];
    NEON_UNROLL
    for (size_t i = 0; i < 4; i++) {
      const float32x4_t s = vld1q_f32(scale + l + 4 * i), z = vld1q_f32(zero + l + 4 * i);
      float32x4_t t = vdivq_f32(vld1q_f32(x + l + 4 * i), s);
      t = aff_neon_max(t, vnegq_f32(z));
      t = aff_neon_min(t, vsubq_f32(vdupq_n_f32(most), z));
      t = vcvtq_f32_s32(vcvtnq_s32_f32(t));
      vst1q_f32(q + l + 4 * i, vmulq_f32(s, t));
      v[i] = vcvtnq_s32_f32(vaddq_f32(t, z));
    }
    vst1q_u8(codes + l, neon_bytes(v));
  }
}

/* n elements from `first` on, 16 or 8, to as many bytes; the others are `zero`. */
LQI_INLINE uint8x16_t aff_neon_chunk(const struct lqi_grid *grid, float most, const void *x,
                                     int32_t dtype, size_t first, size_t n)
{
  int32x4_t v[4];
  NEON_UNROLL
  for (size_t i = 0; i < 4; i++)
    v[i] = aff_neon_code(grid, most,
                         4 * i < n ? neon_load(x, dtype, first + 4 * i) : vdupq_n_f32(0.0f));
  return neon_bytes(v);
}

LQI_INLINE void aff_neon_encode8(const void *x, int32_t dtype, size_t groups, size_t group,
                                 const struct lqi_grid *grid, float most, uint8_t *codes)
{
  for (size_t g = 0; g < groups; g++) {
    size_t i = g * group, end = i + group;
    for (; i + 16 <= end; i += 16)
      vst1q_u8(codes + i, aff_neon_chunk(grid + g, most, x, dtype, i, 16));
    if (i + 8 <= end) {
      vst1_u8(codes + i, vget_low_u8(aff_neon_chunk(grid + g, most, x, dtype, i, 8)));
      i += 8;
    }
    for (; i < end; i++)
      codes[i] = (uint8_t)aff_code(lqi_load(x, dtype, i), grid[g], most);
  }
}

/* Of two neighbours the first goes to the low nibble. */
LQI_INLINE uint8x8_t aff_neon_pairs(uint8x16_t code)
{
  return vget_low_u8(vsliq_n_u8(vuzp1q_u8(code, code), vuzp2q_u8(code, code), 4));
}

LQI_INLINE void aff_neon_encode4(const void *x, int32_t dtype, size_t groups, size_t group,
                                 const struct lqi_grid *grid, float most, uint8_t *codes)
{
  for (size_t g = 0; g < groups; g++) {
    size_t i = g * group, end = i + group;
    for (; i + 16 <= end; i += 16)
      vst1_u8(codes + i / 2, aff_neon_pairs(aff_neon_chunk(grid + g, most, x, dtype, i, 16)));
    if (i + 8 <= end) {
      uint8x8_t some = aff_neon_pairs(aff_neon_chunk(grid + g, most, x, dtype, i, 8));
      memcpy(codes + i / 2, &some, 4);
      i += 8;
    }
    for (; i < end; i++) {
      uint32_t code = aff_code(lqi_load(x, dtype, i), grid[g], most);
      codes[i / 2] = (uint8_t)(i % 2 == 0 ? code : codes[i / 2] | code << 4);
    }
  }
}

/* The 16 values of a group are made first, so that decoding is a look-up. */
LQI_INLINE void aff_neon_decode4(const uint8_t *codes, size_t groups, size_t group,
                                 const struct lqi_grid *grid, int32_t dtype, void *out)
{
  size_t whole = group / 8 * 8;
  for (size_t g = 0; g < groups; g++) {
    float table[16];
    for (uint32_t i = 0; i < 16; i++)
      table[i] = aff_value(i, grid[g]);
    neon_nibbles(table, codes + g * group / 2, whole, 1, dtype, out, g * group);
  }
  for (size_t i = whole; i < group; i++)
    lqi_store(out, dtype, i, aff_value((uint32_t)codes[i / 2] >> 4 * (i % 2) & 15u, *grid));
}

LQI_INLINE void aff_neon_decode8(const uint8_t *codes, size_t groups, size_t group,
                                 const struct lqi_grid *grid, int32_t dtype, void *out)
{
  for (size_t g = 0; g < groups; g++) {
    const float32x4_t s = vdupq_n_f32(grid[g].scale);
    const int16x8_t z = vdupq_n_s16((int16_t)grid[g].zero);
    size_t i = g * group, end = i + group;
    for (; i + 8 <= end; i += 8) {
      int16x8_t c = vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(vld1_u8(codes + i))), z);
      neon_store(out, dtype, i, vmulq_f32(s, vcvtq_f32_s32(vmovl_s16(vget_low_s16(c)))));
      neon_store(out, dtype, i + 4, vmulq_f32(s, vcvtq_f32_s32(vmovl_s16(vget_high_s16(c)))));
    }
    for (; i < end; i++)
      lqi_store(out, dtype, i, aff_value(codes[i], grid[g]));
  }
}

LQI_INLINE float32x4_t aff_neon_power(float32x4_t d, float power)
{
  static const float log_terms[AFF_LOG_TERMS] = AFF_LOG, exp_terms[AFF_EXP_TERMS] = AFF_EXP;
  uint32x4_t some = vcgeq_f32(d, vdupq_n_f32(AFF_LEAST_ERROR));
  int32x4_t u = vreinterpretq_s32_f32(d);
  int32x4_t k = vshrq_n_s32(vsubq_s32(u, vdupq_n_s32(AFF_SQRT_HALF_BITS)), 23);
  float32x4_t f = vreinterpretq_f32_s32(vsubq_s32(u, vshlq_n_s32(k, 23)));
  f = vsubq_f32(f, vdupq_n_f32(1.0f));
  float32x4_t p = vdupq_n_f32(log_terms[AFF_LOG_TERMS - 1]);
  NEON_UNROLL
  for (int i = AFF_LOG_TERMS - 2; i >= 0; i--)
    p = vaddq_f32(vmulq_f32(p, f), vdupq_n_f32(log_terms[i]));
  float32x4_t y = vmulq_n_f32(vaddq_f32(vmulq_f32(p, f), vcvtq_f32_s32(k)), power);
  y = aff_neon_min(y, vdupq_n_f32(126.0f));
  some = vandq_u32(some, vcgeq_f32(y, vdupq_n_f32(-126.0f)));
  int32x4_t whole = vcvtnq_s32_f32(y);
  float32x4_t r = vsubq_f32(y, vcvtq_f32_s32(whole));
  float32x4_t e = vdupq_n_f32(exp_terms[AFF_EXP_TERMS - 1]);
  NEON_UNROLL
  for (int i = AFF_EXP_TERMS - 2; i >= 0; i--)
    e = vaddq_f32(vmulq_f32(e, r), vdupq_n_f32(exp_terms[i]));
  int32x4_t bits = vaddq_s32(vreinterpretq_s32_f32(e), vshlq_n_s32(whole, 23));
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_s32(bits), some));
}

/* The 16 chains are the lanes of four vectors. */
void lqi_aff_error_neon(const float *x, size_t n, const struct lqi_grid *grid,
                        const struct lqi_aff_loss *loss, float chain[16])
{
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    NEON_UNROLL
  for (size_t l = 0; l < 16; l += 4) {
    float32x4_t v = vld1q_f32(x + i + l);
    int32x4_t code =
        vsubq_s32(aff_neon_code(grid, loss->most, v), vdupq_n_s32((int32_t)grid->zero));
    float32x4_t d = vsubq_f32(vmulq_n_f32(vcvtq_f32_s32(code), grid->scale), v);
    d = aff_neon_power(vmulq_n_f32(vabsq_f32(d), loss->boost), loss->power);
    vst1q_f32(chain + l, vaddq_f32(vld1q_f32(chain + l), d));
  }
  lqi_aff_error_c(x + i, n - i, grid, loss, chain);
}

#define AFF_NEON_KERNELS(suffix, dtype) \
  void lqi_aff_range_##suffix##_neon(const void *x, size_t groups, size_t group, float *lo, \
                                     float *hi) \
  { \
    aff_neon_range(x, dtype, groups, group, lo, hi); \
  } \
  void lqi_aff4_encode_##suffix##_neon(const void *x, size_t groups, size_t group, \
                                       const struct lqi_grid *grid, float most, uint8_t *codes) \
  { \
    aff_neon_encode4(x, dtype, groups, group, grid, most, codes); \
  } \
  void lqi_aff8_encode_##suffix##_neon(const void *x, size_t groups, size_t group, \
                                       const struct lqi_grid *grid, float most, uint8_t *codes) \
  { \
    aff_neon_encode8(x, dtype, groups, group, grid, most, codes); \
  } \
  void lqi_aff4_decode_##suffix##_neon(const uint8_t *codes, size_t groups, size_t group, \
                                       const struct lqi_grid *grid, void *out, int stream) \
  { \
    (void)stream; \
    aff_neon_decode4(codes, groups, group, grid, dtype, out); \
  } \
  void lqi_aff8_decode_##suffix##_neon(const uint8_t *codes, size_t groups, size_t group, \
                                       const struct lqi_grid *grid, void *out, int stream) \
  { \
    (void)stream; \
    aff_neon_decode8(codes, groups, group, grid, dtype, out); \
  }

AFF_NEON_KERNELS(f32, LQ_F32)
AFF_NEON_KERNELS(f16, LQ_F16)
AFF_NEON_KERNELS(bf16, LQ_BF16)

#endif
