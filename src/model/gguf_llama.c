/*
 * gguf_llama.c - names and configuration; see gguf_llama.h.
 *
 * llama.cpp rotates neighbouring elements of a head where Hugging Face's Llama rotates its halves,
 * so the rows of q and k are interleaved in the file: row 2i of a head is row i there, row 2i + 1
 * is row i + size / 2.
 */
#include "gguf_llama.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum head_count { NO_HEADS, QUERY_HEADS, KEY_HEADS } head_count;

typedef struct name_row {
  const char *from, *to;
  head_count heads;
} name_row;

static const name_row whole_names[] = {{"token_embd.weight", "model.embed_tokens.weight", NO_HEADS},
                                       {"output_norm.weight", "model.norm.weight", NO_HEADS},
                                       {"output.weight", "lm_head.weight", NO_HEADS}};

static const name_row layer_names[] = {{"attn_norm", "input_layernorm", NO_HEADS},
                                       {"attn_q", "self_attn.q_proj", QUERY_HEADS},
                                       {"attn_k", "self_attn.k_proj", KEY_HEADS},
                                       {"attn_v", "self_attn.v_proj", NO_HEADS},
                                       {"attn_output", "self_attn.o_proj", NO_HEADS},
                                       {"ffn_norm", "post_attention_layernorm", NO_HEADS},
                                       {"ffn_gate", "mlp.gate_proj", NO_HEADS},
                                       {"ffn_up", "mlp.up_proj", NO_HEADS},
                                       {"ffn_down", "mlp.down_proj", NO_HEADS}};

/* ---- names ---- */

/* "blk.N.PART.weight" or ".bias": `*layer` is its N, and *part what follows; false for others. */
static bool split_layer_name(const char *name, unsigned *layer, const char **part)
{
  const char *c = name + 4;

  *layer = 0;
  if (strncmp(name, "blk.", 4) != 0 || *c < '0' || *c > '9')
    return false;
  for (; *c >= '0' && *c <= '9' && *layer < 100000; c++)
    *layer = *layer * 10 + (unsigned)(*c - '0');
  *part = c + 1;
  return *c == '.';
}

/* The name elsewhere in `out`; the file's own where no other is known. */
static head_count folder_name(const char *name, char *out, size_t room)
{
  unsigned layer;
  const char *part, *end;

  snprintf(out, room, "%s", name);
  for (size_t i = 0; i < sizeof whole_names / sizeof *whole_names; i++)
    if (strcmp(whole_names[i].from, name) == 0)
      snprintf(out, room, "%s", whole_names[i].to);
  if (!split_layer_name(name, &layer, &part) || (end = strchr(part, '.')) == NULL ||
      (strcmp(end, ".weight") != 0 && strcmp(end, ".bias") != 0))
    return NO_HEADS;
  for (size_t i = 0; i < sizeof layer_names / sizeof *layer_names; i++) {
    const name_row *n = &layer_names[i];

    if (strlen(n->from) != (size_t)(end - part) ||
        strncmp(n->from, part, (size_t)(end - part)) != 0)
      continue;
    snprintf(out, room, "model.layers.%u.%s%s", layer, n->to, end);
    return n->heads;
  }
  return NO_HEADS;
}

/* ---- configuration ---- */

typedef struct shape {
  uint64_t layers, hidden, feed_forward, heads, kv_heads, head_dim, positions, vocab, experts;
  double norm_eps, theta;
} shape;

/* A number in JSON is finite; so it is here. */
static bool opt_real(const gguf_file *f, const char *key, double *out, fail *why)
{
  if (!gguf_opt_f64(f, key, out, why))
    return false;
  if (!isfinite(*out))
    return fail_set(why, FAIL_FORMAT, gguf_path(f), "key \"%s\" is not finite", key);
  return true;
}

static bool read_shape(const model *m, shape *s, fail *why)
{
  const gguf_file *f = model_gguf(m);
  const model_tensor *embedding = model_find(m, "token_embd.weight");
  uint64_t value_dim;

  *s = (shape){.norm_eps = 1e-5, .theta = 10000};
  if (!gguf_need_u64(f, "llama.block_count", &s->layers, why) ||
      !gguf_need_u64(f, "llama.embedding_length", &s->hidden, why) ||
      !gguf_need_u64(f, "llama.feed_forward_length", &s->feed_forward, why) ||
      !gguf_need_u64(f, "llama.context_length", &s->positions, why) ||
      !gguf_need_u64(f, "llama.attention.head_count", &s->heads, why))
    return false;
  s->kv_heads = s->heads;
  s->head_dim = s->heads ? s->hidden / s->heads : 0;
  s->vocab = embedding ? embedding->tensor->shape[0] : 0;
  if (!gguf_opt_u64(f, "llama.attention.head_count_kv", &s->kv_heads, why) ||
      !gguf_opt_u64(f, "llama.attention.key_length", &s->head_dim, why))
    return false;
  value_dim = s->head_dim;
  if (!gguf_opt_u64(f, "llama.attention.value_length", &value_dim, why) ||
      !gguf_opt_u64(f, "llama.expert_count", &s->experts, why) ||
      !opt_real(f, "llama.attention.layer_norm_rms_epsilon", &s->norm_eps, why) ||
      !opt_real(f, "llama.rope.freq_base", &s->theta, why))
    return false;
  if (s->experts != 0)
    return fail_set(why, FAIL_UNSUPPORTED, gguf_path(f), "a mixture of experts is not run here");
  if (value_dim != s->head_dim)
    return fail_set(why, FAIL_UNSUPPORTED, gguf_path(f),
                    "keys and values of different sizes are not run here");
  if (s->head_dim == 0 || s->heads > UINT32_MAX || s->kv_heads == 0 || s->kv_heads > s->heads)
    return fail_set(why, FAIL_FORMAT, gguf_path(f), "impossible numbers of heads");
  return true;
}

/* The scaling of Llama 3.1 and its kin. Files have only what comes out of it, a divisor for each
 * frequency; of what goes in, these three are the same in all models, and the factor is the
 * greatest divisor. */
enum { LLAMA3_LOW = 1, LLAMA3_HIGH = 4, LLAMA3_POSITIONS = 8192 };

static double llama3_divisor(const shape *s, uint64_t i, double factor)
{
  double wavelength =
      2 * 3.14159265358979323846 * pow(s->theta, 2 * (double)i / (double)s->head_dim);
  double share = (LLAMA3_POSITIONS / wavelength - LLAMA3_LOW) / (LLAMA3_HIGH - LLAMA3_LOW);

  return share >= 1 ? 1 : share <= 0 ? factor : 1 / ((1 - share) / factor + share);
}

/* Gives the factor if the tensor holds what these rules make of it. */
static bool read_divisors(const model *m, const model_tensor *t, const shape *s, double *factor,
                          fail *why)
{
  gguf_array a = {.size = t->tensor->bytes, .count = t->tensor->elements};
  bool same = t->tensor->dtype == ST_F32 && a.count > 0 && a.count == s->head_dim / 2;

  if (!same)
    return fail_set(why, FAIL_FORMAT, model_path(m), "%s: not a number for each two of a head",
                    t->tensor->name);
  a.bytes = malloc((size_t)a.size);
  if (!a.bytes)
    return fail_memory(why, model_path(m));
  if (!model_read(m, t, 0, a.bytes, (size_t)a.size, why)) {
    gguf_array_free(&a);
    return false;
  }
  for (uint64_t i = 0; i < a.count; i++)
    *factor = fmax(*factor, (double)gguf_f32_at(&a, i));
  for (uint64_t i = 0; i < a.count; i++) {
    double want = llama3_divisor(s, i, *factor);

    same = same && fabs((double)gguf_f32_at(&a, i) - want) <= 1e-4 * want;
  }
  gguf_array_free(&a);
  if (!same)
    return fail_set(why, FAIL_UNSUPPORTED, model_path(m),
                    "%s: not the frequencies of Llama 3.1; use the Hugging Face folder",
                    t->tensor->name);
  return true;
}

static bool put_llama3(const model *m, const model_tensor *t, const shape *s, json_doc *d,
                       fail *why)
{
  json_id scaling;
  double factor = 1;

  if (!read_divisors(m, t, s, &factor, why))
    return false;
  scaling = json_put_object(d, json_root(d), "rope_scaling");
  json_put_string(d, scaling, "rope_type", "llama3");
  json_put_f64(d, scaling, "factor", factor);
  json_put_f64(d, scaling, "low_freq_factor", LLAMA3_LOW);
  json_put_f64(d, scaling, "high_freq_factor", LLAMA3_HIGH);
  json_put_i64(d, scaling, "original_max_position_embeddings", LLAMA3_POSITIONS);
  return true;
}

/* How positions beyond those of the training are reached. */
static bool put_rope(const model *m, const shape *s, json_doc *d, fail *why)
{
  const gguf_file *f = model_gguf(m);
  const model_tensor *divisors = model_find(m, "rope_freqs.weight");
  char *type = NULL;
  double factor = 1;
  bool ok;

  if (divisors)
    return put_llama3(m, divisors, s, d, why);
  ok = gguf_opt_string(f, "llama.rope.scaling.type", &type, why) &&
       opt_real(f, "llama.rope.scaling.factor", &factor, why);
  if (ok && type && strcmp(type, "linear") == 0) {
    json_id scaling = json_put_object(d, json_root(d), "rope_scaling");

    json_put_string(d, scaling, "rope_type", "linear");
    json_put_f64(d, scaling, "factor", factor);
  } else if (ok && type && strcmp(type, "none") != 0) {
    ok = fail_set(why, FAIL_UNSUPPORTED, gguf_path(f),
                  "scaling of positions of type \"%.40s\" is not run from a GGUF file", type);
  }
  free(type);
  return ok;
}

static bool put_id(const gguf_file *f, json_doc *d, const char *key, const char *name, fail *why)
{
  uint64_t id = UINT64_MAX;

  if (!gguf_opt_u64(f, key, &id, why))
    return false;
  if (id <= INT32_MAX)
    json_put_i64(d, json_root(d), name, (int64_t)id);
  return true;
}

static void put_u64(json_doc *d, const char *name, uint64_t value)
{
  json_put_i64(d, json_root(d), name, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* A member that found no memory is remembered by the document until someone writes it. */
static bool check_whole(const json_doc *d, fail *why)
{
  buf text = {0};
  bool ok = json_write(d, &text, true, why);

  buf_free(&text);
  return ok;
}

static bool make_config(const model *m, const shape *s, json_doc **out, fail *why)
{
  const gguf_file *f = model_gguf(m);
  json_doc *d;
  json_id root;

  if (!json_new(&d, gguf_path(f), why))
    return false;
  *out = d;
  root = json_root(d);
  json_put_string(d, json_put_array(d, root, "architectures"), NULL, "LlamaForCausalLM");
  json_put_string(d, root, "model_type", "llama");
  put_u64(d, "num_hidden_layers", s->layers);
  put_u64(d, "hidden_size", s->hidden);
  put_u64(d, "intermediate_size", s->feed_forward);
  put_u64(d, "num_attention_heads", s->heads);
  put_u64(d, "num_key_value_heads", s->kv_heads);
  put_u64(d, "head_dim", s->head_dim);
  put_u64(d, "max_position_embeddings", s->positions);
  put_u64(d, "vocab_size", s->vocab);
  json_put_f64(d, root, "rms_norm_eps", s->norm_eps);
  json_put_f64(d, root, "rope_theta", s->theta);
  json_put_bool(d, root, "tie_word_embeddings", model_find(m, "output.weight") == NULL);
  json_put_bool(d, root, "attention_bias", model_find(m, "blk.0.attn_q.bias") != NULL);
  json_put_bool(d, root, "mlp_bias", model_find(m, "blk.0.ffn_up.bias") != NULL);
  return put_id(f, d, "tokenizer.ggml.bos_token_id", "bos_token_id", why) &&
         put_id(f, d, "tokenizer.ggml.eos_token_id", "eos_token_id", why) &&
         put_rope(m, s, d, why) && check_whole(d, why);
}

/* ---- both ---- */

static bool check_architecture(const gguf_file *f, fail *why)
{
  char *name = NULL;
  bool ok;

  if (!gguf_opt_string(f, "general.architecture", &name, why))
    return false;
  ok = name && strcmp(name, "llama") == 0;
  if (!ok)
    fail_set(why, FAIL_UNSUPPORTED, gguf_path(f),
             "architecture \"%.60s\": of GGUF files only llama is run; use a Hugging Face folder",
             name ? name : "");
  free(name);
  return ok;
}

static bool make_aliases(const model *m, const shape *s, model_alias **out, fail *why)
{
  const uint64_t heads[] = {[NO_HEADS] = 0, [QUERY_HEADS] = s->heads, [KEY_HEADS] = s->kv_heads};
  size_t count = model_tensor_count(m);

  *out = calloc(count + 1, sizeof **out);
  if (!*out)
    return fail_memory(why, model_path(m));
  for (size_t i = 0; i < count; i++) {
    char name[256]; /* names of the file have at most 64 bytes */
    head_count h = folder_name(model_at(m, i)->tensor->name, name, sizeof name);

    (*out)[i] = (model_alias){strdup(name), heads[h]};
    if (!(*out)[i].name) {
      while (i-- > 0)
        free((*out)[i].name);
      free(*out);
      return fail_memory(why, model_path(m));
    }
  }
  return true;
}

bool gguf_as_folder(model *m, fail *why)
{
  json_doc *config = NULL;
  model_alias *aliases = NULL;
  shape s;

  if (check_architecture(model_gguf(m), why) && read_shape(m, &s, why) &&
      make_config(m, &s, &config, why) && make_aliases(m, &s, &aliases, why))
    return model_take_names(m, aliases, config, why);
  json_free(config);
  return false;
}

bool gguf_as_other(model *m, const model *other, fail *why)
{
  bool own = false, folder = false;
  char name[256];

  if (!model_gguf(m))
    return true;
  for (size_t i = 0; i < model_tensor_count(m) && !own; i++) {
    const char *here = model_at(m, i)->tensor->name;

    own = model_find(other, here) != NULL;
    folder_name(here, name, sizeof name);
    folder = folder || model_find(other, name) != NULL;
  }
  return own || !folder || gguf_as_folder(m, why);
}
