/*
 * gguf_open.c - fuzz target: any bytes as a GGUF file. Of an accepted one everything is read, and
 * it is looked at as the model and the tokenizer that it may be.
 */
#include "fuzz.h"

#include "../../src/model/gguf_llama.h"
#include "../../src/model/spec.h"

static void read_key(const gguf_file *f, const gguf_value *v)
{
  fail why = {0};
  char *text = NULL;
  size_t length = 0;
  uint64_t last = v->type == GGUF_ARRAY ? v->count - 1 : 0;
  CHECK(v->key[0] != 0 && gguf_find_key(f, v->key) == v, "key \"%.60s\"", v->key);
  if (v->type == GGUF_ARRAY && v->count == 0)
    return;
  if (CHECK(gguf_text(f, v, last, &text, &length, &why), "%s", why.text))
    CHECK(text[length] == 0, "not terminated");
  free(text);
}

static void read_tensor(const gguf_file *f, const gguf_tensor *t)
{
  fail why = {0};
  char *bytes = test_alloc((size_t)t->as.bytes);
  CHECK(gguf_read(f, &t->as, 0, bytes, (size_t)t->as.bytes, &why), "%s", why.text);
  CHECK(!gguf_read(f, &t->as, t->as.bytes, bytes, 1, &why), "read past its end");
  free(bytes);
}

static void as_tokenizer(const gguf_file *f)
{
  fail why = {0};
  tokenizer *t = NULL;
  token_list ids = {0};
  buf text = {0};
  int32_t start;
  if (gguf_tokenizer(&t, f, &why) && tokenizer_encode(t, " ab a1\n", 7, &ids, &why))
    (void)tokenizer_decode(t, ids.ids, ids.count, &text, &why);
  (void)gguf_start(f, &start, &why);
  buf_free(&text);
  token_list_free(&ids);
  tokenizer_close(t);
}

static void as_folder(const char *path)
{
  static spec s;
  fail why = {0};
  model *m = NULL;
  if (CHECK(model_open(&m, path, &why), "%s", why.text) && gguf_as_folder(m, &why) &&
      CHECK(model_config(m) != NULL, "no config"))
    (void)spec_read(&s, model_config(m), &why);
  model_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fail why = {0};
  gguf_file *f = NULL;
  if (gguf_open_memory(&f, data, size, "fuzz", &why)) {
    CHECK(gguf_file_bytes(f) == size && gguf_data_offset(f) <= size + GGUF_ALIGNMENT_MAX, "sizes");
    for (size_t i = 0; i < gguf_key_count(f) && i < 256; i++)
      read_key(f, gguf_key_at(f, i));
    for (size_t i = 0; i < gguf_count(f); i++)
      read_tensor(f, gguf_at(f, i));
    as_tokenizer(f);
    if (gguf_count(f) != 0)
      as_folder(fuzz_file(data, size));
  } else {
    CHECK(why.kind != FAIL_NONE && why.text[0] != 0, "no reason");
  }
  gguf_close(f);
  return fuzz_end();
}
