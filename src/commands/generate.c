/*
 * generate.c - the verb `quant generate`: continues a text.
 *
 * Owns: turning tokens into text as they come. Must not know: how a token is chosen.
 */
#include "../files/system.h"
#include "../files/json.h"
#include "../files/utf8.h"
#include "../model/generation.h"
#include "../ui/units.h"
#include "common.h"
#include "network.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct generate_options {
  common common;
  const char *prompt;
  int64_t tokens, top_k, seed;
  double temperature, top_p;
  bool fast;
} generate_options;

#define FIELD(name) .field = offsetof(generate_options, name)

static const args_option options[] = {
    {.name = "prompt",
     .letter = 'p',
     .type = ARGS_TEXT,
     .value = "TEXT",
     .required = true,
     FIELD(prompt),
     .help = "the text to continue; the token that tokenizer.json puts in front is added"},
    {.name = "tokens",
     .letter = 'n',
     .type = ARGS_INT,
     .value = "N",
     .initial = "128",
     .least = 1,
     .most = 1 << 24,
     FIELD(tokens),
     .help = "how many to add at most; the text may end before, at an eos_token_id"},
    {.type = ARGS_GROUP, .help = "Choice of the next token"},
    {.name = "temperature",
     .type = ARGS_DOUBLE,
     .value = "X",
     .initial = "0",
     .least_f = 0,
     .most_f = 1e6,
     FIELD(temperature),
     .help = "0: the likeliest token; else logits are divided by it and a token is drawn"},
    {.name = "top-k",
     .type = ARGS_INT,
     .value = "N",
     .most = 1 << 24,
     FIELD(top_k),
     .help = "draw among the N likeliest (all)"},
    {.name = "top-p",
     .type = ARGS_DOUBLE,
     .value = "X",
     .initial = "1",
     .least_f = 0,
     .most_f = 1,
     FIELD(top_p),
     .help = "draw among the likeliest that together have this share"},
    {.name = "seed",
     .type = ARGS_INT,
     .value = "N",
     .initial = "0",
     .most = INT64_MAX,
     FIELD(seed),
     .help = "of the draws; the same seed gives the same text"},
    COMMON_HEADING,
    {.name = "fast",
     .type = ARGS_FLAG,
     FIELD(fast),
     .help = "products in fixed point where that is faster; a token may differ"},
    COMMON_THREADS(generate_options),
    COMMON_CPU(generate_options),
    COMMON_JSON(generate_options),
    {.name = "quiet",
     .letter = 'q',
     .type = ARGS_FLAG,
     .field = offsetof(generate_options, common.quiet),
     .help = "print nothing but the text and errors"},
};

static const args_verb verb = {
    "generate",
    "MODEL --prompt TEXT [options]",
    "Continues a text with a language model, dense or quantized: a folder with a Llama, Mistral,\n"
    "Qwen2, Qwen3, OPT or GPT-2 model and its tokenizer.json, or a GGUF file with a Llama. The\n"
    "text goes to standard output as it comes, the time it took to standard error.",
    options,
    sizeof options / sizeof *options,
    1,
    1};

/* Tokens of the prompt that the first new one is decoded behind. */
enum { CONTEXT = 4 };

typedef struct writer {
  const generate_options *options;
  const tokenizer *tokenizer;
  int32_t *ids; /* the prompt and the new tokens */
  size_t prompt, count;
  size_t from, shown; /* ids before `shown` have been printed; those from `from` on are context */
  double started, first, last; /* seconds */
  buf text;                    /* all that was printed */
} writer;

/*
 * Prints what the newest tokens add. A token may be a part of a character and may look different
 * behind others, so the last printed tokens are decoded with and without what follows, and the
 * difference is held back while it ends in half a character.
 */
static bool show(writer *w, bool at_end, fail *why)
{
  static const char replacement[] = "\xEF\xBF\xBD";
  buf before = {0}, after = {0};
  size_t n;
  bool ok = tokenizer_decode(w->tokenizer, w->ids + w->from, w->shown - w->from, &before, why) &&
            tokenizer_decode(w->tokenizer, w->ids + w->from, w->count - w->from, &after, why);

  if (ok && (before.failed || after.failed))
    ok = fail_memory(why, NULL);
  n = ok ? after.length : 0;
  if (n > before.length &&
      (at_end || (utf8_check(after.data, n) == n &&
                  !(n >= 3 && memcmp(after.data + n - 3, replacement, 3) == 0)))) {
    buf_add(&w->text, after.data + before.length, n - before.length);
    if (!w->options->common.json) {
      fwrite(after.data + before.length, 1, n - before.length, stdout);
      ok = common_flush(why); /* tells of a failure of fwrite, too */
    }
    w->from = w->shown;
    w->shown = w->count;
  }
  buf_free(&before);
  buf_free(&after);
  return ok;
}

static bool take_token(void *user, int32_t id, fail *why)
{
  writer *w = user;

  w->last = sys_seconds();
  if (w->count == w->prompt)
    w->first = w->last;
  w->ids[w->count++] = id;
  return show(w, false, why);
}

/* Fills w->ids, with room for the new tokens. */
static bool read_prompt(writer *w, const model *m, fail *why)
{
  const char *prompt = w->options->prompt;
  token_list text = {0};
  int32_t start;
  bool ok = generation_start(m, &start, why) &&
            tokenizer_encode(w->tokenizer, prompt, strlen(prompt), &text, why);

  if (ok) {
    w->ids = malloc((text.count + 1 + (size_t)w->options->tokens) * sizeof *w->ids);
    ok = w->ids != NULL || fail_memory(why, NULL);
  }
  if (ok) {
    if (start >= 0)
      w->ids[w->prompt++] = start;
    if (text.count)
      memcpy(w->ids + w->prompt, text.ids, text.count * sizeof *text.ids);
    w->prompt += text.count;
    w->count = w->shown = w->prompt;
    w->from = w->prompt < CONTEXT ? 0 : w->prompt - CONTEXT;
  }
  token_list_free(&text);
  return ok;
}

static double rate(size_t tokens, double seconds)
{
  return seconds > 0 ? (double)tokens / seconds : 0;
}

static const char *end_of(const generation *g)
{
  if (g->stopped)
    return "end of the text";
  return g->made == g->most ? "--tokens" : "max_position_embeddings";
}

/* The first new token comes out of the prompt; each later one takes a step. */
static void tell_speed(const writer *w, const generation *g)
{
  if (g->made)
    fprintf(stderr, "prompt: %zu tokens, %.1f tokens/s; ", w->prompt,
            rate(w->prompt, w->first - w->started));
  fprintf(stderr, "generated: %zu tokens, %.1f tokens/s; stopped by %s\n", g->made,
          rate(g->made ? g->made - 1 : 0, w->last - w->first), end_of(g));
}

static void json_ids(json_printer *p, const char *name, const int32_t *ids, size_t count)
{
  json_begin(p, name, '[');
  for (size_t i = 0; i < count; i++)
    json_print_i64(p, NULL, ids[i]);
  json_end(p, ']');
}

static bool print_json(const writer *w, const generation *g, fail *why)
{
  buf text = {0};
  json_printer p = {.to = &text, .indent = 2, .ascii = true};
  bool ok;

  if (w->text.failed)
    return fail_memory(why, NULL);
  json_begin(&p, NULL, '{');
  json_print_string(&p, "model", g->n->path);
  json_print_string(&p, "prompt", w->options->prompt);
  json_print_string(&p, "text", w->text.length ? w->text.data : "");
  json_ids(&p, "prompt_ids", w->ids, w->prompt);
  json_ids(&p, "ids", w->ids + w->prompt, g->made);
  json_print_string(&p, "stopped_by", end_of(g));
  json_print_f64(&p, "prompt_tokens_per_second", rate(w->prompt, w->first - w->started));
  json_print_f64(&p, "tokens_per_second", rate(g->made ? g->made - 1 : 0, w->last - w->first));
  json_end(&p, '}');
  buf_byte(&text, '\n');
  ok = common_print(&text, why);
  buf_free(&text);
  return ok;
}

static bool run(writer *w, const network *n, fail *why)
{
  const generate_options *o = w->options;
  int32_t stops[GENERATION_STOPS];
  generation g = {.n = n->net,
                  .how = {.temperature = o->temperature,
                          .top_k = (uint64_t)o->top_k,
                          .top_p = o->top_p,
                          .seed = (uint64_t)o->seed},
                  .most = (size_t)o->tokens,
                  .stops = stops,
                  .token = take_token,
                  .user = w};

  if (!generation_stops(n->from, stops, &g.stop_count, why) || !read_prompt(w, n->from, why))
    return false;
  g.prompt = w->ids;
  g.prompt_count = w->prompt;
  w->started = w->first = w->last = sys_seconds();
  if (!generation_run(&g, why) || !show(w, true, why))
    return false;
  if (o->common.json)
    return print_json(w, &g, why);
  putchar('\n');
  if (!common_flush(why))
    return false;
  if (!o->common.quiet)
    tell_speed(w, &g);
  return true;
}

static bool generate(const generate_options *o, const char *path, fail *why)
{
  enum { KEEP = 64 << 20 };
  bool hidden = o->common.quiet || o->common.json, ok = false;
  writer w = {.options = o};
  tokenizer *words = NULL;
  pool *memory = NULL;
  team *workers = NULL;
  network n = {0};

  if (common_cpu(&o->common, why) && pool_create(&memory, KEEP, false, why) &&
      team_create(&workers, (unsigned)o->common.threads, why) &&
      network_open(&n, path, memory, workers, why) &&
      network_tokenizer(&words, n.from, NULL, why) && network_load(&n, hidden, why)) {
    w.tokenizer = words;
    if (o->fast)
      net_compute_fast(n.net);
    ok = run(&w, &n, why);
  }
  free(w.ids);
  buf_free(&w.text);
  tokenizer_close(words);
  network_close(&n);
  team_destroy(workers);
  pool_destroy(memory);
  return ok;
}

bool verb_generate(int argc, char **argv, fail *why)
{
  generate_options o = {0};
  args_result args;
  bool ok, done;

  if (!common_parse(&verb, argc, argv, &o, &args, &done, why))
    return false;
  if (done)
    return true;
  ok = generate(&o, args.positional[0], why);
  args_free(&args);
  return ok;
}
