/*
 * blockwise.h - what methods with block scales share: the walk over blocks, rare blocks, nested
 * scales.
 *
 * Owns: struct lqi_block_codec, by which nf4, fp4 and dynamic8 differ.
 * Must not know: which of them it serves.
 */
#ifndef LQI_BLOCKWISE_H
#define LQI_BLOCKWISE_H

#include "method.h"

/*
 * A code book with the functions that walk it. `first` counts elements from the start of the codes;
 * it is even where a byte holds two codes, except in decode_part. Kernel slots are as in kern.h.
 */
struct lqi_block_codec {
  uint32_t bits;      /* of one code: 4 or 8 */
  uint32_t entries;   /* 16 or 256 */
  const float *value; /* the standard code book, by code */
  void (*encode)(const struct lqi_kernels *kern, int32_t dtype, const void *x, size_t blocks,
                 size_t block, float *absmax, uint8_t *codes);
  void (*pack)(const float *v, size_t n, uint8_t *codes);
  void (*decode)(const struct lqi_kernels *kern, int32_t dtype, const float *value,
                 const uint8_t *codes, size_t blocks, size_t block, const float *absmax, void *out,
                 int stream);
  void (*decode_part)(const float *value, const uint8_t *codes, uint64_t first, size_t n,
                      float scale, int32_t dtype, void *out);
  /* The reference's own rule for whole and partial blocks; NULL: it is `encode` but for the last
   * block (blockwise.c). */
  void (*bins)(const float *x, size_t n, float r, uint8_t *codes);
};

extern const struct lqi_block_codec lqi_codec_nf4, lqi_codec_fp4, lqi_codec_dynamic;

/* Whether bitsandbytes itself takes 4-bit blocks of that size: powers of two from 32 to 4096. */
int lqi_is_reference_block_size(uint32_t size);

/* Slots of the vtable, and the pieces that nested scales use. */
lq_status lqi_blockwise_check(const struct lqi_params *params, struct lqi_text *why);
void lqi_blockwise_layout(const struct lqi_store *store, uint64_t bytes[LQI_PLANES]);
uint64_t lqi_blockwise_units(const struct lqi_store *store);
void lqi_blockwise_encode(struct lqi_job *job, uint64_t first, uint64_t count);
void lqi_blockwise_decode(const struct lqi_store *store, const struct lqi_kernels *kern,
                          uint64_t first, uint64_t count, int32_t dtype, void *out, int stream);

/* Has a form where blocks are whole pieces of columns and divide the rows. */
int lqi_blockwise_strip(const struct lqi_store *store, const struct lqi_kernels *kern, uint64_t row,
                        uint64_t rows, float *grids, struct lqi_strip *out);

/* The rule of encode on explicit arguments: blocks first .. first + count - 1 of the job's source.
 */
void lqi_encode_blocks(struct lqi_job *job, const struct lqi_block_codec *codec, uint8_t *codes,
                       float *scales, uint64_t first, uint64_t count);

#endif
