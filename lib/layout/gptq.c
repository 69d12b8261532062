/*
 * gptq.c - the tensors of a linear layer in GPTQ checkpoints (v1 and v2) and in those of AWQ.
 *
 * Owns: names and shapes, what each family can hold, the rules for zero points.
 * Must not know: files, module paths, how codes lie in words (packed.c).
 *
 * For a weight [rows, cols], groups = number of scales of a row:
 *   gptq  qweight I32 [cols * bits / 32, rows], qzeros I32 [groups, rows * bits / 32],
 *         scales [groups, rows], g_idx I32 [cols]; qzeros hold the zero point less 1 (v1) or itself
 *         (v2)
 *   awq   qweight I32 [cols, rows / 8], qzeros I32 [groups, rows / 8], scales [groups, rows]
 */
#include "packed.h"

#include "../method/affine.h"
#include "../method/registry.h"

/* What all of them must be multiples of, where programs agree on it. */
#define MULTIPLE 32

/* ---- what a family can hold ---- */

static const char *common_obstacle(const struct lqi_store *store)
{
  if (!LQI_IS(store, AFFINE))
    return "only affine tensors have this layout";
  if (store->nested_block_size != 0)
    return "the layout has no nested scales";
  if (store->shape.ndim != 2 || store->shape.count == 0)
    return "the layout needs a matrix that is not empty";
  return NULL;
}

static const char *v2_obstacle(const struct lqi_store *store)
{
  const char *why = common_obstacle(store);
  if (why == NULL && (store->shape.rows % MULTIPLE != 0 || store->shape.cols % MULTIPLE != 0))
    return "rows and columns must be multiples of 32";
  return why;
}

/* v1 stores zero points less 1; what programs make of -1 differs. */
static const char *v1_obstacle(const struct lqi_store *store)
{
  const char *why = v2_obstacle(store);
  const uint8_t *zeros = store->plane[LQI_ZEROS].data;
  for (uint64_t i = 0; why == NULL && i < store->plane[LQI_ZEROS].bytes; i++)
    if (zeros[i] == 0)
      return "the layout has no zero point 0; gptq_v2 has";
  return why;
}

static const char *awq_obstacle(const struct lqi_store *store)
{
  const char *why = common_obstacle(store);
  if (why != NULL)
    return why;
  if (store->bits != 4)
    return "the layout has 4 bits";
  if (store->mapped)
    return "the layout has no group index";
  if (store->shape.rows % 8 != 0 || store->shape.cols % 8 != 0)
    return "rows and columns must be multiples of 8";
  if (store->groups > 1 && store->shape.cols % store->group_size != 0)
    return "the group size must divide the columns";
  return NULL;
}

/* ---- packed planes of a store ---- */

static void set_sizes(struct lqi_store *store, int32_t layout, uint64_t index_bytes)
{
  uint64_t rows = store->shape.rows, count = store->shape.count;
  store->packed = (struct lqi_packed){.layout = layout, .scale_dtype = store->scale_dtype};
  store->packed.plane[LQI_QWEIGHT].bytes = count / 8 * store->bits;
  store->packed.plane[LQI_QZEROS].bytes = store->groups * rows / 8 * store->bits;
  store->packed.plane[LQI_QSCALES].bytes =
      store->groups * rows * lqi_dtype_size(store->scale_dtype);
  store->packed.plane[LQI_QINDEX].bytes = index_bytes;
}

static void v1_sizes(struct lqi_store *store)
{
  set_sizes(store, LQ_LAYOUT_GPTQ, store->shape.cols * sizeof(int32_t));
}

static void v2_sizes(struct lqi_store *store)
{
  set_sizes(store, LQ_LAYOUT_GPTQ_V2, store->shape.cols * sizeof(int32_t));
}

static void awq_sizes(struct lqi_store *store)
{
  set_sizes(store, LQ_LAYOUT_AWQ, 0);
}

/* Group of column c where no index is stored. */
static int32_t regular_group(const struct lqi_store *store, uint64_t c)
{
  return store->group_size != 0 ? (int32_t)(c / store->group_size) : 0;
}

static void gptq_pack(struct lqi_store *store)
{
  const struct lqi_span *to = store->packed.plane;
  const int32_t *from = store->plane[LQI_GROUP_INDEX].data;
  int32_t *index = to[LQI_QINDEX].data;
  lqi_words_from_rows(store, &to[LQI_QWEIGHT]);
  lqi_fields_from_zeros(store, store->packed.layout == LQ_LAYOUT_GPTQ, &to[LQI_QZEROS]);
  lqi_scales_from_rows(store, store->packed.scale_dtype, &to[LQI_QSCALES]);
  for (uint64_t c = 0; c < store->shape.cols; c++)
    index[c] = store->mapped ? from[c] : regular_group(store, c);
}

static void awq_pack(struct lqi_store *store)
{
  const struct lqi_span *to = store->packed.plane;
  lqi_nibbles_from_rows(store, &to[LQI_QWEIGHT]);
  lqi_nibbles_from_zeros(store, &to[LQI_QZEROS]);
  lqi_scales_from_rows(store, store->packed.scale_dtype, &to[LQI_QSCALES]);
}

static uint32_t v1_count(const struct lqi_store *store)
{
  return store->packed.layout == LQ_LAYOUT_GPTQ ? 4 : 0;
}

static uint32_t v2_count(const struct lqi_store *store)
{
  return store->packed.layout == LQ_LAYOUT_GPTQ_V2 ? 4 : 0;
}

static uint32_t awq_count(const struct lqi_store *store)
{
  return store->packed.layout == LQ_LAYOUT_AWQ ? 3 : 0;
}

static void packed_plane(const struct lqi_store *store, const struct lqi_text *text, uint32_t i,
                         lq_plane *out)
{
  const struct lqi_span *p = store->packed.plane;
  uint64_t rows = store->shape.rows, cols = store->shape.cols, words = rows * store->bits / 32;
  int awq = store->packed.layout == LQ_LAYOUT_AWQ;
  (void)text;
  switch (i) {
  case 0:
    lqi_set_plane(out, "qweight", LQ_I32, 2, awq ? cols : cols * store->bits / 32,
                  awq ? words : rows, p[LQI_QWEIGHT].data, p[LQI_QWEIGHT].bytes);
    break;
  case 1:
    lqi_set_plane(out, "qzeros", LQ_I32, 2, store->groups, words, p[LQI_QZEROS].data,
                  p[LQI_QZEROS].bytes);
    break;
  case 2:
    lqi_set_plane(out, "scales", store->packed.scale_dtype, 2, store->groups, rows,
                  p[LQI_QSCALES].data, p[LQI_QSCALES].bytes);
    break;
  default:
    lqi_set_plane(out, "g_idx", LQ_I32, 1, cols, 0, p[LQI_QINDEX].data, p[LQI_QINDEX].bytes);
    break;
  }
}

/* ---- reading ---- */

/* The planes as they were given; index NULL if absent. */
struct given {
  const lq_plane *weight, *zeros, *scales, *index;
};

/* `dtype` 0: any float. */
static lq_status take_matrix(const struct lqi_import *in, const char *name, int32_t dtype,
                             const lq_plane **plane, struct lqi_span *span, struct lqi_text *why)
{
  *plane = lqi_find_plane(in, name);
  if (*plane == NULL)
    return lqi_fail(why, LQ_E_LAYOUT, name, " is missing");
  if (dtype != 0 ? (*plane)->dtype != dtype : !lqi_is_float((*plane)->dtype))
    return lqi_fail(why, LQ_E_LAYOUT, name, " has the wrong dtype");
  if ((*plane)->ndim != 2 || (*plane)->bytes == 0)
    return lqi_fail(why, LQ_E_LAYOUT, name, " must be a matrix that is not empty");
  *span = (struct lqi_span){(void *)(uintptr_t)(*plane)->data, (*plane)->bytes};
  return LQ_OK;
}

static lq_status take_planes(const struct lqi_import *in, struct given *g, struct lqi_store *out,
                             struct lqi_text *why)
{
  struct lqi_span *span = out->packed.plane;
  lq_status s = take_matrix(in, "qweight", LQ_I32, &g->weight, &span[LQI_QWEIGHT], why);
  if (s == LQ_OK)
    s = take_matrix(in, "qzeros", LQ_I32, &g->zeros, &span[LQI_QZEROS], why);
  if (s == LQ_OK)
    s = take_matrix(in, "scales", 0, &g->scales, &span[LQI_QSCALES], why);
  if (s != LQ_OK)
    return s;
  out->method = &lqi_method_affine;
  out->dtype = g->scales->dtype;
  out->groups = g->scales->dims[0];
  out->packed.scale_dtype = g->scales->dtype;
  if (g->zeros->dims[0] != out->groups)
    return lqi_fail(why, LQ_E_LAYOUT, "scales and qzeros have different numbers of groups", NULL);
  if (out->groups > INT32_MAX)
    return lqi_fail(why, LQ_E_LAYOUT, "too many groups", NULL);
  return LQ_OK;
}

/* f16 where all scales are exact in it, else f32. */
static int32_t scale_dtype_for(const struct lqi_span *scales, int32_t dtype)
{
  if (dtype == LQ_F16)
    return LQ_F16;
  uint32_t size = lqi_dtype_size(dtype);
  /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): the type of a plane of floats */
  for (uint64_t i = 0; i < scales->bytes / size; i++) {
    float x = lqi_load_unaligned(scales->data, dtype, i);
    if (!(lqi_f16_to_f32(lqi_f32_to_f16(x)) == x))
      return LQ_F32;
  }
  return LQ_F16;
}

/* Columns c = c / size throughout, in as many groups as there are: then no index is kept. */
static int is_regular(const struct lqi_span *index, uint64_t cols, uint64_t groups, uint64_t size)
{
  if (size == 0 || lqi_ceil_div(cols, size) != groups)
    return 0;
  for (uint64_t c = 0; c < cols; c++)
    if (lqi_word(index, c) != c / size)
      return 0;
  return 1;
}

/*
 * The size of groups is that of the first: in files with a group index too, where it is the one
 * that was processed first. An index that is regular is not kept, but for sizes that no kernel
 * takes.
 */
static lq_status take_groups(const struct lqi_span *index, struct lqi_store *out,
                             struct lqi_text *why)
{
  uint64_t cols = out->shape.cols, groups = out->groups, size = 0, leading = 0;
  for (uint64_t c = 0; c < cols && index->bytes != 0; c++) {
    if (lqi_word(index, c) >= groups)
      return lqi_fail(why, LQ_E_LAYOUT, "g_idx names a group that is not there", NULL);
    size += lqi_word(index, c) == 0;
    leading += leading == c && lqi_word(index, c) == 0;
  }
  if (index->bytes == 0 && cols % groups != 0)
    return lqi_fail(why, LQ_E_LAYOUT, "without g_idx, the groups must divide the columns", NULL);
  size = index->bytes == 0 ? cols / groups : size;
  int regular = index->bytes == 0 || is_regular(index, cols, groups, leading);
  int whole = regular && groups == 1, mapped = !whole && (!regular || size % 8 != 0);
  if (size > UINT32_MAX && !whole)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "groups of more than 2^32 columns", NULL);
  out->packed.plane[LQI_QINDEX] = *index;
  lqi_affine_form(out, out->bits, whole ? 0 : (uint32_t)size, 0, mapped);
  out->scale_dtype = scale_dtype_for(&out->packed.plane[LQI_QSCALES], out->packed.scale_dtype);
  return LQ_OK;
}

/* ---- zero points ---- */

/* What is added to words, and then to fields, of stored zero points. */
struct zero_rule {
  uint32_t word, field;
};

static struct zero_rule rule_of(const struct lqi_store *store)
{
  struct zero_rule rule = {0, store->packed.layout == LQ_LAYOUT_GPTQ};
  if (rule.field != 0 && store->packed.borrow && store->bits != 3) {
    for (uint32_t i = 0; i < 32; i += store->bits)
      rule.word |= 1u << i;
    rule.field = 0;
  }
  return rule;
}

/* Zero points of up to LQI_FIELDS rows of a group, from row `first` on; returns how many. */
static size_t zeros_of(const struct lqi_store *store, uint64_t group, uint64_t first,
                       struct zero_rule rule, uint8_t zeros[LQI_FIELDS])
{
  const struct lqi_span *from = &store->packed.plane[LQI_QZEROS];
  uint32_t mask = (1u << store->bits) - 1u;
  if (store->packed.layout == LQ_LAYOUT_AWQ) {
    lqi_nibbles_of(from, store->shape.rows, group, first / 8, zeros);
    return 8;
  }
  size_t n = lqi_fields_of(from, store->shape.rows, store->bits, group, first, rule.word, zeros);
  for (size_t i = 0; i < n; i++)
    zeros[i] = (uint8_t)((zeros[i] + rule.field) & mask);
  return n;
}

static int all_middle(const struct lqi_store *store, struct zero_rule rule)
{
  uint8_t zeros[LQI_FIELDS];
  for (uint64_t g = 0; g < store->groups; g++)
    for (uint64_t r = 0, n; r < store->shape.rows; r += n) {
      n = zeros_of(store, g, r, rule, zeros);
      for (uint64_t i = 0; i < n; i++)
        if (zeros[i] != 1u << (store->bits - 1u))
          return 0;
    }
  return 1;
}

/*
 * Zero points in the middle need no plane. Fields that say so without the 1 of v1 are those of v2
 * under a wrong label, which real files have.
 */
static void settle_zeros(struct lqi_store *store)
{
  if (store->packed.layout == LQ_LAYOUT_GPTQ && all_middle(store, (struct zero_rule){0, 0}))
    store->packed.layout = LQ_LAYOUT_GPTQ_V2;
  store->symmetric = all_middle(store, rule_of(store));
}

static void unpack_zeros(const struct lqi_store *from, const struct lqi_store *to)
{
  const struct zero_rule rule = rule_of(from);
  uint8_t zeros[LQI_FIELDS], *out = to->plane[LQI_ZEROS].data;
  for (uint64_t g = 0; g < to->groups && !to->symmetric; g++)
    for (uint64_t r = 0, n; r < to->shape.rows; r += n) {
      n = zeros_of(from, g, r, rule, zeros);
      for (uint64_t i = 0; i < n; i++)
        out[(r + i) * to->groups + g] = zeros[i];
    }
}

/* ---- families ---- */

/* bits from qzeros [groups, rows * bits / 32], columns from qweight [cols * bits / 32, rows]. */
static lq_status gptq_shape(const struct given *g, struct lqi_store *out, struct lqi_text *why)
{
  uint64_t rows = g->weight->dims[1], bits = g->zeros->dims[1] * 32 / rows, dims[2];
  if (g->scales->dims[1] != rows || g->zeros->dims[1] * 32 % rows != 0 ||
      !lqi_affine_has_bits(bits))
    return lqi_fail(why, LQ_E_LAYOUT, "shapes of qweight, qzeros and scales do not fit", NULL);
  if (g->weight->dims[0] * 32 % bits != 0)
    return lqi_fail(why, LQ_E_LAYOUT, "qweight does not hold whole codes", NULL);
  dims[0] = rows;
  dims[1] = g->weight->dims[0] * 32 / bits;
  out->bits = (uint32_t)bits;
  if (lqi_shape_set(&out->shape, 2, dims) != LQ_OK)
    return lqi_fail(why, LQ_E_LAYOUT, "the shape overflows", NULL);
  return LQ_OK;
}

static lq_status gptq_import(const struct lqi_import *in, int32_t layout, struct lqi_store *out,
                             struct lqi_text *why)
{
  struct given g;
  struct lqi_span index;
  *out = (struct lqi_store){.packed.layout = layout, .packed.borrow = in->zero_borrow};
  lq_status s = take_planes(in, &g, out, why);
  if (s == LQ_OK)
    s = gptq_shape(&g, out, why);
  if (s == LQ_OK)
    s = lqi_take_plane(in, "g_idx", LQ_I32, 1, &index, why);
  if (s != LQ_OK)
    return s;
  if (index.bytes != 0 && index.bytes != out->shape.cols * sizeof(int32_t))
    return lqi_fail(why, LQ_E_LAYOUT, "g_idx must have an entry for each column", NULL);
  s = take_groups(&index, out, why);
  if (s == LQ_OK)
    settle_zeros(out);
  return s;
}

static lq_status v1_import(const struct lqi_import *in, struct lqi_store *out, struct lqi_text *why)
{
  return gptq_import(in, LQ_LAYOUT_GPTQ, out, why);
}

static lq_status v2_import(const struct lqi_import *in, struct lqi_store *out, struct lqi_text *why)
{
  return gptq_import(in, LQ_LAYOUT_GPTQ_V2, out, why);
}

static lq_status awq_import(const struct lqi_import *in, struct lqi_store *out,
                            struct lqi_text *why)
{
  static const struct lqi_span none = {NULL, 0};
  struct given g;
  *out = (struct lqi_store){.packed.layout = LQ_LAYOUT_AWQ, .bits = 4};
  lq_status s = take_planes(in, &g, out, why);
  if (s != LQ_OK)
    return s;
  uint64_t dims[2] = {g.scales->dims[1], g.weight->dims[0]};
  if (g.weight->dims[1] * 8 != dims[0] || g.zeros->dims[1] * 8 != dims[0])
    return lqi_fail(why, LQ_E_LAYOUT, "shapes of qweight, qzeros and scales do not fit", NULL);
  if (lqi_shape_set(&out->shape, 2, dims) != LQ_OK)
    return lqi_fail(why, LQ_E_LAYOUT, "the shape overflows", NULL);
  s = take_groups(&none, out, why);
  if (s == LQ_OK)
    settle_zeros(out);
  return s;
}

static void packed_unpack(const struct lqi_store *from, struct lqi_store *to)
{
  const struct lqi_span *p = from->packed.plane;
  int32_t *index = to->plane[LQI_GROUP_INDEX].data;
  for (uint64_t c = 0; to->mapped && c < to->shape.cols; c++)
    index[c] =
        p[LQI_QINDEX].bytes != 0 ? (int32_t)lqi_word(&p[LQI_QINDEX], c) : regular_group(to, c);
  if (to->mapped)
    lqi_affine_sort(to);
  if (from->packed.layout == LQ_LAYOUT_AWQ)
    lqi_nibbles_to_rows(&p[LQI_QWEIGHT], to);
  else
    lqi_words_to_rows(&p[LQI_QWEIGHT], to);
  lqi_scales_to_rows(&p[LQI_QSCALES], from->packed.scale_dtype, to);
  unpack_zeros(from, to);
}

const struct lqi_layout lqi_layout_gptq = {
    .id = LQ_LAYOUT_GPTQ,
    .count = v1_count,
    .plane = packed_plane,
    .import = v1_import,
    .obstacle = v1_obstacle,
    .sizes = v1_sizes,
    .pack = gptq_pack,
    .unpack = packed_unpack,
};

const struct lqi_layout lqi_layout_gptq_v2 = {
    .id = LQ_LAYOUT_GPTQ_V2,
    .count = v2_count,
    .plane = packed_plane,
    .import = v2_import,
    .obstacle = v2_obstacle,
    .sizes = v2_sizes,
    .pack = gptq_pack,
    .unpack = packed_unpack,
};

const struct lqi_layout lqi_layout_awq = {
    .id = LQ_LAYOUT_AWQ,
    .count = awq_count,
    .plane = packed_plane,
    .import = awq_import,
    .obstacle = awq_obstacle,
    .sizes = awq_sizes,
    .pack = awq_pack,
    .unpack = packed_unpack,
};
