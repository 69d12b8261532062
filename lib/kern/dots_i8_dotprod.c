/*
 * dots_i8_dotprod.c - inner products of rows of 8-bit codes, aarch64 with SDOT or SMMLA.
 *
 * Owns: the tiles of 4 rows by 4 rows.
 * Must not know: what the codes stand for.
 *
 * SDOT adds four products to each of four sums. SMMLA multiplies two rows of eight columns by two
 * others: of 16 columns of two rows, the first halves and the second halves are zipped to that.
 */
#include "kern_neon.h"

#if LQI_DOTPROD

enum { DOTS8_DOT = 4, DOTS8_DOT_STEP = 16 };

LQI_INLINE int8x16_t dots8_dot_load(const uint8_t *p, uint8_t offset)
{
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(offset)));
}

/* What is left of n columns behind the whole steps. */
LQI_INLINE int32_t dots8_dot_rest(struct lqi_bytes a, size_t i, struct lqi_bytes b, size_t j,
                                  size_t n)
{
  const size_t whole = n / DOTS8_DOT_STEP * DOTS8_DOT_STEP;
  return lqi_dot_i8_part(a.from + i * a.stride + whole, b.from + j * b.stride + whole, n - whole);
}

/* m rows of a by `rows` rows of b, constants where this is inlined. */
LQI_INLINE LQI_SDOT void dots8_sdot_tile(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                         size_t rows, size_t n, int32_t *out, size_t stride)
{
  int32x4_t sum[DOTS8_DOT][DOTS8_DOT];
  NEON_UNROLL
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < m; i++)
      sum[j][i] = vdupq_n_s32(0);
  for (size_t k = 0; k + DOTS8_DOT_STEP <= n; k += DOTS8_DOT_STEP) {
    int8x16_t v[DOTS8_DOT];
    NEON_UNROLL
    for (size_t i = 0; i < m; i++)
      v[i] = dots8_dot_load(a.from + i * a.stride + k, 0);
    NEON_UNROLL
    for (size_t j = 0; j < rows; j++) {
      int8x16_t w = dots8_dot_load(b.from + j * b.stride + k, 0x80);
      NEON_UNROLL
      for (size_t i = 0; i < m; i++)
        sum[j][i] = vdotq_s32(sum[j][i], w, v[i]);
    }
  }
  for (size_t j = 0; j < rows; j++)
    for (size_t i = 0; i < m; i++)
      out[j * stride + i] = vaddvq_s32(sum[j][i]) + dots8_dot_rest(a, i, b, j, n);
}

/* 16 columns of two rows as two pairs of eight. */
LQI_INLINE void dots8_zip(int8x16_t even, int8x16_t odd, int8x16_t out[2])
{
  int64x2_t a = vreinterpretq_s64_s8(even), b = vreinterpretq_s64_s8(odd);
  out[0] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
  out[1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
}

/* Four rows of a by four of b: sum[p][r] has rows 2p and 2p + 1 of b by 2r and 2r + 1 of a. */
LQI_SMMLA static void dots8_smmla_tile(struct lqi_bytes a, struct lqi_bytes b, size_t n,
                                       int32_t *out, size_t stride)
{
  int32x4_t sum[2][2] = {{vdupq_n_s32(0), vdupq_n_s32(0)}, {vdupq_n_s32(0), vdupq_n_s32(0)}};
  for (size_t k = 0; k + DOTS8_DOT_STEP <= n; k += DOTS8_DOT_STEP) {
    int8x16_t v[2][2], w[2][2];
    NEON_UNROLL
    for (size_t p = 0; p < 2; p++) {
      dots8_zip(dots8_dot_load(a.from + 2 * p * a.stride + k, 0),
                dots8_dot_load(a.from + (2 * p + 1) * a.stride + k, 0), v[p]);
      dots8_zip(dots8_dot_load(b.from + 2 * p * b.stride + k, 0x80),
                dots8_dot_load(b.from + (2 * p + 1) * b.stride + k, 0x80), w[p]);
    }
    NEON_UNROLL
    for (size_t p = 0; p < 2; p++)
      NEON_UNROLL
    for (size_t r = 0; r < 2; r++) {
      sum[p][r] = vmmlaq_s32(sum[p][r], w[p][0], v[r][0]);
      sum[p][r] = vmmlaq_s32(sum[p][r], w[p][1], v[r][1]);
    }
  }
  for (size_t j = 0; j < 4; j++)
    for (size_t i = 0; i < 4; i++)
      out[j * stride + i] = sum[j / 2][i / 2][j % 2 * 2 + i % 2] + dots8_dot_rest(a, i, b, j, n);
}

/* m rows of a, a constant where this is inlined, against all of b. */
LQI_INLINE LQI_SMMLA void dots8_smmla_strip(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                            size_t n, int32_t *out, size_t stride)
{
  for (; b.count >= DOTS8_DOT; b.count -= DOTS8_DOT, out += DOTS8_DOT * stride) {
    if (m == DOTS8_DOT)
      dots8_smmla_tile(a, b, n, out, stride);
    else
      dots8_sdot_tile(a, 1, b, DOTS8_DOT, n, out, stride);
    b.from += DOTS8_DOT * b.stride;
  }
  for (; b.count != 0; b.count--, b.from += b.stride, out += stride)
    dots8_sdot_tile(a, m, b, 1, n, out, stride);
}

LQI_INLINE LQI_SDOT void dots8_sdot_strip(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                          size_t n, int32_t *out, size_t stride)
{
  for (; b.count >= DOTS8_DOT; b.count -= DOTS8_DOT, out += DOTS8_DOT * stride) {
    dots8_sdot_tile(a, m, b, DOTS8_DOT, n, out, stride);
    b.from += DOTS8_DOT * b.stride;
  }
  for (; b.count != 0; b.count--, b.from += b.stride, out += stride)
    dots8_sdot_tile(a, m, b, 1, n, out, stride);
}

LQI_SDOT void lqi_dots_i8_dotprod(struct lqi_bytes a, struct lqi_bytes b, size_t n, int32_t *out,
                                  size_t stride)
{
  for (; a.count >= DOTS8_DOT; a.count -= DOTS8_DOT, out += DOTS8_DOT) {
    dots8_sdot_strip(a, DOTS8_DOT, b, n, out, stride);
    a.from += DOTS8_DOT * a.stride;
  }
  for (; a.count != 0; a.count--, a.from += a.stride, out++)
    dots8_sdot_strip(a, 1, b, n, out, stride);
}

LQI_SMMLA void lqi_dots_i8_i8mm(struct lqi_bytes a, struct lqi_bytes b, size_t n, int32_t *out,
                                size_t stride)
{
  for (; a.count >= DOTS8_DOT; a.count -= DOTS8_DOT, out += DOTS8_DOT) {
    dots8_smmla_strip(a, DOTS8_DOT, b, n, out, stride);
    a.from += DOTS8_DOT * a.stride;
  }
  for (; a.count != 0; a.count--, a.from += a.stride, out++)
    dots8_smmla_strip(a, 1, b, n, out, stride);
}

#endif
