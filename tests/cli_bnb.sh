#!/bin/sh
# A model quantized by quant is the folder that transformers with bitsandbytes saves, byte for byte: at each level of
# instructions and for any number of threads. And what they saved is read back.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
models=$LQ_VECTORS/checkpoints

# same FOLDER REFERENCE WHAT
same()
{
  for file in model.safetensors config.json; do
    cmp "$1/$file" "$2/$file" || die "$3: $file differs"
  done
}

# each REFERENCE OPTION...: all levels that this machine has, some numbers of threads
each()
{
  reference=$models/$1
  shift
  levels=0
  for level in scalar avx2 avx512 avx512vbmi neon; do
    "$QUANT" quantize "$models/tiny-llama-bf16" -o "$scratch/out" --quiet --cpu $level "$@" 2>"$scratch/error" || {
      grep -q 'this machine has only' "$scratch/error" || { cat "$scratch/error"; die "$level $*: failed"; }
      continue
    }
    levels=$((levels + 1))
    same "$scratch/out" "$reference" "$level $*"
    rm -rf "$scratch/out"
  done
  [ $levels -gt 0 ] || die "$*: no level ran"
  for threads in 1 2 3 8; do
    "$QUANT" quantize "$models/tiny-llama-bf16" -o "$scratch/out" --quiet --threads $threads "$@" || die "$threads threads $*: failed"
    same "$scratch/out" "$reference" "$threads threads $*"
    rm -rf "$scratch/out"
  done
}

each tiny-llama-bnb-nf4-dq --method nf4 --nested --compat bitsandbytes-cpu
each tiny-llama-bnb-int8 --method int8 --compat bitsandbytes-cpu

# The comparison can fail: without compat the nested scales are the nearest, not the reference's.
"$QUANT" quantize "$models/tiny-llama-bf16" -o "$scratch/out" --quiet --nested || die "without compat: failed"
cmp -s "$scratch/out/model.safetensors" "$models/tiny-llama-bnb-nf4-dq/model.safetensors" && die "compat makes no difference"

# Reading their files: checked, restored, and as close to the original as the method is.
for name in tiny-llama-bnb-nf4-dq:nf4:0.0 tiny-llama-bnb-int8:int8:0.00; do
  folder=${name%%:*}
  error=${name##*:}
  method=${name#*:}
  method=${method%:*}
  "$QUANT" inspect "$models/$folder" >"$scratch/text" || die "$folder: inspect failed"
  grep -q "^$method.* 14 .*294,912" "$scratch/text" || { cat "$scratch/text"; die "$folder: inspect tells something else"; }
  "$QUANT" dequantize "$models/$folder" -o "$scratch/$method" --quiet || die "$folder: dequantize failed"
  cmp "$scratch/$method/config.json" "$models/tiny-llama-bf16/config.json" || die "$folder: config.json of the restored model"
  "$QUANT" compare "$models/tiny-llama-bf16" "$scratch/$method" >"$scratch/text" || die "$folder: compare failed"
  grep -q "21 tensors compared, 7 equal, 14 differ; relative error of these $error" "$scratch/text" ||
    { cat "$scratch/text"; die "$folder: compare tells something else"; }
done
exit $failed
