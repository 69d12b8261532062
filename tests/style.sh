#!/bin/sh
# Sizes and small habits: length of functions, files and lines, no tabs, no marks of unfinished work, intrinsics in lib/kern only.
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

# Findings in the C files named as arguments. A function is what lies between a line "{" and the next line "}".
sizes()
{
  awk '
    FNR == 1 { start = 0 }
    { limit = FILENAME ~ /lib\/kern\// ? 150 : 60 }
    /^\{/ && last !~ /^(class|struct|namespace) / { start = FNR; name = before }
    { last = $0 }
    /^\}/ && start {
      if (FNR - start - 1 > limit)
        print FILENAME ":" start ": function of " FNR - start - 1 " lines, limit " limit ": " name
      start = 0
    }
    /^[A-Za-z_].*\(/ { before = $0 }
    FNR == 1 { most = FILENAME ~ /include\/libquant\.h$/ ? 1200 : 800 } # the header is the manual, too
    FNR == most + 1 { print FILENAME ": more than " most " lines" }
    length($0) > 100 { print FILENAME ":" FNR ": line of " length($0) " characters, limit 100" }
    /\t/ { print FILENAME ":" FNR ": tab" }
    /[ \r]$/ { print FILENAME ":" FNR ": blank at the end of the line" }
    /(^|[^A-Za-z0-9_\\])(TODO|FIXME|XXX)([^A-Za-z0-9_]|$)/ { print FILENAME ":" FNR ": unfinished: " $0 }
  ' "$@"
  awk -f tests/code_only.awk "$@" | grep -v 'lib/kern/' |
    grep -E '[^A-Za-z0-9_](_mm(256|512)?_[a-z]|__m(128|256|512)|v(ld|st)[1-4]q?_|[a-z0-9]+q_[fsu](8|16|32|64)|(float|u?int)[0-9]+x[0-9]+_t)' |
    sed 's|$|   <- intrinsics belong to lib/kern|'
}

# Shown to be able to fail: each bad file gives a finding, the good one none.
long_function()
{
  echo 'int f(int a)'
  echo '{'
  i=0
  while [ $i -lt "$1" ]; do
    echo '  a++;'
    i=$((i + 1))
  done
  echo '}'
}
mkdir -p "$scratch/lib/kern" "$scratch/src"
long_function 61 >"$scratch/src/length.c"
long_function 151 >"$scratch/lib/kern/length.c"
long_function 801 | grep a++ >"$scratch/src/file.c"
printf 'int\ta;\n' >"$scratch/src/tab.c"
printf 'int a; \n' >"$scratch/src/blank.c"
printf '/* %s: later */\n' TO''DO >"$scratch/src/todo.c"
printf '  x = _mm256_add_ps(x, y);\n' >"$scratch/src/intrinsic.c"
long_function 121 | tr -d '\n' >"$scratch/src/wide.c"
for bad in "$scratch"/src/*.c "$scratch"/lib/kern/*.c; do
  [ -n "$(sizes "$bad")" ] || { echo "self-test: not caught: ${bad##*/}"; exit 1; }
done
long_function 150 >"$scratch/lib/kern/good.c"
echo '  x = _mm256_add_ps(x, y);' >>"$scratch/lib/kern/good.c"
[ -z "$(sizes "$scratch/lib/kern/good.c")" ] || { echo "self-test: good file refused"; exit 1; }

find include lib src tests examples -name '*.[ch]' -o -name '*.cc' >"$scratch/list"
{
  # shellcheck disable=SC2046 # names of sources hold no blanks
  sizes $(cat "$scratch/list")
  find Makefile meson.build lib src tests docs examples pkgconfig ./*.md .ci \
    \( -name '*.sh' -o -name '*.md' -o -name '*.py' -o -name '*.awk' -o -name meson.build -o -path .ci/run \) \
    -exec grep -n '[[:blank:]]$' /dev/null {} + 2>/dev/null | sed 's/$/   <- blank at the end of the line/'
} >"$scratch/found"
cat "$scratch/found"
[ ! -s "$scratch/found" ]
