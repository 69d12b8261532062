/*
 * factor_real.h - Cholesky factor and triangular inverse for one element type; factor.c includes it
 * for each.
 *
 * Owns: the walk over the triangle: strips of 256 columns (rows), in them steps of 64, then what
 * lies beyond the strip.
 * Must not know: which type REAL is. F(name) makes names of it; PRODUCT multiplies panels of it,
 * FROM_ROWS and the kernel TRANSPOSE make them, TILE_COLUMNS is the member of struct lqi_tiles that
 * says how wide; STRIP_CHUNK block columns of a right factor stay in L2.
 */

#define FACTOR struct F(factor)

struct F(factor) {
  const struct lqi_kernels *kern;
  REAL *a;
  REAL *left, *right; /* panels, LQI_DEPTH deep: for Cholesky one is both */
  struct squares *squares;
  union step_room *rooms; /* of each task of a step */
  size_t n;
  size_t first, width; /* the strip */
  size_t step;         /* first column (row) of the step */
  size_t tasks;        /* of the step */
};

/* ---- Cholesky ---- */

/*
 * A tile's rows of the step's columns times the inverse of its square, transposed: rows of L.
 * They go to their place and into the panel. i counts from the strip.
 */
static void F(solve_rows)(const FACTOR *w, size_t i, REAL *c, size_t ld, union step_room *room)
{
  const size_t rows = w->kern->tiles.rows, width = w->kern->tiles.TILE_COLUMNS,
               columns = w->kern->tiles.columns_f64, k = w->step - w->first;
  double *left = room->rows.left, *solved = room->rows.solved;
  F(transpose_wide)(w->kern, c, ld, rows, room);
  for (size_t j = 0; j < STEP; j += columns) {
    size_t end = lqi_least(j + columns, STEP);
    w->kern->tiles.f64(end, left, rows, w->squares->factor + j * STEP, solved + j, STEP, rows,
                       end - j, LQI_TILE_SET);
  }
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0; j < STEP; j++)
      c[r * ld + j] = (REAL)solved[r * STEP + j];
  w->kern->tiles.TRANSPOSE(c, ld, rows, STEP,
                           w->left + lqi_panel_at(width, LQI_DEPTH, i) + k * width, width);
}

/* STEP rows below the square of a step. */
static void F(rows_below)(const FACTOR *w, size_t row, union step_room *room)
{
  size_t i = row - w->first, k = w->step - w->first, ld = lqi_lower_ld(row);
  REAL *c = w->a + lqi_lower_at(row, w->step);
  struct lqi_region at = {i, i + STEP, k, k + STEP};
  PRODUCT(w->kern, w->left, w->left, LQI_DEPTH, k, at, c, ld, LQI_TILE_SUB, 0);
  for (size_t r = 0; r < STEP; r += w->kern->tiles.rows)
    F(solve_rows)(w, i + r, c + r * ld, ld, room);
}

/* Rows are dealt in turn, so that rooms go with the task. */
static void F(step_rows)(void *arg, uint32_t task)
{
  const FACTOR *w = arg;
  for (size_t row = w->step + STEP + task * STEP; row < w->n; row += w->tasks * STEP)
    F(rows_below)(w, row, w->rooms + task);
}

/* The square of a step: the last update, L and its inverse. 0, or the failing column. */
static size_t F(step_square)(const FACTOR *w)
{
  double *l = w->squares->l;
  size_t k = w->step - w->first, ld = lqi_lower_ld(w->step);
  REAL *c = w->a + lqi_lower_at(w->step, w->step);
  struct lqi_region at = {k, k + STEP, k, k + STEP};
  PRODUCT(w->kern, w->left, w->left, LQI_DEPTH, k, at, c, ld, LQI_TILE_SUB, 1);
  for (size_t i = 0; i < STEP; i++)
    for (size_t j = 0; j < STEP; j++)
      l[i * STEP + j] = j <= i ? (double)c[i * ld + j] : 0.0;
  size_t failed = square_cholesky(w->kern, w->squares);
  if (failed != 0)
    return w->step + failed;
  for (size_t i = 0; i < STEP; i++)
    for (size_t j = 0; j < ld - w->step; j++)
      c[i * ld + j] = j <= i ? (REAL)l[i * STEP + j] : 0;
  square_invert(w->kern, w->squares);
  square_pack_transposed(w->kern, w->squares);
  return 0;
}

/* Beyond the strip: A -= L L^T by the columns of the strip. */
static void F(strip_update)(void *arg, uint32_t task)
{
  const FACTOR *w = arg;
  size_t block = (w->first + w->width) / LQI_BLOCK,
         b = lqi_triangle_task(&block, w->n / LQI_BLOCK, STRIP_CHUNK, task);
  size_t row = b * LQI_BLOCK, column = block * LQI_BLOCK,
         end = lqi_least(column + STRIP_CHUNK * LQI_BLOCK, row + LQI_BLOCK);
  struct lqi_region at = {row - w->first, row + LQI_BLOCK - w->first, column - w->first,
                          end - w->first};
  PRODUCT(w->kern, w->left, w->left, LQI_DEPTH, w->width, at, w->a + lqi_lower_at(row, column),
          lqi_lower_ld(row), LQI_TILE_SUB, 1);
}

static size_t F(factor_strip)(FACTOR *w, const struct lqi_par *par)
{
  for (w->step = w->first; w->step < w->first + w->width; w->step += STEP) {
    size_t failed = F(step_square)(w), below = w->n - w->step - STEP;
    if (failed != 0)
      return failed;
    w->tasks = lqi_least(lqi_par_workers(par), below / STEP);
    lqi_run(par, (uint64_t)below * STEP * (w->step - w->first + STEP), w->tasks, F(step_rows), w);
  }
  size_t end = w->first + w->width, beyond = w->n - end;
  lqi_run(par, (uint64_t)beyond * beyond / 2 * w->width,
          lqi_triangle_tasks(end / LQI_BLOCK, w->n / LQI_BLOCK, STRIP_CHUNK), F(strip_update), w);
  return 0;
}

size_t F(lqi_cholesky)(const struct lqi_kernels *kern, REAL *a, size_t n, void *scratch,
                       const struct lqi_par *par)
{
  struct squares *squares = scratch;
  union step_room *rooms = (union step_room *)(void *)(squares + 1);
  REAL *panel = (REAL *)(void *)(rooms + n / STEP);
  FACTOR w = {kern, a, panel, panel, squares, rooms, n, 0, 0, 0, 0};
  for (; w.first < n; w.first += w.width) {
    w.width = lqi_least(LQI_DEPTH, n - w.first);
    size_t failed = F(factor_strip)(&w, par);
    if (failed != 0)
      return failed;
  }
  return 0;
}

/* ---- inverse ---- */

/*
 * A tile's columns of a step's rows, times the inverse of its square: rows of the result. They go
 * to their place and into the right panels, where column j counts from the first; f64 tiles are as
 * wide as a panel or an even part of it.
 */
static void F(solve_columns)(const FACTOR *w, size_t j, size_t n, REAL *c, size_t ld,
                             union step_room *room)
{
  const size_t rows = w->kern->tiles.rows, width = w->kern->tiles.TILE_COLUMNS,
               columns = w->kern->tiles.columns_f64;
  double *right = room->columns.right, *solved = room->columns.solved;
  REAL *to = w->right + lqi_panel_at(width, LQI_DEPTH, j) + (w->step - w->first) * width;
  for (size_t i = 0; i < STEP; i++)
    for (size_t t = 0; t < n; t++)
      right[i * columns + t] = (double)c[i * ld + t];
  lqi_panel_fill_f64(STEP, n, columns, right);
  for (size_t i = 0; i < STEP; i += rows) {
    w->kern->tiles.f64(i + rows, w->squares->factor + i, STEP, right, solved, columns, rows, n,
                       LQI_TILE_SET);
    for (size_t r = 0; r < rows; r++, c += ld, to += width)
      for (size_t t = 0; t < n; t++)
        c[t] = to[t] = (REAL)solved[r * columns + t];
  }
}

/* Some columns of the rows of a step, left of its square. */
static void F(columns_beside)(const FACTOR *w, size_t j0, union step_room *room)
{
  const size_t columns = w->kern->tiles.columns_f64;
  size_t j1 = lqi_least(j0 + INVERT_COLUMNS, w->step), ld = lqi_lower_ld(w->step);
  REAL *c = w->a + lqi_lower_at(w->step, 0);
  for (size_t i = 0; i < STEP; i++) /* what was L is packed already */
    for (size_t j = j0 > w->first ? j0 : w->first; j < j1; j++)
      c[i * ld + j] = 0;
  struct lqi_region at = {0, STEP, j0, j1};
  PRODUCT(w->kern, w->left, w->right, LQI_DEPTH, w->step - w->first, at, c + j0, ld, LQI_TILE_SUB,
          0);
  for (size_t j = j0; j < j1; j += columns)
    F(solve_columns)(w, j, lqi_least(columns, j1 - j), c + j, ld, room);
}

static void F(step_columns)(void *arg, uint32_t task)
{
  const FACTOR *w = arg;
  for (size_t j = (size_t)task * INVERT_COLUMNS; j < w->step; j += w->tasks * INVERT_COLUMNS)
    F(columns_beside)(w, j, w->rooms + task);
}

/* One panel of the left factor: `rows` rows from `row` on, `depth` columns of the strip. */
static void F(pack_left)(const FACTOR *w, size_t row, size_t rows, size_t depth, REAL *to)
{
  const size_t width = w->kern->tiles.TILE_COLUMNS;
  for (size_t i = 0, some; i < rows; i += some) { /* each block row has its leading dimension */
    some = lqi_least(rows - i, LQI_BLOCK - (row + i) % LQI_BLOCK);
    w->kern->tiles.TRANSPOSE(w->a + lqi_lower_at(row + i, w->first), lqi_lower_ld(row + i), some,
                             depth, to + i, width);
  }
}

/* The square of a step becomes its inverse, and a part of the right panels. */
static void F(put_inverse)(const FACTOR *w)
{
  const double *inverse = w->squares->inverse;
  const size_t width = w->kern->tiles.TILE_COLUMNS, ld = lqi_lower_ld(w->step),
               k = w->step - w->first, end = w->step + STEP;
  REAL *c = w->a + lqi_lower_at(w->step, 0);
  for (size_t i = 0; i < STEP; i++)
    for (size_t j = 0; j < STEP; j++)
      c[i * ld + w->step + j] = (REAL)inverse[i * STEP + j];
  for (size_t j = w->step, next; j < end; j = next) {
    next = lqi_least((j / width + 1) * width, end);
    FROM_ROWS(c + j, ld, STEP, next - j, width,
              w->right + lqi_panel_at(width, LQI_DEPTH, j) + k * width);
  }
  w->kern->tiles.transpose_f64(inverse, STEP, STEP, STEP, w->squares->factor, STEP);
}

/* The rows of a step: the square, and what the tasks need. */
static void F(step_prepare)(const FACTOR *w)
{
  const size_t width = w->kern->tiles.TILE_COLUMNS, ld = lqi_lower_ld(w->step),
               depth = w->step - w->first;
  double *l = w->squares->l;
  const REAL *c = w->a + lqi_lower_at(w->step, w->step);
  for (size_t i = 0; i < STEP; i += width)
    F(pack_left)(w, w->step + i, lqi_least(width, STEP - i), depth, w->left + i * LQI_DEPTH);
  for (size_t i = 0; i < STEP; i++)
    for (size_t j = 0; j < STEP; j++)
      l[i * STEP + j] = j <= i ? (double)c[i * ld + j] : 0.0;
  square_invert(w->kern, w->squares);
  F(put_inverse)(w);
}

/* One panel of the rows below the strip. */
static void F(strip_pack)(void *arg, uint32_t task)
{
  const FACTOR *w = arg;
  const size_t width = w->kern->tiles.TILE_COLUMNS;
  size_t i = (size_t)task * width, row = w->first + w->width + i;
  F(pack_left)(w, row, lqi_least(width, w->n - row), w->width, w->left + i * LQI_DEPTH);
}

/* Below the strip: columns up to its end lose L times what the strip has become. */
static void F(strip_substitute)(void *arg, uint32_t task)
{
  const FACTOR *w = arg;
  size_t end = w->first + w->width, blocks = (w->n - end) / LQI_BLOCK,
         row = end + task % blocks * LQI_BLOCK, ld = lqi_lower_ld(row),
         j0 = task / blocks * STRIP_CHUNK * LQI_BLOCK,
         j1 = lqi_least(j0 + STRIP_CHUNK * LQI_BLOCK, end);
  REAL *c = w->a + lqi_lower_at(row, 0);
  for (size_t i = 0; i < LQI_BLOCK; i++) /* what was L is packed already */
    for (size_t j = j0 > w->first ? j0 : w->first; j < j1; j++)
      c[i * ld + j] = 0;
  struct lqi_region at = {row - end, row - end + LQI_BLOCK, j0, j1};
  PRODUCT(w->kern, w->left, w->right, LQI_DEPTH, w->width, at, c + j0, ld, LQI_TILE_SUB, 0);
}

static void F(invert_strip)(FACTOR *w, const struct lqi_par *par)
{
  const size_t width = w->kern->tiles.TILE_COLUMNS, end = w->first + w->width,
               from = w->first / width * width;
  memset(w->right + from * LQI_DEPTH, 0,
         (lqi_round_up(end, width) - from) * LQI_DEPTH * sizeof *w->right);
  for (w->step = w->first; w->step < end; w->step += STEP) {
    F(step_prepare)(w);
    w->tasks = lqi_least(lqi_par_workers(par), (size_t)lqi_ceil_div(w->step, INVERT_COLUMNS));
    lqi_run(par, (uint64_t)w->step * STEP * (w->step - w->first + STEP), w->tasks, F(step_columns),
            w);
  }
  size_t below = w->n - end;
  uint64_t work = (uint64_t)below * end * w->width;
  lqi_run(par, (uint64_t)below * w->width * LQI_MOVE_WORK, lqi_ceil_div(below, width),
          F(strip_pack), w);
  lqi_run(par, work, below / LQI_BLOCK * lqi_ceil_div(end, STRIP_CHUNK * LQI_BLOCK),
          F(strip_substitute), w);
}

void F(lqi_invert_lower)(const struct lqi_kernels *kern, REAL *a, size_t n, void *scratch,
                         const struct lqi_par *par)
{
  struct squares *squares = scratch;
  union step_room *rooms = (union step_room *)(void *)(squares + 1);
  REAL *panel = (REAL *)(void *)(rooms + n / STEP);
  FACTOR w = {kern, a, panel, NULL, squares, rooms, n, 0, 0, 0, 0};
  for (; w.first < n; w.first += w.width) {
    w.width = lqi_least(LQI_DEPTH, n - w.first);
    size_t below = n - w.first - w.width;
    size_t left = lqi_round_up(below > STEP ? below : STEP, kern->tiles.TILE_COLUMNS);
    w.right = panel + left * LQI_DEPTH;
    F(invert_strip)(&w, par);
  }
}
