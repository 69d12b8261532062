/*
 * product_tiles.c - products by tiles: bands of W, a range of columns at a time, by all of x.
 *
 * Owns: work space, the turning of tiles into rows.
 * Must not know: elements, tensors.
 *
 * A band is 64 rows by 16 steps, 64 KiB, which a second-level cache holds beside the sums of some
 * hundred rows of x; half of it is in the first while all panels of x go by.
 */
#include "product_tiles.h"

#include <string.h>

#define TILES_STEPS 16
#define TILES_SUMS ((uint64_t)LQI_TILE_ROWS * LQI_TILE_ROWS) /* of a block and a panel */

/* Rows of W are an odd number of lines apart. */
#define TILES_STRIDE ((TILES_STEPS + 1) * LQI_TILE_STEP)

struct tiles_job {
  const struct lqi_tiling *t;
  uint64_t panels, bands_per_task, room;
  char *rooms;
};

static uint64_t tiles_panel_bytes(uint64_t steps)
{
  return steps * LQI_TILE_STEP * LQI_TILE_ROWS;
}

uint64_t lqi_tiles_x_bytes(uint64_t m, uint64_t steps)
{
  return lqi_ceil_div(m, LQI_TILE_ROWS) * tiles_panel_bytes(steps);
}

void lqi_tiles_pack(const struct lqi_kernels *kern, const uint8_t *rows, size_t stride,
                    uint64_t count, uint64_t steps, uint8_t *panel)
{
  const size_t words = LQI_TILE_STEP / sizeof(float);
  if (count < LQI_TILE_ROWS)
    memset(panel, 0, (size_t)tiles_panel_bytes(steps));
  for (uint64_t s = 0; s < steps; s++)
    for (uint64_t half = 0; half < 2 && half * 16 < count; half++) {
      const uint8_t *from = rows + half * 16 * stride + s * LQI_TILE_STEP;
      float *to = (float *)(void *)(panel + (2 * s + half) * 16 * LQI_TILE_STEP);
      kern->tiles.transpose_f32((const float *)(const void *)from, stride / sizeof(float),
                                (size_t)lqi_min_u64(16, count - half * 16), words, to, 16);
    }
}

/* The four tiles of a block and a panel as rows of x. */
static void tiles_turn(const struct lqi_kernels *kern, const float *tiles, float *out)
{
  for (size_t h = 0; h < 2; h++)
    for (size_t g = 0; g < 2; g++)
      kern->tiles.transpose_f32(tiles + (2 * h + g) * 256, 16, 16, 16,
                                out + g * 16 * LQI_TILE_ROWS + h * 16, LQI_TILE_ROWS);
}

static void tiles_band(const struct tiles_job *job, uint32_t task, uint64_t n, uint64_t count)
{
  const struct lqi_tiling *t = job->t;
  const uint64_t blocks = lqi_ceil_div(count, LQI_TILE_ROWS);
  uint8_t *w = (uint8_t *)job->rooms + task * job->room;
  float *turned = (float *)(void *)(w + LQI_TILES_BAND * TILES_STRIDE), *sums = turned + TILES_SUMS;
  /* Rows that a block lacks are multiplied too. */
  memset(w + count * TILES_STRIDE, 0, (size_t)((LQI_TILES_BAND - count) * TILES_STRIDE));
  for (uint64_t s = 0, steps; s < t->steps; s += steps) {
    steps = lqi_min_u64(TILES_STEPS, t->steps - s);
    t->load(t->arg, n, count, s, steps, w, TILES_STRIDE);
    struct lqi_blocks b = {.w = w,
                           .x = t->x + s * 2 * 16 * LQI_TILE_STEP,
                           .w_stride = TILES_STRIDE,
                           .x_step = (size_t)tiles_panel_bytes(t->steps),
                           .blocks = (size_t)blocks,
                           .panels = (size_t)job->panels,
                           .steps = (size_t)steps,
                           .c = (uint8_t *)sums,
                           .begin = s == 0};
    t->multiply(&b);
  }
  for (uint64_t p = 0; p < job->panels; p++)
    for (uint64_t b = 0; b < blocks; b++) {
      uint64_t i = p * LQI_TILE_ROWS, r = b * LQI_TILE_ROWS;
      tiles_turn(t->kern, sums + (p * blocks + b) * TILES_SUMS, turned);
      t->store(t->arg, task, i, lqi_min_u64(LQI_TILE_ROWS, t->m - i), n + r,
               lqi_min_u64(LQI_TILE_ROWS, count - r), turned);
    }
}

static void tiles_task(void *arg, uint32_t index)
{
  const struct tiles_job *job = arg;
  const uint64_t step = job->bands_per_task * LQI_TILES_BAND, first = index * step;
  const uint64_t end = lqi_min_u64(first + step, job->t->rows);
  for (uint64_t n = first; n < end; n += LQI_TILES_BAND)
    tiles_band(job, index, n, lqi_min_u64(LQI_TILES_BAND, end - n));
}

uint32_t lqi_tiles_tasks(const struct lqi_tiling *t, const struct lqi_par *par)
{
  const uint64_t bands = lqi_ceil_div(t->rows, LQI_TILES_BAND);
  const uint64_t workers = lqi_min_u64(lqi_par_workers(par), bands);
  return (uint32_t)lqi_ceil_div(bands, lqi_ceil_div(bands, workers));
}

lq_status lqi_tiles_run(const struct lqi_tiling *t, const struct lqi_mem *mem,
                        const struct lqi_par *par)
{
  const uint32_t tasks = lqi_tiles_tasks(t, par);
  struct tiles_job job = {.t = t,
                          .panels = lqi_ceil_div(t->m, LQI_TILE_ROWS),
                          .bands_per_task =
                              lqi_ceil_div(lqi_ceil_div(t->rows, LQI_TILES_BAND), tasks)};
  job.room = LQI_TILES_BAND * TILES_STRIDE +
             (1 + job.panels * LQI_TILES_BAND / LQI_TILE_ROWS) * TILES_SUMS * sizeof(float);
  uint64_t bytes = job.room * tasks;
  job.rooms = lqi_alloc(mem, bytes);
  if (job.rooms == NULL)
    return LQ_E_MEMORY;
  lqi_parallel(par, tasks, tiles_task, &job);
  lqi_free(mem, job.rooms, bytes);
  return LQ_OK;
}
