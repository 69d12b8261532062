/*
 * factor.c - the factor that feedback runs on: order of columns, damping, Cholesky, and the
 * correction of inputs that goes with it.
 *
 * Owns: which column comes when, how far damping is raised, the unit upper triangles.
 * Must not know: weights, codes.
 *
 * H = R R^T with R upper is an ordinary Cholesky factorization of H with rows and columns reversed.
 * Its columns divided by their diagonal feed original errors back (the LDL form: no inverse).
 * R^-1 is the U of H^-1 = U^T U that GPTQ is written with: one triangular inverse instead of the
 * inverse of H and a second factorization.
 *
 * Correction of inputs (GPTAQ, arXiv 2504.02692): the layer is to give W y where it is shown x.
 * With D = sum of (y - x) x^T the error that column j brings with it, w_j (y_j - x_j), is best made
 * up for by the columns F behind it if w_j D(j, F) H(F, F)^-1 is added to them; a share is.
 */
#include "calibration.h"

#include <math.h>

/* Below this columns of tiny inputs would be given huge weights to make up for errors of others. */
#define LEAST_DAMPING 1e-6

/* Elements divided at once; divides LQI_BLOCK. */
enum { DIVIDED = 16 };

struct column {
  double weight; /* of the diagonal */
  uint32_t index;
};

/* Whether a comes before b: the heavier one, of equal ones the first. */
static int before(struct column a, struct column b)
{
  return a.weight != b.weight ? a.weight > b.weight : a.index < b.index;
}

/* A heap with the last column on top; c[root] is put in its place among n. */
static void sift(struct column *c, size_t root, size_t n)
{
  for (size_t child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && before(c[child], c[child + 1]))
      child++;
    if (!before(c[root], c[child]))
      return;
    struct column kept = c[root];
    c[root] = c[child];
    c[child] = kept;
  }
}

/* Sorts without memory of its own; the order is total, so it need not be stable. */
static void sort_columns(struct column *c, size_t n)
{
  for (size_t i = n / 2; i-- != 0;)
    sift(c, i, n);
  for (size_t i = n; i > 1; i--) {
    struct column kept = c[0];
    c[0] = c[i - 1];
    c[i - 1] = kept;
    sift(c, 0, i - 1);
  }
}

/* Columns sorted within each group, groups by their heaviest one; a short last group stays last. */
static void order_groups(struct column *c, size_t n, size_t group, struct column *heads,
                         uint32_t *order)
{
  /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): rows without groups have no such order */
  size_t groups = n / group, at = 0;
  for (size_t i = 0; i < groups; i++) {
    sort_columns(c + i * group, group);
    heads[i] = (struct column){c[i * group].weight, (uint32_t)i};
  }
  sort_columns(heads, groups);
  for (size_t i = 0; i < groups; i++)
    for (size_t k = 0; k < group; k++)
      order[at++] = c[heads[i].index * group + k].index;
  for (; at < n; at++)
    order[at] = c[at].index;
}

static lq_status make_order(struct lqi_calibration *c, const struct lqi_params *params,
                            const double *diagonal)
{
  struct lqi_factor *f = &c->factor;
  size_t bytes = 2 * f->n * sizeof(struct column);
  struct column *columns = lqi_alloc(&c->mem, bytes);
  if (columns == NULL)
    return LQ_E_MEMORY;
  for (uint32_t i = 0; i < f->n; i++) {
    columns[i] = (struct column){diagonal[i], i};
    f->order[i] = i;
  }
  if (params->order == LQ_ORDER_GROUPS && c->group < f->n) {
    order_groups(columns, f->n, (size_t)c->group, columns + f->n, f->order);
  } else if (params->order != LQ_ORDER_NONE) {
    sort_columns(columns, f->n);
    for (size_t i = 0; i < f->n; i++)
      f->order[i] = columns[i].index;
  }
  lqi_free(&c->mem, columns, bytes);
  return LQ_OK;
}

/*
 * The diagonal of H, and its mean. Columns that no input reached get the mean of the others: their
 * weights then are rounded to the nearest, and last where the order follows the diagonal. compat
 * gives them 1, as the programs do, which may be much or little.
 */
static void read_diagonal(struct lqi_calibration *c, const struct lqi_params *params,
                          double *diagonal)
{
  struct lqi_factor *f = &c->factor;
  double scale = 2.0 / (double)c->moments.rows, sum = 0.0;
  int compat = params->compat == LQ_COMPAT_GPTQ;
  lqi_moments_diagonal(&c->moments, diagonal);
  f->dead_count = 0;
  for (size_t i = 0; i < f->n; i++) {
    f->dead[i] = !(diagonal[i] > 0.0);
    f->dead_count += f->dead[i];
    diagonal[i] = f->dead[i] ? (compat ? 1.0 : 0.0) : diagonal[i] * scale;
    sum += diagonal[i];
  }
  size_t counted = compat ? f->n : f->n - f->dead_count;
  f->mean = counted != 0 && sum > 0.0 ? sum / (double)counted : 1.0;
}

/* The diagonal in units of its mean, damped. */
static void damp(const struct lqi_factor *f, const double *diagonal, double damping, double *out)
{
  for (size_t i = 0; i < f->n; i++)
    out[i] = (diagonal[i] > 0.0 ? diagonal[i] / f->mean : 1.0) + damping;
}

/* Floats of the block rows before b, packed; not less than those of the triangle. */
static size_t packed_at(const struct lqi_factor *f, size_t b)
{
  size_t at = 0;
  for (size_t i = 0; i < b; i++)
    at += LQI_BLOCK *
          (LQI_BLOCK + lqi_panels_f32(f->kern, lqi_upper_ld(f->padded, i * LQI_BLOCK) - LQI_BLOCK));
  return at;
}

static uint64_t packed_bytes(const struct lqi_factor *f)
{
  return packed_at(f, f->padded / LQI_BLOCK) * sizeof(float);
}

const float *lqi_factor_square(const struct lqi_factor *f, const float *triangle, size_t b)
{
  return triangle + packed_at(f, b);
}

const float *lqi_factor_beyond(const struct lqi_factor *f, const float *triangle, size_t b)
{
  return lqi_factor_square(f, triangle, b) + LQI_BLOCK * LQI_BLOCK;
}

/* Block row b in `rows`, as it is in a triangle that is not packed, to its place in one that is. */
static void pack_rows(const struct lqi_factor *f, const float *rows, size_t b, float *triangle)
{
  size_t ld = lqi_upper_ld(f->padded, b * LQI_BLOCK);
  float *to = triangle + packed_at(f, b);
  for (size_t i = 0; i < LQI_BLOCK; i++)
    memcpy(to + i * LQI_BLOCK, rows + i * ld, LQI_BLOCK * sizeof *to);
  lqi_pack_f32(f->kern, rows + LQI_BLOCK, ld, LQI_BLOCK, ld - LQI_BLOCK,
               to + LQI_BLOCK * LQI_BLOCK);
}

/* A block row that is not packed. */
static void read_rows(const struct lqi_factor *f, const float *triangle, size_t b, float *rows)
{
  size_t first = b * LQI_BLOCK, bytes = LQI_BLOCK * lqi_upper_ld(f->padded, first) * sizeof *rows;
  memcpy(rows, triangle + lqi_upper_at(f->padded, first, first), bytes);
}

/* Quotients of a row by one number, or by one for each element; in steps that compilers turn into
 * vectors. */
static void divide(float *row, const float *by, float own, size_t n)
{
  for (size_t j = 0; j < n; j += DIVIDED) {
    if (by != NULL)
      for (size_t k = 0; k < DIVIDED; k++)
        row[j + k] /= by[j + k];
    else
      for (size_t k = 0; k < DIVIDED; k++)
        row[j + k] /= own;
  }
}

/*
 * Divides what lies beyond the diagonal, columns by their diagonal, or, inverted, rows; and packs
 * it. Block rows grow by this, so the last one moves first, by way of `room`: the diagonal, then a
 * block row.
 */
static void make_unit(struct lqi_factor *f, int inverted, float *room)
{
  float *diagonal = room, *rows = room + f->padded;
  for (size_t i = 0; i < f->padded; i++) {
    double d = diagonal[i] = f->upper[lqi_upper_at(f->padded, i, i)];
    if (i < f->n)
      f->cost[i] = inverted ? 1.0 / (d * d) : d * d;
  }
  for (size_t b = f->padded / LQI_BLOCK; b-- != 0;) {
    size_t first = b * LQI_BLOCK, ld = lqi_upper_ld(f->padded, first);
    read_rows(f, f->upper, b, rows);
    for (size_t i = 0; i < LQI_BLOCK; i++)
      divide(rows + i * ld, inverted ? NULL : diagonal + first, diagonal[first + i], ld);
    pack_rows(f, rows, b, f->upper);
  }
}

/* Work space, and the place of a triangle in binary64 in it. */
struct room {
  void *scratch;
  double *wide;
  uint64_t scratch_bytes, wide_bytes;
};

/* 0, or the column (by position, from 1) where it failed; in binary32. */
static size_t factor_f32(struct lqi_calibration *c, const double *damped, double scale,
                         int inverted, void *scratch, const struct lqi_par *par)
{
  struct lqi_factor *f = &c->factor;
  const struct lqi_kernels *kern = c->moments.kern;
  lqi_moments_gather_f32(&c->moments, f->order, damped, scale, 1, f->upper, par);
  size_t failed = lqi_cholesky_f32(kern, f->upper, f->padded, scratch, par);
  if (failed != 0)
    return failed;
  if (inverted)
    lqi_invert_lower_f32(kern, f->upper, f->padded, scratch, par);
  lqi_triangle_reverse_f32(f->upper, f->padded, par);
  return 0;
}

/* The same in binary64, rounded at the end. */
static size_t factor_f64(struct lqi_calibration *c, const double *damped, double scale,
                         int inverted, const struct room *room, const struct lqi_par *par)
{
  struct lqi_factor *f = &c->factor;
  const struct lqi_kernels *kern = c->moments.kern;
  lqi_moments_gather_f64(&c->moments, f->order, damped, scale, 1, room->wide, par);
  size_t failed = lqi_cholesky_f64(kern, room->wide, f->padded, room->scratch, par);
  if (failed != 0)
    return failed;
  if (inverted)
    lqi_invert_lower_f64(kern, room->wide, f->padded, room->scratch, par);
  lqi_triangle_reverse_f64(room->wide, f->padded, par);
  for (size_t i = 0; i < lqi_lower_at(f->padded, 0); i++)
    f->upper[i] = (float)room->wide[i];
  return 0;
}

/* Damping ladder after binary32 has failed: the same in binary64, then tenfold steps up to 1. */
static lq_status climb(struct lqi_calibration *c, const double *diagonal, double *damped,
                       double scale, int inverted, const struct lqi_par *par, struct lqi_text *why)
{
  struct lqi_factor *f = &c->factor;
  struct room room = {.scratch_bytes = lqi_factor_scratch(f->n, sizeof(double)),
                      .wide_bytes = lqi_lower_at(f->padded, 0) * sizeof(double)};
  room.scratch = lqi_alloc(&c->mem, room.scratch_bytes);
  room.wide = lqi_alloc(&c->mem, room.wide_bytes);
  size_t failed = 1;
  if (room.scratch != NULL && room.wide != NULL)
    for (;;) {
      damp(f, diagonal, f->damping, damped);
      failed = factor_f64(c, damped, scale, inverted, &room, par);
      if (failed == 0 || f->damping >= 1.0)
        break;
      f->damping = f->damping < 0.1 ? 10.0 * f->damping : 1.0;
    }
  lq_status s = room.scratch == NULL || room.wide == NULL ? LQ_E_MEMORY : LQ_OK;
  lqi_free(&c->mem, room.scratch, room.scratch_bytes);
  lqi_free(&c->mem, room.wide, room.wide_bytes);
  if (s != LQ_OK || failed == 0)
    return s;
  size_t position = f->padded - failed < f->n ? f->padded - failed : 0;
  lqi_fail(why, LQ_E_SINGULAR, "the Hessian cannot be factored at column ", NULL);
  lqi_text_add_u64(why, f->order[position]);
  return LQ_E_SINGULAR;
}

/* Whatever cannot be told from no correction must give the bytes of none. */
static int is_corrected(const struct lqi_calibration *c, const struct lqi_params *params)
{
  return params->input_correction > 0.0 && lqi_calibration_is_paired(c) &&
         !lqi_moments_are_equal(&c->moments);
}

/* f->pull from U, which is neither divided nor packed yet; `room` is for a block row. */
static lq_status make_pull(struct lqi_calibration *c, double share, float *room,
                           const struct lqi_par *par, struct lqi_text *why)
{
  struct lqi_factor *f = &c->factor;
  size_t elements = lqi_lower_at(f->padded, 0);
  uint64_t workers = lqi_min_u64(lqi_par_workers(par), f->padded / LQI_BLOCK);
  uint64_t bytes = workers * lqi_pull_room(f->n) * sizeof(float);
  f->pull = lqi_alloc(&c->mem, packed_bytes(f));
  float *work = lqi_alloc(&c->mem, bytes);
  lq_status s = f->pull == NULL || work == NULL ? LQ_E_MEMORY : LQ_OK;
  if (s == LQ_OK) {
    struct lqi_pull pull = {.h = &c->moments,
                            .order = f->order,
                            .upper = f->upper,
                            .share = share,
                            .scale = 2.0 / (double)c->moments.rows / f->mean,
                            .out = f->pull,
                            .work = work,
                            .workers = (uint32_t)workers};
    lqi_pull_f32(&pull, par);
    if (!lqi_is_finite(f->kern->absmax[lqi_float_index(LQ_F32)](f->pull, elements)))
      s = lqi_fail(why, LQ_E_NONFINITE, "the two inputs are too far apart to be corrected for",
                   NULL);
  }
  lqi_free(&c->mem, work, bytes);
  for (size_t b = f->padded / LQI_BLOCK; s == LQ_OK && b-- != 0;) {
    read_rows(f, f->pull, b, room);
    pack_rows(f, room, b, f->pull);
  }
  return s;
}

static lq_status make_factor(struct lqi_calibration *c, const struct lqi_params *params,
                             double *diagonal, const struct lqi_par *par, struct lqi_text *why)
{
  struct lqi_factor *f = &c->factor;
  double *damped = diagonal + f->n;
  int corrected = is_corrected(c, params), inverted = corrected || !params->static_groups;
  read_diagonal(c, params, diagonal);
  lq_status s = make_order(c, params, diagonal);
  if (s != LQ_OK)
    return s;
  double scale = 2.0 / (double)c->moments.rows / f->mean;
  uint64_t bytes = lqi_factor_scratch(f->n, sizeof(float));
  void *scratch = lqi_alloc(&c->mem, bytes);
  if (scratch == NULL)
    return LQ_E_MEMORY;
  f->damping = params->damping > LEAST_DAMPING ? params->damping : LEAST_DAMPING;
  damp(f, diagonal, f->damping, damped);
  size_t failed = factor_f32(c, damped, scale, inverted, scratch, par);
  if (failed != 0)
    s = climb(c, diagonal, damped, scale, inverted, par, why);
  if (s == LQ_OK && corrected)
    s = make_pull(c, params->input_correction, scratch, par, why);
  if (s == LQ_OK)
    make_unit(f, inverted, scratch);
  lqi_free(&c->mem, scratch, bytes);
  f->running = inverted;
  return s;
}

static void free_factor(struct lqi_calibration *c)
{
  struct lqi_factor *f = &c->factor;
  lqi_free(&c->mem, f->order, f->n * sizeof *f->order);
  lqi_free(&c->mem, f->upper, f->upper != NULL ? packed_bytes(f) : 0);
  lqi_free(&c->mem, f->pull, f->pull != NULL ? packed_bytes(f) : 0);
  lqi_free(&c->mem, f->cost, f->n * sizeof *f->cost);
  lqi_free(&c->mem, f->dead, f->n);
  *f = (struct lqi_factor){.n = 0};
}

void lqi_calibration_changed(struct lqi_calibration *c)
{
  free_factor(c);
  c->has_factor = 0;
}

static int serves(const struct lqi_calibration *c, const struct lqi_params *p, uint64_t group)
{
  const struct lqi_params *q = &c->made_for;
  return c->has_factor && p->order == q->order && p->static_groups == q->static_groups &&
         p->damping == q->damping && p->compat == q->compat &&
         p->input_correction == q->input_correction &&
         (p->order != LQ_ORDER_GROUPS || group == c->group);
}

lq_status lqi_calibration_factor(struct lqi_calibration *c, const struct lqi_params *params,
                                 uint64_t group, const struct lqi_par *par, struct lqi_text *why)
{
  struct lqi_factor *f = &c->factor;
  if (serves(c, params, group))
    return LQ_OK;
  lqi_calibration_changed(c);
  lqi_moments_flush(&c->moments, par);
  f->n = c->moments.n;
  f->padded = c->moments.padded;
  f->kern = c->moments.kern;
  c->group = group;
  f->order = lqi_alloc(&c->mem, f->n * sizeof *f->order);
  f->upper = lqi_alloc(&c->mem, packed_bytes(f));
  f->cost = lqi_alloc(&c->mem, f->n * sizeof *f->cost);
  f->dead = lqi_alloc(&c->mem, f->n);
  double *diagonal = lqi_alloc(&c->mem, 2 * f->n * sizeof *diagonal);
  lq_status s = LQ_E_MEMORY;
  if (f->order != NULL && f->upper != NULL && f->cost != NULL && f->dead != NULL &&
      diagonal != NULL)
    s = make_factor(c, params, diagonal, par, why);
  lqi_free(&c->mem, diagonal, 2 * f->n * sizeof *diagonal);
  if (s != LQ_OK) {
    free_factor(c);
    return s;
  }
  c->made_for = *params;
  c->has_factor = 1;
  return LQ_OK;
}
