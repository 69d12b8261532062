/*
 * network.h - what `quant eval` and `quant generate` share: a model that is ready to run.
 *
 * Owns: the order in which model, weights and network are opened and closed; the progress bar of
 * loading. Must not know: what is run.
 */
#ifndef QUANT_COMMANDS_NETWORK_H
#define QUANT_COMMANDS_NETWORK_H

#include "../model/net.h"
#include "../model/team.h"
#include "../model/tokenizer.h"
#include "common.h"

#include <stdbool.h>

/* Zeros are closed. */
typedef struct network {
  model *from;
  weight_list weights;
  net *net;
} network;

/* Everything but the layers. */
bool network_open(network *out, const char *path, pool *memory, team *workers, fail *why);
bool network_load(network *n, bool quiet, fail *why);
void network_close(network *n);

/* That of the first of two models that has one, in tokenizer.json or in a GGUF file; `b` may be
 * NULL. */
bool network_tokenizer(tokenizer **out, const model *a, const model *b, fail *why);

#endif
