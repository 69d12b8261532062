/*
 * net_parts.h - how one tensor of a checkpoint becomes a part of a network. For net*.c only.
 *
 * Owns: checks of names, shapes and types; the transposed matrices of GPT-2. Must not know: which
 * parts a network has.
 */
#ifndef QUANT_MODEL_NET_PARTS_H
#define QUANT_MODEL_NET_PARTS_H

#include "net.h"

/* A name of the checkpoint: the network's prefix and a printf text. Cut at PART_NAME bytes. */
enum { PART_NAME = 256 };
void part_name(const net *n, char out[PART_NAME], const char *format, ...) FAIL_PRINTF(3, 4);

/* Fills weight and name. `transposed`: dense matrices lie as [columns, rows] in the checkpoint. On
 * failure `out` is to be freed like one that was loaded. */
bool part_linear(const net *n, const char *name, size_t rows, size_t columns, bool transposed,
                 net_linear *out, fail *why);
void part_linear_free(const net *n, net_linear *l); /* zeros are fine */

/* A vector of `count` numbers as f32, from the network's pool. */
bool part_vector(const net *n, const char *name, size_t count, float **out, fail *why);

/* NAME.weight and, if `bias`, NAME.bias. */
bool part_norm(const net *n, const char *name, size_t count, bool bias, net_norm *out, fail *why);
void part_norm_free(const net *n, net_norm *norm);

/* "FILE: what: text of the status". Returns false. */
bool part_fails(const net *n, const char *what, lq_status status, fail *why);

#endif
