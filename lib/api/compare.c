/*
 * compare.c - how far one tensor is from another.
 *
 * Owns: the sums, their fixed order, and the metrics made of them.
 * Must not know: any one method; both tensors are decoded through their vtables.
 */
#include "handle.h"

#include <math.h>

/* Elements decoded at a time; a multiple of usual block sizes. */
#define PIECE 8192

struct sums {
  double aa, bb, dd, ab; /* |a|^2, |b|^2, |a - b|^2, <a, b> */
  double max;
  uint64_t max_at;
};

struct compare_tasks {
  const struct lqi_store *a, *b;
  const struct lqi_kernels *kern;
  uint64_t parts; /* pieces of LQI_TASK_ELEMENTS: one struct sums each, whoever computes it */
  uint32_t workers;
  struct sums *sums;
  float *room; /* 2 * PIECE a worker */
};

/* Equal in the sense of the header: NaN in both, or the same infinity; such elements count for
 * nothing. */
static int both_special(float a, float b)
{
  return (a != a && b != b) || (a == b && isinf(a));
}

/* What the kernel does, for pieces that hold values which are not finite. */
static void add_special(struct lqi_deviation *m, const float *a, const float *b, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    double x = a[i], y = b[i], d = x - y, e = fabs(d);
    size_t l = i % 8;
    if (both_special(a[i], b[i]))
      continue;
    e = e != e ? (double)INFINITY : e;
    m->max[l] = e > m->max[l] ? e : m->max[l];
    m->aa[l] += x * x;
    m->bb[l] += y * y;
    m->dd[l] += d * d;
    m->ab[l] += x * y;
  }
}

/* The first place of the largest error; it is looked for only where it has grown. */
static void note_max(struct sums *s, const struct lqi_deviation *m, const float *a, const float *b,
                     size_t n, uint64_t first)
{
  double max = s->max;
  for (size_t l = 0; l < 8; l++)
    max = m->max[l] > max ? m->max[l] : max;
  if (!(max > s->max))
    return;
  for (size_t i = 0; i < n; i++) {
    double e = fabs((double)a[i] - (double)b[i]);
    if (e == max || (e != e && !both_special(a[i], b[i]))) {
      s->max = max;
      s->max_at = first + i;
      return;
    }
  }
}

/* Lanes in rising order. */
static void add_lanes(struct sums *s, const struct lqi_deviation *m)
{
  for (size_t l = 0; l < 8; l++) {
    s->aa += m->aa[l];
    s->bb += m->bb[l];
    s->dd += m->dd[l];
    s->ab += m->ab[l];
  }
}

static void compare_part(const struct compare_tasks *t, uint64_t part, float *room)
{
  uint64_t first = part * LQI_TASK_ELEMENTS,
           end = lqi_min_u64(first + LQI_TASK_ELEMENTS, t->a->shape.count);
  struct sums s = {0};
  struct lqi_deviation m = {{0}, {0}, {0}, {0}, {0}};
  for (; first < end; first += PIECE) {
    size_t n = (size_t)lqi_min_u64(PIECE, end - first);
    t->a->method->decode(t->a, t->kern, first, n, LQ_F32, room, 0);
    t->b->method->decode(t->b, t->kern, first, n, LQ_F32, room + PIECE, 0);
    if (lqi_is_finite(t->kern->absmax[0](room, n)) &&
        lqi_is_finite(t->kern->absmax[0](room + PIECE, n)))
      t->kern->deviation(room, room + PIECE, n, &m);
    else
      add_special(&m, room, room + PIECE, n);
    note_max(&s, &m, room, room + PIECE, n, first);
  }
  add_lanes(&s, &m);
  t->sums[part] = s;
}

static void compare_task(void *arg, uint32_t index)
{
  const struct compare_tasks *t = arg;
  for (uint64_t part = index; part < t->parts; part += t->workers)
    compare_part(t, part, t->room + (uint64_t)index * 2 * PIECE);
}

/* Parts in rising order; the first of equal maxima wins. */
static struct sums total(const struct compare_tasks *t)
{
  struct sums all = {0};
  for (uint64_t i = 0; i < t->parts; i++) {
    const struct sums *s = &t->sums[i];
    all.aa += s->aa;
    all.bb += s->bb;
    all.dd += s->dd;
    all.ab += s->ab;
    if (s->max > all.max) {
      all.max = s->max;
      all.max_at = s->max_at;
    }
  }
  return all;
}

static void set_metrics(lq_metrics *out, const struct sums *s, const struct lqi_shape *shape)
{
  uint64_t cols = shape->cols != 0 ? shape->cols : 1;
  double error = s->dd == 0.0 ? 0.0 : sqrt(s->dd / s->aa);
  if (error != error) /* NaN or infinity on one side */
    error = (double)INFINITY;
  double norms = sqrt(s->aa) * sqrt(s->bb);
  *out = (lq_metrics){
      .size = out->size,
      .relative_error = error,
      .sqnr_db = error == 0.0 ? (double)INFINITY : -20.0 * log10(error),
      .cosine = norms > 0.0      ? s->ab / norms
                : s->aa == s->bb ? 1.0
                                 : 0.0,
      .max_error = s->max,
      .max_row = s->max_at / cols,
      .max_column = s->max_at % cols,
      .sum_a2 = s->aa,
      .sum_b2 = s->bb,
      .sum_d2 = s->dd,
      .sum_ab = s->ab,
  };
}

LQ_API lq_status lq_compare(const lq_tensor *a, const lq_tensor *b, lq_metrics *out,
                            const lq_config *how)
{
  if (a == NULL || b == NULL || out == NULL)
    return LQ_E_ARGUMENT;
  if (!lqi_known_struct(out, out->size, sizeof *out))
    return LQ_E_VERSION;
  if (!lqi_shape_equal(&a->store.shape, &b->store.shape))
    return LQ_E_SHAPE;
  struct lqi_par par = lqi_par_of(how);
  struct compare_tasks t = {.a = &a->store, .b = &b->store, .kern = lqi_kernels()};
  t.parts = lqi_ceil_div(a->store.shape.count, LQI_TASK_ELEMENTS);
  t.workers = (uint32_t)lqi_min_u64(lqi_par_workers(&par), t.parts);
  uint64_t sums_bytes = t.parts * sizeof *t.sums,
           room_bytes = (uint64_t)t.workers * 2 * PIECE * sizeof(float);
  t.sums = lqi_alloc(&a->mem, sums_bytes);
  t.room = t.sums != NULL ? lqi_alloc(&a->mem, room_bytes) : NULL;
  if (t.room != NULL) {
    lqi_parallel(&par, t.workers, compare_task, &t);
    struct sums all = total(&t);
    set_metrics(out, &all, &a->store.shape);
  }
  lq_status s = t.room != NULL ? LQ_OK : LQ_E_MEMORY;
  lqi_free(&a->mem, t.room, room_bytes);
  lqi_free(&a->mem, t.sums, sums_bytes);
  return s;
}
