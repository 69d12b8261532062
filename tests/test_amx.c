/*
 * test_amx.c - the tile unit, where there is one: it must be asked for, integer products keep their
 * bits, products in bf16 stay within their bound and do not depend on threads.
 *
 * On other machines the request is refused and nothing changes.
 */
#include "helpers.h"

enum { MOST_M = 530, MOST_N = 150, MOST_K = 1300 };

static uint64_t random_state = 77;
static float weights[MOST_N * MOST_K], xs[MOST_M * MOST_K], bias[MOST_N];

struct sizes {
  uint64_t m, n, k;
};

static void fill(float *p, uint64_t n)
{
  for (uint64_t i = 0; i < n; i++)
    p[i] = rng_normal(&random_state);
}

static void fill_all(const struct sizes *s)
{
  fill(weights, s->n * s->k);
  fill(xs, s->m * s->k);
  fill(bias, s->n);
}

/* The same product at both levels, and with several threads. */
static void test_int8(const struct sizes *s, const char *x_options)
{
  const uint64_t w_dims[2] = {s->n, s->k}, x_dims[2] = {s->m, s->k};
  test_in("int8 %s, m %d n %d k %d", x_options, (int)s->m, (int)s->n, (int)s->k);
  fill_all(s);
  xs[s->k / 2] = 9;
  lq_tensor *w = quantize_array(LQ_F32, 2, w_dims, weights, "method=int8");
  lq_tensor *x = quantize_array(LQ_F32, 2, x_dims, xs, x_options);
  float *y[2] = {test_alloc((size_t)(s->m * s->n) * sizeof **y),
                 test_alloc((size_t)(s->m * s->n) * sizeof **y)};
  for (int32_t dtype = LQ_F32; dtype <= LQ_I32; dtype += LQ_I32 - LQ_F32) {
    const float *b = dtype == LQ_F32 ? bias : NULL;
    for (int level = 0; level < 2; level++) {
      lq_config *how = new_config(level ? "threads=3" : "threads=1");
      lq_cpu_limit(level ? "amx" : "avx512vbmi");
      lq_status status = lq_matmul_int8(w, x, b, dtype, y[level], s->n, how);
      CHECK(status == LQ_OK, "status %d", status);
      lq_config_destroy(how);
    }
    CHECK(!memcmp(y[0], y[1], (size_t)(s->m * s->n) * sizeof **y), "dtype %d differs", dtype);
  }
  lq_cpu_limit(NULL);
  free(y[0]);
  free(y[1]);
  lq_tensor_destroy(w);
  lq_tensor_destroy(x);
}

static float *product(const lq_tensor *w, const struct sizes *s, int32_t dtype, const void *x,
                      const char *options)
{
  float *y = test_alloc((size_t)(s->m * s->n) * sizeof *y);
  lq_config *how = new_config(options);
  lq_status status = lq_matmul(w, s->m, dtype, x, s->k, bias, LQ_F32, y, s->n, how);
  CHECK(status == LQ_OK, "status %d", status);
  lq_config_destroy(how);
  return y;
}

static void check_bound(const struct sizes *s, const float *decoded, const float *y)
{
  uint64_t bad = 0;
  for (uint64_t i = 0; i < s->m; i++)
    for (uint64_t j = 0; j < s->n; j++) {
      double sum = (double)bias[j], size = fabs(sum) + 1e-30;
      for (uint64_t c = 0; c < s->k; c++) {
        double t = (double)xs[i * s->k + c] * (double)decoded[j * s->k + c];
        sum += t;
        size += fabs(t);
      }
      bad += !(fabs((double)y[i * s->n + j] - sum) <= size / 128);
    }
  CHECK(bad == 0, "%d of %d beyond the bound", (int)bad, (int)(s->m * s->n));
}

static void test_fast(const struct sizes *s, const char *method)
{
  const uint64_t dims[2] = {s->n, s->k};
  test_in("%s, m %d n %d k %d", method, (int)s->m, (int)s->n, (int)s->k);
  fill_all(s);
  lq_tensor *w = quantize_array(LQ_F32, 2, dims, weights, method);
  float *decoded = w ? decode(w, LQ_F32) : NULL;
  if (decoded) {
    float *y = product(w, s, LQ_F32, xs, "compute=fast threads=1");
    float *other = product(w, s, LQ_F32, xs, "compute=fast threads=4");
    check_bound(s, decoded, y);
    CHECK(!memcmp(y, other, (size_t)(s->m * s->n) * sizeof *y), "threads change results");
    free(other);
    void *half = array_of(xs, s->m * s->k, LQ_BF16);
    other = product(w, s, LQ_BF16, half, "compute=fast");
    CHECK(!memcmp(y, other, (size_t)(s->m * s->n) * sizeof *y), "x rounded before differs");
    free(other);
    lq_cpu_limit("avx2"); /* which does not multiply bytes */
    other = product(w, s, LQ_F32, xs, "compute=fast");
    float *exact = product(w, s, LQ_F32, xs, "");
    lq_cpu_limit(NULL);
    float *here = product(w, s, LQ_F32, xs, "");
    CHECK(s->m <= 8 || !memcmp(other, exact, (size_t)(s->m * s->n) * sizeof *y), "without tiles");
    CHECK(!memcmp(here, exact, (size_t)(s->m * s->n) * sizeof *y), "exact products differ");
    free(here);
    free(exact);
    free(other);
    free(half);
    free(y);
  }
  free(decoded);
  lq_tensor_destroy(w);
}

static void test_sizes(void)
{
  static const struct sizes fixed[] = {{16, 1, 1},     {17, 33, 31},    {31, 64, 64},
                                       {32, 65, 512},  {48, 100, 1030}, {530, 20, 96},
                                       {16, 150, 1300}};
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
    test_int8(&fixed[i], "method=int8");
    test_int8(&fixed[i], "method=int8 threshold=3");
    test_fast(&fixed[i], "method=nf4");
    test_fast(&fixed[i], "method=affine group_size=64 symmetric=0");
    test_fast(&fixed[i], "method=none");
  }
  for (int t = 0, n = test_is_long() ? 300 : 20; t < n; t++) {
    struct sizes s = {16 + rng_below(&random_state, 80), 1 + rng_below(&random_state, MOST_N),
                      1 + rng_below(&random_state, 300)};
    test_int8(&s, t % 2 ? "method=int8" : "method=int8 threshold=2.5");
    test_fast(&s, t % 2 ? "method=nf4 block_size=32" : "method=dynamic8");
  }
}

int main(void)
{
  const char *before = lq_cpu_features();
  test_in("request");
  CHECK(strcmp(before, "amx") != 0, "used without having been asked for");
  CHECK(lq_cpu_request(NULL) == LQ_E_ARGUMENT && lq_cpu_request("avx2") == LQ_E_ARGUMENT,
        "other names");
  lq_status s = lq_cpu_request("amx");
  if (s == LQ_E_UNSUPPORTED) {
    CHECK(!strcmp(before, lq_cpu_features()) && lq_cpu_limit("amx") == LQ_E_UNSUPPORTED,
          "refused, but the level is %s", lq_cpu_features());
    printf("no tiles here: products not tested\n");
    return test_end();
  }
  CHECK(s == LQ_OK && !strcmp(lq_cpu_features(), "amx"), "status %d, level %s", s,
        lq_cpu_features());
  CHECK(lq_cpu_request("amx") == LQ_OK, "twice");
  test_sizes();
  return test_end();
}
