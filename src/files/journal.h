/*
 * journal.h - records added at the end of a file, each on the disk before the next thing happens.
 *
 * Owns: the frame of a record (length and CRC-32, little-endian, four bytes each, then the text),
 * the lock that keeps a second process out. Must not know: what records say.
 */
#ifndef QUANT_FILES_JOURNAL_H
#define QUANT_FILES_JOURNAL_H

#include "buf.h"
#include "fail.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct journal journal;

/* Opens `path`, which is made if it is not there, and reads it: a last record that was cut short or
 * is damaged never happened, and the next one takes its place; a damaged one before it is
 * FAIL_FORMAT. With `empty` what the file held is dropped. FAIL_EXISTS: another process has it
 * open. */
bool journal_open(journal **out, const char *path, bool empty, fail *why);
void journal_close(journal *j); /* NULL is fine */

size_t journal_count(const journal *j);
const char *journal_at(const journal *j, size_t i, size_t *length); /* not terminated */

/* Adds a record and flushes it. After a failure the journal takes no more. */
bool journal_add(journal *j, const buf *text, fail *why);

#endif
