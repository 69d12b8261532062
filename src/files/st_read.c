/*
 * st_read.c - opening a safetensors file: every byte of the header is hostile until checked here.
 *
 * Owns: the parsed header, which holds the names, and the tensor table. Nothing is asked of memory
 * before the length of the file bounds it.
 */
#include "safetensors.h"

#include "io.h"
#include "json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PREFIX = 8 }; /* bytes of the length field */

struct st_file {
  int fd;
  char *path;
  uint64_t bytes; /* of the whole file, taken once */
  uint64_t data;  /* offset of the data */
  json_doc *header;
  json_id metadata;
  size_t count;
  st_tensor *tensors;        /* by offset */
  const st_tensor **by_name; /* the same, by name */
};

/* ---- one entry of the header ---- */

static bool bad_entry(const st_file *f, json_id at, const char *name, fail_kind kind,
                      const char *text, fail *why)
{
  return fail_set(why, kind, f->path, "byte %llu: tensor \"%.200s\": %s",
                  (unsigned long long)json_offset(f->header, at), name, text);
}

/* A name as C text: every reader must see the same one. */
static const char *checked_name(const st_file *f, json_id member, fail *why)
{
  size_t length;
  const char *name = json_text(f->header, member, &length);
  unsigned long long at = (unsigned long long)json_offset(f->header, member);
  if (length > ST_NAME_MAX) {
    fail_set(why, FAIL_LIMIT, f->path, "byte %llu: a name of %zu bytes; the limit is %d", at,
             length, ST_NAME_MAX);
    return NULL;
  }
  if (memchr(name, 0, length) != NULL) {
    fail_set(why, FAIL_FORMAT, f->path, "byte %llu: the name \"%.200s\" goes on after a NUL", at,
             name);
    return NULL;
  }
  return name;
}

static bool read_integer(const st_file *f, json_id v, const char *name, const char *what,
                         uint64_t *out, fail *why)
{
  fail_kind kind = json_u64(f->header, v, out);
  return kind == FAIL_NONE || bad_entry(f, v, name, kind, what, why);
}

static bool read_shape(const st_file *f, json_id v, st_tensor *t, fail *why)
{
  const json_doc *d = f->header;
  if (json_kind_of(d, v) != JSON_ARRAY)
    return bad_entry(f, v, t->name, FAIL_FORMAT, "shape is not an array", why);
  if (json_count(d, v) > ST_DIMS_MAX)
    return bad_entry(f, v, t->name, FAIL_LIMIT, "more than 8 dimensions", why);
  for (json_id n = json_first(d, v); n != 0; n = json_next(d, n))
    if (!read_integer(f, n, t->name, "a dimension is not an integer that fits",
                      &t->shape[t->ndim++], why))
      return false;
  return true;
}

static bool read_offsets(const st_file *f, json_id v, st_tensor *t, uint64_t *end, fail *why)
{
  const json_doc *d = f->header;
  if (json_kind_of(d, v) != JSON_ARRAY || json_count(d, v) != 2)
    return bad_entry(f, v, t->name, FAIL_FORMAT, "data_offsets is not an array of two", why);
  json_id first = json_first(d, v);
  const char *what = "an offset is not an integer that fits";
  return read_integer(f, first, t->name, what, &t->begin, why) &&
         read_integer(f, json_next(d, first), t->name, what, end, why);
}

static bool read_entry(const st_file *f, json_id member, st_tensor *t, fail *why)
{
  const json_doc *d = f->header;
  json_id entry = json_value(d, member);
  uint64_t end = 0;
  fail inner;
  t->name = checked_name(f, member, why);
  if (t->name == NULL)
    return false;
  if (json_kind_of(d, entry) != JSON_OBJECT)
    return bad_entry(f, entry, t->name, FAIL_FORMAT, "its entry is not an object", why);
  json_id dtype = json_get(d, entry, "dtype"), shape = json_get(d, entry, "shape");
  json_id offsets = json_get(d, entry, "data_offsets");
  if (dtype == 0 || shape == 0 || offsets == 0)
    return bad_entry(f, entry, t->name, FAIL_FORMAT, "dtype, shape or data_offsets is missing",
                     why);
  if (json_kind_of(d, dtype) != JSON_STRING)
    return bad_entry(f, dtype, t->name, FAIL_FORMAT, "dtype is not a string", why);
  const char *type = json_string(d, dtype);
  if (type == NULL || !st_dtype_from_name(type, &t->dtype))
    return bad_entry(f, dtype, t->name, FAIL_UNSUPPORTED, "its dtype is not known", why);
  if (!read_shape(f, shape, t, why) || !read_offsets(f, offsets, t, &end, why))
    return false;
  if (!st_measure(t, &inner))
    return bad_entry(f, shape, t->name, inner.kind, inner.text, why);
  if (t->begin > end || end - t->begin != t->bytes)
    return fail_set(why, FAIL_FORMAT, f->path,
                    "byte %llu: tensor \"%.200s\": data_offsets do not span its %llu bytes",
                    (unsigned long long)json_offset(d, offsets), t->name,
                    (unsigned long long)t->bytes);
  return true;
}

/* ---- the whole header ---- */

static bool check_metadata(const st_file *f, fail *why)
{
  const json_doc *d = f->header;
  if (json_kind_of(d, f->metadata) != JSON_OBJECT)
    return fail_set(why, FAIL_FORMAT, f->path, "byte %llu: __metadata__ is not an object",
                    (unsigned long long)json_offset(d, f->metadata));
  for (json_id m = json_first(d, f->metadata); m != 0; m = json_next(d, m)) {
    const char *key = checked_name(f, m, why);
    if (key == NULL)
      return false;
    if (json_kind_of(d, json_value(d, m)) != JSON_STRING)
      return fail_set(why, FAIL_FORMAT, f->path, "byte %llu: metadata \"%.200s\" is not a string",
                      (unsigned long long)json_offset(d, json_value(d, m)), key);
  }
  return true;
}

static int by_offset(const void *a, const void *b)
{
  const st_tensor *x = a, *y = b;
  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  if (x->bytes != y->bytes)
    return x->bytes < y->bytes ? -1 : 1;
  return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
  const st_tensor *const *x = a, *const *y = b;
  return strcmp((*x)->name, (*y)->name);
}

/* The ranges start at 0, touch each other, and end with the file. */
static bool check_ranges(const st_file *f, fail *why)
{
  uint64_t at = 0, have = f->bytes - f->data;
  for (size_t i = 0; i < f->count; i++) {
    const st_tensor *t = &f->tensors[i];
    if (t->begin != at)
      return fail_set(why, FAIL_FORMAT, f->path,
                      "tensor \"%.200s\" starts at data byte %llu where %llu was expected", t->name,
                      (unsigned long long)t->begin, (unsigned long long)at);
    if (t->bytes > have - at)
      return fail_set(why, FAIL_TRUNCATED, f->path,
                      "tensor \"%.200s\" needs data bytes %llu to %llu; the file has %llu", t->name,
                      (unsigned long long)at, (unsigned long long)(at + t->bytes),
                      (unsigned long long)have);
    at += t->bytes;
  }
  if (at < have)
    return fail_set(why, FAIL_FORMAT, f->path, "%llu bytes after the last tensor, from byte %llu",
                    (unsigned long long)(have - at), (unsigned long long)(f->data + at));
  return true;
}

static bool read_table(st_file *f, fail *why)
{
  const json_doc *d = f->header;
  json_id root = json_root(d);
  if (json_kind_of(d, root) != JSON_OBJECT)
    return fail_set(why, FAIL_FORMAT, f->path, "the header is not a JSON object");
  f->metadata = json_get(d, root, "__metadata__");
  if (f->metadata != 0 && !check_metadata(f, why))
    return false;
  size_t count = json_count(d, root) - (f->metadata != 0);
  f->tensors = calloc(count + 1, sizeof *f->tensors);
  f->by_name = calloc(count + 1, sizeof *f->by_name);
  if (f->tensors == NULL || f->by_name == NULL)
    return fail_memory(why, f->path);
  for (json_id m = json_first(d, root); m != 0; m = json_next(d, m))
    if (json_value(d, m) != f->metadata && !read_entry(f, m, &f->tensors[f->count++], why))
      return false;
  qsort(f->tensors, count, sizeof *f->tensors, by_offset);
  for (size_t i = 0; i < count; i++)
    f->by_name[i] = &f->tensors[i];
  qsort(f->by_name, count, sizeof *f->by_name, by_name);
  return check_ranges(f, why);
}

static bool read_header(st_file *f, fail *why)
{
  unsigned char prefix[PREFIX];
  uint64_t length = 0;
  if (f->bytes < PREFIX)
    return fail_set(why, FAIL_TRUNCATED, f->path, "%llu bytes are too few for a safetensors file",
                    (unsigned long long)f->bytes);
  if (!io_read_at(f->fd, 0, prefix, PREFIX, f->path, why))
    return false;
  for (int i = PREFIX - 1; i >= 0; i--)
    length = length << 8 | prefix[i];
  if (length > JSON_BYTES_MAX)
    return fail_set(why, FAIL_LIMIT, f->path,
                    "byte 0: a header of %llu bytes; the limit is %d: not a safetensors file?",
                    (unsigned long long)length, JSON_BYTES_MAX);
  if (length > f->bytes - PREFIX)
    return fail_set(why, FAIL_TRUNCATED, f->path,
                    "byte 0: a header of %llu bytes in a file of %llu", (unsigned long long)length,
                    (unsigned long long)f->bytes);
  char *text = malloc((size_t)length + 1);
  if (text == NULL)
    return fail_memory(why, f->path);
  text[length] = 0;
  if (!io_read_at(f->fd, PREFIX, text, (size_t)length, f->path, why)) {
    free(text);
    return false;
  }
  if (text[0] != '{') {
    free(text);
    return fail_set(why, FAIL_FORMAT, f->path, "byte 8: the header does not start with '{'");
  }
  f->data = PREFIX + length;
  return json_parse(&f->header, text, (size_t)length, f->path, PREFIX, why) && read_table(f, why);
}

bool st_open_at(st_file **out, int folder, const char *name, bool follow, const char *path,
                fail *why)
{
  *out = NULL;
  st_file *f = calloc(1, sizeof *f);
  if (f == NULL)
    return fail_memory(why, path);
  f->fd = -1;
  f->path = io_join(NULL, path);
  if (f->path == NULL)
    fail_memory(why, path);
  else if (io_open(&f->fd, &f->bytes, folder, name, follow, path, why) && read_header(f, why)) {
    *out = f;
    return true;
  }
  st_close(f);
  return false;
}

bool st_open(st_file **out, const char *path, fail *why)
{
  return st_open_at(out, AT_FDCWD, path, true, path, why);
}

void st_close(st_file *f)
{
  if (f == NULL)
    return;
  if (f->fd >= 0)
    close(f->fd);
  json_free(f->header);
  free(f->tensors);
  free(f->by_name);
  free(f->path);
  free(f);
}

/* ---- the open file ---- */

const char *st_path(const st_file *f)
{
  return f->path;
}

uint64_t st_file_bytes(const st_file *f)
{
  return f->bytes;
}

uint64_t st_data_offset(const st_file *f)
{
  return f->data;
}

size_t st_count(const st_file *f)
{
  return f->count;
}

const st_tensor *st_at(const st_file *f, size_t i)
{
  return &f->tensors[i];
}

const st_tensor *st_find(const st_file *f, const char *name)
{
  st_tensor wanted = {.name = name};
  const st_tensor *key = &wanted;
  const st_tensor **found = bsearch(&key, f->by_name, f->count, sizeof *f->by_name, by_name);
  return found != NULL ? *found : NULL;
}

size_t st_metadata_count(const st_file *f)
{
  return json_count(f->header, f->metadata);
}

bool st_metadata_at(const st_file *f, size_t i, const char **key, const char **value)
{
  json_id m = json_first(f->header, f->metadata);
  for (; m != 0 && i > 0; i--)
    m = json_next(f->header, m);
  if (m == 0)
    return false;
  *key = json_string(f->header, m);
  *value = json_string(f->header, json_value(f->header, m));
  return true;
}

const char *st_metadata(const st_file *f, const char *key)
{
  return json_string(f->header, json_get(f->header, f->metadata, key));
}

bool st_read(const st_file *f, const st_tensor *t, uint64_t offset, void *into, size_t count,
             fail *why)
{
  fail inner;
  if (offset > t->bytes || count > t->bytes - offset)
    return fail_set(why, FAIL_OVERFLOW, f->path, "tensor \"%.200s\": bytes %llu + %zu are outside",
                    t->name, (unsigned long long)offset, count);
  if (io_read_at(f->fd, f->data + t->begin + offset, into, count, NULL, &inner))
    return true;
  fail_set(why, inner.kind, f->path, "tensor \"%.200s\": %s", t->name, inner.text);
  if (why != NULL)
    why->detail = inner.detail;
  return false;
}
