#!/bin/sh
# Every example in C and C++ builds without a warning and runs, with the static library and with the shared one as they lie
# in the build folder. The engine gives the tokens of the tool.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${LQ_BUILD:-build}
shared=${LIBQUANT:-$build/libquant.so}
quant=${QUANT:-$build/quant}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0
warnings='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'
cxx=${CXX:-$(command -v g++ || command -v clang++)}
openmp=
[ "${OPENMP:-1}" != 1 ] || openmp=-fopenmp

result() # STATUS NAME
{
  if [ "$1" -eq 0 ]; then
    passed=$((passed + 1))
    echo "ok      $2"
  else
    failed=$((failed + 1))
    echo "FAILED  $2"
  fi
}

try() # SOURCE LINKAGE COMPILER LIBRARY...
{
  source=$1 linkage=$2 compiler=$3
  program=$scratch/$(basename "${source%.*}")_$linkage
  shift 3
  # shellcheck disable=SC2086 # words
  $compiler $warnings -Iinclude ${CPPFLAGS:-} ${CFLAGS:-} -o "$program" "$source" "$@" ${LDFLAGS:-} -pthread -lm &&
    "$program" >"$scratch/out" 2>&1
  status=$?
  sed 's/^/        /' "$scratch/out"
  result $status "$source, $linkage library"
}

for source in examples/*.c examples/*.cc; do
  compiler=${CC:-cc}
  case $source in
  *.cc)
    [ -n "$cxx" ] || { echo "skip    $source: no C++ compiler"; continue; }
    compiler="$cxx -std=c++17 -Wold-style-cast -Wnon-virtual-dtor"
    ;;
  esac
  # shellcheck disable=SC2086
  try "$source" static "$compiler" "$build/libquant.a" $openmp
  [ ! -e "$shared" ] || try "$source" shared "$compiler" -L"${shared%/*}" -lquant -Wl,-rpath,"$(cd "${shared%/*}" && pwd)"
done

# From a file of the tool the engine computes what it computes from float weights that it quantizes itself, to the bit;
# and the tokens are those of `quant generate`, which has a network of its own.
if [ -x "$quant" ] && [ -x "$scratch/engine_static" ]; then
  "$quant" quantize examples/model -o "$scratch/nf4" --method nf4 --nested --quiet &&
    "$scratch/engine_static" "$scratch/nf4" >"$scratch/file" && "$scratch/engine_static" >"$scratch/float"
  result $? "engine, a quantized checkpoint"
  for out in file float; do
    sed -n 's/.* in use: //p; /^tokens/p' "$scratch/$out" >"$scratch/$out.bits"
  done
  [ -s "$scratch/file.bits" ] && cmp "$scratch/file.bits" "$scratch/float.bits"
  result $? "engine, the same bits from both"
  "$quant" generate "$scratch/nf4" --prompt ' The city was' --tokens 20 --json --quiet >"$scratch/json"
  tr -d ' ,' <"$scratch/json" | sed -n '/"prompt_ids"/,/stopped_by/s/^\([0-9][0-9]*\)$/\1/p' | tr '\n' ' ' >"$scratch/expected"
  sed -n 's/^tokens //p' "$scratch/file" | tr '\n' ' ' | cmp - "$scratch/expected"
  result $? "engine, the tokens of quant generate"
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
