/*
 * hidden.h - the hidden states of all samples between two layers.
 *
 * Owns: their place: memory, or a nameless file that is read and written batch by batch. Must not
 * know: networks.
 */
#ifndef QUANT_MODEL_HIDDEN_H
#define QUANT_MODEL_HIDDEN_H

#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hidden {
  float *memory; /* NULL: in the file */
  int fd;
  uint64_t rows, columns;
  const char *beside;
} hidden;

/* Room for rows * columns numbers; with `spill` in a file beside the path `beside`, which is kept,
 * not copied. */
bool hidden_open(hidden *h, uint64_t rows, uint64_t columns, bool spill, const char *beside,
                 fail *why);
void hidden_close(hidden *h); /* after hidden_open, whatever it returned */

bool hidden_get(const hidden *h, uint64_t first, uint64_t rows, float *into, fail *why);
/* The same for rows that lie `stride` elements apart in memory. */
bool hidden_get_rows(const hidden *h, uint64_t first, uint64_t rows, float *into, size_t stride,
                     fail *why);
bool hidden_put_rows(hidden *h, uint64_t first, uint64_t rows, const float *from, size_t stride,
                     fail *why);
bool hidden_put(hidden *h, uint64_t first, uint64_t rows, const float *from, fail *why);

#endif
