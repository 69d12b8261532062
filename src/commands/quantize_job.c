/*
 * quantize_job.c - the weights of a model through the pipeline: read, encode, measure and store.
 *
 * Owns: what is in flight, the planes of the shard at work. Must not know: options, printing.
 * Weights pass in file order. The encoded planes of a shard wait in the spool; when the first
 * weight of a later shard arrives all sizes of the shard are known, and the writer lays the file
 * out: planes from the spool, all other tensors straight from the input. Shards that an interrupted
 * run has finished are left as they are.
 */
#include "quantize.h"

#include "../files/system.h"
#include "../files/interrupt.h"
#include "figures.h"
#include "hfconfig.h"
#include "pieces.h"
#include "pipeline.h"
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

/* Three tensors of 4096 x 4096 in f32 with their codes, and some room. */
static const uint64_t in_flight = (uint64_t)320 << 20;

typedef struct slot {
  weight_data in;
  lq_tensor *encoded;
} slot;

typedef struct state {
  quantize_job *job;
  progress *bar;
  quantize_result **items; /* of the weights to encode */
  size_t item_count;
  slot slots[PIPELINE_SLOTS];
  lq_config *work_config, *write_config; /* one for each thread that computes */
  pieces pieces;                         /* of the shard at work */
  rewrite out;
  size_t shard; /* the next one to write */
  size_t next;  /* first weight of the list that is not yet in `pieces` or written */
} state;

static uint64_t item_bytes(void *user, size_t i)
{
  const state *s = user;
  const weight *w = s->items[i]->w;

  return w->bytes + w->base->tensor->elements * (s->job->how->from_half ? 4 : 2);
}

static bool read_item(void *user, size_t i, size_t at, fail *why)
{
  state *s = user;
  const weight *w = s->items[i]->w;

  return weight_read(s->job->weights, w, s->job->memory, &s->slots[at].in, why) &&
         weight_bind(s->job->weights, w, s->job->memory, NULL, &s->slots[at].in, why);
}

static bool weight_failed(const state *s, const weight *w, lq_status status, const char *text,
                          fail *why)
{
  return fail_set(why, status == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_DATA,
                  weight_path(s->job->weights, w), "%s: %s", w->name,
                  text && text[0] ? text : lq_status_string(status));
}

/* Linear8bitLt takes the f16 cast of a weight, whatever it was. */
static lq_status encode_half(state *s, const lq_tensor *dense, lq_tensor **out)
{
  pool *memory = s->job->memory;
  lq_alloc alloc = pool_alloc(memory);
  const uint64_t dims[2] = {lq_tensor_dim(dense, 0), lq_tensor_dim(dense, 1)};
  size_t bytes = (size_t)(lq_tensor_nbytes(dense) / (lq_tensor_dtype(dense) == LQ_F32 ? 2 : 1));
  void *half = pool_take(memory, bytes);
  lq_tensor *cast = NULL;
  lq_status status = half ? LQ_OK : LQ_E_MEMORY;

  if (status == LQ_OK)
    status = lq_dequantize(dense, LQ_F16, half, bytes, s->work_config);
  if (status == LQ_OK)
    status = lq_tensor_wrap(&alloc, LQ_F16, 2, dims, half, bytes, &cast);
  if (status == LQ_OK)
    status = lq_quantizer_run(s->job->quantizer, cast, out);
  lq_tensor_destroy(cast);
  pool_give(memory, half);
  return status;
}

static bool encode_item(void *user, size_t i, size_t at, fail *why)
{
  state *s = user;
  slot *x = &s->slots[at];
  quantize_result *result = s->items[i];
  lq_status status;

  progress_item(s->bar, result->w->name);
  if (s->job->how->from_half && lq_tensor_ndim(x->in.tensor) == 2)
    status = encode_half(s, x->in.tensor, &x->encoded);
  else
    status = lq_quantizer_run(s->job->quantizer, x->in.tensor, &x->encoded);
  if (status != LQ_OK)
    return weight_failed(s, result->w, status, lq_quantizer_error_text(s->job->quantizer), why);
  result->report.size = sizeof result->report;
  lq_quantizer_report(s->job->quantizer, &result->report);
  result->kept = lq_tensor_method(x->encoded) == LQ_NONE;
  return true;
}

/* Adds to the pieces of the shard all tensors up to weight `end` that are not encoded. */
static bool add_dense(state *s, size_t end, fail *why)
{
  const weight_list *l = s->job->weights;

  for (; s->next < end; s->next++)
    if (!s->job->quantized[s->next] && l->at[s->next].base->shard == s->shard &&
        !pieces_add_copy(&s->pieces, l->at[s->next].base, why))
      return false;
  return true;
}

/* First weight of the list that lies in a later shard than the one at work. */
static size_t shard_end(const state *s)
{
  const weight_list *l = s->job->weights;
  size_t i = s->next;

  while (i < l->count && l->at[i].base->shard == s->shard)
    i++;
  return i;
}

/* The shard at work to the output, with the figures of its weights to the journal. */
static bool write_shard(state *s, size_t end, fail *why)
{
  figures notes = {0};
  bool ok = figures_of_shard(&notes, s->job, s->shard, why) && add_dense(s, end, why) &&
            pieces_write(&s->pieces, &s->out, s->shard, notes.pairs, notes.count, why);

  figures_free(&notes);
  return ok;
}

/* Writes the shards before `end`. */
static bool write_shards(state *s, size_t end, fail *why)
{
  for (; s->shard < end; s->shard++) {
    size_t next = shard_end(s);

    if (!rewrite_has(&s->out, s->shard) ? !write_shard(s, next, why)
                                        : !rewrite_skip(&s->out, s->shard, why))
      return false;
    s->next = next;
  }
  return true;
}

static bool store_item(void *user, size_t i, size_t at, fail *why)
{
  state *s = user;
  quantize_job *job = s->job;
  quantize_result *result = s->items[i];
  const weight *w = result->w;
  slot *x = &s->slots[at];
  size_t number = (size_t)(w - job->weights->at);
  lq_status status;

  result->metrics.size = sizeof result->metrics;
  if (!write_shards(s, w->base->shard, why) || !add_dense(s, number, why))
    return false;
  if (result->kept) {
    job->quantized[number] = false;
  } else {
    status = lq_compare(x->in.tensor, x->encoded, &result->metrics, s->write_config);
    if (status != LQ_OK)
      return weight_failed(s, w, status, NULL, why);
    if (!pieces_add_planes(&s->pieces, w, job->how->layout, x->encoded, &result->bytes, why))
      return false;
    result->bits_per_weight = lq_tensor_bits_per_weight(x->encoded);
    s->next = number + 1;
    progress_add(s->bar, w->bytes);
  }
  lq_tensor_destroy(x->encoded);
  x->encoded = NULL;
  weight_release(&x->in, job->memory);
  return true;
}

/* Results of finished shards come from the journal. */
static bool restore(state *s, quantize_result *r, fail *why)
{
  quantize_job *job = s->job;
  char *part = rewrite_part(job->from, r->w->base->shard);
  bool ok = (part || fail_memory(why, job->out)) && figures_read(job->store, part, r, why);

  free(part);
  if (ok && r->kept)
    job->quantized[r->w - job->weights->at] = false;
  return ok;
}

static bool list_items(state *s, fail *why)
{
  quantize_job *job = s->job;
  const weight_list *l = job->weights;

  s->items = calloc(l->count + 1, sizeof(*s->items));
  job->results = calloc(l->count + 1, sizeof *job->results);
  if (!s->items || !job->results)
    return fail_memory(why, job->out);
  for (size_t i = 0; i < l->count; i++) {
    quantize_result *r = &job->results[job->count];

    if (!job->quantized[i])
      continue;
    job->count++;
    r->w = &l->at[i];
    if (!rewrite_has(&s->out, r->w->base->shard))
      s->items[s->item_count++] = r;
    else if (!restore(s, r, why))
      return false;
  }
  return true;
}

uint64_t quantize_bytes(const quantize_job *job, size_t i)
{
  const weight *w = &job->weights->at[i];
  int32_t method = job->how->storage;
  int64_t bits = job->how->bits ? job->how->bits : method == LQ_NF4 || method == LQ_FP4 ? 4 : 8;

  return job->quantized[i] ? w->base->tensor->elements / 8 * (uint64_t)bits : w->bytes;
}

/* What the disk has to hold at most: every code, the tensors that stay, and the spool, which has
 * the codes of the largest shard. */
static bool check_space(state *s, fail *why)
{
  const quantize_job *job = s->job;
  const weight_list *l = job->weights;
  uint64_t need = 0, shard = 0, most = 0;

  for (size_t i = 0; i < l->count; i++) {
    if (i == 0 || l->at[i].base->shard != l->at[i - 1].base->shard)
      shard = 0;
    if (rewrite_has(&s->out, l->at[i].base->shard))
      continue;
    uint64_t bytes = quantize_bytes(job, i);
    need += bytes;
    shard += job->quantized[i] ? bytes : 0;
    most = shard > most ? shard : most;
  }
  return (job->store && job_is_complete(job->store)) ||
         rewrite_need(&s->out, job->out, need + most, why);
}

static uint64_t parameters_of(const weight_list *l)
{
  uint64_t n = 0;

  for (size_t i = 0; i < l->count; i++)
    n += l->at[i].base->tensor->elements;
  return n;
}

/* Old programs that load GPTQ look for the configuration in a file of its own. */
static bool put_quantize_config(const quantize_job *job, rewrite *out, fail *why)
{
  static const char name[] = "quantize_config.json";
  json_doc *d = NULL;
  buf text = {0};
  bool ok = json_new(&d, name, why) && hf_fill_quantization(d, json_root(d), job, why) &&
            json_write(d, &text, true, why) && rewrite_file(out, name, &text, why);

  buf_free(&text);
  json_free(d);
  return ok;
}

bool quantize_open(quantize_job *job, uint64_t samples, fail *why)
{
  if (model_folder(job->from) < 0)
    return true;
  return resume_open(&job->store, job->resume, job->from, job->out, job->force, samples, why);
}

void quantize_close(quantize_job *job, bool done, fail *why)
{
  job_close(job->store, done, why);
  job->store = NULL;
}

const char *quantize_scratch(const quantize_job *job)
{
  return job->store ? job_hidden(job->store) : job->out;
}

bool quantize_finish(quantize_job *job, rewrite *out, fail *why)
{
  json_doc *config = model_config(job->from);
  int32_t layout = job->how->layout;

  if (config && !hf_put_quantization(config, job, why))
    return false;
  if (out->folder && (layout == LQ_LAYOUT_GPTQ || layout == LQ_LAYOUT_GPTQ_V2) &&
      !put_quantize_config(job, out, why))
    return false;
  job->bytes_after = out->total_size;
  return rewrite_finish(out, config, parameters_of(job->weights), why);
}

static bool run_items(state *s, fail *why)
{
  quantize_job *job = s->job;
  const pipeline p = {.items = s->item_count,
                      .budget = in_flight,
                      .user = s,
                      .bytes = item_bytes,
                      .read = read_item,
                      .work = encode_item,
                      .write = store_item};

  if (!pipeline_run(&p, why) || !write_shards(s, model_shard_count(job->from), why))
    return false;
  return quantize_finish(job, &s->out, why);
}

bool quantize_run(quantize_job *job, progress *bar, fail *why)
{
  state s = {.job = job, .bar = bar};
  double begin = sys_seconds();
  bool ok;

  ok = quantize_open(job, 0, why) && pieces_open(&s.pieces, quantize_scratch(job), why) &&
       rewrite_open(&s.out, job->from, job->store, job->out, job->force, bar, why) &&
       list_items(&s, why) && check_space(&s, why) &&
       common_config(job->options, job->memory, &s.work_config, why) &&
       common_config(job->options, job->memory, &s.write_config, why) && run_items(&s, why);
  for (size_t i = 0; i < PIPELINE_SLOTS; i++) {
    lq_tensor_destroy(s.slots[i].encoded);
    weight_release(&s.slots[i].in, job->memory);
  }
  lq_config_destroy(s.work_config);
  lq_config_destroy(s.write_config);
  free(s.items);
  rewrite_abort(&s.out);
  pieces_close(&s.pieces);
  quantize_close(job, ok, why);
  job->seconds = sys_seconds() - begin;
  return ok;
}
