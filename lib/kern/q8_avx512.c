/*
 * q8_avx512.c - 8-bit codes, AVX-512: 256-entry code books and row-scaled integers.
 *
 * Owns: the q8 and i8 kernels that need no byte permutation.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_avx512.h"

#if LQI_X86

/*
 * Ranking is the binary search of the C version, eight rounds, without a memory access. Outcome
 * c[j] of round j (1..8) is kept as bit j - 1, so a new one is or-ed in: the rank with its bits
 * reversed. Round j compares with bound[128 c[1] + 64 c[2] + .. + 2^(9-j) c[j-1] + 2^(8-j) - 1].
 * Let e be the low four bits. With the bounds as 16 rows of 16, rows in bit-reversed order, round 5
 * needs entry e of column 7; round 6 entry e of column 8 c[5] + 3; round 7 of 8 c[5] + 4 c[6] + 1;
 * round 8 of 8 c[5] + 4 c[6] + 2 c[7]. Rounds 1 to 4 need column 15: entries 14, 12 + e, 8 + e, e.
 */
struct q8_avx512_book {
  __m512 column[16];
  __m512 round1, round2, round3;
};

LQI_INLINE LQI_AVX512 void q8_avx512_transpose(const float *rows, __m512 *column)
{
  static const uint8_t reversed[16] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
  __m512 t[16];
  for (size_t i = 0; i < 16; i += 2) {
    __m512 a = _mm512_loadu_ps(rows + 16 * (size_t)reversed[i]),
           b = _mm512_loadu_ps(rows + 16 * (size_t)reversed[i + 1]);
    t[i] = _mm512_unpacklo_ps(a, b);
    t[i + 1] = _mm512_unpackhi_ps(a, b);
  }
  for (size_t i = 0; i < 16; i += 4) {
    __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]),
            c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
    t[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    t[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    t[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    t[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
  }
  for (size_t i = 0; i < 4; i++) {
    __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88),
           b = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
    __m512 c = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd),
           d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
    column[i] = _mm512_shuffle_f32x4(a, b, 0x88);
    column[i + 4] = _mm512_shuffle_f32x4(c, d, 0x88);
    column[i + 8] = _mm512_shuffle_f32x4(a, b, 0xdd);
    column[i + 12] = _mm512_shuffle_f32x4(c, d, 0xdd);
  }
}

LQI_INLINE LQI_AVX512 void q8_avx512_prepare(struct q8_avx512_book *k, const float *bound)
{
  q8_avx512_transpose(bound, k->column);
  __m512 last = k->column[15];
  k->round1 = _mm512_permutexvar_ps(_mm512_set1_epi32(14), last);
  k->round2 = _mm512_permutexvar_ps(_mm512_set4_epi32(13, 12, 13, 12), last);
  k->round3 = _mm512_permutexvar_ps(_mm512_set4_epi32(11, 10, 9, 8), last);
}

/* Two vectors at a time: a round waits long for the one before, so their rounds alternate. */
struct q8_avx512_pair {
  __m512 v[2];
  __m512i rank[2]; /* reversed, as far as it is known */
  __mmask16 above[2];
};

/* Outcomes of a round, not (v <= bound), true for NaN; kept as `bit` of the reversed ranks. */
LQI_INLINE LQI_AVX512 void q8_avx512_round(struct q8_avx512_pair *p, __m512 bound0, __m512 bound1,
                                           int bit)
{
  p->above[0] = _mm512_cmp_ps_mask(p->v[0], bound0, _CMP_NLE_UQ);
  p->above[1] = _mm512_cmp_ps_mask(p->v[1], bound1, _CMP_NLE_UQ);
  p->rank[0] = _mm512_mask_or_epi32(p->rank[0], p->above[0], p->rank[0], _mm512_set1_epi32(bit));
  p->rank[1] = _mm512_mask_or_epi32(p->rank[1], p->above[1], p->rank[1], _mm512_set1_epi32(bit));
}

/* A round with entry e of one column. */
LQI_INLINE LQI_AVX512 void q8_avx512_column(struct q8_avx512_pair *p, __m512 column, int bit)
{
  q8_avx512_round(p, _mm512_permutexvar_ps(p->rank[0], column),
                  _mm512_permutexvar_ps(p->rank[1], column), bit);
}

/* Entry e of column a or, if c[5], of column a + 8. */
LQI_INLINE LQI_AVX512 __m512 q8_avx512_entry(const struct q8_avx512_book *k, size_t a, __m512i rank)
{
  return _mm512_permutex2var_ps(k->column[a], rank, k->column[a + 8]);
}

LQI_INLINE LQI_AVX512 __m512 q8_avx512_entry2(const struct q8_avx512_book *k, size_t a, size_t b,
                                              __mmask16 c, __m512i rank)
{
  return _mm512_mask_blend_ps(c, q8_avx512_entry(k, a, rank), q8_avx512_entry(k, b, rank));
}

LQI_INLINE LQI_AVX512 __m512 q8_avx512_entry4(const struct q8_avx512_book *k, __mmask16 c6,
                                              __mmask16 c7, __m512i rank)
{
  return _mm512_mask_blend_ps(c6, q8_avx512_entry2(k, 0, 2, c7, rank),
                              q8_avx512_entry2(k, 4, 6, c7, rank));
}

LQI_INLINE LQI_AVX512 void q8_avx512_rank(const struct q8_avx512_book *k, struct q8_avx512_pair *p)
{
  p->rank[0] = p->rank[1] = _mm512_setzero_si512();
  q8_avx512_round(p, k->round1, k->round1, 1);
  q8_avx512_column(p, k->round2, 2);
  q8_avx512_column(p, k->round3, 4);
  q8_avx512_column(p, k->column[15], 8);
  q8_avx512_column(p, k->column[7], 16);
  q8_avx512_round(p, q8_avx512_entry(k, 3, p->rank[0]), q8_avx512_entry(k, 3, p->rank[1]), 32);
  __mmask16 c0 = p->above[0], c1 = p->above[1];
  q8_avx512_round(p, q8_avx512_entry2(k, 1, 5, c0, p->rank[0]),
                  q8_avx512_entry2(k, 1, 5, c1, p->rank[1]), 64);
  q8_avx512_round(p, q8_avx512_entry4(k, c0, p->above[0], p->rank[0]),
                  q8_avx512_entry4(k, c1, p->above[1], p->rank[1]), 128);
}

/* The bits of each byte in reverse order, a nibble at a time. */
LQI_INLINE LQI_AVX512 __m512i q8_avx512_reverse(__m512i x)
{
  const __m512i up =
      _mm512_set4_epi32((int)0xf070b030, (int)0xd0509010, (int)0xe060a020, (int)0xc0408000);
  const __m512i down = _mm512_set4_epi32(0x0f070b03, 0x0d050901, 0x0e060a02, 0x0c040800),
                nibble = _mm512_set1_epi8(15);
  __m512i high = _mm512_and_si512(_mm512_srli_epi16(x, 4), nibble);
  return _mm512_or_si512(_mm512_shuffle_epi8(up, _mm512_and_si512(x, nibble)),
                         _mm512_shuffle_epi8(down, high));
}

/* n <= 64 elements from `first` on. */
LQI_INLINE LQI_AVX512 void q8_avx512_chunk(const struct q8_avx512_book *k, const void *x,
                                           int32_t dtype, size_t first, size_t n, float r,
                                           uint8_t *codes)
{
  struct q8_avx512_pair p[2];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++) {
    __m512 v = n == 64 ? avx512_load(x, dtype, first + 16 * i)
                       : avx512_load_part(x, dtype, first + 16 * i, avx512_lanes(16 * i, n));
    p[i / 2].v[i % 2] = _mm512_mul_ps(v, _mm512_set1_ps(r));
  }
  q8_avx512_rank(k, &p[0]);
  q8_avx512_rank(k, &p[1]);
  __m512i bytes = avx512_bytes(p[0].rank[0], p[0].rank[1], p[1].rank[0], p[1].rank[1]);
  bytes = q8_avx512_reverse(bytes);
  if (n == 64)
    _mm512_storeu_si512(codes, bytes);
  else
    _mm512_mask_storeu_epi8(codes, (1ull << n) - 1u, bytes);
}

LQI_INLINE LQI_AVX512 void q8_avx512_walk(const void *book, const void *x, int32_t dtype,
                                          size_t first, size_t count, size_t block, const float *r,
                                          int finite, float *absmax, uint8_t *codes)
{
  (void)finite;
  (void)absmax;
  for (size_t b = 0; b < count; b++) {
    size_t i = b * block, end = i + block;
    for (; i + 64 <= end; i += 64)
      q8_avx512_chunk(book, x, dtype, first + i, 64, r[b], codes + i);
    if (i < end)
      q8_avx512_chunk(book, x, dtype, first + i, end - i, r[b], codes + i);
  }
}

/* Entry of 256 by eight look-ups in 32; bits 5 to 7 of the code choose among them. */
LQI_INLINE LQI_AVX512 __m512 q8_avx512_value(const float *value, __m512i code)
{
  __mmask16 k5 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(32));
  __mmask16 k6 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(64));
  __mmask16 k7 = _mm512_test_epi32_mask(code, _mm512_set1_epi32(128));
  __m512 part[8];
  X86_UNROLL
  for (size_t i = 0; i < 8; i++)
    part[i] = _mm512_permutex2var_ps(_mm512_loadu_ps(value + 32 * i), code,
                                     _mm512_loadu_ps(value + 32 * i + 16));
  X86_UNROLL
  for (size_t i = 0; i < 8; i += 2)
    part[i] = _mm512_mask_blend_ps(k5, part[i], part[i + 1]);
  X86_UNROLL
  for (size_t i = 0; i < 8; i += 4)
    part[i] = _mm512_mask_blend_ps(k6, part[i], part[i + 2]);
  return _mm512_mask_blend_ps(k7, part[0], part[4]);
}

LQI_INLINE LQI_AVX512 void q8_avx512_span(const void *value, const float *scale,
                                          const uint8_t *codes, size_t n, int32_t dtype, void *out,
                                          int stream)
{
  const __m512 s = _mm512_set1_ps(*scale);
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m512 a =
        q8_avx512_value(value, _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(codes + i))));
    __m512 b = q8_avx512_value(
        value, _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(codes + i + 16))));
    avx512_store_pair(out, dtype, i, _mm512_mul_ps(a, s), _mm512_mul_ps(b, s), 1, stream);
  }
  for (; i < n; i += 16) {
    __mmask16 lanes = avx512_lanes(i, n);
    __m512 a = q8_avx512_value(value, _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, codes + i)));
    avx512_store_part(out, dtype, i, _mm512_mul_ps(a, s), 1, lanes);
  }
}

/* Conversion rounds to nearest even; a product that is NaN or not below 127.5 has its lane cleared.
 */
LQI_INLINE LQI_AVX512 __m512i q8_avx512_i8(__m512 x, __m512 scale)
{
  __m512 p = _mm512_mul_ps(x, scale);
  __mmask16 fits = _mm512_cmp_ps_mask(_mm512_abs_ps(p), _mm512_set1_ps(127.5f), _CMP_LT_OQ);
  return _mm512_maskz_cvtps_epi32(fits, p);
}

LQI_INLINE LQI_AVX512 void q8_avx512_i8_encode(const void *x, int32_t dtype, size_t n, float scale,
                                               int8_t *codes)
{
  const __m512 s = _mm512_set1_ps(scale);
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    _mm_storeu_si128((void *)(codes + i),
                     _mm512_cvtepi32_epi8(q8_avx512_i8(avx512_load(x, dtype, i), s)));
  if (i < n) {
    __mmask16 lanes = avx512_lanes(i, n);
    __m512i code = q8_avx512_i8(avx512_load_part(x, dtype, i, lanes), s);
    _mm_mask_storeu_epi8(codes + i, lanes, _mm512_cvtepi32_epi8(code));
  }
}

LQI_INLINE LQI_AVX512 __m512 q8_avx512_i8_value(__m128i codes, __m512 stat)
{
  const __m512 step = _mm512_castsi512_ps(_mm512_set1_epi32((int)LQI_I8_STEP_BITS));
  return _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)), stat), step);
}

LQI_INLINE LQI_AVX512 void q8_avx512_i8_span(const void *none, const float *stat,
                                             const uint8_t *codes, size_t n, int32_t dtype,
                                             void *out, int stream)
{
  const __m512 s = _mm512_set1_ps(*stat);
  size_t i = 0;
  (void)none;
  for (; i + 32 <= n; i += 32) {
    __m512 a = q8_avx512_i8_value(_mm_loadu_si128((const void *)(codes + i)), s);
    __m512 b = q8_avx512_i8_value(_mm_loadu_si128((const void *)(codes + i + 16)), s);
    avx512_store_pair(out, dtype, i, a, b, 1, stream);
  }
  for (; i < n; i += 16) {
    __mmask16 lanes = avx512_lanes(i, n);
    avx512_store_part(out, dtype, i, q8_avx512_i8_value(_mm_maskz_loadu_epi8(lanes, codes + i), s),
                      1, lanes);
  }
}

#define Q8_AVX512_KERNELS(suffix, dtype) \
  LQI_AVX512 void lqi_q8_encode_##suffix##_avx512(const struct lqi_q8_book *book, const void *x, \
                                                  size_t blocks, size_t block, float *absmax, \
                                                  uint8_t *codes) \
  { \
    struct q8_avx512_book k; \
    q8_avx512_prepare(&k, book->bound); \
    avx512_encode(q8_avx512_walk, &k, x, dtype, blocks, block, absmax, codes, 8); \
  } \
  LQI_AVX512 void lqi_q8_decode_##suffix##_avx512(const float *value, const uint8_t *codes, \
                                                  size_t blocks, size_t block, \
                                                  const float *absmax, void *out, int stream) \
  { \
    x86_decode(q8_avx512_span, value, codes, 8, blocks, block, absmax, 1, dtype, out, stream); \
  } \
  LQI_AVX512 void lqi_i8_encode_##suffix##_avx512(const void *x, size_t n, float scale, \
                                                  int8_t *codes) \
  { \
    q8_avx512_i8_encode(x, dtype, n, scale, codes); \
  } \
  LQI_AVX512 void lqi_i8_decode_##suffix##_avx512(const int8_t *codes, size_t n, float stat, \
                                                  void *out, int stream) \
  { \
    x86_decode(q8_avx512_i8_span, NULL, (const void *)codes, 8, 1, n, &stat, 1, dtype, out, \
               stream); \
  }

Q8_AVX512_KERNELS(f32, LQ_F32)
Q8_AVX512_KERNELS(f16, LQ_F16)
Q8_AVX512_KERNELS(bf16, LQ_BF16)

#endif
