/*
 * tokenizer.c - fuzz target: the bytes up to the first 0xFF as tokenizer.json, the rest as a text
 * to encode and decode; without a rest a text that has something for every step.
 */
#include "fuzz.h"

#include "../../src/files/utf8.h"
#include "../../src/model/tokenizer.h"

enum { MOST_TEXT = 4096 };

static void use(const tokenizer *t, const char *text, size_t length)
{
  fail why = {0};
  token_list ids = {0}, again = {0};
  buf back = {0};
  bool valid = utf8_check(text, length) == length;
  bool ok = tokenizer_encode(t, text, length, &ids, &why);
  CHECK(valid || (!ok && why.kind == FAIL_FORMAT), "text that is not UTF-8: taken");
  CHECK(ok || (ids.count == 0 && why.text[0] != 0), "what a failure leaves");
  for (size_t i = 0; i < ids.count; i++)
    CHECK(ids.ids[i] >= 0 && (size_t)ids.ids[i] < tokenizer_size(t), "id %d", ids.ids[i]);
  if (ok && CHECK(tokenizer_decode(t, ids.ids, ids.count, &back, &why), "%s", why.text))
    CHECK(back.length == 0 || utf8_check(back.data, back.length) == back.length, "not UTF-8");
  CHECK(tokenizer_encode(t, text, length, &again, &why) == ok && again.count == ids.count &&
            (ids.count == 0 || memcmp(again.ids, ids.ids, ids.count * sizeof *ids.ids) == 0),
        "other ids the second time");
  token_list_free(&again);
  token_list_free(&ids);
  buf_free(&back);
}

static const char sample[] = "<s> It's  \xC3\xA9t\xC3\xA9, e\xCC\x81 12345\r\n\xF0\x9F\x98\x80 "
                             "\xEA\xB0\x80\xE2\x96\x81 wug</s>";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fail why = {0};
  json_doc *d = NULL;
  tokenizer *t = NULL;
  const uint8_t *end = size != 0 ? memchr(data, 0xFF, size) : NULL;
  size_t length = end != NULL ? (size_t)(end - data) : size;
  fuzz_in in = {data, length}, rest = {data + length, size - length};
  if (json_parse(&d, fuzz_rest(&in), length, "fuzz", 0, &why)) {
    if (tokenizer_make(&t, d, "fuzz", &why)) {
      if (end == NULL)
        use(t, sample, sizeof sample - 1);
      (void)fuzz_u8(&rest);
      rest.left = rest.left < MOST_TEXT ? rest.left : MOST_TEXT;
      char *text = fuzz_rest(&rest);
      use(t, text, rest.left);
      free(text);
    } else {
      CHECK(why.kind != FAIL_NONE && why.text[0] != 0, "no reason");
    }
  }
  tokenizer_close(t);
  json_free(d);
  return fuzz_end();
}
