/*
 * aff_avx2.c - uniform grids with a zero point, AVX2.
 *
 * Owns: the aff kernels, 8 lanes wide; what is left of a group that has no multiple of 8 elements
 * goes by the rules of kern_aff.h.
 * Must not know: how codes of other widths than 4 and 8 bits are packed, tensors.
 */
#include "kern_avx2.h"
#include "kern_aff.h"

#if LQI_X86

/* Groups whose ranges are folded together. */
#define AFF_AVX2_GROUPS 8

LQI_INLINE LQI_AVX2 __m256 aff_avx2_pick(__m256 a, __m256 b, int least)
{
  return least ? _mm256_min_ps(a, b) : _mm256_max_ps(a, b);
}

/* The least or greatest of each of 8 vectors, in order: at every step two are folded into one. */
LQI_INLINE LQI_AVX2 __m256 aff_avx2_fold(const __m256 *v, int least)
{
  __m256 a[4];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++)
    a[i] = aff_avx2_pick(_mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]),
                         _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]), least);
  X86_UNROLL
  for (size_t i = 0; i < 2; i++) {
    __m256d b = _mm256_castps_pd(a[2 * i]), c = _mm256_castps_pd(a[2 * i + 1]);
    a[i] = aff_avx2_pick(_mm256_castpd_ps(_mm256_unpacklo_pd(b, c)),
                         _mm256_castpd_ps(_mm256_unpackhi_pd(b, c)), least);
  }
  return aff_avx2_pick(_mm256_permute2f128_ps(a[0], a[1], 0x20),
                       _mm256_permute2f128_ps(a[0], a[1], 0x31), least);
}

/*
 * Least and greatest of the 8 lanes over n elements, n a multiple of 8. The operand that wins where
 * neither is less stands second: so NaN and -0 leave no trace; a product with 0 tells of NaN (and
 * of infinity).
 */
LQI_INLINE LQI_AVX2 void aff_avx2_lanes(const void *x, int32_t dtype, size_t first, size_t n,
                                        __m256 *lo, __m256 *hi, __m256 *odd)
{
  const __m256 zero = _mm256_setzero_ps();
  __m256 least[2] = {zero, zero}, most[2] = {zero, zero}, sum[2] = {zero, zero};
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    X86_UNROLL
  for (size_t k = 0; k < 2; k++) {
    __m256 v = avx2_load(x, dtype, first + i + 8 * k);
    least[k] = _mm256_min_ps(v, least[k]);
    most[k] = _mm256_max_ps(v, most[k]);
    sum[k] = _mm256_fmadd_ps(v, zero, sum[k]);
  }
  if (i < n) {
    __m256 v = avx2_load(x, dtype, first + i);
    least[0] = _mm256_min_ps(v, least[0]);
    most[0] = _mm256_max_ps(v, most[0]);
    sum[0] = _mm256_fmadd_ps(v, zero, sum[0]);
  }
  *lo = _mm256_min_ps(least[0], least[1]);
  *hi = _mm256_max_ps(most[0], most[1]);
  *odd = _mm256_add_ps(sum[0], sum[1]);
}

/* Ranges of up to 8 groups; one with NaN or infinity is left to the C kernel. */
LQI_INLINE LQI_AVX2 void aff_avx2_ranges(lqi_aff_range_fn *plain, const void *x, int32_t dtype,
                                         size_t first, size_t groups, size_t group, float *lo,
                                         float *hi)
{
  __m256 least[AFF_AVX2_GROUPS], most[AFF_AVX2_GROUPS], odd;
  float all[2][AFF_AVX2_GROUPS];
  uint32_t again = 0;
  for (size_t g = 0; g < groups; g++) {
    aff_avx2_lanes(x, dtype, first + g * group, group, &least[g], &most[g], &odd);
    again |= (_mm256_movemask_ps(_mm256_cmp_ps(odd, odd, _CMP_UNORD_Q)) != 0 ? 1u : 0u) << g;
  }
  for (size_t g = groups; g < AFF_AVX2_GROUPS; g++)
    least[g] = most[g] = _mm256_setzero_ps();
  _mm256_storeu_ps(all[0], aff_avx2_fold(least, 1));
  _mm256_storeu_ps(all[1], aff_avx2_fold(most, 0));
  memcpy(lo, all[0], groups * sizeof *lo);
  memcpy(hi, all[1], groups * sizeof *hi);
  for (size_t g = 0; LQI_UNLIKELY(again >> g != 0); g++)
    if (again >> g & 1u)
      plain((const uint8_t *)x + (first + g * group) * lqi_dtype_size(dtype), 1, group, lo + g,
            hi + g);
}

/* What the vectors leave of a single group is a group of its own: the range of both covers each,
 * and NaN in either stays. */
LQI_INLINE LQI_AVX2 void aff_avx2_range(lqi_aff_range_fn *plain, const void *x, int32_t dtype,
                                        size_t groups, size_t group, float *lo, float *hi)
{
  size_t whole = group / 8 * 8;
  for (size_t g = 0, count; g < groups; g += count) {
    count = groups - g < AFF_AVX2_GROUPS ? groups - g : AFF_AVX2_GROUPS;
    aff_avx2_ranges(plain, x, dtype, g * group, count, whole, lo + g, hi + g);
  }
  if (whole != group) {
    float least, most;
    plain((const uint8_t *)x + whole * lqi_dtype_size(dtype), 1, group - whole, &least, &most);
    *lo = least < *lo || least != least ? least : *lo;
    *hi = most > *hi || most != most ? most : *hi;
  }
}

/* Up to 8 grids from vectors of scales and zeros. */
LQI_INLINE LQI_AVX2 void aff_avx2_put(struct lqi_grid *grid, size_t n, __m256 scale, __m256 zero)
{
  float all[16];
  __m256 low = _mm256_unpacklo_ps(scale, zero), high = _mm256_unpackhi_ps(scale, zero);
  _mm256_storeu_ps(all, _mm256_permute2f128_ps(low, high, 0x20));
  _mm256_storeu_ps(all + 8, _mm256_permute2f128_ps(low, high, 0x31));
  memcpy(grid, all, n * sizeof *grid);
}

/* max and min return their second operand where one is NaN, as the comparisons of the C version. */
LQI_AVX2 void lqi_aff_grid_avx2(const float *lo, const float *hi, size_t n, uint32_t bits,
                                int symmetric, struct lqi_grid *grid, uint16_t *half)
{
  const __m256 most = _mm256_set1_ps((float)((1u << bits) - 1u)), zero = _mm256_setzero_ps();
  const __m256 sign = _mm256_set1_ps(-0.0f);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 low = _mm256_loadu_ps(lo + i), high = _mm256_loadu_ps(hi + i);
    if (symmetric) {
      high = _mm256_max_ps(_mm256_xor_ps(low, sign), high);
      low = _mm256_xor_ps(high, sign);
    }
    __m256 none = _mm256_cmp_ps(low, high, _CMP_EQ_OQ);
    low = _mm256_blendv_ps(low, _mm256_set1_ps(-1.0f), none);
    high = _mm256_blendv_ps(high, _mm256_set1_ps(1.0f), none);
    __m256 s = _mm256_div_ps(_mm256_sub_ps(high, low), most);
    s = _mm256_max_ps(_mm256_set1_ps(AFF_LEAST_SCALE), s);
    s = _mm256_min_ps(_mm256_set1_ps(AFF_MOST_SCALE), s);
    __m128i h = _mm256_cvtps_ph(s, _MM_FROUND_TO_NEAREST_INT);
    s = _mm256_cvtph_ps(h);
    __m256 z = _mm256_div_ps(_mm256_xor_ps(low, sign), s);
    z = _mm256_min_ps(_mm256_max_ps(z, zero), most);
    z = _mm256_round_ps(z, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    if (symmetric)
      z = _mm256_set1_ps((float)(1u << (bits - 1u)));
    _mm_storeu_si128((void *)(half + i), h);
    aff_avx2_put(grid + i, 8, s, z);
  }
  lqi_aff_grid_c(lo + i, hi + i, n - i, bits, symmetric, grid + i, half + i);
}

/* A grid ready for encoding. */
struct aff_avx2_grid {
  __m256 scale, low, high;
  __m256i zero;
};

LQI_INLINE LQI_AVX2 void aff_avx2_prepare(struct aff_avx2_grid *k, const struct lqi_grid *grid,
                                          float most)
{
  k->scale = _mm256_set1_ps(grid->scale);
  k->low = _mm256_set1_ps(-grid->zero);
  k->high = _mm256_set1_ps(most - grid->zero);
  k->zero = _mm256_set1_epi32((int)grid->zero);
}

LQI_INLINE LQI_AVX2 __m256i aff_avx2_code(const struct aff_avx2_grid *k, __m256 x)
{
  __m256 t = _mm256_div_ps(x, k->scale);
  t = _mm256_min_ps(_mm256_max_ps(t, k->low), k->high);
  return _mm256_add_epi32(_mm256_cvtps_epi32(t), k->zero);
}

/* Bounded values are rounded as floats: the difference of code and zero is one already. */
LQI_AVX2 void lqi_aff_round_avx2(const float *x, const float *scale, const float *zero, float most,
                                 uint8_t *codes, float *q)
{
  __m256i v[4];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++) {
    __m256 s = _mm256_loadu_ps(scale + 8 * i), z = _mm256_loadu_ps(zero + 8 * i);
    __m256 t = _mm256_div_ps(_mm256_loadu_ps(x + 8 * i), s);
    t = _mm256_max_ps(t, _mm256_xor_ps(z, _mm256_set1_ps(-0.0f)));
    t = _mm256_min_ps(t, _mm256_sub_ps(_mm256_set1_ps(most), z));
    t = _mm256_cvtepi32_ps(_mm256_cvtps_epi32(t));
    _mm256_storeu_ps(q + 8 * i, _mm256_mul_ps(s, t));
    v[i] = _mm256_cvtps_epi32(_mm256_add_ps(t, z));
  }
  _mm256_storeu_si256((void *)codes, avx2_bytes(v, 0));
}

/* n <= 32 elements from `first` on, a multiple of 8, to n bytes; the others are `zero`. */
LQI_INLINE LQI_AVX2 __m256i aff_avx2_chunk(const struct aff_avx2_grid *k, const void *x,
                                           int32_t dtype, size_t first, size_t n)
{
  __m256i v[4];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++)
    v[i] = aff_avx2_code(k, avx2_load_some(x, dtype, first, n, i));
  return avx2_bytes(v, 0);
}

LQI_INLINE LQI_AVX2 void aff_avx2_encode8(const void *x, int32_t dtype, size_t groups, size_t group,
                                          const struct lqi_grid *grid, float most, uint8_t *codes)
{
  struct aff_avx2_grid k;
  size_t whole = group / 8 * 8;
  for (size_t g = 0; g < groups; g++) {
    size_t i = g * group, end = i + whole;
    aff_avx2_prepare(&k, grid + g, most);
    for (; i + 32 <= end; i += 32)
      _mm256_storeu_si256((void *)(codes + i), aff_avx2_chunk(&k, x, dtype, i, 32));
    if (i < end) {
      __m256i some = aff_avx2_chunk(&k, x, dtype, i, end - i);
      memcpy(codes + i, &some, end - i);
    }
  }
  for (size_t i = whole; i < group; i++)
    codes[i] = (uint8_t)aff_code(lqi_load(x, dtype, i), *grid, most);
}

/* A byte pair becomes first + 16 * second; packing works inside halves. */
LQI_INLINE LQI_AVX2 __m128i aff_avx2_pairs(__m256i bytes)
{
  __m256i pair = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x1001));
  return _mm_packus_epi16(_mm256_castsi256_si128(pair), _mm256_extracti128_si256(pair, 1));
}

LQI_INLINE LQI_AVX2 void aff_avx2_encode4(const void *x, int32_t dtype, size_t groups, size_t group,
                                          const struct lqi_grid *grid, float most, uint8_t *codes)
{
  struct aff_avx2_grid k;
  size_t whole = group / 8 * 8;
  for (size_t g = 0; g < groups; g++) {
    size_t i = g * group, end = i + whole;
    aff_avx2_prepare(&k, grid + g, most);
    for (; i + 32 <= end; i += 32)
      _mm_storeu_si128((void *)(codes + i / 2),
                       aff_avx2_pairs(aff_avx2_chunk(&k, x, dtype, i, 32)));
    if (i < end) {
      __m128i some = aff_avx2_pairs(aff_avx2_chunk(&k, x, dtype, i, end - i));
      memcpy(codes + i / 2, &some, (end - i) / 2);
    }
  }
  for (size_t i = whole; i < group; i++) {
    uint32_t code = aff_code(lqi_load(x, dtype, i), *grid, most);
    codes[i / 2] = (uint8_t)(i % 2 == 0 ? code : codes[i / 2] | code << 4);
  }
}

/* The 16 values of a group are made first, so that decoding is a look-up. */
LQI_INLINE LQI_AVX2 void aff_avx2_span4(const void *none, const float *grid, const uint8_t *codes,
                                        size_t n, int32_t dtype, void *out, int stream)
{
  const struct lqi_grid plain = {grid[0], grid[1]};
  const __m256 s = _mm256_set1_ps(grid[0]), z = _mm256_set1_ps(grid[1]);
  __m256 low = _mm256_mul_ps(s, _mm256_sub_ps(_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), z));
  __m256 high = _mm256_mul_ps(s, _mm256_sub_ps(_mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15), z));
  size_t whole = n / 8 * 8;
  (void)none;
  avx2_nibbles(low, high, codes, whole, 1, dtype, out, stream);
  for (size_t i = whole; i < n; i++)
    lqi_store(out, dtype, i, aff_value((uint32_t)codes[i / 2] >> 4 * (i % 2) & 15u, plain));
}

LQI_INLINE LQI_AVX2 __m256 aff_avx2_value(const uint8_t *codes, __m256 scale, __m256i zero)
{
  __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)codes));
  return _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_sub_epi32(code, zero)));
}

LQI_INLINE LQI_AVX2 void aff_avx2_span8(const void *none, const float *grid, const uint8_t *codes,
                                        size_t n, int32_t dtype, void *out, int stream)
{
  const struct lqi_grid plain = {grid[0], grid[1]};
  const __m256 s = _mm256_set1_ps(grid[0]);
  const __m256i z = _mm256_set1_epi32((int)grid[1]);
  size_t i = 0;
  (void)none;
  for (; i + 16 <= n; i += 16)
    avx2_store_pair(out, dtype, i, aff_avx2_value(codes + i, s, z),
                    aff_avx2_value(codes + i + 8, s, z), 1, stream);
  for (; i < n; i++)
    lqi_store(out, dtype, i, aff_value(codes[i], plain));
}

LQI_INLINE LQI_AVX2 __m256 aff_avx2_power(__m256 d, __m256 power)
{
  static const float log_terms[AFF_LOG_TERMS] = AFF_LOG, exp_terms[AFF_EXP_TERMS] = AFF_EXP;
  const __m256i root = _mm256_set1_epi32(AFF_SQRT_HALF_BITS);
  __m256 some = _mm256_cmp_ps(d, _mm256_set1_ps(AFF_LEAST_ERROR), _CMP_GE_OQ);
  __m256i u = _mm256_castps_si256(d), k = _mm256_srai_epi32(_mm256_sub_epi32(u, root), 23);
  __m256 f = _mm256_castsi256_ps(_mm256_sub_epi32(u, _mm256_slli_epi32(k, 23)));
  f = _mm256_sub_ps(f, _mm256_set1_ps(1.0f));
  __m256 p = _mm256_set1_ps(log_terms[AFF_LOG_TERMS - 1]);
  X86_UNROLL
  for (int i = AFF_LOG_TERMS - 2; i >= 0; i--)
    p = _mm256_add_ps(_mm256_mul_ps(p, f), _mm256_set1_ps(log_terms[i]));
  __m256 y = _mm256_mul_ps(_mm256_add_ps(_mm256_mul_ps(p, f), _mm256_cvtepi32_ps(k)), power);
  y = _mm256_min_ps(y, _mm256_set1_ps(126.0f));
  some = _mm256_and_ps(some, _mm256_cmp_ps(y, _mm256_set1_ps(-126.0f), _CMP_GE_OQ));
  __m256i whole = _mm256_cvtps_epi32(y);
  __m256 r = _mm256_sub_ps(y, _mm256_cvtepi32_ps(whole));
  __m256 e = _mm256_set1_ps(exp_terms[AFF_EXP_TERMS - 1]);
  X86_UNROLL
  for (int i = AFF_EXP_TERMS - 2; i >= 0; i--)
    e = _mm256_add_ps(_mm256_mul_ps(e, r), _mm256_set1_ps(exp_terms[i]));
  __m256i bits = _mm256_add_epi32(_mm256_castps_si256(e), _mm256_slli_epi32(whole, 23));
  return _mm256_and_ps(_mm256_castsi256_ps(bits), some);
}

LQI_INLINE LQI_AVX2 __m256 aff_avx2_error(const struct aff_avx2_grid *k, const float *x,
                                          const struct lqi_aff_loss *loss)
{
  __m256 v = _mm256_loadu_ps(x);
  __m256i code = _mm256_sub_epi32(aff_avx2_code(k, v), k->zero);
  __m256 d = _mm256_sub_ps(_mm256_mul_ps(k->scale, _mm256_cvtepi32_ps(code)), v);
  d = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), d);
  return aff_avx2_power(_mm256_mul_ps(d, _mm256_set1_ps(loss->boost)), _mm256_set1_ps(loss->power));
}

/* The 16 chains are the lanes of two vectors. */
LQI_AVX2 void lqi_aff_error_avx2(const float *x, size_t n, const struct lqi_grid *grid,
                                 const struct lqi_aff_loss *loss, float chain[16])
{
  struct aff_avx2_grid k;
  size_t i = 0;
  aff_avx2_prepare(&k, grid, loss->most);
  __m256 low = _mm256_loadu_ps(chain), high = _mm256_loadu_ps(chain + 8);
  for (; i + 16 <= n; i += 16) {
    low = _mm256_add_ps(low, aff_avx2_error(&k, x + i, loss));
    high = _mm256_add_ps(high, aff_avx2_error(&k, x + i + 8, loss));
  }
  _mm256_storeu_ps(chain, low);
  _mm256_storeu_ps(chain + 8, high);
  lqi_aff_error_c(x + i, n - i, grid, loss, chain);
}

#define AFF_AVX2_KERNELS(suffix, dtype) \
  LQI_AVX2 void lqi_aff_range_##suffix##_avx2(const void *x, size_t groups, size_t group, \
                                              float *lo, float *hi) \
  { \
    aff_avx2_range(lqi_aff_range_##suffix##_c, x, dtype, groups, group, lo, hi); \
  } \
  LQI_AVX2 void lqi_aff4_encode_##suffix##_avx2(const void *x, size_t groups, size_t group, \
                                                const struct lqi_grid *grid, float most, \
                                                uint8_t *codes) \
  { \
    aff_avx2_encode4(x, dtype, groups, group, grid, most, codes); \
  } \
  LQI_AVX2 void lqi_aff8_encode_##suffix##_avx2(const void *x, size_t groups, size_t group, \
                                                const struct lqi_grid *grid, float most, \
                                                uint8_t *codes) \
  { \
    aff_avx2_encode8(x, dtype, groups, group, grid, most, codes); \
  } \
  LQI_AVX2 void lqi_aff4_decode_##suffix##_avx2(const uint8_t *codes, size_t groups, size_t group, \
                                                const struct lqi_grid *grid, void *out, \
                                                int stream) \
  { \
    x86_decode(aff_avx2_span4, NULL, codes, 4, groups, group, &grid->scale, 2, dtype, out, \
               stream); \
  } \
  LQI_AVX2 void lqi_aff8_decode_##suffix##_avx2(const uint8_t *codes, size_t groups, size_t group, \
                                                const struct lqi_grid *grid, void *out, \
                                                int stream) \
  { \
    x86_decode(aff_avx2_span8, NULL, codes, 8, groups, group, &grid->scale, 2, dtype, out, \
               stream); \
  }

AFF_AVX2_KERNELS(f32, LQ_F32)
AFF_AVX2_KERNELS(f16, LQ_F16)
AFF_AVX2_KERNELS(bf16, LQ_BF16)

#endif
