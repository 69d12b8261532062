/*
 * show_planes.c - encodes a few numbers and shows every plane and every decoded value. The worked
 * examples of docs/methods come from it.
 *
 *     show_planes [rows=N] [layout=NAME] [KEY=VALUE ...] [x=A,B,... ...] NUMBER ...
 *
 * The numbers are a matrix of `rows` rows, 1 if nothing is said. KEY=VALUE as lq_config_set_text
 * takes them. Each x=A,B,... is a row of inputs for a method that calibrates. Layouts: native,
 * bitsandbytes, gptq, gptq_v2, awq. Text planes (native: meta) are left out.
 *
 *     cc show_planes.c $(pkg-config --cflags --libs libquant) -o show_planes
 */
#include <libquant.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

static float w[MOST], x[MOST];

typedef struct request {
  lq_config *config;
  uint64_t rows, numbers, inputs, columns; /* inputs: numbers in all rows of x, each of columns */
  int32_t layout;
} request;

static int fail(const char *what, const char *text)
{
  fprintf(stderr, "show_planes: %s: %s\n", what, text);
  return 0;
}

/* A,B,... behind the inputs that are there. */
static int add_inputs(request *r, const char *list)
{
  uint64_t before = r->inputs;
  while (*list != 0) {
    char *end;
    if (r->inputs == MOST)
      return fail("too many inputs", list);
    x[r->inputs++] = strtof(list, &end);
    if (end == list || (*end != 0 && *end != ','))
      return fail("not a list of numbers", list);
    list = *end == ',' ? end + 1 : end;
  }
  if (r->columns != 0 && r->inputs - before != r->columns)
    return fail("x", "rows of inputs must be equally long");
  r->columns = r->inputs - before;
  return 1;
}

static int set(request *r, const char *name, const char *value)
{
  static const char *const layouts[] = {"native", "bitsandbytes", "gptq", "gptq_v2", "awq"};
  if (strcmp(name, "x") == 0)
    return add_inputs(r, value);
  if (strcmp(name, "rows") == 0)
    return (r->rows = strtoul(value, NULL, 10)) != 0 || fail("not a number of rows", value);
  if (strcmp(name, "layout") == 0) {
    for (int32_t i = 0; i < 5; i++)
      if (strcmp(value, layouts[i]) == 0) {
        r->layout = LQ_LAYOUT_NATIVE + i;
        return 1;
      }
    return fail("no such layout", value);
  }
  if (lq_config_set_text(r->config, name, value) != LQ_OK)
    return fail(name, lq_config_error_text(r->config));
  return 1;
}

static int read_arguments(request *r, int argc, char **argv)
{
  for (int i = 1; i < argc; i++) {
    char *end, *equals = strchr(argv[i], '=');
    if (equals != NULL) {
      *equals = 0;
      if (!set(r, argv[i], equals + 1))
        return 0;
      continue;
    }
    if (r->numbers == MOST)
      return fail("too many numbers", argv[i]);
    w[r->numbers++] = strtof(argv[i], &end);
    if (end == argv[i] || *end != 0)
      return fail("not a number", argv[i]);
  }
  if (r->numbers == 0 || r->numbers % r->rows != 0)
    return fail("numbers", "there must be some, in whole rows");
  return 1;
}

/* f16 to f32, by the library itself. */
static float from_half(const uint16_t *h)
{
  const uint64_t one = 1;
  float value = 0;
  lq_tensor *t = NULL;
  if (lq_tensor_wrap(NULL, LQ_F16, 1, &one, h, sizeof *h, &t) == LQ_OK)
    (void)lq_dequantize(t, LQ_F32, &value, sizeof value, NULL);
  lq_tensor_destroy(t);
  return value;
}

static void print_plane(const lq_plane *p)
{
  static const char *const names[] = {"", "F32", "F16", "BF16", "I8", "U8", "I32", "I64"};
  uint64_t count = 1;
  printf("%s %s [", p->name, names[p->dtype]);
  for (uint32_t d = 0; d < p->ndim; d++) {
    printf("%s%" PRIu64, d ? ", " : "", p->dims[d]);
    count *= p->dims[d];
  }
  printf("]");
  for (uint64_t i = 0; i < count; i++)
    switch (p->dtype) {
    case LQ_F32: printf(" %.9g", (double)((const float *)p->data)[i]); break;
    case LQ_F16: printf(" %.9g", (double)from_half((const uint16_t *)p->data + i)); break;
    case LQ_I8: printf(" %d", ((const int8_t *)p->data)[i]); break;
    case LQ_U8: printf(" %02x", ((const uint8_t *)p->data)[i]); break;
    case LQ_I32: printf(" %08" PRIx32, (uint32_t)((const int32_t *)p->data)[i]); break;
    case LQ_I64: printf(" %" PRId64, ((const int64_t *)p->data)[i]); break;
    default: printf(" %04x", ((const uint16_t *)p->data)[i]); break;
    }
  printf("\n");
}

static int show(const request *r, const lq_tensor *small)
{
  static float back[MOST];
  lq_tensor *converted = NULL;
  const lq_tensor *t = small;
  if (lq_tensor_plane_count(small, r->layout) == 0) {
    if (lq_tensor_convert(NULL, small, r->layout, &converted) != LQ_OK)
      return fail("layout", lq_tensor_obstacle(small, r->layout));
    t = converted;
  }
  for (uint32_t i = 0; i < lq_tensor_plane_count(t, r->layout); i++) {
    lq_plane p = {.size = sizeof p};
    if (lq_tensor_plane(t, r->layout, i, &p) == LQ_OK && strcmp(p.name, "meta") != 0 &&
        strncmp(p.name, "weight.quant_state", 18) != 0)
      print_plane(&p);
  }
  lq_tensor_destroy(converted);
  if (lq_dequantize(small, LQ_F32, back, (size_t)r->numbers * sizeof *back, NULL) != LQ_OK)
    return 0;
  printf("decoded");
  for (uint64_t i = 0; i < r->numbers; i++)
    printf(" %.9g", (double)back[i]);
  printf("\nbits per weight %.4g\n", lq_tensor_bits_per_weight(small));
  return 1;
}

static int run(request *r)
{
  const uint64_t shape[2] = {r->rows, r->numbers / r->rows};
  lq_tensor *dense = NULL, *small = NULL;
  lq_quantizer *quantizer = NULL;
  int ok = 0;
  if (lq_quantizer_create(r->config, &quantizer) != LQ_OK) {
    fail("config", lq_config_error_text(r->config));
  } else if (lq_tensor_wrap(NULL, LQ_F32, 2, shape, w, (size_t)r->numbers * sizeof *w, &dense) ==
             LQ_OK) {
    lq_status s = LQ_OK;
    if (r->inputs != 0)
      s = lq_quantizer_observe(quantizer, r->inputs / r->columns, r->columns, LQ_F32, x,
                               r->columns);
    if (s == LQ_OK)
      s = lq_quantizer_run(quantizer, dense, &small);
    ok =
        s == LQ_OK ? show(r, small) : fail(lq_status_string(s), lq_quantizer_error_text(quantizer));
  }
  lq_tensor_destroy(small);
  lq_tensor_destroy(dense);
  lq_quantizer_destroy(quantizer);
  return ok;
}

int main(int argc, char **argv)
{
  char *usual[] = {"", "0.1", "-0.5", "0.25", "1"};
  request r = {.rows = 1, .layout = LQ_LAYOUT_NATIVE};
  int ok = lq_config_create(NULL, &r.config) == LQ_OK;
  if (ok)
    ok = argc > 1 ? read_arguments(&r, argc, argv) : read_arguments(&r, 5, usual);
  ok = ok && run(&r);
  lq_config_destroy(r.config);
  return ok ? 0 : 1;
}
