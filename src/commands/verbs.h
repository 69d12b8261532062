/*
 * verbs.h - the verbs of the tool.
 *
 * Owns: their signature. A verb gets what follows its name on the command line, writes its result
 * to standard output, and leaves the error, if any, to main, which alone prints it and chooses the
 * exit status from its kind.
 */
#ifndef QUANT_COMMANDS_VERBS_H
#define QUANT_COMMANDS_VERBS_H

#include "../files/fail.h"

#include <stdbool.h>

bool verb_quantize(int argc, char **argv, fail *why);
bool verb_dequantize(int argc, char **argv, fail *why);
bool verb_export(int argc, char **argv, fail *why);
bool verb_inspect(int argc, char **argv, fail *why);
bool verb_compare(int argc, char **argv, fail *why);
bool verb_eval(int argc, char **argv, fail *why);
bool verb_generate(int argc, char **argv, fail *why);
bool verb_bench(int argc, char **argv, fail *why);

#endif
