/* recipe.c - options to library keys, and the combinations that no reader would understand. */
#include "recipe.h"

#include "../model/packed.h"

#include <stdio.h>
#include <string.h>

static const char *const layout_names[] = {
    [LQ_LAYOUT_NATIVE] = "native", [LQ_LAYOUT_BITSANDBYTES] = "bitsandbytes",
    [LQ_LAYOUT_GPTQ] = "gptq",     [LQ_LAYOUT_GPTQ_V2] = "gptq_v2",
    [LQ_LAYOUT_AWQ] = "awq",       [LQ_LAYOUT_GGML] = "ggml"};
enum { LAYOUTS = sizeof layout_names / sizeof *layout_names };

const char *recipe_layout_name(int32_t layout)
{
  return layout_names[layout];
}

static int32_t layout_from_name(const char *name)
{
  for (int32_t i = 1; i < LAYOUTS; i++)
    if (i != LQ_LAYOUT_GGML && strcmp(layout_names[i], name) == 0) /* which is read alone */
      return i;
  return 0;
}

/* ---- methods ---- */

/* Rounding to the nearest is the usual name of what the library's method of integers does alone. */
static const char rtn[] = "rtn";

static bool find_method(const char *name, lq_method_info *out)
{
  if (strcmp(name, rtn) == 0)
    name = lq_method_name(LQ_AFFINE);
  for (uint32_t i = 0; i < lq_method_count(); i++) {
    *out = (lq_method_info){.size = sizeof *out};
    if (lq_method_info_at(i, out) == LQ_OK && strcmp(out->name, name) == 0)
      return (out->flags & LQ_METHOD_DECODES) == 0;
  }
  return false;
}

/* Sets method and storage; `*info` is that of the storage. */
static bool resolve_method(recipe *r, const recipe_options *o, lq_method_info *info, fail *why)
{
  if (!find_method(o->method, info))
    return fail_set(why, FAIL_USAGE, NULL, "--method %s: there is no such method", o->method);
  r->method = r->storage = info->id;
  r->method_name = info->id == LQ_AFFINE ? rtn : info->name;
  r->calibrated = (info->flags & LQ_METHOD_CALIBRATED) != 0;
  if (!r->calibrated)
    return !o->storage ||
           fail_set(why, FAIL_USAGE, NULL, "--storage goes with --method gptq alone");
  if (!find_method(o->storage ? o->storage : lq_method_name(LQ_AFFINE), info))
    return fail_set(why, FAIL_USAGE, NULL, "--storage %s: there is no such method", o->storage);
  r->storage = info->id;
  return true;
}

/* ---- which options go together ---- */

static bool check_blocks(const recipe *r, const recipe_options *o, const lq_method_info *info,
                         fail *why)
{
  bool blocks = (info->flags & LQ_METHOD_BLOCKWISE) != 0;
  bool groups = (info->flags & LQ_METHOD_GROUPWISE) != 0;

  if (o->block_size_given && groups)
    return fail_set(why, FAIL_USAGE, NULL, "--block-size: %s has --group-size", r->method_name);
  if (o->block_size_given && !blocks)
    return fail_set(why, FAIL_USAGE, NULL, "--block-size: %s has one scale a row", info->name);
  if (o->nested && !blocks && !groups)
    return fail_set(why, FAIL_USAGE, NULL, "--nested: %s has one scale a row", info->name);
  if (o->threshold_given && r->method != LQ_INT8)
    return fail_set(why, FAIL_USAGE, NULL, "--threshold goes with --method int8 alone");
  return true;
}

static int32_t order_of(const char *name)
{
  if (name && strcmp(name, "none") == 0)
    return LQ_ORDER_NONE;
  return name && strcmp(name, "groups") == 0 ? LQ_ORDER_GROUPS : LQ_ORDER_ACTIVATION;
}

/* Options of integers in groups, and of calibration. */
static bool check_groups(const recipe *r, const recipe_options *o, const lq_method_info *info,
                         fail *why)
{
  bool groups = (info->flags & LQ_METHOD_GROUPWISE) != 0;
  const char *foreign = o->bits_given                    ? "--bits"
                        : o->group_size_given            ? "--group-size"
                        : o->symmetric                   ? "--sym"
                        : o->asymmetric                  ? "--asym"
                        : o->mse_given && !r->calibrated ? "--mse"
                                                         : NULL;

  if (foreign && !groups)
    return fail_set(why, FAIL_USAGE, NULL, "%s: %s is not made of integers; rtn and gptq are",
                    foreign, info->name);
  if (o->symmetric && o->asymmetric)
    return fail_set(why, FAIL_USAGE, NULL, "--sym and --asym exclude each other");
  if (o->bits_given && o->bits != 2 && o->bits != 3 && o->bits != 4 && o->bits != 8)
    return fail_set(why, FAIL_USAGE, NULL, "--bits is 2, 3, 4 or 8, not %lld", (long long)o->bits);
  foreign = o->order                    ? "--order"
            : o->dynamic_groups         ? "--dynamic-groups"
            : o->damping_given          ? "--damp"
            : o->input_correction_given ? "--input-correction"
                                        : NULL;
  if (foreign && !r->calibrated)
    return fail_set(why, FAIL_USAGE, NULL, "%s goes with --method gptq alone", foreign);
  if (o->dynamic_groups && r->storage != LQ_AFFINE && order_of(o->order) == LQ_ORDER_ACTIVATION)
    return fail_set(why, FAIL_USAGE, NULL,
                    "--dynamic-groups: %s has no group index; choose another --order", info->name);
  if (o->compat && strcmp(o->compat, "gptq") == 0 && !groups)
    return fail_set(why, FAIL_USAGE, NULL, "--compat gptq: that program has no %s", info->name);
  return true;
}

static void set_parameters(recipe *r, const recipe_options *o, const lq_method_info *info)
{
  if (info->flags & LQ_METHOD_BLOCKWISE)
    r->block_size = o->block_size_given ? o->block_size : (int64_t)info->default_block_size;
  if (info->flags & LQ_METHOD_GROUPWISE) {
    r->bits = o->bits_given ? o->bits : 4;
    r->group_size = o->group_size_given ? o->group_size : 128;
    r->symmetric = !o->asymmetric;
  }
  r->nested = o->nested;
  /* Measured: the search is worth more to calibrated integers than act-order and takes a second. */
  r->mse = o->mse_given                                             ? o->mse
           : r->calibrated && r->storage == LQ_AFFINE && !o->compat ? 2.4
                                                                    : 0.0;
  r->order = order_of(o->order);
  r->static_groups = !o->dynamic_groups;
  r->damping = o->damping_given ? o->damping : 0.01;
  r->input_correction = o->input_correction;
  r->compat = o->compat;
  r->nonfinite = o->nonfinite;
}

bool recipe_has_index(const recipe *r)
{
  return r->calibrated && r->storage == LQ_AFFINE && r->order == LQ_ORDER_ACTIVATION &&
         !r->static_groups && r->group_size > 0;
}

/* ---- layouts ---- */

/* What bitsandbytes itself can hold. */
static bool fits_bitsandbytes(const recipe *r)
{
  int64_t b = r->block_size;

  if (r->storage == LQ_NF4 || r->storage == LQ_FP4)
    return b >= 32 && b <= 4096 && (b & (b - 1)) == 0;
  return r->storage == LQ_INT8;
}

static bool check_bitsandbytes(const recipe *r, fail *why)
{
  if (fits_bitsandbytes(r))
    return true;
  if (r->block_size && r->storage != LQ_DYNAMIC8)
    return fail_set(why, FAIL_USAGE, NULL,
                    "--format bitsandbytes has block sizes 32, 64, ... 4096, not %lld",
                    (long long)r->block_size);
  return fail_set(why, FAIL_USAGE, NULL, "--format bitsandbytes has no %s; use native",
                  r->method_name);
}

/* Layouts of GPTQ and AWQ, but for shapes, which differ from tensor to tensor. Readers take the
 * version of the zero points from a configuration, which a single file has not. */
static bool check_packed(const recipe *r, const recipe_options *o, fail *why)
{
  const char *format = recipe_layout_name(r->layout);

  if (r->storage != LQ_AFFINE)
    return fail_set(why, FAIL_USAGE, NULL, "--format %s has no %s; use bitsandbytes or native",
                    format, lq_method_name(r->storage));
  if (r->nested)
    return fail_set(why, FAIL_USAGE, NULL, "--format %s has no nested scales; use native", format);
  if (r->layout == LQ_LAYOUT_AWQ && r->bits != 4)
    return fail_set(why, FAIL_USAGE, NULL, "--format awq has 4 bits, not %lld", (long long)r->bits);
  if (r->layout == LQ_LAYOUT_AWQ && recipe_has_index(r))
    return fail_set(why, FAIL_USAGE, NULL,
                    "--format awq has groups of neighbours alone; leave out --dynamic-groups");
  if (r->layout == LQ_LAYOUT_GPTQ_V2 && o->single_file && !r->symmetric)
    return fail_set(why, FAIL_USAGE, NULL,
                    "--format gptq_v2: a single file cannot tell that it is the second version; "
                    "use native");
  return true;
}

/* Of integers: what most programs load. Zero points are safe in the second version alone. */
static int32_t usual_layout(const recipe *r, const recipe_options *o)
{
  if (r->storage != LQ_AFFINE)
    return fits_bitsandbytes(r) ? LQ_LAYOUT_BITSANDBYTES : LQ_LAYOUT_NATIVE;
  if (r->nested || (o->single_file && !r->symmetric))
    return LQ_LAYOUT_NATIVE;
  return r->symmetric ? LQ_LAYOUT_GPTQ : LQ_LAYOUT_GPTQ_V2;
}

static bool choose_layout(recipe *r, const recipe_options *o, fail *why)
{
  r->layout = o->format ? layout_from_name(o->format) : usual_layout(r, o);
  if (!r->layout)
    return fail_set(why, FAIL_USAGE, NULL, "--format %s: there is no such layout", o->format);
  if (r->layout == LQ_LAYOUT_BITSANDBYTES)
    return check_bitsandbytes(r, why);
  return !packed_is_layout(r->layout) || check_packed(r, o, why);
}

const char *recipe_shape_obstacle(const recipe *r, uint64_t rows, uint64_t columns)
{
  if (r->layout == LQ_LAYOUT_AWQ) {
    if (rows % 8 != 0 || columns % 8 != 0)
      return "rows and columns are not multiples of 8";
    if (r->group_size > 0 && (uint64_t)r->group_size < columns &&
        columns % (uint64_t)r->group_size != 0)
      return "the group size does not divide the columns";
  } else if (packed_is_layout(r->layout) && (rows % 32 != 0 || columns % 32 != 0)) {
    return "rows and columns are not multiples of 32";
  }
  return NULL;
}

/* ---- keys ---- */

static lq_status set_groups(lq_config *c, const recipe *r)
{
  lq_status s = LQ_OK;

  if (r->bits) {
    s = lq_config_set_i64(c, LQ_KEY_BITS, r->bits);
    if (s == LQ_OK)
      s = lq_config_set_i64(c, LQ_KEY_GROUP_SIZE, r->group_size);
    if (s == LQ_OK)
      s = lq_config_set_i64(c, LQ_KEY_SYMMETRIC, r->symmetric);
  }
  if (s == LQ_OK)
    s = lq_config_set_f64(c, LQ_KEY_MSE, r->mse);
  return s;
}

static lq_status set_calibration(lq_config *c, const recipe *r)
{
  lq_status s = lq_config_set_text(c, "storage", lq_method_name(r->storage));

  if (s == LQ_OK)
    s = lq_config_set_i64(c, LQ_KEY_ORDER, r->order);
  if (s == LQ_OK)
    s = lq_config_set_i64(c, LQ_KEY_STATIC_GROUPS, r->static_groups);
  if (s == LQ_OK)
    s = lq_config_set_f64(c, LQ_KEY_DAMPING, r->damping);
  if (s == LQ_OK)
    s = lq_config_set_f64(c, LQ_KEY_INPUT_CORRECTION, r->input_correction);
  return s;
}

static lq_status set_keys(lq_config *c, const recipe *r)
{
  lq_status s = lq_config_set_text(c, "method", lq_method_name(r->method));

  if (s == LQ_OK && r->block_size)
    s = lq_config_set_i64(c, LQ_KEY_BLOCK_SIZE, r->block_size);
  if (s == LQ_OK && r->nested)
    s = lq_config_set_i64(c, LQ_KEY_NESTED, 1);
  if (s == LQ_OK && r->compat)
    s = lq_config_set_text(c, "compat", r->compat);
  if (s == LQ_OK && r->nonfinite)
    s = lq_config_set_text(c, "nonfinite", r->nonfinite);
  if (s == LQ_OK && r->threshold_given && r->layout == LQ_LAYOUT_NATIVE)
    s = lq_config_set_f64(c, LQ_KEY_THRESHOLD, r->threshold);
  if (s == LQ_OK)
    s = set_groups(c, r);
  if (s == LQ_OK && r->calibrated)
    s = set_calibration(c, r);
  return s;
}

static bool keys_fail(const recipe *r, const lq_config *c, lq_status s, fail *why)
{
  if (s == LQ_E_MEMORY)
    return fail_memory(why, NULL);
  return fail_set(why, FAIL_USAGE, NULL, "%s: %s", r->method_name, lq_config_error_text(c));
}

bool recipe_config(const recipe *r, const common *c, pool *memory, lq_config **out, fail *why)
{
  lq_status s;

  if (!common_config(c, memory, out, why))
    return false;
  s = set_keys(*out, r);
  if (s == LQ_OK)
    return true;
  keys_fail(r, *out, s, why);
  lq_config_destroy(*out);
  *out = NULL;
  return false;
}

bool recipe_make(recipe *out, lq_quantizer **quantizer, const recipe_options *o, const common *c,
                 pool *memory, fail *why)
{
  lq_config *config = NULL;
  lq_method_info info = {.size = sizeof info};
  lq_status s;

  *out = (recipe){0};
  *quantizer = NULL;
  if (!resolve_method(out, o, &info, why) || !check_blocks(out, o, &info, why) ||
      !check_groups(out, o, &info, why))
    return false;
  set_parameters(out, o, &info);
  if (!choose_layout(out, o, why))
    return false;
  out->from_half = out->method == LQ_INT8 && o->compat && strcmp(o->compat, "none") != 0;
  out->threshold_given = o->threshold_given;
  if (o->threshold_given)
    out->threshold = o->threshold;
  else if (out->method == LQ_INT8 && out->layout == LQ_LAYOUT_BITSANDBYTES)
    out->threshold = 6.0; /* what bitsandbytes takes for the activations */
  if (!recipe_config(out, c, memory, &config, why))
    return false;
  s = lq_quantizer_create(config, quantizer);
  if (s != LQ_OK)
    keys_fail(out, config, s, why);
  lq_config_destroy(config);
  return s == LQ_OK;
}

/* ---- telling ---- */

void recipe_text(const recipe *r, char out[RECIPE_TEXT])
{
  int n = snprintf(out, RECIPE_TEXT, "%s", r->method_name);

  if (r->storage != r->method && r->storage != LQ_AFFINE)
    n += snprintf(out + n, (size_t)(RECIPE_TEXT - n), " onto %s", lq_method_name(r->storage));
  if (r->block_size)
    n += snprintf(out + n, (size_t)(RECIPE_TEXT - n), ", blocks of %lld", (long long)r->block_size);
  if (r->bits)
    n += snprintf(out + n, (size_t)(RECIPE_TEXT - n), ", %lld bits", (long long)r->bits);
  if (r->group_size > 0)
    n += snprintf(out + n, (size_t)(RECIPE_TEXT - n), ", groups of %lld", (long long)r->group_size);
  else if (r->bits)
    n += snprintf(out + n, (size_t)(RECIPE_TEXT - n), ", whole rows");
  if (r->bits)
    n += snprintf(out + n, (size_t)(RECIPE_TEXT - n), ", %s",
                  r->symmetric ? "symmetric" : "zero points");
  if (r->nested)
    n += snprintf(out + n, (size_t)(RECIPE_TEXT - n), ", nested scales");
  if (r->calibrated)
    snprintf(out + n, (size_t)(RECIPE_TEXT - n), ", order %s%s",
             r->order == LQ_ORDER_NONE     ? "none"
             : r->order == LQ_ORDER_GROUPS ? "groups"
                                           : "activation",
             r->static_groups ? "" : ", dynamic groups");
}
