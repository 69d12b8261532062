/*
 * test_files_writers.c - what writes files, in the places that a run of the tool seldom reaches:
 * links in a circle, relative outputs, jobs with records twice, texts without room.
 */
#include "test_files.h"

#include "../src/files/buf.h"
#include "../src/files/interrupt.h"
#include "../src/files/io.h"
#include "../src/files/job.h"
#include "../src/files/job_parts.h"
#include "../src/files/journal.h"
#include "../src/files/json.h"
#include "../src/files/output.h"
#include "../src/files/safetensors.h"
#include "../src/files/sha256.h"

#include <errno.h>
#include <wchar.h>

/* ---- texts ---- */

static void check_texts(void)
{
  char full[FAIL_TEXT + 1];
  fail why = {0};
  fail_system(&why, "f", "open", ENOMEM);
  CHECK(why.kind == FAIL_NOMEM, "%s", why.text);
  fail_system(NULL, "f", "open", EIO);
  CHECK(strcmp(fail_kind_name((fail_kind)99), "?") == 0, "%s", fail_kind_name((fail_kind)99));
  memset(full, 'x', FAIL_TEXT);
  full[FAIL_TEXT] = 0;
  fail_set(&why, FAIL_IO, NULL, "%s", full);
  fail_add(&why, "more");
  CHECK(strstr(why.text, "more") == NULL, "%s", why.text);
  fail_set(&why, FAIL_IO, NULL, "short");
  fail_add(&why, "%s", "");
  CHECK(strcmp(why.text, "short") == 0, "%s", why.text);
#ifdef __linux__ /* in the locale "C" no other library refuses a character */
  buf b = {0};
  fail_set(&why, FAIL_IO, "f", "%lc", (wint_t)0x7FFFFFFF);
  CHECK(why.kind == FAIL_IO && strncmp(why.text, "f: ", 3) == 0, "%s", why.text);
  buf_printf(&b, "%lc", (wint_t)0x7FFFFFFF);
  CHECK(b.failed, "a character that there is not");
  buf_free(&b);
#endif
}

/* ---- files and folders ---- */

static void check_places(void)
{
  fail why = {0};
  out_folder *to = NULL;
  char inside[1024];
#ifndef _WIN32
  int fd = -1;
  uint64_t bytes;
  CHECK(symlink("circle", at("circle")) == 0, "a link");
  CHECK(!io_open(&fd, &bytes, SYS_CWD, at("circle"), true, "f", &why) && why.detail == ELOOP, "%s",
        why.text);
  CHECK(!io_open(&fd, &bytes, SYS_CWD, at("circle"), false, "f", &why) && why.kind == FAIL_FORMAT,
        "%s", why.text);
  unlink(at("circle"));
  CHECK(out_space("/proc/x") == UINT64_MAX || !exists("/proc/self"), "a disk without blocks");
#endif

  /* A folder is a model by its weights alone. */
  CHECK(new_folder(at("old")), "a folder");
  put_text(at("old/a.safetensors"), "x");
  CHECK(out_folder_create(&to, at("old"), NULL, true, &why) && out_folder_commit(&to, &why) &&
            entries(at("old")) == 0,
        "%s", why.text);

  /* The input is a folder, the output a file that is there, beside it or in it. */
  put_text(at("file"), "x");
  CHECK(out_check_distinct(at("old"), at("file"), &why), "%s", why.text);
  put_text(at("old/file"), "x");
  CHECK(!out_check_distinct(at("old"), at("old/file"), &why) && why.kind == FAIL_USAGE, "%s",
        why.text);
  CHECK(new_folder(at("new")) && out_check_distinct(at("old"), at("new"), &why), "%s", why.text);
  remove_all(at("old"));
  sys_remove_folder(SYS_CWD, at("old"));
  sys_remove_folder(SYS_CWD, at("new"));
  sys_remove(SYS_CWD, at("file"));

  /* A name without a folder. */
  snprintf(inside, sizeof inside, "%s", at("here"));
  char *before = getcwd(NULL, 0);
  CHECK(before != NULL && chdir(scratch) == 0, "chdir");
  CHECK(out_folder_create(&to, "here", NULL, false, &why) &&
            strcmp(out_folder_path(to), "here") == 0 && out_folder_commit(&to, &why) &&
            entries(inside) == 0,
        "%s", why.text);
  CHECK(before != NULL && chdir(before) == 0, "back");
  free(before);
  sys_remove_folder(SYS_CWD, inside);
}

/* ---- sums, jobs ---- */

static job_store *job;

static bool open_job(const char *header, fail *why)
{
  char target[1024];
  buf text = {0};
  snprintf(target, sizeof target, "%s", at("out"));
  const job_wish wish = {.target = target, .resume = true};
  buf_text(&text, header);
  bool ok = job_open(&job, &wish, &text, why);
  buf_free(&text);
  return ok;
}

static void close_job(fail_kind kind)
{
  fail why = {.kind = kind};
  job_close(job, kind == FAIL_NONE, &why);
  job = NULL;
}

static void check_jobs(void)
{
  fail why = {0};
  journal *j = NULL;
  buf again = {0};
  size_t length;
  CHECK(open_job("{\"job\":1}", &why), "%s", why.text);
  put_text(at("out.quant-job/a"), "text");
  CHECK(job_add(job, "a", NULL, 0, &why), "%s", why.text);
  close_job(FAIL_IO);
  CHECK(!open_job("{\"job\":12}", &why) && why.kind == FAIL_EXISTS, "another header: %s", why.text);

  /* A record twice counts once. */
  CHECK(journal_open(&j, at("out.quant-job/journal"), false, &why), "%s", why.text);
  const char *text = journal_at(j, 1, &length);
  buf_add(&again, text, length);
  CHECK(journal_count(j) == 2 && journal_add(j, &again, &why), "%s", why.text);
  buf_free(&again);
  journal_close(j);
  CHECK(open_job("{\"job\":1}", &why) && job_has(job, "a"), "%s", why.text);

  /* A part that is not there, told by the next call. */
  CHECK(job_add(job, "none", NULL, 0, &why), "%s", why.text);
  CHECK(!job_seal(job, &why) && strstr(why.text, "none is not there any more") != NULL, "%s",
        why.text);
  CHECK(job_seal(job, &why), "%s", why.text);
  close_job(FAIL_IO);

  /* Sealed, and something else is where the output would be. */
  CHECK(new_folder(at("out")), "a folder");
  CHECK(!open_job("{\"job\":1}", &why) && why.kind == FAIL_EXISTS, "%s", why.text);
  CHECK(exists(at("out.quant-job/a")), "the job stays");
  sys_remove_folder(SYS_CWD, at("out"));

  job_part part = {.folder = scratch, .name = "out.quant-job"};
  CHECK(!job_part_look(&part, NULL, &why) && why.kind == FAIL_FORMAT, "a folder: %s", why.text);
  CHECK(!job_part_look(&part, NULL, NULL), "nobody asks why");
  CHECK(open_job("{\"job\":1}", &why), "%s", why.text);
  close_job(FAIL_NONE);
  CHECK(!exists(at("out.quant-job")), "cleaned");

  sha256 sum;
  char hash[SHA256_TEXT];
  sha256_start(&sum);
  sha256_add(&sum, NULL, 0);
  sha256_text(&sum, hash);
  CHECK(strncmp(hash, "e3b0c442", 8) == 0, "%s", hash);
}

/* ---- safetensors ---- */

static void check_header(void)
{
  const st_tensor t = {.name = "a", .dtype = ST_U8, .ndim = 1, .shape = {4}};
  st_pair pairs[] = {{"format", "pt"}, {"note", "text"}};
  st_writer *w = NULL;
  out_file *out = NULL;
  fail why = {0};
  CHECK(st_writer_plan(&w, &t, 1, pairs, 2, "f", &why) &&
            out_file_create(&out, at("f"), true, &why) && st_writer_start(w, out, &why),
        "%s", why.text);
  CHECK(!st_writer_write(w, 0, 5, "", 0, &why) && why.kind == FAIL_OVERFLOW, "%s", why.text);
  CHECK(!st_writer_write(w, 0, 2, "abc", 3, &why) && why.kind == FAIL_OVERFLOW, "%s", why.text);
  CHECK(st_writer_elements(w, 0, 0, "abcd", 4, &why) && st_writer_finish(w, &why) &&
            out_file_commit(&out, &why),
        "%s", why.text);
  st_writer_free(w);
  st_file *f = NULL;
  CHECK(st_open(&f, at("f"), &why) && strcmp(st_metadata(f, "format"), "pt") == 0 &&
            strcmp(st_metadata(f, "note"), "text") == 0,
        "%s", why.text);
  st_close(f);
  sys_remove(SYS_CWD, at("f"));

  char *text = test_alloc(JSON_BYTES_MAX + 1);
  memset(text, 'x', JSON_BYTES_MAX);
  text[JSON_BYTES_MAX] = 0;
  pairs[1].value = text;
  CHECK(!st_writer_plan(&w, &t, 1, pairs, 2, "f", &why) && why.kind == FAIL_LIMIT && w == NULL,
        "%s", why.text);
  free(text);
}

int main(void)
{
  scratch_make();
  check_texts();
  check_places();
  check_jobs();
  check_header();
  CHECK(entries(scratch) == 0, "%d names are left", entries(scratch));
  scratch_remove();
  return test_end();
}
