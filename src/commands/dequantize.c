/*
 * dequantize.c - the verb `quant dequantize`: every quantized weight of a model dense again.
 *
 * Must not know: layouts beyond the shape of a weight. The size of every output tensor follows from
 * the state planes, which are read first, so each shard is laid out before its codes are read and
 * nothing waits in between. A weight goes to the shard of its codes.
 */
#include "../files/system.h"
#include "../files/grow.h"
#include "../files/output.h"
#include "../model/weight.h"
#include "../ui/progress.h"
#include "../ui/units.h"
#include "common.h"
#include "hfconfig.h"
#include "pipeline.h"
#include "resume.h"
#include "rewrite.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct dequantize_options {
  common common;
  const char *out, *dtype;
  bool force;
  resume resume;
} dequantize_options;

#define FIELD(name) .field = offsetof(dequantize_options, name)

static const char *const dtypes[] = {"f32", "f16", "bf16", NULL};

static const args_option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = ARGS_TEXT,
     .value = "OUT",
     .required = true,
     FIELD(out),
     .help = "where the result goes: a folder for a folder, a file for a file"},
    {.name = "dtype",
     .type = ARGS_CHOICE,
     .choices = dtypes,
     FIELD(dtype),
     .help = "type of all floating-point tensors of the result (each weight's recorded type; "
             "where none is recorded, that of config.json, or f16 without one)"},
    {.name = "force", .type = ARGS_FLAG, FIELD(force), .help = "replace OUT if it exists"},
    RESUME_RESUME(dequantize_options),
    RESUME_VERIFY(dequantize_options),
    COMMON_HEADING,
    COMMON_THREADS(dequantize_options),
    COMMON_CPU(dequantize_options),
    COMMON_JSON(dequantize_options),
    COMMON_QUIET(dequantize_options),
};

static const args_verb verb = {"dequantize",
                               "IN -o OUT [options]",
                               "Restores a quantized model (written by quant, by transformers with "
                               "bitsandbytes, a GPTQ or\n"
                               "AWQ checkpoint, or a GGUF file) to dense weights. OUT appears "
                               "whole or not at all.",
                               options,
                               sizeof options / sizeof *options,
                               1,
                               1};

/* Weights and rows of weights of about this size pass the pipeline as one item. */
static const uint64_t item_limit = (uint64_t)64 << 20;
static const uint64_t in_flight = (uint64_t)288 << 20;

/* What becomes of one weight. */
typedef struct target {
  int32_t dtype; /* LQ_*; 0: copied */
  uint64_t rows, columns;
} target;

typedef struct item {
  size_t weight;
  uint64_t first, rows;
} item;

typedef struct slot {
  weight_data in;
  void *dense;
} slot;

typedef struct state {
  const dequantize_options *options;
  weight_list weights;
  target *targets;    /* one a weight */
  st_tensor *tensors; /* likewise: what is written */
  item *items;        /* what is computed; the rest is copied */
  size_t count, capacity;
  slot slots[PIPELINE_SLOTS];
  lq_config *bind_config, *work_config;
  pool *memory;
  progress bar;
  job_store *job; /* NULL for a model that is one file */
  rewrite out;
  size_t next;  /* first weight that is not written yet */
  size_t first; /* of the shard being written */
  size_t shard; /* the shard being written, or the next one */
  size_t restored;
  double seconds;
} state;

static size_t dtype_bytes(int32_t dtype)
{
  return dtype == LQ_F32 ? 4 : 2;
}

static st_dtype file_dtype(int32_t dtype)
{
  return dtype == LQ_F32 ? ST_F32 : dtype == LQ_F16 ? ST_F16 : ST_BF16;
}

static int32_t wanted_dtype(const dequantize_options *o)
{
  if (!o->dtype)
    return 0;
  return strcmp(o->dtype, "f32") == 0 ? LQ_F32 : strcmp(o->dtype, "f16") == 0 ? LQ_F16 : LQ_BF16;
}

/* Is it written otherwise than it is? */
static bool changes(const state *s, const weight *w)
{
  int32_t wanted = wanted_dtype(s->options);

  return w->layout ||
         (wanted && weight_is_float(w) && weight_dtype(w->base->tensor->dtype) != wanted);
}

/* Decides type and shape of weight i of the result. */
static bool plan_weight(state *s, size_t i, fail *why)
{
  const weight *w = &s->weights.at[i];
  const json_doc *config = model_config(s->weights.model);
  int32_t dtype = 0, wanted = wanted_dtype(s->options);
  uint32_t ndim;
  target *t = &s->targets[i];
  st_tensor *out = &s->tensors[i];

  *out = *w->base->tensor;
  if (!changes(s, w))
    return true;
  if (!w->layout) {
    t->dtype = wanted;
    out->dtype = file_dtype(wanted);
  } else {
    const char *type = config ? hf_transposed_type(config) : NULL;

    if (type && w->layout != LQ_LAYOUT_NATIVE)
      return fail_set(why, FAIL_UNSUPPORTED, weight_path(&s->weights, w),
                      "%s: dense models of type %s keep it transposed, which is not done here",
                      w->name, type);
    if (!weight_shape(&s->weights, w, &dtype, &ndim, out->shape, why))
      return false;
    if (!dtype && config)
      dtype = hf_dtype(config);
    t->dtype = wanted ? wanted : dtype ? dtype : LQ_F16;
    out->name = w->name;
    out->ndim = ndim;
    out->dtype = file_dtype(t->dtype);
    s->restored++;
  }
  if (!st_measure(out, NULL))
    return fail_set(why, FAIL_OVERFLOW, weight_path(&s->weights, w), "%s: its shape is impossible",
                    w->name);
  t->columns = out->ndim ? out->shape[out->ndim - 1] : 1;
  t->rows = t->columns ? out->elements / t->columns : 0;
  return true;
}

static bool add_item(state *s, size_t i, uint64_t first, uint64_t rows, fail *why)
{
  if (s->count == s->capacity) {
    item *items = grown(s->items, &s->capacity, s->count + 1, sizeof *items);

    if (!items)
      return fail_memory(why, s->options->out);
    s->items = items;
  }
  s->items[s->count++] = (item){i, first, rows};
  return true;
}

/* A quantized weight is one item, since its blocks may cross rows; a dense one is cut by rows. */
static bool plan_items(state *s, size_t i, fail *why)
{
  const weight *w = &s->weights.at[i];
  const target *t = &s->targets[i];
  uint64_t row = t->columns * 8, rows = row && row < item_limit ? item_limit / row : 1;

  if (!t->dtype || t->rows == 0)
    return true;
  if (w->layout)
    return add_item(s, i, 0, t->rows, why);
  for (uint64_t at = 0; at < t->rows; at += rows)
    if (!add_item(s, i, at, t->rows - at < rows ? t->rows - at : rows, why))
      return false;
  return true;
}

static bool plan(state *s, fail *why)
{
  size_t n = s->weights.count, i = 0;

  while (i < n && !changes(s, &s->weights.at[i]))
    i++;
  if (i == n)
    return fail_set(why, FAIL_NOTFOUND, model_path(s->weights.model),
                    "there is no quantized tensor in it");
  s->targets = calloc(n + 1, sizeof *s->targets);
  s->tensors = calloc(n + 1, sizeof *s->tensors);
  if (!s->targets || !s->tensors)
    return fail_memory(why, s->options->out);
  for (i = 0; i < n; i++)
    if (!plan_weight(s, i, why))
      return false;
  return true;
}

/* What is left to do, and that the disk holds it. */
static bool plan_shards(state *s, fail *why)
{
  uint64_t need = 0;

  for (size_t i = 0; i < s->weights.count; i++) {
    if (rewrite_has(&s->out, s->weights.at[i].base->shard))
      continue;
    if (!plan_items(s, i, why))
      return false;
    need += s->tensors[i].bytes;
  }
  return (s->job && job_is_complete(s->job)) || rewrite_need(&s->out, s->options->out, need, why);
}

static uint64_t item_bytes(void *user, size_t n)
{
  const state *s = user;
  const item *x = &s->items[n];
  const weight *w = &s->weights.at[x->weight];
  const target *t = &s->targets[x->weight];
  uint64_t out = x->rows * t->columns * dtype_bytes(t->dtype);

  return out + (w->layout ? w->bytes : x->rows * t->columns * 4);
}

static bool read_item(void *user, size_t n, size_t at, fail *why)
{
  state *s = user;
  const item *x = &s->items[n];
  const weight *w = &s->weights.at[x->weight];
  weight_data *in = &s->slots[at].in;

  if (!(w->layout ? weight_read(&s->weights, w, s->memory, in, why)
                  : weight_read_rows(&s->weights, w, x->first, x->rows, s->memory, in, why)))
    return false;
  return weight_bind(&s->weights, w, s->memory, s->bind_config, in, why);
}

/* The library read the whole state: shape and type must be those that the file was planned with. */
static bool check_plan(const state *s, const weight *w, const st_tensor *out, const lq_tensor *t,
                       fail *why)
{
  bool same = lq_tensor_ndim(t) == out->ndim;

  for (uint32_t i = 0; i < out->ndim && same; i++)
    same = lq_tensor_dim(t, i) == out->shape[i];
  return same ? true
              : fail_set(why, FAIL_DATA, weight_path(&s->weights, w),
                         "%s: its planes and its state differ in shape", w->name);
}

/* Is there an infinity or NaN among halves? Their exponent is all ones. */
static bool half_overflows(const void *dense, uint64_t count)
{
  const uint16_t *h = dense;
  uint16_t found = 0;

  for (uint64_t i = 0; i < count; i++)
    found |= (h[i] & 0x7c00) == 0x7c00;
  return found != 0;
}

static bool work_item(void *user, size_t n, size_t at, fail *why)
{
  state *s = user;
  const item *x = &s->items[n];
  const weight *w = &s->weights.at[x->weight];
  const target *t = &s->targets[x->weight];
  size_t bytes = (size_t)(x->rows * t->columns) * dtype_bytes(t->dtype);
  slot *here = &s->slots[at];
  lq_status status;

  progress_item(&s->bar, w->name);
  if (w->layout && !check_plan(s, w, &s->tensors[x->weight], here->in.tensor, why))
    return false;
  here->dense = pool_take(s->memory, bytes);
  status = here->dense
               ? lq_dequantize(here->in.tensor, t->dtype, here->dense, bytes, s->work_config)
               : LQ_E_MEMORY;
  if (status != LQ_OK)
    return fail_set(why, status == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_DATA,
                    weight_path(&s->weights, w), "%s: %s", w->name, lq_status_string(status));
  /* f16 ends at 65504: weights that were asked for in it must not silently become infinite. */
  if (wanted_dtype(s->options) == LQ_F16 && half_overflows(here->dense, x->rows * t->columns))
    return fail_set(why, FAIL_DATA, weight_path(&s->weights, w),
                    "%s: a value is too large for f16, or not finite", w->name);
  return true;
}

static size_t shard_end(const state *s)
{
  size_t i = s->first;

  while (i < s->weights.count && s->weights.at[i].base->shard == s->shard)
    i++;
  return i;
}

static bool open_shard(state *s, fail *why)
{
  return s->out.writer ||
         rewrite_begin(&s->out, s->shard, s->tensors + s->first, shard_end(s) - s->first, why);
}

/* Copies what is not computed, up to weight `end` of the open shard. */
static bool copy_until(state *s, size_t end, fail *why)
{
  for (; s->next < end; s->next++)
    if (!s->targets[s->next].dtype &&
        !rewrite_copy(&s->out, s->next - s->first, s->weights.at[s->next].base, why))
      return false;
  return true;
}

static bool write_shards(state *s, size_t end, fail *why)
{
  for (; s->shard < end; s->shard++) {
    size_t next = shard_end(s);

    if (rewrite_has(&s->out, s->shard) ? !rewrite_skip(&s->out, s->shard, why)
                                       : !open_shard(s, why) || !copy_until(s, next, why) ||
                                             !rewrite_end(&s->out, NULL, 0, why))
      return false;
    s->first = s->next = next;
  }
  return true;
}

static bool store_item(void *user, size_t n, size_t at, fail *why)
{
  state *s = user;
  const item *x = &s->items[n];
  const weight *w = &s->weights.at[x->weight];
  const target *t = &s->targets[x->weight];
  uint64_t row = t->columns * dtype_bytes(t->dtype);
  slot *here = &s->slots[at];

  if (!write_shards(s, w->base->shard, why) || !open_shard(s, why) ||
      !copy_until(s, x->weight, why) ||
      !rewrite_put(&s->out, x->weight - s->first, x->first * row, here->dense,
                   (size_t)(x->rows * row), why))
    return false;
  progress_add(&s->bar, w->bytes / t->rows * x->rows);
  pool_give(s->memory, here->dense);
  here->dense = NULL;
  weight_release(&here->in, s->memory);
  return true;
}

/* What the result is in config.json: not quantized, and of the type that was asked for. */
static bool finish(state *s, fail *why)
{
  json_doc *config = model_config(s->weights.model);
  uint64_t parameters = 0;

  for (size_t i = 0; i < s->weights.count; i++)
    parameters += s->tensors[i].elements;
  if (config) {
    hf_remove_quantization(config);
    if (wanted_dtype(s->options))
      hf_put_dtype(config, wanted_dtype(s->options));
  }
  return rewrite_finish(&s->out, config, parameters, why);
}

static bool run_items(state *s, fail *why)
{
  const pipeline p = {.items = s->count,
                      .budget = in_flight,
                      .user = s,
                      .bytes = item_bytes,
                      .read = read_item,
                      .work = work_item,
                      .write = store_item};

  return pipeline_run(&p, why) && write_shards(s, model_shard_count(s->weights.model), why) &&
         finish(s, why);
}

static bool run(state *s, fail *why)
{
  const model *m = s->weights.model;
  const dequantize_options *o = s->options;
  double begin = sys_seconds();
  bool ok;

  progress_start(&s->bar, "restoring", model_data_bytes(m), o->common.quiet || o->common.json);
  ok = (model_folder(m) < 0 || resume_open(&s->job, &o->resume, m, o->out, o->force, 0, why)) &&
       rewrite_open(&s->out, m, s->job, o->out, o->force, &s->bar, why) && plan_shards(s, why) &&
       common_config(&o->common, s->memory, &s->bind_config, why) &&
       common_config(&o->common, s->memory, &s->work_config, why) && run_items(s, why);
  job_close(s->job, ok, why);
  progress_finish(&s->bar);
  s->seconds = sys_seconds() - begin;
  return ok;
}

static bool report(const state *s, fail *why)
{
  const model *m = s->weights.model;
  double bytes = (double)s->out.total_size;
  char a[UNITS_TEXT], b[UNITS_TEXT];
  buf text = {0};
  json_printer p = {.to = &text, .indent = 2, .ascii = true};
  bool ok;

  if (s->options->common.json) {
    json_begin(&p, NULL, '{');
    json_print_string(&p, "input", model_path(m));
    json_print_string(&p, "output", s->options->out);
    json_print_u64(&p, "tensors_restored", s->restored);
    json_print_u64(&p, "tensors_other", s->weights.count - s->restored);
    json_print_u64(&p, "bytes_before", model_data_bytes(m));
    json_print_u64(&p, "bytes_after", s->out.total_size);
    json_print_f64(&p, "seconds", s->seconds);
    json_print_f64(&p, "output_gb_per_second", bytes / s->seconds / 1e9);
    json_end(&p, '}');
    buf_byte(&text, '\n');
  } else if (!s->options->common.quiet) {
    common_say(&text, "%s: %zu tensors restored, %zu others; %s to %s\n", s->options->out,
               s->restored, s->weights.count - s->restored, units_bytes(a, model_data_bytes(m)),
               units_bytes(b, s->out.total_size));
    buf_printf(&text, "  time             %s, %s of output\n", units_time(a, s->seconds),
               units_rate(b, bytes, s->seconds));
  }
  ok = common_print(&text, why);
  buf_free(&text);
  return ok;
}

static void clean_up(state *s)
{
  for (size_t i = 0; i < PIPELINE_SLOTS; i++) {
    pool_give(s->memory, s->slots[i].dense);
    weight_release(&s->slots[i].in, s->memory);
  }
  rewrite_abort(&s->out);
  lq_config_destroy(s->bind_config);
  lq_config_destroy(s->work_config);
  free(s->items);
  free(s->targets);
  free(s->tensors);
  weight_list_free(&s->weights);
  pool_destroy(s->memory);
}

static bool dequantize(const dequantize_options *o, const char *in, fail *why)
{
  enum { KEEP = 128 << 20 };
  state s = {.options = o};
  model *from = NULL;
  char method[32];
  bool restorable = true, ok = false;

  if (!common_cpu(&o->common, why) || !out_check_distinct(in, o->out, why) ||
      !model_open(&from, in, why))
    goto done;
  if (!resume_check(&o->resume, from, why))
    goto done;
  if (model_config(from) && hf_quantized(model_config(from), method, &restorable) && !restorable) {
    fail_set(why, FAIL_UNSUPPORTED, in, "is quantized with %s, which quant does not read", method);
    goto done;
  }
  ok = pool_create(&s.memory, KEEP, false, why) && weight_list_make(&s.weights, from, why) &&
       plan(&s, why) && run(&s, why) && report(&s, why);
done:
  clean_up(&s);
  model_close(from);
  return ok;
}

bool verb_dequantize(int argc, char **argv, fail *why)
{
  dequantize_options o = {0};
  args_result args;
  bool ok, done;

  if (!common_parse(&verb, argc, argv, &o, &args, &done, why))
    return false;
  if (done)
    return true;
  ok = resume_make(&o.resume, &verb, &o, why) && dequantize(&o, args.positional[0], why);
  args_free(&args);
  return ok;
}
