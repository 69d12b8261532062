/*
 * bytes_neon.c - products of coded rows in 8 bits, aarch64 with SDOT.
 *
 * Owns: the unpacking of codes to bytes, and the tile of 16 rows of W by 4 rows of x.
 * Must not know: which method has which form.
 *
 * SDOT multiplies signed bytes: of codes 128 is taken off as they are loaded, and of zero points.
 */
#include "kern_bytes.h"
#include "kern_neon.h"

#if LQI_DOTPROD

#include <float.h>

enum { BYTES_NEON_X = 4 };

/* ---- x ---- */

void lqi_byte_round_neon(const float *x, size_t n, const struct lqi_byte_x *out, size_t r)
{
  static const uint8_t orders[2][8] = {{0, 1, 2, 3, 4, 5, 6, 7}, {0, 2, 4, 6, 1, 3, 5, 7}};
  const uint8x8_t order = vld1_u8(orders[out->split != 0]);
  struct lqi_byte_x to = *out;
  for (size_t k = 0; k < n; k += to.unit, to.t += to.rows, to.minus += to.rows) {
    int32x4_t sum = vdupq_n_s32(0);
    float most = lqi_absmax_f32_neon(x + k, to.unit);
    to.q = out->q + k * to.rows;
    if (LQI_UNLIKELY(!(most <= FLT_MAX))) {
      lqi_byte_round_c(x + k, to.unit, &to, r);
      continue;
    }
    const float by = most >= 0x1p-100f ? 127.0f / most : 0.0f;
    for (size_t c = 0; c < to.unit; c += 8) {
      int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + k + c), by)),
                high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + k + c + 4), by));
      int8x8_t eight = vmovn_s16(vcombine_s16(vmovn_s32(low), vmovn_s32(high)));
      int32x2_t fours = vreinterpret_s32_s8(vtbl1_s8(eight, vreinterpret_s8_u8(order)));
      int8_t *q = to.q + c * to.rows + 4 * r;
      vst1_lane_s32((int32_t *)(void *)q, fours, 0);
      vst1_lane_s32((int32_t *)(void *)(q + 4 * to.rows), fours, 1);
      sum = vaddq_s32(sum, vaddq_s32(low, high));
    }
    to.t[r] = most >= 0x1p-100f ? most / 127.0f : 0.0f;
    to.minus[r] = -vaddvq_s32(sum) * to.times;
  }
}

/* ---- Weights ---- */

/* 32 codes of 4 bits: of each 8 the even columns, which `high` nibbles are, then the odd ones. */
LQI_INLINE void bytes_neon_split(const uint8_t *from, uint8x16_t table, int high, uint8_t *to)
{
  const uint8x16_t both = vld1q_u8(from);
  const uint32x4_t low = vreinterpretq_u32_u8(vqtbl1q_u8(table, vandq_u8(both, vdupq_n_u8(15)))),
                   top = vreinterpretq_u32_u8(vqtbl1q_u8(table, vshrq_n_u8(both, 4)));
  const uint32x4x2_t pairs = high ? vzipq_u32(top, low) : vzipq_u32(low, top);
  vst1q_u8(to, vreinterpretq_u8_u32(pairs.val[0]));
  vst1q_u8(to + 16, vreinterpretq_u8_u32(pairs.val[1]));
}

/* `count` columns of a row, whole pieces of 32. */
LQI_INLINE void bytes_neon_row(const uint8_t *from, int form, uint8x16_t table, size_t count,
                               uint8_t *to)
{
  const uint8x16_t top = vdupq_n_u8(form == LQI_FORM_I8 ? 0x80 : 0);
  if (lqi_form_bits(form) < 4) {
    bytes_narrow(from, (uint32_t)lqi_form_bits(form), count, to);
    return;
  }
  for (size_t k = 0; k < count; k += 32)
    if (form == LQI_FORM_BOOK4 || form == LQI_FORM_LOW4) {
      bytes_neon_split(from + k / 2, table, form == LQI_FORM_BOOK4, to + k);
    } else {
      vst1q_u8(to + k, veorq_u8(vld1q_u8(from + k), top));
      vst1q_u8(to + k + 16, veorq_u8(vld1q_u8(from + k + 16), top));
    }
}

/* Rows of a unit to [columns / 4][16][4]. */
LQI_INLINE void bytes_neon_tile(const struct bytes_unit *w, const uint8_t table[16], size_t columns,
                                int form, float *tile)
{
  const uint8x16_t book = vld1q_u8(table);
  float natural[LQI_BYTE_ROWS][BYTES_UNIT / 4] = {{0}};
  for (size_t r = 0; r < w->rows; r++)
    bytes_neon_row(w->codes + r * w->row_bytes, form, book, columns, (uint8_t *)natural[r]);
  lqi_transpose_f32_neon(natural[0], BYTES_UNIT / 4, LQI_BYTE_ROWS, columns / 4, tile,
                         LQI_BYTE_ROWS);
}

/* ---- Products ---- */

/* Rows first .. of a panel, m of them, a constant where this is inlined. */
LQI_INLINE LQI_SDOT void bytes_sdot_rows(const struct bytes_unit *w, const float *tile,
                                         const struct lqi_byte_x *x, size_t first, size_t m,
                                         float *out, size_t stride)
{
  int32x4_t whole[BYTES_NEON_X][4];
  const int8_t *q = x->q + 4 * first;
  /* Codes are 128 less here. Where `times` is 128, so are all zero points. */
  NEON_UNROLL
  for (size_t j = 0; j < m; j++)
    for (size_t h = 0; h < 4; h++)
      whole[j][h] = x->times == 1
                        ? vmulq_n_s32(vsubq_s32(vld1q_s32(w->z + 4 * h), vdupq_n_s32(128)),
                                      x->minus[first + j])
                        : vdupq_n_s32(0);
  for (const float *end = tile + x->unit * 4; tile < end; tile += 16, q += 4 * x->rows) {
    int8x16_t v[4];
    NEON_UNROLL
    for (size_t h = 0; h < 4; h++)
      v[h] = vreinterpretq_s8_u8(
          veorq_u8(vreinterpretq_u8_f32(vld1q_f32(tile + 4 * h)), vdupq_n_u8(0x80)));
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
    for (size_t h = 0; h < 4; h++) {
      float *y = out + j * stride + 4 * h;
      float32x4_t f = vmulq_n_f32(vld1q_f32(w->f + 4 * h), x->t[first + j]);
      vst1q_f32(y, vfmaq_f32(vld1q_f32(y), vcvtq_f32_s32(whole[j][h]), f));
    }
}

LQI_INLINE LQI_SDOT void bytes_sdot_unit(const struct bytes_unit *w, const uint8_t table[16],
                                         const struct lqi_byte_x *x, size_t m, float *out,
                                         size_t stride, int form)
{
  float tile[BYTES_UNIT * LQI_BYTE_ROWS / 4];
  bytes_neon_tile(w, table, x->unit, form, tile);
  for (size_t p = 0; p * x->rows < m; p++) {
    const struct lqi_byte_x panel = bytes_panel(x, p);
    const size_t left = m - p * x->rows, rows = left < x->rows ? left : x->rows;
    size_t j = 0;
    for (; j + BYTES_NEON_X <= rows; j += BYTES_NEON_X, out += BYTES_NEON_X * stride)
      bytes_sdot_rows(w, tile, &panel, j, BYTES_NEON_X, out, stride);
    for (; j < rows; j++, out += stride)
      bytes_sdot_rows(w, tile, &panel, j, 1, out, stride);
  }
}

#define BYTES_SDOT(name, form) \
  static LQI_SDOT void bytes_sdot_unit_##name(const struct bytes_unit *w, const uint8_t table[16], \
                                              const struct lqi_byte_x *x, size_t m, float *out, \
                                              size_t stride) \
  { \
    bytes_sdot_unit(w, table, x, m, out, stride, form); \
  } \
  LQI_SDOT void lqi_byte_dots_##name##_dotprod(const struct lqi_strip *w, size_t rows, float step, \
                                               const struct lqi_byte_x *x, size_t m, float *out, \
                                               size_t stride) \
  { \
    bytes_walk(w, rows, step, x, m, out, stride, form, lqi_transpose_f32_neon, \
               bytes_sdot_unit_##name); \
  }

BYTES_SDOT(book4, LQI_FORM_BOOK4)
BYTES_SDOT(low4, LQI_FORM_LOW4)
BYTES_SDOT(low3, LQI_FORM_LOW3)
BYTES_SDOT(low2, LQI_FORM_LOW2)
BYTES_SDOT(u8, LQI_FORM_U8)
BYTES_SDOT(i8, LQI_FORM_I8)

#endif
