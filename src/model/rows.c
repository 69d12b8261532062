/*
 * rows.c - see rows.h.
 *
 * Most of what a network does beside products is taking exponentials, of every score and gate. They
 * are computed here, in loops of a fixed length without branches, of which compilers make vector
 * instructions.
 */
#include "rows.h"

#include <math.h>
#include <string.h>

enum { SUMS = 4, LANES = 16, PIECE = 256 };

/* Sum of (x - centre)^power for power 1 or 2, in four interleaved sums. */
static double power_sum(const float *x, size_t n, double centre, int power)
{
  double sum[SUMS] = {0};

  for (size_t i = 0; i < n; i++) {
    double v = (double)x[i] - centre;

    sum[i % SUMS] += power == 1 ? v : v * v;
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void rows_rms_norm(float *out, const float *x, size_t n, const float *weight, double eps)
{
  float scale = (float)(1 / sqrt(power_sum(x, n, 0, 2) / (double)n + eps));

  for (size_t i = 0; i < n; i++)
    out[i] = weight[i] * (x[i] * scale);
}

void rows_layer_norm(float *out, const float *x, size_t n, const float *weight, const float *bias,
                     double eps)
{
  double mean = power_sum(x, n, 0, 1) / (double)n;
  double scale = 1 / sqrt(power_sum(x, n, mean, 2) / (double)n + eps);

  for (size_t i = 0; i < n; i++) {
    float v = (float)(((double)x[i] - mean) * scale);

    out[i] = (weight ? v * weight[i] : v) + (bias ? bias[i] : 0);
  }
}

/* ---- exponentials ---- */

static inline uint32_t bits_of(float x)
{
  uint32_t bits;

  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float float_of(uint32_t bits)
{
  float x;

  memcpy(&x, &bits, sizeof x);
  return x;
}

/*
 * exp(x) = 2^k exp(r), |r| <= log(2) / 2. Adding 1.5 * 2^23 rounds x / log(2) to the whole number k
 * and leaves it in the last bits; log(2) is subtracted in two parts, the first with few bits, so
 * that its product with k is exact. The polynomial of exp(r) is that of S. L. Moshier's Cephes
 * library. What is out of range is told apart by masks: gcc makes no vectors of a choice at -O2.
 */
static inline float exp_of(float x)
{
  const float magic = 12582912.0f;
  uint32_t high = 0u - (uint32_t)(x > 88.02969f), odd = 0u - (uint32_t)(x != x);
  uint32_t inside = ~(high | odd | (0u - (uint32_t)(x < -87.33654f)));
  float c = float_of(bits_of(x) & inside);
  float shifted = c * 1.44269504088896341f + magic, k = shifted - magic;
  float r = c - k * 0.693359375f - k * -2.12194440e-4f, p;

  p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1;
  return float_of(((bits_of(p) + (bits_of(shifted) << 23)) & inside) | (bits_of(INFINITY) & high) |
                  (bits_of(x) & odd));
}

static void exp_lanes(float *x)
{
  for (size_t i = 0; i < LANES; i++)
    x[i] = exp_of(x[i]);
}

void rows_exp(float *x, size_t n)
{
  float last[LANES] = {0};
  size_t whole = n - n % LANES;

  for (size_t i = 0; i < whole; i += LANES)
    exp_lanes(x + i);
  memcpy(last, x + whole, (n - whole) * sizeof *x);
  exp_lanes(last);
  memcpy(x + whole, last, (n - whole) * sizeof *x);
}

/* Largest of what is a number. */
static float largest_value(const float *x, size_t n)
{
  float lane[LANES], largest = -INFINITY;
  size_t whole = n - n % LANES;

  for (size_t l = 0; l < LANES; l++)
    lane[l] = -INFINITY;
  for (size_t i = 0; i < whole; i += LANES)
    for (size_t l = 0; l < LANES; l++)
      lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
  for (size_t l = 0; l < LANES; l++)
    largest = lane[l] > largest ? lane[l] : largest;
  for (size_t i = whole; i < n; i++)
    largest = x[i] > largest ? x[i] : largest;
  return largest;
}

/* Sum of numbers from 0 to 1: of 16 in f32, by halves; of all in double precision. */
static double sum_of(const float *x, size_t n)
{
  float half[LANES];
  size_t whole = n - n % LANES;
  double sum = 0;

  for (size_t i = 0; i < whole; i += LANES) {
    memcpy(half, x + i, sizeof half);
    for (size_t l = 0; l < LANES / 2; l++)
      half[l] += half[l + LANES / 2];
    for (size_t l = 0; l < LANES / 4; l++)
      half[l] += half[l + LANES / 4];
    sum += (double)((half[0] + half[2]) + (half[1] + half[3]));
  }
  for (size_t i = whole; i < n; i++)
    sum += (double)x[i];
  return sum;
}

/* x = x * scale - shift. In place: of two pointers a compiler must fear that they overlap. */
static void scale_and_shift(float *x, size_t n, float scale, float shift)
{
  size_t whole = n - n % LANES;

  for (size_t i = 0; i < whole; i += LANES)
    for (size_t l = 0; l < LANES; l++)
      x[i + l] = x[i + l] * scale - shift;
  for (size_t i = whole; i < n; i++)
    x[i] = x[i] * scale - shift;
}

void rows_softmax(float *x, size_t n, float scale)
{
  scale_and_shift(x, n, scale, largest_value(x, n) * scale);
  rows_exp(x, n);
  scale_and_shift(x, n, (float)(1 / sum_of(x, n)), 0);
}

double rows_log_sum_exp(const float *x, size_t n)
{
  float largest = largest_value(x, n), piece[PIECE];
  double sum = 0;

  for (size_t at = 0; at < n; at += PIECE) {
    size_t count = n - at < PIECE ? n - at : PIECE;

    memcpy(piece, x + at, count * sizeof *x);
    scale_and_shift(piece, count, 1, largest);
    rows_exp(piece, count);
    sum += sum_of(piece, count);
  }
  /* cppcheck-suppress invalidFunctionArg; n > 0, and the largest value alone adds 1 */
  return (double)largest + log(sum);
}

/* ---- activations ---- */

static float activate(spec_act act, float x)
{
  const float root_half = 0.70710678118654752440f, root_2_pi = 0.79788456080286535588f;

  if (act == SPEC_GELU)
    return 0.5f * x * (1 + erff(x * root_half));
  if (act == SPEC_GELU_TANH)
    return 0.5f * x * (1 + tanhf(root_2_pi * (x + 0.044715f * x * x * x)));
  return x > 0 || isnan(x) ? x : 0; /* SPEC_RELU */
}

/* x sigmoid(slope x), at most PIECE numbers. */
static void swish(float *x, size_t n, float slope)
{
  float e[PIECE];

  memcpy(e, x, n * sizeof *x);
  scale_and_shift(e, n, -slope, 0);
  rows_exp(e, n);
  for (size_t i = 0; i < n; i++)
    x[i] /= 1 + e[i];
}

void rows_activate(spec_act act, float *x, size_t n)
{
  if (act == SPEC_SILU || act == SPEC_GELU_QUICK)
    for (size_t at = 0; at < n; at += PIECE)
      swish(x + at, n - at < PIECE ? n - at : PIECE, act == SPEC_SILU ? 1 : 1.702f);
  else
    for (size_t i = 0; i < n; i++)
      x[i] = activate(act, x[i]);
}

void rows_activate_gated(spec_act act, float *gate, const float *up, size_t n)
{
  rows_activate(act, gate, n);
  for (size_t i = 0; i < n; i++)
    gate[i] *= up[i];
}

size_t rows_largest(const float *x, size_t n)
{
  size_t at = 0;

  for (size_t i = 1; i < n; i++)
    if (x[i] > x[at])
      at = i;
  return at;
}
