/*
 * Edges of src/files that no file of the corpus and no fault comes to: arguments at their limits,
 * headers cut at every byte inside a file that is not, files that change while they are open.
 */
#include "test_files.h"

#include "../src/files/io.h"
#include "../src/files/journal.h"
#include "../src/files/json.h"
#include "../src/files/output.h"
#include "../src/files/pattern.h"
#include "../src/files/safetensors.h"
#include "../src/files/shard_index.h"
#include "gguf.h"

#include <errno.h>

static void check_io(void)
{
  fail why = {0};
  char byte = 0, *text = NULL;
  size_t length;
  CHECK(!io_read_at(0, UINT64_MAX, &byte, 1, "x", &why) && why.kind == FAIL_OVERFLOW, "read");
  CHECK(!io_write_at(1, INT64_MAX, &byte, 1, "x", &why) && why.kind == FAIL_OVERFLOW, "write");
  CHECK(!io_read_all(&text, &length, SYS_CWD, at("absent"), true, 9, "x", &why) &&
            why.kind == FAIL_IO && why.detail == ENOENT,
        "%s", why.text);
  put_text(at("ten"), "0123456789");
  CHECK(!io_read_all(&text, &length, SYS_CWD, at("ten"), true, 9, "x", &why) &&
            why.kind == FAIL_LIMIT && strstr(why.text, "10 bytes; the limit is 9"),
        "%s", why.text);
  CHECK(!fail_system(&why, "x", "open", 99999) && why.detail == 99999, "an error without a name");
  why = (fail){0};
  CHECK(fail_exit_status(&why) == 0, "%d", fail_exit_status(&why));
  why = (fail){.kind = FAIL_INTERRUPTED, .detail = 2};
  CHECK(fail_exit_status(&why) == 130, "%d", fail_exit_status(&why));
}

static void check_json(void)
{
  fail why = {0};
  json_doc *d = NULL;
  int64_t i = 7;
  json_printer p = {0};
  buf text = {0};
  char name[301];
  CHECK(json_new(&d, "t.json", &why), "%s", why.text);
  json_id s = json_put_string(d, json_root(d), "s", "12");
  CHECK(json_i64(d, s, &i) == FAIL_FORMAT && i == 7, "a string is no number");
  CHECK(!json_remove(d, s, "s") && json_remove(d, json_root(d), "s"), "only of objects");
  json_free(d);
  p.to = &text;
  for (int k = 0; k < 64; k++)
    json_begin(&p, NULL, '[');
  CHECK(text.failed, "deeper than the printer counts");
  buf_free(&text);
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = 0;
  CHECK(!pattern_matches("", "a") && !pattern_matches(name, name), "patterns of 0 and 300");
}

static void check_journal(void)
{
  fail why = {0};
  journal *j = NULL;
  buf text = {.failed = true};
  CHECK(journal_open(&j, at("journal"), false, &why), "%s", why.text);
  CHECK(!journal_add(j, &text, &why) && why.kind == FAIL_NOMEM, "%s", why.text);
  text = (buf){.length = JSON_BYTES_MAX + 1};
  CHECK(!journal_add(j, &text, &why) && why.kind == FAIL_LIMIT, "%s", why.text);
  journal_close(j);
  CHECK(cut_file(at("journal"), JSON_BYTES_MAX + 1), "a hole");
  CHECK(!journal_open(&j, at("journal"), false, &why) && why.kind == FAIL_LIMIT, "%s", why.text);
}

static void check_index(void)
{
  fail why = {0};
  shard_index *x = NULL;
  put_text(at("index"), "{\"weight_map\": {\"a\\u0000b\": \"x.safetensors\"}}");
  CHECK(!index_read(&x, SYS_CWD, at("index"), "index", &why) && why.kind == FAIL_FORMAT &&
            strstr(why.text, "holds a NUL"),
        "%s", why.text);
}

/* ---- safetensors ---- */

static bool header_is_taken(const char *json, size_t length, fail *why)
{
  st_file *f = NULL;
  buf b = {0};
  put_int(&b, length, 8);
  buf_add(&b, json, length);
  buf_add(&b, "12345678", 8);
  put_bytes(at("h"), b.data, b.length);
  bool ok = st_open(&f, at("h"), why);
  st_close(f);
  buf_free(&b);
  return ok;
}

static void check_headers(void)
{
  static const char whole[] =
      "{\"__metadata__\":{\"k\":\"v\",\"w\":\"\"},\"a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"x\":"
      "[1,{\"y\":[]}],\"data_offsets\":[0,8]}}";
  static const char *const wrong[] = {"{\"__metadata__\":{} , \"__metadata__\":{}}",
                                      "{\"__metadata__\":[]}",
                                      "{\"__metadata__\":{\"a\":1}}",
                                      "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}",
                                      "[]",
                                      "{\"a\":[]}"};
  fail why = {0};
  CHECK(header_is_taken(whole, sizeof whole - 1, &why), "%s", why.text);
  for (size_t n = 0; n < sizeof whole - 1; n++) {
    test_in("header cut at %zu", n);
    CHECK(!header_is_taken(whole, n, &why) && why.kind != FAIL_NONE, "%s", why.text);
    /* A character that begins no token, in the place of one that may. */
    char changed[sizeof whole];
    memcpy(changed, whole, sizeof whole);
    changed[n] = '\x01';
    CHECK(!header_is_taken(changed, sizeof whole - 1, &why), "%s", changed);
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    test_in("%s", wrong[i]);
    CHECK(!header_is_taken(wrong[i], strlen(wrong[i]), &why) && why.kind == FAIL_FORMAT, "%s",
          why.text);
  }
  test_in("%s", "");
}

static void check_writer(void)
{
  fail why = {0};
  st_writer *w = NULL;
  st_tensor t[2] = {{.name = "a", .dtype = ST_U8, .ndim = 1, .shape = {INT64_MAX / 2}},
                    {.name = "b", .dtype = ST_U8, .ndim = 1, .shape = {INT64_MAX / 2}}};
  char *name = test_alloc(ST_NAME_MAX + 2);
  CHECK(!st_writer_plan(&w, t, 2, NULL, 0, "x", &why) && why.kind == FAIL_OVERFLOW, "%s", why.text);
  memset(name, 'n', ST_NAME_MAX + 1);
  t[0] = (st_tensor){.name = name, .dtype = ST_U8, .ndim = 0};
  CHECK(!st_writer_plan(&w, t, 1, NULL, 0, "x", &why) && why.kind == FAIL_LIMIT, "%s", why.text);
  free(name);
}

/* ---- GGUF: a file that someone changes while it is open ---- */

static void check_changing(void)
{
  fail why = {0};
  gguf_file *f = NULL;
  gguf_array a;
  buf b = {0};
  char *text = NULL;
  size_t length, at_length;
  const char *path = at("changing.gguf");
  put_head(&b, 0, 3);
  put_array(&b, "list", GGUF_STRING, 2);
  at_length = b.length;
  put_string(&b, "one");
  put_string(&b, "two");
  put_key(&b, "nul", GGUF_STRING);
  put_int(&b, 2, 8);
  buf_add(&b, "a", 2);
  put_key(&b, "f", GGUF_F32);
  put_int(&b, 0, 4);
  pad(&b, 32);
  put_bytes(path, b.data, b.length);
  CHECK(gguf_open(&f, path, &why), "%s", why.text);
  CHECK(!gguf_opt_string(f, "nul", &text, &why) && why.kind == FAIL_FORMAT && text == NULL, "%s",
        why.text);
  b.data[at_length + 7] = 1; /* the length of "one" is now 2^56 and 3 */
  put_bytes(path, b.data, b.length);
  CHECK(!gguf_text(f, gguf_find_key(f, "list"), 1, &text, &length, &why) &&
            why.kind == FAIL_TRUNCATED,
        "%s", why.text);
  CHECK(!gguf_load(f, "list", GGUF_STRING, &a, &why) && why.kind == FAIL_TRUNCATED, "%s", why.text);
  CHECK(cut_file(path, 30), "truncate");
  double number;
  CHECK(!gguf_opt_f64(f, "f", &number, &why) && why.kind == FAIL_TRUNCATED, "%s", why.text);
  CHECK(!gguf_opt_string(f, "nul", &text, &why) && why.kind == FAIL_TRUNCATED, "%s", why.text);
  gguf_close(f);
  buf_free(&b);
}

/* What a killed process left beside an output goes when the same output is made again. */
static void check_stale(void)
{
  fail why = {0};
  out_file *f = NULL;
  put_text(at(".model.tmp.1.2"), "stale");
  put_text(at(".other.tmp.1.2"), "another's");
  CHECK(out_file_create(&f, at("model"), false, &why), "%s", why.text);
  CHECK(!exists(at(".model.tmp.1.2")) && exists(at(".other.tmp.1.2")), "stale files");
  CHECK(!out_reserve(f, UINT64_MAX, &why) && why.kind == FAIL_OVERFLOW, "%s", why.text);
  out_file_abort(f);
}

int main(void)
{
  scratch_make();
  check_io();
  check_json();
  check_journal();
  check_index();
  check_headers();
  check_writer();
  check_changing();
  check_stale();
  scratch_remove();
  return test_end();
}
