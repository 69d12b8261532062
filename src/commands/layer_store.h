/*
 * layer_store.h - the finished layers of a calibrated run, a file each, until the model is written.
 *
 * Owns: the files of layers in the folder of the job. Must not know: how layers are calibrated, nor
 * which of them count (the job does).
 */
#ifndef QUANT_COMMANDS_LAYER_STORE_H
#define QUANT_COMMANDS_LAYER_STORE_H

#include "../model/weight.h"
#include "quantize.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Has the job that layer? */
bool layer_store_has(const job_store *job, size_t layer);

/* Tensors with the figures of their results. */
typedef struct layer_item {
  quantize_result *result; /* result->w says which weight */
  lq_tensor *tensor;
} layer_item;

bool layer_store_put(job_store *job, size_t layer, const layer_item *items, size_t count,
                     fail *why);

/* An open file of a layer. */
typedef struct layer_file {
  model *m;
  weight_list weights;
} layer_file;

bool layer_store_get(const job_store *job, size_t layer, layer_file *out, fail *why);
void layer_file_close(layer_file *f); /* zeros are fine */

/* Loads one tensor; `data` holds its memory and is released by weight_release. */
bool layer_file_tensor(const layer_file *f, const weight *w, pool *memory, lq_config *config,
                       weight_data *data, fail *why);

/* The figures of a weight of that layer. */
bool layer_store_figures(const job_store *job, size_t layer, quantize_result *r, fail *why);

#endif
