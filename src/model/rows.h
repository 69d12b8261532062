/*
 * rows.h - what a network does to one row of numbers: norms, activations, softmax.
 *
 * Owns: the arithmetic. Values are f32; sums over a row run in double precision, in an order that
 * depends on the length alone. Must not know: what a row stands for, threads.
 */
#ifndef QUANT_MODEL_ROWS_H
#define QUANT_MODEL_ROWS_H

#include "spec.h"

#include <stddef.h>

/* out = weight * (x / sqrt(mean(x^2) + eps)); `out` may be `x`. */
void rows_rms_norm(float *out, const float *x, size_t n, const float *weight, double eps);

/* out = weight * (x - mean(x)) / sqrt(variance(x) + eps) + bias; both may be NULL. */
void rows_layer_norm(float *out, const float *x, size_t n, const float *weight, const float *bias,
                     double eps);

void rows_activate(spec_act act, float *x, size_t n);

/* gate = act(gate) * up */
void rows_activate_gated(spec_act act, float *gate, const float *up, size_t n);

/* x = exp(x), within 2 units in the last place of f32 and the same on every machine; 0 below
 * -87.33, where the result is not a normal number, infinity above 88.02. NaN stays. */
void rows_exp(float *x, size_t n);

/* x = softmax(scale * x) */
void rows_softmax(float *x, size_t n, float scale);

/* log(sum(exp(x))), with the largest value taken out first. */
double rows_log_sum_exp(const float *x, size_t n);

size_t rows_largest(const float *x, size_t n); /* the first of equal ones; n > 0 */

#endif
