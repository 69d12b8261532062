/* common.c - see common.h. */
#include "common.h"

#include "../files/system.h"
#include "../files/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char standard_output[] = "standard output";

bool common_parse(const args_verb *verb, int argc, char **argv, void *fields, args_result *out,
                  bool *done, fail *why)
{
  *done = false;
  if (!args_parse(verb, argc, argv, fields, out, why))
    return false;
  if (out->help) {
    args_help(verb, stdout);
    args_free(out);
    *done = true;
    return common_flush(why);
  }
  return true;
}

bool common_cpu(const common *c, fail *why)
{
  lq_status s = LQ_OK;

  if (c->cpu && strcmp(c->cpu, "amx") == 0)
    s = lq_cpu_request(c->cpu);
  if (c->cpu && s == LQ_OK)
    s = lq_cpu_limit(c->cpu);
  if (s == LQ_E_ARGUMENT)
    return fail_set(why, FAIL_USAGE, NULL, "--cpu %s: there is no such level", c->cpu);
  if (s != LQ_OK)
    return fail_set(why, FAIL_UNSUPPORTED, NULL, "--cpu %s: this machine has only %s", c->cpu,
                    lq_cpu_features());
  return true;
}

bool common_config(const common *c, pool *memory, lq_config **out, fail *why)
{
  lq_alloc alloc;

  if (memory)
    alloc = pool_alloc(memory);
  if (lq_config_create(memory ? &alloc : NULL, out) != LQ_OK)
    return fail_memory(why, NULL);
  if (lq_config_set_i64(*out, LQ_KEY_THREADS, c->threads) != LQ_OK) {
    fail_set(why, FAIL_USAGE, NULL, "--threads: %s", lq_config_error_text(*out));
    lq_config_destroy(*out);
    *out = NULL;
    return false;
  }
  return true;
}

bool common_is_file(const char *path)
{
  sys_info info;

  return sys_look(&info, SYS_CWD, path, true) && info.is_file;
}

void common_say(buf *to, const char *format, ...)
{
  enum { LINE = 2048 };
  char raw[LINE], text[LINE + 2];
  va_list list;
  size_t begin, end;

  va_start(list, format);
  vsnprintf(raw, sizeof raw, format, list);
  va_end(list);
  begin = strspn(raw, "\n");
  for (end = strlen(raw); end > begin && raw[end - 1] == '\n';)
    end--;
  raw[end] = 0;
  memset(text, '\n', begin);
  utf8_printable(text + begin, LINE - begin, raw + begin);
  if (format[strlen(format) - 1] == '\n')
    strcat(text, "\n");
  if (to)
    buf_text(to, text);
  else
    fputs(text, stdout);
}

bool common_flush(fail *why)
{
  errno = 0;
  if (fflush(stdout) != 0 || ferror(stdout))
    return fail_system(why, standard_output, "write", errno ? errno : EIO);
  return true;
}

bool common_print(const buf *text, fail *why)
{
  if (text->failed)
    return fail_memory(why, standard_output);
  errno = 0;
  if (text->length != 0 && fwrite(text->data, 1, text->length, stdout) != text->length)
    return fail_system(why, standard_output, "write", errno ? errno : EIO);
  return common_flush(why);
}
