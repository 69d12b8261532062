/* hfconfig.c - see hfconfig.h. */
#include "hfconfig.h"

#include "select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char quantization_config[] = "quantization_config";

const char *hf_dtype_name(int32_t dtype)
{
  return dtype == LQ_F32 ? "float32" : dtype == LQ_F16 ? "float16" : "bfloat16";
}

static int32_t dtype_from_name(const char *name)
{
  static const int32_t all[] = {LQ_F32, LQ_F16, LQ_BF16};

  if (name && strncmp(name, "torch.", 6) == 0)
    name += 6;
  for (size_t i = 0; name && i < sizeof all / sizeof *all; i++)
    if (strcmp(name, hf_dtype_name(all[i])) == 0)
      return all[i];
  return 0;
}

int32_t hf_dtype(const json_doc *d)
{
  json_id root = json_root(d), text = json_get(d, root, "text_config");
  const json_id places[] = {json_get(d, root, "dtype"), json_get(d, root, "torch_dtype"),
                            json_get(d, text, "dtype"), json_get(d, text, "torch_dtype")};

  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    int32_t t = dtype_from_name(json_string(d, places[i]));

    if (t)
      return t;
  }
  return 0;
}

void hf_put_dtype(json_doc *d, int32_t dtype)
{
  json_id root = json_root(d);
  bool old = json_get(d, root, "torch_dtype") && !json_get(d, root, "dtype");

  json_put_string(d, root, old ? "torch_dtype" : "dtype", hf_dtype_name(dtype));
}

bool hf_quantized(const json_doc *d, char method[32], bool *restorable)
{
  json_id q = json_get(d, json_root(d), quantization_config);
  json_id by = json_get(d, q, "quant_method");
  const char *name = json_string(d, by);

  if (json_kind_of(d, q) != JSON_OBJECT)
    return false;
  *restorable = !name || json_is(d, by, "bitsandbytes") || json_is(d, by, "libquant") ||
                json_is(d, by, "gptq") || json_is(d, by, "awq");
  if (json_is(d, by, "libquant"))
    name = json_string(d, json_get(d, q, "method"));
  else if (json_kind_of(d, json_get(d, q, "load_in_8bit")) == JSON_TRUE)
    name = "int8";
  else if (json_kind_of(d, json_get(d, q, "load_in_4bit")) == JSON_TRUE)
    name = json_string(d, json_get(d, q, "bnb_4bit_quant_type"));
  snprintf(method, 32, "%s", name ? name : "an unnamed method");
  return true;
}

void hf_remove_quantization(json_doc *d)
{
  json_remove(d, json_root(d), quantization_config);
}

const char *hf_transposed_type(const json_doc *d)
{
  static const char *const transposed[] = {"gpt2", "openai-gpt", "imagegpt",
                                           "decision_transformer"};
  json_id type = json_get(d, json_root(d), "model_type");

  for (size_t i = 0; i < sizeof transposed / sizeof *transposed; i++)
    if (json_is(d, type, transposed[i]))
      return transposed[i];
  return NULL;
}

bool hf_check_layout(const json_doc *d, int32_t layout, fail *why)
{
  const char *type = hf_transposed_type(d);

  if (type && layout != LQ_LAYOUT_NATIVE)
    return fail_set(why, FAIL_UNSUPPORTED, json_file(d),
                    "models of type %s keep their weights transposed, which the %s layout does "
                    "not; use --format native",
                    type, recipe_layout_name(layout));
  return true;
}

/* The model's type, or that of most quantized parameters. */
static int32_t compute_dtype(const json_doc *d, const weight_list *l, const bool *quantized)
{
  uint64_t elements[8] = {0};
  int32_t best = hf_dtype(d);

  if (best)
    return best;
  for (size_t i = 0; i < l->count; i++)
    if (quantized[i])
      elements[weight_dtype(l->at[i].base->tensor->dtype)] += l->at[i].base->tensor->elements;
  best = LQ_F32;
  if (elements[LQ_F16] > elements[best])
    best = LQ_F16;
  return elements[LQ_BF16] > elements[best] ? LQ_BF16 : best;
}

static bool module_begins(const weight_list *l, const bool *quantized, const char *path)
{
  size_t n = strlen(path);

  for (size_t i = 0; i < l->count; i++)
    if (quantized[i] && strncmp(l->at[i].name, path, n) == 0 && l->at[i].name[n] != '.')
      return true;
  return false;
}

/* Module path of "PATH.weight", with room for two more characters. NULL without memory. */
static char *module_of(const weight *w)
{
  size_t n = strlen(w->name) - strlen(".weight");
  char *path = malloc(n + 3);

  if (path) {
    memcpy(path, w->name, n);
    path[n] = 0;
  }
  return path;
}

/* Names the layers that stay dense. transformers takes each name as a regular expression that need
 * only match a beginning, so that "mlp.gate" would also mean "mlp.gate_proj": such a name gets a
 * dollar sign. */
static bool put_skipped(json_doc *d, json_id into, const weight_list *l, const bool *quantized,
                        fail *why)
{
  json_id list = json_put_array(d, into, "llm_int8_skip_modules");

  for (size_t i = 0; i < l->count; i++) {
    char *path;

    if (quantized[i] || !select_is_linear(&l->at[i]) || !strchr(l->at[i].name, '.'))
      continue;
    path = module_of(&l->at[i]);
    if (!path)
      return fail_memory(why, json_file(d));
    if (module_begins(l, quantized, path))
      strcat(path, "$");
    json_put_string(d, list, NULL, path);
    free(path);
  }
  return true;
}

/* ---- what was done, for people ---- */

/* A name without the folders before it: nobody else has them. */
static void put_calibration(json_doc *d, json_id meta, const calibration_record *c)
{
  json_id into = json_put_object(d, meta, "calibration");

  json_put_string(d, into, "file", c->file);
  json_put_i64(d, into, "samples", c->samples);
  json_put_i64(d, into, "seed", c->seed);
  json_put_i64(d, into, "seq_len", c->length);
}

static void put_meta(json_doc *d, json_id q, const quantize_job *job)
{
  const recipe *r = job->how;
  json_id meta = json_put_object(d, q, "meta");
  char version[64];

  snprintf(version, sizeof version, "libquant:%s", lq_version_string());
  json_put_string(d, json_put_array(d, meta, "quantizer"), NULL, version);
  if (r->mse > 0)
    json_put_f64(d, meta, "mse", r->mse);
  if (!r->calibrated)
    return;
  json_put_f64(d, meta, "damp_percent", r->damping);
  if (r->input_correction > 0)
    json_put_f64(d, meta, "input_correction", r->input_correction);
  json_put_bool(d, meta, "desc_act", r->order == LQ_ORDER_ACTIVATION);
  json_put_bool(d, meta, "act_group_aware", r->order == LQ_ORDER_GROUPS);
  json_put_bool(d, meta, "static_groups", r->static_groups);
  json_put_bool(d, meta, "true_sequential", job->calibration.sequential);
  if (job->calibration.file)
    put_calibration(d, meta, &job->calibration);
}

/* ---- the families ---- */

/* All keys that transformers writes, the unused ones at its defaults. It passes over others. */
static bool put_bitsandbytes(json_doc *d, json_id q, const quantize_job *job, fail *why)
{
  const recipe *r = job->how;
  const weight_list *l = job->weights;
  bool four = r->storage != LQ_INT8;

  json_put_bool(d, q, "_load_in_4bit", four);
  json_put_bool(d, q, "_load_in_8bit", !four);
  json_put_string(d, q, "bnb_4bit_compute_dtype",
                  four ? hf_dtype_name(compute_dtype(d, l, job->quantized)) : "float32");
  json_put_string(d, q, "bnb_4bit_quant_storage", "uint8");
  json_put_string(d, q, "bnb_4bit_quant_type", four ? lq_method_name(r->storage) : "fp4");
  json_put_bool(d, q, "bnb_4bit_use_double_quant", r->nested);
  json_put_bool(d, q, "llm_int8_enable_fp32_cpu_offload", false);
  json_put_bool(d, q, "llm_int8_has_fp16_weight", false);
  json_put_null(d, q, "llm_int8_skip_modules");
  json_put_f64(d, q, "llm_int8_threshold", four ? 6.0 : r->threshold);
  json_put_bool(d, q, "load_in_4bit", four);
  json_put_bool(d, q, "load_in_8bit", !four);
  json_put_string(d, q, "quant_method", "bitsandbytes");
  if (r->calibrated)
    put_meta(d, q, job);
  return select_is_default(l, job->quantized) || put_skipped(d, q, l, job->quantized, why);
}

/* "-:^model\.layers\.0\.mlp\.gate$": leave this module out. NULL without memory. */
static char *exclusion(const char *module)
{
  char *text = malloc(2 * strlen(module) + 5), *to = text;

  if (!text)
    return NULL;
  to += sprintf(to, "-:^");
  for (const char *c = module; *c; c++) {
    if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
          *c == '_'))
      *to++ = '\\';
    *to++ = *c;
  }
  strcpy(to, "$");
  return text;
}

/* Modules that a loader would take for quantized ones, each as a rule of GPTQ, or under its name as
 * in put_skipped. Heads have a key of their own, or are known by every loader. */
static bool put_left_out(json_doc *d, json_id q, const quantize_job *job, const char *name,
                         bool rules, fail *why)
{
  const weight_list *l = job->weights;
  json_id into = 0;

  for (size_t i = 0; i < l->count; i++) {
    const weight *w = &l->at[i];
    char *path, *rule;

    if (job->quantized[i] || !select_is_linear(w) || select_is_head(w) || !strchr(w->name, '.'))
      continue;
    path = module_of(w);
    rule = path && rules ? exclusion(path) : NULL;
    if (!path || (rules && !rule)) {
      free(path);
      return fail_memory(why, json_file(d));
    }
    if (!into)
      into = rules ? json_put_object(d, q, name) : json_put_array(d, q, name);
    if (!rules && module_begins(l, job->quantized, path))
      strcat(path, "$");
    if (rules)
      json_put_object(d, into, rule);
    else
      json_put_string(d, into, NULL, path);
    free(rule);
    free(path);
  }
  return true;
}

static bool head_is_quantized(const quantize_job *job)
{
  for (size_t i = 0; i < job->weights->count; i++)
    if (job->quantized[i] && select_is_head(&job->weights->at[i]))
      return true;
  return false;
}

/* What AutoGPTQ, GPTQModel, transformers and vLLM ask for. `format` is what transformers calls the
 * format of a checkpoint. desc_act: groups follow an index; the order itself is in `meta`. */
static bool put_gptq(json_doc *d, json_id q, const quantize_job *job, fail *why)
{
  const recipe *r = job->how;
  const char *format = recipe_layout_name(r->layout);

  json_put_i64(d, q, "bits", r->bits);
  json_put_string(d, q, "checkpoint_format", format);
  json_put_bool(d, q, "desc_act", recipe_has_index(r));
  json_put_string(d, q, "format", format);
  json_put_i64(d, q, "group_size", r->group_size);
  json_put_bool(d, q, "lm_head", head_is_quantized(job));
  json_put_string(d, q, "pack_dtype", "int32");
  json_put_string(d, q, "quant_method", "gptq");
  json_put_bool(d, q, "sym", r->symmetric);
  if (r->calibrated) {
    json_put_f64(d, q, "damp_percent", r->damping);
    json_put_bool(d, q, "static_groups", r->static_groups);
    json_put_bool(d, q, "true_sequential", job->calibration.sequential);
  }
  put_meta(d, q, job);
  return put_left_out(d, q, job, "dynamic", true, why);
}

/* There are always zero points in the file, which is what zero_point asks. */
static bool put_awq(json_doc *d, json_id q, const quantize_job *job, fail *why)
{
  json_put_i64(d, q, "bits", job->how->bits);
  json_put_i64(d, q, "group_size", job->how->group_size);
  json_put_null(d, q, "modules_to_not_convert");
  json_put_string(d, q, "quant_method", "awq");
  json_put_string(d, q, "version", "gemm");
  json_put_bool(d, q, "zero_point", true);
  put_meta(d, q, job);
  return put_left_out(d, q, job, "modules_to_not_convert", false, why);
}

static void put_native(json_doc *d, json_id q, const quantize_job *job)
{
  const recipe *r = job->how;

  json_put_string(d, q, "quant_method", "libquant");
  json_put_string(d, q, "method", r->method_name);
  if (r->block_size) {
    json_put_i64(d, q, "block_size", r->block_size);
    json_put_bool(d, q, "nested", r->nested);
  } else if (r->bits) {
    json_put_i64(d, q, "bits", r->bits);
    json_put_i64(d, q, "group_size", r->group_size);
    json_put_bool(d, q, "sym", r->symmetric);
    json_put_bool(d, q, "nested", r->nested);
  } else {
    json_put_f64(d, q, "threshold", r->threshold);
  }
  if (r->calibrated) {
    json_put_string(d, q, "storage", lq_method_name(r->storage));
    put_meta(d, q, job);
  }
}

bool hf_fill_quantization(json_doc *d, json_id q, const quantize_job *job, fail *why)
{
  switch (job->how->layout) {
  case LQ_LAYOUT_BITSANDBYTES: return put_bitsandbytes(d, q, job, why);
  case LQ_LAYOUT_GPTQ:
  case LQ_LAYOUT_GPTQ_V2: return put_gptq(d, q, job, why);
  case LQ_LAYOUT_AWQ: return put_awq(d, q, job, why);
  default: put_native(d, q, job); return true;
  }
}

bool hf_put_quantization(json_doc *d, const quantize_job *job, fail *why)
{
  return hf_fill_quantization(d, json_put_object(d, json_root(d), quantization_config), job, why);
}
