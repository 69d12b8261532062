/*
 * cpu.h - which kernels this processor can run.
 *
 * Owns: detection, the names of the levels, and the cap that tests put on them.
 * Must not know: what the kernels do.
 */
#ifndef LQI_CPU_H
#define LQI_CPU_H

#include "base.h"

/* In the order of preference. A level includes all that stand before it in its family, but AVXVNNI
 * is not part of those with AVX-512; every machine has SCALAR. */
enum lqi_level {
  LQI_LEVEL_SCALAR,
  LQI_LEVEL_AVX2,       /* AVX2, FMA, F16C: Haswell, Zen */
  LQI_LEVEL_AVXVNNI,    /* + AVX-VNNI: Alder Lake */
  LQI_LEVEL_AVX512,     /* + AVX-512 F, BW, DQ, VL: Skylake server */
  LQI_LEVEL_AVX512VBMI, /* + VBMI, VNNI: Ice Lake, Zen 4 */
  LQI_LEVEL_AMX,        /* + AMX tiles of int8 and bf16: Sapphire Rapids; asked for */
  LQI_LEVEL_NEON,       /* aarch64 */
  LQI_LEVEL_DOTPROD,    /* + SDOT: Cortex-A76, Neoverse N1 */
  LQI_LEVEL_I8MM,       /* + SMMLA: Neoverse N2, V1, Apple M2 */
  LQI_LEVEL_COUNT
};

/* Whether the processor has that level, whatever the cap. Any thread. */
int lqi_cpu_has(int level);

/* The best level that the processor has and lq_cpu_limit allows. Any thread. */
enum lqi_level lqi_cpu_level(void);

/* Lower-case name of a level: "scalar", "avx2", .. */
const char *lqi_level_name(enum lqi_level level);

#endif
