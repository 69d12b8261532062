/*
 * kern_x86.h - what the decoders of every x86 level share: the walk over blocks, and stores past
 * the caches.
 *
 * Owns: the choice between direct and staged streaming, and the stage.
 * Must not know: code books, instruction sets above AVX2.
 *
 * A streaming store needs an aligned address and should fill its line of 64 bytes. If every block
 * begins on a line, the decoder streams by itself. Else the values first go to a stage in L1 that
 * has the same position within a line as the output, and whole lines leave from there; only the
 * first and the last line of a call are written in the ordinary way.
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
#define X86_STAGE 4096
#define X86_PIECE (X86_STAGE / 2)

struct x86_stage {
  _Alignas(X86_LINE) uint8_t bytes[X86_STAGE];
  uint8_t *out; /* where bytes[head] goes */
  size_t head, fill;
};

/* Sends the whole lines; what is left moves to the front. */
LQI_INLINE LQI_AVX2 void x86_stage_flush(struct x86_stage *s)
{
  size_t end = s->fill / X86_LINE * X86_LINE, at = 0;
  if (end == 0)
    return;
  if (s->head != 0) {
    memcpy(s->out, s->bytes + s->head, X86_LINE - s->head);
    s->out += X86_LINE - s->head;
    s->head = 0;
    at = X86_LINE;
  }
  for (; at < end; at += 32, s->out += 32)
    _mm256_stream_si256((void *)s->out, _mm256_load_si256((const void *)(s->bytes + at)));
  s->fill -= end;
  memcpy(s->bytes, s->bytes + end, s->fill);
}

/*
 * Decodes n codes of one block. With stream != 0 `out` is aligned to a line and n fills whole
 * lines. `table` is what the kernel made of its code book, `scale` the numbers of the block.
 */
typedef void x86_span_fn(const void *table, const float *scale, const uint8_t *codes, size_t n,
                         int32_t dtype, void *out, int stream);

/* A block in pieces that fit the stage; each is a multiple of 8 but for the last. */
LQI_INLINE LQI_AVX2 void x86_stage_block(struct x86_stage *s, x86_span_fn *span, const void *table,
                                         const float *scale, const uint8_t *codes, uint32_t bits,
                                         size_t n, int32_t dtype)
{
  size_t size = lqi_dtype_size(dtype), most = X86_PIECE / size;
  for (size_t done = 0, piece; done < n; done += piece) {
    piece = n - done < most ? n - done : most;
    span(table, scale, codes + done * bits / 8, piece, dtype, s->bytes + s->fill, 0);
    s->fill += piece * size;
    if (s->fill > X86_STAGE - X86_PIECE)
      x86_stage_flush(s);
  }
}

/* `numbers` floats of `scale` belong to each block. */
LQI_INLINE LQI_AVX2 void x86_decode(x86_span_fn *span, const void *table, const uint8_t *codes,
                                    uint32_t bits, size_t blocks, size_t block, const float *scale,
                                    size_t numbers, int32_t dtype, void *out, int stream)
{
  size_t bytes = block * lqi_dtype_size(dtype), step = block * bits / 8,
         line = (uintptr_t)out % X86_LINE;
  uint8_t *to = out;
  if (!stream) {
    for (size_t b = 0; b < blocks; b++)
      span(table, scale + b * numbers, codes + b * step, block, dtype, to + b * bytes, 0);
    return;
  }
  if (line == 0 && bytes % X86_LINE == 0) {
    for (size_t b = 0; b < blocks; b++)
      span(table, scale + b * numbers, codes + b * step, block, dtype, to + b * bytes, 1);
  } else {
    struct x86_stage s;
    s.out = to;
    s.head = s.fill = line;
    for (size_t b = 0; b < blocks; b++)
      x86_stage_block(&s, span, table, scale + b * numbers, codes + b * step, bits, block, dtype);
    x86_stage_flush(&s);
    if (s.fill > s.head)
      memcpy(s.out, s.bytes + s.head, s.fill - s.head);
  }
  _mm_sfence();
}

#endif
#endif
