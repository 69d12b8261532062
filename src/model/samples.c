/* samples.c - see samples.h. */
#include "samples.h"

#include <stdlib.h>
#include <string.h>

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014). */
static uint64_t splitmix64(uint64_t *state)
{
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

bool samples_draw(samples *out, const int32_t *tokens, size_t total, size_t length, size_t count,
                  uint64_t seed, const char *text, fail *why)
{
  size_t windows = length ? total / length : 0, *order;

  *out = (samples){0};
  if (windows == 0)
    return fail_set(why, FAIL_DATA, text, "%zu tokens are less than one sample of %zu", total,
                    length);
  count = count < windows ? count : windows;
  order = calloc(windows, sizeof *order);
  out->ids = calloc(count * length, sizeof *out->ids);
  if (!order || !out->ids) {
    free(order);
    samples_free(out);
    return fail_memory(why, text);
  }
  for (size_t i = 0; i < windows; i++)
    order[i] = i;
  for (size_t i = 0; i < count; i++) {
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): i < count <= windows */
    size_t j = i + (size_t)(splitmix64(&seed) % (windows - i)), drawn = order[j];

    order[j] = order[i];
    memcpy(out->ids + i * length, tokens + drawn * length, length * sizeof *tokens);
  }
  free(order);
  out->count = count;
  out->length = length;
  return true;
}

void samples_free(samples *s)
{
  free(s->ids);
  *s = (samples){0};
}

/* FNV-1a over the ids. */
uint64_t samples_hash(const samples *s, uint64_t start)
{
  for (size_t i = 0; i < s->count * s->length; i++)
    for (int b = 0; b < 32; b += 8)
      start = (start ^ ((uint32_t)s->ids[i] >> b & 0xff)) * UINT64_C(0x100000001b3);
  return start;
}
