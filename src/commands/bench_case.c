/*
 * bench_case.c - one case: copies of its operands, rounds over them, the best round.
 *
 * Owns: the operands. Must not know: limits, printing. Cold means that calls in a row take other
 * copies, as many as make up the footprint, so that none finds its operands in a cache. Results
 * come from the pool and so lie in memory that has been used before: the page faults of fresh
 * memory would cost more than any kernel.
 */
#include "bench.h"

#include "../files/system.h"
#include "../files/interrupt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS_MIN = 3 };

/* What the calls of a case work on. */
typedef struct operands {
  size_t copies;
  void **dense;        /* blocks of the dense side */
  lq_tensor **wrapped; /* over them, for quantize */
  lq_tensor **encoded; /* operands of the other operations, results of quantize */
  lq_quantizer *quantizer;
  lq_config *how;
  float *x, *y;
  lq_quantizer *activations; /* of BENCH_MATMUL_INT8 */
} operands;

static size_t dtype_bytes(int32_t dtype)
{
  return dtype == LQ_F32 ? 4 : 2;
}

const char *bench_dtype_name(int32_t dtype)
{
  return dtype == LQ_F32 ? "f32" : dtype == LQ_F16 ? "f16" : "bf16";
}

void bench_fill(float *source, uint64_t count)
{
  uint64_t state = 0x9e3779b97f4a7c15u;

  for (uint64_t i = 0; i < count; i++) {
    double sum = -2;

    /* Four uniform numbers from one step of xorshift64*: their sum has variance 1/3. */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    for (int k = 0; k < 4; k++)
      sum += (double)(uint16_t)((state * 0x2545f4914f6cdd1du) >> (16 * k)) / 65536.0;
    source[i] = (float)(sum * 0.02 * 1.7320508075688772);
  }
}

static bool failed(const bench_case *c, lq_status s, fail *why)
{
  return fail_set(why, s == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_DATA, NULL, "%s: %s", c->method,
                  lq_status_string(s));
}

static lq_status make_quantizer(const bench_setup *s, const bench_case *c, operands *o)
{
  lq_alloc alloc = pool_alloc(s->memory);
  lq_config *config = NULL;
  lq_status status = lq_config_create(&alloc, &config);

  if (status == LQ_OK)
    status = lq_config_set_i64(config, LQ_KEY_THREADS, s->options->threads);
  if (status == LQ_OK)
    status = lq_config_clone(config, &o->how);
  if (status == LQ_OK && c->fast)
    status = lq_config_set_i64(o->how, LQ_KEY_COMPUTE, LQ_COMPUTE_FAST);
  if (status == LQ_OK)
    status = lq_config_set_text(config, "method", c->method);
  if (status == LQ_OK && c->nested)
    status = lq_config_set_i64(config, LQ_KEY_NESTED, 1);
  if (status == LQ_OK)
    status = lq_quantizer_create(config, &o->quantizer);
  if (status == LQ_OK && c->op == BENCH_MATMUL_INT8)
    status = lq_quantizer_create(config, &o->activations);
  lq_config_destroy(config);
  return status;
}

/* The source in the case's type, and what it becomes. */
static lq_status make_first(const bench_setup *s, const bench_case *c, operands *o, size_t bytes)
{
  lq_alloc alloc = pool_alloc(s->memory);
  const uint64_t dims[2] = {s->rows, s->columns};
  int32_t dtype = c->op >= BENCH_MATMUL ? LQ_BF16 : c->dtype;
  lq_tensor *f32 = NULL, *dense = NULL;
  lq_status status = lq_tensor_wrap(&alloc, LQ_F32, 2, dims, s->source,
                                    (size_t)(s->rows * s->columns) * sizeof(float), &f32);

  o->dense[0] = pool_take(s->memory, bytes);
  if (!o->dense[0])
    status = LQ_E_MEMORY;
  if (status == LQ_OK)
    status = lq_dequantize(f32, dtype, o->dense[0], bytes, o->how);
  if (status == LQ_OK)
    status = lq_tensor_wrap(&alloc, dtype, 2, dims, o->dense[0], bytes, &dense);
  if (status == LQ_OK)
    status = lq_quantizer_run(o->quantizer, dense, &o->encoded[0]);
  lq_tensor_destroy(f32);
  if (c->op == BENCH_QUANTIZE)
    o->wrapped[0] = dense;
  else
    lq_tensor_destroy(dense);
  return status;
}

static lq_status make_copy(const bench_setup *s, const bench_case *c, operands *o, size_t i,
                           size_t bytes)
{
  lq_alloc alloc = pool_alloc(s->memory);
  const uint64_t dims[2] = {s->rows, s->columns};

  if (c->op != BENCH_QUANTIZE) {
    lq_status status = lq_tensor_clone(&alloc, o->encoded[0], &o->encoded[i]);

    if (status != LQ_OK || c->op >= BENCH_MATMUL)
      return status;
  }
  o->dense[i] = pool_take(s->memory, bytes);
  if (!o->dense[i])
    return LQ_E_MEMORY;
  memcpy(o->dense[i], o->dense[0], bytes);
  if (c->op != BENCH_QUANTIZE)
    return LQ_OK;
  return lq_tensor_wrap(&alloc, c->dtype, 2, dims, o->dense[i], bytes, &o->wrapped[i]);
}

static void free_operands(const bench_setup *s, operands *o)
{
  for (size_t i = 0; i < o->copies; i++) {
    if (o->wrapped)
      lq_tensor_destroy(o->wrapped[i]);
    if (o->encoded)
      lq_tensor_destroy(o->encoded[i]);
    if (o->dense)
      pool_give(s->memory, o->dense[i]);
  }
  free(o->dense);
  free(o->wrapped);
  free(o->encoded);
  pool_give(s->memory, o->x);
  pool_give(s->memory, o->y);
  lq_quantizer_destroy(o->quantizer);
  lq_quantizer_destroy(o->activations);
  lq_config_destroy(o->how);
}

static bool make_lists(operands *o, size_t copies)
{
  o->dense = calloc(copies, sizeof *o->dense);
  o->wrapped = calloc(copies, sizeof(*o->wrapped));
  o->encoded = calloc(copies, sizeof(*o->encoded));
  return o->dense && o->wrapped && o->encoded;
}

static bool make_vectors(const bench_setup *s, const bench_case *c, operands *o)
{
  size_t m = c->rows ? c->rows : 1;

  o->x = pool_take(s->memory, m * (size_t)s->columns * sizeof *o->x);
  o->y = pool_take(s->memory, m * (size_t)s->rows * sizeof *o->y);
  if (o->x)
    bench_fill(o->x, m * s->columns);
  return o->x && o->y;
}

/* Makes the first operands, which tell how many bytes a call moves, then the copies. */
static lq_status make_operands(const bench_setup *s, const bench_case *c, operands *o,
                               bench_result *r)
{
  uint64_t elements = s->rows * s->columns;
  size_t bytes = (size_t)elements * dtype_bytes(c->op >= BENCH_MATMUL ? LQ_BF16 : c->dtype);
  /* Products of many rows take long and read little: fewer copies are as cold. */
  uint64_t footprint = s->footprint / (1 + c->rows / 16);
  size_t most = s->footprint ? (size_t)(footprint / (elements / 2)) + 1 : 1;
  lq_status status = make_lists(o, most) && make_vectors(s, c, o) ? LQ_OK : LQ_E_MEMORY;

  if (status == LQ_OK)
    status = make_quantizer(s, c, o);
  if (status != LQ_OK)
    return status;
  o->copies = 1;
  status = make_first(s, c, o, bytes);
  if (status != LQ_OK)
    return status;
  r->bytes_in = c->op == BENCH_QUANTIZE ? bytes : lq_tensor_nbytes(o->encoded[0]);
  r->bytes_out = c->op == BENCH_QUANTIZE     ? lq_tensor_nbytes(o->encoded[0])
                 : c->op == BENCH_DEQUANTIZE ? bytes
                                             : c->rows * s->rows * sizeof(float);
  if (c->op >= BENCH_MATMUL)
    r->operations = 2.0 * c->rows * (double)elements;
  while (o->copies < most && o->copies * (r->bytes_in + r->bytes_out) < footprint &&
         status == LQ_OK) {
    status = make_copy(s, c, o, o->copies, bytes);
    o->copies++;
  }
  return status;
}

static lq_status call_int8(const bench_setup *s, const bench_case *c, operands *o, size_t i)
{
  lq_alloc alloc = pool_alloc(s->memory);
  const uint64_t dims[2] = {c->rows, s->columns};
  lq_tensor *dense = NULL, *x = NULL;
  lq_status status = lq_tensor_wrap(&alloc, LQ_F32, 2, dims, o->x,
                                    (size_t)(c->rows * s->columns) * sizeof *o->x, &dense);

  if (status == LQ_OK)
    status = lq_quantizer_run(o->activations, dense, &x);
  if (status == LQ_OK)
    status = lq_matmul_int8(o->encoded[i], x, NULL, LQ_F32, o->y, s->rows, o->how);
  lq_tensor_destroy(x);
  lq_tensor_destroy(dense);
  return status;
}

/* One call on copy i. */
static lq_status call(const bench_setup *s, const bench_case *c, operands *o, size_t i)
{
  if (c->op == BENCH_DEQUANTIZE)
    return lq_dequantize(o->encoded[i], c->dtype, o->dense[i],
                         (size_t)(s->rows * s->columns) * dtype_bytes(c->dtype), o->how);
  if (c->op == BENCH_MATMUL)
    return lq_matmul(o->encoded[i], c->rows, LQ_F32, o->x, s->columns, NULL, LQ_F32, o->y, s->rows,
                     o->how);
  if (c->op == BENCH_MATMUL_INT8)
    return call_int8(s, c, o, i);
  lq_tensor_destroy(o->encoded[i]);
  o->encoded[i] = NULL;
  return lq_quantizer_run(o->quantizer, o->wrapped[i], &o->encoded[i]);
}

/* Rounds over all copies; a copy alone is called again and again until a round takes 10 ms. The
 * first round warms up and is not counted. */
static bool measure(const bench_setup *s, const bench_case *c, operands *o, bench_result *r,
                    fail *why)
{
  double end = 0;
  size_t calls = o->copies;

  r->seconds = INFINITY;
  for (int round = -1; round < ROUNDS_MIN || sys_seconds() < end; round++) {
    double begin = sys_seconds(), t;

    if (!interrupt_check(why))
      return false;
    for (size_t i = 0; i < calls; i++) {
      lq_status status = call(s, c, o, i % o->copies);

      if (status != LQ_OK)
        return failed(c, status, why);
    }
    t = (sys_seconds() - begin) / (double)calls;
    if (round < 0) {
      if (o->copies == 1)
        calls = (size_t)(0.01 / (t > 1e-7 ? t : 1e-7)) + 1;
      end = sys_seconds() + s->seconds;
    } else if (t < r->seconds) {
      r->seconds = t;
    }
  }
  return true;
}

bool bench_run(const bench_setup *s, const bench_case *c, bench_result *out, fail *why)
{
  operands o = {0};
  lq_status status;
  bool ok;

  *out = (bench_result){0};
  status = make_operands(s, c, &o, out);
  ok = status == LQ_OK ? measure(s, c, &o, out, why) : failed(c, status, why);
  free_operands(s, &o);
  return ok;
}
