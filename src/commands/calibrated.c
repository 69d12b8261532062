/*
 * calibrated.c - see calibrated.h.
 *
 * A layer is loaded, calibrated and quantized while the hidden states of all samples wait in front
 * of it. The groups of its linears follow each other: each group sees what the ones before it give
 * once they are quantized. Hidden states are stored between the attention and the rest, and inputs
 * of a group until its outputs are wanted, so that nothing is computed twice where memory allows
 * it. Finished layers go to the layer store; the model is written when all are there.
 *
 * With --input-correction the samples pass twice, side by side: through the quantized layers, and
 * through the same layers as they were. Each has its own hidden states; the inputs of a group are
 * observed in pairs.
 */
#include "calibrated.h"

#include "../files/system.h"
#include "../files/interrupt.h"
#include "../model/corpus.h"
#include "../model/hidden.h"
#include "../model/net.h"
#include "../model/samples.h"
#include "figures.h"
#include "layer_store.h"
#include "network.h"
#include "pieces.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Hidden states that pass through the network at once, and what waits for the next pass at most. */
static const uint64_t batch_bytes = (uint64_t)192 << 20, most_waiting = (uint64_t)2 << 30;

enum { LINEARS_OF_LAYER = NET_GROUPS * NET_LINEARS_MAX, MOST_LENGTH = 2048 };

/* The samples on their way through one of the two models. */
typedef struct stream {
  net_state *state;
  hidden waiting; /* in front of the layer at work, or of its second half */
  hidden inputs;  /* of NET_O, then of NET_DOWN, from the pass that observes them to the next */
} stream;

enum { QUANTIZED, EXACT, STREAMS };

typedef struct walk {
  quantize_job *job;
  const calibration_options *options;
  progress bar;
  team *workers;
  net *net;
  samples samples;
  stream stream[STREAMS];
  size_t streams; /* in use: 1, or 2 to correct for inputs */
  bool kept[NET_GROUPS];
  size_t batch; /* sequences */
  lq_config *config;
  quantize_result **result_of; /* by number of the weight; NULL: not chosen */
  layer_item items[LINEARS_OF_LAYER];
  size_t item_count;
} walk;

/* ---- passes over the samples ---- */

/*
 * Which part of a layer a pass runs: it starts in front of group `from`, at the beginning or the
 * middle of the layer, or, with `resume`, from stored inputs of that group. `to` is the group whose
 * inputs are observed by `quantizer` (NULL: nobody) and where the pass ends; NET_GROUPS: it runs to
 * the end of the layer and leaves the hidden states there.
 */
typedef struct pass {
  net_layer *layer; /* one for each stream */
  net_group_id from, to;
  bool resume, store_middle;
  lq_quantizer *quantizer;
} pass;

/* Whether inputs of that group wait in the streams between two passes: where memory allows. */
static bool are_kept(const walk *w, net_group_id g)
{
  return (g == NET_O || g == NET_DOWN) && w->kept[g];
}

/* `in`: one of each stream. */
static bool observe(const walk *w, const pass *p, const net_input *in, fail *why)
{
  const net_input *exact = &in[EXACT];
  lq_status s = LQ_OK;

  if (p->quantizer && w->streams > 1)
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): pass_batch() has filled `in` */
    s = lq_quantizer_observe_pair(p->quantizer, in->rows, in->columns, LQ_F32, in->x, in->stride,
                                  exact->x, exact->stride);
  else if (p->quantizer)
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): likewise */
    s = lq_quantizer_observe(p->quantizer, in->rows, in->columns, LQ_F32, in->x, in->stride);
  if (s == LQ_OK)
    return true;
  return fail_set(why, s == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_DATA, w->net->path, "%s: %s",
                  p->layer->group[p->to].linear[0].name, lq_quantizer_error_text(p->quantizer));
}

/* Inputs of a group to their store, or back to where the network expects them. */
static bool move_inputs(const stream *s, const net_layer *layer, net_group_id g, uint64_t first,
                        uint64_t rows, bool back, fail *why)
{
  size_t stride;
  float *x = net_input_place(layer, g, s->state, &stride);
  hidden h = s->inputs;

  h.columns = layer->group[g].columns;
  return back ? hidden_get_rows(&h, first, rows, x, stride, why)
              : hidden_put_rows(&h, first, rows, x, stride, why);
}

/* One batch of a stream through a part of a layer. `in`: what is observed where it ends. */
static bool pass_batch(walk *w, const pass *p, size_t which, uint64_t first, uint64_t rows,
                       net_input *in, fail *why)
{
  stream *s = &w->stream[which];
  const net_layer *layer = &p->layer[which];

  for (net_group_id g = p->from; g < NET_GROUPS; g++) {
    if (g == p->from && p->resume ? !move_inputs(s, layer, g, first, rows, true, why)
                                  : !net_input_of(w->net, layer, g, s->state, in, why))
      return false;
    if (g == p->to)
      return !are_kept(w, g) || move_inputs(s, layer, g, first, rows, false, why);
    if (!net_output_of(w->net, layer, g, s->state, why))
      return false;
    if (g == NET_O && p->store_middle &&
        !hidden_put(&s->waiting, first, rows, s->state->hidden, why))
      return false;
  }
  return hidden_put(&s->waiting, first, rows, s->state->hidden, why);
}

static bool run_pass(walk *w, const pass *p, fail *why)
{
  for (size_t i = 0; i < w->samples.count; i += w->batch) {
    size_t n = w->samples.count - i < w->batch ? w->samples.count - i : w->batch;
    uint64_t first = i * w->samples.length, rows = n * w->samples.length;
    net_input in[STREAMS];

    if (!interrupt_check(why))
      return false;
    for (size_t k = 0; k < w->streams; k++) {
      stream *s = &w->stream[k];

      s->state->sequences = n;
      if (!hidden_get(&s->waiting, first, rows, s->state->hidden, why) ||
          !pass_batch(w, p, k, first, rows, &in[k], why))
        return false;
    }
    if (p->to < NET_GROUPS && !observe(w, p, in, why))
      return false;
    progress_add(&w->bar, rows);
  }
  return true;
}

/* ---- quantizing ---- */

static quantize_result *result_of(const walk *w, const char *name)
{
  const weight *found = weight_find(w->job->weights, name);

  return found ? w->result_of[found - w->job->weights->at] : NULL;
}

static bool group_is_chosen(const walk *w, const net_group *g)
{
  for (size_t i = 0; i < g->count; i++)
    if (result_of(w, g->linear[i].name))
      return true;
  return false;
}

static bool quantize_linear(walk *w, lq_quantizer *q, net_linear *l, fail *why)
{
  quantize_result *r = result_of(w, l->name);
  double begin = sys_seconds();
  lq_tensor *encoded = NULL;
  lq_status s;

  if (!r)
    return true;
  progress_item(&w->bar, l->name);
  s = lq_quantizer_run(q, l->weight, &encoded);
  if (s != LQ_OK)
    return fail_set(why, s == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_DATA,
                    weight_path(w->job->weights, r->w), "%s: %s", l->name,
                    lq_quantizer_error_text(q));
  r->report.size = sizeof r->report;
  r->metrics.size = sizeof r->metrics;
  lq_quantizer_report(q, &r->report);
  s = lq_compare(l->weight, encoded, &r->metrics, w->config);
  r->bits_per_weight = lq_tensor_bits_per_weight(encoded);
  r->seconds = sys_seconds() - begin;
  if (s != LQ_OK || !net_linear_replace(w->net, l, encoded, why)) {
    lq_tensor_destroy(encoded);
    return s == LQ_OK ? false : fail_memory(why, l->name);
  }
  w->items[w->item_count++] = (layer_item){r, encoded};
  return true;
}

static bool quantize_group(walk *w, lq_quantizer *q, net_group *g, fail *why)
{
  for (size_t i = 0; i < g->count; i++)
    if (!quantize_linear(w, q, &g->linear[i], why))
      return false;
  return true;
}

/*
 * In order: the inputs of a group are observed on layers and groups before it that are quantized
 * already. The passes: in front of the layer for the first two groups, behind the attention for the
 * third, which leaves the hidden states of the middle of the layer behind; from there for the last.
 */
static bool calibrate(walk *w, net_layer *layer, fail *why)
{
  lq_quantizer *q = w->job->quantizer;

  for (net_group_id g = 0; g < NET_GROUPS; g++) {
    bool chosen = group_is_chosen(w, &layer->group[g]);
    pass p = {.layer = layer,
              .from = g == NET_DOWN ? NET_UP : NET_QKV,
              .to = g,
              .store_middle = g == NET_UP,
              .quantizer = chosen ? q : NULL};

    if (g == NET_UP && are_kept(w, NET_O)) {
      p.from = NET_O;
      p.resume = true;
    }
    lq_quantizer_reset(q);
    if (!chosen && g == NET_QKV)
      continue;
    if (!run_pass(w, &p, why) || !quantize_group(w, q, &layer->group[g], why))
      return false;
  }
  lq_quantizer_reset(q);
  return true;
}

/* Runs what is left of a finished layer, so that the hidden states stand in front of the next. */
static bool pass_on(walk *w, net_layer *layer, net_group_id from, fail *why)
{
  pass p = {.layer = layer, .from = from, .to = NET_GROUPS};

  if (from == NET_UP && are_kept(w, NET_DOWN)) {
    p.from = NET_DOWN;
    p.resume = true;
  }
  return run_pass(w, &p, why);
}

/* ---- layers ---- */

/* Puts the stored tensors of a finished layer in place. `data` is theirs while the layer lives. */
static bool restore_layer(walk *w, net_layer *layer, weight_data *data, fail *why)
{
  layer_file f;
  size_t n = 0;
  const job_store *store = w->job->store;
  bool ok = layer_store_get(store, layer->index, &f, why);

  for (int g = 0; g < NET_GROUPS && ok; g++)
    for (size_t i = 0; i < layer->group[g].count && ok; i++) {
      net_linear *l = &layer->group[g].linear[i];
      quantize_result *r = result_of(w, l->name);

      if (!r)
        continue;
      ok = layer_store_figures(store, layer->index, r, why) &&
           layer_file_tensor(&f, r->w, w->job->memory, w->config, &data[n], why);
      if (ok) {
        lq_tensor *own = NULL;

        ok = lq_tensor_clone(NULL, data[n].tensor, &own) == LQ_OK || fail_memory(why, l->name);
        ok = ok && net_linear_replace(w->net, l, own, why);
      }
      weight_release(&data[n++], w->job->memory);
    }
  layer_file_close(&f);
  return ok;
}

/* `begin`: when the layer's turn came. The passes over the samples are shared evenly. */
static bool finish_layer(walk *w, const net_layer *layer, double begin, fail *why)
{
  double passes = sys_seconds() - begin;

  for (size_t i = 0; i < w->item_count; i++)
    passes -= w->items[i].result->seconds;
  for (size_t i = 0; i < w->item_count; i++)
    w->items[i].result->seconds += passes / (double)w->item_count;
  return layer_store_put(w->job->store, layer->index, w->items, w->item_count, why);
}

static void note_layer(walk *w, size_t index)
{
  double error = 0, energy = 0;

  for (size_t i = 0; i < w->item_count; i++) {
    error += w->items[i].result->report.error;
    energy += w->items[i].result->report.energy;
  }
  progress_note(&w->bar, "layer %zu of %zu: %zu tensors, relative output error %.4f", index + 1,
                (size_t)w->net->spec.layers, w->item_count,
                energy > 0 ? sqrt(error / energy) : 0.0);
}

/* A layer once for each stream: what is quantized is put into the first. */
static bool load_layer(const walk *w, size_t index, net_layer *layer, fail *why)
{
  for (size_t k = 0; k < w->streams; k++)
    if (!net_layer_load(w->net, index, &layer[k], why))
      return false;
  return true;
}

static bool run_layer(walk *w, size_t index, fail *why)
{
  net_layer layer[STREAMS] = {{0}};
  weight_data data[LINEARS_OF_LAYER] = {{0}};
  bool finished = layer_store_has(w->job->store, index);
  bool ok = load_layer(w, index, layer, why), last = index + 1 == w->net->spec.layers;
  double begin = sys_seconds();

  w->item_count = 0;
  if (ok && finished) {
    ok =
        restore_layer(w, &layer[QUANTIZED], data, why) && (last || pass_on(w, layer, NET_QKV, why));
  } else if (ok) {
    ok = calibrate(w, layer, why) && (last || pass_on(w, layer, NET_UP, why)) &&
         finish_layer(w, &layer[QUANTIZED], begin, why);
    if (ok)
      note_layer(w, index);
  }
  for (size_t k = 0; k < w->streams; k++)
    net_layer_free(w->net, &layer[k]);
  return ok;
}

/* The tokens become the hidden states in front of the first layer. */
static bool embed(walk *w, stream *to, fail *why)
{
  const samples *s = &w->samples;

  for (size_t i = 0; i < s->count; i += w->batch) {
    size_t n = s->count - i < w->batch ? s->count - i : w->batch;

    if (!net_embed(w->net, to->state, s->ids + i * s->length, n, s->length, why) ||
        !hidden_put(&to->waiting, i * s->length, n * s->length, to->state->hidden, why))
      return false;
  }
  return true;
}

/* ---- writing the model ---- */

/* One weight of the output: its planes from the store, or the tensor as it was. */
static bool add_weight(walk *w, pieces *p, const layer_file *f, size_t number, fail *why)
{
  const weight *x = &w->job->weights->at[number];
  quantize_result *r = w->result_of[number];
  weight_data data = {0};
  bool ok;

  if (!r)
    return pieces_add_copy(p, x->base, why);
  ok = layer_file_tensor(f, x, w->job->memory, w->config, &data, why) &&
       pieces_add_planes(p, x, w->job->how->layout, data.tensor, &r->bytes, why);
  weight_release(&data, w->job->memory);
  return ok;
}

/* The layer that a chosen weight belongs to: its number stands between the dots of its name. */
static size_t layer_of(const walk *w, const char *name)
{
  const char *p = name + strlen(w->net->prefix);

  while (*p && !(p[0] >= '0' && p[0] <= '9' && p[-1] == '.'))
    p++;
  return strtoul(p, NULL, 10);
}

static bool write_shard(walk *w, pieces *p, rewrite *out, size_t shard, fail *why)
{
  const weight_list *l = w->job->weights;
  layer_file f = {0};
  figures notes = {0};
  size_t open = SIZE_MAX;
  bool ok = true;

  for (size_t i = 0; i < l->count && ok; i++) {
    if (l->at[i].base->shard != shard)
      continue;
    if (w->result_of[i] && layer_of(w, l->at[i].name) != open) {
      layer_file_close(&f);
      open = layer_of(w, l->at[i].name);
      ok = layer_store_get(w->job->store, open, &f, why);
    }
    ok = ok && add_weight(w, p, &f, i, why);
  }
  layer_file_close(&f);
  ok = ok && figures_of_shard(&notes, w->job, shard, why) &&
       pieces_write(p, out, shard, notes.pairs, notes.count, why);
  figures_free(&notes);
  return ok;
}

/* A finished shard: of its results only what the planes of its layout took is not known yet. */
static bool restore_shard(walk *w, rewrite *out, size_t shard, fail *why)
{
  char *part = rewrite_part(w->job->from, shard);
  bool ok = part || fail_memory(why, w->job->out);

  for (size_t i = 0; ok && i < w->job->count; i++)
    if (w->job->results[i].w->base->shard == shard)
      ok = figures_read(w->job->store, part, &w->job->results[i], why);
  free(part);
  return ok && rewrite_skip(out, shard, why);
}

static bool write_model(walk *w, fail *why)
{
  quantize_job *job = w->job;
  pieces p = {0};
  rewrite out = {0};
  bool ok = pieces_open(&p, quantize_scratch(job), why) &&
            rewrite_open(&out, job->from, job->store, job->out, job->force, &w->bar, why);

  for (size_t i = 0; i < model_shard_count(job->from) && ok; i++)
    ok = rewrite_has(&out, i) ? restore_shard(w, &out, i, why) : write_shard(w, &p, &out, i, why);
  ok = ok && quantize_finish(job, &out, why);
  rewrite_abort(&out);
  pieces_close(&p);
  return ok;
}

/* ---- the start ---- */

static bool read_tokens(walk *w, int32_t **ids, size_t *count, fail *why)
{
  const calibration_options *o = w->options;
  tokenizer *t = NULL;
  token_list list = {0};
  char *text = NULL;
  size_t length;
  bool ok;

  if (o->tokens)
    return corpus_ids(ids, count, o->tokens, why);
  ok = network_tokenizer(&t, w->job->from, NULL, why) &&
       corpus_text(&text, &length, o->text, why) && tokenizer_encode(t, text, length, &list, why);
  free(text);
  tokenizer_close(t);
  *ids = list.ids;
  *count = list.count;
  return ok;
}

static bool draw(walk *w, fail *why)
{
  const calibration_options *o = w->options;
  const char *from = o->tokens ? o->tokens : o->text;
  uint64_t most = w->net->spec.max_positions;
  size_t count, length = o->length            ? (size_t)o->length
                         : most < MOST_LENGTH ? (size_t)most
                                              : MOST_LENGTH;
  int32_t *ids = NULL;
  bool ok = read_tokens(w, &ids, &count, why) &&
            samples_draw(&w->samples, ids, count, length, (size_t)o->samples, (uint64_t)o->seed,
                         from, why);

  free(ids);
  for (size_t i = 0; ok && i < w->samples.count * length; i++)
    if (w->samples.ids[i] < 0 || (uint64_t)w->samples.ids[i] >= w->net->spec.vocab)
      ok = fail_set(why, FAIL_DATA, from, "token %d; the model's vocabulary has %llu",
                    (int)w->samples.ids[i], (unsigned long long)w->net->spec.vocab);
  return ok;
}

static bool list_results(walk *w, fail *why)
{
  quantize_job *job = w->job;
  const weight_list *l = job->weights;

  w->result_of = calloc(l->count + 1, sizeof(*w->result_of));
  job->results = calloc(l->count + 1, sizeof *job->results);
  if (!w->result_of || !job->results)
    return fail_memory(why, job->out);
  for (size_t i = 0; i < l->count; i++)
    if (job->quantized[i]) {
      w->result_of[i] = &job->results[job->count++];
      w->result_of[i]->w = &l->at[i];
    }
  return true;
}

/* Chosen weights must be linears of layers: told from the names of the first layer's. */
static bool check_chosen(walk *w, fail *why)
{
  net_layer first;
  bool ok = net_layer_load(w->net, 0, &first, why);

  for (size_t i = 0; i < w->job->weights->count && ok; i++) {
    const char *name = w->job->weights->at[i].name;
    bool found = !w->result_of[i];

    for (int g = 0; g < NET_GROUPS && !found; g++)
      for (size_t k = 0; k < first.group[g].count && !found; k++) {
        const char *like = first.group[g].linear[k].name, *zero = strstr(like, ".0.");
        size_t head = (size_t)(zero - like) + 1, tail = strlen(zero + 2);
        size_t n = strlen(name);

        found = n > head + tail && strncmp(name, like, head) == 0 &&
                strcmp(name + n - tail, zero + 2) == 0;
      }
    if (!found)
      ok = fail_set(why, FAIL_UNSUPPORTED, weight_path(w->job->weights, &w->job->weights->at[i]),
                    "%s is not a linear of a decoder layer, which is all that is calibrated", name);
  }
  net_layer_free(w->net, &first);
  return ok;
}

/* The quantizer again, with the threads that run the network. */
static bool make_quantizer(walk *w, fail *why)
{
  quantize_job *job = w->job;

  if (!recipe_config(job->how, job->options, job->memory, &w->config, why))
    return false;
  lq_config_set_i64(w->config, LQ_KEY_THREADS, team_threads(w->workers));
  lq_config_set_parallel(w->config, team_run, w->workers);
  lq_quantizer_destroy(job->quantizer);
  job->quantizer = NULL;
  return lq_quantizer_create(w->config, &job->quantizer) == LQ_OK || fail_memory(why, job->out);
}

/* Room for inputs of groups, unless it would take too much beside the hidden states: they are then
 * computed a second time. */
static bool open_inputs(walk *w, fail *why)
{
  const spec *p = &w->net->spec;
  const uint64_t columns[NET_GROUPS] = {0, p->heads * p->head_dim, 0, p->feed_forward};
  uint64_t rows = w->samples.count * w->samples.length, most = 0;

  for (int g = 0; g < NET_GROUPS; g++) {
    uint64_t bytes = w->streams * rows * (columns[g] + p->hidden) * sizeof(float);

    w->kept[g] = columns[g] && (w->options->spill || bytes <= most_waiting);
    if (w->kept[g] && columns[g] > most)
      most = columns[g];
  }
  for (size_t k = 0; k < w->streams && most != 0; k++)
    if (!hidden_open(&w->stream[k].inputs, rows, most, w->options->spill, quantize_scratch(w->job),
                     why))
      return false;
  return true;
}

static bool open_streams(walk *w, fail *why)
{
  uint64_t rows = w->samples.count * w->samples.length;

  for (size_t k = 0; k < w->streams; k++) {
    stream *s = &w->stream[k];

    if (!net_state_create(w->net, w->batch, w->samples.length, w->samples.length, false, &s->state,
                          why) ||
        !hidden_open(&s->waiting, rows, w->net->spec.hidden, w->options->spill,
                     quantize_scratch(w->job), why))
      return false;
  }
  return open_inputs(w, why);
}

static void close_streams(walk *w)
{
  for (size_t k = 0; k < STREAMS; k++) {
    hidden_close(&w->stream[k].waiting);
    hidden_close(&w->stream[k].inputs);
    net_state_destroy(w->net, w->stream[k].state);
  }
}

static bool prepare(walk *w, fail *why)
{
  quantize_job *job = w->job;
  uint64_t row;

  if (!team_create(&w->workers, (unsigned)job->options->threads, why) ||
      !net_open(&w->net, job->weights, job->memory, w->workers, why) || !list_results(w, why) ||
      !check_chosen(w, why) || !draw(w, why) || !make_quantizer(w, why))
    return false;
  job->calibration.samples = (int64_t)w->samples.count;
  job->calibration.length = (int64_t)w->samples.length;
  row = w->streams * net_state_row_bytes(w->net);
  w->batch = (size_t)(batch_bytes / (row * w->samples.length));
  w->batch = w->batch < 1 ? 1 : w->batch < w->samples.count ? w->batch : w->samples.count;
  return quantize_open(job, samples_hash(&w->samples, UINT64_C(0xcbf29ce484222325)), why) &&
         open_streams(w, why);
}

static bool run_layers(walk *w, fail *why)
{
  for (size_t k = 0; k < w->streams; k++)
    if (!embed(w, &w->stream[k], why))
      return false;
  for (size_t i = 0; i < w->net->spec.layers; i++)
    if (!run_layer(w, i, why))
      return false;
  return true;
}

/* Layers are finished in order. */
static bool all_finished(const walk *w)
{
  const job_store *store = w->job->store;

  return job_is_complete(store) || layer_store_has(store, (size_t)w->net->spec.layers - 1);
}

/* What the disk has to hold at most: the layers that are missing, then all of the model beside them
 * and the codes of its largest shard. */
static bool check_disk(walk *w, fail *why)
{
  const quantize_job *job = w->job;
  const weight_list *l = job->weights;
  const rewrite none = {.bar = &w->bar};
  uint64_t need = 0, shard = 0, most = 0;

  for (size_t i = 0; i < l->count; i++) {
    uint64_t bytes = quantize_bytes(job, i);

    need += bytes;
    if (i == 0 || l->at[i].base->shard != l->at[i - 1].base->shard)
      shard = 0;
    if (!job->quantized[i])
      continue;
    if (!layer_store_has(job->store, layer_of(w, l->at[i].name)))
      need += bytes;
    shard += bytes;
    most = shard > most ? shard : most;
  }
  return rewrite_need(&none, job->out, need + most, why);
}

/* After a run that was stopped while it wrote the model. */
static bool restore_figures(walk *w, fail *why)
{
  for (size_t i = 0; i < w->job->count; i++) {
    quantize_result *r = &w->job->results[i];

    if (!layer_store_figures(w->job->store, layer_of(w, r->w->name), r, why))
      return false;
  }
  return true;
}

static bool run(walk *w, fail *why)
{
  const uint64_t passes = 5;
  const size_t layers = (size_t)w->net->spec.layers;

  progress_start(&w->bar, "calibrating", passes * layers * w->samples.count * w->samples.length,
                 w->job->options->quiet || w->job->options->json);
  progress_unit(&w->bar, "tokens");
  if (all_finished(w) ? !restore_figures(w, why) : !check_disk(w, why) || !run_layers(w, why))
    return false;
  progress_finish(&w->bar);
  progress_start(&w->bar, "writing", model_data_bytes(w->job->from),
                 w->job->options->quiet || w->job->options->json);
  return write_model(w, why);
}

bool quantize_calibrated(quantize_job *job, const calibration_options *o, fail *why)
{
  const stream closed = {.waiting = {.fd = -1}, .inputs = {.fd = -1}};
  walk w = {.job = job,
            .options = o,
            .stream = {closed, closed},
            .streams = job->how->input_correction > 0 ? 2 : 1};
  double begin = sys_seconds();
  bool ok = prepare(&w, why), started = ok;

  ok = ok && run(&w, why);
  if (started)
    progress_finish(&w.bar);
  quantize_close(job, ok, why);
  close_streams(&w);
  lq_config_destroy(w.config);
  free(w.result_of);
  samples_free(&w.samples);
  net_close(w.net);
  team_destroy(w.workers);
  job->seconds = sys_seconds() - begin;
  return ok;
}
