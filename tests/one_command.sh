#!/bin/sh
# One compiler command builds the library, with no build system and no flag per file; from its sources, and from the one file
# that lib/amalgamate.awk makes of them.
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

build() # FILES...: the shared library of them, and a program with it
{
  (
    set -x
    # shellcheck disable=SC2086 # words
    ${CC:-cc} -std=c11 -O1 -Iinclude -shared -fPIC -o "$scratch/libquant.so" "$@" -lm &&
      ${CC:-cc} -std=c11 -Iinclude -o "$scratch/program" tests/header_c.c -L"$scratch" -lquant &&
      LD_LIBRARY_PATH=$scratch DYLD_LIBRARY_PATH=$scratch "$scratch/program"
  )
}

cp include/libquant.h "$scratch" && awk -f lib/amalgamate.awk lib/sources.list >"$scratch/libquant.c" || exit 1

# shellcheck disable=SC2046 # words
build $(cat lib/sources.list) && build "$scratch/libquant.c"
