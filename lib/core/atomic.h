/*
 * atomic.h - C11 atomics, or plain variables where the compiler has none.
 *
 * Owns: LQI_ATOMICS. Where it is 0 tasks run one after another (par.c), and plain variables do.
 * Must not know: what is counted.
 */
#ifndef LQI_ATOMIC_H
#define LQI_ATOMIC_H

#include <stdint.h>

/* tcc has them from 0.9.28 on, and does not say so outside its C11 mode. */
#if defined(__STDC_NO_ATOMICS__) || (defined(__TINYC__) && __TINYC__ < 928)
#define LQI_ATOMICS 0
#else
#define LQI_ATOMICS 1
#endif

#if LQI_ATOMICS

#include <stdatomic.h>

#else

typedef int atomic_int;
typedef unsigned atomic_uint;
typedef uint_fast64_t atomic_uint_fast64_t;

#define atomic_init(p, value) (*(p) = (value))
#define atomic_load(p) (*(p))
#define atomic_load_explicit(p, order) (*(p))
#define atomic_store_explicit(p, value, order) (*(p) = (value))
#define atomic_fetch_add_explicit(p, value, order) (*(p) += (value))
#define atomic_fetch_or_explicit(p, value, order) (*(p) |= (value))
#define atomic_compare_exchange_weak_explicit(p, seen, value, order, failed) \
  (*(p) == *(seen) ? (*(p) = (value), 1) : (*(seen) = *(p), 0))

#endif
#endif
