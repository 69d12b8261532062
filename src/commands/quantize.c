/*
 * quantize.c - the verb `quant quantize`: options, the checks before any work, and the order of
 * things.
 *
 * Must not know: how weights are encoded or written (quantize_job.c), how results are told
 * (quantize_report.c).
 */
#include "quantize.h"

#include "../files/output.h"
#include "hfconfig.h"
#include "select.h"
#include "verbs.h"

#include <stdlib.h>

typedef struct quantize_options {
  common common;
  const char *out;
  recipe_options recipe;
  args_list include, exclude;
  bool force;
} quantize_options;

#define FIELD(name) .field = offsetof(quantize_options, name)

static const char *const methods[] = {"nf4", "fp4", "int8", "dynamic8", NULL};
static const char *const formats[] = {"bitsandbytes", "native", NULL};
static const char *const compats[] = {"bitsandbytes-cpu", NULL};
static const char *const nonfinites[] = {"error", "saturate", "keep", NULL};

static const args_option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = ARGS_TEXT,
     .value = "OUT",
     .required = true,
     FIELD(out),
     .help = "where the result goes: a folder for a folder, a file for a file"},
    {.name = "force", .type = ARGS_FLAG, FIELD(force), .help = "replace OUT if it exists"},
    {.type = ARGS_GROUP, .help = "Encoding"},
    {.name = "method",
     .letter = 'm',
     .type = ARGS_CHOICE,
     .choices = methods,
     .initial = "nf4",
     FIELD(recipe.method),
     .help = "4 bits of normal quantiles or floats, 8 bits linear by rows, 8 bits finer near zero"},
    {.name = "block-size",
     .letter = 'b',
     .type = ARGS_INT,
     .value = "N",
     FIELD(recipe.block_size),
     .least = 1,
     .most = INT64_C(1) << 30,
     .help = "weights that share a scale (64 for nf4 and fp4, 256 for dynamic8)"},
    {.name = "nested",
     .type = ARGS_FLAG,
     FIELD(recipe.nested),
     .help = "quantize the scales, too: 4.13 instead of 4.5 bits per weight"},
    {.name = "threshold",
     .type = ARGS_DOUBLE,
     .value = "X",
     .least_f = 0,
     .most_f = 1e30,
     FIELD(recipe.threshold),
     .help = "int8: magnitude of an outlier. bitsandbytes format: of activations, written to "
             "config.json (6.0); native format: columns of the weight that reach it stay dense"},
    {.name = "format",
     .type = ARGS_CHOICE,
     .choices = formats,
     FIELD(recipe.format),
     .help = "layout of the planes (bitsandbytes, which transformers loads, where it has the "
             "method and block size; otherwise native)"},
    {.name = "compat",
     .type = ARGS_CHOICE,
     .choices = compats,
     FIELD(recipe.compat),
     .help = "give the same bytes as that program: same ties, and NaN goes through"},
    {.name = "nonfinite",
     .type = ARGS_CHOICE,
     .choices = nonfinites,
     FIELD(recipe.nonfinite),
     .help = "weights with NaN or infinity: stop, replace by finite values, or leave dense (error; "
             "with --compat they go through)"},
    {.type = ARGS_GROUP, .help = "Which tensors"},
    {.name = "include",
     .type = ARGS_LIST,
     .value = "PAT",
     FIELD(include),
     .help = "quantize what matches instead of the default choice (linear layers but the output "
             "head; in a single file every matrix NAME.weight); may be repeated"},
    {.name = "exclude",
     .type = ARGS_LIST,
     .value = "PAT",
     FIELD(exclude),
     .help = "leave what matches; may be repeated. A pattern covers whole dotted parts of a name: "
             "lm_head, layers.0, mlp.*_proj, model.*.weight"},
    COMMON_HEADING,
    COMMON_THREADS(quantize_options),
    COMMON_CPU(quantize_options),
    COMMON_JSON(quantize_options),
    COMMON_QUIET(quantize_options),
};

static const args_verb verb = {
    "quantize",
    "IN -o OUT [options]",
    "Quantizes the weights of a model: a folder as Hugging Face lays it out, or one .safetensors\n"
    "file. OUT appears whole or not at all.",
    options,
    sizeof options / sizeof *options,
    1,
    1};

/* Restoring first would be two lossy steps in a row: the user is to decide that. */
static bool check_dense(const weight_list *l, fail *why)
{
  const json_doc *config = model_config(l->model);
  char method[32];
  bool restorable;

  if (config && hf_quantized(config, method, &restorable))
    return fail_set(why, FAIL_UNSUPPORTED, model_path(l->model),
                    restorable ? "is already quantized with %s; run 'quant dequantize' on it first"
                               : "is already quantized with %s, which quant does not read",
                    method);
  for (size_t i = 0; i < l->count; i++)
    if (l->at[i].layout)
      return fail_set(why, FAIL_UNSUPPORTED, weight_path(l, &l->at[i]),
                      "%s is already quantized; run 'quant dequantize' on the model first",
                      l->at[i].name);
  return true;
}

static bool run_job(quantize_job *job, const quantize_options *o, fail *why)
{
  const weight_list *l = job->weights;
  const json_doc *config = model_config(l->model);
  progress bar;
  bool ok;

  job->quantized = calloc(l->count + 1, sizeof *job->quantized);
  if (!job->quantized)
    return fail_memory(why, o->out);
  if (!check_dense(l, why) || (config && !hf_check_layout(config, job->how->layout, why)) ||
      !select_weights(l, job->how->layout, &o->include, &o->exclude, job->quantized, why))
    return false;
  progress_start(&bar, "quantizing", model_data_bytes(l->model), o->common.quiet || o->common.json);
  ok = quantize_run(job, &bar, why);
  progress_finish(&bar);
  return ok && (o->common.quiet && !o->common.json ? true : quantize_report(job, why));
}

static bool quantize(const quantize_options *o, const char *in, fail *why)
{
  enum { KEEP = 128 << 20 };
  model *from = NULL;
  weight_list weights = {0};
  recipe how;
  quantize_job job = {.options = &o->common, .how = &how, .out = o->out, .force = o->force};
  bool ok = false;

  if (!common_cpu(&o->common, why) || !pool_create(&job.memory, KEEP, false, why) ||
      !recipe_make(&how, &job.quantizer, &o->recipe, &o->common, job.memory, why) ||
      !out_check_distinct(in, o->out, why) || !model_open(&from, in, why) ||
      !weight_list_make(&weights, from, why))
    goto done;
  job.from = from;
  job.weights = &weights;
  ok = run_job(&job, o, why);
done:
  free(job.quantized);
  free(job.results);
  lq_quantizer_destroy(job.quantizer);
  weight_list_free(&weights);
  model_close(from);
  pool_destroy(job.memory);
  return ok;
}

bool verb_quantize(int argc, char **argv, fail *why)
{
  quantize_options o = {0};
  args_result args;
  bool ok, done;

  if (!common_parse(&verb, argc, argv, &o, &args, &done, why))
    return false;
  if (done)
    return true;
  o.recipe.block_size_given = args_given(&verb, &args, "block-size");
  o.recipe.threshold_given = args_given(&verb, &args, "threshold");
  ok = quantize(&o, args.positional[0], why);
  args_free(&args);
  return ok;
}
