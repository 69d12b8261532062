/* corpus.c - see corpus.h. */
#include "corpus.h"

#include "../files/buf.h"
#include "../files/io.h"
#include "../files/json.h"
#include "../files/safetensors.h"
#include "../files/utf8.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t text_max = UINT64_C(1) << 32;

/* One line of a .jsonl file; empty lines are passed over. */
static bool add_line(buf *to, const char *line, size_t length, const char *path, uint64_t offset,
                     fail *why)
{
  char *copy = malloc(length + 1);
  json_doc *doc = NULL;
  const char *text;
  size_t size = 0;
  json_id v;

  if (!copy)
    return fail_memory(why, path);
  memcpy(copy, line, length);
  copy[length] = 0;
  if (!json_parse(&doc, copy, length, path, offset, why))
    return false;
  v = json_get(doc, json_root(doc), "text");
  text = json_kind_of(doc, v) == JSON_STRING ? json_text(doc, v, &size) : NULL;
  if (text) {
    if (to->length)
      buf_text(to, "\n\n");
    buf_add(to, text, size);
  }
  json_free(doc);
  if (!text)
    return fail_set(why, FAIL_FORMAT, path, "the line at offset %llu has no string \"text\"",
                    (unsigned long long)offset);
  return true;
}

static bool join_lines(char **text, size_t *length, const char *path, fail *why)
{
  const char *at = *text, *end = *text + *length;
  buf joined = {0};
  bool ok = true;

  while (at < end && ok) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t n = (size_t)((stop ? stop : end) - at);

    if (strspn(at, " \t\r") < n)
      ok = add_line(&joined, at, n, path, (uint64_t)(at - *text), why);
    at += n + 1;
  }
  if (ok && joined.failed)
    ok = fail_memory(why, path);
  if (!ok) {
    buf_free(&joined);
    return false;
  }
  free(*text);
  *text = joined.data;
  *length = joined.length;
  return true;
}

bool corpus_text(char **text, size_t *length, const char *path, fail *why)
{
  size_t valid;

  if (!io_read_all(text, length, SYS_CWD, path, true, text_max, path, why))
    return false;
  valid = utf8_check(*text, *length);
  if (valid != *length)
    fail_set(why, FAIL_FORMAT, path, "not UTF-8 at offset %zu", valid);
  else if (!io_has_suffix(path, ".jsonl") || join_lines(text, length, path, why)) {
    if (*length != 0)
      return true;
    fail_set(why, FAIL_DATA, path, "there is no text in it");
  }
  free(*text);
  *text = NULL;
  return false;
}

/* ---- ids ---- */

/* Splits FILE.safetensors:NAME; `*name` stays NULL without a name. The caller frees `*file`. */
static bool split(const char *path, char **file, const char **name, fail *why)
{
  static const char tail[] = ".safetensors:";
  const char *at = strstr(path, tail);
  size_t length = at ? (size_t)(at - path) + sizeof tail - 2 : strlen(path);

  *name = at ? path + length + 1 : NULL;
  *file = malloc(length + 1);
  if (!*file)
    return fail_memory(why, path);
  memcpy(*file, path, length);
  (*file)[length] = 0;
  return true;
}

static bool is_ids(const st_tensor *t)
{
  return t->dtype == ST_I32 || t->dtype == ST_I64;
}

static const st_tensor *choose(const st_file *f, const char *name, fail *why)
{
  const st_tensor *only = name ? st_find(f, name) : NULL;
  size_t found = 0;

  if (name) {
    if (!only || !is_ids(only))
      fail_set(why, FAIL_NOTFOUND, st_path(f), "there is no tensor %s of I32 or I64", name);
    return only && is_ids(only) ? only : NULL;
  }
  for (size_t i = 0; i < st_count(f); i++)
    if (is_ids(st_at(f, i))) {
      only = st_at(f, i);
      found++;
    }
  if (found == 1)
    return only;
  fail_set(why, FAIL_NOTFOUND, st_path(f),
           found ? "has several tensors of ids; name one as FILE.safetensors:NAME"
                 : "there is no tensor of I32 or I64");
  return NULL;
}

static bool narrow(void *raw, const st_tensor *t, int32_t *ids, const char *path, fail *why)
{
  st_turn(t->dtype, raw, (size_t)t->bytes);
  for (size_t i = 0; i < (size_t)t->elements; i++) {
    int64_t id = t->dtype == ST_I32 ? ((const int32_t *)raw)[i] : ((const int64_t *)raw)[i];

    if (id < 0 || id > INT32_MAX)
      return fail_set(why, FAIL_DATA, path, "%s: element %zu is not the id of a token", t->name, i);
    ids[i] = (int32_t)id;
  }
  return true;
}

bool corpus_ids(int32_t **ids, size_t *count, const char *path, fail *why)
{
  const char *name;
  char *file = NULL;
  st_file *f = NULL;
  const st_tensor *t = NULL;
  void *raw = NULL;
  bool ok = false;

  *ids = NULL;
  if (!split(path, &file, &name, why) || !st_open(&f, file, why) || !(t = choose(f, name, why)))
    goto done;
  raw = malloc((size_t)t->bytes + 1);
  *ids = malloc((size_t)t->elements * sizeof **ids + 1);
  *count = (size_t)t->elements;
  if (!raw || !*ids)
    fail_memory(why, file);
  else
    ok = st_read(f, t, 0, raw, (size_t)t->bytes, why) && narrow(raw, t, *ids, file, why);
done:
  if (!ok) {
    free(*ids);
    *ids = NULL;
  }
  free(raw);
  st_close(f);
  free(file);
  return ok;
}
