/*
 * bytes_c.c - products of coded rows in 8 bits, portable C.
 *
 * Owns: the specification of the integers of x, of the bytes of weights, and of their products.
 * Must not know: which method has which form.
 */
#include "kern_c.h"

#include <math.h>
#include <string.h>

#define BYTES_LEAST 0x1p-100f

/* Adding and taking off 1.5 * 2^23 rounds to the nearest integer, ties to even. */
#define BYTES_ROUND 12582912.0f

float lqi_byte_book(const float book[16], uint8_t out[16])
{
  float most = 0.0f;
  for (size_t i = 0; i < 16; i++)
    most = fabsf(book[i]) > most ? fabsf(book[i]) : most;
  if (!(most >= BYTES_LEAST))
    most = 1.0f;
  for (size_t i = 0; i < 16; i++)
    out[i] = (uint8_t)(128 + (int)nearbyintf(book[i] / most * 127.0f));
  return most / 127.0f;
}

/* Four columns; their sum. */
LQI_INLINE int32_t bytes_c_round(const float *x, float by, int8_t *q)
{
  int32_t sum = 0;
  for (size_t c = 0; c < 4; c++) {
    int32_t v = (int32_t)(lqi_f32_bits(x[c] * by + BYTES_ROUND) - lqi_f32_bits(BYTES_ROUND));
    q[c] = (int8_t)v;
    sum += v;
  }
  return sum;
}

void lqi_byte_round_c(const float *x, size_t n, const struct lqi_byte_x *out, size_t r)
{
  int8_t *q = out->q + 4 * r;
  for (size_t u = 0; u < n / out->unit; u++) {
    float most = lqi_absmax_any(x, LQ_F32, 0, out->unit);
    int usual = most >= BYTES_LEAST && most <= 0x1.fffffep127f;
    int32_t sum = 0;
    for (const float *end = x + out->unit; x < end; x += 4, q += 4 * LQI_BYTE_PANEL)
      if (usual)
        sum += bytes_c_round(x, 127.0f / most, q);
      else
        memset(q, 0, 4);
    out->t[u * LQI_BYTE_PANEL + r] = usual                ? most / 127.0f
                                     : most < BYTES_LEAST ? 0.0f
                                                          : lqi_f32_from_bits(LQI_CANONICAL_NAN);
    out->minus[u * LQI_BYTE_PANEL + r] = -sum;
  }
}

/* ---- Weights ---- */

/* Eight codes of b bits from b bytes; `swap`: the first of two is the higher one. */
LQI_INLINE void bytes_c_eight(const uint8_t *from, uint32_t bits, int swap, uint8_t *to)
{
  uint32_t word = 0;
  for (uint32_t i = 0; i < bits; i++)
    word |= (uint32_t)from[i] << 8 * i;
  for (uint32_t i = 0; i < 8; i++)
    to[i ^ (uint32_t)swap] = (uint8_t)(word >> bits * i & ((1u << bits) - 1u));
}

LQI_INLINE void bytes_c_low(const struct lqi_strip *w, uint32_t bits, size_t rows, size_t n,
                            uint8_t *out, size_t stride)
{
  for (size_t r = 0; r < rows; r++)
    for (size_t k = 0; k < n; k += 8)
      bytes_c_eight(w->codes + r * w->row_bytes + k / 8 * bits, bits, 0, out + r * stride + k);
}

void lqi_strip_bytes_low2_c(const struct lqi_strip *w, size_t rows, size_t n, uint8_t *out,
                            size_t stride)
{
  bytes_c_low(w, 2, rows, n, out, stride);
}

void lqi_strip_bytes_low3_c(const struct lqi_strip *w, size_t rows, size_t n, uint8_t *out,
                            size_t stride)
{
  bytes_c_low(w, 3, rows, n, out, stride);
}

void lqi_strip_bytes_low4_c(const struct lqi_strip *w, size_t rows, size_t n, uint8_t *out,
                            size_t stride)
{
  bytes_c_low(w, 4, rows, n, out, stride);
}

void lqi_strip_bytes_book4_c(const struct lqi_strip *w, size_t rows, size_t n, uint8_t *out,
                             size_t stride)
{
  uint8_t book[16];
  lqi_byte_book(w->book, book);
  for (size_t r = 0; r < rows; r++)
    for (size_t k = 0; k < n; k += 8) {
      uint8_t *to = out + r * stride + k;
      bytes_c_eight(w->codes + r * w->row_bytes + k / 2, 4, 1, to);
      for (size_t i = 0; i < 8; i++)
        to[i] = book[to[i]];
    }
}

void lqi_strip_bytes_u8_c(const struct lqi_strip *w, size_t rows, size_t n, uint8_t *out,
                          size_t stride)
{
  for (size_t r = 0; r < rows; r++)
    memcpy(out + r * stride, w->codes + r * w->row_bytes, n);
}

void lqi_strip_bytes_i8_c(const struct lqi_strip *w, size_t rows, size_t n, uint8_t *out,
                          size_t stride)
{
  uint64_t eight;
  for (size_t r = 0; r < rows; r++)
    for (size_t k = 0; k < n; k += sizeof eight) {
      memcpy(&eight, w->codes + r * w->row_bytes + k, sizeof eight);
      eight ^= UINT64_C(0x8080808080808080);
      memcpy(out + r * stride + k, &eight, sizeof eight);
    }
}

/* ---- Products ---- */

/* Columns first .. of a unit, of row l of W and row j of x. */
LQI_INLINE int32_t bytes_c_sum(const struct lqi_byte_w *w, const struct lqi_byte_x *x, size_t l,
                               size_t j, size_t first)
{
  int32_t sum = 0;
  for (size_t k = first; k < first + x->unit; k++)
    sum += (int32_t)w->c[(k / 4 * LQI_BYTE_ROWS + l) * 4 + k % 4] *
           x->q[(k / 4 * LQI_BYTE_PANEL + j) * 4 + k % 4];
  return sum;
}

void lqi_byte_dots_c(const struct lqi_byte_w *w, const struct lqi_byte_x *x, size_t m, float *out,
                     size_t stride)
{
  for (size_t j = 0; j < m; j++)
    for (size_t l = 0; l < LQI_BYTE_ROWS; l++) {
      float sum = 0.0f;
      for (size_t u = 0; u < x->n / x->unit; u++) {
        const float *grid = w->grid + u * x->unit / w->group * w->numbers * LQI_BYTE_ROWS + l;
        const size_t of = u * LQI_BYTE_PANEL + j;
        int32_t zero = w->numbers == 2 ? (int32_t)grid[LQI_BYTE_ROWS] : 128;
        int32_t whole = zero * x->minus[of] + bytes_c_sum(w, x, l, j, u * x->unit);
        sum = fmaf((float)whole, grid[0] * w->step * x->t[of], sum);
      }
      out[j * stride + l] = sum;
    }
}
