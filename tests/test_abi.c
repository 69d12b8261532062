/*
 * test_abi.c - proves that the header declares what tests/abi/declared.def says it did, on the
 * machine that this runs on; that public structs have no holes on any; and that what a binding
 * needs to know about the constants can be had from functions.
 */
#include "abi/asserts.h"

#include "helpers.h"

struct layout {
  const char *type, *field; /* field NULL: the struct as a whole */
  uint32_t at[2], size[2];  /* 64 bits, 32 bits */
};

struct constant {
  const char *name;
  int32_t value;
};

struct function {
  const char *name;
  void (*address)(void);
};

#define CONSTANT(name, value)
#define STRUCT(type, size64, size32) {#type, NULL, {0, 0}, {size64, size32}},
#define FIELD(type, name, at64, size64, at32, size32, ...) \
  {#type, #name, {at64, at32}, {size64, size32}},
#define TYPEDEF(...)
#define FUNCTION(name, ...)
static const struct layout layouts[] = {
#include "abi/declared.def"
};

#undef CONSTANT
#undef STRUCT
#undef FIELD
#define CONSTANT(name, value) {#name, value},
#define STRUCT(type, size64, size32)
#define FIELD(type, name, at64, size64, at32, size32, ...)
static const struct constant constants[] = {
#include "abi/declared.def"
};

#undef CONSTANT
#undef FUNCTION
#define CONSTANT(name, value)
#define FUNCTION(name, ...) {#name, (void (*)(void))name},
static const struct function functions[] = {
#include "abi/declared.def"
};

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

/*
 * Each field begins where the one before it ends, those of 8 bytes at multiples of 8, and the whole
 * is one too: then compilers that align uint64_t to 4 and to 8 bytes agree, and a field appended
 * later always makes the struct larger, which is how the library tells callers apart.
 */
static void test_no_holes(void)
{
  for (int bits = 0; bits < 2; bits++) {
    const struct layout *whole = NULL;
    uint32_t end = 0, widest = 0;
    for (int i = 0; i <= COUNT(layouts); i++) {
      const struct layout *l = &layouts[i];
      if (i == COUNT(layouts) || !l->field) {
        if (whole)
          CHECK(end == whole->size[bits] && (widest < 8 || end % 8 == 0),
                "%s: fields end at %u, the struct at %u", whole->type, end, whole->size[bits]);
        whole = l;
        end = widest = 0;
        continue;
      }
      test_in("%d bits, %s.%s", bits ? 32 : 64, l->type, l->field);
      CHECK(l->at[bits] == end, "at %u, the one before ends at %u", l->at[bits], end);
      CHECK(l->size[bits] % 8 != 0 || l->at[bits] % 8 == 0, "not aligned to 8 bytes");
      end = l->at[bits] + l->size[bits];
      widest = l->size[bits] > widest ? l->size[bits] : widest;
    }
    test_in("%s", "");
  }
}

static int starts(const char *text, const char *with)
{
  return strncmp(text, with, strlen(with)) == 0;
}

static int is_key(int32_t number)
{
  lq_key_info k = {.size = sizeof k};
  for (uint32_t i = 0; lq_config_key_info(i, &k) == LQ_OK; i++)
    if (k.key == number)
      return 1;
  return 0;
}

/* Codes and keys are found by the functions that describe them, and lie in their families. */
static void test_constants(void)
{
  for (int i = 0; i < COUNT(constants); i++) {
    const struct constant *c = &constants[i];
    test_in("%s", c->name);
    if (starts(c->name, "LQ_E_")) {
      CHECK(strcmp(lq_status_string(c->value), "unknown status") != 0, "has no text");
      CHECK(c->value <= -10 && c->value > -100, "%d is in no family", c->value);
    }
    /* A block type is told of tensors, and cannot be set. */
    if (starts(c->name, "LQ_KEY_") && c->value != LQ_KEY_BLOCK_TYPE)
      CHECK(is_key(c->value) && c->value >= 100 && c->value < 1000, "%d is not known", c->value);
    /* Within a family a number means one thing. */
    const char *family_end = strchr(c->name + 3, '_');
    size_t family = family_end ? (size_t)(family_end - c->name) + 1 : 0;
    for (int k = 0; family && k < i; k++)
      CHECK(strncmp(c->name, constants[k].name, family) != 0 || c->value != constants[k].value,
            "%d is also %s", c->value, constants[k].name);
  }
}

static void test_functions(void)
{
  for (int i = 0; i < COUNT(functions); i++) {
    test_in("%s", functions[i].name);
    CHECK(functions[i].address != NULL, "no address");
    CHECK(starts(functions[i].name, "lq_"), "prefix");
  }
}

int main(void)
{
  test_no_holes();
  test_constants();
  test_functions();
  printf("%d constants, %d structs and fields, %d functions\n", COUNT(constants), COUNT(layouts),
         COUNT(functions));
  return test_end();
}
