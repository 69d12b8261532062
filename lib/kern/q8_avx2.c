/*
 * q8_avx2.c - 8-bit codes, AVX2: 256-entry code books and row-scaled integers.
 *
 * Owns: the q8 and i8 kernels, 8 lanes wide.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_avx2.h"

#if LQI_X86

/*
 * Binary search as in the C version. The bounds of rounds 1 to 6 fit into seven registers and are
 * permuted, those of the last two are gathered from the book. Round j needs bound[i * 2^(9-j) +
 * 2^(8-j) - 1] for partial rank i.
 */
struct q8_avx2_book {
  __m256 round1, round2, round3, round4, round5[2], round6[4];
  const float *bound;
};

/* Every 2^shift-th bound from `from` on. */
LQI_INLINE LQI_AVX2 __m256 q8_avx2_stride(const float *from, int shift)
{
  return _mm256_i32gather_ps(
      from, _mm256_sll_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm_cvtsi32_si128(shift)),
      4);
}

LQI_INLINE LQI_AVX2 void q8_avx2_prepare(struct q8_avx2_book *k, const float *bound)
{
  k->bound = bound;
  k->round1 = _mm256_set1_ps(bound[127]);
  k->round2 = _mm256_setr_ps(bound[63], bound[191], 0, 0, 0, 0, 0, 0);
  k->round3 = _mm256_setr_ps(bound[31], bound[95], bound[159], bound[223], 0, 0, 0, 0);
  k->round4 = q8_avx2_stride(bound + 15, 5);
  for (size_t i = 0; i < 2; i++)
    k->round5[i] = q8_avx2_stride(bound + 7 + 128 * i, 4);
  for (size_t i = 0; i < 4; i++)
    k->round6[i] = q8_avx2_stride(bound + 3 + 64 * i, 3);
}

LQI_INLINE LQI_AVX2 __m256i q8_avx2_round(__m256i rank, __m256 v, __m256 bound)
{
  __m256i above = _mm256_castps_si256(_mm256_cmp_ps(v, bound, _CMP_NLE_UQ));
  return _mm256_sub_epi32(_mm256_add_epi32(rank, rank), above);
}

LQI_INLINE LQI_AVX2 __m256 q8_avx2_pair(const __m256 *table, __m256i at, __m256 bit3)
{
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table[0], at),
                          _mm256_permutevar8x32_ps(table[1], at), bit3);
}

LQI_INLINE LQI_AVX2 __m256i q8_avx2_rank(const struct q8_avx2_book *k, __m256 v)
{
  __m256i i = q8_avx2_round(_mm256_setzero_si256(), v, k->round1);
  i = q8_avx2_round(i, v, _mm256_permutevar8x32_ps(k->round2, i));
  i = q8_avx2_round(i, v, _mm256_permutevar8x32_ps(k->round3, i));
  i = q8_avx2_round(i, v, _mm256_permutevar8x32_ps(k->round4, i));
  __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28));
  i = q8_avx2_round(i, v, q8_avx2_pair(k->round5, i, bit3));
  bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(i, 28));
  __m256 bit4 = _mm256_castsi256_ps(_mm256_slli_epi32(i, 27));
  __m256 low = q8_avx2_pair(k->round6, i, bit3), high = q8_avx2_pair(k->round6 + 2, i, bit3);
  i = q8_avx2_round(i, v, _mm256_blendv_ps(low, high, bit4));
  i = q8_avx2_round(i, v, _mm256_i32gather_ps(k->bound + 1, _mm256_add_epi32(i, i), 8));
  return q8_avx2_round(i, v, _mm256_i32gather_ps(k->bound, i, 8));
}

/* n <= 32 elements from `first` on, a multiple of 8. */
LQI_INLINE LQI_AVX2 void q8_avx2_chunk(const struct q8_avx2_book *k, const void *x, int32_t dtype,
                                       size_t first, size_t n, float r, uint8_t *codes)
{
  __m256i rank[4];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++)
    rank[i] =
        q8_avx2_rank(k, _mm256_mul_ps(avx2_load_some(x, dtype, first, n, i), _mm256_set1_ps(r)));
  __m256i bytes = avx2_bytes(rank, 0);
  if (n == 32)
    _mm256_storeu_si256((void *)codes, bytes);
  else
    memcpy(codes, &bytes, n);
}

LQI_INLINE LQI_AVX2 void q8_avx2_walk(const void *book, const void *x, int32_t dtype, size_t first,
                                      size_t count, size_t block, const float *r, uint8_t *codes)
{
  for (size_t b = 0; b < count; b++) {
    size_t i = b * block, end = i + block;
    for (; i + 32 <= end; i += 32)
      q8_avx2_chunk(book, x, dtype, first + i, 32, r[b], codes + i);
    if (i < end)
      q8_avx2_chunk(book, x, dtype, first + i, end - i, r[b], codes + i);
  }
}

LQI_INLINE LQI_AVX2 __m256 q8_avx2_value(const float *value, const uint8_t *codes)
{
  __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)codes));
  return _mm256_i32gather_ps(value, code, 4);
}

LQI_INLINE LQI_AVX2 void q8_avx2_span(const void *value, const float *scale, const uint8_t *codes,
                                      size_t n, int32_t dtype, void *out, int stream)
{
  const __m256 s = _mm256_set1_ps(*scale);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m256 a = _mm256_mul_ps(q8_avx2_value(value, codes + i), s);
    __m256 b = _mm256_mul_ps(q8_avx2_value(value, codes + i + 8), s);
    avx2_store_pair(out, dtype, i, a, b, 1, stream);
  }
  if (i < n)
    lqi_q8_decode_part(value, codes + i, n - i, *scale, dtype,
                       (uint8_t *)out + i * lqi_dtype_size(dtype));
}

/* Conversion rounds to nearest even; a product that is NaN or not below 127.5 has its lane cleared.
 */
LQI_INLINE LQI_AVX2 __m256i q8_avx2_i8(__m256 x, __m256 scale)
{
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 p = _mm256_mul_ps(x, scale);
  __m256 fits = _mm256_cmp_ps(_mm256_and_ps(p, magnitude), _mm256_set1_ps(127.5f), _CMP_LT_OQ);
  return _mm256_and_si256(_mm256_cvtps_epi32(p), _mm256_castps_si256(fits));
}

/* Returns how many of the n elements are done: all but n mod 32. */
LQI_INLINE LQI_AVX2 size_t q8_avx2_i8_encode(const void *x, int32_t dtype, size_t n, float scale,
                                             int8_t *codes)
{
  const __m256 s = _mm256_set1_ps(scale);
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m256i v[4];
    X86_UNROLL
    for (size_t k = 0; k < 4; k++)
      v[k] = q8_avx2_i8(avx2_load(x, dtype, i + 8 * k), s);
    _mm256_storeu_si256((void *)(codes + i), avx2_bytes(v, 1));
  }
  return i;
}

LQI_INLINE LQI_AVX2 __m256 q8_avx2_i8_value(const uint8_t *codes, __m256 stat)
{
  const __m256 step = _mm256_castsi256_ps(_mm256_set1_epi32((int)LQI_I8_STEP_BITS));
  __m256i code = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)codes));
  return _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(code), stat), step);
}

LQI_INLINE LQI_AVX2 void q8_avx2_i8_span(const void *none, const float *stat, const uint8_t *codes,
                                         size_t n, int32_t dtype, void *out, int stream)
{
  const __m256 s = _mm256_set1_ps(*stat);
  size_t i = 0;
  (void)none;
  for (; i + 16 <= n; i += 16)
    avx2_store_pair(out, dtype, i, q8_avx2_i8_value(codes + i, s),
                    q8_avx2_i8_value(codes + i + 8, s), 1, stream);
  if (i < n) {
    uint8_t some[16] = {0};
    float part[16];
    memcpy(some, codes + i, n - i);
    _mm256_storeu_ps(part, q8_avx2_i8_value(some, s));
    _mm256_storeu_ps(part + 8, q8_avx2_i8_value(some + 8, s));
    for (size_t k = 0; i < n; k++, i++)
      lqi_store(out, dtype, i, part[k]);
  }
}

#define Q8_AVX2_KERNELS(suffix, dtype) \
  LQI_AVX2 void lqi_q8_encode_##suffix##_avx2(const struct lqi_q8_book *book, const void *x, \
                                              size_t blocks, size_t block, float *absmax, \
                                              uint8_t *codes) \
  { \
    struct q8_avx2_book k; \
    q8_avx2_prepare(&k, book->bound); \
    avx2_encode(q8_avx2_walk, &k, x, dtype, blocks, block, absmax, codes, 8); \
  } \
  LQI_AVX2 void lqi_q8_decode_##suffix##_avx2(const float *value, const uint8_t *codes, \
                                              size_t blocks, size_t block, const float *absmax, \
                                              void *out, int stream) \
  { \
    x86_decode(q8_avx2_span, value, codes, 8, blocks, block, absmax, 1, dtype, out, stream); \
  } \
  LQI_AVX2 void lqi_i8_encode_##suffix##_avx2(const void *x, size_t n, float scale, int8_t *codes) \
  { \
    size_t done = q8_avx2_i8_encode(x, dtype, n, scale, codes); \
    const uint8_t *rest = (const uint8_t *)x + done * lqi_dtype_size(dtype); \
    lqi_i8_encode_##suffix##_c(rest, n - done, scale, codes + done); \
  } \
  LQI_AVX2 void lqi_i8_decode_##suffix##_avx2(const int8_t *codes, size_t n, float stat, \
                                              void *out, int stream) \
  { \
    x86_decode(q8_avx2_i8_span, NULL, (const void *)codes, 8, 1, n, &stat, 1, dtype, out, stream); \
  }

Q8_AVX2_KERNELS(f32, LQ_F32)
Q8_AVX2_KERNELS(f16, LQ_F16)
Q8_AVX2_KERNELS(bf16, LQ_BF16)

#endif
