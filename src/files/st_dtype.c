/* st_dtype.c - element types and the size of a tensor. Must not know: files. */
#include "safetensors.h"

#include <string.h>

typedef struct dtype_row {
  const char *name;
  unsigned bits;
} dtype_row;

static const dtype_row rows[ST_DTYPES] = {
    [ST_BOOL] = {"BOOL", 8},
    [ST_F4] = {"F4", 4},
    [ST_F6_E2M3] = {"F6_E2M3", 6},
    [ST_F6_E3M2] = {"F6_E3M2", 6},
    [ST_U8] = {"U8", 8},
    [ST_I8] = {"I8", 8},
    [ST_F8_E5M2] = {"F8_E5M2", 8},
    [ST_F8_E4M3] = {"F8_E4M3", 8},
    [ST_F8_E8M0] = {"F8_E8M0", 8},
    [ST_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [ST_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [ST_I16] = {"I16", 16},
    [ST_U16] = {"U16", 16},
    [ST_F16] = {"F16", 16},
    [ST_BF16] = {"BF16", 16},
    [ST_I32] = {"I32", 32},
    [ST_U32] = {"U32", 32},
    [ST_F32] = {"F32", 32},
    [ST_C64] = {"C64", 64},
    [ST_F64] = {"F64", 64},
    [ST_I64] = {"I64", 64},
    [ST_U64] = {"U64", 64},
};

unsigned st_dtype_bits(st_dtype t)
{
  return rows[t].bits;
}

const char *st_dtype_name(st_dtype t)
{
  return rows[t].name;
}

void st_turn(st_dtype t, void *elements, size_t bytes)
{
  const uint16_t one = 1;
  uint8_t first, *at = elements;
  size_t size = t == ST_C64 ? 4 : rows[t].bits / 8; /* two floats */
  memcpy(&first, &one, 1);
  if (first == 1) /* GCOVR_EXCL_BR_LINE: a machine has one order; tests/cross.sh has the other */
    return;
  /* GCOVR_EXCL_START: as above */
  for (size_t n = bytes / size; n > 0; n--, at += size)
    for (size_t i = 0; i < size / 2; i++) {
      uint8_t low = at[i];
      at[i] = at[size - 1 - i];
      at[size - 1 - i] = low;
    }
  /* GCOVR_EXCL_STOP */
}

bool st_dtype_from_name(const char *name, st_dtype *out)
{
  for (unsigned i = 0; i < ST_DTYPES; i++)
    if (strcmp(rows[i].name, name) == 0) {
      *out = (st_dtype)i;
      return true;
    }
  return false;
}

bool st_measure(st_tensor *t, fail *why)
{
  uint64_t product = 1, bits = st_dtype_bits(t->dtype);
  bool empty = false;
  if (t->ndim > ST_DIMS_MAX)
    return fail_set(why, FAIL_LIMIT, NULL, "%u dimensions; the limit is %d", t->ndim, ST_DIMS_MAX);
  /* Zero dimensions stay out of the product: an overflow is found whichever place it has. */
  for (unsigned i = 0; i < t->ndim; i++) {
    uint64_t n = t->shape[i];
    if (n > INT64_MAX || (n > 0 && product > INT64_MAX / n))
      return fail_set(why, FAIL_OVERFLOW, NULL, "the number of elements does not fit 63 bits");
    empty = empty || n == 0;
    product *= n > 0 ? n : 1;
  }
  if (product / 8 > INT64_MAX / bits - 1)
    return fail_set(why, FAIL_OVERFLOW, NULL, "the number of bytes does not fit 63 bits");
  t->elements = empty ? 0 : product;
  if (t->elements % 8 * bits % 8 != 0)
    return fail_set(why, FAIL_FORMAT, NULL, "%llu elements of %s do not fill whole bytes",
                    (unsigned long long)t->elements, st_dtype_name(t->dtype));
  t->bytes = t->elements / 8 * bits + t->elements % 8 * bits / 8;
  return true;
}
