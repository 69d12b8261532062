/*
 * gguf.h - GGUF files for tests, piece by piece into a buffer: head, keys with their values, tensor
 * infos, padding, data.
 *
 * Owns: the bytes of each piece. Must not know: which pieces make a valid file.
 */
#ifndef TESTS_GGUF_H
#define TESTS_GGUF_H

#include "../src/files/buf.h"
#include "../src/files/gguf.h"

#include <string.h>

static inline void put_int(buf *b, uint64_t v, int bytes)
{
  for (int i = 0; i < bytes; i++)
    buf_byte(b, (char)(v >> 8 * i));
}

static inline void put_string(buf *b, const char *text)
{
  put_int(b, strlen(text), 8);
  buf_text(b, text);
}

static inline void put_head(buf *b, uint64_t tensors, uint64_t keys)
{
  buf_text(b, "GGUF");
  put_int(b, 3, 4);
  put_int(b, tensors, 8);
  put_int(b, keys, 8);
}

static inline void put_key(buf *b, const char *key, gguf_type type)
{
  put_string(b, key);
  put_int(b, type, 4);
}

static inline void put_array(buf *b, const char *key, gguf_type item, uint64_t count)
{
  put_key(b, key, GGUF_ARRAY);
  put_int(b, item, 4);
  put_int(b, count, 8);
}

static inline void put_tensor(buf *b, const char *name, uint32_t type, uint64_t ne0, uint64_t ne1,
                              uint64_t offset)
{
  put_string(b, name);
  put_int(b, ne1 ? 2 : 1, 4);
  put_int(b, ne0, 8);
  if (ne1)
    put_int(b, ne1, 8);
  put_int(b, type, 4);
  put_int(b, offset, 8);
}

static inline void pad(buf *b, size_t alignment)
{
  while (b->length % alignment != 0)
    buf_byte(b, 0);
}

#endif
