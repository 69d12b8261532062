/*
 * args.h - a verb's options from one constant table: parsing, checks, defaults, --help.
 *
 * Owns: the syntax. Must not know: what an option does. A verb declares a plain struct for its
 * values and a table whose rows say where each value goes:
 *
 *     struct quantize { const char *out, *method; int64_t block; bool nested; args_list include; };
 *     static const char *const methods[] = {"nf4", "fp4", NULL};
 *     static const args_option options[] = {
 *       {.name = "output", .letter = 'o', .type = ARGS_TEXT, .value = "OUT", .required = true,
 *        .field = offsetof(struct quantize, out), .help = "where the result goes"},
 *       {.name = "method", .type = ARGS_CHOICE, .choices = methods, .initial = "nf4", ...},
 *       {.name = "block-size", .type = ARGS_INT, .value = "N", .initial = "64", .least = 16,
 *        .most = 4096, ...},
 *     };
 *     static const args_verb verb = {"quantize", "IN -o OUT [options]", "Quantize a model.",
 *                                    options, sizeof options / sizeof *options, 1, 1};
 *
 * Every verb also takes -h and --help. `--opt value`, `--opt=value`, `-o value`, `-ovalue`; `--`
 * ends the options; "-" alone is a positional. Options and positionals may be mixed. The last of
 * two equal options holds (a list keeps all).
 */
#ifndef QUANT_UI_ARGS_H
#define QUANT_UI_ARGS_H

#include "../files/buf.h"
#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum args_type {
  ARGS_GROUP,  /* not an option: `help` is a heading in --help */
  ARGS_FLAG,   /* bool */
  ARGS_INT,    /* int64_t, least <= value <= most unless both are 0 */
  ARGS_DOUBLE, /* double, finite, least_f <= value <= most_f unless both are 0 */
  ARGS_TEXT,   /* const char * into argv */
  ARGS_CHOICE, /* const char *: the matching row of `choices` */
  ARGS_LIST    /* args_list of texts, may be repeated */
} args_type;

typedef struct args_list {
  const char **items; /* freed by args_free */
  size_t count;
} args_list;

typedef struct args_option {
  const char *name; /* without dashes */
  char letter;      /* short form, or 0 */
  args_type type;
  bool required;
  const char *value;   /* placeholder in --help; a choice without one shows a|b|c */
  const char *initial; /* default as text, parsed like a value, shown in --help; NULL: zeros */
  const char *help;
  size_t field;        /* offsetof in the verb's struct */
  int64_t least, most; /* most < least: no upper bound */
  double least_f, most_f;
  const char *const *choices; /* NULL-terminated */
} args_option;

typedef struct args_verb {
  const char *name;    /* "quantize"; "" for the program itself */
  const char *usage;   /* what follows the name in the usage line */
  const char *summary; /* one or more lines under it */
  const args_option *options;
  size_t count; /* at most 64 */
  size_t least_positional, most_positional;
} args_verb;

typedef struct args_result {
  const char **positional; /* freed by args_free */
  size_t positional_count;
  bool help;      /* --help was given: print args_help and stop; nothing else was checked */
  uint64_t given; /* bit i: options[i] was on the command line */
  const char **pool;
} args_result;

/* Parses argv[0..argc), which is what follows the verb. Writes every field of `fields`: defaults
 * first. On failure `why` is FAIL_USAGE (or FAIL_NOMEM), with a suggestion for a misspelt option,
 * and nothing is left to free. */
bool args_parse(const args_verb *verb, int argc, char **argv, void *fields, args_result *out,
                fail *why);
void args_free(args_result *r);

/* Was the option (by name) on the command line, as opposed to its default? */
bool args_given(const args_verb *verb, const args_result *r, const char *name);

/* Adds a line "name=value" for each option but those named in `without` (NULL-terminated): equal
 * texts are equal wishes. */
void args_text(const args_verb *verb, const void *fields, const char *const *without, buf *to);

/* Aligned help text. */
void args_help(const args_verb *verb, FILE *to);

/* The nearest of a NULL-terminated list of words, or NULL when none is near enough to suggest. Also
 * for verbs. */
const char *args_closest(const char *word, const char *const *words);

#endif
