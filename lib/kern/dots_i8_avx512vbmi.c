/*
 * dots_i8_avx512vbmi.c - inner products of rows of 8-bit codes with VNNI, which multiplies bytes in
 * fours.
 *
 * Owns: the tile of 6 rows by 4 rows, whose 24 sums stay in registers.
 * Must not know: what the codes stand for.
 *
 * The instruction takes unsigned bytes of b by signed ones of a. As b is 128 too much, 128 times
 * the sum of a row of a is taken off. Sums wrap modulo 2^32, and the difference is exact as it
 * fits. Long rows are taken in pieces, so that those of a stay in L1 while b passes by.
 */
#include "kern_avx512.h"

#if LQI_X86

enum { DOTS8_VNNI_A = 6, DOTS8_VNNI_B = 4, DOTS8_VNNI_PIECE = 2048 };

/* What b passes by: m rows of a, n columns. */
struct dots8_vnni {
  const uint8_t *a;
  size_t a_stride, n;
  const uint8_t *ahead;             /* rows like those of a, needed next */
  size_t ahead_rows;                /* of them, to be fetched by one strip of b */
  int add;                          /* to what earlier pieces left in out */
  int32_t excess[DOTS8_VNNI_A + 2]; /* 128 times the sum of each row of a */
};

LQI_INLINE LQI_AVX512VBMI __m512i dots8_vnni_load(const uint8_t *p, int whole, __mmask64 lanes)
{
  return whole ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8(lanes, p);
}

/* One step of 64 columns, or of fewer where it is not whole. */
LQI_INLINE LQI_AVX512VBMI void dots8_vnni_step(const uint8_t *a, size_t a_stride, size_t m,
                                               const uint8_t *b, size_t b_stride, size_t rows,
                                               int whole, __mmask64 lanes,
                                               __m512i sum[DOTS8_VNNI_B][DOTS8_VNNI_A])
{
  __m512i w[DOTS8_VNNI_B];
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    w[j] = dots8_vnni_load(b + j * b_stride, whole, lanes);
  X86_UNROLL
  for (size_t i = 0; i < m; i++) {
    __m512i v = dots8_vnni_load(a + i * a_stride, whole, lanes);
    X86_UNROLL
    for (size_t j = 0; j < rows; j++)
      sum[j][i] = _mm512_dpbusd_epi32(sum[j][i], w[j], v);
  }
}

/* To out[0..4) what the lanes of four sums come to, less the excess. */
LQI_INLINE LQI_AVX512VBMI void dots8_vnni_four(const struct dots8_vnni *p, const __m512i *sum,
                                               int32_t *out)
{
  __m128i v = avx512_fold_i32(sum[0], sum[1], sum[2], sum[3]);
  v = _mm_sub_epi32(v, _mm_loadu_si128((const void *)p->excess));
  if (p->add)
    v = _mm_add_epi32(v, _mm_loadu_si128((const void *)out));
  _mm_storeu_si128((void *)out, v);
}

/* The same for two sums of each of two rows of b. */
LQI_INLINE LQI_AVX512VBMI void dots8_vnni_pairs(const struct dots8_vnni *p, const __m512i *first,
                                                const __m512i *second, size_t i, int32_t *out0,
                                                int32_t *out1)
{
  __m128i v = avx512_fold_i32(first[i], first[i + 1], second[i], second[i + 1]);
  __m128i excess = _mm_loadl_epi64((const void *)(p->excess + i));
  v = _mm_sub_epi32(v, _mm_unpacklo_epi64(excess, excess));
  if (p->add)
    v = _mm_add_epi32(v, _mm_unpacklo_epi64(_mm_loadl_epi64((const void *)(out0 + i)),
                                            _mm_loadl_epi64((const void *)(out1 + i))));
  _mm_storel_epi64((void *)(out0 + i), v);
  _mm_storel_epi64((void *)(out1 + i), _mm_unpackhi_epi64(v, v));
}

LQI_INLINE LQI_AVX512VBMI void dots8_vnni_end(const struct dots8_vnni *p, size_t m, size_t rows,
                                              __m512i sum[DOTS8_VNNI_B][DOTS8_VNNI_A], int32_t *out,
                                              size_t stride)
{
  if (m == 1) {
    X86_UNROLL
    for (size_t j = 0; j < rows; j++)
      out[j * stride] =
          _mm512_reduce_add_epi32(sum[j][0]) - p->excess[0] + (p->add ? out[j * stride] : 0);
    return;
  }
  if (m == DOTS8_VNNI_A)
    X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    dots8_vnni_four(p, sum[j], out + j * stride);
  /* The last two columns; of an odd row alone, with itself. */
  X86_UNROLL
  for (size_t j = 0; j < rows; j += 2) {
    size_t other = j + 1 < rows ? j + 1 : j;
    dots8_vnni_pairs(p, sum[j], sum[other], m - 2, out + j * stride, out + other * stride);
  }
}

/* m rows of a (6, 2 or 1) by `rows` rows of b (4 or 1), constants where this is inlined. */
LQI_INLINE LQI_AVX512VBMI void dots8_vnni_tile(const struct dots8_vnni *p, size_t m,
                                               const uint8_t *b, size_t b_stride, size_t rows,
                                               int32_t *out, size_t stride)
{
  __m512i sum[DOTS8_VNNI_B][DOTS8_VNNI_A];
  const uint8_t *a = p->a, *ahead = p->ahead;
  const size_t a_stride = p->a_stride, n = p->n, ahead_rows = p->ahead_rows;
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    sum[j][i] = _mm512_setzero_si512();
  size_t k = 0;
  for (; k + 64 <= n; k += 64) {
    for (size_t i = 0; i < ahead_rows; i++)
      _mm_prefetch((const char *)(ahead + i * a_stride + k), _MM_HINT_T0);
    dots8_vnni_step(a + k, a_stride, m, b + k, b_stride, rows, 1, 0, sum);
  }
  if (k < n)
    dots8_vnni_step(a + k, a_stride, m, b + k, b_stride, rows, 0, (1ull << (n - k)) - 1u, sum);
  dots8_vnni_end(p, m, rows, sum, out, stride);
}

LQI_INLINE LQI_AVX512VBMI void dots8_vnni_excess(struct dots8_vnni *p, size_t m)
{
  const __m512i bias = _mm512_set1_epi8((char)0x80);
  X86_UNROLL
  for (size_t i = 0; i < m; i++) {
    __m512i sum = _mm512_setzero_si512();
    const uint8_t *a = p->a + i * p->a_stride;
    size_t k = 0;
    for (; k + 64 <= p->n; k += 64)
      sum = _mm512_dpbusd_epi32(sum, bias, _mm512_loadu_si512(a + k));
    if (k < p->n)
      sum =
          _mm512_dpbusd_epi32(sum, bias, _mm512_maskz_loadu_epi8((1ull << (p->n - k)) - 1u, a + k));
    p->excess[i] = _mm512_reduce_add_epi32(sum);
  }
}

/* m rows of a, a constant where this is inlined, against all of b; what comes next is fetched
 * meanwhile, evenly. */
LQI_INLINE LQI_AVX512VBMI void dots8_vnni_strips(struct dots8_vnni *p, size_t m, struct lqi_bytes b,
                                                 int32_t *out, size_t stride)
{
  const uint8_t *ahead = p->ahead;
  size_t strips = b.count / DOTS8_VNNI_B + b.count % DOTS8_VNNI_B;
  dots8_vnni_excess(p, m);
  for (size_t s = 0; s < strips; s++) {
    size_t from = m * s / strips;
    p->ahead = ahead + from * p->a_stride;
    p->ahead_rows = m * (s + 1) / strips - from;
    if (b.count >= DOTS8_VNNI_B) {
      dots8_vnni_tile(p, m, b.from, b.stride, DOTS8_VNNI_B, out, stride);
      b.from += DOTS8_VNNI_B * b.stride;
      b.count -= DOTS8_VNNI_B;
      out += DOTS8_VNNI_B * stride;
    } else {
      dots8_vnni_tile(p, m, b.from, b.stride, 1, out, stride);
      b.from += b.stride;
      b.count--;
      out += stride;
    }
  }
}

LQI_INLINE LQI_AVX512VBMI void dots8_vnni_rows(struct lqi_bytes a, size_t m, struct lqi_bytes b,
                                               size_t n, int32_t *out, size_t stride)
{
  size_t k = 0;
  do {
    size_t piece = n - k < DOTS8_VNNI_PIECE ? n - k : DOTS8_VNNI_PIECE;
    struct dots8_vnni p = {.a = a.from + k, .a_stride = a.stride, .n = piece, .add = k != 0};
    struct lqi_bytes rest = {b.from + k, b.stride, b.count};
    k += piece;
    p.ahead = k < n ? a.from + k : a.from + m * a.stride;
    dots8_vnni_strips(&p, m, rest, out, stride);
  } while (k < n);
}

LQI_AVX512VBMI void lqi_dots_i8_avx512vbmi(struct lqi_bytes a, struct lqi_bytes b, size_t n,
                                           int32_t *out, size_t stride)
{
  for (size_t left = a.count; left != 0;) {
    size_t m = left >= DOTS8_VNNI_A ? DOTS8_VNNI_A : left >= 2 ? 2 : 1;
    if (m == DOTS8_VNNI_A)
      dots8_vnni_rows(a, DOTS8_VNNI_A, b, n, out, stride);
    else if (m == 2)
      dots8_vnni_rows(a, 2, b, n, out, stride);
    else
      dots8_vnni_rows(a, 1, b, n, out, stride);
    a.from += m * a.stride;
    out += m;
    left -= m;
  }
}

#endif
