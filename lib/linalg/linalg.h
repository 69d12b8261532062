/*
 * linalg.h - dense linear algebra for methods that look at second moments: sums of X^T X, Cholesky
 * factors, triangular inverses, matrix products.
 *
 * Owns: the storage of triangles, the order of every sum.
 * Must not know: weights, codes, why a matrix is factored.
 *
 * Every element of a result is made of chains of fused multiply-adds over fixed ranges of k, and
 * the chains are added in order; ranges depend on nothing but the position in the matrix. So
 * results are the same bits for any number of threads, any instruction set, any split of the input.
 * Functions do not check what they are passed; sizes come from the functions below, which do.
 */
#ifndef LQI_LINALG_H
#define LQI_LINALG_H

#include "../core/mem.h"
#include "../core/par.h"
#include "../kern/kern.h"

/*
 * ---- triangles ----
 *
 * A lower triangle of order n is stored in block rows: n is padded to a multiple of 128, and each
 * 128 rows are a row-major matrix of as many columns as they need, the square on the diagonal
 * included. That is n (n + 128) / 2 elements, half of a square; rows are contiguous, and a block
 * row is an ordinary matrix with a leading dimension.
 *
 * Read backward, the same array is an upper triangle whose rows begin at the diagonal square; that
 * is what reversing rows and columns means, so J L J of a lower L costs one pass
 * (lqi_triangle_reverse).
 */
#define LQI_BLOCK 128

/* n rounded up to whole blocks, and the elements of its triangle; 1 if they do not fit. */
int lqi_triangle_size(uint64_t n, uint64_t *padded, uint64_t *elements);

/* Leading dimension of the block row of row i, and the place of element (i, j), j <= i. */
LQI_INLINE size_t lqi_lower_ld(size_t i)
{
  return (i / LQI_BLOCK + 1) * LQI_BLOCK;
}

LQI_INLINE size_t lqi_lower_at(size_t i, size_t j)
{
  size_t b = i / LQI_BLOCK;
  return LQI_BLOCK * LQI_BLOCK * (b * (b + 1) / 2) + i % LQI_BLOCK * (b + 1) * LQI_BLOCK + j;
}

/* The same of an upper triangle of padded order n, i <= j. */
LQI_INLINE size_t lqi_upper_ld(size_t n, size_t i)
{
  return n - i / LQI_BLOCK * LQI_BLOCK;
}

LQI_INLINE size_t lqi_upper_at(size_t n, size_t i, size_t j)
{
  return lqi_lower_at(n, 0) - 1 - lqi_lower_at(n - 1 - i, n - 1 - j);
}

/* Turns lower L into upper J L J, or back, in place; n is the padded order. */
void lqi_triangle_reverse_f32(float *a, size_t n, const struct lqi_par *par);
void lqi_triangle_reverse_f64(double *a, size_t n, const struct lqi_par *par);

/*
 * ---- second moments ----
 *
 * H = sum of x x^T over rows x. Products of 256 rows, counted from the first, are summed in
 * binary32 and added to a lower triangle in binary64 (the error of a sum of binary32 over many rows
 * would reach what damping is to cover). Rows wait in packed form until there are enough of them,
 * so how they come in cannot be seen in the result.
 */
#define LQI_MOMENTS_WAITING 512

/*
 * Paired moments also have D = sum of (y - x) x^T over pairs of rows x and y, a whole square of
 * padded order, summed likewise.
 */
struct lqi_moments {
  struct lqi_mem mem;
  const struct lqi_kernels *kern;
  double *sum;   /* lower triangle in block rows, without the rows that wait */
  double *cross; /* [padded][padded], likewise; NULL unless paired */
  float *panel;
  float *other; /* rows y that wait; NULL unless paired */
  size_t n, padded;
  uint64_t rows;  /* so far */
  size_t waiting; /* of them in panel */
};

/* LQ_OK, LQ_E_MEMORY. The memory, by far most of it `sum`, is known before: 0 if it cannot be. */
lq_status lqi_moments_create(struct lqi_moments *h, const struct lqi_mem *mem,
                             const struct lqi_kernels *kern, uint64_t n);
uint64_t lqi_moments_bytes(uint64_t n);
void lqi_moments_destroy(struct lqi_moments *h);

/* Makes moments that have seen nothing paired. LQ_E_MEMORY. */
lq_status lqi_moments_pair(struct lqi_moments *h);

/* Adds rows of n elements that begin `stride` elements apart. */
void lqi_moments_add(struct lqi_moments *h, const float *x, size_t rows, size_t stride,
                     const struct lqi_par *par);

/* Rows in pairs, for paired moments. */
struct lqi_row_pairs {
  const float *x, *y;
  size_t x_stride, y_stride;
};

void lqi_moments_add_pairs(struct lqi_moments *h, const struct lqi_row_pairs *pairs, size_t rows,
                           const struct lqi_par *par);

/* Adds the rows that wait. Rows that come later begin a new range of 256. */
void lqi_moments_flush(struct lqi_moments *h, const struct lqi_par *par);

/* Element i of row k of those that wait; of the y of a pair. */
float lqi_moments_waiting(const struct lqi_moments *h, size_t k, size_t i);
float lqi_moments_waiting_other(const struct lqi_moments *h, size_t k, size_t i);

/* As if the rows of `from`, which has as many columns and is paired if h is, had come behind those
 * of h; rows of h that wait are added first. LQ_E_MEMORY. */
lq_status lqi_moments_merge(struct lqi_moments *h, const struct lqi_moments *from,
                            const struct lqi_par *par);

/*
 * A lower triangle for the functions below from rows and columns `order` of the moments (n of them,
 * NULL: as they are): out(i, j) = sum(order[i], order[j]) * scale off the diagonal, rounded once
 * more to f32, and diagonal[order[i]] on it, where the caller has put damping. reversed != 0 counts
 * i and j from the end, for factors R R^T with upper R. Rows that only padding has are those of the
 * identity: the last ones, or, reversed, the first ones.
 */
void lqi_moments_gather_f32(const struct lqi_moments *h, const uint32_t *order,
                            const double *diagonal, double scale, int reversed, float *out,
                            const struct lqi_par *par);
void lqi_moments_gather_f64(const struct lqi_moments *h, const uint32_t *order,
                            const double *diagonal, double scale, int reversed, double *out,
                            const struct lqi_par *par);

/* sum(i, i) for i < n */
void lqi_moments_diagonal(const struct lqi_moments *h, double *out);

/*
 * ---- factors ----
 *
 * In place, lower triangles of padded order n in block rows, zeros above the diagonal afterwards.
 * Squares on the diagonal are factored, inverted and applied in binary64 in both versions.
 */

/* Bytes of work space for each of the functions below; 0 if they do not fit. */
uint64_t lqi_factor_scratch(uint64_t n, size_t element);

/*
 * A = L L^T. Returns 0, or the number (from 1) of the first column whose pivot is not positive and
 * finite; A is lost then. Column c of a reversed triangle is row n - c of what was reversed.
 */
size_t lqi_cholesky_f32(const struct lqi_kernels *kern, float *a, size_t n, void *scratch,
                        const struct lqi_par *par);
size_t lqi_cholesky_f64(const struct lqi_kernels *kern, double *a, size_t n, void *scratch,
                        const struct lqi_par *par);

/* L becomes its inverse, by forward substitution of the identity. No diagonal element is zero. */
void lqi_invert_lower_f32(const struct lqi_kernels *kern, float *a, size_t n, void *scratch,
                          const struct lqi_par *par);
void lqi_invert_lower_f64(const struct lqi_kernels *kern, double *a, size_t n, void *scratch,
                          const struct lqi_par *par);

/*
 * ---- what the cross moments pull ----
 *
 * P = share * triu(D U^T, 1) U, an upper triangle like U: U is an upper triangle in block rows,
 * D(i, j) = cross(order[i], order[j]) * scale. Row i of P is row i of D times the inverse of the
 * part of (U^T U)^-1 that lies behind i. `work` is lqi_pull_room floats for each worker; nothing
 * depends on how many there are.
 */
struct lqi_pull {
  const struct lqi_moments *h;
  const uint32_t *order;
  const float *upper;
  double share, scale;
  float *out, *work;
  uint32_t workers;
};

uint64_t lqi_pull_room(uint64_t n);
void lqi_pull_f32(const struct lqi_pull *p, const struct lqi_par *par);

/* Whether all y were equal to their x. */
int lqi_moments_are_equal(const struct lqi_moments *h);

/*
 * ---- products ----
 *
 * C = A B, C + A B or C - A B for row-major C [m, n], A [m, k], B [k, n] or, transposed, [n, k];
 * ld: elements between rows. Ranges of 256 k are summed one by one and added to C in order.
 * C overlaps neither A nor B.
 */
struct lqi_gemm {
  size_t m, n, k;
  const float *a, *b;
  float *c;
  size_t lda, ldb, ldc;
  int transposed; /* B is [n, k] */
  int mode;       /* enum lqi_tile_mode */
};

/* Bytes of work space; 0 if they do not fit. */
uint64_t lqi_gemm_scratch(uint64_t m, uint64_t n, uint64_t k);

void lqi_gemm_f32(const struct lqi_kernels *kern, const struct lqi_gemm *g, void *scratch,
                  const struct lqi_par *par);

/*
 * A right factor that is used often: [depth, n], packed once for the tiles of `kern`. It takes
 * depth * lqi_panels_f32 floats.
 */
size_t lqi_panels_f32(const struct lqi_kernels *kern, size_t n);
void lqi_pack_f32(const struct lqi_kernels *kern, const float *x, size_t ld, size_t depth, size_t n,
                  float *out);

/*
 * C = C + A B for row-major C [m, n] and packed B, depth <= 256, on the calling thread. Element
 * (i, k) of A is a[(i / step * depth + k) * step + i % step]: groups of `step` rows, step after
 * step of k; step is a multiple of 16, and the last group is as large as the others.
 */
struct lqi_packed_product {
  size_t m, n, depth, step;
  const float *a, *b;
  float *c;
  size_t ldc;
};

void lqi_packed_add_f32(const struct lqi_kernels *kern, const struct lqi_packed_product *p);

#endif
