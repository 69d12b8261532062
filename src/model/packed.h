/*
 * packed.h - GPTQ and AWQ checkpoints: which layout the planes of a weight are in, and its shape.
 *
 * Owns: the members of "quantization_config" (or of quantize_config.json beside it) that tell the
 * layout, and what the planes' shapes must then be. Must not know: names of weights, what planes
 * mean.
 *
 * Where it is told, the first of these that there is: the member of config.json; quantize_config
 * .json in the same folder. A file that is opened on its own takes both from the folder that it
 * lies in. If nothing tells, shapes do: qweight as wide as scales is GPTQ of the first version, an
 * eighth of that is AWQ.
 */
#ifndef QUANT_MODEL_PACKED_H
#define QUANT_MODEL_PACKED_H

#include "../files/model.h"

#include <libquant.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct packed_format {
  int32_t layout;     /* LQ_LAYOUT_GPTQ, _GPTQ_V2 or _AWQ; 0: nothing tells */
  int64_t bits;       /* of every layer; 0: not said, or layers differ */
  int64_t group_size; /* likewise; -1: a whole row */
  bool symmetric;     /* said of every layer */
  bool borrow;        /* zero points lack a 1 taken from whole words: LQ_KEY_ZERO_BORROW */
} packed_format;

/* The planes of one weight; NULL where there is none. */
typedef struct packed_planes {
  const st_tensor *weight, *zeros, *scales, *index;
} packed_planes;

typedef struct packed_shape {
  uint64_t rows, columns, groups, bits;
} packed_shape;

/* Formats of these families that are not read are FAIL_UNSUPPORTED and named. `planes`: the model
 * has some, so another quantization method is refused too. */
bool packed_read_format(packed_format *out, const model *m, bool planes, fail *why);

/* The layout of one weight: that of the format, or what its shapes tell. */
int32_t packed_layout(const packed_format *f, const packed_planes *p);

/* Shape of the weight `name` in `file`. Planes that are missing, or do not fit each other or the
 * format, are errors. */
bool packed_measure(const packed_format *f, int32_t layout, const packed_planes *p,
                    const char *file, const char *name, packed_shape *out, fail *why);

bool packed_is_layout(int32_t layout); /* one of the three */

#endif
