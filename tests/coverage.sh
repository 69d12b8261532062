#!/bin/sh
# Which lines and branches the tests reach: `make coverage` builds with counters, runs the tests, and asks gcovr (gcovr.cfg).
# TESTS="..." runs some. In build/coverage: lines.txt and branches.txt for everything, parsers.txt for what reads files.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = coverage ] || { echo "asked for by make coverage"; exit 77; }
command -v gcovr >/dev/null 2>&1 || { echo "no gcovr (pip install gcovr)"; exit 77; }
out=${LQ_BUILD:-$PWD/build}/coverage
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
# cli_oom.sh: with no memory the counters cannot be written either; cli_bench.sh measures time.
scripts=$(ls tests/cli_*.sh tests/files_faults.sh | grep -v -e oom -e bench)
mkdir -p "$out"
find "$out" -name '*.gcda' -exec rm -f {} +
make -j"$jobs" check CC="${CC:-gcc}" OPENMP=0 BUILD="$out" CFLAGS="-O0 -g --coverage" LDFLAGS=--coverage \
  TESTS="${TESTS:-$(echo tests/test_*.c tests/checkkern.c $scripts)}" >"$out/check.log" 2>&1
verdict=$?
grep -E '^FAIL|^[0-9]+ passed' "$out/check.log"

# report FILE OPTION...
report()
{
  file=$1
  shift
  gcovr --config gcovr.cfg --object-directory "$out" -j "$jobs" "$@" --txt "$out/$file" "$out/lib" "$out/src"
}

total() # FILE: its last line but one
{
  awk '/^TOTAL/ { print $2 " of which reached " $3 ", " $4 }' "$out/$1"
}

report branches.txt --txt-metric branch --fail-under-line 0 || verdict=1
report parsers.txt --filter src/files/ --filter lib/layout/ --fail-under-line 0 || verdict=1
report parsers-branches.txt --filter src/files/ --filter lib/layout/ --txt-metric branch --fail-under-line 0 || verdict=1
report lines.txt || { verdict=1; echo "less than gcovr.cfg asks for"; }
sed 1,4d "$out/parsers.txt"
echo "lines     $(total lines.txt)"
echo "branches  $(total branches.txt)"
echo "parsers and files, lines     $(total parsers.txt)"
echo "parsers and files, branches  $(total parsers-branches.txt)"
exit $verdict
