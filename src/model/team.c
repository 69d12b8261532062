/*
 * team.c - one job at a time under one lock; tasks are drawn from an atomic counter.
 *
 * A member that wakes joins the job that is there, if any; the caller closes it when the counter
 * has passed the last task and waits for the members that joined. Nobody touches a job after that.
 */
#include "team.h"

#include "../files/system.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct team {
  pthread_mutex_t lock;
  pthread_cond_t wake, left;
  pthread_t *members;
  unsigned count;  /* of members that run */
  lq_task_fn task; /* NULL: no job to join */
  void *arg;
  uint32_t tasks;
  _Atomic uint32_t next;
  uint64_t job; /* so that a member joins each job once */
  unsigned joined;
  bool stop;
};

/* `task` and the rest are those of the job that the caller has joined: t's own change when it is
 * closed. */
static void draw_tasks(team *t, uint32_t tasks, lq_task_fn task, void *arg)
{
  for (;;) {
    uint32_t i = atomic_fetch_add(&t->next, 1);

    if (i >= tasks)
      return;
    task(arg, i);
  }
}

static void *member_run(void *arg)
{
  team *t = arg;
  uint64_t seen = 0;

  pthread_mutex_lock(&t->lock);
  while (!t->stop) {
    if (!t->task || t->job == seen) {
      pthread_cond_wait(&t->wake, &t->lock);
      continue;
    }
    lq_task_fn task = t->task;
    void *job_arg = t->arg;
    uint32_t tasks = t->tasks;

    seen = t->job;
    t->joined++;
    pthread_mutex_unlock(&t->lock);
    draw_tasks(t, tasks, task, job_arg);
    pthread_mutex_lock(&t->lock);
    if (--t->joined == 0)
      pthread_cond_signal(&t->left);
  }
  pthread_mutex_unlock(&t->lock);
  return NULL;
}

static bool start_members(team *t, unsigned wanted, fail *why)
{
  t->members = calloc(wanted + 1, sizeof *t->members);
  if (!t->members)
    return fail_memory(why, NULL);
  for (; t->count < wanted; t->count++) {
    int error = pthread_create(&t->members[t->count], NULL, member_run, t);

    if (error != 0)
      return fail_system(why, NULL, "start a thread", error);
  }
  return true;
}

bool team_create(team **out, unsigned threads, fail *why)
{
  team *t = calloc(1, sizeof *t);

  *out = NULL;
  if (!t)
    return fail_memory(why, NULL);
  if (threads == 0)
    threads = sys_processors();
  if (pthread_mutex_init(&t->lock, NULL) != 0) {
    free(t);
    return fail_memory(why, NULL);
  }
  if (pthread_cond_init(&t->wake, NULL) != 0 || pthread_cond_init(&t->left, NULL) != 0) {
    pthread_mutex_destroy(&t->lock);
    free(t);
    return fail_memory(why, NULL);
  }
  if (!start_members(t, threads - 1, why)) {
    team_destroy(t);
    return false;
  }
  *out = t;
  return true;
}

void team_destroy(team *t)
{
  if (!t)
    return;
  pthread_mutex_lock(&t->lock);
  t->stop = true;
  pthread_cond_broadcast(&t->wake);
  pthread_mutex_unlock(&t->lock);
  for (unsigned i = 0; i < t->count; i++)
    pthread_join(t->members[i], NULL);
  pthread_cond_destroy(&t->left);
  pthread_cond_destroy(&t->wake);
  pthread_mutex_destroy(&t->lock);
  free(t->members);
  free(t);
}

unsigned team_threads(const team *t)
{
  return t->count + 1;
}

void team_run(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  team *t = user;

  if (t->count == 0 || tasks < 2) {
    for (uint32_t i = 0; i < tasks; i++)
      task(arg, i);
    return;
  }
  pthread_mutex_lock(&t->lock);
  t->task = task;
  t->arg = arg;
  t->tasks = tasks;
  atomic_store(&t->next, 0);
  t->job++;
  pthread_cond_broadcast(&t->wake);
  pthread_mutex_unlock(&t->lock);
  draw_tasks(t, tasks, task, arg);
  pthread_mutex_lock(&t->lock);
  t->task = NULL;
  while (t->joined != 0)
    pthread_cond_wait(&t->left, &t->lock);
  pthread_mutex_unlock(&t->lock);
}

typedef struct rows_job {
  size_t rows, per_task;
  team_rows_fn work;
  void *arg;
} rows_job;

static void rows_task(void *arg, uint32_t i)
{
  const rows_job *j = arg;
  size_t first = i * j->per_task;
  size_t left = j->rows - first;

  j->work(j->arg, first, left < j->per_task ? left : j->per_task);
}

void team_rows(team *t, size_t rows, size_t per_task, team_rows_fn work, void *arg)
{
  rows_job job = {rows, per_task, work, arg};

  while (rows / job.per_task >= UINT32_MAX / 2)
    job.per_task *= 2;
  team_run(t, (uint32_t)((rows + job.per_task - 1) / job.per_task), rows_task, &job);
}
