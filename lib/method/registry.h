/*
 * registry.h - the list of methods: one row each.
 *
 * Owns: which methods this build has. Everything that lists methods is made of this list: the table
 * in registry.c, the choices of the key "method", lq_build_info.
 * Must not know: what any of them does.
 */
#ifndef LQI_REGISTRY_H
#define LQI_REGISTRY_H

#include "method.h"

/* In the order of their ids. X(name, has): its vtable is lqi_method_<name>, in <name>.c; has: 1, or
 * what core/parts.h says of a method that a build may leave out. */
#define LQI_METHODS(X) \
  X(none, 1) \
  X(nf4, LQI_HAS_NF4) \
  X(fp4, LQI_HAS_FP4) \
  X(int8, LQI_HAS_INT8) \
  X(dynamic8, LQI_HAS_DYNAMIC8) \
  X(affine, LQI_HAS_AFFINE) \
  X(gptq, LQI_HAS_GPTQ) \
  X(ggml, LQI_HAS_GGML)

#define LQI_DECLARE_METHOD(name, has) extern const struct lqi_method lqi_method_##name;
LQI_METHODS(LQI_DECLARE_METHOD)
#undef LQI_DECLARE_METHOD

#endif
