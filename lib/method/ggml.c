/*
 * ggml.c - the block types of ggml, decoded: the tensors of a GGUF file as they lie there.
 *
 * Owns: the table of types, and how blocks make up a tensor: rows of whole blocks, one after
 * another, so that element i of the flattened tensor is in block i / elements.
 * Must not know: the bytes of any block (ggml_blocks.c, ggml_super.c), files.
 *
 * There is no encoder. The types are defined by the program that reads them; each byte of a scale
 * or code is explicitly taken as little-endian, at any address.
 */
#include "ggml.h"
#include "registry.h"

#include <string.h>

#define NO (-1)

/* Types without a decoder are there so that files which hold them can be read past them. */
static const struct lqi_ggml_type types[] = {
    {0, 1, 4, NO, NO, LQ_F32, "F32", NULL},
    {1, 1, 2, NO, NO, LQ_F16, "F16", NULL},
    {2, 32, 18, 0, NO, 0, "Q4_0", lqi_ggml_q4_0},
    {3, 32, 20, 0, 2, 0, "Q4_1", lqi_ggml_q4_1},
    {6, 32, 22, 0, NO, 0, "Q5_0", lqi_ggml_q5_0},
    {7, 32, 24, 0, 2, 0, "Q5_1", lqi_ggml_q5_1},
    {8, 32, 34, 0, NO, 0, "Q8_0", lqi_ggml_q8_0},
    {9, 32, 36, NO, NO, 0, "Q8_1", NULL},
    {10, 256, 84, 80, 82, 0, "Q2_K", lqi_ggml_q2_k},
    {11, 256, 110, 108, NO, 0, "Q3_K", lqi_ggml_q3_k},
    {12, 256, 144, 0, 2, 0, "Q4_K", lqi_ggml_q4_k},
    {13, 256, 176, 0, 2, 0, "Q5_K", lqi_ggml_q5_k},
    {14, 256, 210, 208, NO, 0, "Q6_K", lqi_ggml_q6_k},
    {15, 256, 292, NO, NO, 0, "Q8_K", NULL},
    {16, 256, 66, NO, NO, 0, "IQ2_XXS", NULL},
    {17, 256, 74, NO, NO, 0, "IQ2_XS", NULL},
    {18, 256, 98, NO, NO, 0, "IQ3_XXS", NULL},
    {19, 256, 50, NO, NO, 0, "IQ1_S", NULL},
    {20, 32, 18, 0, NO, 0, "IQ4_NL", lqi_ggml_iq4_nl},
    {21, 256, 110, NO, NO, 0, "IQ3_S", NULL},
    {22, 256, 82, NO, NO, 0, "IQ2_S", NULL},
    {23, 256, 136, 0, NO, 0, "IQ4_XS", lqi_ggml_iq4_xs},
    {24, 1, 1, NO, NO, LQ_I8, "I8", NULL},
    {25, 1, 2, NO, NO, 0, "I16", NULL},
    {26, 1, 4, NO, NO, LQ_I32, "I32", NULL},
    {27, 1, 8, NO, NO, LQ_I64, "I64", NULL},
    {28, 1, 8, NO, NO, 0, "F64", NULL},
    {29, 256, 56, NO, NO, 0, "IQ1_M", NULL},
    {30, 1, 2, NO, NO, LQ_BF16, "BF16", NULL},
    {34, 256, 54, 52, NO, 0, "TQ1_0", lqi_ggml_tq1_0},
    {35, 256, 66, 64, NO, 0, "TQ2_0", lqi_ggml_tq2_0},
    {39, 32, 17, NO, NO, 0, "MXFP4", lqi_ggml_mxfp4},
    {40, 64, 36, NO, NO, 0, "NVFP4", lqi_ggml_nvfp4},
    {41, 128, 18, NO, NO, 0, "Q1_0", NULL},
    {42, 64, 18, NO, NO, 0, "Q2_0", NULL},
};

const struct lqi_ggml_type *lqi_ggml_type(int32_t id)
{
  for (size_t i = 0; i < LQI_COUNT(types); i++)
    if (types[i].id == id)
      return &types[i];
  return NULL;
}

static lq_status ggml_fits(const struct lqi_store *store, struct lqi_text *why)
{
  const struct lqi_ggml_type *type = lqi_ggml_type(store->block_type);
  if (type == NULL)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "there is no block type of that number", NULL);
  if (type->decode == NULL)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "there is no decoder for the block type ", type->name);
  if (store->shape.cols % type->elements == 0)
    return LQ_OK;
  lqi_fail(why, LQ_E_LAYOUT, "rows of ", type->name);
  lqi_text_add(why, " must be multiples of ");
  lqi_text_add_u64(why, type->elements);
  return LQ_E_LAYOUT;
}

/* Of a store that ggml_fits() let pass. */
static const struct lqi_ggml_type *type_of(const struct lqi_store *store)
{
  const struct lqi_ggml_type *type = types;
  while (type->id != store->block_type)
    type++;
  return type;
}

static lq_status ggml_check_scales(const struct lqi_store *store, struct lqi_text *why)
{
  const struct lqi_ggml_type *type = type_of(store);
  const uint8_t *block = store->plane[LQI_CODES].data;
  if (type->scale == NO)
    return LQ_OK;
  const int16_t second = type->minimum != NO ? type->minimum : type->scale;
  for (uint64_t i = 0; i < store->plane[LQI_CODES].bytes / type->bytes; i++, block += type->bytes)
    if (!lqi_is_finite(lqi_ggml_f16(block + type->scale)) ||
        !lqi_is_finite(lqi_ggml_f16(block + second))) {
      lqi_fail(why, LQ_E_NONFINITE, "the scale of block ", NULL);
      lqi_text_add_u64(why, i);
      lqi_text_add(why, " is not finite");
      return LQ_E_NONFINITE;
    }
  return LQ_OK;
}

static void ggml_layout(const struct lqi_store *store, uint64_t bytes[LQI_PLANES])
{
  const struct lqi_ggml_type *type = type_of(store);
  bytes[LQI_CODES] = store->shape.count / type->elements * type->bytes;
}

static void ggml_decode(const struct lqi_store *store, const struct lqi_kernels *kern,
                        uint64_t first, uint64_t count, int32_t dtype, void *out, int stream)
{
  const struct lqi_ggml_type *type = type_of(store);
  const uint8_t *blocks = store->plane[LQI_CODES].data;
  (void)stream;
  for (uint64_t done = 0, n; done < count; done += n) {
    uint64_t at = (first + done) % type->elements;
    const uint8_t *block = blocks + (first + done) / type->elements * type->bytes;
    uint32_t part = (uint32_t)at / LQI_GGML_PART, skip = (uint32_t)at % LQI_GGML_PART;
    void *to = lqi_element_mut(out, dtype, done);
    float room[LQI_GGML_PART];
    n = lqi_min_u64(LQI_GGML_PART - skip, count - done);
    if (dtype == LQ_F32 && n == LQI_GGML_PART) {
      type->decode(block, part, to);
      continue;
    }
    type->decode(block, part, room);
    if (dtype == LQ_F32)
      memcpy(to, room + skip, (size_t)n * sizeof *room);
    else
      kern->narrow[lqi_float_index(dtype)](room + skip, (size_t)n, to);
  }
}

const struct lqi_method lqi_method_ggml = {
    .id = LQ_GGML,
    .flags = LQ_METHOD_DECODES,
    .name = "ggml",
    .text = "the block types of GGUF files, which are decoded and not made",
    .fits = ggml_fits,
    .check_scales = ggml_check_scales,
    .layout = ggml_layout,
    .decode = ggml_decode,
};
