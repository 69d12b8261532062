/*
 * generation.h - continuing a text token by token.
 *
 * Owns: the choice of the next token, when to stop. Must not know: how tokens become text.
 */
#ifndef QUANT_MODEL_GENERATION_H
#define QUANT_MODEL_GENERATION_H

#include "net.h"

#include "../files/model.h"

typedef struct sampling {
  double temperature; /* 0: always the likeliest token */
  uint64_t top_k;     /* only the so many likeliest; 0: all */
  double top_p;       /* only the likeliest that together reach this share; 1: all */
  uint64_t seed;
} sampling;

typedef struct generation {
  const net *n; /* with its layers */
  sampling how;
  const int32_t *prompt;
  size_t prompt_count;  /* at least 1 */
  size_t most;          /* tokens to add */
  const int32_t *stops; /* ids that end the text */
  size_t stop_count;
  bool (*token)(void *user, int32_t id, fail *why); /* told each new token but a stop */
  void *user;
  size_t made;     /* of tokens told */
  bool stopped;    /* by an id of `stops`, not by `most` */
  size_t capacity; /* positions that there were, at most max_positions */
} generation;

bool generation_run(generation *g, fail *why);

/* The ids in eos_token_id, a number or a list, of generation_config.json if that has it, else of
 * config.json. */
enum { GENERATION_STOPS = 32 };
bool generation_stops(const model *m, int32_t ids[GENERATION_STOPS], size_t *count, fail *why);

/* The token that the tokenizer's post-processor puts before a text, as tokenizer.json has it; -1
 * when there is none. */
bool generation_start(const model *m, int32_t *id, fail *why);

/* ---- the choice alone ---- */

typedef struct choice choice;
bool choice_create(choice **out, const sampling *how, size_t vocab, fail *why);
int32_t choice_take(choice *c, float *logits); /* overwrites them */
void choice_destroy(choice *c);                /* NULL is fine */

#endif
