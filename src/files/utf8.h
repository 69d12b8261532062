/*
 * utf8.h - UTF-8. Owns: what is valid (no overlong forms, no surrogates, nothing above U+10FFFF)
 * and what is safe to print. Must not know: who asks.
 */
#ifndef QUANT_FILES_UTF8_H
#define QUANT_FILES_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1 to 4) of the character at `at`, `left` > 0 bytes before the end, and its code
 * point; 0 when the bytes are not valid. */
size_t utf8_read(const char *at, size_t left, uint32_t *point);

/* The same, but of bytes that are not valid one, as U+FFFD: for text that was checked, or is taken
 * as it comes. */
size_t utf8_step(const char *at, size_t left, uint32_t *point);

/* Writes a code point that is no surrogate; returns the number of bytes, 1 to 4. */
size_t utf8_write(char *to, uint32_t point);

/* Offset of the first byte that is not part of valid UTF-8; `length` when all is valid. */
size_t utf8_check(const char *text, size_t length);

/* Copies `from` into `room` bytes (at least 8) so that a terminal shows it and does not act on it:
 * control characters, marks that reorder text and bytes that are not UTF-8 become \n or \xHH. What
 * does not fit is replaced by "...". */
void utf8_printable(char *to, size_t room, const char *from);

/* Columns the text takes, one for each character. */
size_t utf8_columns(const char *text);

#endif
