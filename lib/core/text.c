/*
 * text.c - short texts built without stdio: error details and JSON.
 *
 * Owns: appending to a fixed buffer.
 * Must not know: what the text is about.
 */
#include "text.h"

#include "decimal.h"

void lqi_text_clear(struct lqi_text *t)
{
  t->length = 0;
  t->s[0] = '\0';
}

void lqi_text_add(struct lqi_text *t, const char *s)
{
  for (; *s != '\0' && t->length + 1 < sizeof t->s; s++)
    t->s[t->length++] = *s;
  t->s[t->length] = '\0';
}

void lqi_text_add_u64(struct lqi_text *t, uint64_t v)
{
  char digits[21], *p = digits + sizeof digits;
  *--p = '\0';
  do {
    *--p = (char)('0' + v % 10);
    v /= 10;
  } while (v != 0);
  lqi_text_add(t, p);
}

void lqi_text_add_double(struct lqi_text *t, double v)
{
  char digits[LQI_DOUBLE_TEXT];
  if (v != v) {
    lqi_text_add(t, "NaN");
  } else if (v - v != 0.0) {
    lqi_text_add(t, v > 0.0 ? "Infinity" : "-Infinity");
  } else {
    lqi_format_double(v, digits);
    lqi_text_add(t, digits);
  }
}

lq_status lqi_fail(struct lqi_text *t, lq_status status, const char *first, const char *second)
{
  lqi_text_clear(t);
  lqi_text_add(t, first);
  if (second != NULL)
    lqi_text_add(t, second);
  return status;
}
