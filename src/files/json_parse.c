/*
 * json_parse.c - tokens to document.
 *
 * Must not know: the grammar (json_scan.c). No recursion: the open containers are an array of
 * JSON_DEPTH_MAX entries.
 */
#include "json_doc.h"
#include "json_scan.h"

#include <stdlib.h>
#include <string.h>

typedef struct parser {
  json_doc *d;
  json_scan scan;
  unsigned depth;
  json_id open[JSON_DEPTH_MAX]; /* containers, outermost first */
  json_id last[JSON_DEPTH_MAX]; /* newest item or value of a member in each */
} parser;

/* A new entry for a token. json_scan_start() made room for all of them. */
static json_id new_entry(parser *p, const json_token *t)
{
  uint32_t e = t->at | (t->role == JSON_NAME ? 0 : (uint32_t)t->kind << JSON_AT_BITS);
  if (t->kind == JSON_STRING && memchr(t->text, 0, t->size) != NULL) {
    /* Each NUL was six bytes: there is room for the length in front. */
    memmove(t->text + sizeof t->size, t->text, t->size + 1);
    memcpy(t->text, &t->size, sizeof t->size);
    e |= JSON_OTHER;
  }
  p->d->entries[p->d->count] = e;
  return p->d->count++;
}

/* ---- duplicate names: sorting, so that no choice of names makes it slow ---- */

static int by_text(const json_doc *d, json_id a, json_id b)
{
  size_t n, m;
  const char *x = json_text(d, a, &n), *y = json_text(d, b, &m);
  int order = memcmp(x, y, n < m ? n : m);
  if (order == 0)
    order = n < m ? -1 : n > m;
  return order;
}

/* Moves ids[i] down in a heap of `count` with the greatest on top. */
static void sift(const json_doc *d, json_id *ids, size_t i, size_t count)
{
  json_id id = ids[i];
  for (size_t child; (child = 2 * i + 1) < count; i = child) {
    if (child + 1 < count && by_text(d, ids[child], ids[child + 1]) < 0)
      child++;
    if (by_text(d, id, ids[child]) >= 0)
      break;
    ids[i] = ids[child];
  }
  ids[i] = id;
}

/* By hand, because qsort passes no document on to what compares, and may ask for memory. */
static void sort_names(const json_doc *d, json_id *ids, size_t count)
{
  for (size_t i = count / 2; i > 0; i--)
    sift(d, ids, i - 1, count);
  for (size_t i = count; i > 1; i--) {
    json_id top = ids[0];
    ids[0] = ids[i - 1];
    ids[i - 1] = top;
    sift(d, ids, 0, i - 1);
  }
}

static bool unique_names(parser *p, json_id object)
{
  const json_doc *d = p->d;
  json_id small[64], *ids = small;
  size_t count = json_count(d, object), n = 0;
  bool ok = true;
  if (count > sizeof small / sizeof *small)
    ids = malloc(count * sizeof *ids);
  if (ids == NULL)
    return fail_memory(p->scan.why, d->file);
  for (json_id m = json_first(d, object); m != 0; m = json_next(d, m))
    ids[n++] = m;
  sort_names(d, ids, count);
  for (size_t i = 1; ok && i < count; i++)
    if (by_text(d, ids[i - 1], ids[i]) == 0) {
      json_id later = ids[i - 1] > ids[i] ? ids[i - 1] : ids[i];
      ok =
          fail_set(p->scan.why, FAIL_FORMAT, d->file, "byte %llu: the name \"%.200s\" occurs twice",
                   (unsigned long long)json_offset(d, later), json_text(d, later, NULL));
    }
  if (ids != small)
    free(ids);
  return ok;
}

/* ---- the whole text ---- */

static bool close_container(parser *p, const json_token *t)
{
  json_id id = p->open[--p->depth], last = p->last[p->depth];
  p->d->entries[last != 0 ? last : id] |= last != 0 ? JSON_LAST : JSON_OTHER;
  return t->kind != JSON_OBJECT || unique_names(p, id);
}

static bool take(parser *p, const json_token *t)
{
  if (t->role == JSON_CLOSE)
    return close_container(p, t);
  json_id id = new_entry(p, t);
  if (p->depth > 0 && t->role != JSON_NAME)
    p->last[p->depth - 1] = id;
  if (t->role == JSON_OPEN) {
    p->open[p->depth] = id;
    p->last[p->depth++] = 0;
  }
  return true;
}

static bool parse(parser *p)
{
  json_token t;
  do {
    if (!json_scan_next(&p->scan, &t) || (t.role != JSON_END && !take(p, &t)))
      return false;
  } while (t.role != JSON_END);
  return true;
}

bool json_parse(json_doc **out, char *text, size_t length, const char *file, uint64_t base,
                fail *why)
{
  parser p = {0};
  size_t entries;
  *out = NULL;
  json_doc *d = calloc(1, sizeof *d);
  if (d == NULL) {
    free(text);
    return fail_memory(why, file);
  }
  p.d = d;
  d->text = text;
  d->base = base;
  d->file = malloc(strlen(file) + 1);
  if (d->file == NULL) {
    fail_memory(why, file);
    goto fail;
  }
  strcpy(d->file, file);
  if (!json_scan_start(&p.scan, text, length, d->file, base, &entries, why))
    goto fail;
  d->entries = malloc(entries * sizeof *d->entries);
  if (d->entries == NULL) {
    fail_memory(why, file);
    goto fail;
  }
  d->entries[0] = 0;
  d->count = 1;
  if (!parse(&p))
    goto fail;
  d->entries[json_root(d)] |= JSON_LAST;
  *out = d;
  return true;
fail:
  json_free(d);
  return false;
}
