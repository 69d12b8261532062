/*
 * peaks.c - loops of multiply-adds that touch no memory.
 *
 * Twelve independent sums hide the latency of any such unit in use. Assembly, since a compiler
 * leaves out what it sees through.
 */
#include "peaks.h"

#include <libquant.h>

#include <string.h>

enum { STEPS = 1 << 20, SUMS = 12 };

#if defined(__GNUC__) && defined(__x86_64__)

/* STEPS times an instruction of each of twelve sums, registers 1 to 12 of a width. */
#define ONE(op, r, n) op " %%" r "0,%%" r "0,%%" r n "\n\t"
#define LOOP(op, r) \
  do { \
    int left = STEPS; \
    __asm__ volatile("vpxor %%xmm0,%%xmm0,%%xmm0\n\t" \
                     "1:\n\t" ONE(op, r, "1") ONE(op, r, "2") ONE(op, r, "3") ONE(op, r, "4") \
                         ONE(op, r, "5") ONE(op, r, "6") ONE(op, r, "7") ONE(op, r, "8") \
                             ONE(op, r, "9") ONE(op, r, "10") ONE(op, r, "11") \
                                 ONE(op, r, "12") "dec %0\n\t" \
                                                  "jnz 1b\n\t" \
                                                  "vzeroupper" \
                     : "+r"(left)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", \
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12"); \
  } while (0)

/* The same of tiles of 16 x 64 bytes; four sums. */
#define TILE(op, n) op " %%tmm5, %%tmm4, %%tmm" n "\n\t"
#define TILES(op) \
  do { \
    static const struct { \
      unsigned char palette, start, reserved[14]; \
      unsigned short row_bytes[16]; \
      unsigned char rows[16]; \
    } config = {1, 0, {0}, {64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16}}; \
    int left = STEPS * SUMS / 64; \
    __asm__ volatile("ldtilecfg %1\n\t" \
                     "tilezero %%tmm4\n\t" \
                     "tilezero %%tmm5\n\t" \
                     "1:\n\t" TILE(op, "0") TILE(op, "1") TILE(op, "2") \
                         TILE(op, "3") "dec %0\n\t" \
                                       "jnz 1b\n\t" \
                                       "tilerelease" \
                     : "+r"(left) \
                     : "m"(config) \
                     : "cc"); \
  } while (0)

static int level_is(const char *name)
{
  return strcmp(lq_cpu_features(), name) == 0;
}

/* Products of a step of one sum; 0: this level has no loop of its own. */
static int wide_pass(peak which)
{
  int amx = level_is("amx"), vnni = level_is("avx512vbmi"), avx512 = vnni || level_is("avx512");

  if (amx && which == PEAK_I8) {
    TILES("tdpbssd");
    return 16 * 16 * 64 / 16; /* one step in 16 */
  }
  if (amx && which == PEAK_BF16) {
    TILES("tdpbf16ps");
    return 16 * 16 * 32 / 16;
  }
  vnni |= amx;
  avx512 |= amx;
  if (level_is("avxvnni") && which == PEAK_I8) {
    LOOP("%{vex%} vpdpbusd", "ymm");
    return 32;
  }
  if (!avx512 && !level_is("avx2") && !level_is("avxvnni"))
    return 0;
  if (which != PEAK_I8 && avx512)
    LOOP("vfmadd231ps", "zmm");
  else if (which != PEAK_I8)
    LOOP("vfmadd231ps", "ymm");
  else if (vnni)
    LOOP("vpdpbusd", "zmm");
  else if (avx512)
    LOOP("vpmaddwd", "zmm");
  else
    LOOP("vpmaddwd", "ymm");
  if (which != PEAK_I8)
    return avx512 ? 16 : 8;
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
      if (which != PEAK_I8)
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
