#!/bin/sh
# What tools say about the sources and about the tests that run under them; every finding fails. `make check-analysis` runs the
# parts below over all sources, PARTS="cppcheck msan" some, QUICK=1 clang-tidy over readers alone. A part whose tool is absent is
# skipped.
# Owns: the options of the tools. What a tool is not to say is written where it would say it, or in .clang-tidy.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = analysis ] || { echo "asked for by make check-analysis"; exit 77; }
out=${LQ_BUILD:-$PWD/build}/analysis
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
passed=0 failed=0 skipped=0
usual="cppcheck tidy fanalyzer integer msan valgrind"
options="-std=c11 -Iinclude -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64"

# What reads bytes that others wrote.
parsers="src/files/*.c lib/layout/*.c lib/api/*.c"
parser_tests=$(ls tests/test_files*.c)
other_tests="tests/test_api.c tests/test_lying_state.c tests/test_gguf.c tests/test_planes.c tests/test_tool_tokenizer.c"

# Every source but the kernels of instruction sets: intrinsics say nothing to these tools.
plain()
{
  sed 's/#.*//' lib/sources.list src/sources.list | tr ' ' '\n' | grep '\.c$' |
    grep -v -E '_(avx|neon|dotprod)[a-z0-9]*\.c$|/amx\.c$'
}

# each SOURCES COMMAND...: the command with a source of the list after it, some at a time
each()
{
  sources=$1
  shift
  printf '%s\n' $sources | xargs -n 1 -P "$jobs" "$@"
}

# tested FOLDER TESTS VARIABLE...: these tests in a build of their own
tested()
{
  folder=$1 tests=$2
  shift 2
  make -j"$jobs" check OPENMP=0 BUILD="$folder" TESTS="$tests" "$@"
}

run_cppcheck()
{
  # shellcheck disable=SC2046 # words
  cppcheck --enable=warning,portability --std=c11 --error-exitcode=2 --inline-suppr --quiet -j "$jobs" --template=gcc \
    -Iinclude -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -D__linux__ -D__x86_64__ -D__GNUC__=12 \
    $(plain)
}

# With the checks of `clang --analyze`, which itself does not know NOLINT.
run_tidy()
{
  sources=$(plain)
  [ "${QUICK:-0}" != 1 ] || sources=$(ls $parsers)
  # shellcheck disable=SC2016 # the inner shell's
  each "$sources" sh -c 'clang-tidy --quiet --warnings-as-errors="*" "$1" -- $0 2>/dev/null' "$options"
}

# GCC 12 takes a block that is stored in an array of structs for lost, and what qsort or memcpy have written for unset; what leaks
# tell the address sanitizer, valgrind and tests/files_faults.c, what is unset the memory sanitizer.
run_fanalyzer()
{
  # shellcheck disable=SC2086 # words
  each "$(plain)" gcc $options -O0 -Werror -fanalyzer -Wno-analyzer-malloc-leak -Wno-analyzer-use-of-uninitialized-value \
    -c -o /dev/null
}

# Arithmetic of the parsers that wraps, or loses bits as a value becomes narrower. The library and the tests compute hashes
# and random numbers that wrap all the time.
run_integer()
{
  flags="-fsanitize=integer,implicit-conversion -fno-sanitize-recover=all"
  tested "$out/integer" "$parser_tests" CC=clang LDFLAGS="$flags" \
    CFLAGS="-O1 -g $flags -fsanitize-ignorelist=tests/integer.ignore"
}

run_msan()
{
  flags=-fsanitize=memory
  wrapped="$out/msan_stat.o"
  for name in fstat64 stat64 lstat64 fstatat64; do
    wrapped="$wrapped -Wl,--wrap=$name"
  done
  clang -std=c11 -D_FILE_OFFSET_BITS=64 -D_POSIX_C_SOURCE=200809L -O1 -c -o "$out/msan_stat.o" tests/msan_stat.c &&
    tested "$out/msan" "$parser_tests $other_tests" CC=clang LDFLAGS="$flags $wrapped" \
      CFLAGS="-O1 -g $flags -fsanitize-memory-track-origins -fno-omit-frame-pointer"
}

run_valgrind()
{
  tested "$out/valgrind" "$parser_tests $other_tests" CC="${CC:-gcc}" CFLAGS="-O1 -g" \
    EMULATOR="valgrind -q --error-exitcode=9 --leak-check=full"
}

tool() # PART: what it needs
{
  case $1 in
  tidy) echo clang-tidy ;;
  integer | msan) echo clang ;;
  fanalyzer) echo gcc ;;
  *) echo "$1" ;;
  esac
}

mkdir -p "$out"
for part in ${PARTS:-$usual}; do
  needed=$(tool "$part")
  log=$out/$part.log
  if ! command -v "$needed" >/dev/null 2>&1; then
    skipped=$((skipped + 1))
    echo "skip  $part: no $needed"
  elif "run_$part" >"$log" 2>&1; then
    passed=$((passed + 1))
    echo "ok    $part $(grep -E '^[0-9]+ passed, ' "$log" | tail -n 1)"
  else
    failed=$((failed + 1))
    echo "FAIL  $part: $(grep -c -E '(warning|error): ' "$log") findings"
    tail -n 60 "$log"
  fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
