/* spool.c - mkstemp, unlink, and whole reads and writes at offsets. */
#include "spool.h"

#include "../files/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Length of the folder part of a path, its slash included; slashes at the end do not count. */
static size_t folder_length(const char *path)
{
  size_t n = strlen(path);

  while (n > 1 && path[n - 1] == '/')
    n--;
  while (n > 0 && path[n - 1] != '/')
    n--;
  return n;
}

bool spool_open(spool *s, const char *beside, fail *why)
{
  static const char name[] = ".quant.spool.XXXXXX";
  size_t n = folder_length(beside);
  char *path = malloc(n + sizeof name);
  bool ok = true;

  *s = (spool){.fd = -1, .beside = beside};
  if (!path)
    return fail_memory(why, beside);
  memcpy(path, beside, n);
  memcpy(path + n, name, sizeof name);
  s->fd = mkstemp(path);
  if (s->fd < 0 || unlink(path) != 0)
    ok = fail_system(why, beside, "make a temporary file beside it", errno);
  free(path);
  return ok;
}

void spool_close(spool *s)
{
  if (s->fd >= 0)
    close(s->fd);
  s->fd = -1;
}

bool spool_add(spool *s, const void *bytes, size_t count, uint64_t *offset, fail *why)
{
  *offset = s->length;
  if (!io_write_at(s->fd, s->length, bytes, count, s->beside, why))
    return false;
  s->length += count;
  return true;
}

bool spool_read(const spool *s, uint64_t offset, void *into, size_t count, fail *why)
{
  return io_read_at(s->fd, offset, into, count, s->beside, why);
}

void spool_clear(spool *s)
{
  s->length = 0;
}
