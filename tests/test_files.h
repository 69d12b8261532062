/*
 * test_files.h - what the tests of src/files and src/ui share: a scratch folder of their own and
 * small looks at the disk. Honours TMPDIR.
 * Owns: the scratch folder.
 * Must not know: formats.
 */
#ifndef TESTS_TEST_FILES_H
#define TESTS_TEST_FILES_H

#include "harness.h"

#include "../src/files/model.h"
#include "../src/files/system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[512];

static inline void scratch_make(void)
{
  const char *top = getenv("TMPDIR");
  for (unsigned n = 0; n < 1000; n++) {
    snprintf(scratch, sizeof scratch, "%.400s/quant-test-%ld-%u", top && *top ? top : "/tmp",
             sys_process(), n);
    if (sys_make_folder(SYS_CWD, scratch))
      return;
  }
  printf("cannot make a folder like %s\n", scratch);
  exit(2);
}

/* "scratch/name"; eight texts are alive at a time. */
static inline const char *at(const char *name)
{
  static char text[8][1024];
  static int next;
  char *t = text[next++ % 8];
  snprintf(t, sizeof text[0], "%s/%s", scratch, name);
  return t;
}

static inline bool new_folder(const char *path)
{
  return sys_make_folder(SYS_CWD, path);
}

static inline bool cut_file(const char *path, uint64_t bytes)
{
  int fd = sys_open(SYS_CWD, path, SYS_CHANGE);
  bool ok = fd >= 0 && sys_cut(fd, bytes);
  if (fd >= 0)
    sys_close(fd);
  return ok;
}

/* Removes the files in a folder. */
static inline void remove_files(int folder, const char *name)
{
  sys_list *list = sys_list_open(folder, name, false);
  for (const char *file; list != NULL && (file = sys_list_next(list)) != NULL;)
    sys_remove(sys_list_folder(list), file);
  sys_list_close(list);
}

/* Removes files, and folders of files, in a folder. */
static inline void remove_all(const char *folder)
{
  sys_list *list = sys_list_open(SYS_CWD, folder, true);
  for (const char *name; list != NULL && (name = sys_list_next(list)) != NULL;) {
    sys_info info;
    int here = sys_list_folder(list);
    if (sys_look(&info, here, name, false) && info.is_folder) {
      remove_files(here, name);
      sys_remove_folder(here, name);
    } else {
      sys_remove(here, name);
    }
  }
  sys_list_close(list);
}

static inline void scratch_remove(void)
{
  remove_all(scratch);
  sys_remove_folder(SYS_CWD, scratch);
}

/* Number of names in a folder, hidden ones too; -1 when it is not one. */
static inline int entries(const char *folder)
{
  sys_list *list = sys_list_open(SYS_CWD, folder, true);
  int n = 0;
  if (list == NULL)
    return -1;
  while (sys_list_next(list) != NULL)
    n++;
  sys_list_close(list);
  return n;
}

static inline int exists(const char *path)
{
  sys_info info;
  return sys_look(&info, SYS_CWD, path, false);
}

static inline void put_bytes(const char *path, const void *bytes, size_t count)
{
  int fd = sys_open(SYS_CWD, path, SYS_CHANGE_OR_CREATE);
  bool ok = fd >= 0 && sys_cut(fd, 0);
  for (size_t done = 0; ok && done < count;) {
    int64_t n = sys_write_at(fd, (const char *)bytes + done, count - done, done);
    ok = n > 0;
    done += ok ? (size_t)n : 0;
  }
  if (!ok || !sys_close(fd)) {
    printf("cannot write %s\n", path);
    exit(2);
  }
}

static inline void put_text(const char *path, const char *text)
{
  put_bytes(path, text, strlen(text));
}

/* The whole file with a NUL after it, to be freed; NULL when it cannot be read. */
static inline char *get_bytes(const char *path, size_t *count)
{
  sys_info info = {0};
  int fd = sys_open(SYS_CWD, path, SYS_READ);
  *count = 0;
  if (fd < 0)
    return NULL;
  char *bytes = NULL;
  if (sys_look_open(&info, fd)) {
    bytes = test_alloc((size_t)info.bytes + 1);
    for (int64_t n; *count < info.bytes; *count += (size_t)n)
      if ((n = sys_read_at(fd, bytes + *count, (size_t)info.bytes - *count, *count)) <= 0)
        break;
  }
  sys_close(fd);
  return bytes;
}

static inline int same_text(const char *path, const char *text)
{
  size_t n;
  char *bytes = get_bytes(path, &n);
  int same = bytes != NULL && n == strlen(text) && memcmp(bytes, text, n) == 0;
  free(bytes);
  return same;
}

static inline model *open_model(const char *path)
{
  fail why = {0};
  model *m = NULL;
  if (!CHECK(model_open(&m, path, &why), "%s", why.text))
    exit(1);
  return m;
}

#endif
