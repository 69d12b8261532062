#!/bin/sh
# Every allocation fails, once and from there on, under the address and undefined-behaviour sanitizers. `make check-oom` runs
# all parts, PARTS=library one. The library's part is tests/test_oom.c, which also covers every name of lib/libquant.sym; the
# tool's is tests/cli_oom.sh, LQ_OOM=N of whose allocations are enough where time is short.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = oom ] || { echo "asked for by make check-oom"; exit 77; }
out=${LQ_BUILD:-$PWD/build}/sanitized
flags=-fsanitize=address,undefined,float-cast-overflow
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
passed=0 failed=0

make_sanitized() # TARGET...
{
  make -j"$jobs" CC="${CC:-gcc}" OPENMP=0 BUILD="$out" LDFLAGS="$flags" \
    CFLAGS="-O1 -g $flags -fno-sanitize-recover=all -fno-omit-frame-pointer" "$@"
}

library()
{
  make_sanitized "$out/tests/test_oom" >"$out/library.log" 2>&1 &&
    LQ_VECTORS=$PWD/tests/vectors "$out/tests/test_oom" >>"$out/library.log" 2>&1
}

tool()
{
  make_sanitized "$out/quant" >"$out/tool.log" 2>&1 &&
    CC="${CC:-gcc}" OPENMP=0 CFLAGS="-O1 -g $flags" LDFLAGS="$flags" LQ_BUILD=$out LQ_VECTORS=$PWD/tests/vectors \
      QUANT=$out/quant LQ_OOM=${LQ_OOM:-all} sh tests/cli_oom.sh >>"$out/tool.log" 2>&1
}

mkdir -p "$out"
for part in ${PARTS:-library tool}; do
  if "$part"; then
    passed=$((passed + 1))
    echo "ok    $part: $(tail -n 1 "$out/$part.log")"
  else
    failed=$((failed + 1))
    echo "FAIL  $part:"
    tail -n 40 "$out/$part.log"
  fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
