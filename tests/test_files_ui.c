/* Arguments, help, units, tables, progress. */
#include "test_files.h"

#include "../src/ui/args.h"
#include "../src/ui/progress.h"
#include "../src/ui/table.h"
#include "../src/ui/units.h"

typedef struct values {
  const char *out, *method;
  int64_t block, seed;
  double damp;
  bool nested, quiet;
  args_list include, exclude;
} values;

static const char *const methods[] = {"nf4", "fp4", "int8", NULL};

static const args_option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = ARGS_TEXT,
     .value = "OUT",
     .required = true,
     .field = offsetof(values, out),
     .help = "where the result goes"},
    {.name = "method",
     .type = ARGS_CHOICE,
     .choices = methods,
     .initial = "nf4",
     .field = offsetof(values, method),
     .help = "how to store"},
    {.type = ARGS_GROUP, .help = "Fine tuning"},
    {.name = "block-size",
     .type = ARGS_INT,
     .value = "N",
     .initial = "64",
     .least = 16,
     .most = 4096,
     .field = offsetof(values, block),
     .help = "weights that share a scale"},
    {.name = "seed",
     .type = ARGS_INT,
     .value = "N",
     .least = 1,
     .field = offsetof(values, seed),
     .help =
         "a number from which all that is random comes, written long enough to be wrapped once"},
    {.name = "damp",
     .type = ARGS_DOUBLE,
     .value = "X",
     .initial = "0.01",
     .least_f = 0,
     .most_f = 1,
     .field = offsetof(values, damp),
     .help = "damping"},
    {.name = "nested",
     .letter = 'n',
     .type = ARGS_FLAG,
     .field = offsetof(values, nested),
     .help = "quantize the scales, too"},
    {.name = "quiet",
     .letter = 'q',
     .type = ARGS_FLAG,
     .field = offsetof(values, quiet),
     .help = "no progress"},
    {.name = "include",
     .type = ARGS_LIST,
     .value = "PAT",
     .field = offsetof(values, include),
     .help = "only these"},
    {.name = "exclude",
     .type = ARGS_LIST,
     .value = "PAT",
     .field = offsetof(values, exclude),
     .help = "not these"},
};

static const args_verb verb = {"quantize",
                               "IN -o OUT [options]",
                               "Quantize a model.",
                               options,
                               sizeof options / sizeof *options,
                               1,
                               1};

/* Parses words divided by single spaces. */
static bool parse(const char *words, values *v, args_result *r, fail *why)
{
  static char text[512];
  char *argv[32];
  int argc = 0;
  snprintf(text, sizeof text, "%s", words);
  for (char *p = text; *p != 0;) {
    argv[argc++] = p;
    p += strcspn(p, " ");
    if (*p != 0)
      *p++ = 0;
  }
  *why = (fail){0};
  return args_parse(&verb, argc, argv, v, r, why);
}

static void check_parsed(void)
{
  values v;
  args_result r;
  fail why;
  CHECK(parse("in -o out", &v, &r, &why), "%s", why.text);
  CHECK(strcmp(v.out, "out") == 0 && strcmp(r.positional[0], "in") == 0, "texts");
  CHECK(v.block == 64 && v.seed == 0 && v.damp > 0.0099 && v.damp < 0.0101 && !v.nested &&
            strcmp(v.method, "nf4") == 0 && v.include.count == 0,
        "defaults");
  CHECK(args_given(&verb, &r, "output") && !args_given(&verb, &r, "method"), "given");
  args_free(&r);
  CHECK(parse("--output=o --block-size 128 --method=int8 --damp=1e-3 --include a --include=b in "
              "--exclude c -nq --seed 9000000000",
              &v, &r, &why),
        "%s", why.text);
  CHECK(v.block == 128 && v.method == methods[2] && v.damp < 0.002 && v.nested && v.quiet &&
            v.seed == 9000000000,
        "values");
  CHECK(v.include.count == 2 && strcmp(v.include.items[1], "b") == 0 && v.exclude.count == 1,
        "lists");
  args_free(&r);
  CHECK(parse("-oout -- --in", &v, &r, &why) && strcmp(r.positional[0], "--in") == 0 &&
            strcmp(v.out, "out") == 0,
        "%s", why.text);
  args_free(&r);
  CHECK(parse("-nqo x -", &v, &r, &why) && strcmp(v.out, "x") == 0 && v.quiet, "%s", why.text);
  args_free(&r);
  CHECK(parse("--help --wrong", &v, &r, &why) && r.help, "%s", why.text);
  args_free(&r);
  CHECK(parse("-h", &v, &r, &why) && r.help, "%s", why.text);
  args_free(&r);
}

static void check_wrong(void)
{
  static const struct {
    const char *words, *text;
  } rows[] = {
      {"", "--output is missing"},
      {"-o out", "too few arguments"},
      {"a b -o out", "what is \"b\"?"},
      {"in -o", "--output needs a value"},
      {"in -o out --nestde", "did you mean --nested?"},
      {"in -o out --blok-size=3", "unknown option --blok-size; did you mean --block-size?"},
      {"in -o out --zebra", "unknown option --zebra"},
      {"in -o out -z", "unknown option -z"},
      {"in -o out --nested=1", "takes no value"},
      {"in -o out --block-size 15", "15 is outside 16 to 4096"},
      {"in -o out --block-size 64k", "\"64k\" is not a whole number"},
      {"in -o out --block-size=", "is not a whole number"},
      {"in -o out --block-size 99999999999999999999", "is outside"},
      {"in -o out --seed 0", "is outside 1 to"},
      {"in -o out --damp nan", "is not a number"},
      {"in -o out --damp 1.5", "1.5 is outside 0 to 1"},
      {"in -o out --method nf5", "\"nf5\" is not one of nf4, fp4, int8; did you mean nf4?"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    values v;
    args_result r;
    fail why;
    CHECK(!parse(rows[i].words, &v, &r, &why) && why.kind == FAIL_USAGE, "%s", rows[i].words);
    CHECK(strstr(why.text, rows[i].text) != NULL, "%s, expected %s", why.text, rows[i].text);
    CHECK(strcmp(rows[i].words, "in -o out --zebra") != 0 || strstr(why.text, "mean") == NULL,
          "no word is near: %s", why.text);
  }
}

/* What `print` wrote to a temporary file. */
static char *written(void (*print)(FILE *))
{
  size_t n;
  FILE *f = fopen(at("text"), "wb");
  if (f == NULL)
    exit(2);
  print(f);
  fclose(f);
  return get_bytes(at("text"), &n);
}

static void print_help(FILE *to)
{
  args_help(&verb, to);
}

static void print_table(FILE *to)
{
  table t = {0};
  fail why = {0};
  table_column(&t, "tensor", TABLE_LEFT);
  table_column(&t, "bytes", TABLE_RIGHT);
  table_column(&t, "dtype", TABLE_LEFT);
  table_cell(&t, "%s", "a\nb");
  table_cell(&t, "%d", 12345);
  table_cell(&t, "F32");
  table_cell(&t, "longer.name");
  table_cell(&t, "%d", 7);
  table_cell(&t, "BF16");
  table_cell(&t, "total");
  table_cell(&t, "8");
  CHECK(table_print(&t, to, &why), "%s", why.text);
  table_free(&t);
}

static void check_printed(void)
{
  static const char help[] =
      "usage: quant quantize IN -o OUT [options]\n\nQuantize a model.\n\noptions:\n"
      "  -o, --output OUT           where the result goes\n"
      "      --method nf4|fp4|int8  how to store [nf4]\n\nFine tuning:\n"
      "      --block-size N         weights that share a scale [64]\n"
      "      --seed N               a number from which all that is random comes, written long\n"
      "                             enough to be wrapped once\n"
      "      --damp X               damping [0.01]\n"
      "  -n, --nested               quantize the scales, too\n"
      "  -q, --quiet                no progress\n"
      "      --include PAT          only these\n"
      "      --exclude PAT          not these\n"
      "  -h, --help                 show this text\n";
  static const char table_text[] = "tensor       bytes  dtype\n-----------  -----  -----\n"
                                   "a\\nb         12345  F32\nlonger.name      7  BF16\n"
                                   "total            8\n";
  char *text = written(print_help);
  CHECK(strcmp(text, help) == 0, "%s", text);
  free(text);
  text = written(print_table);
  CHECK(strcmp(text, table_text) == 0, "%s", text);
  free(text);
  FILE *full = fopen("/dev/full", "w");
  if (full != NULL) {
    table t = {0};
    fail why = {0};
    table_column(&t, "x", TABLE_LEFT);
    table_cell(&t, "y");
    CHECK(!table_print(&t, full, &why) && why.kind == FAIL_IO, "%s", why.text);
    table_free(&t);
    fclose(full);
  }
}

static void check_units(void)
{
  char t[UNITS_TEXT];
  CHECK(strcmp(units_bytes(t, 0), "0 B") == 0, "%s", t);
  CHECK(strcmp(units_bytes(t, 999), "999 B") == 0, "%s", t);
  CHECK(strcmp(units_bytes(t, 1536), "1.50 KiB") == 0, "%s", t);
  CHECK(strcmp(units_bytes(t, 55591936), "53.0 MiB") == 0, "%s", t);
  CHECK(strcmp(units_bytes(t, UINT64_MAX), "16.0 EiB") == 0, "%s", t);
  CHECK(strcmp(units_rate(t, 1.25e9, 1), "1.25 GB/s") == 0, "%s", t);
  CHECK(strcmp(units_rate(t, 1, 0), "-") == 0, "%s", t);
  CHECK(strcmp(units_count(t, 27795968), "27,795,968") == 0, "%s", t);
  CHECK(strcmp(units_count(t, 999), "999") == 0, "%s", t);
  CHECK(strcmp(units_time(t, 0.421), "0.42 s") == 0, "%s", t);
  CHECK(strcmp(units_time(t, 185), "3:05") == 0, "%s", t);
  CHECK(strcmp(units_time(t, 7385), "2:03:05") == 0, "%s", t);
  CHECK(strcmp(units_time(t, -1), "-") == 0, "%s", t);
}

/* Not a terminal: a line for each note and nothing else; quiet: nothing at all. */
static void check_progress(void)
{
  int error = dup(STDERR_FILENO), file = sys_open(SYS_CWD, at("err"), SYS_CREATE);
  progress p;
  fflush(stderr);
  CHECK(file >= 0 && dup2(file, STDERR_FILENO) >= 0, "redirect");
  for (int quiet = 0; quiet < 2; quiet++) {
    progress_start(&p, "quantizing", 100, quiet);
    progress_item(&p, "model.layers.0");
    progress_add(&p, 60);
    progress_note(&p, "%s: %d tensors", "a\x1b.safetensors", 12);
    progress_finish(&p);
  }
  fflush(stderr);
  dup2(error, STDERR_FILENO);
  close(error);
  sys_close(file);
  CHECK(same_text(at("err"), "a\\x1b.safetensors: 12 tensors\n"), "standard error");
}

int main(void)
{
  scratch_make();
  check_parsed();
  check_wrong();
  check_printed();
  check_units();
  check_progress();
  scratch_remove();
  return test_end();
}
