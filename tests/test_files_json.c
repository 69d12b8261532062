/* JSON: what is taken and refused, typed values, changes, the exact text that is written. */
#include "test_files.h"

#include "../src/files/grow.h"
#include "../src/files/json_doc.h"
#include "../src/files/json_scan.h"
#include "../src/files/utf8.h"

#include <math.h>
#include <time.h>

static json_doc *parse(const char *text, size_t length, fail *why)
{
  json_doc *d = NULL;
  char *copy = test_alloc(length + 1);
  memcpy(copy, text, length);
  json_parse(&d, copy, length, "t.json", 0, why);
  return d;
}

static json_doc *parsed(const char *text)
{
  fail why = {0};
  json_doc *d = parse(text, strlen(text), &why);
  if (!CHECK(d != NULL, "%.60s: %s", text, why.text))
    exit(1);
  return d;
}

static const struct {
  const char *text;
  fail_kind kind;
  int byte;
} refused[] = {
    {"", FAIL_FORMAT, 0},
    {" ", FAIL_FORMAT, 1},
    {"{", FAIL_FORMAT, 1},
    {"[1,]", FAIL_FORMAT, 3},
    {"[,1]", FAIL_FORMAT, 1},
    {"{\"a\":1,}", FAIL_FORMAT, 7},
    {"{\"a\" 1}", FAIL_FORMAT, 5},
    {"{a:1}", FAIL_FORMAT, 1},
    {"{\"a\":}", FAIL_FORMAT, 5},
    {"[1 2]", FAIL_FORMAT, 3},
    {"[1}", FAIL_FORMAT, 2},
    {"{} {}", FAIL_FORMAT, 3},
    {"\xEF\xBB\xBF{}", FAIL_FORMAT, 0},
    {"[01]", FAIL_FORMAT, 2},
    {"[+1]", FAIL_FORMAT, 1},
    {"[-]", FAIL_FORMAT, 2},
    {"[1.]", FAIL_FORMAT, 3},
    {"[.5]", FAIL_FORMAT, 1},
    {"[1e]", FAIL_FORMAT, 3},
    {"[0x1]", FAIL_FORMAT, 2},
    {"[NaN]", FAIL_FORMAT, 1},
    {"[Infinity]", FAIL_FORMAT, 1},
    {"[tru]", FAIL_FORMAT, 1},
    {"[truey]", FAIL_FORMAT, 5},
    {"['a']", FAIL_FORMAT, 1},
    {"[\"\\x\"]", FAIL_FORMAT, 3},
    {"[\"\\u12G4\"]", FAIL_FORMAT, 6},
    {"[\"\\ud800\"]", FAIL_FORMAT, 2},
    {"[\"\\ud800\\u0041\"]", FAIL_FORMAT, 2},
    {"[\"\\udc00\"]", FAIL_FORMAT, 2},
    {"[\"\t\"]", FAIL_FORMAT, 2},
    {"[\"\x80\"]", FAIL_FORMAT, 2},
    {"[\"\xC0\xAF\"]", FAIL_FORMAT, 2},
    {"[\"\xED\xA0\x80\"]", FAIL_FORMAT, 2},
    {"[\"\xF4\x90\x80\x80\"]", FAIL_FORMAT, 2},
    {"[\"\xE2\x82", FAIL_FORMAT, 2},
    {"[\"a", FAIL_FORMAT, 3},
    {"[\"a\\", FAIL_FORMAT, 4},
    {"[\"\\u00", FAIL_FORMAT, 6},
    {"[1]//", FAIL_FORMAT, 3},
    {"\"\\", FAIL_FORMAT, 2},
    {"[\"\\u00 0\"]", FAIL_FORMAT, 6},
    {"[\"\\u00G0\"]", FAIL_FORMAT, 6},
    {"\"\\ud800\\", FAIL_FORMAT, 1},
    {"[\"\\ud800\\n\"]", FAIL_FORMAT, 2},
    {"[\"\\ud800\\u00g0\"]", FAIL_FORMAT, 12},
    {"[\"\\ud800\\ue000\"]", FAIL_FORMAT, 2},
    {"tru", FAIL_FORMAT, 0},
    {"[1E+-]", FAIL_FORMAT, 4},
    {"[1e-]", FAIL_FORMAT, 4},
    {"{\"a\":0,\"ab\":0,\"a\":0}", FAIL_FORMAT, 14},
    {"{\"ab\":0,\"a\":0,\"ab\":0}", FAIL_FORMAT, 14},
    {"{\"a\":1,\"\\u0061\":2}", FAIL_FORMAT, 7},
    {"{\"x\":{\"b\":1,\"c\":2,\"b\":3}}", FAIL_FORMAT, 18},
};

static void check_refused(void)
{
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    fail why = {0};
    char place[32];
    json_doc *d = parse(refused[i].text, strlen(refused[i].text), &why);
    test_in("refuse %zu", i);
    CHECK(d == NULL, "%s was taken", refused[i].text);
    CHECK(why.kind == refused[i].kind, "%s", fail_kind_name(why.kind));
    snprintf(place, sizeof place, "t.json: format: byte %d:", refused[i].byte);
    CHECK(strncmp(why.text, place, strlen(place)) == 0, "%s, expected %s", why.text, place);
    json_free(d);
  }
  test_in("%s", "");
}

static void check_depth(void)
{
  char text[200] = "";
  fail why = {0};
  for (size_t n = 32; n <= 33; n++) {
    memset(text, '[', n);
    memset(text + n, ']', n);
    json_doc *d = parse(text, 2 * n, &why);
    CHECK((d != NULL) == (n == 32), "depth %zu: %s", n, why.text);
    json_free(d);
  }
  CHECK(why.kind == FAIL_LIMIT, "%s", why.text);
}

static void check_values(void)
{
  json_doc *d =
      parsed("{\"u\":18446744073709551615,\"o\":18446744073709551616,\"m\":-9223372036854775"
             "808,\"n\":-9223372036854775809,\"z\":-0,\"f\":1.5e3,\"h\":1e999,\"s\":\"a\\u"
             "0000b\",\"t\":true,\"l\":false,\"one\":1,\"q\":null,\"e\":"
             "\"\\u00E9\\ud83d\\ude00\\n\\/\",\"a\":[1,"
             "[2],{}]}");
  json_id r = json_root(d);
  uint64_t u = 0;
  int64_t i = 0;
  double f = 0;
  bool b = false;
  size_t n;
  fail why = {0};
  const char *s = NULL;
  CHECK(json_u64(d, json_get(d, r, "u"), &u) == FAIL_NONE && u == UINT64_MAX, "u");
  CHECK(json_i64(d, json_get(d, r, "u"), &i) == FAIL_OVERFLOW, "u as i64");
  CHECK(json_u64(d, json_get(d, r, "o"), &u) == FAIL_OVERFLOW, "o");
  CHECK(json_i64(d, json_get(d, r, "m"), &i) == FAIL_NONE && i == INT64_MIN, "m");
  CHECK(json_i64(d, json_get(d, r, "n"), &i) == FAIL_OVERFLOW, "n");
  CHECK(json_u64(d, json_get(d, r, "m"), &u) == FAIL_FORMAT, "m as u64");
  CHECK(json_i64(d, json_get(d, r, "z"), &i) == FAIL_NONE && i == 0, "z");
  CHECK(json_f64(d, json_get(d, r, "f"), &f) == FAIL_NONE && f > 1499 && f < 1501, "f");
  CHECK(json_i64(d, json_get(d, r, "f"), &i) == FAIL_FORMAT, "f as i64");
  CHECK(json_f64(d, json_get(d, r, "h"), &f) == FAIL_OVERFLOW, "h");
  CHECK(json_string(d, json_get(d, r, "s")) == NULL, "a NUL inside is no C text");
  CHECK(memcmp(json_text(d, json_get(d, r, "s"), &n), "a\0b", 3) == 0 && n == 3, "%zu", n);
  CHECK(json_is(d, json_get(d, r, "e"), "\xC3\xA9\xF0\x9F\x98\x80\n/"), "e");
  CHECK(json_count(d, json_get(d, r, "a")) == 3, "a");
  CHECK(json_get(d, json_get(d, r, "no"), "x") == 0 && json_count(d, 0) == 0, "none");
  CHECK(json_need_u64(d, r, "u", &u, &why), "%s", why.text);
  CHECK(!json_need_u64(d, r, "no", &u, &why) && strstr(why.text, "no is missing"), "%s", why.text);
  CHECK(!json_opt_u64(d, r, "t", &u, &why) && why.kind == FAIL_FORMAT, "%s", why.text);
  CHECK(json_opt_u64(d, r, "q", &u, &why) && json_opt_string(d, r, "no", &s, &why), "null, absent");
  CHECK(json_opt_bool(d, r, "t", &b, &why) && b, "t");
  CHECK(!json_opt_bool(d, r, "f", &b, &why), "f is no bool");
  CHECK(!json_opt_f64(d, r, "h", &f, &why) && why.kind == FAIL_OVERFLOW, "%s", why.text);
  CHECK(!json_need_string(d, r, "s", &s, &why), "s holds a NUL");
  CHECK(json_i64(d, json_get(d, r, "s"), &i) == FAIL_FORMAT, "s as i64");
  CHECK(json_f64(d, json_get(d, r, "s"), &f) == FAIL_FORMAT, "s as f64");
  CHECK(!json_opt_f64(d, r, "s", &f, &why) && why.kind == FAIL_FORMAT, "%s", why.text);
  CHECK(json_opt_f64(d, r, "f", &f, &why) && json_opt_f64(d, r, "q", &f, &why), "%s", why.text);
  CHECK(!json_equal(d, r, "", 0) && !json_equal(d, 0, "", 0), "an object is no text");
  CHECK(json_value(d, 0) == 0, "no member, no value");
  CHECK(json_i64(d, 0, &i) == FAIL_FORMAT && json_f64(d, 0, &f) == FAIL_FORMAT, "nothing");
  CHECK(json_first(d, json_get(d, r, "u")) == 0 && !json_is(d, r, ""), "no container, no text");
  CHECK(json_need_string(d, r, "e", &s, &why) && json_opt_string(d, r, "e", &s, &why), "%s",
        why.text);
  CHECK(json_opt_bool(d, r, "no", &b, &why) && json_opt_bool(d, r, "l", &b, &why) && !b, "l");
  CHECK(json_i64(d, json_get(d, r, "one"), &i) == FAIL_NONE && i == 1, "one");
  json_free(d);
}

static void expect_text(const json_doc *d, bool ascii, const char *expected)
{
  buf b = {0};
  fail why = {0};
  CHECK(json_write(d, &b, ascii, &why), "%s", why.text);
  CHECK(b.data != NULL && strcmp(b.data, expected) == 0, "%s", b.data);
  buf_free(&b);
}

static void check_changes(void)
{
  json_doc *d = parsed("{\"a\": 1e-06,\"d\":[],\"e\":{}, \"vocab\":[\"\xC3\xA9\",1.0]}");
  json_id r = json_root(d), q = json_put_object(d, r, "b");
  json_put_string(d, q, "type", "nf4");
  json_put_bool(d, q, "double", true);
  json_put_null(d, q, "none");
  json_put_i64(d, q, "bits", -4);
  json_id list = json_put_array(d, q, "skip");
  for (int i = 0; i < 20; i++)
    json_put_string(d, list, NULL, i == 0 ? "first" : "more");
  json_put_array(d, q, "skip"); /* replaced where it stands */
  json_put_string(d, json_get(d, q, "skip"), NULL, "lm_head");
  json_put_f64(d, r, "damp", 0.01);
  json_put_i64(d, r, "zz", 7);
  CHECK(json_remove(d, r, "d") && !json_remove(d, r, "d"), "removed once");
  CHECK(json_put_null(d, json_get(d, r, "a"), "x") == 0, "a number holds no members");
  json_free(d);

  d = parsed(
      "{\"a\": 1e-06,\"d\":[],\"e\":{}, \"vocab\":[\"\xC3\xA9\xF0\x9F\x98\x80\\u007f\",1.0]}");
  r = json_root(d);
  q = json_put_object(d, r, "b");
  json_put_string(d, q, "type", "nf4");
  json_put_bool(d, q, "double", true);
  json_put_bool(d, q, "single", false);
  json_put_f64(d, r, "d", 0.01);
  json_put_i64(d, r, "zz", 7);
  expect_text(
      d, true,
      "{\n  \"a\": 1e-06,\n  \"b\": {\n    \"double\": true,\n    \"single\": false,\n"
      "    \"type\": \"nf4\"\n  },\n"
      "  \"d\": 0.01,\n  \"e\": {},\n  \"vocab\": [\n    \"\\u00e9\\ud83d\\ude00\\u007f\",\n"
      "    1.0\n  ],\n  \"zz\": 7\n}\n");
  CHECK(json_remove(d, r, "a") && json_remove(d, r, "b") && json_remove(d, r, "zz"), "removed");
  expect_text(
      d, false,
      "{\n  \"d\": 0.01,\n  \"e\": {},\n  \"vocab\": [\n    \"\xC3\xA9\xF0\x9F\x98\x80\x7F\","
      "\n    1.0\n  ]\n}\n");
  json_free(d);
}

/* Where a name goes that begins another, or that another begins; what has no room. */
static void check_edits(void)
{
  json_doc *d = parsed("{\"a\":1,\"ab\":2,\"b\":[0]}");
  json_id r = json_root(d), last = json_first(d, json_get(d, r, "b"));
  json_put_i64(d, r, "aa", 3);
  json_put_i64(d, r, "abc", 4);
  json_put_i64(d, r, "", 5);
  CHECK(json_value(d, last) == 0 || last + 1 < d->count, "the last node has none after it");
  expect_text(d, true,
              "{\n  \"\": 5,\n  \"a\": 1,\n  \"aa\": 3,\n  \"ab\": 2,\n  \"abc\": 4,\n"
              "  \"b\": [\n    0\n  ]\n}\n");
  uint32_t count = d->count, capacity = d->capacity;
  d->count = d->capacity = UINT32_MAX / 2; /* as if there were that many */
  CHECK(json_put_i64(d, r, "more", 6) == 0 && d->failed, "no more nodes than have a number");
  d->count = count;
  d->capacity = capacity;
  json_free(d);

  d = parsed("[]");
  char *text = test_alloc(JSON_BYTES_MAX + 2);
  memset(text, 'x', JSON_BYTES_MAX + 1);
  CHECK(json_put_string(d, json_root(d), NULL, text) == 0 && d->failed, "a text without end");
  free(text);
  json_free(d);
  d = parsed("1");
  CHECK(json_value(d, json_root(d)) == 0, "nothing comes after the only node");
  json_free(d);
}

static void check_parts(void)
{
  char none[] = "", *text = NULL;
  json_scan s;
  fail why = {0};
  size_t capacity = 0;
  uint32_t point;
  CHECK(!json_scan_start(&s, none, JSON_BYTES_MAX + (size_t)1, "t.json", 0, NULL, &why) &&
            why.kind == FAIL_LIMIT,
        "%s", why.text);
  CHECK(grown(NULL, &capacity, SIZE_MAX / 8, 8) == NULL && capacity == 0, "more than there is");
  for (size_t i = 0; i < 100; i++) {
    text = grown(text, &capacity, i + 1, sizeof *text);
    CHECK(text != NULL && capacity > i && capacity <= 16 + 2 * i, "%zu of %zu", i, capacity);
  }
  free(text);
  CHECK(utf8_step("\xFFx", 2, &point) == 1 && point == 0xFFFD, "%x", (unsigned)point);
  CHECK(utf8_step("\xC3\xA9", 2, &point) == 2 && point == 0xE9, "%x", (unsigned)point);
  CHECK(utf8_step("\xC3\xA9", 1, &point) == 1 && point == 0xFFFD, "%x", (unsigned)point);
  char shown[64];
  utf8_printable(shown, sizeof shown, "\xE2\x80\xB0\xE2\x81\xA5\xE2\x81\xA6\xE2\x81\xAA");
  CHECK(strcmp(shown, "\xE2\x80\xB0\xE2\x81\xA5\\xe2\\x81\\xa6\xE2\x81\xAA") == 0, "%s", shown);
}

static void check_new(void)
{
  json_doc *d = NULL;
  fail why = {0};
  CHECK(json_new(&d, "new.json", &why), "%s", why.text);
  expect_text(d, true, "{}\n");
  json_id x = json_put_array(d, json_root(d), "x");
  for (int i = 0; i < 100; i++)
    x = json_put_array(d, x, NULL);
  buf b = {0};
  CHECK(!json_write(d, &b, true, &why) && why.kind == FAIL_LIMIT, "nested without end");
  buf_free(&b);
  json_free(d);
  d = parsed("[]");
  expect_text(d, true, "[]\n");
  json_free(d);
  d = parsed(" \"\\b\\f\\r\\t\\\"\\\\\\u0001\" ");
  expect_text(d, true, "\"\\b\\f\\r\\t\\\"\\\\\\u0001\"\n");
  json_free(d);
  d = parsed("[\"a\\u0000b\"]");
  expect_text(d, false, "[\n  \"a\\u0000b\"\n]\n");
  json_put_i64(d, 0, NULL, 1); /* nowhere: the document remembers it */
  CHECK(!json_write(d, &b, true, &why) && why.kind == FAIL_NOMEM, "%s", why.text);
  buf_free(&b);
  json_free(d);
}

static void check_printer(void)
{
  buf b = {0};
  json_printer p = {.to = &b};
  json_begin(&p, NULL, '{');
  json_print_string(&p, "s", "a\"\n\xFF");
  json_begin(&p, "list", '[');
  json_print_f64(&p, NULL, NAN);
  json_print_f64(&p, NULL, 0.1);
  json_print_u64(&p, NULL, UINT64_MAX);
  json_end(&p, ']');
  json_begin(&p, "o", '{');
  json_end(&p, '}');
  json_print_i64(&p, "i", -1);
  json_print_bool(&p, "b", false);
  json_print_bool(&p, NULL, true);
  json_print_string(&p, NULL, "");
  json_print_null(&p, "n");
  json_end(&p, '}');
  CHECK(strcmp(b.data,
               "{\"s\":\"a\\\"\\n\\ufffd\",\"list\":[null,0.1,18446744073709551615],\"o\":{},"
               "\"i\":-1,\"b\":false,true,\"\",\"n\":null}") == 0,
        "%s", b.data);
  b.length = 0;
  for (int i = 0; i < 70; i++)
    json_begin(&p, NULL, '[');
  CHECK(b.failed, "deeper than the printer counts");
  for (int i = 0; i < 70; i++)
    json_end(&p, ']');
  CHECK(p.depth == 0, "depth %u", (unsigned)p.depth);
  buf_free(&b);
}

static void check_doubles(void)
{
  static const struct {
    double value;
    const char *text;
  } rows[] = {{0.0, "0.0"},
              {-0.0, "-0.0"},
              {1, "1.0"},
              {100000, "100000.0"},
              {1e15, "1000000000000000.0"},
              {1e16, "1e+16"},
              {0.0001, "0.0001"},
              {0.00001, "1e-05"},
              {1e-6, "1e-06"},
              {0.1, "0.1"},
              {1.0 / 3, "0.3333333333333333"},
              {0.1 + 0.2, "0.30000000000000004"},
              {123456.789, "123456.789"},
              {5e-324, "5e-324"},
              {1.7976931348623157e308, "1.7976931348623157e+308"},
              {INFINITY, "null"},
              {9007199254740993.0, "9007199254740992.0"}};
  char text[32];
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    json_f64_text(text, rows[i].value);
    CHECK(strcmp(text, rows[i].text) == 0, "%s, expected %s", text, rows[i].text);
  }
  uint64_t seed = 1;
  for (int i = 0; i < 20000; i++) {
    uint64_t bits = rng_u64(&seed);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (i % 2 == 0)
      value = rng_uniform(&seed) * 1000;
    if (!isfinite(value))
      continue;
    json_f64_text(text, value);
    double back = strtod(text, NULL);
    CHECK(memcmp(&back, &value, sizeof value) == 0, "%s for %.17g", text, value);
  }
}

/* Cut, flipped and repeated texts: never a crash, and what is taken can be written and read. */
static void check_noise(void)
{
  static const char base[] =
      "{\"a\":[1,-2.5e3,true,null,{\"b\\u0041\":\"c\\n\"}],\"\xC3\xA9\":{\"x\":[[],{}]}}";
  uint64_t seed = 3;
  int taken = 0;
  for (int i = 0; i < 20000; i++) {
    char text[sizeof base];
    size_t length = sizeof base - 1 - (i % 3 == 0 ? (size_t)rng_below(&seed, 20) : 0);
    memcpy(text, base, sizeof base);
    for (uint64_t k = rng_below(&seed, 3); k > 0; k--)
      text[rng_below(&seed, length)] = base[rng_below(&seed, sizeof base - 1)];
    fail why = {0};
    json_doc *d = parse(text, length, &why);
    CHECK(d != NULL || why.kind == FAIL_FORMAT, "%s", why.text);
    if (d != NULL) {
      buf first = {0}, second = {0};
      CHECK(json_write(d, &first, i % 2, &why), "%s", why.text);
      json_doc *again = parse(first.data, first.length, &why);
      if (CHECK(again != NULL, "%s", why.text))
        CHECK(json_write(again, &second, i % 2, &why) && strcmp(first.data, second.data) == 0, "%s",
              second.data);
      json_free(again);
      buf_free(&first);
      buf_free(&second);
      taken++;
    }
    json_free(d);
  }
  CHECK(taken > 100, "only %d texts were taken", taken);
}

/* 200,000 names in one object, and brackets: time stays near linear. */
static void check_speed(void)
{
  buf b = {0};
  fail why = {0};
  clock_t start = clock();
  buf_byte(&b, '{');
  for (int i = 0; i < 200000; i++)
    buf_printf(&b, "%s\"model.layers.0.a.common.prefix.%d\":[%d]", i > 0 ? "," : "", i, i);
  buf_byte(&b, '}');
  json_doc *d = parse(b.data, b.length, &why);
  CHECK(d != NULL && json_count(d, json_root(d)) == 200000, "%s", why.text);
  json_free(d);
  buf_free(&b);
  double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
  CHECK(seconds < 10, "%.1f seconds for 200,000 names", seconds);
}

int main(void)
{
  check_refused();
  check_depth();
  check_values();
  check_changes();
  check_edits();
  check_parts();
  check_new();
  check_printer();
  check_doubles();
  check_noise();
  check_speed();
  return test_end();
}
