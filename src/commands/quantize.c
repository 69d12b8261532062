/*
 * quantize.c - the verb `quant quantize`: options, the checks before any work, and the order of
 * things.
 *
 * Must not know: how weights are encoded or written (quantize_job.c), how results are told
 * (quantize_report.c).
 */
#include "quantize.h"

#include "../files/system.h"
#include "../files/output.h"
#include "calibrated.h"
#include "hfconfig.h"
#include "select.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

typedef struct quantize_options {
  common common;
  const char *out;
  recipe_options recipe;
  args_list include, exclude;
  bool force;
  resume resume;
  const char *calibration;
  calibration_options shown; /* but for the file's name */
  const char *foreign;       /* an option of calibration that was given, or NULL */
} quantize_options;

#define FIELD(name) .field = offsetof(quantize_options, name)

static const char *const methods[] = {"nf4", "fp4", "int8", "dynamic8", "rtn", "gptq", NULL};
static const char *const storages[] = {"affine", "nf4", "fp4", NULL};
static const char *const orders[] = {"activation", "groups", "none", NULL};
static const char *const formats[] = {"bitsandbytes", "gptq", "gptq_v2", "awq", "native", NULL};
static const char *const compats[] = {"bitsandbytes-cpu", "gptq", NULL};
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
    RESUME_RESUME(quantize_options),
    RESUME_VERIFY(quantize_options),
    {.type = ARGS_GROUP, .help = "Encoding"},
    {.name = "method",
     .letter = 'm',
     .type = ARGS_CHOICE,
     .choices = methods,
     .initial = "nf4",
     FIELD(recipe.method),
     .help = "4 bits of normal quantiles or floats, 8 bits linear by rows, 8 bits finer near zero, "
             "integers in groups rounded to the nearest; gptq: integers (see --storage) that keep "
             "what layers give for the text of --calibration"},
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
     .help = "quantize the scales, too: nf4 has 4.13 instead of 4.5 bits per weight. Of integers "
             "in the native format alone"},
    {.name = "bits",
     .type = ARGS_INT,
     .value = "N",
     FIELD(recipe.bits),
     .least = 2,
     .most = 8,
     .help = "integers: 2, 3, 4 or 8 bits (4)"},
    {.name = "group-size",
     .letter = 'g',
     .type = ARGS_INT,
     .value = "N",
     FIELD(recipe.group_size),
     .least = -1,
     .most = 1 << 20,
     .help = "integers: columns of a row that share a scale, a multiple of 8; -1: the whole row "
             "(128)"},
    {.name = "sym",
     .type = ARGS_FLAG,
     FIELD(recipe.symmetric),
     .help = "integers: ranges symmetric to zero (this is the default)"},
    {.name = "asym",
     .type = ARGS_FLAG,
     FIELD(recipe.asymmetric),
     .help = "integers: each group has a zero point"},
    {.name = "mse",
     .type = ARGS_DOUBLE,
     .value = "X",
     .least_f = 0,
     .most_f = 8,
     FIELD(recipe.mse),
     .help = "integers: narrow each range to where the sum of |error|^X is least (2.4 with gptq "
             "but for --compat, otherwise 0: full ranges)"},
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
     .help = "layout of the planes. Default: bitsandbytes where it has the method and block size; "
             "of integers gptq, or gptq_v2 with zero points; otherwise native. Matrices that a "
             "layout has no place for (gptq: sides are multiples of 32) stay dense"},
    {.name = "compat",
     .type = ARGS_CHOICE,
     .choices = compats,
     FIELD(recipe.compat),
     .help = "bitsandbytes-cpu: give the same bytes as that program: same ties, and NaN goes "
             "through. gptq, of integers: choose as AutoGPTQ and GPTQModel do, known defects "
             "included"},
    {.name = "nonfinite",
     .type = ARGS_CHOICE,
     .choices = nonfinites,
     FIELD(recipe.nonfinite),
     .help = "weights with NaN or infinity: stop, replace by finite values, or leave dense (error; "
             "with --compat they go through)"},
    {.type = ARGS_GROUP, .help = "Calibration, with --method gptq"},
    {.name = "calibration",
     .type = ARGS_TEXT,
     .value = "FILE",
     FIELD(calibration),
     .help =
         "what the model is shown: a text, the member \"text\" of each line of a .jsonl file, or "
         "tokens of a FILE.safetensors[:NAME]"},
    {.name = "samples",
     .type = ARGS_INT,
     .value = "N",
     .initial = "128",
     FIELD(shown.samples),
     .least = 1,
     .most = INT64_C(1) << 30,
     .help = "how many windows of it"},
    {.name = "seq-len",
     .type = ARGS_INT,
     .value = "N",
     FIELD(shown.length),
     .least = 1,
     .most = INT64_C(1) << 30,
     .help = "tokens of a window (what the model was made for, at most 2048)"},
    {.name = "seed",
     .type = ARGS_INT,
     .value = "N",
     .initial = "0",
     FIELD(shown.seed),
     .least = 0,
     .most = -1,
     .help = "which windows"},
    {.name = "storage",
     .type = ARGS_CHOICE,
     .choices = storages,
     FIELD(recipe.storage),
     .help = "whose codes are chosen (affine: integers in groups)"},
    {.name = "order",
     .type = ARGS_CHOICE,
     .choices = orders,
     FIELD(recipe.order),
     .help = "columns with the largest inputs first, the same within groups and then by groups, or "
             "as they stand (activation)"},
    {.name = "dynamic-groups",
     .type = ARGS_FLAG,
     FIELD(recipe.dynamic_groups),
     .help = "take the range of a group when its turn comes; with --order activation groups are "
             "then formed in that order and have an index (act-order), which slows loaders down"},
    {.name = "damp",
     .type = ARGS_DOUBLE,
     .value = "X",
     .least_f = 0,
     .most_f = 1,
     FIELD(recipe.damping),
     .help = "added to the diagonal of the Hessian, as a share of its mean (0.01)"},
    {.name = "input-correction",
     .type = ARGS_DOUBLE,
     .value = "X",
     .least_f = 0,
     .most_f = 1,
     FIELD(recipe.input_correction),
     .help = "make up for that share of what quantizing the layers before changed in the inputs "
             "(GPTAQ), 0.25 usual (0). The float model then runs beside: twice the time, and twice "
             "the memory for hidden states"},
    {.name = "spill",
     .type = ARGS_FLAG,
     FIELD(shown.spill),
     .help = "keep what passes from layer to layer in a file beside OUT instead of in memory"},
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
    "or GGUF file. OUT appears whole or not at all.",
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

/* What only a calibrated method takes, and what it cannot do without. */
static bool check_calibration(const quantize_options *o, const recipe *r, fail *why)
{
  if (!r->calibrated && o->foreign)
    return fail_set(why, FAIL_USAGE, NULL, "--%s goes with --method gptq alone", o->foreign);
  if (!r->calibrated)
    return true;
  if (!o->calibration)
    return fail_set(why, FAIL_USAGE, NULL, "--method %s needs --calibration FILE", r->method_name);
  if (o->recipe.single_file)
    return fail_set(why, FAIL_USAGE, NULL, "--method %s needs a model folder, not a file",
                    r->method_name);
  return true;
}

/* FILE.safetensors or FILE.safetensors:NAME. */
static bool names_tokens(const char *path)
{
  static const char end[] = ".safetensors";
  const char *at = strstr(path, end);

  return at && (at[sizeof end - 1] == 0 || at[sizeof end - 1] == ':');
}

static bool run_calibrated(quantize_job *job, const quantize_options *o, fail *why)
{
  calibration_options shown = o->shown;

  if (names_tokens(o->calibration))
    shown.tokens = o->calibration;
  else
    shown.text = o->calibration;
  job->calibration = (calibration_record){.file = sys_last_part(o->calibration),
                                          .samples = shown.samples,
                                          .length = shown.length,
                                          .seed = shown.seed,
                                          .sequential = true};
  return quantize_calibrated(job, &shown, why);
}

static bool run_plain(quantize_job *job, const quantize_options *o, fail *why)
{
  progress bar;
  bool ok;

  progress_start(&bar, "quantizing", model_data_bytes(job->from),
                 o->common.quiet || o->common.json);
  ok = quantize_run(job, &bar, why);
  progress_finish(&bar);
  return ok;
}

static bool run_job(quantize_job *job, const quantize_options *o, fail *why)
{
  const weight_list *l = job->weights;
  const json_doc *config = model_config(l->model);
  bool ok;

  job->quantized = calloc(l->count + 1, sizeof *job->quantized);
  job->refused = calloc(l->count + 1, sizeof *job->refused);
  if (!job->quantized || !job->refused)
    return fail_memory(why, o->out);
  if (!check_dense(l, why) || (config && !hf_check_layout(config, job->how->layout, why)) ||
      !select_weights(l, job->how->layout, &o->include, &o->exclude, job->quantized, why) ||
      !select_drop_shapes(l, job->how, job->quantized, job->refused, &job->refused_count, why))
    return false;
  ok = job->how->calibrated ? run_calibrated(job, o, why) : run_plain(job, o, why);
  return ok && (o->common.quiet && !o->common.json ? true : quantize_report(job, why));
}

static bool quantize(const quantize_options *o, const char *in, fail *why)
{
  enum { KEEP = 128 << 20 };
  model *from = NULL;
  weight_list weights = {0};
  recipe how;
  quantize_job job = {
      .options = &o->common, .how = &how, .out = o->out, .force = o->force, .resume = &o->resume};
  bool ok = false;

  if (!common_cpu(&o->common, why) || !pool_create(&job.memory, KEEP, false, why) ||
      !recipe_make(&how, &job.quantizer, &o->recipe, &o->common, job.memory, why) ||
      !check_calibration(o, &how, why) || !out_check_distinct(in, o->out, why) ||
      !model_open(&from, in, why) || !resume_check(&o->resume, from, why) ||
      !weight_list_make(&weights, from, why))
    goto done;
  job.from = from;
  job.weights = &weights;
  ok = run_job(&job, o, why);
done:
  free(job.quantized);
  free(job.refused);
  free(job.results);
  lq_quantizer_destroy(job.quantizer);
  weight_list_free(&weights);
  model_close(from);
  pool_destroy(job.memory);
  return ok;
}

/* The first option on the command line that says what calibration is to see. */
static const char *first_given(const args_result *args)
{
  static const char *const names[] = {"calibration", "samples", "seq-len", "seed", "spill"};

  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (args_given(&verb, args, names[i]))
      return names[i];
  return NULL;
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
  o.recipe.bits_given = args_given(&verb, &args, "bits");
  o.recipe.group_size_given = args_given(&verb, &args, "group-size");
  o.recipe.mse_given = args_given(&verb, &args, "mse");
  o.recipe.damping_given = args_given(&verb, &args, "damp");
  o.recipe.input_correction_given = args_given(&verb, &args, "input-correction");
  o.foreign = first_given(&args);
  o.recipe.single_file = common_is_file(args.positional[0]);
  ok = resume_make(&o.resume, &verb, &o, why) && quantize(&o, args.positional[0], why);
  args_free(&args);
  return ok;
}
