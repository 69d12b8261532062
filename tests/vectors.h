/*
 * vectors.h - reads the .safetensors files of tests/vectors into memory and finds their tensors by
 * name.
 *
 * For trusted files only: it checks that a file is complete, not that it is well made. On a
 * big-endian machine the elements are turned round, so that tests see numbers.
 */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include "harness.h"

#include <libquant.h>

struct vec {
  char *name;
  int32_t dtype; /* LQ_F32 ... LQ_I64; 0 for any other */
  uint32_t ndim;
  uint64_t dims[8];
  uint64_t count, bytes;
  void *data;
};

struct vec_file {
  char *raw;
  struct vec *v; /* sorted by name */
  size_t n;
};

static inline const char *vec_space(const char *p)
{
  while (*p == ' ' || *p == '\n' || *p == ',' || *p == ':')
    p++;
  return p;
}

/* Past the string that starts at p. */
static inline const char *vec_skip_string(const char *p)
{
  for (p++; *p && *p != '"'; p++)
    if (*p == '\\')
      p++;
  return p + 1;
}

/* Past the value that starts at p. */
static inline const char *vec_skip(const char *p)
{
  int depth = 0;
  do {
    if (*p == '"') {
      p = vec_skip_string(p);
    } else {
      depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
      p++;
    }
  } while (*p && (depth > 0 || (*p != ',' && *p != '}' && *p != ']')));
  return p;
}

static inline int32_t vec_dtype(const char *p)
{
  static const char *const names[] = {"", "F32", "F16", "BF16", "I8", "U8", "I32", "I64"};
  for (int32_t i = 1; i < 8; i++)
    if (!strncmp(p, names[i], strlen(names[i])) && p[strlen(names[i])] == '"')
      return i;
  return 0;
}

/* The numbers of the array at p; returns how many. */
static inline uint32_t vec_numbers(const char *p, uint64_t *out, uint32_t most)
{
  uint32_t n = 0;
  for (p++; *p && *p != ']' && n < most;) {
    char *end;
    out[n++] = strtoull(p, &end, 10);
    p = vec_space(end);
  }
  return n;
}

/* Reads the entry at p; its data start at `data`. Returns past the entry. */
static inline const char *vec_entry(const char *p, char *data, struct vec *v)
{
  uint64_t at[2] = {0, 0};
  v->count = 1;
  for (p = vec_space(p + 1); *p == '"'; p = vec_space(vec_skip(p))) {
    const char *key = p + 1;
    p = vec_space(vec_skip_string(p));
    if (!strncmp(key, "dtype\"", 6))
      v->dtype = vec_dtype(p + 1);
    else if (!strncmp(key, "shape\"", 6))
      v->ndim = vec_numbers(p, v->dims, 8);
    else if (!strncmp(key, "data_offsets\"", 13))
      vec_numbers(p, at, 2);
  }
  for (uint32_t i = 0; i < v->ndim; i++)
    v->count *= v->dims[i];
  v->bytes = at[1] - at[0];
  v->data = data + at[0];
  return p + 1;
}

static inline int vec_order(const void *a, const void *b)
{
  return strcmp(((const struct vec *)a)->name, ((const struct vec *)b)->name);
}

/* Element bytes to the order of this machine. */
static inline void vec_host_order(struct vec *v)
{
  const uint16_t one = 1;
  if (*(const unsigned char *)&one == 1 || v->count == 0)
    return;
  size_t size = (size_t)(v->bytes / v->count);
  for (uint64_t i = 0; i < v->count; i++)
    for (size_t k = 0; k < size / 2; k++) {
      unsigned char *e = (unsigned char *)v->data + i * size, t = e[k];
      e[k] = e[size - 1 - k];
      e[size - 1 - k] = t;
    }
}

static inline void vec_parse(struct vec_file *f, const char *header, char *data)
{
  size_t room = 0;
  for (const char *p = vec_space(header + 1); *p == '"'; p = vec_space(p)) {
    const char *name = p + 1;
    p = vec_skip_string(p);
    size_t length = (size_t)(p - 1 - name);
    p = vec_space(p);
    if (length == 12 && !strncmp(name, "__metadata__", 12)) {
      p = vec_skip(p);
      continue;
    }
    if (f->n == room) {
      room = room ? room * 2 : 64;
      f->v = realloc(f->v, room * sizeof *f->v);
      if (!f->v)
        exit(2);
    }
    struct vec *v = &f->v[f->n++];
    memset(v, 0, sizeof *v);
    v->name = test_alloc(length + 1);
    memcpy(v->name, name, length);
    p = vec_entry(p, data, v);
    vec_host_order(v);
  }
  qsort(f->v, f->n, sizeof *f->v, vec_order);
}

/* 0 and an empty *f if the file is not there or not complete. */
static inline int vec_open(struct vec_file *f, const char *folder, const char *name)
{
  char path[1024];
  uint64_t length = 0;
  memset(f, 0, sizeof *f);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *in = fopen(path, "rb");
  if (!in)
    return 0;
  fseek(in, 0, SEEK_END);
  long size = ftell(in);
  rewind(in);
  f->raw = test_alloc((size_t)(size > 0 ? size : 0) + 1);
  size_t got = size > 0 ? fread(f->raw, 1, (size_t)size, in) : 0;
  fclose(in);
  for (int i = 0; i < 8 && size >= 8; i++)
    length |= (uint64_t)(unsigned char)f->raw[i] << 8 * i;
  if (size < 10 || got != (size_t)size || length < 2 || length > (uint64_t)size - 8) {
    free(f->raw);
    f->raw = NULL;
    return 0;
  }
  /*
   * The header ends in '}' or a space, either of which may give its place to the end mark of the
   * text.
   */
  char *header = test_alloc((size_t)length + 1);
  memcpy(header, f->raw + 8, (size_t)length);
  vec_parse(f, header, f->raw + 8 + length);
  free(header);
  return 1;
}

static inline void vec_close(struct vec_file *f)
{
  for (size_t i = 0; i < f->n; i++)
    free(f->v[i].name);
  free(f->v);
  free(f->raw);
  memset(f, 0, sizeof *f);
}

/* The tensor of that name, or NULL. */
TEST_PRINTF(2, 3)
static inline const struct vec *vec_find(const struct vec_file *f, const char *fmt, ...)
{
  char name[256];
  struct vec key;
  va_list args;
  va_start(args, fmt);
  vsnprintf(name, sizeof name, fmt, args);
  va_end(args);
  memset(&key, 0, sizeof key);
  key.name = name;
  return f->n ? bsearch(&key, f->v, f->n, sizeof *f->v, vec_order) : NULL;
}

/* 1 if v's name ends in `tail`; then `head` is the name without it. */
static inline int vec_ends(const struct vec *v, const char *tail, char head[128])
{
  size_t n = strlen(v->name), k = strlen(tail);
  if (n < k || n - k >= 128 || strcmp(v->name + n - k, tail) != 0)
    return 0;
  memcpy(head, v->name, n - k);
  head[n - k] = 0;
  return 1;
}

#endif
