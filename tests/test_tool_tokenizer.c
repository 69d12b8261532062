/* The tokenizer: ids and text of the `tokenizers` library, whole Unicode, damaged files. */
#include "test_files.h"

#include "../src/files/json.h"
#include "../src/files/utf8.h"
#include "../src/model/tok_unicode.h"
#include "../src/model/tokenizer.h"

#include <time.h>

static const char *vectors;

static const char *vector(const char *name)
{
  static char path[4][1024];
  static int next;
  char *p = path[next++ % 4];
  snprintf(p, sizeof path[0], "%s/tokenizers/%s", vectors, name);
  return p;
}

static tokenizer *open_path(const char *path)
{
  fail why = {0};
  tokenizer *t = NULL;
  if (!CHECK(tokenizer_open(&t, SYS_CWD, path, path, &why), "%s", why.text))
    exit(1);
  return t;
}

static json_doc *read_json(const char *path)
{
  fail why = {0};
  json_doc *d = NULL;
  if (!CHECK(json_read(&d, SYS_CWD, path, path, &why), "%s", why.text))
    exit(1);
  return d;
}

/* Writes at("t.json"). Taking the old file away first matters: some file systems wait for the disk
 * when a file is cut short and written again. */
static void put_json(const buf *text)
{
  unlink(at("t.json"));
  put_bytes(at("t.json"), text->data, text->length);
}

/* ---- vectors ---- */

static void ids_of(const json_doc *d, json_id array, token_list *out)
{
  size_t n = json_count(d, array);
  *out = (token_list){.ids = test_alloc(n * sizeof(int32_t)), .count = n, .capacity = n};
  n = 0;
  for (json_id i = json_first(d, array); i != 0; i = json_next(d, i)) {
    uint64_t id = 0;
    json_u64(d, i, &id);
    out->ids[n++] = (int32_t)id;
  }
}

static bool same_ids(const token_list *a, const token_list *b)
{
  return a->count == b->count &&
         (a->count == 0 || memcmp(a->ids, b->ids, a->count * sizeof *a->ids) == 0);
}

/* One case; what is there already in the two outputs has to stay. */
static void run_case(const tokenizer *t, const json_doc *d, json_id c)
{
  size_t length = 0, wanted_length = 0;
  json_id text_id = json_get(d, c, "text"), ids = json_get(d, c, "ids");
  json_id decoded = json_get(d, c, "decoded");
  const char *text = json_text(d, text_id, &length);
  const char *wanted = json_text(d, decoded != 0 ? decoded : text_id, &wanted_length);
  token_list want = {0}, got = {0};
  buf to = {0};
  fail why = {0};
  if (ids == 0) {
    CHECK(!tokenizer_encode(t, text, length, &got, &why), "%.60s was taken", text);
    CHECK(why.kind == FAIL_FORMAT && got.count == 0, "%s, %zu ids", why.text, got.count);
    token_list_free(&got);
    return;
  }
  ids_of(d, ids, &want);
  if (text != NULL) {
    CHECK(tokenizer_encode(t, text, length, &got, &why), "%.60s: %s", text, why.text);
    CHECK(same_ids(&got, &want), "%zu ids, not %zu or not the same: %.60s", got.count, want.count,
          text);
    CHECK(tokenizer_encode(t, text, length, &got, &why) && got.count == 2 * want.count,
          "appended: %zu", got.count);
  }
  buf_text(&to, "before");
  CHECK(tokenizer_decode(t, want.ids, want.count, &to, &why), "%s", why.text);
  CHECK(to.length == 6 + wanted_length && memcmp(to.data, "before", 6) == 0 &&
            memcmp(to.data + 6, wanted, wanted_length) == 0,
        "decoded %.100s, not %.100s", to.data, wanted);
  buf_free(&to);
  token_list_free(&want);
  token_list_free(&got);
}

static size_t run_cases(const tokenizer *t, const json_doc *d, json_id owner, const char *name)
{
  size_t n = 0;
  json_id cases = json_get(d, owner, "cases");
  for (json_id c = json_first(d, cases); c != 0; c = json_next(d, c)) {
    test_in("%s, case %zu", name, n++);
    run_case(t, d, c);
  }
  test_in("%s", "");
  return n;
}

static void check_vectors(void)
{
  static const char *const names[] = {"gpt2",      "flags",        "llama3",    "qwen2",
                                      "llama2",    "llama2_first", "metaspace", "wiki",
                                      "cuts_gpt2", "cuts_llama3",  "cuts_qwen2"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s.cases.json", names[i]);
    json_doc *d = read_json(vector(name));
    tokenizer *t = open_path(vector(json_string(d, json_get(d, json_root(d), "tokenizer"))));
    CHECK(run_cases(t, d, json_root(d), names[i]) >= 8, "%s: few cases", names[i]);
    tokenizer_close(t);
    json_free(d);
  }
}

static void check_mixed(void)
{
  json_doc *d = read_json(vector("mixed.cases.json"));
  size_t n = 0;
  for (json_id e = json_first(d, json_root(d)); e != 0; e = json_next(d, e)) {
    char name[32];
    snprintf(name, sizeof name, "mixed %zu", n++);
    buf text = {0};
    buf_text(&text, json_string(d, json_get(d, e, "json")));
    put_json(&text);
    buf_free(&text);
    tokenizer *t = open_path(at("t.json"));
    run_cases(t, d, e, name);
    tokenizer_close(t);
  }
  CHECK(n == 61, "%zu tokenizers", n);
  json_free(d);
}

/* ---- Unicode ---- */

static uint64_t fnv(uint64_t h, const void *bytes, size_t count)
{
  const unsigned char *b = bytes;
  for (size_t i = 0; i < count; i++)
    h = (h ^ b[i]) * 0x100000001b3u;
  return h;
}

static void check_hash(const json_doc *d, const char *name, uint64_t h)
{
  char text[17];
  snprintf(text, sizeof text, "%016llx", (unsigned long long)h);
  CHECK(json_is(d, json_get(d, json_root(d), name), text), "%s: %s", name, text);
}

/* Every character outside empty planes: its classes, and NFC of it in the surroundings that
 * unicode_hashes() of make_vectors.py puts it in. */
static void check_unicode(void)
{
  static const char *const around[] = {"x", "\u0301\u0327x\u0345", "\u0334\u0301\u1100",
                                       "\u1161\u0b47"};
  json_doc *d = read_json(vector("unicode.json"));
  uint64_t classes = 0xcbf29ce484222325u, nfc_length = 0;
  buf text = {0}, nfc = {0};
  for (uint32_t c = 0; c < 0xE0200; c++) {
    char bytes[4];
    if ((c >= 0xD800 && c <= 0xDFFF) || (c >= 0x32400 && c < 0xE0000))
      continue;
    unsigned char some = (unsigned char)tok_classes(c);
    size_t n = utf8_write(bytes, c);
    classes = fnv(classes, &some, 1);
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
      buf_text(&text, around[i]);
      buf_add(&text, bytes, n);
    }
  }
  check_hash(d, "classes", classes);
  CHECK(tok_nfc(text.data, text.length, &nfc), "no memory");
  json_u64(d, json_get(d, json_root(d), "nfc_length"), &nfc_length);
  CHECK(nfc.length == nfc_length, "%zu bytes, not %llu", nfc.length,
        (unsigned long long)nfc_length);
  check_hash(d, "nfc", fnv(0xcbf29ce484222325u, nfc.data, nfc.length));
  buf_free(&text);
  buf_free(&nfc);
  json_free(d);
}

/* ---- random text ---- */

static void random_text(uint64_t *rng, buf *to, size_t characters)
{
  static const uint32_t tops[] = {0x80, 0x80, 0x250, 0x380, 0x3000, 0x110000};
  to->length = 0;
  buf_text(to, "");
  for (size_t i = 0; i < characters; i++) {
    char bytes[4];
    uint32_t c = (uint32_t)rng_below(rng, tops[rng_below(rng, sizeof tops / sizeof *tops)]);
    if (c < 0xD800 || c > 0xDFFF)
      buf_add(to, bytes, utf8_write(bytes, c));
  }
}

/* A byte-level tokenizer gives back every text, or what its normalizer made of it. */
static void check_round_trip(const char *name, bool normalizes)
{
  tokenizer *t = open_path(vector(name));
  uint64_t rng = 7;
  buf text = {0}, want = {0}, got = {0};
  token_list ids = {0};
  fail why = {0};
  test_in("%s", name);
  for (int i = 0; i < 1500; i++) {
    random_text(&rng, &text, (size_t)rng_below(&rng, 60));
    got.length = want.length = ids.count = 0;
    buf_text(&got, "");
    if (normalizes)
      tok_nfc(text.data, text.length, &want);
    else
      buf_add(&want, text.data, text.length);
    CHECK(tokenizer_encode(t, text.data, text.length, &ids, &why) &&
              tokenizer_decode(t, ids.ids, ids.count, &got, &why),
          "%s", why.text);
    CHECK(got.length == want.length &&
              (got.length == 0 || memcmp(got.data, want.data, got.length) == 0),
          "text %d: %zu bytes, not %zu", i, got.length, want.length);
    for (size_t k = 0; k < ids.count; k++)
      CHECK(ids.ids[k] >= 0 && (size_t)ids.ids[k] < tokenizer_size(t), "id %ld", (long)ids.ids[k]);
  }
  test_in("%s", "");
  buf_free(&text);
  buf_free(&want);
  buf_free(&got);
  token_list_free(&ids);
  tokenizer_close(t);
}

/* ---- texts that would be slow if anything looked at them again and again ---- */

static void check_linear(void)
{
  static const char *const names[] = {"flags.json", "llama3.json", "qwen2.json", "llama2.json",
                                      "metaspace.json"};
  static const char *const units[] = {" ", "a", "\n \t", "<r>  ", "<mask> ", "\u0301", "\u00e9e"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    tokenizer *t = open_path(vector(names[i]));
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
      buf text = {0};
      token_list ids = {0};
      fail why = {0};
      while (text.length < 300000)
        buf_text(&text, units[u]);
      clock_t begin = clock();
      CHECK(tokenizer_encode(t, text.data, text.length, &ids, &why), "%s", why.text);
      double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
      CHECK(seconds < 5, "%s, unit %zu: %.1f seconds", names[i], u, seconds);
      buf_free(&text);
      token_list_free(&ids);
    }
    tokenizer_close(t);
  }
}

/* ---- the edges of the interface ---- */

static void check_edges(void)
{
  static const struct {
    const char *text;
    size_t length, byte;
  } bad[] = {{"\x80", 1, 0},     {"abc\xC0\xAF", 5, 3},         {"a\xED\xA0\x80", 4, 1},
             {"\xE2\x82", 2, 0}, {"ok \xF4\x90\x80\x80", 7, 3}, {"\xC3\xA9\xFF", 3, 2}};
  tokenizer *t = open_path(vector("llama3.json"));
  token_list ids = {0};
  buf to = {0};
  fail why = {0};
  CHECK(tokenizer_encode(t, "one two", 7, &ids, &why), "%s", why.text);
  size_t count = ids.count;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char place[32];
    snprintf(place, sizeof place, "byte %zu:", bad[i].byte);
    CHECK(!tokenizer_encode(t, bad[i].text, bad[i].length, &ids, &why), "text %zu", i);
    CHECK(why.kind == FAIL_FORMAT && strncmp(why.text, place, strlen(place)) == 0, "%s", why.text);
    CHECK(ids.count == count, "%zu ids", ids.count);
  }
  size_t size = tokenizer_size(t);
  CHECK(size == 653, "%zu", size);
  CHECK(tokenizer_id(t, "<|eot_id|>") == 652 && tokenizer_id(t, "a") >= 0, "known contents");
  CHECK(tokenizer_id(t, "<|eot_id|") == -1 && tokenizer_id(t, "") == -1, "unknown contents");
  const int32_t wrong[] = {-1, (int32_t)size, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    const int32_t some[] = {0, wrong[i], 1};
    CHECK(!tokenizer_decode(t, some, 3, &to, &why) && why.kind == FAIL_NOTFOUND, "id %ld: %s",
          (long)wrong[i], why.text);
    CHECK(to.length == 0, "%zu bytes", to.length);
  }
  CHECK(tokenizer_decode(t, NULL, 0, &to, &why) && to.length == 0, "no ids");
  CHECK(tokenizer_encode(t, NULL, 0, &ids, &why) && ids.count == count, "no text");
  tokenizer_close(t);
  CHECK(!tokenizer_open(&t, SYS_CWD, at("none.json"), "none.json", &why) && t == NULL, "no file");
  CHECK(why.kind == FAIL_IO, "%s", why.text);
  tokenizer_close(NULL);
  token_list_free(&ids);
  buf_free(&to);
}

/* ---- damaged files ---- */

#define ADDED(id, content, more) \
  "{\"id\":" id ",\"content\":" content ",\"single_word\":false,\"lstrip\":false," more \
  "\"normalized\":false,\"special\":true}"
#define RSTRIP "\"rstrip\":false,"

/* Replacements in the file below; `text` is part of the message, NULL: the file is good. */
static const struct damage {
  const char *old, *new;
  fail_kind kind;
  const char *text;
} damages[] = {
    {"{", "{", 0, NULL},
    {"\"1.0\"", "\"2.0\"", FAIL_UNSUPPORTED, "version \"2.0\""},
    {"\"1.0\"", "1", FAIL_FORMAT, "version"},
    {"\"model\":", "\"modell\":", FAIL_FORMAT, "model is missing"},
    {"\"type\":\"BPE\"", "\"type\":\"Unigram\"", FAIL_UNSUPPORTED, "\"Unigram\""},
    {"\"type\":\"BPE\",", "", 0, NULL},
    {"\"type\":\"BPE\"", "\"type\":3", FAIL_FORMAT, "type"},
    {"\"vocab\"", "\"vocabb\"", FAIL_FORMAT, "vocab is missing"},
    {"\"merges\"", "\"mergess\"", FAIL_FORMAT, "merges is missing"},
    {"[\"a b\",[\"ab\",\"c\"]]", "{}", FAIL_FORMAT, "merges is not an array"},
    {"{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4}", "[1]", FAIL_FORMAT, "vocab is not an object"},
    {"\"b\":1", "\"b\":\"1\"", FAIL_FORMAT, "id of \"b\""},
    {"\"b\":1", "\"b\":-1", FAIL_FORMAT, "id of \"b\""},
    {"\"b\":1", "\"b\":1.0", FAIL_FORMAT, "id of \"b\""},
    {"\"b\":1", "\"b\":0", FAIL_FORMAT, "another token"},
    {"\"b\":1", "\"a\":1", FAIL_FORMAT, "twice"},
    {"\"b\":1", "\"b\":4194304", FAIL_LIMIT, "id of \"b\""},
    {"\"b\":1", "\"b\":4194303", 0, NULL},
    {"\"b\":1", "\"b\":4294967297", FAIL_LIMIT, "id of \"b\""},
    {"\"b\":1", "\"b\":99999999999999999999999", FAIL_LIMIT, "id of \"b\""},
    {"\"a b\"", "\"a x\"", FAIL_FORMAT, "\"x\" is merged but"},
    {"\"a b\"", "\"ab\"", FAIL_FORMAT, "neither"},
    {"\"a b\"", "\"a b c\"", FAIL_FORMAT, "neither"},
    {"\"a b\"", "\" a b\"", FAIL_FORMAT, "neither"},
    {"\"a b\"", "\"\"", FAIL_FORMAT, "neither"},
    {"\"a b\"", "\" \"", FAIL_FORMAT, "\"\" is merged but"},
    {"\"a b\"", "7", FAIL_FORMAT, "neither"},
    {"\"a b\"", "\"b a\"", FAIL_FORMAT, "result of a merge, \"ba\""},
    {"[\"ab\",\"c\"]", "[\"ab\"]", FAIL_FORMAT, "neither"},
    {"[\"ab\",\"c\"]", "[\"ab\",\"c\",\"c\"]", FAIL_FORMAT, "neither"},
    {"[\"ab\",\"c\"]", "[\"ab\",null]", FAIL_FORMAT, "neither"},
    {"[\"ab\",\"c\"]", "[\"a\",\"b\"]", 0, NULL},
    {"\"dropout\":null", "\"dropout\":0.1", FAIL_UNSUPPORTED, "dropout"},
    {"\"dropout\":null", "\"dropout\":true", FAIL_FORMAT, "dropout"},
    {"\"dropout\":null", "\"end_of_word_suffix\":\"</w>\"", FAIL_UNSUPPORTED, "end_of_word_suffix"},
    {"\"dropout\":null", "\"continuing_subword_prefix\":\"##\"", FAIL_UNSUPPORTED, "\"##\""},
    {"\"dropout\":null", "\"continuing_subword_prefix\":\"\"", 0, NULL},
    {"\"dropout\":null", "\"byte_fallback\":1", FAIL_FORMAT, "byte_fallback"},
    {"\"dropout\":null", "\"fuse_unk\":\"\"", FAIL_FORMAT, "fuse_unk"},
    {"\"dropout\":null", "\"ignore_merges\":[]", FAIL_FORMAT, "ignore_merges"},
    {"\"dropout\":null", "\"unk_token\":{}", FAIL_FORMAT, "unk_token"},
    {"[]", "{}", FAIL_FORMAT, "added_tokens is not an array"},
    {"[]", "[7]", FAIL_FORMAT, "without content"},
    {"[]", "[" ADDED("5", "\"<s>\"", RSTRIP) "]", 0, NULL},
    {"[]", "[" ADDED("5", "\"\"", RSTRIP) "]", 0, NULL},
    {"[]", "[" ADDED("5", "1", RSTRIP) "]", FAIL_FORMAT, "without content"},
    {"[]", "[" ADDED("5", "\"<s>\"", "") "]", FAIL_FORMAT, "rstrip is missing"},
    {"[]", "[" ADDED("5", "\"<s>\"", "\"rstrip\":0,") "]", FAIL_FORMAT, "rstrip is not"},
    {"[]", "[" ADDED("6", "\"<s>\"", RSTRIP) "]", FAIL_FORMAT, "its place is 5"},
    {"[]", "[" ADDED("5", "\"a\"", RSTRIP) "]", FAIL_FORMAT, "its place is 0"},
    {"[]", "[" ADDED("-5", "\"a\"", RSTRIP) "]", FAIL_FORMAT, "id"},
    {"[]", "[" ADDED("null", "\"a\"", RSTRIP) "]", FAIL_FORMAT, "id"},
    {"[]", "[" ADDED("4194304", "\"x\"", RSTRIP) "]", FAIL_LIMIT, "4194304"},
    {"[]", "[" ADDED("0", "\"a\"", RSTRIP) "," ADDED("0", "\"a\"", RSTRIP) "]", FAIL_FORMAT,
     "twice"},
    {"\"normalizer\":null", "\"normalizer\":7", FAIL_FORMAT, "normalizer is not an object"},
    {"\"normalizer\":null", "\"normalizer\":{}", FAIL_FORMAT, "type"},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFKC\"}", FAIL_UNSUPPORTED, "\"NFKC\""},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Prepend\"}", FAIL_FORMAT, "prepend"},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\"}", FAIL_FORMAT, "normalizers"},
    {"\"normalizer\":null",
     "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" +\"},\"content\":\"\"}",
     FAIL_UNSUPPORTED, "Replace of a regular expression"},
    {"\"normalizer\":null",
     "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}",
     FAIL_LIMIT, "0 bytes"},
    {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Replace\",\"content\":\"\"}", FAIL_FORMAT,
     "String is missing"},
    {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Whitespace\"}", FAIL_UNSUPPORTED,
     "a pre-tokenizer \"Whitespace\""},
    {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}", FAIL_FORMAT,
     "add_prefix_space is missing"},
    {"\"pre_tokenizer\":null",
     "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\w+|x\"},\"behavior\":"
     "\"Isolated\",\"invert\":false}",
     FAIL_UNSUPPORTED, "regular expression is not read here: \\w+|x"},
    {"\"pre_tokenizer\":null",
     "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" "
     "\"},\"behavior\":\"isolated\","
     "\"invert\":false}",
     FAIL_FORMAT, "\"isolated\""},
    {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"__\"}",
     FAIL_FORMAT, "not one character"},
    {"\"pre_tokenizer\":null",
     "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"x\"}",
     FAIL_FORMAT, "prepend_scheme"},
    {"\"pre_tokenizer\":null",
     "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}",
     FAIL_FORMAT, "contradicts"},
    {"\"pre_tokenizer\":null",
     "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
     "\"individual_digits\":true},{\"type\":\"Metaspace\",\"replacement\":\"_\","
     "\"prepend_scheme\":\"first\"}]}",
     FAIL_UNSUPPORTED, "first"},
    {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Digits\"}", FAIL_FORMAT,
     "individual_digits is missing"},
    {"\"decoder\":null", "\"decoder\":{\"type\":\"WordPiece\"}", FAIL_UNSUPPORTED,
     "a decoder \"WordPiece\""},
    {"\"decoder\":null", "\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":1}",
     FAIL_FORMAT, "stop"},
    {"\"decoder\":null", "\"decoder\":[]", FAIL_FORMAT, "decoder is not an object"},
};

static const char good[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":null,"
    "\"decoder\":null,\"model\":{\"type\":\"BPE\",\"dropout\":null,\"vocab\":{\"a\":0,\"b\":1,"
    "\"c\":2,\"ab\":3,\"abc\":4},\"merges\":[\"a b\",[\"ab\",\"c\"]]}}";

static void check_damages(void)
{
  for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
    const struct damage *x = &damages[i];
    const char *place = strstr(good, x->old);
    fail why = {0};
    tokenizer *t = NULL;
    buf text = {0};
    buf_add(&text, good, (size_t)(place - good));
    buf_text(&text, x->new);
    buf_text(&text, place + strlen(x->old));
    put_json(&text);
    test_in("damage %zu", i);
    bool opened = tokenizer_open(&t, SYS_CWD, at("t.json"), "t.json", &why);
    CHECK(opened == (x->text == NULL), "%s: %s", x->new, why.text);
    CHECK(why.kind == x->kind, "%s: %s", fail_kind_name(why.kind), why.text);
    if (x->text != NULL)
      CHECK(strncmp(why.text, "t.json: ", 8) == 0 && strstr(why.text, x->text) != NULL,
            "%s, expected %s", why.text, x->text);
    tokenizer_close(t);
    buf_free(&text);
  }
  test_in("%s", "");
}

/* Nested and repeated steps, long patterns: bounded by limits of their own. */
static void check_limits(void)
{
  static const struct {
    size_t steps, pattern, added;
    fail_kind kind;
  } rows[] = {{32, 1, 1, 0},   {33, 1, 1, FAIL_LIMIT},  {1, 1024, 1, 0}, {1, 1025, 1, FAIL_LIMIT},
              {1, 1, 1024, 0}, {1, 1, 1025, FAIL_LIMIT}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    buf text = {0};
    fail why = {0};
    tokenizer *t = NULL;
    buf_text(&text, "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (size_t k = 0; k < rows[i].steps; k++) {
      buf_text(&text, k > 0 ? ",{" : "{");
      buf_text(&text, "\"type\":\"Replace\",\"content\":\"\",\"pattern\":{\"String\":\"");
      buf_fill(&text, 'p', rows[i].pattern);
      buf_text(&text, "\"}}");
    }
    buf_text(&text, "]},\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"added_tokens\":[{\"id\":1,"
                    "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
                    "\"special\":false,\"content\":\"");
    buf_fill(&text, 'c', rows[i].added);
    buf_text(&text, "\"}]}");
    put_json(&text);
    bool opened = tokenizer_open(&t, SYS_CWD, at("t.json"), "t.json", &why);
    CHECK(opened == (rows[i].kind == FAIL_NONE) && why.kind == rows[i].kind, "row %zu: %s", i,
          why.text);
    tokenizer_close(t);
    buf_free(&text);
  }
}

/* A file with some bytes changed, removed or doubled either opens, and then works, or says why
 * not. */
static void check_mutations(const char *name)
{
  static const char bytes[] = "{}[]\",:0123456789-.eEtfn\\ \x80\xC3";
  uint64_t rng = 11;
  size_t length, opened = 0;
  char *text = get_bytes(vector(name), &length);
  if (!CHECK(text != NULL, "%s", name))
    return;
  for (int round = 0; round < 400; round++) {
    buf b = {0}, to = {0};
    fail why = {0};
    tokenizer *t = NULL;
    token_list ids = {0};
    size_t from = (size_t)rng_below(&rng, length), step = (size_t)rng_below(&rng, 8);
    if (round % 2 == 0 && from > 900) /* the members before the vocabulary more often */
      from %= 900;
    buf_add(&b, text, from);
    for (size_t k = (size_t)rng_below(&rng, 3); k > 0; k--)
      buf_byte(&b, bytes[rng_below(&rng, sizeof bytes - 1)]);
    if (rng_below(&rng, 4) == 0)
      buf_add(&b, text + (from > step ? from - step : 0), step);
    size_t rest = from + step < length ? from + step : length;
    buf_add(&b, text + rest, length - rest);
    put_json(&b);
    if (tokenizer_open(&t, SYS_CWD, at("t.json"), "t.json", &why)) {
      opened++;
      why.kind = FAIL_NONE;
      if (tokenizer_encode(t, "a <s> \xC3\xA9 12\n", 12, &ids, &why))
        tokenizer_decode(t, ids.ids, ids.count, &to, &why);
    } else {
      CHECK(why.kind != FAIL_NONE && why.text[0] != 0, "round %d: no reason", round);
    }
    tokenizer_close(t);
    token_list_free(&ids);
    buf_free(&b);
    buf_free(&to);
  }
  CHECK(opened > 0 && opened < 400, "%zu opened", opened);
  free(text);
}

int main(int argc, char **argv)
{
  vectors = test_vectors(argc, argv);
  scratch_make();
  check_vectors();
  check_mixed();
  check_unicode();
  check_round_trip("gpt2.json", false);
  check_round_trip("llama3.json", false);
  check_round_trip("qwen2.json", true);
  check_linear();
  check_edges();
  check_damages();
  check_limits();
  check_mutations("flags.json");
  check_mutations("llama2.json");
  scratch_remove();
  return test_end();
}
