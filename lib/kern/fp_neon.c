/* fp_neon.c */
#include "kern_c.h"
