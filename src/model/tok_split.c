/*
 * tok_split.c - cutting text into the pieces that BPE works on.
 *
 * Owns: the three regular expressions, as code; what becomes of matches. Must not know: tokens.
 *
 * Each of the expressions matches at every place of any text, so its matches lie side by side, and
 * one function for each says where the match that starts at a place ends. They are read from left
 * to right: the first alternative that matches counts, whatever its length.
 */
#include "tok_parts.h"
#include "tok_unicode.h"

#include "../files/utf8.h"

#include <string.h>

/* A text to match in. */
typedef struct subject {
  const char *text;
  size_t length;
} subject;

/* ASCII without the search in the table. */
static uint32_t ascii_classes(unsigned char c)
{
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
    return TOK_LETTER | TOK_WORD;
  if (c >= '0' && c <= '9')
    return TOK_NUMBER | TOK_WORD;
  if (c == ' ' || (c >= 9 && c <= 13))
    return TOK_SPACE;
  return c == '_' ? TOK_WORD : 0;
}

/* Classes of the character at `at`, which is before the end, and where the next one starts. */
static uint32_t classes_at(const subject *s, size_t at, size_t *next)
{
  uint32_t point;
  unsigned char first = (unsigned char)s->text[at];
  *next = at + 1;
  if (first < 0x80)
    return ascii_classes(first);
  *next = at + utf8_step(s->text + at, s->length - at, &point);
  return tok_classes(point);
}

/* The end of the run, from `at` on, of characters that have (or have not) one of `classes`; at most
 * `most` characters. */
static size_t run_end(const subject *s, size_t at, uint32_t classes, bool has, size_t most)
{
  size_t next;
  for (; at < s->length && most > 0; at = next, most--)
    if (((classes_at(s, at, &next) & classes) != 0) != has)
      break;
  return at;
}

enum { TOK_ANY = TOK_LETTER | TOK_NUMBER | TOK_SPACE };

/* 's|'t|'re|'ve|'m|'ll|'d at the apostrophe `at`: its end, or `at`. With `fold` in any case, and
 * then U+017F is an s too. */
static size_t contraction(const subject *s, size_t at, bool fold)
{
  static const char *const ends[] = {"s", "t", "re", "ve", "m", "ll", "d"};
  const char *after = s->text + at + 1;
  size_t left = s->length - at - 1;
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t n = strlen(ends[i]), k = 0;
    while (k < n && k < left && (after[k] | (fold && (after[k] & 0x40) ? 0x20 : 0)) == ends[i][k])
      k++;
    if (k == n)
      return at + 1 + n;
  }
  return fold && left >= 2 && memcmp(after, "\xC5\xBF", 2) == 0 ? at + 3 : at;
}

/* \s+(?!\S)|\s+ at a space: a run before other text leaves its last character, which often belongs
 * to the next word. */
static size_t space_end(const subject *s, size_t at)
{
  size_t end = run_end(s, at, TOK_SPACE, true, SIZE_MAX), last = end - 1;
  while (((unsigned char)s->text[last] & 0xC0) == 0x80)
    last--;
  return end == s->length || last == at ? end : last;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t gpt2_end(const subject *s, size_t at)
{
  size_t end = s->text[at] == '\'' ? contraction(s, at, false) : at, next;
  if (end > at)
    return end;
  size_t word = s->text[at] == ' ' && at + 1 < s->length ? at + 1 : at;
  uint32_t c = classes_at(s, word, &next);
  if (c & TOK_LETTER)
    return run_end(s, next, TOK_LETTER, true, SIZE_MAX);
  if (c & TOK_NUMBER)
    return run_end(s, next, TOK_NUMBER, true, SIZE_MAX);
  if (!(c & TOK_SPACE))
    return run_end(s, next, TOK_ANY, false, SIZE_MAX);
  return space_end(s, at);
}

static bool is_newline(char c)
{
  return c == '\r' || c == '\n';
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 * \s*[\r\n]+|\s+(?!\S)|\s+, with `digits` instead of 3. */
static size_t llama3_end(const subject *s, size_t at, size_t digits)
{
  size_t end = s->text[at] == '\'' ? contraction(s, at, true) : at, next, after;
  if (end > at)
    return end;
  uint32_t c = classes_at(s, at, &next);
  if (c & TOK_NUMBER)
    return run_end(s, at, TOK_NUMBER, true, digits);
  if ((c & TOK_LETTER) ||
      (!is_newline(s->text[at]) && next < s->length && (classes_at(s, next, &after) & TOK_LETTER)))
    return run_end(s, next, TOK_LETTER, true, SIZE_MAX);
  size_t word = s->text[at] == ' ' ? at + 1 : at;
  end = run_end(s, word, TOK_ANY, false, SIZE_MAX);
  if (end > word) {
    while (end < s->length && is_newline(s->text[end]))
      end++;
    return end;
  }
  for (end = run_end(s, at, TOK_SPACE, true, SIZE_MAX); end > at; end--)
    if (is_newline(s->text[end - 1]))
      return end;
  return space_end(s, at);
}

/* ---- matches ---- */

size_t tok_find(const char *text, size_t length, size_t from, const tok_text *pattern)
{
  while (length - from >= pattern->length) {
    const char *found = memchr(text + from, pattern->bytes[0], length - from);
    if (found == NULL || (size_t)(text + length - found) < pattern->length)
      break;
    if (memcmp(found, pattern->bytes, pattern->length) == 0)
      return (size_t)(found - text);
    from = (size_t)(found - text) + 1;
  }
  return length;
}

/* The first match from `from` on, which is before the end; false when there is none. */
static bool next_match(const tok_step *step, const subject *s, size_t from, size_t *start,
                       size_t *end)
{
  *start = from;
  switch (step->match) {
  case MATCH_GPT2: *end = gpt2_end(s, from); return true;
  case MATCH_LLAMA3: *end = llama3_end(s, from, 3); return true;
  case MATCH_QWEN2: *end = llama3_end(s, from, 1); return true;
  case MATCH_NUMBER:
    *start = run_end(s, from, TOK_NUMBER, false, SIZE_MAX);
    *end = run_end(s, *start, TOK_NUMBER, true, 1);
    return *start < s->length;
  default:
    *start = tok_find(s->text, s->length, from, &step->pattern);
    *end = *start + step->pattern.length;
    return *start < s->length;
  }
}

/* ---- pieces ---- */

typedef struct splitter {
  const tok_step *step;
  const subject *s;
  tok_piece_fn piece;
  void *context;
  size_t start, end; /* what waits, because more may join it */
  bool match;        /* is it one? what joined others is the opposite of what may join it */
} splitter;

static bool give(splitter *p, size_t start, size_t end)
{
  return start == end || p->piece(p->context, p->s->text + start, end - start);
}

/* The next stretch of text, a match or not. */
static bool take(splitter *p, size_t start, size_t end, bool match)
{
  bool joins = false;
  match = match != p->step->invert;
  switch (p->step->behavior) {
  case SPLIT_REMOVED: return match || give(p, start, end);
  case SPLIT_ISOLATED: return give(p, start, end);
  case SPLIT_CONTIGUOUS: joins = match == p->match; break;
  case SPLIT_WITH_PREVIOUS: joins = match && !p->match; break;
  default: joins = !match && p->match; break; /* SPLIT_WITH_NEXT */
  }
  if (joins && p->start < p->end) {
    p->end = end;
    p->match = match;
    return true;
  }
  bool ok = give(p, p->start, p->end);
  p->start = start;
  p->end = end;
  p->match = match;
  return ok;
}

bool tok_split(const tok_step *step, const char *text, size_t length, tok_piece_fn piece,
               void *context)
{
  subject s = {.text = text, .length = length};
  splitter p = {.step = step, .s = &s, .piece = piece, .context = context};
  size_t at = 0, start, end;
  while (at < length && next_match(step, &s, at, &start, &end)) {
    if ((start > at && !take(&p, at, start, false)) || !take(&p, start, end, true))
      return false;
    at = end;
  }
  return (at == length || take(&p, at, length, false)) && give(&p, p.start, p.end);
}
