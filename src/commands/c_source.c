/* c_source.c - see c_source.h. */
#include "c_source.h"

#include <stdio.h>
#include <string.h>

enum { LINE = 98 };

static bool is_letter(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

bool c_is_name(const char *text)
{
  static const char *const keywords[] = {
      "auto",     "break",   "case",   "char",     "const",  "continue", "default",
      "do",       "double",  "else",   "enum",     "extern", "float",    "for",
      "goto",     "if",      "inline", "int",      "long",   "main",     "register",
      "restrict", "return",  "short",  "signed",   "sizeof", "static",   "struct",
      "switch",   "typedef", "union",  "unsigned", "void",   "volatile", "while"};

  if (!is_letter(text[0]) || strlen(text) > C_NAME_MAX)
    return false;
  for (const char *c = text; *c; c++)
    if (!is_letter(*c) && !is_digit(*c))
      return false;
  for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
    if (strcmp(text, keywords[i]) == 0)
      return false;
  return true;
}

bool c_name(const char *prefix, const char *tensor, char out[C_NAME_MAX + 1], fail *why)
{
  static const char end[] = ".weight";
  size_t n = strlen(prefix), length = strlen(tensor), less = sizeof end - 1;

  if (length > less && strcmp(tensor + length - less, end) == 0)
    length -= less;
  if (n + 1 + length > C_NAME_MAX)
    return fail_set(why, FAIL_LIMIT, NULL,
                    "%s: %zu characters are too many for a name in C; the "
                    "limit is %d with the prefix",
                    tensor, length, C_NAME_MAX);
  memcpy(out, prefix, n);
  out[n++] = '_';
  for (size_t i = 0; i < length; i++)
    out[n++] = is_letter(tensor[i]) || is_digit(tensor[i]) ? tensor[i] : '_';
  out[n] = 0;
  return true;
}

size_t c_type_bytes(c_type type)
{
  static const size_t bytes[] = {1, 1, 2, 2, 4, 4};

  return bytes[type];
}

const char *c_type_name(c_type type)
{
  static const char *const names[] = {"int8_t",   "uint8_t", "int16_t",
                                      "uint16_t", "int32_t", "float"};

  return names[type];
}

enum { NUMBER = 32 };

/* Mantissa and exponent as they are stored: no function of the C library has a say in the digits.
 */
static int float_text(char out[NUMBER], float x)
{
  uint32_t u, exponent, fraction;
  const char *sign;

  memcpy(&u, &x, sizeof u);
  exponent = u >> 23 & 0xff;
  fraction = (u & 0x7fffff) << 1;
  sign = u >> 31 ? "-" : "";
  if (exponent == 0 && fraction == 0)
    return snprintf(out, NUMBER, "%s0.0f", sign);
  if (exponent == 0)
    return snprintf(out, NUMBER, "%s0x0.%06xp-126f", sign, (unsigned)fraction);
  if (fraction == 0)
    return snprintf(out, NUMBER, "%s0x1p%df", sign, (int)exponent - 127);
  return snprintf(out, NUMBER, "%s0x1.%06xp%df", sign, (unsigned)fraction, (int)exponent - 127);
}

static int number_text(char out[NUMBER], c_type type, const char *at)
{
  union {
    int8_t i8;
    uint8_t u8;
    int16_t i16;
    uint16_t u16;
    int32_t i32;
    float f32;
  } v;

  memcpy(&v, at, c_type_bytes(type));
  switch (type) {
  case C_I8: return snprintf(out, NUMBER, "%d", v.i8);
  case C_U8: return snprintf(out, NUMBER, "%u", v.u8);
  case C_I16: return snprintf(out, NUMBER, "%d", v.i16);
  case C_U16: return snprintf(out, NUMBER, "%u", v.u16);
  case C_F32: return float_text(out, v.f32);
  case C_I32: break;
  }
  /* The least has no constant of its type: 2147483648 is a long. */
  if (v.i32 == INT32_MIN)
    return snprintf(out, NUMBER, "-2147483647 - 1");
  return snprintf(out, NUMBER, "%ld", (long)v.i32);
}

void c_float(buf *to, float x)
{
  char text[NUMBER];

  buf_add(to, text, (size_t)float_text(text, x));
}

void c_array(buf *to, const char *linkage, c_type type, const char *name, const char *suffix,
             const void *data, size_t count)
{
  const char *at = data;
  size_t column = LINE;

  if (count == 0)
    return;
  buf_printf(to, "%s %s %s%s[%zu] = {", linkage, c_type_name(type), name, suffix, count);
  for (size_t i = 0; i < count; i++, at += c_type_bytes(type)) {
    char text[NUMBER];
    size_t n = (size_t)number_text(text, type, at);

    if (column + n + 2 > LINE) {
      buf_text(to, "\n   ");
      column = 3;
    }
    buf_byte(to, ' ');
    buf_add(to, text, n);
    buf_byte(to, ',');
    column += n + 2;
  }
  buf_text(to, "\n};\n");
}

void c_comment_text(buf *to, const char *text)
{
  for (const char *c = text; *c; c++) {
    buf_byte(to, *c < ' ' || *c > '~' ? '?' : *c);
    if (*c == '*' && c[1] == '/')
      buf_byte(to, ' ');
  }
}
