/*
 * job_parts.h - the files of a job folder, for job.c only.
 *
 * Owns: how a part is looked at and what is swept out. Must not know: records.
 */
#ifndef QUANT_FILES_JOB_PARTS_H
#define QUANT_FILES_JOB_PARTS_H

#include "fail.h"
#include "sha256.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define JOB_HIDDEN "output"
#define JOB_JOURNAL "journal"

typedef struct job_part {
  const char *folder;
  const char *name; /* in it: a plain name, or one behind JOB_HIDDEN "/" */
  bool there;
  uint64_t bytes;
  char hash[SHA256_TEXT]; /* empty when it was not asked for, or stopped */
} job_part;

/* Can it be the name of a part? */
bool job_part_name(const char *name);

/* Fills `there` and `bytes`, and unless `stop` is NULL the sum of the contents, which takes its
 * time and ends early when `*stop` becomes true. Any thread. */
bool job_part_look(job_part *p, const atomic_bool *stop, fail *why);

/* Makes the folder unless it is there. FAIL_EXISTS when it holds files, but no journal: then it is
 * somebody else's. */
bool job_folder_make(const char *folder, fail *why);

/* Removes all files but the journal that `keep` does not want, and makes the hidden folder if it is
 * not there. */
bool job_folder_sweep(const char *folder, bool (*keep)(const void *user, const char *part),
                      const void *user, fail *why);

/* Removes all files of the folder, the journal last. */
void job_folder_empty(const char *folder);

#endif
