/*
 * common.h - what the verbs share: common options, library handles made from them, output.
 *
 * Owns: the rows of the common options. Must not know: any verb.
 */
#ifndef QUANT_COMMANDS_COMMON_H
#define QUANT_COMMANDS_COMMON_H

#include "../files/buf.h"
#include "../files/fail.h"
#include "../model/pool.h"
#include "../ui/args.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct common {
  int64_t threads; /* 0: as many as there are */
  const char *cpu;
  bool json, quiet;
} common;

/* Rows of an option table; `type` is the verb's struct, which has a member `common common`. */
#define COMMON_HEADING \
  { \
    .type = ARGS_GROUP, .help = "Common options" \
  }
#define COMMON_THREADS(verb_type) \
  { \
    .name = "threads", .type = ARGS_INT, .value = "N", .least = 1, .most = 1024, \
    .field = offsetof(verb_type, common.threads), \
    .help = "threads of a calculation; results do not depend on it (all processors)" \
  }
#define COMMON_CPU(verb_type) \
  { \
    .name = "cpu", .type = ARGS_TEXT, .value = "LEVEL", .field = offsetof(verb_type, common.cpu), \
    .help = "use no instructions beyond scalar, avx2, avxvnni, avx512, avx512vbmi, amx, neon, " \
            "dotprod or i8mm" \
  }
#define COMMON_JSON(verb_type) \
  { \
    .name = "json", .type = ARGS_FLAG, .field = offsetof(verb_type, common.json), \
    .help = "print the result as one JSON object" \
  }
#define COMMON_QUIET(verb_type) \
  { \
    .name = "quiet", .letter = 'q', .type = ARGS_FLAG, .field = offsetof(verb_type, common.quiet), \
    .help = "print nothing but errors" \
  }

/* Parses a verb's command line. `*done` when --help was asked for and printed: nothing is left to
 * do or to free. */
bool common_parse(const args_verb *verb, int argc, char **argv, void *fields, args_result *out,
                  bool *done, fail *why);

/* Puts --cpu in force. */
bool common_cpu(const common *c, fail *why);

/* A config with --threads that allocates from `memory` (NULL: malloc). */
bool common_config(const common *c, pool *memory, lq_config **out, fail *why);

/* Is it a plain file? What cannot be looked at fails when it is opened. */
bool common_is_file(const char *path);

/* A line with names from files or the command line in it, added to a buffer, or printed when that
 * is NULL. Newlines at its two ends stay; all else is made safe for a terminal. */
void common_say(buf *to, const char *format, ...) FAIL_PRINTF(2, 3);

/* Prints a buffer on standard output; also fails when additions to the buffer had failed. */
bool common_print(const buf *text, fail *why);

/* Makes sure that standard output took everything. */
bool common_flush(fail *why);

#endif
