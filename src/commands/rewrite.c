/* rewrite.c - see rewrite.h. */
#include "rewrite.h"

#include "../files/buf.h"
#include "../files/grow.h"
#include "../files/interrupt.h"
#include "../files/io.h"
#include "../ui/units.h"

#include <stdlib.h>
#include <string.h>

enum { COPY_PIECE = 8 << 20, WORTH_TELLING = 1 << 30 };

bool rewrite_open(rewrite *r, const model *from, job_store *job, const char *out, bool force,
                  progress *bar, fail *why)
{
  bool ok = true;

  *r = (rewrite){.from = from, .job = job, .bar = bar};
  if (!job)
    ok = out_file_create(&r->file, out, force, why);
  else if (!job_is_complete(job))
    ok = out_folder_create(&r->folder, out, job_hidden(job), force, why);
  r->piece = ok ? malloc(COPY_PIECE) : NULL;
  return ok && (r->piece || fail_memory(why, out));
}

bool rewrite_need(const rewrite *r, const char *out, uint64_t bytes, fail *why)
{
  char need[UNITS_TEXT], have[UNITS_TEXT];
  uint64_t left = out_space(out);

  units_bytes(need, bytes);
  units_bytes(have, left);
  if (bytes > left)
    return fail_set(why, FAIL_IO, out, "needs about %s, and the disk has %s left", need, have);
  if (bytes >= WORTH_TELLING)
    progress_note(r->bar, "%s: needs about %s of the disk%s%s", out, need,
                  left == UINT64_MAX ? "" : "; free: ", left == UINT64_MAX ? "" : have);
  return true;
}

static bool add_entry(rewrite *r, const st_tensor *t, const char *shard, fail *why)
{
  size_t n = strlen(t->name) + 1;
  char *name;

  if (r->count == r->capacity) {
    index_entry *entries = grown(r->entries, &r->capacity, r->count + 1, sizeof *entries);

    if (!entries)
      return fail_memory(why, shard);
    r->entries = entries;
  }
  name = malloc(n);
  if (!name)
    return fail_memory(why, shard);
  memcpy(name, t->name, n);
  r->entries[r->count++] = (index_entry){name, shard};
  /* cppcheck-suppress memleak; the entry owns it, finish() frees it */
  return true;
}

/* The metadata of the input shard, or what transformers asks for. */
static bool plan(rewrite *r, const st_tensor *tensors, size_t count, const char *path, fail *why)
{
  static const st_pair usual = {"format", "pt"};
  const st_file *f = model_shard(r->from, r->shard);
  size_t pairs = f ? st_metadata_count(f) : 0, kept = 0;
  st_pair *all = calloc(pairs + 1, sizeof *all);
  bool ok;

  if (!all)
    return fail_memory(why, path);
  for (size_t i = 0; i < pairs; i++)
    if (st_metadata_at(f, i, &all[kept].key, &all[kept].value) && all[kept].value)
      kept++;
  if (kept == 0)
    all[kept++] = usual;
  ok = st_writer_plan(&r->writer, tensors, count, all, kept, path, why);
  free(all);
  return ok;
}

bool rewrite_begin(rewrite *r, size_t shard, const st_tensor *tensors, size_t count, fail *why)
{
  const char *name = model_shard_name(r->from, shard);

  r->shard = shard;
  if (r->job && !out_file_create_in(&r->file, r->folder, name, why))
    return false;
  if (!plan(r, tensors, count, out_file_path(r->file), why))
    return false;
  for (size_t i = 0; i < count; i++) {
    if (!add_entry(r, &tensors[i], name, why))
      return false;
    r->total_size += st_writer_tensor(r->writer, i)->bytes;
  }
  return st_writer_start(r->writer, r->file, why);
}

char *rewrite_part(const model *from, size_t shard)
{
  return io_join("output", model_shard_name(from, shard));
}

bool rewrite_has(const rewrite *r, size_t shard)
{
  char *part = r->job ? rewrite_part(r->from, shard) : NULL;
  bool has = part && job_has(r->job, part);

  free(part);
  return has;
}

bool rewrite_skip(rewrite *r, size_t shard, fail *why)
{
  const char *name = model_shard_name(r->from, shard);
  char *path = io_join(job_hidden(r->job), name);
  st_file *f = NULL;
  bool ok = path || fail_memory(why, name);

  ok = ok && st_open(&f, path, why);
  for (size_t i = 0; ok && i < st_count(f); i++) {
    ok = add_entry(r, st_at(f, i), name, why);
    r->total_size += st_at(f, i)->bytes;
  }
  st_close(f);
  free(path);
  return ok;
}

bool rewrite_put(rewrite *r, size_t i, uint64_t offset, const void *bytes, size_t count, fail *why)
{
  return st_writer_elements(r->writer, i, offset, bytes, count, why);
}

bool rewrite_copy(rewrite *r, size_t i, const model_tensor *from, fail *why)
{
  uint64_t bytes = from->tensor->bytes;

  for (uint64_t at = 0; at < bytes;) {
    size_t n = bytes - at < COPY_PIECE ? (size_t)(bytes - at) : COPY_PIECE;

    if (!interrupt_check(why) || !model_read(r->from, from, at, r->piece, n, why) ||
        !st_writer_write(r->writer, i, at, r->piece, n, why))
      return false;
    at += n;
    progress_add(r->bar, n);
  }
  return true;
}

uint64_t rewrite_place(const rewrite *r, size_t i)
{
  return st_writer_tensor(r->writer, i)->begin;
}

bool rewrite_end(rewrite *r, const job_pair *notes, size_t count, fail *why)
{
  bool ok = st_writer_finish(r->writer, why);

  st_writer_free(r->writer);
  r->writer = NULL;
  if (ok && r->job) {
    char *part = rewrite_part(r->from, r->shard);

    progress_note(r->bar, "%s", model_shard_name(r->from, r->shard));
    ok = (part || fail_memory(why, out_folder_path(r->folder))) && out_file_commit(&r->file, why) &&
         out_folder_sync(r->folder, why) && job_add(r->job, part, notes, count, why);
    free(part);
  }
  return ok;
}

bool rewrite_file(rewrite *r, const char *name, const buf *text, fail *why)
{
  if (text->failed)
    return fail_memory(why, name);
  return !r->folder || out_folder_put(r->folder, name, text->data, text->length, why);
}

/* Shards have an index when there are several, or when the one has a number in its name. */
static bool put_index(rewrite *r, uint64_t parameters, fail *why)
{
  buf text = {0};
  bool ok = true;

  if (model_shard_count(r->from) > 1 || strstr(model_shard_name(r->from, 0), "-of-"))
    ok = index_write(&text, r->entries, r->count, parameters, r->total_size, why) &&
         rewrite_file(r, "model.safetensors.index.json", &text, why);
  buf_free(&text);
  return ok;
}

static bool put_config(rewrite *r, const json_doc *config, fail *why)
{
  buf text = {0};
  bool ok = !config ||
            (json_write(config, &text, true, why) && rewrite_file(r, "config.json", &text, why));

  buf_free(&text);
  return ok;
}

bool rewrite_finish(rewrite *r, const json_doc *config, uint64_t parameters, fail *why)
{
  if (!interrupt_check(why))
    return false;
  if (!r->job)
    return out_file_commit(&r->file, why);
  if (!r->folder)
    return true;
  return model_copy_extras(r->from, r->folder, why) && put_config(r, config, why) &&
         put_index(r, parameters, why) && job_seal(r->job, why) &&
         out_folder_commit(&r->folder, why);
}

void rewrite_abort(rewrite *r)
{
  st_writer_free(r->writer);
  out_file_abort(r->file);
  out_folder_abort(r->folder);
  for (size_t i = 0; i < r->count; i++)
    free((char *)(uintptr_t)r->entries[i].tensor);
  free(r->entries);
  free(r->piece);
  *r = (rewrite){0};
}
