/*
 * test_lying_state.c - proves that what planes and saved calibrations say about themselves is
 * checked when the handle is made: lies are refused, and whatever is accepted is computed with
 * without a look beyond the planes.
 *
 * For every method of the registry and every layout: planes a little shorter or longer, shapes that
 * are others, each number of the describing text replaced by ones that break divisions, products
 * and conversions, and random changes of texts, indices and scales. Planes are borrowed and end at
 * an unreadable page, so that a computation which believes a lie ends the test.
 */
#include "guard.h"

#include "helpers.h"

enum { ARENAS = 10, MOST_PLANES = 9, ROWS = 32, COLUMNS = 96, MOST_TEXT = 600 };

static struct guard arena[ARENAS];
static float weights[ROWS * COLUMNS];
static uint64_t random_state = 77;

/* The planes of one tensor, each at the end of its arena. */
struct state {
  lq_plane p[MOST_PLANES];
  char *truth[MOST_PLANES]; /* their bytes */
  uint32_t n;
  int32_t layout;
  uint64_t dims[2];
};

/* Plane i holds n elements from `data`; what is behind the first `known` bytes of it is 0. */
static void put(struct state *s, uint32_t i, const void *data, size_t known, uint64_t n)
{
  lq_plane *p = &s->p[i];
  size_t size = element_size(p->dtype), bytes = (size_t)n * size;
  p->data = place(&arena[i], (size_t)n, size, 0);
  memset(arena[i].object, 0, bytes);
  memcpy(arena[i].object, data, known < bytes ? known : bytes);
  p->bytes = bytes;
}

/* As it was. */
static void restore(struct state *s, uint32_t i)
{
  put(s, i, s->truth[i], (size_t)s->p[i].bytes, s->p[i].bytes / element_size(s->p[i].dtype));
}

static struct state state_of(const lq_tensor *t, int32_t layout)
{
  struct state s = {.layout = layout, .dims = {lq_tensor_dim(t, 0), lq_tensor_dim(t, 1)}};
  s.n = lq_tensor_plane_count(t, layout);
  if (!CHECK(s.n <= MOST_PLANES, "%u planes", s.n))
    exit(2);
  for (uint32_t i = 0; i < s.n; i++) {
    s.p[i].size = sizeof s.p[i];
    CHECK(lq_tensor_plane(t, layout, i, &s.p[i]) == LQ_OK, "plane %u", i);
    s.truth[i] = test_alloc((size_t)s.p[i].bytes);
    memcpy(s.truth[i], s.p[i].data, (size_t)s.p[i].bytes);
    restore(&s, i);
  }
  return s;
}

static int is_text(const lq_plane *p)
{
  return strstr(p->name, "quant_state") || !strcmp(p->name, "meta");
}

/* ---- what is done with a tensor that was accepted ---- */

static void compute(const lq_tensor *t)
{
  uint64_t n = lq_tensor_dim(t, 0), k = lq_tensor_dim(t, 1), count = tensor_elements(t);
  if (lq_tensor_ndim(t) != 2 || count > 100000 || n > 10000 || k > 10000)
    return;
  float *x = test_alloc((size_t)(2 * (n + k) * sizeof *x)), *y = x + 2 * k;
  int32_t *integers = test_alloc((size_t)(n * n + 1) * sizeof *integers);
  free(decode(t, LQ_F32));
  free(decode(t, LQ_F16));
  lq_status s = lq_matmul(t, 2, LQ_F32, x, k, NULL, LQ_F32, y, n, NULL);
  CHECK(s == LQ_OK, "matmul: %d", s);
  s = lq_matmul_transposed(t, 2, LQ_F32, y, n, LQ_F32, x, k, NULL);
  CHECK(s == LQ_OK, "matmul_transposed: %d", s);
  if (n <= 1000)
    (void)lq_matmul_int8(t, t, NULL, LQ_I32, integers, n, NULL);
  for (int32_t layout = LQ_LAYOUT_NATIVE; layout <= LQ_LAYOUT_AWQ; layout++) {
    lq_tensor *c = NULL;
    if (lq_tensor_convert(NULL, t, layout, &c) == LQ_OK)
      free(decode(c, LQ_F32));
    lq_tensor_destroy(c);
  }
  free(integers);
  free(x);
}

/* Makes a tensor of the planes and computes with it if that is possible. */
static lq_status try_dims(const struct state *s, uint32_t ndim, const uint64_t *dims)
{
  lq_status st = LQ_OK;
  for (int borrow = 0; borrow < 2; borrow++) {
    lq_tensor *t = NULL;
    lq_config *config = new_config(borrow ? "nonfinite=propagate" : "");
    st = lq_tensor_from_planes(config, s->layout, s->p, s->n, ndim, dims, borrow, &t);
    CHECK((st == LQ_OK) == (t != NULL), "status %d", st);
    CHECK(st == LQ_OK || *lq_config_error_text(config), "status %d without a text", st);
    if (t)
      compute(t);
    lq_tensor_destroy(t);
    lq_config_destroy(config);
  }
  return st;
}

static lq_status try_state(const struct state *s)
{
  return try_dims(s, 2, s->dims);
}

/* ---- lies ---- */

/* One element less or more, as one dimension and in the plane's own shape. */
static void sizes(struct state *s, uint32_t i)
{
  size_t bytes = (size_t)s->p[i].bytes;
  uint64_t n = bytes / element_size(s->p[i].dtype);
  for (int step = -1; step < 2; step += 2) {
    struct state bad = *s;
    if ((step < 0 && n == 0) || (is_text(&s->p[i]) && step > 0))
      continue;
    put(&bad, i, s->truth[i], bytes, n + (uint64_t)step);
    bad.p[i].ndim = 1;
    bad.p[i].dims[0] = n + (uint64_t)step;
    lq_status st = try_state(&bad);
    CHECK(st != LQ_OK || !strcmp(bad.p[i].name, "weight_format"), "%s with %d more: accepted",
          bad.p[i].name, step);
    restore(s, i);
    for (uint32_t d = 0; d < s->p[i].ndim; d++) {
      bad = *s;
      bad.p[i].dims[d] += (uint64_t)step;
      CHECK(try_state(&bad) != LQ_OK, "dimension %u with %d more: accepted", d, step);
    }
  }
}

static void shapes(const struct state *s)
{
  const uint64_t n = s->dims[0], k = s->dims[1], most = UINT64_MAX;
  const uint64_t bad[][3] = {{n + 1, k},   {n, k + 1},      {n - 1, k},     {n, k - 1},   {k, n},
                             {0, 0},       {0, k},          {n, 0},         {most, most}, {most, k},
                             {1ull << 63}, {1ull << 62, 8}, {1ull << 32, k}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK(try_dims(s, 2, bad[i]) != LQ_OK, "shape [%llu, %llu]: accepted",
          (unsigned long long)bad[i][0], (unsigned long long)bad[i][1]);
  const uint64_t flat[1] = {n * k}, three[3] = {1, n, k};
  CHECK(try_dims(s, 1, flat) != LQ_OK && try_dims(s, 3, three) != LQ_OK, "another rank: accepted");
  CHECK(try_dims(s, LQ_MAX_DIMS + 1, three) != LQ_OK, "9 dimensions: accepted");
}

/* The text with the number at `at` replaced. */
static void replace(const char *text, size_t at, const char *number, char *out)
{
  size_t length = strspn(text + at, "0123456789");
  snprintf(out, MOST_TEXT, "%.*s%s%s", (int)at, text, number, text + at + length);
}

static void numbers(struct state *s, uint32_t i)
{
  static const char *const lies[] = {
      "0",          "-1",         "-64",        "1",
      "2",          "7",          "8",          "12",
      "63",         "65",         "128",        "4096",
      "65536",      "2147483648", "4294967296", "4294967360",
      "1073741824", "1e3",        "64.0",       "9223372036854775808",
      "null",       "\"64\"",     "[64]",       "18446744073709551616",
      "true",       "NaN",        "-Infinity",  "18446744073709551615",
  };
  char text[MOST_TEXT] = "", lie[MOST_TEXT];
  memcpy(text, s->truth[i], (size_t)s->p[i].bytes);
  for (size_t at = 0; text[at]; at += strspn(text + at, "0123456789.e-") + 1) {
    at += strcspn(text + at, "0123456789");
    if (!text[at])
      break;
    if (at && text[at - 1] != ' ' && text[at - 1] != '[') /* part of a name */
      continue;
    for (size_t k = 0; k < sizeof lies / sizeof *lies; k++) {
      struct state bad = *s;
      if (!test_takes(4))
        continue;
      replace(text, at, lies[k], lie);
      test_in("%.150s", lie);
      put(&bad, i, lie, strlen(lie), strlen(lie));
      bad.p[i].dims[0] = strlen(lie);
      lq_status st = try_state(&bad);
      /* What no size is; the offset of nested scales is a number like others. */
      int is_offset = at > 9 && !memcmp(text + at - 9, "offset\": ", 9);
      int impossible =
          lies[k][0] == '"' || lies[k][0] == '[' || (!is_offset && strlen(lies[k]) > 18);
      CHECK(st != LQ_OK || !impossible, "accepted");
    }
  }
  restore(s, i);
}

/* Up to three bits anywhere in a plane. */
static void flips(struct state *s, int times)
{
  while (times-- > 0) {
    uint32_t i = (uint32_t)rng_below(&random_state, s->n);
    uint64_t bytes = s->p[i].bytes;
    for (uint64_t k = rng_below(&random_state, 3) + 1; bytes && k-- != 0;)
      arena[i].object[rng_below(&random_state, bytes)] ^=
          (unsigned char)(1 << rng_below(&random_state, 8));
    (void)try_state(s);
    restore(s, i);
  }
}

static void one(const char *options, int32_t layout)
{
  const uint64_t dims[2] = {ROWS, COLUMNS};
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, weights, options), *c = NULL;
  if (!t || lq_tensor_obstacle(t, layout)) {
    lq_tensor_destroy(t);
    return;
  }
  CHECK(lq_tensor_convert(NULL, t, layout, &c) == LQ_OK, "convert");
  struct state s = state_of(c, layout);
  test_in("%s, layout %d", options, layout);
  CHECK(try_state(&s) == LQ_OK, "the truth is refused");
  shapes(&s);
  for (uint32_t i = 0; i < s.n; i++) {
    test_in("%s, layout %d, %s", options, layout, s.p[i].name);
    sizes(&s, i);
    if (is_text(&s.p[i]))
      numbers(&s, i);
  }
  test_in("%s, layout %d, flips", options, layout);
  flips(&s, test_is_long() ? 20000 : 300);
  CHECK(try_state(&s) == LQ_OK, "the truth is refused afterwards");
  for (uint32_t i = 0; i < s.n; i++)
    free(s.truth[i]);
  lq_tensor_destroy(t);
  lq_tensor_destroy(c);
}

static void test_planes(void)
{
  static const char *const more[] = {
      "method=nf4 nested=1 block_size=32 nested_block_size=16",
      "method=dynamic8 nested=1 block_size=64",
      "method=int8 threshold=2.5",
      "method=affine group_size=32 symmetric=0",
      "method=affine bits=3 group_size=24 nested=1 symmetric=0",
      "method=affine bits=8 group_size=-1",
  };
  for (int32_t layout = LQ_LAYOUT_NATIVE; layout <= LQ_LAYOUT_AWQ; layout++) {
    for (uint32_t i = 0; i < lq_method_count(); i++) {
      char options[64];
      if (method_options(i, options))
        one(options, layout);
    }
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
      one(more[i], layout);
  }
}

/* ---- saved calibrations ---- */

/* Refused, or a state that can be run and saved. */
static void try_image(const char *options, const void *image, size_t bytes, int whole)
{
  const uint64_t dims[2] = {3, 16};
  lq_quantizer *q = NULL;
  lq_tensor *t = NULL;
  lq_config *config = new_config(options);
  lq_tensor *dense = wrap(LQ_F32, 2, dims, weights);
  CHECK(lq_quantizer_create(config, &q) == LQ_OK, "create");
  void *copy = place(&arena[0], bytes, 1, 0);
  memcpy(copy, image, bytes);
  lq_status s = lq_quantizer_load(q, copy, bytes);
  CHECK(whole ? s == LQ_OK || s == LQ_E_LAYOUT || s == LQ_E_NONFINITE || s == LQ_E_STATE ||
                    s == LQ_E_VERSION
              : s == LQ_E_LAYOUT,
        "load: %d", s);
  if (s == LQ_OK) {
    s = lq_quantizer_run(q, dense, &t);
    CHECK((s == LQ_OK) == (t != NULL), "run: %d", s);
  } else {
    CHECK(lq_quantizer_save_bytes(q) == 0, "something was loaded");
  }
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(q);
  lq_config_destroy(config);
}

static void test_saved(const char *options)
{
  lq_quantizer *q = NULL;
  lq_config *config = new_config(options);
  int paired = strstr(options, "correction") != NULL;
  CHECK(lq_quantizer_create(config, &q) == LQ_OK, "create");
  lq_status s = paired ? lq_quantizer_observe_pair(q, 40, 16, LQ_F32, weights, 16, weights + 1, 16)
                       : lq_quantizer_observe(q, 40, 16, LQ_F32, weights, 16);
  CHECK(s == LQ_OK, "observe: %d", s);
  size_t bytes = (size_t)lq_quantizer_save_bytes(q);
  unsigned char *image = test_alloc(bytes + 8);
  CHECK(lq_quantizer_save(q, image, bytes) == LQ_OK, "save");
  for (size_t cut = 0; cut < bytes; cut++) {
    test_in("%s, cut to %zu", options, cut);
    if (test_takes(8))
      try_image(options, image, cut, 0);
  }
  test_in("%s, longer", options);
  try_image(options, image, bytes + 1, 0);
  try_image(options, image, bytes + 8, 0);
  for (size_t at = 0; at < (bytes < 96 ? bytes : 96); at++)
    for (int bit = 0; bit < 8; bit++) {
      if (!test_takes(8))
        continue;
      test_in("%s, bit %d of byte %zu", options, bit, at);
      image[at] ^= (unsigned char)(1 << bit);
      try_image(options, image, bytes, 1);
      image[at] ^= (unsigned char)(1 << bit);
    }
  free(image);
  lq_quantizer_destroy(q);
  lq_config_destroy(config);
}

int main(void)
{
  for (int i = 0; i < ARENAS; i++)
    guard_create(&arena[i]);
  for (int i = 0; i < ROWS * COLUMNS; i++)
    weights[i] = rng_normal(&random_state);
  test_planes();
  test_saved("method=gptq group_size=8");
  test_saved("method=gptq group_size=8 input_correction=0.5");
  return test_end();
}
