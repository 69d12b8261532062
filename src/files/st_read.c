/*
 * st_read.c - opening a safetensors file and reading its tensors.
 *
 * Owns: the open file, the order of its tensors and where their data lie. Must not know: the rules
 * of the header (st_header.c). Nothing is asked of memory before the length of the file bounds it.
 */
#include "safetensors.h"

#include "io.h"
#include "json.h"
#include "st_header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8 }; /* bytes of the length field */

struct st_file {
  int fd;
  char *path;
  uint64_t bytes;            /* of the whole file, taken once */
  uint64_t data;             /* offset of the data */
  st_header header;          /* its tensors by offset */
  const st_tensor **by_name; /* the same, by name */
};

/* ---- opening ---- */

static int by_offset(const void *a, const void *b)
{
  const st_tensor *x = a, *y = b;
  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  if (x->bytes != y->bytes)
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
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
  for (size_t i = 0; i < f->header.count; i++) {
    const st_tensor *t = &f->header.tensors[i];
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
  st_header *h = &f->header;
  f->by_name = malloc((h->count + 1) * sizeof *f->by_name);
  if (f->by_name == NULL)
    return fail_memory(why, f->path);
  if (h->count > 0)
    qsort(h->tensors, h->count, sizeof *h->tensors, by_offset);
  for (size_t i = 0; i < h->count; i++)
    f->by_name[i] = &h->tensors[i];
  if (h->count > 0)
    qsort(f->by_name, h->count, sizeof *f->by_name, by_name);
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
  f->data = PREFIX + length;
  return st_header_read(&f->header, text, (size_t)length, f->path, PREFIX, why) &&
         read_table(f, why);
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
  return st_open_at(out, SYS_CWD, path, true, path, why);
}

void st_close(st_file *f)
{
  if (f == NULL)
    return;
  if (f->fd >= 0)
    sys_close(f->fd);
  st_header_free(&f->header);
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
  return f->header.count;
}

const st_tensor *st_at(const st_file *f, size_t i)
{
  return &f->header.tensors[i];
}

const st_tensor *st_find(const st_file *f, const char *name)
{
  st_tensor wanted = {.name = name};
  const st_tensor *key = &wanted;
  const st_tensor **found = bsearch(&key, f->by_name, f->header.count, sizeof *f->by_name, by_name);
  return found != NULL ? *found : NULL;
}

size_t st_metadata_count(const st_file *f)
{
  return f->header.pairs;
}

bool st_metadata_at(const st_file *f, size_t i, const char **key, const char **value)
{
  if (i >= f->header.pairs)
    return false;
  *key = f->header.metadata[i].key;
  *value = f->header.metadata[i].value;
  return true;
}

const char *st_metadata(const st_file *f, const char *key)
{
  for (size_t i = 0; i < f->header.pairs; i++)
    if (strcmp(f->header.metadata[i].key, key) == 0)
      return f->header.metadata[i].value;
  return NULL;
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

/* Read again, since the parsed header was unescaped where it stands. */
bool st_stamp_of(const st_file *f, st_stamp *out, fail *why)
{
  char piece[4096];
  sys_info info;
  sha256 sum;
  if (!sys_look_open(&info, f->fd))
    return fail_system(why, f->path, "look at", errno);
  *out = (st_stamp){.bytes = f->bytes, .seconds = info.seconds, .nanoseconds = info.nanoseconds};
  sha256_start(&sum);
  for (uint64_t at = 0; at < f->data;) {
    size_t n = f->data - at < sizeof piece ? (size_t)(f->data - at) : sizeof piece;
    if (!io_read_at(f->fd, at, piece, n, f->path, why))
      return false;
    sha256_add(&sum, piece, n);
    at += n;
  }
  sha256_text(&sum, out->header);
  return true;
}
