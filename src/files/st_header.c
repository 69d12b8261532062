/* st_header.c - see st_header.h. Rules: those of the format, read as strictly as they can be. */
#include "st_header.h"

#include "json_scan.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST_ENTRY = 48 /* bytes: "":{"dtype":"U8","shape":[],"data_offsets":[0,0]} */ };

typedef struct reader {
  st_header *h;
  json_scan scan;
} reader;

static bool bad_entry(const reader *r, uint32_t at, const char *name, fail_kind kind,
                      const char *text)
{
  return fail_set(r->scan.why, kind, r->scan.file, "byte %llu: tensor \"%.200s\": %s",
                  (unsigned long long)(r->scan.base + at), name, text);
}

static bool twice(const reader *r, const char *name)
{
  size_t at = (size_t)(name - r->scan.text) - 1; /* of its quote */
  return fail_set(r->scan.why, FAIL_FORMAT, r->scan.file,
                  "byte %llu: the name \"%.200s\" occurs twice",
                  (unsigned long long)(r->scan.base + at), name);
}

/* A name as C text: every reader must see the same one. */
static bool check_name(const reader *r, const json_token *t)
{
  unsigned long long at = (unsigned long long)(r->scan.base + t->at);
  if (t->size > ST_NAME_MAX)
    return fail_set(r->scan.why, FAIL_LIMIT, r->scan.file,
                    "byte %llu: a name of %u bytes; the limit is %d", at, (unsigned)t->size,
                    ST_NAME_MAX);
  if (memchr(t->text, 0, t->size) != NULL)
    return fail_set(r->scan.why, FAIL_FORMAT, r->scan.file,
                    "byte %llu: the name \"%.200s\" goes on after a NUL", at, t->text);
  return true;
}

static bool is(const json_token *t, const char *text)
{
  return t->size == strlen(text) && memcmp(t->text, text, t->size) == 0;
}

static int by_text(const void *a, const void *b)
{
  const char *const *x = a, *const *y = b;
  return strcmp(*x, *y);
}

/* Sorting, so that no choice of names makes it slow. Names are C texts. */
static bool check_unique(const reader *r, const char **names, size_t count)
{
  if (count > 1)
    qsort(names, count, sizeof *names, by_text);
  for (size_t i = 1; i < count; i++)
    if (strcmp(names[i], names[i - 1]) == 0) /* the later one is named */
      return twice(r, names[i] > names[i - 1] ? names[i] : names[i - 1]);
  return true;
}

/* ---- one entry ---- */

/* The value that comes next is an array of at most `most` integers that fit. */
static bool read_integers(reader *r, const char *name, uint64_t *out, unsigned most,
                          unsigned *count, const char *what, const char *too_many)
{
  json_token array, t;
  *count = 0;
  if (!json_scan_next(&r->scan, &array))
    return false;
  if (array.role != JSON_OPEN || array.kind != JSON_ARRAY)
    return bad_entry(r, array.at, name, FAIL_FORMAT, too_many);
  for (;;) {
    if (!json_scan_next(&r->scan, &t))
      return false;
    if (t.role == JSON_CLOSE)
      return true;
    if (*count == most)
      return bad_entry(r, array.at, name, most == 2 ? FAIL_FORMAT : FAIL_LIMIT, too_many);
    fail_kind kind = json_scan_u64(&t, &out[(*count)++]);
    if (kind != FAIL_NONE)
      return bad_entry(r, t.at, name, kind, what);
  }
}

static bool read_dtype(reader *r, st_tensor *t)
{
  json_token v;
  if (!json_scan_next(&r->scan, &v))
    return false;
  if (v.role != JSON_VALUE || v.kind != JSON_STRING)
    return bad_entry(r, v.at, t->name, FAIL_FORMAT, "dtype is not a string");
  if (strlen(v.text) != v.size || !st_dtype_from_name(v.text, &t->dtype))
    return bad_entry(r, v.at, t->name, FAIL_UNSUPPORTED, "its dtype is not known");
  return true;
}

static bool skip_value(reader *r)
{
  json_token v;
  return json_scan_next(&r->scan, &v) && (v.role != JSON_OPEN || json_scan_skip(&r->scan));
}

/* Names of fields that are not known here: skipped, but not twice. */
typedef struct extra_fields {
  const char **names;
  size_t count, capacity;
} extra_fields;

static bool read_extra(reader *r, extra_fields *x, const json_token *name)
{
  if (!check_name(r, name))
    return false;
  if (x->names == NULL) {
    x->capacity = json_scan_members(&r->scan) + 1;
    x->names = malloc(x->capacity * sizeof *x->names);
    if (x->names == NULL)
      return fail_memory(r->scan.why, r->scan.file);
  }
  if (x->count == x->capacity) /* more than there is room for different names */
    return twice(r, name->text);
  x->names[x->count++] = name->text;
  return skip_value(r);
}

/* What an entry said so far. */
typedef struct entry {
  st_tensor *t;
  uint64_t offsets[2];
  unsigned offset_count;
  uint32_t offsets_at, shape_at;
  bool dtype, shape, data_offsets;
} entry;

static bool read_field(reader *r, entry *e, const json_token *name, extra_fields *extra)
{
  st_tensor *t = e->t;
  bool *seen = is(name, "dtype")          ? &e->dtype
               : is(name, "shape")        ? &e->shape
               : is(name, "data_offsets") ? &e->data_offsets
                                          : NULL;
  if (seen == NULL)
    return read_extra(r, extra, name);
  if (*seen)
    return twice(r, name->text);
  *seen = true;
  if (seen == &e->dtype)
    return read_dtype(r, t);
  if (seen == &e->shape) {
    e->shape_at = (uint32_t)r->scan.at;
    return read_integers(r, t->name, t->shape, ST_DIMS_MAX, &t->ndim,
                         "a dimension is not an integer that fits",
                         "shape is not an array of at most 8 dimensions");
  }
  e->offsets_at = (uint32_t)r->scan.at;
  return read_integers(r, t->name, e->offsets, 2, &e->offset_count,
                       "an offset is not an integer that fits",
                       "data_offsets is not an array of two");
}

/* All fields are read. */
static bool check_entry(const reader *r, const entry *e, uint32_t at)
{
  st_tensor *t = e->t;
  fail inner;
  if (!e->dtype || !e->shape || !e->data_offsets)
    return bad_entry(r, at, t->name, FAIL_FORMAT, "dtype, shape or data_offsets is missing");
  if (e->offset_count != 2)
    return bad_entry(r, e->offsets_at, t->name, FAIL_FORMAT, "data_offsets is not an array of two");
  if (!st_measure(t, &inner))
    return bad_entry(r, e->shape_at, t->name, inner.kind, inner.text);
  t->begin = e->offsets[0];
  if (t->begin > e->offsets[1] || e->offsets[1] - t->begin != t->bytes)
    return bad_entry(r, e->offsets_at, t->name, FAIL_FORMAT,
                     "data_offsets do not span what dtype and shape take");
  return true;
}

static bool read_entry(reader *r, const json_token *name)
{
  entry e = {.t = &r->h->tensors[r->h->count]};
  extra_fields extra = {0};
  json_token open, t;
  bool ok;
  *e.t = (st_tensor){.name = name->text};
  if (!json_scan_next(&r->scan, &open))
    return false;
  if (open.role != JSON_OPEN || open.kind != JSON_OBJECT)
    return bad_entry(r, open.at, name->text, FAIL_FORMAT, "its entry is not an object");
  while ((ok = json_scan_next(&r->scan, &t)) && t.role == JSON_NAME)
    if (!(ok = read_field(r, &e, &t, &extra)))
      break;
  ok = ok && check_unique(r, extra.names, extra.count) && check_entry(r, &e, open.at);
  free(extra.names);
  r->h->count += ok;
  return ok;
}

/* ---- metadata ---- */

static bool read_pair(reader *r, const json_token *name)
{
  st_header *h = r->h;
  json_token v;
  if (!check_name(r, name) || !json_scan_next(&r->scan, &v))
    return false;
  if (v.role != JSON_VALUE || v.kind != JSON_STRING)
    return fail_set(r->scan.why, FAIL_FORMAT, r->scan.file,
                    "byte %llu: metadata \"%.200s\" is not a string",
                    (unsigned long long)(r->scan.base + v.at), name->text);
  h->metadata[h->pairs++] = (st_pair){name->text, strlen(v.text) == v.size ? v.text : NULL};
  return true;
}

/* Rows of a table that have their name in front. */
static bool unique_rows(const reader *r, const void *table, size_t count, size_t row)
{
  const char **names = malloc((count + 1) * sizeof *names);
  if (names == NULL)
    return fail_memory(r->scan.why, r->scan.file);
  for (size_t i = 0; i < count; i++)
    names[i] = *(const char *const *)(const void *)((const char *)table + i * row);
  bool ok = check_unique(r, names, count);
  free(names);
  return ok;
}

static bool read_metadata(reader *r, const json_token *name)
{
  json_token open, t;
  bool ok;
  if (r->h->metadata != NULL)
    return twice(r, name->text);
  if (!json_scan_next(&r->scan, &open))
    return false;
  if (open.role != JSON_OPEN || open.kind != JSON_OBJECT)
    return json_scan_fails(&r->scan, open.at, FAIL_FORMAT, "__metadata__ is not an object");
  /* One more than all: a pair takes six bytes, by which members are bounded. */
  r->h->metadata = malloc((json_scan_members(&r->scan) + 1) * sizeof *r->h->metadata);
  if (r->h->metadata == NULL)
    return fail_memory(r->scan.why, r->scan.file);
  while ((ok = json_scan_next(&r->scan, &t)) && t.role == JSON_NAME)
    if (!read_pair(r, &t))
      return false;
  return ok && unique_rows(r, r->h->metadata, r->h->pairs, sizeof *r->h->metadata);
}

/* ---- the whole header ---- */

static bool read_members(reader *r, size_t length)
{
  st_header *h = r->h;
  json_token t;
  json_scan_next(&r->scan, &t); /* the bracket that the text starts with */
  size_t capacity = json_scan_members(&r->scan), most = length / LEAST_ENTRY;
  capacity = capacity < most ? capacity : most;
  h->tensors = malloc((capacity + 1) * sizeof *h->tensors);
  if (h->tensors == NULL)
    return fail_memory(r->scan.why, r->scan.file);
  for (;;) {
    if (!json_scan_next(&r->scan, &t))
      return false;
    if (t.role != JSON_NAME)
      return json_scan_next(&r->scan, &t); /* the object is closed: the text must end */
    bool ok =
        is(&t, "__metadata__") ? read_metadata(r, &t) : check_name(r, &t) && read_entry(r, &t);
    if (!ok)
      return false;
  }
}

static size_t room_of(const char *text)
{
  return text != NULL ? strlen(text) + 1 : 0;
}

static void move(const char **text, char **to)
{
  size_t n = room_of(*text);
  if (n == 0)
    return;
  memcpy(*to, *text, n);
  *text = *to;
  *to += n;
}

/* Moves names and metadata out of the text, most of which is brackets and digits. */
static bool keep_names(reader *r)
{
  st_header *h = r->h;
  size_t room = 1;
  for (size_t i = 0; i < h->count; i++)
    room += room_of(h->tensors[i].name);
  for (size_t i = 0; i < h->pairs; i++)
    room += room_of(h->metadata[i].key) + room_of(h->metadata[i].value);
  char *to = h->names = malloc(room);
  if (to == NULL)
    return fail_memory(r->scan.why, r->scan.file);
  for (size_t i = 0; i < h->count; i++)
    move(&h->tensors[i].name, &to);
  for (size_t i = 0; i < h->pairs; i++) {
    move(&h->metadata[i].key, &to);
    move(&h->metadata[i].value, &to);
  }
  return true;
}

bool st_header_read(st_header *h, char *text, size_t length, const char *path, uint64_t base,
                    fail *why)
{
  reader r = {.h = h};
  *h = (st_header){0};
  bool ok = text[0] == '{';
  if (!ok)
    fail_set(why, FAIL_FORMAT, path, "byte %llu: the header does not start with '{'",
             (unsigned long long)base);
  ok = ok && json_scan_start(&r.scan, text, length, path, base, NULL, why) &&
       read_members(&r, length) && unique_rows(&r, h->tensors, h->count, sizeof *h->tensors) &&
       keep_names(&r);
  free(text);
  return ok;
}

void st_header_free(st_header *h)
{
  free(h->names);
  free(h->tensors);
  free(h->metadata);
  *h = (st_header){0};
}
