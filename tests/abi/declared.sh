#!/bin/sh
# Prints tests/abi/declared.def: everything that include/libquant.h declares, with its numbers, as macros that
# tests/abi/asserts.h holds against a header. The compiler says the numbers, for 64 and for 32 bits, without running
# anything: they are operands of assembler text that is only looked at.
# Arguments: root of the sources. Exit status 77: no compiler here makes both sizes of pointers.
set -u
root=${1:-.}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cc=${CC:-cc}

awk -f tests/declarations.awk "$root/include/libquant.h" >"$scratch/declared" || exit 1
awk '
  BEGIN { print "#include <libquant.h>\nvoid numbers(void)\n{" }
  function say(values) { print "  __asm__(\".ascii \\\"-> %c0 %c1\\\"\" : : " values ");" }
  $1 == "constant" { say("\"i\"(" $2 "), \"i\"(0)") }
  $1 == "struct" { say("\"i\"(sizeof(" $2 ")), \"i\"(0)") }
  $1 == "field" { say("\"i\"(offsetof(" $2 ", " $3 ")), \"i\"(sizeof(((" $2 " *)0)->" $3 "))") }
  END { print "}" }' "$scratch/declared" >"$scratch/numbers.c"

numbers() # COMPILER...: a line for each of constant, struct and field
{
  "$@" -std=gnu11 -ffreestanding -fno-lto -I"$root/include" -S -o "$scratch/numbers.s" "$scratch/numbers.c" 2>"$scratch/messages" &&
    sed -n 's/.*-> \(-*[0-9]*\) \([0-9]*\).*/\1 \2/p' "$scratch/numbers.s"
}

pointer() # COMPILER...: bytes of a pointer
{
  "$@" -dM -E -x c /dev/null 2>/dev/null | sed -n 's/#define __SIZEOF_POINTER__ //p'
}

# shellcheck disable=SC2086 # a compiler may be several words
for bits in 64 32; do
  for try in "$cc" "$cc -m$bits" "clang --target=$([ $bits = 64 ] && echo x86_64 || echo i386)-linux-gnu"; do
    [ "$(pointer $try)" = $((bits / 8)) ] && numbers $try >"$scratch/$bits" && break
  done
  [ -s "$scratch/$bits" ] || { cat "$scratch/messages"; echo "no compiler for $bits bits"; exit 77; }
done

paste -d ' ' "$scratch/64" "$scratch/32" >"$scratch/both"
awk -v both="$scratch/both" '
  function numbers() { getline line <both; split(line, n, " ") }
  function text() { sub(/^[a-z]+ /, ""); return $0 }
  BEGIN {
    print "/* Written by `make abi-dump`, not by hand; docs/abi.md says when. Sizes and offsets: 64 bits, then 32. */"
    print "/* clang-format off */"
  }
  $1 == "constant" { numbers(); print "CONSTANT(" $2 ", " n[1] ")" }
  $1 == "struct" { numbers(); print "STRUCT(" $2 ", " n[1] ", " n[3] ")" }
  $1 == "field" {
    numbers()
    start = "FIELD(" $2 ", " $3 ", " n[1] ", " n[2] ", " n[3] ", " n[4] ", "
    sub(/^field [^ ]+ [^ ]+ /, "")
    print start $0 ")"
  }
  $1 == "typedef" { print "TYPEDEF(" $0 ")" }
  $1 == "function" {
    name = text()
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
    print "FUNCTION(" name ", " $0 ")"
  }' "$scratch/declared"
