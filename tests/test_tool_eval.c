/*
 * What `quant eval` and `quant generate` stand on beside networks: windows, texts and ids, rows of
 * numbers, the choice of a token, the team of threads; and KL divergence against its definition.
 */
#include "test_files.h"

#include "../src/model/corpus.h"
#include "../src/model/generation.h"
#include "../src/model/perplexity.h"
#include "../src/model/rows.h"

#include <math.h>
#include <stdatomic.h>

/* ---- windows ---- */

static void check_disjoint(void)
{
  window_list l = {0};
  fail why = {0};
  CHECK(windows_make(&l, "gptq", 1055, 100, 0, 0, "t", &why), "%s", why.text);
  CHECK(l.count == 10 && l.scored == 990, "%zu windows, %zu scored", l.count, l.scored);
  CHECK(l.at[9].begin == 900 && l.at[9].length == 100 && l.at[9].first == 1, "the last window");
  CHECK(strstr(l.words, "disjoint windows of 100 tokens") != NULL, "%s", l.words);
  windows_free(&l);
  CHECK(windows_make(&l, "optimum", 1055, 100, 0, 3, "t", &why) && l.count == 3, "--windows");
  windows_free(&l);
  CHECK(windows_make(&l, "llama.cpp", 100, 100, 0, 0, "t", &why), "%s", why.text);
  /* Logits from n_ctx / 2 to n_ctx - 2 are used, which predict 51 to 99. */
  CHECK(l.count == 1 && l.at[0].first == 51 && l.scored == 49, "%zu scored", l.scored);
  windows_free(&l);
  CHECK(!windows_make(&l, "gptq", 99, 100, 0, 0, "t", &why) && why.kind == FAIL_DATA &&
            strcmp(why.text, "t: 99 tokens are less than one window of 100") == 0,
        "%s", why.text);
  CHECK(!windows_make(&l, "gptq", 99, 1, 0, 0, "t", &why) && why.kind == FAIL_USAGE, "%s",
        why.text);
  CHECK(!windows_make(&l, "llama.cpp", 99, 2, 0, 0, "t", &why) && why.kind == FAIL_USAGE, "%s",
        why.text);
  CHECK(windows_length("gptq", 4096) == 2048 && windows_length("gptq", 100) == 100 &&
            windows_length("llama.cpp", 4096) == 512,
        "usual lengths");
}

/* 10 tokens, 4 a window, 3 apart: 0-3, 3-6, 6-9; the last two score 3 new tokens each. */
static void check_overlapping(void)
{
  window_list l = {0};
  fail why = {0};
  CHECK(windows_make(&l, "huggingface", 10, 4, 3, 0, "t", &why), "%s", why.text);
  CHECK(l.count == 3 && l.scored == 9, "%zu windows, %zu scored", l.count, l.scored);
  CHECK(l.at[0].first == 1 && l.at[1].first == 1 && l.at[2].first == 1, "first scored");
  CHECK(l.at[0].weight == 3 && l.at[1].weight == 2 && l.at[2].weight == 2, "weights");
  windows_free(&l);
  CHECK(windows_make(&l, "huggingface", 9, 4, 2, 0, "t", &why), "%s", why.text);
  CHECK(l.count == 4 && l.at[3].begin == 6 && l.at[3].length == 3 && l.at[3].first == 2,
        "%zu windows", l.count);
  CHECK(l.at[1].first == 2 && l.scored == 8, "%zu scored", l.scored);
  windows_free(&l);
  CHECK(windows_make(&l, "huggingface", 3, 4, 2, 0, "t", &why) && l.count == 1 &&
            l.at[0].length == 3 && l.scored == 2,
        "a short text");
  windows_free(&l);
  CHECK(!windows_make(&l, "huggingface", 10, 4, 5, 0, "t", &why) && why.kind == FAIL_USAGE, "%s",
        why.text);
}

static void check_average(void)
{
  window at[4] = {{0, 3, 1, 2}, {3, 3, 1, 2}, {6, 3, 1, 2}, {9, 3, 1, 2}};
  window_list l = {.at = at, .count = 4};
  const double x[4] = {1, 2, 4, 7}, y[4] = {1, 1, 1, 1};
  /* Mean 3.5, variance of the sample 7. */
  windows_mean m = windows_average(&l, x, NULL, 4), d = windows_average(&l, x, y, 4);
  CHECK(fabs(m.mean - 3.5) < 1e-15 && fabs(m.error - sqrt(7.0 / 4)) < 1e-15, "%g +- %g", m.mean,
        m.error);
  CHECK(fabs(d.mean - 2.5) < 1e-15 && fabs(d.error - m.error) < 1e-15, "%g +- %g", d.mean, d.error);
  m = windows_average(&l, x, NULL, 1);
  CHECK(m.mean == 1 && isnan(m.error), "one window: %g +- %g", m.mean, m.error);
}

/* ---- texts and ids ---- */

static void reads_text(const char *name, const char *bytes, const char *expected)
{
  char *text;
  size_t length;
  fail why = {0};
  put_text(at(name), bytes);
  bool ok = corpus_text(&text, &length, at(name), &why);
  CHECK(ok == (expected != NULL), "%s", why.text);
  if (ok && expected != NULL)
    CHECK(length == strlen(expected) && strcmp(text, expected) == 0, "%s", text);
  if (ok)
    free(text);
}

static void check_texts(void)
{
  char *text;
  size_t length;
  fail why = {0};
  reads_text("plain.txt", "a\r\nb \xC3\xA9\n", "a\r\nb \xC3\xA9\n");
  reads_text("bad.txt", "a\xFF", NULL);
  reads_text("empty.txt", "", NULL);
  reads_text("two.jsonl", "{\"text\": \"one\\n\", \"id\": 1}\n\n{\"text\": \"two\"}",
             "one\n\n\ntwo");
  reads_text("none.jsonl", "{\"title\": \"one\"}\n", NULL);
  reads_text("number.jsonl", "{\"text\": 1}\n", NULL);
  reads_text("broken.jsonl", "{\"text\": \"one\"}\n{\n", NULL);
  reads_text("blank.jsonl", "\n\n", NULL);
  CHECK(!corpus_text(&text, &length, at("nothing"), &why) && why.kind == FAIL_IO, "%s", why.text);
}

static void put_ids(const char *name, st_dtype type, const void *bytes, bool second)
{
  st_tensor t[2] = {{.name = "ids", .dtype = type, .ndim = 2, .shape = {1, 3}},
                    {.name = "more", .dtype = type, .ndim = 2, .shape = {1, 3}}};
  st_pair format = {"format", "pt"};
  st_writer *w = NULL;
  out_file *out = NULL;
  fail why = {0};
  size_t size = type == ST_I64 ? 24 : 12;
  bool ok = st_writer_plan(&w, t, second ? 2 : 1, &format, 1, at(name), &why) &&
            out_file_create(&out, at(name), true, &why) && st_writer_start(w, out, &why) &&
            st_writer_elements(w, 0, 0, bytes, size, &why) &&
            (!second || st_writer_elements(w, 1, 0, bytes, size, &why)) &&
            st_writer_finish(w, &why) && out_file_commit(&out, &why);
  CHECK(ok, "%s", why.text);
  out_file_abort(out);
  st_writer_free(w);
}

static void reads_ids(const char *path, const char *part)
{
  int32_t *ids;
  size_t count;
  fail why = {0};
  bool ok = corpus_ids(&ids, &count, path, &why);
  CHECK(ok == (part == NULL), "%s: %s", path, ok ? "accepted" : why.text);
  if (ok && part == NULL)
    CHECK(count == 3 && ids[0] == 5 && ids[1] == 6 && ids[2] == 7, "%zu ids", count);
  if (!ok && part != NULL)
    CHECK(strstr(why.text, part) != NULL, "%s, expected \"%s\"", why.text, part);
  free(ids);
}

static void check_ids(void)
{
  const int32_t narrow[3] = {5, 6, 7}, negative[3] = {5, -6, 7};
  const int64_t wide[3] = {5, 6, 7}, large[3] = {5, INT64_C(1) << 31, 7};
  const float real[3] = {5, 6, 7};
  char named[1100];
  put_ids("narrow.safetensors", ST_I32, narrow, false);
  put_ids("wide.safetensors", ST_I64, wide, false);
  put_ids("two.safetensors", ST_I32, narrow, true);
  put_ids("negative.safetensors", ST_I32, negative, false);
  put_ids("large.safetensors", ST_I64, large, false);
  put_ids("real.safetensors", ST_F32, real, false);
  reads_ids(at("narrow.safetensors"), NULL);
  reads_ids(at("wide.safetensors"), NULL);
  reads_ids(at("two.safetensors"), "several");
  snprintf(named, sizeof named, "%s:more", at("two.safetensors"));
  reads_ids(named, NULL);
  snprintf(named, sizeof named, "%s:less", at("two.safetensors"));
  reads_ids(named, "no tensor less");
  reads_ids(at("negative.safetensors"), "element 1 is not the id");
  reads_ids(at("large.safetensors"), "element 1 is not the id");
  reads_ids(at("real.safetensors"), "no tensor of I32");
  reads_ids(at("nothing.safetensors"), "cannot");
}

/* ---- rows ---- */

static double act_in_double(spec_act act, double x)
{
  switch (act) {
  case SPEC_SILU: return x / (1 + exp(-x));
  case SPEC_RELU: return x > 0 ? x : 0;
  case SPEC_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
  case SPEC_GELU_TANH:
    return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
  default: return x / (1 + exp(-1.702 * x));
  }
}

static void check_activations(void)
{
  static const spec_act acts[] = {SPEC_SILU, SPEC_RELU, SPEC_GELU, SPEC_GELU_TANH, SPEC_GELU_QUICK};
  for (size_t a = 0; a < 5; a++)
    for (int i = -400; i <= 400; i++) {
      float x = (float)i * 0.05f, y = x, g = x, up = 3;
      double expected = act_in_double(acts[a], (double)x);
      rows_activate(acts[a], &y, 1);
      rows_activate_gated(acts[a], &g, &up, 1);
      CHECK(fabs((double)y - expected) <= 1e-6 * (1 + fabs(expected)), "act %zu of %g: %g", a,
            (double)x, (double)y);
      CHECK(g == y * 3, "gated act %zu of %g: %g", a, (double)x, (double)g);
    }
}

static void check_rows(void)
{
  enum { N = 37 };
  uint64_t seed = 3;
  float x[N], y[N], w[N], b[N];
  double mean = 0, square = 0, variance = 0, sum = 0;
  for (size_t i = 0; i < N; i++) {
    x[i] = 100 + 3 * rng_normal(&seed);
    w[i] = rng_normal(&seed);
    b[i] = rng_normal(&seed);
    mean += (double)x[i] / N;
    square += (double)x[i] * (double)x[i] / N;
  }
  for (size_t i = 0; i < N; i++)
    variance += ((double)x[i] - mean) * ((double)x[i] - mean) / N;
  rows_rms_norm(y, x, N, w, 1e-5);
  for (size_t i = 0; i < N; i++)
    CHECK(fabs((double)y[i] - (double)w[i] * (double)x[i] / sqrt(square + 1e-5)) < 1e-5, "rms %zu",
          i);
  rows_layer_norm(y, x, N, w, b, 1e-5);
  for (size_t i = 0; i < N; i++)
    CHECK(fabs((double)y[i] - (double)w[i] * ((double)x[i] - mean) / sqrt(variance + 1e-5) -
               (double)b[i]) < 1e-5,
          "layer norm %zu", i);
  /* Large values neither overflow nor lose the small ones' share. */
  for (size_t i = 0; i < N; i++)
    y[i] = x[i] * 1e4f;
  y[5] = y[7] = 3e6f;
  CHECK(fabs(rows_log_sum_exp(y, N) - 3e6 - log(2)) < 1e-9, "log sum exp");
  rows_softmax(y, N, 1);
  CHECK(y[5] == 0.5f && y[7] == 0.5f, "softmax of large values");
  rows_softmax(x, N, 0.25f);
  for (size_t i = 0; i < N; i++)
    sum += (double)x[i];
  CHECK(fabs(sum - 1) < 1e-6, "softmax sums to %g", sum);
  CHECK(rows_largest(y, N) == 5, "the first of the largest");
}

/* Against the exponential of double precision, in every place of a vector, and at the ends. */
static void check_exp(void)
{
  const float ends[] = {-INFINITY, -1e30f, -87.4f, 0, 88.8f, 1e30f, INFINITY, NAN};
  float x[43];
  double worst = 0;
  for (int i = -87330; i < 87970; i += 40) {
    for (int k = 0; k < 43; k++)
      x[k] = (float)(i + k) * 1e-3f;
    rows_exp(x, 43);
    for (int k = 0; k < 43; k++) {
      double expected = exp((double)((float)(i + k) * 1e-3f)), d = (double)x[k] / expected - 1;
      worst = fabs(d) > worst || isnan(d) ? fabs(d) : worst;
    }
  }
  CHECK(worst < 2 * 0x1p-23, "relative error %g", worst);
  memcpy(x, ends, sizeof ends);
  rows_exp(x, 8);
  CHECK(x[0] == 0 && x[1] == 0 && x[2] == 0 && x[3] == 1, "%g %g %g %g", (double)x[0], (double)x[1],
        (double)x[2], (double)x[3]);
  CHECK(isinf(x[4]) && isinf(x[5]) && isinf(x[6]) && isnan(x[7]), "%g %g %g %g", (double)x[4],
        (double)x[5], (double)x[6], (double)x[7]);
  x[0] = 1;
  x[1] = NAN;
  CHECK(isnan(rows_log_sum_exp(x, 2)), "NaN is lost");
  rows_softmax(x, 2, 1);
  CHECK(isnan(x[0]), "NaN is lost");
}

/* ---- the choice of a token ---- */

static void draw_many(const sampling *how, const float *logits, size_t vocab, size_t *counts,
                      size_t draws)
{
  float *copy = test_alloc(vocab * sizeof *copy);
  choice *c = NULL;
  fail why = {0};
  memset(counts, 0, vocab * sizeof *counts);
  if (CHECK(choice_create(&c, how, vocab, &why), "%s", why.text))
    for (size_t i = 0; i < draws; i++) {
      memcpy(copy, logits, vocab * sizeof *copy);
      counts[choice_take(c, copy)]++;
    }
  choice_destroy(c);
  free(copy);
}

static void check_choice(void)
{
  enum { VOCAB = 5, DRAWS = 20000 };
  /* Shares 0.4, 0.3, 0.2, 0.1, 0 at temperature 1. */
  const float logits[VOCAB] = {logf(0.2f), logf(0.4f), -INFINITY, logf(0.1f), logf(0.3f)};
  size_t n[VOCAB], again[VOCAB];
  draw_many(&(sampling){.top_p = 1}, logits, VOCAB, n, 10);
  CHECK(n[1] == 10, "greedy");
  draw_many(&(sampling){.temperature = 1, .top_p = 1, .seed = 1}, logits, VOCAB, n, DRAWS);
  CHECK(n[2] == 0 && fabs((double)n[1] / DRAWS - 0.4) < 0.015 &&
            fabs((double)n[4] / DRAWS - 0.3) < 0.015 && fabs((double)n[3] / DRAWS - 0.1) < 0.01,
        "%zu %zu %zu %zu", n[0], n[1], n[3], n[4]);
  draw_many(&(sampling){.temperature = 1, .top_p = 1, .seed = 1}, logits, VOCAB, again, DRAWS);
  CHECK(memcmp(n, again, sizeof n) == 0, "the same seed, other draws");
  draw_many(&(sampling){.temperature = 1, .top_p = 1, .seed = 2}, logits, VOCAB, again, DRAWS);
  CHECK(memcmp(n, again, sizeof n) != 0, "another seed, the same draws");
  draw_many(&(sampling){.temperature = 1, .top_p = 1, .top_k = 2}, logits, VOCAB, n, DRAWS);
  CHECK(n[0] == 0 && n[3] == 0 && fabs((double)n[1] / DRAWS - 4.0 / 7) < 0.015, "top-k");
  draw_many(&(sampling){.temperature = 1, .top_p = 0.65}, logits, VOCAB, n, DRAWS);
  CHECK(n[0] == 0 && n[3] == 0 && n[4] > 0, "top-p");
  draw_many(&(sampling){.temperature = 1, .top_p = 0}, logits, VOCAB, n, 10);
  CHECK(n[1] == 10, "top-p 0 leaves one");
  draw_many(&(sampling){.temperature = 0.5, .top_p = 1}, logits, VOCAB, n, DRAWS);
  CHECK(fabs((double)n[1] / DRAWS - 16.0 / 30) < 0.015, "temperature");
}

/* ---- the team ---- */

static void count_rows(void *arg, size_t first, size_t count)
{
  _Atomic unsigned *seen = arg;
  for (size_t i = first; i < first + count; i++)
    atomic_fetch_add(&seen[i], 1);
}

static void check_team(void)
{
  static _Atomic unsigned seen[1000];
  for (unsigned threads = 1; threads <= 9; threads += 4) {
    fail why = {0};
    team *t = NULL;
    if (!CHECK(team_create(&t, threads, &why) && team_threads(t) == threads, "%s", why.text))
      continue;
    for (size_t rows = 0; rows <= 1000; rows = rows * 3 + 1) {
      bool once = true;
      memset((void *)seen, 0, sizeof seen);
      team_rows(t, rows, 7, count_rows, seen);
      for (size_t i = 0; i < 1000; i++)
        once = once && seen[i] == (i < rows);
      CHECK(once, "%u threads, %zu rows", threads, rows);
    }
    for (int i = 0; i < 2000; i++)
      team_rows(t, 3, 1, count_rows, seen);
    CHECK(seen[0] >= 2000, "many short jobs");
    team_destroy(t);
  }
}

/* ---- KL divergence ---- */

typedef struct world {
  pool *memory;
  team *workers;
  model *from[2];
  weight_list weights[2];
  net *n[2];
} world;

/* Two networks over the same weights with other positions: of one vocabulary, but different. */
static bool open_two(world *w, const char *folder, fail *why)
{
  size_t count;
  char path[2][1024], *text;
  snprintf(path[0], sizeof path[0], "%.900s/networks/llama", folder);
  snprintf(path[1], sizeof path[1], "%.900s/networks/llama/model.safetensors", folder);
  text = get_bytes(path[1], &count);
  new_folder(at("m"));
  put_bytes(at("m/model.safetensors"), text, count);
  free(text);
  snprintf(path[1], sizeof path[1], "%.900s/networks/llama-yarn.json", folder);
  text = get_bytes(path[1], &count);
  put_bytes(at("m/config.json"), text, count);
  free(text);
  *w = (world){0};
  return pool_create(&w->memory, 1 << 24, false, why) && team_create(&w->workers, 2, why) &&
         model_open(&w->from[0], path[0], why) && model_open(&w->from[1], at("m"), why) &&
         weight_list_make(&w->weights[0], w->from[0], why) &&
         weight_list_make(&w->weights[1], w->from[1], why) &&
         net_open(&w->n[0], &w->weights[0], w->memory, w->workers, why) &&
         net_open(&w->n[1], &w->weights[1], w->memory, w->workers, why) &&
         net_load_layers(w->n[0], NULL, NULL, why) && net_load_layers(w->n[1], NULL, NULL, why);
}

static void close_two(world *w)
{
  for (size_t i = 0; i < 2; i++) {
    net_close(w->n[i]);
    weight_list_free(&w->weights[i]);
    model_close(w->from[i]);
  }
  team_destroy(w->workers);
  pool_destroy(w->memory);
  remove_all(at("m"));
}

enum { CTX = 16, VOCAB = 64, WINDOWS = 3 };

/* Log-probabilities of one window, [CTX, VOCAB]. */
static void log_probabilities(const net *n, const int32_t *ids, double *out)
{
  static float logits[CTX * VOCAB];
  net_state *s = NULL;
  fail why = {0};
  CHECK(net_state_create(n, 1, CTX, CTX, false, &s, &why) && net_embed(n, s, ids, 1, CTX, &why) &&
            net_run(n, s, &why) && net_logits(n, s->x, CTX, logits, &why),
        "%s", why.text);
  for (size_t i = 0; i < CTX; i++) {
    double sum = 0;
    for (size_t k = 0; k < VOCAB; k++)
      sum += exp((double)logits[i * VOCAB + k]);
    for (size_t k = 0; k < VOCAB; k++)
      out[i * VOCAB + k] = (double)logits[i * VOCAB + k] - log(sum);
  }
  net_state_destroy(n, s);
}

static void check_window(const world *w, const int32_t *ids, double nll, double kl, double agree,
                         double *largest)
{
  static double p[CTX * VOCAB], q[CTX * VOCAB];
  double own_nll = 0, own_kl = 0, own_agree = 0;
  log_probabilities(w->n[0], ids, p);
  log_probabilities(w->n[1], ids, q);
  for (size_t i = 0; i + 1 < CTX; i++) {
    size_t top_p = 0, top_q = 0;
    double d = 0;
    own_nll -= q[i * VOCAB + (size_t)ids[i + 1]];
    for (size_t k = 0; k < VOCAB; k++) {
      d += exp(p[i * VOCAB + k]) * (p[i * VOCAB + k] - q[i * VOCAB + k]);
      top_p = p[i * VOCAB + k] > p[i * VOCAB + top_p] ? k : top_p;
      top_q = q[i * VOCAB + k] > q[i * VOCAB + top_q] ? k : top_q;
    }
    own_kl += d;
    own_agree += top_p == top_q;
    *largest = d > *largest ? d : *largest;
  }
  CHECK(fabs(nll - own_nll / (CTX - 1)) < 1e-6, "NLL %g, not %g", nll, own_nll / (CTX - 1));
  CHECK(fabs(kl - own_kl / (CTX - 1)) < 1e-6, "KL %g, not %g", kl, own_kl / (CTX - 1));
  CHECK(fabs(agree - own_agree / (CTX - 1)) < 1e-12, "agreement %g, not %g", agree,
        own_agree / (CTX - 1));
}

static void check_divergence(const char *folder)
{
  int32_t ids[WINDOWS * CTX];
  double nll[2][WINDOWS], kl[2], agree[2], largest = 0;
  uint64_t seed = 9;
  window_list l = {0};
  fail why = {0};
  world w;
  for (size_t i = 0; i < WINDOWS * CTX; i++)
    ids[i] = (int32_t)rng_below(&seed, VOCAB);
  if (!CHECK(open_two(&w, folder, &why) &&
                 windows_make(&l, "gptq", WINDOWS * CTX, CTX, 0, 0, "ids", &why),
             "%s", why.text))
    return;
  perplexity base = {.n = w.n[0], .tokens = ids, .windows = &l, .bos = -1, .nll = nll[0]};
  base.keep_windows = 2;
  base.keep = test_alloc(perplexity_kept(w.n[0], &l, 2) * sizeof(float));
  CHECK(perplexity_run(&base, &why), "%s", why.text);
  net_free_layers(w.n[0]);
  perplexity p = {.n = w.n[1], .tokens = ids, .windows = &l, .bos = -1, .nll = nll[1]};
  p.base = w.n[0];
  p.base_kept = base.keep;
  p.compared = 2;
  p.kl = kl;
  p.agree = agree;
  CHECK(perplexity_run(&p, &why), "%s", why.text);
  CHECK(net_load_layers(w.n[0], NULL, NULL, &why), "%s", why.text);
  for (size_t i = 0; i < 2; i++)
    check_window(&w, ids + i * CTX, nll[1][i], kl[i], agree[i], &largest);
  CHECK(fabs(p.kl_largest - largest) < 1e-6 && largest > 0.01, "largest %g, not %g", p.kl_largest,
        largest);
  /* Another first token changes what follows; of the same model nothing differs. */
  p.n = w.n[0];
  p.nll = nll[1];
  CHECK(perplexity_run(&p, &why) && nll[1][2] == nll[0][2] && kl[0] == 0 && agree[1] == 1, "%s",
        why.text);
  p.bos = 1;
  p.base = NULL;
  CHECK(perplexity_run(&p, &why) && nll[1][0] != nll[0][0], "%s", why.text);
  free(base.keep);
  windows_free(&l);
  close_two(&w);
}

int main(int argc, char **argv)
{
  scratch_make();
  check_disjoint();
  check_overlapping();
  check_average();
  check_texts();
  check_ids();
  check_activations();
  check_rows();
  check_exp();
  check_choice();
  check_team();
  check_divergence(test_vectors(argc, argv));
  scratch_remove();
  return test_end();
}
