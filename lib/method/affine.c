/*
 * affine.c - integers with a scale and a zero point for each group of columns: value = scale *
 * (code - zero).
 *
 * Owns: nearest codes, the packed rows, decoding.
 * Must not know: how a range is searched (affine_range.c), checkpoints (lib/layout).
 *
 * A row is encoded in pieces that stay in L1: ranges, grids, codes. Scales are rounded to f16 (or
 * nested) before codes are chosen, so that codes are the nearest of what decoding gives. Nested
 * scales need two passes over the tensor: ranges, then codes.
 */
#include "affine.h"
#include "grid.h"

#include "nested.h"
#include "registry.h"

#include <string.h>

/* Most groups and elements in a piece; groups and codes that are decoded together. */
#define GROUPS_AT_ONCE 32
#define ROW_PIECE 2048
#define DECODED_AT_ONCE 48

/* Codes of other than 4 and 8 bits pass through bytes, so many at a time. */
#define CODES_AT_ONCE 768

int lqi_affine_has_bits(uint64_t bits)
{
  return bits == 2 || bits == 3 || bits == 4 || bits == 8;
}

static lq_status affine_check(const struct lqi_params *params, struct lqi_text *why)
{
  if (!lqi_affine_has_bits(params->bits))
    return lqi_fail(why, LQ_E_ARGUMENT, "bits of affine must be 2, 3, 4 or 8", NULL);
  if (params->group_size % 8 != 0)
    return lqi_fail(why, LQ_E_ARGUMENT, "group_size must be -1 or a multiple of 8", NULL);
  if (params->compat == LQ_COMPAT_GPTQ && params->nested_block_size != 0)
    return lqi_fail(why, LQ_E_ARGUMENT, "compat gptq has no nested scales", NULL);
  return LQ_OK;
}

/* ---- form ---- */

uint64_t lqi_affine_row_bytes(uint64_t n, uint32_t bits)
{
  return lqi_ceil_div(n * bits, 32) * 4;
}

void lqi_affine_form(struct lqi_store *store, uint32_t bits, uint32_t group_size, int symmetric,
                     int mapped)
{
  uint64_t cols = store->shape.cols;
  store->bits = bits;
  store->group_size = group_size;
  store->symmetric = symmetric;
  store->mapped = mapped;
  store->scale_dtype = LQ_F16;
  if (!mapped)
    store->groups = group_size != 0 ? lqi_ceil_div(cols, group_size) : cols != 0;
}

static lq_status affine_prepare(struct lqi_job *job)
{
  struct lqi_store *store = job->store;
  lqi_affine_form(store, job->params->bits, job->params->group_size, job->params->symmetric, 0);
  if (store->nested_block_size != 0)
    store->scale_dtype = LQ_U8;
  return LQ_OK;
}

static void affine_layout(const struct lqi_store *store, uint64_t bytes[LQI_PLANES])
{
  uint64_t rows = store->shape.rows, scales = rows * store->groups;
  bytes[LQI_CODES] = rows * lqi_affine_row_bytes(store->shape.cols, store->bits);
  bytes[LQI_SCALES] = scales * lqi_dtype_size(store->scale_dtype);
  bytes[LQI_ZEROS] = store->symmetric ? 0 : scales;
  if (store->nested_block_size != 0)
    bytes[LQI_NESTED_SCALES] = lqi_ceil_div(scales, store->nested_block_size) * sizeof(float);
  if (store->mapped)
    bytes[LQI_GROUP_INDEX] = store->shape.cols * sizeof(int32_t);
}

static uint64_t affine_units(const struct lqi_store *store)
{
  return store->shape.rows;
}

/* Columns of a group that is not the last. */
static uint64_t group_width(const struct lqi_store *store)
{
  return store->group_size != 0 ? store->group_size : store->shape.cols;
}

uint8_t *lqi_affine_row(const struct lqi_store *store, uint64_t row)
{
  return (uint8_t *)store->plane[LQI_CODES].data +
         row * lqi_affine_row_bytes(store->shape.cols, store->bits);
}

/* Where column c, a multiple of 8, begins in a row. */
static uint8_t *place_in(const struct lqi_store *store, uint64_t row, uint64_t c)
{
  return lqi_affine_row(store, row) + c / 8 * store->bits;
}

void lqi_affine_pack_row(const uint8_t *codes, uint64_t n, uint32_t bits, uint8_t *row)
{
  uint64_t used = (n * bits + 7) / 8;
  lqi_bits_pack(codes, (size_t)n, bits, row);
  memset(row + used, 0, (size_t)(lqi_affine_row_bytes(n, bits) - used));
}

void lqi_affine_unpack_row(const uint8_t *row, uint64_t n, uint32_t bits, uint8_t *codes)
{
  lqi_bits_unpack(row, (size_t)n, bits, codes);
}

static void put_zeros(const struct lqi_store *store, uint64_t at, const struct lqi_grid *grid,
                      size_t count)
{
  uint8_t *zero = (uint8_t *)store->plane[LQI_ZEROS].data + at;
  for (size_t g = 0; !store->symmetric && g < count; g++)
    zero[g] = (uint8_t)grid[g].zero;
}

void lqi_affine_put_grid(const struct lqi_store *store, uint64_t row, uint64_t group,
                         struct lqi_grid grid)
{
  uint64_t at = row * store->groups + group;
  lqi_store(store->plane[LQI_SCALES].data, store->scale_dtype, at, grid.scale);
  put_zeros(store, at, &grid, 1);
}

void lqi_affine_get_grids(const struct lqi_store *store, const struct lqi_kernels *kern,
                          uint64_t row, uint64_t first, size_t count, struct lqi_grid *grid)
{
  const float middle = (float)(1u << (store->bits - 1u));
  for (size_t done = 0, n; done < count; done += n, grid += n) {
    float scale[GROUPS_AT_ONCE];
    uint64_t at = row * store->groups + first + done;
    n = count - done < GROUPS_AT_ONCE ? count - done : GROUPS_AT_ONCE;
    if (store->nested_block_size != 0)
      lqi_nested_expand(store, kern, at, n, scale);
    else
      kern->widen[lqi_float_index(store->scale_dtype)](
          lqi_element(store->plane[LQI_SCALES].data, store->scale_dtype, at), n, scale);
    const uint8_t *zero = store->symmetric ? NULL : (uint8_t *)store->plane[LQI_ZEROS].data + at;
    for (size_t i = 0; i < n; i++)
      grid[i] = (struct lqi_grid){scale[i], zero != NULL ? (float)zero[i] : middle};
  }
}

/* ---- encoding ---- */

/* Consecutive groups of a row, `size` elements each, that are encoded together. */
struct piece {
  uint64_t row, group, column; /* where the first begins */
  size_t count, size;
  float lo[GROUPS_AT_ONCE], hi[GROUPS_AT_ONCE];
  struct lqi_grid grid[GROUPS_AT_ONCE];
  uint16_t half[GROUPS_AT_ONCE]; /* their scales as f16 */
};

/* Index of element i of the piece in the source. */
static uint64_t source_of(const struct lqi_job *job, const struct piece *p, size_t i)
{
  return p->row * job->store->shape.cols + p->column + i;
}

/* Codes of other than 4 and 8 bits. */
static LQI_NOINLINE void pack_codes(const struct lqi_job *job, int32_t dtype, const void *x,
                                    size_t groups, size_t size, const struct lqi_grid *grid,
                                    uint8_t *to)
{
  uint32_t bits = job->store->bits;
  float most = (float)((1u << bits) - 1u);
  uint8_t codes[CODES_AT_ONCE];
  size_t together = size < CODES_AT_ONCE ? CODES_AT_ONCE / size : 1;
  for (size_t g = 0, n; g < groups; g += n, grid += n) {
    n = groups - g < together ? groups - g : together;
    for (size_t i = 0, part; i < n * size; i += part) {
      size_t at = g * size + i;
      part = n * size - i < CODES_AT_ONCE ? n * size - i : CODES_AT_ONCE;
      job->kern->aff8_encode[lqi_float_index(dtype)](lqi_element(x, dtype, at), n,
                                                     n == 1 ? part : size, grid, most, codes);
      lqi_bits_pack(codes, part, bits, to + at / 8 * bits);
    }
  }
}

/* Codes of values from column c on: whole groups, or a part of one that begins at a multiple of 8.
 */
static void put_codes(const struct lqi_job *job, uint64_t row, uint64_t c, int32_t dtype,
                      const void *x, size_t groups, size_t size, const struct lqi_grid *grid)
{
  uint32_t type = lqi_float_index(dtype);
  uint8_t *to = place_in(job->store, row, c);
  if (job->store->bits == 4)
    job->kern->aff4_encode[type](x, groups, size, grid, 15.0f, to);
  else if (job->store->bits == 8)
    job->kern->aff8_encode[type](x, groups, size, grid, 255.0f, to);
  else
    pack_codes(job, dtype, x, groups, size, grid, to);
}

/* Group g of the piece with its infinities at `limit` and its NaN at 0. */
static void put_saturated(const struct lqi_job *job, const struct piece *p, size_t g, float limit)
{
  for (size_t i = 0; i < p->size; i += LQI_CHUNK) {
    float v[LQI_CHUNK];
    size_t at = g * p->size + i, n = p->size - i < LQI_CHUNK ? p->size - i : LQI_CHUNK;
    lqi_load_chunk(job, source_of(job, p, at), n, limit, v);
    put_codes(job, p->row, p->column + at, LQ_F32, v, 1, n, &p->grid[g]);
  }
}

static void saturated_range(const struct lqi_job *job, struct piece *p, size_t g, float limit)
{
  p->lo[g] = p->hi[g] = 0.0f;
  for (size_t i = 0; i < p->size; i += LQI_CHUNK) {
    float v[LQI_CHUNK], lo, hi;
    size_t n = p->size - i < LQI_CHUNK ? p->size - i : LQI_CHUNK;
    lqi_load_chunk(job, source_of(job, p, g * p->size + i), n, limit, v);
    job->kern->aff_range[0](v, 1, n, &lo, &hi);
    p->lo[g] = lo < p->lo[g] ? lo : p->lo[g];
    p->hi[g] = hi > p->hi[g] ? hi : p->hi[g];
  }
}

static int is_special(const struct piece *p, size_t g)
{
  return !lqi_is_finite(p->lo[g]) || !lqi_is_finite(p->hi[g]);
}

/* Ranges by the policy; *special: bit g says that group g held NaN or infinity. */
static void take_ranges(struct lqi_job *job, struct piece *p, uint64_t *special)
{
  int32_t dtype = job->store->dtype, policy = job->params->nonfinite;
  *special = 0;
  job->kern->aff_range[lqi_float_index(dtype)](
      lqi_element(job->source, dtype, source_of(job, p, 0)), p->count, p->size, p->lo, p->hi);
  for (size_t g = 0; g < p->count; g++) {
    if (LQI_LIKELY(!is_special(p, g)))
      continue;
    uint64_t first = source_of(job, p, g * p->size);
    *special |= UINT64_C(1) << g;
    if (policy != LQ_NONFINITE_PROPAGATE)
      lqi_note_nonfinite(job, first, p->size);
    if (policy == LQ_NONFINITE_SATURATE)
      saturated_range(job, p, g, lqi_finite_absmax(job, first, p->size));
  }
}

/* Group by group: f32 scales, or the grid of the best range. */
static void take_grid(struct lqi_job *job, struct piece *p, size_t g, int special)
{
  const struct lqi_params *params = job->params;
  uint64_t first = source_of(job, p, g * p->size);
  float limit = 0.0f;
  p->grid[g] = lqi_affine_grid(params, p->lo[g], p->hi[g]);
  if (special && params->nonfinite == LQ_NONFINITE_SATURATE)
    limit = lqi_finite_absmax(job, first, p->size);
  if (params->mse != 0.0f && !is_special(p, g))
    lqi_affine_search(job, first, p->size, limit, p->lo[g], p->hi[g], &p->grid[g]);
  p->half[g] = lqi_f32_to_f16(p->grid[g].scale);
  if (params->nested_block_size == 0 && !is_special(p, g))
    lqi_note_overflow(job, first, p->grid[g].scale);
}

static void take_grids(struct lqi_job *job, struct piece *p, uint64_t special)
{
  const struct lqi_params *params = job->params;
  if (params->compat == LQ_COMPAT_NONE && params->nested_block_size == 0 && params->mse == 0.0f) {
    job->kern->aff_grid(p->lo, p->hi, p->count, params->bits, params->symmetric, p->grid, p->half);
    return;
  }
  for (size_t g = 0; g < p->count; g++)
    take_grid(job, p, g, (int)(special >> g & 1u));
}

static void take_codes(const struct lqi_job *job, const struct piece *p, uint64_t special)
{
  int32_t dtype = job->store->dtype;
  put_codes(job, p->row, p->column, dtype, lqi_element(job->source, dtype, source_of(job, p, 0)),
            p->count, p->size, p->grid);
  if (LQI_LIKELY(special == 0) || job->params->nonfinite != LQ_NONFINITE_SATURATE)
    return;
  for (size_t g = 0; g < p->count; g++)
    if (special >> g & 1u)
      put_saturated(job, p, g, lqi_finite_absmax(job, source_of(job, p, g * p->size), p->size));
}

/* What one pass does with a piece. */
typedef void pass_fn(struct lqi_job *job, struct piece *p);

static void nearest_pass(struct lqi_job *job, struct piece *p)
{
  uint64_t special, at = p->row * job->store->groups + p->group;
  take_ranges(job, p, &special);
  take_grids(job, p, special);
  memcpy((uint16_t *)job->store->plane[LQI_SCALES].data + at, p->half, p->count * sizeof *p->half);
  put_zeros(job->store, at, p->grid, p->count);
  take_codes(job, p, special);
}

static void range_pass(struct lqi_job *job, struct piece *p)
{
  uint64_t special, at = p->row * job->store->groups + p->group;
  take_ranges(job, p, &special);
  take_grids(job, p, special);
  put_zeros(job->store, at, p->grid, p->count);
  for (size_t g = 0; g < p->count; g++)
    job->scales[at + g] = p->grid[g].scale;
}

/* Codes nearest with the restored scales. One may be 0 or less, where groups differ much: dividing
 * by it still gives the codes that are nearest, or any where all have the value 0. */
static void code_pass(struct lqi_job *job, struct piece *p)
{
  uint64_t special = 0;
  if (job->params->nonfinite == LQ_NONFINITE_SATURATE && atomic_load(&job->nonfinite) != 0) {
    int32_t dtype = job->store->dtype;
    job->kern->aff_range[lqi_float_index(dtype)](
        lqi_element(job->source, dtype, source_of(job, p, 0)), p->count, p->size, p->lo, p->hi);
    for (size_t g = 0; g < p->count; g++)
      special |= (uint64_t)is_special(p, g) << g;
  }
  lqi_affine_get_grids(job->store, job->kern, p->row, p->group, p->count, p->grid);
  take_codes(job, p, special);
}

/* The pieces of rows first .. first + count - 1, and the bits that fill up each row. */
static void walk(struct lqi_job *job, uint64_t first, uint64_t count, pass_fn *pass)
{
  const struct lqi_store *store = job->store;
  uint64_t cols = store->shape.cols, size = group_width(store);
  if (cols == 0)
    return;
  uint64_t bytes = lqi_affine_row_bytes(cols, store->bits), used = (cols * store->bits + 7) / 8;
  uint64_t whole = cols / size, most = size < ROW_PIECE ? ROW_PIECE / size : 1;
  struct piece p;
  most = lqi_min_u64(most, GROUPS_AT_ONCE);
  for (p.row = first; p.row < first + count; p.row++) {
    memset(lqi_affine_row(store, p.row) + used, 0, (size_t)(bytes - used));
    for (p.group = 0; p.group < store->groups; p.group += p.count) {
      p.column = p.group * size;
      p.count = p.group < whole ? (size_t)lqi_min_u64(most, whole - p.group) : 1;
      p.size = (size_t)lqi_min_u64(size, cols - p.column);
      pass(job, &p);
    }
  }
}

static void affine_encode(struct lqi_job *job, uint64_t first, uint64_t count)
{
  walk(job, first, count, job->store->nested_block_size != 0 ? range_pass : nearest_pass);
}

static void affine_encode_nested(struct lqi_job *job, uint64_t first, uint64_t count)
{
  walk(job, first, count, code_pass);
}

/* ---- decoding ---- */

/* Codes of other than 4 and 8 bits. */
static LQI_NOINLINE void unpack_groups(const struct lqi_kernels *kern, const uint8_t *from,
                                       uint32_t bits, size_t groups, size_t size,
                                       const struct lqi_grid *grid, int32_t dtype, void *out,
                                       int stream)
{
  uint8_t codes[CODES_AT_ONCE];
  size_t together = size < CODES_AT_ONCE ? CODES_AT_ONCE / size : 1;
  for (size_t g = 0, n; g < groups; g += n, grid += n) {
    n = groups - g < together ? groups - g : together;
    for (size_t i = 0, part; i < n * size; i += part) {
      size_t at = g * size + i;
      part = n * size - i < CODES_AT_ONCE ? n * size - i : CODES_AT_ONCE;
      lqi_bits_unpack(from + at / 8 * bits, part, bits, codes);
      kern->aff8_decode[lqi_float_index(dtype)](codes, n, n == 1 ? part : size, grid,
                                                lqi_element_mut(out, dtype, at), stream);
    }
  }
}

/* Whole groups, or a part of one, from column c on, a multiple of 8. */
static void decode_groups(const struct lqi_store *store, const struct lqi_kernels *kern,
                          uint64_t row, uint64_t c, size_t groups, size_t size,
                          const struct lqi_grid *grid, int32_t dtype, void *out, int stream)
{
  uint32_t type = lqi_float_index(dtype);
  const uint8_t *from = place_in(store, row, c);
  if (store->bits == 4)
    kern->aff4_decode[type](from, groups, size, grid, out, stream);
  else if (store->bits == 8)
    kern->aff8_decode[type](from, groups, size, grid, out, stream);
  else
    unpack_groups(kern, from, store->bits, groups, size, grid, dtype, out, stream);
}

/* Up to 7 elements that bring c to a multiple of 8, or to `end`; returns how many. */
static size_t decode_start(const struct lqi_store *store, uint64_t row, uint64_t c, uint64_t end,
                           struct lqi_grid grid, int32_t dtype, void *out)
{
  uint8_t codes[8];
  uint64_t from = c / 8 * 8, to = lqi_min_u64(from + 8, end);
  lqi_bits_unpack(place_in(store, row, from), (size_t)(to - from), store->bits, codes);
  for (uint64_t i = c; i < to; i++)
    lqi_store(out, dtype, i - c, grid.scale * ((float)codes[i - from] - grid.zero));
  return (size_t)(to - c);
}

/* Where groups divide the columns and codes fill words, all rows are like one long row. */
static int is_seamless(const struct lqi_store *store)
{
  uint64_t cols = store->shape.cols;
  return cols % group_width(store) == 0 && cols * store->bits % 32 == 0 && !store->mapped;
}

/* Columns c .. end - 1 of a row: whole groups together, parts of groups one by one. */
static void decode_row(const struct lqi_store *store, const struct lqi_kernels *kern, uint64_t row,
                       uint64_t c, uint64_t end, int32_t dtype, void *out, int stream)
{
  uint64_t size = group_width(store), done;
  for (; c < end; c += done, out = lqi_element_mut(out, dtype, done)) {
    struct lqi_grid grid[DECODED_AT_ONCE];
    uint64_t group = c / size, left = lqi_min_u64(size - c % size, end - c);
    uint64_t whole = left == size ? lqi_min_u64((end - c) / size, DECODED_AT_ONCE) : 0;
    lqi_affine_get_grids(store, kern, row, group, whole != 0 ? (size_t)whole : 1, grid);
    done = whole != 0 ? whole * size : left;
    if (c % 8 != 0)
      done = decode_start(store, row, c, c + left, *grid, dtype, out);
    else
      decode_groups(store, kern, row, c, whole != 0 ? (size_t)whole : 1,
                    (size_t)(whole != 0 ? size : left), grid, dtype, out, stream);
  }
}

/* Scales of n columns, at most LQI_CHUNK, each of the group it names. */
static void mapped_scales(const struct lqi_store *store, const struct lqi_kernels *kern,
                          uint64_t row, const int32_t *index, size_t n, float *scale)
{
  uint64_t at = row * store->groups;
  const void *scales = lqi_element(store->plane[LQI_SCALES].data, store->scale_dtype, at);
  if (store->nested_block_size != 0) {
    for (size_t i = 0; i < n; i++)
      lqi_nested_expand(store, kern, at + (uint64_t)index[i], 1, scale + i);
  } else if (store->scale_dtype == LQ_F32) {
    for (size_t i = 0; i < n; i++)
      scale[i] = ((const float *)scales)[index[i]];
  } else {
    uint16_t half[LQI_CHUNK];
    for (size_t i = 0; i < n; i++)
      half[i] = ((const uint16_t *)scales)[index[i]];
    kern->widen[lqi_float_index(store->scale_dtype)](half, n, scale);
  }
}

/* Codes at n places of a row. */
static void pick_codes(const uint8_t *row, const uint32_t *place, uint64_t n, uint32_t bits,
                       uint8_t *codes)
{
  if (bits == 4)
    for (uint64_t i = 0; i < n; i++)
      codes[i] = (uint8_t)(row[place[i] / 2] >> place[i] % 2 * 4 & 15);
  else
    for (uint64_t i = 0; i < n; i++)
      codes[i] = (uint8_t)lqi_code_at(row, place[i], bits);
}

/* The same where each column names its group. What lies beyond the end of a chunk is computed too,
 * for loops of a fixed length. */
static void decode_mapped(const struct lqi_store *store, const struct lqi_kernels *kern,
                          uint64_t row, uint64_t c, uint64_t end, int32_t dtype, void *out)
{
  const int32_t *index = store->plane[LQI_GROUP_INDEX].data;
  const uint8_t *zeros =
      store->symmetric ? NULL : (uint8_t *)store->plane[LQI_ZEROS].data + row * store->groups;
  const uint32_t *place = (const uint32_t *)store->order.data + store->shape.cols;
  uint8_t code[LQI_CHUNK] = {0}, zero[LQI_CHUNK];
  float v[LQI_CHUNK] = {0};
  memset(zero, 1 << (store->bits - 1u), sizeof zero);
  for (uint64_t done; c < end; c += done, out = lqi_element_mut(out, dtype, done)) {
    done = lqi_min_u64(LQI_CHUNK, end - c);
    pick_codes(lqi_affine_row(store, row), place + c, done, store->bits, code);
    mapped_scales(store, kern, row, index + c, (size_t)done, v);
    for (uint64_t i = 0; zeros != NULL && i < done; i++)
      zero[i] = zeros[index[c + i]];
    for (size_t i = 0; i < LQI_CHUNK; i++)
      v[i] *= (float)(code[i] - zero[i]);
    kern->narrow[lqi_float_index(dtype)](v, (size_t)done, out);
  }
}

static void affine_decode(const struct lqi_store *store, const struct lqi_kernels *kern,
                          uint64_t first, uint64_t count, int32_t dtype, void *out, int stream)
{
  uint64_t cols = store->shape.cols;
  if (count != 0 && is_seamless(store)) {
    decode_row(store, kern, 0, first, first + count, dtype, out, stream);
    return;
  }
  for (uint64_t done = 0, n; done < count; done += n) {
    uint64_t row = (first + done) / cols, c = (first + done) % cols;
    void *to = lqi_element_mut(out, dtype, done);
    n = lqi_min_u64(cols - c, count - done);
    if (store->mapped)
      decode_mapped(store, kern, row, c, c + n, dtype, to);
    else
      decode_row(store, kern, row, c, c + n, dtype, to, stream);
  }
}

/* The codes of each width, repeated where a kernel's index has bits of the next code above them. */
static const float affine_book[3][16] = {
    {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3},
    {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
};

static int affine_strip(const struct lqi_store *store, const struct lqi_kernels *kern, uint64_t row,
                        uint64_t rows, float *grids, struct lqi_strip *out)
{
  uint64_t group = group_width(store), step = 2 * store->groups;
  if (group % LQI_PIECE != 0 || (store->mapped ? !store->even : store->shape.cols % group != 0))
    return -1;
  /* Grids of consecutive rows lie one behind the other. */
  lqi_affine_get_grids(store, kern, row, 0, (size_t)(rows * store->groups),
                       (struct lqi_grid *)(void *)grids);
  *out = (struct lqi_strip){
      .codes = lqi_affine_row(store, row),
      .row_bytes = (size_t)lqi_affine_row_bytes(store->shape.cols, store->bits),
      .grid = grids,
      .grid_step = (size_t)step,
      .numbers = 2,
      .group = (size_t)group,
      .book = store->bits == 8 ? NULL : affine_book[store->bits - 2],
  };
  return store->bits == 8   ? LQI_FORM_U8
         : store->bits == 4 ? LQI_FORM_LOW4
         : store->bits == 3 ? LQI_FORM_LOW3
                            : LQI_FORM_LOW2;
}

const struct lqi_method lqi_method_affine = {
    .id = LQ_AFFINE,
    .flags = LQ_METHOD_GROUPWISE,
    .code_bits = 4,
    .name = "affine",
    .text = "2, 3, 4 or 8 bits: integers, a scale and perhaps a zero point a group of columns",
    .grid = &lqi_grid_affine,
    .check = affine_check,
    .prepare = affine_prepare,
    .layout = affine_layout,
    .units = affine_units,
    .encode = affine_encode,
    .encode_nested = affine_encode_nested,
    .decode = affine_decode,
    .strip = affine_strip,
};
