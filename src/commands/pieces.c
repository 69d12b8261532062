/* pieces.c - see pieces.h. */
#include "pieces.h"

#include "../files/interrupt.h"

#include <stdlib.h>
#include <string.h>

enum { SPOOL_PIECE = 8 << 20 };

bool pieces_open(pieces *p, const char *beside, fail *why)
{
  *p = (pieces){0};
  return spool_open(&p->waiting, beside, why);
}

static void forget(pieces *p)
{
  for (size_t i = 0; i < p->count; i++)
    free(p->at[i].name);
  p->count = 0;
}

void pieces_close(pieces *p)
{
  forget(p);
  free(p->at);
  free(p->tensors);
  if (p->waiting.beside)
    spool_close(&p->waiting);
  *p = (pieces){0};
}

/* Makes room for one more in both arrays. */
static bool grow(pieces *p, fail *why)
{
  size_t capacity = p->capacity ? 2 * p->capacity : 256;
  piece *at;
  st_tensor *tensors;

  if (p->count < p->capacity)
    return true;
  at = realloc(p->at, capacity * sizeof *at);
  if (at)
    p->at = at;
  tensors = realloc(p->tensors, capacity * sizeof *tensors);
  if (tensors)
    p->tensors = tensors;
  if (!at || !tensors)
    return fail_memory(why, p->waiting.beside);
  p->capacity = capacity;
  return true;
}

bool pieces_add_copy(pieces *p, const model_tensor *from, fail *why)
{
  if (!grow(p, why))
    return false;
  p->at[p->count] = (piece){.copy = from};
  p->tensors[p->count++] = *from->tensor;
  return true;
}

static st_dtype dtype_of_plane(int32_t dtype)
{
  switch (dtype) {
  case LQ_F32: return ST_F32;
  case LQ_F16: return ST_F16;
  case LQ_BF16: return ST_BF16;
  case LQ_I8: return ST_I8;
  case LQ_I32: return ST_I32;
  case LQ_I64: return ST_I64;
  default: return ST_U8;
  }
}

static bool add_plane(pieces *p, const weight *w, int32_t layout, const lq_plane *plane, fail *why)
{
  st_tensor *t;
  piece *x;

  if (!grow(p, why))
    return false;
  x = &p->at[p->count];
  t = &p->tensors[p->count];
  *x = (piece){.name = weight_plane_name(w->name, layout, plane->name)};
  if (!x->name)
    return fail_memory(why, p->waiting.beside);
  p->count++;
  *t = (st_tensor){.name = x->name, .dtype = dtype_of_plane(plane->dtype), .ndim = plane->ndim};
  for (uint32_t i = 0; i < plane->ndim; i++)
    t->shape[i] = plane->dims[i];
  return spool_add(&p->waiting, plane->data, (size_t)plane->bytes, &x->offset, why);
}

static bool add_planes(pieces *p, const weight *w, int32_t layout, const lq_tensor *encoded,
                       uint64_t *bytes, fail *why)
{
  uint32_t count = lq_tensor_plane_count(encoded, layout);

  *bytes = 0;
  for (uint32_t i = 0; i < count; i++) {
    lq_plane plane = {.size = sizeof plane};
    lq_status s = lq_tensor_plane(encoded, layout, i, &plane);

    if (s != LQ_OK)
      return fail_set(why, FAIL_UNSUPPORTED, p->waiting.beside, "%s: %s", w->name,
                      lq_status_string(s));
    if (!add_plane(p, w, layout, &plane, why))
      return false;
    *bytes += plane.bytes;
  }
  return true;
}

bool pieces_add_planes(pieces *p, const weight *w, int32_t layout, const lq_tensor *encoded,
                       uint64_t *bytes, fail *why)
{
  const char *obstacle = lq_tensor_obstacle(encoded, layout);
  lq_tensor *converted = NULL;
  lq_status s = LQ_OK;
  bool ok;

  if (obstacle)
    return fail_set(why, FAIL_UNSUPPORTED, p->waiting.beside, "%s: %s", w->name, obstacle);
  if (lq_tensor_plane_count(encoded, layout) == 0)
    s = lq_tensor_convert(NULL, encoded, layout, &converted);
  if (s != LQ_OK)
    return fail_set(why, s == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_UNSUPPORTED, p->waiting.beside,
                    "%s: %s", w->name, lq_status_string(s));
  ok = add_planes(p, w, layout, converted ? converted : encoded, bytes, why);
  lq_tensor_destroy(converted);
  return ok;
}

static bool unspool(const pieces *p, rewrite *out, size_t i, void *room, fail *why)
{
  uint64_t bytes = st_writer_tensor(out->writer, i)->bytes;

  for (uint64_t at = 0; at < bytes;) {
    size_t n = bytes - at < SPOOL_PIECE ? (size_t)(bytes - at) : SPOOL_PIECE;

    if (!interrupt_check(why) || !spool_read(&p->waiting, p->at[i].offset + at, room, n, why) ||
        !rewrite_put(out, i, at, room, n, why))
      return false;
    at += n;
  }
  return true;
}

typedef struct place {
  uint64_t begin;
  size_t i;
} place;

static int compare_places(const void *pa, const void *pb)
{
  const place *a = pa, *b = pb;

  return a->begin < b->begin ? -1 : a->begin > b->begin;
}

/* Each tensor in the order of the file, so that the disk sees one stream. */
static bool write_all(const pieces *p, rewrite *out, fail *why)
{
  place *order = calloc(p->count + 1, sizeof *order);
  void *room = malloc(SPOOL_PIECE);
  bool ok = order && room;

  if (!ok)
    fail_memory(why, p->waiting.beside);
  for (size_t i = 0; i < p->count && ok; i++)
    order[i] = (place){rewrite_place(out, i), i};
  if (ok)
    qsort(order, p->count, sizeof *order, compare_places);
  for (size_t k = 0; k < p->count && ok; k++) {
    size_t i = order[k].i;

    ok = p->at[i].copy ? rewrite_copy(out, i, p->at[i].copy, why) : unspool(p, out, i, room, why);
  }
  free(room);
  free(order);
  return ok;
}

bool pieces_write(pieces *p, rewrite *out, size_t shard, const job_pair *notes, size_t count,
                  fail *why)
{
  bool ok = rewrite_begin(out, shard, p->tensors, p->count, why) && write_all(p, out, why) &&
            rewrite_end(out, notes, count, why);

  spool_clear(&p->waiting);
  forget(p);
  return ok;
}
