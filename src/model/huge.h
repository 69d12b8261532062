/*
 * huge.h - huge pages, where the system has them.
 *
 * Owns: the one call that is not POSIX. Must not know: who asks.
 */
#ifndef QUANT_MODEL_HUGE_H
#define QUANT_MODEL_HUGE_H

#include <stddef.h>

enum { HUGE_PAGE = 1 << 21 };

/* Asks for huge pages under a block that starts at a multiple of HUGE_PAGE; it is only a wish. */
void huge_advise(void *block, size_t bytes);

#endif
