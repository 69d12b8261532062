/* grow.c - see grow.h. */
#include "grow.h"

#include <stdint.h>
#include <stdlib.h>

void *grown(void *items, size_t *capacity, size_t least, size_t size)
{
  size_t want = 16;
  if (least > SIZE_MAX / 2 / size)
    return NULL;
  while (want < least)
    want *= 2;
  void *moved = realloc(items, want * size);
  if (moved != NULL)
    *capacity = want;
  return moved;
}
