/*
 * method.h - what a method is: one constant table of functions, and the data that passes through
 * them.
 *
 * Owns: the vtable, the parameters of a run, the encoded tensor in memory, the job of encoding one.
 * Must not know: public handles, checkpoint families. The api resolves a config into plain
 * parameters.
 */
#ifndef LQI_METHOD_H
#define LQI_METHOD_H

#include "../core/atomic.h"
#include "../core/mem.h"
#include "../core/par.h"
#include "../core/parts.h"
#include "../core/shape.h"
#include "../core/text.h"
#include "../kern/kern.h"

struct lqi_method;

/* A config, resolved and checked: no zero that means "default". */
struct lqi_params {
  const struct lqi_method *method;
  uint32_t block_size;        /* elements a scale; 0 if the method has no blocks */
  uint32_t nested_block_size; /* scales per second-level scale; 0: scales stay f32 */
  int32_t compat;             /* LQ_COMPAT_* */
  int32_t nonfinite;          /* LQ_NONFINITE_*, never AUTO */
  float threshold;            /* 0: no outlier columns */
  float absmax;               /* of every row; 0: its own */
  uint32_t bits;              /* of one code, where the method leaves a choice */
  uint32_t group_size;        /* columns of a row under one scale; 0: the whole row, or no groups */
  int32_t symmetric;          /* zero points are in the middle and not stored */
  float mse;                  /* exponent of the search for a range; 0: none */

  const struct lqi_method *storage; /* whose planes are made: `method`, unless that only chooses */
  int32_t order;                    /* LQ_ORDER_* */
  int32_t static_groups;            /* grids are fixed before codes are chosen */
  double damping;                   /* added to the diagonal, as a share of its mean */
  double input_correction;          /* share of the difference of inputs that is made up for */
};

/* The arrays that an encoded tensor may have. A plane of no bytes is absent. */
enum lqi_plane {
  LQI_CODES,
  LQI_SCALES,          /* of scale_dtype: f32, f16, or u8 where nested */
  LQI_NESTED_SCALES,   /* f32 */
  LQI_CODEBOOK,        /* f32; absent where the method's own serves */
  LQI_NESTED_CODEBOOK, /* likewise, for the u8 scales */
  LQI_OUTLIER_COLUMNS, /* i64, ascending */
  LQI_OUTLIERS,        /* [rows, outliers] in the tensor's dtype */
  LQI_ZEROS,           /* u8 [rows, groups] */
  LQI_GROUP_INDEX,     /* i32 [columns]: the group of each; absent where it is column / size */
  LQI_PLANES
};

struct lqi_span {
  void *data;
  uint64_t bytes;
};

enum lqi_packed_plane { LQI_QWEIGHT, LQI_QZEROS, LQI_QSCALES, LQI_QINDEX, LQI_PACKED_PLANES };

/*
 * The planes of a checkpoint family that keeps the codes of a column together. A tensor may hold
 * them beside its own (lq_tensor_convert); lib/layout makes and reads them.
 */
struct lqi_packed {
  int32_t layout; /* LQ_LAYOUT_*; 0: there are none */
  int32_t scale_dtype;
  int32_t borrow; /* the zero points are less 1 in whole words, not in fields */
  struct lqi_span plane[LQI_PACKED_PLANES];
};

#define LQI_ORDER_BYTES(columns) ((columns)*2 * sizeof(uint32_t))

/* An encoded tensor in memory. Everything that decoding needs, checked when it was made. */
struct lqi_store {
  const struct lqi_method *method;
  struct lqi_shape shape;
  int32_t dtype; /* of the weights before encoding */
  uint32_t block_size;
  uint32_t nested_block_size;
  float nested_offset;
  uint64_t outliers;        /* entries of LQI_OUTLIER_COLUMNS */
  int32_t outliers_dropped; /* the reference's int8: columns are listed, their values gone */
  uint32_t bits;            /* of one code; this and what follows: affine */
  uint32_t group_size;      /* columns under one scale; 0: the whole row */
  uint64_t groups;          /* scales of a row */
  int32_t symmetric;        /* no zeros are stored */
  int32_t mapped;           /* LQI_GROUP_INDEX says which group a column has */
  int32_t even;             /* mapped: every group has group_size columns */
  int32_t scale_dtype;      /* LQ_F16, LQ_F32, LQ_U8 where nested; others: 0 */
  int32_t block_type;       /* ggml: the number of its type */
  struct lqi_span plane[LQI_PLANES];
  struct lqi_span order; /* mapped: LQI_ORDER_BYTES, by lqi_affine_sort() */
  struct lqi_packed packed;
};

/* Encoding one tensor. Tasks share it; they write disjoint parts of the planes, and `nonfinite`
 * atomically. */
struct lqi_job {
  const struct lqi_params *params;
  const struct lqi_kernels *kern;
  const struct lqi_mem *mem;
  const struct lqi_par *par;
  const void *source; /* shape.count elements of dtype */
  float *scales;      /* f32 scales: the plane itself, or work space where they will be nested */
  struct lqi_store *store;
  atomic_uint_fast64_t nonfinite;
  atomic_uint_fast64_t first_nonfinite; /* flat index; UINT64_MAX: none */
  atomic_uint_fast64_t first_overflow;  /* of a group whose scale is infinite as f16; likewise */

  struct lqi_text *why; /* of a failure of prepare or choose */

  /* For methods that choose by calibration: what was observed; tr(E H E^T) of the result, of
   * nearest rounding, and of the weights themselves. */
  struct lqi_calibration *calibration;
  double error, error_nearest, energy;
};

/* Is the store one of nf4: LQI_IS(store, NF4). Constant where the build is without. */
#define LQI_IS(store, name) (LQI_HAS_##name && (store)->method->id == LQ_##name)

struct lqi_block_codec;
struct lqi_grid_ops;
struct lqi_row_pairs;

/* Scale and zero point of every piece of a row. */
#define LQI_STRIP_GRIDS(columns) ((columns) / LQI_PIECE * 2)

/*
 * The vtable. A storing method fills what is needed to size, encode and decode planes; one with
 * LQ_METHOD_DECODES leaves out what encodes. A choosing method has `choose` and leaves those slots
 * empty: they are its storage's. Slots that may be NULL say what that means; none may be called
 * blindly otherwise.
 */
struct lqi_method {
  int32_t id;
  uint32_t flags; /* LQ_METHOD_* */
  uint32_t code_bits;
  uint32_t default_block_size;
  const char *name;
  const char *text;
  const struct lqi_block_codec *codec; /* code book of a blockwise method, otherwise NULL */
  const struct lqi_grid_ops *grid;     /* for others to choose the codes; NULL: they cannot */

  /* Are these values allowed together? NULL: yes. */
  lq_status (*check)(const struct lqi_params *params, struct lqi_text *why);

  /* Takes rows of inputs, or pairs of them if the calibration is of pairs. NULL: the method does
   * not calibrate. */
  lq_status (*observe)(struct lqi_calibration *c, const struct lqi_row_pairs *inputs, size_t rows,
                       const struct lqi_par *par);

  /* What must be known before the planes can be sized: may allocate planes whose size depends on
   * data. NULL: nothing. */
  lq_status (*prepare)(struct lqi_job *job);

  /* Do the fields of a store from outside fit together, before the sizes of planes are made of
   * them? NULL: there are none but those that lib/api checks. */
  lq_status (*fits)(const struct lqi_store *store, struct lqi_text *why);

  /* Are scales that lie among the codes finite? NULL: scales are a plane. */
  lq_status (*check_scales)(const struct lqi_store *store, struct lqi_text *why);

  /* Bytes of each plane from shape, dtype and block sizes; a pure function. `bytes` comes zeroed.
   */
  void (*layout)(const struct lqi_store *store, uint64_t bytes[LQI_PLANES]);

  /* Number of pieces that can be encoded independently. */
  uint64_t (*units)(const struct lqi_store *store);

  /* Encodes pieces first .. first + count - 1. Any number of ranges may run at once. */
  void (*encode)(struct lqi_job *job, uint64_t first, uint64_t count);

  /* The same once more after the scales have been nested, where codes depend on what became of
   * them. NULL: they do not. */
  void (*encode_nested)(struct lqi_job *job, uint64_t first, uint64_t count);

  /* Fills the planes of a whole tensor, nested scales included, in place of the encoding of its
   * storage. NULL: the method stores. */
  lq_status (*choose)(struct lqi_job *job);

  /*
   * Elements first .. first + count - 1 of the flattened tensor to out[0..count) of `dtype`; stream
   * as in kern.h. Ranges may run at once.
   */
  void (*decode)(const struct lqi_store *store, const struct lqi_kernels *kern, uint64_t first,
                 uint64_t count, int32_t dtype, void *out, int stream);

  /*
   * Rows row .. row + rows - 1 as kernels multiply them without decoding first: *out, and the form
   * (enum lqi_form); -1 if this tensor's rows have none, which a call for no rows asks. Columns are
   * a multiple of LQI_PIECE. Grids that are not a plane as they stand go to `grids`,
   * LQI_STRIP_GRIDS(columns) floats a row. NULL: never.
   */
  int (*strip)(const struct lqi_store *store, const struct lqi_kernels *kern, uint64_t row,
               uint64_t rows, float *grids, struct lqi_strip *out);
};

/* registry.c: the methods, in the order of their ids. */
uint32_t lqi_method_count(void);
const struct lqi_method *lqi_method_at(uint32_t index);
const struct lqi_method *lqi_method_by_id(int32_t id);
const struct lqi_method *lqi_method_by_name(const char *name);

/* Pointer to element i of an array of f32, f16 or bf16. */
LQI_INLINE const void *lqi_element(const void *p, int32_t dtype, uint64_t i)
{
  return (const char *)p + i * lqi_dtype_size(dtype);
}

LQI_INLINE void *lqi_element_mut(void *p, int32_t dtype, uint64_t i)
{
  return (char *)p + i * lqi_dtype_size(dtype);
}

/* Whether a float is neither NaN nor infinite. */
LQI_INLINE int lqi_is_finite(float x)
{
  return (lqi_f32_bits(x) & 0x7f800000u) != 0x7f800000u;
}

/* job.c: counts the elements of source[first..first + count) that are not finite, and keeps the
 * lowest index. */
void lqi_note_nonfinite(struct lqi_job *job, uint64_t first, uint64_t count);

/* job.c: the scale of the group that begins at element `first` is stored in f16: keeps the lowest
 * group of finite weights where that gives infinity. */
void lqi_note_overflow(struct lqi_job *job, uint64_t first, float scale);

/* job.c: the largest finite magnitude among source[first..first + count), 0 if there is none. */
float lqi_finite_absmax(const struct lqi_job *job, uint64_t first, uint64_t count);

/*
 * job.c: source[first..first + count) widened to f32 into v; with LQ_NONFINITE_SATURATE NaN becomes
 * 0 and infinities become `limit` with their sign. Serves rare pieces, in chunks of at most
 * LQI_CHUNK elements.
 */
#define LQI_CHUNK 64
void lqi_load_chunk(const struct lqi_job *job, uint64_t first, size_t count, float limit, float *v);

#endif
