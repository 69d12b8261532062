/* model_folder.c - see model_folder.h. */
#include "model_folder.h"

#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool add(name_list *list, const char *name)
{
  if (list->count == list->capacity) {
    size_t want = list->capacity < 16 ? 16 : list->capacity * 2;
    char **items = realloc(list->items, want * sizeof *items);
    if (items == NULL)
      return false;
    list->items = items;
    list->capacity = want;
  }
  list->items[list->count] = strdup(name);
  return list->items[list->count] != NULL && ++list->count > 0;
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

/* All plain files, sorted into weights and extras. Hidden names are passed over. */
static bool list_files(int fd, name_list *weights, name_list *extras, const char *path, fail *why)
{
  int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* closedir closes it */
  DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
  bool ok = true;
  if (dir == NULL) {
    fail_system(why, path, "read the folder", errno);
    if (copy >= 0)
      close(copy);
    return false;
  }
  for (struct dirent *e; ok && (e = readdir(dir)) != NULL;) {
    struct stat st;
    if (e->d_name[0] == '.' || fstatat(fd, e->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
      continue;
    if (io_has_suffix(e->d_name, ".safetensors"))
      ok = add(weights, e->d_name);
    else if (!stays_behind(e->d_name))
      ok = add(extras, e->d_name);
  }
  closedir(dir);
  return ok || fail_memory(why, path);
}

/* Which file holds the weights: `*out` its name, or NULL for the index. */
static bool choose(const name_list *weights, int fd, const char **out, const char *path, fail *why)
{
  struct stat st;
  *out = NULL;
  for (size_t i = 0; i < weights->count; i++)
    if (strcmp(weights->items[i], "model.safetensors") == 0)
      *out = weights->items[i];
  if (*out != NULL || fstatat(fd, FOLDER_INDEX, &st, 0) == 0)
    return true;
  if (weights->count == 1) {
    *out = weights->items[0];
    return true;
  }
  if (weights->count > 1)
    return fail_set(why, FAIL_NOTFOUND, path,
                    "%zu .safetensors files, but neither model.safetensors nor " FOLDER_INDEX,
                    weights->count);
  bool config = fstatat(fd, "config.json", &st, 0) == 0;
  return fail_set(why, FAIL_NOTFOUND, path, "no %s here: not a Hugging Face model folder",
                  config ? ".safetensors" : "config.json and no .safetensors");
}

bool folder_look(folder_view *out, int fd, const char *path, fail *why)
{
  name_list weights = {0}, extras = {0};
  const char *chosen = NULL;
  *out = (folder_view){0};
  if (!list_files(fd, &weights, &extras, path, why) || !choose(&weights, fd, &chosen, path, why))
    goto fail;
  if (chosen != NULL && (out->weights = strdup(chosen)) == NULL) {
    fail_memory(why, path);
    goto fail;
  }
  if (extras.count > 0)
    qsort(extras.items, extras.count, sizeof *extras.items, by_text);
  out->extras = extras.items;
  out->extra_count = extras.count;
  drop(&weights);
  return true;
fail:
  drop(&weights);
  drop(&extras);
  return false;
}
