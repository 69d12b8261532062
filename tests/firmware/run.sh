#!/bin/sh
# The firmware part, for `make check-firmware`: lib/api/static.c built for Cortex-M as firmware builds it, its sizes, its
# stack, and runs on emulated boards whose results must be the host's bit for bit. LQ_CORES names other cores than all.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${LQ_BUILD:-build} quant=${QUANT:-build/quant} cc=${CC:-cc}
cross=arm-none-eabi-
passed=0 failed=0

for tool in ${cross}gcc qemu-system-arm; do
  command -v $tool >/dev/null || { echo "skipped: needs $tool"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
done
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
out=$scratch
report=$build/firmware.txt
: >"$report"

check() # TEXT COMMAND...
{
  text=$1
  shift
  if "$@" >"$out/log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAIL  $text"
    sed 's/^/      /' "$out/log" | head -n 20
  fi
}

# What each core is called with, and the board of the emulator that has it; none where only the build is looked at.
options_of()
{
  case $1 in
  cortex-m4) echo "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16" ;;
  cortex-m55) echo "-mcpu=cortex-m55 -mthumb -mfloat-abi=hard" ;;
  *) echo "-mcpu=$1 -mthumb" ;;
  esac
}

board_of()
{
  case $1 in
  cortex-m4) echo mps2-an386 ;;
  cortex-m55) echo mps3-an547 ;;
  esac
}

warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wcast-align -Wdouble-promotion
  -Walloca -Werror"
include="-Iinclude -Iexamples/firmware -I$out"
free="-std=c11 -ffreestanding -DLQ_FREESTANDING"

# ---- arrays, and what the host says ----

echo "arrays from $(basename "$quant") export"
check "arrays of the example" sh examples/firmware/arrays.sh "$quant" "$out"
vectors=tests/vectors
down='model.layers.0.mlp.down_proj.weight'
check "arrays of golden vectors" "$quant" export $vectors/fixed_point/requant.safetensors --c-array -o "$out/fixed" \
  --include acc --include m --include shift --include double --include single --include 'fc.*' \
  --exclude 's64.*' --exclude fc.bias_f --exclude fc.param --exclude fc.sw
check "arrays of restored weights" "$quant" export $vectors/bitsandbytes/restored.safetensors --c-array \
  -o "$out/restored" --include '*'
check "arrays of an nf4 checkpoint" "$quant" export $vectors/checkpoints/tiny-llama-bnb-nf4-dq --c-array \
  -o "$out/llama_nf4" --include $down
check "arrays of an int8 checkpoint" "$quant" export $vectors/checkpoints/tiny-llama-bnb-int8 --c-array \
  -o "$out/llama_int8" --include $down

golden="tests/firmware/golden.c $out/fixed.c $out/restored.c $out/llama_nf4.c $out/llama_int8.c"
digits="examples/firmware/digits.c $out/digits.c $out/nf4.c $out/fp4.c $out/int8.c $out/affine.c $out/w8a8.c
  $out/w8a8_single.c"
openmp=
[ "${OPENMP:-1}" != 1 ] || openmp=-fopenmp
for program in golden digits; do
  eval "sources=\$$program"
  # shellcheck disable=SC2086,SC2154 # words
  check "$program for the host" $cc -std=c11 $warnings ${CFLAGS:-} $include -o "$out/$program.host" $sources \
    examples/firmware/host.c "$build/libquant.a" ${LDFLAGS:-} $openmp -lm
  check "$program on the host" sh -c "'$out/$program.host' >'$out/$program.want'"
done
cat "$out/digits.want"
tail -n 1 "$out/golden.want"

# ---- builds ----

allowed='^(memcpy|memset|memmove|__aeabi_(mem[a-z0-9]*|[a-ce-z][a-z0-9]*))$' # none of double, __aeabi_d...

symbols() # OBJECT: calls what it may, and has no variables
{
  ${cross}nm -u "$1" | awk '{ print $2 }' | grep -Ev "$allowed" && return 1
  ${cross}size "$1" | awk 'NR == 2 && $2 + $3 != 0 { print "variables:", $0; exit 1 }'
}

bounded() # CALLGRAPH BYTES FUNCTION...
{
  graph=$1 most=$2
  shift 2
  awk -f tests/firmware/stack.awk "$graph" "$@" | tee "$out/stack" |
    awk -v most="$most" '$2 == "?" || $2 > most { bad = 1 } { print } END { exit bad }'
}

code_of() # FUNCTION OBJECT OPTION...: bytes of a program that calls it alone, less those of one that calls nothing
{
  called=$1 object=$2
  shift 2
  for call in 0 "(uintptr_t)$called"; do
    printf '#include <libquant.h>\nuintptr_t reset(void);\nuintptr_t reset(void) { return %s; }\n' "$call" >"$out/one.c"
    ${cross}gcc -std=c11 -O2 -ffreestanding -Iinclude "$@" -ffunction-sections -Wl,--gc-sections -nostartfiles \
      -T examples/firmware/mps.ld "$out/one.c" "$object" -o "$out/one.elf" || return 1
    ${cross}size "$out/one.elf" | awk 'NR == 2 { print $1 }'
  done | awk 'NR == 1 { least = $1 } NR == 2 { print $1 - least }'
}

emulate() # BOARD ELF [OPTION...]
{
  machine=$1 elf=$2
  shift 2
  timeout 60 qemu-system-arm -M "$machine" -nographic -monitor none -serial none \
    -semihosting-config enable=on,target=native "$@" -kernel "$elf" </dev/null
}

same() # BOARD PROGRAM
{
  emulate "$1" "$out/$2.elf" >"$out/$2.got" 2>&1 && diff "$out/$2.want" "$out/$2.got"
}

# COMPILER-AND-FLAGS CORE BOARD LABEL: the programs with the library built so.
runs()
{
  compiler=$1 options=$(options_of "$2") machine=$3 label=$4
  # shellcheck disable=SC2086 # words
  check "$label: library" $compiler $free $warnings $include -c lib/api/static.c -o "$out/other.o"
  for program in golden digits; do
    eval "sources=\$$program"
    # shellcheck disable=SC2086
    check "$label: $program" ${cross}gcc -std=c11 -O2 -ffreestanding $options $include -nostartfiles \
      -T examples/firmware/mps.ld $sources examples/firmware/startup.c "$out/other.o" -o "$out/$program.elf"
    check "$label: $program: the bits of the host" same "$machine" $program
  done
}

core() # NAME
{
  options=$(options_of "$1") machine=$(board_of "$1")
  # shellcheck disable=SC2086 # words
  {
    check "$1: build" ${cross}gcc $free -O2 $options $warnings $include -ffunction-sections \
      -fcallgraph-info=su -c lib/api/static.c -o "$out/static.o"
    check "$1: calls and variables" symbols "$out/static.o"
    functions="lq_static_check lq_static_decode lq_static_check_w8a8 lq_static_matvec_w8a8 lq_requantize"
    [ -z "$machine" ] || functions="$functions lq_static_matvec"
    check "$1: stack below 512 bytes" bounded "$out/static.ci" 512 $functions
    for function in $functions; do
      bytes=$(code_of $function "$out/static.o" $options)
      printf '%-11s %-22s %6s bytes of code %5s of stack\n' "$1" $function "$bytes" \
        "$(awk -v f=$function '$1 == f { print $2 }' "$out/stack")" | tee -a "$report"
      check "$1: $function: at most 8 KiB of code" [ "${bytes:-99999}" -le 8192 ]
    done
  }
  check "$1: libquant.c" ${cross}gcc $free -O2 $options $warnings -c "$out/libquant.c" -o "$out/one.o"
  check "$1: libquant.c: calls and variables" symbols "$out/one.o"
  [ -n "$machine" ] || return 0
  per_method "$1"
  for kind in nf4 fp4 affine int8 w8a8; do
    # shellcheck disable=SC2086
    check "$1: arrays of $kind" ${cross}gcc -std=c11 $warnings $options $include -c "$out/$kind.c" -o "$out/kind.o"
    ${cross}size "$out/kind.o" | awk -v core="$1" -v kind=$kind 'NR == 2 {
      printf "%-11s %-22s %6d bytes of constants for 4736 weights, %d of variables\n", core, kind, $1, $2 + $3 }' |
      tee -a "$report"
  done
  for flags in -O2 -O3 -Os "-O2 -std=gnu11 -ffp-contract=fast"; do
    runs "${cross}gcc $options $flags" "$1" "$machine" "$1 gcc $flags"
  done
  # shellcheck disable=SC2086
  check "$1: measurement" ${cross}gcc -std=c11 -O2 -ffreestanding $warnings $options $include -nostartfiles \
    -T examples/firmware/mps.ld tests/firmware/measure.c examples/firmware/startup.c "$out/static.o" \
    -o "$out/measure.elf"
  check "$1: measurement runs" emulate "$machine" "$out/measure.elf" -icount shift=0
  awk -v core="$1" '{ printf "%-11s %-7s %-11s %6s instructions a weight\n", core, $1, $2, $3 }' "$out/log" |
    tee -a "$report"
  if [ "$1" = cortex-m55 ]; then
    helium=$(${cross}objdump -d -m armv8.1-m.main "$out/static.o" | grep -cE 'vmlav[a-z]*\.s8')
    floats=$(${cross}objdump -d -m armv8.1-m.main "$out/static.o" | grep -cE '\.f32[[:space:]]+q')
    echo "$1  $helium instructions vmladava.s8 and vmladavat.s8, $floats of Helium in f32" | tee -a "$report"
    check "$1: Helium in integer products, not in others" [ "$helium" -ge 10 ] && [ "$floats" -eq 0 ]
  fi
  clang_runs "$1" "$machine"
}

# Code of programs that call lq_static_matvec and lq_static_decode, with one method in the build.
per_method() # CORE
{
  for method in nf4,fp4 affine int8; do
    without=
    for other in NF4 FP4 AFFINE INT8; do
      case ,$method, in *,"$(echo $other | tr A-Z a-z)",*) ;; *) without="$without -DLQ_WITHOUT_$other" ;; esac
    done
    # shellcheck disable=SC2046,SC2086
    {
      check "$1: $method alone" ${cross}gcc $free -O2 $(options_of "$1") $warnings $include $without \
        -ffunction-sections -c lib/api/static.c -o "$out/part.o"
      bytes=$(code_of "lq_static_matvec + (uintptr_t)lq_static_decode" "$out/part.o" $(options_of "$1"))
    }
    printf '%-11s %-22s %6s bytes of code to decode and multiply\n' "$1" $method "$bytes" | tee -a "$report"
    check "$1: $method: at most 8 KiB of code" [ "${bytes:-99999}" -le 8192 ]
  done
}

# The same with clang, where it is: it links with what gcc has.
clang_runs() # CORE BOARD
{
  command -v clang >/dev/null || { echo "skipped: $1 with clang, which is not here"; return 0; }
  target=thumbv7em-none-eabihf
  [ "$1" != cortex-m55 ] || target=thumbv8.1m.main-none-eabihf
  runs "clang --target=$target $(options_of "$1") -O2 -fshort-enums" "$1" "$2" "$1 clang -O2"
}

# Code blocks of docs/firmware.md that begin with WORD.
blocks()
{
  awk -v word="$1" '/^```/ { on = !on; n = 0; next } on && ++n == 1 { its = $1 == word } on && its' docs/firmware.md
}

# The page as a reader takes it: its program, its commands in the order that they have there, its checksums.
page()
{
  mkdir -p "$out/page/bin" && ln -s "$PWD/include" "$PWD/lib" "$out/page" && ln -s "$quant" "$out/page/bin/quant" || return 1
  cp examples/firmware/digits.safetensors "$out/page/model.safetensors"
  blocks '#include' >"$out/page/classify.c"
  # What was written by the first `export` is in the way of the second.
  blocks quant | sed 's/-o net /-o net --force /' >"$out/page/quant.sh"
  blocks ${cross}gcc >"$out/page/compile.sh"
  [ "$(grep -c . "$out/page/quant.sh")" -ge 5 ] && [ -s "$out/page/compile.sh" ] || { echo "commands are missing"; return 1; }
  (cd "$out/page" && PATH=$out/page/bin:$PATH && sed 2q quant.sh | sh -ex && sh -ex compile.sh && sed 1,2d quant.sh | sh -ex) &&
    blocks nf4: | diff - "$out/digits.want"
}
check "docs/firmware.md: commands and checksums" page

# The library as one file has the same part.
amalgamation()
{
  awk -f lib/amalgamate.awk lib/sources.list >"$out/libquant.c" && cp include/libquant.h "$out"
}
check "libquant.c" amalgamation

for name in ${LQ_CORES:-cortex-m4 cortex-m55 cortex-m3 cortex-m0plus}; do
  core "$name"
done

echo
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
