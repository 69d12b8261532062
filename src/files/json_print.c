/*
 * json_print.c - JSON text: the printer, and a document written through it.
 *
 * Owns: commas, indentation, escapes, the text of a double. The layout is that of Python's
 * json.dumps, so that a file that passes through the tool unchanged keeps its bytes.
 */
#include "json_doc.h"

#include "utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRINT_DEPTH_MAX = 63 };

static void unicode_escape(buf *to, uint32_t c)
{
  if (c >= 0x10000)
    buf_printf(to, "\\u%04x\\u%04x", 0xD800 + (unsigned)((c - 0x10000) >> 10),
               0xDC00 + (unsigned)((c - 0x10000) & 0x3FF));
  else
    buf_printf(to, "\\u%04x", (unsigned)c);
}

void json_quote(buf *to, const char *text, size_t length, bool ascii)
{
  static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
  buf_byte(to, '"');
  for (size_t i = 0; i < length;) {
    uint32_t c;
    size_t n = utf8_read(text + i, length - i, &c);
    const char *found = n == 1 && c != 0 ? strchr(plain, text[i]) : NULL;
    if (n == 0) {
      unicode_escape(to, 0xFFFD);
      n = 1;
    } else if (found != NULL) {
      buf_byte(to, '\\');
      buf_byte(to, letter[found - plain]);
    } else if (c < 0x20 || (ascii && c >= 0x7F)) {
      unicode_escape(to, c);
    } else {
      buf_add(to, text + i, n);
    }
    i += n;
  }
  buf_byte(to, '"');
}

void json_f64_text(char out[32], double value)
{
  char shortest[32]; /* d.ddde+XX with the fewest digits that read back as the same value */
  if (!isfinite(value)) {
    strcpy(out, "null");
    return;
  }
  int digits = 0;
  snprintf(shortest, sizeof shortest, "%.0e", value);
  while (digits < 16 && strtod(shortest, NULL) != value)
    snprintf(shortest, sizeof shortest, "%.*e", ++digits, value);
  char *e = strchr(shortest, 'e');
  int exponent = (int)strtol(e + 1, NULL, 10);
  digits = (int)(e - shortest) - (shortest[0] == '-');
  digits -= digits > 1; /* the point */
  if (exponent < -4 || exponent >= 16) {
    strcpy(out, shortest);
    return;
  }
  int after = digits - 1 - exponent;
  snprintf(out, 32, "%.*f", after < 1 ? 1 : after, value);
}

/* ---- printer ---- */

static void new_line(json_printer *p)
{
  if (p->indent > 0) {
    buf_byte(p->to, '\n');
    buf_fill(p->to, ' ', (size_t)p->indent * p->depth);
  }
}

/* What stands before a value: comma, line, name. */
static void item(json_printer *p, const char *name, size_t length)
{
  uint64_t level = (uint64_t)1 << p->depth;
  if (p->depth > 0) {
    if (p->has_items & level)
      buf_byte(p->to, ',');
    new_line(p);
  }
  p->has_items |= level;
  if (name != NULL) {
    json_quote(p->to, name, length, p->ascii);
    buf_text(p->to, p->indent > 0 ? ": " : ":");
  }
}

static void raw(json_printer *p, const char *name, const char *text)
{
  item(p, name, name != NULL ? strlen(name) : 0);
  buf_text(p->to, text);
}

/* After the bracket was written. */
static void deeper(json_printer *p)
{
  if (p->depth == PRINT_DEPTH_MAX) {
    p->to->failed = true;
    return;
  }
  p->depth++;
  p->has_items &= ~((uint64_t)1 << p->depth);
}

void json_begin(json_printer *p, const char *name, char bracket)
{
  item(p, name, name != NULL ? strlen(name) : 0);
  buf_byte(p->to, bracket);
  deeper(p);
}

void json_end(json_printer *p, char bracket)
{
  bool items = (p->has_items >> p->depth & 1) != 0;
  if (p->depth > 0)
    p->depth--;
  if (items)
    new_line(p);
  buf_byte(p->to, bracket);
}

void json_print_string(json_printer *p, const char *name, const char *text)
{
  item(p, name, name != NULL ? strlen(name) : 0);
  json_quote(p->to, text, strlen(text), p->ascii);
}

void json_print_i64(json_printer *p, const char *name, int64_t value)
{
  char text[24];
  snprintf(text, sizeof text, "%" PRId64, value);
  raw(p, name, text);
}

void json_print_u64(json_printer *p, const char *name, uint64_t value)
{
  char text[24];
  snprintf(text, sizeof text, "%" PRIu64, value);
  raw(p, name, text);
}

void json_print_u64s(json_printer *p, const char *name, const uint64_t *values, size_t count)
{
  json_begin(p, name, '[');
  for (size_t i = 0; i < count; i++)
    json_print_u64(p, NULL, values[i]);
  json_end(p, ']');
}

void json_print_f64(json_printer *p, const char *name, double value)
{
  char text[32];
  json_f64_text(text, value);
  raw(p, name, text);
}

void json_print_bool(json_printer *p, const char *name, bool value)
{
  raw(p, name, value ? "true" : "false");
}

void json_print_null(json_printer *p, const char *name)
{
  raw(p, name, "null");
}

/* ---- a document ---- */

/* Prints one value, of a container only its bracket. */
static void print_value(json_printer *p, const json_doc *d, json_id member, json_id v)
{
  size_t name_length, length;
  const char *name = json_text(d, member, &name_length);
  const char *text = json_text(d, v, &length);
  item(p, name, name_length);
  switch (json_kind_of(d, v)) {
  case JSON_NONE:
  case JSON_NULL: buf_text(p->to, "null"); break;
  case JSON_FALSE: buf_text(p->to, "false"); break;
  case JSON_TRUE: buf_text(p->to, "true"); break;
  case JSON_NUMBER: buf_add(p->to, text, length); break;
  case JSON_STRING: json_quote(p->to, text, length, p->ascii); break;
  case JSON_ARRAY: buf_byte(p->to, '['); break;
  default: buf_byte(p->to, '{'); break; /* JSON_OBJECT */
  }
}

bool json_write(const json_doc *d, buf *to, bool ascii, fail *why)
{
  json_printer p = {.to = to, .indent = 2, .ascii = ascii};
  json_id open[PRINT_DEPTH_MAX + 1], next[PRINT_DEPTH_MAX + 1]; /* by depth: container, its rest */
  open[0] = 0;
  next[0] = json_root(d);
  for (;;) {
    json_id m = next[p.depth];
    if (m == 0) {
      if (p.depth == 0)
        break;
      json_end(&p, json_kind_of(d, open[p.depth]) == JSON_ARRAY ? ']' : '}');
      continue;
    }
    bool member = json_kind_of(d, open[p.depth]) == JSON_OBJECT;
    json_id v = member ? json_value(d, m) : m;
    next[p.depth] = p.depth == 0 ? 0 : json_next(d, m);
    print_value(&p, d, member ? m : 0, v);
    if (json_kind_of(d, v) == JSON_ARRAY || json_kind_of(d, v) == JSON_OBJECT) {
      if (p.depth == PRINT_DEPTH_MAX)
        return fail_set(why, FAIL_LIMIT, d->file, "JSON nested deeper than %d levels",
                        PRINT_DEPTH_MAX);
      deeper(&p);
      open[p.depth] = v;
      next[p.depth] = json_first(d, v);
    }
  }
  buf_byte(to, '\n');
  if (d->failed || to->failed)
    return fail_memory(why, d->file);
  return true;
}
