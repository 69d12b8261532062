/*
 * ggml_super.c - the types with blocks of 256: scales of 16 or 32 elements are small integers,
 * multiples of one f16 number for the block; and the two ternary ones.
 *
 * Owns: their layout in bytes, and the arithmetic, in f32 and without fused operations: the scale
 * times the f16 number first, then the code, then what is subtracted. These are the bits of ggml.
 * Must not know: tensors.
 *
 * A part is 32 elements. Codes of fewer than eight bits are spread so that a byte holds element l
 * of several parts, at one shift a part.
 */
#include "ggml.h"

#define PART LQI_GGML_PART

/* Two bits of element l of a part, where four parts share 32 bytes. */
static uint32_t two_bits(const uint8_t *codes, uint32_t part, int l)
{
  return (uint32_t)codes[part / 4 * 32 + (uint32_t)l] >> part % 4 * 2 & 3;
}

/* A nibble of element l of a part, where two parts share 32 bytes. */
static uint32_t nibble(const uint8_t *codes, uint32_t part, int l)
{
  return (uint32_t)codes[part / 2 * 32 + (uint32_t)l] >> part % 2 * 4 & 15;
}

void lqi_ggml_q2_k(const uint8_t *block, uint32_t part, float *out)
{
  const uint8_t *codes = block + 16;
  const float d = lqi_ggml_f16(block + 80), dmin = lqi_ggml_f16(block + 82);
  for (int half = 0; half < 2; half++) {
    const uint32_t s = block[2 * part + (uint32_t)half];
    const float scale = d * (float)(s & 15), minimum = dmin * (float)(s >> 4);
    for (int l = 16 * half; l < 16 * half + 16; l++)
      out[l] = scale * (float)two_bits(codes, part, l) - minimum;
  }
}

/* Scale s of 16, of six bits less 32: four bits in a nibble of the first eight bytes, two in the
 * last four. */
static int q3_scale(const uint8_t *scales, uint32_t s)
{
  const uint32_t low = (uint32_t)scales[s % 8] >> s / 8 * 4 & 15;
  const uint32_t high = (uint32_t)scales[8 + s % 4] >> s / 4 * 2 & 3;
  return (int)(low | high << 4) - 32;
}

/* The third bit of a code is stored inverted, as 4 to subtract. */
void lqi_ggml_q3_k(const uint8_t *block, uint32_t part, float *out)
{
  const uint8_t *high = block, *codes = block + 32, *scales = block + 96;
  const float d = lqi_ggml_f16(block + 108);
  for (uint32_t half = 0; half < 2; half++) {
    const float scale = d * (float)q3_scale(scales, 2 * part + half);
    for (int l = 16 * (int)half; l < 16 * (int)half + 16; l++) {
      const int less = high[l] >> part & 1 ? 0 : 4;
      out[l] = scale * (float)((int)two_bits(codes, part, l) - less);
    }
  }
}

struct scale_min {
  uint32_t scale, min;
};

/* Numbers of six bits for part j, packed into twelve bytes: of parts 0 to 3 as they are, of parts 4
 * to 7 their low nibbles in the last four bytes and their high bits on top of the others. */
static struct scale_min six_bits(const uint8_t *s, uint32_t j)
{
  if (j < 4)
    return (struct scale_min){s[j] & 63u, s[j + 4] & 63u};
  return (struct scale_min){(s[j + 4] & 15u) | (uint32_t)s[j - 4] >> 6 << 4,
                            (uint32_t)s[j + 4] >> 4 | (uint32_t)s[j] >> 6 << 4};
}

void lqi_ggml_q4_k(const uint8_t *block, uint32_t part, float *out)
{
  const struct scale_min by = six_bits(block + 4, part);
  const float d = lqi_ggml_f16(block) * (float)by.scale;
  const float m = lqi_ggml_f16(block + 2) * (float)by.min;
  for (int l = 0; l < PART; l++)
    out[l] = d * (float)nibble(block + 16, part, l) - m;
}

void lqi_ggml_q5_k(const uint8_t *block, uint32_t part, float *out)
{
  const struct scale_min by = six_bits(block + 4, part);
  const float d = lqi_ggml_f16(block) * (float)by.scale;
  const float m = lqi_ggml_f16(block + 2) * (float)by.min;
  const uint8_t *high = block + 16, *codes = block + 48;
  for (int l = 0; l < PART; l++) {
    const uint32_t q = nibble(codes, part, l) | ((uint32_t)high[l] >> part & 1) << 4;
    out[l] = d * (float)q - m;
  }
}

/* Of each half of the block the low nibbles of 64 bytes are its first two parts, the high ones the
 * other two. */
void lqi_ggml_q6_k(const uint8_t *block, uint32_t part, float *out)
{
  const uint32_t half = part / 4, p = part % 4;
  const uint8_t *low = block + 64 * half + 32 * (p % 2), *high = block + 128 + 32 * half;
  const uint8_t *scales = block + 192 + 2 * part;
  const float d = lqi_ggml_f16(block + 208);
  for (int h = 0; h < 2; h++) {
    const float scale = d * (float)((scales[h] ^ 0x80) - 0x80);
    for (int l = 16 * h; l < 16 * h + 16; l++) {
      const uint32_t lower = (uint32_t)low[l] >> p / 2 * 4 & 15;
      const uint32_t upper = (uint32_t)high[l] >> 2 * p & 3;
      out[l] = scale * (float)((int)(lower | upper << 4) - 32);
    }
  }
}

void lqi_ggml_iq4_xs(const uint8_t *block, uint32_t part, float *out)
{
  const uint32_t low = (uint32_t)block[4 + part / 2] >> part % 2 * 4 & 15;
  const uint32_t high = lqi_ggml_u16(block + 2) >> 2 * part & 3;
  const float d = lqi_ggml_f16(block) * (float)((int)(low | high << 4) - 32);
  const uint8_t *codes = block + 8 + 16 * part;
  for (int j = 0; j < PART / 2; j++) {
    out[j] = d * (float)lqi_ggml_iq4_values[codes[j] & 15];
    out[j + PART / 2] = d * (float)lqi_ggml_iq4_values[codes[j] >> 4];
  }
}

/*
 * Digit n of a number in base 3, most significant first, that is stored as the byte ceil(number *
 * 256 / 243), less 1: multiplied by 3^n modulo 256 the digits before it are gone, and the next
 * multiplication pushes it over the top.
 */
static float ternary_digit(uint8_t byte, uint32_t n)
{
  static const uint8_t power[5] = {1, 3, 9, 27, 81};
  const uint32_t rest = (uint32_t)byte * power[n] & 255;
  return (float)((int)(rest * 3 >> 8) - 1);
}

/* Five digits a byte for 240 elements, 32 and then 16 bytes wide; four for the last 16. */
void lqi_ggml_tq1_0(const uint8_t *block, uint32_t part, float *out)
{
  const float d = lqi_ggml_f16(block + 52);
  for (uint32_t l = 0; l < PART; l++) {
    const uint32_t e = part * PART + l;
    if (e < 160)
      out[l] = ternary_digit(block[l], part) * d;
    else if (e < 240)
      out[l] = ternary_digit(block[32 + (e - 160) % 16], (e - 160) / 16) * d;
    else
      out[l] = ternary_digit(block[48 + (e - 240) % 4], (e - 240) / 4) * d;
  }
}

void lqi_ggml_tq2_0(const uint8_t *block, uint32_t part, float *out)
{
  const float d = lqi_ggml_f16(block + 64);
  for (int l = 0; l < PART; l++)
    out[l] = (float)((int)two_bits(block, part, l) - 1) * d;
}
