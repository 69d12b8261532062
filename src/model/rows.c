/* rows.c - see rows.h. */
#include "rows.h"

#include <math.h>

enum { LANES = 4 };

/* Sum of (x - centre)^power for power 1 or 2, in four interleaved sums. */
static double power_sum(const float *x, size_t n, double centre, int power)
{
  double sum[LANES] = {0};

  for (size_t i = 0; i < n; i++) {
    double v = (double)x[i] - centre;

    sum[i % LANES] += power == 1 ? v : v * v;
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

static float activate(spec_act act, float x)
{
  const float root_half = 0.70710678118654752440f, root_2_pi = 0.79788456080286535588f;

  switch (act) {
  case SPEC_SILU: return x / (1 + expf(-x));
  case SPEC_GELU: return 0.5f * x * (1 + erff(x * root_half));
  case SPEC_GELU_TANH: return 0.5f * x * (1 + tanhf(root_2_pi * (x + 0.044715f * x * x * x)));
  case SPEC_GELU_QUICK: return x / (1 + expf(-1.702f * x));
  case SPEC_RELU: break;
  }
  return x > 0 || isnan(x) ? x : 0;
}

void rows_activate(spec_act act, float *x, size_t n)
{
  for (size_t i = 0; i < n; i++)
    x[i] = activate(act, x[i]);
}

void rows_activate_gated(spec_act act, float *gate, const float *up, size_t n)
{
  for (size_t i = 0; i < n; i++)
    gate[i] = activate(act, gate[i]) * up[i];
}

/* The largest value; NaN as soon as there is one. */
static float largest_value(const float *x, size_t n)
{
  float largest = -INFINITY;

  for (size_t i = 0; i < n; i++)
    if (x[i] > largest || isnan(x[i]))
      largest = x[i];
  return largest;
}

void rows_softmax(float *x, size_t n, float scale)
{
  float largest = largest_value(x, n) * scale, inverse;
  double sum = 0;

  for (size_t i = 0; i < n; i++) {
    x[i] = expf(x[i] * scale - largest);
    sum += (double)x[i];
  }
  inverse = (float)(1 / sum);
  for (size_t i = 0; i < n; i++)
    x[i] *= inverse;
}

double rows_log_sum_exp(const float *x, size_t n)
{
  float largest = largest_value(x, n);
  double sum = 0;

  for (size_t i = 0; i < n; i++)
    sum += (double)expf(x[i] - largest);
  return (double)largest + log(sum);
}

size_t rows_largest(const float *x, size_t n)
{
  size_t at = 0;

  for (size_t i = 1; i < n; i++)
    if (x[i] > x[at])
      at = i;
  return at;
}
