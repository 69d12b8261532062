/*
 * net.c - what a network has beside its layers: embedding, positions, final norm, head.
 *
 * Must not know: how they are computed.
 */
#include "net.h"

#include "net_parts.h"
#include "rope.h"

#include <stdlib.h>
#include <string.h>

typedef struct top_names {
  const char *prefixes[4]; /* a checkpoint of the model without its head lacks the first part */
  const char *embedding, *positions, *final;
} top_names;

static const top_names names_of[] = {
    [SPEC_LLAMA] = {{"model.", "", NULL}, "embed_tokens.weight", NULL, "norm"},
    [SPEC_OPT] = {{"model.decoder.", "decoder.", "", NULL},
                  "embed_tokens.weight",
                  "embed_positions.weight",
                  "final_layer_norm"},
    [SPEC_GPT2] = {{"transformer.", "", NULL}, "wte.weight", "wpe.weight", "ln_f"}};

/* The first prefix under which there is an embedding; without any the first, under which it then
 * misses. */
static void find_prefix(net *n, const top_names *names)
{
  char name[PART_NAME];

  for (size_t i = 0; names->prefixes[i]; i++) {
    n->prefix = names->prefixes[i];
    part_name(n, name, "%s", names->embedding);
    if (weight_find(n->weights, name))
      return;
  }
  n->prefix = names->prefixes[0];
}

static bool make_configs(net *n, fail *why)
{
  lq_alloc alloc = pool_alloc(n->memory);

  if (lq_config_create(&alloc, &n->many) != LQ_OK || lq_config_create(&alloc, &n->one) != LQ_OK ||
      lq_config_set_i64(n->many, LQ_KEY_THREADS, team_threads(n->workers)) != LQ_OK ||
      lq_config_set_parallel(n->many, team_run, n->workers) != LQ_OK ||
      lq_config_set_i64(n->one, LQ_KEY_THREADS, 1) != LQ_OK)
    return fail_memory(why, n->path);
  return true;
}

void net_compute_fast(net *n)
{
  lq_config_set_i64(n->many, LQ_KEY_COMPUTE, LQ_COMPUTE_FAST);
}

static bool load_embedding(net *n, const top_names *names, fail *why)
{
  const spec *s = &n->spec;
  size_t hidden = (size_t)s->hidden, width = (size_t)s->embedding;
  char name[PART_NAME];

  part_name(n, name, "%s", names->embedding);
  if (!part_linear(n, name, (size_t)s->vocab, width, false, &n->embedding, why))
    return false;
  if (s->learned_positions) {
    part_name(n, name, "%s", names->positions);
    if (!part_linear(n, name, (size_t)(s->max_positions + spec_position_offset(s)), hidden, false,
                     &n->positions, why))
      return false;
  }
  if (width == hidden)
    return true;
  part_name(n, name, "project_in.weight");
  if (!part_linear(n, name, hidden, width, false, &n->project_in, why))
    return false;
  part_name(n, name, "project_out.weight");
  return part_linear(n, name, width, hidden, false, &n->project_out, why);
}

static bool load_end(net *n, const top_names *names, fail *why)
{
  const spec *s = &n->spec;
  char name[PART_NAME];

  part_name(n, name, "%s", names->final);
  if (s->final_norm && s->norm_affine &&
      !part_norm(n, name, (size_t)s->hidden, s->family != SPEC_LLAMA, &n->final, why))
    return false;
  return s->tied || part_linear(n, "lm_head.weight", (size_t)s->vocab, (size_t)s->embedding, false,
                                &n->head, why);
}

static bool make_frequencies(net *n, fail *why)
{
  if (n->spec.learned_positions)
    return true;
  n->frequencies = pool_take(n->memory, (size_t)n->spec.head_dim / 2 * sizeof(float));
  if (!n->frequencies)
    return fail_memory(why, n->path);
  rope_frequencies(&n->spec, n->frequencies);
  return true;
}

bool net_open(net **out, const weight_list *l, pool *memory, team *workers, fail *why)
{
  const char *path = model_path(l->model);
  const json_doc *config = model_config(l->model);
  const top_names *names;
  net *n;

  *out = NULL;
  if (!config)
    return fail_set(why, FAIL_NOTFOUND, path,
                    model_is_folder(l->model)
                        ? "there is no config.json that tells what kind of model it is"
                        : "is not a model folder with a config.json");
  n = calloc(1, sizeof *n);
  if (!n)
    return fail_memory(why, path);
  *n = (net){.weights = l, .memory = memory, .workers = workers, .path = path};
  if (!make_configs(n, why) || !spec_read(&n->spec, config, why))
    goto fail;
  names = &names_of[n->spec.family];
  find_prefix(n, names);
  if (!load_embedding(n, names, why) || !load_end(n, names, why) || !make_frequencies(n, why))
    goto fail;
  *out = n;
  return true;
fail:
  net_close(n);
  return false;
}

void net_close(net *n)
{
  if (!n)
    return;
  net_free_layers(n);
  part_linear_free(n, &n->embedding);
  part_linear_free(n, &n->positions);
  part_linear_free(n, &n->project_in);
  part_linear_free(n, &n->project_out);
  part_linear_free(n, &n->head);
  part_norm_free(n, &n->final);
  pool_give(n->memory, n->frequencies);
  lq_config_destroy(n->many);
  lq_config_destroy(n->one);
  free(n);
}
