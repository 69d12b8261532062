/*
 * decimal.c - doubles as decimal text and back, exactly.
 *
 * Owns: a fixed-size natural number and the two conversions made of it. Exact rational arithmetic
 * instead of the fast published algorithms (Ryu, Eisel-Lemire): a tensor has one such number, and
 * this is short enough to be read.
 * Must not know: JSON.
 */
#include "decimal.h"

#include <string.h>

/* 2048 bits hold 10^400 times 2^53 with room to spare; exponents beyond that are zero or infinity
 * for a double. */
#define WORDS 64
#define MOST_EXPONENT 400
#define MOST_DIGITS 40

struct natural {
  uint32_t used;
  uint32_t word[WORDS];
};

static void natural_set(struct natural *a, uint64_t v)
{
  a->word[0] = (uint32_t)v;
  a->word[1] = (uint32_t)(v >> 32);
  a->used = a->word[1] != 0 ? 2 : a->word[0] != 0;
}

static void natural_multiply_add(struct natural *a, uint32_t factor, uint32_t addend)
{
  uint64_t carry = addend;
  for (uint32_t i = 0; i < a->used; i++) {
    carry += (uint64_t)a->word[i] * factor;
    a->word[i] = (uint32_t)carry;
    carry >>= 32;
  }
  if (carry != 0 && a->used < WORDS)
    a->word[a->used++] = (uint32_t)carry;
}

static void natural_power_of_ten(struct natural *a, uint32_t exponent)
{
  for (; exponent >= 9; exponent -= 9)
    natural_multiply_add(a, 1000000000u, 0);
  for (; exponent != 0; exponent--)
    natural_multiply_add(a, 10, 0);
}

static void natural_shift_left(struct natural *a, uint32_t bits)
{
  for (; bits >= 31; bits -= 31)
    natural_multiply_add(a, 1u << 31, 0);
  natural_multiply_add(a, 1u << bits, 0);
}

static int natural_compare(const struct natural *a, const struct natural *b)
{
  if (a->used != b->used)
    return a->used < b->used ? -1 : 1;
  for (uint32_t i = a->used; i-- != 0;)
    if (a->word[i] != b->word[i])
      return a->word[i] < b->word[i] ? -1 : 1;
  return 0;
}

/* a -= b; a >= b. */
static void natural_subtract(struct natural *a, const struct natural *b)
{
  uint64_t borrow = 0;
  for (uint32_t i = 0; i < a->used; i++) {
    uint64_t take = (i < b->used ? b->word[i] : 0) + borrow;
    borrow = a->word[i] < take;
    a->word[i] = (uint32_t)(a->word[i] - take);
  }
  while (a->used != 0 && a->word[a->used - 1] == 0)
    a->used--;
}

static int32_t natural_bits(const struct natural *a)
{
  if (a->used == 0)
    return 0;
  int32_t bits = (int32_t)(a->used - 1) * 32;
  for (uint32_t top = a->word[a->used - 1]; top != 0; top >>= 1)
    bits++;
  return bits;
}

static double double_from(uint64_t image)
{
  double x;
  memcpy(&x, &image, sizeof x);
  return x;
}

/* The double nearest to n / d, d > 0: long division to 53 bits (fewer below the normal range), then
 * ties to even. */
static double nearest_double(struct natural *n, struct natural *d)
{
  if (n->used == 0)
    return 0.0;
  int32_t exponent = natural_bits(n) - natural_bits(d); /* 2^(exponent-1) < n/d < 2^(exponent+1) */
  if (exponent > 0)
    natural_shift_left(d, (uint32_t)exponent);
  else
    natural_shift_left(n, (uint32_t)-exponent);
  if (natural_compare(n, d) < 0) {
    natural_shift_left(n, 1);
    exponent--;
  }
  if (exponent > 1023)
    return double_from(UINT64_C(0x7ff) << 52);
  int32_t bits = exponent >= -1022 ? 53 : 53 + 1022 + exponent;
  uint64_t mantissa = 0;
  for (int32_t i = 0; i < bits; i++) {
    mantissa <<= 1;
    if (natural_compare(n, d) >= 0) {
      natural_subtract(n, d);
      mantissa |= 1;
    }
    natural_shift_left(n, 1);
  }
  /* The remainder has been doubled once: it stands for half a unit exactly where it equals d. */
  int half = bits >= 0 ? natural_compare(n, d) : -1;
  mantissa += half > 0 || (half == 0 && (mantissa & 1) != 0);
  return double_from(exponent >= -1022 ? ((uint64_t)(exponent + 1022) << 52) + mantissa : mantissa);
}

/* ---- text to double ---- */

struct decimal {
  struct natural digits;
  int32_t count;    /* significant digits kept */
  int32_t exponent; /* value = digits * 10^exponent */
};

/* Takes digits from s[i..n) into d; `step` is what each one adds to the exponent. Returns the index
 * behind them. */
static size_t take_digits(const char *s, size_t n, size_t i, int32_t step, struct decimal *d)
{
  for (; i < n && s[i] >= '0' && s[i] <= '9'; i++) {
    if (d->count < MOST_DIGITS) {
      natural_multiply_add(&d->digits, 10, (uint32_t)(s[i] - '0'));
      d->count += d->digits.used != 0;
      d->exponent += step;
    } else if (d->exponent < INT32_MAX / 2) {
      d->exponent += step + 1;
    }
  }
  return i;
}

/* [e[+-]digits], saturating: 0 if malformed. */
static int take_exponent(const char *s, size_t n, size_t i, int32_t *exponent)
{
  if (i == n)
    return 1;
  if (s[i] != 'e' && s[i] != 'E')
    return 0;
  i++;
  int negative = i < n && s[i] == '-';
  i += i < n && (s[i] == '-' || s[i] == '+');
  if (i == n)
    return 0;
  int32_t value = 0;
  for (; i < n && s[i] >= '0' && s[i] <= '9'; i++)
    value = value < 100000 ? value * 10 + (s[i] - '0') : value;
  *exponent += negative ? -value : value;
  return i == n;
}

int lqi_parse_double(const char *s, size_t n, double *out)
{
  struct decimal d = {.exponent = 0};
  size_t i = n != 0 && s[0] == '-', first = i;
  i = take_digits(s, n, i, 0, &d);
  if (i == first)
    return 0;
  if (i < n && s[i] == '.') {
    first = ++i;
    i = take_digits(s, n, i, -1, &d);
    if (i == first)
      return 0;
  }
  if (!take_exponent(s, n, i, &d.exponent))
    return 0;
  struct natural denominator;
  natural_set(&denominator, 1);
  if (d.count == 0 || d.exponent + d.count < -MOST_EXPONENT)
    *out = 0.0;
  else if (d.exponent + d.count > MOST_EXPONENT)
    *out = double_from(UINT64_C(0x7ff) << 52);
  else {
    if (d.exponent > 0)
      natural_power_of_ten(&d.digits, (uint32_t)d.exponent);
    else
      natural_power_of_ten(&denominator, (uint32_t)-d.exponent);
    *out = nearest_double(&d.digits, &denominator);
  }
  if (s[0] == '-')
    *out = -*out;
  return 1;
}

/* ---- double to text ---- */

#define SHORTEST_MOST 17 /* significant digits that identify any double */
#define EXACT_DIGITS 20

/* digit[0..EXACT_DIGITS) of x > 0 and the exponent of the first: x = d.ddd... * 10^exponent,
 * truncated. */
static int32_t exact_digits(uint64_t image, uint8_t *digit, int *rest)
{
  int32_t e = (int32_t)(image >> 52 & 0x7ff), exponent = 0;
  uint64_t mantissa = (image & ((UINT64_C(1) << 52) - 1)) | (e != 0 ? UINT64_C(1) << 52 : 0);
  struct natural n, d;
  natural_set(&n, mantissa);
  natural_set(&d, 1);
  e = (e != 0 ? e : 1) - 1075;
  if (e > 0)
    natural_shift_left(&n, (uint32_t)e);
  else
    natural_shift_left(&d, (uint32_t)-e);
  while (natural_compare(&n, &d) < 0) {
    natural_multiply_add(&n, 10, 0);
    exponent--;
  }
  for (;;) {
    struct natural ten = d;
    natural_multiply_add(&ten, 10, 0);
    if (natural_compare(&n, &ten) < 0)
      break;
    d = ten;
    exponent++;
  }
  for (int i = 0; i < EXACT_DIGITS; i++) {
    digit[i] = 0;
    for (; natural_compare(&n, &d) >= 0; digit[i]++)
      natural_subtract(&n, &d);
    natural_multiply_add(&n, 10, 0);
  }
  *rest = n.used != 0;
  return exponent;
}

/* Digits as an integer times a power of ten, in the notation that lqi_parse_double reads. */
static double digits_value(const uint8_t *digit, int count, int32_t exponent)
{
  struct natural n, d;
  natural_set(&n, 0);
  natural_set(&d, 1);
  for (int i = 0; i < count; i++)
    natural_multiply_add(&n, 10, digit[i]);
  exponent -= count - 1;
  if (exponent > 0)
    natural_power_of_ten(&n, (uint32_t)exponent);
  else
    natural_power_of_ten(&d, (uint32_t)-exponent);
  return nearest_double(&n, &d);
}

/* Adds one unit in the last place of digit[0..count); a carry out of the first digit leaves 1000...
 */
static int32_t round_up(uint8_t *digit, int count)
{
  for (int i = count; i-- != 0;) {
    if (digit[i] != 9) {
      digit[i]++;
      return 0;
    }
    digit[i] = 0;
  }
  digit[0] = 1;
  return 1;
}

/* Whether the digits behind the first `count` are above one half of a unit of the last, or are that
 * and it is odd. */
static int rounds_up(const uint8_t *exact, int count, int rest)
{
  if (exact[count] != 5)
    return exact[count] > 5;
  for (int i = count + 1; i < EXACT_DIGITS; i++)
    rest |= exact[i] != 0;
  return rest || exact[count - 1] % 2 != 0;
}

/*
 * Fewest digits that read back as x, and of those the nearest to x. Both neighbours are tried: at a
 * power of two the gap below is half of the gap above, so the farther one may be the only one to
 * read back.
 */
static int shortest_digits(double x, const uint8_t *exact, int rest, uint8_t *digit,
                           int32_t *exponent)
{
  for (int count = 1; count < SHORTEST_MOST; count++)
    for (int attempt = 0; attempt < 2; attempt++) {
      int32_t carried = 0;
      memcpy(digit, exact, (size_t)count);
      if (rounds_up(exact, count, rest) != attempt)
        carried = round_up(digit, count);
      if (digits_value(digit, count, *exponent + carried) == x) {
        *exponent += carried;
        return count;
      }
    }
  memcpy(digit, exact, SHORTEST_MOST);
  if (rounds_up(exact, SHORTEST_MOST, rest))
    *exponent += round_up(digit, SHORTEST_MOST);
  return SHORTEST_MOST;
}

static char *put_exponent(char *p, int32_t exponent)
{
  *p++ = 'e';
  *p++ = exponent < 0 ? '-' : '+';
  uint32_t e = (uint32_t)(exponent < 0 ? -exponent : exponent);
  if (e >= 100)
    *p++ = (char)('0' + e / 100);
  *p++ = (char)('0' + e / 10 % 10);
  *p++ = (char)('0' + e % 10);
  return p;
}

/* Python's layout: plain from 1e-4 up to, not including, 1e16; otherwise one digit, the rest behind
 * a point, exponent. */
static char *put_digits(char *p, const uint8_t *digit, int count, int32_t exponent)
{
  int scientific = exponent < -4 || exponent >= 16;
  int32_t point = scientific ? 0 : exponent; /* index of the last digit in front of the point */
  if (point < 0) {
    *p++ = '0';
    *p++ = '.';
    for (int32_t i = -1; i > point; i--)
      *p++ = '0';
  }
  for (int32_t i = 0; i < count || i <= point; i++) {
    *p++ = (char)('0' + (i < count ? digit[i] : 0));
    if (i == point && (i + 1 < count || !scientific)) {
      *p++ = '.';
      if (i + 1 >= count)
        *p++ = '0';
    }
  }
  return scientific ? put_exponent(p, exponent) : p;
}

size_t lqi_format_double(double x, char *out)
{
  uint64_t image;
  memcpy(&image, &x, sizeof image);
  char *p = out;
  uint64_t magnitude = image & ~(UINT64_C(1) << 63);
  if (image != magnitude && magnitude <= UINT64_C(0x7ff) << 52)
    *p++ = '-';
  if (magnitude == 0 || magnitude >= UINT64_C(0x7ff) << 52) {
    memcpy(p, magnitude == 0 ? "0.0" : magnitude > UINT64_C(0x7ff) << 52 ? "nan" : "inf", 3);
    p += 3;
  } else {
    uint8_t exact[EXACT_DIGITS], digit[SHORTEST_MOST];
    int rest;
    int32_t exponent = exact_digits(magnitude, exact, &rest);
    int count = shortest_digits(double_from(magnitude), exact, rest, digit, &exponent);
    p = put_digits(p, digit, count, exponent);
  }
  *p = '\0';
  return (size_t)(p - out);
}
