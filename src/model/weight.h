/*
 * weight.h - the tensors of a model as its user sees them: one dense tensor of the file, or the
 * planes of a quantized one put together.
 *
 * Owns: which names in a checkpoint are planes of which weight, and how they are loaded. Must not
 * know: what planes mean (the library checks them), options, outputs.
 */
#ifndef QUANT_MODEL_WEIGHT_H
#define QUANT_MODEL_WEIGHT_H

#include "../files/model.h"
#include "packed.h"
#include "pool.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct weight_part {
  const model_tensor *from;
  const model_tensor *base; /* of the weight that it is a part of */
  const char *plane; /* its name in the layout; inside the tensor's own name, or a constant */
  int32_t layout;    /* LQ_LAYOUT_*, or 0 where it says nothing of it */
} weight_part;

typedef struct weight {
  const char *name;         /* of the dense tensor, as "model.layers.0.mlp.up_proj.weight" */
  int32_t layout;           /* LQ_LAYOUT_*, or 0: dense */
  const model_tensor *base; /* the dense tensor itself, or the plane with the codes */
  const weight_part *parts;
  size_t count;   /* of parts; 1 when dense */
  uint64_t bytes; /* of all parts */
} weight;

typedef struct weight_list {
  weight *at; /* in the order of the base tensors: by shard, then offset */
  size_t count;
  weight_part *parts;
  char *names;          /* of weights that no tensor of the file is named after */
  packed_format packed; /* of those in a layout of GPTQ or AWQ */
  const model *model;
} weight_list;

/* Planes without the tensor that they belong to are FAIL_FORMAT. The list refers to the model. */
bool weight_list_make(weight_list *out, const model *m, fail *why);
void weight_list_free(weight_list *l);                             /* zeros are fine */
const weight *weight_find(const weight_list *l, const char *name); /* linear; NULL when absent */

/* File of a weight, for messages. */
const char *weight_path(const weight_list *l, const weight *w);

/* LQ_F32 and so on for a dtype of safetensors; 0 when the library has none. */
int32_t weight_dtype(st_dtype t);
bool weight_is_float(const weight *w); /* dense F32, F16 or BF16 */

/* A weight in memory. Zeros are empty. */
typedef struct weight_data {
  void *block;   /* all parts, each aligned */
  size_t offset; /* of the first part in it */
  lq_plane *planes;
  lq_tensor *tensor; /* over the block; NULL when it is dense of a type that the library has not */
} weight_data;

/* Reads all parts. Polls the interrupt flag. */
bool weight_read(const weight_list *l, const weight *w, pool *memory, weight_data *out, fail *why);

/* Makes the tensor over what was read; `config` as for lq_tensor_from_planes. The library's
 * complaint becomes "FILE: NAME: text". Layouts of GPTQ and AWQ are copied, and the block is given
 * back. */
bool weight_bind(const weight_list *l, const weight *w, pool *memory, lq_config *config,
                 weight_data *data, fail *why);
void weight_release(weight_data *data, pool *memory);

/* Reads rows first .. first + count - 1 of a dense tensor, a row being its last dimension, and
 * wraps them as a matrix. */
bool weight_read_rows(const weight_list *l, const weight *w, uint64_t first, uint64_t count,
                      pool *memory, weight_data *out, fail *why);

/* The planes of a weight in a layout of GPTQ or AWQ. */
packed_planes weight_packed_planes(const weight *w);

/* Full name of a plane in a checkpoint, in a new block: the inverse of the list. NULL without
 * memory. */
char *weight_plane_name(const char *weight, int32_t layout, const char *plane);

/* What the state planes say about a quantized weight before its codes are read. `dtype` is 0 where
 * the layout does not store it. */
bool weight_shape(const weight_list *l, const weight *w, int32_t *dtype, uint32_t *ndim,
                  uint64_t dims[8], fail *why);

#endif
