/* utf8.c - see utf8.h. */
#include "utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

size_t utf8_read(const char *at, size_t left, uint32_t *point)
{
  static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000}; /* below: an overlong form */
  unsigned char first = (unsigned char)at[0];
  size_t length = first < 0x80 ? 1 : first < 0xC0 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (length == 0 || first > 0xF7 || length > left)
    return 0;
  uint32_t c = length == 1 ? first : first & (0x7FU >> length);
  for (size_t i = 1; i < length; i++) {
    unsigned char next = (unsigned char)at[i];
    if ((next & 0xC0) != 0x80)
      return 0;
    c = c << 6 | (next & 0x3FU);
  }
  if (c < least[length] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
    return 0;
  *point = c;
  return length;
}

size_t utf8_step(const char *at, size_t left, uint32_t *point)
{
  size_t length = utf8_read(at, left, point);
  if (length > 0)
    return length;
  *point = 0xFFFD;
  return 1;
}

size_t utf8_write(char *to, uint32_t point)
{
  size_t length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = length - 1; i > 0; i--) {
    to[i] = (char)(0x80 | (point & 0x3F));
    point >>= 6;
  }
  to[0] = (char)(lead[length] | point);
  return length;
}

size_t utf8_check(const char *text, size_t length)
{
  size_t i = 0;
  while (i < length) {
    uint32_t point;
    size_t n = utf8_read(text + i, length - i, &point);
    if (n == 0)
      return i;
    i += n;
  }
  return length;
}

/* C0, DEL, C1, line separators, and the marks that reorder the text around them. */
static bool is_control(uint32_t c)
{
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x2028 && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069);
}

/* The printable form of the character at `from`; returns its length, `*take` bytes were read. */
static size_t printable(char piece[24], const char *from, size_t left, size_t *take)
{
  uint32_t point = 0;
  *take = utf8_read(from, left, &point);
  if (*take > 0 && !is_control(point)) {
    memcpy(piece, from, *take);
    return *take;
  }
  if (*take > 0 && point == '\n') {
    memcpy(piece, "\\n", 2);
    return 2;
  }
  *take = *take > 0 ? *take : 1;
  for (size_t i = 0; i < *take; i++)
    snprintf(piece + 4 * i, 5, "\\x%02x", (unsigned)(unsigned char)from[i]);
  return 4 * *take;
}

void utf8_printable(char *to, size_t room, const char *from)
{
  size_t used = 0, left = strlen(from), cut = 0;
  while (left > 0) {
    char piece[24];
    size_t take, size = printable(piece, from, left, &take);
    if (used + size >= room) { /* back to where the dots fit */
      strcpy(to + cut, "...");
      return;
    }
    memcpy(to + used, piece, size);
    used += size;
    if (used + 3 < room)
      cut = used;
    from += take;
    left -= take;
  }
  to[used] = 0;
}

size_t utf8_columns(const char *text)
{
  size_t n = 0;
  for (; *text != 0; text++)
    n += ((unsigned char)*text & 0xC0) != 0x80;
  return n;
}
