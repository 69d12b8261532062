#!/bin/sh
# What goes wrong: one clear line, the right exit status, and nothing left behind beside the output.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
mounted=
trap '[ -z "$mounted" ] || umount "$mounted"; rm -rf "$scratch"' EXIT
model=$LQ_VECTORS/sharded
tiny=$LQ_VECTORS/checkpoints/tiny-llama-bf16
out=$scratch/parent/out
mkdir "$scratch/parent"

# refuses STATUS TEXT ARGUMENT...: as fails, and nothing is left in the output's parent folder
refuses()
{
  fails "$@"
  [ -z "$(ls -A "$scratch/parent")" ] || { ls -A "$scratch/parent"; die "something is left: $*"; }
  rm -rf "$scratch/parent/out" "$scratch/parent"/.[!.]*
}

# The command line.
refuses 2 'a verb is missing'
refuses 2 "did you mean 'quantize'?" quantise x
refuses 2 '--output is missing' quantize "$model"
refuses 2 'there is no verb' frobnicate
refuses 2 'unknown option --blok-size; did you mean --block-size?' quantize "$model" -o "$out" --blok-size 32
refuses 2 'foo' quantize "$model" -o "$out" --method foo
refuses 2 '--block-size' quantize "$model" -o "$out" --block-size 0
refuses 2 'has block sizes 32, 64' quantize "$model" -o "$out" --block-size 48 --format bitsandbytes
refuses 2 'has no dynamic8' quantize "$model" -o "$out" --method dynamic8 --format bitsandbytes
refuses 2 'one scale a row' quantize "$model" -o "$out" --method int8 --block-size 64
refuses 2 'one scale a row' quantize "$model" -o "$out" --method int8 --nested
refuses 2 '--threshold goes with' quantize "$model" -o "$out" --threshold 6
refuses 2 '--threads' quantize "$model" -o "$out" --threads 0
refuses 2 'there is no such level' quantize "$model" -o "$out" --cpu fast
refuses 2 'the output would be the input' quantize "$model" -o "$model"
refuses 2 'the output would be inside the input' quantize "$model" -o "$model/out"
refuses 1 'there is no folder' quantize "$model/model-00001-of-00003.safetensors" -o "$out/out"
refuses 2 '--size' bench --size 12

# Patterns.
refuses 1 "no tensor matches --include 'nosuch'" quantize "$model" -o "$out" --include nosuch
refuses 1 "no tensor matches --exclude 'up'" quantize "$model" -o "$out" --exclude up
refuses 1 'model.position_ids (I64, matches' quantize "$model" -o "$out" --include position_ids
refuses 1 'less than two dimensions' quantize "$model" -o "$out" --include model.norm
refuses 1 'transformers does not load embeddings' quantize "$model" -o "$out" --include embed_tokens
refuses 1 'the layout holds matrices' quantize "$model" -o "$out" --include model.layers.0.mlp.experts
refuses 1 'there is no tensor to quantize' quantize "$model" -o "$out" --exclude '*'

# Inputs.
mkdir "$scratch/empty" "$scratch/old"
refuses 1 'No such file' quantize "$scratch/nothing" -o "$out"
refuses 1 'not a Hugging Face model folder' quantize "$scratch/empty" -o "$out"
echo text >"$scratch/text.safetensors"
refuses 1 'text.safetensors' quantize "$scratch/text.safetensors" -o "$out"
cp "$model"/* "$scratch/empty/"
rm "$scratch/empty/model-00002-of-00003.safetensors"
refuses 1 'model-00002-of-00003.safetensors' quantize "$scratch/empty" -o "$out"
refuses 1 'already quantized with int8' quantize "$LQ_VECTORS/checkpoints/tiny-llama-bnb-int8" -o "$out"
refuses 1 'is already quantized' quantize "$LQ_VECTORS/checkpoints/tiny-llama-bnb-nf4-dq/model.safetensors" -o "$out"
refuses 1 'no quantized tensor' dequantize "$model" -o "$out"
refuses 1 'no quantized tensor' dequantize "$tiny/model.safetensors" -o "$out"
refuses 1 'there is no folder' quantize "$model" -o "$scratch/parent/no/such/folder"
sed 's/"llama"/"gpt2"/' "$model/config.json" >"$scratch/empty/config.json"
cp "$model/model-00002-of-00003.safetensors" "$scratch/empty/"
refuses 1 'keep their weights transposed' quantize "$scratch/empty" -o "$out"

# A weight that is not a number, in the second shard: row and column are named, and what the other policies do.
cp "$model/config.json" "$scratch/empty/"
header=$(od -A n -t u8 -N 8 "$scratch/empty/model-00002-of-00003.safetensors" | tr -d ' ')
begin=$(head -c $((8 + header)) "$scratch/empty/model-00002-of-00003.safetensors" | tr '{' '\n' | grep -a -A 1 'layers.1.mlp.up_proj.weight' |
  sed -n 's/.*"data_offsets":\[\([0-9]*\),.*/\1/p' | tail -n 1)
poke() # BYTES: as the first element of row 2
{
  printf "$1" | dd of="$scratch/empty/model-00002-of-00003.safetensors" bs=1 seek=$((8 + header + begin + 2 * 64)) conv=notrunc 2>/dev/null
}
poke '\000\176'
refuses 1 'model.layers.1.mlp.up_proj.weight: weight [2, 0] is nan' quantize "$scratch/empty" -o "$out" --quiet
"$QUANT" quantize "$scratch/empty" -o "$scratch/kept" --nonfinite keep --quiet || die "--nonfinite keep failed"
"$QUANT" inspect "$scratch/kept" --tensors | grep -q 'layers.1.mlp.up_proj.weight .* f16 ' || die "keep: not kept"
grep -qF '"model.layers.1.mlp.up_proj"' "$scratch/kept/config.json" || die "keep: not named in config.json"
"$QUANT" quantize "$scratch/empty" -o "$scratch/saturated" --nonfinite saturate | grep -q 'not finite *1 ' || die "saturate: not told"
"$QUANT" inspect "$scratch/saturated" >/dev/null || die "saturate: not readable"
poke '\000\374'
refuses 1 'model.layers.1.mlp.up_proj.weight: weight [2, 0] is -inf' quantize "$scratch/empty" -o "$out" --quiet

# A plane that is missing or damaged.
"$QUANT" quantize "$tiny/model.safetensors" -o "$scratch/good.safetensors" --quiet || die "good.safetensors"
sed 's/"blocksize": 64/"blocksize": 46/' "$scratch/good.safetensors" >"$scratch/bad.safetensors"
refuses 1 '.weight: ' inspect "$scratch/bad.safetensors"
refuses 1 '.weight: ' dequantize "$scratch/bad.safetensors" -o "$out"
sed 's/mlp.up_proj.weight.absmax"/mlp.up_proj.weight.absmix"/' "$scratch/good.safetensors" >"$scratch/bad.safetensors"
refuses 1 'up_proj.weight: ' inspect "$scratch/bad.safetensors"

# An output that exists.
mkdir "$scratch/old/out"
echo mine >"$scratch/old/out/notes.txt"
refuses 1 'exists already; --force replaces it' quantize "$model" -o "$scratch/old/out"
refuses 1 'is not replaced' quantize "$model" -o "$scratch/old/out" --force
[ "$(cat "$scratch/old/out/notes.txt")" = mine ] || die "a folder that is no model was replaced"

# No room: a limit on file size, a full disk, a full standard output.
# Counters of coverage.sh go elsewhere: the limit would cut them.
export GCOV_PREFIX="$scratch/counters" GCOV_ERROR_FILE=/dev/null
(failed=0 && ulimit -f 8 && refuses 1 'File too large' quantize "$tiny" -o "$out" && exit $failed) || die "file size limit"
unset GCOV_PREFIX GCOV_ERROR_FILE
if [ "$(id -u)" = 0 ] && mkdir "$scratch/disk" && mount -t tmpfs -o size=256k tmpfs "$scratch/disk" 2>/dev/null; then
  mounted=$scratch/disk
  for verb in quantize dequantize; do
    from=$tiny
    [ $verb = quantize ] || from=$LQ_VECTORS/checkpoints/tiny-llama-bnb-nf4-dq
    refuses 1 'and the disk has' $verb "$from" -o "$mounted/out"
    [ -z "$(ls -A "$mounted")" ] || { ls -lA "$mounted"; die "something is left on the full disk"; }
  done
  # Calibrated layers lie there beside the model they become.
  mount -o remount,size=500k "$mounted"
  set -- "$tiny" -o "$mounted/out" --method gptq --group-size 32 --samples 1 --seq-len 16 \
    --calibration "$LQ_VECTORS/networks/llama.safetensors:tokens"
  refuses 1 'and the disk has' quantize "$@"
  mount -o remount,size=1m "$mounted"
  "$QUANT" quantize "$@" --quiet || die "there is room for a calibrated model"
fi
if [ -c /dev/full ]; then
  "$QUANT" inspect "$model" >/dev/full 2>"$scratch/error" && die "a full standard output is no error"
  grep -q '^quant: error: .*No space left on device' "$scratch/error" || die "a full standard output is not told"
fi

# A signal in the middle: nothing stays, the status says which.
tensors=16 bytes=33554432 entries=
i=0
while [ $i -lt $tensors ]; do
  entries="$entries,\"layers.$i.weight\":{\"dtype\":\"BF16\",\"shape\":[4096,4096],\"data_offsets\":[$((i * bytes)),$(((i + 1) * bytes))]}"
  i=$((i + 1))
done
entries="{${entries#,}}"
length=${#entries}
{
  # shellcheck disable=SC2059 # the format is made of octal escapes
  printf "$(printf '\\%03o\\%03o\\0\\0\\0\\0\\0\\0' $((length % 256)) $((length / 256)))"
  printf '%s' "$entries"
} >"$scratch/sparse.safetensors"
dd if=/dev/null of="$scratch/sparse.safetensors" bs=1 seek=$((8 + length + tensors * bytes)) 2>/dev/null
for signal in INT:130 TERM:143; do
  # A background job of a shell without job control ignores SIGINT, and so would the tool; env gives it back where it can.
  if [ ${signal%:*} = INT ]; then
    env --default-signal=INT true 2>/dev/null || continue
    env --default-signal=INT "$QUANT" quantize "$scratch/sparse.safetensors" -o "$out" --cpu scalar --quiet 2>"$scratch/error" &
  else
    "$QUANT" quantize "$scratch/sparse.safetensors" -o "$out" --cpu scalar --quiet 2>"$scratch/error" &
  fi
  job=$!
  while [ -z "$(ls -A "$scratch/parent")" ] && kill -0 $job 2>/dev/null; do
    sleep 0.01
  done
  kill -"${signal%:*}" $job 2>/dev/null
  wait $job
  got=$?
  [ $got -eq "${signal#*:}" ] || { cat "$scratch/error"; die "exit status $got after SIG${signal%:*}"; }
  [ -z "$(ls -A "$scratch/parent")" ] || { ls -A "$scratch/parent"; die "something is left after SIG${signal%:*}"; }
  rm -rf "$scratch/parent/out" "$scratch/parent"/.[!.]*
done
exit $failed
