/* args.c - parsing: see args.h. Help is in args_help.c. */
#include "args.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 64 };

typedef struct parser {
  const args_verb *verb;
  void *fields;
  args_result *out;
  fail *why;
} parser;

static void *field(const parser *p, const args_option *o)
{
  return (char *)p->fields + o->field;
}

/* ---- suggestions ---- */

/* Edit distance, one row at a time; a swap of neighbours counts 2. */
static unsigned distance(const char *a, const char *b)
{
  unsigned row[WORD_MAX + 1];
  size_t n = strlen(a), m = strlen(b);
  if (n > WORD_MAX || m > WORD_MAX)
    return WORD_MAX;
  for (size_t j = 0; j <= m; j++)
    row[j] = (unsigned)j;
  for (size_t i = 1; i <= n; i++) {
    unsigned corner = row[0];
    row[0] = (unsigned)i;
    for (size_t j = 1; j <= m; j++) {
      unsigned best = corner + (a[i - 1] != b[j - 1]);
      corner = row[j];
      best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
      row[j] = corner + 1 < best ? corner + 1 : best;
    }
  }
  return row[m];
}

const char *args_closest(const char *word, const char *const *words)
{
  const char *closest = NULL;
  unsigned least = strlen(word) < 6 ? 2 : 3; /* more than that is another word */
  for (; *words != NULL; words++) {
    unsigned d = distance(word, *words);
    if (d <= least && d < strlen(*words) && (closest == NULL || d < least)) {
      closest = *words;
      least = d;
    }
  }
  return closest;
}

static bool unknown(const parser *p, const char *word, size_t length)
{
  const char *names[66];
  char text[WORD_MAX + 1];
  size_t count = 0;
  for (size_t i = 0; i < p->verb->count && count < 64; i++)
    if (p->verb->options[i].type != ARGS_GROUP)
      names[count++] = p->verb->options[i].name;
  names[count++] = "help";
  names[count] = NULL;
  length = length < WORD_MAX ? length : WORD_MAX;
  memcpy(text, word, length);
  text[length] = 0;
  const char *closest = args_closest(text, names);
  if (closest != NULL)
    return fail_set(p->why, FAIL_USAGE, NULL, "unknown option --%s; did you mean --%s?", text,
                    closest);
  return fail_set(p->why, FAIL_USAGE, NULL, "unknown option --%s", text);
}

/* ---- values ---- */

static bool set_int(const parser *p, const args_option *o, const char *text)
{
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (end == text || *end != 0 || strchr(" \t\n\v\f\r", text[0]) != NULL)
    return fail_set(p->why, FAIL_USAGE, NULL, "--%s: \"%s\" is not a whole number", o->name, text);
  bool bounded = o->least != 0 || o->most != 0;
  int64_t least = bounded ? o->least : INT64_MIN;
  int64_t most = bounded && o->most >= o->least ? o->most : INT64_MAX;
  if (errno == ERANGE || value < least || value > most)
    return fail_set(p->why, FAIL_USAGE, NULL, "--%s: %s is outside %lld to %lld", o->name, text,
                    (long long)least, (long long)most);
  *(int64_t *)field(p, o) = value;
  return true;
}

static bool set_double(const parser *p, const args_option *o, const char *text)
{
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end != 0 || !isfinite(value) || strchr(" \t\n\v\f\r", text[0]) != NULL)
    return fail_set(p->why, FAIL_USAGE, NULL, "--%s: \"%s\" is not a number", o->name, text);
  bool bounded = o->least_f < 0 || o->least_f > 0 || o->most_f < 0 || o->most_f > 0;
  double most = o->most_f < o->least_f ? DBL_MAX : o->most_f;
  if (bounded && (value < o->least_f || value > most))
    return fail_set(p->why, FAIL_USAGE, NULL, "--%s: %s is outside %g to %g", o->name, text,
                    o->least_f, most);
  *(double *)field(p, o) = value;
  return true;
}

static bool set_choice(const parser *p, const args_option *o, const char *text)
{
  char all[256] = "";
  for (size_t i = 0; o->choices[i] != NULL; i++) {
    if (strcmp(o->choices[i], text) == 0) {
      *(const char **)field(p, o) = o->choices[i];
      return true;
    }
    size_t used = strlen(all);
    snprintf(all + used, sizeof all - used, i > 0 ? ", %s" : "%s", o->choices[i]);
  }
  const char *closest = args_closest(text, o->choices);
  return fail_set(p->why, FAIL_USAGE, NULL, "--%s: \"%s\" is not one of %s%s%s%s", o->name, text,
                  all, closest != NULL ? "; did you mean " : "", closest != NULL ? closest : "",
                  closest != NULL ? "?" : "");
}

static bool set(const parser *p, const args_option *o, const char *text)
{
  args_list *list;
  switch (o->type) {
  case ARGS_GROUP: return true;
  case ARGS_FLAG: *(bool *)field(p, o) = true; return true;
  case ARGS_INT: return set_int(p, o, text);
  case ARGS_DOUBLE: return set_double(p, o, text);
  case ARGS_TEXT: *(const char **)field(p, o) = text; return true;
  case ARGS_CHOICE: return set_choice(p, o, text);
  case ARGS_LIST:
    list = field(p, o);
    list->items[list->count++] = text;
    return true;
  }
  return false;
}

/* Zero or the default in every field. Lists get their part of the pool: one of argc texts each. */
static bool set_defaults(parser *p, size_t argc)
{
  size_t lists = 1;
  for (size_t i = 0; i < p->verb->count; i++)
    lists += p->verb->options[i].type == ARGS_LIST;
  const char **pool = calloc(lists * argc + 1, sizeof *pool);
  if (pool == NULL)
    return fail_memory(p->why, NULL);
  p->out->pool = p->out->positional = pool;
  for (size_t i = 0; i < p->verb->count; i++) {
    const args_option *o = &p->verb->options[i];
    switch (o->type) {
    case ARGS_GROUP: break;
    case ARGS_FLAG: *(bool *)field(p, o) = false; break;
    case ARGS_INT: *(int64_t *)field(p, o) = 0; break;
    case ARGS_DOUBLE: *(double *)field(p, o) = 0; break;
    case ARGS_TEXT:
    case ARGS_CHOICE: *(const char **)field(p, o) = NULL; break;
    case ARGS_LIST: *(args_list *)field(p, o) = (args_list){.items = pool += argc}; break;
    }
    if (o->initial != NULL && o->type != ARGS_LIST && !set(p, o, o->initial))
      return false;
  }
  return true;
}

/* ---- the command line ---- */

/* One option with its value, which may be the next argument: then `*i` moves on. */
static bool apply(parser *p, const args_option *o, const char *value, int argc, char **argv, int *i)
{
  if (o->type == ARGS_FLAG && value != NULL)
    return fail_set(p->why, FAIL_USAGE, NULL, "--%s takes no value", o->name);
  if (o->type != ARGS_FLAG && value == NULL) {
    if (*i + 1 >= argc)
      return fail_set(p->why, FAIL_USAGE, NULL, "--%s needs a value", o->name);
    value = argv[++*i];
  }
  p->out->given |= (uint64_t)1 << (o - p->verb->options);
  return set(p, o, value);
}

static bool long_option(parser *p, const char *word, int argc, char **argv, int *i)
{
  const char *equals = strchr(word, '=');
  size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
  if (strcmp(word, "help") == 0) {
    p->out->help = true;
    return true;
  }
  for (size_t k = 0; k < p->verb->count; k++) {
    const args_option *o = &p->verb->options[k];
    if (o->type != ARGS_GROUP && strlen(o->name) == length && memcmp(o->name, word, length) == 0)
      return apply(p, o, equals != NULL ? equals + 1 : NULL, argc, argv, i);
  }
  return unknown(p, word, length);
}

/* -o value, -ovalue, and flags one after another. */
static bool short_options(parser *p, const char *letters, int argc, char **argv, int *i)
{
  for (; *letters != 0; letters++) {
    const args_option *o = NULL;
    if (*letters == 'h') {
      p->out->help = true;
      return true;
    }
    for (size_t k = 0; k < p->verb->count && o == NULL; k++)
      if (p->verb->options[k].type != ARGS_GROUP && p->verb->options[k].letter == *letters)
        o = &p->verb->options[k];
    if (o == NULL)
      return fail_set(p->why, FAIL_USAGE, NULL, "unknown option -%c", *letters);
    if (o->type != ARGS_FLAG)
      return apply(p, o, letters[1] != 0 ? letters + 1 : NULL, argc, argv, i);
    if (!apply(p, o, NULL, argc, argv, i))
      return false;
  }
  return true;
}

static bool check_complete(const parser *p)
{
  const args_verb *v = p->verb;
  for (size_t i = 0; i < v->count; i++)
    if (v->options[i].required && (p->out->given >> i & 1) == 0)
      return fail_set(p->why, FAIL_USAGE, NULL, "--%s is missing; usage: quant %s %s",
                      v->options[i].name, v->name, v->usage);
  if (p->out->positional_count < v->least_positional)
    return fail_set(p->why, FAIL_USAGE, NULL, "too few arguments; usage: quant %s %s", v->name,
                    v->usage);
  if (p->out->positional_count > v->most_positional)
    return fail_set(p->why, FAIL_USAGE, NULL, "what is \"%s\"? usage: quant %s %s",
                    p->out->positional[v->most_positional], v->name, v->usage);
  return true;
}

bool args_parse(const args_verb *verb, int argc, char **argv, void *fields, args_result *out,
                fail *why)
{
  parser p = {verb, fields, out, why};
  bool options = true, ok;
  *out = (args_result){0};
  ok = set_defaults(&p, argc > 0 ? (size_t)argc : 0);
  for (int i = 0; ok && i < argc && !out->help; i++) {
    const char *word = argv[i];
    if (!options || word[0] != '-' || word[1] == 0)
      out->positional[out->positional_count++] = word;
    else if (strcmp(word, "--") == 0)
      options = false;
    else if (word[1] == '-')
      ok = long_option(&p, word + 2, argc, argv, &i);
    else
      ok = short_options(&p, word + 1, argc, argv, &i);
  }
  ok = ok && (out->help || check_complete(&p));
  if (!ok)
    args_free(out);
  return ok;
}

void args_free(args_result *r)
{
  free(r->pool);
  *r = (args_result){0};
}

bool args_given(const args_verb *verb, const args_result *r, const char *name)
{
  for (size_t i = 0; i < verb->count; i++)
    if (verb->options[i].type != ARGS_GROUP && strcmp(verb->options[i].name, name) == 0)
      return (r->given >> i & 1) != 0;
  return false;
}

static bool is_among(const char *name, const char *const *names)
{
  for (; *names != NULL; names++)
    if (strcmp(name, *names) == 0)
      return true;
  return false;
}

/* Each text with its length before it, so that no two lists look the same. */
static void print_value(const args_option *o, const void *at, buf *to)
{
  const char *text = NULL;
  const args_list *list = at;
  switch (o->type) {
  case ARGS_GROUP: break;
  case ARGS_FLAG: buf_printf(to, "%d", *(const bool *)at); break;
  case ARGS_INT: buf_printf(to, "%lld", (long long)*(const int64_t *)at); break;
  case ARGS_DOUBLE: buf_printf(to, "%.17g", *(const double *)at); break;
  case ARGS_TEXT:
  case ARGS_CHOICE:
    memcpy(&text, at, sizeof text);
    if (text != NULL)
      buf_printf(to, "%zu:%s", strlen(text), text);
    break;
  case ARGS_LIST:
    for (size_t i = 0; i < list->count; i++)
      buf_printf(to, "%zu:%s,", strlen(list->items[i]), list->items[i]);
    break;
  }
}

void args_text(const args_verb *verb, const void *fields, const char *const *without, buf *to)
{
  buf_printf(to, "%s\n", verb->name);
  for (size_t i = 0; i < verb->count; i++) {
    const args_option *o = &verb->options[i];
    if (o->type == ARGS_GROUP || is_among(o->name, without))
      continue;
    buf_printf(to, "%s=", o->name);
    print_value(o, (const char *)fields + o->field, to);
    buf_byte(to, '\n');
  }
}
