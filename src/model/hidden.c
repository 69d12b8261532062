/* hidden.c - see hidden.h. */
#include "hidden.h"

#include "../files/io.h"
#include "../files/output.h"

#include <stdlib.h>
#include <string.h>

bool hidden_open(hidden *h, uint64_t rows, uint64_t columns, bool spill, const char *beside,
                 fail *why)
{
  *h = (hidden){.fd = -1, .rows = rows, .columns = columns, .beside = beside};
  if (columns && rows > SIZE_MAX / sizeof(float) / columns)
    return fail_set(why, FAIL_OVERFLOW, beside, "hidden states too large for this machine");
  if (spill)
    return out_nameless(&h->fd, beside, why);
  h->memory = malloc((size_t)(rows * columns) * sizeof(float) + 1);
  return h->memory ||
         fail_set(why, FAIL_NOMEM, beside,
                  "out of memory for hidden states (%llu MiB); --spill keeps them in a "
                  "file",
                  (unsigned long long)(rows * columns * sizeof(float) >> 20));
}

void hidden_close(hidden *h)
{
  free(h->memory);
  if (h->fd >= 0)
    sys_close(h->fd);
  h->memory = NULL;
  h->fd = -1;
}

bool hidden_get(const hidden *h, uint64_t first, uint64_t rows, float *into, fail *why)
{
  size_t bytes = (size_t)(rows * h->columns) * sizeof(float);

  if (!h->memory)
    return io_read_at(h->fd, first * h->columns * sizeof(float), into, bytes, h->beside, why);
  memcpy(into, h->memory + first * h->columns, bytes);
  return true;
}

bool hidden_put(hidden *h, uint64_t first, uint64_t rows, const float *from, fail *why)
{
  size_t bytes = (size_t)(rows * h->columns) * sizeof(float);

  if (!h->memory)
    return io_write_at(h->fd, first * h->columns * sizeof(float), from, bytes, h->beside, why);
  memcpy(h->memory + first * h->columns, from, bytes);
  return true;
}

bool hidden_get_rows(const hidden *h, uint64_t first, uint64_t rows, float *into, size_t stride,
                     fail *why)
{
  for (uint64_t i = 0; i < rows; i++)
    if (!hidden_get(h, first + i, 1, into + i * stride, why))
      return false;
  return true;
}

bool hidden_put_rows(hidden *h, uint64_t first, uint64_t rows, const float *from, size_t stride,
                     fail *why)
{
  for (uint64_t i = 0; i < rows; i++)
    if (!hidden_put(h, first + i, 1, from + i * stride, why))
      return false;
  return true;
}
