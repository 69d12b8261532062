/*
 * weight.c - loading a weight: its parts into one block of memory, a library tensor over them.
 */
#include "weight.h"

#include "../files/interrupt.h"

#include <stdlib.h>
#include <string.h>

enum { READ_PIECE = 16 << 20 };

const char *weight_path(const weight_list *l, const weight *w)
{
  return model_shard_path(l->model, w->base->shard);
}

int32_t weight_dtype(st_dtype t)
{
  switch (t) {
  case ST_F32: return LQ_F32;
  case ST_F16: return LQ_F16;
  case ST_BF16: return LQ_BF16;
  case ST_I8: return LQ_I8;
  case ST_U8: return LQ_U8;
  case ST_I32: return LQ_I32;
  case ST_I64: return LQ_I64;
  default: return 0;
  }
}

bool weight_is_float(const weight *w)
{
  int32_t t = w->layout ? 0 : weight_dtype(w->base->tensor->dtype);

  return t == LQ_F32 || t == LQ_F16 || t == LQ_BF16;
}

static uint64_t align_up(uint64_t bytes)
{
  return (bytes + POOL_ALIGNMENT - 1) / POOL_ALIGNMENT * POOL_ALIGNMENT;
}

/* Elements as this machine has them. In pieces, so that a signal is seen while a large tensor
 * comes from a slow disk. */
static bool read_pieces(const model *m, const model_tensor *t, uint64_t offset, char *into,
                        uint64_t bytes, fail *why)
{
  for (uint64_t at = 0; at < bytes;) {
    size_t n = bytes - at < READ_PIECE ? (size_t)(bytes - at) : READ_PIECE;

    if (!interrupt_check(why) || !model_read(m, t, offset + at, into + at, n, why))
      return false;
    st_turn(t->tensor->dtype, into + at, n);
    at += n;
  }
  return true;
}

static bool take_block(const weight_list *l, const weight *w, pool *memory, uint64_t bytes,
                       weight_data *out, fail *why)
{
  if (bytes > SIZE_MAX / 2)
    return fail_set(why, FAIL_OVERFLOW, weight_path(l, w), "%s: too large for this machine",
                    w->name);
  out->block = pool_take(memory, (size_t)bytes + 1);
  out->planes = calloc(w->count + 1, sizeof *out->planes); /* one more for bind_blocks */
  if (!out->block || !out->planes)
    return fail_set(why, FAIL_NOMEM, weight_path(l, w), "%s: out of memory", w->name);
  return true;
}

static bool describe_plane(const weight_list *l, const weight *w, const weight_part *part,
                           lq_plane *out, fail *why)
{
  const st_tensor *t = part->from->tensor;

  *out = (lq_plane){.size = sizeof *out,
                    .dtype = weight_dtype(t->dtype),
                    .ndim = t->ndim,
                    .bytes = t->bytes,
                    .name = part->plane};
  for (unsigned i = 0; i < t->ndim; i++)
    out->dims[i] = t->shape[i];
  if (out->dtype == 0 && w->layout)
    return fail_set(why, FAIL_UNSUPPORTED, weight_path(l, w), "%s: a plane of type %s", t->name,
                    st_dtype_name(t->dtype));
  return true;
}

bool weight_read(const weight_list *l, const weight *w, pool *memory, weight_data *out, fail *why)
{
  uint64_t bytes = 0, at = 0;

  *out = (weight_data){0};
  for (size_t i = 0; i < w->count; i++)
    bytes += align_up(w->parts[i].from->tensor->bytes);
  if (!take_block(l, w, memory, bytes, out, why))
    goto fail;
  for (size_t i = 0; i < w->count; i++) {
    const model_tensor *from = w->parts[i].from;

    if (!describe_plane(l, w, &w->parts[i], &out->planes[i], why) ||
        !read_pieces(l->model, from, 0, (char *)out->block + at, from->tensor->bytes, why))
      goto fail;
    out->planes[i].data = (char *)out->block + at;
    at += align_up(from->tensor->bytes);
  }
  return true;
fail:
  weight_release(out, memory);
  return false;
}

bool weight_read_rows(const weight_list *l, const weight *w, uint64_t first, uint64_t count,
                      pool *memory, weight_data *out, fail *why)
{
  const st_tensor *t = w->base->tensor;
  uint64_t columns = t->ndim ? t->shape[t->ndim - 1] : 1;
  uint64_t row = columns * (st_dtype_bits(t->dtype) / 8);

  *out = (weight_data){0};
  if (!take_block(l, w, memory, count * row, out, why))
    goto fail;
  out->planes[0] = (lq_plane){.size = sizeof *out->planes,
                              .dtype = weight_dtype(t->dtype),
                              .ndim = 2,
                              .dims = {count, columns},
                              .bytes = count * row,
                              .name = "weight",
                              .data = out->block};
  if (!read_pieces(l->model, w->base, first * row, out->block, count * row, why))
    goto fail;
  return true;
fail:
  weight_release(out, memory);
  return false;
}

/* The tensor has its own memory: what was read is not needed beside it. */
static void give_block(weight_data *data, size_t count, pool *memory)
{
  pool_give(memory, data->block);
  data->block = NULL;
  for (size_t i = 0; i < count; i++)
    data->planes[i].data = NULL;
}

/* What the configuration says of a packed weight and only its planes can confirm. */
static bool check_packed(const weight_list *l, const weight *w, const lq_tensor *t, fail *why)
{
  int64_t symmetric = 1;

  if (l->packed.symmetric && lq_tensor_get_i64(t, LQ_KEY_SYMMETRIC, &symmetric) == LQ_OK &&
      !symmetric)
    return fail_set(why, FAIL_DATA, weight_path(l, w),
                    "%s: its zero points are not those of a symmetric weight, which its "
                    "configuration says it is",
                    w->name);
  return true;
}

/* A GGUF file has the type, which is a plane, and the shape, which a row of bytes does not tell, in
 * its table. */
static lq_status bind_blocks(const weight_list *l, const weight *w, lq_config *config,
                             weight_data *data)
{
  lq_plane *p = data->planes;
  uint64_t dims[LQ_MAX_DIMS];
  uint32_t ndim;
  int32_t dtype;

  p[1] = (lq_plane){.size = sizeof *p,
                    .dtype = LQ_I32,
                    .bytes = sizeof w->base->block_type,
                    .name = "type",
                    .data = &w->base->block_type};
  if (!weight_shape(l, w, &dtype, &ndim, dims, NULL))
    return LQ_E_LAYOUT;
  return lq_tensor_from_planes(config, w->layout, p, 2, ndim, dims, 1, &data->tensor);
}

bool weight_bind(const weight_list *l, const weight *w, pool *memory, lq_config *config,
                 weight_data *data, fail *why)
{
  const lq_plane *p = data->planes;
  lq_alloc alloc = pool_alloc(memory);
  lq_status s;

  if (!w->layout) {
    if (!weight_is_float(w))
      return true;
    s = lq_tensor_wrap(&alloc, p->dtype, p->ndim, p->dims, p->data, (size_t)p->bytes,
                       &data->tensor);
    if (s != LQ_OK)
      return fail_set(why, FAIL_DATA, weight_path(l, w), "%s: %s", w->name, lq_status_string(s));
    return true;
  }
  s = lq_config_set_i64(config, LQ_KEY_ZERO_BORROW, l->packed.borrow);
  if (s == LQ_OK && w->layout == LQ_LAYOUT_GGML)
    s = bind_blocks(l, w, config, data);
  else if (s == LQ_OK)
    s = lq_tensor_from_planes(config, w->layout, p, (uint32_t)w->count, 0, NULL, 1, &data->tensor);
  if (s != LQ_OK) {
    const char *text = lq_config_error_text(config);

    return fail_set(why,
                    s == LQ_E_MEMORY        ? FAIL_NOMEM
                    : s == LQ_E_UNSUPPORTED ? FAIL_UNSUPPORTED
                                            : FAIL_DATA,
                    weight_path(l, w), "%s: %s", w->name, text[0] ? text : lq_status_string(s));
  }
  if (!packed_is_layout(w->layout))
    return true;
  give_block(data, w->count, memory);
  return check_packed(l, w, data->tensor, why);
}

void weight_release(weight_data *data, pool *memory)
{
  lq_tensor_destroy(data->tensor);
  pool_give(memory, data->block);
  free(data->planes);
  *data = (weight_data){0};
}
