/*
 * panel.h - matrices packed for the tile kernels, and how work is dealt to tasks.
 *
 * Owns: the layout of panels.
 * Must not know: where the matrices come from or go to.
 *
 * A matrix of `depth` steps (k) and n columns is cut into panels of `width` columns, the width of
 * the tile kernel in use. A panel holds its columns step after step; it has room for `deep` steps,
 * of which the first `depth` are filled. The last panel is filled up with zeros. Since width is a
 * multiple of the tile's rows, any panel serves as the left and as the right factor of a product.
 */
#ifndef LQI_PANEL_H
#define LQI_PANEL_H

#include "linalg.h"

#include <string.h>

/* Steps of k that are summed in one chain. */
#define LQI_DEPTH 256

/* No tile is higher or wider. */
#define LQI_MOST_ROWS 16
#define LQI_MOST_COLUMNS 64
#define LQI_MOST_F64 32

/*
 * Below so many products, some 30 microseconds of them, a second thread costs more than it saves;
 * an element that is moved to another place takes as long as about so many products.
 */
#define LQI_SERIAL_WORK (1u << 21)
#define LQI_MOVE_WORK 32

LQI_INLINE size_t lqi_least(size_t a, size_t b)
{
  return a < b ? a : b;
}

LQI_INLINE size_t lqi_round_up(size_t a, size_t b)
{
  return (a + b - 1) / b * b;
}

/* Where step 0 of column i lies; step k is k * width further. */
LQI_INLINE size_t lqi_panel_at(size_t width, size_t deep, size_t i)
{
  return i / width * width * deep + i % width;
}

LQI_INLINE void lqi_run(const struct lqi_par *par, uint64_t work, uint64_t tasks, lq_task_fn task,
                        void *arg)
{
  static const struct lqi_par serial = {NULL, NULL, 1};
  lqi_parallel(work < LQI_SERIAL_WORK ? &serial : par, (uint32_t)tasks, task, arg);
}

/*
 * One panel of `columns` <= width columns from rows: step k is row k of x. (Panels whose columns
 * are rows of x are made by the kernels transpose_f32 and transpose_f64.) Fill puts zeros into the
 * columns that are left.
 */
#define LQI_DEFINE_PANELS(suffix, real) \
  LQI_INLINE void lqi_panel_fill_##suffix(size_t depth, size_t columns, size_t width, real *out) \
  { \
    for (size_t k = 0; columns < width && k < depth; k++) \
      for (size_t i = columns; i < width; i++) \
        out[k * width + i] = 0; \
  } \
  LQI_INLINE void lqi_panel_from_rows_##suffix(const real *x, size_t ld, size_t depth, \
                                               size_t columns, size_t width, real *out) \
  { \
    for (size_t k = 0; k < depth; k++) \
      memcpy(out + k * width, x + k * ld, columns * sizeof *x); \
  }

LQI_DEFINE_PANELS(f32, float)
LQI_DEFINE_PANELS(f64, double)

/* Rows i0 <= i < i1 and columns j0 <= j < j1. */
struct lqi_region {
  size_t i0, i1, j0, j1;
};

/*
 * Tiles of the product of two packed matrices: rows i of c come from columns i of `left`, columns j
 * from columns j of `right`; c is the place of (i0, j0). With `lower`, tiles that are wholly above
 * the diagonal i = j are left out, and what lies above it inside of others is written but means
 * nothing. i0 is a multiple of the tile's rows, j0 and j1 of its grain unless j1 is the edge of the
 * matrix.
 */
#define LQI_DEFINE_PRODUCT(suffix, real, tile, panel_columns, panel_grain) \
  LQI_INLINE void lqi_product_##suffix( \
      const struct lqi_kernels *kern, const real *left, const real *right, size_t deep, \
      size_t depth, struct lqi_region at, real *c, size_t ldc, int mode, int lower) \
  { \
    const size_t rows = kern->tiles.rows, width = kern->tiles.panel_columns; \
    for (size_t i = at.i0; depth != 0 && i < at.i1; i += rows, c += rows * ldc) { \
      size_t end = lqi_least(lqi_round_up(i + rows, kern->tiles.panel_grain), at.j1); \
      const real *a = left + lqi_panel_at(width, deep, i); \
      end = lower ? end : at.j1; \
      for (size_t j = at.j0, next; j < end; j = next) { \
        next = lqi_least((j / width + 1) * width, end); \
        kern->tiles.tile(depth, a, width, right + lqi_panel_at(width, deep, j), c + (j - at.j0), \
                         ldc, lqi_least(rows, at.i1 - i), next - j, mode); \
      } \
    } \
  }

LQI_DEFINE_PRODUCT(f32, float, f32, columns_f32, grain_f32)
LQI_DEFINE_PRODUCT(f64, double, f64, columns_f64, grain_f64)

/*
 * Tasks that cover a triangle: squares of `chunk` block columns and one block row, from block
 * `first` on, of `blocks` block rows; column by column of squares, so that neighbours in the list
 * share the right factor.
 */
LQI_INLINE uint64_t lqi_triangle_tasks(size_t first, size_t blocks, size_t chunk)
{
  uint64_t tasks = 0;
  for (; first < blocks; first += chunk)
    tasks += blocks - first;
  return tasks;
}

/* The block row of task i; *first becomes the first block column. */
LQI_INLINE size_t lqi_triangle_task(size_t *first, size_t blocks, size_t chunk, size_t i)
{
  for (; i >= blocks - *first; *first += chunk)
    i -= blocks - *first;
  return *first + i;
}

#endif
