/*
 * dots_avx512.c - many inner products of paired rows at once, AVX-512.
 *
 * Owns: the tile of 4 rows by 6 rows, whose 24 sums stay in registers.
 * Must not know: where the rows come from.
 */
#include "kern_avx512.h"

#if LQI_X86

/* Where the chains of a tile stand: `sums` and `out` of its first element; `step` sums, `stride`
 * results lie between rows of b. */
struct dots512_place {
  float *sums, *out;
  size_t step, stride;
  int stage;
};

LQI_INLINE LQI_AVX512 void dots512_begin(const struct dots512_place *p, size_t m, size_t rows,
                                         __m512 sum[6][4])
{
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    sum[j][i] = p->stage & LQI_DOTS_BEGIN ? _mm512_setzero_ps()
                                          : _mm512_loadu_ps(p->sums + (j * p->step + i) * 16);
}

LQI_INLINE LQI_AVX512 void dots512_end(const struct dots512_place *p, size_t m, size_t rows,
                                       __m512 sum[6][4])
{
  if (!(p->stage & LQI_DOTS_END)) {
    X86_UNROLL
    for (size_t j = 0; j < rows; j++)
      X86_UNROLL
    for (size_t i = 0; i < m; i++)
      _mm512_storeu_ps(p->sums + (j * p->step + i) * 16, sum[j][i]);
    return;
  }
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    if (m == 4)
      _mm_storeu_ps(p->out + j * p->stride,
                    avx512_fold(sum[j][0], sum[j][1], sum[j][2], sum[j][3]));
    else
      p->out[j * p->stride] =
          _mm_cvtss_f32(avx512_fold(sum[j][0], sum[j][0], sum[j][0], sum[j][0]));
}

/* m rows of a (4 or 1) by `rows` rows of b, constants where this is inlined. */
LQI_INLINE LQI_AVX512 void dots512_tile(struct lqi_rows a, size_t m, struct lqi_rows b, size_t rows,
                                        size_t n, struct dots512_place place)
{
  __m512 sum[6][4];
  dots512_begin(&place, m, rows, sum);
  for (size_t k = 0; k < n; k += 16) {
    __m512 v[4];
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      v[i] = _mm512_loadu_ps(a.from + i * a.stride + k);
    X86_UNROLL
    for (size_t j = 0; j < rows; j++) {
      __m512 w = _mm512_loadu_ps(b.from + j * b.stride + k);
      X86_UNROLL
      for (size_t i = 0; i < m; i++)
        sum[j][i] = _mm512_fmadd_ps(v[i], w, sum[j][i]);
    }
  }
  dots512_end(&place, m, rows, sum);
}

/* `rows` rows of b, a constant where this is inlined, against all of a. They stay in L1 meanwhile,
 * where the loads of both sides together are fewest. */
LQI_INLINE LQI_AVX512 void dots512_strip(struct lqi_rows a, struct lqi_rows b, size_t rows,
                                         size_t n, struct dots512_place place)
{
  for (size_t left = a.count; left != 0;) {
    size_t m = left >= 4 ? 4 : 1;
    if (m == 4)
      dots512_tile(a, 4, b, rows, n, place);
    else
      dots512_tile(a, 1, b, rows, n, place);
    a.from += m * a.stride;
    place.sums += m * 16;
    place.out += m;
    left -= m;
  }
}

LQI_AVX512 void lqi_dots_avx512(struct lqi_rows a, struct lqi_rows b, size_t n, int stage,
                                float *sums, float *out, size_t stride)
{
  struct dots512_place place = {sums, out, a.count, stride, stage};
  for (size_t left = b.count; left != 0;) {
    size_t rows = left >= 6 ? 6 : left >= 2 ? 2 : 1;
    if (rows == 6)
      dots512_strip(a, b, 6, n, place);
    else if (rows == 2)
      dots512_strip(a, b, 2, n, place);
    else
      dots512_strip(a, b, 1, n, place);
    b.from += rows * b.stride;
    place.sums += rows * a.count * 16;
    place.out += rows * stride;
    left -= rows;
  }
}

#endif
