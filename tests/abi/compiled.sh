#!/bin/sh
# Writes the interface of the compiled library, as abidw of package abigail-tools sees it. For a target (x86_64, i386,
# aarch64) the files of the library that hold public functions are compiled first, which takes a second.
# Arguments: target, or the file of a library with debug information; root of the sources; file to write.
# Exit status 77: no compiler for the target.
set -u
target=$1 root=$2 out=$3
cc=${CC:-cc}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
library=$scratch/lib.so

build()
{
  case $($cc -dumpmachine)-$target in
  "$target"-*-"$target") ;;
  x86_64-*-i386) cc="$cc -m32 -msse2 -mfpmath=sse" ;;
  *-aarch64) cc=aarch64-linux-gnu-gcc ;;
  *) exit 77 ;;
  esac
  # shellcheck disable=SC2086 # a compiler may be several words
  echo '#include <string.h>' | $cc -shared -fPIC -x c - -o "$scratch/probe" 2>/dev/null || exit 77
  awk -f lib/symbols.awk "$root/lib/libquant.sym" >"$scratch/map" || exit 1
  sed "s|^|$root/|" "$root/lib/sources.list" | xargs grep -l '^LQ_API' >"$scratch/sources"
  # shellcheck disable=SC2046,SC2086
  $cc -std=c11 -O0 -gdwarf-4 -fPIC -fvisibility=hidden -ffp-contract=off -w -Wno-psabi -I"$root/include" -shared \
    -Wl,-soname,libquant.so.0 -Wl,--version-script,"$scratch/map" -o "$library" $(cat "$scratch/sources") -lm || exit 1
  nm -D --defined-only "$library" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort >"$scratch/has"
  awk '!/^#/ && NF { print $1 }' "$root/lib/libquant.sym" | sort >"$scratch/wanted"
  cmp -s "$scratch/has" "$scratch/wanted" && return
  echo "lib/libquant.sym (left) and functions defined behind LQ_API (right) differ:"
  comm -3 "$scratch/wanted" "$scratch/has"
  exit 1
}

case $target in
*/*) library=$target ;;
*) build ;;
esac
abidw --headers-dir "$root/include" --drop-private-types --exported-interfaces-only --no-corpus-path --no-comp-dir-path \
  --no-show-locs --short-locs --no-elf-needed --no-parameter-names --out-file "$out" "$library"
