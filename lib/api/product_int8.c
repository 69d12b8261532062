/*
 * product_int8.c - y = x W^T of two tensors of 8-bit integers.
 *
 * Owns: cutting the integer product into tasks and bands, scaling of its sums, the dense columns of
 * x.
 * Must not know: other methods.
 *
 * The codes of x are copied, some hundred rows at a time, as kernels take them (kern.h: 128 is
 * added), at a distance that spreads rows over all sets of a cache, which powers of two would not.
 * A task takes bands of rows of W. The rows of x that pass over a band at a time stay in a
 * second-level cache, so that W may come from memory at its own speed.
 */
#include "handle.h"
#include "product_tiles.h"

#include "../method/registry.h"

#include <string.h>

/* Nearest f32 to 1 / 127^2, and what bitsandbytes has in its place (a digit is missing
 * there: 6.2e-05 times 1 + 1.8e-5). */
#define INT8_PRODUCT_BITS 0x38820610u
#define INT8_PRODUCT_REFERENCE_BITS 0x388206aau

/* int32 holds 128 * 128 * K exactly up to here. */
#define INT8_MOST_COLUMNS 131071

/* Rows of x that are copied at a time, and that pass over a band at a time: at most, and bytes. */
#define INT8_X_BLOCK 512
#define INT8_X_ROWS 64
#define INT8_X_BYTES (UINT64_C(1) << 18)

/* Rows of W at a time: whole tiles of every kernel, and whole vectors of results. */
#define INT8_BAND 48

/* Dense columns of x at a time. */
#define INT8_DENSE 64

struct int8_product {
  const struct lqi_store *weight, *x;
  const struct lqi_kernels *kern;
  uint64_t m_first, m; /* rows of x in `codes` */
  const uint8_t *codes;
  uint64_t stride;
  const float *bias;
  int32_t y_dtype;
  void *y;
  uint64_t y_stride;
  float step;
  struct int8_room *rooms; /* of each task */
  uint64_t per_task;       /* rows of W a task */
};

/* The work space of a task. */
struct int8_room {
  int32_t sums[INT8_X_ROWS][INT8_BAND];
  float scales[INT8_BAND], bias[INT8_BAND];
  float dense[INT8_X_ROWS][INT8_BAND];
  int8_t picked[INT8_BAND * INT8_DENSE]; /* codes of W in dense columns of x, decoded, by column */
  float decoded[INT8_BAND * INT8_DENSE];
  float turned[INT8_DENSE][INT8_BAND];
};

/* n codes + 128, eight at a time. */
static void offset_codes(const int8_t *codes, uint64_t n, uint8_t *out)
{
  uint64_t k = 0, eight;
  for (; k + sizeof eight <= n; k += sizeof eight) {
    memcpy(&eight, codes + k, sizeof eight);
    eight ^= UINT64_C(0x8080808080808080);
    memcpy(out + k, &eight, sizeof eight);
  }
  for (; k < n; k++)
    out[k] = (uint8_t)(codes[k] + 128);
}

/* Loops over a band: of constant length and without overlap they become vectors everywhere. */

static void scale_sums(const int32_t *restrict sums, const float *restrict scales, float scale,
                       float step, float *restrict out)
{
  for (size_t l = 0; l < INT8_BAND; l++)
    out[l] = ((float)sums[l] * (scale * scales[l])) * step;
}

static void add_row(const float *restrict row, float *restrict sum)
{
  for (size_t l = 0; l < INT8_BAND; l++)
    sum[l] += row[l];
}

static void add_multiple(float v, const float *restrict row, float *restrict sum)
{
  for (size_t l = 0; l < INT8_BAND; l++)
    sum[l] += v * row[l];
}

/*
 * Columns c .. c + columns - 1 of the dense ones, of rows row .. row + count - 1 of W, decoded to
 * room->turned. Picked out, their codes are rows of a smaller tensor with the same scales.
 */
static void decode_dense(const struct int8_product *p, struct int8_room *room, uint64_t row,
                         uint64_t count, uint64_t c, uint64_t columns)
{
  const uint64_t k = p->weight->shape.cols;
  const int8_t *codes = (const int8_t *)p->weight->plane[LQI_CODES].data + row * k;
  const int64_t *column = (const int64_t *)p->x->plane[LQI_OUTLIER_COLUMNS].data + c;
  for (uint64_t r = 0; r < count; r++, codes += k)
    for (uint64_t i = 0; i < columns; i++)
      room->picked[r * columns + i] = codes[column[i]];
  struct lqi_store part = *p->weight;
  part.shape.rows = count;
  part.shape.cols = columns;
  part.plane[LQI_CODES].data = room->picked;
  part.plane[LQI_SCALES].data = (float *)p->weight->plane[LQI_SCALES].data + row;
  part.method->decode(&part, p->kern, 0, count * columns, LQ_F32, room->decoded, 0);
  for (uint64_t r = 0; r < count; r++)
    for (uint64_t i = 0; i < columns; i++)
      room->turned[i][r] = room->decoded[r * columns + i];
}

/* room->dense: products of the dense columns of rows i .. of x with the decoded columns of W, in
 * rising order of columns. */
static void multiply_dense(const struct int8_product *p, struct int8_room *room, uint64_t row,
                           uint64_t count, uint64_t i, uint64_t rows)
{
  const struct lqi_store *x = p->x;
  memset(room->dense, 0, (size_t)rows * sizeof room->dense[0]);
  for (uint64_t c = 0, columns; c < x->outliers; c += columns) {
    columns = lqi_min_u64(INT8_DENSE, x->outliers - c);
    decode_dense(p, room, row, count, c, columns);
    for (uint64_t r = 0; r < rows; r++) {
      for (uint64_t d = 0; d < columns; d++) {
        uint64_t at = (p->m_first + i + r) * x->outliers + c + d;
        float v = lqi_load(x->plane[LQI_OUTLIERS].data, x->dtype, at);
        add_multiple(v, room->turned[d], room->dense[r]);
      }
    }
  }
}

/* The sums of row i of x, which is row r of room->sums, to y from column n on. */
static void store_sums(const struct int8_product *p, struct int8_room *room, uint64_t i, uint64_t r,
                       uint64_t n, uint64_t count, int dense)
{
  const uint64_t row = p->m_first + i;
  const int32_t *sums = room->sums[r];
  if (p->y_dtype == LQ_I32) {
    memcpy((int32_t *)p->y + row * p->y_stride + n, sums, (size_t)count * sizeof *sums);
    return;
  }
  const float scale = ((const float *)p->x->plane[LQI_SCALES].data)[row];
  float values[INT8_BAND];
  scale_sums(sums, room->scales, scale, p->step, values);
  if (p->bias != NULL)
    add_row(room->bias, values);
  if (dense)
    add_row(room->dense[r], values);
  void *y = lqi_element_mut(p->y, p->y_dtype, row * p->y_stride + n);
  if (p->y_dtype == LQ_F32)
    memcpy(y, values, (size_t)count * sizeof *values);
  else
    p->kern->narrow[lqi_float_index(p->y_dtype)](values, (size_t)count, y);
}

static void int8_band(const struct int8_product *p, struct int8_room *room, uint64_t n,
                      uint64_t count)
{
  const uint64_t k = p->weight->shape.cols,
                 most = lqi_min_u64(INT8_X_ROWS, INT8_X_BYTES / p->stride / 4 * 4 + 16);
  const int dense = p->x->plane[LQI_OUTLIERS].bytes != 0 && p->y_dtype != LQ_I32;
  struct lqi_bytes w = {(const uint8_t *)p->weight->plane[LQI_CODES].data + n * k, (size_t)k,
                        (size_t)count};
  memcpy(room->scales, (const float *)p->weight->plane[LQI_SCALES].data + n,
         (size_t)count * sizeof(float));
  if (p->bias != NULL)
    memcpy(room->bias, p->bias + n, (size_t)count * sizeof(float));
  for (uint64_t i = 0, rows; i < p->m; i += rows) {
    rows = lqi_min_u64(most, p->m - i);
    struct lqi_bytes x = {p->codes + i * p->stride, (size_t)p->stride, (size_t)rows};
    p->kern->dots_i8(w, x, (size_t)k, room->sums[0], INT8_BAND);
    if (dense)
      multiply_dense(p, room, n, count, i, rows);
    for (uint64_t r = 0; r < rows; r++)
      store_sums(p, room, i + r, r, n, count, dense);
  }
}

static void int8_task(void *arg, uint32_t index)
{
  const struct int8_product *p = arg;
  const uint64_t first = index * p->per_task,
                 end = lqi_min_u64(first + p->per_task, p->weight->shape.rows);
  struct int8_room *room = p->rooms + index;
  /* Of a band of fewer rows what is left out is computed too: it must be numbers. */
  memset(room, 0, offsetof(struct int8_room, dense));
  if (p->x->plane[LQI_OUTLIERS].bytes != 0)
    memset(room->turned, 0, sizeof room->turned);
  for (uint64_t n = first; n < end; n += INT8_BAND)
    int8_band(p, room, n, lqi_min_u64(INT8_BAND, end - n));
}

/* Copies blocks of rows of x, and multiplies each. */
static lq_status multiply_int8(const struct lqi_mem *mem, const struct lqi_par *par,
                               struct int8_product *p)
{
  const uint64_t k = p->weight->shape.cols, m = p->x->shape.rows, rows = p->weight->shape.rows;
  const uint64_t bands = lqi_ceil_div(rows, INT8_BAND), most = lqi_min_u64(m, INT8_X_BLOCK);
  const uint64_t workers = lqi_min_u64(lqi_workers_for(par, rows * k * m), bands);
  const int8_t *x = p->x->plane[LQI_CODES].data;
  p->stride = (lqi_ceil_div(k, LQI_ALIGNMENT) | 1) * LQI_ALIGNMENT;
  p->per_task = lqi_ceil_div(bands, workers) * INT8_BAND;
  const uint64_t tasks = lqi_ceil_div(rows, p->per_task);
  const uint64_t rooms = tasks * sizeof *p->rooms, copy = most * p->stride;
  uint8_t *space = lqi_alloc(mem, rooms + copy);
  if (space == NULL)
    return LQ_E_MEMORY;
  p->rooms = (struct int8_room *)(void *)space;
  p->codes = space + rooms;
  for (p->m_first = 0; p->m_first < m; p->m_first += p->m) {
    p->m = lqi_min_u64(most, m - p->m_first);
    for (uint64_t i = 0; i < p->m; i++)
      offset_codes(x + (p->m_first + i) * k, k, space + rooms + i * p->stride);
    lqi_parallel(par, (uint32_t)tasks, int8_task, p);
  }
  lqi_free(mem, space, rooms + copy);
  return LQ_OK;
}

/* ---- Tiles ---- */

/* Fewest rows of x for which tiles are worth their padding. */
#define INT8_TILE_ROWS_LEAST 16

static void load_int8(void *arg, uint64_t row, uint64_t count, uint64_t step, uint64_t steps,
                      uint8_t *to, size_t stride)
{
  const struct int8_product *p = arg;
  const uint64_t k = p->weight->shape.cols, at = step * LQI_TILE_STEP,
                 n = lqi_min_u64(steps * LQI_TILE_STEP, k - at);
  const uint8_t *codes = (const uint8_t *)p->weight->plane[LQI_CODES].data + row * k + at;
  for (uint64_t r = 0; r < count; r++, to += stride, codes += k) {
    memcpy(to, codes, (size_t)n);
    memset(to + n, 0, (size_t)(steps * LQI_TILE_STEP - n));
  }
}

static void store_int8(void *arg, uint32_t task, uint64_t i, uint64_t m, uint64_t n, uint64_t count,
                       float *sums)
{
  const struct int8_product *p = arg;
  struct int8_room *room = p->rooms + task;
  const int dense = p->x->plane[LQI_OUTLIERS].bytes != 0 && p->y_dtype != LQ_I32;
  memcpy(room->scales, (const float *)p->weight->plane[LQI_SCALES].data + n,
         (size_t)count * sizeof(float));
  if (p->bias != NULL)
    memcpy(room->bias, p->bias + n, (size_t)count * sizeof(float));
  if (dense)
    multiply_dense(p, room, n, count, i, m);
  for (uint64_t r = 0; r < m; r++) {
    memcpy(room->sums[r], sums + r * LQI_TILE_ROWS, LQI_TILE_ROWS * sizeof *sums);
    store_sums(p, room, i + r, r, n, count, dense);
  }
}

/* A panel of rows i .. of x, by way of `rows`, where they have whole steps. */
static void pack_int8(const struct int8_product *p, uint64_t i, uint64_t count, uint64_t steps,
                      uint8_t *rows, uint8_t *panel)
{
  const uint64_t k = p->weight->shape.cols, stride = steps * LQI_TILE_STEP;
  const uint8_t *codes = (const uint8_t *)p->x->plane[LQI_CODES].data + i * k;
  for (uint64_t r = 0; r < count; r++) {
    memcpy(rows + r * stride, codes + r * k, (size_t)k);
    memset(rows + r * stride + k, 0, (size_t)(stride - k));
  }
  lqi_tiles_pack(p->kern, rows, (size_t)stride, count, steps, panel);
}

static lq_status multiply_int8_tiles(const struct lqi_mem *mem, const struct lqi_par *par,
                                     struct int8_product *p)
{
  const uint64_t k = p->weight->shape.cols, m = p->x->shape.rows;
  const uint64_t most = lqi_min_u64(m, INT8_X_BLOCK), steps = lqi_ceil_div(k, LQI_TILE_STEP);
  const uint64_t packed = lqi_tiles_x_bytes(most, steps), row = steps * LQI_TILE_STEP;
  struct lqi_tiling t = {.kern = p->kern,
                         .multiply = p->kern->blocks_i8,
                         .rows = p->weight->shape.rows,
                         .steps = steps,
                         .arg = p,
                         .load = load_int8,
                         .store = store_int8};
  const uint64_t rooms = lqi_tiles_tasks(&t, par) * sizeof *p->rooms,
                 bytes = rooms + packed + LQI_TILE_ROWS * row;
  uint8_t *space = lqi_alloc(mem, bytes);
  if (space == NULL)
    return LQ_E_MEMORY;
  uint8_t *x = space + rooms;
  /* What a short band leaves out is computed too: it must be numbers. */
  memset(space, 0, (size_t)rooms);
  p->rooms = (struct int8_room *)(void *)space;
  t.x = x;
  lq_status s = LQ_OK;
  for (p->m_first = 0; p->m_first < m && s == LQ_OK; p->m_first += t.m) {
    t.m = lqi_min_u64(most, m - p->m_first);
    for (uint64_t r = 0; r < t.m; r += LQI_TILE_ROWS)
      pack_int8(p, p->m_first + r, lqi_min_u64(LQI_TILE_ROWS, t.m - r), steps, x + packed,
                x + lqi_tiles_x_bytes(r, steps));
    s = lqi_tiles_run(&t, mem, par);
  }
  lqi_free(mem, space, bytes);
  return s;
}

LQ_API lq_status lq_matmul_int8(const lq_tensor *weight, const lq_tensor *x, const float *bias,
                                int32_t y_dtype, void *y, uint64_t y_stride, const lq_config *how)
{
  if (weight == NULL || x == NULL || (y_dtype != LQ_I32 && !lqi_is_float(y_dtype)) ||
      (bias && y_dtype == LQ_I32))
    return LQ_E_ARGUMENT;
  const struct lqi_shape *shape = &weight->store.shape;
  if (!LQI_IS(&weight->store, INT8) || !LQI_IS(&x->store, INT8))
    return LQ_E_UNSUPPORTED;
  if (shape->cols != x->store.shape.cols)
    return LQ_E_SHAPE;
  if (shape->cols > INT8_MOST_COLUMNS || weight->store.plane[LQI_OUTLIERS].bytes != 0)
    return LQ_E_UNSUPPORTED;
  uint64_t m = x->store.shape.rows;
  if ((y == NULL && m != 0 && shape->rows != 0) || lqi_misaligned(y, y_dtype) ||
      lqi_misaligned(bias, LQ_F32))
    return LQ_E_ARGUMENT;
  if (m > 1 && y_stride < shape->rows)
    return LQ_E_SHAPE;
  if (m == 0 || shape->rows == 0)
    return LQ_OK;
  struct lqi_par par = lqi_par_of(how);
  int reference = how != NULL && how->compat == LQ_COMPAT_BITSANDBYTES_CPU;
  struct int8_product p = {
      .weight = &weight->store,
      .x = &x->store,
      .kern = lqi_kernels(),
      .bias = bias,
      .y_dtype = y_dtype,
      .y = y,
      .y_stride = y_stride,
      .step = lqi_f32_from_bits(reference ? INT8_PRODUCT_REFERENCE_BITS : INT8_PRODUCT_BITS),
  };
  if (m >= INT8_TILE_ROWS_LEAST && p.kern->blocks_i8 != NULL && shape->cols != 0)
    return multiply_int8_tiles(&weight->mem, &par, &p);
  return multiply_int8(&weight->mem, &par, &p);
}
