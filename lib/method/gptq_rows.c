/*
 * gptq_rows.c - rounding with feedback (GPTQ, arXiv 2210.17323), a panel of rows at a time.
 *
 * Owns: the walk over blocks of columns, in a block the walk over columns.
 * Must not know: how the factor was made, what a code looks like in its plane.
 *
 * Columns are rounded one by one, in the order of the factor; what a column's rounding does to the
 * output is made up for by those that follow. Within a block of 128 positions each column corrects
 * the next ones of its 8 at once, 32 rows in the lanes of vectors; 8 together correct the rest of
 * the block, and behind the block all its errors are applied by one matrix product. A weight gets
 * its corrections in the order of columns all the same. Rows do not know of each other: panels of
 * them are tasks.
 *
 * The errors that are fed back are those of the original weights where grids are fixed beforehand
 * (then no inverse of the factor is needed), and those of the corrected weights where grids follow
 * the corrected weights or inputs are corrected too (calibration.h). Where they are, a column also
 * adds its value before rounding, times its row of `pull`, behind what its error adds: column by
 * column among its 8, 8 columns or a block at a time further on.
 */
#include "gptq.h"

#define BLOCK LQI_BLOCK

/* Columns whose errors go on together; behind a row of weights, so that rows do not begin at equal
 * places of pages and crowd each other out of the caches. */
enum { TOGETHER = 8, APART = 16 };

/* Work space of a panel; rows are counted up to whole LQI_LANES. */
struct gptq_panel {
  float *w;            /* [rows][ld] by position, corrected by finished blocks */
  float *kept;         /* [rows][ld] as they were: where original errors are fed back */
  float *error;        /* [rows / LQI_LANES][BLOCK][LQI_LANES], of the block at work */
  float *value;        /* the same, what was rounded: where inputs are corrected */
  float *scale, *zero; /* [groups][rows] */
  float *row;          /* one row by column; behind it its grids */
  uint8_t *codes;      /* [rows][n] by column */
  float *lanes;        /* a block of LQI_LANES rows, transposed: corrected, original, codes */
  uint64_t first, rows, padded; /* padded: to whole LQI_LANES */
  size_t ld;
};

static uint64_t gptq_even(uint64_t n)
{
  return (n + 15) / 16 * 16;
}

static uint64_t gptq_lanes_of(uint64_t rows)
{
  return lqi_ceil_div(rows, LQI_LANES) * LQI_LANES;
}

uint64_t lqi_gptq_room(const struct lqi_gptq *g, uint64_t rows)
{
  uint64_t n = g->factor->n, padded = gptq_lanes_of(rows);
  return rows * (gptq_even(n) + APART) * (g->factor->running ? 1 : 2) +
         padded * BLOCK * (g->factor->pull != NULL ? 2 : 1) + 2 * g->groups * padded +
         gptq_even(3 * n + 2) + gptq_even(lqi_ceil_div(rows * n, sizeof(float))) +
         3 * BLOCK * LQI_LANES;
}

static float *gptq_take(float **room, uint64_t n)
{
  float *p = *room;
  *room += (size_t)gptq_even(n);
  return p;
}

static struct gptq_panel gptq_open(const struct lqi_gptq *g, uint64_t first, uint64_t rows,
                                   float *room)
{
  uint64_t n = g->factor->n;
  struct gptq_panel p = {.first = first, .rows = rows, .padded = gptq_lanes_of(rows)};
  p.ld = (size_t)gptq_even(n) + APART;
  p.w = gptq_take(&room, rows * p.ld);
  p.kept = g->factor->running ? NULL : gptq_take(&room, rows * p.ld);
  p.error = gptq_take(&room, p.padded * BLOCK);
  p.value = g->factor->pull != NULL ? gptq_take(&room, p.padded * BLOCK) : NULL;
  p.scale = gptq_take(&room, g->groups * p.padded);
  p.zero = gptq_take(&room, g->groups * p.padded);
  p.row = gptq_take(&room, 3 * n + 2);
  p.codes = (uint8_t *)gptq_take(&room, lqi_ceil_div(rows * n, sizeof(float)));
  p.lanes = gptq_take(&room, 3 * BLOCK * LQI_LANES);
  /* lanes without a row have a grid too */
  memset(p.scale, 0, 2 * (size_t)(g->groups * p.padded) * sizeof *p.scale);
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
      p->scale[i * p->padded + r] = grids[i].scale;
      p->zero[i * p->padded + r] = grids[i].zero;
    }
    gptq_drop_dead(g, p->row, 1);
    for (size_t i = 0; i < n; i++)
      p->w[r * p->ld + i] = p->row[g->factor->order[i]];
    if (p->kept != NULL)
      memcpy(p->kept + r * p->ld, p->w + r * p->ld, n * sizeof *p->w);
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
      g->grid->range(g->job->params, g->job->kern, p->w + r * p->ld + i, next - i, 1, &grid);
      p->scale[group * p->padded + r] = grid.scale;
      p->zero[group * p->padded + r] = grid.zero;
      g->grid->put_grid(g->job, p->first + r, group, grid);
    }
  }
}

/* Columns begin.. of LQI_LANES rows from row r on, transposed; lanes without a row stay 0. */
static void gptq_transpose(const struct lqi_gptq *g, const struct gptq_panel *p, const float *from,
                           uint64_t r, size_t begin, size_t width, float *to)
{
  size_t lanes = (size_t)lqi_min_u64(LQI_LANES, p->rows - r);
  if (lanes < LQI_LANES)
    memset(to, 0, width * LQI_LANES * sizeof *to);
  g->job->kern->tiles.transpose_f32(from + r * p->ld + begin, p->ld, lanes, width, to, LQI_LANES);
}

/* Errors of LQI_LANES values. */
static void gptq_errors(const float *of, const float *less, float *error)
{
  for (int l = 0; l < LQI_LANES; l++)
    error[l] = of[l] - less[l];
}

/* Codes of a block of LQI_LANES rows to their rows and columns. */
static void gptq_put_lanes(const struct lqi_gptq *g, struct gptq_panel *p, uint64_t r, size_t begin,
                           size_t width, const uint8_t *codes)
{
  const uint32_t *column = g->factor->order + begin;
  for (uint64_t l = 0; l < lqi_min_u64(LQI_LANES, p->rows - r); l++) {
    uint8_t *to = p->codes + (r + l) * g->factor->n;
    for (size_t i = 0; i < width; i++)
      to[column[i]] = codes[i * LQI_LANES + l];
  }
}

/*
 * LQI_LANES rows of one block: every column is rounded and its error passed on, and what it was
 * before where inputs are corrected. The block is worked on in its place among those values then.
 */
static void gptq_lanes(const struct lqi_gptq *g, struct gptq_panel *p, uint64_t r, size_t begin,
                       size_t width)
{
  const struct lqi_factor *f = g->factor;
  const float *square = lqi_factor_square(f, f->upper, begin / BLOCK);
  const float *pull = p->value != NULL ? lqi_factor_square(f, f->pull, begin / BLOCK) : NULL;
  lqi_spread_fn *const spread = g->job->kern->spread;
  float *w = p->value != NULL ? p->value + r * BLOCK : p->lanes;
  float *kept = p->lanes + BLOCK * LQI_LANES, *errors = p->error + r * BLOCK;
  uint8_t *codes = (uint8_t *)(kept + BLOCK * LQI_LANES);
  gptq_transpose(g, p, p->w, r, begin, width, w);
  if (p->kept != NULL)
    gptq_transpose(g, p, p->kept, r, begin, width, kept);
  for (size_t s = 0, end; s < width; s = end) {
    end = width - s < TOGETHER ? width : s + TOGETHER;
    for (size_t i = s; i < end; i++) {
      float *own = w + i * LQI_LANES, *error = errors + i * LQI_LANES, q[LQI_LANES];
      uint64_t group = g->position_group[begin + i] * p->padded + r;
      g->grid->round(g->job->store, g->job->kern, p->scale + group, p->zero + group, own,
                     codes + i * LQI_LANES, q);
      if (p->kept != NULL)
        gptq_errors(kept + i * LQI_LANES, q, error);
      else
        gptq_errors(q, own, error);
      spread(square + i * BLOCK + i + 1, BLOCK, 1, error, end - i - 1, own + LQI_LANES);
      if (pull != NULL)
        spread(pull + i * BLOCK + i + 1, BLOCK, 1, own, end - i - 1, own + LQI_LANES);
    }
    spread(square + s * BLOCK + end, BLOCK, end - s, errors + s * LQI_LANES, width - end,
           w + end * LQI_LANES);
    if (pull != NULL)
      spread(pull + s * BLOCK + end, BLOCK, end - s, w + s * LQI_LANES, width - end,
             w + end * LQI_LANES);
  }
  gptq_put_lanes(g, p, r, begin, width, codes);
}

/* Adds to the columns behind a block `left`, in lanes, times its rows of a triangle. */
static void gptq_behind(const struct lqi_gptq *g, const struct gptq_panel *p, const float *left,
                        const float *triangle, size_t begin)
{
  struct lqi_packed_product product = {
      .m = (size_t)p->rows,
      .n = g->factor->n - begin - BLOCK,
      .depth = BLOCK,
      .step = LQI_LANES,
      .a = left,
      .b = lqi_factor_beyond(g->factor, triangle, begin / BLOCK),
      .c = p->w + begin + BLOCK,
      .ldc = p->ld,
  };
  lqi_packed_add_f32(g->factor->kern, &product);
}

void lqi_gptq_rows(const struct lqi_gptq *g, uint64_t first, uint64_t count, float *room)
{
  struct gptq_panel p = gptq_open(g, first, count, room);
  size_t n = g->factor->n;
  gptq_load_panel(g, &p);
  for (size_t begin = 0, end; begin < n; begin = end) {
    end = n - begin < BLOCK ? n : begin + BLOCK;
    if (!g->fixed)
      gptq_follow_grids(g, &p, begin, end);
    for (uint64_t r = 0; r < count; r += LQI_LANES)
      gptq_lanes(g, &p, r, begin, end - begin);
    if (end == n)
      break;
    gptq_behind(g, &p, p.error, g->factor->upper, begin);
    if (p.value != NULL)
      gptq_behind(g, &p, p.value, g->factor->pull, begin);
  }
  for (uint64_t r = 0; r < count; r++)
    g->grid->put_codes(g->job->store, first + r, p.codes + r * n);
}
