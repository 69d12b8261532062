/*
 * pieces.h - the tensors of one output shard before their sizes are all known.
 *
 * Owns: their names and shapes, and the spool that holds the encoded ones. Must not know: the order
 * in a file (the writer's), methods.
 */
#ifndef QUANT_COMMANDS_PIECES_H
#define QUANT_COMMANDS_PIECES_H

#include "../model/weight.h"
#include "rewrite.h"
#include "spool.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct piece {
  const model_tensor *copy; /* a tensor of the input, or NULL: in the spool */
  uint64_t offset;          /* in the spool */
  char *name;               /* own block, when it is in the spool */
} piece;

typedef struct pieces {
  piece *at;
  st_tensor *tensors; /* the same numbers; name, dtype, ndim and shape */
  size_t count, capacity;
  spool waiting;
} pieces;

/* `beside`: the output; the spool lies on its disk. */
bool pieces_open(pieces *p, const char *beside, fail *why);
void pieces_close(pieces *p); /* zeros are fine */

bool pieces_add_copy(pieces *p, const model_tensor *from, fail *why);

/* Adds the planes that `encoded`, or a conversion of it, has in a layout; `*bytes` is their sum. */
bool pieces_add_planes(pieces *p, const weight *w, int32_t layout, const lq_tensor *encoded,
                       uint64_t *bytes, fail *why);

/* Writes them all as shard number `shard`, with notes for the job, and forgets them. */
bool pieces_write(pieces *p, rewrite *out, size_t shard, const job_pair *notes, size_t count,
                  fail *why);

#endif
