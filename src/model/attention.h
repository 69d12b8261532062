/*
 * attention.h - causal attention over the heads of one layer.
 *
 * Owns: rotation, keys and values of earlier positions, scores, softmax. Must not know: linears.
 */
#ifndef QUANT_MODEL_ATTENTION_H
#define QUANT_MODEL_ATTENTION_H

#include "net.h"

/* From s->wide, rows of [q | k | v], to s->x, rows of all heads. Keys and values of this step are
 * added to those in the state. */
bool attention_run(const net *n, const net_layer *layer, net_state *s, fail *why);

#endif
