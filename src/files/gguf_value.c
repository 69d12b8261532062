/*
 * gguf_value.c - asking an open GGUF file: its tensors' bytes, the values of its keys.
 *
 * Owns: the conversion of stored values. Where each lies was checked when the file was opened.
 */
#include "gguf_file.h"

#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the file ---- */

const char *gguf_path(const gguf_file *f)
{
  return f->path;
}

uint32_t gguf_version(const gguf_file *f)
{
  return f->version;
}

uint64_t gguf_file_bytes(const gguf_file *f)
{
  return f->bytes;
}

uint64_t gguf_data_offset(const gguf_file *f)
{
  return f->data;
}

size_t gguf_count(const gguf_file *f)
{
  return f->count;
}

const gguf_tensor *gguf_at(const gguf_file *f, size_t i)
{
  return &f->tensors[i];
}

bool gguf_read(const gguf_file *f, const st_tensor *t, uint64_t offset, void *into, size_t count,
               fail *why)
{
  if (offset > t->bytes || count > t->bytes - offset)
    return fail_set(why, FAIL_OVERFLOW, f->path, "tensor \"%.200s\": bytes %llu + %zu are outside",
                    t->name, (unsigned long long)offset, count);
  return gguf_bytes_at(f, f->data + t->begin + offset, into, count, why);
}

size_t gguf_key_count(const gguf_file *f)
{
  return f->key_count;
}

const gguf_value *gguf_key_at(const gguf_file *f, size_t i)
{
  return &f->keys[i];
}

const gguf_value *gguf_find_key(const gguf_file *f, const char *key)
{
  for (size_t i = 0; i < f->key_count; i++)
    if (strcmp(f->keys[i].key, key) == 0)
      return &f->keys[i];
  return NULL;
}

/* ---- numbers ---- */

static double f32_of(uint64_t bits)
{
  uint32_t low = (uint32_t)bits;
  float x;

  memcpy(&x, &low, sizeof x);
  return (double)x;
}

static double f64_of(uint64_t bits)
{
  double x;

  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Two's complement of `bytes` bytes. */
static int64_t signed_of(uint64_t bits, unsigned bytes)
{
  uint64_t sign = UINT64_C(1) << (8 * bytes - 1);

  return bits & sign ? -(int64_t)(sign - (bits & (sign - 1)) - 1) - 1 : (int64_t)bits;
}

/* The shortest decimal that reads back as the same number: of a float found by trying, and then
 * written as that of a double. */
static void real_text(char out[32], double value, bool single)
{
  if (!isfinite(value)) {
    snprintf(out, 32, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    return;
  }
  if (single) {
    int digits = 1;

    snprintf(out, 32, "%.1g", value);
    while (digits < 9 && (double)strtof(out, NULL) != value)
      snprintf(out, 32, "%.*g", ++digits, value);
    value = strtod(out, NULL);
  }
  json_f64_text(out, value);
}

static void number_text(unsigned type, uint64_t bits, char out[32])
{
  switch (type) {
  case GGUF_I8:
  case GGUF_I16:
  case GGUF_I32:
  case GGUF_I64: snprintf(out, 32, "%" PRId64, signed_of(bits, gguf_item_bytes(type))); break;
  case GGUF_F32: real_text(out, f32_of(bits), true); break;
  case GGUF_F64: real_text(out, f64_of(bits), false); break;
  case GGUF_BOOL: snprintf(out, 32, "%s", bits ? "true" : "false"); break;
  default: snprintf(out, 32, "%" PRIu64, bits); break;
  }
}

static bool number_at(const gguf_file *f, uint64_t at, unsigned type, uint64_t *bits, fail *why)
{
  unsigned char bytes[8];
  unsigned n = gguf_item_bytes(type);

  if (!gguf_bytes_at(f, at, bytes, n, why))
    return false;
  *bits = gguf_integer(bytes, n);
  return true;
}

/* ---- as text ---- */

/* Where string number i of an array begins, and its length. */
static bool find_string(const gguf_file *f, const gguf_value *v, uint64_t i, uint64_t *at,
                        uint64_t *length, fail *why)
{
  *at = v->at;
  for (;; i--) {
    if (!number_at(f, *at, GGUF_U64, length, why))
      return false;
    *at += 8;
    /* It was shorter when the file was opened: someone writes to it. */
    if (*length > f->bytes || *at > f->bytes - *length)
      return fail_set(why, FAIL_TRUNCATED, f->path, "key \"%.200s\" has changed", v->key);
    if (i == 0)
      return true;
    *at += *length;
  }
}

bool gguf_text(const gguf_file *f, const gguf_value *v, uint64_t i, char **out, size_t *length,
               fail *why)
{
  unsigned type = v->type == GGUF_ARRAY ? v->item : v->type;
  uint64_t at = v->at, n = v->count, bits = 0;
  char number[32] = "";

  *out = NULL;
  if (type == GGUF_STRING) {
    if (v->type == GGUF_ARRAY && !find_string(f, v, i, &at, &n, why))
      return false;
  } else {
    if (!number_at(f, at + i * gguf_item_bytes(type), type, &bits, why))
      return false;
    number_text(type, bits, number);
    n = strlen(number);
  }
  *out = malloc((size_t)n + 1);
  if (*out == NULL)
    return fail_memory(why, f->path);
  memcpy(*out, number, type == GGUF_STRING ? 0 : (size_t)n);
  if (type == GGUF_STRING && !gguf_bytes_at(f, at, *out, (size_t)n, why)) {
    free(*out);
    *out = NULL;
    return false;
  }
  (*out)[n] = 0;
  *length = (size_t)n;
  return true;
}

/* ---- by key ---- */

static bool wrong_type(const gguf_file *f, const gguf_value *v, const char *wanted, fail *why)
{
  return fail_set(why, FAIL_FORMAT, f->path, "byte %llu: key \"%.200s\" is of type %s, not %s",
                  (unsigned long long)v->at, v->key, gguf_type_name((gguf_type)v->type), wanted);
}

bool gguf_opt_u64(const gguf_file *f, const char *key, uint64_t *out, fail *why)
{
  const gguf_value *v = gguf_find_key(f, key);

  if (v == NULL)
    return true;
  if (v->type != GGUF_U8 && v->type != GGUF_U16 && v->type != GGUF_U32 && v->type != GGUF_U64)
    return wrong_type(f, v, "an unsigned integer", why);
  return number_at(f, v->at, v->type, out, why);
}

bool gguf_need_u64(const gguf_file *f, const char *key, uint64_t *out, fail *why)
{
  if (gguf_find_key(f, key) == NULL)
    return fail_set(why, FAIL_NOTFOUND, f->path, "there is no key \"%s\"", key);
  return gguf_opt_u64(f, key, out, why);
}

bool gguf_opt_f64(const gguf_file *f, const char *key, double *out, fail *why)
{
  const gguf_value *v = gguf_find_key(f, key);
  uint64_t bits;

  if (v == NULL)
    return true;
  if (v->type != GGUF_F32 && v->type != GGUF_F64)
    return wrong_type(f, v, "F32 or F64", why);
  if (!number_at(f, v->at, v->type, &bits, why))
    return false;
  *out = v->type == GGUF_F32 ? f32_of(bits) : f64_of(bits);
  return true;
}

bool gguf_opt_bool(const gguf_file *f, const char *key, bool *out, fail *why)
{
  const gguf_value *v = gguf_find_key(f, key);
  uint64_t bits;

  if (v == NULL)
    return true;
  if (v->type != GGUF_BOOL)
    return wrong_type(f, v, "BOOL", why);
  if (!number_at(f, v->at, v->type, &bits, why))
    return false;
  *out = bits != 0;
  return true;
}

bool gguf_opt_string(const gguf_file *f, const char *key, char **out, fail *why)
{
  const gguf_value *v = gguf_find_key(f, key);
  size_t length;

  if (v == NULL)
    return true;
  if (v->type != GGUF_STRING)
    return wrong_type(f, v, "STRING", why);
  if (!gguf_text(f, v, 0, out, &length, why))
    return false;
  /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): gguf_text() sets it, or fails */
  if (strlen(*out) == length)
    return true;
  free(*out);
  *out = NULL;
  return fail_set(why, FAIL_FORMAT, f->path, "byte %llu: key \"%.200s\" has a NUL in it",
                  (unsigned long long)v->at, v->key);
}

/* ---- arrays ---- */

/* Strings end where the next key's length begins, or the tensor table. */
static uint64_t end_of(const gguf_file *f, const gguf_value *v)
{
  const gguf_value *next = v + 1;

  if (v->item != GGUF_STRING)
    return v->at + v->count * gguf_item_bytes(v->item);
  if (next == f->keys + f->key_count)
    return f->infos;
  uint64_t head = next->type == GGUF_ARRAY ? 4 + 4 + 8 : next->type == GGUF_STRING ? 4 + 8 : 4;

  return next->at - head - strlen(next->key) - 8;
}

/* That strings still end where they did when the file was opened. */
static bool check_strings(const gguf_file *f, const gguf_value *v, const gguf_array *a, fail *why)
{
  uint64_t at = 0;

  for (uint64_t i = 0; i < a->count; i++) {
    uint64_t n = a->size - at < 8 ? UINT64_MAX : gguf_integer(a->bytes + at, 8);

    if (n > a->size - at - 8)
      return fail_set(why, FAIL_TRUNCATED, f->path, "key \"%.200s\" has changed", v->key);
    at += 8 + n;
  }
  return true;
}

bool gguf_load(const gguf_file *f, const char *key, gguf_type item, gguf_array *out, fail *why)
{
  const gguf_value *v = gguf_find_key(f, key);
  uint64_t size;

  *out = (gguf_array){0};
  if (v == NULL)
    return fail_set(why, FAIL_NOTFOUND, f->path, "there is no key \"%s\"", key);
  if (v->type != GGUF_ARRAY || v->item != (unsigned)item)
    return fail_set(why, FAIL_FORMAT, f->path, "byte %llu: key \"%s\" is not an array of %s",
                    (unsigned long long)v->at, key, gguf_type_name(item));
  size = end_of(f, v) - v->at;
#if SIZE_MAX < UINT64_MAX
  if (size > SIZE_MAX / 2)
    return fail_set(why, FAIL_OVERFLOW, f->path, "key \"%s\" is too large for this machine", key);
#endif
  *out = (gguf_array){malloc((size_t)size + 1), size, v->count};
  if (out->bytes == NULL) {
    fail_memory(why, f->path);
  } else if (gguf_bytes_at(f, v->at, out->bytes, (size_t)size, why) &&
             (item != GGUF_STRING || check_strings(f, v, out, why))) {
    return true;
  }
  gguf_array_free(out);
  return false;
}

void gguf_array_free(gguf_array *a)
{
  free(a->bytes);
  *a = (gguf_array){0};
}

const char *gguf_next_string(const gguf_array *a, uint64_t *at, size_t *length)
{
  const unsigned char *p = a->bytes + *at;

  *length = (size_t)gguf_integer(p, 8);
  *at += 8 + *length;
  return (const char *)p + 8;
}

float gguf_f32_at(const gguf_array *a, uint64_t i)
{
  return (float)f32_of(gguf_integer(a->bytes + 4 * i, 4));
}

int32_t gguf_i32_at(const gguf_array *a, uint64_t i)
{
  return (int32_t)signed_of(gguf_integer(a->bytes + 4 * i, 4), 4);
}
