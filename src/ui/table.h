/*
 * table.h - aligned text tables on standard output.
 *
 * Owns: cell texts until printed. Must not know: what they mean. Start from zeros. A failed
 * allocation sticks and is reported by table_print. Cells are copied; control characters are
 * escaped. One thread.
 *
 *     table t = {0};
 *     table_column(&t, "tensor", TABLE_LEFT); table_column(&t, "bytes", TABLE_RIGHT);
 *     table_cell(&t, "%s", name); table_cell(&t, "%s", units_bytes(text, n));   ... row after row
 *     if (!table_print(&t, stdout, why)) ...
 *     table_free(&t);
 */
#ifndef QUANT_UI_TABLE_H
#define QUANT_UI_TABLE_H

#include "../files/buf.h"
#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef enum table_side { TABLE_LEFT, TABLE_RIGHT } table_side;

enum { TABLE_COLUMNS_MAX = 16 };

typedef struct table {
  size_t columns;
  size_t cells; /* headings included */
  size_t width[TABLE_COLUMNS_MAX];
  table_side side[TABLE_COLUMNS_MAX];
  buf text; /* cells one after another, each with its NUL */
} table;

void table_column(table *t, const char *heading, table_side side); /* all before the first cell */
void table_cell(table *t, const char *format, ...) FAIL_PRINTF(2, 3);

/* Heading, a line of dashes, rows; two spaces between columns, none at the end of a line. A last
 * row that is not full is printed as far as it goes. Also checks that `to` took it all: a full disk
 * under standard output is an error. */
bool table_print(const table *t, FILE *to, fail *why);
void table_free(table *t);

#endif
