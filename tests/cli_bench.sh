#!/bin/sh
# cli_bench.sh - `quant bench` runs its cases and tells limits and results, as text and as JSON.
# What the figures are is not tested: they belong to the machine.
set -u
. "${0%/*}/cli.sh.inc"

"$QUANT" bench --quick --size 96x160 --threads 1 >"$scratch/text" 2>&1 || { cat "$scratch/text"; die "bench"; }
for part in 'Cold, 96 x 160' 'In cache, 1024 x 1024' 'GFLOP/s f32' 'GOP/s int8' \
  'quantize f32 to nf4' 'dequantize int8 to f32' 'multiply nf4 by f32, M 1, fast' \
  'multiply nf4 by f32, M 64'; do
  grep -qF "$part" "$scratch/text" || { cat "$scratch/text"; die "no line with '$part'"; }
done
grep -qE 'nan|inf|-[0-9]' "$scratch/text" && { cat "$scratch/text"; die "a figure that is none"; }

"$QUANT" bench --quick --size 64x64 --threads 1 --json >"$scratch/json" 2>&1 || die "bench --json"
for part in '"multiply_f32"' '"multiply_i8"' '"multiply_bf16"' '"compute": "fast"' '"m": 64' \
  '"share_of_limit"' '"gflops"'; do
  grep -qF "$part" "$scratch/json" || { cat "$scratch/json"; die "no member $part"; }
done
exit $failed
