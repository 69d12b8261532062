/* huge.c - madvise(MADV_HUGEPAGE), which Linux has beyond POSIX. */
#define _DEFAULT_SOURCE

#include "huge.h"

#include <sys/mman.h>

void huge_advise(void *block, size_t bytes)
{
#ifdef MADV_HUGEPAGE
  (void)madvise(block, bytes, MADV_HUGEPAGE);
#else
  (void)block;
  (void)bytes;
#endif
}
