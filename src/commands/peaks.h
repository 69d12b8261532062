/*
 * peaks.h - how fast this machine multiplies.
 *
 * Owns: loops over registers alone, for the instruction sets that the library may use. Must not
 * know: memory, threads. A product of 2 M N K operations cannot take less time than these loops
 * take for as many.
 */
#ifndef QUANT_COMMANDS_PEAKS_H
#define QUANT_COMMANDS_PEAKS_H

typedef enum peak { PEAK_F32, PEAK_I8, PEAK_BF16 } peak;

/* Some milliseconds of fused multiply-adds of f32, of products of 8-bit integers summed in 32 bits,
 * or of bf16 summed in f32 (where tiles do that; otherwise f32), in the widest way of the level
 * that lq_cpu_features names. Returns the operations done, a product and a sum being two. */
double peak_pass(peak which);

#endif
