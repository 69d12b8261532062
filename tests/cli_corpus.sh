#!/bin/sh
# Every file of the malformed corpus through the verbs: what is refused is refused by each of them with one line that names the
# file, and leaves nothing; what is accepted can be inspected, and ends well or with one line.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
corpus=$LQ_VECTORS/malformed
out=$scratch/p/out
tab=$(printf '\t')
mkdir "$scratch/p"
files=0

# one_line FILE: what an error must be
one_line()
{
  [ "$(grep -c . "$scratch/error")" -eq 1 ] && grep -q '^quant: error: ' "$scratch/error" &&
    grep -qF "$1" "$scratch/error" || { cat "$scratch/error"; die "$1, $verb: not one line with its name"; }
  LC_ALL=C grep -q '[[:cntrl:]]' "$scratch/error" && die "$1, $verb: control characters"
}

check() # FILE VERDICT VERB ARGUMENT...
{
  file=$1 verdict=$2
  shift 2
  verb=$1
  "$QUANT" "$@" >"$scratch/text" 2>"$scratch/error"
  got=$?
  case $verdict:$verb:$got in
  reject:*:1) one_line "${file%.*}" ;;
  accept:*:0) ;;
  accept:inspect:*) cat "$scratch/error"; die "$file, inspect: exit status $got" ;;
  accept:*:1) one_line "${file%.*}" ;;
  *) cat "$scratch/error"; die "$file, $verb: exit status $got" ;;
  esac
  [ $got -eq 0 ] || [ -z "$(ls -A "$scratch/p")" ] || { ls -lA "$scratch/p"; die "$file, $verb: something is left"; }
  rm -rf "$scratch/p/"* "$scratch/p"/.[!.]*
}

while IFS=$tab read -r name verdict kind rest; do
  [ "$kind" != IO ] || verdict=reject
  files=$((files + 1))
  path=$corpus/$name
  shown=$name
  case $name in idx_bad_shard* | idx_missing_* | idx_self*) shown=$corpus/ ;; esac # it is the shard that is named
  check "$shown" "$verdict" inspect "$path"
  check "$shown" "$verdict" quantize "$path" -o "$out" --quiet
  check "$shown" "$verdict" dequantize "$path" -o "$out" --dtype f32 --quiet
  [ "$verdict" = accept ] || check "$shown" reject eval "$path" --tokens "$LQ_VECTORS/networks/llama.safetensors:tokens"
  [ "$verdict" = accept ] || check "$shown" reject compare "$path" "$corpus/st_ok_minimal.safetensors"
done <"$corpus/manifest-safetensors.tsv"
[ $files -gt 130 ] || die "only $files files"
echo "$files files"
exit $failed
