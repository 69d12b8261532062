/*
 * q4_c.c - 4-bit code books, portable C: the specification of the q4 kernels.
 *
 * Owns: encode and decode of blocks of 16-entry code books, and the pieces for partial blocks.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_c.h"

/*
 * Binary search over the 15 bounds. The negated comparison sends NaN to the last rank, as a search
 * by torch's bucketize does; a value equal to a bound takes the lower neighbour.
 */
LQI_INLINE uint32_t q4_rank(const float *bound, float v)
{
  uint32_t rank = 0;
  for (uint32_t step = 8; step != 0; step >>= 1)
    rank += !(v <= bound[rank + step - 1]) ? step : 0;
  return rank;
}

void lqi_q4_pack(const struct lqi_q4_book *book, const float *v, size_t n, uint8_t *codes)
{
  for (size_t i = 0; i < n; i += 2) {
    uint32_t high = book->code[q4_rank(book->bound, v[i])];
    uint32_t low = book->code[q4_rank(book->bound, i + 1 < n ? v[i + 1] : 0.0f)];
    codes[i / 2] = (uint8_t)(high << 4 | low);
  }
}

LQI_INLINE void q4_encode(const struct lqi_q4_book *book, const void *x, int32_t dtype,
                          size_t blocks, size_t block, float *absmax, uint8_t *codes)
{
  for (size_t b = 0; b < blocks; b++) {
    size_t first = b * block;
    float m = lqi_absmax_any(x, dtype, first, block), r = lqi_reciprocal(m);
    absmax[b] = m;
    for (size_t i = first; i < first + block; i += 2) {
      uint32_t high = book->code[q4_rank(book->bound, lqi_load(x, dtype, i) * r)];
      uint32_t low = book->code[q4_rank(book->bound, lqi_load(x, dtype, i + 1) * r)];
      codes[i / 2] = (uint8_t)(high << 4 | low);
    }
  }
}

LQI_INLINE void q4_decode(const float *value, const uint8_t *codes, size_t blocks, size_t block,
                          const float *absmax, int32_t dtype, void *out)
{
  for (size_t b = 0; b < blocks; b++)
    for (size_t i = b * block; i < (b + 1) * block; i += 2) {
      uint32_t pair = codes[i / 2];
      lqi_store(out, dtype, i, value[pair >> 4] * absmax[b]);
      lqi_store(out, dtype, i + 1, value[pair & 15] * absmax[b]);
    }
}

void lqi_q4_decode_part(const float *value, const uint8_t *codes, uint64_t first, size_t n,
                        float scale, int32_t dtype, void *out)
{
  for (size_t i = 0; i < n; i++) {
    uint64_t at = first + i;
    uint32_t code = at & 1 ? codes[at / 2] & 15u : codes[at / 2] >> 4;
    lqi_store(out, dtype, i, value[code] * scale);
  }
}

#define Q4_KERNELS(suffix, dtype) \
  void lqi_q4_encode_##suffix##_c(const struct lqi_q4_book *book, const void *x, size_t blocks, \
                                  size_t block, float *absmax, uint8_t *codes) \
  { \
    q4_encode(book, x, dtype, blocks, block, absmax, codes); \
  } \
  void lqi_q4_decode_##suffix##_c(const float *value, const uint8_t *codes, size_t blocks, \
                                  size_t block, const float *absmax, void *out, int stream) \
  { \
    (void)stream; \
    q4_decode(value, codes, blocks, block, absmax, dtype, out); \
  }

Q4_KERNELS(f32, LQ_F32)
Q4_KERNELS(f16, LQ_F16)
Q4_KERNELS(bf16, LQ_BF16)
