/*
 * test_golden_compute.c - proves that products, look-ups and whole checkpoints agree with
 * bitsandbytes.
 *
 * The vectors of tests/vectors/bitsandbytes that hold products and embeddings, and the two
 * checkpoints of tests/vectors/checkpoints, which must come out of the dense one plane by plane,
 * JSON text included. Tolerances are those of the README beside the vectors.
 */
#include "vectors.h"
#include "helpers.h"

#define COMPAT "compat=bitsandbytes-cpu"

static void check_bytes(const lq_plane *p, const struct vec *want)
{
  CHECK(want && p->bytes == want->bytes && !memcmp(p->data, want->data, (size_t)want->bytes),
        "plane %s", p->name);
}

static void check_plane(const lq_tensor *t, const char *name, const struct vec *want)
{
  lq_plane p;
  if (CHECK(find_plane(t, LQ_LAYOUT_NATIVE, name, &p), "no plane %s", name))
    check_bytes(&p, want);
}

static void fill_plane(lq_plane *p, const char *name, int32_t dtype, const struct vec *v)
{
  memset(p, 0, sizeof *p);
  p->size = sizeof *p;
  p->name = name;
  p->dtype = dtype;
  p->ndim = v->ndim;
  memcpy(p->dims, v->dims, sizeof p->dims);
  p->bytes = v->bytes;
  p->data = v->data;
}

/* Largest |got - want| over largest |want|. */
static double worst(const void *got, const void *want, int32_t dtype, const struct vec *shape)
{
  double most = 0, scale = 0;
  for (uint64_t i = 0; i < shape->count; i++) {
    double b = (double)value_at(want, dtype, i);
    most = fmax(most, fabs((double)value_at(got, dtype, i) - b));
    scale = fmax(scale, fabs(b));
  }
  return most / scale;
}

/* ---- int8 x int8 ---- */

static lq_tensor *int8_tensor(const struct vec *weight, const struct vec *scale)
{
  lq_plane p[2];
  lq_tensor *t = NULL;
  if (!CHECK(weight && scale, "int8 vectors"))
    return NULL;
  fill_plane(&p[0], "weight", LQ_I8, weight);
  fill_plane(&p[1], "SCB", LQ_F32, scale);
  lq_config *config = new_config("");
  lq_status s = lq_tensor_from_planes(config, LQ_LAYOUT_BITSANDBYTES, p, 2, 0, NULL, 1, &t);
  CHECK(s == LQ_OK && t, "from_planes: %d %s", s, lq_config_error_text(config));
  lq_config_destroy(config);
  return t;
}

static void check_product(const lq_tensor *w, const lq_tensor *x, const float *bias,
                          const struct vec *want)
{
  if (!CHECK(want != NULL, "no product"))
    return;
  uint64_t n = want->dims[1];
  char *y = test_alloc((size_t)want->bytes);
  lq_config *how = new_config(COMPAT);
  lq_status s = lq_matmul_int8(w, x, bias, want->dtype, y, n, how);
  lq_config_destroy(how);
  CHECK(s == LQ_OK, "matmul_int8 to dtype %d: %d", want->dtype, s);
  if (want->dtype == LQ_I32)
    CHECK(!memcmp(y, want->data, (size_t)want->bytes), "integer sums");
  else
    CHECK(first_difference(y, want->data, want->dtype, want->count, 0) == want->count, "%s",
          want->name);
  free(y);
}

static void run_int8_matmul(const struct vec_file *f)
{
  for (size_t i = 0; i < f->n; i++) {
    char c[128];
    if (!vec_ends(&f->v[i], ".acc", c))
      continue;
    lq_tensor *x = int8_tensor(vec_find(f, "%s.a", c), vec_find(f, "%s.row_stats", c));
    lq_tensor *w = int8_tensor(vec_find(f, "%s.b", c), vec_find(f, "%s.col_stats", c));
    const struct vec *b32 = vec_find(f, "%s.bias_f32", c), *b16 = vec_find(f, "%s.bias_f16", c);
    if (x && w && CHECK(b32 && b16, "bias of %s", c)) {
      float bias[64];
      check_product(w, x, NULL, &f->v[i]);
      check_product(w, x, NULL, vec_find(f, "%s.out_f32", c));
      check_product(w, x, NULL, vec_find(f, "%s.out_f16", c));
      check_product(w, x, NULL, vec_find(f, "%s.out_bf16", c));
      check_product(w, x, b32->data, vec_find(f, "%s.out_f32_bias_f32", c));
      for (uint64_t k = 0; k < b16->count && k < 64; k++)
        bias[k] = value_at(b16->data, LQ_F16, k);
      check_product(w, x, bias, vec_find(f, "%s.out_f16_bias_f16", c));
    }
    lq_tensor_destroy(w);
    lq_tensor_destroy(x);
  }
}

/* ---- a whole 8-bit layer ---- */

struct layer {
  const struct vec *w, *bias, *x;
  lq_tensor *weight;
  uint64_t m, n, k;
};

/* y += x[:, columns] * (weight[:, columns] rounded to dtype)^T, y rounded again. */
static void add_outliers(const struct layer *l, const lq_plane *columns, const void *x,
                         int32_t dtype, void *y)
{
  float *w = decode(l->weight, LQ_F32);
  uint64_t count = columns->bytes / 8;
  if (!w)
    return;
  float *sum = test_alloc((size_t)(l->m * l->n) * sizeof *sum);
  for (uint64_t i = 0; i < l->m; i++)
    for (uint64_t j = 0; j < l->n; j++) {
      float *s = &sum[i * l->n + j];
      *s = value_at(y, dtype, i * l->n + j);
      for (uint64_t c = 0; c < count; c++) {
        uint64_t col = (uint64_t)((const int64_t *)columns->data)[c];
        float b = w[j * l->k + col];
        *s += value_at(x, dtype, i * l->k + col) *
              (dtype == LQ_F32 ? b : half_value(half_bits(b, dtype), dtype));
      }
    }
  void *rounded = array_of(sum, l->m * l->n, dtype);
  memcpy(y, rounded, (size_t)(l->m * l->n) * element_size(dtype));
  free(rounded);
  free(sum);
  free(w);
}

static void check_layer(const struct layer *l, const char *threshold, const struct vec *want)
{
  static const double tolerance[] = {0, 1e-6, 1e-3, 8e-3};
  char options[96];
  lq_plane columns;
  if (!CHECK(want != NULL, "no result"))
    return;
  void *x = array_of(l->x->data, l->x->count, want->dtype);
  void *bias16 = array_of(l->bias->data, l->n, want->dtype);
  float *bias = test_alloc((size_t)l->n * sizeof *bias);
  for (uint64_t j = 0; j < l->n; j++)
    bias[j] = value_at(bias16, want->dtype, j);
  /* The layer quantizes x from its f16 cast. */
  lq_tensor *dense = wrap(want->dtype, 2, l->x->dims, x);
  void *x16 = dense ? decode(dense, LQ_F16) : NULL;
  snprintf(options, sizeof options, "method=int8 threshold=%s " COMPAT, threshold);
  lq_tensor *q = x16 ? quantize_array(LQ_F16, 2, l->x->dims, x16, options) : NULL;
  void *y = test_alloc((size_t)want->bytes);
  if (q) {
    lq_config *how = new_config(COMPAT);
    lq_status s = lq_matmul_int8(l->weight, q, bias, want->dtype, y, l->n, how);
    lq_config_destroy(how);
    CHECK(s == LQ_OK, "matmul_int8: %d", s);
    if (find_plane(q, LQ_LAYOUT_NATIVE, "outlier_columns", &columns) && columns.bytes)
      add_outliers(l, &columns, x, want->dtype, y);
    else
      CHECK(!strcmp(threshold, "0"), "no outlier columns found");
    double e = worst(y, want->data, want->dtype, want);
    CHECK(e <= tolerance[want->dtype], "%s is off by %g", want->name, e);
  }
  lq_tensor_destroy(q);
  lq_tensor_destroy(dense);
  free(y);
  free(x16);
  free(bias);
  free(bias16);
  free(x);
}

static void run_linear8bit(const struct vec_file *f)
{
  static const char *const dtypes[] = {"f32", "f16", "bf16"};
  for (size_t i = 0; i < f->n; i++) {
    char c[128];
    if (!vec_ends(&f->v[i], ".w", c))
      continue;
    struct layer l = {&f->v[i], vec_find(f, "%s.bias", c), vec_find(f, "%s.x", c), NULL, 0, 0, 0};
    if (!CHECK(l.bias && l.x && l.w->dtype == LQ_F16, "%s", c))
      continue;
    l.m = l.x->dims[0], l.n = l.w->dims[0], l.k = l.w->dims[1];
    l.weight = quantize_array(LQ_F16, 2, l.w->dims, l.w->data, "method=int8 " COMPAT);
    if (!l.weight)
      continue;
    check_plane(l.weight, "codes", vec_find(f, "%s.CB", c));
    check_plane(l.weight, "scales", vec_find(f, "%s.SCB", c));
    for (int d = 0; d < 3; d++) {
      check_layer(&l, "0", vec_find(f, "%s.t0.y_%s", c, dtypes[d]));
      check_layer(&l, "6", vec_find(f, "%s.t6.y_%s", c, dtypes[d]));
    }
    lq_tensor_destroy(l.weight);
  }
}

/* ---- 4-bit products ---- */

/*
 * y against the product in double precision. A result in half precision carries the rounding of x
 * and its own; the bounds are a little above what bitsandbytes itself is off by.
 */
static void check_matmul(const lq_tensor *t, const struct vec *x, const struct vec *bias,
                         const struct vec *ref)
{
  static const double tolerance[] = {0, 1e-6, 1e-3, 8e-3};
  uint64_t m = x->dims[0], n = ref->dims[1], k = x->dims[1];
  lq_config *how = new_config("");
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    void *xd = array_of(x->data, x->count, dtype), *want = array_of(ref->data, ref->count, LQ_F32);
    void *y = test_alloc((size_t)(m * n) * element_size(dtype));
    float *wide = test_alloc((size_t)(m * n) * sizeof *wide);
    lq_status s = lq_matmul(t, m, dtype, xd, k, bias->data, dtype, y, n, how);
    CHECK(s == LQ_OK, "matmul in dtype %d: %d", dtype, s);
    for (uint64_t i = 0; i < m * n; i++)
      wide[i] = value_at(y, dtype, i);
    double e = worst(wide, want, LQ_F32, ref);
    CHECK(e <= tolerance[dtype], "%s in dtype %d is off by %g", ref->name, dtype, e);
    free(wide);
    free(y);
    free(want);
    free(xd);
  }
  lq_config_destroy(how);
}

static void run_matmul4bit(const struct vec_file *f)
{
  for (size_t i = 0; i < f->n; i++) {
    char c[128], options[96];
    if (!vec_ends(&f->v[i], ".w", c))
      continue;
    const struct vec *x = vec_find(f, "%s.x", c), *bias = vec_find(f, "%s.bias", c);
    const struct vec *ref = vec_find(f, "%s.ref", c), *n_ref = vec_find(f, "%s.n_ref", c);
    const char *block = strstr(c, "bs");
    if (!CHECK(x && bias && ref && n_ref && block, "%s", c))
      continue;
    for (int nested = 0; nested < 2; nested++) {
      snprintf(options, sizeof options, "method=%.3s block_size=%s nested=%d " COMPAT, c, block + 2,
               nested);
      lq_tensor *t = quantize_array(LQ_F32, 2, f->v[i].dims, f->v[i].data, options);
      if (!t)
        continue;
      check_plane(t, "codes", vec_find(f, "%s.q", c));
      check_plane(t, "scales", vec_find(f, nested ? "%s.n_absmax8" : "%s.absmax", c));
      if (nested) {
        check_plane(t, "nested_scales", vec_find(f, "%s.n_absmax2", c));
        check_plane(t, "nested_offset", vec_find(f, "%s.n_offset", c));
      }
      check_matmul(t, x, bias, nested ? n_ref : ref);
      lq_tensor_destroy(t);
    }
  }
}

/* ---- look-up ---- */

static void check_lookup(const struct vec_file *f, const char *kind)
{
  const struct vec *w = vec_find(f, "w"), *idx = vec_find(f, "idx"), *y = vec_find(f, "%s.y", kind);
  char options[96];
  float row[1024];
  if (!CHECK(w && idx && y && y->dims[1] <= 1024, "%s", kind))
    return;
  int is_int8 = !strcmp(kind, "int8");
  size_t bytes = (size_t)y->dims[1] * sizeof(float);
  snprintf(options, sizeof options, "method=%s " COMPAT, kind);
  /* The 8-bit table is quantized from the f16 cast of the weights. */
  void *half = array_of(w->data, w->count, LQ_F16);
  lq_tensor *t =
      quantize_array(is_int8 ? LQ_F16 : LQ_F32, 2, w->dims, is_int8 ? half : w->data, options);
  for (uint64_t i = 0; t && i < idx->count; i++) {
    uint64_t r = (uint64_t)((const int64_t *)idx->data)[i];
    const float *want = (const float *)y->data + i * y->dims[1];
    lq_status s = lq_dequantize_rows(t, r, 1, LQ_F32, row, bytes, NULL);
    CHECK(s == LQ_OK, "dequantize_rows: %d", s);
    uint64_t bad = 0;
    for (uint64_t k = 0; k < y->dims[1]; k++)
      bad += is_int8 ? !(fabsf(row[k] - want[k]) <= 3e-7f * fabsf(want[k])) : row[k] != want[k];
    CHECK(bad == 0, "%s: %llu values of row %llu", kind, (unsigned long long)bad,
          (unsigned long long)r);
  }
  if (is_int8 && t) {
    check_plane(t, "codes", vec_find(f, "int8.q"));
    check_plane(t, "scales", vec_find(f, "int8.stats"));
  }
  lq_tensor_destroy(t);
  free(half);
}

static void run_embedding(const struct vec_file *f)
{
  check_lookup(f, "nf4");
  check_lookup(f, "fp4");
  check_lookup(f, "int8");
}

/* ---- checkpoints ---- */

static struct vec_file checkpoint[3]; /* bf16, nf4, int8 */
static struct vec_file restored;      /* first rows of a weight of the last two */

/*
 * Every plane of t stands in the file under the module's name, byte for byte and shape for shape.
 */
static void check_stored(const lq_tensor *t, const char *module, const struct vec_file *f)
{
  uint32_t n = lq_tensor_plane_count(t, LQ_LAYOUT_BITSANDBYTES), stored = 0;
  CHECK(n > 0, "no planes");
  for (uint32_t i = 0; i < n; i++) {
    lq_plane p;
    memset(&p, 0, sizeof p);
    p.size = sizeof p;
    lq_status s = lq_tensor_plane(t, LQ_LAYOUT_BITSANDBYTES, i, &p);
    const struct vec *v = s == LQ_OK ? vec_find(f, "%s%s", module, p.name) : NULL;
    if (!CHECK(v != NULL, "plane %u of %s: %d, %s", i, module, s, s ? "" : p.name))
      continue;
    CHECK(v->dtype == p.dtype && v->ndim == p.ndim && !memcmp(v->dims, p.dims, v->ndim * 8),
          "dtype and shape of %s", v->name);
    check_bytes(&p, v);
  }
  for (size_t i = 0; i < f->n; i++)
    stored += !strncmp(f->v[i].name, module, strlen(module)) &&
              strncmp(f->v[i].name + strlen(module), "bias", 4) != 0;
  CHECK(stored == n, "%s has %u tensors in the file, %u planes", module, stored, n);
}

/* The tensor made from the planes in the file restores the rows that `want` holds. */
static void check_loaded(const struct vec_file *f, const char *module, const struct vec *want,
                         int borrow)
{
  lq_plane p[8];
  uint32_t count = 0;
  lq_tensor *t = NULL;
  for (size_t i = 0; i < f->n && count < 8; i++)
    if (!strncmp(f->v[i].name, module, strlen(module)))
      fill_plane(&p[count++], f->v[i].name + strlen(module), f->v[i].dtype, &f->v[i]);
  lq_config *config = new_config("");
  lq_status s =
      lq_tensor_from_planes(config, LQ_LAYOUT_BITSANDBYTES, p, count, 0, NULL, borrow, &t);
  CHECK(s == LQ_OK && t, "from_planes(%s): %d %s", module, s, lq_config_error_text(config));
  lq_config_destroy(config);
  void *got = t ? decode(t, want->dtype) : NULL;
  if (got)
    CHECK(!memcmp(got, want->data, (size_t)want->bytes), "%s", want->name);
  if (t)
    check_stored(t, module, f);
  free(got);
  lq_tensor_destroy(t);
}

static void check_module(const struct vec *w, const char *module)
{
  if (vec_find(&checkpoint[1], "%sweight.absmax", module)) {
    lq_tensor *t =
        quantize_array(w->dtype, w->ndim, w->dims, w->data, "method=nf4 nested=1 " COMPAT);
    if (t)
      check_stored(t, module, &checkpoint[1]);
    lq_tensor_destroy(t);
  }
  if (vec_find(&checkpoint[2], "%sSCB", module)) {
    lq_tensor *dense = wrap(w->dtype, w->ndim, w->dims, w->data);
    void *half = dense ? decode(dense, LQ_F16) : NULL; /* transformers casts before int8 */
    lq_tensor *t =
        half ? quantize_array(LQ_F16, w->ndim, w->dims, half, "method=int8 " COMPAT) : NULL;
    if (t)
      check_stored(t, module, &checkpoint[2]);
    lq_tensor_destroy(t);
    lq_tensor_destroy(dense);
    free(half);
  }
}

static void run_checkpoints(const struct vec_file *f)
{
  char module[128];
  int modules = 0;
  for (size_t i = 0; i < f->n; i++)
    if (vec_ends(&f->v[i], "weight", module)) {
      check_module(&f->v[i], module);
      modules++;
    }
  CHECK(modules > 14, "%d modules", modules);
  for (size_t i = 0; i < restored.n; i++) {
    const struct vec *want = &restored.v[i];
    int is_int8 = !strncmp(want->name, "int8.", 5);
    snprintf(module, sizeof module, "%s", strchr(want->name, '.') + 1);
    module[strlen(module) - strlen("weight")] = 0;
    check_loaded(&checkpoint[is_int8 ? 2 : 1], module, want, 0);
    check_loaded(&checkpoint[is_int8 ? 2 : 1], module, want, 1);
  }
  CHECK(restored.n == 2, "%zu restored weights", restored.n);
}

/* ---- every file, level and number of threads ---- */

static void run_all(const char *name, void (*run)(const struct vec_file *f),
                    const struct vec_file *f)
{
  static const int threads[] = {1, 2, 3, 8};
  uint64_t checks = test_checks, failures = test_failures;
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
      snprintf(test_options, sizeof test_options, "threads=%d", threads[k]);
      test_in("%s, %s, %d threads", name, test_levels[level], threads[k]);
      run(f);
    }
  }
  printf("%-16s %4zu tensors, %7llu checks, %llu failed\n", name, f->n,
         (unsigned long long)(test_checks - checks),
         (unsigned long long)(test_failures - failures));
}

static void run_file(const char *folder, const char *name, void (*run)(const struct vec_file *f))
{
  char path[128];
  struct vec_file f;
  snprintf(path, sizeof path, "bitsandbytes/%s.safetensors", name);
  if (CHECK(vec_open(&f, folder, path), "cannot read %s/%s", folder, path))
    run_all(name, run, &f);
  vec_close(&f);
}

static int open_checkpoints(const char *folder)
{
  static const char *const names[] = {"tiny-llama-bf16", "tiny-llama-bnb-nf4-dq",
                                      "tiny-llama-bnb-int8"};
  char path[128];
  int ok = 1;
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "checkpoints/%s/model.safetensors", names[i]);
    ok &= CHECK(vec_open(&checkpoint[i], folder, path), "cannot read %s/%s", folder, path);
  }
  ok &= CHECK(vec_open(&restored, folder, "bitsandbytes/restored.safetensors"), "cannot read");
  return ok;
}

int main(int argc, char **argv)
{
  const char *folder = test_vectors(argc, argv);
  run_file(folder, "int8_matmul", run_int8_matmul);
  run_file(folder, "linear8bit", run_linear8bit);
  run_file(folder, "matmul4bit", run_matmul4bit);
  run_file(folder, "embedding", run_embedding);
  if (open_checkpoints(folder))
    run_all("checkpoints", run_checkpoints, &checkpoint[0]);
  for (int i = 0; i < 3; i++)
    vec_close(&checkpoint[i]);
  vec_close(&restored);
  lq_cpu_limit(NULL);
  return test_end();
}
