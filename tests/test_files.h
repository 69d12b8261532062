/*
 * test_files.h - what the tests of src/files and src/ui share: a scratch folder of their own and
 * small looks at the disk. Honours TMPDIR.
 * Owns: the scratch folder.
 * Must not know: formats.
 */
#ifndef TESTS_TEST_FILES_H
#define TESTS_TEST_FILES_H

#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[512];

static inline void scratch_make(void)
{
  const char *top = getenv("TMPDIR");
  snprintf(scratch, sizeof scratch, "%.400s/quant-test-XXXXXX", top && *top ? top : "/tmp");
  if (mkdtemp(scratch) == NULL) {
    printf("cannot make a folder like %s\n", scratch);
    exit(2);
  }
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

/* Removes a folder of files and folders of files. */
static inline void remove_all(const char *folder)
{
  DIR *dir = opendir(folder);
  if (dir == NULL)
    return;
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    char path[2048];
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
      continue;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
      DIR *inner = opendir(path);
      for (struct dirent *f; inner != NULL && (f = readdir(inner)) != NULL;)
        unlinkat(dirfd(inner), f->d_name, 0);
      if (inner != NULL)
        closedir(inner);
      rmdir(path);
    } else {
      unlink(path);
    }
  }
  closedir(dir);
}

static inline void scratch_remove(void)
{
  remove_all(scratch);
  rmdir(scratch);
}

/* Number of names in a folder, hidden ones too; -1 when it is not one. */
static inline int entries(const char *folder)
{
  DIR *dir = opendir(folder);
  int n = 0;
  if (dir == NULL)
    return -1;
  while (readdir(dir) != NULL)
    n++;
  closedir(dir);
  return n - 2;
}

static inline int exists(const char *path)
{
  struct stat st;
  return lstat(path, &st) == 0;
}

static inline void put_bytes(const char *path, const void *bytes, size_t count)
{
  FILE *f = fopen(path, "wb");
  if (f == NULL || fwrite(bytes, 1, count, f) != count || fclose(f) != 0) {
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
  struct stat st;
  FILE *f = fopen(path, "rb");
  *count = 0;
  if (f == NULL || fstat(fileno(f), &st) != 0) {
    if (f != NULL)
      fclose(f);
    return NULL;
  }
  char *bytes = test_alloc((size_t)st.st_size + 1);
  *count = fread(bytes, 1, (size_t)st.st_size, f);
  fclose(f);
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

#endif
