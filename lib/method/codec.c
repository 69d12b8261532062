/*
 * codec.c - the three block codecs: two codes a byte for nf4 and fp4, one for dynamic8.
 *
 * Owns: which kernel family and which code book belong together.
 * Must not know: blocks that are partial, scales that are nested.
 */
#include "blockwise.h"
#include "codebook.h"

static void nibble_decode(const struct lqi_kernels *kern, int32_t dtype, const float *value,
                          const uint8_t *codes, size_t blocks, size_t block, const float *absmax,
                          void *out, int stream)
{
  kern->q4_decode[lqi_float_index(dtype)](value, codes, blocks, block, absmax, out, stream);
}

static void nf4_encode(const struct lqi_kernels *kern, int32_t dtype, const void *x, size_t blocks,
                       size_t block, float *absmax, uint8_t *codes)
{
  kern->q4_encode[lqi_float_index(dtype)](&lqi_book_nf4, x, blocks, block, absmax, codes);
}

static void nf4_pack(const float *v, size_t n, uint8_t *codes)
{
  lqi_q4_pack(&lqi_book_nf4, v, n, codes);
}

const struct lqi_block_codec lqi_codec_nf4 = {
    .bits = 4,
    .entries = 16,
    .value = lqi_book_nf4.value,
    .encode = nf4_encode,
    .pack = nf4_pack,
    .decode = nibble_decode,
    .decode_part = lqi_q4_decode_part,
};

static void fp4_encode(const struct lqi_kernels *kern, int32_t dtype, const void *x, size_t blocks,
                       size_t block, float *absmax, uint8_t *codes)
{
  kern->q4_encode[lqi_float_index(dtype)](&lqi_book_fp4, x, blocks, block, absmax, codes);
}

static void fp4_pack(const float *v, size_t n, uint8_t *codes)
{
  lqi_q4_pack(&lqi_book_fp4, v, n, codes);
}

const struct lqi_block_codec lqi_codec_fp4 = {
    .bits = 4,
    .entries = 16,
    .value = lqi_book_fp4.value,
    .encode = fp4_encode,
    .pack = fp4_pack,
    .decode = nibble_decode,
    .decode_part = lqi_q4_decode_part,
};

static void dynamic_encode(const struct lqi_kernels *kern, int32_t dtype, const void *x,
                           size_t blocks, size_t block, float *absmax, uint8_t *codes)
{
  kern->q8_encode[lqi_float_index(dtype)](&lqi_book_dynamic, x, blocks, block, absmax, codes);
}

static void dynamic_pack(const float *v, size_t n, uint8_t *codes)
{
  lqi_q8_pack(&lqi_book_dynamic, v, n, codes);
}

static void dynamic_bins(const float *x, size_t n, float r, uint8_t *codes)
{
  lqi_q8_bins(&lqi_book_dynamic, x, n, r, codes);
}

static void byte_decode(const struct lqi_kernels *kern, int32_t dtype, const float *value,
                        const uint8_t *codes, size_t blocks, size_t block, const float *absmax,
                        void *out, int stream)
{
  kern->q8_decode[lqi_float_index(dtype)](value, codes, blocks, block, absmax, out, stream);
}

static void byte_decode_part(const float *value, const uint8_t *codes, uint64_t first, size_t n,
                             float scale, int32_t dtype, void *out)
{
  lqi_q8_decode_part(value, codes + first, n, scale, dtype, out);
}

const struct lqi_block_codec lqi_codec_dynamic = {
    .bits = 8,
    .entries = 256,
    .value = lqi_book_dynamic.value,
    .encode = dynamic_encode,
    .pack = dynamic_pack,
    .decode = byte_decode,
    .decode_part = byte_decode_part,
    .bins = dynamic_bins,
};
