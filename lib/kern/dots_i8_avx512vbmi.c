/*
 * dots_i8_avx512vbmi.c - inner products of rows of 8-bit codes with VNNI, which multiplies bytes in
 * fours.
 *
 * Owns: the tile of 6 rows by 4 rows, whose 24 sums stay in registers, and that of 4 rows for few
 * rows of b.
 * Must not know: what the codes stand for.
 *
 * The instruction takes unsigned bytes of b by signed ones of a. As b is 128 too much, 128 times
 * the sum of a row of a, its excess, is taken off. Sums wrap modulo 2^32, and the difference is
 * exact as it fits. Long rows are taken in pieces, so that those of a stay in L1 while b passes by.
 *
 * Many rows of b: the excess is computed once for all of them. Few: memory sets the pace, and
 * another pass over a would cost more than to sum it beside each tile.
 */
#include "kern_avx512.h"

#if LQI_X86

enum { DOTS8_VNNI_A = 6, DOTS8_VNNI_FEW = 4, DOTS8_VNNI_B = 4, DOTS8_VNNI_PIECE = 2048 };

/* In any other type than that of the instruction, sums are copied to and fro between steps and
 * operands loaded once for each use (gcc 12). */
typedef __v16si dots8_vnni_t;

/* Sums of each row of a with rows of b; where a is summed beside them, its excess behind. */
typedef dots8_vnni_t dots8_vnni_sums[DOTS8_VNNI_B + 1][DOTS8_VNNI_A];

/* What b passes by: m rows of a, n columns. */
struct dots8_vnni {
  const uint8_t *a;
  size_t a_stride, n;
  const uint8_t *ahead; /* rows like those of a, needed next */
  size_t ahead_rows;    /* of them, to be fetched by one strip of b */
  int add;              /* to what earlier pieces left in out */
  int32_t excess[8];    /* of each row of a, and zeros */
};

LQI_INLINE LQI_AVX512VBMI dots8_vnni_t dots8_vnni_load(const uint8_t *p, int whole, __mmask64 lanes)
{
  return (dots8_vnni_t)(whole ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8(lanes, p));
}

LQI_INLINE LQI_AVX512VBMI dots8_vnni_t dots8_vnni_multiply(dots8_vnni_t sum, dots8_vnni_t b,
                                                           dots8_vnni_t a)
{
  return (dots8_vnni_t)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)b, (__m512i)a);
}

/* One step of 64 columns, or of fewer where it is not whole. */
LQI_INLINE LQI_AVX512VBMI void dots8_vnni_step(const uint8_t *a, size_t a_stride, size_t m,
                                               const uint8_t *b, size_t b_stride, size_t rows,
                                               int whole, __mmask64 lanes, dots8_vnni_sums sum)
{
  const dots8_vnni_t bias = (dots8_vnni_t)_mm512_set1_epi8((char)0x80);
  dots8_vnni_t w[DOTS8_VNNI_B];
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    w[j] = dots8_vnni_load(b + j * b_stride, whole, lanes);
  X86_UNROLL
  for (size_t i = 0; i < m; i++) {
    dots8_vnni_t v = dots8_vnni_load(a + i * a_stride, whole, lanes);
    X86_UNROLL
    for (size_t j = 0; j < rows; j++)
      sum[j][i] = dots8_vnni_multiply(sum[j][i], w[j], v);
    if (m <= DOTS8_VNNI_FEW)
      sum[rows][i] = dots8_vnni_multiply(sum[rows][i], bias, v);
  }
}

/* What the lanes of four sums come to, less the excess. */
LQI_INLINE LQI_AVX512VBMI __m128i dots8_vnni_fold(dots8_vnni_t a, dots8_vnni_t b, dots8_vnni_t c,
                                                  dots8_vnni_t d, __m128i excess)
{
  return _mm_sub_epi32(avx512_fold_i32((__m512i)a, (__m512i)b, (__m512i)c, (__m512i)d), excess);
}

LQI_INLINE LQI_AVX512VBMI void dots8_vnni_four(const struct dots8_vnni *p, const dots8_vnni_t *sum,
                                               __m128i excess, int32_t *out)
{
  __m128i v = dots8_vnni_fold(sum[0], sum[1], sum[2], sum[3], excess);
  if (p->add)
    v = _mm_add_epi32(v, _mm_loadu_si128((const void *)out));
  _mm_storeu_si128((void *)out, v);
}

/* Columns 4 and 5 of two rows of b. */
LQI_INLINE LQI_AVX512VBMI void dots8_vnni_pairs(const struct dots8_vnni *p, const dots8_vnni_t *sum,
                                                const dots8_vnni_t *other, int32_t *out,
                                                int32_t *other_out)
{
  __m128i last = _mm_loadl_epi64((const void *)(p->excess + 4)),
          excess = _mm_unpacklo_epi64(last, last);
  __m128i v = dots8_vnni_fold(sum[4], sum[5], other[4], other[5], excess);
  if (p->add)
    v = _mm_add_epi32(v, _mm_unpacklo_epi64(_mm_loadl_epi64((const void *)(out + 4)),
                                            _mm_loadl_epi64((const void *)(other_out + 4))));
  _mm_storel_epi64((void *)(out + 4), v);
  _mm_storel_epi64((void *)(other_out + 4), _mm_unpackhi_epi64(v, v));
}

LQI_INLINE LQI_AVX512VBMI void dots8_vnni_end(const struct dots8_vnni *p, size_t m, size_t rows,
                                              dots8_vnni_sums sum, int32_t *out, size_t stride)
{
  const __m128i none = _mm_setzero_si128();
  if (m == DOTS8_VNNI_A) {
    X86_UNROLL
    for (size_t j = 0; j < rows; j++)
      dots8_vnni_four(p, sum[j], _mm_loadu_si128((const void *)p->excess), out + j * stride);
    X86_UNROLL
    for (size_t j = 0; j < rows; j += 2) {
      size_t other = j + 1 < rows ? j + 1 : j;
      dots8_vnni_pairs(p, sum[j], sum[other], out + j * stride, out + other * stride);
    }
    return;
  }
  X86_UNROLL
  for (size_t j = 0; j < rows; j++) {
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      sum[j][i] = (dots8_vnni_t)_mm512_sub_epi32((__m512i)sum[j][i], (__m512i)sum[rows][i]);
    if (m == DOTS8_VNNI_FEW)
      dots8_vnni_four(p, sum[j], none, out + j * stride);
    else
      out[j * stride] =
          _mm512_reduce_add_epi32((__m512i)sum[j][0]) + (p->add ? out[j * stride] : 0);
  }
}

LQI_INLINE LQI_AVX512VBMI void dots8_vnni_ahead(const struct dots8_vnni *p, size_t m, size_t k)
{
  const uint8_t *ahead = p->ahead + k;
  if (LQI_LIKELY(p->ahead_rows == m))
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    _mm_prefetch((const char *)(ahead + i * p->a_stride), _MM_HINT_T1);
  else for (size_t i = 0; i < p->ahead_rows; i++)
      _mm_prefetch((const char *)(ahead + i * p->a_stride), _MM_HINT_T1);
}

/* m rows of a (6, 4 or 1) by `rows` rows of b (4 or 1), constants where this is inlined. */
LQI_INLINE LQI_AVX512VBMI void dots8_vnni_tile(const struct dots8_vnni *p, size_t m,
                                               const uint8_t *b, size_t b_stride, size_t rows,
                                               int32_t *out, size_t stride)
{
  dots8_vnni_sums sum;
  const struct dots8_vnni w = *p;
  X86_UNROLL
  for (size_t j = 0; j <= rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    sum[j][i] = (dots8_vnni_t)_mm512_setzero_si512();
  size_t k = 0;
  for (; k + 64 <= w.n; k += 64) {
    dots8_vnni_ahead(&w, m, k);
    dots8_vnni_step(w.a + k, w.a_stride, m, b + k, b_stride, rows, 1, 0, sum);
  }
  if (k < w.n)
    dots8_vnni_step(w.a + k, w.a_stride, m, b + k, b_stride, rows, 0, (1ull << (w.n - k)) - 1u,
                    sum);
  dots8_vnni_end(p, m, rows, sum, out, stride);
}

LQI_INLINE LQI_AVX512VBMI void dots8_vnni_excess(struct dots8_vnni *p)
{
  const __m512i bias = _mm512_set1_epi8((char)0x80);
  for (size_t i = 0; i < DOTS8_VNNI_A; i++) {
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
  if (m == DOTS8_VNNI_A)
    dots8_vnni_excess(p);
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
    /* Few rows of x: W comes from memory, and is asked for early enough for that. */
    p.ahead = a.from + k + m * a.stride;
    k += piece;
    if (m == DOTS8_VNNI_A)
      p.ahead = k < n ? a.from + k : a.from + m * a.stride;
    dots8_vnni_strips(&p, m, rest, out, stride);
  } while (k < n);
}

LQI_AVX512VBMI void lqi_dots_i8_avx512vbmi(struct lqi_bytes a, struct lqi_bytes b, size_t n,
                                           int32_t *out, size_t stride)
{
  const size_t most = b.count <= DOTS8_VNNI_B ? DOTS8_VNNI_FEW : DOTS8_VNNI_A;
  for (size_t left = a.count; left != 0;) {
    size_t m = left >= most ? most : left >= DOTS8_VNNI_FEW ? DOTS8_VNNI_FEW : 1;
    if (m == DOTS8_VNNI_A)
      dots8_vnni_rows(a, DOTS8_VNNI_A, b, n, out, stride);
    else if (m == DOTS8_VNNI_FEW)
      dots8_vnni_rows(a, DOTS8_VNNI_FEW, b, n, out, stride);
    else
      dots8_vnni_rows(a, 1, b, n, out, stride);
    a.from += m * a.stride;
    out += m;
    left -= m;
  }
}

#endif
