/*
 * engine.c - a small inference engine with libquant inside: a Llama network generates tokens.
 *
 * Everything a program may want to keep in its own hands is: the file is read here and its arrays
 * are used in place, memory comes from one block, products are cut into slices of rows for threads
 * that are started here. What the library does is the part in between: planes become tensors, and
 * tensors times vectors become vectors.
 *
 *     cc engine.c $(pkg-config --cflags --libs libquant) -pthread -lm -o engine
 *     quant quantize examples/model -o small --method nf4 --nested
 *     ./engine small
 *
 * The tokens and every bit of the numbers behind them are the same for each number of threads;
 * the program runs with 1, 2 and 5 and says so. A folder with float weights is quantized while it
 * is loaded, and gives what the file that `quant` writes gives.
 */
#include <libquant.h>

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 32, MOST_ARRAYS = 1024, MOST_PLANES = 16, CONTEXT = 64, MOST_THREADS = 8 };

static void fail(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  exit(1);
}

static void check(lq_status status, const char *what, const char *why)
{
  if (status != LQ_OK)
    fail("%s: %s: %s", what, lq_status_string(status), why);
}

/*
 * ---- Memory: one block, cut into powers of two. What is released is kept by size for the next.
 *
 * Slices of one product run on several threads, and each asks the weight's allocator for its work
 * space: hence the lock.
 */

struct arena {
  pthread_mutex_t lock;
  unsigned char *base;
  size_t size, used, live;
  void *free[48]; /* by logarithm of the size; the first bytes of a free piece point to the next */
};

static size_t piece(size_t bytes, int *class)
{
  size_t size = 64;
  for (*class = 6; size < bytes; ++*class)
    size *= 2;
  return size;
}

static void *arena_alloc(void *user, size_t bytes, size_t alignment)
{
  struct arena *a = user;
  int class;
  size_t size = piece(bytes, &class);
  void *p = NULL;
  (void)alignment; /* 64 at most, which every piece has */
  pthread_mutex_lock(&a->lock);
  if (a->free[class]) {
    p = a->free[class];
    memcpy(&a->free[class], p, sizeof p);
  } else if (size <= a->size - a->used) {
    p = a->base + a->used;
    a->used += size;
  }
  a->live += p ? size : 0;
  pthread_mutex_unlock(&a->lock);
  return p;
}

static void arena_release(void *user, void *p, size_t bytes, size_t alignment)
{
  struct arena *a = user;
  int class;
  size_t size = piece(bytes, &class);
  (void)alignment;
  pthread_mutex_lock(&a->lock);
  memcpy(p, &a->free[class], sizeof p);
  a->free[class] = p;
  a->live -= size;
  pthread_mutex_unlock(&a->lock);
}

static void *take(struct arena *a, size_t bytes)
{
  void *p = arena_alloc(a, bytes, 64);
  if (!p)
    fail("the arena of %zu bytes is full", a->size);
  return p;
}

/* ---- Threads: they sleep until there is a job, and take its parts one by one. ---- */

struct pool {
  pthread_mutex_t lock;
  pthread_cond_t wake, done;
  pthread_t thread[MOST_THREADS];
  int threads, stop; /* the caller's thread works too and is not counted */
  lq_task_fn task;
  void *arg;
  uint32_t next, tasks, running;
};

/* Called and left with the lock held. */
static void pool_work(struct pool *p)
{
  while (p->next < p->tasks) {
    uint32_t index = p->next++;
    p->running++;
    pthread_mutex_unlock(&p->lock);
    p->task(p->arg, index);
    pthread_mutex_lock(&p->lock);
    if (--p->running == 0 && p->next == p->tasks)
      pthread_cond_signal(&p->done);
  }
}

static void *pool_thread(void *user)
{
  struct pool *p = user;
  pthread_mutex_lock(&p->lock);
  while (!p->stop) {
    pool_work(p);
    if (!p->stop)
      pthread_cond_wait(&p->wake, &p->lock);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

/* Has the form of lq_parallel_fn, so that the library can have it too. */
static void pool_run(void *user, uint32_t tasks, lq_task_fn task, void *arg)
{
  struct pool *p = user;
  pthread_mutex_lock(&p->lock);
  p->task = task;
  p->arg = arg;
  p->next = 0;
  p->tasks = tasks;
  pthread_cond_broadcast(&p->wake);
  pool_work(p);
  while (p->running != 0)
    pthread_cond_wait(&p->done, &p->lock);
  pthread_mutex_unlock(&p->lock);
}

static void pool_start(struct pool *p, int threads)
{
  memset(p, 0, sizeof *p);
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
  pthread_cond_init(&p->done, NULL);
  for (; p->threads < threads - 1; p->threads++)
    if (pthread_create(&p->thread[p->threads], NULL, pool_thread, p) != 0)
      fail("cannot start thread %d", p->threads + 2);
}

static void pool_stop(struct pool *p)
{
  pthread_mutex_lock(&p->lock);
  p->stop = 1;
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
  for (int i = 0; i < p->threads; i++)
    pthread_join(p->thread[i], NULL);
  pthread_cond_destroy(&p->done);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
}

/*
 * ---- The checkpoint: a safetensors file is 8 bytes, the length of a JSON object, the object, and
 * the arrays. This reader expects what programs write, not all of JSON; `quant` has a whole one.
 */

struct file {
  char *bytes;
  uint64_t size;
  lq_plane array[MOST_ARRAYS]; /* under their full names */
  uint32_t arrays;
};

static void read_file(struct arena *a, const char *folder, const char *name, struct file *f)
{
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *in = fopen(path, "rb");
  long size = in && fseek(in, 0, SEEK_END) == 0 ? ftell(in) : -1;
  if (size < 0)
    fail("%s: cannot be read", path);
  rewind(in);
  f->size = (uint64_t)size;
  f->bytes = take(a, (size_t)size + 1);
  if (fread(f->bytes, 1, (size_t)size, in) != (size_t)size)
    fail("%s: cannot be read", path);
  f->bytes[size] = 0;
  fclose(in);
}

static int32_t dtype_of(const char *text)
{
  static const char *const names[] = {"F32", "F16", "BF16", "I8", "U8", "I32", "I64"};
  for (int32_t i = 0; i < 7; i++)
    if (strncmp(text, names[i], strlen(names[i])) == 0)
      return LQ_F32 + i;
  fail("dtype %.8s", text);
  return 0;
}

static const char *behind(const char *text, const char *key)
{
  const char *p = strstr(text, key);
  if (!p)
    fail("no %s in %.60s", key, text);
  return p + strlen(key);
}

/* {"dtype":"F32","shape":[16],"data_offsets":[1036,1100]} */
static void read_array(struct file *f, const char *name, const char *object, uint64_t data)
{
  lq_plane *p = &f->array[f->arrays++];
  memset(p, 0, sizeof *p);
  p->size = sizeof *p;
  p->name = name;
  p->dtype = dtype_of(behind(object, "\"dtype\":\""));
  const char *text = behind(object, "\"shape\":[");
  for (char *end; *text != ']' && p->ndim < LQ_MAX_DIMS; text = end + (*end == ',')) {
    p->dims[p->ndim++] = strtoull(text, &end, 10);
    if (end == text)
      fail("%s: no shape", name);
  }
  char *end;
  uint64_t first = strtoull(behind(object, "\"data_offsets\":["), &end, 10);
  uint64_t past = strtoull(end + (*end == ','), NULL, 10);
  if (first > past || past > f->size - data)
    fail("%s: lies outside of the file", name);
  p->data = f->bytes + data + first;
  p->bytes = past - first;
}

static void read_checkpoint(struct arena *a, const char *folder, struct file *f)
{
  uint64_t length = 0;
  memset(f, 0, sizeof *f);
  read_file(a, folder, "model.safetensors", f);
  for (int i = 0; i < 8 && f->size >= 8; i++)
    length |= (uint64_t)(unsigned char)f->bytes[i] << 8 * i;
  if (f->size < 8 || length > f->size - 8)
    fail("%s: not a safetensors file", folder);
  char *p = f->bytes + 8, *end = p + length;
  while ((p = memchr(p, '"', (size_t)(end - p))) != NULL) {
    char *name = ++p, *close = memchr(p, '"', (size_t)(end - p));
    char *object = close ? memchr(close, '{', (size_t)(end - close)) : NULL;
    char *past = object ? memchr(object, '}', (size_t)(end - object)) : NULL;
    if (!past || f->arrays == MOST_ARRAYS)
      fail("%s: its header cannot be read", folder);
    *close = *past = 0;
    if (strcmp(name, "__metadata__") != 0)
      read_array(f, name, object, 8 + length);
    p = past + 1;
  }
}

/* ---- The network ---- */

struct layer {
  lq_tensor *q, *k, *v, *o, *gate, *up, *down;
  float *attention_norm, *mlp_norm;
  float *keys, *values; /* [CONTEXT, kv] */
};

struct engine {
  struct arena *arena;
  struct pool *pool;
  lq_config *load, *alone; /* how tensors are made; each slice of a product in its own thread */
  lq_quantizer *quantizer;
  struct layer layer[MOST_LAYERS];
  uint64_t layers, hidden, inner, vocabulary, q, kv, head;
  double theta, epsilon;
  lq_tensor *embedding;
  float *norm, *logits;
  float *x, *normed, *queries, *mixed, *gate, *up, *scores;
};

/* The tensor of a module: all arrays whose name goes on behind "module.". */
static lq_tensor *load_tensor(struct engine *e, const struct file *f, const char *format, ...)
{
  char module[256];
  lq_plane planes[MOST_PLANES];
  uint32_t count = 0;
  lq_tensor *t = NULL, *small = NULL;
  va_list args;
  va_start(args, format);
  size_t length = (size_t)vsnprintf(module, sizeof module, format, args);
  va_end(args);
  for (uint32_t i = 0; i < f->arrays && count < MOST_PLANES; i++)
    if (strncmp(f->array[i].name, module, length) == 0) {
      planes[count] = f->array[i];
      planes[count++].name += length;
    }
  if (count == 0)
    return NULL;
  /* 1: the arrays are used where they lie, in the memory of the file. */
  check(lq_tensor_from_planes(e->load, LQ_LAYOUT_BITSANDBYTES, planes, count, 0, NULL, 1, &t),
        module, lq_config_error_text(e->load));
  if (lq_tensor_method(t) != LQ_NONE || lq_tensor_ndim(t) != 2 || strstr(module, "embed"))
    return t;
  check(lq_quantizer_run(e->quantizer, t, &small), module, lq_quantizer_error_text(e->quantizer));
  lq_tensor_destroy(t);
  return small;
}

static float *load_vector(struct engine *e, const struct file *f, const char *name, int layer)
{
  char module[128];
  snprintf(module, sizeof module, "model.layers.%d.", layer);
  lq_tensor *t = load_tensor(e, f, "%s%s.", layer < 0 ? "model." : module, name);
  if (!t || lq_tensor_dim(t, 0) != e->hidden)
    fail("%s: missing, or of another size", name);
  float *v = take(e->arena, (size_t)e->hidden * sizeof *v);
  check(lq_dequantize(t, LQ_F32, v, (size_t)e->hidden * sizeof *v, e->alone), name, "");
  lq_tensor_destroy(t);
  return v;
}

static float *floats(struct engine *e, uint64_t count)
{
  return take(e->arena, (size_t)count * sizeof(float));
}

static int load_layer(struct engine *e, const struct file *f, int i)
{
  struct layer *l = &e->layer[i];
  l->q = load_tensor(e, f, "model.layers.%d.self_attn.q_proj.", i);
  if (!l->q)
    return 0;
  l->k = load_tensor(e, f, "model.layers.%d.self_attn.k_proj.", i);
  l->v = load_tensor(e, f, "model.layers.%d.self_attn.v_proj.", i);
  l->o = load_tensor(e, f, "model.layers.%d.self_attn.o_proj.", i);
  l->gate = load_tensor(e, f, "model.layers.%d.mlp.gate_proj.", i);
  l->up = load_tensor(e, f, "model.layers.%d.mlp.up_proj.", i);
  l->down = load_tensor(e, f, "model.layers.%d.mlp.down_proj.", i);
  if (!l->k || !l->v || !l->o || !l->gate || !l->up || !l->down)
    fail("layer %d is not complete", i);
  l->attention_norm = load_vector(e, f, "input_layernorm", i);
  l->mlp_norm = load_vector(e, f, "post_attention_layernorm", i);
  l->keys = floats(e, CONTEXT * lq_tensor_dim(l->k, 0));
  l->values = floats(e, CONTEXT * lq_tensor_dim(l->k, 0));
  return 1;
}

static double setting(const struct file *config, const char *key)
{
  return strtod(behind(config->bytes, key), NULL);
}

static void load(struct engine *e, const char *folder, struct file *f)
{
  const lq_alloc alloc = {sizeof alloc, 0, e->arena, arena_alloc, arena_release};
  struct file config = {0};
  read_file(e->arena, folder, "config.json", &config);
  read_checkpoint(e->arena, folder, f);
  check(lq_config_create(&alloc, &e->load), "config", "");
  check(lq_config_set_text(e->load, "method", "nf4"), "method", "");
  check(lq_config_set_i64(e->load, LQ_KEY_NESTED, 1), "nested", "");
  check(lq_config_set_parallel(e->load, pool_run, e->pool), "parallel", "");
  check(lq_quantizer_create(e->load, &e->quantizer), "quantizer", lq_config_error_text(e->load));
  check(lq_config_create(&alloc, &e->alone), "config", "");
  check(lq_config_set_i64(e->alone, LQ_KEY_THREADS, 1), "threads", "");

  e->head = (uint64_t)setting(&config, "\"head_dim\":");
  e->theta = setting(&config, "\"rope_theta\":");
  e->epsilon = setting(&config, "\"rms_norm_eps\":");
  e->embedding = load_tensor(e, f, "model.embed_tokens.");
  if (!e->embedding)
    fail("%s: no embedding", folder);
  e->vocabulary = lq_tensor_dim(e->embedding, 0);
  e->hidden = lq_tensor_dim(e->embedding, 1);
  e->norm = load_vector(e, f, "norm", -1);
  while (e->layers < MOST_LAYERS && load_layer(e, f, (int)e->layers))
    e->layers++;
  if (e->layers == 0 || e->head < 2)
    fail("%s: no layers", folder);
  e->q = lq_tensor_dim(e->layer[0].q, 0);
  e->kv = lq_tensor_dim(e->layer[0].k, 0);
  e->inner = lq_tensor_dim(e->layer[0].up, 0);
  e->x = floats(e, e->hidden);
  e->normed = floats(e, e->hidden > e->inner ? e->hidden : e->inner);
  e->queries = floats(e, e->q);
  e->mixed = floats(e, e->q);
  e->gate = floats(e, e->inner);
  e->up = floats(e, e->inner);
  e->scores = floats(e, CONTEXT);
  e->logits = floats(e, e->vocabulary);
  arena_release(e->arena, config.bytes, (size_t)config.size + 1, 64);
}

static void unload(struct engine *e)
{
  for (uint64_t i = 0; i < e->layers; i++) {
    struct layer *l = &e->layer[i];
    lq_tensor *all[] = {l->q, l->k, l->v, l->o, l->gate, l->up, l->down};
    for (int k = 0; k < 7; k++)
      lq_tensor_destroy(all[k]);
  }
  lq_tensor_destroy(e->embedding);
  lq_quantizer_destroy(e->quantizer);
  lq_config_destroy(e->alone);
  lq_config_destroy(e->load);
}

/* ---- One token through the network ---- */

struct product {
  const lq_tensor *w;
  const lq_config *how;
  const float *x;
  float *y;
  uint64_t rows, columns, slice;
  lq_status status[4 * MOST_THREADS];
};

static void product_slice(void *arg, uint32_t index)
{
  struct product *p = arg;
  uint64_t first = index * p->slice;
  uint64_t rows = p->rows - first < p->slice ? p->rows - first : p->slice;
  p->status[index] = lq_matmul_rows(p->w, first, rows, 1, LQ_F32, p->x, p->columns, NULL, LQ_F32,
                                    p->y + first, rows, p->how);
}

/* y = W x, in slices of rows that any thread may take. Their bits do not depend on the cut. */
static void multiply(struct engine *e, const lq_tensor *w, const float *x, float *y)
{
  struct product p = {.w = w, .how = e->alone, .x = x, .y = y};
  p.rows = lq_tensor_dim(w, 0);
  p.columns = lq_tensor_dim(w, 1);
  uint64_t parts = 4 * ((uint64_t)e->pool->threads + 1);
  p.slice = (p.rows + parts - 1) / parts;
  uint32_t tasks = (uint32_t)((p.rows + p.slice - 1) / p.slice);
  pool_run(e->pool, tasks, product_slice, &p);
  for (uint32_t i = 0; i < tasks; i++)
    check(p.status[i], "product", "");
}

static void normalize(const struct engine *e, const float *x, const float *weight, float *y)
{
  double sum = 0;
  for (uint64_t i = 0; i < e->hidden; i++)
    sum += (double)x[i] * (double)x[i];
  float scale = (float)(1 / sqrt(sum / (double)e->hidden + e->epsilon));
  for (uint64_t i = 0; i < e->hidden; i++)
    y[i] = x[i] * scale * weight[i];
}

/* Turns the pairs (i, i + head / 2) of each head by position * theta^(-2i / head). */
static void rotate(const struct engine *e, float *x, uint64_t size, int position)
{
  uint64_t half = e->head / 2;
  for (uint64_t i = 0; i < half; i++) {
    double angle = position * pow(e->theta, -2.0 * (double)i / (double)e->head);
    float c = (float)cos(angle), s = (float)sin(angle);
    for (float *p = x + i; p < x + size; p += e->head) {
      float a = p[0], b = p[half];
      p[0] = a * c - b * s;
      p[half] = b * c + a * s;
    }
  }
}

static void attend(struct engine *e, const struct layer *l, int position)
{
  uint64_t group = e->q / e->kv; /* heads of queries that share one of keys */
  for (uint64_t h = 0; h < e->q / e->head; h++) {
    const float *q = e->queries + h * e->head;
    uint64_t shared = h / group * e->head;
    float most = -INFINITY, sum = 0, *out = e->mixed + h * e->head;
    for (int t = 0; t <= position; t++) {
      const float *k = l->keys + (uint64_t)t * e->kv + shared;
      float dot = 0;
      for (uint64_t i = 0; i < e->head; i++)
        dot += q[i] * k[i];
      e->scores[t] = dot / sqrtf((float)e->head);
      most = e->scores[t] > most ? e->scores[t] : most;
    }
    for (int t = 0; t <= position; t++)
      sum += e->scores[t] = expf(e->scores[t] - most);
    memset(out, 0, (size_t)e->head * sizeof *out);
    for (int t = 0; t <= position; t++) {
      const float *v = l->values + (uint64_t)t * e->kv + shared;
      for (uint64_t i = 0; i < e->head; i++)
        out[i] += e->scores[t] / sum * v[i];
    }
  }
}

static void run_layer(struct engine *e, struct layer *l, int position)
{
  float *keys = l->keys + (uint64_t)position * e->kv;
  normalize(e, e->x, l->attention_norm, e->normed);
  multiply(e, l->q, e->normed, e->queries);
  multiply(e, l->k, e->normed, keys);
  multiply(e, l->v, e->normed, l->values + (uint64_t)position * e->kv);
  rotate(e, e->queries, e->q, position);
  rotate(e, keys, e->kv, position);
  attend(e, l, position);
  multiply(e, l->o, e->mixed, e->normed);
  for (uint64_t i = 0; i < e->hidden; i++)
    e->x[i] += e->normed[i];

  normalize(e, e->x, l->mlp_norm, e->normed);
  multiply(e, l->gate, e->normed, e->gate);
  multiply(e, l->up, e->normed, e->up);
  for (uint64_t i = 0; i < e->inner; i++)
    e->gate[i] = e->gate[i] / (1 + expf(-e->gate[i])) * e->up[i];
  multiply(e, l->down, e->gate, e->normed);
  for (uint64_t i = 0; i < e->hidden; i++)
    e->x[i] += e->normed[i];
}

/* The most likely token behind `token`. */
static uint32_t step(struct engine *e, uint32_t token, int position)
{
  uint32_t best = 0;
  check(lq_dequantize_rows(e->embedding, token, 1, LQ_F32, e->x, (size_t)e->hidden * sizeof *e->x,
                           e->alone),
        "embedding", "");
  for (uint64_t i = 0; i < e->layers; i++)
    run_layer(e, &e->layer[i], position);
  normalize(e, e->x, e->norm, e->normed);
  multiply(e, e->embedding, e->normed, e->logits);
  for (uint32_t i = 1; i < e->vocabulary; i++)
    if (e->logits[i] > e->logits[best])
      best = i;
  return best;
}

/* Continues " The city was". FNV-1a over the bits of all logits of the run. */
static uint64_t generate(struct engine *e, int count, uint32_t *tokens)
{
  static const uint32_t prompt[] = {402, 268, 493, 481};
  uint64_t hash = UINT64_C(14695981039346656037);
  uint32_t token = prompt[0];
  for (int t = 0; t < count; t++) {
    tokens[t] = token;
    uint32_t next = step(e, token, t);
    for (size_t i = 0; i < (size_t)e->vocabulary * sizeof *e->logits; i++)
      hash = (hash ^ ((unsigned char *)e->logits)[i]) * UINT64_C(1099511628211);
    token = t + 1 < 4 ? prompt[t + 1] : next;
  }
  return hash;
}

int main(int argc, char **argv)
{
  enum { TOKENS = 24, MEMORY = 64 << 20 };
  static const int sizes[] = {1, 2, 5};
  uint64_t hash[3];
  uint32_t tokens[TOKENS];
  const char *folder = argc > 1 ? argv[1] : "examples/model";
  for (int i = 0; i < 3; i++) {
    static struct file file;
    struct arena arena = {.base = aligned_alloc(64, MEMORY), .size = MEMORY};
    struct pool pool;
    struct engine engine = {.arena = &arena, .pool = &pool};
    if (!arena.base)
      fail("no memory");
    pthread_mutex_init(&arena.lock, NULL);
    pool_start(&pool, sizes[i]);
    load(&engine, folder, &file);
    hash[i] = generate(&engine, TOKENS, tokens);
    printf("%d threads, %.2f bits per weight, %.1f MB in use: %016llx\n", sizes[i],
           lq_tensor_bits_per_weight(engine.layer[0].up), (double)arena.live / 1e6,
           (unsigned long long)hash[i]);
    unload(&engine);
    pool_stop(&pool);
    pthread_mutex_destroy(&arena.lock);
    free(arena.base);
  }
  printf("tokens");
  for (int t = 0; t < TOKENS; t++)
    printf(" %u", tokens[t]);
  int same = hash[0] == hash[1] && hash[0] == hash[2];
  printf("\nthe numbers are %s for every number of threads\n", same ? "the same" : "not the same");
  return same ? 0 : 1;
}
