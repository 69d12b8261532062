/*
 * nested.h - scales that are quantized themselves: 8-bit dynamic codes, an f32 scale a few of them,
 * one offset.
 *
 * Owns: "double quantization" (QLoRA, arXiv 2305.14314, section 3) for every method with block
 * scales.
 * Must not know: what the scales belong to.
 */
#ifndef LQI_NESTED_H
#define LQI_NESTED_H

#include "method.h"

/*
 * Sum and mean of f32 values in the order of torch's sum on one thread, which the offset of
 * existing checkpoints is made with: four rows of eight lanes, summed in cascades (formats page of
 * bitsandbytes). mean(0 values) is NaN, as there.
 */
float lqi_sum_f32(const float *x, uint64_t n);
float lqi_mean_f32(const float *x, uint64_t n);

/*
 * Encodes job->scales (one f32 a byte of LQI_SCALES, overwritten) into the planes LQI_SCALES and
 * LQI_NESTED_SCALES and the offset of job->store.
 */
void lqi_nested_encode(struct lqi_job *job);

/* out[0..count) = f32 scales of blocks first .. : value * scale, then + offset, two roundings. */
void lqi_nested_expand(const struct lqi_store *store, const struct lqi_kernels *kern,
                       uint64_t first, size_t count, float *out);

#endif
