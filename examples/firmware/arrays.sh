#!/bin/sh
# The arrays of the example: arrays.sh QUANT FOLDER quantizes digits.safetensors in each way and writes it as C to FOLDER.
set -eu
quant=$1 to=$2
model=$(dirname "$0")/digits.safetensors

each() # NAME OPTION...: quantized with the options
{
  name=$1
  shift
  "$quant" quantize "$model" -o "$to/$name.safetensors" --quiet --force "$@"
  "$quant" export "$to/$name.safetensors" --c-array -o "$to/$name" --quiet --force
}

each nf4 --method nf4 --nested
each fp4 --method fp4
each int8 --method int8
each affine --method rtn --bits 4 --group-size 32 --asym --format native
# Scales and zero points of pixels, hidden units and outputs are those that train.py prints.
for rounding in double single; do
  name=w8a8
  [ $rounding = double ] || name=w8a8_single
  "$quant" export "$to/int8.safetensors" --c-array -o "$to/$name" --quiet --force --rounding $rounding \
    --w8a8 fc1.weight=0.0625,0,0.0228166,-128 --w8a8 fc2.weight=0.0228166,-128,0.1667,-6
done
"$quant" export "$model" --c-array -o "$to/digits" --quiet --force --include images --include labels
