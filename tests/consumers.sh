#!/bin/sh
# Programs that use libquant as others would (`make check-consumers`): installed and found by pkg-config, from CMake and from
# meson; as a subproject of meson; as two files in their own sources. Each prints what the same program prints here.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = consumers ] || { echo "runs with make check-consumers"; exit 77; }
build=${LQ_BUILD:?}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
# With the variables of this run, so that nothing is made again; without its job server.
case ${MAKEFLAGS-} in
*'-- '*) export MAKEFLAGS="-- ${MAKEFLAGS#*-- }" ;;
*) unset MAKEFLAGS ;;
esac
root=$scratch/root
export PKG_CONFIG_PATH=$root/lib/pkgconfig LD_LIBRARY_PATH=$root/lib
good=0 bad=0

program() # NAME PROGRAM: runs it and compares
{
  if "$2" >"$scratch/output" 2>&1 && cmp -s "$scratch/output" "$scratch/expected"; then
    echo "ok    $1"
    good=$((good + 1))
  else
    echo "FAIL  $1"
    tail -n 20 "$scratch/output" "$scratch/log"
    bad=$((bad + 1))
  fi
}

have()
{
  command -v "$1" >/dev/null 2>&1 || { echo "skip  no $1"; return 1; }
}

try() # COMMAND...: quietly
{
  "$@" >>"$scratch/log" 2>&1
}

try make --no-print-directory install BUILD="$build" PREFIX="$root" || { cat "$scratch/log"; exit 1; }
try "${CC:-cc}" -Iinclude -o "$scratch/here" examples/quantize_tensor.c "$build/libquant.a" \
  $([ "${OPENMP:-0}" = 1 ] && echo -fopenmp) -lm && "$scratch/here" >"$scratch/expected" || { cat "$scratch/log"; exit 1; }

if have pkg-config; then
  # shellcheck disable=SC2046 # words
  try "${CC:-cc}" -o "$scratch/shared" examples/quantize_tensor.c $(pkg-config --cflags --libs libquant)
  program "pkg-config, shared" "$scratch/shared"
  rm "$root"/lib/libquant.so*
  # shellcheck disable=SC2046
  try "${CC:-cc}" -o "$scratch/static" examples/quantize_tensor.c $(pkg-config --static --cflags --libs libquant)
  program "pkg-config, static" "$scratch/static"
  try make --no-print-directory install BUILD="$build" PREFIX="$root"
fi

if have cmake && have pkg-config; then
  try cmake -S examples/cmake -B "$scratch/cmake" && try cmake --build "$scratch/cmake"
  program "CMake, pkg-config" "$scratch/cmake/quantize_tensor"
fi

if have meson && have ninja && have pkg-config; then
  cp -R examples/quantize_tensor.c examples/meson-subproject "$scratch"
  try meson setup "$scratch/installed" "$scratch/meson-subproject" && try ninja -C "$scratch/installed"
  program "meson, pkg-config" "$scratch/installed/quantize_tensor"

  ln -s "$PWD" "$scratch/meson-subproject/subprojects/libquant"
  try meson setup "$scratch/within" "$scratch/meson-subproject" --wrap-mode=forcefallback -Dbuildtype=plain \
    -Dlibquant:openmp=disabled && try ninja -C "$scratch/within"
  program "meson, subproject" "$scratch/within/quantize_tensor"
fi

try "${CC:-cc}" -std=c11 -O1 -I"$build/amalgamation" -o "$scratch/vendored" examples/quantize_tensor.c \
  "$build/amalgamation/libquant.c" -lm
program "two files, one command" "$scratch/vendored"

echo
echo "$good passed, $bad failed"
[ $bad -eq 0 ]
