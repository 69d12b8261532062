/*
 * test_gguf.c - proves the block types of GGUF files against ggml's values (tests/vectors/gguf),
 * bit for bit, and that such tensors are tensors like any other: rows, halves, products, planes and
 * back.
 *
 * Blocks come from any address, and stand in memory of exactly their size. What contradicts itself
 * is refused with a text, as is every attempt to encode.
 */
#include "helpers.h"
#include "vectors.h"

static const char *vectors;

/* ---- making tensors ---- */

static int32_t type_named(const char *name, lq_ggml_type *out)
{
  for (int32_t id = 0; id < 64; id++) {
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    if (lq_ggml_type_info(id, out) == LQ_OK && !strcmp(out->name, name))
      return id;
  }
  return -1;
}

struct blocks {
  int32_t type;
  uint32_t ndim;
  uint64_t plane_dims[4]; /* of the bytes */
  const void *data;
  uint64_t bytes;
  const uint64_t *dims; /* NULL: by the plane */
  uint32_t dims_count;
  const char *options;
  int32_t borrow;
};

static lq_status make(const struct blocks *b, lq_tensor **out, char text[256])
{
  lq_config *config = new_config(b->options ? b->options : "");
  lq_plane p[2] = {
      {.size = sizeof *p,
       .dtype = LQ_U8,
       .ndim = b->ndim,
       .bytes = b->bytes,
       .name = "blocks",
       .data = b->data},
      {.size = sizeof *p, .dtype = LQ_I32, .bytes = 4, .name = "type", .data = &b->type}};
  memcpy(p[0].dims, b->plane_dims, sizeof b->plane_dims);
  lq_status s =
      lq_tensor_from_planes(config, LQ_LAYOUT_GGML, p, 2, b->dims_count, b->dims, b->borrow, out);
  CHECK((s == LQ_OK) == (*out != NULL) && (s == LQ_OK) == !*lq_config_error_text(config),
        "status %d with text \"%s\"", s, lq_config_error_text(config));
  snprintf(text, 256, "%s", lq_config_error_text(config));
  lq_config_destroy(config);
  return s;
}

static lq_tensor *must_make(const struct blocks *b)
{
  char text[256];
  lq_tensor *t = NULL;
  lq_status s = make(b, &t, text);
  CHECK(s == LQ_OK, "from_planes: %d %s", s, text);
  return t;
}

/* ---- values ---- */

static void check_values(const lq_tensor *t, const float *want)
{
  uint64_t n = tensor_elements(t);
  float *got = decode(t, LQ_F32);
  uint64_t at = got ? first_difference(got, want, LQ_F32, n, 0) : 0;
  CHECK(at == n, "element %llu of %llu", (unsigned long long)at, (unsigned long long)n);
  for (int32_t dtype = LQ_F16; dtype <= LQ_BF16; dtype++) {
    uint16_t *half = decode(t, dtype), *expected = array_of(want, n, dtype);
    at = half ? first_difference(half, expected, dtype, n, 0) : 0;
    CHECK(at == n, "element %llu in dtype %d", (unsigned long long)at, dtype);
    free(half);
    free(expected);
  }
  free(got);
}

static void check_rows(const lq_tensor *t, const float *want)
{
  uint64_t rows = lq_tensor_dim(t, 0), cols = lq_tensor_dim(t, 1);
  float *got = test_alloc((size_t)(rows * cols) * sizeof *got);
  for (uint64_t r = 0; r + 1 < rows; r += 3) {
    lq_status s = lq_dequantize_rows(t, r, 2, LQ_F32, got, (size_t)(2 * cols) * sizeof *got, NULL);
    CHECK(s == LQ_OK && first_difference(got, want + r * cols, LQ_F32, 2 * cols, 0) == 2 * cols,
          "rows %llu and on", (unsigned long long)r);
  }
  free(got);
}

/* The same bytes as few long rows, and as one row given by its shape alone. */
static void check_shapes(const struct blocks *b, const lq_ggml_type *type, const float *want)
{
  const uint64_t n = b->bytes / type->bytes * type->elements;
  const uint64_t two[3] = {2, 1, n / 2}, one[1] = {n};
  struct blocks c = *b;
  lq_tensor *t;
  c.ndim = 3;
  c.plane_dims[0] = 2;
  c.plane_dims[1] = 1;
  c.plane_dims[2] = b->bytes / 2;
  if (b->bytes / type->bytes % 2 == 0 && (t = must_make(&c)) != NULL) {
    CHECK(lq_tensor_ndim(t) == 3 && lq_tensor_dim(t, 2) == n / 2, "shape by the plane");
    check_values(t, want);
    lq_tensor_destroy(t);
    c.ndim = 1;
    c.plane_dims[0] = b->bytes;
    c.dims = two;
    c.dims_count = 3;
    t = must_make(&c);
    check_values(t, want);
    lq_tensor_destroy(t);
  }
  c.ndim = 1;
  c.plane_dims[0] = b->bytes;
  c.dims = one;
  c.dims_count = 1;
  t = must_make(&c);
  check_values(t, want);
  lq_tensor_destroy(t);
}

/* Products equal those of the dense weights that it decodes to. */
static void check_products(const lq_tensor *t, const float *want)
{
  enum { M = 19 };
  uint64_t n = lq_tensor_dim(t, 0), k = lq_tensor_dim(t, 1), seed = 5;
  const uint64_t dims[2] = {n, k};
  float *x = test_alloc((size_t)(M * (n + k)) * sizeof *x);
  float *y = test_alloc((size_t)(M * (n + k)) * sizeof *y);
  float *z = test_alloc((size_t)(M * (n + k)) * sizeof *z);
  lq_tensor *dense = wrap(LQ_F32, 2, dims, want);
  lq_config *how = new_config("threads=3");
  for (uint64_t i = 0; i < M * (n + k); i++)
    x[i] = rng_normal(&seed);
  for (uint64_t m = 1; m <= M; m += 9) {
    CHECK(lq_matmul(t, m, LQ_F32, x, k, NULL, LQ_F32, y, n, how) == LQ_OK &&
              lq_matmul(dense, m, LQ_F32, x, k, NULL, LQ_F32, z, n, how) == LQ_OK &&
              first_difference(y, z, LQ_F32, m * n, 0) == m * n,
          "lq_matmul, %d rows", (int)m);
    CHECK(lq_matmul_rows(t, 1, n - 1, m, LQ_F32, x, k, NULL, LQ_F32, y, n, how) == LQ_OK &&
              lq_matmul_rows(dense, 1, n - 1, m, LQ_F32, x, k, NULL, LQ_F32, z, n, how) == LQ_OK &&
              first_difference(y, z, LQ_F32, n - 1, 0) == n - 1,
          "lq_matmul_rows, %d rows", (int)m);
    CHECK(lq_matmul_transposed(t, m, LQ_F32, x, n, LQ_F32, y, k, how) == LQ_OK &&
              lq_matmul_transposed(dense, m, LQ_F32, x, n, LQ_F32, z, k, how) == LQ_OK &&
              first_difference(y, z, LQ_F32, m * k, 0) == m * k,
          "lq_matmul_transposed, %d rows", (int)m);
  }
  lq_metrics metrics = {.size = sizeof metrics};
  CHECK(lq_compare(t, dense, &metrics, how) == LQ_OK && metrics.max_error == 0, "lq_compare: %g",
        metrics.max_error);
  lq_config_destroy(how);
  lq_tensor_destroy(dense);
  free(x);
  free(y);
  free(z);
}

/* ---- planes ---- */

static lq_tensor *through_planes(const lq_tensor *t, int32_t layout)
{
  lq_config *config = new_config("");
  lq_plane p[4];
  lq_tensor *back = NULL;
  uint32_t count = lq_tensor_plane_count(t, layout);
  CHECK(count == 2, "%u planes", count);
  for (uint32_t i = 0; i < count; i++) {
    p[i] = (lq_plane){.size = sizeof *p};
    CHECK(lq_tensor_plane(t, layout, i, &p[i]) == LQ_OK &&
              elements(p[i].ndim, p[i].dims) * element_size(p[i].dtype) == p[i].bytes,
          "plane %u", i);
  }
  lq_status s = lq_tensor_from_planes(config, layout, p, count, 0, NULL, 0, &back);
  CHECK(s == LQ_OK, "layout %d: %d %s", layout, s, lq_config_error_text(config));
  lq_config_destroy(config);
  return back;
}

static void check_planes(const lq_tensor *t, const lq_ggml_type *type, const float *want)
{
  static const int32_t layouts[] = {LQ_LAYOUT_GGML, LQ_LAYOUT_NATIVE};
  int64_t value = -1;
  lq_tensor *copy = NULL;
  CHECK(lq_tensor_method(t) == LQ_GGML && lq_tensor_dtype(t) == LQ_F32 &&
            lq_tensor_get_i64(t, LQ_KEY_BLOCK_TYPE, &value) == LQ_OK && value == type->type,
        "type %d", (int)value);
  CHECK(lq_tensor_bits_per_weight(t) == 8.0 * type->bytes / type->elements, "%g bits per weight",
        lq_tensor_bits_per_weight(t));
  for (int i = 0; i < 2; i++) {
    lq_tensor *back = through_planes(t, layouts[i]);
    CHECK(same_planes(t, back), "layout %d", layouts[i]);
    if (back)
      check_values(back, want);
    lq_tensor_destroy(back);
  }
  CHECK(lq_tensor_clone(NULL, t, &copy) == LQ_OK && same_planes(t, copy), "clone");
  lq_tensor_destroy(copy);
  CHECK(lq_tensor_convert(NULL, t, LQ_LAYOUT_GGML, &copy) == LQ_OK && same_planes(t, copy),
        "convert to its own layout");
  lq_tensor_destroy(copy);
  CHECK(lq_tensor_convert(NULL, t, LQ_LAYOUT_GPTQ, &copy) == LQ_E_UNSUPPORTED && !copy &&
            lq_tensor_obstacle(t, LQ_LAYOUT_GPTQ) && lq_tensor_obstacle(t, LQ_LAYOUT_AWQ) &&
            lq_tensor_obstacle(t, LQ_LAYOUT_BITSANDBYTES) &&
            !lq_tensor_plane_count(t, LQ_LAYOUT_BITSANDBYTES),
        "layouts that have no such type");
}

/* ---- the vectors ---- */

static void test_type(const struct vec *packed, const struct vec *decoded, const char *name)
{
  lq_ggml_type type;
  struct blocks b = {.type = type_named(name, &type),
                     .ndim = 2,
                     .plane_dims = {packed->dims[0], packed->dims[1]},
                     .bytes = packed->bytes};
  if (!CHECK(b.type >= 0 && type.decodes && type.dtype == 0, "no such type"))
    return;
  CHECK(packed->dims[1] / type.bytes * type.elements == decoded->dims[1], "size of a block");
  /* At an odd address, with nothing behind it. */
  char *room = test_alloc((size_t)packed->bytes + 1);
  memcpy(room + 1, packed->data, (size_t)packed->bytes);
  for (b.borrow = 0; b.borrow < 2; b.borrow++) {
    b.data = room + 1;
    lq_tensor *t = must_make(&b);
    if (!t)
      break;
    check_values(t, decoded->data);
    check_rows(t, decoded->data);
    check_shapes(&b, &type, decoded->data);
    check_products(t, decoded->data);
    check_planes(t, &type, decoded->data);
    lq_tensor_destroy(t);
  }
  free(room);
}

static void test_vectors_of(const char *name)
{
  struct vec_file f;
  char path[64], head[128];
  int types = 0;
  snprintf(path, sizeof path, "gguf/%s", name);
  if (!CHECK(vec_open(&f, vectors, path), "%s/%s is not there", vectors, path))
    return;
  for (size_t i = 0; i < f.n; i++)
    if (vec_ends(&f.v[i], ".packed", head)) {
      const struct vec *decoded = vec_find(&f, "%s.decoded", head);
      test_in("%s %s", name, head);
      if (CHECK(decoded != NULL, "no values"))
        test_type(&f.v[i], decoded, head);
      types++;
    }
  test_in("%s", name);
  CHECK(types == 16, "%d types", types);
  vec_close(&f);
}

/* ---- all bytes of small parts ---- */

static float decode_one(int32_t type, const uint8_t *block, uint64_t bytes, int element)
{
  float all[256] = {0};
  lq_ggml_type info = {.size = sizeof info};
  struct blocks b = {
      .type = type, .ndim = 2, .plane_dims = {1, bytes}, .data = block, .bytes = bytes};
  lq_tensor *t = must_make(&b);
  lq_status s = lq_ggml_type_info(type, &info);
  if (s == LQ_OK)
    s = lq_dequantize(t, LQ_F32, all, info.elements * sizeof *all, NULL);
  CHECK(s == LQ_OK, "dequantize: %d", s);
  lq_tensor_destroy(t);
  return all[element];
}

/* Scales that are not f16: every byte against arithmetic in double precision. */
static void test_byte_scales(void)
{
  uint8_t mx[17] = {0, 0x07}, nv[36] = {0};
  nv[4] = 0x01;
  test_in("byte scales");
  for (int e = 0; e < 256; e++) {
    mx[0] = (uint8_t)e;
    float want = (float)(12.0 * ldexp(1.0, e - 128));
    CHECK(decode_one(39, mx, sizeof mx, 0) == want, "MXFP4 %d", e);
  }
  for (int e = 0; e < 128; e++) {
    nv[0] = (uint8_t)e;
    double scale = e == 127      ? 0
                   : e >> 3 == 0 ? (e & 7) * ldexp(1, -9)
                                 : (1 + (e & 7) / 8.0) * ldexp(1, (e >> 3) - 7);
    CHECK(decode_one(40, nv, sizeof nv, 0) == (float)(scale * 0.5), "NVFP4 %d", e);
  }
}

/* ---- refusals ---- */

static void refused(const struct blocks *b, lq_status want, const char *words)
{
  char text[256];
  lq_tensor *t = NULL;
  for (int borrow = 0; borrow < 2; borrow++) {
    struct blocks c = *b;
    c.borrow = borrow;
    lq_status s = make(&c, &t, text);
    CHECK(s == want && strstr(text, words), "%d \"%s\", not %d with \"%s\"", s, text, want, words);
    lq_tensor_destroy(t);
  }
}

static void test_refusals(void)
{
  static const int32_t unknown[] = {-1, 4, 5, 31, 33, 36, 38, 43, 999, INT32_MAX, INT32_MIN};
  static const int32_t others[] = {9, 15, 16, 17, 18, 19, 21, 22, 24, 25, 26, 27, 28, 29, 41, 42};
  static uint8_t data[36 * 256];
  const uint64_t wrong[2] = {2, 64}, flat[2] = {3, 16}, huge[2] = {UINT64_C(1) << 40, 1 << 20};
  struct blocks b = {.type = 2, .ndim = 2, .plane_dims = {2, 18}, .data = data, .bytes = 36};
  test_in("refusals");
  lq_tensor *t = must_make(&b);
  lq_tensor_destroy(t);
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    b.type = unknown[i];
    refused(&b, LQ_E_UNSUPPORTED, "type");
  }
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    lq_ggml_type info = {.size = sizeof info};
    CHECK(lq_ggml_type_info(others[i], &info) == LQ_OK && !info.decodes, "type %d", others[i]);
    struct blocks c = {.type = others[i],
                       .ndim = 2,
                       .plane_dims = {2, info.bytes},
                       .data = data,
                       .bytes = 2 * info.bytes};
    refused(&c, LQ_E_UNSUPPORTED, info.name);
  }
  b.type = 2;
  b.plane_dims[1] = 19;
  b.bytes = 38;
  refused(&b, LQ_E_LAYOUT, "whole rows of Q4_0");
  b.plane_dims[1] = 18;
  b.bytes = 36;
  b.dims = wrong;
  b.dims_count = 2;
  refused(&b, LQ_E_LAYOUT, "shape");
  b.ndim = 1;
  b.plane_dims[0] = 36;
  refused(&b, LQ_E_LAYOUT, "codes must have 72 bytes");
  b.dims = flat;
  refused(&b, LQ_E_LAYOUT, "rows of Q4_0 must be multiples of 32");
  b.dims = huge;
  refused(&b, LQ_E_OVERFLOW, "shape");
  b.dims = NULL;
  b.dims_count = 0;
  refused(&b, LQ_E_LAYOUT, "shape");
}

/* A scale that is not finite is refused unless asked for; so is one that is the second of two. */
static void test_nonfinite(void)
{
  static const struct {
    int32_t type;
    uint32_t bytes, at;
  } cases[] = {{2, 18, 0},     {3, 20, 2},   {6, 22, 0},     {7, 24, 2},   {8, 34, 0},
               {10, 84, 80},   {10, 84, 82}, {11, 110, 108}, {12, 144, 2}, {13, 176, 0},
               {14, 210, 208}, {20, 18, 0},  {23, 136, 0},   {34, 54, 52}, {35, 66, 64}};
  char text[256];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint8_t data[3 * 210] = {0};
    const uint32_t bytes = cases[i].bytes;
    struct blocks b = {.type = cases[i].type,
                       .ndim = 2,
                       .plane_dims = {1, 3 * bytes},
                       .data = data,
                       .bytes = 3 * bytes};
    lq_tensor *t = NULL;
    test_in("type %d, byte %u", cases[i].type, cases[i].at);
    for (int nan = 0; nan < 2; nan++) {
      data[2 * bytes + cases[i].at] = (uint8_t)nan;
      data[2 * bytes + cases[i].at + 1] = nan ? 0x7e : 0xfc;
      b.options = "";
      CHECK(make(&b, &t, text) == LQ_E_NONFINITE && strstr(text, "block 2"), "text: %s", text);
      b.options = "nonfinite=propagate";
      CHECK(make(&b, &t, text) == LQ_OK, "propagate: %s", text);
      lq_tensor_destroy(t);
    }
  }
}

static void test_no_encoder(void)
{
  lq_config *config = new_config("method=ggml");
  lq_quantizer *q = (lq_quantizer *)&config;
  test_in("encoding");
  CHECK(lq_quantizer_create(config, &q) == LQ_E_UNSUPPORTED && !q &&
            strstr(lq_config_error_text(config), "ggml has no encoder"),
        "text: %s", lq_config_error_text(config));
  lq_config_destroy(config);
}

/* From blocks to another method: decode, then quantize. */
static void test_requantize(void)
{
  uint8_t data[4 * 34];
  float values[4 * 32];
  const uint64_t dims[2] = {4, 32};
  struct blocks b = {
      .type = 8, .ndim = 2, .plane_dims = {4, 34}, .data = data, .bytes = sizeof data};
  test_in("requantize");
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i % 34 == 1 ? 0x20 : i * 37);
  lq_tensor *t = must_make(&b);
  if (CHECK(lq_dequantize(t, LQ_F32, values, sizeof values, NULL) == LQ_OK, "decode")) {
    lq_tensor *u = quantize_array(LQ_F32, 2, dims, values, "method=int8");
    lq_metrics m = {.size = sizeof m};
    CHECK(lq_compare(t, u, &m, NULL) == LQ_OK && m.relative_error < 0.01, "error %g",
          m.relative_error);
    lq_tensor_destroy(u);
  }
  lq_tensor_destroy(t);
}

/* ---- types that are not quantized, and none at all ---- */

static void test_dense(void)
{
  static const int32_t ids[] = {0, 1, 30}, dtypes[] = {LQ_F32, LQ_F16, LQ_BF16};
  const float values[6] = {1, -2, 0.5f, 0, 65504, -0.25f};
  test_in("dense");
  for (int i = 0; i < 3; i++) {
    void *data = array_of(values, 6, dtypes[i]);
    lq_plane p[2] = {
        {.size = sizeof *p,
         .dtype = dtypes[i],
         .ndim = 2,
         .dims = {2, 3},
         .bytes = 6 * element_size(dtypes[i]),
         .name = "blocks",
         .data = data},
        {.size = sizeof *p, .dtype = LQ_I32, .bytes = 4, .name = "type", .data = &ids[i]}};
    lq_config *config = new_config("");
    lq_tensor *t = NULL;
    lq_status s = lq_tensor_from_planes(config, LQ_LAYOUT_GGML, p, 2, 0, NULL, 0, &t);
    CHECK(s == LQ_OK && lq_tensor_method(t) == LQ_NONE && lq_tensor_dtype(t) == dtypes[i], "%d %s",
          s, lq_config_error_text(config));
    lq_tensor *back = t ? through_planes(t, LQ_LAYOUT_GGML) : NULL;
    CHECK(same_planes(t, back), "planes");
    lq_tensor_destroy(back);
    lq_tensor_destroy(t);
    p[0].dtype = LQ_I8;
    p[0].dims[1] = p[0].bytes / 2;
    CHECK(lq_tensor_from_planes(config, LQ_LAYOUT_GGML, p, 2, 0, NULL, 0, &t) == LQ_E_LAYOUT,
          "another dtype");
    CHECK(lq_tensor_from_planes(config, LQ_LAYOUT_GGML, p, 1, 0, NULL, 0, &t) == LQ_E_LAYOUT,
          "no type");
    CHECK(lq_tensor_from_planes(config, LQ_LAYOUT_GGML, p + 1, 1, 0, NULL, 0, &t) == LQ_E_LAYOUT,
          "no blocks");
    lq_config_destroy(config);
    free(data);
  }
}

static void test_empty(void)
{
  struct blocks b = {.type = 12, .ndim = 2, .plane_dims = {0, 144}, .data = "", .bytes = 0};
  test_in("empty");
  for (uint32_t i = 0; i < 2; i++) {
    lq_tensor *t = must_make(&b);
    CHECK(t && lq_tensor_dim(t, i) == 0 && lq_dequantize(t, LQ_F32, NULL, 0, NULL) == LQ_OK,
          "dimension %u is 0", i);
    lq_tensor_destroy(t);
    b.plane_dims[0] = 7;
    b.plane_dims[1] = 0;
  }
}

static void test_table(void)
{
  lq_ggml_type info = {.size = sizeof info};
  int count = 0, decodes = 0;
  test_in("table");
  for (int32_t id = -2; id < 100; id++) {
    info.size = sizeof info;
    if (lq_ggml_type_info(id, &info) != LQ_OK)
      continue;
    count++;
    decodes += info.decodes;
    CHECK(info.type == id && info.elements && info.bytes && *info.name, "type %d", id);
  }
  CHECK(count == 35 && decodes == 19, "%d types, %d decoded", count, decodes);
  CHECK(lq_ggml_type_info(2, NULL) == LQ_E_ARGUMENT, "no room");
  info.size = 4;
  CHECK(lq_ggml_type_info(2, &info) == LQ_E_VERSION, "a small struct");
}

int main(int argc, char **argv)
{
  vectors = test_vectors(argc, argv);
  for (int i = 0; i < TEST_LEVELS; i++)
    if (test_level(i)) {
      test_vectors_of("blocks.safetensors");
      if (i == 0)
        test_vectors_of("rows.safetensors");
    }
  lq_cpu_limit("max");
  test_byte_scales();
  test_refusals();
  test_nonfinite();
  test_no_encoder();
  test_requantize();
  test_dense();
  test_empty();
  test_table();
  return test_end();
}
