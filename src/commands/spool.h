/*
 * spool.h - bytes that wait for their place in a file.
 *
 * Owns: one nameless temporary file. Must not know: what the bytes are. A safetensors header holds
 * the size of every tensor and stands first, while some sizes (the text of a quantization state,
 * the number of outlier columns) are known only when a tensor is encoded. So the encoded planes of
 * one shard wait here. The file is unlinked as soon as it is open: whatever happens, nothing stays.
 */
#ifndef QUANT_COMMANDS_SPOOL_H
#define QUANT_COMMANDS_SPOOL_H

#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct spool {
  int fd;
  uint64_t length;
  const char *beside; /* the output, for messages */
} spool;

/* Opens a file in the folder that holds `beside`, on the disk that the output will fill anyway. The
 * name is kept, not copied. */
bool spool_open(spool *s, const char *beside, fail *why);
void spool_close(spool *s); /* a spool of fd -1 is fine */

bool spool_add(spool *s, const void *bytes, size_t count, uint64_t *offset, fail *why);
bool spool_read(const spool *s, uint64_t offset, void *into, size_t count, fail *why);

/* Empty again. The space stays, on the disk and in the system's cache, for what comes next. */
void spool_clear(spool *s);

#endif
