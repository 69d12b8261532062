/*
 * grid.h - how a storing method lets another choose its codes: the grid of a group, the nearest
 * point of it, and where both are put.
 *
 * Owns: struct lqi_grid_ops, which a storing method fills or leaves out.
 * Must not know: who chooses, and by what rule.
 *
 * A row is cut into groups of columns with a grid each. What a grid's two numbers mean is the
 * method's affair: scale and zero point of affine, absmax of a code book.
 */
#ifndef LQI_GRID_H
#define LQI_GRID_H

#include "method.h"

/* Rows that are rounded together, one in each lane. */
#define LQI_LANES 32

struct lqi_grid_ops {
  /* Columns of a group, the last of a row may be short; 0 with a reason if the shape does not fit.
   * */
  uint64_t (*group)(const struct lqi_store *store, struct lqi_text *why);

  /* The grid of n finite values x[i * stride]. */
  void (*range)(const struct lqi_params *params, const struct lqi_kernels *kern, const float *x,
                size_t n, size_t stride, struct lqi_grid *grid);

  /* The nearest codes of LQI_LANES values, each by its grid, and what they stand for. */
  void (*round)(const struct lqi_store *store, const struct lqi_kernels *kern, const float *scale,
                const float *zero, const float *w, uint8_t *codes, float *q);

  /* Codes of a row, a byte each, to their plane. Rows may be put at once. */
  void (*put_codes)(const struct lqi_store *store, uint64_t row, const uint8_t *codes);

  /* A grid to its planes, or, where scales will be nested, to job->scales. */
  void (*put_grid)(struct lqi_job *job, uint64_t row, uint64_t group, struct lqi_grid grid);

  /* All grids of a row, as decoding sees them. */
  void (*get_grids)(const struct lqi_store *store, const struct lqi_kernels *kern, uint64_t row,
                    struct lqi_grid *grid);
};

/* affine_grid.c, book_grid.c */
extern const struct lqi_grid_ops lqi_grid_affine, lqi_grid_nf4, lqi_grid_fp4;

#endif
