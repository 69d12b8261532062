/*
 * json_scan.h - JSON text as a sequence of tokens, without a document.
 *
 * Owns: the grammar of RFC 8259 and the limits of json.h. Must not know: what the values mean, nor
 * whether names are unique (who keeps them sees that). It asks for no memory and does not recurse.
 * Strings are unescaped where they stand, which works because an escape is never shorter than what
 * it stands for; each gets a NUL behind it.
 */
#ifndef QUANT_FILES_JSON_SCAN_H
#define QUANT_FILES_JSON_SCAN_H

#include "fail.h"
#include "json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum json_role {
  JSON_END,   /* of the text */
  JSON_NAME,  /* of a member; its value is next */
  JSON_VALUE, /* a string, number, word */
  JSON_OPEN,  /* the bracket that begins an array or object: the kind says which */
  JSON_CLOSE
} json_role;

typedef struct json_token {
  json_role role;
  json_kind kind;
  uint32_t at;   /* offset in the text */
  uint32_t size; /* of `text`, in bytes; it may hold NULs */
  char *text;    /* of a string or name, unescaped; of a number, which is not terminated */
} json_token;

typedef struct json_scan {
  char *text;
  size_t at, length;
  const char *file; /* for messages */
  uint64_t base;    /* offset of the text in the file */
  unsigned depth;
  uint32_t objects; /* bit k: level k is an object */
  int state;
  fail *why;
} json_scan;

/* Looks over `text` first: its length, UTF-8, brackets that stay open. `*values` (may be NULL) is
 * an upper bound of the number of values and names, and one more. */
bool json_scan_start(json_scan *s, char *text, size_t length, const char *file, uint64_t base,
                     size_t *values, fail *why);

bool json_scan_next(json_scan *s, json_token *t);

/* After an opening bracket: skips all that is in it, its end included. */
bool json_scan_skip(json_scan *s);

/* Inside an object: an upper bound of the number of members to come, if their names are different.
 */
size_t json_scan_members(const json_scan *s);

/* "FILE: byte N: text", of an offset in the text. Returns false. */
bool json_scan_fails(const json_scan *s, uint32_t at, fail_kind kind, const char *text);

/* As json_u64, of a token. */
fail_kind json_scan_u64(const json_token *t, uint64_t *out);

/* Digits only: FAIL_FORMAT when there is anything else, FAIL_OVERFLOW when the number does not fit.
 */
fail_kind json_digits(const char *text, size_t length, uint64_t *out);

#endif
