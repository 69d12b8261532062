/*
 * fp4.c - 4 bits: sign, two bits of exponent, one of mantissa.
 *
 * Owns: the vtable. The code book is in codebook.c, the walk in blockwise.c.
 * Must not know: how either works.
 */
#include "blockwise.h"
#include "grid.h"
#include "registry.h"

const struct lqi_method lqi_method_fp4 = {
    .id = LQ_FP4,
    .flags = LQ_METHOD_BLOCKWISE,
    .code_bits = 4,
    .default_block_size = 64,
    .name = "fp4",
    .text = "4 bits: sign, exponent and mantissa, one scale a block",
    .codec = &lqi_codec_fp4,
    .grid = &lqi_grid_fp4,
    .check = lqi_blockwise_check,
    .layout = lqi_blockwise_layout,
    .units = lqi_blockwise_units,
    .encode = lqi_blockwise_encode,
    .decode = lqi_blockwise_decode,
    .strip = lqi_blockwise_strip,
};
