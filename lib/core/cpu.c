/*
 * cpu.c - detection of instruction sets and the cap on them.
 *
 * Owns: cpuid and xgetbv, the level names, lq_cpu_features, lq_cpu_limit and lq_cpu_request.
 * Must not know: the kernels. Compiler built-ins are not used: their names differ between versions,
 * and some compilers have none.
 */
#include "cpu.h"

#include "atomic.h"

#include <string.h>

#if LQI_X86
#include <cpuid.h>
#elif LQI_DOTPROD && defined(__linux__)
#include <sys/auxv.h>
#endif

static const char *const level_names[LQI_LEVEL_COUNT] = {
    "scalar", "avx2", "avxvnni", "avx512", "avx512vbmi", "amx", "neon", "dotprod", "i8mm"};

/* Bits of the levels that the processor has, 0: not yet known; every writer sets the same ones. The
 * cap is a level + 1, 0: none. */
static atomic_uint cpu_detected;
static atomic_int cpu_cap;

#define BIT(level) (1u << LQI_LEVEL_##level)

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
static unsigned detect(void)
{
  unsigned a, b, c, d, levels = BIT(SCALAR);
  const unsigned fma_osxsave_avx_f16c = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !has(c, fma_osxsave_avx_f16c))
    return levels;
  uint64_t xcr0 = read_xcr0();
  if (!has(xcr0, 0x6) || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || !has(b, 1u << 5))
    return levels;
  const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
  const unsigned vbmi_vnni = 1u << 1 | 1u << 11;
  levels |= BIT(AVX2);
  if (has(xcr0, 0xe6) && has(b, f_dq_bw_vl)) {
    levels |= BIT(AVX512);
    levels |= has(c, vbmi_vnni) ? BIT(AVX512VBMI) : 0;
  }
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && has(a, 1u << 4))
    levels |= BIT(AVXVNNI);
  return levels;
}

#elif LQI_NEON

/* Part of the base architecture; the products of bytes are not. */
static unsigned detect(void)
{
  unsigned levels = BIT(SCALAR) | BIT(NEON);
#if LQI_DOTPROD && defined(__linux__)
  const unsigned long dotprod = 1ul << 20, i8mm = 1ul << 13;
  if (getauxval(AT_HWCAP) & dotprod)
    levels |= BIT(DOTPROD) | (getauxval(AT_HWCAP2) & i8mm ? BIT(I8MM) : 0);
#endif
  return levels;
}

#else

static unsigned detect(void)
{
  return BIT(SCALAR);
}

#endif

static unsigned detected_levels(void)
{
  unsigned levels = atomic_load_explicit(&cpu_detected, memory_order_relaxed);
  if (levels == 0) {
    levels = detect();
    atomic_fetch_or_explicit(&cpu_detected, levels, memory_order_relaxed);
  }
  return levels;
}

int lqi_cpu_has(int level)
{
  return level >= 0 && level < LQI_LEVEL_COUNT && detected_levels() >> level & 1u;
}

enum lqi_level lqi_cpu_level(void)
{
  int level = atomic_load_explicit(&cpu_cap, memory_order_relaxed) - 1;
  if (level < 0)
    for (level = LQI_LEVEL_COUNT - 1; !lqi_cpu_has(level);)
      level--;
  return (enum lqi_level)level;
}

const char *lqi_level_name(enum lqi_level level)
{
  return level_names[level];
}

LQ_API const char *lq_cpu_features(void)
{
  return level_names[lqi_cpu_level()];
}

#if LQI_AMX && defined(__linux__)

/* The processor's tiles, and that the system knows their registers. */
static int has_amx(void)
{
  unsigned a, b, c, d;
  const unsigned bf16_tile_int8 = 1u << 22 | 1u << 24 | 1u << 25;
  return has(detect(), BIT(AVX512VBMI)) && has(read_xcr0(), 0x60000) &&
         __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && has(d, bf16_tile_int8);
}

/*
 * Linux saves the 8 KiB of tile registers of a process only if it has asked (arch_prctl
 * ARCH_REQ_XCOMP_PERM, feature 18); without, the first tile instruction ends it.
 */
static int amx_granted(void)
{
  const long arch_prctl = 158, request = 0x1023, tile_data = 18;
  long result = -1;
  if (has_amx())
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(arch_prctl), "D"(request), "S"(tile_data)
                     : "rcx", "r11", "memory");
  return result == 0;
}

#else

static int amx_granted(void)
{
  return 0;
}

#endif

LQ_API lq_status lq_cpu_request(const char *level)
{
  if (level == NULL || strcmp(level, level_names[LQI_LEVEL_AMX]) != 0)
    return LQ_E_ARGUMENT;
  if (lqi_cpu_has(LQI_LEVEL_AMX))
    return LQ_OK;
  if (!amx_granted())
    return LQ_E_UNSUPPORTED;
  atomic_fetch_or_explicit(&cpu_detected, BIT(AMX), memory_order_relaxed);
  return LQ_OK;
}

LQ_API lq_status lq_cpu_limit(const char *level)
{
  if (level == NULL || strcmp(level, "max") == 0) {
    atomic_store_explicit(&cpu_cap, 0, memory_order_relaxed);
    return LQ_OK;
  }
  for (int i = 0; i < LQI_LEVEL_COUNT; i++)
    if (strcmp(level, level_names[i]) == 0) {
      if (!lqi_cpu_has(i))
        return LQ_E_UNSUPPORTED;
      atomic_store_explicit(&cpu_cap, i + 1, memory_order_relaxed);
      return LQ_OK;
    }
  return LQ_E_ARGUMENT;
}
