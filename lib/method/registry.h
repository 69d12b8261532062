/*
 * registry.h - declares each method's vtable for registry.c.
 *
 * Owns: the names of the vtables.
 * Must not know: what any of them does.
 */
#ifndef LQI_REGISTRY_H
#define LQI_REGISTRY_H

#include "method.h"

extern const struct lqi_method lqi_method_none, lqi_method_nf4, lqi_method_fp4, lqi_method_int8, lqi_method_dynamic8;

#endif
