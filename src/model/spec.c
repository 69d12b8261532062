/*
 * spec.c - config.json of each architecture.
 *
 * A member that transformers would fill with a default of its class has that default here; those
 * that give a model its size (hidden_size and so on) must be there.
 */
#include "spec.h"

#include "rope.h"

#include <math.h>
#include <string.h>

enum { POSITIONS_MAX = 1 << 24, WIDTH_MAX = 1 << 24 };

typedef struct source {
  const json_doc *doc;
  json_id root;
} source;

typedef struct architecture {
  const char *name;
  bool (*read)(spec *s, const source *c, fail *why);
} architecture;

static bool bad(const source *c, fail *why, const char *text)
{
  return fail_set(why, FAIL_FORMAT, json_file(c->doc), "%s", text);
}

static bool need(const source *c, const char *name, uint64_t *out, fail *why)
{
  return json_need_u64(c->doc, c->root, name, out, why);
}

static bool opt(const source *c, const char *name, uint64_t *out, fail *why)
{
  return json_opt_u64(c->doc, c->root, name, out, why);
}

static bool opt_flag(const source *c, const char *name, bool *out, fail *why)
{
  return json_opt_bool(c->doc, c->root, name, out, why);
}

static bool opt_real(const source *c, const char *name, double *out, fail *why)
{
  return json_opt_f64(c->doc, c->root, name, out, why);
}

static bool read_act(spec *s, const source *c, const char *name, const char *initial, fail *why)
{
  static const struct {
    const char *name;
    spec_act act;
  } known[] = {{"silu", SPEC_SILU},
               {"swish", SPEC_SILU},
               {"relu", SPEC_RELU},
               {"gelu", SPEC_GELU},
               {"gelu_python", SPEC_GELU},
               {"gelu_new", SPEC_GELU_TANH},
               {"gelu_fast", SPEC_GELU_TANH},
               {"gelu_accurate", SPEC_GELU_TANH},
               {"gelu_pytorch_tanh", SPEC_GELU_TANH},
               {"gelu_python_tanh", SPEC_GELU_TANH},
               {"quick_gelu", SPEC_GELU_QUICK}};
  const char *text = initial;

  if (!json_opt_string(c->doc, c->root, name, &text, why))
    return false;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(text, known[i].name) == 0) {
      s->act = known[i].act;
      return true;
    }
  return fail_set(why, FAIL_UNSUPPORTED, json_file(c->doc), "%s '%s' is not supported", name, text);
}

/* ---- Llama, Mistral, Qwen2, Qwen3 ---- */

/* Which layers slide: layer_types says it layer by layer; before there was such a list, all from
 * max_window_layers on. */
static bool read_sliding(spec *s, const source *c, fail *why)
{
  json_id list = json_get(c->doc, c->root, "layer_types");
  uint64_t first = 28, i = 0;

  if (json_kind_of(c->doc, list) != JSON_ARRAY) {
    if (!opt(c, "max_window_layers", &first, why))
      return false;
    for (i = first; i < s->layers; i++)
      s->slides[i] = 1;
    return true;
  }
  if (json_count(c->doc, list) != s->layers)
    return bad(c, why, "layer_types does not have a place for each layer");
  for (json_id v = json_first(c->doc, list); v; v = json_next(c->doc, v), i++)
    if (json_is(c->doc, v, "sliding_attention"))
      s->slides[i] = 1;
    else if (!json_is(c->doc, v, "full_attention"))
      return fail_set(why, FAIL_UNSUPPORTED, json_file(c->doc),
                      "layer_types has '%s'; full_attention and sliding_attention are supported",
                      json_string(c->doc, v) ? json_string(c->doc, v) : "?");
  return true;
}

/* What the four have in common. `kv_heads` and `head_dim` hold the defaults of the class, 0: the
 * number of heads, hidden_size / heads. */
static bool read_llama_like(spec *s, const source *c, fail *why)
{
  s->family = SPEC_LLAMA;
  s->gated = s->norm_first = s->norm_affine = s->final_norm = s->scale_scores = true;
  s->norm_eps = 1e-6;
  if (!need(c, "hidden_size", &s->hidden, why) ||
      !need(c, "intermediate_size", &s->feed_forward, why) ||
      !need(c, "num_hidden_layers", &s->layers, why) ||
      !need(c, "num_attention_heads", &s->heads, why) ||
      !opt(c, "num_key_value_heads", &s->kv_heads, why) || !opt(c, "head_dim", &s->head_dim, why) ||
      !opt(c, "max_position_embeddings", &s->max_positions, why) ||
      !opt_real(c, "rms_norm_eps", &s->norm_eps, why) ||
      !opt_flag(c, "tie_word_embeddings", &s->tied, why) ||
      !read_act(s, c, "hidden_act", "silu", why))
    return false;
  if (s->kv_heads == 0)
    s->kv_heads = s->heads;
  if (s->head_dim == 0 && s->heads != 0)
    s->head_dim = s->hidden / s->heads;
  s->embedding = s->hidden;
  return rope_read(&s->rope, c->doc, s->max_positions, why);
}

static bool read_llama(spec *s, const source *c, fail *why)
{
  s->max_positions = 2048;
  if (!read_llama_like(s, c, why) || !opt_flag(c, "attention_bias", &s->qkv_bias, why) ||
      !opt_flag(c, "mlp_bias", &s->mlp_bias, why))
    return false;
  s->o_bias = s->qkv_bias;
  return true;
}

static bool read_mistral(spec *s, const source *c, fail *why)
{
  json_kind window = json_kind_of(c->doc, json_get(c->doc, c->root, "sliding_window"));

  s->max_positions = 131072;
  s->kv_heads = 8;
  s->sliding_window = window == JSON_NULL ? 0 : 4096;
  memset(s->slides, 1, sizeof s->slides);
  return read_llama_like(s, c, why) && opt(c, "sliding_window", &s->sliding_window, why);
}

static bool read_qwen(spec *s, const source *c, fail *why)
{
  bool slides = false;

  s->max_positions = 32768;
  s->sliding_window = 4096;
  if (!read_llama_like(s, c, why) || !opt_flag(c, "use_sliding_window", &slides, why) ||
      !opt(c, "sliding_window", &s->sliding_window, why))
    return false;
  if (slides && s->sliding_window != 0 && s->layers <= SPEC_LAYERS_MAX)
    return read_sliding(s, c, why);
  s->sliding_window = 0;
  return true;
}

static bool read_qwen2(spec *s, const source *c, fail *why)
{
  s->qkv_bias = true;
  return read_qwen(s, c, why);
}

static bool read_qwen3(spec *s, const source *c, fail *why)
{
  s->qk_norm = true;
  s->head_dim = 128;
  if (!read_qwen(s, c, why) || !opt_flag(c, "attention_bias", &s->qkv_bias, why))
    return false;
  s->o_bias = s->qkv_bias;
  return true;
}

/* ---- OPT, GPT-2 ---- */

static bool read_opt(spec *s, const source *c, fail *why)
{
  bool bias = true, no_final_norm = false;

  s->family = SPEC_OPT;
  s->norm_first = s->norm_affine = s->tied = s->learned_positions = s->scale_scores = true;
  s->norm_eps = 1e-5;
  s->max_positions = 2048;
  if (!need(c, "hidden_size", &s->hidden, why) || !need(c, "ffn_dim", &s->feed_forward, why) ||
      !need(c, "num_hidden_layers", &s->layers, why) ||
      !need(c, "num_attention_heads", &s->heads, why) ||
      !opt(c, "max_position_embeddings", &s->max_positions, why) ||
      !opt_flag(c, "do_layer_norm_before", &s->norm_first, why) ||
      !opt_flag(c, "_remove_final_layer_norm", &no_final_norm, why) ||
      !opt_flag(c, "layer_norm_elementwise_affine", &s->norm_affine, why) ||
      !opt_flag(c, "enable_bias", &bias, why) ||
      !opt_flag(c, "tie_word_embeddings", &s->tied, why) ||
      !read_act(s, c, "activation_function", "relu", why))
    return false;
  s->embedding = s->hidden;
  if (!opt(c, "word_embed_proj_dim", &s->embedding, why))
    return false;
  s->final_norm = s->norm_first && !no_final_norm;
  s->qkv_bias = s->o_bias = s->mlp_bias = bias;
  s->kv_heads = s->heads;
  s->head_dim = s->heads ? s->hidden / s->heads : 0;
  return true;
}

static bool read_gpt2(spec *s, const source *c, fail *why)
{
  bool cross = false;

  s->family = SPEC_GPT2;
  s->norm_first = s->norm_affine = s->final_norm = s->tied = s->learned_positions = true;
  s->qkv_bias = s->o_bias = s->mlp_bias = s->scale_scores = true;
  s->norm_eps = 1e-5;
  s->max_positions = 1024;
  if (!need(c, "n_embd", &s->hidden, why) || !need(c, "n_layer", &s->layers, why) ||
      !need(c, "n_head", &s->heads, why) || !opt(c, "n_inner", &s->feed_forward, why) ||
      !opt(c, "n_positions", &s->max_positions, why) ||
      !opt_real(c, "layer_norm_epsilon", &s->norm_eps, why) ||
      !opt_flag(c, "scale_attn_weights", &s->scale_scores, why) ||
      !opt_flag(c, "scale_attn_by_inverse_layer_idx", &s->scale_by_layer, why) ||
      !opt_flag(c, "add_cross_attention", &cross, why) ||
      !opt_flag(c, "tie_word_embeddings", &s->tied, why) ||
      !read_act(s, c, "activation_function", "gelu_new", why))
    return false;
  if (cross)
    return fail_set(why, FAIL_UNSUPPORTED, json_file(c->doc),
                    "add_cross_attention is not supported");
  if (s->feed_forward == 0)
    s->feed_forward = 4 * s->hidden;
  s->embedding = s->hidden;
  s->kv_heads = s->heads;
  s->head_dim = s->heads ? s->hidden / s->heads : 0;
  return true;
}

/* ---- all ---- */

static const architecture architectures[] = {
    {"LlamaForCausalLM", read_llama}, {"MistralForCausalLM", read_mistral},
    {"Qwen2ForCausalLM", read_qwen2}, {"Qwen3ForCausalLM", read_qwen3},
    {"OPTForCausalLM", read_opt},     {"GPT2LMHeadModel", read_gpt2}};

static bool between(const source *c, const char *what, uint64_t v, uint64_t most, fail *why)
{
  if (v >= 1 && v <= most)
    return true;
  return fail_set(why, FAIL_FORMAT, json_file(c->doc), "%s is %llu; 1 to %llu are possible", what,
                  (unsigned long long)v, (unsigned long long)most);
}

static bool check(const spec *s, const source *c, fail *why)
{
  if (!between(c, "the vocabulary", s->vocab, WIDTH_MAX, why) ||
      !between(c, "the hidden size", s->hidden, WIDTH_MAX, why) ||
      !between(c, "the size of the embedding", s->embedding, WIDTH_MAX, why) ||
      !between(c, "the size of the feed-forward part", s->feed_forward, WIDTH_MAX, why) ||
      !between(c, "the number of layers", s->layers, SPEC_LAYERS_MAX, why) ||
      !between(c, "the number of heads", s->heads, 1 << 16, why) ||
      !between(c, "the number of key-value heads", s->kv_heads, s->heads, why) ||
      !between(c, "the size of a head", s->head_dim, 1 << 16, why) ||
      !between(c, "the number of positions", s->max_positions, POSITIONS_MAX, why))
    return false;
  if (s->heads % s->kv_heads != 0)
    return bad(c, why, "the number of heads is not a multiple of that of key-value heads");
  if (s->heads * s->head_dim > WIDTH_MAX)
    return bad(c, why, "the heads are too large");
  if (s->family == SPEC_LLAMA && s->head_dim % 2 != 0)
    return bad(c, why, "the size of a head is odd; halves of it cannot be rotated");
  if (s->family != SPEC_LLAMA && s->heads * s->head_dim != s->hidden)
    return bad(c, why, "the hidden size is not a multiple of the number of heads");
  if (s->norm_eps < 0)
    return bad(c, why, "the epsilon of the norms is not a number from 0 on");
  return true;
}

/* bos_token_id may be a number, null or absent. */
static void read_bos(spec *s, const source *c)
{
  int64_t id;

  s->bos = -1;
  if (json_i64(c->doc, json_get(c->doc, c->root, "bos_token_id"), &id) == FAIL_NONE && id >= 0)
    s->bos = id;
}

bool spec_read(spec *out, const json_doc *config, fail *why)
{
  const source c = {config, json_root(config)};
  json_id list = json_get(config, c.root, "architectures");
  const char *name = json_string(config, json_first(config, list));

  *out = (spec){0};
  if (json_kind_of(config, list) != JSON_ARRAY || !name)
    return fail_set(why, FAIL_FORMAT, json_file(config), "names no architecture");
  for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
    if (strcmp(name, architectures[i].name) == 0) {
      out->architecture = architectures[i].name;
      read_bos(out, &c);
      return need(&c, "vocab_size", &out->vocab, why) && architectures[i].read(out, &c, why) &&
             check(out, &c, why);
    }
  return fail_set(why, FAIL_UNSUPPORTED, json_file(config),
                  "architecture %s is not supported; Llama, Mistral, Qwen2, Qwen3, OPT and GPT-2 "
                  "language models are",
                  name);
}

uint64_t spec_position_offset(const spec *s)
{
  return s->family == SPEC_OPT ? 2 : 0;
}

uint64_t spec_window(const spec *s, uint64_t layer)
{
  return s->slides[layer] ? s->sliding_window : 0;
}

float spec_score_scale(const spec *s, uint64_t layer)
{
  double scale = s->scale_scores ? 1 / sqrt((double)s->head_dim) : 1;

  return (float)(s->scale_by_layer ? scale / (double)(layer + 1) : scale);
}
