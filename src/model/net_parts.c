/* net_parts.c - see net_parts.h. */
#include "net_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void part_name(const net *n, char out[PART_NAME], const char *format, ...)
{
  int length = snprintf(out, PART_NAME, "%s", n->prefix);
  va_list list;

  va_start(list, format);
  vsnprintf(out + length, (size_t)(PART_NAME - length), format, list);
  va_end(list);
}

bool part_fails(const net *n, const char *what, lq_status status, fail *why)
{
  return fail_set(why, status == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_DATA, n->path, "%s: %s", what,
                  lq_status_string(status));
}

static const weight *find(const net *n, const char *name, fail *why)
{
  const weight *w = weight_find(n->weights, name);

  if (!w)
    fail_set(why, FAIL_NOTFOUND, n->path, "tensor %s is missing", name);
  return w;
}

/* Reads a weight and makes its tensor, which must be of numbers. */
static bool load(const net *n, const weight *w, weight_data *out, fail *why)
{
  if (!weight_read(n->weights, w, n->memory, out, why) ||
      !weight_bind(n->weights, w, n->memory, n->one, out, why))
    return false;
  if (out->tensor)
    return true;
  return fail_set(why, FAIL_UNSUPPORTED, weight_path(n->weights, w),
                  "%s: a weight of type %s; F32, F16 and BF16 can be computed with", w->name,
                  st_dtype_name(w->base->tensor->dtype));
}

static bool check_shape(const net *n, const weight *w, const lq_tensor *t, size_t rows,
                        size_t columns, fail *why)
{
  if (lq_tensor_ndim(t) == 2 && lq_tensor_dim(t, 0) == rows && lq_tensor_dim(t, 1) == columns)
    return true;
  if (lq_tensor_ndim(t) != 2)
    return fail_set(why, FAIL_FORMAT, weight_path(n->weights, w),
                    "%s has %u dimensions; config.json asks for [%zu, %zu]", w->name,
                    lq_tensor_ndim(t), rows, columns);
  return fail_set(why, FAIL_FORMAT, weight_path(n->weights, w),
                  "%s has the shape [%llu, %llu]; config.json asks for [%zu, %zu]", w->name,
                  (unsigned long long)lq_tensor_dim(t, 0), (unsigned long long)lq_tensor_dim(t, 1),
                  rows, columns);
}

/* Tiles of both sides in cache. `size` is that of an element, 2 or 4 bytes. */
static void transpose(const void *from, size_t rows, size_t columns, size_t size, void *to)
{
  enum { TILE = 32 };
  const char *a = from;
  char *b = to;

  for (size_t i = 0; i < rows; i += TILE)
    for (size_t k = 0; k < columns; k += TILE)
      for (size_t r = i; r < rows && r < i + TILE; r++)
        for (size_t c = k; c < columns && c < k + TILE; c++)
          memcpy(b + (c * rows + r) * size, a + (r * columns + c) * size, size);
}

/* Puts the transpose of l->data, decoded where it is quantized, in the place of the weight. */
static bool turn(const net *n, const weight *w, net_linear *l, fail *why)
{
  const uint64_t dims[2] = {l->rows, l->columns};
  const lq_tensor *stored = l->data.tensor;
  int32_t dtype = w->layout ? LQ_F32 : lq_tensor_dtype(stored);
  size_t size = dtype == LQ_F32 ? 4 : 2, bytes = l->rows * l->columns * size;
  lq_alloc alloc = pool_alloc(n->memory);
  void *dense = pool_take(n->memory, bytes);
  lq_status s = dense ? lq_dequantize(stored, dtype, dense, bytes, n->many) : LQ_E_MEMORY;

  if (s == LQ_OK)
    s = lq_tensor_create(&alloc, dtype, 2, dims, &l->weight);
  if (s == LQ_OK)
    transpose(dense, l->columns, l->rows, size, lq_tensor_data(l->weight));
  pool_give(n->memory, dense);
  weight_release(&l->data, n->memory);
  return s == LQ_OK || part_fails(n, w->name, s, why);
}

bool part_linear(const net *n, const char *name, size_t rows, size_t columns, bool transposed,
                 net_linear *out, fail *why)
{
  const weight *w = find(n, name, why);

  *out = (net_linear){.rows = rows, .columns = columns};
  if (!w || !load(n, w, &out->data, why))
    return false;
  out->name = w->name;
  /* Such a matrix is turned before bitsandbytes, GPTQ or AWQ quantizes it. */
  if (transposed && (!w->layout || w->layout == LQ_LAYOUT_NATIVE))
    return check_shape(n, w, out->data.tensor, columns, rows, why) && turn(n, w, out, why);
  out->weight = out->data.tensor;
  return check_shape(n, w, out->weight, rows, columns, why);
}

void part_linear_free(const net *n, net_linear *l)
{
  if (l->weight != l->data.tensor)
    lq_tensor_destroy(l->weight);
  weight_release(&l->data, n->memory);
  pool_give(n->memory, l->bias);
  *l = (net_linear){0};
}

bool net_linear_replace(const net *n, net_linear *l, lq_tensor *fresh, fail *why)
{
  if (lq_tensor_ndim(fresh) != 2 || lq_tensor_dim(fresh, 0) != l->rows ||
      lq_tensor_dim(fresh, 1) != l->columns)
    return fail_set(why, FAIL_DATA, n->path, "%s: what should replace it has another shape",
                    l->name);
  if (l->weight != l->data.tensor)
    lq_tensor_destroy(l->weight);
  weight_release(&l->data, n->memory);
  l->weight = fresh;
  return true;
}

bool part_vector(const net *n, const char *name, size_t count, float **out, fail *why)
{
  const weight *w = find(n, name, why);
  size_t bytes = count * sizeof(float);
  weight_data data = {0};
  bool ok;

  *out = NULL;
  if (!w)
    return false;
  ok = load(n, w, &data, why);
  if (ok && (lq_tensor_ndim(data.tensor) != 1 || lq_tensor_dim(data.tensor, 0) != count))
    ok = fail_set(why, FAIL_FORMAT, weight_path(n->weights, w),
                  "%s is not a vector of %zu numbers, which config.json asks for", name, count);
  if (ok) {
    lq_status s;

    *out = pool_take(n->memory, bytes);
    s = *out ? lq_dequantize(data.tensor, LQ_F32, *out, bytes, n->one) : LQ_E_MEMORY;
    ok = s == LQ_OK || part_fails(n, name, s, why);
  }
  weight_release(&data, n->memory);
  return ok;
}

bool part_norm(const net *n, const char *name, size_t count, bool bias, net_norm *out, fail *why)
{
  char full[PART_NAME + 8];

  snprintf(full, sizeof full, "%s.weight", name);
  if (!part_vector(n, full, count, &out->weight, why))
    return false;
  snprintf(full, sizeof full, "%s.bias", name);
  return !bias || part_vector(n, full, count, &out->bias, why);
}

void part_norm_free(const net *n, net_norm *norm)
{
  pool_give(n->memory, norm->weight);
  pool_give(n->memory, norm->bias);
  *norm = (net_norm){0};
}
