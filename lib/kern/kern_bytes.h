/*
 * kern_bytes.h - what kernels of products in 8 bits share: the walk over the units of a strip.
 *
 * Owns: the grids of 16 rows, and where a unit lies in codes and in x.
 * Must not know: instruction sets, which method has which form.
 */
#ifndef LQI_KERN_BYTES_H
#define LQI_KERN_BYTES_H

#include "kern_c.h"

enum { BYTES_UNIT = 64 }; /* columns of the largest unit */

/* A unit of 16 rows of W: codes of those that are there, scales times step, and what `minus` of x
 * is to be multiplied by. */
struct bytes_unit {
  const uint8_t *codes;
  size_t row_bytes, rows;
  float f[LQI_BYTE_ROWS];
  int32_t z[LQI_BYTE_ROWS];
};

/* The bytes of 4-bit codes in the order of columns. */
LQI_INLINE void bytes_table(const struct lqi_strip *w, int form, uint8_t table[16])
{
  for (uint8_t i = 0; i < 16; i++)
    table[i] = i;
  if (form == LQI_FORM_BOOK4)
    lqi_byte_book(w->book, table);
}

/* Codes of 2 or 3 bits, a multiple of 8, a byte each. */
LQI_INLINE void bytes_narrow(const uint8_t *from, uint32_t bits, size_t count, uint8_t *to)
{
  for (size_t k = 0; k < count; k += 8, from += bits) {
    uint32_t word = from[0] | (uint32_t)from[1] << 8;
    if (bits == 3)
      word |= (uint32_t)from[2] << 16;
    for (uint32_t i = 0; i < 8; i++)
      to[k + i] = (uint8_t)(word >> bits * i & ((1u << bits) - 1u));
  }
}

/* Grids of up to 16 rows, turned, some groups at a time. */
struct bytes_grids {
  float at[LQI_BYTE_ROWS * 16]; /* [groups][numbers][16] */
  size_t per;                   /* groups at a time */
};

/* The grids of group g: scales, and where there are two numbers, zero points behind them. */
LQI_INLINE const float *bytes_grid(const struct lqi_strip *w, size_t rows, size_t g, size_t groups,
                                   lqi_transpose_f32_fn *turn, struct bytes_grids *grids)
{
  const size_t in = g % grids->per, left = groups - g;
  if (in == 0)
    turn(w->grid + g * w->numbers, w->grid_step, rows,
         (left < grids->per ? left : grids->per) * w->numbers, grids->at, LQI_BYTE_ROWS);
  return grids->at + in * w->numbers * LQI_BYTE_ROWS;
}

/* One unit by all rows of x, whose pointers are to that unit in the first panel; added to out. */
typedef void bytes_unit_fn(const struct bytes_unit *unit, const uint8_t table[16],
                           const struct lqi_byte_x *x, size_t m, float *out, size_t stride);

/* 16 rows of a product, or the last ones. */
LQI_INLINE void bytes_strip(const struct lqi_strip *w, size_t rows, float step,
                            const uint8_t table[16], const struct lqi_byte_x *x, size_t m,
                            float *out, size_t stride, int form, lqi_transpose_f32_fn *turn,
                            bytes_unit_fn *unit)
{
  const size_t groups = x->n / w->group;
  struct bytes_grids grids = {.at = {0}, .per = 16 / w->numbers};
  struct bytes_unit of = {.codes = w->codes, .row_bytes = w->row_bytes, .rows = rows};
  struct lqi_byte_x at = *x;
  for (size_t j = 0; j < m; j++)
    for (size_t l = 0; l < LQI_BYTE_ROWS; l++)
      out[j * stride + l] = 0.0f;
  for (size_t g = 0; g < groups; g++) {
    const float *grid = bytes_grid(w, rows, g, groups, turn, &grids);
    for (size_t l = 0; l < LQI_BYTE_ROWS; l++) {
      of.f[l] = grid[l] * step;
      of.z[l] = w->numbers == 2 ? (int32_t)grid[LQI_BYTE_ROWS + l] : 128 / x->times;
    }
    for (size_t k = 0; k < w->group; k += x->unit) {
      unit(&of, table, &at, m, out, stride);
      of.codes += x->unit / 8 * lqi_form_bits(form);
      at.q += x->unit * x->rows, at.t += x->rows, at.minus += x->rows;
    }
  }
}

/* The strip from its row `first` on. */
LQI_INLINE struct lqi_strip bytes_from(const struct lqi_strip *w, size_t first)
{
  struct lqi_strip to = *w;
  to.codes += first * w->row_bytes;
  to.grid += first * w->grid_step;
  return to;
}

/* A product as lqi_byte_dots_fn has it, by units. */
LQI_INLINE void bytes_walk(const struct lqi_strip *w, size_t rows, float step,
                           const struct lqi_byte_x *x, size_t m, float *out, size_t stride,
                           int form, lqi_transpose_f32_fn *turn, bytes_unit_fn *unit)
{
  uint8_t table[16];
  bytes_table(w, form, table);
  for (size_t r = 0; r < rows; r += LQI_BYTE_ROWS) {
    const struct lqi_strip strip = bytes_from(w, r);
    bytes_strip(&strip, rows - r < LQI_BYTE_ROWS ? rows - r : LQI_BYTE_ROWS, step, table, x, m,
                out + r, stride, form, turn, unit);
  }
}

/* Panel p of x, from the pointers of the first one. */
LQI_INLINE struct lqi_byte_x bytes_panel(const struct lqi_byte_x *x, size_t p)
{
  struct lqi_byte_x to = *x;
  to.q += p * x->rows * x->n;
  to.t += p * x->rows * (x->n / x->unit);
  to.minus += p * x->rows * (x->n / x->unit);
  return to;
}

#endif
