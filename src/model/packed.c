/* packed.c - see packed.h. */
#include "packed.h"

#include "../files/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool packed_is_layout(int32_t layout)
{
  return layout == LQ_LAYOUT_GPTQ || layout == LQ_LAYOUT_GPTQ_V2 || layout == LQ_LAYOUT_AWQ;
}

/* ---- what is told ---- */

/* The first of some members that is a string. */
static const char *first_string(const json_doc *d, json_id q, const char *const *names)
{
  for (size_t i = 0; names[i]; i++) {
    const char *text = json_string(d, json_get(d, q, names[i]));

    if (text)
      return text;
  }
  return NULL;
}

/* Programs that wrote no format knew only the first version. */
static bool read_gptq(packed_format *out, const json_doc *d, json_id q, fail *why)
{
  static const char *const names[] = {"checkpoint_format", "format", NULL};
  const char *format = first_string(d, q, names);

  if (json_kind_of(d, json_get(d, q, "is_marlin_format")) == JSON_TRUE)
    format = "marlin";
  if (!format || strcmp(format, "gptq") == 0)
    out->layout = LQ_LAYOUT_GPTQ;
  else if (strcmp(format, "gptq_v2") == 0)
    out->layout = LQ_LAYOUT_GPTQ_V2;
  else
    return fail_set(why, FAIL_UNSUPPORTED, json_file(d),
                    "the GPTQ format '%.40s' is not read; gptq and gptq_v2 are", format);
  return true;
}

/* Is the text that word, given in small letters, with letters of any size? */
static bool is_word(const char *text, const char *word)
{
  for (; *text && (*text | ('a' ^ 'A')) == *word; text++)
    word++;
  return *text == *word;
}

/* AutoAWQ wrote "GEMM" in its own file and "gemm" in config.json. */
static bool read_awq(packed_format *out, const json_doc *d, json_id q, fail *why)
{
  static const char *const names[] = {"version", "checkpoint_format", "format", NULL};
  const char *version = first_string(d, q, names);

  if (version && !is_word(version, "gemm"))
    return fail_set(why, FAIL_UNSUPPORTED, json_file(d),
                    "the AWQ version '%.40s' is not read; gemm is", version);
  out->layout = LQ_LAYOUT_AWQ;
  return true;
}

/* Does `dynamic` give some layers other values? Keys that begin with "-:" leave layers out. */
static bool has_overrides(const json_doc *d, json_id q)
{
  json_id dynamic = json_get(d, q, "dynamic");

  if (json_kind_of(d, dynamic) == JSON_OBJECT)
    for (json_id m = json_first(d, dynamic); m; m = json_next(d, m)) {
      const char *name = json_text(d, m, NULL);

      if (!name || strncmp(name, "-:", 2) != 0)
        return true;
    }
  return false;
}

/* GPTQModel takes 1 from whole words of 2, 4 or 8 bits a field, so that a zero point 0 borrows. */
static bool is_gptqmodel(const json_doc *d, json_id q)
{
  json_id by = json_get(d, json_get(d, q, "meta"), "quantizer");
  const char *name;

  if (json_kind_of(d, by) == JSON_ARRAY)
    by = json_first(d, by);
  name = json_string(d, by);
  return name && strncmp(name, "gptqmodel:", 10) == 0;
}

static bool read_int(const json_doc *d, json_id q, const char *name, int64_t *out, fail *why)
{
  json_id v = json_get(d, q, name);

  if (json_kind_of(d, v) <= JSON_NULL || json_i64(d, v, out) == FAIL_NONE)
    return true;
  return fail_set(why, FAIL_FORMAT, json_file(d), "%s is not a whole number", name);
}

static bool read_numbers(packed_format *out, const json_doc *d, json_id q, fail *why)
{
  const char *pack = "int32";
  bool symmetric = false;

  if (!json_opt_string(d, q, "pack_dtype", &pack, why) ||
      !json_opt_bool(d, q, "sym", &symmetric, why) || !read_int(d, q, "w_bit", &out->bits, why) ||
      !read_int(d, q, "bits", &out->bits, why) ||
      !read_int(d, q, "q_group_size", &out->group_size, why) ||
      !read_int(d, q, "group_size", &out->group_size, why))
    return false;
  if (strcmp(pack, "int32") != 0)
    return fail_set(why, FAIL_UNSUPPORTED, json_file(d),
                    "planes of pack_dtype '%.40s' are not read; int32 is", pack);
  out->borrow = out->layout == LQ_LAYOUT_GPTQ && !symmetric && is_gptqmodel(d, q);
  out->symmetric = symmetric && out->layout != LQ_LAYOUT_AWQ;
  if (has_overrides(d, q)) {
    out->bits = out->group_size = 0;
    out->symmetric = false;
  }
  return true;
}

/* `q` is the configuration of another method only where no planes are there. */
static bool read_members(packed_format *out, const json_doc *d, json_id q, bool planes, fail *why)
{
  const char *method = json_string(d, json_get(d, q, "quant_method"));

  if (json_is(d, json_get(d, q, "quant_method"), "awq"))
    return read_awq(out, d, q, why) && read_numbers(out, d, q, why);
  if (!method ? planes : strcmp(method, "gptq") == 0)
    return read_gptq(out, d, q, why) && read_numbers(out, d, q, why);
  if (planes)
    return fail_set(why, FAIL_UNSUPPORTED, json_file(d),
                    "holds planes of GPTQ or AWQ, but is quantized with '%.40s'", method);
  return true;
}

/* ---- where it is told ---- */

/* Reads a file of the model's folder if it is there. */
static bool read_beside(json_doc **out, const char *folder, const char *name, fail *why)
{
  char *path = io_join(folder, name);
  sys_info info;
  bool ok = true;

  *out = NULL;
  if (!path)
    return fail_memory(why, folder);
  if (sys_look(&info, SYS_CWD, path, true))
    ok = json_read(out, SYS_CWD, path, path, why);
  else if (errno != ENOENT)
    ok = fail_system(why, path, "open", errno);
  free(path);
  return ok;
}

/* The folder of a model in a new block. */
static char *folder_of(const model *m)
{
  const char *path = model_path(m);

  return io_cut(path, model_is_folder(m) ? strlen(path) : (size_t)(sys_last_part(path) - path));
}

/* `inner`: the member that holds the configuration, or NULL: the file is one. */
static bool read_file(packed_format *out, const char *folder, const char *name, const char *inner,
                      bool planes, bool *found, fail *why)
{
  json_doc *d;
  json_id q;
  bool ok = true;

  *found = false;
  if (!read_beside(&d, folder, name, why))
    return false;
  if (!d)
    return true;
  q = inner ? json_get(d, json_root(d), inner) : json_root(d);
  *found = json_kind_of(d, q) == JSON_OBJECT;
  if (*found)
    ok = read_members(out, d, q, planes, why);
  json_free(d);
  return ok;
}

bool packed_read_format(packed_format *out, const model *m, bool planes, fail *why)
{
  static const char member[] = "quantization_config";
  const json_doc *config = model_config(m);
  json_id q = config ? json_get(config, json_root(config), member) : 0;
  char *folder;
  bool ok, found = false;

  *out = (packed_format){0};
  if (q && json_kind_of(config, q) == JSON_OBJECT)
    return read_members(out, config, q, planes, why);
  if (!planes)
    return true;
  folder = folder_of(m);
  if (!folder)
    return fail_memory(why, model_path(m));
  ok = config || read_file(out, folder, "config.json", member, planes, &found, why);
  if (ok && !found)
    ok = read_file(out, folder, "quantize_config.json", NULL, planes, &found, why);
  free(folder);
  return ok;
}

/* ---- shapes ---- */

int32_t packed_layout(const packed_format *f, const packed_planes *p)
{
  if (f->layout)
    return f->layout;
  if (p->scales && p->weight->ndim == 2 && p->scales->ndim == 2 &&
      p->weight->shape[1] != p->scales->shape[1])
    return LQ_LAYOUT_AWQ;
  return LQ_LAYOUT_GPTQ;
}

static bool check_planes(const packed_planes *p, const char *file, const char *name, fail *why)
{
  const struct {
    const st_tensor *t;
    const char *plane;
    bool words;
  } all[] = {
      {p->weight, "qweight", true}, {p->zeros, "qzeros", true}, {p->scales, "scales", false}};

  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const st_tensor *t = all[i].t;

    if (!t)
      return fail_set(why, FAIL_FORMAT, file, "%s: its plane %s is missing", name, all[i].plane);
    if (t->ndim != 2 || t->elements == 0)
      return fail_set(why, FAIL_FORMAT, file, "%s: its plane %s is not a matrix", name,
                      all[i].plane);
    if (all[i].words && t->dtype != ST_I32)
      return fail_set(why, FAIL_UNSUPPORTED, file,
                      "%s: its plane %s is packed in %s; I32 is what is read", name, all[i].plane,
                      st_dtype_name(t->dtype));
  }
  return true;
}

/* False where the planes do not fit each other. */
static bool shape_of(int32_t layout, const packed_planes *p, packed_shape *out)
{
  const uint64_t *w = p->weight->shape, *z = p->zeros->shape;

  out->rows = p->scales->shape[1];
  out->groups = p->scales->shape[0];
  /* NOLINTBEGIN(clang-analyzer-core.NullDereference): check_planes() found all three planes */
  if (z[0] != out->groups)
    return false;
  if (layout == LQ_LAYOUT_AWQ) {
    out->bits = 4;
    out->columns = w[0];
    return w[1] * 8 == out->rows && z[1] == w[1];
  }
  out->bits = z[1] * 32 / out->rows;
  if (w[1] != out->rows || out->bits * out->rows != z[1] * 32 || out->bits == 0)
    return false;
  out->columns = w[0] * 32 / out->bits;
  return out->columns * out->bits == w[0] * 32;
  /* NOLINTEND(clang-analyzer-core.NullDereference) */
}

bool packed_measure(const packed_format *f, int32_t layout, const packed_planes *p,
                    const char *file, const char *name, packed_shape *out, fail *why)
{
  uint64_t size, groups;

  if (!check_planes(p, file, name, why))
    return false;
  if (!shape_of(layout, p, out))
    return fail_set(why, FAIL_FORMAT, file,
                    "%s: the shapes of its planes qweight, qzeros and scales do not fit", name);
  if (f->bits && (uint64_t)f->bits != out->bits)
    return fail_set(why, FAIL_FORMAT, file, "%s: its planes have %llu bits, its configuration %lld",
                    name, (unsigned long long)out->bits, (long long)f->bits);
  if (!f->group_size)
    return true;
  size = f->group_size > 0 ? (uint64_t)f->group_size : out->columns;
  groups = out->columns / size + (out->columns % size != 0);
  if (groups != out->groups)
    return fail_set(why, FAIL_FORMAT, file,
                    "%s: its planes have %llu groups, its configuration groups of %lld columns",
                    name, (unsigned long long)out->groups, (long long)f->group_size);
  return true;
}
