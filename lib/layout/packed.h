/*
 * packed.h - planes that keep the codes of a column together, made from rows and back.
 *
 * Owns: the order of words, fields and nibbles in the planes of GPTQ and AWQ checkpoints.
 * Must not know: names of planes, which tensors a family can hold (gptq.c).
 *
 * Planes may lie at any address; integers in them have the byte order of this machine.
 */
#ifndef LQI_PACKED_H
#define LQI_PACKED_H

#include "layout.h"

/* Fields of zero points that are looked at together: whole words for every width. */
#define LQI_FIELDS 32

/* Element i of a plane of 32-bit integers. */
uint32_t lqi_word(const struct lqi_span *span, uint64_t i);

/*
 * qweight [cols * bits / 32, rows] is the transpose of the rows' words, since 32 codes fill `bits`
 * words of a little-endian stream.
 */
void lqi_words_from_rows(const struct lqi_store *store, const struct lqi_span *words);
void lqi_words_to_rows(const struct lqi_span *words, const struct lqi_store *store);

/*
 * qzeros [groups, rows * bits / 32]: the zero points of a group as a stream of fields. Fields first
 * .. first + LQI_FIELDS - 1 of a group, as they are stored, `first` a multiple of LQI_FIELDS;
 * returns how many there are. With `add`, that is added to each word before.
 */
size_t lqi_fields_of(const struct lqi_span *qzeros, uint64_t rows, uint32_t bits, uint64_t group,
                     uint64_t first, uint32_t add, uint8_t fields[LQI_FIELDS]);

/* qzeros := zero points less `less`. */
void lqi_fields_from_zeros(const struct lqi_store *store, uint32_t less,
                           const struct lqi_span *qzeros);

/* AWQ, 4 bits: qweight [cols, rows / 8] and qzeros [groups, rows / 8]; nibble i of word c belongs
 * to row 8c + (0, 2, 4, 6, 1, 3, 5, 7)[i]. */
void lqi_nibbles_from_rows(const struct lqi_store *store, const struct lqi_span *words);
void lqi_nibbles_to_rows(const struct lqi_span *words, const struct lqi_store *store);
void lqi_nibbles_of(const struct lqi_span *qzeros, uint64_t rows, uint64_t group, uint64_t word,
                    uint8_t zeros[8]);
void lqi_nibbles_from_zeros(const struct lqi_store *store, const struct lqi_span *qzeros);

/* scales [groups, rows] of `dtype` and those of the store, each exact in the other's dtype. */
void lqi_scales_from_rows(const struct lqi_store *store, int32_t dtype,
                          const struct lqi_span *scales);
void lqi_scales_to_rows(const struct lqi_span *scales, int32_t dtype,
                        const struct lqi_store *store);

#endif
