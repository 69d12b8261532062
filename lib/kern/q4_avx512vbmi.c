/*
 * q4_avx512vbmi.c - 4-bit code books where bytes can be permuted across a register (VBMI).
 *
 * Owns: encoding of the blocks and books that occur; the rest goes to q4_avx512.c.
 * Must not know: which book it is, nested scales, tensors.
 */
#include "kern_avx512.h"

#if LQI_X86

struct q4_avx512vbmi_book {
  const struct lqi_q4_book *book;
  lqi_q4_encode_fn *rest;
  __m512 bound[2]; /* by cell */
  __m512i code;    /* by cell and whether its bound is exceeded */
};

/*
 * A byte of index: the cell in bits 0 to 4; bit 5 is set for negative cells (-15..-1), and inverted
 * if the value exceeds the bound.
 */
LQI_INLINE LQI_AVX512VBMI int q4_avx512vbmi_prepare(struct q4_avx512vbmi_book *k,
                                                    const struct lqi_q4_book *book,
                                                    lqi_q4_encode_fn *rest)
{
  struct avx512_cells cells;
  if (!lqi_q4_cells_avx512(&cells, book->bound))
    return 0;
  k->book = book;
  k->rest = rest;
  k->bound[0] = cells.bound[0];
  k->bound[1] = cells.bound[1];
  __m256i below =
      _mm256_set_m128i(_mm512_cvtepi32_epi8(cells.rank[1]), _mm512_cvtepi32_epi8(cells.rank[0]));
  __m256i above =
      _mm256_min_epu8(_mm256_add_epi8(below, _mm256_set1_epi8(1)), _mm256_set1_epi8(15));
  const __mmask32 negative = 0xfffe0000;
  __m512i rank = _mm512_castsi256_si512(_mm256_mask_blend_epi8(negative, below, above));
  rank = _mm512_inserti64x4(rank, _mm256_mask_blend_epi8(negative, above, below), 1);
  k->code =
      _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const void *)book->code)), rank);
  return 1;
}

/* 64 elements in four vectors: of bf16 in the order that unpacking gives, else in theirs. */
LQI_INLINE LQI_AVX512VBMI void q4_avx512vbmi_load(const void *x, int32_t dtype, size_t first,
                                                  __m512 *v)
{
  if (dtype == LQ_BF16) {
    const uint16_t *h = (const uint16_t *)x + first;
    const __m512i zero = _mm512_setzero_si512(), a = _mm512_loadu_si512(h),
                  b = _mm512_loadu_si512(h + 32);
    v[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(zero, a));
    v[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(zero, a));
    v[2] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(zero, b));
    v[3] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(zero, b));
  } else {
    X86_UNROLL
    for (size_t i = 0; i < 4; i++)
      v[i] = avx512_load(x, dtype, first + 16 * i);
  }
}

/* The low bytes of two vectors as 32 bytes, in the order of the elements; the same again above. */
LQI_INLINE LQI_AVX512VBMI __m512i q4_avx512vbmi_gather(int32_t dtype)
{
  if (dtype == LQ_BF16) /* eight elements: four of the first vector, four of the second */
    return _mm512_set_epi64(0x7c7874703c383430, 0x6c6864602c282420, 0x5c5854501c181410,
                            0x4c4844400c080400, 0x7c7874703c383430, 0x6c6864602c282420,
                            0x5c5854501c181410, 0x4c4844400c080400);
  return _mm512_set_epi64(0x7c7874706c686460, 0x5c5854504c484440, 0x3c3834302c282420,
                          0x1c1814100c080400, 0x7c7874706c686460, 0x5c5854504c484440,
                          0x3c3834302c282420, 0x1c1814100c080400);
}

/* 64 elements; r is the scale of the first 32, s of the others. */
LQI_INLINE LQI_AVX512VBMI void q4_avx512vbmi_chunk(const struct q4_avx512vbmi_book *k,
                                                   const void *x, int32_t dtype, size_t first,
                                                   float r, float s, uint8_t *codes)
{
  const __m512i order = q4_avx512vbmi_gather(dtype), flip = _mm512_set1_epi32(32);
  __m512i at[4];
  __m512 v[4];
  q4_avx512vbmi_load(x, dtype, first, v);
  X86_UNROLL
  for (size_t i = 0; i < 4; i++) {
    v[i] = _mm512_mul_ps(v[i], _mm512_set1_ps(i < 2 ? r : s));
    at[i] = avx512_cell(v[i]);
    __m512 bound = _mm512_permutex2var_ps(k->bound[0], at[i], k->bound[1]);
    at[i] = _mm512_mask_xor_epi32(at[i], _mm512_cmp_ps_mask(v[i], bound, _CMP_NLE_UQ), at[i], flip);
  }
  __m512i index = _mm512_mask_blend_epi64(0xf0, _mm512_permutex2var_epi8(at[0], order, at[1]),
                                          _mm512_permutex2var_epi8(at[2], order, at[3]));
  __m512i code = _mm512_permutexvar_epi8(index, k->code);
  __m256i packed = _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(code, _mm512_set1_epi16(0x0110)));
  _mm256_storeu_si256((void *)codes, packed);
}

/* Blocks of 32 are in pairs, others multiples of 64. */
LQI_INLINE LQI_AVX512VBMI void q4_avx512vbmi_walk(const void *book, const void *x, int32_t dtype,
                                                  size_t first, size_t count, size_t block,
                                                  const float *r, int finite, float *absmax,
                                                  uint8_t *codes)
{
  const struct q4_avx512vbmi_book *k = book;
  size_t step = block == 32 ? 2 : 1, chunks = (block + 63) / 64;
  if (LQI_UNLIKELY(!finite)) {
    k->rest(k->book, (const uint8_t *)x + first * lqi_dtype_size(dtype), count, block, absmax,
            codes);
    return;
  }
  for (size_t b = 0; b < count; b += step)
    for (size_t c = 0; c < chunks; c++, first += 64, codes += 32)
      q4_avx512vbmi_chunk(k, x, dtype, first, r[b], r[b + step - 1], codes);
}

/* What the cells do not cover is left to `rest`, and so are blocks that are not made of 64 elements
 * or of pairs of 32. */
LQI_INLINE LQI_AVX512VBMI void q4_avx512vbmi_encode(const struct lqi_q4_book *book, const void *x,
                                                    int32_t dtype, size_t blocks, size_t block,
                                                    float *absmax, uint8_t *codes,
                                                    lqi_q4_encode_fn *rest)
{
  struct q4_avx512vbmi_book k;
  size_t whole = block == 32 ? blocks & ~(size_t)1 : block % 64 == 0 ? blocks : 0, done = 0;
  if (whole * block >= AVX512_CELLS_PAY && q4_avx512vbmi_prepare(&k, book, rest)) {
    avx512_encode(q4_avx512vbmi_walk, &k, x, dtype, whole, block, absmax, codes, 4);
    done = whole;
  }
  const uint8_t *from = (const uint8_t *)x + done * block * lqi_dtype_size(dtype);
  rest(book, from, blocks - done, block, absmax + done, codes + done * block / 2);
}

#define Q4_AVX512VBMI_ENCODE(suffix, dtype) \
  LQI_AVX512VBMI void lqi_q4_encode_##suffix##_avx512vbmi( \
      const struct lqi_q4_book *book, const void *x, size_t blocks, size_t block, float *absmax, \
      uint8_t *codes) \
  { \
    q4_avx512vbmi_encode(book, x, dtype, blocks, block, absmax, codes, \
                         lqi_q4_encode_##suffix##_avx512); \
  }

Q4_AVX512VBMI_ENCODE(f32, LQ_F32)
Q4_AVX512VBMI_ENCODE(f16, LQ_F16)
Q4_AVX512VBMI_ENCODE(bf16, LQ_BF16)

#endif
