/*
 * shape.h - the dimensions of a tensor, checked once.
 *
 * Owns: element counts that cannot overflow.
 * Must not know: what the elements are.
 */
#ifndef LQI_SHAPE_H
#define LQI_SHAPE_H

#include "base.h"

struct lqi_shape {
  uint32_t ndim;
  uint64_t dim[LQ_MAX_DIMS];
  uint64_t count; /* product of all; 1 for ndim 0; below 2^59, so that count * 8 bytes and sums of
                     planes fit int64 */
  uint64_t rows;  /* product of all but the last; 1 for ndim 0 and 1 */
  uint64_t cols;  /* the last; 1 for ndim 0 */
};

/*
 * LQ_E_ARGUMENT for too many dimensions or a missing array, LQ_E_OVERFLOW where the product of the
 * dimensions that are not zero is too large: a zero must not hide an overflow, whichever place it
 * has.
 */
lq_status lqi_shape_set(struct lqi_shape *shape, uint32_t ndim, const uint64_t *dims);

int lqi_shape_equal(const struct lqi_shape *a, const struct lqi_shape *b);

#endif
