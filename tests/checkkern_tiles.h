/*
 * checkkern_tiles.h - the part of checkkern.c for tiles of matrix products, which read panels of
 * their level's own width: the C version gets panels of its.
 *
 * A panel ends with what its last step must have, and begins at any grain of its width.
 */
#ifndef TESTS_CHECKKERN_TILES_H
#define TESTS_CHECKKERN_TILES_H

/* A tile at random: sizes, and where its columns begin in a panel. */
struct tile {
  size_t depth, m, n, first, rows, columns, grain, step, ldc;
};

static struct tile random_tile(const struct lqi_kernels *k, int wide)
{
  const struct lqi_tiles *t = &k->tiles;
  struct tile s = {
      random_below(3) ? random_below(40) : random_below(300), 0, 0, 0, t->rows, 0, 0, 0, 0};
  s.columns = wide ? t->columns_f64 : t->columns_f32;
  s.grain = wide ? t->grain_f64 : t->grain_f32;
  s.first = random_below(s.columns / s.grain) * s.grain;
  s.m = 1 + random_below(s.rows);
  s.n = 1 + random_below(s.columns - s.first);
  s.step = s.rows + random_below(3) * s.rows;
  s.ldc = s.n + random_below(4);
  return s;
}

/* Elements of an array of `steps` rows of which the last is as short as may be. */
static size_t span(size_t steps, size_t step, size_t last)
{
  return steps == 0 ? 0 : (steps - 1) * step + last;
}

static size_t rounded(const struct tile *s)
{
  return (s->n + s->grain - 1) / s->grain * s->grain;
}

static void tile_f32_by_c(const struct lqi_tiles *t, const struct tile *s, const float *a,
                          const float *b, float *c, int mode)
{
  float left[300 * 8], right[300 * 8];
  for (size_t i = 0; i < s->m; i += t->rows)
    for (size_t j = 0; j < s->n; j += t->columns_f32) {
      size_t m = s->m - i < t->rows ? s->m - i : t->rows,
             n = s->n - j < t->columns_f32 ? s->n - j : t->columns_f32;
      for (size_t k = 0; k < s->depth; k++) {
        memcpy(left + k * 8, a + k * s->step + i, m * sizeof *a);
        memcpy(right + k * t->columns_f32, b + k * s->columns + j, n * sizeof *b);
      }
      t->f32(s->depth, left, 8, right, c + i * s->ldc + j, s->ldc, m, n, mode);
    }
}

static void check_tile_f32(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  struct tile s = random_tile(k, 0);
  int mode = (int)random_below(3);
  size_t na = span(s.depth, s.step, s.rows), nb = span(s.depth, s.columns, rounded(&s)),
         nc = span(s.m, s.ldc, s.n);
  float *a = place(&input[0], na, 4, random_shift()), *b = place(&input[1], nb, 4, random_shift());
  float *want = place(&expected[0], nc, 4, 0), *got = place(&output[0], nc, 4, random_shift());
  fill(a, d, na, na, NULL, 0);
  fill(b, d, nb, nb, NULL, 0);
  fill(want, d, nc, nc, NULL, 0);
  memcpy(got, want, nc * 4);
  tile_f32_by_c(&c->tiles, &s, a, b, want, mode);
  k->tiles.f32(s.depth, a, s.step, b, got, s.ldc, s.m, s.n, mode);
  CHECK(same_floats(got, want, 0, nc), "%zu x %zu from %zu, depth %zu, mode %d", s.m, s.n, s.first,
        s.depth, mode);
}

static void check_tile_row(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  size_t depth = random_below(20), n = random_below(random_below(3) ? 40 : 300),
         ldb = n + random_below(20), nb = span(depth, ldb, n);
  float *a = place(&input[0], depth, 4, random_shift()),
        *b = place(&input[1], nb, 4, random_shift());
  float *want = place(&expected[0], n, 4, 0), *got = place(&output[0], n, 4, random_shift());
  fill(a, d, depth, depth, NULL, 0);
  fill(b, d, nb, nb, NULL, 0);
  fill(want, d, n, n, NULL, 0);
  memcpy(got, want, n * 4);
  c->tiles.row(depth, a, b, ldb, want, n);
  k->tiles.row(depth, a, b, ldb, got, n);
  CHECK(same_floats(got, want, 0, n), "%zu columns, depth %zu", n, depth);
}

/* Both NaN, or the same bits. */
static int same_doubles(const double *got, const double *want, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (memcmp(got + i, want + i, sizeof *got) != 0 && !(isnan(got[i]) && isnan(want[i])))
      return 0;
  return 1;
}

static void fill_doubles(double *x, size_t n)
{
  int how = (int)random_below(DISTRIBUTIONS);
  float scale = random_scale();
  for (size_t i = 0; i < n; i++)
    x[i] = (double)random_value(how, scale) * (1.0 + rng_uniform(&seed));
}

static void check_tile_sum(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  struct tile s = random_tile(k, 0);
  size_t na = span(s.depth, s.step, s.rows), nb = span(s.depth, s.columns, rounded(&s)),
         nc = span(s.m, s.ldc, s.n);
  float *a = place(&input[0], na, 4, random_shift()), *b = place(&input[1], nb, 4, random_shift());
  double *want = place(&expected[0], nc, 8, 0), *got = place(&output[0], nc, 8, random_shift());
  float *sums = place(&expected[1], nc, 4, 0);
  fill(a, d, na, na, NULL, 0);
  fill(b, d, nb, nb, NULL, 0);
  fill_doubles(want, nc);
  memcpy(got, want, nc * 8);
  memset(sums, 0, nc * 4);
  tile_f32_by_c(&c->tiles, &s, a, b, sums, LQI_TILE_SET);
  for (size_t i = 0; i < nc; i++)
    if (i % s.ldc < s.n)
      want[i] += (double)sums[i];
  k->tiles.sum(s.depth, a, s.step, b, got, s.ldc, s.m, s.n);
  CHECK(same_doubles(got, want, nc), "%zu x %zu, depth %zu", s.m, s.n, s.depth);
}

static void tile_f64_by_c(const struct lqi_tiles *t, const struct tile *s, const double *a,
                          const double *b, double *c, int mode)
{
  double left[300 * 8], right[300 * 8];
  for (size_t i = 0; i < s->m; i += t->rows)
    for (size_t j = 0; j < s->n; j += t->columns_f64) {
      size_t m = s->m - i < t->rows ? s->m - i : t->rows,
             n = s->n - j < t->columns_f64 ? s->n - j : t->columns_f64;
      for (size_t k = 0; k < s->depth; k++) {
        memcpy(left + k * 8, a + k * s->step + i, m * sizeof *a);
        memcpy(right + k * t->columns_f64, b + k * s->columns + j, n * sizeof *b);
      }
      t->f64(s->depth, left, 8, right, c + i * s->ldc + j, s->ldc, m, n, mode);
    }
}

static void check_tile_f64(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  struct tile s = random_tile(k, 1);
  int mode = (int)random_below(3);
  size_t na = span(s.depth, s.step, s.rows), nb = span(s.depth, s.columns, rounded(&s)),
         nc = span(s.m, s.ldc, s.n);
  double *a = place(&input[0], na, 8, random_shift()), *b = place(&input[1], nb, 8, random_shift());
  double *want = place(&expected[0], nc, 8, 0), *got = place(&output[0], nc, 8, random_shift());
  (void)d;
  fill_doubles(a, na);
  fill_doubles(b, nb);
  fill_doubles(want, nc);
  memcpy(got, want, nc * 8);
  tile_f64_by_c(&c->tiles, &s, a, b, want, mode);
  k->tiles.f64(s.depth, a, s.step, b, got, s.ldc, s.m, s.n, mode);
  CHECK(same_doubles(got, want, nc), "%zu x %zu, depth %zu, mode %d", s.m, s.n, s.depth, mode);
}

static void check_transpose_f32(const struct lqi_kernels *k, const struct lqi_kernels *c,
                                uint32_t d)
{
  size_t rows = random_below(60), columns = random_below(random_below(3) ? 30 : 300),
         ld = columns + random_below(5), step = rows + random_below(5),
         nx = span(rows, ld, columns), nout = span(columns, step, rows);
  float *x = place(&input[0], nx, 4, random_shift());
  float *want = place(&expected[0], nout, 4, 0), *got = place(&output[0], nout, 4, random_shift());
  fill(x, d, nx, nx, NULL, 0);
  fill(want, d, nout, nout, NULL, 0);
  memcpy(got, want, nout * 4);
  c->tiles.transpose_f32(x, ld, rows, columns, want, step);
  k->tiles.transpose_f32(x, ld, rows, columns, got, step);
  CHECK(same_floats(got, want, 0, nout), "%zu x %zu", rows, columns);
}

static void check_transpose_f64(const struct lqi_kernels *k, const struct lqi_kernels *c,
                                uint32_t d)
{
  size_t rows = random_below(40), columns = random_below(random_below(3) ? 30 : 200),
         ld = columns + random_below(5), step = rows + random_below(5),
         nx = span(rows, ld, columns), nout = span(columns, step, rows);
  double *x = place(&input[0], nx, 8, random_shift());
  double *want = place(&expected[0], nout, 8, 0), *got = place(&output[0], nout, 8, random_shift());
  (void)d;
  fill_doubles(x, nx);
  fill_doubles(want, nout);
  memcpy(got, want, nout * 8);
  c->tiles.transpose_f64(x, ld, rows, columns, want, step);
  k->tiles.transpose_f64(x, ld, rows, columns, got, step);
  CHECK(same_doubles(got, want, nout), "%zu x %zu", rows, columns);
}

#endif
