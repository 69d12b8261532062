/*
 * quantize_report.c - the summary of `quant quantize`, for people and as JSON.
 *
 * Owns: the figures made of the results. The mean relative error weighs each tensor by its number
 * of parameters, so that one small bad layer does not look like the model; the worst is named
 * beside it.
 */
#include "quantize.h"

#include "../files/json.h"
#include "../ui/units.h"
#include "quantize_layers.h"

#include <stdio.h>

typedef struct totals {
  size_t quantized, kept;
  uint64_t parameters, all_parameters, nonfinite;
  double bits;  /* sum over parameters */
  double error; /* sum over parameters of the relative error */
  const quantize_result *worst;
} totals;

static totals sum_up(const quantize_job *job)
{
  totals t = {0};

  for (size_t i = 0; i < job->weights->count; i++)
    t.all_parameters += job->weights->at[i].base->tensor->elements;
  for (size_t i = 0; i < job->count; i++) {
    const quantize_result *r = &job->results[i];
    uint64_t n = r->w->base->tensor->elements;

    t.nonfinite += r->report.nonfinite;
    if (r->kept) {
      t.kept++;
      continue;
    }
    t.quantized++;
    t.parameters += n;
    t.bits += r->bits_per_weight * (double)n;
    t.error += r->metrics.relative_error * (double)n;
    if (!t.worst || r->metrics.relative_error > t.worst->metrics.relative_error)
      t.worst = r;
  }
  if (t.parameters) {
    t.bits /= (double)t.parameters;
    t.error /= (double)t.parameters;
  }
  return t;
}

static void print_tensor(json_printer *p, const quantize_job *job, const quantize_result *r)
{
  const st_tensor *t = r->w->base->tensor;

  json_begin(p, NULL, '{');
  json_print_string(p, "name", r->w->name);
  json_print_u64s(p, "shape", t->shape, t->ndim);
  json_print_string(p, "dtype", st_dtype_name(t->dtype));
  json_print_string(p, "method", r->kept ? "none" : job->how->method_name);
  json_print_u64(p, "bytes_before", t->bytes);
  json_print_u64(p, "bytes_after", r->kept ? t->bytes : r->bytes);
  json_print_u64(p, "nonfinite", r->report.nonfinite);
  if (!r->kept) {
    json_print_f64(p, "bits_per_weight", r->bits_per_weight);
    json_print_f64(p, "relative_error", r->metrics.relative_error);
    json_print_f64(p, "sqnr_db", r->metrics.sqnr_db);
    json_print_f64(p, "cosine", r->metrics.cosine);
    json_print_f64(p, "max_error", r->metrics.max_error);
    if (job->how->method == LQ_INT8)
      json_print_u64(p, "outlier_columns", r->report.outlier_columns);
  }
  if (!r->kept && job->how->calibrated) {
    json_print_f64(p, "output_error", quantize_output_error(&r->report));
    json_print_f64(p, "error_against_nearest", quantize_against_nearest(&r->report));
    json_print_f64(p, "damping", r->report.damping);
    json_print_u64(p, "dead_columns", r->report.dead_columns);
    json_print_u64(p, "rows_observed", r->report.rows_observed);
    json_print_f64(p, "seconds", r->seconds);
  }
  json_end(p, '}');
}

static void print_recipe(json_printer *p, const quantize_job *job)
{
  json_print_string(p, "input", model_path(job->from));
  json_print_string(p, "output", job->out);
  json_print_string(p, "method", job->how->method_name);
  if (job->how->calibrated)
    json_print_string(p, "storage", lq_method_name(job->how->storage));
  if (job->how->block_size)
    json_print_i64(p, "block_size", job->how->block_size);
  if (job->how->bits) {
    json_print_i64(p, "bits", job->how->bits);
    json_print_i64(p, "group_size", job->how->group_size);
    json_print_bool(p, "symmetric", job->how->symmetric);
  }
  if (job->how->block_size || job->how->bits)
    json_print_bool(p, "nested", job->how->nested);
  json_print_string(p, "format", recipe_layout_name(job->how->layout));
}

static void print_calibration(json_printer *p, const quantize_job *job)
{
  const calibration_record *c = &job->calibration;

  json_begin(p, "calibration", '{');
  json_print_string(p, "file", c->file);
  json_print_i64(p, "samples", c->samples);
  json_print_i64(p, "seq_len", c->length);
  json_print_i64(p, "seed", c->seed);
  json_print_bool(p, "true_sequential", c->sequential);
  if (job->how->input_correction > 0)
    json_print_f64(p, "input_correction", job->how->input_correction);
  json_end(p, '}');
}

static bool report_json(buf *to, const quantize_job *job, const totals *t, fail *why)
{
  json_printer p = {.to = to, .indent = 2, .ascii = true};
  double before = (double)model_data_bytes(job->from);
  bool ok = true;

  json_begin(&p, NULL, '{');
  print_recipe(&p, job);
  if (job->how->calibrated)
    print_calibration(&p, job);
  json_print_u64(&p, "tensors_quantized", t->quantized);
  json_print_u64(&p, "tensors_left", job->weights->count - t->quantized);
  json_print_u64(&p, "tensors_kept_nonfinite", t->kept);
  json_print_u64(&p, "tensors_left_for_shape", job->refused_count);
  json_print_u64(&p, "nonfinite", t->nonfinite);
  json_print_u64(&p, "parameters", t->all_parameters);
  json_print_u64(&p, "parameters_quantized", t->parameters);
  json_print_f64(&p, "bits_per_weight", t->bits);
  json_print_u64(&p, "bytes_before", model_data_bytes(job->from));
  json_print_u64(&p, "bytes_after", job->bytes_after);
  json_print_f64(&p, "ratio", before / (double)job->bytes_after);
  json_print_f64(&p, "mean_relative_error", t->error);
  json_print_string(&p, "worst_tensor", t->worst ? t->worst->w->name : "");
  json_print_f64(&p, "worst_relative_error", t->worst ? t->worst->metrics.relative_error : 0.0);
  json_print_f64(&p, "seconds", job->seconds);
  json_print_f64(&p, "input_gb_per_second", before / job->seconds / 1e9);
  json_begin(&p, "tensors", '[');
  for (size_t i = 0; i < job->count; i++)
    print_tensor(&p, job, &job->results[i]);
  json_end(&p, ']');
  if (job->how->calibrated)
    ok = quantize_json_layers(&p, job, why);
  json_end(&p, '}');
  buf_byte(to, '\n');
  return ok;
}

/* Tensors that the layout has no place for. */
static void report_refused(buf *to, const quantize_job *job)
{
  size_t i = 0;
  const st_tensor *t;

  if (job->refused_count == 0)
    return;
  while (!job->refused[i])
    i++;
  t = job->weights->at[i].base->tensor;
  common_say(to, "  left dense       %zu of these by the %s layout: %s [%llu, %llu]%s: %s\n",
             job->refused_count, recipe_layout_name(job->how->layout), job->weights->at[i].name,
             (unsigned long long)t->shape[0], (unsigned long long)t->shape[1],
             job->refused_count > 1 ? " and others" : "",
             recipe_shape_obstacle(job->how, t->shape[0], t->shape[1]));
}

static void report_calibration(buf *to, const quantize_job *job)
{
  const calibration_record *c = &job->calibration;

  if (!job->how->calibrated)
    return;
  common_say(to, "  calibration      %lld samples of %lld tokens from %s, seed %lld; damping %g",
             (long long)c->samples, (long long)c->length, c->file, (long long)c->seed,
             job->how->damping);
  if (job->how->input_correction > 0)
    common_say(to, "; input correction %g", job->how->input_correction);
  buf_byte(to, '\n');
}

static void report_text(buf *to, const quantize_job *job, const totals *t)
{
  char a[UNITS_TEXT], b[UNITS_TEXT], how[RECIPE_TEXT];
  double before = (double)model_data_bytes(job->from);

  recipe_text(job->how, how);
  common_say(to, "%s: %s, %s format\n", job->out, how, recipe_layout_name(job->how->layout));
  common_say(to, "  tensors          %zu quantized, %zu left as they were\n", t->quantized,
             job->weights->count - t->quantized);
  report_refused(to, job);
  report_calibration(to, job);
  common_say(to, "  parameters       %s quantized of %s\n", units_count(a, t->parameters),
             units_count(b, t->all_parameters));
  common_say(to, "  bits per weight  %.3f\n", t->bits);
  common_say(to, "  bytes            %s to %s: %.2f times smaller\n",
             units_bytes(a, model_data_bytes(job->from)), units_bytes(b, job->bytes_after),
             before / (double)job->bytes_after);
  if (t->worst)
    common_say(to, "  relative error   %.5f on average, weighted by parameters; worst %.5f in %s\n",
               t->error, t->worst->metrics.relative_error, t->worst->w->name);
  if (t->nonfinite)
    common_say(to, "  not finite       %s weights; %zu tensors kept dense for it\n",
               units_count(a, t->nonfinite), t->kept);
  common_say(to, "  time             %s, %s of input\n", units_time(a, job->seconds),
             units_rate(b, before, job->seconds));
}

bool quantize_report(const quantize_job *job, fail *why)
{
  totals t = sum_up(job);
  buf text = {0};
  bool ok = true;

  if (job->options->json)
    ok = report_json(&text, job, &t, why);
  else
    report_text(&text, job, &t);
  ok = ok && common_print(&text, why);
  buf_free(&text);
  if (ok && job->how->calibrated && !job->options->json)
    ok = quantize_print_layers(job, why);
  return ok;
}
