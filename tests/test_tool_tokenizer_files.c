/*
 * test_tool_tokenizer_files.c - proves what is taken and refused of tokenizer.json as a whole:
 * members that contradict each other, lists of steps that end at their limit in each kind of step,
 * files made to be slow, and what decoders do with tokens that are nearly theirs.
 */
#include "test_files.h"

#include "../src/model/tok_parts.h"
#include "../src/model/tok_unicode.h"

static bool opens(tokenizer **out, const char *text, size_t length, fail *why)
{
  json_doc *d = NULL;
  char *copy = test_alloc(length + 1);
  memcpy(copy, text, length);
  *out = NULL;
  *why = (fail){0};
  bool ok = json_parse(&d, copy, length, "t.json", 0, why) && tokenizer_make(out, d, "t.json", why);
  json_free(d);
  return ok;
}

static tokenizer *opened(const char *text)
{
  fail why;
  tokenizer *t;
  if (!CHECK(opens(&t, text, strlen(text), &why), "%s: %s", text, why.text))
    exit(1);
  return t;
}

#define MODEL(vocab) "{\"type\":\"BPE\",\"vocab\":{" vocab "},\"merges\":[]}"
#define PARTS(normalizer, pre, decoder, added, vocab) \
  "{\"normalizer\":" normalizer ",\"pre_tokenizer\":" pre ",\"decoder\":" decoder \
  ",\"added_tokens\":[" added "],\"model\":" MODEL(vocab) "}"
#define ADDED(id, content, normalized) \
  "{\"id\":" id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false," \
  "\"rstrip\":false,\"normalized\":" normalized ",\"special\":false}"
#define REPLACE(from, to) \
  "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" from "\"},\"content\":\"" to "\"}"
#define PRE(members) PARTS("null", "{\"type\":" members "}", "null", "", "\"a\":0")
#define DECODER(members) PARTS("null", "null", "{\"type\":" members "}", "", "\"a\":0")
#define META "\"Metaspace\",\"replacement\":\"_\""
#define FIRST "{\"type\":" META ",\"prepend_scheme\":\"first\"}"
#define SPLIT "\"Split\",\"pattern\":{\"String\":\",\"}"

static void check_whole_files(void)
{
  static const struct {
    const char *text, *words; /* NULL: it is taken */
    fail_kind kind;
  } rows[] = {
      {"[]", "not a JSON object", FAIL_FORMAT},
      {"{\"model\":7}", "model is not an object", FAIL_FORMAT},
      {"{\"model\":{\"merges\":[],\"vocab\":{},\"end_of_word_suffix\":7}}", "end_of_word_suffix",
       FAIL_FORMAT},
      {"{\"model\":{\"merges\":[[null,\"a\"]],\"vocab\":{\"a\":0}}}", "neither", FAIL_FORMAT},
      {PARTS("null", "null", "null", ADDED("2", "x", "false"), "\"a\":0,\"b\":5"), NULL, FAIL_NONE},
      {PARTS("null", "null", "null", ADDED("2", "x", "false"), "\"a\":0,\"b\":2"),
       "which another token has", FAIL_FORMAT},
      {PARTS(REPLACE("x", ""), "null", "null", ADDED("1", "x", "true"), "\"a\":0"),
       "nothing is left", FAIL_FORMAT},
      {PARTS(REPLACE("x", "y"), "null", "null", ADDED("1", "x", "true") "," ADDED("2", "y", "true"),
             "\"a\":0"),
       "the same text", FAIL_FORMAT},
      {PARTS("{\"type\":\"NFC\"}", FIRST, "null", "", "\"a\":0"), NULL, FAIL_NONE},
      {PARTS(REPLACE("x", "y"), FIRST, "null", "", "\"a\":0"), NULL, FAIL_NONE},
      {PARTS(REPLACE("xx", "y"), FIRST, "null", "", "\"a\":0"), "first", FAIL_UNSUPPORTED},
      {PARTS(REPLACE("x", ""), FIRST, "null", "", "\"a\":0"), "first", FAIL_UNSUPPORTED},
      {PRE("\"Split\",\"behavior\":\"Removed\",\"invert\":false"), "String is missing",
       FAIL_FORMAT},
      {PRE(SPLIT ",\"invert\":false"), "behavior is missing", FAIL_FORMAT},
      {PRE(SPLIT ",\"behavior\":\"Removed\""), "invert is missing", FAIL_FORMAT},
      {PRE("\"Split\",\"pattern\":{\"Regex\":\"a\\u0000\"},\"behavior\":\"Removed\",\"invert\":"
           "true"),
       "regular expression", FAIL_UNSUPPORTED},
      {PRE("\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":3"), "use_regex", FAIL_FORMAT},
      {PRE("\"Digits\",\"individual_digits\":3"), "is not true or false", FAIL_FORMAT},
      {PRE("\"Metaspace\""), "replacement is missing", FAIL_FORMAT},
      {PRE("\"Metaspace\",\"replacement\":3"), "replacement is not a string", FAIL_FORMAT},
      {PRE(META ",\"prepend_scheme\":3"), "prepend_scheme", FAIL_FORMAT},
      {PRE(META ",\"add_prefix_space\":3"), "add_prefix_space", FAIL_FORMAT},
      {PRE(META ",\"split\":3"), "split", FAIL_FORMAT},
      {PRE(META ",\"prepend_scheme\":\"never\",\"add_prefix_space\":false"), NULL, FAIL_NONE},
      {DECODER("\"Metaspace\""), "replacement is missing", FAIL_FORMAT},
      {DECODER(META ",\"prepend_scheme\":\"x\""), "prepend_scheme", FAIL_FORMAT},
      {DECODER("\"Strip\""), "content is missing", FAIL_FORMAT},
      {DECODER("\"Strip\",\"content\":\" \",\"start\":-1"), "start", FAIL_FORMAT},
  };
  fail why;
  tokenizer *t;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    bool ok = opens(&t, rows[i].text, strlen(rows[i].text), &why);
    CHECK(ok == (rows[i].words == NULL) && why.kind == rows[i].kind, "row %zu: %s", i, why.text);
    CHECK(ok || strstr(why.text, rows[i].words), "row %zu: %s", i, why.text);
    tokenizer_close(t);
  }
  char text[512];
  snprintf(text, sizeof text, "{\"model\":{\"merges\":[\"a %0300d\"],\"vocab\":{\"a\":0}}}", 1);
  CHECK(!opens(&t, text, strlen(text), &why) && strstr(why.text, "is merged but"), "%s", why.text);
}

/* The list of 32 steps is full before the last kind of step has all that it becomes. */
static void check_full_lists(void)
{
  static const struct {
    const char *list, *items, *filler, *last;
    size_t steps;
  } rows[] = {
      {"normalizer", "normalizers", "{\"type\":\"NFC\"}", "{\"type\":\"NFC\"}", 1},
      {"normalizer", "normalizers", "{\"type\":\"NFC\"}",
       "{\"type\":\"Prepend\",\"prepend\":\"x\"}", 1},
      {"normalizer", "normalizers", "{\"type\":\"NFC\"}", REPLACE("x", "y"), 1},
      {"pre_tokenizer", "pretokenizers", "{\"type\":\"Digits\",\"individual_digits\":true}",
       "{\"type\":\"Digits\",\"individual_digits\":true}", 1},
      {"pre_tokenizer", "pretokenizers", "{\"type\":\"Digits\",\"individual_digits\":true}",
       "{\"type\":" SPLIT ",\"behavior\":\"Removed\",\"invert\":false}", 1},
      {"pre_tokenizer", "pretokenizers", "{\"type\":\"Digits\",\"individual_digits\":true}",
       "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", 3},
      {"pre_tokenizer", "pretokenizers", "{\"type\":\"Digits\",\"individual_digits\":true}",
       "{\"type\":" META "}", 3},
      {"decoder", "decoders", "{\"type\":\"Fuse\"}", "{\"type\":\"Fuse\"}", 1},
      {"decoder", "decoders", "{\"type\":\"Fuse\"}", REPLACE("x", "y"), 1},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t before = 28; before <= TOK_STEPS_MAX; before++) {
      buf b = {0};
      fail why;
      tokenizer *t;
      buf_printf(&b, "{\"%s\":{\"type\":\"Sequence\",\"%s\":[", rows[i].list, rows[i].items);
      for (size_t k = 0; k < before; k++)
        buf_printf(&b, "%s,", rows[i].filler);
      buf_printf(&b, "%s]},\"model\":" MODEL("\"a\":0") "}", rows[i].last);
      bool fits = before + rows[i].steps <= TOK_STEPS_MAX;
      CHECK(opens(&t, b.data, b.length, &why) == fits && why.kind == (fits ? 0 : FAIL_LIMIT),
            "row %zu, %zu before: %s", i, before, why.text);
      tokenizer_close(t);
      buf_free(&b);
    }
}

/* ---- files made to be slow ---- */

static uint64_t mix(uint64_t z)
{
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static uint64_t hash_text(const char *text)
{
  uint64_t h = 0xcbf29ce484222325u;
  for (; *text != 0; text++)
    h = (h ^ (unsigned char)*text) * 0x100000001b3u;
  return mix(h);
}

enum { CROWD = 1100, SLOTS = 4096 }; /* slots of a table with so many entries */

/* Names whose places in the table are all among its first ones. */
static void check_crowded_names(void)
{
  buf b = {0};
  fail why;
  tokenizer *t;
  buf_text(&b, "{\"model\":{\"merges\":[],\"vocab\":{");
  for (unsigned found = 0, i = 0; found < CROWD; i++) {
    char name[16];
    snprintf(name, sizeof name, "%x", i);
    if (hash_text(name) % SLOTS < 16) {
      buf_printf(&b, "%s\"%s\":%u", found > 0 ? "," : "", name, found);
      found++;
    }
  }
  buf_text(&b, "}}}");
  CHECK(!opens(&t, b.data, b.length, &why) && why.kind == FAIL_LIMIT && strstr(why.text, "slow"),
        "%s", why.text);
  buf_free(&b);
}

/* Merges of token 0 with others whose numbers are chosen likewise. */
static void check_crowded_merges(void)
{
  uint32_t ids[CROWD], count = 0, free_id = 1, k = 0;
  buf b = {0};
  fail why;
  tokenizer *t;
  for (uint32_t i = 1; count < CROWD; i++)
    if (mix(i + 0x9e3779b97f4a7c15u) % SLOTS < 16)
      ids[count++] = i;
  buf_text(&b, "{\"model\":{\"vocab\":{\"a\":0");
  for (uint32_t i = 0; i < CROWD; i++)
    buf_printf(&b, ",\"%u\":%u", (unsigned)i, (unsigned)ids[i]);
  for (uint32_t i = 0; i < CROWD; i++, free_id++) {
    for (; k < CROWD && ids[k] <= free_id; k++)
      free_id += ids[k] == free_id;
    buf_printf(&b, ",\"a%u\":%u", (unsigned)i, (unsigned)free_id);
  }
  buf_text(&b, "},\"merges\":[");
  for (uint32_t i = 0; i < CROWD; i++)
    buf_printf(&b, "%s\"a %u\"", i > 0 ? "," : "", (unsigned)i);
  buf_text(&b, "]}}");
  CHECK(!opens(&t, b.data, b.length, &why) && why.kind == FAIL_LIMIT && strstr(why.text, "slow"),
        "%s", why.text);
  buf_free(&b);
}

/* Texts with the same 32 bits of hash and the same place: of other lengths, of the same length. */
static void check_twins(void)
{
  tokenizer *t = opened("{\"model\":" MODEL("\"94a77\":0,\"1a96d7\":1") "}");
  CHECK(hash_text("94a77") >> 32 == hash_text("560d26") >> 32, "no twins");
  CHECK(hash_text("1a96d7") >> 32 == hash_text("3c80ac") >> 32, "no twins");
  CHECK(tokenizer_id(t, "560d26") == -1 && tokenizer_id(t, "3c80ac") == -1, "taken for another");
  CHECK(tokenizer_id(t, "94a77") == 0 && tokenizer_id(t, "1a96d7") == 1, "not found");
  tokenizer_close(t);
}

/* ---- text and tokens ---- */

static void decodes(const tokenizer *t, const int32_t *ids, size_t count, const char *want)
{
  buf to = {0};
  fail why;
  buf_text(&to, "");
  CHECK(tokenizer_decode(t, ids, count, &to, &why), "%s", why.text);
  CHECK(to.length == strlen(want) && memcmp(to.data, want, to.length) == 0, "%s, not %s", to.data,
        want);
  buf_free(&to);
}

static void check_decoders(void)
{
  static const int32_t all[] = {0, 1, 2, 3, 4};
  tokenizer *t = opened(PARTS("null", "null", "{\"type\":\"ByteFallback\"}", "",
                              "\"<0xg1>\":0,\"<0x1G>\":1,\"<0x41x\":2,\"<1x41>\":3,\"<0x4a>\":4"));
  decodes(t, all, 5, "<0xg1><0x1G><0x41x<1x41>J");
  tokenizer_close(t);
  t = opened(PARTS("null", "null", "{\"type\":\"Strip\",\"content\":\"x\",\"start\":1,\"stop\":2}",
                   "", "\"xxaxx\":0,\"x\":1,\"axxx\":2,\"b\":3,\"xx\":4"));
  decodes(t, all, 5, "xaaxb");
  tokenizer_close(t);
  t = opened("{\"model\":" MODEL("\"a\":0,\"b\":2") "}");
  fail why;
  buf to = {0};
  CHECK(!tokenizer_decode(t, all, 2, &to, &why) && why.kind == FAIL_NOTFOUND, "no token has 1");
  decodes(t, all + 2, 1, "b");
  tok_bpe b = {0};
  token_list ids = {0};
  CHECK(!tok_bpe_encode(t, &b, "", INT32_MAX, &ids, &why) && why.kind == FAIL_LIMIT, "%s",
        why.text);
  tokenizer_close(t);
  CHECK(tok_nfc("\xEA\xB0\x80\xE3\x81\x82", 6, &to) && to.length == 6, "a syllable and no part");
  CHECK(tok_nfc("\xEA\xB0\x80\xE1\x86\xA7", 6, &to) && to.length == 12, "nor this one");
  buf_free(&to);
}

int main(void)
{
  check_whole_files();
  check_full_lists();
  check_crowded_names();
  check_crowded_merges();
  check_twins();
  check_decoders();
  return test_end();
}
