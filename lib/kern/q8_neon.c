/*
 * q8_neon.c - 8-bit codes, NEON: 256-entry code books and row-scaled integers.
 *
 * Owns: the q8 and i8 kernels, 16 weights at a time.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_neon.h"

#if LQI_NEON

/*
 * The first four rounds of the search compare with every 16th bound, all lanes at once. The other
 * four need a bound of its own for each lane; without a gather instruction they are scalar, 16
 * searches that do not wait for each other.
 */
LQI_INLINE void q8_neon_chunk(const float *bound, const float32x4_t *coarse, const float32x4_t *v,
                              size_t n, uint8_t *codes)
{
  float value[16];
  uint8_t first[16];
  int32x4_t rank[4];
  NEON_UNROLL
  for (size_t i = 0; i < 4; i++) {
    rank[i] = neon_rank(coarse, v[i]);
    vst1q_f32(value + 4 * i, v[i]);
  }
  vst1q_u8(first, vshlq_n_u8(neon_bytes(rank), 4));
  for (size_t i = 0; i < n; i++) {
    uint32_t code = first[i];
    NEON_UNROLL
    for (uint32_t step = 8; step != 0; step >>= 1)
      code += !(value[i] <= bound[code + step - 1]) ? step : 0;
    codes[i] = (uint8_t)code;
  }
}

LQI_INLINE void q8_neon_encode(const struct lqi_q8_book *book, const void *x, int32_t dtype,
                               size_t blocks, size_t block, float *absmax, uint8_t *codes)
{
  float32x4_t coarse[15];
  for (size_t i = 0; i < 15; i++)
    coarse[i] = vdupq_n_f32(book->bound[16 * i + 15]);
  for (size_t b = 0; b < blocks; b++) {
    size_t end = (b + 1) * block;
    float m = neon_absmax(x, dtype, b * block, block), r = lqi_reciprocal(m);
    absmax[b] = m;
    for (size_t i = b * block, n; i < end; i += n) {
      float32x4_t v[4];
      n = end - i < 16 ? 8 : 16;
      NEON_UNROLL
      for (size_t k = 0; k < 4; k++)
        v[k] = 4 * k < n ? vmulq_n_f32(neon_load(x, dtype, i + 4 * k), r) : vdupq_n_f32(0.0f);
      q8_neon_chunk(book->bound, coarse, v, n, codes + i);
    }
  }
}

LQI_INLINE void q8_neon_decode(const float *value, const uint8_t *codes, size_t blocks,
                               size_t block, const float *absmax, int32_t dtype, void *out)
{
  for (size_t b = 0; b < blocks; b++)
    for (size_t i = b * block; i < (b + 1) * block; i += 4) {
      const uint8_t *c = codes + i;
      const float four[4] = {value[c[0]], value[c[1]], value[c[2]], value[c[3]]};
      neon_store(out, dtype, i, vmulq_n_f32(vld1q_f32(four), absmax[b]));
    }
}

/* Conversion rounds to nearest even; a product that is NaN or not below 127.5 has its lane cleared.
 */
LQI_INLINE int32x4_t q8_neon_i8(float32x4_t x, float scale)
{
  float32x4_t p = vmulq_n_f32(x, scale);
  uint32x4_t fits = vcaltq_f32(p, vdupq_n_f32(127.5f));
  return vandq_s32(vcvtnq_s32_f32(p), vreinterpretq_s32_u32(fits));
}

/* Returns how many of the n elements are done: all but n mod 16. */
LQI_INLINE size_t q8_neon_i8_encode(const void *x, int32_t dtype, size_t n, float scale,
                                    int8_t *codes)
{
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    int32x4_t v[4];
    NEON_UNROLL
    for (size_t k = 0; k < 4; k++)
      v[k] = q8_neon_i8(neon_load(x, dtype, i + 4 * k), scale);
    vst1q_u8((uint8_t *)(codes + i), neon_bytes(v));
  }
  return i;
}

LQI_INLINE size_t q8_neon_i8_decode(const int8_t *codes, size_t n, float stat, int32_t dtype,
                                    void *out)
{
  const float step = lqi_f32_from_bits(LQI_I8_STEP_BITS);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    int16x8_t c = vmovl_s8(vld1_s8(codes + i));
    float32x4_t a = vcvtq_f32_s32(vmovl_s16(vget_low_s16(c)));
    float32x4_t b = vcvtq_f32_s32(vmovl_s16(vget_high_s16(c)));
    neon_store(out, dtype, i, vmulq_n_f32(vmulq_n_f32(a, stat), step));
    neon_store(out, dtype, i + 4, vmulq_n_f32(vmulq_n_f32(b, stat), step));
  }
  return i;
}

#define Q8_NEON_KERNELS(suffix, dtype) \
  void lqi_q8_encode_##suffix##_neon(const struct lqi_q8_book *book, const void *x, size_t blocks, \
                                     size_t block, float *absmax, uint8_t *codes) \
  { \
    q8_neon_encode(book, x, dtype, blocks, block, absmax, codes); \
  } \
  void lqi_q8_decode_##suffix##_neon(const float *value, const uint8_t *codes, size_t blocks, \
                                     size_t block, const float *absmax, void *out, int stream) \
  { \
    (void)stream; \
    q8_neon_decode(value, codes, blocks, block, absmax, dtype, out); \
  } \
  void lqi_i8_encode_##suffix##_neon(const void *x, size_t n, float scale, int8_t *codes) \
  { \
    size_t done = q8_neon_i8_encode(x, dtype, n, scale, codes); \
    const uint8_t *rest = (const uint8_t *)x + done * lqi_dtype_size(dtype); \
    lqi_i8_encode_##suffix##_c(rest, n - done, scale, codes + done); \
  } \
  void lqi_i8_decode_##suffix##_neon(const int8_t *codes, size_t n, float stat, void *out, \
                                     int stream) \
  { \
    size_t done = q8_neon_i8_decode(codes, n, stat, dtype, out); \
    uint8_t *rest = (uint8_t *)out + done * lqi_dtype_size(dtype); \
    lqi_i8_decode_##suffix##_c(codes + done, n - done, stat, rest, stream); \
  }

Q8_NEON_KERNELS(f32, LQ_F32)
Q8_NEON_KERNELS(f16, LQ_F16)
Q8_NEON_KERNELS(bf16, LQ_BF16)

#endif
