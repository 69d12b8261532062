/*
 * board.h - what the example needs of the machine it runs on: a place for text.
 *
 * startup.c has it for a Cortex-M, host.c for anything with a C library.
 */
#ifndef BOARD_H
#define BOARD_H

void board_print(const char *text);

#endif
