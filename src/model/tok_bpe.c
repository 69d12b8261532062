/*
 * tok_bpe.c - byte pair encoding of one piece of text: its characters to tokens, then the merges.
 *
 * Owns: the order of merging. Must not know: where the piece comes from. A piece may be a whole
 * book (Llama 2 has no pre-tokenizer), so the merges that wait are in a heap and the symbols in a
 * linked list: n log n.
 */
#include "tok_parts.h"

#include "../files/grow.h"
#include "../files/utf8.h"

#include <stdlib.h>

void tok_bpe_free(tok_bpe *b)
{
  free(b->symbols);
  free(b->heap);
  *b = (tok_bpe){0};
}

/* ---- the heap: least rank first, then what stands further left ---- */

static void sift_down(tok_bpe *b, size_t at)
{
  uint64_t moved = b->heap[at];
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= b->waiting)
      break;
    if (child + 1 < b->waiting && b->heap[child + 1] < b->heap[child])
      child++;
    if (moved <= b->heap[child])
      break;
    b->heap[at] = b->heap[child];
    at = child;
  }
  b->heap[at] = moved;
}

static uint64_t pop(tok_bpe *b)
{
  uint64_t top = b->heap[0];
  b->heap[0] = b->heap[--b->waiting];
  if (b->waiting > 0)
    sift_down(b, 0);
  return top;
}

static void push(tok_bpe *b, uint64_t entry)
{
  size_t at = b->waiting++;
  while (at > 0 && b->heap[(at - 1) / 2] > entry) {
    b->heap[at] = b->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  b->heap[at] = entry;
}

/* ---- symbols ---- */

/* Room for a symbol for each byte of text, more than which there are never. The heap starts with
 * fewer entries than symbols; each of as many merges takes one from it and puts in two. */
static bool make_room(tok_bpe *b, size_t length)
{
  if (b->capacity < length) {
    tok_symbol *symbols = grown(b->symbols, &b->capacity, length, sizeof *symbols);
    if (symbols == NULL)
      return false;
    b->symbols = symbols;
  }
  if (b->room < 2 * length) {
    uint64_t *heap = grown(b->heap, &b->room, 2 * length, sizeof *heap);
    if (heap == NULL)
      return false;
    b->heap = heap;
  }
  return true;
}

static void add_symbol(tok_bpe *b, int32_t id)
{
  int32_t at = (int32_t)b->count;
  if (at > 0)
    b->symbols[at - 1].next = at;
  b->symbols[b->count++] = (tok_symbol){.id = id, .prev = at - 1, .next = -1};
}

/* Tokens for the bytes of a character that has none; false when one of them is missing. */
static bool has_bytes(const tokenizer *t, const char *text, size_t length)
{
  for (size_t i = 0; i < length; i++)
    if (t->byte_id[(unsigned char)text[i]] < 0)
      return false;
  return t->byte_fallback;
}

/* A symbol for each character. An unknown token waits (`*unknown`) for the next known character,
 * bytes go ahead of it: so the library does it. */
static bool add_character(const tokenizer *t, tok_bpe *b, const char *text, size_t length,
                          bool *unknown, fail *why)
{
  int32_t id = tok_vocab_find(&t->vocab, text, length);
  if (id >= 0) {
    if (*unknown)
      add_symbol(b, t->unk_id);
    add_symbol(b, id);
    *unknown = false;
  } else if (has_bytes(t, text, length)) {
    for (size_t i = 0; i < length; i++)
      add_symbol(b, t->byte_id[(unsigned char)text[i]]);
  } else if (t->unk != NULL) {
    if (t->unk_id < 0)
      return fail_set(why, FAIL_FORMAT, t->file,
                      "no token for \"%.*s\", and unk_token \"%.200s\" is not in the vocabulary",
                      (int)length, text, t->unk);
    if (*unknown && !t->fuse_unk)
      add_symbol(b, t->unk_id);
    *unknown = true;
  }
  return true;
}

static bool add_characters(const tokenizer *t, tok_bpe *b, const char *text, size_t length,
                           fail *why)
{
  bool unknown = false;
  b->count = 0;
  for (size_t i = 0; i < length;) {
    uint32_t point;
    size_t n = utf8_step(text + i, length - i, &point);
    if (!add_character(t, b, text + i, n, &unknown, why))
      return false;
    i += n;
  }
  if (unknown)
    add_symbol(b, t->unk_id);
  return true;
}

/* ---- merging ---- */

/* The heap entry for the symbols at `left` and after it; false when they are not merged. */
static bool entry_of(const tok_merges *m, const tok_bpe *b, int32_t left, uint64_t *entry)
{
  uint32_t rank;
  int32_t right = b->symbols[left].next;
  if (right < 0 || !tok_merges_find(m, b->symbols[left].id, b->symbols[right].id, &rank))
    return false;
  *entry = (uint64_t)rank << 32 | (uint32_t)left;
  return true;
}

/* One entry of the heap, unless it is out of date: a symbol merged since then is gone, or makes
 * another pair with what stands after it. */
static void merge(const tok_merges *m, tok_bpe *b, uint64_t entry)
{
  int32_t at = (int32_t)(uint32_t)entry;
  tok_symbol *s = &b->symbols[at];
  uint64_t now;
  if (s->id < 0 || !entry_of(m, b, at, &now) || now != entry)
    return;
  tok_symbol *right = &b->symbols[s->next];
  s->id = m->result[entry >> 32];
  s->next = right->next;
  right->id = -1;
  if (s->next >= 0)
    b->symbols[s->next].prev = at;
  if (s->prev >= 0 && entry_of(m, b, s->prev, &now))
    push(b, now);
  if (entry_of(m, b, at, &now))
    push(b, now);
}

static void merge_all(const tok_merges *m, tok_bpe *b)
{
  b->waiting = 0;
  for (size_t i = 0; i < b->count; i++) {
    uint64_t entry;
    if (entry_of(m, b, (int32_t)i, &entry))
      b->heap[b->waiting++] = entry;
  }
  for (size_t i = b->waiting / 2; i-- > 0;)
    sift_down(b, i);
  while (b->waiting > 0)
    merge(m, b, pop(b));
}

bool tok_bpe_encode(const tokenizer *t, tok_bpe *b, const char *text, size_t length,
                    token_list *out, fail *why)
{
  int32_t whole = t->ignore_merges ? tok_vocab_find(&t->vocab, text, length) : -1;
  if (whole >= 0)
    return tok_list_add(out, whole, t->file, why);
  if (length >= INT32_MAX)
    return fail_set(why, FAIL_LIMIT, NULL, "%zu bytes of text in one piece; the limit is %d",
                    length, INT32_MAX - 1);
  if (!make_room(b, length))
    return fail_memory(why, t->file);
  if (!add_characters(t, b, text, length, why))
    return false;
  merge_all(&t->merges, b);
  for (int32_t i = b->count > 0 ? 0 : -1; i >= 0; i = b->symbols[i].next)
    if (!tok_list_add(out, b->symbols[i].id, t->file, why))
      return false;
  return true;
}
