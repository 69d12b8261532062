#!/bin/sh
# Follows docs/adding-a-method.md on a copy of the sources: one new file, one row, one id; then runs the new method.
set -eu
work=$(mktemp -d "${TMPDIR:-/tmp}/adding.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp -R include lib docs "$work"
cd "$work"

# The only ```c block of the page is the file.
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' docs/adding-a-method.md >lib/method/ternary.c
echo lib/method/ternary.c >>lib/sources.list
sed 's/LQ_GGML = 8$/LQ_GGML = 8, LQ_TERNARY = 9/' include/libquant.h >header && mv header include/libquant.h
sed 's/X(ggml, LQI_HAS_GGML)$/& X(ternary, 1)/' lib/method/registry.h >rows && mv rows lib/method/registry.h
grep -q LQ_TERNARY include/libquant.h
grep -q 'X(ternary, 1)' lib/method/registry.h

cat >try.c <<'END'
#include <libquant.h>
#include <math.h>
#include <stdio.h>

int main(void)
{
  static const float w[2][5] = {{1, -1, 0.1f, 1, -0.9f}, {0, 0, 3, 0, 0}};
  static const float expect[2][5] = {{0.8f, -0.8f, 0, 0.8f, -0.8f}, {0, 0, 0.6f, 0, 0}};
  const uint64_t dims[2] = {2, 5};
  lq_config *c = NULL;
  lq_quantizer *q = NULL;
  lq_tensor *dense = NULL, *t = NULL;
  float back[2][5], worst = 0;
  int bad = lq_config_create(NULL, &c) || lq_config_set_text(c, "method", "ternary") || lq_quantizer_create(c, &q) ||
            lq_tensor_wrap(NULL, LQ_F32, 2, dims, w, sizeof w, &dense) || lq_quantizer_run(q, dense, &t) ||
            lq_dequantize(t, LQ_F32, back, sizeof back, NULL);
  for (int i = 0; !bad && i < 10; i++)
    worst = fmaxf(worst, fabsf(back[i / 5][i % 5] - expect[i / 5][i % 5]));
  printf("ternary: %s, %d planes, largest deviation %g\n", bad ? "failed" : "ran",
         (int)lq_tensor_plane_count(t, LQ_LAYOUT_NATIVE), (double)worst);
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(q);
  lq_config_destroy(c);
  return bad || worst > 1e-6f;
}
END
# shellcheck disable=SC2046 # one word a file is meant
${CC:-cc} -std=c11 -O1 -Wall -Wextra -Werror -ffp-contract=off -Iinclude $(cat lib/sources.list) try.c -lm -o try
./try
