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
  json_id last[JSON_DEPTH_MAX]; /* newest item or member name in each */
} parser;

/* A new node for a token. json_scan_start() made room for all of them. */
static json_id new_node(parser *p, const json_token *t)
{
  json_node *node = &p->d->nodes[p->d->count];
  *node = (json_node){.kind = t->kind & 7U, .at = t->at};
  if (t->text != NULL) {
    node->first = (uint32_t)(t->text - p->d->text);
    node->size = t->size & 0xFFFFFFF;
  }
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

/* Whether the innermost container, which there is, is an object. */
static bool in_object(const parser *p)
{
  return p->d->nodes[p->open[p->depth - 1]].kind == JSON_OBJECT;
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
  return (x->id > y->id) - (x->id < y->id);
}

static bool unique_names(parser *p, json_id object)
{
  name_ref small[16], *names = small;
  size_t count = json_count(p->d, object), n = 0;
  bool ok = true;
  if (count > sizeof small / sizeof *small)
    names = malloc(count * sizeof *names);
  if (names == NULL)
    return fail_memory(p->scan.why, p->d->file);
  for (json_id m = json_first(p->d, object); m != 0; m = json_next(p->d, m), n++) {
    names[n].text = p->d->text + p->d->nodes[m].first;
    names[n].length = p->d->nodes[m].size;
    names[n].id = m;
  }
  qsort(names, count, sizeof *names, by_text);
  for (size_t i = 1; ok && i < count; i++)
    if (names[i].length == names[i - 1].length &&
        memcmp(names[i].text, names[i - 1].text, names[i].length) == 0)
      ok = fail_set(p->scan.why, FAIL_FORMAT, p->d->file,
                    "byte %llu: the name \"%.200s\" occurs twice",
                    (unsigned long long)json_offset(p->d, names[i].id), names[i].text);
  if (names != small)
    free(names);
  return ok;
}

/* ---- the whole text ---- */

static bool take(parser *p, const json_token *t)
{
  if (t->role == JSON_CLOSE) {
    p->depth--;
    return t->kind != JSON_OBJECT || unique_names(p, p->open[p->depth]);
  }
  json_id id = new_node(p, t);
  if (p->depth > 0 && (t->role == JSON_NAME || !in_object(p)))
    link_child(p, id);
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
  size_t nodes;
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
  if (!json_scan_start(&p.scan, text, length, d->file, base, &nodes, why))
    goto fail;
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
