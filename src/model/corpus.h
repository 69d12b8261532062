/*
 * corpus.h - the text or the token ids that a model is measured on.
 *
 * Owns: the two kinds of text file and the file of ids. Must not know: tokenizers, windows.
 */
#ifndef QUANT_MODEL_CORPUS_H
#define QUANT_MODEL_CORPUS_H

#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A whole file as UTF-8, nothing changed; of a file named *.jsonl the member "text" of each line,
 * joined by an empty line. A new block with a NUL after it, for free(). */
bool corpus_text(char **text, size_t *length, const char *path, fail *why);

/* Ids from a safetensors file: its only tensor of I32 or I64, or the one named after a colon, as
 * FILE.safetensors:NAME. Rows of a matrix follow each other. For free(). */
bool corpus_ids(int32_t **ids, size_t *count, const char *path, fail *why);

#endif
