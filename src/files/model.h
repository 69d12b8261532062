/*
 * model.h - what the user names as a model: a Hugging Face folder, one .safetensors file, or a
 * shard index.
 *
 * Owns: the open shards, the merged tensor list, the parsed config.json, the list of other files.
 * Must not know: architectures, methods. Nothing is read from the data until model_read.
 */
#ifndef QUANT_FILES_MODEL_H
#define QUANT_FILES_MODEL_H

#include "fail.h"
#include "json.h"
#include "output.h"
#include "safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct model model;

typedef struct model_tensor {
  const st_tensor *tensor;
  size_t shard;
} model_tensor;

/* Opens `path`:
 *   folder: model.safetensors, else model.safetensors.index.json with its shards, else the only
 *           *.safetensors in it; symbolic links are followed (hub caches use them). FAIL_NOTFOUND
 *           when there is no .safetensors at all.
 *   *.json: a shard index with its shards beside it, links refused.
 *   other:  one safetensors file.
 * Shards are checked against the index both ways. */
bool model_open(model **out, const char *path, fail *why);
void model_close(model *m); /* NULL is fine */

const char *model_path(const model *m);
bool model_is_folder(const model *m); /* false for one file: then the output is one file too */

size_t model_shard_count(const model *m);
const st_file *model_shard(const model *m, size_t i);
const char *model_shard_name(const model *m, size_t i); /* plain file name */

size_t model_tensor_count(const model *m);
const model_tensor *model_at(const model *m, size_t i);           /* by shard, then offset */
const model_tensor *model_find(const model *m, const char *name); /* NULL when absent */
uint64_t model_data_bytes(const model *m);                        /* of all tensors */

/* st_read on the tensor's shard. Any thread. */
bool model_read(const model *m, const model_tensor *t, uint64_t offset, void *into, size_t count,
                fail *why);

/* config.json of a folder, or NULL when there is none. The caller may change it before writing it
 * back. */
json_doc *model_config(const model *m);

/* The folder itself for openat(), or -1 for one file. */
int model_folder(const model *m);

/* The plain files that belong to the model beside weights, index and config.json: tokenizer files,
 * generation_config.json, *.txt, *.model, *.py and so on, sorted. Not hidden files, not weights in
 * any format, not folders. */
size_t model_extra_count(const model *m);
const char *model_extra(const model *m, size_t i);

/* Copies all of them. */
bool model_copy_extras(const model *m, out_folder *to, fail *why);

#endif
