/* export_text.c - see export.h: what the two files of `quant export --c-array` say. */
#include "export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char hidden[] = "static const";

static void put(export_text *x, c_type type, const char *name, const char *suffix, const void *data,
                size_t count)
{
  c_array(&x->source, hidden, type, name, suffix, data, count);
  x->bytes += count * c_type_bytes(type);
}

static void guard(const export_text *x, buf *to)
{
  for (const char *c = x->prefix; *c; c++)
    buf_byte(to, *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c);
  buf_text(to, "_H");
}

void export_begin(export_text *x, const char *include)
{
  buf_printf(&x->header,
             "/* Constants for libquant %s, written by quant export: do not edit. */\n#ifndef ",
             lq_version_string());
  guard(x, &x->header);
  buf_text(&x->header, "\n#define ");
  guard(x, &x->header);
  buf_text(&x->header, "\n\n#include <libquant.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
  buf_printf(&x->source,
             "/* Constants for libquant %s, written by quant export: do not edit. */\n"
             "#include \"%s\"\n",
             lq_version_string(), include);
}

void export_end(export_text *x)
{
  buf_text(&x->header, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}

static void heading(export_text *x, const char *tensor)
{
  buf_text(&x->source, "\n/* ");
  c_comment_text(&x->source, tensor);
  buf_text(&x->source, " */\n");
  buf_text(&x->header, "\n/* ");
  c_comment_text(&x->header, tensor);
}

/* The name of a book with these values: a shared one, or one of the weight's own. */
static const char *book(export_text *x, export_book *shared, const char *kind, const char *owner,
                        const float *value, size_t count, char own[C_NAME_MAX + 32])
{
  if (shared->name[0] && memcmp(shared->value, value, count * sizeof *value) == 0)
    return shared->name;
  if (!shared->name[0]) {
    snprintf(shared->name, sizeof shared->name, "%s_%s_codebook", x->prefix, kind);
    memcpy(shared->value, value, count * sizeof *value);
    put(x, C_F32, shared->name, "", value, count);
    return shared->name;
  }
  snprintf(own, C_NAME_MAX + 32, "%s_%s_codebook", owner, kind);
  put(x, C_F32, own, "", value, count);
  return own;
}

static const char *method_name(int32_t method)
{
  return method == LQ_NF4    ? "LQ_NF4"
         : method == LQ_FP4  ? "LQ_FP4"
         : method == LQ_INT8 ? "LQ_INT8"
                             : "LQ_AFFINE";
}

static void field(buf *to, const char *name, uint32_t value)
{
  if (value != 0)
    buf_printf(to, "    .%s = %u,\n", name, (unsigned)value);
}

static void pointer(buf *to, const char *field_name, const void *p, const char *name,
                    const char *suffix)
{
  if (p)
    buf_printf(to, "    .%s = %s%s,\n", field_name, name, suffix);
}

static void put_static(export_text *x, const char *name, const lq_static *w)
{
  char own[2][C_NAME_MAX + 32];
  const char *values = NULL, *nested = NULL;
  buf *to = &x->source;
  bool words = w->scale_dtype == LQ_F32;
  c_type scales = words ? C_F32 : w->scale_dtype == LQ_F16 ? C_U16 : C_U8;

  if (w->codebook)
    values = book(x, w->method == LQ_NF4 ? &x->nf4 : &x->fp4, w->method == LQ_NF4 ? "nf4" : "fp4",
                  name, w->codebook, 16, own[0]);
  if (w->nested_codebook)
    nested = book(x, &x->nested, "nested", name, w->nested_codebook, 256, own[1]);
  put(x, w->method == LQ_INT8 ? C_I8 : C_U8, name, "_codes", w->codes, w->codes_bytes);
  put(x, scales, name, "_scales", w->scales, w->scales_bytes / c_type_bytes(scales));
  put(x, C_U8, name, "_zeros", w->zeros, w->zeros_bytes);
  put(x, C_F32, name, "_nested_scales", w->nested_scales, w->nested_scales_bytes / sizeof(float));
  if (w->bias)
    put(x, C_F32, name, "_bias", w->bias, w->rows);
  buf_printf(to, "const lq_static %s = {\n    .size = sizeof(lq_static),\n    .method = %s,\n",
             name, method_name(w->method));
  field(to, "rows", w->rows);
  field(to, "columns", w->columns);
  field(to, "bits", w->bits);
  field(to, "block", w->block);
  buf_printf(to, "    .scale_dtype = %s,\n",
             words             ? "LQ_F32"
             : scales == C_U16 ? "LQ_F16"
                               : "LQ_U8");
  field(to, "nested_block", w->nested_block);
  if (nested) {
    buf_text(to, "    .nested_offset = ");
    c_float(to, w->nested_offset);
    buf_text(to, ",\n");
  }
  field(to, "codes_bytes", w->codes_bytes);
  field(to, "scales_bytes", w->scales_bytes);
  field(to, "zeros_bytes", w->zeros_bytes);
  field(to, "nested_scales_bytes", w->nested_scales_bytes);
  pointer(to, "codes", w->codes, name, "_codes");
  pointer(to, "scales", w->scales, name, "_scales");
  pointer(to, "zeros", w->zeros, name, "_zeros");
  pointer(to, "codebook", values, values, "");
  pointer(to, "nested_scales", w->nested_scales, name, "_nested_scales");
  pointer(to, "nested_codebook", nested, nested, "");
  pointer(to, "bias", w->bias, name, "_bias");
  buf_text(to, "};\n");
  buf_printf(&x->header, ": %s, %u x %u */\nextern const lq_static %s;\n",
             lq_method_name(w->method), (unsigned)w->rows, (unsigned)w->columns, name);
}

static void put_layer(export_text *x, const char *name, const lq_static_w8a8 *w)
{
  buf *to = &x->source;
  size_t rows = w->rows;

  put(x, C_I8, name, "_codes", w->codes, rows * w->columns);
  put(x, C_I32, name, "_bias", w->bias, rows);
  put(x, C_I32, name, "_multiplier", w->multiplier, rows);
  put(x, C_I8, name, "_shift", w->shift, rows);
  buf_printf(to,
             "const lq_static_w8a8 %s = {\n    .size = sizeof(lq_static_w8a8),\n"
             "    .rounding = %s,\n",
             name, w->rounding == LQ_ROUND_DOUBLE ? "LQ_ROUND_DOUBLE" : "LQ_ROUND_SINGLE");
  field(to, "rows", w->rows);
  field(to, "columns", w->columns);
  buf_printf(to, "    .y_zero = %d,\n    .y_least = %d,\n    .y_most = %d,\n    .x_zero = %d,\n",
             (int)w->y_zero, (int)w->y_least, (int)w->y_most, (int)w->x_zero);
  buf_text(to, "    .x_scale = ");
  c_float(to, w->x_scale);
  buf_text(to, ",\n    .y_scale = ");
  c_float(to, w->y_scale);
  buf_printf(to,
             ",\n    .codes = %s_codes,\n    .bias = %s_bias,\n    .multiplier = %s_multiplier,\n"
             "    .shift = %s_shift,\n};\n",
             name, name, name, name);
  buf_printf(&x->header, ": int8 in fixed point, %u x %u */\nextern const lq_static_w8a8 %s;\n",
             (unsigned)w->rows, (unsigned)w->columns, name);
}

static bool refuse(fail *why, const char *tensor, lq_status s, const char *what)
{
  return fail_set(why, s == LQ_E_MEMORY ? FAIL_NOMEM : FAIL_UNSUPPORTED, NULL, "%s: %s", tensor,
                  what ? what : lq_status_string(s));
}

static bool make_layer(export_text *x, const export_target *t, const char *tensor,
                       const lq_tensor *w, const float *bias, fail *why)
{
  size_t rows = (size_t)lq_tensor_dim(w, 0), n = 0;
  int8_t *codes, *shift;
  int32_t *words;
  lq_static_w8a8 layer = {.size = sizeof layer,
                          .rounding = x->rounding,
                          .y_zero = t->layer.y_zero,
                          .y_least = t->layer.y_least,
                          .y_most = t->layer.y_most,
                          .x_zero = t->layer.x_zero,
                          .x_scale = t->layer.x_scale,
                          .y_scale = t->layer.y_scale};
  lq_status s = LQ_E_MEMORY;

  if (lq_tensor_method(w) != LQ_INT8 || lq_tensor_ndim(w) != 2)
    return refuse(why, tensor, LQ_E_UNSUPPORTED, "--w8a8 takes int8 matrices");
  n = rows * (size_t)lq_tensor_dim(w, 1);
  codes = malloc(n + rows + 1);
  words = malloc(rows * 2 * sizeof *words + 1);
  shift = codes ? codes + n : NULL;
  if (codes && words)
    s = lq_static_w8a8_from_tensor(w, bias, codes, words, words + rows, shift, &layer);
  if (s == LQ_OK)
    put_layer(x, t->name, &layer);
  free(codes);
  free(words);
  return s == LQ_OK ||
         refuse(why, tensor, s,
                s == LQ_E_UNSUPPORTED ? "--w8a8 takes int8 without dense outlier columns"
                : s == LQ_E_OVERFLOW
                    ? "in fixed point a bias or the factor x_scale * w_scale / y_scale is too large"
                    : NULL);
}

bool export_weight(export_text *x, const export_target *t, const char *tensor, const lq_tensor *w,
                   const float *bias, fail *why)
{
  lq_static out = {.size = sizeof out};
  lq_status s = lq_static_from_tensor(w, &out);

  if (s != LQ_OK)
    return refuse(why, tensor, s,
                  s == LQ_E_UNSUPPORTED
                      ? "only nf4, fp4, int8 without dense columns, and affine of 4 or 8 bits in "
                        "the order of columns can be static"
                      : NULL);
  heading(x, tensor);
  if (t->fixed)
    return make_layer(x, t, tensor, w, bias, why);
  out.bias = bias;
  put_static(x, t->name, &out);
  return true;
}

void export_dense(export_text *x, const export_target *t, const st_tensor *tensor, c_type type,
                  const void *data)
{
  heading(x, tensor->name);
  c_array(&x->source, "const", type, t->name, "", data, (size_t)tensor->elements);
  x->bytes += tensor->elements * c_type_bytes(type);
  buf_text(&x->header, ":");
  for (unsigned i = 0; i < tensor->ndim; i++)
    buf_printf(&x->header, "%s %llu", i ? " x" : "", (unsigned long long)tensor->shape[i]);
  buf_printf(&x->header, " */\nextern const %s %s[%llu];\n", c_type_name(type), t->name,
             (unsigned long long)tensor->elements);
}
