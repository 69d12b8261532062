/*
 * test_compare.c - proves the metrics of lq_compare against sums in the test, and the rules for
 * zero, NaN and infinity.
 */
#include "helpers.h"

static uint64_t random_state = 77;

static lq_status compare(const lq_tensor *a, const lq_tensor *b, lq_metrics *m)
{
  lq_config *how = new_config("");
  memset(m, 0, sizeof *m);
  m->size = sizeof *m;
  lq_status s = lq_compare(a, b, m, how);
  CHECK(m->size == sizeof *m, "size changed");
  lq_config_destroy(how);
  return s;
}

static int close_to(double a, double b)
{
  return a == b || fabs(a - b) <= 1e-12 * (fabs(a) + fabs(b)) || (isnan(a) && isnan(b));
}

/* Metrics of two arrays by their definitions. */
static lq_metrics expected(const float *a, const float *b, uint64_t n, uint64_t columns)
{
  lq_metrics m = {.size = sizeof m};
  double aa = 0, bb = 0, dd = 0, ab = 0;
  for (uint64_t i = 0; i < n; i++) {
    double x = (double)a[i], y = (double)b[i], d = x - y;
    aa += x * x, bb += y * y, ab += x * y, dd += d * d;
    if (fabs(d) > m.max_error) {
      m.max_error = fabs(d);
      m.max_row = i / columns;
      m.max_column = i % columns;
    }
  }
  m.relative_error = sqrt(dd) / sqrt(aa);
  m.sqnr_db = -20 * log10(m.relative_error);
  m.cosine = ab / (sqrt(aa) * sqrt(bb));
  m.sum_a2 = aa, m.sum_b2 = bb, m.sum_d2 = dd, m.sum_ab = ab;
  return m;
}

static void check_metrics(const lq_metrics *got, const lq_metrics *want)
{
  CHECK(close_to(got->relative_error, want->relative_error), "relative_error %g, not %g",
        got->relative_error, want->relative_error);
  CHECK(fabs(got->sqnr_db - want->sqnr_db) < 1e-9, "sqnr_db %g, not %g", got->sqnr_db,
        want->sqnr_db);
  CHECK(close_to(got->cosine, want->cosine), "cosine %g, not %g", got->cosine, want->cosine);
  CHECK(got->max_error == want->max_error && got->max_row == want->max_row &&
            got->max_column == want->max_column,
        "max_error %g at [%d, %d], not %g at [%d, %d]", got->max_error, (int)got->max_row,
        (int)got->max_column, want->max_error, (int)want->max_row, (int)want->max_column);
  CHECK(close_to(got->sum_a2, want->sum_a2) && close_to(got->sum_b2, want->sum_b2) &&
            close_to(got->sum_d2, want->sum_d2) && close_to(got->sum_ab, want->sum_ab),
        "sums");
}

static void test_random(void)
{
  static const char *const methods[] = {"method=nf4",
                                        "method=fp4 nested=1",
                                        "method=int8",
                                        "method=dynamic8",
                                        "method=none",
                                        "method=affine bits=8",
                                        "method=affine symmetric=0 nested=1"};
  static const uint64_t shapes[][2] = {{1, 1}, {3, 5}, {37, 53}, {200, 401}, {1, 9000}, {9000, 1}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (size_t k = 0; k < sizeof methods / sizeof *methods; k++)
      for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
        uint64_t n = shapes[i][0] * shapes[i][1];
        float *x = test_alloc((size_t)n * sizeof *x);
        lq_metrics m;
        test_in("%s, %d x %d, dtype %d", methods[k], (int)shapes[i][0], (int)shapes[i][1], dtype);
        for (uint64_t j = 0; j < n; j++)
          x[j] = rng_normal(&random_state) * 1e-3f;
        void *data = array_of(x, n, dtype);
        lq_tensor *a = wrap(dtype, 2, shapes[i], data), *b = quantize(a, methods[k]);
        float *av = decode(a, LQ_F32), *bv = b ? decode(b, LQ_F32) : NULL;
        if (av && bv && CHECK(compare(a, b, &m) == LQ_OK, "compare")) {
          lq_metrics want = expected(av, bv, n, shapes[i][1]);
          if (want.sum_d2 == 0)
            CHECK(m.relative_error == 0 && isinf(m.sqnr_db) && m.sqnr_db > 0 && m.max_error == 0,
                  "equal");
          else
            check_metrics(&m, &want);
          CHECK(compare(b, b, &m) == LQ_OK && m.relative_error == 0 && isinf(m.sqnr_db) &&
                    close_to(m.cosine, 1),
                "with itself");
        }
        free(av);
        free(bv);
        free(data);
        free(x);
        lq_tensor_destroy(a);
        lq_tensor_destroy(b);
      }
}

static lq_metrics compare_arrays(uint64_t n, const float *x, const float *y)
{
  const uint64_t dims[2] = {n / 2, 2};
  lq_metrics m;
  lq_tensor *a = wrap(LQ_F32, 2, dims, x), *b = wrap(LQ_F32, 2, dims, y);
  lq_status s = compare(a, b, &m);
  CHECK(s == LQ_OK, "status %d", s);
  lq_tensor_destroy(a);
  lq_tensor_destroy(b);
  return m;
}

static void test_special(void)
{
  const float zero[4] = {0, -0.0f, 0, 0}, one[4] = {1, 2, 3, 4},
              huge[4] = {3e38f, -3e38f, 3e38f, 3e38f};
  const float minus[4] = {-1, -2, -3, -4}, tiny[4] = {1e-45f, 0, 0, 0};
  const float nans[4] = {1, NAN, 3, INFINITY}, nans2[4] = {2, NAN, 3, INFINITY};
  const float opposite[4] = {1, NAN, 3, -INFINITY}, two_nans[4] = {1, NAN, 3, NAN};
  test_in("special");
  lq_metrics m = compare_arrays(4, zero, zero);
  CHECK(m.relative_error == 0 && isinf(m.sqnr_db) && m.cosine == 1 && m.max_error == 0,
        "both zero");
  m = compare_arrays(4, zero, one);
  CHECK(isinf(m.relative_error) && m.relative_error > 0 && m.cosine == 0 && m.max_error == 4 &&
            m.max_row == 1 && m.max_column == 1,
        "zero and not: %g %g %g", m.relative_error, m.cosine, m.max_error);
  CHECK(isinf(m.sqnr_db) && m.sqnr_db < 0, "sqnr_db %g", m.sqnr_db);
  m = compare_arrays(4, one, zero);
  CHECK(m.relative_error == 1 && m.sqnr_db == 0 && m.cosine == 0, "not and zero: %g %g",
        m.relative_error, m.cosine);
  m = compare_arrays(4, one, minus);
  CHECK(close_to(m.relative_error, 2) && close_to(m.cosine, -1), "opposite: %g %g",
        m.relative_error, m.cosine);
  m = compare_arrays(4, huge, huge);
  CHECK(m.relative_error == 0 && close_to(m.cosine, 1), "huge: %g %g", m.relative_error, m.cosine);
  m = compare_arrays(4, tiny, tiny);
  CHECK(m.relative_error == 0 && close_to(m.cosine, 1), "tiny: %g %g", m.relative_error, m.cosine);
  m = compare_arrays(4, nans, nans);
  CHECK(m.relative_error == 0 && m.max_error == 0 && close_to(m.cosine, 1),
        "NaN and infinity in both: %g %g %g", m.relative_error, m.max_error, m.cosine);
  m = compare_arrays(4, nans, nans2);
  CHECK(close_to(m.relative_error, 1 / sqrt(10.0)) && m.max_error == 1 && m.max_row == 0 &&
            m.max_column == 0,
        "the others count: %g %g", m.relative_error, m.max_error);
  m = compare_arrays(4, nans, opposite);
  CHECK(isinf(m.max_error) && m.max_row == 1 && m.max_column == 1, "infinities of other sign: %g",
        m.max_error);
  CHECK(!(m.relative_error >= 0 && m.relative_error < 1e300), "relative_error %g",
        m.relative_error);
  m = compare_arrays(4, one, two_nans);
  CHECK(m.max_row == 0 && m.max_column == 1, "the first of two NaN: [%d, %d]", (int)m.max_row,
        (int)m.max_column);
}

/* Of equal errors the first is named, wherever tasks were cut. */
static void test_first(void)
{
  enum { N = 300000 };
  float *x = test_alloc(N * sizeof *x), *y = test_alloc(N * sizeof *y);
  for (int threads = 1; threads <= 3; threads++) {
    snprintf(test_options, sizeof test_options, "threads=%d", threads);
    test_in("first of equal errors, %d threads", threads);
    for (int k = 0; k < 10; k++) {
      uint64_t first = rng_below(&random_state, N);
      memset(y, 0, N * sizeof *y);
      for (int i = 0; i < 50; i++)
        y[first + rng_below(&random_state, N - first)] = i % 2 ? 5.0f : -5.0f;
      y[first] = 5;
      lq_metrics m = compare_arrays(N, x, y);
      CHECK(m.max_error == 5 && m.max_row * 2 + m.max_column == first, "at %d, not %d",
            (int)(m.max_row * 2 + m.max_column), (int)first);
    }
  }
  test_options[0] = 0;
  free(x);
  free(y);
}

static void test_arguments(void)
{
  const uint64_t dims[3][2] = {{2, 3}, {3, 2}, {0, 3}};
  const float x[6] = {0};
  lq_metrics m = {.size = sizeof m};
  test_in("arguments");
  lq_tensor *a = wrap(LQ_F32, 2, dims[0], x), *b = wrap(LQ_F32, 2, dims[1], x),
            *none = wrap(LQ_F32, 2, dims[2], x);
  lq_tensor *flat = wrap(LQ_F32, 1, (const uint64_t[1]){6}, x);
  CHECK(lq_compare(a, b, &m, NULL) == LQ_E_SHAPE, "other shape");
  CHECK(lq_compare(a, flat, &m, NULL) == LQ_E_SHAPE, "other rank");
  CHECK(lq_compare(NULL, a, &m, NULL) == LQ_E_ARGUMENT &&
            lq_compare(a, NULL, &m, NULL) == LQ_E_ARGUMENT,
        "no tensor");
  CHECK(lq_compare(a, a, NULL, NULL) == LQ_E_ARGUMENT, "no result");
  m.size = 8;
  CHECK(lq_compare(a, a, &m, NULL) == LQ_E_VERSION, "small struct");
  CHECK(compare(none, none, &m) == LQ_OK && m.relative_error == 0 && m.cosine == 1,
        "empty tensors");
  lq_tensor_destroy(a);
  lq_tensor_destroy(b);
  lq_tensor_destroy(none);
  lq_tensor_destroy(flat);
}

int main(void)
{
  test_random();
  test_special();
  test_first();
  test_arguments();
  return test_end();
}
