/*
 * tok_unicode.h - what the tokenizer must know of Unicode: four classes of characters, and
 * canonical composition (NFC).
 *
 * Owns: look-ups in the generated tables. Must not know: tokenizers.
 */
#ifndef QUANT_MODEL_TOK_UNICODE_H
#define QUANT_MODEL_TOK_UNICODE_H

#include "../files/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOK_LETTER = 1, TOK_NUMBER = 2, TOK_SPACE = 4, TOK_WORD = 8 };

typedef struct tok_class_range {
  uint32_t first, last, classes;
} tok_class_range;

typedef struct tok_ccc_range {
  uint32_t first, last, ccc;
} tok_ccc_range;

typedef struct tok_single {
  uint32_t whole, part;
} tok_single;

typedef struct tok_pair {
  uint32_t whole, left, right;
} tok_pair;

/* Generated, each sorted by its first column; tok_compositions holds places in tok_pairs, sorted by
 * what is left and right there. */
extern const tok_class_range tok_class_ranges[];
extern const size_t tok_class_ranges_count;
extern const tok_ccc_range tok_ccc_ranges[];
extern const size_t tok_ccc_ranges_count;
extern const tok_single tok_singles[];
extern const size_t tok_singles_count;
extern const tok_pair tok_pairs[];
extern const size_t tok_pairs_count;
extern const uint16_t tok_compositions[];
extern const size_t tok_compositions_count;

/* TOK_LETTER: \p{L}, TOK_NUMBER: \p{N}, TOK_SPACE: \s, TOK_WORD: \w; a sum of these. Unicode 16. */
uint32_t tok_classes(uint32_t point);

/* Adds the canonical composition (UAX 15, Unicode 9) of valid UTF-8 to `to`, in time n log n.
 * False: no memory. */
bool tok_nfc(const char *text, size_t length, buf *to);

#endif
