/* json.c - fuzz target: a JSON document, read, changed, written and read again. */
#include "fuzz.h"

#include "../../src/files/json.h"

/* Walks all of it and asks for numbers in every form. */
static void walk(const json_doc *d, json_id v)
{
  uint64_t u;
  int64_t i;
  double f;
  size_t length = 0, count = 0;
  json_kind kind = json_kind_of(d, v);
  const char *text = json_text(d, v, &length);
  CHECK(text == NULL || memchr(text, 0, length) == NULL || json_string(d, v) == NULL, "a NUL");
  if (json_f64(d, v, &f) == FAIL_NONE) {
    char shortest[32];
    json_f64_text(shortest, f);
    CHECK(strtod(shortest, NULL) == f, "%s is not %.17g", shortest, f);
  }
  if (json_u64(d, v, &u) == FAIL_NONE && json_i64(d, v, &i) == FAIL_NONE)
    CHECK(u == (uint64_t)i, "%llu", (unsigned long long)u);
  for (json_id m = json_first(d, v); m != 0; m = json_next(d, m), count++) {
    const char *name = kind == JSON_OBJECT ? json_string(d, m) : NULL;
    CHECK(name == NULL || count > 64 || json_get(d, v, name) != 0, "member \"%s\"", name);
    walk(d, kind == JSON_OBJECT ? json_value(d, m) : m);
  }
  CHECK(count == json_count(d, v), "%zu of %zu", count, json_count(d, v));
}

static void change(json_doc *d)
{
  json_id root = json_root(d);
  if (json_kind_of(d, root) != JSON_OBJECT)
    return;
  json_id object = json_put_object(d, root, "middle");
  json_put_f64(d, object, "a", 0.1);
  json_put_i64(d, json_put_array(d, object, "list"), NULL, INT64_MIN);
  json_put_string(d, root, "", "\n\"\\");
  json_put_null(d, root, "zz");
  CHECK(json_remove(d, root, "zz") && json_is(d, json_get(d, root, ""), "\n\"\\"), "put");
}

/* Written and read: the same text again. */
static void again(const json_doc *d, bool ascii)
{
  fail why = {0};
  buf one = {0}, two = {0};
  json_doc *copy = NULL;
  CHECK(json_write(d, &one, ascii, &why), "%s", why.text);
  fuzz_in in = {(const uint8_t *)one.data, one.length};
  if (CHECK(json_parse(&copy, fuzz_rest(&in), one.length, "again", 0, &why), "%s", why.text)) {
    walk(copy, json_root(copy));
    CHECK(json_write(copy, &two, ascii, &why), "%s", why.text);
    CHECK(one.length == two.length && memcmp(one.data, two.data, one.length) == 0, "other text");
  }
  json_free(copy);
  buf_free(&one);
  buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_in in = {data, size};
  fail why = {0};
  json_doc *d = NULL;
  if (json_parse(&d, fuzz_rest(&in), size, "fuzz", 0, &why)) {
    walk(d, json_root(d));
    again(d, false);
    change(d);
    again(d, true);
  } else {
    CHECK(why.kind != FAIL_NONE && why.text[0] != 0, "no reason");
  }
  json_free(d);
  return fuzz_end();
}
