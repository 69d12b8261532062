/*
 * calibrated.h - quantizing a language model layer by layer on what its layers see.
 *
 * Owns: the walk over layers, the inputs that calibrate each group of linears. Must not know: the
 * command line, how a model is computed (model/net.h).
 */
#ifndef QUANT_COMMANDS_CALIBRATED_H
#define QUANT_COMMANDS_CALIBRATED_H

#include "quantize.h"

/* What the model is shown, from the command line. */
typedef struct calibration_options {
  const char *text;        /* a text or .jsonl file, or NULL */
  const char *tokens;      /* a safetensors file of ids, or NULL */
  int64_t samples, length; /* length 0: that of the model, at most 2048 */
  int64_t seed;
  bool spill; /* hidden states wait in a file, not in memory */
} calibration_options;

/* As quantize_run, for a recipe whose method calibrates. */
bool quantize_calibrated(quantize_job *job, const calibration_options *o, fail *why);

#endif
