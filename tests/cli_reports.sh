#!/bin/sh
# What commands tell when they are not quiet, for people and as JSON; and runs that a full disk ended, which --resume takes up where
# they stopped.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
model=$top/examples/model
text=$top/examples/text
tiny=$LQ_VECTORS/checkpoints/tiny-llama-bf16
few="--calibration $text/calibration.txt --samples 4 --seq-len 64"
gptq="quantize $model --method gptq $few --force"

# says FILE TEXT...: each of them stands in the file
says()
{
  file=$1
  shift
  for words in "$@"; do
    grep -qF -- "$words" "$file" || { cat "$file"; die "no '$words'"; }
  done
}

# ---- calibrated ----

# shellcheck disable=SC2086 # words
"$QUANT" $gptq -o "$scratch/gptq" --bits 3 --group-size 64 --input-correction 0.5 >"$scratch/text" 2>&1 || die "gptq"
says "$scratch/text" 'calibration' '4 samples of 64 tokens from' 'damping' 'input correction 0.5' 'output error' 'against nearest' \
  'Largest output errors:' 'model.layers.0' 'of nearest'
# shellcheck disable=SC2086 # words
"$QUANT" $gptq -o "$scratch/gptq" --bits 3 --group-size 64 --input-correction 0.5 --json >"$scratch/text" 2>"$scratch/error" || die "gptq --json"
says "$scratch/text" '"calibration"' '"samples": 4' '"seq_len": 64' '"true_sequential"' '"input_correction": 0.5' '"output_error"' \
  '"error_against_nearest"' '"damping"' '"rows_observed"'
for choice in '--bits 4 --group-size 64 --dynamic-groups --order groups' '--storage fp4 --block-size 32' '--bits 8 --group-size -1'; do
  # shellcheck disable=SC2086 # words
  "$QUANT" $gptq -o "$scratch/gptq" $choice >"$scratch/text" 2>&1 || { cat "$scratch/text"; die "gptq $choice"; }
  case $choice in
  *order*) says "$scratch/text" 'order groups' 'dynamic groups' ;;
  *storage*) says "$scratch/text" 'onto fp4' ;;
  *) says "$scratch/text" 'whole rows' ;;
  esac
done

# ---- the other commands ----

"$QUANT" quantize "$tiny" -o "$scratch/nf4" --method nf4 >"$scratch/text" 2>&1 || die "quantize"
says "$scratch/text" nf4
"$QUANT" dequantize "$scratch/nf4" -o "$scratch/back" --json >"$scratch/text" 2>&1 || die "dequantize --json"
says "$scratch/text" '"tensors_restored"' '"bytes_before"' '"bytes_after"' '"seconds"'
"$QUANT" dequantize "$scratch/nf4" -o "$scratch/back" --force --dtype f32 >"$scratch/text" 2>&1 || die "dequantize"
says "$scratch/text" restored
"$QUANT" eval "$scratch/gptq" --text "$text/test.txt" --windows 2 --ctx 64 --base "$model" >"$scratch/text" 2>&1 || die "eval"
says "$scratch/text" base difference '(paired)' KL 'same top-1'
for verb in quantize dequantize inspect compare eval generate export bench; do
  "$QUANT" $verb --help >"$scratch/text" 2>&1 || die "$verb --help"
  says "$scratch/text" "quant $verb" --help
done

# ---- resumed ----

# The largest shard is the last one.
mkdir "$scratch/in"
cp "$LQ_VECTORS/sharded"/* "$scratch/in/"
mv "$scratch/in/model-00001-of-00003.safetensors" "$scratch/in/first"
mv "$scratch/in/model-00003-of-00003.safetensors" "$scratch/in/model-00001-of-00003.safetensors"
mv "$scratch/in/first" "$scratch/in/model-00003-of-00003.safetensors"
sed -e 's/-00001-/-x-/' -e 's/-00003-/-00001-/' -e 's/-x-/-00003-/' "$LQ_VECTORS/sharded/model.safetensors.index.json" \
  >"$scratch/in/model.safetensors.index.json"

# cut BLOCKS PART WORD...: ends where a file gets larger than that, with PART finished; goes on, and the bytes are the same
cut()
{
  blocks=$1 part=$2
  shift 2
  rm -rf "$scratch/cut" "$scratch/whole"
  "$QUANT" "$@" -o "$scratch/whole" --quiet || die "whole: $*"
  # Counters of coverage.sh go elsewhere: the limit would cut them.
  (ulimit -f "$blocks" && GCOV_PREFIX="$scratch/counters" GCOV_ERROR_FILE=/dev/null "$QUANT" "$@" -o "$scratch/cut" --quiet \
    2>"$scratch/error") && die "no limit: $*"
  says "$scratch/error" 'File too large' '--resume goes on from'
  [ -f "$scratch/cut.quant-job/$part" ] || { ls -R "$scratch/cut.quant-job"; die "$part is not finished: $*"; }
  "$QUANT" "$@" -o "$scratch/cut" --quiet --resume --verify || die "resume: $*"
  diff -r "$scratch/cut" "$scratch/whole" >/dev/null || die "not the same bytes: $*"
  [ ! -e "$scratch/cut.quant-job" ] || die "the job folder stays: $*"
}
cut 20 output/model-00001-of-00003.safetensors quantize "$scratch/in" --method nf4
"$QUANT" quantize "$scratch/in" -o "$scratch/packed" --quiet || die "packed"
cut 36 output/model-00001-of-00003.safetensors dequantize "$scratch/packed"
# shellcheck disable=SC2086 # words
cut 900 layer-00000.safetensors quantize "$model" --method gptq $few --bits 3 --group-size 64
exit $failed
