/*
 * book_grid.c - nf4 and fp4 for methods that choose their codes.
 *
 * Owns: rounding to a code book, a value in each lane; the search for a scale.
 * Must not know: who chooses.
 *
 * Blocks run over the flattened tensor; here they must not cross rows.
 */
#include "blockwise.h"
#include "codebook.h"
#include "grid.h"
#include "nested.h"

#include <math.h>

static uint64_t book_group(const struct lqi_store *store, struct lqi_text *why)
{
  if (store->shape.cols % store->block_size == 0)
    return store->block_size;
  lqi_fail(why, LQ_E_UNSUPPORTED, "rows are not whole blocks: choosing codes of ",
           store->method->name);
  lqi_text_add(why, " needs them");
  return 0;
}

static uint32_t book_rank(const struct lqi_q4_book *book, float v)
{
  uint32_t rank = 0;
  for (uint32_t i = 0; i < 15; i++)
    rank += !(v <= book->bound[i]);
  return rank;
}

/* A scale that nested storage has turned to nothing stands for zeros. */
static float book_reciprocal(float scale)
{
  return fabsf(scale) > lqi_f32_from_bits(LQI_ABSMAX_FLOOR_BITS) ? 1.0f / scale : 0.0f;
}

static void book_round(const struct lqi_q4_book *book, const float *scale, const float *w,
                       uint8_t *codes, float *q)
{
  for (int l = 0; l < LQI_LANES; l++) {
    uint32_t code = book->code[book_rank(book, w[l] * book_reciprocal(scale[l]))];
    codes[l] = (uint8_t)code;
    q[l] = book->value[code] * scale[l];
  }
}

/* |e|^power with the power rounded to quarters: square roots are the same everywhere, pow is not.
 * */
static float book_power(float e, float power)
{
  float root = sqrtf(e), fourth = sqrtf(root), result = 1.0f;
  uint32_t quarters = (uint32_t)(power * 4.0f + 0.5f);
  for (; quarters >= 4; quarters -= 4)
    result *= e;
  return result * (quarters & 2 ? root : 1.0f) * (quarters & 1 ? fourth : 1.0f);
}

static float book_error(const struct lqi_q4_book *book, const float *x, size_t n, size_t stride,
                        float scale, float power)
{
  float sum = 0.0f, r = book_reciprocal(scale), unit = book_reciprocal(fabsf(scale));
  for (size_t i = 0; i < n; i++) {
    float w = x[i * stride], q = book->value[book->code[book_rank(book, w * r)]] * scale;
    sum += book_power(fabsf(w - q) * unit, power);
  }
  return sum;
}

/* The largest magnitude, or, with `mse`, the one of 100, 99, .. 51 hundredths of it that errs
 * least. */
static void book_range(const struct lqi_q4_book *book, const struct lqi_params *params,
                       const float *x, size_t n, size_t stride, struct lqi_grid *grid)
{
  float most = 0.0f, best = 0.0f, least = 0.0f;
  for (size_t i = 0; i < n; i++)
    most = fabsf(x[i * stride]) > most ? fabsf(x[i * stride]) : most;
  *grid = (struct lqi_grid){most, 0.0f};
  if (!(params->mse > 0.0f) || !(most > lqi_f32_from_bits(LQI_ABSMAX_FLOOR_BITS)))
    return;
  for (int i = 0; i < 50; i++) {
    float scale = most * (float)(1.0 - i / 100.0);
    float error =
        book_error(book, x, n, stride, scale, params->mse) * book_power(scale / most, params->mse);
    if (i == 0 || error < least) {
      least = error;
      best = scale;
    }
  }
  grid->scale = best;
}

static void book_put_codes(const struct lqi_store *store, uint64_t row, const uint8_t *codes)
{
  uint8_t *to = (uint8_t *)store->plane[LQI_CODES].data + row * store->shape.cols / 2;
  for (uint64_t i = 0; i < store->shape.cols; i += 2)
    to[i / 2] = (uint8_t)(codes[i] << 4 | codes[i + 1]);
}

static void book_put_grid(struct lqi_job *job, uint64_t row, uint64_t group, struct lqi_grid grid)
{
  job->scales[row * (job->store->shape.cols / job->store->block_size) + group] = grid.scale;
}

static void book_get_grids(const struct lqi_store *store, const struct lqi_kernels *kern,
                           uint64_t row, struct lqi_grid *grid)
{
  uint64_t groups = store->shape.cols / store->block_size;
  for (uint64_t i = 0; i < groups; i++) {
    float scale;
    if (store->nested_block_size != 0)
      lqi_nested_expand(store, kern, row * groups + i, 1, &scale);
    else
      scale = ((const float *)store->plane[LQI_SCALES].data)[row * groups + i];
    grid[i] = (struct lqi_grid){scale, 0.0f};
  }
}

#define BOOK_GRID(name) \
  static void name##_round(const struct lqi_store *store, const struct lqi_kernels *kern, \
                           const float *scale, const float *zero, const float *w, uint8_t *codes, \
                           float *q) \
  { \
    (void)store, (void)kern, (void)zero; \
    book_round(&lqi_book_##name, scale, w, codes, q); \
  } \
  static void name##_range(const struct lqi_params *params, const struct lqi_kernels *kern, \
                           const float *x, size_t n, size_t stride, struct lqi_grid *grid) \
  { \
    (void)kern; \
    book_range(&lqi_book_##name, params, x, n, stride, grid); \
  } \
  const struct lqi_grid_ops lqi_grid_##name = { \
      .group = book_group, \
      .range = name##_range, \
      .round = name##_round, \
      .put_codes = book_put_codes, \
      .put_grid = book_put_grid, \
      .get_grids = book_get_grids, \
  };

BOOK_GRID(nf4)
BOOK_GRID(fp4)
