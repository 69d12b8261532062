/* io.c - see io.h. */
#include "io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Linux moves at most 2 GiB less a page in one call; 1 GiB keeps every call aligned. */
enum { CALL_MAX = 1 << 30 };

bool io_open(int *fd, uint64_t *bytes, int folder, const char *name, bool follow, const char *file,
             fail *why)
{
  sys_info info;
  int f = sys_open(folder, name, follow ? SYS_READ : SYS_READ_PLAIN);
  if (f < 0) {
    if (errno == ELOOP && !follow)
      return fail_set(why, FAIL_FORMAT, file, "is a symbolic link, which is not followed here");
    return fail_system(why, file, "open", errno);
  }
  if (!sys_look_open(&info, f)) {
    fail_system(why, file, "read its size", errno);
  } else if (!info.is_file) {
    fail_set(why, FAIL_FORMAT, file, "is not a regular file");
  } else {
    *fd = f;
    *bytes = info.bytes;
    return true;
  }
  sys_close(f);
  return false;
}

/* Systems count in 63 bits: what does not fit cannot be in a file. */
static bool fits(uint64_t offset, size_t count)
{
  return offset <= INT64_MAX && count <= INT64_MAX - offset;
}

bool io_read_at(int fd, uint64_t offset, void *into, size_t count, const char *file, fail *why)
{
  char *to = into;
  if (!fits(offset, count))
    return fail_set(why, FAIL_OVERFLOW, file, "offset %llu is too large to read",
                    (unsigned long long)offset);
  while (count > 0) {
    int64_t n = sys_read_at(fd, to, count < CALL_MAX ? count : CALL_MAX, offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return fail_system(why, file, "read", errno);
    if (n == 0)
      return fail_set(why, FAIL_TRUNCATED, file, "ends at byte %llu, %zu bytes early",
                      (unsigned long long)offset, count);
    to += n;
    count -= (size_t)n;
    offset += (uint64_t)n;
  }
  return true;
}

bool io_write_at(int fd, uint64_t offset, const void *from, size_t count, const char *file,
                 fail *why)
{
  const char *at = from;
  if (!fits(offset, count))
    return fail_set(why, FAIL_OVERFLOW, file, "offset %llu is too large to write",
                    (unsigned long long)offset);
  while (count > 0) {
    int64_t n = sys_write_at(fd, at, count < CALL_MAX ? count : CALL_MAX, offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) /* 0 for a non-zero count is no progress: treat it as a full disk */
      return fail_system(why, file, "write", n < 0 ? errno : ENOSPC);
    at += n;
    count -= (size_t)n;
    offset += (uint64_t)n;
  }
  return true;
}

bool io_flush(int fd, const char *file, fail *why)
{
  if (!sys_flush(fd))
    return fail_system(why, file, "flush to disk", errno);
  return true;
}

bool io_read_all(char **text, size_t *length, int folder, const char *name, bool follow,
                 uint64_t limit, const char *file, fail *why)
{
  int fd = -1;
  uint64_t bytes = 0;
  char *block = NULL;
  if (!io_open(&fd, &bytes, folder, name, follow, file, why))
    return false;
  if (bytes > limit || bytes >= SIZE_MAX) {
    fail_set(why, FAIL_LIMIT, file, "%llu bytes; the limit is %llu", (unsigned long long)bytes,
             (unsigned long long)limit);
    goto fail;
  }
  block = malloc((size_t)bytes + 1);
  if (block == NULL) {
    fail_memory(why, file);
    goto fail;
  }
  if (!io_read_at(fd, 0, block, (size_t)bytes, file, why))
    goto fail;
  sys_close(fd);
  block[bytes] = 0;
  *text = block;
  *length = (size_t)bytes;
  return true;
fail:
  free(block);
  sys_close(fd);
  return false;
}

const char *io_next_name(sys_list *list, bool *ok, const char *path, fail *why)
{
  const char *name = sys_list_next(list);
  if (name == NULL && errno != 0) /* half a folder must not pass for one */
    *ok = fail_system(why, path, "read the folder", errno);
  return name;
}

char *io_cut(const char *text, size_t length)
{
  char *copy = malloc(length + 1);
  if (copy == NULL)
    return NULL;
  memcpy(copy, text, length);
  copy[length] = 0;
  return copy;
}

char *io_join(const char *folder, const char *name)
{
  size_t a = folder != NULL ? strlen(folder) : 0, b = strlen(name);
  bool slash = a > 0 && *sys_last_part(folder) != 0;
  char *path = malloc(a + slash + b + 1);
  if (path == NULL)
    return NULL;
  if (a > 0)
    memcpy(path, folder, a);
  if (slash)
    path[a++] = '/';
  memcpy(path + a, name, b + 1);
  return path;
}

bool io_has_suffix(const char *path, const char *suffix)
{
  size_t n = strlen(path), m = strlen(suffix);

  return n >= m && strcmp(path + n - m, suffix) == 0;
}
