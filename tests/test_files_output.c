/* Output that appears whole or not at all; full disks, interruption; errors and name patterns. */
#include "test_files.h"

#include "../src/files/interrupt.h"
#include "../src/files/io.h"
#include "../src/files/output.h"
#include "../src/files/pattern.h"

#include <errno.h>
#include <signal.h>
#ifndef _WIN32
#include <sys/resource.h>
#endif

/* ---- one file ---- */

static void check_file(void)
{
  fail why = {0};
  out_file *f = NULL;
  const char *path = at("model.bin");
  CHECK(out_file_create(&f, path, false, &why), "%s", why.text);
  CHECK(!exists(path) && entries(scratch) == 1, "only a temporary file so far");
  CHECK(out_append(f, "half", 4, &why), "%s", why.text);
  out_file_abort(f);
  CHECK(entries(scratch) == 0, "abort leaves nothing");

  CHECK(out_file_create(&f, path, false, &why) && out_reserve(f, 10, &why) &&
            out_write_at(f, 5, "56789", 5, &why) && out_append(f, "01234", 5, &why) &&
            strcmp(out_file_path(f), path) == 0 && out_file_commit(&f, &why),
        "%s", why.text);
  CHECK(f == NULL && same_text(path, "0123456789") && entries(scratch) == 1, "committed");

  CHECK(!out_file_create(&f, path, false, &why) && f == NULL && why.kind == FAIL_EXISTS, "%s",
        why.text);
  CHECK(strstr(why.text, "--force") != NULL, "%s", why.text);
#ifndef _WIN32
  CHECK(chmod(path, 0640) == 0, "chmod");
#endif
  CHECK(out_file_create(&f, path, true, &why) && out_append(f, "new", 3, &why), "%s", why.text);
  CHECK(same_text(path, "0123456789"), "the old file stays until the commit");
  CHECK(out_file_commit(&f, &why) && same_text(path, "new") && entries(scratch) == 1, "%s",
        why.text);
#ifndef _WIN32
  struct stat st;
  CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640, "mode %o", (unsigned)st.st_mode);
#endif

  CHECK(out_file_create(&f, at("late"), false, &why), "%s", why.text);
  put_text(at("late"), "someone else");
  CHECK(!out_file_commit(&f, &why) && why.kind == FAIL_EXISTS &&
            same_text(at("late"), "someone else"),
        "%s", why.text);
  CHECK(entries(scratch) == 2, "nothing else left");
  unlink(at("late"));
}

static void check_file_refused(void)
{
  static const char *const names[] = {"", "/", ".", "..", "no-such-folder/x"};
  fail why = {0};
  out_file *f = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    CHECK(!out_file_create(&f, names[i], false, &why) && f == NULL, "\"%s\"", names[i]);
  CHECK(why.kind == FAIL_IO && why.detail == ENOENT, "%s", why.text);
  CHECK(new_folder(at("folder")) && !out_file_create(&f, at("folder"), true, &why) &&
            why.kind == FAIL_EXISTS,
        "%s", why.text);
  CHECK(rmdir(at("folder")) == 0, "still empty");
  char name[300];
  memset(name, 'n', 255);
  name[255] = 0;
  CHECK(out_file_create(&f, at(name), false, &why) && out_file_commit(&f, &why) && exists(at(name)),
        "the longest name: %s", why.text);
  unlink(at(name));
}

/* ---- full disks ---- */

#ifndef _WIN32

static void check_full(void)
{
  fail why = {0};
  out_file *f = NULL;
  out_folder *to = NULL;
  char block[8192] = {0};
  int fd = open("/dev/full", O_WRONLY);
  if (fd >= 0) {
    CHECK(!io_write_at(fd, 0, block, sizeof block, "full", &why) && why.kind == FAIL_IO &&
              why.detail == ENOSPC,
          "%s", why.text);
    CHECK(strcmp(why.text, "full: cannot write: No space left on device") == 0, "%s", why.text);
    close(fd);
  }
  struct rlimit old, small;
  int before = entries(scratch);
  CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0, "getrlimit");
  small = old;
  small.rlim_cur = 6000;
  CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0, "setrlimit");
  bool created = out_file_create(&f, at("big"), false, &why);
  bool reserved = created && out_reserve(f, 1 << 20, &why);
  out_file_abort(f);
  bool again = out_file_create(&f, at("big"), false, &why);
  bool first = again && out_append(f, block, 4096, &why);
  bool second = again && out_append(f, block, 4096, &why);
  out_file_abort(f);
  bool folder = out_folder_create(&to, at("bigs"), NULL, false, &why);
  bool put = folder && out_folder_put(to, "a", block, 4096, &why);
  bool over = folder && out_folder_put(to, "b", block, 8192, &why);
  out_folder_abort(to);
  CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0, "setrlimit");
  CHECK(created && !reserved, "1 MiB was reserved");
  CHECK(again && first && !second && why.kind == FAIL_IO, "%s", why.text);
  CHECK(folder && put && !over && why.kind == FAIL_IO && why.detail == EFBIG, "%s", why.text);
  CHECK(entries(scratch) == before, "something was left");
}

#endif

/* ---- folders ---- */

static bool build(const char *path, bool force, const char *text, fail *why)
{
  out_folder *to = NULL;
  bool ok = out_folder_create(&to, path, NULL, force, why) &&
            out_folder_put(to, "config.json", text, strlen(text), why) &&
            out_folder_copy(to, SYS_CWD, at("source.txt"), "s", why);
  out_folder_abort(to);
  return ok;
}

static bool build_and_commit(const char *path, bool force, const char *text, fail *why)
{
  out_folder *to = NULL;
  bool ok = out_folder_create(&to, path, NULL, force, why) &&
            out_folder_put(to, "config.json", text, strlen(text), why) &&
            out_folder_commit(&to, why);
  out_folder_abort(to);
  return ok;
}

static void check_folder(void)
{
  fail why = {0};
  char path[1024], inside[1100];
  snprintf(path, sizeof path, "%s", at("out/"));
  int before = entries(scratch);
  CHECK(!build(path, false, "{}", &why) && why.kind == FAIL_USAGE, "a path is no plain name: %s",
        why.text);
  CHECK(entries(scratch) == before, "abort leaves nothing");
  CHECK(build_and_commit(path, false, "one", &why), "%s", why.text);
  snprintf(inside, sizeof inside, "%sconfig.json", path);
  CHECK(same_text(inside, "one") && entries(scratch) == before + 1, "committed");
  CHECK(!build_and_commit(path, false, "two", &why) && why.kind == FAIL_EXISTS, "%s", why.text);
  CHECK(build_and_commit(path, true, "two", &why) && same_text(inside, "two"), "%s", why.text);
  CHECK(entries(scratch) == before + 1 && entries(path) == 1, "the old folder is gone");
}

static void check_folder_refused(void)
{
  fail why = {0};
  out_folder *to = NULL;
  int before = entries(scratch);
  CHECK(new_folder(at("home")), "mkdir");
  put_text(at("home/letter.txt"), "x");
  CHECK(!build_and_commit(at("home"), true, "x", &why) && why.kind == FAIL_EXISTS, "%s", why.text);
  put_text(at("home/config.json"), "{}");
  CHECK(new_folder(at("home/sub")), "mkdir");
  CHECK(!build_and_commit(at("home"), true, "x", &why) && strstr(why.text, "other folders"), "%s",
        why.text);
  CHECK(rmdir(at("home/sub")) == 0 && exists(at("home/letter.txt")), "untouched");
  CHECK(build_and_commit(at("home"), true, "x", &why) && entries(at("home")) == 1, "%s", why.text);
  remove_all(at("home"));
  CHECK(build_and_commit(at("home"), true, "x", &why), "an empty one: %s", why.text);
  remove_all(at("home"));
  CHECK(rmdir(at("home")) == 0, "rmdir");
  put_text(at("home"), "a file");
  CHECK(!build_and_commit(at("home"), true, "x", &why) && same_text(at("home"), "a file"), "%s",
        why.text);
  unlink(at("home"));
  CHECK(out_folder_create(&to, at("home"), NULL, false, &why), "%s", why.text);
  CHECK(!out_folder_put(to, "../x", "", 0, &why) && !out_folder_put(to, "..", "", 0, &why),
        "names");
  CHECK(out_folder_put(to, "x", "", 0, &why) && !out_folder_put(to, "x", "", 0, &why), "twice");
  out_folder_abort(to);
  CHECK(entries(scratch) == before, "something was left");
}

static void check_distinct(void)
{
  static const struct {
    const char *in, *out;
    bool ok;
  } rows[] = {{"in", "in", false},         {"in", "in/", false},   {"in", "in/x", false},
              {"in", "./in/../in", false}, {"in", "link", false},  {"in", "link/x", false},
              {"in/a", "in/a", false},     {"in/a", "in/b", true}, {"in/a", "in", false},
              {"link/a", "in", false},     {"in", "inn", true},    {"in", "i", true},
              {"in", "other/x", false},    {"nothing", "x", false}};
  char in[1024], out[1024];
  fail why = {0};
  CHECK(new_folder(at("in")), "a folder");
#ifndef _WIN32
  CHECK(symlink("in", at("link")) == 0, "a link");
#endif
  put_text(at("in/a"), "");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
#ifdef _WIN32
    if (strstr(rows[i].in, "link") != NULL || strstr(rows[i].out, "link") != NULL)
      continue;
#endif
    snprintf(in, sizeof in, "%s", at(rows[i].in));
    snprintf(out, sizeof out, "%s", at(rows[i].out));
    CHECK(out_check_distinct(in, out, &why) == rows[i].ok, "%s and %s: %s", rows[i].in, rows[i].out,
          why.text);
  }
  unlink(at("link"));
  unlink(at("in/a"));
  rmdir(at("in"));
}

/* ---- errors, names ---- */

static void check_texts(void)
{
  char text[2000];
  fail why = {0};
  CHECK(!fail_set(&why, FAIL_DATA, "f", "tensor \"%s\"",
                  "a\nb\x1b[2J\x7f\xC2\x9B\xFF\xE2\x80\xAE\xC3\xA9"),
        "false");
  CHECK(strcmp(why.text,
               "f: tensor \"a\\nb\\x1b[2J\\x7f\\xc2\\x9b\\xff\\xe2\\x80\\xae\xC3\xA9\"") == 0,
        "%s", why.text);
  memset(text, '\n', sizeof text - 1);
  text[sizeof text - 1] = 0;
  fail_set(&why, FAIL_DATA, text, "%s", text);
  size_t n = strlen(why.text);
  CHECK(n < FAIL_TEXT && n > FAIL_TEXT - 8 && strcmp(why.text + n - 3, "...") == 0, "%zu", n);
  fail_set(NULL, FAIL_DATA, text, "no place for it");
  fail_system(&why, "f", "open", ENOENT);
  CHECK(why.kind == FAIL_IO && why.detail == ENOENT && fail_exit_status(&why) == 1, "%s", why.text);
  fail_set(&why, FAIL_USAGE, NULL, "x");
  CHECK(fail_exit_status(&why) == 2 && strcmp(why.text, "x") == 0, "%s", why.text);
  CHECK(strcmp(fail_kind_name(FAIL_INTERRUPTED), "INTERRUPTED") == 0, "names");
}

static void check_patterns(void)
{
  static const char name[] = "model.layers.0.mlp.up_proj.weight";
  static const char *const yes[] = {"up_proj",
                                    "layers.0",
                                    "mlp.up_proj",
                                    "model.*.weight",
                                    "*.mlp.*",
                                    "layers.?",
                                    "*",
                                    "model",
                                    "weight",
                                    "*proj*",
                                    "m*p",
                                    "?????",
                                    "model.layers.0.mlp.up_proj.weight",
                                    "**"};
  static const char *const no[] = {
      "up",      "proj.weight", "layer", "layers.1",
      "layers.", ".mlp",        "Model", "model.layers.0.mlp.up_proj.weights",
      "x*",      "*x"};
  fail why = {0};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
    CHECK(pattern_matches(yes[i], name), "%s should match", yes[i]);
  for (size_t i = 0; i < sizeof no / sizeof *no; i++)
    CHECK(!pattern_matches(no[i], name), "%s should not match", no[i]);
  const char *in[] = {"mlp", "self_attn"}, *out[] = {"layers.0"};
  CHECK(pattern_chosen(NULL, 0, NULL, 0, name) && pattern_chosen(in, 2, NULL, 0, name), "chosen");
  CHECK(!pattern_chosen(in, 2, out, 1, name) && !pattern_chosen(in + 1, 1, NULL, 0, name), "not");
  char stars[256], text[5000];
  for (size_t i = 0; i < 254; i++)
    stars[i] = i % 2 ? 'a' : '*';
  stars[254] = 'b';
  stars[255] = 0;
  memset(text, 'a', sizeof text - 1);
  text[sizeof text - 1] = 0;
  CHECK(!pattern_matches(stars, text), "no b");
  CHECK(pattern_check(stars, &why) && !pattern_check("", &why) && why.kind == FAIL_USAGE, "%s",
        why.text);
  CHECK(!pattern_check(text, &why), "too long");
}

#ifndef _WIN32 /* whose Ctrl-C needs a console */

static void check_interrupt(void)
{
  fail why = {0};
  out_folder *to = NULL;
  int before = entries(scratch);
  CHECK(interrupt_signal() == 0 && interrupt_check(&why), "nothing yet");
  CHECK(out_folder_create(&to, at("cut"), NULL, false, &why), "%s", why.text);
  CHECK(raise(SIGTERM) == 0 && interrupt_signal() == SIGTERM, "signal");
  int folder = sys_open_folder(scratch);
  CHECK(!out_folder_copy(to, folder, "source.txt", "source.txt", &why) &&
            why.kind == FAIL_INTERRUPTED && fail_exit_status(&why) == 143,
        "%s", why.text);
  sys_close(folder);
  out_folder_abort(to);
  CHECK(entries(scratch) == before, "something was left");
}

#endif

int main(void)
{
  fail why = {0};
  scratch_make();
  CHECK(interrupt_install(&why), "%s", why.text);
  check_file();
  check_file_refused();
#ifndef _WIN32
  check_full();
#endif
  put_text(at("source.txt"), "source");
  check_folder();
  check_folder_refused();
  check_distinct();
  check_texts();
  check_patterns();
#ifndef _WIN32
  check_interrupt();
#endif
  scratch_remove();
  return test_end();
}
