/*
 * test_oom.c - proves that any allocation may fail, anywhere, without harm.
 *
 * Every public operation that allocates is run with allocation 1, 2, 3, ... failing, once or from
 * there on, until it succeeds untouched. After each failure: the status is LQ_E_MEMORY, outputs are
 * NULL, nothing is leaked, and the same call then succeeds. The allocator checks on the way that
 * every block is released with its own size and alignment, is used by the calling thread alone, and
 * that memory is not touched outside of it. A quantizer that calibrates has seen nothing of a call
 * that failed, and gives the same codes afterwards as one that never failed.
 */
#include "helpers.h"

#include <pthread.h>

/* ---- an allocator that watches ---- */

enum { SLOTS = 256, GUARD = 64 };

struct slot {
  char *raw, *p;
  size_t bytes, alignment;
};

struct watch {
  struct slot slot[SLOTS];
  pthread_t caller;
  uint64_t calls, fail_at, failed; /* fail_at 0: never */
  uint64_t live_blocks, live_bytes;
  int persistent;
};

static struct watch watch;

static int is_power_of_two(size_t x)
{
  return x && !(x & (x - 1));
}

static void *watch_alloc(void *user, size_t bytes, size_t alignment)
{
  struct watch *w = user;
  CHECK(bytes > 0 && is_power_of_two(alignment) && alignment <= 64, "%zu bytes at %zu", bytes,
        alignment);
  CHECK(pthread_equal(w->caller, pthread_self()), "allocation on another thread");
  w->calls++;
  if (w->fail_at && (w->calls == w->fail_at || (w->persistent && w->calls > w->fail_at))) {
    w->failed++;
    return NULL;
  }
  for (int i = 0; i < SLOTS; i++) {
    struct slot *s = &w->slot[i];
    if (s->raw)
      continue;
    s->raw = test_alloc(bytes + 2 * GUARD + alignment);
    s->p = s->raw + GUARD;
    s->p += (alignment - (uintptr_t)s->p % alignment) % alignment;
    s->bytes = bytes;
    s->alignment = alignment;
    memset(s->raw, 0xee, bytes + 2 * GUARD + alignment);
    w->live_blocks++;
    w->live_bytes += bytes;
    return s->p;
  }
  CHECK(0, "more than %d blocks", SLOTS);
  exit(2);
}

static int guards_are_clean(const struct slot *s)
{
  for (const char *p = s->raw; p < s->p; p++)
    if (*p != (char)0xee)
      return 0;
  for (const char *p = s->p + s->bytes; p < s->p + s->bytes + GUARD; p++)
    if (*p != (char)0xee)
      return 0;
  return 1;
}

static void watch_release(void *user, void *p, size_t bytes, size_t alignment)
{
  struct watch *w = user;
  CHECK(pthread_equal(w->caller, pthread_self()), "release on another thread");
  for (int i = 0; i < SLOTS; i++) {
    struct slot *s = &w->slot[i];
    if (!s->raw || s->p != p)
      continue;
    CHECK(s->bytes == bytes && s->alignment == alignment,
          "released %zu at %zu, allocated %zu at %zu", bytes, alignment, s->bytes, s->alignment);
    CHECK(guards_are_clean(s), "memory around a block of %zu bytes was written", bytes);
    w->live_blocks--;
    w->live_bytes -= s->bytes;
    free(s->raw);
    memset(s, 0, sizeof *s);
    return;
  }
  CHECK(0, "release of %p, which was not allocated", p);
}

static const lq_alloc hook = {sizeof hook, 0, &watch, watch_alloc, watch_release};

/* ---- the operations ---- */

enum { ROWS = 64, COLUMNS = 96, BATCH = 3 };

static float weights[ROWS * COLUMNS], x32[BATCH * COLUMNS], y32[BATCH * ROWS],
    dx32[BATCH * COLUMNS], values[ROWS * COLUMNS];
static uint16_t x16[BATCH * COLUMNS];
static int32_t y_integers[ROWS * ROWS];
static const uint64_t dims[2] = {ROWS, COLUMNS};

/* What an operation works on; made before anything fails. */
struct setup {
  lq_config *config;
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
  return lq_config_create(&hook, &out->config);
}

static lq_status config_clone(struct setup *s, struct output *out)
{
  return lq_config_clone(s->config, &out->config);
}

static lq_status tensor_create(struct setup *s, struct output *out)
{
  (void)s;
  return lq_tensor_create(&hook, LQ_F16, 2, dims, &out->tensor);
}

static lq_status tensor_wrap(struct setup *s, struct output *out)
{
  (void)s;
  return lq_tensor_wrap(&hook, LQ_F32, 2, dims, weights, sizeof weights, &out->tensor);
}

static lq_status tensor_clone(struct setup *s, struct output *out)
{
  return lq_tensor_clone(&hook, s->small, &out->tensor);
}

/* To each layout that holds the tensor, and the clone of what came out. */
static lq_status tensor_convert(struct setup *s, struct output *out)
{
  static const int32_t layouts[] = {LQ_LAYOUT_GPTQ_V2, LQ_LAYOUT_AWQ, LQ_LAYOUT_NATIVE};
  lq_tensor *first = NULL;
  lq_status st = LQ_OK;
  for (size_t i = 0; i < 3 && st == LQ_OK; i++) {
    if (lq_tensor_obstacle(s->small, layouts[i]))
      continue;
    st = lq_tensor_convert(&hook, s->small, layouts[i], &first);
    if (st == LQ_OK)
      st = lq_tensor_clone(&hook, first, &out->tensor);
    lq_tensor_destroy(first);
    if (st == LQ_OK && i < 2) {
      lq_tensor_destroy(out->tensor);
      out->tensor = NULL;
    }
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
  return lq_quantizer_create(s->config, &out->quantizer);
}

static lq_status quantizer_run(struct setup *s, struct output *out)
{
  lq_status st = lq_quantizer_run(s->quantizer, s->dense, &out->tensor);
  CHECK((st == LQ_OK) == !*lq_quantizer_error_text(s->quantizer), "status %d, text \"%s\"", st,
        lq_quantizer_error_text(s->quantizer));
  return st;
}

static lq_status from_planes(struct setup *s, struct output *out)
{
  return lq_tensor_from_planes(s->config, s->layout, s->planes, s->n, 0, NULL, 0, &out->tensor);
}

static lq_status borrow_planes(struct setup *s, struct output *out)
{
  return lq_tensor_from_planes(s->config, s->layout, s->planes, s->n, 0, NULL, 1, &out->tensor);
}

static lq_status dequantize(struct setup *s, struct output *out)
{
  (void)out;
  return lq_dequantize(s->small, LQ_F32, values, sizeof values, s->config);
}

static lq_status dequantize_rows(struct setup *s, struct output *out)
{
  (void)out;
  return lq_dequantize_rows(s->small, 3, 5, LQ_F32, values, 5 * COLUMNS * sizeof(float), s->config);
}

static lq_status matmul(struct setup *s, struct output *out)
{
  (void)out;
  return lq_matmul(s->small, BATCH, LQ_F32, x32, COLUMNS, NULL, LQ_F32, y32, ROWS, s->config);
}

static lq_status matmul_f16(struct setup *s, struct output *out)
{
  (void)out;
  return lq_matmul(s->small, BATCH, LQ_F16, x16, COLUMNS, NULL, LQ_F32, y32, ROWS, s->config);
}

static lq_status matmul_transposed(struct setup *s, struct output *out)
{
  (void)out;
  return lq_matmul_transposed(s->small, BATCH, LQ_F32, y32, ROWS, LQ_F32, dx32, COLUMNS, s->config);
}

static lq_status matmul_int8(struct setup *s, struct output *out)
{
  (void)out;
  if (lq_tensor_method(s->small) != LQ_INT8)
    return LQ_OK;
  return lq_matmul_int8(s->int8, s->small, NULL, LQ_I32, y_integers, ROWS, s->config);
}

static lq_status compare(struct setup *s, struct output *out)
{
  lq_metrics m = {.size = sizeof m};
  (void)out;
  return lq_compare(s->dense, s->small, &m, s->config);
}

static const struct {
  const char *name;
  operation *run;
} operations[] = {
    {"config_create", config_create},     {"config_clone", config_clone},
    {"tensor_create", tensor_create},     {"tensor_wrap", tensor_wrap},
    {"tensor_clone", tensor_clone},       {"tensor_convert", tensor_convert},
    {"packed_planes", packed_planes},     {"quantizer_create", quantizer_create},
    {"quantizer_run", quantizer_run},     {"from_planes", from_planes},
    {"borrow_planes", borrow_planes},     {"dequantize", dequantize},
    {"dequantize_rows", dequantize_rows}, {"matmul", matmul},
    {"matmul_f16", matmul_f16},           {"matmul_transposed", matmul_transposed},
    {"matmul_int8", matmul_int8},         {"compare", compare},
};

/* ---- the walk ---- */

static void destroy(struct output *out)
{
  lq_config_destroy(out->config);
  lq_tensor_destroy(out->tensor);
  lq_quantizer_destroy(out->quantizer);
  memset(out, 0, sizeof *out);
}

/* One call with allocation `k` failing. Returns 0 once nothing failed. */
static int fail_once(struct setup *s, size_t op, uint64_t k, int persistent)
{
  struct output out = {0};
  uint64_t blocks = watch.live_blocks, bytes = watch.live_bytes;
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
  } else {
    CHECK(st == LQ_OK, "no allocation failed: status %d", st);
  }
  destroy(&out);
  CHECK(watch.live_blocks == blocks && watch.live_bytes == bytes,
        "allocation %d: %d blocks, %d bytes leaked", (int)k, (int)(watch.live_blocks - blocks),
        (int)(watch.live_bytes - bytes));
  st = operations[op].run(s, &out);
  CHECK(st == LQ_OK, "allocation %d: the same call again: %d", (int)k, st);
  destroy(&out);
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
  set_options(s->config, options);
  st = lq_tensor_wrap(&hook, LQ_F32, 2, dims, weights, sizeof weights, &s->dense);
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
  lq_config_destroy(s->config);
  CHECK(watch.live_blocks == 0 && watch.live_bytes == 0, "%d blocks, %d bytes are left",
        (int)watch.live_blocks, (int)watch.live_bytes);
}

static void walk(const char *options)
{
  struct setup s;
  set_up(&s, options);
  for (size_t op = 0; op < sizeof operations / sizeof *operations; op++)
    for (int persistent = 0; persistent < 2; persistent++) {
      uint64_t k = 1;
      test_in("%s, %s, %s", options, operations[op].name, persistent ? "from there on" : "once");
      while (fail_once(&s, op, k, persistent) && k < 100)
        k++;
      CHECK(k < 100, "still failing at allocation 100");
    }
  test_in("%s", options);
  tear_down(&s);
}

/* ---- calibration: calls that change a quantizer ---- */

enum { TOKENS = 600, FEW = 500 };

static float inputs[TOKENS * COLUMNS], wanted[TOKENS * COLUMNS];
static uint16_t inputs16[TOKENS * COLUMNS], wanted16[TOKENS * COLUMNS];

/* Options of every quantizer that calibrates: "", or those that make it take pairs. */
static const char *pairs = "";

/* Bytes to compare, to be freed. */
struct bytes {
  char *p;
  size_t n;
};

static struct bytes saved;          /* of FEW rows */
static lq_quantizer *seen, *unused; /* to be merged: of FEW rows, of none */

typedef lq_status change(lq_quantizer *q, lq_tensor **out);

static lq_status observe(lq_quantizer *q, size_t rows)
{
  if (*pairs)
    return lq_quantizer_observe_pair(q, rows, COLUMNS, LQ_F32, inputs, COLUMNS, wanted, COLUMNS);
  return lq_quantizer_observe(q, rows, COLUMNS, LQ_F32, inputs, COLUMNS);
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
    return lq_quantizer_observe_pair(q, TOKENS, COLUMNS, LQ_BF16, inputs16, COLUMNS, wanted16,
                                     COLUMNS);
  return lq_quantizer_observe(q, TOKENS, COLUMNS, LQ_BF16, inputs16, COLUMNS);
}

static lq_status load(lq_quantizer *q, lq_tensor **out)
{
  (void)out;
  return lq_quantizer_load(q, saved.p, saved.n);
}

static lq_status merge(lq_quantizer *q, lq_tensor **out)
{
  (void)out;
  return lq_quantizer_merge(q, seen);
}

static lq_status merge_nothing(lq_quantizer *q, lq_tensor **out)
{
  (void)out;
  return lq_quantizer_merge(q, unused);
}

static lq_status save(lq_quantizer *q, lq_tensor **out)
{
  static char image[64 + 2 * TOKENS * COLUMNS * sizeof(double)];
  (void)out;
  return lq_quantizer_save(q, image, (size_t)lq_quantizer_save_bytes(q));
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
    set_options(config, "method=gptq");
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

static struct bytes planes_of(const lq_tensor *t)
{
  struct bytes b = {test_alloc((size_t)lq_tensor_nbytes(t) + 4096), 0};
  for (uint32_t i = 0; i < lq_tensor_plane_count(t, LQ_LAYOUT_NATIVE); i++) {
    lq_plane p = {.size = sizeof p};
    CHECK(lq_tensor_plane(t, LQ_LAYOUT_NATIVE, i, &p) == LQ_OK, "plane %u", i);
    memcpy(b.p + b.n, p.data, (size_t)p.bytes);
    b.n += (size_t)p.bytes;
  }
  return b;
}

/* Compares, and frees b. */
static int same_bytes(struct bytes a, struct bytes b)
{
  int same = a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
  free(b.p);
  return same;
}

/* What a call gave: the planes of its tensor, or else what the quantizer has seen. */
static struct bytes outcome(lq_quantizer *q, lq_status st, lq_tensor *t)
{
  CHECK(st == LQ_OK && !*lq_quantizer_error_text(q), "status %d, text \"%s\"", st,
        lq_quantizer_error_text(q));
  return t ? planes_of(t) : image_of(q);
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
  CHECK(lq_dequantize(small, LQ_F32, values, sizeof values, NULL) == LQ_OK, "dequantize");
  lq_tensor_destroy(small);
  CHECK(watch.live_blocks == 0, "%d blocks are left", (int)watch.live_blocks);
}

int main(void)
{
  static const char *const kinds[] = {
      "method=nf4",
      "method=nf4 nested=1 threads=3",
      "method=fp4 nested=1 block_size=16",
      "method=int8",
      "method=int8 threshold=2",
      "method=int8 threshold=2 compat=bitsandbytes-cpu",
      "method=dynamic8 nested=1",
      "method=none",
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
  for (int i = 0; i < TOKENS * COLUMNS; i++) {
    inputs16[i] = half_bits(rng_normal(&state), LQ_BF16);
    inputs[i] = float_of_bits((uint32_t)inputs16[i] << 16) * (i % 7 ? 1.0f : 5.0f);
    wanted16[i] = half_bits(rng_normal(&state), LQ_BF16);
    wanted[i] = 1.2f * inputs[i] + 0.1f * rng_normal(&state);
  }
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
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
  return test_end();
}
