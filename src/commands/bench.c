/*
 * bench.c - the verb `quant bench`: the library against the limits of the machine it runs on.
 *
 * Owns: the list of cases, what is printed. Must not know: how a case is run (bench_case.c), how
 * limits are measured (limits.c). Times depend on the machine and the hour; the share of the limit,
 * measured in the same run, can be compared.
 */
#include "bench.h"

#include "../files/system.h"
#include "../files/json.h"
#include "../ui/table.h"
#include "limits.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench_options {
  common common;
  const char *size;
  bool quick, huge;
} bench_options;

#define FIELD(name) .field = offsetof(bench_options, name)

static const args_option options[] = {
    {.name = "quick", .type = ARGS_FLAG, FIELD(quick), .help = "few cases, small, some seconds"},
    {.name = "size",
     .type = ARGS_TEXT,
     .value = "NxK",
     FIELD(size),
     .help = "rows and columns of the cold cases (4096x4096; 2048x2048 if quick)"},
    {.name = "huge-pages",
     .type = ARGS_FLAG,
     FIELD(huge),
     .help = "ask the system for huge pages under all operands"},
    COMMON_HEADING,
    COMMON_THREADS(bench_options),
    COMMON_CPU(bench_options),
    COMMON_JSON(bench_options),
};

static const args_verb verb = {
    "bench",
    "[options]",
    "Measures how fast this machine reads and writes memory and multiplies, then quantize,\n"
    "dequantize and multiply through the public interface, and prints what share of that limit\n"
    "each reaches: (bytes in / read rate + bytes out / write rate) / time, or for a product by M\n"
    "rows of x (2 M N K / multiply rate) / time, if that is more. Multiplying int8 by int8 has\n"
    "the time of quantizing x in it. Cold: calls in a row take other operands, 512 MiB of them\n"
    "in turn; in cache: always the same. The best round counts. Results are allocated from a\n"
    "pool of used memory, as in a program that quantizes many tensors: the page faults of fresh\n"
    "memory are not measured.",
    options,
    sizeof options / sizeof *options,
    0,
    0};

static const bench_case all_cases[] = {
    {BENCH_QUANTIZE, "nf4", false, LQ_F32, 0, false},
    {BENCH_QUANTIZE, "nf4", false, LQ_F16, 0, false},
    {BENCH_QUANTIZE, "nf4", false, LQ_BF16, 0, false},
    {BENCH_QUANTIZE, "nf4", true, LQ_F32, 0, false},
    {BENCH_QUANTIZE, "nf4", true, LQ_BF16, 0, false},
    {BENCH_QUANTIZE, "fp4", false, LQ_F32, 0, false},
    {BENCH_QUANTIZE, "fp4", false, LQ_BF16, 0, false},
    {BENCH_QUANTIZE, "int8", false, LQ_F32, 0, false},
    {BENCH_QUANTIZE, "int8", false, LQ_F16, 0, false},
    {BENCH_QUANTIZE, "int8", false, LQ_BF16, 0, false},
    {BENCH_QUANTIZE, "dynamic8", false, LQ_F32, 0, false},
    {BENCH_QUANTIZE, "dynamic8", false, LQ_BF16, 0, false},
    {BENCH_DEQUANTIZE, "nf4", false, LQ_F32, 0, false},
    {BENCH_DEQUANTIZE, "nf4", false, LQ_BF16, 0, false},
    {BENCH_DEQUANTIZE, "nf4", true, LQ_F32, 0, false},
    {BENCH_DEQUANTIZE, "nf4", true, LQ_BF16, 0, false},
    {BENCH_DEQUANTIZE, "fp4", false, LQ_F32, 0, false},
    {BENCH_DEQUANTIZE, "fp4", false, LQ_BF16, 0, false},
    {BENCH_DEQUANTIZE, "int8", false, LQ_F32, 0, false},
    {BENCH_DEQUANTIZE, "int8", false, LQ_BF16, 0, false},
    {BENCH_DEQUANTIZE, "dynamic8", false, LQ_F32, 0, false},
    {BENCH_DEQUANTIZE, "dynamic8", false, LQ_BF16, 0, false},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 1, false},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 1, true},
    {BENCH_MATMUL, "nf4", true, LQ_F32, 1, false},
    {BENCH_MATMUL, "nf4", true, LQ_F32, 1, true},
    {BENCH_MATMUL, "fp4", false, LQ_F32, 1, false},
    {BENCH_MATMUL, "affine", false, LQ_F32, 1, false},
    {BENCH_MATMUL, "affine", false, LQ_F32, 1, true},
    {BENCH_MATMUL, "int8", false, LQ_F32, 1, false},
    {BENCH_MATMUL, "int8", false, LQ_F32, 1, true},
    {BENCH_MATMUL, "dynamic8", false, LQ_F32, 1, false},
    {BENCH_MATMUL, "none", false, LQ_F32, 1, false},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 4, false},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 4, true},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 16, false},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 64, false},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 512, false},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 16, true},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 64, true},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 512, true},
    {BENCH_MATMUL, "affine", false, LQ_F32, 512, true},
    {BENCH_MATMUL_INT8, "int8", false, LQ_F32, 1, false},
    {BENCH_MATMUL_INT8, "int8", false, LQ_F32, 16, false},
    {BENCH_MATMUL_INT8, "int8", false, LQ_F32, 64, false},
    {BENCH_MATMUL_INT8, "int8", false, LQ_F32, 512, false},
};

static const bench_case quick_cases[] = {
    {BENCH_QUANTIZE, "nf4", false, LQ_F32, 0, false},
    {BENCH_QUANTIZE, "nf4", true, LQ_BF16, 0, false},
    {BENCH_QUANTIZE, "int8", false, LQ_F32, 0, false},
    {BENCH_QUANTIZE, "dynamic8", false, LQ_F32, 0, false},
    {BENCH_DEQUANTIZE, "nf4", false, LQ_F32, 0, false},
    {BENCH_DEQUANTIZE, "nf4", false, LQ_BF16, 0, false},
    {BENCH_DEQUANTIZE, "int8", false, LQ_F32, 0, false},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 1, false},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 1, true},
    {BENCH_MATMUL, "nf4", false, LQ_F32, 64, false},
};

/* One table: cases of one size, cold or in cache, under limits measured over as much memory. */
typedef struct part {
  const char *title;
  uint64_t rows, columns, footprint;
  size_t limit_bytes;
  limits limit;
} part;

typedef struct bench {
  const bench_options *options;
  unsigned threads;
  pool *memory;
  const bench_case *cases;
  size_t count;
  double seconds; /* for a case, and for the limits of a part */
  json_printer json;
  buf text;
} bench;

/* What a product could reach in the kind of numbers that it is computed in. */
static double multiply_rate(const part *p, const bench_case *c)
{
  bool bytes = c->op == BENCH_MATMUL_INT8 || (c->fast && c->rows > 8);

  if (c->fast && c->rows >= 16 && strcmp(lq_cpu_features(), "amx") == 0)
    return p->limit.bf16;
  return bytes ? p->limit.i8 : p->limit.f32;
}

/* Memory, or for a product the multipliers, whichever takes longer. */
static double share_of_limit(const part *p, const bench_case *c, const bench_result *r)
{
  double memory =
      (double)r->bytes_in / limits_read(&p->limit) + (double)r->bytes_out / limits_write(&p->limit);
  double multipliers = r->operations / multiply_rate(p, c);

  return (multipliers > memory ? multipliers : memory) / r->seconds;
}

static void case_text(const bench_case *c, char out[64])
{
  const char *type = bench_dtype_name(c->dtype), *nested = c->nested ? " nested" : "";

  if (c->op == BENCH_QUANTIZE)
    snprintf(out, 64, "quantize %s to %s%s", type, c->method, nested);
  else if (c->op == BENCH_DEQUANTIZE)
    snprintf(out, 64, "dequantize %s%s to %s", c->method, nested, type);
  else
    snprintf(out, 64, "multiply %s%s by %s, M %u%s",
             lq_method_from_name(c->method) == LQ_NONE ? "bf16" : c->method, nested,
             c->op == BENCH_MATMUL_INT8 ? "int8" : type, c->rows, c->fast ? ", fast" : "");
}

static void json_case(json_printer *j, const part *p, const bench_case *c, const bench_result *r)
{
  static const char *const ops[] = {"quantize", "dequantize", "matmul", "matmul_int8"};

  json_begin(j, NULL, '{');
  json_print_string(j, "op", ops[c->op]);
  json_print_string(j, "method", c->method);
  json_print_bool(j, "nested", c->nested);
  json_print_string(j, "dtype", bench_dtype_name(c->dtype));
  if (c->op >= BENCH_MATMUL) {
    json_print_u64(j, "m", c->rows);
    json_print_string(j, "compute", c->fast ? "fast" : "exact");
    json_print_f64(j, "gflops", r->operations / r->seconds / 1e9);
  }
  json_print_f64(j, "ms", 1e3 * r->seconds);
  json_print_u64(j, "bytes_in", r->bytes_in);
  json_print_u64(j, "bytes_out", r->bytes_out);
  json_print_f64(j, "gb_per_second_in", (double)r->bytes_in / r->seconds / 1e9);
  json_print_f64(j, "share_of_limit", share_of_limit(p, c, r));
  json_end(j, '}');
}

static void tell_part(bench *b, const part *p)
{
  const limits *l = &p->limit;
  json_printer *j = &b->json;

  if (!b->options->common.json) {
    printf("%s, %llu x %llu. Limits over %zu MiB in GB/s: read %.1f (four streams %.1f),\n"
           "write %.1f (past the caches %.1f), copy %.1f. Multipliers: %.0f GFLOP/s f32,\n"
           "%.0f GOP/s int8, %.0f GFLOP/s bf16 or f32.\n\n",
           p->title, (unsigned long long)p->rows, (unsigned long long)p->columns,
           p->limit_bytes >> 20, l->read_one / 1e9, l->read_four / 1e9, l->write_plain / 1e9,
           l->write_streamed / 1e9, l->copy / 1e9, l->f32 / 1e9, l->i8 / 1e9, l->bf16 / 1e9);
    fflush(stdout);
    return;
  }
  json_begin(j, NULL, '{');
  json_print_string(j, "title", p->title);
  json_print_u64(j, "rows", p->rows);
  json_print_u64(j, "columns", p->columns);
  json_print_u64(j, "footprint", p->footprint);
  json_print_f64(j, "read_one_stream", l->read_one);
  json_print_f64(j, "read_four_streams", l->read_four);
  json_print_f64(j, "write", l->write_plain);
  json_print_f64(j, "write_past_caches", l->write_streamed);
  json_print_f64(j, "copy", l->copy);
  json_print_f64(j, "multiply_f32", l->f32);
  json_print_f64(j, "multiply_i8", l->i8);
  json_print_f64(j, "multiply_bf16", l->bf16);
  json_begin(j, "cases", '[');
}

static void tell_case(bench *b, const part *p, table *t, const bench_case *c, const bench_result *r)
{
  char name[64];

  if (b->options->common.json) {
    json_case(&b->json, p, c, r);
    return;
  }
  case_text(c, name);
  table_cell(t, "%s", name);
  table_cell(t, "%.3f", 1e3 * r->seconds);
  table_cell(t, "%.2f", (double)r->bytes_in / r->seconds / 1e9);
  if (c->op >= BENCH_MATMUL)
    table_cell(t, "%.1f", r->operations / r->seconds / 1e9);
  else
    table_cell(t, "%s", "");
  table_cell(t, "%.0f %%", 100 * share_of_limit(p, c, r));
}

static bool end_part(bench *b, const table *t, fail *why)
{
  if (b->options->common.json) {
    json_end(&b->json, ']');
    json_end(&b->json, '}');
    return true;
  }
  return table_print(t, stdout, why) && putchar('\n') != EOF && common_flush(why);
}

static bool run_part(bench *b, part *p, fail *why)
{
  bench_setup s = {.options = &b->options->common,
                   .memory = b->memory,
                   .rows = p->rows,
                   .columns = p->columns,
                   .footprint = p->footprint,
                   .seconds = b->seconds};
  table t = {0};
  bool ok;

  if (!limits_measure(&p->limit, p->limit_bytes, b->threads, 5 * b->seconds, b->options->huge, why))
    return false;
  s.source = pool_take(b->memory, (size_t)(p->rows * p->columns) * sizeof *s.source);
  if (!s.source)
    return fail_memory(why, NULL);
  bench_fill(s.source, p->rows * p->columns);
  table_column(&t, "operation", TABLE_LEFT);
  table_column(&t, "ms", TABLE_RIGHT);
  table_column(&t, "GB/s in", TABLE_RIGHT);
  table_column(&t, "GFLOP/s", TABLE_RIGHT);
  table_column(&t, "of limit", TABLE_RIGHT);
  tell_part(b, p);
  ok = true;
  for (size_t i = 0; i < b->count && ok; i++) {
    bench_result r;

    ok = bench_run(&s, &b->cases[i], &r, why);
    if (ok)
      tell_case(b, p, &t, &b->cases[i], &r);
  }
  if (ok)
    ok = end_part(b, &t, why);
  table_free(&t);
  pool_give(b->memory, s.source);
  return ok;
}

static bool parse_size(const char *text, uint64_t *rows, uint64_t *columns, fail *why)
{
  const uint64_t most = UINT64_C(1) << 31;
  char *end;
  uint64_t n = strtoull(text, &end, 10), k = *end == 'x' ? strtoull(end + 1, &end, 10) : 0;

  if (*end != 0 || n == 0 || k == 0 || n > most || k > most / n)
    return fail_set(why, FAIL_USAGE, NULL, "--size %s: as 4096x11008, at most 2^31 weights", text);
  *rows = n;
  *columns = k;
  return true;
}

static bool run(bench *b, fail *why)
{
  const bench_options *o = b->options;
  enum { COLD = 512 << 20, COLD_QUICK = 128 << 20, CACHED = 4 << 20 };
  part cold = {.title = "Cold", .rows = 4096, .columns = 4096, .footprint = COLD};
  part cached = {.title = "In cache", .rows = 1024, .columns = 1024, .limit_bytes = CACHED};
  bool ok;

  if (o->quick) {
    cold.rows = cold.columns = 2048;
    cold.footprint = COLD_QUICK;
  }
  if (o->size && !parse_size(o->size, &cold.rows, &cold.columns, why))
    return false;
  cold.limit_bytes = (size_t)cold.footprint;
  if (o->common.json) {
    json_begin(&b->json, NULL, '{');
    json_print_string(&b->json, "version", lq_version_string());
    json_print_string(&b->json, "kernels", lq_cpu_features());
    json_print_u64(&b->json, "threads", b->threads);
    json_print_bool(&b->json, "huge_pages", o->huge);
    json_begin(&b->json, "parts", '[');
  } else {
    printf("libquant %s, kernels %s, %u thread%s%s\n\n", lq_version_string(), lq_cpu_features(),
           b->threads, b->threads == 1 ? "" : "s", o->huge ? ", huge pages" : "");
  }
  ok = run_part(b, &cold, why) && run_part(b, &cached, why);
  if (ok && o->common.json) {
    json_end(&b->json, ']');
    json_end(&b->json, '}');
    buf_byte(&b->text, '\n');
    ok = common_print(&b->text, why);
  }
  return ok;
}

static bool bench_all(const bench_options *o, fail *why)
{
  enum { KEEP = 1 << 30 };
  bench b = {.options = o,
             .threads = o->common.threads ? (unsigned)o->common.threads : sys_processors(),
             .cases = o->quick ? quick_cases : all_cases,
             .count = o->quick ? sizeof quick_cases / sizeof *quick_cases
                               : sizeof all_cases / sizeof *all_cases,
             .seconds = o->quick ? 0.1 : 0.5};
  bool ok;

  b.json = (json_printer){.to = &b.text, .indent = 2};
  ok = common_cpu(&o->common, why) && pool_create(&b.memory, KEEP, o->huge, why) && run(&b, why);
  pool_destroy(b.memory);
  buf_free(&b.text);
  return ok;
}

bool verb_bench(int argc, char **argv, fail *why)
{
  bench_options o = {0};
  args_result args;
  bool ok, done;

  if (!common_parse(&verb, argc, argv, &o, &args, &done, why))
    return false;
  if (done)
    return true;
  ok = bench_all(&o, why);
  args_free(&args);
  return ok;
}
