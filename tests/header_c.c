/*
 * header_c.c - include/libquant.h alone, twice, in C. Compiled by tests/headers.sh, never run.
 */
#include <libquant.h>
#include <libquant.h>

#if LQ_VERSION_NUMBER != LQ_VERSION_MAJOR * 10000 + LQ_VERSION_MINOR * 100 + LQ_VERSION_PATCH
#error "the version number is major * 10000 + minor * 100 + patch"
#endif

int main(void)
{
  lq_status status = LQ_OK;
  const char *text = lq_version_string();
  return status != LQ_OK || text == NULL || lq_version_number() != LQ_VERSION_NUMBER;
}
