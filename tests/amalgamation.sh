#!/bin/sh
# The library as one file (`make check-amalgamation`): every compiler that is there takes it with one plain command and gives
# the same results; every method can be left out, alone or with all others, and takes its code with it; the tests pass on it.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = amalgamation ] || { echo "runs with make check-amalgamation"; exit 77; }
build=${LQ_BUILD:?}
root=$PWD
work=$build/amalgamation/check
jobs=$(nproc 2>/dev/null || echo 2)
methods="NF4 FP4 INT8 DYNAMIC8 AFFINE GPTQ GGML"
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wcast-align -Werror"

passed()
{
  echo "ok    $*"
}

failed()
{
  echo "FAIL  $*"
}

lost()
{
  failed "$name: $*"
  exit 0
}

# "NAME: COMMAND", the compiler with its flags: object, names, digests. One line of output, and the size in NAME.size.
job()
{
  name=${1%%: *} command=${1#*: }
  $command -c -o "$name.o" ../libquant.c >"$name.log" 2>&1 || lost "$command: $(head -n 3 "$name.log")"
  nm -g "$name.o" | awk '$2 ~ /^[TDRBC]$/ && $3 !~ /get_pc_thunk/ { print $3 }' | sort >"$name.names"
  cmp -s names "$name.names" || lost "other global names than lib/libquant.sym lists: $PWD/$name.names"
  $command -D_POSIX_C_SOURCE=200809L -I.. -o "$name" "$root/tests/test_subset.c" "$name.o" -lm >"$name.log" 2>&1 ||
    lost "does not link: $(head -n 3 "$name.log")"
  "./$name" >"$name.log" 2>&1 || lost "$(tail -n 3 "$name.log")"
  grep '^method=' "$name.log" | sort >"$name.digests"
  comm -23 "$name.digests" digests | grep . && lost "other results than the library made of its sources"
  size "$name.o" | awk 'NR == 2 { print $1 + $2 }' >"$name.size"
  passed "$name: $(cat "$name.size") bytes, $(grep -c . "$name.digests") digests equal"
}

if [ $# -gt 0 ]; then
  cd "$work" && job "$1"
  exit
fi

# Several at a time; jobs are lines on standard input.
all_jobs()
{
  xargs -P "$jobs" -I JOB sh tests/amalgamation.sh JOB
}

have()
{
  command -v "$1" >/dev/null 2>&1
}

# Compilers, with no flag for the arithmetic: left to themselves gcc and clang fuse multiplications and additions.
compilers()
{
  have gcc && echo "gcc: gcc -O2 $warnings"
  have clang && echo "clang: clang -O2 $warnings"
  have tcc && echo "tcc: tcc"
  [ "$(uname -m)" = x86_64 ] || return 0
  echo 'int main(void) { return 0; }' >"$work/empty.c"
  gcc -m32 -o "$work/empty" "$work/empty.c" 2>/dev/null && echo "i386: gcc -m32 -msse2 -mfpmath=sse -O1"
  [ "${LQ_LONG:-0}" = 1 ] && have gcc && echo "x86-64-v3: gcc -O2 -march=x86-64-v3"
  return 0
}

without() # METHODS...: the macros
{
  printf ' -DLQ_WITHOUT_%s' "$@"
}

others() # METHOD: all methods but that
{
  echo " $methods " | sed "s/ $1 / /"
}

# Kernels beyond C cost a minute of compilation for each subset: they are in where there is time.
subsets()
{
  cc="${CC:-cc} -std=c11 $warnings"
  [ "${LQ_LONG:-0}" = 1 ] && cc="$cc -O2" || cc="$cc -O1 -DLQ_WITHOUT_SIMD"
  echo "all: $cc"
  for m in $methods; do
    echo "without-$m: $cc$(without "$m")"
    # shellcheck disable=SC2046 # words
    echo "only-$m: $cc$(without $(others "$m"))"
  done
  # shellcheck disable=SC2086
  echo "none: $cc$(without $methods)"
  [ "${LQ_LONG:-0}" != 1 ] || every_subset
}

# All 128, in plain C.
every_subset()
{
  n=0
  while [ $n -lt 128 ]; do
    left_out= bit=1
    for m in $methods; do
      [ $((n / bit % 2)) -eq 0 ] || left_out="$left_out -DLQ_WITHOUT_$m"
      bit=$((bit * 2))
    done
    echo "subset-$n: ${CC:-cc} -std=c11 $warnings -O1 -DLQ_WITHOUT_SIMD$left_out"
    n=$((n + 1))
  done
}

bytes()
{
  cat "$work/$1.size" 2>/dev/null || echo 0
}

# Less than all without a method, more than nothing with it.
sizes()
{
  printf '\n%-10s %10s %10s\n' "bytes" "without" "alone"
  for m in $methods; do
    printf '%-10s %10s %10s\n' "$(echo "$m" | tr '[:upper:]' '[:lower:]')" "$(bytes "without-$m")" "$(bytes "only-$m")"
  done
  printf '%-10s %10s %10s\n\n' "all, none" "$(bytes all)" "$(bytes none)"
  for m in $methods; do
    if [ "$(bytes "without-$m")" -lt "$(bytes all)" ] && [ "$(bytes "only-$m")" -gt "$(bytes none)" ]; then
      passed "$m takes its code with it"
    else
      failed "$m leaves its code behind"
    fi
  done
}

# From the sources as well: the linker drops what is left out. In the long run the command too.
from_make()
{
  for part in all none; do
    macros=-DLQ_WITHOUT_SIMD
    # shellcheck disable=SC2086
    [ $part = all ] || macros="$macros$(without $methods)"
    LQ_CHECK='' make --no-print-directory -j"$jobs" lib $([ "${LQ_LONG:-0}" = 1 ] && echo all) check CPPFLAGS="$macros" CFLAGS=-O1 \
      WERROR=1 BUILD="$work/make-$part" TESTS=tests/test_subset.c >"$work/make-$part.log" 2>&1 ||
      failed "make CPPFLAGS='$macros': $work/make-$part.log: $(tail -n 1 "$work/make-$part.log")"
    size "$work/make-$part/libquant.so" | awk 'NR == 2 { print $1 + $2 }' >"$work/make-$part.size"
  done
  if [ "$(bytes make-none)" -gt 0 ] && [ $(($(bytes make-none) * 2)) -lt "$(bytes make-all)" ]; then
    passed "libquant.so made without methods: $(bytes make-none) bytes, with all $(bytes make-all)"
  else
    failed "libquant.so made without methods: $(bytes make-none) bytes, with all $(bytes make-all)"
  fi
}

# A program in C++ with the object that a C compiler made.
from_cxx()
{
  cxx=${CXX:-$(command -v g++ || command -v clang++)}
  [ -n "$cxx" ] || return 0
  "$cxx" -I"$build/amalgamation" -o "$work/cxx" tests/header_cxx.cc "$work/gcc.o" -lm && "$work/cxx" &&
    passed "$cxx: a program with gcc's object" || failed "$cxx"
}

# The text does not depend on whose awk wrote it.
same_text()
{
  for awk in gawk mawk original-awk "busybox awk"; do
    have "${awk%% *}" || continue
    $awk -f lib/amalgamate.awk lib/sources.list | cmp - "$build/amalgamation/libquant.c" && passed "written by $awk" ||
      failed "$awk writes another file"
  done
}

# What CI has time for: the tests that see most of the library; in the long run all.
tests="tests/test_api.c tests/test_golden.c tests/test_golden_compute.c tests/test_gptq_golden.c tests/test_matmul_coded.c \
  tests/test_compare.c tests/test_packed.c tests/test_planes.c tests/cli_roundtrip.sh tests/symbols.sh"
[ "${LQ_LONG:-0}" = 1 ] && tests="$(echo tests/test_*.c tests/checkkern.c tests/*.sh | sed 's|tests/amalgamation.sh||')"

rm -rf "$work" && mkdir -p "$work" || exit 1
awk '!/^#/ && NF { print $1 }' lib/libquant.sym | sort >"$work/names"
"$build/tests/test_subset" | grep '^method=' | sort >"$work/digests"
[ -s "$work/digests" ] || { echo "no digests of $build/tests/test_subset"; exit 1; }
unset MAKEFLAGS MFLAGS
{
  same_text
  compilers | all_jobs
  subsets | all_jobs
  from_cxx
  from_make
  sizes
  LQ_CHECK='' make --no-print-directory -j"$jobs" check AMALGAMATION=1 BUILD="$build/amalgamation/build" TESTS="$tests" \
    CFLAGS=-O1 >"$work/tests.log" 2>&1 || failed "tests on the one file: $work/tests.log: $(tail -n 1 "$work/tests.log")"
  grep -E '^(ok|skip|FAIL) ' "$work/tests.log"
} | tee "$work/results"
bad=$(grep -c '^FAIL' "$work/results")
echo
echo "$(grep -c '^ok' "$work/results") passed, $bad failed"
[ "$bad" -eq 0 ]
