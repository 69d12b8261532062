/*
 * checkkern_strips.h - the part of checkkern.c about products of paired rows and of coded rows.
 *
 * Included once, behind the random data of checkkern.c, which it uses.
 */
#ifndef TESTS_CHECKKERN_STRIPS_H
#define TESTS_CHECKKERN_STRIPS_H

static void check_pair(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  size_t n = random_count(), full = (n + LQI_PIECE - 1) / LQI_PIECE * LQI_PIECE;
  void *x = place(&input[0], n, lqi_dtype_size(dtype_of(d)), random_shift());
  fill(x, d, n, 64, NULL, 0);
  float *want = place(&expected[0], full, 4, 0), *got = place(&output[0], full, 4, random_shift());
  c->pair[d](x, n, want);
  k->pair[d](x, n, got);
  CHECK(same_floats(got, want, 0, full), "n %zu", n);
}

/* Whole, and in two ranges whose chains wait between. */
static void check_dots(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  enum { WHOLE = LQI_DOTS_BEGIN | LQI_DOTS_END };
  (void)d;
  size_t n = LQI_PIECE * random_below(4), first = LQI_PIECE * random_below(n / LQI_PIECE + 1);
  size_t rows_a = random_below(10), rows_b = random_below(16);
  size_t stride_a = n + random_below(5), stride_b = n + random_below(5), stride = rows_a + 3;
  float *a = place(&input[0], rows_a ? (rows_a - 1) * stride_a + n : 0, 4, random_shift());
  float *b = place(&input[1], rows_b ? (rows_b - 1) * stride_b + n : 0, 4, random_shift());
  fill(a, 0, input[0].bytes / 4, 64, NULL, 0);
  fill(b, 0, input[1].bytes / 4, 64, NULL, 0);
  struct lqi_rows rows[2] = {{a, stride_a, rows_a}, {b, stride_b, rows_b}};
  struct lqi_rows rest[2] = {{a + first, stride_a, rows_a}, {b + first, stride_b, rows_b}};
  size_t count = rows_a && rows_b ? (rows_b - 1) * stride + rows_a : 0;
  float *want = place(&expected[0], count, 4, 0), *got = place(&output[0], count, 4, 1);
  float *sums = place(&output[1], rows_a * rows_b * 16, 4, random_shift());
  c->dots(rows[0], rows[1], n, WHOLE, sums, want, stride);
  k->dots(rows[0], rows[1], n, WHOLE, sums, got, stride);
  CHECK(same_floats(got, want, 0, count), "%zu x %zu rows of %zu", rows_a, rows_b, n);
  k->dots(rows[0], rows[1], first, LQI_DOTS_BEGIN, sums, got, stride);
  k->dots(rest[0], rest[1], n - first, LQI_DOTS_END, sums, got, stride);
  CHECK(same_floats(got, want, 0, count), "%zu x %zu rows of %zu and %zu", rows_a, rows_b, first,
        n - first);
}

struct strip_case {
  int form;
  size_t rows, columns;
  struct lqi_strip w;
};

/* Random codes and grids, each of exactly the bytes that they need. */
static struct strip_case strip_rows_of(int form, size_t rows, size_t groups, size_t group)
{
  static const uint32_t bits[LQI_FORMS] = {4, 4, 3, 2, 8, 8, 8, 32, 16, 16};
  static float book[256];
  struct strip_case s = {.form = form, .rows = rows};
  int dense = s.form >= LQI_FORM_F32;
  s.columns = groups * group;
  size_t bytes = s.columns / 8 * bits[s.form], gap = random_below(3) * 4;
  s.w.row_bytes = bytes + gap;
  s.w.group = group;
  int looked_up = s.form == LQI_FORM_BOOK4 || s.form == LQI_FORM_BOOK8;
  s.w.numbers = looked_up || s.form == LQI_FORM_I8 ? 1 : 2;
  s.w.grid_step = groups * s.w.numbers + random_below(3);
  size_t code_bytes = s.rows ? (s.rows - 1) * s.w.row_bytes + bytes : 0;
  uint8_t *codes = place(&input[0], code_bytes / 4, 4, random_shift());
  for (size_t i = 0; i < code_bytes; i++)
    codes[i] = (uint8_t)rng_u64(&seed);
  if (dense)
    fill(codes, (uint32_t)(s.form - LQI_FORM_F32), code_bytes * 8 / bits[s.form], 64, NULL, 0);
  s.w.codes = codes;
  size_t numbers = s.rows ? (s.rows - 1) * s.w.grid_step + groups * s.w.numbers : 0;
  float *grid = place(&input[1], numbers, 4, random_shift());
  for (size_t i = 0; i < numbers; i++)
    if (s.w.numbers == 2 && i % s.w.grid_step % 2)
      grid[i] = (float)random_below(s.form == LQI_FORM_U8 ? 256 : 17);
    else
      grid[i] = random_value(NORMAL, 0.05f);
  s.w.grid = grid;
  for (size_t i = 0; i < 256; i++)
    book[i] = looked_up ? random_value(NORMAL, 1.0f) : (float)(i % (1u << bits[s.form] % 8));
  s.w.book = book;
  return s;
}

static struct strip_case strip_of(int form, size_t groups, size_t group)
{
  return strip_rows_of(form, random_below(11), groups, group);
}

static struct strip_case random_strip(void)
{
  return strip_of((int)random_below(LQI_FORMS), random_below(4), LQI_PIECE * (1 + random_below(5)));
}

static void check_strip_pair(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  (void)d;
  struct strip_case s = random_strip();
  if (k->strip_pair[s.form] == NULL)
    return;
  size_t stride = s.columns + random_below(3);
  size_t count = s.rows ? (s.rows - 1) * stride + s.columns : 0;
  float *want = place(&expected[0], count, 4, 0), *got = place(&output[0], count, 4, 1);
  c->strip_pair[s.form](&s.w, s.rows, s.columns, want, stride);
  k->strip_pair[s.form](&s.w, s.rows, s.columns, got, stride);
  CHECK(same_floats(got, want, 0, count), "form %d, %zu rows of %zu", s.form, s.rows, s.columns);
}

/* Against the C kernel, and against dots of the decoded rows: both ways must have the same bits. */
static void check_strip_dots(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  (void)d;
  static float decoded[11 * 480], sums[11 * LQI_STRIP_M * 16];
  struct strip_case s = random_strip();
  if (k->strip_dots[s.form] == NULL)
    return;
  size_t m = random_below(LQI_STRIP_M + 1), x_stride = s.columns + random_below(3);
  size_t stride = s.rows + random_below(3);
  size_t x_count = m ? (m - 1) * x_stride + s.columns : 0;
  size_t count = m && s.rows ? (m - 1) * stride + s.rows : 0;
  float *x = place(&input[2], x_count, 4, random_shift());
  fill(x, 0, x_count, 64, NULL, 0);
  float *want = place(&expected[0], count, 4, 0), *got = place(&output[0], count, 4, 1);
  c->strip_dots[s.form](&s.w, s.rows, s.columns, x, x_stride, m, want, stride);
  k->strip_dots[s.form](&s.w, s.rows, s.columns, x, x_stride, m, got, stride);
  CHECK(same_floats(got, want, 0, count), "form %d, %zu rows of %zu, m %zu", s.form, s.rows,
        s.columns, m);
  k->strip_pair[s.form](&s.w, s.rows, s.columns, decoded, 480);
  k->dots((struct lqi_rows){decoded, 480, s.rows}, (struct lqi_rows){x, x_stride, m}, s.columns,
          LQI_DOTS_BEGIN | LQI_DOTS_END, sums, got, stride);
  CHECK(same_floats(got, want, 0, count), "decoded first: form %d, %zu rows of %zu, m %zu", s.form,
        s.rows, s.columns, m);
}

/* The integers have the level's own order, so that scales and products alone can be compared. */
static void check_fixed_dots(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  enum { ROWS = LQI_STRIP_M, MOST = 110 * LQI_UNIT };
  static const int forms[] = {LQI_FORM_BOOK4, LQI_FORM_LOW4, LQI_FORM_LOW3,
                              LQI_FORM_LOW2,  LQI_FORM_U8,   LQI_FORM_I8};
  static const size_t sizes[] = {1, 1, 2, 3, 4, 5, 16, 24, 32, 70};
  (void)d;
  static int16_t q[2][ROWS * MOST];
  size_t size = sizes[random_below(LQI_COUNT(sizes))];
  size_t groups = random_below(4) ? random_below(4) : random_below(MOST / LQI_UNIT / size + 1);
  if (groups * size * LQI_UNIT > MOST)
    groups = 1;
  struct strip_case s = strip_of(forms[random_below(LQI_COUNT(forms))], groups, size * LQI_UNIT);
  size_t m = random_below(ROWS + 1), units = s.columns / LQI_UNIT,
         stride = s.rows + random_below(3);
  CHECK(k->fixed_dots[s.form] != NULL, "form %d has no fixed point", s.form);
  float *x = place(&input[2], m * s.columns, 4, random_shift());
  fill(x, 0, m * s.columns, 64, NULL, 0);
  float *want_t = place(&expected[1], m * units, 4, 0), *t = place(&output[1], m * units, 4, 1);
  struct lqi_fixed want_x = {q[0], want_t, s.columns}, got_x = {q[1], t, s.columns};
  for (size_t j = 0; j < m; j++) {
    c->fix(x + j * s.columns, s.columns, &want_x, j);
    k->fix(x + j * s.columns, s.columns, &got_x, j);
  }
  CHECK(same_floats(t, want_t, 0, m * units), "scales of %zu units", m * units);
  size_t count = m && s.rows ? (m - 1) * stride + s.rows : 0;
  float *want = place(&expected[0], count, 4, 0), *got = place(&output[0], count, 4, 1);
  c->fixed_dots[s.form](&s.w, s.rows, s.columns, &want_x, m, want, stride);
  k->fixed_dots[s.form](&s.w, s.rows, s.columns, &got_x, m, got, stride);
  CHECK(same_floats(got, want, 0, count), "form %d, %zu rows of %zu, m %zu", s.form, s.rows,
        s.columns, m);
}

/* ---- Products of bytes ---- */

enum { BYTES_MOST = 12 * LQI_UNIT };

/* Of a form that has bytes. */
static struct strip_case byte_strip(size_t rows)
{
  static const int forms[] = {LQI_FORM_BOOK4, LQI_FORM_LOW4, LQI_FORM_LOW3,
                              LQI_FORM_LOW2,  LQI_FORM_U8,   LQI_FORM_I8};
  size_t pieces = 1 + random_below(BYTES_MOST / LQI_PIECE), group = 1 + random_below(4);
  if (group > pieces)
    group = pieces;
  return strip_rows_of(forms[random_below(LQI_COUNT(forms))], rows, pieces / group,
                       group * LQI_PIECE);
}

/* Of x; panels are whole. */
enum { BYTES_ROWS = 3 * LQI_BYTE_PANEL + 4 };

/* Rows of x as panels, by both; whether they are the same. */
static int round_both(const struct lqi_kernels *k, const struct lqi_kernels *c, const float *x,
                      size_t m, struct lqi_byte_x panels[2])
{
  static int8_t q[2][BYTES_ROWS * BYTES_MOST];
  static int32_t minus[2][BYTES_ROWS * BYTES_MOST / LQI_PIECE];
  static float t[2][BYTES_ROWS * BYTES_MOST / LQI_PIECE];
  const size_t n = panels[0].n, rows = panels[0].rows;
  memset(q, 0, sizeof q);
  memset(minus, 0, sizeof minus);
  memset(t, 0, sizeof t);
  for (size_t i = 0; i < 2; i++) {
    panels[i].q = q[i];
    panels[i].minus = minus[i];
    panels[i].t = t[i];
    for (size_t j = 0; j < m; j++) {
      struct lqi_byte_x to = panels[i];
      to.q += j / rows * rows * n;
      to.minus += j / rows * rows * (n / to.unit);
      to.t += j / rows * rows * (n / to.unit);
      (i ? k : c)->byte_round(x + j * n, n, &to, j % rows);
    }
  }
  return same_floats(t[1], t[0], 0, LQI_COUNT(t[0])) && !memcmp(q[0], q[1], sizeof q[0]) &&
         !memcmp(minus[0], minus[1], sizeof minus[0]);
}

static void check_byte_dots(const struct lqi_kernels *k, const struct lqi_kernels *c, uint32_t d)
{
  static const size_t widths[] = {1, 4, 8, LQI_BYTE_PANEL};
  (void)d;
  if (!k->byte_products)
    return;
  struct strip_case s =
      byte_strip(random_below(2) ? LQI_BYTE_ROWS : random_below(3 * LQI_BYTE_ROWS));
  const size_t n = s.columns, m = random_below(LQI_BYTE_PANEL + 1) * (1 + random_below(3));
  struct lqi_byte_x x = {.n = n,
                         .unit = s.w.group % 64 == 0 && random_below(4) ? 64 : 32,
                         .rows = widths[random_below(LQI_COUNT(widths))],
                         .split = s.form == LQI_FORM_BOOK4 || s.form == LQI_FORM_LOW4,
                         .times = s.w.numbers == 2 ? 1 : 128};
  float *values = place(&input[2], m * n, 4, random_shift());
  fill(values, 0, m * n, 64, NULL, 0);
  struct lqi_byte_x panels[2] = {x, x};
  CHECK(round_both(k, c, values, m, panels), "integers of %zu rows of %zu", m, n);
  size_t all = (s.rows + LQI_BYTE_ROWS - 1) / LQI_BYTE_ROWS * LQI_BYTE_ROWS;
  size_t gap = all + random_below(3), count = m ? (m - 1) * gap + all : 0;
  float *want = place(&expected[0], count, 4, 0), *got = place(&output[0], count, 4, 1);
  float step = random_value(NORMAL, 1.0f);
  c->byte_dots[s.form](&s.w, s.rows, step, &panels[0], m, want, gap);
  k->byte_dots[s.form](&s.w, s.rows, step, &panels[1], m, got, gap);
  for (size_t j = 0; j < m; j++)
    CHECK(same_floats(got + j * gap, want + j * gap, 0, s.rows),
          "form %d, row %zu of %zu, n %zu, %zu rows", s.form, j, m, n, s.rows);
}

static void time_pair(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  k->pair[d](w->x, w->n, w->y);
}

/* As many products of 512 as the work has elements, times 48. */
static void time_dots(const struct lqi_kernels *k, uint32_t d, const struct work *w)
{
  static float sums[4 * 48 * 16];
  (void)d;
  for (size_t i = 0; i + 2048 <= w->n; i += 2048)
    k->dots((struct lqi_rows){w->x + i, 512, 4}, (struct lqi_rows){w->x, 512, 48}, 512,
            LQI_DOTS_BEGIN | LQI_DOTS_END, sums, w->y, 4);
}

#endif
