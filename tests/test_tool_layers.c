/*
 * What is told of a calibrated job layer by layer: which weights make a layer, sums of errors and
 * not means, the order of the worst, figures where there is nothing to divide by.
 */
#include "harness.h"

#include "../src/commands/quantize_layers.h"

#include <math.h>

enum { COUNT = 7 };

static quantize_result result_of(const weight *w, double error, double nearest, double energy)
{
  return (quantize_result){
      .w = w,
      .bits_per_weight = 4,
      .seconds = 0.5,
      .report = {
          .size = sizeof(lq_report), .error = error, .error_nearest = nearest, .energy = energy}};
}

/* The member `name` of object number `at` in "layers". */
static double figure(const json_doc *d, size_t at, const char *name)
{
  json_id v = json_first(d, json_get(d, json_root(d), "layers"));
  double x = NAN;
  while (at-- > 0)
    v = json_next(d, v);
  json_f64(d, json_get(d, v, name), &x);
  return x;
}

static const char *name_of(const json_doc *d, const char *list, const char *member, size_t at)
{
  json_id v = json_first(d, json_get(d, json_root(d), list));
  while (at-- > 0)
    v = json_next(d, v);
  return json_string(d, member ? json_get(d, v, member) : v);
}

static json_doc *told(const quantize_job *job)
{
  buf text = {0};
  json_printer p = {.to = &text};
  json_doc *d = NULL;
  fail why = {0};
  json_begin(&p, NULL, '{');
  CHECK(quantize_json_layers(&p, job, &why), "%s", why.text);
  json_end(&p, '}');
  char *copy = test_alloc(text.length + 1);
  memcpy(copy, text.data, text.length);
  copy[text.length] = 0;
  CHECK(json_parse(&d, copy, text.length, "told", 0, &why), "%s", why.text);
  buf_free(&text);
  return d;
}

int main(void)
{
  static const char *const names[COUNT] = {"model.layers.1.mlp.up_proj.weight",
                                           "model.layers.10.mlp.up_proj.weight",
                                           "model.layers.1.mlp.down_proj.weight",
                                           "lm_head.weight",
                                           "model.layers.2.experts.3.up_proj.weight",
                                           "model.layers.2.experts.4.up_proj.weight",
                                           "model.layers.2.q_proj.weight"};
  static const double figures[COUNT][3] = {{1, 4, 100}, {9, 10, 10}, {3, 4, 300}, {0, 0, 0},
                                           {1, 1, 4},   {1, 1, 4},   {1, 0, 1}};
  st_tensor tensors[COUNT];
  model_tensor bases[COUNT];
  weight weights[COUNT];
  quantize_result results[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    tensors[i] = (st_tensor){.name = names[i], .elements = 8};
    bases[i] = (model_tensor){.tensor = &tensors[i]};
    weights[i] = (weight){.name = names[i], .base = &bases[i]};
    results[i] = result_of(&weights[i], figures[i][0], figures[i][1], figures[i][2]);
  }
  results[6].kept = true;
  quantize_job job = {.results = results, .count = COUNT, .out = "out"};
  json_doc *d = told(&job);
  CHECK(json_count(d, json_get(d, json_root(d), "layers")) == 4, "number of layers");
  CHECK(strcmp(name_of(d, "layers", "name", 0), "model.layers.1") == 0, "first layer");
  CHECK(strcmp(name_of(d, "layers", "name", 1), "model.layers.10") == 0, "second layer");
  CHECK(strcmp(name_of(d, "layers", "name", 2), "") == 0, "what is of no layer");
  CHECK(strcmp(name_of(d, "layers", "name", 3), "model.layers.2") == 0, "experts");
  CHECK(fabs(figure(d, 0, "output_error") - 0.1) < 1e-12, "%g", figure(d, 0, "output_error"));
  CHECK(fabs(figure(d, 0, "error_against_nearest") - 0.5) < 1e-12, "sum of both weights");
  CHECK(fabs(figure(d, 0, "seconds") - 1) < 1e-12 && fabs(figure(d, 0, "tensors") - 2) < 1e-12 &&
            fabs(figure(d, 0, "bits_per_weight") - 4) < 1e-12,
        "seconds, tensors, bits");
  CHECK(figure(d, 2, "output_error") == 0 && figure(d, 2, "error_against_nearest") == 1,
        "no energy");
  CHECK(fabs(figure(d, 3, "tensors") - 2) < 1e-12, "a kept weight counts");
  CHECK(json_count(d, json_get(d, json_root(d), "worst_outputs")) == 5, "five worst");
  CHECK(strcmp(name_of(d, "worst_outputs", NULL, 0), names[1]) == 0, "the worst");
  CHECK(strcmp(name_of(d, "worst_outputs", NULL, 1), names[4]) == 0 &&
            strcmp(name_of(d, "worst_outputs", NULL, 2), names[5]) == 0,
        "equal ones in the order of the file");
  json_free(d);
  job.count = 0;
  d = told(&job);
  CHECK(json_count(d, json_get(d, json_root(d), "layers")) == 0, "an empty job");
  json_free(d);
  return test_end();
}
