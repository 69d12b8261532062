#!/bin/sh
# What a hostile file can make the tool ask for: opening takes at most 4 times the file and 1 MiB, be it made of tensors, of
# metadata or of nonsense, and twice the header takes twice the instructions (counted where valgrind is there).
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}" "${LQ_BUILD:?}"
build_faulty 2>"$scratch/error" || { tail -n 3 "$scratch/error"; echo "the tool cannot be linked with counted allocations"; exit 77; }
files=0

# file HEADER-FILE DATA-BYTES: $scratch/x.safetensors
file()
{
  size=$(wc -c <"$1")
  {
    # shellcheck disable=SC2059 # the format is made of octal escapes
    printf "$(printf '\\%03o\\%03o\\%03o\\0\\0\\0\\0\\0' $((size % 256)) $((size / 256 % 256)) $((size / 65536)))"
    cat "$1"
    head -c "$2" /dev/zero
  } >"$scratch/x.safetensors"
}

# within FACTOR PATH BYTES ARGUMENT...: a command whose memory is at most FACTOR times these bytes and 1 MiB
within()
{
  most=$(($1 * $3 + 1048576)) path=$2 bytes=$3
  shift 3
  files=$((files + 1))
  rm -f "$scratch/counts"
  LQ_FAULTS_FILE=$scratch/counts "$faulty" "$@" >/dev/null 2>"$scratch/error"
  [ $? -le 1 ] || { cat "$scratch/error"; die "$path: ended by a signal: $1"; }
  read -r calls peak largest <"$scratch/counts" || die "$path: no counts"
  [ "$peak" -le "$most" ] || die "$1 $path: $bytes bytes, $peak in memory at a time"
}

# bounded PATH: opening it, and failing at the second model
bounded()
{
  within 4 "$1" "$(wc -c <"$1")" compare "$1" "$scratch/nothing"
}

# verbs PATH BYTES: opening it and looking at all that is in it
verbs()
{
  within 4 "$1" "$2" inspect "$1"
  within 4 "$1" "$2" inspect --json "$1"
  within 4 "$1" "$2" dequantize "$1" -o "$scratch/out"
  within 4 "$1" "$2" quantize "$1" -o "$scratch/out"
}

for path in "$LQ_VECTORS"/malformed/*.safetensors "$LQ_VECTORS"/malformed/*.json; do
  bounded "$path"
done

# tensors N: a header with N of them, a byte each; the same without data; metadata; nonsense
tensors()
{
  awk -v n="$1" 'BEGIN {
    printf "{"
    for (i = 0; i < n; i++) printf "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1,1],\"data_offsets\":[%d,%d]}", i ? "," : "", i, i, i + 1
    printf "}"
  }' >"$scratch/header"
  file "$scratch/header" "$1"
}
tensors 100000
bounded "$scratch/x.safetensors"
awk 'BEGIN { printf "{"; for (i = 0; i < 60000; i++) printf "%s\"%x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", i ? "," : "", i; printf "}" }' >"$scratch/header"
file "$scratch/header" 0
bounded "$scratch/x.safetensors"
verbs "$scratch/x.safetensors" "$(wc -c <"$scratch/x.safetensors")"
awk 'BEGIN { printf "{\"__metadata__\":{"; for (i = 0; i < 200000; i++) printf "%s\"%x\":\"\"", i ? "," : "", i; printf "}}" }' >"$scratch/header"
file "$scratch/header" 0
bounded "$scratch/x.safetensors"
verbs "$scratch/x.safetensors" "$(wc -c <"$scratch/x.safetensors")"
awk 'BEGIN { printf "{\"a\":{"; for (i = 0; i < 200000; i++) printf "%s\"%x\":1", i ? "," : "", i; printf "}}" }' >"$scratch/header"
file "$scratch/header" 0
bounded "$scratch/x.safetensors"
verbs "$scratch/x.safetensors" "$(wc -c <"$scratch/x.safetensors")"
for piece in , : '"":' '[]' '[1],' '{' '{"a":[' '\"' '"a":{},'; do
  awk -v piece="$piece" 'BEGIN { gsub(/\\/, "\\", piece); printf "{\"a\":{\"x\":["; for (i = 0; i < 100000; i++) printf "%s", piece; printf "]}}" }' >"$scratch/header"
  file "$scratch/header" 0
  bounded "$scratch/x.safetensors"
done

# folder FILE PIECE N: a model folder without tensors, and with this file: N times the piece, in which # stands for a number
folder()
{
  rm -rf "$scratch/model"
  mkdir "$scratch/model"
  [ "$1" = model.safetensors.index.json ] || printf '\002\0\0\0\0\0\0\0{}' >"$scratch/model/model.safetensors"
  awk -v piece="$2" -v n="$3" 'BEGIN {
    before = substr(piece, 1, 1); after = substr(piece, length(piece)); piece = substr(piece, 2, length(piece) - 2)
    printf "{\"weight_map\":%s", before
    for (i = 0; i < n; i++) { one = piece; gsub(/#/, sprintf("%x", i), one); printf "%s%s", i ? "," : "", one }
    printf "%s}", after
  }' >"$scratch/model/$1"
  verbs "$scratch/model" "$(wc -c <"$scratch/model/$1")"
}
for piece in '[1]' '[,]' '[[]]' '[[[[[[[]]]]]]]' '[{"":[]}]' '[""]' '{"#":1}' '{"#":"#"}' '{"\\u0000#":1}'; do
  folder config.json "$piece" 200000
done
folder model.safetensors.index.json '{"#":"a"}' 200000
folder model.safetensors.index.json '{"#":"#"}' 200000

if command -v valgrind >/dev/null 2>&1; then
  # instructions N: of opening a header with N tensors
  instructions()
  {
    tensors "$1"
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$QUANT" compare "$scratch/x.safetensors" "$scratch/nothing" 2>&1 |
      sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'
  }
  base=$(instructions 1) one=$(instructions 2000) two=$(instructions 4000)
  if [ "$base" ] && [ "$one" ] && [ "$two" ]; then
    awk -v b="$base" -v one="$one" -v two="$two" 'BEGIN { r = (two - b) / (one - b); print "twice the tensors: " r " times the instructions"; exit !(r < 2.5) }' ||
      die "opening takes more than linear time: $base, $one, $two"
  fi
fi
echo "$files files"
exit $failed
