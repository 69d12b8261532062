/*
 * info.c - what can be asked about methods and the build.
 *
 * Owns: lq_method_*, lq_build_info.
 * Must not know: handles.
 */
#include "../method/ggml.h"
#include "../method/registry.h"

LQ_API uint32_t lq_method_count(void)
{
  return lqi_method_count();
}

LQ_API const char *lq_method_name(int32_t method)
{
  const struct lqi_method *m = lqi_method_by_id(method);
  return m != NULL ? m->name : NULL;
}

LQ_API int32_t lq_method_from_name(const char *name)
{
  const struct lqi_method *m = name != NULL ? lqi_method_by_name(name) : NULL;
  return m != NULL ? m->id : 0;
}

LQ_API lq_status lq_method_info_at(uint32_t index, lq_method_info *out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  if (!lqi_known_struct(out, out->size, sizeof *out))
    return LQ_E_VERSION;
  const struct lqi_method *m = lqi_method_at(index);
  if (m == NULL)
    return LQ_E_ARGUMENT;
  *out = (lq_method_info){
      .size = out->size,
      .id = m->id,
      .flags = m->flags,
      .code_bits = m->code_bits,
      .default_block_size = m->default_block_size,
      .name = m->name,
      .text = m->text,
  };
  return LQ_OK;
}

LQ_API lq_status lq_ggml_type_info(int32_t type, lq_ggml_type *out)
{
  if (out == NULL)
    return LQ_E_ARGUMENT;
  if (!lqi_known_struct(out, out->size, sizeof *out))
    return LQ_E_VERSION;
  const struct lqi_ggml_type *t = lqi_ggml_type(type);
  if (t == NULL)
    return LQ_E_ARGUMENT;
  *out = (lq_ggml_type){
      .size = out->size,
      .type = t->id,
      .elements = t->elements,
      .bytes = t->bytes,
      .dtype = t->dtype,
      .decodes = t->decode != NULL || lqi_is_float(t->dtype),
      .name = t->name,
  };
  return LQ_OK;
}

#ifdef _OPENMP
#define THREADING "OpenMP"
#else
#define THREADING "none (a caller's pool can be given)"
#endif

#if LQI_X86
#define KERNELS "scalar avx2 avx512 avx512vbmi"
#elif LQI_NEON
#define KERNELS "scalar neon"
#else
#define KERNELS "scalar"
#endif

#define WORD(name, has) LQI_IF(has, " " #name)
#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

LQ_API const char *lq_build_info(void)
{
  return "libquant " VERSION_TEXT(LQ_VERSION_MAJOR, LQ_VERSION_MINOR,
                                  LQ_VERSION_PATCH) "\n"
                                                    "methods:" LQI_METHODS(
                                                        WORD) "\n"
                                                              "kernels: " KERNELS "\n"
                                                              "threads: " THREADING "\n";
}
