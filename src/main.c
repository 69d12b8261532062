/*
 * main.c - the command line: which verb, the one place that prints an error, the exit status.
 *
 * Must not know: what a verb does.
 */
#include "commands/common.h"
#include "commands/verbs.h"
#include "files/interrupt.h"
#include "files/system.h"
#include "ui/args.h"

#include <libquant.h>

#include <stdio.h>
#include <string.h>

typedef struct verb_entry {
  const char *name;
  bool (*run)(int argc, char **argv, fail *why);
  const char *text;
} verb_entry;

static const verb_entry verbs[] = {
    {"quantize", verb_quantize, "quantize the weights of a model"},
    {"dequantize", verb_dequantize, "restore a quantized model to dense weights"},
    {"export", verb_export, "write weights as C source, for firmware"},
    {"inspect", verb_inspect, "show what a model holds and check it"},
    {"compare", verb_compare, "measure how far one model is from another"},
    {"eval", verb_eval, "measure how well a model predicts a text"},
    {"generate", verb_generate, "continue a text"},
    {"bench", verb_bench, "measure the library against this machine's limits"},
};

enum { VERBS = sizeof verbs / sizeof *verbs };

static bool print_help(fail *why)
{
  puts("usage: quant VERB ... [options]\n\n"
       "Quantizes the weights of neural networks in the files that transformers reads: NF4, FP4,\n"
       "INT8 and dynamic 8 bit as bitsandbytes has them, integers in groups as GPTQ and AWQ do.\n\n"
       "verbs:");
  for (size_t i = 0; i < VERBS; i++)
    printf("  %-11s %s\n", verbs[i].name, verbs[i].text);
  puts("\noptions:\n"
       "  -h, --help     show this text; 'quant VERB --help' shows what a verb takes\n"
       "      --version  version, methods and instruction sets\n\n"
       "Exit status: 0 done, 1 failed, 2 wrong usage, 130 or 143 interrupted.");
  return common_flush(why);
}

static bool print_version(fail *why)
{
  const char *info = lq_build_info();
  size_t n = strlen(info);

  printf("quant %s, kernels in force: %s\n%s%s", lq_version_string(), lq_cpu_features(), info,
         n && info[n - 1] == '\n' ? "" : "\n");
  return common_flush(why);
}

static bool unknown(const char *word, fail *why)
{
  const char *names[VERBS + 1] = {NULL}, *near;

  for (size_t i = 0; i < VERBS; i++)
    names[i] = verbs[i].name;
  near = args_closest(word, names);
  if (near)
    return fail_set(why, FAIL_USAGE, NULL, "there is no verb '%s'; did you mean '%s'?", word, near);
  return fail_set(why, FAIL_USAGE, NULL, "there is no %s '%s'", word[0] == '-' ? "option" : "verb",
                  word);
}

/* `*chosen` is the verb whose --help may help. */
static bool run(int argc, char **argv, const verb_entry **chosen, fail *why)
{
  const char *word = argc > 1 ? argv[1] : NULL;

  *chosen = NULL;
  if (!word)
    return fail_set(why, FAIL_USAGE, NULL, "a verb is missing");
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
    return print_help(why);
  if (strcmp(word, "--version") == 0)
    return print_version(why);
  for (size_t i = 0; i < VERBS; i++)
    if (strcmp(word, verbs[i].name) == 0) {
      *chosen = &verbs[i];
      return interrupt_install(why) && verbs[i].run(argc - 2, argv + 2, why);
    }
  return unknown(word, why);
}

int main(int argc, char **argv)
{
  fail why = {FAIL_NONE, 0, ""};
  const verb_entry *verb;

  if (!sys_start(&argc, &argv)) {
    fputs("quant: error: the arguments cannot be read\n", stderr);
    return 1;
  }
  if (run(argc, argv, &verb, &why))
    return 0;
  if (why.kind == FAIL_USAGE)
    fprintf(stderr, "quant: error: %s (try 'quant %s%s--help')\n", why.text, verb ? verb->name : "",
            verb ? " " : "");
  else
    fprintf(stderr, "quant: error: %s\n", why.text);
  return fail_exit_status(&why);
}
