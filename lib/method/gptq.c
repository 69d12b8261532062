/*
 * gptq.c - GPTQ (arXiv 2210.17323): codes chosen so that the output of a layer on calibration data
 * changes least, in the planes of another method.
 *
 * Owns: the vtable, what goes with what, the tasks of a tensor.
 * Must not know: how a row is rounded (gptq_rows.c), how the factor is made (factor.c).
 */
#include "affine.h"
#include "gptq.h"
#include "nested.h"
#include "registry.h"

/* Rows of a task at most: enough that the product behind a block is worth packing its factors. */
#define PANEL 256

static lq_status gptq_check(const struct lqi_params *params, struct lqi_text *why)
{
  const struct lqi_method *storage = params->storage;
  if (storage->grid == NULL)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "gptq has no storage ", storage->name);
  if (params->nested_block_size != 0 && !params->static_groups)
    return lqi_fail(why, LQ_E_ARGUMENT, "nested scales must be known first: static_groups 1", NULL);
  if (params->compat == LQ_COMPAT_BITSANDBYTES_CPU)
    return lqi_fail(why, LQ_E_ARGUMENT, "gptq has no compat bitsandbytes-cpu", NULL);
  return storage->check != NULL ? storage->check(params, why) : LQ_OK;
}

/* Groups that are formed in the order of rounding need their index stored. */
static int is_mapped(const struct lqi_params *params)
{
  return params->order == LQ_ORDER_ACTIVATION && !params->static_groups;
}

static lq_status gptq_prepare(struct lqi_job *job)
{
  struct lqi_store *store = job->store;
  struct lqi_text *why = job->why;
  if (job->calibration == NULL || job->calibration->moments.rows == 0)
    return lqi_fail(why, LQ_E_STATE, "gptq needs inputs to observe first", NULL);
  if (job->calibration->moments.n != store->shape.cols)
    return lqi_fail(why, LQ_E_SHAPE, "the inputs observed have other columns than the weight",
                    NULL);
  lq_status s = LQ_OK;
  if (store->method->prepare != NULL)
    s = store->method->prepare(job);
  if (s == LQ_OK && is_mapped(job->params) && store->groups > 1) {
    if (store->method->id != LQ_AFFINE)
      return lqi_fail(why, LQ_E_UNSUPPORTED, "groups in the order of activations need affine",
                      NULL);
    store->mapped = 1;
  }
  uint64_t group = store->method->grid->group(store, why);
  if (group == 0)
    return LQ_E_UNSUPPORTED;
  return s == LQ_OK ? lqi_calibration_factor(job->calibration, job->params, group, job->par, why)
                    : s;
}

struct gptq_tasks {
  const struct lqi_gptq *g;
  uint64_t rows, per_task, room;
  uint32_t workers;
  float *rooms;
  int grids; /* the pass that fixes grids */
};

/* Panels are dealt in turn, so that work space goes with the task. */
static void gptq_task(void *arg, uint32_t index)
{
  const struct gptq_tasks *t = arg;
  float *room = t->rooms + index * t->room;
  uint64_t step = t->workers * t->per_task;
  for (uint64_t first = index * t->per_task; first < t->rows; first += step) {
    uint64_t count = lqi_min_u64(t->per_task, t->rows - first);
    if (t->grids)
      lqi_gptq_grids(t->g, first, count, room);
    else
      lqi_gptq_rows(t->g, first, count, room);
  }
}

static lq_status run_tasks(const struct lqi_gptq *g)
{
  struct lqi_job *job = g->job;
  struct gptq_tasks t = {.g = g, .rows = job->store->shape.rows};
  if (t.rows == 0 || g->factor->n == 0)
    return LQ_OK;
  t.workers = (uint32_t)lqi_min_u64(lqi_par_workers(job->par), lqi_ceil_div(t.rows, LQI_LANES));
  t.per_task = lqi_ceil_div(lqi_ceil_div(t.rows, t.workers), LQI_LANES) * LQI_LANES;
  t.per_task = lqi_min_u64(lqi_min_u64(t.per_task, PANEL), t.rows);
  t.workers = (uint32_t)lqi_min_u64(t.workers, lqi_ceil_div(t.rows, t.per_task));
  t.room = lqi_gptq_room(g, t.per_task);
  uint64_t bytes = t.workers * t.room * sizeof(float);
  t.rooms = lqi_alloc(job->mem, bytes);
  if (t.rooms == NULL)
    return LQ_E_MEMORY;
  if (g->fixed) {
    t.grids = 1;
    lqi_parallel(job->par, t.workers, gptq_task, &t);
    if (job->store->nested_block_size != 0)
      lqi_nested_encode(job);
    t.grids = 0;
  }
  lqi_parallel(job->par, t.workers, gptq_task, &t);
  lqi_free(job->mem, t.rooms, bytes);
  return LQ_OK;
}

/* The group of the column at each position, and the index of groups where it is stored. */
static void map_groups(const struct lqi_gptq *g)
{
  const struct lqi_factor *f = g->factor;
  struct lqi_store *store = g->job->store;
  int32_t *index = store->mapped ? store->plane[LQI_GROUP_INDEX].data : NULL;
  for (uint32_t i = 0; i < f->n; i++) {
    uint64_t at = store->mapped ? i : f->order[i];
    g->position_group[i] = (uint32_t)(at / g->group);
    if (index != NULL)
      index[f->order[i]] = (int32_t)g->position_group[i];
  }
  if (LQI_HAS_AFFINE && store->mapped)
    lqi_affine_sort(store);
}

static lq_status gptq_choose(struct lqi_job *job)
{
  struct lqi_store *store = job->store;
  struct lqi_gptq g = {
      .job = job,
      .grid = store->method->grid,
      .factor = &job->calibration->factor,
      .group = store->method->grid->group(store, job->why),
      .fixed = job->params->static_groups,
  };
  g.groups = lqi_ceil_div(g.factor->n, g.group);
  uint64_t bytes = g.factor->n * sizeof *g.position_group;
  g.position_group = lqi_alloc(job->mem, bytes);
  if (g.position_group == NULL)
    return LQ_E_MEMORY;
  map_groups(&g);
  for (uint64_t row = 0; row < store->shape.rows; row++)
    lqi_note_nonfinite(job, row * store->shape.cols, store->shape.cols);
  lq_status s = run_tasks(&g);
  if (s == LQ_OK)
    s = lqi_gptq_measure(&g, job->calibration);
  lqi_free(job->mem, g.position_group, bytes);
  return s;
}

static lq_status gptq_observe(struct lqi_calibration *c, const struct lqi_row_pairs *inputs,
                              size_t rows, const struct lqi_par *par)
{
  lqi_calibration_changed(c);
  if (lqi_calibration_is_paired(c))
    lqi_moments_add_pairs(&c->moments, inputs, rows, par);
  else
    lqi_moments_add(&c->moments, inputs->x, rows, inputs->x_stride, par);
  return LQ_OK;
}

const struct lqi_method lqi_method_gptq = {
    .id = LQ_GPTQ,
    .flags = LQ_METHOD_CALIBRATED,
    .code_bits = 4,
    .name = "gptq",
    .text = "codes of affine, nf4 or fp4, chosen for the least error of the layer's output",
    .check = gptq_check,
    .observe = gptq_observe,
    .prepare = gptq_prepare,
    .choose = gptq_choose,
};
