/*
 * gptq_rows.c - rounding with feedback (GPTQ, arXiv 2210.17323), a panel of rows at a time.
 *
 * Owns: the walk over blocks of columns, in a block the walk over columns.
 * Must not know: how the factor was made, what a code looks like in its plane.
 *
 * Columns are rounded one by one, in the order of the factor; what a column's rounding does to the
 * output is made up for by those that follow. Within a block of 128 positions each column corrects
 * the next ones at once, 32 rows in the lanes of vectors; behind the block all its errors are
 * applied by one matrix product. Rows do not know of each other: panels of them are tasks.
 *
 * The errors that are fed back are those of the original weights where grids are fixed beforehand
 * (then no inverse of the factor is needed), and those of the corrected weights where grids follow
 * the corrected weights (calibration.h).
 */
#include "gptq.h"

#define BLOCK LQI_BLOCK

/* Work space of a panel; every matrix but `lanes` has a row of weights a row, by position. */
struct gptq_panel {
  float *w;            /* corrected by finished blocks */
  float *kept;         /* as they were: where grids are fixed */
  float *error;        /* [rows][BLOCK], of the block at work */
  float *scale, *zero; /* [groups][rows] */
  float *row;          /* one row by column; behind it its grids */
  uint8_t *codes;      /* [rows][n] by column */
  float *lanes;        /* a block of LQI_LANES rows, transposed: corrected, original */
  void *scratch;       /* of the product */
  uint64_t first, rows;
};

static uint64_t gptq_even(uint64_t n)
{
  return (n + 15) / 16 * 16;
}

uint64_t lqi_gptq_room(const struct lqi_gptq *g, uint64_t rows)
{
  uint64_t n = g->factor->n;
  return gptq_even(rows * n) * (g->fixed ? 2 : 1) + rows * BLOCK + 2 * gptq_even(g->groups * rows) +
         gptq_even(3 * n + 2) + gptq_even(lqi_ceil_div(rows * n, sizeof(float))) +
         2 * BLOCK * LQI_LANES +
         gptq_even(lqi_ceil_div(lqi_gemm_scratch(rows, n, BLOCK), sizeof(float)));
}

static float *gptq_take(float **room, uint64_t n)
{
  float *p = *room;
  *room += gptq_even(n);
  return p;
}

static struct gptq_panel gptq_open(const struct lqi_gptq *g, uint64_t first, uint64_t rows,
                                   float *room)
{
  uint64_t n = g->factor->n;
  struct gptq_panel p = {.first = first, .rows = rows};
  p.w = gptq_take(&room, rows * n);
  p.kept = g->fixed ? gptq_take(&room, rows * n) : NULL;
  p.error = gptq_take(&room, rows * BLOCK);
  p.scale = gptq_take(&room, g->groups * rows);
  p.zero = gptq_take(&room, g->groups * rows);
  p.row = gptq_take(&room, 3 * n + 2);
  p.codes = (uint8_t *)gptq_take(&room, lqi_ceil_div(rows * n, sizeof(float)));
  p.lanes = gptq_take(&room, 2 * BLOCK * LQI_LANES);
  p.scratch = room;
  return p;
}

void lqi_gptq_load(const struct lqi_job *job, uint64_t row, float *out)
{
  uint64_t n = job->store->shape.cols;
  float limit = 0.0f;
  if (job->params->nonfinite == LQ_NONFINITE_SATURATE)
    limit = lqi_finite_absmax(job, row * n, n);
  for (uint64_t i = 0; i < n; i += LQI_CHUNK)
    lqi_load_chunk(job, row * n + i, (size_t)lqi_min_u64(LQI_CHUNK, n - i), limit, out + i);
}

/*
 * compat gptq: weights that no input ever reached become 0. The programs take the range of whole
 * rows before, those of groups behind it.
 */
static void gptq_drop_dead(const struct lqi_gptq *g, float *row, int ranges_taken)
{
  if (g->job->params->compat != LQ_COMPAT_GPTQ || (g->groups == 1 && !ranges_taken))
    return;
  for (size_t i = 0; i < g->factor->n; i++)
    if (g->factor->dead[i])
      row[i] = 0.0f;
}

void lqi_gptq_grids(const struct lqi_gptq *g, uint64_t first, uint64_t count, float *room)
{
  const struct lqi_params *params = g->job->params;
  uint64_t n = g->factor->n;
  for (uint64_t r = first; r < first + count; r++) {
    lqi_gptq_load(g->job, r, room);
    gptq_drop_dead(g, room, 0);
    for (uint64_t i = 0; i < g->groups; i++) {
      struct lqi_grid grid;
      uint64_t at = i * g->group;
      g->grid->range(params, g->job->kern, room + at, (size_t)lqi_min_u64(g->group, n - at), 1,
                     &grid);
      g->grid->put_grid(g->job, r, i, grid);
    }
  }
}

/* Grids as decoding sees them; compat gptq: before they were rounded to f16 for the file. */
static void gptq_fixed_grids(const struct lqi_gptq *g, uint64_t row, const float *w,
                             struct lqi_grid *grids)
{
  if (g->job->params->compat != LQ_COMPAT_GPTQ) {
    g->grid->get_grids(g->job->store, g->job->kern, row, grids);
    return;
  }
  for (uint64_t i = 0; i < g->groups; i++)
    g->grid->range(g->job->params, g->job->kern, w + i * g->group,
                   (size_t)lqi_min_u64(g->group, g->factor->n - i * g->group), 1, &grids[i]);
}

/* Weights by position, and the grids if they are fixed. */
static void gptq_load_panel(const struct lqi_gptq *g, struct gptq_panel *p)
{
  size_t n = g->factor->n;
  struct lqi_grid *grids = (struct lqi_grid *)(void *)(p->row + n);
  for (uint64_t r = 0; r < p->rows; r++) {
    lqi_gptq_load(g->job, p->first + r, p->row);
    gptq_drop_dead(g, p->row, 0);
    if (g->fixed)
      gptq_fixed_grids(g, p->first + r, p->row, grids);
    for (uint64_t i = 0; g->fixed && i < g->groups; i++) {
      p->scale[i * p->rows + r] = grids[i].scale;
      p->zero[i * p->rows + r] = grids[i].zero;
    }
    gptq_drop_dead(g, p->row, 1);
    for (size_t i = 0; i < n; i++)
      p->w[r * n + i] = p->row[g->factor->order[i]];
    if (g->fixed)
      memcpy(p->kept + r * n, p->w + r * n, n * sizeof *p->w);
  }
}

/*
 * Grids of the groups that begin in this block, from weights corrected by finished blocks alone:
 * what the published programs do, and fresher ones were measured to be no better.
 */
static void gptq_follow_grids(const struct lqi_gptq *g, struct gptq_panel *p, size_t begin,
                              size_t end)
{
  size_t n = g->factor->n;
  for (size_t i = begin, next; i < end; i = next) {
    uint32_t group = g->position_group[i];
    for (next = i; next < n && g->position_group[next] == group; next++)
      ;
    if (i != 0 && g->position_group[i - 1] == group)
      continue;
    for (uint64_t r = 0; r < p->rows; r++) {
      struct lqi_grid grid;
      g->grid->range(g->job->params, g->job->kern, p->w + r * n + i, next - i, 1, &grid);
      p->scale[group * p->rows + r] = grid.scale;
      p->zero[group * p->rows + r] = grid.zero;
      g->grid->put_grid(g->job, p->first + r, group, grid);
    }
  }
}

/* Columns begin.. of LQI_LANES rows from row r on, transposed; lanes without a row stay 0. */
static void gptq_transpose(const struct gptq_panel *p, const float *from, size_t n, uint64_t r,
                           size_t begin, size_t width, float *to)
{
  uint64_t lanes = lqi_min_u64(LQI_LANES, p->rows - r);
  for (uint64_t l = 0; l < LQI_LANES; l++)
    for (size_t i = 0; i < width; i++)
      to[i * LQI_LANES + l] = l < lanes ? from[(r + l) * n + begin + i] : 0.0f;
}

/* LQI_LANES rows of one block: every column is rounded and its error passed on. */
static void gptq_lanes(const struct lqi_gptq *g, struct gptq_panel *p, uint64_t r, size_t begin,
                       size_t width)
{
  const struct lqi_factor *f = g->factor;
  const float *upper = f->upper + lqi_upper_at(f->padded, begin, begin);
  size_t n = f->n, ld = lqi_upper_ld(f->padded, begin);
  uint64_t lanes = lqi_min_u64(LQI_LANES, p->rows - r);
  float *w = p->lanes, *kept = w + BLOCK * LQI_LANES, q[LQI_LANES], error[LQI_LANES];
  float scale[LQI_LANES] = {0}, zero[LQI_LANES] = {0};
  gptq_transpose(p, p->w, n, r, begin, width, w);
  if (g->fixed)
    gptq_transpose(p, p->kept, n, r, begin, width, kept);
  for (size_t i = 0; i < width; i++, w += LQI_LANES, kept += LQI_LANES) {
    uint8_t codes[LQI_LANES];
    uint64_t group = g->position_group[begin + i] * p->rows + r;
    uint32_t column = f->order[begin + i];
    memcpy(scale, p->scale + group, lanes * sizeof *scale);
    memcpy(zero, p->zero + group, lanes * sizeof *zero);
    g->grid->round(g->job->store, scale, zero, w, codes, q);
    for (uint64_t l = 0; l < LQI_LANES; l++)
      error[l] = g->fixed ? kept[l] - q[l] : q[l] - w[l];
    for (uint64_t l = 0; l < lanes; l++) {
      p->codes[(r + l) * n + column] = codes[l];
      p->error[(r + l) * BLOCK + i] = error[l];
    }
    g->job->kern->spread(upper + i * ld + i + 1, width - i - 1, error, w + LQI_LANES);
  }
}

void lqi_gptq_rows(const struct lqi_gptq *g, uint64_t first, uint64_t count, float *room)
{
  static const struct lqi_par serial = {NULL, NULL, 1};
  const struct lqi_factor *f = g->factor;
  struct gptq_panel p = gptq_open(g, first, count, room);
  size_t n = f->n;
  gptq_load_panel(g, &p);
  for (size_t begin = 0, end; begin < n; begin = end) {
    end = n - begin < BLOCK ? n : begin + BLOCK;
    if (!g->fixed)
      gptq_follow_grids(g, &p, begin, end);
    for (uint64_t r = 0; r < count; r += LQI_LANES)
      gptq_lanes(g, &p, r, begin, end - begin);
    if (end == n)
      break;
    struct lqi_gemm product = {
        .m = (size_t)count,
        .n = n - end,
        .k = BLOCK,
        .a = p.error,
        .lda = BLOCK,
        .b = f->upper + lqi_upper_at(f->padded, begin, end),
        .ldb = lqi_upper_ld(f->padded, begin),
        .c = p.w + end,
        .ldc = n,
        .mode = LQI_TILE_ADD,
    };
    lqi_gemm_f32(g->job->kern, &product, p.scratch, &serial);
  }
  for (uint64_t r = 0; r < count; r++)
    g->grid->put_codes(g->job->store, first + r, p.codes + r * n);
}
