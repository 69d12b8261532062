#!/bin/sh
# quant eval and quant generate: figures that do not depend on threads or instructions, quantized folders against their
# restored ones, the text of the example model, and one clear line for what goes wrong.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
models=$LQ_VECTORS/checkpoints
networks=$LQ_VECTORS/networks
ids=$networks/llama.safetensors:tokens
example=$top/examples/model

# evaluate FILE ARGUMENT...: the JSON result without what depends on the hour
evaluate()
{
  file=$1
  shift
  "$QUANT" eval "$@" --json >"$scratch/json" || die "failed: eval $*"
  grep -v '"seconds"\|"tokens_per_second"' "$scratch/json" >"$file"
}

# value NAME FILE: the first number under that name
value()
{
  sed -n "s/^ *\"$1\": \([-0-9.e+]*\),*$/\1/p" "$2" | head -n 1
}

# near A B LIMIT
near()
{
  awk -v a="$1" -v b="$2" -v limit="$3" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d <= limit && -d <= limit) }'
}

# The same for any number of threads and at every level of instructions.
evaluate "$scratch/one" "$models/tiny-llama-bnb-nf4-dq" --tokens "$ids" --ctx 24 --threads 1 --base "$models/tiny-llama-bf16"
for way in '--threads 2' '--threads 7' '--cpu scalar' '--cpu avx2'; do
  # shellcheck disable=SC2086 # words
  "$QUANT" eval "$models/tiny-llama-bnb-nf4-dq" --tokens "$ids" --ctx 24 $way --base "$models/tiny-llama-bf16" --json \
    >"$scratch/json" 2>"$scratch/error" || {
    grep -q 'this machine has only' "$scratch/error" || { cat "$scratch/error"; die "$way: failed"; }
    continue
  }
  grep -v '"seconds"\|"tokens_per_second"' "$scratch/json" | cmp "$scratch/one" - || die "$way: another result"
done
near "$(value kl "$scratch/one")" 0.0006 0.0002 || die "KL of the nf4 model: $(value kl "$scratch/one")"

# What bitsandbytes has quantized, against the same restored to f32.
for name in tiny-llama-bnb-nf4-dq tiny-llama-bnb-int8; do
  "$QUANT" dequantize "$models/$name" -o "$scratch/$name" --dtype f32 --quiet || die "$name: dequantize failed"
  evaluate "$scratch/result" "$models/$name" --tokens "$ids" --ctx 24 --base "$scratch/$name"
  near "$(value mean_nll_difference "$scratch/result")" 0 1e-6 || die "$name: $(value mean_nll_difference "$scratch/result")"
  near "$(value kl_largest "$scratch/result")" 0 1e-6 || die "$name: KL $(value kl_largest "$scratch/result")"
  near "$(value perplexity "$scratch/result")" 256 2 || die "$name: perplexity $(value perplexity "$scratch/result")"
done

# A GPT-2 whose transposed matrices are quantized as they lie, in the native layout.
"$QUANT" quantize "$networks/gpt2" -o "$scratch/gpt2" --method int8 --format native --quiet || die "gpt2: quantize failed"
evaluate "$scratch/result" "$scratch/gpt2" --tokens "$networks/gpt2.safetensors:tokens" --ctx 24 --base "$networks/gpt2"
near "$(value kl "$scratch/result")" 0 0.01 || die "gpt2: KL $(value kl "$scratch/result")"
near "$(value kl "$scratch/result")" 0 1e-9 && die "gpt2: quantizing it changed nothing"

# The windows of every convention, in words and numbers.
conventions()
{
  evaluate "$scratch/result" "$models/tiny-llama-bf16" --tokens "$ids" --ctx 23 --convention "$@"
  [ "$(value scored "$scratch/result")" = "$scored" ] || die "$1: $(value scored "$scratch/result") scored, not $scored"
  grep -q "\"convention_text\": \".*$words" "$scratch/result" || die "$1: not a word about $words"
}
scored=44 words=disjoint conventions gptq
scored=44 words=disjoint conventions optimum
scored=22 words='second half' conventions llama.cpp
scored=47 words=overlapping conventions huggingface --stride 10

# What goes wrong.
fails 2 'one of --text and --tokens' eval "$models/tiny-llama-bf16"
fails 2 'one of --text and --tokens' eval "$models/tiny-llama-bf16" --text x --tokens y
fails 2 '--stride goes with' eval "$models/tiny-llama-bf16" --tokens "$ids" --stride 3
fails 2 '--convention' eval "$models/tiny-llama-bf16" --tokens "$ids" --convention other
fails 2 '--prompt is missing' generate "$example"
fails 1 '48 tokens are less than one window of 128' eval "$models/tiny-llama-bf16" --tokens "$ids"
fails 1 'no tensor nothing' eval "$models/tiny-llama-bf16" --tokens "$networks/llama.safetensors:nothing"
fails 1 'is not a model folder' eval "$models/tiny-llama-bf16/model.safetensors" --tokens "$ids"
fails 1 'No such file' eval "$scratch/nothing" --tokens "$ids"
fails 1 'there is no tokenizer.json' eval "$models/tiny-llama-bf16" --text "$top/LICENSE"
fails 1 'there is no tokenizer.json' generate "$models/tiny-llama-bf16" --prompt x
fails 1 'token 200 at place 6' eval "$networks/llama" --tokens "$networks/excerpt.safetensors:positions" --ctx 2
fails 1 'has a vocabulary of 2048' eval "$networks/llama" --tokens "$ids" --ctx 24 --base "$example"
mkdir "$scratch/m"
cp "$models/tiny-llama-bf16/model.safetensors" "$scratch/m/"
fails 1 'there is no config.json' eval "$scratch/m" --tokens "$ids"
config()
{
  sed "$1" "$models/tiny-llama-bf16/config.json" >"$scratch/m/config.json"
}
config s/LlamaForCausalLM/BertForMaskedLM/
fails 1 'architecture BertForMaskedLM is not supported' eval "$scratch/m" --tokens "$ids"
config 's/"num_hidden_layers": 2/"num_hidden_layers": 3/'
fails 1 'tensor model.layers.2.input_layernorm.weight is missing' eval "$scratch/m" --tokens "$ids" --ctx 24
config 's/"intermediate_size": 256/"intermediate_size": 255/'
fails 1 'gate_proj.weight has the shape [256, 128]; config.json asks for [255, 128]' eval "$scratch/m" --tokens "$ids" --ctx 24
config 's/"bos_token_id": 1/"bos_token_id": null/'
fails 1 'no bos_token_id' eval "$scratch/m" --tokens "$ids" --ctx 24 --bos
config 's/"hidden_act"/"quantization_config": {"quant_method": "aqlm"}, "hidden_act"/'
fails 1 'is quantized with aqlm, which quant does not read' eval "$scratch/m" --tokens "$ids" --ctx 24

# A text as it stands and the same as the lines of a .jsonl file; enough of it, not enough.
for piece in 'The city was the first of its kind .' 'It was built in the year of the war , and the river flows by it .'; do
  printf '{"text": "%s"}\n' "$piece"
done >"$scratch/text.jsonl"
printf '%s\n\n%s' 'The city was the first of its kind .' 'It was built in the year of the war , and the river flows by it .' \
  >"$scratch/text.txt"
evaluate "$scratch/plain" "$example" --text "$scratch/text.txt" --ctx 16
evaluate "$scratch/lines" "$example" --text "$scratch/text.jsonl" --ctx 16
sed 's/text\.txt/text.jsonl/' "$scratch/plain" | cmp - "$scratch/lines" || die "a .jsonl file gives another result"
near "$(value perplexity "$scratch/plain")" 40 30 || die "perplexity of a plain text: $(value perplexity "$scratch/plain")"
fails 1 'are less than one window of 512' eval "$example" --text "$scratch/text.txt"
printf 'a\377' >"$scratch/bad.txt"
fails 1 'not UTF-8 at offset 1' eval "$example" --text "$scratch/bad.txt"

# The likeliest continuation, as transformers gives it; draws that depend on the seed alone.
"$QUANT" generate "$example" --prompt 'The history of the city' --tokens 8 >"$scratch/text" 2>"$scratch/error" || die "generate failed"
[ "$(cat "$scratch/text")" = ' of the labour of the l' ] || { cat "$scratch/text"; die "another continuation"; }
grep -q '^prompt: .* tokens/s; generated: 8 tokens' "$scratch/error" || { cat "$scratch/error"; die "no word about speed"; }
for threads in 1 3; do
  "$QUANT" generate "$example" --prompt 'The city' --tokens 30 --temperature 1 --top-k 50 --top-p 0.9 --seed 5 --threads $threads \
    --quiet >"$scratch/text$threads" 2>"$scratch/error" || die "generate failed"
  [ ! -s "$scratch/error" ] || die "not quiet"
done
cmp "$scratch/text1" "$scratch/text3" || die "another draw with other threads"
"$QUANT" generate "$example" --prompt 'The city' --tokens 8 --fast --quiet >"$scratch/text" || die "generate --fast failed"
[ -s "$scratch/text" ] || die "generate --fast says nothing"
"$QUANT" generate "$example" --prompt 'The city' --tokens 30 --temperature 1 --seed 6 --json >"$scratch/json" || die "generate failed"
grep -q '"stopped_by": "' "$scratch/json" || die "no JSON"
fails 2 'the prompt has no tokens' generate "$example" --prompt ''
exit $failed
