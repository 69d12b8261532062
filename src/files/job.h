/*
 * job.h - the folder of a long job beside its output: what is finished survives whatever happens.
 *
 * Owns: "OUT.quant-job" with the journal, the hidden output folder and the files of finished
 * parts; which of them count. Must not know: what is computed. A part is finished when the journal
 * says so, with its size and SHA-256; a file without a record is removed. The records are JSON: a
 * header that tells this job from others, one for each finished part, one before the output
 * becomes visible.
 *
 * A part is hashed on a thread of its own while the next one is computed. When the job ends
 * meanwhile, its record stands without the sum. All functions are for one thread at a time.
 */
#ifndef QUANT_FILES_JOB_H
#define QUANT_FILES_JOB_H

#include "buf.h"
#include "fail.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct job_store job_store;

typedef struct job_wish {
  const char *target; /* the output */
  bool force;         /* an old one may be replaced */
  bool resume;        /* go on with what is there; otherwise it is dropped */
  bool verify; /* hash finished parts again: those that differ, or have no sum, are made anew */
} job_wish;

/* `header` is a JSON object. With `resume` a job with another header is FAIL_EXISTS, as is a target
 * that may not be replaced. */
bool job_open(job_store **out, const job_wish *wish, const buf *header, fail *why);

/* Was the output put in place already? All parts are then in it, and nothing is left to do. */
bool job_is_complete(const job_store *j);

const char *job_folder(const job_store *j); /* "OUT.quant-job" */
const char *job_hidden(const job_store *j); /* in it, what becomes the output; or the output */

/* Is that part finished? Shards of the output are "output/NAME", others plain names. */
bool job_has(const job_store *j, const char *part);

/* Text that was recorded with a part under a name; NULL when there is none. */
const char *job_note(const job_store *j, const char *part, const char *name);

typedef struct job_pair {
  const char *name, *text;
} job_pair;

/* Records a part whose file is written, flushed and closed. */
bool job_add(job_store *j, const char *part, const job_pair *notes, size_t count, fail *why);

/* All parts are recorded and the hidden folder is whole: to be called before it is renamed. */
bool job_seal(job_store *j, fail *why);

/* The end. Done: the folder is removed. Failed: it stays if some part is finished and the job could
 * go on from there, which is added to the text; otherwise it is removed, too. NULL is fine. */
void job_close(job_store *j, bool done, fail *why);

#endif
