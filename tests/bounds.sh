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

# bounded PATH: opening it, and failing at the second model
bounded()
{
  files=$((files + 1))
  rm -f "$scratch/counts"
  LQ_FAULTS_FILE=$scratch/counts "$faulty" compare "$1" "$scratch/nothing" >/dev/null 2>"$scratch/error"
  [ $? -eq 1 ] || { cat "$scratch/error"; die "$1: no error"; }
  read -r calls peak largest <"$scratch/counts" || die "$1: no counts"
  bytes=$(wc -c <"$1")
  [ "$peak" -le $((4 * bytes + 1048576)) ] || die "$1: $bytes bytes, $peak in memory at a time"
  [ "$largest" -le $((4 * bytes + 1048576)) ] || die "$1: $bytes bytes, a block of $largest"
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
awk 'BEGIN { printf "{\"__metadata__\":{"; for (i = 0; i < 200000; i++) printf "%s\"%x\":\"\"", i ? "," : "", i; printf "}}" }' >"$scratch/header"
file "$scratch/header" 0
bounded "$scratch/x.safetensors"
awk 'BEGIN { printf "{\"a\":{"; for (i = 0; i < 200000; i++) printf "%s\"%x\":1", i ? "," : "", i; printf "}}" }' >"$scratch/header"
file "$scratch/header" 0
bounded "$scratch/x.safetensors"
for piece in , : '"":' '[]' '[1],' '{' '{"a":[' '\"' '"a":{},'; do
  awk -v piece="$piece" 'BEGIN { gsub(/\\/, "\\", piece); printf "{\"a\":{\"x\":["; for (i = 0; i < 100000; i++) printf "%s", piece; printf "]}}" }' >"$scratch/header"
  file "$scratch/header" 0
  bounded "$scratch/x.safetensors"
done

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
