/*
 * io.h - system calls made whole: loops over short counts, EINTR and the 2 GiB limit of one call.
 *
 * Owns: nothing. Must not know: formats. `file` is only used for the text of an error.
 */
#ifndef QUANT_FILES_IO_H
#define QUANT_FILES_IO_H

#include "fail.h"
#include "system.h"

#include <stddef.h>
#include <stdint.h>

/* Opens `name` in `folder` (SYS_CWD for a plain path) for reading. Only a regular file passes,
 * checked on the open descriptor, so a FIFO cannot make the tool wait. With `follow` false a
 * symbolic link is refused. `*bytes` is the length that every later check uses. */
bool io_open(int *fd, uint64_t *bytes, int folder, const char *name, bool follow, const char *file,
             fail *why);

/* Reads exactly `count` bytes at `offset`; an early end is FAIL_TRUNCATED with the offset. Any
 * thread. */
bool io_read_at(int fd, uint64_t offset, void *into, size_t count, const char *file, fail *why);

/* Writes exactly `count` bytes at `offset`. Any thread. */
bool io_write_at(int fd, uint64_t offset, const void *from, size_t count, const char *file,
                 fail *why);

/* fsync: what was written survives a power cut. */
bool io_flush(int fd, const char *file, fail *why);

/* Reads a whole file of at most `limit` bytes into a new block with a NUL after it; the caller
 * frees it. FAIL_LIMIT when it is larger. */
bool io_read_all(char **text, size_t *length, int folder, const char *name, bool follow,
                 uint64_t limit, const char *file, fail *why);

/* The next name of a folder but "." and ".."; NULL at the end and on failure, which sets `*ok` to
 * false. */
const char *io_next_name(sys_list *list, bool *ok, const char *path, fail *why);

/* The first `length` bytes of a text in a new block; NULL without memory. */
char *io_cut(const char *text, size_t length);

/* "folder/name" in a new block (just "name" when folder is "" or NULL); NULL without memory. */
char *io_join(const char *folder, const char *name);

/* Does a path end in `suffix`, such as ".json"? */
bool io_has_suffix(const char *path, const char *suffix);

#endif
