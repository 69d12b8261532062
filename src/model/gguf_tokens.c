/*
 * gguf_tokens.c - the tokenizer of a GGUF file; see gguf_llama.h.
 *
 * Owns: the way from tokenizer.ggml.* to the text of a tokenizer.json, which the tokenizer then
 * reads as any other, so there is one place that knows how text is cut.
 *
 * Byte-level BPE has its merges in the file. SentencePiece has scores instead: of neighbouring
 * pieces those are joined first whose joined piece has the highest score. That is BPE whose merges
 * are all ways to cut a piece into two, sorted by the score of the whole (as transformers converts
 * such files).
 */
#include "gguf_llama.h"

#include "../files/buf.h"
#include "../files/grow.h"
#include "../files/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNKNOWN_TOKEN = 2, CONTROL_TOKEN = 3, USER_TOKEN = 4 };
enum { PIECE_MAX = 1024 }; /* bytes; cutting takes time with the square of it */

typedef struct piece {
  const char *text;
  size_t length;
  int32_t id;
} piece;

typedef struct merge {
  int32_t whole, left, right;
  float score;
} merge;

typedef struct vocab {
  const gguf_file *file;
  gguf_array tokens, scores, types;
  piece *by_id, *sorted;
  size_t count;
  merge *merges;
  size_t merge_count, merge_capacity;
} vocab;

/* ---- the vocabulary ---- */

static int by_text(const void *a, const void *b)
{
  const piece *x = a, *y = b;
  size_t n = x->length < y->length ? x->length : y->length;
  int order = memcmp(x->text, y->text, n);

  return order != 0 ? order : x->length < y->length ? -1 : x->length > y->length;
}

static int32_t find(const vocab *v, const char *text, size_t length)
{
  piece wanted = {.text = text, .length = length};
  const piece *found = bsearch(&wanted, v->sorted, v->count, sizeof *v->sorted, by_text);

  return found ? found->id : -1;
}

static bool read_vocab(vocab *v, fail *why)
{
  uint64_t at = 0;

  if (!gguf_load(v->file, "tokenizer.ggml.tokens", GGUF_STRING, &v->tokens, why) ||
      !gguf_load(v->file, "tokenizer.ggml.token_type", GGUF_I32, &v->types, why))
    return false;
  if (v->types.count != v->tokens.count) /* at most 2^30: see gguf.h */
    return fail_set(why, FAIL_FORMAT, gguf_path(v->file),
                    "%" PRIu64 " tokens and %" PRIu64 " types of tokens", v->tokens.count,
                    v->types.count);
  v->count = (size_t)v->tokens.count;
  v->by_id = calloc(v->count + 1, sizeof *v->by_id);
  v->sorted = calloc(v->count + 1, sizeof *v->sorted);
  if (!v->by_id || !v->sorted)
    return fail_memory(why, gguf_path(v->file));
  for (size_t i = 0; i < v->count; i++) {
    piece *p = &v->by_id[i];

    p->text = gguf_next_string(&v->tokens, &at, &p->length);
    p->id = (int32_t)i;
    if (p->length > PIECE_MAX || utf8_check(p->text, p->length) != p->length)
      return fail_set(why, FAIL_UNSUPPORTED, gguf_path(v->file),
                      "token %zu has %zu bytes, or is not UTF-8", i, p->length);
  }
  memcpy(v->sorted, v->by_id, v->count * sizeof *v->sorted);
  if (v->count > 0)
    qsort(v->sorted, v->count, sizeof *v->sorted, by_text);
  return true;
}

static void put_vocab(const vocab *v, buf *to)
{
  buf_text(to, "\"vocab\":{");
  for (size_t i = 0; i < v->count; i++) {
    json_quote(to, v->by_id[i].text, v->by_id[i].length, false);
    buf_printf(to, ":%zu%s", i, i + 1 < v->count ? "," : "");
  }
  buf_text(to, "}");
}

static void put_added(const vocab *v, buf *to)
{
  const char *comma = "";

  buf_text(to, "\"added_tokens\":[");
  for (size_t i = 0; i < v->count; i++) {
    int32_t type = gguf_i32_at(&v->types, i);

    if (type != UNKNOWN_TOKEN && type != CONTROL_TOKEN && type != USER_TOKEN)
      continue;
    buf_printf(to, "%s{\"id\":%zu,\"content\":", comma, i);
    json_quote(to, v->by_id[i].text, v->by_id[i].length, false);
    buf_printf(to,
               ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
               "\"special\":%s}",
               type == USER_TOKEN ? "false" : "true");
    comma = ",";
  }
  buf_text(to, "]");
}

static void free_vocab(vocab *v)
{
  gguf_array_free(&v->tokens);
  gguf_array_free(&v->scores);
  gguf_array_free(&v->types);
  free(v->by_id);
  free(v->sorted);
  free(v->merges);
}

/* ---- SentencePiece ---- */

static bool add_merge(vocab *v, const piece *whole, int32_t left, int32_t right, fail *why)
{
  if (v->merge_count == v->merge_capacity) {
    merge *merges = grown(v->merges, &v->merge_capacity, v->merge_count + 1, sizeof *merges);

    if (!merges)
      return fail_memory(why, gguf_path(v->file));
    v->merges = merges;
  }
  v->merges[v->merge_count++] =
      (merge){whole->id, left, right, gguf_f32_at(&v->scores, (uint64_t)whole->id)};
  return true;
}

/* By falling score; pieces of one score in the order of their numbers, ways to cut one by those of
 * its left parts, which differ in length. */
static int by_score(const void *a, const void *b)
{
  const merge *x = a, *y = b;

  if (x->score != y->score)
    return x->score > y->score ? -1 : 1;
  if (x->whole != y->whole)
    return (x->whole > y->whole) - (x->whole < y->whole);
  return (x->left > y->left) - (x->left < y->left);
}

static bool make_merges(vocab *v, fail *why)
{
  if (!gguf_load(v->file, "tokenizer.ggml.scores", GGUF_F32, &v->scores, why))
    return false;
  if (v->scores.count != v->count)
    return fail_set(why, FAIL_FORMAT, gguf_path(v->file), "%zu tokens and %" PRIu64 " scores",
                    v->count, v->scores.count);
  for (size_t i = 0; i < v->count; i++) {
    const piece *p = &v->by_id[i];

    if (isnan(gguf_f32_at(&v->scores, i)))
      return fail_set(why, FAIL_FORMAT, gguf_path(v->file), "the score of token %zu is nan", i);
    for (size_t n = 1; n < p->length; n++) {
      int32_t left = find(v, p->text, n);
      int32_t right = left < 0 ? -1 : find(v, p->text + n, p->length - n);

      if (right >= 0 && !add_merge(v, p, left, right, why))
        return false;
    }
  }
  if (v->merge_count > 0)
    qsort(v->merges, v->merge_count, sizeof *v->merges, by_score);
  return true;
}

static void put_merge(const vocab *v, buf *to, const merge *m)
{
  const piece *parts[2] = {&v->by_id[m->left], &v->by_id[m->right]};

  buf_text(to, "[");
  json_quote(to, parts[0]->text, parts[0]->length, false);
  buf_text(to, ",");
  json_quote(to, parts[1]->text, parts[1]->length, false);
  buf_text(to, "]");
}

#define SPACE "\\u2581"

static bool put_pieces(vocab *v, buf *to, fail *why)
{
  bool prefix = true;
  uint64_t unknown = UINT64_MAX;

  if (!make_merges(v, why) ||
      !gguf_opt_bool(v->file, "tokenizer.ggml.add_space_prefix", &prefix, why) ||
      !gguf_opt_u64(v->file, "tokenizer.ggml.unknown_token_id", &unknown, why))
    return false;
  buf_text(to, "\"model\":{\"type\":\"BPE\",\"fuse_unk\":true,\"byte_fallback\":true,");
  if (unknown < v->count) {
    buf_text(to, "\"unk_token\":");
    json_quote(to, v->by_id[unknown].text, v->by_id[unknown].length, false);
    buf_text(to, ",");
  }
  put_vocab(v, to);
  buf_text(to, ",\"merges\":[");
  for (size_t i = 0; i < v->merge_count; i++) {
    buf_text(to, i > 0 ? "," : "");
    put_merge(v, to, &v->merges[i]);
  }
  buf_text(to, "]},\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
  if (prefix)
    buf_text(to, "{\"type\":\"Prepend\",\"prepend\":\"" SPACE "\"},");
  buf_text(to, "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" SPACE
               "\"}]},\"pre_tokenizer\":null,\"decoder\":{\"type\":\"Sequence\",\"decoders\":["
               "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" SPACE "\"},\"content\":\" \"},"
               "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}");
  if (prefix)
    buf_text(to, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}");
  buf_text(to, "]}");
  return true;
}

/* ---- byte-level BPE ---- */

/* How words are cut, by the name that llama.cpp gives it; NULL: the rule of GPT-2. */
static bool find_split(const char *name, const char **regex)
{
  static const struct {
    const char *name, *regex;
  } known[] = {{"gpt-2", NULL},
               {"llama-bpe", TOKENIZER_LLAMA3},
               {"llama3", TOKENIZER_LLAMA3},
               {"llama-v3", TOKENIZER_LLAMA3},
               {"qwen2", TOKENIZER_QWEN2}};

  for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i].name, name) == 0) {
      *regex = known[i].regex;
      return true;
    }
  return false;
}

static bool put_bpe_steps(const vocab *v, buf *to, bool *ignore_merges, fail *why)
{
  const char *regex = NULL;
  char *name = NULL;
  bool ok = gguf_opt_string(v->file, "tokenizer.ggml.pre", &name, why);

  if (ok && !find_split(name, &regex)) {
    fail_set(why, FAIL_UNSUPPORTED, gguf_path(v->file),
             "tokenizer.ggml.pre \"%.60s\" is not known here", name ? name : "");
    ok = false;
  }
  if (ok && !regex)
    buf_text(to, "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                 "\"use_regex\":true},");
  if (ok && regex) {
    buf_text(to, "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
                 "\"pattern\":{\"Regex\":");
    json_quote(to, regex, strlen(regex), false);
    buf_text(to, "},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
                 "\"add_prefix_space\":false,\"use_regex\":false}]},");
  }
  if (ok && strcmp(name, "qwen2") == 0)
    buf_text(to, "\"normalizer\":{\"type\":\"NFC\"},");
  *ignore_merges = ok && strncmp(name, "llama", 5) == 0;
  free(name);
  return ok;
}

static bool put_bpe(const vocab *v, buf *to, fail *why)
{
  gguf_array merges;
  uint64_t at = 0;
  bool ignore_merges;

  if (!put_bpe_steps(v, to, &ignore_merges, why) ||
      !gguf_load(v->file, "tokenizer.ggml.merges", GGUF_STRING, &merges, why))
    return false;
  buf_text(to, "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",");
  buf_printf(to, "\"ignore_merges\":%s,", ignore_merges ? "true" : "false");
  put_vocab(v, to);
  buf_text(to, ",\"merges\":[");
  for (uint64_t i = 0; i < merges.count; i++) {
    size_t length;
    const char *text = gguf_next_string(&merges, &at, &length);

    buf_text(to, i > 0 ? "," : "");
    json_quote(to, text, length, false);
  }
  buf_text(to, "]}");
  gguf_array_free(&merges);
  return true;
}

/* ---- both ---- */

static bool put_tokenizer(vocab *v, buf *to, fail *why)
{
  char *kind = NULL;
  bool ok = read_vocab(v, why) && gguf_opt_string(v->file, "tokenizer.ggml.model", &kind, why);

  buf_text(to, "{\"version\":\"1.0\",");
  if (ok) {
    put_added(v, to);
    buf_text(to, ",");
    if (kind && strcmp(kind, "llama") == 0)
      ok = put_pieces(v, to, why);
    else if (kind && strcmp(kind, "gpt2") == 0)
      ok = put_bpe(v, to, why);
    else
      ok = fail_set(why, FAIL_UNSUPPORTED, gguf_path(v->file),
                    "tokenizer.ggml.model \"%.60s\"; llama and gpt2 are read", kind ? kind : "");
  }
  buf_text(to, "}");
  free(kind);
  if (ok && to->failed)
    ok = fail_memory(why, gguf_path(v->file));
  return ok;
}

bool gguf_tokenizer(tokenizer **out, const gguf_file *f, fail *why)
{
  vocab v = {.file = f};
  buf text = {0};
  json_doc *d = NULL;
  bool ok = put_tokenizer(&v, &text, why);

  *out = NULL;
  free_vocab(&v);
  if (!ok) {
    buf_free(&text);
    return false;
  }
  ok = json_parse(&d, text.data, text.length, gguf_path(f), 0, why) &&
       tokenizer_make(out, d, gguf_path(f), why);
  json_free(d);
  return ok;
}

bool gguf_start(const gguf_file *f, int32_t *id, fail *why)
{
  char *kind = NULL;
  uint64_t bos = UINT64_MAX;
  bool add, ok = gguf_opt_string(f, "tokenizer.ggml.model", &kind, why);

  add = ok && kind && strcmp(kind, "llama") == 0; /* where the file does not say */
  free(kind);
  ok = ok && gguf_opt_bool(f, "tokenizer.ggml.add_bos_token", &add, why) &&
       gguf_opt_u64(f, "tokenizer.ggml.bos_token_id", &bos, why);
  *id = ok && add && bos <= INT32_MAX ? (int32_t)bos : -1;
  return ok;
}
