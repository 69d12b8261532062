/*
 * test_threads.c - proves that results do not depend on who computes them: number of threads, the
 * caller's pool, the level of kernels, or several callers at once.
 *
 * Tensors are large enough to be cut into many tasks. The pools here run tasks backward, or on
 * POSIX threads in an order nobody knows, and check the promise that each index is asked for
 * exactly once.
 */
#include "helpers.h"
#include "pool.h"

enum { ROWS = 401, COLUMNS = 777, BATCH = 13, CASES = 10, INTEGERS = 50 };

static float weights[ROWS * COLUMNS], other[ROWS * COLUMNS], x[BATCH * COLUMNS];

static const char *const cases[CASES] = {
    "method=nf4 block_size=64",
    "method=nf4 block_size=32 nested=1",
    "method=fp4 block_size=4096 nested=1",
    "method=int8",
    "method=int8 threshold=2.5",
    "method=dynamic8 block_size=100 nested=1",
    "method=none",
    "method=affine group_size=32 symmetric=0",
    "method=affine bits=3 group_size=40 nested=1",
    "method=affine bits=8 group_size=-1",
};

/* All that a case gives: planes, values in three dtypes, a product, a comparison. */
struct result {
  uint8_t *planes;
  uint64_t bytes;
  float *values;
  uint16_t *halves;
  float product[BATCH * ROWS], transposed[BATCH * COLUMNS];
  float integers[ROWS * INTEGERS];
  lq_metrics metrics;
};

static void free_result(struct result *r)
{
  if (!r)
    return;
  free(r->planes);
  free(r->values);
  free(r->halves);
  free(r);
}

static void take_planes(const lq_tensor *t, struct result *r)
{
  uint32_t n = lq_tensor_plane_count(t, LQ_LAYOUT_NATIVE);
  r->planes = test_alloc((size_t)lq_tensor_nbytes(t) + 4096);
  for (uint32_t i = 0; i < n; i++) {
    lq_plane p = {.size = sizeof p};
    CHECK(lq_tensor_plane(t, LQ_LAYOUT_NATIVE, i, &p) == LQ_OK, "plane %u", i);
    if (p.bytes)
      memcpy(r->planes + r->bytes, p.data, (size_t)p.bytes);
    r->bytes += p.bytes;
  }
}

static struct result *compute(const char *options)
{
  const uint64_t dims[2] = {ROWS, COLUMNS}, few[2] = {INTEGERS, COLUMNS};
  struct result *r = test_alloc(sizeof *r);
  lq_tensor *dense = wrap(LQ_F32, 2, dims, weights), *second = wrap(LQ_F32, 2, few, other);
  lq_tensor *t = quantize(dense, options);
  if (!t)
    exit(2);
  take_planes(t, r);
  r->values = decode(t, LQ_F32);
  r->halves = decode(t, LQ_BF16);
  lq_config *how = new_config("");
  lq_status s = lq_matmul(t, BATCH, LQ_F32, x, COLUMNS, NULL, LQ_F32, r->product, ROWS, how);
  CHECK(s == LQ_OK, "matmul: %d", s);
  s = lq_matmul_transposed(t, BATCH, LQ_F32, r->product, ROWS, LQ_F32, r->transposed, COLUMNS, how);
  CHECK(s == LQ_OK, "matmul_transposed: %d", s);
  if (strstr(options, "int8")) {
    lq_tensor *w8 = quantize(second, "method=int8");
    s = lq_matmul_int8(w8, t, NULL, LQ_F32, r->integers, INTEGERS, how);
    CHECK(s == LQ_OK, "matmul_int8: %d", s);
    lq_tensor_destroy(w8);
  }
  r->metrics.size = sizeof r->metrics;
  s = lq_compare(dense, t, &r->metrics, how);
  CHECK(s == LQ_OK, "compare: %d", s);
  lq_config_destroy(how);
  lq_tensor_destroy(t);
  lq_tensor_destroy(second);
  lq_tensor_destroy(dense);
  return r;
}

static void check_equal(const struct result *a, const struct result *b, const char *how)
{
  const size_t n = ROWS * COLUMNS;
  CHECK(a->bytes == b->bytes && !memcmp(a->planes, b->planes, (size_t)a->bytes),
        "%s: planes differ", how);
  CHECK(!memcmp(a->values, b->values, n * sizeof(float)), "%s: values differ", how);
  CHECK(!memcmp(a->halves, b->halves, n * sizeof(uint16_t)), "%s: bf16 values differ", how);
  CHECK(!memcmp(a->product, b->product, sizeof a->product), "%s: product differs", how);
  CHECK(!memcmp(a->transposed, b->transposed, sizeof a->transposed),
        "%s: transposed product differs", how);
  CHECK(!memcmp(a->integers, b->integers, sizeof a->integers), "%s: integer product differs", how);
  CHECK(!memcmp(&a->metrics, &b->metrics, sizeof a->metrics), "%s: metrics differ", how);
}

/* ---- pools ---- */

static uint64_t pool_calls, pool_tasks;

static void backward(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  (void)user;
  pool_calls++;
  pool_tasks += tasks;
  for (uint32_t i = tasks; i-- != 0;)
    task(arg, i);
}

/* ---- what is tried ---- */

static void test_one(const char *options)
{
  static const int threads[] = {2, 3, 8, 0};
  char how[64];
  lq_cpu_limit("scalar");
  snprintf(test_options, sizeof test_options, "threads=1");
  test_in("%s", options);
  struct result *expected = compute(options), *r;
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    for (size_t k = level ? 0 : 1; k < sizeof threads / sizeof *threads; k++) {
      if (!test_takes(8))
        continue;
      snprintf(test_options, sizeof test_options, "threads=%d", threads[k]);
      snprintf(how, sizeof how, "%s, %d threads", test_levels[level], threads[k]);
      check_equal(expected, r = compute(options), how);
      free_result(r);
    }
  }
  lq_cpu_limit(NULL);
  test_options[0] = 0;
  test_parallel = backward;
  pool_calls = pool_tasks = 0;
  check_equal(expected, r = compute(options), "backward pool");
  free_result(r);
  CHECK(pool_calls > 0 && pool_tasks > pool_calls, "the pool had %d tasks in %d calls",
        (int)pool_tasks, (int)pool_calls);
  test_parallel = on_threads;
  check_equal(expected, r = compute(options), "pool of threads");
  free_result(r);
  test_parallel = NULL;
  free_result(expected);
}

/* ---- several callers at once, one shared tensor ---- */

struct caller {
  const lq_tensor *shared;
  const float *expected;
  int ok, number;
};

static int caller_round(const struct caller *c, float *out)
{
  const uint64_t dims[2] = {64, 100};
  lq_config *config = NULL;
  lq_quantizer *quantizer = NULL;
  lq_tensor *dense = NULL, *mine = NULL;
  int ok = lq_dequantize(c->shared, LQ_F32, out, sizeof weights, NULL) == LQ_OK &&
           !memcmp(out, c->expected, sizeof weights);
  ok = ok && lq_config_create(NULL, &config) == LQ_OK &&
       lq_config_set_text(config, "method", c->number % 2 ? "nf4" : "dynamic8") == LQ_OK &&
       lq_config_set_text(config, "threads", "1") == LQ_OK &&
       lq_quantizer_create(config, &quantizer) == LQ_OK &&
       lq_tensor_wrap(NULL, LQ_F32, 2, dims, weights + 100 * c->number, 64 * 100 * sizeof(float),
                      &dense) == LQ_OK &&
       lq_quantizer_run(quantizer, dense, &mine) == LQ_OK && lq_tensor_method(mine) != LQ_NONE;
  lq_tensor_destroy(mine);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
  return ok;
}

static void *caller(void *user)
{
  struct caller *c = user;
  float *out = malloc(sizeof weights);
  c->ok = out != NULL;
  for (int i = 0; i < 20 && c->ok; i++)
    c->ok = caller_round(c, out);
  free(out);
  return NULL;
}

static void test_callers(void)
{
  const uint64_t dims[2] = {ROWS, COLUMNS};
  pthread_t thread[4];
  struct caller c[4];
  test_in("callers");
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, weights, "method=nf4 nested=1");
  float *expected = t ? decode(t, LQ_F32) : NULL;
  for (int i = 0; expected && i < 4; i++) {
    c[i] = (struct caller){t, expected, 0, i};
    if (!CHECK(pthread_create(&thread[i], NULL, caller, &c[i]) == 0, "pthread_create"))
      exit(2);
  }
  for (int i = 0; expected && i < 4; i++) {
    pthread_join(thread[i], NULL);
    CHECK(c[i].ok, "caller %d saw other results", i);
  }
  free(expected);
  lq_tensor_destroy(t);
}

int main(void)
{
  uint64_t state = 99;
  for (int i = 0; i < ROWS * COLUMNS; i++) {
    weights[i] = rng_normal(&state);
    other[i] = rng_normal(&state) * 0.1f;
  }
  for (int i = 0; i < BATCH * COLUMNS; i++)
    x[i] = rng_normal(&state);
  for (int i = 0; i < CASES; i++)
    test_one(cases[i]);
  test_callers();
  return test_end();
}
