/*
 * team.h - a fixed number of threads that share out independent tasks.
 *
 * Owns: the threads, asleep between calls. Must not know: what a task is. The library's parallel
 * work is handed to the same team (team_run is an lq_parallel_fn), so that no second set of threads
 * competes for the processors. Who does which task is left to chance; so a task writes to places of
 * its own, and results do not depend on the number of threads.
 */
#ifndef QUANT_MODEL_TEAM_H
#define QUANT_MODEL_TEAM_H

#include "../files/fail.h"

#include <libquant.h>

#include <stddef.h>
#include <stdint.h>

typedef struct team team;

/* `threads` counts the caller's, too; 0: as many as there are processors. */
bool team_create(team **out, unsigned threads, fail *why);
void team_destroy(team *t); /* NULL is fine */
unsigned team_threads(const team *t);

/* Runs task(arg, i) once for each i below `tasks`; returns when all have ended. One call at a time,
 * never from inside a task. */
void team_run(void *t, uint32_t tasks, lq_task_fn task, void *arg);

/* Runs work(arg, first, count) over pieces of `per_task` rows, the last one shorter, that together
 * are 0 .. rows - 1. */
typedef void (*team_rows_fn)(void *arg, size_t first, size_t count);
void team_rows(team *t, size_t rows, size_t per_task, team_rows_fn work, void *arg);

#endif
