/*
 * gemv.c - fuzz target: products of 1 to 20 rows with a quantized weight, against sums in double
 * precision, within what the header allows; the scalar kernels give the same bits.
 */
#include "fuzz.h"

enum { ROWS = 20 };

typedef struct product {
  const lq_tensor *t;
  const float *w; /* what t decodes to */
  const float *x;
  uint64_t m, n, k;
  int fast;
} product;

static float *multiply(const product *p, const char *level)
{
  float *y = test_alloc((size_t)(p->m * p->n) * sizeof *y);
  lq_config *how = new_config(p->fast ? "compute=fast threads=1" : "threads=1");
  lq_cpu_limit(level);
  lq_status s = lq_matmul(p->t, p->m, LQ_F32, p->x, p->k, NULL, LQ_F32, y, p->n, how);
  lq_cpu_limit(NULL);
  CHECK(s == LQ_OK, "matmul: %d", s);
  lq_config_destroy(how);
  return y;
}

static double most_of(const float *x, uint64_t n)
{
  double most = 0;
  for (uint64_t i = 0; i < n; i++)
    most = fmax(most, fabs((double)x[i]));
  return most;
}

/* Element [i, j] of the product. With `fast` the largest numbers of whole rows stand for those of
 * 64 columns, so the bound is a little wide. */
static void check_element(const product *p, uint64_t i, uint64_t j, double y)
{
  const float *x = p->x + i * p->k, *w = p->w + j * p->k;
  double sum = 0, size = 0, off = 0;
  double most_x = most_of(x, p->k), most_w = most_of(w, p->k);
  double part = 1.0 / 250; /* in 8 bits, which is the widest of the bounds */
  for (uint64_t c = 0; c < p->k; c++) {
    double a = (double)x[c], b = (double)w[c];
    sum += a * b;
    size += fabs(a * b);
    off += fabs(b) * most_x + fabs(a) * most_w;
  }
  double bound = size * ((double)p->k + 8) * 0x1p-24 + 1e-37;
  if (p->fast)
    bound += off * part + (double)(p->k / 64 + 1) * 0x1p-115;
  if (size < 1e36 && off < 1e36) /* else f32 may overflow on the way */
    CHECK(fabs(y - sum) <= bound, "[%llu, %llu]: %.9g instead of %.9g, bound %g, fast %d",
          (unsigned long long)i, (unsigned long long)j, y, sum, bound, p->fast);
}

static void check(const product *p)
{
  float *y = multiply(p, NULL);
  for (uint64_t i = 0; i < p->m; i++)
    for (uint64_t j = 0; j < p->n; j++)
      check_element(p, i, j, (double)y[i * p->n + j]);
  if (!p->fast) {
    float *scalar = multiply(p, "scalar");
    CHECK(first_difference(y, scalar, LQ_F32, p->m * p->n, 0) == p->m * p->n, "scalar kernel");
    free(scalar);
  }
  free(y);
}

static int finite(const float *x, uint64_t n)
{
  for (uint64_t i = 0; i < n; i++)
    if (!isfinite(x[i]))
      return 0;
  return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_in in = {data, size};
  char options[128];
  uint64_t m = 1 + fuzz_below(&in, ROWS), seed = fuzz_u8(&in);
  fuzz_options(&in, options);
  lq_tensor *dense = fuzz_weight(&in, 224), *t = dense ? fuzz_quantize(dense, options) : NULL;
  float *w = t ? decode(t, LQ_F32) : NULL;
  if (w && finite(w, tensor_elements(t))) {
    product p = {.t = t, .w = w, .m = m, .n = lq_tensor_dim(t, 0), .k = lq_tensor_dim(t, 1)};
    float *x = test_alloc((size_t)(m * p.k) * sizeof *x);
    for (uint64_t i = 0; i < m * p.k; i++)
      x[i] = rng_normal(&seed);
    for (int i = 0; i < 8 && in.left != 0; i++)
      fuzz_take(&in, x + fuzz_u16(&in) % (m * p.k), sizeof *x);
    p.x = x;
    if (finite(x, m * p.k)) {
      check(&p);
      p.fast = 1;
      check(&p);
    }
    free(x);
  }
  free(w);
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
  return fuzz_end();
}
