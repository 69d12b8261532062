/*
 * output.h - output that appears whole or not at all.
 *
 * Owns: temporary names, their removal, the order write - fsync - rename - fsync of the folder.
 * Must not know: formats. A target that exists is refused with FAIL_EXISTS unless `force`; then it
 * is replaced at commit, not before. A commit consumes its handle and sets the caller's pointer to
 * NULL whatever happens; an abort takes NULL. So:
 *
 *     out_folder *to = NULL;
 *     ...
 *     if (!out_folder_commit(&to, why)) goto fail;
 *     return true;
 *   fail:
 *     out_folder_abort(to);
 */
#ifndef QUANT_FILES_OUTPUT_H
#define QUANT_FILES_OUTPUT_H

#include "fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct out_file out_file;
typedef struct out_folder out_folder;

/* ---- one file ---- */

/* Starts a file that will be `path`: a temporary ".<name>.tmp.<pid>.<n>" beside it, which commit
 * renames. Those that killed processes left there are removed. An old target must be a regular file
 * (or a link, which is replaced, not followed). */
bool out_file_create(out_file **out, const char *path, bool force, fail *why);

/* Starts a file inside a folder that is itself being built; it has its final name at once, because
 * the folder is still hidden. `name` is a plain file name. Different files of a folder may be
 * written by different threads, but are created and committed by one thread at a time. */
bool out_file_create_in(out_file **out, out_folder *folder, const char *name, fail *why);

/* Makes sure that `bytes` fit on the disk before hours of work. The file is then that long: write
 * all of it. */
bool out_reserve(out_file *f, uint64_t bytes, fail *why);

/* Writes at an absolute offset. Any thread. */
bool out_write_at(out_file *f, uint64_t offset, const void *from, size_t count, fail *why);

/* Writes after what was appended so far. One thread. */
bool out_append(out_file *f, const void *from, size_t count, fail *why);

/* A file without a name on the disk that `beside` will be on, to write and read back: whatever
 * happens, nothing stays. */
bool out_nameless(int *fd, const char *beside, fail *why);

const char *out_file_path(const out_file *f); /* the final path, for messages */

bool out_file_commit(out_file **f, fail *why);
void out_file_abort(out_file *f);

/* ---- a folder of plain files ---- */

/* Starts a folder that will be `path`, built as a hidden sibling, or in the folder `hidden`, which
 * is then left alone by an abort. With `force` an old folder is
 * replaced at commit, but only one that is empty or looks like a model (config.json or a
 * *.safetensors in it) and has no folders inside. */
bool out_folder_create(out_folder **out, const char *path, const char *hidden, bool force,
                       fail *why);

/* Copies a regular file (links are followed) into the folder in fixed pieces; polls the interrupt
 * flag. */
bool out_folder_copy(out_folder *to, int from_folder, const char *name, const char *shown,
                     fail *why);

/* A whole small file at once. */
bool out_folder_put(out_folder *to, const char *name, const void *bytes, size_t count, fail *why);

const char *out_folder_path(const out_folder *f); /* the final path */

/* The names in it are on the disk. */
bool out_folder_sync(const out_folder *f, fail *why);

/* Bytes that are free where an output of that path would be; UINT64_MAX when nobody knows. */
uint64_t out_space(const char *path);

bool out_folder_commit(out_folder **f, fail *why);
void out_folder_abort(out_folder *f);

/* Refuses (FAIL_USAGE) an output that is the input, or lies inside the input folder, however the
 * two are spelled. */
bool out_check_distinct(const char *input, const char *output, fail *why);

#endif
