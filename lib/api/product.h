/*
 * product.h - what the ways to y = x W^T share: the caller's x and y, and the way by 8-bit
 * integers.
 *
 * Owns: nothing.
 * Must not know: any one method.
 */
#ifndef LQI_PRODUCT_H
#define LQI_PRODUCT_H

#include "handle.h"

/* Rows of W, and m rows of x. */
struct lqi_input {
  const struct lqi_store *weight;
  const struct lqi_kernels *kern;
  uint64_t first, rows; /* of W */
  uint64_t m, stride;
  int32_t dtype;
  const void *x;
  int fast;
  int form; /* of W's rows, or -1: kernels do not take them, the method decodes them */
};

struct lqi_output {
  const struct lqi_kernels *kern;
  const float *bias;
  int32_t dtype;
  void *y;
  uint64_t stride;
};

/* product.c: rows of sums, `apart` from each other, + bias to rows first .. of y from column n. */
void lqi_product_store(const struct lqi_output *out, float *sums, uint64_t apart, uint64_t first,
                       uint64_t rows, uint64_t n, uint64_t count);

/* product_bytes.c: whether this product has a way by 8-bit integers; and that way, LQ_E_MEMORY or
 * done. */
int lqi_takes_bytes(const struct lqi_input *in);
lq_status lqi_multiply_bytes(const struct lqi_mem *mem, const struct lqi_par *par,
                             const struct lqi_input *in, const struct lqi_output *out);

#endif
