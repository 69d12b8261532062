/* system_linux.c - see system.h: what Linux has beyond POSIX; others say that they cannot. */
#define _GNU_SOURCE

#include "system.h"

#include <errno.h>
#include <stdio.h>
#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#endif

bool sys_exchange(const char *a, const char *b)
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

void sys_prefer_huge(void *block, size_t bytes)
{
#ifdef MADV_HUGEPAGE
  (void)madvise(block, bytes, MADV_HUGEPAGE);
#else
  (void)block;
  (void)bytes;
#endif
}
