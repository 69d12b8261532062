/*
 * codebook.h - the code books of nf4, fp4 and the dynamic 8-bit code.
 *
 * Owns: each constant of a code, once.
 * Must not know: who uses it.
 */
#ifndef LQI_CODEBOOK_H
#define LQI_CODEBOOK_H

#include "../kern/kern.h"

extern const struct lqi_q4_book lqi_book_nf4, lqi_book_fp4;
extern const struct lqi_q8_book lqi_book_dynamic;

#endif
