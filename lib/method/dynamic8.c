/*
 * dynamic8.c - 8 bits: a 256-entry code, finer near zero (8-bit optimizers, arXiv 2110.02861).
 *
 * Owns: the vtable. The code book is in codebook.c, the walk in blockwise.c.
 * Must not know: how either works.
 */
#include "blockwise.h"
#include "registry.h"

const struct lqi_method lqi_method_dynamic8 = {
    .id = LQ_DYNAMIC8,
    .flags = LQ_METHOD_BLOCKWISE,
    .code_bits = 8,
    .default_block_size = 256,
    .name = "dynamic8",
    .text = "8 bits: a code that is finer near zero, one scale a block",
    .codec = &lqi_codec_dynamic,
    .check = lqi_blockwise_check,
    .layout = lqi_blockwise_layout,
    .units = lqi_blockwise_units,
    .encode = lqi_blockwise_encode,
    .decode = lqi_blockwise_decode,
    .strip = lqi_blockwise_strip,
};
