/*
 * test_fused.c - lqi_fused_f32 and lqi_fused_f64 round once: compared with the instruction of the
 * processor where it has one, else with the C library, on numbers that are hard to round, of every
 * size, subnormal, infinite and NaN.
 */
#include "helpers.h"

#include "../lib/core/fused.h"

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define INSTRUCTION __attribute__((target("fma")))
#else
#define INSTRUCTION
#endif

INSTRUCTION static float once_f32(float a, float b, float c)
{
  return fmaf(a, b, c);
}

INSTRUCTION static double once_f64(double a, double b, double c)
{
  return fma(a, b, c);
}

static uint64_t seed = 7;

/* Few bits and many, so that sums come to lie half way between two numbers, or just beside. */
static uint64_t fraction(int bits)
{
  uint64_t f = rng_u64(&seed) >> (64 - bits), keep = rng_below(&seed, (uint64_t)bits + 1);
  switch (rng_below(&seed, 4)) {
  case 0: return f;
  case 1: return f >> keep << keep;
  case 2: return ~(f >> keep << keep) & ((UINT64_C(1) << bits) - 1);
  default: return rng_below(&seed, 4);
  }
}

static float any_f32(int around)
{
  uint64_t field =
      rng_below(&seed, 8) == 0 ? rng_below(&seed, 256) : (uint64_t)around + rng_below(&seed, 60);
  return float_of_bits((uint32_t)(rng_below(&seed, 2) << 31 | field << 23 | fraction(23)));
}

static double any_f64(int around)
{
  uint64_t field =
      rng_below(&seed, 8) == 0 ? rng_below(&seed, 2048) : (uint64_t)around + rng_below(&seed, 120);
  uint64_t u = rng_below(&seed, 2) << 63 | field << 52 | fraction(52);
  double x;
  memcpy(&x, &u, sizeof x);
  return x;
}

static void check_f32(float a, float b, float c)
{
  float got = lqi_fused_f32(a, b, c), want = once_f32(a, b, c);
  CHECK(isnan(want) ? isnan(got) : !memcmp(&got, &want, sizeof got), "%a * %a + %a: %a, not %a",
        (double)a, (double)b, (double)c, (double)got, (double)want);
}

static void check_f64(double a, double b, double c)
{
  double got = lqi_fused_f64(a, b, c), want = once_f64(a, b, c);
  CHECK(isnan(want) ? isnan(got) : !memcmp(&got, &want, sizeof got), "%a * %a + %a: %a, not %a", a,
        b, c, got, want);
}

/* c near -a * b, so that nearly all of the product is cancelled. */
static void check_random(void)
{
  static const int small[] = {0, 40, 100, 150, 190}, large[] = {0, 300, 480, 960, 1500, 1900};
  for (int i = 0; i < 400000; i++) {
    float a = any_f32(small[i % 5]), b = any_f32(small[i / 5 % 5]), c = any_f32(small[i / 25 % 5]);
    check_f32(a, b, c);
    check_f32(a, b, -a * b);
    double x = any_f64(large[i % 6]), y = any_f64(large[i / 6 % 6]), z = any_f64(large[i / 36 % 6]);
    check_f64(x, y, z);
    check_f64(x, y, -x * y);
    check_f64(x, y, x * y * 0x1p-53);
    check_f64(x, y, z < 0 ? x * y * 0x1p54 : -x * y * 0x1p73);
  }
}

static void check_special(void)
{
  static const float f[] = {0.0f, 1.0f,      0x1p-149f, 0x1p-126f, 0x1.fffffep127f, 0x1p-75f,
                            3.0f, 0x1p-148f, INFINITY,  0x1p-1f,   0x1.8p-149f,     NAN};
  static const double d[] = {0.0, 1.0,       0x1p-1074, 0x1p-1022, 0x1.fffffffffffffp1023,
                             3.0, 0x1p-1073, INFINITY,  0x1p-538,  0x1.fffffffffffffp-1023,
                             NAN, 0x1p-537};
  for (int i = 0; i < 12 * 12 * 12; i++)
    for (int signs = 0; signs < 8; signs++) {
      int a = i % 12, b = i / 12 % 12, c = i / 144;
      check_f32(signs & 1 ? -f[a] : f[a], signs & 2 ? -f[b] : f[b], signs & 4 ? -f[c] : f[c]);
      check_f64(signs & 1 ? -d[a] : d[a], signs & 2 ? -d[b] : d[b], signs & 4 ? -d[c] : d[c]);
    }
}

/* Where a sum rounded to double first and then to float goes wrong. */
static void check_known(void)
{
  CHECK(lqi_fused_f32(0x1.000002p0f, 0x1.000002p0f, 0x1p-47f) == 0x1.000004p0f, "above the half");
  CHECK(lqi_fused_f32(1.0f, 0x1.000002p0f, 0x1p-24f) == 0x1.000004p0f, "a tie");
  CHECK(lqi_fused_f32(0x1p-75f, 0x1.000002p-75f, 0x1p-127f) == 0x1.000004p-127f,
        "a subnormal above the half");
  CHECK(lqi_fused_f64(0x1.0000000000001p0, 0x1.0000000000001p0, -0x1.0000000000002p0) == 0x1p-104,
        "what a product leaves");
}

int main(void)
{
  check_known();
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
  if (!test_level(1)) { /* avx2, which comes with it */
    printf("no such instruction\n");
    return test_end();
  }
#endif
  check_special();
  check_random();
  return test_end();
}
