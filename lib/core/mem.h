/*
 * mem.h - memory from the caller's hook or from malloc.
 *
 * Owns: the one path that every allocation of the library takes.
 * Must not know: what is stored.
 */
#ifndef LQI_MEM_H
#define LQI_MEM_H

#include "base.h"

/* Planes start at cache lines, so that vectors of every width find them aligned. */
#define LQI_ALIGNMENT 64

struct lqi_mem {
  lq_alloc hook;
};

/* Copies the caller's hook, or takes malloc for NULL. LQ_E_VERSION for a size that is not known,
 * LQ_E_ARGUMENT. */
lq_status lqi_mem_init(struct lqi_mem *mem, const lq_alloc *hook);

/* At least one byte at a multiple of LQI_ALIGNMENT; NULL when there is none or `bytes` exceeds
 * size_t. */
void *lqi_alloc(const struct lqi_mem *mem, uint64_t bytes);

/* Returns what lqi_alloc gave for the same number of bytes; NULL is allowed. */
void lqi_free(const struct lqi_mem *mem, void *p, uint64_t bytes);

#endif
