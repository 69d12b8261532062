/* spool.c - see spool.h. */
#include "spool.h"

#include "../files/io.h"
#include "../files/output.h"

bool spool_open(spool *s, const char *beside, fail *why)
{
  *s = (spool){.fd = -1, .beside = beside};
  return out_nameless(&s->fd, beside, why);
}

void spool_close(spool *s)
{
  if (s->fd >= 0)
    sys_close(s->fd);
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
