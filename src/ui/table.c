/* table.c - see table.h. */
#include "table.h"

#include "../files/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { CELL_TEXT = 512 };

static void add_cell(table *t, const char *text)
{
  char shown[CELL_TEXT];
  if (t->columns == 0)
    return;
  utf8_printable(shown, sizeof shown, text);
  size_t column = t->cells % t->columns, columns = utf8_columns(shown);
  if (columns > t->width[column])
    t->width[column] = columns;
  buf_add(&t->text, shown, strlen(shown) + 1);
  t->cells++;
}

void table_column(table *t, const char *heading, table_side side)
{
  if (t->columns == TABLE_COLUMNS_MAX || t->cells != t->columns) {
    t->text.failed = true; /* a mistake in the program, seen by its first test */
    return;
  }
  t->side[t->columns++] = side;
  t->cells = t->columns - 1;
  add_cell(t, heading);
}

void table_cell(table *t, const char *format, ...)
{
  char text[CELL_TEXT];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  add_cell(t, text);
}

static void print_cell(const table *t, size_t column, const char *text, bool last, FILE *to)
{
  size_t columns = utf8_columns(text);
  int pad = (int)(t->width[column] > columns ? t->width[column] - columns : 0);
  if (column > 0)
    fputs("  ", to);
  if (t->side[column] == TABLE_RIGHT)
    fprintf(to, "%*s%s", pad, "", text);
  else
    fprintf(to, "%s%*s", text, last ? 0 : pad, "");
  if (last)
    fputc('\n', to);
}

bool table_print(const table *t, FILE *to, fail *why)
{
  const char *text = t->text.data;
  if (t->text.failed)
    return fail_memory(why, NULL);
  for (size_t i = 0; i < t->cells; i++, text += strlen(text) + 1) {
    size_t column = i % t->columns;
    if (i == t->columns)
      for (size_t c = 0; c < t->columns; c++) {
        for (size_t n = c > 0 ? 0 : 2; n < t->width[c] + 2; n++)
          fputc(n < 2 ? ' ' : '-', to);
        if (c + 1 == t->columns)
          fputc('\n', to);
      }
    print_cell(t, column, text, column + 1 == t->columns || i + 1 == t->cells, to);
  }
  errno = 0;
  if (fflush(to) != 0 || ferror(to))
    return fail_system(why, NULL, "write the table", errno != 0 ? errno : EIO);
  return true;
}

void table_free(table *t)
{
  buf_free(&t->text);
  *t = (table){0};
}
