/*
 * checkkern.c - every kernel at every level against the C version: same bytes for every input, NaN
 * payloads excepted.
 *
 *   checkkern [--level NAME] [--kernel NAME] [--seed N] [--bench]
 *
 * Inputs end where an unreadable page begins, or begin where one ends; so do outputs, and what lies
 * around them must stay as it was. --bench measures instead: each kernel on data in the cache and
 * on data that is not.
 */
#include "guard.h"

#include "../lib/core/cpu.h"
#include "../lib/method/codebook.h"

#include <math.h>
#include <time.h>

static uint64_t seed = 1;
static const char *const float_names[LQI_FLOATS] = {"f32", "f16", "bf16"};

static int32_t dtype_of(uint32_t d)
{
  return LQ_F32 + (int32_t)d;
}

static struct guard input[3], output[2], expected[2];

/* ---- random data ---- */

static size_t random_below(size_t n)
{
  return (size_t)rng_below(&seed, n);
}

static float random_float(void)
{
  return lqi_f32_from_bits((uint32_t)rng_u64(&seed));
}

/* Powers of two around 1, sometimes far from it. */
static float random_scale(void)
{
  return ldexpf(1.0f + (float)rng_uniform(&seed),
                (int)(random_below(8) ? random_below(20) : random_below(270)) - 140);
}

/* The bits of element i, moved by a few units in the last place. */
static void nudge(void *x, uint32_t d, size_t i)
{
  uint32_t by = (uint32_t)random_below(5) - 2;
  if (d == 0)
    ((uint32_t *)x)[i] += by;
  else
    ((uint16_t *)x)[i] = (uint16_t)(((uint16_t *)x)[i] + by);
}

enum { NORMAL, BITS, NEAR_BOUNDS, ZEROS, TINY, SPECIAL, WIDE, DISTRIBUTIONS };

static float random_value(int how, float scale)
{
  float normal = rng_normal(&seed);
  switch (how) {
  case BITS: return random_float();
  case ZEROS: return random_below(2) ? 0.0f : -0.0f;
  case TINY: return normal * ldexpf(1.0f, -120 - (int)random_below(30));
  case SPECIAL: return random_below(200) ? normal : random_below(3) ? INFINITY : -NAN;
  case WIDE: return normal * ldexpf(1.0f, (int)random_below(120) - 60);
  default: return normal * scale;
  }
}

/* n elements whose values, divided by the maximum of their block, lie at or next to the bounds. */
static void fill_near(void *x, uint32_t d, size_t n, size_t block, const float *bound,
                      size_t bounds)
{
  for (size_t first = 0; first < n; first += block) {
    float m = random_scale();
    for (size_t i = first; i < n && i < first + block; i++) {
      lqi_store(x, dtype_of(d), i, m * bound[random_below(bounds)]);
      nudge(x, d, i);
    }
    lqi_store(x, dtype_of(d), first + random_below(block < n - first ? block : n - first), m);
  }
}

static void fill(void *x, uint32_t d, size_t n, size_t block, const float *bound, size_t bounds)
{
  int how = (int)random_below(DISTRIBUTIONS);
  float scale = random_below(2) ? 0.02f : random_scale();
  if (how == NEAR_BOUNDS && bounds != 0) {
    fill_near(x, d, n, block, bound, bounds);
    return;
  }
  for (size_t i = 0; i < n; i++)
    if (how == BITS && d != 0)
      ((uint16_t *)x)[i] = (uint16_t)rng_u64(&seed);
    else
      lqi_store(x, dtype_of(d), i, random_value(how, scale));
}

static int rising(const void *a, const void *b)
{
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/*
 * Ascending values and the bounds between them: spread evenly, crowded around a few points, beyond
 * 1, or with units in the last place between neighbours.
 */
static void random_book(float *value, float *bound, size_t n)
{
  int how = (int)random_below(5);
  for (size_t i = 0; i < n; i++) {
    float v = (float)rng_uniform(&seed) * 2.0f - 1.0f;
    value[i] = how == 0   ? v
               : how == 1 ? v * 0.01f + (float)random_below(3) * 0.3f
               : how == 2 ? v * 3.0f
                          : v * v * v;
    if (how == 4)
      value[i] = (float)random_below(7) * 0.125f - 0.5f;
  }
  qsort(value, n, sizeof *value, rising);
  for (size_t i = 0; i + 1 < n; i++)
    bound[i] = how == 3 && i ? nextafterf(bound[i - 1], 2.0f) : (value[i] + value[i + 1]) / 2.0f;
  if (how == 2 && random_below(2))
    bound[0] = -INFINITY;
  bound[n - 1] = INFINITY;
}

static struct lqi_q4_book random_q4_book(void)
{
  struct lqi_q4_book book = random_below(2) ? lqi_book_nf4 : lqi_book_fp4;
  if (random_below(3))
    return book;
  random_book(book.value, book.bound, 16);
  for (size_t i = 0; i < 16; i++)
    book.code[i] = (uint8_t)random_below(16);
  return book;
}

static struct lqi_q8_book random_q8_book(void)
{
  struct lqi_q8_book book = lqi_book_dynamic;
  if (random_below(2))
    random_book(book.value, book.bound, 256);
  return book;
}

/* ---- comparison ---- */

static int same_floats(const void *got, const void *want, uint32_t d, size_t n)
{
  if (memcmp(got, want, n * lqi_dtype_size(dtype_of(d))) == 0)
    return 1;
  for (size_t i = 0; i < n; i++) {
    float a = lqi_load(got, dtype_of(d), i), b = lqi_load(want, dtype_of(d), i);
    if (lqi_f32_bits(a) != lqi_f32_bits(b) && !(isnan(a) && isnan(b)))
      return 0;
  }
  return 1;
}

/* Blocks and their number: mostly small, odd multiples of 8 among them, at most 16384 elements. */
static size_t random_block(size_t *blocks)
{
  static const size_t usual[] = {32, 64, 64, 128, 256, 512, 1024, 4096};
  size_t block = random_below(2) ? usual[random_below(8)] : 8 + 8 * random_below(40),
         most = 16384 / block;
  *blocks = random_below(3) ? random_below(8) : random_below(most + 1);
  if (*blocks > most)
    *blocks = most;
  return block;
}

static size_t random_shift(void)
{
  return random_below(2) ? 0 : 1 + random_below(16);
}

/* Counts of elements: every small one comes, some large ones. */
static size_t random_count(void)
{
  return random_below(4) ? random_below(301) : random_below(9000);
}

/* What a kernel works on when it is timed: n elements, room for the largest type of each array. */
struct work {
  size_t n;
  int stream;
  float *x, *y; /* n floats, or n halves in the same place */
  uint8_t *codes, *codes2;
  float *absmax;
};

static volatile float sink;

/* ---- one random case of each kernel ---- */

static void check_q4_encode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  struct lqi_q4_book book = random_q4_book();
  size_t blocks, block = random_block(&blocks), n = blocks * block;
  void *x = place(&input[0], n, lqi_dtype_size(dtype_of(d)), random_shift());
  fill(x, d, n, block, book.bound, 15);
  float *want_max = place(&expected[0], blocks, 4, 0),
        *got_max = place(&output[0], blocks, 4, random_shift());
  uint8_t *want = place(&expected[1], n / 2, 1, 0),
          *got = place(&output[1], n / 2, 1, random_shift());
  c->q4_encode[d](&book, x, blocks, block, want_max, want);
  k->q4_encode[d](&book, x, blocks, block, got_max, got);
  CHECK(memcmp(want_max, got_max, 4 * blocks) == 0, "absmax of %zu blocks of %zu", blocks, block);
  CHECK(memcmp(want, got, n / 2) == 0, "codes of %zu blocks of %zu", blocks, block);
}

static void check_q8_encode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  struct lqi_q8_book book = random_q8_book();
  size_t blocks, block = random_block(&blocks), n = blocks * block;
  void *x = place(&input[0], n, lqi_dtype_size(dtype_of(d)), random_shift());
  fill(x, d, n, block, book.bound, 255);
  float *want_max = place(&expected[0], blocks, 4, 0),
        *got_max = place(&output[0], blocks, 4, random_shift());
  uint8_t *want = place(&expected[1], n, 1, 0), *got = place(&output[1], n, 1, random_shift());
  c->q8_encode[d](&book, x, blocks, block, want_max, want);
  k->q8_encode[d](&book, x, blocks, block, got_max, got);
  CHECK(memcmp(want_max, got_max, 4 * blocks) == 0, "absmax of %zu blocks of %zu", blocks, block);
  CHECK(memcmp(want, got, n) == 0, "codes of %zu blocks of %zu", blocks, block);
}

static void check_decode(lqi_q4_decode_fn *k, lqi_q4_decode_fn *c, uint32_t d, uint32_t bits)
{
  size_t blocks, block = random_block(&blocks), n = blocks * block, values = (size_t)1 << bits;
  size_t size = lqi_dtype_size(dtype_of(d));
  float *value = place(&input[0], values, 4, random_shift());
  uint8_t *codes = place(&input[1], n * bits / 8, 1, random_shift());
  float *absmax = place(&input[2], blocks, 4, random_shift());
  fill(value, 0, values, values, NULL, 0);
  if (random_below(2))
    memcpy(value, bits == 4 ? lqi_book_nf4.value : lqi_book_dynamic.value, 4 * values);
  for (size_t i = 0; i < n * bits / 8; i++)
    codes[i] = (uint8_t)rng_u64(&seed);
  fill(absmax, 0, blocks, 1, NULL, 0);
  int stream = (int)random_below(2);
  void *want = place(&expected[0], n, size, 0), *got = place(&output[0], n, size, random_shift());
  c(value, codes, blocks, block, absmax, want, 0);
  k(value, codes, blocks, block, absmax, got, stream);
  CHECK(same_floats(got, want, d, n), "%zu blocks of %zu, stream %d", blocks, block, stream);
}

static void check_q4_decode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  check_decode(k->q4_decode[d], c->q4_decode[d], d, 4);
}

static void check_q8_decode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  check_decode(k->q8_decode[d], c->q8_decode[d], d, 8);
}

static void check_absmax(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  size_t n = random_count();
  void *x = place(&input[0], n, lqi_dtype_size(dtype_of(d)), random_shift());
  fill(x, d, n, n, NULL, 0);
  uint32_t want = lqi_f32_bits(c->absmax[d](x, n)), got = lqi_f32_bits(k->absmax[d](x, n));
  CHECK(want == got, "n %zu: %08x instead of %08x", n, got, want);
}

static void check_i8_encode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  static const float scales[] = {1.0f, 127.0f, 0.5f, 0.0f, 3.0e38f, 1.0e-38f, NAN, INFINITY};
  float ties[256], scale = random_below(2) ? scales[random_below(8)] : random_scale();
  for (int i = 0; i < 256; i++)
    ties[i] =
        ((float)i - 127.5f) / (scale == 0.0f ? 1.0f : scale) / (random_below(2) ? 1.0f : 127.0f);
  size_t n = random_count();
  void *x = place(&input[0], n, lqi_dtype_size(dtype_of(d)), random_shift());
  fill(x, d, n, 300, ties, 256);
  int8_t *want = place(&expected[0], n, 1, 0), *got = place(&output[0], n, 1, random_shift());
  c->i8_encode[d](x, n, scale, want);
  k->i8_encode[d](x, n, scale, got);
  CHECK(memcmp(want, got, n) == 0, "n %zu, scale %g", n, (double)scale);
}

static void check_i8_decode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  size_t n = random_count(), size = lqi_dtype_size(dtype_of(d));
  int8_t *codes = place(&input[0], n, 1, random_shift());
  for (size_t i = 0; i < n; i++)
    codes[i] = (int8_t)(rng_u64(&seed) & 255);
  float stat = random_value((int)random_below(DISTRIBUTIONS), random_scale());
  int stream = (int)random_below(2);
  void *want = place(&expected[0], n, size, 0), *got = place(&output[0], n, size, random_shift());
  c->i8_decode[d](codes, n, stat, want, 0);
  k->i8_decode[d](codes, n, stat, got, stream);
  CHECK(same_floats(got, want, d, n), "n %zu, stat %g, stream %d", n, (double)stat, stream);
}

#include "checkkern_aff.h"

static void check_widen(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  size_t n = random_count();
  void *x = place(&input[0], n, lqi_dtype_size(dtype_of(d)), random_shift());
  fill(x, d, n, n, NULL, 0);
  float *want = place(&expected[0], n, 4, 0), *got = place(&output[0], n, 4, random_shift());
  c->widen[d](x, n, want);
  k->widen[d](x, n, got);
  CHECK(same_floats(got, want, 0, n), "n %zu", n);
}

static void check_narrow(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  size_t n = random_count(), size = lqi_dtype_size(dtype_of(d));
  float *x = place(&input[0], n, 4, random_shift());
  fill(x, 0, n, n, NULL, 0);
  for (size_t i = 0; i < n && random_below(2); i++) /* halfway between two results */
    x[i] = lqi_f32_from_bits((uint32_t)rng_u64(&seed) & (d == 2 ? 0xffff8000u : 0xfffff000u));
  void *want = place(&expected[0], n, size, 0), *got = place(&output[0], n, size, random_shift());
  c->narrow[d](x, n, want);
  k->narrow[d](x, n, got);
  CHECK(same_floats(got, want, d, n), "n %zu", n);
}

static void check_spread(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  (void)d;
  size_t n = random_below(130), ld = n + random_below(9), depth = random_below(11);
  size_t last = depth != 0 ? (depth - 1) * ld + n : 0;
  float *m = place(&input[0], last, 4, random_shift());
  float *e = place(&input[1], 32 * depth, 4, random_shift());
  fill(m, 0, last, 64, NULL, 0);
  fill(e, 0, 32 * depth, 64, NULL, 0);
  float *want = place(&expected[0], 32 * n, 4, 0), *got = place(&output[0], 32 * n, 4, 1);
  fill(want, 0, 32 * n, 64, NULL, 0);
  memcpy(got, want, 32 * n * sizeof *got);
  for (size_t i = 0; i < depth; i++)
    c->spread(m + i * ld, ld, 1, e + 32 * i, n, want);
  k->spread(m, ld, depth, e, n, got);
  CHECK(same_floats(got, want, 0, 32 * n), "%zu columns of %zu errors", n, depth);
}

static void check_deviation(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  (void)d;
  size_t n = random_count();
  float *a = place(&input[0], n, 4, random_shift()), *b = place(&input[1], n, 4, random_shift());
  struct lqi_deviation want, got;
  for (size_t i = 0; i < n; i++) {
    a[i] = random_value(WIDE, 1.0f);
    b[i] = random_below(2) ? random_value(WIDE, 1.0f) : a[i] + random_value(NORMAL, 0.01f);
  }
  for (size_t l = 0; l < sizeof want / sizeof(double); l++)
    ((double *)(void *)&want)[l] = rng_uniform(&seed);
  got = want;
  c->deviation(a, b, n, &want);
  k->deviation(a, b, n, &got);
  CHECK(memcmp(&got, &want, sizeof got) == 0, "n %zu", n);
}

/* Codes of both ends and between; n up to the longest that an int32 holds. */
static void check_dots_i8(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  (void)d;
  int extreme = (int)random_below(4), longest = random_below(30) == 0;
  size_t n = longest ? 131071 : random_below(3) ? random_below(300) : random_below(4500);
  size_t rows_a = longest ? 1 : random_below(15), rows_b = longest ? 1 : random_below(11);
  size_t stride_a = n + random_below(70), stride_b = n + random_below(70), stride = rows_a + 3;
  size_t bytes_a = rows_a ? (rows_a - 1) * stride_a + n : 0,
         bytes_b = rows_b ? (rows_b - 1) * stride_b + n : 0;
  uint8_t *a = place(&input[0], bytes_a, 1, random_shift()),
          *b = place(&input[1], bytes_b, 1, random_shift());
  for (size_t i = 0; i < bytes_a; i++)
    a[i] = (uint8_t)(extreme == 1 ? 128 : extreme == 2 ? 127 : random_below(256));
  for (size_t i = 0; i < bytes_b; i++)
    b[i] = (uint8_t)(extreme == 1 ? 0 : extreme == 2 ? 255 * random_below(2) : random_below(256));
  size_t count = rows_a && rows_b ? (rows_b - 1) * stride + rows_a : 0;
  int32_t *want = place(&expected[0], count, 4, 0), *got = place(&output[0], count, 4, 1);
  memset(want, 0x5a, 4 * count), memset(got, 0x5a, 4 * count);
  struct lqi_bytes rows[2] = {{a, stride_a, rows_a}, {b, stride_b, rows_b}};
  c->dots_i8(rows[0], rows[1], n, want, stride);
  k->dots_i8(rows[0], rows[1], n, got, stride);
  CHECK(memcmp(want, got, 4 * count) == 0, "%zu x %zu rows of %zu", rows_a, rows_b, n);
}

#include "checkkern_tiles.h"

/* ---- time ---- */

static void time_q4_encode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->q4_encode[d](&lqi_book_nf4, w->x, w->n / 64, 64, w->absmax, w->codes);
}

static void time_fp4_encode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->q4_encode[d](&lqi_book_fp4, w->x, w->n / 64, 64, w->absmax, w->codes);
}

static void time_q4_decode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->q4_decode[d](lqi_book_nf4.value, w->codes, w->n / 64, 64, w->absmax, w->y, w->stream);
}

static void time_q4_shifted(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->q4_decode[d](lqi_book_nf4.value, w->codes, w->n / 64 - 1, 64, w->absmax, w->y + 4, w->stream);
}

static void time_q8_encode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->q8_encode[d](&lqi_book_dynamic, w->x, w->n / 256, 256, w->absmax, w->codes);
}

static void time_q8_decode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->q8_decode[d](lqi_book_dynamic.value, w->codes, w->n / 256, 256, w->absmax, w->y, w->stream);
}

static void time_absmax(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  sink = k->absmax[d](w->x, w->n);
}

static void time_i8_encode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->i8_encode[d](w->x, w->n, 1000.0f, (int8_t *)w->codes);
}

static void time_i8_decode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->i8_decode[d]((const int8_t *)w->codes, w->n, 0.1f, w->y, w->stream);
}

static void time_widen(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->widen[d](w->x, w->n, w->y);
}

static void time_narrow(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->narrow[d](w->x, w->n, w->y);
}

static void time_deviation(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  struct lqi_deviation m = {{0}, {0}, {0}, {0}, {0}};
  (void)d;
  k->deviation(w->x, w->y, w->n, &m);
  sink = (float)m.dd[0];
}

/* 64 rows of a, as much of each as n gives, by one of b. */
static void time_dots_i8(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  static int32_t out[64];
  size_t n = w->n / 64 < 4096 ? w->n / 64 : 4096;
  (void)d;
  for (size_t i = 0; i + 64 * n <= w->n; i += 64 * n) {
    struct lqi_bytes a = {w->codes + i, n, 64}, b = {w->codes2, n, 1};
    k->dots_i8(a, b, n, out, 64);
    sink = (float)out[0];
  }
}

#include "checkkern_strips.h"

typedef void check_fn(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d);
typedef void time_fn(const struct lqi_kernels *k, uint32_t d, const struct work *w);

/* Bytes read and written for an element: `fixed`, and `floats` times the size of the float type. */
static const struct row {
  const char *name;
  check_fn *check;
  time_fn *time;
  uint32_t types, floats;
  double fixed;
} rows[] = {
    {"q4_encode", check_q4_encode, time_q4_encode, LQI_FLOATS, 1, 0.5625},
    {"fp4_encode", NULL, time_fp4_encode, LQI_FLOATS, 1, 0.5625},
    {"q4_decode", check_q4_decode, time_q4_decode, LQI_FLOATS, 1, 0.5625},
    {"q4_shifted", NULL, time_q4_shifted, LQI_FLOATS, 1, 0.5625},
    {"q8_encode", check_q8_encode, time_q8_encode, LQI_FLOATS, 1, 1.015625},
    {"q8_decode", check_q8_decode, time_q8_decode, LQI_FLOATS, 1, 1.015625},
    {"absmax", check_absmax, time_absmax, LQI_FLOATS, 1, 0},
    {"i8_encode", check_i8_encode, time_i8_encode, LQI_FLOATS, 1, 1},
    {"i8_decode", check_i8_decode, time_i8_decode, LQI_FLOATS, 1, 1},
    {"aff_range", check_aff_range, time_aff_range, LQI_FLOATS, 1, 0.0625},
    {"aff_grid", check_aff_grid, NULL, 1, 0, 0},
    {"aff4_encode", check_aff4_encode, time_aff_encode, LQI_FLOATS, 1, 0.5625},
    {"aff4_decode", check_aff4_decode, time_aff_decode, LQI_FLOATS, 1, 0.5625},
    {"aff8_encode", check_aff8_encode, time_aff8_encode, LQI_FLOATS, 1, 1.0625},
    {"aff8_decode", check_aff8_decode, time_aff8_decode, LQI_FLOATS, 1, 1.0625},
    {"aff_error", check_aff_error, time_aff_error, 1, 1, 0},
    {"aff_round", check_aff_round, NULL, 1, 0, 0},
    {"widen", check_widen, time_widen, LQI_FLOATS, 1, 4},
    {"narrow", check_narrow, time_narrow, LQI_FLOATS, 1, 4},
    {"pair", check_pair, time_pair, LQI_FLOATS, 1, 4},
    {"dots", check_dots, time_dots, 1, 1, 0},
    {"strip_pair", check_strip_pair, NULL, 1, 0, 0},
    {"strip_dots", check_strip_dots, NULL, 1, 0, 0}, /* timed by quant bench */
    {"fixed_dots", check_fixed_dots, NULL, 1, 0, 0},
    {"byte_dots", check_byte_dots, NULL, 1, 0, 0},
    {"spread", check_spread, NULL, 1, 2, 0},
    {"deviation", check_deviation, time_deviation, 1, 2, 0},
    {"tile_f32", check_tile_f32, NULL, 1, 0, 0}, /* timed by test_linalg */
    {"tile_sum", check_tile_sum, NULL, 1, 0, 0},
    {"tile_f64", check_tile_f64, NULL, 1, 0, 0},
    {"tile_row", check_tile_row, NULL, 1, 0, 0},
    {"trans_f32", check_transpose_f32, NULL, 1, 0, 0},
    {"trans_f64", check_transpose_f64, NULL, 1, 0, 0},
    {"dots_i8", check_dots_i8, time_dots_i8, 1, 0, 1},
};

static double seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The shortest of several runs, in seconds for one call. */
static double shortest(const struct row *r, const struct lqi_kernels *k, uint32_t d,
                       const struct work *w, double limit)
{
  double best = 1e9, begin = seconds();
  for (int run = 0; run < 4 || (run < 2000 && seconds() - begin < limit); run++) {
    double t = seconds();
    r->time(k, d, w);
    t = seconds() - t;
    best = t < best ? t : best;
    if (seconds() - begin > 20 * limit)
      break;
  }
  return best;
}

enum { BENCH_BYTES = 64 << 20 };

static void bench_row(const struct row *r, const char *level, const struct lqi_kernels *k,
                      struct work *w)
{
  for (uint32_t d = 0; d < r->types; d++) {
    double bytes = (double)(r->floats * lqi_dtype_size(dtype_of(d))) + r->fixed;
    double rate[2];
    for (int cold = 0; cold < 2; cold++) {
      w->n = cold ? BENCH_BYTES / (r->floats ? lqi_dtype_size(dtype_of(d)) : 1) : 1 << 14;
      if (r->fixed == 4 && cold)
        w->n = BENCH_BYTES / 4;
      w->stream = cold;
      rate[cold] = (double)w->n / shortest(r, k, d, w, cold ? 0.15 : 0.02) * 1e-9;
    }
    printf("%-11s %-11s %-5s %8.2f %8.2f %10.2f %8.2f\n", r->name, level,
           r->types == 1 ? "" : float_names[d], rate[0], rate[0] * bytes, rate[1], rate[1] * bytes);
    fflush(stdout);
  }
}

static void bench(const char *level, const char *kernel)
{
  struct work w = {
      0,   0, test_alloc(BENCH_BYTES + 64), NULL, test_alloc(BENCH_BYTES), test_alloc(BENCH_BYTES),
      NULL};
  void *y = test_aligned(4096, BENCH_BYTES + 4096);
  if (!y)
    exit(2);
  memset(y, 1, BENCH_BYTES);
  w.y = y;
  w.absmax = test_alloc(BENCH_BYTES / 2 / 64 * sizeof(float));
  for (size_t i = 0; i < BENCH_BYTES / 4; i++)
    w.x[i] = 0.02f * (float)(rng_uniform(&seed) - rng_uniform(&seed));
  /* As halves the lower 16 bits would be anything; repeat the upper ones. */
  for (size_t i = 0; i < BENCH_BYTES / 4; i++)
    w.x[i] = lqi_f32_from_bits(lqi_f32_bits(w.x[i]) >> 16 | (lqi_f32_bits(w.x[i]) & 0xffff0000u));
  for (size_t i = 0; i < BENCH_BYTES; i++) {
    w.codes[i] = (uint8_t)rng_u64(&seed);
    w.codes2[i] = (uint8_t)(rng_u64(&seed) | 1);
  }
  printf("kernel      level       type    in cache: Gw/s  GB/s   cold: Gw/s  GB/s\n");
  for (size_t i = 0; i < LQI_COUNT(rows); i++)
    for (int l = 0; l < LQI_LEVEL_COUNT; l++) {
      const char *name = lqi_level_name((enum lqi_level)l);
      if (lqi_kernels_at(l) && rows[i].time && (!level || !strcmp(level, name)) &&
          (!kernel || !strcmp(kernel, rows[i].name)))
        bench_row(&rows[i], name, lqi_kernels_at(l), &w);
    }
  double best = 1e9;
  for (int i = 0; i < 10; i++) {
    double t = seconds();
    memset(w.y, i, BENCH_BYTES);
    t = seconds() - t;
    best = t < best ? t : best;
  }
  printf("memset: %.1f GB/s\n", BENCH_BYTES / best * 1e-9);
  test_aligned_free(y);
  free(w.x);
  free(w.codes);
  free(w.codes2);
  free(w.absmax);
}

/* ---- all of it ---- */

static void check_row(const struct row *r, const char *level, const struct lqi_kernels *k)
{
  uint64_t before = test_failures;
  int cases = test_is_long() ? 20000 : 300;
  for (uint32_t d = 0; d < r->types; d++)
    for (int i = 0; i < cases; i++) {
      test_in("%s %s %s", r->name, level, float_names[d]);
      r->check(k, lqi_kernels_at(LQI_LEVEL_SCALAR), d);
      for (size_t g = 0; g < 2; g++)
        if (output[g].object)
          CHECK(untouched(&output[g]), "wrote beside output %zu", g);
    }
  test_in("%s", "");
  if (test_failures == before)
    printf("%-11s %-11s ok\n", level, r->name);
  else
    printf("%-11s %-11s FAIL %llu\n", level, r->name, (unsigned long long)(test_failures - before));
  fflush(stdout);
}

int main(int argc, char **argv)
{
  const char *level = NULL, *kernel = NULL;
  int timed = 0;
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], "--bench"))
      timed = 1;
    else if (!strcmp(argv[i], "--level") && i + 1 < argc)
      level = argv[++i];
    else if (!strcmp(argv[i], "--kernel") && i + 1 < argc)
      kernel = argv[++i];
    else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
      seed = strtoull(argv[++i], NULL, 0);
    else {
      printf("usage: checkkern [--level NAME] [--kernel NAME] [--seed N] [--bench]\n");
      return 2;
    }
  if (timed) {
    bench(level, kernel);
    return 0;
  }
  for (size_t i = 0; i < 3; i++)
    guard_create(&input[i]);
  for (size_t i = 0; i < 2; i++) {
    guard_create(&output[i]);
    guard_create(&expected[i]);
  }
  for (int l = 0; l < LQI_LEVEL_COUNT; l++)
    for (size_t i = 0; i < LQI_COUNT(rows); i++) {
      const char *name = lqi_level_name((enum lqi_level)l);
      if (lqi_kernels_at(l) && rows[i].check && (!level || !strcmp(level, name)) &&
          (!kernel || !strcmp(kernel, rows[i].name)))
        check_row(&rows[i], name, lqi_kernels_at(l));
    }
  return test_end();
}
