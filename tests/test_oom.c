/*
 * test_oom.c - proves that any allocation may fail, anywhere, without harm.
 *
 * Every public operation that allocates is run with allocation 1, 2, 3, ... failing, once or from
 * there on, until it succeeds untouched. After each failure: the status is LQ_E_MEMORY, outputs are
 * NULL or as they were, nothing is leaked, and the same call then gives the bytes that it gives
 * undisturbed. The other functions are called while no memory can be had, and ask for none; a
 * function of lib/libquant.sym that is in neither group fails the test. The allocator checks that
 * every block is released with its own size and alignment, is used by the calling thread alone, and
 * that memory is not touched outside of it. A quantizer that calibrates has seen nothing of a call
 * that failed, and gives the same codes afterwards as one that never failed.
 */
#include "watch.h"

/* ---- the operations ---- */

enum { ROWS = 64, COLUMNS = 128, BATCH = 17 };

static float weights[ROWS * COLUMNS], x32[BATCH * COLUMNS], dy32[BATCH * ROWS];
static uint16_t x16[BATCH * COLUMNS];
static const uint64_t dims[2] = {ROWS, COLUMNS};

/* Where an operation writes, apart from handles. */
static struct {
  float numbers[ROWS * COLUMNS];
  int32_t integers[ROWS * ROWS];
  lq_metrics metrics;
} results;

/* What an operation works on; made before anything fails. */
struct setup {
  lq_config *config, *fast;
  lq_tensor *dense, *small, *int8; /* int8: without outlier columns */
  lq_tensor *packed;               /* with planes of GPTQ; NULL if it cannot have them */
  lq_quantizer *quantizer;
  lq_plane planes[12];
  uint32_t n;
  int32_t layout;
};

/* What it gives: at most one of these. */
struct output {
  lq_config *config;
  lq_tensor *tensor;
  lq_quantizer *quantizer;
};

typedef lq_status operation(struct setup *s, struct output *out);

static lq_status config_create(struct setup *s, struct output *out)
{
  (void)s;
  return CALL(lq_config_create)(&hook, &out->config);
}

static lq_status config_clone(struct setup *s, struct output *out)
{
  return CALL(lq_config_clone)(s->config, &out->config);
}

static lq_status tensor_create(struct setup *s, struct output *out)
{
  (void)s;
  return CALL(lq_tensor_create)(&hook, LQ_F16, 2, dims, &out->tensor);
}

static lq_status tensor_wrap(struct setup *s, struct output *out)
{
  (void)s;
  return CALL(lq_tensor_wrap)(&hook, LQ_F32, 2, dims, weights, sizeof weights, &out->tensor);
}

static lq_status tensor_clone(struct setup *s, struct output *out)
{
  return CALL(lq_tensor_clone)(&hook, s->small, &out->tensor);
}

/* To each layout that holds the tensor, and the clone of what came out. */
static lq_status tensor_convert(struct setup *s, struct output *out)
{
  lq_tensor *first = NULL;
  lq_status st = LQ_OK;
  for (int32_t layout = LQ_LAYOUT_AWQ; layout >= LQ_LAYOUT_NATIVE && st == LQ_OK; layout--) {
    if (CALL(lq_tensor_obstacle)(s->small, layout))
      continue;
    CALL(lq_tensor_destroy)(out->tensor);
    out->tensor = NULL;
    st = CALL(lq_tensor_convert)(&hook, s->small, layout, &first);
    if (st == LQ_OK)
      st = lq_tensor_clone(&hook, first, &out->tensor);
    lq_tensor_destroy(first);
  }
  return st;
}

/* Planes whose order is not the tensor's are copied, borrowed or not. */
static lq_status packed_planes(struct setup *s, struct output *out)
{
  lq_plane p[4];
  if (!s->packed)
    return LQ_OK;
  for (uint32_t i = 0; i < 4; i++) {
    p[i].size = sizeof p[i];
    CHECK(lq_tensor_plane(s->packed, LQ_LAYOUT_GPTQ_V2, i, &p[i]) == LQ_OK, "plane %u", i);
  }
  return lq_tensor_from_planes(s->config, LQ_LAYOUT_GPTQ_V2, p, 4, 0, NULL, 1, &out->tensor);
}

static lq_status quantizer_create(struct setup *s, struct output *out)
{
  return CALL(lq_quantizer_create)(s->config, &out->quantizer);
}

static lq_status quantizer_run(struct setup *s, struct output *out)
{
  lq_status st = CALL(lq_quantizer_run)(s->quantizer, s->dense, &out->tensor);
  CHECK((st == LQ_OK) == !*CALL(lq_quantizer_error_text)(s->quantizer), "status %d, text \"%s\"",
        st, lq_quantizer_error_text(s->quantizer));
  return st;
}

static lq_status from_planes(struct setup *s, struct output *out)
{
  return CALL(lq_tensor_from_planes)(s->config, s->layout, s->planes, s->n, 0, NULL, 0,
                                     &out->tensor);
}

static lq_status borrow_planes(struct setup *s, struct output *out)
{
  return lq_tensor_from_planes(s->config, s->layout, s->planes, s->n, 0, NULL, 1, &out->tensor);
}

static lq_status dequantize(struct setup *s, struct output *out)
{
  (void)out;
  return CALL(lq_dequantize)(s->small, LQ_F32, results.numbers, sizeof results.numbers, s->config);
}

static lq_status dequantize_rows(struct setup *s, struct output *out)
{
  (void)out;
  return CALL(lq_dequantize_rows)(s->small, 3, 5, LQ_F32, results.numbers,
                                  5 * COLUMNS * sizeof(float), s->config);
}

static lq_status multiply(struct setup *s, uint64_t m, int32_t dtype, const void *x,
                          const lq_config *how)
{
  return CALL(lq_matmul)(s->small, m, dtype, x, COLUMNS, NULL, LQ_F32, results.numbers, ROWS, how);
}

static lq_status matmul_few(struct setup *s, struct output *out)
{
  (void)out;
  return multiply(s, 3, LQ_F32, x32, s->config);
}

static lq_status matmul_many(struct setup *s, struct output *out)
{
  (void)out;
  return multiply(s, BATCH, LQ_F16, x16, s->config);
}

static lq_status matmul_fast(struct setup *s, struct output *out)
{
  (void)out;
  return multiply(s, 4, LQ_F32, x32, s->fast);
}

static lq_status matmul_fast_many(struct setup *s, struct output *out)
{
  (void)out;
  return multiply(s, BATCH, LQ_F32, x32, s->fast);
}

static lq_status matmul_rows(struct setup *s, struct output *out)
{
  (void)out;
  return CALL(lq_matmul_rows)(s->small, 5, 9, 2, LQ_F16, x16, COLUMNS, NULL, LQ_F32,
                              results.numbers, 9, s->config);
}

static lq_status matmul_transposed(struct setup *s, struct output *out)
{
  (void)out;
  return CALL(lq_matmul_transposed)(s->small, BATCH, LQ_F32, dy32, ROWS, LQ_F32, results.numbers,
                                    COLUMNS, s->config);
}

static lq_status matmul_int8(struct setup *s, struct output *out)
{
  (void)out;
  if (lq_tensor_method(s->small) != LQ_INT8)
    return LQ_OK;
  return CALL(lq_matmul_int8)(s->int8, s->small, NULL, LQ_I32, results.integers, ROWS, s->config);
}

static lq_status compare(struct setup *s, struct output *out)
{
  lq_metrics m = {.size = sizeof m};
  (void)out;
  lq_status st = CALL(lq_compare)(s->dense, s->small, &m, s->config);
  if (st == LQ_OK)
    results.metrics = m;
  return st;
}

static const struct {
  const char *name;
  operation *run;
} operations[] = {
    {"config_create", config_create},
    {"config_clone", config_clone},
    {"tensor_create", tensor_create},
    {"tensor_wrap", tensor_wrap},
    {"tensor_clone", tensor_clone},
    {"tensor_convert", tensor_convert},
    {"packed_planes", packed_planes},
    {"quantizer_create", quantizer_create},
    {"quantizer_run", quantizer_run},
    {"from_planes", from_planes},
    {"borrow_planes", borrow_planes},
    {"dequantize", dequantize},
    {"dequantize_rows", dequantize_rows},
    {"matmul few", matmul_few},
    {"matmul many", matmul_many},
    {"matmul fast", matmul_fast},
    {"matmul fast many", matmul_fast_many},
    {"matmul_rows", matmul_rows},
    {"matmul_transposed", matmul_transposed},
    {"matmul_int8", matmul_int8},
    {"compare", compare},
};

/* ---- the walk ---- */

/* Bytes to compare, to be freed. */
struct bytes {
  char *p;
  size_t n;
};

/* The planes of a tensor, and behind them `more` bytes that are 0. */
static struct bytes planes_of(const lq_tensor *t, size_t more)
{
  struct bytes b = {test_alloc((size_t)lq_tensor_nbytes(t) + 4096 + more), 0};
  for (uint32_t i = 0; i < lq_tensor_plane_count(t, LQ_LAYOUT_NATIVE); i++) {
    lq_plane p = {.size = sizeof p};
    CHECK(lq_tensor_plane(t, LQ_LAYOUT_NATIVE, i, &p) == LQ_OK, "plane %u", i);
    memcpy(b.p + b.n, p.data, (size_t)p.bytes);
    b.n += (size_t)p.bytes;
  }
  b.n += more;
  return b;
}

/* Compares, and frees b. */
static int same_bytes(struct bytes a, struct bytes b)
{
  int same = a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
  free(b.p);
  return same;
}

static void destroy(struct output *out)
{
  lq_config_destroy(out->config);
  lq_tensor_destroy(out->tensor);
  lq_quantizer_destroy(out->quantizer);
  memset(out, 0, sizeof *out);
}

/* All that an undisturbed call gives. */
static struct bytes undisturbed_operation(struct setup *s, size_t op)
{
  struct output out = {0};
  memset(&results, 0xa5, sizeof results);
  lq_status st = operations[op].run(s, &out);
  CHECK(st == LQ_OK, "undisturbed: %d", st);
  struct bytes b = planes_of(out.tensor, sizeof results);
  memcpy(b.p + b.n - sizeof results, &results, sizeof results);
  destroy(&out);
  return b;
}

static int nothing_was_written(void)
{
  for (const char *p = (const char *)&results; p < (const char *)(&results + 1); p++)
    if (*p != (char)0xa5)
      return 0;
  return 1;
}

/* One call with allocation `k` failing. Returns 0 once nothing failed. */
static int fail_once(struct setup *s, size_t op, struct bytes want, uint64_t k, int persistent)
{
  struct output out = {0};
  uint64_t blocks = watch.live_blocks, bytes = watch.live_bytes;
  memset(&results, 0xa5, sizeof results);
  watch.calls = watch.failed = 0;
  watch.fail_at = k;
  watch.persistent = persistent;
  lq_status st = operations[op].run(s, &out);
  watch.fail_at = 0;
  int failed = watch.failed != 0;
  if (failed) {
    CHECK(st == LQ_E_MEMORY, "allocation %d: status %d", (int)k, st);
    CHECK(!out.config && !out.tensor && !out.quantizer, "allocation %d: output is not NULL",
          (int)k);
    CHECK(nothing_was_written(), "allocation %d: results were written", (int)k);
  } else {
    CHECK(st == LQ_OK, "no allocation failed: status %d", st);
  }
  destroy(&out);
  CHECK(watch.live_blocks == blocks && watch.live_bytes == bytes,
        "allocation %d: %d blocks, %d bytes leaked", (int)k, (int)(watch.live_blocks - blocks),
        (int)(watch.live_bytes - bytes));
  CHECK(same_bytes(want, undisturbed_operation(s, op)),
        "allocation %d: the call again: other bytes", (int)k);
  return failed;
}

static lq_status make_int8(struct setup *s)
{
  lq_config *config = NULL;
  lq_quantizer *quantizer = NULL;
  lq_status st = lq_config_create(&hook, &config);
  st = st ? st : lq_config_set_text(config, "method", "int8");
  st = st ? st : lq_config_set_text(config, "nonfinite", "saturate");
  st = st ? st : lq_quantizer_create(config, &quantizer);
  st = st ? st : lq_quantizer_run(quantizer, s->dense, &s->int8);
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
  return st;
}

static void set_up(struct setup *s, const char *options)
{
  memset(s, 0, sizeof *s);
  lq_status st = lq_config_create(&hook, &s->config);
  if (!CHECK(st == LQ_OK, "config_create: %d", st))
    exit(2);
  lq_config_set_i64(s->config, LQ_KEY_THREADS, 1); /* unless the options say others */
  set_options(s->config, options);
  st = lq_tensor_wrap(&hook, LQ_F32, 2, dims, weights, sizeof weights, &s->dense);
  st = st ? st : lq_config_clone(s->config, &s->fast);
  st = st ? st : lq_config_set_text(s->fast, "compute", "fast");
  st = st ? st : lq_quantizer_create(s->config, &s->quantizer);
  st = st ? st : lq_quantizer_run(s->quantizer, s->dense, &s->small);
  st = st ? st : make_int8(s);
  if (!CHECK(st == LQ_OK, "set up: %d", st))
    exit(2);
  if (!lq_tensor_obstacle(s->small, LQ_LAYOUT_GPTQ_V2))
    CHECK(lq_tensor_convert(&hook, s->small, LQ_LAYOUT_GPTQ_V2, &s->packed) == LQ_OK, "convert");
  s->layout = lq_tensor_plane_count(s->small, LQ_LAYOUT_BITSANDBYTES) ? LQ_LAYOUT_BITSANDBYTES
                                                                      : LQ_LAYOUT_NATIVE;
  s->n = lq_tensor_plane_count(s->small, s->layout);
  for (uint32_t i = 0; i < s->n && i < 12; i++) {
    s->planes[i].size = sizeof s->planes[i];
    CHECK(lq_tensor_plane(s->small, s->layout, i, &s->planes[i]) == LQ_OK, "plane %u", i);
  }
}

static void tear_down(struct setup *s)
{
  lq_quantizer_destroy(s->quantizer);
  lq_tensor_destroy(s->packed);
  lq_tensor_destroy(s->int8);
  lq_tensor_destroy(s->small);
  lq_tensor_destroy(s->dense);
  lq_config_destroy(s->fast);
  lq_config_destroy(s->config);
  CHECK(watch.live_blocks == 0 && watch.live_bytes == 0, "%d blocks, %d bytes are left",
        (int)watch.live_blocks, (int)watch.live_bytes);
}

static void walk(const char *options)
{
  struct setup s;
  set_up(&s, options);
  for (size_t op = 0; op < sizeof operations / sizeof *operations; op++) {
    struct bytes want = undisturbed_operation(&s, op);
    for (int persistent = 0; persistent < 2; persistent++) {
      uint64_t k = 1;
      test_in("%s, %s, %s", options, operations[op].name, persistent ? "from there on" : "once");
      while (fail_once(&s, op, want, k, persistent) && k < 100)
        k++;
      CHECK(k < 100, "still failing at allocation 100");
    }
    free(want.p);
  }
  test_in("%s", options);
  tear_down(&s);
}

/* ---- calls that need no memory ---- */

static void quiet_config(lq_config *c)
{
  lq_key_info info = {.size = sizeof info};
  int64_t i = 0;
  double f = 0;
  CHECK(CALL(lq_config_set_i64)(c, LQ_KEY_NESTED, 1) == LQ_OK, "set_i64");
  CHECK(CALL(lq_config_get_i64)(c, LQ_KEY_NESTED, &i) == LQ_OK && i == 1, "get_i64");
  CHECK(CALL(lq_config_set_f64)(c, LQ_KEY_DAMPING, 0.5) == LQ_OK, "set_f64");
  CHECK(CALL(lq_config_get_f64)(c, LQ_KEY_DAMPING, &f) == LQ_OK && f == 0.5, "get_f64");
  CHECK(CALL(lq_config_set_text)(c, "nested", "2") == LQ_E_ARGUMENT, "set_text");
  CHECK(*CALL(lq_config_error_text)(c), "error_text");
  CHECK(CALL(lq_config_key_info)(0, &info) == LQ_OK, "key_info");
  CHECK(CALL(lq_config_set_parallel)(c, NULL, NULL) == LQ_OK, "set_parallel");
}

static void quiet_tensor(lq_tensor *t)
{
  lq_plane p = {.size = sizeof p};
  int64_t i;
  CHECK(CALL(lq_tensor_dtype)(t) == LQ_F32 && CALL(lq_tensor_ndim)(t) == 2, "dtype, ndim");
  CHECK(CALL(lq_tensor_dim)(t, 0) == ROWS, "dim");
  CHECK(CALL(lq_tensor_nbytes)(t) == sizeof weights, "nbytes");
  CHECK(CALL(lq_tensor_data)(t) == NULL, "data");
  CHECK(CALL(lq_tensor_method)(t) == LQ_NONE, "method");
  CHECK(CALL(lq_tensor_get_i64)(t, LQ_KEY_METHOD, &i) == LQ_OK, "get_i64");
  CHECK(CALL(lq_tensor_bits_per_weight)(t) == 32, "bits_per_weight");
  CHECK(CALL(lq_tensor_plane_count)(t, LQ_LAYOUT_NATIVE) == 2, "plane_count");
  CHECK(CALL(lq_tensor_plane)(t, LQ_LAYOUT_NATIVE, 1, &p) == LQ_OK, "plane");
}

static void quiet_library(void)
{
  lq_method_info info = {.size = sizeof info};
  lq_ggml_type type = {.size = sizeof type};
  CHECK(CALL(lq_ggml_type_info)(2, &type) == LQ_OK, "ggml_type_info");
  CHECK(CALL(lq_version_number)() == LQ_VERSION_NUMBER, "version_number");
  CHECK(*CALL(lq_version_string)() && *CALL(lq_build_info)(), "version_string, build_info");
  CHECK(*CALL(lq_status_string)(LQ_OK) && *CALL(lq_cpu_features)(), "status_string, features");
  CHECK(CALL(lq_cpu_limit)(NULL) == LQ_OK, "cpu_limit");
  CHECK(CALL(lq_cpu_request)("none") == LQ_E_ARGUMENT, "cpu_request");
  CHECK(CALL(lq_method_count)() > 0, "method_count");
  CHECK(CALL(lq_method_info_at)(0, &info) == LQ_OK, "method_info_at");
  CHECK(CALL(lq_method_from_name)(CALL(lq_method_name)(LQ_NF4)) == LQ_NF4, "method_name");
}

/* Products in the caller's memory, of `int8`. */
static void quiet_static(const lq_tensor *int8)
{
  static float x[COLUMNS], y[ROWS], row[COLUMNS];
  static int8_t codes[ROWS * COLUMNS], shifts[ROWS], integers[COLUMNS], out[ROWS];
  static int32_t biases[ROWS], multipliers[ROWS];
  lq_static w = {.size = sizeof w};
  lq_static_w8a8 layer = {.size = sizeof layer,
                          .rounding = LQ_ROUND_SINGLE,
                          .x_scale = 1,
                          .y_scale = 1,
                          .y_least = -128,
                          .y_most = 127};
  int32_t multiplier, shift;
  CHECK(CALL(lq_static_from_tensor)(int8, &w) == LQ_OK, "static_from_tensor");
  CHECK(CALL(lq_static_check)(&w) == LQ_OK, "static_check");
  CHECK(CALL(lq_static_decode)(&w, 0, 1, row) == LQ_OK, "static_decode");
  CHECK(CALL(lq_static_matvec)(&w, x, y) == LQ_OK, "static_matvec");
  CHECK(CALL(lq_requantize_factor)(0.5, &multiplier, &shift) == LQ_OK, "requantize_factor");
  CHECK(CALL(lq_requantize)(4, multiplier, shift, LQ_ROUND_DOUBLE) == 2, "requantize");
  CHECK(CALL(lq_static_w8a8_from_tensor)(int8, NULL, codes, biases, multipliers, shifts, &layer) ==
            LQ_OK,
        "static_w8a8_from_tensor");
  CHECK(CALL(lq_static_check_w8a8)(&layer) == LQ_OK, "static_check_w8a8");
  CHECK(CALL(lq_static_matvec_w8a8)(&layer, integers, out) == LQ_OK, "static_matvec_w8a8");
}

/* The rest of the interface, while no memory can be had at all. */
static void test_quiet(void)
{
  lq_config *config = NULL;
  lq_tensor *t = NULL;
  lq_quantizer *q = NULL;
  lq_report report = {.size = sizeof report};
  lq_tensor *int8 = quantize_array(LQ_F32, 2, dims, weights, "method=int8");
  test_in("quiet");
  CHECK(lq_config_create(&hook, &config) == LQ_OK && lq_quantizer_create(config, &q) == LQ_OK,
        "create");
  CHECK(lq_tensor_wrap(&hook, LQ_F32, 2, dims, weights, sizeof weights, &t) == LQ_OK, "wrap");
  watch.calls = 0;
  watch.persistent = 1;
  watch.fail_at = 1;
  quiet_config(config);
  quiet_tensor(t);
  quiet_library();
  quiet_static(int8);
  CALL(lq_quantizer_reset)(q);
  CHECK(CALL(lq_quantizer_report)(q, &report) == LQ_E_STATE, "report");
  CALL(lq_config_destroy)(config);
  CALL(lq_quantizer_destroy)(q);
  lq_tensor_destroy(t);
  lq_tensor_destroy(int8);
  watch.fail_at = 0;
  CHECK(watch.calls == 0, "%d allocations", (int)watch.calls);
  CHECK(watch.live_blocks == 0, "%d blocks are left", (int)watch.live_blocks);
}

/* ---- calibration: calls that change a quantizer ---- */

enum { TOKENS = 600, FEW = 500 };

static float inputs[TOKENS * COLUMNS], wanted[TOKENS * COLUMNS];
static uint16_t inputs16[TOKENS * COLUMNS], wanted16[TOKENS * COLUMNS];

/* Options of every quantizer that calibrates: "", or those that make it take pairs. */
static const char *pairs = "";

static struct bytes saved;          /* of FEW rows */
static lq_quantizer *seen, *unused; /* to be merged: of FEW rows, of none */

typedef lq_status change(lq_quantizer *q, lq_tensor **out);

static lq_status observe(lq_quantizer *q, size_t rows)
{
  if (*pairs)
    return CALL(lq_quantizer_observe_pair)(q, rows, COLUMNS, LQ_F32, inputs, COLUMNS, wanted,
                                           COLUMNS);
  return CALL(lq_quantizer_observe)(q, rows, COLUMNS, LQ_F32, inputs, COLUMNS);
}

static lq_status observe_f32(lq_quantizer *q, lq_tensor **out)
{
  (void)out;
  return observe(q, TOKENS);
}

static lq_status observe_bf16(lq_quantizer *q, lq_tensor **out)
{
  (void)out;
  if (*pairs)
    return CALL(lq_quantizer_observe_pair)(q, TOKENS, COLUMNS, LQ_BF16, inputs16, COLUMNS, wanted16,
                                           COLUMNS);
  return CALL(lq_quantizer_observe)(q, TOKENS, COLUMNS, LQ_BF16, inputs16, COLUMNS);
}

static lq_status load(lq_quantizer *q, lq_tensor **out)
{
  (void)out;
  return CALL(lq_quantizer_load)(q, saved.p, saved.n);
}

static lq_status merge(lq_quantizer *q, lq_tensor **out)
{
  (void)out;
  return CALL(lq_quantizer_merge)(q, seen);
}

static lq_status merge_nothing(lq_quantizer *q, lq_tensor **out)
{
  (void)out;
  return CALL(lq_quantizer_merge)(q, unused);
}

static lq_status save(lq_quantizer *q, lq_tensor **out)
{
  static char image[64 + 2 * TOKENS * COLUMNS * sizeof(double)];
  (void)out;
  return CALL(lq_quantizer_save)(q, image, (size_t)CALL(lq_quantizer_save_bytes)(q));
}

static lq_status choose(lq_quantizer *q, lq_tensor **out)
{
  lq_tensor *dense = wrap(LQ_F32, 2, dims, weights);
  lq_status st = lq_quantizer_run(q, dense, out);
  lq_tensor_destroy(dense);
  return st;
}

static lq_quantizer *calibrating(const char *options, size_t rows)
{
  lq_config *config = NULL;
  lq_quantizer *q = NULL;
  lq_status st = lq_config_create(&hook, &config);
  if (st == LQ_OK) {
    set_options(config, "method=gptq threads=1");
    set_options(config, pairs);
    set_options(config, options);
    st = lq_quantizer_create(config, &q);
  }
  st = st || rows == 0 ? st : observe(q, rows);
  lq_config_destroy(config);
  if (!CHECK(st == LQ_OK, "calibrating: %d", st))
    exit(2);
  return q;
}

static struct bytes image_of(const lq_quantizer *q)
{
  struct bytes b = {NULL, (size_t)lq_quantizer_save_bytes(q)};
  b.p = test_alloc(b.n + 1);
  lq_status st = lq_quantizer_save(q, b.p, b.n);
  CHECK(st == (b.n ? LQ_OK : LQ_E_STATE), "save: %d", st);
  return b;
}

/* What a call gave: the planes of its tensor, or else what the quantizer has seen. */
static struct bytes outcome(lq_quantizer *q, lq_status st, lq_tensor *t)
{
  CHECK(st == LQ_OK && !*lq_quantizer_error_text(q), "status %d, text \"%s\"", st,
        lq_quantizer_error_text(q));
  return t ? planes_of(t, 0) : image_of(q);
}

struct scene {
  const char *name, *options;
  size_t rows; /* seen before */
  change *call;
};

static struct bytes undisturbed(const struct scene *s, uint64_t *calls)
{
  lq_quantizer *q = calibrating(s->options, s->rows);
  lq_tensor *t = NULL;
  watch.calls = 0;
  lq_status st = s->call(q, &t);
  *calls = watch.calls;
  struct bytes b = outcome(q, st, t);
  lq_tensor_destroy(t);
  lq_quantizer_destroy(q);
  return b;
}

/* As fail_once. A run adds the rows that wait, failing or not, so only others are compared. */
static int fail_change(const struct scene *s, struct bytes want, uint64_t k, int persistent)
{
  uint64_t blocks = watch.live_blocks;
  lq_quantizer *q = calibrating(s->options, s->rows);
  lq_tensor *t = NULL;
  struct bytes before = image_of(q);
  watch.calls = watch.failed = 0;
  watch.fail_at = k;
  watch.persistent = persistent;
  lq_status st = s->call(q, &t);
  watch.fail_at = 0;
  int failed = watch.failed != 0;
  if (failed) {
    CHECK(st == LQ_E_MEMORY && !t && *lq_quantizer_error_text(q),
          "allocation %d: status %d, text \"%s\"", (int)k, st, lq_quantizer_error_text(q));
    if (s->call != choose)
      CHECK(same_bytes(before, image_of(q)), "allocation %d: something was kept", (int)k);
    st = s->call(q, &t);
  }
  CHECK(same_bytes(want, outcome(q, st, t)), "allocation %d: another result", (int)k);
  free(before.p);
  lq_tensor_destroy(t);
  lq_quantizer_destroy(q);
  CHECK(watch.live_blocks == blocks, "allocation %d: %d blocks leaked", (int)k,
        (int)(watch.live_blocks - blocks));
  return failed;
}

/* Returns how many allocations the call makes. */
static uint64_t walk_scene(const struct scene *s)
{
  uint64_t calls;
  struct bytes want = undisturbed(s, &calls);
  for (int persistent = 0; persistent < 2; persistent++) {
    uint64_t k = 1;
    test_in("%s, %s %s, %s", s->name, s->options, pairs, persistent ? "from there on" : "once");
    while (fail_change(s, want, k, persistent) && k < 100)
      k++;
    CHECK(k == calls + 1, "%d allocations, but the first to matter no more is %d", (int)calls,
          (int)k);
  }
  free(want.p);
  return calls;
}

static void test_state(void)
{
  static const struct scene scenes[] = {
      {"observe f32", "", 0, observe_f32},
      {"observe bf16", "", 0, observe_bf16},
      {"observe f32 again", "threads=3", FEW, observe_f32},
      {"observe bf16 again", "threads=3", FEW, observe_bf16},
      {"load", "", 0, load},
      {"load instead", "", TOKENS, load},
      {"merge", "", 0, merge},
      {"merge more", "threads=3", TOKENS, merge},
      {"merge nothing", "", FEW, merge_nothing},
      {"save", "", FEW, save},
  };
  seen = calibrating("", FEW);
  unused = calibrating("", 0);
  saved = image_of(seen);
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
    walk_scene(&scenes[i]);
  free(saved.p);
  lq_quantizer_destroy(seen);
  lq_quantizer_destroy(unused);
}

/* One row of inputs and no damping: binary32 fails, and the factor is made in binary64, which takes
 * two allocations more. */
static void test_choosing(void)
{
  static const char *const kinds[] = {
      "group_size=32",
      "group_size=40 symmetric=0 mse=2 order=groups threads=3",
      "group_size=32 static_groups=0 threads=3",
      "group_size=32 nested=1",
      "storage=nf4 nested=1 block_size=32",
      "storage=fp4 block_size=32 static_groups=0 order=none",
      "group_size=32 compat=gptq",
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    walk_scene(&(struct scene){"choose", kinds[i], TOKENS, choose});
  for (int fixed = 0; fixed < 2; fixed++) {
    const char *options = fixed ? "damping=0" : "damping=0 static_groups=0";
    uint64_t plain = walk_scene(&(struct scene){"choose", options, TOKENS, choose});
    uint64_t wide = walk_scene(&(struct scene){"choose", options, 1, choose});
    CHECK(wide == plain + 2, "%d allocations instead of %d: no binary64", (int)wide, (int)plain);
  }
}

/* Handles may end in any order: each keeps what it needs of the others. */
static void test_order_of_ends(void)
{
  lq_config *config = NULL;
  lq_quantizer *quantizer = NULL;
  lq_tensor *dense = NULL, *small = NULL;
  test_in("order of ends");
  CHECK(lq_config_create(&hook, &config) == LQ_OK &&
            lq_quantizer_create(config, &quantizer) == LQ_OK,
        "create");
  lq_config_destroy(config);
  CHECK(lq_tensor_wrap(&hook, LQ_F32, 2, dims, weights, sizeof weights, &dense) == LQ_OK, "wrap");
  CHECK(lq_quantizer_run(quantizer, dense, &small) == LQ_OK, "run");
  lq_quantizer_destroy(quantizer);
  lq_tensor_destroy(dense);
  CHECK(lq_dequantize(small, LQ_F32, results.numbers, sizeof results.numbers, NULL) == LQ_OK,
        "dequantize");
  lq_tensor_destroy(small);
  CHECK(watch.live_blocks == 0, "%d blocks are left", (int)watch.live_blocks);
}

/* A method of the registry as it comes. */
static void walk_default(uint32_t index)
{
  char options[64];
  if (method_options(index, options))
    walk(options);
}

int main(int argc, char **argv)
{
  static const char *const kinds[] = {
      "method=nf4 nested=1 threads=3",
      "method=fp4 nested=1 block_size=16",
      "method=int8 threshold=2",
      "method=int8 threshold=2 compat=bitsandbytes-cpu",
      "method=dynamic8 nested=1",
      "method=nf4 nonfinite=keep",
      "method=affine symmetric=0",
      "method=affine nested=1 bits=3 group_size=8",
      "method=affine mse=2.4 group_size=-1 bits=8",
  };
  uint64_t state = 12;
  watch.caller = pthread_self();
  for (int i = 0; i < ROWS * COLUMNS; i++)
    weights[i] = rng_normal(&state);
  for (int i = 0; i < BATCH * COLUMNS; i++)
    x16[i] = half_bits(x32[i] = rng_normal(&state), LQ_F16);
  for (int i = 0; i < BATCH * ROWS; i++)
    dy32[i] = rng_normal(&state);
  for (int i = 0; i < TOKENS * COLUMNS; i++) {
    inputs16[i] = half_bits(rng_normal(&state), LQ_BF16);
    inputs[i] = float_of_bits((uint32_t)inputs16[i] << 16) * (i % 7 ? 1.0f : 5.0f);
    wanted16[i] = half_bits(rng_normal(&state), LQ_BF16);
    wanted[i] = 1.2f * inputs[i] + 0.1f * rng_normal(&state);
  }
  for (uint32_t i = 0; i < lq_method_count(); i++)
    walk_default(i);
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
    if (test_takes(4))
      walk(kinds[k]);
  test_state();
  test_choosing();
  pairs = "input_correction=0.5";
  test_state();
  test_choosing();
  weights[17] = NAN; /* this time the tensor is kept */
  walk("method=fp4 nonfinite=keep");
  walk("method=nf4 nested=1 nonfinite=saturate");
  weights[17] = 0;
  test_order_of_ends();
  test_quiet();
  test_coverage(test_vectors(argc, argv));
  return test_end();
}
