/*
 * attention.c - see attention.h.
 *
 * Two passes over tasks. The first puts the keys and values of a sequence and key-value head in
 * their places: keys [position, element], values [element, position], so that both products are
 * lq_matmul: scores = Q K^T with K as the weight, heads = P V^T^T with the transposed V as the
 * weight. The second takes a block of queries of all heads that share a key-value head, and no more
 * keys than its last query sees.
 */
#include "attention.h"

#include "rope.h"
#include "rows.h"

#include <stdatomic.h>
#include <string.h>

enum { TILE = 16 };

typedef struct attention {
  const net *n;
  const net_layer *layer;
  const net_state *s;
  size_t heads, kv_heads, dim, share; /* share: heads of a key-value head */
  size_t width;                       /* of a row of s->wide */
  size_t block, blocks; /* queries of a task, tasks of a sequence and key-value head */
  float *keys, *values; /* of this layer */
  float scale;
  size_t window; /* 0: no bound */
  _Atomic lq_status status;
} attention;

/* Queries at first .. first + count - 1, which see keys at begin .. begin + span - 1. */
typedef struct block {
  const attention *a;
  size_t sequence, kv_head, at, first, count, begin, span;
  float *q, *scores, *packed, *out;
} block;

static const float *row_of(const attention *a, size_t sequence, size_t i)
{
  return a->s->wide + (sequence * a->s->length + i) * a->width;
}

/* Norm and rotation of one head, in place. */
static void place_head(const attention *a, float *head, const net_norm *norm, size_t position)
{
  const net_state *s = a->s;

  if (norm->weight)
    rows_rms_norm(head, head, a->dim, norm->weight, a->n->spec.norm_eps);
  if (s->cosines)
    rope_rotate(head, a->dim, s->cosines + position * (a->dim / 2),
                s->sines + position * (a->dim / 2));
}

static void store_task(void *arg, uint32_t task)
{
  const attention *a = arg;
  const net_state *s = a->s;
  size_t sequence = task / a->kv_heads, head = task % a->kv_heads;
  size_t k_at = (a->heads + head) * a->dim, v_at = k_at + a->kv_heads * a->dim;
  float *keys = a->keys + task * s->capacity * a->dim + s->past * a->dim;
  float *values = a->values + task * s->capacity * a->dim + s->past;

  for (size_t i = 0; i < s->length; i++) {
    memcpy(keys + i * a->dim, row_of(a, sequence, i) + k_at, a->dim * sizeof *keys);
    place_head(a, keys + i * a->dim, &a->layer->k, s->past + i);
  }
  for (size_t i = 0; i < s->length; i += TILE)
    for (size_t d = 0; d < a->dim; d++)
      for (size_t t = i; t < s->length && t < i + TILE; t++)
        values[d * s->capacity + t] = row_of(a, sequence, t)[v_at + d];
}

/* Rows (head of the share, query). */
static void gather_queries(const block *b)
{
  const attention *a = b->a;

  for (size_t h = 0; h < a->share; h++)
    for (size_t i = 0; i < b->count; i++) {
      float *q = b->q + (h * b->count + i) * a->dim;
      const float *row = row_of(a, b->sequence, b->at + i);

      memcpy(q, row + (b->kv_head * a->share + h) * a->dim, a->dim * sizeof *q);
      place_head(a, q, &a->layer->q, b->first + i);
    }
}

/* Scores become shares; those of keys that a query does not see become zero. */
static void weigh(const block *b)
{
  const attention *a = b->a;

  for (size_t r = 0; r < a->share * b->count; r++) {
    size_t position = b->first + r % b->count;
    size_t end = position + 1 - b->begin, from = 0;
    float *row = b->scores + r * b->span;

    if (a->window && position + 1 > a->window + b->begin)
      from = position + 1 - a->window - b->begin;
    memset(row, 0, from * sizeof *row);
    rows_softmax(row + from, end - from, a->scale);
    memset(row + end, 0, (b->span - end) * sizeof *row);
  }
}

/* y = x W^T for W of [rows, columns] in memory. */
static lq_status multiply(const attention *a, const float *w, size_t rows, size_t columns, size_t m,
                          const float *x, float *y)
{
  const uint64_t dims[2] = {rows, columns};
  lq_alloc alloc = pool_alloc(a->n->memory);
  lq_tensor *t;
  lq_status s = lq_tensor_wrap(&alloc, LQ_F32, 2, dims, w, rows * columns * sizeof *w, &t);

  if (s == LQ_OK)
    s = lq_matmul(t, m, LQ_F32, x, columns, NULL, LQ_F32, y, rows, a->n->one);
  lq_tensor_destroy(t);
  return s;
}

static lq_status attend(const block *b)
{
  const attention *a = b->a;
  const net_state *s = a->s;
  size_t place = (b->sequence * a->kv_heads + b->kv_head) * s->capacity * a->dim;
  size_t m = a->share * b->count;
  const float *values = a->values + place + b->begin;
  lq_status status;

  gather_queries(b);
  status = multiply(a, a->keys + place + b->begin * a->dim, b->span, a->dim, m, b->q, b->scores);
  if (status != LQ_OK)
    return status;
  weigh(b);
  for (size_t d = 0; d < a->dim; d++)
    memcpy(b->packed + d * b->span, values + d * s->capacity, b->span * sizeof *values);
  status = multiply(a, b->packed, a->dim, b->span, m, b->scores, b->out);
  if (status != LQ_OK)
    return status;
  for (size_t h = 0; h < a->share; h++)
    for (size_t i = 0; i < b->count; i++)
      memcpy(s->x + (b->sequence * s->length + b->at + i) * a->heads * a->dim +
                 (b->kv_head * a->share + h) * a->dim,
             b->out + (h * b->count + i) * a->dim, a->dim * sizeof(float));
  return LQ_OK;
}

static void attend_task(void *arg, uint32_t task)
{
  attention *a = arg;
  const net_state *s = a->s;
  size_t unit = task / a->blocks;
  /* Long blocks first: the last tasks to be drawn are short. */
  block b = {.a = a,
             .sequence = unit / a->kv_heads,
             .kv_head = unit % a->kv_heads,
             .at = (a->blocks - 1 - task % a->blocks) * a->block};
  size_t end, m;

  b.first = s->past + b.at;
  b.count = s->length - b.at < a->block ? s->length - b.at : a->block;
  end = b.first + b.count;
  if (a->window && b.first + 1 > a->window)
    b.begin = b.first + 1 - a->window;
  b.span = end - b.begin;
  m = a->share * b.count;
  b.q = pool_take(a->n->memory, (2 * m * a->dim + (m + a->dim) * b.span) * sizeof(float));
  if (!b.q) {
    atomic_store(&a->status, LQ_E_MEMORY);
    return;
  }
  b.out = b.q + m * a->dim;
  b.scores = b.out + m * a->dim;
  b.packed = b.scores + m * b.span;
  lq_status status = attend(&b);
  if (status != LQ_OK)
    atomic_store(&a->status, status);
  pool_give(a->n->memory, b.q);
}

/* Some 128 rows of scores a task, so that decoding the keys is shared by many queries, and not more
 * than 64 queries, as half a block of keys is computed in vain. */
static size_t block_size(size_t share)
{
  size_t n = 128 / share;

  return n < 16 ? 16 : n > 64 ? 64 : n;
}

bool attention_run(const net *n, const net_layer *layer, net_state *s, fail *why)
{
  const spec *p = &n->spec;
  attention a = {.n = n,
                 .layer = layer,
                 .s = s,
                 .heads = (size_t)p->heads,
                 .kv_heads = (size_t)p->kv_heads,
                 .dim = (size_t)p->head_dim,
                 .share = (size_t)(p->heads / p->kv_heads),
                 .width = layer->group[NET_QKV].width,
                 .scale = spec_score_scale(p, layer->index),
                 .window = (size_t)spec_window(p, layer->index)};
  size_t units = s->sequences * a.kv_heads, of_layer = units * s->capacity * a.dim;

  a.keys = s->keys + layer->index % s->kept * of_layer;
  a.values = s->values + layer->index % s->kept * of_layer;
  a.block = block_size(a.share);
  a.blocks = (s->length + a.block - 1) / a.block;
  team_run(n->workers, (uint32_t)units, store_task, &a);
  team_run(n->workers, (uint32_t)(units * a.blocks), attend_task, &a);
  if (atomic_load(&a.status) == LQ_OK)
    return true;
  return fail_set(why, a.status == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_DATA, n->path,
                  "attention of layer %zu: %s", layer->index, lq_status_string(a.status));
}
