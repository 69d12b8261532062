/* select.c - see select.h. */
#include "select.h"

#include "../files/pattern.h"

#include <string.h>

/* Does the dotted part text[0..length) hold `word`? Names of parts are lower case everywhere. */
static bool part_holds(const char *text, size_t length, const char *word)
{
  size_t n = strlen(word);

  for (size_t i = 0; i + n <= length; i++)
    if (memcmp(text + i, word, n) == 0)
      return true;
  return false;
}

static bool part_is_any(const char *text, size_t length, const char *const *words)
{
  for (size_t i = 0; words[i]; i++)
    if (strlen(words[i]) == length && memcmp(text, words[i], length) == 0)
      return true;
  return false;
}

/* The last part of the module path of "PATH.weight". */
static const char *module_part(const char *name, size_t *length)
{
  const char *end = strrchr(name, '.'), *begin;

  if (!end)
    end = name;
  for (begin = end; begin > name && begin[-1] != '.'; begin--)
    ;
  *length = (size_t)(end - begin);
  return begin;
}

/* embed_tokens, word_embeddings, tok_embeddings, embed_in; GPT's wte and wpe; T5's shared. */
static bool is_embedding(const char *name)
{
  static const char *const words[] = {"wte", "wpe", "shared", NULL};
  size_t length;
  const char *part = module_part(name, &length);

  return part_is_any(part, length, words) ||
         (part_holds(part, length, "embed") && !part_holds(part, length, "embed_out"));
}

/* The output embedding, or the layer on top that a classifier has in its place. transformers knows
 * it from the model's code; here it is known by name: lm_head anywhere, the other words, which are
 * common ones, only one or two levels below the top. */
static bool is_head(const char *name)
{
  static const char *const words[] = {"embed_out",  "output",     "output_layer",
                                      "proj_out",   "score",      "head",
                                      "classifier", "qa_outputs", NULL};
  size_t length, dots = 0;
  const char *part = module_part(name, &length);

  for (const char *c = name; *c; c++)
    dots += *c == '.';
  if (length == 7 && memcmp(part, "lm_head", 7) == 0)
    return true;
  return dots <= 2 && part_is_any(part, length, words);
}

static bool ends_in_weight(const char *name)
{
  size_t n = strlen(name);

  return strcmp(name, "weight") == 0 || (n > 7 && strcmp(name + n - 7, ".weight") == 0);
}

/* A matrix of floating-point numbers named as a module's weight. */
static bool is_matrix(const weight *w)
{
  return weight_is_float(w) && w->base->tensor->ndim == 2 && w->base->tensor->elements > 0 &&
         ends_in_weight(w->name);
}

bool select_is_linear(const weight *w)
{
  return is_matrix(w) && !is_embedding(w->name);
}

bool select_is_head(const weight *w)
{
  return is_head(w->name);
}

static bool chosen_by_default(const weight_list *l, const weight *w)
{
  if (!model_is_folder(l->model))
    return is_matrix(w);
  return select_is_linear(w) && !is_head(w->name);
}

bool select_is_default(const weight_list *l, const bool *chosen)
{
  for (size_t i = 0; i < l->count; i++)
    if (chosen[i] != chosen_by_default(l, &l->at[i]))
      return false;
  return true;
}

/* Why a weight that was asked for cannot be quantized; NULL if it can. */
static const char *obstacle(const weight_list *l, const weight *w, int32_t layout)
{
  const st_tensor *t = w->base->tensor;

  if (!weight_is_float(w))
    return "only F32, F16 and BF16 tensors can be quantized";
  if (t->elements == 0)
    return "it is empty";
  if (t->ndim < 2)
    return "a tensor of less than two dimensions is not quantized";
  if (layout == LQ_LAYOUT_NATIVE)
    return NULL;
  if (t->ndim != 2)
    return "the layout holds matrices; use --format native";
  if (!ends_in_weight(w->name))
    return "the layout needs a name that ends in .weight; use --format native";
  if (model_is_folder(l->model) && is_embedding(w->name))
    return "transformers does not load embeddings of the layout; use --format native";
  return NULL;
}

/* Each pattern must match something, with `layout` something that can be quantized. */
static bool check_patterns(const weight_list *l, const char *option, const args_list *patterns,
                           int32_t layout, fail *why)
{
  for (size_t p = 0; p < patterns->count; p++) {
    const weight *first = NULL;
    bool useful = false;

    if (!pattern_check(patterns->items[p], why))
      return false;
    for (size_t i = 0; i < l->count && !useful; i++) {
      const weight *w = &l->at[i];

      if (!pattern_matches(patterns->items[p], w->name))
        continue;
      if (!first)
        first = w;
      useful = !layout || !obstacle(l, w, layout);
    }
    if (!first)
      return fail_set(why, FAIL_NOTFOUND, model_path(l->model), "no tensor matches %s '%s'", option,
                      patterns->items[p]);
    if (!useful)
      return fail_set(why, FAIL_UNSUPPORTED, weight_path(l, first), "%s (%s, matches %s '%s'): %s",
                      first->name, st_dtype_name(first->base->tensor->dtype), option,
                      patterns->items[p], obstacle(l, first, layout));
  }
  return true;
}

bool select_weights(const weight_list *l, int32_t layout, const args_list *include,
                    const args_list *exclude, bool *chosen, fail *why)
{
  size_t count = 0;

  if (!check_patterns(l, "--include", include, layout, why) ||
      !check_patterns(l, "--exclude", exclude, 0, why))
    return false;
  for (size_t i = 0; i < l->count; i++) {
    const weight *w = &l->at[i];

    if (include->count)
      chosen[i] = pattern_any(include->items, include->count, w->name) && !obstacle(l, w, layout);
    else
      chosen[i] = chosen_by_default(l, w);
    if (chosen[i] && pattern_any(exclude->items, exclude->count, w->name))
      chosen[i] = false;
    count += chosen[i];
  }
  if (count == 0)
    return fail_set(why, FAIL_NOTFOUND, model_path(l->model), "there is no tensor to quantize");
  return true;
}

bool select_drop_shapes(const weight_list *l, const recipe *r, bool *chosen, bool *refused,
                        size_t *count, fail *why)
{
  const char *obstacle = NULL;
  size_t left = 0;

  *count = 0;
  for (size_t i = 0; i < l->count; i++) {
    const st_tensor *t = l->at[i].base->tensor;
    const char *why_not =
        chosen[i] && t->ndim == 2 ? recipe_shape_obstacle(r, t->shape[0], t->shape[1]) : NULL;

    if (why_not) {
      chosen[i] = false;
      refused[i] = true;
      obstacle = why_not;
      ++*count;
    }
    left += chosen[i];
  }
  if (left == 0)
    return fail_set(why, FAIL_UNSUPPORTED, model_path(l->model),
                    "the %s layout holds none of its tensors: %s; use --format native",
                    recipe_layout_name(r->layout), obstacle ? obstacle : "");
  return true;
}
