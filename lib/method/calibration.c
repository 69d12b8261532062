/*
 * calibration.c - the moments of a layer's inputs: made, stored, merged.
 *
 * Owns: the image of a calibration.
 * Must not know: factors (factor.c), methods.
 *
 * The image, all numbers little-endian: "LQCALIB1", u64 columns, u64 rows, u64 rows that wait; then
 * f64 sums (i, j), j <= i, row by row; then the rows that wait, f32.
 */
#include "calibration.h"

#define MAGIC "LQCALIB1"
#define HEAD 32

lq_status lqi_calibration_create(const struct lqi_mem *mem, uint64_t columns,
                                 struct lqi_calibration **out)
{
  struct lqi_calibration *c = lqi_alloc(mem, sizeof *c);
  *out = NULL;
  if (c == NULL)
    return LQ_E_MEMORY;
  *c = (struct lqi_calibration){.mem = *mem};
  lq_status s = lqi_moments_create(&c->moments, mem, lqi_kernels(), columns);
  if (s != LQ_OK)
    lqi_free(mem, c, sizeof *c);
  else
    *out = c;
  return s;
}

void lqi_calibration_destroy(struct lqi_calibration *c)
{
  if (c == NULL)
    return;
  struct lqi_mem mem = c->mem;
  lqi_calibration_changed(c);
  lqi_moments_destroy(&c->moments);
  lqi_free(&mem, c, sizeof *c);
}

static uint8_t *put_u64(uint8_t *to, uint64_t v)
{
  for (int i = 0; i < 8; i++)
    to[i] = (uint8_t)(v >> (8 * i));
  return to + 8;
}

static uint64_t get_u64(const uint8_t *from)
{
  uint64_t v = 0;
  for (int i = 0; i < 8; i++)
    v |= (uint64_t)from[i] << (8 * i);
  return v;
}

static uint64_t image_bytes(uint64_t n, uint64_t waiting)
{
  return HEAD + n * (n + 1) / 2 * sizeof(double) + waiting * n * sizeof(float);
}

uint64_t lqi_calibration_bytes(const struct lqi_calibration *c)
{
  return image_bytes(c->moments.n, c->moments.waiting);
}

void lqi_calibration_save(const struct lqi_calibration *c, uint8_t *out)
{
  const struct lqi_moments *h = &c->moments;
  memcpy(out, MAGIC, 8);
  out = put_u64(out + 8, h->n);
  out = put_u64(out, h->rows);
  out = put_u64(out, h->waiting);
  for (size_t i = 0; i < h->n; i++)
    for (size_t j = 0; j <= i; j++) {
      uint64_t bits;
      memcpy(&bits, &h->sum[lqi_lower_at(i, j)], sizeof bits);
      out = put_u64(out, bits);
    }
  for (size_t k = 0; k < h->waiting; k++)
    for (size_t i = 0; i < h->n; i++) {
      uint32_t bits = lqi_f32_bits(lqi_moments_waiting(h, k, i));
      for (int b = 0; b < 4; b++)
        *out++ = (uint8_t)(bits >> (8 * b));
    }
}

/* Rows that wait go in one at a time, as they came. */
static lq_status load_waiting(struct lqi_moments *h, const uint8_t *data, uint64_t rows)
{
  static const struct lqi_par serial = {NULL, NULL, 1};
  float *row = lqi_alloc(&h->mem, h->n * sizeof *row);
  if (row == NULL)
    return LQ_E_MEMORY;
  for (uint64_t k = 0; k < rows; k++) {
    for (size_t i = 0; i < h->n; i++, data += 4)
      row[i] = lqi_f32_from_bits((uint32_t)data[0] | (uint32_t)data[1] << 8 |
                                 (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24);
    lqi_moments_add(h, row, 1, h->n, &serial);
  }
  lqi_free(&h->mem, row, h->n * sizeof *row);
  return LQ_OK;
}

lq_status lqi_calibration_load(const struct lqi_mem *mem, const uint8_t *data, uint64_t bytes,
                               struct lqi_calibration **out, struct lqi_text *why)
{
  *out = NULL;
  if (bytes < HEAD || memcmp(data, MAGIC, 8) != 0)
    return lqi_fail(why, LQ_E_LAYOUT, "not a calibration of this format", NULL);
  uint64_t n = get_u64(data + 8), rows = get_u64(data + 16), waiting = get_u64(data + 24);
  if (n > UINT32_MAX || waiting >= LQI_MOMENTS_WAITING || waiting > rows ||
      image_bytes(n, waiting) != bytes)
    return lqi_fail(why, LQ_E_LAYOUT, "the calibration has a length that its head does not tell",
                    NULL);
  lq_status s = lqi_calibration_create(mem, n, out);
  if (s != LQ_OK)
    return s;
  struct lqi_moments *h = &(*out)->moments;
  data += HEAD;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j <= i; j++, data += 8) {
      uint64_t bits = get_u64(data);
      memcpy(&h->sum[lqi_lower_at(i, j)], &bits, sizeof bits);
    }
  h->rows = rows - waiting;
  s = load_waiting(h, data, waiting);
  if (s != LQ_OK) {
    lqi_calibration_destroy(*out);
    *out = NULL;
  }
  return s;
}

lq_status lqi_calibration_merge(struct lqi_calibration *c, const struct lqi_calibration *from,
                                const struct lqi_par *par)
{
  lqi_calibration_changed(c);
  return lqi_moments_merge(&c->moments, &from->moments, par);
}
