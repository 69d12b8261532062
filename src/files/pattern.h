/*
 * pattern.h - the names that --include and --exclude take.
 *
 * Owns: the rule below. Must not know: tensors. `*` stands for any run of characters (dots too),
 * `?` for one. A pattern matches a name when it covers a whole run of its dotted parts: for
 * model.layers.0.mlp.up_proj.weight these match: up_proj, layers.0, mlp.up_proj, model.*.weight,
 * *.mlp.*, layers.?; these do not: up, proj.weight, layer.
 */
#ifndef QUANT_FILES_PATTERN_H
#define QUANT_FILES_PATTERN_H

#include "fail.h"

#include <stdbool.h>
#include <stddef.h>

enum { PATTERN_MAX = 255 };

/* False with FAIL_USAGE when the pattern is empty or longer than PATTERN_MAX bytes. */
bool pattern_check(const char *pattern, fail *why);

/* Time is the product of the two lengths at most: all ways to match advance together, nothing is
 * tried again. */
bool pattern_matches(const char *pattern, const char *name);

/* Does any of `count` patterns match? */
bool pattern_any(const char *const *patterns, size_t count, const char *name);

/* The rule of the options: chosen when no include pattern was given or one matches, and no exclude
 * pattern does. */
bool pattern_chosen(const char *const *include, size_t includes, const char *const *exclude,
                    size_t excludes, const char *name);

#endif
