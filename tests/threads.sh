#!/bin/sh
# Several threads inside the library at once: tests/test_threads.c and test_shared.c, and those of factors and of GPTQ, under
# the thread sanitizer with pools of POSIX threads; the first two also with OpenMP at several settings of its own. `make check-threads` runs both parts, PARTS=openmp one.
# OpenMP's library is not built for the sanitizer, which takes its barriers for races: so not both at once.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "${LQ_CHECK:-}" = threads ] || { echo "asked for by make check-threads"; exit 77; }
build=${LQ_BUILD:-$PWD/build}
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
passed=0 failed=0 skipped=0
mkdir -p "$build/threads"

run() # NAME PROGRAM [VARIABLE=VALUE...]
{
  name=$1 program=$2
  shift 2
  log=$build/threads/$name.log
  # A program that waits for ever is a finding too.
  env "$@" timeout "${LQ_TIMEOUT:-1200}" "$program" >"$log" 2>&1
  status=$?
  if [ $status -eq 0 ]; then
    passed=$((passed + 1))
    echo "ok    $name: $(tail -n 1 "$log")"
  else
    failed=$((failed + 1))
    echo "FAIL  $name, exit status $status:"
    tail -n 40 "$log"
  fi
}

programs() # FOLDER TESTS MAKE-VARIABLE...
{
  folder=$1 tests=$2
  shift 2
  # shellcheck disable=SC2046,SC2086 # words
  make -j"$jobs" BUILD="$folder" "$@" $(printf "$folder/tests/test_%s " $tests) >"$build/threads/make.log" 2>&1 && return
  failed=$((failed + 1))
  echo "FAIL  build:"
  tail -n 20 "$build/threads/make.log"
  return 1
}

sanitizer()
{
  flags=-fsanitize=thread
  programs "$build/threads/sanitizer" "threads shared linalg gptq gptq_pairs" CC="${CC:-gcc}" OPENMP=0 CFLAGS="-O1 -g $flags" LDFLAGS="$flags" || return
  for test in $tests; do
    # Children of fork start threads of their own.
    run "sanitizer-$test" "$build/threads/sanitizer/tests/test_$test" LQ_VECTORS="$PWD/tests/vectors" \
      TSAN_OPTIONS="halt_on_error=1 die_after_fork=0"
  done
}

openmp()
{
  if [ "${OPENMP:-1}" != 1 ]; then
    skipped=$((skipped + 1))
    echo "skip  openmp: this build has none"
    return
  fi
  programs "$build" "threads shared" || return
  run openmp-threads "$build/tests/test_threads"
  for setting in OMP_NUM_THREADS=1 OMP_NUM_THREADS=4 OMP_THREAD_LIMIT=2 OMP_MAX_ACTIVE_LEVELS=3 OMP_DYNAMIC=true \
    OMP_WAIT_POLICY=passive; do
    run "openmp-shared-$setting" "$build/tests/test_shared" "$setting"
  done
}

for part in ${PARTS:-sanitizer openmp}; do
  "$part"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
