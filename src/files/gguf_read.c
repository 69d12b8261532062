/*
 * gguf_read.c - opening a GGUF file: every byte in front of the data is hostile until checked here.
 *
 * Owns: the walk over these bytes, through a window of fixed size, and the tables that it fills. A
 * count is compared with the bytes that are left before memory is asked for.
 */
#include "gguf_file.h"

#include "io.h"
#include "utf8.h"

#include <libquant.h>

#include <stdlib.h>
#include <string.h>

enum {
  WINDOW = 1 << 16,
  NAME_BLOCK = 1 << 12,
  LEAST_KEY = 8 + 1 + 4 + 1,            /* a name of one byte, a type, a value of one byte */
  LEAST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8, /* a name, one dimension, type and offset */
  DEFAULT_ALIGNMENT = 32
};

struct name_block {
  name_block *next;
  size_t used, room;
  char text[];
};

/* A position in the file and the bytes around it. */
typedef struct reader {
  gguf_file *f;
  uint64_t at;   /* the next byte to take */
  uint64_t from; /* what the window holds */
  size_t held;
  unsigned char window[WINDOW];
} reader;

/* ---- bytes ---- */

bool gguf_bytes_at(const gguf_file *f, uint64_t offset, void *into, size_t count, fail *why)
{
  if (f->memory == NULL)
    return io_read_at(f->fd, offset, into, count, f->path, why);
  if (count == 0) /* of an empty tensor, which may lie behind the end */
    return true;
  if (count > f->bytes - offset) {
    fail_set(why, FAIL_TRUNCATED, f->path, "byte %llu: %zu bytes are not there",
             (unsigned long long)offset, count);
    return false;
  }
  memcpy(into, f->memory + offset, count);
  return true;
}

static uint64_t left(const reader *r)
{
  return r->f->bytes - r->at;
}

static bool refuse(const reader *r, uint64_t at, fail_kind kind, const char *text, fail *why)
{
  return fail_set(why, kind, r->f->path, "byte %llu: %s", (unsigned long long)at, text);
}

static bool ends_early(const reader *r, const char *what, fail *why)
{
  return fail_set(why, FAIL_TRUNCATED, r->f->path, "byte %llu: the file ends inside %s",
                  (unsigned long long)r->at, what);
}

/* The next `count` bytes, at most WINDOW, as they lie in the window; NULL on failure. */
static const unsigned char *take(reader *r, size_t count, const char *what, fail *why)
{
  if (count > left(r)) {
    ends_early(r, what, why);
    return NULL;
  }
  /* `at` only grows: it is not before the window. */
  if (r->at - r->from > r->held || r->held - (r->at - r->from) < count) {
    r->from = r->at;
    r->held = left(r) < WINDOW ? (size_t)left(r) : WINDOW;
    if (!gguf_bytes_at(r->f, r->from, r->window, r->held, why)) {
      r->held = 0;
      return NULL;
    }
  }
  r->at += count;
  return r->window + (r->at - count - r->from);
}

static bool take_integer(reader *r, unsigned bytes, uint64_t *out, const char *what, fail *why)
{
  const unsigned char *p = take(r, bytes, what, why);

  if (p != NULL)
    *out = gguf_integer(p, bytes);
  return p != NULL;
}

/* Room for `length` bytes and a NUL that stays until the file is closed. */
static char *name_room(gguf_file *f, size_t length)
{
  name_block *b = f->names;

  if (b == NULL || b->room - b->used <= length) {
    size_t room = length < NAME_BLOCK ? NAME_BLOCK : length + 1;

    b = malloc(sizeof *b + room);
    if (b == NULL)
      return NULL;
    *b = (name_block){.next = f->names, .room = room};
    f->names = b;
  }
  b->used += length + 1;
  return b->text + b->used - length - 1;
}

/* A name as C text: every reader must see the same one. */
static const char *take_name(reader *r, uint64_t limit, const char *what, fail *why)
{
  uint64_t at = r->at, length;

  if (!take_integer(r, 8, &length, what, why))
    return NULL;
  if (length > limit) {
    fail_set(why, FAIL_LIMIT, r->f->path, "byte %llu: %s of %llu bytes; the limit is %llu",
             (unsigned long long)at, what, (unsigned long long)length, (unsigned long long)limit);
    return NULL;
  }
  const unsigned char *bytes = take(r, (size_t)length, what, why);
  if (bytes == NULL)
    return NULL;
  const char *wrong = length == 0                                                ? "is empty"
                      : memchr(bytes, 0, (size_t)length)                         ? "has a NUL in it"
                      : utf8_check((const char *)bytes, (size_t)length) < length ? "is not UTF-8"
                                                                                 : NULL;
  if (wrong != NULL) {
    fail_set(why, FAIL_FORMAT, r->f->path, "byte %llu: %s %s", (unsigned long long)at, what, wrong);
    return NULL;
  }
  char *name = name_room(r->f, (size_t)length);
  if (name == NULL) {
    fail_memory(why, r->f->path);
    return NULL;
  }
  memcpy(name, bytes, (size_t)length);
  name[length] = 0;
  return name;
}

/* ---- metadata ---- */

static const char *const type_names[GGUF_TYPES] = {
    "U8", "I8", "U16", "I16", "U32", "I32", "F32", "BOOL", "STRING", "ARRAY", "U64", "I64", "F64"};

const char *gguf_type_name(gguf_type t)
{
  return type_names[t];
}

unsigned gguf_item_bytes(unsigned type)
{
  static const unsigned char bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

  return bytes[type];
}

static bool bad_value(const reader *r, uint64_t at, const gguf_value *v, fail_kind kind,
                      const char *text, fail *why)
{
  return fail_set(why, kind, r->f->path, "byte %llu: key \"%.200s\": %s", (unsigned long long)at,
                  v->key, text);
}

static bool skip_string(reader *r, const gguf_value *v, uint64_t *length, fail *why)
{
  uint64_t at = r->at;

  if (!take_integer(r, 8, length, "the length of a string", why))
    return false;
  if (*length > GGUF_ITEMS_MAX)
    return bad_value(r, at, v, FAIL_LIMIT, "a string longer than 2^30 bytes", why);
  if (*length > left(r))
    return bad_value(r, at, v, FAIL_TRUNCATED, "a string goes on behind the end of the file", why);
  r->at += *length;
  return true;
}

/* Bytes that must be 0 or 1, so that no reader ever loads another as a truth value. */
static bool skip_bools(reader *r, const gguf_value *v, uint64_t count, fail *why)
{
  while (count > 0) {
    size_t n = count < WINDOW ? (size_t)count : WINDOW;
    uint64_t at = r->at;
    const unsigned char *p = take(r, n, "a value", why);

    if (p == NULL)
      return false;
    for (size_t i = 0; i < n; i++)
      if (p[i] > 1)
        return bad_value(r, at + i, v, FAIL_FORMAT, "a BOOL that is neither 0 nor 1", why);
    count -= n;
  }
  return true;
}

static bool skip_items(reader *r, const gguf_value *v, unsigned type, uint64_t count, fail *why)
{
  unsigned size = gguf_item_bytes(type);
  uint64_t length;

  if (type == GGUF_BOOL)
    return skip_bools(r, v, count, why);
  if (type == GGUF_STRING) {
    for (uint64_t i = 0; i < count; i++)
      if (!skip_string(r, v, &length, why))
        return false;
    return true;
  }
  if (count > left(r) / size)
    return ends_early(r, "a value", why);
  r->at += count * size;
  return true;
}

static bool read_array(reader *r, gguf_value *v, fail *why)
{
  uint64_t at = r->at, item;
  unsigned least;

  if (!take_integer(r, 4, &item, "the type of an array", why))
    return false;
  if (item == GGUF_ARRAY)
    return bad_value(r, at, v, FAIL_UNSUPPORTED, "an array of arrays", why);
  if (item >= GGUF_TYPES)
    return bad_value(r, at, v, FAIL_FORMAT, "an array of a type that does not exist", why);
  v->item = (uint16_t)item;
  at = r->at;
  if (!take_integer(r, 8, &v->count, "the length of an array", why))
    return false;
  if (v->count > GGUF_ITEMS_MAX)
    return bad_value(r, at, v, FAIL_LIMIT, "an array of more than 2^30 items", why);
  least = item == GGUF_STRING ? 8 : gguf_item_bytes((unsigned)item);
  if (v->count > left(r) / least)
    return bad_value(r, at, v, FAIL_TRUNCATED, "an array goes on behind the end of the file", why);
  v->at = r->at;
  return skip_items(r, v, v->item, v->count, why);
}

static bool read_value(reader *r, gguf_value *v, fail *why)
{
  uint64_t at, type;

  if (left(r) < LEAST_KEY)
    return ends_early(r, "the keys", why);
  v->key = take_name(r, GGUF_KEY_MAX, "a key", why);
  if (v->key == NULL)
    return false;
  at = r->at;
  if (!take_integer(r, 4, &type, "the type of a value", why))
    return false;
  if (type >= GGUF_TYPES)
    return bad_value(r, at, v, FAIL_FORMAT, "a value of a type that does not exist", why);
  v->type = (uint16_t)type;
  v->count = 1;
  v->at = r->at;
  if (type == GGUF_ARRAY)
    return read_array(r, v, why);
  if (type != GGUF_STRING)
    return skip_items(r, v, v->type, 1, why);
  v->at += 8;
  return skip_string(r, v, &v->count, why);
}

static bool read_alignment(gguf_file *f, fail *why)
{
  static const char key[] = "general.alignment";
  const gguf_value *v = gguf_find_key(f, key);
  unsigned char bytes[4];
  const char *wrong = NULL;
  fail_kind kind = FAIL_FORMAT;

  f->alignment = DEFAULT_ALIGNMENT;
  if (v == NULL)
    return true;
  if (v->type == GGUF_U32) {
    if (!gguf_bytes_at(f, v->at, bytes, sizeof bytes, why))
      return false;
    f->alignment = (uint32_t)gguf_integer(bytes, sizeof bytes);
  }
  if (v->type != GGUF_U32)
    wrong = "is not of type U32";
  else if (f->alignment < 8 || (f->alignment & (f->alignment - 1)) != 0)
    wrong = "is not a power of two from 8 on";
  else if (f->alignment > GGUF_ALIGNMENT_MAX) {
    wrong = "is above 2^20";
    kind = FAIL_LIMIT;
  }
  if (wrong != NULL)
    return fail_set(why, kind, f->path, "byte %llu: key \"%s\" %s", (unsigned long long)v->at, key,
                    wrong);
  return true;
}

/* ---- the tensor table ---- */

static bool bad_tensor(const reader *r, uint64_t at, const gguf_tensor *t, fail_kind kind,
                       const char *text, fail *why)
{
  return fail_set(why, kind, r->f->path, "byte %llu: tensor \"%.200s\": %s", (unsigned long long)at,
                  t->as.name, text);
}

static bool read_dimensions(reader *r, gguf_tensor *t, fail *why)
{
  uint64_t at = r->at, n;

  if (!take_integer(r, 4, &n, "a tensor's number of dimensions", why))
    return false;
  if (n == 0)
    return bad_tensor(r, at, t, FAIL_FORMAT, "no dimensions", why);
  if (n > GGUF_DIMS_MAX)
    return bad_tensor(r, at, t, FAIL_LIMIT, "more than 4 dimensions", why);
  t->as.ndim = (unsigned)n;
  for (unsigned i = t->as.ndim; i > 0; i--)
    if (!take_integer(r, 8, &t->as.shape[i - 1], "a tensor's dimensions", why))
      return false;
  return true;
}

/* From elements to bytes of blocks. That the elements can be counted at all is checked first: the
 * last dimension shrinks when it becomes bytes of blocks of less than a byte an element. */
static bool measure(const reader *r, uint64_t at, gguf_tensor *t, const lq_ggml_type *info,
                    fail *why)
{
  uint64_t *row = &t->as.shape[t->as.ndim - 1];
  fail inner;

  t->blocks = !st_dtype_from_name(info->name, &t->as.dtype);
  if (t->blocks)
    t->as.dtype = ST_U8;
  if (!st_measure(&t->as, &inner))
    return bad_tensor(r, at, t, inner.kind, inner.text, why);
  if (!t->blocks)
    return true;
  if (*row % info->elements != 0)
    return fail_set(why, FAIL_FORMAT, r->f->path,
                    "byte %llu: tensor \"%.200s\": rows of %llu elements are not whole blocks of "
                    "%s, which have %u",
                    (unsigned long long)at, t->as.name, (unsigned long long)*row, info->name,
                    (unsigned)info->elements);
  if (*row / info->elements > INT64_MAX / info->bytes)
    return bad_tensor(r, at, t, FAIL_OVERFLOW, "the number of bytes does not fit 63 bits", why);
  *row = *row / info->elements * info->bytes;
  if (!st_measure(&t->as, &inner))
    return bad_tensor(r, at, t, inner.kind, inner.text, why);
  return true;
}

static bool read_tensor(reader *r, gguf_tensor *t, fail *why)
{
  lq_ggml_type info = {.size = sizeof info};
  uint64_t at = r->at, shape_at, type_at, type;

  if (left(r) < LEAST_TENSOR)
    return ends_early(r, "the tensor table", why);
  t->as.name = take_name(r, GGUF_NAME_MAX, "a tensor name", why);
  if (t->as.name == NULL)
    return false;
  shape_at = r->at;
  if (!read_dimensions(r, t, why))
    return false;
  type_at = r->at;
  if (!take_integer(r, 4, &type, "a tensor's type", why) ||
      !take_integer(r, 8, &t->as.begin, "a tensor's offset", why))
    return false;
  t->type = type > INT32_MAX ? -1 : (int32_t)type;
  if (lq_ggml_type_info(t->type, &info) != LQ_OK)
    return fail_set(why, FAIL_UNSUPPORTED, r->f->path,
                    "byte %llu: tensor \"%.200s\": no type has the number %llu",
                    (unsigned long long)type_at, t->as.name, (unsigned long long)type);
  if (t->as.begin % r->f->alignment != 0)
    return bad_tensor(r, at, t, FAIL_FORMAT, "its offset is not a multiple of the alignment", why);
  return measure(r, shape_at, t, &info, why);
}

/* `bytes` rounded up; both below 2^63. */
static uint64_t aligned(const gguf_file *f, uint64_t bytes)
{
  return (bytes + f->alignment - 1) & ~(uint64_t)(f->alignment - 1);
}

/* Each tensor begins where the one before it ends, rounded up. Only then can a tensor be outside of
 * the file because the file ends early; all else is a table that contradicts itself. */
static bool check_ranges(gguf_file *f, fail *why)
{
  uint64_t end = 0, have = f->bytes > f->data ? f->bytes - f->data : 0;

  for (size_t i = 0; i < f->count; i++) {
    const st_tensor *t = &f->tensors[i].as;
    uint64_t expected = aligned(f, end);

    if (t->begin != expected)
      return fail_set(why, FAIL_FORMAT, f->path,
                      "tensor \"%.200s\" starts at data byte %llu where %llu was expected", t->name,
                      (unsigned long long)t->begin, (unsigned long long)expected);
    if (t->bytes > 0 && (expected > have || t->bytes > have - expected))
      return fail_set(why, FAIL_TRUNCATED, f->path,
                      "tensor \"%.200s\" needs data bytes %llu to %llu; the file has %llu", t->name,
                      (unsigned long long)expected, (unsigned long long)(expected + t->bytes),
                      (unsigned long long)have);
    end = expected + t->bytes;
  }
  if (have > end && have - end > f->alignment)
    return fail_set(why, FAIL_FORMAT, f->path, "%llu bytes after the last tensor, from byte %llu",
                    (unsigned long long)(have - end), (unsigned long long)(f->data + end));
  return true;
}

/* ---- names are unique ---- */

/* Both tables have the name in front. */
static const char *name_of(const void *row)
{
  return *(const char *const *)row;
}

static int by_name(const void *a, const void *b)
{
  return strcmp(name_of(*(const void *const *)a), name_of(*(const void *const *)b));
}

static bool check_names(const gguf_file *f, const void *table, size_t count, size_t row,
                        const char *what, fail *why)
{
  const char *twice = NULL;
  const void **order = malloc((count + 1) * sizeof *order);

  if (order == NULL)
    return fail_memory(why, f->path);
  for (size_t i = 0; i < count; i++)
    order[i] = (const char *)table + i * row;
  if (count > 0)
    qsort(order, count, sizeof *order, by_name);
  for (size_t i = 1; i < count; i++)
    if (strcmp(name_of(order[i - 1]), name_of(order[i])) == 0)
      twice = name_of(order[i]);
  free(order);
  if (twice != NULL)
    return fail_set(why, FAIL_FORMAT, f->path, "%s \"%.200s\" is there twice", what, twice);
  return true;
}

/* ---- the whole ---- */

static bool read_head(reader *r, uint64_t *tensors, uint64_t *keys, fail *why)
{
  uint64_t version = 0;
  const unsigned char *magic = take(r, 4, "the first four bytes", why);

  if (magic == NULL)
    return false;
  if (memcmp(magic, "GGUF", 4) != 0)
    return refuse(r, 0, FAIL_FORMAT, "does not begin with \"GGUF\"", why);
  if (!take_integer(r, 4, &version, "the version", why))
    return false;
  if ((version & 0xffff) == 0 && version != 0)
    return refuse(r, 4, FAIL_UNSUPPORTED, "a big-endian file", why);
  if (version != 2 && version != 3)
    return fail_set(why, FAIL_UNSUPPORTED, r->f->path,
                    "byte 4: version %llu of GGUF; 2 and 3 are read", (unsigned long long)version);
  r->f->version = (uint32_t)version;
  if (!take_integer(r, 8, tensors, "the number of tensors", why) ||
      !take_integer(r, 8, keys, "the number of keys", why))
    return false;
  if (*tensors > GGUF_COUNT_MAX)
    return refuse(r, 8, FAIL_LIMIT, "more than 2^20 tensors", why);
  if (*keys > GGUF_COUNT_MAX)
    return refuse(r, 16, FAIL_LIMIT, "more than 2^20 keys", why);
  if (*tensors * LEAST_TENSOR + *keys * LEAST_KEY > left(r))
    return refuse(r, 8, FAIL_TRUNCATED, "more keys and tensors than the file has room for", why);
  return true;
}

static bool read_all(reader *r, fail *why)
{
  gguf_file *f = r->f;
  uint64_t tensors = 0, keys = 0;

  if (!read_head(r, &tensors, &keys, why))
    return false;
  f->keys = calloc((size_t)keys + 1, sizeof *f->keys);
  f->tensors = calloc((size_t)tensors + 1, sizeof *f->tensors);
  if (f->keys == NULL || f->tensors == NULL)
    return fail_memory(why, f->path);
  while (f->key_count < keys)
    if (!read_value(r, &f->keys[f->key_count++], why))
      return false;
  f->infos = r->at;
  if (!check_names(f, f->keys, f->key_count, sizeof *f->keys, "key", why) ||
      !read_alignment(f, why))
    return false;
  while (f->count < tensors)
    if (!read_tensor(r, &f->tensors[f->count++], why))
      return false;
  f->data = aligned(f, r->at);
  return check_names(f, f->tensors, f->count, sizeof *f->tensors, "tensor", why) &&
         check_ranges(f, why);
}

static bool read_front(gguf_file *f, fail *why)
{
  reader *r = malloc(sizeof *r);
  bool ok;

  if (r == NULL)
    return fail_memory(why, f->path);
  r->f = f;
  r->at = r->from = r->held = 0;
  ok = read_all(r, why);
  free(r);
  return ok;
}

static gguf_file *new_file(const char *path, fail *why)
{
  gguf_file *f = calloc(1, sizeof *f);

  if (f != NULL) {
    f->fd = -1;
    f->path = io_join(NULL, path);
  }
  if (f == NULL || f->path == NULL) {
    gguf_close(f);
    fail_memory(why, path);
    return NULL;
  }
  return f;
}

bool gguf_open(gguf_file **out, const char *path, fail *why)
{
  gguf_file *f = new_file(path, why);

  *out = NULL;
  if (f != NULL && io_open(&f->fd, &f->bytes, SYS_CWD, path, true, path, why) &&
      read_front(f, why)) {
    *out = f;
    return true;
  }
  gguf_close(f);
  return false;
}

bool gguf_open_memory(gguf_file **out, const void *bytes, size_t size, const char *name, fail *why)
{
  gguf_file *f = new_file(name, why);

  *out = NULL;
  if (f == NULL)
    return false;
  f->memory = bytes != NULL ? bytes : (const unsigned char *)"";
  f->bytes = size;
  if (read_front(f, why)) {
    *out = f;
    return true;
  }
  gguf_close(f);
  return false;
}

void gguf_close(gguf_file *f)
{
  if (f == NULL)
    return;
  if (f->fd >= 0)
    sys_close(f->fd);
  while (f->names != NULL) {
    name_block *b = f->names;

    f->names = b->next;
    free(b);
  }
  free(f->tensors);
  free(f->keys);
  free(f->path);
  free(f);
}

bool gguf_is(const char *path)
{
  char magic[4] = {0};
  uint64_t bytes;
  int fd;
  bool is;

  if (!io_open(&fd, &bytes, SYS_CWD, path, true, path, NULL))
    return false;
  is = bytes >= sizeof magic && io_read_at(fd, 0, magic, sizeof magic, path, NULL) &&
       memcmp(magic, "GGUF", sizeof magic) == 0;
  sys_close(fd);
  return is;
}
