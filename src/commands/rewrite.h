/*
 * rewrite.h - a model written again, shard by shard, with some tensors changed.
 *
 * Owns: the output (folder or single file), the shard being written, the index of what was written.
 * Must not know: what changes, methods. Nothing is visible before rewrite_finish.
 *
 *     rewrite_open; for each shard: rewrite_begin, then rewrite_put or rewrite_copy for each
 * tensor,
 *     rewrite_end; rewrite_finish. rewrite_abort in any state, also after finish.
 */
#ifndef QUANT_COMMANDS_REWRITE_H
#define QUANT_COMMANDS_REWRITE_H

#include "../files/job.h"
#include "../files/json.h"
#include "../files/model.h"
#include "../files/output.h"
#include "../files/safetensors.h"
#include "../files/shard_index.h"
#include "../ui/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rewrite {
  const model *from;
  progress *bar;      /* told of every byte that is copied */
  job_store *job;     /* keeps finished shards; NULL for a single file */
  out_folder *folder; /* likewise */
  out_file *file;     /* the shard being written */
  st_writer *writer;
  size_t shard;
  index_entry *entries; /* all tensors written so far; names are the rewrite's own */
  size_t count, capacity;
  uint64_t total_size;
  void *piece; /* copies go through it */
} rewrite;

/* Refuses an output that exists (unless `force`) or that is the input. `job` is NULL for a model
 * that is one file. */
bool rewrite_open(rewrite *r, const model *from, job_store *job, const char *out, bool force,
                  progress *bar, fail *why);

/* Tells how many bytes a large output needs, and fails if the disk has less. */
bool rewrite_need(const rewrite *r, const char *out, uint64_t bytes, fail *why);

/* The name of a shard among the parts of a job, in a new block; NULL without memory. */
char *rewrite_part(const model *from, size_t shard);

/* Is that shard finished in the job? Then rewrite_skip takes the place of begin, put and end. */
bool rewrite_has(const rewrite *r, size_t shard);
bool rewrite_skip(rewrite *r, size_t shard, fail *why);

/* Starts the shard that takes the place of shard `shard` of the input: same name, same metadata. Of
 * `tensors` name, dtype, ndim and shape are read. */
bool rewrite_begin(rewrite *r, size_t shard, const st_tensor *tensors, size_t count, fail *why);

/* Writes a piece of tensor i of the list given to begin. One thread at a time. */
bool rewrite_put(rewrite *r, size_t i, uint64_t offset, const void *bytes, size_t count, fail *why);

/* Copies a whole tensor of the input to tensor i. Polls the interrupt flag. */
bool rewrite_copy(rewrite *r, size_t i, const model_tensor *from, fail *why);

/* Where tensor i lies in the file, to write in the order of the disk. */
uint64_t rewrite_place(const rewrite *r, size_t i);

/* The shard is finished; notes go to the job. */
bool rewrite_end(rewrite *r, const job_pair *notes, size_t count, fail *why);

/* Writes a small file of the result. Does nothing when the output is in place already. */
bool rewrite_file(rewrite *r, const char *name, const buf *text, fail *why);

/* Writes the other files, the configuration (may be NULL) and the index, in this order, so that a
 * folder with an index is complete, and makes everything visible. */
bool rewrite_finish(rewrite *r, const json_doc *config, uint64_t parameters, fail *why);

void rewrite_abort(rewrite *r); /* zeros are fine */

#endif
