/*
 * tok_vocab.c - the vocabulary and the merges: read once from JSON, then looked up.
 *
 * Owns: two hash tables with open addressing, at most half full. A file cannot make them slow: what
 * lands further from its place than PROBES_MAX is refused, which no vocabulary meets by chance.
 * Must not know: how a text is cut.
 */
#include "tok_parts.h"

#include <stdlib.h>
#include <string.h>

enum { PROBES_MAX = 1024 };

/* The last step of splitmix64: every bit of the input reaches every bit of the output. */
static uint64_t mix(uint64_t z)
{
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* FNV-1a, mixed. */
static uint64_t hash_text(const char *text, size_t length)
{
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < length; i++)
    h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
  return mix(h);
}

static uint64_t hash_pair(int32_t left, int32_t right)
{
  return mix(((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 0x9e3779b97f4a7c15u);
}

/* Slots for `count` entries, half of them free; a power of two. */
static size_t slots_for(size_t count)
{
  size_t slots = 16;
  while (slots / 2 < count)
    slots *= 2;
  return slots;
}

/* ---- vocabulary ---- */

int32_t tok_vocab_find(const tok_vocab *v, const char *text, size_t length)
{
  uint64_t h = hash_text(text, length);
  for (size_t i = (size_t)(h & v->mask);; i = (i + 1) & v->mask) {
    const tok_name_slot *s = &v->slots[i];
    if (s->id < 0)
      return -1;
    const tok_piece *p = &v->pieces[s->id];
    if (s->tag == (uint32_t)(h >> 32) && p->length == length &&
        memcmp(v->text + p->at, text, length) == 0)
      return s->id;
  }
}

/* The name is new: the JSON parser saw to that. */
static bool put_name(tok_vocab *v, int32_t id, const char *text, size_t length)
{
  uint64_t h = hash_text(text, length);
  size_t i = (size_t)(h & v->mask), probes = 0;
  for (; v->slots[i].id >= 0; i = (i + 1) & v->mask)
    if (++probes > PROBES_MAX)
      return false;
  v->slots[i] = (tok_name_slot){.tag = (uint32_t)(h >> 32), .id = id};
  return true;
}

/* The ids checked, their number, the greatest and the bytes of all names. */
static bool measure(tok_vocab *v, const json_doc *d, json_id object, size_t *bytes, fail *why)
{
  *bytes = 0;
  for (json_id m = json_first(d, object); m != 0; m = json_next(d, m)) {
    size_t length;
    uint64_t id;
    const char *name = json_text(d, m, &length);
    fail_kind kind = json_u64(d, json_value(d, m), &id);
    if (kind == FAIL_FORMAT)
      return fail_set(why, FAIL_FORMAT, json_file(d),
                      "byte %llu: the id of \"%.200s\" is not a non-negative integer",
                      tok_offset(d, m), name);
    if (kind != FAIL_NONE || id >= TOK_IDS_MAX)
      return fail_set(why, FAIL_LIMIT, json_file(d),
                      "byte %llu: the id of \"%.200s\" is too large; ids are below %d",
                      tok_offset(d, m), name, TOK_IDS_MAX);
    *bytes += length;
    v->count++;
    if (v->ids <= id)
      v->ids = (size_t)id + 1;
  }
  return true;
}

bool tok_vocab_read(tok_vocab *v, const json_doc *d, json_id object, fail *why)
{
  size_t bytes, at = 0;
  if (!measure(v, d, object, &bytes, why))
    return false;
  size_t slots = slots_for(v->count);
  v->mask = slots - 1;
  v->text = malloc(bytes + 1);
  v->pieces = malloc((v->ids + 1) * sizeof *v->pieces);
  v->slots = malloc(slots * sizeof *v->slots);
  if (v->text == NULL || v->pieces == NULL || v->slots == NULL)
    return fail_memory(why, json_file(d));
  for (size_t i = 0; i < v->ids; i++)
    v->pieces[i] = (tok_piece){.length = TOK_NO_PIECE};
  for (size_t i = 0; i < slots; i++)
    v->slots[i] = (tok_name_slot){.id = -1};
  for (json_id m = json_first(d, object); m != 0; m = json_next(d, m)) {
    size_t length;
    uint64_t id = 0;
    const char *name = json_text(d, m, &length);
    json_u64(d, json_value(d, m), &id);
    tok_piece *p = &v->pieces[id];
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): measure() saw every id */
    if (p->length != TOK_NO_PIECE)
      return fail_set(why, FAIL_FORMAT, json_file(d),
                      "byte %llu: \"%.200s\" has the id %llu, which another token has",
                      tok_offset(d, m), name, (unsigned long long)id);
    if (!put_name(v, (int32_t)id, name, length))
      return fail_set(why, FAIL_LIMIT, json_file(d), "byte %llu: names made to be slow to look up",
                      tok_offset(d, m));
    *p = (tok_piece){.at = (uint32_t)at, .length = (uint32_t)length};
    memcpy(v->text + at, name, length);
    at += length;
  }
  return true;
}

void tok_vocab_free(tok_vocab *v)
{
  free(v->text);
  free(v->pieces);
  free(v->slots);
}

/* ---- merges ---- */

bool tok_merges_find(const tok_merges *m, int32_t left, int32_t right, uint32_t *rank)
{
  for (size_t i = (size_t)(hash_pair(left, right) & m->mask);; i = (i + 1) & m->mask) {
    const tok_pair_slot *s = &m->slots[i];
    if (s->left < 0)
      return false;
    if (s->left == left && s->right == right) {
      *rank = s->rank;
      return true;
    }
  }
}

/* A pair that is there twice has its later place, as in the library. */
static bool put_pair(tok_merges *m, int32_t left, int32_t right, uint32_t rank)
{
  size_t i = (size_t)(hash_pair(left, right) & m->mask), probes = 0;
  for (; m->slots[i].left >= 0; i = (i + 1) & m->mask) {
    if (m->slots[i].left == left && m->slots[i].right == right)
      break;
    if (++probes > PROBES_MAX)
      return false;
  }
  m->slots[i] = (tok_pair_slot){.left = left, .right = right, .rank = rank};
  return true;
}

/* The two sides of an entry, which is "a b" or ["a", "b"]. */
static bool sides(const json_doc *d, json_id entry, const char *text[2], size_t length[2])
{
  if (json_kind_of(d, entry) == JSON_STRING) {
    size_t all;
    text[0] = json_text(d, entry, &all);
    const char *space = memchr(text[0], ' ', all);
    if (space == NULL)
      return false;
    length[0] = (size_t)(space - text[0]);
    text[1] = space + 1;
    length[1] = all - length[0] - 1;
    return memchr(text[1], ' ', length[1]) == NULL;
  }
  json_id left = json_first(d, entry), right = json_next(d, left);
  if (json_kind_of(d, entry) != JSON_ARRAY || json_count(d, entry) != 2 ||
      json_kind_of(d, left) != JSON_STRING || json_kind_of(d, right) != JSON_STRING)
    return false;
  text[0] = json_text(d, left, &length[0]);
  text[1] = json_text(d, right, &length[1]);
  return true;
}

static bool add_merge(tok_merges *m, const tok_vocab *v, const json_doc *d, json_id entry,
                      uint32_t rank, buf *whole, fail *why)
{
  const char *text[2];
  size_t length[2];
  int32_t id[2];
  if (!sides(d, entry, text, length))
    return fail_set(why, FAIL_FORMAT, json_file(d),
                    "byte %llu: a merge is neither \"a b\" nor [\"a\", \"b\"]",
                    tok_offset(d, entry));
  whole->length = 0;
  for (int i = 0; i < 2; i++) {
    id[i] = tok_vocab_find(v, text[i], length[i]);
    if (id[i] < 0)
      return fail_set(why, FAIL_FORMAT, json_file(d),
                      "byte %llu: \"%.*s\" is merged but not in the vocabulary",
                      tok_offset(d, entry), (int)(length[i] < 200 ? length[i] : 200), text[i]);
    buf_add(whole, text[i], length[i]);
  }
  if (whole->failed)
    return fail_memory(why, json_file(d));
  m->result[rank] = tok_vocab_find(v, whole->data, whole->length);
  if (m->result[rank] < 0)
    return fail_set(why, FAIL_FORMAT, json_file(d),
                    "byte %llu: the result of a merge, \"%.200s\", is not in the vocabulary",
                    tok_offset(d, entry), whole->data);
  if (!put_pair(m, id[0], id[1], rank))
    return fail_set(why, FAIL_LIMIT, json_file(d), "byte %llu: merges made to be slow to look up",
                    tok_offset(d, entry));
  return true;
}

bool tok_merges_read(tok_merges *m, const tok_vocab *v, const json_doc *d, json_id array, fail *why)
{
  size_t count = json_count(d, array), slots = slots_for(count);
  uint32_t rank = 0;
  buf whole = {0};
  bool ok = true;
  m->mask = slots - 1;
  m->result = malloc((count + 1) * sizeof *m->result);
  m->slots = malloc(slots * sizeof *m->slots);
  if (m->result == NULL || m->slots == NULL)
    return fail_memory(why, json_file(d));
  for (size_t i = 0; i < slots; i++)
    m->slots[i] = (tok_pair_slot){.left = -1};
  for (json_id e = json_first(d, array); ok && e != 0; e = json_next(d, e))
    ok = add_merge(m, v, d, e, rank++, &whole, why);
  buf_free(&whole);
  return ok;
}

void tok_merges_free(tok_merges *m)
{
  free(m->result);
  free(m->slots);
}
