#!/bin/sh
# Documents: links lead to files, names of the interface exist, commands named with `make` exist.
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed=0
pages=$(find . -path ./.git -prune -o -path './build*' -prune -o -name '*.md' -print | sort)

# The names under which headings of a page are linked to.
headings()
{
  sed -n 's/^##* //p' "$1" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-'
}

for page in $pages; do
  # Links [text](target) outside of code: web addresses are not followed.
  awk '/^ *```/ { code = !code } !code' "$page" | sed 's/`[^`]*`//g' | grep -o '](\([^) ]*\))' |
    sed 's/^](//; s/)$//' | grep -v '^[a-z]*:' | sort -u >"$scratch/links"
  while read -r link; do
    to=${page%/*}/${link%%#*}
    [ "${link%%#*}" ] || to=$page
    [ -e "$to" ] || { echo "$page: link to nothing: $link"; failed=1; }
    case $link in
    *'#'*) headings "$to" | grep -qx "${link#*#}" || { echo "$page: link to no heading: $link"; failed=1; } ;;
    esac
  done <"$scratch/links"

  # Names as in the header, or that the page itself brings in (NAME = 6); lq_tensor_* and the like stand for a family.
  grep -ow 'lq_[a-z0-9_]*[a-z0-9]\|LQ_[A-Z0-9_]*[A-Z0-9]' "$page" | sort -u >"$scratch/names"
  while read -r name; do
    grep -qw "$name" include/libquant.h || case $name in
    LQ_VECTORS | LQ_LONG | LQ_SMALL | LQ_BUILD | LQ_WITHOUT_* | LQ_TERNARY | LQ_[0-9]*) ;;
    *) grep -q "${name}_\*\|$name = " "$page" || { echo "$page: no such name in libquant.h: $name"; failed=1; } ;;
    esac
  done <"$scratch/names"

  # Files, and names of the library's inside; adding-a-method.md brings in some of its own.
  grep -o '`\(lib\|src\|tests\|include\|examples\|docs\|pkgconfig\)/[a-z0-9_/.-]*`' "$page" | tr -d '`' | sort -u >"$scratch/files"
  while read -r file; do
    [ -e "$file" ] || grep -q "^\`$file\`, also named in" "$page" || { echo "$page: no such file: $file"; failed=1; }
  done <"$scratch/files"
  if [ "$page" = ./docs/architecture.md ]; then
    grep -o '`\(struct \|enum \)\{0,1\}[a-z0-9]*_[a-z0-9_]*`' "$page" | tr -d '`' | sed 's/.* //' | sort -u >"$scratch/inside"
    while read -r name; do
      grep -rqw "$name" include lib src tests || { echo "$page: no such name in the sources: $name"; failed=1; }
    done <"$scratch/inside"
  fi

  grep -o '`make [a-z-]*' "$page" | sort -u | cut -d ' ' -f 2 >"$scratch/targets"
  while read -r target; do
    grep -q "^$target:" Makefile || { echo "$page: no such target: make $target"; failed=1; }
  done <"$scratch/targets"
done
exit $failed
