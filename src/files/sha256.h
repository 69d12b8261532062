/*
 * sha256.h - SHA-256 (FIPS 180-4), to tell files and options from others.
 *
 * Owns: the sum so far. Must not know: what is summed.
 */
#ifndef QUANT_FILES_SHA256_H
#define QUANT_FILES_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct sha256 {
  uint32_t state[8];
  uint64_t length; /* bytes so far */
  unsigned char block[64];
} sha256;

enum { SHA256_TEXT = 65 };

void sha256_start(sha256 *s);
void sha256_add(sha256 *s, const void *bytes, size_t count);
void sha256_text(sha256 *s, char out[SHA256_TEXT]); /* the end: 64 hexadecimal digits */

#endif
