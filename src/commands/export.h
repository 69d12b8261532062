/*
 * export.h - parts of the verb `quant export`.
 *
 * Owns: what is passed between its files. Must not know: anything of other verbs.
 */
#ifndef QUANT_COMMANDS_EXPORT_H
#define QUANT_COMMANDS_EXPORT_H

#include "../files/output.h"
#include "../model/weight.h"
#include "../ui/args.h"
#include "c_source.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- export.c to export_layers.c: a layer in fixed point, from "NAME=SX,ZX,SY,ZY[,LEAST,MOST]" */

typedef struct export_layer {
  float x_scale, y_scale;
  int32_t x_zero, y_zero, y_least, y_most;
} export_layer;

/* What becomes of one weight. */
typedef struct export_target {
  bool chosen;
  bool fixed;                /* `layer` holds */
  char name[C_NAME_MAX + 1]; /* in C */
  export_layer layer;
  const weight *bias; /* goes with it, or NULL */
} export_target;

/* Reads every --w8a8 and gives each to the one chosen weight that it names. */
bool export_read_layers(const weight_list *l, const args_list *texts, export_target *targets,
                        fail *why);

/* ---- export.c to export_text.c: the two files */

/* A code book that many weights share. */
typedef struct export_book {
  char name[C_NAME_MAX + 32]; /* empty: not written yet */
  float value[256];
} export_book;

typedef struct export_text {
  const char *prefix;
  int32_t rounding; /* LQ_ROUND_* */
  buf source, header;
  export_book nf4, fp4, nested;
  uint64_t bytes; /* of all arrays */
} export_text;

/* The beginnings and the end. `include` is the name of the header as #include takes it. */
void export_begin(export_text *x, const char *include);
void export_end(export_text *x);

/* A quantized weight as lq_static or, with `layer`, as lq_static_w8a8. bias: f32 values or NULL. */
bool export_weight(export_text *x, const export_target *t, const char *tensor, const lq_tensor *w,
                   const float *bias, fail *why);

/* A dense tensor as an array. */
void export_dense(export_text *x, const export_target *t, const st_tensor *tensor, c_type type,
                  const void *data);

#endif
