/*
 * info.c - version and status texts.
 *
 * Owns: what can be said without a handle.
 * Must not know: methods (lq_build_info is in api/info.c, which may ask for them).
 */
#include "base.h"

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

LQ_API int32_t lq_version_number(void)
{
  return LQ_VERSION_NUMBER;
}

LQ_API const char *lq_version_string(void)
{
  return VERSION_TEXT(LQ_VERSION_MAJOR, LQ_VERSION_MINOR, LQ_VERSION_PATCH);
}

LQ_API const char *lq_status_string(lq_status status)
{
  switch (status) {
  case LQ_OK: return "success";
  case LQ_E_ARGUMENT: return "invalid argument";
  case LQ_E_SHAPE: return "shapes or buffer sizes do not fit";
  case LQ_E_OVERFLOW: return "a size is too large for this machine";
  case LQ_E_MEMORY: return "out of memory";
  case LQ_E_NONFINITE: return "a value is NaN or infinite";
  case LQ_E_SINGULAR: return "a Hessian cannot be factored";
  case LQ_E_LAYOUT: return "planes are missing or contradict each other";
  case LQ_E_UNSUPPORTED: return "not supported";
  case LQ_E_STATE: return "the handle is in the wrong state";
  case LQ_E_VERSION: return "unknown version of a struct or format";
  case LQ_E_INTERNAL: return "internal error";
  default: return "unknown status";
  }
}
