/* export_layers.c - see export.h: the option --w8a8. */
#include "export.h"

#include "../files/pattern.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The number at *text and the comma behind it; the last one has the end. */
static bool take_number(const char **text, double *out)
{
  char *end;

  *out = strtod(*text, &end);
  if (end == *text || (*end != ',' && *end != 0))
    return false;
  *text = *end ? end + 1 : end;
  return true;
}

static bool is_int8(double v)
{
  return v >= -128 && v <= 127 && v == floor(v);
}

/* "SX,ZX,SY,ZY[,LEAST,MOST]" */
static bool read_layer(const char *text, export_layer *out)
{
  double v[6] = {0, 0, 0, 0, -128, 127};
  size_t n = 0;

  while (*text && n < 6)
    if (!take_number(&text, &v[n++]))
      return false;
  if (*text || (n != 4 && n != 6) || !is_int8(v[1]) || !is_int8(v[3]) || !is_int8(v[4]) ||
      !is_int8(v[5]) || v[4] > v[5])
    return false;
  *out = (export_layer){.x_scale = (float)v[0],
                        .x_zero = (int32_t)v[1],
                        .y_scale = (float)v[2],
                        .y_zero = (int32_t)v[3],
                        .y_least = (int32_t)v[4],
                        .y_most = (int32_t)v[5]};
  return out->x_scale > 0 && out->y_scale > 0 && isfinite(out->x_scale) && isfinite(out->y_scale);
}

static bool give(const weight_list *l, const char *text, const char *name,
                 const export_layer *layer, export_target *targets, fail *why)
{
  size_t found = 0;

  for (size_t i = 0; i < l->count; i++) {
    if (!targets[i].chosen || !l->at[i].layout || !pattern_matches(name, l->at[i].name))
      continue;
    if (targets[i].fixed)
      return fail_set(why, FAIL_USAGE, NULL, "--w8a8 names %s twice", l->at[i].name);
    targets[i].fixed = true;
    targets[i].layer = *layer;
    found++;
  }
  if (found == 1)
    return true;
  return fail_set(why, found ? FAIL_USAGE : FAIL_NOTFOUND, model_path(l->model),
                  found ? "--w8a8 '%s' names more than one weight"
                        : "no quantized weight that is exported matches --w8a8 '%s'",
                  text);
}

bool export_read_layers(const weight_list *l, const args_list *texts, export_target *targets,
                        fail *why)
{
  for (size_t i = 0; i < texts->count; i++) {
    const char *text = texts->items[i], *equals = strrchr(text, '=');
    char name[PATTERN_MAX + 1];
    export_layer layer;

    if (!equals || equals == text || equals - text > PATTERN_MAX || !read_layer(equals + 1, &layer))
      return fail_set(why, FAIL_USAGE, NULL,
                      "--w8a8 '%s' is not NAME=SX,ZX,SY,ZY[,LEAST,MOST], with scales above 0 and "
                      "integers of -128 to 127",
                      text);
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = 0;
    if (!pattern_check(name, why) || !give(l, text, name, &layer, targets, why))
      return false;
  }
  return true;
}
