/*
 * layer_store.c - see layer_store.h. A layer's file is a safetensors file with the native planes of
 * its tensors; __metadata__ holds the mark of the run, and for each weight its figures as text.
 */
#include "layer_store.h"

#include "../files/io.h"
#include "../files/output.h"
#include "../files/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIGURES_TEXT = 512, NAME_TEXT = 40 };

static void layer_name(char out[NAME_TEXT], size_t layer)
{
  snprintf(out, NAME_TEXT, "layer-%05zu.safetensors", layer);
}

static char *layer_path(const layer_store *s, size_t layer)
{
  char name[NAME_TEXT];

  layer_name(name, layer);
  return io_join(s->folder, name);
}

/* Only files that this module writes, and what a killed process left of one. */
static void remove_files(const char *folder)
{
  DIR *d = opendir(folder);
  const struct dirent *e;

  while (d && (e = readdir(d)) != NULL)
    if (strncmp(e->d_name, "layer-", 6) == 0 || strncmp(e->d_name, ".layer-", 7) == 0)
      unlinkat(dirfd(d), e->d_name, 0);
  if (d)
    closedir(d);
}

bool layer_store_open(layer_store *s, const char *out, uint64_t mark, bool resume, fail *why)
{
  static const char tail[] = ".quant-job";
  size_t n = strlen(out);

  *s = (layer_store){0};
  while (n > 1 && out[n - 1] == '/')
    n--;
  s->folder = malloc(n + sizeof tail);
  if (!s->folder)
    return fail_memory(why, out);
  memcpy(s->folder, out, n);
  memcpy(s->folder + n, tail, sizeof tail);
  snprintf(s->mark, sizeof s->mark, "%016" PRIx64, mark);
  if (mkdir(s->folder, 0777) != 0 && errno != EEXIST)
    return fail_system(why, s->folder, "make the folder", errno);
  if (!resume)
    remove_files(s->folder);
  return true;
}

bool layer_store_has(const layer_store *s, size_t layer, bool *has, fail *why)
{
  char *path = layer_path(s, layer);
  st_file *f = NULL;
  bool ok = true;

  *has = false;
  if (!path)
    return fail_memory(why, s->folder);
  if (access(path, F_OK) == 0) {
    const char *mark;

    ok = st_open(&f, path, why);
    mark = ok ? st_metadata(f, "job") : NULL;
    *has = mark && strcmp(mark, s->mark) == 0;
    if (ok && !*has)
      ok = fail_set(why, FAIL_EXISTS, path,
                    "is of a run with another model, text or options; without --resume it is "
                    "replaced");
    st_close(f);
  }
  free(path);
  return ok;
}

/* ---- writing ---- */

typedef struct layer_plan {
  st_tensor *tensors;
  lq_plane *planes;
  st_pair *pairs;
  char (*figures)[FIGURES_TEXT];
  size_t count, pair_count;
} layer_plan;

static void plan_free(layer_plan *p)
{
  for (size_t i = 0; i < p->count; i++)
    free((char *)(uintptr_t)p->tensors[i].name);
  free(p->tensors);
  free(p->planes);
  free(p->pairs);
  free(p->figures);
  *p = (layer_plan){0};
}

static st_dtype plane_dtype(int32_t dtype)
{
  static const st_dtype of[] = {ST_U8, ST_F32, ST_F16, ST_BF16, ST_I8, ST_U8, ST_I32, ST_I64};

  return of[dtype];
}

static void write_figures(char text[FIGURES_TEXT], const quantize_result *r)
{
  const lq_report *p = &r->report;
  const lq_metrics *m = &r->metrics;

  snprintf(text, FIGURES_TEXT,
           "%.17g %.17g %.17g %.17g %" PRIu64 " %" PRIu64 " %.17g %.17g %.17g %.17g %" PRIu64
           " %" PRIu64 " %" PRIu64 " %.17g %.17g",
           p->error, p->error_nearest, p->energy, p->damping, p->dead_columns, p->rows_observed,
           m->relative_error, m->sqnr_db, m->cosine, m->max_error, m->max_row, m->max_column,
           r->bytes, r->bits_per_weight, r->seconds);
}

static bool plan_planes(layer_plan *p, const layer_item *item, fail *why)
{
  uint32_t n = lq_tensor_plane_count(item->tensor, LQ_LAYOUT_NATIVE);

  for (uint32_t i = 0; i < n; i++) {
    lq_plane *plane = &p->planes[p->count];
    st_tensor *t = &p->tensors[p->count];

    *plane = (lq_plane){.size = sizeof *plane};
    lq_tensor_plane(item->tensor, LQ_LAYOUT_NATIVE, i, plane);
    *t =
        (st_tensor){.name = weight_plane_name(item->result->w->name, LQ_LAYOUT_NATIVE, plane->name),
                    .dtype = plane_dtype(plane->dtype),
                    .ndim = plane->ndim};
    if (!t->name)
      return fail_memory(why, item->result->w->name);
    memcpy(t->shape, plane->dims, sizeof t->shape);
    p->count++;
  }
  return true;
}

static bool plan_make(layer_plan *p, const layer_store *s, const layer_item *items, size_t count,
                      fail *why)
{
  size_t planes = 0;

  for (size_t i = 0; i < count; i++)
    planes += lq_tensor_plane_count(items[i].tensor, LQ_LAYOUT_NATIVE);
  p->tensors = calloc(planes + 1, sizeof *p->tensors);
  p->planes = calloc(planes + 1, sizeof *p->planes);
  p->pairs = calloc(count + 1, sizeof *p->pairs);
  p->figures = calloc(count + 1, sizeof *p->figures);
  if (!p->tensors || !p->planes || !p->pairs || !p->figures)
    return fail_memory(why, s->folder);
  p->pairs[p->pair_count++] = (st_pair){"job", s->mark};
  for (size_t i = 0; i < count; i++) {
    if (!plan_planes(p, &items[i], why))
      return false;
    write_figures(p->figures[i], items[i].result);
    p->pairs[p->pair_count++] = (st_pair){items[i].result->w->name, p->figures[i]};
  }
  return true;
}

static bool write_plan(const layer_plan *p, const char *path, fail *why)
{
  out_file *file = NULL;
  st_writer *writer = NULL;
  bool ok = out_file_create(&file, path, true, why) &&
            st_writer_plan(&writer, p->tensors, p->count, p->pairs, p->pair_count, path, why) &&
            st_writer_start(writer, file, why);

  for (size_t i = 0; i < p->count && ok; i++)
    ok = st_writer_write(writer, i, 0, p->planes[i].data, (size_t)p->planes[i].bytes, why);
  ok = ok && st_writer_finish(writer, why) && out_file_commit(&file, why);
  st_writer_free(writer);
  out_file_abort(file);
  return ok;
}

bool layer_store_put(const layer_store *s, size_t layer, const layer_item *items, size_t count,
                     fail *why)
{
  layer_plan p = {0};
  char *path = layer_path(s, layer);
  bool ok = path ? plan_make(&p, s, items, count, why) && write_plan(&p, path, why)
                 : fail_memory(why, s->folder);

  free(path);
  plan_free(&p);
  return ok;
}

/* ---- reading ---- */

bool layer_store_get(const layer_store *s, size_t layer, layer_file *out, fail *why)
{
  char *path = layer_path(s, layer);
  bool ok;

  *out = (layer_file){0};
  if (!path)
    return fail_memory(why, s->folder);
  ok = model_open(&out->m, path, why) && weight_list_make(&out->weights, out->m, why);
  free(path);
  if (!ok)
    layer_file_close(out);
  return ok;
}

void layer_file_close(layer_file *f)
{
  weight_list_free(&f->weights);
  model_close(f->m);
  *f = (layer_file){0};
}

bool layer_file_tensor(const layer_file *f, const weight *w, pool *memory, lq_config *config,
                       weight_data *data, fail *why)
{
  const weight *mine = weight_find(&f->weights, w->name);

  *data = (weight_data){0};
  if (!mine || mine->layout != LQ_LAYOUT_NATIVE)
    return fail_set(why, FAIL_NOTFOUND, model_path(f->m), "%s is not in it", w->name);
  return weight_read(&f->weights, mine, memory, data, why) &&
         weight_bind(&f->weights, mine, memory, config, data, why);
}

bool layer_file_figures(const layer_file *f, quantize_result *r, fail *why)
{
  const char *text = st_metadata(model_shard(f->m, 0), r->w->name);
  lq_report *p = &r->report;
  lq_metrics *m = &r->metrics;

  p->size = sizeof *p;
  m->size = sizeof *m;
  if (text &&
      sscanf(text,
             "%lf %lf %lf %lf %" SCNu64 " %" SCNu64 " %lf %lf %lf %lf %" SCNu64 " %" SCNu64
             " %" SCNu64 " %lf %lf",
             &p->error, &p->error_nearest, &p->energy, &p->damping, &p->dead_columns,
             &p->rows_observed, &m->relative_error, &m->sqnr_db, &m->cosine, &m->max_error,
             &m->max_row, &m->max_column, &r->bytes, &r->bits_per_weight, &r->seconds) == 15)
    return true;
  return fail_set(why, FAIL_FORMAT, model_path(f->m), "%s has no figures", r->w->name);
}

void layer_store_remove(layer_store *s)
{
  if (!s->folder)
    return;
  remove_files(s->folder);
  rmdir(s->folder);
}

void layer_store_close(layer_store *s)
{
  if (s->folder)
    rmdir(s->folder); /* stays unless it is empty */
  free(s->folder);
  *s = (layer_store){0};
}
