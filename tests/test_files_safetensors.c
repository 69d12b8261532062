/* Safetensors: the corpus of malformed files, the written bytes, reading and writing at places. */
#include "test_files.h"

#include "../src/files/model.h"
#include "../src/files/safetensors.h"

#include <pthread.h>

static const char *vectors;

/* Names of one folder of the vectors that end like a safetensors file. */
static int is_safetensors(const char *name)
{
  size_t n = strlen(name);
  return n > 12 && strcmp(name + n - 12, ".safetensors") == 0;
}

/* ---- the corpus ---- */

static void check_row(const char *file, const char *verdict, const char *kind)
{
  char path[1024];
  fail why = {0};
  st_file *f = NULL;
  model *m = NULL;
  snprintf(path, sizeof path, "%s/malformed/%s", vectors, file);
  bool index = strncmp(file, "idx_", 4) == 0;
  bool ok = index ? model_open(&m, path, &why) : st_open(&f, path, &why);
  bool accept = strcmp(verdict, "accept") == 0;
  CHECK(ok == accept, "%s", ok ? "it was opened" : why.text);
  CHECK(accept || strcmp(fail_kind_name(why.kind), kind) == 0, "%s: %s", fail_kind_name(why.kind),
        why.text);
  CHECK(accept || strlen(why.text) > strlen(path), "no reason in the text: %s", why.text);
  for (const char *c = why.text; *c != 0; c++)
    CHECK((unsigned char)*c >= 0x20, "control character in the text");
  st_close(f);
  model_close(m);
}

static void check_corpus(void)
{
  char path[1024];
  size_t n;
  int rows = 0;
  snprintf(path, sizeof path, "%s/malformed/manifest-safetensors.tsv", vectors);
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
  CHECK(rows >= 139, "only %d rows", rows);
  free(text);
}

/* ---- writing again what was read ---- */

typedef struct copy_job {
  const st_file *from;
  st_writer *to;
  size_t first; /* 0 or 1: every second tensor, in two threads */
  bool ok;
} copy_job;

static void *copy_half(void *argument)
{
  copy_job *j = argument;
  fail why;
  j->ok = true;
  for (size_t i = j->first; j->ok && i < st_count(j->from); i += 2) {
    const st_tensor *t = st_at(j->from, i);
    size_t half = (size_t)t->bytes / 2;
    char *bytes = test_alloc((size_t)t->bytes);
    j->ok = st_read(j->from, t, half, bytes + half, (size_t)t->bytes - half, &why) &&
            st_read(j->from, t, 0, bytes, half, &why) &&
            st_writer_write(j->to, i, half, bytes + half, (size_t)t->bytes - half, &why) &&
            st_writer_write(j->to, i, 0, bytes, half, &why);
    free(bytes);
  }
  return NULL;
}

/* Writes all of `f` to `path`, tensors given in another order than they lie. */
static bool write_again(const st_file *f, const char *path, fail *why)
{
  st_pair pairs[16];
  size_t count = st_count(f), pair_count = st_metadata_count(f);
  st_tensor *tensors = test_alloc((count + 1) * sizeof *tensors);
  st_writer *w = NULL;
  out_file *out = NULL;
  bool ok = true;
  for (size_t i = 0; i < count; i++)
    tensors[i] = *st_at(f, i);
  for (size_t i = 0; i < pair_count && i < 16; i++)
    ok = ok && st_metadata_at(f, i, &pairs[i].key, &pairs[i].value);
  ok = ok && st_writer_plan(&w, tensors, count, pairs, pair_count, path, why) &&
       out_file_create(&out, path, true, why) && st_writer_start(w, out, why);
  if (ok) {
    copy_job a = {f, w, 0, false}, b = {f, w, 1, false};
    pthread_t thread;
    ok = pthread_create(&thread, NULL, copy_half, &b) == 0;
    copy_half(&a);
    ok = ok && pthread_join(thread, NULL) == 0 && a.ok && b.ok;
  }
  ok = ok && st_writer_finish(w, why) && out_file_commit(&out, why);
  out_file_abort(out);
  st_writer_free(w);
  free(tensors);
  return ok;
}

static void check_equal_data(const st_file *a, const st_file *b)
{
  fail why = {0};
  CHECK(st_count(a) == st_count(b), "%zu and %zu tensors", st_count(a), st_count(b));
  for (size_t i = 0; i < st_count(a); i++) {
    const st_tensor *t = st_at(a, i), *u = st_find(b, t->name);
    if (!CHECK(u != NULL && u->bytes == t->bytes && u->dtype == t->dtype && u->ndim == t->ndim &&
                   memcmp(u->shape, t->shape, sizeof t->shape) == 0,
               "tensor %s", t->name))
      continue;
    char *x = test_alloc((size_t)t->bytes), *y = test_alloc((size_t)t->bytes);
    CHECK(st_read(a, t, 0, x, (size_t)t->bytes, &why) &&
              st_read(b, u, 0, y, (size_t)t->bytes, &why) && memcmp(x, y, (size_t)t->bytes) == 0,
          "tensor %s: %s", t->name, why.text);
    free(x);
    free(y);
  }
}

/* `same_bytes`: the file comes from the reference writer, so ours must be equal. */
static void check_rewrite(const char *path, bool same_bytes)
{
  fail why = {0};
  st_file *f = NULL, *g = NULL;
  const char *copy = at("again.safetensors");
  if (st_open(&f, path, &why) && CHECK(write_again(f, copy, &why), "%s", why.text) &&
      CHECK(st_open(&g, copy, &why), "%s", why.text)) {
    check_equal_data(f, g);
    CHECK(st_data_offset(g) % 8 == 0, "data at %llu", (unsigned long long)st_data_offset(g));
    size_t n, m;
    char *x = get_bytes(path, &n), *y = get_bytes(copy, &m);
    CHECK(!same_bytes || (n == m && memcmp(x, y, n) == 0), "the bytes differ");
    free(x);
    free(y);
  }
  st_close(f);
  st_close(g);
  unlink(copy);
}

static int rewrite_folder(const char *folder, bool same_bytes)
{
  char path[1024];
  int files = 0;
  snprintf(path, sizeof path, "%s/%s", vectors, folder);
  sys_list *list = sys_list_open(SYS_CWD, path, true);
  for (const char *name; list != NULL && (name = sys_list_next(list)) != NULL;) {
    if (!is_safetensors(name))
      continue;
    snprintf(path, sizeof path, "%s/%s/%.255s", vectors, folder, name);
    test_in("%s", name);
    check_rewrite(path, same_bytes || strcmp(name, "st_ok_reference.safetensors") == 0);
    files++;
  }
  test_in("%s", "");
  sys_list_close(list);
  return files;
}

/* ---- single behaviours ---- */

static void check_reading(void)
{
  char path[1024], bytes[64];
  size_t n;
  fail why = {0};
  st_file *f = NULL;
  snprintf(path, sizeof path, "%s/malformed/st_ok_reference.safetensors", vectors);
  char *all = get_bytes(path, &n);
  if (!CHECK(all != NULL, "no %s", path))
    return;
  put_bytes(at("cut.safetensors"), all, n);
  if (!CHECK(st_open(&f, at("cut.safetensors"), &why), "%s", why.text))
    exit(1);
  const char *format = st_metadata(f, "format");
  CHECK(format != NULL && strcmp(format, "pt") == 0 && st_metadata(f, "x") == NULL, "metadata");
  CHECK(st_find(f, "no such tensor") == NULL && st_find(f, "a.weight") != NULL, "look-up");
  const st_tensor *t = st_find(f, "a.weight"), *last = st_at(f, st_count(f) - 1);
  CHECK(t->elements == 4 && t->bytes == 8 && t->ndim == 1, "a.weight");
  CHECK(st_read(f, t, 2, bytes, 3, &why) &&
            memcmp(bytes, all + st_data_offset(f) + t->begin + 2, 3) == 0,
        "%s", why.text);
  CHECK(!st_read(f, t, 6, bytes, 3, &why) && why.kind == FAIL_OVERFLOW, "outside: %s", why.text);
  CHECK(!st_read(f, t, 9, bytes, 0, &why) && why.kind == FAIL_OVERFLOW, "outside: %s", why.text);
  const char *key, *value;
  CHECK(!st_metadata_at(f, st_metadata_count(f), &key, &value), "one pair too many");
  CHECK(st_file_bytes(f) == n, "size");
  CHECK(cut_file(at("cut.safetensors"), n - 2), "truncate");
  CHECK(!st_read(f, last, 0, bytes, (size_t)last->bytes, &why) && why.kind == FAIL_TRUNCATED, "%s",
        why.text);
  CHECK(!st_read(f, last, 0, bytes, (size_t)last->bytes, NULL), "nobody asks why");
  st_close(f);
  free(all);
  CHECK(!st_open(&f, scratch, &why) && f == NULL, "a folder was opened");
#ifndef _WIN32
  CHECK(mkfifo(at("pipe"), 0600) == 0 && !st_open(&f, at("pipe"), &why) && why.kind == FAIL_FORMAT,
        "a pipe: %s", why.text);
  CHECK(symlink("cut.safetensors", at("link")) == 0 &&
            !st_open_at(&f, SYS_CWD, at("link"), false, "link", &why) && why.kind == FAIL_FORMAT,
        "a link: %s", why.text);
#endif
}

/* Headers that the corpus has no file for. */
static void check_headers(void)
{
#define ENTRY(more) "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]" more "}}"
  static const struct {
    const char *header, *words; /* NULL: it is taken */
    fail_kind kind;
  } rows[] = {
      {ENTRY(""), NULL, FAIL_NONE},
      {ENTRY(",\"x\":1,\"y\":[{}],\"z\":{\"x\":2}"), NULL, FAIL_NONE},
      {ENTRY(",\"x\":1,\"y\":2,\"x\":3"), "\"x\" occurs twice", FAIL_FORMAT},
      {ENTRY(",\"x\\u0000\":1"), "after a NUL", FAIL_FORMAT},
      {ENTRY(",\"x\":-"), "expected a digit", FAIL_FORMAT},
      {"{\"a\":{\"dtype\":[],\"shape\":[],\"data_offsets\":[0,1]}}", "dtype is not", FAIL_FORMAT},
      {"{\"a\":{\"dtype\":\"U8\\u0000\",\"shape\":[],\"data_offsets\":[0,1]}}", "not known",
       FAIL_UNSUPPORTED},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":{},\"data_offsets\":[0,1]}}", "shape is not",
       FAIL_FORMAT},
      {"{\"__metadata__\":{\"k\\u0000\":\"v\"}}", "after a NUL", FAIL_FORMAT},
      {"{\"__metadata__\":{\"k\":\"v\\u0000\"}}", NULL, FAIL_NONE},
      {"{\"__metadata__\":{\"\":\"\",\"\":\"\",\"\":\"\",\"\":\"\"}}", "occurs twice", FAIL_FORMAT},
      {"{\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
       "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
       "needs data bytes 0 to 2", FAIL_TRUNCATED},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
       "needs data bytes 0 to 2", FAIL_TRUNCATED},
  };
  for (size_t i = 0; i <= sizeof rows / sizeof *rows; i++) {
    buf b = {0}, many = {0};
    fail why = {0};
    st_file *f = NULL;
    bool extra = i == sizeof rows / sizeof *rows; /* more names than there is room for others */
    buf_text(&many, "{\"a\":{");
    for (int k = 0; k < 300; k++)
      buf_text(&many, "\"\":1,");
    buf_text(&many, "\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    const char *header = extra ? many.data : rows[i].header;
    for (size_t n = strlen(header), k = 0; k < 8; k++)
      buf_byte(&b, (char)((uint64_t)n >> 8 * k));
    buf_text(&b, header);
    put_bytes(at("header"), b.data, b.length);
    bool ok = st_open(&f, at("header"), &why);
    const char *words = extra ? "occurs twice" : rows[i].words;
    CHECK(ok == (words == NULL) && why.kind == (extra ? FAIL_FORMAT : rows[i].kind), "row %zu: %s",
          i, why.text);
    CHECK(ok || strstr(why.text, words) != NULL, "row %zu: %s", i, why.text);
    st_close(f);
    buf_free(&many);
    buf_free(&b);
  }
}

static void check_planning(void)
{
  static const struct {
    st_tensor tensors[2];
    size_t count;
    fail_kind kind;
  } rows[] = {
      {{{.name = "a", .dtype = ST_F32}, {.name = "a", .dtype = ST_U8}}, 2, FAIL_FORMAT},
      {{{.name = "__metadata__", .dtype = ST_F32}}, 1, FAIL_FORMAT},
      {{{.name = "\xFF", .dtype = ST_F32}}, 1, FAIL_FORMAT},
      {{{.name = "a", .dtype = ST_F4, .ndim = 1, .shape = {3}}}, 1, FAIL_FORMAT},
      {{{.name = "a", .dtype = ST_F32, .ndim = 9}}, 1, FAIL_LIMIT},
      {{{.name = "a", .dtype = ST_F32, .ndim = 2, .shape = {0, UINT64_MAX}}}, 1, FAIL_OVERFLOW},
      {{{.name = "a", .dtype = ST_U8, .ndim = 1, .shape = {INT64_MAX - 7}},
        {.name = "b", .dtype = ST_U8, .ndim = 1, .shape = {INT64_MAX - 7}}},
       2,
       FAIL_OVERFLOW},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    st_writer *w = NULL;
    fail why = {0};
    CHECK(!st_writer_plan(&w, rows[i].tensors, rows[i].count, NULL, 0, "p", &why) && w == NULL &&
              why.kind == rows[i].kind,
          "row %zu: %s %s", i, fail_kind_name(why.kind), why.text);
  }
}

static void check_writing(void)
{
  st_tensor t[2] = {{.name = "x", .dtype = ST_F32, .ndim = 1, .shape = {4}},
                    {.name = "y", .dtype = ST_F64, .ndim = 1, .shape = {1}}};
  char bytes[16] = {0};
  fail why = {0};
  st_writer *w = NULL;
  out_file *out = NULL;
  CHECK(st_writer_plan(&w, t, 2, NULL, 0, "p", &why), "%s", why.text);
  CHECK(st_writer_tensor(w, 1)->begin == 0 && st_writer_tensor(w, 0)->begin == 8, "layout");
  CHECK(out_file_create(&out, at("hole"), false, &why) && st_writer_start(w, out, &why), "%s",
        why.text);
  CHECK(st_writer_write(w, 0, 0, bytes, 16, &why) && st_writer_write(w, 1, 0, bytes, 4, &why), "%s",
        why.text);
  CHECK(!st_writer_write(w, 1, 4, bytes, 5, &why) && why.kind == FAIL_OVERFLOW, "past the end");
  CHECK(!st_writer_finish(w, &why) && why.kind == FAIL_DATA && strstr(why.text, "\"y\""), "%s",
        why.text);
  CHECK(st_writer_write(w, 1, 4, bytes, 4, &why) && st_writer_finish(w, &why), "%s", why.text);
  uint64_t total = st_writer_bytes(w);
  CHECK(out_file_commit(&out, &why) && out == NULL, "%s", why.text);
  st_writer_free(w);
  sys_info info;
  CHECK(sys_look(&info, SYS_CWD, at("hole"), true) && info.bytes == total, "size on disk");
  const float numbers[4] = {1, -2, 0.5f, 1e30f};
  static const char file_order[16] = "\0\0\x80\x3F\0\0\0\xC0\0\0\0\x3F\xCA\xF2\x49\x71";
  CHECK(st_writer_plan(&w, t, 1, NULL, 0, "q", &why) &&
            out_file_create(&out, at("order"), false, &why) && st_writer_start(w, out, &why) &&
            st_writer_elements(w, 0, 0, numbers, sizeof numbers, &why) &&
            st_writer_finish(w, &why) && out_file_commit(&out, &why),
        "%s", why.text);
  total = st_writer_bytes(w);
  st_writer_free(w);
  size_t n;
  char *all = get_bytes(at("order"), &n);
  CHECK(all && n == total && memcmp(all + n - 16, file_order, 16) == 0, "not little-endian");
  if (all)
    st_turn(ST_F32, all + n - 16, 16);
  CHECK(all && memcmp(all + n - 16, numbers, 16) == 0, "turned");
  free(all);
  st_file *empty = NULL;
  put_bytes(at("none"), "\x08\0\0\0\0\0\0\0{}      ", 16);
  CHECK(st_open(&empty, at("none"), &why) && st_count(empty) == 0, "%s", why.text);
  st_close(empty);
  check_rewrite(at("none"), true);
  float twice[2] = {1, 2};
  st_turn(ST_C64, twice, sizeof twice); /* two numbers of four bytes, not one of eight */
  st_turn(ST_C64, twice, sizeof twice);
  CHECK(twice[0] == 1 && twice[1] == 2, "turned and back");
}

/* A header with 100,000 tensors opens quickly. */
static void check_many(void)
{
  enum { MANY = 100000 };
  st_tensor *t = test_alloc(MANY * sizeof *t);
  char(*names)[48] = test_alloc(MANY * sizeof *names);
  fail why = {0};
  st_writer *w = NULL;
  out_file *out = NULL;
  st_file *f = NULL;
  char byte[2] = {1, 2};
  for (size_t i = 0; i < MANY; i++) {
    snprintf(names[i], sizeof names[i], "model.layers.%zu.mlp.weight", i);
    t[i] = (st_tensor){.name = names[i], .dtype = ST_BF16, .ndim = 1, .shape = {1}};
  }
  bool ok = st_writer_plan(&w, t, MANY, NULL, 0, "p", &why) &&
            out_file_create(&out, at("many"), false, &why) && st_writer_start(w, out, &why);
  for (size_t i = 0; ok && i < MANY; i++)
    ok = st_writer_write(w, i, 0, byte, 2, &why);
  ok = ok && st_writer_finish(w, &why) && out_file_commit(&out, &why);
  CHECK(ok, "%s", why.text);
  CHECK(st_open(&f, at("many"), &why) && st_count(f) == MANY, "%s", why.text);
  CHECK(f != NULL && st_find(f, "model.layers.99999.mlp.weight") != NULL, "look-up");
  st_close(f);
  st_writer_free(w);
  free(names);
  free(t);
}

int main(int argc, char **argv)
{
  vectors = test_vectors(argc, argv);
  scratch_make();
  check_corpus();
  CHECK(rewrite_folder("malformed", false) > 100, "no malformed folder");
  CHECK(rewrite_folder("bitsandbytes", true) > 0, "no files of the reference writer");
  check_reading();
  check_headers();
  check_planning();
  check_writing();
  check_many();
  scratch_remove();
  return test_end();
}
