#!/bin/sh
# The Python binding against the golden vectors: tests/python_binding.py, and the examples beside the binding.
set -u
cd "$(dirname "$0")/.." || exit 1
python=
for candidate in ${PYTHON:-} python3 python; do
  if "$candidate" -c 'import sys, numpy; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "no Python 3.8 with numpy"; exit 77; }

export PYTHONDONTWRITEBYTECODE=1
LIBQUANT=${LIBQUANT:-$PWD/${LQ_BUILD:-build}/libquant.so}
export LIBQUANT
"$python" -W error tests/python_binding.py "${LQ_VECTORS:-tests/vectors}" || exit 1
"$python" -W error examples/python/quantize_tensor.py || exit 1
"$python" -W error examples/python/calibrate_layer.py
