/*
 * test_planes_edges.c - proves what planes are refused that no tensor taken apart has: numbers of
 * a text at their limits, shapes whose products are too large (of planes whose memory is never
 * looked at), planes of two families at once; and the rare forms that are taken.
 */
#include "planes.h"

static lq_status load_text(struct parts *s, const char *text)
{
  lq_plane *p = part(s, "meta"), keep = *p;
  lq_tensor *t;
  p->data = text;
  p->bytes = p->dims[0] = strlen(text);
  lq_status st = load(s, "", 0, 0, &t);
  if (st == LQ_OK)
    lq_tensor_destroy(t);
  *p = keep;
  return st;
}

static lq_plane plane_of(const char *name, int32_t dtype, uint64_t count, const void *data)
{
  return (lq_plane){.size = sizeof(lq_plane),
                    .name = name,
                    .dtype = dtype,
                    .ndim = 1,
                    .dims = {count},
                    .bytes = count * element_size(dtype),
                    .data = data};
}

static void test_numbers(const char *options, const char *method, const char *const *members,
                         lq_status want)
{
  static const int32_t index = 0;
  struct parts s = parts_of(options, LQ_LAYOUT_NATIVE);
  s.p[s.n] = plane_of("g_idx", LQ_I32, 1, &index);
  s.n++;
  for (; *members != NULL; members++) {
    char text[256];
    snprintf(text, sizeof text, "{\"libquant\": 1, \"method\": \"%s\", \"dtype\": \"float32\", %s}",
             method, *members);
    lq_status st = load_text(&s, text);
    CHECK(st == want, "%s: %d", *members, st);
  }
  s.n--;
  free_parts(&s);
}

static void test_native_numbers(void)
{
#define SHAPE "\"shape\": [33, 70], "
  static const char *const blocks[] = {
      SHAPE "\"block_size\": 4294967296",
      SHAPE "\"block_size\": 64, \"nested_block_size\": 4294967296",
      SHAPE "\"block_size\": 64, \"outliers_dropped\": 2",
      SHAPE "\"block_size\": 64, \"block_type\": 2147483648",
      "\"shape\": [33, 70, 1152921504606846976], \"block_size\": 64",
      "\"block_size\": 64",
      NULL};
  static const char *const none[] = {SHAPE "\"nested_block_size\": 64", NULL};
  static const char *const int8[] = {SHAPE "\"nested_block_size\": 64", NULL};
  static const char *const groups[] = {
      SHAPE "\"bits\": 5, \"group_size\": 8, \"symmetric\": 1",
      SHAPE "\"bits\": 4, \"group_size\": 4294967296, \"symmetric\": 1",
      SHAPE "\"bits\": 4, \"group_size\": 8, \"sorted_groups\": 4294967296, \"symmetric\": 1",
      SHAPE "\"bits\": 4, \"group_size\": 8, \"symmetric\": 2",
      SHAPE "\"bits\": 4, \"group_size\": 9, \"symmetric\": 1",
      "\"shape\": [0, 8], \"bits\": 4, \"group_size\": 8, \"symmetric\": 1",
      "\"shape\": [288230376151711743, 1], \"bits\": 4, \"group_size\": 8, \"sorted_groups\": "
      "4294967295, "
      "\"symmetric\": 1",
      "\"shape\": [1073741824, 1], \"bits\": 4, \"group_size\": 8, \"sorted_groups\": 1073741824, "
      "\"symmetric\": 1",
      NULL};
  static const char *const wide[] = {"\"shape\": [1, 4294967296], \"bits\": 4, \"group_size\": 8, "
                                     "\"sorted_groups\": 1, \"symmetric\": 1",
                                     NULL};
  test_in("numbers of a text");
  test_numbers("method=affine bits=4 group_size=8", "affine", wide, LQ_E_UNSUPPORTED);
  test_numbers("method=nf4", "nf4", blocks, LQ_E_LAYOUT);
  test_numbers("method=none", "none", none, LQ_E_LAYOUT);
  test_numbers("method=int8", "int8", int8, LQ_E_LAYOUT);
  test_numbers("method=affine bits=4 group_size=8", "affine", groups, LQ_E_LAYOUT);
}

/* One plane of a tensor replaced, or one more. */
static lq_status load_with(struct parts *s, const lq_plane *plane, lq_tensor **t)
{
  lq_plane *old = part(s, plane->name), keep = old != NULL ? *old : *plane;
  uint32_t n = s->n;
  if (old == NULL)
    s->p[s->n++] = *plane;
  else
    *old = *plane;
  lq_status st = load(s, "", 1, 0, t);
  s->n = n;
  if (old != NULL)
    *old = keep;
  return st;
}

static void expect(struct parts *s, const lq_plane *plane, lq_status want)
{
  lq_tensor *t;
  lq_status st = load_with(s, plane, &t);
  CHECK(st == want, "%s: %d, not %d", plane->name, st, want);
  if (st == LQ_OK)
    lq_tensor_destroy(t);
}

static void test_other_planes(void)
{
  static const float book[256] = {1};
  static const int64_t columns[2] = {1, 2};
  static const char fp4[] = "{}";
  lq_plane p;
  struct parts s = parts_of("method=int8 threshold=2", LQ_LAYOUT_NATIVE);
  test_in("other planes");
  CHECK(part(&s, "outliers") != NULL, "no outliers");
  p = plane_of("codebook", LQ_F32, 16, book);
  expect(&s, &p, LQ_E_LAYOUT);
  p = plane_of("outlier_columns", LQ_I32, 4, columns);
  expect(&s, &p, LQ_E_LAYOUT);
  free_parts(&s);

  s = parts_of("method=nf4", LQ_LAYOUT_BITSANDBYTES);
  p = plane_of("weight.quant_state.bitsandbytes__fp4", LQ_U8, 2, fp4);
  expect(&s, &p, LQ_E_LAYOUT);
  free_parts(&s);

  s = parts_of("method=int8", LQ_LAYOUT_BITSANDBYTES);
  p = plane_of("SCB", LQ_I32, 4, columns);
  expect(&s, &p, LQ_E_LAYOUT);
  p = plane_of("weight", LQ_U8, 4, columns);
  expect(&s, &p, LQ_E_LAYOUT);
  p = plane_of("weight", LQ_I64, 2, columns);
  expect(&s, &p, LQ_E_LAYOUT);
  free_parts(&s);
}

/* A code book of the scales that is not the usual one is kept. */
static void test_nested_book(void)
{
  struct parts s = parts_of("method=nf4 nested=1", LQ_LAYOUT_BITSANDBYTES);
  lq_plane *book = part(&s, "weight.nested_quant_map"), again;
  lq_tensor *t;
  test_in("nested book");
  ((float *)(void *)s.memory[book - s.p])[3] += 0.25f;
  if (CHECK(load(&s, "", 1, 0, &t) == LQ_OK, "load")) {
    CHECK(find_plane(t, LQ_LAYOUT_BITSANDBYTES, "weight.nested_quant_map", &again) &&
              memcmp(again.data, book->data, (size_t)book->bytes) == 0,
          "not kept");
    lq_tensor_destroy(t);
  }
  free_parts(&s);
}

/* ---- blocks of GGUF files ---- */

static void test_blocks(void)
{
  static const uint8_t zeros[64];
  static const int32_t types[2] = {2, 10};
  struct parts s = {.layout = LQ_LAYOUT_GGML, .n = 2};
  lq_tensor *t = make("method=nf4");
  test_in("blocks");
  CHECK(lq_tensor_plane_count(t, LQ_LAYOUT_GGML) == 0, "no blocks of nf4");
  lq_tensor_destroy(t);
  s.p[0] = plane_of("type", LQ_I32, 2, types);
  s.p[1] = plane_of("blocks", LQ_U8, 18, zeros);
  CHECK(load(&s, "", 0, 0, &t) == LQ_E_LAYOUT, "two types");
  s.p[0] = plane_of("type", LQ_I32, 1, types);
  CHECK(load(&s, "", 0, 0, &t) == LQ_E_LAYOUT, "no shape at all");
  s.p[1].dtype = LQ_I8;
  CHECK(load(&s, "", 0, 0, &t) == LQ_E_LAYOUT, "blocks of I8");
  s.p[1].dtype = LQ_U8;
  s.p[1].bytes = 0;
  s.p[1].ndim = 2;
  s.p[1].dims[0] = 0; /* nothing, 2^58 bytes wide */
  s.p[1].dims[1] = (UINT64_C(1) << 58) / 18 * 18;
  CHECK(load(&s, "", 0, 0, &t) == LQ_OK, "columns that fit");
  lq_tensor_destroy(t);
  s.p[1].dims[1] = ((UINT64_C(1) << 59) - 1) / 18 * 18;
  CHECK(load(&s, "", 0, 0, &t) == LQ_E_LAYOUT, "columns that do not");
  const int32_t dense = 0;
  s.p[0] = plane_of("type", LQ_I32, 1, &dense);
  CHECK(load(&s, "", 0, 0, &t) == LQ_E_LAYOUT, "blocks of another type");
  s.n = 1;
  CHECK(load(&s, "", 0, 0, &t) == LQ_E_LAYOUT, "no blocks");
}

/* ---- GPTQ and AWQ ---- */

/* Planes of these sizes; their memory, which is not so large, is looked at only if all is well. */
static struct parts packed_planes(int32_t layout, int32_t scales, const uint64_t dims[3][2],
                                  void *memory)
{
  static const char *const names[] = {"qweight", "qzeros", "scales"};
  struct parts s = {.layout = layout, .n = 3};
  for (int i = 0; i < 3; i++) {
    s.p[i] = plane_of(names[i], i < 2 ? LQ_I32 : scales, 0, memory);
    s.p[i].ndim = 2;
    s.p[i].dims[0] = dims[i][0];
    s.p[i].dims[1] = dims[i][1];
    s.p[i].bytes = dims[i][0] * dims[i][1] * element_size(s.p[i].dtype);
  }
  return s;
}

/* Blocks of a megabyte at most. */
static void *small_blocks(void *user, size_t bytes, size_t alignment)
{
  (void)user;
  return bytes <= 1 << 20 ? test_aligned(alignment, bytes) : NULL;
}

static void free_block(void *user, void *p, size_t bytes, size_t alignment)
{
  (void)user;
  (void)bytes;
  (void)alignment;
  test_aligned_free(p);
}

static void test_packed_shapes(void)
{
#define TWO(n) (UINT64_C(1) << (n))
  static const struct {
    int32_t layout;
    uint64_t dims[3][2]; /* qweight, qzeros, scales */
    lq_status want;
  } rows[] = {
      {LQ_LAYOUT_GPTQ, {{4, 32}, {TWO(31), 4}, {TWO(31), 32}}, LQ_E_LAYOUT},
      {LQ_LAYOUT_GPTQ, {{4, 32}, {1, 4}, {1, 33}}, LQ_E_LAYOUT},
      {LQ_LAYOUT_GPTQ, {{4, 48}, {1, 5}, {1, 48}}, LQ_E_LAYOUT},
      {LQ_LAYOUT_GPTQ, {{4, 32}, {1, 5}, {1, 32}}, LQ_E_LAYOUT},
      {LQ_LAYOUT_GPTQ, {{4, 32}, {1, 3}, {1, 32}}, LQ_E_LAYOUT},
      {LQ_LAYOUT_GPTQ, {{TWO(29), TWO(28)}, {1, TWO(24)}, {1, TWO(28)}}, LQ_E_LAYOUT},
      {LQ_LAYOUT_GPTQ, {{TWO(31), 32}, {2, 4}, {2, 32}}, LQ_E_UNSUPPORTED},
      {LQ_LAYOUT_GPTQ, {{TWO(31), 32}, {1, 4}, {1, 32}}, LQ_E_MEMORY},
      {LQ_LAYOUT_AWQ, {{TWO(29), TWO(28)}, {1, TWO(28)}, {1, TWO(31)}}, LQ_E_LAYOUT},
      {LQ_LAYOUT_AWQ, {{32, 4}, {1, 4}, {1, 24}}, LQ_E_LAYOUT},
      {LQ_LAYOUT_AWQ, {{32, 4}, {1, 3}, {1, 32}}, LQ_E_LAYOUT},
  };
  static uint32_t zeros[64];
  const lq_alloc small = {.size = sizeof small, .alloc = small_blocks, .release = free_block};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct parts s = packed_planes(rows[i].layout, LQ_F16, rows[i].dims, zeros);
    lq_config *config = NULL;
    lq_tensor *t = NULL;
    test_in("packed shape %zu", i);
    CHECK(lq_config_create(&small, &config) == LQ_OK, "config");
    lq_status st = lq_tensor_from_planes(config, s.layout, s.p, s.n, 0, NULL, 0, &t);
    CHECK(st == rows[i].want, "%d, not %d: %s", st, rows[i].want, lq_config_error_text(config));
    lq_config_destroy(config);
  }
}

/* AWQ with groups of twelve columns, which get an index, and with columns that are no multiple of
 * eight; a scale of GPTQ that is not a number. */
static void test_packed_forms(void)
{
  static const uint64_t twelve[3][2] = {{24, 1}, {2, 1}, {2, 8}},
                        twenty[3][2] = {{20, 1}, {1, 1}, {1, 8}},
                        plain[3][2] = {{4, 32}, {1, 4}, {1, 32}};
  static uint32_t memory[256];
  lq_tensor *t;
  lq_plane index;
  for (int i = 0; i < 256; i++)
    memory[i] = 0x3c003c00; /* ones in f16 */
  struct parts s = packed_planes(LQ_LAYOUT_AWQ, LQ_F16, twelve, memory);
  test_in("packed forms");
  if (CHECK(load(&s, "", 0, 0, &t) == LQ_OK, "groups of twelve")) {
    const int32_t *at;
    CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "g_idx", &index) && index.bytes == 24 * 4, "no index");
    at = index.data;
    CHECK(at[0] == 0 && at[11] == 0 && at[12] == 1 && at[23] == 1, "index");
    lq_tensor_destroy(t);
  }
  s = packed_planes(LQ_LAYOUT_AWQ, LQ_F16, twenty, memory);
  if (CHECK(load(&s, "", 0, 0, &t) == LQ_OK, "twenty columns")) {
    struct parts native;
    take_apart(t, LQ_LAYOUT_NATIVE, &native);
    lq_tensor_destroy(t);
    free_parts(&native);
  }
  for (int i = 0; i < 256; i++)
    memory[i] = 0x7fc00001;
  s = packed_planes(LQ_LAYOUT_GPTQ, LQ_F32, plain, memory);
  CHECK(load(&s, "", 0, 0, &t) == LQ_E_NONFINITE, "scales that are nan");
  if (CHECK(load(&s, "nonfinite=propagate", 0, 0, &t) == LQ_OK, "nan, propagated")) {
    struct parts native;
    take_apart(t, LQ_LAYOUT_NATIVE, &native);
    CHECK(part(&native, "scales")->dtype == LQ_F32, "f32 keeps them");
    lq_tensor_destroy(t);
    CHECK(load(&native, "nonfinite=propagate", 1, 0, &t) == LQ_OK, "f32 scales of our own");
    lq_tensor_destroy(t);
    part(&native, "scales")->dtype = LQ_BF16;
    part(&native, "scales")->dims[1] *= 2;
    CHECK(load(&native, "", 1, 0, &t) == LQ_E_LAYOUT, "bf16 scales");
    uint32_t n = native.n;
    native.n = 2;
    CHECK(load(&native, "", 1, 0, &t) == LQ_E_LAYOUT, "no scales");
    native.n = n;
    free_parts(&native);
  }
}

static void test_index(void)
{
  struct parts s;
  static const uint64_t dims[3][2] = {{24, 1}, {2, 1}, {2, 8}};
  static uint32_t memory[256];
  lq_tensor *t;
  for (int i = 0; i < 256; i++)
    memory[i] = 0x3c003c00;
  s = packed_planes(LQ_LAYOUT_AWQ, LQ_F16, dims, memory);
  test_in("group index");
  if (!CHECK(load(&s, "", 0, 0, &t) == LQ_OK, "load"))
    return;
  take_apart(t, LQ_LAYOUT_NATIVE, &s);
  lq_tensor_destroy(t);
  int32_t *index = (int32_t *)(void *)s.memory[part(&s, "g_idx") - s.p];
  index[5] = -1;
  CHECK(load(&s, "", 1, 0, &t) == LQ_E_LAYOUT, "group -1");
  index[5] = 2;
  CHECK(load(&s, "", 1, 0, &t) == LQ_E_LAYOUT, "group 2 of 2");
  index[5] = 1;
  CHECK(load(&s, "", 1, 0, &t) == LQ_OK, "group 1");
  lq_tensor_destroy(t);
  free_parts(&s);
}

static uint32_t three_bits(const uint32_t *words, uint64_t apart, uint64_t i)
{
  uint64_t at = 3 * i / 32 * apart;
  return (uint32_t)((words[at] | (uint64_t)words[at + (3 * i % 32 > 29 ? apart : 0)] << 32) >>
                    3 * i % 32) &
         7;
}

/* Codes of three bits, which may lie in two words, and columns that change groups. */
static void test_packed_order(void)
{
  static const uint64_t dims[3][2] = {{3, 32}, {2, 3}, {2, 32}};
  static uint32_t memory[256], words[96];
  int32_t index[32];
  lq_tensor *t;
  for (int i = 0; i < 256; i++)
    memory[i] = 0x3c003c00;
  for (int i = 0; i < 96; i++)
    words[i] = (uint32_t)rng_u64(&random_state);
  for (int i = 0; i < 32; i++)
    index[i] = i % 2;
  struct parts s = packed_planes(LQ_LAYOUT_GPTQ_V2, LQ_F16, dims, memory);
  test_in("packed, act-order");
  part(&s, "qweight")->data = words;
  s.p[s.n++] = plane_of("g_idx", LQ_I32, 32, index);
  if (!CHECK(load(&s, "", 0, 0, &t) == LQ_OK, "load"))
    return;
  float *values = decode(t, LQ_F32);
  for (uint64_t n = 0; values != NULL && n < 32; n++)
    for (uint64_t k = 0; k < 32; k++) {
      int zero = (int)three_bits(memory + 3 * (k % 2), 1, n);
      int code = (int)three_bits(words + n, 32, k);
      CHECK(values[n * 32 + k] == (float)(code - zero), "[%d, %d]: %g, not %d", (int)n, (int)k,
            (double)values[n * 32 + k], code - zero);
    }
  free(values);
  lq_tensor_destroy(t);
}

/* The order of columns is made even of borrowed planes: memory may end there. */
static void test_order_memory(void)
{
  enum { MANY = 1 << 18 };
  static const char text[] = "{\"libquant\": 1, \"method\": \"affine\", \"dtype\": \"float32\", "
                             "\"shape\": [1, 262144], \"bits\": 4, \"group_size\": 262144, "
                             "\"sorted_groups\": 1, \"symmetric\": 1}";
  static const uint8_t codes[MANY / 2];
  static const int32_t index[MANY];
  static const uint16_t scale = 0x3c00;
  const lq_plane planes[] = {
      plane_of("meta", LQ_U8, strlen(text), text), plane_of("codes", LQ_U8, MANY / 2, codes),
      plane_of("scales", LQ_F16, 1, &scale), plane_of("g_idx", LQ_I32, MANY, index)};
  const lq_alloc small = {.size = sizeof small, .alloc = small_blocks, .release = free_block};
  test_in("memory for an order");
  for (int limited = 0; limited < 2; limited++) {
    lq_config *config = NULL;
    lq_tensor *t = NULL;
    CHECK(lq_config_create(limited ? &small : NULL, &config) == LQ_OK, "config");
    lq_status st = lq_tensor_from_planes(config, LQ_LAYOUT_NATIVE, planes, 4, 0, NULL, 1, &t);
    CHECK(st == (limited ? LQ_E_MEMORY : LQ_OK), "%d: %s", st, lq_config_error_text(config));
    lq_tensor_destroy(t);
    lq_config_destroy(config);
  }
}

static void test_arguments(void)
{
  lq_tensor *t = make("method=nf4"), *other = NULL;
  lq_config *config = new_config("");
  struct parts s;
  lq_plane p = {.size = sizeof p};
  test_in("arguments");
  CHECK(lq_tensor_plane(t, 99, 0, &p) == LQ_E_ARGUMENT, "no such layout");
  CHECK(lq_tensor_plane(t, LQ_LAYOUT_NATIVE, 0, NULL) == LQ_E_ARGUMENT, "no plane");
  CHECK(lq_tensor_plane(NULL, LQ_LAYOUT_NATIVE, 0, &p) == LQ_E_ARGUMENT, "no tensor");
  CHECK(lq_tensor_plane_count(t, 99) == 0 && lq_tensor_plane_count(NULL, LQ_LAYOUT_NATIVE) == 0,
        "no planes");
  take_apart(t, LQ_LAYOUT_NATIVE, &s);
  s.p[0].size++;
  CHECK(lq_tensor_from_planes(config, s.layout, s.p, s.n, 0, NULL, 0, &other) == LQ_E_VERSION,
        "an odd size");
  free_parts(&s);
  lq_config_destroy(config);
  lq_tensor_destroy(t);
}

int main(void)
{
  fill_weights();
  test_native_numbers();
  test_other_planes();
  test_nested_book();
  test_blocks();
  test_packed_shapes();
  test_packed_forms();
  test_index();
  test_packed_order();
  test_order_memory();
  test_arguments();
  return test_end();
}
