/*
 * test_gptq_pairs.c - correction of inputs: against a reference in binary64 that forms every matrix
 * of the derivation; no difference where there is none to correct; the same bytes however pairs
 * come; what is stored and merged; what is refused.
 */
#include "helpers.h"
#include "pool.h"

enum { ROWS = 37, COLUMNS = 200, TOKENS = 600, BLOCK = 128 };

static float weight[ROWS * COLUMNS], input[TOKENS * COLUMNS], wanted[TOKENS * COLUMNS];

/* `wanted` is what the inputs were before something changed them, in part in the same way always.
 * bf16 holds both exactly. */
static void fill(void)
{
  uint64_t seed = 11;
  for (size_t i = 0; i < ROWS * COLUMNS; i++)
    weight[i] = 0.02f * rng_normal(&seed);
  for (size_t t = 0; t < TOKENS; t++) {
    float last = 0;
    for (size_t i = 0; i < COLUMNS; i++) {
      float x, own = rng_normal(&seed);
      x = last = 0.8f * last + own;
      x *= i % 17 ? 1.0f : 5.0f;
      float y = x * (1.0f + 0.1f * (float)(i % 5)) + 0.3f * own + 0.1f * rng_normal(&seed);
      input[t * COLUMNS + i] = float_of_bits(bits_of_float(x) & ~0xffffu);
      wanted[t * COLUMNS + i] = float_of_bits(bits_of_float(y) & ~0xffffu);
    }
  }
}

static lq_quantizer *quantizer_of(const char *options, double alpha)
{
  char text[200];
  lq_quantizer *q = NULL;
  snprintf(text, sizeof text, "method=gptq %s input_correction=%g", options, alpha);
  lq_config *config = new_config(text);
  lq_status s = lq_quantizer_create(config, &q);
  CHECK(s == LQ_OK, "%s: %d %s", options, s, lq_config_error_text(config));
  lq_config_destroy(config);
  return q;
}

static void observe(lq_quantizer *q, size_t first, size_t rows, const float *y)
{
  lq_status s = lq_quantizer_observe_pair(q, rows, COLUMNS, LQ_F32, input + first * COLUMNS,
                                          COLUMNS, y + first * COLUMNS, COLUMNS);
  CHECK(s == LQ_OK, "observe: %d %s", s, lq_quantizer_error_text(q));
}

static lq_tensor *run(lq_quantizer *q, size_t rows, size_t n)
{
  const uint64_t shape[2] = {rows, n};
  lq_tensor *dense = wrap(LQ_F32, 2, shape, weight), *t = NULL;
  lq_status s = lq_quantizer_run(q, dense, &t);
  CHECK(s == LQ_OK && t, "run: %d %s", s, lq_quantizer_error_text(q));
  lq_tensor_destroy(dense);
  return t;
}

static lq_tensor *usual(const char *options, double alpha, const float *y)
{
  lq_quantizer *q = quantizer_of(options, alpha);
  observe(q, 0, TOKENS, y);
  lq_tensor *t = run(q, ROWS, COLUMNS);
  lq_quantizer_destroy(q);
  return t;
}

/* ---- the reference ---- */

/* A case, and all its matrices, [n][n], in the order of rounding. */
struct reference {
  size_t n, tokens, group;
  int bits, ordered, fixed;
  double alpha, damping;
  size_t order[COLUMNS];
  double h[COLUMNS][COLUMNS], d[COLUMNS][COLUMNS], u[COLUMNS][COLUMNS], p[COLUMNS][COLUMNS];
};

static struct reference ref;

/* H and D of columns as they stand, then in order. */
static void reference_moments(struct reference *r)
{
  static double h[COLUMNS][COLUMNS], d[COLUMNS][COLUMNS];
  size_t n = r->n;
  memset(h, 0, sizeof h);
  memset(d, 0, sizeof d);
  for (size_t t = 0; t < r->tokens; t++) {
    const float *x = input + t * n, *y = wanted + t * n;
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++) {
        h[i][j] += 2.0 / (double)r->tokens * (double)x[i] * (double)x[j];
        d[i][j] += 2.0 / (double)r->tokens * ((double)y[i] - (double)x[i]) * (double)x[j];
      }
  }
  for (size_t i = 0; i < n; i++) {
    size_t at = i;
    for (; r->ordered && at > 0 && h[r->order[at - 1]][r->order[at - 1]] < h[i][i]; at--)
      r->order[at] = r->order[at - 1];
    r->order[at] = i;
  }
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) {
      r->h[i][j] = h[r->order[i]][r->order[j]];
      r->d[i][j] = d[r->order[i]][r->order[j]];
    }
}

/* U of (H + damping)^-1 = U^T U: H reversed is L L^T, and U is L^-1 reversed. */
static void reference_factor(struct reference *r)
{
  static double l[COLUMNS][COLUMNS], inverse[COLUMNS][COLUMNS];
  size_t n = r->n;
  double mean = 0;
  for (size_t i = 0; i < n; i++)
    mean += r->h[i][i] / (double)n;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j <= i; j++) {
      double sum = r->h[n - 1 - i][n - 1 - j] + (i == j ? r->damping * mean : 0.0);
      for (size_t k = 0; k < j; k++)
        sum -= l[i][k] * l[j][k];
      l[i][j] = i == j ? sqrt(sum) : sum / l[j][j];
    }
  for (size_t j = 0; j < n; j++)
    for (size_t i = j; i < n; i++) {
      double sum = i == j;
      for (size_t k = j; k < i; k++)
        sum -= l[i][k] * inverse[k][j];
      inverse[i][j] = sum / l[i][i];
    }
  memset(r->u, 0, sizeof r->u);
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j <= i; j++)
      r->u[n - 1 - i][n - 1 - j] = inverse[i][j];
}

/* P = alpha * triu(D U^T, 1) * U */
static void reference_pull(struct reference *r)
{
  static double m[COLUMNS][COLUMNS];
  size_t n = r->n;
  memset(m, 0, sizeof m);
  memset(r->p, 0, sizeof r->p);
  for (size_t i = 0; i < n; i++)
    for (size_t j = i + 1; j < n; j++)
      for (size_t k = j; k < n; k++)
        m[i][j] += r->alpha * r->d[i][k] * r->u[j][k];
  for (size_t i = 0; i < n; i++)
    for (size_t j = i + 1; j < n; j++)
      for (size_t k = j; k < n; k++)
        r->p[i][k] += m[i][j] * r->u[j][k];
}

/* One row: what the grids of `t` make of it. Returns the largest share by which a scale of dynamic
 * groups is not that of the weights it should be taken from. */
static double reference_row(const struct reference *r, const lq_tensor *t, size_t row, double *out)
{
  static double w[COLUMNS], seen[COLUMNS];
  lq_plane scales = {.size = sizeof scales};
  size_t n = r->n, groups = (n + r->group - 1) / r->group;
  double worst = 0, middle = (double)(1 << (r->bits - 1)), most = (double)(1 << r->bits) - 1;
  if (!find_plane(t, LQ_LAYOUT_NATIVE, "scales", &scales))
    return 1;
  for (size_t i = 0; i < n; i++)
    w[i] = (double)weight[row * n + r->order[i]];
  for (size_t i = 0; i < n; i++) {
    size_t group = (r->fixed ? r->order[i] : i) / r->group;
    double scale =
        (double)half_value(((const uint16_t *)scales.data)[row * groups + group], LQ_F16);
    if (i % BLOCK == 0)
      memcpy(seen, w, sizeof seen);
    if (!r->fixed && i % r->group == 0) {
      double high = 0;
      for (size_t k = i; k < n && k < i + r->group; k++)
        high = fabs(seen[k]) > high ? fabs(seen[k]) : high;
      worst = fmax(worst, fabs(2 * high / most / scale - 1));
    }
    double code = fmin(fmax(rint(w[i] / scale) + middle, 0), most), q = scale * (code - middle);
    double error = (w[i] - q) / r->u[i][i], value = w[i];
    for (size_t k = i + 1; k < n; k++)
      w[k] += value * r->p[i][k] - error * r->u[i][k];
    out[r->order[i]] = q;
  }
  return worst;
}

/* Rows of t that the reference gives too. After a near tie the rest of a row may differ. */
static size_t rows_that_agree(const struct reference *r, const lq_tensor *t)
{
  float *values = decode(t, LQ_F32);
  double out[COLUMNS];
  size_t same = 0;
  for (size_t row = 0; row < ROWS && values; row++) {
    double worst = reference_row(r, t, row, out);
    int equal = worst < 2e-3;
    for (size_t i = 0; i < r->n; i++)
      equal &= fabs((double)values[row * r->n + i] - out[i]) <= 1e-5 * fabs(out[i]);
    same += (size_t)equal;
  }
  free(values);
  return same;
}

static void test_reference(void)
{
  static const size_t sizes[] = {COLUMNS, 129, 128, 40, 9, 1};
  static const double alphas[] = {0.25, 1.0};
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
    for (int how = 0; how < 8; how++) {
      lq_quantizer *q;
      char options[120];
      if (!test_takes(8))
        continue;
      ref.n = sizes[k];
      ref.tokens = TOKENS - (ref.n < COLUMNS ? ref.n : 0);
      ref.bits = how & 4 ? 3 : 4;
      ref.group = 24;
      ref.ordered = how & 1;
      ref.fixed = how >> 1 & 1;
      ref.alpha = alphas[how >> 2];
      ref.damping = 0.02;
      snprintf(options, sizeof options,
               "bits=%d group_size=24 damping=0.02 order=%s static_groups=%d", ref.bits,
               ref.ordered ? "activation" : "none", ref.fixed);
      test_in("%d columns, %s", (int)ref.n, options);
      reference_moments(&ref);
      reference_factor(&ref);
      reference_pull(&ref);
      q = quantizer_of(options, ref.alpha);
      lq_status s =
          lq_quantizer_observe_pair(q, ref.tokens, ref.n, LQ_F32, input, ref.n, wanted, ref.n);
      CHECK(s == LQ_OK, "observe: %d", s);
      lq_tensor *t = run(q, ROWS, ref.n);
      size_t same = rows_that_agree(&ref, t);
      CHECK(same >= ROWS - 2, "%d of %d rows are those of the reference", (int)same, ROWS);
      memset(ref.p, 0, sizeof ref.p);
      same = rows_that_agree(&ref, t);
      CHECK(ref.n < 40 || same < ROWS / 2, "%d rows agree without correction", (int)same);
      lq_tensor_destroy(t);
      lq_quantizer_destroy(q);
    }
}

/* ---- what it is for ---- */

static const char *const kinds[] = {
    "bits=4 group_size=64",
    "bits=3 group_size=32 symmetric=0 mse=2.4",
    "bits=2 group_size=32 symmetric=0 static_groups=0",
    "bits=4 group_size=32 static_groups=0 order=groups",
    "bits=4 group_size=-1 order=none",
    "bits=4 group_size=40 nested=1 symmetric=0",
    "storage=nf4 block_size=40 nested=1",
    "storage=fp4 block_size=8 static_groups=0 order=none",
    "bits=4 group_size=64 compat=gptq",
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* |W y - Q x|^2 over some of the tokens. */
static double output_error(const lq_tensor *t)
{
  float *q = decode(t, LQ_F32);
  double sum = 0;
  for (size_t k = 0; k < TOKENS; k += 4)
    for (size_t r = 0; r < ROWS; r++) {
      double difference = 0;
      for (size_t i = 0; i < COLUMNS; i++)
        difference += (double)weight[r * COLUMNS + i] * (double)wanted[k * COLUMNS + i] -
                      (double)q[r * COLUMNS + i] * (double)input[k * COLUMNS + i];
      sum += difference * difference;
    }
  free(q);
  return sum;
}

/* The outputs wanted are nearer the more is corrected. */
static void test_gain(void)
{
  static const double alphas[] = {0, 0.25, 1};
  for (size_t k = 0; k < KINDS; k++) {
    double error[3];
    test_in("%s", kinds[k]);
    if (!test_takes(4))
      continue;
    for (size_t i = 0; i < 3; i++) {
      lq_quantizer *q = quantizer_of(kinds[k], alphas[i]);
      if (alphas[i] > 0)
        observe(q, 0, TOKENS, wanted);
      else
        CHECK(lq_quantizer_observe(q, TOKENS, COLUMNS, LQ_F32, input, COLUMNS) == LQ_OK, "observe");
      lq_tensor *t = run(q, ROWS, COLUMNS);
      error[i] = output_error(t);
      lq_tensor_destroy(t);
      lq_quantizer_destroy(q);
    }
    CHECK(error[1] < 0.9 * error[0] && error[2] < 0.8 * error[0], "%g, %g, %g", error[0], error[1],
          error[2]);
  }
}

/* Inputs that are as they should be: the bytes of gptq without the key. */
static void test_equal(void)
{
  for (size_t k = 0; k < KINDS; k++) {
    test_in("%s", kinds[k]);
    if (!test_takes(4))
      continue;
    lq_quantizer *q = quantizer_of(kinds[k], 0);
    CHECK(lq_quantizer_observe(q, TOKENS, COLUMNS, LQ_F32, input, COLUMNS) == LQ_OK, "observe");
    lq_tensor *plain = run(q, ROWS, COLUMNS), *t = usual(kinds[k], 0.25, input);
    CHECK(same_planes(plain, t), "other planes than without the key");
    lq_tensor_destroy(t);
    t = usual(kinds[k], 0.25, wanted);
    CHECK(!same_planes(plain, t), "nothing was corrected");
    lq_tensor_destroy(t);
    lq_tensor_destroy(plain);
    lq_quantizer_destroy(q);
  }
}

/* ---- the same bytes ---- */

/* Pieces of any size, as halves, and rows with a stride. */
static void test_splits(void)
{
  static const size_t pieces[] = {1, 7, 255, 256, 257, 512};
  enum { WIDE = COLUMNS + 3 };
  uint16_t *x = array_of(input, TOKENS * COLUMNS, LQ_BF16);
  uint16_t *y = array_of(wanted, TOKENS * COLUMNS, LQ_BF16);
  float *strided = test_alloc(TOKENS * WIDE * sizeof *strided);
  lq_tensor *want = usual(kinds[1], 0.5, wanted);
  for (size_t t = 0; t < TOKENS; t++)
    memcpy(strided + t * WIDE, wanted + t * COLUMNS, COLUMNS * sizeof *strided);
  for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++)
    for (int bf16 = 0; bf16 < 2; bf16++) {
      test_in("pieces of %zu, %s", pieces[k], bf16 ? "bf16" : "f32");
      if (!test_takes(6))
        continue;
      lq_quantizer *q = quantizer_of(kinds[1], 0.5);
      for (size_t i = 0; i < TOKENS; i += pieces[k]) {
        size_t n = TOKENS - i < pieces[k] ? TOKENS - i : pieces[k], at = i * COLUMNS;
        lq_status s = bf16 ? lq_quantizer_observe_pair(q, n, COLUMNS, LQ_BF16, x + at, COLUMNS,
                                                       y + at, COLUMNS)
                           : lq_quantizer_observe_pair(q, n, COLUMNS, LQ_F32, input + at, COLUMNS,
                                                       strided + i * WIDE, WIDE);
        CHECK(s == LQ_OK, "observe: %d", s);
      }
      lq_tensor *t = run(q, ROWS, COLUMNS), *again = run(q, ROWS, COLUMNS);
      CHECK(same_planes(t, want), "other planes");
      CHECK(same_planes(t, again), "the second run gives other planes");
      lq_tensor_destroy(t);
      lq_tensor_destroy(again);
      lq_quantizer_destroy(q);
    }
  lq_tensor_destroy(want);
  free(strided);
  free(x);
  free(y);
}

/* The other tests run on one thread, on all that the machine has. The scalar level is slow. */
static void test_machines(void)
{
  static const int threads[] = {2, 3};
  for (size_t k = 0; k < KINDS; k++) {
    test_in("%s", kinds[k]);
    if (!test_takes(4))
      continue;
    lq_tensor *want = usual(kinds[k], 0.25, wanted);
    for (int level = 0; level < TEST_LEVELS; level++) {
      if ((level == 0 && k % 3 && !test_is_long()) || !test_level(level))
        continue;
      lq_tensor *t = usual(kinds[k], 0.25, wanted);
      CHECK(same_planes(t, want), "level %s gives other planes", test_levels[level]);
      lq_tensor_destroy(t);
    }
    lq_cpu_limit(NULL);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
      if (!test_takes(2))
        continue;
      snprintf(test_options, sizeof test_options, "threads=%d", threads[i]);
      test_parallel = threads[i] == 3 ? on_threads : NULL;
      lq_tensor *t = usual(kinds[k], 0.25, wanted);
      CHECK(same_planes(t, want), "%d threads give other planes", threads[i]);
      lq_tensor_destroy(t);
    }
    test_parallel = NULL;
    snprintf(test_options, sizeof test_options, "threads=1");
    lq_tensor_destroy(want);
  }
}

/* ---- what is stored ---- */

static char *image_of(const lq_quantizer *q, size_t *bytes)
{
  *bytes = (size_t)lq_quantizer_save_bytes(q);
  char *image = test_alloc(*bytes);
  CHECK(lq_quantizer_save(q, image, *bytes) == LQ_OK, "save");
  return image;
}

/* Damaged images of pairs, and whole ones of the wrong kind. */
static void check_images(char *image, size_t bytes)
{
  lq_quantizer *paired = quantizer_of(kinds[0], 1), *plain = quantizer_of(kinds[0], 0);
  for (size_t cut = 0; cut < bytes; cut += cut < 40 ? 1 : 977)
    CHECK(lq_quantizer_load(paired, image, cut) == LQ_E_LAYOUT, "cut to %zu bytes", cut);
  for (size_t i = 0; i < 32; i++) {
    image[i] = (char)(image[i] ^ 0x80);
    lq_status s = lq_quantizer_load(paired, image, bytes);
    CHECK(s == LQ_E_LAYOUT || (i >= 16 && i < 24 && s == LQ_OK), "byte %zu turned: %d", i, s);
    image[i] = (char)(image[i] ^ 0x80);
  }
  memset(image + 8, 0xff, 4);
  memset(image + 12, 0, 4);
  CHECK(lq_quantizer_load(paired, image, bytes) == LQ_E_LAYOUT, "2^32 - 1 columns");
  /* 1,239,850,262 columns: the sums just fit 64 bits, and with 511 rows that wait they do not. */
  memcpy(image + 8, "\x16\x9d\xe6\x49\0\0\0\0\xff\1\0\0\0\0\0\0\xff\1\0\0\0\0\0\0", 24);
  CHECK(lq_quantizer_load(paired, image, bytes) == LQ_E_LAYOUT, "2^64 bytes");
  memset(image + 8, 0, 24);
  CHECK(lq_quantizer_load(paired, image, 32) == LQ_OK, "no columns, no rows");
  lq_quantizer_reset(paired);
  CHECK(lq_quantizer_observe(plain, 9, COLUMNS, LQ_F32, input, COLUMNS) == LQ_OK, "observe");
  observe(paired, 0, 9, wanted);
  CHECK(lq_quantizer_merge(plain, paired) == LQ_E_STATE, "pairs merged into plain rows");
  CHECK(lq_quantizer_merge(paired, plain) == LQ_E_STATE &&
            strstr(lq_quantizer_error_text(paired), "needs pairs"),
        "%s", lq_quantizer_error_text(paired));
  size_t n, m;
  char *a = image_of(plain, &n), *b = image_of(paired, &m);
  CHECK(lq_quantizer_load(plain, b, m) == LQ_E_STATE, "pairs loaded where there are none");
  CHECK(lq_quantizer_load(paired, a, n) == LQ_E_STATE, "rows loaded as pairs");
  CHECK(!memcmp(a, "LQCALIB1", 8) && !memcmp(b, "LQCALIB2", 8), "%.8s, %.8s", a, b);
  free(a);
  free(b);
  lq_quantizer_destroy(paired);
  lq_quantizer_destroy(plain);
}

/* Saved and loaded, and merged from two processes that saw 512 rows and the rest. */
static void test_state(void)
{
  test_in("state");
  lq_tensor *want = usual(kinds[1], 0.75, wanted);
  lq_quantizer *a = quantizer_of(kinds[1], 0.75), *b = quantizer_of(kinds[1], 0.5),
               *c = quantizer_of(kinds[1], 0.25);
  observe(a, 0, 512, wanted);
  observe(b, 512, TOKENS - 512, wanted);
  size_t bytes, again;
  char *image = image_of(b, &bytes);
  CHECK(bytes == 32 + 8 * (COLUMNS * (COLUMNS + 1) / 2 + COLUMNS * COLUMNS) +
                     8 * (TOKENS - 512) * COLUMNS,
        "%zu bytes", bytes);
  CHECK(lq_quantizer_load(c, image, bytes) == LQ_OK, "load");
  char *copy = image_of(c, &again);
  CHECK(again == bytes && !memcmp(image, copy, bytes), "loaded and saved: other bytes");
  CHECK(lq_quantizer_merge(a, c) == LQ_OK, "merge");
  lq_tensor *t = run(a, ROWS, COLUMNS);
  CHECK(same_planes(t, want), "merged: other planes");
  check_images(image, bytes);
  free(image);
  free(copy);
  lq_tensor_destroy(t);
  lq_tensor_destroy(want);
  lq_quantizer_destroy(a);
  lq_quantizer_destroy(b);
  lq_quantizer_destroy(c);
}

/* ---- what is refused ---- */

static void refused(const char *options, const char *text)
{
  lq_config *config = new_config(options);
  lq_quantizer *q = NULL;
  lq_status s = lq_quantizer_create(config, &q);
  CHECK(s == LQ_E_ARGUMENT && !q && strstr(lq_config_error_text(config), text), "%s: %d %s",
        options, s, lq_config_error_text(config));
  lq_config_destroy(config);
}

static lq_status pair(lq_quantizer *q, uint64_t rows, uint64_t n, int32_t dtype, const void *y,
                      uint64_t stride)
{
  return lq_quantizer_observe_pair(q, rows, n, dtype, input, COLUMNS, y, stride);
}

static void test_errors(void)
{
  lq_quantizer *q = quantizer_of(kinds[0], 0.25), *plain = quantizer_of(kinds[0], 0);
  lq_config *config = new_config("method=gptq");
  const char *odd = (const char *)wanted + 1;
  test_in("errors");
  refused("method=affine input_correction=0.25", "input_correction");
  refused("method=nf4 input_correction=1", "input_correction");
  CHECK(lq_config_set_f64(config, LQ_KEY_INPUT_CORRECTION, 1.5) == LQ_E_ARGUMENT, "above 1");
  CHECK(lq_config_set_f64(config, LQ_KEY_INPUT_CORRECTION, -0.5) == LQ_E_ARGUMENT, "below 0");
  CHECK(lq_quantizer_observe(q, 2, COLUMNS, LQ_F32, input, COLUMNS) == LQ_E_STATE, "no pairs");
  CHECK(pair(plain, 2, COLUMNS, LQ_F32, wanted, COLUMNS) == LQ_E_STATE, "pairs");
  CHECK(lq_quantizer_save_bytes(q) == 0 && lq_quantizer_save_bytes(plain) == 0, "something kept");
  CHECK(pair(NULL, 2, COLUMNS, LQ_F32, wanted, COLUMNS) == LQ_E_ARGUMENT, "no quantizer");
  CHECK(pair(q, 2, COLUMNS, LQ_F32, NULL, COLUMNS) == LQ_E_ARGUMENT, "no float inputs");
  CHECK(lq_quantizer_observe_pair(q, 2, COLUMNS, LQ_F32, NULL, COLUMNS, wanted, COLUMNS) ==
            LQ_E_ARGUMENT,
        "no inputs");
  CHECK(pair(q, 2, COLUMNS, LQ_F32, odd, COLUMNS) == LQ_E_ARGUMENT, "not aligned");
  CHECK(pair(q, 2, COLUMNS, LQ_U8, wanted, COLUMNS) == LQ_E_ARGUMENT, "dtype");
  CHECK(pair(q, 2, COLUMNS, LQ_F32, wanted, COLUMNS - 1) == LQ_E_SHAPE, "stride");
  CHECK(pair(q, 2, COLUMNS, LQ_F32, wanted, UINT64_MAX) == LQ_E_OVERFLOW, "huge stride");
  CHECK(pair(q, 2, (uint64_t)1 << 33, LQ_F32, wanted, UINT64_MAX) != LQ_OK, "huge columns");
  CHECK(pair(q, 0, COLUMNS, LQ_F32, NULL, COLUMNS) == LQ_OK, "no rows");
  CHECK(lq_quantizer_save_bytes(q) == 0, "no rows were kept");
  CHECK(pair(q, 2, COLUMNS, LQ_F32, wanted, COLUMNS) == LQ_OK, "two rows");
  CHECK(pair(q, 2, 100, LQ_F32, wanted, COLUMNS) == LQ_E_SHAPE, "other columns");
  lq_quantizer_reset(q);
  wanted[COLUMNS + 3] = -INFINITY;
  CHECK(pair(q, 3, COLUMNS, LQ_F32, wanted, COLUMNS) == LQ_E_NONFINITE &&
            !strcmp(lq_quantizer_error_text(q), "float input [1, 3] is -inf"),
        "%s", lq_quantizer_error_text(q));
  CHECK(lq_quantizer_save_bytes(q) == 0, "a refused call was kept");
  fill();
  lq_config_destroy(config);
  lq_quantizer_destroy(q);
  lq_quantizer_destroy(plain);
}

/* Differences whose products f32 cannot hold. */
static void test_far_apart(void)
{
  const uint64_t shape[2] = {ROWS, COLUMNS};
  lq_quantizer *q = quantizer_of(kinds[0], 0.25);
  lq_tensor *dense = wrap(LQ_F32, 2, shape, weight), *t = NULL;
  test_in("far apart");
  wanted[5] = 3e38f;
  observe(q, 0, TOKENS, wanted);
  lq_status s = lq_quantizer_run(q, dense, &t);
  CHECK(s == LQ_E_NONFINITE && !t && strstr(lq_quantizer_error_text(q), "apart"), "%d %s", s,
        lq_quantizer_error_text(q));
  lq_quantizer_reset(q);
  fill();
  observe(q, 0, TOKENS, wanted);
  CHECK(lq_quantizer_run(q, dense, &t) == LQ_OK, "after reset");
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(q);
}

/* Sizes at the edge, one token, and columns that are dead in one of the two inputs. */
static void test_sizes(void)
{
  static const uint64_t sizes[][2] = {{0, 8}, {1, 1}, {1, 8}, {3, 8}, {33, 7}, {5, 129}, {2, 0}};
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
    for (int how = 0; how < 4; how++) {
      uint64_t n = sizes[k][1];
      lq_tensor *dense = wrap(LQ_F32, 2, sizes[k], weight), *t = NULL;
      lq_quantizer *q = quantizer_of(how & 1 ? "group_size=8" : "group_size=16 static_groups=0", 1);
      test_in("%d x %d", (int)sizes[k][0], (int)n);
      CHECK(lq_quantizer_observe_pair(q, how & 2 ? 1 : 40, n, LQ_F32, input, n, wanted, n) == LQ_OK,
            "observe");
      lq_status s = lq_quantizer_run(q, dense, &t);
      CHECK(s == LQ_OK, "%d %s", s, lq_quantizer_error_text(q));
      lq_tensor_destroy(t);
      lq_tensor_destroy(dense);
      lq_quantizer_destroy(q);
    }
  for (size_t t = 0; t < TOKENS; t++)
    input[t * COLUMNS + 9] = wanted[t * COLUMNS + 30] = 0;
  for (size_t k = 0; k < KINDS; k++) {
    test_in("dead columns, %s", kinds[k]);
    lq_tensor *t = usual(kinds[k], 1, wanted);
    float *values = decode(t, LQ_F32);
    size_t bad = 0;
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
      bad += !(fabsf(values[i]) < 1);
    CHECK(bad == 0, "%d values", (int)bad);
    free(values);
    lq_tensor_destroy(t);
  }
  fill();
}

int main(void)
{
  snprintf(test_options, sizeof test_options, "threads=1");
  fill();
  test_reference();
  test_gain();
  test_equal();
  test_splits();
  test_machines();
  test_state();
  test_errors();
  test_far_apart();
  test_sizes();
  return test_end();
}
