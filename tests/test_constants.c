/*
 * test_constants.c - proves that what the header says as a constant and what the library says by a
 * function or a text are the same: version, ids, choices, defaults, limits.
 */
#include "helpers.h"

static const struct {
  int32_t id;
  const char *name;
} methods[] = {{LQ_NONE, "none"}, {LQ_NF4, "nf4"},           {LQ_FP4, "fp4"},
               {LQ_INT8, "int8"}, {LQ_DYNAMIC8, "dynamic8"}, {LQ_AFFINE, "affine"},
               {LQ_GPTQ, "gptq"}};

#define KEY(name) \
  { \
    LQ_KEY_##name, #name \
  }

static const struct {
  int32_t key;
  const char *name;
} keys[] = {
    KEY(METHOD),      KEY(BLOCK_SIZE),
    KEY(NESTED),      KEY(NESTED_BLOCK_SIZE),
    KEY(STORAGE),     KEY(BITS),
    KEY(GROUP_SIZE),  KEY(SYMMETRIC),
    KEY(COMPAT),      KEY(NONFINITE),
    KEY(ZERO_BORROW), KEY(THRESHOLD),
    KEY(ABSMAX),      KEY(MSE),
    KEY(ORDER),       KEY(STATIC_GROUPS),
    KEY(DAMPING),     KEY(INPUT_CORRECTION),
    KEY(COMPUTE),     KEY(THREADS),
};

static const struct {
  int32_t key;
  const char *text;
  int64_t value;
} choices[] = {
    {LQ_KEY_COMPAT, "none", LQ_COMPAT_NONE},
    {LQ_KEY_COMPAT, "bitsandbytes-cpu", LQ_COMPAT_BITSANDBYTES_CPU},
    {LQ_KEY_COMPAT, "gptq", LQ_COMPAT_GPTQ},
    {LQ_KEY_NONFINITE, "auto", LQ_NONFINITE_AUTO},
    {LQ_KEY_NONFINITE, "error", LQ_NONFINITE_ERROR},
    {LQ_KEY_NONFINITE, "saturate", LQ_NONFINITE_SATURATE},
    {LQ_KEY_NONFINITE, "keep", LQ_NONFINITE_KEEP},
    {LQ_KEY_NONFINITE, "propagate", LQ_NONFINITE_PROPAGATE},
    {LQ_KEY_ORDER, "none", LQ_ORDER_NONE},
    {LQ_KEY_ORDER, "activation", LQ_ORDER_ACTIVATION},
    {LQ_KEY_ORDER, "groups", LQ_ORDER_GROUPS},
    {LQ_KEY_COMPUTE, "exact", LQ_COMPUTE_EXACT},
    {LQ_KEY_COMPUTE, "fast", LQ_COMPUTE_FAST},
};

/* "block_size" of BLOCK_SIZE. */
static void lower(const char *name, char out[64])
{
  size_t i = 0;
  for (; name[i] && i < 63; i++)
    out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
  out[i] = 0;
}

static void test_methods(void)
{
  test_in("methods");
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    CHECK(lq_method_from_name(methods[i].name) == methods[i].id, "%s", methods[i].name);
    CHECK(!strcmp(lq_method_name(methods[i].id), methods[i].name), "%s", methods[i].name);
  }
}

/* What a method says of itself is what its tensors say. */
static void test_defaults(void)
{
  static float weights[256 * 16];
  const uint64_t dims[2] = {16, 256};
  for (uint32_t i = 0; i < lq_method_count(); i++) {
    char options[64];
    int64_t block = -1, bits = -1, method = -1;
    lq_method_info info = {.size = sizeof info};
    CHECK(lq_method_info_at(i, &info) == LQ_OK, "method %u", i);
    if (!method_options(i, options))
      continue;
    test_in("%s", options);
    lq_tensor *t = quantize_array(LQ_F32, 2, dims, weights, options);
    CHECK(lq_tensor_get_i64(t, LQ_KEY_METHOD, &method) == LQ_OK && method == info.id, "method");
    CHECK(lq_tensor_get_i64(t, LQ_KEY_BLOCK_SIZE, &block) == LQ_OK &&
              block == info.default_block_size,
          "block size %d, not %u", (int)block, info.default_block_size);
    CHECK(lq_tensor_get_i64(t, LQ_KEY_BITS, &bits) == LQ_OK && bits == info.code_bits,
          "bits %d, not %u", (int)bits, info.code_bits);
    lq_tensor_destroy(t);
  }
}

static void test_keys(void)
{
  char name[64];
  size_t known = 0;
  test_in("keys");
  lq_key_info info = {.size = sizeof info};
  for (uint32_t i = 0; lq_config_key_info(i, &info) == LQ_OK; i++)
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
      lower(keys[k].name, name);
      CHECK((info.key == keys[k].key) == !strcmp(info.name, name), "%s is %d", info.name, info.key);
      known += info.key == keys[k].key;
    }
  CHECK(known == sizeof keys / sizeof *keys, "%zu keys are known", known);
}

static void test_choices(void)
{
  lq_config *config = new_config("");
  for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
    int64_t value = -1;
    lq_key_info info = {.size = sizeof info};
    test_in("%d %s", choices[i].key, choices[i].text);
    for (uint32_t k = 0; lq_config_key_info(k, &info) == LQ_OK && info.key != choices[i].key; k++)
      ;
    CHECK(lq_config_set_text(config, info.name, choices[i].text) == LQ_OK &&
              lq_config_get_i64(config, choices[i].key, &value) == LQ_OK &&
              value == choices[i].value,
          "%s is %d, not %d", choices[i].text, (int)value, (int)choices[i].value);
  }
  lq_config_destroy(config);
}

static void test_limits(void)
{
  uint64_t dims[LQ_MAX_DIMS + 1];
  lq_tensor *t = NULL;
  test_in("limits");
  for (int i = 0; i <= LQ_MAX_DIMS; i++)
    dims[i] = 1;
  CHECK(lq_tensor_create(NULL, LQ_F32, LQ_MAX_DIMS, dims, &t) == LQ_OK &&
            lq_tensor_ndim(t) == LQ_MAX_DIMS,
        "LQ_MAX_DIMS dimensions");
  lq_tensor_destroy(t);
  CHECK(lq_tensor_create(NULL, LQ_F32, LQ_MAX_DIMS + 1, dims, &t) == LQ_E_ARGUMENT, "one more");
  CHECK(sizeof((lq_plane *)0)->dims / sizeof dims[0] == LQ_MAX_DIMS, "dims of lq_plane");
  CHECK(lq_version_number() == LQ_VERSION_NUMBER, "version %d", lq_version_number());
}

int main(void)
{
  test_methods();
  test_defaults();
  test_keys();
  test_choices();
  test_limits();
  return test_end();
}
