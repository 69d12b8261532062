/* out_folder.h - what out_file.c needs of a folder being built. For out_*.c only. */
#ifndef QUANT_FILES_OUT_FOLDER_H
#define QUANT_FILES_OUT_FOLDER_H

#include "output.h"

const char *out_folder_temp(const out_folder *f); /* where it is now */

#endif
