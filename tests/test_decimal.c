/*
 * test_decimal.c - proves that the library writes doubles as Python's repr does and reads them back
 * correctly rounded.
 *
 * The C library, in the C locale, is the reference: strtod for reading; for writing, no shorter
 * text may read back as the same number, and of the texts of that length it must be the nearest.
 */
#include "harness.h"

#include "../lib/core/decimal.h"

#include <math.h>

static uint64_t random_state = 20240;

static double double_of_bits(uint64_t u)
{
  double x;
  memcpy(&x, &u, sizeof x);
  return x;
}

/*
 * Takes the digits of a number's text apart: how many are significant, and the power of ten of the
 * first.
 */
static int significant(const char *text, char digits[40], int *exponent)
{
  int n = 0, point = 0, seen_point = 0;
  for (; *text && *text != 'e'; text++) {
    if (*text == '.')
      seen_point = 1;
    if (*text < '0' || *text > '9')
      continue;
    if (n > 0 || *text != '0') {
      if (n < 39)
        digits[n++] = *text;
      point += !seen_point;
    } else {
      point -= seen_point;
    }
  }
  *exponent = point - 1 + (*text == 'e' ? atoi(text + 1) : 0);
  while (n > 0 && digits[n - 1] == '0')
    n--;
  digits[n] = 0;
  return n;
}

/*
 * repr puts the point inside for exponents -4..15, at least one digit after it, two digits in an
 * exponent.
 */
static void python_text(const char *digits, int exponent, int negative, char *out)
{
  int n = (int)strlen(digits);
  out += sprintf(out, "%s", negative ? "-" : "");
  if (exponent < -4 || exponent > 15)
    sprintf(out, "%c%s%se%c%02d", digits[0], n > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+',
            abs(exponent));
  else if (exponent < 0)
    sprintf(out, "0.%.*s%s", -exponent - 1, "000", digits);
  else if (n <= exponent + 1)
    sprintf(out, "%s%.*s.0", digits, exponent + 1 - n, "0000000000000000");
  else
    sprintf(out, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
}

/* The nearest text of that many digits, in digits; 1 if it reads back as x. */
static int rounded(double x, int count, char digits[40], int *exponent)
{
  char text[64];
  snprintf(text, sizeof text, "%.*e", count - 1, x);
  significant(text, digits, exponent);
  return strtod(text, NULL) == x;
}

/*
 * A power of two has nearer neighbours below: a text further up may read back where the nearest
 * does not.
 */
static int rounded_up(double x, int count, char digits[40], int *exponent)
{
  char text[64];
  rounded(x, count, digits, exponent);
  while ((int)strlen(digits) < count)
    strcat(digits, "0");
  unsigned long long up = strtoull(digits, NULL, 10) + 1;
  snprintf(digits, 40, "%llu", up);
  snprintf(text, sizeof text, "%llue%d", up, *exponent - count + 1);
  return strtod(text, NULL) == x;
}

static int is_power_of_two(double x)
{
  int e;
  return frexp(x, &e) == 0.5;
}

/* Whether strtod can be compared with: that of mingw-w64 takes the last number below a power of two
 * for the power. */
static int strtod_is_right(double x)
{
#ifdef __MINGW32__
  return !is_power_of_two(fabs(x)) && !is_power_of_two(nextafter(fabs(x), INFINITY));
#else
  (void)x;
  return 1;
#endif
}

static void check_format(double x)
{
  char got[LQI_DOUBLE_TEXT], digits[40], other[40], want[64];
  int exponent, e;
  memset(got, 'x', sizeof got);
  size_t length = lqi_format_double(x, got);
  if (!CHECK(length < sizeof got && strlen(got) == length, "%a: length %zu", x, length))
    return;
  double magnitude = fabs(x);
  int n = significant(got, digits, &exponent);
  CHECK(!strtod_is_right(x) || strtod(got, NULL) == x, "%a became %s", x, got);
  if (x == 0 || !strtod_is_right(x))
    return;
  CHECK(n == 1 || !rounded(magnitude, n - 1, other, &e), "%s is not the shortest", got);
  if (!rounded(magnitude, n, other, &e) && is_power_of_two(magnitude))
    CHECK(rounded_up(magnitude, n, other, &e) && !strcmp(digits, other), "%s is not nearest", got);
  else
    CHECK(!strcmp(digits, other) && e == exponent, "%s has digits %s, not %s", got, digits, other);
  if (n > 1 && is_power_of_two(magnitude))
    CHECK(!rounded_up(magnitude, n - 1, other, &e), "%s is not the shortest", got);
  python_text(digits, exponent, x < 0, want);
  CHECK(!strcmp(got, want), "%s is written %s", got, want);
}

static void check_parse(const char *text)
{
  double got = 7, want = strtod(text, NULL);
  int ok = lqi_parse_double(text, strlen(text), &got);
  CHECK(ok == 1 && (!strtod_is_right(want) || memcmp(&got, &want, sizeof got) == 0),
        "%s: %d, %a, not %a", text, ok, got, want);
}

static void check_refused(const char *text, size_t n)
{
  double got = 7;
  CHECK(!lqi_parse_double(text, n, &got), "\"%s\" was read as %g", text, got);
}

static void test_known(void)
{
  static const struct {
    double x;
    const char *text;
  } known[] = {
      {0.0, "0.0"},
      {-0.0, "-0.0"},
      {1.0, "1.0"},
      {-1.0, "-1.0"},
      {0.5, "0.5"},
      {0.1, "0.1"},
      {1e-4, "0.0001"},
      {1e-5, "1e-05"},
      {1.5e-5, "1.5e-05"},
      {123456.0, "123456.0"},
      {1e15, "1000000000000000.0"},
      {1e16, "1e+16"},
      {1.5e16, "1.5e+16"},
      {9007199254740993.0, "9007199254740992.0"},
      {5e-324, "5e-324"},
      {1e100, "1e+100"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
      {2.2250738585072014e-308, "2.2250738585072014e-308"},
      {0x1p-44, "5.684341886080802e-14"},
      {0.05191993713378906, "0.05191993713378906"},
      {1e23, "1e+23"},
      {9.5367431640625e-07, "9.5367431640625e-07"},
      {(double)0.1f, "0.10000000149011612"},
      {12345678.9, "12345678.9"},
  };
  char got[LQI_DOUBLE_TEXT];
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    lqi_format_double(known[i].x, got);
    CHECK(!strcmp(got, known[i].text), "%a is written %s, not %s", known[i].x, got, known[i].text);
    check_parse(known[i].text);
  }
  lqi_format_double((double)NAN, got);
  CHECK(!strcmp(got, "nan"), "NaN is written %s", got);
  lqi_format_double((double)INFINITY, got);
  CHECK(!strcmp(got, "inf"), "infinity is written %s", got);
  lqi_format_double(-(double)INFINITY, got);
  CHECK(!strcmp(got, "-inf"), "-infinity is written %s", got);
}

static void test_grammar(void)
{
  static const char *const good[] = {
      "0",
      "-0",
      "00",
      "007",
      "1E5",
      "1e5",
      "1e+5",
      "1e-5",
      "1.50",
      "1.0e00",
      "0.0",
      "0e999",
      "0.000e-999",
      "1e-999",
      "1e-324",
      "2.4703282292062327e-324",
      "2.4703282292062328e-324",
      "4.9406564584124654e-324",
      "9007199254740993",
      "9007199254740992.5",
      "9007199254740993.0000000000000000000001",
      "1.7976931348623158e308",
      "0.00000000000000000000000000000000000000001",
      "123456789012345678901234567890",
      "2.2250738585072011e-308",
      "6.631236846766476e-316",
      "100000000000000000000000000000000000000000000000",
      "0.1e1",
      "10e-1",
      "1e00000000000000000000000000000001",
      "-3.14",
  };
  static const char *const bad[] = {
      "",    "-",   "+",        "+1",    ".",   ".5",    "1.",    "1.e5", "-.5", "e5",
      "1e",  "1e+", "1e-",      "1e5.0", " 1",  "1 ",    "--1",   "1-",   "0x1", "1f",
      "nan", "inf", "Infinity", "1,5",   "1_0", "1e5e5", "1.5.5", "\t1",  "1\n", "- 1",
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    check_parse(good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    check_refused(bad[i], strlen(bad[i]));
  check_refused("1\0", 2);
  check_refused("15", 0);
  double x = 0;
  CHECK(lqi_parse_double("12345", 3, &x) && x == 123, "a prefix of the text gave %g", x);
}

/* Texts past the range of a double: refused or infinite, never a finite number. */
static void test_overflow(void)
{
  static const char *const texts[] = {"1e309", "1.7976931348623159e308", "1e999",
                                      "1e99999999999999999999", "-1e400"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    double x = 1;
    int ok = lqi_parse_double(texts[i], strlen(texts[i]), &x);
    CHECK(!ok || isinf(x), "%s was read as %g", texts[i], x);
  }
}

/* The promise for long texts: digits past the 40th significant one count as zero. */
static void test_long(void)
{
  for (int i = 0; i < 20000; i++) {
    char text[128], cut[128];
    if (!test_takes(16))
      continue;
    int n = 41 + (int)rng_below(&random_state, 40), seen = 0;
    for (int k = 0; k < n; k++)
      text[k] = (char)('0' + (k ? rng_below(&random_state, 10) : 1 + rng_below(&random_state, 9)));
    sprintf(text + n, "e%d", (int)rng_below(&random_state, 500) - 300);
    strcpy(cut, text);
    for (int k = 0; k < n; k++)
      if (++seen > 40)
        cut[k] = '0';
    double got = 0, want = strtod(cut, NULL);
    int ok = lqi_parse_double(text, strlen(text), &got);
    CHECK(ok && got == want, "%s: %d, %a, not %a", text, ok, got, want);
  }
}

/*
 * Midpoints between two doubles that have at most 40 digits, and one unit of the last digit either
 * side.
 */
static void test_ties(void)
{
  for (int i = 0; i < 20000; i++) {
    uint64_t m = ((uint64_t)1 << 53 | rng_u64(&random_state) >> 11) * 2 + 1;
    char text[64];
    if (!test_takes(16))
      continue;
    for (int d = -1; d <= 1; d++) {
      sprintf(text, "%llu", (unsigned long long)m + (unsigned long long)(int64_t)d);
      check_parse(text);
    }
    /* m / 2^k with k <= 10: at most 17 + 10 digits, printed exactly. */
    int k = 1 + (int)rng_below(&random_state, 10);
    long double exact = ldexpl((long double)m, -k);
    if ((double)sizeof(long double) > 8 && (uint64_t)ldexpl(exact, k) == m) {
      snprintf(text, sizeof text, "%.12Lf", exact);
      check_parse(text);
    }
  }
}

static void test_random(void)
{
  for (int i = 0, n = test_is_long() ? 1000000 : 50000; i < n; i++) {
    uint64_t u = rng_u64(&random_state);
    double x = double_of_bits(u);
    if (i % 4 == 1) { /* what nested_offset holds: a float */
      float f =
          (float)(rng_uniform(&random_state) * pow(10, (double)rng_below(&random_state, 20) - 12));
      x = (double)f;
    } else if (i % 4 == 2) { /* few digits */
      x = (double)rng_below(&random_state, 100000) *
          pow(10, (double)rng_below(&random_state, 40) - 20);
    } else if (i % 64 == 3) {
      x = ldexp(1, (int)rng_below(&random_state, 2098) - 1074);
    }
    if (!isfinite(x) || !test_takes(16))
      continue;
    check_format(x);
    char text[400];
    snprintf(text, sizeof text, i % 2 ? "%.*e" : "%.*g", (int)rng_below(&random_state, 40), x);
    if (!isinf(strtod(text, NULL)))
      check_parse(text);
  }
}

int main(void)
{
  test_known();
  test_grammar();
  test_overflow();
  test_long();
  test_ties();
  test_random();
  return test_end();
}
