/*
 * planes.h - a tensor taken apart into planes whose memory is the test's, and put together again.
 *
 * For test_planes.c and test_planes_text.c. Each plane has a block of exactly its size, so that the
 * address sanitizer sees a read past its end.
 */
#ifndef TESTS_PLANES_H
#define TESTS_PLANES_H

#include "helpers.h"

enum { MOST = 12, ROWS = 33, COLUMNS = 70 };

static uint64_t random_state = 31;
static float weights[ROWS * COLUMNS];

/* A tensor taken apart: planes with memory of their own, each at a multiple of 64. */
struct parts {
  lq_plane p[MOST];
  char *memory[MOST];
  uint32_t n;
  uint64_t dims[8];
  uint32_t ndim;
  int32_t layout;
};

static inline void take_apart(const lq_tensor *t, int32_t layout, struct parts *out)
{
  memset(out, 0, sizeof *out);
  out->layout = layout;
  out->ndim = lq_tensor_ndim(t);
  for (uint32_t i = 0; i < out->ndim; i++)
    out->dims[i] = lq_tensor_dim(t, i);
  out->n = lq_tensor_plane_count(t, layout);
  if (!CHECK(out->n <= MOST, "%u planes", out->n))
    exit(2);
  for (uint32_t i = 0; i < out->n; i++) {
    lq_plane *p = &out->p[i];
    p->size = sizeof *p;
    CHECK(lq_tensor_plane(t, layout, i, p) == LQ_OK, "plane %u", i);
    CHECK(elements(p->ndim, p->dims) * element_size(p->dtype) == p->bytes,
          "%s: shape and bytes differ", p->name);
    /* Exactly as many bytes, so that the sanitizer sees a read past the end. */
    out->memory[i] = test_alloc((size_t)p->bytes);
    memcpy(out->memory[i], p->data, (size_t)p->bytes);
    p->data = out->memory[i];
  }
}

static inline void free_parts(struct parts *s)
{
  for (uint32_t i = 0; i < s->n; i++)
    free(s->memory[i]);
}

static inline lq_plane *part(struct parts *s, const char *name)
{
  for (uint32_t i = 0; i < s->n; i++)
    if (!strcmp(s->p[i].name, name))
      return &s->p[i];
  return NULL;
}

static inline lq_status load(const struct parts *s, const char *options, int with_dims, int borrow,
                             lq_tensor **out)
{
  lq_config *config = new_config(options);
  *out = (lq_tensor *)&random_state;
  lq_status st = lq_tensor_from_planes(config, s->layout, s->p, s->n, with_dims ? s->ndim : 0,
                                       with_dims ? s->dims : NULL, borrow, out);
  if (st != LQ_OK) {
    CHECK(*out == NULL, "out is not NULL after status %d", st);
    CHECK(lq_config_error_text(config)[0] != 0, "no text for status %d", st);
  } else {
    CHECK(*out != NULL && lq_config_error_text(config)[0] == 0, "LQ_OK, but text \"%s\"",
          lq_config_error_text(config));
  }
  lq_config_destroy(config);
  return st;
}

/* The planes are refused with that status, copied or borrowed. */
static inline void refused(const struct parts *s, lq_status want, const char *what)
{
  for (int borrow = 0; borrow < 2; borrow++) {
    lq_tensor *t;
    lq_status st = load(s, "", 1, borrow, &t);
    CHECK(st == want, "%s, borrow %d: status %d, not %d", what, borrow, st, want);
    if (st == LQ_OK)
      lq_tensor_destroy(t);
  }
}

static inline lq_tensor *make(const char *options)
{
  const uint64_t dims[2] = {ROWS, COLUMNS};
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, weights, options);
  if (!t)
    exit(2);
  return t;
}

static inline struct parts parts_of(const char *options, int32_t layout)
{
  struct parts s;
  lq_tensor *t = make(options);
  take_apart(t, layout, &s);
  lq_tensor_destroy(t);
  return s;
}

static inline void fill_weights(void)
{
  for (int i = 0; i < ROWS * COLUMNS; i++)
    weights[i] = rng_normal(&random_state);
}

#endif
