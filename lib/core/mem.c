/*
 * mem.c - memory from the caller's hook or from malloc.
 *
 * Owns: the default allocator.
 * Must not know: handles, tensors.
 */
#include "mem.h"

#include <stdlib.h>
#include <string.h>

/*
 * C11's aligned_alloc is missing from some C libraries and wants sizes that are multiples of the
 * alignment; a pointer kept in front of the aligned block works everywhere.
 */
static void *default_alloc(void *user, size_t bytes, size_t alignment)
{
  (void)user;
  size_t extra = alignment + sizeof(void *);
  if (bytes > SIZE_MAX - extra)
    return NULL;
  char *raw = malloc(bytes + extra);
  if (raw == NULL)
    return NULL;
  char *block = raw + sizeof(void *);
  block += (alignment - (uintptr_t)block % alignment) % alignment;
  memcpy(block - sizeof(void *), &raw, sizeof raw);
  return block;
}

static void default_release(void *user, void *p, size_t bytes, size_t alignment)
{
  (void)user, (void)bytes, (void)alignment;
  void *raw;
  memcpy(&raw, (char *)p - sizeof(void *), sizeof raw);
  free(raw);
}

lq_status lqi_mem_init(struct lqi_mem *mem, const lq_alloc *hook)
{
  if (hook == NULL) {
    mem->hook = (lq_alloc){sizeof(lq_alloc), 0, NULL, default_alloc, default_release};
    return LQ_OK;
  }
  if (!lqi_known_struct(hook, hook->size, sizeof *hook))
    return LQ_E_VERSION;
  if (hook->flags != 0 || hook->alloc == NULL || hook->release == NULL)
    return LQ_E_ARGUMENT;
  mem->hook = *hook;
  mem->hook.size = sizeof mem->hook; /* a bigger struct has been cut to what is known */
  return LQ_OK;
}

void *lqi_alloc(const struct lqi_mem *mem, uint64_t bytes)
{
  if (bytes > SIZE_MAX / 2)
    return NULL;
  return mem->hook.alloc(mem->hook.user, bytes != 0 ? (size_t)bytes : 1, LQI_ALIGNMENT);
}

void lqi_free(const struct lqi_mem *mem, void *p, uint64_t bytes)
{
  if (p != NULL)
    mem->hook.release(mem->hook.user, p, bytes != 0 ? (size_t)bytes : 1, LQI_ALIGNMENT);
}
