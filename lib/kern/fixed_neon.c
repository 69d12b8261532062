/*
 * fixed_neon.c - products in 16-bit fixed point, NEON.
 *
 * Owns: how a form becomes eight vectors of 8 integers, and the order of x that goes with them.
 * Must not know: which method has which form.
 *
 * The four columns of a chain lie in the same lane of four vectors, so that multiplications that
 * add up to 32 bits leave the sums of four chains in a register. Half a unit, 32 columns, is such a
 * four: columns 4l, then 4l + 1, 4l + 2 and 4l + 3 of chains l = 0 .. 7. Two bytes of 4-bit codes
 * are a chain, hence a lane of 16 bits; the book is looked up in two planes of bytes, from which
 * transposing makes such lanes.
 */
#include "kern_neon.h"

#include <float.h>

#if LQI_NEON

/* ---- x ---- */

/* Eight values as integers. */
LQI_INLINE int16x8_t fixed_neon_round(const float *x, float by)
{
  int32x4_t a = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), by));
  int32x4_t b = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4), by));
  return vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
}

void lqi_fix_neon(const float *x, size_t n, const struct lqi_fixed *out, size_t r)
{
  int16_t *q = out->q + r * out->stride;
  float *t = out->t + r * (out->stride / LQI_UNIT);
  for (size_t k = 0; k < n; k += LQI_UNIT, t++) {
    float most = neon_absmax(x, LQ_F32, 0, LQI_UNIT);
    int usual = most >= 0x1p-100f && most <= FLT_MAX;
    *t = usual ? most / 32767.0f : most < 0x1p-100f ? 0.0f : lqi_f32_from_bits(LQI_CANONICAL_NAN);
    if (!usual)
      memset(q, 0, LQI_UNIT * sizeof *q);
    float by = usual ? 32767.0f / most : 0.0f;
    /* The even columns of a piece, then the odd ones. */
    for (size_t i = 0; i < 4; i++, x += 16) {
      int16x8_t a = fixed_neon_round(x, by), b = fixed_neon_round(x + 8, by);
      int16_t *to = q + i / 2 * 32 + i % 2 * 8;
      if (usual) {
        vst1q_s16(to, vuzp1q_s16(a, b));
        vst1q_s16(to + 16, vuzp2q_s16(a, b));
      }
    }
    q += LQI_UNIT;
  }
}

/* ---- Weights ---- */

/* What codes need for their integers: the bytes of the book, or the zero point. */
struct fixed_neon_grid {
  uint8x16_t low, high;
  int16x8_t zero;
};

/* Half a unit in the order of x. */
struct fixed_neon_half {
  int16x8_t v[4];
};

LQI_INLINE struct fixed_neon_half fixed_neon_book4(const uint8_t *codes,
                                                   const struct fixed_neon_grid *grid)
{
  uint8x16_t both = vld1q_u8(codes), even = vshrq_n_u8(both, 4);
  uint8x16_t odd = vandq_u8(both, vdupq_n_u8(15));
  uint8x16_t a = vqtbl1q_u8(grid->low, even), b = vqtbl1q_u8(grid->high, even);
  uint8x16_t c = vqtbl1q_u8(grid->low, odd), d = vqtbl1q_u8(grid->high, odd);
  return (struct fixed_neon_half){
      {vreinterpretq_s16_u8(vtrn1q_u8(a, b)), vreinterpretq_s16_u8(vtrn1q_u8(c, d)),
       vreinterpretq_s16_u8(vtrn2q_u8(a, b)), vreinterpretq_s16_u8(vtrn2q_u8(c, d))}};
}

LQI_INLINE struct fixed_neon_half fixed_neon_low4(const uint8_t *codes, int16x8_t zero)
{
  const uint16x8_t mask = vdupq_n_u16(15);
  uint16x8_t four = vreinterpretq_u16_u8(vld1q_u8(codes));
  uint16x8_t a = vandq_u16(four, mask), b = vandq_u16(vshrq_n_u16(four, 4), mask);
  uint16x8_t c = vandq_u16(vshrq_n_u16(four, 8), mask), d = vshrq_n_u16(four, 12);
  return (struct fixed_neon_half){
      {vsubq_s16(vreinterpretq_s16_u16(a), zero), vsubq_s16(vreinterpretq_s16_u16(b), zero),
       vsubq_s16(vreinterpretq_s16_u16(c), zero), vsubq_s16(vreinterpretq_s16_u16(d), zero)}};
}

/* Of 3 bits and 2 the four codes of a chain have 12 bits and 8. */
LQI_INLINE struct fixed_neon_half fixed_neon_few(const uint8_t *codes, int form, int16x8_t zero)
{
  static const uint8_t place[16] = {0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11};
  static const int16_t shift[8] = {0, -4, 0, -4, 0, -4, 0, -4};
  const int three = form == LQI_FORM_LOW3;
  const uint16x8_t mask = vdupq_n_u16(three ? 7 : 3);
  struct fixed_neon_half out;
  uint16x8_t four;
  if (three) {
    uint8_t bits[16] = {0};
    memcpy(bits, codes, 12);
    four = vreinterpretq_u16_u8(vqtbl1q_u8(vld1q_u8(bits), vld1q_u8(place)));
    four = vshlq_u16(four, vld1q_s16(shift));
  } else {
    four = vmovl_u8(vld1_u8(codes));
  }
  NEON_UNROLL
  for (int i = 0; i < 4; i++) {
    uint16x8_t code = vandq_u16(four, mask);
    out.v[i] = vsubq_s16(vreinterpretq_s16_u16(code), zero);
    four = three ? vshrq_n_u16(four, 3) : vshrq_n_u16(four, 2);
  }
  return out;
}

LQI_INLINE void fixed_neon_bytes(const uint8_t *codes, int form, int16x8_t zero,
                                 struct fixed_neon_half out[2])
{
  const uint8x16x4_t four = vld4q_u8(codes);
  NEON_UNROLL
  for (size_t i = 0; i < 4; i++)
    if (form == LQI_FORM_I8) {
      int8x16_t code = vreinterpretq_s8_u8(four.val[i]);
      out[0].v[i] = vmovl_s8(vget_low_s8(code));
      out[1].v[i] = vmovl_high_s8(code);
    } else {
      uint16x8_t less = vreinterpretq_u16_s16(vnegq_s16(zero));
      out[0].v[i] = vreinterpretq_s16_u16(vaddw_u8(less, vget_low_u8(four.val[i])));
      out[1].v[i] = vreinterpretq_s16_u16(vaddw_high_u8(less, four.val[i]));
    }
}

LQI_INLINE void fixed_neon_decode(const uint8_t *codes, int form,
                                  const struct fixed_neon_grid *grid, struct fixed_neon_half out[2])
{
  if (form >= LQI_FORM_U8)
    fixed_neon_bytes(codes, form, grid->zero, out);
  else if (form == LQI_FORM_LOW3 || form == LQI_FORM_LOW2)
    NEON_UNROLL
  for (size_t h = 0; h < 2; h++)
    out[h] = fixed_neon_few(codes + h * LQI_UNIT / 8 * lqi_form_bits(form) / 2, form, grid->zero);
  else NEON_UNROLL for (size_t h = 0; h < 2; h++) out[h] =
      form == LQI_FORM_BOOK4 ? fixed_neon_book4(codes + 16 * h, grid)
                             : fixed_neon_low4(codes + 16 * h, grid->zero);
}

/* ---- Products ---- */

/* Half a unit by the same of a row of x, added to the sums of its eight chains. */
LQI_INLINE void fixed_neon_multiply(const struct fixed_neon_half *w, const int16_t *q, float factor,
                                    float32x4_t sum[2])
{
  int16x8_t x = vld1q_s16(q);
  int32x4_t a = vmull_s16(vget_low_s16(w->v[0]), vget_low_s16(x)), b = vmull_high_s16(w->v[0], x);
  NEON_UNROLL
  for (size_t i = 1; i < 4; i++) {
    x = vld1q_s16(q + 8 * i);
    a = vmlal_s16(a, vget_low_s16(w->v[i]), vget_low_s16(x));
    b = vmlal_high_s16(b, w->v[i], x);
  }
  sum[0] = vfmaq_n_f32(sum[0], vcvtq_f32_s32(a), factor);
  sum[1] = vfmaq_n_f32(sum[1], vcvtq_f32_s32(b), factor);
}

/* Row r of w by m rows of x, a constant where this is inlined. */
LQI_INLINE void fixed_neon_row(const struct lqi_strip *w, int form, struct fixed_neon_grid grid,
                               float step, size_t r, size_t n, const struct lqi_fixed *x, size_t m,
                               float *out, size_t stride)
{
  float32x4_t sum[LQI_STRIP_M][4];
  const uint8_t *codes = w->codes + r * w->row_bytes;
  const float *numbers = w->grid + r * w->grid_step;
  NEON_UNROLL
  for (size_t j = 0; j < m; j++)
    NEON_UNROLL
  for (size_t i = 0; i < 4; i++)
    sum[j][i] = vdupq_n_f32(0.0f);
  for (size_t k = 0; k < n; numbers += w->numbers) {
    float scale = numbers[0] * step;
    if (lqi_form_has_zero(form))
      grid.zero = vdupq_n_s16((int16_t)numbers[1]);
    for (size_t end = k + w->group; k < end; k += LQI_UNIT) {
      struct fixed_neon_half v[2];
      fixed_neon_decode(codes, form, &grid, v);
      NEON_UNROLL
      for (size_t j = 0; j < m; j++) {
        float factor = scale * x->t[j * (x->stride / LQI_UNIT) + k / LQI_UNIT];
        const int16_t *q = x->q + j * x->stride + k;
        fixed_neon_multiply(&v[0], q, factor, sum[j]);
        fixed_neon_multiply(&v[1], q + 32, factor, sum[j] + 2);
      }
      codes += LQI_UNIT / 8 * lqi_form_bits(form);
    }
  }
  NEON_UNROLL
  for (size_t j = 0; j < m; j++)
    out[j * stride + r] = neon_fold(sum[j]);
}

/* To decode again for every two rows of x is cheaper than what compilers make of the sums of four,
 * which leave no registers. */
LQI_INLINE void fixed_neon_dots(const struct lqi_strip *w, int form, size_t rows, size_t n,
                                const struct lqi_fixed *x, size_t m, float *out, size_t stride)
{
  int16_t table[16] = {0};
  float step = form == LQI_FORM_I8 ? lqi_f32_from_bits(LQI_I8_STEP_BITS) : 1.0f;
  if (form == LQI_FORM_BOOK4)
    step = lqi_fixed_book(w->book, table);
  uint8x16_t a = vreinterpretq_u8_s16(vld1q_s16(table));
  uint8x16_t b = vreinterpretq_u8_s16(vld1q_s16(table + 8));
  const struct fixed_neon_grid grid = {vuzp1q_u8(a, b), vuzp2q_u8(a, b), vdupq_n_s16(0)};
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0, done; j < m; j += done) {
      struct lqi_fixed from = {x->q + j * x->stride, x->t + j * (x->stride / LQI_UNIT), x->stride};
      done = m == 3 ? 3 : m - j < 2 ? 1 : 2;
      if (done == 1)
        fixed_neon_row(w, form, grid, step, r, n, &from, 1, out + j * stride, stride);
      else if (done == 2)
        fixed_neon_row(w, form, grid, step, r, n, &from, 2, out + j * stride, stride);
      else
        fixed_neon_row(w, form, grid, step, r, n, &from, 3, out + j * stride, stride);
    }
}

#define FIXED_NEON_KERNEL(name, form) \
  void lqi_fixed_dots_##name##_neon(const struct lqi_strip *w, size_t rows, size_t n, \
                                    const struct lqi_fixed *x, size_t m, float *out, \
                                    size_t stride) \
  { \
    fixed_neon_dots(w, form, rows, n, x, m, out, stride); \
  }

FIXED_NEON_KERNEL(book4, LQI_FORM_BOOK4)
FIXED_NEON_KERNEL(low4, LQI_FORM_LOW4)
FIXED_NEON_KERNEL(low3, LQI_FORM_LOW3)
FIXED_NEON_KERNEL(low2, LQI_FORM_LOW2)
FIXED_NEON_KERNEL(u8, LQI_FORM_U8)
FIXED_NEON_KERNEL(i8, LQI_FORM_I8)

#endif
