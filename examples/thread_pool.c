/*
 * thread_pool.c - lets the library work on the caller's threads instead of OpenMP's.
 *
 * A pool of POSIX threads sleeps until lq_config_set_parallel's function hands it tasks; each
 * thread, and the caller with them, takes the next task until none is left. The result has the same
 * bytes as on one thread.
 *
 *     cc thread_pool.c $(pkg-config --cflags --libs libquant) -pthread -o thread_pool
 */
#include <libquant.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3, ROWS = 512, COLUMNS = 1024 };

struct pool {
  pthread_mutex_t lock;
  pthread_cond_t wake, done;
  pthread_t thread[THREADS];
  lq_task_fn task;
  void *arg;
  uint32_t next, tasks, running, taken; /* `taken`: how many the pool's own threads did */
  int stop;
};

/* Takes tasks until none is left; called and left with the lock held. */
static void work(struct pool *p, int is_worker)
{
  while (p->next < p->tasks) {
    uint32_t index = p->next++;
    p->running++;
    p->taken += (uint32_t)is_worker;
    pthread_mutex_unlock(&p->lock);
    p->task(p->arg, index);
    pthread_mutex_lock(&p->lock);
    if (--p->running == 0 && p->next == p->tasks)
      pthread_cond_signal(&p->done);
  }
}

static void *worker(void *user)
{
  struct pool *p = user;
  pthread_mutex_lock(&p->lock);
  while (!p->stop) {
    work(p, 1);
    if (!p->stop)
      pthread_cond_wait(&p->wake, &p->lock);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

/* What the library calls: returns when all tasks have ended. */
static void parallel(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  struct pool *p = user;
  pthread_mutex_lock(&p->lock);
  p->task = task;
  p->arg = arg;
  p->next = 0;
  p->tasks = tasks;
  pthread_cond_broadcast(&p->wake);
  work(p, 0);
  while (p->running != 0)
    pthread_cond_wait(&p->done, &p->lock);
  pthread_mutex_unlock(&p->lock);
}

static int pool_start(struct pool *p)
{
  memset(p, 0, sizeof *p);
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
  pthread_cond_init(&p->done, NULL);
  for (int i = 0; i < THREADS; i++)
    if (pthread_create(&p->thread[i], NULL, worker, p) != 0)
      return 0;
  return 1;
}

static void pool_stop(struct pool *p)
{
  pthread_mutex_lock(&p->lock);
  p->stop = 1;
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
  for (int i = 0; i < THREADS; i++)
    pthread_join(p->thread[i], NULL);
  pthread_cond_destroy(&p->done);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
}

static lq_status restore(const float *w, struct pool *pool, float *out)
{
  const uint64_t shape[2] = {ROWS, COLUMNS};
  const size_t bytes = sizeof(float) * ROWS * COLUMNS;
  lq_config *config = NULL;
  lq_quantizer *quantizer = NULL;
  lq_tensor *dense = NULL, *small = NULL;
  lq_status s = lq_config_create(NULL, &config);
  if (s == LQ_OK && pool)
    s = lq_config_set_parallel(config, parallel, pool);
  else if (s == LQ_OK)
    s = lq_config_set_i64(config, LQ_KEY_THREADS, 1);
  if (s == LQ_OK)
    s = lq_quantizer_create(config, &quantizer); /* the config, pool included, is copied */
  if (s == LQ_OK)
    s = lq_tensor_wrap(NULL, LQ_F32, 2, shape, w, bytes, &dense);
  if (s == LQ_OK)
    s = lq_quantizer_run(quantizer, dense, &small);
  if (s == LQ_OK)
    s = lq_dequantize(small, LQ_F32, out, bytes, config);
  lq_tensor_destroy(small);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
  return s;
}

int main(void)
{
  static float w[ROWS * COLUMNS], alone[ROWS * COLUMNS], pooled[ROWS * COLUMNS];
  struct pool pool;
  for (int i = 0; i < ROWS * COLUMNS; i++)
    w[i] = (float)(i % 4096 * 7919 % 4093 - 2046) * 0.0001f;
  if (!pool_start(&pool)) {
    fprintf(stderr, "cannot start %d threads\n", THREADS);
    exit(1);
  }
  lq_status s = restore(w, NULL, alone);
  if (s == LQ_OK)
    s = restore(w, &pool, pooled);
  pool_stop(&pool);
  int same = memcmp(alone, pooled, sizeof alone) == 0;
  printf("%s; the pool's threads did %u tasks; the results are %s\n", lq_status_string(s),
         pool.taken, same ? "the same" : "different");
  return s == LQ_OK && same ? 0 : 1;
}
