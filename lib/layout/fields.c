/*
 * fields.c - the flat JSON objects that describe a tensor: quant_state of bitsandbytes, meta of our
 * own layout.
 *
 * Owns: a scanner for one object of strings, numbers and one array. It does not recurse: members it
 * does not know are skipped by counting brackets.
 * Must not know: what the fields mean together.
 */
#include "layout.h"

#include "../core/decimal.h"

#include <math.h>
#include <string.h>

struct scanner {
  const char *s;
  uint64_t n, at;
  struct lqi_fields *out;
};

/* By lqi_float_index(). */
static const char *const dtype_names[LQI_FLOATS] = {"float32", "float16", "bfloat16"};

const char *lqi_dtype_name(int32_t dtype)
{
  return dtype_names[lqi_float_index(dtype)];
}

int32_t lqi_dtype_from_name(const char *name)
{
  for (int32_t i = 0; i < LQI_FLOATS; i++)
    if (strcmp(dtype_names[i], name) == 0)
      return LQ_F32 + i;
  return 0;
}

void lqi_text_add_shape(struct lqi_text *t, const struct lqi_shape *shape)
{
  lqi_text_add(t, "[");
  for (uint32_t i = 0; i < shape->ndim; i++) {
    lqi_text_add(t, i != 0 ? ", " : "");
    lqi_text_add_u64(t, shape->dim[i]);
  }
  lqi_text_add(t, "]");
}

static int is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next byte that is not white space, 0 at the end. */
static char peek(struct scanner *in)
{
  while (in->at < in->n && is_space(in->s[in->at]))
    in->at++;
  return in->at < in->n ? in->s[in->at] : '\0';
}

static int take(struct scanner *in, char c)
{
  if (peek(in) != c) /* at the end as well: `c` is no NUL */
    return 0;
  in->at++;
  return 1;
}

/* Skips a string without decoding it. */
static int skip_string(struct scanner *in)
{
  if (!take(in, '"'))
    return 0;
  for (; in->at < in->n && in->s[in->at] != '"'; in->at++) {
    in->at += in->s[in->at] == '\\';
    if (in->at < in->n && (unsigned char)in->s[in->at] < 0x20)
      return 0;
  }
  if (in->at >= in->n)
    return 0;
  in->at++;
  return 1;
}

/* A string without escapes into out[0..room); longer ones are cut, so that they equal no known
 * word. */
static int take_string(struct scanner *in, char *out, size_t room)
{
  peek(in);
  uint64_t first = in->at + 1;
  if (!skip_string(in))
    return 0;
  size_t n = (size_t)lqi_min_u64(in->at - 1 - first, room - 1);
  memcpy(out, in->s + first, n);
  out[n] = '\0';
  return 1;
}

static int is_number_byte(char c)
{
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static int take_word(struct scanner *in, const char *word)
{
  peek(in);
  size_t n = strlen(word);
  if (in->n - in->at < n || memcmp(in->s + in->at, word, n) != 0)
    return 0;
  in->at += n;
  return 1;
}

/* A number, or one of the three words that Python's json adds to JSON. */
static int take_double(struct scanner *in, double *out)
{
  double sign = 1.0;
  if (take_word(in, "NaN")) {
    *out = (double)NAN;
    return 1;
  }
  peek(in);
  if (in->n - in->at > 1 && in->s[in->at] == '-' && in->s[in->at + 1] == 'I') {
    sign = -1.0;
    in->at++;
  }
  if (take_word(in, "Infinity")) {
    *out = sign * (double)INFINITY;
    return 1;
  }
  uint64_t first = in->at;
  while (in->at < in->n && is_number_byte(in->s[in->at]))
    in->at++;
  return lqi_parse_double(in->s + first, (size_t)(in->at - first), out);
}

static int take_u64(struct scanner *in, uint64_t *out)
{
  peek(in);
  uint64_t first = in->at, v = 0;
  for (; in->at < in->n && in->s[in->at] >= '0' && in->s[in->at] <= '9'; in->at++)
    if (lqi_mul_overflows(v, 10, &v) || lqi_add_overflows(v, (uint64_t)(in->s[in->at] - '0'), &v))
      return 0;
  *out = v;
  return in->at != first && (in->at == in->n || !is_number_byte(in->s[in->at]));
}

/* "shape": an array of sizes, or null where the writer did not know it. */
static int take_shape(struct scanner *in)
{
  struct lqi_fields *out = in->out;
  if (take_word(in, "null"))
    return 1;
  if (!take(in, '['))
    return 0;
  out->has_shape = 1;
  if (take(in, ']'))
    return 1;
  do {
    if (out->ndim == LQ_MAX_DIMS || !take_u64(in, &out->dims[out->ndim++]))
      return 0;
  } while (take(in, ','));
  return take(in, ']');
}

/* Any value: strings and brackets are followed, the rest runs to the next comma or bracket. */
static int skip_value(struct scanner *in)
{
  int depth = 0;
  for (;;) {
    char c = peek(in);
    if (c == '\0')
      return 0;
    if (depth == 0 && (c == ',' || c == '}'))
      return 1;
    if (c == '"') {
      if (!skip_string(in))
        return 0;
      continue;
    }
    depth += (c == '[' || c == '{') - (c == ']' || c == '}');
    if (depth < 0)
      return 0;
    in->at++;
  }
}

/* Members by name, the two families' words for one thing side by side. */
enum field {
  FIELD_METHOD,
  FIELD_DTYPE,
  FIELD_SHAPE,
  FIELD_VERSION,
  FIELD_BLOCK_SIZE,
  FIELD_NESTED_BLOCK_SIZE,
  FIELD_NESTED_DTYPE,
  FIELD_NESTED_OFFSET,
  FIELD_OUTLIERS_DROPPED,
  FIELD_BITS,
  FIELD_GROUP_SIZE,
  FIELD_GROUPS,
  FIELD_SYMMETRIC,
  FIELD_BLOCK_TYPE,
};

static const struct {
  const char *name;
  enum field field;
} members[] = {
    {"method", FIELD_METHOD},
    {"quant_type", FIELD_METHOD},
    {"dtype", FIELD_DTYPE},
    {"shape", FIELD_SHAPE},
    {"libquant", FIELD_VERSION},
    {"block_size", FIELD_BLOCK_SIZE},
    {"blocksize", FIELD_BLOCK_SIZE},
    {"nested_block_size", FIELD_NESTED_BLOCK_SIZE},
    {"nested_blocksize", FIELD_NESTED_BLOCK_SIZE},
    {"nested_dtype", FIELD_NESTED_DTYPE},
    {"nested_offset", FIELD_NESTED_OFFSET},
    {"outliers_dropped", FIELD_OUTLIERS_DROPPED},
    {"bits", FIELD_BITS},
    {"group_size", FIELD_GROUP_SIZE},
    {"sorted_groups", FIELD_GROUPS},
    {"symmetric", FIELD_SYMMETRIC},
    {"block_type", FIELD_BLOCK_TYPE},
};

static int take_field(struct scanner *in, enum field field)
{
  struct lqi_fields *out = in->out;
  switch (field) {
  case FIELD_METHOD: return take_string(in, out->method, sizeof out->method);
  case FIELD_DTYPE: return take_string(in, out->dtype, sizeof out->dtype);
  case FIELD_SHAPE: return take_shape(in);
  case FIELD_VERSION: return take_u64(in, &out->version);
  case FIELD_BLOCK_SIZE: return take_u64(in, &out->block_size);
  case FIELD_NESTED_BLOCK_SIZE: return take_u64(in, &out->nested_block_size);
  case FIELD_NESTED_DTYPE: return take_string(in, out->nested_dtype, sizeof out->nested_dtype);
  case FIELD_OUTLIERS_DROPPED: return take_u64(in, &out->outliers_dropped);
  case FIELD_BITS: return take_u64(in, &out->bits);
  case FIELD_GROUP_SIZE: return take_u64(in, &out->group_size);
  case FIELD_GROUPS: return take_u64(in, &out->groups);
  case FIELD_SYMMETRIC: return take_u64(in, &out->symmetric);
  case FIELD_BLOCK_TYPE: return take_u64(in, &out->block_type);
  default: /* FIELD_NESTED_OFFSET */
    out->has_nested_offset = take_double(in, &out->nested_offset);
    return out->has_nested_offset;
  }
}

/* A field said twice is refused: two readers could take different ones. */
static int take_member(struct scanner *in, const char *name, uint32_t *seen)
{
  for (size_t i = 0; i < LQI_COUNT(members); i++)
    if (strcmp(members[i].name, name) == 0) {
      uint32_t bit = 1u << members[i].field;
      if (*seen & bit)
        return 0;
      *seen |= bit;
      return take_field(in, members[i].field);
    }
  return skip_value(in);
}

static int take_object(struct scanner *in)
{
  char name[32];
  uint32_t seen = 0;
  if (!take(in, '{'))
    return 0;
  if (!take(in, '}')) {
    do {
      if (!take_string(in, name, sizeof name) || !take(in, ':') || !take_member(in, name, &seen))
        return 0;
    } while (take(in, ','));
    if (!take(in, '}'))
      return 0;
  }
  return peek(in) == '\0' && in->at == in->n;
}

lq_status lqi_fields_parse(const char *text, uint64_t n, struct lqi_fields *out,
                           struct lqi_text *why)
{
  *out = (struct lqi_fields){0};
  struct scanner in = {text, n, 0, out};
  if (take_object(&in))
    return LQ_OK;
  lqi_fail(why, LQ_E_LAYOUT, "text of the tensor's format is broken at byte ", NULL);
  lqi_text_add_u64(why, in.at);
  return LQ_E_LAYOUT;
}
