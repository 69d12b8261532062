/*
 * test_matmul.c - proves the products: right within the bound of f32 sums, and the same bits
 * however they are asked for.
 *
 * lq_matmul for every method and dtype on sizes of 1 to 67 and a few larger, against double
 * precision over the decoded weights; half results are the f32 results rounded once; rows of x
 * alone or together, strides, levels of kernels and threads change nothing. lq_matmul_int8 is exact
 * as integers, and its scaling is the written formula bit for bit, dense columns of x included.
 */
#include "helpers.h"

enum { MOST_K = 1100, MOST_N = 70, MOST_M = 67, STRIDE = 7 };

static uint64_t random_state = 8;
static float weights[MOST_N * MOST_K], xs[MOST_M * (MOST_K + STRIDE)], bias[MOST_N];

struct product {
  lq_tensor *w;
  float *decoded;
  uint64_t m, n, k;
  int32_t x_dtype;
  void *x; /* rows at a distance of k + STRIDE, NaN between */
};

static void fill(float *p, uint64_t n)
{
  for (uint64_t i = 0; i < n; i++)
    p[i] = rng_normal(&random_state);
}

/* x @ W^T to y_dtype, rows of y at a distance of n + 3; what lies between must stay. */
static void *run(const struct product *p, const float *b, int32_t y_dtype, uint64_t first,
                 uint64_t m)
{
  size_t size = element_size(y_dtype), row = (size_t)(p->n + 3) * size,
         x_size = element_size(p->x_dtype);
  char *y = test_alloc((size_t)m * row), *out = test_alloc((size_t)(m * p->n) * size);
  memset(y, 0x5a, (size_t)m * row);
  lq_config *how = new_config("");
  lq_status s =
      lq_matmul(p->w, m, p->x_dtype, (const char *)p->x + first * (p->k + STRIDE) * x_size,
                p->k + STRIDE, b, y_dtype, y, p->n + 3, how);
  lq_config_destroy(how);
  CHECK(s == LQ_OK, "matmul: %d", s);
  int clean = 1;
  for (uint64_t i = 0; i < m; i++) {
    memcpy(out + (size_t)(i * p->n) * size, y + i * row, (size_t)p->n * size);
    for (size_t c = (size_t)p->n * size; c < row; c++)
      clean &= y[i * row + c] == 0x5a;
  }
  CHECK(clean, "wrote between rows of y");
  free(y);
  return out;
}

static void check_bound(const struct product *p, const float *y, const float *b)
{
  uint64_t bad = 0;
  for (uint64_t i = 0; i < p->m; i++)
    for (uint64_t j = 0; j < p->n; j++) {
      double sum = b ? (double)b[j] : 0, size = fabs(sum);
      for (uint64_t c = 0; c < p->k; c++) {
        double t = (double)value_at(p->x, p->x_dtype, i * (p->k + STRIDE) + c) *
                   (double)p->decoded[j * p->k + c];
        sum += t;
        size += fabs(t);
      }
      bad += !(fabs((double)y[i * p->n + j] - sum) <=
               ((double)p->k / 16 + 8) * 0x1p-24 * size + 1e-40);
    }
  CHECK(bad == 0, "%d of %d results are out of bounds", (int)bad, (int)(p->m * p->n));
}

static void check_product(const struct product *p, const float *b)
{
  float *y = run(p, b, LQ_F32, 0, p->m);
  check_bound(p, y, b);
  for (int32_t dtype = LQ_F16; dtype <= LQ_BF16; dtype++) {
    uint16_t *half = run(p, b, dtype, 0, p->m);
    uint64_t bad = 0;
    for (uint64_t i = 0; i < p->m * p->n; i++)
      bad += half[i] != half_bits(y[i], dtype);
    CHECK(bad == 0, "%d results of dtype %d are not the f32 results rounded", (int)bad, dtype);
    free(half);
  }
  for (int t = 0; t < 3; t++) { /* single rows and pieces */
    uint64_t first = rng_below(&random_state, p->m),
             count = 1 + rng_below(&random_state, p->m - first);
    float *piece = run(p, b, LQ_F32, first, t ? count : 1);
    CHECK(!memcmp(piece, y + first * p->n, (size_t)((t ? count : 1) * p->n) * sizeof *y),
          "rows %d.. alone differ", (int)first);
    free(piece);
  }
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    snprintf(test_options, sizeof test_options, "threads=%d", 1 + level);
    float *other = run(p, b, LQ_F32, 0, p->m);
    CHECK(!memcmp(other, y, (size_t)(p->m * p->n) * sizeof *y), "%s differs", test_levels[level]);
    free(other);
  }
  lq_cpu_limit(NULL);
  test_options[0] = 0;
  free(y);
}

/* The same x as f32 gives the same bits. */
static void check_widened(const struct product *p)
{
  struct product wide = *p;
  uint64_t count = p->m * (p->k + STRIDE);
  float *x = test_alloc((size_t)count * sizeof *x);
  for (uint64_t i = 0; i < count; i++)
    x[i] = value_at(p->x, p->x_dtype, i);
  wide.x = x;
  wide.x_dtype = LQ_F32;
  float *a = run(p, bias, LQ_F32, 0, p->m), *b = run(&wide, bias, LQ_F32, 0, p->m);
  CHECK(!memcmp(a, b, (size_t)(p->m * p->n) * sizeof *a), "x of dtype %d is not its f32 values",
        p->x_dtype);
  free(a);
  free(b);
  free(x);
}

static void test_size(const char *options, int32_t dtype, uint64_t m, uint64_t n, uint64_t k)
{
  const uint64_t dims[2] = {n, k};
  struct product p = {.m = m, .n = n, .k = k};
  test_in("%s, dtype %d, m %d n %d k %d", options, dtype, (int)m, (int)n, (int)k);
  fill(weights, n * k);
  fill(xs, m * (k + STRIDE));
  fill(bias, n);
  for (uint64_t i = 0; i < m; i++)
    for (uint64_t c = k; c < k + STRIDE; c++)
      xs[i * (k + STRIDE) + c] = NAN;
  void *w = array_of(weights, n * k, dtype);
  p.w = quantize_array(dtype, 2, dims, w, options);
  p.decoded = p.w ? decode(p.w, LQ_F32) : NULL;
  p.x_dtype = 1 + (int32_t)rng_below(&random_state, 3);
  p.x = array_of(xs, m * (k + STRIDE), p.x_dtype);
  if (p.decoded) {
    check_product(&p, NULL);
    check_product(&p, bias);
    check_widened(&p);
  }
  free(p.x);
  free(p.decoded);
  free(w);
  lq_tensor_destroy(p.w);
}

static void test_sizes(void)
{
  static const char *const methods[] = {
      "method=none",
      "method=nf4",
      "method=nf4 nested=1 block_size=32",
      "method=fp4",
      "method=int8",
      "method=int8 threshold=2.2",
      "method=dynamic8",
      "method=dynamic8 block_size=100",
      "method=dynamic8 nested=1 block_size=32",
      "method=dynamic8 nested=1",
      "method=affine group_size=64",
      "method=affine bits=3 group_size=24 symmetric=0",
      "method=affine bits=8 group_size=-1 nested=1",
  };
  static const uint64_t large[][3] = {{1, 70, 1024}, {5, 33, 1100}, {31, 40, 256}, {2, 1, 1023}};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    for (int t = 0, n = test_is_long() ? 200 : 15; t < n; t++)
      test_size(methods[i], 1 + t % 3, 1 + rng_below(&random_state, 67),
                1 + rng_below(&random_state, 67), 1 + rng_below(&random_state, 67));
    for (size_t t = i % 2; t < sizeof large / sizeof *large; t += 2)
      test_size(methods[i], LQ_F32, large[t][0], large[t][1], large[t][2]);
  }
}

/*
 * Ranks other than 2 are a matrix of their last dimension; no columns give the bias, no rows
 * nothing.
 */
static void test_shapes(void)
{
  static const struct {
    uint32_t ndim;
    uint64_t dims[4], n, k;
  } shapes[] = {{0, {0}, 1, 1},
                {1, {9}, 1, 9},
                {3, {2, 3, 5}, 6, 5},
                {4, {2, 1, 2, 8}, 4, 8},
                {2, {5, 0}, 5, 0}};
  float y[MOST_N];
  fill(weights, 64);
  fill(xs, 64);
  fill(bias, 64);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    test_in("shape %d", (int)i);
    lq_tensor *w = quantize_array(LQ_F32, shapes[i].ndim, shapes[i].dims, weights, "method=int8");
    float *decoded = w ? decode(w, LQ_F32) : NULL;
    lq_status s = lq_matmul(w, 1, LQ_F32, xs, shapes[i].k, bias, LQ_F32, y, shapes[i].n, NULL);
    CHECK(s == LQ_OK, "status %d", s);
    for (uint64_t j = 0; decoded && j < shapes[i].n; j++) {
      double sum = (double)bias[j];
      for (uint64_t c = 0; c < shapes[i].k; c++)
        sum += (double)xs[c] * (double)decoded[j * shapes[i].k + c];
      CHECK(fabs((double)y[j] - sum) < 1e-5, "y[%d] is %g, not %g", (int)j, (double)y[j], sum);
    }
    free(decoded);
    lq_tensor_destroy(w);
  }
  const uint64_t none[2] = {0, 7};
  lq_tensor *w = quantize_array(LQ_F32, 2, none, weights, "method=nf4");
  CHECK(lq_matmul(w, 1, LQ_F32, xs, 7, NULL, LQ_F32, y, 0, NULL) == LQ_OK, "no rows");
  lq_tensor_destroy(w);
}

/* ---- int8 by int8 ---- */

struct integers {
  lq_tensor *w, *x;
  const int8_t *w_codes, *x_codes;
  const float *w_scales, *x_scales;
  uint64_t m, n, k;
  float *dense; /* products of the dense columns of x, NULL: there are none */
};

static void check_scaled(const struct integers *p, const int32_t *sums, const float *b, int compat)
{
  const float step = float_of_bits(compat ? 0x388206aa : 0x38820610);
  float *y = test_alloc((size_t)(p->m * p->n) * sizeof *y);
  lq_config *how = new_config(compat ? "compat=bitsandbytes-cpu" : "");
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    uint64_t bad = 0;
    CHECK(lq_matmul_int8(p->w, p->x, b, dtype, y, p->n, how) == LQ_OK, "dtype %d", dtype);
    for (uint64_t i = 0; i < p->m; i++)
      for (uint64_t j = 0; j < p->n; j++) {
        float scale = p->x_scales[i] * p->w_scales[j], v = (float)sums[i * p->n + j] * scale;
        v = v * step;
        v = b ? v + b[j] : v;
        v = p->dense ? v + p->dense[i * p->n + j] : v;
        uint64_t at = i * p->n + j;
        bad += dtype == LQ_F32 ? y[at] != v : ((uint16_t *)(void *)y)[at] != half_bits(v, dtype);
      }
    CHECK(bad == 0, "%d results of dtype %d, compat %d", (int)bad, dtype, compat);
  }
  lq_config_destroy(how);
  free(y);
}

static void check_integers(const struct integers *p)
{
  uint64_t count = p->m * p->n, bad = 0;
  int32_t *sums = test_alloc((size_t)count * sizeof *sums),
          *other = test_alloc((size_t)count * sizeof *sums);
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    lq_status s = lq_matmul_int8(p->w, p->x, NULL, LQ_I32, other, p->n, NULL);
    CHECK(s == LQ_OK && (level == 0 || !memcmp(sums, other, (size_t)count * sizeof *sums)),
          "%s: %d", test_levels[level], s);
    memcpy(sums, other, (size_t)count * sizeof *sums);
  }
  lq_cpu_limit(NULL);
  for (uint64_t i = 0; i < p->m; i++)
    for (uint64_t j = 0; j < p->n; j++) {
      int64_t sum = 0;
      for (uint64_t c = 0; c < p->k; c++)
        sum += p->x_codes[i * p->k + c] * p->w_codes[j * p->k + c];
      bad += sum != sums[i * p->n + j];
    }
  CHECK(bad == 0, "%d sums are wrong", (int)bad);
  for (int compat = 0; compat < 2; compat++) {
    check_scaled(p, sums, NULL, compat);
    check_scaled(p, sums, bias, compat);
  }
  CHECK(lq_matmul_int8(p->w, p->x, bias, LQ_I32, other, p->n, NULL) == LQ_E_ARGUMENT,
        "integers with a bias");
  free(sums);
  free(other);
}

/* The products of x's dense columns as they are documented: with decoded columns of W, in f32, one
 * column after another. NULL if x has none. */
static float *dense_products(const struct integers *p)
{
  lq_plane columns;
  if (!find_plane(p->x, LQ_LAYOUT_NATIVE, "outlier_columns", &columns))
    return NULL;
  float *sums = test_alloc((size_t)(p->m * p->n) * sizeof *sums), *w = decode(p->w, LQ_F32),
        *x = decode(p->x, LQ_F32);
  for (uint64_t at = 0; w && x && at < p->m * p->n; at++) {
    sums[at] = 0;
    for (uint64_t c = 0; c < columns.dims[0]; c++) {
      uint64_t column = (uint64_t)((const int64_t *)columns.data)[c];
      sums[at] += x[at / p->n * p->k + column] * w[at % p->n * p->k + column];
    }
  }
  free(w);
  free(x);
  return sums;
}

/* About one in `rare` columns of x is dense; 0: none. */
static void test_int8(uint64_t m, uint64_t n, uint64_t k, uint64_t rare)
{
  const uint64_t w_dims[2] = {n, k}, x_dims[2] = {m, k};
  struct integers p = {.m = m, .n = n, .k = k};
  lq_plane plane;
  test_in("int8, m %d n %d k %d, rare %d", (int)m, (int)n, (int)k, (int)rare);
  fill(weights, n * k);
  fill(xs, m * k);
  fill(bias, n);
  for (uint64_t c = 0; rare && c < k; c++)
    if (rng_below(&random_state, rare) == 0)
      xs[rng_below(&random_state, m) * k + c] = 20.0f + (float)rng_below(&random_state, 9);
  p.w = quantize_array(LQ_F32, 2, w_dims, weights, "method=int8");
  p.x = quantize_array(LQ_F32, 2, x_dims, xs, rare ? "method=int8 threshold=15" : "method=int8");
  if (!p.w || !p.x)
    exit(2);
  p.dense = rare ? dense_products(&p) : NULL;
  find_plane(p.w, LQ_LAYOUT_NATIVE, "codes", &plane), p.w_codes = plane.data;
  find_plane(p.x, LQ_LAYOUT_NATIVE, "codes", &plane), p.x_codes = plane.data;
  find_plane(p.w, LQ_LAYOUT_NATIVE, "scales", &plane), p.w_scales = plane.data;
  find_plane(p.x, LQ_LAYOUT_NATIVE, "scales", &plane), p.x_scales = plane.data;
  check_integers(&p);
  free(p.dense);
  lq_tensor_destroy(p.w);
  lq_tensor_destroy(p.x);
}

/* Dense columns of x are multiplied too: the result is that of the decoded tensors. */
static void test_int8_outliers(int32_t dtype)
{
  const uint64_t m = 9, n = 21, k = 130, w_dims[2] = {n, k}, x_dims[2] = {m, k};
  float y[9 * 21];
  test_in("int8 with outliers, dtype %d", dtype);
  fill(weights, n * k);
  fill(xs, m * k);
  for (int i = 0; i < 5; i++)
    xs[rng_below(&random_state, m * k)] = 30.0f + (float)i;
  void *data = array_of(xs, m * k, dtype);
  lq_tensor *w = quantize_array(LQ_F32, 2, w_dims, weights, "method=int8");
  lq_tensor *x = quantize_array(dtype, 2, x_dims, data, "method=int8 threshold=6");
  float *wd = w ? decode(w, LQ_F32) : NULL, *xd = x ? decode(x, LQ_F32) : NULL;
  if (wd && xd && CHECK(lq_matmul_int8(w, x, NULL, LQ_F32, y, n, NULL) == LQ_OK, "matmul_int8"))
    for (uint64_t i = 0; i < m; i++)
      for (uint64_t j = 0; j < n; j++) {
        double sum = 0, size = 0;
        for (uint64_t c = 0; c < k; c++) {
          double t = (double)xd[i * k + c] * (double)wd[j * k + c];
          sum += t;
          size += fabs(t);
        }
        CHECK(fabs((double)y[i * n + j] - sum) <= 1e-6 * size, "y[%d, %d] is %g, not %g", (int)i,
              (int)j, (double)y[i * n + j], sum);
      }
  free(wd);
  free(xd);
  free(data);
  lq_tensor_destroy(w);
  lq_tensor_destroy(x);
}

/*
 * A weight with dense columns has code 0 there: the product must have them, or be refused.
 */
static void test_int8_weight_outliers(void)
{
  const uint64_t w_dims[2] = {4, 32}, x_dims[2] = {1, 32};
  float y[4];
  test_in("int8 weight with outliers");
  fill(weights, 128);
  fill(xs, 32);
  weights[5] = 50;
  lq_tensor *w = quantize_array(LQ_F32, 2, w_dims, weights, "method=int8 threshold=6");
  lq_tensor *x = quantize_array(LQ_F32, 2, x_dims, xs, "method=int8");
  float *wd = w ? decode(w, LQ_F32) : NULL, *xd = x ? decode(x, LQ_F32) : NULL;
  lq_status s = lq_matmul_int8(w, x, NULL, LQ_F32, y, 4, NULL);
  if (s == LQ_E_UNSUPPORTED || !wd || !xd) {
    CHECK(wd && xd, "decode");
  } else {
    double sum = 0;
    for (int c = 0; c < 32; c++)
      sum += (double)wd[c] * (double)xd[c];
    CHECK(s == LQ_OK && fabs((double)y[0] - sum) < 1e-3, "status %d, y is %g, not %g", s,
          (double)y[0], sum);
  }
  free(wd);
  free(xd);
  lq_tensor_destroy(w);
  lq_tensor_destroy(x);
}

/* The largest sum that an int32 has to hold: no encoder makes -128, but planes may have it. */
static void check_lowest(const lq_tensor *t)
{
  lq_plane plane;
  if (!CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "codes", &plane), "no codes"))
    return;
  memset((void *)(uintptr_t)plane.data, 0x80, (size_t)plane.bytes);
  for (int level = 0; level < TEST_LEVELS; level++)
    if (test_level(level)) {
      int32_t sum = 0;
      CHECK(lq_matmul_int8(t, t, NULL, LQ_I32, &sum, 1, NULL) == LQ_OK &&
                sum == 128 * 128 * (int32_t)plane.bytes,
            "sum %d of -128 squared", sum);
    }
  lq_cpu_limit(NULL);
}

/* The longest rows that an int32 holds, all at the limit; one more column is refused. */
static void test_int8_limits(void)
{
  const uint64_t most = 131071;
  float *ones = test_alloc((size_t)(most + 1) * sizeof *ones);
  int32_t sum = 0;
  test_in("int8 limits");
  for (uint64_t i = 0; i <= most; i++)
    ones[i] = 1;
  lq_tensor *a = quantize_array(LQ_F32, 1, &most, ones, "method=int8");
  for (int level = 0; level < TEST_LEVELS; level++)
    if (test_level(level)) {
      sum = 0;
      CHECK(lq_matmul_int8(a, a, NULL, LQ_I32, &sum, 1, NULL) == LQ_OK && sum == 127 * 127 * 131071,
            "sum %d", sum);
    }
  lq_cpu_limit(NULL);
  const uint64_t more = most + 1;
  lq_tensor *b = quantize_array(LQ_F32, 1, &more, ones, "method=int8");
  CHECK(lq_matmul_int8(b, b, NULL, LQ_I32, &sum, 1, NULL) == LQ_E_UNSUPPORTED, "131072 columns");
  CHECK(lq_matmul_int8(a, b, NULL, LQ_I32, &sum, 1, NULL) == LQ_E_SHAPE, "columns differ");
  check_lowest(a);
  lq_tensor_destroy(a);
  lq_tensor_destroy(b);
  free(ones);
}

int main(void)
{
  test_sizes();
  test_shapes();
  for (int t = 0; t < 40; t++)
    test_int8(1 + rng_below(&random_state, 30), 1 + rng_below(&random_state, 30),
              1 + rng_below(&random_state, 200), t % 2 ? 4 : 0);
  test_int8(3, 5, 1027, 0);
  test_int8(67, 69, 300, 3);  /* more rows and dense columns than are taken at a time */
  test_int8(1030, 49, 65, 9); /* more rows of x than are copied at a time */
  test_int8(2, 7, 4200, 0);   /* rows longer than a piece of them */
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++)
    test_int8_outliers(dtype);
  test_int8_weight_outliers();
  test_int8_limits();
  return test_end();
}
