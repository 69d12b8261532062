/* shard_index.c - see shard_index.h. */
#include "shard_index.h"

#include "json.h"
#include "system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARD_NAME_MAX = 255 };

struct shard_index {
  json_doc *doc; /* holds the texts */
  size_t count, shards;
  index_entry *entries; /* by tensor */
  const char **shard;   /* by name, each once */
};

static int by_tensor(const void *a, const void *b)
{
  const index_entry *x = a, *y = b;
  return strcmp(x->tensor, y->tensor);
}

static int by_shard(const void *a, const void *b)
{
  const index_entry *x = a, *y = b;
  return strcmp(x->shard, y->shard);
}

/* A file in the folder of the index, and on no system elsewhere: it is going to be opened. */
static bool is_plain_name(const char *name)
{
  return name != NULL && strlen(name) <= SHARD_NAME_MAX && strpbrk(name, "/\\:") == NULL &&
         sys_is_name(name);
}

static bool read_entries(shard_index *x, json_id map, const char *path, fail *why)
{
  const json_doc *d = x->doc;
  for (json_id m = json_first(d, map); m != 0; m = json_next(d, m)) {
    index_entry *e = &x->entries[x->count];
    json_id v = json_value(d, m);
    e->tensor = json_string(d, m);
    e->shard = json_string(d, v);
    if (e->tensor == NULL)
      return fail_set(why, FAIL_FORMAT, path, "byte %llu: a tensor name holds a NUL",
                      (unsigned long long)json_offset(d, m));
    if (!is_plain_name(e->shard))
      return fail_set(why, FAIL_FORMAT, path,
                      "byte %llu: the shard of \"%.200s\" is not a plain file name",
                      (unsigned long long)json_offset(d, v), e->tensor);
    x->count++;
  }
  return true;
}

static bool is_new_shard(const shard_index *x, size_t i)
{
  return i == 0 || by_shard(&x->entries[i - 1], &x->entries[i]) != 0;
}

static bool list_shards(shard_index *x, const char *path, fail *why)
{
  size_t n = 0;
  qsort(x->entries, x->count, sizeof *x->entries, by_shard);
  for (size_t i = 0; i < x->count; i++)
    n += is_new_shard(x, i);
  x->shard = malloc((n + 1) * sizeof *x->shard);
  if (x->shard == NULL)
    return fail_memory(why, path);
  for (size_t i = 0; i < x->count; i++)
    if (is_new_shard(x, i))
      x->shard[x->shards++] = x->entries[i].shard;
  qsort(x->entries, x->count, sizeof *x->entries, by_tensor);
  return true;
}

bool index_read(shard_index **out, int folder, const char *name, const char *path, fail *why)
{
  *out = NULL;
  shard_index *x = calloc(1, sizeof *x);
  if (x == NULL)
    return fail_memory(why, path);
  if (!json_read(&x->doc, folder, name, path, why))
    goto fail;
  json_id map = json_get(x->doc, json_root(x->doc), "weight_map");
  if (json_kind_of(x->doc, map) != JSON_OBJECT) {
    fail_set(why, FAIL_FORMAT, path, "weight_map is missing or not an object");
    goto fail;
  }
  size_t count = json_count(x->doc, map);
  x->entries = malloc((count + 1) * sizeof *x->entries);
  if (x->entries == NULL) {
    fail_memory(why, path);
    goto fail;
  }
  if (!read_entries(x, map, path, why) || !list_shards(x, path, why))
    goto fail;
  *out = x;
  return true;
fail:
  index_free(x);
  return false;
}

void index_free(shard_index *x)
{
  if (x == NULL)
    return;
  json_free(x->doc);
  free(x->entries);
  free(x->shard);
  free(x);
}

size_t index_count(const shard_index *x)
{
  return x->count;
}

const index_entry *index_at(const shard_index *x, size_t i)
{
  return &x->entries[i];
}

const index_entry *index_find(const shard_index *x, const char *tensor)
{
  index_entry key = {.tensor = tensor};
  return bsearch(&key, x->entries, x->count, sizeof *x->entries, by_tensor);
}

size_t index_shard_count(const shard_index *x)
{
  return x->shards;
}

const char *index_shard(const shard_index *x, size_t i)
{
  return x->shard[i];
}

bool index_write(buf *to, index_entry *entries, size_t count, uint64_t total_parameters,
                 uint64_t total_size, fail *why)
{
  json_printer p = {.to = to, .indent = 2};
  qsort(entries, count, sizeof *entries, by_tensor);
  json_begin(&p, NULL, '{');
  json_begin(&p, "metadata", '{');
  json_print_u64(&p, "total_parameters", total_parameters);
  json_print_u64(&p, "total_size", total_size);
  json_end(&p, '}');
  json_begin(&p, "weight_map", '{');
  for (size_t i = 0; i < count; i++)
    json_print_string(&p, entries[i].tensor, entries[i].shard);
  json_end(&p, '}');
  json_end(&p, '}');
  buf_byte(to, '\n');
  if (to->failed)
    return fail_memory(why, NULL);
  return true;
}

void index_shard_name(char out[64], size_t i, size_t shards)
{
  if (shards <= 1)
    strcpy(out, "model.safetensors");
  else
    snprintf(out, 64, "model-%05zu-of-%05zu.safetensors", i + 1, shards);
}
