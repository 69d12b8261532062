/*
 * ggml_blocks.c - the types with small blocks: one f16 scale, perhaps an f16 minimum, for 32
 * elements; and the two of four-bit floating-point numbers.
 *
 * Owns: their layout in bytes, and the arithmetic, in f32 and without fused operations: a product,
 * then a sum. These are the bits of ggml.
 * Must not know: tensors.
 *
 * Two nibbles share a byte in such a way that the low ones are the first half of the elements under
 * one scale and the high ones the second half.
 */
#include "ggml.h"

#define HALF (LQI_GGML_PART / 2)

const int8_t lqi_ggml_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

/* Twice the numbers of E2M1 (sign, two bits of exponent, one of mantissa), by code. */
static const int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void lqi_ggml_q4_0(const uint8_t *block, uint32_t part, float *out)
{
  (void)part;
  const float d = lqi_ggml_f16(block);
  const uint8_t *q = block + 2;
  for (int j = 0; j < HALF; j++) {
    out[j] = (float)((q[j] & 15) - 8) * d;
    out[j + HALF] = (float)((q[j] >> 4) - 8) * d;
  }
}

void lqi_ggml_q4_1(const uint8_t *block, uint32_t part, float *out)
{
  (void)part;
  const float d = lqi_ggml_f16(block), m = lqi_ggml_f16(block + 2);
  const uint8_t *q = block + 4;
  for (int j = 0; j < HALF; j++) {
    out[j] = (float)(q[j] & 15) * d + m;
    out[j + HALF] = (float)(q[j] >> 4) * d + m;
  }
}

void lqi_ggml_q5_0(const uint8_t *block, uint32_t part, float *out)
{
  (void)part;
  const float d = lqi_ggml_f16(block);
  const uint32_t high = lqi_ggml_u32(block + 2);
  const uint8_t *q = block + 6;
  for (int j = 0; j < HALF; j++) {
    out[j] = (float)((int)((q[j] & 15u) | (high >> j & 1u) << 4) - 16) * d;
    out[j + HALF] = (float)((int)(((uint32_t)q[j] >> 4) | (high >> (j + HALF) & 1u) << 4) - 16) * d;
  }
}

void lqi_ggml_q5_1(const uint8_t *block, uint32_t part, float *out)
{
  (void)part;
  const float d = lqi_ggml_f16(block), m = lqi_ggml_f16(block + 2);
  const uint32_t high = lqi_ggml_u32(block + 4);
  const uint8_t *q = block + 8;
  for (int j = 0; j < HALF; j++) {
    out[j] = (float)((q[j] & 15u) | (high >> j & 1u) << 4) * d + m;
    out[j + HALF] = (float)(((uint32_t)q[j] >> 4) | (high >> (j + HALF) & 1u) << 4) * d + m;
  }
}

/* The value of a byte as two's complement, without a conversion that C leaves to the compiler. */
static int signed_byte(uint8_t byte)
{
  return (byte ^ 0x80) - 0x80;
}

void lqi_ggml_q8_0(const uint8_t *block, uint32_t part, float *out)
{
  (void)part;
  const float d = lqi_ggml_f16(block);
  for (int j = 0; j < LQI_GGML_PART; j++)
    out[j] = (float)signed_byte(block[2 + j]) * d;
}

/* 2 * `half` elements from as many nibbles, by way of a table. */
static void look_up(const uint8_t *q, int half, const int8_t *table, float scale, float *out)
{
  for (int j = 0; j < half; j++) {
    out[j] = scale * (float)table[q[j] & 15];
    out[j + half] = scale * (float)table[q[j] >> 4];
  }
}

void lqi_ggml_iq4_nl(const uint8_t *block, uint32_t part, float *out)
{
  (void)part;
  look_up(block + 2, HALF, lqi_ggml_iq4_values, lqi_ggml_f16(block), out);
}

/* The scale is a biased exponent, halved because the table is doubled: 2^(e - 128), of which the
 * least two are subnormal. */
void lqi_ggml_mxfp4(const uint8_t *block, uint32_t part, float *out)
{
  (void)part;
  const uint32_t e = block[0];
  const uint32_t bits = e < 2 ? UINT32_C(0x00200000) << e : (e - 1) << 23;
  look_up(block + 1, HALF, e2m1_doubled, lqi_f32_from_bits(bits), out);
}

/* An unsigned number of four bits of exponent (bias 7) and three of mantissa, halved likewise; the
 * code of NaN counts as 0. */
static float ue4m3_halved(uint32_t code)
{
  const uint32_t exponent = code >> 3 & 15, mantissa = code & 7;
  if (code == 0x7f)
    return 0.0f;
  if (exponent == 0)
    return (float)mantissa * 0x1p-10f;
  return lqi_f32_from_bits((exponent + 119) << 23 | mantissa << 20);
}

/* Four scales in front, each for 16 elements. */
void lqi_ggml_nvfp4(const uint8_t *block, uint32_t part, float *out)
{
  for (uint32_t s = 2 * part; s < 2 * part + 2; s++, out += HALF)
    look_up(block + 4 + 8 * s, HALF / 2, e2m1_doubled, ue4m3_halved(block[s]), out);
}
