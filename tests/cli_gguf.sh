#!/bin/sh
# GGUF files through the verbs: what inspect tells, that dequantize keeps names and values, that compare finds both kinds of
# names, that eval runs the Llama in one, and one line that says what is wrong with a bad file.
set -u
: "${QUANT:?}" "${LQ_VECTORS:?}"
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
model=$LQ_VECTORS/gguf/llama-q5_0.gguf
failed=0

die()
{
  echo "$*"
  failed=1
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

# fails STATUS TEXT ARGUMENT...: the tool ends with the status and one line on standard error that has the text
fails()
{
  status=$1
  text=$2
  shift 2
  "$QUANT" "$@" >"$scratch/out" 2>"$scratch/err"
  got=$?
  [ "$got" -eq "$status" ] || die "quant $*: status $got, not $status"
  [ "$(wc -l <"$scratch/err")" -eq 1 ] || die "quant $*: not one line: $(cat "$scratch/err")"
  holds "$scratch/err" "$text"
}

"$QUANT" inspect "$model" >"$scratch/text" || die "inspect"
holds "$scratch/text" "GGUF version 3" "general.architecture" "288 of STRING: <unk>, <s>, </s>, <0x00>, ..." "Q5_0" "288 x 64"
"$QUANT" inspect --json "$model" >"$scratch/json" || die "inspect --json"
holds "$scratch/json" '"block_type": "Q5_0"' '"llama.attention.layer_norm_rms_epsilon": 1e-05' '"tokenizer.ggml.add_bos_token": true' \
  '"count": 288' '"bits_per_weight": 5.5'

out=$scratch/out.safetensors
"$QUANT" dequantize "$model" -o "$out" >"$scratch/text" || die "dequantize"
holds "$scratch/text" "16 tensors restored, 5 others"
"$QUANT" compare "$model" "$out" >"$scratch/text" || die "compare"
holds "$scratch/text" "21 tensors compared, 21 equal, 0 differ"
"$QUANT" inspect --tensors "$out" >"$scratch/text" || die "inspect of the result"
holds "$scratch/text" "blk.0.attn_q.weight" "f32"
"$QUANT" dequantize "$model" -o "$scratch/half.safetensors" --dtype bf16 -q || die "dequantize to bf16"
"$QUANT" compare "$model" "$scratch/half.safetensors" >"$scratch/text" || die "compare with bf16"
holds "$scratch/text" "21 tensors compared" "relative error of these 0.0016"

# A dense file can be quantized, one in blocks says what to do first.
fails 1 "already quantized; run 'quant dequantize'" quantize "$model" -o "$scratch/q.safetensors" --method nf4
"$QUANT" quantize "$out" -o "$scratch/q.safetensors" --method nf4 -q || die "quantize"

# The mean negative log likelihood: with rows of q and k in the wrong order it would be far off. llama.cpp, which rounds
# inputs to 8 bits, has 6.1272.
"$QUANT" eval "$model" --tokens "$LQ_VECTORS/gguf/tokens.safetensors" --ctx 12 --json >"$scratch/json" || die "eval"
holds "$scratch/json" '"mean_nll": 6.1202'
printf 'A text of some words, and some more of them.\n' >"$scratch/text.txt"
"$QUANT" eval "$model" --text "$scratch/text.txt" --ctx 16 >"$scratch/text" || die "eval of a text"
holds "$scratch/text" "perplexity"
"$QUANT" generate "$model" --prompt A -n 4 >"$scratch/text" 2>&1 || die "generate"

fails 1 "is not finite" inspect "$LQ_VECTORS/malformed/gg_ok_q8_0_nan_scale.gguf"
fails 2 "ggml" quantize "$out" -o "$scratch/x.safetensors" --method ggml
cp "$model" "$scratch/no-suffix"
"$QUANT" inspect "$scratch/no-suffix" >"$scratch/text" || die "by its first bytes"
holds "$scratch/text" "GGUF version 3"
exit $failed
