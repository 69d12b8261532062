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

/* In the order of their ids. X(name): its vtable is lqi_method_<name>, in <name>.c. */
#define LQI_METHODS(X) \
  X(none) \
  X(nf4) \
  X(fp4) \
  X(int8) \
  X(dynamic8) \
  X(affine) \
  X(gptq) \
  X(ggml)

#define LQI_DECLARE_METHOD(name) extern const struct lqi_method lqi_method_##name;
LQI_METHODS(LQI_DECLARE_METHOD)
#undef LQI_DECLARE_METHOD

#endif
