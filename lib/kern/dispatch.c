/*
 * dispatch.c - the kernel tables, one per instruction-set level, in constant data.
 *
 * Owns: which function serves which slot at which level.
 * Must not know: how a level is detected (core/cpu.c) or what a kernel does.
 */
#include "kern_c.h"

#include "../core/cpu.h"

#define FLOATS(name, isa) \
  { \
    lqi_##name##_f32_##isa, lqi_##name##_f16_##isa, lqi_##name##_bf16_##isa \
  }

/* Only the half types have a kernel of their own: for f32 the operation is a copy. */
#define HALVES(name, isa) \
  { \
    lqi_##name##_f32_c, lqi_##name##_f16_##isa, lqi_##name##_bf16_##isa \
  }

/* The look-up in 256 values gains nothing from vectors of 16, until they can permute bytes. NULL:
 * rows are better decoded by q8_decode first. */
#define STRIPS(name, isa, book8) \
  { \
    [LQI_FORM_BOOK4] = lqi_##name##_book4_##isa, [LQI_FORM_LOW4] = lqi_##name##_low4_##isa, \
    [LQI_FORM_LOW3] = lqi_##name##_low3_##isa, [LQI_FORM_LOW2] = lqi_##name##_low2_##isa, \
    [LQI_FORM_BOOK8] = book8, [LQI_FORM_U8] = lqi_##name##_u8_##isa, \
    [LQI_FORM_I8] = lqi_##name##_i8_##isa, [LQI_FORM_F32] = lqi_##name##_f32_##isa, \
    [LQI_FORM_F16] = lqi_##name##_f16_##isa, [LQI_FORM_BF16] = lqi_##name##_bf16_##isa \
  }

#define FIXED(isa) \
  { \
    [LQI_FORM_BOOK4] = lqi_fixed_dots_book4_##isa, [LQI_FORM_LOW4] = lqi_fixed_dots_low4_##isa, \
    [LQI_FORM_U8] = lqi_fixed_dots_u8_##isa, [LQI_FORM_I8] = lqi_fixed_dots_i8_##isa \
  }

/* Dense rows and books of 256 values have no bytes. */
#define BYTES(isa, narrow) \
  { \
    [LQI_FORM_BOOK4] = lqi_strip_bytes_book4_##isa, [LQI_FORM_LOW4] = lqi_strip_bytes_low4_##isa, \
    [LQI_FORM_LOW3] = lqi_strip_bytes_low3_##narrow, \
    [LQI_FORM_LOW2] = lqi_strip_bytes_low2_##narrow, [LQI_FORM_U8] = lqi_strip_bytes_u8_c, \
    [LQI_FORM_I8] = lqi_strip_bytes_i8_c \
  }

/* Rows of a tile, then columns and grain of f32 and of f64. */
#define TILES(isa, narrow, ...) \
  { \
    lqi_tile_f32_##isa, lqi_tile_sum_##isa, lqi_tile_f64_##isa, lqi_tile_row_##isa, \
        lqi_transpose_f32_##narrow, lqi_transpose_f64_##narrow, __VA_ARGS__ \
  }

static const struct lqi_kernels kernels_c = {
    .q4_encode = FLOATS(q4_encode, c),
    .q4_decode = FLOATS(q4_decode, c),
    .q8_encode = FLOATS(q8_encode, c),
    .q8_decode = FLOATS(q8_decode, c),
    .aff_range = FLOATS(aff_range, c),
    .aff4_encode = FLOATS(aff4_encode, c),
    .aff8_encode = FLOATS(aff8_encode, c),
    .aff4_decode = FLOATS(aff4_decode, c),
    .aff8_decode = FLOATS(aff8_decode, c),
    .aff_grid = lqi_aff_grid_c,
    .aff_error = lqi_aff_error_c,
    .aff_round = lqi_aff_round_c,
    .absmax = FLOATS(absmax, c),
    .i8_encode = FLOATS(i8_encode, c),
    .i8_decode = FLOATS(i8_decode, c),
    .widen = FLOATS(widen, c),
    .narrow = FLOATS(narrow, c),
    .pair = FLOATS(pair, c),
    .dots = lqi_dots_c,
    .strip_pair = STRIPS(strip_pair, c, lqi_strip_pair_book8_c),
    .strip_dots = STRIPS(strip_dots, c, lqi_strip_dots_book8_c),
    .strip_rows = 4,
    .fix = lqi_fix_c,
    .fixed_dots = FIXED(c),
    .byte_round = lqi_byte_round_c,
    .strip_bytes = BYTES(c, c),
    .byte_dots = lqi_byte_dots_c,
    .spread = lqi_spread_c,
    .deviation = lqi_deviation_c,
    .dots_i8 = lqi_dots_i8_c,
    .tiles = TILES(c, c, 4, 8, 1, 4, 1),
};

#if LQI_X86

/* Of two levels. */
#define KERNELS_AVX2 \
  .q4_encode = FLOATS(q4_encode, avx2), .q4_decode = FLOATS(q4_decode, avx2), \
  .q8_encode = FLOATS(q8_encode, avx2), .q8_decode = FLOATS(q8_decode, avx2), \
  .aff_range = FLOATS(aff_range, avx2), .aff4_encode = FLOATS(aff4_encode, avx2), \
  .aff8_encode = FLOATS(aff8_encode, avx2), .aff4_decode = FLOATS(aff4_decode, avx2), \
  .aff8_decode = FLOATS(aff8_decode, avx2), .aff_grid = lqi_aff_grid_avx2, \
  .aff_error = lqi_aff_error_avx2, .aff_round = lqi_aff_round_avx2, \
  .absmax = FLOATS(absmax, avx2), .i8_encode = FLOATS(i8_encode, avx2), \
  .i8_decode = FLOATS(i8_decode, avx2), .widen = HALVES(widen, avx2), \
  .narrow = HALVES(narrow, avx2), .pair = FLOATS(pair, avx2), .dots = lqi_dots_avx2, \
  .strip_pair = STRIPS(strip_pair, avx2, lqi_strip_pair_book8_avx2), \
  .strip_dots = STRIPS(strip_dots, avx2, lqi_strip_dots_book8_avx2), .strip_rows = 8, \
  .fix = lqi_fix_avx2, .fixed_dots = FIXED(avx2), .spread = lqi_spread_avx2, \
  .deviation = lqi_deviation_avx2, .tiles = TILES(avx2, avx2, 4, 24, 8, 12, 4)

static const struct lqi_kernels kernels_avx2 = {KERNELS_AVX2, .dots_i8 = lqi_dots_i8_avx2};

static const struct lqi_kernels kernels_avxvnni = {
    KERNELS_AVX2,
    .byte_round = lqi_byte_round_avx2,
    .strip_bytes = BYTES(avx2, c),
    .byte_dots = lqi_byte_dots_avxvnni,
    .byte_products = 1,
    .dots_i8 = lqi_dots_i8_avxvnni,
};

static const struct lqi_kernels kernels_avx512 = {
    .q4_encode = FLOATS(q4_encode, avx512),
    .q4_decode = FLOATS(q4_decode, avx512),
    .q8_encode = FLOATS(q8_encode, avx512),
    .q8_decode = FLOATS(q8_decode, avx512),
    .aff_range = FLOATS(aff_range, avx512),
    .aff4_encode = FLOATS(aff4_encode, avx512),
    .aff8_encode = FLOATS(aff8_encode, avx512),
    .aff4_decode = FLOATS(aff4_decode, avx512),
    .aff8_decode = FLOATS(aff8_decode, avx512),
    .aff_grid = lqi_aff_grid_avx512,
    .aff_error = lqi_aff_error_avx512,
    .aff_round = lqi_aff_round_avx512,
    .absmax = FLOATS(absmax, avx512),
    .i8_encode = FLOATS(i8_encode, avx512),
    .i8_decode = FLOATS(i8_decode, avx512),
    .widen = HALVES(widen, avx512),
    .narrow = HALVES(narrow, avx512),
    .pair = FLOATS(pair, avx512),
    .dots = lqi_dots_avx512,
    .strip_pair = STRIPS(strip_pair, avx512, lqi_strip_pair_book8_avx2),
    .strip_dots = STRIPS(strip_dots, avx512, lqi_strip_dots_book8_avx2),
    .strip_rows = 16,
    .fix = lqi_fix_avx512,
    .fixed_dots = FIXED(avx512),
    .spread = lqi_spread_avx512,
    .deviation = lqi_deviation_avx512,
    .dots_i8 = lqi_dots_i8_avx512,
    .tiles = TILES(avx512, avx2, 8, 48, 16, 24, 8),
};

/* Of two levels. */
#define KERNELS_AVX512VBMI \
  .q4_encode = FLOATS(q4_encode, avx512vbmi), .q4_decode = FLOATS(q4_decode, avx512), \
  .q8_encode = FLOATS(q8_encode, avx512), .q8_decode = FLOATS(q8_decode, avx512vbmi), \
  .aff_range = FLOATS(aff_range, avx512), .aff4_encode = FLOATS(aff4_encode, avx512), \
  .aff8_encode = FLOATS(aff8_encode, avx512), .aff4_decode = FLOATS(aff4_decode, avx512), \
  .aff8_decode = FLOATS(aff8_decode, avx512), .aff_grid = lqi_aff_grid_avx512, \
  .aff_error = lqi_aff_error_avx512, .aff_round = lqi_aff_round_avx512, \
  .absmax = FLOATS(absmax, avx512), .i8_encode = FLOATS(i8_encode, avx512), \
  .i8_decode = FLOATS(i8_decode, avx512), .widen = HALVES(widen, avx512), \
  .narrow = HALVES(narrow, avx512), .pair = FLOATS(pair, avx512), .dots = lqi_dots_avx512, \
  .strip_pair = STRIPS(strip_pair, avx512, lqi_strip_pair_book8_avx512vbmi), .strip_rows = 16, \
  .strip_dots = STRIPS(strip_dots, avx512, lqi_strip_dots_book8_avx512vbmi), \
  .fix = lqi_fix_avx512, .fixed_dots = FIXED(avx512vbmi), .byte_round = lqi_byte_round_avx512, \
  .strip_bytes = BYTES(avx512vbmi, avx512vbmi), .byte_dots = lqi_byte_dots_avx512vbmi, \
  .byte_products = 1, .spread = lqi_spread_avx512, .deviation = lqi_deviation_avx512, \
  .dots_i8 = lqi_dots_i8_avx512vbmi, .tiles = TILES(avx512, avx2, 8, 48, 16, 24, 8)

static const struct lqi_kernels kernels_avx512vbmi = {KERNELS_AVX512VBMI};

#if LQI_AMX

static const struct lqi_kernels kernels_amx = {
    KERNELS_AVX512VBMI,
    .blocks_bf16 = lqi_blocks_bf16_amx,
    .blocks_i8 = lqi_blocks_i8_amx,
};

#endif

#endif

#if LQI_NEON

/* Of three levels. */
#define KERNELS_NEON \
  .q4_encode = FLOATS(q4_encode, neon), .q4_decode = FLOATS(q4_decode, neon), \
  .q8_encode = FLOATS(q8_encode, neon), .q8_decode = FLOATS(q8_decode, neon), \
  .aff_range = FLOATS(aff_range, neon), .aff4_encode = FLOATS(aff4_encode, neon), \
  .aff8_encode = FLOATS(aff8_encode, neon), .aff4_decode = FLOATS(aff4_decode, neon), \
  .aff8_decode = FLOATS(aff8_decode, neon), .aff_grid = lqi_aff_grid_neon, \
  .aff_error = lqi_aff_error_neon, .aff_round = lqi_aff_round_neon, \
  .absmax = FLOATS(absmax, neon), .i8_encode = FLOATS(i8_encode, neon), \
  .i8_decode = FLOATS(i8_decode, neon), .widen = HALVES(widen, neon), \
  .narrow = HALVES(narrow, neon), .pair = FLOATS(pair, neon), .dots = lqi_dots_neon, \
  .strip_pair = STRIPS(strip_pair, neon, NULL), .strip_dots = STRIPS(strip_dots, neon, NULL), \
  .strip_rows = 8, .fix = lqi_fix_neon, .fixed_dots = FIXED(neon), .spread = lqi_spread_neon, \
  .deviation = lqi_deviation_neon, .tiles = TILES(neon, neon, 4, 24, 8, 12, 4)

static const struct lqi_kernels kernels_neon = {KERNELS_NEON, .dots_i8 = lqi_dots_i8_neon};

#if LQI_DOTPROD

#define KERNELS_DOTPROD \
  KERNELS_NEON, .byte_round = lqi_byte_round_neon, .strip_bytes = BYTES(neon, c), \
                .byte_dots = lqi_byte_dots_dotprod, .byte_products = 1

static const struct lqi_kernels kernels_dotprod = {KERNELS_DOTPROD, .dots_i8 = lqi_dots_i8_dotprod};
static const struct lqi_kernels kernels_i8mm = {KERNELS_DOTPROD, .dots_i8 = lqi_dots_i8_i8mm};

#endif

#endif

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
