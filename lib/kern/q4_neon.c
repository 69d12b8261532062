/*
 * q4_neon.c - 4-bit code books, NEON.
 *
 * Owns: encode and decode of blocks of 16-entry code books, 16 weights at a time.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_neon.h"

#if LQI_NEON

struct q4_neon_book {
  float32x4_t bound[15];
  uint8x16_t code; /* by rank */
};

LQI_INLINE void q4_neon_prepare(struct q4_neon_book *k, const struct lqi_q4_book *book)
{
  for (size_t i = 0; i < 15; i++)
    k->bound[i] = vdupq_n_f32(book->bound[i]);
  k->code = vld1q_u8(book->code);
}

/* 16 elements, or 8 of them. Of two neighbours the first goes to the high nibble. */
LQI_INLINE void q4_neon_chunk(const struct q4_neon_book *k, const void *x, int32_t dtype,
                              size_t first, size_t n, float r, uint8_t *codes)
{
  int32x4_t rank[4];
  NEON_UNROLL
  for (size_t i = 0; i < 4; i++) {
    float32x4_t v = 4 * i < n ? neon_load(x, dtype, first + 4 * i) : vdupq_n_f32(0.0f);
    rank[i] = neon_rank(k->bound, vmulq_n_f32(v, r));
  }
  uint8x16_t code = vqtbl1q_u8(k->code, neon_bytes(rank));
  uint8x16_t pair = vsliq_n_u8(vuzp2q_u8(code, code), vuzp1q_u8(code, code), 4);
  if (n == 16) {
    vst1_u8(codes, vget_low_u8(pair));
  } else {
    uint32_t four = vgetq_lane_u32(vreinterpretq_u32_u8(pair), 0);
    memcpy(codes, &four, sizeof four);
  }
}

LQI_INLINE void q4_neon_encode(const struct lqi_q4_book *book, const void *x, int32_t dtype,
                               size_t blocks, size_t block, float *absmax, uint8_t *codes)
{
  struct q4_neon_book k;
  q4_neon_prepare(&k, book);
  for (size_t b = 0; b < blocks; b++) {
    size_t i = b * block, end = i + block;
    float m = neon_absmax(x, dtype, i, block), r = lqi_reciprocal(m);
    absmax[b] = m;
    for (; i + 16 <= end; i += 16)
      q4_neon_chunk(&k, x, dtype, i, 16, r, codes + i / 2);
    if (i < end)
      q4_neon_chunk(&k, x, dtype, i, 8, r, codes + i / 2);
  }
}

/* The 16 products of a block, so that decoding is a look-up. */
LQI_INLINE void q4_neon_table(const float *value, float scale, float *product)
{
  for (size_t i = 0; i < 16; i++)
    product[i] = value[i] * scale;
}

#define Q4_NEON_KERNELS(suffix, dtype) \
  void lqi_q4_encode_##suffix##_neon(const struct lqi_q4_book *book, const void *x, size_t blocks, \
                                     size_t block, float *absmax, uint8_t *codes) \
  { \
    q4_neon_encode(book, x, dtype, blocks, block, absmax, codes); \
  } \
  void lqi_q4_decode_##suffix##_neon(const float *value, const uint8_t *codes, size_t blocks, \
                                     size_t block, const float *absmax, void *out, int stream) \
  { \
    (void)stream; \
    for (size_t b = 0; b < blocks; b++) { \
      float table[16]; \
      q4_neon_table(value, absmax[b], table); \
      neon_nibbles(table, codes + b * block / 2, block, 0, dtype, out, b * block); \
    } \
  }

Q4_NEON_KERNELS(f32, LQ_F32)
Q4_NEON_KERNELS(f16, LQ_F16)
Q4_NEON_KERNELS(bf16, LQ_BF16)

#endif
