/*
 * select.h - which tensors of a model are quantized.
 *
 * Owns: the default choice and the patterns on top of it. Must not know: methods, encoding.
 *
 * By default, in a folder: the weights that transformers makes quantized linear layers of, told by
 * shape and name: two dimensions, floating point, "*.weight", neither an embedding nor the output
 * head. In a single file: all two-dimensional floating-point "*.weight". --include takes the place
 * of the default: what matches a pattern and can be quantized. --exclude then takes away.
 */
#ifndef QUANT_COMMANDS_SELECT_H
#define QUANT_COMMANDS_SELECT_H

#include "../model/weight.h"
#include "../ui/args.h"
#include "recipe.h"

#include <stdbool.h>
#include <stdint.h>

/* `chosen` has one place for each weight of the list. A pattern that matches nothing, or for
 * --include nothing that can be quantized, is FAIL_NOTFOUND or FAIL_UNSUPPORTED and says so;
 * choosing nothing at all is an error, too. */
bool select_weights(const weight_list *l, int32_t layout, const args_list *include,
                    const args_list *exclude, bool *chosen, fail *why);

/* Takes from `chosen` the matrices that have no place in the layout of `r` by their shape, marks
 * them in `refused` (zeros before) and gives their number. When none is left, false. */
bool select_drop_shapes(const weight_list *l, const recipe *r, bool *chosen, bool *refused,
                        size_t *count, fail *why);

/* Is `chosen` what the default would be? */
bool select_is_default(const weight_list *l, const bool *chosen);

/* Would transformers make a quantized layer of it if nothing said otherwise, output heads counted
 * too? */
bool select_is_linear(const weight *w);

/* Is it the output embedding, or the layer that a classifier has in its place? */
bool select_is_head(const weight *w);

#endif
