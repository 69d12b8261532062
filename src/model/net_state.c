/*
 * net_state.c - the memory of a step: hidden states, inputs and outputs, keys and values.
 *
 * Must not know: what is computed in it.
 */
#include "net.h"

#include "rope.h"

#include <stdlib.h>

static size_t larger(size_t a, size_t b)
{
  return a > b ? a : b;
}

static size_t heads_width(const spec *s)
{
  return (size_t)(s->heads * s->head_dim);
}

static size_t x_width(const spec *s)
{
  return larger(larger((size_t)s->hidden, (size_t)s->embedding), heads_width(s));
}

/* Outputs of NET_QKV and NET_UP, of NET_O, and the projected end of OPT. */
static size_t wide_width(const spec *s)
{
  size_t qkv = heads_width(s) + 2 * (size_t)(s->kv_heads * s->head_dim);
  size_t up = (size_t)s->feed_forward * (s->gated ? 2 : 1);

  return larger(larger(qkv, up), larger((size_t)s->hidden, (size_t)s->embedding));
}

uint64_t net_state_row_bytes(const net *n)
{
  const spec *s = &n->spec;
  uint64_t keys = 2 * s->kv_heads * s->head_dim;

  return (s->hidden + x_width(s) + wide_width(s) + keys) * sizeof(float);
}

/* a * b floats of the pool; NULL where that does not fit either. */
static float *take(const net *n, size_t a, size_t b)
{
  if (b != 0 && a > SIZE_MAX / 4 / sizeof(float) / b)
    return NULL;
  return pool_take(n->memory, a * b * sizeof(float));
}

static bool take_positions(const net *n, net_state *s)
{
  size_t half = (size_t)n->spec.head_dim / 2;

  if (!n->frequencies)
    return true;
  s->cosines = take(n, s->capacity, half);
  s->sines = take(n, s->capacity, half);
  if (!s->cosines || !s->sines)
    return false;
  rope_tables(&n->spec, n->frequencies, s->capacity, s->cosines, s->sines);
  return true;
}

bool net_state_create(const net *n, size_t sequences, size_t capacity, size_t length_max,
                      bool cached, net_state **out, fail *why)
{
  const spec *p = &n->spec;
  size_t keys = (size_t)(p->kv_heads * p->head_dim);
  net_state *s;

  *out = NULL;
  if (capacity > p->max_positions && (p->learned_positions || p->rope.type == ROPE_DYNAMIC))
    return fail_set(why, FAIL_LIMIT, n->path,
                    "%zu positions; the model has no more than max_position_embeddings, %llu",
                    capacity, (unsigned long long)p->max_positions);
  s = calloc(1, sizeof *s);
  if (!s)
    return fail_memory(why, n->path);
  *s = (net_state){.sequences = sequences,
                   .capacity = capacity,
                   .rows_max = sequences * length_max,
                   .cached = cached,
                   .kept = cached ? (size_t)p->layers : 1};
  s->hidden = take(n, s->rows_max, (size_t)p->hidden);
  s->x = take(n, s->rows_max, x_width(p));
  s->wide = take(n, s->rows_max, wide_width(p));
  s->keys = take(n, sequences * s->kept * keys, capacity);
  s->values = take(n, sequences * s->kept * keys, capacity);
  if (!s->hidden || !s->x || !s->wide || !s->keys || !s->values || !take_positions(n, s)) {
    net_state_destroy(n, s);
    return fail_set(why, FAIL_NOMEM, n->path, "out of memory for %zu rows of activations",
                    sequences * length_max);
  }
  *out = s;
  return true;
}

void net_state_destroy(const net *n, net_state *s)
{
  if (!s)
    return;
  pool_give(n->memory, s->hidden);
  pool_give(n->memory, s->x);
  pool_give(n->memory, s->wide);
  pool_give(n->memory, s->keys);
  pool_give(n->memory, s->values);
  pool_give(n->memory, s->cosines);
  pool_give(n->memory, s->sines);
  free(s);
}
