/*
 * eval_report.c - the result of `quant eval`, as text and as JSON.
 *
 * Must not know: how it was measured. Errors are standard errors over windows; that of a perplexity
 * is the perplexity times that of the mean it is the exponential of.
 */
#include "eval.h"

#include "../files/json.h"
#include "../ui/units.h"

#include <math.h>
#include <stdio.h>

typedef struct eval_figures {
  windows_mean model, base, difference, kl, agree;
} eval_figures;

static eval_figures sum_up(const evaluation *e)
{
  const window_list *l = &e->windows;
  eval_figures f = {.model = windows_average(l, e->model.nll, NULL, l->count)};

  if (e->kl) {
    f.base = windows_average(l, e->base.nll, NULL, l->count);
    f.difference = windows_average(l, e->model.nll, e->base.nll, l->count);
    f.kl = windows_average(l, e->kl, NULL, e->compared);
    f.agree = windows_average(l, e->agree, NULL, e->compared);
  }
  return f;
}

static size_t run_tokens(const window_list *l)
{
  size_t sum = 0;

  for (size_t i = 0; i < l->count; i++)
    sum += l->at[i].length;
  return sum;
}

static double speed(const evaluation *e, const eval_side *side)
{
  return side->seconds > 0 ? (double)run_tokens(&e->windows) / side->seconds : 0;
}

/* "12.345 +- 0.012", without an error where one window gives none. */
static const char *with_error(char out[64], const char *format, double value, double error)
{
  char text[2][32];

  snprintf(text[0], sizeof text[0], format, value);
  snprintf(text[1], sizeof text[1], format, fabs(error));
  snprintf(out, 64, isnan(error) ? "%s" : "%s +- %s", text[0],
           text[1][0] == '+' ? text[1] + 1 : text[1]);
  return out;
}

static void print_side(const evaluation *e, const char *name, const eval_side *side, windows_mean m)
{
  char text[64], memory[UNITS_TEXT], seconds[UNITS_TEXT], rate[UNITS_TEXT];
  double value = exp(m.mean);

  printf("%-11s %s   mean NLL %.6f   (%s, %s tokens/s, %s of weights)\n", name,
         with_error(text, "%.4f", value, value * m.error), m.mean,
         units_time(seconds, side->seconds), units_count(rate, (uint64_t)speed(e, side)),
         units_bytes(memory, side->memory));
}

static bool print_text(const evaluation *e, const eval_figures *f, fail *why)
{
  const window_list *l = &e->windows;
  char tokens[UNITS_TEXT], scored[UNITS_TEXT], text[64];
  double difference = exp(f->model.mean) - exp(f->base.mean);

  printf("%s tokens, %zu window%s, %s scored\nconvention %s: %s%s\n", units_count(tokens, e->count),
         l->count, l->count == 1 ? "" : "s", units_count(scored, l->scored), e->options->convention,
         l->words, e->options->bos ? "; bos in the place of the first token" : "");
  print_side(e, "perplexity", &e->model, f->model);
  if (!e->kl)
    return common_flush(why);
  print_side(e, "base", &e->base, f->base);
  printf("difference  %s",
         with_error(text, "%+.4f", difference, exp(f->model.mean) * f->difference.error));
  printf("   mean NLL %s   (paired)\n",
         with_error(text, "%+.6f", f->difference.mean, f->difference.error));
  printf("KL          %s", with_error(text, "%.6f", f->kl.mean, f->kl.error));
  printf("   largest %.4f   (base || model, %zu windows)\n", e->kl_largest, e->compared);
  printf("same top-1  %s %%\n",
         with_error(text, "%.2f", 100 * f->agree.mean, 100 * f->agree.error));
  return common_flush(why);
}

static void json_side(json_printer *p, const evaluation *e, const eval_side *side, windows_mean m)
{
  const net *n = side->network.net;

  json_print_string(p, "model", n->path);
  json_print_string(p, "architecture", n->spec.architecture);
  json_print_f64(p, "perplexity", exp(m.mean));
  json_print_f64(p, "perplexity_error", exp(m.mean) * m.error);
  json_print_f64(p, "mean_nll", m.mean);
  json_print_f64(p, "mean_nll_error", m.error);
  json_print_u64(p, "weight_bytes", side->memory);
  json_print_f64(p, "seconds", side->seconds);
  json_print_f64(p, "tokens_per_second", speed(e, side));
}

static void json_comparison(json_printer *p, const evaluation *e, const eval_figures *f)
{
  json_begin(p, "base", '{');
  json_side(p, e, &e->base, f->base);
  json_end(p, '}');
  json_print_f64(p, "perplexity_difference", exp(f->model.mean) - exp(f->base.mean));
  json_print_f64(p, "perplexity_difference_error", exp(f->model.mean) * f->difference.error);
  json_print_f64(p, "mean_nll_difference", f->difference.mean);
  json_print_f64(p, "mean_nll_difference_error", f->difference.error);
  json_print_u64(p, "kl_windows", e->compared);
  json_print_f64(p, "kl", f->kl.mean);
  json_print_f64(p, "kl_error", f->kl.error);
  json_print_f64(p, "kl_largest", e->kl_largest);
  json_print_f64(p, "top1_agreement", f->agree.mean);
  json_print_f64(p, "top1_agreement_error", f->agree.error);
}

static bool print_json(const evaluation *e, const eval_figures *f, fail *why)
{
  const eval_options *o = e->options;
  buf text = {0};
  json_printer p = {.to = &text, .indent = 2, .ascii = true};
  bool ok;

  json_begin(&p, NULL, '{');
  json_side(&p, e, &e->model, f->model);
  json_print_string(&p, "text", o->text ? o->text : o->tokens);
  json_print_string(&p, "convention", o->convention);
  json_print_string(&p, "convention_text", e->windows.words);
  json_print_bool(&p, "bos", o->bos);
  json_print_u64(&p, "ctx", e->length);
  json_print_u64(&p, "tokens", e->count);
  json_print_u64(&p, "windows", e->windows.count);
  json_print_u64(&p, "scored", e->windows.scored);
  if (e->kl)
    json_comparison(&p, e, f);
  json_begin(&p, "window_nll", '[');
  for (size_t i = 0; i < e->windows.count; i++)
    json_print_f64(&p, NULL, e->model.nll[i]);
  json_end(&p, ']');
  json_end(&p, '}');
  buf_byte(&text, '\n');
  ok = common_print(&text, why);
  buf_free(&text);
  return ok;
}

bool eval_report(const evaluation *e, fail *why)
{
  eval_figures f = sum_up(e);

  return e->options->common.json ? print_json(e, &f, why) : print_text(e, &f, why);
}
