/*
 * progress.h - what a long job shows on standard error.
 *
 * Owns: the one line it redraws. Must not know: the job. Three ways: a terminal gets a bar
 * (percent, rate, time left, current tensor) at most ten times a second; otherwise a line for each
 * finished shard; quiet gets nothing. The struct is the caller's; its fields are the module's.
 *
 *     progress p; progress_start(&p, "quantizing", total_bytes, quiet);
 *     progress_item(&p, name); progress_add(&p, bytes); ...
 *     progress_note(&p, "%s: 12 tensors", shard);
 *     progress_finish(&p);      also on failure, before the error is printed: it clears the line
 */
#ifndef QUANT_UI_PROGRESS_H
#define QUANT_UI_PROGRESS_H

#include "../files/fail.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum progress_way { PROGRESS_QUIET, PROGRESS_LINES, PROGRESS_BAR } progress_way;

typedef struct progress {
  progress_way way;
  const char *title;
  const char *unit; /* "tokens"; NULL: bytes */
  uint64_t total;
  _Atomic uint64_t done;
  atomic_flag drawing; /* whoever holds it draws; the others go on */
  double started, drawn;
  char item[160];
  bool visible; /* a bar is on the screen */
} progress;

/* `title` must live as long as `p`. Chooses the way: quiet, else a bar when standard error is a
 * terminal, else lines. */
void progress_start(progress *p, const char *title, uint64_t total_bytes, bool quiet);

/* Counts something else than bytes, "tokens", and shows it as "1,234 tokens/s". Before the first
 * progress_add; the text must live as long as `p`. */
void progress_unit(progress *p, const char *unit);

/* The tensor that is being worked on; the text is copied. Any thread. */
void progress_item(progress *p, const char *name);

/* So many more input bytes are done. Any thread. */
void progress_add(progress *p, uint64_t bytes);

/* A line that stays, for a finished shard: above the bar on a terminal, plain otherwise, nothing
 * when quiet. */
void progress_note(progress *p, const char *format, ...) FAIL_PRINTF(2, 3);

/* Removes the bar. */
void progress_finish(progress *p);

#endif
