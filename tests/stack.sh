#!/bin/sh
# Stack of the library: no function above 1 KiB at -O2, but those listed below with what they keep there. Nothing recurses on
# input, so a call takes at most the sum of the largest in each layer. The figures are gcc's, made with the objects.
set -u
cd "$(dirname "$0")/.." || exit 1
case ${CFLAGS:-} in *-fsanitize* | *--coverage*) echo "instrumented build"; exit 77 ;; *-O2*) ;; *) echo "the list is that of -O2"; exit 77 ;; esac
case $(${CC:-cc} -dumpmachine 2>/dev/null) in x86_64*) ;; *) echo "the list is that of x86-64"; exit 77 ;; esac
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
find "${LQ_BUILD:-build}/lib" -name '*.su' >"$scratch/files" 2>/dev/null
[ -s "$scratch/files" ] || { echo "this compiler writes no stack usage"; exit 77; }

# Function, bytes allowed, why. A star stands for any letters.
cat >"$scratch/allowed" <<'END'
solve_rows_f* 25600 a square of 48 columns and its panels, in the first-level cache
solve_columns_f* 21504 likewise
square_* 9216 a square of 32 in binary64, factored in place
search_range 12288 160 ranges with 16 sums each
decode_mapped 9216 scales and zero points of 1024 groups
decode_row 5120 codes and grids of a piece of a row
pack_panel 5120 a panel of dy, turned
put_codes 3072 codes of a piece, a byte each
walk 2048 ranges, grids and halves of 64 groups
lqi_*_avx2 3072 registers of unrolled loops, tables
lqi_*_avx512* 6144 likewise, 64 bytes each
END
xargs cat <"$scratch/files" | awk -F '\t' '{ sub(/^.*:/, "", $1); print $2, $1, $3 }' | sort -rn >"$scratch/all"

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
  $3 ~ /dynamic/ && $3 !~ /bounded/ { print "unbounded: " $2; bad++ }
  $1 > largest { largest = $1; which = $2 }
  $1 > 1024 {
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
    print NR " functions, " listed + 0 " of them above 1 KiB and listed, the largest " which " with " largest " bytes; " \
      bad + 0 " findings"
    exit bad != 0 || NR == 0
  }' "$scratch/all"
