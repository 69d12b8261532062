/*
 * triangle.c - triangles in block rows: their size, and copies in another order.
 *
 * Owns: storage, not arithmetic.
 * Must not know: what a triangle means.
 */
#include "panel.h"

enum { GATHER_COLUMNS = 16, REVERSE_PIECE = 1 << 15 };

#define GATHER_PADDING SIZE_MAX

struct gather_plan {
  const double *sum;
  const uint32_t *order;
  const double *diagonal;
  double scale;
  size_t n, padded;
  int reversed;
};

/* The row of the sums that row p of the result comes from. */
LQI_INLINE size_t gather_source(const struct gather_plan *plan, size_t p)
{
  size_t at = plan->reversed ? plan->padded - 1 - p : p;
  if (at >= plan->n)
    return GATHER_PADDING;
  return plan->order != NULL ? plan->order[at] : at;
}

/* Row i of the sums, read once in order: what follows reads it in an order nobody foresees. */
static const double *gather_row(const struct gather_plan *plan, size_t i)
{
  const double *row = plan->sum + lqi_lower_at(i, 0);
  for (size_t j = 0; j <= i; j += LQI_ALIGNMENT / sizeof *row)
    (void)*(const volatile double *)(row + j);
  return row;
}

int lqi_triangle_size(uint64_t n, uint64_t *padded, uint64_t *elements)
{
  if (n > UINT32_MAX - LQI_BLOCK)
    return 1;
  *padded = lqi_ceil_div(n, LQI_BLOCK) * LQI_BLOCK;
  *elements = *padded / 2 * (*padded + LQI_BLOCK);
  return *elements > SIZE_MAX / 2 / sizeof(double);
}

#define REAL float
#define F(name) name##_f32
#include "triangle_real.h"
#undef REAL
#undef F

#define REAL double
#define F(name) name##_f64
#include "triangle_real.h"
