/*
 * test_tool_gguf_keys.c - proves what is taken and refused of the keys of a Llama in a GGUF file:
 * each of them missing, of another type, with a value that cannot be; names of tensors that are
 * nearly those of a layer; small tokenizers.
 */
#include "gguf.h"
#include "test_files.h"

#include "../src/model/gguf_llama.h"
#include "../src/model/spec.h"

static const char *vectors;

/* ---- keys, one by one ---- */

typedef struct key_row {
  const char *key;
  gguf_type type;
  uint64_t bits;
  const char *text; /* of a STRING */
} key_row;

static void put_row(buf *b, const key_row *r)
{
  put_key(b, r->key, r->type);
  if (r->type == GGUF_STRING)
    put_string(b, r->text);
  else
    put_int(b, r->bits,
            r->type == GGUF_BOOL                         ? 1
            : r->type == GGUF_U64 || r->type == GGUF_F64 ? 8
                                                         : 4);
}

enum { NEEDED_KEYS = 6, ALL_KEYS = 12 };

static const key_row llama_keys[ALL_KEYS] = {
    {"general.architecture", GGUF_STRING, 0, "llama"},
    {"llama.block_count", GGUF_U32, 2, NULL},
    {"llama.embedding_length", GGUF_U32, 32, NULL},
    {"llama.feed_forward_length", GGUF_U32, 40, NULL},
    {"llama.context_length", GGUF_U32, 64, NULL},
    {"llama.attention.head_count", GGUF_U32, 4, NULL},
    {"llama.attention.head_count_kv", GGUF_U32, 2, NULL},
    {"llama.attention.layer_norm_rms_epsilon", GGUF_F32, 0x3727c5ac, NULL},
    {"llama.rope.freq_base", GGUF_F32, 0x42c80000, NULL},
    {"llama.rope.scaling.type", GGUF_STRING, 0, "none"},
    {"tokenizer.ggml.bos_token_id", GGUF_U32, 1, NULL},
    {"tokenizer.ggml.eos_token_id", GGUF_U32, 2, NULL}};

/* A file of these keys, number `without` left out, and of `more`, which replace those of their
 * names; with a tensor if one is named. */
static model *model_of(size_t without, const key_row *more, size_t mores, const char *tensor,
                       uint32_t type, uint64_t elements)
{
  buf b = {0}, rows = {0};
  uint64_t count = 0;
  for (size_t i = 0; i < ALL_KEYS + mores; i++) {
    const key_row *r = i < ALL_KEYS ? &llama_keys[i] : &more[i - ALL_KEYS];
    bool replaced = i == without;
    for (size_t k = 0; i < ALL_KEYS && k < mores; k++)
      replaced = replaced || strcmp(r->key, more[k].key) == 0;
    if (!replaced)
      put_row(&rows, r);
    count += !replaced;
  }
  put_head(&b, tensor != NULL, count);
  buf_add(&b, rows.data, rows.length);
  if (tensor != NULL)
    put_tensor(&b, tensor, type, elements, 0, 0);
  pad(&b, 32);
  buf_fill(&b, 0, (size_t)elements * 4);
  put_bytes(at("keys.gguf"), b.data, b.length);
  buf_free(&b);
  buf_free(&rows);
  return open_model(at("keys.gguf"));
}

static void check_keys(void)
{
  for (size_t i = 0; i < ALL_KEYS; i++) {
    key_row wrong = {llama_keys[i].key, llama_keys[i].type == GGUF_U32 ? GGUF_F64 : GGUF_U32, 0,
                     NULL};
    fail why = {0};
    model *m = model_of(SIZE_MAX, &wrong, 1, NULL, 0, 0);
    test_in("%s", wrong.key);
    CHECK(!gguf_as_folder(m, &why) && why.kind == FAIL_FORMAT && strstr(why.text, wrong.key), "%s",
          why.text);
    model_close(m);
    m = model_of(i, NULL, 0, NULL, 0, 0);
    bool ok = gguf_as_folder(m, &why);
    CHECK(ok == (i >= NEEDED_KEYS), "left out: %s", why.text);
    CHECK(ok || why.kind == (i > 0 ? FAIL_NOTFOUND : FAIL_UNSUPPORTED), "%s", why.text);
    model_close(m);
  }
  test_in("%s", "");
}

static void check_key_values(void)
{
#define HEADS "llama.attention.head_count"
  static const struct {
    key_row rows[3];
    fail_kind kind;
    const char *words;
  } cases[] = {
      {{{"llama.context_length", GGUF_U64, UINT64_MAX, NULL},
        {"tokenizer.ggml.eos_token_id", GGUF_U64, UINT64_C(1) << 32, NULL}},
       FAIL_NONE,
       ""},
      {{{HEADS, GGUF_U32, 0, NULL}}, FAIL_FORMAT, "numbers of heads"},
      {{{HEADS, GGUF_U64, UINT64_C(1) << 32, NULL},
        {"llama.attention.key_length", GGUF_U32, 8, NULL}},
       FAIL_FORMAT,
       "numbers of heads"},
      {{{HEADS "_kv", GGUF_U32, 0, NULL}}, FAIL_FORMAT, "numbers of heads"},
      {{{HEADS "_kv", GGUF_U32, 5, NULL}}, FAIL_FORMAT, "numbers of heads"},
      {{{"llama.attention.key_length", GGUF_F32, 0, NULL}}, FAIL_FORMAT, "key_length"},
      {{{"llama.attention.value_length", GGUF_F32, 0, NULL}}, FAIL_FORMAT, "value_length"},
      {{{"llama.attention.value_length", GGUF_U32, 9, NULL}}, FAIL_UNSUPPORTED, "different sizes"},
      {{{"llama.expert_count", GGUF_F32, 0, NULL}}, FAIL_FORMAT, "expert_count"},
      {{{"llama.expert_count", GGUF_U32, 8, NULL}}, FAIL_UNSUPPORTED, "experts"},
      {{{"llama.rope.freq_base", GGUF_F32, 0x7f800000, NULL}}, FAIL_FORMAT, "not finite"},
      {{{"llama.attention.layer_norm_rms_epsilon", GGUF_F32, 0x7fc00000, NULL}},
       FAIL_FORMAT,
       "not finite"},
      {{{"llama.rope.scaling.type", GGUF_STRING, 0, "yarn"}}, FAIL_UNSUPPORTED, "\"yarn\""},
      {{{"llama.rope.scaling.type", GGUF_STRING, 0, "linear"},
        {"llama.rope.scaling.factor", GGUF_F32, 0x40000000, NULL}},
       FAIL_NONE,
       ""},
      {{{"llama.rope.scaling.factor", GGUF_U32, 2, NULL}}, FAIL_FORMAT, "scaling.factor"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t rows = 0;
    fail why = {0};
    while (rows < 3 && cases[i].rows[rows].key != NULL)
      rows++;
    model *m = model_of(SIZE_MAX, cases[i].rows, rows, NULL, 0, 0);
    bool ok = gguf_as_folder(m, &why);
    CHECK(ok == (cases[i].kind == FAIL_NONE) && why.kind == cases[i].kind &&
              (ok || strstr(why.text, cases[i].words)),
          "case %zu: %s", i, why.text);
    model_close(m);
  }
  spec *s = test_alloc(sizeof *s);
  fail why = {0};
  model *m = model_of(SIZE_MAX, cases[13].rows, 2, "token_embd.weight", 0, 4);
  CHECK(gguf_as_folder(m, &why) && spec_read(s, model_config(m), &why) &&
            s->rope.type == ROPE_LINEAR && s->rope.factor == 2,
        "%s", why.text);
  model_close(m);
  free(s);
}

/* Tensors whose names are nearly those of a layer keep them; divisors that are none are refused. */
static void check_key_tensors(void)
{
  static const char *const own[] = {"blk.",
                                    "blk.x",
                                    "blk.:",
                                    "blk.1:",
                                    "blk.1",
                                    "blk.1/attn_q.weight",
                                    "blk.1.attn_q",
                                    "blk.1.attn_q.scale",
                                    "blk.1.attn_qq.weight",
                                    "blk.1.attn.weight",
                                    "blk.1234567.attn_q.weight",
                                    "head.weight"};
  static const struct {
    uint32_t type;
    uint64_t elements;
  } divisors[] = {{1, 4}, {0, 0}, {0, 5}};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    fail why = {0};
    model *m = model_of(SIZE_MAX, NULL, 0, own[i], 24, 4);
    CHECK(gguf_as_folder(m, &why) && model_find(m, own[i]) != NULL, "%s: %s", own[i], why.text);
    model_close(m);
  }
  for (size_t i = 0; i < sizeof divisors / sizeof *divisors; i++) {
    fail why = {0};
    model *m =
        model_of(SIZE_MAX, NULL, 0, "rope_freqs.weight", divisors[i].type, divisors[i].elements);
    CHECK(!gguf_as_folder(m, &why) && why.kind == FAIL_FORMAT && strstr(why.text, "each two"), "%s",
          why.text);
    model_close(m);
  }
  model *m = model_of(SIZE_MAX, NULL, 0, "blk.1.attn_norm.bias", 24, 4);
  fail why = {0};
  CHECK(strstr(model_shard_path(m, 0), "keys.gguf") != NULL, "%s", model_shard_path(m, 0));
  CHECK(gguf_as_folder(m, &why) && model_find(m, "model.layers.1.input_layernorm.bias"), "%s",
        why.text);
  model_close(m);
  for (uint64_t rows = 0; rows < 8; rows += 4) { /* of four heads: none, and one of each */
    m = model_of(SIZE_MAX, NULL, 0, "blk.1.attn_q.weight", 24, rows);
    CHECK(!gguf_as_folder(m, &why) && strstr(why.text, "rows of 4 heads"), "%s", why.text);
    model_close(m);
  }
}

/* As another model, whose names it has not, or has but cannot take. */
static void check_key_others(void)
{
  static const key_row bert = {"general.architecture", GGUF_STRING, 0, "bert"};
  fail why = {0};
  char path[1024];
  snprintf(path, sizeof path, "%s/networks/llama", vectors);
  model *folder = open_model(path);
  model *m = model_of(SIZE_MAX, &bert, 1, "something", 24, 4);
  CHECK(gguf_as_other(m, folder, &why) && model_find(m, "something"), "%s", why.text);
  model_close(m);
  m = model_of(SIZE_MAX, &bert, 1, "output_norm.weight", 24, 4);
  CHECK(!gguf_as_other(m, folder, &why) && strstr(why.text, "\"bert\""), "%s", why.text);
  model_close(m);
  model_close(folder);
}

/* ---- tokenizers made by hand ---- */

/* What a file says; zeros and NULL leave a key out. */
typedef struct words {
  const char *model, *pre;
  const char *tokens[6]; /* "-": the end of a list that is there */
  size_t types, scores;
  uint32_t score[6];
  const char *merges[3];
  key_row more;
  fail_kind kind;
  const char *told;
} words;

static size_t count_texts(const char *const *texts, size_t most)
{
  size_t n = 0;
  while (n < most && texts[n] != NULL && strcmp(texts[n], "-") != 0)
    n++;
  return n;
}

static void put_texts(buf *b, const char *key, const char *const *texts, size_t count)
{
  put_array(b, key, GGUF_STRING, count);
  for (size_t i = 0; i < count; i++)
    put_string(b, texts[i]);
}

static void put_words(buf *b, const words *w)
{
  size_t tokens = count_texts(w->tokens, 6), merges = count_texts(w->merges, 3);
  int keys = (w->model != NULL) + (w->pre != NULL) + (w->tokens[0] != NULL) + (w->types > 0) +
             (w->scores > 0) + (w->merges[0] != NULL) + (w->more.key != NULL);
  put_head(b, 0, (uint64_t)keys);
  if (w->model != NULL)
    put_row(b, &(key_row){"tokenizer.ggml.model", GGUF_STRING, 0, w->model});
  if (w->pre != NULL)
    put_row(b, &(key_row){"tokenizer.ggml.pre", GGUF_STRING, 0, w->pre});
  if (w->tokens[0] != NULL)
    put_texts(b, "tokenizer.ggml.tokens", w->tokens, tokens);
  if (w->types > 0) { /* one more than there are */
    put_array(b, "tokenizer.ggml.token_type", GGUF_I32, w->types - 1);
    for (size_t i = 1; i < w->types; i++)
      put_int(b, i < 3 ? 4 - i : 1, 4); /* control, unknown, then plain ones */
  }
  if (w->scores > 0) {
    put_array(b, "tokenizer.ggml.scores", GGUF_F32, w->scores - 1);
    for (size_t i = 1; i < w->scores; i++)
      put_int(b, w->score[i - 1], 4);
  }
  if (w->merges[0] != NULL)
    put_texts(b, "tokenizer.ggml.merges", w->merges, merges);
  if (w->more.key != NULL)
    put_row(b, &w->more);
}

static char long_token[1100];

static const words all_words[] = {
#define PIECES "llama", NULL, {"<s>", "a", "b", "ab", "ba", "aba"}, 7
#define LEVELS \
  "gpt2", "gpt-2", {"<s>", "a", "b", "ab", "ba", "aba"}, 7, 0, \
  { \
    0 \
  }
    {PIECES, 7, {0}, {0}, {0}, FAIL_NONE, ""},
    {"llama", NULL, {"<s>", "a"}, 3, 3, {0}, {0}, {0}, FAIL_NONE, ""}, /* nothing to merge */
    {PIECES, 7, {0}, {0}, {"tokenizer.ggml.add_space_prefix", GGUF_BOOL, 0, NULL}, FAIL_NONE, ""},
    {PIECES, 7, {0}, {0}, {"tokenizer.ggml.unknown_token_id", GGUF_U32, 0, NULL}, FAIL_NONE, ""},
    {PIECES, 7, {0}, {0}, {"tokenizer.ggml.unknown_token_id", GGUF_U32, 6, NULL}, FAIL_NONE, ""},
    {LEVELS, {"a b", "ab a"}, {0}, FAIL_NONE, ""},
    {"gpt2", "qwen2", {"-"}, 1, 0, {0}, {"-"}, {0}, FAIL_NONE, ""}, /* no tokens at all */
    {"llama", NULL, {0}, 7, 7, {0}, {0}, {0}, FAIL_NOTFOUND, "tokens"},
    {"llama", NULL, {"a"}, 0, 2, {0}, {0}, {0}, FAIL_NOTFOUND, "token_type"},
    {"llama", NULL, {"a"}, 3, 2, {0}, {0}, {0}, FAIL_FORMAT, "1 tokens and 2 types"},
    {"llama", NULL, {"\377"}, 2, 2, {0}, {0}, {0}, FAIL_UNSUPPORTED, "is not UTF-8"},
    {"llama", NULL, {long_token}, 2, 2, {0}, {0}, {0}, FAIL_UNSUPPORTED, "1099 bytes"},
    {NULL, NULL, {"a"}, 2, 2, {0}, {0}, {0}, FAIL_UNSUPPORTED, "tokenizer.ggml.model \"\""},
    {NULL,
     NULL,
     {"a"},
     2,
     2,
     {0},
     {0},
     {"tokenizer.ggml.model", GGUF_U32, 0, NULL},
     FAIL_FORMAT,
     "tokenizer.ggml.model"},
    {PIECES, 0, {0}, {0}, {0}, FAIL_NOTFOUND, "scores"},
    {PIECES, 6, {0}, {0}, {0}, FAIL_FORMAT, "6 tokens and 5 scores"},
    {PIECES, 7, {0, 0, 0x7fc00000}, {0}, {0}, FAIL_FORMAT, "token 2 is nan"},
    {PIECES,
     7,
     {0},
     {0},
     {"tokenizer.ggml.add_space_prefix", GGUF_U32, 0, NULL},
     FAIL_FORMAT,
     "add_space_prefix"},
    {PIECES,
     7,
     {0},
     {0},
     {"tokenizer.ggml.unknown_token_id", GGUF_BOOL, 0, NULL},
     FAIL_FORMAT,
     "unknown_token_id"},
    {"llama", NULL, {"a", "a"}, 3, 3, {0}, {0}, {0}, FAIL_FORMAT, "occurs twice"},
    {"gpt2", NULL, {"a"}, 2, 0, {0}, {"-"}, {0}, FAIL_UNSUPPORTED, "tokenizer.ggml.pre \"\""},
    {"gpt2",
     NULL,
     {"a"},
     2,
     0,
     {0},
     {"-"},
     {"tokenizer.ggml.pre", GGUF_U32, 0, NULL},
     FAIL_FORMAT,
     "tokenizer.ggml.pre"},
    {LEVELS, {0}, {0}, FAIL_NOTFOUND, "merges"},
    {LEVELS, {"a c"}, {0}, FAIL_FORMAT, "is merged but"},
};

static void check_words(void)
{
  memset(long_token, 'x', sizeof long_token - 1);
  for (size_t i = 0; i < sizeof all_words / sizeof *all_words; i++) {
    const words *w = &all_words[i];
    buf b = {0};
    gguf_file *f = NULL;
    tokenizer *t = NULL;
    fail why = {0};
    put_words(&b, w);
    test_in("words %zu", i);
    CHECK(gguf_open_memory(&f, b.data, b.length, "memory", &why), "%s", why.text);
    bool ok = gguf_tokenizer(&t, f, &why);
    CHECK(ok == (t != NULL) && ok == (w->kind == FAIL_NONE) && why.kind == w->kind &&
              (ok || strstr(why.text, w->told)),
          "%s", why.text);
    tokenizer_close(t);
    gguf_close(f);
    buf_free(&b);
  }
  test_in("%s", "");
}

/* The token in front of a text. */
static void check_start(void)
{
#define BOS "tokenizer.ggml.bos_token_id"
#define ADD "tokenizer.ggml.add_bos_token"
  static const struct {
    key_row rows[3];
    int32_t id; /* -2: refused */
  } cases[] = {
      {{{0}}, -1},
      {{{"tokenizer.ggml.model", GGUF_STRING, 0, "llama"}}, -1},
      {{{"tokenizer.ggml.model", GGUF_STRING, 0, "llama"}, {BOS, GGUF_U32, 1, NULL}}, 1},
      {{{"tokenizer.ggml.model", GGUF_STRING, 0, "gpt2"}, {BOS, GGUF_U32, 1, NULL}}, -1},
      {{{"tokenizer.ggml.model", GGUF_STRING, 0, "gpt2"},
        {BOS, GGUF_U32, 1, NULL},
        {ADD, GGUF_BOOL, 1, NULL}},
       1},
      {{{"tokenizer.ggml.model", GGUF_U32, 0, NULL}}, -2},
      {{{ADD, GGUF_U32, 1, NULL}}, -2},
      {{{BOS, GGUF_F32, 0, NULL}}, -2},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    buf b = {0}, rows = {0};
    gguf_file *f = NULL;
    fail why = {0};
    uint64_t count = 0;
    int32_t id = 0;
    for (; count < 3 && cases[i].rows[count].key != NULL; count++)
      put_row(&rows, &cases[i].rows[count]);
    put_head(&b, 0, count);
    buf_add(&b, rows.data, rows.length);
    CHECK(gguf_open_memory(&f, b.data, b.length, "memory", &why), "%s", why.text);
    bool ok = gguf_start(f, &id, &why);
    CHECK(ok == (cases[i].id != -2) && (!ok || id == cases[i].id), "case %zu: %d, %s", i, (int)id,
          why.text);
    gguf_close(f);
    buf_free(&b);
    buf_free(&rows);
  }
}

int main(int argc, char **argv)
{
  vectors = test_vectors(argc, argv);
  scratch_make();
  check_keys();
  check_key_values();
  check_key_tensors();
  check_key_others();
  check_words();
  check_start();
  scratch_remove();
  return test_end();
}
