/*
 * strip_neon.c - products of coded rows, NEON: codes are decoded in registers.
 *
 * Owns: how each form becomes eight vectors of 4 columns, 16 even columns and 16 odd ones.
 * Must not know: which method has which form.
 *
 * The 16 values of a table are scaled once a group and taken apart into four planes of bytes, a
 * register each. A look-up in each plane decodes 16 columns at once; two rounds of interleaving put
 * their bytes together, in order. A byte of 4-bit codes is one even and one odd column of the same
 * chain, so that one `and` and one shift are all that splitting takes.
 *
 * One row of weights at a time: sums and planes of two would leave compilers too few registers, and
 * the loads of x that two could share are an eighth of the work.
 */
#include "kern_neon.h"

#if LQI_NEON

/* What a row needs of its present group: bytes of the scaled table, or scale and zero point (u8:
 * + 2^23). */
struct strip_neon_grid {
  uint8x16_t plane[4];
  float32x4_t scale, zero;
};

LQI_INLINE void strip_neon_grid(const struct lqi_strip *w, int form, size_t r, size_t g,
                                struct strip_neon_grid *out)
{
  const float *grid = w->grid + r * w->grid_step + g * w->numbers;
  float32x4_t scale = vld1q_dup_f32(grid), zero = vdupq_n_f32(0.0f);
  if (form == LQI_FORM_U8)
    zero = vaddq_f32(vdupq_n_f32(8388608.0f), vld1q_dup_f32(grid + 1));
  out->scale = scale;
  out->zero = zero;
  if (form >= LQI_FORM_U8)
    return;
  if (form != LQI_FORM_BOOK4)
    zero = vld1q_dup_f32(grid + 1);
  uint8x16_t v[4];
  NEON_UNROLL
  for (size_t q = 0; q < 4; q++) {
    float32x4_t value = vld1q_f32(w->book + 4 * q);
    if (form != LQI_FORM_BOOK4)
      value = vsubq_f32(value, zero);
    v[q] = vreinterpretq_u8_f32(vmulq_f32(value, scale));
  }
  uint8x16_t even0 = vuzp1q_u8(v[0], v[1]), even1 = vuzp1q_u8(v[2], v[3]);
  uint8x16_t odd0 = vuzp2q_u8(v[0], v[1]), odd1 = vuzp2q_u8(v[2], v[3]);
  out->plane[0] = vuzp1q_u8(even0, even1);
  out->plane[1] = vuzp1q_u8(odd0, odd1);
  out->plane[2] = vuzp2q_u8(even0, even1);
  out->plane[3] = vuzp2q_u8(odd0, odd1);
}

struct strip_neon_codes {
  uint8x16_t even, odd; /* below 16; the tables of shorter codes repeat */
};

LQI_INLINE struct strip_neon_codes strip_neon_low3(const uint8_t *codes)
{
  /* Lane l begins at bit 6 l, in byte 3 l / 4. */
  static const uint8_t byte[2][16] = {{0, 1, 0, 1, 1, 2, 2, 3, 3, 4, 3, 4, 4, 5, 5, 6},
                                      {6, 7, 6, 7, 7, 8, 8, 9, 9, 10, 9, 10, 10, 11, 11, 12}};
  static const int16_t shift[8] = {0, -6, -4, -2, 0, -6, -4, -2};
  uint32_t last;
  memcpy(&last, codes + 8, sizeof last);
  uint8x16_t bits = vcombine_u8(vld1_u8(codes), vcreate_u8(last));
  uint16x8_t a = vreinterpretq_u16_u8(vqtbl1q_u8(bits, vld1q_u8(byte[0])));
  uint16x8_t b = vreinterpretq_u16_u8(vqtbl1q_u8(bits, vld1q_u8(byte[1])));
  a = vshlq_u16(a, vld1q_s16(shift));
  b = vshlq_u16(b, vld1q_s16(shift));
  uint8x16_t both = vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
  const uint8x16_t mask = vdupq_n_u8(7);
  return (struct strip_neon_codes){vandq_u8(both, mask), vandq_u8(vshrq_n_u8(both, 3), mask)};
}

LQI_INLINE struct strip_neon_codes strip_neon_codes(const uint8_t *codes, int form)
{
  if (form == LQI_FORM_LOW3)
    return strip_neon_low3(codes);
  if (form == LQI_FORM_LOW2) {
    uint8x8_t two = vld1_u8(codes), low = vand_u8(two, vdup_n_u8(15)), high = vshr_n_u8(two, 4);
    uint8x16_t both = vcombine_u8(vzip1_u8(low, high), vzip2_u8(low, high));
    return (struct strip_neon_codes){both, vshrq_n_u8(both, 2)};
  }
  uint8x16_t both = vld1q_u8(codes), low = vandq_u8(both, vdupq_n_u8(15));
  uint8x16_t high = vshrq_n_u8(both, 4);
  return form == LQI_FORM_BOOK4 ? (struct strip_neon_codes){high, low}
                                : (struct strip_neon_codes){low, high};
}

LQI_INLINE void strip_neon_look_up(const uint8x16_t *plane, uint8x16_t code, float32x4_t *v)
{
  uint8x16_t a = vqtbl1q_u8(plane[0], code), b = vqtbl1q_u8(plane[1], code);
  uint8x16_t c = vqtbl1q_u8(plane[2], code), d = vqtbl1q_u8(plane[3], code);
  uint16x8_t low0 = vreinterpretq_u16_u8(vzip1q_u8(a, b));
  uint16x8_t low1 = vreinterpretq_u16_u8(vzip2q_u8(a, b));
  uint16x8_t high0 = vreinterpretq_u16_u8(vzip1q_u8(c, d));
  uint16x8_t high1 = vreinterpretq_u16_u8(vzip2q_u8(c, d));
  v[0] = vreinterpretq_f32_u16(vzip1q_u16(low0, high0));
  v[1] = vreinterpretq_f32_u16(vzip2q_u16(low0, high0));
  v[2] = vreinterpretq_f32_u16(vzip1q_u16(low1, high1));
  v[3] = vreinterpretq_f32_u16(vzip2q_u16(low1, high1));
}

/* Eight codes, in the high bytes of 16 bits: shifted to the top of 32 they convert by 2^-24. */
LQI_INLINE void strip_neon_i8(const struct strip_neon_grid *grid, uint16x8_t code, float32x4_t *v)
{
  const float32x4_t step = vreinterpretq_f32_u32(vdupq_n_u32(LQI_I8_STEP_BITS));
  int32x4_t a = vreinterpretq_s32_u32(vshll_n_u16(vget_low_u16(code), 16));
  int32x4_t b = vreinterpretq_s32_u32(vshll_high_n_u16(code, 16));
  v[0] = vmulq_f32(vmulq_f32(vcvtq_n_f32_s32(a, 24), grid->scale), step);
  v[1] = vmulq_f32(vmulq_f32(vcvtq_n_f32_s32(b, 24), grid->scale), step);
}

/*
 * Eight codes in 16 bits each: below the upper half of 2^23 a code makes 2^23 + code. Zero points
 * are integers too, hence 2^23 + code - (2^23 + zero) is exact.
 */
LQI_INLINE void strip_neon_u8(const struct strip_neon_grid *grid, uint16x8_t code, float32x4_t *v)
{
  const uint16x8_t magic = vdupq_n_u16(0x4b00);
  float32x4_t a = vreinterpretq_f32_u16(vzip1q_u16(code, magic));
  float32x4_t b = vreinterpretq_f32_u16(vzip2q_u16(code, magic));
  v[0] = vmulq_f32(grid->scale, vsubq_f32(a, grid->zero));
  v[1] = vmulq_f32(grid->scale, vsubq_f32(b, grid->zero));
}

LQI_INLINE void strip_neon_bytes(const struct strip_neon_grid *grid, const uint8_t *codes, int form,
                                 int odd, float32x4_t v[4])
{
  NEON_UNROLL
  for (size_t q = 0; q < 4; q += 2) {
    uint16x8_t both = vreinterpretq_u16_u8(vld1q_u8(codes + 8 * q));
    if (form == LQI_FORM_I8)
      strip_neon_i8(grid, odd ? vandq_u16(both, vdupq_n_u16(0xff00)) : vshlq_n_u16(both, 8), v + q);
    else
      strip_neon_u8(grid, odd ? vshrq_n_u16(both, 8) : vandq_u16(both, vdupq_n_u16(0xff)), v + q);
  }
}

LQI_INLINE void strip_neon_f32(const float *x, int odd, float32x4_t v[4])
{
  NEON_UNROLL
  for (size_t q = 0; q < 4; q++) {
    float32x4_t a = vld1q_f32(x + 8 * q), b = vld1q_f32(x + 8 * q + 4);
    v[q] = odd ? vuzp2q_f32(a, b) : vuzp1q_f32(a, b);
  }
}

LQI_INLINE void strip_neon_half(const uint16_t *x, int32_t dtype, int odd, float32x4_t v[4])
{
  NEON_UNROLL
  for (size_t q = 0; q < 4; q++) {
    uint16x8_t a = vld1q_u16(x + 8 * q);
    if (dtype == LQ_BF16) {
      uint32x4_t two = vreinterpretq_u32_u16(a);
      two = odd ? vandq_u32(two, vdupq_n_u32(0xffff0000)) : vshlq_n_u32(two, 16);
      v[q] = vreinterpretq_f32_u32(two);
    } else if (q % 2 == 0) {
      uint16x8_t b = vld1q_u16(x + 8 * q + 8);
      float16x8_t both = vreinterpretq_f16_u16(odd ? vuzp2q_u16(a, b) : vuzp1q_u16(a, b));
      v[q] = vcvt_f32_f16(vget_low_f16(both));
      v[q + 1] = vcvt_high_f32_f16(both);
    }
  }
}

/* The even columns of 32, or the odd ones. */
LQI_INLINE void strip_neon_decode(const struct strip_neon_grid *grid, const void *codes, int form,
                                  int odd, float32x4_t v[4])
{
  if (form == LQI_FORM_F32) {
    strip_neon_f32(codes, odd, v);
  } else if (form > LQI_FORM_F32) {
    strip_neon_half(codes, form - LQI_FORM_F32 + LQ_F32, odd, v);
  } else if (form >= LQI_FORM_U8) {
    strip_neon_bytes(grid, codes, form, odd, v);
  } else {
    struct strip_neon_codes code = strip_neon_codes(codes, form);
    strip_neon_look_up(grid->plane, odd ? code.odd : code.even, v);
  }
}

LQI_INLINE void strip_neon_piece(const struct strip_neon_grid *grid, const void *codes, int form,
                                 float *out)
{
  float32x4_t v[8];
  strip_neon_decode(grid, codes, form, 0, v);
  strip_neon_decode(grid, codes, form, 1, v + 4);
  NEON_UNROLL
  for (size_t q = 0; q < 8; q++)
    vst1q_f32(out + 4 * q, v[q]);
}

LQI_INLINE void strip_neon_rows(const struct lqi_strip *w, int form, size_t rows, size_t n,
                                float *out, size_t stride)
{
  size_t group = form >= LQI_FORM_F32 ? n : w->group;
  for (size_t r = 0; r < rows; r++, out += stride) {
    const uint8_t *codes = w->codes + r * w->row_bytes;
    for (size_t k = 0, g = 0; k < n; g++) {
      struct strip_neon_grid grid;
      if (form < LQI_FORM_F32)
        strip_neon_grid(w, form, r, g, &grid);
      for (size_t end = k + group; k < end; k += LQI_PIECE) {
        strip_neon_piece(&grid, codes, form, out + k);
        codes += LQI_PIECE / 8 * lqi_form_bits(form);
      }
    }
  }
}

/* One row of w by m rows of x, a constant where this is inlined. */
LQI_INLINE void strip_neon_row(const struct lqi_strip *w, int form, size_t r, size_t n,
                               const float *x, size_t x_stride, size_t m, float *out, size_t stride)
{
  float32x4_t sum[LQI_STRIP_M][4];
  const uint8_t *codes = w->codes + r * w->row_bytes;
  size_t group = form >= LQI_FORM_F32 ? n : w->group;
  NEON_UNROLL
  for (size_t j = 0; j < m; j++)
    NEON_UNROLL
  for (size_t q = 0; q < 4; q++)
    sum[j][q] = vdupq_n_f32(0.0f);
  for (size_t k = 0, g = 0; k < n; g++) {
    struct strip_neon_grid grid;
    if (form < LQI_FORM_F32)
      strip_neon_grid(w, form, r, g, &grid);
    for (size_t end = k + group; k < end; k += LQI_PIECE) {
      NEON_UNROLL
      for (size_t odd = 0; odd < 2; odd++) {
        float32x4_t v[4];
        strip_neon_decode(&grid, codes, form, odd == 1, v);
        NEON_UNROLL
        for (size_t j = 0; j < m; j++)
          NEON_UNROLL
        for (size_t q = 0; q < 4; q++)
          sum[j][q] =
              vfmaq_f32(sum[j][q], v[q], vld1q_f32(x + j * x_stride + k + 16 * odd + 4 * q));
      }
      codes += LQI_PIECE / 8 * lqi_form_bits(form);
    }
  }
  NEON_UNROLL
  for (size_t j = 0; j < m; j++)
    out[j * stride + r] = neon_fold(sum[j]);
}

/* Codes are decoded once for all of x. Dense weights are cheaper to load again than the sums of
 * more than two rows of x are to keep. */
LQI_INLINE void strip_neon_dots(const struct lqi_strip *w, int form, size_t rows, size_t n,
                                const float *x, size_t x_stride, size_t m, float *out,
                                size_t stride)
{
  int coded = form < LQI_FORM_F32;
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0, done; j < m; j += done) {
      const float *from = x + j * x_stride;
      float *to = out + j * stride;
      done = coded || m - j <= 2 ? m - j : 2;
      if (done == 1)
        strip_neon_row(w, form, r, n, from, x_stride, 1, to, stride);
      else if (done == 2)
        strip_neon_row(w, form, r, n, from, x_stride, 2, to, stride);
      else if (coded && done == 3)
        strip_neon_row(w, form, r, n, from, x_stride, 3, to, stride);
      else if (coded)
        strip_neon_row(w, form, r, n, from, x_stride, 4, to, stride);
    }
}

#define STRIP_NEON_KERNELS(name, form) \
  void lqi_strip_pair_##name##_neon(const struct lqi_strip *w, size_t rows, size_t n, float *out, \
                                    size_t stride) \
  { \
    strip_neon_rows(w, form, rows, n, out, stride); \
  } \
  void lqi_strip_dots_##name##_neon(const struct lqi_strip *w, size_t rows, size_t n, \
                                    const float *x, size_t x_stride, size_t m, float *out, \
                                    size_t stride) \
  { \
    strip_neon_dots(w, form, rows, n, x, x_stride, m, out, stride); \
  }

STRIP_NEON_KERNELS(book4, LQI_FORM_BOOK4)
STRIP_NEON_KERNELS(low4, LQI_FORM_LOW4)
STRIP_NEON_KERNELS(low3, LQI_FORM_LOW3)
STRIP_NEON_KERNELS(low2, LQI_FORM_LOW2)
STRIP_NEON_KERNELS(u8, LQI_FORM_U8)
STRIP_NEON_KERNELS(i8, LQI_FORM_I8)
STRIP_NEON_KERNELS(f32, LQI_FORM_F32)
STRIP_NEON_KERNELS(f16, LQI_FORM_F16)
STRIP_NEON_KERNELS(bf16, LQI_FORM_BF16)

/* ---- Paired rows ---- */

LQI_INLINE void strip_neon_pair_row(const void *x, int32_t dtype, size_t n, float *out)
{
  size_t k = 0, size = dtype == LQ_F32 ? sizeof(float) : sizeof(uint16_t);
  for (; k + LQI_PIECE <= n; k += LQI_PIECE)
    strip_neon_piece(NULL, (const char *)x + k * size, dtype - LQ_F32 + LQI_FORM_F32, out + k);
  if (k < n) {
    float part[LQI_PIECE] = {0};
    for (size_t i = k; i < n; i++)
      part[i - k] = lqi_load(x, dtype, i);
    strip_neon_piece(NULL, part, LQI_FORM_F32, out + k);
  }
}

void lqi_pair_f32_neon(const void *x, size_t n, float *out)
{
  strip_neon_pair_row(x, LQ_F32, n, out);
}

void lqi_pair_f16_neon(const void *x, size_t n, float *out)
{
  strip_neon_pair_row(x, LQ_F16, n, out);
}

void lqi_pair_bf16_neon(const void *x, size_t n, float *out)
{
  strip_neon_pair_row(x, LQ_BF16, n, out);
}

#endif
