/*
 * dots_i8_c.c - inner products of rows of 8-bit codes, portable C.
 *
 * Owns: the specification of dots_i8.
 * Must not know: what the codes stand for.
 */
#include "kern_c.h"

int32_t lqi_dot_i8_part(const uint8_t *a, const uint8_t *b, size_t n)
{
  int32_t sum = 0;
  for (size_t k = 0; k < n; k++)
    sum += (int8_t)a[k] * ((int32_t)b[k] - 128);
  return sum;
}

void lqi_dots_i8_c(struct lqi_bytes a, struct lqi_bytes b, size_t n, int32_t *out, size_t stride)
{
  for (size_t i = 0; i < a.count; i++)
    for (size_t j = 0; j < b.count; j++)
      out[j * stride + i] = lqi_dot_i8_part(a.from + i * a.stride, b.from + j * b.stride, n);
}
