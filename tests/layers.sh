#!/bin/sh
# Dependencies point downward only:
#   src -> include/libquant.h        api -> layout, method -> linalg -> kern -> core
# (layout may look at method, never method at layout)
# only src/files/system_*.c reach the operating system,
# and the library neither does input or output nor ends the process. First shown to catch bad files.
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
tests=$PWD/tests

# FILE TARGET: one line for each #include "..." of the sources below the current folder, the target as a path from there.
includes()
{
  find lib src -name '*.[ch]' -exec awk -f "$tests/code_only.awk" {} + |
    sed -n "s/^\([^:]*\):[0-9]*:[[:space:]]*#[[:space:]]*include[[:space:]]*\([<\"][^>\"]*\)[>\"].*/\1 \2/p" |
    awk '{
      if ($2 ~ /^</) { print; next }
      n = split($1, dir, "/"); path = substr($2, 2)
      n--
      while (path ~ /^\.\.?\//) {
        if (path ~ /^\.\.\//) n--
        sub(/^\.\.?\//, "", path)
      }
      target = ""
      for (i = 1; i <= n; i++) target = target dir[i] "/"
      print $1, "\"" (n < 0 ? "outside/" : target) path
    }'
}

# Findings in the tree of the current folder, one a line; nothing when all is well.
findings()
{
  includes | awk '
    BEGIN {
      below["core"] = " core "
      below["kern"] = " core kern "
      below["linalg"] = " core kern linalg "
      below["method"] = " core kern linalg "
      below["layout"] = " core kern linalg method "
      below["api"] = " core kern linalg method layout "
      plain = " limits.h float.h math.h stddef.h stdint.h string.h stdarg.h stdatomic.h stdbool.h stdalign.h "
      c11 = plain " assert.h ctype.h errno.h fenv.h inttypes.h locale.h signal.h stdio.h stdlib.h stdnoreturn.h time.h "
      alone["lib/core/cpu.c"] = " cpuid.h sys/auxv.h "
      alone["lib/core/mem.c"] = " stdlib.h "
      alone["lib/core/par.c"] = " omp.h unistd.h "
    }
    { split($1, from, "/"); kind = substr($2, 1, 1); name = substr($2, 2); why = "" }
    from[1] == "src" && kind == "<" && name ~ /intrin\.h$|^arm_|^cpuid/ { why = "intrinsics belong to lib/kern" }
    from[1] == "src" && kind == "<" && why == "" && $1 !~ /^src\/files\/system_[a-z]+\.c$/ &&
      !index(c11 " pthread.h libquant.h ", " " name " ") { why = "the system is reached through system.h" }
    from[1] == "src" && kind == "\"" && name !~ /^src\// { why = "src sees its own headers and <libquant.h> only" }
    from[1] == "lib" && kind == "<" && name != "libquant.h" {
      if (name ~ /intrin\.h$|^arm_/)
        why = from[2] == "kern" ? "" : "intrinsics belong to lib/kern"
      else if (!index(plain, " " name " ") && !index(alone[$1], " " name " "))
        why = "not a header the library may need"
    }
    from[1] == "lib" && kind == "\"" {
      split(name, to, "/")
      if (!(from[2] in below))
        why = "a folder that no layer has"
      else if (to[1] != "lib")
        why = "outside lib"
      else if (to[2] != from[2] && !index(below[from[2]], " " to[2] " "))
        why = "an upward arrow"
      else if (to[2] == "kern" && from[2] != "kern" && name !~ /^lib\/kern\/kern(_mve)?\.h$/)
        why = "kernels are reached through kern.h, or kern_mve.h, alone"
    }
    why != "" { print $1 ": includes " name ": " why }'
  find lib -name '*.[ch]' -exec awk -f "$tests/code_only.awk" {} + |
    grep -E '(^|[^A-Za-z0-9_])(v?[fsd]?n?printf|f?puts|putchar|perror|abort|_?exit|assert|signal|getenv) *\(' |
    sed 's/$/   <- the library does not print, read the environment or end the process/'
}

# Is there a finding in a tree with just this LINE in FILE?
caught()
{
  rm -rf "$scratch/lib" "$scratch/src"
  mkdir -p "$scratch/lib" "$scratch/src" "$scratch/${1%/*}"
  printf '%s\n' "$2" >"$scratch/$1"
  (cd "$scratch" && findings) >"$scratch/found"
  [ -s "$scratch/found" ]
}

expect()
{
  caught "$1" "$2" && return
  echo "self-test: not caught in $1: $2"
  exit 1
}

expect_none()
{
  caught "$1" "$2" || return 0
  echo "self-test: wrongly caught: $(cat "$scratch/found")"
  exit 1
}

expect lib/core/bad.c '#include "../kern/kern.h"'
expect lib/kern/bad.c '#include "../api/handle.h"'
expect lib/kern/bad.h ' # include "./../method/method.h" // why not'
expect lib/linalg/bad.c '#include "../method/method.h"'
expect lib/method/bad.c '#include "../layout/layout.h"'
expect lib/method/bad.c '#include "../kern/kern_c.h"'
expect lib/api/bad.c '#include "../../src/files/json.h"'
expect lib/core/bad.c '#include <stdio.h>'
expect lib/method/bad.c '#include <immintrin.h>'
expect lib/odd/bad.c '#include "../core/base.h"'
expect lib/core/bad.c '  fprintf(0, "x");'
expect lib/api/bad.c 'if (x) abort ();'
expect src/files/bad.c '#include "../../lib/core/base.h"'
expect src/bad.c '#include "../include/libquant.h"'
expect src/model/bad.c '#include <arm_neon.h>'
expect src/files/bad.c '#include <sys/stat.h>'
expect src/model/bad.c '#include <unistd.h>'
expect_none lib/api/good.c '#include "../method/method.h" /* abort() */'
expect_none lib/kern/good.c '#include <immintrin.h>'
expect_none lib/core/good.c 'LQI_PRINTF(a, b); s = "printf(x)"; my_exit(1); static_assert(1, "");'
expect_none src/model/good.c '#include "../files/json.h"'
expect_none src/model/good.c '#include <pthread.h>'
expect_none src/files/system_posix.c '#include <unistd.h>'

findings >"$scratch/real"
cat "$scratch/real"
[ ! -s "$scratch/real" ]
