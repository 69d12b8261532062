#!/bin/sh
# Documents: links lead to files, names of the interface exist, commands named with `make` exist.
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed=0
pages=$(find . -path ./.git -prune -o -path './build*' -prune -o -name '*.md' -print | sort)

for page in $pages; do
  # Links [text](target) outside of code: web addresses and places in the same page are not followed.
  awk '/^ *```/ { code = !code } !code' "$page" | sed 's/`[^`]*`//g' | grep -o '](\([^) ]*\))' |
    sed 's/^](//; s/)$//; s/#.*//' | grep -v '^[a-z]*:' | sort -u >"$scratch/links"
  while read -r link; do
    [ -z "$link" ] || [ -e "${page%/*}/$link" ] || { echo "$page: link to nothing: $link"; failed=1; }
  done <"$scratch/links"

  # Names as in the header, or that the page itself brings in (NAME = 6); lq_tensor_* and the like stand for a family.
  grep -ow 'lq_[a-z0-9_]*[a-z0-9]\|LQ_[A-Z0-9_]*[A-Z0-9]' "$page" | sort -u >"$scratch/names"
  while read -r name; do
    grep -qw "$name" include/libquant.h || case $name in
    LQ_VECTORS | LQ_LONG | LQ_BUILD | LQ_TERNARY | LQ_[0-9]*) ;;
    *) grep -q "${name}_\*\|$name = " "$page" || { echo "$page: no such name in libquant.h: $name"; failed=1; } ;;
    esac
  done <"$scratch/names"

  grep -o '`make [a-z-]*' "$page" | sort -u | cut -d ' ' -f 2 >"$scratch/targets"
  while read -r target; do
    grep -q "^$target:" Makefile || { echo "$page: no such target: make $target"; failed=1; }
  done <"$scratch/targets"
done
exit $failed
