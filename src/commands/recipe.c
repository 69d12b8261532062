/* recipe.c - options to library keys, and the combinations that no reader would understand. */
#include "recipe.h"

#include <string.h>

static const char layout_bitsandbytes[] = "bitsandbytes", layout_native[] = "native";

const char *recipe_layout_name(int32_t layout)
{
  return layout == LQ_LAYOUT_BITSANDBYTES ? layout_bitsandbytes : layout_native;
}

static bool find_method(const char *name, lq_method_info *out)
{
  for (uint32_t i = 0; i < lq_method_count(); i++) {
    *out = (lq_method_info){.size = sizeof *out};
    if (lq_method_info_at(i, out) == LQ_OK && strcmp(out->name, name) == 0)
      return true;
  }
  return false;
}

/* What bitsandbytes itself can hold. */
static bool fits_bitsandbytes(const recipe *r)
{
  int64_t b = r->block_size;

  if (r->method == LQ_NF4 || r->method == LQ_FP4)
    return b >= 32 && b <= 4096 && (b & (b - 1)) == 0;
  return r->method == LQ_INT8;
}

static bool choose_layout(recipe *r, const char *format, fail *why)
{
  bool fits = fits_bitsandbytes(r);

  if (!format) {
    r->layout = fits ? LQ_LAYOUT_BITSANDBYTES : LQ_LAYOUT_NATIVE;
  } else if (strcmp(format, layout_native) == 0) {
    r->layout = LQ_LAYOUT_NATIVE;
  } else {
    r->layout = LQ_LAYOUT_BITSANDBYTES;
    if (!fits && r->block_size && r->method != LQ_DYNAMIC8)
      return fail_set(why, FAIL_USAGE, NULL,
                      "--format bitsandbytes has block sizes 32, 64, ... 4096, not %lld",
                      (long long)r->block_size);
    if (!fits)
      return fail_set(why, FAIL_USAGE, NULL, "--format bitsandbytes has no %s; use native",
                      r->method_name);
  }
  return true;
}

/* Resolves everything but the threshold, which has two meanings. */
static bool resolve(recipe *r, const recipe_options *o, fail *why)
{
  lq_method_info info;

  if (!find_method(o->method, &info))
    return fail_set(why, FAIL_USAGE, NULL, "--method %s: there is no such method", o->method);
  r->method = info.id;
  r->method_name = info.name;
  if (o->block_size_given && !(info.flags & LQ_METHOD_BLOCKWISE))
    return fail_set(why, FAIL_USAGE, NULL, "--block-size: %s has one scale a row", info.name);
  if (o->nested && !(info.flags & LQ_METHOD_BLOCKWISE))
    return fail_set(why, FAIL_USAGE, NULL, "--nested: %s has one scale a row", info.name);
  if (info.flags & LQ_METHOD_BLOCKWISE)
    r->block_size = o->block_size_given ? o->block_size : (int64_t)info.default_block_size;
  r->nested = o->nested;
  if (o->threshold_given && r->method != LQ_INT8)
    return fail_set(why, FAIL_USAGE, NULL, "--threshold goes with --method int8 alone");
  return choose_layout(r, o->format, why);
}

static lq_status set_keys(lq_config *c, const recipe *r, const recipe_options *o)
{
  lq_status s = lq_config_set_text(c, "method", r->method_name);

  if (s == LQ_OK && r->block_size)
    s = lq_config_set_i64(c, LQ_KEY_BLOCK_SIZE, r->block_size);
  if (s == LQ_OK && r->nested)
    s = lq_config_set_i64(c, LQ_KEY_NESTED, 1);
  if (s == LQ_OK && o->compat)
    s = lq_config_set_text(c, "compat", o->compat);
  if (s == LQ_OK && o->nonfinite)
    s = lq_config_set_text(c, "nonfinite", o->nonfinite);
  if (s == LQ_OK && o->threshold_given && r->layout == LQ_LAYOUT_NATIVE)
    s = lq_config_set_f64(c, LQ_KEY_THRESHOLD, o->threshold);
  return s;
}

bool recipe_make(recipe *out, lq_quantizer **quantizer, const recipe_options *o, const common *c,
                 pool *memory, fail *why)
{
  lq_config *config = NULL;
  lq_status s;

  *out = (recipe){0};
  *quantizer = NULL;
  if (!resolve(out, o, why) || !common_config(c, memory, &config, why))
    return false;
  out->from_half = out->method == LQ_INT8 && o->compat && strcmp(o->compat, "none") != 0;
  if (o->threshold_given)
    out->threshold = o->threshold;
  else if (out->method == LQ_INT8 && out->layout == LQ_LAYOUT_BITSANDBYTES)
    out->threshold = 6.0; /* what bitsandbytes takes for the activations */
  s = set_keys(config, out, o);
  if (s == LQ_OK)
    s = lq_quantizer_create(config, quantizer);
  if (s == LQ_E_MEMORY)
    fail_memory(why, NULL);
  else if (s != LQ_OK)
    fail_set(why, FAIL_USAGE, NULL, "%s: %s", out->method_name, lq_config_error_text(config));
  lq_config_destroy(config);
  return s == LQ_OK;
}
