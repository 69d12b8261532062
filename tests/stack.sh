#!/bin/sh
# Stack of the library at -O2, by the compiler's own figures: no function above 1 KiB, but kernels listed below with what they
# keep there; and no public call above what docs/reliability.md promises, all functions that it may reach added up
# (tests/stack.awk). Nothing recurses on input.
set -u
cd "$(dirname "$0")/.." || exit 1
case ${CFLAGS:-} in *-fsanitize* | *--coverage*) echo "instrumented build"; exit 77 ;; *-O2*) ;; *) echo "the list is that of -O2"; exit 77 ;; esac
case $(${CC:-cc} -dumpmachine 2>/dev/null) in x86_64*) ;; *) echo "the list is that of x86-64"; exit 77 ;; esac
command -v readelf >/dev/null 2>&1 || { echo "no readelf"; exit 77; }
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
build=${LQ_BUILD:-build}
find "$build/lib" -name '*.ci' 2>/dev/null | sort >"$scratch/graphs"
[ -s "$scratch/graphs" ] || { echo "this compiler writes no call graph"; exit 77; }

# Function, bytes allowed, why. A star stands for any letters.
cat >"$scratch/allowed" <<'END'
lqi_q8_encode_*_avx512 4096 a book of 16 vectors turned, scales of 32 blocks a vector each
lqi_q[48]_encode_* 3072 books in vectors, scales of 32 blocks at a time
lqi_q8_decode_*_avx512vbmi 1536 a book of 256 in vectors of bytes
lqi_aff_range_*_avx512 2304 ranges of 32 groups, a vector each
lqi_fixed_dots_*_avx512* 3328 factors and zero points of 32 units in 4 rows by 4 rows of x
lqi_fixed_dots_*_avx2 3072 the same of 16 units
lqi_byte_dots_*_avx512vbmi 8192 four units of 16 rows as unpacked, over which the panels of x pass
lqi_byte_dots_*_avxvnni 3840 a unit of 16 rows, before and after it is turned
lqi_byte_dots_*_c 1664 a unit of 16 rows, a byte each
lqi_strip_*_avx512* 2304 sums that do not fit the registers, codes of 4 rows as vectors
END
awk -F '"' '/^node:/ && /bytes \(/ { label = $4; sub(/\\n.*bytes.*$/, "", label); sub(/\\n.*$/, "", label)
  match($4, /[0-9]+ bytes/); print substr($4, RSTART, RLENGTH - 6), label }' $(cat "$scratch/graphs") >"$scratch/all"

awk -v allowed="$scratch/allowed" '
  BEGIN {
    while ((getline line <allowed) > 0) {
      split(line, word, " ")
      n++
      pattern[n] = word[1]
      gsub(/\*/, ".*", pattern[n])
      limit[n] = word[2]
    }
  }
  $1 + 0 > largest { largest = $1 + 0; which = $2 }
  $1 + 0 > 1024 {
    for (i = 1; i <= n; i++)
      if ($2 ~ "^" pattern[i] "(\\.[a-z0-9.]*)?$" && $1 + 0 <= limit[i] + 0)
        break
    if (i > n) {
      print $2 ": " $1 " bytes of stack"
      bad++
    } else {
      used[i] = 1
      listed++
    }
  }
  END {
    for (i = 1; i <= n; i++)
      if (!used[i]) {
        print "listed, but below 1 KiB now: " pattern[i]
        bad++
      }
    print NR " functions, " listed + 0 " of them above 1 KiB and listed, the largest " which " with " largest " bytes"
    exit bad != 0 || NR == 0
  }' "$scratch/all" || failed=1

# ---- whole calls ----

promised=$(sed -n 's/.* at most \([0-9]*\) KiB of stack.*/\1/p' docs/reliability.md)
find "$build/lib" -name '*.o' | sort | xargs readelf -rW 2>/dev/null >"$scratch/relocations"
# shellcheck disable=SC2046 # words
awk -v public="$(sed -n 's/^\(lq_[a-z0-9_]*\).*/\1/p' lib/libquant.sym | tr '\n' ' ')" -v verbose="${V:-}" -f tests/stack.awk \
  $(find lib -name '*.[ch]') "$scratch/relocations" $(cat "$scratch/graphs") >"$scratch/calls" || exit 1
sed '$d' "$scratch/calls"
tail -n 1 "$scratch/calls" | {
  read -r most findings
  echo "the most that a public call takes: $most bytes; promised are ${promised:-none} KiB; $findings findings"
  [ "$findings" -eq 0 ] && [ "$most" -gt 0 ] && [ "$most" -le $((${promised:-0} * 1024)) ]
} || failed=1

# ---- and in fact: every public function, with the test around it, on a stack little larger ----

if [ -x "$build/tests/test_oom" ] && (ulimit -s 32) 2>/dev/null; then
  env -i LQ_VECTORS="${LQ_VECTORS:-tests/vectors}" sh -c 'ulimit -s 32 && exec "$0"' "$build/tests/test_oom" >"$scratch/small" 2>&1 ||
    { echo "test_oom fails on a stack of 32 KiB:"; tail -n 5 "$scratch/small"; failed=1; }
  echo "on a stack of 32 KiB: $(tail -n 1 "$scratch/small")"
fi
[ -z "${failed:-}" ]
