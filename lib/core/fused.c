/*
 * fused.c - see fused.h. Rounds to nearest, ties to even; subnormals, infinities and NaN as the
 * processors have them.
 *
 * Owns: the two functions. Must not know: who calls them.
 */
#include "fused.h"

#include <string.h>

/*
 * A product of two floats is exact in double. The sum is rounded to odd: of the two doubles around
 * the exact sum the one whose last bit is 1. Rounding that once more to the 24 bits of a float, or
 * to the fewer ones of a subnormal, gives what one rounding would have, since at least two bits are
 * left over (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
 */
float lqi_fused_f32(float a, float b, float c)
{
  double product = (double)a * (double)b, sum = product + (double)c;
  double added = sum - product;
  double error = (product - (sum - added)) + ((double)c - added); /* Knuth's exact error of a sum */
  if (error > 0.0 || error < 0.0) { /* neither if it is NaN, as with infinities */
    uint64_t u;
    memcpy(&u, &sum, sizeof u);
    if ((u & 1) == 0)
      u = (error > 0.0) == (sum > 0.0) ? u + 1 : u - 1;
    memcpy(&sum, &u, sizeof u);
  }
  return (float)sum;
}

/* ---- 128 bits ---- */

struct fused_wide {
  uint64_t high, low;
};

static struct fused_wide fused_multiply(uint64_t a, uint64_t b)
{
  uint64_t al = a & UINT32_MAX, ah = a >> 32, bl = b & UINT32_MAX, bh = b >> 32;
  uint64_t low = al * bl, one = ah * bl, other = al * bh;
  uint64_t middle = (low >> 32) + (one & UINT32_MAX) + (other & UINT32_MAX);
  return (struct fused_wide){ah * bh + (one >> 32) + (other >> 32) + (middle >> 32),
                             middle << 32 | (low & UINT32_MAX)};
}

static struct fused_wide fused_left(struct fused_wide x, int n)
{
  if (n >= 64)
    return (struct fused_wide){x.low << (n - 64), 0};
  return n == 0 ? x : (struct fused_wide){x.high << n | x.low >> (64 - n), x.low << n};
}

/* The last bit stands for all that are lost, so that no half is taken for exact. */
static struct fused_wide fused_right(struct fused_wide x, int n)
{
  if (n == 0)
    return x;
  if (n >= 128)
    return (struct fused_wide){0, (x.high | x.low) != 0};
  struct fused_wide lost = fused_left(x, 128 - n);
  struct fused_wide y = n >= 64 ? (struct fused_wide){0, n == 64 ? x.high : x.high >> (n - 64)}
                                : (struct fused_wide){x.high >> n, x.high << (64 - n) | x.low >> n};
  y.low |= (lost.high | lost.low) != 0;
  return y;
}

static struct fused_wide fused_add(struct fused_wide x, struct fused_wide y)
{
  uint64_t low = x.low + y.low;
  return (struct fused_wide){x.high + y.high + (low < x.low), low};
}

/* x is not less than y. */
static struct fused_wide fused_subtract(struct fused_wide x, struct fused_wide y)
{
  return (struct fused_wide){x.high - y.high - (x.low < y.low), x.low - y.low};
}

/* ---- double ---- */

/* A finite number that is not 0 as 53 bits, the first of which is 1, times a power of two. */
static uint64_t fused_split(double x, int *exponent, int *negative)
{
  uint64_t u, first = UINT64_C(1) << 52;
  memcpy(&u, &x, sizeof u);
  *negative = (int)(u >> 63);
  int field = (int)(u >> 52 & 0x7ff);
  *exponent = (field != 0 ? field : 1) - 1075;
  u = (u & (first - 1)) | (field != 0 ? first : 0);
  for (; u < first; u <<= 1)
    --*exponent;
  return u;
}

/* x * 2^exponent; x is not 0. The unit of the result is 2^-1074 at least. */
static double fused_round(struct fused_wide x, int exponent, int negative)
{
  for (; x.high != 0 || x.low >> 63 != 0; exponent++)
    x = fused_right(x, 1);
  uint64_t m = x.low, u;
  for (; m >> 62 == 0; exponent--)
    m <<= 1;
  int drop = -1074 - exponent > 10 ? -1074 - exponent : 10; /* 63 bits are there, 53 stay */
  if (drop > 63) {
    u = 0; /* less than half a unit */
  } else {
    uint64_t rest = m & ((UINT64_C(1) << drop) - 1), half = UINT64_C(1) << (drop - 1);
    u = m >> drop;
    u += rest > half || (rest == half && (u & 1) != 0);
    /* Bit 52 adds 1 to the field of the exponent, unless the number is subnormal. */
    int field = exponent + drop + 1074;
    u = field < 2046 ? u + ((uint64_t)field << 52) : UINT64_C(0x7ff) << 52;
  }
  u |= (uint64_t)negative << 63;
  double result;
  memcpy(&result, &u, sizeof result);
  return result;
}

static int fused_is_finite(double x)
{
  return x - x == 0.0;
}

double lqi_fused_f64(double a, double b, double c)
{
  enum { SPARE = 20, MOST = 73 };
  int ea, eb, ec, a_negative, b_negative, negative;
  if (!fused_is_finite(a) || !fused_is_finite(b) || a == 0.0 || b == 0.0)
    return a * b + c;
  if (!fused_is_finite(c)) /* a large product must not become an infinity, too */
    return c + c;
  if (c == 0.0)
    return a * b;
  uint64_t ma = fused_split(a, &ea, &a_negative), mb = fused_split(b, &eb, &b_negative);
  /* The product has 105 or 106 bits; both terms stay below 2^126. What is shifted out belongs to
   * the term that is smaller by far: nothing can cancel it. */
  struct fused_wide product = fused_left(fused_multiply(ma, mb), SPARE);
  struct fused_wide term = {0, fused_split(c, &ec, &negative)}, sum;
  int exponent = ea + eb - SPARE, product_negative = a_negative ^ b_negative;
  if (ec - exponent > MOST) {
    product = fused_right(product, ec - exponent - MOST);
    exponent = ec - MOST;
  }
  term = ec < exponent ? fused_right(term, exponent - ec) : fused_left(term, ec - exponent);
  int less = product.high != term.high ? product.high < term.high : product.low < term.low;
  if (product_negative == negative) {
    sum = fused_add(product, term);
  } else if (less) {
    sum = fused_subtract(term, product);
  } else {
    sum = fused_subtract(product, term);
    negative = product_negative;
  }
  return (sum.high | sum.low) == 0 ? 0.0 : fused_round(sum, exponent, negative);
}
