/*
 * registry.c - finding a method by place, id or name.
 *
 * Owns: the table made of the list in registry.h.
 * Must not know: what any of them does.
 */
#include "registry.h"

#include <string.h>

#define ADDRESS_OF(name, has) LQI_IF(has, &lqi_method_##name, )

static const struct lqi_method *const methods[] = {LQI_METHODS(ADDRESS_OF)};

uint32_t lqi_method_count(void)
{
  return (uint32_t)LQI_COUNT(methods);
}

const struct lqi_method *lqi_method_at(uint32_t index)
{
  return index < LQI_COUNT(methods) ? methods[index] : NULL;
}

const struct lqi_method *lqi_method_by_id(int32_t id)
{
  for (size_t i = 0; i < LQI_COUNT(methods); i++)
    if (methods[i]->id == id)
      return methods[i];
  return NULL;
}

const struct lqi_method *lqi_method_by_name(const char *name)
{
  for (size_t i = 0; i < LQI_COUNT(methods); i++)
    if (strcmp(methods[i]->name, name) == 0)
      return methods[i];
  return NULL;
}
