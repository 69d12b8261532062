/*
 * msan_stat.c - tells clang's memory sanitizer what the calls of stat have written. Since glibc
 * 2.33 they are functions of their own, which the sanitizer of clang 14 does not know. Linked by
 * tests/analysis.sh with -Wl,--wrap=NAME.
 *
 * Owns: these four names. Must not know: who calls them.
 */
#include <sanitizer/msan_interface.h>
#include <sys/stat.h>

#define WRAP(name, parameters, arguments) \
  int __real_##name parameters; \
  int __wrap_##name parameters; \
  int __wrap_##name parameters \
  { \
    int result = __real_##name arguments; \
    if (result == 0) \
      __msan_unpoison(st, sizeof *st); \
    return result; \
  }

WRAP(fstat64, (int fd, struct stat *st), (fd, st))
WRAP(stat64, (const char *name, struct stat *st), (name, st))
WRAP(lstat64, (const char *name, struct stat *st), (name, st))
WRAP(fstatat64, (int fd, const char *name, struct stat *st, int flags), (fd, name, st, flags))
