/*
 * custom_allocator.c - gives the library memory from the caller: here an arena of fixed size that
 * counts.
 *
 * Every allocation asks the hook and every release tells it the size, so the arena needs no headers
 * of its own. When it is full the library says LQ_E_MEMORY, and all that it had is given back.
 */
#include <libquant.h>

#include <stdalign.h>
#include <stdio.h>

struct arena {
  unsigned char *base;
  size_t size, used, live;
  unsigned calls;
};

static void *arena_alloc(void *user, size_t bytes, size_t alignment)
{
  struct arena *a = user;
  size_t start = (a->used + alignment - 1) & ~(alignment - 1);
  if (start > a->size || bytes > a->size - start)
    return NULL;
  a->used = start + bytes;
  a->live += bytes;
  a->calls++;
  return a->base + start;
}

static void arena_release(void *user, void *p, size_t bytes, size_t alignment)
{
  struct arena *a = user;
  (void)alignment;
  a->live -= bytes;
  /* The last piece can be taken back; when none is left, all of it. */
  if (a->live == 0)
    a->used = 0;
  else if ((unsigned char *)p + bytes == a->base + a->used)
    a->used = (size_t)((unsigned char *)p - a->base);
}

static lq_status quantize(const lq_alloc *alloc, const float *w, uint64_t rows, uint64_t columns)
{
  const uint64_t shape[2] = {rows, columns};
  lq_config *config = NULL;
  lq_quantizer *quantizer = NULL;
  lq_tensor *dense = NULL, *small = NULL;
  lq_status s = lq_config_create(alloc, &config);
  if (s == LQ_OK)
    s = lq_config_set_text(config, "method", "dynamic8");
  if (s == LQ_OK)
    s = lq_quantizer_create(config, &quantizer);
  if (s == LQ_OK)
    s = lq_tensor_wrap(alloc, LQ_F32, 2, shape, w, (size_t)(rows * columns) * sizeof *w, &dense);
  if (s == LQ_OK)
    s = lq_quantizer_run(quantizer, dense, &small);
  if (s == LQ_OK)
    printf("%llu bytes of planes for %llu weights\n", (unsigned long long)lq_tensor_nbytes(small),
           (unsigned long long)(rows * columns));
  lq_tensor_destroy(small);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
  return s;
}

int main(void)
{
  static float w[64 * 1024];
  static alignas(64) unsigned char memory[128 * 1024];
  struct arena arena = {.base = memory, .size = sizeof memory};
  const lq_alloc alloc = {sizeof alloc, 0, &arena, arena_alloc, arena_release};
  for (int i = 0; i < 64 * 1024; i++)
    w[i] = (float)(i % 255 - 127) * 0.001f;

  lq_status s = quantize(&alloc, w, 64, 1024);
  printf("%s after %u allocations; %zu bytes still in use\n", lq_status_string(s), arena.calls,
         arena.live);
  if (s != LQ_OK || arena.live != 0)
    return 1;

  arena.size = 16 * 1024; /* too small for 64 KiB of codes */
  s = quantize(&alloc, w, 64, 1024);
  printf("in a smaller arena: %s; %zu bytes still in use\n", lq_status_string(s), arena.live);
  return s == LQ_E_MEMORY && arena.live == 0 ? 0 : 1;
}
