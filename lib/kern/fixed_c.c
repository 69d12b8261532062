/*
 * fixed_c.c - products of coded rows in 16-bit fixed point, portable C.
 *
 * Owns: the specification of the integers of x and of weights, and of their products.
 * Must not know: which method has which form.
 */
#include "../core/fused.h"
#include "kern_c.h"

#include <math.h>

#define FIXED_LEAST 0x1p-100f

float lqi_fixed_book(const float book[16], int16_t out[16])
{
  float most = 0.0f;
  for (size_t i = 0; i < 16; i++)
    most = fabsf(book[i]) > most ? fabsf(book[i]) : most;
  if (!(most >= FIXED_LEAST))
    most = 1.0f;
  for (size_t i = 0; i < 16; i++)
    out[i] = (int16_t)nearbyintf(book[i] / most * 16383.0f);
  return most / 16383.0f;
}

/* The place in a unit of its column c: 32 even ones, then 32 odd ones. */
LQI_INLINE size_t fixed_c_place(size_t c)
{
  return c / 2 + c % 2 * 32;
}

/* The place in a paired row of column c of a unit. */
LQI_INLINE size_t fixed_c_paired(size_t c)
{
  return c / LQI_PIECE * LQI_PIECE + c % LQI_PIECE / 2 + c % 2 * 16;
}

void lqi_fix_c(const float *x, size_t n, const struct lqi_fixed *out, size_t r)
{
  int16_t *q = out->q + r * out->stride;
  float *t = out->t + r * (out->stride / LQI_UNIT);
  for (size_t k = 0; k < n; k += LQI_UNIT, x += LQI_UNIT, q += LQI_UNIT, t++) {
    float most = lqi_absmax_any(x, LQ_F32, 0, LQI_UNIT);
    int usual = most >= FIXED_LEAST && most <= 0x1.fffffep127f;
    float by = usual ? 32767.0f / most : 0.0f;
    *t = usual ? most / 32767.0f : most < FIXED_LEAST ? 0.0f : lqi_f32_from_bits(LQI_CANONICAL_NAN);
    for (size_t c = 0; c < LQI_UNIT; c++)
      q[fixed_c_place(c)] = usual ? (int16_t)nearbyintf(x[fixed_c_paired(c)] * by) : 0;
  }
}

LQI_INLINE int32_t fixed_c_weight(const uint8_t *row, int form, size_t k, const int16_t *book,
                                  const float *grid)
{
  const uint32_t code =
      lqi_code_at(row, form == LQI_FORM_BOOK4 ? k ^ 1 : k, (uint32_t)lqi_form_bits(form));
  if (form == LQI_FORM_BOOK4)
    return book[code];
  return form == LQI_FORM_I8 ? (int8_t)code : (int32_t)code - (int32_t)grid[1];
}

LQI_INLINE float fixed_c_row(const struct lqi_strip *w, int form, size_t r, size_t n,
                             const int16_t *book, float step, const int16_t *q, const float *t)
{
  const uint8_t *row = w->codes + r * w->row_bytes;
  float chain[16] = {0};
  for (size_t k = 0; k < n; k += LQI_UNIT, q += LQI_UNIT, t++) {
    const float *grid = w->grid + r * w->grid_step + k / w->group * w->numbers;
    float factor = grid[0] * step * *t;
    for (size_t l = 0; l < 16; l++) {
      int32_t sum = 0;
      for (size_t c = 4 * l; c < 4 * l + 4; c++)
        sum += fixed_c_weight(row, form, k + c, book, grid) * q[fixed_c_place(c)];
      chain[l] = LQI_FMAF((float)sum, factor, chain[l]);
    }
  }
  for (size_t half = 8; half != 0; half /= 2)
    for (size_t l = 0; l < half; l++)
      chain[l] += chain[l + half];
  return chain[0];
}

LQI_INLINE void fixed_c_dots(const struct lqi_strip *w, int form, size_t rows, size_t n,
                             const struct lqi_fixed *x, size_t m, float *out, size_t stride)
{
  int16_t book[16] = {0};
  float step = form == LQI_FORM_I8 ? lqi_f32_from_bits(LQI_I8_STEP_BITS) : 1.0f;
  if (form == LQI_FORM_BOOK4)
    step = lqi_fixed_book(w->book, book);
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0; j < m; j++)
      out[j * stride + r] = fixed_c_row(w, form, r, n, book, step, x->q + j * x->stride,
                                        x->t + j * (x->stride / LQI_UNIT));
}

#define FIXED_C_KERNEL(name, form) \
  void lqi_fixed_dots_##name##_c(const struct lqi_strip *w, size_t rows, size_t n, \
                                 const struct lqi_fixed *x, size_t m, float *out, size_t stride) \
  { \
    fixed_c_dots(w, form, rows, n, x, m, out, stride); \
  }

FIXED_C_KERNEL(book4, LQI_FORM_BOOK4)
FIXED_C_KERNEL(low4, LQI_FORM_LOW4)
FIXED_C_KERNEL(low3, LQI_FORM_LOW3)
FIXED_C_KERNEL(low2, LQI_FORM_LOW2)
FIXED_C_KERNEL(u8, LQI_FORM_U8)
FIXED_C_KERNEL(i8, LQI_FORM_I8)
