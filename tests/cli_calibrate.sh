#!/bin/sh
# Calibrated quantization of the example model: better than rounding, with correction of inputs better still, the same bytes for any number of threads and at every
# level, files that other programs load, a run that is killed and goes on, and one clear line for what goes wrong.
set -u
. "${0%/*}/cli.sh.inc"
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
model=$top/examples/model
text=$top/examples/text
few="--calibration $text/calibration.txt --samples 6 --seq-len 96"

# calibrate OUT OPTION...
calibrate()
{
  out=$1
  shift
  # shellcheck disable=SC2086 # words
  "$QUANT" quantize "$model" -o "$out" --method gptq $few --quiet --force "$@" || die "failed: $*"
}

perplexity()
{
  "$QUANT" eval "$1" --text "$text/test.txt" --windows 8 --ctx 256 --json | sed -n 's/^ *"perplexity": \([0-9.]*\),*$/\1/p' | head -n 1
}

less() # A B WHAT
{
  awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && b != "" && a + 0 < b + 0) }' || die "$3: $1 is not less than $2"
}

same() # A B WHAT
{
  for file in model.safetensors config.json; do
    cmp "$1/$file" "$2/$file" || die "$3: $file differs"
  done
}

# Calibration gains what it should.
"$QUANT" quantize "$model" -o "$scratch/rtn" --method rtn --bits 3 --group-size 64 --quiet || die rtn
calibrate "$scratch/gptq" --bits 3 --group-size 64
dense=$(perplexity "$model") nearest=$(perplexity "$scratch/rtn") chosen=$(perplexity "$scratch/gptq")
less "$dense" "$chosen" "the float model and gptq"
less "$chosen" "$nearest" "gptq and rounding to the nearest"
"$QUANT" quantize "$model" -o "$scratch/nf4" --nested --quiet || die nf4
calibrate "$scratch/gptq_nf4" --storage nf4 --nested
less "$(perplexity "$scratch/gptq_nf4")" "$(perplexity "$scratch/nf4")" "calibrated and plain nf4"
grep -q '"bnb_4bit_quant_type": "nf4"' "$scratch/gptq_nf4/config.json" || die "calibrated nf4 is not a bitsandbytes folder"
"$QUANT" inspect "$scratch/gptq_nf4" | grep -q '^nf4.*nested' || die "calibrated nf4 is not seen as nf4"
grep -q '"quant_method": "gptq"' "$scratch/gptq/config.json" || die "no quantization_config"
[ -f "$scratch/gptq/quantize_config.json" ] || die "no quantize_config.json"

# Correction of inputs gains more, and is told where the rest of the recipe is; none is the default.
calibrate "$scratch/corrected" --bits 3 --group-size 64 --input-correction 0.5
less "$(perplexity "$scratch/corrected")" "$chosen" "corrected and plain gptq"
for file in config.json quantize_config.json; do
  grep -q '"input_correction": 0.5' "$scratch/corrected/$file" || die "$file does not tell the correction"
  grep -q input_correction "$scratch/gptq/$file" && die "$file tells a correction"
done
calibrate "$scratch/way" --bits 3 --group-size 64 --input-correction 0
same "$scratch/gptq" "$scratch/way" "a correction of 0"

# ways FOLDER OPTION...: the same bytes however it is computed
ways()
{
  want=$1
  shift
  for way in '--threads 1' '--threads 3' '--cpu scalar' '--cpu avx2' '--spill'; do
    # shellcheck disable=SC2086 # words
    "$QUANT" quantize "$model" -o "$scratch/way" --method gptq $few --quiet --force "$@" $way 2>"$scratch/error" || {
      grep -q 'this machine has only' "$scratch/error" || { cat "$scratch/error"; die "$way: failed"; }
      continue
    }
    same "$want" "$scratch/way" "$way $*"
  done
}
ways "$scratch/gptq" --bits 3 --group-size 64
ways "$scratch/corrected" --bits 3 --group-size 64 --input-correction 0.5

# What other choices write is read again.
for choice in '--bits 4 --group-size 128 --asym' '--bits 2 --group-size 32 --asym --mse 2.4' '--bits 8 --group-size -1' \
  '--bits 4 --group-size 64 --dynamic-groups' '--bits 4 --group-size 64 --order groups --dynamic-groups' \
  '--bits 4 --group-size 128 --format native --nested' '--storage fp4 --block-size 32'; do
  # shellcheck disable=SC2086 # words
  calibrate "$scratch/choice" $choice
  "$QUANT" inspect "$scratch/choice" >/dev/null || die "$choice: inspect"
  less "$(perplexity "$scratch/choice")" 1000 "$choice"
done

# killed OTHER OPTION...: killed behind a finished layer, it goes on and gives the same bytes; the job folder is gone then.
# With the option OTHER it does not go on.
killed()
{
  other=$1
  shift
  rm -rf "$scratch/killed"
  # shellcheck disable=SC2086 # words
  "$QUANT" quantize "$model" -o "$scratch/killed" --method gptq $few --samples 60 --bits 3 --group-size 64 --quiet --threads 1 "$@" &
  job=$!
  while [ ! -f "$scratch/killed.quant-job/layer-00001.safetensors" ] && kill -0 $job 2>/dev/null; do
    sleep 0.01
  done
  kill -9 $job 2>/dev/null
  wait $job 2>/dev/null
  [ ! -e "$scratch/killed" ] || die "a killed run left an output"
  [ -f "$scratch/killed.quant-job/layer-00000.safetensors" ] || die "a killed run left no layer"
  # shellcheck disable=SC2086 # words
  "$QUANT" quantize "$model" -o "$scratch/killed" --method gptq $few --samples 60 --bits 3 --group-size 64 --quiet "$@" "$other" \
    --resume 2>"$scratch/error" && die "layers of another run were taken: $other"
  grep -q 'another model, text or options' "$scratch/error" || { cat "$scratch/error"; die "other layers: not told"; }
  calibrate "$scratch/killed" --samples 60 --bits 3 --group-size 64 "$@" --resume
  calibrate "$scratch/whole" --samples 60 --bits 3 --group-size 64 "$@"
  same "$scratch/killed" "$scratch/whole" "resumed"
  [ ! -e "$scratch/killed.quant-job" ] || die "the job folder stays"
}
killed --samples=61
killed --input-correction=0.5 --input-correction 0.25

# refuses STATUS TEXT ARGUMENT...: as fails, for quantize, and nothing is written
refuses()
{
  status=$1 words=$2
  shift 2
  fails "$status" "$words" quantize "$@" -o "$scratch/none" --quiet
  [ ! -e "$scratch/none" ] || die "something is written: $*"
}
echo short >"$scratch/short.txt"
refuses 2 'needs --calibration' "$model" --method gptq
refuses 1 'No such file' "$model" --method gptq --calibration "$scratch/nothing.txt"
refuses 1 'less than one sample' "$model" --method gptq --calibration "$scratch/short.txt"
refuses 2 'a model folder' "$model/model.safetensors" --method gptq --calibration "$text/calibration.txt"
refuses 1 'not a linear of a decoder layer' "$model" --method gptq --calibration "$text/calibration.txt" --include embed_tokens --format native
[ -z "$(ls -d "$scratch"/none* 2>/dev/null)" ] || die "a job folder is left by runs that failed at once"
exit $failed
