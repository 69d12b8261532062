/*
 * gptq_small.c - fuzz target: calibration of small layers with inputs of any bits. Levels agree,
 * what was observed is the same after it was saved and loaded, and saved bytes that were changed do
 * no harm.
 */
#include "fuzz.h"

enum { MOST_COLUMNS = 96, MOST_X = 48 * MOST_COLUMNS };

typedef struct layer {
  lq_tensor *dense;
  float x[MOST_X];
  uint64_t rows, columns;
  char options[192];
  int pairs;
} layer;

static void options_of(fuzz_in *in, layer *l)
{
  static const char *const storage[] = {"storage=nf4",
                                        "storage=fp4",
                                        "bits=4 group_size=32",
                                        "bits=3 group_size=8",
                                        "bits=2 group_size=-1 symmetric=0",
                                        "bits=8 group_size=64 mse=2.4"};
  static const char *const order[] = {"order=none", "order=activation", "order=groups",
                                      "order=activation static_groups=0"};
  static const char *const damping[] = {"", "damping=0", "damping=1", "nonfinite=saturate"};
  l->pairs = fuzz_u8(in) % 4 == 0;
  const char *a = fuzz_word(in, storage, 6), *b = fuzz_word(in, order, 4);
  snprintf(l->options, sizeof l->options, "method=gptq threads=1 %s %s %s%s", a, b,
           fuzz_word(in, damping, 4), l->pairs ? " input_correction=0.25" : "");
}

static lq_quantizer *observed(const layer *l)
{
  lq_config *config = new_config(l->options);
  lq_quantizer *q = NULL;
  lq_status s = lq_quantizer_create(config, &q);
  lq_config_destroy(config);
  if (s != LQ_OK)
    return NULL;
  s = l->pairs ? lq_quantizer_observe_pair(q, l->rows, l->columns, LQ_F32, l->x, l->columns, l->x,
                                           l->columns)
               : lq_quantizer_observe(q, l->rows, l->columns, LQ_F32, l->x, l->columns);
  CHECK(s == LQ_OK || (s == LQ_E_NONFINITE && *lq_quantizer_error_text(q)), "observe: %d", s);
  return q;
}

static lq_tensor *run(lq_quantizer *q, const layer *l)
{
  lq_tensor *t = NULL;
  lq_status s = lq_quantizer_run(q, l->dense, &t);
  CHECK((s == LQ_OK) == (t != NULL) && (s == LQ_OK) == !*lq_quantizer_error_text(q),
        "%s: %d \"%s\"", l->options, s, lq_quantizer_error_text(q));
  CHECK(s != LQ_E_INTERNAL && s != LQ_E_ARGUMENT, "%s: %d", l->options, s);
  return t;
}

/* Into another quantizer, as it was and then with bytes changed. */
static void save_and_load(lq_quantizer *q, const layer *l, const lq_tensor *want, fuzz_in *in)
{
  lq_config *config = new_config(l->options);
  lq_quantizer *other = NULL;
  size_t n = (size_t)lq_quantizer_save_bytes(q);
  uint8_t *bytes = test_alloc(n);
  if (n != 0 && CHECK(lq_quantizer_create(config, &other) == LQ_OK, "create")) {
    CHECK(lq_quantizer_save(q, bytes, n) == LQ_OK, "save");
    CHECK(lq_quantizer_load(other, bytes, n) == LQ_OK, "load: %s", lq_quantizer_error_text(other));
    lq_tensor *t = run(other, l);
    CHECK((t != NULL) == (want != NULL) && (!t || same_planes(t, want)), "after loading");
    lq_tensor_destroy(t);
    for (int i = 0; i < 8 && in->left != 0; i++)
      fuzz_take(in, bytes + fuzz_u16(in) % n, 1);
    if (lq_quantizer_load(other, bytes, n - fuzz_u8(in) % 2) == LQ_OK)
      lq_tensor_destroy(run(other, l));
  }
  free(bytes);
  lq_quantizer_destroy(other);
  lq_config_destroy(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static layer l;
  fuzz_in in = {data, size};
  options_of(&in, &l);
  uint64_t seed = fuzz_u8(&in);
  l.rows = 1 + fuzz_below(&in, 48);
  l.dense = fuzz_weight(&in, MOST_COLUMNS);
  l.columns = l.dense ? lq_tensor_dim(l.dense, 1) : 0;
  if (!l.dense || l.rows * l.columns > MOST_X)
    exit(2);
  for (uint64_t i = 0; i < l.rows * l.columns; i++)
    l.x[i] = rng_normal(&seed);
  for (int i = 0; i < 8 && in.left != 0; i++)
    fuzz_take(&in, l.x + fuzz_u16(&in) % (l.rows * l.columns), sizeof *l.x);
  lq_cpu_limit("scalar");
  lq_quantizer *a = observed(&l);
  lq_tensor *t = a ? run(a, &l) : NULL;
  lq_cpu_limit(NULL);
  lq_quantizer *b = observed(&l);
  lq_tensor *u = b ? run(b, &l) : NULL;
  CHECK((t != NULL) == (u != NULL) && (!t || same_planes(t, u)), "%s: levels differ", l.options);
  if (b)
    save_and_load(b, &l, u, &in);
  lq_tensor_destroy(t);
  lq_tensor_destroy(u);
  lq_quantizer_destroy(a);
  lq_quantizer_destroy(b);
  lq_tensor_destroy(l.dense);
  return fuzz_end();
}
