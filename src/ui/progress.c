/* progress.c - see progress.h. */
#include "progress.h"

#include "../files/system.h"
#include "../files/utf8.h"
#include "units.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_COLUMNS = 240, BAR = 24, RATE_TEXT = UNITS_TEXT + 32 };

static const double pause_between = 0.1; /* seconds; faster is not seen and costs the terminal */

/* The holder of the flag may write to the terminal. Held for one short line at a time. */
static void lock(progress *p)
{
  while (atomic_flag_test_and_set(&p->drawing))
    continue;
}

static void unlock(progress *p)
{
  atomic_flag_clear(&p->drawing);
}

static void erase(progress *p)
{
  if (p->visible)
    fputs("\r\033[K", stderr);
  p->visible = false;
}

static void rate_text(const progress *p, char out[RATE_TEXT], uint64_t done, double spent)
{
  char text[UNITS_TEXT];
  if (p->unit == NULL)
    snprintf(out, RATE_TEXT, "%s", units_rate(text, (double)done, spent));
  else
    snprintf(out, RATE_TEXT, "%s %s/s",
             units_count(text, spent > 0 ? (uint64_t)((double)done / spent) : 0), p->unit);
}

static void draw(progress *p, double at)
{
  char bar[BAR + 1], rate[RATE_TEXT], left[UNITS_TEXT], line[LINE_MAX_COLUMNS + 512];
  uint64_t done = atomic_load(&p->done);
  double part = p->total > 0 ? (double)done / (double)p->total : 0, spent = at - p->started;
  part = part < 1 ? part : 1;
  int full = (int)(part * BAR);
  memset(bar, '#', (size_t)full);
  memset(bar + full, '.', (size_t)(BAR - full));
  bar[BAR] = 0;
  rate_text(p, rate, done, spent);
  units_time(left, part > 0 ? spent * (1 - part) / part : -1);
  snprintf(line, sizeof line, "%.60s [%s] %3.0f%%  %s  %s left  %s", p->title, bar, 100 * part,
           rate, left, p->item);
  /* One column less than the terminal has: a full line would wrap. Cut between characters. */
  char *end = line;
  int width = sys_terminal_columns();
  for (int columns = (width < LINE_MAX_COLUMNS ? width : LINE_MAX_COLUMNS) - 1; *end != 0; end++)
    if (((unsigned char)*end & 0xC0) != 0x80 && columns-- <= 0)
      break;
  *end = 0;
  fprintf(stderr, "\r%s\033[K", line);
  fflush(stderr);
  p->visible = true;
  p->drawn = at;
}

void progress_start(progress *p, const char *title, uint64_t total_bytes, bool quiet)
{
  p->way = quiet ? PROGRESS_QUIET : sys_terminal_columns() > 0 ? PROGRESS_BAR : PROGRESS_LINES;
  p->title = title;
  p->unit = NULL;
  p->total = total_bytes;
  atomic_init(&p->done, 0);
  atomic_flag_clear(&p->drawing);
  p->started = sys_seconds();
  p->drawn = 0;
  p->item[0] = 0;
  p->visible = false;
}

void progress_unit(progress *p, const char *unit)
{
  p->unit = unit;
}

void progress_item(progress *p, const char *name)
{
  if (p->way != PROGRESS_BAR)
    return;
  lock(p);
  utf8_printable(p->item, sizeof p->item, name);
  unlock(p);
  progress_add(p, 0);
}

void progress_add(progress *p, uint64_t bytes)
{
  atomic_fetch_add(&p->done, bytes);
  if (p->way != PROGRESS_BAR || atomic_flag_test_and_set(&p->drawing))
    return; /* another thread is drawing right now */
  double at = sys_seconds();
  if (at - p->drawn >= pause_between)
    draw(p, at);
  unlock(p);
}

void progress_note(progress *p, const char *format, ...)
{
  char raw[512], text[512];
  va_list list;
  if (p->way == PROGRESS_QUIET)
    return;
  va_start(list, format);
  vsnprintf(raw, sizeof raw, format, list);
  va_end(list);
  utf8_printable(text, sizeof text, raw);
  lock(p);
  erase(p);
  fprintf(stderr, "%s\n", text);
  unlock(p);
}

void progress_finish(progress *p)
{
  lock(p);
  erase(p);
  fflush(stderr);
  unlock(p);
}
