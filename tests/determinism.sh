#!/bin/sh
# Results are the same bytes from every compiler and on every machine: tests/test_hashes.c, built one way after another, is
# compared with tests/vectors/hashes.txt. `make check-determinism` runs all ways; PARTS="gcc-O3 s390x" some of them.
# Under `make check` the program itself runs at all levels and threads of this machine, so here nothing is left to do.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = determinism ] || { echo "asked for by make check-determinism"; exit 77; }
out=${LQ_BUILD:-$PWD/build}/determinism
parts=${PARTS:-gcc-O0 gcc-O3 clang gcc-32 aarch64 s390x riscv64}
unset CC CPPFLAGS CFLAGS LDFLAGS OPENMP
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
passed=0 failed=0 skipped=0 checks=0

skip() # PART REASON
{
  skipped=$((skipped + 1))
  echo "skip  $1: $2"
}

# PART RUNNER MAKE-VARIABLE... The runner, if there is one, must be there, and the compiler able to make a program.
way()
{
  part=$1 runner=$2
  shift 2
  case " $parts " in *" $part "*) ;; *) return ;; esac
  compiler=$(printf '%s\n' "$@" | sed -n 's/^CC=//p')
  command -v "${runner:-true}" >/dev/null || { skip "$part" "no $runner"; return; }
  # shellcheck disable=SC2086 # a compiler with its flag
  echo 'int main(void) { return 0; }' | $compiler -x c - -o /dev/null 2>/dev/null ||
    { skip "$part" "$compiler makes no programs"; return; }
  mkdir -p "$out/$part"
  program=$out/$part/tests/test_hashes
  # Few threads under an emulator, where they show nothing.
  if make -j"$jobs" BUILD="$out/$part" "$@" "$program" >"$out/$part/make.log" 2>&1 &&
    LQ_ONE_THREAD=$runner LQ_VECTORS=tests/vectors $runner "$program" >"$out/$part/log" 2>&1; then
    passed=$((passed + 1))
    checks=$((checks + $(sed -n 's/^test_hashes: \([0-9]*\) checks.*/\1/p' "$out/$part/log")))
    echo "ok    $part: $(tail -n 1 "$out/$part/log")"
  else
    failed=$((failed + 1))
    echo "FAIL  $part:"
    tail -n 20 "$out/$part/make.log" "$out/$part/log"
  fi
}

way gcc-O0 '' CC=gcc CFLAGS=-O0
way gcc-O3 '' CC=gcc CFLAGS=-O3
way clang '' CC=clang CFLAGS=-O2 OPENMP=0
way gcc-32 '' CC='gcc-12 -m32' CFLAGS=-O2 OPENMP=0
way aarch64 qemu-aarch64 CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar CFLAGS=-O2 LDFLAGS=-static OPENMP=0
way s390x qemu-s390x CC=s390x-linux-gnu-gcc AR=s390x-linux-gnu-ar CFLAGS=-O2 LDFLAGS=-static OPENMP=0
way riscv64 qemu-riscv64 CC=riscv64-linux-gnu-gcc AR=riscv64-linux-gnu-ar CFLAGS=-O2 LDFLAGS=-static OPENMP=0

echo "$passed passed, $failed failed, $skipped skipped; $checks comparisons"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
