/* q8_neon.c */
#include "kern_c.h"
