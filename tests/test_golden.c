/*
 * test_golden.c - proves that quantizing and restoring give what bitsandbytes gives.
 *
 * Every case of the quantization vectors (tests/vectors/bitsandbytes) goes through the public API
 * at every level of kernels this machine has and for several numbers of threads. Codes and stored
 * scales must be equal byte for byte; for restored values NaN is a class, the sign of zero is free,
 * and bf16 results below 2^-126 may be 0 in the vectors. Products, embeddings and checkpoints:
 * test_golden_compute.c.
 */
#include "vectors.h"
#include "helpers.h"

#include "../lib/method/codebook.h"
#include "../lib/method/nested.h"

#define COMPAT "compat=bitsandbytes-cpu"

static struct vec_file codes; /* codes.safetensors */

static const float *table_of(const char *kind)
{
  const struct vec *v = vec_find(&codes, "%s.code", kind);
  return CHECK(v != NULL, "%s.code", kind) ? v->data : NULL;
}

/* ---- planes against vectors ---- */

/* Data of a plane equal those of a vector: bytes, or numbers with NaN as a class for F32. */
static void check_plane(const lq_tensor *t, int32_t layout, const char *name,
                        const struct vec *want)
{
  lq_plane p;
  if (!CHECK(want != NULL, "no vector for %s", name) ||
      !CHECK(find_plane(t, layout, name, &p), "layout %d has no plane %s", layout, name))
    return;
  if (!CHECK(p.bytes == want->bytes && element_size(p.dtype) == element_size(want->dtype),
             "%s: %llu bytes of dtype %d, not %llu", name, (unsigned long long)p.bytes, p.dtype,
             (unsigned long long)want->bytes))
    return;
  if (want->dtype == LQ_F32) {
    uint64_t at = 0;
    for (; at < want->count; at++) {
      float a = ((const float *)p.data)[at], b = ((const float *)want->data)[at];
      if (bits_of_float(a) != bits_of_float(b) && !(isnan(a) && isnan(b)))
        break;
    }
    CHECK(at == want->count, "%s[%llu] is %a, not %a", name, (unsigned long long)at,
          (double)((const float *)p.data)[at], (double)((const float *)want->data)[at]);
    return;
  }
  const uint8_t *a = p.data, *b = want->data;
  uint64_t at = 0;
  while (at < want->bytes && a[at] == b[at])
    at++;
  CHECK(at == want->bytes, "%s byte %llu is %d, not %d", name, (unsigned long long)at, a[at],
        b[at]);
}

static void check_values(const lq_tensor *t, const struct vec *want)
{
  if (!CHECK(want != NULL, "no vector of restored values"))
    return;
  void *got = decode(t, want->dtype);
  if (!got)
    return;
  uint64_t at = first_difference(got, want->data, want->dtype, want->count, want->dtype == LQ_BF16);
  CHECK(at == want->count, "value %llu is %a, not %a", (unsigned long long)at,
        (double)value_at(got, want->dtype, at < want->count ? at : 0),
        (double)value_at(want->data, want->dtype, at < want->count ? at : 0));
  free(got);
}

/* Restored row by row, the values are the same. */
static void check_rows(const lq_tensor *t, const struct vec *want)
{
  if (!want || want->ndim != 2)
    return;
  uint64_t columns = want->dims[1];
  size_t bytes = (size_t)columns * element_size(want->dtype);
  char *row = test_alloc(bytes);
  for (uint64_t r = 0; r < want->dims[0]; r++) {
    lq_status s = lq_dequantize_rows(t, r, 1, want->dtype, row, bytes, NULL);
    uint64_t at = first_difference(row, (const char *)want->data + r * bytes, want->dtype, columns,
                                   want->dtype == LQ_BF16);
    if (!CHECK(s == LQ_OK && at == columns, "row %llu: status %d, column %llu",
               (unsigned long long)r, s, (unsigned long long)at))
      break;
  }
  free(row);
}

/* ---- 4 bit ---- */

/* A case of a 4-bit file. */
struct q4_case {
  const struct vec_file *f;
  const char *prefix; /* "r64.bs32" */
  const char *kind;
  const struct vec *x;
  int block;
};

/*
 * The JSON text of the quantization state is what bitsandbytes writes, up to the digits of the
 * offset.
 */
static void check_state(const lq_tensor *t, const struct q4_case *c, const struct vec *offset)
{
  static const char *const dtypes[] = {"", "float32", "float16", "bfloat16"};
  char name[64], want[256], shape[64] = "", text[256];
  lq_plane p;
  snprintf(name, sizeof name, "weight.quant_state.bitsandbytes__%s", c->kind);
  if (!CHECK(find_plane(t, LQ_LAYOUT_BITSANDBYTES, name, &p), "no plane %s", name) ||
      !CHECK(p.bytes < sizeof text && p.dtype == LQ_U8 && p.ndim == 1 && p.dims[0] == p.bytes, "%s",
             name))
    return;
  memcpy(text, p.data, (size_t)p.bytes);
  text[p.bytes] = 0;
  for (uint32_t i = 0; i < c->x->ndim; i++)
    snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%llu", i ? ", " : "",
             (unsigned long long)c->x->dims[i]);
  int n = snprintf(want, sizeof want,
                   "{\"quant_type\": \"%s\", \"blocksize\": %d, \"dtype\": \"%s\", \"shape\": [%s]",
                   c->kind, c->block, dtypes[c->x->dtype], shape);
  snprintf(want + n, sizeof want - (size_t)n, "%s",
           offset
               ? ", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": "
               : "}");
  size_t length = strlen(want);
  if (!CHECK(!strncmp(text, want, length), "state %s, not %s", text, want) || !offset)
    return;
  char *end;
  double value = strtod(text + length, &end);
  CHECK(value == (double)*(const float *)offset->data && !strcmp(end, "}"), "offset in %s", text);
}

static void check_bitsandbytes_planes(const lq_tensor *t, const struct q4_case *c, int nested)
{
  const struct vec *offset = nested ? vec_find(c->f, "%s.n_offset", c->prefix) : NULL;
  lq_plane p;
  CHECK(lq_tensor_plane_count(t, LQ_LAYOUT_BITSANDBYTES) == (nested ? 6u : 4u), "%u planes",
        lq_tensor_plane_count(t, LQ_LAYOUT_BITSANDBYTES));
  check_plane(t, LQ_LAYOUT_BITSANDBYTES, "weight", vec_find(c->f, "%s.q", c->prefix));
  if (find_plane(t, LQ_LAYOUT_BITSANDBYTES, "weight", &p))
    CHECK(p.ndim == 2 && p.dims[0] == (c->x->count + 1) / 2 && p.dims[1] == 1 && p.dtype == LQ_U8,
          "shape of weight");
  check_plane(t, LQ_LAYOUT_BITSANDBYTES, "weight.quant_map", vec_find(&codes, "%s.code", c->kind));
  check_plane(t, LQ_LAYOUT_BITSANDBYTES, "weight.absmax",
              vec_find(c->f, nested ? "%s.n_absmax8" : "%s.absmax", c->prefix));
  if (nested) {
    check_plane(t, LQ_LAYOUT_BITSANDBYTES, "weight.nested_absmax",
                vec_find(c->f, "%s.n_absmax2", c->prefix));
    check_plane(t, LQ_LAYOUT_BITSANDBYTES, "weight.nested_quant_map",
                vec_find(&codes, "dynamic.code"));
  }
  check_state(t, c, offset);
}

static void check_q4(const struct q4_case *c, int nested)
{
  char options[128];
  snprintf(options, sizeof options, "method=%s block_size=%d nested=%d " COMPAT, c->kind, c->block,
           nested);
  lq_tensor *t = quantize_array(c->x->dtype, c->x->ndim, c->x->dims, c->x->data, options);
  if (!t)
    return;
  const struct vec *dq = vec_find(c->f, nested ? "%s.n_dq" : "%s.dq", c->prefix);
  int64_t value = 0;
  CHECK(lq_tensor_dtype(t) == c->x->dtype && lq_tensor_method(t) == lq_method_from_name(c->kind),
        "dtype, method");
  CHECK(lq_tensor_get_i64(t, LQ_KEY_BLOCK_SIZE, &value) == LQ_OK && value == c->block,
        "block size");
  check_plane(t, LQ_LAYOUT_NATIVE, "codes", vec_find(c->f, "%s.q", c->prefix));
  check_plane(t, LQ_LAYOUT_NATIVE, "scales",
              vec_find(c->f, nested ? "%s.n_absmax8" : "%s.absmax", c->prefix));
  if (nested) {
    check_plane(t, LQ_LAYOUT_NATIVE, "nested_scales", vec_find(c->f, "%s.n_absmax2", c->prefix));
    check_plane(t, LQ_LAYOUT_NATIVE, "nested_offset", vec_find(c->f, "%s.n_offset", c->prefix));
  }
  check_bitsandbytes_planes(t, c, nested);
  if (dq) {
    check_values(t, dq);
    check_rows(t, dq);
  }
  lq_tensor_destroy(t);
}

/* "r64.bs32" into "r64" and 32. */
static int split_case(const char *prefix, const char *mark, char name[128], double *number)
{
  const char *at = NULL;
  for (const char *p = prefix; (p = strstr(p, mark)) != NULL; p++)
    at = p;
  if (!at)
    return 0;
  memcpy(name, prefix, (size_t)(at - prefix));
  name[at - prefix] = 0;
  *number = strtod(at + strlen(mark), NULL);
  return 1;
}

static void run_q4(const struct vec_file *f, const char *file)
{
  for (size_t i = 0; i < f->n; i++) {
    char prefix[128], name[128];
    double block;
    if (!vec_ends(&f->v[i], ".q", prefix) || !split_case(prefix, ".bs", name, &block))
      continue;
    struct q4_case c = {f, prefix, "nf4", vec_find(f, "%s.x", name), (int)block};
    if (strstr(file, "fp4") || strstr(name, "fp4"))
      c.kind = "fp4";
    if (!CHECK(c.x != NULL, "%s.x", name))
      continue;
    if (vec_find(f, "%s.absmax", prefix))
      check_q4(&c, 0);
    if (vec_find(f, "%s.n_absmax8", prefix))
      check_q4(&c, 1);
  }
}

/* ---- 8 bit blockwise ---- */

/* Rank of v among the 255 midpoints of the dynamic code; a tie goes down. */
static int dynamic_rank(const float *code, float v)
{
  int low = 0, high = 255;
  while (low < high) {
    int mid = (low + high) / 2;
    if ((code[mid] + code[mid + 1]) / 2 < v)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

/*
 * Without compat the codes are the nearest. In whole blocks that are not tiny the generic code of
 * bitsandbytes says the same; the tail it divides, where the library multiplies by the reciprocal
 * of the true absmax.
 */
static void check_nearest(const struct vec_file *f, const char *prefix, const struct vec *x,
                          int block)
{
  const struct vec *want = vec_find(f, "%s.q_nearest", prefix),
                   *scale = vec_find(f, "%s.absmax_nearest", prefix);
  const float *code = table_of("dynamic");
  char options[64];
  lq_plane q, s;
  snprintf(options, sizeof options, "method=dynamic8 block_size=%d", block);
  lq_tensor *t = want && code ? quantize_array(x->dtype, x->ndim, x->dims, x->data, options) : NULL;
  if (!t || !CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "codes", &q) &&
                       find_plane(t, LQ_LAYOUT_NATIVE, "scales", &s) && q.bytes == want->bytes &&
                       s.bytes == scale->bytes,
                   "planes")) {
    lq_tensor_destroy(t);
    return;
  }
  for (uint64_t b = 0; b * (uint64_t)block < x->count; b++) {
    uint64_t first = b * (uint64_t)block, end = first + (uint64_t)block, bad = 0;
    int whole = end <= x->count;
    float m = 0, stored = ((const float *)s.data)[b];
    end = whole ? end : x->count;
    for (uint64_t i = first; i < end; i++)
      m = fmaxf(m, fabsf(value_at(x->data, x->dtype, i)));
    CHECK(stored == m, "scale %llu is %a, not %a", (unsigned long long)b, (double)stored,
          (double)m);
    for (uint64_t i = first; i < end && m >= 1e-38f; i++) {
      int rank = dynamic_rank(code, fmaxf(-1, value_at(x->data, x->dtype, i) * (1 / m)));
      bad += ((const uint8_t *)q.data)[i] != (whole ? ((const uint8_t *)want->data)[i] : rank);
    }
    CHECK(bad == 0, "block %llu: %llu codes not the nearest", (unsigned long long)b,
          (unsigned long long)bad);
  }
  lq_tensor_destroy(t);
}

static void run_q8(const struct vec_file *f, const char *file)
{
  (void)file;
  for (size_t i = 0; i < f->n; i++) {
    char prefix[128], name[128], options[128];
    double block;
    if (!vec_ends(&f->v[i], ".q", prefix) || !split_case(prefix, ".bs", name, &block))
      continue;
    const struct vec *x = vec_find(f, "%s.x", name);
    if (!CHECK(x != NULL, "%s.x", name))
      continue;
    snprintf(options, sizeof options, "method=dynamic8 block_size=%d " COMPAT, (int)block);
    lq_tensor *t = quantize_array(x->dtype, x->ndim, x->dims, x->data, options);
    if (t) {
      check_plane(t, LQ_LAYOUT_NATIVE, "codes", &f->v[i]);
      check_plane(t, LQ_LAYOUT_NATIVE, "scales", vec_find(f, "%s.absmax", prefix));
      check_values(t, vec_find(f, "%s.dq", prefix));
    }
    lq_tensor_destroy(t);
    check_nearest(f, prefix, x, (int)block);
  }
}

/* ---- int8 ---- */

static void check_outlier_columns(const lq_tensor *t, const struct vec *want)
{
  lq_plane p;
  int there = find_plane(t, LQ_LAYOUT_NATIVE, "outlier_columns", &p);
  if (want->count)
    check_plane(t, LQ_LAYOUT_NATIVE, "outlier_columns", want);
  else
    CHECK(!there || p.bytes == 0, "%llu bytes of outlier columns, not 0",
          (unsigned long long)p.bytes);
}

static void run_int8(const struct vec_file *f, const char *file)
{
  (void)file;
  for (size_t i = 0; i < f->n; i++) {
    char prefix[128], name[128], options[128];
    double threshold;
    if (!vec_ends(&f->v[i], ".q", prefix) || !split_case(prefix, ".t", name, &threshold))
      continue;
    const struct vec *x = vec_find(f, "%s.x", name), *dq = vec_find(f, "%s.dq", prefix);
    const struct vec *columns = vec_find(f, "%s.cols", prefix);
    if (!CHECK(x != NULL, "%s.x", name))
      continue;
    snprintf(options, sizeof options, "method=int8 threshold=%g " COMPAT, threshold);
    lq_tensor *t = quantize_array(x->dtype, x->ndim, x->dims, x->data, options);
    if (!t)
      continue;
    check_plane(t, LQ_LAYOUT_NATIVE, "codes", &f->v[i]);
    check_plane(t, LQ_LAYOUT_NATIVE, "scales", vec_find(f, "%s.stats", prefix));
    if (columns)
      check_outlier_columns(t, columns);
    if (dq)
      check_values(t, dq);
    if (threshold == 0) {
      check_plane(t, LQ_LAYOUT_BITSANDBYTES, "weight", &f->v[i]);
      check_plane(t, LQ_LAYOUT_BITSANDBYTES, "SCB", vec_find(f, "%s.stats", prefix));
    }
    lq_tensor_destroy(t);
  }
}

/* ---- tables and sums ---- */

static void check_q4_book(const struct lqi_q4_book *book, const char *kind)
{
  const struct vec *code = vec_find(&codes, "%s.code", kind),
                   *bounds = vec_find(&codes, "%s.bounds", kind);
  const struct vec *order = vec_find(&codes, "%s.sorted_to_code", kind);
  if (!CHECK(code && bounds && order, "%s", kind))
    return;
  CHECK(!memcmp(book->value, code->data, 64), "values of %s", kind);
  CHECK(!memcmp(book->bound, bounds->data, 60) && isinf(book->bound[15]), "bounds of %s", kind);
  CHECK(!memcmp(book->code, order->data, 16), "order of %s", kind);
}

static void run_codes(const struct vec_file *f, const char *file)
{
  const struct vec *value = vec_find(f, "dynamic.code"), *bins = vec_find(f, "dynamic.cpu_bins");
  (void)file;
  check_q4_book(&lqi_book_nf4, "nf4");
  check_q4_book(&lqi_book_fp4, "fp4");
  if (!CHECK(value && bins, "dynamic"))
    return;
  const struct lqi_q8_book *book = &lqi_book_dynamic;
  CHECK(!memcmp(book->value, value->data, 1024), "values of dynamic");
  for (int i = 0; i < 255; i++)
    CHECK(book->bound[i] == (book->value[i] + book->value[i + 1]) / 2, "bound %d", i);
  uint32_t bad = 0;
  for (uint32_t k = 0; k < 65536; k++) {
    uint32_t code = 0;
    while (code < 255 && book->bin[code] <= k)
      code++;
    bad += code != ((const uint8_t *)bins->data)[k];
  }
  CHECK(bad == 0, "%u of 65536 bins", bad);
}

static void run_mean(const struct vec_file *f, const char *file)
{
  (void)file;
  for (size_t i = 0; i < f->n; i++) {
    char prefix[128];
    if (!vec_ends(&f->v[i], ".x", prefix))
      continue;
    const struct vec *sum = vec_find(f, "%s.sum", prefix), *mean = vec_find(f, "%s.mean", prefix);
    if (!CHECK(sum && mean, "%s", prefix))
      continue;
    float got = lqi_sum_f32(f->v[i].data, f->v[i].count), want = *(const float *)sum->data;
    CHECK(got == want, "sum of %s is %a, not %a", prefix, (double)got, (double)want);
    got = lqi_mean_f32(f->v[i].data, f->v[i].count), want = *(const float *)mean->data;
    CHECK(got == want, "mean of %s is %a, not %a", prefix, (double)got, (double)want);
  }
}

/* ---- every file, level and number of threads ---- */

struct group {
  const char *file;
  void (*run)(const struct vec_file *f, const char *file);
};

static const struct group groups[] = {
    {"codes", run_codes},   {"mean", run_mean},         {"q4_nf4_f32", run_q4},
    {"q4_nf4_f16", run_q4}, {"q4_nf4_bf16", run_q4},    {"q4_fp4_f32", run_q4},
    {"q4_fp4_f16", run_q4}, {"q4_fp4_bf16", run_q4},    {"q4_nested_large", run_q4},
    {"q4_special", run_q4}, {"q4_rowblocks", run_q4},   {"q8_blockwise", run_q8},
    {"q8_special", run_q8}, {"int8_rowwise", run_int8},
};

static void run_group(const struct group *g, const char *folder)
{
  static const int threads[] = {1, 2, 3, 8};
  char name[64];
  struct vec_file f;
  uint64_t checks = test_checks, failures = test_failures;
  snprintf(name, sizeof name, "%s.safetensors", g->file);
  if (!CHECK(vec_open(&f, folder, name), "cannot read %s/%s", folder, name))
    return;
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
      snprintf(test_options, sizeof test_options, "threads=%d", threads[k]);
      test_in("%s, %s, %d threads", g->file, test_levels[level], threads[k]);
      g->run(&f, g->file);
    }
  }
  printf("%-16s %4zu tensors, %7llu checks, %llu failed\n", g->file, f.n,
         (unsigned long long)(test_checks - checks),
         (unsigned long long)(test_failures - failures));
  vec_close(&f);
}

int main(int argc, char **argv)
{
  char folder[1024];
  snprintf(folder, sizeof folder, "%s/bitsandbytes", test_vectors(argc, argv));
  if (!CHECK(vec_open(&codes, folder, "codes.safetensors"), "cannot read %s/codes.safetensors",
             folder))
    return test_end();
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
    run_group(&groups[i], folder);
  vec_close(&codes);
  lq_cpu_limit(NULL);
  return test_end();
}
