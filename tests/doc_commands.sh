#!/bin/sh
# Commands shown in the pages of methods and in the manual page of quant: each line "$ ..." of a code block is run, in a
# folder that has examples/ in it, and the lines below it must be in what it prints, in that order. Pages may leave lines
# out (times, long tables).
set -u
cd "$(dirname "$0")/.." || exit 1
top=$PWD
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
openmp=
[ "${OPENMP:-1}" != 1 ] || openmp=-fopenmp
passed=0 failed=0

mkdir "$scratch/bin"
quant=${QUANT:-${LQ_BUILD:-build}/quant}
case $quant in
/*) ;;
*) quant=$top/$quant ;;
esac
printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${EMULATOR:-}" "$quant" >"$scratch/bin/quant"
# shellcheck disable=SC2086 # words
${CC:-cc} -Iinclude ${CPPFLAGS:-} ${CFLAGS:-} -o "$scratch/show_planes" examples/show_planes.c \
  "${LQ_BUILD:-build}/libquant.a" ${LDFLAGS:-} $openmp -pthread -lm || exit 1
printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${EMULATOR:-}" "$scratch/show_planes" >"$scratch/bin/show_planes"
chmod +x "$scratch"/bin/*
PATH=$scratch/bin:$PATH

# Lines of code blocks that hold a command, "$ " and all.
blocks()
{
  awk '/^```/ || /^\.E[XE]$/ { inside = !inside; shown = 0; next }
    inside && /^\$ / { shown = 1 }
    inside && shown' "$1"
}

# What follows the command in `expected` must be in `printed`, in order.
in_order()
{
  awk 'FILENAME == ARGV[1] { want[++n] = $0; next }
    at < n && $0 == want[at + 1] { at++ }
    END { if (at < n) { print "      not printed: " want[at + 1]; exit 1 } }' "$scratch/expected" "$scratch/printed"
}

finish() # of one command, when the next or the end is reached
{
  [ -n "$command" ] || return 0
  if in_order; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "$page: $command"
    sed 's/^/      /' "$scratch/printed" | head -n 40
  fi
}

check_page() # PAGE
{
  page=$1 command=
  rm -rf "$scratch/run"
  mkdir "$scratch/run"
  ln -s "$top/examples" "$scratch/run/examples"
  before=$((passed + failed))
  blocks "$page" >"$scratch/blocks"
  while IFS= read -r line; do
    case $line in
    '$ '*)
      finish
      command=${line#'$ '}
      : >"$scratch/expected"
      case $command in
      quant\ * | show_planes\ *) ;;
      *)
        echo "$page: neither quant nor show_planes: $command"
        failed=$((failed + 1))
        command=
        continue
        ;;
      esac
      (cd "$scratch/run" && sh -c "$command") >"$scratch/printed" 2>&1 </dev/null || echo "      exit status $?" >>"$scratch/expected"
      ;;
    *) echo "$line" >>"$scratch/expected" ;;
    esac
  done <"$scratch/blocks"
  finish
  [ $((passed + failed)) -gt $before ] || { echo "$page: shows no command"; failed=$((failed + 1)); }
}

# Shown to be able to fail: a line that is not printed, lines in another order, a command that fails.
for bad in 'decoded 0.25' 'bits per weight 40
decoded 1' ; do
  printf '```\n$ show_planes method=none 1\n%s\n```\n' "$bad" >"$scratch/bad.md"
  check_page "$scratch/bad.md" >/dev/null
done
printf '```\n$ show_planes method=none\n```\n' >"$scratch/bad.md"
check_page "$scratch/bad.md" >/dev/null
[ $failed -eq 3 ] || { echo "self-test: only $failed of 3 bad pages were caught"; exit 1; }
passed=0 failed=0

for page in docs/methods/*.md; do
  [ "$page" = docs/methods/README.md ] || check_page "$page"
done
check_page docs/quant.1.in
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
