/*
 * Networks of every architecture against what transformers predicts (tests/vectors/networks), in
 * one step and token by token, for several numbers of threads; GPTQ checkpoints; layers on their
 * own; errors.
 */
#include "test_files.h"

#include "../src/model/generation.h"
#include "../src/model/perplexity.h"
#include "../src/model/rows.h"

#include <math.h>

static char vectors[700];

/* Everything that a network needs. */
typedef struct world {
  pool *memory;
  team *workers;
  model *from;
  weight_list weights;
  net *n;
} world;

static void leave(world *w)
{
  net_close(w->n);
  weight_list_free(&w->weights);
  model_close(w->from);
  team_destroy(w->workers);
  pool_destroy(w->memory);
}

static bool enter(world *w, const char *folder, unsigned threads, fail *why)
{
  *w = (world){0};
  if (pool_create(&w->memory, 1 << 24, false, why) && team_create(&w->workers, threads, why) &&
      model_open(&w->from, folder, why) && weight_list_make(&w->weights, w->from, why) &&
      net_open(&w->n, &w->weights, w->memory, w->workers, why))
    return true;
  leave(w);
  return false;
}

/* A tensor of a small file, to be freed. */
static void *load(const char *path, const char *name, size_t *count)
{
  fail why = {0};
  st_file *f = NULL;
  const st_tensor *t = st_open(&f, path, &why) ? st_find(f, name) : NULL;
  void *data = NULL;
  *count = 0;
  if (t != NULL) {
    data = test_alloc((size_t)t->bytes);
    *count = (size_t)t->elements;
    CHECK(st_read(f, t, 0, data, (size_t)t->bytes, &why), "%s", why.text);
    st_turn(t->dtype, data, (size_t)t->bytes);
  }
  st_close(f);
  return data;
}

static const char *vector(const char *name, const char *tail)
{
  static char text[4][1024];
  static int next;
  char *t = text[next++ % 4];
  snprintf(t, sizeof text[0], "%s/%s%s", vectors, name, tail);
  return t;
}

static void copy_file(const char *from, const char *to)
{
  size_t count;
  char *bytes = get_bytes(from, &count);
  CHECK(bytes != NULL, "cannot read %s", from);
  if (bytes != NULL)
    put_bytes(to, bytes, count);
  free(bytes);
}

/* A scratch folder with the weights of one model and the configuration of another; its path. */
static const char *combine(const char *weights, const char *config)
{
  new_folder(at("m"));
  copy_file(weights, at("m/model.safetensors"));
  copy_file(config, at("m/config.json"));
  return at("m");
}

/* Logits of `sequences` of `length` tokens: [row, vocab], to be freed; NULL on failure. */
static float *predict(world *w, const int32_t *ids, size_t sequences, size_t length, fail *why)
{
  size_t rows = sequences * length, vocab = (size_t)w->n->spec.vocab;
  float *logits = test_alloc(rows * vocab * sizeof *logits);
  net_state *s = NULL;
  bool ok = (w->n->layers || net_load_layers(w->n, NULL, NULL, why)) &&
            net_state_create(w->n, sequences, length, length, false, &s, why) &&
            net_embed(w->n, s, ids, sequences, length, why) && net_run(w->n, s, why) &&
            net_logits(w->n, s->x, rows, logits, why);
  net_state_destroy(w->n, s);
  if (!ok) {
    free(logits);
    return NULL;
  }
  return logits;
}

/* The same token by token, all sequences in step. */
static float *predict_stepwise(world *w, const int32_t *ids, size_t sequences, size_t length,
                               fail *why)
{
  size_t vocab = (size_t)w->n->spec.vocab;
  float *logits = test_alloc(sequences * length * vocab * sizeof *logits);
  float *step = test_alloc(sequences * vocab * sizeof *step);
  net_state *s = NULL;
  bool ok = net_state_create(w->n, sequences, length, 1, true, &s, why);
  for (size_t i = 0; i < length && ok; i++) {
    int32_t now[8];
    for (size_t k = 0; k < sequences; k++)
      now[k] = ids[k * length + i];
    ok = net_embed(w->n, s, now, sequences, 1, why) && net_run(w->n, s, why) &&
         net_logits(w->n, s->x, sequences, step, why);
    for (size_t k = 0; k < sequences; k++)
      memcpy(logits + (k * length + i) * vocab, step + k * vocab, vocab * sizeof *step);
  }
  CHECK(!ok || s->past == length, "%zu positions", s->past);
  net_state_destroy(w->n, s);
  free(step);
  if (!ok) {
    free(logits);
    return NULL;
  }
  return logits;
}

/* Largest difference over the largest value. */
static double distance(const float *a, const float *b, size_t count)
{
  double most = 0, scale = 0;
  for (size_t i = 0; i < count; i++) {
    double d = fabs((double)a[i] - (double)b[i]);
    most = d > most || isnan(d) ? d : most;
    scale = fabs((double)a[i]) > scale ? fabs((double)a[i]) : scale;
  }
  return most / scale;
}

static void near_vectors(const char *what, const float *expected, const float *got, size_t count)
{
  double d = got != NULL ? distance(expected, got, count) : NAN;
  CHECK(d <= 1e-4, "%s: relative distance %g", what, d);
}

/* ---- against transformers ---- */

enum { SEQUENCES = 2, LENGTH = 24, GREEDY = 20 };

typedef struct greedy {
  int32_t ids[GREEDY];
  size_t count;
} greedy;

static bool keep_token(void *user, int32_t id, fail *why)
{
  greedy *g = user;
  (void)why;
  if (g->count < GREEDY)
    g->ids[g->count] = id;
  g->count++;
  return true;
}

static void check_greedy(world *w, const char *name, const int32_t *tokens)
{
  size_t count;
  int32_t *expected = load(vector(name, ".safetensors"), "greedy", &count);
  fail why = {0};
  greedy got = {0};
  generation g = {.n = w->n,
                  .how = {.top_p = 1},
                  .prompt = tokens,
                  .prompt_count = LENGTH,
                  .most = GREEDY,
                  .token = keep_token,
                  .user = &got};
  if (expected == NULL)
    return;
  CHECK(generation_run(&g, &why), "%s", why.text);
  CHECK(got.count == count && memcmp(got.ids, expected, sizeof got.ids) == 0 && !g.stopped,
        "the greedy continuation differs");
  /* A stop id ends it, and is not told. */
  got.count = 0;
  g.stops = expected + 4;
  g.stop_count = 1;
  CHECK(generation_run(&g, &why) && g.stopped && got.count == g.made && got.count <= 4,
        "%zu tokens before a stop", got.count);
  free(expected);
}

static void check_network(const char *name, const char *folder)
{
  size_t count, logit_count;
  int32_t *tokens = load(vector(name, ".safetensors"), "tokens", &count);
  float *expected = load(vector(name, ".safetensors"), "logits", &logit_count);
  float *first = NULL;
  test_in("%s", name);
  CHECK(tokens != NULL && count == SEQUENCES * LENGTH, "no tokens");
  for (unsigned threads = 1; threads <= 4 && tokens != NULL; threads += 1 + threads / 2) {
    fail why = {0};
    world w;
    if (!CHECK(enter(&w, folder, threads, &why), "%s", why.text))
      break;
    float *got = predict(&w, tokens, SEQUENCES, LENGTH, &why);
    near_vectors(why.text, expected, got, logit_count);
    if (first == NULL) {
      float *steps = predict_stepwise(&w, tokens, SEQUENCES, LENGTH, &why);
      near_vectors(why.text, expected, steps, logit_count);
      free(steps);
      check_greedy(&w, name, tokens);
      first = got;
    } else {
      CHECK(got != NULL && memcmp(first, got, logit_count * sizeof *got) == 0,
            "%u threads: other bits", threads);
      free(got);
    }
    leave(&w);
  }
  free(first);
  free(expected);
  free(tokens);
  test_in("%s", "");
}

static void check_networks(void)
{
  static const char *const own[] = {"llama", "mistral",   "qwen2", "qwen3",
                                    "opt",   "opt-after", "gpt2",  NULL};
  static const char *const variants[] = {"llama-older", "llama-dynamic", "llama-3", "llama-yarn",
                                         NULL};
  for (size_t i = 0; own[i] != NULL; i++)
    check_network(own[i], vector(own[i], ""));
  for (size_t i = 0; variants[i] != NULL; i++) {
    check_network(variants[i],
                  combine(vector("llama", "/model.safetensors"), vector(variants[i], ".json")));
    remove_all(at("m"));
  }
}

/* Checkpoints of GPTQModel against transformers on the weights that they hold, in f32. */
static void check_packed(const char *name)
{
  enum { ROWS = 2, TOKENS = 16 };
  size_t count, logit_count;
  const char *expected_file = vector(name, ".safetensors");
  int32_t *tokens = load(expected_file, "tokens", &count);
  float *expected = load(expected_file, "logits", &logit_count);
  fail why = {0};
  world w;
  test_in("%s", name);
  if (CHECK(tokens != NULL && expected != NULL && count == ROWS * TOKENS, "no vectors") &&
      CHECK(enter(&w, vector(name, ""), 2, &why), "%s", why.text)) {
    float *got = predict(&w, tokens, ROWS, TOKENS, &why);
    near_vectors(why.text, expected, got, logit_count);
    free(got);
    leave(&w);
  }
  free(expected);
  free(tokens);
  test_in("%s", "");
}

/* A checkpoint of the model without its head lacks the first part of the names. */
static void check_prefix(void)
{
  size_t count, logit_count;
  char *bytes = get_bytes(vector("gpt2", "/model.safetensors"), &count);
  int32_t *tokens = load(vector("gpt2", ".safetensors"), "tokens", &logit_count);
  float *expected = load(vector("gpt2", ".safetensors"), "logits", &logit_count);
  fail why = {0};
  world w;
  /* In place: the name becomes shorter, blanks before the quote make up for it. */
  for (char *p = bytes; p < bytes + count - 14; p++)
    if (memcmp(p, "\"transformer.", 13) == 0)
      memcpy(p, "            \"", 13);
  new_folder(at("m"));
  put_bytes(at("m/model.safetensors"), bytes, count);
  copy_file(vector("gpt2", "/config.json"), at("m/config.json"));
  if (CHECK(enter(&w, at("m"), 1, &why), "%s", why.text)) {
    float *got = predict(&w, tokens, SEQUENCES, LENGTH, &why);
    near_vectors(why.text, expected, got, logit_count);
    free(got);
    leave(&w);
  }
  remove_all(at("m"));
  free(expected);
  free(tokens);
  free(bytes);
}

/* The example model on the start of a real text: logits of some positions, mean NLL. */
static void check_excerpt(const char *folder)
{
  enum { CTX = 512, VOCAB = 2048 };
  const char *path = vector("excerpt", ".safetensors");
  size_t count, positions, logits, windows;
  int32_t *tokens = load(path, "tokens", &count), *position = load(path, "positions", &positions);
  float *expected = load(path, "logits", &logits);
  double *nll = load(path, "nll", &windows), own[2] = {0};
  window_list list = {0};
  fail why = {0};
  world w;
  test_in("%s", "excerpt");
  if (!CHECK(tokens && position && expected && nll && count == 2 * CTX, "no vectors") ||
      !CHECK(enter(&w, folder, 2, &why), "%s", why.text))
    return;
  /* The last position and the second window take half the time, which emulators feel. */
  positions -= !test_is_long();
  windows -= !test_is_long();
  float *got = predict(&w, tokens, 1, (size_t)position[positions - 1] + 1, &why);
  for (size_t i = 0; i < positions && got != NULL; i++)
    for (size_t k = 0; k < VOCAB; k++) {
      double d =
          fabs((double)got[(size_t)position[i] * VOCAB + k] - (double)expected[i * VOCAB + k]);
      if (!(d <= 2e-4))
        CHECK(false, "position %d, token %zu: off by %g", (int)position[i], k, d);
    }
  CHECK(got != NULL, "%s", why.text);
  free(got);
  perplexity p = {.n = w.n, .tokens = tokens, .windows = &list, .bos = -1, .nll = own};
  CHECK(windows_make(&list, "gptq", count, CTX, 0, windows, "text", &why) &&
            perplexity_run(&p, &why),
        "%s", why.text);
  for (size_t i = 0; i < windows; i++)
    CHECK(fabs(own[i] - nll[i]) < 1e-5, "window %zu: %.9f, not %.9f", i, own[i], nll[i]);
  windows_free(&list);
  leave(&w);
  free(tokens);
  free(position);
  free(expected);
  free(nll);
  test_in("%s", "");
}

/* ---- layers on their own, as a calibration drives them ---- */

typedef struct seen {
  const world *w;
  unsigned groups; /* bit g: seen once */
  size_t linears;
  bool replace;
} seen;

/* What a linear makes of the input that the hook is given is what the next group builds on; here
 * the weights are put in their own place as a dense copy in f32, which changes no bit. */
static bool look(void *user, net_layer *layer, net_group_id g, const net_input *in, fail *why)
{
  seen *s = user;
  net_group *group = &layer->group[g];
  CHECK(in->columns == group->columns && in->stride >= in->columns && in->rows == LENGTH,
        "input [%zu, %zu], stride %zu", in->rows, in->columns, in->stride);
  CHECK(!(s->groups & 1u << g), "group %d twice", (int)g);
  s->groups |= 1u << g;
  for (size_t i = 0; i < group->count; i++, s->linears++) {
    net_linear *l = &group->linear[i];
    const uint64_t dims[2] = {l->rows, l->columns};
    lq_tensor *copy = NULL;
    CHECK(weight_find(&s->w->weights, l->name) != NULL, "no weight %s", l->name);
    if (!s->replace)
      continue;
    CHECK(lq_tensor_create(NULL, LQ_F32, 2, dims, &copy) == LQ_OK &&
              lq_dequantize(l->weight, LQ_F32, lq_tensor_data(copy), l->rows * l->columns * 4,
                            NULL) == LQ_OK,
          "%s", l->name);
    if (!net_linear_replace(s->w->n, l, copy, why))
      return false;
  }
  return true;
}

static void check_layers(const char *name, size_t linears)
{
  size_t count, logit_count;
  int32_t *tokens = load(vector(name, ".safetensors"), "tokens", &count);
  float *expected = load(vector(name, ".safetensors"), "logits", &logit_count);
  float *got = test_alloc(logit_count * sizeof *got);
  fail why = {0};
  world w;
  test_in("%s, layer by layer", name);
  if (!CHECK(enter(&w, vector(name, ""), 2, &why), "%s", why.text))
    return;
  size_t width = (size_t)w.n->spec.hidden * LENGTH, vocab = (size_t)w.n->spec.vocab;
  float *hidden[SEQUENCES];
  net_state *s = NULL;
  bool ok = net_state_create(w.n, 1, LENGTH, LENGTH, false, &s, &why);
  for (size_t k = 0; k < SEQUENCES && ok; k++) {
    hidden[k] = test_alloc(width * sizeof **hidden);
    ok = net_embed(w.n, s, tokens + k * LENGTH, 1, LENGTH, &why);
    memcpy(hidden[k], s->hidden, width * sizeof **hidden);
  }
  for (size_t i = 0; i < (size_t)w.n->spec.layers && ok; i++) {
    net_layer layer;
    ok = net_layer_load(w.n, i, &layer, &why);
    for (size_t k = 0; k < SEQUENCES && ok; k++) {
      seen all = {.w = &w, .replace = k == 0};
      memcpy(s->hidden, hidden[k], width * sizeof **hidden);
      ok = net_layer_run(w.n, &layer, s, look, &all, &why);
      CHECK(all.groups == (1u << NET_GROUPS) - 1 && all.linears == linears, "%zu linears",
            all.linears);
      memcpy(hidden[k], s->hidden, width * sizeof **hidden);
    }
    net_layer_free(w.n, &layer);
  }
  for (size_t k = 0; k < SEQUENCES && ok; k++) {
    memcpy(s->hidden, hidden[k], width * sizeof **hidden);
    ok = net_finish(w.n, s, &why) && net_logits(w.n, s->x, LENGTH, got + k * LENGTH * vocab, &why);
    free(hidden[k]);
  }
  CHECK(ok, "%s", why.text);
  near_vectors("logits", expected, got, logit_count);
  net_state_destroy(w.n, s);
  leave(&w);
  free(got);
  free(expected);
  free(tokens);
  test_in("%s", "");
}

/* ---- what goes wrong ---- */

static void refuses(const char *folder, fail_kind kind, const char *part)
{
  fail why = {0};
  world w;
  bool ok = enter(&w, folder, 1, &why) && net_load_layers(w.n, NULL, NULL, &why);
  CHECK(!ok && why.kind == kind && strstr(why.text, part) != NULL, "%s: %s, expected \"%s\"",
        fail_kind_name(why.kind), ok ? "accepted" : why.text, part);
  if (ok || w.n != NULL)
    leave(&w);
}

/* The configuration of llama with one member changed. */
static void refuses_config(const char *from, const char *to, fail_kind kind, const char *part)
{
  size_t count;
  char *text = get_bytes(vector("llama", "/config.json"), &count), *place = strstr(text, from);
  char *changed = test_alloc(count + strlen(to) + 1);
  if (CHECK(place != NULL, "no %s", from)) {
    memcpy(changed, text, (size_t)(place - text));
    strcpy(changed + (place - text), to);
    strcat(changed, place + strlen(from));
    new_folder(at("m"));
    copy_file(vector("llama", "/model.safetensors"), at("m/model.safetensors"));
    put_text(at("m/config.json"), changed);
    refuses(at("m"), kind, part);
    remove_all(at("m"));
  }
  free(changed);
  free(text);
}

static void check_errors(void)
{
  refuses_config("LlamaForCausalLM", "MambaForCausalLM", FAIL_UNSUPPORTED,
                 "architecture MambaForCausalLM is not supported");
  refuses_config("\"hidden_size\": 32", "\"hidden_size\": 36", FAIL_FORMAT,
                 "model.embed_tokens.weight has the shape [64, 32]; config.json asks for [64, 36]");
  refuses_config("\"head_dim\": 12", "\"head_dim\": 10", FAIL_FORMAT,
                 "q_proj.weight has the shape");
  refuses_config("\"head_dim\": 12", "\"head_dim\": 11", FAIL_FORMAT, "odd");
  refuses_config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", FAIL_NOTFOUND,
                 "tensor model.layers.2.input_layernorm.weight is missing");
  refuses_config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", FAIL_FORMAT, "layers");
  refuses_config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 9999999999", FAIL_FORMAT,
                 "layers");
  refuses_config("\"num_attention_heads\": 4", "\"num_attention_heads\": 0", FAIL_FORMAT, "heads");
  refuses_config("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", FAIL_FORMAT,
                 "not a multiple");
  refuses_config("\"num_attention_heads\": 4,", "", FAIL_FORMAT, "num_attention_heads");
  refuses_config("gelu_pytorch_tanh", "xielu", FAIL_UNSUPPORTED, "hidden_act 'xielu'");
  refuses_config("\"rope_type\": \"default\"", "\"rope_type\": \"longrope\"", FAIL_UNSUPPORTED,
                 "'longrope'");
  refuses_config("\"rope_type\": \"default\"", "\"rope_type\": \"linear\"", FAIL_FORMAT, "factor");
  refuses_config("\"rope_theta\": 100.0", "\"rope_theta\": 0", FAIL_FORMAT, "rope_theta");
  refuses_config("\"rope_theta\"", "\"partial_rotary_factor\": 0.5, \"rope_theta\"",
                 FAIL_UNSUPPORTED, "partial_rotary_factor");
  refuses_config("\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": -1", FAIL_FORMAT, "epsilon");
  refuses_config("[\n    \"LlamaForCausalLM\"\n  ]", "[]", FAIL_FORMAT, "no architecture");
  refuses_config("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": 1", FAIL_FORMAT,
                 "tie_word_embeddings");
  refuses(vector("llama", "/model.safetensors"), FAIL_NOTFOUND, "not a model folder");
}

/* Ids and positions that the network has not. */
static void check_steps(void)
{
  int32_t ids[40] = {5};
  fail why = {0};
  net_state *s = NULL;
  world w;
  if (!CHECK(enter(&w, vector("opt", ""), 1, &why), "%s", why.text))
    return;
  CHECK(!net_state_create(w.n, 1, 31, 31, false, &s, &why) && why.kind == FAIL_LIMIT, "%s",
        why.text);
  CHECK(net_state_create(w.n, 1, 30, 30, false, &s, &why), "%s", why.text);
  CHECK(!net_embed(w.n, s, ids, 1, 31, &why) && why.kind == FAIL_LIMIT, "%s", why.text);
  ids[3] = 64;
  CHECK(!net_embed(w.n, s, ids, 1, 5, &why) && why.kind == FAIL_DATA, "%s", why.text);
  ids[3] = -1;
  CHECK(!net_embed(w.n, s, ids, 1, 5, &why) && why.kind == FAIL_DATA, "%s", why.text);
  ids[3] = 63;
  CHECK(net_embed(w.n, s, ids, 1, 30, &why), "%s", why.text);
  net_state_destroy(w.n, s);
  generation g = {.n = w.n, .prompt = ids, .prompt_count = 31, .most = 1, .token = keep_token};
  CHECK(!generation_run(&g, &why) && why.kind == FAIL_LIMIT, "%s", why.text);
  leave(&w);
}

/* Generation ends where the positions do. */
static void check_capacity(void)
{
  int32_t ids[28] = {7, 9, 11};
  fail why = {0};
  greedy got = {0};
  world w;
  if (!CHECK(enter(&w, vector("opt", ""), 1, &why), "%s", why.text))
    return;
  generation g = {
      .n = w.n, .prompt = ids, .prompt_count = 28, .most = 100, .token = keep_token, .user = &got};
  CHECK(net_load_layers(w.n, NULL, NULL, &why) && generation_run(&g, &why), "%s", why.text);
  CHECK(g.made == 3 && got.count == 3 && !g.stopped && g.capacity == 30, "%zu tokens", g.made);
  leave(&w);
}

int main(int argc, char **argv)
{
  snprintf(vectors, sizeof vectors, "%.600s/networks", test_vectors(argc, argv));
  char example[800];
  snprintf(example, sizeof example, "%s/../../../examples/model", vectors);
  scratch_make();
  check_networks();
  check_packed("../checkpoints/tiny-llama-gptq-4bit-desc-act");
  check_packed("../checkpoints/tiny-llama-gptq-4bit-asym-v2");
  check_prefix();
  check_excerpt(example);
  check_layers("llama", 7);
  check_layers("qwen3", 7);
  check_layers("opt-after", 6);
  check_layers("gpt2", 4);
  check_errors();
  check_steps();
  check_capacity();
  scratch_remove();
  return test_end();
}
