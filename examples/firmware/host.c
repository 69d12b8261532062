/* host.c - the example on a machine with a C library. */
#include "board.h"

#include <stdio.h>

void board_print(const char *text)
{
  fputs(text, stdout);
}
