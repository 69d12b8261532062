/*
 * c_source.h - constant arrays as C source.
 *
 * Owns: names, numbers, lines. Must not know: what the arrays mean, files. Text is added to a buf;
 * the same bytes give the same text on every machine.
 */
#ifndef QUANT_COMMANDS_C_SOURCE_H
#define QUANT_COMMANDS_C_SOURCE_H

#include "../files/buf.h"
#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest name. C promises to tell 63 characters apart; compilers in use take any number. */
enum { C_NAME_MAX = 200 };

/* Is it a name of C, and no keyword? */
bool c_is_name(const char *text);

/* PREFIX_ and the name of a tensor with all but letters, digits and '_' made '_', less ".weight" at
 * its end. FAIL_LIMIT when that is longer than C_NAME_MAX. */
bool c_name(const char *prefix, const char *tensor, char out[C_NAME_MAX + 1], fail *why);

/* Element types of arrays. */
typedef enum c_type { C_I8, C_U8, C_I16, C_U16, C_I32, C_F32 } c_type;

size_t c_type_bytes(c_type type);
const char *c_type_name(c_type type); /* "int8_t" */

/* "LINKAGE TYPE NAME[COUNT] = {...};". An empty array, which C has not, gives nothing. Elements are
 * at any address. */
void c_array(buf *to, const char *linkage, c_type type, const char *name, const char *suffix,
             const void *data, size_t count);

/* One number as a constant: floats exactly, in hexadecimal. Finite ones only. */
void c_float(buf *to, float x);

/* The text of a comment: what would end it is taken apart, what is not printable becomes '?'. */
void c_comment_text(buf *to, const char *text);

#endif
