/* json_edit.c - members put into a document and removed from it. Must not know: the grammar. */
#include "json_doc.h"

#include "grow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before the first change: a node for each entry. */
static bool unfold(json_doc *d)
{
  if (d->nodes != NULL)
    return true;
  json_node *nodes = calloc(d->count, sizeof *nodes);
  if (nodes == NULL)
    return false;
  for (json_id v = 1; v < d->count; v++) {
    json_node *node = &nodes[v];
    size_t length;
    const char *text = json_text(d, v, &length);
    node->kind = json_kind_of(d, v) & 7U;
    node->size = (text != NULL ? length : json_count(d, v)) & 0xFFFFFFF;
    node->first = text != NULL ? (uint32_t)(text - d->text) : json_first(d, v);
    node->next = json_next(d, v);
    node->at = d->entries[v] & JSON_AT;
  }
  free(d->entries);
  d->entries = NULL;
  d->nodes = nodes;
  d->capacity = d->count;
  return true;
}

/* Room for `more` nodes, side by side. */
static bool reserve(json_doc *d, uint32_t more)
{
  if (d->capacity - d->count >= more)
    return true;
  if (d->capacity > UINT32_MAX / 4)
    return false;
  uint32_t want = d->capacity * 2 + more;
  json_node *nodes = realloc(d->nodes, want * sizeof *nodes);
  if (nodes == NULL)
    return false;
  d->nodes = nodes;
  d->capacity = want;
  return true;
}

/* Keeps a copy of a text and points the node at it. */
static bool set_text(json_doc *d, json_id v, json_kind kind, const char *text)
{
  size_t length = strlen(text);
  if (length > JSON_BYTES_MAX)
    return false;
  if (d->added_count == d->added_capacity) {
    char **added = grown(d->added, &d->added_capacity, d->added_capacity + 1, sizeof *added);
    if (added == NULL)
      return false;
    d->added = added;
  }
  char *copy = malloc(length + 1);
  if (copy == NULL)
    return false;
  memcpy(copy, text, length + 1);
  d->nodes[v].kind = kind & 7U;
  d->nodes[v].added = 1;
  d->nodes[v].size = (uint32_t)length & 0xFFFFFFF;
  d->nodes[v].first = d->added_count;
  d->added[d->added_count++] = copy;
  return true;
}

/* Links `id` among the children of `in`: a member before the first greater name, an item last. */
static void insert(json_doc *d, json_id in, json_id id, const char *name)
{
  json_id before = 0, v = json_first(d, in);
  size_t length = name != NULL ? strlen(name) : 0;
  for (; v != 0; before = v, v = json_next(d, v)) {
    size_t n;
    const char *text = json_text(d, v, &n);
    if (text == NULL || name == NULL) /* no name: an item */
      continue;
    int order = memcmp(name, text, n < length ? n : length);
    if (order < 0 || (order == 0 && length < n))
      break;
  }
  d->nodes[id].next = v;
  if (before != 0)
    d->nodes[before].next = id;
  else
    d->nodes[in].first = id;
  d->nodes[in].size = (d->nodes[in].size + 1U) & 0xFFFFFFF;
}

/* The place of the value `name` in `in`, made when it is not there; an old value is dropped. */
static json_id place(json_doc *d, json_id in, const char *name)
{
  json_kind wanted = name != NULL ? JSON_OBJECT : JSON_ARRAY;
  if (in == 0 || json_kind_of(d, in) != wanted || !unfold(d))
    goto fail;
  json_id v = name != NULL ? json_get(d, in, name) : 0;
  if (v == 0) {
    if (!reserve(d, 2))
      goto fail;
    json_id id = d->count; /* linked only when nothing can fail any more */
    d->nodes[id] = (json_node){0};
    d->nodes[id + 1] = (json_node){0};
    if (name != NULL && !set_text(d, id, JSON_STRING, name))
      goto fail;
    d->count += name != NULL ? 2 : 1;
    insert(d, in, id, name);
    v = name != NULL ? id + 1 : id;
  }
  json_id next = d->nodes[v].next;
  d->nodes[v] = (json_node){.kind = JSON_NULL, .next = next};
  return v;
fail:
  d->failed = true;
  return 0;
}

static json_id put_kind(json_doc *d, json_id in, const char *name, json_kind kind)
{
  json_id v = place(d, in, name);
  if (v != 0)
    d->nodes[v].kind = kind & 7U;
  return v;
}

static json_id put_text(json_doc *d, json_id in, const char *name, json_kind kind, const char *text)
{
  json_id v = place(d, in, name);
  if (v != 0 && !set_text(d, v, kind, text)) {
    d->failed = true;
    return 0;
  }
  return v;
}

json_id json_put_object(json_doc *d, json_id in, const char *name)
{
  return put_kind(d, in, name, JSON_OBJECT);
}

json_id json_put_array(json_doc *d, json_id in, const char *name)
{
  return put_kind(d, in, name, JSON_ARRAY);
}

json_id json_put_string(json_doc *d, json_id in, const char *name, const char *text)
{
  return put_text(d, in, name, JSON_STRING, text);
}

json_id json_put_i64(json_doc *d, json_id in, const char *name, int64_t value)
{
  char text[24];
  snprintf(text, sizeof text, "%" PRId64, value);
  return put_text(d, in, name, JSON_NUMBER, text);
}

json_id json_put_f64(json_doc *d, json_id in, const char *name, double value)
{
  char text[32];
  json_f64_text(text, value);
  return put_text(d, in, name, JSON_NUMBER, text);
}

json_id json_put_bool(json_doc *d, json_id in, const char *name, bool value)
{
  return put_kind(d, in, name, value ? JSON_TRUE : JSON_FALSE);
}

json_id json_put_null(json_doc *d, json_id in, const char *name)
{
  return put_kind(d, in, name, JSON_NULL);
}

bool json_remove(json_doc *d, json_id object, const char *name)
{
  json_id before = 0, m;
  if (json_get(d, object, name) == 0)
    return false;
  if (!unfold(d)) {
    d->failed = true;
    return false;
  }
  for (m = json_first(d, object); !json_equal(d, m, name, strlen(name)); m = json_next(d, m))
    before = m;
  if (before != 0)
    d->nodes[before].next = d->nodes[m].next;
  else
    d->nodes[object].first = d->nodes[m].next;
  d->nodes[object].size = (d->nodes[object].size - 1U) & 0xFFFFFFF;
  return true;
}
