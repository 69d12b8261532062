/*
 * test_packed.c - products with a right factor that was packed once: the bits of lqi_gemm_f32, on
 * every level.
 */
#include "harness.h"

#include "../lib/core/cpu.h"
#include "../lib/linalg/linalg.h"

static uint64_t seed = 11;
static struct lqi_mem memory;

static float *random_floats(size_t n)
{
  float *x = test_alloc(n * sizeof *x);
  for (size_t i = 0; i < n; i++)
    x[i] = rng_normal(&seed);
  return x;
}

/* The left factor in groups of `step` rows; rows that only fill up the last group are not zero. */
static float *grouped(const float *a, size_t m, size_t k, size_t step)
{
  size_t groups = (m + step - 1) / step;
  float *out = random_floats(groups * step * k);
  for (size_t i = 0; i < m; i++)
    for (size_t t = 0; t < k; t++)
      out[(i / step * k + t) * step + i % step] = a[i * k + t];
  return out;
}

static void test_product(size_t m, size_t n, size_t k, size_t step)
{
  static const struct lqi_par serial = {NULL, NULL, 1};
  size_t ldb = n + (size_t)rng_below(&seed, 3), ldc = n + 1 + (size_t)rng_below(&seed, 3);
  float *a = random_floats(m * k), *b = random_floats(k * ldb), *left = grouped(a, m, k, step);
  float *before = random_floats(m * ldc), *want = test_alloc(m * ldc * sizeof *want),
        *c = test_alloc(m * ldc * sizeof *c);
  struct lqi_gemm g = {m, n, k, a, b, want, k, ldb, ldc, 0, LQI_TILE_ADD};
  uint64_t bytes = lqi_gemm_scratch(m, n, k);
  void *scratch = lqi_alloc(&memory, bytes);
  memcpy(want, before, m * ldc * sizeof *c);
  lqi_gemm_f32(lqi_kernels_at(LQI_LEVEL_SCALAR), &g, scratch, &serial);
  lqi_free(&memory, scratch, bytes);
  test_in("%zu x %zu x %zu, groups of %zu", m, n, k, step);
  for (int level = 0; level < LQI_LEVEL_COUNT; level++) {
    const struct lqi_kernels *kern = lqi_kernels_at(level);
    if (kern == NULL)
      continue;
    float *right = test_alloc(k * lqi_panels_f32(kern, n) * sizeof *right);
    struct lqi_packed_product p = {m, n, k, step, left, right, c, ldc};
    lqi_pack_f32(kern, b, ldb, k, n, right);
    memcpy(c, before, m * ldc * sizeof *c);
    lqi_packed_add_f32(kern, &p);
    CHECK(!memcmp(c, want, m * ldc * sizeof *c), "differs: %s",
          lqi_level_name((enum lqi_level)level));
    free(right);
  }
  free(a), free(b), free(left), free(before), free(want), free(c);
}

int main(void)
{
  lqi_mem_init(&memory, NULL);
  for (size_t i = 0; i < 60; i++)
    test_product(1 + (size_t)rng_below(&seed, 100), (size_t)rng_below(&seed, 200),
                 1 + (size_t)rng_below(&seed, 256), (size_t)16 << rng_below(&seed, 3));
  test_product(65, 97, 128, 32);
  return test_end();
}
