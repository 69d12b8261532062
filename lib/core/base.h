/*
 * base.h - compiler attributes, checked arithmetic and the numbers every layer shares.
 *
 * Owns: what differs between compilers, and size arithmetic that cannot wrap.
 * Must not know: tensors, methods, threads.
 */
#ifndef LQI_BASE_H
#define LQI_BASE_H

#include <libquant.h>

#include <float.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* Results are promised to the bit: each operation has to be rounded to its own type. */
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "arithmetic wider than float: -msse2 -mfpmath=sse, or -fexcess-precision=fast, stops it"
#endif

/*
 * Products and sums are rounded one by one, but for an explicit fma. What a plain command does to a
 * * b + c differs: clang fuses it by default, gcc unless told to follow a standard.
 */
#if defined(__FAST_MATH__)
#error "libquant's results, NaN and infinity among them, need exact arithmetic: no -ffast-math"
#elif defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__) && !defined(__STRICT_ANSI__)
#pragma GCC optimize("fp-contract=off")
#endif

/* LQ_WITHOUT_SIMD leaves the kernels in plain C. */
#if defined(LQ_WITHOUT_SIMD) || !(defined(__GNUC__) || defined(__clang__))
#define LQI_SIMD 0
#else
#define LQI_SIMD 1
#endif

#if LQI_SIMD && (defined(__x86_64__) || defined(__i386__))
#define LQI_X86 1
#else
#define LQI_X86 0
#endif

#if LQI_SIMD && defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)
#define LQI_NEON 1
#else
#define LQI_NEON 0
#endif

/* Whether the compiler lets one function use them; clang before 16 hides their names. */
#if LQI_NEON && (!defined(__clang__) || __clang_major__ >= 16)
#define LQI_DOTPROD 1
#else
#define LQI_DOTPROD 0
#endif

#if LQI_X86 && defined(__x86_64__)
#define LQI_AMX 1
#else
#define LQI_AMX 0
#endif

/*
 * Instruction sets travel with the function, not with the file, so that one plain compiler command
 * builds everything and no instruction of a higher level can leak into code that runs on a lower
 * one.
 */
#if LQI_X86
#define LQI_AVX2 __attribute__((target("avx2,fma,f16c")))
#define LQI_AVXVNNI __attribute__((target("avx2,fma,f16c,avxvnni")))
#define LQI_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#define LQI_AVX512VBMI \
  __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi," \
                        "avx512vnni")))
#elif LQI_DOTPROD
#define LQI_SDOT __attribute__((target("arch=armv8.2-a+dotprod")))
#define LQI_SMMLA __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#endif

#if defined(__GNUC__) || defined(__clang__)
#define LQI_LIKELY(x) __builtin_expect(!!(x), 1)
#define LQI_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LQI_INLINE static inline __attribute__((always_inline))
#define LQI_NOINLINE __attribute__((noinline)) /* so that callers' frames stay small */
#define LQI_PREFETCH(p) __builtin_prefetch(p)
#define LQI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define LQI_LIKELY(x) (x)
#define LQI_UNLIKELY(x) (x)
#define LQI_INLINE static inline
#define LQI_NOINLINE
#define LQI_PREFETCH(p) ((void)(p))
#define LQI_PRINTF(fmt, args)
#endif

/*
 * Public structs begin with their size, set by the caller. A caller of an older release has a
 * smaller one, of a newer release a bigger one, whose unknown tail must be zero: then it asks for
 * nothing that this library does not know.
 */
LQI_INLINE int lqi_known_struct(const void *p, uint32_t size, size_t known)
{
  if (size < known)
    return 0;
  for (size_t i = known; i < size; i++)
    if (((const unsigned char *)p)[i] != 0)
      return 0;
  return 1;
}

#define LQI_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Sum and product of sizes; 1 and *out untouched when the result does not fit. */
LQI_INLINE int lqi_add_overflows(uint64_t a, uint64_t b, uint64_t *out)
{
  if (a > UINT64_MAX - b)
    return 1;
  *out = a + b;
  return 0;
}

LQI_INLINE int lqi_mul_overflows(uint64_t a, uint64_t b, uint64_t *out)
{
  if (a != 0 && b > UINT64_MAX / a)
    return 1;
  *out = a * b;
  return 0;
}

/* Number of pieces of size b that cover a; b > 0. Cannot wrap, unlike (a + b - 1) / b. */
LQI_INLINE uint64_t lqi_ceil_div(uint64_t a, uint64_t b)
{
  return a / b + (a % b != 0);
}

LQI_INLINE uint64_t lqi_min_u64(uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

#endif
