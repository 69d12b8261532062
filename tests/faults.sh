#!/bin/sh
# Every system call that touches a file fails, is interrupted, or is the last one of the process: afterwards the output is
# absent, the old one or whole, nothing else is left behind, one line tells what happened, and --resume gives the same bytes.
# `make check` takes one call of each kind and two faults, LQ_FAULTS=N some calls, `make check-faults` (LQ_FAULTS=all) all.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
command -v strace >/dev/null 2>&1 || { echo "no strace"; exit 77; }
strace -f -o /dev/null true 2>/dev/null || { echo "strace cannot trace here"; exit 77; }

calls="openat pread64 read pwrite64 fsync fallocate ftruncate close fstat newfstatat flock statfs getdents64 mkdir mkdirat
  rename renameat2 unlink unlinkat rmdir"
runs=0 ended=0 limit=${LQ_FAULTS:-few}
p=$scratch/p out=$scratch/p/out
model=$LQ_VECTORS/sharded
mkdir "$p"

# run OPTION...: the tool under strace; the words of $faults are its options
run()
{
  runs=$((runs + 1))
  # shellcheck disable=SC2086 # words
  ${faults:+strace -f -o /dev/null} $faults "$QUANT" "$@" --threads 1 >/dev/null 2>"$scratch/error"
  got=$?
}

start() # with the old output, if the scenario has one
{
  rm -rf "$p"
  mkdir "$p"
  [ ! -e "$scratch/old" ] || cp -Rp "$scratch/old" "$out"
}

is_like() # REFERENCE
{
  [ -e "$1" ] && [ -e "$out" ] && diff -r "$1" "$out" >/dev/null 2>&1
}

bad()
{
  cat "$scratch/error"
  ls -lA "$p"
  die "$name, $fault: $*"
}

# What must hold after a run that ended with status $got. $1: what else may be left, a pattern for grep.
check_state()
{
  if is_like "$scratch/whole"; then
    state=whole
  elif is_like "$scratch/old" || { [ ! -e "$out" ] && [ ! -e "$scratch/old" ]; }; then
    state=before
  else
    state=broken
    bad "the output is neither old nor whole"
  fi
  [ $got -ne 0 ] || [ $state = whole ] || bad "success, and no output"
  left=$(ls -A "$p" | grep -v -x -e out $1)
  [ -z "$left" ] || bad "left behind: $left"
}

# After that an undisturbed run brings everything in order.
recover()
{
  faults=
  if [ $state = before ] || [ -d "$out.quant-job" ]; then
    # shellcheck disable=SC2086 # words
    run $words $resume
    # The job folder may be empty by then, with the output in place: then there is nothing to go on with.
    [ $got -eq 0 ] || { [ $state = whole ] && grep -q 'exists already' "$scratch/error"; } || bad "$resume: exit status $got"
    is_like "$scratch/whole" || bad "$resume: not the same bytes"
    left=$(ls -A "$p" | grep -v -x out)
    [ -z "$left" ] || bad "$resume: left behind: $left"
  fi
}

one_line()
{
  [ "$(grep -c . "$scratch/error")" -eq 1 ] && grep -q '^quant: error: ' "$scratch/error" || bad "not one line"
}

# try CALL NUMBER KIND: a run with one fault
try()
{
  start
  fault="$1 $2 $3" job="-e out.quant-job"
  case $3 in
  KILL | INT | TERM) faults="-e trace=$1 -e inject=$1:signal=$3:when=$2" ;;
  *) faults="-e trace=$1 -e inject=$1:error=$3:when=$2" ;;
  esac
  stays=
  case $1 in # what cannot be looked at, or not removed, stays
  unlink* | rmdir | openat | getdents64 | fstat | newfstatat) stays="-e out.quant-job -e ^[.].*" ;;
  esac
  # shellcheck disable=SC2086 # words
  run $words
  [ $got -eq 0 ] || ended=$((ended + 1))
  case $3:$got in
  KILL:*) check_state "$job -e ^[.].*" ;;
  INT:130 | TERM:143)
    grep -q 'quant: ' "$scratch/error" && one_line # before the handler is there the system ends it
    check_state "$job"
    ;;
  *:0) check_state "$stays" ;;
  INT:* | TERM:*) bad "exit status $got" ;;
  *:127) grep -q 'loading shared libraries' "$scratch/error" || bad "exit status $got" ;;
  *:1)
    one_line
    check_state "$job $stays"
    ;;
  *) bad "exit status $got" ;;
  esac
  case $3:$got in
  EINTR:0 | ENOLCK:0 | ENOSYS:0 | *:127) ;;
  EINTR:* | ENOLCK:* | ENOSYS:*) bad "the run could go on" ;;
  esac
  [ $got -eq 127 ] || recover
}

# kinds CALL: how it fails
kinds()
{
  [ "$limit" != few ] || { echo EIO KILL; return; }
  case $1 in
  pwrite64) echo ENOSPC EIO EINTR KILL INT ;;
  pread64) echo EIO EINTR TERM ;;
  fallocate) echo ENOSPC EINTR KILL ;;
  fsync) echo EIO EINTR KILL ;;
  flock) echo EIO EINTR ENOLCK KILL ;;
  renameat2) echo EIO ENOSYS KILL ;;
  mkdir* | openat) echo EACCES KILL ;;
  *) echo EIO KILL ;;
  esac
}

# numbers N: which of N calls; all of them, or the first, the last, and some between
numbers()
{
  [ "$limit" != few ] || { echo $((($1 + 1) / 2)); return; }
  awk -v n="$1" -v most="$limit" 'BEGIN {
    if (most == "all" || most >= n) most = n
    for (i = 0; i < most; i++) print most == 1 ? n : 1 + int(i * (n - 1) / (most - 1) + 0.5)
  }'
}

# scenario NAME RESUME WORD...: all faults of a run; $scratch/old is what was there before
scenario()
{
  name=$1 resume=$2
  shift 2
  words="$* -o $out --quiet"
  rm -rf "$scratch/whole"
  start
  strace -f -o "$scratch/trace" "$QUANT" "$@" -o "$out" --quiet --threads 1 2>"$scratch/error" || { bad "undisturbed"; return; }
  cp -Rp "$out" "$scratch/whole"
  [ "$(ls -A "$p")" = out ] || bad "undisturbed: something is left"
  for call in $calls; do
    # Faults are counted in each thread of its own.
    most=$(awk -v call="$call" 'index($2, call "(") == 1 { n[$1]++ } END { for (t in n) if (n[t] > m) m = n[t]; print m + 0 }' "$scratch/trace")
    [ "$most" -gt 0 ] || continue
    for k in $(numbers "$most"); do
      for kind in $(kinds "$call"); do
        try "$call" "$k" "$kind"
      done
    done
  done
}

# In this order on the disk: contents, names in the folder, record, seal; and only then the name that everyone sees.
order()
{
  start
  strace -f -o "$scratch/trace" -e trace=fsync,rename,pwrite64 "$QUANT" quantize "$model" -o "$out" --quiet --threads 1 || die "order"
  awk '/pwrite64.*sealed/ { sealed = NR } /fsync/ { if (sealed && !seal_synced) seal_synced = NR; last_sync = NR }
    /rename\(/ { renamed = NR; synced_before = last_sync; if (!(seal_synced && seal_synced < NR)) bad = 1 }
    END { exit !(renamed && last_sync > renamed && !bad) }' "$scratch/trace" || { tail -n 20 "$scratch/trace"; die "order of fsync and rename"; }
}

# Reads and writes that move a few bytes at a time and are interrupted in between: strace can only leave a call out, so the
# tool is linked with others. Needs what the scenarios left: $scratch/quantized and its original.
short_counts()
{
  build_faulty 2>"$scratch/error" || { echo "the tool cannot be linked with short reads and writes"; return; }
  for count in 1 7 4095; do
    for words in "quantize $model:quantized" "dequantize $scratch/quantized:dense"; do
      start
      runs=$((runs + 1)) name=${words%:*} fault="at most $count bytes a call"
      # shellcheck disable=SC2086 # words
      LQ_SHORT_IO=$count "$faulty" ${words%:*} -o "$out" --quiet 2>"$scratch/error" || bad "failed"
      is_like "$scratch/${words##*:}" || bad "other bytes"
    done
  done
}

# A second signal does not wait for anything.
second_signal()
{
  start
  name="quantize a folder" fault="two signals"
  runs=$((runs + 1))
  strace -f -o /dev/null -e trace=pwrite64 -e inject=pwrite64:signal=INT:when=1+ \
    "$QUANT" quantize "$model" -o "$out" --quiet --threads 1 2>"$scratch/error"
  got=$?
  [ $got -eq 130 ] || bad "exit status $got"
  [ ! -e "$out" ] || bad "an output"
}

order
second_signal
scenario "quantize a folder" --resume quantize "$model"
cp -R "$scratch/whole" "$scratch/quantized"
scenario "dequantize a folder" --resume dequantize "$scratch/quantized"
cp -R "$scratch/whole" "$scratch/dense"
short_counts
mv "$scratch/quantized" "$scratch/old"
scenario "replace a folder" "--resume" quantize "$scratch/dense" --method fp4 --force
rm -rf "$scratch/old"
scenario "quantize a file" "" quantize "$model/model-00001-of-00003.safetensors"
mv "$scratch/whole" "$scratch/old"
scenario "replace a file" "" quantize "$model/model-00001-of-00003.safetensors" --method fp4 --force
[ $ended -gt $((runs / 10)) ] || die "faults do no harm: are they injected?"
echo "$ended of $runs runs were ended by a fault"
echo "$((runs - findings)) passed, $findings failed"
exit $failed
