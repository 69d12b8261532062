#!/bin/sh
# The public header: alone under every standard and compiler there is with all warnings as errors, and what a machine can
# look at of the rules for it (docs/abi.md): types, callbacks, thread lines, preprocessing outside of the markers only.
set -u
cd "$(dirname "$0")/.." || exit 1
header=include/libquant.h
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

try() # COMMAND...
{
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed: $*"
  fi
}

none() # TITLE: fails if there is anything in $scratch/found
{
  if [ ! -s "$scratch/found" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "$header: $1:"
    cat "$scratch/found"
  fi
}

# ---- it compiles alone ----

warnings='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror -Iinclude -fsyntax-only'
everything='-Weverything -Wno-unknown-warning-option -Wno-c++98-compat-pedantic -Wno-unsafe-buffer-usage -Wno-pre-c11-compat
  -Wno-pre-c2x-compat'

kind() # COMPILER: its own warnings
{
  $1 --version 2>/dev/null | grep -q clang && echo "$everything"
}

there() # COMPILER...: those that are there, each once
{
  for compiler; do
    command -v "${compiler%% *}" >/dev/null 2>&1 && echo "$compiler"
  done | sort -u
}

there "${CC:-cc}" gcc clang >"$scratch/compilers"
while read -r cc; do
  for standard in c99 c11 c17; do
    # shellcheck disable=SC2046,SC2086 # words
    try $cc -std=$standard $warnings -Wstrict-prototypes -Wmissing-prototypes $(kind "$cc") tests/header_c.c
  done
done <"$scratch/compilers"
there "${CXX:-c++}" g++ clang++ >"$scratch/compilers"
[ -s "$scratch/compilers" ] || echo "no C++ compiler: C only"
while read -r cxx; do
  for standard in c++11 c++17 c++20; do
    # shellcheck disable=SC2046,SC2086
    try $cxx -std=$standard $warnings -Wold-style-cast $(kind "$cxx") tests/header_cxx.cc
  done
done <"$scratch/compilers"

# ---- its declarations follow the rules ----

declared()
{
  awk -f tests/declarations.awk "$header"
}
declared | awk -f tests/interface.awk >"$scratch/found"
none "not for a binary interface"

# Each of these is caught; a function as it should be is not.
while read -r line; do
  [ -n "$({ declared; echo "$line"; } | awk -f tests/interface.awk)" ] || echo "$line"
done <<'END_OF_BAD' >"$scratch/found"
function void lq_x(long a)
function void lq_x(int a)
function unsigned lq_x(void)
function void lq_x(enum kind a)
function void lq_x(_Bool a)
function void lq_x(char c)
function void lq_x(size_t rows)
function void lq_x(FILE *f)
function void lq_x(uint64_t a[4])
function void lq_x(const char *text, ...)
function void lq_x()
function void lq_x(lq_plane plane)
function lq_config lq_x(void)
function void x(void)
typedef enum kind lq_kind
typedef void (*lq_x_fn)(int32_t a, void *user)
field lq_plane x uint32_t x : 3
field lq_plane x uint32_t x[]
unknown union u { int32_t a; }
END_OF_BAD
none "self-test: these are not caught"
{ declared; echo 'function lq_status lq_x(const lq_plane *p, uint64_t rows, lq_parallel_fn f, void *user, uint16_t **out)'; } |
  awk -f tests/interface.awk >"$scratch/found"
none "self-test: refused"

# Functions without a comment that says on which threads; several in a row may share one.
threads()
{
  awk '
    /^\/\* BEGIN DECL/ { inside = 1 }
    /^\/\* END DECL/ { inside = 0 }
    !inside || /^$/ { comment = ""; next }
    /^\/\*/ || open { comment = comment " " $0; open = !/\*\// ; next }
    /^LQ_API/ {
      gsub(/[* \/]+/, " ", comment)
      if (tolower(comment) !~ /any thread|one thread per handle|not during others/)
        print FNR ": " $0
    }' "$1"
}
threads "$header" >"$scratch/found"
none "functions without a thread line"
sed 's|Any thread\. \*/|*/|' "$header" >"$scratch/header"
[ "$(threads "$scratch/header" | wc -l)" -gt 5 ] || echo threads >"$scratch/found"
none "self-test: comments without a thread line are not caught"

# Tools that read headers take what lies between the markers, and know no preprocessor.
awk '/^\/\* END DECL/ { on = 0 } on; /^\/\* BEGIN DECL/ { on = 1 }' "$header" | grep -n '^ *#' >"$scratch/found"
none "directives between the markers"
awk -f tests/code_only.awk "$header" >"$scratch/code"
grep '# *include' "$scratch/code" | grep -v '<stddef.h>\|<stdint.h>' >"$scratch/found"
none "more than stddef.h and stdint.h"
grep -E '# *define +[A-Za-z_0-9]+\(|(^|[^a-z_])(static|inline) ' "$scratch/code" >"$scratch/found"
none "code in a header"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
