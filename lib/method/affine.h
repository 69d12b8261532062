/*
 * affine.h - the affine method for others that choose its codes: grids of groups, packed rows, and
 * stores made piece by piece.
 *
 * Owns: what the planes of an affine store are, for whoever fills them.
 * Must not know: who does: nearest rounding (affine.c), checkpoints (lib/layout), or a method with
 * feedback.
 *
 * A row is a little-endian stream of `bits` bits a code, filled up to whole 32-bit words. value =
 * scale * (code - zero) with the scale and the zero point of the column's group.
 */
#ifndef LQI_AFFINE_H
#define LQI_AFFINE_H

#include "method.h"

/* Bits that a code may have: what checkpoints have. The code below takes any from 2 to 8. */
int lqi_affine_has_bits(uint64_t bits);

/*
 * Grid of one group of n values by params->bits, symmetric, mse and compat: the range is that of
 * the values, or the one with the least error among smaller ones. Value i is x[i * stride], or
 * x[index[i] * stride] where index is not NULL. Scales are exact in f16, but for compat gptq and
 * scales to be nested, where they are f32 (0 for a nested group of zeros). All values finite; n may
 * be 0.
 */
void lqi_affine_range(const struct lqi_params *params, const struct lqi_kernels *kern,
                      const float *x, size_t n, size_t stride, const uint32_t *index,
                      struct lqi_grid *grid);

/*
 * Gives *store, whose method is affine and whose shape and dtype are set, its form: `groups` is
 * derived unless `mapped`, then it must be set. Scales are f16. lqi_planes_alloc then makes planes,
 * which the functions below fill. (params->nested_block_size is the caller's affair.)
 */
void lqi_affine_form(struct lqi_store *store, uint32_t bits, uint32_t group_size, int symmetric,
                     int mapped);

/* Bytes of a packed row of n codes, and such rows; codes are a byte each, below 2^bits. */
uint64_t lqi_affine_row_bytes(uint64_t n, uint32_t bits);
void lqi_affine_pack_row(const uint8_t *codes, uint64_t n, uint32_t bits, uint8_t *row);
void lqi_affine_unpack_row(const uint8_t *row, uint64_t n, uint32_t bits, uint8_t *codes);

/* The packed row r of a store; where groups are mapped, its columns are sorted. */
uint8_t *lqi_affine_row(const struct lqi_store *store, uint64_t row);

/*
 * Rows of a mapped store hold their columns sorted by group, those of a group by number, so that a
 * group is a run of codes. This finds that order from LQI_GROUP_INDEX: store->order, u32 [2]
 * [columns], has the column of each place, then the place of each column.
 */
void lqi_affine_sort(struct lqi_store *store);

/* Word `word` of such a packed row in the order of columns. */
uint32_t lqi_affine_word(const struct lqi_store *store, uint64_t row, uint64_t word);

/* Codes of a row, a byte each in the order of columns, to the packed row. */
void lqi_affine_put_codes(const struct lqi_store *store, uint64_t row, const uint8_t *codes);

/* Writes the grid of a group to the planes: scale rounded to f16, zero unless symmetric. */
void lqi_affine_put_grid(const struct lqi_store *store, uint64_t row, uint64_t group,
                         struct lqi_grid grid);

/* grid[0..count) of groups first .. of a row, as decoding sees them. */
void lqi_affine_get_grids(const struct lqi_store *store, const struct lqi_kernels *kern,
                          uint64_t row, uint64_t first, size_t count, struct lqi_grid *grid);

/* affine_range.c, for affine.c: the search of `mse` over source[first..first + n), which the job's
 * policy has made finite with `limit`; *grid comes with the full range [lo, hi] and its grid. */
void lqi_affine_search(const struct lqi_job *job, uint64_t first, uint64_t n, float limit, float lo,
                       float hi, struct lqi_grid *grid);

/* The grid of a full range: by the kernel's rule, or with an f32 scale (compat gptq, nested). */
struct lqi_grid lqi_affine_grid(const struct lqi_params *params, float lo, float hi);

/* The integer nearest to v in 0..most; 0 for NaN. */
float lqi_affine_zero(float v, float most);

#endif
