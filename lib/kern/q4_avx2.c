/*
 * q4_avx2.c - 4-bit code books, AVX2.
 *
 * Owns: encode and decode of blocks of 16-entry code books, 32 weights at a time.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_avx2.h"

#if LQI_X86

/*
 * The bounds by round of the binary search: round j has 2^(j-1) of them, so eight lanes serve to
 * the end. Comparisons give 0 or -1, so the outcomes add up to minus the rank, and the entry for
 * partial rank k stands in lane -k mod 8.
 */
struct q4_avx2_book {
  __m256 round1, round2, round3, round4;
  __m256i code; /* by rank, in both halves */
};

LQI_INLINE LQI_AVX2 void q4_avx2_prepare(struct q4_avx2_book *k, const struct lqi_q4_book *book)
{
  const float *b = book->bound;
  k->round1 = _mm256_set1_ps(b[7]);
  k->round2 = _mm256_setr_ps(b[3], 0, 0, 0, 0, 0, 0, b[11]);
  k->round3 = _mm256_setr_ps(b[1], 0, 0, 0, 0, b[13], b[9], b[5]);
  k->round4 = _mm256_setr_ps(b[0], b[14], b[12], b[10], b[8], b[6], b[4], b[2]);
  k->code = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)book->code));
}

/* A round for four vectors: minus the rank becomes twice what it was, plus the outcome not (v <=
 * bound). */
LQI_INLINE LQI_AVX2 void q4_avx2_round(__m256i *rank, const __m256 *v, __m256 bound)
{
  X86_UNROLL
  for (size_t i = 0; i < 4; i++) {
    __m256i above = _mm256_castps_si256(
        _mm256_cmp_ps(v[i], _mm256_permutevar8x32_ps(bound, rank[i]), _CMP_NLE_UQ));
    rank[i] = _mm256_add_epi32(_mm256_add_epi32(rank[i], rank[i]), above);
  }
}

/* n <= 32 elements from `first` on, a multiple of 8. */
LQI_INLINE LQI_AVX2 void q4_avx2_chunk(const struct q4_avx2_book *k, const void *x, int32_t dtype,
                                       size_t first, size_t n, float r, uint8_t *codes)
{
  __m256i rank[4];
  __m256 v[4];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++) {
    v[i] = _mm256_mul_ps(avx2_load_some(x, dtype, first, n, i), _mm256_set1_ps(r));
    rank[i] = _mm256_castps_si256(_mm256_cmp_ps(v[i], k->round1, _CMP_NLE_UQ));
  }
  q4_avx2_round(rank, v, k->round2);
  q4_avx2_round(rank, v, k->round3);
  q4_avx2_round(rank, v, k->round4);
  /*
   * Packing works inside each half h of the register and leaves 4 ranks of vector i as dword 4h +
   * i. A byte pair becomes 16 * first + second, two pairs of vector i stand at 8h + 2i, and belong
   * at 4i + 2h.
   */
  __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(rank[0], rank[1]),
                                     _mm256_packs_epi32(rank[2], rank[3]));
  __m256i code = _mm256_shuffle_epi8(k->code, _mm256_abs_epi8(bytes));
  __m256i pair = _mm256_maddubs_epi16(code, _mm256_set1_epi16(0x0110));
  __m128i packed =
      _mm_packus_epi16(_mm256_castsi256_si128(pair), _mm256_extracti128_si256(pair, 1));
  packed =
      _mm_shuffle_epi8(packed, _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
  if (n == 32)
    _mm_storeu_si128((void *)codes, packed);
  else
    memcpy(codes, &packed, n / 2);
}

LQI_INLINE LQI_AVX2 void q4_avx2_walk(const void *book, const void *x, int32_t dtype, size_t first,
                                      size_t count, size_t block, const float *r, uint8_t *codes)
{
  for (size_t b = 0; b < count; b++) {
    size_t i = b * block, end = i + block;
    for (; i + 32 <= end; i += 32)
      q4_avx2_chunk(book, x, dtype, first + i, 32, r[b], codes + i / 2);
    if (i < end)
      q4_avx2_chunk(book, x, dtype, first + i, end - i, r[b], codes + i / 2);
  }
}

/* The 16 products of a block are made first, so that decoding is a look-up. */
LQI_INLINE LQI_AVX2 void q4_avx2_span(const void *value, const float *scale, const uint8_t *codes,
                                      size_t n, int32_t dtype, void *out, int stream)
{
  __m256 low = _mm256_mul_ps(_mm256_loadu_ps(value), _mm256_set1_ps(*scale));
  __m256 high = _mm256_mul_ps(_mm256_loadu_ps((const float *)value + 8), _mm256_set1_ps(*scale));
  avx2_nibbles(low, high, codes, n, 0, dtype, out, stream);
}

#define Q4_AVX2_KERNELS(suffix, dtype) \
  LQI_AVX2 void lqi_q4_encode_##suffix##_avx2(const struct lqi_q4_book *book, const void *x, \
                                              size_t blocks, size_t block, float *absmax, \
                                              uint8_t *codes) \
  { \
    struct q4_avx2_book k; \
    q4_avx2_prepare(&k, book); \
    avx2_encode(q4_avx2_walk, &k, x, dtype, blocks, block, absmax, codes, 4); \
  } \
  LQI_AVX2 void lqi_q4_decode_##suffix##_avx2(const float *value, const uint8_t *codes, \
                                              size_t blocks, size_t block, const float *absmax, \
                                              void *out, int stream) \
  { \
    x86_decode(q4_avx2_span, value, codes, 4, blocks, block, absmax, 1, dtype, out, stream); \
  }

Q4_AVX2_KERNELS(f32, LQ_F32)
Q4_AVX2_KERNELS(f16, LQ_F16)
Q4_AVX2_KERNELS(bf16, LQ_BF16)

#endif
