/*
 * ggml.h - the block types of ggml, which GGUF files hold: their numbers, names and sizes, and how
 * 32 elements of each are decoded.
 *
 * Owns: the row of a type.
 * Must not know: files, how blocks make up a tensor (ggml.c).
 */
#ifndef LQI_GGML_H
#define LQI_GGML_H

#include "method.h"

/* Every block is a whole number of such parts, each decoded without looking at the others. */
#define LQI_GGML_PART 32

/* Elements part * LQI_GGML_PART .. of the block that starts at `block`, at any address. */
typedef void lqi_ggml_decode_fn(const uint8_t *block, uint32_t part, float *out);

struct lqi_ggml_type {
  int32_t id;
  uint16_t elements, bytes; /* of a block */
  int16_t scale, minimum;   /* where its f16 numbers lie in it; -1: it has none */
  int32_t dtype;            /* LQ_* of a type that is not quantized; 0 */
  const char *name;
  lqi_ggml_decode_fn *decode; /* NULL: known by name and size alone */
};

/* ggml.c: NULL for a number that no type has, or none has any longer. */
const struct lqi_ggml_type *lqi_ggml_type(int32_t id);

/* ggml_blocks.c */
lqi_ggml_decode_fn lqi_ggml_q4_0, lqi_ggml_q4_1, lqi_ggml_q5_0, lqi_ggml_q5_1, lqi_ggml_q8_0,
    lqi_ggml_iq4_nl, lqi_ggml_mxfp4, lqi_ggml_nvfp4;

/* ggml_super.c */
lqi_ggml_decode_fn lqi_ggml_q2_k, lqi_ggml_q3_k, lqi_ggml_q4_k, lqi_ggml_q5_k, lqi_ggml_q6_k,
    lqi_ggml_iq4_xs, lqi_ggml_tq1_0, lqi_ggml_tq2_0;

/* ggml_blocks.c: what the codes of IQ4_NL and IQ4_XS stand for. */
extern const int8_t lqi_ggml_iq4_values[16];

/* ---- Little-endian numbers at any address ---- */

LQI_INLINE uint32_t lqi_ggml_u16(const uint8_t *p)
{
  return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

LQI_INLINE uint32_t lqi_ggml_u32(const uint8_t *p)
{
  return lqi_ggml_u16(p) | lqi_ggml_u16(p + 2) << 16;
}

LQI_INLINE float lqi_ggml_f16(const uint8_t *p)
{
  return lqi_f16_to_f32((uint16_t)lqi_ggml_u16(p));
}

#endif
