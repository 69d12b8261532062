/* json.c - documents: life, look-up, typed values. Must not know: the grammar, nor writing. */
#include "json_doc.h"

#include "io.h"
#include "json_scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool json_read(json_doc **out, int folder, const char *name, const char *file, fail *why)
{
  char *text = NULL;
  size_t length = 0;
  *out = NULL;
  if (!io_read_all(&text, &length, folder, name, true, JSON_BYTES_MAX, file, why))
    return false;
  return json_parse(out, text, length, file, 0, why);
}

bool json_new(json_doc **out, const char *file, fail *why)
{
  char *text = malloc(3);
  *out = NULL;
  if (text == NULL)
    return fail_memory(why, file);
  memcpy(text, "{}", 3);
  return json_parse(out, text, 2, file, 0, why);
}

void json_free(json_doc *d)
{
  if (d == NULL)
    return;
  for (uint32_t i = 0; i < d->added_count; i++)
    free(d->added[i]);
  free(d->added);
  free(d->nodes);
  free(d->entries);
  free(d->text);
  free(d->file);
  free(d);
}

json_id json_root(const json_doc *d)
{
  return d->count > 1 ? 1 : 0;
}

const char *json_file(const json_doc *d)
{
  return d->file;
}

/* Among entries. */
static bool is_name(const json_doc *d, json_id v)
{
  return (d->entries[v] >> JSON_AT_BITS & 7) == 0;
}

json_kind json_kind_of(const json_doc *d, json_id v)
{
  if (d->nodes != NULL || v == 0)
    return v != 0 ? (json_kind)d->nodes[v].kind : JSON_NONE;
  return is_name(d, v) ? JSON_STRING : (json_kind)(d->entries[v] >> JSON_AT_BITS & 7);
}

uint64_t json_offset(const json_doc *d, json_id v)
{
  return d->base + (d->nodes != NULL ? d->nodes[v].at : d->entries[v] & JSON_AT);
}

static bool is_container(const json_doc *d, json_id v)
{
  return json_kind_of(d, v) == JSON_ARRAY || json_kind_of(d, v) == JSON_OBJECT;
}

size_t json_count(const json_doc *d, json_id v)
{
  size_t count = 0;
  if (d->nodes != NULL)
    return is_container(d, v) ? d->nodes[v].size : 0;
  for (v = json_first(d, v); v != 0; v = json_next(d, v))
    count++;
  return count;
}

json_id json_first(const json_doc *d, json_id container)
{
  if (!is_container(d, container))
    return 0;
  if (d->nodes != NULL)
    return d->nodes[container].first;
  return (d->entries[container] & JSON_OTHER) == 0 ? container + 1 : 0;
}

/* The entry behind a value and all that is in it. */
static json_id behind(const json_doc *d, json_id v)
{
  unsigned depth = 0;
  uint32_t last = 0; /* bit k: the container k levels further out is the last of its own */
  for (;; v++) {
    uint32_t e = d->entries[v];
    if (json_first(d, v) != 0) {
      last = last << 1 | ((e & JSON_LAST) != 0);
      depth++;
      continue;
    }
    for (bool end = (e & JSON_LAST) != 0; depth > 0 && end; depth--, last >>= 1)
      end = (last & 1) != 0;
    if (depth == 0)
      return v + 1;
  }
}

json_id json_next(const json_doc *d, json_id v)
{
  if (d->nodes != NULL || v == 0)
    return v != 0 ? d->nodes[v].next : 0;
  v += is_name(d, v);
  return (d->entries[v] & JSON_LAST) == 0 ? behind(d, v) : 0;
}

json_id json_value(const json_doc *d, json_id member)
{
  return member != 0 && member + 1 < d->count ? member + 1 : 0;
}

/* The text of an entry. */
static const char *entry_text(const json_doc *d, json_id v, size_t *length)
{
  const char *text = d->text + (d->entries[v] & JSON_AT);
  uint32_t size;
  if (json_kind_of(d, v) == JSON_NUMBER) {
    *length = strspn(text, "+-.0123456789Ee");
    return text;
  }
  text++;
  if ((d->entries[v] & JSON_OTHER) == 0) {
    *length = strlen(text);
    return text;
  }
  memcpy(&size, text, sizeof size);
  *length = size;
  return text + sizeof size;
}

const char *json_text(const json_doc *d, json_id v, size_t *length)
{
  json_kind kind = json_kind_of(d, v);
  size_t unused;
  if (length == NULL)
    length = &unused;
  *length = 0;
  if (kind != JSON_STRING && kind != JSON_NUMBER)
    return NULL;
  if (d->nodes == NULL)
    return entry_text(d, v, length);
  const json_node *n = &d->nodes[v];
  *length = n->size;
  return n->added ? d->added[n->first] : d->text + n->first;
}

bool json_equal(const json_doc *d, json_id v, const char *text, size_t length)
{
  size_t n;
  const char *own = json_text(d, v, &n);
  return own != NULL && n == length && memcmp(own, text, length) == 0;
}

json_id json_get(const json_doc *d, json_id object, const char *name)
{
  size_t length = strlen(name);
  if (json_kind_of(d, object) != JSON_OBJECT)
    return 0;
  for (json_id m = json_first(d, object); m != 0; m = json_next(d, m))
    if (json_equal(d, m, name, length))
      return json_value(d, m);
  return 0;
}

const char *json_string(const json_doc *d, json_id v)
{
  size_t length;
  const char *text = json_text(d, v, &length);
  if (text == NULL || json_kind_of(d, v) != JSON_STRING || memchr(text, 0, length) != NULL)
    return NULL;
  return text;
}

bool json_is(const json_doc *d, json_id v, const char *text)
{
  return json_kind_of(d, v) == JSON_STRING && json_equal(d, v, text, strlen(text));
}

fail_kind json_u64(const json_doc *d, json_id v, uint64_t *out)
{
  size_t length;
  const char *text = json_text(d, v, &length);
  return json_kind_of(d, v) == JSON_NUMBER ? json_digits(text, length, out) : FAIL_FORMAT;
}

fail_kind json_i64(const json_doc *d, json_id v, int64_t *out)
{
  size_t length;
  const char *text = json_text(d, v, &length);
  if (text == NULL || json_kind_of(d, v) != JSON_NUMBER)
    return FAIL_FORMAT;
  bool minus = text[0] == '-';
  uint64_t sum = 0;
  fail_kind kind = json_digits(text + minus, length - minus, &sum);
  if (kind != FAIL_NONE)
    return kind;
  if (sum > (uint64_t)INT64_MAX + minus)
    return FAIL_OVERFLOW;
  *out = !minus ? (int64_t)sum : sum == 0 ? 0 : -(int64_t)(sum - 1) - 1;
  return FAIL_NONE;
}

fail_kind json_f64(const json_doc *d, json_id v, double *out)
{
  const char *text = json_text(d, v, NULL);
  if (text == NULL || json_kind_of(d, v) != JSON_NUMBER)
    return FAIL_FORMAT;
  /* What follows a number in JSON (or the NUL after the text) is never part of it for strtod. */
  double value = strtod(text, NULL);
  if (!isfinite(value))
    return FAIL_OVERFLOW;
  *out = value;
  return FAIL_NONE;
}

/* ---- members of configurations ---- */

static bool member_fails(const json_doc *d, json_id v, const char *name, fail_kind kind,
                         const char *wanted, fail *why)
{
  if (v == 0)
    return fail_set(why, FAIL_FORMAT, d->file, "%s is missing", name);
  return fail_set(why, kind, d->file, "byte %llu: %s %s%s", (unsigned long long)json_offset(d, v),
                  name, kind == FAIL_OVERFLOW ? "does not fit " : "is not ", wanted);
}

static bool absent(const json_doc *d, json_id v)
{
  return v == 0 || json_kind_of(d, v) == JSON_NULL;
}

bool json_need_u64(const json_doc *d, json_id object, const char *name, uint64_t *out, fail *why)
{
  json_id v = json_get(d, object, name);
  fail_kind kind = json_u64(d, v, out);
  if (kind != FAIL_NONE)
    return member_fails(d, v, name, kind, "a non-negative integer", why);
  return true;
}

bool json_need_string(const json_doc *d, json_id object, const char *name, const char **out,
                      fail *why)
{
  json_id v = json_get(d, object, name);
  const char *text = json_string(d, v);
  if (text == NULL)
    return member_fails(d, v, name, FAIL_FORMAT, "a string", why);
  *out = text;
  return true;
}

bool json_opt_u64(const json_doc *d, json_id object, const char *name, uint64_t *out, fail *why)
{
  return absent(d, json_get(d, object, name)) || json_need_u64(d, object, name, out, why);
}

bool json_opt_f64(const json_doc *d, json_id object, const char *name, double *out, fail *why)
{
  json_id v = json_get(d, object, name);
  fail_kind kind = absent(d, v) ? FAIL_NONE : json_f64(d, v, out);
  if (kind != FAIL_NONE)
    return member_fails(d, v, name, kind, "a number", why);
  return true;
}

bool json_opt_bool(const json_doc *d, json_id object, const char *name, bool *out, fail *why)
{
  json_id v = json_get(d, object, name);
  json_kind kind = json_kind_of(d, v);
  if (absent(d, v))
    return true;
  if (kind != JSON_TRUE && kind != JSON_FALSE)
    return member_fails(d, v, name, FAIL_FORMAT, "true or false", why);
  *out = kind == JSON_TRUE;
  return true;
}

bool json_opt_string(const json_doc *d, json_id object, const char *name, const char **out,
                     fail *why)
{
  return absent(d, json_get(d, object, name)) || json_need_string(d, object, name, out, why);
}
