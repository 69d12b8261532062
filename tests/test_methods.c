/*
 * test_methods.c - proves the rules of every method against double precision, on random weights of
 * awkward sizes.
 *
 * For nf4, fp4, dynamic8 and int8 in f32, f16 and bf16: scales are the largest magnitudes, every
 * code is the nearest there is, values are code times scale rounded once, zero stays zero, blocks
 * of subnormal numbers keep their shape, rows decoded alone equal the whole. Planes and values are
 * the same bytes for every level of kernels. Threads and the caller's pool: test_threads.c.
 */
#include "helpers.h"

#define MOST 20000

static uint64_t random_state = 4711;
static float source[MOST];

/*
 * The values of a method's codes, read off a tensor whose codes are all there are and whose scale
 * is 1.
 */
struct table {
  const char *method;
  int codes;
  float value[256];
};

static struct table tables[] = {{"nf4", 16, {0}}, {"fp4", 16, {0}}, {"dynamic8", 256, {0}}};

enum { NF4, FP4, DYNAMIC8, TABLES };

/* ---- code tables ---- */

static lq_plane plane(const char *name, int32_t dtype, uint64_t n, const void *data)
{
  lq_plane p = {
      .size = sizeof p, .dtype = dtype, .ndim = 1, .dims = {n}, .name = name, .data = data};
  p.bytes = n * element_size(dtype);
  return p;
}

/* Takes the planes of a quantized ramp and replaces its codes by all codes there are. */
static void read_table(struct table *t)
{
  float ramp[256];
  uint8_t codes[256];
  char options[64];
  const uint64_t n = (uint64_t)t->codes;
  uint64_t bytes = n == 16 ? 8 : 256;
  lq_tensor *loaded = NULL;
  lq_plane p[3];
  for (int i = 0; i < 256; i++)
    ramp[i] = (float)(i % t->codes + 1) / (float)t->codes;
  for (uint64_t i = 0; i < bytes; i++)
    codes[i] = (uint8_t)(n == 16 ? i * 2 << 4 | (i * 2 + 1) : i);
  snprintf(options, sizeof options, "method=%s block_size=256", t->method);
  lq_tensor *made = quantize_array(LQ_F32, 1, &n, ramp, options);
  if (!made || !find_plane(made, LQ_LAYOUT_NATIVE, "meta", &p[0]) ||
      !find_plane(made, LQ_LAYOUT_NATIVE, "scales", &p[2]))
    exit(2);
  p[1] = plane("codes", LQ_U8, bytes, codes);
  lq_config *config = new_config("");
  lq_status s = lq_tensor_from_planes(config, LQ_LAYOUT_NATIVE, p, 3, 0, NULL, 0, &loaded);
  if (CHECK(s == LQ_OK, "from_planes: %d %s", s, lq_config_error_text(config)))
    CHECK(lq_dequantize(loaded, LQ_F32, t->value, (size_t)n * sizeof(float), NULL) == LQ_OK,
          "dequantize");
  for (uint64_t i = 1; i < n; i++)
    if (t->codes == 256 || !strcmp(t->method, "nf4"))
      CHECK(t->value[i - 1] < t->value[i], "%s is not sorted at %d", t->method, (int)i);
  lq_config_destroy(config);
  lq_tensor_destroy(loaded);
  lq_tensor_destroy(made);
}

/* Distance of v to the nearest value of the table. */
static double nearest_distance(const struct table *t, double v)
{
  double best = HUGE_VAL;
  int low = 0, high = t->codes;
  if (t->codes == 256) { /* sorted: the neighbours are enough */
    while (high - low > 1) {
      int mid = (low + high) / 2;
      if ((double)t->value[mid] <= v)
        low = mid;
      else
        high = mid;
    }
    high = high < 256 ? high + 1 : 256;
  }
  for (int i = low; i < high; i++)
    best = fmin(best, fabs(v - (double)t->value[i]));
  return best;
}

/* ---- weights ---- */

/*
 * n numbers exact in dtype. `kind` 0: pieces of 50 numbers of very different sizes, some all zero,
 * some one value; 1: subnormal in f32; 2: near the largest finite number.
 */
static void fill(uint64_t n, int32_t dtype, int kind)
{
  float scale = 1;
  int zero = 0;
  for (uint64_t i = 0; i < n; i++) {
    if (i % 50 == 0) {
      zero = rng_below(&random_state, 8) == 0;
      scale = ldexpf(1, (int)rng_below(&random_state, dtype == LQ_F16 ? 20 : 60) -
                            (dtype == LQ_F16 ? 12 : 30));
    }
    float x = rng_normal(&random_state) * scale;
    if (kind == 1)
      x = rng_normal(&random_state) * (i / 700 % 2 ? 1e-40f : dtype == LQ_BF16 ? 3e-40f : 3e-45f);
    if (kind == 2)
      x = (float)(rng_uniform(&random_state) * 2 - 1) * (dtype == LQ_F16 ? 65000.0f : 3.3e38f);
    if (zero || rng_below(&random_state, 20) == 0)
      x = rng_below(&random_state, 2) ? 0.0f : -0.0f;
    source[i] = dtype == LQ_F32 ? x : half_value(half_bits(x, dtype), dtype);
  }
}

/* ---- one tensor ---- */

struct subject {
  const struct table *table; /* NULL: int8 */
  lq_tensor *t;
  uint64_t n, block, blocks;
  int nested;
  const uint8_t *codes;
  float *values; /* decoded to f32 */
};

static int code_at(const struct subject *s, uint64_t i)
{
  if (s->table->codes == 256)
    return s->codes[i];
  return i % 2 ? s->codes[i / 2] & 15 : s->codes[i / 2] >> 4;
}

static float absmax(uint64_t first, uint64_t end)
{
  float m = 0;
  for (uint64_t i = first; i < end; i++)
    m = fmaxf(m, fabsf(source[i]));
  return m;
}

/* Scales as decoding sees them, to be freed; nested ones by the rule of the header. */
static float *restored_scales(const struct subject *s)
{
  const float *dynamic = tables[DYNAMIC8].value;
  lq_plane scales, second, offset;
  int64_t inner = 0;
  float *out = test_alloc((size_t)s->blocks * sizeof *out);
  if (!CHECK(find_plane(s->t, LQ_LAYOUT_NATIVE, "scales", &scales), "no scales"))
    return out;
  if (!s->nested) {
    CHECK(scales.dtype == LQ_F32 && scales.bytes == s->blocks * 4, "%d scales",
          (int)(scales.bytes / 4));
    memcpy(out, scales.data, (size_t)scales.bytes);
    return out;
  }
  lq_tensor_get_i64(s->t, LQ_KEY_NESTED_BLOCK_SIZE, &inner);
  if (!CHECK(find_plane(s->t, LQ_LAYOUT_NATIVE, "nested_scales", &second) &&
                 find_plane(s->t, LQ_LAYOUT_NATIVE, "nested_offset", &offset) && inner > 0,
             "planes of nested scales") ||
      !CHECK(scales.dtype == LQ_U8 && scales.bytes == s->blocks && offset.bytes == 4 &&
                 second.bytes == (s->blocks + (uint64_t)inner - 1) / (uint64_t)inner * 4,
             "sizes of nested scales"))
    return out;
  for (uint64_t b = 0; b < s->blocks; b++) {
    float product = dynamic[((const uint8_t *)scales.data)[b]] *
                    ((const float *)second.data)[b / (uint64_t)inner];
    out[b] = product + *(const float *)offset.data;
  }
  return out;
}

/*
 * The second level is itself nearest: a restored scale is off by at most what the dynamic code must
 * lose.
 */
static void check_nested(const struct subject *s, const float *scales)
{
  lq_plane second, offset;
  int64_t inner = 256;
  lq_tensor_get_i64(s->t, LQ_KEY_NESTED_BLOCK_SIZE, &inner);
  if (!find_plane(s->t, LQ_LAYOUT_NATIVE, "nested_scales", &second) ||
      !find_plane(s->t, LQ_LAYOUT_NATIVE, "nested_offset", &offset))
    return;
  double mean = (double)*(const float *)offset.data, sum = 0, largest = 0;
  uint64_t bad = 0;
  for (uint64_t b = 0; b < s->blocks; b++) {
    double m = (double)absmax(b * s->block, (b + 1) * s->block < s->n ? (b + 1) * s->block : s->n);
    double top = (double)((const float *)second.data)[b / (uint64_t)inner], d = m - mean;
    double best = top > 0 ? nearest_distance(&tables[DYNAMIC8], d / top) * top : fabs(d);
    sum += m;
    largest = fmax(largest, m);
    bad += !(fabs((double)scales[b] - m) <= best + 1e-6 * (top + fabs(mean)) + 0x1p-148);
  }
  CHECK(bad == 0, "%d of %d scales are not nearest", (int)bad, (int)s->blocks);
  CHECK(fabs(mean - sum / (double)s->blocks) <= 1e-6 * largest + 0x1p-148, "offset %g, mean %g",
        mean, sum / (double)s->blocks);
}

static void check_blocks(const struct subject *s)
{
  float *scales = restored_scales(s);
  uint64_t bad_scale = 0, bad_code = 0, bad_value = 0, bad_zero = 0;
  if (s->nested)
    check_nested(s, scales);
  for (uint64_t b = 0; b < s->blocks; b++) {
    uint64_t first = b * s->block, end = first + s->block < s->n ? first + s->block : s->n;
    double m = (double)absmax(first, end);
    bad_scale += !s->nested && (double)scales[b] != m;
    for (uint64_t i = first; i < end; i++) {
      float v = s->table->value[code_at(s, i)], y = v * scales[b];
      double off = fabs((double)v * m - (double)source[i]);
      double best = m > 0 ? nearest_distance(s->table, (double)source[i] / m) * m : 0;
      bad_code += !(off <= best + 1e-6 * m);
      bad_value += !(y == s->values[i]);
      bad_zero += source[i] == 0 && s->values[i] != 0;
    }
  }
  CHECK(bad_scale == 0, "%d scales are not the largest magnitude", (int)bad_scale);
  CHECK(bad_code == 0, "%d of %d codes are not the nearest", (int)bad_code, (int)s->n);
  CHECK(bad_value == 0, "%d values are not code times scale", (int)bad_value);
  CHECK(bad_zero == 0, "%d zeros did not stay zero", (int)bad_zero);
  if (s->table->codes == 16 && s->n % 2)
    CHECK(s->table->value[s->codes[s->n / 2] & 15] == 0, "the last, unused code is not that of 0");
  free(scales);
}

/* int8: `block` is the number of columns. */
static void check_int8(const struct subject *s)
{
  const float step = float_of_bits(0x3c010204);
  lq_plane scales;
  uint64_t bad_scale = 0, bad_code = 0, bad_value = 0;
  if (!CHECK(find_plane(s->t, LQ_LAYOUT_NATIVE, "scales", &scales) && scales.bytes == s->blocks * 4,
             "scales"))
    return;
  for (uint64_t r = 0; r < s->blocks; r++) {
    float m = absmax(r * s->block, (r + 1) * s->block), stat = ((const float *)scales.data)[r];
    float down = stat > 0x1p120f ? 0x1p-8f : 1; /* where code * scale would overflow */
    bad_scale += stat != m;
    for (uint64_t i = r * s->block; i < (r + 1) * s->block; i++) {
      int code = (int8_t)s->codes[i];
      double exact = m > 0 ? (double)source[i] / (double)m * 127 : 0;
      float product = (float)code * (stat * down), y = product * step / down;
      bad_code += !(fabs(exact - code) <= 0.5 + 127 * 1e-6);
      bad_value += y != s->values[i];
    }
  }
  CHECK(bad_scale == 0, "%d scales are not the largest magnitude", (int)bad_scale);
  CHECK(bad_code == 0, "%d of %d codes are not the nearest", (int)bad_code, (int)s->n);
  CHECK(bad_value == 0, "%d values are not code times scale", (int)bad_value);
}

/* Half outputs are the f32 outputs rounded once; rows alone equal the whole. */
static void check_decoding(const struct subject *s)
{
  uint64_t columns = lq_tensor_ndim(s->t) ? lq_tensor_dim(s->t, lq_tensor_ndim(s->t) - 1) : 1;
  uint64_t rows = columns ? s->n / columns : 0;
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    size_t size = element_size(dtype);
    char *whole = decode(s->t, dtype), *part = test_alloc((size_t)s->n * size);
    uint64_t bad = 0;
    for (uint64_t i = 0; whole && dtype != LQ_F32 && i < s->n; i++)
      bad += ((uint16_t *)(void *)whole)[i] != half_bits(s->values[i], dtype);
    CHECK(bad == 0, "%d values of dtype %d are not the f32 values rounded", (int)bad, dtype);
    for (int k = 0; whole && rows && k < 4; k++) {
      uint64_t first = rng_below(&random_state, rows),
               count = rng_below(&random_state, rows - first + 1);
      size_t bytes = (size_t)(count * columns) * size;
      memset(part, 0x5a, (size_t)s->n * size);
      lq_status st = lq_dequantize_rows(s->t, first, count, dtype, part, bytes, NULL);
      CHECK(st == LQ_OK && !memcmp(part, whole + first * columns * size, bytes),
            "rows %d to %d: %d", (int)first, (int)(first + count), st);
      int clean = 1;
      for (uint64_t i = bytes; i < s->n * size; i++)
        clean &= part[i] == 0x5a;
      CHECK(clean, "rows %d to %d: wrote past the end", (int)first, (int)(first + count));
    }
    free(part);
    free(whole);
  }
}

/* Every plane of a and b, and every decoding. */
static void check_same(const lq_tensor *a, const lq_tensor *b)
{
  uint32_t n = lq_tensor_plane_count(a, LQ_LAYOUT_NATIVE);
  CHECK(n == lq_tensor_plane_count(b, LQ_LAYOUT_NATIVE), "planes");
  for (uint32_t i = 0; i < n; i++) {
    lq_plane p = {.size = sizeof p}, q = {.size = sizeof q};
    lq_tensor_plane(a, LQ_LAYOUT_NATIVE, i, &p);
    lq_tensor_plane(b, LQ_LAYOUT_NATIVE, i, &q);
    CHECK(p.bytes == q.bytes && (!p.bytes || !memcmp(p.data, q.data, (size_t)p.bytes)),
          "plane %s differs", p.name);
  }
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    char *x = decode(a, dtype), *y = decode(b, dtype);
    CHECK(x && y && !memcmp(x, y, (size_t)tensor_elements(a) * element_size(dtype)),
          "values of dtype %d", dtype);
    free(x);
    free(y);
  }
}

/* Scalar kernels first; whatever other level there is must give the same bytes. */
static void check_levels(int32_t dtype, uint32_t ndim, const uint64_t *dims, const void *data,
                         const char *options)
{
  lq_cpu_limit("scalar");
  lq_tensor *expected = quantize_array(dtype, ndim, dims, data, options);
  for (int level = 1; level < TEST_LEVELS && expected; level++) {
    if (!test_level(level))
      continue;
    lq_tensor *t = quantize_array(dtype, ndim, dims, data, options);
    if (t)
      check_same(expected, t);
    lq_tensor_destroy(t);
  }
  lq_cpu_limit(NULL);
  lq_tensor_destroy(expected);
}

static void check_tensor(const struct table *table, int32_t dtype, uint32_t ndim,
                         const uint64_t *dims, const char *options, int kind)
{
  struct subject s = {.table = table, .n = elements(ndim, dims)};
  int64_t block = 0, nested = 0;
  lq_plane codes;
  test_in("%s, dtype %d, kind %d, %llu of %llu", options, dtype, kind, (unsigned long long)s.n,
          (unsigned long long)(ndim ? dims[ndim - 1] : 1));
  fill(s.n, dtype, kind);
  void *data = array_of(source, s.n, dtype);
  s.t = quantize_array(dtype, ndim, dims, data, options);
  if (s.t && CHECK(find_plane(s.t, LQ_LAYOUT_NATIVE, "codes", &codes), "no codes") &&
      (s.values = decode(s.t, LQ_F32)) != NULL) {
    lq_tensor_get_i64(s.t, LQ_KEY_BLOCK_SIZE, &block);
    lq_tensor_get_i64(s.t, LQ_KEY_NESTED, &nested);
    s.codes = codes.data;
    s.nested = nested != 0;
    s.block = table ? (uint64_t)block : ndim ? dims[ndim - 1] : 1;
    s.blocks = s.block ? (s.n + s.block - 1) / s.block : 0;
    CHECK(codes.bytes == (table && table->codes == 16 ? (s.n + 1) / 2 : s.n), "bytes of codes");
    if (s.n && table)
      check_blocks(&s);
    else if (s.n)
      check_int8(&s);
    check_decoding(&s);
    check_levels(dtype, ndim, dims, data, options);
  }
  free(s.values);
  free(data);
  lq_tensor_destroy(s.t);
}

/* ---- what is tried ---- */

static void test_sizes(const struct table *table)
{
  static const int blocks[] = {8, 24, 32, 64, 96, 4096};
  static const uint64_t counts[] = {0, 1, 2, 7, 8, 63, 64, 65, 127, 1000, 4101, 12345};
  char options[96];
  for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
      for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++)
        for (int nested = 0; nested < 2; nested++) {
          snprintf(options, sizeof options, "method=%s block_size=%d nested=%d", table->method,
                   blocks[b], nested);
          check_tensor(table, dtype, 1, &counts[c], options, 0);
        }
}

static void test_kinds(const struct table *table)
{
  const uint64_t n = 5003;
  char options[96];
  for (int kind = 1; kind <= 2; kind++)
    for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++)
      for (int nested = 0; nested < 2; nested++) {
        snprintf(options, sizeof options, "method=%s block_size=%d nested=%d", table->method,
                 kind == 1 ? 32 : 96, nested);
        check_tensor(table, dtype, 1, &n, options, kind);
      }
}

static void test_shapes(const struct table *table)
{
  static const struct {
    uint32_t ndim;
    uint64_t dims[8];
  } shapes[] = {
      {0, {0}},       {2, {1, 1}}, {2, {37, 53}},  {2, {53, 64}},     {2, {3, 1}},
      {2, {0, 5}},    {2, {5, 0}}, {3, {3, 5, 7}}, {4, {2, 3, 4, 5}}, {8, {2, 1, 2, 1, 3, 1, 2, 9}},
      {3, {4, 0, 4}}, {1, {17}},
  };
  char options[96];
  for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
    for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
      snprintf(options, sizeof options, "method=%s", table ? table->method : "int8");
      check_tensor(table, dtype, shapes[k].ndim, shapes[k].dims, options, 0);
      if (!table)
        check_tensor(table, dtype, shapes[k].ndim, shapes[k].dims, options, 1);
    }
}

/* Second-level blocks of other sizes; more scales than one of them holds. */
static void test_inner_blocks(void)
{
  static const int inner[] = {8, 9, 16, 100, 256, 1024};
  const uint64_t n = 19999;
  char options[96];
  for (size_t k = 0; k < sizeof inner / sizeof *inner; k++)
    for (int m = 0; m < TABLES; m++) {
      snprintf(options, sizeof options, "method=%s block_size=16 nested=1 nested_block_size=%d",
               tables[m].method, inner[k]);
      check_tensor(&tables[m], LQ_F32, 1, &n, options, 0);
    }
}

/* dynamic8 takes any block size. */
static void test_odd_blocks(void)
{
  static const int blocks[] = {1, 3, 7, 100, 255, 65536};
  const uint64_t n = 3001;
  char options[96];
  for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) {
    snprintf(options, sizeof options, "method=dynamic8 block_size=%d nested=%d", blocks[k],
             (int)k % 2);
    check_tensor(&tables[DYNAMIC8], LQ_F32, 1, &n, options, 0);
  }
}

static void test_int8(void)
{
  static const uint64_t columns[] = {1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 300};
  for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
    for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++)
      for (int kind = 0; kind <= 2; kind++) {
        const uint64_t dims[2] = {19, columns[c]};
        check_tensor(NULL, dtype, 2, dims, "method=int8", kind);
      }
  test_shapes(NULL);
}

/* Whole blocks of one tiny number and its negative keep both; so do rows of int8. */
static void test_tiny(void)
{
  static const float tiny[] = {1e-40f, 1e-45f, 1.1754944e-38f, 1e-38f, 9e-39f, 7e-31f, 8e-31f};
  static const char *const methods[] = {"nf4 block_size=64", "fp4 block_size=64",
                                        "dynamic8 block_size=64", "int8"};
  const uint64_t dims[2] = {3, 64};
  for (size_t k = 0; k < sizeof tiny / sizeof *tiny; k++)
    for (size_t m = 0; m < 4; m++) {
      char options[64];
      snprintf(options, sizeof options, "method=%s", methods[m]);
      test_in("%s, %g", options, (double)tiny[k]);
      for (int i = 0; i < 192; i++)
        source[i] = i % 3 == 0 ? tiny[k] : i % 3 == 1 ? -tiny[k] : 0.0f;
      lq_tensor *t = quantize_array(LQ_F32, 2, dims, source, options);
      float *y = t ? decode(t, LQ_F32) : NULL;
      for (int i = 0; y && i < 192; i++)
        if (!CHECK(i % 3 == 2 ? y[i] == 0 : fabsf(y[i] - source[i]) <= 0.01f * tiny[k],
                   "%g became %g", (double)source[i], (double)y[i]))
          break;
      free(y);
      lq_tensor_destroy(t);
    }
}

/*
 * Columns with a magnitude at or above the threshold come back as they were; the rest does not see
 * them.
 */
static void check_outliers(int32_t dtype, uint64_t rows, uint64_t columns, float threshold)
{
  const uint64_t dims[2] = {rows, columns};
  const uint64_t n = rows * columns;
  char options[64];
  lq_plane list, dense, scales;
  snprintf(options, sizeof options, "method=int8 threshold=%g", (double)threshold);
  test_in("%s, dtype %d, %d x %d", options, dtype, (int)rows, (int)columns);
  fill(n, dtype, 0);
  for (uint64_t i = 0; i < n; i++)
    source[i] = fmodf(source[i], threshold * 0.999f);
  for (int k = 0; k < 3; k++)
    source[rng_below(&random_state, n)] = (k % 2 ? -1.0f : 1.0f) * threshold * (float)(k + 1);
  void *data = array_of(source, n, dtype);
  for (uint64_t i = 0; i < n; i++)
    source[i] = value_at(data, dtype, i);
  threshold = dtype == LQ_F32 ? threshold : half_value(half_bits(threshold, dtype), dtype);
  lq_tensor *t = quantize_array(dtype, 2, dims, data, options);
  void *y = t ? decode(t, dtype) : NULL;
  if (y && CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "outlier_columns", &list) &&
                     find_plane(t, LQ_LAYOUT_NATIVE, "outliers", &dense) &&
                     find_plane(t, LQ_LAYOUT_NATIVE, "scales", &scales),
                 "planes")) {
    uint64_t found = 0, bad = 0, count = list.bytes / 8;
    for (uint64_t c = 0; c < columns; c++) {
      int is_outlier = 0;
      for (uint64_t r = 0; r < rows; r++)
        is_outlier |= fabsf(source[r * columns + c]) >= threshold;
      int listed = found < count && (uint64_t)((const int64_t *)list.data)[found] == c;
      CHECK(listed == is_outlier, "column %d: outlier %d, listed %d", (int)c, is_outlier, listed);
      found += (uint64_t)listed;
      for (uint64_t r = 0; r < rows && is_outlier; r++)
        bad += value_at(y, dtype, r * columns + c) != source[r * columns + c];
    }
    CHECK(bad == 0 && found == count, "%d outlier values changed", (int)bad);
    CHECK(dense.dtype == dtype && dense.ndim == 2 && dense.dims[0] == rows &&
              dense.dims[1] == count,
          "outliers");
    for (uint64_t r = 0; r < rows; r++) {
      float m = 0;
      for (uint64_t c = 0; c < columns; c++)
        if (fabsf(source[r * columns + c]) < threshold)
          m = fmaxf(m, fabsf(source[r * columns + c]));
      CHECK(((const float *)scales.data)[r] == m, "scale of row %d", (int)r);
    }
    CHECK(lq_tensor_plane_count(t, LQ_LAYOUT_BITSANDBYTES) == 0,
          "bitsandbytes cannot hold dense columns");
  }
  free(y);
  free(data);
  lq_tensor_destroy(t);
  lq_cpu_limit(NULL);
}

/* Static scales: every row has the given absmax, and what lies beyond is clamped to it. */
static void test_given_absmax(int32_t dtype, const char *options, float absmax)
{
  const uint64_t dims[2] = {5, 300}, n = 5 * 300;
  test_in("%s, dtype %d", options, dtype);
  fill(n, dtype, 0);
  void *data = array_of(source, n, dtype);
  lq_tensor *t = quantize_array(dtype, 2, dims, data, options);
  lq_plane codes, scales;
  if (t && CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "codes", &codes) &&
                     find_plane(t, LQ_LAYOUT_NATIVE, "scales", &scales),
                 "planes")) {
    uint64_t bad = 0, beyond = 0;
    for (uint64_t i = 0; i < n; i++) {
      float x = value_at(data, dtype, i), scale = (1.0f / absmax) * 127.0f;
      float v = x > absmax ? absmax : x < -absmax ? -absmax : x;
      beyond += v != x;
      bad += ((const int8_t *)codes.data)[i] != (int)nearbyintf(v * scale);
    }
    CHECK(bad == 0, "%d codes differ", (int)bad);
    CHECK(beyond != 0 && beyond < n, "%d values beyond", (int)beyond);
    for (int r = 0; r < 5; r++)
      CHECK(((const float *)scales.data)[r] == absmax, "scale of row %d", r);
  }
  lq_tensor_destroy(t);
  free(data);
}

static void test_refused_absmax(void)
{
  static const char *const options[] = {"method=nf4 absmax=1", "method=affine absmax=1",
                                        "method=int8 absmax=1 compat=bitsandbytes-cpu"};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    lq_config *config = new_config(options[i]);
    lq_quantizer *q = NULL;
    test_in("%s", options[i]);
    CHECK(lq_quantizer_create(config, &q) == LQ_E_ARGUMENT && q == NULL, "accepted");
    CHECK(strstr(lq_config_error_text(config), "absmax"), "%s", lq_config_error_text(config));
    lq_config_destroy(config);
  }
}

int main(void)
{
  for (int m = 0; m < TABLES; m++)
    read_table(&tables[m]);
  for (int m = 0; m < TABLES; m++) {
    test_sizes(&tables[m]);
    test_kinds(&tables[m]);
    test_shapes(&tables[m]);
  }
  for (int d = 0; d < 3; d++)
    test_given_absmax(LQ_F32 + d, "method=int8 absmax=0.75", 0.75f);
  test_refused_absmax();
  test_inner_blocks();
  test_odd_blocks();
  test_int8();
  test_tiny();
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    check_outliers(dtype, 12, 96, 6.0f);
    check_outliers(dtype, 1, 33, 6.1f);
    check_outliers(dtype, 40, 7, 2.5f);
  }
  return test_end();
}
