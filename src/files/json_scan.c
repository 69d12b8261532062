/* json_scan.c - see json_scan.h. */
#include "json_scan.h"

#include "utf8.h"

#include <string.h>

/* What must come next. */
enum { VALUE, NAME, FIRST, AFTER };

bool json_scan_fails(const json_scan *s, uint32_t at, fail_kind kind, const char *text)
{
  return fail_set(s->why, kind, s->file, "byte %llu: %s", (unsigned long long)(s->base + at), text);
}

static bool bad_at(json_scan *s, size_t at, fail_kind kind, const char *text)
{
  return json_scan_fails(s, (uint32_t)at, kind, text);
}

static bool bad(json_scan *s, const char *text)
{
  return bad_at(s, s->at, FAIL_FORMAT, s->at < s->length ? text : "the JSON text ends early");
}

/* The character at the read position; NUL, which the grammar never takes, at the end. */
static char peek(const json_scan *s)
{
  return s->at < s->length ? s->text[s->at] : 0;
}

static void skip_space(json_scan *s)
{
  while (peek(s) == ' ' || peek(s) == '\n' || peek(s) == '\r' || peek(s) == '\t')
    s->at++;
}

/* ---- strings ---- */

static bool hex4(json_scan *s, uint32_t *out)
{
  *out = 0;
  for (int i = 0; i < 4; i++, s->at++) {
    char c = peek(s);
    uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
    if (digit > 15)
      return bad(s, "\\u needs four hexadecimal digits");
    *out = *out << 4 | digit;
  }
  return true;
}

/* After "\u": one character, from a pair of escapes when it is a surrogate. */
static bool unicode_escape(json_scan *s, size_t *to)
{
  uint32_t point, low;
  size_t start = s->at - 2;
  if (!hex4(s, &point))
    return false;
  if (point >= 0xD800 && point <= 0xDFFF) {
    if (point >= 0xDC00 || peek(s) != '\\' || s->at + 1 >= s->length || s->text[s->at + 1] != 'u')
      return bad_at(s, start, FAIL_FORMAT, "half of a surrogate pair");
    s->at += 2;
    if (!hex4(s, &low))
      return false;
    if (low < 0xDC00 || low > 0xDFFF)
      return bad_at(s, start, FAIL_FORMAT, "half of a surrogate pair");
    point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
  }
  *to += utf8_write(s->text + *to, point);
  return true;
}

/* After the backslash. */
static bool escape(json_scan *s, size_t *to)
{
  static const char from[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
  char c = peek(s);
  if (c == 'u') {
    s->at++;
    return unicode_escape(s, to);
  }
  const char *found = c != 0 ? strchr(from, c) : NULL;
  if (found == NULL)
    return bad(s, "not a JSON escape");
  s->text[(*to)++] = meaning[found - from];
  s->at++;
  return true;
}

/* Reads a string into `t`; the position is on its first quote. */
static bool string(json_scan *s, json_token *t)
{
  char *text = s->text;
  size_t start = s->at, to = start + 1;
  if (peek(s) != '"')
    return bad(s, "expected a string");
  s->at++;
  while (peek(s) != '"') {
    char c = peek(s);
    if ((unsigned char)c < 0x20)
      return bad(s, "control character in a string");
    s->at++;
    if (c != '\\')
      text[to++] = c;
    else if (!escape(s, &to))
      return false;
  }
  s->at++;
  text[to] = 0; /* on or before the closing quote */
  t->kind = JSON_STRING;
  t->text = text + start + 1;
  t->size = (uint32_t)(to - start - 1);
  return true;
}

/* ---- other values ---- */

static size_t digits(json_scan *s)
{
  size_t start = s->at;
  while (peek(s) >= '0' && peek(s) <= '9')
    s->at++;
  return s->at - start;
}

static bool number(json_scan *s, json_token *t)
{
  size_t start = s->at;
  if (peek(s) == '-')
    s->at++;
  if (peek(s) == '0')
    s->at++;
  else if (digits(s) == 0)
    return bad(s, "expected a digit");
  if (peek(s) >= '0' && peek(s) <= '9')
    return bad(s, "a number must not start with 0");
  if (peek(s) == '.') {
    s->at++;
    if (digits(s) == 0)
      return bad(s, "expected a digit");
  }
  if (peek(s) == 'e' || peek(s) == 'E') {
    s->at++;
    if (peek(s) == '+' || peek(s) == '-')
      s->at++;
    if (digits(s) == 0)
      return bad(s, "expected a digit");
  }
  t->kind = JSON_NUMBER;
  t->text = s->text + start;
  t->size = (uint32_t)(s->at - start);
  return true;
}

static bool word(json_scan *s, json_token *t, const char *text, json_kind kind)
{
  size_t n = strlen(text);
  if (s->length - s->at < n || memcmp(s->text + s->at, text, n) != 0)
    return bad(s, "expected a value");
  s->at += n;
  t->kind = kind;
  return true;
}

/* ---- tokens ---- */

/* Of the innermost container; there is one. */
static bool in_object(const json_scan *s)
{
  return (s->objects >> (s->depth - 1) & 1) != 0;
}

/* Name and colon. */
static bool name(json_scan *s, json_token *t)
{
  t->role = JSON_NAME;
  if (!string(s, t))
    return false;
  skip_space(s);
  if (peek(s) != ':')
    return bad(s, "expected ':'");
  s->at++;
  s->state = VALUE;
  return true;
}

static bool open_container(json_scan *s, json_token *t, bool object)
{
  if (s->depth == JSON_DEPTH_MAX)
    return bad_at(s, s->at, FAIL_LIMIT, "JSON nested deeper than 32 levels");
  t->role = JSON_OPEN;
  t->kind = object ? JSON_OBJECT : JSON_ARRAY;
  s->objects &= ~(UINT32_C(1) << s->depth);
  s->objects |= (uint32_t)object << s->depth;
  s->depth++;
  s->at++;
  s->state = FIRST;
  return true;
}

static bool value(json_scan *s, json_token *t)
{
  char c = peek(s);
  if (c == '{' || c == '[')
    return open_container(s, t, c == '{');
  t->role = JSON_VALUE;
  s->state = AFTER;
  switch (c) {
  case '"': return string(s, t);
  case 't': return word(s, t, "true", JSON_TRUE);
  case 'f': return word(s, t, "false", JSON_FALSE);
  case 'n': return word(s, t, "null", JSON_NULL);
  default: break;
  }
  if (c == '-' || (c >= '0' && c <= '9'))
    return number(s, t);
  return bad(s, "expected a value");
}

/* The end of the innermost container, if it is there: then `t` is it. */
static bool closes(json_scan *s, json_token *t)
{
  bool object = in_object(s);
  if (peek(s) != (object ? '}' : ']'))
    return false;
  t->role = JSON_CLOSE;
  t->kind = object ? JSON_OBJECT : JSON_ARRAY;
  s->at++;
  s->depth--;
  s->state = AFTER;
  return true;
}

bool json_scan_next(json_scan *s, json_token *t)
{
  skip_space(s);
  *t = (json_token){.role = JSON_END, .at = (uint32_t)s->at};
  if (s->state == AFTER && s->depth == 0) {
    if (s->at < s->length)
      return bad(s, "text after the JSON value");
    return true;
  }
  if (s->state == FIRST || s->state == AFTER) {
    if (closes(s, t))
      return true;
    if (s->state == AFTER) {
      if (peek(s) != ',')
        return bad(s, in_object(s) ? "expected ',' or '}'" : "expected ',' or ']'");
      s->at++;
      skip_space(s);
      t->at = (uint32_t)s->at;
    }
    s->state = in_object(s) ? NAME : VALUE;
  }
  return s->state == NAME ? name(s, t) : value(s, t);
}

bool json_scan_skip(json_scan *s)
{
  unsigned depth = s->depth;
  json_token t;
  while (s->depth >= depth)
    if (!json_scan_next(s, &t))
      return false;
  return true;
}

/* ---- looks ahead ---- */

/* A look at the text before any memory is asked for: an upper bound of the number of values and
 * names and one more (each but the first follows one of , : [ { outside of strings), and how many
 * brackets stay open, so that a text cut short is told from one nested too deep. Where none does, a
 * value has a byte of its own and a comma or a closing bracket, whatever else is in the text. */
static size_t count_values(const char *text, size_t length, size_t *open)
{
  size_t count = 3;
  bool quoted = false;
  *open = 0;
  for (size_t i = 0; i < length; i++) {
    char c = text[i];
    if (c == '"') {
      quoted = !quoted;
    } else if (quoted) {
      i += c == '\\';
    } else if (c == '[' || c == '{') {
      count++;
      ++*open;
    } else if (c == ',' || c == ':') {
      count++;
    } else if ((c == ']' || c == '}') && *open > 0) {
      --*open;
    }
  }
  return count < length / 2 + 2 ? count : length / 2 + 2;
}

bool json_scan_start(json_scan *s, char *text, size_t length, const char *file, uint64_t base,
                     size_t *values, fail *why)
{
  size_t open, count, valid;
  *s = (json_scan){
      .text = text, .length = length, .file = file, .base = base, .state = VALUE, .why = why};
  if (length > JSON_BYTES_MAX)
    return bad_at(s, 0, FAIL_LIMIT, "more than 100,000,000 bytes of JSON");
  valid = utf8_check(text, length);
  if (valid != length)
    return bad_at(s, valid, FAIL_FORMAT, "not valid UTF-8");
  count = count_values(text, length, &open);
  if (open > 0)
    return bad_at(s, length, FAIL_FORMAT, "the JSON text ends early");
  if (values != NULL)
    *values = count;
  return true;
}

size_t json_scan_members(const json_scan *s)
{
  size_t count = 0, depth = 1;
  bool quoted = false;
  for (size_t i = s->at; i < s->length && depth > 0; i++) {
    char c = s->text[i];
    if (c == '"')
      quoted = !quoted;
    else if (quoted)
      i += c == '\\';
    else if (c == '[' || c == '{')
      depth++;
    else if (c == ']' || c == '}')
      depth--;
    else
      count += c == ':' && depth == 1;
  }
  /* One with an empty name, "":1, and the others, "a":1, take five and six bytes and more. */
  size_t most = (s->length - s->at) / 6 + 1;
  return count < most ? count : most;
}

/* ---- numbers ---- */

fail_kind json_digits(const char *text, size_t length, uint64_t *out)
{
  uint64_t sum = 0;
  bool over = false;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9')
      return FAIL_FORMAT;
    unsigned digit = (unsigned)(text[i] - '0');
    over = over || sum > (UINT64_MAX - digit) / 10;
    if (!over) /* go on: a letter further on is the other error */
      sum = sum * 10 + digit;
  }
  if (over)
    return FAIL_OVERFLOW;
  *out = sum;
  return FAIL_NONE;
}

fail_kind json_scan_u64(const json_token *t, uint64_t *out)
{
  return t->kind == JSON_NUMBER ? json_digits(t->text, t->size, out) : FAIL_FORMAT;
}
