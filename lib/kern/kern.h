/*
 * kern.h - the kernels: one table of function pointers per instruction-set level.
 *
 * Owns: the function types and what each must compute, to the bit. The C version of a kernel
 * (q4_c.c, q8_c.c, aff_c.c, fp_c.c, dots_i8_c.c, tile_c.c) is its specification; a faster one gives
 * the same bytes for every input, NaN payloads excepted (tests/checkkern.c).
 * Must not know: tensors, methods, handles. A kernel sees pointers and sizes.
 *
 * Common rules. Pointers of typed data are aligned to their element, nothing more; codes have no
 * alignment. A kernel reads and writes exactly what its arguments say. Arithmetic is binary32,
 * rounded to nearest after each operation; no kernel contracts a multiplication and an addition
 * unless it says fma. Arrays of three are indexed by lqi_float_index(dtype): f32, f16, bf16; half
 * inputs are widened exactly, half outputs rounded once.
 */
#ifndef LQI_KERN_H
#define LQI_KERN_H

#include "../core/base.h"
#include "../core/half.h"

/*
 * A 4-bit code book for encoding: bound[i] lies between sorted values i and i + 1, code[rank] is
 * the stored code. The bounds are padded with +infinity to 16 so that a vector can load them.
 */
struct lqi_q4_book {
  float value[16]; /* by code */
  float bound[16];
  uint8_t code[16]; /* by rank */
};

/*
 * An 8-bit code book: 256 ascending values, so that rank and code are one; bound[255] is +infinity.
 * bin[i] is the first of the 65536 bins of bitsandbytes' CPU rule whose code exceeds i (kernel
 * q8_bins).
 */
struct lqi_q8_book {
  float value[256];
  float bound[256];
  uint32_t bin[256];
};

/* Smallest divisor of the reference's normalisation, 1e-38 as binary32 (a subnormal). */
#define LQI_ABSMAX_FLOOR_BITS 0x006ce3eeu

/*
 * Encode whole blocks: for each of `blocks` consecutive blocks of `block` elements (a positive
 * multiple of 8)
 *   m = max |x|, the canonical NaN 0x7fc00000 if any element is NaN; absmax[b] = m
 *   r = 1 / max(m, 1e-38), NaN if m is; v = x * r
 *   rank = number of bounds i in 0..14 (q8: 0..254) for which v <= bound[i] does NOT hold, so that
 *   NaN gets the last rank
 * q4: code = book->code[rank], element 2k in the high nibble of byte k, element 2k+1 in the low
 * one. q8: code = rank, one byte each.
 */
typedef void lqi_q4_encode_fn(const struct lqi_q4_book *book, const void *x, size_t blocks,
                              size_t block, float *absmax, uint8_t *codes);
typedef void lqi_q8_encode_fn(const struct lqi_q8_book *book, const void *x, size_t blocks,
                              size_t block, float *absmax, uint8_t *codes);

/*
 * Decode whole blocks (sizes as above): out = value[code] * absmax[b], one multiplication, then one
 * rounding to the output dtype. `value` has 16 (256) entries. `stream` != 0 asks for stores that
 * bypass the caches: the caller will not read the result soon; the kernel has finished with an
 * sfence then. It changes speed only.
 */
typedef void lqi_q4_decode_fn(const float *value, const uint8_t *codes, size_t blocks, size_t block,
                              const float *absmax, void *out, int stream);
typedef lqi_q4_decode_fn lqi_q8_decode_fn;

/* max |x| of n >= 0 elements as above: 0 for none, the canonical NaN if any element is NaN. */
typedef float lqi_absmax_fn(const void *x, size_t n);

/*
 * codes = x * scale rounded to the nearest integer, ties to even; 0 where the product is NaN or its
 * magnitude is not below 127.5 (so infinite products give 0). Codes are -127..127.
 */
typedef void lqi_i8_encode_fn(const void *x, size_t n, float scale, int8_t *codes);

/* Nearest f32 to 1/127. */
#define LQI_I8_STEP_BITS 0x3c010204u

/* out = ((f32)code * stat) * LQI_I8_STEP_BITS, two roundings, then to the output
 * dtype. */
typedef void lqi_i8_decode_fn(const int8_t *codes, size_t n, float stat, void *out, int stream);

/* Widen n elements to f32 (exact), or round n f32 to the dtype of the table entry. f32 entries
 * copy. */
typedef void lqi_widen_fn(const void *x, size_t n, float *out);
typedef void lqi_narrow_fn(const float *x, size_t n, void *out);

/*
 * The order of every product in f32. Columns come in pieces of 32, the last filled up with zeros in
 * both factors. Chain l of 16 sums fma(w, x, .) over columns 2l and 2l + 1 of each piece, pieces
 * rising, from +0; then chains are folded l with l + 8, then + 4, + 2, + 1. It depends on the
 * number of columns alone, so every level gives the same bits, for any number of rows. The chain of
 * a pair of columns is what makes 4-bit codes cheap: a byte has two of them, one for each of two
 * vectors (strip_avx512.c).
 *
 * A paired row holds each piece as its 16 even columns, then its 16 odd ones, so that in memory too
 * chain l is every 16th element.
 */
#define LQI_PIECE 32

/* n elements of a dtype to a paired row of f32, filled up with zeros. */
typedef void lqi_pair_fn(const void *x, size_t n, float *out);

/* Paired rows of a matrix: row r begins at from + r * stride. */
struct lqi_rows {
  const float *from;
  size_t stride, count;
};

/* A product over many columns may be taken in ranges of them: chains then wait in `sums`. */
enum lqi_dots_stage { LQI_DOTS_BEGIN = 1, LQI_DOTS_END = 2 };

/*
 * Inner products of paired rows, n columns each, n a multiple of 32. The chains of row i of a and
 * row j of b are sums[(j * a.count + i) * 16 ..]: they start from there, or with BEGIN from +0, and
 * go there, or with END are folded to out[j * stride + i].
 */
typedef void lqi_dots_fn(struct lqi_rows a, struct lqi_rows b, size_t n, int stage, float *sums,
                         float *out, size_t stride);

/*
 * How a row of coded weights lies in memory. Of the first ones the low bits are those of the even
 * column. Values: book4, book8: scale * book[code]; low2 to low4, u8: scale * (code - zero); i8:
 * ((f32)code * scale) * LQI_I8_STEP_BITS, as i8_decode.
 */
enum lqi_form {
  LQI_FORM_BOOK4, /* the even column is the high nibble */
  LQI_FORM_LOW4,
  LQI_FORM_LOW3,
  LQI_FORM_LOW2,
  LQI_FORM_BOOK8, /* from here on a byte each */
  LQI_FORM_U8,
  LQI_FORM_I8,
  LQI_FORM_F32,
  LQI_FORM_F16,
  LQI_FORM_BF16,
  LQI_FORMS
};

/* Bits of a column. */
LQI_INLINE size_t lqi_form_bits(int form)
{
  return form == LQI_FORM_F32     ? 32
         : form >= LQI_FORM_F16   ? 16
         : form >= LQI_FORM_BOOK8 ? 8
         : form == LQI_FORM_LOW3  ? 3
         : form == LQI_FORM_LOW2  ? 2
                                  : 4;
}

/* Code i of a row of codes of `bits` each, 8 at most, that begin with the low bits of a byte. */
LQI_INLINE uint32_t lqi_code_at(const uint8_t *row, uint64_t i, uint32_t bits)
{
  const uint64_t bit = i * bits;
  uint32_t some = row[bit / 8];
  if (bit % 8 + bits > 8)
    some |= (uint32_t)row[bit / 8 + 1] << 8;
  return some >> bit % 8 & ((1u << bits) - 1u);
}

/* Whether codes have a zero point of their own: low2 to low4, u8. */
LQI_INLINE int lqi_form_has_zero(int form)
{
  return (form >= LQI_FORM_LOW4 && form <= LQI_FORM_LOW2) || form == LQI_FORM_U8;
}

/*
 * Consecutive rows of coded weights. Group g of row r, `group` columns (a multiple of 32), has its
 * scale at grid[r * grid_step + g * numbers] and, where numbers is 2, its zero point behind it, an
 * integer in 0..256.
 */
struct lqi_strip {
  const uint8_t *codes;
  size_t row_bytes;
  const float *grid;
  size_t grid_step, numbers, group;
  const float *book; /* 16 values, book8: 256; low2 to low4: 0, 1, .. repeated */
};

/* Rows 0 .. rows - 1, n columns (a multiple of 32, and of `group` where there are groups), decoded
 * to paired rows of f32 at out + r * stride. */
typedef void lqi_strip_pair_fn(const struct lqi_strip *w, size_t rows, size_t n, float *out,
                               size_t stride);

/* Their products with m paired rows of x, m <= LQI_STRIP_M: out[j * stride + r]. Both kernels of a
 * form may be NULL in the table of a level: it decodes such rows faster in the usual way. */
#define LQI_STRIP_M 4
typedef void lqi_strip_dots_fn(const struct lqi_strip *w, size_t rows, size_t n, const float *x,
                               size_t x_stride, size_t m, float *out, size_t stride);

/*
 * The same in 16-bit fixed point, for mode fast. Columns come in units of 64. A row of x has for
 * each unit u a scale t = max |x| / 32767 and integers q = x / t, rounded to the nearest. Weights
 * are integers too: of book4 the book times 16383 over its largest magnitude, of low2 to low4 and
 * u8 code - zero, of i8 the code. Chain l sums over the units, rising,
 *   fma((f32)(sum of w q over columns 4l .. 4l + 3 of the unit), f * t, .)
 * where f is the scale of the group, times what the book was divided by (i8: times
 * LQI_I8_STEP_BITS). The integer sums are exact, 4 * 16383 * 32767 < 2^31, so every level gives the
 * same bits. Chains are folded as above.
 */
#define LQI_UNIT 64

/* m rows of x: q [m][stride], in an order inside a unit that is the level's own; t [m][stride /
 * LQI_UNIT]. */
struct lqi_fixed {
  int16_t *q;
  float *t;
  size_t stride;
};

/* Row r of `out` from a paired row of n columns, a multiple of 64. A unit whose maximum is below
 * 2^-100 becomes 0; one that holds NaN or infinity has t = NaN and q = 0. */
typedef void lqi_fix_fn(const float *x, size_t n, const struct lqi_fixed *out, size_t r);

/* Products with rows 0 .. m - 1 of x, m <= LQI_STRIP_M: out[j * stride + r]. n and `group` are
 * multiples of 64. NULL in the table: the form has none. */
typedef void lqi_fixed_dots_fn(const struct lqi_strip *w, size_t rows, size_t n,
                               const struct lqi_fixed *x, size_t m, float *out, size_t stride);

/*
 * The same in 8 bits, for mode fast where bytes are multiplied in fours. Columns come in units of
 * 32 or 64. A row of x has for each unit u a scale t = max |x| / 127 and integers q = x / t,
 * rounded to the nearest. Weights are bytes c less a zero point z: of book4 c is 128 + the book
 * times 127 over its largest magnitude, of low2 to low4 and u8 the code, of i8 128 + the code; z is
 * 128 where the form has no other. A product sums over the units, rising,
 *   fma((f32)(sum of (c - z) q over the unit), f * t, .)
 * from +0, where f is the scale of the group, times what the book was divided by (i8: times
 * LQI_I8_STEP_BITS). The integer sums are exact, below 2^24.
 *
 * An instruction multiplies four columns of 16 rows of W by the same ones of a row of x. As 4-bit
 * codes lie in pairs, of each 8 columns of such forms the even ones come first, then the odd ones.
 */
#define LQI_BYTE_ROWS 16
#define LQI_BYTE_PANEL 12

/*
 * Panels of 1, 4, 8 or 12 rows of x, in which four columns of a row lie together: q [panels][n / 4]
 * [rows][4]; for each unit and row t, and minus `times` the sum of its q [panels][units][rows]. n
 * is a multiple of `unit`. `split` is for forms of 4 bits; `times` is 128 where z is, else 1. What
 * the last panel has beyond the rows of x may be read.
 */
struct lqi_byte_x {
  int8_t *q;
  float *t;
  int32_t *minus;
  size_t n, unit, rows;
  int split;
  int32_t times;
};

/* n columns of f32, whole units, to row r of a panel. A unit whose maximum is below 2^-100 becomes
 * 0; one that holds NaN or infinity has t = NaN and q = 0. */
typedef void lqi_byte_round_fn(const float *x, size_t n, const struct lqi_byte_x *out, size_t r);

/* Products of rows of W with rows 0 .. m - 1 of x: out[j * stride + r], which is written up to a
 * multiple of 16 rows. `step` is what the book was divided by, or LQI_I8_STEP_BITS, or 1. NULL: the
 * form has none. */
typedef void lqi_byte_dots_fn(const struct lqi_strip *w, size_t rows, float step,
                              const struct lqi_byte_x *x, size_t m, float *out, size_t stride);

/*
 * Products of blocks of 32 rows by panels of 32 rows, in steps of 64 bytes a row: 32 columns of
 * bf16, or 64 of int8. Row r of block b of w begins at w + (32 b + r) * w_stride. A panel of x, at
 * x + p * x_step, holds for each step two tiles of 1 KiB, of rows 0 to 15 and 16 to 31: 16 lines,
 * line l with bytes 4 l .. 4 l + 3 of each row. Sums, 4 bytes each, are 4 tiles for panel p and
 * block b at c + (p * blocks + b) * 4 KiB: tile 2 h + g has [16 rows 16 h .. of w][16 rows 16 g ..
 * of x]. They begin at 0, or go on.
 *
 * bf16: sums in f32, pairs of products at a time, subnormals taken as 0: for any number of threads
 * the same, but only here. int8: exact in int32. NULL in the table where there is no such unit.
 */
#define LQI_TILE_ROWS 32
#define LQI_TILE_STEP 64

struct lqi_blocks {
  const uint8_t *w, *x;
  size_t w_stride, x_step, blocks, panels, steps;
  uint8_t *c;
  int begin;
};
typedef void lqi_blocks_fn(const struct lqi_blocks *b);

/*
 * What lq_compare sums over pairs of finite values, in double: lane l takes the elements i = l mod
 * 8 of a call in rising order. Squares and products of widened f32 are exact; only the sums, the
 * difference and its square round.
 */
struct lqi_deviation {
  double aa[8], bb[8], dd[8], ab[8]; /* a^2, b^2, (a - b)^2, a b */
  double max[8];                     /* largest |a - b| */
};
typedef void lqi_deviation_fn(const float *a, const float *b, size_t n, struct lqi_deviation *sums);

/*
 * w[c * 32 + l] = fma(m[k * ld + c], e[k * 32 + l], w[c * 32 + l]) for k = 0 .. depth - 1 in order,
 * c < count and l < 32: errors of 32 rows in `depth` columns spread over columns that follow. One
 * call with depth d does what d calls with depth 1 do, bit for bit.
 */
typedef void lqi_spread_fn(const float *m, size_t ld, size_t depth, const float *e, size_t count,
                           float *w);

/* Rows of bytes: row r begins at from + r * stride. */
struct lqi_bytes {
  const uint8_t *from;
  size_t stride, count;
};

/*
 * Exact inner products of int8 codes: out[j * stride + i] for row i of a and row j of b, n columns
 * each; n < 2^17, so that int32 cannot overflow. Bytes of a are the codes (-128..127), those of b
 * are codes + 128: instructions multiply signed by unsigned bytes. Rows of a are expected to follow
 * each other in memory, and to be many; what follows them may be fetched into the caches.
 */
typedef void lqi_dots_i8_fn(struct lqi_bytes a, struct lqi_bytes b, size_t n, int32_t *out,
                            size_t stride);

/* What a tile kernel does with its sums p: c = p, c = c + p, c = c - p. */
enum lqi_tile_mode { LQI_TILE_SET, LQI_TILE_ADD, LQI_TILE_SUB };

/*
 * A tile of a matrix product: for i < m and j < n
 *   p = +0, then p = fma(a[k * step + i], b[k * columns + j], p) for k = 0 .. depth - 1 in order,
 *   then c[i * ldc + j] by `mode`, with one rounding (sum: c is binary64, c = c + p).
 * One chain for each element, so that neither the size of a tile nor the width of a vector can be
 * seen in the result. 1 <= m <= rows and 1 <= n <= columns of the level's table; of each step the
 * kernel reads `rows` values of a, and values of b up to n rounded up to `grain`. Columns start at
 * multiples of `grain`.
 */
typedef void lqi_tile_f32_fn(size_t depth, const float *a, size_t step, const float *b, float *c,
                             size_t ldc, size_t m, size_t n, int mode);
typedef void lqi_tile_f64_fn(size_t depth, const double *a, size_t step, const double *b, double *c,
                             size_t ldc, size_t m, size_t n, int mode);
typedef void lqi_tile_sum_fn(size_t depth, const float *a, size_t step, const float *b, double *c,
                             size_t ldc, size_t m, size_t n);

/*
 * One row of such a product with b as it comes, rows of n values at a distance of ldb, and the sums
 * in memory: p[j] = fma(a[k], b[k * ldb + j], p[j]) for k = 0 .. depth - 1 in order.
 */
typedef void lqi_tile_row_fn(size_t depth, const float *a, const float *b, size_t ldb, float *p,
                             size_t n);

/* Into panels: out[k * step + i] = x[i * ld + k] for i < rows, k < columns. */
typedef void lqi_transpose_f32_fn(const float *x, size_t ld, size_t rows, size_t columns,
                                  float *out, size_t step);
typedef void lqi_transpose_f64_fn(const double *x, size_t ld, size_t rows, size_t columns,
                                  double *out, size_t step);

/*
 * The tile kernels of a level. `rows` divides 16, `columns` is a multiple of `rows` and of `grain`,
 * so that one packed panel of `columns` serves as left and as right factor.
 */
struct lqi_tiles {
  lqi_tile_f32_fn *f32;
  lqi_tile_sum_fn *sum;
  lqi_tile_f64_fn *f64;
  lqi_tile_row_fn *row;
  lqi_transpose_f32_fn *transpose_f32;
  lqi_transpose_f64_fn *transpose_f64;
  uint32_t rows;
  uint32_t columns_f32, grain_f32; /* of f32 and sum */
  uint32_t columns_f64, grain_f64;
};

/* A uniform grid: value = scale * (code - zero), code 0..most; zero is an integer in 0..most. */
struct lqi_grid {
  float scale, zero;
};

/*
 * The aff kernels take `groups` consecutive groups of `group` elements; `group` is a multiple of 8,
 * or any number where there is one group.
 *
 * Range: lo = min(0, min x), hi = max(0, max x), zeros positive; both are the canonical NaN if any
 * element of the group is NaN.
 */
typedef void lqi_aff_range_fn(const void *x, size_t groups, size_t group, float *lo, float *hi);

/*
 * The grid of each of n ranges, with most = 2^bits - 1 (bits 2..8):
 *   symmetric: hi = max(-lo, hi), lo = -hi; where hi = lo: lo = -1, hi = 1
 *   s = (hi - lo) / most, at least 2^-24 and at most 65504 (NaN stays), rounded to f16
 *   zero = 2^(bits - 1), or if not symmetric -lo / s, at least 0 (0 for NaN) and at most `most`,
 *   rounded to the nearest integer, ties to even
 * half[i] are the bits of the scale, grid[i].scale is their value.
 */
typedef void lqi_aff_grid_fn(const float *lo, const float *hi, size_t n, uint32_t bits,
                             int symmetric, struct lqi_grid *grid, uint16_t *half);

/*
 * code = x / scale, at least -zero (also for NaN) and at most most - zero, rounded to the nearest
 * integer, ties to even, + zero.
 * aff8: a byte each, most <= 255. aff4: most = 15, element 2k in the low nibble of byte k, element
 * 2k+1 in the high one; an odd number leaves the last nibble 0.
 */
typedef void lqi_aff_encode_fn(const void *x, size_t groups, size_t group,
                               const struct lqi_grid *grid, float most, uint8_t *codes);

/*
 * 32 values, each by its own grid: code = x / scale, at least -zero (also for NaN) and at most most
 * - zero, rounded as above, + zero; q = scale * (code - zero). most <= 255.
 */
typedef void lqi_aff_round_fn(const float *x, const float *scale, const float *zero, float most,
                              uint8_t *codes, float *q);

/* out = scale * (code - zero), one rounding, then one to the output dtype; stream as above. */
typedef void lqi_aff_decode_fn(const uint8_t *codes, size_t groups, size_t group,
                               const struct lqi_grid *grid, void *out, int stream);

/*
 * chain[i % 16] += |boost * (scale * (code - zero) - x[i])|^power for rising i, code as above. The
 * power is exp2(power * log2(d)) by the polynomials of aff_c.c, products and sums rounded one by
 * one; 0 where d < 2^-100 or the result < 2^-126.
 */
struct lqi_aff_loss {
  float most, boost, power;
};
typedef void lqi_aff_error_fn(const float *x, size_t n, const struct lqi_grid *grid,
                              const struct lqi_aff_loss *loss, float chain[16]);

struct lqi_kernels {
  lqi_q4_encode_fn *q4_encode[LQI_FLOATS];
  lqi_q4_decode_fn *q4_decode[LQI_FLOATS];
  lqi_q8_encode_fn *q8_encode[LQI_FLOATS];
  lqi_q8_decode_fn *q8_decode[LQI_FLOATS];
  lqi_aff_range_fn *aff_range[LQI_FLOATS];
  lqi_aff_encode_fn *aff4_encode[LQI_FLOATS];
  lqi_aff_encode_fn *aff8_encode[LQI_FLOATS];
  lqi_aff_decode_fn *aff4_decode[LQI_FLOATS];
  lqi_aff_decode_fn *aff8_decode[LQI_FLOATS];
  lqi_aff_grid_fn *aff_grid;
  lqi_aff_error_fn *aff_error;
  lqi_aff_round_fn *aff_round;
  lqi_absmax_fn *absmax[LQI_FLOATS];
  lqi_i8_encode_fn *i8_encode[LQI_FLOATS];
  lqi_i8_decode_fn *i8_decode[LQI_FLOATS];
  lqi_widen_fn *widen[LQI_FLOATS];
  lqi_narrow_fn *narrow[LQI_FLOATS];
  lqi_pair_fn *pair[LQI_FLOATS];
  lqi_dots_fn *dots;
  lqi_strip_pair_fn *strip_pair[LQI_FORMS];
  lqi_strip_dots_fn *strip_dots[LQI_FORMS];
  uint32_t strip_rows; /* of x, up to which strip_dots is faster than decoding to memory first */
  lqi_fix_fn *fix;
  lqi_fixed_dots_fn *fixed_dots[LQI_FORMS];
  lqi_byte_round_fn *byte_round;
  lqi_byte_dots_fn *byte_dots[LQI_FORMS];
  int byte_products; /* they are faster than other ways */
  lqi_blocks_fn *blocks_bf16, *blocks_i8;
  lqi_spread_fn *spread;
  lqi_deviation_fn *deviation;
  lqi_dots_i8_fn *dots_i8;
  struct lqi_tiles tiles;
};

/* The table of a level, NULL if this build or this processor lacks it; constant data. */
const struct lqi_kernels *lqi_kernels_at(int level);

/* The table in force: the best level that lq_cpu_limit allows. Any thread. */
const struct lqi_kernels *lqi_kernels(void);

/*
 * Pieces that have one version. They serve partial blocks, odd offsets and rare values; they are
 * specification and implementation in one.
 */

/* Ranks n given values v by the book and packs the codes from nibble 0 of `codes`; an odd n pads
 * with the code of 0. */
void lqi_q4_pack(const struct lqi_q4_book *book, const float *v, size_t n, uint8_t *codes);

/* out[0..n) = value[code[first + i]] * scale for nibbles first.. of `codes`. */
void lqi_q4_decode_part(const float *value, const uint8_t *codes, uint64_t first, size_t n,
                        float scale, int32_t dtype, void *out);

/* A book as integers, and what they were multiplied by: value = integer * the result. */
float lqi_fixed_book(const float book[16], int16_t out[16]);
float lqi_byte_book(const float book[16], uint8_t out[16]);

void lqi_q8_pack(const struct lqi_q8_book *book, const float *v, size_t n, uint8_t *codes);
void lqi_q8_decode_part(const float *value, const uint8_t *codes, size_t n, float scale,
                        int32_t dtype, void *out);

/*
 * The rule of bitsandbytes' CPU code (0.50): v = clamp(x * r, -1, 1), bin k = trunc((v + 1) * 0.5 *
 * 65535 + 0.5), NaN to bin 0; code = number of i with book->bin[i] <= k.
 */
void lqi_q8_bins(const struct lqi_q8_book *book, const float *x, size_t n, float r, uint8_t *codes);

/*
 * n codes of a byte each as a little-endian stream of `bits` (1..8) bits per code from bit 0 of
 * byte 0 on, and back; the last byte is filled up with zero bits. `in` starts with a whole code;
 * codes must be below 2^bits.
 */
void lqi_bits_pack(const uint8_t *codes, size_t n, uint32_t bits, uint8_t *out);
void lqi_bits_unpack(const uint8_t *in, size_t n, uint32_t bits, uint8_t *codes);

#endif
