#!/bin/sh
# Which lines and branches the tests reach: `make coverage` builds with counters, runs the tests, and asks gcovr (gcovr.cfg).
# TESTS="..." runs some, SET=readers those that the readers need. In build/coverage: lines.txt and branches.txt, a row for each
# file with what was not reached. The readers, everything that takes apart bytes from outside, have to be reached whole.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = coverage ] || { echo "asked for by make coverage"; exit 77; }
command -v gcovr >/dev/null 2>&1 || { echo "no gcovr (pip install gcovr)"; exit 77; }
out=${LQ_BUILD:-$PWD/build}/coverage
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
# Threads count as well, so atomically. cli_oom.sh: with no memory the counters cannot be written either; cli_bench.sh measures time.
scripts=$(ls tests/cli_*.sh tests/files_faults.sh | grep -v -e oom -e bench)
readers='^(src/files/(json_?[a-z]*|st_header|st_read|st_dtype|gguf_read|gguf_value|shard_index|pattern|utf8|grow|model|model_folder)[.]c'
readers=$readers'|src/model/(gguf_[a-z]*|spec|rope|tok_[a-z_]*|tokenizer|corpus)[.]c'
readers=$readers'|lib/(layout/[a-z]*|api/planes|method/calibration)[.]c)$'
tests_of_readers="$(echo tests/test_files_*.c tests/test_tool_gguf*.c tests/test_tool_tokenizer*.c tests/test_planes*.c) \
  tests/test_tool_readers.c tests/test_tool_model.c tests/test_gguf.c tests/test_gptq_layouts.c tests/test_gptq_pairs.c tests/test_oom.c tests/files_faults.sh"
chosen=${TESTS:+yes} # then nothing has to be whole
[ "${SET:-all}" != readers ] || TESTS=${TESTS:-$tests_of_readers}
mkdir -p "$out"
find "$out" -name '*.gcda' -exec rm -f {} +
find "$out/lib" "$out/src" -name '*.gcno' 2>/dev/null | while read -r notes; do # of sources that are gone since the last build
  source=${notes#"$out/"}
  [ -f "${source%.gcno}.c" ] || rm -f "${notes%.gcno}".*
done
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

# whole_set NAME PATTERN: every line and branch of these files was reached, but for those that are marked, which are listed
whole_set()
{
  for kind in lines branches; do
    left=$(awk -v pattern="$2" '$1 ~ pattern && $2 ~ /^[0-9]+$/ && $2 != $3' "$out/$kind.txt")
    [ -z "$left" ] || { echo "$kind of $1 that no test reaches:"; echo "$left"; [ -n "$chosen" ] || verdict=1; }
    echo "$kind, $1: $(figure $kind.txt "$2")"
  done
  # shellcheck disable=SC2046 # names without spaces
  marked=$(grep -nE 'GCOVR_EXCL_(LINE|BR_LINE|START)' $(git ls-files lib src | grep -E "$2"))
  echo "$1: $(printf '%s' "$marked" | grep -c .) places marked as out of reach"
  printf '%s\n' "$marked" | sed 's/^/  /; s/:  *.*GCOVR_EXCL/: GCOVR_EXCL/; s, [*]/$,,'
}

least=--fail-under-line=0
[ "${SET:-all}" = readers ] || least=
report branches.txt --txt-metric branch --fail-under-line 0 || verdict=1
report lines.txt $least || { verdict=1; echo "less than gcovr.cfg asks for"; }
if [ "${SET:-all}" = readers ]; then
  whole_set readers "$readers"
  exit $verdict
fi
parsers='^(src/files|lib/layout)/'
grep -E "$parsers" "$out/lines.txt" | grep -v 100%
echo "lines, all                    $(figure lines.txt '^(src|lib|include)/')"
echo "lines, parsers and files      $(figure lines.txt "$parsers")"
echo "branches, all                 $(figure branches.txt '^(src|lib|include)/')"
echo "branches, parsers and files   $(figure branches.txt "$parsers")"
whole_set readers "$readers"
exit $verdict
