/*
 * quantize_tensor.c - quantizes a matrix, lists the arrays that a checkpoint would hold, and
 * restores it from them.
 *
 *     cc quantize_tensor.c $(pkg-config --cflags --libs libquant) -o quantize_tensor
 */
#include <libquant.h>

#include <stdio.h>

enum { ROWS = 128, COLUMNS = 256 };

static float w[ROWS * COLUMNS], back[ROWS * COLUMNS];

/* nf4 with quantized scales: about 4.13 bits per weight. */
static lq_status make(lq_config *config, const lq_tensor *dense, lq_tensor **out)
{
  lq_quantizer *quantizer = NULL;
  lq_status s = lq_quantizer_create(config, &quantizer);
  if (s != LQ_OK) {
    fprintf(stderr, "%s: %s\n", lq_status_string(s), lq_config_error_text(config));
    return s;
  }
  s = lq_quantizer_run(quantizer, dense, out);
  if (s != LQ_OK)
    fprintf(stderr, "%s: %s\n", lq_status_string(s), lq_quantizer_error_text(quantizer));
  lq_quantizer_destroy(quantizer);
  return s;
}

/* The planes are what a program writes to a file, under these names behind the module's path. */
static uint32_t list(const lq_tensor *t, lq_plane *planes, uint32_t room)
{
  static const char *const dtypes[] = {"", "F32", "F16", "BF16", "I8", "U8", "I32", "I64"};
  uint32_t count = lq_tensor_plane_count(t, LQ_LAYOUT_BITSANDBYTES);
  for (uint32_t i = 0; i < count && i < room; i++) {
    lq_plane *p = &planes[i];
    p->size = sizeof *p;
    if (lq_tensor_plane(t, LQ_LAYOUT_BITSANDBYTES, i, p) != LQ_OK)
      return 0;
    printf("%-40s %-4s [", p->name, dtypes[p->dtype]);
    for (uint32_t d = 0; d < p->ndim; d++)
      printf("%s%llu", d ? ", " : "", (unsigned long long)p->dims[d]);
    printf("] %llu bytes\n", (unsigned long long)p->bytes);
  }
  return count;
}

static lq_status run(lq_config *config)
{
  const uint64_t shape[2] = {ROWS, COLUMNS};
  lq_tensor *dense = NULL, *small = NULL, *loaded = NULL;
  lq_plane planes[8];
  lq_metrics m = {.size = sizeof m};
  lq_status s = lq_tensor_wrap(NULL, LQ_F32, 2, shape, w, sizeof w, &dense);
  if (s == LQ_OK)
    s = make(config, dense, &small);
  if (s == LQ_OK) {
    uint32_t count = list(small, planes, 8);
    /* borrow = 1: `loaded` uses the arrays of `small`, which must live longer. */
    s = lq_tensor_from_planes(config, LQ_LAYOUT_BITSANDBYTES, planes, count, 0, NULL, 1, &loaded);
  }
  if (s == LQ_OK)
    s = lq_dequantize(loaded, LQ_F32, back, sizeof back, NULL);
  if (s == LQ_OK)
    s = lq_compare(dense, loaded, &m, NULL);
  if (s == LQ_OK)
    printf("%.3f bits per weight, SQNR %.2f dB; %f became %f\n", lq_tensor_bits_per_weight(loaded),
           m.sqnr_db, (double)w[5], (double)back[5]);
  lq_tensor_destroy(loaded);
  lq_tensor_destroy(small);
  lq_tensor_destroy(dense);
  return s;
}

int main(void)
{
  lq_config *config = NULL;
  for (int i = 0; i < ROWS * COLUMNS; i++)
    w[i] = (float)(i % 17 - 8) * 0.01f;
  lq_status s = lq_config_create(NULL, &config);
  if (s == LQ_OK)
    s = lq_config_set_text(config, "method", "nf4");
  if (s == LQ_OK)
    s = lq_config_set_i64(config, LQ_KEY_NESTED, 1);
  if (s == LQ_OK)
    s = run(config);
  if (s != LQ_OK)
    fprintf(stderr, "failed: %s\n", lq_status_string(s));
  lq_config_destroy(config);
  return s == LQ_OK ? 0 : 1;
}
