/*
 * pipeline.c - three counters under one lock.
 *
 * done[s] items have passed stage s. Stage s may start item i when done[s - 1] > i; the first stage
 * when the slot is free again and the budget allows. Every change wakes everybody: three threads,
 * some hundred changes a second.
 */
#include "pipeline.h"

#include "../files/interrupt.h"

#include <pthread.h>

enum { READ, WORK, WRITE, STAGES };

typedef struct run {
  const pipeline *p;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  size_t done[STAGES];
  uint64_t in_flight;
  bool failed;
  fail why;
} run;

typedef struct stage {
  run *r;
  int number;
} stage;

static bool may_start(const run *r, int s, size_t i, uint64_t bytes)
{
  if (s != READ)
    return r->done[s - 1] > i;
  if (i - r->done[WRITE] >= PIPELINE_SLOTS)
    return false;
  return r->in_flight == 0 ||
         (r->in_flight <= r->p->budget && bytes <= r->p->budget - r->in_flight);
}

/* False when the run has failed meanwhile. */
static bool stage_enter(run *r, int s, size_t i)
{
  uint64_t bytes = s == READ ? r->p->bytes(r->p->user, i) : 0;
  bool go;

  pthread_mutex_lock(&r->lock);
  while (!r->failed && !may_start(r, s, i, bytes))
    pthread_cond_wait(&r->changed, &r->lock);
  go = !r->failed;
  if (go)
    r->in_flight += bytes;
  pthread_mutex_unlock(&r->lock);
  return go;
}

static void stage_leave(run *r, int s, size_t i, bool ok, const fail *why)
{
  uint64_t bytes = s == WRITE ? r->p->bytes(r->p->user, i) : 0;

  pthread_mutex_lock(&r->lock);
  if (ok) {
    r->done[s] = i + 1;
    r->in_flight -= bytes;
  } else if (!r->failed) {
    r->failed = true;
    r->why = *why;
  }
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->lock);
}

static void *stage_run(void *arg)
{
  const stage *me = arg;
  const pipeline *p = me->r->p;
  const pipeline_stage step[STAGES] = {p->read, p->work, p->write};

  for (size_t i = 0; i < p->items; i++) {
    fail why = {FAIL_NONE, 0, ""};
    bool ok;

    if (!stage_enter(me->r, me->number, i))
      break;
    ok = interrupt_check(&why) && step[me->number](p->user, i, i % PIPELINE_SLOTS, &why);
    stage_leave(me->r, me->number, i, ok, &why);
    if (!ok)
      break;
  }
  return NULL;
}

/* The two threads around the caller's; a thread that does not start fails the run like a stage. */
static void run_threads(run *r)
{
  stage stages[STAGES] = {{r, READ}, {r, WORK}, {r, WRITE}};
  pthread_t reader, writer;
  fail why = {FAIL_NONE, 0, ""};
  int error = pthread_create(&reader, NULL, stage_run, &stages[READ]);

  if (error != 0) {
    fail_system(&why, NULL, "start a thread", error);
    stage_leave(r, READ, 0, false, &why);
    return;
  }
  error = pthread_create(&writer, NULL, stage_run, &stages[WRITE]);
  if (error != 0) {
    fail_system(&why, NULL, "start a thread", error);
    stage_leave(r, WRITE, 0, false, &why);
  } else {
    stage_run(&stages[WORK]);
    pthread_join(writer, NULL);
  }
  pthread_join(reader, NULL);
}

bool pipeline_run(const pipeline *p, fail *why)
{
  run r = {.p = p};

  if (pthread_mutex_init(&r.lock, NULL) != 0)
    return fail_memory(why, NULL);
  if (pthread_cond_init(&r.changed, NULL) != 0) {
    pthread_mutex_destroy(&r.lock);
    return fail_memory(why, NULL);
  }
  run_threads(&r);
  pthread_cond_destroy(&r.changed);
  pthread_mutex_destroy(&r.lock);
  if (r.failed)
    *why = r.why;
  return !r.failed;
}
