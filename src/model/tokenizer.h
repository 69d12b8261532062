/*
 * tokenizer.h - text to token ids and back, as the file tokenizer.json of a model says.
 *
 * Owns: the vocabulary, the merges and the steps around them. Must not know: models, prompts.
 *
 * Ids and text are those of Hugging Face's `tokenizers` library, release 0.23, called with
 * add_special_tokens=False and skip_special_tokens=False. "truncation", "padding" and
 * "post_processor" of the file are not looked at. What is read:
 *   model          BPE, with byte_fallback, unk_token, fuse_unk, ignore_merges
 *   added_tokens   with all their flags
 *   normalizer     null, Sequence, Prepend, Replace (of a string), NFC
 *   pre_tokenizer  null, Sequence, ByteLevel, Metaspace, Digits, Split on a string or on the
 *                  regular expression of GPT-2, Llama 3 or Qwen 2, known by their exact text
 *   decoder        null, Sequence, ByteLevel, Metaspace, Replace (of a string), ByteFallback, Fuse,
 *                  Strip
 * All else is FAIL_UNSUPPORTED and named, so text is never cut in another way than the model was
 * trained on. Files that the library takes and this refuses:
 *   - an added token whose id is not the one of its content in the vocabulary, else the next free
 *     one: the library gives it that id, with a warning;
 *   - added tokens that the normalizer makes equal or empty: which one it finds is left to chance;
 *   - Metaspace with prepend_scheme "first" after steps that insert, remove or cut text.
 * One difference in ids is known: its Digits knows the 13 numbers that are new in Unicode 17.
 *
 * Limits: ids below 4,194,304, added tokens and patterns of 1,024 bytes, 32 steps of each kind,
 * JSON as in json.h.
 */
#ifndef QUANT_MODEL_TOKENIZER_H
#define QUANT_MODEL_TOKENIZER_H

#include "../files/buf.h"
#include "../files/fail.h"
#include "../files/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How Llama 3 and Qwen 2 cut text before merging, as their files write it. */
#define TOKENIZER_WORDS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define TOKENIZER_REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TOKENIZER_LLAMA3 TOKENIZER_WORDS "\\p{N}{1,3}" TOKENIZER_REST
#define TOKENIZER_QWEN2 TOKENIZER_WORDS "\\p{N}" TOKENIZER_REST

typedef struct tokenizer tokenizer;

/* Reads `name` ("tokenizer.json") in the open folder `folder` (SYS_CWD for a plain path); `file`
 * is the name for messages. */
bool tokenizer_open(tokenizer **out, int folder, const char *name, const char *file, fail *why);

/* The same from such a file that is in memory; the document is not needed afterwards. */
bool tokenizer_make(tokenizer **out, const json_doc *d, const char *file, fail *why);
void tokenizer_close(tokenizer *t); /* NULL is fine */

/* Ids are below this, added tokens included. */
size_t tokenizer_size(const tokenizer *t);

/* Start from zeros: `token_list l = {0};`. */
typedef struct token_list {
  int32_t *ids;
  size_t count, capacity;
} token_list;

void token_list_free(token_list *l); /* back to zeros */

/* Appends the ids of `length` bytes of UTF-8. No special tokens are put around them; those inside
 * the text are recognized as the file says. Text that is not valid UTF-8 is FAIL_FORMAT with the
 * byte offset. Takes time n log n. On failure `out` keeps what it held. Any thread, each with its
 * own `out`. */
bool tokenizer_encode(const tokenizer *t, const char *text, size_t length, token_list *out,
                      fail *why);

/* Appends the text of `count` ids; skips nothing. An id that no token has is FAIL_NOTFOUND. Bytes
 * that do not add up to UTF-8 become U+FFFD, so text that is made bit by bit is decoded as a whole.
 * On failure `to` keeps what it held. Any thread. */
bool tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t count, buf *to, fail *why);

/* Id of a token by its content ("</s>"), -1 if there is none. */
int32_t tokenizer_id(const tokenizer *t, const char *content);

#endif
