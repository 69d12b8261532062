/* out_path.c - see out_path.h; also the comparison of an output's place with the input's. */
#include "out_path.h"

#include "buf.h"
#include "disk.h"
#include "io.h"
#include "output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool out_plain_name(const char *name)
{
  return name[0] != 0 && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
         strcmp(name, "..") != 0;
}

bool out_split(const char *path, char **folder, char **name, fail *why)
{
  size_t end = strlen(path), start;
  while (end > 1 && path[end - 1] == '/')
    end--;
  for (start = end; start > 0 && path[start - 1] != '/'; start--)
    continue;
  *name = strndup(path + start, end - start);
  *folder = start == 0 ? strdup(".") : strndup(path, start);
  if (*name == NULL || *folder == NULL)
    fail_memory(why, path);
  else if (!out_plain_name(*name))
    fail_set(why, FAIL_USAGE, path, "cannot be the name of an output");
  else
    return true;
  free(*name);
  free(*folder);
  *name = *folder = NULL;
  return false;
}

char *out_trimmed(const char *path, const char *end)
{
  size_t n = strlen(path), m = strlen(end);
  while (n > 1 && path[n - 1] == '/')
    n--;
  char *out = malloc(n + m + 1);
  if (out != NULL) {
    memcpy(out, path, n);
    memcpy(out + n, end, m + 1);
  }
  return out;
}

char *out_beside(const char *folder, const char *name, const char *what, unsigned n)
{
  char text[256];
  /* 200 bytes of the name leave room for the rest within the 255 of a file name */
  snprintf(text, sizeof text, ".%.200s.%s.%ld.%u", name, what, (long)getpid(), n);
  return io_join(folder, text);
}

/* Removes temporary files of this name that no process has locked: their makers were killed. */
static void remove_stale(const char *folder, const char *name, const char *own)
{
  char start[256];
  DIR *dir = opendir(folder);
  int n = snprintf(start, sizeof start, ".%.200s.tmp.", name);
  for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
    struct stat st;
    if (strncmp(e->d_name, start, (size_t)n) != 0 || strcmp(e->d_name, own) == 0)
      continue;
    int fd = openat(dirfd(dir), e->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && disk_lock(fd))
      unlinkat(dirfd(dir), e->d_name, 0);
    if (fd >= 0)
      close(fd);
  }
  if (dir != NULL)
    closedir(dir);
}

bool out_open_temp(int *fd, char **temp, const char *folder, const char *name, const char *shown,
                   fail *why)
{
  for (unsigned n = 0; n < OUT_TRIES; n++) {
    struct stat st;
    char *path = out_beside(folder, name, "tmp", n);
    if (path == NULL)
      return fail_memory(why, shown);
    int f = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int error = errno;
    if (f >= 0) {
      disk_lock(f); /* where that is not possible nothing is taken for stale either */
      if (fstat(f, &st) != 0 || st.st_nlink > 0) {
        remove_stale(folder, name, strrchr(path, '/') + 1);
        *fd = f;
        *temp = path;
        return true;
      }
      close(f); /* taken for stale before it was locked */
      error = EEXIST;
    }
    free(path);
    if (error != EEXIST)
      return fail_system(why, shown, "create a temporary file beside it", error);
  }
  return fail_system(why, shown, "create a temporary file beside it", EEXIST);
}

bool out_nameless(int *fd, const char *beside, fail *why)
{
  char *folder = NULL, *name = NULL, *temp = NULL;
  bool ok =
      out_split(beside, &folder, &name, why) && out_open_temp(fd, &temp, folder, name, beside, why);
  /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): out_open_temp() sets it, or fails */
  if (ok && unlink(temp) != 0) {
    ok = fail_system(why, beside, "remove the name of a temporary file", errno);
    close(*fd);
    *fd = -1;
  }
  free(temp);
  free(folder);
  free(name);
  return ok;
}

bool out_sync_folder(const char *folder, const char *path, fail *why)
{
  fail inner = {0};
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return fail_system(why, path, "open its folder", errno);
  bool ok = io_flush(fd, path, &inner);
  close(fd);
  /* EINVAL: this file system keeps no folders to flush */
  return ok || inner.detail == EINVAL ||
         fail_system(why, path, "flush its folder to disk", inner.detail);
}

uint64_t out_space(const char *path)
{
  char *folder = NULL, *name = NULL;
  uint64_t left = out_split(path, &folder, &name, NULL) ? disk_free(folder) : UINT64_MAX;
  free(folder);
  free(name);
  return left;
}

static bool same(const struct stat *a, const struct stat *b)
{
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is `wanted` the folder `start` or one above it? Walks up by "..", so that links and spellings do
 * not matter, down to where ".." is the folder itself. */
static bool find_above(const char *start, const struct stat *wanted, bool *found, fail *why)
{
  buf path = {0};
  struct stat here, before = {0};
  *found = false;
  buf_text(&path, start);
  for (bool first = true; !path.failed; first = false) {
    if (stat(path.data, &here) != 0) {
      fail_system(why, start, "look at the folders above", errno);
      buf_free(&path);
      return false;
    }
    *found = same(&here, wanted);
    if (*found || (!first && same(&here, &before)))
      break;
    before = here;
    buf_text(&path, "/..");
  }
  bool ok = !path.failed || fail_memory(why, start);
  buf_free(&path);
  return ok;
}

/* find_above, from the folder that holds `path` (or `path` itself, when it is one). */
static bool below(const char *path, bool is_folder, const struct stat *wanted, bool *found,
                  fail *why)
{
  char *folder = NULL, *name = NULL;
  if (is_folder)
    return find_above(path, wanted, found, why);
  bool ok = out_split(path, &folder, &name, why) && find_above(folder, wanted, found, why);
  free(folder);
  free(name);
  return ok;
}

bool out_check_distinct(const char *input, const char *output, fail *why)
{
  struct stat in, out;
  bool found = false;
  if (stat(input, &in) != 0)
    return fail_system(why, input, "open", errno);
  bool there = stat(output, &out) == 0;
  if (there && same(&in, &out))
    return fail_set(why, FAIL_USAGE, output, "the output would be the input");
  if (S_ISDIR(in.st_mode) && !below(output, there && S_ISDIR(out.st_mode), &in, &found, why))
    return false;
  if (found)
    return fail_set(why, FAIL_USAGE, output, "the output would be inside the input");
  if (there && S_ISDIR(out.st_mode) && !below(input, S_ISDIR(in.st_mode), &out, &found, why))
    return false;
  if (found) /* replacing it would remove the input */
    return fail_set(why, FAIL_USAGE, output, "the output would hold the input");
  return true;
}
