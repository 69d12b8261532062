/*
 * shard_index.h - model.safetensors.index.json: which tensor is in which shard.
 *
 * Owns: the index's own rules. Must not know: whether the shards agree (model.h checks that).
 */
#ifndef QUANT_FILES_SHARD_INDEX_H
#define QUANT_FILES_SHARD_INDEX_H

#include "buf.h"
#include "fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct index_entry {
  const char *tensor;
  const char *shard; /* a plain file name */
} index_entry;

typedef struct shard_index shard_index;

/* Reads `name` in `folder`. Every shard must be a plain file name: no / \ : or NUL, not empty, "."
 * or "..", at most 255 bytes. `path` is for messages. */
bool index_read(shard_index **out, int folder, const char *name, const char *path, fail *why);
void index_free(shard_index *x); /* NULL is fine */

size_t index_count(const shard_index *x);
const index_entry *index_at(const shard_index *x, size_t i);             /* sorted by tensor name */
const index_entry *index_find(const shard_index *x, const char *tensor); /* NULL when absent */
size_t index_shard_count(const shard_index *x);
const char *index_shard(const shard_index *x, size_t i); /* sorted, each once */

/* Adds the text that transformers writes: metadata with the two totals, weight_map sorted by name,
 * indentation 2, a newline at the end. `entries` is sorted in place. */
bool index_write(buf *to, index_entry *entries, size_t count, uint64_t total_parameters,
                 uint64_t total_size, fail *why);

/* "model.safetensors" for one shard, else "model-00002-of-00005.safetensors" (i from 0). */
void index_shard_name(char out[64], size_t i, size_t shards);

#endif
