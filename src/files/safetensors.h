/*
 * safetensors.h - one safetensors file: strict reader, writer with the reference's exact bytes.
 *
 * Owns: the header rules, the tensor table, the order of a written file. Must not know: shards,
 * models, methods, nor how an output becomes visible (output.h). Not loaded into memory: a tensor's
 * bytes are read when asked for.
 */
#ifndef QUANT_FILES_SAFETENSORS_H
#define QUANT_FILES_SAFETENSORS_H

#include "fail.h"
#include "output.h"
#include "sha256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the reference's order, which decides the order of a written file. */
typedef enum st_dtype {
  ST_BOOL,
  ST_F4,
  ST_F6_E2M3,
  ST_F6_E3M2,
  ST_U8,
  ST_I8,
  ST_F8_E5M2,
  ST_F8_E4M3,
  ST_F8_E8M0,
  ST_F8_E4M3FNUZ,
  ST_F8_E5M2FNUZ,
  ST_I16,
  ST_U16,
  ST_F16,
  ST_BF16,
  ST_I32,
  ST_U32,
  ST_F32,
  ST_C64,
  ST_F64,
  ST_I64,
  ST_U64,
  ST_DTYPES
} st_dtype;

enum { ST_DIMS_MAX = 8, ST_NAME_MAX = 65535 };

unsigned st_dtype_bits(st_dtype t);
const char *st_dtype_name(st_dtype t); /* "BF16" */
bool st_dtype_from_name(const char *name, st_dtype *out);

typedef struct st_tensor {
  const char *name; /* no NUL inside; may be empty. In a table it lives as long as the file */
  st_dtype dtype;
  unsigned ndim; /* 0: a scalar, one element */
  uint64_t shape[ST_DIMS_MAX];
  uint64_t elements; /* from here on filled by the reader or the planner */
  uint64_t bytes;
  uint64_t begin; /* offset from the start of the data */
} st_tensor;

/* Fills `elements` and `bytes` from dtype and shape: at most 8 dimensions, no overflow (also not
 * behind a zero dimension), whole bytes. The text of an error has no file name. */
bool st_measure(st_tensor *t, fail *why);

/* Elements of a file are little-endian, those in memory as the machine has them: turns `bytes` of
 * them from one into the other, which does nothing on most machines. Whole elements only. */
void st_turn(st_dtype t, void *elements, size_t bytes);

/* ---- reading ---- */

typedef struct st_file st_file;

/* Opens and checks the whole header. `path` is kept for messages. Symbolic links are followed. */
bool st_open(st_file **out, const char *path, fail *why);

/* The same for `name` in an open folder; `path` is what messages show. */
bool st_open_at(st_file **out, int folder, const char *name, bool follow, const char *path,
                fail *why);

void st_close(st_file *f); /* NULL is fine */

const char *st_path(const st_file *f);
uint64_t st_file_bytes(const st_file *f);
uint64_t st_data_offset(const st_file *f); /* where the data starts in the file */
size_t st_count(const st_file *f);
const st_tensor *st_at(const st_file *f, size_t i);           /* in the order of offsets */
const st_tensor *st_find(const st_file *f, const char *name); /* NULL when absent */

/* __metadata__: pairs in file order. A value may be NULL when it holds a NUL character. */
size_t st_metadata_count(const st_file *f);
bool st_metadata_at(const st_file *f, size_t i, const char **key, const char **value);
const char *st_metadata(const st_file *f, const char *key); /* NULL when absent */

/* Reads `count` bytes of a tensor from `offset` inside it. A file that became shorter gives
 * FAIL_TRUNCATED. Any number of threads may read one file. */
bool st_read(const st_file *f, const st_tensor *t, uint64_t offset, void *into, size_t count,
             fail *why);

/* What tells this file from others without reading its data. */
typedef struct st_stamp {
  uint64_t bytes;
  int64_t seconds, nanoseconds; /* when it was changed last */
  char header[SHA256_TEXT];
} st_stamp;

bool st_stamp_of(const st_file *f, st_stamp *out, fail *why);

/* ---- writing ---- */

typedef struct st_pair {
  const char *key, *value;
} st_pair;

typedef struct st_writer st_writer;

/* Plans a file: checks names (unique, no "__metadata__"), lays the tensors out (by descending dtype
 * in the order above, then name), prepares the header. Only name, dtype, ndim and shape of
 * `tensors` are read, and copied. Metadata is written in the given order; the usual one is
 * {"format", "pt"}. `path` is for messages. */
bool st_writer_plan(st_writer **out, const st_tensor *tensors, size_t count,
                    const st_pair *metadata, size_t pairs, const char *path, fail *why);

uint64_t st_writer_bytes(const st_writer *w);                    /* of the whole file */
const st_tensor *st_writer_tensor(const st_writer *w, size_t i); /* i as given to plan */

/* Reserves the space in `file` and writes the header. `file` stays the caller's, who commits it at
 * the end. */
bool st_writer_start(st_writer *w, out_file *file, fail *why);

/* Writes `count` bytes of tensor i (as in the list given to plan) from `offset` inside it. Any
 * thread. */
bool st_writer_write(st_writer *w, size_t i, uint64_t offset, const void *from, size_t count,
                     fail *why);

/* The same for elements as this machine has them. */
bool st_writer_elements(st_writer *w, size_t i, uint64_t offset, const void *from, size_t count,
                        fail *why);

/* FAIL_DATA naming a tensor when the bytes written are not the bytes planned: a hole never gets its
 * final name. Call before out_file_commit. */
bool st_writer_finish(st_writer *w, fail *why);

void st_writer_free(st_writer *w); /* NULL is fine */

#endif
