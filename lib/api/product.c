/*
 * product.c - y = x W^T.
 *
 * Owns: cutting a product into tasks and bands of rows, work space, conversion of x and y.
 * Must not know: any one method; an encoded tensor shows its rows through its vtable.
 *
 * x becomes paired rows of f32 (kern.h), some hundred at a time. A task takes bands of rows of W.
 * Few rows of x: codes are decoded in registers. Many: a band is decoded once, to paired rows that
 * stay in a second-level cache, and all of x passes over it in pieces of columns that stay in the
 * first. The sums have the same order either way.
 */
#include "product.h"
#include "product_tiles.h"

#include <string.h>

/* Rows of x that are paired at a time, and floats of them: what a third-level cache keeps. */
#define X_BLOCK 512
#define X_BLOCK_FLOATS (UINT64_C(1) << 21)

/* Rows of x that pass over a decoded band at a time, and columns; multiples of every kernel's tile.
 */
#define X_ROWS 48
#define X_COLUMNS 1024

/* Most rows of x that are multiplied in fixed point: a promise of libquant.h. */
#define FIXED_ROWS 8

/* Fewest rows of x for which tiles of bf16 are worth their padding. */
#define TILE_ROWS_LEAST 16

/* Rows of W at a time, where none is decoded to work space and where they are. */
#define FUSED_BAND 64
#define DECODED_BAND 32
#define DECODED_LEAST 16

struct product {
  const struct lqi_store *weight;
  const struct lqi_kernels *kern;
  uint64_t first, rows; /* of W */
  uint64_t m;
  const float *x; /* [m, x_stride] paired */
  uint64_t x_stride;
  struct lqi_fixed fixed; /* the same in fixed point, or q NULL */
  struct lqi_output out;
  int form;          /* of W's rows, or -1 */
  int fused;         /* codes are decoded in registers */
  uint64_t band;     /* rows of W at a time */
  char *rooms;       /* of each task */
  uint64_t room;     /* bytes of one */
  uint64_t per_task; /* rows of W a task */
};

/* The work space of a task, cut from its bytes. */
struct product_room {
  float *decoded; /* [band][x_stride], paired */
  float *natural; /* a row as the method decodes it */
  float *grids;   /* of a band */
  float *sums;    /* [rows of x][band][16] */
  float *tile;    /* [rows of x][band] */
};

/* Distance of paired rows of k columns: an odd number of cache lines, since rows at multiples of a
 * power of two would crowd into few sets of a cache. */
static uint64_t apart(uint64_t k)
{
  uint64_t lines = lqi_ceil_div(k, LQI_PIECE) * 2;
  return (lines | 1) * (LQI_PIECE / 2);
}

static uint64_t paired(uint64_t k)
{
  return lqi_ceil_div(k, LQI_PIECE) * LQI_PIECE;
}

/* Bytes of a room; its parts for the task of that index, if `out` is not NULL. */
static uint64_t cut_room(const struct product *p, uint32_t index, struct product_room *out)
{
  uint64_t k = paired(p->weight->shape.cols), band = paired(p->band);
  uint64_t rows = p->fused ? LQI_STRIP_M : X_ROWS;
  uint64_t decoded = p->fused ? 0 : band * p->x_stride, natural = p->form < 0 ? k : 0;
  uint64_t grids = p->form < 0 ? 0 : band * LQI_STRIP_GRIDS(k);
  uint64_t sums = p->fused ? 0 : rows * band * 16;
  uint64_t floats = decoded + natural + grids + sums + rows * band;
  if (out != NULL) {
    out->decoded = (float *)(void *)(p->rooms + index * p->room);
    out->natural = out->decoded + decoded;
    out->grids = out->natural + natural;
    out->sums = out->grids + grids;
    out->tile = out->sums + sums;
  }
  return lqi_ceil_div(floats * sizeof(float), LQI_ALIGNMENT) * LQI_ALIGNMENT;
}

void lqi_product_store(const struct lqi_output *out, float *sums, uint64_t apart, uint64_t first,
                       uint64_t rows, uint64_t n, uint64_t count)
{
  for (uint64_t i = 0; i < rows; i++, sums += apart) {
    if (out->bias != NULL)
      for (uint64_t j = 0; j < count; j++)
        sums[j] += out->bias[n + j];
    void *y = lqi_element_mut(out->y, out->dtype, (first + i) * out->stride + n);
    if (out->dtype == LQ_F32)
      memcpy(y, sums, (size_t)count * sizeof *sums);
    else
      out->kern->narrow[lqi_float_index(out->dtype)](sums, (size_t)count, y);
  }
}

/* A band through its strip, LQI_STRIP_M rows of x at a time. */
static void fused_band(const struct product *p, const struct lqi_strip *strip,
                       const struct product_room *room, uint64_t n, uint64_t count)
{
  for (uint64_t i = 0, m; i < p->m; i += m) {
    m = lqi_min_u64(LQI_STRIP_M, p->m - i);
    p->kern->strip_dots[p->form](strip, (size_t)count, (size_t)p->weight->shape.cols,
                                 p->x + i * p->x_stride, (size_t)p->x_stride, (size_t)m, room->tile,
                                 (size_t)p->band);
    lqi_product_store(&p->out, room->tile, p->band, i, m, n, count);
  }
}

static int takes_fixed(const struct product *p, const struct lqi_strip *strip)
{
  return p->fixed.q != NULL && strip->group % LQI_UNIT == 0 && p->kern->fixed_dots[p->form] != NULL;
}

static void fixed_band(const struct product *p, const struct lqi_strip *strip,
                       const struct product_room *room, uint64_t n, uint64_t count)
{
  size_t stride = p->fixed.stride;
  for (uint64_t i = 0, m; i < p->m; i += m) {
    struct lqi_fixed x = {p->fixed.q + i * stride, p->fixed.t + i * (stride / LQI_UNIT), stride};
    m = lqi_min_u64(LQI_STRIP_M, p->m - i);
    p->kern->fixed_dots[p->form](strip, (size_t)count, stride, &x, (size_t)m, room->tile,
                                 (size_t)p->band);
    lqi_product_store(&p->out, room->tile, p->band, i, m, n, count);
  }
}

/* Rows row .. of W to room->decoded. */
static void decode_band(const struct product *p, const struct lqi_strip *strip,
                        const struct product_room *room, uint64_t row, uint64_t count)
{
  uint64_t k = p->weight->shape.cols;
  if (p->form >= 0) {
    p->kern->strip_pair[p->form](strip, (size_t)count, (size_t)k, room->decoded,
                                 (size_t)p->x_stride);
    return;
  }
  for (uint64_t r = 0; r < count; r++) {
    p->weight->method->decode(p->weight, p->kern, (row + r) * k, k, LQ_F32, room->natural, 0);
    p->kern->pair[0](room->natural, (size_t)k, room->decoded + r * p->x_stride);
  }
}

static void decoded_band(const struct product *p, const struct product_room *room, uint64_t n,
                         uint64_t count)
{
  uint64_t k = paired(p->weight->shape.cols), stride = p->x_stride;
  for (uint64_t i = 0; i < p->m; i += X_ROWS) {
    uint64_t rows = lqi_min_u64(X_ROWS, p->m - i), c = 0;
    do {
      uint64_t columns = lqi_min_u64(X_COLUMNS, k - c);
      struct lqi_rows a = {room->decoded + c, (size_t)stride, (size_t)count};
      struct lqi_rows b = {p->x + i * stride + c, (size_t)stride, (size_t)rows};
      int stage = (c == 0 ? LQI_DOTS_BEGIN : 0) | (c + columns == k ? LQI_DOTS_END : 0);
      p->kern->dots(a, b, (size_t)columns, stage, room->sums, room->tile, (size_t)p->band);
      c += columns;
    } while (c < k);
    lqi_product_store(&p->out, room->tile, p->band, i, rows, n, count);
  }
}

static void product_task(void *arg, uint32_t index)
{
  const struct product *p = arg;
  uint64_t begin = index * p->per_task, end = lqi_min_u64(begin + p->per_task, p->rows);
  struct product_room room;
  cut_room(p, index, &room);
  for (uint64_t n = begin, count; n < end; n += count) {
    struct lqi_strip strip = {0};
    count = lqi_min_u64(p->band, end - n);
    if (p->form >= 0)
      p->weight->method->strip(p->weight, p->kern, p->first + n, count, room.grids, &strip);
    if (p->fused && takes_fixed(p, &strip)) {
      fixed_band(p, &strip, &room, n, count);
    } else if (p->fused) {
      fused_band(p, &strip, &room, n, count);
    } else {
      decode_band(p, &strip, &room, p->first + n, count);
      decoded_band(p, &room, n, count);
    }
  }
}

/* How many rows of W at a time: of decoded ones as many as stay in a second-level cache, but so
 * many that x, which passes over each band, need not come faster than a third level gives it. */
static uint64_t band_of(const struct product *p)
{
  uint64_t band = (UINT64_C(1) << 16) / (p->weight->shape.cols | 1) / 4 * 4;
  band = band < DECODED_LEAST ? DECODED_LEAST : band > DECODED_BAND ? DECODED_BAND : band;
  return lqi_min_u64(p->fused ? FUSED_BAND : band, p->rows);
}

/* Work space for as many tasks as may run at once; 0 rows: no work. */
static lq_status run_product(const struct lqi_mem *mem, const struct lqi_par *par,
                             struct product *p, lq_task_fn task)
{
  uint64_t k = p->weight->shape.cols, bytes;
  if (p->rows == 0 || p->m == 0)
    return LQ_OK;
  p->band = band_of(p);
  uint64_t bands = lqi_ceil_div(p->rows, p->band);
  uint64_t workers = lqi_min_u64(lqi_workers_for(par, p->rows * k * p->m), bands);
  p->per_task = lqi_ceil_div(bands, workers) * p->band;
  uint64_t tasks = lqi_ceil_div(p->rows, p->per_task);
  p->room = cut_room(p, 0, NULL);
  if (k > UINT64_MAX >> 16 || lqi_mul_overflows(p->room, tasks, &bytes))
    return LQ_E_OVERFLOW;
  p->rooms = lqi_alloc(mem, bytes);
  if (p->rooms == NULL)
    return LQ_E_MEMORY;
  lqi_parallel(par, (uint32_t)tasks, task, p);
  lqi_free(mem, p->rooms, bytes);
  return LQ_OK;
}

/* Rows i .. of x to `room`; behind them, if p->fixed has a stride, the same in fixed point. */
static void take_rows(struct product *p, const struct lqi_input *in, uint64_t i, float *room)
{
  uint64_t k = p->weight->shape.cols;
  for (uint64_t r = 0; r < p->m; r++) {
    float *row = room + r * p->x_stride;
    p->kern->pair[lqi_float_index(in->dtype)](lqi_element(in->x, in->dtype, (i + r) * in->stride),
                                              (size_t)k, row);
    if (p->fixed.q != NULL)
      p->kern->fix(row, (size_t)k, &p->fixed, (size_t)r);
  }
}

/* ---- Tiles of bf16 ---- */

/* Columns of rows row .. of W, decoded to bf16. */
static void load_bf16(void *arg, uint64_t row, uint64_t count, uint64_t step, uint64_t steps,
                      uint8_t *to, size_t stride)
{
  const struct product *p = arg;
  const uint64_t k = p->weight->shape.cols, at = step * LQI_TILE_STEP / 2,
                 n = lqi_min_u64(steps * LQI_TILE_STEP / 2, k - at);
  for (uint64_t r = 0; r < count; r++, to += stride) {
    p->weight->method->decode(p->weight, p->kern, (p->first + row + r) * k + at, n, LQ_BF16, to, 0);
    memset(to + 2 * n, 0, (size_t)(steps * LQI_TILE_STEP - 2 * n));
  }
}

static void store_bf16(void *arg, uint32_t task, uint64_t i, uint64_t m, uint64_t n, uint64_t count,
                       float *sums)
{
  const struct product *p = arg;
  (void)task;
  lqi_product_store(&p->out, sums, p->band, i, m, n, count);
}

/* A panel of rows i .. of x, by way of `rows`, where they are bf16 of whole steps. */
static void pack_bf16(const struct product *p, const struct lqi_input *in, uint64_t i,
                      uint64_t count, uint64_t steps, uint16_t *rows, float *wide, uint8_t *panel)
{
  const uint64_t k = p->weight->shape.cols, stride = steps * LQI_TILE_STEP / 2;
  for (uint64_t r = 0; r < count; r++) {
    const void *x = lqi_element(in->x, in->dtype, (i + r) * in->stride);
    uint16_t *to = rows + r * stride;
    if (in->dtype == LQ_BF16) {
      memcpy(to, x, (size_t)k * sizeof *to);
    } else {
      p->kern->widen[lqi_float_index(in->dtype)](x, (size_t)k, wide);
      p->kern->narrow[lqi_float_index(LQ_BF16)](wide, (size_t)k, to);
    }
    memset(to + k, 0, (size_t)(stride - k) * sizeof *to);
  }
  lqi_tiles_pack(p->kern, (const uint8_t *)rows, (size_t)stride * sizeof *rows, count, steps,
                 panel);
}

static lq_status multiply_tiles(const struct lqi_mem *mem, const struct lqi_par *par,
                                struct product *p, const struct lqi_input *in)
{
  const uint64_t k = p->weight->shape.cols, most = lqi_min_u64(in->m, X_BLOCK);
  const uint64_t steps = lqi_ceil_div(k, LQI_TILE_STEP / 2), row = steps * LQI_TILE_STEP;
  const uint64_t packed = lqi_tiles_x_bytes(most, steps);
  const uint64_t bytes = packed + LQI_TILE_ROWS * row + 2 * row;
  if (k > UINT64_MAX >> 16)
    return LQ_E_OVERFLOW;
  uint8_t *x = lqi_alloc(mem, bytes);
  if (x == NULL)
    return LQ_E_MEMORY;
  uint16_t *rows = (uint16_t *)(void *)(x + packed);
  float *wide = (float *)(void *)(x + packed + LQI_TILE_ROWS * row);
  struct lqi_tiling t = {.kern = p->kern,
                         .multiply = p->kern->blocks_bf16,
                         .rows = p->rows,
                         .steps = steps,
                         .x = x,
                         .arg = p,
                         .load = load_bf16,
                         .store = store_bf16};
  void *y = p->out.y;
  lq_status s = LQ_OK;
  p->band = LQI_TILE_ROWS;
  for (uint64_t i = 0; i < in->m && s == LQ_OK; i += t.m) {
    t.m = lqi_min_u64(most, in->m - i);
    p->out.y = lqi_element_mut(y, p->out.dtype, i * p->out.stride);
    for (uint64_t r = 0; r < t.m; r += LQI_TILE_ROWS)
      pack_bf16(p, in, i + r, lqi_min_u64(LQI_TILE_ROWS, t.m - r), steps, rows, wide,
                x + lqi_tiles_x_bytes(r, steps));
    s = lqi_tiles_run(&t, mem, par);
  }
  lqi_free(mem, x, bytes);
  return s;
}

static uint64_t x_block(uint64_t m, uint64_t k)
{
  uint64_t rows = X_BLOCK_FLOATS / (k | 1) / X_ROWS * X_ROWS;
  rows = rows < X_ROWS ? X_ROWS : lqi_min_u64(rows, X_BLOCK);
  return lqi_min_u64(m, rows);
}

static int form_of(const struct lqi_input *in)
{
  const struct lqi_method *method = in->weight->method;
  const uint64_t k = in->weight->shape.cols;
  struct lqi_strip none;
  if (method->strip == NULL || k == 0 || k % LQI_PIECE != 0)
    return -1;
  const int form = method->strip(in->weight, in->kern, 0, 0, NULL, &none);
  return form >= 0 && in->kern->strip_dots[form] != NULL ? form : -1;
}

static lq_status multiply_blocks(const struct lqi_mem *mem, const struct lqi_par *par,
                                 struct product *p, const struct lqi_input *in)
{
  uint64_t k = p->weight->shape.cols, most = x_block(in->m, k), row, bytes;
  int fixed = in->fast && k % LQI_UNIT == 0;
  void *y = p->out.y;
  lq_status s = LQ_OK;
  p->x_stride = apart(k);
  fixed &= p->form >= 0 && in->m <= FIXED_ROWS;
  p->fused = fixed || (p->form >= 0 && in->m <= p->kern->strip_rows);
  /* Of a row: floats, integers of half their size, a scale for each unit. */
  row = p->x_stride + (fixed ? k / 2 + k / LQI_UNIT : 0);
  if (lqi_mul_overflows(most * sizeof(float), row, &bytes))
    return LQ_E_OVERFLOW;
  float *x = lqi_alloc(mem, bytes);
  if (x == NULL)
    return LQ_E_MEMORY;
  p->x = x;
  if (fixed) {
    float *t = x + most * p->x_stride;
    p->fixed = (struct lqi_fixed){(int16_t *)(void *)(t + most * (k / LQI_UNIT)), t, (size_t)k};
  }
  for (uint64_t i = 0; i < in->m && s == LQ_OK; i += p->m) {
    p->m = lqi_min_u64(most, in->m - i);
    p->out.y = lqi_element_mut(y, p->out.dtype, i * p->out.stride);
    take_rows(p, in, i, x);
    s = run_product(mem, par, p, product_task);
  }
  lqi_free(mem, x, bytes);
  return s;
}

static lq_status multiply_usual(const struct lqi_mem *mem, const struct lqi_par *par,
                                struct product *p, const struct lqi_input *in)
{
  if (in->fast && lqi_takes_bytes(in))
    return lqi_multiply_bytes(mem, par, in, &p->out);
  return multiply_blocks(mem, par, p, in);
}

/* ---- Columns in another order ---- */

struct ordering {
  const struct lqi_input *in;
  char *to;
  uint64_t per_task;
};

/* Rows of x with their columns as those of W lie. */
static void order_task(void *arg, uint32_t index)
{
  const struct ordering *o = arg;
  const struct lqi_input *in = o->in;
  const uint32_t *column = in->weight->order.data;
  const uint64_t k = in->weight->shape.cols, begin = index * o->per_task;
  const uint64_t end = lqi_min_u64(begin + o->per_task, in->m);
  for (uint64_t r = begin; r < end; r++) {
    const void *x = lqi_element(in->x, in->dtype, r * in->stride);
    void *to = lqi_element_mut(o->to, in->dtype, r * k);
    if (in->dtype == LQ_F32)
      for (uint64_t i = 0; i < k; i++)
        ((float *)to)[i] = ((const float *)x)[column[i]];
    else
      for (uint64_t i = 0; i < k; i++)
        ((uint16_t *)to)[i] = ((const uint16_t *)x)[column[i]];
  }
}

/* The product by a W whose rows hold their columns in another order: that of a copy of x. */
static lq_status multiply_ordered(const struct lqi_mem *mem, const struct lqi_par *par,
                                  struct product *p, const struct lqi_input *in)
{
  const uint64_t k = in->weight->shape.cols;
  const uint64_t workers = lqi_workers_for(par, in->rows * k * in->m);
  struct lqi_input ordered = *in;
  struct ordering o = {.in = in, .per_task = lqi_ceil_div(in->m, lqi_min_u64(workers, in->m))};
  uint64_t bytes;
  if (lqi_mul_overflows(in->m, k * lqi_dtype_size(in->dtype), &bytes))
    return LQ_E_OVERFLOW;
  o.to = lqi_alloc(mem, bytes);
  if (o.to == NULL)
    return LQ_E_MEMORY;
  lqi_parallel(par, (uint32_t)lqi_ceil_div(in->m, o.per_task), order_task, &o);
  ordered.x = o.to;
  ordered.stride = k;
  lq_status s = multiply_usual(mem, par, p, &ordered);
  lqi_free(mem, o.to, bytes);
  return s;
}

LQ_API lq_status lq_matmul_rows(const lq_tensor *weight, uint64_t first_row, uint64_t rows,
                                uint64_t m, int32_t x_dtype, const void *x, uint64_t x_stride,
                                const float *bias, int32_t y_dtype, void *y, uint64_t y_stride,
                                const lq_config *how)
{
  if (weight == NULL || !lqi_is_float(x_dtype) || !lqi_is_float(y_dtype))
    return LQ_E_ARGUMENT;
  const struct lqi_shape *shape = &weight->store.shape;
  if (first_row > shape->rows || rows > shape->rows - first_row)
    return LQ_E_SHAPE;
  if (m != 0 && ((x == NULL && shape->cols != 0) || (y == NULL && rows != 0)))
    return LQ_E_ARGUMENT;
  if (lqi_misaligned(x, x_dtype) || lqi_misaligned(y, y_dtype) || lqi_misaligned(bias, LQ_F32))
    return LQ_E_ARGUMENT;
  if (m > 1 && (x_stride < shape->cols || y_stride < rows))
    return LQ_E_SHAPE;
  if (m == 0 || rows == 0)
    return LQ_OK;
  struct lqi_par par = lqi_par_of(how);
  struct lqi_input in = {.weight = &weight->store,
                         .kern = lqi_kernels(),
                         .first = first_row,
                         .rows = rows,
                         .m = m,
                         .stride = x_stride,
                         .dtype = x_dtype,
                         .x = x,
                         .fast = how != NULL && how->compute == LQ_COMPUTE_FAST};
  struct product p = {.weight = in.weight,
                      .kern = in.kern,
                      .form = -1,
                      .first = first_row,
                      .rows = rows,
                      .out = {in.kern, bias, y_dtype, y, y_stride}};
  if (in.fast && m >= TILE_ROWS_LEAST && p.kern->blocks_bf16 != NULL && shape->cols != 0)
    return multiply_tiles(&weight->mem, &par, &p, &in);
  in.form = p.form = form_of(&in);
  if (in.form >= 0 && in.weight->order.bytes != 0)
    return multiply_ordered(&weight->mem, &par, &p, &in);
  return multiply_usual(&weight->mem, &par, &p, &in);
}

LQ_API lq_status lq_matmul(const lq_tensor *weight, uint64_t m, int32_t x_dtype, const void *x,
                           uint64_t x_stride, const float *bias, int32_t y_dtype, void *y,
                           uint64_t y_stride, const lq_config *how)
{
  uint64_t rows = weight != NULL ? weight->store.shape.rows : 0;
  return lq_matmul_rows(weight, 0, rows, m, x_dtype, x, x_stride, bias, y_dtype, y, y_stride, how);
}
