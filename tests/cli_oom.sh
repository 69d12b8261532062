#!/bin/sh
# The tool without memory: allocation 1, 2, 3, ... fails, once and from there on. It ends with status 1 and one line, leaves no
# output, and leaks nothing (in a build with the address sanitizer). And how much memory a hostile file can make it ask for.
# `make check` takes some allocations of each verb; `make check-oom` (LQ_OOM=all) takes every one, under sanitizers.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}" "${LQ_BUILD:?}"
build_faulty 2>"$scratch/error" || { tail -n 3 "$scratch/error"; echo "the tool cannot be linked with failing allocations"; exit 77; }
most=${LQ_OOM:-24}
runs=0
tiny=$LQ_VECTORS/checkpoints/tiny-llama-bf16
quantized=$LQ_VECTORS/checkpoints/tiny-llama-bnb-nf4-dq
sharded=$LQ_VECTORS/sharded
top=$(cd "$(dirname "$0")/.." && pwd)/examples
model=$top/model
ids=$LQ_VECTORS/networks/llama.safetensors:tokens
out=$scratch/p/out
mkdir "$scratch/p"

bad()
{
  cat "$scratch/error"
  ls -lA "$scratch/p"
  die "allocation $k of $count: $*"
}

# without K ARGUMENT...: one run
without()
{
  k=$1
  shift
  runs=$((runs + 1))
  LQ_ALLOC_FAIL=$k "$faulty" "$@" >"$scratch/text" 2>"$scratch/error"
  got=$?
  case $got in
  0) # what can be done without that block
    [ -z "$writes" ] || diff -r "$scratch/whole" "$out" >/dev/null || bad "success with another result: $*"
    [ -n "$writes" ] || grep -v -e second "$scratch/text" | cmp -s - "$scratch/whole.text" || bad "success with another text: $*"
    ;;
  1)
    [ "$(grep -c . "$scratch/error")" -eq 1 ] && grep -q '^quant: error: .*out of memory' "$scratch/error" || bad "not one line: $*"
    [ ! -e "$out" ] || bad "an output is left: $*"
    ;;
  *) bad "exit status $got: $*" ;;
  esac
  [ -z "$(ls -A "$scratch/p" | grep -v -x -e out -e out.quant-job)" ] || bad "something is left: $*"
  rm -rf "$scratch/p/"*
}

# every WRITES ARGUMENT...: each allocation of a verb; WRITES: "" or "-o"
every()
{
  writes=$1
  shift
  [ -z "$writes" ] || set -- "$@" -o "$out"
  [ "$1" = inspect ] || set -- "$@" --threads 1
  LQ_FAULTS_FILE=$scratch/counts "$faulty" "$@" >"$scratch/text" 2>"$scratch/error" || { count=0 k=0; bad "with memory: $*"; return; }
  rm -rf "$scratch/whole"
  [ -z "$writes" ] || mv "$out" "$scratch/whole"
  grep -v -e second "$scratch/text" >"$scratch/whole.text"
  read -r count rest <"$scratch/counts"
  for k in $(awk -v n="$count" -v most="$most" 'BEGIN {
    if (most == "all" || most > n) most = n
    for (i = 0; i < most; i++) print 1 + int(i * n / most)
  }'); do
    without "$k" "$@"
    without "$k+" "$@"
  done
}

every "" inspect "$sharded" --json
every "" inspect "$quantized"
every -o quantize "$sharded" --method nf4 --nested --quiet
every -o quantize "$sharded/model-00001-of-00003.safetensors" --method int8 --quiet
every -o dequantize "$quantized" --quiet
every "" compare "$tiny" "$quantized"
every "" eval "$quantized" --tokens "$ids" --ctx 24
every "" generate "$model" --prompt The --tokens 2
every -o quantize "$tiny" --method gptq --include v_proj --include down_proj --group-size 32 --calibration "$ids" --samples 1 --seq-len 16 --quiet
echo "$((runs - findings)) passed, $findings failed"
exit $failed
