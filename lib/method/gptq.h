/*
 * gptq.h - the pieces of GPTQ: rounding rows with feedback, and what it cost.
 *
 * Owns: nothing but declarations shared by gptq*.c.
 * Must not know: files, public handles.
 */
#ifndef LQI_GPTQ_H
#define LQI_GPTQ_H

#include "calibration.h"
#include "grid.h"

/* Rounding one tensor: what all tasks read. */
struct lqi_gptq {
  struct lqi_job *job;
  const struct lqi_grid_ops *grid;
  const struct lqi_factor *factor;
  uint64_t group, groups;   /* columns of a group, groups of a row */
  uint32_t *position_group; /* group of the column at each position */
  int fixed;                /* grids are fixed before the loop */
};

/* Grids of rows first .. of the weights as they are, to their planes. */
void lqi_gptq_grids(const struct lqi_gptq *g, uint64_t first, uint64_t count, float *room);

/* Floats of work space for `rows` rows. */
uint64_t lqi_gptq_room(const struct lqi_gptq *g, uint64_t rows);

/* Rounds rows first .. first + count - 1 and puts their codes. */
void lqi_gptq_rows(const struct lqi_gptq *g, uint64_t first, uint64_t count, float *room);

/* One row of the source as f32, as the policy for values that are not finite has it. */
void lqi_gptq_load(const struct lqi_job *job, uint64_t row, float *out);

/* Errors in the measure of H of the finished store, of nearest rounding, and of zero: job->error,
 * error_nearest, energy. LQ_E_MEMORY. */
lq_status lqi_gptq_measure(const struct lqi_gptq *g, const struct lqi_calibration *c);

#endif
