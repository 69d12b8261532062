/*
 * calibration.h - what a choosing method has seen of a layer's inputs, and the factor made of it.
 *
 * Owns: the moments, one factor, which serves all weights that share the input.
 * Must not know: weights, codes.
 */
#ifndef LQI_CALIBRATION_H
#define LQI_CALIBRATION_H

#include "../linalg/linalg.h"
#include "method.h"

/*
 * What feedback needs, in the order in which columns are rounded. With H, ordered and damped, = R
 * R^T, R upper:
 *   feedback of the original errors  upper(j, k) = R(j, k) / R(k, k)
 *   feedback of the running errors   upper(j, k) = U(j, k) / U(j, j), U = R^-1, negated
 * Both have a unit diagonal; in both an error e at position p costs e^2 * cost[p].
 */
struct lqi_factor {
  const struct lqi_kernels *kern; /* whose tiles multiply */
  uint32_t *order;                /* column at each position */
  float *upper;                   /* block rows; behind the square of each, panels of the rest */
  float *pull;                    /* input correction, likewise: row j times the value of column j,
                                     before it is rounded, is added to those behind; or NULL */
  double *cost;
  uint8_t *dead; /* by column: 1 where no input ever was other than 0 */
  size_t n, padded, dead_count;
  int running;    /* `upper` feeds back running errors */
  double damping; /* in force, as a share of the mean diagonal */
  double mean;    /* the mean diagonal of H: costs are in its units */
};

struct lqi_calibration {
  struct lqi_mem mem;
  struct lqi_moments moments;
  struct lqi_factor factor;
  struct lqi_params made_for; /* what the factor depends on, with `group` */
  uint64_t group;
  int has_factor;
};

/* For rows of `columns` elements, or pairs of such. LQ_E_MEMORY. */
lq_status lqi_calibration_create(const struct lqi_mem *mem, uint64_t columns, int paired,
                                 struct lqi_calibration **out);
void lqi_calibration_destroy(struct lqi_calibration *c); /* NULL is allowed */

/*
 * Block row b of a triangle of the factor: its square on the diagonal, row-major, LQI_BLOCK wide;
 * what is beyond follows as panels for tiles of f->kern (lqi_panels_f32).
 */
const float *lqi_factor_square(const struct lqi_factor *f, const float *triangle, size_t b);
const float *lqi_factor_beyond(const struct lqi_factor *f, const float *triangle, size_t b);

/* Whether it is of pairs of rows. */
int lqi_calibration_is_paired(const struct lqi_calibration *c);

/* Forgets the factor: the moments are about to change. */
void lqi_calibration_changed(struct lqi_calibration *c);

/*
 * The factor for these parameters, made or kept from before. LQ_E_MEMORY; LQ_E_SINGULAR where no
 * damping up to the whole mean diagonal helps, with the column in `why`; LQ_E_NONFINITE where the
 * two inputs of a pair are too far apart for f32.
 */
lq_status lqi_calibration_factor(struct lqi_calibration *c, const struct lqi_params *params,
                                 uint64_t group, const struct lqi_par *par, struct lqi_text *why);

/* A flat image of the moments, the same on every machine. */
uint64_t lqi_calibration_bytes(const struct lqi_calibration *c);
void lqi_calibration_save(const struct lqi_calibration *c, uint8_t *out);

/* LQ_E_LAYOUT if the bytes are not such an image, LQ_E_MEMORY. */
lq_status lqi_calibration_load(const struct lqi_mem *mem, const uint8_t *data, uint64_t bytes,
                               struct lqi_calibration **out, struct lqi_text *why);

/* As if the rows of `from` had come after those of c, which has as many columns and is paired if
 * `from` is. LQ_E_MEMORY. */
lq_status lqi_calibration_merge(struct lqi_calibration *c, const struct lqi_calibration *from,
                                const struct lqi_par *par);

#endif
