#!/bin/sh
# Names: the shared library exports what lib/libquant.sym lists, which is what include/libquant.h declares; the static one
# shows lq_ and lqi_ only, needs nothing beyond memory, strings, mathematics and OpenMP, and holds no writable data but a few.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${LQ_BUILD:-build}
shared=${LIBQUANT:-$build/libquant.so}
static=$build/libquant.a
[ "$(uname -s)" = Linux ] || { echo "written for ELF"; exit 77; }
command -v nm >/dev/null || { echo "needs nm"; exit 77; }
case ${CFLAGS:-} in *-fsanitize* | *--coverage*) echo "instrumented build"; exit 77 ;; esac
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed=0

# What may be called.
cat >"$scratch/allowed" <<'END'
getauxval memcpy memmove memset memcmp bcmp memchr strlen strcmp strncmp strchr strrchr
malloc calloc realloc free aligned_alloc
fabs fabsf sqrt sqrtf floor floorf ceil ceilf rint rintf nearbyint nearbyintf round roundf trunc truncf lrint lrintf
exp expf exp2 exp2f log logf log2 log2f log10 log10f pow powf tanh tanhf erf erff erfc erfcf ldexp ldexpf
frexp frexpf scalbn scalbnf fma fmaf fmin fminf fmax fmaxf fmod fmodf copysign copysignf sin cos hypot
getpid GOMP_.* omp_get_.* __kmpc_.* _GLOBAL_OFFSET_TABLE_ __stack_chk_fail __(memcpy|memmove|memset)_chk
__cpu_model __cpu_indicator_init __[a-z]*[sdt]f[0-9] __(u?div|u?mod|mul)[dt]i[34] __popcount[sd]i2 __aarch64_.*
END
# What may be written to, each stored atomically: the processor's level and the cap on it, in lib/core/cpu.c, and the process
# that started OpenMP's threads, in lib/core/par.c.
cat >"$scratch/writable" <<'END'
cpu_detected cpu_cap team_owner
END

check() # TITLE, lines that must not be
{
  [ -s "$2" ] || return 0
  echo "$1:"
  sed 's/^/    /' "$2"
  failed=1
}

same() # TITLE A B: two sorted lists
{
  comm -3 "$2" "$3" >"$scratch/differ"
  check "$1 (left: only the first, right: only the second)" "$scratch/differ"
}

pattern() # the words of a file as one expression for whole lines
{
  tr -s ' \n' '\n' <"$1" | sed '/^$/d' | paste -s -d '|' - | sed 's/.*/^(&)$/'
}

awk -f tests/code_only.awk include/libquant.h | cut -d : -f 3- | grep -v '^ *#' | tr '\n' ' ' | tr ';' '\n' |
  sed -n 's/.*LQ_API[^(]*[ *]\(lq_[a-z0-9_]*\) *(.*/\1/p' | sort >"$scratch/header"
awk '!/^#/ && NF { print $1 }' lib/libquant.sym | sort >"$scratch/list"
nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$scratch/shared"
[ -s "$scratch/list" ] || { echo "lib/libquant.sym lists no names"; exit 1; }
awk '!/^#/ && NF && $2 !~ /^[0-9]+\.[0-9]+$/' lib/libquant.sym >"$scratch/odd"
check "lines of lib/libquant.sym without a version" "$scratch/odd"
uniq -d "$scratch/list" >"$scratch/twice"
check "listed twice in lib/libquant.sym" "$scratch/twice"
same "lib/libquant.sym and include/libquant.h" "$scratch/list" "$scratch/header"
same "lib/libquant.sym and ${shared##*/}" "$scratch/list" "$scratch/shared"

nm -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | sort -u >"$scratch/defined"
grep -Ev '^lqi?_' "$scratch/defined" >"$scratch/foreign"
check "global names of the static library without lq_ or lqi_" "$scratch/foreign"
comm -23 "$scratch/list" "$scratch/defined" >"$scratch/missing"
check "listed, but not in the static library" "$scratch/missing"

nm -u "$static" | awk 'NF == 2 { print $2 }' | sort -u | comm -23 - "$scratch/defined" |
  grep -Ev "$(pattern "$scratch/allowed")" >"$scratch/calls"
check "called, but not on the list of what the library may need" "$scratch/calls"

# The section tells: constants with addresses in them live in .data.rel.ro, which is read-only once loaded.
nm -f sysv "$static" | awk -F '|' '{ gsub(/ /, "") } $7 ~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ && $7 !~ /rel\.ro/ &&
  $4 ~ /OBJECT|TLS/ { sub(/\.[0-9]+$/, "", $1); print $1 }' | sort -u |
  grep -Ev "$(pattern "$scratch/writable")" >"$scratch/variables"
check "writable data" "$scratch/variables"
exit $failed
