/*
 * affine_grid.c - affine for methods that choose its codes.
 *
 * Owns: rounding to a uniform grid, a value in each lane.
 * Must not know: who chooses.
 */
#include "affine.h"
#include "grid.h"

static uint64_t affine_group(const struct lqi_store *store, struct lqi_text *why)
{
  (void)why;
  return store->group_size != 0 ? store->group_size : store->shape.cols;
}

static void affine_range(const struct lqi_params *params, const struct lqi_kernels *kern,
                         const float *x, size_t n, size_t stride, struct lqi_grid *grid)
{
  lqi_affine_range(params, kern, x, n, stride, NULL, grid);
}

static void affine_round(const struct lqi_store *store, const struct lqi_kernels *kern,
                         const float *scale, const float *zero, const float *w, uint8_t *codes,
                         float *q)
{
  kern->aff_round(w, scale, zero, (float)((1u << store->bits) - 1u), codes, q);
}

static void affine_put_grid(struct lqi_job *job, uint64_t row, uint64_t group, struct lqi_grid grid)
{
  const struct lqi_store *store = job->store;
  uint64_t at = row * store->groups + group;
  if (store->nested_block_size == 0) {
    lqi_note_overflow(job, row * store->shape.cols, grid.scale);
    lqi_affine_put_grid(store, row, group, grid);
    return;
  }
  job->scales[at] = grid.scale;
  if (!store->symmetric)
    ((uint8_t *)store->plane[LQI_ZEROS].data)[at] = (uint8_t)grid.zero;
}

static void affine_get_grids(const struct lqi_store *store, const struct lqi_kernels *kern,
                             uint64_t row, struct lqi_grid *grid)
{
  lqi_affine_get_grids(store, kern, row, 0, (size_t)store->groups, grid);
}

const struct lqi_grid_ops lqi_grid_affine = {
    .group = affine_group,
    .range = affine_range,
    .round = affine_round,
    .put_codes = lqi_affine_put_codes,
    .put_grid = affine_put_grid,
    .get_grids = affine_get_grids,
};
