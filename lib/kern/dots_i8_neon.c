/*
 * dots_i8_neon.c - inner products of rows of 8-bit codes, NEON.
 *
 * Owns: the tile of 2 rows by 4 rows.
 * Must not know: what the codes stand for.
 *
 * Products of bytes are exact in 16 bits, -128 squared included, but not the sum of two: each is
 * added to 32 bits at once.
 */
#include "kern_neon.h"

#if LQI_NEON

enum { DOTS8_NEON_A = 2, DOTS8_NEON_B = 4 };

/* m rows of a by `rows` rows of b, constants where this is inlined. */
LQI_INLINE void dots8_neon_tile(struct lqi_bytes a, size_t m, struct lqi_bytes b, size_t rows,
                                size_t n, int32_t *out, size_t stride)
{
  int32x4_t sum[DOTS8_NEON_B][DOTS8_NEON_A];
  size_t whole = n / 16 * 16;
  NEON_UNROLL
  for (size_t j = 0; j < rows; j++)
    NEON_UNROLL
  for (size_t i = 0; i < m; i++)
    sum[j][i] = vdupq_n_s32(0);
  for (size_t k = 0; k < whole; k += 16) {
    int8x16_t v[DOTS8_NEON_A];
    NEON_UNROLL
    for (size_t i = 0; i < m; i++)
      v[i] = vreinterpretq_s8_u8(vld1q_u8(a.from + i * a.stride + k));
    NEON_UNROLL
    for (size_t j = 0; j < rows; j++) {
      uint8x16_t biased = vld1q_u8(b.from + j * b.stride + k);
      int8x16_t w = vreinterpretq_s8_u8(veorq_u8(biased, vdupq_n_u8(0x80)));
      NEON_UNROLL
      for (size_t i = 0; i < m; i++) {
        sum[j][i] = vpadalq_s16(sum[j][i], vmull_s8(vget_low_s8(v[i]), vget_low_s8(w)));
        sum[j][i] = vpadalq_s16(sum[j][i], vmull_high_s8(v[i], w));
      }
    }
  }
  NEON_UNROLL
  for (size_t j = 0; j < rows; j++)
    NEON_UNROLL
  for (size_t i = 0; i < m; i++)
    out[j * stride + i] = vaddvq_s32(sum[j][i]);
  if (whole == n)
    return;
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < m; i++)
      out[j * stride + i] +=
          lqi_dot_i8_part(a.from + i * a.stride + whole, b.from + j * b.stride + whole, n - whole);
}

/* m rows of a, a constant where this is inlined, against all of b. */
LQI_INLINE void dots8_neon_strip(struct lqi_bytes a, size_t m, struct lqi_bytes b, size_t n,
                                 int32_t *out, size_t stride)
{
  for (size_t left = b.count; left != 0;) {
    size_t rows = left >= DOTS8_NEON_B ? DOTS8_NEON_B : 1;
    if (rows == DOTS8_NEON_B)
      dots8_neon_tile(a, m, b, DOTS8_NEON_B, n, out, stride);
    else
      dots8_neon_tile(a, m, b, 1, n, out, stride);
    b.from += rows * b.stride;
    out += rows * stride;
    left -= rows;
  }
}

void lqi_dots_i8_neon(struct lqi_bytes a, struct lqi_bytes b, size_t n, int32_t *out, size_t stride)
{
  for (size_t left = a.count; left != 0;) {
    size_t m = left >= DOTS8_NEON_A ? DOTS8_NEON_A : 1;
    if (m == DOTS8_NEON_A)
      dots8_neon_strip(a, DOTS8_NEON_A, b, n, out, stride);
    else
      dots8_neon_strip(a, 1, b, n, out, stride);
    a.from += m * a.stride;
    out += m;
    left -= m;
  }
}

#endif
