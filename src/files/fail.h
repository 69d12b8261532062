/*
 * fail.h - the error value of the tool.
 *
 * Owns: the kinds of failure, the one-line text, and its escaping. Must not know: who prints it
 * (only main does, as "quant: error: TEXT"), nor any file format.
 *
 * Convention of the whole tool: a function that can fail returns bool (true: done) and takes a
 * `fail *why` last. `why` is written only on failure. fail_set() returns false, so that a check is
 * one line:
 *
 *     if (count > limit) return fail_set(why, FAIL_LIMIT, path, "%zu tensors; the limit is %zu",
 * count, limit);
 */
#ifndef QUANT_FILES_FAIL_H
#define QUANT_FILES_FAIL_H

#include <stdbool.h>

typedef enum fail_kind {
  FAIL_NONE = 0,
  FAIL_TRUNCATED,   /* the file ends early */
  FAIL_FORMAT,      /* the bytes break a rule of the format */
  FAIL_LIMIT,       /* a documented limit is exceeded */
  FAIL_OVERFLOW,    /* a size does not fit */
  FAIL_UNSUPPORTED, /* valid elsewhere, not read here */
  FAIL_DATA,        /* the weights themselves: NaN, infinity, or what the library refuses */
  FAIL_IO,          /* the system reported an error; `detail` is errno (ENOENT included) */
  FAIL_NOMEM,
  FAIL_EXISTS,   /* the output is there already and --force was not given */
  FAIL_NOTFOUND, /* a tensor, key or model that was asked for is not there */
  FAIL_USAGE,
  FAIL_INTERRUPTED /* `detail` is the signal */
} fail_kind;

enum { FAIL_TEXT = 1024 };

typedef struct fail {
  fail_kind kind;
  int detail;           /* errno of FAIL_IO, signal of FAIL_INTERRUPTED, else 0 */
  char text[FAIL_TEXT]; /* one line, safe to print on a terminal, no newline at its end */
} fail;

#if defined(__MINGW32__) && !defined(__clang__) /* whose printf is not that of Windows */
#define FAIL_PRINTF(at, first) __attribute__((__format__(__gnu_printf__, at, first)))
#elif defined(__GNUC__)
#define FAIL_PRINTF(at, first) __attribute__((__format__(__printf__, at, first)))
#else
#define FAIL_PRINTF(at, first)
#endif

/* Fills `why` (may be NULL) with "FILE: KIND: text"; `file` NULL leaves out what is before the
 * text. KIND is truncated, format, limit, overflow or unsupported; for the other kinds there is no
 * such word. The whole line is escaped: control characters and bytes that are not UTF-8 become \n,
 * \xHH, so names that come from files can be given to %s as they are. A longer line is cut with
 * "...". Returns false. Any thread, each with its own `why`. */
bool fail_set(fail *why, fail_kind kind, const char *file, const char *format, ...)
    FAIL_PRINTF(4, 5);

/* Adds to the text of a failure, escaped and cut likewise. */
void fail_add(fail *why, const char *format, ...) FAIL_PRINTF(2, 3);

/* "FILE: cannot WHAT: reason of the system". ENOMEM becomes FAIL_NOMEM, EEXIST FAIL_EXISTS, all
 * else FAIL_IO. `error` is an errno value. Returns false. */
bool fail_system(fail *why, const char *file, const char *what, int error);

/* "FILE: out of memory". Returns false, which analyzers see here. */
static inline bool fail_memory(fail *why, const char *file)
{
  fail_set(why, FAIL_NOMEM, file, "out of memory");
  return false;
}

/* "TRUNCATED", "FORMAT", ... constant text. */
const char *fail_kind_name(fail_kind kind);

/* Exit status of the process: 0 none, 2 usage, 128 + signal when interrupted, else 1. */
int fail_exit_status(const fail *why);

#endif
