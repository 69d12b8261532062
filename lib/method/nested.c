/*
 * nested.c - scales that are quantized themselves.
 *
 * Owns: the offset, and the use of the blockwise walk on scales as if they were a tensor.
 * Must not know: what the scales belong to.
 */
#include "nested.h"

#include "blockwise.h"
#include "registry.h"

#define LANES 8
#define ROWS 4
#define LEVELS 4

/* acc[level][row][lane] += x over the four rows of step i. */
static void add_rows(float acc[ROWS][LANES], const float *x, uint64_t step, uint32_t lanes)
{
  for (uint32_t r = 0; r < ROWS; r++)
    for (uint32_t l = 0; l < lanes; l++)
      acc[r][l] += x[(step * ROWS + r) * lanes + l];
}

static void fold(float into[ROWS][LANES], float from[ROWS][LANES])
{
  for (uint32_t r = 0; r < ROWS; r++)
    for (uint32_t l = 0; l < LANES; l++)
      into[r][l] += from[r][l];
}

static void clear(float acc[ROWS][LANES])
{
  for (uint32_t r = 0; r < ROWS; r++)
    for (uint32_t l = 0; l < LANES; l++)
      acc[r][l] = 0.0f;
}

static uint32_t ceil_log2(uint64_t v)
{
  uint32_t bits = 0;
  while (bits < 63 && (UINT64_C(1) << bits) < v)
    bits++;
  return bits;
}

/*
 * Level j holds sums of s^j steps; a full one is folded upward, so that no accumulator takes more
 * than s terms before it is one term of the next.
 */
static void cascade(float acc[LEVELS][ROWS][LANES], const float *x, uint64_t steps, uint32_t lanes)
{
  uint32_t power = ceil_log2(steps) / LEVELS;
  power = power < 4 ? 4 : power;
  uint64_t s = UINT64_C(1) << power, i = 0;
  while (i + s <= steps) {
    for (uint64_t end = i + s; i < end; i++)
      add_rows(acc[0], x, i, lanes);
    for (uint32_t j = 1; j < LEVELS; j++) {
      fold(acc[j], acc[j - 1]);
      clear(acc[j - 1]);
      if ((i & ((s - 1) << (j * power))) != 0)
        break;
    }
  }
  for (; i < steps; i++)
    add_rows(acc[0], x, i, lanes);
  for (uint32_t j = 1; j < LEVELS; j++)
    fold(acc[0], acc[j]);
}

float lqi_sum_f32(const float *x, uint64_t n)
{
  uint32_t lanes = n >= LANES ? LANES : 1;
  uint64_t rows = n / lanes, steps = rows / ROWS;
  float acc[LEVELS][ROWS][LANES] = {{{0}}};
  cascade(acc, x, steps, lanes);
  for (uint64_t row = steps * ROWS; row < rows; row++)
    for (uint32_t l = 0; l < lanes; l++)
      acc[0][0][l] += x[row * lanes + l];
  for (uint32_t r = 1; r < ROWS; r++)
    for (uint32_t l = 0; l < lanes; l++)
      acc[0][0][l] += acc[0][r][l];
  if (lanes == 1)
    return acc[0][0][0];
  float sum = 0.0f;
  for (uint64_t i = rows * lanes; i < n; i++)
    sum += x[i];
  for (uint32_t l = 0; l < lanes; l++)
    sum += acc[0][0][l];
  return sum;
}

float lqi_mean_f32(const float *x, uint64_t n)
{
  return lqi_sum_f32(x, n) / (float)n;
}

/* The mean; where its f32 sum overflows, in double, which only the reference does without. */
static float offset_of(const struct lqi_job *job, uint64_t n)
{
  float mean = lqi_mean_f32(job->scales, n);
  if (job->params->compat != LQ_COMPAT_NONE || lqi_is_finite(mean))
    return mean;
  double sum = 0.0;
  for (uint64_t i = 0; i < n; i++)
    sum += job->scales[i];
  return (float)(sum / (double)n);
}

void lqi_nested_encode(struct lqi_job *job)
{
  struct lqi_store *store = job->store;
  uint64_t n = store->plane[LQI_SCALES].bytes;
  if (n == 0) {
    store->nested_offset = 0.0f;
    return;
  }
  store->nested_offset = offset_of(job, n);
  for (uint64_t i = 0; i < n; i++)
    job->scales[i] -= store->nested_offset;

  /* The deviations are a 1-D f32 tensor in dynamic8; what is not finite in them is the outer
   * tensor's affair. */
  struct lqi_params params = *job->params;
  params.nonfinite = LQ_NONFINITE_PROPAGATE;
  struct lqi_store inner = {
      .method = &lqi_method_dynamic8, .dtype = LQ_F32, .block_size = store->nested_block_size};
  inner.shape = (struct lqi_shape){.ndim = 1, .dim = {n}, .count = n, .rows = 1, .cols = n};
  struct lqi_job part = {
      .params = &params, .kern = job->kern, .source = job->scales, .store = &inner};
  lqi_encode_blocks(&part, &lqi_codec_dynamic, store->plane[LQI_SCALES].data,
                    store->plane[LQI_NESTED_SCALES].data, 0, lqi_blockwise_units(&inner));
}

void lqi_nested_expand(const struct lqi_store *store, const struct lqi_kernels *kern,
                       uint64_t first, size_t count, float *out)
{
  if (count == 0) /* `out` may be NULL, which nothing may be added to */
    return;
  struct lqi_store inner = {
      .method = &lqi_method_dynamic8, .dtype = LQ_F32, .block_size = store->nested_block_size};
  inner.shape.count = store->plane[LQI_SCALES].bytes;
  inner.plane[LQI_CODES] = store->plane[LQI_SCALES];
  inner.plane[LQI_SCALES] = store->plane[LQI_NESTED_SCALES];
  inner.plane[LQI_CODEBOOK] = store->plane[LQI_NESTED_CODEBOOK];
  lqi_blockwise_decode(&inner, kern, first, count, LQ_F32, out, 0);
  /* By eights, which compilers turn into vectors: products expand scales in every call. */
  const float offset = store->nested_offset;
  size_t i = 0;
  for (; i + LANES <= count; i += LANES)
    for (size_t l = 0; l < LANES; l++)
      out[i + l] += offset;
  for (; i < count; i++)
    out[i] += offset;
}
