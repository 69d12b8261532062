/* inspect_gguf.c - see inspect_gguf.h. */
#include "inspect_gguf.h"

#include "../files/utf8.h"
#include "../ui/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  SHOWN_BYTES = 60, /* of a string, in text */
  SHOWN_ITEMS = 4,  /* of an array */
  JSON_ITEMS = 16,
  JSON_STRING_MAX = 1 << 16
};

/* Item i with control characters escaped, cut to SHOWN_BYTES. */
static bool add_item(buf *to, const gguf_file *f, const gguf_value *v, uint64_t i, fail *why)
{
  char shown[SHOWN_BYTES + 1];
  char *text;
  size_t length;

  if (!gguf_text(f, v, i, &text, &length, why))
    return false;
  utf8_printable(shown, sizeof shown, text);
  buf_text(to, shown);
  free(text);
  return true;
}

static bool describe(buf *to, const gguf_file *f, const gguf_value *v, fail *why)
{
  if (v->type != GGUF_ARRAY)
    return add_item(to, f, v, 0, why);
  buf_printf(to, "%llu of %s: ", (unsigned long long)v->count, gguf_type_name((gguf_type)v->item));
  for (uint64_t i = 0; i < v->count && i < SHOWN_ITEMS; i++) {
    if (i > 0)
      buf_text(to, ", ");
    if (!add_item(to, f, v, i, why))
      return false;
  }
  if (v->count > SHOWN_ITEMS)
    buf_text(to, ", ...");
  return true;
}

bool inspect_gguf_print(const gguf_file *f, fail *why)
{
  table t = {0};
  bool ok = true;

  if (gguf_key_count(f) == 0)
    return true;
  table_column(&t, "key", TABLE_LEFT);
  table_column(&t, "type", TABLE_LEFT);
  table_column(&t, "value", TABLE_LEFT);
  for (size_t i = 0; ok && i < gguf_key_count(f); i++) {
    const gguf_value *v = gguf_key_at(f, i);
    buf value = {0};

    ok = describe(&value, f, v, why);
    table_cell(&t, "%s", v->key);
    table_cell(&t, "%s", gguf_type_name((gguf_type)v->type));
    table_cell(&t, "%s", value.data != NULL ? value.data : "");
    ok = ok && (!value.failed || fail_memory(why, gguf_path(f)));
    buf_free(&value);
  }
  ok = ok && table_print(&t, stdout, why);
  table_free(&t);
  putchar('\n');
  return ok;
}

/* A string of the file is bytes with a length, which JSON's printer wants as C text. */
static void print_string(json_printer *p, const char *name, char *text, size_t length)
{
  if (length > JSON_STRING_MAX)
    text[JSON_STRING_MAX] = 0;
  json_print_string(p, name, text);
}

static bool json_item(const gguf_file *f, json_printer *p, const char *name, const gguf_value *v,
                      uint64_t i, fail *why)
{
  unsigned type = v->type == GGUF_ARRAY ? v->item : v->type;
  char *text;
  size_t length;

  if (!gguf_text(f, v, i, &text, &length, why))
    return false;
  switch (type) {
  case GGUF_STRING: print_string(p, name, text, length); break;
  case GGUF_BOOL: json_print_bool(p, name, text[0] == 't'); break;
  case GGUF_F32:
  case GGUF_F64: json_print_f64(p, name, strtod(text, NULL)); break;
  case GGUF_I8:
  case GGUF_I16:
  case GGUF_I32:
  case GGUF_I64: json_print_i64(p, name, strtoll(text, NULL, 10)); break;
  default: json_print_u64(p, name, strtoull(text, NULL, 10)); break;
  }
  free(text);
  return true;
}

bool inspect_gguf_json(const gguf_file *f, json_printer *p, fail *why)
{
  bool ok = true;

  json_begin(p, "metadata", '{');
  for (size_t i = 0; ok && i < gguf_key_count(f); i++) {
    const gguf_value *v = gguf_key_at(f, i);

    if (v->type != GGUF_ARRAY) {
      ok = json_item(f, p, v->key, v, 0, why);
      continue;
    }
    json_begin(p, v->key, '{');
    json_print_string(p, "type", gguf_type_name((gguf_type)v->item));
    json_print_u64(p, "count", v->count);
    json_begin(p, "first", '[');
    for (uint64_t k = 0; ok && k < v->count && k < JSON_ITEMS; k++)
      ok = json_item(f, p, NULL, v, k, why);
    json_end(p, ']');
    json_end(p, '}');
  }
  json_end(p, '}');
  return ok;
}
