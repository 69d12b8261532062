/*
 * dequantize_lying.c - fuzz target: the planes of a tensor, some of them changed in type, shape,
 * size, name or content. What lq_tensor_from_planes accepts can be computed with.
 */
#include "fuzz.h"

enum { PLANES = 12, MOST = 1 << 16 };

typedef struct state {
  lq_plane p[PLANES];
  void *memory[PLANES]; /* of exactly p[i].bytes */
  uint32_t n;
} state;

/* Another block of `bytes` bytes with what was there, and zeros. */
static void resize(state *s, uint32_t i, size_t bytes)
{
  void *old = s->memory[i];
  size_t known = (size_t)s->p[i].bytes < bytes ? (size_t)s->p[i].bytes : bytes;
  s->memory[i] = test_alloc(bytes);
  if (known != 0)
    memcpy(s->memory[i], s->p[i].data, known);
  s->p[i].data = s->memory[i];
  s->p[i].bytes = bytes;
  free(old);
}

static void lie(state *s, fuzz_in *in)
{
  static const char *const names[] = {
      "weight",       "SCB",    "codes",  "scales", "zeros",    "g_idx",           "meta",
      "type",         "blocks", "qzeros", "",       "outliers", "outlier_columns", "codebook",
      "nested_scales"};
  uint32_t i = fuzz_u8(in) % s->n, at;
  lq_plane *p = &s->p[i];
  switch (fuzz_below(in, 9)) {
  case 0: p->dtype = (int32_t)fuzz_below(in, 9); break;
  case 1: p->ndim = fuzz_below(in, 10); break;
  case 2: p->dims[fuzz_below(in, 8)] = fuzz_u8(in); break;
  case 3: p->dims[fuzz_below(in, 8)] = fuzz_u64(in); break;
  case 4: resize(s, i, fuzz_u16(in)); break;
  case 5: p->name = fuzz_word(in, names, 15); break;
  case 6:
    s->n--;
    free(s->memory[s->n]);
    s->memory[s->n] = NULL;
    break;
  case 7: /* one dimension of as many elements, as bytes say */
    resize(s, i, fuzz_u16(in));
    p->ndim = 1;
    p->dims[0] = p->bytes / (element_size(p->dtype) ? element_size(p->dtype) : 1);
    break;
  default:
    at = fuzz_u16(in);
    if (p->bytes != 0)
      fuzz_take(in, (char *)s->memory[i] + at % p->bytes, 1);
  }
}

static void compute(const lq_tensor *t)
{
  uint64_t n = lq_tensor_dim(t, 0), k = lq_tensor_dim(t, 1), count = tensor_elements(t);
  if (lq_tensor_ndim(t) != 2 || count > MOST || n > MOST || k > MOST)
    return;
  float *x = test_alloc((size_t)(20 * k + 20 * n) * sizeof *x), *y = x + 20 * k;
  lq_config *fast = new_config("compute=fast threads=1");
  free(decode(t, LQ_F32));
  CHECK(lq_matmul(t, 2, LQ_F32, x, k, NULL, LQ_F32, y, n, NULL) == LQ_OK, "matmul");
  CHECK(lq_matmul(t, 20, LQ_F32, x, k, NULL, LQ_F32, y, n, fast) == LQ_OK, "matmul, fast");
  CHECK(lq_matmul_transposed(t, 2, LQ_F32, y, n, LQ_F32, x, k, NULL) == LQ_OK, "transposed");
  for (int32_t layout = LQ_LAYOUT_NATIVE; layout <= LQ_LAYOUT_AWQ; layout++) {
    lq_tensor *c = NULL;
    if (lq_tensor_convert(NULL, t, layout, &c) == LQ_OK)
      free(decode(c, LQ_F32));
    lq_tensor_destroy(c);
  }
  lq_config_destroy(fast);
  free(x);
}

static void try_planes(const state *s, int32_t layout, uint32_t borrow)
{
  lq_config *config = new_config(borrow & 2 ? "nonfinite=propagate" : "");
  lq_tensor *t = NULL;
  lq_status st =
      lq_tensor_from_planes(config, layout, s->p, s->n, 0, NULL, (int32_t)(borrow & 1), &t);
  CHECK((st == LQ_OK) == (t != NULL) && (st == LQ_OK) == !*lq_config_error_text(config),
        "status %d, text \"%s\"", st, lq_config_error_text(config));
  if (t)
    compute(t);
  lq_tensor_destroy(t);
  lq_config_destroy(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_in in = {data, size};
  state s = {.n = 0};
  char options[128];
  lq_tensor *t = NULL;
  uint32_t lies = 1 + fuzz_below(&in, 6), borrow = fuzz_u8(&in);
  int32_t layout = (int32_t)(1 + fuzz_below(&in, 5));
  fuzz_options(&in, options);
  fuzz_in lying = in;
  lq_tensor *dense = fuzz_weight(&in, 224), *q = dense ? fuzz_quantize(dense, options) : NULL;
  if (q && lq_tensor_convert(NULL, q, layout, &t) == LQ_OK)
    s.n = lq_tensor_plane_count(t, layout);
  for (uint32_t i = 0; i < s.n && CHECK(s.n <= PLANES, "%u planes", s.n); i++) {
    s.p[i].size = sizeof *s.p;
    CHECK(lq_tensor_plane(t, layout, i, &s.p[i]) == LQ_OK, "plane %u", i);
    resize(&s, i, (size_t)s.p[i].bytes);
  }
  lying.at += lying.left < 4 ? lying.left : 4;
  lying.left -= lying.left < 4 ? lying.left : 4;
  for (uint32_t i = 0; i < lies && s.n > 1; i++)
    lie(&s, &lying);
  if (s.n != 0)
    try_planes(&s, layout, borrow);
  for (uint32_t i = 0; i < PLANES; i++)
    free(s.memory[i]);
  lq_tensor_destroy(t);
  lq_tensor_destroy(q);
  lq_tensor_destroy(dense);
  return fuzz_end();
}
