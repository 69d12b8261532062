/* tok_unicode.c - see tok_unicode.h. */
#include "tok_unicode.h"

#include "../files/grow.h"
#include "../files/utf8.h"

#include <stdlib.h>

uint32_t tok_classes(uint32_t point)
{
  size_t low = 0, high = tok_class_ranges_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (tok_class_ranges[middle].last < point)
      low = middle + 1;
    else
      high = middle;
  }
  bool inside = low < tok_class_ranges_count && tok_class_ranges[low].first <= point;
  return inside ? tok_class_ranges[low].classes : 0;
}

/* ---- canonical composition: UAX 15, and chapter 3.12 of the standard for Hangul ---- */

enum {
  L_BASE = 0x1100,
  V_BASE = 0x1161,
  T_BASE = 0x11A7,
  S_BASE = 0xAC00,
  L_COUNT = 19,
  V_COUNT = 21,
  T_COUNT = 28,
  S_COUNT = L_COUNT * V_COUNT * T_COUNT
};

typedef struct mark {
  uint32_t point, ccc;
  size_t order; /* qsort is not stable */
} mark;

typedef struct composer {
  buf *to;
  uint32_t starter; /* the last character of class 0, not written yet: more may join it */
  bool has_starter;
  mark *marks; /* what came after it, all of classes other than 0 */
  size_t count, capacity;
} composer;

static uint32_t combining_class(uint32_t point)
{
  size_t low = 0, high = tok_ccc_ranges_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (tok_ccc_ranges[middle].last < point)
      low = middle + 1;
    else
      high = middle;
  }
  bool inside = low < tok_ccc_ranges_count && tok_ccc_ranges[low].first <= point;
  return inside ? tok_ccc_ranges[low].ccc : 0;
}

/* The composite of two characters, 0 when there is none. */
static uint32_t compose(uint32_t left, uint32_t right)
{
  uint32_t l = left - L_BASE, v = right - V_BASE, s = left - S_BASE, t = right - T_BASE;
  if (l < L_COUNT && v < V_COUNT)
    return S_BASE + (l * V_COUNT + v) * T_COUNT;
  if (s < S_COUNT && s % T_COUNT == 0 && t > 0 && t < T_COUNT)
    return left + t;
  size_t low = 0, high = tok_compositions_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const tok_pair *p = &tok_pairs[tok_compositions[middle]];
    if (p->left == left && p->right == right)
      return p->whole;
    if (p->left < left || (p->left == left && p->right < right))
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

static void write_point(composer *c, uint32_t point)
{
  char bytes[4];
  buf_add(c->to, bytes, utf8_write(bytes, point));
}

static int by_class(const void *a, const void *b)
{
  const mark *x = a, *y = b;
  if (x->ccc != y->ccc)
    return x->ccc < y->ccc ? -1 : 1;
  return (x->order > y->order) - (x->order < y->order);
}

/* Sorts the marks and joins to the starter those that nothing blocks; the others stay. */
static void join_marks(composer *c)
{
  size_t kept = 0;
  if (c->count > 1)
    qsort(c->marks, c->count, sizeof *c->marks, by_class);
  for (size_t i = 0; i < c->count; i++) {
    mark m = c->marks[i];
    bool blocked = !c->has_starter || (kept > 0 && c->marks[kept - 1].ccc >= m.ccc);
    uint32_t whole = blocked ? 0 : compose(c->starter, m.point);
    if (whole != 0)
      c->starter = whole;
    else
      c->marks[kept++] = m;
  }
  c->count = kept;
}

static void flush(composer *c)
{
  if (c->has_starter)
    write_point(c, c->starter);
  for (size_t i = 0; i < c->count; i++)
    write_point(c, c->marks[i].point);
  c->has_starter = false;
  c->count = 0;
}

static void add_mark(composer *c, uint32_t point, uint32_t ccc)
{
  if (c->count == c->capacity) {
    mark *marks = grown(c->marks, &c->capacity, c->count + 1, sizeof *marks);
    if (marks == NULL) {
      c->to->failed = true;
      return;
    }
    c->marks = marks;
  }
  c->marks[c->count] = (mark){.point = point, .ccc = ccc, .order = c->count};
  c->count++;
}

/* The next character of the decomposed text. */
static void add_point(composer *c, uint32_t point)
{
  uint32_t ccc = combining_class(point);
  if (ccc != 0) {
    add_mark(c, point, ccc);
    return;
  }
  join_marks(c);
  uint32_t whole = c->has_starter && c->count == 0 ? compose(c->starter, point) : 0;
  if (whole == 0)
    flush(c);
  c->starter = whole != 0 ? whole : point;
  c->has_starter = true;
}

/* The canonical mapping of one character: how many parts, 0 when it stands for itself. */
static int split_point(uint32_t point, uint32_t part[2])
{
  size_t low = 0, high = tok_pairs_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (tok_pairs[middle].whole == point) {
      part[0] = tok_pairs[middle].left;
      part[1] = tok_pairs[middle].right;
      return 2;
    }
    if (tok_pairs[middle].whole < point)
      low = middle + 1;
    else
      high = middle;
  }
  for (low = 0, high = tok_singles_count; low < high;) {
    size_t middle = low + (high - low) / 2;
    if (tok_singles[middle].whole == point) {
      part[0] = tok_singles[middle].part;
      return 1;
    }
    if (tok_singles[middle].whole < point)
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

static void add_decomposed(composer *c, uint32_t point)
{
  uint32_t s = point - S_BASE, part[2], waiting[8];
  size_t n = 0;
  if (s < S_COUNT) {
    add_point(c, L_BASE + s / (V_COUNT * T_COUNT));
    add_point(c, V_BASE + s / T_COUNT % V_COUNT);
    if (s % T_COUNT != 0)
      add_point(c, T_BASE + s % T_COUNT);
    return;
  }
  for (;;) { /* only what stands left is split again; four deep at most in the standard */
    int parts = split_point(point, part);
    if (parts == 2)
      waiting[n++] = part[1];
    if (parts > 0) {
      point = part[0];
      continue;
    }
    add_point(c, point);
    if (n == 0)
      return;
    point = waiting[--n];
  }
}

/* Below U+00C0 no character is a mark or has parts. All of such a run but its last character, which
 * a mark may join, is copied. Returns its length. */
static size_t copy_plain(composer *c, const char *text, size_t length)
{
  size_t n = 0;
  while (n < length && (unsigned char)text[n] < 0x80)
    n++;
  if (n < 2)
    return 0;
  join_marks(c);
  flush(c);
  buf_add(c->to, text, n - 1);
  return n - 1;
}

bool tok_nfc(const char *text, size_t length, buf *to)
{
  composer c = {.to = to};
  for (size_t i = 0; i < length;) {
    uint32_t point;
    i += copy_plain(&c, text + i, length - i);
    i += utf8_step(text + i, length - i, &point);
    add_decomposed(&c, point);
  }
  join_marks(&c);
  flush(&c);
  free(c.marks);
  return !to->failed;
}
