/*
 * aff_avx512.c - uniform grids with a zero point, AVX-512.
 *
 * Owns: the aff kernels, 16 lanes wide.
 * Must not know: how codes of other widths than 4 and 8 bits are packed, tensors.
 */
#include "kern_avx512.h"
#include "kern_aff.h"

#if LQI_X86

/* Groups whose ranges are folded together. */
#define AFF_AVX512_GROUPS 16

LQI_INLINE LQI_AVX512 __m512 aff_avx512_pick(__m512 a, __m512 b, int least)
{
  return least ? _mm512_min_ps(a, b) : _mm512_max_ps(a, b);
}

/* The least or greatest of each of 16 vectors, in order: at every step two are folded into one. */
LQI_INLINE LQI_AVX512 __m512 aff_avx512_fold(const __m512 *v, int least)
{
  __m512 a[8];
  X86_UNROLL
  for (size_t i = 0; i < 8; i++)
    a[i] = aff_avx512_pick(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]),
                           _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]), least);
  X86_UNROLL
  for (size_t i = 0; i < 4; i++) {
    __m512d b = _mm512_castps_pd(a[2 * i]), c = _mm512_castps_pd(a[2 * i + 1]);
    a[i] = aff_avx512_pick(_mm512_castpd_ps(_mm512_unpacklo_pd(b, c)),
                           _mm512_castpd_ps(_mm512_unpackhi_pd(b, c)), least);
  }
  X86_UNROLL
  for (size_t i = 0; i < 2; i++)
    a[i] = aff_avx512_pick(_mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0x88),
                           _mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0xdd), least);
  return aff_avx512_pick(_mm512_shuffle_f32x4(a[0], a[1], 0x88),
                         _mm512_shuffle_f32x4(a[0], a[1], 0xdd), least);
}

/*
 * Least and greatest of the 16 lanes over n elements. The operand that wins where neither is less
 * stands second: so NaN and -0 leave no trace; a product with 0 tells of NaN (and of infinity).
 */
LQI_INLINE LQI_AVX512 void aff_avx512_lanes(const void *x, int32_t dtype, size_t first, size_t n,
                                            __m512 *lo, __m512 *hi, __m512 *odd)
{
  const __m512 zero = _mm512_setzero_ps();
  __m512 least[2] = {zero, zero}, most[2] = {zero, zero}, sum[2] = {zero, zero};
  size_t i = 0;
  for (; i + 32 <= n; i += 32)
    X86_UNROLL
  for (size_t k = 0; k < 2; k++) {
    __m512 v = avx512_load(x, dtype, first + i + 16 * k);
    least[k] = _mm512_min_ps(v, least[k]);
    most[k] = _mm512_max_ps(v, most[k]);
    sum[k] = _mm512_fmadd_ps(v, zero, sum[k]);
  }
  for (; i < n; i += 16) {
    __m512 v = avx512_load_part(x, dtype, first + i, avx512_lanes(i, n));
    least[0] = _mm512_min_ps(v, least[0]);
    most[0] = _mm512_max_ps(v, most[0]);
    sum[0] = _mm512_fmadd_ps(v, zero, sum[0]);
  }
  *lo = _mm512_min_ps(least[0], least[1]);
  *hi = _mm512_max_ps(most[0], most[1]);
  *odd = _mm512_add_ps(sum[0], sum[1]);
}

/* Ranges of up to 16 groups; one with NaN or infinity is left to the C kernel. */
LQI_INLINE LQI_AVX512 void aff_avx512_ranges(lqi_aff_range_fn *plain, const void *x, int32_t dtype,
                                             size_t first, size_t groups, size_t group, float *lo,
                                             float *hi)
{
  __m512 least[AFF_AVX512_GROUPS], most[AFF_AVX512_GROUPS], odd;
  uint32_t again = 0;
  for (size_t g = 0; g < groups; g++) {
    aff_avx512_lanes(x, dtype, first + g * group, group, &least[g], &most[g], &odd);
    again |= (_mm512_cmp_ps_mask(odd, odd, _CMP_UNORD_Q) != 0 ? 1u : 0u) << g;
  }
  if (groups == 1) {
    *lo = _mm512_reduce_min_ps(least[0]);
    *hi = _mm512_reduce_max_ps(most[0]);
  } else {
    for (size_t g = groups; g < AFF_AVX512_GROUPS; g++)
      least[g] = most[g] = _mm512_setzero_ps();
    _mm512_mask_storeu_ps(lo, avx512_lanes(0, groups), aff_avx512_fold(least, 1));
    _mm512_mask_storeu_ps(hi, avx512_lanes(0, groups), aff_avx512_fold(most, 0));
  }
  for (size_t g = 0; LQI_UNLIKELY(again >> g != 0); g++)
    if (again >> g & 1u)
      plain((const uint8_t *)x + (first + g * group) * lqi_dtype_size(dtype), 1, group, lo + g,
            hi + g);
}

LQI_INLINE LQI_AVX512 void aff_avx512_range(lqi_aff_range_fn *plain, const void *x, int32_t dtype,
                                            size_t groups, size_t group, float *lo, float *hi)
{
  for (size_t g = 0, count; g < groups; g += count) {
    count = groups - g < AFF_AVX512_GROUPS ? groups - g : AFF_AVX512_GROUPS;
    aff_avx512_ranges(plain, x, dtype, g * group, count, group, lo + g, hi + g);
  }
}

/* Scales and zeros of 16 grids to memory, of which `lanes` exist. */
LQI_INLINE LQI_AVX512 void aff_avx512_put(struct lqi_grid *grid, size_t n, __m512 scale,
                                          __m512 zero)
{
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high =
      _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
  float *to = (float *)grid;
  _mm512_mask_storeu_ps(to, avx512_lanes(0, 2 * n), _mm512_permutex2var_ps(scale, low, zero));
  if (n > 8)
    _mm512_mask_storeu_ps(to + 16, avx512_lanes(16, 2 * n),
                          _mm512_permutex2var_ps(scale, high, zero));
}

/* max and min return their second operand where one is NaN, as the comparisons of the C version. */
LQI_AVX512 void lqi_aff_grid_avx512(const float *lo, const float *hi, size_t n, uint32_t bits,
                                    int symmetric, struct lqi_grid *grid, uint16_t *half)
{
  const __m512 most = _mm512_set1_ps((float)((1u << bits) - 1u)), zero = _mm512_setzero_ps();
  const __m512 sign = _mm512_set1_ps(-0.0f), one = _mm512_set1_ps(1.0f);
  for (size_t i = 0; i < n; i += 16) {
    __mmask16 lanes = avx512_lanes(i, n);
    __m512 low = _mm512_maskz_loadu_ps(lanes, lo + i), high = _mm512_maskz_loadu_ps(lanes, hi + i);
    if (symmetric) {
      high = _mm512_max_ps(_mm512_xor_ps(low, sign), high);
      low = _mm512_xor_ps(high, sign);
    }
    __mmask16 none = _mm512_cmp_ps_mask(low, high, _CMP_EQ_OQ);
    low = _mm512_mask_xor_ps(low, none, one, sign);
    high = _mm512_mask_mov_ps(high, none, one);
    __m512 s = _mm512_div_ps(_mm512_sub_ps(high, low), most);
    s = _mm512_max_ps(_mm512_set1_ps(AFF_LEAST_SCALE), s);
    s = _mm512_min_ps(_mm512_set1_ps(AFF_MOST_SCALE), s);
    __m256i h = avx512_to_half(s, LQ_F16, 1);
    s = avx512_from_half(h, LQ_F16);
    __m512 z = _mm512_div_ps(_mm512_xor_ps(low, sign), s);
    z = _mm512_min_ps(_mm512_max_ps(z, zero), most);
    z = _mm512_roundscale_ps(z, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    if (symmetric)
      z = _mm512_set1_ps((float)(1u << (bits - 1u)));
    _mm256_mask_storeu_epi16(half + i, lanes, h);
    aff_avx512_put(grid + i, n - i < 16 ? n - i : 16, s, z);
  }
}

/* A grid ready for encoding. */
struct aff_avx512_grid {
  __m512 scale, low, high;
  __m512i zero;
};

LQI_INLINE LQI_AVX512 void aff_avx512_prepare(struct aff_avx512_grid *k,
                                              const struct lqi_grid *grid, float most)
{
  k->scale = _mm512_set1_ps(grid->scale);
  k->low = _mm512_set1_ps(-grid->zero);
  k->high = _mm512_set1_ps(most - grid->zero);
  k->zero = _mm512_set1_epi32((int)grid->zero);
}

LQI_INLINE LQI_AVX512 __m512i aff_avx512_code(const struct aff_avx512_grid *k, __m512 x)
{
  __m512 t = _mm512_div_ps(x, k->scale);
  t = _mm512_min_ps(_mm512_max_ps(t, k->low), k->high);
  return _mm512_add_epi32(_mm512_cvtps_epi32(t), k->zero);
}

/* Bounded values are rounded as floats: the difference of code and zero is one already. */
LQI_AVX512 void lqi_aff_round_avx512(const float *x, const float *scale, const float *zero,
                                     float most, uint8_t *codes, float *q)
{
  X86_UNROLL
  for (size_t l = 0; l < 32; l += 16) {
    __m512 s = _mm512_loadu_ps(scale + l), z = _mm512_loadu_ps(zero + l);
    __m512 t = _mm512_div_ps(_mm512_loadu_ps(x + l), s);
    t = _mm512_max_ps(t, _mm512_xor_ps(z, _mm512_set1_ps(-0.0f)));
    t = _mm512_min_ps(t, _mm512_sub_ps(_mm512_set1_ps(most), z));
    t = _mm512_cvtepi32_ps(_mm512_cvtps_epi32(t));
    _mm512_storeu_ps(q + l, _mm512_mul_ps(s, t));
    _mm_storeu_si128((void *)(codes + l),
                     _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_add_ps(t, z))));
  }
}

/* n <= 64 elements from `first` on to n bytes; a is the grid of the first 32, b of the others. */
LQI_INLINE LQI_AVX512 __m512i aff_avx512_chunk(const struct aff_avx512_grid *a,
                                               const struct aff_avx512_grid *b, const void *x,
                                               int32_t dtype, size_t first, size_t n)
{
  __m512i v[4];
  X86_UNROLL
  for (size_t i = 0; i < 4; i++)
    v[i] = aff_avx512_code(i < 2 ? a : b, n == 64 ? avx512_load(x, dtype, first + 16 * i)
                                                  : avx512_load_part(x, dtype, first + 16 * i,
                                                                     avx512_lanes(16 * i, n)));
  return avx512_bytes(v[0], v[1], v[2], v[3]);
}

/* A byte pair becomes first + 16 * second. */
LQI_INLINE LQI_AVX512 __m256i aff_avx512_pairs(__m512i bytes)
{
  return _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(bytes, _mm512_set1_epi16(0x1001)));
}

/* n of 64 bytes as codes of 8 or 4 bits. */
LQI_INLINE LQI_AVX512 void aff_avx512_put_codes(__m512i bytes, size_t n, uint32_t bits,
                                                uint8_t *codes)
{
  __mmask64 lanes = n == 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1u;
  if (bits == 8 && n == 64)
    _mm512_storeu_si512(codes, bytes);
  else if (bits == 8)
    _mm512_mask_storeu_epi8(codes, lanes, bytes);
  else if (n == 64)
    _mm256_storeu_si256((void *)codes, aff_avx512_pairs(bytes));
  else
    _mm256_mask_storeu_epi8(codes, (__mmask32)((1ull << (n + 1) / 2) - 1u),
                            aff_avx512_pairs(_mm512_maskz_mov_epi8(lanes, bytes)));
}

/* Groups of 32 go in pairs. */
LQI_INLINE LQI_AVX512 void aff_avx512_encode(const void *x, int32_t dtype, size_t groups,
                                             size_t group, const struct lqi_grid *grid, float most,
                                             uint32_t bits, uint8_t *codes)
{
  struct aff_avx512_grid a, b;
  size_t g = 0;
  for (; group == 32 && g + 2 <= groups; g += 2) {
    aff_avx512_prepare(&a, grid + g, most);
    aff_avx512_prepare(&b, grid + g + 1, most);
    aff_avx512_put_codes(aff_avx512_chunk(&a, &b, x, dtype, 32 * g, 64), 64, bits,
                         codes + 4 * g * bits);
  }
  for (; g < groups; g++) {
    size_t i = g * group, end = i + group;
    aff_avx512_prepare(&a, grid + g, most);
    for (; i + 64 <= end; i += 64)
      aff_avx512_put_codes(aff_avx512_chunk(&a, &a, x, dtype, i, 64), 64, bits,
                           codes + i * bits / 8);
    if (i < end)
      aff_avx512_put_codes(aff_avx512_chunk(&a, &a, x, dtype, i, end - i), end - i, bits,
                           codes + i * bits / 8);
  }
}

/* The 16 values of a group are made first, so that decoding is a look-up. */
LQI_INLINE LQI_AVX512 void aff_avx512_span4(const void *none, const float *grid,
                                            const uint8_t *codes, size_t n, int32_t dtype,
                                            void *out, int stream)
{
  const __m512 code = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  (void)none;
  avx512_nibbles(
      _mm512_mul_ps(_mm512_set1_ps(grid[0]), _mm512_sub_ps(code, _mm512_set1_ps(grid[1]))), codes,
      n, 1, dtype, out, stream);
}

LQI_INLINE LQI_AVX512 __m512 aff_avx512_value(__m128i codes, __m512 scale, __m512i zero)
{
  __m512i code = _mm512_sub_epi32(_mm512_cvtepu8_epi32(codes), zero);
  return _mm512_mul_ps(scale, _mm512_cvtepi32_ps(code));
}

LQI_INLINE LQI_AVX512 void aff_avx512_span8(const void *none, const float *grid,
                                            const uint8_t *codes, size_t n, int32_t dtype,
                                            void *out, int stream)
{
  const __m512 s = _mm512_set1_ps(grid[0]);
  const __m512i z = _mm512_set1_epi32((int)grid[1]);
  size_t i = 0;
  (void)none;
  for (; i + 32 <= n; i += 32) {
    __m512 a = aff_avx512_value(_mm_loadu_si128((const void *)(codes + i)), s, z);
    __m512 b = aff_avx512_value(_mm_loadu_si128((const void *)(codes + i + 16)), s, z);
    avx512_store_pair(out, dtype, i, a, b, 1, stream);
  }
  for (; i < n; i += 16) {
    __mmask16 lanes = avx512_lanes(i, n);
    avx512_store_part(out, dtype, i, aff_avx512_value(_mm_maskz_loadu_epi8(lanes, codes + i), s, z),
                      1, lanes);
  }
}

LQI_INLINE LQI_AVX512 __m512 aff_avx512_power(__m512 d, __m512 power)
{
  static const float log_terms[AFF_LOG_TERMS] = AFF_LOG, exp_terms[AFF_EXP_TERMS] = AFF_EXP;
  const __m512i root = _mm512_set1_epi32(AFF_SQRT_HALF_BITS);
  __mmask16 some = _mm512_cmp_ps_mask(d, _mm512_set1_ps(AFF_LEAST_ERROR), _CMP_GE_OQ);
  __m512i u = _mm512_castps_si512(d), k = _mm512_srai_epi32(_mm512_sub_epi32(u, root), 23);
  __m512 f = _mm512_castsi512_ps(_mm512_sub_epi32(u, _mm512_slli_epi32(k, 23)));
  f = _mm512_sub_ps(f, _mm512_set1_ps(1.0f));
  __m512 p = _mm512_set1_ps(log_terms[AFF_LOG_TERMS - 1]);
  X86_UNROLL
  for (int i = AFF_LOG_TERMS - 2; i >= 0; i--)
    p = _mm512_add_ps(_mm512_mul_ps(p, f), _mm512_set1_ps(log_terms[i]));
  __m512 y = _mm512_mul_ps(_mm512_add_ps(_mm512_mul_ps(p, f), _mm512_cvtepi32_ps(k)), power);
  y = _mm512_min_ps(y, _mm512_set1_ps(126.0f));
  some &= _mm512_cmp_ps_mask(y, _mm512_set1_ps(-126.0f), _CMP_GE_OQ);
  __m512i whole = _mm512_cvtps_epi32(y);
  __m512 r = _mm512_sub_ps(y, _mm512_cvtepi32_ps(whole));
  __m512 e = _mm512_set1_ps(exp_terms[AFF_EXP_TERMS - 1]);
  X86_UNROLL
  for (int i = AFF_EXP_TERMS - 2; i >= 0; i--)
    e = _mm512_add_ps(_mm512_mul_ps(e, r), _mm512_set1_ps(exp_terms[i]));
  __m512i bits = _mm512_add_epi32(_mm512_castps_si512(e), _mm512_slli_epi32(whole, 23));
  return _mm512_castsi512_ps(_mm512_maskz_mov_epi32(some, bits));
}

/* The 16 chains are the lanes. A lane without an element has x = 0, which code `zero` restores. */
LQI_AVX512 void lqi_aff_error_avx512(const float *x, size_t n, const struct lqi_grid *grid,
                                     const struct lqi_aff_loss *loss, float chain[16])
{
  struct aff_avx512_grid k;
  aff_avx512_prepare(&k, grid, loss->most);
  const __m512 boost = _mm512_set1_ps(loss->boost), power = _mm512_set1_ps(loss->power);
  __m512 sum = _mm512_loadu_ps(chain);
  for (size_t i = 0; i < n; i += 16) {
    __m512 v = _mm512_maskz_loadu_ps(avx512_lanes(i, n), x + i);
    __m512i code = _mm512_sub_epi32(aff_avx512_code(&k, v), k.zero);
    __m512 d = _mm512_sub_ps(_mm512_mul_ps(k.scale, _mm512_cvtepi32_ps(code)), v);
    sum = _mm512_add_ps(sum, aff_avx512_power(_mm512_mul_ps(_mm512_abs_ps(d), boost), power));
  }
  _mm512_storeu_ps(chain, sum);
}

#define AFF_AVX512_KERNELS(suffix, dtype) \
  LQI_AVX512 void lqi_aff_range_##suffix##_avx512(const void *x, size_t groups, size_t group, \
                                                  float *lo, float *hi) \
  { \
    aff_avx512_range(lqi_aff_range_##suffix##_c, x, dtype, groups, group, lo, hi); \
  } \
  LQI_AVX512 void lqi_aff4_encode_##suffix##_avx512(const void *x, size_t groups, size_t group, \
                                                    const struct lqi_grid *grid, float most, \
                                                    uint8_t *codes) \
  { \
    aff_avx512_encode(x, dtype, groups, group, grid, most, 4, codes); \
  } \
  LQI_AVX512 void lqi_aff8_encode_##suffix##_avx512(const void *x, size_t groups, size_t group, \
                                                    const struct lqi_grid *grid, float most, \
                                                    uint8_t *codes) \
  { \
    aff_avx512_encode(x, dtype, groups, group, grid, most, 8, codes); \
  } \
  LQI_AVX512 void lqi_aff4_decode_##suffix##_avx512(const uint8_t *codes, size_t groups, \
                                                    size_t group, const struct lqi_grid *grid, \
                                                    void *out, int stream) \
  { \
    x86_decode(aff_avx512_span4, NULL, codes, 4, groups, group, &grid->scale, 2, dtype, out, \
               stream); \
  } \
  LQI_AVX512 void lqi_aff8_decode_##suffix##_avx512(const uint8_t *codes, size_t groups, \
                                                    size_t group, const struct lqi_grid *grid, \
                                                    void *out, int stream) \
  { \
    x86_decode(aff_avx512_span8, NULL, codes, 8, groups, group, &grid->scale, 2, dtype, out, \
               stream); \
  }

AFF_AVX512_KERNELS(f32, LQ_F32)
AFF_AVX512_KERNELS(f16, LQ_F16)
AFF_AVX512_KERNELS(bf16, LQ_BF16)

#endif
