#!/bin/sh
# Whole models through the verbs: shards stay shards, what is not quantized stays as it is, what is restored is what the
# quantized model decodes to, results in JSON are JSON, patterns choose what they say.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
model=$LQ_VECTORS/sharded

# is_json FILE: the tool's own strict reader takes it, as the configuration of a model
is_json()
{
  rm -rf "$scratch/json"
  mkdir "$scratch/json"
  cp "$LQ_VECTORS/checkpoints/tiny-llama-bf16/model.safetensors" "$scratch/json/"
  cp "$1" "$scratch/json/config.json"
  "$QUANT" inspect "$scratch/json" >/dev/null
}

# holds FILE TEXT...
holds()
{
  file=$1
  shift
  for text; do
    grep -qF -- "$text" "$file" || { cat "$file"; die "$file: no '$text'"; }
  done
}

# number FILE KEY: of a member on a line of its own
number()
{
  sed -n "s/^ *\"$2\": \([-0-9.e]*\),*$/\1/p" "$1" | head -n 1
}

round_trip()
{
  rm -rf "$scratch/small" "$scratch/again" "$scratch/back"
  "$QUANT" quantize "$model" -o "$scratch/small" "$@" --json >"$scratch/summary.json" || { die "quantize $*"; return; }
  is_json "$scratch/summary.json" || die "quantize --json $*"
  [ "$(number "$scratch/summary.json" tensors_quantized)" = "$expected" ] || die "$*: not $expected tensors quantized"
  for file in "$model"/*; do
    [ -f "$scratch/small/${file##*/}" ] || die "$*: no ${file##*/}"
  done
  cmp "$scratch/small/tokenizer_config.json" "$model/tokenizer_config.json" || die "$*: another file changed"

  "$QUANT" inspect "$scratch/small" --json >"$scratch/inspect.json" || die "inspect $*"
  is_json "$scratch/inspect.json" || die "inspect --json $*"
  holds "$scratch/inspect.json" '"shards": 3'

  # Twice the same bytes, whatever the number of threads.
  "$QUANT" quantize "$model" -o "$scratch/again" "$@" --quiet --threads 3 || die "quantize again $*"
  for file in "$scratch/small"/*; do
    cmp "$file" "$scratch/again/${file##*/}" || die "$*: not the same twice"
  done

  # Restored in f32 nothing is rounded: exactly what the quantized model decodes to.
  "$QUANT" dequantize "$scratch/small" -o "$scratch/back" --dtype f32 --quiet || die "dequantize $*"
  "$QUANT" compare "$scratch/small" "$scratch/back" --json >"$scratch/compare.json" || die "compare $*"
  is_json "$scratch/compare.json" || die "compare --json $*"
  [ "$(number "$scratch/compare.json" tensors_equal)" = 21 ] || { cat "$scratch/compare.json"; die "$*: restored is not the same"; }
  grep -q quantization_config "$scratch/back/config.json" && die "$*: restored, yet config.json says quantized"

  # And quantized again: the index counts what is there.
  total=$(cat "$scratch/small"/*.safetensors | wc -c)
  size=$(number "$scratch/small/model.safetensors.index.json" total_size)
  [ "$size" -gt 1000 ] && [ "$size" -lt "$total" ] || die "$*: total_size $size of files of $total"
}

expected=10
for method in nf4 fp4 int8 dynamic8; do
  round_trip --method $method
done
round_trip --method nf4 --nested
round_trip --method nf4 --nested --block-size 128
round_trip --method nf4 --format native --nested
round_trip --method fp4 --block-size 48
round_trip --method int8 --format native
round_trip --method int8 --format native --threshold 0.15
round_trip --method dynamic8 --nested --block-size 64
round_trip --method int8 --threshold 4.5
holds "$scratch/small/config.json" '"llm_int8_threshold": 4.5' '"llm_int8_skip_modules": null'

# Patterns. What stays dense against the default is named for transformers; "mlp.gate" alone would also mean "mlp.gate_proj".
expected=8
round_trip --exclude mlp.gate
holds "$scratch/small/config.json" '"model.layers.0.mlp.gate$"' '"model.layers.1.mlp.gate$"' '"lm_head"'
expected=1
round_trip --include lm_head
holds "$scratch/small/config.json" '"model.layers.0.mlp.gate_proj"'
grep -q '"lm_head"' "$scratch/small/config.json" && die "a quantized lm_head is named as skipped"
expected=3
round_trip --include 'layers.1' --exclude '*.mlp.gate*' --exclude 'experts'
expected=4
round_trip --format native --include experts --include embed_tokens --include lm_head

# A default dequantize gives each weight its own type back.
"$QUANT" quantize "$model" -o "$scratch/typed" --quiet && "$QUANT" dequantize "$scratch/typed" -o "$scratch/typed2" --quiet &&
  "$QUANT" inspect "$scratch/typed2" --tensors >"$scratch/text" || die "types: failed"
grep -q 'layers.0.mlp.down_proj.weight .* f32 ' "$scratch/text" || die "types: f32 was lost"
grep -q 'layers.0.mlp.up_proj.weight .* f16 ' "$scratch/text" || die "types: f16 was lost"
grep -q 'layers.0.mlp.gate_proj.weight .* bf16 ' "$scratch/text" || die "types: bf16 was lost"

# One file to one file; there also the output head is a matrix like others.
file=$LQ_VECTORS/checkpoints/tiny-llama-bf16/model.safetensors
"$QUANT" quantize "$file" -o "$scratch/one.safetensors" --json >"$scratch/summary.json" || die "one file"
[ "$(number "$scratch/summary.json" tensors_quantized)" = 16 ] || die "one file: not all matrices"
"$QUANT" dequantize "$scratch/one.safetensors" -o "$scratch/two.safetensors" --quiet || die "one file: dequantize"
"$QUANT" compare "$file" "$scratch/two.safetensors" | grep -q '21 tensors compared, 5 equal, 16 differ' || die "one file: compare"

# A model against itself; and one that lacks a tensor.
"$QUANT" compare "$model" "$model" >"$scratch/text" || die "compare with itself"
holds "$scratch/text" '21 tensors compared, 21 equal, 0 differ'
"$QUANT" compare "$model" "$LQ_VECTORS/checkpoints/tiny-llama-bf16" >"$scratch/text" || die "compare with another"
holds "$scratch/text" "only in $model, not in" 'model.layers.0.mlp.experts' 'differs in shape: lm_head.weight'

# --force replaces; without progress nothing but a line a shard is on standard error.
"$QUANT" quantize "$model" -o "$scratch/typed" --force --method int8 >"$scratch/text" 2>"$scratch/error" || die "--force"
holds "$scratch/text" '10 quantized, 11 left' 'relative error'
[ "$(wc -l <"$scratch/error")" -eq 3 ] || { cat "$scratch/error"; die "standard error is not three lines"; }
"$QUANT" quantize "$model" -o "$scratch/typed" --force --quiet >"$scratch/text" 2>&1 || die "--quiet"
[ -s "$scratch/text" ] && die "--quiet is not quiet"

for verb in '' quantize dequantize export inspect compare bench; do
  # shellcheck disable=SC2086 # no verb is no argument
  "$QUANT" $verb --help >"$scratch/text" || die "$verb --help"
  holds "$scratch/text" 'usage: quant'
done
"$QUANT" --version | grep -q '^quant [0-9]' || die "--version"
exit $failed
