/*
 * perplexity.h - how well a network predicts a text, and how near it is to another network.
 *
 * Owns: batches of windows, log-softmax, the sums. Must not know: how windows are chosen, where
 * tokens come from, what is printed.
 *
 * To compare, the base runs first and keeps, for the first windows, the vectors that go into its
 * head. Its layers may then be freed: head and vectors give its logits again while the other model
 * runs, so two models are never resident together.
 */
#ifndef QUANT_MODEL_PERPLEXITY_H
#define QUANT_MODEL_PERPLEXITY_H

#include "net.h"
#include "windows.h"

typedef struct perplexity {
  const net *n; /* with its layers */
  const int32_t *tokens;
  const window_list *windows;
  int32_t bos; /* takes the place of the first token of each window; -1: none */

  double *nll; /* mean over the scored tokens of each window */

  float *keep; /* of the first keep_windows windows: perplexity_kept floats; or NULL */
  size_t keep_windows;

  const net *base; /* for its head; NULL: nothing is compared */
  const float *base_kept;
  size_t compared;    /* windows that base_kept has */
  double *kl, *agree; /* of each of these: mean of KL(base || n), share of equal first choices */
  double kl_largest;

  void (*done)(void *user, size_t tokens); /* may be NULL */
  void *user;
} perplexity;

/* Floats that the first `count` windows keep. */
size_t perplexity_kept(const net *n, const window_list *l, size_t count);

/* FAIL_DATA names the first window whose logits are not finite. */
bool perplexity_run(perplexity *p, fail *why);

#endif
