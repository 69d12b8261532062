/*
 * bytes_c.c - products of coded rows in 8 bits, portable C.
 *
 * Owns: the specification of the integers of x, of the bytes of weights, and of their products.
 * Must not know: which method has which form.
 */
#include "../core/fused.h"
#include "kern_bytes.h"

#include <math.h>

#define BYTES_LEAST 0x1p-100f

/* Adding and taking off 1.5 * 2^23 rounds to the nearest integer, ties to even. */
#define BYTES_ROUND 12582912.0f

float lqi_byte_book(const float book[16], uint8_t out[16])
{
  float most = 0.0f;
  for (size_t i = 0; i < 16; i++)
    most = fabsf(book[i]) > most ? fabsf(book[i]) : most;
  if (!(most >= BYTES_LEAST))
    most = 1.0f;
  for (size_t i = 0; i < 16; i++)
    out[i] = (uint8_t)(128 + (int)nearbyintf(book[i] / most * 127.0f));
  return most / 127.0f;
}

/* Where column k of a form lies among its bytes. */
LQI_INLINE size_t bytes_c_place(size_t k, int split)
{
  return split ? (k & ~(size_t)7) + k % 2 * 4 + k % 8 / 2 : k;
}

void lqi_byte_round_c(const float *x, size_t n, const struct lqi_byte_x *out, size_t r)
{
  for (size_t u = 0; u < n / out->unit; u++, x += out->unit) {
    const float most = lqi_absmax_any(x, LQ_F32, 0, out->unit);
    const int usual = most >= BYTES_LEAST && most <= 0x1.fffffep127f;
    int32_t sum = 0;
    for (size_t k = 0; k < out->unit; k++) {
      const size_t at = u * out->unit + bytes_c_place(k, out->split);
      const float v = usual ? x[k] * (127.0f / most) : 0.0f;
      const int32_t q = (int32_t)(lqi_f32_bits(v + BYTES_ROUND) - lqi_f32_bits(BYTES_ROUND));
      out->q[(at / 4 * out->rows + r) * 4 + at % 4] = (int8_t)q;
      sum += q;
    }
    out->t[u * out->rows + r] = usual                ? most / 127.0f
                                : most < BYTES_LEAST ? 0.0f
                                                     : lqi_f32_from_bits(LQI_CANONICAL_NAN);
    out->minus[u * out->rows + r] = -sum * out->times;
  }
}

/* ---- Products ---- */

/* Column k of a row. */
LQI_INLINE uint8_t bytes_c_byte(const uint8_t *row, size_t k, int form, const uint8_t table[16])
{
  const uint32_t bits = (uint32_t)lqi_form_bits(form);
  if (form == LQI_FORM_BOOK4)
    return table[lqi_code_at(row, k ^ 1, bits)];
  return (uint8_t)(lqi_code_at(row, k, bits) ^ (form == LQI_FORM_I8 ? 0x80 : 0));
}

LQI_INLINE void bytes_c_unit(const struct bytes_unit *w, const uint8_t table[16],
                             const struct lqi_byte_x *x, size_t m, float *out, size_t stride,
                             int form)
{
  for (size_t j = 0; j < m; j++) {
    const struct lqi_byte_x panel = bytes_panel(x, j / x->rows);
    const size_t row = j % x->rows;
    for (size_t r = 0; r < w->rows; r++) {
      int32_t sum = w->z[r] * panel.minus[row];
      for (size_t k = 0; k < x->unit; k++) {
        const size_t at = bytes_c_place(k, x->split);
        sum += bytes_c_byte(w->codes + r * w->row_bytes, k, form, table) *
               panel.q[(at / 4 * x->rows + row) * 4 + at % 4];
      }
      float *y = out + j * stride + r;
      *y = LQI_FMAF((float)sum, w->f[r] * panel.t[row], *y);
    }
  }
}

#define BYTES_C(name, form) \
  static void bytes_c_unit_##name(const struct bytes_unit *w, const uint8_t table[16], \
                                  const struct lqi_byte_x *x, size_t m, float *out, size_t stride) \
  { \
    bytes_c_unit(w, table, x, m, out, stride, form); \
  } \
  void lqi_byte_dots_##name##_c(const struct lqi_strip *w, size_t rows, float step, \
                                const struct lqi_byte_x *x, size_t m, float *out, size_t stride) \
  { \
    bytes_walk(w, rows, step, x, m, out, stride, form, lqi_transpose_f32_c, bytes_c_unit_##name); \
  }

BYTES_C(book4, LQI_FORM_BOOK4)
BYTES_C(low4, LQI_FORM_LOW4)
BYTES_C(low3, LQI_FORM_LOW3)
BYTES_C(low2, LQI_FORM_LOW2)
BYTES_C(u8, LQI_FORM_U8)
BYTES_C(i8, LQI_FORM_I8)
