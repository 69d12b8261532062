/* model_folder.c - see model_folder.h. */
#include "model_folder.h"

#include "grow.h"
#include "io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct name_list {
  char **items;
  size_t count, capacity;
} name_list;

/* Weights in any format, what the tool writes itself, and what tells how weights are quantized:
 * none of it goes along. */
static bool stays_behind(const char *name)
{
  static const char *const ends[] = {".safetensors", ".index.json", ".bin",  ".pt",      ".pth",
                                     ".ckpt",        ".h5",         ".onnx", ".msgpack", ".gguf",
                                     ".ggml",        ".npz",        ".npy",  ".tflite",  ".pkl"};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (io_has_suffix(name, ends[i]))
      return true;
  return strcmp(name, "config.json") == 0 || strcmp(name, "quantize_config.json") == 0;
}

static bool add(name_list *list, const char *name, const char *path, fail *why)
{
  if (list->count == list->capacity) {
    char **items = grown(list->items, &list->capacity, list->count + 1, sizeof *items);
    if (items == NULL)
      return fail_memory(why, path);
    list->items = items;
  }
  list->items[list->count] = strdup(name);
  if (list->items[list->count] == NULL)
    return fail_memory(why, path);
  list->count++;
  return true;
}

static void drop(name_list *list)
{
  for (size_t i = 0; i < list->count; i++)
    free(list->items[i]);
  free(list->items);
}

static int by_text(const void *a, const void *b)
{
  char *const *x = a, *const *y = b;
  return strcmp(*x, *y);
}

typedef struct listing {
  name_list weights, extras;
  bool index, config;
} listing;

/* A file that is not there after all (a link that leads nowhere) is passed over, as are folders. */
static bool list_file(listing *l, int fd, const char *name, const char *path, fail *why)
{
  sys_info info;
  const bool there = sys_look(&info, fd, name, true);
  if (!there && errno != ENOENT)
    return fail_system(why, path, "look at its files", errno);
  if (!there || !info.is_file)
    return true;
  l->index = l->index || strcmp(name, FOLDER_INDEX) == 0;
  l->config = l->config || strcmp(name, "config.json") == 0;
  if (io_has_suffix(name, ".safetensors"))
    return add(&l->weights, name, path, why);
  return stays_behind(name) || add(&l->extras, name, path, why);
}

/* All plain files, sorted into weights and extras. Hidden names are passed over. */
static bool list_files(listing *l, int fd, const char *path, fail *why)
{
  sys_list *list = sys_list_open(fd, ".", true);
  bool ok = true;
  if (list == NULL)
    return fail_system(why, path, "read the folder", errno);
  for (const char *name; ok && (name = io_next_name(list, &ok, path, why)) != NULL;)
    if (name[0] != '.')
      ok = list_file(l, fd, name, path, why);
  sys_list_close(list);
  return ok;
}

/* Which file holds the weights: `*out` its name, or NULL for the index. */
static bool choose(const listing *l, const char **out, const char *path, fail *why)
{
  *out = NULL;
  for (size_t i = 0; i < l->weights.count; i++)
    if (strcmp(l->weights.items[i], "model.safetensors") == 0)
      *out = l->weights.items[i];
  if (*out != NULL || l->index)
    return true;
  if (l->weights.count == 1) {
    *out = l->weights.items[0];
    return true;
  }
  if (l->weights.count > 1)
    return fail_set(why, FAIL_NOTFOUND, path,
                    "%zu .safetensors files, but neither model.safetensors nor " FOLDER_INDEX,
                    l->weights.count);
  return fail_set(why, FAIL_NOTFOUND, path, "no %s here: not a Hugging Face model folder",
                  l->config ? ".safetensors" : "config.json and no .safetensors");
}

bool folder_look(folder_view *out, int fd, const char *path, fail *why)
{
  listing l = {0};
  const char *chosen = NULL;
  *out = (folder_view){0};
  if (!list_files(&l, fd, path, why) || !choose(&l, &chosen, path, why))
    goto fail;
  if (chosen != NULL && (out->weights = strdup(chosen)) == NULL) {
    fail_memory(why, path);
    goto fail;
  }
  if (l.extras.count > 0)
    qsort(l.extras.items, l.extras.count, sizeof *l.extras.items, by_text);
  out->extras = l.extras.items;
  out->extra_count = l.extras.count;
  drop(&l.weights);
  return true;
fail:
  drop(&l.weights);
  drop(&l.extras);
  return false;
}
