/*
 * text.h - short texts built without stdio: error details and JSON.
 *
 * Owns: appending to a fixed buffer. The locale of the process cannot change a digit or a decimal
 * point.
 * Must not know: what the text is about.
 */
#ifndef LQI_TEXT_H
#define LQI_TEXT_H

#include "base.h"

/* Always ends with NUL; what does not fit is dropped, so errors may be long-winded but never
 * overrun. */
struct lqi_text {
  uint32_t length;
  char s[508];
};

void lqi_text_clear(struct lqi_text *t);
void lqi_text_add(struct lqi_text *t, const char *s);
void lqi_text_add_u64(struct lqi_text *t, uint64_t v);

/* As Python's json writes it: the shortest decimal that reads back as the same double; "NaN",
 * "Infinity", "-Infinity". */
void lqi_text_add_double(struct lqi_text *t, double v);

/* Clears, joins the strings up to the closing NULL, and returns `status`, so that a failing
 * function can end with it. */
lq_status lqi_fail(struct lqi_text *t, lq_status status, const char *first, const char *second);

#endif
