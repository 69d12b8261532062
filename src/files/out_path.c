/* out_path.c - see out_path.h; also the comparison of an output's place with the input's. */
#include "out_path.h"

#include "buf.h"
#include "io.h"
#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool out_split(const char *path, char **folder, char **name, fail *why)
{
  char *whole = out_trimmed(path, "");
  const char *last = whole != NULL ? sys_last_part(whole) : NULL;
  *name = whole != NULL ? strdup(last) : NULL;
  *folder = whole == NULL   ? NULL
            : last == whole ? strdup(".")
                            : io_cut(whole, (size_t)(last - whole));
  free(whole);
  if (*name == NULL || *folder == NULL)
    fail_memory(why, path);
  else if (!sys_is_name(*name))
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
  while (n > 1 && sys_is_separator(path[n - 1]))
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
  snprintf(text, sizeof text, ".%.200s.%s.%ld.%u", name, what, sys_process(), n);
  return io_join(folder, text);
}

/* Removes temporary files of this name that no process has locked: their makers were killed. */
static void remove_stale(const char *folder, const char *name, const char *own)
{
  char start[256];
  sys_list *list = sys_list_open(SYS_CWD, folder, true);
  int n = snprintf(start, sizeof start, ".%.200s.tmp.", name);
  for (const char *found; list != NULL && (found = sys_list_next(list)) != NULL;) {
    sys_info info;
    if (strncmp(found, start, (size_t)n) != 0 || strcmp(found, own) == 0)
      continue;
    int fd = sys_open(sys_list_folder(list), found, SYS_CHANGE);
    if (fd >= 0 && sys_look_open(&info, fd) && info.is_file && sys_lock(fd))
      sys_remove(sys_list_folder(list), found);
    if (fd >= 0)
      sys_close(fd);
  }
  sys_list_close(list);
}

bool out_open_temp(int *fd, char **temp, const char *folder, const char *name, const char *shown,
                   fail *why)
{
  for (unsigned n = 0; n < OUT_TRIES; n++) {
    sys_info info;
    char *path = out_beside(folder, name, "tmp", n);
    if (path == NULL)
      return fail_memory(why, shown);
    int f = sys_open(SYS_CWD, path, SYS_CREATE);
    int error = errno;
    if (f >= 0) {
      sys_lock(f); /* where that is not possible nothing is taken for stale either */
      if (!sys_look_open(&info, f) || info.links > 0) {
        remove_stale(folder, name, sys_last_part(path));
        *fd = f;
        *temp = path;
        return true;
      }
      sys_close(f); /* taken for stale before it was locked */
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
  if (ok && !sys_remove(SYS_CWD, temp)) {
    ok = fail_system(why, beside, "remove the name of a temporary file", errno);
    sys_close(*fd);
    *fd = -1;
  }
  free(temp);
  free(folder);
  free(name);
  return ok;
}

bool out_sync_folder(const char *folder, const char *path, fail *why)
{
  int fd = sys_open_folder(folder);
  if (fd < 0)
    return fail_system(why, path, "open its folder", errno);
  bool ok = sys_flush_folder(fd);
  if (!ok)
    fail_system(why, path, "flush its folder to disk", errno);
  sys_close(fd);
  return ok;
}

uint64_t out_space(const char *path)
{
  char *folder = NULL, *name = NULL;
  uint64_t left = out_split(path, &folder, &name, NULL) ? sys_free_space(folder) : UINT64_MAX;
  free(folder);
  free(name);
  return left;
}

/* Is `wanted` the folder `start` or one above it? Walks up by "..", so that links and spellings do
 * not matter, down to where ".." is the folder itself. */
static bool find_above(const char *start, const sys_info *wanted, bool *found, fail *why)
{
  buf path = {0};
  sys_info here, before = {0};
  *found = false;
  buf_text(&path, start);
  for (bool first = true; !path.failed; first = false) {
    if (!sys_look(&here, SYS_CWD, path.data, true)) {
      fail_system(why, start, "look at the folders above", errno);
      buf_free(&path);
      return false;
    }
    *found = sys_same(&here, wanted);
    if (*found || (!first && sys_same(&here, &before)))
      break;
    before = here;
    buf_text(&path, "/..");
  }
  bool ok = !path.failed;
  if (!ok)
    fail_memory(why, start);
  buf_free(&path);
  return ok;
}

/* find_above, from the folder that holds `path` (or `path` itself, when it is one). */
static bool below(const char *path, bool is_folder, const sys_info *wanted, bool *found, fail *why)
{
  char *folder = NULL, *name = NULL;
  if (is_folder)
    return find_above(path, wanted, found, why);
  bool ok = out_split(path, &folder, &name, why) && find_above(folder, wanted, found, why);
  free(folder);
  free(name);
  return ok;
}

/* An output that is not there yet needs the folder above it. */
static bool has_folder(const char *path, fail *why)
{
  char *folder = NULL, *name = NULL;
  sys_info there;
  bool ok = out_split(path, &folder, &name, why);
  if (ok && !sys_look(&there, SYS_CWD, folder, true) && (errno == ENOENT || errno == ENOTDIR))
    ok = fail_set(why, FAIL_IO, path, "there is no folder %s", folder);
  free(folder);
  free(name);
  return ok;
}

bool out_check_distinct(const char *input, const char *output, fail *why)
{
  sys_info in, out;
  bool found = false;
  if (!sys_look(&in, SYS_CWD, input, true))
    return fail_system(why, input, "open", errno);
  bool there = sys_look(&out, SYS_CWD, output, true);
  if (!there && !has_folder(output, why))
    return false;
  if (there && sys_same(&in, &out))
    return fail_set(why, FAIL_USAGE, output, "the output would be the input");
  if (in.is_folder && !below(output, there && out.is_folder, &in, &found, why))
    return false;
  if (found)
    return fail_set(why, FAIL_USAGE, output, "the output would be inside the input");
  if (there && out.is_folder && !below(input, in.is_folder, &out, &found, why))
    return false;
  if (found) /* replacing it would remove the input */
    return fail_set(why, FAIL_USAGE, output, "the output would hold the input");
  return true;
}
