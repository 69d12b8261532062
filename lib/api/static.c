/*
 * static.c - products with weights that lie in read-only memory, for machines without a system.
 *
 * Owns: the whole of the library with LQ_FREESTANDING defined: this file and the headers that it
 * includes, which firmware may compile as they are.
 * Must not know: tensors, kernels of other files, memory but the caller's. No double, no libm, no
 * variable, no table: code books come with the weight.
 *
 * Rules that the bits hang on, as in kern/kern.h: each product of a weight's value is rounded by
 * itself, and columns are summed in 16 chains. Nothing here can be contracted by a compiler that is
 * allowed to: the one place where a product meets a sum goes through memory.
 */
#include "../core/base.h"
#include "../core/fused.h"
#include "../core/half.h"
#include "../kern/kern_mve.h"

/* a * b + c, rounded once. Of the builtin clang makes a call of libm, unless -fno-math-errno. */
#if !defined(LQ_FREESTANDING)
#define STATIC_FMA LQI_FMAF
#elif defined(__ARM_FEATURE_FMA) && defined(__arm__) && defined(__clang__)
LQI_INLINE float static_fma(float a, float b, float c)
{
  __asm__("vfma.f32 %0, %1, %2" : "+t"(c) : "t"(a), "t"(b));
  return c;
}
#define STATIC_FMA static_fma
#elif defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF) || defined(__FMA__) || \
    defined(__riscv_f)
#define STATIC_FMA __builtin_fmaf
#endif

#if defined(__clang__)
#define STATIC_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define STATIC_UNROLL _Pragma("GCC unroll 16")
#else
#define STATIC_UNROLL
#endif

/* Helium takes subnormals for 0: no compiler may use it for sums in f32. */
#if LQI_MVE && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("no-tree-vectorize", "no-tree-slp-vectorize")
#endif

/* Columns of a piece, and chains of a sum. */
#define STATIC_PIECE 32u
#define STATIC_CHAINS 16u

/* Nearest f32 to 1/127, and what keeps the first product of int8 finite (method/int8.c). */
#define STATIC_STEP 0x1.020408p-7f
#define STATIC_LARGE 0x1p120f

/* LQ_WITHOUT_NF4 with LQ_WITHOUT_FP4, LQ_WITHOUT_AFFINE, LQ_WITHOUT_INT8 leave out their code. */
#if defined(LQ_WITHOUT_NF4) && defined(LQ_WITHOUT_FP4)
#define STATIC_BOOKS 0
#else
#define STATIC_BOOKS 1
#endif
#ifdef LQ_WITHOUT_AFFINE
#define STATIC_AFFINE 0
#else
#define STATIC_AFFINE 1
#endif
#ifdef LQ_WITHOUT_INT8
#define STATIC_INT8 0
#else
#define STATIC_INT8 1
#endif

/* How codes lie and what they mean: 16 values by code, the even column in the high nibble; scale *
 * (code - zero) with the even column in the low nibble, or of bytes; int8. */
enum static_form { STATIC_BOOK4, STATIC_LOW4, STATIC_U8, STATIC_I8 };

/* Column c of a row has code number first + c of `codes`; its scale is number scale + (first + c) /
 * block. */
struct static_row {
  const uint8_t *codes;
  uint32_t first, scale, block;
};

/* What turns codes of one block into values; `other` is the zero point, or the step of int8. */
struct static_grid {
  const float *book;
  float scale, other;
};

static enum static_form static_form(const lq_static *w)
{
  switch (w->method) {
  case LQ_INT8: return STATIC_I8;
  case LQ_AFFINE: return w->bits == 4 ? STATIC_LOW4 : STATIC_U8;
  default: return STATIC_BOOK4;
  }
}

static uint32_t static_ceil(uint32_t a, uint32_t b)
{
  return a / b + (a % b != 0);
}

/* Rows of affine fill 32-bit words. */
static uint32_t static_row_bytes(const lq_static *w)
{
  return 4u * static_ceil(w->columns, 32u / w->bits);
}

/* ---- checks ---- */

/* Is there an array of `count` elements of `size` bytes, in the bytes that the descriptor names? */
static lq_status static_array(const void *p, uint64_t count, uint32_t size, uint32_t bytes)
{
  if (count != bytes / size || bytes % size != 0)
    return LQ_E_SHAPE;
  return (p == NULL && count != 0) || (uintptr_t)p % size != 0 ? LQ_E_ARGUMENT : LQ_OK;
}

static lq_status static_scales(const lq_static *w, uint32_t count)
{
  int32_t type = w->scale_dtype;
  lq_status s;
  if (type == LQ_U8 && w->method != LQ_INT8) {
    if (w->nested_block == 0 || w->nested_codebook == NULL ||
        (uintptr_t)w->nested_codebook % sizeof(float) != 0)
      return LQ_E_ARGUMENT;
    s = static_array(w->nested_scales, static_ceil(count, w->nested_block), sizeof(float),
                     w->nested_scales_bytes);
    return s != LQ_OK ? s : static_array(w->scales, count, 1, w->scales_bytes);
  }
  if (type != LQ_F32 && !(type == LQ_F16 && w->method == LQ_AFFINE))
    return LQ_E_ARGUMENT;
  return static_array(w->scales, count, type == LQ_F32 ? 4 : 2, w->scales_bytes);
}

/* Methods that are none of these are told later. */
static int static_has(int32_t method)
{
  switch (method) {
  case LQ_NF4:
  case LQ_FP4: return STATIC_BOOKS;
  case LQ_AFFINE: return STATIC_AFFINE;
  case LQ_INT8: return STATIC_INT8;
  default: return 1;
  }
}

LQ_API lq_status lq_static_check(const lq_static *w)
{
  if (w == NULL)
    return LQ_E_ARGUMENT;
  if (!lqi_known_struct(w, w->size, sizeof *w))
    return LQ_E_VERSION;
  /* Rows of affine round up to words, which must not wrap either. */
  if (w->columns > UINT32_MAX - 31u || (w->columns != 0 && w->rows > UINT32_MAX / w->columns))
    return LQ_E_OVERFLOW;
  if ((uintptr_t)w->bias % sizeof(float) != 0)
    return LQ_E_ARGUMENT;
  if (!static_has(w->method))
    return LQ_E_UNSUPPORTED;
  uint32_t elements = w->rows * w->columns, scales = w->rows;
  uint64_t codes = elements;
  lq_status s;
  switch (w->method) {
  case LQ_NF4:
  case LQ_FP4:
    if (w->bits != 4 || w->block == 0 || w->codebook == NULL ||
        (uintptr_t)w->codebook % sizeof(float) != 0)
      return LQ_E_ARGUMENT;
    codes = static_ceil(elements, 2);
    scales = static_ceil(elements, w->block);
    break;
  case LQ_AFFINE:
    if ((w->bits != 4 && w->bits != 8) || w->block == 0)
      return LQ_E_ARGUMENT;
    codes = (uint64_t)w->rows * static_row_bytes(w);
    scales = w->rows * static_ceil(w->columns, w->block);
    break;
  case LQ_INT8:
    if (w->bits != 8 || w->block != 0)
      return LQ_E_ARGUMENT;
    break;
  default: return LQ_E_ARGUMENT;
  }
  if ((s = static_array(w->codes, codes, 1, w->codes_bytes)) != LQ_OK ||
      (s = static_scales(w, scales)) != LQ_OK)
    return s;
  return static_array(w->zeros, w->zeros != NULL ? scales : 0, 1, w->zeros_bytes);
}

/* ---- values ---- */

static struct static_row static_row(const lq_static *w, uint32_t row)
{
  struct static_row r = {w->codes, 0, row, w->columns};
  if (w->method == LQ_INT8) {
    r.codes += row * w->columns;
  } else if (w->method == LQ_AFFINE) {
    r.codes += row * static_row_bytes(w);
    r.scale = row * static_ceil(w->columns, w->block);
    r.block = w->block;
  } else {
    r.first = row * w->columns;
    r.scale = 0;
    r.block = w->block;
  }
  return r;
}

static float static_scale(const lq_static *w, uint32_t i)
{
  if (w->scale_dtype == LQ_F32)
    return ((const float *)w->scales)[i];
  if (w->scale_dtype == LQ_F16)
    return lqi_f16_to_f32(((const uint16_t *)w->scales)[i]);
  volatile float product = w->nested_codebook[((const uint8_t *)w->scales)[i]];
  product *= w->nested_scales[i / w->nested_block];
  return product + w->nested_offset;
}

static struct static_grid static_grid(const lq_static *w, uint32_t i)
{
  struct static_grid g = {w->codebook, static_scale(w, i), 0.0f};
  if (STATIC_INT8 && w->method == LQ_INT8) {
    int large = g.scale > STATIC_LARGE;
    g.other = large ? STATIC_STEP * 0x1p8f : STATIC_STEP;
    g.scale = large ? g.scale * 0x1p-8f : g.scale;
  } else if (STATIC_AFFINE && w->method == LQ_AFFINE) {
    g.other = w->zeros != NULL ? (float)w->zeros[i] : w->bits == 4 ? 8.0f : 128.0f;
  }
  return g;
}

LQI_INLINE float static_value(enum static_form form, uint32_t code, struct static_grid g)
{
  if (form == STATIC_BOOK4)
    return g.book[code] * g.scale;
  if (form == STATIC_I8)
    return (float)(int8_t)code * g.scale * g.other;
  return g.scale * ((float)code - g.other);
}

LQI_INLINE uint32_t static_code(enum static_form form, const uint8_t *codes, uint32_t i)
{
  if (form == STATIC_BOOK4)
    return i % 2 != 0 ? codes[i / 2] & 15u : (uint32_t)codes[i / 2] >> 4;
  if (form == STATIC_LOW4)
    return i % 2 != 0 ? (uint32_t)codes[i / 2] >> 4 : codes[i / 2] & 15u;
  return codes[i];
}

/* n codes from number i on, all of one block. */
LQI_INLINE void static_values(enum static_form form, const uint8_t *codes, uint32_t i, uint32_t n,
                              struct static_grid g, float *out)
{
  uint32_t end = i + n;
  if (i % 2 != 0 && n != 0)
    *out++ = static_value(form, static_code(form, codes, i++), g);
  for (; i + 1 < end; i += 2, out += 2) {
    out[0] = static_value(form, static_code(form, codes, i & ~1u), g);
    out[1] = static_value(form, static_code(form, codes, i | 1u), g);
  }
  if (i < end)
    *out = static_value(form, static_code(form, codes, i), g);
}

/* Columns c .. c + n - 1 of a row: block after block. */
static void static_span(const lq_static *w, const struct static_row *r, uint32_t c, uint32_t n,
                        float *out)
{
  enum static_form form = static_form(w);
  for (uint32_t part; n != 0; c += part, n -= part, out += part) {
    uint32_t i = r->first + c, left = r->block - i % r->block;
    struct static_grid g = static_grid(w, r->scale + i / r->block);
    part = left < n ? left : n;
    if (STATIC_BOOKS && form == STATIC_BOOK4)
      static_values(STATIC_BOOK4, r->codes, i, part, g, out);
    else if (STATIC_AFFINE && form == STATIC_LOW4)
      static_values(STATIC_LOW4, r->codes, i, part, g, out);
    else if (STATIC_AFFINE && form == STATIC_U8)
      static_values(STATIC_U8, r->codes, i, part, g, out);
    else if (STATIC_INT8)
      static_values(STATIC_I8, r->codes, i, part, g, out);
  }
}

LQ_API lq_status lq_static_decode(const lq_static *w, uint32_t first_row, uint32_t rows, float *out)
{
  lq_status s = lq_static_check(w);
  if (s != LQ_OK)
    return s;
  if (first_row > w->rows || rows > w->rows - first_row)
    return LQ_E_SHAPE;
  if (out == NULL && rows != 0 && w->columns != 0)
    return LQ_E_ARGUMENT;
  for (uint32_t i = 0; i < rows && w->columns != 0; i++) {
    struct static_row r = static_row(w, first_row + i);
    static_span(w, &r, 0, w->columns, out + (size_t)i * w->columns);
  }
  return LQ_OK;
}

/* ---- products in f32 ---- */

#ifdef STATIC_FMA

/* Sums of whole pieces from column c on, block after block, as far as they need no cutting: to the
 * returned column. Nibbles begin a byte there. The chains stay in registers. */
LQI_INLINE uint32_t static_dots(enum static_form form, const lq_static *w,
                                const struct static_row *r, uint32_t c, const float *x, float *sums)
{
  const uint32_t per_byte = form == STATIC_BOOK4 || form == STATIC_LOW4 ? 2 : 1;
  float chain[STATIC_CHAINS];
  STATIC_UNROLL
  for (uint32_t l = 0; l < STATIC_CHAINS; l++)
    chain[l] = sums[l];
  while (c < w->columns) {
    uint32_t i = r->first + c, left = r->block - i % r->block;
    uint32_t pieces = (left < w->columns - c ? left : w->columns - c) / STATIC_PIECE;
    if (pieces == 0 || i % per_byte != 0)
      break;
    const struct static_grid g = static_grid(w, r->scale + i / r->block);
    const uint8_t *codes = r->codes + i / per_byte;
    for (c += pieces * STATIC_PIECE; pieces != 0; pieces--) {
      STATIC_UNROLL
      for (uint32_t l = 0; l < STATIC_CHAINS; l++) {
        float even = static_value(form, static_code(form, codes, 2 * l), g);
        float odd = static_value(form, static_code(form, codes, 2 * l + 1), g);
        chain[l] = STATIC_FMA(even, x[2 * l], chain[l]);
        chain[l] = STATIC_FMA(odd, x[2 * l + 1], chain[l]);
      }
      codes += STATIC_PIECE / per_byte;
      x += STATIC_PIECE;
    }
  }
  STATIC_UNROLL
  for (uint32_t l = 0; l < STATIC_CHAINS; l++)
    sums[l] = chain[l];
  return c;
}

static uint32_t static_whole(const lq_static *w, const struct static_row *r, uint32_t c,
                             const float *x, float *sums)
{
  enum static_form form = static_form(w);
  if (STATIC_BOOKS && form == STATIC_BOOK4)
    return static_dots(STATIC_BOOK4, w, r, c, x, sums);
  if (STATIC_AFFINE && form == STATIC_LOW4)
    return static_dots(STATIC_LOW4, w, r, c, x, sums);
  if (STATIC_AFFINE && form == STATIC_U8)
    return static_dots(STATIC_U8, w, r, c, x, sums);
  return STATIC_INT8 ? static_dots(STATIC_I8, w, r, c, x, sums) : c;
}

/* A piece that crosses blocks, or is short and filled up with zeros, which are summed as well. */
static void static_part(const lq_static *w, const struct static_row *r, uint32_t c, uint32_t n,
                        const float *x, float *sums)
{
  float value[8] = {0};
  for (uint32_t i = 0; i < STATIC_PIECE; i++) {
    if (i % 8 == 0 && i < n)
      static_span(w, r, c + i, n - i < 8 ? n - i : 8, value);
    sums[i / 2] = STATIC_FMA(i < n ? value[i % 8] : 0.0f, i < n ? x[i] : 0.0f, sums[i / 2]);
  }
}

static float static_dot(const lq_static *w, uint32_t row, const float *x)
{
  struct static_row r = static_row(w, row);
  float sums[STATIC_CHAINS] = {0};
  for (uint32_t c = 0, n; c < w->columns; c += n) {
    c = static_whole(w, &r, c, x + c, sums);
    n = w->columns - c < STATIC_PIECE ? w->columns - c : STATIC_PIECE;
    if (n != 0)
      static_part(w, &r, c, n, x + c, sums);
  }
  for (uint32_t half = STATIC_CHAINS / 2; half != 0; half /= 2)
    for (uint32_t l = 0; l < half; l++)
      sums[l] += sums[l + half];
  return sums[0];
}

LQ_API lq_status lq_static_matvec(const lq_static *w, const float *x, float *y)
{
  lq_status s = lq_static_check(w);
  if (s != LQ_OK)
    return s;
  if ((x == NULL && w->columns != 0) || (y == NULL && w->rows != 0))
    return LQ_E_ARGUMENT;
  for (uint32_t n = 0; n < w->rows; n++) {
    float sum = static_dot(w, n, x);
    y[n] = w->bias != NULL ? sum + w->bias[n] : sum;
  }
  return LQ_OK;
}

#endif

/* ---- products in integers ---- */

/* 2^31 > 131071 * 128 * 128. */
#define STATIC_MOST_COLUMNS 131071u

/* Rows at a time that share the loads of x. */
#define STATIC_ROWS 4u

/* What C leaves to the implementation, and every one that this is compiled with has. */
/* cppcheck-suppress shiftNegativeLHS; the very thing that is asserted */
_Static_assert(-3 >> 1 == -2, "right shifts of negative integers are arithmetic");

static int32_t static_wrap(uint64_t v)
{
  return (int32_t)(uint32_t)v;
}

LQI_INLINE int32_t static_round_double(int32_t acc, int32_t multiplier, int32_t shift)
{
  uint32_t left = shift > 0 ? (uint32_t)shift : 0, right = shift < 0 ? (uint32_t)-shift : 0;
  int64_t product = (int64_t)static_wrap((uint64_t)(uint32_t)acc << left) * multiplier;
  int32_t v = (int32_t)((product + (INT64_C(1) << 30)) >> 31);
  if (right == 0)
    return v;
  /* right may be 31: the mask is made unsigned. */
  uint32_t mask = ((uint32_t)1 << right) - 1u, rest = (uint32_t)v & mask;
  return (v >> right) + (rest > (mask >> 1) + (v < 0));
}

LQI_INLINE int32_t static_round_single(int32_t acc, int32_t multiplier, int32_t shift)
{
  uint32_t right = (uint32_t)(31 - shift);
  return static_wrap(
      (uint64_t)(((int64_t)acc * multiplier + (INT64_C(1) << (right - 1u))) >> right));
}

LQ_API int32_t lq_requantize(int32_t acc, int32_t multiplier, int32_t shift, int32_t rounding)
{
  if (multiplier < 0 || shift < -31 || shift > 30)
    return 0;
  return rounding == LQ_ROUND_DOUBLE   ? static_round_double(acc, multiplier, shift)
         : rounding == LQ_ROUND_SINGLE ? static_round_single(acc, multiplier, shift)
                                       : 0;
}

static int static_is_i8(int32_t v)
{
  return v >= INT8_MIN && v <= INT8_MAX;
}

LQ_API lq_status lq_static_check_w8a8(const lq_static_w8a8 *w)
{
  if (w == NULL)
    return LQ_E_ARGUMENT;
  if (!lqi_known_struct(w, w->size, sizeof *w))
    return LQ_E_VERSION;
  if (w->columns > STATIC_MOST_COLUMNS || (w->columns != 0 && w->rows > UINT32_MAX / w->columns))
    return LQ_E_OVERFLOW;
  if ((w->rounding != LQ_ROUND_DOUBLE && w->rounding != LQ_ROUND_SINGLE) ||
      !static_is_i8(w->x_zero) || !static_is_i8(w->y_zero) || !static_is_i8(w->y_least) ||
      !static_is_i8(w->y_most) || w->y_least > w->y_most)
    return LQ_E_ARGUMENT;
  if (w->rows == 0)
    return LQ_OK;
  if ((w->codes == NULL && w->columns != 0) || w->bias == NULL || w->multiplier == NULL ||
      w->shift == NULL || (uintptr_t)w->bias % sizeof(int32_t) != 0 ||
      (uintptr_t)w->multiplier % sizeof(int32_t) != 0)
    return LQ_E_ARGUMENT;
  for (uint32_t n = 0; n < w->rows; n++)
    if (w->multiplier[n] < 0 || w->shift[n] < -31 || w->shift[n] > 30)
      return LQ_E_ARGUMENT;
  return LQ_OK;
}

#if LQI_MVE
#define static_dots_i8 lqi_dots_i8_mve
#define static_dot_i8 lqi_dot_i8_mve
#else
static void static_dots_i8(const int8_t *w, const int8_t *x, uint32_t n, int32_t sums[STATIC_ROWS])
{
  const int8_t *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
  int32_t a = 0, b = 0, c = 0, d = 0;
  for (uint32_t i = 0; i < n; i++) {
    a += w[i] * x[i];
    b += w1[i] * x[i];
    c += w2[i] * x[i];
    d += w3[i] * x[i];
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

static int32_t static_dot_i8(const int8_t *w, const int8_t *x, uint32_t n)
{
  int32_t sum = 0;
  for (uint32_t i = 0; i < n; i++)
    sum += w[i] * x[i];
  return sum;
}

#endif

static int8_t static_output(const lq_static_w8a8 *w, uint32_t n, int32_t sum)
{
  int32_t acc = static_wrap((uint64_t)(uint32_t)w->bias[n] + (uint32_t)sum);
  int32_t v = w->rounding == LQ_ROUND_DOUBLE
                  ? static_round_double(acc, w->multiplier[n], w->shift[n])
                  : static_round_single(acc, w->multiplier[n], w->shift[n]);
  /* Before the zero point is added, so that nothing overflows. */
  int32_t least = w->y_least - w->y_zero, most = w->y_most - w->y_zero;
  v = v < least ? least : v > most ? most : v;
  return (int8_t)(v + w->y_zero);
}

LQ_API lq_status lq_static_matvec_w8a8(const lq_static_w8a8 *w, const int8_t *x, int8_t *y)
{
  lq_status s = lq_static_check_w8a8(w);
  if (s != LQ_OK)
    return s;
  if ((x == NULL && w->columns != 0) || (y == NULL && w->rows != 0))
    return LQ_E_ARGUMENT;
  uint32_t n = 0;
  /* Without columns nothing is read, and NULL is no pointer to add to. */
  const int8_t *codes = w->columns != 0 ? w->codes : y;
  for (; w->rows - n >= STATIC_ROWS; n += STATIC_ROWS, codes += STATIC_ROWS * w->columns) {
    int32_t sums[STATIC_ROWS];
    static_dots_i8(codes, x, w->columns, sums);
    for (uint32_t i = 0; i < STATIC_ROWS; i++)
      y[n + i] = static_output(w, n + i, sums[i]);
  }
  for (; n < w->rows; n++, codes += w->columns)
    y[n] = static_output(w, n, static_dot_i8(codes, x, w->columns));
  return LQ_OK;
}

#if LQI_MVE && defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
#undef static_dots_i8
#undef static_dot_i8
#undef STATIC_FMA
#undef STATIC_UNROLL
#undef STATIC_BOOKS
#undef STATIC_AFFINE
#undef STATIC_INT8
