/*
 * inspect_gguf.h - the metadata of a GGUF file, for `quant inspect`.
 *
 * Owns: how values are shown and shortened. Must not know: what keys mean.
 */
#ifndef QUANT_COMMANDS_INSPECT_GGUF_H
#define QUANT_COMMANDS_INSPECT_GGUF_H

#include "../files/gguf.h"
#include "../files/json.h"

#include <stdbool.h>

/* A line for each key; long strings and arrays are cut. */
bool inspect_gguf_print(const gguf_file *f, fail *why);

/* An object: numbers, truth values and strings as such; an array as its type, its length and the
 * first items. */
bool inspect_gguf_json(const gguf_file *f, json_printer *p, fail *why);

#endif
