/* units.c - see units.h. */
#include "units.h"

#include <stddef.h>
#include <stdio.h>

/* Three digits that count: 1.50, 12.3, 123. */
static const char *scaled(char *out, double value, double step, const char *const *units)
{
  int i = 0;
  while (value >= 999.5 && units[i + 1] != NULL) {
    value /= step;
    i++;
  }
  int after = i == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  snprintf(out, UNITS_TEXT, "%.*f %s", after, value, units[i]);
  return out;
}

const char *units_bytes(char out[UNITS_TEXT], uint64_t bytes)
{
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", NULL};
  return scaled(out, (double)bytes, 1024, units);
}

const char *units_rate(char out[UNITS_TEXT], double bytes, double seconds)
{
  static const char *const units[] = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s", NULL};
  if (!(seconds > 0)) {
    snprintf(out, UNITS_TEXT, "-");
    return out;
  }
  return scaled(out, bytes / seconds, 1000, units);
}

const char *units_count(char out[UNITS_TEXT], uint64_t count)
{
  char digits[24];
  int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
  char *to = out;
  for (int i = 0; i < n; i++) {
    if (i > 0 && (n - i) % 3 == 0)
      *to++ = ',';
    *to++ = digits[i];
  }
  *to = 0;
  return out;
}

const char *units_time(char out[UNITS_TEXT], double seconds)
{
  if (!(seconds >= 0 && seconds < 1e9)) {
    snprintf(out, UNITS_TEXT, "-");
  } else if (seconds < 59.95) {
    snprintf(out, UNITS_TEXT, seconds < 9.995 ? "%.2f s" : "%.1f s", seconds);
  } else {
    unsigned long whole = (unsigned long)(seconds + 0.5);
    unsigned long hours = whole / 3600, minutes = whole / 60 % 60;
    if (hours > 0)
      snprintf(out, UNITS_TEXT, "%lu:%02lu:%02lu", hours, minutes, whole % 60);
    else
      snprintf(out, UNITS_TEXT, "%lu:%02lu", minutes, whole % 60);
  }
  return out;
}
