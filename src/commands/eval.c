/*
 * eval.c - the verb `quant eval`: perplexity of a model on a text, alone or beside its base.
 *
 * Must not know: how a model is computed, how results are told (eval_report.c).
 */
#include "eval.h"

#include "../files/system.h"
#include "../model/corpus.h"
#include "../model/perplexity.h"
#include "../ui/progress.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

#define FIELD(name) .field = offsetof(eval_options, name)

static const args_option options[] = {
    {.name = "text",
     .letter = 't',
     .type = ARGS_TEXT,
     .value = "FILE",
     FIELD(text),
     .help = "the text: UTF-8, taken as it is; of a .jsonl file the member \"text\" of each line, "
             "joined by an empty line"},
    {.name = "tokens",
     .type = ARGS_TEXT,
     .value = "FILE",
     FIELD(tokens),
     .help = "instead of a text: token ids, the tensor of I32 or I64 in a safetensors file, or "
             "one of several as FILE.safetensors:NAME"},
    {.type = ARGS_GROUP, .help = "What is scored"},
    {.name = "convention",
     .type = ARGS_CHOICE,
     .choices = windows_conventions,
     .initial = "gptq",
     FIELD(convention),
     .help = "gptq: disjoint windows, all tokens but the first of each scored, as in the papers on "
             "GPTQ; optimum: the same with 512 tokens; llama.cpp: the second half of disjoint "
             "windows of 512; huggingface: overlapping windows, as the guide of transformers. "
             "Figures of different conventions cannot be compared"},
    {.name = "ctx",
     .letter = 'c',
     .type = ARGS_INT,
     .value = "N",
     .least = 2,
     .most = 1 << 24,
     FIELD(ctx),
     .help = "tokens of a window (max_position_embeddings, at most 2048, or as the convention)"},
    {.name = "windows",
     .letter = 'n',
     .type = ARGS_INT,
     .value = "N",
     .least = 1,
     .most = INT64_C(1) << 40,
     FIELD(windows),
     .help = "only the first N windows (all)"},
    {.name = "stride",
     .type = ARGS_INT,
     .value = "N",
     .least = 1,
     .most = 1 << 24,
     FIELD(stride),
     .help = "huggingface: from one window to the next (half a window)"},
    {.name = "bos",
     .type = ARGS_FLAG,
     FIELD(bos),
     .help = "put bos_token_id in the place of the first token of each window, as llama.cpp does "
             "for models that were trained with one"},
    {.type = ARGS_GROUP, .help = "Comparison"},
    {.name = "base",
     .letter = 'b',
     .type = ARGS_TEXT,
     .value = "MODEL",
     FIELD(base),
     .help = "the model before quantization, of the same vocabulary: adds its perplexity, the "
             "paired difference, KL divergence and agreement"},
    {.name = "kl-windows",
     .type = ARGS_INT,
     .value = "N",
     .initial = "20",
     .most = INT64_C(1) << 40,
     FIELD(kl_windows),
     .help = "windows whose distributions are compared; 0: all"},
    COMMON_HEADING,
    COMMON_THREADS(eval_options),
    COMMON_CPU(eval_options),
    COMMON_JSON(eval_options),
    COMMON_QUIET(eval_options),
};

static const args_verb verb = {
    "eval",
    "MODEL (--text FILE | --tokens FILE) [options]",
    "Measures how well a model predicts a text: perplexity, exp of the mean negative log\n"
    "likelihood of the tokens. MODEL is a folder with a Llama, Mistral, Qwen2, Qwen3, OPT or\n"
    "GPT-2 language model, or a GGUF file with a Llama, dense or quantized. Weights are decoded\n"
    "to f32 and all arithmetic is f32. The text is encoded once, as a whole, without special\n"
    "tokens, and cut into windows that are run on their own, from position 0.",
    options,
    sizeof options / sizeof *options,
    1,
    1};

static bool hidden(const evaluation *e)
{
  return e->options->common.quiet || e->options->common.json;
}

/* ---- the tokens ---- */

static bool encode_text(evaluation *e, fail *why)
{
  const eval_options *o = e->options;
  tokenizer *t = NULL;
  token_list list = {0};
  char *text = NULL;
  size_t length;
  bool ok = network_tokenizer(&t, e->model.network.from, e->base.network.from, why) &&
            corpus_text(&text, &length, o->text, why) &&
            tokenizer_encode(t, text, length, &list, why);

  free(text);
  tokenizer_close(t);
  if (!ok) {
    token_list_free(&list);
    return false;
  }
  e->tokens = list.ids;
  e->count = list.count;
  return true;
}

static bool check_tokens(const evaluation *e, const char *from, fail *why)
{
  uint64_t vocab = e->model.network.net->spec.vocab;

  for (size_t i = 0; i < e->count; i++)
    if ((uint64_t)e->tokens[i] >= vocab)
      return fail_set(why, FAIL_DATA, from,
                      "token %d at place %zu; the model's vocabulary has %llu", (int)e->tokens[i],
                      i, (unsigned long long)vocab);
  return true;
}

static bool make_windows(evaluation *e, fail *why)
{
  const eval_options *o = e->options;
  const char *from = o->text ? o->text : o->tokens;
  const net *n = e->model.network.net;
  size_t stride;

  if (!(o->text ? encode_text(e, why) : corpus_ids(&e->tokens, &e->count, o->tokens, why)) ||
      !check_tokens(e, from, why))
    return false;
  e->length = o->ctx ? (size_t)o->ctx : windows_length(o->convention, n->spec.max_positions);
  stride = o->stride ? (size_t)o->stride : (e->length + 1) / 2;
  if (!windows_make(&e->windows, o->convention, e->count, e->length, stride, (size_t)o->windows,
                    from, why))
    return false;
  e->compared = o->kl_windows && (size_t)o->kl_windows < e->windows.count ? (size_t)o->kl_windows
                                                                          : e->windows.count;
  return true;
}

/* ---- running ---- */

static void window_done(void *bar, size_t tokens)
{
  progress_add(bar, tokens);
}

static size_t all_tokens(const window_list *l)
{
  size_t sum = 0;

  for (size_t i = 0; i < l->count; i++)
    sum += l->at[i].length;
  return sum;
}

static bool measure(evaluation *e, eval_side *side, perplexity *p, const char *title, fail *why)
{
  net *n = side->network.net;
  double start;
  progress bar;
  bool ok;

  side->nll = calloc(e->windows.count, sizeof *side->nll);
  if (!side->nll)
    return fail_memory(why, n->path);
  if (!network_load(&side->network, hidden(e), why))
    return false;
  side->memory = net_memory(n);
  p->n = n;
  p->nll = side->nll;
  p->tokens = e->tokens;
  p->windows = &e->windows;
  p->bos = e->options->bos ? (int32_t)n->spec.bos : -1;
  p->done = window_done;
  /* cppcheck-suppress autoVariables; used until perplexity_run() returns, below */
  p->user = &bar;
  start = sys_seconds();
  progress_start(&bar, title, all_tokens(&e->windows), hidden(e));
  progress_unit(&bar, "tokens");
  progress_item(&bar, n->path);
  ok = perplexity_run(p, why);
  progress_finish(&bar);
  side->seconds = sys_seconds() - start;
  net_free_layers(n);
  return ok;
}

/* Of the base only its head is left afterwards, and what goes into it. */
static bool measure_base(evaluation *e, fail *why)
{
  const net *n = e->base.network.net;
  perplexity p = {.keep_windows = e->compared};

  e->base_kept = malloc(perplexity_kept(n, &e->windows, e->compared) * sizeof(float));
  if (!e->base_kept)
    return fail_memory(why, n->path);
  p.keep = e->base_kept;
  return measure(e, &e->base, &p, "base", why);
}

static bool measure_model(evaluation *e, fail *why)
{
  perplexity p = {.base = e->base.network.net, .base_kept = e->base_kept};
  bool ok;

  if (p.base) {
    e->kl = calloc(e->compared, sizeof *e->kl);
    e->agree = calloc(e->compared, sizeof *e->agree);
    if (!e->kl || !e->agree)
      return fail_memory(why, p.base->path);
    p.kl = e->kl;
    p.agree = e->agree;
    p.compared = e->compared;
  }
  ok = measure(e, &e->model, &p, "evaluating", why);
  e->kl_largest = p.kl_largest;
  return ok;
}

static bool check_options(const eval_options *o, fail *why)
{
  if (!o->text == !o->tokens)
    return fail_set(why, FAIL_USAGE, NULL, "one of --text and --tokens is needed");
  if (o->stride && strcmp(o->convention, "huggingface") != 0)
    return fail_set(why, FAIL_USAGE, NULL, "--stride goes with --convention huggingface");
  return true;
}

/* Both models are opened before the first is run: what cannot work is to fail at once. */
static bool open_models(evaluation *e, const char *path, fail *why)
{
  const eval_options *o = e->options;
  const net *n;

  if (!network_open(&e->model.network, path, e->memory, e->workers, why))
    return false;
  n = e->model.network.net;
  if (o->bos && n->spec.bos < 0)
    return fail_set(why, FAIL_NOTFOUND, path, "config.json has no bos_token_id for --bos");
  if (!o->base)
    return true;
  if (!network_open(&e->base.network, o->base, e->memory, e->workers, why))
    return false;
  if (e->base.network.net->spec.vocab != n->spec.vocab)
    return fail_set(why, FAIL_DATA, o->base, "has a vocabulary of %llu; that of %s has %llu",
                    (unsigned long long)e->base.network.net->spec.vocab, path,
                    (unsigned long long)n->spec.vocab);
  return true;
}

static void close_side(eval_side *side)
{
  network_close(&side->network);
  free(side->nll);
}

static bool evaluate(const eval_options *o, const char *path, fail *why)
{
  enum { KEEP = 256 << 20 };
  evaluation e = {.options = o};
  bool ok = false;

  if (!check_options(o, why) || !common_cpu(&o->common, why) ||
      !pool_create(&e.memory, KEEP, false, why) ||
      !team_create(&e.workers, (unsigned)o->common.threads, why))
    goto done;
  if (!open_models(&e, path, why) || !make_windows(&e, why) ||
      (o->base && !measure_base(&e, why)) || !measure_model(&e, why))
    goto done;
  ok = (o->common.quiet && !o->common.json) || eval_report(&e, why);
done:
  close_side(&e.model);
  close_side(&e.base);
  free(e.base_kept);
  free(e.kl);
  free(e.agree);
  free(e.tokens);
  windows_free(&e.windows);
  team_destroy(e.workers);
  pool_destroy(e.memory);
  return ok;
}

bool verb_eval(int argc, char **argv, fail *why)
{
  eval_options o = {0};
  args_result args;
  bool ok, done;

  if (!common_parse(&verb, argc, argv, &o, &args, &done, why))
    return false;
  if (done)
    return true;
  ok = evaluate(&o, args.positional[0], why);
  args_free(&args);
  return ok;
}
