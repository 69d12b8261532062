/*
 * cli_args.c - fuzz target: command lines of every verb, up to where its job would begin. The first
 * byte picks the verb, words end with a newline.
 *
 * Linked with --wrap=common_parse, so that the verbs hand their tables to the function here, which
 * parses with them and lets no verb go on.
 */
#include "fuzz.h"

#include "../../src/commands/common.h"
#include "../../src/commands/verbs.h"

enum { WORDS = 32, WORD = 512 };

bool __wrap_common_parse(const args_verb *verb, int argc, char **argv, void *fields,
                         args_result *out, bool *done, fail *why);

static void check_parsed(const args_verb *verb, int argc, const void *fields,
                         const args_result *out)
{
  static const char *const without[] = {"output", NULL};
  buf text = {0};
  for (size_t i = 0; i < verb->count; i++)
    if (verb->options[i].type != ARGS_GROUP)
      CHECK(args_given(verb, out, verb->options[i].name) == (out->given >> i & 1), "given");
  CHECK(out->positional_count >= verb->least_positional &&
            out->positional_count <= verb->most_positional && out->positional_count <= (size_t)argc,
        "%zu positionals", out->positional_count);
  args_text(verb, fields, without, &text);
  CHECK(!text.failed, "args_text");
  buf_free(&text);
}

bool __wrap_common_parse(const args_verb *verb, int argc, char **argv, void *fields,
                         args_result *out, bool *done, fail *why)
{
  *done = false;
  if (!args_parse(verb, argc, argv, fields, out, why)) {
    CHECK(why->kind == FAIL_USAGE && why->text[0] != 0, "kind %d", (int)why->kind);
    return false;
  }
  if (!out->help)
    check_parsed(verb, argc, fields, out);
  args_free(out);
  return fail_set(why, FAIL_USAGE, NULL, "parsed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static bool (*const verbs[])(int, char **, fail *) = {verb_quantize, verb_dequantize, verb_export,
                                                        verb_inspect,  verb_compare,    verb_eval,
                                                        verb_generate, verb_bench};
  static char text[WORDS][WORD];
  char *argv[WORDS + 1] = {NULL};
  fuzz_in in = {data, size};
  fail why = {0};
  uint32_t verb = fuzz_below(&in, 8);
  int argc = 0;
  while (in.left != 0 && argc < WORDS) {
    fuzz_text(&in, '\n', text[argc], WORD);
    argv[argc] = text[argc];
    argc++;
  }
  CHECK(!verbs[verb](argc, argv, &why) && why.text[0] != 0, "the verb went on");
  return fuzz_end();
}
