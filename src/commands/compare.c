/*
 * compare.c - the verb `quant compare`: how far one model is from another, tensor by tensor.
 *
 * Must not know: layouts, methods. Either side may be dense or quantized; the library compares what
 * the weights decode to. Tensors of types that it has not (integers, f64) are compared byte by
 * byte.
 */
#include "../model/gguf_llama.h"
#include "../model/weight.h"
#include "../ui/progress.h"
#include "../ui/table.h"
#include "../ui/units.h"
#include "common.h"
#include "pipeline.h"
#include "verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct compare_options {
  common common;
  int64_t worst;
} compare_options;

static const args_option options[] = {
    {.name = "worst",
     .type = ARGS_INT,
     .value = "N",
     .initial = "10",
     .most = INT64_C(1) << 40,
     .field = offsetof(compare_options, worst),
     .help =
         "how many of the tensors that differ to list, the largest relative error first; 0: all "
         "tensors. JSON has them all"},
    COMMON_HEADING,
    COMMON_THREADS(compare_options),
    COMMON_CPU(compare_options),
    COMMON_JSON(compare_options),
};

static const args_verb verb = {"compare",
                               "A B [options]",
                               "Compares the weights of B with those of A, each a model folder, a "
                               ".safetensors or a GGUF file,\n"
                               "dense or quantized. The relative error is |A - B| / |A| in "
                               "Euclidean norms.",
                               options,
                               sizeof options / sizeof *options,
                               2,
                               2};

typedef enum outcome { SAME_SHAPE, OTHER_SHAPE, OPAQUE } outcome;

typedef struct pair {
  const weight *a, *b;
  outcome how;
  bool equal; /* OPAQUE: byte for byte; else relative error 0 */
  uint64_t elements;
  lq_metrics metrics;
} pair;

typedef struct slot {
  weight_data a, b;
} slot;

typedef struct comparison {
  const compare_options *options;
  weight_list a, b;
  pair *pairs;
  size_t count, missing_a, missing_b; /* tensors of A that B has not; of B that A has not */
  const weight **only_a, **only_b;
  slot slots[PIPELINE_SLOTS];
  lq_config *bind_config, *work_config;
  pool *memory;
  progress bar;
} comparison;

/* ---- which weights belong together ---- */

static int by_name(const void *pa, const void *pb)
{
  const weight *const *a = pa, *const *b = pb;

  return strcmp((*a)->name, (*b)->name);
}

static const weight **sorted_by_name(const weight_list *l)
{
  const weight **order = malloc((l->count + 1) * sizeof *order);

  if (!order)
    return NULL;
  for (size_t i = 0; i < l->count; i++)
    order[i] = &l->at[i];
  qsort(order, l->count, sizeof *order, by_name);
  return order;
}

/* Back to the order of A's file, in which the disk is fastest. */
static int by_place(const void *pa, const void *pb)
{
  const pair *a = pa, *b = pb;

  return a->a < b->a ? -1 : a->a > b->a;
}

/* Merges the two sorted lists; what is on one side alone moves to its front. */
static bool match(comparison *x, fail *why)
{
  size_t i = 0, k = 0;

  x->only_a = sorted_by_name(&x->a);
  x->only_b = sorted_by_name(&x->b);
  x->pairs = calloc(x->a.count + 1, sizeof *x->pairs);
  if (!x->only_a || !x->only_b || !x->pairs)
    return fail_memory(why, NULL);
  while (i < x->a.count || k < x->b.count) {
    int order = i == x->a.count   ? 1
                : k == x->b.count ? -1
                                  : strcmp(x->only_a[i]->name, x->only_b[k]->name);

    if (order == 0)
      x->pairs[x->count++] = (pair){.a = x->only_a[i++], .b = x->only_b[k++]};
    else if (order < 0)
      x->only_a[x->missing_a++] = x->only_a[i++];
    else
      x->only_b[x->missing_b++] = x->only_b[k++];
  }
  qsort(x->pairs, x->count, sizeof *x->pairs, by_place);
  if (x->count == 0)
    return fail_set(why, FAIL_NOTFOUND, model_path(x->b.model), "has no tensor in common with %s",
                    model_path(x->a.model));
  return true;
}

/* ---- measuring ---- */

static uint64_t item_bytes(void *user, size_t i)
{
  const comparison *x = user;

  /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): `i` counts pairs that were found */
  return x->pairs[i].a->bytes + x->pairs[i].b->bytes;
}

static bool read_item(void *user, size_t i, size_t at, fail *why)
{
  comparison *x = user;
  const pair *p = &x->pairs[i];
  slot *s = &x->slots[at];

  return weight_read(&x->a, p->a, x->memory, &s->a, why) &&
         weight_bind(&x->a, p->a, x->memory, x->bind_config, &s->a, why) &&
         weight_read(&x->b, p->b, x->memory, &s->b, why) &&
         weight_bind(&x->b, p->b, x->memory, x->bind_config, &s->b, why);
}

static bool same_bytes(const pair *p, const slot *s)
{
  const st_tensor *a = p->a->base->tensor, *b = p->b->base->tensor;
  bool same = a->dtype == b->dtype && a->ndim == b->ndim && a->bytes == b->bytes;

  for (unsigned i = 0; i < a->ndim && same; i++)
    same = a->shape[i] == b->shape[i];
  return same && memcmp(s->a.planes->data, s->b.planes->data, (size_t)a->bytes) == 0;
}

static bool measure_item(void *user, size_t i, size_t at, fail *why)
{
  comparison *x = user;
  pair *p = &x->pairs[i];
  slot *s = &x->slots[at];
  lq_status status;

  progress_item(&x->bar, p->a->name);
  p->metrics.size = sizeof p->metrics;
  if (!s->a.tensor || !s->b.tensor) {
    p->how = OPAQUE;
    p->equal = !s->a.tensor && !s->b.tensor && same_bytes(p, s);
    return true;
  }
  p->elements = 1;
  for (uint32_t d = 0; d < lq_tensor_ndim(s->a.tensor); d++)
    p->elements *= lq_tensor_dim(s->a.tensor, d);
  status = lq_compare(s->a.tensor, s->b.tensor, &p->metrics, x->work_config);
  p->how = status == LQ_E_SHAPE ? OTHER_SHAPE : SAME_SHAPE;
  p->equal = status == LQ_OK && p->metrics.relative_error == 0;
  if (status != LQ_OK && status != LQ_E_SHAPE)
    return fail_set(why, status == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_DATA, weight_path(&x->b, p->b),
                    "%s: %s", p->b->name, lq_status_string(status));
  return true;
}

static bool release_item(void *user, size_t i, size_t at, fail *why)
{
  comparison *x = user;

  (void)why;
  progress_add(&x->bar, item_bytes(user, i));
  weight_release(&x->slots[at].a, x->memory);
  weight_release(&x->slots[at].b, x->memory);
  return true;
}

static bool measure(comparison *x, fail *why)
{
  const pipeline p = {.items = x->count,
                      .budget = (uint64_t)320 << 20,
                      .user = x,
                      .bytes = item_bytes,
                      .read = read_item,
                      .work = measure_item,
                      .write = release_item};
  uint64_t bytes = 0;
  bool ok;

  for (size_t i = 0; i < x->count; i++)
    bytes += item_bytes(x, i);
  progress_start(&x->bar, "comparing", bytes, x->options->common.json);
  ok = pipeline_run(&p, why);
  progress_finish(&x->bar);
  return ok;
}

/* ---- telling ---- */

typedef struct totals {
  size_t compared, equal, other_shape, opaque, opaque_differ;
  uint64_t elements, changed;
  double error, changed_error; /* means weighted by parameters: all, and of those that differ */
} totals;

static totals sum_up(const comparison *x)
{
  totals t = {0};

  for (size_t i = 0; i < x->count; i++) {
    const pair *p = &x->pairs[i];

    t.other_shape += p->how == OTHER_SHAPE;
    t.opaque += p->how == OPAQUE;
    t.opaque_differ += p->how == OPAQUE && !p->equal;
    if (p->how != SAME_SHAPE)
      continue;
    t.compared++;
    t.equal += p->equal;
    t.elements += p->elements;
    t.changed += p->equal ? 0 : p->elements;
    t.changed_error += p->metrics.relative_error * (double)p->elements;
  }
  t.error = t.elements ? t.changed_error / (double)t.elements : 0;
  t.changed_error = t.changed ? t.changed_error / (double)t.changed : 0;
  return t;
}

/* Worst first; an error that is not a number is worse than any; then by name. */
static int by_error(const void *pa, const void *pb)
{
  const pair *a = pa, *b = pb;
  double ea = a->how == SAME_SHAPE ? a->metrics.relative_error : -1;
  double eb = b->how == SAME_SHAPE ? b->metrics.relative_error : -1;

  if (isnan(ea) != isnan(eb))
    return isnan(ea) ? -1 : 1;
  if (ea != eb && !isnan(ea))
    return ea > eb ? -1 : 1;
  return strcmp(a->a->name, b->a->name);
}

static bool print_pairs(const comparison *x, size_t count, fail *why)
{
  table t = {0};
  bool ok;

  table_column(&t, "tensor", TABLE_LEFT);
  table_column(&t, "relative error", TABLE_RIGHT);
  table_column(&t, "SQNR dB", TABLE_RIGHT);
  table_column(&t, "cosine", TABLE_RIGHT);
  table_column(&t, "largest error", TABLE_RIGHT);
  table_column(&t, "at row, column", TABLE_RIGHT);
  for (size_t i = 0; i < count; i++) {
    const pair *p = &x->pairs[i];
    const lq_metrics *m = &p->metrics;

    table_cell(&t, "%s", p->a->name);
    table_cell(&t, "%.6f", m->relative_error);
    table_cell(&t, "%.2f", m->sqnr_db);
    table_cell(&t, "%.6f", m->cosine);
    table_cell(&t, "%.4g", m->max_error);
    if (p->equal)
      table_cell(&t, "-");
    else
      table_cell(&t, "%llu, %llu", (unsigned long long)m->max_row,
                 (unsigned long long)m->max_column);
  }
  ok = table_print(&t, stdout, why);
  table_free(&t);
  return ok;
}

static void print_missing(const weight **only, size_t count, const char *in, const char *not_in)
{
  for (size_t i = 0; i < count; i++)
    common_say(NULL, "only in %s, not in %s: %s\n", in, not_in, only[i]->name);
}

static bool print_text(const comparison *x, const totals *t, fail *why)
{
  const char *a = model_path(x->a.model), *b = model_path(x->b.model);
  size_t differ = t->compared - t->equal;
  size_t wanted = x->options->worst ? (size_t)x->options->worst : t->compared;
  size_t most = x->options->worst ? differ : t->compared;
  size_t shown = wanted < most ? wanted : most;
  char n[UNITS_TEXT];

  if (shown && !print_pairs(x, shown, why))
    return false;
  if (shown)
    putchar('\n');
  if (shown < differ)
    printf("%zu more tensors differ; --worst 0 lists all.\n", differ - shown);
  for (size_t i = 0; i < x->count; i++)
    if (x->pairs[i].how == OTHER_SHAPE)
      common_say(NULL, "differs in shape: %s\n", x->pairs[i].a->name);
    else if (x->pairs[i].how == OPAQUE && !x->pairs[i].equal)
      common_say(NULL, "differs, of a type that is compared byte by byte: %s\n",
                 x->pairs[i].a->name);
  print_missing(x->only_a, x->missing_a, a, b);
  print_missing(x->only_b, x->missing_b, b, a);
  printf("%zu tensors compared, %zu equal, %zu differ", t->compared + t->opaque,
         t->equal + t->opaque - t->opaque_differ, differ + t->opaque_differ);
  if (differ)
    printf("; relative error of these %.6f on average, weighted by %s parameters", t->changed_error,
           units_count(n, t->changed));
  printf("\n");
  return common_flush(why);
}

static void json_names(json_printer *p, const char *name, const weight **only, size_t count)
{
  json_begin(p, name, '[');
  for (size_t i = 0; i < count; i++)
    json_print_string(p, NULL, only[i]->name);
  json_end(p, ']');
}

static void json_pair(json_printer *p, const pair *x)
{
  json_begin(p, NULL, '{');
  json_print_string(p, "name", x->a->name);
  if (x->how == SAME_SHAPE) {
    json_print_u64(p, "parameters", x->elements);
    json_print_f64(p, "relative_error", x->metrics.relative_error);
    json_print_f64(p, "sqnr_db", x->metrics.sqnr_db);
    json_print_f64(p, "cosine", x->metrics.cosine);
    json_print_f64(p, "max_error", x->metrics.max_error);
    json_print_u64(p, "max_row", x->metrics.max_row);
    json_print_u64(p, "max_column", x->metrics.max_column);
  } else {
    json_print_string(p, "problem", x->how == OTHER_SHAPE ? "shape" : "type");
  }
  json_print_bool(p, "equal", x->equal);
  json_end(p, '}');
}

static bool print_json(const comparison *x, const totals *t, fail *why)
{
  buf text = {0};
  json_printer p = {.to = &text, .indent = 2, .ascii = true};
  bool ok;

  json_begin(&p, NULL, '{');
  json_print_string(&p, "a", model_path(x->a.model));
  json_print_string(&p, "b", model_path(x->b.model));
  json_print_u64(&p, "tensors_compared", t->compared + t->opaque);
  json_print_u64(&p, "tensors_equal", t->equal + t->opaque - t->opaque_differ);
  json_print_u64(&p, "tensors_of_other_shape", t->other_shape);
  json_print_u64(&p, "parameters_compared", t->elements);
  json_print_u64(&p, "parameters_in_changed_tensors", t->changed);
  json_print_f64(&p, "mean_relative_error", t->error);
  json_print_f64(&p, "mean_relative_error_of_changed", t->changed_error);
  json_names(&p, "only_in_a", x->only_a, x->missing_a);
  json_names(&p, "only_in_b", x->only_b, x->missing_b);
  json_begin(&p, "tensors", '[');
  for (size_t i = 0; i < x->count; i++)
    json_pair(&p, &x->pairs[i]);
  json_end(&p, ']');
  json_end(&p, '}');
  buf_byte(&text, '\n');
  ok = common_print(&text, why);
  buf_free(&text);
  return ok;
}

static bool run(comparison *x, const char *path_a, const char *path_b, fail *why)
{
  enum { KEEP = 128 << 20 };
  const common *c = &x->options->common;
  model *a = NULL, *b = NULL;
  totals t;
  bool ok = false;

  if (!common_cpu(c, why) || !pool_create(&x->memory, KEEP, false, why) ||
      !common_config(c, x->memory, &x->bind_config, why) ||
      !common_config(c, x->memory, &x->work_config, why) || !model_open(&a, path_a, why) ||
      !model_open(&b, path_b, why) || !gguf_as_other(a, b, why) || !gguf_as_other(b, a, why) ||
      !weight_list_make(&x->a, a, why) || !weight_list_make(&x->b, b, why))
    goto done;
  /* Two models that hold the same NaN are to be compared, not refused. */
  if (lq_config_set_i64(x->bind_config, LQ_KEY_NONFINITE, LQ_NONFINITE_PROPAGATE) != LQ_OK) {
    fail_set(why, FAIL_DATA, NULL, "%s", lq_config_error_text(x->bind_config));
    goto done;
  }
  if (!match(x, why) || !measure(x, why))
    goto done;
  t = sum_up(x);
  qsort(x->pairs, x->count, sizeof *x->pairs, by_error);
  ok = c->json ? print_json(x, &t, why) : print_text(x, &t, why);
done:
  for (size_t i = 0; i < PIPELINE_SLOTS; i++) {
    weight_release(&x->slots[i].a, x->memory);
    weight_release(&x->slots[i].b, x->memory);
  }
  free(x->pairs);
  free(x->only_a);
  free(x->only_b);
  lq_config_destroy(x->bind_config);
  lq_config_destroy(x->work_config);
  weight_list_free(&x->a);
  weight_list_free(&x->b);
  pool_destroy(x->memory);
  model_close(a);
  model_close(b);
  return ok;
}

bool verb_compare(int argc, char **argv, fail *why)
{
  compare_options o = {0};
  comparison x = {.options = &o};
  args_result args;
  bool ok, done;

  if (!common_parse(&verb, argc, argv, &o, &args, &done, why))
    return false;
  if (done)
    return true;
  ok = run(&x, args.positional[0], args.positional[1], why);
  args_free(&args);
  return ok;
}
