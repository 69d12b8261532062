/*
 * bits_c.c - codes of 1 to 8 bits as a little-endian stream of bits.
 *
 * Owns: packing and unpacking, eight codes at a time in one 64-bit word.
 * Must not know: what codes mean, where a row or a group ends.
 */
#include "kern.h"

#include <string.h>

/* Unrolled, the compiler joins the bytes of a word to one load or store. */
#if defined(__clang__)
#define BITS_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define BITS_UNROLL _Pragma("GCC unroll 8")
#else
#define BITS_UNROLL
#endif

/* The low `width` bits of each field of 2 * `step` bits; the mask of the lower half of a field. */
LQI_INLINE uint64_t bits_mask(uint32_t step, uint32_t width)
{
  uint64_t one = (UINT64_C(1) << width) - 1u, every = ~UINT64_C(0);
  return one * (step == 32 ? 1 : every / ((UINT64_C(1) << 2 * step) - 1u));
}

/*
 * Eight codes, one in each byte, to 8 * bits bits: neighbours are joined, then pairs, then fours.
 * At each step a field holds one value at its bottom and one at its middle.
 */
LQI_INLINE uint64_t bits_join(uint64_t v, uint32_t bits)
{
  BITS_UNROLL
  for (uint32_t step = 8, width = bits; step <= 32; step *= 2, width *= 2) {
    uint64_t low = bits_mask(step, width);
    v = (v & low) | (v >> step & low) << width;
  }
  return v;
}

LQI_INLINE uint64_t bits_split(uint64_t v, uint32_t bits)
{
  BITS_UNROLL
  for (uint32_t step = 32, width = 4 * bits; step >= 8; step /= 2, width /= 2) {
    uint64_t low = bits_mask(step, width);
    v = (v & low) | (v >> width & low) << step;
  }
  return v;
}

LQI_INLINE uint64_t bits_load(const uint8_t *p, size_t n)
{
  uint64_t v = 0;
  BITS_UNROLL
  for (size_t i = 0; i < n; i++)
    v |= (uint64_t)p[i] << 8 * i;
  return v;
}

LQI_INLINE void bits_store(uint8_t *p, size_t n, uint64_t v)
{
  BITS_UNROLL
  for (size_t i = 0; i < n; i++)
    p[i] = (uint8_t)(v >> 8 * i);
}

LQI_INLINE void bits_pack(const uint8_t *codes, size_t n, uint32_t bits, uint8_t *out)
{
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    bits_store(out + i / 8 * bits, bits, bits_join(bits_load(codes + i, 8), bits));
  if (i < n)
    bits_store(out + i / 8 * bits, ((n - i) * bits + 7) / 8,
               bits_join(bits_load(codes + i, n - i), bits));
}

LQI_INLINE void bits_unpack(const uint8_t *in, size_t n, uint32_t bits, uint8_t *codes)
{
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    bits_store(codes + i, 8, bits_split(bits_load(in + i / 8 * bits, bits), bits));
  if (i < n)
    bits_store(codes + i, n - i,
               bits_split(bits_load(in + i / 8 * bits, ((n - i) * bits + 7) / 8), bits));
}

/* A width that is known when compiled makes masks and shifts constants. */
#define BITS_EACH(call, from, to) \
  switch (bits) { \
  case 1: call(1); break; \
  case 2: call(2); break; \
  case 3: call(3); break; \
  case 4: call(4); break; \
  case 5: call(5); break; \
  case 6: call(6); break; \
  case 7: call(7); break; \
  default: memcpy(to, from, n); break; \
  }

void lqi_bits_pack(const uint8_t *codes, size_t n, uint32_t bits, uint8_t *out)
{
#define BITS_PACK(width) bits_pack(codes, n, width, out)
  BITS_EACH(BITS_PACK, codes, out)
}

void lqi_bits_unpack(const uint8_t *in, size_t n, uint32_t bits, uint8_t *codes)
{
#define BITS_UNPACK(width) bits_unpack(in, n, width, codes)
  BITS_EACH(BITS_UNPACK, in, codes)
}
