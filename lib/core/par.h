/*
 * par.h - independent tasks on the caller's pool, on OpenMP, or one after another.
 *
 * Owns: who runs a task. Never what a task is: callers cut work into tasks by its size alone, so
 * that no result can depend on the number of threads.
 * Must not know: tensors.
 */
#ifndef LQI_PAR_H
#define LQI_PAR_H

#include "base.h"

struct lqi_par {
  lq_parallel_fn hook; /* NULL: OpenMP, if built with it */
  void *user;
  uint32_t threads; /* 0: as many as there are */
};

/* Runs task(arg, i) once for each i below `tasks` and returns when all have ended. */
void lqi_parallel(const struct lqi_par *par, uint32_t tasks, lq_task_fn task, void *arg);

/*
 * How many tasks `units` pieces make at *per_task pieces each; raises *per_task where the number
 * would not fit.
 */
uint32_t lqi_task_count(uint64_t units, uint64_t *per_task);

/* How many tasks may run at once, for sizing work space; at least 1. */
uint32_t lqi_par_workers(const struct lqi_par *par);

#endif
