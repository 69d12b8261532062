/*
 * st_write.c - planning and writing a safetensors file.
 *
 * Owns: the order of tensors and the header text, both as the reference writer (safetensors 0.8)
 * makes them, so that equal tensors give equal files. Must not know: how the file becomes visible.
 */
#include "safetensors.h"

#include "buf.h"
#include "json.h"
#include "utf8.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct st_writer {
  char *path;
  size_t count;
  st_tensor *tensors;        /* as given; names are copies */
  const st_tensor **order;   /* as written */
  _Atomic uint64_t *written; /* bytes of each tensor so far */
  buf header;                /* length field, JSON, spaces */
  uint64_t total;
  out_file *file;
};

static int by_dtype(const void *a, const void *b)
{
  const st_tensor *const *x = a, *const *y = b;
  if ((*x)->dtype != (*y)->dtype)
    return (*x)->dtype > (*y)->dtype ? -1 : 1;
  return strcmp((*x)->name, (*y)->name);
}

static int by_name(const void *a, const void *b)
{
  const st_tensor *const *x = a, *const *y = b;
  return strcmp((*x)->name, (*y)->name);
}

static bool copy_tensor(st_writer *w, size_t i, const st_tensor *from, fail *why)
{
  st_tensor *t = &w->tensors[i];
  fail inner;
  size_t length = strlen(from->name);
  *t = *from;
  t->name = NULL;
  if (length > ST_NAME_MAX)
    return fail_set(why, FAIL_LIMIT, w->path, "a tensor name of %zu bytes; the limit is %d", length,
                    ST_NAME_MAX);
  if (utf8_check(from->name, length) != length || strcmp(from->name, "__metadata__") == 0)
    return fail_set(why, FAIL_FORMAT, w->path, "\"%.200s\" cannot be the name of a tensor",
                    from->name);
  if (!st_measure(t, &inner))
    return fail_set(why, inner.kind, w->path, "tensor \"%.200s\": %s", from->name, inner.text);
  char *name = malloc(length + 1);
  if (name == NULL)
    return fail_memory(why, w->path);
  memcpy(name, from->name, length + 1);
  t->name = name;
  return true;
}

/* Names once, then the written order and with it each tensor's place. */
static bool lay_out(st_writer *w, fail *why)
{
  uint64_t at = 0;
  for (size_t i = 0; i < w->count; i++)
    w->order[i] = &w->tensors[i];
  qsort(w->order, w->count, sizeof *w->order, by_name);
  for (size_t i = 1; i < w->count; i++)
    if (strcmp(w->order[i]->name, w->order[i - 1]->name) == 0)
      return fail_set(why, FAIL_FORMAT, w->path, "two tensors have the name \"%.200s\"",
                      w->order[i]->name);
  qsort(w->order, w->count, sizeof *w->order, by_dtype);
  for (size_t i = 0; i < w->count; i++) {
    st_tensor *t = &w->tensors[w->order[i] - w->tensors];
    t->begin = at;
    if (t->bytes > INT64_MAX - JSON_BYTES_MAX - 16 - at)
      return fail_set(why, FAIL_OVERFLOW, w->path, "the file would not fit 63 bits");
    at += t->bytes;
  }
  w->total = at;
  return true;
}

static void print_entry(buf *b, const st_tensor *t)
{
  json_quote(b, t->name, strlen(t->name), false);
  buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", st_dtype_name(t->dtype));
  for (unsigned i = 0; i < t->ndim; i++)
    buf_printf(b, i > 0 ? ",%llu" : "%llu", (unsigned long long)t->shape[i]);
  buf_printf(b, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)t->begin,
             (unsigned long long)(t->begin + t->bytes));
}

static bool print_header(st_writer *w, const st_pair *metadata, size_t pairs, fail *why)
{
  buf *b = &w->header;
  buf_fill(b, 0, 8);
  buf_byte(b, '{');
  for (size_t i = 0; i < pairs; i++) {
    buf_text(b, i == 0 ? "\"__metadata__\":{" : ",");
    json_quote(b, metadata[i].key, strlen(metadata[i].key), false);
    buf_byte(b, ':');
    json_quote(b, metadata[i].value, strlen(metadata[i].value), false);
  }
  if (pairs > 0)
    buf_text(b, w->count > 0 ? "}," : "}");
  for (size_t i = 0; i < w->count; i++) {
    if (i > 0)
      buf_byte(b, ',');
    print_entry(b, w->order[i]);
  }
  buf_byte(b, '}');
  buf_fill(b, ' ', (8 - b->length % 8) % 8);
  if (b->failed)
    return fail_memory(why, w->path);
  uint64_t length = b->length - 8;
  if (length > JSON_BYTES_MAX)
    return fail_set(why, FAIL_LIMIT, w->path, "a header of %llu bytes; the limit is %d",
                    (unsigned long long)length, JSON_BYTES_MAX);
  for (int i = 0; i < 8; i++)
    b->data[i] = (char)(unsigned char)(length >> (8 * i) & 0xFF);
  w->total += b->length;
  return true;
}

bool st_writer_plan(st_writer **out, const st_tensor *tensors, size_t count,
                    const st_pair *metadata, size_t pairs, const char *path, fail *why)
{
  *out = NULL;
  st_writer *w = calloc(1, sizeof *w);
  if (w == NULL)
    return fail_memory(why, path);
  w->path = malloc(strlen(path) + 1);
  w->tensors = calloc(count + 1, sizeof *w->tensors);
  w->order = calloc(count + 1, sizeof *w->order);
  w->written = calloc(count + 1, sizeof *w->written);
  if (w->path == NULL || w->tensors == NULL || w->order == NULL || w->written == NULL) {
    fail_memory(why, path);
    goto fail;
  }
  strcpy(w->path, path);
  for (; w->count < count; w->count++)
    if (!copy_tensor(w, w->count, &tensors[w->count], why))
      goto fail;
  if (!lay_out(w, why) || !print_header(w, metadata, pairs, why))
    goto fail;
  *out = w;
  return true;
fail:
  st_writer_free(w);
  return false;
}

void st_writer_free(st_writer *w)
{
  if (w == NULL)
    return;
  for (size_t i = 0; i < w->count; i++)
    free((char *)w->tensors[i].name);
  free(w->tensors);
  free(w->order);
  free(w->written);
  buf_free(&w->header);
  free(w->path);
  free(w);
}

uint64_t st_writer_bytes(const st_writer *w)
{
  return w->total;
}

const st_tensor *st_writer_tensor(const st_writer *w, size_t i)
{
  return &w->tensors[i];
}

bool st_writer_start(st_writer *w, out_file *file, fail *why)
{
  w->file = file;
  return out_reserve(file, w->total, why) &&
         out_write_at(file, 0, w->header.data, w->header.length, why);
}

bool st_writer_write(st_writer *w, size_t i, uint64_t offset, const void *from, size_t count,
                     fail *why)
{
  const st_tensor *t = &w->tensors[i];
  if (offset > t->bytes || count > t->bytes - offset)
    return fail_set(why, FAIL_OVERFLOW, w->path, "tensor \"%.200s\": bytes %llu + %zu are outside",
                    t->name, (unsigned long long)offset, count);
  if (!out_write_at(w->file, w->header.length + t->begin + offset, from, count, why))
    return false;
  atomic_fetch_add(&w->written[i], count);
  return true;
}

bool st_writer_elements(st_writer *w, size_t i, uint64_t offset, const void *from, size_t count,
                        fail *why)
{
  enum { PIECE = 1 << 12 };
  const char *at = from;
  uint64_t piece[PIECE / 8], one = 1;
  st_turn(ST_U64, &one, sizeof one);
  /* The machine's order is the file's. */
  if (one == 1) /* GCOVR_EXCL_BR_LINE: a machine has one order; tests/cross.sh has the other */
    return st_writer_write(w, i, offset, from, count, why);
  /* GCOVR_EXCL_START: as above */
  while (count > 0) {
    size_t n = count < PIECE ? count : PIECE;
    memcpy(piece, at, n);
    st_turn(w->tensors[i].dtype, piece, n);
    if (!st_writer_write(w, i, offset, piece, n, why))
      return false;
    at += n;
    offset += n;
    count -= n;
  }
  return true;
  /* GCOVR_EXCL_STOP */
}

bool st_writer_finish(st_writer *w, fail *why)
{
  for (size_t i = 0; i < w->count; i++) {
    uint64_t written = atomic_load(&w->written[i]);
    if (written != w->tensors[i].bytes)
      return fail_set(why, FAIL_DATA, w->path, "tensor \"%.200s\": %llu of %llu bytes were written",
                      w->tensors[i].name, (unsigned long long)written,
                      (unsigned long long)w->tensors[i].bytes);
  }
  return true;
}
