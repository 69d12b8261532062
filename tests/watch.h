/*
 * watch.h - an allocator that watches: it fails when told, counts what lives, and checks that
 * blocks come back with their size and alignment, from the thread that called, and untouched
 * outside. It notes which functions were called while it failed, to compare with what the library
 * exports.
 */
#ifndef TESTS_WATCH_H
#define TESTS_WATCH_H

#include "helpers.h"

#include <pthread.h>

enum { SLOTS = 256, GUARD = 64 };

struct slot {
  char *raw, *p;
  size_t bytes, alignment;
};

struct watch {
  struct slot slot[SLOTS];
  pthread_t caller;
  uint64_t calls, fail_at, failed; /* fail_at 0: never */
  uint64_t live_blocks, live_bytes;
  int persistent;
};

static struct watch watch;

static inline int is_power_of_two(size_t x)
{
  return x && !(x & (x - 1));
}

static inline void *watch_alloc(void *user, size_t bytes, size_t alignment)
{
  struct watch *w = user;
  CHECK(bytes > 0 && is_power_of_two(alignment) && alignment <= 64, "%zu bytes at %zu", bytes,
        alignment);
  CHECK(pthread_equal(w->caller, pthread_self()), "allocation on another thread");
  w->calls++;
  if (w->fail_at && (w->calls == w->fail_at || (w->persistent && w->calls > w->fail_at))) {
    w->failed++;
    return NULL;
  }
  for (int i = 0; i < SLOTS; i++) {
    struct slot *s = &w->slot[i];
    if (s->raw)
      continue;
    s->raw = test_alloc(bytes + 2 * GUARD + alignment);
    s->p = s->raw + GUARD;
    s->p += (alignment - (uintptr_t)s->p % alignment) % alignment;
    s->bytes = bytes;
    s->alignment = alignment;
    memset(s->raw, 0xee, bytes + 2 * GUARD + alignment);
    w->live_blocks++;
    w->live_bytes += bytes;
    return s->p;
  }
  CHECK(0, "more than %d blocks", SLOTS);
  exit(2);
}

static inline int guards_are_clean(const struct slot *s)
{
  for (const char *p = s->raw; p < s->p; p++)
    if (*p != (char)0xee)
      return 0;
  for (const char *p = s->p + s->bytes; p < s->p + s->bytes + GUARD; p++)
    if (*p != (char)0xee)
      return 0;
  return 1;
}

static inline void watch_release(void *user, void *p, size_t bytes, size_t alignment)
{
  struct watch *w = user;
  CHECK(pthread_equal(w->caller, pthread_self()), "release on another thread");
  for (int i = 0; i < SLOTS; i++) {
    struct slot *s = &w->slot[i];
    if (!s->raw || s->p != p)
      continue;
    CHECK(s->bytes == bytes && s->alignment == alignment,
          "released %zu at %zu, allocated %zu at %zu", bytes, alignment, s->bytes, s->alignment);
    CHECK(guards_are_clean(s), "memory around a block of %zu bytes was written", bytes);
    w->live_blocks--;
    w->live_bytes -= s->bytes;
    free(s->raw);
    memset(s, 0, sizeof *s);
    return;
  }
  CHECK(0, "release of %p, which was not allocated", p);
}

static const lq_alloc hook = {sizeof hook, 0, &watch, watch_alloc, watch_release};

/* ---- which functions have been called while allocations fail ---- */

enum { MOST_NAMES = 100 };

static const char *names_called[MOST_NAMES];
static int names;

static inline void called(const char *name)
{
  int i = 0;
  if (!watch.fail_at)
    return;
  while (i < names && strcmp(names_called[i], name) != 0)
    i++;
  if (i == names && CHECK(names < MOST_NAMES, "too many names"))
    names_called[names++] = name;
}

#define CALL(f) (called(#f), f)

/* Every name that the library exports has been through a walk or test_quiet. */
static inline void test_coverage(const char *vectors)
{
  char path[1024], name[128];
  int listed = 0;
  snprintf(path, sizeof path, "%s/../../lib/libquant.sym", vectors);
  FILE *f = fopen(path, "r");
  test_in("%s", path);
  if (!CHECK(f != NULL, "cannot be read"))
    return;
  while (fscanf(f, "%127s %*[^\n]", name) == 1) {
    int i = 0;
    if (name[0] == '#')
      continue;
    while (i < names && strcmp(names_called[i], name) != 0)
      i++;
    CHECK(i < names, "%s has no scenario here", name);
    listed++;
  }
  fclose(f);
  CHECK(listed == names, "%d names listed, %d called", listed, names);
}

#endif
