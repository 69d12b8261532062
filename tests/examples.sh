#!/bin/sh
# Every examples/*.c builds without a warning, against the library as it lies in the build folder, and runs.
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
openmp=
[ "${OPENMP:-1}" != 1 ] || openmp=-fopenmp
failed=0

for example in examples/*.c; do
  name=$(basename "$example" .c)
  echo "== $example"
  # shellcheck disable=SC2086 # words
  ${CC:-cc} -Wall -Wextra -Wpedantic -Werror -Iinclude ${CPPFLAGS:-} ${CFLAGS:-} -o "$scratch/$name" "$example" \
    "${LQ_BUILD:-build}/libquant.a" ${LDFLAGS:-} $openmp -pthread -lm && "$scratch/$name" || failed=1
done
exit $failed
