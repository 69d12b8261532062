/*
 * shape.c - the dimensions of a tensor, checked once.
 *
 * Owns: element counts that cannot overflow.
 * Must not know: what the elements are.
 */
#include "shape.h"

#define MOST_ELEMENTS (UINT64_C(1) << 59)

lq_status lqi_shape_set(struct lqi_shape *shape, uint32_t ndim, const uint64_t *dims)
{
  *shape = (struct lqi_shape){.ndim = ndim, .count = 1, .rows = 1, .cols = 1};
  if (ndim > LQ_MAX_DIMS || (ndim != 0 && dims == NULL))
    return LQ_E_ARGUMENT;
  uint64_t bound = 1;
  for (uint32_t i = 0; i < ndim; i++) {
    if (dims[i] != 0 && (lqi_mul_overflows(bound, dims[i], &bound) || bound >= MOST_ELEMENTS))
      return LQ_E_OVERFLOW;
    shape->dim[i] = dims[i];
    shape->count *= dims[i];
    if (i + 1 < ndim)
      shape->rows *= dims[i];
    else
      shape->cols = dims[i];
  }
  return LQ_OK;
}

int lqi_shape_equal(const struct lqi_shape *a, const struct lqi_shape *b)
{
  if (a->ndim != b->ndim)
    return 0;
  for (uint32_t i = 0; i < a->ndim; i++)
    if (a->dim[i] != b->dim[i])
      return 0;
  return 1;
}
