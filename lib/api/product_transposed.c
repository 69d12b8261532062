/*
 * product_transposed.c - dx = dy W, the sum over rows of W.
 *
 * Owns: cutting the product into ranges of columns for tasks and bands of rows, work space,
 * conversion of dy and dx.
 * Must not know: any one method; an encoded tensor is decoded through its vtable.
 *
 * The sum over the rows of a band is one chain of fused multiply-adds from +0; bands are added in
 * order. Bands begin at multiples of LQI_DEPTH, so the order depends on the number of rows alone.
 * A task has columns of its own. It decodes a band of them once, as a factor for the tile kernels,
 * and all rows of dy pass over it. Few rows of dy do not fill a tile: some rows of W at a time are
 * then decoded and added while they are in the first-level cache.
 */
#include "handle.h"

#include "../linalg/panel.h"

/* Columns of W that are decoded at a time: a band of them stays in a second-level cache. A multiple
 * of the width of every level's panels. */
#define COLUMNS 384

/* The same where there are few rows of dy; and how many rows of W. Rows that begin a power of two
 * apart would fall into the same places of a cache. */
#define FEW_COLUMNS 768
#define DECODED_ROWS 8
#define DECODED_GAP 16

/* How many rows ahead codes are fetched, and in what steps. */
#define FETCHED_AHEAD 16
#define LINE 64

/* Rows of dy at a time: as many as have so many elements, but within these. */
#define DY_ELEMENTS (UINT64_C(1) << 22)
#define DY_LEAST 48
#define DY_MOST 512

/* Columns of tasks begin at multiples of this, where groups of most tensors do. */
#define TASK_COLUMNS 64

/* dy is packed in squares of so many elements. */
#define PACK_ROWS 16
#define PACK_DEPTH 64

struct transposed {
  const struct lqi_store *weight;
  const struct lqi_kernels *kern;
  uint64_t m; /* at a time */
  const void *dy;
  int32_t dy_dtype, dx_dtype;
  uint64_t dy_stride, dx_stride;
  void *dx;
  float *left;       /* dy in f32: panels of each band, or rows where they are few */
  uint64_t padded;   /* m in whole panels */
  uint64_t columns;  /* at a time */
  char *rooms;       /* of each task */
  uint64_t room;     /* bytes of one */
  uint64_t per_task; /* columns of W a task */
  uint64_t tasks;
};

/* The work space of a task. */
struct transposed_room {
  float *natural; /* [DECODED_ROWS][columns + DECODED_GAP] */
  float *sums;    /* [m][columns] */
  float *band;    /* panels; or, where rows of dy are few, their sums [m][columns] over a band */
};

static int is_few(const struct transposed *p)
{
  return p->m < p->kern->tiles.rows;
}

/* Bytes of a room; its parts for the task of that index, if `out` is not NULL. dy is packed in it
 * before. */
static uint64_t cut_transposed_room(const struct transposed *p, uint32_t index,
                                    struct transposed_room *out)
{
  uint64_t natural = DECODED_ROWS * (p->columns + DECODED_GAP), sums = p->m * p->columns;
  uint64_t band = is_few(p) ? sums : lqi_min_u64(LQI_DEPTH, p->weight->shape.rows) * p->columns;
  if (out != NULL) {
    float *at = (float *)(void *)(p->rooms + index * p->room);
    *out = (struct transposed_room){at, at + natural, at + natural + sums};
  }
  uint64_t all = natural + sums + band;
  all = all < PACK_ROWS * PACK_DEPTH ? PACK_ROWS * PACK_DEPTH : all;
  return lqi_ceil_div(all * sizeof(float), LQI_ALIGNMENT) * LQI_ALIGNMENT;
}

/* Where columns of a row are in a plane. */
struct row_part {
  const char *plane;
  uint64_t bytes, row; /* of the plane, of a row */
  uint64_t at, end;    /* in a row */
};

/*
 * Columns of a row lie far from those of the next, so that the processor does not foresee what will
 * be read. Planes have the order of the elements, so where a part of a row is follows from its
 * share; a place that is a little wrong costs time only.
 */
static size_t find_parts(const struct transposed *p, uint64_t k, size_t columns,
                         struct row_part part[3])
{
  static const enum lqi_plane planes[] = {LQI_CODES, LQI_SCALES, LQI_ZEROS};
  const struct lqi_shape *shape = &p->weight->shape;
  size_t parts = 0;
  for (size_t i = 0; i < LQI_COUNT(planes); i++) {
    const struct lqi_span *plane = &p->weight->plane[planes[i]];
    uint64_t row = plane->bytes / shape->rows;
    if (row != 0)
      part[parts++] = (struct row_part){plane->data, plane->bytes, row, row * k / shape->cols,
                                        row * (k + columns) / shape->cols};
  }
  return parts;
}

/* A line more than there may be: the first one begins anywhere in it. */
static void fetch_row(const struct row_part *part, size_t parts, uint64_t row)
{
  for (size_t i = 0; i < parts; i++) {
    uint64_t begin = row * part[i].row, end = lqi_min_u64(begin + part[i].end, part[i].bytes - 1);
    for (uint64_t at = begin + part[i].at; at < end; at += LINE)
      LQI_PREFETCH(part[i].plane + at);
    LQI_PREFETCH(part[i].plane + end);
  }
}

/* Columns k .. of rows row .. of W. */
static void decode_rows(const struct transposed *p, uint64_t row, size_t rows, uint64_t k,
                        size_t columns, float *out)
{
  const struct lqi_shape *shape = &p->weight->shape;
  struct row_part part[3];
  size_t parts = find_parts(p, k, columns, part);
  for (size_t r = 0; r < rows; r++, row++) {
    if (row + FETCHED_AHEAD < shape->rows)
      fetch_row(part, parts, row + FETCHED_AHEAD);
    p->weight->method->decode(p->weight, p->kern, row * shape->cols + k, columns, LQ_F32,
                              out + r * (p->columns + DECODED_GAP), 0);
  }
}

/* The same as panels of a band of that depth. */
static void decode_panels(const struct transposed *p, uint64_t row, size_t depth, uint64_t k,
                          size_t columns, const struct transposed_room *room)
{
  const size_t width = p->kern->tiles.columns_f32, ld = (size_t)p->columns + DECODED_GAP;
  const size_t whole = lqi_round_up(columns, p->kern->tiles.grain_f32);
  for (size_t r = 0; r < depth; r += DECODED_ROWS) {
    size_t rows = lqi_least(DECODED_ROWS, depth - r);
    decode_rows(p, row + r, rows, k, columns, room->natural);
    for (size_t i = 0; whole != columns && i < rows; i++)
      memset(room->natural + i * ld + columns, 0, (whole - columns) * sizeof(float));
    for (size_t j = 0; j < whole; j += width)
      lqi_panel_from_rows_f32(room->natural + j, ld, rows, lqi_least(width, whole - j), width,
                              room->band + lqi_panel_at(width, depth, j) + r * width);
  }
}

static void store_transposed(const struct transposed *p, const float *sums, uint64_t k,
                             size_t columns)
{
  for (uint64_t i = 0; i < p->m; i++, sums += p->columns)
    p->kern->narrow[lqi_float_index(p->dx_dtype)](
        sums, columns, lqi_element_mut(p->dx, p->dx_dtype, i * p->dx_stride + k));
}

static void many_columns(const struct transposed *p, uint64_t k, size_t columns,
                         const struct transposed_room *room)
{
  const struct lqi_region all = {0, (size_t)p->m, 0, columns};
  for (uint64_t n = 0, rows = p->weight->shape.rows; n < rows; n += LQI_DEPTH) {
    size_t depth = (size_t)lqi_min_u64(LQI_DEPTH, rows - n);
    decode_panels(p, n, depth, k, columns, room);
    lqi_product_f32(p->kern, p->left + n * p->padded, room->band, depth, depth, all, room->sums,
                    (size_t)p->columns, n == 0 ? LQI_TILE_SET : LQI_TILE_ADD, 0);
  }
}

static void few_columns(const struct transposed *p, uint64_t k, size_t columns,
                        const struct transposed_room *room)
{
  const uint64_t all = p->weight->shape.rows, count = p->m * p->columns;
  for (uint64_t n = 0, end; n < all; n = end) {
    float *sums = n == 0 ? room->sums : room->band;
    end = lqi_min_u64(n + LQI_DEPTH, all);
    memset(sums, 0, (size_t)count * sizeof *sums);
    for (size_t rows; n < end; n += rows) {
      rows = (size_t)lqi_min_u64(DECODED_ROWS, end - n);
      decode_rows(p, n, rows, k, columns, room->natural);
      for (uint64_t i = 0; i < p->m; i++)
        p->kern->tiles.row(rows, p->left + i * all + n, room->natural,
                           (size_t)p->columns + DECODED_GAP, sums + i * p->columns, columns);
    }
    for (uint64_t i = 0; sums != room->sums && i < count; i++)
      room->sums[i] += sums[i];
  }
}

static void columns_task(void *arg, uint32_t index)
{
  const struct transposed *p = arg;
  uint64_t k = index * p->per_task, end = lqi_min_u64(k + p->per_task, p->weight->shape.cols);
  struct transposed_room room;
  cut_transposed_room(p, index, &room);
  for (size_t columns; k < end; k += columns) {
    columns = (size_t)lqi_min_u64(p->columns, end - k);
    (is_few(p) ? few_columns : many_columns)(p, k, columns, &room);
    store_transposed(p, room.sums, k, columns);
  }
}

/* Rows i .. of dy as columns of a panel for the band at n. */
static void pack_panel(const struct transposed *p, uint64_t i, size_t rows, uint64_t n,
                       size_t depth, float *square, float *to)
{
  const size_t width = p->kern->tiles.columns_f32;
  for (size_t r = 0; r < rows; r += PACK_ROWS)
    for (size_t c = 0; c < depth; c += PACK_DEPTH) {
      size_t high = lqi_least(PACK_ROWS, rows - r), wide = lqi_least(PACK_DEPTH, depth - c);
      for (size_t s = 0; s < high; s++)
        p->kern->widen[lqi_float_index(p->dy_dtype)](
            lqi_element(p->dy, p->dy_dtype, (i + r + s) * p->dy_stride + n + c), wide,
            square + s * PACK_DEPTH);
      p->kern->tiles.transpose_f32(square, PACK_DEPTH, high, wide, to + c * width + r, width);
    }
  lqi_panel_fill_f32(depth, rows, width, to);
}

/* The band of W's rows that begins at n. */
static void pack_band(const struct transposed *p, uint64_t n, float *square)
{
  const size_t width = p->kern->tiles.columns_f32;
  uint64_t all = p->weight->shape.rows;
  size_t depth = (size_t)lqi_min_u64(LQI_DEPTH, all - n);
  if (is_few(p)) {
    for (uint64_t i = 0; i < p->m; i++)
      p->kern->widen[lqi_float_index(p->dy_dtype)](
          lqi_element(p->dy, p->dy_dtype, i * p->dy_stride + n), depth, p->left + i * all + n);
    return;
  }
  for (uint64_t i = 0; i < p->m; i += width)
    pack_panel(p, i, (size_t)lqi_min_u64(width, p->m - i), n, depth, square,
               p->left + n * p->padded + i * depth);
}

/* Bands are dealt in turn, so that work space goes with the task. */
static void pack_task(void *arg, uint32_t index)
{
  const struct transposed *p = arg;
  float *square = (float *)(void *)(p->rooms + index * p->room);
  for (uint64_t n = (uint64_t)index * LQI_DEPTH; n < p->weight->shape.rows;
       n += p->tasks * LQI_DEPTH)
    pack_band(p, n, square);
}

/* m rows of dy, from p->dy to p->dx; there are rows and columns of W, and `left` has room. */
static lq_status multiply_rows(const struct lqi_mem *mem, const struct lqi_par *par,
                               struct transposed *p)
{
  const struct lqi_par serial = {NULL, NULL, 1};
  const uint64_t rows = p->weight->shape.rows, cols = p->weight->shape.cols;
  const uint64_t width = p->kern->tiles.columns_f32;
  uint64_t bytes;
  if (rows * cols * p->m < LQI_TASK_ELEMENTS)
    par = &serial;
  uint64_t units = lqi_ceil_div(cols, TASK_COLUMNS);
  p->per_task = lqi_ceil_div(units, lqi_min_u64(lqi_par_workers(par), units)) * TASK_COLUMNS;
  p->tasks = lqi_ceil_div(cols, p->per_task);
  p->columns = lqi_min_u64(is_few(p) ? FEW_COLUMNS : COLUMNS,
                           lqi_ceil_div(lqi_min_u64(cols, p->per_task), width) * width);
  p->room = cut_transposed_room(p, 0, NULL);
  if (lqi_mul_overflows(p->room, p->tasks, &bytes))
    return LQ_E_OVERFLOW;
  p->rooms = lqi_alloc(mem, bytes);
  if (p->rooms == NULL)
    return LQ_E_MEMORY;
  lqi_parallel(rows * p->m < LQI_TASK_ELEMENTS ? &serial : par, (uint32_t)p->tasks, pack_task, p);
  lqi_parallel(par, (uint32_t)p->tasks, columns_task, p);
  lqi_free(mem, p->rooms, bytes);
  return LQ_OK;
}

static lq_status multiply_all(const struct lqi_mem *mem, const struct lqi_par *par,
                              struct transposed *p, uint64_t m)
{
  const uint64_t rows = p->weight->shape.rows, width = p->kern->tiles.columns_f32;
  const void *dy = p->dy;
  void *dx = p->dx;
  uint64_t most = lqi_min_u64(DY_MOST, DY_ELEMENTS / rows), bytes;
  lq_status s = LQ_OK;
  most = lqi_min_u64(m, most < DY_LEAST ? DY_LEAST : most);
  most = lqi_ceil_div(m, lqi_ceil_div(m, most)); /* pieces of one size */
  if (lqi_mul_overflows(rows * sizeof(float), lqi_ceil_div(most, width) * width, &bytes) ||
      rows / LQI_DEPTH >= UINT32_MAX)
    return LQ_E_OVERFLOW;
  p->left = lqi_alloc(mem, bytes);
  if (p->left == NULL)
    return LQ_E_MEMORY;
  for (uint64_t i = 0; i < m && s == LQ_OK; i += p->m) {
    p->m = lqi_min_u64(most, m - i);
    p->padded = lqi_ceil_div(p->m, width) * width;
    p->dy = lqi_element(dy, p->dy_dtype, i * p->dy_stride);
    p->dx = lqi_element_mut(dx, p->dx_dtype, i * p->dx_stride);
    s = multiply_rows(mem, par, p);
  }
  lqi_free(mem, p->left, bytes);
  return s;
}

LQ_API lq_status lq_matmul_transposed(const lq_tensor *weight, uint64_t m, int32_t dy_dtype,
                                      const void *dy, uint64_t dy_stride, int32_t dx_dtype,
                                      void *dx, uint64_t dx_stride, const lq_config *how)
{
  if (weight == NULL || !lqi_is_float(dy_dtype) || !lqi_is_float(dx_dtype))
    return LQ_E_ARGUMENT;
  const struct lqi_shape *shape = &weight->store.shape;
  if (m != 0 && ((dy == NULL && shape->rows != 0) || (dx == NULL && shape->cols != 0)))
    return LQ_E_ARGUMENT;
  if (lqi_misaligned(dy, dy_dtype) || lqi_misaligned(dx, dx_dtype))
    return LQ_E_ARGUMENT;
  if (m > 1 && (dy_stride < shape->rows || dx_stride < shape->cols))
    return LQ_E_SHAPE;
  if (m == 0 || shape->cols == 0)
    return LQ_OK;
  if (shape->rows == 0) {
    for (uint64_t i = 0; i < m; i++)
      memset(lqi_element_mut(dx, dx_dtype, i * dx_stride), 0,
             (size_t)(shape->cols * lqi_dtype_size(dx_dtype)));
    return LQ_OK;
  }
  struct lqi_par par = lqi_par_of(how);
  struct transposed p = {
      .weight = &weight->store,
      .kern = lqi_kernels(),
      .dy = dy,
      .dy_dtype = dy_dtype,
      .dx_dtype = dx_dtype,
      .dy_stride = dy_stride,
      .dx_stride = dx_stride,
      .dx = dx,
  };
  return multiply_all(&weight->mem, &par, &p, m);
}
