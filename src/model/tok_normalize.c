/*
 * tok_normalize.c - the steps that change text before it is cut, and the byte-level alphabet.
 *
 * Owns: nothing. Must not know: JSON, tokens.
 */
#include "tok_parts.h"
#include "tok_unicode.h"

void tok_replace(const tok_step *s, const char *text, size_t length, buf *to)
{
  for (size_t at = 0; at < length;) {
    size_t found = tok_find(text, length, at, &s->pattern);
    buf_add(to, text + at, found - at);
    if (found == length)
      break;
    buf_add(to, s->content.bytes, s->content.length);
    at = found + s->pattern.length;
  }
}

bool tok_normalize(const tok_steps *s, const char **text, size_t *length, buf work[2])
{
  for (size_t i = 0; i < s->count; i++) {
    const tok_step *step = &s->items[i];
    buf *to = &work[i % 2]; /* the other one may hold the text */
    to->length = 0;
    if (step->kind == STEP_NFC) {
      if (!tok_nfc(*text, *length, to))
        return false;
    } else if (step->kind == STEP_REPLACE) {
      tok_replace(step, *text, *length, to);
    } else if (*length > 0) { /* STEP_PREPEND leaves no text as it is */
      buf_add(to, step->content.bytes, step->content.length);
      buf_add(to, *text, *length);
    }
    if (to->failed)
      return false;
    *text = to->length > 0 ? to->data : "";
    *length = to->length;
  }
  return true;
}

/* Printable bytes of Latin 1 stand for themselves; the 68 others have, in their order, U+0100 and
 * what follows it (bytes_to_unicode in encoder.py of GPT-2). */
static bool is_itself(uint32_t c) /* below 0x100 */
{
  return (c >= '!' && c <= '~') || (c >= 0xA1 && c != 0xAD);
}

/* How many below `c` are not themselves: 0x00-0x20 come first, then 0x7F-0xA0, then 0xAD. */
static uint32_t others_below(uint32_t c)
{
  return c <= 0x20 ? c : c <= 0xA0 ? 0x21 + (c - 0x7F) : 0x43;
}

uint32_t tok_byte_point(unsigned char byte)
{
  return is_itself(byte) ? byte : 0x100 + others_below(byte);
}

int tok_point_byte(uint32_t point)
{
  if (point < 0x100)
    return is_itself(point) ? (int)point : -1;
  uint32_t n = point - 0x100;
  return n <= 0x20 ? (int)n : n < 0x43 ? (int)(n - 0x21 + 0x7F) : n == 0x43 ? 0xAD : -1;
}
