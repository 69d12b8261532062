/*
 * tok_decode.c - ids back to text: the contents of the tokens, then the steps of the decoder, each
 * of which makes a list of texts from a list of texts.
 *
 * Owns: those lists. Must not know: how text was cut.
 */
#include "tok_parts.h"

#include "../files/grow.h"
#include "../files/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Texts side by side: text i ends at ends[i]. */
typedef struct texts {
  buf bytes;
  size_t *ends;
  size_t count, capacity;
} texts;

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

static void texts_free(texts *l)
{
  buf_free(&l->bytes);
  free(l->ends);
  *l = (texts){0};
}

/* Ends the text that was added to `bytes` last. A failure sticks there. */
static void end_text(texts *l)
{
  if (l->count == l->capacity) {
    size_t *ends = grown(l->ends, &l->capacity, l->count + 1, sizeof *ends);
    if (ends == NULL) {
      l->bytes.failed = true;
      return;
    }
    l->ends = ends;
  }
  l->ends[l->count++] = l->bytes.length;
}

static const char *text_at(const texts *l, size_t i, size_t *length)
{
  size_t start = i > 0 ? l->ends[i - 1] : 0;
  *length = l->ends[i] - start;
  return *length > 0 ? l->bytes.data + start : "";
}

/* ---- byte level ---- */

/* Bytes that no valid text starts with: as many as could still have become a character (the
 * standard, chapter 3.9, "maximal subparts"). They are replaced by one U+FFFD. */
static size_t broken_length(const unsigned char *at, size_t left)
{
  unsigned char c = at[0];
  size_t want = c < 0xC2 || c > 0xF4 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4, n = 1;
  unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
  unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
  while (n < want && n < left && at[n] >= low && at[n] <= high) {
    low = 0x80;
    high = 0xBF;
    n++;
  }
  return n;
}

static void add_repaired(buf *to, const char *text, size_t length)
{
  for (size_t at = 0; at < length;) {
    size_t good = utf8_check(text + at, length - at);
    buf_add(to, text + at, good);
    at += good;
    if (at < length) {
      buf_text(to, replacement);
      at += broken_length((const unsigned char *)text + at, length - at);
    }
  }
}

/* Each character to its byte; a token with another character in it stays as it is. */
static void add_bytes(buf *to, const char *text, size_t length)
{
  size_t before = to->length;
  for (size_t i = 0; i < length;) {
    uint32_t point;
    size_t n = utf8_step(text + i, length - i, &point);
    int byte = tok_point_byte(point);
    if (byte < 0) {
      to->length = before;
      buf_add(to, text, length);
      return;
    }
    buf_byte(to, (char)(unsigned char)byte);
    i += n;
  }
}

static void from_bytes(const texts *from, texts *to)
{
  buf raw = {0};
  for (size_t i = 0; i < from->count; i++) {
    size_t length;
    const char *text = text_at(from, i, &length);
    add_bytes(&raw, text, length);
  }
  if (raw.length > 0)
    add_repaired(&to->bytes, raw.data, raw.length);
  to->bytes.failed |= raw.failed;
  buf_free(&raw);
  end_text(to);
}

/* ---- the other steps ---- */

static int hex_digit(char c)
{
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* The byte of "<0x0A>", -1 for other text. */
static int named_byte(const char *text, size_t length)
{
  if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
    return -1;
  int high = text[3] == '+' ? 0 : hex_digit(text[3]), low = hex_digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* A run of bytes is one text if it is UTF-8, else U+FFFD for each of them. */
static void end_run(texts *to, buf *run)
{
  if (run->length > 0 && utf8_check(run->data, run->length) == run->length) {
    buf_add(&to->bytes, run->data, run->length);
    end_text(to);
  } else {
    for (size_t i = 0; i < run->length; i++) {
      buf_text(&to->bytes, replacement);
      end_text(to);
    }
  }
  run->length = 0;
}

static void byte_fallback(const texts *from, texts *to)
{
  buf run = {0};
  for (size_t i = 0; i < from->count; i++) {
    size_t length;
    const char *text = text_at(from, i, &length);
    int byte = named_byte(text, length);
    if (byte >= 0) {
      buf_byte(&run, (char)(unsigned char)byte);
      continue;
    }
    end_run(to, &run);
    buf_add(&to->bytes, text, length);
    end_text(to);
  }
  end_run(to, &run);
  to->bytes.failed |= run.failed;
  buf_free(&run);
}

static bool ends_with(const char *text, size_t length, const tok_text *end)
{
  return length >= end->length && memcmp(text + length - end->length, end->bytes, end->length) == 0;
}

static void strip(const tok_step *s, const char *text, size_t length, texts *to)
{
  const tok_text *c = &s->content;
  size_t n = c->length;
  for (uint64_t i = 0; i < s->start && length >= n && memcmp(text, c->bytes, n) == 0; i++) {
    text += n;
    length -= n;
  }
  for (uint64_t i = 0; i < s->stop && ends_with(text, length, c); i++)
    length -= n;
  buf_add(&to->bytes, text, length);
}

static void run_step(const tok_step *s, const texts *from, texts *to)
{
  const tok_step gone = {.pattern = s->pattern, .content = {"", 0}};
  const tok_step space = {.pattern = s->pattern, .content = {" ", 1}};
  if (s->kind == STEP_FROM_BYTES) {
    from_bytes(from, to);
    return;
  }
  if (s->kind == STEP_BYTE_FALLBACK) {
    byte_fallback(from, to);
    return;
  }
  for (size_t i = 0; i < from->count; i++) {
    size_t length;
    const char *text = text_at(from, i, &length);
    if (s->kind == STEP_STRIP)
      strip(s, text, length, to);
    else if (s->kind == STEP_FUSE)
      buf_add(&to->bytes, text, length);
    else
      tok_replace(s->kind == STEP_REPLACE ? s
                  : i == 0 && s->first    ? &gone
                                          : &space,
                  text, length, &to->bytes);
    if (s->kind != STEP_FUSE)
      end_text(to);
  }
  if (s->kind == STEP_FUSE)
    end_text(to);
}

/* ---- the whole ---- */

/* Without a decoder there is a space between tokens. */
static bool contents(const tokenizer *t, const int32_t *ids, size_t count, texts *to, fail *why)
{
  for (size_t i = 0; i < count; i++) {
    const tok_added *a = tok_added_by_id(&t->added, ids[i]);
    size_t id = ids[i] < 0 ? SIZE_MAX : (size_t)ids[i];
    if (a == NULL && (id >= t->vocab.ids || t->vocab.pieces[id].length == TOK_NO_PIECE))
      return fail_set(why, FAIL_NOTFOUND, t->file, "no token has the id %ld", (long)ids[i]);
    if (i > 0 && !t->has_decoder)
      buf_byte(&to->bytes, ' ');
    if (a != NULL)
      buf_add(&to->bytes, a->pattern.bytes, a->pattern.length);
    else
      buf_add(&to->bytes, t->vocab.text + t->vocab.pieces[id].at, t->vocab.pieces[id].length);
    end_text(to);
  }
  return true;
}

bool tok_run_decoder(const tokenizer *t, const int32_t *ids, size_t count, buf *to, fail *why)
{
  texts now = {0};
  bool ok = contents(t, ids, count, &now, why);
  for (size_t i = 0; ok && i < t->decoder.count && !now.bytes.failed; i++) {
    texts next = {0};
    run_step(&t->decoder.items[i], &now, &next);
    texts_free(&now);
    now = next;
  }
  if (ok && now.bytes.length > 0)
    buf_add(to, now.bytes.data, now.bytes.length);
  if (ok && (now.bytes.failed || to->failed))
    ok = fail_memory(why, t->file);
  texts_free(&now);
  return ok;
}
