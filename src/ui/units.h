/*
 * units.h - numbers as people read them. Owns: rounding and unit names. Must not know: where the
 * text goes.
 */
#ifndef QUANT_UI_UNITS_H
#define QUANT_UI_UNITS_H

#include <stdint.h>

enum { UNITS_TEXT = 32 };

const char *units_bytes(char out[UNITS_TEXT], uint64_t bytes); /* "512 B", "1.50 MiB", "12.3 GiB" */
/* Powers of 1000, as storage and memory makers count: "1.25 GB/s". */
const char *units_rate(char out[UNITS_TEXT], double bytes, double seconds);
const char *units_count(char out[UNITS_TEXT], uint64_t count); /* "27,795,968" */
const char *units_time(char out[UNITS_TEXT], double seconds);  /* "0.42 s", "12.0 s", "2:03:05" */

#endif
