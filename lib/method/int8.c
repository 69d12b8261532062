/*
 * int8.c - 8-bit integers with one scale a row; columns that hold outliers may stay dense
 * (LLM.int8, arXiv 2208.07339).
 *
 * Owns: row scales, the search for outlier columns, the dense columns beside the codes.
 * Must not know: activations, products.
 *
 * scale = absmax of the row (not divided by 127); code = round(x * ((1 / absmax) * 127)); x' =
 * (code * absmax) / 127, the division being a product with the nearest f32 to 1/127. With a
 * threshold, elements of at least that magnitude are outliers: they do not count for the absmax,
 * and the columns they stand in have code 0 and keep their values in a dense plane [rows,
 * outliers]. The reference stores the list of columns alone, and so does compat.
 *
 * With an absmax that is given, as for activations that were observed before, every row has that
 * one, and what lies beyond becomes the largest code.
 */
#include "registry.h"

#include <string.h>

#define TINY 0x1p-100f
#define TINY_BOOST 0x1p100f

static lq_status int8_check(const struct lqi_params *params, struct lqi_text *why)
{
  if (params->absmax != 0.0f && params->compat != LQ_COMPAT_NONE)
    return lqi_fail(why, LQ_E_ARGUMENT, "absmax does not go with compat", NULL);
  return LQ_OK;
}

static void int8_layout(const struct lqi_store *store, uint64_t bytes[LQI_PLANES])
{
  bytes[LQI_CODES] = store->shape.count;
  bytes[LQI_SCALES] = store->shape.rows * sizeof(float);
  bytes[LQI_OUTLIER_COLUMNS] = store->outliers * sizeof(int64_t);
  if (!store->outliers_dropped)
    bytes[LQI_OUTLIERS] = store->outliers * store->shape.rows * lqi_dtype_size(store->dtype);
}

static uint64_t int8_units(const struct lqi_store *store)
{
  return store->shape.rows;
}

/* The threshold as the source's dtype holds it: that is how the reference compares. */
static float threshold_in(const struct lqi_job *job)
{
  uint16_t half[2];
  lqi_store(half, job->store->dtype, 0, job->params->threshold);
  return job->store->dtype == LQ_F32 ? job->params->threshold
                                     : lqi_load(half, job->store->dtype, 0);
}

static int is_outlier(float x, float threshold)
{
  return x >= threshold || x <= -threshold;
}

/* An infinity that will be saturated is no outlier: it becomes the row's largest magnitude. */
static int marks_column(const struct lqi_job *job, uint64_t index, float threshold)
{
  float x = lqi_load(job->source, job->store->dtype, index);
  return is_outlier(x, threshold) &&
         (lqi_is_finite(x) || job->params->nonfinite != LQ_NONFINITE_SATURATE);
}

/* Lists the columns with an outlier: one mark a column, then the list. */
static lq_status int8_prepare(struct lqi_job *job)
{
  struct lqi_store *store = job->store;
  const struct lqi_shape *shape = &store->shape;
  store->outliers_dropped = job->params->compat == LQ_COMPAT_BITSANDBYTES_CPU;
  if (job->params->threshold == 0.0f || shape->count == 0)
    return LQ_OK;
  uint8_t *mark = lqi_alloc(job->mem, shape->cols);
  if (mark == NULL)
    return LQ_E_MEMORY;
  memset(mark, 0, (size_t)shape->cols);
  float threshold = threshold_in(job);
  for (uint64_t r = 0; r < shape->rows; r++)
    for (uint64_t c = 0; c < shape->cols; c++)
      mark[c] |= (uint8_t)marks_column(job, r * shape->cols + c, threshold);
  uint64_t found = 0;
  for (uint64_t c = 0; c < shape->cols; c++)
    found += mark[c];
  int64_t *columns = found != 0 ? lqi_alloc(job->mem, found * sizeof *columns) : NULL;
  if (columns != NULL) {
    store->outliers = found;
    store->plane[LQI_OUTLIER_COLUMNS] = (struct lqi_span){columns, found * sizeof *columns};
    for (uint64_t c = 0; c < shape->cols; c++)
      if (mark[c])
        *columns++ = (int64_t)c;
  }
  lqi_free(job->mem, mark, shape->cols);
  return found != 0 && columns == NULL ? LQ_E_MEMORY : LQ_OK;
}

/* Outliers of v become 0, so that neither absmax nor code sees them. */
static void drop_outliers(float *v, size_t n, float threshold)
{
  for (size_t i = 0; i < n; i++)
    if (is_outlier(v[i], threshold))
      v[i] = 0.0f;
}

/* absmax of a row without its outliers. */
static float inlier_absmax(struct lqi_job *job, uint64_t first, float threshold)
{
  float m = 0.0f;
  for (uint64_t i = 0; i < job->store->shape.cols; i += LQI_CHUNK) {
    float v[LQI_CHUNK];
    size_t n = (size_t)lqi_min_u64(LQI_CHUNK, job->store->shape.cols - i);
    lqi_load_chunk(job, first + i, n, 0.0f, v);
    drop_outliers(v, n, threshold);
    float part = job->kern->absmax[0](v, n);
    m = part > m || part != part ? part : m;
  }
  return m;
}

static void clamp_to(float *v, size_t n, float m)
{
  for (size_t i = 0; i < n; i++)
    v[i] = v[i] > m ? m : v[i] < -m ? -m : v[i];
}

static void keep_outliers(struct lqi_job *job, uint64_t row)
{
  struct lqi_store *store = job->store;
  const int64_t *columns = store->plane[LQI_OUTLIER_COLUMNS].data;
  int8_t *codes = (int8_t *)store->plane[LQI_CODES].data + row * store->shape.cols;
  for (uint64_t i = 0; i < store->outliers; i++) {
    uint64_t c = (uint64_t)columns[i];
    codes[c] = 0;
    if (!store->outliers_dropped) {
      float x;
      lqi_load_chunk(job, row * store->shape.cols + c, 1, job->scales[row], &x);
      lqi_store(store->plane[LQI_OUTLIERS].data, store->dtype, row * store->outliers + i, x);
    }
  }
}

/* A row that the kernel cannot take in one go: outliers, a tiny or a given absmax, or values that
 * are not finite. */
static void encode_rare_row(struct lqi_job *job, uint64_t row, float m, float threshold)
{
  struct lqi_store *store = job->store;
  uint64_t cols = store->shape.cols, first = row * cols;
  int8_t *codes = (int8_t *)store->plane[LQI_CODES].data + first;
  float boost = m < TINY && job->params->compat == LQ_COMPAT_NONE ? TINY_BOOST : 1.0f;
  float scale = (1.0f / (m * boost)) * 127.0f;
  job->scales[row] = m;
  for (uint64_t i = 0; i < cols; i += LQI_CHUNK) {
    float v[LQI_CHUNK];
    size_t n = (size_t)lqi_min_u64(LQI_CHUNK, cols - i);
    lqi_load_chunk(job, first + i, n, m, v);
    if (threshold != 0.0f)
      drop_outliers(v, n, threshold);
    if (job->params->absmax != 0.0f)
      clamp_to(v, n, m);
    for (size_t j = 0; j < n; j++)
      v[j] *= boost;
    job->kern->i8_encode[0](v, n, scale, codes + i);
  }
  keep_outliers(job, row);
}

static void encode_row(struct lqi_job *job, uint64_t row)
{
  const struct lqi_store *store = job->store;
  uint64_t cols = store->shape.cols, first = row * cols;
  uint32_t type = lqi_float_index(store->dtype);
  const void *x = lqi_element(job->source, store->dtype, first);
  float m = job->kern->absmax[type](x, (size_t)cols);
  int policy = job->params->nonfinite;
  if (!lqi_is_finite(m) && policy != LQ_NONFINITE_PROPAGATE)
    lqi_note_nonfinite(job, first, cols);
  if (job->params->threshold != 0.0f) {
    float threshold = threshold_in(job), given = job->params->absmax;
    m = given != 0.0f ? given : inlier_absmax(job, first, threshold);
    encode_rare_row(job, row, m, threshold);
  } else if (job->params->absmax != 0.0f) {
    encode_rare_row(job, row, job->params->absmax, 0.0f);
  } else if (!lqi_is_finite(m) && policy == LQ_NONFINITE_SATURATE) {
    encode_rare_row(job, row, lqi_finite_absmax(job, first, cols), 0.0f);
  } else if (m > 0.0f && m < TINY) {
    encode_rare_row(job, row, m, 0.0f);
  } else {
    job->scales[row] = m;
    job->kern->i8_encode[type](x, (size_t)cols, (1.0f / m) * 127.0f,
                               (int8_t *)store->plane[LQI_CODES].data + first);
  }
}

static void int8_encode(struct lqi_job *job, uint64_t first, uint64_t count)
{
  for (uint64_t row = first; row < first + count; row++)
    encode_row(job, row);
}

/* Elements c .. c + n - 1 of a row that stand in outlier columns, from the dense plane. */
static void restore_outliers(const struct lqi_store *store, uint64_t row, uint64_t c, uint64_t n,
                             int32_t dtype, void *out)
{
  const int64_t *columns = store->plane[LQI_OUTLIER_COLUMNS].data;
  for (uint64_t i = 0; i < store->outliers; i++) {
    uint64_t at = (uint64_t)columns[i];
    if (at >= c && at < c + n)
      lqi_store(out, dtype, at - c,
                lqi_load(store->plane[LQI_OUTLIERS].data, store->dtype, row * store->outliers + i));
  }
}

/* The formula's first product would overflow; scaled down by a power of two it is the same. */
#define LARGE 0x1p120f
#define LARGE_SCALE 0x1p-8f

static void decode_large(const struct lqi_kernels *kern, const int8_t *codes, uint64_t count,
                         float scale, int32_t dtype, void *out)
{
  for (uint64_t i = 0; i < count; i += LQI_CHUNK) {
    float v[LQI_CHUNK];
    size_t n = (size_t)lqi_min_u64(LQI_CHUNK, count - i);
    kern->i8_decode[0](codes + i, n, scale * LARGE_SCALE, v, 0);
    for (size_t j = 0; j < n; j++)
      lqi_store(out, dtype, i + j, v[j] / LARGE_SCALE);
  }
}

static void int8_decode(const struct lqi_store *store, const struct lqi_kernels *kern,
                        uint64_t first, uint64_t count, int32_t dtype, void *out, int stream)
{
  uint64_t cols = store->shape.cols;
  const int8_t *codes = store->plane[LQI_CODES].data;
  const float *scales = store->plane[LQI_SCALES].data;
  for (uint64_t done = 0; done < count;) {
    uint64_t row = (first + done) / cols, c = (first + done) % cols,
             n = lqi_min_u64(cols - c, count - done);
    void *to = lqi_element_mut(out, dtype, done);
    if (LQI_UNLIKELY(scales[row] > LARGE))
      decode_large(kern, codes + first + done, n, scales[row], dtype, to);
    else
      kern->i8_decode[lqi_float_index(dtype)](codes + first + done, (size_t)n, scales[row], to,
                                              stream);
    if (store->plane[LQI_OUTLIERS].bytes != 0)
      restore_outliers(store, row, c, n, dtype, to);
    done += n;
  }
}

/* Kernels of coded rows have the formula alone. */
static int has_large(const struct lqi_store *store)
{
  const float *scales = store->plane[LQI_SCALES].data;
  int large = 0;
  for (uint64_t r = 0; r < store->shape.rows; r++)
    large |= scales[r] > LARGE;
  return large;
}

static int int8_strip(const struct lqi_store *store, const struct lqi_kernels *kern, uint64_t row,
                      uint64_t rows, float *grids, struct lqi_strip *out)
{
  (void)kern, (void)grids;
  if (store->plane[LQI_OUTLIERS].bytes != 0 || (rows == 0 && has_large(store)))
    return -1;
  *out = (struct lqi_strip){
      .codes = (const uint8_t *)store->plane[LQI_CODES].data + row * store->shape.cols,
      .row_bytes = (size_t)store->shape.cols,
      .grid = (const float *)store->plane[LQI_SCALES].data + row,
      .grid_step = 1,
      .numbers = 1,
      .group = (size_t)store->shape.cols,
  };
  return LQI_FORM_I8;
}

const struct lqi_method lqi_method_int8 = {
    .id = LQ_INT8,
    .flags = LQ_METHOD_ROWWISE,
    .code_bits = 8,
    .name = "int8",
    .text = "8-bit integers, one scale a row; outlier columns may stay dense",
    .check = int8_check,
    .prepare = int8_prepare,
    .layout = int8_layout,
    .units = int8_units,
    .encode = int8_encode,
    .decode = int8_decode,
    .strip = int8_strip,
};
