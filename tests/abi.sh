#!/bin/sh
# The interface against what was released (tests/abi): nothing in the header has changed, for any size of pointers and any
# compiler at hand; nothing in the compiled library has, as abidiff of package abigail-tools sees it.
# Arguments: root of the sources to look at; what of it: "header", "library", or both. LQ_ABI=1: abidiff for every target.
set -u
cd "$(dirname "$0")/.." || exit 1
root=${1:-.} parts=${2:-header library}
here=$(${CC:-cc} -dumpmachine | sed 's/-.*//')
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 without=

result() # STATUS NAME: with what was said in $scratch/log
{
  if [ "$1" -eq 0 ]; then
    passed=$((passed + 1))
    echo "ok      $2"
  else
    failed=$((failed + 1))
    echo "FAILED  $2"
    sed 's/^/        /' "$scratch/log" | head -n 40
  fi
}

# ---- the header ----

there() # COMPILER...
{
  "$@" -ffreestanding -fsyntax-only -x c /dev/null 2>/dev/null
}

asserts() # COMPILER...
{
  "$@" -std=c11 -Wall -Wextra -Wpedantic -Werror -ffreestanding -fsyntax-only -I"$root/include" -x c tests/abi/asserts.h \
    >"$scratch/log" 2>&1
  result $? "asserts  $*"
}

header()
{
  sh tests/abi/declared.sh "$root" >"$scratch/declared.def" 2>"$scratch/log"
  case $? in
  0)
    diff tests/abi/declared.def "$scratch/declared.def" >"$scratch/log" ||
      { echo "if these are additions alone: make abi-dump" >>"$scratch/log"; false; }
    result $? "declared.def lists all of the header"
    ;;
  77) echo "skip    declared.def lists all of the header: $(tail -n 1 "$scratch/declared.def")" ;;
  *) result 1 "declared.def lists all of the header" ;;
  esac

  # shellcheck disable=SC2086 # a compiler may be several words
  for cc in "${CC:-cc}" "${CC:-cc} -m32"; do
    there $cc && asserts $cc
  done
  [ "$root" = . ] || return
  # shellcheck disable=SC2086
  for cc in gcc 'gcc -fshort-enums' aarch64-linux-gnu-gcc arm-none-eabi-gcc; do
    there $cc && asserts $cc
  done
  for target in x86_64-linux-gnu i386-linux-gnu aarch64-linux-gnu armv7m-none-eabi riscv32-unknown-elf riscv64-linux-gnu \
    s390x-linux-gnu mips-linux-gnu powerpc64-linux-gnu x86_64-pc-windows-msvc i686-pc-windows-msvc arm64-apple-macos wasm32; do
    there clang --target=$target && asserts clang --target=$target
  done
}

# ---- the library ----

# Between two outputs of abidw: beside a library abidiff takes the structs of the dump for private ones and is silent. And
# what released.abignore lets pass is looked at once more, since it covers a field of another type as well.
no_break() # DUMP NEW
{
  abidiff --no-added-syms "$1" "$2" >"$scratch/log" 2>&1 && return
  abidiff --no-added-syms --suppressions tests/abi/released.abignore "$1" "$2" >/dev/null 2>&1 &&
    ! grep -Eq 'data member (change|deletion)s?:' "$scratch/log"
}

compare() # TITLE, target or library, DUMP
{
  sh tests/abi/compiled.sh "$2" "$root" "$scratch/interface" >"$scratch/log" 2>&1
  case $? in
  0)
    no_break "$3" "$scratch/interface"
    result $? "abidiff  $1"
    ;;
  77) echo "skip    abidiff  $1: no compiler for it" ;;
  *) result 1 "abidiff  $1: does not build" ;;
  esac
}

library()
{
  command -v abidiff >/dev/null || { without="; without abidiff (package abigail-tools)"; return; }
  targets=$here
  [ "${LQ_ABI:-0}" != 1 ] || [ "$root" != . ] || targets='x86_64 i386 aarch64'
  for target in $targets; do
    [ ! -f "tests/abi/libquant-0-$target.abi" ] || compare "$target" "$target" "tests/abi/libquant-0-$target.abi"
  done
  # The library as it was built, where it has debug information and is of a target with a dump.
  case ${CFLAGS:-} in *-fsanitize*) return ;; esac
  if [ "$root" = . ] && [ -f "tests/abi/libquant-0-$here.abi" ] &&
    readelf -S "${LIBQUANT:-}" 2>/dev/null | grep -q '\.debug_info'; then
    compare "${LIBQUANT##*/}" "$LIBQUANT" "tests/abi/libquant-0-$here.abi"
  fi
}

for part in $parts; do
  $part
done
echo "$passed passed, $failed failed$without"
[ $failed -eq 0 ]
