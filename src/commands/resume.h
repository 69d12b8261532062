/*
 * resume.h - the options of a verb whose work can go on after it was stopped, and its job.
 *
 * Owns: what must be the same for that: verb, options, version, the input files, the samples of a
 * calibration. Must not know: what is kept of the work.
 */
#ifndef QUANT_COMMANDS_RESUME_H
#define QUANT_COMMANDS_RESUME_H

#include "../files/job.h"
#include "../files/model.h"
#include "../files/sha256.h"
#include "../ui/args.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct resume {
  bool resume, verify;
  char options[SHA256_TEXT]; /* of all that decides what is written */
} resume;

/* Rows of an option table; `type` is the verb's struct, which has a member `resume resume`. */
#define RESUME_RESUME(verb_type) \
  { \
    .name = "resume", .type = ARGS_FLAG, .field = offsetof(verb_type, resume.resume), \
    .help = "go on where an interrupted run with the same options stopped: finished shards and " \
            "layers are in OUT.quant-job. For folders" \
  }
#define RESUME_VERIFY(verb_type) \
  { \
    .name = "verify", .type = ARGS_FLAG, .field = offsetof(verb_type, resume.verify), \
    .help = "with --resume: read what is finished again and compare its SHA-256" \
  }

/* After the command line was parsed: sums up the options. FAIL_USAGE for --verify alone. */
bool resume_make(resume *r, const args_verb *verb, const void *fields, fail *why);

/* FAIL_USAGE if a model that is one file is to be resumed. */
bool resume_check(const resume *r, const model *from, fail *why);

/* Opens the job of an output folder. `samples` tells calibration data from others; 0: none. */
bool resume_open(job_store **out, const resume *r, const model *from, const char *target,
                 bool force, uint64_t samples, fail *why);

#endif
