/*
 * pool.h - a pool of POSIX threads to hand to the library: tasks run at once, in an order nobody
 * knows, and the thread sanitizer sees them as they are.
 */
#ifndef TESTS_POOL_H
#define TESTS_POOL_H

#include <libquant.h>

#include <pthread.h>

struct share {
  lq_task_fn task;
  void *arg;
  uint32_t first, step, tasks;
};

static void *run_share(void *user)
{
  const struct share *s = user;
  for (uint32_t i = s->first; i < s->tasks; i += s->step)
    s->task(s->arg, i);
  return NULL;
}

/* Three threads for each call, every third task on each: slow, but nothing is shared. */
static void on_threads(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  pthread_t thread[3];
  struct share share[3];
  int started[3];
  (void)user;
  for (uint32_t k = 0; k < 3; k++) {
    share[k] = (struct share){task, arg, k, 3, tasks};
    started[k] = pthread_create(&thread[k], NULL, run_share, &share[k]) == 0;
    if (!started[k])
      run_share(&share[k]);
  }
  for (uint32_t k = 0; k < 3; k++)
    if (started[k])
      pthread_join(thread[k], NULL);
}

#endif
