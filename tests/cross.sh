#!/bin/sh
# Other machines: library, tool and tests are built for each target that has a compiler here and run under its emulator; the
# tool has to write the bytes that it writes on this machine. Behind `make check-cross`; TARGETS="s390x i386" chooses, and
# TESTS="tests/test_x.c" which tests. Emulated, the longest take a part of their cases (test_takes in tests/harness.h), with
# LQ_LONG=1 all.
#
# docs/platforms.md lists targets and packages.
set -u
[ "${LQ_CHECK:-}" = cross ] || { echo "make check-cross runs it"; exit 77; }
cd "$(dirname "$0")/.." || exit 1
out=$LQ_BUILD/cross
host=$QUANT
jobs=${JOBS:-1}
all="aarch64 aarch64-a53 armhf riscv64 s390x i386 musl windows"
export WINEPREFIX="${WINEPREFIX:-$out/wine}" WINEDEBUG=-all
unset CC AR CPPFLAGS CFLAGS LDFLAGS OPENMP EMULATOR LIBQUANT MAKEFLAGS MAKEOVERRIDES MFLAGS
mkdir -p "$out" || exit 1
long=${LQ_LONG:-0} optimize=-O1
[ "$long" != 1 ] || optimize=-O2
unset LQ_LONG # more tests, not longer ones
passed=0 failed=0 skipped=0

# CC, emulator and the folder of objects of a target; both aarch64 share one.
describe() # TARGET
{
  flags= ar= exe= openmp=0 build=$out/$1
  case $1 in
  aarch64) cc=aarch64-linux-gnu-gcc emulator="qemu-aarch64 -cpu max" ;;
  aarch64-a53) cc=aarch64-linux-gnu-gcc emulator="qemu-aarch64 -cpu cortex-a53" build=$out/aarch64 ;;
  armhf) cc=arm-linux-gnueabihf-gcc emulator="qemu-arm -cpu cortex-a15" flags=-mfpu=vfpv4 ;;
  riscv64) cc=riscv64-linux-gnu-gcc emulator=qemu-riscv64 ;;
  s390x) cc=s390x-linux-gnu-gcc emulator=qemu-s390x ;;
  i386) cc=gcc emulator= flags="-m32 -idirafter /usr/include/$(gcc -print-multiarch)" ;;
  musl) cc=musl-gcc emulator= ar=ar ;;
  windows) cc=x86_64-w64-mingw32-gcc emulator=wine exe=.exe openmp=1 ;;
  *) return 1 ;;
  esac
  ar=${ar:-${cc%gcc}ar}
}

missing() # what the target needs and is not here
{
  for command in ${cc%% *} ${emulator%% *}; do
    command -v "$command" >/dev/null 2>&1 || { echo "no $command"; return; }
  done
  echo 'int main(void) { return 0; }' >"$out/empty.c"
  # shellcheck disable=SC2086
  $cc $flags -static "$out/empty.c" -o "$out/empty$exe" >/dev/null 2>&1 || { echo "$cc $flags cannot link"; return; }
  $emulator "$out/empty$exe" >/dev/null 2>&1 </dev/null || echo "what it links does not run"
}

tests=${LQ_TESTS:-$(echo tests/test_*.c tests/checkkern.c)}

make_for() # TARGET GOAL...
{
  shift
  make -j"$jobs" BUILD="$build" CC="$cc $flags" AR="$ar" LDFLAGS=-static OPENMP=$openmp WERROR=1 \
    EMULATOR="$emulator" HARDEN= CFLAGS="$optimize -g0" "$@"
}

quant() # the target's tool
{
  $emulator "$build/quant$exe" "$@" </dev/null
}

# The tool's outputs of this machine, which those of a target must equal.
methods="nf4 fp4 int8 dynamic8 rtn"
calibrated="--method gptq --calibration examples/text/calibration.txt --samples 2 --seq-len 16 --include layers.0"
reference()
{
  rm -rf "$out/here" && mkdir -p "$out/here" || return 1
  for method in $methods; do
    "$host" quantize examples/model -o "$out/here/$method" --method "$method" --quiet &&
      "$host" dequantize "$out/here/$method" -o "$out/here/$method.dense" --quiet || return 1
  done
  "$host" quantize examples/model -o "$out/here/nested" --nested --quiet &&
    "$host" quantize examples/model -o "$out/here/gptq" $calibrated --quiet && "$host" compare examples/model "$out/here/nf4" >"$out/here/compare.txt"
}

same() # WHAT A B
{
  diff -r "$2" "$3" >/dev/null 2>&1 && return
  echo "$1: $2 and $3 differ"
  return 1
}

check_tool() # TARGET
{
  there=$build/there
  rm -rf "$there" && mkdir -p "$there" || return 1
  for method in $methods; do
    quant quantize examples/model -o "$there/$method" --method "$method" --quiet &&
      same "$method" "$out/here/$method" "$there/$method" || return 1
    # what this machine wrote, read there
    quant dequantize "$out/here/$method" -o "$there/$method.dense" --quiet &&
      same "$method dense" "$out/here/$method.dense" "$there/$method.dense" || return 1
  done
  quant quantize examples/model -o "$there/nested" --nested --quiet &&
    same nested "$out/here/nested" "$there/nested" || return 1
  # Inputs of layers are made with exp and cos, whose last bits are those of the C library.
  quant quantize examples/model -o "$there/gptq" $calibrated --quiet || return 1
  [ "$1" = musl ] || [ "$1" = windows ] || same gptq "$out/here/gptq" "$there/gptq" || return 1
  quant inspect "$out/here/gptq" >"$there/inspect.txt" && quant compare examples/model "$out/here/nf4" \
    >"$there/compare.txt" && same compare "$out/here/compare.txt" "$there/compare.txt" || return 1
  check_output && { [ -z "$exe" ] || check_windows; }
}

# Old outputs stay without --force and are replaced with it; blanks and letters of any kind in names.
check_output()
{
  odd="$there/two words é 語"
  mkdir -p "$odd" || return 1
  quant quantize examples/model -o "$odd/a b" --quiet && same "odd names" "$out/here/nf4" "$odd/a b" || return 1
  ! quant quantize examples/model -o "$odd/a b" --method int8 --quiet 2>/dev/null &&
    same "not replaced" "$out/here/nf4" "$odd/a b" || return 1
  quant quantize examples/model -o "$odd/a b" --method int8 --quiet --force &&
    same replaced "$out/here/int8" "$odd/a b" || return 1
  for n in 1 2; do
    quant quantize examples/model/model.safetensors -o "$odd/one ü.safetensors" --quiet --force || return 1
  done
  [ "$(find "$odd" -mindepth 1 | wc -l)" -eq "$(($(find "$out/here/int8" | wc -l) + 1))" ] ||
    { echo "something was left:" && find "$odd" && return 1; }
  ! quant quantize examples/model -o examples/model/inside --quiet 2>/dev/null || { echo "output in the input"; return 1; }
}

run() # TARGET
{
  log=$out/$1.log
  begin=$(date +%s)
  LQ_SMALL=
  case $emulator,$long in qemu*,0) LQ_SMALL=1 ;; esac
  export LQ_SMALL LQ_ONE_THREAD=$LQ_SMALL
  make_for "$1" "$build/quant$exe" >"$log" 2>&1 &&
    rm -f "$build"/tests/*.log &&
    make_for "$1" check TESTS="$tests" >>"$log" 2>&1
  status=$?
  counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  checks=$(cat "$build"/tests/*.log | awk '/^[a-z_0-9]+: [0-9]+ checks, / { n += $2 } END { print n + 0 }')
  tool="not run"
  if [ -x "$build/quant$exe" ]; then
    tool="same bytes"
    check_tool "$1" >>"$log" 2>&1 || { tool="FAIL" status=1; }
  fi
  if [ $status -eq 0 ]; then verdict=ok passed=$((passed + 1)); else verdict=FAIL failed=$((failed + 1)); fi
  printf '%-4s  %-12s %4d s  tests %s; %s checks; tool %s\n' $verdict "$1" $(($(date +%s) - begin)) "${counts:-not run}" "$checks" "$tool"
  [ $verdict = ok ] || tail -n 30 "$log" | sed 's/^/      /'
}

. tests/cross_windows.sh.inc
reference >"$out/here.log" 2>&1 || { echo "the tool fails on this machine:" && cat "$out/here.log" && exit 1; }
for target in ${TARGETS:-$all}; do
  describe "$target" || { echo "no such target: $target (there are: $all)"; exit 2; }
  why=$(missing)
  if [ -n "$why" ]; then
    skipped=$((skipped + 1))
    printf '%-4s  %-12s         %s\n' skip "$target" "$why"
  else
    run "$target"
  fi
done

printf '\n%d passed, %d failed' $passed $failed
[ $skipped -eq 0 ] || printf ', %d skipped' $skipped
echo
[ $failed -eq 0 ]
