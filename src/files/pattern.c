/* pattern.c - see pattern.h. */
#include "pattern.h"

#include <string.h>

bool pattern_check(const char *pattern, fail *why)
{
  size_t length = strlen(pattern);
  if (length == 0)
    return fail_set(why, FAIL_USAGE, NULL, "an empty name pattern matches nothing");
  if (length > PATTERN_MAX)
    return fail_set(why, FAIL_USAGE, NULL, "a name pattern has at most %d characters", PATTERN_MAX);
  return true;
}

/* The pattern as an automaton: at[i] is true while the first i characters of the pattern are
 * matched by some text that ends here. A star lets state i flow into i + 1 for free. */
static void flow(bool *at, const char *pattern, size_t length)
{
  for (size_t i = 0; i < length; i++)
    if (at[i] && pattern[i] == '*')
      at[i + 1] = true;
}

bool pattern_matches(const char *pattern, const char *name)
{
  bool at[PATTERN_MAX + 1] = {false};
  size_t length = strlen(pattern);
  if (length == 0 || length > PATTERN_MAX)
    return false;
  for (const char *c = name;; c++) {
    if (c == name || c[-1] == '.')
      at[0] = true; /* a part starts here: a match may, too */
    flow(at, pattern, length);
    if ((*c == 0 || *c == '.') && at[length])
      return true;
    if (*c == 0)
      return false;
    for (size_t i = length; i > 0; i--)
      at[i] = (at[i - 1] && (pattern[i - 1] == '?' || pattern[i - 1] == *c)) ||
              (i < length && at[i] && pattern[i] == '*');
    at[0] = at[0] && pattern[0] == '*';
  }
}

bool pattern_any(const char *const *patterns, size_t count, const char *name)
{
  for (size_t i = 0; i < count; i++)
    if (pattern_matches(patterns[i], name))
      return true;
  return false;
}

bool pattern_chosen(const char *const *include, size_t includes, const char *const *exclude,
                    size_t excludes, const char *name)
{
  return (includes == 0 || pattern_any(include, includes, name)) &&
         !pattern_any(exclude, excludes, name);
}
