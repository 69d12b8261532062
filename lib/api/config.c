/*
 * config.c - the keys: one table that checks values, answers lq_config_key_info and names choices.
 *
 * Owns: bounds, defaults and texts of keys.
 * Must not know: what the values do.
 */
#include "handle.h"

#include "../core/decimal.h"
#include "../method/registry.h"

#include <float.h>
#include <string.h>

#define COMPAT_CHOICES "none|bitsandbytes-cpu|gptq"
#define NONFINITE_CHOICES "auto|error|saturate|keep|propagate"
#define ALTERNATIVE(name, has) "|" #name
#define METHOD_CHOICES (&(LQI_METHODS(ALTERNATIVE))[1]) /* less the bar in front */
#define ONE_MORE(name, has) +1
#define METHOD_COUNT (0 LQI_METHODS(ONE_MORE))
#define MOST_BLOCK 65536
#define MOST_GROUP (1 << 20)
#define MOST_THREADS 1024

struct key {
  int32_t key;
  int32_t type;
  const char *name;
  int64_t i64_min, i64_max, i64_default;
  double f64_max, f64_default;
  const char *choices; /* value = i64_min + place in the list */
  size_t offset;       /* of the value in struct lq_config; of `par.threads` handled apart */
  const char *text;
};

#define AT(member) offsetof(struct lq_config, member)

/* The choices of the key "storage", in their order. */
static const int32_t storages[] = {LQ_AFFINE, LQ_NF4, LQ_FP4};

static const struct key keys[] = {
    {LQ_KEY_METHOD, LQ_TYPE_CHOICE, "method", LQ_NONE, LQ_NONE + METHOD_COUNT - 1, LQ_NF4, 0, 0,
     METHOD_CHOICES, AT(method), "how weights are encoded"},
    {LQ_KEY_BLOCK_SIZE, LQ_TYPE_I64, "block_size", 0, MOST_BLOCK, 0, 0, 0, NULL, AT(block_size),
     "elements under one scale; 0: the method's default"},
    {LQ_KEY_STORAGE, LQ_TYPE_CHOICE, "storage", 0, LQI_COUNT(storages) - 1, 0, 0, 0,
     "affine|nf4|fp4", AT(storage), "gptq: the method whose codes are chosen"},
    {LQ_KEY_NESTED, LQ_TYPE_I64, "nested", 0, 1, 0, 0, 0, NULL, AT(nested),
     "1: quantize the scales to 8 bits too"},
    {LQ_KEY_NESTED_BLOCK_SIZE, LQ_TYPE_I64, "nested_block_size", 8, MOST_BLOCK, 256, 0, 0, NULL,
     AT(nested_block_size), "scales under one second-level scale"},
    {LQ_KEY_BITS, LQ_TYPE_I64, "bits", 2, 8, LQI_DEFAULT_BITS, 0, 0, NULL, AT(bits),
     "affine: bits of a code, 2, 3, 4 or 8"},
    {LQ_KEY_GROUP_SIZE, LQ_TYPE_I64, "group_size", -1, MOST_GROUP, LQI_DEFAULT_GROUP_SIZE, 0, 0,
     NULL, AT(group_size), "affine: columns under one scale, a multiple of 8; -1: the whole row"},
    {LQ_KEY_SYMMETRIC, LQ_TYPE_I64, "symmetric", 0, 1, 1, 0, 0, NULL, AT(symmetric),
     "affine: 1: ranges are symmetric to 0; 0: a zero point for each group"},
    {LQ_KEY_COMPAT, LQ_TYPE_CHOICE, "compat", LQ_COMPAT_NONE, LQ_COMPAT_GPTQ, LQ_COMPAT_NONE, 0, 0,
     COMPAT_CHOICES, AT(compat), "reproduce another program byte for byte"},
    {LQ_KEY_NONFINITE, LQ_TYPE_CHOICE, "nonfinite", LQ_NONFINITE_AUTO, LQ_NONFINITE_PROPAGATE,
     LQ_NONFINITE_AUTO, 0, 0, NONFINITE_CHOICES, AT(nonfinite), "what to do with NaN and infinity"},
    {LQ_KEY_ZERO_BORROW, LQ_TYPE_I64, "zero_borrow", 0, 1, 0, 0, 0, NULL, AT(zero_borrow),
     "layout gptq: 1: zero points had 1 taken from whole words, as GPTQModel does"},
    {LQ_KEY_THRESHOLD, LQ_TYPE_F64, "threshold", 0, 0, 0, 65504.0, 0, NULL, AT(threshold),
     "int8: magnitude from which a column stays dense; 0: off"},
    {LQ_KEY_ABSMAX, LQ_TYPE_F64, "absmax", 0, 0, 0, FLT_MAX, 0, NULL, AT(absmax),
     "int8: the absmax of every row, known before; what lies beyond is clamped; 0: its own"},
    {LQ_KEY_MSE, LQ_TYPE_F64, "mse", 0, 0, 0, 8.0, 0, NULL, AT(mse),
     "affine: exponent of the error that ranges are searched by, 2.4 usual; 0: full ranges"},
    {LQ_KEY_ORDER, LQ_TYPE_CHOICE, "order", LQ_ORDER_NONE, LQ_ORDER_GROUPS, LQ_ORDER_ACTIVATION, 0,
     0, "none|activation|groups", AT(order), "gptq: in which order columns are rounded"},
    {LQ_KEY_STATIC_GROUPS, LQ_TYPE_I64, "static_groups", 0, 1, 1, 0, 0, NULL, AT(static_groups),
     "gptq: 1: grids are those of the weights before any is rounded"},
    {LQ_KEY_DAMPING, LQ_TYPE_F64, "damping", 0, 0, 0, 1.0, 0.01, NULL, AT(damping),
     "gptq: added to the diagonal of the Hessian, as a share of its mean"},
    {LQ_KEY_INPUT_CORRECTION, LQ_TYPE_F64, "input_correction", 0, 0, 0, 1.0, 0, NULL,
     AT(input_correction),
     "gptq: share of what quantized layers before changed in the inputs that "
     "is made up for, 0.25 usual; 0: none"},
    {LQ_KEY_COMPUTE, LQ_TYPE_CHOICE, "compute", LQ_COMPUTE_EXACT, LQ_COMPUTE_FAST, LQ_COMPUTE_EXACT,
     0, 0, "exact|fast", AT(compute), "lq_matmul: fast: in fixed point where that is faster"},
    {LQ_KEY_THREADS, LQ_TYPE_I64, "threads", 0, MOST_THREADS, 0, 0, 0, NULL, AT(par),
     "threads of a call; 0: all there are"},
};

static const struct key *find_key(int32_t key)
{
  for (size_t i = 0; i < LQI_COUNT(keys); i++)
    if (keys[i].key == key)
      return &keys[i];
  return NULL;
}

LQ_API lq_status lq_config_create(const lq_alloc *alloc, lq_config **out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = NULL;
  struct lqi_mem mem;
  lq_status s = lqi_mem_init(&mem, alloc);
  if (s != LQ_OK)
    return s;
  lq_config *c = lqi_alloc(&mem, sizeof *c);
  if (c == NULL)
    return LQ_E_MEMORY;
  *c = (lq_config){.mem = mem};
  for (size_t i = 0; i < LQI_COUNT(keys); i++)
    if (keys[i].type != LQ_TYPE_F64)
      (void)lq_config_set_i64(c, keys[i].key, keys[i].i64_default);
    else
      (void)lq_config_set_f64(c, keys[i].key, keys[i].f64_default);
  *out = c;
  return LQ_OK;
}

LQ_API lq_status lq_config_clone(const lq_config *config, lq_config **out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = NULL;
  if (config == NULL)
    return LQ_E_ARGUMENT;
  lq_config *c = lqi_alloc(&config->mem, sizeof *c);
  if (c == NULL)
    return LQ_E_MEMORY;
  *c = *config;
  lqi_text_clear(&c->error);
  *out = c;
  return LQ_OK;
}

LQ_API void lq_config_destroy(lq_config *config)
{
  if (config == NULL)
    return;
  struct lqi_mem mem = config->mem;
  lqi_free(&mem, config, sizeof *config);
}

static lq_status bounds_error(lq_config *c, const struct key *k)
{
  lqi_fail(&c->error, LQ_E_ARGUMENT, k->name, " is out of bounds");
  if (k->type == LQ_TYPE_I64) {
    lqi_text_add(&c->error, ": ");
    lqi_text_add_u64(&c->error, (uint64_t)k->i64_min);
    lqi_text_add(&c->error, " to ");
    lqi_text_add_u64(&c->error, (uint64_t)k->i64_max);
  }
  return LQ_E_ARGUMENT;
}

LQ_API lq_status lq_config_set_i64(lq_config *config, int32_t key, int64_t value)
{
  if (config == NULL)
    return LQ_E_ARGUMENT;
  lqi_text_clear(&config->error);
  const struct key *k = find_key(key);
  if (k == NULL || k->type == LQ_TYPE_F64)
    return lqi_fail(&config->error, LQ_E_ARGUMENT, "no integer key of that number", NULL);
  if (value < k->i64_min || value > k->i64_max)
    return bounds_error(config, k);
  if (key == LQ_KEY_THREADS)
    config->par.threads = (uint32_t)value;
  else
    memcpy((char *)config + k->offset, &value, sizeof value);
  return LQ_OK;
}

LQ_API lq_status lq_config_get_i64(const lq_config *config, int32_t key, int64_t *out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = 0;
  const struct key *k = find_key(key);
  if (config == NULL || k == NULL || k->type == LQ_TYPE_F64)
    return LQ_E_ARGUMENT;
  if (key == LQ_KEY_THREADS)
    *out = config->par.threads;
  else
    memcpy(out, (const char *)config + k->offset, sizeof *out);
  return LQ_OK;
}

LQ_API lq_status lq_config_set_f64(lq_config *config, int32_t key, double value)
{
  if (config == NULL)
    return LQ_E_ARGUMENT;
  lqi_text_clear(&config->error);
  const struct key *k = find_key(key);
  if (k == NULL || k->type != LQ_TYPE_F64)
    return lqi_fail(&config->error, LQ_E_ARGUMENT, "no floating-point key of that number", NULL);
  if (!(value >= 0.0 && value <= k->f64_max))
    return bounds_error(config, k);
  memcpy((char *)config + k->offset, &value, sizeof value);
  return LQ_OK;
}

LQ_API lq_status lq_config_get_f64(const lq_config *config, int32_t key, double *out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = 0.0;
  const struct key *k = find_key(key);
  if (config == NULL || k == NULL || k->type != LQ_TYPE_F64)
    return LQ_E_ARGUMENT;
  memcpy(out, (const char *)config + k->offset, sizeof *out);
  return LQ_OK;
}

/* Place of `value` in "a|b|c", -1 if it is not there. */
static int64_t place_of(const char *choices, const char *value)
{
  size_t n = strlen(value);
  for (int64_t place = 0;; place++) {
    const char *end = strchr(choices, '|');
    size_t length = end != NULL ? (size_t)(end - choices) : strlen(choices);
    if (length == n && memcmp(choices, value, n) == 0)
      return place;
    if (end == NULL)
      return -1;
    choices = end + 1;
  }
}

/* Decimal digits with an optional minus; 0 if it is not such a number or does not fit. */
static int parse_i64(const char *s, int64_t *out)
{
  int negative = *s == '-';
  int64_t v = 0;
  s += negative;
  if (*s == '\0')
    return 0;
  for (; *s >= '0' && *s <= '9'; s++) {
    if (v > (INT64_MAX - 9) / 10)
      return 0;
    v = v * 10 + (*s - '0');
  }
  *out = negative ? -v : v;
  return *s == '\0';
}

LQ_API lq_status lq_config_set_text(lq_config *config, const char *name, const char *value)
{
  if (config == NULL || name == NULL || value == NULL)
    return LQ_E_ARGUMENT;
  const struct key *k = NULL;
  for (size_t i = 0; i < LQI_COUNT(keys) && k == NULL; i++)
    k = strcmp(keys[i].name, name) == 0 ? &keys[i] : NULL;
  if (k == NULL)
    return lqi_fail(&config->error, LQ_E_ARGUMENT, "no key of the name ", name);
  int64_t i;
  double f;
  if (k->type == LQ_TYPE_F64 && lqi_parse_double(value, strlen(value), &f))
    return lq_config_set_f64(config, k->key, f);
  if (k->type == LQ_TYPE_I64 && parse_i64(value, &i))
    return lq_config_set_i64(config, k->key, i);
  if (k->type == LQ_TYPE_CHOICE && (i = place_of(k->choices, value)) >= 0)
    return lq_config_set_i64(config, k->key, k->i64_min + i);
  lqi_fail(&config->error, LQ_E_ARGUMENT, k->name, " cannot be ");
  lqi_text_add(&config->error, value);
  lqi_text_add(&config->error, k->choices != NULL ? "; it is one of " : "");
  lqi_text_add(&config->error, k->choices != NULL ? k->choices : "");
  return LQ_E_ARGUMENT;
}

LQ_API lq_status lq_config_key_info(uint32_t index, lq_key_info *out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  if (!lqi_known_struct(out, out->size, sizeof *out))
    return LQ_E_VERSION;
  if (index >= LQI_COUNT(keys))
    return LQ_E_ARGUMENT;
  const struct key *k = &keys[index];
  *out = (lq_key_info){
      .size = out->size,
      .key = k->key,
      .type = k->type,
      .i64_min = k->i64_min,
      .i64_max = k->i64_max,
      .i64_default = k->i64_default,
      .f64_max = k->f64_max,
      .f64_default = k->f64_default,
      .name = k->name,
      .choices = k->choices,
      .text = k->text,
  };
  return LQ_OK;
}

LQ_API lq_status lq_config_set_parallel(lq_config *config, lq_parallel_fn parallel, void *user)
{
  if (config == NULL)
    return LQ_E_ARGUMENT;
  config->par.hook = parallel;
  config->par.user = user;
  return LQ_OK;
}

LQ_API const char *lq_config_error_text(const lq_config *config)
{
  return config != NULL ? config->error.s : "";
}

struct lqi_par lqi_par_of(const lq_config *how)
{
  return how != NULL ? how->par : (struct lqi_par){NULL, NULL, 0};
}

int32_t lqi_storage_of(const lq_config *config)
{
  return storages[config->storage];
}
