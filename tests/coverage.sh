#!/bin/sh
# Which lines and branches the tests reach: `make coverage` builds with counters, runs the tests, and asks gcovr (gcovr.cfg).
# TESTS="..." runs some. In build/coverage: lines.txt and branches.txt, a row for each file with what was not reached.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = coverage ] || { echo "asked for by make coverage"; exit 77; }
command -v gcovr >/dev/null 2>&1 || { echo "no gcovr (pip install gcovr)"; exit 77; }
out=${LQ_BUILD:-$PWD/build}/coverage
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
# Threads count as well, so atomically. cli_oom.sh: with no memory the counters cannot be written either; cli_bench.sh measures time.
scripts=$(ls tests/cli_*.sh tests/files_faults.sh | grep -v -e oom -e bench)
mkdir -p "$out"
find "$out" -name '*.gcda' -exec rm -f {} +
make -j"$jobs" check CC="${CC:-gcc}" OPENMP=0 BUILD="$out" CFLAGS="-O0 -g --coverage -fprofile-update=atomic" LDFLAGS=--coverage \
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

# figure FILE PATTERN: how much of the files whose names begin so was reached
figure()
{
  awk -v pattern="$2" '$1 ~ pattern && $2 ~ /^[0-9]+$/ { all += $2; reached += $3 }
    END { printf "%d of %d, %.1f %%\n", reached, all, all ? 100 * reached / all : 0 }' "$out/$1"
}

report branches.txt --txt-metric branch --fail-under-line 0 || verdict=1
report lines.txt || { verdict=1; echo "less than gcovr.cfg asks for"; }
parsers='^(src/files|lib/layout)/'
grep -E "$parsers" "$out/lines.txt" | grep -v 100%
echo "lines, all                    $(figure lines.txt '^(src|lib|include)/')"
echo "lines, parsers and files      $(figure lines.txt "$parsers")"
echo "branches, all                 $(figure branches.txt '^(src|lib|include)/')"
echo "branches, parsers and files   $(figure branches.txt "$parsers")"
exit $verdict
