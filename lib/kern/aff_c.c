/*
 * aff_c.c - uniform grids with a zero point, portable C: the specification of the aff kernels.
 *
 * Owns: ranges, grids, codes and values of groups, and the error that a search for a range
 * minimizes.
 * Must not know: how codes of other widths than 4 and 8 bits are packed (bits_c.c), tensors.
 */
#include "kern_aff.h"

LQI_INLINE void aff_range(const void *x, int32_t dtype, size_t groups, size_t group, float *lo,
                          float *hi)
{
  for (size_t g = 0; g < groups; g++) {
    float least = 0.0f, most = 0.0f;
    int nan = 0;
    for (size_t i = g * group; i < (g + 1) * group; i++) {
      float v = lqi_load(x, dtype, i);
      least = v < least ? v : least;
      most = v > most ? v : most;
      nan |= v != v;
    }
    lo[g] = nan ? lqi_f32_from_bits(LQI_CANONICAL_NAN) : least;
    hi[g] = nan ? lqi_f32_from_bits(LQI_CANONICAL_NAN) : most;
  }
}

/* Comparisons are turned so that a NaN scale stays NaN, and a NaN quotient becomes 0. */
void lqi_aff_grid_c(const float *lo, const float *hi, size_t n, uint32_t bits, int symmetric,
                    struct lqi_grid *grid, uint16_t *half)
{
  const float most = (float)((1u << bits) - 1u);
  for (size_t i = 0; i < n; i++) {
    float high = hi[i], low = lo[i];
    if (symmetric) {
      high = -low > high ? -low : high;
      low = -high;
    }
    if (low == high) {
      low = -1.0f;
      high = 1.0f;
    }
    float s = (high - low) / most;
    s = AFF_LEAST_SCALE > s ? AFF_LEAST_SCALE : s;
    s = AFF_MOST_SCALE < s ? AFF_MOST_SCALE : s;
    half[i] = lqi_f32_to_f16(s);
    grid[i].scale = lqi_f16_to_f32(half[i]);
    float z = -low / grid[i].scale;
    z = z > 0.0f ? z : 0.0f;
    z = z < most ? z : most;
    grid[i].zero = symmetric ? (float)(1u << (bits - 1u)) : aff_rint(z);
  }
}

LQI_INLINE void aff4_encode(const void *x, int32_t dtype, size_t groups, size_t group,
                            const struct lqi_grid *grid, float most, uint8_t *codes)
{
  for (size_t g = 0; g < groups; g++)
    for (size_t i = g * group; i < (g + 1) * group; i++) {
      uint32_t code = aff_code(lqi_load(x, dtype, i), grid[g], most);
      codes[i / 2] = (uint8_t)(i % 2 == 0 ? code : codes[i / 2] | code << 4);
    }
}

LQI_INLINE void aff8_encode(const void *x, int32_t dtype, size_t groups, size_t group,
                            const struct lqi_grid *grid, float most, uint8_t *codes)
{
  for (size_t g = 0; g < groups; g++)
    for (size_t i = g * group; i < (g + 1) * group; i++)
      codes[i] = (uint8_t)aff_code(lqi_load(x, dtype, i), grid[g], most);
}

LQI_INLINE void aff4_decode(const uint8_t *codes, size_t groups, size_t group,
                            const struct lqi_grid *grid, int32_t dtype, void *out)
{
  for (size_t g = 0; g < groups; g++)
    for (size_t i = g * group; i < (g + 1) * group; i++)
      lqi_store(out, dtype, i, aff_value((uint32_t)codes[i / 2] >> 4 * (i % 2) & 15u, grid[g]));
}

LQI_INLINE void aff8_decode(const uint8_t *codes, size_t groups, size_t group,
                            const struct lqi_grid *grid, int32_t dtype, void *out)
{
  for (size_t g = 0; g < groups; g++)
    for (size_t i = g * group; i < (g + 1) * group; i++)
      lqi_store(out, dtype, i, aff_value(codes[i], grid[g]));
}

void lqi_aff_round_c(const float *x, const float *scale, const float *zero, float most,
                     uint8_t *codes, float *q)
{
  for (size_t l = 0; l < 32; l++) {
    const struct lqi_grid grid = {scale[l], zero[l]};
    codes[l] = (uint8_t)aff_code(x[l], grid, most);
    q[l] = aff_value(codes[l], grid);
  }
}

void lqi_aff_error_c(const float *x, size_t n, const struct lqi_grid *grid,
                     const struct lqi_aff_loss *loss, float chain[16])
{
  for (size_t i = 0; i < n; i++) {
    float d = aff_value(aff_code(x[i], *grid, loss->most), *grid) - x[i];
    d = (d < 0.0f ? -d : d) * loss->boost;
    chain[i % 16] += aff_power(d, loss->power);
  }
}

#define AFF_KERNELS(suffix, dtype) \
  void lqi_aff_range_##suffix##_c(const void *x, size_t groups, size_t group, float *lo, \
                                  float *hi) \
  { \
    aff_range(x, dtype, groups, group, lo, hi); \
  } \
  void lqi_aff4_encode_##suffix##_c(const void *x, size_t groups, size_t group, \
                                    const struct lqi_grid *grid, float most, uint8_t *codes) \
  { \
    aff4_encode(x, dtype, groups, group, grid, most, codes); \
  } \
  void lqi_aff8_encode_##suffix##_c(const void *x, size_t groups, size_t group, \
                                    const struct lqi_grid *grid, float most, uint8_t *codes) \
  { \
    aff8_encode(x, dtype, groups, group, grid, most, codes); \
  } \
  void lqi_aff4_decode_##suffix##_c(const uint8_t *codes, size_t groups, size_t group, \
                                    const struct lqi_grid *grid, void *out, int stream) \
  { \
    (void)stream; \
    aff4_decode(codes, groups, group, grid, dtype, out); \
  } \
  void lqi_aff8_decode_##suffix##_c(const uint8_t *codes, size_t groups, size_t group, \
                                    const struct lqi_grid *grid, void *out, int stream) \
  { \
    (void)stream; \
    aff8_decode(codes, groups, group, grid, dtype, out); \
  }

AFF_KERNELS(f32, LQ_F32)
AFF_KERNELS(f16, LQ_F16)
AFF_KERNELS(bf16, LQ_BF16)
