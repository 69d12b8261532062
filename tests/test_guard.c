/*
 * test_guard.c - proves that no call reads or writes beyond what it was given: every input and
 * output lies against an unreadable page, before it or behind it.
 *
 * Weights, planes (borrowed and copied), activations, biases, results and saved calibrations; all
 * methods of the registry and the options that lead to other code; columns 1 to 67 and whole
 * pieces; every level of kernels. Results equal those on ordinary memory. Pointers that are not
 * aligned to their elements are refused.
 */
#include "guard.h"

#include "helpers.h"

enum { ARENAS = 24, MOST_COLUMNS = 320, MOST_ROWS = 20, BATCH = 17, MOST_PLANES = 8 };

static struct guard arena[ARENAS];
static int used;
static size_t shift; /* of place() */

static float numbers[MOST_ROWS * MOST_COLUMNS];
static float plain[MOST_ROWS * MOST_COLUMNS];

static void *room(uint64_t n, int32_t dtype)
{
  if (used == ARENAS) {
    printf("more than %d objects\n", ARENAS);
    exit(2);
  }
  return place(&arena[used++], (size_t)n, element_size(dtype), shift);
}

/* The first n numbers in dtype, guarded. */
static void *guarded_numbers(uint64_t n, int32_t dtype)
{
  void *from = array_of(numbers, n, dtype), *to = room(n, dtype);
  memcpy(to, from, (size_t)n * element_size(dtype));
  free(from);
  return to;
}

static void *copy_guarded(const lq_plane *p)
{
  void *to = room(p->bytes / element_size(p->dtype), p->dtype);
  if (p->bytes)
    memcpy(to, p->data, (size_t)p->bytes);
  return to;
}

/* A result that was written into the last object of room(): nothing around it has changed. */
static void wrote(const char *what, lq_status s)
{
  CHECK(s == LQ_OK, "%s: status %d", what, s);
  CHECK(untouched(&arena[used - 1]), "%s wrote around its result", what);
  used--;
}

/* ---- one tensor ---- */

static void check_decode(const lq_tensor *t, const lq_tensor *owned)
{
  uint64_t rows = lq_tensor_dim(t, 0), columns = lq_tensor_dim(t, 1), n = rows * columns;
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    size_t size = element_size(dtype);
    void *y = room(n, dtype);
    CHECK(lq_dequantize(owned, dtype, plain, (size_t)n * size, NULL) == LQ_OK, "dequantize");
    lq_status s = lq_dequantize(t, dtype, y, (size_t)n * size, NULL);
    CHECK(!memcmp(y, plain, (size_t)n * size), "dequantize to dtype %d: other values", dtype);
    wrote("dequantize", s);
    y = room(columns, dtype);
    s = lq_dequantize_rows(t, rows / 2, 1, dtype, y, (size_t)columns * size, NULL);
    CHECK(!memcmp(y, (char *)plain + rows / 2 * columns * size, (size_t)columns * size),
          "dequantize_rows: other values");
    wrote("dequantize_rows", s);
  }
}

/* x and y have strides, and end with their last row. */
static void check_products(const lq_tensor *t, const lq_config *how)
{
  static const uint64_t batches[] = {1, 3, BATCH};
  uint64_t n = lq_tensor_dim(t, 0), k = lq_tensor_dim(t, 1);
  const float *bias = guarded_numbers(n, LQ_F32);
  for (int i = 0; i < 3; i++) {
    uint64_t m = batches[i], xs = k + (uint64_t)i, ys = n + (uint64_t)i, ends = m - 1;
    int32_t dtype = LQ_F32 + i, to = LQ_BF16 - i;
    const void *x = guarded_numbers(ends * xs + k, dtype);
    void *y = room(ends * ys + n, to);
    wrote("matmul", lq_matmul(t, m, dtype, x, xs, bias, to, y, ys, how));
    uint64_t first = n / 2, rows = n - first;
    y = room(ends * ys + rows, to);
    wrote("matmul_rows",
          lq_matmul_rows(t, first, rows, m, dtype, x, xs, bias + first, to, y, ys, how));
    used--;
    const void *dy = guarded_numbers(ends * ys + n, dtype);
    y = room(ends * xs + k, to);
    wrote("matmul_transposed", lq_matmul_transposed(t, m, dtype, dy, ys, to, y, xs, how));
    used--;
  }
  used--;
}

static void check_integers(const lq_tensor *t)
{
  static const int32_t types[] = {LQ_I32, LQ_F32, LQ_BF16};
  uint64_t n = lq_tensor_dim(t, 0);
  int64_t outliers = lq_tensor_plane_count(t, LQ_LAYOUT_NATIVE) > 3;
  if (lq_tensor_method(t) != LQ_INT8 || outliers)
    return;
  const float *bias = guarded_numbers(n, LQ_F32);
  for (int i = 0; i < 3; i++) {
    void *y = room((n - 1) * (n + 1) + n, types[i]);
    wrote("matmul_int8", lq_matmul_int8(t, t, i ? bias : NULL, types[i], y, n + 1, NULL));
  }
  used--;
}

/* The planes of a layout, guarded, made a tensor again. */
static lq_tensor *from_guarded(const lq_tensor *t, int32_t layout, int borrow)
{
  lq_plane planes[MOST_PLANES];
  uint32_t n = lq_tensor_plane_count(t, layout);
  uint64_t dims[2] = {lq_tensor_dim(t, 0), lq_tensor_dim(t, 1)};
  lq_tensor *out = NULL;
  lq_config *config = new_config("");
  for (uint32_t i = 0; i < n && i < MOST_PLANES; i++) {
    planes[i].size = sizeof planes[i];
    CHECK(lq_tensor_plane(t, layout, i, &planes[i]) == LQ_OK, "plane %u", i);
    planes[i].data = copy_guarded(&planes[i]);
  }
  lq_status s = lq_tensor_from_planes(config, layout, planes, n, 2, dims, borrow, &out);
  CHECK(s == LQ_OK, "from_planes, layout %d: %d %s", layout, s, lq_config_error_text(config));
  lq_config_destroy(config);
  return out;
}

static void check_layouts(const lq_tensor *owned)
{
  size_t bytes = (size_t)tensor_elements(owned) * sizeof(float);
  CHECK(lq_dequantize(owned, LQ_F32, plain, bytes, NULL) == LQ_OK, "dequantize");
  for (int32_t layout = LQ_LAYOUT_NATIVE; layout <= LQ_LAYOUT_AWQ; layout++) {
    lq_tensor *converted = NULL;
    int before = used;
    if (lq_tensor_obstacle(owned, layout))
      continue;
    CHECK(lq_tensor_convert(NULL, owned, layout, &converted) == LQ_OK, "convert");
    lq_tensor *t = from_guarded(converted, layout, 0);
    float *values = t ? decode(t, LQ_F32) : NULL;
    CHECK(values && !memcmp(values, plain, bytes), "layout %d: other values", layout);
    free(values);
    lq_tensor_destroy(t);
    lq_tensor_destroy(converted);
    used = before;
  }
}

static void one(const char *options, uint64_t rows, uint64_t columns)
{
  const uint64_t dims[2] = {rows, columns};
  int32_t dtype = LQ_F32 + (int32_t)(columns % 3);
  test_in("%s, %s, %d x %d, shift %d", lq_cpu_features(), options, (int)rows, (int)columns,
          (int)shift);
  used = 0;
  lq_tensor *owned =
      quantize_array(dtype, 2, dims, guarded_numbers(rows * columns, dtype), options);
  lq_tensor *t = owned ? from_guarded(owned, LQ_LAYOUT_NATIVE, 1) : NULL;
  lq_config *exact = new_config("threads=1"), *fast = new_config("threads=1 compute=fast");
  if (t) {
    check_decode(t, owned);
    check_products(t, exact);
    check_products(t, fast);
    check_integers(t);
    check_layouts(owned);
  }
  lq_config_destroy(exact);
  lq_config_destroy(fast);
  lq_tensor_destroy(t);
  lq_tensor_destroy(owned);
}

/* ---- calibration ---- */

static void calibrated(uint64_t rows, uint64_t columns)
{
  const uint64_t dims[2] = {rows, columns};
  lq_quantizer *q = NULL;
  lq_tensor *t = NULL;
  test_in("%s, gptq, %d x %d, shift %d", lq_cpu_features(), (int)rows, (int)columns, (int)shift);
  used = 0;
  lq_tensor *dense = wrap(LQ_F32, 2, dims, guarded_numbers(rows * columns, LQ_F32));
  lq_config *config = new_config("method=gptq group_size=16");
  CHECK(lq_quantizer_create(config, &q) == LQ_OK, "create");
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    uint64_t stride = columns + 1, m = 9;
    const void *x = guarded_numbers((m - 1) * stride + columns, dtype);
    CHECK(lq_quantizer_observe(q, m, columns, dtype, x, stride) == LQ_OK, "observe");
  }
  uint64_t bytes = lq_quantizer_save_bytes(q);
  void *image = room(bytes, LQ_U8);
  lq_status s = lq_quantizer_save(q, image, (size_t)bytes);
  CHECK(s == LQ_OK && untouched(&arena[used - 1]), "save: %d", s);
  CHECK(lq_quantizer_load(q, image, (size_t)bytes) == LQ_OK, "load");
  s = lq_quantizer_run(q, dense, &t);
  CHECK(s == LQ_OK, "run: %d %s", s, lq_quantizer_error_text(q));
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(q);
  lq_config_destroy(config);
}

/* ---- all of them ---- */

static void sizes(const char *options)
{
  static const uint64_t whole[] = {96, 128, 192, 256, MOST_COLUMNS};
  for (uint64_t columns = 1; columns <= 67; columns++)
    if (test_takes(16))
      one(options, 1 + columns % 6, columns);
  for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
    one(options, i == 2 ? MOST_ROWS : 3 + i, whole[i]);
  one(options, 8, 64); /* what GPTQ and AWQ layouts can hold */
  one(options, 32, 32);
}

static void test_methods(void)
{
  static const char *const more[] = {
      "method=nf4 block_size=32 nested=1",
      "method=fp4 block_size=8 nested=1 nested_block_size=8",
      "method=nf4 block_size=64 compat=bitsandbytes-cpu",
      "method=dynamic8 block_size=20 nested=1",
      "method=dynamic8 compat=bitsandbytes-cpu",
      "method=int8 threshold=2",
      "method=affine bits=2 group_size=8 symmetric=0",
      "method=affine bits=3 group_size=32 nested=1",
      "method=affine bits=8 group_size=64 symmetric=0",
      "method=affine bits=4 group_size=32 symmetric=0 mse=2",
      "method=affine bits=3 group_size=-1 compat=gptq",
  };
  for (uint32_t i = 0; i < lq_method_count(); i++) {
    char options[64];
    if (method_options(i, options))
      sizes(options);
  }
  for (size_t i = 0; i < sizeof more / sizeof *more; i++)
    sizes(more[i]);
  for (uint64_t columns = 1; columns <= 67; columns++)
    if (test_takes(16))
      calibrated(1 + columns % 6, columns);
}

/* A pointer that is not at a multiple of its element's size. */
static void test_misaligned(void)
{
  static double memory[64];
  const uint64_t dims[2] = {4, 4};
  float *odd = (void *)((char *)memory + 1);
  float *x = (float *)(void *)memory, *y = x + 32;
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, numbers, "method=int8"), *none = t;
  lq_quantizer *q = NULL;
  lq_config *config = new_config("method=gptq");
  test_in("misaligned");
  CHECK(lq_quantizer_create(config, &q) == LQ_OK, "create");
  CHECK(lq_tensor_wrap(NULL, LQ_F32, 2, dims, odd, 64, &none) == LQ_E_ARGUMENT && !none, "wrap");
  CHECK(lq_dequantize(t, LQ_F32, odd, 64, NULL) == LQ_E_ARGUMENT, "dequantize");
  CHECK(lq_dequantize_rows(t, 1, 2, LQ_F16, odd, 16, NULL) == LQ_E_ARGUMENT, "dequantize_rows");
  CHECK(lq_matmul(t, 1, LQ_F32, odd, 4, NULL, LQ_F32, y, 4, NULL) == LQ_E_ARGUMENT, "x");
  CHECK(lq_matmul(t, 1, LQ_F32, x, 4, odd, LQ_F32, y, 4, NULL) == LQ_E_ARGUMENT, "bias");
  CHECK(lq_matmul(t, 1, LQ_F32, x, 4, NULL, LQ_F16, odd, 4, NULL) == LQ_E_ARGUMENT, "y");
  CHECK(lq_matmul_transposed(t, 1, LQ_BF16, odd, 4, LQ_F32, y, 4, NULL) == LQ_E_ARGUMENT, "dy");
  CHECK(lq_matmul_transposed(t, 1, LQ_F32, x, 4, LQ_F32, odd, 4, NULL) == LQ_E_ARGUMENT, "dx");
  CHECK(lq_matmul_int8(t, t, NULL, LQ_I32, odd, 4, NULL) == LQ_E_ARGUMENT, "integers");
  CHECK(lq_matmul_int8(t, t, odd, LQ_F32, y, 4, NULL) == LQ_E_ARGUMENT, "integers' bias");
  CHECK(lq_quantizer_observe(q, 1, 4, LQ_F32, odd, 4) == LQ_E_ARGUMENT, "observe");
  lq_quantizer_destroy(q);
  lq_config_destroy(config);
  lq_tensor_destroy(t);
}

int main(void)
{
  uint64_t state = 8;
  for (int i = 0; i < ARENAS; i++)
    guard_create(&arena[i]);
  for (int i = 0; i < MOST_ROWS * MOST_COLUMNS; i++)
    numbers[i] = rng_normal(&state);
  for (int level = 0; level < TEST_LEVELS; level++)
    for (shift = 0; test_level(level) && shift < 3; shift++)
      test_methods();
  lq_cpu_limit(NULL);
  test_misaligned();
  return test_end();
}
