/*
 * layout.h - an encoded tensor as the named arrays of a checkpoint family, and back.
 *
 * Owns: struct lqi_layout, one constant per family, and the text that describes a tensor
 * (fields.c).
 * Must not know: files, public handles.
 */
#ifndef LQI_LAYOUT_H
#define LQI_LAYOUT_H

#include "../method/method.h"

/* What the caller handed over: `count` structs of `stride` bytes each. */
struct lqi_import {
  const lq_plane *planes;
  uint32_t stride;
  uint32_t count;
  int32_t zero_borrow; /* LQ_KEY_ZERO_BORROW */
};

struct lqi_layout {
  int32_t id;

  /* The text plane of a tensor, "" if it has none; NULL for families without such planes. A pure
   * function of the store. */
  void (*describe)(const struct lqi_store *store, struct lqi_text *out);

  /* How many planes; 0 if the family cannot hold this tensor. */
  uint32_t (*count)(const struct lqi_store *store);

  /* Plane i, i below count(store); `text` is what describe gave. Fills all of *out but size. */
  void (*plane)(const struct lqi_store *store, const struct lqi_text *text, uint32_t i,
                lq_plane *out);

  /*
   * Reads the planes into *out, whose spans then point into the caller's memory. Checks names,
   * dtypes and the text; sizes against the shape are checked behind it, once for all families
   * (api/planes.c).
   */
  lq_status (*import)(const struct lqi_import *in, struct lqi_store *out, struct lqi_text *why);

  /*
   * Families that keep codes in another order; where these are NULL, the planes are the tensor's
   * own. `count` is 0 for a store without packed planes of the family, and import gives a store
   * that has no others, its sizes compared.
   *   obstacle   why the family cannot hold the tensor, NULL if it can
   *   sizes      bytes of the packed planes, and the dtype of their scales
   *   pack       fills store->packed from store->plane
   *   unpack     fills to->plane, which has room, from from->packed
   */
  const char *(*obstacle)(const struct lqi_store *store);
  void (*sizes)(struct lqi_store *store);
  void (*pack)(struct lqi_store *store);
  void (*unpack)(const struct lqi_store *from, struct lqi_store *to);
};

extern const struct lqi_layout lqi_layout_native, lqi_layout_bitsandbytes, lqi_layout_gptq,
    lqi_layout_gptq_v2, lqi_layout_awq, lqi_layout_ggml;

/* NULL if unknown. */
const struct lqi_layout *lqi_layout_by_id(int32_t id);

/* ---- For the families ---- */

/* The plane of that name, NULL if absent. */
const lq_plane *lqi_find_plane(const struct lqi_import *in, const char *name);

/* *out = the plane's memory; LQ_E_LAYOUT if it is absent or of another dtype. Absent is fine where
 * `optional`. */
lq_status lqi_take_plane(const struct lqi_import *in, const char *name, int32_t dtype, int optional,
                         struct lqi_span *out, struct lqi_text *why);

/* Fills a plane of up to two dimensions; ndim 0 is a single element. */
void lqi_set_plane(lq_plane *out, const char *name, int32_t dtype, uint32_t ndim, uint64_t dim0,
                   uint64_t dim1, const void *data, uint64_t bytes);

/* Fills a plane that has the shape of the tensor. */
void lqi_set_plane_shaped(lq_plane *out, const char *name, int32_t dtype,
                          const struct lqi_store *store, const struct lqi_span *span);

/* ---- fields.c: the flat JSON objects that describe a tensor ---- */

/* What such an object may say; 0 or has_ 0 where it does not. */
struct lqi_fields {
  char method[16]; /* "method", "quant_type" */
  char dtype[16];  /* "float32", "float16", "bfloat16" */
  char nested_dtype[16];
  uint64_t version;
  uint64_t block_size;        /* "block_size", "blocksize" */
  uint64_t nested_block_size; /* "nested_block_size", "nested_blocksize" */
  uint64_t bits;
  uint64_t group_size; /* 0: the whole row */
  uint64_t groups;     /* "sorted_groups", where a group index is stored: their number */
  uint64_t symmetric;
  uint64_t block_type; /* ggml */
  uint64_t outliers_dropped;
  double nested_offset;
  int32_t has_nested_offset;
  int32_t has_shape;
  uint32_t ndim;
  uint64_t dims[LQ_MAX_DIMS];
};

/*
 * Reads such an object from text[0..n): any order, unknown members skipped, one value a name.
 * LQ_E_LAYOUT with the byte offset in `why` if it is not one, or a number does not fit.
 */
lq_status lqi_fields_parse(const char *text, uint64_t n, struct lqi_fields *out,
                           struct lqi_text *why);

/* The name of a float dtype in such texts, and back (0 if unknown). */
const char *lqi_dtype_name(int32_t dtype);
int32_t lqi_dtype_from_name(const char *name);

/* Appends "[128, 256]". */
void lqi_text_add_shape(struct lqi_text *t, const struct lqi_shape *shape);

#endif
