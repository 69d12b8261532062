#!/bin/sh
# The public header alone: C99, C11, C++11, C++20 with all warnings as errors; it needs stddef.h and stdint.h only.
set -u
cd "$(dirname "$0")/.." || exit 1
cc=${CC:-cc}
warnings='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror -Iinclude -fsyntax-only'
failed=0

try() # COMMAND...
{
  echo "$@"
  "$@" || failed=1
}

for standard in c99 c11; do
  # shellcheck disable=SC2086 # words
  try $cc -std=$standard $warnings -Wstrict-prototypes -Wmissing-prototypes tests/header_c.c
done

cxx=${CXX:-$(command -v g++ || command -v clang++ || command -v c++)}
for standard in c++11 c++20; do
  if [ -z "$cxx" ]; then
    echo "no C++ compiler: C only"
  else
    # shellcheck disable=SC2086
    try $cxx -std=$standard $warnings -Wold-style-cast tests/header_cxx.cc
  fi
done

if awk -f tests/code_only.awk include/libquant.h | grep '# *include' | grep -v '<stddef.h>\|<stdint.h>'; then
  echo "include/libquant.h: includes more than stddef.h and stdint.h"
  failed=1
fi
if awk -f tests/code_only.awk include/libquant.h |
  grep -E 'static +inline|\.\.\.|(^|[^a-z0-9_])(long|_Bool|bool|FILE|va_list|time_t|off_t|wchar_t|union) |: *[0-9]+ *;'; then
  echo "include/libquant.h: not for a binary interface"
  failed=1
fi
exit $failed
