/*
 * config.c - fuzz target: keys set by number and by text. What is accepted reads back, what is
 * refused leaves the old value and a text.
 */
#include "fuzz.h"

static void by_text(lq_config *config, fuzz_in *in)
{
  char name[64], value[64];
  lq_key_info info = {.size = sizeof info};
  fuzz_text(in, '=', name, sizeof name);
  fuzz_text(in, '\n', value, sizeof value);
  lq_status s = lq_config_set_text(config, name, value);
  CHECK(s == LQ_OK || s == LQ_E_ARGUMENT, "%s=%s: %d", name, value, s);
  CHECK((s == LQ_OK) == !*lq_config_error_text(config), "%s=%s: the text", name, value);
  for (uint32_t i = 0; s == LQ_OK && lq_config_key_info(i, &info) == LQ_OK; i++) {
    int64_t n = 0;
    double x = 0;
    if (strcmp(info.name, name) != 0)
      continue;
    if (info.type == LQ_TYPE_F64)
      CHECK(lq_config_get_f64(config, info.key, &x) == LQ_OK && x >= info.f64_min &&
                x <= info.f64_max,
            "%s is %g", name, x);
    else
      CHECK(lq_config_get_i64(config, info.key, &n) == LQ_OK && n >= info.i64_min &&
                n <= info.i64_max,
            "%s is %lld", name, (long long)n);
  }
}

static void by_number(lq_config *config, fuzz_in *in)
{
  int32_t key = (int32_t)fuzz_u16(in);
  uint64_t bits = fuzz_u64(in);
  int64_t value = (int64_t)bits, before = 0, after = 0;
  double x, y = 0;
  memcpy(&x, &bits, sizeof x);
  lq_status had = lq_config_get_i64(config, key, &before);
  lq_status s = lq_config_set_i64(config, key, value);
  CHECK(s == LQ_OK || s == LQ_E_ARGUMENT, "%d: %d", key, s);
  CHECK(lq_config_get_i64(config, key, &after) == had &&
            (had || after == (s == LQ_OK ? value : before)),
        "key %d: %lld", key, (long long)after);
  if (lq_config_set_f64(config, key, x) == LQ_OK)
    CHECK(lq_config_get_f64(config, key, &y) == LQ_OK && x == y, "key %d: %g is %g", key, x, y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_in in = {data, size};
  lq_config *config = NULL, *clone = NULL;
  lq_quantizer *quantizer = NULL;
  if (lq_config_create(NULL, &config) != LQ_OK)
    exit(2);
  for (int i = 0; i < 64 && in.left != 0; i++)
    if (fuzz_u8(&in) & 1)
      by_text(config, &in);
    else
      by_number(config, &in);
  lq_status s = lq_quantizer_create(config, &quantizer);
  CHECK((s == LQ_OK) == (quantizer != NULL) && (s == LQ_OK) == !*lq_config_error_text(config),
        "quantizer_create: %d", s);
  lq_quantizer_destroy(quantizer);
  quantizer = NULL;
  CHECK(lq_config_clone(config, &clone) == LQ_OK, "clone");
  CHECK(!clone || lq_quantizer_create(clone, &quantizer) == s, "the clone differs");
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(clone);
  lq_config_destroy(config);
  return fuzz_end();
}
