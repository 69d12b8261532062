/*
 * model.h - what the user names as a model: a Hugging Face folder, one .safetensors or GGUF file,
 * or a shard index.
 *
 * Owns: the open shards, the merged tensor list, the parsed config.json, the list of other files.
 * Must not know: architectures, methods. Nothing is read from the data until model_read.
 */
#ifndef QUANT_FILES_MODEL_H
#define QUANT_FILES_MODEL_H

#include "fail.h"
#include "gguf.h"
#include "json.h"
#include "output.h"
#include "safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct model model;

typedef struct model_tensor {
  const st_tensor *tensor;
  uint32_t shard;
  int32_t block_type; /* in a GGUF file: the library's number of its blocks; 0: not in blocks */
} model_tensor;

/* Opens `path`:
 *   folder: model.safetensors, else model.safetensors.index.json with its shards, else the only
 *           *.safetensors in it; symbolic links are followed (hub caches use them). FAIL_NOTFOUND
 *           when there is no .safetensors at all.
 *   *.json: a shard index with its shards beside it, links refused.
 *   *.gguf, or a file that begins like one: one GGUF file.
 *   other:  one safetensors file.
 * Shards are checked against the index both ways. */
bool model_open(model **out, const char *path, fail *why);
void model_close(model *m); /* NULL is fine */

const char *model_path(const model *m);
bool model_is_folder(const model *m); /* false for one file and for an index */

size_t model_shard_count(const model *m);
const st_file *model_shard(const model *m, size_t i);   /* NULL for a GGUF file */
const char *model_shard_path(const model *m, size_t i); /* for messages */
const char *model_shard_name(const model *m, size_t i); /* plain file name */

size_t model_tensor_count(const model *m);
const model_tensor *model_at(const model *m, size_t i);           /* by shard, then offset */
const model_tensor *model_find(const model *m, const char *name); /* NULL when absent */
uint64_t model_data_bytes(const model *m);                        /* of all tensors */

/* st_read on the shard of a tensor of the model's list. Any thread. */
bool model_read(const model *m, const model_tensor *t, uint64_t offset, void *into, size_t count,
                fail *why);

/* The GGUF file, or NULL when the model is no such. */
const gguf_file *model_gguf(const model *m);

/* What a tensor is called elsewhere. `heads` not 0: its rows there, of each of so many heads, are
 * first those that lie at even places here and then the others; model_read gives them in that
 * order. */
typedef struct model_alias {
  char *name;
  uint64_t heads;
} model_alias;

/* Gives tensor i of a GGUF file, in the order of model_at, the name in aliases[i], and the model a
 * config.json. The names (malloc'd, one for each tensor) become the model's, as the array and the
 * document do, also on failure. */
bool model_take_names(model *m, model_alias *aliases, json_doc *config, fail *why);

/* config.json of a folder, or NULL when there is none. The caller may change it before writing it
 * back. */
json_doc *model_config(const model *m);

/* The folder of the shards for openat(), or -1 for one file: then the output is one file, too. */
int model_folder(const model *m);

/* The plain files that belong to the model beside weights, index and config.json: tokenizer files,
 * generation_config.json, *.txt, *.model, *.py and so on, sorted. Not hidden files, not weights in
 * any format, not folders. */
size_t model_extra_count(const model *m);
const char *model_extra(const model *m, size_t i);

/* Copies all of them. */
bool model_copy_extras(const model *m, out_folder *to, fail *why);

#endif
