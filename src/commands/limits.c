/*
 * limits.c - plain loops over memory, on some threads at once.
 *
 * The C library's memchr, memset and memcpy are as fast as one stream gets on any machine that it
 * knows, so they are the loops of the cache. Only two loops have to be written: four streams with
 * prefetch, since the hardware follows one stream a page and memory answers several at once, and
 * stores that bypass the caches, which C has no word for: without such an instruction they are
 * ordinary ones.
 */
#include "limits.h"

#include "../files/system.h"
#include "common.h"
#include "peaks.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 1024, ROUNDS_MIN = 3, LINE = 64, PIECE = 1 << 14 };

#if defined(__GNUC__)
typedef long long vec __attribute__((vector_size(16)));
#define PREFETCH(p) __builtin_prefetch((p), 0, 3)
#else
typedef long long vec;
#define PREFETCH(p) ((void)(p))
#endif

typedef enum loop {
  READ_ONE,
  READ_FOUR,
  WRITE_PLAIN,
  WRITE_STREAMED,
  COPY,
  MULTIPLY_F32,
  MULTIPLY_I8,
  MULTIPLY_BF16,
  LOOPS
} loop;

/* Where the threads wait for each other. */
typedef struct gate {
  pthread_mutex_t lock;
  pthread_cond_t opened;
  bool open, abandoned;
} gate;

typedef struct worker {
  loop kind;
  char *memory; /* this thread's share */
  size_t bytes;
  unsigned passes;
  gate *start;
  volatile long long result; /* so that no loop is dropped */
} worker;

static long long read_one(const char *p, size_t n)
{
  return memchr(p, 0x5a, n) != NULL;
}

/* The sum of one line, by pairs. */
static vec line_sum(const char *line)
{
  const vec *v = (const vec *)(const void *)line;

#if defined(__GNUC__)
  return (v[0] + v[1]) + (v[2] + v[3]);
#else
  return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
#endif
}

static long long read_four(const char *p, size_t n)
{
  enum { AHEAD = 1024 };
  size_t quarter = n / 4 / LINE * LINE;
  const char *q = p + quarter, *r = q + quarter, *s = r + quarter;
  vec a = {0}, b = {0}, c = {0}, d = {0};
  long long total;

  for (size_t i = 0; i < quarter; i += LINE) {
    PREFETCH(p + i + AHEAD);
    PREFETCH(q + i + AHEAD);
    PREFETCH(r + i + AHEAD);
    PREFETCH(s + i + AHEAD);
    a += line_sum(p + i);
    b += line_sum(q + i);
    c += line_sum(r + i);
    d += line_sum(s + i);
  }
  a += b + c + d;
  memcpy(&total, &a, sizeof total);
  return total;
}

/* In short pieces: from some size on memset itself goes past the caches. */
static long long write_plain(char *p, size_t n)
{
  for (size_t i = 0; i + PIECE <= n; i += PIECE)
    memset(p + i, 1, PIECE);
  return p[0];
}

static long long write_streamed(char *p, size_t n)
{
#if defined(__clang__) && __has_builtin(__builtin_nontemporal_store)
  const vec v = {1, 1};

  for (size_t i = 0; i + LINE <= n; i += sizeof v)
    __builtin_nontemporal_store(v, (vec *)(void *)(p + i));
  return p[0];
#elif defined(__GNUC__) && defined(__SSE2__)
  const vec v = {1, 1};

  for (size_t i = 0; i + LINE <= n; i += sizeof v)
    __builtin_ia32_movntdq((vec *)(void *)(p + i), v);
  __builtin_ia32_sfence();
  return p[0];
#else
  return write_plain(p, n);
#endif
}

static long long copy_half(char *p, size_t n)
{
  memcpy(p + n / 2, p, n / 2);
  return p[n / 2];
}

static void *work(void *arg)
{
  worker *w = arg;
  long long r = 0;

  pthread_mutex_lock(&w->start->lock);
  while (!w->start->open)
    pthread_cond_wait(&w->start->opened, &w->start->lock);
  pthread_mutex_unlock(&w->start->lock);
  for (unsigned i = 0; i < w->passes && !w->start->abandoned; i++)
    switch (w->kind) {
    case READ_ONE: r += read_one(w->memory, w->bytes); break;
    case READ_FOUR: r += read_four(w->memory, w->bytes); break;
    case WRITE_PLAIN: r += write_plain(w->memory, w->bytes); break;
    case WRITE_STREAMED: r += write_streamed(w->memory, w->bytes); break;
    case COPY: r += copy_half(w->memory, w->bytes); break;
    case MULTIPLY_F32: peak_pass(PEAK_F32); break;
    case MULTIPLY_I8: peak_pass(PEAK_I8); break;
    default: peak_pass(PEAK_BF16); break;
    }
  w->result = r;
  return NULL;
}

/* Seconds of `passes` passes of all threads, from the common start to the last end. 0: a thread did
 * not start. */
static double run_once(worker *workers, unsigned threads, loop kind, unsigned passes)
{
  gate start = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
  pthread_t ids[THREADS_MAX];
  unsigned made = 0;
  double begin;

  for (; made < threads; made++) {
    workers[made].kind = kind;
    workers[made].passes = passes;
    workers[made].start = &start;
    if (pthread_create(&ids[made], NULL, work, &workers[made]) != 0)
      break;
  }
  begin = sys_seconds();
  pthread_mutex_lock(&start.lock);
  start.open = true;
  start.abandoned = made < threads;
  pthread_cond_broadcast(&start.opened);
  pthread_mutex_unlock(&start.lock);
  for (unsigned i = 0; i < made; i++)
    pthread_join(ids[i], NULL);
  return made < threads ? 0 : sys_seconds() - begin;
}

/* Best rate of a loop, whose pass is `amount` of bytes or operations. A short pass is repeated
 * within a round until starting threads costs nothing beside it. */
static double best_rate(worker *workers, unsigned threads, double amount, loop kind, double seconds)
{
  const double enough = 1 << 28;
  double end = sys_seconds() + seconds, best = 0;
  unsigned passes = amount < enough / 4 ? (unsigned)(enough / amount) : 1;

  for (int round = 0; round < ROUNDS_MIN || sys_seconds() < end; round++) {
    double t = run_once(workers, threads, kind, passes);

    if (t <= 0)
      return 0;
    if (amount * passes / t > best)
      best = amount * passes / t;
  }
  return best;
}

static bool measure_all(limits *out, worker *workers, unsigned threads, size_t bytes,
                        double seconds, fail *why)
{
  double *const rates[LOOPS] = {
      &out->read_one, &out->read_four, &out->write_plain, &out->write_streamed,
      &out->copy,     &out->f32,       &out->i8,          &out->bf16};

  for (int k = 0; k < LOOPS; k++) {
    double amount = k == MULTIPLY_F32    ? threads * peak_pass(PEAK_F32)
                    : k == MULTIPLY_I8   ? threads * peak_pass(PEAK_I8)
                    : k == MULTIPLY_BF16 ? threads * peak_pass(PEAK_BF16)
                                         : (double)bytes;

    *rates[k] = best_rate(workers, threads, amount, (loop)k, seconds / LOOPS);
    if (*rates[k] <= 0)
      return fail_system(why, NULL, "start a thread", EAGAIN);
  }
  return true;
}

bool limits_measure(limits *out, size_t bytes, unsigned threads, double seconds, bool huge,
                    fail *why)
{
  size_t share, rounded;
  char *memory;
  worker *workers;
  bool ok;

  if (threads > THREADS_MAX)
    threads = THREADS_MAX;
  if (bytes / threads < 4 * PIECE)
    bytes = (size_t)threads * 4 * PIECE;
  rounded = (bytes + SYS_HUGE_PAGE - 1) / SYS_HUGE_PAGE * SYS_HUGE_PAGE;
  memory = sys_alloc_aligned(SYS_HUGE_PAGE, rounded);
  workers = calloc(threads, sizeof *workers);
  if (!memory || !workers) {
    sys_free_aligned(memory);
    free(workers);
    return fail_memory(why, NULL);
  }
  if (huge)
    sys_prefer_huge(memory, rounded);
  memset(memory, 0, rounded);
  share = bytes / threads / (4 * PIECE) * (4 * PIECE);
  for (unsigned i = 0; i < threads; i++) {
    workers[i].memory = memory + i * share;
    workers[i].bytes = share;
  }
  ok = measure_all(out, workers, threads, share * threads, seconds, why);
  free(workers);
  sys_free_aligned(memory);
  return ok;
}

double limits_read(const limits *l)
{
  return l->read_one > l->read_four ? l->read_one : l->read_four;
}

double limits_write(const limits *l)
{
  return l->write_plain > l->write_streamed ? l->write_plain : l->write_streamed;
}
