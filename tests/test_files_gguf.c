/*
 * test_files_gguf.c - proves the reader of GGUF files: the corpus of malformed files (verdict and
 * kind of each, from a path and from memory, in bounded memory), files cut at every byte and with
 * every byte changed, values of every type, and a header with a hundred thousand tensors.
 *
 * What opens is looked at as a whole. Files in memory stand in blocks of exactly their size, so
 * that the address sanitizer sees a read past their end.
 */
#include "gguf.h"
#include "test_files.h"

#include <math.h>
#ifndef _WIN32
#include <sys/resource.h>
#include <sys/wait.h>
#endif
#include <time.h>

static const char *vectors;

/* One of everything: all types of values, arrays of them, dense and block tensors. */
static void put_sample(buf *b)
{
  put_head(b, 4, 10);
  put_key(b, "general.alignment", GGUF_U32);
  put_int(b, 64, 4);
  put_key(b, "text", GGUF_STRING);
  put_string(b, "h\303\251llo");
  put_key(b, "small", GGUF_I8);
  put_int(b, 0x85, 1);
  put_key(b, "least", GGUF_I64);
  put_int(b, UINT64_C(1) << 63, 8);
  put_key(b, "tenth", GGUF_F32);
  put_int(b, 0x3dcccccd, 4);
  put_key(b, "third", GGUF_F64);
  put_int(b, 0x3fd5555555555555, 8);
  put_key(b, "yes", GGUF_BOOL);
  put_int(b, 1, 1);
  put_array(b, "flags", GGUF_BOOL, 3);
  put_int(b, 0x010001, 3);
  put_array(b, "words", GGUF_STRING, 3);
  put_string(b, "one");
  put_string(b, "");
  put_string(b, "\377raw");
  put_array(b, "ids", GGUF_I32, 2);
  put_int(b, 0xfffffffe, 4);
  put_int(b, 7, 4);
  put_tensor(b, "dense", 0, 3, 2, 0);
  put_tensor(b, "blocks", 2, 64, 2, 64);
  put_tensor(b, "empty", 1, 0, 5, 192);
  put_tensor(b, "bytes", 24, 5, 0, 192);
  pad(b, 64);
  for (int i = 0; i < 24; i++)
    buf_byte(b, (char)i);
  pad(b, 64);
  for (int i = 0; i < 72; i++)
    buf_byte(b, (char)(i * 5));
  pad(b, 64);
  buf_text(b, "12345");
}

/* ---- looking at everything in an open file ---- */

static void look_at_keys(const gguf_file *f)
{
  for (size_t i = 0; i < gguf_key_count(f); i++) {
    const gguf_value *v = gguf_key_at(f, i);
    uint64_t items = v->type == GGUF_ARRAY ? v->count : 1;
    gguf_array a;
    fail why;
    for (uint64_t k = 0; k < items && k < 5; k++) {
      char *text = NULL;
      size_t length;
      CHECK(gguf_text(f, v, k, &text, &length, &why) && text[length] == 0, "%s: %s", v->key,
            why.text);
      free(text);
    }
    if (v->type == GGUF_ARRAY && gguf_load(f, v->key, (gguf_type)v->item, &a, NULL)) {
      uint64_t at = 0;
      size_t length = 0;
      for (uint64_t k = 0; v->item == GGUF_STRING && k < a.count; k++)
        gguf_next_string(&a, &at, &length);
      CHECK(v->item != GGUF_STRING || at == a.size, "%s: strings end elsewhere", v->key);
      gguf_array_free(&a);
    }
  }
}

static void look_at_tensors(const gguf_file *f)
{
  for (size_t i = 0; i < gguf_count(f); i++) {
    const gguf_tensor *t = gguf_at(f, i);
    fail why = {0};
    char *bytes = test_alloc((size_t)t->as.bytes);
    CHECK(gguf_read(f, &t->as, 0, bytes, (size_t)t->as.bytes, &why), "%s: %s", t->as.name,
          why.text);
    CHECK(!gguf_read(f, &t->as, 1, bytes, (size_t)t->as.bytes, &why), "past its end");
    free(bytes);
  }
}

static fail_kind open_bytes(const void *bytes, size_t size, fail *why)
{
  gguf_file *f = NULL;
  char *copy = malloc(size ? size : 1);
  bool ok;
  memcpy(copy, bytes, size);
  *why = (fail){0};
  ok = gguf_open_memory(&f, copy, size, "memory", why);
  CHECK(ok == (f != NULL) && ok == (why->kind == FAIL_NONE), "half open: %s", why->text);
  CHECK(ok || strncmp(why->text, "memory: ", 8) == 0, "text: %s", why->text);
  if (ok) {
    look_at_keys(f);
    look_at_tensors(f);
  }
  gguf_close(f);
  free(copy);
  return ok ? FAIL_NONE : why->kind;
}

/* ---- the corpus ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMITS_MEMORY 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define LIMITS_MEMORY 0
#endif
#endif
#ifndef LIMITS_MEMORY
#define LIMITS_MEMORY 1
#endif

#ifndef _WIN32

/* Bytes of address space in use; 0 where the system does not tell. */
static uint64_t in_use(void)
{
  unsigned long long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f == NULL)
    return 0;
  if (fscanf(f, "%llu", &pages) != 1)
    pages = 0;
  fclose(f);
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

#endif

/* The file opens with the same result where no more than four times its bytes and 1 MiB can be had
 * from the system. */
static void check_memory(const char *path, fail_kind want)
{
#ifdef _WIN32
  (void)path, (void)want;
#else
  struct stat st;
  int status = 0;
  uint64_t used = in_use();
  if (!LIMITS_MEMORY || used == 0 || stat(path, &st) != 0)
    return;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    rlim_t most = (rlim_t)(used + 4 * (uint64_t)st.st_size + (1 << 20));
    struct rlimit limit = {most, most};
    gguf_file *f = NULL;
    fail why = {0};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
      _exit(100);
    gguf_open(&f, path, &why);
    _exit((int)why.kind);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
            (WEXITSTATUS(status) == (int)want || WEXITSTATUS(status) == 100),
        "with little memory: status %d", status);
#endif
}

/* The one file that is large: arrays in arrays, five thousand deep. */
static void put_nested(const char *path)
{
  buf b = {0};
  put_head(&b, 0, 1);
  put_key(&b, "k", GGUF_ARRAY);
  for (int i = 0; i < 5000; i++) {
    put_int(&b, GGUF_ARRAY, 4);
    put_int(&b, 1, 8);
  }
  put_bytes(path, b.data, b.length);
  buf_free(&b);
}

static void check_row(const char *name, const char *verdict, const char *kind)
{
  char path[1024];
  fail why = {0}, memory_why;
  gguf_file *f = NULL;
  size_t n;
  bool accept = strcmp(verdict, "accept") == 0;
  snprintf(path, sizeof path, "%s/malformed/%s", vectors, name);
  if (!exists(path)) {
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    CHECK(strcmp(name, "gg_arr_nested_5000.gguf") == 0, "no such file");
    put_nested(path);
  }
  bool ok = gguf_open(&f, path, &why);
  CHECK(ok == accept, "%s", ok ? "it was opened" : why.text);
  CHECK(accept || strcmp(fail_kind_name(why.kind), kind) == 0, "%s: %s", fail_kind_name(why.kind),
        why.text);
  CHECK(accept || (strncmp(why.text, path, strlen(path)) == 0 && strlen(why.text) > strlen(path)),
        "no reason in the text: %s", why.text);
  for (const char *c = why.text; *c != 0; c++)
    CHECK((unsigned char)*c >= 0x20, "control character in the text");
  gguf_close(f);
  char *bytes = get_bytes(path, &n);
  CHECK(bytes != NULL && open_bytes(bytes, n, &memory_why) == why.kind, "from memory: %s",
        memory_why.text);
  CHECK(accept || strcmp(memory_why.text + strlen("memory"), why.text + strlen(path)) == 0,
        "from memory: %s", memory_why.text);
  free(bytes);
  check_memory(path, why.kind);
}

static void check_corpus(void)
{
  char path[1024];
  size_t n;
  int rows = 0;
  snprintf(path, sizeof path, "%s/malformed/manifest-gguf.tsv", vectors);
  char *text = get_bytes(path, &n);
  if (!CHECK(text != NULL, "no %s", path))
    return;
  char *line = text;
  for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1, rows++) {
    *end = 0;
    char *verdict = strchr(line, '\t');
    char *kind = verdict != NULL ? strchr(verdict + 1, '\t') : NULL;
    char *what = kind != NULL ? strchr(kind + 1, '\t') : NULL;
    if (!CHECK(what != NULL, "row %s", line))
      break;
    *verdict = *kind = *what = 0;
    test_in("%s", line);
    check_row(line, verdict + 1, kind + 1);
  }
  test_in("%s", "");
  CHECK(rows == 100, "%d rows", rows);
  free(text);
}

/* ---- a file cut and changed ---- */

static void check_cut(const buf *b)
{
  fail why;
  for (size_t n = 0; n < b->length; n++) {
    test_in("cut at %zu", n);
    CHECK(open_bytes(b->data, n, &why) == FAIL_TRUNCATED, "%s %s", fail_kind_name(why.kind),
          why.text);
  }
  test_in("%s", "");
}

/* Whatever one bit or byte becomes: a clean refusal or a file that can be read as a whole. */
static void check_changed(const buf *b)
{
  size_t opened = 0;
  fail why;
  for (size_t n = 0; n < b->length; n++)
    for (int k = 0; k < 10; k++) {
      char was = b->data[n];
      b->data[n] = (char)(k < 8 ? was ^ 1 << k : k == 8 ? ~was : 0);
      test_in("byte %zu from %02x to %02x", n, (unsigned char)was, (unsigned char)b->data[n]);
      opened += open_bytes(b->data, b->length, &why) == FAIL_NONE;
      CHECK(why.kind != FAIL_NOMEM && why.kind != FAIL_IO, "%s", why.text);
      b->data[n] = was;
    }
  test_in("%s", "");
  CHECK(opened > b->length && opened < 9 * b->length, "%zu of %zu open", opened, 10 * b->length);
}

static void check_random(const buf *sample)
{
  uint64_t seed = 77;
  int rounds = test_is_long() ? 2000000 : 20000;
  fail why;
  buf b = {0};
  buf_add(&b, sample->data, sample->length);
  for (int i = 0; i < rounds; i++) {
    size_t length = b.length - (rng_below(&seed, 4) == 0 ? (size_t)rng_below(&seed, 90) : 0);
    for (uint64_t k = 1 + rng_below(&seed, 6); k > 0; k--)
      b.data[rng_below(&seed, b.length)] = (char)rng_u64(&seed);
    open_bytes(b.data, length, &why);
    memcpy(b.data, sample->data, b.length);
  }
  buf_free(&b);
}

/* ---- values ---- */

static void check_text(const gguf_file *f, const char *key, uint64_t i, const char *want)
{
  const gguf_value *v = gguf_find_key(f, key);
  char *text = NULL;
  size_t length = 0;
  fail why;
  if (!CHECK(v != NULL, "no key %s", key))
    return;
  CHECK(gguf_text(f, v, i, &text, &length, &why) && length == strlen(want) &&
            memcmp(text, want, length) == 0,
        "%s[%d] is %s", key, (int)i, text ? text : why.text);
  free(text);
}

static void check_getters(const gguf_file *f)
{
  uint64_t u = 5;
  double d = 5;
  bool b = false;
  char *s = NULL;
  fail why;
  gguf_array a;
  CHECK(gguf_need_u64(f, "general.alignment", &u, &why) && u == 64, "%d", (int)u);
  CHECK(gguf_opt_u64(f, "absent", &u, &why) && u == 64, "absent");
  CHECK(gguf_opt_f64(f, "absent", &d, &why) && d == 5, "absent");
  CHECK(gguf_opt_bool(f, "absent", &b, &why) && !b, "absent");
  CHECK(gguf_opt_string(f, "absent", &s, &why) && s == NULL, "absent");
  CHECK(!gguf_need_u64(f, "absent", &u, &why) && why.kind == FAIL_NOTFOUND, "%s", why.text);
  CHECK(!gguf_opt_u64(f, "small", &u, &why) && why.kind == FAIL_FORMAT && strstr(why.text, "I8"),
        "%s", why.text);
  CHECK(gguf_opt_f64(f, "tenth", &d, &why) && d == 0x1.99999ap-4, "%g", d);
  CHECK(gguf_opt_f64(f, "third", &d, &why) && d == 1.0 / 3, "%g", d);
  CHECK(!gguf_opt_f64(f, "yes", &d, &why) && why.kind == FAIL_FORMAT, "%s", why.text);
  CHECK(gguf_opt_bool(f, "yes", &b, &why) && b, "yes");
  CHECK(!gguf_opt_bool(f, "text", &b, &why) && why.kind == FAIL_FORMAT, "%s", why.text);
  CHECK(gguf_opt_string(f, "text", &s, &why) && strcmp(s, "h\303\251llo") == 0, "text");
  free(s);
  CHECK(!gguf_opt_string(f, "words", &s, &why) && why.kind == FAIL_FORMAT, "%s", why.text);
  CHECK(gguf_load(f, "ids", GGUF_I32, &a, &why) && a.count == 2 && gguf_i32_at(&a, 0) == -2 &&
            gguf_i32_at(&a, 1) == 7,
        "ids");
  gguf_array_free(&a);
  CHECK(!gguf_load(f, "ids", GGUF_U32, &a, &why) && why.kind == FAIL_FORMAT, "%s", why.text);
  CHECK(!gguf_load(f, "text", GGUF_STRING, &a, &why) && why.kind == FAIL_FORMAT, "%s", why.text);
  CHECK(!gguf_load(f, "absent", GGUF_U32, &a, &why) && why.kind == FAIL_NOTFOUND, "%s", why.text);
}

static void check_sample(const buf *b)
{
  static const struct {
    const char *key;
    uint64_t i;
    const char *want;
  } texts[] = {{"text", 0, "h\303\251llo"},
               {"small", 0, "-123"},
               {"least", 0, "-9223372036854775808"},
               {"tenth", 0, "0.1"},
               {"third", 0, "0.3333333333333333"},
               {"yes", 0, "true"},
               {"flags", 1, "false"},
               {"flags", 2, "true"},
               {"words", 0, "one"},
               {"words", 1, ""},
               {"words", 2, "\377raw"},
               {"ids", 0, "-2"},
               {"ids", 1, "7"}};
  fail why = {0};
  gguf_file *f = NULL;
  put_bytes(at("sample.gguf"), b->data, b->length);
  CHECK(gguf_is(at("sample.gguf")) && !gguf_is(at("absent")) && !gguf_is(scratch), "gguf_is");
  if (!CHECK(gguf_open(&f, at("sample.gguf"), &why), "%s", why.text))
    return;
  CHECK(gguf_version(f) == 3 && gguf_file_bytes(f) == b->length && gguf_count(f) == 4 &&
            gguf_key_count(f) == 10 && gguf_data_offset(f) % 64 == 0,
        "numbers of the file");
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    check_text(f, texts[i].key, texts[i].i, texts[i].want);
  check_getters(f);
  const gguf_tensor *t = gguf_at(f, 0);
  CHECK(!t->blocks && t->as.dtype == ST_F32 && t->as.ndim == 2 && t->as.shape[0] == 2 &&
            t->as.shape[1] == 3,
        "dense: rows first");
  t = gguf_at(f, 1);
  unsigned char bytes[2];
  CHECK(t->blocks && t->type == 2 && t->as.dtype == ST_U8 && t->as.shape[0] == 2 &&
            t->as.shape[1] == 36 && t->as.bytes == 72,
        "blocks as bytes of a row");
  CHECK(gguf_read(f, &t->as, 70, bytes, 2, &why) && bytes[0] == 350 % 256 && bytes[1] == 355 % 256,
        "its last bytes");
  /* Someone cuts the file. */
  CHECK(cut_file(at("sample.gguf"), 200), "truncate");
  CHECK(!gguf_read(f, &t->as, 70, bytes, 2, &why) && why.kind == FAIL_TRUNCATED, "%s", why.text);
  gguf_close(f);
  CHECK(!gguf_open(&f, at("absent.gguf"), &why) && why.kind == FAIL_IO && f == NULL, "%s",
        why.text);
  CHECK(!gguf_open(&f, scratch, &why) && why.kind == FAIL_FORMAT, "a folder: %s", why.text);
}

/* ---- rules that the corpus has no file for ---- */

typedef void edit(buf *b);

static void no_dimensions(buf *b)
{
  put_head(b, 1, 0);
  put_string(b, "t");
  put_int(b, 0, 4);
  put_int(b, 0, 4);
  put_int(b, 0, 8);
  put_int(b, 0, 8);
}

static void bool_in_array(buf *b)
{
  put_head(b, 0, 1);
  put_array(b, "flags", GGUF_BOOL, 70000);
  buf_fill(b, 1, 69999);
  buf_byte(b, 2);
}

static void string_too_long_in_array(buf *b)
{
  put_head(b, 0, 1);
  put_array(b, "words", GGUF_STRING, 2);
  put_string(b, "one");
  put_int(b, 1000, 8);
}

static void second_offset(buf *b)
{
  put_head(b, 2, 0);
  put_tensor(b, "a", 0, 4, 0, 0);
  put_tensor(b, "b", 0, 4, 0, 64);
  buf_fill(b, 0, 200);
}

static void row_bytes_overflow(buf *b)
{
  put_head(b, 1, 0);
  put_tensor(b, "a", 15, (uint64_t)INT64_MAX / 256 * 256, 0, 0);
}

static void too_many_rows(buf *b)
{
  put_head(b, 1, 0);
  put_tensor(b, "a", 15, UINT64_C(15) << 40, UINT64_C(1) << 19, 0);
}

static void name_not_utf8(buf *b)
{
  put_head(b, 1, 0);
  put_tensor(b, "a\300\200", 0, 4, 0, 0);
  buf_fill(b, 0, 100);
}

static void value_is_missing(buf *b)
{
  put_head(b, 0, 1);
  put_key(b, "long", GGUF_BOOL);
}

static void number_is_missing(buf *b)
{
  put_head(b, 0, 1);
  put_key(b, "long", GGUF_U32);
  put_int(b, 0, 3);
}

static void twins_first(buf *b)
{
  put_head(b, 3, 0);
  put_tensor(b, "a", 0, 0, 0, 0);
  put_tensor(b, "a", 0, 0, 0, 0);
  put_tensor(b, "b", 0, 0, 0, 0);
}

/* A file in memory that changes under its reader, values of the types that the sample has not. */
static void check_other_values(void)
{
  static const gguf_type types[] = {GGUF_U8, GGUF_U16, GGUF_U32, GGUF_U64};
  gguf_file *f = NULL;
  gguf_array a;
  fail why = {0};
  buf b = {0};
  char *text;
  size_t length;
  uint64_t u = 0;
  put_head(&b, 0, 8);
  for (int i = 0; i < 4; i++) {
    char name[2] = {(char)('0' + i), 0};
    put_key(&b, name, types[i]);
    put_int(&b, 7, 1 << i);
  }
  put_key(&b, "low", GGUF_F32);
  put_int(&b, 0xff800000, 4);
  put_key(&b, "nine digits", GGUF_F32);
  put_int(&b, 0x4b3c614f, 4); /* 12345679.0 */
  put_array(&b, "words", GGUF_STRING, 2);
  size_t words = b.length;
  put_string(&b, "a");
  put_string(&b, "bcd");
  put_key(&b, "next", GGUF_U8);
  put_int(&b, 0, 1);
  CHECK(gguf_open_memory(&f, b.data, b.length, "memory", &why), "%s", why.text);
  for (int i = 0; i < 4; i++) {
    char name[2] = {(char)('0' + i), 0};
    u = 0;
    CHECK(gguf_opt_u64(f, name, &u, &why) && u == 7, "%s", name);
  }
  check_text(f, "low", 0, "-inf");
  check_text(f, "nine digits", 0, "12345679.0");
  CHECK(gguf_load(f, "words", GGUF_STRING, &a, &why), "%s", why.text);
  gguf_array_free(&a);
  const gguf_value *v = gguf_find_key(f, "words");
  b.data[words] = 100; /* the first string, longer than all of it */
  CHECK(!gguf_load(f, "words", GGUF_STRING, &a, &why) && strstr(why.text, "has changed"), "%s",
        why.text);
  CHECK(!gguf_text(f, v, 0, &text, &length, &why) && strstr(why.text, "has changed"), "%s",
        why.text);
  b.data[words] = 8; /* so that fewer than eight bytes are left */
  CHECK(!gguf_load(f, "words", GGUF_STRING, &a, &why) && strstr(why.text, "has changed"), "%s",
        why.text);
  b.data[words] = 25; /* it ends in the file, the next one's length does not */
  CHECK(!gguf_text(f, v, 1, &text, &length, &why) && strstr(why.text, "not there"), "%s", why.text);
  memset(b.data + words, 0xff, 8);
  CHECK(!gguf_text(f, v, 0, &text, &length, &why) && why.kind == FAIL_TRUNCATED, "%s", why.text);
  gguf_close(f);
  buf_free(&b);
}

/* A text with a NUL in it, an array of strings that is the last value. */
static void check_last_values(void)
{
  gguf_file *f = NULL;
  gguf_array a;
  fail why = {0};
  buf b = {0};
  char *text;
  put_head(&b, 0, 3);
  put_key(&b, "cut", GGUF_STRING);
  put_int(&b, 3, 8);
  buf_add(&b, "a\0b", 3);
  put_array(&b, "reals", GGUF_F32, 1);
  put_int(&b, 0x3f800000, 4);
  put_array(&b, "words", GGUF_STRING, 1);
  put_string(&b, "last");
  CHECK(gguf_open_memory(&f, b.data, b.length, "memory", &why) &&
            strcmp(gguf_path(f), "memory") == 0,
        "%s", why.text);
  CHECK(gguf_load(f, "words", GGUF_STRING, &a, &why) && a.size == 12, "%s", why.text);
  gguf_array_free(&a);
  CHECK(gguf_load(f, "reals", GGUF_F32, &a, &why) && gguf_f32_at(&a, 0) == 1, "%s", why.text);
  gguf_array_free(&a);
  CHECK(!gguf_opt_string(f, "cut", &text, &why) && text == NULL && strstr(why.text, "a NUL"), "%s",
        why.text);
  gguf_close(f);
  buf_free(&b);
  put_text(at("short"), "GGU");
  CHECK(!gguf_is(at("short")), "three bytes");
  CHECK(!gguf_open_memory(&f, NULL, 0, "memory", &why) && why.kind == FAIL_TRUNCATED, "%s",
        why.text);
}

static void check_rules(void)
{
  static const struct {
    const char *what;
    edit *make;
    fail_kind kind;
  } cases[] = {{"no dimensions", no_dimensions, FAIL_FORMAT},
               {"a bad BOOL behind the first window", bool_in_array, FAIL_FORMAT},
               {"a string past the end in an array", string_too_long_in_array, FAIL_TRUNCATED},
               {"a gap of one alignment", second_offset, FAIL_FORMAT},
               {"bytes of a row", row_bytes_overflow, FAIL_OVERFLOW},
               {"bytes of all rows", too_many_rows, FAIL_OVERFLOW},
               {"an overlong form in a name", name_not_utf8, FAIL_FORMAT},
               {"no value", value_is_missing, FAIL_TRUNCATED},
               {"half a number", number_is_missing, FAIL_TRUNCATED},
               {"two names, and another", twins_first, FAIL_FORMAT}};
  fail why;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    buf b = {0};
    test_in("%s", cases[i].what);
    cases[i].make(&b);
    CHECK(open_bytes(b.data, b.length, &why) == cases[i].kind, "%s %s", fail_kind_name(why.kind),
          why.text);
    buf_free(&b);
  }
  test_in("%s", "");
}

/* ---- large headers ---- */

/* As small as entries can be, and out of order: the most memory and time for their bytes. */
static void check_large(void)
{
  enum { COUNT = 100000 };
  buf b = {0};
  fail why = {0};
  gguf_file *f = NULL;
  char name[32];
  put_head(&b, COUNT, COUNT);
  for (uint32_t i = 0; i < COUNT; i++) {
    snprintf(name, sizeof name, "%x", (i * UINT32_C(2654435761)) & 0xfffff);
    put_key(&b, name, GGUF_U8);
    put_int(&b, 1, 1);
  }
  for (uint32_t i = 0; i < COUNT; i++) {
    snprintf(name, sizeof name, "%x", (i * UINT32_C(2654435761)) & 0xfffff);
    put_tensor(&b, name, 0, 0, 0, 0);
  }
  put_bytes(at("large.gguf"), b.data, b.length);
  clock_t begin = clock();
  CHECK(gguf_open(&f, at("large.gguf"), &why), "%s", why.text);
  double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
  CHECK(seconds < (LIMITS_MEMORY ? 1 : 10), "%g seconds", seconds);
  CHECK(f && gguf_count(f) == COUNT && gguf_key_count(f) == COUNT, "counts");
  gguf_close(f);
  check_memory(at("large.gguf"), FAIL_NONE);
  buf_free(&b);
}

int main(int argc, char **argv)
{
  buf sample = {0};
  vectors = test_vectors(argc, argv);
  scratch_make();
  put_sample(&sample);
  check_corpus();
  check_sample(&sample);
  check_cut(&sample);
  check_changed(&sample);
  check_random(&sample);
  check_rules();
  check_other_values();
  check_last_values();
  check_large();
  buf_free(&sample);
  scratch_remove();
  return test_end();
}
