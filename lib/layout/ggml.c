/*
 * ggml.c - a tensor of a GGUF file: its blocks, and the number of their type.
 *
 * Owns: the names and shapes of these planes.
 * Must not know: what a block holds (lib/method), files.
 */
#include "layout.h"

#include "../method/ggml.h"
#include "../method/registry.h"

#include <string.h>

/* Numbers of the types that are not quantized, by float index. */
static const int32_t dense_types[LQI_FLOATS] = {0, 1, 30};

static uint32_t ggml_count(const struct lqi_store *store)
{
  return store->method == &lqi_method_ggml || store->method == &lqi_method_none ? 2 : 0;
}

static void ggml_plane(const struct lqi_store *store, const struct lqi_text *text, uint32_t i,
                       lq_plane *out)
{
  const int blocks = store->method == &lqi_method_ggml;
  const struct lqi_span *data = &store->plane[LQI_CODES];
  (void)text;
  if (i == 1) {
    lqi_set_plane(out, "type", LQ_I32, 0, 0, 0,
                  blocks ? &store->block_type : &dense_types[lqi_float_index(store->dtype)],
                  sizeof store->block_type);
    return;
  }
  lqi_set_plane_shaped(out, "blocks", blocks ? LQ_U8 : store->dtype, store, data);
  if (blocks) {
    const struct lqi_ggml_type *type = lqi_ggml_type(store->block_type);
    out->dims[out->ndim - 1] = store->shape.cols / type->elements * type->bytes;
  }
}

/* The shape of rows of blocks. One dimension of bytes leaves it open. */
static lq_status shape_of_blocks(const lq_plane *blocks, const struct lqi_ggml_type *type,
                                 struct lqi_store *out, struct lqi_text *why)
{
  uint64_t dims[LQ_MAX_DIMS] = {0};
  if (blocks->ndim < 2)
    return LQ_OK;
  uint64_t *last = &dims[blocks->ndim - 1];
  memcpy(dims, blocks->dims, blocks->ndim * sizeof *dims);
  if (*last % type->bytes != 0)
    return lqi_fail(why, LQ_E_LAYOUT, "blocks do not fill whole rows of ", type->name);
  *last = *last / type->bytes * type->elements; /* below 2^59 times 256 / 54 */
  if (lqi_shape_set(&out->shape, blocks->ndim, dims) != LQ_OK)
    return lqi_fail(why, LQ_E_LAYOUT, "the shape of the blocks overflows", NULL);
  return LQ_OK;
}

static lq_status ggml_import(const struct lqi_import *in, struct lqi_store *out,
                             struct lqi_text *why)
{
  const lq_plane *blocks = lqi_find_plane(in, "blocks");
  struct lqi_span number;
  int32_t id;
  *out = (struct lqi_store){.method = &lqi_method_ggml, .dtype = LQ_F32};
  lq_status s = lqi_take_plane(in, "type", LQ_I32, 0, &number, why);
  if (s != LQ_OK)
    return s;
  if (number.bytes != sizeof id)
    return lqi_fail(why, LQ_E_LAYOUT, "type must be one number", NULL);
  memcpy(&id, number.data, sizeof id);
  const struct lqi_ggml_type *type = lqi_ggml_type(id);
  if (type == NULL)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "type is not the number of a block type", NULL);
  if (lqi_is_float(type->dtype)) {
    out->method = &lqi_method_none;
    out->dtype = type->dtype;
    s = lqi_take_plane(in, "blocks", type->dtype, 0, &out->plane[LQI_CODES], why);
    return s == LQ_OK ? lqi_shape_set(&out->shape, blocks->ndim, blocks->dims) : s;
  }
  out->block_type = id;
  s = lqi_take_plane(in, "blocks", LQ_U8, 0, &out->plane[LQI_CODES], why);
  return s == LQ_OK ? shape_of_blocks(blocks, type, out, why) : s;
}

const struct lqi_layout lqi_layout_ggml = {
    .id = LQ_LAYOUT_GGML,
    .count = ggml_count,
    .plane = ggml_plane,
    .import = ggml_import,
};
