/*
 * weight_shape.c - shape and type of a quantized weight from its state plane.
 *
 * Owns: the two members "dtype" and "shape" of the JSON text that most layouts keep beside the
 * codes. An output file needs them before any code is read; everything else in that text is the
 * library's, which checks it when the weight is bound.
 */
#include "weight.h"

#include "../files/json.h"

#include <stdlib.h>
#include <string.h>

enum { STATE_MAX = 1 << 16 };

static const weight_part *state_part(const weight *w)
{
  for (size_t i = 0; i < w->count; i++)
    if (strcmp(w->parts[i].plane, "meta") == 0 || strstr(w->parts[i].plane, ".quant_state."))
      return &w->parts[i];
  return NULL;
}

static bool read_state(const weight_list *l, const weight *w, const weight_part *part,
                       json_doc **doc, fail *why)
{
  const st_tensor *t = part->from->tensor;
  const st_file *file = model_shard(l->model, part->from->shard);
  char *text;

  if (t->bytes > STATE_MAX)
    return fail_set(why, FAIL_FORMAT, weight_path(l, w), "%s: longer than %d bytes", t->name,
                    STATE_MAX);
  text = malloc((size_t)t->bytes + 1);
  if (!text)
    return fail_memory(why, weight_path(l, w));
  if (!model_read(l->model, part->from, 0, text, (size_t)t->bytes, why)) {
    free(text);
    return false;
  }
  return json_parse(doc, text, (size_t)t->bytes, st_path(file), st_data_offset(file) + t->begin,
                    why);
}

static int32_t dtype_of_text(const json_doc *d, json_id v)
{
  if (json_is(d, v, "float32"))
    return LQ_F32;
  if (json_is(d, v, "float16"))
    return LQ_F16;
  return json_is(d, v, "bfloat16") ? LQ_BF16 : 0;
}

static bool read_shape(const json_doc *d, uint32_t *ndim, uint64_t dims[8])
{
  json_id shape = json_get(d, json_root(d), "shape");

  if (json_kind_of(d, shape) != JSON_ARRAY || json_count(d, shape) > LQ_MAX_DIMS)
    return false;
  *ndim = 0;
  for (json_id v = json_first(d, shape); v; v = json_next(d, v))
    if (json_u64(d, v, &dims[(*ndim)++]) != FAIL_NONE)
      return false;
  return true;
}

/* These layouts have shapes for a state; the type of the weight is not stored. */
static bool shape_of_packed(const weight_list *l, const weight *w, int32_t *dtype, uint32_t *ndim,
                            uint64_t dims[8], fail *why)
{
  packed_planes planes = weight_packed_planes(w);
  packed_shape shape;

  if (!packed_measure(&l->packed, w->layout, &planes, weight_path(l, w), w->name, &shape, why))
    return false;
  *dtype = 0;
  *ndim = 2;
  dims[0] = shape.rows;
  dims[1] = shape.columns;
  return true;
}

/* From bytes of a row back to elements; what that decodes to is f32. */
static bool shape_of_blocks(const weight_list *l, const weight *w, int32_t *dtype, uint32_t *ndim,
                            uint64_t dims[8], fail *why)
{
  const st_tensor *t = w->base->tensor;
  lq_ggml_type info = {.size = sizeof info};

  if (lq_ggml_type_info(w->base->block_type, &info) != LQ_OK)
    return fail_set(why, FAIL_UNSUPPORTED, weight_path(l, w), "%s: its type is not known", w->name);
  *dtype = LQ_F32;
  *ndim = t->ndim;
  memcpy(dims, t->shape, sizeof t->shape);
  dims[t->ndim - 1] = dims[t->ndim - 1] / info.bytes * info.elements;
  return true;
}

bool weight_shape(const weight_list *l, const weight *w, int32_t *dtype, uint32_t *ndim,
                  uint64_t dims[8], fail *why)
{
  const weight_part *part = state_part(w);
  const st_tensor *t = w->base->tensor;
  json_doc *doc = NULL;
  bool ok = true;

  if (packed_is_layout(w->layout))
    return shape_of_packed(l, w, dtype, ndim, dims, why);
  if (w->layout == LQ_LAYOUT_GGML)
    return shape_of_blocks(l, w, dtype, ndim, dims, why);
  if (!part && w->layout) {
    /* Eight bits in the bitsandbytes layout: the codes have the shape; the type is not stored. */
    if (t->dtype != ST_I8)
      return fail_set(why, FAIL_FORMAT, weight_path(l, w), "%s: its quantization state is missing",
                      w->name);
    *dtype = 0;
  } else {
    *dtype = weight_dtype(t->dtype);
  }
  *ndim = t->ndim;
  memcpy(dims, t->shape, sizeof t->shape);
  if (part) {
    if (!read_state(l, w, part, &doc, why))
      return false;
    *dtype = dtype_of_text(doc, json_get(doc, json_root(doc), "dtype"));
    if (*dtype == 0 || !read_shape(doc, ndim, dims))
      ok = fail_set(why, FAIL_FORMAT, weight_path(l, w), "%s: its state has no %s", w->name,
                    *dtype == 0 ? "known dtype" : "shape");
    json_free(doc);
  }
  return ok;
}
