/*
 * affine.h - an affine tensor taken apart by reading its native planes bit by bit, and ranges in
 * double precision.
 *
 * For test_affine.c and test_gptq.c; nothing here uses the library's own packing.
 */
#ifndef TESTS_AFFINE_H
#define TESTS_AFFINE_H

#include "helpers.h"

/* Codes, scales and zero points of a tensor, row by row. */
struct parsed {
  uint64_t rows, columns, groups;
  int bits, symmetric;
  int64_t group_size;   /* -1: the whole row */
  const int32_t *g_idx; /* NULL: column / size */
  uint8_t *codes;       /* [rows, columns] */
  float *scales;        /* [rows, groups]; NULL where nested */
  uint8_t *zeros;
};

/* Code i of a stream of `bits` bits each. */
static inline unsigned bits_at(const uint8_t *stream, uint64_t i, int bits)
{
  unsigned v = 0;
  for (int k = 0; k < bits; k++) {
    uint64_t at = i * (uint64_t)bits + (uint64_t)k;
    v |= (unsigned)(stream[at / 8] >> at % 8 & 1) << k;
  }
  return v;
}

static inline uint64_t group_of(const struct parsed *p, uint64_t column)
{
  if (p->g_idx)
    return (uint64_t)p->g_idx[column];
  return p->group_size < 0 ? 0 : column / (uint64_t)p->group_size;
}

static inline void free_parsed(struct parsed *p)
{
  free(p->codes);
  free(p->scales);
  free(p->zeros);
}

/* Where the code of a column is in its row: columns are sorted by group, then by number. */
static inline uint64_t place_of(const struct parsed *p, uint64_t column)
{
  uint64_t before = 0;
  for (uint64_t c = 0; p->g_idx && c < p->columns; c++)
    before += p->g_idx[c] < p->g_idx[column] || (p->g_idx[c] == p->g_idx[column] && c < column);
  return p->g_idx ? before : column;
}

static inline void parse_codes(const lq_plane *plane, struct parsed *p)
{
  uint64_t bytes = (p->columns * (uint64_t)p->bits + 31) / 32 * 4, dirty = 0;
  CHECK(plane->dtype == LQ_U8 && plane->ndim == 2 && plane->dims[0] == p->rows &&
            plane->dims[1] == bytes,
        "codes");
  for (uint64_t r = 0; r < p->rows; r++) {
    const uint8_t *row = (const uint8_t *)plane->data + r * bytes;
    for (uint64_t c = 0; c < p->columns; c++)
      p->codes[r * p->columns + c] = (uint8_t)bits_at(row, place_of(p, c), p->bits);
    for (uint64_t b = p->columns * (uint64_t)p->bits; b < bytes * 8; b++)
      dirty += row[b / 8] >> b % 8 & 1;
  }
  CHECK(dirty == 0, "%d bits behind the rows are set", (int)dirty);
}

/* 0 after a failed check. */
static inline int parse(const lq_tensor *t, struct parsed *p)
{
  int64_t v = 0;
  lq_plane codes, scales, zeros, index;
  memset(p, 0, sizeof *p);
  uint32_t ndim = lq_tensor_ndim(t);
  p->columns = ndim ? lq_tensor_dim(t, ndim - 1) : 1;
  p->rows = 1;
  for (uint32_t i = 0; i + 1 < ndim; i++)
    p->rows *= lq_tensor_dim(t, i);
  lq_tensor_get_i64(t, LQ_KEY_BITS, &v);
  p->bits = (int)v;
  lq_tensor_get_i64(t, LQ_KEY_SYMMETRIC, &v);
  p->symmetric = (int)v;
  lq_tensor_get_i64(t, LQ_KEY_GROUP_SIZE, &p->group_size);
  if (!CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "codes", &codes) &&
                 find_plane(t, LQ_LAYOUT_NATIVE, "scales", &scales),
             "planes"))
    return 0;
  p->groups = scales.dims[1];
  CHECK(scales.ndim == 2 && scales.dims[0] == p->rows, "scales");
  if (find_plane(t, LQ_LAYOUT_NATIVE, "g_idx", &index))
    p->g_idx = index.data;
  p->codes = test_alloc((size_t)(p->rows * p->columns));
  p->zeros = test_alloc((size_t)(p->rows * p->groups));
  parse_codes(&codes, p);
  if (scales.dtype != LQ_U8)
    p->scales = test_alloc((size_t)(p->rows * p->groups) * sizeof *p->scales);
  int stored = find_plane(t, LQ_LAYOUT_NATIVE, "zeros", &zeros);
  CHECK(stored == !p->symmetric, "zeros are stored: %d", stored);
  for (uint64_t i = 0; i < p->rows * p->groups; i++) {
    if (p->scales)
      p->scales[i] = value_at(scales.data, scales.dtype, i);
    p->zeros[i] = (uint8_t)(stored ? ((const uint8_t *)zeros.data)[i] : 1 << (p->bits - 1));
  }
  return 1;
}

/* ---- the reference in double precision ---- */

struct range {
  double lo, hi;
};

/* `defect`: a symmetric group without negative weights keeps 0 as its lower end. */
static inline struct range range_of(const float *w, uint64_t n, int symmetric, int defect)
{
  struct range r = {0, 0};
  for (uint64_t i = 0; i < n; i++) {
    r.lo = fmin(r.lo, (double)w[i]);
    r.hi = fmax(r.hi, (double)w[i]);
  }
  if (symmetric) {
    r.hi = fmax(-r.lo, r.hi);
    r.lo = r.lo < 0 || !defect ? -r.hi : r.lo;
  }
  if (r.lo == r.hi)
    r = (struct range){-1, 1};
  return r;
}

static inline double nearest_code(double w, double scale, double zero, int most)
{
  return fmin(fmax(rint(w / scale) + zero, 0), most);
}

#endif
