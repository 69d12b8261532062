/*
 * test_files_system.c - proves what system.h promises on every system: names, links, locks, open
 * files that are removed or replaced, listings, long paths and paths in any script.
 */
#include "test_files.h"

#include <errno.h>

static bool put(const char *name, const char *text)
{
  int fd = sys_open(SYS_CWD, at(name), SYS_CREATE);
  size_t n = strlen(text);
  return fd >= 0 && sys_write_at(fd, text, n, 0) == (int64_t)n && sys_flush(fd) && sys_close(fd);
}

static void check_spelling(void)
{
  static const char *const names[] = {"a", "a b", ".a", "...a", "\xC3\xA9", "com", "com10", "nul_"};
  static const char *const wrong[] = {"", ".", "..", "a/b", "/", "a/"};
  static const struct {
    const char *path, *last;
  } rows[] = {{"", ""}, {"a", "a"}, {"/", ""}, {"/a", "a"}, {"a/b", "b"}, {"a/b/", ""}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    CHECK(sys_is_name(names[i]), "\"%s\"", names[i]);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    CHECK(!sys_is_name(wrong[i]), "\"%s\"", wrong[i]);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    CHECK(strcmp(sys_last_part(rows[i].path), rows[i].last) == 0, "\"%s\"", rows[i].path);
#ifdef _WIN32
  static const char *const reserved[] = {"NUL",  "nul.txt", "Con",   "com1", "LPT9.x", "aux .b",
                                         "a:b",  "a\\b",    "a*",    "a?",   "a.",     "a ",
                                         "a\nb", "CONIN$",  "a\x1f", "<a>",  "a|b",    "\"a\""};
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    CHECK(!sys_is_name(reserved[i]), "\"%s\"", reserved[i]);
  CHECK(sys_is_separator('\\') && strcmp(sys_last_part("C:\\a/b\\c"), "c") == 0, "backslashes");
  CHECK(strcmp(sys_last_part("C:c"), "c") == 0 && sys_last_part("C:")[0] == 0, "a drive");
#else
  CHECK(!sys_is_separator('\\') && strcmp(sys_last_part("a\\b"), "a\\b") == 0, "backslashes");
#endif
}

static void check_open(void)
{
  sys_info info, again;
  char bytes[8] = {0};
  CHECK(sys_open(SYS_CWD, at("a"), SYS_READ) < 0 && errno == ENOENT, "absent: %d", errno);
  CHECK(sys_open(SYS_CWD, at("a"), SYS_CHANGE) < 0 && errno == ENOENT, "absent: %d", errno);
  CHECK(put("a", "one\r\n"), "%d", errno);
  CHECK(sys_open(SYS_CWD, at("a"), SYS_CREATE) < 0 && errno == EEXIST, "twice: %d", errno);
  int fd = sys_open(SYS_CWD, at("a"), SYS_CHANGE_OR_CREATE);
  CHECK(fd >= 0 && sys_read_at(fd, bytes, sizeof bytes, 1) == 4 && !memcmp(bytes, "ne\r\n", 4),
        "as it was written");
  CHECK(sys_read_at(fd, bytes, sizeof bytes, 100) == 0, "behind the end");
  CHECK(sys_look_open(&info, fd) && info.is_file && !info.is_folder && !info.is_link &&
            info.bytes == 5 && info.links == 1 && info.seconds > 1600000000,
        "what it is");
  CHECK(sys_look(&again, SYS_CWD, at("a"), true) && sys_same(&info, &again), "by name");
  CHECK(sys_reserve(fd, 100) && sys_cut(fd, 2) && sys_look_open(&info, fd) && info.bytes == 2,
        "cut to %llu", (unsigned long long)info.bytes);
  CHECK(sys_close(fd), "close");
  CHECK(sys_open(SYS_CWD, scratch, SYS_CHANGE) < 0, "a folder");
  CHECK(sys_open_folder(at("a")) < 0 && errno == ENOTDIR, "no folder: %d", errno);
  CHECK(sys_free_space(scratch) > 0, "no space");
  sys_remove(SYS_CWD, at("a"));
}

static void check_lock(void)
{
  CHECK(put("a", "text"), "%d", errno);
  int one = sys_open(SYS_CWD, at("a"), SYS_CHANGE), two = sys_open(SYS_CWD, at("a"), SYS_CHANGE);
  char bytes[4];
  CHECK(sys_lock(one), "%d", errno);
  CHECK(!sys_lock(two) && errno == EWOULDBLOCK, "two at a time: %d", errno);
  CHECK(sys_read_at(two, bytes, 4, 0) == 4 && sys_write_at(two, "T", 1, 0) == 1, "for who asks");
  sys_close(one);
  CHECK(sys_lock(two), "free again: %d", errno);
  sys_close(two);
  sys_remove(SYS_CWD, at("a"));
}

/* Who has a file open keeps it, whatever becomes of its name. */
static void check_names(void)
{
  sys_info info, moved;
  char byte;
  CHECK(put("a", "a") && put("b", "b"), "%d", errno);
  CHECK(sys_look(&info, SYS_CWD, at("a"), true), "look");
  CHECK(sys_rename(at("a"), at("b")) && !exists(at("a")) && same_text(at("b"), "a"), "replaced");
  CHECK(sys_look(&moved, SYS_CWD, at("b"), true) && sys_same(&info, &moved), "the same file");
  int fd = sys_open(SYS_CWD, at("b"), SYS_READ);
  CHECK(sys_rename(at("b"), at("c")) && sys_read_at(fd, &byte, 1, 0) == 1, "open and renamed");
  CHECK(sys_remove(SYS_CWD, at("c")) && sys_read_at(fd, &byte, 1, 0) == 1 && byte == 'a',
        "open and removed");
#ifndef _WIN32 /* wine 8 does not tell */
  CHECK(sys_look_open(&info, fd) && info.links == 0, "%llu links", (unsigned long long)info.links);
#endif
  sys_close(fd);
  CHECK(entries(scratch) == 0, "nothing is left");
  CHECK(new_folder(at("a")) && !new_folder(at("a")) && errno == EEXIST, "twice: %d", errno);
  CHECK(new_folder(at("b")) && put("b/x", "x"), "b");
  CHECK(sys_look(&info, SYS_CWD, at("b"), false) && info.is_folder, "a folder");
  CHECK(sys_rename(at("b"), at("a")) && same_text(at("a/x"), "x"), "in the place of an empty one");
  CHECK(sys_look(&moved, SYS_CWD, at("a"), false) && info.id == moved.id, "with its number");
  CHECK(new_folder(at("b")) && !sys_rename(at("b"), at("a")) && same_text(at("a/x"), "x"),
        "a folder with files is not replaced");
  CHECK(!sys_remove_folder(SYS_CWD, at("a")), "nor removed");
  CHECK(sys_exchange(at("a"), at("b")) ? same_text(at("b/x"), "x")
                                       : (errno == ENOSYS || errno == EINVAL),
        "exchange: %d", errno);
  remove_all(scratch);
}

static void check_list(void)
{
  char name[32];
  int seen = 0, other = 0;
  CHECK(new_folder(at("many")), "mkdir");
  for (int i = 0; i < 600; i++) {
    snprintf(name, sizeof name, "many/file-%03d-\xE8\xAA\x9E", i);
    put_text(at(name), "");
  }
  sys_list *list = sys_list_open(SYS_CWD, at("many"), false);
  for (const char *found; list != NULL && (found = sys_list_next(list)) != NULL;) {
    int here = sys_list_folder(list);
    sys_info info;
    seen += strncmp(found, "file-", 5) == 0 && strlen(found) == 12;
    other += !sys_look(&info, here, found, false) || !info.is_file || !sys_remove(here, found);
  }
  CHECK(errno == 0 && seen == 600 && other == 0, "%d of 600, %d others", seen, other);
  CHECK(sys_make_folder(sys_list_folder(list), "in") &&
            sys_remove_folder(sys_list_folder(list), "in"),
        "a folder in it");
  int fd = sys_open(sys_list_folder(list), "new", SYS_CREATE);
  CHECK(fd >= 0 && sys_close(fd) && sys_remove(sys_list_folder(list), "new"), "a file in it");
  sys_list_close(list);
  CHECK(entries(at("many")) == 0 && sys_remove_folder(SYS_CWD, at("many")), "empty");
  put_text(at("a"), "");
  CHECK(sys_list_open(SYS_CWD, at("a"), true) == NULL && errno == ENOTDIR, "a file: %d", errno);
  CHECK(sys_list_open(SYS_CWD, at("b"), true) == NULL && errno == ENOENT, "absent: %d", errno);
  sys_list_close(NULL);
  sys_remove(SYS_CWD, at("a"));
}

/* Deeper than the 260 characters that Windows has without the prefix. */
static void check_long(void)
{
  enum { DEPTH = 8 };
  char path[1024];
  snprintf(path, sizeof path, "%s", scratch);
  size_t length[DEPTH];
  for (int i = 0; i < DEPTH; i++) {
    length[i] = strlen(path);
    snprintf(path + length[i], sizeof path - length[i], "/%s",
             "a folder with a long name, \xC3\xA9 and \xE8\xAA\x9E, to be among others like it");
    CHECK(sys_make_folder(SYS_CWD, path), "level %d: %d", i, errno);
  }
  size_t end = strlen(path);
  strcat(path, "/x");
  int fd = sys_open(SYS_CWD, path, SYS_CREATE);
  CHECK(fd >= 0 && sys_close(fd) && sys_remove(SYS_CWD, path), "a file in it: %d", errno);
  path[end] = 0;
  for (int i = DEPTH; i-- > 0;) {
    CHECK(sys_remove_folder(SYS_CWD, path), "level %d: %d", i, errno);
    path[length[i]] = 0;
  }
}

static void check_rest(void)
{
  char text[128];
  double before = sys_seconds();
  CHECK(sys_processors() >= 1 && sys_process() > 0 && sys_seconds() >= before, "numbers");
  sys_error_text(text, sizeof text, ENOENT);
  CHECK(strcmp(text, "No such file or directory") == 0, "%s", text);
  sys_error_text(text, sizeof text, 123456);
  CHECK(text[0] != 0, "no text");
  char *block = sys_alloc_aligned(SYS_HUGE_PAGE, 2 * SYS_HUGE_PAGE);
  CHECK(block != NULL && (uintptr_t)block % SYS_HUGE_PAGE == 0, "alignment");
  sys_prefer_huge(block, 2 * SYS_HUGE_PAGE);
  memset(block, 1, 2 * SYS_HUGE_PAGE);
  sys_free_aligned(block);
}

int main(void)
{
  scratch_make();
  check_spelling();
  check_open();
  check_lock();
  check_names();
  check_list();
  check_long();
  check_rest();
  CHECK(entries(scratch) == 0, "something is left");
  scratch_remove();
  return test_end();
}
