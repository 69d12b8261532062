#!/bin/sh
# Which lines and branches the tests reach: `make coverage` builds with counters, runs the tests, and asks gcovr (gcovr.cfg).
# TESTS="..." runs some, SET=readers, SET=writers or SET=both those that these need. In build/coverage: lines.txt and branches.txt, a row
# for each file with what was not reached. Two sets have to be reached whole: the readers, everything that takes apart bytes from
# outside, and the writers, everything that the disk may refuse. Of the whole gcovr.cfg says how much.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = coverage ] || { echo "asked for by make coverage"; exit 77; }
gcovr --help 2>/dev/null | grep -q -e --txt-metric || {
  echo "make coverage needs gcovr 8 or later: pip install gcovr (in a virtual environment, whose bin goes into PATH)"
  exit 77
}
out=${LQ_BUILD:-$PWD/build}/coverage
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
# Threads count as well, so atomically. cli_oom.sh: with no memory the counters cannot be written either. faults.sh: a process that
# is killed loses its counters, and faults would hit the files of the others; files_faults.sh has the same calls fail in one process.
scripts=$(ls tests/cli_*.sh tests/files_faults.sh | grep -v oom)
readers='^(src/files/(json_?[a-z]*|st_header|st_read|st_dtype|gguf_read|gguf_value|shard_index|pattern|utf8|grow|model|model_folder)[.]c'
readers=$readers'|src/model/(gguf_[a-z]*|spec|rope|tok_[a-z_]*|tokenizer|corpus)[.]c'
readers=$readers'|lib/(layout/[a-z]*|api/planes|method/calibration)[.]c)$'
writers='^src/files/(io|buf|fail|sha256|system_[a-z]*|interrupt|json_print|json_edit|journal|job|job_parts|out_[a-z]*|st_write)[.]c$'
tool_scripts="tests/cli_errors.sh tests/cli_surface.sh"
tests_of_writers="$(echo tests/test_files_*.c) tests/files_faults.sh $tool_scripts"
tests_of_readers="$(echo tests/test_files_*.c tests/test_tool_gguf*.c tests/test_tool_tokenizer*.c tests/test_planes*.c) \
  tests/test_tool_readers.c tests/test_tool_model.c tests/test_gguf.c tests/test_gptq_layouts.c tests/test_gptq_pairs.c tests/test_oom.c tests/files_faults.sh"
chosen=${TESTS:+yes} # then nothing has to be whole
case ${SET:-all} in
readers) TESTS=${TESTS:-$tests_of_readers} ;;
both) TESTS=${TESTS:-$tests_of_readers $tool_scripts} ;;
writers) TESTS=${TESTS:-$tests_of_writers} ;;
esac
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
  marked=$(grep -nE 'GCOVR_EXCL_(LINE|BR_LINE|START)' $(find lib src -name "*.[ch]" | sort | grep -E "$2"))
  echo "$1: $(printf '%s' "$marked" | grep -c .) places marked as out of reach"
  printf '%s\n' "$marked" | sed 's/^/  /; s/:  *.*GCOVR_EXCL/: GCOVR_EXCL/; s, [*]/$,,'
}

least=--fail-under-line=0
[ "${SET:-all}$chosen" != all ] || least=
report branches.txt --txt-metric branch --fail-under-line 0 || verdict=1
report lines.txt $least || { verdict=1; echo "less than gcovr.cfg asks for"; }
case ${SET:-all} in
readers) whole_set readers "$readers" ;;
writers) whole_set writers "$writers" ;;
*)
  whole_set readers "$readers"
  whole_set writers "$writers"
  [ "${SET:-all}" = all ] || exit $verdict
  echo "lines, all: $(figure lines.txt '^(src|lib|include)/')"
  echo "branches, all: $(figure branches.txt '^(src|lib|include)/')"
  echo "marked, all: $(grep -rE 'GCOVR_EXCL_(LINE|BR_LINE|START)' lib src | grep -c .) places"
  ;;
esac
[ $verdict -eq 0 ] || echo "coverage: not what is asked for"
exit $verdict
