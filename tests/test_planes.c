/*
 * test_planes.c - proves that a tensor survives its planes, and that planes which lie are refused.
 *
 * Every kind of tensor goes through every layout that holds it: copied and borrowed, in any order,
 * misaligned, with and without the shape. Then one thing at a time is wrong: missing, doubled,
 * short, long, of another dtype or shape, not finite; and random bytes of the
 * text and the dimensions are changed. Nothing may be read past its end: run it under the address
 * sanitizer.
 */
#include "planes.h"

#include <stddef.h>

static const char *const kinds[] = {
    "method=nf4",
    "method=nf4 nested=1 block_size=32",
    "method=fp4 block_size=128",
    "method=fp4 nested=1",
    "method=nf4 nested=1 block_size=8 nested_block_size=16",
    "method=int8",
    "method=int8 threshold=2.5",
    "method=int8 threshold=2.5 compat=bitsandbytes-cpu",
    "method=dynamic8",
    "method=dynamic8 nested=1 block_size=100",
    "method=none",
    "method=affine",
    "method=affine bits=3 group_size=16 symmetric=0",
    "method=affine bits=8 group_size=-1 nested=1 symmetric=0",
    "method=affine bits=2 group_size=8 nested=1 nested_block_size=16",
};

/* ---- there and back ---- */

static uint64_t dropped_bytes(const lq_tensor *t)
{
  lq_plane p;
  return find_plane(t, LQ_LAYOUT_NATIVE, "outlier_columns", &p) ? p.bytes : 0;
}

static void check_equal(const lq_tensor *a, const lq_tensor *b, int32_t layout)
{
  struct parts p, q;
  float *x = decode(a, LQ_F32), *y = decode(b, LQ_F32);
  take_apart(a, layout, &p);
  take_apart(b, layout, &q);
  CHECK(x && y && !memcmp(x, y, sizeof weights), "values differ");
  /* Only native keeps the list of columns that the reference's int8 has dropped. */
  uint64_t lost = layout == LQ_LAYOUT_NATIVE ? 0 : dropped_bytes(a);
  CHECK(lq_tensor_method(a) == lq_tensor_method(b) &&
            lq_tensor_nbytes(a) - lost == lq_tensor_nbytes(b),
        "method or nbytes");
  CHECK(p.ndim == q.ndim && !memcmp(p.dims, q.dims, sizeof p.dims), "shape");
  CHECK(p.n == q.n, "%u planes, not %u", q.n, p.n);
  for (uint32_t i = 0; i < p.n && i < q.n; i++)
    CHECK(!strcmp(p.p[i].name, q.p[i].name) && p.p[i].bytes == q.p[i].bytes &&
              p.p[i].dtype == q.p[i].dtype && p.p[i].ndim == q.p[i].ndim &&
              !memcmp(p.p[i].dims, q.p[i].dims, sizeof p.p[i].dims) &&
              !memcmp(p.memory[i], q.memory[i], (size_t)p.p[i].bytes),
          "plane %s differs", p.p[i].name);
  free_parts(&p);
  free_parts(&q);
  free(x);
  free(y);
}

static void shuffle(struct parts *s)
{
  for (uint32_t i = s->n; i-- > 1;) {
    uint32_t j = (uint32_t)rng_below(&random_state, i + 1);
    lq_plane p = s->p[i];
    char *m = s->memory[i];
    s->p[i] = s->p[j], s->memory[i] = s->memory[j];
    s->p[j] = p, s->memory[j] = m;
  }
}

static void check_copied(const lq_tensor *t, int32_t layout)
{
  struct parts s;
  lq_tensor *loaded;
  take_apart(t, layout, &s);
  for (int k = 0; k < 6; k++) {
    shuffle(&s);
    if (CHECK(load(&s, "", k % 2, 0, &loaded) == LQ_OK, "copy")) {
      check_equal(t, loaded, layout);
      for (uint32_t i = 0; i < s.n && k == 5; i++)
        memset(s.memory[i], 0x55, (size_t)s.p[i].bytes);
      check_equal(t, loaded, layout); /* a copy does not see what became of the planes */
      lq_tensor_destroy(loaded);
    }
  }
  free_parts(&s);
}

static void check_borrowed(const lq_tensor *t, int32_t layout)
{
  struct parts s;
  lq_tensor *loaded;
  lq_plane p;
  take_apart(t, layout, &s);
  shuffle(&s);
  if (CHECK(load(&s, "", 1, 1, &loaded) == LQ_OK, "borrow")) {
    static const char *const used[] = {
        "codes", "scales", "nested_scales", "outliers", "weight", "weight.absmax", "SCB"};
    check_equal(t, loaded, layout);
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
      if (part(&s, used[i]) && CHECK(find_plane(loaded, layout, used[i], &p), "plane %s", used[i]))
        CHECK(p.data == part(&s, used[i])->data, "%s is not the borrowed memory", used[i]);
    lq_tensor *clone = NULL;
    CHECK(lq_tensor_clone(NULL, loaded, &clone) == LQ_OK, "clone");
    lq_tensor_destroy(loaded);
    for (uint32_t i = 0; i < s.n; i++)
      memset(s.memory[i], 0x55, (size_t)s.p[i].bytes);
    check_equal(t, clone, layout); /* a clone owns all */
    lq_tensor_destroy(clone);
  }
  free_parts(&s);
}

/* Planes at odd addresses can be copied; borrowing those of larger elements is refused. */
static void check_misaligned(const lq_tensor *t, int32_t layout)
{
  struct parts s;
  lq_tensor *loaded;
  take_apart(t, layout, &s);
  for (uint32_t i = 0; i < s.n; i++) {
    char *odd = test_alloc((size_t)s.p[i].bytes + 1);
    memcpy(odd + 1, s.memory[i], (size_t)s.p[i].bytes);
    const void *aligned = s.p[i].data;
    s.p[i].data = odd + 1;
    if (CHECK(load(&s, "", 1, 0, &loaded) == LQ_OK, "copy of misaligned %s", s.p[i].name)) {
      check_equal(t, loaded, layout);
      lq_tensor_destroy(loaded);
    }
    lq_status st = load(&s, "", 1, 1, &loaded);
    CHECK(st == (element_size(s.p[i].dtype) > 1 ? LQ_E_ARGUMENT : LQ_OK),
          "borrow of misaligned %s: %d", s.p[i].name, st);
    if (st == LQ_OK)
      lq_tensor_destroy(loaded);
    s.p[i].data = aligned;
    free(odd);
  }
  free_parts(&s);
}

/* Structs of a later version, larger than ours, one behind the other. */
static void check_larger_structs(const lq_tensor *t, int32_t layout)
{
  struct larger {
    lq_plane p;
    uint64_t tail[2];
  } planes[MOST];
  struct parts s;
  lq_tensor *loaded = NULL;
  take_apart(t, layout, &s);
  memset(planes, 0, sizeof planes);
  for (uint32_t i = 0; i < s.n; i++) {
    planes[i].p = s.p[i];
    planes[i].p.size = sizeof planes[i];
  }
  lq_config *config = new_config("");
  lq_status st = lq_tensor_from_planes(config, layout, &planes[0].p, s.n, 0, NULL, 0, &loaded);
  if (CHECK(st == LQ_OK, "larger structs: %d %s", st, lq_config_error_text(config)))
    check_equal(t, loaded, layout);
  lq_tensor_destroy(loaded);
  /* The first says how large all are: one that says more would be read past its end. */
  const uint32_t last = s.n - 1, bad[] = {0, 4, sizeof(lq_plane) - 8, sizeof *planes + 8, 1u << 30};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    if (last == 0 && bad[i] > sizeof *planes)
      continue;
    planes[last].p.size = bad[i];
    st = lq_tensor_from_planes(config, layout, &planes[0].p, s.n, 0, NULL, 0, &loaded);
    CHECK(st == LQ_E_VERSION && !loaded, "the last of %u bytes: %d", bad[i], st);
  }
  planes[last].p.size = sizeof *planes;
  planes[last].tail[1] = 1;
  st = lq_tensor_from_planes(config, layout, &planes[0].p, s.n, 0, NULL, 0, &loaded);
  CHECK(st == LQ_E_VERSION && !loaded, "a tail that is not zero: %d", st);
  lq_config_destroy(config);
  free_parts(&s);
}

static void test_round_trip(const char *options)
{
  lq_tensor *t = make(options);
  for (int32_t layout = LQ_LAYOUT_NATIVE; layout <= LQ_LAYOUT_BITSANDBYTES; layout++) {
    test_in("%s, layout %d", options, layout);
    uint32_t n = lq_tensor_plane_count(t, layout);
    lq_plane p = {.size = sizeof p};
    CHECK(lq_tensor_plane(t, layout, n, &p) == (n ? LQ_E_ARGUMENT : LQ_E_UNSUPPORTED),
          "a plane past the last");
    CHECK(n > 0 || layout == LQ_LAYOUT_BITSANDBYTES, "native holds every tensor");
    if (n == 0)
      continue;
    check_copied(t, layout);
    check_borrowed(t, layout);
    check_misaligned(t, layout);
    check_larger_structs(t, layout);
  }
  lq_tensor_destroy(t);
}

/* ---- one thing wrong at a time ---- */

static int is_text(const lq_plane *p)
{
  return strstr(p->name, "quant_state") || !strcmp(p->name, "meta");
}

/* Planes that may be absent, and so empty or shorter: nothing else depends on them. */
static int is_optional(const struct parts *s, uint32_t i)
{
  int has_outliers = 0;
  for (uint32_t k = 0; k < s->n; k++)
    has_outliers |= !strcmp(s->p[k].name, "outliers");
  return !strcmp(s->p[i].name, "weight_format") ||
         (!strcmp(s->p[i].name, "outlier_columns") && !has_outliers);
}

static void lie_about_presence(struct parts *s, uint32_t i)
{
  struct parts bad = *s;
  char what[128];
  lq_plane p = s->p[i];
  snprintf(what, sizeof what, "%s missing", p.name);
  bad.p[i] = bad.p[--bad.n];
  if (!is_optional(s, i))
    refused(&bad, bad.n ? LQ_E_LAYOUT : LQ_E_ARGUMENT, what);
  snprintf(what, sizeof what, "%s twice", p.name);
  bad = *s;
  bad.p[bad.n++] = p;
  refused(&bad, LQ_E_LAYOUT, what);
  bad = *s;
  bad.p[i].data = NULL;
  refused(&bad, LQ_E_ARGUMENT, "no data");
  bad = *s;
  bad.p[i].name = NULL;
  refused(&bad, LQ_E_ARGUMENT, "no name");
  bad = *s;
  bad.p[i].size = (uint32_t)offsetof(lq_plane, data);
  refused(&bad, LQ_E_VERSION, "a small struct");
}

static void lie_about_size(struct parts *s, uint32_t i)
{
  struct parts bad;
  char what[128];
  lq_plane p = s->p[i];
  size_t size = element_size(p.dtype);
  char *longer = test_alloc((size_t)p.bytes + 64);
  memcpy(longer, p.data, (size_t)p.bytes);
  for (int delta = -1; delta <= 1; delta += 2) {
    uint64_t n = p.bytes / size;
    if ((delta < 0 && n == 0) || (is_text(&p) && delta > 0))
      continue;
    bad = *s;
    bad.p[i].data = longer;
    bad.p[i].ndim = 1;
    bad.p[i].dims[0] = delta < 0 ? n - 1 : n + 1;
    bad.p[i].bytes = bad.p[i].dims[0] * size;
    snprintf(what, sizeof what, "%s with %d element%s", p.name, delta,
             delta < 0 ? " less" : " more");
    if (is_optional(s, i) && delta < 0)
      continue;
    refused(&bad, LQ_E_LAYOUT, what);
  }
  bad = *s;
  bad.p[i].bytes += size;
  refused(&bad, LQ_E_LAYOUT, "bytes that are not those of the shape");
  bad = *s;
  bad.p[i].ndim = 9;
  refused(&bad, LQ_E_LAYOUT, "9 dimensions");
  bad = *s;
  bad.p[i].ndim = 2;
  bad.p[i].dims[0] = (uint64_t)1 << 62;
  bad.p[i].dims[1] = 8;
  bad.p[i].bytes = 0;
  refused(&bad, LQ_E_LAYOUT, "dimensions that wrap to 0");
  free(longer);
}

static void lie_about_dtype(struct parts *s, uint32_t i)
{
  static const int32_t other[] = {0, LQ_I32, LQ_BF16, LQ_F16, LQ_U8, LQ_I8, LQ_F32, 0};
  struct parts bad = *s;
  char what[128];
  snprintf(what, sizeof what, "%s of another dtype", s->p[i].name);
  bad.p[i].dtype = other[s->p[i].dtype];
  int is_packed = s->layout == LQ_LAYOUT_BITSANDBYTES && !strcmp(s->p[i].name, "weight") &&
                  s->p[i].dtype == LQ_U8;
  int is_dense = s->n == 1;
  if (bad.p[i].dtype && !is_packed && !is_dense) /* those two may have others */
    refused(&bad, LQ_E_LAYOUT, what);
  bad.p[i].dtype = 0;
  refused(&bad, LQ_E_ARGUMENT, "dtype 0");
  bad.p[i].dtype = 99;
  refused(&bad, LQ_E_ARGUMENT, "dtype 99");
}

/* NaN or infinity anywhere in scales and code books. */
static void lie_about_values(struct parts *s, uint32_t i)
{
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  lq_plane *p = &s->p[i];
  lq_tensor *t;
  if (p->dtype != LQ_F32 || !strcmp(p->name, "outliers") || s->n == 1 ||
      (s->n == 2 && !strcmp(p->name, "codes")))
    return;
  float *x = (float *)(void *)s->memory[i];
  uint64_t places[] = {0, p->bytes / 8, p->bytes / 4 - 1};
  for (int k = 0; k < 9; k++) {
    float keep = x[places[k / 3]];
    x[places[k / 3]] = bad[k % 3];
    refused(s, LQ_E_NONFINITE, p->name);
    if (CHECK(load(s, "nonfinite=propagate", 1, k % 2, &t) == LQ_OK, "%s with %g and propagate",
              p->name, (double)bad[k % 3]))
      lq_tensor_destroy(t);
    x[places[k / 3]] = keep;
  }
}

static void test_lies(const char *options, int32_t layout)
{
  struct parts s = parts_of(options, layout);
  lq_tensor *t;
  for (uint32_t i = 0; i < s.n; i++) {
    test_in("%s, layout %d, %s", options, layout, s.p[i].name);
    lie_about_presence(&s, i);
    lie_about_size(&s, i);
    lie_about_dtype(&s, i);
    lie_about_values(&s, i);
  }
  test_in("%s, layout %d, shape", options, layout);
  struct parts bad = s;
  if (s.n) {
    bad.dims[0]++;
    refused(&bad, LQ_E_LAYOUT, "another number of rows");
    bad = s;
    bad.ndim = 1;
    bad.dims[0] = ROWS * COLUMNS;
    refused(&bad, LQ_E_LAYOUT, "one dimension");
    bad.n = 0;
    refused(&bad, LQ_E_ARGUMENT, "no planes");
    bad = s;
    bad.layout = 77;
    refused(&bad, LQ_E_ARGUMENT, "unknown layout");
    CHECK(load(&s, "", 1, 0, &t) == LQ_OK, "unchanged");
    lq_tensor_destroy(t);
  }
  free_parts(&s);
}

/* ---- random changes ---- */

static void flip_once(struct parts *s, const char *options)
{
  struct parts bad = *s;
  lq_tensor *t;
  uint32_t i = (uint32_t)rng_below(&random_state, s->n);
  lq_plane *p = &bad.p[i];
  char *copy = test_alloc((size_t)p->bytes);
  memcpy(copy, p->data, (size_t)p->bytes);
  p->data = copy;
  uint64_t what = rng_below(&random_state, is_text(p) ? 4 : 2);
  if (what == 0)
    p->dims[rng_below(&random_state, 2)] ^= (uint64_t)1 << rng_below(&random_state, 64);
  else if (p->bytes)
    for (uint64_t k = rng_below(&random_state, 3) + 1; k-- != 0;)
      copy[rng_below(&random_state, p->bytes)] ^= (char)(1 << rng_below(&random_state, 8));
  lq_status st =
      load(&bad, options, rng_below(&random_state, 2) != 0, rng_below(&random_state, 2) != 0, &t);
  CHECK(st == LQ_OK || st == LQ_E_LAYOUT || st == LQ_E_NONFINITE || st == LQ_E_UNSUPPORTED ||
            st == LQ_E_VERSION,
        "status %d", st);
  if (st == LQ_OK && tensor_elements(t) < 100000)
    free(decode(t, LQ_F32));
  if (st == LQ_OK)
    lq_tensor_destroy(t);
  free(copy);
}

static void test_flips(const char *options, int32_t layout)
{
  struct parts s = parts_of(options, layout);
  test_in("%s, layout %d, flips", options, layout);
  for (int k = 0, n = test_is_long() ? 100000 : 3000; s.n && k < n; k++)
    flip_once(&s, k % 4 ? "" : "nonfinite=propagate");
  free_parts(&s);
}

/* ---- what real files may hold ---- */

/* A book of other values is used as it stands, sorted or not. */
static void test_other_books(void)
{
  struct parts s = parts_of("method=nf4 nested=1", LQ_LAYOUT_BITSANDBYTES);
  lq_tensor *plain, *t;
  test_in("other code books");
  CHECK(load(&s, "", 1, 0, &plain) == LQ_OK, "plain");
  float *map = (float *)(void *)s.memory[part(&s, "weight.quant_map") - s.p];
  for (int i = 0; i < 16; i++)
    map[i] = -2 * map[i];
  if (CHECK(load(&s, "", 1, 1, &t) == LQ_OK, "other book")) {
    float *a = decode(plain, LQ_F32), *b = decode(t, LQ_F32);
    int bad = 0;
    for (int i = 0; a && b && i < ROWS * COLUMNS; i++)
      bad += b[i] != -2 * a[i];
    CHECK(bad == 0, "%d values do not follow the book", bad);
    struct parts native;
    take_apart(t, LQ_LAYOUT_NATIVE, &native);
    CHECK(part(&native, "codebook") && !part(&native, "nested_codebook"),
          "native keeps the book that differs");
    lq_tensor *again;
    if (CHECK(load(&native, "", 0, 0, &again) == LQ_OK, "native"))
      check_equal(t, again, LQ_LAYOUT_BITSANDBYTES);
    lq_tensor_destroy(again);
    free_parts(&native);
    free(a);
    free(b);
    lq_tensor_destroy(t);
  }
  lq_tensor_destroy(plain);
  free_parts(&s);
}

/* quant_storage: the packed codes as f16, bf16 or f32, in any shape of as many bytes. */
static void test_storage(void)
{
  struct parts s = parts_of("method=nf4", LQ_LAYOUT_BITSANDBYTES);
  lq_plane *w = part(&s, "weight");
  uint64_t bytes = w->bytes;
  lq_tensor *t;
  test_in("quant_storage");
  for (int32_t dtype = LQ_F32; dtype <= LQ_U8; dtype++) {
    uint64_t size = element_size(dtype);
    if (bytes % size)
      continue;
    w->dtype = dtype;
    for (int k = 0; k < 3; k++) {
      w->ndim = k == 0 ? 1 : 2;
      w->dims[0] = k == 2 ? 1 : bytes / size;
      w->dims[1] = k == 2 ? bytes / size : 1;
      if (CHECK(load(&s, "", 1, k % 2, &t) == LQ_OK, "weight of dtype %d, shape %d", dtype, k)) {
        float *y = decode(t, LQ_F32);
        CHECK(lq_tensor_dtype(t) == LQ_F32 && y != NULL, "dtype");
        free(y);
        lq_tensor_destroy(t);
      }
    }
  }
  free_parts(&s);
}

static void test_int8_forms(void)
{
  struct parts s = parts_of("method=int8", LQ_LAYOUT_BITSANDBYTES);
  lq_plane *scb = part(&s, "SCB"), *format = part(&s, "weight_format");
  lq_tensor *t;
  test_in("int8 forms");
  scb->ndim = 2;
  scb->dims[1] = 1;
  if (CHECK(load(&s, "", 1, 0, &t) == LQ_OK, "SCB [N, 1]"))
    lq_tensor_destroy(t);
  format->ndim = 1;
  format->dims[0] = 1;
  if (CHECK(load(&s, "", 1, 0, &t) == LQ_OK, "weight_format [1]"))
    lq_tensor_destroy(t);
  for (int k = 1; k < 256; k++) {
    *s.memory[format - s.p] = (char)k;
    refused(&s, LQ_E_UNSUPPORTED, "weight_format other than 0");
  }
  *format = s.p[--s.n]; /* absent: row-major */
  if (CHECK(load(&s, "", 1, 0, &t) == LQ_OK, "no weight_format"))
    lq_tensor_destroy(t);
  s.n++;
  free_parts(&s);
}

/*
 * What the reference makes of NaN and infinity can be stored and read again by those who ask for
 * it; its JSON text spells them as Python does.
 */
static void test_nonfinite_state(void)
{
  static const struct {
    float x;
    const char *text;
  } cases[] = {{NAN, "\"nested_offset\": NaN}"}, {INFINITY, "\"nested_offset\": Infinity}"}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    float keep = weights[5];
    char text[512] = "";
    lq_tensor *t;
    test_in("state with %s", cases[k].text);
    weights[5] = cases[k].x;
    struct parts s =
        parts_of("method=nf4 nested=1 compat=bitsandbytes-cpu", LQ_LAYOUT_BITSANDBYTES);
    weights[5] = keep;
    const lq_plane *p = part(&s, "weight.quant_state.bitsandbytes__nf4");
    if (p)
      memcpy(text, p->data, (size_t)p->bytes);
    CHECK(strstr(text, cases[k].text) != NULL, "%s", text);
    refused(&s, LQ_E_NONFINITE, "not asked for");
    if (CHECK(load(&s, "nonfinite=propagate", 1, 0, &t) == LQ_OK, "propagate")) {
      float *y = decode(t, LQ_F32);
      CHECK(y && !isfinite(y[5]), "the value is %g", y ? (double)y[5] : 0);
      free(y);
      lq_tensor_destroy(t);
    }
    free_parts(&s);
  }
}

static void test_arguments(void)
{
  struct parts s = parts_of("method=nf4", LQ_LAYOUT_BITSANDBYTES);
  lq_config *config = new_config("");
  lq_tensor *t = NULL;
  test_in("arguments");
  CHECK(lq_tensor_from_planes(NULL, s.layout, s.p, s.n, 0, NULL, 0, &t) == LQ_E_ARGUMENT && !t,
        "no config");
  CHECK(lq_tensor_from_planes(config, s.layout, NULL, s.n, 0, NULL, 0, &t) == LQ_E_ARGUMENT && !t,
        "no planes");
  CHECK(lq_tensor_from_planes(config, s.layout, s.p, s.n, 0, NULL, 0, NULL) == LQ_E_ARGUMENT,
        "no out");
  s.p[0].size = 8;
  CHECK(lq_tensor_from_planes(config, s.layout, s.p, s.n, 0, NULL, 0, &t) == LQ_E_VERSION && !t,
        "size 8");
  lq_config_destroy(config);
  free_parts(&s);
}

int main(void)
{
  fill_weights();
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    test_round_trip(kinds[k]);
    for (int32_t layout = LQ_LAYOUT_NATIVE; layout <= LQ_LAYOUT_BITSANDBYTES; layout++) {
      test_lies(kinds[k], layout);
      test_flips(kinds[k], layout);
    }
  }
  test_other_books();
  test_storage();
  test_int8_forms();
  test_nonfinite_state();
  test_arguments();
  return test_end();
}
