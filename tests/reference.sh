#!/bin/sh
# The pages made from the header and from the help texts: header, list of symbols, pages and ctypes table name the same
# functions; every comment says what a page needs; each verb and option is on the page of the command; the pages are
# good manual pages (mandoc, groff, where there are any).
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed=0

fail()
{
  echo "$*"
  failed=$((failed + 1))
}

same() # WHAT FILE: the names in FILE are those of the header
{
  diff "$scratch/header" "$2" >"$scratch/diff" || fail "$1: other functions (>) than the header (<):
$(cat "$scratch/diff")"
}

check() # HEADER
{
  awk -v form=check -f docs/reference.awk lib/libquant.sym "$1"
}

# Shown to be able to fail: a thread rule taken away, one too many, a parameter that nothing is said of, codes taken
# away, owners taken away, a function without comment, and one that the list of symbols does not have. Words alone are
# replaced, so that it does not matter how lines are broken.
spoil() # SED-COMMAND
{
  sed "$1" include/libquant.h >"$scratch/spoilt.h" || fail "self-test: not a command of sed: $1"
  cmp -s include/libquant.h "$scratch/spoilt.h" && fail "self-test: nothing to spoil: $1"
  check "$scratch/spoilt.h" >/dev/null && fail "self-test: not caught: $1"
}
spoil 's/others\./all./'
spoil 's/How many dimensions/Not during others. &/'
spoil 's/lq_tensor_ndim(const lq_tensor \*tensor)/lq_tensor_ndim(const lq_tensor *stranger)/'
spoil 's/^\( \*\|\/\*\)\(.*\)LQ_E_[A-Z]*/\1\2-/; s/^\( \*\|\/\*\)\(.*\)LQ_E_[A-Z]*/\1\2-/'
spoil 's/owns/has/; s/belongs/is given/'
spoil '/^\/\* How many dimensions/d'
spoil 's/lq_tensor_ndim/lq_tensor_rank/'

check include/libquant.h || fail "include/libquant.h: comments lack what is told above"

awk -v form=names -f docs/reference.awk lib/libquant.sym include/libquant.h | sort >"$scratch/header"
[ "$(wc -l <"$scratch/header")" -eq "$(grep -c '^LQ_API ' include/libquant.h)" ] || fail "functions are lost in reading the header"
awk '{ print $1 }' lib/libquant.sym | sort >"$scratch/symbols"
same lib/libquant.sym "$scratch/symbols"
sed -n 's/^ *(\{0,1\}"\(lq_[a-z0-9_]*\)",.*/\1/p' examples/python/libquant.py | sort >"$scratch/ctypes"
same examples/python/libquant.py "$scratch/ctypes"

sh docs/pages.sh functions "$scratch/man" && sh docs/pages.sh markdown "$scratch/md" || fail "no pages"
(cd "$scratch/man" && ls lq_*.3 | sed 's/\.3$//' | sort) >"$scratch/pages"
same "manual pages" "$scratch/pages"
(cd "$scratch/md" && ls lq_*.md | sed 's/\.md$//' | sort) >"$scratch/pages"
same "Markdown pages" "$scratch/pages"
grep -o '](lq_[a-z0-9_]*\.md)' "$scratch/md/README.md" | sed 's/^](//; s/\.md)$//' | sort -u >"$scratch/pages"
same "index of the Markdown pages" "$scratch/pages"
for page in "$scratch"/man/lq_*.3; do
  for heading in NAME SYNOPSIS DESCRIPTION 'RETURN VALUE' THREADS HISTORY 'SEE ALSO'; do
    grep -qx "\.SH $heading" "$page" || fail "${page##*/}: no $heading"
  done
done
grep -ho '](\([a-zA-Z0-9_]*\.md\))' "$scratch"/md/*.md | sort -u | sed 's/^](//; s/)$//' | while read -r link; do
  [ -e "$scratch/md/$link" ] || echo "$link"
done >"$scratch/dead"
[ ! -s "$scratch/dead" ] || fail "links to pages that are not there: $(cat "$scratch/dead")"

quant=${QUANT:-${LQ_BUILD:-build}/quant}
options=0
# shellcheck disable=SC2086 # EMULATOR is a command with arguments, or nothing
if sh docs/pages.sh command "$scratch/man/quant.1" ${EMULATOR:-} "$quant"; then
  sed 's/\\-/-/g; s/\\f[BIPR]//g' "$scratch/man/quant.1" >"$scratch/command"
  for verb in $(${EMULATOR:-} "$quant" --help | awk '/^verbs:/ { on = 1; next } on && !NF { exit } on { print $1 }'); do
    grep -qx "\.SS $verb" "$scratch/command" || fail "quant.1: no verb $verb"
    awk -v verb="$verb" '/^\.S[SH]/ { on = $0 == ".SS " verb } on' "$scratch/command" >"$scratch/part"
    for option in $(${EMULATOR:-} "$quant" "$verb" --help | sed -n 's/^  \(-[a-zA-Z],\|   \) \(--[a-z][a-z0-9-]*\).*/\2/p'); do
      options=$((options + 1))
      grep -q "^\(-[a-zA-Z], \)\{0,1\}$option\( \|\$\)" "$scratch/part" || fail "quant.1: no $option of $verb"
    done
  done
  [ $options -gt 50 ] || fail "only $options options were found in the help texts"
else
  fail "no quant.1"
fi

if command -v mandoc >/dev/null; then
  mandoc -T lint "$scratch"/man/* || fail "mandoc -T lint complains"
fi
if command -v groff >/dev/null; then
  groff -ww -man -Tutf8 "$scratch"/man/* 2>"$scratch/complaints" >/dev/null
  [ ! -s "$scratch/complaints" ] || fail "groff -ww: $(cat "$scratch/complaints")"
fi

echo "$(wc -l <"$scratch/header") functions, $options options of verbs, $(ls "$scratch/man" | wc -l) manual pages; $failed findings"
[ $failed -eq 0 ]
