/* disk.c - see disk.h. */
#define _GNU_SOURCE /* renameat2 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/statvfs.h>

bool disk_lock(int fd)
{
  int got;

  do
    got = flock(fd, LOCK_EX | LOCK_NB);
  while (got != 0 && errno == EINTR);
  return got == 0;
}

uint64_t disk_free(const char *path)
{
  struct statvfs s;

  if (statvfs(path, &s) != 0 || s.f_blocks == 0 || s.f_frsize == 0)
    return UINT64_MAX;
  return s.f_bavail > UINT64_MAX / s.f_frsize ? UINT64_MAX : (uint64_t)s.f_bavail * s.f_frsize;
}

bool disk_exchange(const char *a, const char *b)
{
#ifdef RENAME_EXCHANGE
  return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0;
#else
  (void)a;
  (void)b;
  errno = ENOSYS;
  return false;
#endif
}
