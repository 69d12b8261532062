/*
 * cpu.c - detection of instruction sets and the cap on them.
 *
 * Owns: cpuid and xgetbv, the level names, lq_cpu_features, lq_cpu_limit and lq_cpu_request.
 * Must not know: the kernels. Compiler built-ins are not used: their names differ between versions,
 * and some compilers have none.
 */
#include "cpu.h"

#include <stdatomic.h>
#include <string.h>

#if LQI_X86
#include <cpuid.h>
#endif

static const char *const level_names[LQI_LEVEL_COUNT] = {"scalar",     "avx2", "avx512",
                                                         "avx512vbmi", "amx",  "neon"};

/* Both hold level + 1, 0 meaning "not yet known" and "no cap". Every writer of `detected` writes
 * the same value. */
static _Atomic int detected;
static _Atomic int limit;

#if LQI_X86

static uint64_t read_xcr0(void)
{
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

/* All bits of `mask` set in `word`. */
static int has(uint64_t word, uint64_t mask)
{
  return (word & mask) == mask;
}

/* The instruction set alone is not enough: the operating system must save the registers (XCR0). */
static enum lqi_level detect(void)
{
  unsigned a, b, c, d;
  const unsigned fma_osxsave_avx_f16c = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !has(c, fma_osxsave_avx_f16c))
    return LQI_LEVEL_SCALAR;
  uint64_t xcr0 = read_xcr0();
  if (!has(xcr0, 0x6) || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || !has(b, 1u << 5))
    return LQI_LEVEL_SCALAR;
  const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
  if (!has(xcr0, 0xe6) || !has(b, f_dq_bw_vl))
    return LQI_LEVEL_AVX2;
  const unsigned vbmi_vnni = 1u << 1 | 1u << 11;
  return has(c, vbmi_vnni) ? LQI_LEVEL_AVX512VBMI : LQI_LEVEL_AVX512;
}

/* The processor's tiles, and that the system knows their registers. */
static int has_amx(void)
{
  unsigned a, b, c, d;
  const unsigned bf16_tile_int8 = 1u << 22 | 1u << 24 | 1u << 25;
  return detect() == LQI_LEVEL_AVX512VBMI && has(read_xcr0(), 0x60000) &&
         __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && has(d, bf16_tile_int8);
}

#elif LQI_NEON

static enum lqi_level detect(void)
{
  return LQI_LEVEL_NEON; /* part of the base architecture of aarch64 */
}

#else

static enum lqi_level detect(void)
{
  return LQI_LEVEL_SCALAR;
}

#endif

static enum lqi_level detected_level(void)
{
  int level = atomic_load_explicit(&detected, memory_order_relaxed);
  if (level == 0) {
    level = (int)detect() + 1;
    atomic_store_explicit(&detected, level, memory_order_relaxed);
  }
  return (enum lqi_level)(level - 1);
}

enum lqi_level lqi_cpu_level(void)
{
  int cap = atomic_load_explicit(&limit, memory_order_relaxed);
  return cap != 0 ? (enum lqi_level)(cap - 1) : detected_level();
}

const char *lqi_level_name(enum lqi_level level)
{
  return level_names[level];
}

LQ_API const char *lq_cpu_features(void)
{
  return level_names[lqi_cpu_level()];
}

/*
 * Linux saves the 8 KiB of tile registers of a process only if it has asked (arch_prctl
 * ARCH_REQ_XCOMP_PERM, feature 18); without, the first tile instruction ends it.
 */
static int amx_granted(void)
{
#if LQI_AMX && defined(__linux__)
  const long arch_prctl = 158, request = 0x1023, tile_data = 18;
  long result = -1;
  if (has_amx())
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(arch_prctl), "D"(request), "S"(tile_data)
                     : "rcx", "r11", "memory");
  return result == 0;
#else
  return 0;
#endif
}

LQ_API lq_status lq_cpu_request(const char *level)
{
  if (level == NULL || strcmp(level, level_names[LQI_LEVEL_AMX]) != 0)
    return LQ_E_ARGUMENT;
  if (detected_level() == LQI_LEVEL_AMX)
    return LQ_OK;
  if (!amx_granted())
    return LQ_E_UNSUPPORTED;
  atomic_store_explicit(&detected, (int)LQI_LEVEL_AMX + 1, memory_order_relaxed);
  return LQ_OK;
}

/* A level that stands on another family's ladder is not below ours: NEON is no cap for a machine
 * with AVX2. */
static int reaches(enum lqi_level machine, enum lqi_level asked)
{
  if (asked == LQI_LEVEL_SCALAR || asked == machine)
    return 1;
  return machine != LQI_LEVEL_NEON && asked < machine;
}

LQ_API lq_status lq_cpu_limit(const char *level)
{
  if (level == NULL || strcmp(level, "max") == 0) {
    atomic_store_explicit(&limit, 0, memory_order_relaxed);
    return LQ_OK;
  }
  for (int i = 0; i < LQI_LEVEL_COUNT; i++)
    if (strcmp(level, level_names[i]) == 0) {
      if (!reaches(detected_level(), (enum lqi_level)i))
        return LQ_E_UNSUPPORTED;
      atomic_store_explicit(&limit, i + 1, memory_order_relaxed);
      return LQ_OK;
    }
  return LQ_E_ARGUMENT;
}
