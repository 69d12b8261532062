/*
 * test_subset.c - what a build has of the methods works as in a full build, and the rest is refused
 * as libquant.h says.
 *
 * Compiled with the LQ_WITHOUT_* of the library it is linked with. For each method that is there it
 * prints a digest of planes, values and products, so that tests/amalgamation.sh can compare builds.
 */
#include "helpers.h"

#ifdef LQ_WITHOUT_NF4
#define HAS_NF4 0
#else
#define HAS_NF4 1
#endif
#ifdef LQ_WITHOUT_FP4
#define HAS_FP4 0
#else
#define HAS_FP4 1
#endif
#ifdef LQ_WITHOUT_INT8
#define HAS_INT8 0
#else
#define HAS_INT8 1
#endif
#ifdef LQ_WITHOUT_DYNAMIC8
#define HAS_DYNAMIC8 0
#else
#define HAS_DYNAMIC8 1
#endif
#ifdef LQ_WITHOUT_AFFINE
#define HAS_AFFINE 0
#else
#define HAS_AFFINE 1
#endif
#ifdef LQ_WITHOUT_GPTQ
#define HAS_GPTQ 0
#else
#define HAS_GPTQ 1
#endif
#ifdef LQ_WITHOUT_GGML
#define HAS_GGML 0
#else
#define HAS_GGML 1
#endif

enum { ROWS = 32, COLUMNS = 128, MANY = 20, INPUTS = 192 };

static const struct method {
  const char *name;
  int32_t id;
  int has;
} methods[] = {
    {"none", LQ_NONE, 1},
    {"nf4", LQ_NF4, HAS_NF4},
    {"fp4", LQ_FP4, HAS_FP4},
    {"int8", LQ_INT8, HAS_INT8},
    {"dynamic8", LQ_DYNAMIC8, HAS_DYNAMIC8},
    {"affine", LQ_AFFINE, HAS_AFFINE},
    {"gptq", LQ_GPTQ, HAS_GPTQ},
    {"ggml", LQ_GGML, HAS_GGML},
};

enum { METHODS = sizeof methods / sizeof *methods };

static const struct run {
  int has;
  const char *options;
  int32_t layout;
} runs[] = {
    {1, "method=none", LQ_LAYOUT_BITSANDBYTES},
    {HAS_NF4, "method=nf4", LQ_LAYOUT_BITSANDBYTES},
    {HAS_NF4, "method=nf4 nested=1", LQ_LAYOUT_BITSANDBYTES},
    {HAS_FP4, "method=fp4", LQ_LAYOUT_BITSANDBYTES},
    {HAS_FP4, "method=fp4 nested=1 block_size=32", LQ_LAYOUT_NATIVE},
    {HAS_INT8, "method=int8", LQ_LAYOUT_BITSANDBYTES},
    {HAS_INT8, "method=int8 threshold=0.9", LQ_LAYOUT_NATIVE},
    {HAS_DYNAMIC8, "method=dynamic8 block_size=64", LQ_LAYOUT_NATIVE},
    {HAS_DYNAMIC8, "method=dynamic8 nested=1", LQ_LAYOUT_NATIVE},
    {HAS_AFFINE, "method=affine group_size=32", LQ_LAYOUT_GPTQ},
    {HAS_AFFINE, "method=affine bits=3 symmetric=0 mse=2.4", LQ_LAYOUT_GPTQ_V2},
    {HAS_AFFINE, "method=affine bits=2 symmetric=0 nested=1", LQ_LAYOUT_NATIVE},
    {HAS_AFFINE, "method=affine bits=8 group_size=64", LQ_LAYOUT_GPTQ},
    {HAS_AFFINE, "method=affine bits=4 symmetric=0 compat=gptq", LQ_LAYOUT_AWQ},
    {HAS_GPTQ && HAS_AFFINE, "method=gptq bits=4 group_size=32", LQ_LAYOUT_GPTQ},
    {HAS_GPTQ && HAS_NF4, "method=gptq storage=nf4 nested=1", LQ_LAYOUT_BITSANDBYTES},
    {HAS_GPTQ && HAS_FP4, "method=gptq storage=fp4", LQ_LAYOUT_BITSANDBYTES},
};

static float weights[ROWS * COLUMNS], inputs[INPUTS * COLUMNS], room[ROWS * COLUMNS];
static uint64_t random_state = 77;
static const uint64_t dims[2] = {ROWS, COLUMNS};

/* FNV-1a. */
static uint64_t digest_of(uint64_t digest, const void *data, uint64_t bytes)
{
  for (uint64_t i = 0; i < bytes; i++)
    digest = (digest ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
  return digest;
}

/* ---- what is there ---- */

static lq_tensor *calibrated(const lq_tensor *dense, const char *options)
{
  lq_config *config = new_config(options);
  lq_quantizer *quantizer = NULL;
  lq_tensor *t = NULL;
  lq_status s = lq_quantizer_create(config, &quantizer);
  if (s == LQ_OK && strstr(options, "gptq "))
    s = lq_quantizer_observe(quantizer, INPUTS, COLUMNS, LQ_F32, inputs, COLUMNS);
  if (s == LQ_OK)
    s = lq_quantizer_run(quantizer, dense, &t);
  CHECK(s == LQ_OK && t, "%s: %d %s", options, s, lq_config_error_text(config));
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
  return t;
}

/* Through the planes of a layout to a tensor again, which must have the same values. */
static uint64_t through_planes(const lq_tensor *t, int32_t layout, uint64_t digest)
{
  lq_plane p[12];
  lq_tensor *laid = NULL, *back = NULL;
  lq_config *config = new_config("");
  lq_status s = lq_tensor_convert(NULL, t, layout, &laid);
  uint32_t n = s == LQ_OK ? lq_tensor_plane_count(laid, layout) : 0;
  CHECK(n > 0 && n <= 12, "layout %d: %d, %u planes", layout, s, n);
  for (uint32_t i = 0; i < n; i++) {
    p[i].size = sizeof p[i];
    CHECK(lq_tensor_plane(laid, layout, i, &p[i]) == LQ_OK, "plane %u", i);
    digest = digest_of(digest, p[i].data, p[i].bytes);
  }
  s = lq_tensor_from_planes(config, layout, p, n, 2, dims, 1, &back);
  if (CHECK(s == LQ_OK, "from_planes: %d %s", s, lq_config_error_text(config))) {
    lq_metrics m = {.size = sizeof m};
    s = lq_compare(t, back, &m, NULL);
    CHECK(s == LQ_OK && m.max_error == 0.0, "layout %d changes values by %g", layout, m.max_error);
  }
  lq_tensor_destroy(back);
  lq_tensor_destroy(laid);
  lq_config_destroy(config);
  return digest;
}

static uint64_t products(const lq_tensor *t, uint64_t digest)
{
  static float y[MANY * COLUMNS];
  lq_config *fast = new_config("compute=fast");
  CHECK(lq_matmul(t, 3, LQ_F32, inputs, COLUMNS, NULL, LQ_F32, y, ROWS, NULL) == LQ_OK, "3 rows");
  digest = digest_of(digest, y, 3 * ROWS * sizeof *y);
  CHECK(lq_matmul(t, MANY, LQ_F32, inputs, COLUMNS, NULL, LQ_F32, y, ROWS, NULL) == LQ_OK, "many");
  digest = digest_of(digest, y, MANY * ROWS * sizeof *y);
  /* The level decides what this gives. */
  CHECK(lq_matmul(t, 2, LQ_F32, inputs, COLUMNS, NULL, LQ_F32, y, ROWS, fast) == LQ_OK, "fast");
  CHECK(lq_matmul_transposed(t, 3, LQ_F32, inputs, ROWS, LQ_F32, y, COLUMNS, NULL) == LQ_OK, "dx");
  lq_config_destroy(fast);
  return digest_of(digest, y, 3 * COLUMNS * sizeof *y);
}

static void run(const struct run *r)
{
  lq_tensor *dense = wrap(LQ_F32, 2, dims, weights);
  lq_tensor *t = calibrated(dense, r->options);
  uint64_t digest = UINT64_C(0xcbf29ce484222325);
  if (t != NULL) {
    CHECK(lq_dequantize(t, LQ_F32, room, sizeof room, NULL) == LQ_OK, "dequantize");
    digest = digest_of(digest, room, sizeof room);
    digest = products(t, through_planes(t, r->layout, digest));
    printf("%s: %08lx%08lx\n", r->options, (unsigned long)(digest >> 32),
           (unsigned long)(digest & 0xffffffffu));
  }
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
}

/* ---- what is not ---- */

static void lists(void)
{
  uint32_t count = 0;
  for (int i = 0; i < METHODS; i++) {
    const struct method *m = &methods[i];
    const char *name = lq_method_name(m->id);
    lq_method_info info = {.size = sizeof info};
    CHECK(lq_method_from_name(m->name) == (m->has ? m->id : 0), "%s by name", m->name);
    CHECK(m->has ? name && !strcmp(name, m->name) : !name, "%s by id", m->name);
    CHECK(!strstr(lq_build_info(), m->name) == !m->has || !strcmp(m->name, "none"), "%s listed",
          m->name);
    if (m->has)
      CHECK(lq_method_info_at(count++, &info) == LQ_OK && info.id == m->id, "%s", m->name);
  }
  CHECK(lq_method_count() == count, "%u methods, not %u", lq_method_count(), count);
}

/* The key takes the name of every method that libquant knows; the quantizer says that it lacks it.
 */
static void refused(const char *options)
{
  lq_config *config = new_config(options);
  lq_quantizer *quantizer = NULL;
  lq_status s = lq_quantizer_create(config, &quantizer);
  CHECK(s == LQ_E_UNSUPPORTED && !quantizer, "%s: %d", options, s);
  CHECK(strstr(lq_config_error_text(config), "not in this build"), "%s",
        lq_config_error_text(config));
  lq_config_destroy(config);
}

static void refused_planes(int32_t layout, const char *name, const char *text)
{
  lq_config *config = new_config("");
  lq_tensor *t = NULL;
  const uint64_t length = strlen(text);
  const lq_plane p[2] = {
      {.size = sizeof *p,
       .dtype = LQ_I8,
       .ndim = 2,
       .dims = {ROWS, COLUMNS},
       .bytes = ROWS * COLUMNS,
       .name = "weight",
       .data = weights},
      {.size = sizeof *p,
       .dtype = LQ_U8,
       .ndim = 1,
       .dims = {length},
       .bytes = length,
       .name = name,
       .data = text},
  };
  lq_status s = lq_tensor_from_planes(config, layout, p, 2, 0, NULL, 1, &t);
  CHECK(s == LQ_E_UNSUPPORTED && !t, "planes of %s: %d %s", name, s, lq_config_error_text(config));
  lq_config_destroy(config);
}

static void absent(void)
{
  char text[128];
  for (int i = 0; i < METHODS; i++)
    if (!methods[i].has) {
      snprintf(text, sizeof text, "method=%s", methods[i].name);
      refused(text);
      snprintf(text, sizeof text,
               "{\"libquant\": 1, \"method\": \"%s\", \"dtype\": \"float32\", \"shape\": [2, 2]}",
               methods[i].name);
      refused_planes(LQ_LAYOUT_NATIVE, "meta", text);
    }
  if (HAS_GPTQ && !HAS_AFFINE)
    refused("method=gptq");
  if (!HAS_INT8)
    refused_planes(LQ_LAYOUT_BITSANDBYTES, "SCB", "");
  if (!HAS_NF4)
    refused_planes(LQ_LAYOUT_BITSANDBYTES, "weight.quant_state.bitsandbytes__nf4", "{}");
  if (!HAS_FP4)
    refused_planes(LQ_LAYOUT_BITSANDBYTES, "weight.quant_state.bitsandbytes__fp4", "{}");
}

/* Calls that only one method serves do no harm without it. */
static void without_calibration(void)
{
  lq_config *config = new_config("method=none");
  lq_quantizer *quantizer = NULL;
  CHECK(lq_quantizer_create(config, &quantizer) == LQ_OK, "none");
  CHECK(lq_quantizer_observe(quantizer, INPUTS, COLUMNS, LQ_F32, inputs, COLUMNS) == LQ_E_STATE,
        "observe");
  CHECK(lq_quantizer_save_bytes(quantizer) == 0, "save_bytes");
  CHECK(lq_quantizer_save(quantizer, room, 4) == LQ_E_STATE, "save");
  CHECK(lq_quantizer_load(quantizer, room, 4) == LQ_E_STATE, "load");
  lq_quantizer_reset(quantizer);
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
}

int main(void)
{
  for (int i = 0; i < ROWS * COLUMNS; i++)
    weights[i] = (float)(2.0 * rng_uniform(&random_state) - 1.0);
  for (int i = 0; i < INPUTS * COLUMNS; i++)
    inputs[i] = (float)(2.0 * rng_uniform(&random_state) - 1.0);
  lists();
  absent();
  without_calibration();
  for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
    if (runs[i].has)
      run(&runs[i]);
  return test_end();
}
