/*
 * inspect.c - the verb `quant inspect`: what a model or file holds, and what that costs.
 *
 * Must not know: layouts. Every quantized weight is read and put together by the library, so a
 * model that passes has no defect that the library can see.
 */
#include "../model/weight.h"
#include "../ui/progress.h"
#include "../ui/table.h"
#include "../ui/units.h"
#include "common.h"
#include "hfconfig.h"
#include "inspect_gguf.h"
#include "recipe.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct inspect_options {
  common common;
  bool tensors;
} inspect_options;

static const args_option options[] = {
    {.name = "tensors",
     .type = ARGS_FLAG,
     .field = offsetof(inspect_options, tensors),
     .help = "a line for each tensor, however many there are"},
    COMMON_HEADING,
    COMMON_JSON(inspect_options),
};

static const args_verb verb = {
    "inspect",
    "PATH [options]",
    "Shows what a model folder, a .safetensors or a GGUF file holds: tensors, methods, sizes.\n"
    "Every quantized tensor is read and checked.",
    options,
    sizeof options / sizeof *options,
    1,
    1};

/* With at most so many tensors each gets a line without being asked. */
enum { FEW_TENSORS = 24, PRINTED_AT_ONCE = 1 << 16 };

/* What is shown of one weight. */
typedef struct row {
  const weight *w;
  char method[16];          /* or the type of a dense one: "bf16" */
  int64_t block;            /* 0 without blocks */
  int64_t bits, group_size; /* 0 without groups; size -1: a whole row */
  bool nested, symmetric, act_order;
  uint32_t ndim;
  uint64_t dims[8], elements;
  uint64_t memory; /* without the state text */
} row;

typedef struct group {
  row like;
  size_t tensors;
  uint64_t elements, bytes, memory;
} group;

/* A file of a million empty tensors is no reason for a million rows: rows are kept of weights that
 * had to be read for them. */
typedef struct inspection {
  const inspect_options *options;
  weight_list weights;
  row *rows; /* of those that has_planes(), in their order */
  group *groups;
  size_t group_count;
  group total;
  uint64_t dense; /* bytes of all floating-point weights in two bytes each */
} inspection;

static void fill_dense(row *r)
{
  const st_tensor *t = r->w->base->tensor;
  const char *name = st_dtype_name(t->dtype);

  for (size_t i = 0; name[i] && i + 1 < sizeof r->method; i++)
    r->method[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
  r->ndim = t->ndim;
  memcpy(r->dims, t->shape, sizeof t->shape);
  r->elements = t->elements;
  r->memory = t->bytes;
}

/* 0 for a key that the tensor has not. */
static int64_t value_of(const lq_tensor *t, int32_t key)
{
  int64_t value = 0;

  return lq_tensor_get_i64(t, key, &value) == LQ_OK ? value : 0;
}

static bool has_group_index(const lq_tensor *t)
{
  uint32_t count = lq_tensor_plane_count(t, LQ_LAYOUT_NATIVE);

  for (uint32_t i = 0; i < count; i++) {
    lq_plane plane = {.size = sizeof plane};

    if (lq_tensor_plane(t, LQ_LAYOUT_NATIVE, i, &plane) == LQ_OK &&
        strcmp(plane.name, "g_idx") == 0)
      return true;
  }
  return false;
}

static void fill_quantized(row *r, const lq_tensor *t)
{
  snprintf(r->method, sizeof r->method, "%s", lq_method_name(lq_tensor_method(t)));
  r->block = value_of(t, LQ_KEY_BLOCK_SIZE);
  r->nested = value_of(t, LQ_KEY_NESTED) != 0;
  if (lq_tensor_method(t) == LQ_AFFINE) {
    r->bits = value_of(t, LQ_KEY_BITS);
    r->group_size = value_of(t, LQ_KEY_GROUP_SIZE);
    r->symmetric = value_of(t, LQ_KEY_SYMMETRIC) != 0;
    r->act_order = has_group_index(t);
  }
  r->ndim = lq_tensor_ndim(t);
  r->elements = 1;
  for (uint32_t i = 0; i < r->ndim; i++) {
    r->dims[i] = lq_tensor_dim(t, i);
    r->elements *= r->dims[i];
  }
  r->memory = lq_tensor_nbytes(t);
}

/* Under the name of their type. */
static bool fill_blocks(const weight_list *l, row *r, fail *why)
{
  lq_ggml_type info = {.size = sizeof info};
  int32_t dtype;

  if (!weight_shape(l, r->w, &dtype, &r->ndim, r->dims, why))
    return false;
  lq_ggml_type_info(r->w->base->block_type, &info); /* which the shape came from */
  snprintf(r->method, sizeof r->method, "%s", info.name);
  r->memory = r->w->bytes;
  r->elements = r->w->bytes / info.bytes * info.elements;
  return true;
}

static bool has_planes(const weight *w)
{
  return w->layout && w->layout != LQ_LAYOUT_GGML;
}

/* The row of weight i. Of those with planes, `*kept` counts the rows that came before. */
static bool row_at(const inspection *x, size_t i, size_t *kept, row *out, fail *why)
{
  const weight *w = &x->weights.at[i];

  if (has_planes(w)) {
    *out = x->rows[(*kept)++];
    return true;
  }
  *out = (row){.w = w};
  if (w->layout)
    return fill_blocks(&x->weights, out, why);
  fill_dense(out);
  return true;
}

/* Reads the weight and puts it together; `r` is NULL where that tells nothing new. */
static bool check(const inspection *x, const weight *w, row *r, pool *memory, lq_config *config,
                  fail *why)
{
  weight_data data;
  bool ok;

  if (!weight_read(&x->weights, w, memory, &data, why))
    return false;
  ok = weight_bind(&x->weights, w, memory, config, &data, why);
  if (ok && r)
    fill_quantized(r, data.tensor);
  weight_release(&data, memory);
  return ok;
}

static bool is_decoded(const weight *w)
{
  lq_ggml_type info = {.size = sizeof info};

  return lq_ggml_type_info(w->base->block_type, &info) == LQ_OK && info.decodes;
}

static bool same_encoding(const row *a, const row *b)
{
  return strcmp(a->method, b->method) == 0 && a->block == b->block && a->bits == b->bits &&
         a->group_size == b->group_size && a->nested == b->nested && a->symmetric == b->symmetric &&
         a->act_order == b->act_order && a->w->layout == b->w->layout;
}

static void add_to(group *g, const row *r)
{
  g->tensors++;
  g->elements += r->elements;
  g->bytes += r->w->bytes;
  g->memory += r->memory;
}

/* The figures of one weight into its group and the totals. */
static bool count_row(inspection *x, const row *r, fail *why)
{
  size_t g = 0;

  while (g < x->group_count && !same_encoding(&x->groups[g].like, r))
    g++;
  if (g == x->group_count) {
    group *grown = realloc(x->groups, (g + 1) * sizeof *grown);

    if (!grown)
      return fail_memory(why, weight_path(&x->weights, r->w));
    x->groups = grown;
    x->groups[g] = (group){.like = *r};
    x->group_count++;
  }
  add_to(&x->groups[g], r);
  add_to(&x->total, r);
  x->dense += r->w->layout || weight_is_float(r->w) ? 2 * r->elements : r->w->bytes;
  return true;
}

static bool load(inspection *x, pool *memory, lq_config *config, progress *bar, fail *why)
{
  size_t planes = 0, kept = 0;

  for (size_t i = 0; i < x->weights.count; i++)
    planes += has_planes(&x->weights.at[i]);
  x->rows = calloc(planes + 1, sizeof *x->rows);
  if (!x->rows)
    return fail_memory(why, model_path(x->weights.model));
  for (size_t i = 0; i < x->weights.count; i++) {
    const weight *w = &x->weights.at[i];
    row *own = has_planes(w) ? &x->rows[kept] : NULL, r;

    if (w->layout)
      progress_item(bar, w->name);
    if (own)
      own->w = w;
    if ((own || is_decoded(w)) && !check(x, w, own, memory, config, why))
      return false;
    if (!row_at(x, i, &kept, &r, why) || !count_row(x, &r, why))
      return false;
    if (w->layout)
      progress_add(bar, w->bytes);
  }
  return true;
}

static double bits(uint64_t bytes, uint64_t elements)
{
  return elements ? 8.0 * (double)bytes / (double)elements : 0.0;
}

static void shape_text(const row *r, char out[128])
{
  size_t n = 0;

  out[0] = 0;
  for (uint32_t i = 0; i < r->ndim && n < 100; i++)
    n += (size_t)snprintf(out + n, 128 - n, "%s%llu", i ? " x " : "",
                          (unsigned long long)r->dims[i]);
}

enum { ENCODING_TEXT = 128 };

static void encoding_text(const row *r, char out[ENCODING_TEXT])
{
  int n = snprintf(out, ENCODING_TEXT, "%s", r->method);

  if (r->block)
    n += snprintf(out + n, (size_t)(ENCODING_TEXT - n), ", blocks of %lld", (long long)r->block);
  if (r->bits)
    n += snprintf(out + n, (size_t)(ENCODING_TEXT - n), ", %lld bits", (long long)r->bits);
  if (r->group_size > 0)
    n += snprintf(out + n, (size_t)(ENCODING_TEXT - n), ", groups of %lld",
                  (long long)r->group_size);
  else if (r->bits)
    n += snprintf(out + n, (size_t)(ENCODING_TEXT - n), ", whole rows");
  if (r->bits)
    n +=
        snprintf(out + n, (size_t)(ENCODING_TEXT - n), "%s%s",
                 r->symmetric ? ", symmetric" : ", zero points", r->act_order ? ", act-order" : "");
  if (r->nested)
    n += snprintf(out + n, (size_t)(ENCODING_TEXT - n), ", nested");
  if (r->bits)
    snprintf(out + n, (size_t)(ENCODING_TEXT - n), " (%s)", recipe_layout_name(r->w->layout));
}

static bool print_tensors(const inspection *x, fail *why)
{
  table t = {0};
  size_t kept = 0;
  bool ok = true;

  table_column(&t, "tensor", TABLE_LEFT);
  table_column(&t, "shape", TABLE_RIGHT);
  table_column(&t, "encoding", TABLE_LEFT);
  table_column(&t, "bits/weight", TABLE_RIGHT);
  table_column(&t, "bytes", TABLE_RIGHT);
  for (size_t i = 0; ok && i < x->weights.count; i++) {
    char shape[128], encoding[ENCODING_TEXT], bytes[UNITS_TEXT];
    row r;

    ok = row_at(x, i, &kept, &r, why);
    if (!ok)
      break;
    shape_text(&r, shape);
    encoding_text(&r, encoding);
    table_cell(&t, "%s", x->weights.at[i].name);
    table_cell(&t, "%s", shape);
    table_cell(&t, "%s", encoding);
    table_cell(&t, "%.3f", bits(r.memory, r.elements));
    table_cell(&t, "%s", units_bytes(bytes, x->weights.at[i].bytes));
  }
  ok = ok && table_print(&t, stdout, why);
  table_free(&t);
  putchar('\n');
  return ok;
}

static void add_group(table *t, const group *g, const char *name)
{
  char text[UNITS_TEXT];

  table_cell(t, "%s", name);
  table_cell(t, "%zu", g->tensors);
  table_cell(t, "%s", units_count(text, g->elements));
  table_cell(t, "%.3f", bits(g->memory, g->elements));
  table_cell(t, "%s", units_bytes(text, g->bytes));
}

static bool print_groups(const inspection *x, fail *why)
{
  table t = {0};
  bool ok;

  table_column(&t, "encoding", TABLE_LEFT);
  table_column(&t, "tensors", TABLE_RIGHT);
  table_column(&t, "parameters", TABLE_RIGHT);
  table_column(&t, "bits/weight", TABLE_RIGHT);
  table_column(&t, "bytes", TABLE_RIGHT);
  for (size_t i = 0; i < x->group_count; i++) {
    char name[ENCODING_TEXT];

    encoding_text(&x->groups[i].like, name);
    add_group(&t, &x->groups[i], name);
  }
  add_group(&t, &x->total, "total");
  ok = table_print(&t, stdout, why);
  table_free(&t);
  return ok;
}

static bool print_text(const inspection *x, fail *why)
{
  const model *m = x->weights.model;
  char a[UNITS_TEXT], b[UNITS_TEXT], method[32];
  size_t shards = model_shard_count(m);
  bool known;

  common_say(NULL, "%s: %zu %s", model_path(m), shards, shards == 1 ? "file" : "shards");
  if (model_config(m) && hf_quantized(model_config(m), method, &known))
    common_say(NULL, ", quantized with %s", method);
  if (model_gguf(m))
    printf(", GGUF version %u", (unsigned)gguf_version(model_gguf(m)));
  printf("\n\n");
  if (model_gguf(m) && !inspect_gguf_print(model_gguf(m), why))
    return false;
  if ((x->options->tensors || x->weights.count <= FEW_TENSORS) && !print_tensors(x, why))
    return false;
  if (!print_groups(x, why))
    return false;
  printf("\nIn memory: %s as it is, %s with all weights in 16 bits.\n",
         units_bytes(a, x->total.memory), units_bytes(b, x->dense));
  return common_flush(why);
}

static void json_group(json_printer *p, const group *g)
{
  json_print_u64(p, "tensors", g->tensors);
  json_print_u64(p, "parameters", g->elements);
  json_print_f64(p, "bits_per_weight", bits(g->memory, g->elements));
  json_print_u64(p, "bytes", g->bytes);
  json_print_u64(p, "bytes_in_memory", g->memory);
}

static void json_encoding(json_printer *p, const row *r)
{
  const bool blocks = r->w->layout == LQ_LAYOUT_GGML;

  json_print_string(p, "method",
                    blocks         ? lq_method_name(LQ_GGML)
                    : r->w->layout ? r->method
                                   : "none");
  if (blocks)
    json_print_string(p, "block_type", r->method);
  if (!r->w->layout)
    json_print_string(p, "dtype", r->method);
  else
    json_print_string(p, "format", recipe_layout_name(r->w->layout));
  if (r->block) {
    json_print_i64(p, "block_size", r->block);
    json_print_bool(p, "nested", r->nested);
  }
  if (r->bits) {
    json_print_i64(p, "bits", r->bits);
    json_print_i64(p, "group_size", r->group_size);
    json_print_bool(p, "symmetric", r->symmetric);
    json_print_bool(p, "act_order", r->act_order);
    json_print_bool(p, "nested", r->nested);
  }
}

static void json_row(json_printer *p, const row *r)
{
  json_begin(p, NULL, '{');
  json_print_string(p, "name", r->w->name);
  json_print_u64s(p, "shape", r->dims, r->ndim);
  json_encoding(p, r);
  json_print_f64(p, "bits_per_weight", bits(r->memory, r->elements));
  json_print_u64(p, "bytes", r->w->bytes);
  json_end(p, '}');
}

/* Printed now and then, so that the text of many tensors is never in memory as a whole. */
static bool json_rows(const inspection *x, json_printer *p, fail *why)
{
  size_t kept = 0;
  bool ok = true;

  json_begin(p, "tensors", '[');
  for (size_t i = 0; ok && i < x->weights.count; i++) {
    row r;

    ok = row_at(x, i, &kept, &r, why);
    if (ok)
      json_row(p, &r);
    if (ok && p->to->length > PRINTED_AT_ONCE) {
      ok = common_print(p->to, why);
      p->to->length = 0;
    }
  }
  json_end(p, ']');
  return ok;
}

static bool print_json(const inspection *x, fail *why)
{
  buf text = {0};
  json_printer p = {.to = &text, .indent = 2, .ascii = true};
  const gguf_file *gguf = model_gguf(x->weights.model);
  bool ok = true;

  json_begin(&p, NULL, '{');
  json_print_string(&p, "path", model_path(x->weights.model));
  json_print_u64(&p, "shards", model_shard_count(x->weights.model));
  if (gguf) {
    json_print_u64(&p, "gguf_version", gguf_version(gguf));
    ok = inspect_gguf_json(gguf, &p, why);
  }
  json_begin(&p, "encodings", '[');
  for (size_t i = 0; i < x->group_count; i++) {
    json_begin(&p, NULL, '{');
    json_encoding(&p, &x->groups[i].like);
    json_group(&p, &x->groups[i]);
    json_end(&p, '}');
  }
  json_end(&p, ']');
  json_begin(&p, "total", '{');
  json_group(&p, &x->total);
  json_end(&p, '}');
  ok = ok && json_rows(x, &p, why);
  json_end(&p, '}');
  buf_byte(&text, '\n');
  ok = ok && common_print(&text, why);
  buf_free(&text);
  return ok;
}

static bool run(inspection *x, const char *path, fail *why)
{
  enum { KEEP = 128 << 20 };
  model *m = NULL;
  pool *memory = NULL;
  lq_config *config = NULL;
  progress bar;
  bool ok = false;

  if (!model_open(&m, path, why) || !weight_list_make(&x->weights, m, why) ||
      !pool_create(&memory, KEEP, false, why) ||
      !common_config(&x->options->common, memory, &config, why))
    goto done;
  progress_start(&bar, "checking", model_data_bytes(m), true);
  ok = load(x, memory, config, &bar, why);
  progress_finish(&bar);
  if (ok)
    ok = x->options->common.json ? print_json(x, why) : print_text(x, why);
done:
  free(x->rows);
  free(x->groups);
  lq_config_destroy(config);
  weight_list_free(&x->weights);
  pool_destroy(memory);
  model_close(m);
  return ok;
}

bool verb_inspect(int argc, char **argv, fail *why)
{
  inspect_options o = {0};
  inspection x = {.options = &o};
  args_result args;
  bool ok, done;

  if (!common_parse(&verb, argc, argv, &o, &args, &done, why))
    return false;
  if (done)
    return true;
  ok = run(&x, args.positional[0], why);
  args_free(&args);
  return ok;
}
