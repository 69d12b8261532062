/*
 * tok_added.c - added tokens: what the file says of them, and where they stand in a text.
 *
 * Owns: their list, and the two sets that are looked for. Must not know: what lies between them.
 */
#include "tok_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- order ---- */

static int order_of(const tok_text *a, const char *text, size_t length)
{
  size_t both = a->length < length ? a->length : length;
  int order = both > 0 ? memcmp(a->bytes, text, both) : 0;
  return order != 0 ? order : a->length < length ? -1 : a->length > length;
}

static int by_content(const void *a, const void *b)
{
  const tok_added *const *x = a, *const *y = b;
  return order_of(&(*x)->content, (*y)->content.bytes, (*y)->content.length);
}

static int by_pattern(const void *a, const void *b)
{
  const tok_added *const *x = a, *const *y = b;
  return order_of(&(*x)->pattern, (*y)->pattern.bytes, (*y)->pattern.length);
}

static int by_id(const void *a, const void *b)
{
  const tok_added *const *x = a, *const *y = b;
  return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

const tok_added *tok_added_by_id(const tok_added_list *a, int32_t id)
{
  size_t low = 0, high = a->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (a->by_id[middle]->id == id)
      return a->by_id[middle];
    if (a->by_id[middle]->id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

const tok_added *tok_added_by_content(const tok_added_list *a, const char *text, size_t length)
{
  size_t low = 0, high = a->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = order_of(&a->by_content[middle]->content, text, length);
    if (order == 0)
      return a->by_content[middle];
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

/* ---- looking for them ---- */

/* The longest pattern that `text` starts with: the items that agree with it so far are a range,
 * which each byte makes smaller. A pattern that ends here is the first of its range. */
static const tok_added *longest(const tok_set *s, const unsigned char *text, size_t length)
{
  size_t low = s->first[text[0]], high = s->first[text[0] + 1];
  const tok_added *best = NULL;
  for (size_t depth = 1; low < high; depth++) {
    if (s->items[low]->pattern.length == depth)
      best = s->items[low++];
    if (depth == length)
      break;
    size_t from = low, to = high;
    while (from < to) { /* the first that has this byte or a greater one */
      size_t middle = from + (to - from) / 2;
      if ((unsigned char)s->items[middle]->pattern.bytes[depth] < text[depth])
        from = middle + 1;
      else
        to = middle;
    }
    low = from;
    for (to = high; from < to;) {
      size_t middle = from + (to - from) / 2;
      if ((unsigned char)s->items[middle]->pattern.bytes[depth] <= text[depth])
        from = middle + 1;
      else
        to = middle;
    }
    high = from;
  }
  return best;
}

const tok_added *tok_set_next(const tok_set *s, const char *text, size_t length, size_t *start,
                              size_t *end)
{
  const unsigned char *bytes = (const unsigned char *)text;
  for (size_t at = *start; s->count > 0 && at < length; at++) {
    const tok_added *found =
        s->first[bytes[at]] < s->first[bytes[at] + 1] ? longest(s, bytes + at, length - at) : NULL;
    if (found != NULL) {
      *start = at;
      *end = at + found->pattern.length;
      return found;
    }
  }
  return NULL;
}

/* ---- reading ---- */

static bool read_flags(tok_added *a, const json_doc *d, json_id v, fail *why)
{
  bool special;
  const struct {
    const char *name;
    bool *to;
  } flags[] = {{"single_word", &a->single_word},
               {"lstrip", &a->lstrip},
               {"rstrip", &a->rstrip},
               {"normalized", &a->normalized},
               {"special", &special}};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
    json_id m = json_get(d, v, flags[i].name);
    json_kind kind = json_kind_of(d, m);
    if (kind != JSON_TRUE && kind != JSON_FALSE)
      return fail_set(why, FAIL_FORMAT, json_file(d), "byte %llu: added token: %s %s",
                      tok_offset(d, m != 0 ? m : v), flags[i].name,
                      m != 0 ? "is not true or false" : "is missing");
    *flags[i].to = kind == JSON_TRUE;
  }
  return true;
}

/* The library gives an added token the id its content has in the vocabulary, else the next one
 * after the vocabulary, whatever the file says; so the file has to say that. */
static bool check_id(const tokenizer *t, const json_doc *d, json_id v, tok_added *a, size_t *next,
                     fail *why)
{
  uint64_t id;
  int32_t in_vocab = tok_vocab_find(&t->vocab, a->content.bytes, a->content.length);
  if (!json_need_u64(d, v, "id", &id, why))
    return false;
  if (id >= TOK_IDS_MAX)
    return fail_set(why, FAIL_LIMIT, json_file(d), "byte %llu: id %llu; ids are below %d",
                    tok_offset(d, v), (unsigned long long)id, TOK_IDS_MAX);
  size_t place = in_vocab >= 0 ? (size_t)in_vocab : (*next)++;
  if (id != place)
    return fail_set(why, FAIL_FORMAT, json_file(d),
                    "byte %llu: added token \"%.200s\" has id %llu, but its place is %zu",
                    tok_offset(d, v), a->content.bytes, (unsigned long long)id, place);
  if (in_vocab < 0 && place < t->vocab.ids && t->vocab.pieces[place].length != TOK_NO_PIECE)
    return fail_set(why, FAIL_FORMAT, json_file(d),
                    "byte %llu: added token \"%.200s\" has the id %zu, which another token has",
                    tok_offset(d, v), a->content.bytes, place);
  a->id = (int32_t)place;
  return true;
}

static bool set_pattern(const tokenizer *t, tok_added *a, fail *why)
{
  buf work[2] = {{0}, {0}};
  const char *text = a->content.bytes;
  size_t length = a->content.length;
  bool ok = (!a->normalized || tok_normalize(&t->normalizer, &text, &length, work)) &&
            tok_text_set(&a->pattern, text, length);
  buf_free(&work[0]);
  buf_free(&work[1]);
  if (!ok)
    return fail_memory(why, t->file);
  return true;
}

static bool read_one(tokenizer *t, const json_doc *d, json_id v, size_t *next, fail *why)
{
  size_t length = 0;
  json_id content = json_get(d, v, "content");
  const char *text =
      json_kind_of(d, content) == JSON_STRING ? json_text(d, content, &length) : NULL;
  if (text == NULL)
    return fail_set(why, FAIL_FORMAT, json_file(d), "byte %llu: an added token without content",
                    tok_offset(d, v));
  if (length > TOK_PATTERN_MAX)
    return fail_set(why, FAIL_LIMIT, json_file(d),
                    "byte %llu: an added token of %zu bytes; the limit is %d", tok_offset(d, v),
                    length, TOK_PATTERN_MAX);
  if (length == 0)
    return true; /* the library passes over it */
  tok_added *a = &t->added.items[t->added.count];
  *a = (tok_added){0};
  t->added.count++; /* so that it is freed */
  if (!tok_text_set(&a->content, text, length))
    return fail_memory(why, t->file);
  if (!read_flags(a, d, v, why) || !check_id(t, d, v, a, next, why) || !set_pattern(t, a, why))
    return false;
  if (a->pattern.length == 0)
    return fail_set(why, FAIL_FORMAT, json_file(d),
                    "byte %llu: nothing is left of \"%.200s\" once it is normalized",
                    tok_offset(d, v), a->content.bytes);
  return true;
}

/* The tokens that are looked for in one of the two texts. */
static bool make_set(tok_set *s, const tok_added_list *a, bool normalized, const char *file,
                     fail *why)
{
  s->items = malloc((a->count + 1) * sizeof *s->items);
  if (s->items == NULL)
    return fail_memory(why, file);
  for (size_t i = 0; i < a->count; i++)
    if (a->items[i].normalized == normalized)
      s->items[s->count++] = &a->items[i];
  if (s->count > 0)
    qsort(s->items, s->count, sizeof *s->items, by_pattern);
  for (size_t i = 1; i < s->count; i++)
    if (by_pattern(&s->items[i - 1], &s->items[i]) == 0)
      return fail_set(why, FAIL_FORMAT, file,
                      "added tokens %ld and %ld are the same text once they are normalized",
                      (long)s->items[i - 1]->id, (long)s->items[i]->id);
  for (size_t b = 0, i = 0; b <= 256; b++) {
    while (i < s->count && (unsigned char)s->items[i]->pattern.bytes[0] < b)
      i++;
    s->first[b] = i;
  }
  return true;
}

bool tok_added_read(tokenizer *t, const json_doc *d, json_id array, fail *why)
{
  tok_added_list *a = &t->added;
  size_t count = json_count(d, array), next = t->vocab.count;
  json_kind kind = json_kind_of(d, array);
  if (kind != JSON_ARRAY && kind != JSON_NONE)
    return fail_set(why, FAIL_FORMAT, t->file, "byte %llu: added_tokens is not an array",
                    tok_offset(d, array));
  a->items = calloc(count + 1, sizeof *a->items);
  a->by_id = malloc((count + 1) * sizeof *a->by_id);
  a->by_content = malloc((count + 1) * sizeof *a->by_content);
  if (a->items == NULL || a->by_id == NULL || a->by_content == NULL)
    return fail_memory(why, t->file);
  for (json_id v = json_first(d, array); v != 0; v = json_next(d, v))
    if (!read_one(t, d, v, &next, why))
      return false;
  for (size_t i = 0; i < a->count; i++)
    a->by_id[i] = a->by_content[i] = &a->items[i];
  if (a->count > 0) {
    qsort(a->by_id, a->count, sizeof *a->by_id, by_id);
    qsort(a->by_content, a->count, sizeof *a->by_content, by_content);
  }
  for (size_t i = 1; i < a->count; i++)
    if (by_content(&a->by_content[i - 1], &a->by_content[i]) == 0)
      return fail_set(why, FAIL_FORMAT, t->file, "added token \"%.200s\" is there twice",
                      a->by_content[i]->content.bytes);
  return make_set(&a->plain, a, false, t->file, why) &&
         make_set(&a->normalized, a, true, t->file, why);
}

void tok_added_free(tok_added_list *a)
{
  for (size_t i = 0; i < a->count; i++) {
    free(a->items[i].content.bytes);
    free(a->items[i].pattern.bytes);
  }
  free(a->items);
  free(a->by_id);
  free(a->by_content);
  free(a->plain.items);
  free(a->normalized.items);
}
