/*
 * weight_list.c - which tensors of a checkpoint belong together.
 *
 * Owns: the naming rules of the layouts. A tensor P.weight in the bitsandbytes layout has its
 * other planes under P.weight.absmax, P.weight.quant_map ... (4 bits) or P.SCB (8 bits); a tensor
 * NAME in the native layout under NAME.meta, NAME.scales ... Names of the second kind are common
 * words, so they count as planes only where a NAME.meta of bytes is there. In the layouts of GPTQ
 * and AWQ there is no P.weight: its planes are P.qweight, P.qzeros, P.scales and P.g_idx, the last
 * two only where there is a P.qweight. Which of these layouts it is, packed.h finds out. In a GGUF
 * file each tensor is a weight.
 */
#include "weight.h"

#include <stdlib.h>
#include <string.h>

static const char *const native_planes[] = {"meta",
                                            "scales",
                                            "zeros",
                                            "g_idx",
                                            "nested_scales",
                                            "nested_offset",
                                            "codebook",
                                            "nested_codebook",
                                            "outlier_columns",
                                            "outliers",
                                            NULL};
static const char *const packed_names[] = {"qweight", "qzeros", "scales", "g_idx", NULL};
static const char *const four_bit_planes[] = {"absmax", "quant_map", "nested_absmax",
                                              "nested_quant_map", NULL};
static const char four_bit_state[] = ".quant_state.bitsandbytes__";

static bool ends_with(const char *name, size_t length, const char *tail)
{
  size_t n = strlen(tail);

  return length >= n && memcmp(name + length - n, tail, n) == 0;
}

/* "weight" itself or a name that ends in ".weight". */
static bool is_weight_name(const char *name, size_t length)
{
  return ends_with(name, length, "weight") && (length == 6 || name[length - 7] == '.');
}

/* Where the last dotted part begins, if it is one of `words`; otherwise NULL. */
static const char *last_part(const char *name, const char *const *words)
{
  const char *dot = strrchr(name, '.');

  if (dot)
    for (size_t i = 0; words[i]; i++)
      if (strcmp(dot + 1, words[i]) == 0)
        return dot + 1;
  return NULL;
}

static const model_tensor *find_joined(const model *m, const char *name, size_t length,
                                       const char *tail, char *scratch)
{
  memcpy(scratch, name, length);
  strcpy(scratch + length, tail);
  return model_find(m, scratch);
}

/* Recognizes a plane of the 4-bit layout; `length` becomes that of the weight's name. */
static bool four_bit_plane(const char *name, size_t *length)
{
  const char *part = last_part(name, four_bit_planes);
  const char *state = strstr(name, four_bit_state);

  if (!part && !state)
    return false;
  *length = part ? (size_t)(part - name) - 1 : (size_t)(state - name);
  return is_weight_name(name, *length);
}

static const char *after_module(const char *name, size_t weight_length)
{
  return name + weight_length - strlen("weight");
}

/* Recognizes a plane of GPTQ or AWQ. `m->base` is NULL if it can be nothing else but its weight is
 * missing. */
static bool packed_plane(weight_part *m, const model *in, char *scratch)
{
  const char *name = m->from->tensor->name, *dot = strrchr(name, '.');
  const char *part = dot ? dot + 1 : name;
  const model_tensor *base;
  size_t i = 0;

  while (packed_names[i] && strcmp(packed_names[i], part) != 0)
    i++;
  if (!packed_names[i])
    return false;
  base = i == 0 ? m->from : find_joined(in, name, (size_t)(part - name), packed_names[0], scratch);
  if (!base && strcmp(part, "qzeros") != 0)
    return false;
  m->layout = LQ_LAYOUT_GPTQ; /* or another of them: settled when all planes are together */
  m->base = base;
  m->plane = packed_names[i];
  return true;
}

/* Fills what `m` is a part of. False when its weight is missing; `*owner` is then the length of the
 * module path, after which "weight" is what misses. */
static bool classify(weight_part *m, const model *in, char *scratch)
{
  const char *name = m->from->tensor->name;
  size_t length = strlen(name);
  const char *part;

  m->base = m->from;
  m->layout = 0;
  m->plane = "weight";
  if (m->from->block_type) {
    m->layout = LQ_LAYOUT_GGML;
    m->plane = "blocks";
    return true;
  }
  if (packed_plane(m, in, scratch))
    return m->base != NULL;
  if (four_bit_plane(name, &length)) {
    m->layout = LQ_LAYOUT_BITSANDBYTES;
    m->base = find_joined(in, name, length, "", scratch);
    m->plane = after_module(name, length);
  } else if (ends_with(name, length, ".SCB")) {
    m->layout = LQ_LAYOUT_BITSANDBYTES;
    m->base = find_joined(in, name, length - 3, "weight", scratch);
    m->plane = name + length - 3;
  } else if (ends_with(name, length, ".weight_format") &&
             find_joined(in, name, length - 13, "SCB", scratch)) {
    m->layout = LQ_LAYOUT_BITSANDBYTES;
    m->base = find_joined(in, name, length - 13, "weight", scratch);
    m->plane = name + length - 13;
  } else if ((part = last_part(name, native_planes)) != NULL) {
    const model_tensor *base, *meta;

    length = (size_t)(part - name) - 1;
    base = find_joined(in, name, length, "", scratch);
    meta = find_joined(in, name, length, ".meta", scratch);
    if (base && meta && meta->tensor->dtype == ST_U8) {
      m->layout = LQ_LAYOUT_NATIVE;
      m->base = base;
      m->plane = part;
    }
  }
  return m->base != NULL;
}

/* By weight in file order, its base first, then by name. */
static int compare_parts(const void *pa, const void *pb)
{
  const weight_part *a = pa, *b = pb;

  if (a->base != b->base) {
    if (a->base->shard != b->base->shard)
      return a->base->shard < b->base->shard ? -1 : 1;
    if (a->base->tensor->begin != b->base->tensor->begin)
      return a->base->tensor->begin < b->base->tensor->begin ? -1 : 1;
    return strcmp(a->base->tensor->name, b->base->tensor->name);
  }
  if ((a->from == a->base) != (b->from == b->base))
    return a->from == a->base ? -1 : 1;
  return strcmp(a->from->tensor->name, b->from->tensor->name);
}

static bool classify_all(weight_list *l, size_t count, fail *why)
{
  const model *m = l->model;
  char *scratch = malloc(ST_NAME_MAX + 64);
  bool ok = true;

  if (!scratch)
    return fail_memory(why, model_path(m));
  for (size_t i = 0; i < count && ok; i++) {
    const model_tensor *t = l->parts[i].from = model_at(m, i);

    if (!classify(&l->parts[i], m, scratch))
      ok = fail_set(why, FAIL_FORMAT, model_shard_path(m, t->shard),
                    "%s: the weight that it belongs to, %s, is missing", t->tensor->name, scratch);
  }
  free(scratch);
  return ok;
}

/* Name and layout of a weight of GPTQ or AWQ, of which *name is room for the first. */
static bool settle_packed(weight_list *l, weight *w, char **name, fail *why)
{
  const char *base = w->base->tensor->name;
  size_t prefix = strlen(base) - strlen("qweight");
  packed_planes planes;
  packed_shape shape;

  memcpy(*name, base, prefix);
  strcpy(*name + prefix, "weight");
  w->name = *name;
  *name += prefix + sizeof "weight";
  if (model_find(l->model, w->name))
    return fail_set(why, FAIL_FORMAT, weight_path(l, w), "%s is there dense, and quantized too",
                    w->name);
  planes = weight_packed_planes(w);
  w->layout = packed_layout(&l->packed, &planes);
  return packed_measure(&l->packed, w->layout, &planes, weight_path(l, w), w->name, &shape, why);
}

packed_planes weight_packed_planes(const weight *w)
{
  packed_planes out = {0};
  const st_tensor **const into[] = {&out.weight, &out.zeros, &out.scales, &out.index};

  for (size_t i = 0; i < w->count; i++)
    for (size_t k = 0; packed_names[k]; k++)
      if (strcmp(w->parts[i].plane, packed_names[k]) == 0)
        *into[k] = w->parts[i].from->tensor;
  return out;
}

/* Makes one weight of the parts from `first` on; gives the number of them. */
static size_t gather(weight_list *l, size_t count, size_t first)
{
  weight *w = &l->at[l->count++];
  weight_part *p = l->parts + first, *end = l->parts + count;

  *w = (weight){.name = p->base->tensor->name, .base = p->base, .parts = p};
  for (; p < end && p->base == w->base; p++) {
    if (p->layout)
      w->layout = p->layout;
    w->bytes += p->from->tensor->bytes;
    w->count++;
  }
  if (w->layout == LQ_LAYOUT_NATIVE)
    l->parts[first].plane = "codes";
  return w->count;
}

/* Reads what is said about packed planes, and makes room for weights and for names of those that
 * are packed. */
static bool prepare(weight_list *l, size_t count, fail *why)
{
  size_t room = 0, weights = 0;

  for (size_t i = 0; i < count; i++) {
    const weight_part *p = &l->parts[i];

    weights += i == 0 || p->base != p[-1].base;
    if (p->from == p->base && packed_is_layout(p->layout))
      room += strlen(p->from->tensor->name) + 1;
  }
  if (!packed_read_format(&l->packed, l->model, room != 0, why))
    return false;
  l->names = malloc(room + 1);
  l->at = calloc(weights + 1, sizeof *l->at);
  return (l->names && l->at) || fail_memory(why, model_path(l->model));
}

static bool gather_all(weight_list *l, size_t count, fail *why)
{
  char *name = l->names;

  for (size_t i = 0; i < count;) {
    weight *w = &l->at[l->count];

    i += gather(l, count, i);
    if (packed_is_layout(w->layout) && !settle_packed(l, w, &name, why))
      return false;
  }
  return true;
}

bool weight_list_make(weight_list *out, const model *m, fail *why)
{
  size_t count = model_tensor_count(m);

  *out = (weight_list){.model = m, .parts = calloc(count + 1, sizeof *out->parts)};
  if (!out->parts) {
    fail_memory(why, model_path(m));
  } else if (classify_all(out, count, why)) {
    qsort(out->parts, count, sizeof *out->parts, compare_parts);
    if (prepare(out, count, why) && gather_all(out, count, why))
      return true;
  }
  weight_list_free(out);
  return false;
}

void weight_list_free(weight_list *l)
{
  free(l->at);
  free(l->parts);
  free(l->names);
  *l = (weight_list){0};
}

const weight *weight_find(const weight_list *l, const char *name)
{
  for (size_t i = 0; i < l->count; i++)
    if (strcmp(l->at[i].name, name) == 0)
      return &l->at[i];
  return NULL;
}

char *weight_plane_name(const char *name, int32_t layout, const char *plane)
{
  size_t length = strlen(name), extra = strlen(plane);
  char *text = malloc(length + extra + 2);

  if (!text)
    return NULL;
  memcpy(text, name, length + 1);
  if (layout == LQ_LAYOUT_BITSANDBYTES || packed_is_layout(layout)) {
    memcpy(text + length - strlen("weight"), plane, extra + 1);
  } else if (strcmp(plane, "codes") != 0) {
    text[length] = '.';
    memcpy(text + length + 1, plane, extra + 1);
  }
  return text;
}
