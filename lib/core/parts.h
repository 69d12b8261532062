/*
 * parts.h - which methods a build has, and with them which kernels.
 *
 * Owns: LQ_WITHOUT_* as numbers, 1 for what is there. They stand in three places: the list of
 * methods (method/registry.h), the tables of kernels and of layouts. Whatever nothing refers to
 * then is left to the compiler and the linker; where a part is reached by data, as the planes of a
 * tensor, a condition that is constant tells them.
 * Must not know: what a method is.
 */
#ifndef LQI_PARTS_H
#define LQI_PARTS_H

#ifndef LQ_WITHOUT_NF4
#define LQI_HAS_NF4 1
#else
#define LQI_HAS_NF4 0
#endif

#ifndef LQ_WITHOUT_FP4
#define LQI_HAS_FP4 1
#else
#define LQI_HAS_FP4 0
#endif

#ifndef LQ_WITHOUT_INT8
#define LQI_HAS_INT8 1
#else
#define LQI_HAS_INT8 0
#endif

#ifndef LQ_WITHOUT_DYNAMIC8
#define LQI_HAS_DYNAMIC8 1
#else
#define LQI_HAS_DYNAMIC8 0
#endif

#ifndef LQ_WITHOUT_AFFINE
#define LQI_HAS_AFFINE 1
#else
#define LQI_HAS_AFFINE 0
#endif

#ifndef LQ_WITHOUT_GPTQ
#define LQI_HAS_GPTQ 1
#else
#define LQI_HAS_GPTQ 0
#endif

#ifndef LQ_WITHOUT_GGML
#define LQI_HAS_GGML 1
#else
#define LQI_HAS_GGML 0
#endif

/* Codes of 4 bits with a book. */
#if LQI_HAS_NF4 || LQI_HAS_FP4
#define LQI_HAS_BOOK4 1
#else
#define LQI_HAS_BOOK4 0
#endif

/* Codes of 8 bits with a book; nested scales are coded so, whatever the method. */
#if LQI_HAS_BOOK4 || LQI_HAS_DYNAMIC8 || LQI_HAS_AFFINE
#define LQI_HAS_BOOK8 1
#else
#define LQI_HAS_BOOK8 0
#endif

/* LQI_IF(LQI_HAS_NF4, text): the text, if the build has the part. */
#define LQI_IF(has, ...) LQI_IF_NUMBER(has, __VA_ARGS__)
#define LQI_IF_NUMBER(has, ...) LQI_IF_##has(__VA_ARGS__)
#define LQI_IF_1(...) __VA_ARGS__
#define LQI_IF_0(...)

#endif
