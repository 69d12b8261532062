/*
 * faults_readers.h - what reads models beyond their files, for files_faults.c: tokenizers, the keys
 * of GGUF files, texts and ids.
 *
 * Owns: the scenarios and the files that they read. Must not know: how calls fail.
 */
#ifndef TESTS_FAULTS_READERS_H
#define TESTS_FAULTS_READERS_H

#include "gguf.h"
#include "test_files.h"

#include "../src/model/corpus.h"
#include "../src/model/gguf_llama.h"

#define TOKEN_FLAGS ",\"single_word\":false,\"rstrip\":true,\"special\":true"

/* Of each kind of step one at least; `merges`: the first text with its tokens. */
static const char *const tokenizer_files[] = {
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
    "{\"type\":\"Prepend\",\"prepend\":\"_\"},{\"type\":\"Replace\",\"pattern\":{\"String\":"
    "\" \"},\"content\":\"_\"}]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":"
    "\"Replace\",\"pattern\":{\"String\":\"_\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},"
    "{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
    "\"added_tokens\":[{\"id\":6,\"content\":\"<s>\",\"normalized\":true,\"lstrip\":"
    "true" TOKEN_FLAGS
    "},{\"id\":7,\"content\":\"<e>\",\"normalized\":false,\"lstrip\":false" TOKEN_FLAGS "}],"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,\"a\":1,\"b\":2,\"ab\":3,"
    "\"_\":4,\"<0x41>\":5},\"merges\":[\"a b\"]}}",
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
    "\"individual_digits\":true},{\"type\":\"ByteLevel\",\"add_prefix_space\":true}]},"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"ignore_merges\":true,\"vocab\":{\"a\":0,"
    "\"b\":1,\"ab\":2,\"\\u0120\":3},\"merges\":[[\"a\",\"b\"]]}}",
    "{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\"},"
    "\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"_\"},"
    "\"model\":{\"vocab\":{\"a\":0,\"_\":1},\"merges\":[]}}",
    "{\"model\":{\"vocab\":{\"a\":0,\" \":1},\"merges\":[]}}",
};

static const char *const split_behaviors[] = {"Removed", "Isolated", "MergedWithPrevious",
                                              "MergedWithNext", "Contiguous"};

static const char some_text[] = "ab <s> a<e>,b 12 a\xCC\x81\xCC\xA7 abababababababababababab,a,b";

static bool one_tokenizer(const char *path, const char *text, fail *why)
{
  tokenizer *t = NULL;
  token_list ids = {0};
  buf to = {0};
  bool ok = tokenizer_open(&t, AT_FDCWD, path, path, why) &&
            tokenizer_encode(t, text, strlen(text), &ids, why) &&
            tokenizer_decode(t, ids.ids, ids.count, &to, why);
  buf_free(&to);
  token_list_free(&ids);
  tokenizer_close(t);
  return ok;
}

static bool tokenizers(fail *why)
{
  char name[32];
  if (!one_tokenizer(at("tokenizer0.json"), "<e>", why))
    return false;
  for (int i = 0; i < 4; i++) {
    snprintf(name, sizeof name, "tokenizer%d.json", i);
    if (!one_tokenizer(at(name), some_text, why))
      return false;
  }
  return true;
}

/* Texts that begin with a match and with none, short, so that each piece asks for memory. */
static bool splits(fail *why)
{
  char name[32];
  for (int i = 0; i < 5; i++) {
    snprintf(name, sizeof name, "split%d.json", i);
    if (!one_tokenizer(at(name), "a,b", why) || !one_tokenizer(at(name), ",b", why) ||
        !one_tokenizer(at(name), "b", why))
      return false;
  }
  return true;
}

static bool one_gguf_tokenizer(const gguf_file *f, fail *why)
{
  tokenizer *t = NULL;
  int32_t id;
  bool ok = gguf_tokenizer(&t, f, why) && gguf_start(f, &id, why);
  tokenizer_close(t);
  return ok;
}

static char *bpe_bytes; /* of bpe.gguf, for a reader of memory */
static size_t bpe_length;

static bool gguf_tokenizers(fail *why)
{
  gguf_file *f = NULL, *memory = NULL;
  bool ok = gguf_open(&f, at("pieces.gguf"), why) && one_gguf_tokenizer(f, why) &&
            gguf_open_memory(&memory, bpe_bytes, bpe_length, "bpe.gguf", why) &&
            one_gguf_tokenizer(memory, why);
  gguf_close(memory);
  gguf_close(f);
  return ok;
}

/* All keys of a Llama, and the divisors of its frequencies. */
static bool gguf_folder(fail *why)
{
  static const char *const files[] = {"llama.gguf", "divided.gguf"};
  bool ok = true;
  for (int i = 0; ok && i < 2; i++) {
    model *m = NULL;
    ok = model_open(&m, at(files[i]), why) && gguf_as_folder(m, why);
    model_close(m);
  }
  return ok;
}

static bool corpora(fail *why)
{
  char *text = NULL;
  int32_t *ids = NULL;
  size_t length = 0, count = 0;
  bool ok = corpus_text(&text, &length, at("lines.jsonl"), why) &&
            corpus_ids(&ids, &count, at("ids.safetensors"), why);
  free(text);
  free(ids);
  return ok;
}

static bool extras(fail *why)
{
  model *m = NULL;
  out_folder *to = NULL;
  bool ok = model_open(&m, at("folder"), why) &&
            out_folder_create(&to, at("work/copy"), NULL, true, why) &&
            model_copy_extras(m, to, why);
  out_folder_abort(to);
  model_close(m);
  return ok;
}

/* ---- the files ---- */

static void put_bits(buf *b, const char *key, gguf_type type, uint64_t bits)
{
  put_key(b, key, type);
  put_int(b, bits, type == GGUF_BOOL ? 1 : 4);
}

static void put_words(buf *b, const char *key, const char *const *words, size_t count)
{
  put_array(b, key, GGUF_STRING, count);
  for (size_t i = 0; i < count; i++)
    put_string(b, words[i]);
}

static void put_vocabulary(const char *name, const char *kind)
{
  static const char *const tokens[] = {"<s>", "a", "b", "ab"}, *const merges[] = {"a b"};
  bool pieces = strcmp(kind, "llama") == 0;
  buf b = {0};
  put_head(&b, 0, 8);
  put_key(&b, "tokenizer.ggml.model", GGUF_STRING);
  put_string(&b, kind);
  put_key(&b, "tokenizer.ggml.pre", GGUF_STRING);
  put_string(&b, "llama-bpe");
  put_words(&b, "tokenizer.ggml.tokens", tokens, 4);
  put_array(&b, "tokenizer.ggml.token_type", GGUF_I32, 4);
  for (int i = 0; i < 4; i++)
    put_int(&b, i == 0 ? 3 : 1, 4);
  if (pieces) {
    put_array(&b, "tokenizer.ggml.scores", GGUF_F32, 4);
    buf_fill(&b, 0, 16);
    put_bits(&b, "tokenizer.ggml.unknown_token_id", GGUF_U32, 0);
  } else {
    put_words(&b, "tokenizer.ggml.merges", merges, 1);
    put_bits(&b, "general.alignment", GGUF_U32, 32);
  }
  put_bits(&b, "tokenizer.ggml.bos_token_id", GGUF_U32, 0);
  put_bits(&b, pieces ? "tokenizer.ggml.add_space_prefix" : "tokenizer.ggml.add_bos_token",
           GGUF_BOOL, 1);
  put_bytes(at(name), b.data, b.length);
  buf_free(&b);
}

static void put_llama_file(const char *name, bool divided)
{
  static const char *const numbers[] = {
      "block_count",          "embedding_length",     "feed_forward_length",
      "context_length",       "attention.head_count", "attention.head_count_kv",
      "attention.key_length", "expert_count",         "attention.value_length"};
  static const uint64_t values[] = {1, 32, 40, 64, 4, 4, 8, 0, 8};
  char key[64];
  buf b = {0};
  put_head(&b, divided ? 3 : 2, 16);
  put_key(&b, "general.architecture", GGUF_STRING);
  put_string(&b, "llama");
  for (int i = 0; i < 9; i++) {
    snprintf(key, sizeof key, "llama.%s", numbers[i]);
    put_bits(&b, key, GGUF_U32, values[i]);
  }
  put_bits(&b, "llama.attention.layer_norm_rms_epsilon", GGUF_F32, 0x3727c5ac);
  put_bits(&b, "llama.rope.freq_base", GGUF_F32, 0x461c4000);
  put_key(&b, "llama.rope.scaling.type", GGUF_STRING);
  put_string(&b, "linear");
  put_bits(&b, "llama.rope.scaling.factor", GGUF_F32, 0x40000000);
  put_bits(&b, "tokenizer.ggml.bos_token_id", GGUF_U32, 1);
  put_bits(&b, "tokenizer.ggml.eos_token_id", GGUF_U32, 2);
  put_tensor(&b, "token_embd.weight", 24, 32, 1, 0);
  put_tensor(&b, "output_norm.weight", 24, 32, 0, 32);
  if (divided)
    put_tensor(&b, "rope_freqs.weight", 0, 4, 0, 64);
  pad(&b, 32);
  buf_fill(&b, 0, 64);
  for (int i = 0; i < 4; i++)
    put_int(&b, 0x3f800000, 4);
  put_bytes(at(name), b.data, divided ? b.length : b.length - 16);
  buf_free(&b);
}

/* `ids`: a safetensors file whose only tensor is one of ids. */
static void put_reader_files(void)
{
  static const char header[] =
      "{\"t\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":0}}";
  char name[32], text[512];
  buf b = {0};
  for (int i = 0; i < 4; i++) {
    snprintf(name, sizeof name, "tokenizer%d.json", i);
    put_text(at(name), tokenizer_files[i]);
  }
  for (int i = 0; i < 5; i++) {
    snprintf(name, sizeof name, "split%d.json", i);
    snprintf(
        text, sizeof text,
        "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\",\"},\"behavior\":"
        "\"%s\",\"invert\":false},\"model\":{\"vocab\":{\"a\":0,\"b\":1,\",\":2},\"merges\":[]}}",
        split_behaviors[i]);
    put_text(at(name), text);
  }
  put_vocabulary("pieces.gguf", "llama");
  put_vocabulary("bpe.gguf", "gpt2");
  bpe_bytes = get_bytes(at("bpe.gguf"), &bpe_length);
  put_llama_file("llama.gguf", false);
  put_llama_file("divided.gguf", true);
  put_text(at("lines.jsonl"), "{\"text\":\"one\"}\n{\"text\":\"two\"}\n");
  put_int(&b, strlen(header), 8);
  buf_text(&b, header);
  put_int(&b, 7, 4);
  put_bytes(at("ids.safetensors"), b.data, b.length);
  CHECK(mkdir(at("folder"), 0700) == 0, "mkdir");
  put_bytes(at("folder/model.safetensors"), b.data, b.length);
  put_text(at("folder/config.json"), "{}");
  put_text(at("folder/extra.txt"), "text");
  buf_free(&b);
}

#endif
