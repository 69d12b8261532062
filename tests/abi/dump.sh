#!/bin/sh
# Writes what was released anew, for `make abi-dump`: tests/abi/declared.def, the table of the Python binding made of it, and
# libquant-0-TARGET.abi for each target that there is a compiler for. The commit says why; docs/abi.md has the rules.
set -u
cd "$(dirname "$0")/../.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

sh tests/abi/declared.sh . >"$scratch/declared.def" && cp "$scratch/declared.def" tests/abi || exit 1
echo "tests/abi/declared.def"
python3 tests/binding_table.py && echo "examples/python/libquant.py" || exit 1
command -v abidw >/dev/null || { echo "no abidw: install abigail-tools for the rest"; exit 1; }
for target in x86_64 i386 aarch64; do
  dump=tests/abi/libquant-0-$target.abi
  sh tests/abi/compiled.sh $target . "$scratch/interface"
  case $? in
  0) cp "$scratch/interface" "$dump" && echo "$dump" ;;
  77) echo "no compiler for $target: $dump stays as it is" ;;
  *) exit 1 ;;
  esac
done
