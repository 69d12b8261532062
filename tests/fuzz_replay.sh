#!/bin/sh
# Every fuzz target on its seeds, the malformed files among the vectors and all past findings: docs/fuzzing.md.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/fuzz/targets.inc
. tests/tool_objects.inc
build=${LQ_BUILD:-build}
out=$build/tests/fuzz
[ "$(uname -s)" = Linux ] || { echo "links with --wrap"; exit 77; }
mkdir -p "$out" || exit 1
passed=0 failed=0 total=0

tool=$build/libtool.a # meson has it
if [ ! -f "$tool" ]; then
  tool=$out/tool.a
  rm -f "$tool"
  tool_objects "$build" | xargs "${AR:-ar}" rcs "$tool" || exit 1
fi
openmp=
[ "${OPENMP:-0}" != 1 ] || openmp=-fopenmp
compile="${CC:-cc} $fuzz_flags ${CPPFLAGS-} ${CFLAGS-}"
$compile -c -o "$out/replay.o" tests/fuzz/replay.c || exit 1

for target in $targets; do
  if $compile $(link_flags "$target") ${LDFLAGS-} -o "$out/$target" "tests/fuzz/$target.c" "$out/replay.o" "$tool" \
    "$build/libquant.a" $openmp -lm >"$out/$target.log" 2>&1 &&
    ${EMULATOR-} "$out/$target" $(inputs "$target") >>"$out/$target.log" 2>&1; then
    passed=$((passed + 1))
    count=$(awk '/ inputs$/ { n = $1 } END { print n }' "$out/$target.log")
    total=$((total + count))
    printf 'ok    %-22s %5d inputs\n' "$target" "$count"
  else
    failed=$((failed + 1))
    printf 'FAIL  %s\n' "$target"
    tail -n 40 "$out/$target.log" | sed 's/^/      /'
  fi
done

# Shown to be able to fail: a target that aborts.
printf '#include "%s"\nint LLVMFuzzerTestOneInput(const uint8_t *d, size_t n)\n{\n  (void)d;\n  CHECK(n > 1000, "short");\n  return fuzz_end();\n}\n' \
  "$PWD/tests/fuzz/fuzz.h" >"$out/failing.c"
if $compile ${LDFLAGS-} -o "$out/failing" "$out/failing.c" "$out/replay.o" "$build/libquant.a" $openmp -lm &&
  ! sh -c 'ulimit -c 0; "$0" +1; exit $?' "$out/failing" >"$out/failing.log" 2>&1 && grep -q 'generated 0' "$out/failing.log"; then
  :
else
  echo "self-test: a failing target passed"
  failed=$((failed + 1))
fi
echo "$total inputs"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
