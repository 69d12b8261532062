/*
 * product_bytes.c - y = x W^T in 8-bit integers: mode fast, for many rows of x.
 *
 * Owns: cutting such a product into tasks, bands and blocks, and its work space.
 * Must not know: any one method; a tensor shows its rows through its vtable.
 *
 * x becomes integers once, some hundred rows at a time, 12 to a panel. A task unpacks bands of W to
 * bytes, 16 rows to a tile, which stay in a second-level cache while all panels of x pass by.
 */
#include "product.h"

#include <string.h>

/* Bytes of x at a time. */
#define BYTES_X (UINT64_C(1) << 22)

/* Rows of W at a time: bytes of a band, and at most. */
#define BYTES_BAND (UINT64_C(1) << 18)
#define BYTES_BAND_ROWS 64

struct byte_product {
  const struct lqi_input *in;
  struct lqi_output out; /* y from the first row of x in `x` on */
  int form;
  uint64_t numbers;        /* of a row's grids */
  float step;              /* what the code book was divided by */
  uint64_t i, m;           /* rows of the caller's x in `x` */
  struct lqi_byte_x x;     /* its first panel */
  uint64_t band, per_task; /* rows of W */
  char *rooms;
  uint64_t room;
};

/* The work space of a task, cut from its bytes. */
struct byte_room {
  uint8_t *tiles;   /* [band / 16][columns / 4][16][4] */
  uint8_t *natural; /* 16 rows */
  float *grids;     /* [band / 16][groups][numbers][16] */
  float *rows;      /* grids of 16 rows */
  float *sums;      /* [12][band] */
};

static uint64_t cut_byte_room(const struct byte_product *p, uint32_t index, struct byte_room *out)
{
  const uint64_t k = p->in->weight->shape.cols;
  const uint64_t tiles = p->band * k, natural = LQI_BYTE_ROWS * k, grids = p->band * p->numbers;
  const uint64_t rows = LQI_BYTE_ROWS * LQI_STRIP_GRIDS(k), sums = LQI_BYTE_PANEL * p->band;
  if (out != NULL) {
    out->tiles = (uint8_t *)p->rooms + index * p->room;
    out->natural = out->tiles + tiles;
    out->grids = (float *)(void *)(out->natural + natural);
    out->rows = out->grids + grids;
    out->sums = out->rows + rows;
  }
  const uint64_t bytes = tiles + natural + (grids + rows + sums) * sizeof(float);
  return lqi_ceil_div(bytes, LQI_ALIGNMENT) * LQI_ALIGNMENT;
}

/* Up to 16 rows of W to tile t of the room; rows that are not there become 0. */
static struct lqi_byte_w load_tile(const struct byte_product *p, const struct byte_room *room,
                                   uint64_t t, uint64_t row, uint64_t rows)
{
  const struct lqi_input *in = p->in;
  const uint64_t k = in->weight->shape.cols;
  uint8_t *tile = room->tiles + t * LQI_BYTE_ROWS * k;
  float *grids = room->grids + t * LQI_BYTE_ROWS * p->numbers;
  struct lqi_strip w;
  in->weight->method->strip(in->weight, in->kern, row, rows, room->rows, &w);
  in->kern->strip_bytes[p->form](&w, (size_t)rows, (size_t)k, room->natural, (size_t)k);
  if (rows < LQI_BYTE_ROWS) {
    memset(tile, 0, (size_t)(LQI_BYTE_ROWS * k));
    memset(grids, 0, (size_t)(LQI_BYTE_ROWS * p->numbers) * sizeof *grids);
  }
  in->kern->tiles.transpose_f32((const float *)(const void *)room->natural, (size_t)k / 4,
                                (size_t)rows, (size_t)k / 4, (float *)(void *)tile, LQI_BYTE_ROWS);
  in->kern->tiles.transpose_f32(w.grid, w.grid_step, (size_t)rows, (size_t)p->numbers, grids,
                                LQI_BYTE_ROWS);
  return (struct lqi_byte_w){tile, grids, w.numbers, w.group, p->step};
}

static struct lqi_byte_x byte_panel(const struct byte_product *p, uint64_t index)
{
  struct lqi_byte_x x = p->x;
  const uint64_t of_units = index * LQI_BYTE_PANEL * (x.n / x.unit);
  x.q += index * LQI_BYTE_PANEL * x.n;
  x.t += of_units;
  x.minus += of_units;
  return x;
}

static void bytes_band(const struct byte_product *p, const struct byte_room *room, uint64_t n,
                       uint64_t count)
{
  const uint64_t tiles = lqi_ceil_div(count, LQI_BYTE_ROWS);
  struct lqi_byte_w w[BYTES_BAND_ROWS / LQI_BYTE_ROWS];
  for (uint64_t t = 0; t < tiles; t++)
    w[t] = load_tile(p, room, t, p->in->first + n + t * LQI_BYTE_ROWS,
                     lqi_min_u64(LQI_BYTE_ROWS, count - t * LQI_BYTE_ROWS));
  for (uint64_t i = 0, m; i < p->m; i += m) {
    struct lqi_byte_x x = byte_panel(p, i / LQI_BYTE_PANEL);
    m = lqi_min_u64(LQI_BYTE_PANEL, p->m - i);
    for (uint64_t t = 0; t < tiles; t++)
      p->in->kern->byte_dots(&w[t], &x, (size_t)m, room->sums + t * LQI_BYTE_ROWS, (size_t)p->band);
    lqi_product_store(&p->out, room->sums, p->band, i, m, n, count);
  }
}

static void bytes_task(void *arg, uint32_t index)
{
  const struct byte_product *p = arg;
  const uint64_t begin = index * p->per_task, end = lqi_min_u64(begin + p->per_task, p->in->rows);
  struct byte_room room;
  cut_byte_room(p, index, &room);
  for (uint64_t n = begin; n < end; n += p->band)
    bytes_band(p, &room, n, lqi_min_u64(p->band, end - n));
}

/* A panel of x to integers, by way of pieces of f32 where they are halves. */
static void round_task(void *arg, uint32_t index)
{
  enum { AT_ONCE = 128 };
  const struct byte_product *p = arg;
  const struct lqi_input *in = p->in;
  const struct lqi_byte_x panel = byte_panel(p, index);
  const uint64_t first = (uint64_t)index * LQI_BYTE_PANEL,
                 rows = lqi_min_u64(LQI_BYTE_PANEL, p->m - first);
  float wide[AT_ONCE];
  for (uint64_t r = 0; r < rows; r++)
    for (uint64_t c = 0, n; c < panel.n; c += n) {
      const void *x = lqi_element(in->x, in->dtype, (p->i + first + r) * in->stride + c);
      struct lqi_byte_x to = panel;
      to.q += c * LQI_BYTE_PANEL;
      to.t += c / to.unit * LQI_BYTE_PANEL;
      to.minus += c / to.unit * LQI_BYTE_PANEL;
      n = in->dtype == LQ_F32 ? panel.n : lqi_min_u64(AT_ONCE, panel.n - c);
      if (in->dtype != LQ_F32)
        in->kern->widen[lqi_float_index(in->dtype)](x, (size_t)n, wide);
      in->kern->byte_round(in->dtype == LQ_F32 ? x : wide, (size_t)n, &to, (size_t)r);
    }
}

static uint64_t byte_band_of(const struct byte_product *p, uint64_t workers)
{
  uint64_t band = BYTES_BAND / p->in->weight->shape.cols / LQI_BYTE_ROWS * LQI_BYTE_ROWS;
  uint64_t share = lqi_ceil_div(lqi_ceil_div(p->in->rows, workers), LQI_BYTE_ROWS) * LQI_BYTE_ROWS;
  band = band < LQI_BYTE_ROWS ? LQI_BYTE_ROWS : lqi_min_u64(band, BYTES_BAND_ROWS);
  return lqi_min_u64(band, share);
}

int lqi_takes_bytes(const struct lqi_input *in)
{
  const struct lqi_method *method = in->weight->method;
  const uint64_t k = in->weight->shape.cols;
  struct lqi_strip none;
  if (!in->kern->byte_products || method->strip == NULL || k == 0 || k % LQI_PIECE != 0 ||
      k > UINT64_MAX >> 16)
    return 0;
  const int form = method->strip(in->weight, in->kern, 0, 0, NULL, &none);
  return form >= 0 && in->kern->strip_bytes[form] != NULL;
}

lq_status lqi_multiply_bytes(const struct lqi_mem *mem, const struct lqi_par *par,
                             const struct lqi_input *in, const struct lqi_output *out)
{
  const uint64_t k = in->weight->shape.cols, elements = in->rows * k * in->m;
  const uint64_t workers = elements < LQI_TASK_ELEMENTS ? 1 : lqi_par_workers(par);
  struct lqi_strip w;
  struct byte_product p = {.in = in, .out = *out, .step = 1.0f};
  p.form = in->weight->method->strip(in->weight, in->kern, 0, 0, NULL, &w);
  if (p.form == LQI_FORM_BOOK4)
    p.step = lqi_byte_book(w.book, (uint8_t[16]){0});
  if (p.form == LQI_FORM_I8)
    p.step = lqi_f32_from_bits(LQI_I8_STEP_BITS);
  p.x = (struct lqi_byte_x){.n = (size_t)k, .unit = w.group % 64 == 0 ? 64 : 32};
  p.numbers = k / w.group * w.numbers;
  p.band = byte_band_of(&p, workers);
  const uint64_t bands = lqi_ceil_div(in->rows, p.band);
  p.per_task = lqi_ceil_div(bands, lqi_min_u64(workers, bands)) * p.band;
  const uint64_t tasks = lqi_ceil_div(in->rows, p.per_task), units = k / p.x.unit;
  const uint64_t panels =
      lqi_min_u64(lqi_ceil_div(in->m, LQI_BYTE_PANEL), BYTES_X / LQI_BYTE_PANEL / k + 1);
  const uint64_t most = panels * LQI_BYTE_PANEL;
  p.room = cut_byte_room(&p, 0, NULL);
  const uint64_t rooms = tasks * p.room, bytes = rooms + most * (k + units * 2 * sizeof(float));
  p.rooms = lqi_alloc(mem, bytes);
  if (p.rooms == NULL)
    return LQ_E_MEMORY;
  p.x.q = (int8_t *)(p.rooms + rooms);
  p.x.t = (float *)(void *)(p.x.q + most * k);
  p.x.minus = (int32_t *)(void *)(p.x.t + most * units);
  for (p.i = 0; p.i < in->m; p.i += p.m) {
    p.m = lqi_min_u64(most, in->m - p.i);
    p.out.y = lqi_element_mut(out->y, out->dtype, p.i * out->stride);
    const uint32_t parts = (uint32_t)lqi_ceil_div(p.m, LQI_BYTE_PANEL);
    if (workers > 1)
      lqi_parallel(par, parts, round_task, &p);
    for (uint32_t part = 0; workers == 1 && part < parts; part++)
      round_task(&p, part);
    lqi_parallel(par, (uint32_t)tasks, bytes_task, &p);
  }
  lqi_free(mem, p.rooms, bytes);
  return LQ_OK;
}
