#!/bin/sh
# The tool's surface: names that would act on a terminal, paths that lead elsewhere, things that are no files, numbers that are
# none, folders that cannot be written, an output that is the input, a standard output that is closed.
set -u
. "${0%/*}/cli.sh.inc"
: "${LQ_VECTORS:?}"
model=$LQ_VECTORS/sharded
minimal=$LQ_VECTORS/malformed/st_ok_minimal.safetensors
chmod 755 "$scratch"
mkdir "$scratch/in" "$scratch/p"
cp "$model"/* "$scratch/in/"
first=$scratch/in/model-00001-of-00003.safetensors
in=$scratch/in out=$scratch/p/out

# nothing WHAT: the parent folder of outputs is empty
nothing()
{
  [ -z "$(ls -A "$scratch/p")" ] || { ls -lA "$scratch/p"; die "something is left: $*"; }
  rm -rf "$scratch/p/"* "$scratch/p"/.[!.]*
}

# refuses STATUS TEXT ARGUMENT...
refuses()
{
  fails "$@"
  nothing "$@"
}

# ---- names ----

# st FILE HEADER DATA: a safetensors file
st()
{
  length=${#2}
  {
    # shellcheck disable=SC2059 # the format is made of octal escapes
    printf "$(printf '\\%03o\\%03o\\0\\0\\0\\0\\0\\0' $((length % 256)) $((length / 256)))"
    printf '%s%s' "$2" "$3"
  } >"$1"
}

# clean WHAT: nothing that a terminal obeys in what was printed (DEL, which JSON leaves as it is, does nothing)
clean()
{
  LC_ALL=C tr -d '\n\177' <"$scratch/text" | LC_ALL=C grep -q '[[:cntrl:]]' && { cat -v "$scratch/text"; die "control characters: $*"; }
}

evil='\u001b[31mred\r\b\n\u0007\u007f.weight' data=$(printf '%64s' '' | tr ' ' 'a')
st "$scratch/evil.safetensors" "{\"$evil\":{\"dtype\":\"BF16\",\"shape\":[2,16],\"data_offsets\":[0,64]}}" "$data"
st "$scratch/other.safetensors" '{"a.weight":{"dtype":"BF16","shape":[2,16],"data_offsets":[0,64]}}' "$data"
st "$scratch/bad.safetensors" "{\"$evil\":{\"dtype\":\"BF17\",\"shape\":[2,16],\"data_offsets\":[0,64]}}" "$data"
for words in "inspect $scratch/evil.safetensors" "inspect $scratch/evil.safetensors --tensors" \
  "inspect $scratch/evil.safetensors --json" "inspect $scratch/bad.safetensors" \
  "quantize $scratch/evil.safetensors -o $out" "quantize $scratch/evil.safetensors -o $out --json" \
  "quantize $scratch/evil.safetensors -o $out --method rtn --format gptq" \
  "compare $scratch/evil.safetensors $scratch/other.safetensors" "compare $scratch/other.safetensors $scratch/evil.safetensors --json"; do
  # shellcheck disable=SC2086 # words
  "$QUANT" $words >"$scratch/text" 2>&1
  clean "$words"
  rm -rf "$scratch/p/"*
done
name=$(printf 'a\033[2Jb\nc')
"$QUANT" inspect "$scratch/$name" >"$scratch/text" 2>&1 && die "a file that is not there"
clean "a path of the command line"
cp "$minimal" "$scratch/$name"
"$QUANT" inspect "$scratch/$name" >"$scratch/text" 2>&1 || die "a path with control characters"
clean "a path with control characters"
"$QUANT" quantize "$scratch/$name" -o "$scratch/p/$name" >"$scratch/text" 2>&1
clean "an output with control characters"
rm -rf "$scratch/p/"*
"$QUANT" "$name" >"$scratch/text" 2>&1
clean "a verb"
"$QUANT" inspect --"$name" >"$scratch/text" 2>&1
clean "an option"

# ---- paths in an index; links ----

for path in /etc/passwd ../in/model-00001-of-00003.safetensors ./model-00001-of-00003.safetensors .. a/b 'a\\b' c:a ''; do
  printf '{"weight_map":{"a":"%s"}}' "$path" >"$scratch/x.json"
  refuses 1 'not a plain file name' inspect "$scratch/x.json"
  refuses 1 'not a plain file name' quantize "$scratch/x.json" -o "$out"
done
mkdir "$scratch/linked"
ln -s "$minimal" "$scratch/linked/shard.safetensors"
printf '{"weight_map":{"a":"shard.safetensors"}}' >"$scratch/linked/model.safetensors.index.json"
refuses 1 'is a symbolic link' inspect "$scratch/linked/model.safetensors.index.json"
ln -s "$in" "$scratch/folder-link"
tells '3 shards' inspect "$scratch/folder-link"
ln -s nowhere "$scratch/dangling"
refuses 1 'No such file' inspect "$scratch/dangling"
ln -s loop "$scratch/loop"
refuses 1 'Too many levels' inspect "$scratch/loop"

# An index as input gives a folder with an index, not shards on top of each other.
"$QUANT" quantize "$in/model.safetensors.index.json" -o "$out" --quiet || die "an index"
"$QUANT" inspect "$out" >"$scratch/text" 2>&1 && grep -q '3 shards' "$scratch/text" || { cat "$scratch/text"; die "the output of an index"; }
rm -rf "$out"

# A link where the output goes is replaced, not followed.
echo mine >"$scratch/target"
ln -s ../target "$out"
fails 1 'exists already' quantize "$first" -o "$out"
"$QUANT" quantize "$first" -o "$out" --force --quiet || die "over a link"
[ ! -L "$out" ] && [ "$(cat "$scratch/target")" = mine ] || die "a link was followed"
rm -rf "$out"
ln -s ../in "$out"
"$QUANT" quantize "$first" -o "$out/" --force >/dev/null 2>&1 && die "a link to a folder, with a slash"
rm -f "$out"

# ---- the output is the input ----

cp "$minimal" "$scratch/self.safetensors"
ln "$scratch/self.safetensors" "$scratch/hard.safetensors"
ln -s self.safetensors "$scratch/soft.safetensors"
for other in self hard soft; do
  for force in '' --force; do
    # shellcheck disable=SC2086 # words
    refuses 2 'the output would be the input' quantize "$scratch/self.safetensors" -o "$scratch/$other.safetensors" $force
    # shellcheck disable=SC2086 # words
    refuses 2 'the output would be the input' dequantize "$scratch/$other.safetensors" -o "$scratch/self.safetensors" --dtype f32 $force
  done
done
cmp "$minimal" "$scratch/self.safetensors" || die "the input was changed"
for inside in "$in" "$in/" "$in/." "$scratch/folder-link" "$scratch/p/../in"; do
  refuses 2 'the output would be the input' quantize "$in" -o "$inside" --force
done
for inside in "$in/x" "$scratch/folder-link/x" "$scratch/p/../in/x" "$in//x/"; do
  refuses 2 'the output would be inside the input' quantize "$in" -o "$inside"
done
refuses 2 'the output would hold the input' quantize "$first" -o "$in" --force
diff -r "$model" "$in" || die "the input folder was changed"
for odd in . .. / '' "$scratch/p/.." "$scratch/p/."; do
  "$QUANT" quantize "$minimal" -o "$odd" --include a >/dev/null 2>"$scratch/error"
  [ $? -ne 0 ] && [ "$(grep -c '^quant: error: ' "$scratch/error")" -eq 1 ] || die "-o '$odd'"
done

# ---- things that are no files ----

mkfifo "$scratch/fifo"
mkdir "$scratch/empty"
for verb in inspect "quantize -o $out" "dequantize -o $out"; do
  # shellcheck disable=SC2086 # words
  refuses 1 'not a regular file' ${verb} "$scratch/fifo"
  # shellcheck disable=SC2086 # words
  refuses 1 'not a regular file' ${verb} /dev/null
  # shellcheck disable=SC2086 # words
  refuses 1 'not a Hugging Face model folder' ${verb} "$scratch/empty"
done
mkfifo "$scratch/p/pipe"
fails 1 'is not replaced' quantize "$first" -o "$scratch/p/pipe" --force
[ -p "$scratch/p/pipe" ] || die "a FIFO was replaced"
rm "$scratch/p/pipe"
mkdir "$scratch/odd"
cp "$in"/* "$scratch/odd/"
rm "$scratch/odd/model-00002-of-00003.safetensors"
mkfifo "$scratch/odd/model-00002-of-00003.safetensors"
refuses 1 'not a regular file' inspect "$scratch/odd"
rm "$scratch/odd/model-00002-of-00003.safetensors"
mkdir "$scratch/odd/model-00002-of-00003.safetensors"
refuses 1 'model-00002-of-00003.safetensors' inspect "$scratch/odd"

# ---- numbers ----

for number in '' ' 1' '1 ' 1x x 0x40 1e3 1.5 nan inf -nan 99999999999999999999 -99999999999999999999 -1 0 9223372036854775808 \
  1073741825 $((1 << 30))0 ' ' + - --; do
  refuses 2 '' quantize "$in" -o "$out" --block-size="$number"
  refuses 2 '' quantize "$in" -o "$out" --threads="$number"
done
for number in '' ' 1' '1 ' 1x x nan NAN inf -inf infinity nan'(1)' 1e999 -1 -0.5 9 0x 0x1x 1,5; do
  refuses 2 '' quantize "$in" -o "$out" --method rtn --mse="$number"
done
refuses 2 'unknown option' quantize "$in" -o "$out" -z
refuses 2 'takes no value' quantize "$in" -o "$out" --force=1
refuses 2 '' quantize "$in" -o
refuses 2 '' quantize "$in" "$in" -o "$out"
refuses 2 '--verify goes with --resume' quantize "$in" -o "$out" --verify
refuses 2 '--resume needs a model folder' quantize "$minimal" -o "$out" --resume
refuses 2 '--resume needs a model folder' dequantize "$minimal" -o "$out" --dtype f16 --resume

# ---- folders and streams ----

refuses 1 'there is no folder' quantize "$in" -o "$scratch/no/such/folder"
refuses 1 'there is no folder' quantize "$first" -o "$scratch/no/such/file"
refuses 1 'there is no folder' quantize "$in" -o "$in/config.json/out"
if [ "$(id -u)" != 0 ]; then
  without="" allowed=yes
else
  without="setpriv --reuid=65534 --clear-groups" allowed=
  $without test -x "$QUANT" 2>/dev/null && $without test -r "$in/config.json" && allowed=yes
fi
if [ "$allowed" ]; then
  chmod 555 "$scratch/p"
  for source in "$in" "$first"; do
    $without "$QUANT" quantize "$source" -o "$out" --quiet 2>"$scratch/error"
    [ $? -eq 1 ] && grep -q '^quant: error: .*Permission denied' "$scratch/error" || { cat "$scratch/error"; die "a folder that is read-only"; }
  done
  chmod 755 "$scratch/p"
  nothing "read-only folder"
fi
for words in "inspect $in" "inspect $in --json" "quantize $in -o $out" "compare $in $in" "--help" "--version" "quantize --help"; do
  # shellcheck disable=SC2086 # words
  "$QUANT" $words >&- 2>"$scratch/error"
  [ $? -eq 1 ] && grep -q '^quant: error: .*Bad file descriptor' "$scratch/error" || { cat "$scratch/error"; die "closed: $words"; }
  rm -rf "$scratch/p/"*
  [ ! -c /dev/full ] || {
    # shellcheck disable=SC2086 # words
    "$QUANT" $words >/dev/full 2>"$scratch/error"
    [ $? -eq 1 ] && grep -q '^quant: error: .*No space left' "$scratch/error" || { cat "$scratch/error"; die "/dev/full: $words"; }
  }
  rm -rf "$scratch/p/"*
done
# With all three streams closed no file of the tool may become one of them.
"$QUANT" quantize "$in" -o "$out" --quiet <&- >&- 2>&-
[ ! -d "$out" ] || "$QUANT" inspect "$out" >/dev/null || die "a stream that was closed went into a file"
rm -rf "$out"
exit $failed
