/*
 * test_api.c - proves the contract of the public functions apart from numbers: keys and their
 * bounds, error codes, struct sizes, null pointers, shapes at the edges, states, and that failures
 * leave outputs empty and a text behind.
 */
#include "helpers.h"

#include <limits.h>

/* Anything that must become NULL. */
#define POISON ((void *)&poison)

static int poison;

/* ---- about the library ---- */

static void test_info(void)
{
  static const lq_status codes[] = {
      LQ_OK,       LQ_E_ARGUMENT,    LQ_E_SHAPE, LQ_E_OVERFLOW, LQ_E_MEMORY,   LQ_E_NONFINITE,
      LQ_E_LAYOUT, LQ_E_UNSUPPORTED, LQ_E_STATE, LQ_E_VERSION,  LQ_E_INTERNAL,
  };
  char version[64];
  test_in("info");
  CHECK(lq_version_number() == LQ_VERSION_NUMBER, "version %d", lq_version_number());
  snprintf(version, sizeof version, "%d.%d.%d", LQ_VERSION_MAJOR, LQ_VERSION_MINOR,
           LQ_VERSION_PATCH);
  CHECK(!strcmp(lq_version_string(), version), "version %s", lq_version_string());
  CHECK(strstr(lq_build_info(), version) != NULL, "build info: %s", lq_build_info());
  for (uint32_t i = 0; i < lq_method_count(); i++) {
    lq_method_info info = {.size = sizeof info};
    lq_method_info_at(i, &info);
    CHECK(strstr(lq_build_info(), info.name) != NULL, "build info lacks %s", info.name);
  }
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    const char *text = lq_status_string(codes[i]);
    CHECK(text && *text && strcmp(text, "unknown status") != 0, "status %d", codes[i]);
    for (size_t k = 0; k < i; k++)
      CHECK(strcmp(text, lq_status_string(codes[k])) != 0, "two codes are called %s", text);
  }
  CHECK(!strcmp(lq_status_string(1), "unknown status") &&
            !strcmp(lq_status_string(-999), "unknown status") &&
            !strcmp(lq_status_string(INT_MIN), "unknown status"),
        "unknown codes");
}

static void test_cpu(void)
{
  char best[32];
  int reached = 0;
  test_in("cpu");
  CHECK(lq_cpu_limit(NULL) == LQ_OK, "no cap");
  snprintf(best, sizeof best, "%s", lq_cpu_features());
  for (int i = 0; i < TEST_LEVELS; i++) {
    lq_status s = lq_cpu_limit(test_levels[i]);
    CHECK(s == LQ_OK || s == LQ_E_UNSUPPORTED, "%s: %d", test_levels[i], s);
    CHECK(s != LQ_OK || !strcmp(lq_cpu_features(), test_levels[i]), "%s gives %s", test_levels[i],
          lq_cpu_features());
    reached += s == LQ_OK;
  }
  CHECK(reached > 0 && lq_cpu_limit("scalar") == LQ_OK && !strcmp(lq_cpu_features(), "scalar"),
        "scalar");
  CHECK(lq_cpu_limit("sse9") == LQ_E_ARGUMENT && lq_cpu_limit("") == LQ_E_ARGUMENT &&
            lq_cpu_limit("AVX2") == LQ_E_ARGUMENT,
        "unknown levels");
  CHECK(!strcmp(lq_cpu_features(), "scalar"), "a failed call changes nothing");
  CHECK(lq_cpu_limit("max") == LQ_OK && !strcmp(lq_cpu_features(), best), "max lifts the cap");
}

static void test_method_table(void)
{
  static const char *const names[] = {"none",     "nf4",    "fp4",  "int8",
                                      "dynamic8", "affine", "gptq", "ggml"};
  static const int32_t ids[] = {LQ_NONE,     LQ_NF4,    LQ_FP4,  LQ_INT8,
                                LQ_DYNAMIC8, LQ_AFFINE, LQ_GPTQ, LQ_GGML};
  static const uint32_t bits[] = {0, 4, 4, 8, 8, 4, 4, 0}, blocks[] = {0, 64, 64, 0, 256, 0, 0, 0};
  lq_method_info info;
  test_in("methods");
  CHECK(lq_method_count() == 8, "%u methods", lq_method_count());
  for (uint32_t i = 0; i < 8; i++) {
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    CHECK(lq_method_info_at(i, &info) == LQ_OK && info.size == sizeof info, "method %u", i);
    CHECK(info.id == ids[i] && !strcmp(info.name, names[i]) && info.text && *info.text,
          "method %u: %d %s", i, info.id, info.name);
    CHECK(info.code_bits == bits[i] && info.default_block_size == blocks[i],
          "%s: %u bits, block %u", info.name, info.code_bits, info.default_block_size);
    CHECK(!!(info.flags & LQ_METHOD_BLOCKWISE) == (blocks[i] != 0) &&
              !!(info.flags & LQ_METHOD_ROWWISE) == (ids[i] == LQ_INT8) &&
              !!(info.flags & LQ_METHOD_GROUPWISE) == (ids[i] == LQ_AFFINE) &&
              !!(info.flags & LQ_METHOD_CALIBRATED) == (ids[i] == LQ_GPTQ) &&
              !!(info.flags & LQ_METHOD_DECODES) == (ids[i] == LQ_GGML),
          "%s: flags %u", info.name, info.flags);
    CHECK(lq_method_from_name(names[i]) == ids[i] && !strcmp(lq_method_name(ids[i]), names[i]),
          "%s", names[i]);
  }
  CHECK(lq_method_info_at(8, &info) == LQ_E_ARGUMENT && lq_method_info_at(0, NULL) == LQ_E_ARGUMENT,
        "past the last");
  CHECK(!lq_method_name(0) && !lq_method_name(-1) && !lq_method_name(9) && !lq_method_name(INT_MAX),
        "unknown ids");
  CHECK(!lq_method_from_name("") && !lq_method_from_name("NF4") && !lq_method_from_name("nf") &&
            !lq_method_from_name("nf44") && !lq_method_from_name(NULL),
        "unknown names");
}

/* ---- keys ---- */

static void check_i64_key(lq_config *config, const lq_key_info *k)
{
  const int64_t bad[] = {k->i64_min - 1, k->i64_max + 1, INT64_MIN, INT64_MAX};
  int64_t v = 7;
  CHECK(lq_config_get_i64(config, k->key, &v) == LQ_OK && v == k->i64_default, "default %d",
        (int)v);
  CHECK(k->i64_min <= k->i64_default && k->i64_default <= k->i64_max, "default is out of bounds");
  for (int i = 0; i < 4; i++) {
    CHECK(lq_config_set_i64(config, k->key, bad[i]) == LQ_E_ARGUMENT, "%lld is taken",
          (long long)bad[i]);
    CHECK(strstr(lq_config_error_text(config), k->name) != NULL, "text: %s",
          lq_config_error_text(config));
  }
  CHECK(lq_config_get_i64(config, k->key, &v) == LQ_OK && v == k->i64_default,
        "a failed call changes nothing");
  CHECK(lq_config_set_i64(config, k->key, k->i64_min) == LQ_OK && !*lq_config_error_text(config),
        "least");
  CHECK(lq_config_set_i64(config, k->key, k->i64_max) == LQ_OK, "most");
  CHECK(lq_config_get_i64(config, k->key, &v) == LQ_OK && v == k->i64_max, "most is not kept");
  CHECK(lq_config_set_f64(config, k->key, 1) == LQ_E_ARGUMENT, "as floating point");
  double f = 5;
  CHECK(lq_config_get_f64(config, k->key, &f) == LQ_E_ARGUMENT && f == 0, "read as floating point");
  CHECK(lq_config_set_i64(config, k->key, k->i64_default) == LQ_OK, "default");
}

static void check_i64_text(lq_config *config, const lq_key_info *k)
{
  static const char *const bad[] = {"",
                                    " ",
                                    "x",
                                    "1x",
                                    " 1",
                                    "1 ",
                                    "+1",
                                    "0x1",
                                    "1.0",
                                    "1e1",
                                    "--1",
                                    "-",
                                    "99999999999999999999",
                                    "9223372036854775808",
                                    "-9223372036854775809"};
  char text[32];
  int64_t v = 0;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK(lq_config_set_text(config, k->name, bad[i]) == LQ_E_ARGUMENT &&
              *lq_config_error_text(config),
          "\"%s\" is taken", bad[i]);
  snprintf(text, sizeof text, "%lld", (long long)k->i64_max);
  CHECK(lq_config_set_text(config, k->name, text) == LQ_OK &&
            lq_config_get_i64(config, k->key, &v) == LQ_OK && v == k->i64_max,
        "text %s", text);
  CHECK(lq_config_set_i64(config, k->key, k->i64_default) == LQ_OK, "default");
}

static void check_choice(lq_config *config, const lq_key_info *k)
{
  char word[64];
  int64_t v = 0, want = k->i64_min;
  CHECK(k->choices && *k->choices, "no choices");
  for (const char *p = k->choices; *p; want++) {
    size_t n = strcspn(p, "|");
    snprintf(word, sizeof word, "%.*s", (int)n, p);
    CHECK(lq_config_set_text(config, k->name, word) == LQ_OK &&
              lq_config_get_i64(config, k->key, &v) == LQ_OK && v == want,
          "%s gives %d, not %d", word, (int)v, (int)want);
    word[n - 1] = 0;
    CHECK(lq_config_set_text(config, k->name, word) == LQ_E_ARGUMENT, "%s is taken", word);
    p += n + (p[n] == '|');
  }
  CHECK(want == k->i64_max + 1, "%d choices for %d values", (int)(want - k->i64_min),
        (int)(k->i64_max - k->i64_min + 1));
  CHECK(lq_config_set_text(config, k->name, "") == LQ_E_ARGUMENT &&
            lq_config_set_text(config, k->name, "1") &&
            lq_config_set_text(config, k->name, k->choices),
        "no choice");
  CHECK(lq_config_set_i64(config, k->key, k->i64_default) == LQ_OK, "default");
}

static void check_f64_key(lq_config *config, const lq_key_info *k)
{
  const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, k->f64_max * 1.001,
                        k->f64_min - 0.5};
  static const char *const bad_text[] = {"",    "nan", "inf", "-1",  "1e999",
                                         "6,5", "6x",  " 6",  "0x6", "1e"};
  double v = 3;
  int64_t i64 = 5;
  CHECK(lq_config_get_f64(config, k->key, &v) == LQ_OK && v == k->f64_default, "default %g", v);
  for (int i = 0; i < 5; i++)
    CHECK(lq_config_set_f64(config, k->key, bad[i]) == LQ_E_ARGUMENT &&
              *lq_config_error_text(config),
          "%g is taken", bad[i]);
  for (size_t i = 0; i < sizeof bad_text / sizeof *bad_text; i++)
    CHECK(lq_config_set_text(config, k->name, bad_text[i]) == LQ_E_ARGUMENT, "\"%s\" is taken",
          bad_text[i]);
  CHECK(lq_config_set_f64(config, k->key, k->f64_max) == LQ_OK &&
            lq_config_get_f64(config, k->key, &v) == LQ_OK && v == k->f64_max,
        "most");
  CHECK(lq_config_set_text(config, k->name, "0.625") == LQ_OK &&
            lq_config_get_f64(config, k->key, &v) == LQ_OK && v == 0.625,
        "text");
  CHECK(lq_config_set_i64(config, k->key, 1) == LQ_E_ARGUMENT, "as an integer");
  CHECK(lq_config_get_i64(config, k->key, &i64) == LQ_E_ARGUMENT && i64 == 0, "read as an integer");
  CHECK(lq_config_set_f64(config, k->key, k->f64_default) == LQ_OK, "default");
}

static void test_keys(void)
{
  static const int32_t known[] = {
      LQ_KEY_METHOD,    LQ_KEY_BLOCK_SIZE,       LQ_KEY_NESTED,    LQ_KEY_NESTED_BLOCK_SIZE,
      LQ_KEY_BITS,      LQ_KEY_GROUP_SIZE,       LQ_KEY_SYMMETRIC, LQ_KEY_COMPAT,
      LQ_KEY_NONFINITE, LQ_KEY_ZERO_BORROW,      LQ_KEY_THRESHOLD, LQ_KEY_ABSMAX,
      LQ_KEY_MSE,       LQ_KEY_STORAGE,          LQ_KEY_ORDER,     LQ_KEY_STATIC_GROUPS,
      LQ_KEY_DAMPING,   LQ_KEY_INPUT_CORRECTION, LQ_KEY_COMPUTE,   LQ_KEY_THREADS};
  const uint32_t count = sizeof known / sizeof *known;
  lq_config *config = new_config("");
  lq_key_info k = {.size = sizeof k};
  int64_t v = 1;
  uint32_t seen = 0;
  for (uint32_t i = 0; lq_config_key_info(i, &k) == LQ_OK; i++) {
    test_in("key %s", k.name);
    CHECK(k.text && *k.text, "no text");
    if (k.type == LQ_TYPE_I64) {
      check_i64_key(config, &k);
      check_i64_text(config, &k);
    } else if (k.type == LQ_TYPE_CHOICE) {
      check_i64_key(config, &k);
      check_choice(config, &k);
    } else {
      CHECK(k.type == LQ_TYPE_F64, "type %d", k.type);
      check_f64_key(config, &k);
    }
    for (uint32_t n = 0; n < count; n++)
      seen += known[n] == k.key;
    k.size = sizeof k;
  }
  test_in("keys");
  CHECK(seen == count, "%u of %u known keys", seen, count);
  CHECK(lq_config_key_info(seen, &k) == LQ_E_ARGUMENT &&
            lq_config_key_info(0, NULL) == LQ_E_ARGUMENT,
        "past the last");
  CHECK(lq_config_set_i64(config, 9999, 1) == LQ_E_ARGUMENT &&
            lq_config_set_f64(config, 0, 1) == LQ_E_ARGUMENT &&
            lq_config_get_i64(config, -1, &v) == LQ_E_ARGUMENT && v == 0,
        "unknown keys");
  CHECK(lq_config_set_text(config, "methods", "nf4") == LQ_E_ARGUMENT &&
            lq_config_set_text(config, "", "1") != LQ_OK,
        "unknown names");
  lq_config_destroy(config);
}

static void test_config_handles(void)
{
  int64_t v = 0;
  lq_config *config = new_config("method=fp4 block_size=128 nested=1"), *copy = POISON;
  test_in("config");
  CHECK(lq_config_set_text(config, "block_size", "-5") == LQ_E_ARGUMENT, "bad value");
  CHECK(lq_config_clone(config, &copy) == LQ_OK && copy, "clone");
  CHECK(!*lq_config_error_text(copy) && *lq_config_error_text(config),
        "the copy has no error text of its own");
  CHECK(lq_config_get_i64(copy, LQ_KEY_BLOCK_SIZE, &v) == LQ_OK && v == 128, "clone copies keys");
  CHECK(lq_config_set_i64(config, LQ_KEY_BLOCK_SIZE, 32) == LQ_OK && !*lq_config_error_text(config),
        "text is cleared");
  CHECK(lq_config_get_i64(copy, LQ_KEY_BLOCK_SIZE, &v) == LQ_OK && v == 128, "a clone is its own");
  lq_config_destroy(config);
  CHECK(lq_config_get_i64(copy, LQ_KEY_METHOD, &v) == LQ_OK && v == LQ_FP4, "and outlives");
  lq_config_destroy(copy);
}

/* Values that contradict each other are refused when the quantizer is made, with a reason. */
static void test_contradictions(void)
{
  static const char *const bad[] = {
      "method=int8 block_size=64",
      "method=int8 nested=1",
      "method=none block_size=64",
      "method=none nested=1",
      "method=none threshold=6",
      "method=nf4 threshold=6",
      "method=dynamic8 threshold=6",
      "method=nf4 block_size=12",
      "method=fp4 block_size=7",
      "method=nf4 block_size=24 compat=bitsandbytes-cpu",
      "method=fp4 block_size=8192 compat=bitsandbytes-cpu",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    lq_config *config = new_config(bad[i]);
    lq_quantizer *q = POISON;
    test_in("%s", bad[i]);
    lq_status s = lq_quantizer_create(config, &q);
    CHECK(s == LQ_E_ARGUMENT && !q && *lq_config_error_text(config), "status %d, text \"%s\"", s,
          lq_config_error_text(config));
    lq_config_destroy(config);
  }
}

/* ---- struct sizes ---- */

/* A struct with a tail, as a later version of the header might have it. */
#define LARGER(type) \
  struct { \
    type s; \
    uint64_t tail; \
  }

/*
 * Sizes below the first release's are refused; larger ones are taken if the tail is zero, and the
 * tail is not written. `call` uses l.s.
 */
#define CHECK_SIZES(type, call, smallest) \
  do { \
    LARGER(type) l; \
    for (uint32_t size_ = 0; size_ < (uint32_t)(smallest); size_ += size_ ? 4 : 1) { \
      memset(&l, 0, sizeof l); \
      l.s.size = size_; \
      lq_status s_ = (call); \
      CHECK(s_ == LQ_E_VERSION, #type " of %u bytes: %d", size_, s_); \
    } \
    memset(&l, 0, sizeof l); \
    l.s.size = sizeof l; \
    lq_status t_ = (call); \
    CHECK(t_ == LQ_OK && l.tail == 0 && l.s.size == sizeof l, #type " with a zero tail: %d", t_); \
    memset(&l, 0, sizeof l); \
    l.s.size = sizeof l; \
    l.tail = 1; \
    t_ = (call); \
    CHECK(t_ == LQ_E_VERSION && l.tail == 1, #type " with a tail: %d", t_); \
  } while (0)

static void *no_memory(void *user, size_t bytes, size_t alignment)
{
  (void)user, (void)bytes, (void)alignment;
  return NULL;
}

static void *some_memory(void *user, size_t bytes, size_t alignment)
{
  (void)user;
  return test_aligned(alignment, bytes);
}

static void release_memory(void *user, void *p, size_t bytes, size_t alignment)
{
  (void)user, (void)bytes, (void)alignment;
  test_aligned_free(p);
}

/* lq_config_create with that allocator, which is filled in but for its size. */
static lq_status create_with(lq_alloc *a)
{
  lq_config *config = POISON;
  a->alloc = some_memory;
  a->release = release_memory;
  lq_status s = lq_config_create(a, &config);
  CHECK((s == LQ_OK) == (config != NULL), "status %d, config %p", s, (void *)config);
  lq_config_destroy(config);
  return s;
}

static void test_struct_sizes(void)
{
  const uint64_t dims[2] = {4, 64};
  const float x[256] = {1};
  lq_config *config = new_config("");
  lq_quantizer *q = NULL;
  lq_tensor *dense = wrap(LQ_F32, 2, dims, x), *t = NULL;
  test_in("struct sizes");
  CHECK(lq_quantizer_create(config, &q) == LQ_OK && lq_quantizer_run(q, dense, &t) == LQ_OK,
        "quantize");
  CHECK_SIZES(lq_method_info, lq_method_info_at(0, &l.s), sizeof(lq_method_info));
  CHECK_SIZES(lq_key_info, lq_config_key_info(0, &l.s), sizeof(lq_key_info));
  CHECK_SIZES(lq_report, lq_quantizer_report(q, &l.s), sizeof(lq_report));
  CHECK_SIZES(lq_metrics, lq_compare(dense, t, &l.s, NULL), sizeof(lq_metrics));
  CHECK_SIZES(lq_plane, lq_tensor_plane(t, LQ_LAYOUT_NATIVE, 1, &l.s), sizeof(lq_plane));
  CHECK_SIZES(lq_alloc, create_with(&l.s), sizeof(lq_alloc));
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(q);
  lq_config_destroy(config);
}

static void test_allocators(void)
{
  lq_alloc a = {sizeof a, 0, NULL, no_memory, release_memory};
  lq_config *config = POISON;
  lq_tensor *t = POISON;
  const uint64_t huge[2] = {(uint64_t)1 << 24, (uint64_t)1 << 24};
  test_in("allocators");
  CHECK(lq_config_create(&a, &config) == LQ_E_MEMORY && !config, "no memory");
  CHECK(lq_tensor_create(&a, LQ_F32, 2, huge, &t) == LQ_E_MEMORY && !t,
        "no memory for 2^48 elements");
  a.flags = 1;
  CHECK(lq_config_create(&a, &config) == LQ_E_ARGUMENT && !config, "unknown flags");
  a.flags = 0;
  a.alloc = NULL;
  CHECK(lq_config_create(&a, &config) == LQ_E_ARGUMENT, "no alloc");
  a.alloc = some_memory;
  a.release = NULL;
  CHECK(lq_config_create(&a, &config) == LQ_E_ARGUMENT, "no release");
}

/* ---- tensors ---- */

static void test_shapes(void)
{
  static const uint64_t p40 = (uint64_t)1 << 40, p63 = (uint64_t)1 << 63;
  const uint64_t overflowing[][3] = {{p40, p40, 1},
                                     {p63, 2, 1},
                                     {0, p63, p63},
                                     {p63, 0, p63},
                                     {p63, p63, 0},
                                     {UINT64_MAX, 1, 1},
                                     {UINT64_MAX, UINT64_MAX, UINT64_MAX},
                                     {1, p63, 1},
                                     {0, 1, p63},
                                     {1, 0, p63},
                                     {0, 0, p63}};
  const uint64_t ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  float x[4] = {0};
  lq_tensor *t;
  test_in("shapes");
  for (size_t i = 0; i < sizeof overflowing / sizeof *overflowing; i++) {
    t = POISON;
    lq_status s = lq_tensor_create(NULL, LQ_F32, 3, overflowing[i], &t);
    CHECK(s == LQ_E_OVERFLOW && !t, "create %d: %d", (int)i, s);
    t = POISON;
    s = lq_tensor_wrap(NULL, LQ_F16, 3, overflowing[i], x, sizeof x, &t);
    CHECK(s == LQ_E_OVERFLOW && !t, "wrap %d: %d", (int)i, s);
  }
  for (uint32_t ndim = 0; ndim <= 9; ndim++) {
    t = POISON;
    lq_status s = lq_tensor_create(NULL, LQ_BF16, ndim, ones, &t);
    CHECK(ndim <= 8 ? s == LQ_OK && t && lq_tensor_ndim(t) == ndim : s == LQ_E_ARGUMENT && !t,
          "ndim %u: %d", ndim, s);
    lq_tensor_destroy(t);
  }
  CHECK(lq_tensor_create(NULL, LQ_F32, 2, NULL, &t) == LQ_E_ARGUMENT && !t, "no dims");
  CHECK(lq_tensor_create(NULL, LQ_F32, 0, NULL, &t) == LQ_OK && tensor_elements(t) == 1,
        "ndim 0 needs no dims");
  lq_tensor_destroy(t);
  for (int32_t dtype = -1; dtype < 10; dtype++) {
    t = POISON;
    lq_status s = lq_tensor_create(NULL, dtype, 1, ones, &t);
    CHECK(dtype >= LQ_F32 && dtype <= LQ_BF16 ? s == LQ_OK : s == LQ_E_ARGUMENT && !t,
          "dtype %d: %d", dtype, s);
    lq_tensor_destroy(t);
  }
}

static void test_create(void)
{
  const uint64_t dims[3] = {3, 0, 5}, two[2] = {3, 5};
  lq_tensor *t = NULL, *copy = NULL;
  test_in("create");
  CHECK(lq_tensor_create(NULL, LQ_F16, 2, two, &t) == LQ_OK, "create");
  uint16_t *data = lq_tensor_data(t);
  if (!CHECK(data != NULL, "data are writable"))
    return;
  for (int i = 0; i < 15; i++)
    CHECK(data[i] == 0, "element %d is not zero", i);
  data[14] = 0x3c00;
  CHECK(lq_tensor_dtype(t) == LQ_F16 && lq_tensor_method(t) == LQ_NONE &&
            lq_tensor_dim(t, 0) == 3 && lq_tensor_dim(t, 1) == 5 && lq_tensor_dim(t, 2) == 0 &&
            lq_tensor_dim(t, UINT_MAX) == 0,
        "what it is");
  CHECK(lq_tensor_nbytes(t) == 30 && lq_tensor_bits_per_weight(t) == 16, "%d bytes",
        (int)lq_tensor_nbytes(t));
  CHECK(lq_tensor_clone(NULL, t, &copy) == LQ_OK && lq_tensor_data(copy) == NULL,
        "a clone is not writable");
  data[14] = 0;
  lq_tensor_destroy(t);
  float *y = decode(copy, LQ_F32);
  CHECK(y && y[14] == 1.0f && y[0] == 0.0f, "a clone is deep");
  free(y);
  lq_tensor_destroy(copy);
  CHECK(lq_tensor_create(NULL, LQ_F32, 3, dims, &t) == LQ_OK, "a dimension of 0");
  CHECK(lq_tensor_nbytes(t) == 0 && lq_tensor_bits_per_weight(t) == 0 && tensor_elements(t) == 0,
        "empty");
  CHECK(lq_dequantize(t, LQ_F32, NULL, 0, NULL) == LQ_OK, "decode nothing");
  lq_tensor_destroy(t);
}

static void test_wrap(void)
{
  const uint64_t dims[2] = {3, 5}, empty[2] = {0, 5};
  float x[16] = {0};
  lq_tensor *t = POISON;
  test_in("wrap");
  CHECK(lq_tensor_wrap(NULL, LQ_F32, 2, dims, x, 59, &t) == LQ_E_SHAPE && !t, "a byte less");
  CHECK(lq_tensor_wrap(NULL, LQ_F32, 2, dims, x, 61, &t) == LQ_E_SHAPE && !t, "a byte more");
  CHECK(lq_tensor_wrap(NULL, LQ_F32, 2, dims, x, 0, &t) == LQ_E_SHAPE && !t, "no bytes");
  CHECK(lq_tensor_wrap(NULL, LQ_F16, 2, dims, x, 60, &t) == LQ_E_SHAPE && !t,
        "bytes of another dtype");
  CHECK(lq_tensor_wrap(NULL, LQ_F32, 2, dims, NULL, 60, &t) == LQ_E_ARGUMENT && !t, "no data");
  CHECK(lq_tensor_wrap(NULL, LQ_F32, 2, dims, (char *)x + 1, 60, &t) == LQ_E_ARGUMENT && !t,
        "misaligned");
  CHECK(lq_tensor_wrap(NULL, LQ_I8, 2, dims, x, 15, &t) == LQ_E_ARGUMENT && !t, "dtype");
  CHECK(lq_tensor_wrap(NULL, LQ_F32, 2, empty, NULL, 0, &t) == LQ_OK && t, "nothing");
  lq_tensor_destroy(t);
  CHECK(lq_tensor_wrap(NULL, LQ_F16, 2, dims, (char *)x + 2, 30, &t) == LQ_OK && !lq_tensor_data(t),
        "aligned to 2");
  lq_tensor_destroy(t);
}

/* ---- states and arguments ---- */

static void test_null(void)
{
  lq_config *config = POISON;
  lq_quantizer *q = POISON;
  lq_tensor *t = POISON;
  int64_t v = 3;
  double f = 3;
  lq_report r = {.size = sizeof r};
  lq_plane p = {.size = sizeof p};
  test_in("null");
  lq_config_destroy(NULL);
  lq_tensor_destroy(NULL);
  lq_quantizer_destroy(NULL);
  CHECK(lq_config_create(NULL, NULL) == LQ_E_ARGUMENT, "config_create");
  CHECK(lq_config_clone(NULL, &config) == LQ_E_ARGUMENT && !config, "config_clone");
  CHECK(lq_config_set_i64(NULL, LQ_KEY_NESTED, 1) == LQ_E_ARGUMENT, "config_set_i64");
  CHECK(lq_config_set_f64(NULL, LQ_KEY_THRESHOLD, 1) == LQ_E_ARGUMENT, "config_set_f64");
  CHECK(lq_config_get_i64(NULL, LQ_KEY_NESTED, &v) == LQ_E_ARGUMENT && v == 0, "config_get_i64");
  CHECK(lq_config_get_f64(NULL, LQ_KEY_THRESHOLD, &f) == LQ_E_ARGUMENT && f == 0, "config_get_f64");
  CHECK(lq_config_set_text(NULL, "method", "nf4") == LQ_E_ARGUMENT, "config_set_text");
  CHECK(lq_config_set_parallel(NULL, NULL, NULL) == LQ_E_ARGUMENT, "config_set_parallel");
  CHECK(lq_config_error_text(NULL) != NULL && lq_quantizer_error_text(NULL) != NULL, "texts");
  config = new_config("");
  CHECK(lq_config_clone(config, NULL) == LQ_E_ARGUMENT &&
            lq_config_get_i64(config, LQ_KEY_NESTED, NULL) != LQ_OK &&
            lq_config_get_f64(config, LQ_KEY_THRESHOLD, NULL) != LQ_OK,
        "no out");
  CHECK(lq_config_set_text(config, NULL, "1") == LQ_E_ARGUMENT &&
            lq_config_set_text(config, "nested", NULL) != LQ_OK,
        "no text");
  CHECK(lq_quantizer_create(NULL, &q) == LQ_E_ARGUMENT && !q &&
            lq_quantizer_create(config, NULL) != LQ_OK,
        "quantizer");
  CHECK(lq_quantizer_run(NULL, NULL, &t) == LQ_E_ARGUMENT && !t, "quantizer_run");
  CHECK(lq_quantizer_report(NULL, &r) == LQ_E_ARGUMENT, "quantizer_report");
  CHECK(lq_tensor_clone(NULL, NULL, &t) == LQ_E_ARGUMENT && !t, "tensor_clone");
  CHECK(!lq_tensor_dtype(NULL) && !lq_tensor_ndim(NULL) && !lq_tensor_dim(NULL, 0) &&
            !lq_tensor_nbytes(NULL) && !lq_tensor_data(NULL) && !lq_tensor_method(NULL) &&
            lq_tensor_bits_per_weight(NULL) == 0 && !lq_tensor_plane_count(NULL, LQ_LAYOUT_NATIVE),
        "questions to no tensor");
  CHECK(lq_tensor_get_i64(NULL, LQ_KEY_METHOD, &v) == LQ_E_ARGUMENT && v == 0, "tensor_get_i64");
  CHECK(lq_tensor_plane(NULL, LQ_LAYOUT_NATIVE, 0, &p) == LQ_E_ARGUMENT, "tensor_plane");
  CHECK(lq_dequantize(NULL, LQ_F32, &f, 4, NULL) == LQ_E_ARGUMENT, "dequantize");
  CHECK(lq_dequantize_rows(NULL, 0, 0, LQ_F32, &f, 0, NULL) == LQ_E_ARGUMENT, "dequantize_rows");
  CHECK(lq_matmul(NULL, 1, LQ_F32, &f, 1, NULL, LQ_F32, &f, 1, NULL) == LQ_E_ARGUMENT, "matmul");
  CHECK(lq_matmul_int8(NULL, NULL, NULL, LQ_F32, &f, 1, NULL) == LQ_E_ARGUMENT, "matmul_int8");
  lq_config_destroy(config);
}

static void test_states(void)
{
  const uint64_t dims[2] = {2, 64};
  const float x[128] = {1, 2, 3};
  lq_report r = {.size = sizeof r};
  lq_config *config = new_config("method=int8");
  lq_quantizer *q = NULL;
  lq_tensor *dense = wrap(LQ_F32, 2, dims, x), *t = NULL, *again = POISON;
  int64_t v = 5;
  test_in("states");
  CHECK(lq_quantizer_create(config, &q) == LQ_OK, "create");
  CHECK(lq_quantizer_report(q, &r) == LQ_E_STATE, "no report before the first run");
  CHECK(lq_quantizer_run(q, NULL, &again) == LQ_E_ARGUMENT && !again && *lq_quantizer_error_text(q),
        "no weight");
  CHECK(lq_quantizer_run(q, dense, NULL) == LQ_E_ARGUMENT, "no out");
  CHECK(lq_quantizer_run(q, dense, &t) == LQ_OK && !*lq_quantizer_error_text(q), "run");
  again = POISON;
  CHECK(lq_quantizer_run(q, t, &again) == LQ_E_STATE && !again && *lq_quantizer_error_text(q),
        "quantized already");
  CHECK(lq_quantizer_report(q, NULL) == LQ_E_ARGUMENT, "no out");
  CHECK(lq_tensor_get_i64(t, LQ_KEY_METHOD, &v) == LQ_OK && v == LQ_INT8, "method");
  CHECK(lq_tensor_get_i64(t, LQ_KEY_BLOCK_SIZE, &v) == LQ_OK && v == 0, "block size");
  CHECK(lq_tensor_get_i64(t, LQ_KEY_THREADS, &v) == LQ_E_ARGUMENT && v == 0,
        "not a property of tensors");
  CHECK(lq_tensor_plane_count(t, 0) == 0 && lq_tensor_plane_count(t, 99) == 0, "unknown layouts");
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(q);
  lq_config_destroy(config);
}

static void test_compute_arguments(void)
{
  const uint64_t dims[2] = {4, 16};
  float w[64] = {1, 2, 3}, x[64] = {1}, y[64];
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, w, "method=nf4"),
            *dense = wrap(LQ_F32, 2, dims, w);
  test_in("compute arguments");
  CHECK(lq_dequantize(t, LQ_F32, y, 255, NULL) == LQ_E_SHAPE &&
            lq_dequantize(t, LQ_F32, y, 128, NULL) == LQ_E_SHAPE,
        "bytes");
  CHECK(lq_dequantize(t, LQ_I8, y, 64, NULL) == LQ_E_ARGUMENT &&
            lq_dequantize(t, 0, y, 256, NULL) == LQ_E_ARGUMENT,
        "dtype");
  CHECK(lq_dequantize(t, LQ_F32, NULL, 256, NULL) == LQ_E_ARGUMENT, "no out");
  CHECK(lq_dequantize_rows(t, 3, 2, LQ_F32, y, 128, NULL) == LQ_E_SHAPE, "rows past the last");
  CHECK(lq_dequantize_rows(t, 5, 0, LQ_F32, y, 0, NULL) == LQ_E_SHAPE, "first row past the end");
  CHECK(lq_dequantize_rows(t, UINT64_MAX, 2, LQ_F32, y, 128, NULL) == LQ_E_SHAPE, "rows that wrap");
  CHECK(lq_dequantize_rows(t, 2, UINT64_MAX, LQ_F32, y, 128, NULL) == LQ_E_SHAPE, "many rows");
  uint64_t wrapped = UINT64_MAX - 1; /* 3 + wrapped is 1, and the bytes wrap likewise */
  CHECK(lq_dequantize_rows(t, 3, wrapped, LQ_F32, y, (size_t)(wrapped * 64), NULL) == LQ_E_SHAPE,
        "rows and bytes that wrap");
  CHECK(lq_dequantize_rows(t, 4, 0, LQ_F32, NULL, 0, NULL) == LQ_OK, "no rows");
  CHECK(lq_dequantize_rows(t, 1, 1, LQ_F32, y, 63, NULL) == LQ_E_SHAPE, "bytes of rows");
  CHECK(lq_matmul(t, 2, LQ_F32, x, 15, NULL, LQ_F32, y, 4, NULL) == LQ_E_SHAPE, "stride of x");
  CHECK(lq_matmul(t, 2, LQ_F32, x, 16, NULL, LQ_F32, y, 3, NULL) == LQ_E_SHAPE, "stride of y");
  CHECK(lq_matmul(t, 2, LQ_I8, x, 16, NULL, LQ_F32, y, 4, NULL) == LQ_E_ARGUMENT, "dtype of x");
  CHECK(lq_matmul(t, 2, LQ_F32, x, 16, NULL, LQ_I32, y, 4, NULL) == LQ_E_ARGUMENT, "dtype of y");
  CHECK(lq_matmul(t, 2, LQ_F32, NULL, 16, NULL, LQ_F32, y, 4, NULL) == LQ_E_ARGUMENT, "no x");
  CHECK(lq_matmul(t, 2, LQ_F32, x, 16, NULL, LQ_F32, NULL, 4, NULL) == LQ_E_ARGUMENT, "no y");
  CHECK(lq_matmul(t, 0, LQ_F32, NULL, 16, NULL, LQ_F32, NULL, 4, NULL) == LQ_OK, "no rows");
  CHECK(lq_matmul(t, 2, LQ_F32, x, 16, NULL, LQ_F32, y, 4, NULL) == LQ_OK, "all well");
  CHECK(lq_matmul(dense, 2, LQ_F32, x, 16, NULL, LQ_F32, y, 4, NULL) == LQ_OK && y[0] == 1,
        "dense");
  CHECK(lq_matmul_int8(t, t, NULL, LQ_F32, y, 4, NULL) == LQ_E_UNSUPPORTED, "int8 by nf4");
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
}

int main(void)
{
  test_info();
  test_cpu();
  test_method_table();
  test_keys();
  test_config_handles();
  test_contradictions();
  test_struct_sizes();
  test_allocators();
  test_shapes();
  test_create();
  test_wrap();
  test_null();
  test_states();
  test_compute_arguments();
  return test_end();
}
