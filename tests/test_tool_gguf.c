/*
 * test_tool_gguf.c - proves that a Llama in a GGUF file is seen as the folder that it was made
 * from: names, rows of q and k, configuration, tokenizer; and that what is not understood is
 * refused by name.
 *
 * The files are made here, from a folder and from the tokenizers of tests/vectors by rules written
 * apart from those under test.
 */
#include "gguf.h"
#include "test_files.h"

#include "../src/model/gguf_llama.h"
#include "../src/model/spec.h"

static const char *vectors;

static const char *vector(const char *name)
{
  static char path[1024];
  snprintf(path, sizeof path, "%s/%s", vectors, name);
  return path;
}

/* ---- a folder as a GGUF file ---- */

/* A text with parts replaced; long enough for the names here. */
static void replace(char *text, const char *from, const char *to)
{
  char *found = strstr(text, from), rest[256];
  if (found == NULL)
    return;
  snprintf(rest, sizeof rest, "%s", found + strlen(from));
  strcpy(found, to);
  strcat(text, rest);
}

static void file_name(const char *folder, char out[256])
{
  static const char *const parts[][2] = {{"model.embed_tokens", "token_embd"},
                                         {"model.norm", "output_norm"},
                                         {"lm_head", "output"},
                                         {"model.layers", "blk"},
                                         {"post_attention_layernorm", "ffn_norm"},
                                         {"input_layernorm", "attn_norm"},
                                         {"self_attn.o_proj", "attn_output"},
                                         {"self_attn.q_proj", "attn_q"},
                                         {"self_attn.k_proj", "attn_k"},
                                         {"self_attn.v_proj", "attn_v"},
                                         {"mlp.gate_proj", "ffn_gate"},
                                         {"mlp.up_proj", "ffn_up"},
                                         {"mlp.down_proj", "ffn_down"}};
  snprintf(out, 256, "%s", folder);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    replace(out, parts[i][0], parts[i][1]);
}

static uint64_t heads_of(const char *name)
{
  return strstr(name, ".q_proj") ? 4 : strstr(name, ".k_proj") ? 2 : 0;
}

/* Rows of q and k as llama.cpp wants them: for each head its first half at even places. */
static void put_rows(buf *b, const st_tensor *t, const char *data, uint64_t heads)
{
  uint64_t rows = t->shape[0], row = t->bytes / rows, size = heads ? rows / heads : 1;
  for (uint64_t r = 0; r < rows; r++) {
    uint64_t in = r % size, from = heads ? r - in + in / 2 + (in % 2 ? size / 2 : 0) : r;
    buf_add(b, data + from * row, (size_t)row);
  }
}

static void put_llama_keys(buf *b, const char *architecture, uint32_t theta)
{
  static const struct {
    const char *key;
    uint32_t value;
  } numbers[] = {{"llama.block_count", 2},           {"llama.context_length", 64},
                 {"llama.embedding_length", 32},     {"llama.feed_forward_length", 40},
                 {"llama.attention.head_count", 4},  {"llama.attention.head_count_kv", 2},
                 {"llama.attention.key_length", 12}, {"llama.attention.value_length", 12},
                 {"tokenizer.ggml.bos_token_id", 1}, {"tokenizer.ggml.eos_token_id", 2}};
  put_key(b, "general.architecture", GGUF_STRING);
  put_string(b, architecture);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    put_key(b, numbers[i].key, GGUF_U32);
    put_int(b, numbers[i].value, 4);
  }
  put_key(b, "llama.attention.layer_norm_rms_epsilon", GGUF_F32);
  put_int(b, 0x3727c5ac, 4); /* 1e-5 */
  put_key(b, "llama.rope.freq_base", GGUF_F32);
  put_int(b, theta, 4);
}

enum { LLAMA_KEYS = 13, HEAD_DIM = 12, THETA_100 = 0x42c80000, THETA_500000 = 0x48f42400 };

/* `divisors`: what a tensor that the folder has not holds, one float for each two of a head, or
 * NULL. */
static void put_llama(const model *from, const char *path, const char *architecture,
                      const float *divisors)
{
  buf b = {0}, data = {0};
  fail why;
  char name[256];
  put_head(&b, model_tensor_count(from) + (divisors != NULL), LLAMA_KEYS);
  put_llama_keys(&b, architecture, divisors != NULL ? THETA_500000 : THETA_100);
  for (size_t i = 0; i < model_tensor_count(from); i++) {
    const st_tensor *t = model_at(from, i)->tensor;
    char *bytes = test_alloc((size_t)t->bytes);
    CHECK(t->dtype == ST_BF16 &&
              model_read(from, model_at(from, i), 0, bytes, (size_t)t->bytes, &why),
          "%s", t->name);
    file_name(t->name, name);
    put_tensor(&b, name, 30, t->shape[t->ndim - 1], t->ndim > 1 ? t->shape[0] : 0, data.length);
    put_rows(&data, t, bytes, heads_of(t->name));
    pad(&data, 32);
    free(bytes);
  }
  if (divisors != NULL)
    put_tensor(&b, "rope_freqs.weight", 0, HEAD_DIM / 2, 0, data.length);
  for (int i = 0; i < HEAD_DIM / 2 && divisors != NULL; i++) {
    uint32_t bits;
    memcpy(&bits, &divisors[i], sizeof bits);
    put_int(&data, bits, 4);
  }
  pad(&b, 32);
  buf_add(&b, data.data, data.length);
  put_bytes(path, b.data, b.length);
  buf_free(&b);
  buf_free(&data);
}

/* The same bytes, also when they are asked for in pieces that cut rows. */
static void check_tensor(const model *want, const model *got, const model_tensor *w)
{
  const st_tensor *t = w->tensor;
  const model_tensor *g = model_find(got, t->name);
  char *a = test_alloc((size_t)t->bytes), *b = test_alloc((size_t)t->bytes);
  fail why;
  if (CHECK(g != NULL && g->tensor->bytes == t->bytes && g->tensor->ndim == t->ndim &&
                g->tensor->shape[0] == t->shape[0] && g->tensor->dtype == t->dtype,
            "%s", t->name)) {
    CHECK(model_read(want, w, 0, a, (size_t)t->bytes, &why), "%s", why.text);
    for (uint64_t at = 0, n; at < t->bytes; at += n) {
      n = t->bytes - at < 37 ? t->bytes - at : 37;
      CHECK(model_read(got, g, at, b + at, (size_t)n, &why), "%s", why.text);
    }
    CHECK(memcmp(a, b, (size_t)t->bytes) == 0, "%s differs", t->name);
    CHECK(!model_read(got, g, t->bytes, b, 1, &why) && why.kind == FAIL_OVERFLOW, "past its end");
  }
  free(a);
  free(b);
}

static void check_config(const model *folder, const model *file)
{
  spec *a = test_alloc(sizeof *a), *b = test_alloc(sizeof *b);
  fail why = {0};
  CHECK(spec_read(a, model_config(folder), &why) && spec_read(b, model_config(file), &why), "%s",
        why.text);
  CHECK(a->vocab == b->vocab && a->hidden == b->hidden && a->feed_forward == b->feed_forward &&
            a->layers == b->layers && a->heads == b->heads && a->kv_heads == b->kv_heads &&
            a->head_dim == b->head_dim && a->max_positions == b->max_positions,
        "sizes");
  CHECK((float)a->norm_eps == (float)b->norm_eps && a->rope.theta == b->rope.theta &&
            a->qkv_bias == b->qkv_bias && a->mlp_bias == b->mlp_bias && a->tied == b->tied &&
            a->bos == b->bos,
        "the rest");
  free(a);
  free(b);
}

static void check_llama(void)
{
  model *folder = open_model(vector("networks/llama"));
  fail why = {0};
  put_llama(folder, at("llama.gguf"), "llama", NULL);
  model *file = open_model(at("llama.gguf"));
  CHECK(model_gguf(file) && !model_gguf(folder) && !model_is_folder(file) &&
            model_shard(file, 0) == NULL && model_config(file) == NULL,
        "a GGUF file");
  CHECK(gguf_as_other(file, file, &why) && model_find(file, "token_embd.weight") != NULL,
        "by its own names");
  CHECK(gguf_as_other(folder, file, &why), "a folder stays");
  CHECK(gguf_as_other(file, folder, &why), "%s", why.text);
  for (size_t i = 0; i < model_tensor_count(folder); i++)
    check_tensor(folder, file, model_at(folder, i));
  CHECK(model_tensor_count(file) == model_tensor_count(folder), "number of tensors");
  check_config(folder, file);
  model_close(file);
  model_close(folder);
}

/* The scaling of Llama 3.1, given as a divisor for each frequency: with base 500000 wavelengths are
 * 6, 56, 499, 4443, 39593 and 352812. The fourth is between 2048 and 8192. */
static void check_llama3(void)
{
  static const float divisors[HEAD_DIM / 2] = {1, 1, 1, 2.69452969f, 8, 8};
  model *folder = open_model(vector("networks/llama"));
  spec *s = test_alloc(sizeof *s);
  fail why = {0};
  put_llama(folder, at("llama3.gguf"), "llama", divisors);
  model *m = open_model(at("llama3.gguf"));
  CHECK(gguf_as_folder(m, &why) && spec_read(s, model_config(m), &why), "%s", why.text);
  CHECK(s->rope.type == ROPE_LLAMA3 && s->rope.factor == 8 && s->rope.original_positions == 8192 &&
            s->rope.low_freq_factor == 1 && s->rope.high_freq_factor == 4,
        "factor %g", s->rope.factor);
  model_close(m);
  model_close(folder);
  free(s);
}

/* ---- refusals ---- */

static void check_refusal(const model *folder, const char *architecture, const float *divisors,
                          const char *words)
{
  fail why = {0};
  put_llama(folder, at("bad.gguf"), architecture, divisors);
  model *m = open_model(at("bad.gguf"));
  CHECK(!gguf_as_folder(m, &why) && why.kind == FAIL_UNSUPPORTED && strstr(why.text, words) &&
            strstr(why.text, "bad.gguf"),
        "%s", why.text);
  model_close(m);
}

static void check_keys_missing(void)
{
  fail why = {0};
  buf b = {0};
  put_head(&b, 0, 1);
  put_key(&b, "general.architecture", GGUF_STRING);
  put_string(&b, "llama");
  put_bytes(at("bad.gguf"), b.data, b.length);
  model *m = open_model(at("bad.gguf"));
  CHECK(!gguf_as_folder(m, &why) && why.kind == FAIL_NOTFOUND && strstr(why.text, "block_count"),
        "%s", why.text);
  model_close(m);
  buf_free(&b);
}

/* Heads that do not divide the rows, and two tensors that would have one name. */
static void check_tensors_refused(void)
{
  static const char *const names[] = {"blk.0.attn_q.weight", "blk.00.ffn_up.weight"};
  static const char *const words[] = {"30 rows of 4 heads", "two tensors"};
  for (int i = 0; i < 2; i++) {
    fail why = {0};
    buf b = {0};
    put_head(&b, 2, LLAMA_KEYS);
    put_llama_keys(&b, "llama", THETA_100);
    put_tensor(&b, names[i], 24, 1, 30, 0);
    put_tensor(&b, "blk.0.ffn_up.weight", 24, 1, 1, 32);
    pad(&b, 32);
    buf_fill(&b, 0, 64);
    put_bytes(at("bad.gguf"), b.data, b.length);
    model *m = open_model(at("bad.gguf"));
    CHECK(!gguf_as_folder(m, &why) && why.kind == FAIL_FORMAT && strstr(why.text, words[i]), "%s",
          why.text);
    model_close(m);
    buf_free(&b);
  }
}

static void check_refusals(void)
{
  static const float divisors[HEAD_DIM / 2] = {1, 1, 2, 3, 4, 5};
  model *folder = open_model(vector("networks/llama"));
  check_refusal(folder, "gpt_neox", NULL, "\"gpt_neox\"");
  check_refusal(folder, "llama", divisors, "rope_freqs");
  check_keys_missing();
  check_tensors_refused();
  model_close(folder);
}

/* ---- tokenizers ---- */

typedef struct token {
  const char *text;
  size_t length;
  int32_t type;
  float score;
} token;

static json_doc *read_json(const char *path)
{
  fail why = {0};
  json_doc *d = NULL;
  if (!CHECK(json_read(&d, SYS_CWD, path, path, &why), "%s", why.text))
    exit(1);
  return d;
}

static uint64_t number(const json_doc *d, json_id v)
{
  uint64_t n = 0;
  CHECK(json_u64(d, v, &n) == FAIL_NONE, "not a number");
  return n;
}

enum { TOKENS_MAX = 1024 };

static size_t read_tokens(const json_doc *d, token all[TOKENS_MAX])
{
  json_id model_id = json_get(d, json_root(d), "model"), vocab = json_get(d, model_id, "vocab");
  json_id added = json_get(d, json_root(d), "added_tokens");
  size_t count = 0;
  for (json_id m = json_first(d, vocab); m; m = json_next(d, m)) {
    token *t = &all[number(d, json_value(d, m)) % TOKENS_MAX];
    t->text = json_text(d, m, &t->length);
    t->type = 1;
    t->score = -1e6f;
    count++;
  }
  for (json_id a = json_first(d, added); a; a = json_next(d, a)) {
    token *t = &all[number(d, json_get(d, a, "id")) % TOKENS_MAX];
    count += t->text == NULL;
    t->text = json_text(d, json_get(d, a, "content"), &t->length);
    t->type = json_kind_of(d, json_get(d, a, "special")) == JSON_TRUE ? 3 : 4;
  }
  return count;
}

/* Of a merge, given as "a b" or ["a", "b"]. */
static void merge_text(const json_doc *d, json_id m, char out[256], bool joined)
{
  size_t n, k;
  const char *text = json_text(d, m, &n);
  if (json_kind_of(d, m) == JSON_ARRAY) {
    const char *left = json_text(d, json_first(d, m), &n);
    const char *right = json_text(d, json_next(d, json_first(d, m)), &k);
    snprintf(out, 256, "%.*s%s%.*s", (int)n, left, joined ? "" : " ", (int)k, right);
  } else {
    const char *space = memchr(text, ' ', n);
    k = (size_t)(space - text);
    snprintf(out, 256, "%.*s%s%.*s", (int)k, text, joined ? "" : " ", (int)(n - k - 1), space + 1);
  }
}

/* A piece's score: the earlier it is joined, the higher. */
static void score_tokens(const json_doc *d, json_id merges, token *all, size_t count)
{
  float score = 0;
  char text[256];
  for (json_id m = json_first(d, merges); m; m = json_next(d, m)) {
    merge_text(d, m, text, true);
    for (size_t i = 0; i < count; i++)
      if (all[i].length == strlen(text) && memcmp(all[i].text, text, all[i].length) == 0 &&
          all[i].score < -1e5f)
        all[i].score = score;
    score -= 1;
  }
}

static void put_tokens(buf *b, const json_doc *d, const char *kind, const char *pre)
{
  json_id merges = json_get(d, json_get(d, json_root(d), "model"), "merges");
  static token all[TOKENS_MAX];
  char text[256];
  memset(all, 0, sizeof all);
  size_t count = read_tokens(d, all);
  score_tokens(d, merges, all, count);
  put_head(b, 0, 6);
  put_key(b, "tokenizer.ggml.model", GGUF_STRING);
  put_string(b, kind);
  put_key(b, "tokenizer.ggml.pre", GGUF_STRING);
  put_string(b, pre);
  put_array(b, "tokenizer.ggml.tokens", GGUF_STRING, count);
  for (size_t i = 0; i < count; i++) {
    put_int(b, all[i].length, 8);
    buf_add(b, all[i].text, all[i].length);
  }
  put_array(b, "tokenizer.ggml.token_type", GGUF_I32, count);
  for (size_t i = 0; i < count; i++)
    put_int(b, (uint64_t)all[i].type, 4);
  put_array(b, "tokenizer.ggml.scores", GGUF_F32, count);
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &all[i].score, sizeof bits);
    put_int(b, bits, 4);
  }
  put_array(b, "tokenizer.ggml.merges", GGUF_STRING, json_count(d, merges));
  for (json_id m = json_first(d, merges); m; m = json_next(d, m)) {
    merge_text(d, m, text, false);
    put_string(b, text);
  }
}

static void check_case(const tokenizer *t, const json_doc *d, json_id c)
{
  size_t length = 0, n = 0;
  json_id ids = json_get(d, c, "ids");
  const char *text = json_text(d, json_get(d, c, "text"), &length);
  token_list got = {0};
  fail why = {0};
  bool same = true;
  /* A GGUF file does not say whether a token is looked for before or after composing accents. */
  if (ids == 0 || text == NULL || strstr(text, "\314\201") != NULL)
    return;
  CHECK(tokenizer_encode(t, text, length, &got, &why), "%s", why.text);
  for (json_id i = json_first(d, ids); i; i = json_next(d, i), n++)
    same = same && n < got.count && (uint64_t)got.ids[n] == number(d, i);
  CHECK(same && got.count == n, "%zu ids, not %zu or not the same: %.60s", got.count, n, text);
  token_list_free(&got);
}

static void check_tokenizer(const char *name, const char *kind, const char *pre)
{
  char path[128];
  gguf_file *f = NULL;
  tokenizer *t = NULL;
  fail why = {0};
  buf b = {0};
  size_t n = 0;
  snprintf(path, sizeof path, "tokenizers/%s.json", name);
  json_doc *d = read_json(vector(path));
  put_tokens(&b, d, kind, pre);
  test_in("%s", name);
  if (CHECK(gguf_open_memory(&f, b.data, b.length, name, &why) && gguf_tokenizer(&t, f, &why), "%s",
            why.text)) {
    snprintf(path, sizeof path, "tokenizers/%s.cases.json", name);
    json_doc *cases = read_json(vector(path));
    json_id list = json_get(cases, json_root(cases), "cases");
    for (json_id c = json_first(cases, list); c; c = json_next(cases, c), n++)
      check_case(t, cases, c);
    CHECK(n > 20, "%zu cases", n);
    json_free(cases);
  }
  test_in("%s", "");
  tokenizer_close(t);
  gguf_close(f);
  json_free(d);
  buf_free(&b);
}

static void check_bad_tokenizers(void)
{
  static const char *const kinds[][2] = {{"bert", "x"}, {"gpt2", "strange"}};
  json_doc *d = read_json(vector("tokenizers/gpt2.json"));
  for (int i = 0; i < 2; i++) {
    buf b = {0};
    gguf_file *f = NULL;
    tokenizer *t = NULL;
    fail why = {0};
    put_tokens(&b, d, kinds[i][0], kinds[i][1]);
    CHECK(gguf_open_memory(&f, b.data, b.length, "memory", &why), "%s", why.text);
    CHECK(!gguf_tokenizer(&t, f, &why) && !t && why.kind == FAIL_UNSUPPORTED &&
              strstr(why.text, kinds[i][i]),
          "%s", why.text);
    gguf_close(f);
    buf_free(&b);
  }
  json_free(d);
}

int main(int argc, char **argv)
{
  vectors = test_vectors(argc, argv);
  scratch_make();
  check_llama();
  check_llama3();
  check_refusals();
  check_tokenizer("llama2", "llama", "default");
  check_tokenizer("gpt2", "gpt2", "gpt-2");
  check_tokenizer("llama3", "gpt2", "llama-bpe");
  check_tokenizer("qwen2", "gpt2", "qwen2");
  check_bad_tokenizers();
  scratch_remove();
  return test_end();
}
