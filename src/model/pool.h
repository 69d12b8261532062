/*
 * pool.h - memory that is used again.
 *
 * Owns: blocks that were given back. Must not know: what they hold. A fresh block of some megabytes
 * costs a page fault every 4 KiB, which takes longer than quantizing what is written there; a model
 * is hundreds of tensors of few sizes, so a block given back nearly always fits the next one. Any
 * thread.
 */
#ifndef QUANT_MODEL_POOL_H
#define QUANT_MODEL_POOL_H

#include "../files/fail.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct pool pool;

enum { POOL_ALIGNMENT = 64 };

/* `keep`: bytes of free blocks that are held back at most. `huge`: ask the system for huge pages.
 * */
bool pool_create(pool **out, size_t keep, bool huge, fail *why);

/* Every block must have been given back. NULL is fine. */
void pool_destroy(pool *p);

/* At least `bytes` bytes at a multiple of POOL_ALIGNMENT, not cleared; NULL without memory. */
void *pool_take(pool *p, size_t bytes);
void pool_give(pool *p, void *block); /* NULL is fine */

/* The pool as the allocator of library handles; it must outlive them. */
lq_alloc pool_alloc(pool *p);

#endif
