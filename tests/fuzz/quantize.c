/*
 * quantize.c - fuzz target: a weight of any bits, quantized with any options. The scalar kernels
 * and the best of this machine give the same planes, and no element is off by more than the format
 * has to be.
 */
#include "fuzz.h"

/*
 * The largest error of an element, as a share of the largest magnitude of its row or block: half
 * the widest gap between code values. nf4: from -1 to -0.6962; fp4: from 2/3 to 1; int8: one of
 * 127 steps; dynamic8: 64 steps over 0.9. affine: half a step of 2 / (2^bits - 1), twice that at
 * the ends of a range where the rounded zero point moved it.
 */
static double share(const lq_tensor *t)
{
  int64_t bits = 0;
  lq_tensor_get_i64(t, LQ_KEY_BITS, &bits);
  switch (lq_tensor_method(t)) {
  case LQ_NF4: return 0.15196;
  case LQ_FP4: return 0.16671;
  case LQ_INT8: return 0.5002 / 127;
  case LQ_DYNAMIC8: return 0.45 / 63;
  case LQ_AFFINE: return 2.2 / (ldexp(1, (int)bits) - 1);
  default: return 0;
  }
}

/* Elements that share the scale of element i: [*from, *to). */
static void span(const lq_tensor *t, uint64_t i, uint64_t *from, uint64_t *to)
{
  uint64_t columns = lq_tensor_dim(t, 1), n = tensor_elements(t), row = i / columns * columns;
  int64_t block = 0, group = 0;
  lq_tensor_get_i64(t, LQ_KEY_BLOCK_SIZE, &block);
  lq_tensor_get_i64(t, LQ_KEY_GROUP_SIZE, &group);
  *from = row;
  *to = row + columns;
  if (lq_tensor_method(t) == LQ_AFFINE && group > 0) {
    *from = row + (i - row) / (uint64_t)group * (uint64_t)group;
    *to = *from + (uint64_t)group < *to ? *from + (uint64_t)group : *to;
  } else if (block > 0) {
    *from = i / (uint64_t)block * (uint64_t)block;
    *to = *from + (uint64_t)block < n ? *from + (uint64_t)block : n;
  }
}

static float largest(const float *x, uint64_t from, uint64_t to)
{
  float most = 0;
  for (uint64_t i = from; i < to; i++)
    most = fabsf(x[i]) > most || isnan(x[i]) ? fabsf(x[i]) : most;
  return most;
}

static void check_error(const lq_tensor *dense, const lq_tensor *t)
{
  float *x = decode(dense, LQ_F32), *y = decode(t, LQ_F32);
  uint64_t n = tensor_elements(t), from, to;
  int64_t nested = 0;
  lq_tensor_get_i64(t, LQ_KEY_NESTED, &nested);
  double all = x ? (double)largest(x, 0, n) : 0, c = share(t);
  /* Below, scales lose bits; above, those of affine end at 65504. */
  for (uint64_t i = 0; x && y && all > 1e-3 && all < 1e4 && i < n; i++) {
    span(t, i, &from, &to);
    double most = (double)largest(x, from, to);
    double bound = c * most * (1 + 1e-5) + (nested ? 0.016 * all : 0) + 2e-5;
    CHECK(fabs((double)x[i] - (double)y[i]) <= bound, "element %llu: %.9g became %.9g of %.9g",
          (unsigned long long)i, (double)x[i], (double)y[i], most);
  }
  free(x);
  free(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const char *const nonfinite[] = {"", "nonfinite=saturate", "nonfinite=keep",
                                          "nonfinite=propagate"};
  fuzz_in in = {data, size};
  char options[128], words[192];
  uint32_t mode = fuzz_u8(&in) & 3;
  fuzz_options(&in, options);
  snprintf(words, sizeof words, "%s %s", options, nonfinite[mode]);
  lq_tensor *dense = fuzz_weight(&in, 224);
  if (dense == NULL)
    return fuzz_end();
  lq_cpu_limit("scalar");
  lq_tensor *scalar = fuzz_quantize(dense, words);
  lq_cpu_limit(NULL);
  lq_tensor *best = fuzz_quantize(dense, words);
  CHECK((scalar != NULL) == (best != NULL), "%s: only one level", words);
  CHECK(!scalar || !best || same_planes(scalar, best), "%s: levels differ", words);
  if (best && mode == 0 && !strstr(words, "mse") && !strstr(words, "compat"))
    check_error(dense, best);
  else if (best)
    free(decode(best, LQ_F32));
  lq_tensor_destroy(scalar);
  lq_tensor_destroy(best);
  lq_tensor_destroy(dense);
  return fuzz_end();
}
