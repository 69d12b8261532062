/*
 * test_matmul_transposed.c - proves lq_matmul_transposed: right within the bound of f32 sums, in
 * the order that is promised, and the same bits however it is asked for.
 *
 * Every method and dtype on sizes of 1 to 67 and some larger, against double precision over the
 * decoded weights, and to the bit against chains of 256 rows added one after another; half results
 * are the f32 results rounded once; rows alone or together, strides, levels of kernels and threads
 * change nothing.
 */
#include "helpers.h"

#include "../lib/core/fused.h"

enum { GAP = 7, BAND = 256 };

static uint64_t random_state = 19;

struct product {
  lq_tensor *w;
  float *decoded;
  uint64_t m, n, k;
  int32_t dy_dtype;
  void *dy; /* rows at a distance of n + GAP, NaN between; it ends with the last row */
};

static float *numbers(uint64_t n)
{
  float *p = test_alloc((size_t)n * sizeof *p);
  for (uint64_t i = 0; i < n; i++)
    p[i] = rng_normal(&random_state);
  return p;
}

/* Elements from the first to the last of rows at a distance. */
static uint64_t extent(uint64_t rows, uint64_t columns, uint64_t stride)
{
  return rows == 0 ? 0 : (rows - 1) * stride + columns;
}

/* Rows first .. of dy @ W; rows of the result at a distance of k + 3, and what is between stays. */
static void *run(const struct product *p, int32_t dtype, uint64_t first, uint64_t m)
{
  const size_t size = element_size(dtype), step = (size_t)(p->k + 3) * size,
               row = (size_t)p->k * size, bytes = (size_t)extent(m, p->k, p->k + 3) * size;
  char *dx = test_alloc(bytes), *out = test_alloc((size_t)m * row);
  memset(dx, 0x5a, bytes);
  lq_config *how = new_config("");
  lq_status s = lq_matmul_transposed(
      p->w, m, p->dy_dtype, (const char *)p->dy + first * (p->n + GAP) * element_size(p->dy_dtype),
      p->n + GAP, dtype, dx, p->k + 3, how);
  lq_config_destroy(how);
  CHECK(s == LQ_OK, "status %d", s);
  int clean = 1;
  for (uint64_t i = 0; i < m; i++) {
    memcpy(out + i * row, dx + i * step, row);
    for (size_t c = row; i + 1 < m && c < step; c++)
      clean &= dx[i * step + c] == 0x5a;
  }
  CHECK(clean, "wrote between rows");
  free(dx);
  return out;
}

static float dy_at(const struct product *p, uint64_t i, uint64_t n)
{
  return value_at(p->dy, p->dy_dtype, i * (p->n + GAP) + n);
}

static void check_values(const struct product *p, const float *dx)
{
  uint64_t far = 0, other = 0;
  for (uint64_t i = 0; i < p->m; i++)
    for (uint64_t c = 0; c < p->k; c++) {
      double exact = 0, size = 0;
      float total = 0, chain = 0;
      for (uint64_t n = 0; n < p->n; n++) {
        float g = dy_at(p, i, n), w = p->decoded[n * p->k + c];
        exact += (double)g * (double)w;
        size += fabs((double)g * (double)w);
        chain = LQI_FMAF(g, w, n % BAND == 0 ? 0.0f : chain);
        if (n % BAND == BAND - 1 || n + 1 == p->n)
          total = n < BAND ? chain : total + chain;
      }
      float got = dx[i * p->k + c];
      far += !(fabs((double)got - exact) <=
               ((double)(p->n < BAND ? p->n : BAND + p->n / BAND) + 2) * 0x1p-24 * size + 1e-40);
      other += bits_of_float(got) != bits_of_float(total);
    }
  CHECK(far == 0, "%d of %d results are out of bounds", (int)far, (int)(p->m * p->k));
  CHECK(other == 0, "%d of %d results have another order", (int)other, (int)(p->m * p->k));
}

static void check_same(const struct product *p, const float *dx)
{
  const size_t bytes = (size_t)(p->m * p->k) * sizeof *dx;
  for (int t = 0; t < 3; t++) { /* single rows and pieces */
    uint64_t first = rng_below(&random_state, p->m),
             count = t ? 1 + rng_below(&random_state, p->m - first) : 1;
    float *piece = run(p, LQ_F32, first, count);
    CHECK(!memcmp(piece, dx + first * p->k, (size_t)(count * p->k) * sizeof *dx),
          "rows %d .. %d alone differ", (int)first, (int)(first + count - 1));
    free(piece);
  }
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    snprintf(test_options, sizeof test_options, "threads=%d", 1 + level * 2);
    float *other = run(p, LQ_F32, 0, p->m);
    CHECK(!memcmp(other, dx, bytes), "%s with %s differs", test_levels[level], test_options);
    free(other);
  }
  lq_cpu_limit(NULL);
  test_options[0] = 0;
}

static void check_product(const struct product *p)
{
  float *dx = run(p, LQ_F32, 0, p->m);
  check_values(p, dx);
  check_same(p, dx);
  for (int32_t dtype = LQ_F16; dtype <= LQ_BF16; dtype++) {
    uint16_t *half = run(p, dtype, 0, p->m);
    uint64_t bad = 0;
    for (uint64_t i = 0; i < p->m * p->k; i++)
      bad += half[i] != half_bits(dx[i], dtype);
    CHECK(bad == 0, "%d results of dtype %d are not the f32 results rounded", (int)bad, dtype);
    free(half);
  }
  free(dx);
}

/* Columns in the order of their activations, so that groups are not ranges of columns. */
static lq_tensor *calibrated(const void *w, int32_t dtype, const uint64_t dims[2],
                             const char *options)
{
  lq_tensor *dense = wrap(dtype, 2, dims, w), *t = NULL;
  lq_config *config = new_config(options);
  lq_quantizer *quantizer = NULL;
  const uint64_t rows = 2 * dims[1] + 16;
  float *x = numbers(rows * dims[1]);
  for (uint64_t i = 0; i < rows * dims[1]; i++)
    x[i] *= 1 + (float)(i % dims[1] * 7 % 11);
  lq_status s = lq_quantizer_create(config, &quantizer);
  if (s == LQ_OK)
    s = lq_quantizer_observe(quantizer, rows, dims[1], LQ_F32, x, dims[1]);
  if (s == LQ_OK)
    s = lq_quantizer_run(quantizer, dense, &t);
  CHECK(s == LQ_OK, "%s: %d %s", options, s, lq_quantizer_error_text(quantizer));
  free(x);
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
  lq_tensor_destroy(dense);
  return t;
}

static void test_size(const char *options, int32_t dtype, uint64_t m, uint64_t n, uint64_t k)
{
  const uint64_t dims[2] = {n, k}, count = extent(m, n, n + GAP);
  struct product p = {.m = m, .n = n, .k = k};
  test_in("%s, dtype %d, m %d n %d k %d", options, dtype, (int)m, (int)n, (int)k);
  float *weights = numbers(n * k), *dy = numbers(count);
  for (uint64_t i = 0; i < count; i++)
    dy[i] = i % (n + GAP) < n ? dy[i] : NAN;
  void *w = array_of(weights, n * k, dtype);
  p.w = strstr(options, "gptq") ? calibrated(w, dtype, dims, options)
                                : quantize_array(dtype, 2, dims, w, options);
  p.decoded = p.w ? decode(p.w, LQ_F32) : NULL;
  p.dy_dtype = 1 + (int32_t)rng_below(&random_state, 3);
  p.dy = array_of(dy, count, p.dy_dtype);
  if (p.decoded)
    check_product(&p);
  free(p.dy);
  free(p.decoded);
  free(w);
  free(dy);
  free(weights);
  lq_tensor_destroy(p.w);
}

static void test_sizes(void)
{
  static const char *const methods[] = {
      "method=none",
      "method=nf4",
      "method=nf4 nested=1 block_size=32",
      "method=nf4 block_size=256",
      "method=fp4 block_size=24",
      "method=int8",
      "method=int8 threshold=2.2",
      "method=dynamic8 block_size=100",
      "method=dynamic8 nested=1",
      "method=affine bits=2 group_size=16",
      "method=affine bits=3 group_size=24 symmetric=0",
      "method=affine group_size=64",
      "method=affine bits=8 group_size=-1 nested=1",
      "method=gptq group_size=16 static_groups=0",
  };
  /* Bands, chunks of columns, pieces of m, tiles that are full and not. */
  static const uint64_t large[][3] = {{1, 600, 70},  {3, 256, 800},  {9, 513, 130}, {49, 257, 400},
                                      {600, 33, 34}, {7, 100, 1000}, {64, 64, 777}};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    for (int t = 0, n = test_is_long() ? 200 : 12; t < n; t++)
      if (test_takes(3))
        test_size(methods[i], 1 + t % 3, 1 + rng_below(&random_state, 67),
                  1 + rng_below(&random_state, 67), 1 + rng_below(&random_state, 67));
    for (size_t t = i % 3; t < sizeof large / sizeof *large; t += 3)
      if ((!strstr(methods[i], "gptq") || large[t][2] < 500) && test_takes(6))
        test_size(methods[i], LQ_F32, large[t][0], large[t][1], large[t][2]);
  }
}

/* What is not finite stays in its row of dy and in its column of W. */
static void test_nonfinite(uint64_t m)
{
  enum { N = 30, K = 40 };
  const uint64_t dims[2] = {N, K};
  float *w = numbers(N * K), *dy = numbers(m * N);
  float *clean = test_alloc((size_t)m * K * sizeof *clean),
        *dx = test_alloc((size_t)m * K * sizeof *dx);
  uint64_t bad = 0;
  test_in("not finite, m %d", (int)m);
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, w, "method=none");
  CHECK(lq_matmul_transposed(t, m, LQ_F32, dy, N, LQ_F32, clean, K, NULL) == LQ_OK, "clean");
  dy[(m - 1) * N + 3] = NAN;
  lq_tensor_destroy(t);
  w[7 * K + 5] = INFINITY;
  t = quantize_array(LQ_F32, 2, dims, w, "method=none nonfinite=keep");
  CHECK(lq_matmul_transposed(t, m, LQ_F32, dy, N, LQ_F32, dx, K, NULL) == LQ_OK, "status");
  for (uint64_t i = 0; i < m; i++)
    for (uint64_t c = 0; c < K; c++) {
      float got = dx[i * K + c];
      int right = i + 1 == m ? isnan(got) : c == 5 ? isinf(got) : got == clean[i * K + c];
      bad += !right;
    }
  CHECK(bad == 0, "%d results", (int)bad);
  lq_tensor_destroy(t);
  free(w);
  free(dy);
  free(clean);
  free(dx);
}

/* Ranks other than 2 are a matrix of their last dimension; no rows give zeros, no columns nothing.
 */
static void test_shapes(void)
{
  static const struct {
    uint32_t ndim;
    uint64_t dims[4], n, k;
  } shapes[] = {{0, {0}, 1, 1}, {1, {9}, 1, 9}, {3, {2, 3, 5}, 6, 5}, {4, {2, 1, 2, 8}, 4, 8}};
  float *w = numbers(64), *dy = numbers(64), dx[64];
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    test_in("shape %d", (int)i);
    lq_tensor *t = quantize_array(LQ_F32, shapes[i].ndim, shapes[i].dims, w, "method=int8");
    float *decoded = t ? decode(t, LQ_F32) : NULL;
    lq_status s = lq_matmul_transposed(t, 1, LQ_F32, dy, shapes[i].n, LQ_F32, dx, 0, NULL);
    CHECK(s == LQ_OK, "status %d", s);
    for (uint64_t c = 0; decoded && c < shapes[i].k; c++) {
      double sum = 0;
      for (uint64_t n = 0; n < shapes[i].n; n++)
        sum += (double)dy[n] * (double)decoded[n * shapes[i].k + c];
      CHECK(fabs((double)dx[c] - sum) < 1e-5, "dx[%d] is %g, not %g", (int)c, (double)dx[c], sum);
    }
    free(decoded);
    lq_tensor_destroy(t);
  }
  test_in("no rows, no columns");
  const uint64_t no_rows[2] = {0, 7}, no_columns[2] = {7, 0};
  memset(dx, 0x5a, sizeof dx);
  uint32_t untouched = bits_of_float(dx[63]), wrong = 0;
  lq_tensor *t = quantize_array(LQ_F32, 2, no_rows, w, "method=nf4");
  CHECK(lq_matmul_transposed(t, 2, LQ_F32, NULL, 0, LQ_F32, dx, 9, NULL) == LQ_OK, "no rows");
  for (int i = 0; i < 64; i++)
    wrong += bits_of_float(dx[i]) != (i < 16 && i % 9 < 7 ? 0 : untouched);
  CHECK(wrong == 0, "%d elements", (int)wrong);
  lq_tensor_destroy(t);
  t = quantize_array(LQ_F32, 2, no_columns, w, "method=nf4");
  CHECK(lq_matmul_transposed(t, 3, LQ_F32, dy, 7, LQ_F32, NULL, 0, NULL) == LQ_OK, "no columns");
  lq_tensor_destroy(t);
  free(w);
  free(dy);
}

static void test_arguments(void)
{
  const uint64_t dims[2] = {4, 16};
  float *w = numbers(64), *dy = numbers(16), dx[64];
  const void *odd_in = (const char *)dy + 2;
  void *odd_out = (char *)dx + 2;
  test_in("arguments");
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, w, "method=nf4");
#define CALL(...) lq_matmul_transposed(t, __VA_ARGS__, NULL)
  CHECK(lq_matmul_transposed(NULL, 1, LQ_F32, dy, 4, LQ_F32, dx, 16, NULL) == LQ_E_ARGUMENT,
        "no weight");
  CHECK(CALL(2, LQ_F32, dy, 3, LQ_F32, dx, 16) == LQ_E_SHAPE, "stride of dy");
  CHECK(CALL(2, LQ_F32, dy, 4, LQ_F32, dx, 15) == LQ_E_SHAPE, "stride of dx");
  CHECK(CALL(2, LQ_I8, dy, 4, LQ_F32, dx, 16) == LQ_E_ARGUMENT, "dtype of dy");
  CHECK(CALL(2, LQ_F32, dy, 4, LQ_I32, dx, 16) == LQ_E_ARGUMENT, "dtype of dx");
  CHECK(CALL(2, LQ_F32, NULL, 4, LQ_F32, dx, 16) == LQ_E_ARGUMENT, "no dy");
  CHECK(CALL(2, LQ_F32, dy, 4, LQ_F32, NULL, 16) == LQ_E_ARGUMENT, "no dx");
  CHECK(CALL(1, LQ_F32, odd_in, 4, LQ_F32, dx, 16) == LQ_E_ARGUMENT, "dy is not aligned");
  CHECK(CALL(1, LQ_F32, dy, 4, LQ_F32, odd_out, 16) == LQ_E_ARGUMENT, "dx is not aligned");
  CHECK(CALL(UINT64_MAX, LQ_F32, dy, 3, LQ_F32, dx, 16) == LQ_E_SHAPE, "more rows than there are");
  CHECK(CALL(0, LQ_F32, NULL, 0, LQ_F32, NULL, 0) == LQ_OK, "no rows of dy");
  CHECK(CALL(1, LQ_F32, dy, 0, LQ_F32, dx, 0) == LQ_OK, "one row needs no strides");
#undef CALL
  lq_tensor_destroy(t);
  free(w);
  free(dy);
}

int main(void)
{
  test_sizes();
  test_nonfinite(1);
  test_nonfinite(3);
  test_nonfinite(20);
  test_shapes();
  test_arguments();
  return test_end();
}
