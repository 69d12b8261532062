#!/bin/sh
# shellcheck disable=SC2016 # sed scripts
# Shows that tests/abi.sh sees a break, and takes what is none: each case changes a copy of the sources and says which of
# the two checks has to fail, the one of the header (asserts) or the one of the library (abidiff), which takes seconds a
# case and is left to `make check-abi` (LQ_ABI=1).
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0
parts=header
[ "${LQ_ABI:-0}" != 1 ] || ! command -v abidiff >/dev/null || parts='header library'

copy()
{
  rm -rf "$scratch/root"
  mkdir "$scratch/root" && cp -R include lib "$scratch/root"
}

edit() # FILE SED-SCRIPT: which has to change something
{
  sed "$2" "$scratch/root/$1" >"$scratch/edited"
  ! cmp -s "$scratch/edited" "$scratch/root/$1" || { echo "case cannot be made: nothing to edit in $1: $2"; exit 1; }
  cp "$scratch/edited" "$scratch/root/$1"
}

expect() # TITLE, the checks that fail, of "asserts abidiff"
{
  sh tests/abi.sh "$scratch/root" "$parts" >"$scratch/log"
  fail=$(sed -n 's/^FAILED *\(asserts\|abidiff\).*/\1/p' "$scratch/log" | sort -u -r | tr '\n' ' ')
  fail=${fail% } want=$2
  case $parts in *library*) ;; *) want=$(echo "$want" | sed 's/ *abidiff//') ;; esac
  if [ "$fail" = "$want" ] && ! grep -q 'does not build' "$scratch/log"; then
    passed=$((passed + 1))
    printf 'ok      %-48s %s\n' "$1" "${fail:-taken}"
  else
    failed=$((failed + 1))
    printf 'FAILED  %-48s caught by: %s; expected: %s\n' "$1" "${fail:-none}" "${want:-none}"
    sed 's/^/        /' "$scratch/log"
  fi
  copy
}

header=include/libquant.h
copy

edit $header 's/^  uint64_t elements;/  uint64_t extra;\n&/'
expect "a field inserted into lq_report" "asserts abidiff"

edit $header 's/^  uint32_t flags;/&\n  int32_t extra, more;/'
expect "two fields inserted into lq_alloc" "asserts abidiff"

edit $header 's/^  double damping;/  float damping, half;/'
expect "a field split in two" "asserts abidiff"

edit $header 's/^  double damping;/  uint64_t damping;/'
expect "a field of another type, but of the same size" "asserts abidiff"

edit $header 's/^  double damping;/  uint64_t damping;/; s/^  double energy;.*/&\n  uint64_t extra;/'
expect "the same, hidden behind an appended field" "asserts abidiff"

edit $header 's/^  const void \*unused;.*//'
expect "the last field removed" "asserts abidiff"

edit $header '/^LQ_API lq_status lq_tensor_clone(/,/;$/d'
edit lib/libquant.sym '/^lq_tensor_clone /d'
expect "a function removed" "asserts abidiff"

edit $header 's/^LQ_API uint32_t lq_tensor_ndim(/LQ_API uint32_t lq_tensor_rank(/'
edit lib/libquant.sym 's/^lq_tensor_ndim /lq_tensor_rank /'
edit lib/api/tensor.c 's/^LQ_API uint32_t lq_tensor_ndim(/LQ_API uint32_t lq_tensor_rank(/'
expect "a function renamed" "asserts abidiff"

edit $header 's/lq_tensor_dim(const lq_tensor \*tensor, uint32_t i)/lq_tensor_dim(const lq_tensor *tensor, uint64_t i)/'
edit lib/api/tensor.c 's/lq_tensor_dim(const lq_tensor \*tensor, uint32_t i)/lq_tensor_dim(const lq_tensor *tensor, uint64_t i)/'
expect "the type of a parameter changed" "asserts abidiff"

edit $header 's/^LQ_API int32_t lq_tensor_dtype(/LQ_API int64_t lq_tensor_dtype(/'
edit lib/api/tensor.c 's/^LQ_API int32_t lq_tensor_dtype(/LQ_API int64_t lq_tensor_dtype(/'
expect "the type of a result changed" "asserts abidiff"

edit $header 's/^typedef void (\*lq_task_fn)(void \*arg, uint32_t index)/typedef void (*lq_task_fn)(void *arg, uint64_t index)/'
expect "the type of a callback changed" "asserts abidiff"

# shellcheck disable=SC2086 # a compiler may be several words
if ${CC:-cc} -m32 -ffreestanding -fsyntax-only -x c /dev/null 2>/dev/null; then
  edit $header 's/\*(\*alloc)(void \*user, size_t bytes, /*(*alloc)(void *user, uint64_t bytes, /'
  expect "a type that differs for 32 bits alone" "asserts"
fi

edit $header 's/(\*release)(void \*user, void \*p,/(*release)(void *user, const void *p,/'
expect "const added in a callback of a struct" "asserts"

edit lib/libquant.sym 's/^\(lq_compare  *\)0\.1/\10.2/'
expect "a symbol moved to another version" "abidiff"

edit $header 's/LQ_E_STATE = -50,/LQ_E_STATE = -51,/'
expect "a status code renumbered" "asserts"

edit $header 's/LQ_KEY_NESTED = 102,/LQ_KEY_NESTED = 105,/'
expect "a key renumbered" "asserts"

edit $header 's/LQ_FP4 = 3,/LQ_FP4 = 33,/'
expect "a method renumbered" "asserts"

edit $header 's/ LQ_I64 = 7 / /'
edit lib/core/half.h 's/^#define LQI_HALF_H/&\n#define LQ_I64 7/'
expect "a constant removed" "asserts"

edit $header 's/^  double energy;.*/&\n  uint64_t extra;/'
expect "a field appended to lq_report" ""

edit $header 's/^LQ_API int32_t lq_version_number(void);/&\nLQ_API int32_t lq_extra(int32_t a);/'
edit lib/libquant.sym '$s/$/\nlq_extra 0.2/'
edit lib/api/tensor.c '$s/$/\n\nLQ_API int32_t lq_extra(int32_t a)\n{\n  return a;\n}/'
expect "a function added" ""

edit $header 's/LQ_E_INTERNAL = -90 /LQ_E_EXTRA = -91,\n  LQ_E_INTERNAL = -90 /'
expect "a constant added" ""

edit lib/api/handle.h 's/^struct lq_tensor {/&\n  int64_t extra;/'
expect "the inside of a handle changed" ""

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
