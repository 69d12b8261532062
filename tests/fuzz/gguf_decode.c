/*
 * gguf_decode.c - fuzz target: every tensor of an accepted GGUF file becomes one of the library,
 * decodes to the same bits row by row, by any kernel and from its own native planes.
 */
#include "fuzz.h"

#include "../../src/files/gguf.h"

enum { MOST = 1 << 16 }; /* elements of a tensor that is looked at */

static lq_tensor *make(const gguf_tensor *t, const void *bytes)
{
  lq_config *config = new_config("nonfinite=propagate");
  lq_tensor *out = NULL;
  lq_ggml_type type = {.size = sizeof type};
  uint64_t dims[LQ_MAX_DIMS] = {0};
  if (!CHECK(lq_ggml_type_info(t->type, &type) == LQ_OK, "type %d", t->type))
    exit(2);
  memcpy(dims, t->as.shape, t->as.ndim * sizeof *dims);
  if (t->blocks && t->as.ndim != 0)
    dims[t->as.ndim - 1] = dims[t->as.ndim - 1] / type.bytes * type.elements;
  lq_plane p[2] = {
      {.size = sizeof *p,
       .dtype = t->blocks ? LQ_U8 : type.dtype,
       .ndim = t->as.ndim,
       .bytes = t->as.bytes,
       .name = "blocks",
       .data = bytes},
      {.size = sizeof *p, .dtype = LQ_I32, .bytes = 4, .name = "type", .data = &t->type}};
  memcpy(p[0].dims, t->as.shape, sizeof p[0].dims);
  lq_status s = lq_tensor_from_planes(config, LQ_LAYOUT_GGML, p, 2, t->as.ndim, dims, 0, &out);
  /* An empty tensor may have dimensions whose product no size can hold. */
  CHECK((s == LQ_OK) == (type.decodes != 0) || t->as.bytes == 0, "%s: %d %s", type.name, s,
        lq_config_error_text(config));
  lq_config_destroy(config);
  return out;
}

static lq_tensor *native_copy(const lq_tensor *t)
{
  lq_config *config = new_config("nonfinite=propagate");
  lq_tensor *out = NULL;
  lq_plane p[12];
  uint32_t n = lq_tensor_plane_count(t, LQ_LAYOUT_NATIVE);
  for (uint32_t i = 0; i < n && i < 12; i++) {
    p[i].size = sizeof *p;
    CHECK(lq_tensor_plane(t, LQ_LAYOUT_NATIVE, i, &p[i]) == LQ_OK, "plane %u", i);
  }
  lq_status s = lq_tensor_from_planes(config, LQ_LAYOUT_NATIVE, p, n, 0, NULL, 0, &out);
  CHECK(s == LQ_OK, "native planes: %d %s", s, lq_config_error_text(config));
  lq_config_destroy(config);
  return out;
}

static void compare(const lq_tensor *t)
{
  uint64_t n = tensor_elements(t);
  uint64_t last = lq_tensor_ndim(t) ? lq_tensor_dim(t, lq_tensor_ndim(t) - 1) : 1;
  uint64_t rows = last ? n / last : 0;
  lq_tensor *copy = native_copy(t);
  float *all = decode(t, LQ_F32), *part = test_alloc((size_t)(n + 1) * sizeof *part);
  lq_cpu_limit("scalar");
  float *scalar = copy ? decode(copy, LQ_F32) : NULL;
  lq_cpu_limit(NULL);
  CHECK(all && scalar && first_difference(all, scalar, LQ_F32, n, 0) == n, "scalar kernel");
  for (uint64_t r = 0; r < rows; r++) {
    lq_status s =
        lq_dequantize_rows(t, r, 1, LQ_F32, part + r * last, (size_t)last * sizeof *part, NULL);
    CHECK(s == LQ_OK, "row %llu: %d", (unsigned long long)r, s);
  }
  CHECK(!all || rows == 0 || first_difference(all, part, LQ_F32, n, 0) == n, "rows differ");
  free(part);
  free(scalar);
  free(all);
  lq_tensor_destroy(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fail why = {0};
  gguf_file *f = NULL;
  gguf_open_memory(&f, data, size, "fuzz", &why);
  for (size_t i = 0; f != NULL && i < gguf_count(f) && i < 64; i++) {
    const gguf_tensor *t = gguf_at(f, i);
    lq_ggml_type type = {.size = sizeof type};
    if (lq_ggml_type_info(t->type, &type) != LQ_OK || (!t->blocks && type.dtype > LQ_BF16) ||
        t->as.bytes > MOST)
      continue;
    char *bytes = test_alloc((size_t)t->as.bytes);
    CHECK(gguf_read(f, &t->as, 0, bytes, (size_t)t->as.bytes, &why), "%s", why.text);
    lq_tensor *q = make(t, bytes);
    if (q)
      compare(q);
    lq_tensor_destroy(q);
    free(bytes);
  }
  gguf_close(f);
  return fuzz_end();
}
