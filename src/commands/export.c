/*
 * export.c - the verb `quant export`: weights as C source for programs without a file system.
 *
 * Must not know: how arrays look in C (c_source.c), what the files say (export_text.c).
 */
#include "export.h"

#include "../files/system.h"
#include "../files/pattern.h"
#include "../ui/units.h"
#include "common.h"
#include "hfconfig.h"
#include "verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct export_options {
  common common;
  const char *out, *prefix, *rounding;
  args_list include, exclude, layers;
  bool c_array, force;
} export_options;

#define FIELD(name) .field = offsetof(export_options, name)

static const char *const roundings[] = {"double", "single", NULL};

static const args_option options[] = {
    {.name = "c-array",
     .type = ARGS_FLAG,
     .required = true,
     FIELD(c_array),
     .help = "as constant arrays in C, with a descriptor each for lq_static_matvec"},
    {.name = "output",
     .letter = 'o',
     .type = ARGS_TEXT,
     .value = "OUT",
     .required = true,
     FIELD(out),
     .help = "writes OUT.h and OUT.c"},
    {.name = "prefix",
     .type = ARGS_TEXT,
     .value = "NAME",
     FIELD(prefix),
     .help = "what names in C begin with (the last part of OUT)"},
    {.name = "include",
     .type = ARGS_LIST,
     .value = "PATTERN",
     FIELD(include),
     .help = "tensors whose name matches, dense ones too, instead of all quantized weights with "
             "their biases; may be repeated"},
    {.name = "exclude",
     .type = ARGS_LIST,
     .value = "PATTERN",
     FIELD(exclude),
     .help = "not these; may be repeated"},
    {.name = "force", .type = ARGS_FLAG, FIELD(force), .help = "replace the files if they exist"},
    {.type = ARGS_GROUP, .help = "Fixed point"},
    {.name = "w8a8",
     .type = ARGS_LIST,
     .value = "NAME=SX,ZX,SY,ZY[,LEAST,MOST]",
     FIELD(layers),
     .help = "makes a fixed-point layer of the int8 weight NAME: scale and zero point of its input "
             "and of its output, and bounds of the output (-128,127); may be repeated"},
    {.name = "rounding",
     .type = ARGS_CHOICE,
     .choices = roundings,
     .initial = "double",
     FIELD(rounding),
     .help = "how such layers round: double as TensorFlow Lite and CMSIS-NN do, single as "
             "XNNPACK does"},
    COMMON_HEADING,
    COMMON_JSON(export_options),
    COMMON_QUIET(export_options),
};

static const args_verb verb = {
    "export",
    "IN --c-array -o OUT [options]",
    "Writes quantized weights as C source, for firmware: OUT.c with constant arrays, OUT.h with a\n"
    "descriptor for each, which lq_static_matvec of libquant takes as it is.",
    options,
    sizeof options / sizeof *options,
    1,
    1};

typedef struct state {
  const export_options *options;
  weight_list weights;
  export_target *targets;
  pool *memory;
  lq_config *config;
  char *base; /* OUT without ".c" or ".h" */
  out_file *source, *header;
  export_text text;
  size_t quantized, fixed, dense;
} state;

/* ---- names and choice ---- */

static bool name_files(state *s, fail *why)
{
  const char *out = s->options->out;
  size_t n = strlen(out);

  s->base = malloc(n + 3);
  if (!s->base)
    return fail_memory(why, out);
  if (n > 2 && out[n - 2] == '.' && (out[n - 1] == 'c' || out[n - 1] == 'h'))
    n -= 2;
  memcpy(s->base, out, n);
  s->base[n] = 0;
  out = sys_last_part(s->base);
  if (!*out || strpbrk(out, "\"\\\n\r"))
    return fail_set(why, FAIL_USAGE, s->base, "is no name of a file that #include can take");
  s->text.prefix = s->options->prefix ? s->options->prefix : out;
  if (!c_is_name(s->text.prefix))
    return fail_set(why, FAIL_USAGE, NULL, "'%s' is no name in C; --prefix gives another",
                    s->text.prefix);
  return true;
}

static bool has_bias_shape(const weight *bias, const weight *w, const weight_list *l)
{
  uint64_t dims[8];
  uint32_t ndim;
  int32_t dtype;

  return weight_is_float(bias) && bias->base->tensor->ndim == 1 &&
         weight_shape(l, w, &dtype, &ndim, dims, NULL) && ndim == 2 &&
         dims[0] == bias->base->tensor->shape[0];
}

/* The dense tensor NAME.bias of a weight NAME.weight, unless it is excluded. */
static const weight *bias_of(const state *s, const weight *w)
{
  const args_list *not = &s->options->exclude;
  size_t n = strlen(w->name);
  const weight *bias = NULL;
  char *name;

  if (n < 7 || strcmp(w->name + n - 6, "weight") != 0 || !(name = malloc(n + 1)))
    return NULL;
  memcpy(name, w->name, n - 6);
  strcpy(name + n - 6, "bias");
  bias = weight_find(&s->weights, name);
  free(name);
  if (!bias || pattern_any(not ->items, not ->count, bias->name))
    return NULL;
  return has_bias_shape(bias, w, &s->weights) ? bias : NULL;
}

/* Gives chosen weights their biases, which are then no arrays of their own. */
static void join_biases(state *s)
{
  for (size_t i = 0; i < s->weights.count; i++) {
    export_target *t = &s->targets[i];

    if (!t->chosen || !s->weights.at[i].layout || !(t->bias = bias_of(s, &s->weights.at[i])))
      continue;
    s->targets[t->bias - s->weights.at].chosen = false;
  }
}

static bool check_patterns(const state *s, const char *option, const args_list *patterns, fail *why)
{
  for (size_t p = 0; p < patterns->count; p++) {
    bool found = false;

    if (!pattern_check(patterns->items[p], why))
      return false;
    for (size_t i = 0; i < s->weights.count && !found; i++)
      found = pattern_matches(patterns->items[p], s->weights.at[i].name);
    if (!found)
      return fail_set(why, FAIL_NOTFOUND, model_path(s->weights.model), "no tensor matches %s '%s'",
                      option, patterns->items[p]);
  }
  return true;
}

static bool choose(state *s, fail *why)
{
  const args_list *in = &s->options->include, *not = &s->options->exclude;
  size_t count = 0;

  s->targets = calloc(s->weights.count + 1, sizeof *s->targets);
  if (!s->targets)
    return fail_memory(why, s->options->out);
  if (!check_patterns(s, "--include", in, why) || !check_patterns(s, "--exclude", not, why))
    return false;
  for (size_t i = 0; i < s->weights.count; i++) {
    const weight *w = &s->weights.at[i];
    export_target *t = &s->targets[i];

    t->chosen = pattern_chosen(in->items, in->count, not ->items, not ->count, w->name) &&
                (in->count || w->layout);
    if (!t->chosen)
      continue;
    count++;
    if (!c_name(s->text.prefix, w->name, t->name, why))
      return false;
  }
  if (count == 0)
    return fail_set(why, FAIL_NOTFOUND, model_path(s->weights.model),
                    "there is no quantized tensor in it; --include names others");
  join_biases(s);
  return export_read_layers(&s->weights, &s->options->layers, s->targets, why);
}

static int by_text(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* No two arrays may get one name: tensors "a.b" and "a_b" would, and "a" with codes and "a_codes".
 */
static bool check_names(const state *s, fail *why)
{
  static const char *const suffixes[] = {"",
                                         "_codes",
                                         "_scales",
                                         "_zeros",
                                         "_nested_scales",
                                         "_bias",
                                         "_multiplier",
                                         "_shift",
                                         "_nf4_codebook",
                                         "_fp4_codebook",
                                         "_nested_codebook"};
  enum { EACH = sizeof suffixes / sizeof *suffixes, ROOM = C_NAME_MAX + 32 };
  size_t n = 0, most = s->weights.count * EACH + EACH;
  char *room = malloc(most * ROOM), **at = malloc(most * sizeof *at);
  const char *twice = NULL;

  for (size_t i = 0; room && at && i < s->weights.count; i++)
    for (size_t k = 0; s->targets[i].chosen && k < (s->weights.at[i].layout ? EACH : 1); k++, n++) {
      at[n] = room + n * ROOM;
      snprintf(at[n], ROOM, "%s%s", s->targets[i].name, suffixes[k]);
    }
  for (size_t k = EACH - 3; room && at && k < EACH; k++, n++) {
    at[n] = room + n * ROOM;
    snprintf(at[n], ROOM, "%.*s%s", C_NAME_MAX, s->text.prefix, suffixes[k]);
  }
  if (n)
    qsort(at, n, sizeof *at, by_text);
  for (size_t i = 1; i < n && !twice; i++)
    twice = strcmp(at[i - 1], at[i]) == 0 ? at[i] : NULL;
  if (twice)
    fail_set(why, FAIL_UNSUPPORTED, model_path(s->weights.model),
             "the names of two tensors become %s in C; --exclude one of them", twice);
  else if (!n)
    fail_memory(why, s->options->out);
  free(room);
  free(at);
  return n && !twice;
}

/* ---- tensors ---- */

/* All values of a dense floating-point tensor in f32, to be freed. */
static float *read_floats(state *s, const weight *w, fail *why)
{
  uint64_t n = w->base->tensor->elements;
  weight_data data;
  float *out = NULL;
  bool ok = weight_read(&s->weights, w, s->memory, &data, why);

  if (!ok)
    return NULL;
  if (weight_bind(&s->weights, w, s->memory, s->config, &data, why)) {
    out = malloc((size_t)n * sizeof *out + 1);
    if (!out)
      fail_memory(why, weight_path(&s->weights, w));
    else
      lq_dequantize(data.tensor, LQ_F32, out, (size_t)n * sizeof *out, NULL);
  }
  weight_release(&data, s->memory);
  for (uint64_t i = 0; out && i < n; i++)
    if (!isfinite(out[i])) {
      fail_set(why, FAIL_DATA, weight_path(&s->weights, w), "%s: element %llu is not finite",
               w->name, (unsigned long long)i);
      free(out);
      return NULL;
    }
  return out;
}

static bool integer_type(st_dtype t, c_type *out)
{
  static const struct {
    st_dtype from;
    c_type to;
  } types[] = {{ST_I8, C_I8}, {ST_U8, C_U8}, {ST_I16, C_I16}, {ST_U16, C_U16}, {ST_I32, C_I32}};

  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].from == t) {
      *out = types[i].to;
      return true;
    }
  return false;
}

static bool put_dense(state *s, const weight *w, const export_target *t, fail *why)
{
  const st_tensor *tensor = w->base->tensor;
  weight_data data;
  c_type type;

  s->dense++;
  if (tensor->elements == 0)
    return fail_set(why, FAIL_UNSUPPORTED, weight_path(&s->weights, w), "%s is empty", w->name);
  if (weight_is_float(w)) {
    float *values = read_floats(s, w, why);

    if (!values)
      return false;
    export_dense(&s->text, t, tensor, C_F32, values);
    free(values);
    return true;
  }
  if (!integer_type(tensor->dtype, &type))
    return fail_set(why, FAIL_UNSUPPORTED, weight_path(&s->weights, w),
                    "%s: type %s is not exported", w->name, st_dtype_name(tensor->dtype));
  if (!weight_read(&s->weights, w, s->memory, &data, why))
    return false;
  export_dense(&s->text, t, tensor, type, data.planes[0].data);
  weight_release(&data, s->memory);
  return true;
}

static bool put_quantized(state *s, const weight *w, const export_target *t, fail *why)
{
  float *bias = NULL;
  weight_data data;
  bool ok;

  if (t->bias && !(bias = read_floats(s, t->bias, why)))
    return false;
  ok = weight_read(&s->weights, w, s->memory, &data, why);
  if (ok) {
    ok = weight_bind(&s->weights, w, s->memory, s->config, &data, why) &&
         export_weight(&s->text, t, w->name, data.tensor, bias, why);
    weight_release(&data, s->memory);
  }
  free(bias);
  s->fixed += t->fixed;
  s->quantized += !t->fixed;
  return ok;
}

/* Appends what a buffer holds to its file. */
static bool flush(buf *from, out_file *to, fail *why)
{
  bool ok = !from->failed ? out_append(to, from->data, from->length, why)
                          : fail_memory(why, out_file_path(to));

  from->length = 0;
  return ok;
}

static bool open_file(state *s, const char *end, out_file **out, fail *why)
{
  size_t n = strlen(s->base);
  bool ok;

  memcpy(s->base + n, end, 3);
  ok = out_check_distinct(model_path(s->weights.model), s->base, why) &&
       out_file_create(out, s->base, s->options->force, why);
  s->base[n] = 0;
  return ok;
}

/* Both files are complete before either gets its name, and the source gets it first: a header that
 * is new has its source beside it. */
static bool write_files(state *s, fail *why)
{
  char include[256];

  if (!open_file(s, ".c", &s->source, why) || !open_file(s, ".h", &s->header, why))
    return false;
  snprintf(include, sizeof include, "%s.h", sys_last_part(s->base));
  export_begin(&s->text, include);
  for (size_t i = 0; i < s->weights.count; i++) {
    const weight *w = &s->weights.at[i];
    const export_target *t = &s->targets[i];

    if (t->chosen && (!(w->layout ? put_quantized(s, w, t, why) : put_dense(s, w, t, why)) ||
                      !flush(&s->text.source, s->source, why)))
      return false;
  }
  export_end(&s->text);
  return flush(&s->text.header, s->header, why) && out_file_commit(&s->source, why) &&
         out_file_commit(&s->header, why);
}

static bool report(const state *s, fail *why)
{
  char a[UNITS_TEXT];
  buf text = {0};
  json_printer p = {.to = &text, .indent = 2};
  bool ok;

  if (s->options->common.json) {
    json_begin(&p, NULL, '{');
    json_print_string(&p, "input", model_path(s->weights.model));
    json_print_string(&p, "output", s->base);
    json_print_u64(&p, "weights", s->quantized);
    json_print_u64(&p, "fixed_point_layers", s->fixed);
    json_print_u64(&p, "dense_tensors", s->dense);
    json_print_u64(&p, "bytes", s->text.bytes);
    json_end(&p, '}');
    buf_byte(&text, '\n');
  } else if (!s->options->common.quiet) {
    buf_printf(&text, "%s.h, %s.c: %zu weights, %zu layers in fixed point, %zu dense tensors; %s\n",
               s->base, sys_last_part(s->base), s->quantized, s->fixed, s->dense,
               units_bytes(a, s->text.bytes));
  }
  ok = common_print(&text, why);
  buf_free(&text);
  return ok;
}

static bool export_model(const export_options *o, const char *in, fail *why)
{
  enum { KEEP = 64 << 20 };
  state s = {.options = o};
  model *from = NULL;
  char method[32];
  bool restorable = true, ok = false;

  s.text.rounding = strcmp(o->rounding, "double") == 0 ? LQ_ROUND_DOUBLE : LQ_ROUND_SINGLE;
  if (!name_files(&s, why) || !model_open(&from, in, why))
    goto done;
  if (model_config(from) && hf_quantized(model_config(from), method, &restorable) && !restorable) {
    fail_set(why, FAIL_UNSUPPORTED, in, "is quantized with %s, which quant does not read", method);
    goto done;
  }
  ok = pool_create(&s.memory, KEEP, false, why) && weight_list_make(&s.weights, from, why) &&
       common_config(&o->common, s.memory, &s.config, why) && choose(&s, why) &&
       check_names(&s, why) && write_files(&s, why) && report(&s, why);
done:
  out_file_abort(s.source);
  out_file_abort(s.header);
  buf_free(&s.text.source);
  buf_free(&s.text.header);
  lq_config_destroy(s.config);
  free(s.targets);
  free(s.base);
  weight_list_free(&s.weights);
  pool_destroy(s.memory);
  model_close(from);
  return ok;
}

bool verb_export(int argc, char **argv, fail *why)
{
  export_options o = {0};
  args_result args;
  bool ok, done;

  if (!common_parse(&verb, argc, argv, &o, &args, &done, why))
    return false;
  if (done)
    return true;
  ok = export_model(&o, args.positional[0], why);
  args_free(&args);
  return ok;
}
