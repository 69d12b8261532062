/*
 * bench.h - the parts of `quant bench`: a case, how it is run.
 *
 * Owns: the shape of a case and of its result. The verb (bench.c) has the list of cases and prints;
 * bench_case.c runs one through the public API.
 */
#ifndef QUANT_COMMANDS_BENCH_H
#define QUANT_COMMANDS_BENCH_H

#include "../model/pool.h"
#include "common.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum bench_op {
  BENCH_QUANTIZE,
  BENCH_DEQUANTIZE,
  BENCH_MATMUL,
  BENCH_MATMUL_INT8 /* by rows of x quantized in the call */
} bench_op;

typedef struct bench_case {
  bench_op op;
  const char *method;
  bool nested;
  int32_t dtype; /* of the dense side: source, result, or activations */
  unsigned rows; /* of x; products alone */
  bool fast;
} bench_case;

typedef struct bench_setup {
  const common *options;
  pool *memory;
  uint64_t rows, columns;
  uint64_t footprint; /* bytes that calls in a row rotate over; 0: the same memory each time */
  double seconds;     /* for about so long, but three rounds at least */
  float *source;      /* rows * columns weights */
} bench_setup;

typedef struct bench_result {
  double seconds;               /* of one call, in the best round */
  uint64_t bytes_in, bytes_out; /* what one call must read and write */
  double operations;            /* of a product: 2 M N K */
} bench_result;

/* Fills `source` with weights as a network has them: bell-shaped, standard deviation 0.02, the same
 * ones each time. */
void bench_fill(float *source, uint64_t count);

bool bench_run(const bench_setup *s, const bench_case *c, bench_result *out, fail *why);

const char *bench_dtype_name(int32_t dtype); /* "bf16" */

#endif
