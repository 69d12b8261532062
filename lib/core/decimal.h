/*
 * decimal.h - doubles as decimal text and back, exactly.
 *
 * Owns: the two conversions that quant_state JSON needs. The C library's follow the locale of the
 * process, where a decimal comma would break the file; these do not.
 * Must not know: JSON.
 */
#ifndef LQI_DECIMAL_H
#define LQI_DECIMAL_H

#include "base.h"

/* Room for any result of lqi_format_double and its NUL. */
#define LQI_DOUBLE_TEXT 32

/*
 * The shortest decimal that reads back as the same double, written as Python's repr: "0.5", "1.0",
 * "1e-05", "1.5e+16", "nan", "inf". Returns its length.
 */
size_t lqi_format_double(double x, char *out);

/*
 * Reads [-]digits[.digits][(e|E)[+|-]digits], the whole of s[0..n), to the nearest double, ties to
 * even. Digits past the 40th significant one count as zero. Returns 0 if the text is not such a
 * number.
 */
int lqi_parse_double(const char *s, size_t n, double *out);

#endif
