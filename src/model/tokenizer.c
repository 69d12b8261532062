/*
 * tokenizer.c - see tokenizer.h: reading the file, and the way of a text through the steps.
 *
 * Owns: the tokenizer. Must not know: how a step works.
 */
#include "tok_parts.h"
#include "tok_unicode.h"

#include "../files/grow.h"
#include "../files/utf8.h"

#include <stdlib.h>
#include <string.h>

bool tok_list_add(token_list *l, int32_t id, const char *file, fail *why)
{
  if (l->count == l->capacity) {
    int32_t *ids = grown(l->ids, &l->capacity, l->count + 1, sizeof *ids);
    if (ids == NULL)
      return fail_memory(why, file);
    l->ids = ids;
  }
  l->ids[l->count++] = id;
  return true;
}

void token_list_free(token_list *l)
{
  free(l->ids);
  *l = (token_list){0};
}

/* ---- reading ---- */

/* Members that must be null, or say the same as null does. */
static bool check_absent(const json_doc *d, json_id model, fail *why)
{
  static const char *const names[] = {"continuing_subword_prefix", "end_of_word_suffix"};
  double dropout = 0;
  if (!json_opt_f64(d, model, "dropout", &dropout, why))
    return false;
  if (dropout != 0)
    return fail_set(why, FAIL_UNSUPPORTED, json_file(d), "byte %llu: dropout is not read here",
                    tok_offset(d, json_get(d, model, "dropout")));
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *text = "";
    if (!json_opt_string(d, model, names[i], &text, why))
      return false;
    if (*text != 0)
      return fail_set(why, FAIL_UNSUPPORTED, json_file(d),
                      "byte %llu: %s \"%.60s\" is not read here",
                      tok_offset(d, json_get(d, model, names[i])), names[i], text);
  }
  return true;
}

/* Old files do not name the type; what has merges is BPE. */
static bool check_type(const json_doc *d, json_id model, fail *why)
{
  const char *type = json_get(d, model, "merges") != 0 ? "BPE" : "";
  if (json_kind_of(d, model) != JSON_OBJECT)
    return fail_set(why, FAIL_FORMAT, json_file(d), "%s",
                    model != 0 ? "model is not an object" : "model is missing");
  if (!json_opt_string(d, model, "type", &type, why))
    return false;
  if (strcmp(type, "BPE") != 0)
    return fail_set(why, FAIL_UNSUPPORTED, json_file(d),
                    "byte %llu: a model of type \"%.60s\"; only BPE is read here",
                    tok_offset(d, model), type);
  return true;
}

static bool member_of_kind(const json_doc *d, json_id model, const char *name, json_kind kind,
                           json_id *out, fail *why)
{
  *out = json_get(d, model, name);
  if (json_kind_of(d, *out) != kind)
    return fail_set(why, FAIL_FORMAT, json_file(d), "byte %llu: the model's %s %s",
                    tok_offset(d, *out != 0 ? *out : model), name,
                    *out == 0             ? "is missing"
                    : kind == JSON_OBJECT ? "is not an object"
                                          : "is not an array");
  return true;
}

static bool read_model(tokenizer *t, const json_doc *d, json_id model, fail *why)
{
  json_id vocab, merges;
  const char *unk = NULL;
  if (!check_type(d, model, why) || !check_absent(d, model, why) ||
      !json_opt_bool(d, model, "byte_fallback", &t->byte_fallback, why) ||
      !json_opt_bool(d, model, "fuse_unk", &t->fuse_unk, why) ||
      !json_opt_bool(d, model, "ignore_merges", &t->ignore_merges, why) ||
      !json_opt_string(d, model, "unk_token", &unk, why) ||
      !member_of_kind(d, model, "vocab", JSON_OBJECT, &vocab, why) ||
      !member_of_kind(d, model, "merges", JSON_ARRAY, &merges, why) ||
      !tok_vocab_read(&t->vocab, d, vocab, why) ||
      !tok_merges_read(&t->merges, &t->vocab, d, merges, why))
    return false;
  if (unk != NULL) {
    t->unk = strdup(unk);
    if (t->unk == NULL)
      return fail_memory(why, t->file);
    t->unk_id = tok_vocab_find(&t->vocab, unk, strlen(unk));
  }
  for (unsigned b = 0; b < 256; b++) {
    static const char hex[] = "0123456789ABCDEF";
    const char name[] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'};
    t->byte_id[b] = tok_vocab_find(&t->vocab, name, sizeof name);
  }
  return true;
}

/* Where text starts, the library asks offsets that go back through all steps to the text as it was
 * given. Steps that insert or remove text there make them say yes twice or not at all. */
static bool check_first(const tokenizer *t, fail *why)
{
  const tok_steps *n = &t->normalizer, *p = &t->pre_tokenizer;
  bool plain = true;
  for (size_t i = 0; i < n->count; i++)
    plain = plain && (n->items[i].kind == STEP_NFC ||
                      (n->items[i].kind == STEP_REPLACE && n->items[i].pattern.length == 1 &&
                       n->items[i].content.length > 0));
  for (size_t i = 0; i < p->count; i++)
    if (p->items[i].first && (!plain || i != 1)) /* 0 is the replacement of spaces */
      return fail_set(why, FAIL_UNSUPPORTED, t->file,
                      "a Metaspace with prepend_scheme \"first\" after other steps that insert, "
                      "remove or cut text is not read here");
  return true;
}

static bool read_all(tokenizer *t, const json_doc *d, fail *why)
{
  json_id root = json_root(d), decoder = json_get(d, root, "decoder");
  const char *version = "1.0";
  if (json_kind_of(d, root) != JSON_OBJECT)
    return fail_set(why, FAIL_FORMAT, t->file, "not a JSON object");
  if (!json_opt_string(d, root, "version", &version, why))
    return false;
  if (strcmp(version, "1.0") != 0)
    return fail_set(why, FAIL_UNSUPPORTED, t->file, "version \"%.60s\"; only 1.0 is read here",
                    version);
  t->has_decoder = decoder != 0 && json_kind_of(d, decoder) != JSON_NULL;
  if (!read_model(t, d, json_get(d, root, "model"), why) ||
      !tok_read_normalizer(&t->normalizer, d, json_get(d, root, "normalizer"), why) ||
      !tok_read_pre_tokenizer(&t->pre_tokenizer, d, json_get(d, root, "pre_tokenizer"), why) ||
      !check_first(t, why) || !tok_read_decoder(&t->decoder, d, decoder, why) ||
      !tok_added_read(t, d, json_get(d, root, "added_tokens"), why))
    return false;
  t->size = t->vocab.ids;
  if (t->added.count > 0 && (size_t)t->added.by_id[t->added.count - 1]->id >= t->size)
    t->size = (size_t)t->added.by_id[t->added.count - 1]->id + 1;
  return true;
}

bool tokenizer_make(tokenizer **out, const json_doc *d, const char *file, fail *why)
{
  *out = NULL;
  tokenizer *t = calloc(1, sizeof *t);
  if (t == NULL || (t->file = strdup(file)) == NULL) {
    free(t);
    return fail_memory(why, file);
  }
  t->unk_id = -1;
  if (!read_all(t, d, why)) {
    tokenizer_close(t);
    return false;
  }
  *out = t;
  return true;
}

bool tokenizer_open(tokenizer **out, int folder, const char *name, const char *file, fail *why)
{
  json_doc *d = NULL;
  *out = NULL;
  bool ok = json_read(&d, folder, name, file, why) && tokenizer_make(out, d, file, why);
  json_free(d);
  return ok;
}

void tokenizer_close(tokenizer *t)
{
  if (t == NULL)
    return;
  tok_vocab_free(&t->vocab);
  tok_merges_free(&t->merges);
  tok_added_free(&t->added);
  tok_steps_free(&t->normalizer);
  tok_steps_free(&t->pre_tokenizer);
  tok_steps_free(&t->decoder);
  free(t->unk);
  free(t->file);
  free(t);
}

size_t tokenizer_size(const tokenizer *t)
{
  return t->size;
}

int32_t tokenizer_id(const tokenizer *t, const char *content)
{
  size_t length = strlen(content);
  const tok_added *a = tok_added_by_content(&t->added, content, length);
  return a != NULL ? a->id : tok_vocab_find(&t->vocab, content, length);
}

/* ---- encoding ---- */

typedef struct encoder {
  const tokenizer *t;
  token_list *out;
  fail *why;
  tok_bpe bpe;
  buf normal[2];
  buf step[TOK_STEPS_MAX]; /* text that a step of the pre-tokenizer changed */
} encoder;

/* A piece on its way to the next step. */
typedef struct journey {
  encoder *e;
  size_t step;
  const char *first; /* where the whole text starts, NULL when this part does not start there */
} journey;

static bool pre_tokenize(void *context, const char *text, size_t length);

static bool starts_with(const char *text, size_t length, const tok_text *start)
{
  return length >= start->length && memcmp(text, start->bytes, start->length) == 0;
}

/* The text that a step other than STEP_SPLIT makes; false: no memory. */
static bool change(encoder *e, const tok_step *s, bool first, const char **text, size_t *length)
{
  buf *to = &e->step[s - e->t->pre_tokenizer.items];
  const tok_text *mark = &s->content;
  if (s->kind == STEP_PREFIX && ((s->first && !first) || starts_with(*text, *length, mark)))
    return true;
  to->length = 0;
  if (s->kind == STEP_REPLACE) {
    tok_replace(s, *text, *length, to);
  } else if (s->kind == STEP_PREFIX) {
    buf_add(to, mark->bytes, mark->length);
    buf_add(to, *text, *length);
  } else {
    for (size_t i = 0; i < *length; i++) {
      char bytes[4];
      buf_add(to, bytes, utf8_write(bytes, tok_byte_point((unsigned char)(*text)[i])));
    }
  }
  *text = to->data;
  *length = to->length;
  return !to->failed;
}

/* The steps from journey.step on, then the model. A split goes on from here for each piece, so the
 * depth is the number of steps. */
static bool pre_tokenize(void *context, const char *text, size_t length)
{
  journey j = *(const journey *)context;
  const tok_steps *steps = &j.e->t->pre_tokenizer;
  bool first = j.first == text;
  for (; j.step < steps->count; j.step++) {
    const tok_step *s = &steps->items[j.step];
    if (s->kind == STEP_SPLIT) {
      journey next = {.e = j.e, .step = j.step + 1, .first = first ? text : NULL};
      return tok_split(s, text, length, pre_tokenize, &next);
    }
    if (!change(j.e, s, first, &text, &length))
      return fail_memory(j.e->why, j.e->t->file);
  }
  return tok_bpe_encode(j.e->t, &j.e->bpe, text, length, j.e->out, j.e->why);
}

/* Is there no \w on either side? */
static bool stands_alone(const char *text, size_t length, size_t start, size_t end)
{
  uint32_t point;
  size_t before = start;
  while (before > 0 && ((unsigned char)text[--before] & 0xC0) == 0x80)
    ;
  if (start > 0) {
    utf8_step(text + before, start - before, &point);
    if (tok_classes(point) & TOK_WORD)
      return false;
  }
  if (end == length)
    return true;
  utf8_step(text + end, length - end, &point);
  return !(tok_classes(point) & TOK_WORD);
}

/* Where the spaces that end at `at` start, not before `least`. */
static size_t spaces_before(const char *text, size_t at, size_t least)
{
  while (at > least) {
    uint32_t point;
    size_t before = at - 1;
    while (before > least && ((unsigned char)text[before] & 0xC0) == 0x80)
      before--;
    utf8_step(text + before, at - before, &point);
    if (!(tok_classes(point) & TOK_SPACE))
      break;
    at = before;
  }
  return at;
}

/* Where the spaces from `at` on end. `run` is the last stretch that was looked at, so that tokens
 * inside a long run of spaces do not look through it again and again. */
static size_t spaces_after(const char *text, size_t length, size_t at, size_t run[2])
{
  if (at >= run[0] && at <= run[1])
    return run[1];
  run[0] = at;
  while (at < length) {
    uint32_t point;
    size_t n = utf8_step(text + at, length - at, &point);
    if (!(tok_classes(point) & TOK_SPACE))
      break;
    at += n;
  }
  run[1] = at;
  return at;
}

/* A part of the text between added tokens; `start`: does the whole text start with it? */
typedef bool (*part_fn)(encoder *e, const char *text, size_t length, bool start);

/* Cuts the text at the tokens of `set`, as the library does: a match that `single_word` turns down
 * is passed over; after `rstrip` a later match may lie in spaces that were taken already, and
 * counts if something is left of it. */
static bool each_part(encoder *e, const tok_set *set, const char *text, size_t length, bool start,
                      part_fn part)
{
  size_t done = 0, from = 0, end, run[2] = {SIZE_MAX, 0};
  const tok_added *a;
  for (size_t at = 0; (a = tok_set_next(set, text, length, &at, &end)) != NULL; at = from) {
    size_t left = at, right = end;
    from = end;
    if (a->single_word && !stands_alone(text, length, at, end))
      continue;
    if (a->lstrip)
      left = spaces_before(text, at, done);
    if (a->rstrip)
      right = spaces_after(text, length, end, run);
    if (a->lstrip && left < done)
      left = done;
    if (left >= right)
      continue;
    if (done < left && !part(e, text + done, left - done, start && done == 0))
      return false;
    if (!tok_list_add(e->out, a->id, e->t->file, e->why))
      return false;
    done = right;
  }
  return done == length || part(e, text + done, length - done, start && done == 0);
}

static bool normal_part(encoder *e, const char *text, size_t length, bool start)
{
  journey j = {.e = e, .step = 0, .first = start ? text : NULL};
  return pre_tokenize(&j, text, length);
}

static bool plain_part(encoder *e, const char *text, size_t length, bool start)
{
  if (!tok_normalize(&e->t->normalizer, &text, &length, e->normal))
    return fail_memory(e->why, e->t->file);
  return each_part(e, &e->t->added.normalized, text, length, start, normal_part);
}

bool tokenizer_encode(const tokenizer *t, const char *text, size_t length, token_list *out,
                      fail *why)
{
  size_t valid = utf8_check(text, length), before = out->count;
  if (valid != length)
    return fail_set(why, FAIL_FORMAT, NULL, "byte %zu: the text is not valid UTF-8", valid);
  encoder e = {.t = t, .out = out, .why = why};
  bool ok = each_part(&e, &t->added.plain, text, length, true, plain_part);
  if (!ok)
    out->count = before;
  tok_bpe_free(&e.bpe);
  buf_free(&e.normal[0]);
  buf_free(&e.normal[1]);
  for (size_t i = 0; i < TOK_STEPS_MAX; i++)
    buf_free(&e.step[i]);
  return ok;
}

bool tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t count, buf *to, fail *why)
{
  return tok_run_decoder(t, ids, count, to, why);
}
