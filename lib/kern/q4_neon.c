/* q4_neon.c */
#include "kern_c.h"
