/* sha256.c - see sha256.h. Names of variables are those of FIPS 180-4. */
#include "sha256.h"

#include <stdio.h>
#include <string.h>

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, unsigned n)
{
  return x >> n | x << (32 - n);
}

/* One round. The variables a to h of the standard change roles from round to round, not places. */
static void step(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f,
                 uint32_t g, uint32_t *h, uint32_t input)
{
  uint32_t t1 = *h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (g ^ (e & (f ^ g))) + input;

  *d += t1;
  *h = t1 + (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) | (c & (a | b)));
}

static void add_block(uint32_t state[8], const unsigned char *from)
{
  uint32_t w[64];
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

  for (int t = 0; t < 16; t++)
    w[t] = (uint32_t)from[4 * t] << 24 | (uint32_t)from[4 * t + 1] << 16 |
           (uint32_t)from[4 * t + 2] << 8 | from[4 * t + 3];
  for (int t = 16; t < 64; t++)
    w[t] = (turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ w[t - 2] >> 10) + w[t - 7] +
           (turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ w[t - 15] >> 3) + w[t - 16];
  for (int t = 0; t < 64; t += 8) {
    step(a, b, c, &d, e, f, g, &h, K[t] + w[t]);
    step(h, a, b, &c, d, e, f, &g, K[t + 1] + w[t + 1]);
    step(g, h, a, &b, c, d, e, &f, K[t + 2] + w[t + 2]);
    step(f, g, h, &a, b, c, d, &e, K[t + 3] + w[t + 3]);
    step(e, f, g, &h, a, b, c, &d, K[t + 4] + w[t + 4]);
    step(d, e, f, &g, h, a, b, &c, K[t + 5] + w[t + 5]);
    step(c, d, e, &f, g, h, a, &b, K[t + 6] + w[t + 6]);
    step(b, c, d, &e, f, g, h, &a, K[t + 7] + w[t + 7]);
  }
  const uint32_t sum[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; i++)
    state[i] += sum[i];
}

void sha256_start(sha256 *s)
{
  static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

  memcpy(s->state, first, sizeof first);
  s->length = 0;
}

void sha256_add(sha256 *s, const void *bytes, size_t count)
{
  const unsigned char *from = bytes;
  size_t held = s->length % 64;

  s->length += count;
  if (held + count < 64) {
    if (count > 0)
      memcpy(s->block + held, from, count);
    return;
  }
  if (held > 0) {
    memcpy(s->block + held, from, 64 - held);
    add_block(s->state, s->block);
    from += 64 - held;
    count -= 64 - held;
  }
  for (; count >= 64; from += 64, count -= 64)
    add_block(s->state, from);
  memcpy(s->block, from, count);
}

void sha256_text(sha256 *s, char out[SHA256_TEXT])
{
  uint64_t bits = s->length * 8;
  unsigned char end[72] = {0x80};
  size_t pad = 1 + (119 - s->length % 64) % 64;

  for (int i = 0; i < 8; i++)
    end[pad + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i) & 0xFF);
  sha256_add(s, end, pad + 8);
  for (int i = 0; i < 8; i++)
    snprintf(out + 8 * i, 9, "%08x", (unsigned)s->state[i]);
}
