/*
 * compute.c - decoding and products.
 *
 * Owns: cutting such calls into tasks, work space, conversion of x and y.
 * Must not know: any one method; an encoded tensor is decoded through its vtable.
 */
#include "handle.h"

#include "../method/registry.h"

#include <string.h>

/* Results above this size are written past the caches: whoever reads them next finds them in memory
 * either way. */
#define STREAM_BYTES (UINT64_C(8) << 20)

/* Nearest f32 to 1 / 127^2, and what bitsandbytes has in its place (a digit is missing
 * there: 6.2e-05 times 1 + 1.8e-5). */
#define INT8_PRODUCT_BITS 0x38820610u
#define INT8_PRODUCT_REFERENCE_BITS 0x388206aau

/* ---- Decoding ---- */

struct decode_tasks {
  const struct lqi_store *store;
  const struct lqi_kernels *kern;
  uint64_t first, count, per_task;
  int32_t dtype;
  int stream;
  void *out;
};

static void decode_task(void *arg, uint32_t index)
{
  const struct decode_tasks *t = arg;
  uint64_t at = index * t->per_task, n = lqi_min_u64(t->per_task, t->count - at);
  t->store->method->decode(t->store, t->kern, t->first + at, n, t->dtype,
                           lqi_element_mut(t->out, t->dtype, at), t->stream);
}

static lq_status decode_range(const lq_tensor *tensor, uint64_t first, uint64_t count,
                              int32_t dtype, void *out, size_t bytes, const lq_config *how)
{
  if (!lqi_is_float(dtype))
    return LQ_E_ARGUMENT;
  if (bytes != count * lqi_dtype_size(dtype))
    return LQ_E_SHAPE;
  if (count == 0)
    return LQ_OK;
  if (out == NULL || (uintptr_t)out % lqi_dtype_size(dtype) != 0)
    return LQ_E_ARGUMENT;
  const struct lqi_par par = lqi_par_of(how);
  const struct lqi_store *store = &tensor->store;
  /* Whole blocks a task, so that only the ends of the range meet partial ones. */
  uint64_t block = store->block_size != 0 ? store->block_size : 1;
  struct decode_tasks t = {
      .store = store,
      .kern = lqi_kernels(),
      .first = first,
      .count = count,
      .per_task = lqi_ceil_div(LQI_TASK_ELEMENTS, block) * block,
      .dtype = dtype,
      .stream = bytes > STREAM_BYTES,
      .out = out,
  };
  uint32_t tasks = lqi_task_count(count, &t.per_task);
  lqi_parallel(&par, tasks, decode_task, &t);
  return LQ_OK;
}

LQ_API lq_status lq_dequantize(const lq_tensor *tensor, int32_t dtype, void *out, size_t bytes,
                               const lq_config *how)
{
  if (tensor == NULL)
    return LQ_E_ARGUMENT;
  return decode_range(tensor, 0, tensor->store.shape.count, dtype, out, bytes, how);
}

LQ_API lq_status lq_dequantize_rows(const lq_tensor *tensor, uint64_t first_row, uint64_t rows,
                                    int32_t dtype, void *out, size_t bytes, const lq_config *how)
{
  if (tensor == NULL)
    return LQ_E_ARGUMENT;
  const struct lqi_shape *shape = &tensor->store.shape;
  if (first_row > shape->rows || rows > shape->rows - first_row)
    return LQ_E_SHAPE;
  return decode_range(tensor, first_row * shape->cols, rows * shape->cols, dtype, out, bytes, how);
}

/* ---- Products ---- */

struct product {
  const struct lqi_store *weight;
  const struct lqi_store *x_codes; /* lq_matmul_int8 */
  const struct lqi_kernels *kern;
  uint64_t m;
  const float *x; /* [m, K] f32: the caller's, or converted */
  uint64_t x_stride;
  const float *bias;
  int32_t y_dtype;
  void *y;
  uint64_t y_stride;
  float step;        /* lq_matmul_int8 */
  uint64_t band;     /* rows of W that are decoded at a time */
  float *room;       /* of each task: a decoded band, and X_ROWS * band results */
  uint64_t per_task; /* rows of W a task */
};

/* Rows of x that pass over a decoded band at a time; a multiple of every kernel's tile. */
#define X_ROWS 48

/* The work space of a task: band * K decoded weights, then the results. */
static uint64_t room_of(const struct product *p)
{
  return p->band * p->weight->shape.cols + X_ROWS * p->band;
}

/* tile[rows][band] + bias to rows first .. of y at column n. */
static void store_tile(const struct product *p, float *tile, uint64_t first, uint64_t rows,
                       uint64_t n, uint64_t count)
{
  for (uint64_t i = 0; i < rows; i++, tile += p->band) {
    if (p->bias != NULL)
      for (uint64_t j = 0; j < count; j++)
        tile[j] += p->bias[n + j];
    void *y = lqi_element_mut(p->y, p->y_dtype, (first + i) * p->y_stride + n);
    if (p->y_dtype == LQ_F32)
      memcpy(y, tile, count * sizeof *tile);
    else
      p->kern->narrow[lqi_float_index(p->y_dtype)](tile, (size_t)count, y);
  }
}

static void product_task(void *arg, uint32_t index)
{
  const struct product *p = arg;
  const struct lqi_shape *shape = &p->weight->shape;
  uint64_t k = shape->cols, first = index * p->per_task,
           end = lqi_min_u64(first + p->per_task, shape->rows);
  float *decoded = p->room + index * room_of(p), *tile = decoded + p->band * k;
  for (uint64_t n = first, count; n < end; n += count) {
    count = lqi_min_u64(p->band, end - n);
    p->weight->method->decode(p->weight, p->kern, n * k, count * k, LQ_F32, decoded, 0);
    struct lqi_rows a = {decoded, (size_t)k, (size_t)count};
    for (uint64_t i = 0; i < p->m; i += X_ROWS) {
      uint64_t rows = lqi_min_u64(X_ROWS, p->m - i);
      struct lqi_rows b = {p->x + i * p->x_stride, (size_t)p->x_stride, (size_t)rows};
      p->kern->dots(a, b, (size_t)k, tile, (size_t)p->band);
      store_tile(p, tile, i, rows, n, count);
    }
  }
}

/* As many rows as stay in a second-level cache, but whole tiles. */
static uint64_t band_of(const struct lqi_shape *shape)
{
  uint64_t band = (UINT64_C(1) << 16) / (shape->cols | 1) / 4 * 4;
  return lqi_min_u64(band < 4 ? 4 : band > 32 ? 32 : band, shape->rows);
}

/* Work space for as many tasks as may run at once; 0 rows: no work. */
static lq_status run_product(const struct lqi_mem *mem, const struct lqi_par *par,
                             struct product *p, lq_task_fn task)
{
  uint64_t n = p->weight->shape.rows, k = p->weight->shape.cols, bytes;
  if (n == 0 || p->m == 0)
    return LQ_OK;
  p->band = band_of(&p->weight->shape);
  uint64_t bands = lqi_ceil_div(n, p->band);
  uint64_t workers =
      n * k * p->m < LQI_TASK_ELEMENTS ? 1 : lqi_min_u64(lqi_par_workers(par), bands);
  p->per_task = lqi_ceil_div(bands, workers) * p->band;
  uint64_t tasks = lqi_ceil_div(n, p->per_task);
  if (lqi_mul_overflows(p->band * tasks * sizeof(float), k + X_ROWS, &bytes))
    return LQ_E_OVERFLOW;
  p->room = lqi_alloc(mem, bytes);
  if (p->room == NULL)
    return LQ_E_MEMORY;
  lqi_parallel(par, (uint32_t)tasks, task, p);
  lqi_free(mem, p->room, bytes);
  return LQ_OK;
}

/* Rows of x as f32, contiguous; NULL without memory. */
static float *widen_rows(const struct lqi_mem *mem, const struct lqi_kernels *kern, uint64_t m,
                         uint64_t k, int32_t dtype, const void *x, uint64_t stride, uint64_t *bytes)
{
  if (lqi_mul_overflows(m, k, bytes) || lqi_mul_overflows(*bytes, sizeof(float), bytes))
    return NULL;
  float *wide = lqi_alloc(mem, *bytes);
  for (uint64_t i = 0; wide != NULL && i < m; i++)
    kern->widen[lqi_float_index(dtype)](lqi_element(x, dtype, i * stride), (size_t)k, wide + i * k);
  return wide;
}

static int misaligned(const void *p, int32_t dtype)
{
  return (uintptr_t)p % lqi_dtype_size(dtype) != 0;
}

LQ_API lq_status lq_matmul(const lq_tensor *weight, uint64_t m, int32_t x_dtype, const void *x,
                           uint64_t x_stride, const float *bias, int32_t y_dtype, void *y,
                           uint64_t y_stride, const lq_config *how)
{
  if (weight == NULL || !lqi_is_float(x_dtype) || !lqi_is_float(y_dtype))
    return LQ_E_ARGUMENT;
  const struct lqi_shape *shape = &weight->store.shape;
  if (m != 0 && ((x == NULL && shape->cols != 0) || (y == NULL && shape->rows != 0)))
    return LQ_E_ARGUMENT;
  if (misaligned(x, x_dtype) || misaligned(y, y_dtype) || misaligned(bias, LQ_F32))
    return LQ_E_ARGUMENT;
  if (m > 1 && (x_stride < shape->cols || y_stride < shape->rows))
    return LQ_E_SHAPE;
  struct lqi_par par = lqi_par_of(how);
  struct product p = {
      .weight = &weight->store,
      .kern = lqi_kernels(),
      .m = m,
      .x = x,
      .x_stride = x_stride,
      .bias = bias,
      .y_dtype = y_dtype,
      .y = y,
      .y_stride = y_stride,
  };
  float *wide = NULL;
  uint64_t wide_bytes = 0;
  if (x_dtype != LQ_F32) {
    wide = widen_rows(&weight->mem, p.kern, m, shape->cols, x_dtype, x, x_stride, &wide_bytes);
    if (wide == NULL)
      return LQ_E_MEMORY;
    p.x = wide;
    p.x_stride = shape->cols;
  }
  lq_status s = run_product(&weight->mem, &par, &p, product_task);
  lqi_free(&weight->mem, wide, wide_bytes);
  return s;
}

/* Products of the dense columns of x with the decoded columns of W, in rising order of columns. */
static float outlier_product(const struct product *p, uint64_t i, const float *row)
{
  const struct lqi_store *x = p->x_codes;
  const int64_t *columns = x->plane[LQI_OUTLIER_COLUMNS].data;
  float sum = 0.0f;
  for (uint64_t c = 0; c < x->outliers; c++)
    sum += lqi_load(x->plane[LQI_OUTLIERS].data, x->dtype, i * x->outliers + c) * row[columns[c]];
  return sum;
}

static void int8_task(void *arg, uint32_t index)
{
  const struct product *p = arg;
  const struct lqi_store *x = p->x_codes;
  uint64_t k = p->weight->shape.cols, first = index * p->per_task;
  uint64_t end = lqi_min_u64(first + p->per_task, p->weight->shape.rows);
  const int8_t *w_codes = p->weight->plane[LQI_CODES].data, *codes = x->plane[LQI_CODES].data;
  const float *w_scales = p->weight->plane[LQI_SCALES].data, *x_scales = x->plane[LQI_SCALES].data;
  int dense = x->plane[LQI_OUTLIERS].bytes != 0;
  float *row = p->room + index * room_of(p);
  for (uint64_t n = first; n < end; n++) {
    if (dense)
      p->weight->method->decode(p->weight, p->kern, n * k, k, LQ_F32, row, 0);
    for (uint64_t i = 0; i < p->m; i++) {
      int32_t sum = p->kern->dot_i8(codes + i * k, w_codes + n * k, (size_t)k);
      if (p->y_dtype == LQ_I32) {
        ((int32_t *)p->y)[i * p->y_stride + n] = sum;
        continue;
      }
      float y = ((float)sum * (x_scales[i] * w_scales[n])) * p->step;
      y = p->bias != NULL ? y + p->bias[n] : y;
      lqi_store(p->y, p->y_dtype, i * p->y_stride + n, dense ? y + outlier_product(p, i, row) : y);
    }
  }
}

/* int32 holds 127 * 127 * K exactly up to here. */
#define INT8_MOST_COLUMNS 131071

LQ_API lq_status lq_matmul_int8(const lq_tensor *weight, const lq_tensor *x, const float *bias,
                                int32_t y_dtype, void *y, uint64_t y_stride, const lq_config *how)
{
  if (weight == NULL || x == NULL || (y_dtype != LQ_I32 && !lqi_is_float(y_dtype)) ||
      (bias && y_dtype == LQ_I32))
    return LQ_E_ARGUMENT;
  const struct lqi_shape *shape = &weight->store.shape;
  if (weight->store.method != &lqi_method_int8 || x->store.method != &lqi_method_int8)
    return LQ_E_UNSUPPORTED;
  if (shape->cols != x->store.shape.cols)
    return LQ_E_SHAPE;
  if (shape->cols > INT8_MOST_COLUMNS || weight->store.plane[LQI_OUTLIERS].bytes != 0)
    return LQ_E_UNSUPPORTED;
  uint64_t m = x->store.shape.rows;
  if ((y == NULL && m != 0 && shape->rows != 0) || misaligned(y, y_dtype) ||
      misaligned(bias, LQ_F32))
    return LQ_E_ARGUMENT;
  if (m > 1 && y_stride < shape->rows)
    return LQ_E_SHAPE;
  struct lqi_par par = lqi_par_of(how);
  int reference = how != NULL && how->compat == LQ_COMPAT_BITSANDBYTES_CPU;
  struct product p = {
      .weight = &weight->store,
      .x_codes = &x->store,
      .kern = lqi_kernels(),
      .m = m,
      .bias = bias,
      .y_dtype = y_dtype,
      .y = y,
      .y_stride = y_stride,
      .step = lqi_f32_from_bits(reference ? INT8_PRODUCT_REFERENCE_BITS : INT8_PRODUCT_BITS),
  };
  return run_product(&weight->mem, &par, &p, int8_task);
}
