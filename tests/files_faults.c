/*
 * files_faults.c - every allocation and every system call of src/files, and of what reads models in
 * src/model (faults_readers.h), fails, one after the other,
 * once and from there on: the caller is told with the right kind, and nothing leaks. Calls that are
 * interrupted are made again. Built and started by tests/files_faults.sh, which links the functions
 * below in the place of libc's.
 *
 * Owns: the counter of calls, a scenario for each part of src/files. Must not know: the commands.
 */
#include "test_files.h"

#include "../src/files/interrupt.h"
#include "../src/files/io.h"
#include "../src/files/job.h"
#include "../src/files/journal.h"
#include "../src/files/model.h"
#include "../src/files/shard_index.h"
#include "faults_readers.h"
#include "gguf.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/statvfs.h>

/* ---- calls that fail ---- */

enum mode { NOTHING, MEMORY, SYSTEM, INTERRUPTED };

static enum mode mode;
static _Atomic long calls, live;
static long fail_at;
static int error_given = EIO;
static bool onward, no_exchange;

static bool fails(enum mode kind, int error)
{
  if (mode != kind)
    return false;
  long k = atomic_fetch_add(&calls, 1) + 1;
  if (k != fail_at && !(onward && k > fail_at))
    return false;
  errno = error;
  return true;
}

static void *counted(void *p)
{
  live += p != NULL && mode != NOTHING;
  return p;
}

/* name, what it returns, parameters, arguments: a call of the system that gives -1 */
#define CALLS(X) \
  X(fstatat64, int, (int fd, const char *name, void *st, int flags), (fd, name, st, flags)) \
  X(lstat64, int, (const char *name, void *st), (name, st)) \
  X(stat64, int, (const char *name, void *st), (name, st)) \
  X(openat64, int, (int fd, const char *name, int flags, int bits), (fd, name, flags, bits)) \
  X(open64, int, (const char *name, int flags, int bits), (name, flags, bits)) \
  X(ftruncate64, int, (int fd, off_t bytes), (fd, bytes)) \
  X(fchmod, int, (int fd, mode_t bits), (fd, bits)) \
  X(mkdir, int, (const char *name, mode_t bits), (name, bits)) \
  X(mkdirat, int, (int fd, const char *name, mode_t bits), (fd, name, bits)) \
  X(unlink, int, (const char *name), (name)) \
  X(unlinkat, int, (int fd, const char *name, int flags), (fd, name, flags)) \
  X(rmdir, int, (const char *name), (name)) \
  X(rename, int, (const char *from, const char *to), (from, to)) \
  X(sigaction, int, (int which, const void *now, void *old), (which, now, old))

/* The same, and calls that are made again after an interruption. */
#define MOVES(X) X(pread64, ssize_t, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))

#define DEFINE_CALL(name, type, parameters, arguments) \
  type __real_##name parameters; \
  type __wrap_##name parameters; \
  type __wrap_##name parameters \
  { \
    return fails(SYSTEM, error_given) ? -1 : __real_##name arguments; \
  }
#define DEFINE_MOVE(name, type, parameters, arguments) \
  type __real_##name parameters; \
  type __wrap_##name parameters; \
  type __wrap_##name parameters \
  { \
    return fails(SYSTEM, error_given) || fails(INTERRUPTED, EINTR) ? -1 : __real_##name arguments; \
  }
#define DEFINE_POINTER(name, type, parameters, arguments, kind, error, made) \
  type __real_##name parameters; \
  type __wrap_##name parameters; \
  type __wrap_##name parameters \
  { \
    return fails(kind, error) ? NULL : made(__real_##name arguments); \
  }

/* Exchanges two names; not on every disk. */
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
  if (no_exchange)
    errno = ENOSYS;
  return no_exchange || fails(SYSTEM, error_given) ? -1 : __real_renameat2(a, from, b, to, flags);
}

DEFINE_POINTER(readdir64, void *, (DIR * dir), (dir), SYSTEM, error_given, )
DEFINE_POINTER(fdopendir, DIR *, (int fd), (fd), SYSTEM, error_given, )
DEFINE_POINTER(opendir, DIR *, (const char *name), (name), SYSTEM, error_given, )
DEFINE_POINTER(malloc, void *, (size_t bytes), (bytes), MEMORY, ENOMEM, counted)
DEFINE_POINTER(calloc, void *, (size_t n, size_t bytes), (n, bytes), MEMORY, ENOMEM, counted)
DEFINE_POINTER(strdup, char *, (const char *text), (text), MEMORY, ENOMEM, counted)
DEFINE_POINTER(strndup, char *, (const char *text, size_t n), (text, n), MEMORY, ENOMEM, counted)

void *__real_realloc(void *p, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes)
{
  if (fails(MEMORY, ENOMEM))
    return NULL;
  return p == NULL ? counted(__real_realloc(p, bytes)) : __real_realloc(p, bytes);
}

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
  live -= p != NULL && mode != NOTHING;
  __real_free(p);
}

/* A file is closed whatever close says. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
  int got = __real_close(fd), error = errno;
  if (fails(SYSTEM, error_given) || fails(INTERRUPTED, EINTR))
    return -1;
  errno = error;
  return got;
}

/* These give the error itself. */
int __real_posix_fallocate64(int fd, off_t at, off_t bytes);
int __wrap_posix_fallocate64(int fd, off_t at, off_t bytes);
int __wrap_posix_fallocate64(int fd, off_t at, off_t bytes)
{
  return fails(SYSTEM, error_given) || fails(INTERRUPTED, EINTR)
             ? errno
             : __real_posix_fallocate64(fd, at, bytes);
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *user);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *user);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *user)
{
  return fails(SYSTEM, EAGAIN) ? EAGAIN : __real_pthread_create(t, a, run, user);
}

#include "faults_writers.h"

CALLS(DEFINE_CALL)
MOVES(DEFINE_MOVE)

/* ---- scenarios: true, or false and why ---- */

static char vectors[512];

static const char *vector(const char *name)
{
  static char path[1024];
  snprintf(path, sizeof path, "%s/%s", vectors, name);
  return path;
}

static bool json(fail *why)
{
  json_doc *d = NULL, *fresh = NULL;
  buf text = {0};
  bool ok =
      json_read(&d, AT_FDCWD, at("in.json"), "in.json", why) && json_new(&fresh, "fresh.json", why);
  if (ok) {
    uint64_t begin = json_offset(d, json_root(d));
    CHECK(json_remove(d, json_root(d), "a") || mode == MEMORY, "a is there");
    json_id list = json_put_array(d, json_put_object(d, json_root(d), "object"), "list");
    for (int i = 0; i < 40; i++)
      json_put_i64(d, list, NULL, i);
    json_put_string(d, json_root(d), "text", "\x01\xff");
    CHECK(json_offset(d, json_root(d)) == begin, "where it was read");
    ok = json_write(d, &text, true, why) && json_write(fresh, &text, false, why);
  }
  buf_free(&text);
  json_free(fresh);
  json_free(d);
  return ok;
}

static bool written(const char *path, fail *why)
{
  static const st_pair format = {"format", "pt"};
  st_tensor t[2] = {{.name = "a", .dtype = ST_F16, .ndim = 2, .shape = {1, 2}},
                    {.name = "b", .dtype = ST_I8, .ndim = 1, .shape = {4}}};
  st_writer *w = NULL;
  out_file *out = NULL;
  bool ok = st_writer_plan(&w, t, 2, &format, 1, path, why) &&
            out_file_create(&out, path, true, why) && st_writer_start(w, out, why) &&
            st_writer_write(w, 0, 0, "1234", 4, why) && st_writer_write(w, 1, 0, "5678", 4, why) &&
            st_writer_finish(w, why) && out_file_commit(&out, why);
  out_file_abort(out);
  st_writer_free(w);
  return ok;
}

static bool safetensors_write(fail *why)
{
  const char *path = at("work/new.safetensors");
  return written(path, why) && written(path, why); /* the second one replaces the first */
}

static bool safetensors_read(fail *why)
{
  st_file *f = NULL;
  st_stamp stamp;
  char bytes[4];
  bool ok = st_open(&f, at("in.safetensors"), why) &&
            st_read(f, st_at(f, 1), 0, bytes, sizeof bytes, why) && st_stamp_of(f, &stamp, why);
  st_close(f);
  return ok;
}

static bool one_model(const char *path, fail *why)
{
  model *m = NULL;
  bool ok = model_open(&m, path, why);
  model_close(m);
  return ok;
}

static bool models(fail *why)
{
  return one_model(vector("sharded"), why) &&
         one_model(vector("sharded/model.safetensors.index.json"), why) &&
         one_model(at("in.safetensors"), why) && one_model(vector("gguf/llama-q5_0.gguf"), why) &&
         one_model(vector("checkpoints/tiny-llama-bf16"), why);
}

static bool gguf_values(fail *why)
{
  gguf_file *f = NULL;
  bool ok = gguf_open(&f, vector("gguf/llama-q5_0.gguf"), why);
  for (size_t i = 0; ok && i < gguf_key_count(f); i++) {
    const gguf_value *v = gguf_key_at(f, i);
    gguf_array a = {0};
    char *text = NULL;
    size_t length;
    ok = gguf_text(f, v, 0, &text, &length, why) &&
         (v->type != GGUF_ARRAY || gguf_load(f, v->key, (gguf_type)v->item, &a, why));
    gguf_array_free(&a);
    free(text);
    text = NULL;
    ok = ok && (v->type != GGUF_STRING || gguf_opt_string(f, v->key, &text, why));
    free(text);
  }
  gguf_close(f);
  return ok;
}

/* A file whose tables lie about `before` bytes in front of the end of what is read at a time. */
static void put_gguf(size_t before)
{
  enum { WINDOW = 1 << 16 };
  buf b = {0};
  put_head(&b, 2, 4);
  put_array(&b, "fill", GGUF_U8, WINDOW - before);
  buf_fill(&b, 0, WINDOW - before);
  put_array(&b, "list", GGUF_STRING, 2);
  put_string(&b, "one");
  put_string(&b, "two");
  put_key(&b, "text", GGUF_STRING);
  put_string(&b, "some");
  put_key(&b, "general.alignment", GGUF_U32);
  put_int(&b, 32, 4);
  put_tensor(&b, "a", 0, 4, 2, 0);
  put_tensor(&b, "b", 0, 8, 0, 32);
  pad(&b, 32);
  buf_fill(&b, 0, 64);
  put_bytes(at("window.gguf"), b.data, b.length);
  buf_free(&b);
}

static bool gguf_window(fail *why)
{
  gguf_file *f = NULL;
  bool ok = gguf_open(&f, at("window.gguf"), why);
  gguf_close(f);
  return ok;
}

static bool index_text(fail *why)
{
  shard_index *x = NULL;
  buf b = {0};
  index_entry entries[] = {{"d.w", "two"}, {"a.w", "one"}};
  bool ok = index_read(&x, AT_FDCWD, vector("sharded/model.safetensors.index.json"), "x", why) &&
            index_write(&b, entries, 2, 8, 16, why);
  buf_free(&b);
  index_free(x);
  return ok;
}

static bool folder_of(const char *name, fail *why)
{
  out_folder *to = NULL;
  out_file *file = NULL;
  int fd = -1, from = open(scratch, O_RDONLY | O_DIRECTORY);
  bool ok = from >= 0 || fail_system(why, scratch, "open", errno);
  ok = ok && out_check_distinct(at("in.json"), name, why) &&
       out_check_distinct(vector("sharded"), name, why) &&
       out_folder_create(&to, name, NULL, true, why) &&
       out_folder_put(to, "config.json", "{}", 2, why) &&
       out_folder_copy(to, from, "in.json", "in.json", why) &&
       out_file_create_in(&file, to, "part", why) && out_append(file, "part", 4, why) &&
       out_reserve(file, 4, why) && out_file_commit(&file, why) && out_nameless(&fd, name, why) &&
       out_folder_sync(to, why) && out_folder_commit(&to, why);
  out_space(name);
  if (fd >= 0)
    close(fd);
  if (from >= 0)
    close(from);
  out_file_abort(file);
  out_folder_abort(to);
  return ok;
}

/* The second one replaces the first. */
static bool folders(fail *why)
{
  return folder_of(at("work/out"), why) && folder_of(at("work/out"), why);
}

static bool folders_in_two(fail *why)
{
  no_exchange = true;
  bool ok = folders(why);
  no_exchange = false;
  return ok;
}

static bool job(fail *why)
{
  static const job_pair note = {"note", "text"};
  const job_wish wish = {.target = at("work/out"), .resume = true, .verify = true};
  job_store *j = NULL;
  buf header = {0};
  bool ok = true;
  buf_text(&header, "{\"job\":1}");
  for (int k = 0; ok && k < 2; k++) {
    ok = job_open(&j, &wish, &header, why);
    for (const char *part = "ab"; ok && *part != 0; part++) {
      const char name[] = {*part, 0};
      char path[1100];
      snprintf(path, sizeof path, "%s/%s", job_folder(j), name);
      ok = link(at("in.json"), path) == 0 || errno == EEXIST;
      CHECK(ok, "%s", path);
      ok = ok && (job_has(j, name) || job_add(j, name, &note, 1, why));
    }
    if (ok && k == 0) { /* what the next run removes */
      char path[1100];
      snprintf(path, sizeof path, "%s/unfinished", job_folder(j));
      CHECK(link(at("in.json"), path) == 0, "%s", path);
    }
    ok = ok && (k == 0 || job_seal(j, why));
    if (j != NULL) {
      fail other = {.kind = FAIL_IO};
      job_close(j, ok && k == 1, ok ? &other : why);
      j = NULL;
    }
  }
  buf_free(&header);
  return ok;
}

static bool journal_of(const char *path, fail *why)
{
  journal *j = NULL;
  buf text = {0};
  buf_text(&text, "a record");
  bool ok = journal_open(&j, path, false, why);
  if (ok && !journal_add(j, &text, why))
    ok = journal_add(j, &text, NULL); /* takes no more */
  journal_close(j);
  buf_free(&text);
  return ok;
}

static bool journals(fail *why)
{
  return journal_of(at("work/journal"), why) && journal_of(at("work/journal"), why);
}

static const struct scenario {
  const char *name;
  bool (*run)(fail *why);
} scenarios[] = {
    {"json", json},
    {"safetensors written", safetensors_write},
    {"safetensors read", safetensors_read},
    {"models", models},
    {"gguf values", gguf_values},
    {"index", index_text},
    {"folders", folders},
    {"folders without exchange", folders_in_two},
    {"job", job},
    {"journals", journals},
    {"tokenizers", tokenizers},
    {"splits", splits},
    {"gguf tokenizers", gguf_tokenizers},
    {"gguf as folder", gguf_folder},
    {"corpora", corpora},
    {"extras", extras},
    {"beside stale files", beside_stale},
    {"a lent folder", lent_folder},
    {"signals", signals},
};

/* ---- each call of each scenario ---- */

/* Whether call k was reached. */
static bool run(const struct scenario *s, enum mode kind, long k, bool from_there_on)
{
  fail why = {0};
  remove_all(at("work/out.quant-job"));
  remove_all(at("work"));
  calls = live = 0;
  fail_at = k;
  onward = from_there_on;
  mode = kind;
  bool ok = s->run(&why);
  mode = NOTHING;
  test_in("%s, call %ld%s, kind %d", s->name, k, onward ? "+" : "", (int)kind);
  CHECK(live == 0, "%ld blocks leaked", live);
  CHECK(ok || (why.kind != FAIL_NONE && why.text[0] != 0), "no reason");
  if (calls < k || kind == INTERRUPTED)
    CHECK(ok, "%s", why.text);
  else if (kind == MEMORY)
    CHECK(ok || why.kind == FAIL_NOMEM, "%s", why.text);
  test_in("%s", "");
  return calls >= k;
}

static void each_call(const struct scenario *s, enum mode kind)
{
  for (long k = 1; run(s, kind, k, false); k++)
    if (kind != INTERRUPTED)
      run(s, kind, k, true);
}

/* What else a system may say: some of it is no failure. */
static void each_error(void)
{
  static bool (*const writers[])(fail *) = {safetensors_write, folders, job, journals};
  static const int errors[] = {EEXIST, EINVAL, ENOTSUP, ENOSYS, ENOLCK, ENOENT, ENOTDIR, ENOMEM};
  for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
      char name[32];
      const struct scenario s = {name, writers[i]};
      snprintf(name, sizeof name, "error %d, writer %zu", errors[e], i);
      error_given = errors[e];
      for (long k = 1; run(&s, SYSTEM, k, false); k++)
        if (errors[e] == EEXIST)
          run(&s, SYSTEM, k, true);
    }
  error_given = EIO;
}

int main(int argc, char **argv)
{
  static const struct scenario window = {"gguf window", gguf_window};
  fail why = {0};
  snprintf(vectors, sizeof vectors, "%s", test_vectors(argc, argv));
  scratch_make();
  CHECK(mkdir(at("work"), 0700) == 0, "mkdir");
  buf in = {0}; /* with more names than are compared where they are */
  buf_text(&in, "{\"a\": [1, 2.5, \"x\\u00e9\"], \"b\": {\"c\": null}");
  for (int i = 0; i < 70; i++)
    buf_printf(&in, ", \"n%d\": %d", i, i);
  buf_text(&in, "}");
  put_text(at("in.json"), in.data);
  buf_free(&in);
  CHECK(written(at("in.safetensors"), &why), "%s", why.text);
  put_reader_files();
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
    for (int kind = MEMORY; kind <= INTERRUPTED; kind++)
      each_call(&scenarios[i], (enum mode)kind);
  for (size_t before = 0; before < 300; before++) {
    put_gguf(before);
    each_call(&window, SYSTEM);
  }
  each_error();
  check_odd();
  check_signals();
  remove_all(at("work/out.quant-job"));
  remove_all(at("work"));
  free(bpe_bytes);
  scratch_remove();
  return test_end();
}
