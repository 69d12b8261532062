/* windows.c - see windows.h. */
#include "windows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char gptq[] = "gptq", optimum[] = "optimum", llama_cpp[] = "llama.cpp",
                  hugging_face[] = "huggingface";

const char *const windows_conventions[] = {gptq, optimum, llama_cpp, hugging_face, NULL};

static bool is(const char *a, const char *b)
{
  return strcmp(a, b) == 0;
}

size_t windows_length(const char *convention, uint64_t max_positions)
{
  size_t usual = is(convention, optimum) || is(convention, llama_cpp) ? 512 : 2048;

  return max_positions < usual ? (size_t)max_positions : usual;
}

/* Side by side; the first scored token is `first`, the rest of the text is dropped. */
static void make_disjoint(window_list *l, size_t length, size_t first, size_t count)
{
  for (size_t i = 0; i < count; i++)
    l->at[i] = (window){i * length, length, first, (double)(length - first)};
  l->count = count;
}

/*
 * As the guide of transformers on models of fixed length does it: every window starts `stride`
 * tokens after the last one; tokens that an earlier one has scored are context only. There a window
 * of t new tokens counts t - 1 times in the mean, though all but the first window score t.
 */
static void make_overlapping(window_list *l, size_t tokens, size_t length, size_t stride,
                             size_t most)
{
  size_t end = 0;

  for (size_t begin = 0; end < tokens && l->count < most; begin += stride) {
    size_t before = end, fresh;
    window *w = &l->at[l->count++];

    end = tokens - begin < length ? tokens : begin + length;
    fresh = end - before;
    *w = (window){begin, end - begin, end - begin - fresh, (double)(fresh - 1)};
    if (w->first == 0)
      w->first = 1;
  }
}

static void describe(window_list *l, const char *convention, size_t length, size_t stride)
{
  if (is(convention, hugging_face))
    snprintf(l->words, sizeof l->words,
             "overlapping windows of %zu tokens, %zu apart; tokens that no earlier window scored",
             length, stride);
  else if (is(convention, llama_cpp))
    snprintf(l->words, sizeof l->words,
             "disjoint windows of %zu tokens, the rest dropped; the second half of each scored",
             length);
  else
    snprintf(l->words, sizeof l->words,
             "disjoint windows of %zu tokens, the rest dropped; all but the first token of each "
             "scored",
             length);
}

bool windows_make(window_list *out, const char *convention, size_t tokens, size_t length,
                  size_t stride, size_t most, const char *text, fail *why)
{
  bool overlapping = is(convention, hugging_face);
  size_t first = is(convention, llama_cpp) ? length / 2 + 1 : 1, count;

  *out = (window_list){0};
  if (length < 2 || first >= length)
    return fail_set(why, FAIL_USAGE, NULL, "--ctx %zu: no token of a window would be scored",
                    length);
  if (overlapping && (stride == 0 || stride > length))
    return fail_set(why, FAIL_USAGE, NULL, "--stride %zu: 1 to --ctx, %zu, is possible", stride,
                    length);
  if (tokens < length && !(overlapping && tokens > 1))
    return fail_set(why, FAIL_DATA, text, "%zu tokens are less than one window of %zu", tokens,
                    length);
  count = overlapping ? tokens / stride + 1 : tokens / length;
  if (most == 0 || most > count)
    most = count;
  out->at = calloc(most, sizeof *out->at);
  if (!out->at)
    return fail_memory(why, text);
  if (overlapping)
    make_overlapping(out, tokens, length, stride, most);
  else
    make_disjoint(out, length, first, most);
  for (size_t i = 0; i < out->count; i++)
    out->scored += out->at[i].length - out->at[i].first;
  describe(out, convention, length, stride);
  return true;
}

void windows_free(window_list *l)
{
  free(l->at);
  *l = (window_list){0};
}

windows_mean windows_average(const window_list *l, const double *values, const double *minus,
                             size_t count)
{
  double total = 0, weight = 0, squares = 0;
  windows_mean result;

  for (size_t i = 0; i < count; i++) {
    total += l->at[i].weight * (values[i] - (minus ? minus[i] : 0));
    weight += l->at[i].weight;
  }
  result.mean = total / weight;
  for (size_t i = 0; i < count; i++) {
    double d = l->at[i].weight * (values[i] - (minus ? minus[i] : 0) - result.mean);

    squares += d * d;
  }
  /* Of equal weights this is the deviation of the sample over the root of its size. */
  result.error =
      count > 1 ? sqrt(squares * (double)count / (double)(count - 1)) / weight : (double)NAN;
  return result;
}
