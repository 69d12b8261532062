/*
 * moments.c - sums of x x^T over the rows of calibration, of (y - x) x^T over pairs of rows.
 *
 * Owns: the rows that wait, the triangle and the square in binary64, how they are merged.
 * Must not know: what is done with the sums.
 */
#include "panel.h"

/*
 * Block columns of a task: their sums and their part of the right factor stay in L2. What waits
 * is two ranges of 256 rows, so that sums travel from memory half as often as they are added to.
 */
enum { MOMENTS_CHUNK = 3 };

/* Panels of a task that packs. */
enum { MOMENTS_TAKE = 8 };

static uint64_t moments_panel_bytes(uint64_t n)
{
  return (n + LQI_MOST_COLUMNS) * LQI_MOMENTS_WAITING * sizeof(float);
}

uint64_t lqi_moments_bytes(uint64_t n)
{
  uint64_t padded, elements;
  if (lqi_triangle_size(n, &padded, &elements))
    return 0;
  return elements * sizeof(double) + moments_panel_bytes(padded);
}

lq_status lqi_moments_create(struct lqi_moments *h, const struct lqi_mem *mem,
                             const struct lqi_kernels *kern, uint64_t n)
{
  uint64_t padded, elements;
  *h = (struct lqi_moments){.mem = *mem, .kern = kern};
  if (lqi_triangle_size(n, &padded, &elements))
    return LQ_E_MEMORY;
  h->n = (size_t)n;
  h->padded = (size_t)padded;
  h->sum = lqi_alloc(mem, elements * sizeof(double));
  h->panel = lqi_alloc(mem, moments_panel_bytes(padded));
  if (h->sum == NULL || h->panel == NULL) {
    lqi_moments_destroy(h);
    return LQ_E_MEMORY;
  }
  for (size_t i = 0; i < elements; i++)
    h->sum[i] = 0.0;
  return LQ_OK;
}

static uint64_t moments_cross_bytes(const struct lqi_moments *h)
{
  return (uint64_t)h->padded * h->padded * sizeof(double);
}

lq_status lqi_moments_pair(struct lqi_moments *h)
{
  size_t elements = h->padded * h->padded;
  double *cross = lqi_alloc(&h->mem, moments_cross_bytes(h));
  float *other = lqi_alloc(&h->mem, moments_panel_bytes(h->padded));
  if (cross == NULL || other == NULL) {
    lqi_free(&h->mem, cross, moments_cross_bytes(h));
    lqi_free(&h->mem, other, moments_panel_bytes(h->padded));
    return LQ_E_MEMORY;
  }
  for (size_t i = 0; i < elements; i++)
    cross[i] = 0.0;
  h->cross = cross;
  h->other = other;
  return LQ_OK;
}

void lqi_moments_destroy(struct lqi_moments *h)
{
  if (h->cross != NULL) {
    lqi_free(&h->mem, h->cross, moments_cross_bytes(h));
    lqi_free(&h->mem, h->other, moments_panel_bytes(h->padded));
  }
  lqi_free(&h->mem, h->sum, lqi_lower_at(h->padded, 0) * sizeof(double));
  lqi_free(&h->mem, h->panel, moments_panel_bytes(h->padded));
  h->sum = h->cross = NULL;
  h->panel = h->other = NULL;
}

struct moments_job {
  struct lqi_moments *h;
  float *panel;
  const float *x;
  size_t rows, stride;
};

/* The new rows' columns of some panels, read in the order of memory; columns that only padding has
 * become zero. */
static void moments_take(void *arg, uint32_t task)
{
  const struct moments_job *w = arg;
  const struct lqi_moments *h = w->h;
  const size_t width = h->kern->tiles.columns_f32, first = task * MOMENTS_TAKE * width,
               end = lqi_least(first + MOMENTS_TAKE * width, h->padded);
  for (size_t k = 0; k < w->rows; k++)
    for (size_t i = first; i < end; i += width) {
      float *to = w->panel + i * LQI_MOMENTS_WAITING + (h->waiting + k) * width;
      size_t columns = i < h->n ? lqi_least(width, h->n - i) : 0;
      if (columns != 0)
        memcpy(to, w->x + k * w->stride + i, columns * sizeof *to);
      lqi_panel_fill_f32(1, columns, width, to);
    }
}

/* A part of one block row, in L2 while one range after another is added. */
static void moments_sum(void *arg, uint32_t task)
{
  const struct lqi_moments *h = arg;
  const struct lqi_tiles *tiles = &h->kern->tiles;
  const size_t width = tiles->columns_f32;
  size_t block = 0, b = lqi_triangle_task(&block, h->padded / LQI_BLOCK, MOMENTS_CHUNK, task);
  size_t j0 = block * LQI_BLOCK, j1 = j0 + MOMENTS_CHUNK * LQI_BLOCK, i0 = b * LQI_BLOCK;
  for (size_t k = 0; k < h->waiting; k += LQI_DEPTH)
    for (size_t i = i0; i < i0 + LQI_BLOCK; i += tiles->rows) {
      const float *left = h->panel + lqi_panel_at(width, LQI_MOMENTS_WAITING, i) + k * width;
      size_t end = lqi_least(lqi_round_up(i + tiles->rows, tiles->grain_f32), j1);
      for (size_t j = j0, next; j < end; j = next) {
        const float *right = h->panel + lqi_panel_at(width, LQI_MOMENTS_WAITING, j) + k * width;
        next = lqi_least((j / width + 1) * width, end);
        tiles->sum(lqi_least(LQI_DEPTH, h->waiting - k), left, width, right,
                   h->sum + lqi_lower_at(i, j), lqi_lower_ld(i), tiles->rows, next - j);
      }
    }
}

/* The y of one panel that wait become what they are more than their x: the difference is taken
 * before any product, where little of it is lost. */
static void moments_subtract(void *arg, uint32_t task)
{
  const struct lqi_moments *h = arg;
  const size_t width = h->kern->tiles.columns_f32, at = task * width * LQI_MOMENTS_WAITING;
  for (size_t i = at; i < at + h->waiting * width; i++)
    h->other[i] -= h->panel[i];
}

/* As moments_sum, of the square: a block row of it and some block columns. */
static void moments_sum_cross(void *arg, uint32_t task)
{
  const struct lqi_moments *h = arg;
  const struct lqi_tiles *tiles = &h->kern->tiles;
  const size_t width = tiles->columns_f32, blocks = h->padded / LQI_BLOCK;
  size_t i0 = task % blocks * LQI_BLOCK, j0 = task / blocks * MOMENTS_CHUNK * LQI_BLOCK;
  size_t j1 = lqi_least(j0 + MOMENTS_CHUNK * LQI_BLOCK, h->padded);
  for (size_t k = 0; k < h->waiting; k += LQI_DEPTH)
    for (size_t i = i0; i < i0 + LQI_BLOCK; i += tiles->rows) {
      const float *left = h->other + lqi_panel_at(width, LQI_MOMENTS_WAITING, i) + k * width;
      for (size_t j = j0, next; j < j1; j = next) {
        const float *right = h->panel + lqi_panel_at(width, LQI_MOMENTS_WAITING, j) + k * width;
        next = lqi_least((j / width + 1) * width, j1);
        tiles->sum(lqi_least(LQI_DEPTH, h->waiting - k), left, width, right,
                   h->cross + i * h->padded + j, h->padded, tiles->rows, next - j);
      }
    }
}

static void moments_flush_cross(struct lqi_moments *h, const struct lqi_par *par)
{
  uint64_t blocks = h->padded / LQI_BLOCK, elements = (uint64_t)h->padded * h->waiting;
  lqi_run(par, elements * LQI_MOVE_WORK, lqi_ceil_div(h->padded, h->kern->tiles.columns_f32),
          moments_subtract, h);
  lqi_run(par, elements * h->padded, blocks * lqi_ceil_div(blocks, MOMENTS_CHUNK),
          moments_sum_cross, h);
}

void lqi_moments_flush(struct lqi_moments *h, const struct lqi_par *par)
{
  uint64_t tasks = lqi_triangle_tasks(0, h->padded / LQI_BLOCK, MOMENTS_CHUNK);
  if (h->waiting == 0 || tasks == 0)
    return;
  lqi_run(par, (uint64_t)h->padded * h->padded / 2 * h->waiting, tasks, moments_sum, h);
  if (h->cross != NULL)
    moments_flush_cross(h, par);
  h->waiting = 0;
}

/* `y` NULL: rows without a pair. */
static void moments_rows(struct lqi_moments *h, const struct lqi_row_pairs *pairs, size_t rows,
                         const struct lqi_par *par)
{
  struct moments_job w = {h, h->panel, pairs->x, 0, pairs->x_stride};
  struct moments_job v = {h, h->other, pairs->y, 0, pairs->y_stride};
  uint64_t panels = lqi_ceil_div(h->padded, MOMENTS_TAKE * h->kern->tiles.columns_f32);
  h->rows += rows;
  if (h->n == 0)
    return;
  for (; rows != 0; rows -= w.rows, w.x += w.rows * w.stride) {
    w.rows = v.rows = lqi_least(rows, LQI_MOMENTS_WAITING - h->waiting);
    uint64_t work = (uint64_t)h->padded * w.rows * LQI_MOVE_WORK;
    lqi_run(par, work, panels, moments_take, &w);
    if (v.x != NULL) {
      lqi_run(par, work, panels, moments_take, &v);
      v.x += v.rows * v.stride;
    }
    h->waiting += w.rows;
    if (h->waiting == LQI_MOMENTS_WAITING)
      lqi_moments_flush(h, par);
  }
}

void lqi_moments_add(struct lqi_moments *h, const float *x, size_t rows, size_t stride,
                     const struct lqi_par *par)
{
  moments_rows(h, &(struct lqi_row_pairs){.x = x, .x_stride = stride}, rows, par);
}

void lqi_moments_add_pairs(struct lqi_moments *h, const struct lqi_row_pairs *pairs, size_t rows,
                           const struct lqi_par *par)
{
  moments_rows(h, pairs, rows, par);
}

void lqi_moments_diagonal(const struct lqi_moments *h, double *out)
{
  for (size_t i = 0; i < h->n; i++)
    out[i] = h->sum[lqi_lower_at(i, i)];
}

static float moments_waiting_in(const struct lqi_moments *h, const float *panel, size_t k, size_t i)
{
  const size_t width = h->kern->tiles.columns_f32;
  return panel[lqi_panel_at(width, LQI_MOMENTS_WAITING, i) + k * width];
}

float lqi_moments_waiting(const struct lqi_moments *h, size_t k, size_t i)
{
  return moments_waiting_in(h, h->panel, k, i);
}

float lqi_moments_waiting_other(const struct lqi_moments *h, size_t k, size_t i)
{
  return moments_waiting_in(h, h->other, k, i);
}

int lqi_moments_are_equal(const struct lqi_moments *h)
{
  size_t elements = h->padded * h->padded;
  for (size_t i = 0; i < elements; i++)
    if (h->cross[i] != 0.0)
      return 0;
  return 1;
}

struct moments_pair {
  double *sum;
  const double *other;
  size_t elements;
};

enum { MERGE_PIECE = 1 << 16 };

static void moments_join(void *arg, uint32_t task)
{
  const struct moments_pair *p = arg;
  size_t first = (size_t)task * MERGE_PIECE, end = lqi_least(first + MERGE_PIECE, p->elements);
  for (size_t i = first; i < end; i++)
    p->sum[i] += p->other[i];
}

lq_status lqi_moments_merge(struct lqi_moments *h, const struct lqi_moments *from,
                            const struct lqi_par *par)
{
  size_t n = h->n, bytes = 2 * n * sizeof(float);
  float *row = lqi_alloc(&h->mem, bytes);
  if (row == NULL)
    return LQ_E_MEMORY;
  struct lqi_row_pairs last = {row, h->cross != NULL ? row + n : NULL, n, n};
  struct moments_pair pair = {h->sum, from->sum, lqi_lower_at(h->padded, 0)};
  struct moments_pair square = {h->cross, from->cross, h->padded * h->padded};
  lqi_moments_flush(h, par);
  lqi_run(par, pair.elements, lqi_ceil_div(pair.elements, MERGE_PIECE), moments_join, &pair);
  if (h->cross != NULL)
    lqi_run(par, square.elements, lqi_ceil_div(square.elements, MERGE_PIECE), moments_join,
            &square);
  h->rows += from->rows - from->waiting;
  for (size_t k = 0; k < from->waiting; k++) {
    for (size_t i = 0; i < n; i++) {
      row[i] = lqi_moments_waiting(from, k, i);
      if (last.y != NULL)
        row[n + i] = lqi_moments_waiting_other(from, k, i);
    }
    moments_rows(h, &last, 1, par);
  }
  lqi_free(&h->mem, row, bytes);
  return LQ_OK;
}
