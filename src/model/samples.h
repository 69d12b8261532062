/*
 * samples.h - what a model is shown for calibration: windows of tokens, drawn from a text.
 *
 * Owns: the draw, which a seed fixes on every machine. Must not know: networks, tokenizers.
 */
#ifndef QUANT_MODEL_SAMPLES_H
#define QUANT_MODEL_SAMPLES_H

#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct samples {
  int32_t *ids; /* [count, length] */
  size_t count, length;
} samples;

/*
 * The tokens are cut into disjoint windows of `length`, of which `count` are drawn without
 * repetition: Fisher-Yates from the front, window i swapped with window i + r mod (n - i), r from
 * splitmix64 with that seed. Fewer windows than asked for are all taken; none is FAIL_DATA.
 */
bool samples_draw(samples *out, const int32_t *tokens, size_t total, size_t length, size_t count,
                  uint64_t seed, const char *text, fail *why);
void samples_free(samples *s); /* zeros are fine */

/* A number that tells one draw from another. */
uint64_t samples_hash(const samples *s, uint64_t start);

#endif
