/*
 * tok_steps.c - "normalizer", "pre_tokenizer" and "decoder" of tokenizer.json to lists of steps.
 *
 * Owns: which of them are supported. Must not know: how a step works.
 */
#include "tok_parts.h"

#include "../files/utf8.h"

#include <stdlib.h>
#include <string.h>

/* One list in the making. */
typedef struct reader {
  tok_steps *steps;
  const json_doc *d;
  const char *what; /* "normalizer", ... for messages */
  fail *why;
} reader;

void tok_steps_free(tok_steps *s)
{
  for (size_t i = 0; i < s->count; i++) {
    free(s->items[i].pattern.bytes);
    free(s->items[i].content.bytes);
  }
}

/* ---- members ---- */

/* A new step; NULL when there are too many. */
static tok_step *add(reader *r, json_id v, tok_step_kind kind)
{
  if (r->steps->count == TOK_STEPS_MAX) {
    fail_set(r->why, FAIL_LIMIT, json_file(r->d), "byte %llu: more than %d steps in the %s",
             tok_offset(r->d, v), TOK_STEPS_MAX, r->what);
    return NULL;
  }
  tok_step *s = &r->steps->items[r->steps->count++];
  *s = (tok_step){.kind = kind};
  return s;
}

bool tok_text_set(tok_text *to, const char *text, size_t length)
{
  to->bytes = malloc(length + 1);
  if (to->bytes == NULL)
    return false;
  if (length > 0)
    memcpy(to->bytes, text, length);
  to->bytes[length] = 0;
  to->length = length;
  return true;
}

static bool set_text(reader *r, tok_text *to, const char *text, size_t length)
{
  if (!tok_text_set(to, text, length))
    return fail_memory(r->why, json_file(r->d));
  return true;
}

/* The string at `v`, which is the member `name` of something and has `least` bytes or more. */
static bool read_text(reader *r, json_id v, const char *name, size_t least, tok_text *to)
{
  size_t length;
  const char *text = json_kind_of(r->d, v) == JSON_STRING ? json_text(r->d, v, &length) : NULL;
  if (v == 0)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d), "%s: %s is missing", r->what, name);
  if (text == NULL)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d), "byte %llu: %s is not a string",
                    tok_offset(r->d, v), name);
  if (length < least || length > TOK_PATTERN_MAX)
    return fail_set(r->why, FAIL_LIMIT, json_file(r->d),
                    "byte %llu: %s has %zu bytes; %zu to %d are read here", tok_offset(r->d, v),
                    name, length, least, TOK_PATTERN_MAX);
  return set_text(r, to, text, length);
}

/* One character. */
static bool read_character(reader *r, json_id object, const char *name, tok_text *to)
{
  uint32_t point;
  json_id v = json_get(r->d, object, name);
  if (!read_text(r, v, name, 1, to))
    return false;
  if (utf8_read(to->bytes, to->length, &point) != to->length)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d), "byte %llu: %s is not one character",
                    tok_offset(r->d, v), name);
  return true;
}

/* true or false; must be there. */
static bool read_bool(reader *r, json_id object, const char *name, bool *out)
{
  json_id v = json_get(r->d, object, name);
  json_kind kind = json_kind_of(r->d, v);
  if (v == 0)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d), "byte %llu: %s is missing",
                    tok_offset(r->d, object), name);
  *out = kind == JSON_TRUE;
  if (kind != JSON_TRUE && kind != JSON_FALSE)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d), "byte %llu: %s is not true or false",
                    tok_offset(r->d, v), name);
  return true;
}

/* {"String": text} or {"Regex": text}; of a regular expression only `*regex` is set. */
static bool read_pattern(reader *r, json_id object, tok_text *string, json_id *regex)
{
  json_id v = json_get(r->d, object, "pattern"), text = json_get(r->d, v, "String");
  *regex = json_get(r->d, v, "Regex");
  if (json_kind_of(r->d, *regex) == JSON_STRING)
    return true;
  *regex = 0;
  return read_text(r, text, "a pattern's String", 1, string);
}

static bool unsupported(reader *r, json_id v, const char *text)
{
  return fail_set(r->why, FAIL_UNSUPPORTED, json_file(r->d),
                  "byte %llu: a %s \"%.60s\" is not read here", tok_offset(r->d, v), r->what, text);
}

/* ---- lists ---- */

typedef struct list_kind {
  const char *what, *items; /* name of the list and of the member that holds those of a Sequence */
  bool (*read)(reader *r, json_id v, const char *type);
} list_kind;

/* One object, or what a Sequence holds; the depth of the JSON text bounds the recursion. */
static bool read_list(reader *r, const list_kind *list, json_id v)
{
  const char *type;
  if (json_kind_of(r->d, v) != JSON_OBJECT)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d), "byte %llu: the %s is not an object",
                    tok_offset(r->d, v), r->what);
  if (!json_need_string(r->d, v, "type", &type, r->why))
    return false;
  if (strcmp(type, "Sequence") != 0)
    return list->read(r, v, type);
  json_id items = json_get(r->d, v, list->items);
  if (json_kind_of(r->d, items) != JSON_ARRAY)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d),
                    "byte %llu: a Sequence without an array %s", tok_offset(r->d, v), list->items);
  for (json_id i = json_first(r->d, items); i != 0; i = json_next(r->d, i))
    if (!read_list(r, list, i))
      return false;
  return true;
}

static bool read_top(tok_steps *s, const json_doc *d, json_id v, const list_kind *list, fail *why)
{
  reader r = {.steps = s, .d = d, .what = list->what, .why = why};
  json_kind kind = json_kind_of(d, v);
  return kind == JSON_NONE || kind == JSON_NULL || read_list(&r, list, v);
}

/* A Replace, which normalizers and decoders have. */
static bool read_replace(reader *r, json_id v)
{
  json_id regex;
  tok_step *s = add(r, v, STEP_REPLACE);
  if (s == NULL || !read_pattern(r, v, &s->pattern, &regex))
    return false;
  if (regex != 0)
    return unsupported(r, v, "Replace of a regular expression");
  return read_text(r, json_get(r->d, v, "content"), "content", 0, &s->content);
}

/* ---- normalizers ---- */

static bool one_normalizer(reader *r, json_id v, const char *type)
{
  if (strcmp(type, "Replace") == 0)
    return read_replace(r, v);
  if (strcmp(type, "NFC") == 0)
    return add(r, v, STEP_NFC) != NULL;
  if (strcmp(type, "Prepend") != 0)
    return unsupported(r, v, type);
  tok_step *s = add(r, v, STEP_PREPEND);
  return s != NULL && read_text(r, json_get(r->d, v, "prepend"), "prepend", 0, &s->content);
}

bool tok_read_normalizer(tok_steps *s, const json_doc *d, json_id v, fail *why)
{
  static const list_kind list = {"normalizer", "normalizers", one_normalizer};
  return read_top(s, d, v, &list, why);
}

/* ---- pre-tokenizers ---- */

static bool known_regex(const char *text, tok_match_kind *match)
{
  static const struct {
    const char *text;
    tok_match_kind match;
  } known[] = {
      {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
       MATCH_GPT2},
      {TOKENIZER_LLAMA3, MATCH_LLAMA3},
      {TOKENIZER_QWEN2, MATCH_QWEN2},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (text != NULL && strcmp(text, known[i].text) == 0) {
      *match = known[i].match;
      return true;
    }
  return false;
}

static bool read_split(reader *r, json_id v)
{
  static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                      "Contiguous"};
  json_id regex;
  const char *behavior;
  size_t b = 0;
  tok_step *s = add(r, v, STEP_SPLIT);
  if (s == NULL || !read_pattern(r, v, &s->pattern, &regex) ||
      !json_need_string(r->d, v, "behavior", &behavior, r->why) ||
      !read_bool(r, v, "invert", &s->invert))
    return false;
  if (regex != 0 && !known_regex(json_string(r->d, regex), &s->match))
    return fail_set(r->why, FAIL_UNSUPPORTED, json_file(r->d),
                    "byte %llu: this regular expression is not read here: %.80s",
                    tok_offset(r->d, regex), json_text(r->d, regex, NULL));
  while (b < sizeof names / sizeof *names && strcmp(behavior, names[b]) != 0)
    b++;
  if (b == sizeof names / sizeof *names)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d),
                    "byte %llu: \"%.60s\" is no behavior of a Split", tok_offset(r->d, v),
                    behavior);
  s->behavior = (tok_behavior)b;
  return true;
}

static bool read_byte_level(reader *r, json_id v)
{
  bool prefix = false, use_regex = true;
  if (!read_bool(r, v, "add_prefix_space", &prefix) ||
      !json_opt_bool(r->d, v, "use_regex", &use_regex, r->why))
    return false;
  if (prefix) {
    tok_step *s = add(r, v, STEP_PREFIX);
    if (s == NULL || !set_text(r, &s->content, " ", 1))
      return false;
  }
  if (use_regex) {
    tok_step *s = add(r, v, STEP_SPLIT);
    if (s == NULL)
      return false;
    s->match = MATCH_GPT2;
    s->behavior = SPLIT_ISOLATED;
  }
  return add(r, v, STEP_TO_BYTES) != NULL;
}

/* Where a Metaspace puts its character before text: "always", "first" (before the whole text only)
 * or "never"; old files have add_prefix_space, which must not contradict. */
static bool read_scheme(reader *r, json_id v, const char **scheme)
{
  bool prefix = true;
  *scheme = "always";
  if (!json_opt_string(r->d, v, "prepend_scheme", scheme, r->why) ||
      !json_opt_bool(r->d, v, "add_prefix_space", &prefix, r->why))
    return false;
  bool never = strcmp(*scheme, "never") == 0;
  if (!never && strcmp(*scheme, "always") != 0 && strcmp(*scheme, "first") != 0)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d),
                    "byte %llu: prepend_scheme \"%.60s\" is not always, first or never",
                    tok_offset(r->d, v), *scheme);
  if (!prefix && !never)
    return fail_set(r->why, FAIL_FORMAT, json_file(r->d),
                    "byte %llu: add_prefix_space contradicts prepend_scheme", tok_offset(r->d, v));
  return true;
}

static bool read_metaspace(reader *r, json_id v)
{
  const char *scheme;
  bool split = true;
  tok_step *s = add(r, v, STEP_REPLACE);
  if (s == NULL || !read_character(r, v, "replacement", &s->content) ||
      !set_text(r, &s->pattern, " ", 1) || !read_scheme(r, v, &scheme) ||
      !json_opt_bool(r->d, v, "split", &split, r->why))
    return false;
  tok_text mark = s->content;
  if (strcmp(scheme, "never") != 0) {
    s = add(r, v, STEP_PREFIX);
    if (s == NULL || !set_text(r, &s->content, mark.bytes, mark.length))
      return false;
    s->first = strcmp(scheme, "first") == 0;
  }
  if (split) {
    s = add(r, v, STEP_SPLIT);
    if (s == NULL || !set_text(r, &s->pattern, mark.bytes, mark.length))
      return false;
    s->behavior = SPLIT_WITH_NEXT;
  }
  return true;
}

static bool one_pre_tokenizer(reader *r, json_id v, const char *type)
{
  if (strcmp(type, "ByteLevel") == 0)
    return read_byte_level(r, v);
  if (strcmp(type, "Metaspace") == 0)
    return read_metaspace(r, v);
  if (strcmp(type, "Split") == 0)
    return read_split(r, v);
  if (strcmp(type, "Digits") != 0)
    return unsupported(r, v, type);
  bool each = false;
  tok_step *s = add(r, v, STEP_SPLIT);
  if (s == NULL || !read_bool(r, v, "individual_digits", &each))
    return false;
  s->match = MATCH_NUMBER;
  s->behavior = each ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
  return true;
}

bool tok_read_pre_tokenizer(tok_steps *s, const json_doc *d, json_id v, fail *why)
{
  static const list_kind list = {"pre-tokenizer", "pretokenizers", one_pre_tokenizer};
  return read_top(s, d, v, &list, why);
}

/* ---- decoders ---- */

static bool one_decoder(reader *r, json_id v, const char *type)
{
  static const struct {
    const char *type;
    tok_step_kind kind;
  } kinds[] = {{"ByteLevel", STEP_FROM_BYTES},
               {"ByteFallback", STEP_BYTE_FALLBACK},
               {"Fuse", STEP_FUSE},
               {"Strip", STEP_STRIP},
               {"Metaspace", STEP_METASPACE},
               {"Replace", STEP_REPLACE}};
  const char *scheme;
  size_t k = 0;
  while (k < sizeof kinds / sizeof *kinds && strcmp(type, kinds[k].type) != 0)
    k++;
  if (k == sizeof kinds / sizeof *kinds)
    return unsupported(r, v, type);
  if (kinds[k].kind == STEP_REPLACE)
    return read_replace(r, v);
  tok_step *s = add(r, v, kinds[k].kind);
  if (s == NULL)
    return false;
  if (s->kind == STEP_STRIP)
    return read_character(r, v, "content", &s->content) &&
           json_need_u64(r->d, v, "start", &s->start, r->why) &&
           json_need_u64(r->d, v, "stop", &s->stop, r->why);
  if (s->kind != STEP_METASPACE)
    return true;
  if (!read_character(r, v, "replacement", &s->pattern) || !read_scheme(r, v, &scheme))
    return false;
  s->first = strcmp(scheme, "never") != 0;
  return true;
}

bool tok_read_decoder(tok_steps *s, const json_doc *d, json_id v, fail *why)
{
  static const list_kind list = {"decoder", "decoders", one_decoder};
  return read_top(s, d, v, &list, why);
}
