/*
 * choice.c - the next token from its logits: the largest, or a draw. See generation.h.
 *
 * A draw goes through temperature, top-k and top-p in this order, as in transformers, and takes one
 * number of splitmix64 (Steele, Lea, Flood 2014), so that a seed gives the same text everywhere
 * where the logits are the same.
 */
#include "generation.h"

#include "rows.h"

#include <math.h>
#include <stdlib.h>

typedef struct candidate {
  float logit;
  int32_t id;
} candidate;

struct choice {
  sampling how;
  size_t vocab;
  uint64_t state;
  candidate *sorted;
};

bool choice_create(choice **out, const sampling *how, size_t vocab, fail *why)
{
  choice *c = calloc(1, sizeof *c);

  *out = NULL;
  if (!c)
    return fail_memory(why, NULL);
  *c = (choice){.how = *how, .vocab = vocab, .state = how->seed};
  c->sorted = malloc(vocab * sizeof *c->sorted);
  if (!c->sorted) {
    free(c);
    return fail_memory(why, NULL);
  }
  *out = c;
  return true;
}

void choice_destroy(choice *c)
{
  if (c)
    free(c->sorted);
  free(c);
}

/* Uniform in [0, 1). */
static double draw(choice *c)
{
  uint64_t z = c->state += 0x9e3779b97f4a7c15u;

  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return (double)(z >> 11) * 0x1p-53;
}

/* The likeliest first; of equal ones the smaller id. */
static int by_logit(const void *pa, const void *pb)
{
  const candidate *a = pa, *b = pb;

  if (a->logit != b->logit)
    return a->logit > b->logit ? -1 : 1;
  return a->id < b->id ? -1 : a->id > b->id;
}

static double share_of(const choice *c, size_t i)
{
  return exp(((double)c->sorted[i].logit - (double)c->sorted[0].logit) / c->how.temperature);
}

int32_t choice_take(choice *c, float *logits)
{
  size_t count = c->vocab, used = 0;
  double all = 0, sum = 0, at;

  if (c->how.temperature <= 0)
    return (int32_t)rows_largest(logits, c->vocab);
  for (size_t i = 0; i < c->vocab; i++)
    c->sorted[i] = (candidate){logits[i], (int32_t)i};
  qsort(c->sorted, c->vocab, sizeof *c->sorted, by_logit);
  if (c->how.top_k != 0 && c->how.top_k < count)
    count = (size_t)c->how.top_k;
  for (size_t i = 0; i < count; i++)
    all += share_of(c, i);
  while (used < count && (used == 0 || sum < c->how.top_p * all))
    sum += share_of(c, used++);
  at = draw(c) * sum;
  for (size_t i = 0; i < used; i++) {
    at -= share_of(c, i);
    if (at < 0)
      return c->sorted[i].id;
  }
  return c->sorted[used - 1].id;
}
