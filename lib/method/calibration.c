/*
 * calibration.c - the moments of a layer's inputs: made, stored, merged.
 *
 * Owns: the image of a calibration.
 * Must not know: factors (factor.c), methods.
 *
 * The image, all numbers little-endian: "LQCALIB1", u64 columns, u64 rows, u64 rows that wait; then
 * f64 sums (i, j), j <= i, row by row; then the rows that wait, f32. Of pairs x, y it begins with
 * "LQCALIB2"; behind the sums are those of (y - x) x^T, f64, row by row, behind the rows that wait
 * the y of each, f32.
 */
#include "calibration.h"

#define MAGIC "LQCALIB1"
#define PAIRED_MAGIC "LQCALIB2"
#define HEAD 32

lq_status lqi_calibration_create(const struct lqi_mem *mem, uint64_t columns, int paired,
                                 struct lqi_calibration **out)
{
  struct lqi_calibration *c = lqi_alloc(mem, sizeof *c);
  *out = NULL;
  if (c == NULL)
    return LQ_E_MEMORY;
  *c = (struct lqi_calibration){.mem = *mem};
  lq_status s = lqi_moments_create(&c->moments, mem, lqi_kernels(), columns);
  if (s == LQ_OK && paired) {
    s = lqi_moments_pair(&c->moments);
    if (s != LQ_OK)
      lqi_moments_destroy(&c->moments);
  }
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

int lqi_calibration_is_paired(const struct lqi_calibration *c)
{
  return c->moments.cross != NULL;
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

static uint8_t *put_f64(uint8_t *to, double v)
{
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  return put_u64(to, bits);
}

static double get_f64(const uint8_t *from)
{
  uint64_t bits = get_u64(from);
  double v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

static uint8_t *put_f32(uint8_t *to, float v)
{
  uint32_t bits = lqi_f32_bits(v);
  for (int b = 0; b < 4; b++)
    *to++ = (uint8_t)(bits >> (8 * b));
  return to;
}

/* n <= UINT32_MAX, waiting < LQI_MOMENTS_WAITING; 0 if it does not fit. */
static uint64_t image_bytes(uint64_t n, uint64_t waiting, int paired)
{
  uint64_t sums = n * (n + 1) / 2 + (paired ? n * n : 0), bytes;
  if (lqi_mul_overflows(sums, sizeof(double), &bytes))
    return 0;
  sums = HEAD + waiting * n * (paired ? 2 : 1) * sizeof(float);
  return bytes > UINT64_MAX - sums ? 0 : bytes + sums;
}

uint64_t lqi_calibration_bytes(const struct lqi_calibration *c)
{
  return image_bytes(c->moments.n, c->moments.waiting, lqi_calibration_is_paired(c));
}

void lqi_calibration_save(const struct lqi_calibration *c, uint8_t *out)
{
  const struct lqi_moments *h = &c->moments;
  int paired = lqi_calibration_is_paired(c);
  memcpy(out, paired ? PAIRED_MAGIC : MAGIC, 8);
  out = put_u64(out + 8, h->n);
  out = put_u64(out, h->rows);
  out = put_u64(out, h->waiting);
  for (size_t i = 0; i < h->n; i++)
    for (size_t j = 0; j <= i; j++)
      out = put_f64(out, h->sum[lqi_lower_at(i, j)]);
  for (size_t i = 0; paired && i < h->n; i++)
    for (size_t j = 0; j < h->n; j++)
      out = put_f64(out, h->cross[i * h->padded + j]);
  for (size_t k = 0; k < h->waiting; k++)
    for (size_t i = 0; i < h->n; i++)
      out = put_f32(out, lqi_moments_waiting(h, k, i));
  for (size_t k = 0; paired && k < h->waiting; k++)
    for (size_t i = 0; i < h->n; i++)
      out = put_f32(out, lqi_moments_waiting_other(h, k, i));
}

static void get_row(const uint8_t *data, size_t n, float *row)
{
  for (size_t i = 0; i < n; i++, data += 4)
    row[i] = lqi_f32_from_bits((uint32_t)data[0] | (uint32_t)data[1] << 8 |
                               (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24);
}

/* Rows that wait go in one at a time, as they came. */
static lq_status load_waiting(struct lqi_moments *h, const uint8_t *data, uint64_t rows)
{
  static const struct lqi_par serial = {NULL, NULL, 1};
  size_t n = h->n, step = n * sizeof(float);
  float *x = lqi_alloc(&h->mem, 2 * step);
  if (x == NULL)
    return LQ_E_MEMORY;
  for (uint64_t k = 0; k < rows; k++, data += step) {
    get_row(data, n, x);
    if (h->cross == NULL) {
      lqi_moments_add(h, x, 1, n, &serial);
      continue;
    }
    get_row(data + rows * step, n, x + n);
    lqi_moments_add_pairs(h, &(struct lqi_row_pairs){x, x + n, n, n}, 1, &serial);
  }
  lqi_free(&h->mem, x, 2 * step);
  return LQ_OK;
}

lq_status lqi_calibration_load(const struct lqi_mem *mem, const uint8_t *data, uint64_t bytes,
                               struct lqi_calibration **out, struct lqi_text *why)
{
  *out = NULL;
  int paired = bytes >= HEAD && memcmp(data, PAIRED_MAGIC, 8) == 0;
  if (bytes < HEAD || (!paired && memcmp(data, MAGIC, 8) != 0))
    return lqi_fail(why, LQ_E_LAYOUT, "not a calibration of this format", NULL);
  uint64_t n = get_u64(data + 8), rows = get_u64(data + 16), waiting = get_u64(data + 24);
  if (n > UINT32_MAX || waiting >= LQI_MOMENTS_WAITING || waiting > rows ||
      image_bytes(n, waiting, paired) != bytes)
    return lqi_fail(why, LQ_E_LAYOUT, "the calibration has a length that its head does not tell",
                    NULL);
  lq_status s = lqi_calibration_create(mem, n, paired, out);
  if (s != LQ_OK)
    return s;
  struct lqi_moments *h = &(*out)->moments;
  data += HEAD;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j <= i; j++, data += 8)
      h->sum[lqi_lower_at(i, j)] = get_f64(data);
  for (size_t i = 0; paired && i < n; i++)
    for (size_t j = 0; j < n; j++, data += 8)
      h->cross[i * h->padded + j] = get_f64(data);
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
