/*
 * blockwise.c - the walk over blocks: whole ones by kernel, partial and rare ones here.
 *
 * Owns: which rule a block is encoded by, and how a range of elements maps to blocks.
 * Must not know: the code books (codec.c), the public handles.
 *
 * Whole blocks with a usual absmax take the kernel (kern.h). The rest:
 *   - the last block, if it is short, and blocks of a size that no kernel takes (not a multiple of
 *     8);
 *   - blocks below TINY, whose reciprocal would lose bits or overflow, are scaled up by an exact
 *     power of two first;
 *   - blocks with NaN or infinity go by the policy.
 * With compat bitsandbytes-cpu nothing is rescued: the last block divides by a clamped absmax, and
 * 8-bit codes come from that program's table of 65536 bins.
 */
#include "blockwise.h"

#include "nested.h"

#include <string.h>

#define TINY 0x1p-100f
#define TINY_BOOST 0x1p100f

/* Decoding expands nested scales in pieces of this many blocks, on the stack. */
#define SCALES_AT_ONCE 128

int lqi_is_reference_block_size(uint32_t size)
{
  return size >= 32 && size <= 4096 && (size & (size - 1)) == 0;
}

lq_status lqi_blockwise_check(const struct lqi_params *params, struct lqi_text *why)
{
  const struct lqi_block_codec *codec = params->storage->codec;
  if (codec->bits == 4 && params->block_size % 8 != 0)
    return lqi_fail(why, LQ_E_ARGUMENT, "block_size of a 4-bit method must be a multiple of 8",
                    NULL);
  if (params->compat == LQ_COMPAT_BITSANDBYTES_CPU && codec->bits == 4 &&
      !lqi_is_reference_block_size(params->block_size))
    return lqi_fail(why, LQ_E_ARGUMENT, "bitsandbytes-cpu takes block sizes 32, 64, 128 to 4096",
                    NULL);
  return LQ_OK;
}

void lqi_blockwise_layout(const struct lqi_store *store, uint64_t bytes[LQI_PLANES])
{
  uint64_t blocks = lqi_blockwise_units(store);
  bytes[LQI_CODES] =
      store->method->codec->bits == 4 ? lqi_ceil_div(store->shape.count, 2) : store->shape.count;
  if (store->nested_block_size == 0) {
    bytes[LQI_SCALES] = blocks * sizeof(float);
  } else {
    bytes[LQI_SCALES] = blocks;
    bytes[LQI_NESTED_SCALES] = lqi_ceil_div(blocks, store->nested_block_size) * sizeof(float);
  }
}

uint64_t lqi_blockwise_units(const struct lqi_store *store)
{
  return lqi_ceil_div(store->shape.count, store->block_size);
}

static uint64_t code_bytes(const struct lqi_block_codec *codec, uint64_t elements)
{
  return codec->bits == 4 ? elements / 2 : elements;
}

/* How a value is brought to [-1, 1]: (x * boost) * reciprocal, or x / divisor if that is not 0. */
struct normal {
  float boost, reciprocal, divisor;
};

/* Codes of one block by the portable code. Infinities become `limit` where the policy says so. */
static void pack_block(const struct lqi_job *job, const struct lqi_block_codec *codec,
                       uint64_t first, size_t n, struct normal by, float limit, uint8_t *codes)
{
  for (size_t i = 0; i < n; i += LQI_CHUNK) {
    float v[LQI_CHUNK];
    size_t part = n - i < LQI_CHUNK ? n - i : LQI_CHUNK;
    lqi_load_chunk(job, first + i, part, limit, v);
    for (size_t j = 0; j < part; j++)
      v[j] = by.divisor != 0.0f ? v[j] / by.divisor : v[j] * by.boost * by.reciprocal;
    codec->pack(v, part, codes + code_bytes(codec, i));
  }
}

static int is_reference(const struct lqi_job *job)
{
  return job->params->compat == LQ_COMPAT_BITSANDBYTES_CPU;
}

/* max |x|; of the finite ones alone where the others will be replaced. */
static float block_absmax(const struct lqi_job *job, uint64_t first, size_t n)
{
  int32_t dtype = job->store->dtype;
  const void *x = lqi_element(job->source, dtype, first);
  float m = job->kern->absmax[lqi_float_index(dtype)](x, n);
  if (!lqi_is_finite(m) && job->params->nonfinite == LQ_NONFINITE_SATURATE)
    m = lqi_finite_absmax(job, first, n);
  return m;
}

/* One block by the rule of whole blocks, whatever its size and values. */
static void encode_rare(struct lqi_job *job, const struct lqi_block_codec *codec, uint64_t first,
                        size_t n, float *scale, uint8_t *codes)
{
  float m = block_absmax(job, first, n), floor = lqi_f32_from_bits(LQI_ABSMAX_FLOOR_BITS);
  struct normal by = {.boost = 1.0f};
  if (is_reference(job)) {
    by.reciprocal = 1.0f / (m < floor ? floor : m);
  } else {
    by.boost = m < TINY ? TINY_BOOST : 1.0f;
    by.reciprocal = m > 0.0f ? 1.0f / (m * by.boost) : m != m ? m : 0.0f;
  }
  *scale = m;
  pack_block(job, codec, first, n, by, m, codes);
}

/* The reference's short last block divides by the absmax; whole ones multiply by its reciprocal. */
static void encode_reference_tail(struct lqi_job *job, const struct lqi_block_codec *codec,
                                  uint64_t first, size_t n, float *scale, uint8_t *codes)
{
  float m = block_absmax(job, first, n), floor = lqi_f32_from_bits(LQI_ABSMAX_FLOOR_BITS);
  *scale = m < floor ? floor : m;
  pack_block(job, codec, first, n, (struct normal){.divisor = *scale}, m, codes);
}

/* max |x| as the reference's 8-bit code finds it: NaN does not count. */
static float binned_absmax(const struct lqi_job *job, uint64_t first, size_t n)
{
  if (job->params->nonfinite == LQ_NONFINITE_SATURATE)
    return lqi_finite_absmax(job, first, n);
  float m = 0.0f;
  for (uint64_t i = first; i < first + n; i++) {
    float x = lqi_load(job->source, job->store->dtype, i);
    x = x < 0.0f ? -x : x;
    m = x > m ? x : m;
  }
  return m;
}

/* The reference's 8-bit rule; an all-zero block has code 0 throughout. */
static void encode_reference_bins(struct lqi_job *job, const struct lqi_block_codec *codec,
                                  uint64_t first, size_t n, float *scale, uint8_t *codes)
{
  float m = binned_absmax(job, first, n);
  *scale = m;
  for (size_t i = 0; i < n; i += LQI_CHUNK) {
    float v[LQI_CHUNK];
    size_t part = n - i < LQI_CHUNK ? n - i : LQI_CHUNK;
    if (m == 0.0f) {
      memset(codes + i, 0, part);
    } else {
      lqi_load_chunk(job, first + i, part, m, v);
      codec->bins(v, part, 1.0f / m, codes + i);
    }
  }
}

static void encode_one(struct lqi_job *job, const struct lqi_block_codec *codec, uint64_t block,
                       float *scales, uint8_t *codes)
{
  uint64_t first = block * job->store->block_size;
  size_t n = (size_t)lqi_min_u64(job->store->block_size, job->store->shape.count - first);
  float *scale = scales + block;
  codes += code_bytes(codec, first);
  if (is_reference(job) && codec->bins != NULL)
    encode_reference_bins(job, codec, first, n, scale, codes);
  else if (is_reference(job) && n < job->store->block_size)
    encode_reference_tail(job, codec, first, n, scale, codes);
  else
    encode_rare(job, codec, first, n, scale, codes);
}

/* Behind the kernel: finds blocks that it could not serve, by their absmax alone. */
static void revisit(struct lqi_job *job, const struct lqi_block_codec *codec, uint64_t first,
                    uint64_t count, float *scales, uint8_t *codes)
{
  int policy = job->params->nonfinite, rescue = !is_reference(job);
  for (uint64_t b = first; b < first + count; b++) {
    float m = scales[b];
    if (LQI_LIKELY(m >= TINY && lqi_is_finite(m)))
      continue;
    int special = !lqi_is_finite(m);
    if (special && policy != LQ_NONFINITE_PROPAGATE)
      lqi_note_nonfinite(job, b * job->store->block_size, job->store->block_size);
    if (special ? policy == LQ_NONFINITE_SATURATE : rescue && m > 0.0f)
      encode_one(job, codec, b, scales, codes);
  }
}

void lqi_encode_blocks(struct lqi_job *job, const struct lqi_block_codec *codec, uint8_t *codes,
                       float *scales, uint64_t first, uint64_t count)
{
  const struct lqi_store *store = job->store;
  uint64_t whole = store->shape.count / store->block_size;
  whole = whole > first ? lqi_min_u64(count, whole - first) : 0;
  if (store->block_size % 8 != 0 || (is_reference(job) && codec->bins != NULL))
    whole = 0;
  if (whole != 0) {
    uint64_t at = first * store->block_size;
    codec->encode(job->kern, store->dtype, lqi_element(job->source, store->dtype, at),
                  (size_t)whole, store->block_size, scales + first, codes + code_bytes(codec, at));
    revisit(job, codec, first, whole, scales, codes);
  }
  for (uint64_t b = first + whole; b < first + count; b++) {
    encode_one(job, codec, b, scales, codes);
    if (job->params->nonfinite != LQ_NONFINITE_PROPAGATE) {
      uint64_t at = b * store->block_size;
      lqi_note_nonfinite(job, at, lqi_min_u64(store->block_size, store->shape.count - at));
    }
  }
}

void lqi_blockwise_encode(struct lqi_job *job, uint64_t first, uint64_t count)
{
  lqi_encode_blocks(job, job->store->method->codec, job->store->plane[LQI_CODES].data, job->scales,
                    first, count);
}

static const float *values_of(const struct lqi_store *store)
{
  const struct lqi_span *book = &store->plane[LQI_CODEBOOK];
  return book->bytes != 0 ? book->data : store->method->codec->value;
}

/* f32 scales of blocks first .. first + count - 1: the plane itself, or expanded into `room`. */
static const float *scales_of(const struct lqi_store *store, const struct lqi_kernels *kern,
                              uint64_t first, size_t count, float *room)
{
  if (store->nested_block_size == 0)
    return (const float *)store->plane[LQI_SCALES].data + first;
  lqi_nested_expand(store, kern, first, count, room);
  return room;
}

/* Elements first .. first + count - 1 of one block, or of any number of them that no kernel takes
 * as they are: eights of one block are as good as a block. */
static void decode_parts(const struct lqi_store *store, const struct lqi_kernels *kern,
                         const float *value, uint64_t first, uint64_t count, int32_t dtype,
                         void *out)
{
  const struct lqi_block_codec *codec = store->method->codec;
  const uint8_t *codes = store->plane[LQI_CODES].data;
  for (uint64_t done = 0; done < count;) {
    uint64_t at = first + done, left = store->block_size - at % store->block_size;
    size_t n = (size_t)lqi_min_u64(left, count - done);
    float room[1];
    const float *scale = scales_of(store, kern, at / store->block_size, 1, room);
    void *to = lqi_element_mut(out, dtype, done);
    if (n >= 8 && at % 8 == 0) {
      n = n / 8 * 8;
      codec->decode(kern, dtype, value, codes + code_bytes(codec, at), 1, n, scale, to, 0);
    } else {
      n = at % 8 != 0 ? (size_t)lqi_min_u64(n, 8 - at % 8) : n;
      codec->decode_part(value, codes, at, n, *scale, dtype, to);
    }
    done += n;
  }
}

void lqi_blockwise_decode(const struct lqi_store *store, const struct lqi_kernels *kern,
                          uint64_t first, uint64_t count, int32_t dtype, void *out, int stream)
{
  const struct lqi_block_codec *codec = store->method->codec;
  const float *value = values_of(store);
  uint64_t size = store->block_size, head = lqi_min_u64(count, (size - first % size) % size);
  uint64_t blocks = size % 8 == 0 ? (count - head) / size : 0;
  decode_parts(store, kern, value, first, head, dtype, out);
  uint64_t at_once = store->nested_block_size != 0 ? SCALES_AT_ONCE : blocks;
  for (uint64_t b = 0; b < blocks; b += at_once) {
    float room[SCALES_AT_ONCE];
    size_t n = (size_t)lqi_min_u64(at_once, blocks - b);
    uint64_t at = first + head + b * size;
    const float *scales = scales_of(store, kern, at / size, n, room);
    codec->decode(kern, dtype, value,
                  (const uint8_t *)store->plane[LQI_CODES].data + code_bytes(codec, at), n,
                  (size_t)size, scales, lqi_element_mut(out, dtype, head + b * size), stream);
  }
  uint64_t done = head + blocks * size;
  decode_parts(store, kern, value, first + done, count - done, dtype,
               lqi_element_mut(out, dtype, done));
}

int lqi_blockwise_strip(const struct lqi_store *store, const struct lqi_kernels *kern, uint64_t row,
                        uint64_t rows, float *grids, struct lqi_strip *out)
{
  const struct lqi_block_codec *codec = store->method->codec;
  uint64_t cols = store->shape.cols, size = store->block_size, blocks = cols / size;
  if (size % LQI_PIECE != 0 || cols % size != 0)
    return -1;
  *out = (struct lqi_strip){
      .codes = (const uint8_t *)store->plane[LQI_CODES].data + code_bytes(codec, row * cols),
      .row_bytes = (size_t)code_bytes(codec, cols),
      .grid = scales_of(store, kern, row * blocks, (size_t)(rows * blocks), grids),
      .grid_step = (size_t)blocks,
      .numbers = 1,
      .group = (size_t)size,
      .book = values_of(store),
  };
  return codec->bits == 4 ? LQI_FORM_BOOK4 : LQI_FORM_BOOK8;
}
