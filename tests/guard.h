/*
 * guard.h - memory between two unreadable pages: who reads or writes past an end of it is stopped
 * by the processor, in any build.
 *
 * Objects are put flush against either page; what lies around them is filled, so that writes on the
 * near side show too. Include it first: it asks the C library for mmap.
 */
#ifndef TESTS_GUARD_H
#define TESTS_GUARD_H

#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include "harness.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

enum { GUARD_USABLE = 1 << 18, GUARD_CANARY = 256 };

struct guard {
  uint8_t *from, *to; /* the usable bytes, an unreadable page on either side */
  uint8_t *object;    /* what place() gave */
  size_t bytes;
};

/* GUARD_USABLE bytes and a page on either side, which are unreadable; NULL when that cannot be. */
static inline uint8_t *guard_pages(size_t *page)
{
#ifdef _WIN32
  SYSTEM_INFO info;
  DWORD was;
  GetSystemInfo(&info);
  *page = info.dwPageSize;
  size_t whole = GUARD_USABLE + 2 * *page;
  uint8_t *p = VirtualAlloc(NULL, whole, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  int ok = p && VirtualProtect(p, *page, PAGE_NOACCESS, &was) &&
           VirtualProtect(p + *page + GUARD_USABLE, *page, PAGE_NOACCESS, &was);
#else
  *page = (size_t)sysconf(_SC_PAGESIZE);
  size_t whole = GUARD_USABLE + 2 * *page;
  uint8_t *p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  int ok = p != MAP_FAILED && !mprotect(p, *page, PROT_NONE) &&
           !mprotect(p + *page + GUARD_USABLE, *page, PROT_NONE);
#endif
  return ok ? p : NULL;
}

static inline void guard_create(struct guard *g)
{
  size_t page;
  uint8_t *p = guard_pages(&page);
  if (!p) {
    printf("no guard pages\n");
    exit(2);
  }
  g->from = p + page;
  g->to = g->from + GUARD_USABLE;
}

/* Room for n elements that ends at the guard page (shift 0) or begins shift - 1 elements after the
 * other. */
static inline void *place(struct guard *g, size_t n, size_t size, size_t shift)
{
  g->bytes = n * size;
  if (g->bytes + shift * size > GUARD_USABLE) {
    printf("%zu elements of %zu are too many\n", n, size);
    exit(2);
  }
  g->object = shift == 0 ? g->to - g->bytes : g->from + (shift - 1) * size;
  uint8_t *low = g->object - g->from < GUARD_CANARY ? g->from : g->object - GUARD_CANARY;
  uint8_t *high = g->object + g->bytes;
  memset(low, 0xc5, (size_t)(high - low));
  memset(high, 0xc5, g->to - high < GUARD_CANARY ? (size_t)(g->to - high) : GUARD_CANARY);
  return g->object;
}

/* Is what lies around the object as place() left it? */
static inline int untouched(const struct guard *g)
{
  const uint8_t *end = g->object + g->bytes;
  for (const uint8_t *p = g->object; p > g->from && g->object - p < GUARD_CANARY; p--)
    if (p[-1] != 0xc5)
      return 0;
  for (const uint8_t *p = end; p < g->to && p - end < GUARD_CANARY; p++)
    if (*p != 0xc5)
      return 0;
  return 1;
}

#endif
