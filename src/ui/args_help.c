/* args_help.c - the text of --help, from the same table that parses. */
#include "args.h"

#include <string.h>

enum { LINE = 88, LEFT_MAX = 30, LEFT_TEXT = 160 };

/* "  -o, --output OUT" */
static size_t left_side(const args_option *o, char out[LEFT_TEXT])
{
  char value[96] = "";
  if (o->value != NULL)
    snprintf(value, sizeof value, " %s", o->value);
  else if (o->type == ARGS_CHOICE)
    for (size_t i = 0; o->choices[i] != NULL; i++) {
      size_t used = strlen(value);
      snprintf(value + used, sizeof value - used, "%c%s", i > 0 ? '|' : ' ', o->choices[i]);
    }
  if (o->letter != 0)
    snprintf(out, LEFT_TEXT, "  -%c, --%s%s", o->letter, o->name, value);
  else
    snprintf(out, LEFT_TEXT, "      --%s%s", o->name, value);
  return strlen(out);
}

/* Words of `text` from column `indent` on; the cursor is there already. */
static void wrapped(const char *text, int indent, FILE *to)
{
  int column = indent;
  while (*text != 0) {
    int n = (int)strcspn(text, " ");
    if (column > indent && column + 1 + n > LINE) {
      fprintf(to, "\n%*s", indent, "");
      column = indent;
    } else if (column > indent) {
      fputc(' ', to);
      column++;
    }
    fprintf(to, "%.*s", n, text);
    column += n;
    text += n;
    text += strspn(text, " ");
  }
  fputc('\n', to);
}

static void row(const args_option *o, int indent, FILE *to)
{
  char left[LEFT_TEXT], help[512];
  int n = (int)left_side(o, left);
  if (o->initial != NULL)
    snprintf(help, sizeof help, "%s [%s]", o->help, o->initial);
  else
    snprintf(help, sizeof help, "%s", o->help);
  fputs(left, to);
  if (n + 2 > indent)
    fprintf(to, "\n%*s", indent, "");
  else
    fprintf(to, "%*s", indent - n, "");
  wrapped(help, indent, to);
}

void args_help(const args_verb *verb, FILE *to)
{
  static const args_option help = {
      .name = "help", .letter = 'h', .type = ARGS_FLAG, .help = "show this text"};
  char left[LEFT_TEXT];
  int indent = 0;
  for (size_t i = 0; i < verb->count; i++) {
    const args_option *o = &verb->options[i];
    int n = o->type != ARGS_GROUP ? (int)left_side(o, left) + 2 : 0;
    if (n > indent && n <= LEFT_MAX + 2)
      indent = n;
  }
  indent = indent > 16 ? indent : 16;
  fprintf(to, "usage: quant %s%s%s\n\n%s\n\noptions:\n", verb->name, verb->name[0] != 0 ? " " : "",
          verb->usage, verb->summary);
  for (size_t i = 0; i < verb->count; i++)
    if (verb->options[i].type == ARGS_GROUP)
      fprintf(to, "\n%s:\n", verb->options[i].help);
    else
      row(&verb->options[i], indent, to);
  row(&help, indent, to);
}
