/*
 * test_nonfinite.c - proves what happens to NaN and infinity under each policy, for every method
 * and position.
 *
 * Positions: first element, inside, end of a whole block, short last block, last element. Error
 * names row and column of the first; saturate gives the planes of the repaired array; keep gives
 * the array itself; propagate leaves all other blocks as they were. At every level of kernels, on
 * one thread and on a pool that runs backward.
 */
#include "helpers.h"

#include <float.h>

enum { ROWS = 5, COLUMNS = 200, COUNT = ROWS * COLUMNS, BLOCK = 64 };

static const uint64_t dims[2] = {ROWS, COLUMNS};
static const uint64_t positions[] = {0, 1, 31, 63, 64, 199, 200, 500, 959, 960, 970, 998, 999};
static const float specials[] = {NAN, INFINITY, -INFINITY};
static const char *const methods[] = {
    "method=nf4 block_size=64",           "method=fp4 block_size=64",
    "method=dynamic8 block_size=64",      "method=int8",
    "method=affine group_size=64",        "method=affine bits=8 group_size=64 symmetric=0",
    "method=affine bits=3 group_size=-1",
};

enum { METHODS = 7, POSITIONS = sizeof positions / sizeof *positions };

static float clean[COUNT], dirty[COUNT];

static void backward(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  (void)user;
  for (uint32_t i = tasks; i-- != 0;)
    task(arg, i);
}

/* One run, keeping the quantizer for its report and text. */
static lq_status run(lq_quantizer *q, int32_t dtype, const float *w, lq_tensor **out)
{
  void *data = array_of(w, COUNT, dtype);
  lq_tensor *dense = wrap(dtype, 2, dims, data);
  *out = dense;
  lq_status s = lq_quantizer_run(q, dense, out);
  CHECK(lq_tensor_data(dense) == NULL, "wrapped data are not writable");
  lq_tensor_destroy(dense);
  free(data);
  return s;
}

static lq_quantizer *quantizer(const char *method, const char *more)
{
  char options[160];
  lq_quantizer *q = NULL;
  snprintf(options, sizeof options, "%s %s", method, more);
  lq_config *config = new_config(options);
  lq_status s = lq_quantizer_create(config, &q);
  if (!CHECK(s == LQ_OK, "quantizer_create(%s): %d %s", options, s, lq_config_error_text(config)))
    exit(2);
  lq_config_destroy(config);
  return q;
}

static void check_report(const lq_quantizer *q, uint64_t count, uint64_t first, int32_t method)
{
  lq_report r = {.size = sizeof r};
  lq_status s = lq_quantizer_report(q, &r);
  CHECK(s == LQ_OK && r.elements == COUNT && r.nonfinite == count &&
            (!count || r.first_nonfinite == first),
        "report: %d, %d elements, %d not finite, first %d; expected %d, %d", s, (int)r.elements,
        (int)r.nonfinite, (int)r.first_nonfinite, (int)count, (int)first);
  if (method)
    CHECK(r.method == method, "report: method %d", r.method);
}

/* ---- error ---- */

static void check_error(const char *method, const char *more, int32_t dtype, uint64_t at,
                        uint64_t count)
{
  char place[64];
  float x = dirty[at];
  lq_tensor *t;
  lq_quantizer *q = quantizer(method, more);
  lq_status s = run(q, dtype, dirty, &t);
  const char *text = lq_quantizer_error_text(q);
  snprintf(place, sizeof place, "[%d, %d]", (int)(at / COLUMNS), (int)(at % COLUMNS));
  CHECK(s == LQ_E_NONFINITE && t == NULL, "%s: status %d", more, s);
  CHECK(strstr(text, place) && strstr(text, isnan(x) ? "nan"
                                            : x > 0  ? "inf"
                                                     : "-inf"),
        "%s: \"%s\" does not name %s of %g", more, text, place, (double)x);
  check_report(q, count, at, 0);
  /* The same quantizer is fit for use afterwards. */
  s = run(q, dtype, clean, &t);
  CHECK(s == LQ_OK && t && !*lq_quantizer_error_text(q), "after the error: %d %s", s,
        lq_quantizer_error_text(q));
  check_report(q, 0, 0, lq_tensor_method(t));
  lq_tensor_destroy(t);
  lq_quantizer_destroy(q);
}

/* ---- saturate ---- */

/* Where the elements under one scale with `first` end: blocks run on over rows, groups do not. */
static int segment_end(const char *method, int first)
{
  int row_end = first - first % COLUMNS + COLUMNS;
  int whole_row = strstr(method, "int8") || strstr(method, "group_size=-1");
  int end = whole_row                  ? row_end
            : strstr(method, "affine") ? first + BLOCK - first % COLUMNS % BLOCK
                                       : first + BLOCK;
  end = strstr(method, "affine") && end > row_end ? row_end : end;
  return end < COUNT ? end : COUNT;
}

/* Infinities become the largest finite magnitude under their scale, NaN becomes 0. */
static void repair(float *w, const char *method)
{
  for (int first = 0, end; first < COUNT; first = end) {
    float m = 0;
    end = segment_end(method, first);
    for (int i = first; i < end; i++)
      m = isfinite(w[i]) ? fmaxf(m, fabsf(w[i])) : m;
    for (int i = first; i < end; i++)
      if (!isfinite(w[i]))
        w[i] = isnan(w[i]) ? 0.0f : w[i] > 0 ? m : -m;
  }
}

static void check_saturate(const char *method, const char *more, int32_t dtype, uint64_t at,
                           uint64_t count)
{
  float repaired[COUNT];
  char options[64];
  lq_tensor *t, *expected;
  snprintf(options, sizeof options, "nonfinite=saturate %s", more);
  lq_quantizer *q = quantizer(method, options), *q2 = quantizer(method, more);
  memcpy(repaired, dirty, sizeof repaired);
  repair(repaired, method);
  lq_status s = run(q, dtype, dirty, &t);
  CHECK(s == LQ_OK && t, "saturate: %d %s", s, lq_quantizer_error_text(q));
  s = run(q2, dtype, repaired, &expected);
  CHECK(s == LQ_OK && t && expected && same_planes(t, expected),
        "saturate %s: planes are not those of the repaired array", more);
  check_report(q, count, at, t ? lq_tensor_method(t) : 0);
  lq_tensor_destroy(t);
  lq_tensor_destroy(expected);
  lq_quantizer_destroy(q);
  lq_quantizer_destroy(q2);
}

/* ---- keep, propagate ---- */

static void check_keep(const char *method, const char *more, int32_t dtype, uint64_t at,
                       uint64_t count)
{
  char options[64];
  lq_tensor *t;
  lq_plane p;
  snprintf(options, sizeof options, "nonfinite=keep %s", more);
  lq_quantizer *q = quantizer(method, options);
  void *want = array_of(dirty, COUNT, dtype);
  lq_status s = run(q, dtype, dirty, &t);
  CHECK(s == LQ_OK && t && lq_tensor_method(t) == LQ_NONE && lq_tensor_dtype(t) == dtype,
        "keep %s: %d", more, s);
  if (t && CHECK(find_plane(t, LQ_LAYOUT_BITSANDBYTES, "weight", &p), "keep: no weight"))
    CHECK(p.bytes == COUNT * element_size(dtype) && !memcmp(p.data, want, (size_t)p.bytes),
          "keep changed the weights");
  check_report(q, count, at, LQ_NONE);
  lq_tensor_destroy(t);
  s = run(q, dtype, clean, &t);
  CHECK(s == LQ_OK && lq_tensor_method(t) != LQ_NONE, "keep: clean weights are quantized");
  lq_tensor_destroy(t);
  free(want);
  lq_quantizer_destroy(q);
}

static void check_propagate(const char *method, int32_t dtype)
{
  lq_tensor *t, *expected;
  lq_quantizer *q = quantizer(method, "nonfinite=propagate");
  lq_status s = run(q, dtype, dirty, &t);
  CHECK(s == LQ_OK && t, "propagate: %d", s);
  s = run(q, dtype, clean, &expected);
  float *a = t ? decode(t, LQ_F32) : NULL, *b = expected ? decode(expected, LQ_F32) : NULL;
  int bad = 0;
  for (int first = 0, end; a && b && first < COUNT; first = end) {
    int touched = 0;
    end = segment_end(method, first);
    for (int i = first; i < end; i++)
      touched |= !isfinite(dirty[i]);
    bad += !touched && memcmp(a + first, b + first, (size_t)(end - first) * sizeof *a) != 0;
  }
  CHECK(bad == 0, "propagate changed %d other blocks", bad);
  free(a);
  free(b);
  lq_tensor_destroy(t);
  lq_tensor_destroy(expected);
  lq_quantizer_destroy(q);
}

/* ---- what is tried ---- */

static void check_all(int m, int32_t dtype, uint64_t at, uint64_t count)
{
  static const char *const compats[] = {"compat=bitsandbytes-cpu", "compat=gptq"};
  int affine = strstr(methods[m], "affine") != NULL;
  const char *compat = compats[affine];
  char error[64];
  snprintf(error, sizeof error, "nonfinite=error %s", compat);
  check_error(methods[m], "", dtype, at, count);
  check_error(methods[m], error, dtype, at, count);
  check_saturate(methods[m], "", dtype, at, count);
  check_saturate(methods[m], compat, dtype, at, count);
  check_keep(methods[m], "", dtype, at, count);
  check_keep(methods[m], compat, dtype, at, count);
  check_propagate(methods[m], dtype);
  if (m != 3) {
    check_error(methods[m], "nested=1", dtype, at, count);
    check_saturate(methods[m], "nested=1", dtype, at, count);
    check_keep(methods[m], "nested=1", dtype, at, count);
  } else {
    check_error(methods[m], "threshold=6", dtype, at, count);
    check_keep(methods[m], "threshold=6", dtype, at, count);
  }
  if (affine) {
    check_error(methods[m], "mse=2.4", dtype, at, count);
    check_saturate(methods[m], "mse=2.4", dtype, at, count);
  }
}

static void test_positions(void)
{
  for (int m = 0; m < METHODS; m++)
    for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++)
      for (int i = 0; i < POSITIONS; i++)
        for (int k = 0; k < 3; k++) {
          if (!test_takes(8))
            continue;
          memcpy(dirty, clean, sizeof dirty);
          dirty[positions[i]] = specials[k];
          test_in("%s, %s, dtype %d, %g at %d", lq_cpu_features(), methods[m], dtype,
                  (double)specials[k], (int)positions[i]);
          check_all(m, dtype, positions[i], 1);
        }
}

/*
 * Many at once, whole blocks and rows of nothing else, and the very first named whoever finds it.
 */
static void test_many(void)
{
  for (int m = 0; m < METHODS; m++)
    for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
      test_in("%s, %s, dtype %d, many", lq_cpu_features(), methods[m], dtype);
      memcpy(dirty, clean, sizeof dirty);
      for (int i = 130; i < 600; i++)
        dirty[i] = specials[i % 3];
      dirty[999] = NAN;
      check_all(m, dtype, 130, 471);
    }
}

/* With dense outlier columns nothing that is not finite comes through saturate either. */
static void test_saturated_outliers(void)
{
  test_in("int8 threshold, saturate");
  memcpy(dirty, clean, sizeof dirty);
  dirty[205] = INFINITY;
  dirty[210] = NAN;
  dirty[405] = 9.0f;
  lq_tensor *t =
      quantize_array(LQ_F32, 2, dims, dirty, "method=int8 threshold=6 nonfinite=saturate");
  float *y = t ? decode(t, LQ_F32) : NULL;
  for (int i = 0; y && i < COUNT; i++)
    if (!CHECK(isfinite(y[i]), "element %d is %g", i, (double)y[i]))
      break;
  if (y)
    CHECK(y[405] == 9.0f && y[210] == 0.0f && y[205] > 0, "values %g %g %g", (double)y[405],
          (double)y[210], (double)y[205]);
  free(y);
  lq_tensor_destroy(t);
}

/* A tensor of one element, and one dimension: row 0 and the column. */
static void test_small(void)
{
  float x[3] = {1, NAN, 2};
  const uint64_t n = 3;
  lq_tensor *t = NULL;
  for (int m = 0; m < METHODS; m++)
    for (uint32_t ndim = 0; ndim < 2; ndim++) {
      test_in("%s, ndim %u", methods[m], ndim);
      lq_tensor *dense = wrap(LQ_F32, ndim, &n, x + !ndim);
      lq_quantizer *q = quantizer(methods[m], "");
      lq_status s = lq_quantizer_run(q, dense, &t);
      CHECK(s == LQ_E_NONFINITE && strstr(lq_quantizer_error_text(q), ndim ? "[0, 1]" : "[0, 0]"),
            "%d %s", s, lq_quantizer_error_text(q));
      lq_quantizer_destroy(q);
      lq_tensor_destroy(dense);
    }
}

/*
 * The largest finite numbers are numbers like others: no sum of them may overflow. int8 restores
 * (code * absmax) / 127 as its reference does, which ends at a 127th of the range.
 */
static void test_largest(void)
{
  for (int m = 0; m < 4; m++)
    for (int nested = 0; nested < 2; nested++) {
      char options[96];
      test_in("%s, nested %d, largest", methods[m], nested);
      for (int i = 0; i < COUNT; i++)
        dirty[i] = (m == 3 ? 2.6e36f : 3.4028235e38f) * (i % 2 ? 1.0f : -1.0f);
      if (nested && m == 3)
        continue;
      snprintf(options, sizeof options, "%s nested=%d", methods[m], nested);
      lq_tensor *t = quantize_array(LQ_F32, 2, dims, dirty, options);
      float *y = t ? decode(t, LQ_F32) : NULL;
      for (int i = 0; y && i < COUNT; i++)
        if (!CHECK(isfinite(y[i]) && fabsf(y[i] / dirty[i] - 1) < 0.02f, "element %d became %g", i,
                   (double)y[i]))
          break;
      free(y);
      lq_tensor_destroy(t);
    }
}

/* ---- finite values at the edges ---- */

/* Values of every element, by number; rounded to the dtype of the weights. */
static float edge_value(int kind, int i)
{
  static const float halves[] = {65504, -65504, 0x1p-24f, -0x1p-14f, 0x1.ffcp-15f, -0.0f, 1, -2};
  static const float wide[] = {0x1.fep127f, -0x1.fep127f, 0x1p-133f, -0x1p-126f, -0.0f, 3, 0, 1};
  float sign = i % 2 ? -1.0f : 1.0f;
  switch (kind) {
  case 0: return 0.0f;
  case 1: return -0.0f;
  case 2: return sign * 0x1p-149f * (float)(1 + i % 5);
  case 3: return sign * 0x1.8p-127f;
  case 4: return i % 64 == 7 ? 0x1p-149f : 0.0f;
  case 5: return sign * 3.4028235e38f;
  case 6: return i % 3 ? sign * 0x1p-149f : 3.4028235e38f;
  case 7: return halves[i % 8];
  case 8: return wide[i % 8];
  case 9: return i % 64 < 32 ? 0.0f : sign * 0x1p-120f;
  default: return sign * 0x1p-24f * (float)(i % 64);
  }
}

enum { EDGES = 11 };

/*
 * What is restored is finite, nothing is counted, zeros of either sign are zeros, and every level
 * gives the planes of the first. int8 restores (code * absmax) / 127 as its reference does, which
 * ends at a 127th of the range.
 */
static void check_edges(const char *options, int kind, int32_t dtype)
{
  int is_int8 = strstr(options, "int8") != NULL;
  lq_tensor *first = NULL, *t;
  for (int i = 0; i < COUNT; i++) {
    float x = value_at(&(uint16_t){half_bits(edge_value(kind, i), LQ_BF16)}, LQ_BF16, 0);
    x = dtype == LQ_BF16 ? x : edge_value(kind, i);
    x = dtype == LQ_F16 && fabsf(x) > 65504 ? copysignf(65504, x) : x;
    x = fabsf(x) > FLT_MAX ? copysignf(0x1.fep127f, x) : x;
    dirty[i] = is_int8 && fabsf(x) > 2.6e36f ? copysignf(2.6e36f, x) : x;
  }
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    test_in("%s, %s, edge %d, dtype %d", test_levels[level], options, kind, dtype);
    lq_quantizer *q = quantizer(options, "nonfinite=error");
    lq_status s = run(q, dtype, dirty, &t);
    CHECK(s == LQ_OK, "status %d %s", s, lq_quantizer_error_text(q));
    check_report(q, 0, 0, 0);
    float *y = t ? decode(t, LQ_F32) : NULL;
    for (int i = 0; y && i < COUNT; i++)
      if (!CHECK(isfinite(y[i]) && (kind > 1 || y[i] == 0), "element %d, %g, became %g", i,
                 (double)dirty[i], (double)y[i]))
        break;
    CHECK(!first || same_planes(first, t), "other planes than those of the first level");
    free(y);
    lq_quantizer_destroy(q);
    if (first)
      lq_tensor_destroy(t);
    else
      first = t;
  }
  lq_tensor_destroy(first);
  lq_cpu_limit(NULL);
}

static void test_edges(void)
{
  static const char *const more[] = {
      "method=nf4 nested=1",      "method=fp4 nested=1",
      "method=dynamic8 nested=1", "method=affine nested=1",
      "method=affine mse=2.4",    "method=affine bits=2 symmetric=0 mse=2 group_size=8",
      "method=int8 threshold=6",  "method=affine bits=8 symmetric=0 nested=1",
  };
  char options[64];
  for (int kind = 0; kind < EDGES; kind++)
    for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
      for (uint32_t i = 0; i < lq_method_count(); i++)
        if (method_options(i, options) && strcmp(options, "method=none") != 0)
          check_edges(options, kind, dtype);
      for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        check_edges(more[i], kind, dtype);
    }
}

/* ---- gptq ---- */

static lq_quantizer *observing(const char *options, const float *x, uint64_t rows)
{
  lq_quantizer *q = quantizer("method=gptq group_size=40", options);
  lq_status s = lq_quantizer_observe(q, rows, COLUMNS, LQ_F32, x, COLUMNS);
  CHECK(s == LQ_OK, "observe: %d %s", s, lq_quantizer_error_text(q));
  return q;
}

/* compat gptq has f32 scales, which are f16 in the tensor: one that does not fit is no infinity. */
static void test_large_scales(int calibrated)
{
  static const char *const words[] = {"compat=gptq nonfinite=error", "compat=gptq nonfinite=keep",
                                      "compat=gptq nonfinite=saturate"};
  for (int k = 0; k < 3; k++) {
    lq_tensor *t;
    test_in("a scale beyond f16, %s, calibrated %d", words[k], calibrated);
    memcpy(dirty, clean, sizeof dirty);
    dirty[205] = 1e6f;
    lq_quantizer *q = calibrated ? observing(words[k], clean, ROWS)
                                 : quantizer("method=affine group_size=64", words[k]);
    lq_status s = run(q, LQ_F32, dirty, &t);
    CHECK(s == (k ? LQ_OK : LQ_E_NONFINITE), "status %d", s);
    CHECK(k || strstr(lq_quantizer_error_text(q), "row 1 "), "%s", lq_quantizer_error_text(q));
    CHECK(k != 1 || lq_tensor_method(t) == LQ_NONE, "not kept");
    float *y = t ? decode(t, LQ_F32) : NULL;
    for (int i = 0; y && i < COUNT; i++)
      if (!CHECK(isfinite(y[i]), "element %d is %g", i, (double)y[i]))
        break;
    free(y);
    lq_tensor_destroy(t);
    lq_quantizer_destroy(q);
  }
}

static void test_gptq_inputs(void)
{
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < POSITIONS; i++) {
      char place[64];
      int at = (int)positions[i];
      test_in("gptq, input %g at %d", (double)specials[k], at);
      memcpy(dirty, clean, sizeof dirty);
      dirty[at] = specials[k];
      lq_quantizer *q = quantizer("method=gptq group_size=40", "");
      lq_status s = lq_quantizer_observe(q, ROWS, COLUMNS, LQ_F32, dirty, COLUMNS);
      snprintf(place, sizeof place, "[%d, %d]", at / COLUMNS, at % COLUMNS);
      CHECK(s == LQ_E_NONFINITE && strstr(lq_quantizer_error_text(q), place), "%d %s", s,
            lq_quantizer_error_text(q));
      CHECK(lq_quantizer_save_bytes(q) == 0, "something was kept");
      lq_quantizer_destroy(q);
    }
}

/* Weights that are not finite, by policy. */
static void test_gptq_weights(void)
{
  static const char *const storages[] = {"", "static_groups=0 ", "storage=nf4 block_size=40 ",
                                         "compat=gptq "};
  for (size_t n = 0; n < sizeof storages / sizeof *storages; n++)
    for (int k = 0; k < 3; k++)
      for (int policy = LQ_NONFINITE_ERROR; policy <= LQ_NONFINITE_KEEP; policy++) {
        static const char *const names[] = {"", "error", "saturate", "keep"};
        char options[96];
        lq_tensor *t;
        snprintf(options, sizeof options, "%snonfinite=%s", storages[n], names[policy]);
        test_in("gptq %s, weight %g", options, (double)specials[k]);
        memcpy(dirty, clean, sizeof dirty);
        dirty[407] = specials[k];
        lq_quantizer *q = quantizer(n == 2 ? "method=gptq" : "method=gptq group_size=40", options);
        lq_status s = lq_quantizer_observe(q, ROWS, COLUMNS, LQ_F32, clean, COLUMNS);
        CHECK(s == LQ_OK, "observe: %d", s);
        s = run(q, LQ_F32, dirty, &t);
        CHECK(s == (policy == LQ_NONFINITE_ERROR ? LQ_E_NONFINITE : LQ_OK), "status %d %s", s,
              lq_quantizer_error_text(q));
        check_report(q, 1, 407, 0);
        if (policy == LQ_NONFINITE_KEEP)
          CHECK(lq_tensor_method(t) == LQ_NONE, "not kept");
        float *y = t && policy == LQ_NONFINITE_SATURATE ? decode(t, LQ_F32) : NULL;
        for (int i = 0; y && i < COUNT; i++)
          if (!CHECK(isfinite(y[i]), "element %d became %g", i, (double)y[i]))
            break;
        free(y);
        lq_tensor_destroy(t);
        lq_quantizer_destroy(q);
      }
}

/* Hessians of the edges: nothing seen but zeros, subnormal inputs, the largest ones, one row. */
static void test_gptq_pivots(void)
{
  for (int kind = 0; kind < EDGES; kind++)
    for (int damping = 0; damping < 2; damping++) {
      lq_tensor *t;
      lq_report r = {.size = sizeof r};
      test_in("gptq, inputs of edge %d, damping %d", kind, damping);
      for (int i = 0; i < COUNT; i++)
        dirty[i] = edge_value(kind, i);
      lq_quantizer *q = observing(damping ? "damping=0.01" : "damping=0", dirty, ROWS);
      lq_status s = run(q, LQ_F32, clean, &t);
      CHECK(s == LQ_OK || (s == LQ_E_SINGULAR && strstr(lq_quantizer_error_text(q), "column")),
            "status %d %s", s, lq_quantizer_error_text(q));
      float *y = t ? decode(t, LQ_F32) : NULL;
      for (int i = 0; y && i < COUNT; i++)
        if (!CHECK(isfinite(y[i]), "element %d became %g", i, (double)y[i]))
          break;
      CHECK(lq_quantizer_report(q, &r) == LQ_OK && r.damping <= 1, "damping %g", r.damping);
      free(y);
      lq_tensor_destroy(t);
      lq_quantizer_destroy(q);
    }
}

int main(void)
{
  uint64_t state = 5;
  for (int i = 0; i < COUNT; i++)
    clean[i] = half_value(half_bits(rng_normal(&state), LQ_BF16), LQ_BF16);
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    test_positions();
    test_many();
  }
  lq_cpu_limit(NULL);
  test_parallel = backward;
  test_many();
  test_parallel = NULL;
  test_saturated_outliers();
  test_small();
  test_largest();
  test_edges();
  test_large_scales(0);
  test_large_scales(1);
  test_gptq_inputs();
  test_gptq_weights();
  test_gptq_pivots();
  return test_end();
}
