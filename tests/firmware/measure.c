/*
 * measure.c - instructions per weight, on an emulated board.
 *
 * With -icount shift=0 the emulator's clock advances one nanosecond an instruction, and SysTick
 * counts that clock at a rate that a loop of known length tells. These are instructions executed,
 * not cycles: no emulator knows those.
 */
#include "board.h"

#include <libquant.h>

enum { ROWS = 32, COLUMNS = 256 };

#define SYST_CSR (*(volatile uint32_t *)0xe000e010u)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014u)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018u)

static void start(void)
{
  SYST_CSR = 0;
  SYST_RVR = 0xffffff;
  SYST_CVR = 0;
  SYST_CSR = 5; /* on, by the processor's clock */
  (void)SYST_CVR;
}

/* Ticks since start. */
static uint32_t stop(void)
{
  return (0xffffff - SYST_CVR) & 0xffffff;
}

static void print_number(uint32_t value)
{
  char text[12], *p = text + sizeof text - 1;

  *p = 0;
  do
    *--p = (char)('0' + value % 10);
  while ((value /= 10) != 0);
  board_print(p);
}

/* Hundredths, as "6.04". */
static void print_hundredths(uint32_t v)
{
  print_number(v / 100);
  board_print(v % 100 < 10 ? ".0" : ".");
  print_number(v % 100);
}

/* 200,000 instructions. */
static void count_down(uint32_t n)
{
  __asm__ volatile("1: subs %0, %0, #1\n\tbne 1b" : "+r"(n) : : "cc");
}

static uint32_t per_100000; /* ticks of so many instructions */

static void result(const char *name, uint32_t ticks, uint32_t weights)
{
  board_print(name);
  board_print(" ");
  print_hundredths((uint32_t)((uint64_t)ticks * 100000u * 100u / per_100000 / weights));
  board_print("\n");
}

struct arrays {
  uint8_t codes[ROWS * COLUMNS];
  float scales[ROWS * COLUMNS / 32], book[16], nested_book[256], x[COLUMNS], y[COLUMNS];
  int32_t bias[ROWS], multiplier[ROWS];
  int8_t shift[ROWS];
};

static void measure(struct arrays *a, const char *name, const lq_static *w)
{
  start();
  lq_static_decode(w, 0, 1, a->y);
  uint32_t ticks = stop();
  board_print("decode ");
  result(name, ticks, COLUMNS);
  start();
  lq_static_matvec(w, a->x, a->y);
  ticks = stop();
  board_print("matvec ");
  result(name, ticks, ROWS * COLUMNS);
}

static void measure_f32(struct arrays *a)
{
  lq_static w = {
      .size = sizeof w, .rows = ROWS, .columns = COLUMNS, .codes = a->codes, .scales = a->scales};

  w.method = LQ_NF4;
  w.bits = 4;
  w.block = 64;
  w.scale_dtype = LQ_F32;
  w.codes_bytes = ROWS * COLUMNS / 2;
  w.scales_bytes = ROWS * COLUMNS / 64 * 4;
  w.codebook = a->book;
  measure(a, "nf4,fp4", &w);
  w.scale_dtype = LQ_U8;
  w.scales_bytes = ROWS * COLUMNS / 64;
  w.nested_block = 256;
  w.nested_codebook = a->nested_book;
  w.nested_scales = a->scales;
  w.nested_scales_bytes = 4;
  measure(a, "nf4-nested", &w);
  w.method = LQ_AFFINE;
  w.block = 32;
  w.scale_dtype = LQ_F16;
  w.scales_bytes = ROWS * COLUMNS / 32 * 2;
  measure(a, "affine-4", &w);
  w.bits = 8;
  w.codes_bytes = ROWS * COLUMNS;
  measure(a, "affine-8", &w);
  w.method = LQ_INT8;
  w.block = 0;
  w.scale_dtype = LQ_F32;
  w.scales_bytes = ROWS * 4;
  measure(a, "int8", &w);
}

static void measure_w8a8(struct arrays *a)
{
  lq_static_w8a8 w = {.size = sizeof w,
                      .rounding = LQ_ROUND_DOUBLE,
                      .rows = ROWS,
                      .columns = COLUMNS,
                      .y_least = -128,
                      .y_most = 127,
                      .codes = (const int8_t *)a->codes,
                      .bias = a->bias,
                      .multiplier = a->multiplier,
                      .shift = a->shift};
  uint32_t ticks;

  start();
  lq_static_matvec_w8a8(&w, (const int8_t *)a->codes, (int8_t *)a->y);
  ticks = stop();
  board_print("matvec ");
  result("w8a8", ticks, ROWS * COLUMNS);
}

int main(void)
{
  struct arrays a;
  uint8_t *byte = (uint8_t *)&a;

  for (uint32_t i = 0; i < sizeof a; i++)
    byte[i] = 0;
  start();
  count_down(100000);
  per_100000 = stop() / 2;
  if (per_100000 == 0)
    return 1;
  measure_f32(&a);
  measure_w8a8(&a);
  return 0;
}
