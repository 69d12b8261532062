/*
 * quantize_layers.c - what calibration gained, layer by layer, and where it gained least.
 *
 * Owns: the figures of a layer. Must not know: how weights are encoded. Errors are those of
 * outputs: E = tr(dW H dW^T) adds up over the weights of a layer, and so does the energy
 * tr(W H W^T) of the outputs themselves; sqrt(E / energy) is how far the outputs are off on the
 * calibration data.
 */
#include "quantize_layers.h"

#include "../ui/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORST = 5 };

typedef struct layer {
  const char *name; /* the first `length` bytes of a weight's name; length 0: of no layer */
  size_t length, tensors;
  double error, nearest, energy, bits, parameters, seconds;
} layer;

/* "model.layers.12" of "model.layers.12.mlp.up_proj.weight": up to the first number. */
static size_t layer_length(const char *name)
{
  const char *part = name;

  while (part) {
    size_t digits = strspn(part, "0123456789");

    if (digits && part[digits] == '.')
      return (size_t)(part - name) + digits;
    part = strchr(part, '.');
    part += part != NULL;
  }
  return 0;
}

double quantize_output_error(const lq_report *r)
{
  return r->energy > 0 ? sqrt(r->error / r->energy) : 0;
}

double quantize_against_nearest(const lq_report *r)
{
  return r->error_nearest > 0 ? r->error / r->error_nearest : 1;
}

static void add_result(layer *to, const quantize_result *r)
{
  double n = (double)r->w->base->tensor->elements;

  to->tensors++;
  to->error += r->report.error;
  to->nearest += r->report.error_nearest;
  to->energy += r->report.energy;
  to->bits += r->bits_per_weight * n;
  to->parameters += n;
  to->seconds += r->seconds;
}

/* Layers in the order in which they first appear. NULL without memory. */
static layer *gather(const quantize_job *job, size_t *count)
{
  layer *all = calloc(job->count + 1, sizeof *all);

  *count = 0;
  for (size_t i = 0; all && i < job->count; i++) {
    const quantize_result *r = &job->results[i];
    size_t length = layer_length(r->w->name), k = 0;

    if (r->kept)
      continue;
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): below *count all have names */
    while (k < *count && (all[k].length != length || strncmp(all[k].name, r->w->name, length) != 0))
      k++;
    if (k == *count)
      all[(*count)++] = (layer){.name = r->w->name, .length = length};
    add_result(&all[k], r);
  }
  return all;
}

static double relative(const layer *l)
{
  return l->energy > 0 ? sqrt(l->error / l->energy) : 0;
}

static double against(const layer *l)
{
  return l->nearest > 0 ? l->error / l->nearest : 1;
}

static bool print_layers(const layer *all, size_t count, fail *why)
{
  table t = {0};
  bool ok;

  table_column(&t, "layer", TABLE_LEFT);
  table_column(&t, "output error", TABLE_RIGHT);
  table_column(&t, "against nearest", TABLE_RIGHT);
  table_column(&t, "bits/weight", TABLE_RIGHT);
  table_column(&t, "seconds", TABLE_RIGHT);
  for (size_t i = 0; i < count; i++) {
    const layer *l = &all[i];

    if (l->length)
      table_cell(&t, "%.*s", (int)l->length, l->name);
    else
      table_cell(&t, "others");
    table_cell(&t, "%.5f", relative(l));
    table_cell(&t, "%.3f", against(l));
    table_cell(&t, "%.3f", l->bits / l->parameters);
    table_cell(&t, "%.2f", l->seconds);
  }
  ok = table_print(&t, stdout, why);
  table_free(&t);
  return ok;
}

/* Largest first; equal ones as they stand in the file. */
static int by_error(const void *pa, const void *pb)
{
  const quantize_result *const *a = pa, *const *b = pb;
  double x = quantize_output_error(&(*a)->report), y = quantize_output_error(&(*b)->report);

  if (x != y)
    return x > y ? -1 : 1;
  return *a < *b ? -1 : *a > *b;
}

/* NULL without memory. */
static const quantize_result **worst_first(const quantize_job *job, size_t *count)
{
  const quantize_result **order = malloc((job->count + 1) * sizeof *order);

  *count = 0;
  for (size_t i = 0; order && i < job->count; i++)
    if (!job->results[i].kept)
      order[(*count)++] = &job->results[i];
  if (order)
    qsort(order, *count, sizeof *order, by_error);
  return order;
}

static void print_worst(const quantize_result *const *order, size_t count)
{
  printf("\nLargest output errors:\n");
  for (size_t i = 0; i < count && i < WORST; i++) {
    const lq_report *r = &order[i]->report;

    common_say(NULL, "  %.5f  %s (%.3f of nearest", quantize_output_error(r), order[i]->w->name,
               quantize_against_nearest(r));
    if (r->dead_columns)
      printf(", %llu inputs always 0", (unsigned long long)r->dead_columns);
    printf(")\n");
  }
}

bool quantize_print_layers(const quantize_job *job, fail *why)
{
  size_t layers, tensors;
  layer *all = gather(job, &layers);
  const quantize_result **order = worst_first(job, &tensors);
  bool ok = all && order;

  if (!ok)
    fail_memory(why, job->out);
  if (ok && tensors) {
    putchar('\n');
    ok = print_layers(all, layers, why);
    if (ok)
      print_worst(order, tensors);
  }
  free(order);
  free(all);
  return ok && common_flush(why);
}

bool quantize_json_layers(json_printer *p, const quantize_job *job, fail *why)
{
  size_t layers, tensors;
  layer *all = gather(job, &layers);
  const quantize_result **order = worst_first(job, &tensors);
  bool ok = all && order;

  json_begin(p, "layers", '[');
  for (size_t i = 0; ok && i < layers; i++) {
    char name[256];

    snprintf(name, sizeof name, "%.*s", (int)all[i].length, all[i].name);
    json_begin(p, NULL, '{');
    json_print_string(p, "name", name);
    json_print_u64(p, "tensors", all[i].tensors);
    json_print_f64(p, "output_error", relative(&all[i]));
    json_print_f64(p, "error_against_nearest", against(&all[i]));
    json_print_f64(p, "bits_per_weight", all[i].bits / all[i].parameters);
    json_print_f64(p, "seconds", all[i].seconds);
    json_end(p, '}');
  }
  json_end(p, ']');
  json_begin(p, "worst_outputs", '[');
  for (size_t i = 0; ok && i < tensors && i < WORST; i++)
    json_print_string(p, NULL, order[i]->w->name);
  json_end(p, ']');
  free(order);
  free(all);
  return ok || fail_memory(why, job->out);
}
