/*
 * bytes_neon.c - products of coded rows in 8 bits, aarch64 with SDOT.
 *
 * Owns: the unpacking of 4-bit codes to bytes, and the tile of 16 rows of W by 4 rows of x.
 * Must not know: which method has which form.
 *
 * SDOT multiplies signed bytes: of codes 128 is taken off as they are loaded, and of zero points.
 */
#include "kern_neon.h"

#if LQI_DOTPROD

#include <float.h>

enum { BYTES_NEON_X = 4 };

/* ---- x ---- */

void lqi_byte_round_neon(const float *x, size_t n, const struct lqi_byte_x *out, size_t r)
{
  struct lqi_byte_x to = *out;
  for (size_t k = 0; k < n; k += to.unit, to.t += LQI_BYTE_PANEL, to.minus += LQI_BYTE_PANEL) {
    int32x4_t sum = vdupq_n_s32(0);
    float most = lqi_absmax_f32_neon(x + k, to.unit);
    to.q = out->q + k * LQI_BYTE_PANEL;
    if (LQI_UNLIKELY(!(most >= 0x1p-100f && most <= FLT_MAX))) {
      lqi_byte_round_c(x + k, to.unit, &to, r);
      continue;
    }
    for (size_t c = 0; c < to.unit; c += 4) {
      int32x4_t v = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + k + c), 127.0f / most));
      int16x4_t half = vmovn_s32(v);
      int8x8_t bytes = vmovn_s16(vcombine_s16(half, half));
      vst1_lane_s32((int32_t *)(void *)(to.q + c * LQI_BYTE_PANEL + 4 * r),
                    vreinterpret_s32_s8(bytes), 0);
      sum = vaddq_s32(sum, v);
    }
    to.t[r] = most / 127.0f;
    to.minus[r] = -vaddvq_s32(sum);
  }
}

/* ---- Weights ---- */

/* 32 codes to their table's bytes; `high`: the first of two is the higher one. */
LQI_INLINE void bytes_neon_row(const uint8_t *from, size_t n, uint8x16_t table, int high,
                               uint8_t *to)
{
  for (size_t k = 0; k < n; k += 32) {
    uint8x16_t both = vld1q_u8(from + k / 2), low = vandq_u8(both, vdupq_n_u8(15)),
               top = vshrq_n_u8(both, 4);
    uint8x16x2_t pair = {
        {vqtbl1q_u8(table, high ? top : low), vqtbl1q_u8(table, high ? low : top)}};
    vst2q_u8(to + k, pair);
  }
}

void lqi_strip_bytes_book4_neon(const struct lqi_strip *w, size_t rows, size_t n, uint8_t *out,
                                size_t stride)
{
  uint8_t book[16];
  lqi_byte_book(w->book, book);
  for (size_t r = 0; r < rows; r++)
    bytes_neon_row(w->codes + r * w->row_bytes, n, vld1q_u8(book), 1, out + r * stride);
}

void lqi_strip_bytes_low4_neon(const struct lqi_strip *w, size_t rows, size_t n, uint8_t *out,
                               size_t stride)
{
  static const uint8_t codes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  for (size_t r = 0; r < rows; r++)
    bytes_neon_row(w->codes + r * w->row_bytes, n, vld1q_u8(codes), 0, out + r * stride);
}

/* ---- Products ---- */

/* A unit of m rows of a panel, a constant where this is inlined: added to `sum`. */
LQI_INLINE LQI_SDOT void bytes_sdot_unit(const uint8_t *c, const uint8_t *end,
                                         const struct lqi_byte_x *x, size_t m, const int32x4_t *z,
                                         const float32x4_t *f, float32x4_t (*sum)[4])
{
  int32x4_t whole[BYTES_NEON_X][4];
  const int8_t *q = x->q;
  NEON_UNROLL
  for (size_t j = 0; j < m; j++)
    for (size_t h = 0; h < 4; h++)
      whole[j][h] = vmulq_n_s32(z[h], x->minus[j]);
  for (; c < end; c += 4 * LQI_BYTE_ROWS, q += 4 * LQI_BYTE_PANEL) {
    int8x16_t v[4];
    NEON_UNROLL
    for (size_t h = 0; h < 4; h++)
      v[h] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(c + 16 * h), vdupq_n_u8(0x80)));
    NEON_UNROLL
    for (size_t j = 0; j < m; j++) {
      int8x16_t four =
          vreinterpretq_s8_s32(vld1q_dup_s32((const int32_t *)(const void *)(q + 4 * j)));
      NEON_UNROLL
      for (size_t h = 0; h < 4; h++)
        whole[j][h] = vdotq_s32(whole[j][h], v[h], four);
    }
  }
  NEON_UNROLL
  for (size_t j = 0; j < m; j++)
    for (size_t h = 0; h < 4; h++)
      sum[j][h] = vfmaq_f32(sum[j][h], vcvtq_f32_s32(whole[j][h]), vmulq_n_f32(f[h], x->t[j]));
}

LQI_INLINE LQI_SDOT void bytes_sdot_rows(const struct lqi_byte_w *w, const struct lqi_byte_x *from,
                                         size_t first, size_t m, float *out, size_t stride)
{
  const size_t step = from->unit * LQI_BYTE_ROWS;
  struct lqi_byte_x x = *from;
  float32x4_t sum[BYTES_NEON_X][4];
  const float *grid = w->grid;
  const uint8_t *c = w->c, *end = c + x.n * LQI_BYTE_ROWS;
  x.q += 4 * first, x.t += first, x.minus += first;
  for (size_t j = 0; j < m; j++)
    for (size_t h = 0; h < 4; h++)
      sum[j][h] = vdupq_n_f32(0);
  while (c < end) {
    float32x4_t f[4];
    int32x4_t z[4];
    for (size_t h = 0; h < 4; h++) {
      f[h] = vmulq_n_f32(vld1q_f32(grid + 4 * h), w->step);
      z[h] = vdupq_n_s32(0);
      if (w->numbers == 2)
        z[h] = vsubq_s32(vcvtnq_s32_f32(vld1q_f32(grid + LQI_BYTE_ROWS + 4 * h)), vdupq_n_s32(128));
    }
    for (const uint8_t *stop = c + w->group * LQI_BYTE_ROWS; c < stop; c += step) {
      bytes_sdot_unit(c, c + step, &x, m, z, f, sum);
      x.q += x.unit * LQI_BYTE_PANEL, x.t += LQI_BYTE_PANEL, x.minus += LQI_BYTE_PANEL;
    }
    grid += w->numbers * LQI_BYTE_ROWS;
  }
  for (size_t j = 0; j < m; j++)
    for (size_t h = 0; h < 4; h++)
      vst1q_f32(out + (first + j) * stride + 4 * h, sum[j][h]);
}

LQI_SDOT void lqi_byte_dots_dotprod(const struct lqi_byte_w *w, const struct lqi_byte_x *x,
                                    size_t m, float *out, size_t stride)
{
  size_t j = 0;
  for (; j + BYTES_NEON_X <= m; j += BYTES_NEON_X)
    bytes_sdot_rows(w, x, j, BYTES_NEON_X, out, stride);
  for (; j < m; j++)
    bytes_sdot_rows(w, x, j, 1, out, stride);
}

#endif
