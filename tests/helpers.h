/*
 * helpers.h - short ways to call the library in tests, and the comparisons that tests agree on.
 *
 * Every helper that must succeed checks that it did. Options are words of key=value as
 * lq_config_set_text takes them: "method=nf4 nested=1".
 */
#ifndef TESTS_HELPERS_H
#define TESTS_HELPERS_H

#include "harness.h"

#include <libquant.h>

#include <math.h>

/* Options added to every config made here: the part of a run that must not change results. */
static char test_options[64];
static lq_parallel_fn test_parallel;

static const char *const test_levels[] = {"scalar", "avx2", "avxvnni", "avx512", "avx512vbmi",
                                          "amx",    "neon", "dotprod", "i8mm"};

enum { TEST_LEVELS = 9 };

/* Caps the kernels at level i; 0 if this machine or build does not reach it. */
static inline int test_level(int i)
{
  return lq_cpu_limit(test_levels[i]) == LQ_OK && !strcmp(lq_cpu_features(), test_levels[i]);
}

static inline void set_options(lq_config *config, const char *words)
{
  char text[256], *p = text;
  snprintf(text, sizeof text, "%s", words);
  while (*(p += strspn(p, " "))) {
    size_t n = strcspn(p, " ");
    char *value = strchr(p, '=');
    int last = p[n] == 0;
    p[n] = 0;
    if (!CHECK(value != NULL, "option %s", p))
      return;
    *value++ = 0;
    lq_status s = lq_config_set_text(config, p, value);
    CHECK(s == LQ_OK, "%s=%s: %d %s", p, value, s, lq_config_error_text(config));
    if (last)
      return;
    p += n + 1;
  }
}

static inline lq_config *new_config(const char *options)
{
  lq_config *config = NULL;
  lq_status s = lq_config_create(NULL, &config);
  if (!CHECK(s == LQ_OK && config, "config_create: %d", s))
    exit(2);
  set_options(config, options);
  set_options(config, test_options);
  if (test_parallel)
    lq_config_set_parallel(config, test_parallel, NULL);
  return config;
}

static inline size_t element_size(int32_t dtype)
{
  static const size_t size[] = {0, 4, 2, 2, 1, 1, 4, 8};
  return dtype > 0 && dtype < 8 ? size[dtype] : 0;
}

static inline uint64_t elements(uint32_t ndim, const uint64_t *dims)
{
  uint64_t n = 1;
  for (uint32_t i = 0; i < ndim; i++)
    n *= dims[i];
  return n;
}

static inline uint64_t tensor_elements(const lq_tensor *t)
{
  uint64_t n = 1;
  for (uint32_t i = 0; i < lq_tensor_ndim(t); i++)
    n *= lq_tensor_dim(t, i);
  return n;
}

static inline lq_tensor *wrap(int32_t dtype, uint32_t ndim, const uint64_t *dims, const void *data)
{
  lq_tensor *t = NULL;
  size_t bytes = (size_t)elements(ndim, dims) * element_size(dtype);
  lq_status s = lq_tensor_wrap(NULL, dtype, ndim, dims, data, bytes, &t);
  CHECK(s == LQ_OK && t, "tensor_wrap: %d", s);
  return t;
}

/* A quantized copy of `weight`, or NULL and a failed check. */
static inline lq_tensor *quantize(const lq_tensor *weight, const char *options)
{
  lq_config *config = new_config(options);
  lq_quantizer *quantizer = NULL;
  lq_tensor *t = NULL;
  lq_status s = lq_quantizer_create(config, &quantizer);
  CHECK(s == LQ_OK, "quantizer_create(%s): %d %s", options, s, lq_config_error_text(config));
  if (s == LQ_OK) {
    s = lq_quantizer_run(quantizer, weight, &t);
    CHECK(s == LQ_OK && t, "quantizer_run(%s): %d %s", options, s,
          lq_quantizer_error_text(quantizer));
  }
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
  return t;
}

static inline lq_tensor *quantize_array(int32_t dtype, uint32_t ndim, const uint64_t *dims,
                                        const void *data, const char *options)
{
  lq_tensor *dense = wrap(dtype, ndim, dims, data);
  lq_tensor *t = dense ? quantize(dense, options) : NULL;
  lq_tensor_destroy(dense);
  return t;
}

/*
 * "method=NAME" of a method of the registry that quantizes any weight by itself; 0 for one that
 * calibrates first or cannot.
 */
static inline int method_options(uint32_t index, char options[64])
{
  lq_method_info info = {.size = sizeof info};
  lq_quantizer *quantizer = NULL;
  lq_status s = lq_method_info_at(index, &info);
  CHECK(s == LQ_OK, "method %u: %d", index, s);
  snprintf(options, 64, "method=%s", info.name);
  lq_config *config = new_config(options);
  s = lq_quantizer_create(config, &quantizer);
  CHECK(s == LQ_OK || s == LQ_E_UNSUPPORTED, "%s: %d", options, s);
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
  return s == LQ_OK && !(info.flags & LQ_METHOD_CALIBRATED);
}

/* The plane of that name; 0 if the tensor has none in that layout. */
static inline int find_plane(const lq_tensor *t, int32_t layout, const char *name, lq_plane *out)
{
  uint32_t n = t ? lq_tensor_plane_count(t, layout) : 0;
  for (uint32_t i = 0; i < n; i++) {
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    lq_status s = lq_tensor_plane(t, layout, i, out);
    if (!CHECK(s == LQ_OK, "plane %u of layout %d: %d", i, layout, s))
      return 0;
    if (!strcmp(out->name, name))
      return 1;
  }
  memset(out, 0, sizeof *out);
  return 0;
}

/* All values of t in `dtype`, to be freed; NULL after a failed check. */
static inline void *decode(const lq_tensor *t, int32_t dtype)
{
  size_t bytes = (size_t)tensor_elements(t) * element_size(dtype);
  void *out = test_alloc(bytes);
  lq_config *how = new_config("");
  lq_status s = lq_dequantize(t, dtype, out, bytes, how);
  lq_config_destroy(how);
  if (CHECK(s == LQ_OK, "dequantize to dtype %d: %d", dtype, s))
    return out;
  free(out);
  return NULL;
}

/* Whether two tensors have the same native planes, to the byte. */
static inline int same_planes(const lq_tensor *a, const lq_tensor *b)
{
  uint32_t n = a && b ? lq_tensor_plane_count(a, LQ_LAYOUT_NATIVE) : 0;
  if (n == 0 || n != lq_tensor_plane_count(b, LQ_LAYOUT_NATIVE))
    return 0;
  for (uint32_t i = 0; i < n; i++) {
    lq_plane p = {.size = sizeof p}, q = {.size = sizeof q};
    if (lq_tensor_plane(a, LQ_LAYOUT_NATIVE, i, &p) ||
        lq_tensor_plane(b, LQ_LAYOUT_NATIVE, i, &q) || p.bytes != q.bytes ||
        strcmp(p.name, q.name) || (p.bytes && memcmp(p.data, q.data, (size_t)p.bytes)))
      return 0;
  }
  return 1;
}

/* ---- numbers, written apart from the library's own conversions ---- */

static inline float float_of_bits(uint32_t u)
{
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

static inline uint32_t bits_of_float(float x)
{
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

/* Value of an f16 (LQ_F16) or bf16 bit pattern. */
static inline float half_value(uint16_t h, int32_t dtype)
{
  if (dtype == LQ_BF16)
    return float_of_bits((uint32_t)h << 16);
  int exponent = h >> 10 & 31, fraction = h & 1023;
  float x = exponent == 31  ? (fraction ? NAN : INFINITY)
            : exponent == 0 ? ldexpf((float)fraction, -24)
                            : ldexpf((float)(fraction + 1024), exponent - 25);
  return h & 0x8000 ? -x : x;
}

/*
 * x rounded to f16 or bf16, to nearest even, by arithmetic: a multiple of the spacing at its
 * exponent.
 */
static inline uint16_t half_bits(float x, int32_t dtype)
{
  int digits = dtype == LQ_F16 ? 11 : 8, least = dtype == LQ_F16 ? -14 : -126, exponent;
  int bits = dtype == LQ_F16 ? 10 : 7, top = dtype == LQ_F16 ? 31 : 255;
  unsigned sign = signbit(x) ? 0x8000u : 0u;
  if (isnan(x))
    return (uint16_t)(dtype == LQ_F16 ? 0x7e00 : 0x7fc0);
  if (isinf(x))
    return (uint16_t)(sign | (unsigned)top << bits);
  if (x == 0.0f)
    return (uint16_t)sign;
  frexp((double)x, &exponent);
  exponent = exponent - 1 < least ? least : exponent - 1;
  double multiple = nearbyint(ldexp(fabs((double)x), digits - 1 - exponent));
  if (multiple < ldexp(1, bits)) /* subnormal */
    return (uint16_t)(sign | (unsigned)multiple);
  unsigned biased = (unsigned)(exponent - least) * (1u << bits) + (unsigned)multiple;
  unsigned infinity = (unsigned)top << bits;
  return (uint16_t)(sign | (biased < infinity ? biased : infinity));
}

/* Element i of an array of f32, f16 or bf16. */
static inline float value_at(const void *p, int32_t dtype, uint64_t i)
{
  return dtype == LQ_F32 ? ((const float *)p)[i] : half_value(((const uint16_t *)p)[i], dtype);
}

/* n floats rounded to dtype, to be freed. */
static inline void *array_of(const float *x, uint64_t n, int32_t dtype)
{
  char *out = test_alloc((size_t)n * element_size(dtype));
  for (uint64_t i = 0; i < n; i++)
    if (dtype == LQ_F32)
      ((float *)(void *)out)[i] = x[i];
    else
      ((uint16_t *)(void *)out)[i] = half_bits(x[i], dtype);
  return out;
}

/*
 * First i where two arrays of f32, f16 or bf16 differ, n if nowhere. NaN is equal to NaN and 0 to
 * -0. `flushed`: the second array may hold 0 where the first has at most 2^-126 (bf16 results of
 * processors that flush subnormals).
 */
static inline uint64_t first_difference(const void *got, const void *want, int32_t dtype,
                                        uint64_t n, int flushed)
{
  for (uint64_t i = 0; i < n; i++) {
    float a = value_at(got, dtype, i), b = value_at(want, dtype, i);
    if (a == b || (isnan(a) && isnan(b)) || (flushed && b == 0.0f && fabsf(a) <= 0x1p-126f))
      continue;
    return i;
  }
  return n;
}

#endif
