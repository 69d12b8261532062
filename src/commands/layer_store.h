/*
 * layer_store.h - the finished layers of a calibrated run, a file each, until the model is written.
 *
 * Owns: the job folder beside the output, what is kept of a tensor's figures. Must not know: how
 * layers are calibrated. A layer's file appears whole or not at all, so an interrupted run can go
 * on behind the last one; each carries the mark of its run.
 */
#ifndef QUANT_COMMANDS_LAYER_STORE_H
#define QUANT_COMMANDS_LAYER_STORE_H

#include "../model/weight.h"
#include "quantize.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct layer_store {
  char *folder;
  char mark[24]; /* of this run: the same model, text and options give the same */
} layer_store;

/* `out` + ".quant-job". Without `resume` an old one is emptied first. */
bool layer_store_open(layer_store *s, const char *out, uint64_t mark, bool resume, fail *why);

/* Has this run a finished layer of that number? A file of another run is FAIL_EXISTS. */
bool layer_store_has(const layer_store *s, size_t layer, bool *has, fail *why);

/* Tensors with the figures of their results. */
typedef struct layer_item {
  quantize_result *result; /* result->w says which weight */
  lq_tensor *tensor;
} layer_item;

bool layer_store_put(const layer_store *s, size_t layer, const layer_item *items, size_t count,
                     fail *why);

/* An open file of a layer. */
typedef struct layer_file {
  model *m;
  weight_list weights;
} layer_file;

bool layer_store_get(const layer_store *s, size_t layer, layer_file *out, fail *why);
void layer_file_close(layer_file *f); /* zeros are fine */

/* Loads one tensor; `data` holds its memory and is released by weight_release. */
bool layer_file_tensor(const layer_file *f, const weight *w, pool *memory, lq_config *config,
                       weight_data *data, fail *why);
bool layer_file_figures(const layer_file *f, quantize_result *result, fail *why);

/* Removes the folder with its files. */
void layer_store_remove(layer_store *s);
/* Leaves the files, but not a folder without any; zeros are fine. */
void layer_store_close(layer_store *s);

#endif
