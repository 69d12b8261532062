/*
 * model_folder.h - what a model folder holds, by name alone. For model.c only.
 *
 * Owns: the choice of the weights file and of the files that go along. Must not know: contents.
 */
#ifndef QUANT_FILES_MODEL_FOLDER_H
#define QUANT_FILES_MODEL_FOLDER_H

#include "model.h"

#define FOLDER_INDEX "model.safetensors.index.json"

typedef struct folder_view {
  char *weights; /* the one file, or NULL: then FOLDER_INDEX is there */
  char **extras; /* sorted */
  size_t extra_count;
} folder_view;

/* The caller frees `weights`, each extra and `extras`; nothing is left on failure. */
bool folder_look(folder_view *out, int fd, const char *path, fail *why);

#endif
