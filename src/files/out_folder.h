/* out_folder.h - what out_file.c and job.c need of a folder being built. For them only. */
#ifndef QUANT_FILES_OUT_FOLDER_H
#define QUANT_FILES_OUT_FOLDER_H

#include "output.h"

/* May an output of that path be made, or replaced with `force`? */
bool out_folder_check(const char *path, bool force, fail *why);

const char *out_folder_temp(const out_folder *f); /* where it is now */

#endif
