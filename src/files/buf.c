/* buf.c - see buf.h. */
#include "buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and a NUL; false (and sticky) when there is none. */
static bool grow(buf *b, size_t more)
{
  if (b->failed)
    return false;
  if (more < b->capacity - b->length)
    return true;
  size_t want = b->capacity < 64 ? 64 : b->capacity;
  while (want - b->length <= more) {
    if (want > SIZE_MAX / 2) { /* GCOVR_EXCL_START: half of the address space */
      b->failed = true;
      return false;
    } /* GCOVR_EXCL_STOP */
    want *= 2;
  }
  char *data = realloc(b->data, want);
  if (data == NULL) {
    b->failed = true;
    return false;
  }
  b->data = data;
  b->capacity = want;
  return true;
}

void buf_add(buf *b, const void *bytes, size_t length)
{
  if (!grow(b, length))
    return;
  if (length > 0)
    memcpy(b->data + b->length, bytes, length);
  b->length += length;
  b->data[b->length] = 0;
}

void buf_text(buf *b, const char *text)
{
  buf_add(b, text, strlen(text));
}

void buf_byte(buf *b, char byte)
{
  buf_add(b, &byte, 1);
}

void buf_fill(buf *b, char byte, size_t count)
{
  if (!grow(b, count))
    return;
  memset(b->data + b->length, byte, count);
  b->length += count;
  b->data[b->length] = 0;
}

void buf_printf(buf *b, const char *format, ...)
{
  va_list list, again;
  va_start(list, format);
  va_copy(again, list);
  int n = vsnprintf(NULL, 0, format, list);
  if (n < 0) {
    b->failed = true;
  } else if (grow(b, (size_t)n)) {
    vsnprintf(b->data + b->length, (size_t)n + 1, format, again);
    b->length += (size_t)n;
  }
  va_end(again);
  va_end(list);
}

void buf_free(buf *b)
{
  free(b->data);
  *b = (buf){0};
}
