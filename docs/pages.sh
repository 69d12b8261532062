#!/bin/sh
# Makes pages: `sh docs/pages.sh functions DIR` and `markdown DIR` from the header, `command FILE quant` from what the
# command given last says of itself. Both builds call it; needs awk.
set -eu
what=$1 to=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
header=$here/../include/libquant.h
version=$(awk '/define LQ_VERSION_(MAJOR|MINOR|PATCH) / { printf "%s%s", dot, $3; dot = "." }' "$header")

# The day of the manual, or that which a reproducible build is told.
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-}" +%Y-%m-%d 2>/dev/null || date -u -r "$header" +%Y-%m-%d)

help_texts()
{
  "$@" --help
  for verb in $("$@" --help | awk '/^verbs:/ { on = 1; next } on && !NF { exit } on { print $1 }'); do
    "$@" "$verb" --help
  done
}

reference()
{
  mkdir -p "$to"
  rm -f "$to"/lq_* # of functions that are gone
  awk -v form="$1" -v to="$to" -v date="$date" -f "$here/reference.awk" "$here/../lib/libquant.sym" "$header"
}

case $what in
functions) reference man ;;
markdown) reference md ;;
command)
  help_texts "$@" | awk -v version="$version" -v date="$date" -f "$here/command.awk" "$here/quant.1.in" - >"$to"
  ;;
*)
  echo "pages.sh: functions, markdown or command" >&2
  exit 2
  ;;
esac
