/*
 * pull.c - the product of cross moments with the inverses behind each row (linalg.h: lqi_pull).
 *
 * Owns: the walk over block rows, each computed by one worker from its own rows of D alone.
 * Must not know: what is pulled.
 */
#include "panel.h"

/* Work space of a block row: rows of D, of the product with U^T, and what the products need. */
struct pull_room {
  float *d, *m;
  void *scratch;
};

static uint64_t pull_even(uint64_t n)
{
  return (n + 15) / 16 * 16;
}

uint64_t lqi_pull_room(uint64_t n)
{
  return pull_even(LQI_BLOCK * n) + LQI_BLOCK * LQI_BLOCK +
         pull_even(lqi_ceil_div(lqi_gemm_scratch(LQI_BLOCK, n, n), sizeof(float)));
}

/* Rows first.. of D, columns from `first` on: those before are not asked for. */
static void pull_gather(const struct lqi_pull *p, size_t first, size_t rows, float *out)
{
  size_t n = p->h->n, width = n - first;
  for (size_t i = 0; i < rows; i++) {
    const double *from = p->h->cross + p->order[first + i] * p->h->padded;
    for (size_t j = 0; j < width; j++)
      out[i * width + j] = (float)(from[p->order[first + j]] * p->scale);
  }
}

/* The share of columns j.. of D U^T; in the block on the diagonal of those behind it alone. */
static void pull_share(const struct lqi_pull *p, size_t first, size_t rows, size_t j, size_t count,
                       float *m)
{
  for (size_t i = 0; i < rows; i++)
    for (size_t k = 0; k < count; k++)
      m[i * LQI_BLOCK + k] = j + k > first + i ? (float)(m[i * LQI_BLOCK + k] * p->share) : 0.0f;
}

/* One block row, block by block of U: its part of D U^T, and what that gives times U. */
static void pull_block(const struct lqi_pull *p, size_t first, const struct pull_room *room)
{
  static const struct lqi_par serial = {NULL, NULL, 1};
  const struct lqi_kernels *kern = p->h->kern;
  size_t n = p->h->n, padded = p->h->padded, ld = lqi_upper_ld(padded, first);
  size_t rows = lqi_least(LQI_BLOCK, n - first);
  float *out = p->out + lqi_upper_at(padded, first, first);
  memset(out, 0, LQI_BLOCK * ld * sizeof *out);
  pull_gather(p, first, rows, room->d);
  for (size_t j = first; j < n; j += LQI_BLOCK) {
    size_t count = lqi_least(LQI_BLOCK, n - j);
    struct lqi_gemm g = {.m = rows,
                         .n = count,
                         .k = n - j,
                         .a = room->d + (j - first),
                         .lda = n - first,
                         .b = p->upper + lqi_upper_at(padded, j, j),
                         .ldb = lqi_upper_ld(padded, j),
                         .c = room->m,
                         .ldc = LQI_BLOCK,
                         .transposed = 1,
                         .mode = LQI_TILE_SET};
    lqi_gemm_f32(kern, &g, room->scratch, &serial);
    pull_share(p, first, rows, j, count, room->m);
    g = (struct lqi_gemm){.m = rows,
                          .n = n - j,
                          .k = count,
                          .a = room->m,
                          .lda = LQI_BLOCK,
                          .b = g.b,
                          .ldb = g.ldb,
                          .c = out + (j - first),
                          .ldc = ld,
                          .mode = LQI_TILE_ADD};
    lqi_gemm_f32(kern, &g, room->scratch, &serial);
  }
}

/* Block rows are dealt in turn, so that work space goes with the task. */
static void pull_task(void *arg, uint32_t index)
{
  const struct lqi_pull *p = arg;
  size_t n = p->h->n;
  float *work = p->work + index * lqi_pull_room(n);
  struct pull_room room = {.d = work, .m = work + pull_even(LQI_BLOCK * n)};
  room.scratch = room.m + LQI_BLOCK * LQI_BLOCK;
  for (size_t first = index * LQI_BLOCK; first < n; first += p->workers * LQI_BLOCK)
    pull_block(p, first, &room);
}

void lqi_pull_f32(const struct lqi_pull *p, const struct lqi_par *par)
{
  struct lqi_pull own = *p;
  uint64_t n = p->h->n;
  lqi_run(par, n * n * n / 3, p->workers, pull_task, &own);
}
