/*
 * golden.c - static weights on the target: golden vectors, and sums over weights of every form and
 * odd sizes, whose checksums run.sh compares with those of the host.
 *
 * The arrays come from tests/vectors by way of quant export.
 */
#include "board.h"
#include "fixed.h"
#include "llama_int8.h"
#include "llama_nf4.h"
#include "restored.h"

static uint32_t checks, failures;

static void print_number(uint32_t value, uint32_t base)
{
  char text[12], *p = text + sizeof text - 1;

  *p = 0;
  do
    *--p = "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  board_print(p);
}

static void check(int good, const char *what, uint32_t i)
{
  checks++;
  if (good || ++failures > 20)
    return;
  board_print("failed: ");
  board_print(what);
  board_print(" ");
  print_number(i, 10);
  board_print("\n");
}

static uint32_t bits_of(float x)
{
  union {
    float x;
    uint32_t bits;
  } u = {x};

  return u.bits;
}

static float float_of(uint32_t bits)
{
  union {
    uint32_t bits;
    float x;
  } u = {bits};

  return u.x;
}

/* ---- golden vectors ---- */

static void golden_requantize(void)
{
  for (uint32_t i = 0; i < sizeof fixed_acc / sizeof *fixed_acc; i++) {
    check(lq_requantize(fixed_acc[i], fixed_m[i], fixed_shift[i], LQ_ROUND_DOUBLE) ==
              fixed_double[i],
          "double", i);
    check(lq_requantize(fixed_acc[i], fixed_m[i], fixed_shift[i], LQ_ROUND_SINGLE) ==
              fixed_single[i],
          "single", i);
  }
}

static void golden_layer(int32_t rounding, const int8_t *want)
{
  int32_t bias[16];
  int8_t shift[16], y[16];
  lq_static_w8a8 w = {.size = sizeof w,
                      .rounding = rounding,
                      .rows = 16,
                      .columns = 64,
                      .y_zero = 4,
                      .y_least = -128,
                      .y_most = 127,
                      .codes = fixed_fc_w,
                      .bias = bias,
                      .multiplier = fixed_fc_m,
                      .shift = shift};

  for (uint32_t n = 0; n < 16; n++) {
    bias[n] = fixed_fc_bias_q[n] + fixed_fc_kernel_sum[n];
    shift[n] = (int8_t)fixed_fc_shift[n];
  }
  for (uint32_t t = 0; t < 4; t++) {
    check(lq_static_matvec_w8a8(&w, fixed_fc_x + t * 64, y) == LQ_OK, "layer", t);
    for (uint32_t n = 0; n < 16; n++)
      check(y[n] == want[t * 16 + n], "output", t * 16 + n);
  }
}

/* The vectors are bf16: rounded to nearest, ties to even. */
static uint32_t as_bf16(float x)
{
  uint32_t u = bits_of(x);

  return (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
}

static void golden_decode(void)
{
  static const float *const want[] = {restored_nf4_model_layers_0_mlp_down_proj,
                                      restored_int8_model_layers_0_mlp_down_proj};
  static const lq_static *const weights[] = {&llama_nf4_model_layers_0_mlp_down_proj,
                                             &llama_int8_model_layers_0_mlp_down_proj};

  for (int k = 0; k < 2; k++)
    for (uint32_t r = 0; r < 32; r++) {
      float row[256];

      check(lq_static_decode(weights[k], r, 1, row) == LQ_OK, "decode", r);
      for (uint32_t c = 0; c < 256; c++) {
        float v = want[k][r * 256 + c];

        check(k == 0 ? as_bf16(row[c]) == bits_of(v) : row[c] == v, "value", r * 256 + c);
      }
    }
}

/* ---- the same sums as the host ---- */

enum { MOST_ROWS = 7, MOST_COLUMNS = 160 };

static uint32_t seed = 1, checksum;

/* xorshift (Marsaglia 2003). */
static uint32_t random_bits(void)
{
  seed ^= seed << 13;
  seed ^= seed >> 17;
  return seed ^= seed << 5;
}

static void add(uint32_t bits)
{
  for (int i = 0; i < 4; i++, bits >>= 8)
    checksum = (checksum ^ (bits & 255u)) * 16777619u;
}

/* A float of either sign with an exponent of 8 values from `least` on. */
static float random_float(uint32_t least)
{
  uint32_t u = random_bits();

  return float_of((u & 0x807fffffu) | (least + (u >> 23 & 7)) << 23);
}

struct arrays {
  uint8_t codes[MOST_ROWS * MOST_COLUMNS];
  union {
    float f32[MOST_ROWS * MOST_COLUMNS / 8 + MOST_ROWS];
    uint16_t f16[MOST_ROWS * MOST_COLUMNS / 8 + MOST_ROWS];
    uint8_t nested[MOST_ROWS * MOST_COLUMNS / 8 + MOST_ROWS];
  } scales;
  uint8_t zeros[MOST_ROWS * MOST_COLUMNS / 8 + MOST_ROWS];
  float nested_scales[MOST_ROWS * MOST_COLUMNS / 8 + 1], nested_book[256], book[16];
  float bias[MOST_ROWS], x[MOST_COLUMNS], y[MOST_ROWS], row[MOST_COLUMNS];
};

static void fill(struct arrays *a, uint32_t x_exponent)
{
  for (uint32_t i = 0; i < sizeof a->codes; i++)
    a->codes[i] = (uint8_t)random_bits();
  for (uint32_t i = 0; i < 256; i++)
    a->nested_book[i] = random_float(120);
  for (uint32_t i = 0; i < 16; i++)
    a->book[i] = random_float(120);
  for (uint32_t i = 0; i < sizeof a->nested_scales / 4; i++)
    a->nested_scales[i] = random_float(118);
  for (uint32_t i = 0; i < sizeof a->zeros; i++)
    a->zeros[i] = (uint8_t)random_bits();
  for (uint32_t i = 0; i < MOST_ROWS; i++)
    a->bias[i] = random_float(x_exponent);
  for (uint32_t i = 0; i < MOST_COLUMNS; i++)
    a->x[i] = random_float(x_exponent);
}

static void fill_scales(struct arrays *a, int32_t type)
{
  for (uint32_t i = 0; i < sizeof a->zeros; i++)
    if (type == LQ_F32)
      a->scales.f32[i] = random_float(118);
    else if (type == LQ_F16) /* subnormal ones too */
      a->scales.f16[i] = (uint16_t)(random_bits() & 0x4bffu);
    else
      a->scales.nested[i] = (uint8_t)random_bits();
}

static uint32_t ceil_of(uint32_t a, uint32_t b)
{
  return a / b + (a % b != 0);
}

static lq_static describe(struct arrays *a, int32_t method, uint32_t bits, int32_t type,
                          uint32_t rows, uint32_t columns, uint32_t block)
{
  uint32_t blocked = method == LQ_INT8 ? 0 : block, n = rows * columns;
  uint32_t scales = method == LQ_INT8     ? rows
                    : method == LQ_AFFINE ? rows * ceil_of(columns, block)
                                          : ceil_of(n, block);
  lq_static w = {.size = sizeof w,
                 .method = method,
                 .rows = rows,
                 .columns = columns,
                 .bits = bits,
                 .block = blocked,
                 .scale_dtype = type,
                 .codes = a->codes,
                 .scales = &a->scales,
                 .bias = rows & 1 ? a->bias : 0};

  w.scales_bytes = scales * (type == LQ_F32 ? 4 : type == LQ_F16 ? 2 : 1);
  w.codes_bytes = method == LQ_INT8     ? n
                  : method == LQ_AFFINE ? rows * 4 * ceil_of(columns * bits, 32)
                                        : ceil_of(n, 2);
  if (method == LQ_NF4 || method == LQ_FP4)
    w.codebook = a->book;
  if (method == LQ_AFFINE && columns & 1) {
    w.zeros = a->zeros;
    w.zeros_bytes = scales;
  }
  if (type == LQ_U8) {
    w.nested_block = 8;
    w.nested_offset = 0.01f;
    w.nested_scales = a->nested_scales;
    w.nested_scales_bytes = 4 * ceil_of(scales, 8);
    w.nested_codebook = a->nested_book;
  }
  return w;
}

static void sums_of(struct arrays *a, const lq_static *w)
{
  check(lq_static_matvec(w, a->x, a->y) == LQ_OK, "matvec", w->columns);
  for (uint32_t n = 0; n < w->rows; n++) {
    add(bits_of(a->y[n]));
    check(lq_static_decode(w, n, 1, a->row) == LQ_OK, "decode", n);
    for (uint32_t k = 0; k < w->columns; k++)
      add(bits_of(a->row[k]));
  }
}

static void print_sum(const char *name)
{
  board_print(name);
  board_print(": checksum ");
  print_number(checksum, 16);
  board_print("\n");
  checksum = 2166136261u;
}

static void sums_in_f32(struct arrays *a)
{
  static const struct {
    const char *name;
    int32_t method, type;
    uint32_t bits;
  } forms[] = {{"nf4", LQ_NF4, LQ_F32, 4},         {"nf4 nested", LQ_NF4, LQ_U8, 4},
               {"affine 4", LQ_AFFINE, LQ_F16, 4}, {"affine 4 nested", LQ_AFFINE, LQ_U8, 4},
               {"affine 8", LQ_AFFINE, LQ_F32, 8}, {"int8", LQ_INT8, LQ_F32, 8}};
  static const uint32_t columns[] = {1, 31, 32, 33, 64, 95, 160}, blocks[] = {8, 24, 64};
  /* Of ordinary size, and so small that products and sums are subnormal. */
  static const uint32_t exponents[] = {124, 1};

  for (uint32_t f = 0; f < sizeof forms / sizeof *forms; f++) {
    for (uint32_t e = 0; e < 2; e++) {
      fill(a, exponents[e]);
      fill_scales(a, forms[f].type);
      for (uint32_t c = 0; c < sizeof columns / sizeof *columns; c++)
        for (uint32_t b = 0; b < 3; b++)
          for (uint32_t rows = 1; rows <= MOST_ROWS; rows += 2 + b) {
            lq_static w = describe(a, forms[f].method, forms[f].bits, forms[f].type, rows,
                                   columns[c], blocks[b]);
            sums_of(a, &w);
          }
    }
    print_sum(forms[f].name);
  }
}

static void sums_in_integers(struct arrays *a)
{
  int32_t bias[MOST_ROWS], multiplier[MOST_ROWS];
  int8_t shift[MOST_ROWS], y[MOST_ROWS];
  lq_static_w8a8 w = {.size = sizeof w,
                      .y_zero = -3,
                      .y_least = -100,
                      .y_most = 127,
                      .codes = (const int8_t *)a->codes,
                      .bias = bias,
                      .multiplier = multiplier,
                      .shift = shift};

  for (uint32_t columns = 0; columns <= MOST_COLUMNS; columns += columns < 36 ? 1 : 31)
    for (uint32_t rows = 1; rows <= MOST_ROWS; rows++) {
      w.rows = rows;
      w.columns = columns;
      for (uint32_t n = 0; n < rows; n++) {
        bias[n] = (int32_t)(random_bits() & 0xffff) - 0x8000;
        multiplier[n] = (int32_t)(random_bits() >> 2) + (1 << 30);
        shift[n] = (int8_t)((int32_t)(random_bits() & 7) - 14);
      }
      for (w.rounding = LQ_ROUND_DOUBLE; w.rounding <= LQ_ROUND_SINGLE; w.rounding++) {
        check(lq_static_matvec_w8a8(&w, (const int8_t *)a->codes + 100, y) == LQ_OK, "w8a8", rows);
        for (uint32_t n = 0; n < rows; n++)
          add((uint32_t)(int32_t)y[n]);
      }
    }
  print_sum("w8a8");
}

int main(void)
{
  struct arrays a;

  checksum = 2166136261u;
  golden_requantize();
  golden_layer(LQ_ROUND_DOUBLE, fixed_fc_out_double);
  golden_layer(LQ_ROUND_SINGLE, fixed_fc_out_single);
  golden_decode();
  sums_in_f32(&a);
  sums_in_integers(&a);
  print_number(checks, 10);
  board_print(" checks, ");
  print_number(failures, 10);
  board_print(" failed\n");
  return failures == 0 ? 0 : 1;
}
