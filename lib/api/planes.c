/*
 * planes.c - tensors to planes and back; the one place where planes from outside are checked.
 *
 * Owns: everything that makes a store safe to decode: sizes, code books, scales, outlier lists.
 * Must not know: the names of any family (lib/layout).
 */
#include "handle.h"

#include "../method/affine.h"
#include "../method/blockwise.h"
#include "../method/registry.h"

#include <string.h>

static const struct lqi_text *text_of(const lq_tensor *tensor, const struct lqi_layout *layout)
{
  return layout == &lqi_layout_native ? &tensor->meta : &tensor->state;
}

LQ_API uint32_t lq_tensor_plane_count(const lq_tensor *tensor, int32_t layout)
{
  const struct lqi_layout *l = lqi_layout_by_id(layout);
  return tensor != NULL && l != NULL ? l->count(&tensor->store) : 0;
}

LQ_API lq_status lq_tensor_plane(const lq_tensor *tensor, int32_t layout, uint32_t i, lq_plane *out)
{
  const struct lqi_layout *l = lqi_layout_by_id(layout);
  if (tensor == NULL || l == NULL || out == NULL)
    return LQ_E_ARGUMENT;
  if (!lqi_known_struct(out, out->size, sizeof *out))
    return LQ_E_VERSION;
  uint32_t count = l->count(&tensor->store);
  if (i >= count)
    return count == 0 ? LQ_E_UNSUPPORTED : LQ_E_ARGUMENT;
  l->plane(&tensor->store, text_of(tensor, l), i, out);
  return LQ_OK;
}

/* Struct by struct: known size, a name, memory where there are bytes, a shape of as many bytes,
 * alignment if borrowed. */
static lq_status check_plane(const lq_plane *p, int borrow, struct lqi_text *why)
{
  struct lqi_shape shape;
  uint32_t size = lqi_dtype_size(p->dtype);
  if (!lqi_known_struct(p, p->size, sizeof *p)) /* GCOVR_EXCL_BR_LINE: none is smaller here */
    return lqi_fail(why, LQ_E_VERSION, "lq_plane.size is not one that this library knows", NULL);
  if (p->name == NULL || size == 0 || (p->bytes != 0 && p->data == NULL))
    return lqi_fail(why, LQ_E_ARGUMENT, "a plane lacks name, dtype or data", NULL);
  if (lqi_shape_set(&shape, p->ndim, p->dims) != LQ_OK || shape.count * size != p->bytes)
    return lqi_fail(why, LQ_E_LAYOUT, p->name, " has a shape that does not fit its bytes");
  if (borrow && p->bytes != 0 && (uintptr_t)p->data % size != 0)
    return lqi_fail(why, LQ_E_ARGUMENT, p->name,
                    " is not aligned to its elements and cannot be borrowed");
  return LQ_OK;
}

static lq_status check_input(const struct lqi_import *in, int borrow, struct lqi_text *why)
{
  for (uint32_t i = 0; i < in->count; i++) {
    const lq_plane *p =
        (const lq_plane *)(const void *)((const char *)in->planes + (size_t)i * in->stride);
    /* A larger one would be read past the end of the array. */
    if (p->size != in->stride)
      return lqi_fail(why, LQ_E_VERSION, "lq_plane.size is not that of the first plane", NULL);
    lq_status s = check_plane(p, borrow, why);
    if (s != LQ_OK)
      return s;
    if (lqi_find_plane(in, p->name) != p)
      return lqi_fail(why, LQ_E_LAYOUT, p->name, " is given twice");
  }
  return LQ_OK;
}

/* The shape in the text and the caller's must agree where both are there. */
static lq_status settle_shape(struct lqi_store *store, uint32_t ndim, const uint64_t *dims,
                              struct lqi_text *why)
{
  struct lqi_shape given;
  int known = store->shape.ndim != 0 || store->shape.count != 0;
  if (dims == NULL && !known)
    return lqi_fail(why, LQ_E_LAYOUT, "the planes do not hold the shape; it must be given", NULL);
  if (dims == NULL)
    return LQ_OK;
  lq_status s = lqi_shape_set(&given, ndim, dims);
  if (s != LQ_OK)
    return lqi_fail(why, s, "the given shape is not possible", NULL);
  if (known && !lqi_shape_equal(&given, &store->shape))
    return lqi_fail(why, LQ_E_LAYOUT, "the shape in the planes is not the given one", NULL);
  store->shape = given;
  return LQ_OK;
}

static lq_status check_block_sizes(const struct lqi_store *store, struct lqi_text *why)
{
  int blockwise = (store->method->flags & LQ_METHOD_BLOCKWISE) != 0;
  int nests = blockwise || (store->method->flags & LQ_METHOD_GROUPWISE) != 0;
  if ((store->block_size != 0) != blockwise || (store->nested_block_size != 0 && !nests))
    return lqi_fail(why, LQ_E_LAYOUT, "block sizes do not fit the method ", store->method->name);
  if (blockwise && store->method->codec->bits == 4 && store->block_size % 2 != 0)
    return lqi_fail(why, LQ_E_LAYOUT, "an odd block size would split a byte", NULL);
  return LQ_OK;
}

/* Groups and their number, before any size is made of them; bits are those of a code already. */
static lq_status check_groups(const struct lqi_store *store, struct lqi_text *why)
{
  uint64_t bytes;
  if (!LQI_HAS_AFFINE || (store->method->flags & LQ_METHOD_GROUPWISE) == 0)
    return LQ_OK;
  if (!store->mapped && store->group_size % 8 != 0)
    return lqi_fail(why, LQ_E_LAYOUT, "group size must be a multiple of 8", NULL);
  if (store->mapped && store->shape.cols > UINT32_MAX)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "a group index of more than 2^32 columns", NULL);
  if (lqi_mul_overflows(store->shape.rows, store->groups, &bytes) || bytes >= UINT64_C(1) << 59)
    return lqi_fail(why, LQ_E_LAYOUT, "the number of groups overflows", NULL);
  return LQ_OK;
}

/* Every plane exactly as long as the shape asks: this is what lets decoders read without looking.
 */
static lq_status check_sizes(const struct lqi_store *store, struct lqi_text *why)
{
  static const char *const names[LQI_PLANES] = {
      "codes",
      "scales",
      "second-level scales",
      "code book",
      "second-level code book",
      "outlier columns",
      "outliers",
      "zeros",
      "group index",
  };
  uint64_t bytes[LQI_PLANES] = {0};
  store->method->layout(store, bytes);
  if (store->plane[LQI_CODEBOOK].bytes != 0 && store->method->codec != NULL)
    bytes[LQI_CODEBOOK] = store->method->codec->entries * sizeof(float);
  if (store->plane[LQI_NESTED_CODEBOOK].bytes != 0) /* taken with nested scales alone */
    bytes[LQI_NESTED_CODEBOOK] = lqi_codec_dynamic.entries * sizeof(float);
  for (int i = 0; i < LQI_PLANES; i++)
    if (store->plane[i].bytes != bytes[i]) {
      lqi_fail(why, LQ_E_LAYOUT, names[i], " must have ");
      lqi_text_add_u64(why, bytes[i]);
      lqi_text_add(why, " bytes for this shape and have ");
      lqi_text_add_u64(why, store->plane[i].bytes);
      return LQ_E_LAYOUT;
    }
  return LQ_OK;
}

static uint64_t floats_in(const struct lqi_span *span, int32_t dtype)
{
  /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): the type of a plane of floats */
  return span->bytes / lqi_dtype_size(dtype);
}

/* Index of the first float of a span that is not finite, their number if there is none; the span
 * need not be aligned. */
static uint64_t first_nonfinite(const struct lqi_span *span, int32_t dtype)
{
  uint64_t n = floats_in(span, dtype);
  for (uint64_t i = 0; i < n; i++)
    if (!lqi_is_finite(lqi_load_unaligned(span->data, dtype, i)))
      return i;
  return n;
}

static lq_status check_floats(const struct lqi_span *span, int32_t dtype, const char *what,
                              struct lqi_text *why)
{
  uint64_t at = first_nonfinite(span, dtype);
  if (at == floats_in(span, dtype))
    return LQ_OK;
  lqi_fail(why, LQ_E_NONFINITE, what, NULL);
  lqi_text_add_u64(why, at);
  lqi_text_add(why, " is not finite");
  return LQ_E_NONFINITE;
}

static lq_status check_values(const struct lqi_store *store, struct lqi_text *why)
{
  static const struct {
    enum lqi_plane plane;
    const char *what;
  } floats[] = {
      {LQI_SCALES, "scale "},
      {LQI_NESTED_SCALES, "second-level scale "},
      {LQI_CODEBOOK, "code book entry "},
      {LQI_NESTED_CODEBOOK, "second-level code book entry "},
  };
  if (store->packed.layout != 0)
    return check_floats(&store->packed.plane[LQI_QSCALES], store->packed.scale_dtype, "scale ",
                        why);
  if (store->method->check_scales != NULL)
    return store->method->check_scales(store, why);
  for (size_t i = 0; i < LQI_COUNT(floats); i++) {
    int scales = floats[i].plane == LQI_SCALES;
    if (scales && store->nested_block_size != 0)
      continue;
    lq_status s = check_floats(&store->plane[floats[i].plane],
                               scales && store->scale_dtype != 0 ? store->scale_dtype : LQ_F32,
                               floats[i].what, why);
    if (s != LQ_OK)
      return s;
  }
  if (!lqi_is_finite(store->nested_offset))
    return lqi_fail(why, LQ_E_NONFINITE, "the offset of the nested scales is not finite", NULL);
  return LQ_OK;
}

/* Groups that exist, since decoders index with them; zero points that have a code's bits, since
 * other layouts pack them. */
static lq_status check_indices(const struct lqi_store *store, struct lqi_text *why)
{
  const struct lqi_span *index = &store->plane[LQI_GROUP_INDEX], *zeros = &store->plane[LQI_ZEROS];
  for (uint64_t i = 0; i < index->bytes / sizeof(int32_t); i++) {
    int32_t group;
    memcpy(&group, (const char *)index->data + i * sizeof group, sizeof group);
    if (group < 0 || (uint64_t)group >= store->groups)
      return lqi_fail(why, LQ_E_LAYOUT, "g_idx names a group that is not there", NULL);
  }
  for (uint64_t i = 0; i < zeros->bytes; i++)
    if (((const uint8_t *)zeros->data)[i] >> store->bits != 0)
      return lqi_fail(why, LQ_E_LAYOUT, "a zero point has more bits than a code", NULL);
  return LQ_OK;
}

/* Ascending and inside the tensor: decoders index with them. */
static lq_status check_outliers(const struct lqi_store *store, struct lqi_text *why)
{
  int64_t last = -1;
  for (uint64_t i = 0; i < store->outliers; i++) {
    int64_t column;
    memcpy(&column, (const char *)store->plane[LQI_OUTLIER_COLUMNS].data + i * sizeof column,
           sizeof column);
    if (column <= last || (uint64_t)column >= store->shape.cols)
      return lqi_fail(why, LQ_E_LAYOUT, "outlier columns must ascend and lie inside the tensor",
                      NULL);
    last = column;
  }
  return LQ_OK;
}

static lq_status import_store(const lq_config *config, const struct lqi_layout *layout,
                              const struct lqi_import *in, int borrow, uint32_t ndim,
                              const uint64_t *dims, struct lqi_store *store, struct lqi_text *why)
{
  lq_status s = check_input(in, borrow, why);
  if (s == LQ_OK)
    s = layout->import(in, store, why);
  if (s == LQ_OK)
    s = settle_shape(store, ndim, dims, why);
  if (s == LQ_OK)
    s = check_block_sizes(store, why);
  if (s == LQ_OK)
    s = check_groups(store, why);
  if (s == LQ_OK && store->method->fits != NULL)
    s = store->method->fits(store, why);
  if (s == LQ_OK && store->packed.layout == 0) /* packed planes: the layout has compared them */
    s = check_sizes(store, why);
  if (s == LQ_OK && config->nonfinite != LQ_NONFINITE_PROPAGATE)
    s = check_values(store, why);
  if (s == LQ_OK)
    s = check_indices(store, why);
  if (s == LQ_OK)
    s = check_outliers(store, why);
  return s;
}

/* Memory for planes that are copied or made; packed ones become the tensor's own. */
static lq_status settle_planes(const lq_config *config, const struct lqi_layout *layout, int borrow,
                               struct lqi_store *store, void **owned, uint64_t *owned_bytes)
{
  const struct lqi_store from = *store;
  if (borrow && from.packed.layout == 0 && !store->mapped)
    return LQ_OK;
  if (LQI_HAS_AFFINE && borrow && from.packed.layout == 0) {
    uint64_t bytes = LQI_ORDER_BYTES(store->shape.cols);
    store->order = (struct lqi_span){lqi_alloc(&config->mem, bytes), bytes};
    if (store->order.data == NULL)
      return LQ_E_MEMORY;
    *owned = store->order.data;
    *owned_bytes = bytes;
    lqi_affine_sort(store);
    return LQ_OK;
  }
  store->packed = (struct lqi_packed){0};
  lq_status s = lqi_planes_alloc(&config->mem, store, owned, owned_bytes);
  if (s == LQ_OK && from.packed.layout != 0)
    layout->unpack(&from, store);
  else if (LQI_HAS_AFFINE && s == LQ_OK && store->mapped)
    lqi_affine_sort(store);
  return s;
}

LQ_API lq_status lq_tensor_from_planes(lq_config *config, int32_t layout, const lq_plane *planes,
                                       uint32_t count, uint32_t ndim, const uint64_t *dims,
                                       int32_t borrow, lq_tensor **out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = NULL;
  const struct lqi_layout *l = lqi_layout_by_id(layout);
  if (config == NULL)
    return LQ_E_ARGUMENT;
  lqi_text_clear(&config->error);
  if (l == NULL || planes == NULL || count == 0)
    return lqi_fail(&config->error, LQ_E_ARGUMENT, "unknown layout or no planes", NULL);
  if (planes->size < sizeof *planes || planes->size % sizeof(void *) != 0)
    return lqi_fail(&config->error, LQ_E_VERSION, "lq_plane.size is too small", NULL);
  struct lqi_import in = {planes, planes->size, count, config->zero_borrow != 0};
  struct lqi_store store;
  void *owned = NULL;
  uint64_t owned_bytes = 0;
  lq_status s = import_store(config, l, &in, borrow != 0, ndim, dims, &store, &config->error);
  if (s == LQ_OK)
    s = settle_planes(config, l, borrow != 0, &store, &owned, &owned_bytes);
  if (s == LQ_OK)
    s = lqi_tensor_adopt(&config->mem, &store, owned, owned_bytes, out);
  if (s == LQ_E_MEMORY)
    lqi_fail(&config->error, s, "out of memory", NULL);
  return s;
}
