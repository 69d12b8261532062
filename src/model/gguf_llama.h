/*
 * gguf_llama.h - a GGUF file with a Llama in it, seen as the Hugging Face folder that it was made
 * from.
 *
 * Owns: the names of the tensors and of the keys in both, the order of rows of q and k, the
 * tokenizer. Must not know: what runs the model.
 */
#ifndef QUANT_MODEL_GGUF_LLAMA_H
#define QUANT_MODEL_GGUF_LLAMA_H

#include "../files/model.h"
#include "tokenizer.h"

#include <stdbool.h>

/* Gives the tensors of a GGUF file the names, rows and configuration of the folder.
 * FAIL_UNSUPPORTED names an architecture, or a part of one, for which that is not done. */
bool gguf_as_folder(model *m, fail *why);

/* The same if `other` has tensors by these names and none by those of the file; a model that is no
 * GGUF file stays as it is. */
bool gguf_as_other(model *m, const model *other, fail *why);

/* The tokenizer in the metadata: SentencePiece ("llama") or byte-level BPE ("gpt2"). */
bool gguf_tokenizer(tokenizer **out, const gguf_file *f, fail *why);

/* The token in front of a text, -1 for none. */
bool gguf_start(const gguf_file *f, int32_t *id, fail *why);

#endif
