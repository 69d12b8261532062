/*
 * limits.h - how fast this machine reads and writes memory, and multiplies.
 *
 * Owns: the loops. Must not know: the library. A kernel that moves B bytes cannot take less time
 * than these loops take for the same bytes; what it reaches of that is the figure worth telling.
 */
#ifndef QUANT_COMMANDS_LIMITS_H
#define QUANT_COMMANDS_LIMITS_H

#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes a second, or operations, all threads together. */
typedef struct limits {
  double read_one, read_four;         /* one stream a thread; four with prefetch */
  double write_plain, write_streamed; /* through the caches; past them where that exists */
  double copy;                        /* bytes read and written */
  double f32, i8, bf16;               /* operations a second: fused f32, 8-bit integers, bf16 */
} limits;

/* Runs each loop over `bytes` of memory with `threads` threads, at least three times and for about
 * `seconds`, and keeps the best. */
bool limits_measure(limits *out, size_t bytes, unsigned threads, double seconds, bool huge,
                    fail *why);

double limits_read(const limits *l); /* the better of both */
double limits_write(const limits *l);

#endif
