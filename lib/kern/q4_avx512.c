/*
 * q4_avx512.c - 4-bit code books, AVX-512.
 *
 * Owns: encode and decode of blocks of 16-entry code books, 64 weights at a time.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_avx512.h"

#include <math.h>

#if LQI_X86

/* Two ways to rank: the search takes four rounds with any book, the cells take one look-up if the
 * book fits them. */
struct q4_avx512_book {
  __m512 bound; /* by rank */
  __m128i code; /* by rank */
  struct avx512_cells cells;
};

/* The next value up: one more in magnitude, one less below zero, the smallest subnormal after
 * either zero. */
LQI_INLINE LQI_AVX512 __m512 q4_avx512_next(__m512 v)
{
  const __m512i one = _mm512_set1_epi32(1);
  __m512i bits = _mm512_castps_si512(v);
  __mmask16 negative = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ);
  __mmask16 zero = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_EQ_OQ);
  __m512i next = _mm512_mask_sub_epi32(_mm512_add_epi32(bits, one), negative, bits, one);
  return _mm512_castsi512_ps(_mm512_mask_mov_epi32(next, zero, one));
}

/*
 * A bound that is the last value of its cell is never exceeded inside it and counts only for higher
 * cells, so it may share the cell with another.
 */
LQI_AVX512 int lqi_q4_cells_avx512(struct avx512_cells *cells, const float *bounds)
{
  const __mmask16 all = 0x7fff, pairs = 0x3fff;
  const __m512i one = _mm512_set1_epi32(1), last = _mm512_set1_epi32(-1);
  __m512 bound = _mm512_loadu_ps(bounds);
  __m512 above = _mm512_castsi512_ps(_mm512_alignr_epi32(last, _mm512_castps_si512(bound), 1));
  __mmask16 within = _mm512_cmp_ps_mask(_mm512_abs_ps(bound), _mm512_set1_ps(1.0f), _CMP_LT_OQ);
  if ((within & all) != all || (_mm512_cmp_ps_mask(bound, above, _CMP_GT_OQ) & pairs) != 0)
    return 0;
  __m512i cell = avx512_cell(bound);
  __mmask16 inner = all & _mm512_cmpeq_epi32_mask(cell, avx512_cell(q4_avx512_next(bound)));
  if ((_mm512_cmpeq_epi32_mask(cell, _mm512_alignr_epi32(last, cell, 1)) & inner & (inner >> 1)) !=
      0)
    return 0;
  cell = _mm512_sub_epi32(cell, avx512_cell(_mm512_setzero_ps()));
  /* Entries 0..16 stand for themselves, 17..31 for -15..-1. */
  __m512i low = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  __m512i high =
      _mm512_set_epi32(-1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12, -13, -14, -15, 16);
  cells->rank[0] = cells->rank[1] = _mm512_setzero_si512();
  cells->bound[0] = cells->bound[1] = _mm512_set1_ps(INFINITY);
  for (int i = 0; i < 15; i++) {
    __m512i at = _mm512_set1_epi32(i), c = _mm512_permutexvar_epi32(at, cell);
    __m512 b = _mm512_permutexvar_ps(at, bound);
    __mmask16 own = (__mmask16)(0 - (inner >> i & 1));
    cells->rank[0] =
        _mm512_mask_add_epi32(cells->rank[0], _mm512_cmplt_epi32_mask(c, low), cells->rank[0], one);
    cells->rank[1] = _mm512_mask_add_epi32(cells->rank[1], _mm512_cmplt_epi32_mask(c, high),
                                           cells->rank[1], one);
    cells->bound[0] =
        _mm512_mask_mov_ps(cells->bound[0], _mm512_mask_cmpeq_epi32_mask(own, c, low), b);
    cells->bound[1] =
        _mm512_mask_mov_ps(cells->bound[1], _mm512_mask_cmpeq_epi32_mask(own, c, high), b);
  }
  return 1;
}

LQI_INLINE LQI_AVX512 __m512i q4_avx512_rank(const struct q4_avx512_book *k, __m512 v, int cells)
{
  const __m512i one = _mm512_set1_epi32(1);
  if (cells) {
    __m512i cell = avx512_cell(v);
    __m512 bound = _mm512_permutex2var_ps(k->cells.bound[0], cell, k->cells.bound[1]);
    __m512i rank = _mm512_permutex2var_epi32(k->cells.rank[0], cell, k->cells.rank[1]);
    return _mm512_mask_add_epi32(rank, _mm512_cmp_ps_mask(v, bound, _CMP_NLE_UQ), rank, one);
  }
  /* step - 1 + rank is the entry to look at, so the rank is kept with step - 1 added: 7, then +-4,
   * +-2, +-1, +1 or 0. */
  __m512i at = _mm512_set1_epi32(7);
  X86_UNROLL
  for (int step = 4; step != 0; step >>= 1) {
    __mmask16 above = _mm512_cmp_ps_mask(v, _mm512_permutexvar_ps(at, k->bound), _CMP_NLE_UQ);
    at = _mm512_mask_add_epi32(_mm512_sub_epi32(at, _mm512_set1_epi32(step)), above, at,
                               _mm512_set1_epi32(step));
  }
  return _mm512_mask_add_epi32(
      at, _mm512_cmp_ps_mask(v, _mm512_permutexvar_ps(at, k->bound), _CMP_NLE_UQ), at, one);
}

/* n <= 64 elements from `first` on, a multiple of 8; r is the scale of the first 32, s of the
 * others. */
LQI_INLINE LQI_AVX512 void q4_avx512_chunk(const struct q4_avx512_book *k, const void *x,
                                           int32_t dtype, size_t first, size_t n, float r, float s,
                                           uint8_t *codes, int cells)
{
  __m512i rank[4];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++) {
    __m512 v = n == 64 ? avx512_load(x, dtype, first + 16 * i)
                       : avx512_load_part(x, dtype, first + 16 * i, avx512_lanes(16 * i, n));
    rank[i] = q4_avx512_rank(k, _mm512_mul_ps(v, _mm512_set1_ps(i < 2 ? r : s)), cells);
  }
  /* A byte pair becomes 16 * first + second. */
  __m512i bytes = avx512_bytes(rank[0], rank[1], rank[2], rank[3]);
  __m512i code = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(k->code), bytes);
  __m256i packed = _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(code, _mm512_set1_epi16(0x0110)));
  if (n == 64)
    _mm256_storeu_si256((void *)codes, packed);
  else
    _mm256_mask_storeu_epi8(codes, (__mmask32)((1ull << (n / 2)) - 1u), packed);
}

/* Blocks of 32 go in pairs. */
LQI_INLINE LQI_AVX512 void q4_avx512_walk(const struct q4_avx512_book *k, const void *x,
                                          int32_t dtype, size_t first, size_t count, size_t block,
                                          const float *r, uint8_t *codes, int cells)
{
  size_t b = 0;
  for (; block == 32 && b + 2 <= count; b += 2)
    q4_avx512_chunk(k, x, dtype, first + 32 * b, 64, r[b], r[b + 1], codes + 16 * b, cells);
  for (; b < count; b++) {
    size_t i = b * block, end = i + block;
    for (; i + 64 <= end; i += 64)
      q4_avx512_chunk(k, x, dtype, first + i, 64, r[b], r[b], codes + i / 2, cells);
    if (i < end)
      q4_avx512_chunk(k, x, dtype, first + i, end - i, r[b], r[b], codes + i / 2, cells);
  }
}

LQI_INLINE LQI_AVX512 void q4_avx512_search(const void *book, const void *x, int32_t dtype,
                                            size_t first, size_t count, size_t block,
                                            const float *r, int finite, float *absmax,
                                            uint8_t *codes)
{
  (void)finite;
  (void)absmax;
  q4_avx512_walk(book, x, dtype, first, count, block, r, codes, 0);
}

/* The cells need finite scales; a group without gets by with the search. */
LQI_INLINE LQI_AVX512 void q4_avx512_cells(const void *book, const void *x, int32_t dtype,
                                           size_t first, size_t count, size_t block, const float *r,
                                           int finite, float *absmax, uint8_t *codes)
{
  (void)absmax;
  if (LQI_LIKELY(finite))
    q4_avx512_walk(book, x, dtype, first, count, block, r, codes, 1);
  else
    q4_avx512_walk(book, x, dtype, first, count, block, r, codes, 0);
}

LQI_INLINE LQI_AVX512 void q4_avx512_encode(const struct lqi_q4_book *book, const void *x,
                                            int32_t dtype, size_t blocks, size_t block,
                                            float *absmax, uint8_t *codes)
{
  struct q4_avx512_book k;
  k.bound = _mm512_loadu_ps(book->bound);
  k.code = _mm_loadu_si128((const void *)book->code);
  if (blocks * block >= AVX512_CELLS_PAY && lqi_q4_cells_avx512(&k.cells, book->bound))
    avx512_encode(q4_avx512_cells, &k, x, dtype, blocks, block, absmax, codes, 4);
  else
    avx512_encode(q4_avx512_search, &k, x, dtype, blocks, block, absmax, codes, 4);
}

/* The 16 products of a block are made first, so that decoding is a look-up. */
LQI_INLINE LQI_AVX512 void q4_avx512_span(const void *value, const float *scale,
                                          const uint8_t *codes, size_t n, int32_t dtype, void *out,
                                          int stream)
{
  __m512 table = _mm512_mul_ps(_mm512_loadu_ps(value), _mm512_set1_ps(*scale));
  avx512_nibbles(table, codes, n, 0, dtype, out, stream);
}

#define Q4_AVX512_KERNELS(suffix, dtype) \
  LQI_AVX512 void lqi_q4_encode_##suffix##_avx512(const struct lqi_q4_book *book, const void *x, \
                                                  size_t blocks, size_t block, float *absmax, \
                                                  uint8_t *codes) \
  { \
    q4_avx512_encode(book, x, dtype, blocks, block, absmax, codes); \
  } \
  LQI_AVX512 void lqi_q4_decode_##suffix##_avx512(const float *value, const uint8_t *codes, \
                                                  size_t blocks, size_t block, \
                                                  const float *absmax, void *out, int stream) \
  { \
    x86_decode(q4_avx512_span, value, codes, 4, blocks, block, absmax, 1, dtype, out, stream); \
  }

Q4_AVX512_KERNELS(f32, LQ_F32)
Q4_AVX512_KERNELS(f16, LQ_F16)
Q4_AVX512_KERNELS(bf16, LQ_BF16)

#endif
