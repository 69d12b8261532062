#!/bin/sh
# A fuzzer on one target or on all of them in turn: fuzz.sh TARGET SECONDS libfuzzer|afl, see docs/fuzzing.md. In
# $LQ_BUILD/fuzz: the engine's build, and for each target its corpus, which the next run goes on with, and its findings.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/fuzz/targets.inc
. tests/tool_objects.inc
out=${LQ_BUILD:-$PWD/build}/fuzz
wanted=${1:-all}
seconds=${2:-60}
engine=${3:-libfuzzer}
sanitize=address,undefined
build=$out/$engine
passed=0 failed=0
case $engine in
libfuzzer) cc=clang cover=fuzzer-no-link, ;;
afl) cc=afl-clang-fast cover= ;;
*) echo "ENGINE is libfuzzer or afl"; exit 2 ;;
esac
[ "$wanted" != all ] || wanted=$targets
export AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1 AFL_QUIET=1

mkdir -p "$build"
cflags="-O1 -gline-tables-only -fsanitize=$cover$sanitize -fno-sanitize-recover=all"
command -v "$cc" >/dev/null || { echo "needs $cc"; exit 2; }
make -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)" CC="$cc" OPENMP=0 BUILD="$build" CFLAGS="$cflags" \
  LDFLAGS="-fsanitize=$sanitize" "$build/quant" >"$build.log" 2>&1 || { tail -n 40 "$build.log"; exit 1; }
rm -f "$build/tool.a"
tool_objects "$build" | xargs ar rcs "$build/tool.a" || exit 1

link() # TARGET
{
  $cc $fuzz_flags -O1 -gline-tables-only -fsanitize=fuzzer,$sanitize -fno-sanitize-recover=all $(link_flags "$1") \
    -o "$build/$1" "tests/fuzz/$1.c" "$build/tool.a" "$build/libquant.a" -lm
}

# What a target begins with as plain files in one folder; fuzzers want short ones.
seeds() # TARGET FOLDER
{
  rm -rf "$2"
  mkdir -p "$2"
  for input in $(inputs "$1"); do
    case $input in +*) ;; *) find "$input" -type f -size -20k ;; esac
  done | while read -r file; do cp "$file" "$2/$(echo "$file" | tr / _)"; done
  [ -n "$(ls "$2")" ] || head -c 400 LICENSE >"$2/any"
}

with_libfuzzer() # TARGET; prints the number of executions
{
  mkdir -p "$out/$1/corpus" "$out/$1/findings"
  "$build/$1" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -max_len=16384 -print_final_stats=1 -verbosity=1 \
    -artifact_prefix="$out/$1/findings/" "$out/$1/corpus" "$out/$1/seeds" >"$out/$1/log" 2>&1
  awk '/number_of_executed_units/ { n = $2 } END { print n + 0 }' "$out/$1/log"
}

with_afl()
{
  at=$out/$1/afl
  how=-i$out/$1/seeds
  [ ! -f "$at/default/fuzzer_stats" ] || how=-i-
  afl-fuzz -V "$seconds" -m none -t 5000+ "$how" -o "$at" -- "$build/$1" >"$out/$1/log" 2>&1
  mkdir -p "$out/$1/findings"
  cp "$at"/default/crashes/id* "$at"/default/hangs/id* "$out/$1/findings/" 2>/dev/null
  awk -F '[: ]+' '/^execs_done/ { n = $2 } END { print n + 0 }' "$at/default/fuzzer_stats"
}

for target in $wanted; do
  seeds "$target" "$out/$target/seeds"
  if ! link "$target"; then
    failed=$((failed + 1))
    continue
  fi
  count=$(with_"$engine" "$target")
  findings=$(ls "$out/$target/findings" | wc -l)
  printf '%-22s %12s executions, %s findings in %s\n' "$target" "$count" "$findings" "$out/$target/findings"
  if [ "$count" -gt 0 ] && [ "$findings" -eq 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    tail -n 5 "$out/$target/log" | sed 's/^/      /'
  fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
