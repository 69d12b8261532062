#!/bin/sh
# Every file of the malformed corpus through the verbs: what is refused is refused by each of them with one line that names the
# file and the recorded kind, and leaves nothing; what is accepted can be inspected, and ends well or with one line.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
corpus=$LQ_VECTORS/malformed
out=$scratch/p/out
tab=$(printf '\t')
mkdir "$scratch/p"
files=0

# one_line FILE [KIND]: what an error must be
one_line()
{
  [ "$(grep -c . "$scratch/error")" -eq 1 ] && grep -q '^quant: error: ' "$scratch/error" &&
    grep -qF "$1" "$scratch/error" || { cat "$scratch/error"; die "$1, $verb: not one line with its name"; }
  [ -z "${2:-}" ] || grep -qF ": $2" "$scratch/error" || { cat "$scratch/error"; die "$1, $verb: not told as '$2'"; }
  LC_ALL=C grep -q '[[:cntrl:]]' "$scratch/error" && die "$1, $verb: control characters"
}

# word KIND: how a line tells it; what the system refused is told in its words
word()
{
  case $1 in
  TRUNCATED) echo "truncated: " ;;
  FORMAT) echo "format: " ;;
  LIMIT) echo "limit: " ;;
  OVERFLOW) echo "overflow: " ;;
  UNSUPPORTED) echo "unsupported: " ;;
  IO) echo "cannot open: " ;;
  -) ;;
  *) echo "$1?" ;;
  esac
}

check() # FILE VERDICT VERB ARGUMENT...
{
  file=$1 verdict=$2
  shift 2
  verb=$1
  "$QUANT" "$@" >"$scratch/text" 2>"$scratch/error"
  got=$?
  case $verdict:$verb:$got in
  reject:*:1) one_line "${file%.*}" "$word" ;;
  accept:*:0) ;;
  accept:inspect:1) grep -q 'gg_ok_q8_0_nan_scale.gguf: .*is not finite' "$scratch/error" ||
    { cat "$scratch/error"; die "$file, inspect: exit status $got"; } ;;
  accept:inspect:*) cat "$scratch/error"; die "$file, inspect: exit status $got" ;;
  accept:*:1) one_line "${file%.*}" ;;
  *) cat "$scratch/error"; die "$file, $verb: exit status $got" ;;
  esac
  [ $got -eq 0 ] || [ -z "$(ls -A "$scratch/p")" ] || { ls -lA "$scratch/p"; die "$file, $verb: something is left"; }
  rm -rf "$scratch/p/"* "$scratch/p"/.[!.]*
}

# Arrays in arrays, 5,000 deep, as a value of a key: too many of one kind of byte to keep as a file.
nested()
{
  printf 'GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0k\11\0\0\0'
  i=0
  while [ $i -lt 5000 ]; do
    printf '\11\0\0\0\1\0\0\0\0\0\0\0'
    i=$((i + 1))
  done
}

while IFS=$tab read -r name verdict kind rest; do
  files=$((files + 1))
  path=$corpus/$name
  shown=$name
  word=$(word "$kind")
  case $name in
  idx_bad_shard* | idx_missing_* | idx_self*) shown=$corpus/ ;; # it is the shard that is named
  gg_arr_nested_5000.gguf)
    path=$scratch/$name
    nested >"$path"
    ;;
  esac
  check "$shown" "$verdict" inspect "$path"
  check "$shown" "$verdict" quantize "$path" -o "$out" --quiet
  check "$shown" "$verdict" dequantize "$path" -o "$out" --dtype f32 --quiet
  [ "$verdict" = accept ] || check "$shown" reject eval "$path" --tokens "$LQ_VECTORS/networks/llama.safetensors:tokens"
  [ "$verdict" = accept ] || check "$shown" reject compare "$path" "$corpus/st_ok_minimal.safetensors"
done <<EOF
$(cat "$corpus/manifest-safetensors.tsv" "$corpus/manifest-gguf.tsv")
EOF
[ $files -eq 240 ] || die "$files files"
echo "$files files"
exit $failed
