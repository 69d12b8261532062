/*
 * factor.c - Cholesky factor and triangular inverse, in place, in block rows.
 *
 * Owns: the squares on the diagonal, in binary64; factor_real.h has the rest.
 * Must not know: why a matrix is factored.
 *
 * Right-looking: a strip of 256 columns is finished, then everything beyond it is updated by one
 * product. Inside the strip, steps of 64 columns: their square is factored and inverted, the rows
 * below are multiplied by its inverse. Both happen in binary64, where the inverse costs no accuracy
 * that binary32 could see; it is a small part of the work (192 / n) at half the speed.
 */
#include "panel.h"

#include <float.h>
#include <math.h>

/* Columns of a step, of a part of its square; columns of a task of the inverse. */
enum { STEP = 64, INNER = 16, INVERT_COLUMNS = 192 };

/* Work space for the square of a step. */
struct squares {
  double l[STEP * STEP], inverse[STEP * STEP];
  double inner[INNER * STEP];
  double factor[STEP * (STEP + LQI_MOST_F64)]; /* the inverse, packed for the tasks of the step */
  double left[STEP * (STEP + LQI_MOST_F64)], right[STEP * (STEP + LQI_MOST_F64)];
};

/* And for a task beside or below it: one tile's part of a step, and what comes out. */
union step_room {
  struct {
    double left[STEP * LQI_MOST_ROWS], solved[LQI_MOST_ROWS * STEP];
    float packed[STEP * LQI_MOST_ROWS];
  } rows;
  struct {
    double right[STEP * LQI_MOST_F64], solved[LQI_MOST_ROWS * LQI_MOST_F64];
  } columns;
};

/* L of 16 columns in place, the lower triangle; 0, or the number of the column that fails. */
static size_t inner_cholesky(double *l)
{
  for (size_t k = 0; k < INNER; k++) {
    double column[INNER], pivot = l[k * STEP + k];
    if (!(pivot > 0.0 && pivot <= DBL_MAX))
      return k + 1;
    l[k * STEP + k] = sqrt(pivot);
    for (size_t i = k + 1; i < INNER; i++)
      column[i] = l[i * STEP + k] /= l[k * STEP + k];
    for (size_t i = k + 1; i < INNER; i++)
      for (size_t j = k + 1; j <= i; j++)
        l[i * STEP + j] -= column[i] * column[j];
  }
  return 0;
}

/* Rows of the inverse by forward substitution, all columns of the identity at once. */
static void inner_invert(const double *l, double *inverse)
{
  for (size_t i = 0; i < INNER; i++) {
    double *row = inverse + i * STEP;
    for (size_t j = 0; j < INNER; j++)
      row[j] = i == j ? 1.0 : 0.0;
    for (size_t k = 0; k < i; k++)
      for (size_t j = 0; j <= k; j++)
        row[j] -= l[i * STEP + k] * inverse[k * STEP + j];
    for (size_t j = 0; j <= i; j++)
      row[j] /= l[i * STEP + i];
  }
}

/*
 * Products inside of a square, sizes up to STEP: c [m, n] = or -= a [m, k] b, with b [k, n] or,
 * transposed, [n, k]. c may be a.
 */
static void square_product(const struct lqi_kernels *kern, struct squares *squares, size_t m,
                           size_t n, size_t k, const double *a, const double *b, int transposed,
                           double *c, int mode)
{
  const size_t width = kern->tiles.columns_f64;
  const struct lqi_region all = {0, m, 0, n};
  double *left = squares->left, *right = squares->right;
  for (size_t i = 0; i < m; i += width)
    kern->tiles.transpose_f64(a + i * STEP, STEP, lqi_least(width, m - i), k, left + i * k, width);
  for (size_t j = 0; j < n; j += width)
    if (transposed)
      kern->tiles.transpose_f64(b + j * STEP, STEP, lqi_least(width, n - j), k, right + j * k,
                                width);
    else
      lqi_panel_from_rows_f64(b + j, STEP, k, lqi_least(width, n - j), width, right + j * k);
  lqi_product_f64(kern, left, right, k, k, all, c, STEP, mode, 0);
}

/* L of a square in the place of its lower triangle; 0, or the number of the column that fails. */
static size_t square_cholesky(const struct lqi_kernels *kern, struct squares *squares)
{
  double *inverse = squares->inner;
  for (size_t s = 0; s < STEP; s += INNER) {
    double *rows = squares->l + s * STEP, *below = rows + INNER * STEP + s;
    square_product(kern, squares, STEP - s, INNER, s, rows, rows, 1, rows + s, LQI_TILE_SUB);
    size_t failed = inner_cholesky(rows + s);
    if (failed != 0)
      return s + failed;
    if (s + INNER == STEP)
      break;
    inner_invert(rows + s, inverse);
    square_product(kern, squares, STEP - s - INNER, INNER, INNER, below, inverse, 1, below,
                   LQI_TILE_SET);
  }
  return 0;
}

/* The inverse of a lower triangle, zeros above the diagonal. */
static void square_invert(const struct lqi_kernels *kern, struct squares *squares)
{
  double *product = squares->inner, *inverse = squares->inverse;
  for (size_t i = 0; i < STEP * STEP; i++)
    inverse[i] = 0.0;
  for (size_t s = 0; s < STEP; s += INNER) {
    const double *l = squares->l + s * STEP;
    double *rows = inverse + s * STEP;
    inner_invert(l + s, rows + s);
    square_product(kern, squares, INNER, s, s, l, inverse, 0, product, LQI_TILE_SET);
    square_product(kern, squares, INNER, s, INNER, rows + s, product, 0, rows, LQI_TILE_SUB);
  }
}

/* The transposed inverse as a right factor of the f64 tiles. */
static void square_pack_transposed(const struct lqi_kernels *kern, struct squares *squares)
{
  const size_t columns = kern->tiles.columns_f64;
  for (size_t j = 0; j < STEP; j += columns)
    kern->tiles.transpose_f64(squares->inverse + j * STEP, STEP, lqi_least(columns, STEP - j), STEP,
                              squares->factor + j * STEP, columns);
}

/* The squares, a room for each STEP rows, panels; n below 2^32 keeps it within 64 bits. */
uint64_t lqi_factor_scratch(uint64_t n, size_t element)
{
  if (n > UINT32_MAX - LQI_BLOCK)
    return 0;
  n = lqi_ceil_div(n, LQI_BLOCK) * LQI_BLOCK;
  uint64_t bytes = sizeof(struct squares) + n / STEP * sizeof(union step_room) +
                   (n + STEP + 3 * LQI_MOST_COLUMNS) * LQI_DEPTH * element;
  return bytes > SIZE_MAX / 2 ? 0 : bytes;
}

/* A tile's rows of STEP columns as a left factor in binary64. */
static void transpose_wide_f32(const struct lqi_kernels *kern, const float *c, size_t ld,
                               size_t rows, union step_room *room)
{
  double *left = room->rows.left;
  float *packed = room->rows.packed;
  kern->tiles.transpose_f32(c, ld, rows, STEP, packed, rows);
  for (size_t j = 0; j < STEP * rows; j++)
    left[j] = (double)packed[j];
}

static void transpose_wide_f64(const struct lqi_kernels *kern, const double *c, size_t ld,
                               size_t rows, union step_room *room)
{
  kern->tiles.transpose_f64(c, ld, rows, STEP, room->rows.left, rows);
}

#define REAL float
#define F(name) name##_f32
#define PRODUCT lqi_product_f32
#define FROM_ROWS lqi_panel_from_rows_f32
#define TRANSPOSE transpose_f32
#define TILE_COLUMNS columns_f32
#define STRIP_CHUNK 3
#include "factor_real.h"
#undef REAL
#undef F
#undef PRODUCT
#undef FROM_ROWS
#undef TRANSPOSE
#undef TILE_COLUMNS
#undef STRIP_CHUNK

#define REAL double
#define F(name) name##_f64
#define PRODUCT lqi_product_f64
#define FROM_ROWS lqi_panel_from_rows_f64
#define TRANSPOSE transpose_f64
#define TILE_COLUMNS columns_f64
#define STRIP_CHUNK 2
#include "factor_real.h"
