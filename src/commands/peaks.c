/*
 * peaks.c - loops of multiply-adds that touch no memory.
 *
 * Twelve independent sums hide the latency of any such unit in use. The empty asm keeps compilers
 * from leaving out what they see through.
 */
#include "peaks.h"

#include <libquant.h>

#include <string.h>

enum { STEPS = 1 << 20, SUMS = 12 };

#if defined(__GNUC__) && defined(__x86_64__)

#include <immintrin.h>

#define TARGET(features) __attribute__((target(features), noinline))

/* name(): STEPS times `multiply` of each of SUMS sums, which the asm pins to registers. */
#define PIN(c, a, b, d, e) __asm__ volatile("" : c(a), c(b), c(d), c(e))
#define LOOP(name, features, type, zero, c, multiply) \
  TARGET(features) static void name(void) \
  { \
    type x = zero, s0 = x, s1 = x, s2 = x, s3 = x, s4 = x, s5 = x, s6 = x, s7 = x, s8 = x, s9 = x, \
         sa = x, sb = x; \
    for (int n = 0; n < STEPS; n++) { \
      multiply(s0), multiply(s1), multiply(s2), multiply(s3), multiply(s4), multiply(s5); \
      multiply(s6), multiply(s7), multiply(s8), multiply(s9), multiply(sa), multiply(sb); \
      PIN(c, s0, s1, s2, s3); \
      PIN(c, s4, s5, s6, s7); \
      PIN(c, s8, s9, sa, sb); \
    } \
  }

#define FMA_512(s) (s = _mm512_fmadd_ps(x, x, s))
#define FMA_256(s) (s = _mm256_fmadd_ps(x, x, s))
#define DOT_VNNI(s) (s = _mm512_dpbusd_epi32(s, x, x))
#define DOT_512(s) (s = _mm512_add_epi32(s, _mm512_madd_epi16(x, x)))
#define DOT_256(s) (s = _mm256_add_epi32(s, _mm256_madd_epi16(x, x)))

LOOP(f32_avx512, "avx512f", __m512, _mm512_setzero_ps(), "+v", FMA_512)
LOOP(f32_avx2, "avx2,fma", __m256, _mm256_setzero_ps(), "+x", FMA_256)
LOOP(i8_vnni, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), "+v", DOT_VNNI)
LOOP(i8_avx512, "avx512f,avx512bw", __m512i, _mm512_setzero_si512(), "+v", DOT_512)
LOOP(i8_avx2, "avx2", __m256i, _mm256_setzero_si256(), "+x", DOT_256)

static int level_is(const char *name)
{
  return strcmp(lq_cpu_features(), name) == 0;
}

/* Products of a step of one sum; 0: this level has no loop of its own. */
static int wide_pass(peak which)
{
  int vnni = level_is("avx512vbmi"), avx512 = vnni || level_is("avx512");

  if (!avx512 && !level_is("avx2"))
    return 0;
  if (which == PEAK_F32) {
    (avx512 ? f32_avx512 : f32_avx2)();
    return avx512 ? 16 : 8;
  }
  (vnni ? i8_vnni : avx512 ? i8_avx512 : i8_avx2)();
  return vnni ? 64 : avx512 ? 32 : 16;
}

#else

static int wide_pass(peak which)
{
  (void)which;
  return 0;
}

#endif

/* What the compiler makes of plain C. */
static void plain_pass(peak which)
{
  volatile float factor = 0.5f, out = 0;
  volatile unsigned integer = 3, end = 0;
  float f[SUMS] = {0}, b = factor;
  unsigned s[SUMS] = {0}, d = integer;

  for (int n = 0; n < STEPS; n++)
    for (int i = 0; i < SUMS; i++)
      if (which == PEAK_F32)
        f[i] = f[i] * b + b;
      else
        s[i] = s[i] * d + d;
  for (int i = 0; i < SUMS; i++) {
    out = out + f[i];
    end = end + s[i];
  }
}

double peak_pass(peak which)
{
  int products = wide_pass(which);

  if (products == 0) {
    plain_pass(which);
    products = 1;
  }
  return 2.0 * STEPS * SUMS * products;
}
