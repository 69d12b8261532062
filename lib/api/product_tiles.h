/*
 * product_tiles.h - products by a unit that multiplies tiles (AMX), for whichever rows of bytes.
 *
 * Owns: the walk over blocks of W, panels of x and steps of columns, and the order of x in memory.
 * Must not know: what an element is; callers bring rows of W and take blocks of sums.
 */
#ifndef LQI_PRODUCT_TILES_H
#define LQI_PRODUCT_TILES_H

#include "../core/mem.h"
#include "../core/par.h"
#include "../kern/kern.h"

/* Rows of W in a band. */
#define LQI_TILES_BAND (2 * LQI_TILE_ROWS)

struct lqi_tiling {
  const struct lqi_kernels *kern;
  lqi_blocks_fn *multiply;
  uint64_t rows, m; /* of W, of x */
  uint64_t steps;   /* of LQI_TILE_STEP bytes a row */
  const uint8_t *x; /* lqi_tiles_x_bytes, aligned */
  void *arg;

  /* Steps `step` .. of rows row .. row + count - 1 of W: their bytes, `steps` whole ones a row, to
   * `to` at a distance of `stride`; where a row ends before, zeros. */
  void (*load)(void *arg, uint64_t row, uint64_t count, uint64_t step, uint64_t steps, uint8_t *to,
               size_t stride);

  /* Sums of rows i .. i + m - 1 of x with rows n .. n + count - 1 of W, at most LQI_TILE_ROWS each,
   * 4 bytes each: sums[j][LQI_TILE_ROWS]. Calls of different `task` may run at once. */
  void (*store)(void *arg, uint32_t task, uint64_t i, uint64_t m, uint64_t n, uint64_t count,
                float *sums);
};

/* Packed x: every panel of LQI_TILE_ROWS rows, filled up with zeros. */
uint64_t lqi_tiles_x_bytes(uint64_t m, uint64_t steps);

/* Packs rows first .. first + count - 1 of the panel that `first` is in from rows of steps *
 * LQI_TILE_STEP bytes each; all rows of a panel together. */
void lqi_tiles_pack(const struct lqi_kernels *kern, const uint8_t *rows, size_t stride,
                    uint64_t count, uint64_t steps, uint8_t *panel);

/* How many tasks there will be. */
uint32_t lqi_tiles_tasks(const struct lqi_tiling *t, const struct lqi_par *par);

/* LQ_E_MEMORY, and LQ_E_OVERFLOW, or all of `store` called. */
lq_status lqi_tiles_run(const struct lqi_tiling *t, const struct lqi_mem *mem,
                        const struct lqi_par *par);

#endif
