/*
 * test_gptq_golden.c - GPTQ against a reference in binary64 that follows the published loop.
 *
 * vectors/gptq_loop: weights, inputs, and for each case codes, scales, zero points and errors,
 * recorded with the settings that the case's name says. With compat gptq the arithmetic is the
 * programs' own, in f32: nearly all codes are equal, and the error of the layer's output is not
 * worse than 1 % above the reference. Without it scales are exact in f16, and the ranges of
 * symmetric groups are what they should be; the error is held to the same bound.
 */
#include "helpers.h"
#include "vectors.h"

#include "../lib/core/half.h"

#include <math.h>

struct golden {
  const char *name;
  const struct vec *codes, *scale, *zero, *error;
  uint32_t bits;
  int64_t group;
  int symmetric, order, fixed;
  double damping, mse;
};

struct inputs {
  const struct vec *w, *x;
  double *h;
};

static int has(const char *name, const char *word)
{
  return strstr(name, word) != NULL;
}

static struct golden parse(const struct vec_file *f, const char *name)
{
  struct golden g = {.name = name, .damping = 0.01, .group = -1};
  g.codes = vec_find(f, "%s.codes", name);
  g.scale = vec_find(f, "%s.scale", name);
  g.zero = vec_find(f, "%s.zero", name);
  g.error = vec_find(f, "%s.error", name);
  g.bits = (uint32_t)(name[1] - '0');
  if (name[4] != 'a')
    g.group = atoi(name + 4);
  g.symmetric = !has(name, "_asym");
  g.order = has(name, "_desc")  ? LQ_ORDER_ACTIVATION
            : has(name, "_gar") ? LQ_ORDER_GROUPS
                                : LQ_ORDER_NONE;
  g.fixed = has(name, "_static") || g.group < 0;
  g.mse = has(name, "_mse") ? 2.4 : 0.0;
  if (has(name, "_damp"))
    g.damping = atof(strstr(name, "_damp") + 5);
  return g;
}

/* H = 2/n X^T X. */
static double *hessian(const struct vec *x)
{
  size_t n = (size_t)x->dims[1], rows = (size_t)x->dims[0];
  double *h = test_alloc(n * n * sizeof *h), *row = test_alloc(n * sizeof *row);
  memset(h, 0, n * n * sizeof *h);
  for (size_t t = 0; t < rows; t++) {
    for (size_t i = 0; i < n; i++)
      row[i] = (double)lqi_f16_to_f32(((const uint16_t *)x->data)[t * n + i]);
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; row[i] != 0.0 && j < n; j++)
        h[i * n + j] += row[i] * row[j];
  }
  for (size_t i = 0; i < n * n; i++)
    h[i] *= 2.0 / (double)rows;
  free(row);
  return h;
}

/* tr(E H E^T) of E = w - q. */
static double output_error(const struct inputs *in, const float *q)
{
  size_t n = (size_t)in->w->dims[1], rows = (size_t)in->w->dims[0];
  double sum = 0.0, *e = test_alloc(n * sizeof *e);
  for (size_t r = 0; r < rows; r++) {
    for (size_t i = 0; i < n; i++)
      e[i] = (double)((const float *)in->w->data)[r * n + i] - (double)q[r * n + i];
    for (size_t i = 0; i < n; i++) {
      double s = 0.0;
      for (size_t j = 0; j < n; j++)
        s += in->h[i * n + j] * e[j];
      sum += e[i] * s;
    }
  }
  free(e);
  return sum;
}

static lq_tensor *calibrated(const struct inputs *in, const struct golden *g, int compat,
                             lq_report *report)
{
  lq_config *c = NULL;
  lq_quantizer *q = NULL;
  lq_tensor *w = NULL, *out = NULL;
  CHECK(lq_config_create(NULL, &c) == LQ_OK && lq_config_set_text(c, "method", "gptq") == LQ_OK &&
            lq_config_set_i64(c, LQ_KEY_BITS, g->bits) == LQ_OK &&
            lq_config_set_i64(c, LQ_KEY_GROUP_SIZE, g->group) == LQ_OK &&
            lq_config_set_i64(c, LQ_KEY_SYMMETRIC, g->symmetric) == LQ_OK &&
            lq_config_set_i64(c, LQ_KEY_ORDER, g->order) == LQ_OK &&
            lq_config_set_i64(c, LQ_KEY_STATIC_GROUPS, g->fixed) == LQ_OK &&
            lq_config_set_f64(c, LQ_KEY_DAMPING, g->damping) == LQ_OK &&
            lq_config_set_f64(c, LQ_KEY_MSE, g->mse) == LQ_OK &&
            lq_config_set_i64(c, LQ_KEY_COMPAT, compat ? LQ_COMPAT_GPTQ : 0) == LQ_OK &&
            lq_quantizer_create(c, &q) == LQ_OK,
        "%s", c ? lq_config_error_text(c) : "no config");
  CHECK(q && lq_quantizer_observe(q, in->x->dims[0], in->x->dims[1], LQ_F16, in->x->data,
                                  in->x->dims[1]) == LQ_OK,
        "observe");
  CHECK(lq_tensor_wrap(NULL, LQ_F32, 2, in->w->dims, in->w->data, (size_t)in->w->bytes, &w) ==
            LQ_OK,
        "wrap");
  lq_status s = q ? lq_quantizer_run(q, w, &out) : LQ_E_STATE;
  CHECK(s == LQ_OK, "status %d: %s", s, lq_quantizer_error_text(q));
  report->size = sizeof *report;
  if (q)
    lq_quantizer_report(q, report);
  lq_tensor_destroy(w);
  lq_quantizer_destroy(q);
  lq_config_destroy(c);
  return out;
}

/* Code of column i in a row of the native plane. */
static uint32_t code_at(const uint8_t *row, size_t i, uint32_t bits)
{
  size_t at = i * bits;
  uint32_t two = row[at / 8];
  if (at % 8 + bits > 8)
    two |= (uint32_t)row[at / 8 + 1] << 8;
  return two >> (at % 8) & ((1u << bits) - 1u);
}

static const lq_plane *plane_of(const lq_tensor *t, const char *name, lq_plane *p)
{
  for (uint32_t i = 0; i < lq_tensor_plane_count(t, LQ_LAYOUT_NATIVE); i++) {
    p->size = sizeof *p;
    if (lq_tensor_plane(t, LQ_LAYOUT_NATIVE, i, p) == LQ_OK && strcmp(p->name, name) == 0)
      return p;
  }
  return NULL;
}

/* Where the code of column i is: rows hold columns sorted by group, where groups are mapped. */
static size_t place_of(const int32_t *group, size_t n, size_t i)
{
  size_t before = 0;
  for (size_t c = 0; group != NULL && c < n; c++)
    before += group[c] < group[i] || (group[c] == group[i] && c < i);
  return group != NULL ? before : i;
}

/* Rows whose codes differ anywhere, and codes that do. Rows of zeros may have any zero point. */
static void compare_codes(const struct golden *g, const struct inputs *in, const lq_tensor *t)
{
  size_t rows = (size_t)in->w->dims[0], n = (size_t)in->w->dims[1], different = 0, odd_rows = 0;
  lq_plane p, index = {0};
  if (!CHECK(plane_of(t, "codes", &p) != NULL, "no codes"))
    return;
  size_t *place = test_alloc(n * sizeof *place);
  for (size_t i = 0; i < n; i++)
    place[i] = place_of(plane_of(t, "g_idx", &index) ? index.data : NULL, n, i);
  for (size_t r = 0; r < rows; r++) {
    size_t here = 0;
    float most = 0;
    for (size_t i = 0; i < n; i++) {
      uint32_t got = code_at((const uint8_t *)p.data + r * p.dims[1], place[i], g->bits);
      here += got != ((const uint8_t *)g->codes->data)[r * n + i];
      most = fmaxf(most, fabsf(((const float *)in->w->data)[r * n + i]));
    }
    different += most > 0 ? here : 0;
    odd_rows += here != 0 && most > 0;
  }
  free(place);
  CHECK(different <= rows * n / 20, "%zu of %zu codes differ", different, rows * n);
  CHECK(odd_rows <= (rows < 64 ? 1 : rows / 20), "%zu of %zu rows differ", odd_rows, rows);
}

static void run_case(const struct inputs *in, const struct golden *g)
{
  size_t bytes = (size_t)in->w->bytes;
  float *q = test_alloc(bytes);
  double want = (double)((const float *)g->error->data)[0],
         nearest = (double)((const float *)g->error->data)[1];
  for (int compat = 1; compat >= 0; compat--) {
    lq_report report;
    test_in("%s, compat %d", g->name, compat);
    lq_tensor *t = calibrated(in, g, compat, &report);
    if (!t)
      continue;
    CHECK(lq_dequantize(t, LQ_F32, q, bytes, NULL) == LQ_OK, "dequantize");
    double got = output_error(in, q), bound = g->bits == 8 ? 1.10 : compat ? 1.01 : 1.04;
    CHECK(got <= bound * want && got < nearest, "error %g, the reference %g, nearest %g", got, want,
          nearest);
    if (in->w->dims[0] <= 64)
      CHECK(fabs(report.error - got) <= 1e-4 * got, "reported %g, is %g", report.error, got);
    if (compat)
      compare_codes(g, in, t);
    lq_tensor_destroy(t);
  }
  free(q);
}

static void run_file(const char *folder, const char *name)
{
  struct vec_file f;
  char path[64], head[128];
  snprintf(path, sizeof path, "gptq_loop/%s.safetensors", name);
  if (!CHECK(vec_open(&f, folder, path), "%s", path))
    return;
  struct inputs in = {vec_find(&f, "W"), vec_find(&f, "X"), NULL};
  in.h = hessian(in.x);
  size_t cases = 0;
  for (size_t i = 0; i < f.n; i++)
    if (vec_ends(&f.v[i], ".codes", head)) {
      struct golden g = parse(&f, head);
      if (test_takes(4))
        run_case(&in, &g);
      cases++;
    }
  test_in("%s", name);
  CHECK(cases != 0, "no cases");
  free(in.h);
  vec_close(&f);
}

int main(int argc, char **argv)
{
  static const char *const files[] = {"easy64x128", "edges32x128",   "tail48x160",
                                      "corr64x256", "lowrank96x256", "outlier128x384"};
  const char *folder = test_vectors(argc, argv);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (test_takes(i < 2 ? 1 : 8)) /* the small ones always */
      run_file(folder, files[i]);
  return test_end();
}
