/*
 * libquant.h - quantized neural-network weights: make them, store them, compute with them.
 *
 * ---------------------------------------------------------------------------------------------
 * WHAT IT DOES
 *
 * A weight matrix is quantized by replacing its numbers with small codes and a few scales. libquant
 * does this in the formats that trained models are shared in (bitsandbytes NF4, FP4 and LLM.int8;
 * blockwise dynamic 8 bit; integers in groups as GPTQ and AWQ have them), restores them, multiplies
 * with them, and turns them into the named arrays of a checkpoint and back. It reads and writes no
 * file, prints nothing, starts no thread of its own unless built with OpenMP, and keeps no state
 * outside its handles.
 *
 * ---------------------------------------------------------------------------------------------
 * A COMPLETE PROGRAM
 *
 *     #include <libquant.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *       static float w[128 * 256], back[128 * 256];
 *       const uint64_t shape[2] = {128, 256};
 *       lq_config *config = NULL;
 *       lq_quantizer *quantizer = NULL;
 *       lq_tensor *dense = NULL, *small = NULL;
 *       lq_status s;
 *
 *       for (int i = 0; i < 128 * 256; i++)
 *         w[i] = (float)(i % 17 - 8) * 0.01f;
 *       if ((s = lq_config_create(NULL, &config)) == LQ_OK &&
 *           (s = lq_config_set_text(config, "method", "nf4")) == LQ_OK &&
 *           (s = lq_config_set_i64(config, LQ_KEY_NESTED, 1)) == LQ_OK &&
 *           (s = lq_tensor_wrap(NULL, LQ_F32, 2, shape, w, sizeof w, &dense)) == LQ_OK &&
 *           (s = lq_quantizer_create(config, &quantizer)) == LQ_OK &&
 *           (s = lq_quantizer_run(quantizer, dense, &small)) == LQ_OK &&
 *           (s = lq_dequantize(small, LQ_F32, back, sizeof back, NULL)) == LQ_OK)
 *         printf("%.3f bits per weight; %f became %f\n", lq_tensor_bits_per_weight(small),
 *                (double)w[5], (double)back[5]);
 *       else
 *         printf("%s: %s\n", lq_status_string(s),
 *                quantizer ? lq_quantizer_error_text(quantizer) : "");
 *       lq_tensor_destroy(small);
 *       lq_quantizer_destroy(quantizer);
 *       lq_tensor_destroy(dense);
 *       lq_config_destroy(config);
 *       return s == LQ_OK ? 0 : 1;
 *     }
 *
 * ---------------------------------------------------------------------------------------------
 * THE THREE HANDLES
 *
 *   lq_config     what to do: a set of numbered keys, each with a type, bounds and a default.
 *   lq_tensor     a matrix (any rank), dense or quantized. Immutable once made, so many threads
 *                 may read one.
 *   lq_quantizer  turns dense tensors into quantized ones by a config; keeps the last error text
 *                 and a report.
 *
 * A quantized tensor is a set of planes: the codes, the scales, perhaps scales of the scales.
 * lq_tensor_plane shows them under the names of a checkpoint family (a layout), so that any program
 * that writes safetensors can store them; lq_tensor_from_planes makes the tensor again and refuses
 * planes that contradict each other.
 *
 * ---------------------------------------------------------------------------------------------
 * METHODS
 *
 *   none      f32, f16 or bf16 as they are
 *   nf4       4 bits: 16 quantiles of the normal distribution, one f32 scale a block (QLoRA,
 *             arXiv 2305.14314)
 *   fp4       4 bits: sign, two bits of exponent, one of mantissa; scales likewise
 *   int8      8 bits: integers -127..127, one scale a row; columns with outliers may stay dense
 *             (LLM.int8, arXiv 2208.07339)
 *   dynamic8  8 bits: a 256-entry code that is fine near zero, one scale a block (8-bit optimizers,
 *             arXiv 2110.02861)
 *   affine    2, 3, 4 or 8 bits: integers, and for each group of columns of a row a scale and
 *             perhaps a zero point; weights are rounded to the nearest, which is known as RTN
 *
 *   gptq      chooses codes of affine, nf4 or fp4 so that the output of a layer on calibration data
 *             changes least (arXiv 2210.17323): lq_quantizer_observe, then lq_quantizer_run
 *
 *   ggml      the block types of GGUF files, Q4_0 to Q6_K and others: decoded to the bits of ggml,
 *             multiplied with, compared; not made
 *
 * The keys of affine: LQ_KEY_BITS, LQ_KEY_GROUP_SIZE, LQ_KEY_SYMMETRIC, LQ_KEY_MSE. A group covers
 * the range lo..hi of its weights, widened to contain 0 and, if symmetric, mirrored: scale = (hi -
 * lo) / (2^bits - 1), zero point = -lo / scale rounded, or 2^(bits - 1) if symmetric; code = weight
 * / scale rounded, ties to even, + zero point, kept within 0..2^bits - 1. Scales are rounded to
 * f16, at least 2^-24 and at most 65504, before codes are chosen. With LQ_KEY_MSE ranges of 100,
 * 99, .. 21 hundredths are tried, and the first that has the least sum of |error|^mse is taken.
 * LQ_KEY_COMPAT "gptq" computes in f32 as AutoGPTQ and GPTQModel do, and like them halves the range
 * of a symmetric group without negative weights; its scales are rounded when they are stored.
 *
 * The library may have been compiled without some of them (LQ_WITHOUT_NF4, LQ_WITHOUT_FP4,
 * LQ_WITHOUT_INT8, LQ_WITHOUT_DYNAMIC8, LQ_WITHOUT_AFFINE, LQ_WITHOUT_GPTQ) or without kernels
 * beyond plain C (LQ_WITHOUT_SIMD). lq_method_from_name then gives 0 for what is missing,
 * lq_quantizer_create and lq_tensor_from_planes give LQ_E_UNSUPPORTED.
 *
 * Blocks run over the flattened tensor in row-major order; the last one may be short. "Nested"
 * stores the scales of a blockwise method or of affine in 8 bits too (key LQ_KEY_NESTED): 4.13
 * instead of 4.5 bits per weight for nf4 with blocks of 64.
 *
 * ---------------------------------------------------------------------------------------------
 * PROMISES
 *
 *   Results    The same input gives the same bytes on every instruction set and for every number of
 *              threads.
 *   Rounding   Codes are the nearest of the format, ties as its reference breaks them. With
 *              LQ_KEY_COMPAT set to "bitsandbytes-cpu" codes, scales and offsets equal those of
 *              bitsandbytes 0.50 on a CPU byte for byte, NaN and infinity included.
 *   NaN, Inf   A weight that is not finite is an error that names its row and column
 *              (LQ_KEY_NONFINITE).
 *   Errors     Functions return LQ_OK or a negative code; results come through the last pointer,
 *              which is set to NULL or zero on failure. Nothing aborts, prints or exits. A call
 *              that failed may be repeated. NULL for a handle or an array that is needed is
 *              LQ_E_ARGUMENT; functions that return no status give 0, NULL or a text then.
 *   Memory     Every allocation goes through the lq_alloc given at creation, if one was given.
 *   Threads    Each function ends with one of: "any thread" (no shared state), "one thread per
 *              handle" (a handle that is being changed belongs to one thread at a time; const
 *              handles may be shared), or "not during others". A child of fork computes on the
 *              calling thread alone where its parent has used OpenMP.
 *
 * lib/libquant.sym says which version brought a function; `make docs` and `make man` turn what
 * stands here into a page for each.
 *
 * Terms: N rows (output features), K columns (input features), block: consecutive elements under
 * one scale, absmax: the largest magnitude in a block, which is its scale. f16 and bf16 values
 * travel as uint16_t bits. All sizes are in elements unless a name says bytes. Strings are UTF-8;
 * those returned live as long as the handle they came from, or for ever where there is none.
 *
 * Licence: MIT. See LICENSE.
 */
#ifndef LIBQUANT_H
#define LIBQUANT_H

#include <stddef.h>
#include <stdint.h>

#define LQ_VERSION_MAJOR 0
#define LQ_VERSION_MINOR 1
#define LQ_VERSION_PATCH 0
#define LQ_VERSION_NUMBER (LQ_VERSION_MAJOR * 10000 + LQ_VERSION_MINOR * 100 + LQ_VERSION_PATCH)

#ifndef LQ_API
#if defined(_WIN32) && defined(LQ_SHARED)
#ifdef LQ_BUILD
#define LQ_API __declspec(dllexport)
#else
#define LQ_API __declspec(dllimport)
#endif
#elif defined(__GNUC__) || defined(__clang__)
#define LQ_API __attribute__((visibility("default")))
#else
#define LQ_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* BEGIN DECLARATIONS: plain C from here to the end marker, for tools that read headers */

/* ---- Constants. None is ever renumbered or reused. ---- */

/* Result of a call: LQ_OK or one of the negative codes below. */
typedef int32_t lq_status;

enum {
  LQ_OK = 0,
  LQ_E_ARGUMENT = -10,    /* a null pointer, unknown name or id, value out of bounds */
  LQ_E_SHAPE = -11,       /* shapes or buffer sizes do not fit each other */
  LQ_E_OVERFLOW = -12,    /* a size does not fit its type on this machine */
  LQ_E_MEMORY = -20,      /* the allocator gave nothing */
  LQ_E_NONFINITE = -30,   /* a weight or scale is NaN or infinite */
  LQ_E_LAYOUT = -31,      /* planes are missing or contradict each other */
  LQ_E_SINGULAR = -32,    /* a Hessian cannot be factored, however damped */
  LQ_E_UNSUPPORTED = -40, /* valid, but not by this method, layout or machine */
  LQ_E_STATE = -50,       /* the handle is not in the state that the call needs */
  LQ_E_VERSION = -60,     /* a struct size or format version that this library does not know */
  LQ_E_INTERNAL = -90     /* a defect of the library: please report it */
};

/* Element types. Weights, activations and results are F32, F16 or BF16; planes may have any. */
enum { LQ_F32 = 1, LQ_F16 = 2, LQ_BF16 = 3, LQ_I8 = 4, LQ_U8 = 5, LQ_I32 = 6, LQ_I64 = 7 };

/* Methods; also by name: lq_method_from_name. */
enum {
  LQ_NONE = 1,
  LQ_NF4 = 2,
  LQ_FP4 = 3,
  LQ_INT8 = 4,
  LQ_DYNAMIC8 = 5,
  LQ_AFFINE = 6,
  LQ_GPTQ = 7,
  LQ_GGML = 8
};

/* Layouts: which names and shapes the planes of a tensor have. */
enum {
  LQ_LAYOUT_NATIVE = 1,       /* libquant's own: every tensor, nothing lost */
  LQ_LAYOUT_BITSANDBYTES = 2, /* as transformers stores bitsandbytes modules */
  LQ_LAYOUT_GPTQ = 3,         /* GPTQ checkpoints: zero points are stored less 1 */
  LQ_LAYOUT_GPTQ_V2 = 4,      /* the same with zero points as they are */
  LQ_LAYOUT_AWQ = 5,          /* AWQ checkpoints of version "gemm" */
  LQ_LAYOUT_GGML = 6          /* a tensor of a GGUF file */
};

/* Keys of a config. lq_config_key_info gives type, bounds, default and text of each. */
enum {
  LQ_KEY_METHOD = 100,     /* choice: name of a method; default nf4 */
  LQ_KEY_BLOCK_SIZE = 101, /* elements a scale; 0: the default of nf4, fp4 (64), dynamic8 (256) */
  LQ_KEY_NESTED = 102,     /* 1: quantize the scales too */
  LQ_KEY_NESTED_BLOCK_SIZE = 103, /* scales per second-level scale; default 256 */
  LQ_KEY_STORAGE = 104,           /* gptq, choice: affine, nf4, fp4: whose codes are chosen */
  LQ_KEY_BITS = 110,              /* affine: bits of a code, 2, 3, 4 or 8; default 4 */
  LQ_KEY_GROUP_SIZE = 120,  /* affine: columns of a row under one scale, a multiple of 8; the last
                              group of a row may be short; -1: the whole row; default 128 */
  LQ_KEY_SYMMETRIC = 130,   /* affine: 0: a zero point for each group; default 1 */
  LQ_KEY_BLOCK_TYPE = 140,  /* of tensors alone, lq_tensor_get_i64: the type in lq_ggml_type_info */
  LQ_KEY_COMPAT = 200,      /* choice: none, bitsandbytes-cpu, gptq */
  LQ_KEY_NONFINITE = 201,   /* choice: auto, error, saturate, keep, propagate */
  LQ_KEY_ZERO_BORROW = 210, /* lq_tensor_from_planes, layout gptq: 1: the zero points had 1 taken
                               from whole words, as GPTQModel does with 2, 4 and 8 bits; it matters
                               where one is 0 */
  LQ_KEY_THRESHOLD = 300,   /* int8: columns with a magnitude at or above it are outliers; 0: off */
  LQ_KEY_ABSMAX = 301,      /* int8: the absmax of every row, for activations whose range was
                               observed before (static scales); what lies beyond is clamped; 0: each
                               row's own */
  LQ_KEY_MSE = 310,         /* affine: exponent of the search for ranges, 2.4 usual; 0: none */
  LQ_KEY_ORDER = 400,       /* gptq, choice: none, activation, groups; default activation */
  LQ_KEY_STATIC_GROUPS = 401, /* gptq: 1: scales are those of the weights before any is rounded, and
                                 groups follow the columns whatever the order; 0: scales follow the
                                 corrected weights; default 1 */
  LQ_KEY_DAMPING = 410,       /* gptq: added to the diagonal of the Hessian, as a share of its mean;
                           at least 1e-6 is in force; default 0.01 */
  LQ_KEY_INPUT_CORRECTION =
      420,              /* gptq: share, 0 to 1, of what quantizing the layers before changed
                           in the inputs that is made up for (GPTAQ, arXiv 2504.02692); 0.25 is
                           usual. Above 0 lq_quantizer_observe_pair takes the inputs; default 0 */
  LQ_KEY_COMPUTE = 800, /* products, choice: exact, fast; default exact */
  LQ_KEY_THREADS = 900  /* threads of a call; 0: as many as OpenMP offers, 1: the caller's alone */
};

/*
 * Values of LQ_KEY_COMPUTE: how lq_matmul computes.
 *   EXACT  in f32, the same bits on every machine.
 *   FAST   of nf4, fp4, int8 and affine with blocks of multiples of 32 that divide the columns, in
 *          8-bit integers where the processor multiplies bytes in fours (levels avxvnni,
 *          avx512vbmi, dotprod, i8mm): x and weights become integers, whose products are exact; the
 *          rest is as EXACT. Those levels give the same bits, for any number of rows of x. With X
 *          the largest |x| of 64 columns (32 where blocks are no multiples of 64), s the scale of a
 *          weight's block and M the largest of its code book, each product x w is off by at most
 *            |w| X / 250 + |x| s M / 250  (nf4, fp4),   |w| X / 250  (affine, int8),
 *          beside what the f32 sums round.
 *          On other levels, up to 8 rows of x, of nf4, fp4, int8 and affine with
 *          blocks that are multiples of 64: the same in 16-bit fixed point, and the same bits among
 *          those levels:
 *            |w| X / 65000 + |x| s M / 32000  (nf4, fp4),   |w| X / 65000  (affine, int8).
 *          All else is computed as EXACT.
 *          A row of x that holds NaN or infinity gives NaN in fixed point and in 8 bits. Where s X
 *          is near the smallest f32, each 64 columns are off by up to 2^-115 beside that; where
 *          sums of |w x| leave the range of f32, so do results.
 *          From 16 rows of x on, after lq_cpu_request("amx"): x and weights rounded to bf16, each
 *          product off by at most |w x| / 128; the same bits for any number of threads, but not
 *          those of other machines.
 */
enum { LQ_COMPUTE_EXACT = 0, LQ_COMPUTE_FAST = 1 };

/* Values of LQ_KEY_COMPAT. */
enum { LQ_COMPAT_NONE = 0, LQ_COMPAT_BITSANDBYTES_CPU = 1, LQ_COMPAT_GPTQ = 2 };

/*
 * Values of LQ_KEY_NONFINITE: what to do with NaN and infinity.
 *   AUTO       ERROR; with a compat mode, PROPAGATE
 *   ERROR      LQ_E_NONFINITE, and the error text names row and column of the first one; so too
 *              where compat gptq has a scale beyond f16, which KEEP and SATURATE take as infinite
 *   SATURATE   infinities become the largest finite magnitude of their block, NaN becomes 0; the
 *              report counts them
 *   KEEP       a tensor that holds any comes back dense and unchanged (method none)
 *   PROPAGATE  codes and scales are what the arithmetic gives; also: what lq_tensor_from_planes
 *              accepts in scales
 */
enum {
  LQ_NONFINITE_AUTO = 0,
  LQ_NONFINITE_ERROR = 1,
  LQ_NONFINITE_SATURATE = 2,
  LQ_NONFINITE_KEEP = 3,
  LQ_NONFINITE_PROPAGATE = 4
};

/*
 * Values of LQ_KEY_ORDER: in which order gptq rounds columns.
 *   NONE        as they stand
 *   ACTIVATION  those with the largest inputs first; with static_groups 0 groups are formed in that
 *               order and their index is stored ("act-order")
 *   GROUPS      sorted within groups, then whole groups, so that no index is needed
 */
enum { LQ_ORDER_NONE = 0, LQ_ORDER_ACTIVATION = 1, LQ_ORDER_GROUPS = 2 };

/* Types of keys in lq_key_info. A choice is set by i64 or by text. */
enum { LQ_TYPE_I64 = 1, LQ_TYPE_F64 = 2, LQ_TYPE_CHOICE = 3 };

/* Flags in lq_method_info. */
enum {
  LQ_METHOD_BLOCKWISE = 1,  /* has block scales: LQ_KEY_BLOCK_SIZE and LQ_KEY_NESTED apply */
  LQ_METHOD_ROWWISE = 2,    /* one scale a row */
  LQ_METHOD_GROUPWISE = 4,  /* scales of groups of columns: LQ_KEY_BITS, LQ_KEY_GROUP_SIZE,
                              LQ_KEY_SYMMETRIC, LQ_KEY_MSE and LQ_KEY_NESTED apply */
  LQ_METHOD_CALIBRATED = 8, /* chooses the codes of LQ_KEY_STORAGE after lq_quantizer_observe */
  LQ_METHOD_DECODES = 16    /* has no encoder: lq_quantizer_create gives LQ_E_UNSUPPORTED */
};

/* Most dimensions of a tensor. */
enum { LQ_MAX_DIMS = 8 };

/*
 * ---- Types ----
 *
 * The structs begin with `size`, which the caller sets to sizeof before a call; fields may be added
 * behind the last one, never moved. A size below that of this release, or a bigger one whose tail
 * is not zero, gives LQ_E_VERSION.
 */

typedef struct lq_config lq_config;
typedef struct lq_tensor lq_tensor;
typedef struct lq_quantizer lq_quantizer;

/*
 * Where memory comes from. `alloc` returns at least `bytes` bytes at a multiple of `alignment` (a
 * power of two, at most 64), or NULL; `release` gets the pointer and the same two numbers. Called
 * on the thread that called the library, never from inside a parallel region; where one tensor is
 * used on several threads at once, so are these. Neither may call the library. Set `size` to
 * sizeof(lq_alloc), `flags` to 0. The struct is copied; `user` must outlive every handle made with
 * it.
 */
typedef struct lq_alloc {
  uint32_t size;
  uint32_t flags;
  void *user;
  void *(*alloc)(void *user, size_t bytes, size_t alignment);
  void (*release)(void *user, void *p, size_t bytes, size_t alignment);
} lq_alloc;

/*
 * A caller's thread pool. The library calls it, on the thread that called the library, with a
 * number of independent tasks; it must call task(arg, i) once for each i below `tasks`, on any
 * threads, and return when all have ended. Neither may call the library with the same handles.
 */
typedef void (*lq_task_fn)(void *arg, uint32_t index);
typedef void (*lq_parallel_fn)(void *user, uint32_t tasks, lq_task_fn task, void *arg);

/*
 * One array of a tensor as a checkpoint stores it. For lq_tensor_plane the library fills it: `name`
 * and `data` belong to the tensor and live as long. For lq_tensor_from_planes the caller fills it.
 * Set `size` to sizeof(lq_plane) before either. `name` is the checkpoint's own less the module
 * path, as "weight.absmax"; `ndim` 0 is a single element.
 */
typedef struct lq_plane {
  uint32_t size;
  int32_t dtype;
  uint32_t ndim;
  uint32_t reserved;
  uint64_t dims[8];
  uint64_t bytes;
  const char *name;
  const void *data;
} lq_plane;

/* What the last lq_quantizer_run saw. Set `size` to sizeof(lq_report) before the call. */
typedef struct lq_report {
  uint32_t size;
  int32_t method; /* of the result: LQ_NONE if the tensor was kept */
  uint64_t elements;
  uint64_t nonfinite;       /* elements that were NaN or infinite; not counted with PROPAGATE */
  uint64_t first_nonfinite; /* flat index of the first, if there were any */
  uint64_t outlier_columns; /* int8 with a threshold */
  uint64_t rows_observed;   /* gptq, this and what follows: rows that were observed */
  uint64_t dead_columns;    /* columns whose inputs were all 0 */
  double damping;           /* in force: LQ_KEY_DAMPING, or what it was raised to */
  double error;             /* tr(E H E^T) of the error E and the Hessian H = 2/rows X^T X */
  double error_nearest;     /* of nearest rounding to the same kind of grid */
  double energy;            /* tr(W H W^T): error / energy is the relative output error squared */
} lq_report;

/*
 * How far b is from a, over all elements, in double precision. Set `size` to sizeof(lq_metrics)
 * before the call. Where a and b are equal: relative_error 0, sqnr_db infinite; where a is all zero
 * and b is not: relative_error infinite.
 */
typedef struct lq_metrics {
  uint32_t size;
  uint32_t reserved;
  double relative_error; /* |a - b| / |a|, Euclidean norms */
  double sqnr_db;        /* -20 log10(relative_error), decibel */
  double cosine;         /* <a, b> / (|a| |b|); 1 if both are zero, 0 if one is */
  double max_error;      /* largest |a[i] - b[i]| */
  uint64_t max_row;      /* where it is: row (all dimensions but the last, flattened) and column */
  uint64_t max_column;
  double sum_a2, sum_b2, sum_d2,
      sum_ab; /* |a|^2, |b|^2, |a - b|^2, <a, b>: to join several tensors */
} lq_metrics;

/* A method, for menus and help texts. Set `size` to sizeof(lq_method_info) before the call. */
typedef struct lq_method_info {
  uint32_t size;
  int32_t id;
  uint32_t flags;
  uint32_t code_bits;          /* bits of one code, unless LQ_KEY_BITS says others; 0 for none */
  uint32_t default_block_size; /* 0 if it has no blocks */
  uint32_t reserved;
  const char *name;
  const char *text; /* one line */
} lq_method_info;

/* A type of the tensors in GGUF files. Set `size` to sizeof(lq_ggml_type) before the call. */
typedef struct lq_ggml_type {
  uint32_t size;
  int32_t type;
  uint32_t elements; /* of a block, of which a row has a whole number; 1: not quantized */
  uint32_t bytes;    /* of a block */
  int32_t dtype;     /* LQ_* of its elements where it is not quantized; 0 */
  int32_t decodes;   /* 1: lq_tensor_from_planes takes it */
  const char *name;  /* "Q4_K" */
} lq_ggml_type;

/* A key of a config. Set `size` to sizeof(lq_key_info) before the call. */
typedef struct lq_key_info {
  uint32_t size;
  int32_t key;
  int32_t type;
  uint32_t reserved;
  int64_t i64_min, i64_max, i64_default; /* LQ_TYPE_I64, LQ_TYPE_CHOICE */
  double f64_min, f64_max, f64_default;  /* LQ_TYPE_F64 */
  const char *name;                      /* as lq_config_set_text takes it */
  const char *choices; /* LQ_TYPE_CHOICE: "none|bitsandbytes-cpu"; otherwise NULL */
  const char *text;    /* one line */
  const void *unused;  /* NULL; fills the struct up where pointers have 4 bytes */
} lq_key_info;

/* ---- About the library ---- */

/* LQ_VERSION_NUMBER of the library that is running, major * 10000 + minor * 100 + patch. Any
 * thread. */
LQ_API int32_t lq_version_number(void);

/* The version of the library that is running as text, "0.1.0". Any thread. */
LQ_API const char *lq_version_string(void);

/* Lines of text for bug reports: version, methods, instruction sets compiled in, threading.
 * Any thread. */
LQ_API const char *lq_build_info(void);

/* A short English sentence for a code `status`; "unknown status" for any other number. Any
 * thread. */
LQ_API const char *lq_status_string(lq_status status);

/* The level of kernels in force: "scalar", "avx2", "avxvnni", "avx512", "avx512vbmi", "amx",
 * "neon", "dotprod" or "i8mm". Any thread. */
LQ_API const char *lq_cpu_features(void);

/*
 * Caps the kernels of the whole process at a `level` named as above; NULL or "max" lifts the cap.
 * For tests and measurements: results do not change, but for LQ_COMPUTE_FAST, only speed.
 * LQ_E_UNSUPPORTED if the machine does not have that level, LQ_E_ARGUMENT for an unknown name. Not
 * during others.
 */
LQ_API lq_status lq_cpu_limit(const char *level);

/*
 * Asks the system for an instruction set that it grants on request alone: `level` "amx". It
 * multiplies tiles of int8 and bf16 many times faster than anything else of its processors, and
 * makes the system save 8 KiB more for each thread that uses it; therefore no kernel does unless
 * the program has asked. From then on lq_matmul_int8 uses it, with the same results, and
 * lq_matmul with LQ_COMPUTE_FAST, for 16 rows of x and more. LQ_E_UNSUPPORTED if the processor or
 * the system has none, LQ_E_ARGUMENT for another name. Once for the process: not during others.
 */
LQ_API lq_status lq_cpu_request(const char *level);

/* ---- Methods ---- */

/* How many methods there are; their ids are found by index with lq_method_info_at. Any thread. */
LQ_API uint32_t lq_method_count(void);

/* Name of a `method` id, NULL if unknown. Any thread. */
LQ_API const char *lq_method_name(int32_t method);

/* Id of the method called `name`, 0 if unknown. Any thread. */
LQ_API int32_t lq_method_from_name(const char *name);

/* Describes method number `index` (below lq_method_count) in *out. LQ_E_ARGUMENT past the end,
 * LQ_E_VERSION for a bad out->size. Any thread. */
LQ_API lq_status lq_method_info_at(uint32_t index, lq_method_info *out);

/* Describes the block type of ggml with the number `type` in *out. LQ_E_ARGUMENT where no type has
 * it, or none any longer; LQ_E_VERSION for a bad out->size. Any thread. */
LQ_API lq_status lq_ggml_type_info(int32_t type, lq_ggml_type *out);

/* ---- Config ---- */

/*
 * Makes a config with every key at its default. `alloc` NULL: malloc and free. The caller owns
 * *out and ends it with lq_config_destroy. LQ_E_MEMORY, LQ_E_VERSION (bad alloc->size),
 * LQ_E_ARGUMENT. Any thread.
 */
LQ_API lq_status lq_config_create(const lq_alloc *alloc, lq_config **out);

/* A copy of `config` with the same allocator; the caller owns *out. LQ_E_MEMORY,
 * LQ_E_ARGUMENT. One thread per handle. */
LQ_API lq_status lq_config_clone(const lq_config *config, lq_config **out);

/* Frees `config`; NULL is allowed. Tensors and quantizers made from it stay valid. One thread
 * per handle. */
LQ_API void lq_config_destroy(lq_config *config);

/* Sets the integer or choice `key` of `config` to `value`. LQ_E_ARGUMENT for an unknown key, one of
 * another type, or a value out of bounds; the old value stays then. One thread per handle. */
LQ_API lq_status lq_config_set_i64(lq_config *config, int32_t key, int64_t value);

/* The value of an integer or choice `key` of `config` in *out. LQ_E_ARGUMENT for an unknown key or
 * one of another type. One thread per handle. */
LQ_API lq_status lq_config_get_i64(const lq_config *config, int32_t key, int64_t *out);

/* Sets the floating-point `key` of `config` to `value`. LQ_E_ARGUMENT as lq_config_set_i64, also
 * for NaN. One thread per handle. */
LQ_API lq_status lq_config_set_f64(lq_config *config, int32_t key, double value);

/* The value of a floating-point `key` of `config` in *out. LQ_E_ARGUMENT for an unknown key or one
 * of another type. One thread per handle. */
LQ_API lq_status lq_config_get_f64(const lq_config *config, int32_t key, double *out);

/*
 * Sets any key of `config` by `name` from the text `value`: ("method", "nf4"), ("block_size",
 * "128"), ("nested", "1"), ("threshold", "6"). LQ_E_ARGUMENT for an unknown name, text that is no
 * such value, or a value out of bounds. One thread per handle.
 */
LQ_API lq_status lq_config_set_text(lq_config *config, const char *name, const char *value);

/* Describes key number `index`, from 0, in *out. LQ_E_ARGUMENT past the last, LQ_E_VERSION for
 * a bad out->size. Any thread. */
LQ_API lq_status lq_config_key_info(uint32_t index, lq_key_info *out);

/*
 * Calls with this `config` hand their parallel work to `parallel`, which gets `user`; NULL: back
 * to OpenMP, if built with it. `user` must outlive those calls, and quantizers made from the
 * config. LQ_E_ARGUMENT. One thread per handle.
 */
LQ_API lq_status lq_config_set_parallel(lq_config *config, lq_parallel_fn parallel, void *user);

/* Why the last call that took this `config` as its first argument failed; "" if it did not.
 * Valid until the next such call. One thread per handle. */
LQ_API const char *lq_config_error_text(const lq_config *config);

/*
 * ---- Tensors ----
 *
 * What reads a const tensor may run in many threads at once. `alloc` is where a new tensor takes
 * its memory from, then and later; NULL: malloc and free.
 */

/*
 * A dense tensor of zeros that owns its memory; fill it through lq_tensor_data. `dtype`: LQ_F32,
 * LQ_F16 or LQ_BF16. `ndim` 0..LQ_MAX_DIMS (0: one element) and that many `dims`; each may be 0.
 * The caller owns *out and ends it with lq_tensor_destroy. LQ_E_ARGUMENT, LQ_E_VERSION (bad
 * alloc->size), LQ_E_OVERFLOW, LQ_E_MEMORY. Any thread.
 */
LQ_API lq_status lq_tensor_create(const lq_alloc *alloc, int32_t dtype, uint32_t ndim,
                                  const uint64_t *dims, lq_tensor **out);

/*
 * A dense tensor over the caller's `data`, of `ndim` dimensions `dims`. The data are row-major and
 * contiguous, aligned to their element; `bytes` must be exactly what shape and `dtype` need
 * (LQ_E_SHAPE). The memory must stay, unchanged, until the tensor is destroyed; the caller owns
 * *out. LQ_E_SHAPE, LQ_E_ARGUMENT, LQ_E_VERSION (bad alloc->size), LQ_E_OVERFLOW, LQ_E_MEMORY. Any
 * thread.
 */
LQ_API lq_status lq_tensor_wrap(const lq_alloc *alloc, int32_t dtype, uint32_t ndim,
                                const uint64_t *dims, const void *data, size_t bytes,
                                lq_tensor **out);

/*
 * A tensor from the planes of a checkpoint. `planes` are `count` structs of planes[0].size bytes
 * each, in any order; names and shapes are those that `layout` has, listed below. `dims` may be
 * NULL with `ndim` 0 where the planes hold the shape; if given they must agree. `borrow` 0 copies
 * the planes; 1 uses them in place: they must be aligned to their elements and stay, unchanged,
 * until the tensor is destroyed. The caller owns *out. Everything is checked here, once: sizes,
 * names, code books, shape, scales that are not finite (unless LQ_KEY_NONFINITE is PROPAGATE).
 * LQ_E_LAYOUT, LQ_E_NONFINITE, LQ_E_UNSUPPORTED, LQ_E_ARGUMENT, LQ_E_VERSION (bad planes[0].size),
 * LQ_E_MEMORY; the text is in lq_config_error_text(config). The config gives the allocator. One
 * thread per handle.
 *
 * LQ_LAYOUT_BITSANDBYTES, 4 bit (code books are taken from the planes, not assumed):
 *   weight                                U8   [ceil(n / 2), 1]; read in any dtype and shape
 *   weight.absmax                         F32  [blocks], or U8 if nested
 *   weight.quant_map                      F32  [16]
 *   weight.nested_absmax                  F32  [ceil(blocks / nested block size)]
 *   weight.nested_quant_map               F32  [256]
 *   weight.quant_state.bitsandbytes__nf4  U8   JSON text; or __fp4
 * LQ_LAYOUT_BITSANDBYTES, int8:
 *   weight         I8   [N, K]
 *   SCB            F32  [N] or [N, 1]
 *   weight_format  U8   [], 0; may be absent
 * LQ_LAYOUT_BITSANDBYTES, none:
 *   weight  dense
 * LQ_LAYOUT_GPTQ, LQ_LAYOUT_GPTQ_V2, for a weight [N, K] with G groups a row (b bits):
 *   qweight  I32  [K * b / 32, N]: down a column the codes of one row, a little-endian stream of
 *                 bits; they fill whole words
 *   qzeros   I32  [G, N * b / 32]: along a row zero points likewise; v1: less 1, modulo 2^b
 *   scales   F16  [G, N]; read also in BF16 and F32
 *   g_idx    I32  [K]: the group of each column; read also without: column / (K / G)
 * LQ_LAYOUT_AWQ, 4 bits:
 *   qweight  I32  [K, N / 8]: nibble i of word c is the code of row 8c + (0, 2, 4, 6, 1, 3, 5,
 *                 7)[i]
 *   qzeros   I32  [G, N / 8] in the same order
 *   scales   F16  [G, N]; read also in BF16 and F32
 * These three become an affine tensor, whose rows are packed the other way: borrow 1 copies too.
 * Bits and columns come from the shapes; the dtype of the weights is that of the scales, which are
 * kept in F32 where not all are exact in F16. Zero points that are all 2^(b - 1) make it symmetric;
 * in v1 planes they are taken as v2 if stored so, since no v1 writer gives that and files exist
 * that are labelled wrong. Groups that do not follow the columns ("act-order") are kept by their
 * index.
 * LQ_LAYOUT_GGML:
 *   blocks  U8   [.., bytes of a row]: of each row its blocks, as the file has them; also [bytes],
 *                where dims must say the shape. F32, F16 or BF16 of types that are not quantized
 *   type    I32  []: the number of the type, as in lq_ggml_type_info
 * LQ_LAYOUT_NATIVE:
 *   meta             U8   JSON text: method, dtype, shape, block sizes
 *   codes            the data of none; U8 [ceil(n / 2)] of nf4 and fp4; U8 [n] of dynamic8; I8 of
 *                    int8, with the tensor's shape; U8 [rows, 4 * ceil(columns * bits / 32)] of
 *                    affine: each row a little-endian stream of bits, filled up to 32-bit words,
 *                    with g_idx its columns sorted by group, those of a group by number; U8 [bytes]
 *                    of ggml, its blocks
 *   scales           F32  [blocks], F32 [rows] of int8, F16 or F32 [rows, groups] of affine, or U8
 *                    of the same shape if nested
 *   zeros            U8   [rows, groups], affine that is not symmetric
 *   g_idx            I32  [columns], affine whose groups do not follow the columns
 *   nested_scales    F32  [ceil(blocks / nested block size)]
 *   nested_offset    F32  [1]
 *   codebook         F32  [16] or [256], only where it is not the method's own
 *   nested_codebook  F32  [256], likewise
 *   outlier_columns  I64  [c], int8 with a threshold
 *   outliers         the tensor's dtype, [rows, c]
 */
LQ_API lq_status lq_tensor_from_planes(lq_config *config, int32_t layout, const lq_plane *planes,
                                       uint32_t count, uint32_t ndim, const uint64_t *dims,
                                       int32_t borrow, lq_tensor **out);

/* A deep copy of `tensor` that owns all its memory; the caller owns *out. LQ_E_MEMORY,
 * LQ_E_VERSION (bad alloc->size), LQ_E_ARGUMENT. Any thread. */
LQ_API lq_status lq_tensor_clone(const lq_alloc *alloc, const lq_tensor *tensor, lq_tensor **out);

/* Frees `tensor`; NULL is allowed. One thread per handle. */
LQ_API void lq_tensor_destroy(lq_tensor *tensor);

/* The dtype that the weights of `tensor` had; lq_dequantize restores them to it exactly as its
 * reference would. Any thread. */
LQ_API int32_t lq_tensor_dtype(const lq_tensor *tensor);

/* How many dimensions `tensor` has. Any thread. */
LQ_API uint32_t lq_tensor_ndim(const lq_tensor *tensor);

/* Size of dimension `i` of `tensor`; 0 for i past the last. Any thread. */
LQ_API uint64_t lq_tensor_dim(const lq_tensor *tensor, uint32_t i);

/* Bytes of all native planes of `tensor` but the meta text: what the weights cost in memory.
 * Any thread. */
LQ_API uint64_t lq_tensor_nbytes(const lq_tensor *tensor);

/* Writable data of a `tensor` made by lq_tensor_create, otherwise NULL; it belongs to the
 * tensor. One thread per handle. */
LQ_API void *lq_tensor_data(lq_tensor *tensor);

/* Method id of `tensor`, LQ_NONE of a dense one. Any thread. */
LQ_API int32_t lq_tensor_method(const lq_tensor *tensor);

/*
 * What `tensor` was made with, in *out; `key`: LQ_KEY_METHOD, LQ_KEY_BLOCK_SIZE, LQ_KEY_NESTED,
 * LQ_KEY_NESTED_BLOCK_SIZE, LQ_KEY_BITS, LQ_KEY_GROUP_SIZE, LQ_KEY_SYMMETRIC or
 * LQ_KEY_BLOCK_TYPE. LQ_E_ARGUMENT for others. Any thread.
 */
LQ_API lq_status lq_tensor_get_i64(const lq_tensor *tensor, int32_t key, int64_t *out);

/* 8 * lq_tensor_nbytes / elements of `tensor`; 0 for an empty one. Any thread. */
LQ_API double lq_tensor_bits_per_weight(const lq_tensor *tensor);

/*
 * How many planes `tensor` has in a `layout`; 0 if the layout cannot hold it. GPTQ, GPTQ_V2 and AWQ
 * keep codes in another order than a tensor does: it has planes of these if lq_tensor_convert made
 * it for that layout. Any thread.
 */
LQ_API uint32_t lq_tensor_plane_count(const lq_tensor *tensor, int32_t layout);

/*
 * Plane number `i` of `tensor` in a `layout`, from 0, in *out; its name and data belong to the
 * tensor. LQ_E_UNSUPPORTED if the layout cannot hold the tensor, LQ_E_ARGUMENT past the last
 * plane, LQ_E_VERSION for a bad out->size. Any thread.
 */
LQ_API lq_status lq_tensor_plane(const lq_tensor *tensor, int32_t layout, uint32_t i,
                                 lq_plane *out);

/*
 * A copy that owns its memory and has planes in that `layout`; whatever else can be done with the
 * `tensor` can be done with the copy, which the caller owns in *out. Nothing is lost or rounded:
 * values, and planes after any number of ways there and back, stay the same. GPTQ layouts take
 * affine tensors of rank 2 without nested scales whose rows and columns are multiples of 32; the
 * first version (LQ_LAYOUT_GPTQ) has no zero point 0, which programs read differently. AWQ takes 4
 * bits, rows and columns that are multiples of 8, groups that divide the columns and follow them.
 * LQ_E_UNSUPPORTED if the layout cannot hold the tensor, LQ_E_ARGUMENT, LQ_E_VERSION (bad
 * alloc->size), LQ_E_MEMORY. Any thread.
 */
LQ_API lq_status lq_tensor_convert(const lq_alloc *alloc, const lq_tensor *tensor, int32_t layout,
                                   lq_tensor **out);

/* Why `tensor` cannot have planes in that `layout`, also by conversion: a short English text;
 * NULL if it can. Any thread. */
LQ_API const char *lq_tensor_obstacle(const lq_tensor *tensor, int32_t layout);

/* ---- Quantizer ---- */

/*
 * Makes a quantizer from a `config`, which is copied and may be destroyed; the caller owns *out and
 * ends it with lq_quantizer_destroy. Values that contradict each other are refused here: a block
 * size on a rowwise method, a threshold without int8, a group size without affine. LQ_E_ARGUMENT,
 * LQ_E_MEMORY; the reason is in lq_config_error_text(config). One thread per handle.
 */
LQ_API lq_status lq_quantizer_create(lq_config *config, lq_quantizer **out);

/* Frees `quantizer`; NULL is allowed. Tensors it made stay valid. One thread per handle. */
LQ_API void lq_quantizer_destroy(lq_quantizer *quantizer);

/*
 * Quantizes the dense tensor `weight`. *out is a new tensor that owns its memory, does not refer to
 * `weight` and belongs to the caller. A tensor of rank above 2 is taken as a matrix of its last
 * dimension by all others. LQ_E_NONFINITE, LQ_E_MEMORY, LQ_E_STATE (`weight` is already quantized;
 * gptq: nothing was observed), LQ_E_SHAPE (gptq: other columns were observed), LQ_E_SINGULAR,
 * LQ_E_UNSUPPORTED, LQ_E_ARGUMENT; the text is in lq_quantizer_error_text(quantizer).
 * LQ_E_NONFINITE also where the inputs of pairs are so far apart that f32 cannot hold the
 * correction. One thread per handle.
 */
LQ_API lq_status lq_quantizer_run(lq_quantizer *quantizer, const lq_tensor *weight,
                                  lq_tensor **out);

/*
 * Shows a calibrated `quantizer` inputs of the layer whose weight it will be given: `x` [rows,
 * columns] of `x_dtype`, row i at element i * x_stride; it is read and not kept. The Hessian does
 * not depend on how rows are split into calls, nor on threads; a run between two calls may change
 * its last bits. Weights of several layers that share their input may share a quantizer. LQ_E_STATE
 * if the method does not calibrate or LQ_KEY_INPUT_CORRECTION asks for pairs, LQ_E_SHAPE if an
 * earlier call had other columns, LQ_E_NONFINITE (the text names row and column; nothing of the
 * call is kept), LQ_E_ARGUMENT, LQ_E_OVERFLOW, LQ_E_MEMORY. One thread per handle.
 */
LQ_API lq_status lq_quantizer_observe(lq_quantizer *quantizer, uint64_t rows, uint64_t columns,
                                      int32_t x_dtype, const void *x, uint64_t x_stride);

/*
 * Shows a `quantizer` with LQ_KEY_INPUT_CORRECTION above 0 inputs in pairs: for each row of x,
 * what the layer sees behind layers that are quantized already, the row of x_float that it would
 * see in the float model. Both are [rows, columns] of one `dtype`, with strides x_stride and
 * x_float_stride. Where all of x_float equals x the codes are those of lq_quantizer_observe without
 * the key. Errors as there; LQ_E_STATE if the key is 0. One thread per handle.
 */
LQ_API lq_status lq_quantizer_observe_pair(lq_quantizer *quantizer, uint64_t rows, uint64_t columns,
                                           int32_t dtype, const void *x, uint64_t x_stride,
                                           const void *x_float, uint64_t x_float_stride);

/* Forgets all observations of `quantizer`. One thread per handle. */
LQ_API void lq_quantizer_reset(lq_quantizer *quantizer);

/* Bytes that lq_quantizer_save writes of `quantizer` now; 0 if nothing was observed. One
 * thread per handle. */
LQ_API uint64_t lq_quantizer_save_bytes(const lq_quantizer *quantizer);

/*
 * Writes what `quantizer` observed to `out`, the same bytes on every machine. LQ_E_SHAPE unless
 * `bytes` is lq_quantizer_save_bytes, LQ_E_STATE if nothing was observed, LQ_E_ARGUMENT. One
 * thread per handle.
 */
LQ_API lq_status lq_quantizer_save(const lq_quantizer *quantizer, void *out, size_t bytes);

/*
 * Replaces the observations of `quantizer` by saved ones: `bytes` bytes at `data`, which are not
 * kept. LQ_E_LAYOUT if the bytes are not such, LQ_E_STATE (also for pairs without
 * LQ_KEY_INPUT_CORRECTION, or the reverse), LQ_E_ARGUMENT, LQ_E_MEMORY; on failure the old ones
 * stay. One thread per handle.
 */
LQ_API lq_status lq_quantizer_load(lq_quantizer *quantizer, const void *data, size_t bytes);

/*
 * Adds the observations of `other` behind those of `quantizer`: so several processes can each
 * look at a part of the data. Parts of whole multiples of 256 rows, merged in order, give the sums
 * of one process up to their last bit in binary64. LQ_E_SHAPE, LQ_E_STATE, LQ_E_ARGUMENT (also for
 * two that are one), LQ_E_MEMORY. One thread per handle.
 */
LQ_API lq_status lq_quantizer_merge(lq_quantizer *quantizer, const lq_quantizer *other);

/* What the last run of `quantizer` saw, in *out. LQ_E_STATE before the first, LQ_E_VERSION for
 * a bad out->size, LQ_E_ARGUMENT. One thread per handle. */
LQ_API lq_status lq_quantizer_report(const lq_quantizer *quantizer, lq_report *out);

/* Why the last call of `quantizer` failed, as "weight [3, 17] is nan"; "" if it did not. Valid
 * until its next call. One thread per handle. */
LQ_API const char *lq_quantizer_error_text(const lq_quantizer *quantizer);

/*
 * ---- Compute ----
 *
 * `how` gives the number of threads or a thread pool, for products LQ_KEY_COMPUTE too, and may be
 * NULL. Results go to the caller's memory. Work space comes from the allocator of the tensor.
 */

/*
 * The weights of `tensor` as F32, F16 or BF16 (`dtype`), row-major, to `out`. `bytes` must be what
 * the shape needs. Each element is value(code) * scale in f32, one rounding, then rounded once to
 * the dtype; of affine, scale * (code - zero point). LQ_E_SHAPE, LQ_E_ARGUMENT. Any thread.
 */
LQ_API lq_status lq_dequantize(const lq_tensor *tensor, int32_t dtype, void *out, size_t bytes,
                               const lq_config *how);

/*
 * Some rows of `tensor` alone: first_row .. first_row + rows - 1, as `dtype` to `out`, `bytes`
 * bytes; a row is the last dimension. LQ_E_SHAPE, also for rows that it has not, LQ_E_ARGUMENT.
 * Any thread.
 */
LQ_API lq_status lq_dequantize_rows(const lq_tensor *tensor, uint64_t first_row, uint64_t rows,
                                    int32_t dtype, void *out, size_t bytes, const lq_config *how);

/*
 * y = x W^T + bias for the `weight` W of shape [N, K] (rank 2; others as lq_quantizer_run flattens
 * them). x: m rows of K elements of x_dtype, row i at element i * x_stride. y: m rows of N of
 * y_dtype, at i * y_stride. bias: N f32 values or NULL. Weights are what lq_dequantize makes of
 * them in f32, products are accumulated in f32 in an order that depends on K alone, and rounded
 * once to y_dtype: the same bits for any method that holds the same values, any number of threads,
 * any m and any machine. A W with a group index, whose groups have one size, a multiple of 32,
 * takes the columns sorted by group, those of a group by number: the bits are those of the product
 * in which W and x have their columns in that order. x, y and bias do not overlap. LQ_E_ARGUMENT,
 * LQ_E_SHAPE (a stride below its row), LQ_E_OVERFLOW, LQ_E_MEMORY (work space: 512 rows of x in f32
 * at most, some rows of W a thread; with a group index also a copy of x). Any thread.
 */
LQ_API lq_status lq_matmul(const lq_tensor *weight, uint64_t m, int32_t x_dtype, const void *x,
                           uint64_t x_stride, const float *bias, int32_t y_dtype, void *y,
                           uint64_t y_stride, const lq_config *how);

/*
 * y = x W^T + bias for some rows of the `weight` W: first_row .. first_row + rows - 1, in programs
 * that deal out the work themselves. m, x, x_dtype, x_stride, y_dtype and y_stride are as in
 * lq_matmul, y and bias have `rows` columns, the bits are the same. Calls for different rows may
 * run at once; `how` with LQ_KEY_THREADS 1 keeps each in its caller's thread. Errors as there;
 * LQ_E_SHAPE also for rows that W has not. Any thread.
 */
LQ_API lq_status lq_matmul_rows(const lq_tensor *weight, uint64_t first_row, uint64_t rows,
                                uint64_t m, int32_t x_dtype, const void *x, uint64_t x_stride,
                                const float *bias, int32_t y_dtype, void *y, uint64_t y_stride,
                                const lq_config *how);

/*
 * dx = dy W for the `weight` W: the gradient that a frozen layer hands on in fine-tuning. dy has m
 * rows of N elements of dy_dtype, row i at element i * dy_stride; dx m rows of K of dx_dtype, at i
 * * dx_stride. Weights as above; products are accumulated in f32 in an order that depends on N
 * alone (chains of 256 rows of W, added one after another), and rounded once to dx_dtype: the same
 * bits for any method that holds the same values, any number of threads, any m and any machine. dy
 * and dx do not overlap. Threads share the columns of W; each is decoded once for up to 512 rows of
 * dy. LQ_E_ARGUMENT, LQ_E_SHAPE, LQ_E_OVERFLOW, LQ_E_MEMORY (work space: dy in f32, as many rows at
 * a time as fit 16 MiB, but 48 to 512; and at most 1.2 MiB a thread). Any thread.
 */
LQ_API lq_status lq_matmul_transposed(const lq_tensor *weight, uint64_t m, int32_t dy_dtype,
                                      const void *dy, uint64_t dy_stride, int32_t dx_dtype,
                                      void *dx, uint64_t dx_stride, const lq_config *how);

/*
 * y = x W^T from integer activations: both tensors are int8, `x` [M, K] and `weight` [N, K]. The
 * integer product is exact; y has M rows of N, row i at element i * y_stride. y_dtype LQ_I32 gives
 * it as it is (bias NULL); otherwise y = (f32(sum) * (scale_x * scale_w)) * c + bias, where c is
 * 1/127^2, or with LQ_KEY_COMPAT bitsandbytes-cpu in `how` the 6.200124e-05 of that program. Where
 * x has dense outlier columns (made with LQ_KEY_THRESHOLD and no compat), their products with the
 * decoded columns of W are added in f32. LQ_E_UNSUPPORTED for other methods, a weight with dense
 * outlier columns, or K above 131071; LQ_E_SHAPE, LQ_E_ARGUMENT, LQ_E_MEMORY (work space: codes of
 * 512 rows of x at a time, and some 50 kB a thread). Any thread.
 */
LQ_API lq_status lq_matmul_int8(const lq_tensor *weight, const lq_tensor *x, const float *bias,
                                int32_t y_dtype, void *y, uint64_t y_stride, const lq_config *how);

/*
 * How far `b` is from `a`, in *out; each may be dense or quantized, shapes must be equal. Sums are
 * in double precision, row by row, in a fixed order. Elements that are NaN in both, or infinite
 * with the same sign in both, count as equal. LQ_E_SHAPE, LQ_E_ARGUMENT, LQ_E_VERSION (bad
 * out->size), LQ_E_MEMORY. Any thread.
 */
LQ_API lq_status lq_compare(const lq_tensor *a, const lq_tensor *b, lq_metrics *out,
                            const lq_config *how);

/* ---- Static weights, for firmware ----
 *
 * Weights that lie in read-only memory as plain arrays, and products with them that take nothing
 * but the caller's memory: no allocation, file, C library, double or variable. `quant export
 * --c-array` writes such arrays. Compiled with LQ_FREESTANDING this part is all there is, up to
 * lq_static_from_tensor. docs/firmware.md has sizes, cycles and a complete program.
 */

/*
 * A weight [rows, columns] in the caller's arrays, which stay the caller's. The codes lie as in
 * LQ_LAYOUT_NATIVE; number i of the scales is that of
 *   nf4, fp4   block i of the flattened matrix, `block` elements each, the last perhaps shorter
 *   affine     4 or 8 bits: group i % G of row i / G, `block` columns each, G = ceil(columns /
 *              block)
 *   int8       row i; block is 0
 * With scale_dtype LQ_U8 (not int8) a scale is nested: nested_codebook[scales[i]] * nested_scales[i
 * / nested_block], rounded, + nested_offset. Bytes are those of the arrays; what is absent is NULL
 * and 0. Set `size` to sizeof(lq_static).
 */
typedef struct lq_static {
  uint32_t size;
  int32_t method; /* LQ_NF4, LQ_FP4, LQ_INT8, LQ_AFFINE */
  uint32_t rows, columns;
  uint32_t bits; /* of a code: 4 or 8 */
  uint32_t block;
  int32_t scale_dtype; /* LQ_F32; LQ_F16: affine alone; LQ_U8: nested */
  uint32_t nested_block;
  float nested_offset;
  uint32_t codes_bytes, scales_bytes, zeros_bytes, nested_scales_bytes;
  uint32_t reserved;
  const void *codes;
  const void *scales;
  const uint8_t *zeros;         /* affine: the zero points, in the order of scales; NULL: all are
                                   2^(bits - 1) */
  const float *codebook;        /* nf4, fp4: 16 values by code */
  const float *nested_scales;   /* f32 */
  const float *nested_codebook; /* 256 values by code */
  const float *bias;            /* [rows], or NULL */
} lq_static;

/*
 * Whether the fields of `weight` agree with each other: LQ_E_ARGUMENT (a null or misaligned
 * pointer, a method or type that is none of these), LQ_E_SHAPE (bytes that are not what the shape
 * needs), LQ_E_OVERFLOW (rows * columns does not fit 32 bits), LQ_E_UNSUPPORTED (a method that was
 * left out of the build), LQ_E_VERSION (a bad size). The functions below ask it first, so that none
 * reads past an array; it takes about a hundred instructions. Any thread.
 */
LQ_API lq_status lq_static_check(const lq_static *weight);

/* Decodes `rows` rows of `weight` from first_row on to out[rows * columns]. They are the bits of
 * lq_dequantize to f32. LQ_E_SHAPE for rows that it has not; else as lq_static_check. Any
 * thread. */
LQ_API lq_status lq_static_decode(const lq_static *weight, uint32_t first_row, uint32_t rows,
                                  float *out);

/* y[rows] = `weight` x[columns] + bias, the bits of lq_matmul. With LQ_FREESTANDING only where the
 * target has a fused multiply-add in f32. x and y do not overlap. LQ_E_ARGUMENT and what
 * lq_static_check gives. Any thread. */
LQ_API lq_status lq_static_matvec(const lq_static *weight, const float *x, float *y);

/*
 * How an integer product becomes an 8-bit output: it is multiplied by multiplier * 2^(shift - 31).
 *   DOUBLE  acc * 2^max(shift, 0) * multiplier / 2^31 rounded half up, then divided by
 *           2^max(-shift, 0) and rounded half away from zero: TensorFlow Lite, its version for
 *           microcontrollers, CMSIS-NN
 *   SINGLE  in one step, rounded half up: the same built with TFLITE_SINGLE_ROUNDING or
 *           CMSIS_NN_USE_SINGLE_ROUNDING, XNNPACK
 * They differ by 1 in about one result of sixty.
 */
enum { LQ_ROUND_DOUBLE = 1, LQ_ROUND_SINGLE = 2 };

/* The sum `acc` by `multiplier`, 0 or above, and `shift`, -31 .. 30, with a `rounding` LQ_ROUND_*.
 * A result beyond 32 bits wraps. Other arguments give 0. Any thread. */
LQ_API int32_t lq_requantize(int32_t acc, int32_t multiplier, int32_t shift, int32_t rounding);

/*
 * An int8 layer in fixed point (W8A8): for inputs x and outputs y that stand for scale * (integer -
 * zero point),
 *   y[n] = clamp(requantize(bias[n] + sum of codes[n, k] * x[k], multiplier[n], shift[n]) + y_zero)
 * within y_least .. y_most. bias holds the zero point of x too: round(b / (x_scale * w_scale)) -
 * x_zero * (sum of codes[n, k]). At most 131071 columns, so that no sum overflows. Bounds above
 * -128 or below 127 are activations: y_least = y_zero is ReLU. Set `size` to sizeof.
 */
typedef struct lq_static_w8a8 {
  uint32_t size;
  int32_t rounding; /* LQ_ROUND_DOUBLE, LQ_ROUND_SINGLE */
  uint32_t rows, columns;
  int32_t y_zero, y_least, y_most; /* -128 .. 127 */
  int32_t x_zero; /* what x was made with, like the two scales: not computed with */
  float x_scale, y_scale;
  const int8_t *codes;       /* [rows, columns] */
  const int32_t *bias;       /* these three: [rows] */
  const int32_t *multiplier; /* 0 .. 2^31 - 1 */
  const int8_t *shift;       /* -31 .. 30 */
} lq_static_w8a8;

/* Whether the fields of `layer` agree with each other, as lq_static_check; looks at every
 * multiplier and shift. LQ_E_ARGUMENT, LQ_E_SHAPE, LQ_E_OVERFLOW, LQ_E_VERSION. Any thread. */
LQ_API lq_status lq_static_check_w8a8(const lq_static_w8a8 *layer);

/* The outputs y[rows] of `layer` from x[columns], which do not overlap. LQ_E_ARGUMENT and what
 * lq_static_check_w8a8 gives. Any thread. */
LQ_API lq_status lq_static_matvec_w8a8(const lq_static_w8a8 *layer, const int8_t *x, int8_t *y);

/*
 * The descriptor of `tensor` in *out, over the tensor's own memory, as long as that lives. Not with
 * LQ_FREESTANDING. `out` comes with its size set, and has no bias. LQ_E_UNSUPPORTED for what it
 * cannot describe: other methods and bits, dense outlier columns, groups that do not follow the
 * columns; LQ_E_OVERFLOW, LQ_E_ARGUMENT, LQ_E_VERSION (bad out->size). Any thread.
 */
LQ_API lq_status lq_static_from_tensor(const lq_tensor *tensor, lq_static *out);

/* The `multiplier` and `shift` of a `factor` >= 0; below 2^-32 both are 0. LQ_E_ARGUMENT for a
 * negative factor, NaN, or one of 2^30 and more. Not with LQ_FREESTANDING. Any thread. */
LQ_API lq_status lq_requantize_factor(double factor, int32_t *multiplier, int32_t *shift);

/*
 * A W8A8 layer from an int8 `tensor` without dense columns. `out` comes with size, rounding,
 * x_scale, x_zero, y_scale, y_zero, y_least and y_most set, and gets the rest; the arrays are the
 * caller's: `codes` [rows, columns], `bias_out`, `multiplier` and `shift` [rows]; they are
 * written. `bias`: f32, or NULL. A row whose bias in units of x_scale * w_scale would not fit 30
 * bits, since its weights are next to nothing, gets a larger scale and codes to match. Not with
 * LQ_FREESTANDING. LQ_E_UNSUPPORTED, LQ_E_ARGUMENT (also scales that are not positive),
 * LQ_E_NONFINITE (bias), LQ_E_OVERFLOW (131072 columns or more, a factor x_scale * w_scale /
 * y_scale of 2^30 or more). Any thread.
 */
LQ_API lq_status lq_static_w8a8_from_tensor(const lq_tensor *tensor, const float *bias,
                                            int8_t *codes, int32_t *bias_out, int32_t *multiplier,
                                            int8_t *shift, lq_static_w8a8 *out);

/* END DECLARATIONS */

#ifdef __cplusplus
}
#endif

#endif
