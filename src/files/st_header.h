/*
 * st_header.h - the JSON header of a safetensors file as a table, for st_read.c only.
 *
 * Owns: the rules of entries and names. Must not know: files, nor where the data end. The table
 * takes at most three times the text in memory, whatever is in it: every byte is hostile. Of the
 * text only names and metadata stay.
 */
#ifndef QUANT_FILES_ST_HEADER_H
#define QUANT_FILES_ST_HEADER_H

#include "safetensors.h"

typedef struct st_header {
  char *names;        /* what the others point to */
  st_tensor *tensors; /* in the order of the text until somebody sorts them */
  size_t count;
  st_pair *metadata; /* in the order of the text; a value with a NUL in it is NULL */
  size_t pairs;
} st_header;

/* Takes over `text`, a malloc'd block of `length` bytes and a NUL, also on failure. `base`: its
 * offset in the file. Names are unique. */
bool st_header_read(st_header *h, char *text, size_t length, const char *path, uint64_t base,
                    fail *why);
void st_header_free(st_header *h); /* zeros are fine */

#endif
