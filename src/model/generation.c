/* generation.c - see generation.h. */
#include "generation.h"

#include "gguf_llama.h"

#include "../files/interrupt.h"
#include "../files/json.h"
#include "../files/system.h"

#include <math.h>
#include <stdio.h>

enum { PROMPT_STEP = 512 };

static bool is_stop(const generation *g, int32_t id)
{
  for (size_t i = 0; i < g->stop_count; i++)
    if (g->stops[i] == id)
      return true;
  return false;
}

/* One step for `count` tokens of one sequence; `logits` become those of the last. */
static bool step(const net *n, net_state *s, const int32_t *ids, size_t count, float *logits,
                 fail *why)
{
  size_t vocab = (size_t)n->spec.vocab;

  if (!net_embed(n, s, ids, 1, count, why) || !net_run(n, s, why) ||
      !net_logits(n, s->x + (count - 1) * (size_t)n->spec.embedding, 1, logits, why))
    return false;
  for (size_t i = 0; i < vocab; i++)
    if (isnan(logits[i]))
      return fail_set(why, FAIL_DATA, n->path, "what it predicts after %zu tokens is not a number",
                      s->past);
  return true;
}

static bool run_prompt(const generation *g, net_state *s, float *logits, fail *why)
{
  for (size_t at = 0; at < g->prompt_count; at += PROMPT_STEP) {
    size_t left = g->prompt_count - at;

    if (!step(g->n, s, g->prompt + at, left < PROMPT_STEP ? left : PROMPT_STEP, logits, why))
      return false;
  }
  return true;
}

static bool run_on(generation *g, net_state *s, choice *c, float *logits, fail *why)
{
  while (g->made < g->most) {
    int32_t id = choice_take(c, logits);

    if (is_stop(g, id)) {
      g->stopped = true;
      return true;
    }
    if (!g->token(g->user, id, why))
      return false;
    g->made++;
    if (g->made == g->most || s->past == s->capacity)
      return true;
    if (!interrupt_check(why) || !step(g->n, s, &id, 1, logits, why))
      return false;
  }
  return true;
}

bool generation_run(generation *g, fail *why)
{
  const net *n = g->n;
  uint64_t most = n->spec.max_positions;
  size_t step_max = g->prompt_count < PROMPT_STEP ? g->prompt_count : PROMPT_STEP;
  float *logits = NULL;
  net_state *s = NULL;
  choice *c = NULL;
  bool ok = false;

  g->made = 0;
  g->stopped = false;
  if (g->prompt_count == 0)
    return fail_set(why, FAIL_USAGE, NULL, "the prompt has no tokens");
  if (g->prompt_count > most)
    return fail_set(why, FAIL_LIMIT, n->path,
                    "a prompt of %zu tokens; max_position_embeddings is %llu", g->prompt_count,
                    (unsigned long long)most);
  g->capacity = g->most < most - g->prompt_count ? g->prompt_count + g->most : (size_t)most;
  logits = pool_take(n->memory, (size_t)n->spec.vocab * sizeof *logits);
  if (!logits)
    return fail_memory(why, n->path);
  if (net_state_create(n, 1, g->capacity, step_max, true, &s, why) &&
      choice_create(&c, &g->how, (size_t)n->spec.vocab, why))
    ok = run_prompt(g, s, logits, why) && run_on(g, s, c, logits, why);
  choice_destroy(c);
  net_state_destroy(n, s);
  pool_give(n->memory, logits);
  return ok;
}

/* ---- what the model's files say about the ends of a text ---- */

/* A JSON file of the folder; *out stays NULL when it is not there. */
static bool read_beside(const model *m, const char *name, json_doc **out, fail *why)
{
  sys_info info;
  char file[FAIL_TEXT];

  *out = NULL;
  if (model_folder(m) < 0 || !sys_look(&info, model_folder(m), name, true))
    return true;
  snprintf(file, sizeof file, "%s/%s", model_path(m), name);
  return json_read(out, model_folder(m), name, file, why);
}

static void add_stop(const json_doc *d, json_id v, int32_t ids[GENERATION_STOPS], size_t *count)
{
  int64_t id;

  if (*count < GENERATION_STOPS && json_i64(d, v, &id) == FAIL_NONE && id >= 0 && id <= INT32_MAX)
    ids[(*count)++] = (int32_t)id;
}

static void add_stops(const json_doc *d, int32_t ids[GENERATION_STOPS], size_t *count)
{
  json_id v = json_get(d, json_root(d), "eos_token_id");

  if (json_kind_of(d, v) != JSON_ARRAY)
    add_stop(d, v, ids, count);
  else
    for (v = json_first(d, v); v; v = json_next(d, v))
      add_stop(d, v, ids, count);
}

bool generation_stops(const model *m, int32_t ids[GENERATION_STOPS], size_t *count, fail *why)
{
  json_doc *doc;

  *count = 0;
  if (!read_beside(m, "generation_config.json", &doc, why))
    return false;
  if (doc)
    add_stops(doc, ids, count);
  json_free(doc);
  if (*count == 0 && model_config(m))
    add_stops(model_config(m), ids, count);
  return true;
}

/* TemplateProcessing: {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": ..}],
 * "special_tokens": {"<s>": {"ids": [1]}}}. */
static int32_t template_start(const json_doc *d, json_id processor)
{
  json_id first = json_first(d, json_get(d, processor, "single"));
  const char *name = json_string(d, json_get(d, json_get(d, first, "SpecialToken"), "id"));
  int64_t id = -1;

  if (!name || !json_is(d, json_get(d, processor, "type"), "TemplateProcessing"))
    return -1;
  first = json_get(d, json_get(d, processor, "special_tokens"), name);
  if (json_i64(d, json_first(d, json_get(d, first, "ids")), &id) != FAIL_NONE || id > INT32_MAX)
    return -1;
  return (int32_t)id;
}

bool generation_start(const model *m, int32_t *id, fail *why)
{
  json_doc *doc;
  json_id at;

  *id = -1;
  if (model_gguf(m))
    return gguf_start(model_gguf(m), id, why);
  if (!read_beside(m, "tokenizer.json", &doc, why))
    return false;
  if (!doc)
    return true;
  at = json_get(doc, json_root(doc), "post_processor");
  *id = template_start(doc, at);
  for (at = json_first(doc, json_get(doc, at, "processors")); at && *id < 0;
       at = json_next(doc, at))
    *id = template_start(doc, at);
  json_free(doc);
  return true;
}
