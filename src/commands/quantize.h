/*
 * quantize.h - the parts of `quant quantize`: the job, what came out of it, how that is told.
 *
 * Owns: the shape of a result. The verb (quantize.c) reads options, the job (quantize_job.c) runs
 * the weights through the pipeline, the report (quantize_report.c) prints.
 */
#ifndef QUANT_COMMANDS_QUANTIZE_H
#define QUANT_COMMANDS_QUANTIZE_H

#include "../model/weight.h"
#include "../ui/progress.h"
#include "common.h"
#include "recipe.h"
#include "resume.h"
#include "rewrite.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What became of one chosen weight. */
typedef struct quantize_result {
  const weight *w;
  bool kept;          /* held values that are not finite, and stays dense */
  lq_metrics metrics; /* against the weight as it was */
  lq_report report;
  uint64_t bytes; /* of all planes */
  double bits_per_weight;
  double seconds; /* of a calibrated weight, with its share of the passes over the samples */
} quantize_result;

/* What a calibrated method was shown, for the record. */
typedef struct calibration_record {
  const char *file; /* the last part of its path; NULL: nothing */
  int64_t samples, length, seed;
  bool sequential; /* within a layer, what follows saw what was quantized before it */
} calibration_record;

typedef struct quantize_job {
  const model *from;
  const weight_list *weights;
  const common *options;
  const recipe *how;
  lq_quantizer *quantizer;
  pool *memory;
  const char *out;
  bool force;
  const resume *resume;
  job_store *store; /* NULL for a model that is one file */
  bool *quantized;  /* a place for each weight; true: chosen. False again for those kept dense */
  bool *refused;    /* likewise; true: would be chosen, but the layout has no place for its shape */
  size_t refused_count;
  calibration_record calibration;
  quantize_result *results; /* a place for each chosen weight, in order */
  size_t count;             /* of chosen weights */
  uint64_t bytes_after;     /* of all tensors written */
  double seconds;
} quantize_job;

/* The job folder, unless the model is one file: opened before anything is written, closed whatever
 * happened. `samples`: see resume_open. */
bool quantize_open(quantize_job *job, uint64_t samples, fail *why);
void quantize_close(quantize_job *job, bool done, fail *why);

/* A path beside which temporary files go: where a killed run's are found and removed. */
const char *quantize_scratch(const quantize_job *job);

/* About what weight i takes in the output. Scales are left out: a run that would just fit the disk
 * is not refused. */
uint64_t quantize_bytes(const quantize_job *job, size_t i);

/* The end of every job: what was done goes into config.json, and for the layouts of GPTQ into
 * quantize_config.json; then the output becomes visible. `bytes_after` is filled. */
bool quantize_finish(quantize_job *job, rewrite *out, fail *why);

/* Encodes and writes everything. `results`, `bytes_after` and `seconds` are filled. */
bool quantize_run(quantize_job *job, progress *bar, fail *why);

/* Prints the summary, or the JSON object. */
bool quantize_report(const quantize_job *job, fail *why);

#endif
