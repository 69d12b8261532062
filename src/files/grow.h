/*
 * grow.h - arrays that grow. Owns: how much room is asked for. Must not know: what is in them.
 */
#ifndef QUANT_FILES_GROW_H
#define QUANT_FILES_GROW_H

#include <stddef.h>

/* `items` (NULL at first) with room for `least` items of `size` bytes or more, perhaps elsewhere,
 * and `*capacity` how many. Without memory NULL, and nothing has changed. Asking for one more each
 * time takes linear time in all. */
void *grown(void *items, size_t *capacity, size_t least, size_t size);

#endif
