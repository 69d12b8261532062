/*
 * affine_order.c - affine rows whose groups do not follow the columns.
 *
 * Owns: the order that such rows hold their columns in, and the way there and back.
 * Must not know: what the codes stand for, checkpoints.
 */
#include "affine.h"

#include <string.h>

/* Merges sorted runs of `run` columns into runs of twice as many. */
static void merge_runs(const int32_t *group, const uint32_t *from, uint32_t *to, uint64_t n,
                       uint64_t run)
{
  for (uint64_t first = 0; first < n; first += 2 * run) {
    uint64_t middle = lqi_min_u64(first + run, n), end = lqi_min_u64(middle + run, n);
    for (uint64_t at = first, a = first, b = middle; at < end; at++)
      if (b == end || (a < middle && group[from[a]] <= group[from[b]]))
        to[at] = from[a++];
      else
        to[at] = from[b++];
  }
}

void lqi_affine_sort(struct lqi_store *store)
{
  const int32_t *group = store->plane[LQI_GROUP_INDEX].data;
  const uint64_t n = store->shape.cols;
  uint32_t *column = store->order.data, *place = column + n, *from = column, *to = place;
  for (uint64_t i = 0; i < n; i++)
    column[i] = (uint32_t)i;
  for (uint64_t run = 1; run < n; run *= 2) {
    merge_runs(group, from, to, n, run);
    uint32_t *swap = from;
    from = to;
    to = swap;
  }
  if (from != column)
    memcpy(column, from, (size_t)n * sizeof *column);
  store->even = store->group_size != 0 && store->groups * store->group_size == n;
  for (uint64_t i = 0; i < n; i++) {
    place[column[i]] = (uint32_t)i;
    store->even = store->even && (uint64_t)group[column[i]] == i / store->group_size;
  }
}

uint32_t lqi_affine_word(const struct lqi_store *store, uint64_t row, uint64_t word)
{
  const uint8_t *codes = lqi_affine_row(store, row);
  const uint32_t bits = store->bits,
                 *place = (const uint32_t *)store->order.data + store->shape.cols;
  uint32_t value = 0;
  for (uint64_t c = 32 * word / bits; c < store->shape.cols && c * bits < 32 * (word + 1); c++) {
    int64_t at = (int64_t)(c * bits) - (int64_t)(32 * word); /* it may begin in the word before */
    uint32_t code = lqi_code_at(codes, place[c], bits);
    value |= at < 0 ? code >> -at : code << at;
  }
  return value;
}

void lqi_affine_put_codes(const struct lqi_store *store, uint64_t row, const uint8_t *codes)
{
  const uint32_t *column = store->order.data;
  const uint64_t n = store->shape.cols;
  uint8_t *to = lqi_affine_row(store, row);
  if (!store->mapped) {
    lqi_affine_pack_row(codes, n, store->bits, to);
    return;
  }
  for (uint64_t i = 0, count; i < n; i += count) {
    uint8_t some[LQI_CHUNK];
    count = lqi_min_u64(LQI_CHUNK, n - i);
    for (uint64_t k = 0; k < count; k++)
      some[k] = codes[column[i + k]];
    lqi_affine_pack_row(some, count, store->bits, to + i / 8 * store->bits);
  }
}
