/*
 * q8_c.c - 8-bit codes, portable C: 256-entry code books and row-scaled integers.
 *
 * Owns: the specification of the q8 and i8 kernels, and the binned rule of the reference's CPU
 * code.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_c.h"

#include <math.h>

LQI_INLINE uint32_t q8_rank(const float *bound, float v)
{
  uint32_t rank = 0;
  for (uint32_t step = 128; step != 0; step >>= 1)
    rank += !(v <= bound[rank + step - 1]) ? step : 0;
  return rank;
}

void lqi_q8_pack(const struct lqi_q8_book *book, const float *v, size_t n, uint8_t *codes)
{
  for (size_t i = 0; i < n; i++)
    codes[i] = (uint8_t)q8_rank(book->bound, v[i]);
}

void lqi_q8_bins(const struct lqi_q8_book *book, const float *x, size_t n, float r, uint8_t *codes)
{
  for (size_t i = 0; i < n; i++) {
    float v = x[i] * r, t;
    v = v < -1.0f ? -1.0f : v > 1.0f ? 1.0f : v;
    t = (v + 1.0f) * 0.5f * 65535.0f + 0.5f;
    uint32_t bin = t >= 0.0f ? (uint32_t)t : 0, code = 0;
    for (uint32_t step = 128; step != 0; step >>= 1)
      code += book->bin[code + step - 1] <= bin ? step : 0;
    codes[i] = (uint8_t)code;
  }
}

void lqi_q8_decode_part(const float *value, const uint8_t *codes, size_t n, float scale,
                        int32_t dtype, void *out)
{
  for (size_t i = 0; i < n; i++)
    lqi_store(out, dtype, i, value[codes[i]] * scale);
}

LQI_INLINE void q8_encode(const struct lqi_q8_book *book, const void *x, int32_t dtype,
                          size_t blocks, size_t block, float *absmax, uint8_t *codes)
{
  for (size_t b = 0; b < blocks; b++) {
    size_t first = b * block;
    float m = lqi_absmax_any(x, dtype, first, block), r = lqi_reciprocal(m);
    absmax[b] = m;
    for (size_t i = first; i < first + block; i++)
      codes[i] = (uint8_t)q8_rank(book->bound, lqi_load(x, dtype, i) * r);
  }
}

LQI_INLINE void q8_decode(const float *value, const uint8_t *codes, size_t blocks, size_t block,
                          const float *absmax, int32_t dtype, void *out)
{
  for (size_t b = 0; b < blocks; b++)
    for (size_t i = b * block; i < (b + 1) * block; i++)
      lqi_store(out, dtype, i, value[codes[i]] * absmax[b]);
}

/* Rounds without the C library: adding and removing 1.5 * 2^23 leaves the nearest integer, ties to
 * even. */
LQI_INLINE int8_t i8_round(float p)
{
  if (!(fabsf(p) < 127.5f))
    return 0;
  return (int8_t)((p + 12582912.0f) - 12582912.0f);
}

LQI_INLINE void i8_encode(const void *x, int32_t dtype, size_t n, float scale, int8_t *codes)
{
  for (size_t i = 0; i < n; i++)
    codes[i] = i8_round(lqi_load(x, dtype, i) * scale);
}

LQI_INLINE void i8_decode(const int8_t *codes, size_t n, float stat, int32_t dtype, void *out)
{
  float step = lqi_f32_from_bits(LQI_I8_STEP_BITS);
  for (size_t i = 0; i < n; i++)
    lqi_store(out, dtype, i, ((float)codes[i] * stat) * step);
}

#define Q8_KERNELS(suffix, dtype) \
  void lqi_q8_encode_##suffix##_c(const struct lqi_q8_book *book, const void *x, size_t blocks, \
                                  size_t block, float *absmax, uint8_t *codes) \
  { \
    q8_encode(book, x, dtype, blocks, block, absmax, codes); \
  } \
  void lqi_q8_decode_##suffix##_c(const float *value, const uint8_t *codes, size_t blocks, \
                                  size_t block, const float *absmax, void *out, int stream) \
  { \
    (void)stream; \
    q8_decode(value, codes, blocks, block, absmax, dtype, out); \
  } \
  void lqi_i8_encode_##suffix##_c(const void *x, size_t n, float scale, int8_t *codes) \
  { \
    i8_encode(x, dtype, n, scale, codes); \
  } \
  void lqi_i8_decode_##suffix##_c(const int8_t *codes, size_t n, float stat, void *out, \
                                  int stream) \
  { \
    (void)stream; \
    i8_decode(codes, n, stat, dtype, out); \
  }

Q8_KERNELS(f32, LQ_F32)
Q8_KERNELS(f16, LQ_F16)
Q8_KERNELS(bf16, LQ_BF16)
