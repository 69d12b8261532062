/*
 * convert.c - the same tensor with the planes of another checkpoint family.
 *
 * Owns: lq_tensor_convert and the question whether it can succeed.
 * Must not know: any one family (lib/layout).
 */
#include "handle.h"

static const char *obstacle(const struct lqi_store *store, const struct lqi_layout *layout)
{
  if (layout->obstacle != NULL)
    return layout->obstacle(store);
  return layout->count(store) != 0 ? NULL : "the layout does not have this method or block size";
}

LQ_API const char *lq_tensor_obstacle(const lq_tensor *tensor, int32_t layout)
{
  const struct lqi_layout *l = lqi_layout_by_id(layout);
  if (tensor == NULL || l == NULL)
    return "no tensor, or an unknown layout";
  return obstacle(&tensor->store, l);
}

LQ_API lq_status lq_tensor_convert(const lq_alloc *alloc, const lq_tensor *tensor, int32_t layout,
                                   lq_tensor **out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = NULL;
  const struct lqi_layout *l = lqi_layout_by_id(layout);
  if (tensor == NULL || l == NULL)
    return LQ_E_ARGUMENT;
  if (obstacle(&tensor->store, l) != NULL)
    return LQ_E_UNSUPPORTED;
  struct lqi_mem mem;
  struct lqi_store store = tensor->store;
  void *owned = NULL;
  uint64_t owned_bytes = 0;
  lq_status s = lqi_mem_init(&mem, alloc);
  if (s != LQ_OK)
    return s;
  store.packed = (struct lqi_packed){0};
  if (l->sizes != NULL)
    l->sizes(&store);
  s = lqi_planes_alloc(&mem, &store, &owned, &owned_bytes);
  if (s != LQ_OK)
    return s;
  if (l->pack != NULL)
    l->pack(&store);
  return lqi_tensor_adopt(&mem, &store, owned, owned_bytes, out);
}
