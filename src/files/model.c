/* model.c - see model.h. The look of a folder is in model_folder.c. */
#include "model_folder.h"

#include "grow.h"
#include "io.h"
#include "shard_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct shard {
  char *name;
  st_file *file;
  gguf_file *gguf; /* instead of `file` */
} shard;

struct model {
  char *path;   /* as the user gave it */
  char *folder; /* of the shards, for messages; NULL for one file */
  int fd;       /* of the folder, or -1 */
  bool is_folder;
  size_t shard_count, shard_capacity, count, extra_count;
  shard *shards;
  model_tensor *tensors;        /* by shard, then offset */
  const model_tensor **by_name; /* the same, by name */
  model_alias *aliases;         /* other names of all of them, or NULL */
  st_tensor *renamed;           /* the tensors under these */
  json_doc *config;
  char **extras;
};

/* ---- opening ---- */

/* One more of them, with this name; there are as many files. */
static shard *new_shard(model *m, const char *name, fail *why)
{
  if (m->shard_count == m->shard_capacity) {
    shard *shards = grown(m->shards, &m->shard_capacity, m->shard_count + 1, sizeof *shards);
    if (shards == NULL) {
      fail_memory(why, m->path);
      return NULL;
    }
    m->shards = shards;
  }
  shard *s = &m->shards[m->shard_count];
  *s = (shard){.name = strdup(name)};
  if (s->name == NULL) {
    fail_memory(why, m->path);
    return NULL;
  }
  m->shard_count++;
  return s;
}

static bool open_shard(model *m, const char *name, bool follow, fail *why)
{
  shard *s = new_shard(m, name, why);
  if (s == NULL)
    return false;
  char *path = io_join(m->folder, name);
  if (path == NULL)
    return fail_memory(why, m->path);
  bool ok = st_open_at(&s->file, m->fd, name, follow, path, why);
  free(path);
  return ok;
}

static int by_shard_name(const void *name, const void *row)
{
  return strcmp(name, ((const shard *)row)->name);
}

/* Each tensor of each shard is listed for that shard, and is there. */
static bool check_index(const model *m, const shard_index *x, fail *why)
{
  for (size_t s = 0; s < m->shard_count; s++) {
    const st_file *f = m->shards[s].file;
    for (size_t i = 0; i < st_count(f); i++) {
      const index_entry *e = index_find(x, st_at(f, i)->name);
      if (e == NULL || strcmp(e->shard, m->shards[s].name) != 0)
        return fail_set(why, FAIL_FORMAT, st_path(f),
                        "holds tensor \"%.200s\", which the index does not list there",
                        st_at(f, i)->name);
    }
  }
  for (size_t i = 0; m->shards != NULL && i < index_count(x); i++) {
    const index_entry *e = index_at(x, i);
    /* The shards are those of the index, in the order of their names. */
    const shard *s = bsearch(e->shard, m->shards, m->shard_count, sizeof *s, by_shard_name);
    if (st_find(s->file, e->tensor) == NULL)
      return fail_set(why, FAIL_FORMAT, st_path(s->file),
                      "does not hold tensor \"%.200s\", which the index lists there", e->tensor);
  }
  return true;
}

static bool open_index(model *m, const char *name, bool follow, fail *why)
{
  shard_index *x = NULL;
  char *path = io_join(m->folder, name);
  if (path == NULL)
    return fail_memory(why, m->path);
  bool ok = index_read(&x, m->fd, name, path, why);
  for (size_t i = 0; ok && i < index_shard_count(x); i++)
    ok = open_shard(m, index_shard(x, i), follow, why);
  ok = ok && check_index(m, x, why);
  index_free(x);
  free(path);
  return ok;
}

static bool open_config(model *m, fail *why)
{
  sys_info info;
  if (!sys_look(&info, m->fd, "config.json", true) && errno == ENOENT)
    return true;
  char *path = io_join(m->folder, "config.json");
  if (path == NULL)
    return fail_memory(why, m->path);
  bool ok = json_read(&m->config, m->fd, "config.json", path, why);
  if (ok && json_kind_of(m->config, json_root(m->config)) != JSON_OBJECT)
    ok = fail_set(why, FAIL_FORMAT, path, "is not a JSON object");
  free(path);
  return ok;
}

static bool open_folder(model *m, fail *why)
{
  folder_view view;
  m->is_folder = true;
  if (!folder_look(&view, m->fd, m->path, why))
    return false;
  m->extras = view.extras;
  m->extra_count = view.extra_count;
  bool ok = open_config(m, why);
  if (ok && view.weights != NULL)
    ok = open_shard(m, view.weights, true, why);
  else if (ok)
    ok = open_index(m, FOLDER_INDEX, true, why);
  free(view.weights);
  return ok;
}

/* The folder part of a path to an index, and the name after it. */
static bool open_index_path(model *m, fail *why)
{
  const char *name = sys_last_part(m->path);
  m->folder = io_cut(m->path, (size_t)(name - m->path));
  if (m->folder == NULL)
    return fail_memory(why, m->path);
  m->fd = sys_open_folder(m->folder[0] != 0 ? m->folder : ".");
  if (m->fd < 0)
    return fail_system(why, m->path, "open its folder", errno);
  return open_index(m, name, false, why);
}

static bool open_any(model *m, fail *why)
{
  m->fd = sys_open_folder(m->path);
  if (m->fd >= 0) {
    m->folder = strdup(m->path);
    return m->folder != NULL ? open_folder(m, why) : fail_memory(why, m->path);
  }
  if (errno != ENOTDIR)
    return fail_system(why, m->path, "open", errno);
  if (io_has_suffix(m->path, ".json"))
    return open_index_path(m, why);
  shard *s = new_shard(m, sys_last_part(m->path), why);
  if (s == NULL)
    return false;
  if (io_has_suffix(m->path, ".gguf") || gguf_is(m->path))
    return gguf_open(&s->gguf, m->path, why);
  return st_open(&s->file, m->path, why);
}

/* ---- the merged list ---- */

static int by_name(const void *a, const void *b)
{
  const model_tensor *const *x = a, *const *y = b;
  return strcmp((*x)->tensor->name, (*y)->tensor->name);
}

static size_t shard_tensors(const shard *s)
{
  return s->gguf != NULL ? gguf_count(s->gguf) : st_count(s->file);
}

static model_tensor shard_tensor(const shard *s, size_t i)
{
  if (s->gguf == NULL)
    return (model_tensor){.tensor = st_at(s->file, i)};
  const gguf_tensor *t = gguf_at(s->gguf, i);
  return (model_tensor){.tensor = &t->as, .block_type = t->blocks ? t->type : 0};
}

static bool merge(model *m, fail *why)
{
  size_t total = 0;
  for (size_t s = 0; s < m->shard_count; s++)
    total += shard_tensors(&m->shards[s]);
  m->tensors = calloc(total + 1, sizeof *m->tensors);
  m->by_name = calloc(total + 1, sizeof *m->by_name);
  if (m->tensors == NULL || m->by_name == NULL)
    return fail_memory(why, m->path);
  for (size_t s = 0; s < m->shard_count; s++)
    for (size_t i = 0; i < shard_tensors(&m->shards[s]); i++) {
      m->tensors[m->count] = shard_tensor(&m->shards[s], i);
      m->tensors[m->count].shard = (uint32_t)s;
      m->by_name[m->count] = &m->tensors[m->count];
      m->count++;
    }
  qsort(m->by_name, m->count, sizeof *m->by_name, by_name);
  return true;
}

bool model_take_names(model *m, model_alias *aliases, json_doc *config, fail *why)
{
  m->aliases = aliases;
  m->config = config;
  m->renamed = calloc(m->count + 1, sizeof *m->renamed);
  if (m->renamed == NULL)
    return fail_memory(why, m->path);
  for (size_t i = 0; i < m->count; i++) {
    const st_tensor *t = m->tensors[i].tensor;
    uint64_t rows = t->shape[0];
    if (aliases[i].heads != 0 &&
        (rows == 0 || rows % aliases[i].heads != 0 || rows / aliases[i].heads % 2 != 0))
      return fail_set(why, FAIL_FORMAT, m->path, "tensor \"%.200s\": %llu rows of %llu heads",
                      t->name, (unsigned long long)rows, (unsigned long long)aliases[i].heads);
    m->renamed[i] = *t;
    m->renamed[i].name = aliases[i].name;
    m->tensors[i].tensor = &m->renamed[i];
  }
  qsort(m->by_name, m->count, sizeof *m->by_name, by_name);
  for (size_t i = 1; i < m->count; i++)
    if (by_name(&m->by_name[i - 1], &m->by_name[i]) == 0)
      return fail_set(why, FAIL_FORMAT, m->path, "two tensors would be \"%.200s\"",
                      m->by_name[i]->tensor->name);
  return true;
}

bool model_open(model **out, const char *path, fail *why)
{
  *out = NULL;
  model *m = calloc(1, sizeof *m);
  if (m == NULL)
    return fail_memory(why, path);
  m->fd = -1;
  m->path = strdup(path);
  if (m->path == NULL)
    fail_memory(why, path);
  else if (open_any(m, why) && merge(m, why)) {
    *out = m;
    return true;
  }
  model_close(m);
  return false;
}

void model_close(model *m)
{
  if (m == NULL)
    return;
  for (size_t i = 0; i < m->shard_count; i++) {
    st_close(m->shards[i].file);
    gguf_close(m->shards[i].gguf);
    free(m->shards[i].name);
  }
  for (size_t i = 0; i < m->extra_count; i++)
    free(m->extras[i]);
  for (size_t i = 0; i < m->count && m->aliases != NULL; i++)
    free(m->aliases[i].name);
  if (m->fd >= 0)
    sys_close(m->fd);
  json_free(m->config);
  free(m->aliases);
  free(m->renamed);
  free(m->extras);
  free(m->shards);
  free(m->tensors);
  free(m->by_name);
  free(m->folder);
  free(m->path);
  free(m);
}

/* ---- the open model ---- */

const char *model_path(const model *m)
{
  return m->path;
}

bool model_is_folder(const model *m)
{
  return m->is_folder;
}

size_t model_shard_count(const model *m)
{
  return m->shard_count;
}

const st_file *model_shard(const model *m, size_t i)
{
  return m->shards[i].file;
}

const char *model_shard_path(const model *m, size_t i)
{
  const shard *s = &m->shards[i];
  return s->gguf != NULL ? gguf_path(s->gguf) : st_path(s->file);
}

const gguf_file *model_gguf(const model *m)
{
  return m->shard_count == 1 ? m->shards[0].gguf : NULL;
}

const char *model_shard_name(const model *m, size_t i)
{
  return m->shards[i].name;
}

size_t model_tensor_count(const model *m)
{
  return m->count;
}

const model_tensor *model_at(const model *m, size_t i)
{
  return &m->tensors[i];
}

const model_tensor *model_find(const model *m, const char *name)
{
  st_tensor named = {.name = name};
  model_tensor wanted = {.tensor = &named};
  const model_tensor *key = &wanted;
  const model_tensor **found = bsearch(&key, m->by_name, m->count, sizeof *m->by_name, by_name);
  return found != NULL ? *found : NULL;
}

uint64_t model_data_bytes(const model *m)
{
  uint64_t sum = 0; /* of ranges in real files: cannot overflow */
  for (size_t i = 0; i < m->count; i++)
    sum += m->tensors[i].tensor->bytes;
  return sum;
}

/* Row by row, each from where it lies. */
static bool read_heads(const gguf_file *g, const st_tensor *t, uint64_t heads, uint64_t offset,
                       char *into, size_t count, fail *why)
{
  uint64_t rows = t->shape[0], size = rows / heads, row_bytes = t->bytes / rows;
  while (count > 0) {
    uint64_t row = offset / row_bytes, skip = offset % row_bytes, in_head = row % size;
    uint64_t from = row - in_head + (in_head < size / 2 ? 2 * in_head : 2 * in_head - size + 1);
    size_t n = row_bytes - skip < count ? (size_t)(row_bytes - skip) : count;
    if (!gguf_read(g, t, from * row_bytes + skip, into, n, why))
      return false;
    into += n;
    offset += n;
    count -= n;
  }
  return true;
}

bool model_read(const model *m, const model_tensor *t, uint64_t offset, void *into, size_t count,
                fail *why)
{
  const gguf_file *g = m->shards[t->shard].gguf;
  if (g == NULL)
    return st_read(m->shards[t->shard].file, t->tensor, offset, into, count, why);
  uint64_t heads = m->aliases != NULL ? m->aliases[t - m->tensors].heads : 0;
  if (heads != 0)
    return read_heads(g, t->tensor, heads, offset, into, count, why);
  return gguf_read(g, t->tensor, offset, into, count, why);
}

json_doc *model_config(const model *m)
{
  return m->config;
}

int model_folder(const model *m)
{
  return m->fd;
}

size_t model_extra_count(const model *m)
{
  return m->extra_count;
}

const char *model_extra(const model *m, size_t i)
{
  return m->extras[i];
}

bool model_copy_extras(const model *m, out_folder *to, fail *why)
{
  for (size_t i = 0; i < m->extra_count; i++) {
    char *shown = io_join(m->folder, m->extras[i]);
    if (shown == NULL)
      return fail_memory(why, m->path);
    bool ok = out_folder_copy(to, m->fd, m->extras[i], shown, why);
    free(shown);
    if (!ok)
      return false;
  }
  return true;
}
