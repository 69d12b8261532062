/*
 * hfconfig.h - what config.json of a Hugging Face folder says about quantization.
 *
 * Owns: the member "quantization_config", key by key as transformers writes it for bitsandbytes, as
 * loaders of GPTQ and AWQ want it, and our own form of it for the native layout. Must not know:
 * tensors' contents, files.
 */
#ifndef QUANT_COMMANDS_HFCONFIG_H
#define QUANT_COMMANDS_HFCONFIG_H

#include "../files/json.h"
#include "../model/weight.h"
#include "quantize.h"

#include <stdbool.h>
#include <stdint.h>

/* Puts "nf4", "int8", "gptq" ... into `method` if the configuration says that the model is
 * quantized; `restorable` tells whether `quant dequantize` knows it. */
bool hf_quantized(const json_doc *config, char method[32], bool *restorable);

/* LQ_BF16 and so on as the configuration has it; 0 if it does not say. */
int32_t hf_dtype(const json_doc *config);

/* Sets the type, under whichever of the two names is there. Failure shows in json_write. */
void hf_put_dtype(json_doc *config, int32_t dtype);

/* Adds the description of what was done. */
bool hf_put_quantization(json_doc *config, const quantize_job *job, fail *why);

/* The same members, in any object of a document. */
bool hf_fill_quantization(json_doc *d, json_id object, const quantize_job *job, fail *why);

void hf_remove_quantization(json_doc *config);

/* The model's type if its linear weights lie transposed in the checkpoint, otherwise NULL. */
const char *hf_transposed_type(const json_doc *config);

/* Refuses models whose linear weights lie transposed in the checkpoint, which readers of layouts
 * other than the native one do not expect. */
bool hf_check_layout(const json_doc *config, int32_t layout, fail *why);

const char *hf_dtype_name(int32_t dtype); /* "bfloat16" */

#endif
