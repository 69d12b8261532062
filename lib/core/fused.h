/*
 * fused.h - a * b + c rounded once, where the C library's own function rounds twice.
 *
 * Owns: which function kernels in C call. Must not know: anything above a single value.
 *
 * Results are promised to the bit, and the instruction of the processor, which faster kernels use,
 * rounds once. The fma() of mingw-w64 does not always: it adds an approximate product.
 */
#ifndef LQI_FUSED_H
#define LQI_FUSED_H

#include "base.h"

#ifndef LQ_FREESTANDING
#include <math.h>

float lqi_fused_f32(float a, float b, float c);
double lqi_fused_f64(double a, double b, double c);

#if defined(__MINGW32__) && !defined(__FMA__) && !defined(__ARM_FEATURE_FMA)
#define LQI_FMAF lqi_fused_f32
#define LQI_FMA lqi_fused_f64
#else
#define LQI_FMAF fmaf
#define LQI_FMA fma
#endif

#endif

#endif
