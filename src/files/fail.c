/* fail.c - see fail.h. */
#include "fail.h"

#include "system.h"
#include "utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What is wrong with a file has its kind in the line; the other kinds speak for themselves. */
static const char *kind_word(fail_kind kind)
{
  switch (kind) {
  case FAIL_TRUNCATED: return "truncated: ";
  case FAIL_FORMAT: return "format: ";
  case FAIL_LIMIT: return "limit: ";
  case FAIL_OVERFLOW: return "overflow: ";
  case FAIL_UNSUPPORTED: return "unsupported: ";
  default: return "";
  }
}

bool fail_set(fail *why, fail_kind kind, const char *file, const char *format, ...)
{
  if (why == NULL)
    return false;
  char raw[FAIL_TEXT] = "";
  if (file != NULL)
    snprintf(raw, sizeof raw, "%s: %s", file, kind_word(kind));
  size_t used = strlen(raw);
  va_list list;
  va_start(list, format);
  int n = vsnprintf(raw + used, sizeof raw - used, format, list);
  va_end(list);
  why->kind = kind;
  why->detail = 0;
  if (n < 0 || (size_t)n >= sizeof raw - used)
    strcpy(raw + sizeof raw - 4, "...");
  utf8_printable(why->text, sizeof why->text, raw);
  return false;
}

void fail_add(fail *why, const char *format, ...)
{
  char more[FAIL_TEXT];
  va_list list;
  size_t used = strlen(why->text);
  va_start(list, format);
  if (sizeof why->text - used >= 8 && vsnprintf(more, sizeof more, format, list) > 0)
    utf8_printable(why->text + used, sizeof why->text - used, more);
  va_end(list);
}

bool fail_system(fail *why, const char *file, const char *what, int error)
{
  char reason[128] = "unknown error";
  sys_error_text(reason, sizeof reason, error);
  fail_kind kind = error == ENOMEM ? FAIL_NOMEM : error == EEXIST ? FAIL_EXISTS : FAIL_IO;
  fail_set(why, kind, file, "cannot %s: %s", what, reason);
  if (why != NULL)
    why->detail = error;
  return false;
}

const char *fail_kind_name(fail_kind kind)
{
  static const char *const names[] = {"NONE",        "TRUNCATED", "FORMAT",     "LIMIT", "OVERFLOW",
                                      "UNSUPPORTED", "DATA",      "IO",         "NOMEM", "EXISTS",
                                      "NOTFOUND",    "USAGE",     "INTERRUPTED"};
  return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "?";
}

int fail_exit_status(const fail *why)
{
  switch (why->kind) {
  case FAIL_NONE: return 0;
  case FAIL_USAGE: return 2;
  case FAIL_INTERRUPTED: return 128 + why->detail;
  default: return 1;
  }
}
