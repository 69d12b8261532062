/*
 * kern_avx512.h - what the AVX-512 kernels share: vectors of 16 in and out of memory, the maximum
 * of a block, the look-up of 4-bit codes, and that of 8-bit ones where bytes can be permuted.
 *
 * Owns: loads and stores of the three float types, with the rounding of half.h.
 * Must not know: what codes mean.
 */
#ifndef LQI_KERN_AVX512_H
#define LQI_KERN_AVX512_H

#include "kern_x86.h"

#include <float.h>

#if LQI_X86

/* The lanes of a vector that starts at element i of n: all 16, or those that are left. */
LQI_INLINE LQI_AVX512 __mmask16 avx512_lanes(size_t i, size_t n)
{
  return n <= i ? 0 : n - i < 16 ? (__mmask16)((1u << (n - i)) - 1u) : (__mmask16)0xffff;
}

LQI_INLINE LQI_AVX512 __m512 avx512_from_half(__m256i h, int32_t dtype)
{
  if (dtype == LQ_F16)
    return _mm512_cvtph_ps(h);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

LQI_INLINE LQI_AVX512 __m512 avx512_load(const void *x, int32_t dtype, size_t i)
{
  if (dtype == LQ_F32)
    return _mm512_loadu_ps((const float *)x + i);
  return avx512_from_half(_mm256_loadu_si256((const void *)((const uint16_t *)x + i)), dtype);
}

/* Absent lanes are zero and are not read. */
LQI_INLINE LQI_AVX512 __m512 avx512_load_part(const void *x, int32_t dtype, size_t i,
                                              __mmask16 lanes)
{
  if (dtype == LQ_F32)
    return _mm512_maskz_loadu_ps(lanes, (const float *)x + i);
  return avx512_from_half(_mm256_maskz_loadu_epi16(lanes, (const uint16_t *)x + i), dtype);
}

/*
 * Upper halves of the result are the bf16: adding 0x7fff and the lowest kept bit rounds to nearest
 * even. `nan` says that v may hold a NaN with any payload, which the addition could carry into
 * infinity or zero.
 */
LQI_INLINE LQI_AVX512 __m512i avx512_round_bf16(__m512 v, int nan)
{
  __m512i u = _mm512_castps_si512(v), one = _mm512_set1_epi32(1);
  __mmask16 odd = _mm512_test_epi32_mask(u, _mm512_set1_epi32(0x10000));
  __m512i sum = _mm512_add_epi32(u, _mm512_set1_epi32(0x7fff));
  sum = _mm512_mask_add_epi32(sum, odd, sum, one);
  if (!nan)
    return sum;
  return _mm512_mask_or_epi32(sum, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), u,
                              _mm512_set1_epi32(0x400000));
}

LQI_INLINE LQI_AVX512 __m256i avx512_to_half(__m512 v, int32_t dtype, int nan)
{
  if (dtype == LQ_F16)
    return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(avx512_round_bf16(v, nan), 16));
}

/* Two vectors as 32 elements of a half type. */
LQI_INLINE LQI_AVX512 __m512i avx512_to_halves(__m512 a, __m512 b, int32_t dtype, int nan)
{
  if (dtype == LQ_F16)
    return _mm512_inserti64x4(_mm512_castsi256_si512(avx512_to_half(a, dtype, nan)),
                              avx512_to_half(b, dtype, nan), 1);
  const __m512i upper =
      _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                       25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return _mm512_permutex2var_epi16(avx512_round_bf16(a, nan), upper, avx512_round_bf16(b, nan));
}

LQI_INLINE LQI_AVX512 void avx512_put(void *to, __m512i bits, int stream)
{
  if (stream)
    _mm512_stream_si512(to, bits);
  else
    _mm512_storeu_si512(to, bits);
}

/* 32 elements from element i on; with `stream` the address is aligned. */
LQI_INLINE LQI_AVX512 void avx512_store_pair(void *out, int32_t dtype, size_t i, __m512 a, __m512 b,
                                             int nan, int stream)
{
  if (dtype == LQ_F32) {
    avx512_put((float *)out + i, _mm512_castps_si512(a), stream);
    avx512_put((float *)out + i + 16, _mm512_castps_si512(b), stream);
  } else {
    avx512_put((uint16_t *)out + i, avx512_to_halves(a, b, dtype, nan), stream);
  }
}

LQI_INLINE LQI_AVX512 void avx512_store_part(void *out, int32_t dtype, size_t i, __m512 v, int nan,
                                             __mmask16 lanes)
{
  if (dtype == LQ_F32)
    _mm512_mask_storeu_ps((float *)out + i, lanes, v);
  else
    _mm256_mask_storeu_epi16((uint16_t *)out + i, lanes, avx512_to_half(v, dtype, nan));
}

/*
 * The chains of four sums folded, l with l + 8, then + 4, + 2, + 1, four sums at a time: two folds
 * of registers join two sums each, then every quarter of the register holds one.
 */
LQI_INLINE LQI_AVX512 __m128 avx512_fold(__m512 a, __m512 b, __m512 c, __m512 d)
{
  __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
  __m512 v = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
  v = _mm512_add_ps(v, _mm512_permute_ps(v, 0x4e));
  v = _mm512_add_ps(v, _mm512_permute_ps(v, 0xb1));
  return _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, v));
}

/* The lanes of each of four vectors of integers added up. */
LQI_INLINE LQI_AVX512 __m128i avx512_fold_i32(__m512i a, __m512i b, __m512i c, __m512i d)
{
  __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  __m512i v = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* Sixteen magnitudes whose maximum is that of n elements, as bits: of f32, or of a half type,
 * widened with zeros. */
LQI_INLINE LQI_AVX512 __m512i avx512_magnitudes_f32(const float *x, size_t n)
{
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i m[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                  _mm512_setzero_si512()};
  size_t i = 0;
  for (; i + 64 <= n; i += 64)
    X86_UNROLL
  for (size_t k = 0; k < 4; k++)
    m[k] = _mm512_max_epu32(m[k], _mm512_and_si512(_mm512_loadu_si512(x + i + 16 * k), magnitude));
  for (; i < n; i += 16)
    m[0] = _mm512_max_epu32(
        m[0], _mm512_and_si512(_mm512_maskz_loadu_epi32(avx512_lanes(i, n), x + i), magnitude));
  return _mm512_max_epu32(_mm512_max_epu32(m[0], m[1]), _mm512_max_epu32(m[2], m[3]));
}

LQI_INLINE LQI_AVX512 __m512i avx512_magnitudes_half(const uint16_t *x, size_t n)
{
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  __m512i m[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  size_t i = 0;
  for (; i + 64 <= n; i += 64)
    X86_UNROLL
  for (size_t k = 0; k < 2; k++)
    m[k] = _mm512_max_epu16(m[k], _mm512_and_si512(_mm512_loadu_si512(x + i + 32 * k), magnitude));
  for (; i < n; i += 32) {
    __mmask32 lanes = n - i < 32 ? (__mmask32)((1u << (n - i)) - 1u) : 0xffffffffu;
    m[0] =
        _mm512_max_epu16(m[0], _mm512_and_si512(_mm512_maskz_loadu_epi16(lanes, x + i), magnitude));
  }
  m[0] = _mm512_max_epu16(m[0], m[1]);
  m[0] = _mm512_max_epu16(m[0], _mm512_srli_epi32(m[0], 16));
  return _mm512_and_si512(m[0], _mm512_set1_epi32(0xffff));
}

LQI_INLINE LQI_AVX512 __m512i avx512_magnitudes(const void *x, int32_t dtype, size_t first,
                                                size_t n)
{
  if (dtype == LQ_F32)
    return avx512_magnitudes_f32((const float *)x + first, n);
  return avx512_magnitudes_half((const uint16_t *)x + first, n);
}

/* Widening is exact and keeps the order of magnitudes, so only the maximum is widened. */
LQI_INLINE LQI_AVX512 __m512 avx512_magnitude_value(__m512i bits, int32_t dtype)
{
  __m512 v = _mm512_castsi512_ps(bits);
  if (dtype != LQ_F32)
    v = avx512_from_half(_mm512_cvtepi32_epi16(bits), dtype);
  __m512 nan = _mm512_castsi512_ps(_mm512_set1_epi32((int)LQI_CANONICAL_NAN));
  return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), nan);
}

LQI_INLINE LQI_AVX512 float avx512_absmax(const void *x, int32_t dtype, size_t first, size_t n)
{
  uint32_t max = _mm512_reduce_max_epu32(avx512_magnitudes(x, dtype, first, n));
  return _mm512_cvtss_f32(
      avx512_magnitude_value(_mm512_castsi128_si512(_mm_cvtsi32_si128((int)max)), dtype));
}

/* The maximum of each of 16 vectors, in order: at every step two vectors are folded into one. */
LQI_INLINE LQI_AVX512 __m512i avx512_maxima(const __m512i *v)
{
  __m512i a[8];
  X86_UNROLL
  for (size_t i = 0; i < 8; i++)
    a[i] = _mm512_max_epu32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                            _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
  X86_UNROLL
  for (size_t i = 0; i < 4; i++)
    a[i] = _mm512_max_epu32(_mm512_unpacklo_epi64(a[2 * i], a[2 * i + 1]),
                            _mm512_unpackhi_epi64(a[2 * i], a[2 * i + 1]));
  X86_UNROLL
  for (size_t i = 0; i < 2; i++)
    a[i] = _mm512_max_epu32(_mm512_shuffle_i32x4(a[2 * i], a[2 * i + 1], 0x88),
                            _mm512_shuffle_i32x4(a[2 * i], a[2 * i + 1], 0xdd));
  return _mm512_max_epu32(_mm512_shuffle_i32x4(a[0], a[1], 0x88),
                          _mm512_shuffle_i32x4(a[0], a[1], 0xdd));
}

/*
 * Blocks are encoded in groups that stay in L1: first all maxima, then all codes. The first pass
 * has no long chain of dependent work and so keeps the memory busy, and the costly steps, the
 * horizontal maximum and the division, are done once for the group.
 */
#define AVX512_GROUP 32

LQI_INLINE LQI_AVX512 size_t avx512_group(size_t blocks, size_t block)
{
  size_t most = block <= 2048 / AVX512_GROUP ? AVX512_GROUP : block < 2048 ? 2048 / block : 1;
  return blocks < most ? blocks : most;
}

/* absmax[0..count) and the reciprocals r of the group's blocks; returns whether all maxima are
 * finite. */
LQI_INLINE LQI_AVX512 int avx512_scales(const void *x, int32_t dtype, size_t first, size_t count,
                                        size_t block, float *absmax, float *r)
{
  const __m512 floor = _mm512_castsi512_ps(_mm512_set1_epi32((int)LQI_ABSMAX_FLOOR_BITS));
  __m512i v[AVX512_GROUP];
  __mmask16 infinite = 0;
  for (size_t b = 0; b < count; b++)
    v[b] = avx512_magnitudes(x, dtype, first + b * block, block);
  for (size_t b = count; b % 16 != 0; b++)
    v[b] = _mm512_setzero_si512();
  for (size_t b = 0; b < count; b += 16) {
    __m512 m = avx512_magnitude_value(avx512_maxima(v + b), dtype);
    _mm512_mask_storeu_ps(absmax + b, avx512_lanes(b, count), m);
    __m512 divisor = _mm512_mask_mov_ps(m, _mm512_cmp_ps_mask(m, floor, _CMP_LE_OQ), floor);
    _mm512_storeu_ps(r + b, _mm512_div_ps(_mm512_set1_ps(1.0f), divisor));
    infinite |= _mm512_cmp_ps_mask(m, _mm512_set1_ps(FLT_MAX), _CMP_NLE_UQ);
  }
  return infinite == 0;
}

/* Encodes `count` blocks from element `first` on, given what avx512_scales found. */
typedef void avx512_blocks_fn(const void *book, const void *x, int32_t dtype, size_t first,
                              size_t count, size_t block, const float *r, int finite, float *absmax,
                              uint8_t *codes);

LQI_INLINE LQI_AVX512 void avx512_encode(avx512_blocks_fn *encode, const void *book, const void *x,
                                         int32_t dtype, size_t blocks, size_t block, float *absmax,
                                         uint8_t *codes, uint32_t bits)
{
  float r[AVX512_GROUP];
  for (size_t b = 0, count; b < blocks; b += count) {
    size_t first = b * block;
    count = avx512_group(blocks - b, block);
    int finite = avx512_scales(x, dtype, first, count, block, absmax + b, r);
    encode(book, x, dtype, first, count, block, r, finite, absmax + b, codes + first * bits / 8);
  }
}

/*
 * Values of n 4-bit codes from a table of 16; of two codes in a byte the first is the low nibble if
 * low_first. Dword lane j of eight code bytes needs byte j / 2, shifted down by 4 for one parity of
 * j; the look-up ignores the upper bits.
 */
LQI_INLINE LQI_AVX512 void avx512_nibbles_f32(__m512 table, const uint8_t *codes, size_t n,
                                              int low_first, float *out, int stream)
{
  const __m512i byte = _mm512_set_epi64(0x0000000700000007, 0x0000000600000006, 0x0000000500000005,
                                        0x0000000400000004, 0x0000000300000003, 0x0000000200000002,
                                        0x0000000100000001, 0);
  const __m512i shift = _mm512_set1_epi64(low_first ? (long long)4 << 32 : 4);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    uint64_t eight;
    memcpy(&eight, codes + i / 2, sizeof eight);
    __m512i code = _mm512_shuffle_epi8(_mm512_set1_epi64((long long)eight), byte);
    code = _mm512_srlv_epi32(code, shift);
    avx512_put(out + i, _mm512_castps_si512(_mm512_permutexvar_ps(code, table)), stream);
  }
  if (i < n) {
    __mmask16 bytes = (__mmask16)((1u << (n - i + 1) / 2) - 1u);
    __m512i some = _mm512_broadcastq_epi64(_mm_maskz_loadu_epi8(bytes, codes + i / 2));
    __m512i code = _mm512_srlv_epi32(_mm512_shuffle_epi8(some, byte), shift);
    _mm512_mask_storeu_ps(out + i, avx512_lanes(i, n), _mm512_permutexvar_ps(code, table));
  }
}

/* The same in words: quarter q of 16 code bytes needs bytes 4q to 4q + 3, each twice. */
LQI_INLINE LQI_AVX512 void avx512_nibbles_half(__m512i table, const uint8_t *codes, size_t n,
                                               int low_first, uint16_t *out, int stream)
{
  const __m512i byte = _mm512_set_epi64(0x000f000f000e000e, 0x000d000d000c000c, 0x000b000b000a000a,
                                        0x0009000900080008, 0x0007000700060006, 0x0005000500040004,
                                        0x0003000300020002, 0x0001000100000000);
  const __m512i shift = _mm512_set1_epi32(low_first ? 4 << 16 : 4);
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m512i code = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)(codes + i / 2)));
    code = _mm512_srlv_epi16(_mm512_shuffle_epi8(code, byte), shift);
    avx512_put(out + i, _mm512_permutexvar_epi16(code, table), stream);
  }
  if (i < n) {
    __m128i some = _mm_maskz_loadu_epi8((__mmask16)((1u << (n - i + 1) / 2) - 1u), codes + i / 2);
    __m512i code =
        _mm512_srlv_epi16(_mm512_shuffle_epi8(_mm512_broadcast_i32x4(some), byte), shift);
    _mm512_mask_storeu_epi16(out + i, (1u << (n - i)) - 1u, _mm512_permutexvar_epi16(code, table));
  }
}

LQI_INLINE LQI_AVX512 void avx512_nibbles(__m512 table, const uint8_t *codes, size_t n,
                                          int low_first, int32_t dtype, void *out, int stream)
{
  if (dtype == LQ_F32)
    avx512_nibbles_f32(table, codes, n, low_first, out, stream);
  else
    avx512_nibbles_half(_mm512_broadcast_i64x4(avx512_to_half(table, dtype, 1)), codes, n,
                        low_first, out, stream);
}

/* Four vectors of dwords 0..255 to 64 bytes. Packing works inside quarters; the dword permutation
 * restores the order. */
LQI_INLINE LQI_AVX512 __m512i avx512_bytes(__m512i a, __m512i b, __m512i c, __m512i d)
{
  __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
  return _mm512_permutexvar_epi32(
      _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0), bytes);
}

/*
 * A 4-bit code book in cells. Values divided by their maximum lie within [-1, 1], and ceil(v
 * * 15.99) puts them into 32 cells; when no two bounds share a cell, the rank of v is the number of
 * bounds in lower cells, plus one if v exceeds the bound of its own. That is exact: the cell is a
 * monotone function of v, rounding included, and decides only between values in different cells.
 */
struct avx512_cells {
  __m512 bound[2]; /* by cell: its bound, +infinity if none */
  __m512i rank[2]; /* by cell: bounds in lower cells */
};

/* Making the cells costs about as much as ranking 200 values, and saves half of the work. */
#define AVX512_CELLS_PAY 1024

/* 0 if the book does not fit; q4_avx512.c. */
int lqi_q4_cells_avx512(struct avx512_cells *cells, const float *bound);

/*
 * 1.5 * 2^23 makes the sum's unit 1, so its low bits hold the rounded product; upward, so that
 * zero, where code books have a bound, is the last of its cell. |v| < 1 + 2^-20 gives -15..16: the
 * low five bits tell them apart.
 */
LQI_INLINE LQI_AVX512 __m512i avx512_cell(__m512 v)
{
  return _mm512_castps_si512(_mm512_fmadd_round_ps(v, _mm512_set1_ps(15.99f),
                                                   _mm512_set1_ps(12582912.0f),
                                                   _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC));
}

/* Byte p of all 256 values: look-up of 64 codes at once, one plane at a time. */
struct avx512vbmi_table {
  __m512i plane[4][4];
};

LQI_INLINE LQI_AVX512VBMI void avx512vbmi_prepare(struct avx512vbmi_table *t, const float *value)
{
  for (size_t i = 0; i < 4; i++) {
    __m128i part[4][4];
    for (size_t j = 0; j < 4; j++) {
      __m512i v = _mm512_loadu_si512(value + 64 * i + 16 * j);
      part[0][j] = _mm512_cvtepi32_epi8(v);
      part[1][j] = _mm512_cvtepi32_epi8(_mm512_srli_epi32(v, 8));
      part[2][j] = _mm512_cvtepi32_epi8(_mm512_srli_epi32(v, 16));
      part[3][j] = _mm512_cvtepi32_epi8(_mm512_srli_epi32(v, 24));
    }
    for (size_t p = 0; p < 4; p++) {
      __m512i x = _mm512_castsi128_si512(part[p][0]);
      x = _mm512_inserti32x4(x, part[p][1], 1);
      x = _mm512_inserti32x4(x, part[p][2], 2);
      t->plane[p][i] = _mm512_inserti32x4(x, part[p][3], 3);
    }
  }
}

/* 64 codes to four vectors of values. Interleaving the planes works inside quarters: quarter q of
 * vector i has the codes 16q + 4i .. + 3. */
LQI_INLINE LQI_AVX512VBMI void avx512vbmi_look_up(const struct avx512vbmi_table *t, __m512i code,
                                                  __m512 *v)
{
  __m512i plane[4];
  __mmask64 upper = _mm512_movepi8_mask(code);
  X86_UNROLL
  for (size_t p = 0; p < 4; p++) {
    __m512i low = _mm512_permutex2var_epi8(t->plane[p][0], code, t->plane[p][1]);
    __m512i high = _mm512_permutex2var_epi8(t->plane[p][2], code, t->plane[p][3]);
    plane[p] = _mm512_mask_blend_epi8(upper, low, high);
  }
  __m512i a = _mm512_unpacklo_epi8(plane[0], plane[1]),
          b = _mm512_unpackhi_epi8(plane[0], plane[1]);
  __m512i c = _mm512_unpacklo_epi8(plane[2], plane[3]),
          d = _mm512_unpackhi_epi8(plane[2], plane[3]);
  v[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(a, c));
  v[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(a, c));
  v[2] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(b, d));
  v[3] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(b, d));
}

#endif
#endif
