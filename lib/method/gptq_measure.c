/*
 * gptq_measure.c - what quantizing did to the output of a layer: tr(E H E^T) for the error E.
 *
 * Owns: the rows that are measured, and the products with H.
 * Must not know: how codes were chosen.
 *
 * All rows of a small tensor, 64 evenly spaced ones of a large one: the product with H of all rows
 * would take as long as rounding them. H is symmetric, so that its lower triangle, with all but the
 * diagonal taken twice, gives the same sums in half of the work.
 */
#include "gptq.h"

#define ROWS 64

/* Elements of H converted at once, in a loop that compilers turn into vectors. */
enum { CONVERTED = 8 };

enum { MEASURE_CHOSEN, MEASURE_NEAREST, MEASURE_WEIGHT, MEASURED };

struct measure {
  const struct lqi_gptq *g;
  const struct lqi_moments *h;
  uint64_t rows; /* measured */
  size_t n;
  float *x;     /* [MEASURED * rows][n]: two errors and the weights */
  float *y;     /* x times the triangle */
  float *strip; /* a block row of it */
  void *scratch;
};

static uint64_t measured_row(const struct measure *m, uint64_t i)
{
  return i * m->g->job->store->shape.rows / m->rows;
}

/* w less what the nearest codes of its own grids stand for. */
static void nearest_error(const struct measure *m, const float *w, float *error)
{
  const struct lqi_gptq *g = m->g;
  for (size_t at = 0; at < m->n; at += (size_t)g->group) {
    size_t count = (size_t)lqi_min_u64(g->group, m->n - at);
    struct lqi_grid grid;
    g->grid->range(g->job->params, g->job->kern, w + at, count, 1, &grid);
    for (size_t i = 0; i < count; i += LQI_LANES) {
      float scale[LQI_LANES], zero[LQI_LANES], v[LQI_LANES] = {0}, q[LQI_LANES];
      uint8_t codes[LQI_LANES];
      size_t lanes = count - i < LQI_LANES ? count - i : LQI_LANES;
      memcpy(v, w + at + i, lanes * sizeof *v);
      for (size_t l = 0; l < LQI_LANES; l++) {
        scale[l] = grid.scale;
        zero[l] = grid.zero;
      }
      g->grid->round(g->job->store, g->job->kern, scale, zero, v, codes, q);
      for (size_t l = 0; l < lanes; l++)
        error[at + i + l] = v[l] - q[l];
    }
  }
}

static void load_rows(const struct measure *m)
{
  const struct lqi_store *store = m->g->job->store;
  size_t n = m->n;
  for (uint64_t i = 0; i < m->rows; i++) {
    uint64_t row = measured_row(m, i);
    float *chosen = m->x + (MEASURE_CHOSEN * m->rows + i) * n;
    float *w = m->x + (MEASURE_WEIGHT * m->rows + i) * n;
    lqi_gptq_load(m->g->job, row, w);
    nearest_error(m, w, m->x + (MEASURE_NEAREST * m->rows + i) * n);
    store->method->decode(store, m->g->job->kern, row * n, n, LQ_F32, chosen, 0);
    for (size_t k = 0; k < n; k++)
      chosen[k] = w[k] - chosen[k];
  }
}

/* Rows i0.. of the triangle, `count` of them, columns up to the last of them, as f32; 0 above the
 * diagonal. */
static void load_strip(const struct measure *m, size_t i0, size_t count)
{
  const double scale = 2.0 / (double)m->h->rows, twice = 2.0 * scale;
  for (size_t i = i0; i < i0 + count; i++) {
    const double *sum = m->h->sum + lqi_lower_at(i, 0);
    float *row = m->strip + (i - i0) * m->n;
    size_t j = 0;
    for (; j + CONVERTED <= i; j += CONVERTED)
      for (size_t k = 0; k < CONVERTED; k++)
        row[j + k] = (float)(sum[j + k] * twice);
    for (; j < i; j++)
      row[j] = (float)(sum[j] * twice);
    row[j] = (float)(sum[j] * scale);
    for (j++; j < i0 + count; j++)
      row[j] = 0.0f;
  }
}

static void multiply(const struct measure *m)
{
  size_t n = m->n, rows = (size_t)(MEASURED * m->rows);
  memset(m->y, 0, rows * n * sizeof *m->y);
  for (size_t i = 0, count; i < n; i += count) {
    count = n - i < LQI_BLOCK ? n - i : LQI_BLOCK;
    load_strip(m, i, count);
    struct lqi_gemm g = {.m = rows,
                         .n = i + count,
                         .k = count,
                         .a = m->x + i,
                         .lda = n,
                         .b = m->strip,
                         .ldb = n,
                         .c = m->y,
                         .ldc = n,
                         .mode = LQI_TILE_ADD};
    lqi_gemm_f32(m->g->job->kern, &g, m->scratch, m->g->job->par);
  }
}

static double sum_of(const struct measure *m, uint64_t which)
{
  double sum = 0.0;
  size_t first = (size_t)(which * m->rows) * m->n, end = first + (size_t)m->rows * m->n;
  for (size_t i = first; i < end; i++)
    sum += (double)m->x[i] * (double)m->y[i];
  return sum * (double)m->g->job->store->shape.rows / (double)m->rows;
}

lq_status lqi_gptq_measure(const struct lqi_gptq *g, const struct lqi_calibration *c)
{
  struct lqi_job *job = g->job;
  struct measure m = {.g = g, .h = &c->moments, .n = c->moments.n};
  m.rows = lqi_min_u64(ROWS, job->store->shape.rows);
  if (m.rows == 0 || m.n == 0)
    return LQ_OK;
  uint64_t floats = (2 * MEASURED * m.rows + LQI_BLOCK) * m.n,
           bytes = (floats + 16) * sizeof(float) + lqi_gemm_scratch(MEASURED * m.rows, m.n, m.n);
  m.x = lqi_alloc(job->mem, bytes);
  if (m.x == NULL)
    return LQ_E_MEMORY;
  m.y = m.x + MEASURED * m.rows * m.n;
  m.strip = m.y + MEASURED * m.rows * m.n;
  m.scratch = m.x + (floats + 15) / 16 * 16;
  load_rows(&m);
  multiply(&m);
  job->error = sum_of(&m, MEASURE_CHOSEN);
  job->error_nearest = sum_of(&m, MEASURE_NEAREST);
  job->energy = sum_of(&m, MEASURE_WEIGHT);
  lqi_free(job->mem, m.x, bytes);
  return LQ_OK;
}
