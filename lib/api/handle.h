/*
 * handle.h - the bodies of the three handles.
 *
 * Owns: what stands behind the incomplete types of libquant.h.
 * Must not know: how methods or layouts work. Nothing below lib/api sees this file.
 */
#ifndef LQI_HANDLE_H
#define LQI_HANDLE_H

#include "../layout/layout.h"

struct lq_config {
  struct lqi_mem mem;
  struct lqi_par par;
  int64_t method, block_size, nested, nested_block_size, compat, nonfinite;
  int64_t bits, group_size, symmetric, zero_borrow;
  int64_t storage, order, static_groups, compute;
  double threshold, absmax, mse, damping, input_correction;
  struct lqi_text error;
};

struct lq_tensor {
  struct lqi_mem mem;
  struct lqi_store store;
  struct lqi_text meta; /* text planes of the two layouts */
  struct lqi_text state;
  void *owned; /* one block that holds all planes; NULL where they are the caller's */
  uint64_t owned_bytes;
  int32_t writable; /* made by lq_tensor_create */
};

struct lq_quantizer {
  struct lqi_mem mem;
  struct lqi_par par;
  struct lqi_params params;
  struct lqi_text error;
  lq_report report;
  int32_t has_run;
  struct lqi_calibration *calibration; /* NULL before the first observation */
};

/* Defaults that tell a key which was not set, where it does not apply. */
#define LQI_DEFAULT_BITS 4
#define LQI_DEFAULT_GROUP_SIZE 128

/* tensor.c: a handle for a finished store; planes in `owned` become its property, also on failure.
 */
lq_status lqi_tensor_adopt(const struct lqi_mem *mem, const struct lqi_store *store, void *owned,
                           uint64_t owned_bytes, lq_tensor **out);

/*
 * tensor.c: one block of memory for all planes whose sizes store->method->layout gives, and for the
 * packed ones of the sizes that their spans have; spans of *store are set. Spans that point
 * somewhere already keep their contents: they are copied in.
 */
lq_status lqi_planes_alloc(const struct lqi_mem *mem, struct lqi_store *store, void **owned,
                           uint64_t *owned_bytes);

/* config.c: the method id that the key "storage" names. */
int32_t lqi_storage_of(const lq_config *config);

/* The executor of a call: that of `how`, or the default for NULL. */
struct lqi_par lqi_par_of(const lq_config *how);

LQI_INLINE int lqi_misaligned(const void *p, int32_t dtype)
{
  return (uintptr_t)p % lqi_dtype_size(dtype) != 0;
}

/* How many tasks `elements` of work is cut into: by its size alone, so that results cannot depend
 * on threads. */
#define LQI_TASK_ELEMENTS (UINT64_C(1) << 17)

/* How many tasks at once pay for so many. */
LQI_INLINE uint64_t lqi_workers_for(const struct lqi_par *par, uint64_t elements)
{
  const uint32_t workers = lqi_par_workers(par);
  return workers > 1 && elements >= LQI_TASK_ELEMENTS ? workers : 1;
}

#endif
