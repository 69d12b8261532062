#!/bin/sh
# Extreme weights through the command: NaN, infinities, the smallest and the largest numbers of F32, F16 and BF16, from the files
# of the corpus, for each method and each policy. tests/test_nonfinite.c does the same for the library, at every place of a block.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
runs=0

# matrix NAME DTYPE COLUMNS BYTES: $scratch/in.safetensors, two rows called x.weight of what a file of the corpus holds
matrix()
{
  header="{\"x.weight\":{\"dtype\":\"$2\",\"shape\":[2,$3],\"data_offsets\":[0,$4]}}"
  {
    # shellcheck disable=SC2059 # the format is an octal escape
    printf "\\$(printf %03o ${#header})\0\0\0\0\0\0\0%s" "$header"
    tail -c "$4" "$LQ_VECTORS/malformed/$1.safetensors"
  } >"$scratch/in.safetensors"
}

# not_finite FILE BYTES: how many of the last numbers, of four bytes, are NaN or infinite
not_finite()
{
  tail -c "$2" "$1" | od -A n -v -t x4 | tr -s ' ' '\n' | grep -c -E '^[7f]f[89a-f]'
}

# survives FILE METHOD ARGUMENT...: quantized, and every number that comes back is finite
survives()
{
  name=$1
  shift
  rm -f "$scratch/out.safetensors" "$scratch/back.safetensors"
  runs=$((runs + 1))
  "$QUANT" quantize "$scratch/in.safetensors" -o "$scratch/out.safetensors" "$@" --json >"$scratch/report" 2>"$scratch/error" &&
    "$QUANT" dequantize "$scratch/out.safetensors" -o "$scratch/back.safetensors" --dtype f32 >/dev/null 2>>"$scratch/error" ||
    { cat "$scratch/error"; die "$name: refused: $*"; return; }
  [ "$(not_finite "$scratch/back.safetensors" $((8 * columns)))" -eq 0 ] || die "$name: NaN or infinity comes back: $*"
}

# nonfinite N: the report counts so many replaced weights
nonfinite()
{
  grep -q "\"nonfinite\": $1\b" "$scratch/report" || { cat "$scratch/report"; die "$name: not $1 weights replaced: $method"; }
}

# each FILE DTYPE COLUMNS BYTES BAD: BAD of its numbers are not finite
each()
{
  file=$1 columns=$3 bytes=$4 bad=$5
  matrix "$@"
  for method in nf4 fp4 dynamic8 int8 'rtn --group-size -1' 'rtn --group-size -1 --asym' 'rtn --bits 2 --group-size -1'; do
    how="--method $method --format native"
    # shellcheck disable=SC2086 # words
    for policy in error saturate keep; do
      if [ "$bad" -eq 0 ] || [ $policy = saturate ]; then
        survives "$file" $how --nonfinite $policy
        nonfinite "$bad"
      elif [ $policy = error ]; then
        runs=$((runs + 1))
        rm -f "$scratch/none.safetensors"
        fails 1 "x.weight" quantize "$scratch/in.safetensors" -o "$scratch/none.safetensors" $how --nonfinite error
        [ ! -e "$scratch/none.safetensors" ] || die "$file: an output in spite of the error: $how"
      else
        runs=$((runs + 1))
        "$QUANT" quantize "$scratch/in.safetensors" -o "$scratch/out.safetensors" --force $how --nonfinite keep >/dev/null 2>&1 ||
          die "$file: not kept: $how"
        [ "$(tail -c "$bytes" "$scratch/out.safetensors" | od -A n -t x1)" = "$(tail -c "$bytes" "$scratch/in.safetensors" | od -A n -t x1)" ] ||
          die "$file: kept with other bytes: $how"
      fi
    done
  done
}

each st_ok_nan F32 2 16 1
each st_ok_inf F32 2 16 2
each st_ok_denormal F32 2 16 0
each st_ok_fltmax F32 2 16 0
each st_ok_f16_edge F16 3 12 3
each st_ok_bf16_edge BF16 3 12 3
echo "$runs runs, $findings findings"
exit $failed
