/*
 * harness.h - what every test program shares: counted checks, random numbers, the folder of the
 * test vectors.
 *
 * A test is one program: main calls CHECK any number of times and ends with `return test_end();`.
 * It prints each failing check with its place and, last, "name: N checks, M failed"; the exit
 * status is 0 only if N > 0 and M = 0. Nothing here knows the library, so that tests of the command
 * line tool can use it too.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <malloc.h>
#endif

/* Failures printed in full; the rest are only counted. */
#define TEST_MOST_PRINTED 40

static uint64_t test_checks, test_failures;

/* Prepended to the text of a failure: which case of a loop is running. */
static char test_context[256];

#if defined(__MINGW32__) && !defined(__clang__)
#define TEST_PRINTF(fmt, args) __attribute__((format(gnu_printf, fmt, args)))
#elif defined(__GNUC__) || defined(__clang__)
#define TEST_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TEST_PRINTF(fmt, args)
#endif

static inline int test_pass_(void)
{
  test_checks++;
  return 1;
}

TEST_PRINTF(4, 5)
static inline int test_fail_(const char *file, int line, const char *what, const char *fmt, ...)
{
  va_list args;
  test_checks++;
  if (++test_failures > TEST_MOST_PRINTED)
    return 0;
  printf("%s:%d: %s%sfailed: %s: ", file, line, test_context, *test_context ? ": " : "", what);
  va_start(args, fmt);
  vprintf(fmt, args);
  va_end(args);
  printf("\n");
  fflush(stdout);
  return 0;
}

/*
 * Counts a check and gives 1 if `cond` holds; the rest is a printf text, made only if it does not.
 */
#define CHECK(cond, ...) \
  ((cond) ? test_pass_() : test_fail_(__FILE__, __LINE__, #cond, __VA_ARGS__))

/* Sets the text that comes before each failure from here on. */
TEST_PRINTF(1, 2)
static inline void test_in(const char *fmt, ...)
{
  va_list args;
  va_start(args, fmt);
  vsnprintf(test_context, sizeof test_context, fmt, args);
  va_end(args);
}

/* The last line of a test program and its exit status. */
static inline int test_end_(const char *file)
{
  const char *name = strrchr(file, '/');
  name = name ? name + 1 : file;
  if (test_failures > TEST_MOST_PRINTED)
    printf("... and %llu more\n", (unsigned long long)(test_failures - TEST_MOST_PRINTED));
  printf("%.*s: %llu checks, %llu failed\n", (int)strcspn(name, "."), name,
         (unsigned long long)test_checks, (unsigned long long)test_failures);
  return test_failures || !test_checks ? 1 : 0;
}

#define test_end() test_end_(__FILE__)

/*
 * Folder of the test vectors: LQ_VECTORS, or the first argument, or where they are seen from the
 * top of the tree.
 */
static inline const char *test_vectors(int argc, char **argv)
{
  const char *folder = getenv("LQ_VECTORS");
  if (folder && *folder)
    return folder;
  return argc > 1 ? argv[1] : "tests/vectors";
}

/* Whether `make check-long` asks for the parts that take minutes. */
static inline int test_is_long(void)
{
  const char *s = getenv("LQ_LONG");
  return s && *s && *s != '0';
}

/* malloc that ends the test instead of giving NULL; at least one byte. */
static inline void *test_alloc(size_t bytes)
{
  void *p = calloc(1, bytes ? bytes : 1);
  if (!p) {
    printf("out of memory for %zu bytes\n", bytes);
    exit(2);
  }
  return p;
}

/* Of any size; Windows has no aligned_alloc, and frees such blocks apart. */
static inline void *test_aligned(size_t alignment, size_t bytes)
{
#ifdef _WIN32
  return _aligned_malloc(bytes, alignment);
#else
  return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#endif
}

static inline void test_aligned_free(void *p)
{
#ifdef _WIN32
  _aligned_free(p);
#else
  free(p);
#endif
}

/* splitmix64 (Steele, Lea, Flood 2014): every seed gives the same numbers on every machine. */
static inline uint64_t rng_u64(uint64_t *state)
{
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* 0 <= result < n; n > 0. The bias of the remainder does not matter here. */
static inline uint64_t rng_below(uint64_t *state, uint64_t n)
{
  return rng_u64(state) % n;
}

/*
 * Whether a test runs this one of its many like cases: always, but with LQ_SMALL about one time in
 * `of`. That is for emulated machines, where code is slower by ten and more. Which ones is left to
 * chance, so that no dimension of nested loops is lost, and is the same on every machine.
 */
static inline int test_takes(uint64_t of)
{
  static uint64_t state = 1;
  const char *s = getenv("LQ_SMALL");
  return !s || !*s || *s == '0' || rng_below(&state, of) == 0;
}

/* Uniform in [0, 1). */
static inline double rng_uniform(uint64_t *state)
{
  return (double)(rng_u64(state) >> 11) * 0x1p-53;
}

/* About normal, mean 0, variance 1: twelve uniform numbers less six. Tails end at 6. */
static inline float rng_normal(uint64_t *state)
{
  double sum = -6;
  for (int i = 0; i < 12; i++)
    sum += rng_uniform(state);
  return (float)sum;
}

#endif
