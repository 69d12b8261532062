/*
 * test_affine.c - proves the rules of the method affine: ranges, scales, zero points, nearest
 * codes, values, on random weights of awkward sizes and on vectors of GPTQ programs.
 *
 * Everything is compared with double precision: scales are the range over its steps, rounded to
 * f16; codes are the nearest, ties to even; values are scale times code less zero point, rounded
 * once. The errors of nearest rounding in the vectors are met to 1e-9 by the reference, and the
 * library's codes are the reference's but where a weight lies half-way between two. Layouts of
 * checkpoints: test_gptq.c.
 */
#include "vectors.h"
#include "affine.h"

#include "../lib/method/affine.h"
#include "../lib/method/registry.h"

#include <float.h>

#define MOST 20000

static uint64_t random_state = 2210;
static float source[MOST];

/* ---- weights ---- */

enum { NORMAL, ONE_SIDED, TINY, LARGE, SPARSE, KINDS };

/* Rows of `columns` numbers exact in dtype, of very different sizes. */
static void fill(uint64_t n, uint64_t columns, int32_t dtype, int kind)
{
  float scale = 1;
  for (uint64_t i = 0; i < n; i++) {
    if (i % (columns ? columns : 1) == 0)
      scale = ldexpf(1, (int)rng_below(&random_state, 10) - 8);
    float x = rng_normal(&random_state) * scale;
    if (kind == ONE_SIDED)
      x = i / 40 % 2 ? fabsf(x) + scale : -fabsf(x) - scale;
    else if (kind == TINY)
      x = rng_normal(&random_state) * (dtype == LQ_F16 ? 3e-7f : 3e-9f);
    else if (kind == LARGE)
      x = (float)(rng_uniform(&random_state) * 2 - 1) * 65000.0f;
    else if (kind == SPARSE)
      x = i / 24 % 3 && rng_below(&random_state, 9) == 0 ? x : 0.0f;
    source[i] = dtype == LQ_F32 ? x : half_value(half_bits(x, dtype), dtype);
  }
}

/* ---- one tensor ---- */

/* Spacing of f16 at x, at least that of its subnormal numbers. */
static double half_spacing(double x)
{
  int exponent;
  frexp(x, &exponent);
  return ldexp(1, (exponent < -13 ? -13 : exponent) - 11);
}

/* Of a group: is the scale the range's, and the zero point where the range says? */
static void check_group(const struct parsed *p, uint64_t row, uint64_t group, uint64_t *bad)
{
  int most = (1 << p->bits) - 1;
  uint64_t size = p->group_size < 0 ? p->columns : (uint64_t)p->group_size, first = group * size;
  uint64_t n = p->columns - first < size ? p->columns - first : size;
  struct range r = range_of(source + row * p->columns + first, n, p->symmetric, 0);
  double exact = fmin(fmax((r.hi - r.lo) / most, 0x1p-24), 65504);
  double scale = (double)p->scales[row * p->groups + group];
  double zero = fmin(fmax(-r.lo / scale, 0), most);
  bad[0] += !(fabs(scale - exact) <= 0.5000001 * half_spacing(exact));
  bad[1] += p->symmetric ? p->zeros[row * p->groups + group] != 1 << (p->bits - 1)
                         : !(fabs(p->zeros[row * p->groups + group] - zero) <= 0.500001);
}

/* Of an element: nearest code within what the group covers, ties to even, and its value. */
static void check_element(const struct parsed *p, uint64_t at, const float *values, uint64_t *bad)
{
  uint64_t g = at / p->columns * p->groups + group_of(p, at % p->columns);
  double zero = p->zeros[g], step = (double)p->codes[at] - zero, most = (1 << p->bits) - 1;
  double t = fmin(fmax((double)source[at] / (double)p->scales[g], -zero), most - zero);
  int tie = fabs(t - floor(t) - 0.5) < 1e-6;
  bad[2] += !(fabs(step - t) <= 0.5 + 1e-6);
  bad[3] += tie && t == floor(t) + 0.5 && step != rint(t);
  bad[4] += !(values[at] == p->scales[g] * (float)step);
}

/* Half results are the f32 ones rounded once; any rows alone equal the whole. */
static void check_decoding(const lq_tensor *t, const float *values)
{
  uint64_t n = tensor_elements(t);
  uint64_t columns = lq_tensor_dim(t, lq_tensor_ndim(t) - 1), rows = columns ? n / columns : 0;
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    size_t size = element_size(dtype);
    char *whole = decode(t, dtype), *part = test_alloc((size_t)n * size + 1);
    uint64_t bad = 0;
    for (uint64_t i = 0; whole && dtype != LQ_F32 && i < n; i++)
      bad += ((uint16_t *)(void *)whole)[i] != half_bits(values[i], dtype);
    CHECK(bad == 0, "%d values of dtype %d are not the f32 values rounded", (int)bad, dtype);
    for (int k = 0; whole && rows && k < 3; k++) {
      uint64_t first = rng_below(&random_state, rows),
               count = rng_below(&random_state, rows - first + 1);
      size_t bytes = (size_t)(count * columns) * size;
      part[bytes] = 0x5a;
      lq_status st = lq_dequantize_rows(t, first, count, dtype, part, bytes, NULL);
      CHECK(st == LQ_OK && !memcmp(part, whole + first * columns * size, bytes) &&
                part[bytes] == 0x5a,
            "rows %d to %d: %d", (int)first, (int)(first + count), st);
    }
    free(part);
    free(whole);
  }
}

static void check_same_planes(const lq_tensor *a, const lq_tensor *b, const char *what)
{
  uint32_t n = lq_tensor_plane_count(a, LQ_LAYOUT_NATIVE);
  CHECK(n == lq_tensor_plane_count(b, LQ_LAYOUT_NATIVE), "planes");
  for (uint32_t i = 0; i < n; i++) {
    lq_plane p = {.size = sizeof p}, q = {.size = sizeof q};
    lq_tensor_plane(a, LQ_LAYOUT_NATIVE, i, &p);
    lq_tensor_plane(b, LQ_LAYOUT_NATIVE, i, &q);
    CHECK(p.bytes == q.bytes && (!p.bytes || !memcmp(p.data, q.data, (size_t)p.bytes)),
          "%s: plane %s differs", what, p.name);
  }
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    char *x = decode(a, dtype), *y = decode(b, dtype);
    CHECK(x && y && !memcmp(x, y, (size_t)tensor_elements(a) * element_size(dtype)),
          "%s: values of dtype %d", what, dtype);
    free(x);
    free(y);
  }
}

/* The same bytes at every level of kernels and for another number of threads. */
static void check_levels(int32_t dtype, uint32_t ndim, const uint64_t *dims, const void *data,
                         const char *options)
{
  lq_cpu_limit("scalar");
  lq_tensor *expected = quantize_array(dtype, ndim, dims, data, options);
  for (int level = 1; level < TEST_LEVELS && expected; level++) {
    if (!test_level(level))
      continue;
    snprintf(test_options, sizeof test_options, "threads=%d", 1 + level % 3);
    lq_tensor *t = quantize_array(dtype, ndim, dims, data, options);
    if (t)
      check_same_planes(expected, t, test_levels[level]);
    lq_tensor_destroy(t);
  }
  test_options[0] = 0;
  lq_cpu_limit(NULL);
  lq_tensor_destroy(expected);
}

static double expected_bits(const struct parsed *p)
{
  uint64_t words = (p->columns * (uint64_t)p->bits + 31) / 32, groups = p->rows * p->groups;
  double bytes = 4.0 * (double)(p->rows * words) + (double)(groups * (p->symmetric ? 2 : 3));
  return p->rows && p->columns ? 8 * bytes / (double)(p->rows * p->columns) : 0;
}

static void check_tensor(int32_t dtype, uint32_t ndim, const uint64_t *dims, const char *options,
                         int kind)
{
  uint64_t n = elements(ndim, dims), bad[5] = {0};
  struct parsed p;
  test_in("%s, dtype %d, kind %d, %d of %d", options, dtype, kind, (int)n, (int)dims[ndim - 1]);
  fill(n, dims[ndim - 1], dtype, kind);
  void *data = array_of(source, n, dtype);
  lq_tensor *t = quantize_array(dtype, ndim, dims, data, options);
  float *values = t ? decode(t, LQ_F32) : NULL;
  if (values && parse(t, &p)) {
    uint64_t size = p.group_size < 0 ? p.columns : (uint64_t)p.group_size;
    CHECK(p.groups == (size ? (p.columns + size - 1) / size : 0), "%d groups", (int)p.groups);
    for (uint64_t i = 0; i < p.rows * p.groups; i++)
      check_group(&p, i / p.groups, i % p.groups, bad);
    for (uint64_t i = 0; i < n; i++)
      check_element(&p, i, values, bad);
    CHECK(bad[0] == 0, "%d scales are not those of the range", (int)bad[0]);
    CHECK(bad[1] == 0, "%d zero points are not those of the range", (int)bad[1]);
    CHECK(bad[2] == 0, "%d of %d codes are not the nearest", (int)bad[2], (int)n);
    CHECK(bad[3] == 0, "%d ties are not even", (int)bad[3]);
    CHECK(bad[4] == 0, "%d values are not scale times code", (int)bad[4]);
    CHECK(fabs(lq_tensor_bits_per_weight(t) - expected_bits(&p)) < 1e-9, "%g bits a weight",
          lq_tensor_bits_per_weight(t));
    check_decoding(t, values);
    check_levels(dtype, ndim, dims, data, options);
    free_parsed(&p);
  }
  free(values);
  free(data);
  lq_tensor_destroy(t);
}

static void test_sizes(void)
{
  static const int bits[] = {2, 3, 4, 8}, groups[] = {-1, 8, 24, 32, 64, 128, 4096};
  static const uint64_t shapes[][2] = {{1, 1},  {3, 33}, {1, 2},   {7, 128}, {5, 130}, {2, 2105},
                                       {0, 64}, {4, 0},  {33, 65}, {1, 8},   {16, 72}, {3, 4099}};
  char options[96];
  int round = 0;
  for (size_t b = 0; b < 4; b++)
    for (size_t g = 0; g < 7; g++)
      for (int symmetric = 0; symmetric < 2; symmetric++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++, round++) {
          if (!test_takes(8))
            continue;
          snprintf(options, sizeof options, "method=affine bits=%d group_size=%d symmetric=%d",
                   bits[b], groups[g], symmetric);
          check_tensor(LQ_F32 + round % 3, 2, shapes[s], options, NORMAL);
        }
}

static void test_kinds(void)
{
  static const uint64_t dims[3] = {3, 4, 200}, one[1] = {999}, shape[2] = {13, 203};
  static const char *const options[] = {
      "method=affine",
      "method=affine symmetric=0 group_size=40",
      "method=affine bits=2 symmetric=0 group_size=-1",
      "method=affine bits=3 group_size=16",
      "method=affine bits=8 symmetric=0 group_size=64",
  };
  for (size_t k = 0; k < sizeof options / sizeof *options; k++)
    for (int kind = 0; kind < KINDS; kind++)
      for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
        check_tensor(dtype, 2, shape, options[k], kind);
        check_tensor(dtype, 3, dims, options[k], kind);
        check_tensor(dtype, 1, one, options[k], kind);
      }
}

/* ---- nested scales ---- */

/*
 * The scale that decoding used is seen in the values: all quotients of value and step agree. Codes
 * are nearest for that scale.
 */
static void check_nested_group(const struct parsed *p, uint64_t row, uint64_t group,
                               const float *values, uint64_t *bad)
{
  uint64_t size = p->group_size < 0 ? p->columns : (uint64_t)p->group_size;
  double zero = p->zeros[row * p->groups + group], most = (1 << p->bits) - 1, scale = 0, far = 0;
  uint64_t end = (group + 1) * size < p->columns ? (group + 1) * size : p->columns;
  for (uint64_t c = group * size; c < end; c++) {
    uint64_t at = row * p->columns + c;
    double step = (double)p->codes[at] - zero;
    if (fabs(step) > far) {
      far = fabs(step);
      scale = (double)values[at] / step;
    }
  }
  for (uint64_t c = group * size; c < end && scale > 0; c++) {
    uint64_t at = row * p->columns + c;
    double step = (double)p->codes[at] - zero;
    double t = fmin(fmax((double)source[at] / scale, -zero), most - zero);
    bad[0] += !(fabs((double)values[at] - step * scale) <= 1e-6 * fabs(step * scale));
    bad[1] += !(fabs(step - t) <= 0.5 + 1e-4);
  }
}

static void test_nested(void)
{
  static const char *const options[] = {
      "method=affine nested=1",
      "method=affine nested=1 symmetric=0 group_size=32 nested_block_size=64",
      "method=affine nested=1 bits=3 group_size=8",
      "method=affine nested=1 bits=8 group_size=-1 symmetric=0",
      "method=affine nested=1 bits=2 group_size=64 mse=2.4",
  };
  static const uint64_t dims[2] = {21, 500};
  for (size_t k = 0; k < sizeof options / sizeof *options; k++)
    for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
      uint64_t bad[2] = {0}, n = dims[0] * dims[1];
      struct parsed p;
      test_in("%s, dtype %d", options[k], dtype);
      fill(n, n, dtype, NORMAL); /* rows of one size: nested scales must not differ much */
      void *data = array_of(source, n, dtype);
      lq_tensor *t = quantize_array(dtype, 2, dims, data, options[k]);
      float *values = t ? decode(t, LQ_F32) : NULL;
      if (values && parse(t, &p)) {
        lq_plane scales;
        CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "scales", &scales) && scales.dtype == LQ_U8, "u8");
        for (uint64_t i = 0; i < p.rows * p.groups; i++)
          check_nested_group(&p, i / p.groups, i % p.groups, values, bad);
        CHECK(bad[0] == 0, "%d values do not have the scale of their group", (int)bad[0]);
        CHECK(bad[1] == 0, "%d codes are not the nearest", (int)bad[1]);
        check_decoding(t, values);
        check_levels(dtype, 2, dims, data, options[k]);
        free_parsed(&p);
      }
      free(values);
      free(data);
      lq_tensor_destroy(t);
    }
}

/*
 * Groups of zeros, and of the largest numbers there are, beside others: nothing but numbers. The
 * scale of the largest is lowered to 1/8 of them, of which a code is at most 7 away.
 */
static void test_nested_extremes(void)
{
  static const uint64_t dims[2] = {8, 256};
  for (int large = 0; large < 2; large++)
    for (int symmetric = 0; symmetric < 2; symmetric++) {
      char options[96];
      int bad = 0;
      snprintf(options, sizeof options, "method=affine nested=1 group_size=32 symmetric=%d",
               symmetric);
      test_in("%s, large %d", options, large);
      fill(2048, 2048, LQ_F32, NORMAL);
      for (int i = 0; i < 2048; i++)
        source[i] = large ? (i % 2 ? FLT_MAX : -FLT_MAX) : i / 32 % 3 ? source[i] : 0.0f;
      lq_tensor *t = quantize_array(LQ_F32, 2, dims, source, options);
      float *y = t ? decode(t, LQ_F32) : NULL;
      for (int i = 0; y && i < 2048; i++)
        bad += !isfinite(y[i]) || (source[i] == 0 && y[i] != 0) ||
               (large && !(fabsf(y[i] / source[i] - 1) < 0.13f));
      CHECK(bad == 0, "%d values", bad);
      free(y);
      lq_tensor_destroy(t);
    }
}

/* f32 scales have no least value: numbers far below f16 lose no more than others. */
static void test_nested_tiny(void)
{
  static const uint64_t dims[2] = {8, 256};
  for (int k = 0; k < 4; k++) {
    char options[96];
    double error = 0, norm = 0;
    snprintf(options, sizeof options, "method=affine nested=1 group_size=32 symmetric=%d mse=%s",
             k % 2, k / 2 ? "2.4" : "0");
    test_in("%s, tiny", options);
    for (int i = 0; i < 2048; i++)
      source[i] = rng_normal(&random_state) * 1e-20f;
    lq_tensor *t = quantize_array(LQ_F32, 2, dims, source, options);
    float *y = t ? decode(t, LQ_F32) : NULL;
    for (int i = 0; y && i < 2048; i++) {
      error += ((double)y[i] - (double)source[i]) * ((double)y[i] - (double)source[i]);
      norm += (double)source[i] * (double)source[i];
    }
    CHECK(error < 0.01 * norm, "relative error %g", sqrt(error / norm));
    free(y);
    lq_tensor_destroy(t);
  }
}

/* ---- search for ranges ---- */

static double error_of(const float *w, uint64_t n, double scale, double zero, int most,
                       double power)
{
  double sum = 0;
  for (uint64_t i = 0; i < n; i++)
    sum += pow(fabs(scale * (nearest_code((double)w[i], scale, zero, most) - zero) - (double)w[i]),
               power);
  return sum;
}

/* The least error that any of the ranges has, with scales rounded to f16. */
static double least_error(const float *w, uint64_t n, int bits, int symmetric, double power)
{
  int most = (1 << bits) - 1;
  struct range r = range_of(w, n, symmetric, 0);
  double least = HUGE_VAL;
  for (int i = 0; i < 80; i++) {
    double p = 1 - i / 100.0;
    double s = (double)half_value(half_bits((float)(p * (r.hi - r.lo) / most), LQ_F16), LQ_F16);
    double exact = -p * r.lo / s, zero = symmetric ? (most + 1) / 2 : fmin(rint(exact), most);
    least = fmin(least, error_of(w, n, s, zero, most, power));
    if (bits == 2 && !symmetric)
      least = fmin(least, error_of(w, n, s, zero < exact ? fmin(ceil(exact), most) : floor(exact),
                                   most, power));
  }
  return least;
}

static void test_search(void)
{
  static const uint64_t dims[2] = {9, 150};
  static const double powers[] = {2.4, 1, 2, 5};
  for (int k = 0; k < 32; k++) {
    int bits = k % 4 == 3 ? 8 : 2 + k % 4, symmetric = k / 4 % 2;
    double power = powers[k / 8];
    if (!test_takes(6))
      continue;
    char options[96];
    struct parsed p;
    snprintf(options, sizeof options, "method=affine bits=%d symmetric=%d group_size=40 mse=%g",
             bits, symmetric, power);
    test_in("%s", options);
    fill(1350, 150, LQ_F32, NORMAL);
    lq_tensor *t = quantize_array(LQ_F32, 2, dims, source, options);
    if (t && parse(t, &p)) {
      int bad = 0, better = 0;
      for (uint64_t i = 0; i < 36; i++) {
        uint64_t first = i % 4 * 40, n = first + 40 < 150 ? 40 : 150 - first;
        const float *w = source + i / 4 * 150 + first;
        double got = error_of(w, n, (double)p.scales[i], p.zeros[i], (1 << bits) - 1, power);
        double least = least_error(w, n, bits, symmetric, power);
        struct range r = range_of(w, n, symmetric, 0);
        bad += !(got <= least * 1.00002);
        better += (double)p.scales[i] * ((1 << bits) - 1) < 0.985 * (r.hi - r.lo);
      }
      CHECK(bad == 0, "%d of 36 ranges are not the best", bad);
      CHECK(better > 3 || bits == 8, "only %d ranges are smaller", better);
      check_levels(LQ_F32, 2, dims, source, options);
      free_parsed(&p);
    }
    lq_tensor_destroy(t);
  }
  for (int i = 0; i < 1350; i++) /* errors of numbers this small must not vanish */
    source[i] *= 0x1p-120f;
  check_levels(LQ_F32, 2, dims, source, "method=affine mse=2.4 compat=gptq");
}

/* ---- vectors ---- */

static const struct {
  const char *file, *name;
  double err_rtn; /* tr((W - Q) H (W - Q)^T) of nearest rounding, from the file's metadata */
} vectors[] = {
    {"easy64x128", "b4_g32_sym_none", 0.5898618733685146},
    {"easy64x128", "b4_g32_asym_none", 0.42058079},
    {"easy64x128", "b4_gall_asym_none", 0.716132238},
    {"easy64x128", "b3_gall_sym_none", 4.34670137},
    {"easy64x128", "b4_g32_sym_none_mse", 0.521029372},
    {"easy64x128", "b2_g32_asym_none_mse", 8.30452512},
    {"easy64x128", "b4_g128_sym_none_damp0.05", 0.926959889},
    {"edges32x128", "b4_g128_sym_none", 7.84041923},
    {"edges32x128", "b4_g128_asym_none", 0.988472002},
    {"edges32x128", "b4_gall_asym_none", 0.988472002},
    {"edges32x128", "b4_g32_asym_none", 0.37600081},
    {"edges32x128", "b3_g128_asym_none", 3.30849269},
    {"edges32x128", "b2_g128_asym_none", 12.4077262},
    {"edges32x128", "b8_g128_asym_none", 0.00733133062},
    {"edges32x128", "b3_g32_sym_none", 8.25216987},
    {"tail48x160", "b4_g32_sym_none", 0.749109092},
    {"tail48x160", "b4_g128_sym_none", 0.989566005},
    {"tail48x160", "b4_g128_asym_desc", 0.846378142},
    {"tail48x160", "b3_gall_asym_none", 4.17447624},
};

struct vector_case {
  int bits, group, symmetric, mse;
  uint64_t rows, columns;
  const float *w;
};

/* Grid of a group as the programs find it, in double precision. */
static void reference_grid(const struct vector_case *v, const float *w, uint64_t n, double *scale,
                           double *zero)
{
  int most = (1 << v->bits) - 1;
  struct range r = range_of(w, n, v->symmetric, 1);
  double best = HUGE_VAL;
  for (int i = 0; i < (v->mse ? 80 : 1); i++) {
    double p = 1 - i / 100.0, s = (p * r.hi - p * r.lo) / most, exact = -(p * r.lo) / s;
    double z = v->symmetric ? (most + 1) / 2 : rint(exact);
    double other = z == floor(exact) ? fmin(ceil(exact), most) : floor(exact);
    for (int k = 0; k < (v->bits == 2 && !v->symmetric ? 2 : 1); k++) {
      double e = v->mse ? error_of(w, n, s, k ? other : z, most, 2.4) : 0;
      if (e < best) {
        best = e;
        *scale = s;
        *zero = k ? other : z;
      }
    }
  }
}

/* tr(D H D^T), H = 2 / tokens * X^T X: the squared length of D X^T. */
static double weighed_error(const double *d, const struct vec *x, uint64_t rows, uint64_t columns)
{
  double sum = 0, *input = test_alloc((size_t)columns * sizeof *input);
  for (uint64_t t = 0; t < x->dims[0]; t++) {
    for (uint64_t c = 0; c < columns; c++)
      input[c] = (double)half_value(((const uint16_t *)x->data)[t * columns + c], LQ_F16);
    for (uint64_t r = 0; r < rows; r++) {
      double dot = 0;
      for (uint64_t c = 0; c < columns; c++)
        dot += d[r * columns + c] * input[c];
      sum += dot * dot;
    }
  }
  free(input);
  return 2 * sum / (double)x->dims[0];
}

/*
 * Of a group: zero points equal, scale the f16 of the reference's, codes equal but for ties. d is
 * the reference's error. Returns the number of ties.
 */
static int compare_group(const struct vector_case *v, const struct parsed *p, uint64_t row,
                         uint64_t first, uint64_t n, double *d)
{
  const float *w = v->w + row * v->columns + first;
  uint64_t g = row * p->groups + group_of(p, first);
  int most = (1 << v->bits) - 1, ties = 0, flat = 1, bad = 0;
  double scale = 0, zero = 0;
  reference_grid(v, w, n, &scale, &zero);
  for (uint64_t i = 0; i < n; i++)
    flat &= w[i] == 0;
  CHECK(fabs((double)p->scales[g] - scale) <= 0.5001 * half_spacing(scale),
        "row %d, group %d: scale %g, not %g", (int)row, (int)g, (double)p->scales[g], scale);
  CHECK(flat || p->zeros[g] == zero, "row %d: zero point %d, not %g", (int)row, p->zeros[g], zero);
  for (uint64_t i = 0; i < n; i++) {
    double t = (double)w[i] / scale, code = nearest_code((double)w[i], scale, zero, most);
    int tie = fabs(t - floor(t) - 0.5) < 1e-6 * (fabs(t) + 1);
    ties += tie;
    bad += !flat && !tie && p->codes[row * v->columns + first + i] != code;
    d[i] = (double)w[i] - scale * (code - zero);
  }
  CHECK(bad == 0, "row %d, group %d: %d codes", (int)row, (int)g, bad);
  return ties;
}

static void test_vector(const char *folder, size_t k)
{
  char name[160], options[120], group[8];
  struct vec_file f;
  struct vector_case v = {.mse = strstr(vectors[k].name, "_mse") != NULL};
  struct parsed p;
  snprintf(name, sizeof name, "gptq/%s.safetensors", vectors[k].file);
  test_in("%s %s", vectors[k].file, vectors[k].name);
  if (!CHECK(vec_open(&f, folder, name), "cannot read %s/%s", folder, name))
    return;
  const struct vec *w = vec_find(&f, "W"), *x = vec_find(&f, "X");
  sscanf(vectors[k].name, "b%d_g%7[a-z0-9]", &v.bits, group);
  v.group = strcmp(group, "all") ? atoi(group) : -1;
  v.symmetric = strstr(vectors[k].name, "_sym") != NULL;
  v.rows = w->dims[0], v.columns = w->dims[1], v.w = w->data;
  snprintf(options, sizeof options,
           "method=affine compat=gptq bits=%d group_size=%d symmetric=%d mse=%g", v.bits, v.group,
           v.symmetric, v.mse ? 2.4 : 0.0);
  lq_tensor *t = quantize_array(LQ_F32, 2, w->dims, w->data, options);
  double *d = test_alloc((size_t)w->count * sizeof *d);
  int ties = 0;
  if (t && parse(t, &p)) {
    uint64_t size = v.group < 0 ? v.columns : (uint64_t)v.group;
    for (uint64_t r = 0; r < v.rows; r++)
      for (uint64_t c = 0; c < v.columns; c += size)
        ties += compare_group(&v, &p, r, c, v.columns - c < size ? v.columns - c : size,
                              d + r * v.columns + c);
    double err = weighed_error(d, x, v.rows, v.columns);
    CHECK(fabs(err / vectors[k].err_rtn - 1) < 3e-9, "error %.12g, not %.12g", err,
          vectors[k].err_rtn);
    CHECK(ties < (int)(v.rows * p.groups * 2 + 128), "%d ties", ties);
    free_parsed(&p);
  }
  free(d);
  lq_tensor_destroy(t);
  vec_close(&f);
}

/* ---- pieces for other methods ---- */

enum { PIECE_ROWS = 6, PIECE_COLUMNS = 131, PIECE_GROUP = 40, PIECE_GROUPS = 4 };

/* The grid of a group is the same from a row, from a column of the transpose, and gathered. */
static void check_ranges(const struct lqi_params *params, const struct parsed *p)
{
  static float transposed[PIECE_COLUMNS * PIECE_ROWS], shuffled[PIECE_COLUMNS];
  const struct lqi_kernels *kern = lqi_kernels();
  uint32_t index[PIECE_COLUMNS];
  int bad = 0;
  for (int i = 0; i < PIECE_ROWS * PIECE_COLUMNS; i++)
    transposed[i % PIECE_COLUMNS * PIECE_ROWS + i / PIECE_COLUMNS] = source[i];
  for (uint32_t i = 0; i < PIECE_COLUMNS; i++)
    index[i] = i * 50 % PIECE_COLUMNS;
  for (int i = 0; i < PIECE_ROWS * PIECE_GROUPS; i++) {
    struct lqi_grid a, b, c;
    size_t row = (size_t)(i / PIECE_GROUPS), first = (size_t)(i % PIECE_GROUPS) * PIECE_GROUP;
    size_t n = PIECE_COLUMNS - first < PIECE_GROUP ? PIECE_COLUMNS - first : PIECE_GROUP;
    for (uint32_t k = 0; k < PIECE_COLUMNS; k++)
      shuffled[index[k]] = source[row * PIECE_COLUMNS + k];
    lqi_affine_range(params, kern, source + row * PIECE_COLUMNS + first, n, 1, NULL, &a);
    lqi_affine_range(params, kern, transposed + first * PIECE_ROWS + row, n, PIECE_ROWS, NULL, &b);
    lqi_affine_range(params, kern, shuffled, n, 1, index + first, &c);
    bad += a.scale != b.scale || a.scale != c.scale || a.zero != b.zero || a.zero != c.zero;
    float stored = half_value(half_bits(a.scale, LQ_F16), LQ_F16);
    bad += stored != p->scales[i] || a.zero != (float)p->zeros[i];
    bad += params->compat == LQ_COMPAT_NONE && a.scale != stored;
  }
  CHECK(bad == 0, "%d grids differ", bad);
}

/* A store filled piece by piece from codes and grids has the planes of the tensor they are from. */
static void check_store(const lq_tensor *t, const struct parsed *p)
{
  struct lqi_store store = {.method = &lqi_method_affine, .dtype = LQ_F32};
  uint64_t bytes[LQI_PLANES] = {0}, dims[2] = {PIECE_ROWS, PIECE_COLUMNS};
  struct lqi_grid grids[PIECE_GROUPS];
  uint8_t codes[PIECE_COLUMNS];
  lq_plane plane;
  int bad = 0;
  lqi_shape_set(&store.shape, 2, dims);
  lqi_affine_form(&store, (uint32_t)p->bits, PIECE_GROUP, p->symmetric, 0);
  CHECK(store.groups == PIECE_GROUPS && store.scale_dtype == LQ_F16, "form");
  store.method->layout(&store, bytes);
  for (int i = 0; i < LQI_PLANES; i++)
    store.plane[i] = (struct lqi_span){test_alloc((size_t)bytes[i]), bytes[i]};
  for (uint64_t r = 0; r < PIECE_ROWS; r++) {
    lqi_affine_pack_row(p->codes + r * PIECE_COLUMNS, PIECE_COLUMNS, store.bits,
                        lqi_affine_row(&store, r));
    lqi_affine_unpack_row(lqi_affine_row(&store, r), PIECE_COLUMNS, store.bits, codes);
    bad += memcmp(codes, p->codes + r * PIECE_COLUMNS, PIECE_COLUMNS) != 0;
    for (uint64_t g = 0; g < PIECE_GROUPS; g++)
      lqi_affine_put_grid(&store, r, g,
                          (struct lqi_grid){p->scales[r * PIECE_GROUPS + g],
                                            (float)p->zeros[r * PIECE_GROUPS + g]});
    lqi_affine_get_grids(&store, lqi_kernels(), r, 1, 2, grids);
    bad += grids[1].scale != p->scales[r * PIECE_GROUPS + 2] ||
           grids[1].zero != (float)p->zeros[r * PIECE_GROUPS + 2];
  }
  CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "codes", &plane) && plane.bytes == bytes[LQI_CODES] &&
            !memcmp(plane.data, store.plane[LQI_CODES].data, (size_t)plane.bytes),
        "codes");
  CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "scales", &plane) && plane.bytes == bytes[LQI_SCALES] &&
            !memcmp(plane.data, store.plane[LQI_SCALES].data, (size_t)plane.bytes),
        "scales");
  CHECK(bad == 0, "%d rows or grids do not come back", bad);
  for (int i = 0; i < LQI_PLANES; i++)
    free(store.plane[i].data);
}

static void test_pieces(void)
{
  static const uint64_t dims[2] = {PIECE_ROWS, PIECE_COLUMNS};
  for (int k = 0; k < 32; k++) {
    struct parsed p;
    struct lqi_params params = {.method = &lqi_method_affine,
                                .bits = k % 4 == 3 ? 8 : 2 + (uint32_t)k % 4,
                                .group_size = PIECE_GROUP,
                                .symmetric = k / 4 % 2,
                                .compat = k / 8 % 2 ? LQ_COMPAT_GPTQ : LQ_COMPAT_NONE,
                                .mse = k / 16 ? 2.4f : 0.0f};
    char options[120];
    snprintf(options, sizeof options,
             "method=affine bits=%u group_size=40 symmetric=%d compat=%s mse=%s", params.bits,
             params.symmetric, params.compat ? "gptq" : "none", k / 16 ? "2.4" : "0");
    test_in("pieces, %s", options);
    fill(PIECE_ROWS * PIECE_COLUMNS, PIECE_COLUMNS, LQ_F32, NORMAL);
    lq_tensor *t = quantize_array(LQ_F32, 2, dims, source, options);
    if (t && parse(t, &p)) {
      check_ranges(&params, &p);
      check_store(t, &p);
      free_parsed(&p);
    }
    lq_tensor_destroy(t);
  }
}

/* ---- NaN and infinity ---- */

/* The row's groups of 64 columns with infinities at the group's largest magnitude and NaN at 0. */
static void repair(float *w, uint64_t rows, uint64_t columns)
{
  for (uint64_t g = 0; g < rows * ((columns + 63) / 64); g++) {
    uint64_t row = g / ((columns + 63) / 64), first = g % ((columns + 63) / 64) * 64;
    uint64_t end = first + 64 < columns ? first + 64 : columns;
    float m = 0, *x = w + row * columns;
    for (uint64_t c = first; c < end; c++)
      m = isfinite(x[c]) ? fmaxf(m, fabsf(x[c])) : m;
    for (uint64_t c = first; c < end; c++)
      if (!isfinite(x[c]))
        x[c] = isnan(x[c]) ? 0.0f : x[c] > 0 ? m : -m;
  }
}

static void check_policies(const char *options, int32_t dtype, uint64_t at)
{
  static const uint64_t dims[2] = {5, 200};
  char more[128], place[32];
  float repaired[1000];
  memcpy(repaired, source, sizeof repaired);
  repair(repaired, 5, 200);
  void *dirty = array_of(source, 1000, dtype), *clean = array_of(repaired, 1000, dtype);
  snprintf(more, sizeof more, "%s nonfinite=saturate", options);
  lq_tensor *a = quantize_array(dtype, 2, dims, dirty, more);
  lq_tensor *b = quantize_array(dtype, 2, dims, clean, options);
  if (a && b)
    check_same_planes(a, b, "saturate");
  lq_tensor_destroy(a);
  snprintf(more, sizeof more, "%s nonfinite=keep", options);
  a = quantize_array(dtype, 2, dims, dirty, more);
  CHECK(a && lq_tensor_method(a) == LQ_NONE, "keep");
  lq_tensor_destroy(a);
  snprintf(more, sizeof more, "%s nonfinite=propagate", options);
  a = quantize_array(dtype, 2, dims, dirty, more);
  float *x = a ? decode(a, LQ_F32) : NULL, *y = b ? decode(b, LQ_F32) : NULL;
  uint64_t first = at / 200 * 200 + at % 200 / 64 * 64, bad = 0;
  for (uint64_t i = 0; x && y && i < 1000 && !strstr(options, "nested"); i++)
    bad += (i < first || i >= first + 64) && x[i] != y[i];
  CHECK(bad == 0, "propagate changed %d values of other groups", (int)bad);
  if (isnan(source[at]) && x && !strstr(options, "nested"))
    CHECK(isnan(x[at]), "NaN became %g", (double)x[at]);
  lq_tensor_destroy(a);
  snprintf(more, sizeof more, "%s nonfinite=error", options);
  lq_config *config = new_config(more);
  lq_quantizer *q = NULL;
  lq_tensor *dense = wrap(dtype, 2, dims, dirty);
  lq_quantizer_create(config, &q);
  snprintf(place, sizeof place, "[%d, %d]", (int)(at / 200), (int)(at % 200));
  lq_status s = lq_quantizer_run(q, dense, &a);
  CHECK(s == LQ_E_NONFINITE && strstr(lq_quantizer_error_text(q), place), "error: %d \"%s\"", s,
        lq_quantizer_error_text(q));
  lq_quantizer_destroy(q);
  lq_config_destroy(config);
  lq_tensor_destroy(dense);
  lq_tensor_destroy(b);
  free(x);
  free(y);
  free(dirty);
  free(clean);
}

static void test_policies(void)
{
  static const char *const options[] = {
      "method=affine group_size=64",
      "method=affine group_size=64 symmetric=0 bits=3",
      "method=affine group_size=64 symmetric=0 bits=8 mse=2.4",
      "method=affine group_size=64 nested=1",
      "method=affine group_size=64 compat=gptq",
  };
  static const float special[] = {NAN, INFINITY, -INFINITY};
  static const uint64_t places[] = {0, 63, 64, 199, 200, 391, 999};
  for (int level = 0; level < TEST_LEVELS; level++)
    for (size_t k = 0; k < 5 && test_level(level); k++)
      for (int i = 0; i < 21; i++) {
        int32_t dtype = LQ_F32 + i % 3;
        if (!test_takes(8))
          continue;
        test_in("%s, %s, dtype %d, %g at %d", test_levels[level], options[k], dtype,
                (double)special[i / 7], (int)places[i % 7]);
        fill(1000, 200, dtype, NORMAL);
        source[places[i % 7]] = special[i / 7];
        check_policies(options[k], dtype, places[i % 7]);
      }
  lq_cpu_limit(NULL);
}

/* ---- what is refused ---- */

static void refused(const char *options, const char *why)
{
  lq_config *config = new_config(options);
  lq_quantizer *q = NULL;
  test_in("%s", options);
  lq_status s = lq_quantizer_create(config, &q);
  CHECK(s == LQ_E_ARGUMENT && !q && strstr(lq_config_error_text(config), why), "%d \"%s\"", s,
        lq_config_error_text(config));
  lq_config_destroy(config);
}

static void test_refusals(void)
{
  refused("method=affine bits=5", "bits");
  refused("method=affine bits=7 group_size=32", "bits");
  refused("method=affine group_size=0", "group_size");
  refused("method=affine group_size=12", "group_size");
  refused("method=affine block_size=64", "block_size");
  refused("method=affine threshold=6", "threshold");
  refused("method=affine compat=bitsandbytes-cpu", "compat");
  refused("method=affine compat=gptq nested=1", "nested");
  refused("method=nf4 group_size=64", "group_size");
  refused("method=nf4 bits=3", "bits");
  refused("method=int8 symmetric=0", "symmetric");
  refused("method=none mse=2.4", "mse");
  refused("method=dynamic8 compat=gptq", "compat");
  refused("method=int8 nested=1", "nested");
}

int main(int argc, char **argv)
{
  test_sizes();
  test_kinds();
  test_nested();
  test_nested_extremes();
  test_nested_tiny();
  test_search();
  for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++)
    if (test_takes(6))
      test_vector(test_vectors(argc, argv), k);
  test_pieces();
  test_policies();
  test_refusals();
  return test_end();
}
