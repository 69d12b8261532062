/*
 * out_path.h - names beside a target, for out_*.c and job*.c only.
 *
 * Owns: how a temporary name looks. Must not know: what is written.
 */
#ifndef QUANT_FILES_OUT_PATH_H
#define QUANT_FILES_OUT_PATH_H

#include "fail.h"

#include <stdbool.h>

/* Copies of the folder of `path` ("." when it names none) and its last part, without slashes at the
 * end. Empty, "." and ".." as last part are FAIL_USAGE. Free both. */
bool out_split(const char *path, char **folder, char **name, fail *why);

/* `path` without slashes at its end, and `end` after it, in a new block; NULL without memory. */
char *out_trimmed(const char *path, const char *end);

/* "folder/.<name>.<what>.<pid>.<n>" in a new block; NULL without memory. */
char *out_beside(const char *folder, const char *name, const char *what, unsigned n);

enum { OUT_TRIES = 100 }; /* values of n to try when a name is taken */

/* Opens a new file beside `path` (in its folder, named after it) for reading and writing, and locks
 * it, so that others see that it is in use. `*temp` is its name in a new block. `shown` is for
 * messages. */
bool out_open_temp(int *fd, char **temp, const char *folder, const char *name, const char *shown,
                   fail *why);

/* fsync on a folder, so that the names in it survive a power cut. `path` is for messages. */
bool out_sync_folder(const char *folder, const char *path, fail *why);

#endif
