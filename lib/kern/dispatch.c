/*
 * dispatch.c - the kernel tables, one per instruction-set level, in constant data.
 *
 * Owns: which function serves which slot at which level.
 * Must not know: how a level is detected (core/cpu.c) or what a kernel does.
 */
#include "kern_c.h"

#include "../core/cpu.h"
#include "../core/parts.h"

#define FLOATS(name, isa) \
  { \
    lqi_##name##_f32_##isa, lqi_##name##_f16_##isa, lqi_##name##_bf16_##isa \
  }

/* Only the half types have a kernel of their own: for f32 the operation is a copy. */
#define HALVES(name, isa) \
  { \
    lqi_##name##_f32_c, lqi_##name##_f16_##isa, lqi_##name##_bf16_##isa \
  }

/*
 * What a level has of each family, every slot with the comma behind it: a family that no method of
 * the build needs is nothing (core/parts.h).
 */
#define BOOK4(isa, encode, decode) \
  LQI_IF(LQI_HAS_BOOK4, .q4_encode = FLOATS(q4_encode, encode), \
         .q4_decode = FLOATS(q4_decode, decode), \
         .strip_pair[LQI_FORM_BOOK4] = lqi_strip_pair_book4_##isa, \
         .strip_dots[LQI_FORM_BOOK4] = lqi_strip_dots_book4_##isa, \
         .fixed_dots[LQI_FORM_BOOK4] = lqi_fixed_dots_book4_##isa, )

#define BOOK8(encode, decode) \
  LQI_IF(LQI_HAS_BOOK8, .q8_encode = FLOATS(q8_encode, encode), \
         .q8_decode = FLOATS(q8_decode, decode), )

/* The look-up in 256 values gains nothing from vectors of 16, until they can permute bytes; where
 * it is left out rows are better decoded by q8_decode first. */
#define BOOK8_STRIPS(isa) \
  LQI_IF(LQI_HAS_DYNAMIC8, .strip_pair[LQI_FORM_BOOK8] = lqi_strip_pair_book8_##isa, \
         .strip_dots[LQI_FORM_BOOK8] = lqi_strip_dots_book8_##isa, )

#define AFFINE(isa) \
  LQI_IF(LQI_HAS_AFFINE, .aff_range = FLOATS(aff_range, isa), \
         .aff4_encode = FLOATS(aff4_encode, isa), .aff8_encode = FLOATS(aff8_encode, isa), \
         .aff4_decode = FLOATS(aff4_decode, isa), .aff8_decode = FLOATS(aff8_decode, isa), \
         .aff_grid = lqi_aff_grid_##isa, .aff_error = lqi_aff_error_##isa, \
         .aff_round = lqi_aff_round_##isa, .strip_pair[LQI_FORM_LOW4] = lqi_strip_pair_low4_##isa, \
         .strip_pair[LQI_FORM_LOW3] = lqi_strip_pair_low3_##isa, \
         .strip_pair[LQI_FORM_LOW2] = lqi_strip_pair_low2_##isa, \
         .strip_pair[LQI_FORM_U8] = lqi_strip_pair_u8_##isa, \
         .strip_dots[LQI_FORM_LOW4] = lqi_strip_dots_low4_##isa, \
         .strip_dots[LQI_FORM_LOW3] = lqi_strip_dots_low3_##isa, \
         .strip_dots[LQI_FORM_LOW2] = lqi_strip_dots_low2_##isa, \
         .strip_dots[LQI_FORM_U8] = lqi_strip_dots_u8_##isa, \
         .fixed_dots[LQI_FORM_LOW4] = lqi_fixed_dots_low4_##isa, \
         .fixed_dots[LQI_FORM_LOW3] = lqi_fixed_dots_low3_##isa, \
         .fixed_dots[LQI_FORM_LOW2] = lqi_fixed_dots_low2_##isa, \
         .fixed_dots[LQI_FORM_U8] = lqi_fixed_dots_u8_##isa, )

#define INT8(isa, dots) \
  LQI_IF(LQI_HAS_INT8, .i8_encode = FLOATS(i8_encode, isa), .i8_decode = FLOATS(i8_decode, isa), \
         .strip_pair[LQI_FORM_I8] = lqi_strip_pair_i8_##isa, \
         .strip_dots[LQI_FORM_I8] = lqi_strip_dots_i8_##isa, \
         .fixed_dots[LQI_FORM_I8] = lqi_fixed_dots_i8_##isa, .dots_i8 = lqi_dots_i8_##dots, )

/* Products of bytes: what rounds x, what multiplies, and whether they pay. Dense rows and books of
 * 256 values have none. */
#define BYTES(round, isa, pay) \
  .byte_round = lqi_byte_round_##round, .byte_products = pay, \
  LQI_IF(LQI_HAS_BOOK4, .byte_dots[LQI_FORM_BOOK4] = lqi_byte_dots_book4_##isa, ) \
      LQI_IF(LQI_HAS_AFFINE, .byte_dots[LQI_FORM_LOW4] = lqi_byte_dots_low4_##isa, \
             .byte_dots[LQI_FORM_LOW3] = lqi_byte_dots_low3_##isa, \
             .byte_dots[LQI_FORM_LOW2] = lqi_byte_dots_low2_##isa, \
             .byte_dots[LQI_FORM_U8] = lqi_byte_dots_u8_##isa, ) \
          LQI_IF(LQI_HAS_INT8, .byte_dots[LQI_FORM_I8] = lqi_byte_dots_i8_##isa, )

/* Of binary64: columns and grain of a tile. */
#define GPTQ(isa, transpose, columns, grain) \
  LQI_IF(LQI_HAS_GPTQ, .spread = lqi_spread_##isa, .tiles.sum = lqi_tile_sum_##isa, \
         .tiles.f64 = lqi_tile_f64_##isa, .tiles.transpose_f64 = lqi_transpose_f64_##transpose, \
         .tiles.columns_f64 = columns, .tiles.grain_f64 = grain, )

/* Every build has these: absmax, conversions, products of floats. Then rows of x up to which strips
 * pay, rows of a tile, columns and grain of f32. */
#define COMMON(isa, convert, transpose, most, high, columns, grain) \
  .absmax = FLOATS(absmax, isa), .widen = convert(widen, isa), .narrow = convert(narrow, isa), \
  .pair = FLOATS(pair, isa), .dots = lqi_dots_##isa, .fix = lqi_fix_##isa, \
  .deviation = lqi_deviation_##isa, .strip_rows = most, \
  .strip_pair[LQI_FORM_F32] = lqi_strip_pair_f32_##isa, \
  .strip_pair[LQI_FORM_F16] = lqi_strip_pair_f16_##isa, \
  .strip_pair[LQI_FORM_BF16] = lqi_strip_pair_bf16_##isa, \
  .strip_dots[LQI_FORM_F32] = lqi_strip_dots_f32_##isa, \
  .strip_dots[LQI_FORM_F16] = lqi_strip_dots_f16_##isa, \
  .strip_dots[LQI_FORM_BF16] = lqi_strip_dots_bf16_##isa, .tiles.f32 = lqi_tile_f32_##isa, \
  .tiles.row = lqi_tile_row_##isa, .tiles.transpose_f32 = lqi_transpose_f32_##transpose, \
  .tiles.rows = high, .tiles.columns_f32 = columns, .tiles.grain_f32 = grain,

/* clang-format off */

static const struct lqi_kernels kernels_c = {
  COMMON(c, FLOATS, c, 4, 4, 8, 1)
  BOOK4(c, c, c)
  BOOK8(c, c)
  BOOK8_STRIPS(c)
  AFFINE(c)
  INT8(c, c)
  BYTES(c, c, 0)
  GPTQ(c, c, 4, 1)
};

#if LQI_X86

/* Of two levels. */
#define KERNELS_AVX2 \
  COMMON(avx2, HALVES, avx2, 8, 4, 24, 8) \
  BOOK4(avx2, avx2, avx2) \
  BOOK8(avx2, avx2) \
  BOOK8_STRIPS(avx2) \
  AFFINE(avx2) \
  GPTQ(avx2, avx2, 12, 4)

static const struct lqi_kernels kernels_avx2 = {
  KERNELS_AVX2
  INT8(avx2, avx2)
};

static const struct lqi_kernels kernels_avxvnni = {
  KERNELS_AVX2
  INT8(avx2, avxvnni)
  BYTES(avx2, avxvnni, 1)
};

static const struct lqi_kernels kernels_avx512 = {
  COMMON(avx512, HALVES, avx2, 16, 8, 48, 16)
  BOOK4(avx512, avx512, avx512)
  BOOK8(avx512, avx512)
  BOOK8_STRIPS(avx2)
  AFFINE(avx512)
  INT8(avx512, avx512)
  GPTQ(avx512, avx2, 24, 8)
};

/* Of two levels. */
#define KERNELS_AVX512VBMI \
  COMMON(avx512, HALVES, avx2, 16, 8, 48, 16) \
  BOOK4(avx512, avx512vbmi, avx512) \
  BOOK8(avx512, avx512vbmi) \
  BOOK8_STRIPS(avx512vbmi) \
  AFFINE(avx512) \
  INT8(avx512, avx512vbmi) \
  BYTES(avx512, avx512vbmi, 1) \
  GPTQ(avx512, avx2, 24, 8)

static const struct lqi_kernels kernels_avx512vbmi = {KERNELS_AVX512VBMI};

#if LQI_AMX

static const struct lqi_kernels kernels_amx = {
  KERNELS_AVX512VBMI
  .blocks_bf16 = lqi_blocks_bf16_amx,
  LQI_IF(LQI_HAS_INT8, .blocks_i8 = lqi_blocks_i8_amx, )
};

#endif

#endif

#if LQI_NEON

/* Of three levels. */
#define KERNELS_NEON \
  COMMON(neon, HALVES, neon, 8, 4, 24, 8) \
  BOOK4(neon, neon, neon) \
  BOOK8(neon, neon) \
  AFFINE(neon) \
  GPTQ(neon, neon, 12, 4)

static const struct lqi_kernels kernels_neon = {
  KERNELS_NEON
  INT8(neon, neon)
};

#if LQI_DOTPROD

static const struct lqi_kernels kernels_dotprod = {
  KERNELS_NEON
  INT8(neon, dotprod)
  BYTES(neon, dotprod, 1)
};

static const struct lqi_kernels kernels_i8mm = {
  KERNELS_NEON
  INT8(neon, i8mm)
  BYTES(neon, dotprod, 1)
};

#endif

#endif

/* clang-format on */

static const struct lqi_kernels *const kernel_tables[LQI_LEVEL_COUNT] = {
    [LQI_LEVEL_SCALAR] = &kernels_c,
#if LQI_X86
    [LQI_LEVEL_AVX2] = &kernels_avx2,       [LQI_LEVEL_AVXVNNI] = &kernels_avxvnni,
    [LQI_LEVEL_AVX512] = &kernels_avx512,   [LQI_LEVEL_AVX512VBMI] = &kernels_avx512vbmi,
#endif
#if LQI_AMX
    [LQI_LEVEL_AMX] = &kernels_amx,
#endif
#if LQI_NEON
    [LQI_LEVEL_NEON] = &kernels_neon,
#endif
#if LQI_DOTPROD
    [LQI_LEVEL_DOTPROD] = &kernels_dotprod, [LQI_LEVEL_I8MM] = &kernels_i8mm,
#endif
};

const struct lqi_kernels *lqi_kernels_at(int level)
{
  return lqi_cpu_has(level) && level <= (int)lqi_cpu_level() ? kernel_tables[level] : NULL;
}

const struct lqi_kernels *lqi_kernels(void)
{
  return kernel_tables[lqi_cpu_level()];
}
