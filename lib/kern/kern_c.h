/*
 * kern_c.h - what the portable kernels share: normalisation of a block, and their declarations for
 * the dispatch table.
 *
 * Owns: the scalar rules of absmax and its reciprocal.
 * Must not know: anything that kern.h does not name.
 */
#ifndef LQI_KERN_C_H
#define LQI_KERN_C_H

#include "kern.h"

#define LQI_CANONICAL_NAN 0x7fc00000u

/* Magnitudes compare as integers, where NaN is above infinity: one pass finds the maximum and every
 * NaN. */
LQI_INLINE float lqi_absmax_any(const void *x, int32_t dtype, size_t first, size_t n)
{
  uint32_t m = 0;
  for (size_t i = first; i < first + n; i++) {
    uint32_t u = lqi_f32_bits(lqi_load(x, dtype, i)) & 0x7fffffffu;
    m = u > m ? u : m;
  }
  return lqi_f32_from_bits(m > 0x7f800000u ? LQI_CANONICAL_NAN : m);
}

LQI_INLINE float lqi_reciprocal(float m)
{
  float floor = lqi_f32_from_bits(LQI_ABSMAX_FLOOR_BITS);
  return 1.0f / (m <= floor ? floor : m);
}

#define LQI_DECLARE_STRIPS(name, isa) \
  lqi_##name##_fn lqi_##name##_book4_##isa, lqi_##name##_low4_##isa, lqi_##name##_low3_##isa, \
      lqi_##name##_low2_##isa, lqi_##name##_book8_##isa, lqi_##name##_u8_##isa, \
      lqi_##name##_i8_##isa, lqi_##name##_f32_##isa, lqi_##name##_f16_##isa, \
      lqi_##name##_bf16_##isa

#define LQI_DECLARE_BYTES(isa) \
  lqi_byte_dots_fn lqi_byte_dots_book4_##isa, lqi_byte_dots_low4_##isa, lqi_byte_dots_low3_##isa, \
      lqi_byte_dots_low2_##isa, lqi_byte_dots_u8_##isa, lqi_byte_dots_i8_##isa

#define LQI_DECLARE_KERNELS(isa) \
  lqi_q4_encode_fn lqi_q4_encode_f32_##isa, lqi_q4_encode_f16_##isa, lqi_q4_encode_bf16_##isa; \
  lqi_q4_decode_fn lqi_q4_decode_f32_##isa, lqi_q4_decode_f16_##isa, lqi_q4_decode_bf16_##isa; \
  lqi_q8_encode_fn lqi_q8_encode_f32_##isa, lqi_q8_encode_f16_##isa, lqi_q8_encode_bf16_##isa; \
  lqi_q8_decode_fn lqi_q8_decode_f32_##isa, lqi_q8_decode_f16_##isa, lqi_q8_decode_bf16_##isa; \
  lqi_aff_range_fn lqi_aff_range_f32_##isa, lqi_aff_range_f16_##isa, lqi_aff_range_bf16_##isa; \
  lqi_aff_encode_fn lqi_aff4_encode_f32_##isa, lqi_aff4_encode_f16_##isa, \
      lqi_aff4_encode_bf16_##isa; \
  lqi_aff_encode_fn lqi_aff8_encode_f32_##isa, lqi_aff8_encode_f16_##isa, \
      lqi_aff8_encode_bf16_##isa; \
  lqi_aff_decode_fn lqi_aff4_decode_f32_##isa, lqi_aff4_decode_f16_##isa, \
      lqi_aff4_decode_bf16_##isa; \
  lqi_aff_decode_fn lqi_aff8_decode_f32_##isa, lqi_aff8_decode_f16_##isa, \
      lqi_aff8_decode_bf16_##isa; \
  lqi_aff_grid_fn lqi_aff_grid_##isa; \
  lqi_aff_error_fn lqi_aff_error_##isa; \
  lqi_aff_round_fn lqi_aff_round_##isa; \
  lqi_absmax_fn lqi_absmax_f32_##isa, lqi_absmax_f16_##isa, lqi_absmax_bf16_##isa; \
  lqi_i8_encode_fn lqi_i8_encode_f32_##isa, lqi_i8_encode_f16_##isa, lqi_i8_encode_bf16_##isa; \
  lqi_i8_decode_fn lqi_i8_decode_f32_##isa, lqi_i8_decode_f16_##isa, lqi_i8_decode_bf16_##isa; \
  lqi_widen_fn lqi_widen_f32_##isa, lqi_widen_f16_##isa, lqi_widen_bf16_##isa; \
  lqi_narrow_fn lqi_narrow_f32_##isa, lqi_narrow_f16_##isa, lqi_narrow_bf16_##isa; \
  lqi_pair_fn lqi_pair_f32_##isa, lqi_pair_f16_##isa, lqi_pair_bf16_##isa; \
  lqi_dots_fn lqi_dots_##isa; \
  LQI_DECLARE_STRIPS(strip_pair, isa); \
  LQI_DECLARE_STRIPS(strip_dots, isa); \
  lqi_fix_fn lqi_fix_##isa; \
  lqi_fixed_dots_fn lqi_fixed_dots_book4_##isa, lqi_fixed_dots_low4_##isa, \
      lqi_fixed_dots_low3_##isa, lqi_fixed_dots_low2_##isa, lqi_fixed_dots_u8_##isa, \
      lqi_fixed_dots_i8_##isa; \
  lqi_byte_round_fn lqi_byte_round_##isa; \
  LQI_DECLARE_BYTES(isa); \
  lqi_spread_fn lqi_spread_##isa; \
  lqi_deviation_fn lqi_deviation_##isa; \
  lqi_dots_i8_fn lqi_dots_i8_##isa; \
  lqi_tile_f32_fn lqi_tile_f32_##isa; \
  lqi_tile_sum_fn lqi_tile_sum_##isa; \
  lqi_tile_f64_fn lqi_tile_f64_##isa; \
  lqi_tile_row_fn lqi_tile_row_##isa; \
  lqi_transpose_f32_fn lqi_transpose_f32_##isa; \
  lqi_transpose_f64_fn lqi_transpose_f64_##isa

/* One product as dots_i8 has it, of what fills no vector (dots_i8_c.c). */
int32_t lqi_dot_i8_part(const uint8_t *a, const uint8_t *b, size_t n);

/* c by mode from the sums p of a tile, one after another: what fills no vector (tile_c.c). */
void lqi_tile_edge_f32(const float *p, size_t columns, float *c, size_t ldc, size_t m, size_t n,
                       int mode);
void lqi_tile_edge_sum(const float *p, size_t columns, double *c, size_t ldc, size_t m, size_t n);
void lqi_tile_edge_f64(const double *p, size_t columns, double *c, size_t ldc, size_t m, size_t n,
                       int mode);

/* What only some levels have of their own. */
lqi_blocks_fn lqi_blocks_bf16_amx, lqi_blocks_i8_amx;
LQI_DECLARE_BYTES(avxvnni);
LQI_DECLARE_BYTES(dotprod);
lqi_dots_i8_fn lqi_dots_i8_avxvnni, lqi_dots_i8_dotprod, lqi_dots_i8_i8mm;

LQI_DECLARE_KERNELS(c);
LQI_DECLARE_KERNELS(avx2);
LQI_DECLARE_KERNELS(avx512);
LQI_DECLARE_KERNELS(avx512vbmi);
LQI_DECLARE_KERNELS(neon);

#endif
