/*
 * tensor.c - tensors: making dense ones, copying, asking.
 *
 * Owns: the memory of planes.
 * Must not know: how any method encodes, what checkpoints look like (planes.c).
 */
#include "handle.h"

#include "../method/registry.h"

#include <string.h>

static uint64_t aligned(uint64_t bytes)
{
  return lqi_ceil_div(bytes, LQI_ALIGNMENT) * LQI_ALIGNMENT;
}

lq_status lqi_planes_alloc(const struct lqi_mem *mem, struct lqi_store *store, void **owned,
                           uint64_t *owned_bytes)
{
  uint64_t bytes[LQI_PLANES] = {0}, total = 0;
  store->method->layout(store, bytes);
  bytes[LQI_CODEBOOK] = store->plane[LQI_CODEBOOK].bytes;
  bytes[LQI_NESTED_CODEBOOK] = store->plane[LQI_NESTED_CODEBOOK].bytes;
  for (int i = 0; i < LQI_PLANES; i++)
    total += aligned(bytes[i]);
  for (int i = 0; i < LQI_PACKED_PLANES; i++)
    total += aligned(store->packed.plane[i].bytes);
  uint64_t order = store->mapped ? LQI_ORDER_BYTES(store->shape.cols) : 0;
  total += order;
  char *block = lqi_alloc(mem, total);
  if (block == NULL)
    return LQ_E_MEMORY;
  *owned = block;
  *owned_bytes = total;
  for (int i = 0; i < LQI_PLANES; i++) {
    if (store->plane[i].bytes != 0)
      memcpy(block, store->plane[i].data, (size_t)bytes[i]);
    store->plane[i] = (struct lqi_span){block, bytes[i]};
    block += aligned(bytes[i]);
  }
  for (int i = 0; i < LQI_PACKED_PLANES; i++) {
    struct lqi_span *span = &store->packed.plane[i];
    if (span->data != NULL)
      memcpy(block, span->data, (size_t)span->bytes);
    span->data = block;
    block += aligned(span->bytes);
  }
  if (store->order.data != NULL)
    memcpy(block, store->order.data, (size_t)order);
  store->order = (struct lqi_span){block, order};
  return LQ_OK;
}

lq_status lqi_tensor_adopt(const struct lqi_mem *mem, const struct lqi_store *store, void *owned,
                           uint64_t owned_bytes, lq_tensor **out)
{
  lq_tensor *t = lqi_alloc(mem, sizeof *t);
  if (t == NULL) {
    lqi_free(mem, owned, owned_bytes);
    return LQ_E_MEMORY;
  }
  *t = (lq_tensor){.mem = *mem, .store = *store, .owned = owned, .owned_bytes = owned_bytes};
  lqi_layout_native.describe(&t->store, &t->meta);
  lqi_layout_bitsandbytes.describe(&t->store, &t->state);
  *out = t;
  return LQ_OK;
}

/* What create and wrap have in common: a dense store of that shape, its bytes known. */
static lq_status dense_store(const lq_alloc *alloc, int32_t dtype, uint32_t ndim,
                             const uint64_t *dims, struct lqi_mem *mem, struct lqi_store *store)
{
  *store = (struct lqi_store){.method = &lqi_method_none, .dtype = dtype};
  if (!lqi_is_float(dtype))
    return LQ_E_ARGUMENT;
  lq_status s = lqi_mem_init(mem, alloc);
  return s == LQ_OK ? lqi_shape_set(&store->shape, ndim, dims) : s;
}

LQ_API lq_status lq_tensor_create(const lq_alloc *alloc, int32_t dtype, uint32_t ndim,
                                  const uint64_t *dims, lq_tensor **out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = NULL;
  struct lqi_mem mem;
  struct lqi_store store;
  void *owned = NULL;
  uint64_t owned_bytes = 0;
  lq_status s = dense_store(alloc, dtype, ndim, dims, &mem, &store);
  if (s == LQ_OK)
    s = lqi_planes_alloc(&mem, &store, &owned, &owned_bytes);
  if (s != LQ_OK)
    return s;
  memset(owned, 0, (size_t)owned_bytes);
  s = lqi_tensor_adopt(&mem, &store, owned, owned_bytes, out);
  if (s == LQ_OK)
    (*out)->writable = 1;
  return s;
}

LQ_API lq_status lq_tensor_wrap(const lq_alloc *alloc, int32_t dtype, uint32_t ndim,
                                const uint64_t *dims, const void *data, size_t bytes,
                                lq_tensor **out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = NULL;
  struct lqi_mem mem;
  struct lqi_store store;
  lq_status s = dense_store(alloc, dtype, ndim, dims, &mem, &store);
  if (s != LQ_OK)
    return s;
  if (bytes != store.shape.count * lqi_dtype_size(dtype))
    return LQ_E_SHAPE;
  if (bytes != 0 && (data == NULL || (uintptr_t)data % lqi_dtype_size(dtype) != 0))
    return LQ_E_ARGUMENT;
  store.plane[LQI_CODES] = (struct lqi_span){(void *)(uintptr_t)data, bytes};
  return lqi_tensor_adopt(&mem, &store, NULL, 0, out);
}

LQ_API lq_status lq_tensor_clone(const lq_alloc *alloc, const lq_tensor *tensor, lq_tensor **out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = NULL;
  if (tensor == NULL)
    return LQ_E_ARGUMENT;
  struct lqi_mem mem;
  struct lqi_store store = tensor->store;
  void *owned = NULL;
  uint64_t owned_bytes = 0;
  lq_status s = lqi_mem_init(&mem, alloc);
  if (s == LQ_OK)
    s = lqi_planes_alloc(&mem, &store, &owned, &owned_bytes);
  return s == LQ_OK ? lqi_tensor_adopt(&mem, &store, owned, owned_bytes, out) : s;
}

LQ_API void lq_tensor_destroy(lq_tensor *tensor)
{
  if (tensor == NULL)
    return;
  struct lqi_mem mem = tensor->mem;
  lqi_free(&mem, tensor->owned, tensor->owned_bytes);
  lqi_free(&mem, tensor, sizeof *tensor);
}

LQ_API int32_t lq_tensor_dtype(const lq_tensor *tensor)
{
  return tensor != NULL ? tensor->store.dtype : 0;
}

LQ_API uint32_t lq_tensor_ndim(const lq_tensor *tensor)
{
  return tensor != NULL ? tensor->store.shape.ndim : 0;
}

LQ_API uint64_t lq_tensor_dim(const lq_tensor *tensor, uint32_t i)
{
  return tensor != NULL && i < tensor->store.shape.ndim ? tensor->store.shape.dim[i] : 0;
}

LQ_API uint64_t lq_tensor_nbytes(const lq_tensor *tensor)
{
  uint64_t bytes = 0;
  for (int i = 0; tensor != NULL && i < LQI_PLANES; i++)
    bytes += tensor->store.plane[i].bytes;
  return tensor != NULL && tensor->store.nested_block_size != 0 ? bytes + sizeof(float) : bytes;
}

LQ_API void *lq_tensor_data(lq_tensor *tensor)
{
  return tensor != NULL && tensor->writable ? tensor->store.plane[LQI_CODES].data : NULL;
}

LQ_API int32_t lq_tensor_method(const lq_tensor *tensor)
{
  return tensor != NULL ? tensor->store.method->id : 0;
}

LQ_API lq_status lq_tensor_get_i64(const lq_tensor *tensor, int32_t key, int64_t *out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = 0;
  if (tensor == NULL)
    return LQ_E_ARGUMENT;
  const struct lqi_method *m = tensor->store.method;
  int groupwise = (m->flags & LQ_METHOD_GROUPWISE) != 0;
  switch (key) {
  case LQ_KEY_METHOD: *out = m->id; return LQ_OK;
  case LQ_KEY_BLOCK_SIZE: *out = tensor->store.block_size; return LQ_OK;
  case LQ_KEY_NESTED: *out = tensor->store.nested_block_size != 0; return LQ_OK;
  case LQ_KEY_NESTED_BLOCK_SIZE: *out = tensor->store.nested_block_size; return LQ_OK;
  case LQ_KEY_BITS: *out = groupwise ? tensor->store.bits : m->code_bits; return LQ_OK;
  case LQ_KEY_GROUP_SIZE:
    *out = groupwise && tensor->store.group_size == 0 ? -1 : (int64_t)tensor->store.group_size;
    return LQ_OK;
  case LQ_KEY_SYMMETRIC: *out = groupwise && tensor->store.symmetric; return LQ_OK;
  case LQ_KEY_BLOCK_TYPE: *out = tensor->store.block_type; return LQ_OK;
  default: return LQ_E_ARGUMENT;
  }
}

LQ_API double lq_tensor_bits_per_weight(const lq_tensor *tensor)
{
  if (tensor == NULL || tensor->store.shape.count == 0)
    return 0.0;
  return 8.0 * (double)lq_tensor_nbytes(tensor) / (double)tensor->store.shape.count;
}
