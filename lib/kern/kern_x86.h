/*
 * kern_x86.h - what the decoders of every x86 level share: the walk over blocks, and stores past
 * the caches.
 *
 * Owns: when to store past the caches.
 * Must not know: code books, instruction sets above AVX2.
 */
#ifndef LQI_KERN_X86_H
#define LQI_KERN_X86_H

#include "kern_c.h"

#if LQI_X86

#include <immintrin.h>

/* Short loops over arrays of vectors are to become straight code on registers; not every compiler
 * does so unasked. */
#if defined(__clang__)
#define X86_UNROLL _Pragma("clang loop unroll(full)")
#else
#define X86_UNROLL _Pragma("GCC unroll 16")
#endif

#define X86_LINE 64

/*
 * Decodes n codes of one block. With stream != 0 `out` is aligned to a line and n fills whole
 * lines. `table` is what the kernel made of its code book, `scale` the numbers of the block.
 */
typedef void x86_span_fn(const void *table, const float *scale, const uint8_t *codes, size_t n,
                         int32_t dtype, void *out, int stream);

/*
 * A streaming store needs an aligned address and should fill its line of 64 bytes, so it is used
 * where every block begins on a line. Shifting values to the lines of another output was tried: the
 * loads then wait for stores that overlap them in part, which takes longer than ordinary stores do.
 * `numbers` floats of `scale` belong to each block.
 */
LQI_INLINE LQI_AVX2 void x86_decode(x86_span_fn *span, const void *table, const uint8_t *codes,
                                    uint32_t bits, size_t blocks, size_t block, const float *scale,
                                    size_t numbers, int32_t dtype, void *out, int stream)
{
  size_t bytes = block * lqi_dtype_size(dtype), step = block * bits / 8;
  if (((uintptr_t)out | bytes) % X86_LINE != 0)
    stream = 0;
  for (size_t b = 0; b < blocks; b++)
    span(table, scale + b * numbers, codes + b * step, block, dtype, (uint8_t *)out + b * bytes,
         stream);
  if (stream)
    _mm_sfence();
}

#endif
#endif
