/*
 * test_shared.c - proves what may be shared: const handles among threads, the level of kernels
 * while others compute, the library behind fork and inside a parallel region of the caller's.
 *
 * test_threads.c has the numbers of threads and the pools; here several callers are inside at once,
 * for the thread sanitizer (tests/threads.sh) to watch.
 */
#include "helpers.h"
#include "pool.h"

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

enum { ROWS = 64, COLUMNS = 128, BATCH = 5, CALLERS = 4, ROUNDS = 4, COUNT = ROWS * COLUMNS };

static float weights[COUNT], x[BATCH * COLUMNS];

static const char *const kinds[] = {
    "method=nf4 nested=1",
    "method=int8",
    "method=affine group_size=64 symmetric=0",
    "method=dynamic8 block_size=64",
};

/* All that a shared tensor gives; equal structs are equal results. */
struct outcome {
  float values[COUNT], product[BATCH * ROWS], fast[BATCH * ROWS], transposed[BATCH * COLUMNS];
  int32_t integers[ROWS * ROWS];
  uint64_t planes;
};

/* Tensors, configs and a quantizer's state that all callers read and none changes. */
struct shared {
  const lq_tensor *tensor, *dense;
  const lq_config *exact, *fast;
  const lq_quantizer *seen;
  const struct outcome *expected;
};

/* No CHECK in here: it counts without a lock. */
static int compute(const struct shared *s, struct outcome *out)
{
  lq_metrics m = {.size = sizeof m};
  memset(out, 0, sizeof *out);
  int ok = lq_dequantize(s->tensor, LQ_F32, out->values, sizeof out->values, s->exact) == LQ_OK &&
           lq_matmul(s->tensor, BATCH, LQ_F32, x, COLUMNS, NULL, LQ_F32, out->product, ROWS,
                     s->exact) == LQ_OK &&
           lq_matmul(s->tensor, BATCH, LQ_F32, x, COLUMNS, NULL, LQ_F32, out->fast, ROWS,
                     s->fast) == LQ_OK &&
           lq_matmul_transposed(s->tensor, BATCH, LQ_F32, out->product, ROWS, LQ_F32,
                                out->transposed, COLUMNS, s->exact) == LQ_OK &&
           lq_compare(s->dense, s->tensor, &m, s->exact) == LQ_OK && m.relative_error < 1;
  if (ok && lq_tensor_method(s->tensor) == LQ_INT8)
    ok = lq_matmul_int8(s->tensor, s->tensor, NULL, LQ_I32, out->integers, ROWS, s->exact) == LQ_OK;
  for (uint32_t i = 0; i < lq_tensor_plane_count(s->tensor, LQ_LAYOUT_NATIVE); i++) {
    lq_plane p = {.size = sizeof p};
    ok = ok && lq_tensor_plane(s->tensor, LQ_LAYOUT_NATIVE, i, &p) == LQ_OK;
    for (uint64_t k = 0; ok && k < p.bytes; k++)
      out->planes = out->planes * 31 + ((const unsigned char *)p.data)[k];
  }
  return ok;
}

/* What else a const tensor and a const config can be asked. Nothing of it may be made on demand
 * inside a handle. */
static int ask(const struct shared *s)
{
  static const int32_t keys[] = {LQ_KEY_METHOD, LQ_KEY_BLOCK_SIZE, LQ_KEY_BITS, LQ_KEY_GROUP_SIZE};
  const lq_tensor *t = s->tensor;
  float *rows = malloc(COUNT * sizeof *rows);
  lq_static fixed = {.size = sizeof fixed};
  int64_t number = 0;
  double value = 0;
  int ok = rows && lq_tensor_ndim(t) == 2 && lq_tensor_dim(t, 1) == COLUMNS &&
           lq_tensor_nbytes(t) != 0 && lq_tensor_bits_per_weight(t) > 0 &&
           lq_tensor_dtype(t) == LQ_F32 &&
           lq_config_get_i64(s->exact, LQ_KEY_BITS, &number) == LQ_OK &&
           lq_config_get_f64(s->exact, LQ_KEY_DAMPING, &value) == LQ_OK &&
           *lq_config_error_text(s->exact) == 0;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    ok = ok && lq_tensor_get_i64(t, keys[i], &number) == LQ_OK;
  for (int32_t layout = LQ_LAYOUT_NATIVE; ok && layout <= LQ_LAYOUT_GGML; layout++) {
    lq_tensor *copy = NULL;
    if (lq_tensor_obstacle(t, layout))
      continue;
    ok = lq_tensor_convert(NULL, t, layout, &copy) == LQ_OK && same_planes(copy, t);
    lq_tensor_destroy(copy);
  }
  ok = ok &&
       lq_dequantize_rows(t, 3, ROWS - 5, LQ_F32, rows, (ROWS - 5) * COLUMNS * sizeof *rows,
                          s->exact) == LQ_OK &&
       !memcmp(rows, s->expected->values + 3 * COLUMNS, (ROWS - 5) * COLUMNS * sizeof *rows);
  if (ok && lq_static_from_tensor(t, &fixed) == LQ_OK)
    ok = lq_static_check(&fixed) == LQ_OK && lq_static_decode(&fixed, 0, ROWS, rows) == LQ_OK &&
         lq_static_matvec(&fixed, x, rows) == LQ_OK;
  free(rows);
  return ok;
}

/* Handles of this thread's own, made from shared ones: a clone, a calibration merged. */
static int own_handles(const struct shared *s)
{
  lq_config *config = NULL;
  lq_quantizer *q = NULL;
  lq_tensor *t = NULL, *copy = NULL;
  int ok = lq_config_clone(s->exact, &config) == LQ_OK &&
           lq_config_set_text(config, "method", "gptq") == LQ_OK &&
           lq_quantizer_create(config, &q) == LQ_OK && lq_quantizer_merge(q, s->seen) == LQ_OK &&
           lq_quantizer_run(q, s->dense, &t) == LQ_OK &&
           lq_tensor_clone(NULL, s->tensor, &copy) == LQ_OK && same_planes(copy, s->tensor);
  lq_tensor_destroy(copy);
  lq_tensor_destroy(t);
  lq_quantizer_destroy(q);
  lq_config_destroy(config);
  return ok;
}

static int caller_round(const struct shared *s)
{
  struct outcome *out = malloc(sizeof *out);
  int ok = out && compute(s, out) && !memcmp(out, s->expected, sizeof *out) && ask(s);
  free(out);
  return ok;
}

/* Several threads on one product, each with rows of its own: what a program does that deals out
 * the work itself. */
struct part {
  const struct shared *shared;
  uint64_t first, rows;
  float *y; /* [BATCH][ROWS], everyone's */
  lq_status status;
};

static void *part_of_product(void *user)
{
  struct part *p = user;
  p->status = lq_matmul_rows(p->shared->tensor, p->first, p->rows, BATCH, LQ_F32, x, COLUMNS, NULL,
                             LQ_F32, p->y + p->first, ROWS, p->shared->exact);
  return NULL;
}

static void parts(const struct shared *s)
{
  float y[BATCH * ROWS] = {0};
  pthread_t thread[CALLERS];
  struct part part[CALLERS];
  uint64_t first = 0;
  for (int i = 0; i < CALLERS; i++, first += part[i - 1].rows) {
    uint64_t rows = i + 1 < CALLERS ? (uint64_t)(7 + 9 * i) : ROWS - first;
    part[i] = (struct part){s, first, rows, y, LQ_E_INTERNAL};
    if (!CHECK(pthread_create(&thread[i], NULL, part_of_product, &part[i]) == 0, "pthread_create"))
      exit(2);
  }
  for (int i = 0; i < CALLERS; i++) {
    pthread_join(thread[i], NULL);
    CHECK(part[i].status == LQ_OK, "part %d: %d", i, part[i].status);
  }
  CHECK(!memcmp(y, s->expected->product, sizeof y), "parts of a product make another one");
}

struct caller {
  const struct shared *shared;
  int ok;
};

static void *caller(void *user)
{
  struct caller *c = user;
  c->ok = own_handles(c->shared);
  for (int i = 0; i < ROUNDS && c->ok; i++)
    c->ok = caller_round(c->shared);
  return NULL;
}

/* ---- what is made before anything is shared ---- */

static struct shared make_shared(const char *options, const char *fast)
{
  static struct outcome expected;
  const uint64_t dims[2] = {ROWS, COLUMNS};
  struct shared s = {.dense = wrap(LQ_F32, 2, dims, weights), .expected = &expected};
  lq_quantizer *q = NULL;
  lq_config *calibrating = new_config("method=gptq");
  s.tensor = quantize(s.dense, options);
  s.exact = new_config("");
  s.fast = new_config(fast);
  CHECK(lq_quantizer_create(calibrating, &q) == LQ_OK, "create");
  CHECK(lq_quantizer_observe(q, BATCH, COLUMNS, LQ_F32, x, COLUMNS) == LQ_OK, "observe");
  s.seen = q;
  CHECK(compute(&s, &expected), "compute");
  lq_config_destroy(calibrating);
  return s;
}

static void end_shared(struct shared *s)
{
  lq_tensor_destroy((lq_tensor *)(uintptr_t)s->tensor);
  lq_tensor_destroy((lq_tensor *)(uintptr_t)s->dense);
  lq_quantizer_destroy((lq_quantizer *)(uintptr_t)s->seen);
  lq_config_destroy((lq_config *)(uintptr_t)s->exact);
  lq_config_destroy((lq_config *)(uintptr_t)s->fast);
}

/* ---- what is tried ---- */

/* Callers at once; meanwhile this thread moves the cap on the level, if asked. */
static void callers(const struct shared *s, int move_level)
{
  pthread_t thread[CALLERS];
  struct caller c[CALLERS];
  for (int i = 0; i < CALLERS; i++) {
    c[i] = (struct caller){s, 0};
    if (!CHECK(pthread_create(&thread[i], NULL, caller, &c[i]) == 0, "pthread_create"))
      exit(2);
  }
  for (int i = 0; move_level && i < 2000; i++)
    (void)lq_cpu_limit(i % 2 ? "scalar" : NULL);
  for (int i = 0; i < CALLERS; i++) {
    pthread_join(thread[i], NULL);
    CHECK(c[i].ok, "caller %d saw other results", i);
  }
  lq_cpu_limit(NULL);
}

#ifndef _WIN32

/* A child goes on with the handles of its parent, which has used threads. */
static void forked(const struct shared *s)
{
  int status = 0;
  pid_t child = fork();
  if (child == 0)
    _exit(caller_round(s) ? 0 : 1);
  CHECK(child > 0 && waitpid(child, &status, 0) == child, "fork");
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %d", status);
  CHECK(caller_round(s), "the parent sees other results behind fork");
}

#endif

/* Calls from inside a parallel region of the caller's, where OpenMP nests or does not. */
static void nested(const struct shared *s)
{
  int failed = 0;
#ifdef _OPENMP
#pragma omp parallel for num_threads(3) reduction(+ : failed)
#endif
  for (int i = 0; i < CALLERS; i++)
    failed += !caller_round(s);
  CHECK(failed == 0, "%d callers in a parallel region saw other results", failed);
}

static void one_thread(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  (void)user;
  for (uint32_t i = tasks; i-- != 0;)
    task(arg, i);
}

static void test_kind(const char *options)
{
  static const lq_parallel_fn pools[] = {NULL, one_thread, on_threads};
  static const char *const names[] = {"own threads", "backward pool", "pool of threads"};
  for (int k = 0; k < 3; k++) {
    test_in("%s, %s", options, names[k]);
    test_parallel = pools[k];
    struct shared s = make_shared(options, "compute=fast");
    callers(&s, 0);
    parts(&s);
#ifndef _WIN32
    forked(&s);
#endif
    nested(&s);
    end_shared(&s);
  }
  test_parallel = NULL;
}

/*
 * lq_cpu_limit is "not during others", since it changes what they run; but it is one atomic store,
 * and results do not depend on the level, but for fast products, so that a program which does it
 * all the same is safe.
 */
static void test_level_meanwhile(void)
{
  test_in("cpu_limit meanwhile");
  struct shared s = make_shared("method=nf4", "compute=exact");
  callers(&s, 1);
  end_shared(&s);
}

int main(void)
{
  uint64_t state = 4;
  for (int i = 0; i < COUNT; i++)
    weights[i] = rng_normal(&state);
  for (int i = 0; i < BATCH * COLUMNS; i++)
    x[i] = rng_normal(&state);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    test_kind(kinds[i]);
  test_level_meanwhile();
  return test_end();
}
