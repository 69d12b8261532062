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
  *restorable = !name || json_is(d, by, "bitsandbytes") || json_is(d, by, "libquant");
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

bool hf_check_layout(const json_doc *d, int32_t layout, fail *why)
{
  static const char *const transposed[] = {"gpt2", "openai-gpt", "imagegpt",
                                           "decision_transformer"};
  json_id type = json_get(d, json_root(d), "model_type");

  if (layout == LQ_LAYOUT_BITSANDBYTES)
    for (size_t i = 0; i < sizeof transposed / sizeof *transposed; i++)
      if (json_is(d, type, transposed[i]))
        return fail_set(why, FAIL_UNSUPPORTED, json_file(d),
                        "models of type %s keep their weights transposed, which the bitsandbytes "
                        "layout does not; use --format native",
                        transposed[i]);
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

/* Names the layers that stay dense. transformers takes each name as a regular expression that need
 * only match a beginning, so that "mlp.gate" would also mean "mlp.gate_proj": such a name gets a
 * dollar sign. */
static bool put_skipped(json_doc *d, json_id into, const weight_list *l, const bool *quantized,
                        fail *why)
{
  json_id list = json_put_array(d, into, "llm_int8_skip_modules");

  for (size_t i = 0; i < l->count; i++) {
    const char *name = l->at[i].name;
    size_t n = strlen(name) - strlen(".weight");
    char *path;

    if (quantized[i] || !select_is_linear(&l->at[i]) || !strchr(name, '.'))
      continue;
    path = malloc(n + 2);
    if (!path)
      return fail_memory(why, json_file(d));
    memcpy(path, name, n);
    path[n] = 0;
    if (module_begins(l, quantized, path))
      memcpy(path + n, "$", 2);
    json_put_string(d, list, NULL, path);
    free(path);
  }
  return true;
}

/* All keys that transformers writes, the unused ones at its defaults. */
static bool put_bitsandbytes(json_doc *d, json_id q, const recipe *r, const weight_list *l,
                             const bool *quantized, fail *why)
{
  bool four = r->method != LQ_INT8;

  json_put_bool(d, q, "_load_in_4bit", four);
  json_put_bool(d, q, "_load_in_8bit", !four);
  json_put_string(d, q, "bnb_4bit_compute_dtype",
                  four ? hf_dtype_name(compute_dtype(d, l, quantized)) : "float32");
  json_put_string(d, q, "bnb_4bit_quant_storage", "uint8");
  json_put_string(d, q, "bnb_4bit_quant_type", four ? r->method_name : "fp4");
  json_put_bool(d, q, "bnb_4bit_use_double_quant", r->nested);
  json_put_bool(d, q, "llm_int8_enable_fp32_cpu_offload", false);
  json_put_bool(d, q, "llm_int8_has_fp16_weight", false);
  json_put_null(d, q, "llm_int8_skip_modules");
  json_put_f64(d, q, "llm_int8_threshold", four ? 6.0 : r->threshold);
  json_put_bool(d, q, "load_in_4bit", four);
  json_put_bool(d, q, "load_in_8bit", !four);
  json_put_string(d, q, "quant_method", "bitsandbytes");
  return select_is_default(l, quantized) || put_skipped(d, q, l, quantized, why);
}

bool hf_put_quantization(json_doc *d, const recipe *r, const weight_list *l, const bool *quantized,
                         fail *why)
{
  json_id q = json_put_object(d, json_root(d), quantization_config);

  if (r->layout == LQ_LAYOUT_BITSANDBYTES)
    return put_bitsandbytes(d, q, r, l, quantized, why);
  json_put_string(d, q, "quant_method", "libquant");
  json_put_string(d, q, "method", r->method_name);
  if (r->block_size) {
    json_put_i64(d, q, "block_size", r->block_size);
    json_put_bool(d, q, "nested", r->nested);
  } else {
    json_put_f64(d, q, "threshold", r->threshold);
  }
  return true;
}
