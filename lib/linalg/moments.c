/*
 * moments.c - sums of x x^T over the rows of calibration.
 *
 * Owns: the rows that wait, the triangle in binary64, and its reordered copies.
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
  *h = (struct lqi_moments){*mem, kern, NULL, NULL, 0, 0, 0, 0};
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

void lqi_moments_destroy(struct lqi_moments *h)
{
  lqi_free(&h->mem, h->sum, lqi_lower_at(h->padded, 0) * sizeof(double));
  lqi_free(&h->mem, h->panel, moments_panel_bytes(h->padded));
  h->sum = NULL;
  h->panel = NULL;
}

struct moments_job {
  struct lqi_moments *h;
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
      float *to = h->panel + i * LQI_MOMENTS_WAITING + (h->waiting + k) * width;
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

void lqi_moments_flush(struct lqi_moments *h, const struct lqi_par *par)
{
  uint64_t tasks = lqi_triangle_tasks(0, h->padded / LQI_BLOCK, MOMENTS_CHUNK);
  if (h->waiting == 0 || tasks == 0)
    return;
  lqi_run(par, (uint64_t)h->padded * h->padded / 2 * h->waiting, tasks, moments_sum, h);
  h->waiting = 0;
}

void lqi_moments_add(struct lqi_moments *h, const float *x, size_t rows, size_t stride,
                     const struct lqi_par *par)
{
  struct moments_job w = {h, x, 0, stride};
  uint64_t panels = lqi_ceil_div(h->padded, MOMENTS_TAKE * h->kern->tiles.columns_f32);
  h->rows += rows;
  if (h->n == 0)
    return;
  for (; rows != 0; rows -= w.rows, w.x += w.rows * stride) {
    w.rows = lqi_least(rows, LQI_MOMENTS_WAITING - h->waiting);
    lqi_run(par, (uint64_t)h->padded * w.rows * LQI_MOVE_WORK, panels, moments_take, &w);
    h->waiting += w.rows;
    if (h->waiting == LQI_MOMENTS_WAITING)
      lqi_moments_flush(h, par);
  }
}

void lqi_moments_diagonal(const struct lqi_moments *h, double *out)
{
  for (size_t i = 0; i < h->n; i++)
    out[i] = h->sum[lqi_lower_at(i, i)];
}

float lqi_moments_waiting(const struct lqi_moments *h, size_t k, size_t i)
{
  const size_t width = h->kern->tiles.columns_f32;
  return h->panel[lqi_panel_at(width, LQI_MOMENTS_WAITING, i) + k * width];
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
  float *row = lqi_alloc(&h->mem, h->n * sizeof *row);
  struct moments_pair pair = {h->sum, from->sum, lqi_lower_at(h->padded, 0)};
  if (row == NULL)
    return LQ_E_MEMORY;
  lqi_moments_flush(h, par);
  lqi_run(par, pair.elements, lqi_ceil_div(pair.elements, MERGE_PIECE), moments_join, &pair);
  h->rows += from->rows - from->waiting;
  for (size_t k = 0; k < from->waiting; k++) {
    for (size_t i = 0; i < h->n; i++)
      row[i] = lqi_moments_waiting(from, k, i);
    lqi_moments_add(h, row, 1, h->n, par);
  }
  lqi_free(&h->mem, row, h->n * sizeof *row);
  return LQ_OK;
}
