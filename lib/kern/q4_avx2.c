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

/*
 * The 16 products of a block are made first, rounded to the output type, so that decoding is a
 * look-up. Lane j takes nibble j of four code bytes, the high one of a byte first; the upper bits
 * do not disturb the look-ups.
 */
LQI_INLINE LQI_AVX2 void q4_avx2_span_f32(__m256 low, __m256 high, const uint8_t *codes, size_t n,
                                          float *out, int stream)
{
  const __m256i shift = _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24);
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
LQI_INLINE LQI_AVX2 void q4_avx2_chunk_half(const __m256i *plane, __m128i codes, uint16_t *out,
                                            int stream)
{
  __m256i pair = _mm256_cvtepu8_epi16(_mm_shuffle_epi32(codes, 0xd8));
  __m256i code = _mm256_or_si256(_mm256_srli_epi16(pair, 4), _mm256_slli_epi16(pair, 8));
  code = _mm256_and_si256(code, _mm256_set1_epi8(15));
  __m256i low = _mm256_shuffle_epi8(plane[0], code), high = _mm256_shuffle_epi8(plane[1], code);
  avx2_put(out, _mm256_unpacklo_epi8(low, high), stream);
  avx2_put(out + 16, _mm256_unpackhi_epi8(low, high), stream);
}

LQI_INLINE LQI_AVX2 void q4_avx2_span_half(__m256i table, const uint8_t *codes, size_t n,
                                           uint16_t *out, int stream)
{
  __m256i low = _mm256_and_si256(table, _mm256_set1_epi16(255)), high = _mm256_srli_epi16(table, 8),
          plane[2];
  plane[0] = _mm256_permute4x64_epi64(_mm256_packus_epi16(low, low), 0x88);
  plane[1] = _mm256_permute4x64_epi64(_mm256_packus_epi16(high, high), 0x88);
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    q4_avx2_chunk_half(plane, _mm_loadu_si128((const void *)(codes + i / 2)), out + i, stream);
  if (i < n) {
    __m128i some = _mm_setzero_si128();
    uint16_t part[32];
    memcpy(&some, codes + i / 2, (n - i) / 2);
    q4_avx2_chunk_half(plane, some, part, 0);
    memcpy(out + i, part, (n - i) * sizeof *out);
  }
}

LQI_INLINE LQI_AVX2 void q4_avx2_span(const void *value, float scale, const uint8_t *codes,
                                      size_t n, int32_t dtype, void *out, int stream)
{
  __m256 low = _mm256_mul_ps(_mm256_loadu_ps(value), _mm256_set1_ps(scale));
  __m256 high = _mm256_mul_ps(_mm256_loadu_ps((const float *)value + 8), _mm256_set1_ps(scale));
  if (dtype == LQ_F32)
    q4_avx2_span_f32(low, high, codes, n, out, stream);
  else
    q4_avx2_span_half(avx2_to_halves(low, high, dtype, 1), codes, n, out, stream);
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
    x86_decode(q4_avx2_span, value, codes, 4, blocks, block, absmax, dtype, out, stream); \
  }

Q4_AVX2_KERNELS(f32, LQ_F32)
Q4_AVX2_KERNELS(f16, LQ_F16)
Q4_AVX2_KERNELS(bf16, LQ_BF16)

#endif
