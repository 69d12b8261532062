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
#define TRIES (2 * STEPS)
#define CHAINS 16

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

/* All grids that are tried, in order; returns their number. */
static size_t tries_of(const struct lqi_params *params, float lo, float hi, struct lqi_grid *grid)
{
  size_t n = 0;
  mirror(params, &lo, &hi);
  for (int i = 0; i < STEPS; i++) {
    float p = (float)(1.0 - (double)i / STEPS_OF_ONE), low = p * lo, high = p * hi;
    grid[n] = lqi_affine_grid(params, low, high);
    if (params->bits == 2 && !params->symmetric) {
      grid[n + 1] = grid[n];
      grid[n + 1].zero = other_neighbour(-low / grid[n].scale, grid[n].zero, most_of(params));
      n++;
    }
    n++;
  }
  return n;
}

static float folded(float chain[CHAINS])
{
  for (size_t half = CHAINS / 2; half != 0; half /= 2)
    for (size_t l = 0; l < half; l++)
      chain[l] += chain[l + half];
  return chain[0];
}

static void search_range(const struct lqi_params *params, const struct values *from, size_t n,
                         float lo, float hi, struct lqi_grid *out)
{
  struct lqi_grid grid[TRIES];
  float chain[TRIES][CHAINS] = {{0}}, most = -lo > hi ? -lo : hi;
  const struct lqi_aff_loss loss = {most_of(params), boost_for(most), params->mse};
  if (most == 0.0f)
    return;
  size_t tries = tries_of(params, lo, hi, grid), best = 0;
  for (size_t at = 0; at < n; at += LQI_CHUNK) {
    float v[LQI_CHUNK];
    size_t part = n - at < LQI_CHUNK ? n - at : LQI_CHUNK;
    take_values(from, at, part, v);
    for (size_t i = 0; i < tries; i++)
      from->kern->aff_error(v, part, &grid[i], &loss, chain[i]);
  }
  float least = folded(chain[0]);
  for (size_t i = 1; i < tries; i++) {
    float sum = folded(chain[i]);
    if (sum < least) {
      least = sum;
      best = i;
    }
  }
  *out = grid[best];
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
