/*
 * gemm.c - products of ordinary matrices.
 *
 * Owns: the split into ranges of k, packing, and tasks.
 * Must not know: triangles.
 */
#include "panel.h"

/* What a task multiplies: about 8 panels of the right factor stay in L2 while rows go by. */
enum { GEMM_ROWS = 192, GEMM_COLUMNS = 384 };

struct gemm_job {
  const struct lqi_kernels *kern;
  const struct lqi_gemm *g;
  float *left, *right;
  size_t first, depth; /* the range of k */
  size_t left_panels, row_tasks;
  int mode;
};

static uint64_t gemm_panels(uint64_t n)
{
  return n + LQI_MOST_COLUMNS;
}

uint64_t lqi_gemm_scratch(uint64_t m, uint64_t n, uint64_t k)
{
  uint64_t columns, bytes;
  if (m > UINT64_MAX / 2 || n > UINT64_MAX / 2 - 2 * LQI_MOST_COLUMNS)
    return 0;
  columns = gemm_panels(m) + gemm_panels(n);
  return lqi_mul_overflows(columns, lqi_min_u64(k, LQI_DEPTH) * sizeof(float), &bytes) ||
                 bytes > SIZE_MAX / 2
             ? 0
             : bytes + LQI_ALIGNMENT;
}

/* Panels of the left factor first, then those of the right one. */
static void gemm_pack(void *arg, uint32_t task)
{
  const struct gemm_job *w = arg;
  const struct lqi_gemm *g = w->g;
  const size_t width = w->kern->tiles.columns_f32, k = w->first;
  lqi_transpose_f32_fn *const transpose = w->kern->tiles.transpose_f32;
  if (task < w->left_panels) {
    size_t i = task * width, rows = lqi_least(width, g->m - i);
    float *to = w->left + i * w->depth;
    transpose(g->a + i * g->lda + k, g->lda, rows, w->depth, to, width);
    lqi_panel_fill_f32(w->depth, rows, width, to);
    return;
  }
  size_t j = (task - w->left_panels) * width, columns = lqi_least(width, g->n - j);
  float *to = w->right + j * w->depth;
  if (g->transposed)
    transpose(g->b + j * g->ldb + k, g->ldb, columns, w->depth, to, width);
  else
    lqi_panel_from_rows_f32(g->b + k * g->ldb + j, g->ldb, w->depth, columns, width, to);
  lqi_panel_fill_f32(w->depth, columns, width, to);
}

static void gemm_multiply(void *arg, uint32_t task)
{
  const struct gemm_job *w = arg;
  const struct lqi_gemm *g = w->g;
  size_t i = task % w->row_tasks * GEMM_ROWS, j = task / w->row_tasks * GEMM_COLUMNS;
  struct lqi_region at = {i, lqi_least(i + GEMM_ROWS, g->m), j, lqi_least(j + GEMM_COLUMNS, g->n)};
  lqi_product_f32(w->kern, w->left, w->right, w->depth, w->depth, at, g->c + i * g->ldc + j, g->ldc,
                  w->mode, 0);
}

static void gemm_clear(const struct lqi_gemm *g)
{
  for (size_t i = 0; i < g->m; i++)
    for (size_t j = 0; j < g->n; j++)
      g->c[i * g->ldc + j] = 0.0f;
}

void lqi_gemm_f32(const struct lqi_kernels *kern, const struct lqi_gemm *g, void *scratch,
                  const struct lqi_par *par)
{
  const size_t width = kern->tiles.columns_f32;
  struct gemm_job w = {kern, g, scratch, NULL, 0, 0, 0, 0, g->mode};
  if (g->m == 0 || g->n == 0)
    return;
  if (g->k == 0) {
    if (g->mode == LQI_TILE_SET)
      gemm_clear(g);
    return;
  }
  w.left_panels = (size_t)lqi_ceil_div(g->m, width);
  w.row_tasks = (size_t)lqi_ceil_div(g->m, GEMM_ROWS);
  w.right = w.left + w.left_panels * width * lqi_least(g->k, LQI_DEPTH);
  for (; w.first < g->k; w.first += w.depth) {
    w.depth = lqi_least(LQI_DEPTH, g->k - w.first);
    uint64_t work = (uint64_t)g->m * g->n * w.depth;
    lqi_run(par, work, w.left_panels + lqi_ceil_div(g->n, width), gemm_pack, &w);
    lqi_run(par, work, w.row_tasks * lqi_ceil_div(g->n, GEMM_COLUMNS), gemm_multiply, &w);
    if (w.mode == LQI_TILE_SET)
      w.mode = LQI_TILE_ADD;
  }
}

size_t lqi_panels_f32(const struct lqi_kernels *kern, size_t n)
{
  return lqi_round_up(n, kern->tiles.columns_f32);
}

void lqi_pack_f32(const struct lqi_kernels *kern, const float *x, size_t ld, size_t depth, size_t n,
                  float *out)
{
  const size_t width = kern->tiles.columns_f32;
  for (size_t j = 0; j < n; j += width) {
    size_t columns = lqi_least(width, n - j);
    lqi_panel_from_rows_f32(x + j, ld, depth, columns, width, out + j * depth);
    lqi_panel_fill_f32(depth, columns, width, out + j * depth);
  }
}

/* A panel of B stays in L1 while all of A goes by. */
void lqi_packed_add_f32(const struct lqi_kernels *kern, const struct lqi_packed_product *p)
{
  const size_t width = kern->tiles.columns_f32, rows = kern->tiles.rows;
  for (size_t j = 0; j < p->n; j += width)
    for (size_t i = 0; i < p->m; i += rows)
      kern->tiles.f32(p->depth, p->a + lqi_panel_at(p->step, p->depth, i), p->step,
                      p->b + j * p->depth, p->c + i * p->ldc + j, p->ldc, lqi_least(rows, p->m - i),
                      lqi_least(width, p->n - j), LQI_TILE_ADD);
}
