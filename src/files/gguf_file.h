/*
 * gguf_file.h - the inside of an open GGUF file, for gguf_*.c only.
 *
 * Owns: the file, the tables, bytes from either source, numbers in little-endian order.
 */
#ifndef QUANT_FILES_GGUF_FILE_H
#define QUANT_FILES_GGUF_FILE_H

#include "gguf.h"

/* Names are kept in blocks that never move. */
typedef struct name_block name_block;

struct gguf_file {
  int fd;                      /* -1 for memory */
  const unsigned char *memory; /* NULL for a file */
  char *path;
  uint64_t bytes; /* of the whole file, taken once */
  uint64_t data;  /* offset of the data */
  uint64_t infos; /* offset of the tensor table, behind the last value */
  uint32_t version, alignment;
  size_t count, key_count;
  gguf_tensor *tensors;
  gguf_value *keys;
  name_block *names;
};

/* `count` bytes at `offset`, which lie inside the file as it was when opened. */
bool gguf_bytes_at(const gguf_file *f, uint64_t offset, void *into, size_t count, fail *why);

/* Bytes of one item of a type; 0 for strings and arrays. */
unsigned gguf_item_bytes(unsigned type);

static inline uint64_t gguf_integer(const unsigned char *p, unsigned bytes)
{
  uint64_t v = 0;

  for (; bytes > 0; bytes--)
    v = v << 8 | p[bytes - 1];
  return v;
}

#endif
