/*
 * rope.h - rotary positions: their parameters in config.json, the angles that follow from them.
 *
 * Owns: the kinds of scaling (RoFormer, arXiv 2104.09864; linear; Llama 3.1; YaRN, arXiv
 * 2309.00071). Must not know: queries, keys, layers.
 */
#ifndef QUANT_MODEL_ROPE_H
#define QUANT_MODEL_ROPE_H

#include "spec.h"

#include <stddef.h>

/* Reads `rope_parameters`, or the older pair of `rope_scaling` and `rope_theta`. */
bool rope_read(spec_rope *out, const json_doc *config, uint64_t max_positions, fail *why);

/* Angle of each pair of elements of a head for one step of position: head_dim / 2 values. */
void rope_frequencies(const spec *s, float *out);

/* Cosines and sines for positions 0 .. count - 1, head_dim / 2 of each a position. `frequencies` is
 * what rope_frequencies gave. */
void rope_tables(const spec *s, const float *frequencies, size_t count, float *cosines,
                 float *sines);

/* Rotates the pairs (i, i + head_dim / 2) of one head in place. */
void rope_rotate(float *head, size_t head_dim, const float *cosines, const float *sines);

#endif
