/*
 * test_hashes.c - proves that results are the same bytes everywhere: one hash for all that a case
 * gives, compared with tests/vectors/hashes.txt.
 *
 * Run at every level of kernels that this machine has, on 1, 2, 3 and 8 threads and on a pool of
 * the caller's; tests/determinism.sh runs it behind other compilers and on other machines. Inputs
 * come from integers, so that they are exact everywhere; values are hashed as little-endian bytes.
 * `test_hashes --print` writes the table: for a change that is meant to change results.
 *
 * Rows "in bytes" are fast products of many rows, which are promised among the levels that multiply
 * bytes in fours alone. Left out: lq_metrics.sqnr_db, which is a logarithm of the C library and has
 * no promise, and products that ask for AMX, which say so (LQ_COMPUTE_FAST).
 */
#include "helpers.h"
#include "pool.h"

/* ---- the table ---- */

enum { MOST_ROWS = 2000, NAME = 120 };

struct row {
  char name[NAME];
  uint64_t hash;
  int seen;
};

static struct row table[MOST_ROWS];
static int rows_known, printing;

/* 1: the table; 2: what only levels that multiply bytes can add to it. */
enum { PRINT_ALL = 1, PRINT_BYTES = 2 };

static int is_of_bytes(const char *name)
{
  return strstr(name, "in bytes") != NULL;
}

static int has_bytes(void)
{
  const char *level = lq_cpu_features();
  return !strcmp(level, "avxvnni") || !strcmp(level, "avx512vbmi") || !strcmp(level, "dotprod") ||
         !strcmp(level, "i8mm");
}

static void read_table(const char *folder)
{
  char path[1024], line[256];
  snprintf(path, sizeof path, "%s/hashes.txt", folder);
  FILE *f = fopen(path, "r");
  if (!CHECK(f != NULL, "%s cannot be read", path))
    return;
  while (fgets(line, sizeof line, f)) {
    char *name = line + 18;
    if (*line == '#' || strlen(line) < 20)
      continue;
    name[strcspn(name, "\n")] = 0;
    if (!CHECK(rows_known < MOST_ROWS && strlen(name) < NAME, "%s: too much", path))
      break;
    table[rows_known].hash = strtoull(line, NULL, 16);
    memcpy(table[rows_known++].name, name, strlen(name) + 1);
  }
  fclose(f);
}

/* What a case gave, under its name. */
static void note(const char *name, const char *what, uint64_t hash)
{
  char full[NAME];
  snprintf(full, sizeof full, "%s: %s", name, what);
  if (printing) {
    if (printing == PRINT_ALL || is_of_bytes(full))
      printf("%016llx  %s\n", (unsigned long long)hash, full);
    return;
  }
  for (int i = 0; i < rows_known; i++)
    if (!strcmp(table[i].name, full)) {
      table[i].seen = 1;
      CHECK(table[i].hash == hash, "%s: hash %016llx, not %016llx", full, (unsigned long long)hash,
            (unsigned long long)table[i].hash);
      return;
    }
  CHECK(0, "%s: not in the table; test_hashes --print makes it", full);
}

/* ---- hashing: FNV-1a of 64 bits (Fowler, Noll, Vo 1991), each element's low byte first ---- */

#define HASH_START UINT64_C(0xcbf29ce484222325)

static uint64_t hash_number(uint64_t hash, uint64_t x, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++)
    hash = (hash ^ (x >> 8 * i & 255)) * UINT64_C(0x100000001b3);
  return hash;
}

/* n numbers of 1, 2, 4 or 8 bytes, whatever the order of bytes in this machine. */
static uint64_t hash_array(uint64_t hash, const void *p, uint64_t n, size_t size)
{
  for (uint64_t i = 0; i < n; i++) {
    const unsigned char *at = (const unsigned char *)p + i * size;
    uint64_t x8 = *at;
    uint32_t x4;
    uint16_t x2;
    if (size == 8)
      memcpy(&x8, at, 8);
    if (size == 4)
      x8 = (memcpy(&x4, at, 4), x4);
    if (size == 2)
      x8 = (memcpy(&x2, at, 2), x2);
    hash = hash_number(hash, x8, size);
  }
  return hash;
}

static uint64_t hash_double(uint64_t hash, double x)
{
  return hash_array(hash, &x, 1, sizeof x);
}

static uint64_t hash_planes(uint64_t hash, const lq_tensor *t, int32_t layout)
{
  for (uint32_t i = 0; i < lq_tensor_plane_count(t, layout); i++) {
    lq_plane p = {.size = sizeof p};
    lq_status s = lq_tensor_plane(t, layout, i, &p);
    CHECK(s == LQ_OK, "plane %u of layout %d: %d", i, layout, s);
    hash = hash_array(hash, p.name, strlen(p.name), 1);
    hash = hash_number(hash, (uint64_t)p.dtype, 4);
    for (uint32_t d = 0; d < p.ndim; d++)
      hash = hash_number(hash, p.dims[d], 8);
    hash = hash_array(hash, p.data, p.bytes / element_size(p.dtype), element_size(p.dtype));
  }
  return hash;
}

/* ---- inputs ---- */

enum { ROWS = 96, COLUMNS = 1344, MOST = ROWS * COLUMNS, BATCH = 17, TOKENS = 300 };

static float weights[MOST], x32[TOKENS * COLUMNS], wanted[TOKENS * COLUMNS], bias[ROWS];
static float gradient[BATCH * ROWS];
static uint16_t x16[BATCH * COLUMNS];
static float y[BATCH * COLUMNS];

/* About normal, from the sum of eight 16-bit integers: exact in any arithmetic. */
static float number(uint64_t *state)
{
  int32_t sum = -4 * 65535;
  for (int i = 0; i < 2; i++)
    for (uint64_t u = rng_u64(state), k = 0; k < 4; k++, u >>= 16)
      sum += (int32_t)(u & 65535);
  return (float)(sum / 16) * 0x1p-12f;
}

static void make_inputs(void)
{
  uint64_t state = 2024;
  for (int i = 0; i < MOST; i++)
    weights[i] = number(&state) * (i % 97 == 0 ? 8.0f : i % 31 == 0 ? 0.0f : 1.0f) * 0x1p-6f;
  for (int i = 0; i < TOKENS * COLUMNS; i++) {
    x32[i] = number(&state) * (i % 7 ? 0.5f : 4.0f);
    wanted[i] = x32[i] + number(&state) * 0x1p-4f;
  }
  for (int i = 0; i < BATCH * COLUMNS; i++)
    x16[i] = half_bits(x32[i], LQ_F16);
  for (int i = 0; i < ROWS; i++)
    bias[i] = number(&state);
  for (int i = 0; i < BATCH * ROWS; i++)
    gradient[i] = number(&state);
}

/* ---- what a tensor gives ---- */

static void note_values(const char *name, const lq_tensor *t)
{
  uint64_t hash = HASH_START;
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++) {
    void *v = decode(t, dtype);
    hash = v ? hash_array(hash, v, tensor_elements(t), element_size(dtype)) : 0;
    free(v);
  }
  note(name, "values", hash);
}

/* y = x W^T for x of one to `most` rows, x in f32 and f16, y in f32 and bf16. */
static void note_products(const char *name, const char *what, const lq_tensor *t, const char *words,
                          uint64_t least, uint64_t most)
{
  static const uint64_t batches[] = {1, 4, BATCH};
  uint64_t n = lq_tensor_dim(t, 0), k = lq_tensor_dim(t, 1), hash = HASH_START;
  lq_config *how = new_config(words);
  for (int i = 0; i < 3; i++)
    for (int half = 0; half < 2; half++) {
      uint64_t m = batches[i];
      if (m < least || m > most)
        continue;
      int32_t dtype = half ? LQ_BF16 : LQ_F32;
      const void *x = half ? (const void *)x16 : (const void *)x32;
      lq_status s =
          lq_matmul(t, m, half ? LQ_F16 : LQ_F32, x, k, half ? NULL : bias, dtype, y, n, how);
      CHECK(s == LQ_OK, "%s: matmul: %d", name, s);
      hash = hash_array(hash, y, m * n, element_size(dtype));
    }
  lq_config_destroy(how);
  note(name, what, hash);
}

static void note_transposed(const char *name, const lq_tensor *t)
{
  static const uint64_t batches[] = {1, 5, BATCH};
  uint64_t n = lq_tensor_dim(t, 0), k = lq_tensor_dim(t, 1), hash = HASH_START;
  lq_config *how = new_config("");
  for (int i = 0; i < 3; i++) {
    lq_status s = lq_matmul_transposed(t, batches[i], LQ_F32, gradient, n, LQ_F32, y, k, how);
    CHECK(s == LQ_OK, "%s: matmul_transposed: %d", name, s);
    hash = hash_array(hash, y, batches[i] * k, sizeof *y);
  }
  lq_config_destroy(how);
  note(name, "transposed", hash);
}

static void note_metrics(const char *name, const lq_tensor *dense, const lq_tensor *t)
{
  lq_metrics m = {.size = sizeof m};
  lq_config *how = new_config("");
  lq_status s = lq_compare(dense, t, &m, how);
  CHECK(s == LQ_OK, "%s: compare: %d", name, s);
  uint64_t hash = hash_double(HASH_START, m.relative_error);
  hash = hash_double(hash_double(hash, m.cosine), m.max_error);
  hash = hash_number(hash_number(hash, m.max_row, 8), m.max_column, 8);
  hash = hash_double(hash_double(hash, m.sum_a2), m.sum_b2);
  note(name, "comparison", hash_double(hash_double(hash, m.sum_d2), m.sum_ab));
  lq_config_destroy(how);
}

/* As planes of every family that can hold the tensor. */
static void note_layouts(const char *name, const lq_tensor *t)
{
  uint64_t hash = HASH_START;
  for (int32_t layout = LQ_LAYOUT_BITSANDBYTES; layout <= LQ_LAYOUT_AWQ; layout++) {
    lq_tensor *c = NULL;
    if (lq_tensor_obstacle(t, layout))
      continue;
    lq_status s = lq_tensor_convert(NULL, t, layout, &c);
    CHECK(s == LQ_OK, "%s: convert to %d: %d", name, layout, s);
    hash = hash_planes(hash_number(hash, (uint64_t)layout, 4), c, layout);
    lq_tensor_destroy(c);
  }
  note(name, "layouts", hash);
}

static void note_integers(const char *name, const lq_tensor *weight)
{
  static const int32_t types[] = {LQ_I32, LQ_F32, LQ_F16};
  uint64_t n = lq_tensor_dim(weight, 0), dims[2] = {BATCH, lq_tensor_dim(weight, 1)};
  uint64_t hash = HASH_START;
  lq_tensor *x = quantize_array(LQ_F32, 2, dims, x32, "method=int8 threshold=7");
  lq_config *how = new_config("");
  for (int i = 0; i < 3 && x; i++) {
    lq_status s = lq_matmul_int8(weight, x, types[i] == LQ_I32 ? NULL : bias, types[i], y, n, how);
    CHECK(s == LQ_OK, "%s: matmul_int8: %d", name, s);
    hash = hash_array(hash, y, BATCH * n, element_size(types[i]));
  }
  lq_config_destroy(how);
  lq_tensor_destroy(x);
  note(name, "integers", hash);
}

static void note_tensor(const char *name, const lq_tensor *dense, const lq_tensor *t)
{
  int64_t nested = 0, rowwise = lq_tensor_method(t) == LQ_INT8;
  lq_tensor_get_i64(t, LQ_KEY_NESTED, &nested);
  note(name, "planes", hash_planes(HASH_START, t, LQ_LAYOUT_NATIVE));
  note_values(name, t);
  note_products(name, "product", t, "", 1, BATCH);
  note_products(name, has_bytes() ? "fast product of few rows in bytes" : "fast product", t,
                "compute=fast", 1, 4);
  note_products(name, has_bytes() ? "fast product in bytes" : "fast product of many rows", t,
                "compute=fast", BATCH, BATCH);
  note_transposed(name, t);
  note_layouts(name, t);
  note_metrics(name, dense, t);
  if (rowwise && !strstr(name, "threshold"))
    note_integers(name, t);
}

/* ---- cases ---- */

struct shape {
  uint64_t dims[2];
};

/* Whole pieces; odd ones; enough for several tasks. */
static const struct shape small = {{37, 192}}, odd = {{19, 77}}, large = {{ROWS, COLUMNS}};

static void one(const struct shape *shape, int32_t dtype, const char *options)
{
  static const char *const names[] = {"", "f32", "f16", "bf16"};
  char name[100];
  void *w = array_of(weights, elements(2, shape->dims), dtype);
  lq_tensor *dense = wrap(dtype, 2, shape->dims, w);
  lq_tensor *t = quantize(dense, options);
  snprintf(name, sizeof name, "%s, %d x %d %s", options, (int)shape->dims[0], (int)shape->dims[1],
           names[dtype]);
  if (t)
    note_tensor(name, dense, t);
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
  free(w);
}

static void all_shapes(const char *options)
{
  for (int32_t dtype = LQ_F32; dtype <= LQ_BF16; dtype++)
    one(&small, dtype, options);
  one(&odd, LQ_F32, options);
}

/* Every method of the registry as it comes, then the options that lead elsewhere in the code. */
static void test_methods(void)
{
  static const char *const more[] = {
      "method=nf4 block_size=32 nested=1",
      "method=nf4 block_size=40",
      "method=nf4 compat=bitsandbytes-cpu nested=1",
      "method=fp4 block_size=128 nested=1 nested_block_size=8",
      "method=fp4 compat=bitsandbytes-cpu",
      "method=dynamic8 block_size=100",
      "method=dynamic8 block_size=64 nested=1",
      "method=dynamic8 compat=bitsandbytes-cpu",
      "method=int8 threshold=0.4",
      "method=int8 compat=bitsandbytes-cpu",
      "method=int8 absmax=0.05",
      "method=affine group_size=64 symmetric=0",
      "method=affine bits=2 group_size=32 symmetric=0 mse=2.4",
      "method=affine bits=3 group_size=40 nested=1",
      "method=affine bits=8 group_size=-1 mse=1.7",
      "method=affine bits=8 group_size=64 symmetric=0 nested=1",
      "method=affine bits=3 group_size=32 compat=gptq symmetric=0",
  };
  for (uint32_t i = 0; i < lq_method_count(); i++) {
    char options[64];
    if (method_options(i, options))
      all_shapes(options);
  }
  for (size_t i = 0; i < sizeof more / sizeof *more; i++)
    all_shapes(more[i]);
  one(&large, LQ_F32, "method=nf4 nested=1");
  one(&large, LQ_BF16, "method=affine group_size=64 symmetric=0");
  one(&large, LQ_F32, "method=int8 threshold=0.4");
}

/* ---- gptq ---- */

static uint64_t saved_hash(const lq_quantizer *q)
{
  size_t bytes = (size_t)lq_quantizer_save_bytes(q);
  char *image = test_alloc(bytes);
  lq_status s = lq_quantizer_save(q, image, bytes);
  CHECK(s == LQ_OK, "save: %d", s);
  uint64_t hash = hash_array(HASH_START, image, bytes, 1);
  free(image);
  return hash;
}

static void observe(lq_quantizer *q, int paired, uint64_t columns)
{
  lq_status s =
      paired ? lq_quantizer_observe_pair(q, TOKENS, columns, LQ_F32, x32, columns, wanted, columns)
             : lq_quantizer_observe(q, TOKENS, columns, LQ_F32, x32, columns);
  CHECK(s == LQ_OK, "observe: %d", s);
}

static void note_report(const char *name, const lq_quantizer *q)
{
  lq_report r = {.size = sizeof r};
  CHECK(lq_quantizer_report(q, &r) == LQ_OK, "report");
  uint64_t hash = hash_number(HASH_START, r.dead_columns, 8);
  hash = hash_double(hash_double(hash, r.damping), r.error);
  note(name, "report", hash_double(hash_double(hash, r.error_nearest), r.energy));
}

static void calibrated(const char *options)
{
  char words[NAME];
  const uint64_t dims[2] = {40, 192};
  lq_quantizer *q = NULL, *other = NULL;
  lq_tensor *dense = wrap(LQ_F32, 2, dims, weights), *t = NULL;
  int paired = strstr(options, "input_correction") != NULL;
  snprintf(words, sizeof words, "method=gptq %s", options);
  lq_config *config = new_config(words);
  lq_status s = lq_quantizer_create(config, &q);
  s = s ? s : lq_quantizer_create(config, &other);
  if (!CHECK(s == LQ_OK, "%s: %d %s", options, s, lq_config_error_text(config)))
    exit(2);
  observe(q, paired, dims[1]);
  note(words, "observed", saved_hash(q));
  s = lq_quantizer_run(q, dense, &t);
  if (CHECK(s == LQ_OK, "%s: %d %s", options, s, lq_quantizer_error_text(q)))
    note_tensor(words, dense, t);
  note_report(words, q);
  observe(other, paired, dims[1]);
  s = lq_quantizer_merge(q, other);
  CHECK(s == LQ_OK, "merge: %d", s);
  note(words, "merged", saved_hash(q));
  lq_tensor_destroy(t);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(q);
  lq_quantizer_destroy(other);
  lq_config_destroy(config);
}

static void test_gptq(void)
{
  static const char *const cases[] = {
      "group_size=32",
      "group_size=64 symmetric=0 order=groups",
      "group_size=32 static_groups=0 bits=3 mse=2.4",
      "group_size=32 order=none nested=1",
      "group_size=-1 bits=8 damping=0.1",
      "storage=nf4 block_size=32 nested=1",
      "storage=fp4 block_size=64 mse=2",
      "group_size=32 compat=gptq",
      "group_size=64 input_correction=0.25",
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    calibrated(cases[i]);
}

/* ---- under which circumstances ---- */

static void all(void)
{
  test_methods();
  test_gptq();
}

/* The best level with every number of threads, others with two; in the long run all with all. */
static void all_threads(const char *level, int best)
{
  static const int threads[] = {1, 3, 2, 8};
  for (size_t i = 0; i < (best ? 4 : 2); i++) {
    snprintf(test_options, sizeof test_options, "threads=%d", threads[i]);
    test_in("%s, %d threads", level, threads[i]);
    all();
  }
  test_options[0] = 0;
  if (!best)
    return;
  test_parallel = on_threads;
  test_in("%s, pool of threads", level);
  all();
  test_parallel = NULL;
}

/* Rows in the order of the cases; those of bytes at the end, if this machine can make them. */
static int print_table(void)
{
  printf("# Hashes of results, the same on every machine; made by: test_hashes --print\n");
  lq_cpu_limit("scalar");
  printing = PRINT_ALL;
  all();
  lq_cpu_limit(NULL);
  printing = PRINT_BYTES;
  if (has_bytes())
    all();
  return test_failures != 0;
}

int main(int argc, char **argv)
{
  const char *alone = getenv("LQ_ONE_THREAD"), *best;
  int any_bytes = 0;
  make_inputs();
  if (argc > 1 && !strcmp(argv[1], "--print"))
    return print_table();
  read_table(test_vectors(argc, argv));
  best = lq_cpu_features();
  for (int level = 0; level < TEST_LEVELS; level++) {
    if (!test_level(level))
      continue;
    any_bytes |= has_bytes();
    test_in("%s", test_levels[level]);
    if (alone && *alone)
      all();
    else
      all_threads(test_levels[level], test_is_long() || !strcmp(best, test_levels[level]));
  }
  test_context[0] = 0;
  for (int i = 0; i < rows_known; i++)
    CHECK(table[i].seen || (is_of_bytes(table[i].name) && !any_bytes),
          "%s: in the table, but no case gives it", table[i].name);
  return test_end();
}
