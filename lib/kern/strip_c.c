/*
 * strip_c.c - products of coded rows, portable C.
 *
 * Owns: the specification of pairing, of products of paired rows, and of the forms of coded rows.
 * Must not know: which method has which form.
 */
#include "../core/fused.h"
#include "kern_c.h"

#include <string.h>

LQI_INLINE void strip_c_pair(const void *x, int32_t dtype, size_t n, float *out)
{
  for (size_t k = 0; k < n; k += LQI_PIECE, out += LQI_PIECE)
    for (size_t i = 0; i < LQI_PIECE; i++)
      out[i / 2 + i % 2 * 16] = k + i < n ? lqi_load(x, dtype, k + i) : 0.0f;
}

void lqi_pair_f32_c(const void *x, size_t n, float *out)
{
  strip_c_pair(x, LQ_F32, n, out);
}

void lqi_pair_f16_c(const void *x, size_t n, float *out)
{
  strip_c_pair(x, LQ_F16, n, out);
}

void lqi_pair_bf16_c(const void *x, size_t n, float *out)
{
  strip_c_pair(x, LQ_BF16, n, out);
}

LQI_INLINE void strip_c_add(const float *a, const float *b, size_t n, float *chain)
{
  for (size_t k = 0; k < n; k += 16)
    for (size_t l = 0; l < 16; l++)
      chain[l] = LQI_FMAF(a[k + l], b[k + l], chain[l]);
}

LQI_INLINE float strip_c_fold(float *chain)
{
  for (size_t half = 8; half != 0; half /= 2)
    for (size_t l = 0; l < half; l++)
      chain[l] += chain[l + half];
  return chain[0];
}

void lqi_dots_c(struct lqi_rows a, struct lqi_rows b, size_t n, int stage, float *sums, float *out,
                size_t stride)
{
  for (size_t j = 0; j < b.count; j++)
    for (size_t i = 0; i < a.count; i++) {
      float chain[16] = {0}, *waiting = sums + (j * a.count + i) * 16;
      if (!(stage & LQI_DOTS_BEGIN))
        memcpy(chain, waiting, sizeof chain);
      strip_c_add(a.from + i * a.stride, b.from + j * b.stride, n, chain);
      if (stage & LQI_DOTS_END)
        out[j * stride + i] = strip_c_fold(chain);
      else
        memcpy(waiting, chain, sizeof chain);
    }
}

/* ---- Coded rows ---- */

/* Code of column k; of bytes that belong to the row alone. */
LQI_INLINE uint32_t strip_c_code(const uint8_t *row, int form, size_t k)
{
  size_t bit;
  uint32_t code;
  switch (form) {
  case LQI_FORM_BOOK4: return row[k / 2] >> (k % 2 ? 0 : 4) & 15u;
  case LQI_FORM_LOW4: return row[k / 2] >> (k % 2 ? 4 : 0) & 15u;
  case LQI_FORM_LOW3:
    bit = 3 * k;
    code = row[bit / 8];
    if (bit % 8 > 5)
      code |= (uint32_t)row[bit / 8 + 1] << 8;
    return code >> bit % 8 & 7u;
  case LQI_FORM_LOW2: return row[k / 4] >> 2 * (k % 4) & 3u;
  default: return row[k];
  }
}

LQI_INLINE float strip_c_value(const struct lqi_strip *w, int form, size_t r, size_t k)
{
  const uint8_t *row = w->codes + r * w->row_bytes;
  if (form >= LQI_FORM_F32)
    return lqi_load(row, form - LQI_FORM_F32 + LQ_F32, k);
  const float *grid = w->grid + r * w->grid_step + k / w->group * w->numbers;
  uint32_t code = strip_c_code(row, form, k);
  if (form == LQI_FORM_I8)
    return (float)(int8_t)code * grid[0] * lqi_f32_from_bits(LQI_I8_STEP_BITS);
  if (form == LQI_FORM_BOOK4 || form == LQI_FORM_BOOK8)
    return w->book[code] * grid[0];
  return grid[0] * ((float)code - grid[1]);
}

LQI_INLINE void strip_c_piece(const struct lqi_strip *w, int form, size_t r, size_t k, float *out)
{
  for (size_t i = 0; i < LQI_PIECE; i++)
    out[i / 2 + i % 2 * 16] = strip_c_value(w, form, r, k + i);
}

LQI_INLINE void strip_c_rows(const struct lqi_strip *w, int form, size_t rows, size_t n, float *out,
                             size_t stride)
{
  for (size_t r = 0; r < rows; r++)
    for (size_t k = 0; k < n; k += LQI_PIECE)
      strip_c_piece(w, form, r, k, out + r * stride + k);
}

LQI_INLINE void strip_c_dots(const struct lqi_strip *w, int form, size_t rows, size_t n,
                             const float *x, size_t x_stride, size_t m, float *out, size_t stride)
{
  for (size_t r = 0; r < rows; r++) {
    float chain[LQI_STRIP_M][16] = {{0}};
    for (size_t k = 0; k < n; k += LQI_PIECE) {
      float v[LQI_PIECE];
      strip_c_piece(w, form, r, k, v);
      for (size_t j = 0; j < m; j++)
        strip_c_add(v, x + j * x_stride + k, LQI_PIECE, chain[j]);
    }
    for (size_t j = 0; j < m; j++)
      out[j * stride + r] = strip_c_fold(chain[j]);
  }
}

#define STRIP_C_KERNELS(name, form) \
  void lqi_strip_pair_##name##_c(const struct lqi_strip *w, size_t rows, size_t n, float *out, \
                                 size_t stride) \
  { \
    strip_c_rows(w, form, rows, n, out, stride); \
  } \
  void lqi_strip_dots_##name##_c(const struct lqi_strip *w, size_t rows, size_t n, const float *x, \
                                 size_t x_stride, size_t m, float *out, size_t stride) \
  { \
    strip_c_dots(w, form, rows, n, x, x_stride, m, out, stride); \
  }

STRIP_C_KERNELS(book4, LQI_FORM_BOOK4)
STRIP_C_KERNELS(low4, LQI_FORM_LOW4)
STRIP_C_KERNELS(low3, LQI_FORM_LOW3)
STRIP_C_KERNELS(low2, LQI_FORM_LOW2)
STRIP_C_KERNELS(book8, LQI_FORM_BOOK8)
STRIP_C_KERNELS(u8, LQI_FORM_U8)
STRIP_C_KERNELS(i8, LQI_FORM_I8)
STRIP_C_KERNELS(f32, LQI_FORM_F32)
STRIP_C_KERNELS(f16, LQI_FORM_F16)
STRIP_C_KERNELS(bf16, LQI_FORM_BF16)
