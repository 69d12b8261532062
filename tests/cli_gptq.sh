#!/bin/sh
# Checkpoints of GPTQ and AWQ: what GPTQModel wrote is read, what says something else than it is is refused; integers of all
# widths are written in each layout, and are the same numbers in all of them.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
models=$LQ_VECTORS/checkpoints
dense=$models/tiny-llama-bf16
v2=$models/tiny-llama-gptq-4bit-asym-v2
desc=$models/tiny-llama-gptq-4bit-desc-act

# ---- reading ----

tells '^affine, 4 bits, groups of 64, zero points (gptq_v2)  *14  *294,912  *4.375' inspect "$v2"
tells '^affine, 4 bits, groups of 32, symmetric, act-order (gptq)  *14  *294,912 ' inspect "$desc"
"$QUANT" inspect "$v2" --json | grep -A 5 '"format": "gptq_v2"' | tr -d ' \n' |
  grep -qF '"format":"gptq_v2","bits":4,"group_size":64,"symmetric":false,"act_order":false' || die "inspect --json"
for name in "$v2" "$desc"; do
  "$QUANT" dequantize "$name" -o "$scratch/f32" --dtype f32 --quiet || die "$name: dequantize failed"
  tells '21 tensors compared, 21 equal, 0 differ' compare "$name" "$scratch/f32"
  tells '21 tensors compared, 7 equal, 14 differ; relative error of these 0.1[01]' compare "$dense" "$name"
  "$QUANT" dequantize "$name" -o "$scratch/bf16" --quiet || die "$name: dequantize failed"
  sed 's/"pad_token_id": 3/"pad_token_id": null/' "$scratch/bf16/config.json" | cmp - "$dense/config.json" || die "$name: config.json"
  [ ! -e "$scratch/bf16/quantize_config.json" ] || die "$name: quantize_config.json went along"
  tells '^bf16  *21 ' inspect "$scratch/bf16"
  rm -rf "$scratch/f32" "$scratch/bf16"
done
tells ', 7 equal, 14 differ' compare "$v2" "$desc"
tells 'quantized with gptq' inspect "$v2"
fails 1 'already quantized with gptq' quantize "$v2" -o "$scratch/out"

# A file on its own takes the format from the folder that it lies in; a file that is alone is the first version, whose zero
# points are one more.
tells '(gptq_v2)' inspect "$v2/model.safetensors"
mkdir "$scratch/m" "$scratch/alone"
cp "$v2/model.safetensors" "$scratch/alone/"
tells 'zero points (gptq)' inspect "$scratch/alone/model.safetensors"
tells ', 7 equal, 14 differ' compare "$v2" "$scratch/alone/model.safetensors"
fails 1 'is already quantized' quantize "$scratch/alone/model.safetensors" -o "$scratch/out"
cp "$v2/quantize_config.json" "$scratch/alone/"
tells ', 21 equal' compare "$v2" "$scratch/alone/model.safetensors"
(cd "$scratch/alone" && "$QUANT" inspect model.safetensors | grep -q '(gptq_v2)') || die "in the current folder"
# A folder whose config.json does not say it, but quantize_config.json.
cp "$v2/quantize_config.json" "$v2/model.safetensors" "$scratch/m/"
cp "$dense/config.json" "$scratch/m/"
tells ', 21 equal' compare "$v2" "$scratch/m"
fails 1 'is already quantized' quantize "$scratch/m" -o "$scratch/out"
rm "$scratch/m/quantize_config.json"
tells ', 7 equal, 14 differ' compare "$v2" "$scratch/m"
# The configuration of every variant: `config FOLDER EXPRESSION` changes it.
config()
{
  cp "$1/model.safetensors" "$scratch/m/"
  sed "$2" "$1/config.json" >"$scratch/m/config.json"
}
# Without a format it is the first version; all zero points in the middle as they are make that no difference.
config "$v2" '/"\(checkpoint_\)*format"/d'
tells 'zero points (gptq)' inspect "$scratch/m"
config "$desc" '/"\(checkpoint_\)*format"/d; /"sym"/d; s/"quant_method": "gptq",/"quant_method": "gptq"/'
tells ', 21 equal' compare "$desc" "$scratch/m"
config "$v2" '/"checkpoint_format"/d'
tells ', 21 equal' compare "$v2" "$scratch/m"
# Layers that differ, by a rule: nothing is checked against the common values.
config "$v2" 's/"bits": 4/"bits": 8, "dynamic": {"+:.*": {"bits": 4}}/'
tells ', 21 equal' compare "$v2" "$scratch/m"

# many COUNT BYTES: octal escapes, repeated
many()
{
  i=0
  while [ $i -lt "$1" ]; do
    # shellcheck disable=SC2059 # the format is made of octal escapes
    printf "$2"
    i=$((i + 1))
  done
}

# with_header JSON: its length and itself, which begin a file
with_header()
{
  # shellcheck disable=SC2059
  printf "$(printf '\\%03o\\%03o\\0\\0\\0\\0\\0\\0' $((${#1} % 256)) $((${#1} / 256)))"
  printf '%s' "$1"
}

# Zero points 0 in the first version as GPTQModel leaves them, 1 less in whole words: 0xeeeeeeef. Field by field they would be 0
# and then 15. Codes 1 and scales 1 make ones.
mkdir "$scratch/borrow"
{
  with_header '{"a.qweight":{"dtype":"I32","shape":[4,32],"data_offsets":[0,512]},"a.qzeros":{"dtype":"I32","shape":[1,4],'\
'"data_offsets":[512,528]},"a.scales":{"dtype":"F16","shape":[1,32],"data_offsets":[528,592]}}'
  many 512 '\021'
  many 4 '\357\356\356\356'
  many 32 '\000\074'
} >"$scratch/borrow/model.safetensors"
{
  with_header '{"a.weight":{"dtype":"F32","shape":[32,32],"data_offsets":[0,4096]}}'
  many 1024 '\000\000\200\077'
} >"$scratch/ones.safetensors"
echo '{"bits": 4, "group_size": 32, "sym": false, "meta": {"quantizer": ["gptqmodel:1.0"]}}' >"$scratch/borrow/quantize_config.json"
tells '1 equal, 0 differ' compare "$scratch/ones.safetensors" "$scratch/borrow"
echo '{"bits": 4, "group_size": 32, "sym": false}' >"$scratch/borrow/quantize_config.json"
tells '0 equal, 1 differ' compare "$scratch/ones.safetensors" "$scratch/borrow"

# refuses TEXT EXPRESSION: by each verb that reads
refuses()
{
  config "$v2" "$2"
  fails 1 "$1" inspect "$scratch/m"
  fails 1 "$1" dequantize "$scratch/m" -o "$scratch/out"
  fails 1 "$1" compare "$scratch/m" "$v2"
  fails 1 "$1" eval "$scratch/m" --tokens "$LQ_VECTORS/networks/llama.safetensors:tokens" --ctx 24
  [ ! -e "$scratch/out" ] || die "$1: something is left"
}
refuses "GPTQ format 'marlin' is not read" 's/"gptq_v2"/"marlin"/'
refuses "GPTQ format 'marlin' is not read" 's/"bits"/"is_marlin_format": true, "bits"/'
refuses "GPTQ format 'gptq_p' is not read" 's/"gptq_v2"/"gptq_p"/'
refuses "pack_dtype 'int64'" 's/"pack_dtype": "int32"/"pack_dtype": "int64"/'
refuses "AWQ version 'gemv'" 's/"quant_method": "gptq"/"quant_method": "awq", "version": "gemv"/'
refuses "do not fit" 's/"quant_method": "gptq"/"quant_method": "awq"/; s/"gptq_v2"/"gemm"/'
refuses "q_proj.weight: its planes have 4 bits, its configuration 3" 's/"bits": 4/"bits": 3/'
refuses "its planes have 2 groups, its configuration groups of 32 columns" 's/"group_size": 64/"group_size": 32/'
refuses "its configuration groups of -1 columns" 's/"group_size": 64/"group_size": -1/'
refuses "zero points are not those of a symmetric weight" 's/"sym": false/"sym": true/'
refuses "bits is not a whole number" 's/"bits": 4/"bits": "4"/'
config "$v2" 's/"quant_method": "gptq"/"quant_method": "auto-round"/'
fails 1 "auto-round" inspect "$scratch/m"
fails 1 "is quantized with auto-round, which quant does not read" dequantize "$scratch/m" -o "$scratch/out"

# damage FROM TO: names in the header, of the same length
damage()
{
  sed "s/$1/$2/g" "$v2/model.safetensors" >"$scratch/m/model.safetensors"
  cp "$v2/config.json" "$scratch/m/config.json"
}
damage 1.mlp.up_proj.scales 1.mlp.up_proj.scalps
fails 1 'layers.1.mlp.up_proj.weight: its plane scales is missing' inspect "$scratch/m"
damage 1.mlp.up_proj.qzeros 1.mlp.up_proj.qzerus
fails 1 'layers.1.mlp.up_proj.weight: its plane qzeros is missing' inspect "$scratch/m"
damage 1.mlp.up_proj.qweight 1.mlp.up_proj.qweighs
fails 1 'the weight that it belongs to, model.layers.1.mlp.up_proj.qweight, is missing' inspect "$scratch/m"
damage 1.mlp.up_proj.g_idx 1.mlp.up_proj.g_odx
tells '1.mlp.up_proj.g_odx .* i32' inspect "$scratch/m" --tensors
damage '"shape":\[32,128\]' '"shape":[128,32]'
fails 1 'do not fit' inspect "$scratch/m"
sed 's/model.layers.0.input_layernorm.weight"/model.layers.0.mlp.down_proj.weight"  /' "$v2/model.safetensors" >"$scratch/m/model.safetensors"
fails 1 'model.layers.0.mlp.down_proj.weight is there dense, and quantized too' inspect "$scratch/m"

# ---- writing ----

# The same codes in every layout that has a place for them: equal numbers, of which the native layout is the witness.
for bits in 2 3 4 8; do
  for kind in sym asym; do
    for group in 32 -1; do
      options="--method rtn --bits $bits --$kind --group-size $group --quiet"
      # shellcheck disable=SC2086 # words
      "$QUANT" quantize "$dense" -o "$scratch/native" $options --format native || die "native: $options"
      [ $kind = sym ] && formats='gptq gptq_v2' || formats=gptq_v2
      [ $bits = 4 ] && formats="$formats awq"
      for format in $formats; do
        # shellcheck disable=SC2086
        "$QUANT" quantize "$dense" -o "$scratch/out" $options --format $format || die "$format: $options"
        tells ', 21 equal, 0 differ' compare "$scratch/native" "$scratch/out"
        tells "^affine, $bits bits, .*($format)  *14 " inspect "$scratch/out"
        case $format in
          awq) [ ! -e "$scratch/out/quantize_config.json" ] || die "awq: quantize_config.json" ;;
          *) tells ', 21 equal, 0 differ' compare "$scratch/native" "$scratch/out/model.safetensors" ;;
        esac
        "$QUANT" dequantize "$scratch/out" -o "$scratch/back" --quiet || die "$format: $options: dequantize"
        cmp "$scratch/back/config.json" "$dense/config.json" || die "$format: $options: config.json of the restored model"
        rm -rf "$scratch/out" "$scratch/back"
      done
      rm -rf "$scratch/native"
    done
  done
done

# The file that is written when nothing is said, and what a loader reads about it.
# written FORMAT OPTION...
written()
{
  format=$1
  shift
  rm -rf "$scratch/out"
  tells ", $format format\$" quantize "$dense" -o "$scratch/out" --method rtn "$@"
}
written gptq
[ "$(tr -d ' \n' <"$scratch/out/quantize_config.json")" = '{"bits":4,"checkpoint_format":"gptq","desc_act":false,"format":"gptq",'\
'"group_size":128,"lm_head":false,"meta":{"quantizer":["libquant:0.1.0"]},"pack_dtype":"int32","quant_method":"gptq","sym":true}' ] ||
  { cat "$scratch/out/quantize_config.json"; die "quantize_config.json"; }
tr -d ' \n' <"$scratch/out/config.json" | grep -qF "\"quantization_config\":$(tr -d ' \n' <"$scratch/out/quantize_config.json")," ||
  die "config.json has another description"
head -c 9000 "$scratch/out/model.safetensors" | grep -aqF '"model.layers.0.mlp.down_proj.scales":{"dtype":"F16","shape":[2,128]' ||
  die "scales are not F16 [groups, rows]"
written gptq_v2 --asym
grep -qF '"checkpoint_format": "gptq_v2"' "$scratch/out/config.json" || die "gptq_v2: config.json"
written native --nested
written awq --format awq --group-size 64
grep -qF '"version": "gemm"' "$scratch/out/config.json" || die "awq: config.json"
written gptq --mse 2.4
grep -qF '"mse": 2.4' "$scratch/out/config.json" || die "mse: config.json"
"$QUANT" compare "$dense" "$scratch/out" | grep -q 'relative error of these 0.10' || die "--mse changes nothing"
# The head: quantized only when asked for, and then told.
written gptq --include 'lm_head' --include 'mlp.*_proj'
grep -qF '"lm_head": true' "$scratch/out/config.json" || die "lm_head: config.json"
grep -qF '"-:^model\\.layers\\.1\\.self_attn\\.v_proj$": {}' "$scratch/out/quantize_config.json" || die "dynamic: quantize_config.json"
tells ', 21 equal' compare "$scratch/out" "$scratch/out"

# A single file has no place to tell the version: it is read as it was written.
for options in --sym --asym '--sym --format gptq_v2' '--asym --bits 3 --group-size -1' \
  '--asym --group-size 64 --format awq'; do
  # shellcheck disable=SC2086
  "$QUANT" quantize "$dense/model.safetensors" -o "$scratch/one.safetensors" --method rtn $options --quiet --force || die "$options: failed"
  # shellcheck disable=SC2086
  "$QUANT" quantize "$dense/model.safetensors" -o "$scratch/two.safetensors" --method rtn ${options%--format*} --format native --quiet --force ||
    die "$options: failed"
  tells ', 21 equal' compare "$scratch/two.safetensors" "$scratch/one.safetensors"
done
"$QUANT" quantize "$dense/model.safetensors" -o "$scratch/one.safetensors" --method rtn --quiet --force || die "one file"
tells '(gptq)' inspect "$scratch/one.safetensors"

# Shards keep their names; what the layout has no place for stays dense, and everybody is told.
sharded=$LQ_VECTORS/sharded
tells 'left dense  *4 of these by the gptq layout: model.layers.0.mlp.down_proj.weight \[32, 65\] and others: rows' \
  quantize "$sharded" -o "$scratch/sharded" --method rtn --group-size 32
for file in model-00001-of-00003.safetensors model-00002-of-00003.safetensors model-00003-of-00003.safetensors quantize_config.json; do
  [ -e "$scratch/sharded/$file" ] || die "sharded: no $file"
done
grep -qF '"model.layers.1.self_attn.q_proj.g_idx": "model-00002-of-00003.safetensors"' "$scratch/sharded/model.safetensors.index.json" ||
  grep -qF 'self_attn.q_proj.g_idx' "$scratch/sharded/model.safetensors.index.json" || die "sharded: the index"
grep -qF '"-:^model\\.layers\\.0\\.mlp\\.gate$": {}' "$scratch/sharded/config.json" || die "sharded: a module that stays dense is not named"
tells ' 15 equal, 6 differ' compare "$sharded" "$scratch/sharded"
tells '32 x 65  f32' inspect "$scratch/sharded"
"$QUANT" quantize "$sharded" -o "$scratch/awq" --method rtn --group-size 8 --format awq --quiet || die "sharded: awq"
grep -qF '"model.layers.0.mlp.gate$"' "$scratch/awq/config.json" || die "awq: modules_to_not_convert"
"$QUANT" quantize "$sharded" -o "$scratch/json" --method rtn --group-size 32 --json | grep -qF '"tensors_left_for_shape": 4' || die "--json"

# Any number of threads, any level of instructions: the same bytes.
"$QUANT" quantize "$dense" -o "$scratch/threads" --method rtn --bits 3 --asym --mse 2 --quiet --threads 1 || die "one thread"
for way in '--threads 3' '--cpu scalar'; do
  # shellcheck disable=SC2086
  "$QUANT" quantize "$dense" -o "$scratch/other" --method rtn --bits 3 --asym --mse 2 --quiet $way || die "$way"
  cmp "$scratch/threads/model.safetensors" "$scratch/other/model.safetensors" || die "$way: other bytes"
  rm -rf "$scratch/other"
done

# Zero points of groups of one sign are 0, which the first version cannot hold.
entry='{"a.weight":{"dtype":"F32","shape":[32,32],"data_offsets":[0,4096]}}'
{
  with_header "$entry"
  head -c 4096 /dev/zero | tr '\000' '?'
} >"$scratch/positive.safetensors"
fails 1 'the layout has no zero point 0; gptq_v2 has' quantize "$scratch/positive.safetensors" -o "$scratch/v1.safetensors" \
  --method rtn --asym --format gptq
[ ! -e "$scratch/v1.safetensors" ] || die "something is left"

# Of a symmetric group without negative weights the programs take half of the range, and so does --compat gptq: clipped to it.
for way in '' '--compat gptq'; do
  # shellcheck disable=SC2086
  "$QUANT" quantize "$scratch/positive.safetensors" -o "$scratch/half.safetensors" --method rtn --quiet --force $way || die "$way: failed"
  "$QUANT" compare "$scratch/positive.safetensors" "$scratch/half.safetensors" --json >"$scratch/half$way"
done
cmp -s "$scratch/half" "$scratch/half--compat gptq" && die "compat gptq makes no difference"

# What does not go together.
bad()
{
  text=$1
  shift
  fails 2 "$text" quantize "$dense" -o "$scratch/bad" "$@"
  [ ! -e "$scratch/bad" ] || die "something is left: $*"
}
bad '--bits is 2, 3, 4 or 8, not 5' --method rtn --bits 5
bad '--bits: 9 is outside 2 to 8' --method rtn --bits 9
bad '--bits: nf4 is not made of integers' --method nf4 --bits 4
bad '--group-size: int8 is not made of integers' --method int8 --group-size 128
bad '--asym: fp4 is not made of integers' --method fp4 --asym
bad '--mse: nf4 is not made of integers' --mse 2
bad '--sym and --asym exclude each other' --method rtn --sym --asym
bad '--block-size: rtn has --group-size' --method rtn --block-size 64
bad 'group_size must be -1 or a multiple of 8' --method rtn --group-size 12
bad 'group_size must be -1 or a multiple of 8' --method rtn --group-size 0
bad '--format gptq has no nested scales; use native' --method rtn --nested --format gptq
bad '--format awq has 4 bits, not 3' --method rtn --bits 3 --format awq
bad '--format gptq has no nf4' --format gptq
bad '--format bitsandbytes has no rtn; use native' --method rtn --format bitsandbytes
bad '--threshold goes with --method int8 alone' --method rtn --threshold 6
license=$(dirname "$0")/../LICENSE
bad '--method gptq needs --calibration FILE' --method gptq
bad '--calibration goes with --method gptq alone' --method rtn --calibration "$license"
bad '--calibration goes with --method gptq alone' --method nf4 --calibration "$license"
bad '--samples goes with --method gptq alone' --method rtn --samples 12
bad '--order goes with --method gptq alone' --method rtn --order groups
bad '--damp goes with --method gptq alone' --method rtn --damp 0.1
bad '--input-correction goes with --method gptq alone' --method rtn --input-correction 0.25
bad '--dynamic-groups goes with --method gptq alone' --method rtn --dynamic-groups
bad '--storage goes with --method gptq alone' --method nf4 --storage nf4
bad '--bits: nf4 is not made of integers' --method gptq --storage nf4 --bits 4 --calibration "$license"
bad '--asym: fp4 is not made of integers' --method gptq --storage fp4 --asym --calibration "$license"
bad '--block-size: gptq has --group-size' --method gptq --block-size 64 --calibration "$license"
bad '--dynamic-groups: nf4 has no group index' --method gptq --storage nf4 --dynamic-groups --calibration "$license"
bad 'awq has groups of neighbours alone' --method gptq --dynamic-groups --format awq --calibration "$license"
bad '--format gptq has no nf4' --method gptq --storage nf4 --format gptq --calibration "$license"
bad 'gptq has no compat bitsandbytes-cpu' --method gptq --storage nf4 --compat bitsandbytes-cpu --calibration "$license"
bad '--compat gptq: that program has no nf4' --method nf4 --compat gptq
bad '--compat gptq: that program has no fp4' --method gptq --storage fp4 --compat gptq --calibration "$license"
bad 'compat gptq has no nested scales' --method rtn --nested --format native --compat gptq
bad 'compat bitsandbytes-cpu does not apply' --method rtn --compat bitsandbytes-cpu
bad '--order: "descending" is not one of' --method gptq --order descending --calibration "$license"
bad '--input-correction: 1.5 is outside 0 to 1' --method gptq --input-correction 1.5 --calibration "$license"
bad '--damp: 2 is outside 0 to 1' --method gptq --damp 2 --calibration "$license"
fails 2 'needs a model folder, not a file' quantize "$dense/model.safetensors" -o "$scratch/bad" --method gptq --calibration "$license"
fails 2 'a single file cannot tell that it is the second version' quantize "$dense/model.safetensors" -o "$scratch/bad" --method rtn \
  --asym --format gptq_v2
fails 1 'keep their weights transposed, which the gptq layout does not; use --format native' quantize "$LQ_VECTORS/networks/gpt2" \
  -o "$scratch/bad" --method rtn
fails 1 'transformers does not load embeddings of the layout' quantize "$dense" -o "$scratch/bad" --method rtn --include embed_tokens
fails 1 'the awq layout holds none of its tensors: the group size does not divide the columns' quantize "$dense" -o "$scratch/bad" \
  --method rtn --format awq --group-size 96
exit $failed
