/*
 * nf4.c - 4 bits: the 16 values are quantiles of the normal distribution (QLoRA, arXiv 2305.14314).
 *
 * Owns: the vtable. The code book is in codebook.c, the walk in blockwise.c.
 * Must not know: how either works.
 */
#include "blockwise.h"
#include "grid.h"
#include "registry.h"

const struct lqi_method lqi_method_nf4 = {
    .id = LQ_NF4,
    .flags = LQ_METHOD_BLOCKWISE,
    .code_bits = 4,
    .default_block_size = 64,
    .name = "nf4",
    .text = "4 bits: quantiles of the normal distribution, one scale a block",
    .codec = &lqi_codec_nf4,
    .grid = &lqi_grid_nf4,
    .check = lqi_blockwise_check,
    .layout = lqi_blockwise_layout,
    .units = lqi_blockwise_units,
    .encode = lqi_blockwise_encode,
    .decode = lqi_blockwise_decode,
    .strip = lqi_blockwise_strip,
};
