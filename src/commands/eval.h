/*
 * eval.h - the parts of `quant eval`: what was asked, what came out, how that is told.
 *
 * Owns: the shape of a result. The verb (eval.c) runs the models, the report (eval_report.c)
 * prints.
 */
#ifndef QUANT_COMMANDS_EVAL_H
#define QUANT_COMMANDS_EVAL_H

#include "../model/windows.h"
#include "common.h"
#include "network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct eval_options {
  common common;
  const char *text, *tokens, *base, *convention;
  int64_t ctx, windows, stride, kl_windows;
  bool bos;
} eval_options;

/* One model on all windows. */
typedef struct eval_side {
  network network;
  double *nll; /* of each window */
  double seconds;
  uint64_t memory; /* of its weights */
} eval_side;

typedef struct evaluation {
  const eval_options *options;
  pool *memory;
  team *workers;
  int32_t *tokens;
  size_t count;  /* of tokens */
  size_t length; /* of a window */
  window_list windows;
  eval_side model, base; /* base.network is closed without --base */
  float *base_kept;
  size_t compared;    /* windows whose distributions are compared */
  double *kl, *agree; /* of each */
  double kl_largest;
} evaluation;

/* Prints the result, as text or JSON. */
bool eval_report(const evaluation *e, fail *why);

#endif
