/*
 * digits.c - a network that tells handwritten digits apart, from weights in read-only memory.
 *
 * 100 images, 8 x 8 pixels of 0 to 16, go through 64 hidden units to 10 outputs: with weights in
 * nf4, fp4, int8 and 4-bit integers, products in f32; then in 8-bit fixed point with either
 * rounding. For each, how many are right and a checksum of every bit of every output: the same on a
 * Cortex-M as on the machine that made the arrays. docs/firmware.md has the commands.
 */
#include "affine.h"
#include "board.h"
#include "digits.h"
#include "fp4.h"
#include "int8.h"
#include "nf4.h"
#include "w8a8.h"
#include "w8a8_single.h"

enum { IMAGES = 100, PIXELS = 64, HIDDEN = 64, DIGITS = 10 };

struct result {
  uint32_t right, checksum;
};

/* FNV-1a over the bits of an output. */
static void add(struct result *r, uint32_t bits)
{
  for (int i = 0; i < 4; i++, bits >>= 8)
    r->checksum = (r->checksum ^ (bits & 255u)) * 16777619u;
}

static uint32_t bits_of(float x)
{
  union {
    float x;
    uint32_t bits;
  } u = {x};

  return u.bits;
}

static int in_f32(const lq_static *fc1, const lq_static *fc2, struct result *r)
{
  for (int i = 0; i < IMAGES; i++) {
    float x[PIXELS], hidden[HIDDEN], y[DIGITS];
    uint32_t best = 0;

    for (int k = 0; k < PIXELS; k++)
      x[k] = (float)digits_images[i * PIXELS + k] * 0.0625f;
    if (lq_static_matvec(fc1, x, hidden) != LQ_OK)
      return 0;
    for (int k = 0; k < HIDDEN; k++)
      hidden[k] = hidden[k] > 0.0f ? hidden[k] : 0.0f;
    if (lq_static_matvec(fc2, hidden, y) != LQ_OK)
      return 0;
    for (uint32_t k = 0; k < DIGITS; k++) {
      best = y[k] > y[best] ? k : best;
      add(r, bits_of(y[k]));
    }
    r->right += best == digits_labels[i];
  }
  return 1;
}

/* The zero point of the hidden units is their least value: there ReLU is the bound. */
static int in_int8(const lq_static_w8a8 *fc1, const lq_static_w8a8 *fc2, struct result *r)
{
  for (int i = 0; i < IMAGES; i++) {
    int8_t x[PIXELS], hidden[HIDDEN], y[DIGITS];
    uint32_t best = 0;

    for (int k = 0; k < PIXELS; k++)
      x[k] = (int8_t)digits_images[i * PIXELS + k];
    if (lq_static_matvec_w8a8(fc1, x, hidden) != LQ_OK ||
        lq_static_matvec_w8a8(fc2, hidden, y) != LQ_OK)
      return 0;
    for (uint32_t k = 0; k < DIGITS; k++) {
      best = y[k] > y[best] ? k : best;
      add(r, (uint32_t)(int32_t)y[k]);
    }
    r->right += best == digits_labels[i];
  }
  return 1;
}

static void print_number(uint32_t value, uint32_t base)
{
  char text[12], *p = text + sizeof text - 1;

  *p = 0;
  do
    *--p = "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  board_print(p);
}

/* Is the result a good one? */
static int print(const char *name, int done, const struct result *r)
{
  board_print(name);
  board_print(": ");
  print_number(r->right, 10);
  board_print(" of 100 right, checksum ");
  print_number(r->checksum, 16);
  board_print(done ? "\n" : ", FAILED\n");
  return done && r->right >= 90;
}

int main(void)
{
  static const struct {
    const char *name;
    const lq_static *fc1, *fc2;
  } kinds[] = {{"nf4", &nf4_fc1, &nf4_fc2},
               {"fp4", &fp4_fc1, &fp4_fc2},
               {"int8", &int8_fc1, &int8_fc2},
               {"affine", &affine_fc1, &affine_fc2}};
  struct result r;
  int done, good = 1;

  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    r = (struct result){0, 2166136261u};
    done = in_f32(kinds[i].fc1, kinds[i].fc2, &r);
    good &= print(kinds[i].name, done, &r);
  }
  r = (struct result){0, 2166136261u};
  done = in_int8(&w8a8_fc1, &w8a8_fc2, &r);
  good &= print("w8a8 double", done, &r);
  r = (struct result){0, 2166136261u};
  done = in_int8(&w8a8_single_fc1, &w8a8_single_fc2, &r);
  good &= print("w8a8 single", done, &r);
  return good ? 0 : 1;
}
