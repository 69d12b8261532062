/*
 * test_linalg.c - second moments, Cholesky factors, inverses and products against plain loops, and
 * their bits against those of other levels, numbers of threads, pools and splits of the input.
 *
 *   test_linalg [--bench]
 *
 * --bench measures instead, on one thread, at every level of the machine.
 */
#include "harness.h"

#include "../lib/core/cpu.h"
#include "../lib/core/fused.h"
#include "../lib/linalg/linalg.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

static uint64_t seed = 7;
static struct lqi_mem memory;

static const struct lqi_par one_thread = {NULL, NULL, 1};

/* ---- pools ---- */

static void backward(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  (void)user;
  for (uint32_t i = tasks; i-- != 0;)
    task(arg, i);
}

struct share {
  lq_task_fn task;
  void *arg;
  uint32_t first, step, tasks;
};

static void *run_share(void *user)
{
  const struct share *s = user;
  for (uint32_t i = s->first; i < s->tasks; i += s->step)
    s->task(s->arg, i);
  return NULL;
}

/* As many threads as `user` says, every n-th task on each. */
static void on_threads(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  uint32_t threads = *(const uint32_t *)user;
  pthread_t thread[8];
  struct share share[8];
  int started[8];
  for (uint32_t k = 0; k < threads; k++) {
    share[k] = (struct share){task, arg, k, threads, tasks};
    started[k] = pthread_create(&thread[k], NULL, run_share, &share[k]) == 0;
    if (!started[k])
      run_share(&share[k]);
  }
  for (uint32_t k = 0; k < threads; k++)
    if (started[k])
      pthread_join(thread[k], NULL);
}

static uint32_t two = 2, three = 3, eight = 8;

static const struct lqi_par pools[] = {
    {NULL, NULL, 2},       {NULL, NULL, 3},         {NULL, NULL, 8},         {backward, NULL, 0},
    {on_threads, &two, 2}, {on_threads, &three, 3}, {on_threads, &eight, 8},
};

/* ---- matrices ---- */

/* The larger error; NaN counts as infinite. */
static double worse(double worst, double error)
{
  return error <= worst ? worst : error > worst ? error : (double)INFINITY;
}

static float *random_floats(size_t n)
{
  float *x = test_alloc(n * sizeof *x);
  for (size_t i = 0; i < n; i++)
    x[i] = (float)(rng_uniform(&seed) + rng_uniform(&seed) - 1.0);
  return x;
}

static size_t padded_size(size_t n, size_t *elements)
{
  uint64_t padded = 0, count = 0;
  CHECK(lqi_triangle_size(n, &padded, &count) == 0, "size of %zu", n);
  *elements = (size_t)count;
  return (size_t)padded;
}

static void *work_space(size_t n, size_t element)
{
  uint64_t bytes = lqi_factor_scratch(n, element);
  return lqi_alloc(&memory, bytes);
}

/* X^T X of n + 20 rows whose neighbours are alike, and a diagonal that keeps it positive. */
static double *positive_matrix(size_t n)
{
  size_t rows = n + 20, elements, padded = padded_size(n, &elements);
  double *a = test_alloc(elements * sizeof *a);
  float *x = random_floats(rows * (n + 1));
  for (size_t t = 0; t < rows; t++)
    for (size_t i = 1; i < n; i++)
      x[t * n + i] = x[t * n + i] * 0.5f + x[t * n + i - 1] * 0.8f;
  for (size_t i = 0; i < n; i++)
    a[lqi_lower_at(i, i)] = 1e-2 * (double)rows;
  for (size_t t = 0; t < rows; t++)
    for (size_t i = 0; i < n; i++) {
      double *row = a + lqi_lower_at(i, 0);
      for (size_t j = 0; j <= i; j++)
        row[j] += (double)x[t * n + i] * (double)x[t * n + j];
    }
  for (size_t i = n; i < padded; i++)
    a[lqi_lower_at(i, i)] = 1.0;
  free(x);
  return a;
}

static float *narrowed(const double *a, size_t elements)
{
  float *out = test_alloc(elements * sizeof *out);
  for (size_t i = 0; i < elements; i++)
    out[i] = (float)a[i];
  return out;
}

static double *widened(const float *a, size_t elements)
{
  double *out = test_alloc(elements * sizeof *out);
  for (size_t i = 0; i < elements; i++)
    out[i] = (double)a[i];
  return out;
}

/* ---- second moments ---- */

static const size_t sizes[] = {0,  1,  2,   3,   7,   8,   17,  48,  63,
                               64, 65, 127, 128, 129, 200, 255, 257, 300};

/* Feeds rows in pieces: all at once, or of random lengths. */
static struct lqi_moments moments_of(const struct lqi_kernels *kern, const float *x, size_t rows,
                                     size_t n, size_t stride, int pieces, const struct lqi_par *par)
{
  struct lqi_moments h;
  CHECK(lqi_moments_create(&h, &memory, kern, n) == LQ_OK, "moments of %zu", n);
  for (size_t done = 0, some; done < rows; done += some) {
    some = pieces ? 1 + (size_t)rng_below(&seed, rng_below(&seed, 3) ? 20 : 700) : rows;
    some = some < rows - done ? some : rows - done;
    lqi_moments_add(&h, x + done * stride, some, stride, par);
  }
  CHECK(h.rows == rows, "%d rows", (int)h.rows);
  lqi_moments_flush(&h, par);
  return h;
}

/* Against sums in binary64, and to the bit against what linalg.h says. */
static void check_moments(const struct lqi_moments *h, const float *x, size_t rows, size_t stride)
{
  double worst = 0.0;
  int differ = 0;
  for (size_t i = 0; i < h->n; i++)
    for (size_t j = 0; j <= i; j++) {
      double sum = 0.0, size = 0.0, said = 0.0;
      float chain = 0.0f;
      for (size_t t = 0; t < rows; t++) {
        float a = x[t * stride + i], b = x[t * stride + j];
        sum += (double)a * (double)b;
        size += fabs((double)a * (double)b);
        chain = LQI_FMAF(a, b, chain);
        if (t % 256 == 255 || t + 1 == rows) {
          said += (double)chain;
          chain = 0.0f;
        }
      }
      double got = h->sum[lqi_lower_at(i, j)];
      differ += got != said;
      worst = worse(worst, fabs(sum - got) / (size + 1e-300));
    }
  CHECK(worst < 16 * 0x1p-24, "error %g", worst);
  CHECK(differ == 0, "%d elements are not the sums that were said", differ);
}

static void test_moments(size_t n, size_t rows)
{
  size_t stride = n + (size_t)rng_below(&seed, 5), elements;
  float *x = random_floats(rows * stride + 1);
  padded_size(n, &elements);
  test_in("moments of %zu rows of %zu", rows, n);
  struct lqi_moments first =
      moments_of(lqi_kernels_at(LQI_LEVEL_SCALAR), x, rows, n, stride, 0, &one_thread);
  check_moments(&first, x, rows, stride);
  for (int l = 0; l < LQI_LEVEL_COUNT; l++)
    for (int pieces = 0; lqi_kernels_at(l) && pieces < 3; pieces++) {
      const struct lqi_par *par = &pools[rng_below(&seed, LQI_COUNT(pools))];
      struct lqi_moments h = moments_of(lqi_kernels_at(l), x, rows, n, stride, pieces, par);
      for (size_t i = 0; i < n; i++)
        CHECK(!memcmp(h.sum + lqi_lower_at(i, 0), first.sum + lqi_lower_at(i, 0),
                      (i + 1) * sizeof(double)),
              "row %zu differs at %s, %s", i, lqi_level_name((enum lqi_level)l),
              pieces ? "in pieces" : "whole");
      lqi_moments_destroy(&h);
    }
  lqi_moments_destroy(&first);
  free(x);
}

/* gather against its definition */
static void check_gather(const struct lqi_moments *h, const uint32_t *order, const double *diagonal,
                         int reversed, const double *wide, const float *narrow)
{
  int bad = 0;
  for (size_t p = 0; p < h->padded; p++)
    for (size_t q = 0; q < lqi_lower_ld(p); q++) {
      size_t a = reversed ? h->padded - 1 - p : p, b = reversed ? h->padded - 1 - q : q;
      size_t i = order && a < h->n ? order[a] : a, j = order && b < h->n ? order[b] : b;
      double want = p == q ? 1.0 : 0.0;
      if (q <= p && a < h->n && b < h->n)
        want =
            i == j ? diagonal[i] : h->sum[i > j ? lqi_lower_at(i, j) : lqi_lower_at(j, i)] * 0.75;
      bad += wide[lqi_lower_at(p, q)] != want || narrow[lqi_lower_at(p, q)] != (float)want;
    }
  CHECK(bad == 0, "%d elements differ", bad);
}

static void test_gather(size_t n)
{
  size_t elements, rows = 30;
  padded_size(n, &elements);
  float *x = random_floats(rows * n + 1), *narrow = test_alloc(elements * sizeof *narrow);
  double *wide = test_alloc(elements * sizeof *wide),
         *diagonal = test_alloc((n + 1) * sizeof *diagonal);
  uint32_t *order = test_alloc((n + 1) * sizeof *order);
  struct lqi_moments h = moments_of(lqi_kernels(), x, rows, n, n, 0, &one_thread);
  lqi_moments_diagonal(&h, diagonal);
  for (size_t i = 0; i < n; i++) {
    CHECK(diagonal[i] == h.sum[lqi_lower_at(i, i)], "diagonal %zu", i);
    diagonal[i] += 0.125;
    order[i] = (uint32_t)i;
  }
  for (size_t i = n; i > 1; i--) {
    size_t j = (size_t)rng_below(&seed, i);
    uint32_t kept = order[i - 1];
    order[i - 1] = order[j];
    order[j] = kept;
  }
  for (int how = 0; how < 4; how++) {
    const uint32_t *o = how & 1 ? order : NULL;
    const struct lqi_par *par = &pools[rng_below(&seed, LQI_COUNT(pools))];
    test_in("gather of %zu, how %d", n, how);
    memset(wide, 0xff, elements * sizeof *wide);
    memset(narrow, 0xff, elements * sizeof *narrow);
    lqi_moments_gather_f32(&h, o, diagonal, 0.75, how >> 1, narrow, par);
    lqi_moments_gather_f64(&h, o, diagonal, 0.75, how >> 1, wide, par);
    check_gather(&h, o, diagonal, how >> 1, wide, narrow);
  }
  lqi_moments_destroy(&h);
  free(x), free(narrow), free(wide), free(diagonal), free(order);
}

static void test_reverse(size_t n)
{
  size_t elements, padded = padded_size(n, &elements);
  float *a = random_floats(elements);
  double *wide = widened(a, elements), *kept = widened(a, elements);
  test_in("reversal of %zu", n);
  lqi_triangle_reverse_f32(a, padded, &pools[0]);
  lqi_triangle_reverse_f64(wide, padded, &one_thread);
  int bad = 0;
  for (size_t i = 0; i < padded; i++)
    for (size_t j = i / LQI_BLOCK * LQI_BLOCK; j < padded; j++) {
      size_t at = lqi_upper_at(padded, i, j);
      double want = kept[lqi_lower_at(padded - 1 - i, padded - 1 - j)];
      bad += wide[at] != want || (double)a[at] != want;
      bad +=
          at != lqi_upper_at(padded, i, i / LQI_BLOCK * LQI_BLOCK) + j - i / LQI_BLOCK * LQI_BLOCK;
      if (i % LQI_BLOCK != 0)
        bad += at != lqi_upper_at(padded, i - 1, j) + lqi_upper_ld(padded, i);
    }
  CHECK(bad == 0, "%d elements are elsewhere", bad);
  free(a), free(wide), free(kept);
}

/* ---- factors ---- */

/* L L^T against A: every element within some units of the product of the rows' lengths. */
static void check_factor(const double *l, const double *a, size_t padded, double unit)
{
  double worst = 0.0;
  int above = 0;
  for (size_t i = 0; i < padded; i++) {
    for (size_t j = i + 1; j < lqi_lower_ld(i); j++)
      above += l[lqi_lower_at(i, j)] != 0.0;
    for (size_t j = 0; j <= i; j++) {
      double sum = 0.0;
      for (size_t k = 0; k <= j; k++)
        sum += l[lqi_lower_at(i, k)] * l[lqi_lower_at(j, k)];
      double size = sqrt(a[lqi_lower_at(i, i)] * a[lqi_lower_at(j, j)]);
      worst = worse(worst, fabs(sum - a[lqi_lower_at(i, j)]) / size);
    }
  }
  CHECK(worst < 8 * unit, "error of %g units", worst / unit);
  CHECK(above == 0, "%d elements above the diagonal", above);
}

/* L M against I: every element within some units of |L| |M|. */
static void check_inverse(const double *l, const double *m, size_t padded, double unit)
{
  double worst = 0.0;
  int above = 0;
  for (size_t i = 0; i < padded; i++) {
    for (size_t j = i + 1; j < lqi_lower_ld(i); j++)
      above += m[lqi_lower_at(i, j)] != 0.0;
    for (size_t j = 0; j <= i; j++) {
      double sum = i == j ? -1.0 : 0.0, size = 0.0;
      for (size_t k = j; k <= i; k++) {
        double p = l[lqi_lower_at(i, k)] * m[lqi_lower_at(k, j)];
        sum += p;
        size += fabs(p);
      }
      if (size != 0.0)
        worst = worse(worst, fabs(sum) / size);
    }
  }
  CHECK(worst < 8 * unit, "error of %g units", worst / unit);
  CHECK(above == 0, "%d elements above the diagonal", above);
}

/* Every pool for the largest sizes, one at each level for others; fma may be a slow function. */
static int tried(size_t n, int level, size_t pool)
{
  size_t turn = (n / LQI_BLOCK + (size_t)level) % LQI_COUNT(pools);
  return pool == turn || (n > 300 && level != LQI_LEVEL_SCALAR);
}

/* Factor and inverse at every level and with several pools: the same bits as `l` and `m`. */
static void check_bits_f32(const float *a, const float *l, const float *m, size_t n,
                           size_t elements)
{
  float *b = test_alloc(elements * sizeof *b);
  void *scratch = work_space(n, sizeof *b);
  for (int level = 0; level < LQI_LEVEL_COUNT; level++)
    for (size_t p = 0; lqi_kernels_at(level) && p < LQI_COUNT(pools); p++) {
      const struct lqi_kernels *kern = lqi_kernels_at(level);
      if (!tried(n, level, p))
        continue;
      memcpy(b, a, elements * sizeof *b);
      size_t failed = lqi_cholesky_f32(kern, b, n, scratch, &pools[p]);
      CHECK(failed == 0 && !memcmp(b, l, elements * sizeof *b), "factor differs: %s, pool %zu",
            lqi_level_name((enum lqi_level)level), p);
      lqi_invert_lower_f32(kern, b, n, scratch, &pools[p]);
      CHECK(!memcmp(b, m, elements * sizeof *b), "inverse differs: %s, pool %zu",
            lqi_level_name((enum lqi_level)level), p);
    }
  lqi_free(&memory, scratch, lqi_factor_scratch(n, sizeof *b));
  free(b);
}

static void check_bits_f64(const double *a, const double *l, const double *m, size_t n,
                           size_t elements)
{
  double *b = test_alloc(elements * sizeof *b);
  void *scratch = work_space(n, sizeof *b);
  for (int level = 0; level < LQI_LEVEL_COUNT; level++)
    for (size_t p = 0; lqi_kernels_at(level) && p < LQI_COUNT(pools); p++) {
      const struct lqi_kernels *kern = lqi_kernels_at(level);
      if (!tried(n, level, p))
        continue;
      memcpy(b, a, elements * sizeof *b);
      size_t failed = lqi_cholesky_f64(kern, b, n, scratch, &pools[p]);
      CHECK(failed == 0 && !memcmp(b, l, elements * sizeof *b), "factor differs: %s, pool %zu",
            lqi_level_name((enum lqi_level)level), p);
      lqi_invert_lower_f64(kern, b, n, scratch, &pools[p]);
      CHECK(!memcmp(b, m, elements * sizeof *b), "inverse differs: %s, pool %zu",
            lqi_level_name((enum lqi_level)level), p);
    }
  lqi_free(&memory, scratch, lqi_factor_scratch(n, sizeof *b));
  free(b);
}

static void test_factor_f64(size_t n)
{
  size_t elements, padded = padded_size(n, &elements);
  double *a = positive_matrix(n), *l = test_alloc(elements * sizeof *l),
         *m = test_alloc(elements * sizeof *m);
  void *scratch = work_space(padded, sizeof *a);
  test_in("f64 factor of %zu", n);
  memcpy(l, a, elements * sizeof *l);
  CHECK(lqi_cholesky_f64(lqi_kernels(), l, padded, scratch, &one_thread) == 0, "failed");
  check_factor(l, a, padded, 4 * 0x1p-53);
  memcpy(m, l, elements * sizeof *m);
  lqi_invert_lower_f64(lqi_kernels(), m, padded, scratch, &one_thread);
  check_inverse(l, m, padded, 4 * 0x1p-53);
  check_bits_f64(a, l, m, padded, elements);
  lqi_free(&memory, scratch, lqi_factor_scratch(padded, sizeof *a));
  free(a), free(l), free(m);
}

static void test_factor_f32(size_t n)
{
  size_t elements, padded = padded_size(n, &elements);
  double *wide = positive_matrix(n), *exact, *got;
  float *a = narrowed(wide, elements), *l = narrowed(wide, elements), *m;
  void *scratch = work_space(padded, sizeof *a);
  test_in("f32 factor of %zu", n);
  CHECK(lqi_cholesky_f32(lqi_kernels(), l, padded, scratch, &one_thread) == 0, "failed");
  free(wide);
  wide = widened(a, elements);
  exact = widened(l, elements);
  check_factor(exact, wide, padded, 0x1p-24);
  m = narrowed(exact, elements);
  lqi_invert_lower_f32(lqi_kernels(), m, padded, scratch, &one_thread);
  got = widened(m, elements);
  check_inverse(exact, got, padded, 0x1p-24);
  check_bits_f32(a, l, m, padded, elements);
  lqi_free(&memory, scratch, lqi_factor_scratch(padded, sizeof *a));
  free(a), free(l), free(m), free(wide), free(exact), free(got);
}

/* A column whose pivot cannot be is found, at every place that the walk treats differently. */
static void test_not_positive(size_t n, size_t column, double pivot)
{
  size_t elements, padded = padded_size(n, &elements);
  double *a = positive_matrix(n);
  void *scratch = work_space(padded, sizeof *a);
  a[lqi_lower_at(column, column)] = pivot;
  float *b = narrowed(a, elements);
  test_in("pivot %g in column %zu of %zu", pivot, column, n);
  size_t failed = lqi_cholesky_f64(lqi_kernels(), a, padded, scratch, &pools[0]);
  CHECK(failed == column + 1, "f64: column %zu", failed);
  failed = lqi_cholesky_f32(lqi_kernels(), b, padded, scratch, &pools[0]);
  CHECK(failed == column + 1, "f32: column %zu", failed);
  lqi_free(&memory, scratch, lqi_factor_scratch(padded, sizeof *a));
  free(a), free(b);
}

/* The factor R R^T of upper R by reversal, and U = R^-1 with U^T U = A^-1: U A U^T = I. */
static void test_upper(size_t n)
{
  size_t elements, rows = n + 50, padded = padded_size(n, &elements);
  float *x = random_floats(rows * n + 1);
  double *u = test_alloc(elements * sizeof *u), *diagonal = test_alloc((n + 1) * sizeof *diagonal);
  void *scratch = work_space(padded, sizeof *u);
  struct lqi_moments h = moments_of(lqi_kernels(), x, rows, n, n, 0, &one_thread);
  lqi_moments_diagonal(&h, diagonal);
  test_in("upper inverse factor of %zu", n);
  lqi_moments_gather_f64(&h, NULL, diagonal, 1.0, 1, u, &one_thread);
  CHECK(lqi_cholesky_f64(lqi_kernels(), u, padded, scratch, &one_thread) == 0, "failed");
  lqi_invert_lower_f64(lqi_kernels(), u, padded, scratch, &one_thread);
  lqi_triangle_reverse_f64(u, padded, &one_thread);
  double worst = 0.0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j <= i; j += 1 + n / 20) {
      double sum = i == j ? -1.0 : 0.0; /* (U A U^T)(i, j) */
      for (size_t k = i; k < n; k++)
        for (size_t m = j; m < n; m++)
          sum += u[lqi_upper_at(padded, i, k)] * u[lqi_upper_at(padded, j, m)] *
                 h.sum[k > m ? lqi_lower_at(k, m) : lqi_lower_at(m, k)];
      worst = worse(worst, fabs(sum));
    }
  CHECK(worst < 1e-9, "error %g", worst);
  lqi_free(&memory, scratch, lqi_factor_scratch(padded, sizeof *u));
  lqi_moments_destroy(&h);
  free(x), free(u), free(diagonal);
}

/* ---- products ---- */

static void multiply(const struct lqi_kernels *kern, const struct lqi_gemm *g,
                     const struct lqi_par *par)
{
  uint64_t bytes = lqi_gemm_scratch(g->m, g->n, g->k);
  void *scratch = lqi_alloc(&memory, bytes);
  lqi_gemm_f32(kern, g, scratch, par);
  lqi_free(&memory, scratch, bytes);
}

/* One element as linalg.h says it, and an error that binary32 may have. */
static float said_product(const struct lqi_gemm *g, float old, size_t i, size_t j, double *error)
{
  double sum = 0.0, size = fabs((double)old);
  float chain = 0.0f, said = g->mode == LQI_TILE_SET ? 0.0f : old;
  for (size_t k = 0; k < g->k; k++) {
    float a = g->a[i * g->lda + k], b = g->transposed ? g->b[j * g->ldb + k] : g->b[k * g->ldb + j];
    sum += (double)a * (double)b;
    size += fabs((double)a * (double)b);
    chain = LQI_FMAF(a, b, chain);
    if (k % 256 == 255 || k + 1 == g->k) {
      said = g->mode == LQI_TILE_SUB ? said - chain : said + chain;
      chain = 0.0f;
    }
  }
  double want = g->mode == LQI_TILE_SET   ? sum
                : g->mode == LQI_TILE_ADD ? (double)old + sum
                                          : (double)old - sum;
  *error = fabs(want - (double)said) / (size + 1e-300);
  return said;
}

/* c to the bit, and within an error; what lies between rows stays. */
static void check_product(const struct lqi_gemm *g, const float *before, size_t elements)
{
  double worst = 0.0, error;
  int outside = 0, differ = 0;
  for (size_t at = 0; at < elements; at++) {
    size_t i = at / g->ldc, j = at % g->ldc;
    if (j >= g->n) {
      outside += g->c[at] != before[at];
      continue;
    }
    differ += g->c[at] != said_product(g, before[at], i, j, &error);
    worst = worse(worst, error);
  }
  CHECK(worst < 24 * 0x1p-24, "error %g", worst);
  CHECK(differ == 0, "%d elements are not the sums that were said", differ);
  CHECK(outside == 0, "%d elements between rows", outside);
}

static size_t random_size(void)
{
  static const size_t usual[] = {0, 1, 2, 7, 8, 31, 47, 48, 49, 96, 100, 128, 191, 193, 256};
  return rng_below(&seed, 2) ? usual[rng_below(&seed, LQI_COUNT(usual))]
                             : (size_t)rng_below(&seed, 400);
}

static void test_product(size_t m, size_t n, size_t k)
{
  int transposed = (int)rng_below(&seed, 2), mode = (int)rng_below(&seed, 3);
  size_t lda = k + (size_t)rng_below(&seed, 3), ldc = n + 1 + (size_t)rng_below(&seed, 3),
         ldb = (transposed ? k : n) + (size_t)rng_below(&seed, 3);
  float *a = random_floats(m * lda + 1), *b = random_floats((n + k + 1) * ldb + 1);
  float *before = random_floats(m * ldc + 1), *first = test_alloc((m * ldc + 1) * sizeof *first),
        *c = test_alloc((m * ldc + 1) * sizeof *c);
  struct lqi_gemm g = {m, n, k, a, b, first, lda, ldb, ldc, transposed, mode};
  test_in("product %zu x %zu x %zu, transposed %d, mode %d", m, n, k, transposed, mode);
  memcpy(first, before, m * ldc * sizeof *c);
  multiply(lqi_kernels(), &g, &one_thread);
  check_product(&g, before, m * ldc);
  g.c = c;
  for (int level = 0; level < LQI_LEVEL_COUNT; level++)
    if (lqi_kernels_at(level)) {
      memcpy(c, before, m * ldc * sizeof *c);
      multiply(lqi_kernels_at(level), &g, &pools[rng_below(&seed, LQI_COUNT(pools))]);
      CHECK(!memcmp(c, first, m * ldc * sizeof *c), "differs: %s",
            lqi_level_name((enum lqi_level)level));
    }
  free(a), free(b), free(before), free(first), free(c);
}

/* ---- limits ---- */

static int allocations;

static void *few(void *user, size_t bytes, size_t alignment)
{
  (void)user;
  return allocations-- > 0 ? test_aligned(alignment, bytes) : NULL;
}

static void give_back(void *user, void *p, size_t bytes, size_t alignment)
{
  (void)user, (void)bytes, (void)alignment;
  test_aligned_free(p);
}

static void test_limits(void)
{
  const lq_alloc hook = {sizeof hook, 0, NULL, few, give_back};
  struct lqi_mem mem;
  struct lqi_moments h;
  uint64_t padded, elements;
  test_in("limits");
  CHECK(lqi_mem_init(&mem, &hook) == LQ_OK, "hook");
  for (int n = 0; n < 3; n++) {
    allocations = n;
    lq_status s = lqi_moments_create(&h, &mem, lqi_kernels(), 100);
    CHECK(s == (n < 2 ? LQ_E_MEMORY : LQ_OK), "%d allocations: %d", n, s);
    if (s == LQ_OK)
      lqi_moments_destroy(&h);
  }
  CHECK(lqi_triangle_size(UINT64_MAX, &padded, &elements) != 0, "huge");
  CHECK(lqi_triangle_size(UINT32_MAX, &padded, &elements) != 0, "2^32");
  CHECK(lqi_triangle_size(4096, &padded, &elements) == 0 && padded == 4096 && elements == 8650752,
        "%llu", (unsigned long long)elements);
  CHECK(lqi_moments_create(&h, &memory, lqi_kernels(), UINT64_MAX) == LQ_E_MEMORY, "huge");
  CHECK(lqi_moments_bytes(UINT64_MAX) == 0 && lqi_moments_bytes(UINT32_MAX) == 0, "huge");
  CHECK(lqi_factor_scratch(UINT64_MAX, 4) == 0 && lqi_gemm_scratch(UINT64_MAX, 1, 256) == 0 &&
            lqi_gemm_scratch(1, UINT64_MAX, 256) == 0 &&
            lqi_gemm_scratch(UINT64_MAX / 2, 1, 9) == 0,
        "huge");
}

/* ---- time ---- */

static double seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct timing {
  const struct lqi_kernels *kern;
  size_t n, elements;
  float *x, *y, *a32, *l32, *b32;
  double *a64, *l64, *b64;
  void *scratch;
};

static void time_syrk(struct timing *t)
{
  struct lqi_moments h = {
      .mem = memory, .kern = t->kern, .sum = t->b64, .panel = t->y, .n = t->n, .padded = t->n};
  lqi_moments_add(&h, t->x, 2048, t->n, &one_thread);
  lqi_moments_flush(&h, &one_thread);
}

static void time_gather(struct timing *t)
{
  struct lqi_moments h = {.mem = memory, .kern = t->kern, .sum = t->a64, .n = t->n, .padded = t->n};
  lqi_moments_gather_f32(&h, t->scratch, t->l64, 1.0, 1, t->b32, &one_thread);
}

static void time_cholesky32(struct timing *t)
{
  lqi_cholesky_f32(t->kern, t->b32, t->n, t->scratch, &one_thread);
}

static void time_cholesky64(struct timing *t)
{
  lqi_cholesky_f64(t->kern, t->b64, t->n, t->scratch, &one_thread);
}

static void time_invert32(struct timing *t)
{
  lqi_invert_lower_f32(t->kern, t->b32, t->n, t->scratch, &one_thread);
}

static void time_invert64(struct timing *t)
{
  lqi_invert_lower_f64(t->kern, t->b64, t->n, t->scratch, &one_thread);
}

static void time_gemm(struct timing *t)
{
  struct lqi_gemm g = {t->n, t->n, t->n, t->x, t->x, t->y, t->n, t->n, t->n, 0, LQI_TILE_SUB};
  lqi_gemm_f32(t->kern, &g, t->scratch, &one_thread);
}

static void time_gemm128(struct timing *t)
{
  struct lqi_gemm g = {t->n, t->n, 128, t->x, t->x, t->y, t->n, t->n, t->n, 0, LQI_TILE_SUB};
  lqi_gemm_f32(t->kern, &g, t->scratch, &one_thread);
}

static void time_tiles(struct timing *t)
{
  const struct lqi_tiles *tiles = &t->kern->tiles;
  for (int i = 0; i < 1000; i++)
    tiles->f32(256, t->x, tiles->columns_f32, t->x, t->y, tiles->columns_f32, tiles->rows,
               tiles->columns_f32, LQI_TILE_ADD);
}

static const struct {
  const char *name;
  void (*run)(struct timing *t);
  double work; /* flops / n^power */
  int power, start;
} timings[] = {
    {"syrk 2048", time_syrk, 2048.0, 2, 0},
    {"gather (1/n^2)", time_gather, 1.0, 2, 0},
    {"cholesky f32", time_cholesky32, 1 / 3.0, 3, 1},
    {"cholesky f64", time_cholesky64, 1 / 3.0, 3, 1},
    {"inverse f32", time_invert32, 1 / 3.0, 3, 2},
    {"inverse f64", time_invert64, 1 / 3.0, 3, 2},
    {"gemm", time_gemm, 2.0, 3, 0},
    {"gemm, k = 128", time_gemm128, 256.0, 2, 0},
};

/* What a run works on in place: the matrix (1) or its factor (2). */
static void start(struct timing *t, int with)
{
  if (with != 0) {
    memcpy(t->b32, with == 1 ? t->a32 : t->l32, t->elements * sizeof(float));
    memcpy(t->b64, with == 1 ? t->a64 : t->l64, t->elements * sizeof(double));
  }
}

static double shortest(struct timing *t, void (*run)(struct timing *t), int with)
{
  double best = 1e9, begin = seconds();
  for (int i = 0; i < 3 || seconds() - begin < 0.4; i++) {
    start(t, with);
    double s = seconds();
    run(t);
    s = seconds() - s;
    best = s < best ? s : best;
  }
  return best;
}

static void prepare(struct timing *t)
{
  size_t n = t->n, rows = n > 2048 ? n : 2048;
  padded_size(n, &t->elements);
  t->x = random_floats(rows * n);
  t->y = random_floats((n + 256) * (n > 1024 ? n : 1024));
  t->a64 = test_alloc(t->elements * sizeof(double));
  t->b64 = test_alloc(t->elements * sizeof(double));
  t->scratch = lqi_alloc(&memory, lqi_factor_scratch(n, 8) + lqi_gemm_scratch(n, n, n));
  time_syrk(t);
  memcpy(t->a64, t->b64, t->elements * sizeof(double));
  for (size_t i = 0; i < n; i++)
    t->a64[lqi_lower_at(i, i)] += 20.0;
  t->a32 = narrowed(t->a64, t->elements);
  t->l64 = widened(t->a32, t->elements);
  time_cholesky64(&(struct timing){.kern = t->kern, .n = n, .b64 = t->l64, .scratch = t->scratch});
  t->l32 = narrowed(t->l64, t->elements);
  t->b32 = narrowed(t->l64, t->elements);
}

static void bench(size_t n)
{
  struct timing t = {.kern = lqi_kernels(), .n = n};
  prepare(&t);
  for (int l = 0; l < LQI_LEVEL_COUNT; l++) {
    if (l == LQI_LEVEL_SCALAR || l == LQI_LEVEL_AVX512VBMI || !lqi_kernels_at(l))
      continue;
    t.kern = lqi_kernels_at(l);
    double tile =
        512e3 * t.kern->tiles.rows * t.kern->tiles.columns_f32 / shortest(&t, time_tiles, 0);
    printf("n %zu, %s: f32 tiles in L1 %.1f GFLOP/s\n", n, lqi_level_name((enum lqi_level)l),
           tile * 1e-9);
    for (size_t i = 0; i < LQI_COUNT(timings); i++) {
      for (size_t k = 0; timings[i].run == time_gather && k < n; k++) /* any permutation */
        ((uint32_t *)t.scratch)[k] = (uint32_t)((k * 1237 + 55) % n);
      double s = shortest(&t, timings[i].run, timings[i].start);
      double rate = timings[i].work * pow((double)n, timings[i].power) / s;
      printf("  %-14s %8.2f ms %7.1f GFLOP/s %5.1f %%\n", timings[i].name, s * 1e3, rate * 1e-9,
             100 * rate / tile);
      fflush(stdout);
    }
  }
  lqi_free(&memory, t.scratch, lqi_factor_scratch(n, 8) + lqi_gemm_scratch(n, n, n));
  free(t.x), free(t.y), free(t.a64), free(t.b64), free(t.l64), free(t.a32), free(t.b32),
      free(t.l32);
}

int main(int argc, char **argv)
{
  static const size_t rows[] = {0, 1, 30, 255, 256, 257, 511, 700};
  static const size_t columns[] = {0, 1, 15, 16, 63, 64, 70, 127, 128, 150, 255, 256, 290};
  lqi_mem_init(&memory, NULL);
  if (argc > 1 && !strcmp(argv[1], "--bench")) {
    for (size_t n = 512; n <= 4096; n *= 2)
      if (argc == 2 || strtoull(argv[2], NULL, 10) == n)
        bench(n);
    return 0;
  }
  for (size_t i = 0; i < LQI_COUNT(sizes); i++) {
    if (!test_takes(4))
      continue;
    test_moments(sizes[i], rows[i % LQI_COUNT(rows)]);
    test_gather(sizes[i]);
    test_reverse(sizes[i]);
    if (sizes[i] != 257) { /* as 300, and that takes its time */
      test_factor_f32(sizes[i]);
      test_factor_f64(sizes[i]);
    }
  }
  test_moments(65, 1100);
  if (test_takes(2))
    test_factor_f32(520);
  for (size_t i = 0; i < LQI_COUNT(columns); i++) {
    if (!test_takes(6))
      continue;
    test_not_positive(300, columns[i], -1.0);
    test_not_positive(300, columns[i], (double)NAN);
    test_not_positive(300, columns[i], (double)INFINITY);
  }
  test_upper(1);
  test_upper(100);
  test_upper(131);
  for (int i = 0; i < 60; i++)
    if (test_takes(8))
      test_product(random_size(), random_size(), random_size());
  test_product(130, 77, 600);
  test_limits();
  return test_end();
}
