/* out_path.c - see out_path.h; also the comparison of an output's place with the input's. */
#include "out_path.h"

#include "buf.h"
#include "io.h"
#include "output.h"

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

char *out_beside(const char *folder, const char *name, const char *what, unsigned n)
{
  char text[256];
  /* 200 bytes of the name leave room for the rest within the 255 of a file name */
  snprintf(text, sizeof text, ".%.200s.%s.%ld.%u", name, what, (long)getpid(), n);
  return io_join(folder, text);
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
