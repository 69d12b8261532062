/*
 * tok_parts.h - the inside of a tokenizer, for tok_*.c and tokenizer.c only.
 *
 * A text goes through: added tokens that match as written -> normalizer -> added tokens that match
 * normalized text -> pre-tokenizer -> BPE. The pre-tokenizers of the file are taken apart into the
 * few steps below when it is read.
 */
#ifndef QUANT_MODEL_TOK_PARTS_H
#define QUANT_MODEL_TOK_PARTS_H

#include "tokenizer.h"

#include "../files/json.h"

enum { TOK_IDS_MAX = 1 << 22, TOK_PATTERN_MAX = 1024, TOK_STEPS_MAX = 32 };

typedef struct tok_text {
  char *bytes; /* a NUL follows them */
  size_t length;
} tok_text;

/* A copy of `length` bytes, for the caller to free; false without memory. */
bool tok_text_set(tok_text *to, const char *text, size_t length);

/* Where a value stands in the file, for "%llu" of messages. */
static inline unsigned long long tok_offset(const json_doc *d, json_id v)
{
  return (unsigned long long)json_offset(d, v);
}

/* ---- vocabulary and merges ---- */

typedef struct tok_piece {
  uint32_t at, length; /* in tok_vocab.text; length TOK_NO_PIECE: no token has this id */
} tok_piece;

#define TOK_NO_PIECE UINT32_MAX

typedef struct tok_name_slot {
  uint32_t tag; /* some bits of the hash: spares most comparisons */
  int32_t id;   /* -1: free */
} tok_name_slot;

typedef struct tok_vocab {
  char *text;
  tok_piece *pieces;
  size_t count, ids; /* tokens; greatest id + 1 */
  tok_name_slot *slots;
  size_t mask;
} tok_vocab;

typedef struct tok_pair_slot {
  int32_t left, right; /* left -1: free */
  uint32_t rank;
} tok_pair_slot;

typedef struct tok_merges {
  int32_t *result; /* by rank */
  tok_pair_slot *slots;
  size_t mask;
} tok_merges;

bool tok_vocab_read(tok_vocab *v, const json_doc *d, json_id object, fail *why);
void tok_vocab_free(tok_vocab *v);
int32_t tok_vocab_find(const tok_vocab *v, const char *text, size_t length); /* -1: none */
bool tok_merges_read(tok_merges *m, const tok_vocab *v, const json_doc *d, json_id array,
                     fail *why);
void tok_merges_free(tok_merges *m);
/* The place of a pair in the list of merges; false when they are not merged. */
bool tok_merges_find(const tok_merges *m, int32_t left, int32_t right, uint32_t *rank);

/* ---- steps: normalizers, pre-tokenizers, decoders ---- */

typedef enum tok_step_kind {
  STEP_NONE = 0,
  STEP_PREPEND,       /* content, before any text */
  STEP_REPLACE,       /* pattern by content */
  STEP_NFC,           /* canonical composition */
  STEP_PREFIX,        /* content, before text that does not start with it */
  STEP_SPLIT,         /* into pieces */
  STEP_TO_BYTES,      /* each byte to its character of the byte-level alphabet */
  STEP_FROM_BYTES,    /* back, all tokens into one */
  STEP_BYTE_FALLBACK, /* "<0x0A>" back to bytes */
  STEP_FUSE,          /* all tokens into one */
  STEP_STRIP,         /* up to start and stop times the character `content` from each token */
  STEP_METASPACE      /* the character `pattern` to a space; with `first` not in the first token */
} tok_step_kind;

typedef enum tok_match_kind {
  MATCH_STRING, /* `pattern` */
  MATCH_NUMBER, /* one \p{N} */
  MATCH_GPT2,
  MATCH_LLAMA3,
  MATCH_QWEN2
} tok_match_kind;

/* What becomes of a match and of the text between matches. */
typedef enum tok_behavior {
  SPLIT_REMOVED,
  SPLIT_ISOLATED,
  SPLIT_WITH_PREVIOUS,
  SPLIT_WITH_NEXT,
  SPLIT_CONTIGUOUS
} tok_behavior;

typedef struct tok_step {
  tok_step_kind kind;
  tok_text pattern, content;
  tok_match_kind match;
  tok_behavior behavior;
  bool invert; /* matches and text between them change places */
  bool first;  /* STEP_PREFIX: only where the whole text starts */
  uint64_t start, stop;
} tok_step;

typedef struct tok_steps {
  tok_step items[TOK_STEPS_MAX];
  size_t count;
} tok_steps;

void tok_steps_free(tok_steps *s);
bool tok_read_normalizer(tok_steps *s, const json_doc *d, json_id v, fail *why);
bool tok_read_pre_tokenizer(tok_steps *s, const json_doc *d, json_id v, fail *why);
bool tok_read_decoder(tok_steps *s, const json_doc *d, json_id v, fail *why);

/* Where `text` holds `pattern`, from `from` on; `length` when nowhere. */
size_t tok_find(const char *text, size_t length, size_t from, const tok_text *pattern);
/* Adds `text` with each `pattern` replaced by `content`. */
void tok_replace(const tok_step *s, const char *text, size_t length, buf *to);
/* Runs the normalizer; the result is in one of `work`, or the text itself. False: no memory. */
bool tok_normalize(const tok_steps *s, const char **text, size_t *length, buf work[2]);

/* Calls `piece` for each piece that a STEP_SPLIT makes, none of them empty, until it says false. */
typedef bool (*tok_piece_fn)(void *context, const char *text, size_t length);
bool tok_split(const tok_step *s, const char *text, size_t length, tok_piece_fn piece,
               void *context);

/* The byte-level alphabet of GPT-2: the code point of a byte, and the byte of one, -1: none. */
uint32_t tok_byte_point(unsigned char byte);
int tok_point_byte(uint32_t point);

bool tok_run_decoder(const tokenizer *t, const int32_t *ids, size_t count, buf *to, fail *why);

/* ---- added tokens ---- */

typedef struct tok_added {
  tok_text content;
  tok_text pattern; /* what is looked for: the content, normalized if `normalized` */
  int32_t id;
  bool single_word, lstrip, rstrip, normalized;
} tok_added;

typedef struct tok_set {
  const tok_added **items; /* by pattern */
  size_t count;
  size_t first[257]; /* those whose pattern starts with byte b are items first[b] .. first[b+1]-1 */
} tok_set;

typedef struct tok_added_list {
  tok_added *items;
  size_t count;
  const tok_added **by_id, **by_content;
  tok_set plain, normalized; /* looked for in the text as it is, and after the normalizer */
} tok_added_list;

bool tok_added_read(tokenizer *t, const json_doc *d, json_id array, fail *why);
void tok_added_free(tok_added_list *a);
const tok_added *tok_added_by_id(const tok_added_list *a, int32_t id);                /* or NULL */
const tok_added *tok_added_by_content(const tok_added_list *a, const char *, size_t); /* or NULL */

/* The longest pattern at the first place from `*start` on where there is one. */
const tok_added *tok_set_next(const tok_set *s, const char *text, size_t length, size_t *start,
                              size_t *end);

/* ---- the model ---- */

struct tokenizer {
  char *file;
  tok_vocab vocab;
  tok_merges merges;
  tok_added_list added;
  tok_steps normalizer, pre_tokenizer, decoder;
  bool has_decoder;
  bool byte_fallback, fuse_unk, ignore_merges;
  char *unk;            /* content of unk_token, NULL: characters without a token are dropped */
  int32_t unk_id;       /* -1: not in the vocabulary, an error only where it is needed */
  int32_t byte_id[256]; /* ids of "<0x00>" .. "<0xFF>", -1: none */
  size_t size;
};

typedef struct tok_symbol {
  int32_t id;         /* -1: merged into the one before it */
  int32_t prev, next; /* -1: none */
} tok_symbol;

/* Space to work in, kept from word to word. Zeros to start with. */
typedef struct tok_bpe {
  tok_symbol *symbols;
  size_t count, capacity;
  uint64_t *heap; /* rank << 32 | place of the left symbol */
  size_t waiting, room;
} tok_bpe;

void tok_bpe_free(tok_bpe *b);
bool tok_bpe_encode(const tokenizer *t, tok_bpe *b, const char *text, size_t length,
                    token_list *out, fail *why);

bool tok_list_add(token_list *l, int32_t id, const char *file, fail *why);

#endif
