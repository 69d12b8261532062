/*
 * par.c - independent tasks on the caller's pool, on OpenMP, or one after another.
 *
 * Owns: the only OpenMP pragma of the library, and which process may use it.
 * Must not know: tensors.
 */
#include "par.h"

#include "atomic.h"

#ifdef _OPENMP
#include <omp.h>
#include <stdatomic.h>
#ifndef _WIN32
#include <unistd.h>
#endif
#endif

/* A pool of unknown width gets this many tasks at most where each needs work space of its own. */
#define HOOK_WORKERS 16

#ifdef _OPENMP
#ifdef _WIN32

static int may_start_threads(void)
{
  return 1;
}

#else

/* The process that has started OpenMP's threads; 0: none yet. */
static _Atomic long team_owner;

/* A child of fork has none of its parent's threads, yet OpenMP would wait for them for ever. */
static int may_start_threads(void)
{
  long self = (long)getpid(), owner = 0;
  return atomic_compare_exchange_strong(&team_owner, &owner, self) || owner == self;
}

#endif
#endif

uint32_t lqi_par_workers(const struct lqi_par *par)
{
  if (par->threads != 0)
    return par->threads;
  if (par->hook != NULL)
    return HOOK_WORKERS;
#ifdef _OPENMP
  int threads = omp_get_max_threads();
  return threads > 0 ? (uint32_t)threads : 1;
#else
  return 1;
#endif
}

uint32_t lqi_task_count(uint64_t units, uint64_t *per_task)
{
  while (units / *per_task > UINT32_MAX / 2)
    *per_task *= 2;
  return (uint32_t)lqi_ceil_div(units, *per_task);
}

void lqi_parallel(const struct lqi_par *par, uint32_t tasks, lq_task_fn task, void *arg)
{
  if (LQI_ATOMICS && par->hook != NULL && tasks > 1) {
    par->hook(par->user, tasks, task, arg);
    return;
  }
#ifdef _OPENMP
  uint32_t workers = lqi_par_workers(par);
  if (workers > tasks)
    workers = tasks;
  if (workers > 1 && may_start_threads()) {
#pragma omp parallel for schedule(static) num_threads((int)workers)
    for (uint32_t i = 0; i < tasks; i++)
      task(arg, i);
    return;
  }
#endif
  for (uint32_t i = 0; i < tasks; i++)
    task(arg, i);
}
