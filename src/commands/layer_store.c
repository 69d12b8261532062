/* layer_store.c - see layer_store.h. A layer's file is a safetensors file with the native planes of
 * its tensors; their figures are notes in the journal. */
#include "layer_store.h"

#include "../files/io.h"
#include "../files/output.h"
#include "../files/safetensors.h"
#include "figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_TEXT = 40 };

static void layer_name(char out[NAME_TEXT], size_t layer)
{
  snprintf(out, NAME_TEXT, "layer-%05zu.safetensors", layer);
}

static char *layer_path(const job_store *job, size_t layer)
{
  char name[NAME_TEXT];

  layer_name(name, layer);
  return io_join(job_folder(job), name);
}

bool layer_store_has(const job_store *job, size_t layer)
{
  char name[NAME_TEXT];

  layer_name(name, layer);
  return job_has(job, name);
}

/* ---- writing ---- */

typedef struct layer_plan {
  st_tensor *tensors;
  lq_plane *planes;
  size_t count;
} layer_plan;

static void plan_free(layer_plan *p)
{
  for (size_t i = 0; i < p->count; i++)
    free((char *)(uintptr_t)p->tensors[i].name);
  free(p->tensors);
  free(p->planes);
  *p = (layer_plan){0};
}

static st_dtype plane_dtype(int32_t dtype)
{
  static const st_dtype of[] = {ST_U8, ST_F32, ST_F16, ST_BF16, ST_I8, ST_U8, ST_I32, ST_I64};

  return of[dtype];
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

static bool plan_make(layer_plan *p, figures *notes, const layer_item *items, size_t count,
                      fail *why)
{
  size_t planes = 0;

  for (size_t i = 0; i < count; i++)
    planes += lq_tensor_plane_count(items[i].tensor, LQ_LAYOUT_NATIVE);
  p->tensors = calloc(planes + 1, sizeof *p->tensors);
  p->planes = calloc(planes + 1, sizeof *p->planes);
  if (!p->tensors || !p->planes)
    return fail_memory(why, NULL);
  if (!figures_reserve(notes, count, why))
    return false;
  for (size_t i = 0; i < count; i++) {
    if (!plan_planes(p, &items[i], why))
      return false;
    figures_add(notes, items[i].result);
  }
  return true;
}

static bool write_plan(const layer_plan *p, const char *path, fail *why)
{
  out_file *file = NULL;
  st_writer *writer = NULL;
  bool ok = out_file_create(&file, path, true, why) &&
            st_writer_plan(&writer, p->tensors, p->count, NULL, 0, path, why) &&
            st_writer_start(writer, file, why);

  for (size_t i = 0; i < p->count && ok; i++)
    ok = st_writer_elements(writer, i, 0, p->planes[i].data, (size_t)p->planes[i].bytes, why);
  ok = ok && st_writer_finish(writer, why) && out_file_commit(&file, why);
  st_writer_free(writer);
  out_file_abort(file);
  return ok;
}

bool layer_store_put(job_store *job, size_t layer, const layer_item *items, size_t count, fail *why)
{
  layer_plan p = {0};
  figures notes = {0};
  char name[NAME_TEXT], *path = layer_path(job, layer);
  bool ok = path ? plan_make(&p, &notes, items, count, why) && write_plan(&p, path, why)
                 : fail_memory(why, job_folder(job));

  layer_name(name, layer);
  ok = ok && job_add(job, name, notes.pairs, notes.count, why);
  free(path);
  figures_free(&notes);
  plan_free(&p);
  return ok;
}

/* ---- reading ---- */

bool layer_store_get(const job_store *job, size_t layer, layer_file *out, fail *why)
{
  char *path = layer_path(job, layer);
  bool ok;

  *out = (layer_file){0};
  if (!path)
    return fail_memory(why, job_folder(job));
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

bool layer_store_figures(const job_store *job, size_t layer, quantize_result *r, fail *why)
{
  char name[NAME_TEXT];

  layer_name(name, layer);
  return figures_read(job, name, r, why);
}
