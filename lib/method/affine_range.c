/*
 * affine_range.c - the grid of a group: full range, or the smaller one that errs least.
 *
 * Owns: the rules for f32 scales, and the search.
 * Must not know: codes, planes.
 *
 * The search is that of the GPTQ programs: ranges of 100, 99, .. 21 hundredths of the full one, the
 * error sum |value(code(x)) - x|^mse over the group, the first of the least errors. Where 2 bits
 * are not symmetric, the other neighbour of the zero point's exact place is tried as well.
 */
#include "affine.h"

#include "../core/cpu.h"

#include <float.h>

#define STEPS 80
#define STEPS_OF_ONE 100
#define CHAINS 16

/* Grids that are tried at a time, a divisor of the steps; values of a group that are kept. */
#define TRIES 4
#define HELD 128

/* Where the values of a group come from: an array of f32, or the source of a job. */
struct values {
  const struct lqi_kernels *kern;
  const float *x;
  size_t stride;
  const uint32_t *index;
  const struct lqi_job *job;
  uint64_t first;
  float limit;
};

static void take_values(const struct values *from, size_t at, size_t n, float *v)
{
  if (from->job != NULL) {
    lqi_load_chunk(from->job, from->first + at, n, from->limit, v);
    return;
  }
  if (from->index == NULL && from->stride == 1) {
    memcpy(v, from->x + at, n * sizeof *v);
    return;
  }
  for (size_t i = 0; i < n; i++)
    v[i] = from->x[(from->index != NULL ? from->index[at + i] : at + i) * from->stride];
}

static float most_of(const struct lqi_params *params)
{
  return (float)((1u << params->bits) - 1u);
}

/*
 * The range that a symmetric grid covers. The programs leave lo at 0 where no weight is negative,
 * and so cover half of it; compat does the same.
 */
static void mirror(const struct lqi_params *params, float *lo, float *hi)
{
  if (!params->symmetric)
    return;
  *hi = -*lo > *hi ? -*lo : *hi;
  if (params->compat != LQ_COMPAT_GPTQ || *lo < 0.0f)
    *lo = -*hi;
}

float lqi_affine_zero(float v, float most)
{
  v = v > 0.0f ? v : 0.0f;
  v = v < most ? v : most;
  return (v + 12582912.0f) - 12582912.0f;
}

/* compat gptq: f32 scales, rounded to f16 when they are stored; bounded if that is asked. */
static struct lqi_grid reference_grid(const struct lqi_params *params, float lo, float hi)
{
  float most = most_of(params);
  mirror(params, &lo, &hi);
  if (lo == 0.0f && hi == 0.0f) {
    lo = -1.0f;
    hi = 1.0f;
  }
  struct lqi_grid grid = {(hi - lo) / most, (float)(1u << (params->bits - 1u))};
  if (params->nonfinite == LQ_NONFINITE_SATURATE && grid.scale > 65504.0f)
    grid.scale = 65504.0f;
  if (!params->symmetric)
    grid.zero = lqi_affine_zero(-lo / grid.scale, most);
  return grid;
}

/*
 * Scales that will be nested are f32 as well; a group of zeros has none. They are bounded where a
 * code's distance from the zero point times the scale would overflow.
 */
static struct lqi_grid wide_grid(const struct lqi_params *params, float lo, float hi)
{
  float most = most_of(params), m = -lo > hi ? -lo : hi;
  struct lqi_grid grid = {hi / most - lo / most, (float)(1u << (params->bits - 1u))};
  if (params->symmetric)
    grid.scale = m / most * 2.0f;
  else if (grid.scale > 0.0f)
    grid.zero = lqi_affine_zero(-lo / grid.scale, most);
  float bound = FLT_MAX / (grid.zero > most - grid.zero ? grid.zero : most - grid.zero);
  grid.scale = bound < grid.scale ? bound : grid.scale;
  return grid;
}

struct lqi_grid lqi_affine_grid(const struct lqi_params *params, float lo, float hi)
{
  struct lqi_grid grid;
  uint16_t half;
  if (params->nested_block_size != 0)
    return wide_grid(params, lo, hi);
  if (params->compat == LQ_COMPAT_GPTQ)
    return reference_grid(params, lo, hi);
  lqi_kernels_at(LQI_LEVEL_SCALAR)
      ->aff_grid(&lo, &hi, 1, params->bits, params->symmetric, &grid, &half);
  return grid;
}

/* A power of two that brings m near 1: errors of very small weights must not vanish. */
static float boost_for(float m)
{
  uint32_t exponent = lqi_f32_bits(m) >> 23;
  exponent = exponent < 1 ? 1 : exponent > 253 ? 253 : exponent;
  return lqi_f32_from_bits((254u - exponent) << 23);
}

/* The other integer next to the exact place of the zero point. */
static float other_neighbour(float exact, float zero, float most)
{
  float low = zero > exact ? zero - 1.0f : zero, high = zero < exact ? zero + 1.0f : zero;
  low = low > 0.0f ? low : 0.0f;
  high = high < most ? high : most;
  return zero == low ? high : low;
}

static float folded(float chain[CHAINS])
{
  for (size_t half = CHAINS / 2; half != 0; half /= 2)
    for (size_t l = 0; l < half; l++)
      chain[l] += chain[l + half];
  return chain[0];
}

/* Some of the ranges that are tried: their grids, the sums of each. */
struct tries {
  struct lqi_grid grid[TRIES];
  float chain[TRIES][CHAINS];
};

/* The grids of ranges from `step` on, as many as there is room for; returns how many ranges. */
static int fill_tries(const struct lqi_params *params, float lo, float hi, int step,
                      struct tries *t)
{
  int both = params->bits == 2 && !params->symmetric, steps = both ? TRIES / 2 : TRIES;
  for (int i = 0; i < steps; i++) {
    struct lqi_grid *grid = t->grid + (both ? 2 * i : i);
    float p = (float)(1.0 - (double)(step + i) / STEPS_OF_ONE), low = p * lo, high = p * hi;
    *grid = lqi_affine_grid(params, low, high);
    if (both)
      grid[1] = (struct lqi_grid){grid->scale,
                                  other_neighbour(-low / grid->scale, grid->zero, most_of(params))};
  }
  memset(t->chain, 0, sizeof t->chain);
  return steps;
}

/*
 * The values of a group pass once over some of the grids, then over the next: a group of no more
 * than HELD is fetched once.
 */
static void search_range(const struct lqi_params *params, const struct values *from, size_t n,
                         float lo, float hi, struct lqi_grid *out)
{
  struct tries t;
  float held[HELD], most = -lo > hi ? -lo : hi, least = 0.0f;
  const struct lqi_aff_loss loss = {most_of(params), boost_for(most), params->mse};
  if (most == 0.0f)
    return;
  mirror(params, &lo, &hi);
  for (int step = 0, steps; step < STEPS; step += steps) {
    steps = fill_tries(params, lo, hi, step, &t);
    for (size_t at = 0; at < n; at += HELD) {
      size_t part = n - at < HELD ? n - at : HELD;
      if (step == 0 || n > HELD)
        take_values(from, at, part, held);
      for (size_t i = 0; i < TRIES; i++)
        from->kern->aff_error(held, part, &t.grid[i], &loss, t.chain[i]);
    }
    for (size_t i = 0; i < TRIES; i++) {
      float sum = folded(t.chain[i]);
      if ((step == 0 && i == 0) || sum < least) {
        least = sum;
        *out = t.grid[i];
      }
    }
  }
}

void lqi_affine_search(const struct lqi_job *job, uint64_t first, uint64_t n, float limit, float lo,
                       float hi, struct lqi_grid *grid)
{
  const struct values from = {.kern = job->kern, .job = job, .first = first, .limit = limit};
  search_range(job->params, &from, (size_t)n, lo, hi, grid);
}

/* Least and greatest of the values and 0. */
static void bounds_of(const struct values *from, size_t n, float *least, float *greatest)
{
  float lo = 0.0f, hi = 0.0f;
  if (from->index == NULL && from->stride == 1 && n != 0) {
    from->kern->aff_range[lqi_float_index(LQ_F32)](from->x, 1, n, least, greatest);
    if (*least == *least) /* NaN has no place among the others below */
      return;
  }
  for (size_t at = 0; at < n; at += LQI_CHUNK) {
    float v[LQI_CHUNK];
    size_t part = n - at < LQI_CHUNK ? n - at : LQI_CHUNK;
    take_values(from, at, part, v);
    for (size_t i = 0; i < part; i++) {
      lo = v[i] < lo ? v[i] : lo;
      hi = v[i] > hi ? v[i] : hi;
    }
  }
  *least = lo;
  *greatest = hi;
}

void lqi_affine_range(const struct lqi_params *params, const struct lqi_kernels *kern,
                      const float *x, size_t n, size_t stride, const uint32_t *index,
                      struct lqi_grid *grid)
{
  const struct values from = {.kern = kern, .x = x, .stride = stride, .index = index};
  float lo, hi;
  bounds_of(&from, n, &lo, &hi);
  *grid = lqi_affine_grid(params, lo, hi);
  if (params->mse != 0.0f)
    search_range(params, &from, n, lo, hi, grid);
}
