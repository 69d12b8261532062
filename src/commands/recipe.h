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
  const char *method, *format, *compat, *nonfinite;
  int64_t block_size;
  bool block_size_given, nested, threshold_given;
  double threshold;
} recipe_options;

typedef struct recipe {
  const char *method_name;
  int32_t method, layout;
  int64_t block_size; /* 0 for a method without blocks */
  bool nested;
  bool from_half;   /* encode the f16 cast of each weight, as Linear8bitLt does */
  double threshold; /* int8: of the activations in the bitsandbytes layout, else of the weights */
} recipe;

/* Resolves options and makes the quantizer. FAIL_USAGE for what does not go together. */
bool recipe_make(recipe *out, lq_quantizer **quantizer, const recipe_options *o, const common *c,
                 pool *memory, fail *why);

const char *recipe_layout_name(int32_t layout); /* "bitsandbytes", "native" */

#endif
