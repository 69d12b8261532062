/* perplexity.c - see perplexity.h. */
#include "perplexity.h"

#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_ROWS = 4096, BATCH_BYTES = 1 << 29, LOGITS_BYTES = 1 << 26 };

/* What one scored token comes to. */
typedef struct score {
  double nll, kl;
  bool agree;
} score;

typedef struct batch {
  perplexity *p;
  net_state *state;
  size_t most; /* sequences */
  int32_t *ids;
  size_t chunk; /* rows of logits at a time */
  float *logits, *base_logits;
  score *scores;
  const int32_t *targets; /* of the rows of a chunk */
  bool compare;
} batch;

static void compare_row(score *s, const float *base, const float *x, double lse, size_t vocab)
{
  double base_lse = rows_log_sum_exp(base, vocab);

  for (size_t k = 0; k < vocab; k++) {
    double log_p = (double)base[k] - base_lse;

    s->kl += (double)expf((float)log_p) * (log_p - ((double)x[k] - lse));
  }
  s->agree = rows_largest(base, vocab) == rows_largest(x, vocab);
}

static void score_rows(void *arg, size_t first, size_t count)
{
  const batch *b = arg;
  size_t vocab = (size_t)b->p->n->spec.vocab;

  for (size_t i = first; i < first + count; i++) {
    const float *x = b->logits + i * vocab;
    double lse = rows_log_sum_exp(x, vocab);

    b->scores[i] = (score){.nll = lse - (double)x[b->targets[i]]};
    if (b->compare)
      compare_row(&b->scores[i], b->base_logits + i * vocab, x, lse, vocab);
  }
}

/* Adds up a chunk: rows `at` .. `at + count - 1` of the scored ones of window `w`. */
static bool add_scores(batch *b, size_t w, size_t count, score *sum, fail *why)
{
  perplexity *p = b->p;

  for (size_t i = 0; i < count; i++) {
    const score *s = &b->scores[i];

    if (!isfinite(s->nll) || !isfinite(s->kl))
      return fail_set(why, FAIL_DATA, p->n->path,
                      "what it predicts in window %zu is not a finite number", w);
    sum->nll += s->nll;
    sum->kl += s->kl;
    if (!b->compare)
      continue;
    p->agree[w] += s->agree;
    if (s->kl > p->kl_largest)
      p->kl_largest = s->kl;
  }
  return true;
}

/* Scores one window; `x` are its rows after net_finish. */
static bool score_window(batch *b, size_t w, const float *x, const float *base_x, fail *why)
{
  perplexity *p = b->p;
  const window *at = &p->windows->at[w];
  size_t rows = at->length - at->first, width = (size_t)p->n->spec.embedding;
  score sum = {0};

  x += (at->first - 1) * width;
  for (size_t done = 0; done < rows;) {
    size_t count = rows - done < b->chunk ? rows - done : b->chunk;

    b->targets = p->tokens + at->begin + at->first + done;
    /* NOLINTBEGIN(clang-analyzer-core.NullDereference): `compare` is set where there is a base */
    if (!net_logits(p->n, x + done * width, count, b->logits, why) ||
        (b->compare && !net_logits(p->base, base_x + done * (size_t)p->base->spec.embedding, count,
                                   b->base_logits, why)))
      return false;
    /* NOLINTEND(clang-analyzer-core.NullDereference) */
    team_rows(p->n->workers, count, 1, score_rows, b);
    if (!add_scores(b, w, count, &sum, why))
      return false;
    done += count;
  }
  p->nll[w] = sum.nll / (double)rows;
  if (b->compare) {
    p->kl[w] = sum.kl / (double)rows;
    p->agree[w] /= (double)rows;
  }
  return true;
}

size_t perplexity_kept(const net *n, const window_list *l, size_t count)
{
  size_t rows = 0;

  for (size_t i = 0; i < count; i++)
    rows += l->at[i].length - l->at[i].first;
  return rows * (size_t)n->spec.embedding;
}

static bool run_batch(batch *b, size_t first, size_t count, fail *why)
{
  perplexity *p = b->p;
  const window *w = &p->windows->at[first];
  size_t length = w->length, width = (size_t)p->n->spec.embedding;

  for (size_t i = 0; i < count; i++) {
    memcpy(b->ids + i * length, p->tokens + w[i].begin, length * sizeof *b->ids);
    if (p->bos >= 0)
      b->ids[i * length] = p->bos;
  }
  if (!net_embed(p->n, b->state, b->ids, count, length, why) || !net_run(p->n, b->state, why))
    return false;
  for (size_t i = 0; i < count; i++) {
    const float *x = b->state->x + i * length * width;
    size_t rows = w[i].length - w[i].first;

    b->compare = p->base && first + i < p->compared;
    if (!score_window(b, first + i, x,
                      b->compare ? p->base_kept + perplexity_kept(p->base, p->windows, first + i)
                                 : NULL,
                      why))
      return false;
    if (p->keep && first + i < p->keep_windows)
      memcpy(p->keep + perplexity_kept(p->n, p->windows, first + i), x + (w[i].first - 1) * width,
             rows * width * sizeof *x);
    if (p->done)
      p->done(p->user, length);
  }
  return true;
}

static bool take_memory(batch *b, size_t length, fail *why)
{
  const net *n = b->p->n;
  size_t vocab = (size_t)n->spec.vocab;
  uint64_t rows = BATCH_BYTES / net_state_row_bytes(n);

  b->most = (size_t)(rows < BATCH_ROWS ? rows : BATCH_ROWS) / length;
  b->most = b->most < 1 ? 1 : b->most > b->p->windows->count ? b->p->windows->count : b->most;
  b->chunk = LOGITS_BYTES / sizeof(float) / vocab;
  b->chunk = b->chunk < 16 ? 16 : b->chunk > length ? length : b->chunk;
  /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): there is a window */
  b->ids = malloc(b->most * length * sizeof *b->ids);
  b->scores = malloc(b->chunk * sizeof *b->scores);
  b->logits = pool_take(n->memory, b->chunk * vocab * sizeof(float));
  if (b->p->base)
    b->base_logits = pool_take(n->memory, b->chunk * vocab * sizeof(float));
  if (!b->ids || !b->scores || !b->logits || (b->p->base && !b->base_logits))
    return fail_memory(why, n->path);
  return net_state_create(n, b->most, length, length, false, &b->state, why);
}

/* How many windows from `first` on, of the same length, go together. */
static size_t batch_of(const batch *b, size_t first)
{
  const window_list *l = b->p->windows;
  size_t count = 1;

  while (count < b->most && first + count < l->count &&
         l->at[first + count].length == l->at[first].length)
    count++;
  return count;
}

bool perplexity_run(perplexity *p, fail *why)
{
  batch b = {.p = p};
  size_t longest = 1;
  bool ok;

  for (size_t i = 0; i < p->windows->count; i++)
    longest = p->windows->at[i].length > longest ? p->windows->at[i].length : longest;
  ok = take_memory(&b, longest, why);
  p->kl_largest = 0;
  for (size_t i = 0; i < p->compared && p->base; i++)
    p->agree[i] = 0;
  for (size_t i = 0, count; i < p->windows->count && ok; i += count) {
    count = batch_of(&b, i);
    ok = run_batch(&b, i, count, why);
  }
  net_state_destroy(p->n, b.state);
  pool_give(p->n->memory, b.logits);
  pool_give(p->n->memory, b.base_logits);
  free(b.scores);
  free(b.ids);
  return ok;
}
