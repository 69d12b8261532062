/*
 * recipe.h - how `quant quantize` is to encode: method, its parameters, the layout of the result.
 *
 * Owns: which options go together. Must not know: which tensors are encoded, nor files.
 */
#ifndef QUANT_COMMANDS_RECIPE_H
#define QUANT_COMMANDS_RECIPE_H

#include "common.h"

#include <libquant.h>

#include <stdbool.h>
#include <stdint.h>

/* As on the command line; texts may be NULL and numbers zero where nothing was said. */
typedef struct recipe_options {
  const char *method, *storage, *format, *compat, *nonfinite, *order;
  int64_t block_size, bits, group_size;
  double threshold, mse, damping, input_correction;
  bool block_size_given, bits_given, group_size_given, threshold_given, mse_given, damping_given;
  bool input_correction_given;
  bool nested, symmetric, asymmetric, dynamic_groups;
  bool single_file; /* the result has no config.json to tell its layout */
} recipe_options;

typedef struct recipe {
  const char *method_name; /* as on the command line: "rtn" */
  int32_t method, layout;
  int32_t storage;          /* method whose codes are stored: `method` but for gptq */
  int64_t block_size;       /* 0 for a storage without blocks */
  int64_t bits, group_size; /* 0 for a storage without groups; group size -1: a whole row */
  bool symmetric;           /* likewise false */
  bool nested;
  bool from_half;   /* encode the f16 cast of each weight, as Linear8bitLt does */
  double threshold; /* int8: of the activations in the bitsandbytes layout, else of the weights */
  bool threshold_given;
  double mse;
  bool calibrated; /* the method chooses codes by what a layer sees; what follows is for it */
  int32_t order;   /* LQ_ORDER_* */
  bool static_groups;
  double damping, input_correction;
  const char *compat, *nonfinite; /* as the library takes them, or NULL */
} recipe;

/* Resolves options and makes the quantizer. FAIL_USAGE for what does not go together. */
bool recipe_make(recipe *out, lq_quantizer **quantizer, const recipe_options *o, const common *c,
                 pool *memory, fail *why);

/* A config with all keys of the recipe, for more quantizers of the kind. */
bool recipe_config(const recipe *r, const common *c, pool *memory, lq_config **out, fail *why);

/* Why a matrix of that shape has no place in the recipe's layout; NULL if it has. */
const char *recipe_shape_obstacle(const recipe *r, uint64_t rows, uint64_t columns);

/* Do groups follow an index ("act-order")? */
bool recipe_has_index(const recipe *r);

/* "rtn, 4 bits, groups of 128, symmetric" */
enum { RECIPE_TEXT = 160 };
void recipe_text(const recipe *r, char out[RECIPE_TEXT]);

const char *recipe_layout_name(int32_t layout); /* "bitsandbytes", "native", "gptq", ... */

#endif
