/*
 * kern_avx2.h - what the AVX2 kernels share: vectors of 8 in and out of memory, the maximum of a
 * block, and the look-up of 4-bit codes.
 *
 * Owns: loads and stores of the three float types, with the rounding of half.h.
 * Must not know: what codes mean.
 */
#ifndef LQI_KERN_AVX2_H
#define LQI_KERN_AVX2_H

#include "kern_x86.h"

#if LQI_X86

LQI_INLINE LQI_AVX2 __m256 avx2_load(const void *x, int32_t dtype, size_t i)
{
  if (dtype == LQ_F32)
    return _mm256_loadu_ps((const float *)x + i);
  __m128i h = _mm_loadu_si128((const void *)((const uint16_t *)x + i));
  if (dtype == LQ_F16)
    return _mm256_cvtph_ps(h);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/*
 * bf16 in the low half of each dword: adding 0x7fff and the lowest kept bit rounds to nearest even.
 * `nan` says that v may hold a NaN with any payload, which the addition could carry into infinity
 * or zero.
 */
LQI_INLINE LQI_AVX2 __m256i avx2_round_bf16(__m256 v, int nan)
{
  __m256i u = _mm256_castps_si256(v), top = _mm256_srli_epi32(u, 16);
  __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
  __m256i sum =
      _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd), 16);
  if (!nan)
    return sum;
  __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
  return _mm256_blendv_epi8(sum, quiet, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}

/* Two vectors as 16 elements of a half type. */
LQI_INLINE LQI_AVX2 __m256i avx2_to_halves(__m256 a, __m256 b, int32_t dtype, int nan)
{
  if (dtype == LQ_F16)
    return _mm256_set_m128i(_mm256_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT),
                            _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  __m256i both = _mm256_packus_epi32(avx2_round_bf16(a, nan), avx2_round_bf16(b, nan));
  return _mm256_permute4x64_epi64(both, 0xd8);
}

/* The sum of eight integers. */
LQI_INLINE LQI_AVX2 int32_t avx2_fold_i32(__m256i sum)
{
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  four = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 1));
  return _mm_cvtsi128_si32(four);
}

LQI_INLINE LQI_AVX2 void avx2_put(void *to, __m256i bits, int stream)
{
  if (stream)
    _mm256_stream_si256(to, bits);
  else
    _mm256_storeu_si256(to, bits);
}

/* 16 elements from element i on; with `stream` the address is aligned. */
LQI_INLINE LQI_AVX2 void avx2_store_pair(void *out, int32_t dtype, size_t i, __m256 a, __m256 b,
                                         int nan, int stream)
{
  if (dtype == LQ_F32) {
    avx2_put((float *)out + i, _mm256_castps_si256(a), stream);
    avx2_put((float *)out + i + 8, _mm256_castps_si256(b), stream);
  } else {
    avx2_put((uint16_t *)out + i, avx2_to_halves(a, b, dtype, nan), stream);
  }
}

/* Vector i of n elements, n a multiple of 8, from `first` on; zero where there are none. */
LQI_INLINE LQI_AVX2 __m256 avx2_load_some(const void *x, int32_t dtype, size_t first, size_t n,
                                          size_t i)
{
  return 8 * i < n ? avx2_load(x, dtype, first + 8 * i) : _mm256_setzero_ps();
}

/* Eight magnitudes whose maximum is that of n elements, n a multiple of 8: bits of f32, or of a
 * half, zero-extended. */
LQI_INLINE LQI_AVX2 __m256i avx2_magnitudes_f32(const float *x, size_t n)
{
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i m[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                  _mm256_setzero_si256()};
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    X86_UNROLL
  for (size_t k = 0; k < 4; k++)
    m[k] = _mm256_max_epu32(
        m[k], _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i + 8 * k)), magnitude));
  for (; i < n; i += 8)
    m[0] = _mm256_max_epu32(m[0],
                            _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i)), magnitude));
  return _mm256_max_epu32(_mm256_max_epu32(m[0], m[1]), _mm256_max_epu32(m[2], m[3]));
}

LQI_INLINE LQI_AVX2 __m256i avx2_magnitudes_half(const uint16_t *x, size_t n)
{
  const __m256i magnitude = _mm256_set1_epi16(0x7fff);
  __m256i m[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    X86_UNROLL
  for (size_t k = 0; k < 2; k++)
    m[k] = _mm256_max_epu16(
        m[k], _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i + 16 * k)), magnitude));
  for (; i < n; i += 8) {
    __m256i eight = _mm256_zextsi128_si256(_mm_loadu_si128((const void *)(x + i)));
    m[0] = _mm256_max_epu16(m[0], _mm256_and_si256(eight, magnitude));
  }
  m[0] = _mm256_max_epu16(m[0], m[1]);
  m[0] = _mm256_max_epu16(m[0], _mm256_srli_epi32(m[0], 16));
  return _mm256_and_si256(m[0], _mm256_set1_epi32(0xffff));
}

LQI_INLINE LQI_AVX2 __m256i avx2_magnitudes(const void *x, int32_t dtype, size_t first, size_t n)
{
  if (dtype == LQ_F32)
    return avx2_magnitudes_f32((const float *)x + first, n);
  return avx2_magnitudes_half((const uint16_t *)x + first, n);
}

/* Widening is exact and keeps the order of magnitudes, so only the maximum is widened. */
LQI_INLINE LQI_AVX2 __m256 avx2_magnitude_value(__m256i bits, int32_t dtype)
{
  const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32((int)LQI_CANONICAL_NAN));
  __m256 v = _mm256_castsi256_ps(bits);
  if (dtype == LQ_F16)
    v = _mm256_cvtph_ps(
        _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1)));
  else if (dtype == LQ_BF16)
    v = _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
  return _mm256_blendv_ps(v, nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

/* The maximum of each of 8 vectors, in order: at every step two vectors are folded into one. */
LQI_INLINE LQI_AVX2 __m256i avx2_maxima(const __m256i *v)
{
  __m256i a[4];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++)
    a[i] = _mm256_max_epu32(_mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                            _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
  X86_UNROLL
  for (size_t i = 0; i < 2; i++)
    a[i] = _mm256_max_epu32(_mm256_unpacklo_epi64(a[2 * i], a[2 * i + 1]),
                            _mm256_unpackhi_epi64(a[2 * i], a[2 * i + 1]));
  return _mm256_max_epu32(_mm256_permute2x128_si256(a[0], a[1], 0x20),
                          _mm256_permute2x128_si256(a[0], a[1], 0x31));
}

/* max |x| of any number of elements; what is left after the vectors comes from the portable rule.
 */
LQI_INLINE LQI_AVX2 float avx2_absmax(const void *x, int32_t dtype, size_t n)
{
  size_t whole = n / 8 * 8;
  __m256i zero = _mm256_setzero_si256(), v[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
  v[0] = avx2_magnitudes(x, dtype, 0, whole);
  float most = _mm256_cvtss_f32(avx2_magnitude_value(avx2_maxima(v), dtype));
  float both[2] = {most, lqi_absmax_any(x, dtype, whole, n - whole)};
  return lqi_absmax_any(both, LQ_F32, 0, 2);
}

/*
 * Blocks are encoded in groups that stay in L1: first all maxima, then all codes. The first pass
 * has no long chain of dependent work and so keeps the memory busy, and the costly steps, the
 * horizontal maximum and the division, are done for eight blocks at once.
 */
#define AVX2_GROUP 32

LQI_INLINE LQI_AVX2 size_t avx2_group(size_t blocks, size_t block)
{
  size_t most = block <= 2048 / AVX2_GROUP ? AVX2_GROUP : block < 2048 ? 2048 / block : 1;
  return blocks < most ? blocks : most;
}

/* absmax[0..count) and the reciprocals r of the group's blocks. */
LQI_INLINE LQI_AVX2 void avx2_scales(const void *x, int32_t dtype, size_t first, size_t count,
                                     size_t block, float *absmax, float *r)
{
  const __m256 floor = _mm256_castsi256_ps(_mm256_set1_epi32((int)LQI_ABSMAX_FLOOR_BITS));
  __m256i v[AVX2_GROUP];
  float most[AVX2_GROUP];
  for (size_t b = 0; b < count; b++)
    v[b] = avx2_magnitudes(x, dtype, first + b * block, block);
  for (size_t b = count; b % 8 != 0; b++)
    v[b] = _mm256_setzero_si256();
  for (size_t b = 0; b < count; b += 8) {
    __m256 m = avx2_magnitude_value(avx2_maxima(v + b), dtype);
    _mm256_storeu_ps(most + b, m);
    m = _mm256_blendv_ps(m, floor, _mm256_cmp_ps(m, floor, _CMP_LE_OQ));
    _mm256_storeu_ps(r + b, _mm256_div_ps(_mm256_set1_ps(1.0f), m));
  }
  memcpy(absmax, most, count * sizeof *absmax);
}

/* Encodes `count` blocks from element `first` on with the reciprocals r. */
typedef void avx2_blocks_fn(const void *book, const void *x, int32_t dtype, size_t first,
                            size_t count, size_t block, const float *r, uint8_t *codes);

LQI_INLINE LQI_AVX2 void avx2_encode(avx2_blocks_fn *encode, const void *book, const void *x,
                                     int32_t dtype, size_t blocks, size_t block, float *absmax,
                                     uint8_t *codes, uint32_t bits)
{
  float r[AVX2_GROUP];
  for (size_t b = 0, count; b < blocks; b += count) {
    size_t first = b * block;
    count = avx2_group(blocks - b, block);
    avx2_scales(x, dtype, first, count, block, absmax + b, r);
    encode(book, x, dtype, first, count, block, r, codes + first * bits / 8);
  }
}

/*
 * Values of n 4-bit codes, n a multiple of 8, from a table of 16; of two codes in a byte the first
 * is the low nibble if low_first. Lane j takes nibble j of four code bytes; the upper bits do not
 * disturb the look-ups.
 */
LQI_INLINE LQI_AVX2 void avx2_nibbles_f32(__m256 low, __m256 high, const uint8_t *codes, size_t n,
                                          int low_first, float *out, int stream)
{
  const __m256i shift = low_first ? _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)
                                  : _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24);
  for (size_t i = 0; i < n; i += 8) {
    int32_t four;
    memcpy(&four, codes + i / 2, sizeof four);
    __m256i code = _mm256_srlv_epi32(_mm256_set1_epi32(four), shift);
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(code, 28));
    __m256 v = _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, code),
                                _mm256_permutevar8x32_ps(high, code), upper);
    avx2_put(out + i, _mm256_castps_si256(v), stream);
  }
}

/*
 * Halves are looked up in two byte planes. Interleaving them works inside halves of the register:
 * with the second and third dword of the codes exchanged, it gives elements 0..15 and 16..31.
 */
LQI_INLINE LQI_AVX2 void avx2_nibbles_chunk(const __m256i *plane, __m128i codes, int low_first,
                                            uint16_t *out, int stream)
{
  __m256i pair = _mm256_cvtepu8_epi16(_mm_shuffle_epi32(codes, 0xd8));
  __m256i code = low_first
                     ? _mm256_or_si256(pair, _mm256_slli_epi16(pair, 4))
                     : _mm256_or_si256(_mm256_srli_epi16(pair, 4), _mm256_slli_epi16(pair, 8));
  code = _mm256_and_si256(code, _mm256_set1_epi8(15));
  __m256i low = _mm256_shuffle_epi8(plane[0], code), high = _mm256_shuffle_epi8(plane[1], code);
  avx2_put(out, _mm256_unpacklo_epi8(low, high), stream);
  avx2_put(out + 16, _mm256_unpackhi_epi8(low, high), stream);
}

LQI_INLINE LQI_AVX2 void avx2_nibbles_half(__m256i table, const uint8_t *codes, size_t n,
                                           int low_first, uint16_t *out, int stream)
{
  __m256i low = _mm256_and_si256(table, _mm256_set1_epi16(255)), high = _mm256_srli_epi16(table, 8),
          plane[2];
  plane[0] = _mm256_permute4x64_epi64(_mm256_packus_epi16(low, low), 0x88);
  plane[1] = _mm256_permute4x64_epi64(_mm256_packus_epi16(high, high), 0x88);
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    avx2_nibbles_chunk(plane, _mm_loadu_si128((const void *)(codes + i / 2)), low_first, out + i,
                       stream);
  if (i < n) {
    __m128i some = _mm_setzero_si128();
    uint16_t part[32];
    memcpy(&some, codes + i / 2, (n - i) / 2);
    avx2_nibbles_chunk(plane, some, low_first, part, 0);
    memcpy(out + i, part, (n - i) * sizeof *out);
  }
}

LQI_INLINE LQI_AVX2 void avx2_nibbles(__m256 low, __m256 high, const uint8_t *codes, size_t n,
                                      int low_first, int32_t dtype, void *out, int stream)
{
  if (dtype == LQ_F32)
    avx2_nibbles_f32(low, high, codes, n, low_first, out, stream);
  else
    avx2_nibbles_half(avx2_to_halves(low, high, dtype, 1), codes, n, low_first, out, stream);
}

/* Four vectors of dwords -128..127, or 0..255, to 32 bytes; packing works inside halves, the dword
 * permutation restores the order. */
LQI_INLINE LQI_AVX2 __m256i avx2_bytes(const __m256i *v, int negative)
{
  __m256i a = _mm256_packs_epi32(v[0], v[1]), b = _mm256_packs_epi32(v[2], v[3]);
  __m256i bytes = negative ? _mm256_packs_epi16(a, b) : _mm256_packus_epi16(a, b);
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

#endif
#endif
