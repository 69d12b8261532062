/*
 * test_tool_readers.c - proves what is taken and refused of config.json, member by member for each
 * architecture, and of texts and ids to evaluate on.
 */
#include "test_files.h"

#include "../src/files/buf.h"
#include "../src/model/corpus.h"
#include "../src/model/rope.h"
#include "../src/model/spec.h"

#include <math.h>

/* ---- config.json ---- */

typedef struct member {
  const char *name, *value;
  bool needed, loose; /* loose: what it is not matters to nobody */
} member;

#define COMMON \
  {"vocab_size", "64", true, false}, \
  { \
    "bos_token_id", "1", false, true \
  }
#define LLAMA \
  COMMON, {"hidden_size", "32", true, false}, {"intermediate_size", "40", true, false}, \
      {"num_hidden_layers", "2", true, false}, {"num_attention_heads", "8", true, false}, \
      {"num_key_value_heads", "2", false, false}, {"head_dim", "8", false, false}, \
      {"max_position_embeddings", "64", false, false}, {"rms_norm_eps", "1e-6", false, false}, \
      {"tie_word_embeddings", "false", false, false}, \
  { \
    "hidden_act", "\"silu\"", false, false \
  }
#define QWEN \
  LLAMA, {"use_sliding_window", "true", false, false}, {"sliding_window", "8", false, false}, \
  { \
    "max_window_layers", "1", false, false \
  }

static const struct architecture {
  const char *name;
  member members[24];
} architectures[] = {
    {"LlamaForCausalLM",
     {LLAMA, {"attention_bias", "true", false, false}, {"mlp_bias", "true", false, false}}},
    {"MistralForCausalLM", {LLAMA, {"sliding_window", "16", false, false}}},
    {"Qwen2ForCausalLM", {QWEN}},
    {"Qwen3ForCausalLM", {QWEN, {"attention_bias", "true", false, false}}},
    {"OPTForCausalLM",
     {COMMON,
      {"hidden_size", "32", true, false},
      {"ffn_dim", "40", true, false},
      {"num_hidden_layers", "2", true, false},
      {"num_attention_heads", "4", true, false},
      {"max_position_embeddings", "64", false, false},
      {"do_layer_norm_before", "true", false, false},
      {"_remove_final_layer_norm", "true", false, false},
      {"layer_norm_elementwise_affine", "true", false, false},
      {"enable_bias", "true", false, false},
      {"tie_word_embeddings", "true", false, false},
      {"activation_function", "\"relu\"", false, false},
      {"word_embed_proj_dim", "16", false, false}}},
    {"GPT2LMHeadModel",
     {COMMON,
      {"n_embd", "32", true, false},
      {"n_layer", "2", true, false},
      {"n_head", "4", true, false},
      {"n_inner", "40", false, false},
      {"n_positions", "64", false, false},
      {"layer_norm_epsilon", "1e-5", false, false},
      {"scale_attn_weights", "false", false, false},
      {"scale_attn_by_inverse_layer_idx", "true", false, false},
      {"add_cross_attention", "false", false, false},
      {"tie_word_embeddings", "true", false, false},
      {"activation_function", "\"gelu_new\"", false, false}}},
};

enum { A_LLAMA, A_MISTRAL, A_QWEN2, A_QWEN3, A_OPT, A_GPT2, ARCHITECTURES };

static spec *read_spec; /* of the last configuration */

static bool takes_text(const char *text, fail *why)
{
  json_doc *d = NULL;
  char *copy = test_alloc(strlen(text) + 1);
  strcpy(copy, text);
  *why = (fail){0};
  bool ok =
      json_parse(&d, copy, strlen(text), "config.json", 0, why) && spec_read(read_spec, d, why);
  json_free(d);
  return ok;
}

/* The configuration with the members in `changes`, "name=value" by "|", put in their places or
 * added; an empty value takes a member out. */
static bool takes(int which, const char *changes, fail *why)
{
  const struct architecture *a = &architectures[which];
  char list[512], *save = NULL;
  buf b = {0};
  buf_printf(&b, "{\"architectures\":[\"%s\"]", a->name);
  for (size_t i = 0; i < 24 && a->members[i].name != NULL; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s=", a->members[i].name);
    const char *found = strstr(changes, name);
    if (found == NULL || (found != changes && found[-1] != '|'))
      buf_printf(&b, ",\"%s\":%s", a->members[i].name, a->members[i].value);
  }
  snprintf(list, sizeof list, "%s", changes);
  for (char *c = strtok_r(list, "|", &save); c != NULL; c = strtok_r(NULL, "|", &save)) {
    char *equals = strchr(c, '=');
    *equals = 0;
    if (equals[1] != 0)
      buf_printf(&b, ",\"%s\":%s", c, equals + 1);
  }
  buf_byte(&b, '}');
  bool ok = takes_text(b.data, why);
  buf_free(&b);
  return ok;
}

static void check_each_member(void)
{
  for (int which = 0; which < ARCHITECTURES; which++) {
    const struct architecture *a = &architectures[which];
    fail why;
    test_in("%s", a->name);
    CHECK(takes(which, "", &why), "%s", why.text);
    for (size_t i = 0; i < 24 && a->members[i].name != NULL; i++) {
      const member *m = &a->members[i];
      char change[80];
      snprintf(change, sizeof change, "%s={}", m->name);
      CHECK(takes(which, change, &why) == m->loose, "%s is an object: %s", m->name, why.text);
      CHECK(m->loose || (why.kind == FAIL_FORMAT && strstr(why.text, m->name)), "%s", why.text);
      snprintf(change, sizeof change, "%s=", m->name);
      CHECK(takes(which, change, &why) == !m->needed, "without %s: %s", m->name, why.text);
      CHECK(!m->needed || (why.kind == FAIL_FORMAT && strstr(why.text, m->name)), "%s", why.text);
    }
  }
  test_in("%s", "");
}

static void check_values_refused(void)
{
  static const struct {
    int which;
    const char *changes;
    fail_kind kind;
    const char *words;
  } rows[] = {
      {A_LLAMA, "hidden_act=\"xielu\"", FAIL_UNSUPPORTED, "hidden_act 'xielu'"},
      {A_LLAMA, "vocab_size=0", FAIL_FORMAT, "the vocabulary is 0"},
      {A_LLAMA, "vocab_size=16777217", FAIL_FORMAT, "the vocabulary is 16777217"},
      {A_LLAMA, "hidden_size=0", FAIL_FORMAT, "the hidden size"},
      {A_LLAMA, "intermediate_size=0", FAIL_FORMAT, "feed-forward"},
      {A_LLAMA, "num_hidden_layers=1025", FAIL_FORMAT, "layers"},
      {A_LLAMA, "num_attention_heads=0|head_dim=", FAIL_FORMAT, "number of heads"},
      {A_LLAMA, "num_key_value_heads=9", FAIL_FORMAT, "key-value heads is 9; 1 to 8"},
      {A_LLAMA, "num_key_value_heads=3", FAIL_FORMAT, "not a multiple"},
      {A_LLAMA, "head_dim=65537", FAIL_FORMAT, "size of a head"},
      {A_LLAMA, "head_dim=65536|num_attention_heads=512", FAIL_FORMAT, "too large"},
      {A_LLAMA, "head_dim=9", FAIL_FORMAT, "odd"},
      {A_LLAMA, "max_position_embeddings=0", FAIL_FORMAT, "positions"},
      {A_LLAMA, "rms_norm_eps=-1e-9", FAIL_FORMAT, "epsilon"},
      {A_LLAMA, "rms_norm_eps=1e999", FAIL_OVERFLOW, "rms_norm_eps"},
      {A_QWEN2, "num_hidden_layers=1025", FAIL_FORMAT, "layers"},
      {A_QWEN2, "layer_types=[\"full_attention\"]", FAIL_FORMAT, "a place for each layer"},
      {A_QWEN2, "layer_types=[\"full_attention\",\"linear\"]", FAIL_UNSUPPORTED, "'linear'"},
      {A_QWEN3, "layer_types=[7,\"full_attention\"]", FAIL_UNSUPPORTED, "'?'"},
      {A_OPT, "word_embed_proj_dim=0", FAIL_FORMAT, "the embedding is 0"},
      {A_OPT, "num_attention_heads=0", FAIL_FORMAT, "number of heads"},
      {A_OPT, "hidden_size=34", FAIL_FORMAT, "not a multiple of the number of heads"},
      {A_GPT2, "n_head=0", FAIL_FORMAT, "number of heads"},
      {A_GPT2, "add_cross_attention=true", FAIL_UNSUPPORTED, "add_cross_attention"},
  };
  fail why;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    CHECK(!takes(rows[i].which, rows[i].changes, &why), "%s was taken", rows[i].changes);
    CHECK(why.kind == rows[i].kind && strstr(why.text, rows[i].words), "%s: %s", rows[i].changes,
          why.text);
  }
  CHECK(!takes_text("{\"architectures\":{\"LlamaForCausalLM\":1}}", &why), "an object");
  CHECK(!takes_text("{\"architectures\":[1]}", &why) && why.kind == FAIL_FORMAT, "%s", why.text);
  CHECK(!takes_text("{}", &why) && strstr(why.text, "names no architecture"), "%s", why.text);
  CHECK(!takes_text("{\"architectures\":[\"MambaForCausalLM\"]}", &why) &&
            why.kind == FAIL_UNSUPPORTED,
        "%s", why.text);
}

static void check_defaults(void)
{
  const spec *s = read_spec;
  fail why;
  CHECK(takes(A_LLAMA, "num_key_value_heads=|head_dim=|bos_token_id=-1", &why) &&
            s->kv_heads == 8 && s->head_dim == 4 && s->bos == -1 && s->o_bias && s->mlp_bias,
        "%s", why.text);
  CHECK(takes(A_MISTRAL, "num_key_value_heads=2", &why) && spec_window(s, 1) == 16, "%s", why.text);
  CHECK(takes(A_MISTRAL, "sliding_window=null", &why) && spec_window(s, 0) == 0, "%s", why.text);
  CHECK(takes(A_MISTRAL, "sliding_window=", &why) && spec_window(s, 0) == 4096, "%s", why.text);
  CHECK(takes(A_QWEN2, "", &why) && spec_window(s, 0) == 0 && spec_window(s, 1) == 8, "%s",
        why.text);
  CHECK(takes(A_QWEN2, "layer_types=[\"sliding_attention\",\"full_attention\"]", &why) &&
            spec_window(s, 0) == 8 && spec_window(s, 1) == 0,
        "%s", why.text);
  CHECK(takes(A_QWEN2, "use_sliding_window=false", &why) && s->sliding_window == 0, "%s", why.text);
  CHECK(takes(A_QWEN3, "sliding_window=0", &why) && spec_window(s, 1) == 0 && s->qk_norm, "%s",
        why.text);
  CHECK(takes(A_QWEN3, "head_dim=", &why) && s->head_dim == 128, "%s", why.text);
  CHECK(takes(A_OPT, "word_embed_proj_dim=", &why) && s->embedding == 32 && !s->final_norm &&
            spec_position_offset(s) == 2,
        "%s", why.text);
  CHECK(takes(A_OPT, "_remove_final_layer_norm=false", &why) && s->final_norm, "%s", why.text);
  CHECK(takes(A_OPT, "do_layer_norm_before=false", &why) && !s->final_norm, "%s", why.text);
  CHECK(takes(A_GPT2, "n_inner=", &why) && s->feed_forward == 128 && spec_position_offset(s) == 0 &&
            spec_score_scale(s, 1) == 0.5f,
        "%s", why.text);
  CHECK(takes(A_GPT2, "scale_attn_weights=|scale_attn_by_inverse_layer_idx=", &why) &&
            spec_score_scale(s, 1) == (float)(1 / sqrt(8)),
        "%s", why.text);
}

/* ---- rotary positions ---- */

static void check_rotary_members(void)
{
  static const char *const inside[] = {"type",
                                       "rope_theta",
                                       "partial_rotary_factor",
                                       "factor",
                                       "low_freq_factor",
                                       "high_freq_factor",
                                       "original_max_position_embeddings",
                                       "beta_fast",
                                       "beta_slow",
                                       "mscale",
                                       "mscale_all_dim",
                                       "attention_factor",
                                       "truncate"};
  static const char *const outside[] = {"rope_theta", "partial_rotary_factor",
                                        "original_max_position_embeddings"};
  char change[256];
  fail why;
  for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
    snprintf(change, sizeof change, "rope_scaling={\"rope_type\":\"yarn\",\"%s\":[]}", inside[i]);
    CHECK(!takes(A_LLAMA, change, &why) && why.kind == FAIL_FORMAT && strstr(why.text, inside[i]),
          "%s: %s", inside[i], why.text);
  }
  for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
    snprintf(change, sizeof change, "%s=[]", outside[i]);
    CHECK(!takes(A_LLAMA, change, &why) && why.kind == FAIL_FORMAT && strstr(why.text, outside[i]),
          "%s: %s", outside[i], why.text);
  }
}

static void check_rotary_values(void)
{
#define YARN "rope_scaling={\"rope_type\":\"yarn\",\"original_max_position_embeddings\":"
#define LLAMA3 "rope_parameters={\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":"
  static const struct {
    const char *changes;
    fail_kind kind;
    const char *words;
  } rows[] = {
      {"rope_scaling={\"rope_type\":7}", FAIL_FORMAT, "rope_type"},
      {"rope_scaling={\"type\":\"longrope\"}", FAIL_UNSUPPORTED, "'longrope'"},
      {"rope_scaling={\"full_attention\":{}}", FAIL_UNSUPPORTED, "between layers"},
      {"partial_rotary_factor=0.5", FAIL_UNSUPPORTED, "partial_rotary_factor"},
      {"rope_theta=0", FAIL_FORMAT, "rope_theta"},
      {"rope_scaling={\"type\":\"linear\"}", FAIL_FORMAT, "factor of"},
      {LLAMA3 "0,\"high_freq_factor\":4}", FAIL_FORMAT, "low_freq_factor"},
      {LLAMA3 "4,\"high_freq_factor\":4}", FAIL_FORMAT, "high_freq_factor"},
      {LLAMA3 "1,\"high_freq_factor\":4,\"original_max_position_embeddings\":0}", FAIL_FORMAT,
       "original_max_position_embeddings"},
      {YARN "0}", FAIL_FORMAT, "factor of"},
      {YARN "5e-324}", FAIL_FORMAT, "factor of"},
  };
  const spec_rope *r = &read_spec->rope;
  fail why;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    CHECK(!takes(A_LLAMA, rows[i].changes, &why), "%s was taken", rows[i].changes);
    CHECK(why.kind == rows[i].kind && strstr(why.text, rows[i].words), "%s: %s", rows[i].changes,
          why.text);
  }
  CHECK(takes(A_LLAMA, LLAMA3 "1,\"high_freq_factor\":4}", &why) && r->type == ROPE_LLAMA3, "%s",
        why.text);
  CHECK(takes(A_LLAMA, YARN "16,\"beta_fast\":0,\"beta_slow\":0}", &why) && r->factor == 4 &&
            r->beta_fast == 32 && r->beta_slow == 1 &&
            fabs(r->attention_factor - (0.1 * log(4) + 1)) < 1e-12,
        "%s", why.text);
  CHECK(takes(A_LLAMA, YARN "16,\"attention_factor\":3}", &why) && r->attention_factor == 3, "%s",
        why.text);
  CHECK(takes(A_LLAMA, YARN "64,\"mscale\":2,\"mscale_all_dim\":1}", &why) &&
            r->attention_factor == 1,
        "%s", why.text);
  CHECK(takes(A_LLAMA, YARN "16,\"mscale\":2}", &why) && r->attention_factor > 1, "%s", why.text);
}

/* Frequencies of a head of 8 with base 10000: 1, 0.1, 0.01 and 0.001. YaRN keeps those that turn
 * beta_fast times within 4096 positions, divides by the factor those that turn beta_slow times, and
 * goes from one to the other between; with bounds that no frequency reaches it does one of the two,
 * as transformers does. */
static void check_frequencies(void)
{
  static const struct {
    const char *more;
    float first, last;
  } rows[] = {{"", 1, 0.00025f},
              {",\"truncate\":false", 1, 0.00025f},
              {",\"beta_fast\":65,\"beta_slow\":65,\"truncate\":false", 1, 0.00025f},
              {",\"beta_fast\":1e9,\"beta_slow\":1e9", 1, 0.001f},
              {",\"beta_fast\":1e-9,\"beta_slow\":1e-9", 0.25f, 0.00025f}};
  char change[256];
  float f[4];
  fail why;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    snprintf(change, sizeof change, YARN "4096,\"factor\":4%s}", rows[i].more);
    CHECK(takes(A_LLAMA, change, &why), "%s", why.text);
    rope_frequencies(read_spec, f);
    CHECK(fabsf(f[0] - rows[i].first) < 1e-6f && fabsf(f[3] - rows[i].last) < 1e-6f,
          "row %zu: %g %g %g %g", i, (double)f[0], (double)f[1], (double)f[2], (double)f[3]);
  }
}

/* ---- texts ---- */

static void check_text(const char *name, const char *bytes, const char *want, fail_kind kind)
{
  char *text = NULL;
  size_t length = 0;
  fail why = {0};
  put_text(at(name), bytes);
  bool ok = corpus_text(&text, &length, at(name), &why);
  CHECK(ok == (want != NULL) && why.kind == kind, "%s: %s", bytes, why.text);
  CHECK(!ok || (length == strlen(want) && memcmp(text, want, length) == 0), "%.*s", (int)length,
        text);
  CHECK(ok || text == NULL, "something is left");
  free(text);
}

static void check_texts(void)
{
  check_text("a.txt", "caf\xC3\xA9\n", "caf\xC3\xA9\n", FAIL_NONE);
  check_text("a.txt", "", NULL, FAIL_DATA);
  check_text("a.txt", "caf\xC3", NULL, FAIL_FORMAT);
  check_text("a.jsonl", "{\"text\":\"one\"}\n\n \t\r\n{\"a\":1,\"text\":\"two\"}\r\n", "one\n\ntwo",
             FAIL_NONE);
  check_text("a.jsonl", "{\"text\":\"one\"}", "one", FAIL_NONE);
  check_text("a.jsonl", "\n\n", NULL, FAIL_DATA);
  check_text("a.jsonl", "{\"text\":\"one\"}\n{\"text\":1}\n{\"text\":\"two\"}\n", NULL,
             FAIL_FORMAT);
  check_text("a.jsonl", "{\"text\":\"one\"}\n[\n{\"text\":\"two\"}\n", NULL, FAIL_FORMAT);
  char *text = NULL;
  size_t length;
  fail why = {0};
  CHECK(!corpus_text(&text, &length, at("none.txt"), &why) && why.kind == FAIL_IO, "%s", why.text);
}

/* ---- ids ---- */

static void put_ids(const char *name, const char *header, const void *data, size_t bytes)
{
  buf b = {0};
  for (size_t n = strlen(header), k = 0; k < 8; k++)
    buf_byte(&b, (char)((uint64_t)n >> 8 * k));
  buf_text(&b, header);
  buf_add(&b, data, bytes);
  put_bytes(at(name), b.data, b.length);
  buf_free(&b);
}

static void check_ids_of(const char *name, size_t want, fail_kind kind, const char *words)
{
  int32_t *ids = NULL;
  size_t count = 0;
  fail why = {0};
  bool ok = corpus_ids(&ids, &count, at(name), &why);
  CHECK(ok == (kind == FAIL_NONE) && why.kind == kind && (ok || strstr(why.text, words)), "%s: %s",
        name, why.text);
  CHECK(ok ? count == want && (want == 0 || ids[want - 1] == 7) : ids == NULL, "%zu ids", count);
  free(ids);
}

static void check_ids(void)
{
  static const unsigned char one[4] = {7}, wide[8] = {7}, negative[4] = {0, 0, 0, 0x80},
                             large[8] = {0, 0, 0, 0x80};
  static const unsigned char both[16] = {7, 0, 0, 0, 0, 0, 0, 0, 7};
#define ONE(name, type, shape, end) \
  "\"" name "\":{\"dtype\":\"" type "\",\"shape\":[" shape "],\"data_offsets\":[" end "]}"
  put_ids("one.safetensors", "{" ONE("t", "I32", "1", "0,4") "}", one, 4);
  put_ids("wide.safetensors", "{" ONE("t", "I64", "1", "0,8") "}", wide, 8);
  put_ids("none.safetensors", "{" ONE("t", "I32", "0", "0,0") "}", one, 0);
  put_ids("negative.safetensors", "{" ONE("t", "I32", "1", "0,4") "}", negative, 4);
  put_ids("large.safetensors", "{" ONE("t", "I64", "1", "0,8") "}", large, 8);
  put_ids("float.safetensors", "{" ONE("t", "F32", "1", "0,4") "}", one, 4);
  put_ids("two.safetensors",
          "{" ONE("a", "I64", "1", "0,8") "," ONE("b", "I32", "1", "8,12") "," ONE("c", "F32", "1",
                                                                                   "12,16") "}",
          both, 16);
  check_ids_of("one.safetensors", 1, FAIL_NONE, "");
  check_ids_of("wide.safetensors", 1, FAIL_NONE, "");
  check_ids_of("none.safetensors", 0, FAIL_NONE, "");
  check_ids_of("two.safetensors:b", 1, FAIL_NONE, "");
  check_ids_of("two.safetensors:c", 0, FAIL_NOTFOUND, "no tensor c of I32 or I64");
  check_ids_of("two.safetensors:d", 0, FAIL_NOTFOUND, "no tensor d of I32 or I64");
  check_ids_of("two.safetensors", 0, FAIL_NOTFOUND, "several tensors of ids");
  check_ids_of("float.safetensors", 0, FAIL_NOTFOUND, "no tensor of I32 or I64");
  check_ids_of("negative.safetensors", 0, FAIL_DATA, "element 0 is not the id");
  check_ids_of("large.safetensors", 0, FAIL_DATA, "element 0 is not the id");
  check_ids_of("absent.safetensors", 0, FAIL_IO, "cannot open");
}

int main(void)
{
  read_spec = test_alloc(sizeof *read_spec);
  scratch_make();
  check_each_member();
  check_values_refused();
  check_defaults();
  check_rotary_members();
  check_rotary_values();
  check_frequencies();
  check_texts();
  check_ids();
  scratch_remove();
  free(read_spec);
  return test_end();
}
