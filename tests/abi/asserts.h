/*
 * asserts.h - a header held against what was released: no number differs, no field moved, every
 * function is there with the parameters it had. New fields at the end of a struct, new constants
 * and functions pass.
 *
 * Owns: the meaning of the macros in declared.def, for pointers of 4 and 8 bytes. Compiling it is
 * the test; tests/abi.sh does so for many targets, tests/test_abi.c for the one it runs on.
 */
#include <libquant.h>

#define LQ_PICK(at64, at32) (sizeof(void *) == 8 ? (at64) : (at32))

#define CONSTANT(name, value) _Static_assert(name == (value), #name " was " #value);
#define STRUCT(type, size64, size32) \
  _Static_assert(sizeof(type) >= LQ_PICK(size64, size32), #type " is smaller than it was");
/*
 * A field has the type it had if a pointer to it can be compared with one to such a field; where it
 * cannot, compilers warn.
 */
#define FIELD(type, name, at64, size64, at32, size32, ...) \
  _Static_assert(offsetof(type, name) == LQ_PICK(at64, at32), #type "." #name " has moved"); \
  _Static_assert(sizeof(((type *)0)->name) == LQ_PICK(size64, size32), \
                 #type "." #name " has another size"); \
  struct type##_##name { \
    __VA_ARGS__; \
  }; \
  _Static_assert(sizeof(&((type *)0)->name == &((struct type##_##name *)0)->name) != 0, "");

/* Declared again as they were, which the compiler takes if nothing changed. */
#define TYPEDEF(...) __VA_ARGS__;
#define FUNCTION(name, ...) \
  _Static_assert(sizeof(&name) != 0, #name " is gone"); \
  __VA_ARGS__;

#include "declared.def"

#undef CONSTANT
#undef STRUCT
#undef FIELD
#undef TYPEDEF
#undef FUNCTION
