/*
 * quantizer.c - a config made definite, and the run of a method over one tensor.
 *
 * Owns: the order of steps: prepare, lay out, encode in parallel, nest the scales, judge what was
 * not finite.
 * Must not know: any one method.
 */
#include "handle.h"

#include "../method/calibration.h"
#include "../method/nested.h"
#include "../method/registry.h"

/* Keys that were set and belong to other methods. */
static lq_status check_foreign(const lq_config *c, const struct lqi_method *m, int chosen,
                               struct lqi_text *why)
{
  int blockwise = (m->flags & LQ_METHOD_BLOCKWISE) != 0;
  int groupwise = (m->flags & LQ_METHOD_GROUPWISE) != 0;
  const char *foreign = NULL;
  if (!blockwise && c->block_size != 0)
    foreign = "block_size";
  else if (!blockwise && !groupwise && c->nested != 0)
    foreign = "nested";
  else if (!groupwise && c->bits != LQI_DEFAULT_BITS && c->bits != m->code_bits)
    foreign = "bits";
  else if (!groupwise && c->group_size != LQI_DEFAULT_GROUP_SIZE)
    foreign = "group_size";
  else if (!groupwise && c->symmetric != 1)
    foreign = "symmetric 0";
  else if (m->id != LQ_INT8 && c->threshold != 0.0)
    foreign = "threshold";
  else if (m->id != LQ_INT8 && c->absmax != 0.0)
    foreign = "absmax";
  else if (!groupwise && !chosen && c->mse != 0.0)
    foreign = "mse";
  else if (!groupwise && c->compat == LQ_COMPAT_GPTQ)
    foreign = "compat gptq";
  else if (groupwise && c->compat == LQ_COMPAT_BITSANDBYTES_CPU)
    foreign = "compat bitsandbytes-cpu";
  if (foreign == NULL)
    return LQ_OK;
  lqi_fail(why, LQ_E_ARGUMENT, foreign, " does not apply to ");
  lqi_text_add(why, m->name);
  return LQ_E_ARGUMENT;
}

/* From keys, where 0 may mean "default", to parameters, where it does not. */
static lq_status resolve(const lq_config *c, struct lqi_params *p, struct lqi_text *why)
{
  const struct lqi_method *m = lqi_method_by_id((int32_t)c->method);
  if (m == NULL)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "the method is not in this build", NULL);
  if (m->flags & LQ_METHOD_DECODES)
    return lqi_fail(why, LQ_E_UNSUPPORTED, m->name, " has no encoder: it can only be decoded");
  const struct lqi_method *storage = m;
  if (m->choose != NULL)
    storage = lqi_method_by_id(lqi_storage_of(c));
  if (storage == NULL)
    return lqi_fail(why, LQ_E_UNSUPPORTED, "the storage is not in this build", NULL);
  lq_status s = check_foreign(c, storage, m != storage, why);
  if (s != LQ_OK)
    return s;
  if (m == storage && c->input_correction > 0.0)
    return lqi_fail(why, LQ_E_ARGUMENT, "input_correction does not apply to ", m->name);
  if (c->group_size == 0)
    return lqi_fail(why, LQ_E_ARGUMENT, "group_size must be -1 or a multiple of 8", NULL);
  *p = (struct lqi_params){
      .method = m,
      .storage = storage,
      .order = (int32_t)c->order,
      .static_groups = (int32_t)c->static_groups,
      .damping = c->damping,
      .input_correction = c->input_correction,
      .block_size = c->block_size != 0 ? (uint32_t)c->block_size : storage->default_block_size,
      .nested_block_size = c->nested != 0 ? (uint32_t)c->nested_block_size : 0,
      .compat = (int32_t)c->compat,
      .nonfinite = (int32_t)c->nonfinite,
      .threshold = (float)c->threshold,
      .absmax = (float)c->absmax,
      .bits = (uint32_t)c->bits,
      .group_size = c->group_size > 0 ? (uint32_t)c->group_size : 0,
      .symmetric = (int32_t)c->symmetric,
      .mse = (float)c->mse,
  };
  if (p->nonfinite == LQ_NONFINITE_AUTO)
    p->nonfinite = p->compat == LQ_COMPAT_NONE ? LQ_NONFINITE_ERROR : LQ_NONFINITE_PROPAGATE;
  return m->check != NULL ? m->check(p, why) : LQ_OK;
}

LQ_API lq_status lq_quantizer_create(lq_config *config, lq_quantizer **out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = NULL;
  if (config == NULL)
    return LQ_E_ARGUMENT;
  struct lqi_params params;
  lqi_text_clear(&config->error);
  lq_status s = resolve(config, &params, &config->error);
  if (s != LQ_OK)
    return s;
  lq_quantizer *q = lqi_alloc(&config->mem, sizeof *q);
  if (q == NULL)
    return lqi_fail(&config->error, LQ_E_MEMORY, "out of memory", NULL);
  *q = (lq_quantizer){.mem = config->mem, .par = config->par, .params = params};
  *out = q;
  return LQ_OK;
}

LQ_API void lq_quantizer_destroy(lq_quantizer *quantizer)
{
  if (quantizer == NULL)
    return;
  struct lqi_mem mem = quantizer->mem;
  lq_quantizer_reset(quantizer);
  lqi_free(&mem, quantizer, sizeof *quantizer);
}

struct encode_tasks {
  struct lqi_job *job;
  void (*encode)(struct lqi_job *job, uint64_t first, uint64_t count);
  uint64_t units, per_task;
};

static void encode_task(void *arg, uint32_t index)
{
  const struct encode_tasks *t = arg;
  uint64_t first = index * t->per_task;
  t->encode(t->job, first, lqi_min_u64(t->per_task, t->units - first));
}

/* Tasks of about LQI_TASK_ELEMENTS elements, whole units each. */
static void encode_all(struct lqi_job *job,
                       void (*encode)(struct lqi_job *job, uint64_t first, uint64_t count))
{
  const struct lqi_store *store = job->store;
  struct encode_tasks t = {.job = job, .encode = encode, .units = store->method->units(store)};
  if (t.units == 0)
    return;
  uint64_t size = lqi_ceil_div(store->shape.count, t.units);
  t.per_task = size >= LQI_TASK_ELEMENTS ? 1 : LQI_TASK_ELEMENTS / (size != 0 ? size : 1);
  uint32_t tasks = lqi_task_count(t.units, &t.per_task);
  lqi_parallel(job->par, tasks, encode_task, &t);
}

/* All ranges, the scales nested, codes that depend on that. */
static void encode_nearest(struct lqi_job *job)
{
  const struct lqi_method *m = job->store->method;
  encode_all(job, m->encode);
  if (!LQI_HAS_BOOK8 || job->store->nested_block_size == 0)
    return;
  lqi_nested_encode(job);
  if (m->encode_nested != NULL)
    encode_all(job, m->encode_nested);
}

/* Work space for scales that will be nested, then the method's work. */
static lq_status encode_planes(struct lqi_job *job)
{
  struct lqi_store *store = job->store;
  lq_status s = LQ_OK;
  job->scales = store->plane[LQI_SCALES].data;
  uint64_t room = 0;
  if (store->nested_block_size != 0) {
    room = store->plane[LQI_SCALES].bytes * sizeof(float);
    job->scales = lqi_alloc(job->mem, room);
    if (job->scales == NULL)
      return LQ_E_MEMORY;
  }
  if (job->params->method->choose != NULL)
    s = job->params->method->choose(job);
  else
    encode_nearest(job);
  if (store->nested_block_size != 0)
    lqi_free(job->mem, job->scales, room);
  return s;
}

/* Weights that are not finite, or a scale that would not be. */
static int is_refused(const struct lqi_job *job)
{
  return atomic_load(&job->nonfinite) != 0 || atomic_load(&job->first_overflow) != UINT64_MAX;
}

static lq_status nonfinite_error(const struct lqi_job *job, struct lqi_text *why)
{
  uint64_t at = atomic_load(&job->first_nonfinite), cols = job->store->shape.cols;
  if (at == UINT64_MAX) {
    lqi_fail(why, LQ_E_NONFINITE, "a scale of row ", NULL);
    lqi_text_add_u64(why, atomic_load(&job->first_overflow) / cols);
    lqi_text_add(why, " is beyond f16");
    return LQ_E_NONFINITE;
  }
  float x = lqi_load(job->source, job->store->dtype, at);
  lqi_fail(why, LQ_E_NONFINITE, "weight [", NULL);
  lqi_text_add_u64(why, at / cols);
  lqi_text_add(why, ", ");
  lqi_text_add_u64(why, at % cols);
  lqi_text_add(why, x != x ? "] is nan" : x > 0.0f ? "] is inf" : "] is -inf");
  return LQ_E_NONFINITE;
}

/* Encodes into a new tensor; *out stays NULL where the policy forbids the result. */
static lq_status run(lq_quantizer *q, const lq_tensor *weight, struct lqi_job *job, lq_tensor **out)
{
  struct lqi_store *store = job->store;
  void *owned = NULL;
  uint64_t owned_bytes = 0;
  const struct lqi_method *method = job->params->method;
  lq_status s = method->prepare != NULL ? method->prepare(job) : LQ_OK;
  struct lqi_span columns = store->plane[LQI_OUTLIER_COLUMNS];
  if (s == LQ_OK)
    s = lqi_planes_alloc(&q->mem, store, &owned, &owned_bytes);
  lqi_free(&q->mem, columns.data, columns.bytes);
  if (s == LQ_OK)
    s = encode_planes(job);
  if (s == LQ_OK && q->params.nonfinite == LQ_NONFINITE_ERROR && is_refused(job))
    s = nonfinite_error(job, &q->error);
  int keep = q->params.nonfinite == LQ_NONFINITE_KEEP && is_refused(job);
  if (s != LQ_OK || keep) {
    lqi_free(&q->mem, owned, owned_bytes);
    return s == LQ_OK ? lq_tensor_clone(&q->mem.hook, weight, out) : s;
  }
  return lqi_tensor_adopt(&q->mem, store, owned, owned_bytes, out);
}

static void make_report(lq_quantizer *q, const struct lqi_job *job, const lq_tensor *result)
{
  uint64_t nonfinite = atomic_load(&job->nonfinite);
  q->has_run = 1;
  q->report = (lq_report){
      .size = sizeof(lq_report),
      .method = result != NULL ? result->store.method->id : 0,
      .elements = job->store->shape.count,
      .nonfinite = nonfinite,
      .first_nonfinite = nonfinite != 0 ? atomic_load(&job->first_nonfinite) : 0,
      .outlier_columns = job->store->outliers,
  };
  if (job->calibration == NULL || result == NULL)
    return;
  q->report.rows_observed = job->calibration->moments.rows;
  q->report.dead_columns = job->calibration->factor.dead_count;
  q->report.damping = job->calibration->factor.damping;
  q->report.error = job->error;
  q->report.error_nearest = job->error_nearest;
  q->report.energy = job->energy;
}

LQ_API lq_status lq_quantizer_run(lq_quantizer *quantizer, const lq_tensor *weight, lq_tensor **out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  *out = NULL;
  if (quantizer == NULL)
    return LQ_E_ARGUMENT;
  lq_quantizer *q = quantizer;
  lqi_text_clear(&q->error);
  if (weight == NULL)
    return lqi_fail(&q->error, LQ_E_ARGUMENT, "no weight", NULL);
  if (weight->store.method != &lqi_method_none)
    return lqi_fail(&q->error, LQ_E_STATE, "weight is already quantized with ",
                    weight->store.method->name);
  struct lqi_store store = {
      .method = q->params.storage,
      .shape = weight->store.shape,
      .dtype = weight->store.dtype,
      .block_size = q->params.block_size,
      .nested_block_size = q->params.nested_block_size,
  };
  struct lqi_job job = {
      .params = &q->params,
      .kern = lqi_kernels(),
      .mem = &q->mem,
      .par = &q->par,
      .source = weight->store.plane[LQI_CODES].data,
      .store = &store,
      .why = &q->error,
      .calibration = q->calibration,
  };
  atomic_init(&job.nonfinite, 0);
  atomic_init(&job.first_nonfinite, UINT64_MAX);
  atomic_init(&job.first_overflow, UINT64_MAX);
  lq_status s = run(q, weight, &job, out);
  if (s == LQ_E_MEMORY)
    lqi_fail(&q->error, s, "out of memory", NULL);
  make_report(q, &job, *out);
  return s;
}

LQ_API lq_status lq_quantizer_report(const lq_quantizer *quantizer, lq_report *out)
{
  if (quantizer == NULL || out == NULL)
    return LQ_E_ARGUMENT;
  if (!lqi_known_struct(out, out->size, sizeof *out))
    return LQ_E_VERSION;
  if (!quantizer->has_run)
    return LQ_E_STATE;
  uint32_t size = out->size;
  *out = quantizer->report;
  out->size = size;
  return LQ_OK;
}

LQ_API const char *lq_quantizer_error_text(const lq_quantizer *quantizer)
{
  return quantizer != NULL ? quantizer->error.s : "";
}
