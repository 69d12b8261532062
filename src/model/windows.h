/*
 * windows.h - how a text of tokens is cut for perplexity, and which tokens are scored.
 *
 * Owns: the conventions, by name and in words. Figures of different conventions cannot be compared,
 * so a result always carries its own. Must not know: networks, files.
 */
#ifndef QUANT_MODEL_WINDOWS_H
#define QUANT_MODEL_WINDOWS_H

#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct window {
  size_t begin, length; /* tokens of the text */
  size_t first;         /* place in the window of the first one that is scored, at least 1 */
  double weight;        /* in means over windows */
} window;

enum { WINDOWS_WORDS = 240 };

typedef struct window_list {
  window *at;
  size_t count, scored;
  char words[WINDOWS_WORDS]; /* one line: "disjoint windows of 1024 tokens ..." */
} window_list;

extern const char *const windows_conventions[]; /* NULL-terminated; the first is the usual one */

/* The usual length of a window for a model of so many positions. */
size_t windows_length(const char *convention, uint64_t max_positions);

/* `most`: only the first so many, 0: all. `stride`: of overlapping windows. `text` is for messages,
 * of which a text too short for one window gets one. */
bool windows_make(window_list *out, const char *convention, size_t tokens, size_t length,
                  size_t stride, size_t most, const char *text, fail *why);
void windows_free(window_list *l); /* zeros are fine */

/* Mean of values[i] - minus[i] (`minus` may be NULL) over the first `count` windows by weight, and
 * its standard error, taken over windows, as tokens of one window are not independent; NaN with a
 * single window. */
typedef struct windows_mean {
  double mean, error;
} windows_mean;
windows_mean windows_average(const window_list *l, const double *values, const double *minus,
                             size_t count);

#endif
