#!/bin/sh
# What programs in other languages read from the header: the table of the Python binding is that of the header, and cffi
# takes the text between the markers. tests/python_binding.sh runs the binding itself.
set -u
cd "$(dirname "$0")/.." || exit 1
export PYTHONDONTWRITEBYTECODE=1
LIBQUANT=${LIBQUANT:-$PWD/${LQ_BUILD:-build}/libquant.so}
export LIBQUANT

python() # MODULE: a Python 3.8 that has it
{
  for candidate in ${PYTHON:-} python3 python; do
    "$candidate" -c "import sys, $1; sys.exit(sys.version_info < (3, 8))" 2>/dev/null && echo "$candidate" && return
  done
}

plain=$(python sys) with_cffi=$(python cffi)
[ -n "$plain" ] || { echo "no Python 3.8"; exit 77; }
"$plain" -W error tests/binding_table.py --check || exit 1
if [ -z "$with_cffi" ]; then
  echo "no Python with cffi: the table alone"
  exit 0
fi
case ${CFLAGS:-} in *-fsanitize*) echo "instrumented library: the table alone"; exit 0 ;; esac
"$with_cffi" -W error tests/binding_cffi.py
