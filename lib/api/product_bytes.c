/*
 * product_bytes.c - y = x W^T in 8-bit integers: mode fast.
 *
 * Owns: cutting such a product into tasks, bands and blocks, and its work space.
 * Must not know: any one method; a tensor shows its rows through its vtable.
 *
 * x becomes integers once, some hundred rows at a time, up to 12 to a panel. A task takes bands of
 * W, whose codes stay in a second-level cache while all panels of x pass by, in blocks that stay
 * there too.
 */
#include "product.h"

#include <string.h>

/* Bytes of x at a time, and of a block of it. */
#define BYTES_X (UINT64_C(1) << 22)
#define BYTES_BLOCK (UINT64_C(1) << 19)

/* Rows of W at a time. */
#define BYTES_BAND 64

struct byte_product {
  const struct lqi_input *in;
  struct lqi_output out;   /* y from the first row of x in `x` on */
  float step;              /* what the code book was divided by */
  uint64_t i, m;           /* rows of the caller's x in `x` */
  struct lqi_byte_x x;     /* its first panel */
  uint64_t block;          /* rows of x, whole panels */
  uint64_t band, per_task; /* rows of W */
  char *rooms;
  uint64_t room;
};

/* The work space of a task, cut from its bytes. */
struct byte_room {
  float *grids; /* of a band, where the method makes them */
  float *sums;  /* [block][band] */
};

static uint64_t cut_byte_room(const struct byte_product *p, uint32_t index, struct byte_room *out)
{
  const uint64_t grids = p->band * LQI_STRIP_GRIDS(p->in->weight->shape.cols);
  if (out != NULL) {
    out->grids = (float *)(void *)(p->rooms + index * p->room);
    out->sums = out->grids + grids;
  }
  const uint64_t bytes = (grids + p->block * p->band) * sizeof(float);
  return lqi_ceil_div(bytes, LQI_ALIGNMENT) * LQI_ALIGNMENT;
}

/* From row `first` of x on, which begins a panel. */
static struct lqi_byte_x byte_panel(const struct byte_product *p, uint64_t first)
{
  struct lqi_byte_x x = p->x;
  x.q += first * x.n;
  x.t += first * (x.n / x.unit);
  x.minus += first * (x.n / x.unit);
  return x;
}

static void bytes_band(const struct byte_product *p, const struct byte_room *room, uint64_t n,
                       uint64_t count)
{
  const struct lqi_input *in = p->in;
  struct lqi_strip w;
  in->weight->method->strip(in->weight, in->kern, in->first + n, count, room->grids, &w);
  for (uint64_t i = 0, m; i < p->m; i += m) {
    const struct lqi_byte_x x = byte_panel(p, i);
    m = lqi_min_u64(p->block, p->m - i);
    in->kern->byte_dots[in->form](&w, (size_t)count, p->step, &x, (size_t)m, room->sums,
                                  (size_t)p->band);
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
  const uint64_t first = index * p->x.rows, rows = lqi_min_u64(p->x.rows, p->m - first);
  const struct lqi_byte_x panel = byte_panel(p, first);
  const size_t units = panel.n / panel.unit * panel.rows;
  float wide[AT_ONCE];
  if (rows < panel.rows) {
    memset(panel.q, 0, panel.n * panel.rows);
    memset(panel.t, 0, units * sizeof *panel.t);
    memset(panel.minus, 0, units * sizeof *panel.minus);
  }
  for (uint64_t r = 0; r < rows; r++)
    for (uint64_t c = 0, n; c < panel.n; c += n) {
      const void *x = lqi_element(in->x, in->dtype, (p->i + first + r) * in->stride + c);
      struct lqi_byte_x to = panel;
      to.q += c * panel.rows;
      to.t += c / to.unit * panel.rows;
      to.minus += c / to.unit * panel.rows;
      n = in->dtype == LQ_F32 ? panel.n : lqi_min_u64(AT_ONCE, panel.n - c);
      if (in->dtype != LQ_F32)
        in->kern->widen[lqi_float_index(in->dtype)](x, (size_t)n, wide);
      in->kern->byte_round(in->dtype == LQ_F32 ? x : wide, (size_t)n, &to, (size_t)r);
    }
}

/* Rows of a panel: those that waste least, a kernel's tile being 1, 4, 8 or 12 high; that of 12 is
 * a twentieth better than that of 8. */
static size_t panel_rows(uint64_t m)
{
  if (m <= LQI_BYTE_PANEL)
    return m <= 1 ? 1 : m <= 4 ? 4 : m <= 8 ? 8 : LQI_BYTE_PANEL;
  return lqi_ceil_div(m, 8) * 8 * 21 <= lqi_ceil_div(m, LQI_BYTE_PANEL) * LQI_BYTE_PANEL * 20
             ? 8
             : LQI_BYTE_PANEL;
}

int lqi_takes_bytes(const struct lqi_input *in)
{
  return in->kern->byte_products && in->form >= 0 && in->kern->byte_dots[in->form] != NULL &&
         in->weight->shape.cols <= UINT64_MAX >> 16;
}

/* What the product is made of, but for its work space. */
static struct byte_product byte_product_of(const struct lqi_input *in, const struct lqi_output *out,
                                           uint64_t workers)
{
  const uint64_t k = in->weight->shape.cols;
  struct lqi_strip w;
  struct byte_product p = {.in = in, .out = *out, .step = 1.0f};
  in->weight->method->strip(in->weight, in->kern, 0, 0, NULL, &w);
  if (in->form == LQI_FORM_BOOK4)
    p.step = lqi_byte_book(w.book, (uint8_t[16]){0});
  if (in->form == LQI_FORM_I8)
    p.step = lqi_f32_from_bits(LQI_I8_STEP_BITS);
  p.x = (struct lqi_byte_x){.n = (size_t)k,
                            .unit = w.group % 64 == 0 ? 64 : 32,
                            .rows = panel_rows(in->m),
                            .split = lqi_form_bits(in->form) == 4,
                            .times = w.numbers == 2 ? 1 : 128};
  p.block = lqi_min_u64(lqi_ceil_div(in->m, p.x.rows), BYTES_BLOCK / (p.x.rows * k) + 1) * p.x.rows;
  p.band = lqi_min_u64(BYTES_BAND, lqi_ceil_div(lqi_ceil_div(in->rows, workers), LQI_BYTE_ROWS) *
                                       LQI_BYTE_ROWS);
  const uint64_t bands = lqi_ceil_div(in->rows, p.band);
  p.per_task = lqi_ceil_div(bands, lqi_min_u64(workers, bands)) * p.band;
  p.room = cut_byte_room(&p, 0, NULL);
  return p;
}

lq_status lqi_multiply_bytes(const struct lqi_mem *mem, const struct lqi_par *par,
                             const struct lqi_input *in, const struct lqi_output *out)
{
  const uint64_t k = in->weight->shape.cols, elements = in->rows * k * in->m;
  const uint64_t workers = lqi_workers_for(par, elements);
  struct byte_product p = byte_product_of(in, out, workers);
  const uint64_t tasks = lqi_ceil_div(in->rows, p.per_task), units = k / p.x.unit;
  const uint64_t blocks = lqi_min_u64(lqi_ceil_div(in->m, p.block), BYTES_X / (p.block * k) + 1);
  const uint64_t most = blocks * p.block;
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
    const uint32_t parts = (uint32_t)lqi_ceil_div(p.m, p.x.rows);
    if (workers > 1 && parts > 1)
      lqi_parallel(par, parts, round_task, &p);
    for (uint32_t part = 0; part < parts && (workers == 1 || parts == 1); part++)
      round_task(&p, part);
    lqi_parallel(par, (uint32_t)tasks, bytes_task, &p);
  }
  lqi_free(mem, p.rooms, bytes);
  return LQ_OK;
}
