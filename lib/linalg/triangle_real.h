/*
 * triangle_real.h - reordered and reversed triangles of one element type; triangle.c includes it
 * for each.
 *
 * Owns: the two walks over memory of a symmetric reordering.
 * Must not know: which type REAL is. F(name) makes names of it.
 */

#define GATHER struct F(gather)
#define REVERSAL struct F(reversal)

struct F(gather) {
  const struct gather_plan *plan;
  REAL *out;
};

/*
 * Elements whose source is in the row of their own row: a row of the sums is read here and there,
 * a row of the result is written in order.
 */
static void F(gather_rows)(void *arg, uint32_t task)
{
  const GATHER *g = arg;
  const struct gather_plan *plan = g->plan;
  for (size_t p = (size_t)task * LQI_BLOCK; p < ((size_t)task + 1) * LQI_BLOCK; p++) {
    size_t i = gather_source(plan, p), ld = lqi_lower_ld(p);
    REAL *row = g->out + lqi_lower_at(p, 0);
    const double *from = i == GATHER_PADDING ? NULL : gather_row(plan, i);
    for (size_t q = 0; q < p; q++) {
      size_t j = gather_source(plan, q);
      if (j == GATHER_PADDING || from == NULL)
        row[q] = 0;
      else if (j < i)
        row[q] = (REAL)(from[j] * plan->scale);
    }
    row[p] = from == NULL ? 1 : (REAL)plan->diagonal[i];
    for (size_t q = p + 1; q < ld; q++)
      row[q] = 0;
  }
}

/*
 * The others are in the row of their column: the sources of a few columns stay in L2 while rows of
 * the result go by, each written a line at a time.
 */
static void F(gather_columns)(void *arg, uint32_t task)
{
  const GATHER *g = arg;
  const struct gather_plan *plan = g->plan;
  const double *from[GATHER_COLUMNS];
  size_t first = (size_t)task * GATHER_COLUMNS, source[GATHER_COLUMNS];
  for (size_t t = 0; t < GATHER_COLUMNS; t++) {
    size_t j = gather_source(plan, first + t);
    source[t] = j == GATHER_PADDING ? 0 : j;
    from[t] = gather_row(plan, source[t]);
  }
  for (size_t p = first + 1; p < plan->padded; p++) {
    size_t i = gather_source(plan, p), columns = lqi_least(p - first, GATHER_COLUMNS);
    REAL *row = g->out + lqi_lower_at(p, first);
    if (i != GATHER_PADDING)
      for (size_t t = 0; t < columns; t++)
        if (source[t] > i)
          row[t] = (REAL)(from[t][i] * plan->scale);
  }
}

void F(lqi_moments_gather)(const struct lqi_moments *h, const uint32_t *order,
                           const double *diagonal, double scale, int reversed, REAL *out,
                           const struct lqi_par *par)
{
  const struct gather_plan plan = {h->sum, order, diagonal, scale, h->n, h->padded, reversed};
  GATHER g = {&plan, out};
  uint64_t work = (uint64_t)h->padded * h->padded * LQI_MOVE_WORK;
  if (h->n == 0)
    return;
  lqi_run(par, work, h->padded / LQI_BLOCK, F(gather_rows), &g);
  lqi_run(par, work, h->padded / GATHER_COLUMNS, F(gather_columns), &g);
}

struct F(reversal) {
  REAL *a;
  size_t elements;
};

static void F(reverse)(void *arg, uint32_t task)
{
  const REVERSAL *r = arg;
  size_t first = (size_t)task * REVERSE_PIECE,
         end = lqi_least(first + REVERSE_PIECE, r->elements / 2);
  for (size_t i = first; i < end; i++) {
    REAL *low = r->a + i, *high = r->a + (r->elements - 1 - i), kept = *low;
    *low = *high;
    *high = kept;
  }
}

void F(lqi_triangle_reverse)(REAL *a, size_t n, const struct lqi_par *par)
{
  REVERSAL r = {a, lqi_lower_at(n, 0)};
  lqi_run(par, (uint64_t)r.elements * LQI_MOVE_WORK, lqi_ceil_div(r.elements / 2, REVERSE_PIECE),
          F(reverse), &r);
}
