/*
 * test_gptq_layouts.c - proves that affine tensors survive the layouts gptq, gptq_v2 and awq, that
 * real planes are read and written word for word, and that planes which lie are refused.
 *
 * Words and nibbles are read here bit by bit. Vectors: what GPTQModel packed, and the linear layers
 * of three small models it made. Nothing may be read past its end: run it under the address
 * sanitizer.
 */
#include "vectors.h"
#include "affine.h"
#include "planes.h"

static const int32_t families[3] = {LQ_LAYOUT_GPTQ, LQ_LAYOUT_GPTQ_V2, LQ_LAYOUT_AWQ};

/* ---- reading words ---- */

/* Bits of field i of a stream down a column (stride: elements between words) of 32-bit words. */
static unsigned field_at(const int32_t *words, uint64_t stride, uint64_t i, int bits)
{
  unsigned v = 0;
  for (int k = 0; k < bits; k++) {
    uint64_t at = i * (uint64_t)bits + (uint64_t)k;
    uint32_t word = (uint32_t)words[at / 32 * stride];
    v |= (word >> at % 32 & 1) << k;
  }
  return v;
}

static unsigned awq_at(const int32_t *words, uint64_t row, uint64_t i)
{
  static const int place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
  return (uint32_t)words[i + row / 8] >> 4 * place[row % 8] & 15u;
}

/* The planes of a tensor in a layout of packed words; NULL where there are none. */
struct packed {
  lq_tensor *t;
  lq_plane qweight, qzeros, scales, g_idx;
};

static int convert(const lq_tensor *t, int32_t layout, struct packed *p)
{
  memset(p, 0, sizeof *p);
  const char *obstacle = lq_tensor_obstacle(t, layout);
  lq_status s = lq_tensor_convert(NULL, t, layout, &p->t);
  CHECK((s == LQ_OK) == !obstacle && (s == LQ_OK || (s == LQ_E_UNSUPPORTED && !p->t)),
        "layout %d: status %d, obstacle %s", layout, s, obstacle ? obstacle : "none");
  if (s != LQ_OK)
    return 0;
  uint32_t n = layout == LQ_LAYOUT_AWQ ? 3 : 4;
  CHECK(lq_tensor_plane_count(p->t, layout) == n, "planes");
  CHECK(lq_tensor_plane(p->t, layout, n, &p->qweight) != LQ_OK, "a plane past the last");
  CHECK(find_plane(p->t, layout, "qweight", &p->qweight) &&
            find_plane(p->t, layout, "qzeros", &p->qzeros) &&
            find_plane(p->t, layout, "scales", &p->scales) &&
            find_plane(p->t, layout, "g_idx", &p->g_idx) == (n == 4),
        "names");
  return 1;
}

static int has_shape(const lq_plane *p, int32_t dtype, uint64_t rows, uint64_t columns)
{
  return p->dtype == dtype && p->ndim == 2 && p->dims[0] == rows && p->dims[1] == columns &&
         p->bytes == rows * columns * element_size(dtype);
}

/* Every field of every plane is that of the tensor. */
static void check_words(const lq_tensor *t, int32_t layout, const struct packed *p)
{
  struct parsed want;
  uint64_t bad[4] = {0};
  if (!parse(t, &want))
    return;
  uint64_t n = want.rows, k = want.columns, b = (uint64_t)want.bits, groups = want.groups;
  unsigned mask = (1u << b) - 1u, less = layout == LQ_LAYOUT_GPTQ;
  int awq = layout == LQ_LAYOUT_AWQ;
  CHECK(has_shape(&p->qweight, LQ_I32, awq ? k : k * b / 32, awq ? n / 8 : n), "qweight");
  CHECK(has_shape(&p->qzeros, LQ_I32, groups, n * b / 32), "qzeros");
  CHECK(has_shape(&p->scales, p->scales.dtype, groups, n), "scales");
  for (uint64_t r = 0; r < n; r++)
    for (uint64_t c = 0; c < k; c++)
      bad[0] += want.codes[r * k + c] !=
                (awq ? awq_at(p->qweight.data, r, c * (n / 8))
                     : field_at((const int32_t *)p->qweight.data + r, n, c, want.bits));
  for (uint64_t g = 0; g < groups; g++)
    for (uint64_t r = 0; r < n; r++) {
      const int32_t *words = (const int32_t *)p->qzeros.data + g * (n * b / 32);
      unsigned zero = awq ? awq_at(words, r, 0) : field_at(words, 1, r, want.bits);
      bad[1] += ((zero + less) & mask) != want.zeros[r * groups + g];
      bad[2] += value_at(p->scales.data, p->scales.dtype, g * n + r) != want.scales[r * groups + g];
    }
  for (uint64_t c = 0; c < k && !awq; c++)
    bad[3] += (uint64_t)((const int32_t *)p->g_idx.data)[c] != group_of(&want, c);
  CHECK(bad[0] == 0 && bad[1] == 0 && bad[2] == 0 && bad[3] == 0,
        "%d codes, %d zero points, %d scales, %d groups", (int)bad[0], (int)bad[1], (int)bad[2],
        (int)bad[3]);
  free_parsed(&want);
}

static void check_same_values(const lq_tensor *a, const lq_tensor *b)
{
  float *x = decode(a, LQ_F32), *y = decode(b, LQ_F32);
  CHECK(x && y && !memcmp(x, y, (size_t)tensor_elements(a) * sizeof *x), "values differ");
  free(x);
  free(y);
}

/* From planes with memory of their own, at even and at odd addresses; then the planes once more. */
static void check_back(const struct packed *p, int32_t layout, const lq_tensor *t)
{
  struct parts s;
  take_apart(p->t, layout, &s);
  for (int odd = 0; odd < 2; odd++) {
    struct parts moved = s;
    char *memory[MOST] = {0};
    lq_tensor *loaded;
    for (uint32_t i = 0; i < s.n; i++) {
      memory[i] = test_alloc((size_t)s.p[i].bytes + 1);
      memcpy(memory[i] + odd, s.p[i].data, (size_t)s.p[i].bytes);
      moved.p[i].data = memory[i] + odd;
    }
    if (CHECK(load(&moved, "", odd, 0, &loaded) == LQ_OK, "from_planes, odd %d", odd)) {
      struct packed again;
      CHECK(lq_tensor_method(loaded) == LQ_AFFINE &&
                lq_tensor_nbytes(loaded) == lq_tensor_nbytes(t),
            "%d bytes, not %d", (int)lq_tensor_nbytes(loaded), (int)lq_tensor_nbytes(t));
      check_same_values(loaded, t);
      if (convert(loaded, layout, &again))
        CHECK(!memcmp(again.qweight.data, p->qweight.data, (size_t)p->qweight.bytes) &&
                  !memcmp(again.qzeros.data, p->qzeros.data, (size_t)p->qzeros.bytes) &&
                  !memcmp(again.scales.data, p->scales.data, (size_t)p->scales.bytes) &&
                  again.g_idx.bytes == p->g_idx.bytes &&
                  (!p->g_idx.bytes ||
                   !memcmp(again.g_idx.data, p->g_idx.data, (size_t)p->g_idx.bytes)),
              "planes differ after a way there and back");
      lq_tensor_destroy(again.t);
      lq_tensor_destroy(loaded);
    }
    for (uint32_t i = 0; i < s.n; i++)
      free(memory[i]);
  }
  free_parts(&s);
}

/* What else a converted tensor can do: values, copies, the native planes, other layouts. */
static void check_converted(const struct packed *p, int32_t layout, const lq_tensor *t)
{
  lq_tensor *clone = NULL, *native = NULL;
  struct packed other;
  check_same_values(p->t, t);
  CHECK(lq_tensor_nbytes(p->t) == lq_tensor_nbytes(t), "nbytes");
  CHECK(lq_tensor_clone(NULL, p->t, &clone) == LQ_OK && lq_tensor_plane_count(clone, layout) != 0,
        "clone");
  check_words(t, layout, p);
  if (clone && convert(clone, LQ_LAYOUT_GPTQ_V2, &other)) {
    check_words(t, LQ_LAYOUT_GPTQ_V2, &other);
    lq_tensor_destroy(other.t);
  }
  CHECK(lq_tensor_convert(NULL, p->t, LQ_LAYOUT_NATIVE, &native) == LQ_OK &&
            lq_tensor_plane_count(native, layout) == 0 &&
            lq_tensor_plane_count(native, LQ_LAYOUT_NATIVE) ==
                lq_tensor_plane_count(t, LQ_LAYOUT_NATIVE),
        "native");
  lq_tensor_destroy(clone);
  check_same_values(native, t);
  lq_tensor_destroy(native);
}

static void check_layouts(const lq_tensor *t)
{
  for (int f = 0; f < 3; f++) {
    struct packed p;
    CHECK(lq_tensor_plane_count(t, families[f]) == 0, "planes before conversion");
    if (!convert(t, families[f], &p))
      continue;
    check_converted(&p, families[f], t);
    check_back(&p, families[f], t);
    lq_tensor_destroy(p.t);
  }
}

/* ---- every width, group and kind of zero points ---- */

static void test_round_trips(void)
{
  static const uint64_t shapes[][2] = {{32, 32}, {96, 160}, {64, 256}, {32, 384}, {160, 64}};
  static const int groups[] = {-1, 8, 32, 64, 128, 512};
  float *w = test_alloc(160 * 384 * sizeof *w);
  char options[96];
  for (int i = 0; i < 160 * 384; i++)
    w[i] = rng_normal(&random_state) + 0.2f;
  for (int k = 0; k < 4 * 6 * 2 * 5; k++) {
    int bits = (int[]){2, 3, 4, 8}[k % 4];
    if (!test_takes(8))
      continue;
    snprintf(options, sizeof options, "method=affine bits=%d group_size=%d symmetric=%d", bits,
             groups[k / 4 % 6], k / 24 % 2);
    const uint64_t *dims = shapes[k / 48];
    test_in("%s, %d x %d", options, (int)dims[0], (int)dims[1]);
    lq_tensor *t = quantize_array(LQ_F32, 2, dims, w, options);
    if (t)
      check_layouts(t);
    lq_tensor_destroy(t);
  }
  free(w);
}

/* ---- what a layout cannot hold ---- */

static void test_obstacles(void)
{
  static const struct {
    const char *options;
    uint64_t dims[3];
    uint32_t ndim;
    int holds[3];
  } cases[] = {
      {"method=affine", {32, 64}, 2, {1, 1, 1}},
      {"method=affine nested=1", {32, 64}, 2, {0, 0, 0}},
      {"method=nf4", {32, 64}, 2, {0, 0, 0}},
      {"method=none", {32, 64}, 2, {0, 0, 0}},
      {"method=affine", {2, 16, 64}, 3, {0, 0, 0}},
      {"method=affine", {64}, 1, {0, 0, 0}},
      {"method=affine", {0, 64}, 2, {0, 0, 0}},
      {"method=affine", {48, 64}, 2, {0, 0, 1}},
      {"method=affine", {64, 72}, 2, {0, 0, 1}},
      {"method=affine", {32, 63}, 2, {0, 0, 0}},
      {"method=affine", {36, 64}, 2, {0, 0, 0}},
      {"method=affine bits=8", {32, 64}, 2, {1, 1, 0}},
      {"method=affine group_size=64", {32, 96}, 2, {1, 1, 0}},
      {"method=affine group_size=32", {32, 96}, 2, {1, 1, 1}},
      {"method=affine symmetric=0", {32, 32}, 2, {0, 1, 1}}, /* a zero point 0 */
  };
  static float w[64 * 96];
  for (int i = 0; i < 64 * 96; i++)
    w[i] = fabsf(rng_normal(&random_state));
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    test_in("%s, %d x %d", cases[k].options, (int)cases[k].dims[0], (int)cases[k].dims[1]);
    lq_tensor *t = quantize_array(LQ_F32, cases[k].ndim, cases[k].dims, w, cases[k].options);
    for (int f = 0; t && f < 3; f++) {
      struct packed p;
      int done = convert(t, families[f], &p);
      CHECK(done == cases[k].holds[f], "layout %d: %d", families[f], done);
      lq_tensor_destroy(p.t);
    }
    CHECK(!t || !lq_tensor_obstacle(t, LQ_LAYOUT_NATIVE), "native holds every tensor");
    lq_tensor_destroy(t);
  }
  lq_tensor *t = (lq_tensor *)&random_state;
  test_in("arguments");
  CHECK(lq_tensor_convert(NULL, NULL, LQ_LAYOUT_GPTQ, &t) == LQ_E_ARGUMENT && !t, "no tensor");
  lq_tensor *some = make("method=affine");
  CHECK(lq_tensor_convert(NULL, some, 99, &t) == LQ_E_ARGUMENT && !t &&
            lq_tensor_convert(NULL, some, LQ_LAYOUT_GPTQ, NULL) == LQ_E_ARGUMENT &&
            lq_tensor_obstacle(some, 99) && lq_tensor_obstacle(NULL, 1),
        "unknown layout");
  lq_tensor_destroy(some);
}

/* ---- vectors ---- */

static void set_plane(lq_plane *p, const char *name, const struct vec *v)
{
  memset(p, 0, sizeof *p);
  p->size = sizeof *p;
  p->name = name;
  p->dtype = v->dtype;
  p->ndim = v->ndim;
  memcpy(p->dims, v->dims, sizeof p->dims);
  p->bytes = v->bytes;
  p->data = v->data;
}

static lq_tensor *from_vectors(int32_t layout, const char *options, const struct vec *qweight,
                               const struct vec *qzeros, const struct vec *scales,
                               const struct vec *g_idx)
{
  lq_plane p[4];
  lq_tensor *t = NULL;
  set_plane(&p[0], "qweight", qweight);
  set_plane(&p[1], "qzeros", qzeros);
  set_plane(&p[2], "scales", scales);
  if (g_idx)
    set_plane(&p[3], "g_idx", g_idx);
  lq_config *config = new_config(options);
  lq_status s = lq_tensor_from_planes(config, layout, p, g_idx ? 4 : 3, 0, NULL, 0, &t);
  CHECK(s == LQ_OK && t, "from_planes: %d %s", s, lq_config_error_text(config));
  lq_config_destroy(config);
  return t;
}

static void check_plane(const lq_plane *p, const struct vec *want)
{
  CHECK(want && p->bytes == want->bytes && p->dtype == want->dtype && p->ndim == want->ndim &&
            !memcmp(p->dims, want->dims, sizeof p->dims[0] * p->ndim) &&
            !memcmp(p->data, want->data, (size_t)p->bytes),
        "%s is not the vector's", p->name ? p->name : "plane");
}

/* Values against scales, codes and zero points in the order of the planes. */
static void check_dequantized(const lq_tensor *t, const struct vec *qweight,
                              const struct vec *scales, const int32_t *g_idx, const uint8_t *zeros,
                              int bits)
{
  uint64_t n = qweight->dims[1], k = qweight->dims[0] * 32 / (uint64_t)bits,
           groups = scales->dims[0];
  float *values = decode(t, LQ_F32);
  int bad = 0;
  for (uint64_t r = 0; values && r < n; r++)
    for (uint64_t c = 0; c < k; c++) {
      uint64_t g = (uint64_t)g_idx[c];
      float step = (float)field_at((const int32_t *)qweight->data + r, n, c, bits) -
                   (float)zeros[r * groups + g];
      bad += values[r * k + c] != value_at(scales->data, scales->dtype, g * n + r) * step;
    }
  CHECK(values && bad == 0, "%d values", bad);
  free(values);
}

/* A case of a file: what the real packer stored, and the reference's zero points in both forms. */
static void check_case(const struct vec_file *f, const char *name)
{
  const struct vec *w = vec_find(f, "W"), *qweight = vec_find(f, "%s.real.qweight", name);
  const struct vec *real = vec_find(f, "%s.real.qzeros_v1", name);
  const struct vec *scales = vec_find(f, "%s.real.scales_f16", name);
  const struct vec *zero = vec_find(f, "%s.real.zero", name),
                   *stored = vec_find(f, "%s.g_idx", name);
  const struct vec *codes = vec_find(f, "%s.codes", name),
                   *reference = vec_find(f, "%s.zero", name);
  int bits = name[1] - '0', has_zero = 0;
  uint64_t rows = w->dims[0], columns = w->dims[1], groups = scales->dims[0];
  int32_t *index = test_alloc((size_t)columns * sizeof *index);
  for (uint64_t c = 0; c < columns; c++)
    index[c] = stored ? ((const int32_t *)stored->data)[c]
                      : (int32_t)(c / ((columns + groups - 1) / groups));
  struct vec g_idx = {
      .dtype = LQ_I32, .ndim = 1, .dims = {columns}, .bytes = columns * 4, .data = index};
  for (uint64_t i = 0; i < zero->count; i++)
    has_zero |= ((const uint8_t *)zero->data)[i] == 0;
  lq_tensor *t =
      from_vectors(LQ_LAYOUT_GPTQ, has_zero ? "zero_borrow=1" : "", qweight, real, scales, &g_idx);
  struct packed p;
  if (t) {
    CHECK(lq_tensor_dim(t, 0) == rows && lq_tensor_dim(t, 1) == columns, "shape");
    check_dequantized(t, qweight, scales, index, zero->data, bits);
    if (convert(t, LQ_LAYOUT_GPTQ_V2, &p)) {
      check_plane(&p.qweight, qweight);
      check_plane(&p.scales, scales);
      check_plane(&p.g_idx, &g_idx);
      if (!memcmp(zero->data, reference->data, (size_t)zero->bytes))
        check_plane(&p.qzeros, vec_find(f, "%s.qzeros_v2", name));
      check_words(t, LQ_LAYOUT_GPTQ_V2, &p);
      lq_tensor_destroy(p.t);
    }
    int v1 = convert(t, LQ_LAYOUT_GPTQ, &p);
    CHECK(v1 == !has_zero, "v1 holds zero points 0: %d", v1);
    if (v1)
      check_plane(&p.qzeros, real);
    lq_tensor_destroy(p.t);
  }
  lq_tensor_destroy(t);
  for (int v = 1; v <= 2; v++) { /* the reference's, field by field, whatever they are */
    const struct vec *fields = vec_find(f, "%s.qzeros_v%d", name, v);
    t = from_vectors(v == 1 ? LQ_LAYOUT_GPTQ : LQ_LAYOUT_GPTQ_V2, "", qweight, fields, scales,
                     &g_idx);
    if (t)
      check_dequantized(t, qweight, scales, index, reference->data, bits);
    lq_tensor_destroy(t);
  }
  CHECK(codes && codes->count == w->count, "codes");
  free(index);
}

static void test_vector_files(const char *folder)
{
  static const char *const files[] = {"easy64x128", "edges32x128"};
  for (size_t k = 0; k < 2; k++) {
    char name[64], head[128];
    struct vec_file f;
    int cases = 0;
    snprintf(name, sizeof name, "gptq/%s.safetensors", files[k]);
    if (!CHECK(vec_open(&f, folder, name), "cannot read %s/%s", folder, name))
      continue;
    for (size_t i = 0; i < f.n; i++)
      if (vec_ends(&f.v[i], ".real.qweight", head)) {
        test_in("%s %s", files[k], head);
        check_case(&f, head);
        cases++;
      }
    CHECK(cases == 8, "%d cases", cases);
    vec_close(&f);
  }
}

/* The linear layers of three models: read, restored, and written again word for word. */
static void check_module(const struct vec_file *f, const char *name)
{
  int v2 = name[0] == 'v' && name[1] == '2', act_order = name[0] == 'd';
  const struct vec *qweight = vec_find(f, "%s.qweight", name),
                   *qzeros = vec_find(f, "%s.qzeros", name);
  const struct vec *scales = vec_find(f, "%s.scales", name), *g_idx = vec_find(f, "%s.g_idx", name);
  int32_t layout = v2 ? LQ_LAYOUT_GPTQ_V2 : LQ_LAYOUT_GPTQ;
  uint64_t n = qweight->dims[1], groups = scales->dims[0];
  int64_t size = 0;
  struct packed p;
  uint8_t *zeros = test_alloc((size_t)(n * groups));
  for (uint64_t g = 0; g < groups; g++)
    for (uint64_t r = 0; r < n; r++)
      zeros[r * groups + g] =
          (uint8_t)((field_at((const int32_t *)qzeros->data + g * (n / 8), 1, r, 4) + !v2) & 15);
  lq_tensor *t = from_vectors(layout, "", qweight, qzeros, scales, g_idx);
  if (t) {
    check_dequantized(t, qweight, scales, g_idx->data, zeros, 4);
    lq_tensor_get_i64(t, LQ_KEY_GROUP_SIZE, &size);
    CHECK(size == (v2 ? 64 : 32), "group size %d", (int)size);
    if (CHECK(convert(t, layout, &p), "convert")) {
      check_plane(&p.qweight, qweight);
      check_plane(&p.qzeros, qzeros);
      check_plane(&p.scales, scales);
      check_plane(&p.g_idx, g_idx);
      lq_tensor_destroy(p.t);
    }
    CHECK(!lq_tensor_obstacle(t, LQ_LAYOUT_AWQ) == !act_order, "awq");
    check_layouts(t);
  }
  lq_tensor_destroy(t);
  if (!act_order) { /* without an index the groups follow from their number */
    t = from_vectors(layout, "", qweight, qzeros, scales, NULL);
    if (t)
      check_dequantized(t, qweight, scales, g_idx->data, zeros, 4);
    lq_tensor_destroy(t);
  }
  free(zeros);
}

static void test_modules(const char *folder)
{
  char head[128];
  struct vec_file f;
  int modules = 0;
  if (!CHECK(vec_open(&f, folder, "gptq/modules.safetensors"), "cannot read modules"))
    return;
  for (size_t i = 0; i < f.n; i++)
    if (vec_ends(&f.v[i], ".qweight", head)) {
      test_in("%s", head);
      check_module(&f, head);
      modules++;
    }
  CHECK(modules == 21, "%d modules", modules);
  vec_close(&f);
}

/* ---- forms that real files have ---- */

/* Planes of a 64 x 96 tensor in a layout. */
static struct parts parts_in(const char *options, int32_t layout)
{
  static const uint64_t dims[2] = {64, 96};
  static float w[64 * 96];
  struct packed p;
  struct parts s;
  memset(&s, 0, sizeof s);
  for (int i = 0; i < 64 * 96; i++)
    w[i] = rng_normal(&random_state);
  lq_tensor *t = quantize_array(LQ_F32, 2, dims, w, options);
  if (!t || !CHECK(convert(t, layout, &p), "convert %s", options))
    exit(2);
  take_apart(p.t, layout, &s);
  lq_tensor_destroy(p.t);
  lq_tensor_destroy(t);
  return s;
}

/* Symmetric v2 planes under the label of v1 are known by their fields. */
static void test_wrong_label(void)
{
  for (int bits = 2; bits <= 4; bits++) {
    char options[64];
    lq_tensor *t, *right;
    int64_t symmetric = 0;
    snprintf(options, sizeof options, "method=affine bits=%d group_size=32", bits);
    test_in("wrong label, %s", options);
    struct parts s = parts_in(options, LQ_LAYOUT_GPTQ_V2);
    CHECK(load(&s, "", 1, 0, &right) == LQ_OK, "v2");
    s.layout = LQ_LAYOUT_GPTQ;
    if (CHECK(load(&s, "", 1, 1, &t) == LQ_OK, "v2 as v1")) {
      lq_tensor_get_i64(t, LQ_KEY_SYMMETRIC, &symmetric);
      CHECK(symmetric == 1, "symmetric");
      check_same_values(t, right);
      lq_tensor_destroy(t);
    }
    lq_tensor_destroy(right);
    free_parts(&s);
  }
}

/* Scales in bf16 and f32: f16 where all are exact in it, else f32; the values are the file's. */
static void test_scale_dtypes(void)
{
  for (int k = 0; k < 4; k++) {
    int32_t dtype = k % 2 ? LQ_BF16 : LQ_F32;
    struct parts s = parts_in("method=affine bits=3 group_size=32", LQ_LAYOUT_GPTQ);
    lq_plane *scales = part(&s, "scales"), native;
    uint64_t n = scales->bytes / 2;
    float *wide = test_alloc((size_t)n * sizeof *wide);
    lq_tensor *t;
    test_in("scales of dtype %d, exact %d", dtype, k < 2);
    for (uint64_t i = 0; i < n; i++) {
      wide[i] = (float)(i + 1) * 0.0078125f;
      wide[i] = half_value(half_bits(wide[i], LQ_BF16), LQ_BF16) * (k < 2 ? 1.0f : 1e-6f);
      wide[i] = half_value(half_bits(wide[i], LQ_BF16), LQ_BF16);
    }
    void *data = array_of(wide, n, dtype);
    scales->dtype = dtype;
    scales->bytes = n * element_size(dtype);
    scales->data = data;
    if (CHECK(load(&s, "", 0, 0, &t) == LQ_OK, "load")) {
      struct packed p;
      CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "scales", &native) &&
                native.dtype == (k < 2 ? LQ_F16 : LQ_F32) && lq_tensor_dtype(t) == dtype,
            "dtype %d", native.dtype);
      if (convert(t, LQ_LAYOUT_GPTQ, &p)) {
        int bad = 0;
        for (uint64_t i = 0; i < n; i++)
          bad += value_at(p.scales.data, p.scales.dtype, i) != wide[i];
        CHECK(bad == 0, "%d scales", bad);
      }
      check_layouts(t);
      lq_tensor_destroy(p.t);
      lq_tensor_destroy(t);
    }
    free(data);
    free(wide);
    free_parts(&s);
  }
}

/* Groups that follow no order, that no column has, and of a size that is no multiple of 8. */
static void test_indices(void)
{
  for (int k = 0; k < 3; k++) {
    struct parts s = parts_in("method=affine group_size=32 symmetric=0", LQ_LAYOUT_GPTQ_V2);
    int32_t *index = (int32_t *)(void *)s.memory[part(&s, "g_idx") - s.p];
    lq_tensor *t;
    test_in("index %d", k);
    for (int c = 0; c < 96; c++)
      index[c] = k == 0 ? (int32_t)rng_below(&random_state, 3) : k == 1 ? 2 * (c / 48) : c / 35;
    if (CHECK(load(&s, "", 1, 0, &t) == LQ_OK, "load")) {
      lq_plane g_idx;
      CHECK(find_plane(t, LQ_LAYOUT_NATIVE, "g_idx", &g_idx) && g_idx.bytes == 96 * 4 &&
                !memcmp(g_idx.data, index, 96 * 4),
            "the index is kept");
      check_layouts(t);
      struct parts native;
      lq_tensor *again;
      take_apart(t, LQ_LAYOUT_NATIVE, &native);
      if (CHECK(load(&native, "", 0, 1, &again) == LQ_OK, "native")) {
        check_same_values(again, t);
        lq_tensor_destroy(again);
      }
      ((int32_t *)(void *)native.memory[part(&native, "g_idx") - native.p])[7] = 3;
      refused(&native, LQ_E_LAYOUT, "native with a group that is not there");
      free_parts(&native);
      lq_tensor_destroy(t);
    }
    free_parts(&s);
  }
}

/* More groups than a decoder keeps at hand, each used by a column or none. */
static void test_many_groups(void)
{
  enum { N = 32, K = 1280, GROUPS = 1100 };
  static int32_t words[K / 8 * N], zero_words[GROUPS * N / 8], index[K];
  static uint16_t halves[GROUPS * N];
  static uint8_t zeros[N * GROUPS];
  test_in("many groups");
  for (int i = 0; i < K / 8 * N; i++)
    words[i] = (int32_t)(uint32_t)rng_u64(&random_state);
  for (int i = 0; i < GROUPS * N / 8; i++)
    zero_words[i] = (int32_t)(uint32_t)rng_u64(&random_state);
  for (int i = 0; i < GROUPS * N; i++)
    halves[i] = half_bits(0.01f * (float)(1 + rng_below(&random_state, 99)), LQ_F16);
  for (int i = 0; i < K; i++)
    index[i] = (int32_t)rng_below(&random_state, GROUPS);
  for (uint64_t g = 0; g < GROUPS; g++)
    for (uint64_t r = 0; r < N; r++)
      zeros[r * GROUPS + g] = (uint8_t)field_at(zero_words + g * (N / 8), 1, r, 4);
  const struct vec v[] = {
      {NULL, LQ_I32, 2, {K / 8, N}, K / 8 * N, sizeof words, words},
      {NULL, LQ_I32, 2, {GROUPS, N / 8}, GROUPS * N / 8, sizeof zero_words, zero_words},
      {NULL, LQ_F16, 2, {GROUPS, N}, GROUPS * N, sizeof halves, halves},
      {NULL, LQ_I32, 1, {K}, K, sizeof index, index},
  };
  lq_tensor *t = from_vectors(LQ_LAYOUT_GPTQ_V2, "", &v[0], &v[1], &v[2], &v[3]);
  if (t) {
    check_dequantized(t, &v[0], &v[2], index, zeros, 4);
    check_layouts(t);
  }
  lq_tensor_destroy(t);
}

/* ---- planes that lie ---- */

static void lie(struct parts *s, uint32_t i)
{
  struct parts bad = *s;
  size_t size = element_size(s->p[i].dtype);
  char *longer = test_alloc((size_t)s->p[i].bytes + 8192);
  int is_index = !strcmp(s->p[i].name, "g_idx");
  memcpy(longer, s->p[i].data, (size_t)s->p[i].bytes);
  bad.p[i] = bad.p[--bad.n];
  if (!is_index)
    refused(&bad, LQ_E_LAYOUT, "missing");
  for (uint32_t d = 0; d < s->p[i].ndim; d++)
    for (int step = -1; step <= 1; step += 2) {
      bad = *s;
      bad.p[i].data = longer;
      bad.p[i].dims[d] += (uint64_t)(int64_t)step;
      bad.p[i].bytes = elements(bad.p[i].ndim, bad.p[i].dims) * size;
      refused(&bad, LQ_E_LAYOUT, step < 0 ? "one less" : "one more");
    }
  bad = *s;
  bad.p[i].ndim = 3;
  bad.p[i].dims[2] = 1;
  if (!is_index)
    refused(&bad, LQ_E_LAYOUT, "three dimensions");
  bad = *s;
  bad.p[i].dims[0] = 0;
  bad.p[i].bytes = 0;
  if (!is_index)
    refused(&bad, LQ_E_LAYOUT, "empty");
  bad = *s;
  bad.p[i].dtype = size == 4 ? LQ_F32 : LQ_U8;
  bad.p[i].dims[0] = s->p[i].bytes / element_size(bad.p[i].dtype);
  bad.p[i].dims[1] = 1;
  refused(&bad, LQ_E_LAYOUT, "another dtype");
  bad = *s;
  bad.p[i].dims[0] = (uint64_t)1 << 61;
  refused(&bad, LQ_E_LAYOUT, "a dimension that overflows");
  free(longer);
}

static void lie_about_values(struct parts *s)
{
  static const float special[] = {NAN, INFINITY};
  static const int32_t indices[] = {-1, 3, INT32_MAX, INT32_MIN};
  uint16_t *scales = (uint16_t *)(void *)s->memory[part(s, "scales") - s->p], keep = scales[5];
  lq_tensor *t;
  for (int k = 0; k < 2; k++) {
    scales[5] = half_bits(special[k], LQ_F16);
    refused(s, LQ_E_NONFINITE, "scale");
    if (CHECK(load(s, "nonfinite=propagate", 1, 0, &t) == LQ_OK, "propagate"))
      lq_tensor_destroy(t);
  }
  scales[5] = keep;
  for (int k = 0; k < 4 && part(s, "g_idx"); k++) {
    int32_t *index = (int32_t *)(void *)s->memory[part(s, "g_idx") - s->p], before = index[40];
    index[40] = indices[k];
    refused(s, LQ_E_LAYOUT, "g_idx");
    index[40] = before;
  }
  struct parts bad = *s;
  bad.dims[1] += 32;
  refused(&bad, LQ_E_LAYOUT, "another number of columns");
}

/* Random bytes and dimensions: refused, or a tensor that can be decoded. */
static void flip(struct parts *s, int rounds)
{
  for (int k = 0; k < rounds; k++) {
    struct parts bad = *s;
    lq_tensor *t;
    if (!test_takes(8))
      continue;
    uint32_t i = (uint32_t)rng_below(&random_state, s->n);
    char *copy = test_alloc((size_t)bad.p[i].bytes);
    memcpy(copy, bad.p[i].data, (size_t)bad.p[i].bytes);
    bad.p[i].data = copy;
    if (k % 3)
      copy[rng_below(&random_state, bad.p[i].bytes)] ^= (char)(1 << rng_below(&random_state, 8));
    else
      bad.p[i].dims[rng_below(&random_state, 2)] ^= (uint64_t)1 << rng_below(&random_state, 64);
    lq_status st = load(&bad, "nonfinite=propagate", k % 2, k % 5 == 0, &t);
    CHECK(st == LQ_OK || st == LQ_E_LAYOUT, "status %d", st);
    if (st == LQ_OK) {
      free(decode(t, LQ_F32));
      lq_tensor_destroy(t);
    }
    free(copy);
  }
}

static void test_lies(void)
{
  for (int f = 0; f < 3; f++)
    for (int k = 0; k < 2; k++) {
      struct parts s =
          parts_in(k ? "method=affine group_size=32 symmetric=0" : "method=affine group_size=32",
                   families[f]);
      for (uint32_t i = 0; i < s.n; i++) {
        test_in("layout %d, %s", families[f], s.p[i].name);
        lie(&s, i);
      }
      test_in("layout %d, values", families[f]);
      lie_about_values(&s);
      flip(&s, test_is_long() ? 30000 : 1500);
      free_parts(&s);
    }
}

int main(int argc, char **argv)
{
  fill_weights();
  test_round_trips();
  test_obstacles();
  test_vector_files(test_vectors(argc, argv));
  test_modules(test_vectors(argc, argv));
  test_wrong_label();
  test_scale_dtypes();
  test_indices();
  test_many_groups();
  test_lies();
  return test_end();
}
