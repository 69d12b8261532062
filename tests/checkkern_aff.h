/*
 * checkkern_aff.h - the part of checkkern.c about the kernels of uniform grids: random cases and
 * times.
 *
 * Included once, behind the random data of checkkern.c, which it uses.
 */
#ifndef TESTS_CHECKKERN_AFF_H
#define TESTS_CHECKKERN_AFF_H

/* Groups, or a single one of any size. */
static size_t random_group(size_t *groups)
{
  if (random_below(3))
    return random_block(groups);
  *groups = 1;
  return random_count();
}

static void random_grids(struct lqi_grid *grid, size_t n, uint32_t most)
{
  int usual = random_below(4) != 0;
  for (size_t i = 0; i < n; i++)
    grid[i] = (struct lqi_grid){usual ? 0.01f + 0.1f * (float)rng_uniform(&seed)
                                      : fabsf(random_value(random_below(2) ? BITS : WIDE, 1.0f)),
                                (float)random_below(most + 1)};
}

/* Values at and next to the ties between codes, in some of the groups. */
static void fill_ties(void *x, uint32_t d, size_t groups, size_t group, const struct lqi_grid *grid)
{
  for (size_t i = 0; i < groups * group && random_below(50); i++) {
    const struct lqi_grid *g = grid + i / group;
    lqi_store(x, dtype_of(d), i, g->scale * ((float)random_below(40) - 20.5f));
    nudge(x, d, i);
  }
}

static void check_aff_range(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  size_t groups, group = random_group(&groups), n = groups * group;
  void *x = place(&input[0], n, lqi_dtype_size(dtype_of(d)), random_shift());
  fill(x, d, n, group + 1, NULL, 0);
  float *want_lo = place(&expected[0], groups, 4, 0), *want_hi = place(&expected[1], groups, 4, 0);
  float *lo = place(&output[0], groups, 4, random_shift()),
        *hi = place(&output[1], groups, 4, random_shift());
  c->aff_range[d](x, groups, group, want_lo, want_hi);
  k->aff_range[d](x, groups, group, lo, hi);
  CHECK(!memcmp(lo, want_lo, 4 * groups) && !memcmp(hi, want_hi, 4 * groups), "%zu groups of %zu",
        groups, group);
}

static void check_aff_grid(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  (void)d;
  size_t n = random_below(100);
  uint32_t bits = 2 + (uint32_t)random_below(7);
  int symmetric = (int)random_below(2);
  float *lo = place(&input[0], n, 4, random_shift()), *hi = place(&input[1], n, 4, random_shift());
  fill(lo, 0, n, n, NULL, 0);
  fill(hi, 0, n, n, NULL, 0);
  for (size_t i = 0; i < n; i++) {
    int nan = lo[i] != lo[i] || hi[i] != hi[i];
    lo[i] = nan ? lqi_f32_from_bits(0x7fc00000u) : random_below(8) ? -fabsf(lo[i]) : 0.0f;
    hi[i] = nan ? lqi_f32_from_bits(0x7fc00000u) : random_below(8) ? fabsf(hi[i]) : 0.0f;
  }
  struct lqi_grid *want = place(&expected[0], n, sizeof *want, 0),
                  *got = place(&output[0], n, sizeof *got, random_shift());
  uint16_t *want_half = place(&expected[1], n, 2, 0),
           *half = place(&output[1], n, 2, random_shift());
  c->aff_grid(lo, hi, n, bits, symmetric, want, want_half);
  k->aff_grid(lo, hi, n, bits, symmetric, got, half);
  CHECK(!memcmp(half, want_half, 2 * n), "scales of %zu, %u bits", n, bits);
  CHECK(same_floats(got, want, 0, 2 * n), "grids of %zu, %u bits, symmetric %d", n, bits,
        symmetric);
}

static void check_aff_encode(lqi_aff_encode_fn *k, lqi_aff_encode_fn *c, uint32_t d, uint32_t bits)
{
  size_t groups, group = random_group(&groups), n = groups * group, bytes = (n * bits + 7) / 8;
  uint32_t most = bits == 4 ? 15 : (4u << random_below(7)) - 1u;
  void *x = place(&input[0], n, lqi_dtype_size(dtype_of(d)), random_shift());
  struct lqi_grid *grid = place(&input[1], groups, sizeof *grid, random_shift());
  random_grids(grid, groups, most);
  fill(x, d, n, group + 1, NULL, 0);
  if (random_below(2))
    fill_ties(x, d, groups, group, grid);
  uint8_t *want = place(&expected[0], bytes, 1, 0),
          *got = place(&output[0], bytes, 1, random_shift());
  c(x, groups, group, grid, (float)most, want);
  k(x, groups, group, grid, (float)most, got);
  CHECK(memcmp(want, got, bytes) == 0, "%zu groups of %zu, most %u", groups, group, most);
}

static void check_aff4_encode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  check_aff_encode(k->aff4_encode[d], c->aff4_encode[d], d, 4);
}

static void check_aff8_encode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  check_aff_encode(k->aff8_encode[d], c->aff8_encode[d], d, 8);
}

static void check_aff_decode(lqi_aff_decode_fn *k, lqi_aff_decode_fn *c, uint32_t d, uint32_t bits)
{
  size_t groups, group = random_group(&groups), n = groups * group, bytes = (n * bits + 7) / 8;
  uint8_t *codes = place(&input[0], bytes, 1, random_shift());
  struct lqi_grid *grid = place(&input[1], groups, sizeof *grid, random_shift());
  random_grids(grid, groups, bits == 4 ? 15 : 255);
  for (size_t i = 0; i < bytes; i++)
    codes[i] = (uint8_t)rng_u64(&seed);
  size_t size = lqi_dtype_size(dtype_of(d));
  int stream = (int)random_below(2);
  void *want = place(&expected[0], n, size, 0), *got = place(&output[0], n, size, random_shift());
  c(codes, groups, group, grid, want, 0);
  k(codes, groups, group, grid, got, stream);
  CHECK(same_floats(got, want, d, n), "%zu groups of %zu, stream %d", groups, group, stream);
}

static void check_aff4_decode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  check_aff_decode(k->aff4_decode[d], c->aff4_decode[d], d, 4);
}

static void check_aff8_decode(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  check_aff_decode(k->aff8_decode[d], c->aff8_decode[d], d, 8);
}

static void check_aff_error(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  (void)d;
  size_t n = random_below(300);
  struct lqi_aff_loss loss = {(float)((4u << random_below(7)) - 1u),
                              ldexpf(1.0f, (int)random_below(20) - 10),
                              (float)(rng_uniform(&seed) * 8)};
  struct lqi_grid grid;
  float *x = place(&input[0], n, 4, random_shift());
  float *want = place(&expected[0], 16, 4, 0), *got = place(&output[0], 16, 4, random_shift());
  random_grids(&grid, 1, (uint32_t)loss.most);
  for (size_t i = 0; i < n; i++)
    x[i] = rng_normal(&seed) * ldexpf(0.1f, -(int)random_below(60));
  grid.scale = 0.01f;
  for (size_t i = 0; i < 16; i++)
    want[i] = got[i] = (float)rng_uniform(&seed);
  c->aff_error(x, n, &grid, &loss, want);
  k->aff_error(x, n, &grid, &loss, got);
  CHECK(memcmp(want, got, 64) == 0, "n %zu, power %g", n, (double)loss.power);
}

static void check_aff_round(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  (void)d;
  float most = (float)((4u << random_below(7)) - 1u);
  float *x = place(&input[0], 32, 4, random_shift()), *grid = place(&input[1], 64, 4, 0);
  float *want = place(&expected[0], 32, 4, 0), *got = place(&output[0], 32, 4, random_shift());
  uint8_t codes[2][32];
  for (size_t l = 0; l < 32; l++) {
    struct lqi_grid g;
    random_grids(&g, 1, (uint32_t)most);
    grid[l] = g.scale;
    grid[32 + l] = g.zero;
  }
  fill(x, 0, 32, 64, NULL, 0);
  for (size_t l = 0; l < 32; l++)
    if (random_below(2)) /* a point of the grid, or between two */
      x[l] = grid[l] * (float)((int)random_below(600) - 300) * 0.5f;
  c->aff_round(x, grid, grid + 32, most, codes[0], want);
  k->aff_round(x, grid, grid + 32, most, codes[1], got);
  CHECK(memcmp(codes[0], codes[1], 32) == 0 && same_floats(got, want, 0, 32), "most %g",
        (double)most);
}

/* ---- time ---- */

/* The same grid for all groups of 128. */
static const struct lqi_grid *bench_grids(size_t n)
{
  static struct lqi_grid grid[1 << 18];
  for (size_t i = 0; i < n && grid[0].scale == 0.0f; i++)
    grid[i % (1 << 18)] = (struct lqi_grid){0.0025f, 8.0f};
  return grid;
}

static void time_aff_range(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->aff_range[d](w->x, w->n / 128, 128, w->absmax, w->absmax + w->n / 128);
}

static void time_aff_encode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->aff4_encode[d](w->x, w->n / 128, 128, bench_grids(1 << 18), 15, w->codes);
}

static void time_aff_decode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->aff4_decode[d](w->codes, w->n / 128, 128, bench_grids(1 << 18), w->y, w->stream);
}

static void time_aff8_encode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->aff8_encode[d](w->x, w->n / 128, 128, bench_grids(1 << 18), 255, w->codes);
}

static void time_aff8_decode(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->aff8_decode[d](w->codes, w->n / 128, 128, bench_grids(1 << 18), w->y, w->stream);
}

static void time_aff_error(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  const struct lqi_aff_loss loss = {15, 32, 2.4f};
  float chain[16] = {0};
  (void)d;
  k->aff_error(w->x, w->n, bench_grids(1), &loss, chain);
  sink = chain[3];
}

#endif
