/*
 * json.h - strict JSON: a document to read, change and write back, and a printer for results.
 *
 * Owns: the document, which takes less than four times its text in memory until it is changed. Must
 * not know: what the members mean. Rules: RFC 8259, valid UTF-8, no byte order mark, no two members
 * with one name (after unescaping), at most 32 levels, at most 100,000,000 bytes. Time is n log n
 * in the input. Numbers stay text until asked for, so a document written back keeps them as they
 * were.
 *
 * A value is named by a small number, json_id; 0 is "none", which every getter takes, so look-ups
 * chain:
 *     json_f64(d, json_get(d, json_get(d, json_root(d), "rope_parameters"), "rope_theta"), &v)
 * An id stays valid until the document is freed, also while members are added.
 */
#ifndef QUANT_FILES_JSON_H
#define QUANT_FILES_JSON_H

#include "buf.h"
#include "fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct json_doc json_doc;
typedef uint32_t json_id;

typedef enum json_kind {
  JSON_NONE = 0, /* the kind of id 0 */
  JSON_NULL,
  JSON_FALSE,
  JSON_TRUE,
  JSON_NUMBER,
  JSON_STRING,
  JSON_ARRAY,
  JSON_OBJECT
} json_kind;

enum { JSON_DEPTH_MAX = 32, JSON_BYTES_MAX = 100000000 };

/* ---- documents ---- */

/* Parses `length` bytes. `text` is a malloc'd block with a NUL after them, which the document takes
 * over, also on failure.
 * `file` is copied for messages; `base` is the offset of text[0] in that file, added to every
 * offset in a message. */
bool json_parse(json_doc **out, char *text, size_t length, const char *file, uint64_t base,
                fail *why);

/* Reads and parses `name` in `folder` (SYS_CWD for a plain path); symbolic links are followed. */
bool json_read(json_doc **out, int folder, const char *name, const char *file, fail *why);

/* A new document that is an empty object. */
bool json_new(json_doc **out, const char *file, fail *why);

void json_free(json_doc *d); /* NULL is fine */

json_id json_root(const json_doc *d);
const char *json_file(const json_doc *d); /* the name given for messages */

/* ---- reading ---- */

json_kind json_kind_of(const json_doc *d, json_id v);
uint64_t json_offset(const json_doc *d, json_id v); /* byte offset in the file */
size_t json_count(const json_doc *d, json_id v);    /* items or members, else 0; linear */

/* Walk an array:  for (v = json_first(d, a); v; v = json_next(d, v)) ... v is an item
 * Walk an object: for (m = json_first(d, o); m; m = json_next(d, m)) ... json_text(d, m, &length)
 *                 is the name, json_value(d, m) the value */
json_id json_first(const json_doc *d, json_id container);
json_id json_next(const json_doc *d, json_id v);
json_id json_value(const json_doc *d, json_id member);

/* An object's member by name, in linear time; 0 when `object` is none or has no such member. */
json_id json_get(const json_doc *d, json_id object, const char *name);

/* Unescaped text of a string or member name, NUL-terminated (it may hold NULs too: compare
 * *length), or the text of a number, which is not terminated. NULL for other kinds. `length` may be
 * NULL. */
const char *json_text(const json_doc *d, json_id v, size_t *length);

/* A string without a NUL inside, as C text; NULL otherwise. */
const char *json_string(const json_doc *d, json_id v);
bool json_is(const json_doc *d, json_id v, const char *text); /* is it exactly this string? */

/* FAIL_NONE; FAIL_FORMAT when v is not a number of that form (an integer has no fraction or
 * exponent; json_u64 takes no sign); FAIL_OVERFLOW when it does not fit. `out` is written only on
 * FAIL_NONE. */
fail_kind json_u64(const json_doc *d, json_id v, uint64_t *out);
fail_kind json_i64(const json_doc *d, json_id v, int64_t *out);
fail_kind json_f64(const json_doc *d, json_id v, double *out);

/* A member by name, for configurations. need_: absent is an error; opt_: absent or null leaves *out
 * alone. A value of another kind is an error for both, with the member's name and offset. */
bool json_need_u64(const json_doc *d, json_id object, const char *name, uint64_t *out, fail *why);
bool json_need_string(const json_doc *d, json_id object, const char *name, const char **out,
                      fail *why);
bool json_opt_u64(const json_doc *d, json_id object, const char *name, uint64_t *out, fail *why);
bool json_opt_f64(const json_doc *d, json_id object, const char *name, double *out, fail *why);
bool json_opt_bool(const json_doc *d, json_id object, const char *name, bool *out, fail *why);
bool json_opt_string(const json_doc *d, json_id object, const char *name, const char **out,
                     fail *why);

/* ---- changing ----
 * Each puts a value under `name`: an existing member is replaced where it stands, a new one goes
 * before the first member with a greater name (so a sorted object stays sorted). In an array `name`
 * is NULL and the value goes to the end. They return the value's id. Without memory they return 0,
 * and the document remembers: json_write then fails with FAIL_NOMEM, so a caller may check only
 * there. */
json_id json_put_object(json_doc *d, json_id in, const char *name);
json_id json_put_array(json_doc *d, json_id in, const char *name);
json_id json_put_string(json_doc *d, json_id in, const char *name, const char *text);
json_id json_put_i64(json_doc *d, json_id in, const char *name, int64_t value);
json_id json_put_f64(json_doc *d, json_id in, const char *name, double value);
json_id json_put_bool(json_doc *d, json_id in, const char *name, bool value);
json_id json_put_null(json_doc *d, json_id in, const char *name);
bool json_remove(json_doc *d, json_id object, const char *name); /* was it there? */

/* ---- writing ---- */

/* Adds the document to `to` as json.dumps(value, indent=2, ensure_ascii=ascii) writes it, and a
 * newline. transformers writes config.json with ascii true. */
bool json_write(const json_doc *d, buf *to, bool ascii, fail *why);

/* A printer for results, straight into a buffer: no document is built. Names are NULL inside arrays
 * and at the top.
 *     json_printer p = {.to = &b, .indent = 2};
 *     json_begin(&p, NULL, '{');
 *     json_print_u64(&p, "tensors", 12);
 *     json_end(&p, '}');
 * Objects and arrays nest up to 63 levels. `indent` 0 writes one line without spaces. Errors stick
 * in to->failed. */
typedef struct json_printer {
  buf *to;
  int indent;
  bool ascii;         /* write \uXXXX for all that is not ASCII */
  unsigned depth;     /* the rest is the printer's own; start from zeros */
  uint64_t has_items; /* bit k: level k has an item already */
} json_printer;

void json_begin(json_printer *p, const char *name, char bracket); /* '{' or '[' */
void json_end(json_printer *p, char bracket);                     /* '}' or ']' */
void json_print_string(json_printer *p, const char *name, const char *text);
void json_print_i64(json_printer *p, const char *name, int64_t value);
void json_print_u64(json_printer *p, const char *name, uint64_t value);
void json_print_u64s(json_printer *p, const char *name, const uint64_t *values, size_t count);
void json_print_f64(json_printer *p, const char *name, double value); /* NaN, Inf: null */
void json_print_bool(json_printer *p, const char *name, bool value);
void json_print_null(json_printer *p, const char *name);

/* Adds UTF-8 text in quotes, escaped as Python does it; bytes that are not UTF-8 become U+FFFD. */
void json_quote(buf *to, const char *text, size_t length, bool ascii);

/* The shortest text that reads back as `value`, written as Python's repr does: 1.0, 1e-06, 0.1. */
void json_f64_text(char out[32], double value);

#endif
