/*
 * test_gptq.c - what GPTQ promises beside its codes: the same bytes however inputs are split, on
 * every level, for any number of threads; calibrations stored and merged; every storage; inputs
 * that make a Hessian useless.
 */
#include "helpers.h"
#include "pool.h"

enum { ROWS = 70, COLUMNS = 192, TOKENS = 900 };

static float weight[ROWS * COLUMNS], input[TOKENS * COLUMNS];
static const uint64_t shape[2] = {ROWS, COLUMNS};

/* Inputs of a layer: neighbours are correlated, some columns are far larger than others. */
static void fill_inputs(void)
{
  uint64_t seed = 5;
  for (size_t i = 0; i < ROWS * COLUMNS; i++)
    weight[i] = 0.02f * rng_normal(&seed);
  for (size_t t = 0; t < TOKENS; t++) {
    float last = 0;
    for (size_t i = 0; i < COLUMNS; i++) {
      last = 0.8f * last + rng_normal(&seed);
      input[t * COLUMNS + i] =
          float_of_bits(bits_of_float(last * (i % 17 ? 1.0f : 9.0f)) & ~0xffffu);
    }
  }
}

static lq_quantizer *quantizer_of(const char *options)
{
  char text[200];
  lq_quantizer *q = NULL;
  snprintf(text, sizeof text, "method=gptq %s", options);
  lq_config *config = new_config(text);
  lq_status s = lq_quantizer_create(config, &q);
  CHECK(s == LQ_OK, "%s: %d %s", options, s, lq_config_error_text(config));
  lq_config_destroy(config);
  return q;
}

static void observe(lq_quantizer *q, int32_t dtype, const void *x, size_t rows)
{
  lq_status s = lq_quantizer_observe(q, rows, COLUMNS, dtype, x, COLUMNS);
  CHECK(s == LQ_OK, "observe: %d %s", s, lq_quantizer_error_text(q));
}

static lq_tensor *run(lq_quantizer *q, const float *w)
{
  lq_tensor *dense = wrap(LQ_F32, 2, shape, w), *t = NULL;
  lq_status s = lq_quantizer_run(q, dense, &t);
  CHECK(s == LQ_OK && t, "run: %d %s", s, lq_quantizer_error_text(q));
  lq_tensor_destroy(dense);
  return t;
}

static lq_tensor *usual(const char *options)
{
  lq_quantizer *q = quantizer_of(options);
  observe(q, LQ_F32, input, TOKENS);
  lq_tensor *t = run(q, weight);
  lq_quantizer_destroy(q);
  return t;
}

static const char *const kinds[] = {
    "bits=4 group_size=64",
    "bits=3 group_size=32 symmetric=0 mse=2.4",
    "bits=2 group_size=32 symmetric=0 static_groups=0",
    "bits=4 group_size=32 static_groups=0 order=groups",
    "bits=4 group_size=-1 order=none",
    "bits=8 group_size=64 static_groups=0 order=none",
    "bits=4 group_size=32 nested=1 symmetric=0",
    "storage=nf4 nested=1",
    "storage=fp4 block_size=32 mse=2",
    "storage=nf4 static_groups=0 order=none",
    "bits=4 group_size=64 compat=gptq",
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* The same rows in pieces of any size and as halves: bf16 holds them exactly. */
static void test_splits(void)
{
  static const size_t pieces[] = {1, 7, 255, 256, 257, 600};
  uint16_t *half = array_of(input, TOKENS * COLUMNS, LQ_BF16);
  lq_tensor *want = usual(kinds[0]);
  for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++)
    for (int bf16 = 0; bf16 < 2; bf16++) {
      test_in("pieces of %zu, %s", pieces[k], bf16 ? "bf16" : "f32");
      if (!test_takes(4))
        continue;
      lq_quantizer *q = quantizer_of(kinds[0]);
      for (size_t i = 0; i < TOKENS; i += pieces[k]) {
        size_t n = TOKENS - i < pieces[k] ? TOKENS - i : pieces[k];
        if (bf16)
          observe(q, LQ_BF16, half + i * COLUMNS, n);
        else
          observe(q, LQ_F32, input + i * COLUMNS, n);
      }
      lq_tensor *t = run(q, weight), *again = run(q, weight);
      CHECK(same_planes(t, want), "other planes");
      CHECK(same_planes(t, again), "the second run gives other planes");
      lq_tensor_destroy(t);
      lq_tensor_destroy(again);
      lq_quantizer_destroy(q);
    }
  lq_tensor_destroy(want);
  free(half);
}

/* A pool that runs tasks backward. */
static void backward(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  (void)user;
  while (tasks-- > 0)
    task(arg, tasks);
}

/* A factor is packed for the level that observed; the next run may be on another. */
static void test_level_changes(void)
{
  for (int level = 0; level < TEST_LEVELS; level++) {
    test_in("level %s, then others", test_levels[level]);
    if (!test_level(level))
      continue;
    lq_quantizer *q = quantizer_of(kinds[0]);
    observe(q, LQ_F32, input, 200);
    lq_tensor *want = run(q, weight);
    for (int other = 0; other < TEST_LEVELS; other++) {
      if (other == level || !test_level(other))
        continue;
      lq_tensor *t = run(q, weight);
      CHECK(same_planes(t, want), "level %s gives other planes", test_levels[other]);
      lq_tensor_destroy(t);
    }
    lq_tensor_destroy(want);
    lq_quantizer_destroy(q);
  }
  lq_cpu_limit(NULL);
}

static void test_machines(void)
{
  static const int threads[] = {1, 2, 3, 5, 8};
  for (size_t k = 0; k < KINDS; k++) {
    test_in("%s", kinds[k]);
    if (!test_takes(4))
      continue;
    lq_tensor *want = usual(kinds[k]);
    for (int level = 0; level < TEST_LEVELS; level++) {
      if (!test_level(level))
        continue;
      lq_tensor *t = usual(kinds[k]);
      CHECK(same_planes(t, want), "level %s gives other planes", test_levels[level]);
      lq_tensor_destroy(t);
    }
    lq_cpu_limit(NULL);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
      if (!test_takes(3))
        continue;
      snprintf(test_options, sizeof test_options, "threads=%d", threads[i]);
      test_parallel = threads[i] == 3 ? on_threads : backward;
      lq_tensor *t = usual(kinds[k]);
      CHECK(same_planes(t, want), "%d threads give other planes", threads[i]);
      lq_tensor_destroy(t);
    }
    test_parallel = NULL;
    test_options[0] = 0;
    lq_tensor_destroy(want);
  }
}

/* Each kind is better than nearest rounding to the same kind of grid, by much. */
static void test_gain(void)
{
  for (size_t k = 0; k < KINDS; k++) {
    lq_report r = {.size = sizeof r};
    lq_quantizer *q = quantizer_of(kinds[k]);
    test_in("%s", kinds[k]);
    if (!test_takes(4))
      continue;
    observe(q, LQ_F32, input, TOKENS);
    lq_tensor *t = run(q, weight);
    CHECK(lq_quantizer_report(q, &r) == LQ_OK, "report");
    CHECK(r.rows_observed == TOKENS && r.dead_columns == 0 && r.damping == 0.01, "%g", r.damping);
    CHECK(r.error > 0 && r.error < 0.75 * r.error_nearest && r.error_nearest < r.energy,
          "error %g, nearest %g, energy %g", r.error, r.error_nearest, r.energy);
    lq_tensor_destroy(t);
    lq_quantizer_destroy(q);
  }
}

/* Saved and loaded, and merged from two processes that saw 512 rows and the rest. */
static void test_state(void)
{
  lq_tensor *want = usual(kinds[1]);
  lq_quantizer *a = quantizer_of(kinds[1]), *b = quantizer_of(kinds[1]),
               *c = quantizer_of(kinds[1]);
  CHECK(lq_quantizer_save_bytes(a) == 0, "bytes of nothing");
  observe(a, LQ_F32, input, 512);
  observe(b, LQ_F32, input + 512 * COLUMNS, TOKENS - 512);
  size_t bytes = (size_t)lq_quantizer_save_bytes(b);
  char *image = test_alloc(bytes);
  CHECK(lq_quantizer_save(b, image, bytes - 1) == LQ_E_SHAPE, "a byte too few");
  CHECK(lq_quantizer_save(b, image, bytes) == LQ_OK, "save");
  CHECK(lq_quantizer_load(c, image, bytes) == LQ_OK, "load");
  CHECK(lq_quantizer_merge(a, c) == LQ_OK, "merge");
  lq_tensor *t = run(a, weight);
  CHECK(same_planes(t, want), "merged: other planes");
  lq_tensor_destroy(t);
  CHECK(lq_quantizer_merge(a, a) == LQ_E_ARGUMENT, "merged with itself");
  for (size_t cut = 0; cut < bytes; cut += cut < 40 ? 1 : 977)
    CHECK(lq_quantizer_load(c, image, cut) == LQ_E_LAYOUT, "cut to %zu bytes", cut);
  for (size_t i = 0; i < 32; i++) {
    image[i] = (char)(image[i] ^ 0x80);
    lq_status s = lq_quantizer_load(c, image, bytes);
    CHECK(s == LQ_E_LAYOUT || (i >= 16 && i < 24 && s == LQ_OK), "byte %zu turned: %d", i, s);
    image[i] = (char)(image[i] ^ 0x80);
  }
  free(image);
  lq_tensor_destroy(want);
  lq_quantizer_destroy(a);
  lq_quantizer_destroy(b);
  lq_quantizer_destroy(c);
}

/* Runs on inputs of which column i is column i of `input` times scale(i), `rows` of them. */
static lq_status run_scaled(float (*scale)(size_t i), size_t rows, const char *options,
                            lq_report *report, lq_tensor **out)
{
  float *x = test_alloc(rows * COLUMNS * sizeof *x);
  for (size_t i = 0; i < rows * COLUMNS; i++)
    x[i] = input[i] * scale(i % COLUMNS);
  lq_quantizer *q = quantizer_of(options);
  observe(q, LQ_F32, x, rows);
  lq_tensor *dense = wrap(LQ_F32, 2, shape, weight);
  lq_status s = lq_quantizer_run(q, dense, out);
  report->size = sizeof *report;
  CHECK(lq_quantizer_report(q, report) == LQ_OK, "report");
  CHECK(s == LQ_OK || s == LQ_E_SINGULAR, "status %d: %s", s, lq_quantizer_error_text(q));
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(q);
  free(x);
  return s;
}

static float one(size_t i)
{
  (void)i;
  return 1.0f;
}

static float zero(size_t i)
{
  (void)i;
  return 0.0f;
}

static float some_dead(size_t i)
{
  return i % 5 == 3 ? 0.0f : 1.0f;
}

static float uneven(size_t i)
{
  return ldexpf(1.0f, (int)(i % 61) - 30);
}

static float huge(size_t i)
{
  return i % 2 ? 1e15f : 1e-15f;
}

/* The largest error, NaN if there is any. Not by fmax, on which gcc 12 for aarch64 fails. */
static double worst_error(const float *y)
{
  double worst = 0;
  for (size_t j = 0; j < ROWS * COLUMNS; j++) {
    double e = fabs((double)(y[j] - weight[j]));
    if (!(e <= worst) && worst == worst)
      worst = e;
  }
  return worst;
}

/* Hessians that a plain factorization fails on: the result is valid, and says how it was damped. */
static void test_hard(void)
{
  static float (*const scales[])(size_t) = {one, zero, some_dead, uneven, huge};
  static const char *const options[] = {
      "bits=4 group_size=64", "bits=4 group_size=64 damping=0",
      "bits=3 group_size=32 symmetric=0 static_groups=0 damping=0", "storage=nf4 damping=1e-7"};
  float *y = test_alloc(sizeof weight);
  for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
    for (size_t k = 0; k < sizeof options / sizeof *options; k++)
      for (size_t rows = 1; rows <= TOKENS; rows += TOKENS - 1) {
        lq_report r;
        lq_tensor *t = NULL;
        test_in("scale %zu, %s, %zu rows", i, options[k], rows);
        if (!test_takes(6))
          continue;
        if (!CHECK(run_scaled(scales[i], rows, options[k], &r, &t) == LQ_OK, "singular"))
          continue;
        CHECK(lq_dequantize(t, LQ_F32, y, sizeof weight, NULL) == LQ_OK, "dequantize");
        CHECK(worst_error(y) < 0.25, "an error of %g", worst_error(y));
        CHECK(r.error <= 1.0001 * r.error_nearest, "error %g, nearest %g", r.error,
              r.error_nearest);
        if (scales[i] == some_dead)
          CHECK(r.dead_columns == COLUMNS / 5, "%d dead", (int)r.dead_columns);
        if (scales[i] == zero)
          CHECK(r.dead_columns == COLUMNS && r.error == 0, "%d dead", (int)r.dead_columns);
        lq_tensor_destroy(t);
      }
  free(y);
}

/* Where no input was ever other than 0, codes are the nearest ones. */
static void test_nothing_seen(void)
{
  lq_report r;
  lq_tensor *t = NULL;
  test_in("nothing seen");
  lq_tensor *nearest =
      quantize_array(LQ_F32, 2, shape, weight, "method=affine bits=4 group_size=64");
  if (run_scaled(zero, 300, "bits=4 group_size=64", &r, &t) == LQ_OK)
    CHECK(same_planes(t, nearest), "other codes than the nearest");
  lq_tensor_destroy(t);
  lq_tensor_destroy(nearest);
}

/* Calibrated code books are stored as bitsandbytes stores them. */
static void test_layouts(void)
{
  lq_plane p;
  test_in("layouts");
  lq_tensor *nf4 = usual("storage=nf4 nested=1");
  CHECK(lq_tensor_method(nf4) == LQ_NF4, "method %d", lq_tensor_method(nf4));
  CHECK(find_plane(nf4, LQ_LAYOUT_BITSANDBYTES, "weight.nested_absmax", &p), "no nested_absmax");
  lq_tensor_destroy(nf4);
  lq_tensor *mapped = usual("bits=4 group_size=64 static_groups=0");
  CHECK(find_plane(mapped, LQ_LAYOUT_NATIVE, "g_idx", &p), "no g_idx");
  lq_tensor_destroy(mapped);
}

static void refused(const char *options, lq_status want, const char *text)
{
  char all[200];
  lq_quantizer *q = NULL;
  snprintf(all, sizeof all, "method=gptq %s", options);
  lq_config *config = new_config(all);
  lq_status s = lq_quantizer_create(config, &q);
  CHECK(s == want && strstr(lq_config_error_text(config), text), "%s: %d %s", options, s,
        lq_config_error_text(config));
  lq_quantizer_destroy(q);
  lq_config_destroy(config);
}

static void test_errors(void)
{
  static const uint64_t odd[2] = {4, 100};
  lq_tensor *t = NULL, *dense = wrap(LQ_F32, 2, shape, weight),
            *narrow = wrap(LQ_F32, 2, odd, weight);
  test_in("errors");
  refused("nested=1 static_groups=0", LQ_E_ARGUMENT, "static_groups");
  refused("compat=bitsandbytes-cpu storage=nf4", LQ_E_ARGUMENT, "compat");
  refused("block_size=64", LQ_E_ARGUMENT, "block_size");
  lq_quantizer *q = quantizer_of("storage=nf4");
  CHECK(lq_quantizer_run(q, dense, &t) == LQ_E_STATE && !t, "ran without inputs");
  CHECK(lq_quantizer_observe(q, 2, COLUMNS, LQ_F32, input, COLUMNS - 1) == LQ_E_SHAPE, "stride");
  CHECK(lq_quantizer_observe(q, 2, COLUMNS, LQ_I8, input, COLUMNS) == LQ_E_ARGUMENT, "dtype");
  CHECK(lq_quantizer_observe(q, UINT64_MAX, COLUMNS, LQ_F32, input, COLUMNS) == LQ_E_OVERFLOW,
        "rows");
  observe(q, LQ_F32, input, 3);
  CHECK(lq_quantizer_observe(q, 3, 100, LQ_F32, input, 100) == LQ_E_SHAPE, "other columns");
  CHECK(lq_quantizer_run(q, narrow, &t) == LQ_E_SHAPE && !t, "a weight of other columns");
  lq_quantizer_reset(q);
  CHECK(lq_quantizer_observe(q, 3, 100, LQ_F32, input, 100) == LQ_OK, "after reset");
  CHECK(lq_quantizer_run(q, narrow, &t) == LQ_E_UNSUPPORTED && !t &&
            strstr(lq_quantizer_error_text(q), "whole blocks"),
        "blocks across rows: %s", lq_quantizer_error_text(q));
  lq_quantizer_reset(q);
  input[2 * COLUMNS + 5] = NAN;
  CHECK(lq_quantizer_observe(q, 4, COLUMNS, LQ_F32, input, COLUMNS) == LQ_E_NONFINITE &&
            !strcmp(lq_quantizer_error_text(q), "input [2, 5] is nan"),
        "%s", lq_quantizer_error_text(q));
  CHECK(lq_quantizer_save_bytes(q) == 0, "a refused call was kept");
  CHECK(lq_quantizer_observe(q, 0, 7, LQ_F32, NULL, 7) == LQ_OK, "no rows");
  CHECK(lq_quantizer_save_bytes(q) == 0 && lq_quantizer_run(q, dense, &t) == LQ_E_STATE,
        "no rows were kept");
  fill_inputs();
  weight[COLUMNS + 7] = INFINITY;
  observe(q, LQ_F32, input, 300);
  CHECK(lq_quantizer_run(q, dense, &t) == LQ_E_NONFINITE && !t &&
            !strcmp(lq_quantizer_error_text(q), "weight [1, 7] is inf"),
        "%s", lq_quantizer_error_text(q));
  fill_inputs();
  lq_quantizer_destroy(q);
  lq_tensor *none = quantize_array(LQ_F32, 2, shape, weight, "method=nf4");
  lq_tensor_destroy(none);
  lq_tensor_destroy(dense);
  lq_tensor_destroy(narrow);
}

/* Sizes at the edge: no rows, one row, one column, a short last group. */
static void test_sizes(void)
{
  static const uint64_t sizes[][2] = {{0, 8}, {1, 1}, {1, 8}, {3, 8}, {33, 7}, {5, 129}, {2, 257}};
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
    for (int fixed = 0; fixed < 2; fixed++) {
      uint64_t n = sizes[k][1];
      lq_tensor *dense = wrap(LQ_F32, 2, sizes[k], weight), *t = NULL;
      lq_quantizer *q = quantizer_of(fixed ? "group_size=8" : "group_size=16 static_groups=0");
      test_in("%d x %d", (int)sizes[k][0], (int)n);
      CHECK(lq_quantizer_observe(q, 40, n, LQ_F32, input, n) == LQ_OK, "observe");
      lq_status s = lq_quantizer_run(q, dense, &t);
      CHECK(s == LQ_OK, "%d %s", s, lq_quantizer_error_text(q));
      lq_tensor_destroy(t);
      lq_tensor_destroy(dense);
      lq_quantizer_destroy(q);
    }
}

int main(void)
{
  fill_inputs();
  test_splits();
  test_machines();
  test_level_changes();
  test_gain();
  test_state();
  test_hard();
  test_nothing_seen();
  test_layouts();
  test_errors();
  test_sizes();
  return test_end();
}
