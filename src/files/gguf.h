/*
 * gguf.h - one GGUF file, versions 2 and 3: strict reader.
 *
 * Owns: the rules of the container, the tensor table, the metadata. Must not know: what a key
 * means, save general.alignment; what is in a block of numbers (the library tells its size).
 *
 * Only names, and for each key where its value lies, are kept in memory: at most four times the
 * bytes of the file, whatever its counts promise. Values and tensors are read when asked for. Time
 * is n log n in the bytes in front of the data; nothing recurses.
 */
#ifndef QUANT_FILES_GGUF_H
#define QUANT_FILES_GGUF_H

#include "fail.h"
#include "safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GGUF_NAME_MAX = 64,
  GGUF_KEY_MAX = 65535,
  GGUF_DIMS_MAX = 4,
  GGUF_COUNT_MAX = 1 << 20, /* of tensors, of keys */
  GGUF_ITEMS_MAX = 1 << 30, /* of an array; bytes of a string */
  GGUF_ALIGNMENT_MAX = 1 << 20
};

/* The numbers of the format. */
typedef enum gguf_type {
  GGUF_U8,
  GGUF_I8,
  GGUF_U16,
  GGUF_I16,
  GGUF_U32,
  GGUF_I32,
  GGUF_F32,
  GGUF_BOOL,
  GGUF_STRING,
  GGUF_ARRAY,
  GGUF_U64,
  GGUF_I64,
  GGUF_F64,
  GGUF_TYPES
} gguf_type;

const char *gguf_type_name(gguf_type t); /* "U32" */

typedef struct gguf_value {
  const char *key; /* UTF-8, not empty */
  uint16_t type;   /* gguf_type */
  uint16_t item;   /* of an array: the type of its items, never GGUF_ARRAY */
  uint64_t count;  /* items of an array, bytes of a string, else 1 */
  uint64_t at;     /* where in the file the first of them starts */
} gguf_value;

/* Dimensions are those of row-major order: the last one is contiguous, which is the first in the
 * file. */
typedef struct gguf_tensor {
  st_tensor as; /* as a safetensors file would have it; blocks are U8, a row of them the last
                   dimension */
  int32_t type; /* as lq_ggml_type_info counts */
  bool blocks;  /* of several elements */
} gguf_tensor;

typedef struct gguf_file gguf_file;

/* Opens and checks everything in front of the data. `path` is kept for messages. */
bool gguf_open(gguf_file **out, const char *path, fail *why);

/* The same in memory, which must stay; `name` is what messages show. */
bool gguf_open_memory(gguf_file **out, const void *bytes, size_t size, const char *name, fail *why);

void gguf_close(gguf_file *f); /* NULL is fine */

/* Does a file begin with "GGUF"? False also where it cannot be read. */
bool gguf_is(const char *path);

const char *gguf_path(const gguf_file *f);
uint32_t gguf_version(const gguf_file *f);
uint64_t gguf_file_bytes(const gguf_file *f);
uint64_t gguf_data_offset(const gguf_file *f);

/* ---- tensors, in the order of the file ---- */

size_t gguf_count(const gguf_file *f);
const gguf_tensor *gguf_at(const gguf_file *f, size_t i);

/* Reads `count` bytes of a tensor from `offset` inside it. Any number of threads may read one file.
 */
bool gguf_read(const gguf_file *f, const st_tensor *t, uint64_t offset, void *into, size_t count,
               fail *why);

/* ---- metadata, in the order of the file ---- */

size_t gguf_key_count(const gguf_file *f);
const gguf_value *gguf_key_at(const gguf_file *f, size_t i);
const gguf_value *gguf_find_key(const gguf_file *f, const char *key); /* NULL when absent; linear */

/* The value as text: a number, true or false, or the bytes of a string, to which a NUL is added; to
 * be freed. Of an array item `i`, which takes time linear in i where items are strings. */
bool gguf_text(const gguf_file *f, const gguf_value *v, uint64_t i, char **out, size_t *length,
               fail *why);

/* Values of one type by key. need_: absent is an error; opt_: absent leaves *out alone. A value of
 * another type is an error for both; an unsigned integer may have any width. Strings must not hold
 * a NUL, and are to be freed. */
bool gguf_need_u64(const gguf_file *f, const char *key, uint64_t *out, fail *why);
bool gguf_opt_u64(const gguf_file *f, const char *key, uint64_t *out, fail *why);
bool gguf_opt_f64(const gguf_file *f, const char *key, double *out, fail *why); /* F32 or F64 */
bool gguf_opt_bool(const gguf_file *f, const char *key, bool *out, fail *why);
bool gguf_opt_string(const gguf_file *f, const char *key, char **out, fail *why);

/* A whole array in memory. */
typedef struct gguf_array {
  unsigned char *bytes; /* items of the file, strings with their lengths */
  uint64_t size, count;
} gguf_array;

/* An array of that item type; FAIL_NOTFOUND when absent. */
bool gguf_load(const gguf_file *f, const char *key, gguf_type item, gguf_array *out, fail *why);
void gguf_array_free(gguf_array *a); /* zeros are fine */

/* Item by item: the string at byte `*at` of a loaded array of strings, which then moves on. */
const char *gguf_next_string(const gguf_array *a, uint64_t *at, size_t *length);
float gguf_f32_at(const gguf_array *a, uint64_t i);
int32_t gguf_i32_at(const gguf_array *a, uint64_t i);

#endif
