/*
 * faults_wrap.c - allocation and file calls that fail on demand, linked around the whole tool with
 * -Wl,--wrap=NAME by tests/cli_oom.sh and tests/faults.sh.
 *
 * Owns: the counters. Must not know: the tool. A source file of its own: beside a caller the
 * compiler may assume that malloc changes nothing it can see. From the environment:
 *   LQ_ALLOC_FAIL=K    allocation K gives NULL; LQ_ALLOC_FAIL=K+ all from K on
 *   LQ_SHORT_IO=N      reads and writes move N bytes at most, and every third one is interrupted
 *   LQ_FAULTS_FILE=F   at the end F says: allocations, peak of live bytes, largest block
 */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void __real_free(void *p);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
ssize_t __real_pread64(int fd, void *into, size_t count, off_t offset);
ssize_t __real_pwrite64(int fd, const void *from, size_t count, off_t offset);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void __wrap_free(void *p);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
ssize_t __wrap_pread64(int fd, void *into, size_t count, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t count, off_t offset);

static _Atomic uint64_t calls, live, peak, largest, moves;
static uint64_t fail_at, short_count;
static int from_there_on;
static const char *report;

static void write_report(void)
{
  FILE *f = fopen(report, "w");
  if (f != NULL) {
    fprintf(f, "%llu %llu %llu\n", (unsigned long long)calls, (unsigned long long)peak,
            (unsigned long long)largest);
    fclose(f);
  }
}

/* Before main, when there is one thread. */
__attribute__((constructor)) static void begin(void)
{
  const char *text = getenv("LQ_ALLOC_FAIL");
  if (text != NULL) {
    char *end;
    fail_at = strtoull(text, &end, 10);
    from_there_on = *end == '+';
  }
  text = getenv("LQ_SHORT_IO");
  short_count = text != NULL ? strtoull(text, NULL, 10) : 0;
  report = getenv("LQ_FAULTS_FILE");
  if (report != NULL)
    atexit(write_report);
}

static int must_fail(void)
{
  uint64_t k = atomic_fetch_add(&calls, 1) + 1;
  return fail_at != 0 && (k == fail_at || (from_there_on && k > fail_at));
}

static void raise_to(_Atomic uint64_t *most, uint64_t value)
{
  uint64_t old = atomic_load(most);
  while (old < value && !atomic_compare_exchange_weak(most, &old, value))
    continue;
}

static void *count_block(void *p)
{
  if (p != NULL) {
    uint64_t bytes = malloc_usable_size(p);
    raise_to(&peak, atomic_fetch_add(&live, bytes) + bytes);
    raise_to(&largest, bytes);
  }
  return p;
}

void *__wrap_malloc(size_t bytes)
{
  return must_fail() ? NULL : count_block(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
  return must_fail() ? NULL : count_block(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *p, size_t bytes)
{
  uint64_t before = p != NULL ? malloc_usable_size(p) : 0;
  void *q = must_fail() ? NULL : __real_realloc(p, bytes);
  if (q != NULL) {
    atomic_fetch_sub(&live, before);
    count_block(q);
  }
  return q;
}

void __wrap_free(void *p)
{
  if (p != NULL)
    atomic_fetch_sub(&live, malloc_usable_size(p));
  __real_free(p);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
  return must_fail() ? NULL : count_block(__real_aligned_alloc(alignment, bytes));
}

char *__wrap_strndup(const char *text, size_t most)
{
  size_t n = strnlen(text, most);
  char *copy = __wrap_malloc(n + 1);
  if (copy != NULL) {
    memcpy(copy, text, n);
    copy[n] = 0;
  }
  return copy;
}

char *__wrap_strdup(const char *text)
{
  return __wrap_strndup(text, SIZE_MAX);
}

/* The count to move; 0: interrupted. */
static size_t shorten(size_t count)
{
  if (short_count == 0)
    return count;
  if (atomic_fetch_add(&moves, 1) % 3 == 2) {
    errno = EINTR;
    return 0;
  }
  return count < short_count ? count : (size_t)short_count;
}

ssize_t __wrap_pread64(int fd, void *into, size_t count, off_t offset)
{
  size_t n = shorten(count);
  return n == 0 && count > 0 ? -1 : __real_pread64(fd, into, n, offset);
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t count, off_t offset)
{
  size_t n = shorten(count);
  return n == 0 && count > 0 ? -1 : __real_pwrite64(fd, from, n, offset);
}
