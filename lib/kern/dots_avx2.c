/*
 * dots_avx2.c - many inner products of paired rows at once, AVX2.
 *
 * Owns: the tile of 2 rows by 3 rows, whose 6 sums take 12 of the 16 registers.
 * Must not know: where the rows come from.
 */
#include "kern_avx2.h"

#if LQI_X86

LQI_INLINE LQI_AVX2 float dots_avx2_fold(const __m256 *sum)
{
  __m256 eight = _mm256_add_ps(sum[0], sum[1]);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

/* Where the chains of a tile stand: `sums` and `out` of its first element; `step` sums, `stride`
 * results lie between rows of b. */
struct dots_avx2_place {
  float *sums, *out;
  size_t step, stride;
  int stage;
};

/* m rows of a (2 or 1) by `rows` rows of b (3 or 1), constants where this is inlined. */
LQI_INLINE LQI_AVX2 void dots_avx2_tile(struct lqi_rows a, size_t m, struct lqi_rows b, size_t rows,
                                        size_t n, const struct dots_avx2_place *p)
{
  __m256 sum[3][2][2];
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < 2 * m; i++)
    sum[j][i / 2][i % 2] = p->stage & LQI_DOTS_BEGIN
                               ? _mm256_setzero_ps()
                               : _mm256_loadu_ps(p->sums + j * p->step * 16 + i * 8);
  for (size_t k = 0; k < n; k += 16)
    X86_UNROLL
  for (size_t half = 0; half < 2; half++) {
    __m256 v[2];
    X86_UNROLL
    for (size_t i = 0; i < m; i++)
      v[i] = _mm256_loadu_ps(a.from + i * a.stride + k + 8 * half);
    X86_UNROLL
    for (size_t j = 0; j < rows; j++) {
      __m256 w = _mm256_loadu_ps(b.from + j * b.stride + k + 8 * half);
      X86_UNROLL
      for (size_t i = 0; i < m; i++)
        sum[j][i][half] = _mm256_fmadd_ps(v[i], w, sum[j][i][half]);
    }
  }
  X86_UNROLL
  for (size_t j = 0; j < rows; j++)
    X86_UNROLL
  for (size_t i = 0; i < m; i++)
    if (p->stage & LQI_DOTS_END) {
      p->out[j * p->stride + i] = dots_avx2_fold(sum[j][i]);
    } else {
      _mm256_storeu_ps(p->sums + (j * p->step + i) * 16, sum[j][i][0]);
      _mm256_storeu_ps(p->sums + (j * p->step + i) * 16 + 8, sum[j][i][1]);
    }
}

/* `rows` rows of b, a constant where this is inlined, against all of a. */
LQI_INLINE LQI_AVX2 void dots_avx2_strip(struct lqi_rows a, struct lqi_rows b, size_t rows,
                                         size_t n, struct dots_avx2_place place)
{
  for (size_t left = a.count; left != 0;) {
    size_t m = left >= 2 ? 2 : 1;
    if (m == 2)
      dots_avx2_tile(a, 2, b, rows, n, &place);
    else
      dots_avx2_tile(a, 1, b, rows, n, &place);
    a.from += m * a.stride;
    place.sums += m * 16;
    place.out += m;
    left -= m;
  }
}

LQI_AVX2 void lqi_dots_avx2(struct lqi_rows a, struct lqi_rows b, size_t n, int stage, float *sums,
                            float *out, size_t stride)
{
  struct dots_avx2_place place = {sums, out, a.count, stride, stage};
  for (size_t left = b.count; left != 0;) {
    size_t rows = left >= 3 ? 3 : 1;
    if (rows == 3)
      dots_avx2_strip(a, b, 3, n, place);
    else
      dots_avx2_strip(a, b, 1, n, place);
    b.from += rows * b.stride;
    place.sums += rows * a.count * 16;
    place.out += rows * stride;
    left -= rows;
  }
}

#endif
