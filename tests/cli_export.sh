#!/bin/sh
# quant export --c-array: the arrays compile and mean what dequantize and the files say, the output is the same each time
# and appears whole or not at all, and each thing that cannot be exported is one clear line.
set -u
: "${QUANT:?}" "${LQ_VECTORS:?}"
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
digits=examples/firmware/digits.safetensors
build=${LQ_BUILD:-build}
openmp=
[ "${OPENMP:-1}" != 1 ] || openmp=-fopenmp
failed=0
mkdir "$scratch/out"

die()
{
  echo "$*"
  failed=1
}

# fails STATUS TEXT ARGUMENT...: one line with TEXT, that status, nothing left
fails()
{
  status=$1 text=$2
  shift 2
  "$QUANT" export "$@" >/dev/null 2>"$scratch/error"
  got=$?
  [ $got -eq "$status" ] || die "exit status $got, not $status: $*"
  grep '^quant: error: ' "$scratch/error" | grep -qF -- "$text" || { cat "$scratch/error"; die "no '$text': $*"; }
  [ "$(grep -c . "$scratch/error")" -eq 1 ] || die "more than one line: $*"
  [ -z "$(ls -A "$scratch/out")" ] || { ls -A "$scratch/out"; die "something is left: $*"; }
  rm -rf "$scratch/out"
  mkdir "$scratch/out"
}

compile() # PROGRAM SOURCE...
{
  program=$1
  shift
  # shellcheck disable=SC2086 # words
  ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -Iexamples/firmware -I"$scratch" ${CPPFLAGS:-} ${CFLAGS:-} \
    -o "$scratch/$program" "$@" "$build/libquant.a" ${LDFLAGS:-} $openmp -lm || die "$program does not compile"
}

# ---- the arrays mean what the tensors are ----

cat >"$scratch/same.c" <<'END'
#include "dense.h"
#include "small.h"
#include <stdio.h>
#include <string.h>
static float values[64 * 64];
static int check(const lq_static *w, const float *want, const float *bias)
{
  return lq_static_decode(w, 0, w->rows, values) == LQ_OK && w->columns == 64 && w->bias != NULL &&
         memcmp(values, want, 4u * w->rows * w->columns) == 0 && memcmp(w->bias, bias, 4u * w->rows) == 0;
}
int main(void)
{
  int good = check(&small_fc1, dense_fc1, dense_fc1_bias) && check(&small_fc2, dense_fc2, dense_fc2_bias);
  printf("%u %u\n", (unsigned)dense_images[11], (unsigned)sizeof dense_images);
  return good ? 0 : 1;
}
END
for method in 'nf4' 'nf4 --nested' 'fp4 --block-size 32' 'int8' 'rtn --format native' \
  'rtn --bits 8 --group-size 32 --asym --format native'; do
  # shellcheck disable=SC2086 # words
  "$QUANT" quantize $digits -o "$scratch/q.safetensors" -q --force --method $method || die "quantize $method"
  "$QUANT" dequantize "$scratch/q.safetensors" -o "$scratch/d.safetensors" -q --force --dtype f32 || die "dequantize"
  "$QUANT" export "$scratch/q.safetensors" --c-array -o "$scratch/small.c" -q --force || die "export $method"
  "$QUANT" export "$scratch/d.safetensors" --c-array -o "$scratch/dense" -q --force --include '*' || die "export dense"
  compile same "$scratch/same.c" "$scratch/small.c" "$scratch/dense.c" &&
    "$scratch/same" >"$scratch/images" || die "$method: the arrays are not the tensors"
done
# Byte 11 of the images, from the file itself: the data of type U8 come last.
want=$(tail -c 6500 $digits | od -An -tu1 -j11 -N1 | tr -d ' ')
[ "$(cat "$scratch/images")" = "$want 6400" ] || die "images: $(cat "$scratch/images"), not $want 6400"

# ---- the example, and twice the same ----

mkdir "$scratch/a" "$scratch/b"
sh examples/firmware/arrays.sh "$QUANT" "$scratch/a" && sh examples/firmware/arrays.sh "$QUANT" "$scratch/b" ||
  die "arrays of the example"
for file in "$scratch"/a/*.[ch]; do
  cmp "$file" "$scratch/b/${file##*/}" || die "twice is not the same"
done
cp "$scratch"/a/*.h "$scratch"
compile digits examples/firmware/digits.c examples/firmware/host.c "$scratch"/a/*.c && "$scratch/digits" ||
  die "the example"

# ---- names, choice, output ----

"$QUANT" export "$scratch/q.safetensors" --c-array -o "$scratch/two" --prefix net --include fc2 --json >"$scratch/json" ||
  die "one weight"
grep -q '"weights": 1' "$scratch/json" || die "counts"
grep -q 'extern const lq_static net_fc2;' "$scratch/two.h" || die "prefix"
grep -q 'fc1' "$scratch/two.c" && die "a weight that was not chosen"
"$QUANT" export "$scratch/q.safetensors" --c-array -o "$scratch/two" --force -q --exclude fc1.weight --exclude fc2.bias ||
  die "without a bias"
grep -q bias "$scratch/two.c" && die "a bias that was excluded"
cp "$scratch/two.c" "$scratch/before"
"$QUANT" export "$scratch/q.safetensors" --c-array -o "$scratch/two" -q 2>/dev/null && die "replaced without --force"
cmp "$scratch/two.c" "$scratch/before" || die "changed by a call that failed"

"$QUANT" quantize $digits -o "$scratch/int8.safetensors" -q --method int8 || die "int8"
int8=$scratch/int8.safetensors out=$scratch/out/x
fails 2 '--c-array is missing' "$int8" -o "$out"
fails 2 '--output is missing' "$int8" --c-array
fails 2 'is no name in C' "$int8" --c-array -o "$scratch/out/8bit"
fails 2 'is no name in C' "$int8" --c-array -o "$out" --prefix static
fails 2 'is no name of a file' "$int8" --c-array -o "$scratch/out/"
fails 1 'there is no quantized tensor' $digits --c-array -o "$out"
fails 1 "no tensor matches --include 'fc3'" "$int8" --c-array -o "$out" --include fc3
fails 1 "no tensor matches --exclude 'fc3'" "$int8" --c-array -o "$out" --exclude fc3
fails 2 'is not NAME=SX,ZX,SY,ZY' "$int8" --c-array -o "$out" --w8a8 fc1
fails 2 'is not NAME=SX,ZX,SY,ZY' "$int8" --c-array -o "$out" --w8a8 fc1=1,0,1
fails 2 'is not NAME=SX,ZX,SY,ZY' "$int8" --c-array -o "$out" --w8a8 fc1=1,0,1,128
fails 2 'is not NAME=SX,ZX,SY,ZY' "$int8" --c-array -o "$out" --w8a8 fc1=0,0,1,0
fails 2 'is not NAME=SX,ZX,SY,ZY' "$int8" --c-array -o "$out" --w8a8 fc1=1,0,1,0,5,4
fails 2 'is not NAME=SX,ZX,SY,ZY' "$int8" --c-array -o "$out" --w8a8 fc1=1,0,1,0,-9,4,7
fails 2 'names more than one' "$int8" --c-array -o "$out" --w8a8 '*=1,0,1,0'
fails 2 'twice' "$int8" --c-array -o "$out" --w8a8 fc1=1,0,1,0 --w8a8 fc1.weight=1,0,1,0
fails 1 'no quantized weight' "$int8" --c-array -o "$out" --w8a8 fc3=1,0,1,0
fails 1 'takes int8' "$scratch/q.safetensors" --c-array -o "$out" --w8a8 fc1=1,0,1,0
fails 1 'too large' "$int8" --c-array -o "$out" --w8a8 fc1=1,0,1e-30,0
fails 1 'type I64 is not exported' "$LQ_VECTORS/sharded" --c-array -o "$out" --include position_ids
fails 1 'is empty' "$LQ_VECTORS/malformed/st_ok_empty_tensor.safetensors" --c-array -o "$out" --include '*'
fails 1 'is not finite' "$LQ_VECTORS/malformed/st_ok_nan.safetensors" --c-array -o "$out" --include '*'
{ # a name of 250 letters: the header has 303 bytes and a blank, 304 = 1 * 256 + 48
  printf '\060\001\000\000\000\000\000\000{"'
  printf '%0250d' 0 | tr 0 a
  printf '":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} \000\000\000\000'
} >"$scratch/long.safetensors"
fails 1 'too many for a name' "$scratch/long.safetensors" --c-array -o "$out" --include '*'
fails 1 'can be static' "$LQ_VECTORS/checkpoints/tiny-llama-gptq-4bit-desc-act" --c-array -o "$out" --include k_proj
fails 1 'exists already' "$int8" --c-array -o "$scratch/two"
fails 1 '' "$scratch/nothing" --c-array -o "$out"
"$QUANT" quantize $digits -o "$scratch/d8.safetensors" -q --method dynamic8 || die "dynamic8"
fails 1 'can be static' "$scratch/d8.safetensors" --c-array -o "$out"

# Checkpoints of other programs: bitsandbytes and GPTQ.
for model in tiny-llama-bnb-nf4-dq tiny-llama-bnb-int8 tiny-llama-gptq-4bit-asym-v2; do
  "$QUANT" export "$LQ_VECTORS/checkpoints/$model" --c-array -o "$scratch/llama" -q --force || die "$model"
  # shellcheck disable=SC2086
  ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -c "$scratch/llama.c" -o "$scratch/llama.o" || die "$model"
done
exit $failed
