/*
 * layout.c - the list of checkpoint families, and what they share in reading and filling planes.
 *
 * Owns: look-up of families and of planes by name.
 * Must not know: any one family.
 */
#include "layout.h"

#include <string.h>

const struct lqi_layout *lqi_layout_by_id(int32_t id)
{
  static const struct lqi_layout *const layouts[] = {
      &lqi_layout_native, &lqi_layout_bitsandbytes,
      LQI_IF(LQI_HAS_AFFINE, &lqi_layout_gptq, &lqi_layout_gptq_v2, &lqi_layout_awq, )
          LQI_IF(LQI_HAS_GGML, &lqi_layout_ggml)};
  for (size_t i = 0; i < LQI_COUNT(layouts); i++)
    if (layouts[i]->id == id)
      return layouts[i];
  return NULL;
}

const lq_plane *lqi_find_plane(const struct lqi_import *in, const char *name)
{
  for (uint32_t i = 0; i < in->count; i++) {
    const lq_plane *plane =
        (const lq_plane *)(const void *)((const char *)in->planes + (size_t)i * in->stride);
    if (strcmp(plane->name, name) == 0)
      return plane;
  }
  return NULL;
}

lq_status lqi_take_plane(const struct lqi_import *in, const char *name, int32_t dtype, int optional,
                         struct lqi_span *out, struct lqi_text *why)
{
  *out = (struct lqi_span){NULL, 0};
  const lq_plane *plane = lqi_find_plane(in, name);
  if (plane == NULL)
    return optional ? LQ_OK : lqi_fail(why, LQ_E_LAYOUT, name, " is missing");
  if (plane->dtype != dtype)
    return lqi_fail(why, LQ_E_LAYOUT, name, " has the wrong dtype");
  /* The store is written to by encoders only; a tensor made from planes is never encoded into. */
  out->data = (void *)(uintptr_t)plane->data;
  out->bytes = plane->bytes;
  return LQ_OK;
}

void lqi_set_plane(lq_plane *out, const char *name, int32_t dtype, uint32_t ndim, uint64_t dim0,
                   uint64_t dim1, const void *data, uint64_t bytes)
{
  *out = (lq_plane){
      .size = out->size, .dtype = dtype, .ndim = ndim, .bytes = bytes, .name = name, .data = data};
  out->dims[0] = ndim > 0 ? dim0 : 0;
  out->dims[1] = ndim > 1 ? dim1 : 0;
}

void lqi_set_plane_shaped(lq_plane *out, const char *name, int32_t dtype,
                          const struct lqi_store *store, const struct lqi_span *span)
{
  lqi_set_plane(out, name, dtype, 0, 0, 0, span->data, span->bytes);
  out->ndim = store->shape.ndim;
  memcpy(out->dims, store->shape.dim, sizeof store->shape.dim);
}
