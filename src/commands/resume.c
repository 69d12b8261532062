/* resume.c - see resume.h. */
#include "resume.h"

#include "../files/io.h"
#include "../files/json.h"

#include <libquant.h>

#include <stdio.h>
#include <stdlib.h>

bool resume_make(resume *r, const args_verb *verb, const void *fields, fail *why)
{
  /* None of these changes a byte of a shard or layer; calibration data are told by their samples */
  static const char *const without[] = {"output", "force",       "threads", "cpu",
                                        "json",   "quiet",       "resume",  "verify",
                                        "spill",  "calibration", NULL};
  buf text = {0};
  sha256 sum;

  if (r->verify && !r->resume)
    return fail_set(why, FAIL_USAGE, NULL, "--verify goes with --resume");
  args_text(verb, fields, without, &text);
  if (text.failed) {
    buf_free(&text);
    return fail_memory(why, NULL);
  }
  sha256_start(&sum);
  sha256_add(&sum, text.data, text.length);
  sha256_text(&sum, r->options);
  buf_free(&text);
  return true;
}

bool resume_check(const resume *r, const model *from, fail *why)
{
  return !r->resume || model_folder(from) >= 0 ||
         fail_set(why, FAIL_USAGE, NULL, "--resume needs a model folder, not a file");
}

static bool print_shards(json_printer *p, const model *m, fail *why)
{
  json_begin(p, "inputs", '[');
  for (size_t i = 0; i < model_shard_count(m); i++) {
    char time[64];
    st_stamp s;

    if (!st_stamp_of(model_shard(m, i), &s, why))
      return false;
    snprintf(time, sizeof time, "%lld.%09lld", (long long)s.seconds, (long long)s.nanoseconds);
    json_begin(p, NULL, '{');
    json_print_string(p, "name", model_shard_name(m, i));
    json_print_u64(p, "bytes", s.bytes);
    json_print_string(p, "changed", time);
    json_print_string(p, "header", s.header);
    json_end(p, '}');
  }
  json_end(p, ']');
  return true;
}

/* config.json decides types of tensors, too. */
static bool print_config(json_printer *p, const model *m, fail *why)
{
  char hash[SHA256_TEXT], *text = NULL;
  size_t length;
  sha256 sum;

  if (!model_config(m))
    return true;
  if (!io_read_all(&text, &length, model_folder(m), "config.json", true, JSON_BYTES_MAX,
                   json_file(model_config(m)), why))
    return false;
  sha256_start(&sum);
  sha256_add(&sum, text, length);
  sha256_text(&sum, hash);
  free(text);
  json_print_string(p, "config", hash);
  return true;
}

bool resume_open(job_store **out, const resume *r, const model *from, const char *target,
                 bool force, uint64_t samples, fail *why)
{
  const job_wish wish = {
      .target = target, .force = force, .resume = r->resume, .verify = r->verify};
  buf header = {0};
  json_printer p = {.to = &header};
  bool ok;

  *out = NULL;
  json_begin(&p, NULL, '{');
  json_print_u64(&p, "job", 1);
  json_print_string(&p, "version", lq_version_string());
  json_print_string(&p, "options", r->options);
  if (samples)
    json_print_u64(&p, "samples", samples);
  ok = print_config(&p, from, why) && print_shards(&p, from, why);
  json_end(&p, '}');
  ok = ok && job_open(out, &wish, &header, why);
  buf_free(&header);
  return ok;
}
