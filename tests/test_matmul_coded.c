/*
 * test_matmul_coded.c - products whose codes are decoded in registers, or taken in fixed point.
 *
 * Sizes that have such a way (columns in whole pieces of 32 or 64), for all methods: the bits are
 * those of the dense tensor of the decoded weights, of any number of rows of x, of any range of
 * rows of W; fixed point and 8 bits stay within the bounds of libquant.h, with the same bits at
 * every level that they are promised at, and are not used elsewhere.
 */
#include "helpers.h"

enum { MOST_M = 19, MOST_N = 45, MOST_K = 512 };

static uint64_t random_state = 31;
static float weights[MOST_N * MOST_K], xs[MOST_M * MOST_K], bias[MOST_N];

/* The column at each place of a row of W; rows of x in that order. */
static uint32_t order[MOST_K];
static float ordered_xs[MOST_M * MOST_K];

static const char *const methods[] = {
    "method=none",
    "method=nf4",
    "method=nf4 nested=1",
    "method=nf4 block_size=32",
    "method=fp4 block_size=128",
    "method=int8",
    "method=dynamic8",
    "method=affine group_size=64",
    "method=affine group_size=128 symmetric=0",
    "method=affine group_size=32 symmetric=0",
    "method=affine group_size=-1 symmetric=0 nested=1",
    "method=affine bits=3 group_size=64 symmetric=0",
    "method=affine bits=2 group_size=32",
    "method=affine bits=8 group_size=64 symmetric=0",
};

struct sizes {
  uint64_t m, n, k;
};

static void fill(float *p, uint64_t n)
{
  for (uint64_t i = 0; i < n; i++)
    p[i] = rng_normal(&random_state);
}

static float *product_of(const lq_tensor *w, const struct sizes *s, const float *x,
                         const char *options)
{
  float *y = test_alloc((size_t)(s->m * s->n) * sizeof *y);
  lq_config *how = new_config(options);
  lq_status status = lq_matmul(w, s->m, LQ_F32, x, s->k, bias, LQ_F32, y, s->n, how);
  CHECK(status == LQ_OK, "status %d", status);
  lq_config_destroy(how);
  return y;
}

static float *product(const lq_tensor *w, const struct sizes *s, const char *options)
{
  return product_of(w, s, xs, options);
}

static void put_in_order(const float *from, uint64_t rows, uint64_t k, float *to)
{
  for (uint64_t i = 0; i < rows * k; i++)
    to[i] = from[i / k * k + order[i % k]];
}

static void check_same(const float *a, const float *b, uint64_t n, const char *what)
{
  CHECK(!memcmp(a, b, (size_t)n * sizeof *a), "%s differs", what);
}

/* Ranges of rows of W, each with its part of the bias. */
static void check_rows(const lq_tensor *w, const struct sizes *s, const float *y,
                       const char *options)
{
  float *part = test_alloc((size_t)(s->m * s->n) * sizeof *part);
  lq_config *how = new_config(options);
  for (uint64_t first = 0, count; first < s->n; first += count) {
    count = 1 + rng_below(&random_state, s->n - first);
    lq_status status = lq_matmul_rows(w, first, count, s->m, LQ_F32, xs, s->k, bias + first, LQ_F32,
                                      part + first, s->n, how);
    CHECK(status == LQ_OK, "rows: status %d", status);
  }
  check_same(part, y, s->m * s->n, "ranges of rows");
  CHECK(lq_matmul_rows(w, s->n, 1, 1, LQ_F32, xs, s->k, NULL, LQ_F32, part, s->n, how) ==
                LQ_E_SHAPE &&
            lq_matmul_rows(w, 1, UINT64_MAX, 1, LQ_F32, xs, s->k, NULL, LQ_F32, part, s->n, how) ==
                LQ_E_SHAPE,
        "rows that are not there");
  CHECK(lq_matmul_rows(w, s->n, 0, 1, LQ_F32, xs, s->k, NULL, LQ_F32, part, s->n, how) == LQ_OK,
        "no rows");
  lq_config_destroy(how);
  free(part);
}

static void check_levels(const lq_tensor *w, const struct sizes *s, const float *y,
                         const char *options)
{
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    snprintf(test_options, sizeof test_options, "threads=%d", 1 + level);
    float *other = product(w, s, options);
    check_same(other, y, s->m * s->n, test_levels[level]);
    free(other);
  }
  lq_cpu_limit(NULL);
  test_options[0] = 0;
}

/* The first rows of x alone, at least so many. */
static void check_fewer(const lq_tensor *w, const struct sizes *s, const float *y, uint64_t least,
                        const char *options)
{
  for (uint64_t m = least; m < s->m; m++) {
    struct sizes fewer = {m, s->n, s->k};
    float *other = product(w, &fewer, options);
    check_same(other, y, m * s->n, "fewer rows of x");
    free(other);
  }
}

/* `decoded` has the columns in the order of W's codes. */
static void check_exact(const lq_tensor *w, const float *decoded, const struct sizes *s)
{
  const uint64_t dims[2] = {s->n, s->k};
  lq_tensor *dense = NULL;
  float *y = product(w, s, "");
  lq_tensor_wrap(NULL, LQ_F32, 2, dims, decoded, (size_t)(s->n * s->k) * sizeof *decoded, &dense);
  float *other = product_of(dense, s, ordered_xs, "");
  check_same(other, y, s->m * s->n, "the dense tensor");
  check_levels(w, s, y, "");
  check_fewer(w, s, y, 1, "");
  check_rows(w, s, y, "");
  lq_tensor_destroy(dense);
  free(other);
  free(y);
}

/* Whether a level multiplies bytes in fours. */
static int has_bytes(const char *level)
{
  static const char *const names[] = {"avxvnni", "avx512vbmi", "amx", "dotprod", "i8mm"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(level, names[i]))
      return 1;
  return 0;
}

static int has_word(const char *text, const char *a, const char *b)
{
  return strstr(text, a) != NULL || strstr(text, b) != NULL;
}

/* Whether there is a product in 8 bits. */
static int in_bytes(const char *method, const struct sizes *s)
{
  const char *size = strstr(method, "_size=");
  int block = size ? atoi(size + 6) : has_word(method, "int8", "affine") ? (int)s->k : 64;
  return !has_word(method, "none", "dynamic8") && (block < 0 || s->k % (uint64_t)block == 0);
}

/* The bound of LQ_COMPUTE_FAST, a little above for what the f32 sums round: |w| X / x_share + |x|
 * absmax / w_share. */
static double bound(const float *x, const float *w, uint64_t k, double absmax, int bytes)
{
  const double x_share = bytes ? 250 : 65000, w_share = bytes ? 250 : 32000;
  double sum = 1e-30;
  for (uint64_t u = 0; u < k; u += 64) {
    double most = 0;
    for (uint64_t c = u; c < u + 64 && c < k; c++)
      most = fmax(most, fabs((double)x[c]));
    for (uint64_t c = u; c < u + 64 && c < k; c++)
      sum += fabs((double)w[c]) * most / x_share + fabs((double)x[c]) * absmax / w_share +
             fabs((double)w[c] * (double)x[c]) * 0x1p-18;
  }
  return sum;
}

/* Levels that multiply bytes have the same bits, and so have all others: those of `exact`, if not
 * NULL. */
static void check_fast_levels(const lq_tensor *w, const struct sizes *s, const float *exact)
{
  float *first[2] = {NULL, NULL};
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    const int bytes = has_bytes(test_levels[level]);
    snprintf(test_options, sizeof test_options, "threads=%d", 1 + level);
    float *y = product(w, s, "compute=fast");
    if (!bytes && exact != NULL)
      check_same(y, exact, s->m * s->n, test_levels[level]);
    if (first[bytes] == NULL) {
      first[bytes] = y;
      continue;
    }
    check_same(y, first[bytes], s->m * s->n, test_levels[level]);
    free(y);
  }
  free(first[0]);
  free(first[1]);
  lq_cpu_limit(NULL);
  test_options[0] = 0;
}

static void check_fast(const lq_tensor *w, const float *decoded, const struct sizes *s,
                       const char *method)
{
  int book = has_word(method, "nf4", "fp4"),
      bytes = in_bytes(method, s) && has_bytes(lq_cpu_features());
  float *y = product(w, s, "compute=fast"), *exact = product(w, s, "");
  uint64_t bad = 0, equal = 0;
  for (uint64_t i = 0; i < s->m; i++)
    for (uint64_t j = 0; j < s->n; j++) {
      double most = 0, sum = (double)bias[j];
      for (uint64_t c = 0; c < s->k; c++) {
        sum += (double)ordered_xs[i * s->k + c] * (double)decoded[j * s->k + c];
        most = fmax(most, fabs((double)decoded[j * s->k + c]));
      }
      bad += !(fabs((double)y[i * s->n + j] - sum) <=
               bound(ordered_xs + i * s->k, decoded + j * s->k, s->k, book ? most : 0, bytes) +
                   fabs((double)bias[j]) * 0x1p-23);
      equal += y[i * s->n + j] == exact[i * s->n + j];
    }
  CHECK(bad == 0, "%d of %d beyond the bound", (int)bad, (int)(s->m * s->n));
  if (bytes || s->m > 8)
    CHECK(bytes ? equal < s->m * s->n : equal == s->m * s->n, "%d of %d are exact", (int)equal,
          (int)(s->m * s->n));
  if (in_bytes(method, s))
    check_fast_levels(w, s, s->m > 8 ? exact : NULL);
  else
    check_levels(w, s, y, "compute=fast");
  check_rows(w, s, y, "compute=fast");
  check_fewer(w, s, y, bytes || s->m <= 8 ? 1 : 9, "compute=fast");
  free(y);
  free(exact);
}

/* The tensor of the same planes with a group index: its columns in any order, `order` filled. */
static lq_tensor *shuffled(lq_tensor *w, const struct sizes *s, const char *method)
{
  const uint32_t group = (uint32_t)atoi(strstr(method, "_size=") + 6);
  static int32_t index[MOST_K];
  char meta[300];
  lq_plane p[8];
  uint32_t count = lq_tensor_plane_count(w, LQ_LAYOUT_NATIVE);
  for (uint32_t c = 0; c < s->k; c++)
    index[c] = (int32_t)(c / group);
  for (uint32_t c = (uint32_t)s->k; c > 1; c--) {
    uint32_t other = (uint32_t)rng_below(&random_state, c);
    int32_t swap = index[c - 1];
    index[c - 1] = index[other];
    index[other] = swap;
  }
  for (uint32_t c = 0, at = 0, g = 0; g < s->k / group; g++)
    for (c = 0; c < s->k; c++)
      if (index[c] == (int32_t)g)
        order[at++] = c;
  for (uint32_t i = 0; i < count; i++) {
    p[i].size = sizeof *p;
    CHECK(lq_tensor_plane(w, LQ_LAYOUT_NATIVE, i, &p[i]) == LQ_OK, "plane");
    if (!strcmp(p[i].name, "meta")) {
      snprintf(meta, sizeof meta, "%.*s, \"sorted_groups\": %d}", (int)p[i].bytes - 1,
               (const char *)p[i].data, (int)(s->k / group));
      p[i].data = meta;
      p[i].bytes = p[i].dims[0] = strlen(meta);
    }
  }
  p[count] = (lq_plane){.size = sizeof *p,
                        .name = "g_idx",
                        .dtype = LQ_I32,
                        .ndim = 1,
                        .dims = {s->k},
                        .data = index,
                        .bytes = s->k * sizeof *index};
  lq_config *config = new_config("");
  lq_tensor *out = NULL, *copy = NULL;
  lq_status status =
      lq_tensor_from_planes(config, LQ_LAYOUT_NATIVE, p, count + 1, 0, NULL, 1, &out);
  CHECK(status == LQ_OK, "%s", lq_config_error_text(config));
  CHECK(lq_tensor_clone(NULL, out, &copy) == LQ_OK, "clone");
  lq_config_destroy(config);
  lq_tensor_destroy(out);
  lq_tensor_destroy(w);
  return copy;
}

static void test_method(const char *method, const struct sizes *s, int mapped)
{
  const uint64_t dims[2] = {s->n, s->k};
  test_in("%s%s, m %d n %d k %d", method, mapped ? " mapped" : "", (int)s->m, (int)s->n, (int)s->k);
  fill(weights, s->n * s->k);
  fill(xs, s->m * s->k);
  fill(bias, s->n);
  for (uint32_t i = 0; i < s->k; i++)
    order[i] = i;
  lq_tensor *w = quantize_array(LQ_F32, 2, dims, weights, method);
  if (mapped && w)
    w = shuffled(w, s, method);
  float *natural = w ? decode(w, LQ_F32) : NULL;
  if (natural) {
    float *decoded = test_alloc((size_t)(s->n * s->k) * sizeof *decoded);
    put_in_order(natural, s->n, s->k, decoded);
    put_in_order(xs, s->m, s->k, ordered_xs);
    check_exact(w, decoded, s);
    check_fast(w, decoded, s, method);
    free(decoded);
  }
  free(natural);
  lq_tensor_destroy(w);
}

/* Rows of x that are zero, tiny, huge or not finite, in fixed point and in 8 bits. */
static void test_special_rows(uint64_t m)
{
  const uint64_t dims[2] = {8, 128};
  struct sizes s = {m, 8, 128};
  test_in("special rows, m %d", (int)m);
  fill(weights, 8 * 128);
  fill(xs, m * 128);
  memset(bias, 0, sizeof bias);
  for (int c = 0; c < 128; c++) {
    xs[128 + c] = 0;
    xs[2 * 128 + c] = 0x1p-120f;
    xs[3 * 128 + c] *= 0x1p120f;
  }
  xs[4 * 128 + 70] = NAN;
  xs[5 * 128 + 3] = -INFINITY;
  lq_tensor *w = quantize_array(LQ_F32, 2, dims, weights, "method=nf4");
  float *y = product(w, &s, "compute=fast"), *exact = product(w, &s, "");
  int bytes = has_bytes(lq_cpu_features()), integers = m <= 8 || bytes;
  float share = bytes ? 0.1f : 1e-3f;
  for (uint64_t j = 0; j < 8; j++) {
    CHECK(y[8 + j] == 0 && (!integers || y[16 + j] == 0), "zero and tiny rows give %g, %g",
          (double)y[8 + j], (double)y[16 + j]);
    CHECK(fabsf(y[24 + j] - exact[24 + j]) <= share * fabsf(exact[24 + j]) + share * 0x1p122f,
          "huge row: %g, not %g", (double)y[24 + j], (double)exact[24 + j]);
    CHECK(isnan(y[32 + j]) && (!integers || isnan(y[40 + j])), "rows that are not finite");
  }
  free(y);
  free(exact);
  lq_tensor_destroy(w);
}

int main(void)
{
  static const struct sizes fixed[] = {{1, 45, 512}, {4, 5, 256}, {19, 4, 128}, {8, 33, 384}};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    for (size_t t = 0; t < sizeof fixed / sizeof *fixed; t++)
      test_method(methods[i], &fixed[t], 0);
    for (int t = 0, n = test_is_long() ? 100 : 6; t < n; t++) {
      struct sizes s = {1 + rng_below(&random_state, MOST_M), 1 + rng_below(&random_state, MOST_N),
                        32 * (1 + rng_below(&random_state, MOST_K / 32))};
      test_method(methods[i], &s, 0);
      const char *size = strstr(methods[i], "group_size=");
      if (size && atoi(size + 11) > 0 && s.k % (uint64_t)atoi(size + 11) == 0)
        test_method(methods[i], &s, 1);
    }
  }
  test_special_rows(6);
  test_special_rows(11);
  return test_end();
}
