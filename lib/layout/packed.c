/*
 * packed.c - planes that keep the codes of a column together, made from rows and back.
 *
 * Owns: the order of words, fields and nibbles.
 * Must not know: names of planes, which tensors a family can hold.
 */
#include "packed.h"

#include "../method/affine.h"

#include <string.h>

/* Rows and words of a tile whose lines stay in the cache while it is transposed. */
#define TILE 16

static const uint8_t awq_order[8] = {0, 2, 4, 6, 1, 3, 5, 7};

uint32_t lqi_word(const struct lqi_span *span, uint64_t i)
{
  uint32_t word;
  memcpy(&word, (const char *)span->data + i * sizeof word, sizeof word);
  return word;
}

static void set_word(const struct lqi_span *span, uint64_t i, uint32_t word)
{
  memcpy((char *)span->data + i * sizeof word, &word, sizeof word);
}

/* Rows of codes are bytes, the same on every machine. */
static uint32_t row_word(const uint8_t *row, uint64_t i)
{
  row += 4 * i;
  return (uint32_t)row[0] | (uint32_t)row[1] << 8 | (uint32_t)row[2] << 16 | (uint32_t)row[3] << 24;
}

static void set_row_word(uint8_t *row, uint64_t i, uint32_t word)
{
  for (uint32_t k = 0; k < 4; k++)
    row[4 * i + k] = (uint8_t)(word >> 8 * k);
}

static uint64_t row_words(const struct lqi_store *store)
{
  return lqi_affine_row_bytes(store->shape.cols, store->bits) / 4;
}

/* Calls for tiles of a matrix [rows, words]. */
typedef void tile_fn(const struct lqi_store *store, const struct lqi_span *words, uint64_t row,
                     uint64_t row_end, uint64_t word, uint64_t word_end);

static void each_tile(const struct lqi_store *store, const struct lqi_span *words, tile_fn *tile)
{
  uint64_t rows = store->shape.rows, n = row_words(store);
  for (uint64_t w = 0; w < n; w += TILE)
    for (uint64_t r = 0; r < rows; r += TILE)
      tile(store, words, r, lqi_min_u64(r + TILE, rows), w, lqi_min_u64(w + TILE, n));
}

static void words_from_tile(const struct lqi_store *store, const struct lqi_span *words,
                            uint64_t row, uint64_t row_end, uint64_t word, uint64_t word_end)
{
  for (uint64_t r = row; r < row_end; r++)
    for (uint64_t w = word; w < word_end; w++)
      set_word(words, w * store->shape.rows + r,
               store->mapped ? lqi_affine_word(store, r, w)
                             : row_word(lqi_affine_row(store, r), w));
}

static void words_to_tile(const struct lqi_store *store, const struct lqi_span *words, uint64_t row,
                          uint64_t row_end, uint64_t word, uint64_t word_end)
{
  for (uint64_t r = row; r < row_end; r++)
    for (uint64_t w = word; w < word_end; w++)
      set_row_word(lqi_affine_row(store, r), w, lqi_word(words, w * store->shape.rows + r));
}

void lqi_words_from_rows(const struct lqi_store *store, const struct lqi_span *words)
{
  each_tile(store, words, words_from_tile);
}

#define SORTED_ROWS 8

/* Some rows of a mapped store at once, since a line of words has the codes of one column in many
 * rows. */
static void words_to_sorted(const struct lqi_store *store, const struct lqi_span *words,
                            uint64_t row, uint64_t count)
{
  const uint32_t *column = store->order.data, bits = store->bits;
  for (uint64_t i = 0, some; i < store->shape.cols; i += some) {
    uint8_t codes[SORTED_ROWS][LQI_CHUNK];
    some = lqi_min_u64(LQI_CHUNK, store->shape.cols - i);
    for (uint64_t k = 0; k < some; k++) {
      const uint64_t bit = (uint64_t)column[i + k] * bits, at = bit / 32 * store->shape.rows + row;
      const uint32_t shift = bit % 32, next = shift + bits > 32;
      for (uint64_t r = 0; r < count; r++) {
        uint64_t word = lqi_word(words, at + r);
        if (next)
          word |= (uint64_t)lqi_word(words, at + store->shape.rows + r) << 32;
        codes[r][k] = (uint8_t)(word >> shift & ((1u << bits) - 1u));
      }
    }
    for (uint64_t r = 0; r < count; r++)
      lqi_affine_pack_row(codes[r], some, bits, lqi_affine_row(store, row + r) + i / 8 * bits);
  }
}

void lqi_words_to_rows(const struct lqi_span *words, const struct lqi_store *store)
{
  for (uint64_t r = 0; store->mapped && r < store->shape.rows; r += SORTED_ROWS)
    words_to_sorted(store, words, r, lqi_min_u64(SORTED_ROWS, store->shape.rows - r));
  if (store->mapped)
    return;
  each_tile(store, words, words_to_tile);
}

size_t lqi_fields_of(const struct lqi_span *qzeros, uint64_t rows, uint32_t bits, uint64_t group,
                     uint64_t first, uint32_t add, uint8_t fields[LQI_FIELDS])
{
  uint8_t stream[LQI_FIELDS];
  size_t n = (size_t)lqi_min_u64(LQI_FIELDS, rows - first), words = n * bits / 32;
  uint64_t at = group * (rows * bits / 32) + first / 32 * bits;
  for (size_t w = 0; w < words; w++)
    set_row_word(stream, w, lqi_word(qzeros, at + w) + add);
  lqi_bits_unpack(stream, n, bits, fields);
  return n;
}

void lqi_fields_from_zeros(const struct lqi_store *store, uint32_t less,
                           const struct lqi_span *qzeros)
{
  uint64_t rows = store->shape.rows, groups = store->groups;
  uint32_t bits = store->bits, mask = (1u << bits) - 1u, middle = 1u << (bits - 1u);
  const uint8_t *zeros = store->plane[LQI_ZEROS].data;
  for (uint64_t g = 0; g < groups; g++)
    for (uint64_t first = 0; first < rows; first += LQI_FIELDS) {
      uint8_t fields[LQI_FIELDS], stream[LQI_FIELDS];
      size_t n = (size_t)lqi_min_u64(LQI_FIELDS, rows - first);
      for (size_t i = 0; i < n; i++)
        fields[i] =
            (uint8_t)(((store->symmetric ? middle : zeros[(first + i) * groups + g]) - less) &
                      mask);
      lqi_bits_pack(fields, n, bits, stream);
      for (size_t w = 0; w < n * bits / 32; w++)
        set_word(qzeros, g * (rows * bits / 32) + first / 32 * bits + w, row_word(stream, w));
    }
}

/* Words of eight rows that hold the same eight columns, to eight words of a column each. */
void lqi_nibbles_from_rows(const struct lqi_store *store, const struct lqi_span *words)
{
  uint64_t eights = store->shape.rows / 8, cols = store->shape.cols;
  for (uint64_t c = 0; c < eights; c++)
    for (uint64_t m = 0; m < cols / 8; m++) {
      uint32_t from[8];
      for (uint32_t k = 0; k < 8; k++)
        from[k] = row_word(lqi_affine_row(store, 8 * c + awq_order[k]), m);
      for (uint32_t i = 0; i < 8; i++) {
        uint32_t word = 0;
        for (uint32_t k = 0; k < 8; k++)
          word |= (from[k] >> 4 * i & 15u) << 4 * k;
        set_word(words, (8 * m + i) * eights + c, word);
      }
    }
}

void lqi_nibbles_to_rows(const struct lqi_span *words, const struct lqi_store *store)
{
  uint64_t eights = store->shape.rows / 8, cols = store->shape.cols;
  for (uint64_t c = 0; c < eights; c++)
    for (uint64_t m = 0; m < row_words(store); m++) {
      uint32_t from[8] = {0};
      for (uint32_t i = 0; i < 8 && 8 * m + i < cols; i++)
        from[i] = lqi_word(words, (8 * m + i) * eights + c);
      for (uint32_t k = 0; k < 8; k++) {
        uint32_t word = 0;
        for (uint32_t i = 0; i < 8; i++)
          word |= (from[i] >> 4 * k & 15u) << 4 * i;
        set_row_word(lqi_affine_row(store, 8 * c + awq_order[k]), m, word);
      }
    }
}

void lqi_nibbles_of(const struct lqi_span *qzeros, uint64_t rows, uint64_t group, uint64_t word,
                    uint8_t zeros[8])
{
  uint32_t from = lqi_word(qzeros, group * (rows / 8) + word);
  for (uint32_t k = 0; k < 8; k++)
    zeros[awq_order[k]] = (uint8_t)(from >> 4 * k & 15u);
}

void lqi_nibbles_from_zeros(const struct lqi_store *store, const struct lqi_span *qzeros)
{
  uint64_t eights = store->shape.rows / 8, groups = store->groups;
  const uint8_t *zeros = store->plane[LQI_ZEROS].data;
  for (uint64_t g = 0; g < groups; g++)
    for (uint64_t c = 0; c < eights; c++) {
      uint32_t word = 0;
      for (uint32_t k = 0; k < 8; k++) {
        uint64_t row = 8 * c + awq_order[k];
        word |= (store->symmetric ? 8u : zeros[row * groups + g]) << 4 * k;
      }
      set_word(qzeros, g * eights + c, word);
    }
}

void lqi_scales_from_rows(const struct lqi_store *store, int32_t dtype,
                          const struct lqi_span *scales)
{
  uint64_t rows = store->shape.rows, groups = store->groups;
  for (uint64_t g = 0; g < groups; g++)
    for (uint64_t r = 0; r < rows; r++)
      lqi_store(scales->data, dtype, g * rows + r,
                lqi_load(store->plane[LQI_SCALES].data, store->scale_dtype, r * groups + g));
}

void lqi_scales_to_rows(const struct lqi_span *scales, int32_t dtype, const struct lqi_store *store)
{
  uint64_t rows = store->shape.rows, groups = store->groups;
  for (uint64_t r = 0; r < rows; r++)
    for (uint64_t g = 0; g < groups; g++)
      lqi_store(store->plane[LQI_SCALES].data, store->scale_dtype, r * groups + g,
                lqi_load_unaligned(scales->data, dtype, g * rows + r));
}
