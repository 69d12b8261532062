/*
 * test_static.c - static weights: the bits of lq_dequantize and lq_matmul for every method and odd
 * sizes, fixed point against golden vectors, and descriptors that lie.
 */
#include "vectors.h"
#include "helpers.h"

static uint64_t seed = 20;

static lq_static describe(const lq_tensor *t)
{
  lq_static w = {.size = sizeof w};
  lq_status s = lq_static_from_tensor(t, &w);
  CHECK(s == LQ_OK, "from_tensor: %d", s);
  return w;
}

static float *random_floats(uint64_t n, float scale)
{
  float *x = test_alloc((size_t)n * sizeof *x);
  for (uint64_t i = 0; i < n; i++)
    x[i] = rng_normal(&seed) * scale;
  return x;
}

/* First place where two arrays differ in a bit. */
static uint64_t first_bit_difference(const float *a, const float *b, uint64_t n)
{
  uint64_t i = 0;
  while (i < n && bits_of_float(a[i]) == bits_of_float(b[i]))
    i++;
  return i;
}

static void check_decode(const lq_tensor *t, const lq_static *w)
{
  uint64_t n = (uint64_t)w->rows * w->columns;
  float *want = decode(t, LQ_F32), *got = test_alloc((size_t)n * sizeof *got);
  lq_status s = lq_static_decode(w, 0, w->rows, got);
  uint64_t at = want ? first_bit_difference(got, want, n) : 0;
  CHECK(s == LQ_OK && at == n, "decode: %d, element %llu", s, (unsigned long long)at);
  for (uint32_t r = 0; want && r < w->rows; r += 1 + w->rows / 3) {
    s = lq_static_decode(w, r, 1, got);
    at = first_bit_difference(got, want + (size_t)r * w->columns, w->columns);
    CHECK(s == LQ_OK && at == w->columns, "row %u: %d, column %llu", r, s, (unsigned long long)at);
  }
  CHECK(lq_static_decode(w, w->rows, 1, got) == LQ_E_SHAPE, "a row past the end");
  CHECK(lq_static_decode(w, 1, w->rows, got) == LQ_E_SHAPE, "too many rows");
  CHECK(lq_static_decode(w, 0, UINT32_MAX, got) == LQ_E_SHAPE, "rows that wrap");
  CHECK(lq_static_decode(w, 0, w->rows, NULL) == LQ_E_ARGUMENT, "no room");
  free(want);
  free(got);
}

static void check_matvec(const lq_tensor *t, const lq_static *w, float magnitude)
{
  float *x = random_floats(w->columns, magnitude), *bias = random_floats(w->rows, 1);
  float *want = random_floats(w->rows, 1), *got = random_floats(w->rows, 1);
  for (int biased = 0; biased < 2; biased++) {
    lq_static with = *w;
    with.bias = biased ? bias : NULL;
    lq_status a = lq_matmul(t, 1, LQ_F32, x, w->columns, with.bias, LQ_F32, want, w->rows, NULL);
    lq_status b = lq_static_matvec(&with, x, got);
    uint64_t at = first_bit_difference(got, want, w->rows);
    CHECK(a == LQ_OK && b == LQ_OK && at == w->rows, "matvec, bias %d: %d %d, row %llu", biased, a,
          b, (unsigned long long)at);
  }
  CHECK(lq_static_matvec(w, NULL, got) == LQ_E_ARGUMENT, "no x");
  CHECK(lq_static_matvec(w, x, NULL) == LQ_E_ARGUMENT, "no y");
  free(x);
  free(bias);
  free(want);
  free(got);
}

static void check_weight(const char *options, uint64_t rows, uint64_t columns)
{
  const uint64_t dims[2] = {rows, columns};
  float *values = random_floats(rows * columns, 0.05f);
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, values, options);
  test_in("%s, %llu x %llu", options, (unsigned long long)rows, (unsigned long long)columns);
  if (t) {
    lq_static w = describe(t);
    CHECK(lq_static_check(&w) == LQ_OK, "check");
    check_decode(t, &w);
    check_matvec(t, &w, 1);
    check_matvec(t, &w, 1e-38f); /* sums of subnormals, some of which become -0 */
  }
  lq_tensor_destroy(t);
  free(values);
  test_in("%s", "");
}

static void test_methods(void)
{
  static const char *const options[] = {
      "method=nf4",
      "method=nf4 block_size=32",
      "method=nf4 block_size=4096",
      "method=nf4 nested=1",
      "method=nf4 block_size=32 nested=1 nested_block_size=8",
      "method=fp4",
      "method=fp4 nested=1",
      "method=int8",
      "method=affine",
      "method=affine group_size=8",
      "method=affine group_size=40 symmetric=0",
      "method=affine group_size=-1",
      "method=affine group_size=32 symmetric=0 nested=1",
      "method=affine bits=8 group_size=32",
      "method=affine bits=8 group_size=64 symmetric=0",
      "method=affine compat=gptq group_size=32",
  };
  static const uint64_t shapes[][2] = {{1, 1},  {1, 32}, {3, 31},  {5, 33},  {2, 64},
                                       {7, 96}, {4, 97}, {3, 128}, {9, 129}, {2, 1000}};
  for (size_t o = 0; o < sizeof options / sizeof *options; o++)
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
      check_weight(options[o], shapes[i][0], shapes[i][1]);
}

/* ---- golden vectors ---- */

static void check_golden(const lq_static *w, const struct vec *want)
{
  float *got = test_alloc((size_t)want->bytes);
  lq_status s = lq_static_decode(w, 0, w->rows, got);
  uint64_t at = first_difference(got, want->data, LQ_F32, want->count, 0);
  CHECK(s == LQ_OK && at == want->count, "%d, element %llu", s, (unsigned long long)at);
  free(got);
}

static lq_static golden_weight(int32_t method, const struct vec *codes, const struct vec *scales,
                               const struct vec *want)
{
  uint32_t columns = (uint32_t)want->dims[want->ndim - 1];
  return (lq_static){.size = sizeof(lq_static),
                     .method = method,
                     .rows = (uint32_t)(want->count / columns),
                     .columns = columns,
                     .bits = method == LQ_INT8 ? 8 : 4,
                     .scale_dtype = scales->dtype,
                     .codes = codes->data,
                     .codes_bytes = (uint32_t)codes->bytes,
                     .scales = scales->data,
                     .scales_bytes = (uint32_t)scales->bytes};
}

/* Each case of a file, with its own scales and with nested ones. */
static void test_golden_4bit(const char *folder, const char *kind, int32_t method)
{
  struct vec_file f, tables;
  char name[64];
  size_t cases = 0;
  snprintf(name, sizeof name, "q4_%s_f32.safetensors", kind);
  int found = vec_open(&f, folder, name) & vec_open(&tables, folder, "codes.safetensors");
  const struct vec *book = vec_find(&tables, "%s.code", kind);
  const struct vec *dynamic = vec_find(&tables, "dynamic.code");
  for (size_t i = 0; CHECK(found && book && dynamic, "%s", name) && i < f.n; i++) {
    char head[128];
    if (!vec_ends(&f.v[i], ".q", head))
      continue;
    const struct vec *want = vec_find(&f, "%s.dq", head), *n_want = vec_find(&f, "%s.n_dq", head);
    const struct vec *scales = vec_find(&f, "%s.absmax", head);
    const struct vec *n_scales = vec_find(&f, "%s.n_absmax8", head);
    const struct vec *second = vec_find(&f, "%s.n_absmax2", head);
    const struct vec *offset = vec_find(&f, "%s.n_offset", head);
    test_in("%s %s", name, head);
    if (!CHECK(want && scales && n_want && n_scales && second && offset, "fields"))
      continue;
    lq_static w = golden_weight(method, &f.v[i], scales, want);
    w.block = (uint32_t)strtoul(strstr(head, ".bs") + 3, NULL, 10);
    w.codebook = book->data;
    check_golden(&w, want);
    w.scale_dtype = LQ_U8;
    w.scales = n_scales->data;
    w.scales_bytes = (uint32_t)n_scales->bytes;
    w.nested_block = 256;
    w.nested_offset = *(const float *)offset->data;
    w.nested_scales = second->data;
    w.nested_scales_bytes = (uint32_t)second->bytes;
    w.nested_codebook = dynamic->data;
    check_golden(&w, n_want);
    cases++;
  }
  test_in("%s", "");
  CHECK(cases > 30, "%s: %zu cases", name, cases);
  vec_close(&f);
  vec_close(&tables);
}

static void test_golden_int8(const char *folder)
{
  struct vec_file f;
  size_t cases = 0;
  CHECK(vec_open(&f, folder, "int8_rowwise.safetensors"), "int8_rowwise");
  for (size_t i = 0; i < f.n; i++) {
    char head[128];
    const struct vec *want, *scales;
    if (!vec_ends(&f.v[i], ".t0.q", head) || !(want = vec_find(&f, "%s.t0.dq", head)) ||
        !(scales = vec_find(&f, "%s.t0.stats", head)))
      continue;
    test_in("int8 %s", head);
    lq_static w = golden_weight(LQ_INT8, &f.v[i], scales, want);
    check_golden(&w, want);
    cases++;
  }
  test_in("%s", "");
  CHECK(cases > 5, "%zu cases", cases);
  vec_close(&f);
}

/* ---- fixed point ---- */

static void test_factors(const struct vec_file *f)
{
  const struct vec *real = vec_find(f, "mult.real"), *q = vec_find(f, "mult.q");
  const struct vec *shift = vec_find(f, "mult.shift");
  int32_t m, e;
  for (uint64_t i = 0; CHECK(real && q && shift, "mult") && i < q->count; i++) {
    double factor = ((const double *)real->data)[i];
    lq_status s = lq_requantize_factor(factor, &m, &e);
    CHECK(s == LQ_OK && m == ((const int32_t *)q->data)[i] &&
              e == ((const int32_t *)shift->data)[i],
          "%a: %d, %d * 2^%d", factor, s, m, e);
  }
  static const double bad[] = {-1e-9, 0x1p30, 1e300, INFINITY, -INFINITY, NAN};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK(lq_requantize_factor(bad[i], &m, &e) == LQ_E_ARGUMENT && m == 0 && e == 0, "%a", bad[i]);
  CHECK(lq_requantize_factor(1, NULL, &e) == LQ_E_ARGUMENT, "no multiplier");
  CHECK(lq_requantize_factor(1, &m, NULL) == LQ_E_ARGUMENT, "no shift");
  CHECK(lq_requantize_factor(0x1p30 - 1, &m, &e) == LQ_OK && e == 30, "the largest: 2^%d", e);
  CHECK(lq_requantize_factor(0x1p-33, &m, &e) == LQ_OK && m == 0 && e == 0, "next to nothing");
}

static void test_requantize(const struct vec_file *f)
{
  const struct vec *acc = vec_find(f, "acc"), *m = vec_find(f, "m"), *e = vec_find(f, "shift");
  const struct vec *twice = vec_find(f, "double"), *once = vec_find(f, "single");
  uint64_t differ = 0;
  for (uint64_t i = 0; CHECK(acc && m && e && twice && once, "acc") && i < acc->count; i++) {
    int32_t a = ((const int32_t *)acc->data)[i], k = ((const int32_t *)m->data)[i];
    int32_t shift = ((const int32_t *)e->data)[i], d = ((const int32_t *)twice->data)[i];
    int32_t s = ((const int32_t *)once->data)[i], got;
    got = lq_requantize(a, k, shift, LQ_ROUND_DOUBLE);
    CHECK(got == d, "double %d * %d * 2^%d: %d, not %d", a, k, shift, got, d);
    got = lq_requantize(a, k, shift, LQ_ROUND_SINGLE);
    CHECK(got == s, "single %d * %d * 2^%d: %d, not %d", a, k, shift, got, s);
    differ += d != s;
  }
  CHECK(differ > 10, "the two roundings differ in %llu cases", (unsigned long long)differ);
  CHECK(lq_requantize(5, -1, 0, LQ_ROUND_DOUBLE) == 0, "negative multiplier");
  CHECK(lq_requantize(5, 1 << 30, -32, LQ_ROUND_DOUBLE) == 0, "shift below");
  CHECK(lq_requantize(5, 1 << 30, 31, LQ_ROUND_SINGLE) == 0, "shift above");
  CHECK(lq_requantize(5, 1 << 30, 1, 0) == 0 && lq_requantize(5, 1 << 30, 1, 3) == 0, "rounding");
  CHECK(lq_requantize(INT32_MIN, INT32_MAX, -31, LQ_ROUND_DOUBLE) == -1, "half away from zero");
  CHECK(lq_requantize(INT32_MIN, INT32_MAX, -31, LQ_ROUND_SINGLE) == -1, "the farthest");
}

/* The layer of the vectors, each of its inputs. */
static void test_layer(const struct vec_file *f, int32_t rounding, const char *out)
{
  const struct vec *x = vec_find(f, "fc.x"), *w = vec_find(f, "fc.w"),
                   *b = vec_find(f, "fc.bias_q");
  const struct vec *sums = vec_find(f, "fc.kernel_sum"), *m = vec_find(f, "fc.m");
  const struct vec *e = vec_find(f, "fc.shift"), *want = vec_find(f, "%s", out);
  if (!CHECK(x && w && b && sums && m && e && want, "fc") || !CHECK(w->dims[0] <= 64, "rows"))
    return;
  int32_t bias[64];
  int8_t shift[64], y[64];
  uint32_t rows = (uint32_t)w->dims[0], columns = (uint32_t)w->dims[1];
  for (uint32_t n = 0; n < rows; n++) {
    bias[n] = ((const int32_t *)b->data)[n] + ((const int32_t *)sums->data)[n];
    shift[n] = (int8_t)((const int32_t *)e->data)[n];
  }
  lq_static_w8a8 layer = {.size = sizeof layer,
                          .rounding = rounding,
                          .rows = rows,
                          .columns = columns,
                          .y_zero = 4,
                          .y_least = -128,
                          .y_most = 127,
                          .x_zero = -7,
                          .codes = w->data,
                          .bias = bias,
                          .multiplier = m->data,
                          .shift = shift};
  for (uint64_t t = 0; t < x->dims[0]; t++) {
    lq_status s = lq_static_matvec_w8a8(&layer, (const int8_t *)x->data + t * columns, y);
    CHECK(s == LQ_OK && !memcmp(y, (const int8_t *)want->data + t * rows, rows),
          "%s, input %llu: %d", out, (unsigned long long)t, s);
  }
}

/* A layer from a tensor, against real numbers: off by half a step of the output and little more. */
static void test_from_tensor(uint32_t rows, uint32_t columns, int32_t rounding)
{
  const uint64_t dims[2] = {rows, columns};
  float *values = random_floats((uint64_t)rows * columns, 0.1f), *bias = random_floats(rows, 1);
  if (rows > 2) /* a row of zeros, and one next to that, whose biases are not */
    for (uint32_t k = 0; k < columns; k++)
      values[columns + k] = 0.0f, values[2 * columns + k] *= 1e-12f;
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, values, "method=int8");
  float *back = decode(t, LQ_F32);
  int8_t *codes = test_alloc((size_t)rows * columns), *shift = test_alloc(rows);
  int8_t *x = test_alloc(columns), *y = test_alloc(rows);
  int32_t *bias_q = test_alloc(rows * sizeof *bias_q), *m = test_alloc(rows * sizeof *m);
  lq_static_w8a8 w = {.size = sizeof w,
                      .rounding = rounding,
                      .x_scale = 0.02f,
                      .x_zero = -7,
                      .y_scale = 0.05f,
                      .y_zero = 3,
                      .y_least = -128,
                      .y_most = 127};
  test_in("w8a8 %u x %u, rounding %d", rows, columns, rounding);
  lq_status s = lq_static_w8a8_from_tensor(t, bias, codes, bias_q, m, shift, &w);
  CHECK(s == LQ_OK && w.rows == rows && w.columns == columns, "from tensor: %d", s);
  for (uint32_t k = 0; k < columns; k++)
    x[k] = (int8_t)((int)rng_below(&seed, 256) - 128);
  s = lq_static_matvec_w8a8(&w, x, y);
  for (uint32_t n = 0; back && n < rows; n++) {
    double sum = (double)bias[n];
    for (uint32_t k = 0; k < columns; k++)
      sum += (double)back[(size_t)n * columns + k] * (double)w.x_scale * (x[k] - w.x_zero);
    double want = sum / (double)w.y_scale + w.y_zero;
    want = want < -128 ? -128 : want > 127 ? 127 : want;
    CHECK(s == LQ_OK && fabs(y[n] - want) < 0.52, "row %u: %d, not %f", n, y[n], want);
  }
  test_in("%s", "");
  lq_tensor_destroy(t);
  free(values);
  free(bias);
  free(back);
  free(codes);
  free(shift);
  free(x);
  free(y);
  free(bias_q);
  free(m);
}

static void test_layer_arguments(void)
{
  const uint64_t dims[2] = {2, 8};
  const float values[16] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1, 1, 1, 1, 1, 1}, nan[2] = {0, NAN};
  const float huge[2] = {0, 1e30f};
  int8_t codes[16], shift[2];
  int32_t bias[2], m[2];
  lq_static_w8a8 good = {.size = sizeof good,
                         .rounding = LQ_ROUND_SINGLE,
                         .x_scale = 1,
                         .y_scale = 1,
                         .y_least = -128,
                         .y_most = 127},
                 w;
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, values, "method=int8");
  lq_tensor *other = quantize_array(LQ_F32, 2, dims, values, "method=nf4");
  lq_tensor *outliers = quantize_array(LQ_F32, 2, dims, values, "method=int8 threshold=6");
#define LAYER(tensor, bias_in) \
  (w = good, lq_static_w8a8_from_tensor(tensor, bias_in, codes, bias, m, shift, &w))
  CHECK(LAYER(t, NULL) == LQ_OK, "good");
  CHECK(LAYER(other, NULL) == LQ_E_UNSUPPORTED, "nf4");
  CHECK(LAYER(outliers, NULL) == LQ_E_UNSUPPORTED, "outliers");
  CHECK(LAYER(NULL, NULL) == LQ_E_ARGUMENT, "no tensor");
  CHECK(LAYER(t, nan) == LQ_E_NONFINITE, "bias NaN");
  CHECK(LAYER(t, huge) == LQ_E_OVERFLOW, "a bias beyond all outputs");
  good.x_zero = 128;
  CHECK(LAYER(t, NULL) == LQ_E_ARGUMENT, "zero point");
  good.x_zero = 0;
  good.y_scale = 0;
  CHECK(LAYER(t, NULL) == LQ_E_ARGUMENT, "scale 0");
  good.y_scale = 1e-30f;
  CHECK(LAYER(t, NULL) == LQ_E_OVERFLOW, "factor");
  good.y_scale = NAN;
  CHECK(LAYER(t, NULL) == LQ_E_ARGUMENT, "scale NaN");
  good.y_scale = 1;
  good.rounding = 0;
  CHECK(LAYER(t, NULL) == LQ_E_ARGUMENT, "rounding");
  good.size = 8;
  CHECK(LAYER(t, NULL) == LQ_E_VERSION, "size");
#undef LAYER
  lq_tensor_destroy(t);
  lq_tensor_destroy(other);
  lq_tensor_destroy(outliers);
}

/* ---- descriptors that lie ---- */

#define LIE(status, change) \
  do { \
    lq_static w = *good; \
    float sink[64 * 4] = {0}; \
    change; \
    lq_status got = lq_static_check(&w); \
    CHECK(got == (status), "%s: %d", #change, got); \
    CHECK(lq_static_decode(&w, 0, 1, sink) == (status), "decode: %s", #change); \
    CHECK(lq_static_matvec(&w, sink, sink + 64) == (status), "matvec: %s", #change); \
  } while (0)

static void lies_of_any(const lq_static *good)
{
  LIE(LQ_OK, w.reserved = 0);
  LIE(LQ_E_VERSION, w.size = 0);
  LIE(LQ_E_VERSION, w.size = sizeof w - 1);
  LIE(LQ_E_ARGUMENT, w.method = LQ_DYNAMIC8);
  LIE(LQ_E_ARGUMENT, w.method = 0);
  LIE(LQ_E_ARGUMENT, w.bits = 0);
  LIE(LQ_E_ARGUMENT, w.bits = 3);
  LIE(LQ_E_ARGUMENT, w.scale_dtype = 0);
  LIE(LQ_E_ARGUMENT, w.scale_dtype = LQ_BF16);
  LIE(LQ_E_ARGUMENT, w.codes = NULL);
  LIE(LQ_E_ARGUMENT, w.scales = NULL);
  LIE(LQ_E_ARGUMENT, w.bias = (const float *)((uintptr_t)w.scales + 1));
  LIE(LQ_E_SHAPE, w.codes_bytes--);
  LIE(LQ_E_SHAPE, w.codes_bytes++);
  LIE(LQ_E_SHAPE, w.codes_bytes = 0);
  LIE(LQ_E_SHAPE, w.scales_bytes -= 1);
  LIE(LQ_E_SHAPE, w.scales_bytes += 4);
  LIE(LQ_E_SHAPE, w.rows++);
  LIE(LQ_E_SHAPE, w.rows = 0);
  LIE(LQ_E_SHAPE, w.columns = 0);
  LIE(LQ_E_OVERFLOW, w.rows = UINT32_MAX);
  LIE(LQ_E_OVERFLOW, w.columns = UINT32_MAX);
  LIE(LQ_E_SHAPE, w.zeros_bytes = 3);
}

static void lies_of_books(const lq_static *good)
{
  LIE(LQ_E_ARGUMENT, w.block = 0);
  LIE(LQ_E_SHAPE, w.block = 1);
  LIE(LQ_E_SHAPE, w.block *= 2);
  LIE(LQ_E_ARGUMENT, w.codebook = NULL);
  LIE(LQ_E_ARGUMENT, w.codebook = (const float *)((uintptr_t)w.codebook + 1));
  LIE(LQ_E_ARGUMENT, w.scale_dtype = LQ_F16);
  LIE(LQ_E_ARGUMENT, w.bits = 8);
}

static void lies_of_nested(const lq_static *good)
{
  LIE(LQ_E_ARGUMENT, w.nested_block = 0);
  LIE(LQ_E_SHAPE, w.nested_block = 1);
  LIE(LQ_E_ARGUMENT, w.nested_codebook = NULL);
  LIE(LQ_E_ARGUMENT, w.nested_scales = NULL);
  LIE(LQ_E_SHAPE, w.nested_scales_bytes--);
  LIE(LQ_E_SHAPE, w.nested_scales_bytes = 0);
  LIE(LQ_E_SHAPE, w.scale_dtype = LQ_F32);
}

static void lies_of_affine(const lq_static *good)
{
  LIE(LQ_E_ARGUMENT, w.block = 0);
  LIE(LQ_E_SHAPE, w.bits = 8);
  LIE(LQ_E_SHAPE, w.zeros_bytes--);
  LIE(LQ_E_SHAPE, w.zeros_bytes = 0);
  LIE(LQ_E_SHAPE, w.zeros = NULL);
  LIE(LQ_E_OVERFLOW, w.rows = 1; w.columns = UINT32_MAX; w.bits = 8; w.codes_bytes = 0);
  LIE(LQ_OK, w.zeros = NULL; w.zeros_bytes = 0);
  LIE(LQ_E_SHAPE, w.scale_dtype = LQ_F32);
  LIE(LQ_E_SHAPE, w.block = 16);
}

static void lies_of_int8(const lq_static *good)
{
  LIE(LQ_E_ARGUMENT, w.block = 64);
  LIE(LQ_E_ARGUMENT, w.scale_dtype = LQ_U8);
  LIE(LQ_E_ARGUMENT, w.scale_dtype = LQ_F16);
  LIE(LQ_E_ARGUMENT, w.bits = 4);
}

static void test_lies(void)
{
  static const struct {
    const char *options;
    void (*lies)(const lq_static *good);
  } kinds[] = {
      {"method=nf4", lies_of_books},
      {"method=fp4 nested=1 nested_block_size=8 block_size=16", lies_of_nested},
      {"method=affine symmetric=0 group_size=32", lies_of_affine},
      {"method=int8", lies_of_int8},
  };
  const uint64_t dims[2] = {3, 64};
  float *values = random_floats(3 * 64, 1);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    lq_tensor *t = quantize_array(LQ_F32, 2, dims, values, kinds[i].options);
    test_in("%s", kinds[i].options);
    lq_static good = describe(t);
    lies_of_any(&good);
    kinds[i].lies(&good);
    lq_tensor_destroy(t);
  }
  test_in("%s", "");
  CHECK(lq_static_check(NULL) == LQ_E_ARGUMENT, "NULL");
  free(values);
}

#define LIE_LAYER(status, change) \
  do { \
    lq_static_w8a8 w = good; \
    int8_t x[8] = {0}, y[3]; \
    change; \
    lq_status got = lq_static_check_w8a8(&w); \
    CHECK(got == (status), "%s: %d", #change, got); \
    CHECK(lq_static_matvec_w8a8(&w, x, y) == (status), "matvec: %s", #change); \
  } while (0)

static void test_layer_lies(void)
{
  static const int8_t codes[24], shift[3], above[3] = {0, 0, 31}, below[3] = {-32, 0, 0};
  static const int32_t bias[3], m[3], negative[3] = {0, -1, 0};
  const lq_static_w8a8 good = {.size = sizeof good,
                               .rounding = LQ_ROUND_DOUBLE,
                               .rows = 3,
                               .columns = 8,
                               .y_least = -128,
                               .y_most = 127,
                               .codes = codes,
                               .bias = bias,
                               .multiplier = m,
                               .shift = shift};
  LIE_LAYER(LQ_OK, w.rounding = LQ_ROUND_SINGLE);
  LIE_LAYER(LQ_OK, w.columns = 0; w.codes = NULL);
  LIE_LAYER(LQ_E_VERSION, w.size = 4);
  LIE_LAYER(LQ_E_ARGUMENT, w.rounding = 0);
  LIE_LAYER(LQ_E_ARGUMENT, w.rounding = 3);
  LIE_LAYER(LQ_E_ARGUMENT, w.y_zero = 128);
  LIE_LAYER(LQ_E_ARGUMENT, w.x_zero = -129);
  LIE_LAYER(LQ_E_ARGUMENT, w.y_least = -129);
  LIE_LAYER(LQ_E_ARGUMENT, w.y_most = 128);
  LIE_LAYER(LQ_E_ARGUMENT, w.y_least = 5; w.y_most = 4);
  LIE_LAYER(LQ_E_OVERFLOW, w.columns = 131072);
  LIE_LAYER(LQ_E_OVERFLOW, w.rows = UINT32_MAX);
  LIE_LAYER(LQ_E_ARGUMENT, w.codes = NULL);
  LIE_LAYER(LQ_E_ARGUMENT, w.bias = NULL);
  LIE_LAYER(LQ_E_ARGUMENT, w.multiplier = NULL);
  LIE_LAYER(LQ_E_ARGUMENT, w.shift = NULL);
  LIE_LAYER(LQ_E_ARGUMENT, w.multiplier = negative);
  LIE_LAYER(LQ_E_ARGUMENT, w.shift = above);
  LIE_LAYER(LQ_E_ARGUMENT, w.shift = below);
  CHECK(lq_static_check_w8a8(NULL) == LQ_E_ARGUMENT, "NULL");
}

/* What cannot be described, and scales so large that the first product of int8 would overflow. */
static void test_refused(void)
{
  static const char *const options[] = {"method=dynamic8", "method=none", "method=int8 threshold=6",
                                        "method=affine bits=3", "method=affine bits=2"};
  const uint64_t dims[2] = {2, 64};
  float *values = random_floats(128, 4);
  lq_static w = {.size = sizeof w};
  values[7] = 9;
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    lq_tensor *t = quantize_array(LQ_F32, 2, dims, values, options[i]);
    lq_status s = lq_static_from_tensor(t, &w);
    CHECK(s == LQ_E_UNSUPPORTED, "%s: %d", options[i], s);
    lq_tensor_destroy(t);
  }
  CHECK(lq_static_from_tensor(NULL, &w) == LQ_E_ARGUMENT, "no tensor");
  for (int i = 0; i < 128; i++)
    values[i] = (float)(i - 64) * 0x1p121f;
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, values, "method=int8");
  CHECK(lq_static_from_tensor(t, NULL) == LQ_E_ARGUMENT, "no room");
  w.size = 4;
  CHECK(lq_static_from_tensor(t, &w) == LQ_E_VERSION, "size");
  test_in("int8 with scales above 2^120");
  w = describe(t);
  check_decode(t, &w);
  check_matvec(t, &w, 1e-6f);
  test_in("%s", "");
  lq_tensor_destroy(t);
  free(values);
}

int main(int argc, char **argv)
{
  struct vec_file f;
  char folder[1024];
  test_methods();
  test_refused();
  test_lies();
  test_layer_lies();
  snprintf(folder, sizeof folder, "%s/bitsandbytes", test_vectors(argc, argv));
  test_golden_4bit(folder, "nf4", LQ_NF4);
  test_golden_4bit(folder, "fp4", LQ_FP4);
  test_golden_int8(folder);
  snprintf(folder, sizeof folder, "%s/fixed_point", test_vectors(argc, argv));
  if (CHECK(vec_open(&f, folder, "requant.safetensors"), "requant")) {
    test_factors(&f);
    test_requantize(&f);
    test_layer(&f, LQ_ROUND_DOUBLE, "fc.out_double");
    test_layer(&f, LQ_ROUND_SINGLE, "fc.out_single");
  }
  vec_close(&f);
  for (int32_t rounding = LQ_ROUND_DOUBLE; rounding <= LQ_ROUND_SINGLE; rounding++) {
    test_from_tensor(1, 1, rounding);
    test_from_tensor(4, 33, rounding);
    test_from_tensor(7, 100, rounding);
    test_from_tensor(9, 256, rounding);
  }
  test_layer_arguments();
  return test_end();
}
