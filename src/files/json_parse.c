/*
 * json_parse.c - text to document: the grammar of RFC 8259 and the limits of json.h.
 *
 * No recursion: the open containers are an array of JSON_DEPTH_MAX entries. Strings are unescaped
 * where they stand, which works because an escape is never shorter than what it stands for.
 */
#include "json_doc.h"

#include "utf8.h"

#include <stdlib.h>
#include <string.h>

typedef struct parser {
  json_doc *d;
  size_t at, length;
  unsigned depth;
  json_id open[JSON_DEPTH_MAX]; /* containers, outermost first */
  json_id last[JSON_DEPTH_MAX]; /* newest item or member name in each */
  fail *why;
} parser;

static bool bad_at(parser *p, size_t at, fail_kind kind, const char *text)
{
  return fail_set(p->why, kind, p->d->file, "byte %llu: %s", (unsigned long long)(p->d->base + at),
                  text);
}

static bool bad(parser *p, const char *text)
{
  return bad_at(p, p->at, FAIL_FORMAT, p->at < p->length ? text : "the JSON text ends early");
}

/* The character at the read position; NUL, which the grammar never takes, at the end. */
static char peek(const parser *p)
{
  return p->at < p->length ? p->d->text[p->at] : 0;
}

static void skip_space(parser *p)
{
  while (peek(p) == ' ' || peek(p) == '\n' || peek(p) == '\r' || peek(p) == '\t')
    p->at++;
}

/* ---- strings ---- */

static bool hex4(parser *p, uint32_t *out)
{
  *out = 0;
  for (int i = 0; i < 4; i++, p->at++) {
    char c = peek(p);
    uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
    if (digit > 15)
      return bad(p, "\\u needs four hexadecimal digits");
    *out = *out << 4 | digit;
  }
  return true;
}

/* After "\u": one character, from a pair of escapes when it is a surrogate. */
static bool unicode_escape(parser *p, size_t *to)
{
  uint32_t point, low;
  size_t start = p->at - 2;
  if (!hex4(p, &point))
    return false;
  if (point >= 0xD800 && point <= 0xDFFF) {
    if (point >= 0xDC00 || peek(p) != '\\' || p->at + 1 >= p->length ||
        p->d->text[p->at + 1] != 'u')
      return bad_at(p, start, FAIL_FORMAT, "half of a surrogate pair");
    p->at += 2;
    if (!hex4(p, &low))
      return false;
    if (low < 0xDC00 || low > 0xDFFF)
      return bad_at(p, start, FAIL_FORMAT, "half of a surrogate pair");
    point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
  }
  *to += utf8_write(p->d->text + *to, point);
  return true;
}

/* After the backslash. */
static bool escape(parser *p, size_t *to)
{
  static const char from[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
  char c = peek(p);
  if (c == 'u') {
    p->at++;
    return unicode_escape(p, to);
  }
  const char *found = c != 0 ? strchr(from, c) : NULL;
  if (found == NULL)
    return bad(p, "not a JSON escape");
  p->d->text[(*to)++] = meaning[found - from];
  p->at++;
  return true;
}

/* Reads a string into `node`; the position is on its first quote. */
static bool string(parser *p, json_node *node)
{
  char *text = p->d->text;
  size_t start = p->at, to = start + 1;
  if (peek(p) != '"')
    return bad(p, "expected a string");
  p->at++;
  while (peek(p) != '"') {
    char c = peek(p);
    if ((unsigned char)c < 0x20)
      return bad(p, "control character in a string");
    p->at++;
    if (c != '\\')
      text[to++] = c;
    else if (!escape(p, &to))
      return false;
  }
  p->at++;
  text[to] = 0; /* on or before the closing quote */
  node->kind = JSON_STRING;
  node->first = (uint32_t)(start + 1);
  node->size = (uint32_t)(to - start - 1) & 0xFFFFFFF;
  return true;
}

/* ---- other values ---- */

static size_t digits(parser *p)
{
  size_t start = p->at;
  while (peek(p) >= '0' && peek(p) <= '9')
    p->at++;
  return p->at - start;
}

static bool number(parser *p, json_node *node)
{
  size_t start = p->at;
  if (peek(p) == '-')
    p->at++;
  if (peek(p) == '0')
    p->at++;
  else if (digits(p) == 0)
    return bad(p, "expected a digit");
  if (peek(p) >= '0' && peek(p) <= '9')
    return bad(p, "a number must not start with 0");
  if (peek(p) == '.') {
    p->at++;
    if (digits(p) == 0)
      return bad(p, "expected a digit");
  }
  if (peek(p) == 'e' || peek(p) == 'E') {
    p->at++;
    if (peek(p) == '+' || peek(p) == '-')
      p->at++;
    if (digits(p) == 0)
      return bad(p, "expected a digit");
  }
  node->kind = JSON_NUMBER;
  node->first = (uint32_t)start;
  node->size = (uint32_t)(p->at - start) & 0xFFFFFFF;
  return true;
}

static bool word(parser *p, json_node *node, const char *text, json_kind kind)
{
  size_t n = strlen(text);
  if (p->length - p->at < n || memcmp(p->d->text + p->at, text, n) != 0)
    return bad(p, "expected a value");
  p->at += n;
  node->kind = kind & 7U;
  return true;
}

/* A new node at the read position. count_nodes() made room for all of them. */
static json_id new_node(parser *p)
{
  p->d->nodes[p->d->count] = (json_node){.at = (uint32_t)p->at};
  return p->d->count++;
}

/* Makes `id` the newest child of the innermost container. */
static void link_child(parser *p, json_id id)
{
  json_node *nodes = p->d->nodes;
  json_id parent = p->open[p->depth - 1], last = p->last[p->depth - 1];
  if (last != 0)
    nodes[last].next = id;
  else
    nodes[parent].first = id;
  nodes[parent].size = (nodes[parent].size + 1U) & 0xFFFFFFF;
  p->last[p->depth - 1] = id;
}

static bool in_object(const parser *p)
{
  return p->depth > 0 && p->d->nodes[p->open[p->depth - 1]].kind == JSON_OBJECT;
}

/* Name and colon. */
static bool member_name(parser *p)
{
  skip_space(p);
  json_id id = new_node(p);
  if (!string(p, &p->d->nodes[id]))
    return false;
  link_child(p, id);
  skip_space(p);
  if (peek(p) != ':')
    return bad(p, "expected ':'");
  p->at++;
  return true;
}

/* One value; of a container only the bracket, and then `*opened` is set. */
static bool value(parser *p, bool *opened)
{
  skip_space(p);
  json_id id = new_node(p);
  json_node *node = &p->d->nodes[id];
  if (p->depth > 0 && !in_object(p))
    link_child(p, id);
  char c = peek(p);
  *opened = c == '{' || c == '[';
  if (*opened) {
    if (p->depth == JSON_DEPTH_MAX)
      return bad_at(p, p->at, FAIL_LIMIT, "JSON nested deeper than 32 levels");
    node->kind = c == '{' ? JSON_OBJECT : JSON_ARRAY;
    p->open[p->depth] = id;
    p->last[p->depth++] = 0;
    p->at++;
    return true;
  }
  switch (c) {
  case '"': return string(p, node);
  case 't': return word(p, node, "true", JSON_TRUE);
  case 'f': return word(p, node, "false", JSON_FALSE);
  case 'n': return word(p, node, "null", JSON_NULL);
  default: break;
  }
  if (c == '-' || (c >= '0' && c <= '9'))
    return number(p, node);
  return bad(p, "expected a value");
}

/* ---- duplicate names: sorting, so that no choice of names makes it slow ---- */

typedef struct name_ref {
  const char *text;
  uint32_t length;
  json_id id;
} name_ref;

static int by_text(const void *a, const void *b)
{
  const name_ref *x = a, *y = b;
  int order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);
  if (order != 0)
    return order;
  if (x->length != y->length)
    return x->length < y->length ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

static bool unique_names(parser *p, json_id object)
{
  name_ref small[16], *names = small;
  size_t count = json_count(p->d, object), n = 0;
  bool ok = true;
  if (count > sizeof small / sizeof *small)
    names = malloc(count * sizeof *names);
  if (names == NULL)
    return fail_memory(p->why, p->d->file);
  for (json_id m = json_first(p->d, object); m != 0; m = json_next(p->d, m), n++) {
    names[n].text = p->d->text + p->d->nodes[m].first;
    names[n].length = p->d->nodes[m].size;
    names[n].id = m;
  }
  qsort(names, count, sizeof *names, by_text);
  for (size_t i = 1; ok && i < count; i++)
    if (names[i].length == names[i - 1].length &&
        memcmp(names[i].text, names[i - 1].text, names[i].length) == 0)
      ok = fail_set(p->why, FAIL_FORMAT, p->d->file, "byte %llu: the name \"%.200s\" occurs twice",
                    (unsigned long long)json_offset(p->d, names[i].id), names[i].text);
  if (names != small)
    free(names);
  return ok;
}

/* ---- the whole text ---- */

/* After a value: closes what ends here; true when another value must follow (`*more`) or all is
 * closed. `fresh`: a container was just opened, so it may end without an item. */
static bool after_value(parser *p, bool fresh, bool *more)
{
  *more = false;
  while (p->depth > 0) {
    json_id container = p->open[p->depth - 1];
    bool object = in_object(p);
    skip_space(p);
    if (peek(p) == (object ? '}' : ']')) {
      p->at++;
      if (object && !unique_names(p, container))
        return false;
      p->depth--;
      fresh = false;
      continue;
    }
    if (!fresh) {
      if (peek(p) != ',')
        return bad(p, object ? "expected ',' or '}'" : "expected ',' or ']'");
      p->at++;
    }
    *more = true;
    return !object || member_name(p);
  }
  return true;
}

static bool parse(parser *p)
{
  bool more = true;
  while (more) {
    bool opened;
    if (!value(p, &opened) || !after_value(p, opened, &more))
      return false;
  }
  skip_space(p);
  return p->at == p->length || bad(p, "text after the JSON value");
}

/* A look at the text before any memory is asked for: an upper bound of the number of nodes, node 0
 * included (every value or name but the first follows one of , : [ { outside of strings), and how
 * many brackets stay open, so that a text cut short is told from one nested too deep. */
static size_t count_nodes(const char *text, size_t length, size_t *open)
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
  return count;
}

bool json_parse(json_doc **out, char *text, size_t length, const char *file, uint64_t base,
                fail *why)
{
  *out = NULL;
  json_doc *d = calloc(1, sizeof *d);
  if (d == NULL) {
    free(text);
    return fail_memory(why, file);
  }
  parser p = {.d = d, .length = length, .why = why};
  d->text = text;
  d->base = base;
  d->file = malloc(strlen(file) + 1);
  if (d->file == NULL) {
    fail_memory(why, file);
    goto fail;
  }
  strcpy(d->file, file);
  if (length > JSON_BYTES_MAX) {
    bad_at(&p, 0, FAIL_LIMIT, "more than 100,000,000 bytes of JSON");
    goto fail;
  }
  size_t open, valid = utf8_check(text, length), nodes = count_nodes(text, length, &open);
  if (valid != length || open > 0) {
    bad_at(&p, valid, FAIL_FORMAT,
           valid != length ? "not valid UTF-8" : "the JSON text ends early");
    goto fail;
  }
  d->nodes = malloc(nodes * sizeof *d->nodes);
  if (d->nodes == NULL) {
    fail_memory(why, file);
    goto fail;
  }
  d->capacity = (uint32_t)nodes;
  d->nodes[0] = (json_node){0};
  d->count = 1;
  if (!parse(&p))
    goto fail;
  *out = d;
  return true;
fail:
  json_free(d);
  return false;
}
