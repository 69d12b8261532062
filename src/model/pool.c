/*
 * pool.c - free blocks in a short list, the smallest that fits first.
 *
 * Each block starts with a header of POOL_ALIGNMENT bytes that holds its capacity. Small blocks go
 * to malloc each time: they cost no page faults.
 */
#include "pool.h"

#include "../files/system.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { POOL_SLOTS = 64, POOL_SMALL = 1 << 16 };

struct pool {
  pthread_mutex_t lock;
  size_t keep, held; /* bytes */
  size_t count;
  void *blocks[POOL_SLOTS]; /* with their headers */
  bool huge;
};

static size_t capacity_of(const void *block)
{
  return *(const size_t *)block;
}

bool pool_create(pool **out, size_t keep, bool huge, fail *why)
{
  pool *p = calloc(1, sizeof *p);

  *out = NULL;
  if (!p)
    return fail_memory(why, NULL);
  if (pthread_mutex_init(&p->lock, NULL) != 0) {
    free(p);
    return fail_memory(why, NULL);
  }
  p->keep = keep;
  p->huge = huge;
  *out = p;
  return true;
}

void pool_destroy(pool *p)
{
  if (!p)
    return;
  for (size_t i = 0; i < p->count; i++)
    sys_free_aligned(p->blocks[i]);
  pthread_mutex_destroy(&p->lock);
  free(p);
}

/* Takes the free block with the least capacity that is enough and not more than double. */
static void *reuse(pool *p, size_t capacity)
{
  size_t best = POOL_SLOTS;
  void *block = NULL;

  pthread_mutex_lock(&p->lock);
  for (size_t i = 0; i < p->count; i++) {
    size_t c = capacity_of(p->blocks[i]);

    if (c >= capacity && c / 2 <= capacity &&
        (best == POOL_SLOTS || c < capacity_of(p->blocks[best])))
      best = i;
  }
  if (best != POOL_SLOTS) {
    block = p->blocks[best];
    p->held -= capacity_of(block);
    p->blocks[best] = p->blocks[--p->count];
  }
  pthread_mutex_unlock(&p->lock);
  return block;
}

void *pool_take(pool *p, size_t bytes)
{
  size_t alignment = POOL_ALIGNMENT, capacity;
  void *block = NULL;

  if (bytes > SIZE_MAX / 2)
    return NULL;
  capacity = (bytes + 2 * POOL_ALIGNMENT - 1) & ~(size_t)(POOL_ALIGNMENT - 1);
  if (capacity > POOL_SMALL) {
    if (p->huge)
      alignment = SYS_HUGE_PAGE;
    capacity = (capacity + alignment - 1) & ~(alignment - 1);
    block = reuse(p, capacity);
  }
  if (!block) {
    block = sys_alloc_aligned(alignment, capacity);
    if (!block)
      return NULL;
    if (alignment == SYS_HUGE_PAGE)
      sys_prefer_huge(block, capacity);
    *(size_t *)block = capacity;
  }
  return (char *)block + POOL_ALIGNMENT;
}

void pool_give(pool *p, void *memory)
{
  void *block;

  if (!memory)
    return;
  block = (char *)memory - POOL_ALIGNMENT;
  if (capacity_of(block) > POOL_SMALL) {
    pthread_mutex_lock(&p->lock);
    if (p->count < POOL_SLOTS && capacity_of(block) <= p->keep - p->held) {
      p->held += capacity_of(block);
      p->blocks[p->count++] = block;
      block = NULL;
    }
    pthread_mutex_unlock(&p->lock);
  }
  sys_free_aligned(block);
}

static void *alloc_hook(void *user, size_t bytes, size_t alignment)
{
  return alignment <= POOL_ALIGNMENT ? pool_take(user, bytes) : NULL;
}

static void release_hook(void *user, void *memory, size_t bytes, size_t alignment)
{
  (void)bytes;
  (void)alignment;
  pool_give(user, memory);
}

lq_alloc pool_alloc(pool *p)
{
  return (lq_alloc){
      .size = sizeof(lq_alloc), .user = p, .alloc = alloc_hook, .release = release_hook};
}
