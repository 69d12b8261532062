#!/bin/sh
# tests/files_faults.c, linked with src/files and src/model so that its functions stand before those of libc.
set -u
: "${LQ_BUILD:?}" "${LQ_VECTORS:?}"
. tests/tool_objects.inc
program=$LQ_BUILD/tests/files_faults
wrapped=
for name in malloc calloc realloc free strdup strndup fstat64 fstatat64 lstat64 stat64 openat64 open64 flock ftruncate64 fchmod \
  mkdir mkdirat unlink unlinkat rmdir rename renameat2 statvfs64 pread64 pwrite64 fsync readdir64 fdopendir opendir close \
  posix_fallocate64 pthread_create sigaction sysconf _Exit; do
  wrapped="$wrapped -Wl,--wrap=$name"
done
openmp=
[ "${OPENMP:-0}" != 1 ] || openmp=-fopenmp
mkdir -p "$LQ_BUILD/tests"
parts=$LQ_BUILD/libtool.a # meson has it
[ -f "$parts" ] || parts=$(tool_objects "$LQ_BUILD" | grep -E '/src/(files|model)/')
# shellcheck disable=SC2086 # words
${CC:-cc} -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude ${CPPFLAGS:-} ${CFLAGS:-} ${LDFLAGS:-} $wrapped -pthread \
  -o "$program" "${0%/*}/files_faults.c" $parts "$LQ_BUILD/libquant.a" $openmp -lm || {
  echo "calls of this libc cannot be replaced"
  exit 77
}
exec "$program"
