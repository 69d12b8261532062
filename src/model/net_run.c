/*
 * net_run.c - a step through a network: embedding, the groups of each layer, the end.
 *
 * Must not know: how attention is computed (attention.c), where weights come from.
 */
#include "attention.h"
#include "net.h"
#include "net_parts.h"
#include "rows.h"

#include "../files/interrupt.h"

#include <string.h>

enum { ROWS_A_TASK = 8 };

/* Work over the rows of a state; which fields are used depends on the work. */
typedef struct rows_work {
  const net *n;
  net_state *s;
  const int32_t *ids;
  const net_norm *norm;
  const float *from;
  float *to;
  size_t width, stride;
  _Atomic lq_status status;
} rows_work;

static size_t rows_of(const net_state *s)
{
  return s->sequences * s->length;
}

/* ---- embedding ---- */

static void embed_rows(void *arg, size_t first, size_t count)
{
  rows_work *w = arg;
  const net *n = w->n;
  size_t width = (size_t)n->spec.embedding;

  for (size_t i = first; i < first + count; i++) {
    lq_status s = lq_dequantize_rows(n->embedding.weight, (uint64_t)w->ids[i], 1, LQ_F32,
                                     w->to + i * width, width * sizeof(float), n->one);

    if (s != LQ_OK)
      w->status = s;
  }
}

static void position_rows(void *arg, size_t first, size_t count)
{
  rows_work *w = arg;
  const net *n = w->n;
  size_t width = (size_t)n->spec.hidden;

  for (size_t i = first; i < first + count; i++) {
    uint64_t position = w->s->past + i % w->s->length + spec_position_offset(&n->spec);
    float *hidden = w->s->hidden + i * width, *own = w->s->wide + i * width;
    lq_status s = lq_dequantize_rows(n->positions.weight, position, 1, LQ_F32, own,
                                     width * sizeof(float), n->one);

    if (s != LQ_OK)
      w->status = s;
    for (size_t k = 0; k < width; k++)
      hidden[k] += own[k];
  }
}

static bool check_step(const net *n, const net_state *s, const int32_t *ids, size_t count,
                       size_t length, fail *why)
{
  if (count > s->rows_max || length == 0 || length > s->capacity - s->past)
    return fail_set(why, FAIL_LIMIT, n->path, "%zu positions after %zu; there is room for %zu",
                    length, s->past, s->capacity);
  for (size_t i = 0; i < count; i++)
    if (ids[i] < 0 || (uint64_t)ids[i] >= n->spec.vocab)
      return fail_set(why, FAIL_DATA, n->path, "token %d; the vocabulary has %llu", (int)ids[i],
                      (unsigned long long)n->spec.vocab);
  return true;
}

static bool multiply(const net *n, const net_linear *l, size_t rows, const float *x,
                     size_t x_stride, float *y, size_t y_stride, fail *why)
{
  lq_status s =
      lq_matmul(l->weight, rows, LQ_F32, x, x_stride, l->bias, LQ_F32, y, y_stride, n->many);

  return s == LQ_OK || part_fails(n, l->name, s, why);
}

bool net_embed(const net *n, net_state *s, const int32_t *ids, size_t sequences, size_t length,
               fail *why)
{
  size_t rows = sequences * length, width = (size_t)n->spec.embedding;
  bool projected = n->project_in.weight != NULL;
  rows_work w = {.n = n, .s = s, .ids = ids, .to = projected ? s->x : s->hidden};

  if (!check_step(n, s, ids, rows, length, why))
    return false;
  s->sequences = sequences;
  s->length = length;
  team_rows(n->workers, rows, ROWS_A_TASK, embed_rows, &w);
  if (projected &&
      !multiply(n, &n->project_in, rows, s->x, width, s->hidden, (size_t)n->spec.hidden, why))
    return false;
  if (n->positions.weight)
    team_rows(n->workers, rows, ROWS_A_TASK, position_rows, &w);
  return w.status == LQ_OK || part_fails(n, n->embedding.name, w.status, why);
}

/* ---- the groups of a layer ---- */

static void norm_rows(void *arg, size_t first, size_t count)
{
  const rows_work *w = arg;
  const spec *p = &w->n->spec;

  for (size_t i = first; i < first + count; i++) {
    const float *from = w->from + i * w->width;
    float *to = w->to + i * w->width;

    if (p->family == SPEC_LLAMA)
      rows_rms_norm(to, from, w->width, w->norm->weight, p->norm_eps);
    else
      rows_layer_norm(to, from, w->width, w->norm->weight, w->norm->bias, p->norm_eps);
  }
}

static void norm(const net *n, net_state *s, const net_norm *own, float *to)
{
  rows_work w = {
      .n = n, .s = s, .norm = own, .from = s->hidden, .to = to, .width = (size_t)n->spec.hidden};

  team_rows(n->workers, rows_of(s), ROWS_A_TASK, norm_rows, &w);
}

static void activate_rows(void *arg, size_t first, size_t count)
{
  const rows_work *w = arg;
  const spec *p = &w->n->spec;

  for (size_t i = first; i < first + count; i++) {
    float *row = w->to + i * w->stride;

    if (p->gated)
      rows_activate_gated(p->act, row, row + w->width, w->width);
    else
      rows_activate(p->act, row, w->width);
  }
}

static void add_rows(void *arg, size_t first, size_t count)
{
  const rows_work *w = arg;
  const float *from = w->from + first * w->width;
  float *to = w->to + first * w->width;

  for (size_t i = 0; i < count * w->width; i++)
    to[i] += from[i];
}

/* What goes into attention or into the feed-forward part. */
static const float *normed(const net *n, const net_norm *own, net_state *s)
{
  if (!n->spec.norm_first)
    return s->hidden;
  norm(n, s, own, s->x);
  return s->x;
}

bool net_input_of(const net *n, const net_layer *layer, net_group_id g, net_state *s, net_input *in,
                  fail *why)
{
  const net_group *group = &layer->group[g];
  net_input result = {
      .x = s->x, .rows = rows_of(s), .columns = group->columns, .stride = group->columns};
  rows_work w = {.n = n, .s = s, .to = s->wide, .width = group->columns};

  switch (g) {
  case NET_QKV: result.x = normed(n, &layer->attention, s); break;
  case NET_UP: result.x = normed(n, &layer->feed_forward, s); break;
  case NET_O:
    if (!attention_run(n, layer, s, why))
      return false;
    break;
  default: /* the gate's half of a row takes the product */
    result.x = s->wide;
    result.stride = w.stride = layer->group[NET_UP].width;
    team_rows(n->workers, result.rows, ROWS_A_TASK, activate_rows, &w);
  }
  if (in)
    *in = result;
  return true;
}

float *net_input_place(const net_layer *layer, net_group_id g, net_state *s, size_t *stride)
{
  *stride = g == NET_DOWN ? layer->group[NET_UP].width : layer->group[g].columns;
  return g == NET_DOWN ? s->wide : s->x;
}

/* Where net_input_of has left the input. */
static const float *input_at(const net *n, net_group_id g, const net_state *s)
{
  if (g == NET_DOWN)
    return s->wide;
  return g == NET_O || n->spec.norm_first ? s->x : s->hidden;
}

bool net_output_of(const net *n, const net_layer *layer, net_group_id g, net_state *s, fail *why)
{
  const net_group *group = &layer->group[g];
  const float *x = input_at(n, g, s);
  size_t x_stride = g == NET_DOWN ? layer->group[NET_UP].width : group->columns;
  float *y = g == NET_DOWN ? s->x : s->wide;
  size_t at = 0;

  for (size_t i = 0; i < group->count; i++) {
    if (!multiply(n, &group->linear[i], rows_of(s), x, x_stride, y + at, group->width, why))
      return false;
    at += group->linear[i].rows;
  }
  if (g == NET_O || g == NET_DOWN) {
    rows_work w = {.n = n, .from = y, .to = s->hidden, .width = group->width};

    team_rows(n->workers, rows_of(s), ROWS_A_TASK, add_rows, &w);
    if (!n->spec.norm_first)
      norm(n, s, g == NET_O ? &layer->attention : &layer->feed_forward, s->hidden);
  }
  return true;
}

bool net_layer_run(const net *n, net_layer *layer, net_state *s, net_hook hook, void *user,
                   fail *why)
{
  for (net_group_id g = NET_QKV; g < NET_GROUPS; g++) {
    net_input in;

    if (!net_input_of(n, layer, g, s, &in, why) || (hook && !hook(user, layer, g, &in, why)) ||
        !net_output_of(n, layer, g, s, why))
      return false;
  }
  return true;
}

/* ---- the end ---- */

bool net_finish(const net *n, net_state *s, fail *why)
{
  size_t rows = rows_of(s), hidden = (size_t)n->spec.hidden, width = (size_t)n->spec.embedding;

  if (n->spec.final_norm)
    norm(n, s, &n->final, s->x);
  else
    memcpy(s->x, s->hidden, rows * hidden * sizeof(float));
  if (n->project_out.weight) {
    if (!multiply(n, &n->project_out, rows, s->x, hidden, s->wide, width, why))
      return false;
    memcpy(s->x, s->wide, rows * width * sizeof(float));
  }
  if (s->cached)
    s->past += s->length;
  return true;
}

bool net_run(const net *n, net_state *s, fail *why)
{
  for (size_t i = 0; i < (size_t)n->spec.layers; i++)
    if (!interrupt_check(why) || !net_layer_run(n, &n->layers[i], s, NULL, NULL, why))
      return false;
  return net_finish(n, s, why);
}

bool net_logits(const net *n, const float *x, size_t rows, float *logits, fail *why)
{
  const net_linear *head = n->head.weight ? &n->head : &n->embedding;

  return multiply(n, head, rows, x, (size_t)n->spec.embedding, logits, (size_t)n->spec.vocab, why);
}
