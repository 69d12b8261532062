/*
 * buf.h - a growing byte string.
 *
 * Owns: its memory. Must not know: what the bytes mean. A failed allocation sticks in `failed` and
 * later additions do nothing, so a writer checks once at its end. Start from zeros: `buf b = {0};`.
 * One thread at a time.
 */
#ifndef QUANT_FILES_BUF_H
#define QUANT_FILES_BUF_H

#include "fail.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct buf {
  char *data; /* `length` bytes and a NUL after them; NULL while nothing was added */
  size_t length;
  size_t capacity;
  bool failed;
} buf;

void buf_add(buf *b, const void *bytes, size_t length);
void buf_text(buf *b, const char *text);
void buf_byte(buf *b, char byte);
void buf_fill(buf *b, char byte, size_t count);
void buf_printf(buf *b, const char *format, ...) FAIL_PRINTF(2, 3);
void buf_free(buf *b); /* back to zeros */

#endif
