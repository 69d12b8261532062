/*
 * net_layer.c - the layers of a network: their tensors by name, loading and freeing them.
 *
 * Must not know: how a layer is computed.
 */
#include "net_parts.h"

#include "../files/interrupt.h"

#include <stdio.h>
#include <stdlib.h>

/* Names within a layer; NULL where a family has no such part. */
typedef struct layer_names {
  const char *layer; /* before the number */
  const char *linear[NET_GROUPS][NET_LINEARS_MAX];
  const char *attention, *feed_forward, *q, *k; /* norms */
} layer_names;

static const layer_names names_of[] = {
    [SPEC_LLAMA] = {.layer = "layers",
                    .linear = {{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                               {"self_attn.o_proj"},
                               {"mlp.gate_proj", "mlp.up_proj"},
                               {"mlp.down_proj"}},
                    .attention = "input_layernorm",
                    .feed_forward = "post_attention_layernorm",
                    .q = "self_attn.q_norm",
                    .k = "self_attn.k_norm"},
    [SPEC_OPT] = {.layer = "layers",
                  .linear = {{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                             {"self_attn.out_proj"},
                             {"fc1"},
                             {"fc2"}},
                  .attention = "self_attn_layer_norm",
                  .feed_forward = "final_layer_norm"},
    [SPEC_GPT2] = {.layer = "h",
                   .linear = {{"attn.c_attn"}, {"attn.c_proj"}, {"mlp.c_fc"}, {"mlp.c_proj"}},
                   .attention = "ln_1",
                   .feed_forward = "ln_2"}};

/* Rows of linear i of a group; the sum over the group is its width. */
static size_t linear_rows(const spec *s, net_group_id g, size_t i, size_t count)
{
  size_t q = (size_t)(s->heads * s->head_dim), kv = (size_t)(s->kv_heads * s->head_dim);

  switch (g) {
  case NET_QKV: return count == 1 ? q + 2 * kv : i == 0 ? q : kv;
  case NET_UP: return (size_t)s->feed_forward;
  default: return (size_t)s->hidden;
  }
}

static size_t linear_columns(const spec *s, net_group_id g)
{
  if (g == NET_O)
    return (size_t)(s->heads * s->head_dim);
  return (size_t)(g == NET_DOWN ? s->feed_forward : s->hidden);
}

static bool has_bias(const spec *s, net_group_id g)
{
  return g == NET_QKV ? s->qkv_bias : g == NET_O ? s->o_bias : s->mlp_bias;
}

static bool load_linear(const net *n, const char *module, size_t rows, size_t columns, bool bias,
                        net_linear *out, fail *why)
{
  char name[PART_NAME + 8];

  snprintf(name, sizeof name, "%s.weight", module);
  if (!part_linear(n, name, rows, columns, n->spec.family == SPEC_GPT2, out, why))
    return false;
  snprintf(name, sizeof name, "%s.bias", module);
  return !bias || part_vector(n, name, rows, &out->bias, why);
}

static bool load_group(const net *n, const layer_names *names, net_group_id g, net_layer *out,
                       fail *why)
{
  net_group *group = &out->group[g];
  char module[PART_NAME];

  group->columns = linear_columns(&n->spec, g);
  while (group->count < NET_LINEARS_MAX && names->linear[g][group->count])
    group->count++;
  for (size_t i = 0; i < group->count; i++) {
    size_t rows = linear_rows(&n->spec, g, i, group->count);

    part_name(n, module, "%s.%zu.%s", names->layer, out->index, names->linear[g][i]);
    if (!load_linear(n, module, rows, group->columns, has_bias(&n->spec, g), &group->linear[i],
                     why))
      return false;
    group->width += rows;
  }
  return true;
}

static bool load_norms(const net *n, const layer_names *names, net_layer *out, fail *why)
{
  const spec *s = &n->spec;
  bool affine = s->norm_affine, bias = s->family != SPEC_LLAMA;
  char module[PART_NAME];

  part_name(n, module, "%s.%zu.%s", names->layer, out->index, names->attention);
  if (affine && !part_norm(n, module, (size_t)s->hidden, bias, &out->attention, why))
    return false;
  part_name(n, module, "%s.%zu.%s", names->layer, out->index, names->feed_forward);
  if (affine && !part_norm(n, module, (size_t)s->hidden, bias, &out->feed_forward, why))
    return false;
  if (!s->qk_norm)
    return true;
  part_name(n, module, "%s.%zu.%s", names->layer, out->index, names->q);
  if (!part_norm(n, module, (size_t)s->head_dim, false, &out->q, why))
    return false;
  part_name(n, module, "%s.%zu.%s", names->layer, out->index, names->k);
  return part_norm(n, module, (size_t)s->head_dim, false, &out->k, why);
}

bool net_layer_load(const net *n, size_t index, net_layer *out, fail *why)
{
  const layer_names *names = &names_of[n->spec.family];

  *out = (net_layer){.index = index};
  if (load_norms(n, names, out, why) && load_group(n, names, NET_QKV, out, why) &&
      load_group(n, names, NET_O, out, why) && load_group(n, names, NET_UP, out, why) &&
      load_group(n, names, NET_DOWN, out, why))
    return true;
  net_layer_free(n, out);
  return false;
}

void net_layer_free(const net *n, net_layer *layer)
{
  for (size_t g = 0; g < NET_GROUPS; g++)
    for (size_t i = 0; i < NET_LINEARS_MAX; i++)
      part_linear_free(n, &layer->group[g].linear[i]);
  part_norm_free(n, &layer->attention);
  part_norm_free(n, &layer->feed_forward);
  part_norm_free(n, &layer->q);
  part_norm_free(n, &layer->k);
  *layer = (net_layer){0};
}

static uint64_t layer_memory(const net_layer *layer)
{
  uint64_t bytes = 0;

  for (size_t g = 0; g < NET_GROUPS; g++)
    for (size_t i = 0; i < layer->group[g].count; i++)
      bytes += lq_tensor_nbytes(layer->group[g].linear[i].weight);
  return bytes;
}

bool net_load_layers(net *n, net_loaded_fn loaded, void *user, fail *why)
{
  size_t count = (size_t)n->spec.layers;

  n->layers = calloc(count, sizeof *n->layers);
  if (!n->layers)
    return fail_memory(why, n->path);
  for (size_t i = 0; i < count; i++) {
    if (!interrupt_check(why) || !net_layer_load(n, i, &n->layers[i], why)) {
      net_free_layers(n);
      return false;
    }
    if (loaded)
      loaded(user, layer_memory(&n->layers[i]));
  }
  return true;
}

void net_free_layers(net *n)
{
  if (n->layers)
    for (size_t i = 0; i < (size_t)n->spec.layers; i++)
      net_layer_free(n, &n->layers[i]);
  free(n->layers);
  n->layers = NULL;
}

uint64_t net_memory(const net *n)
{
  const net_linear *others[] = {&n->embedding, &n->positions, &n->project_in, &n->project_out,
                                &n->head};
  uint64_t bytes = 0;

  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (others[i]->weight)
      bytes += lq_tensor_nbytes(others[i]->weight);
  if (n->layers)
    for (size_t i = 0; i < (size_t)n->spec.layers; i++)
      bytes += layer_memory(&n->layers[i]);
  return bytes;
}
