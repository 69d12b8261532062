/*
 * figures.h - the figures of finished weights as notes in the journal of a job, and back.
 *
 * Owns: their text. Must not know: what the figures mean.
 */
#ifndef QUANT_COMMANDS_FIGURES_H
#define QUANT_COMMANDS_FIGURES_H

#include "../files/job.h"
#include "quantize.h"

#include <stdbool.h>
#include <stddef.h>

enum { FIGURES_TEXT = 512 };

/* Notes under the names of weights. Start from zeros. */
typedef struct figures {
  job_pair *pairs;
  char (*texts)[FIGURES_TEXT];
  size_t count, capacity;
} figures;

bool figures_reserve(figures *f, size_t capacity, fail *why);
void figures_add(figures *f, const quantize_result *r); /* within the capacity */
void figures_free(figures *f);

/* Of all results of a shard. */
bool figures_of_shard(figures *f, const quantize_job *job, size_t shard, fail *why);

/* Fills a result, whose weight is set, from the notes of a part. */
bool figures_read(const job_store *from, const char *part, quantize_result *r, fail *why);

#endif
