/*
 * amx.c - products of tiles, AMX: 16 rows of 64 bytes times 16 rows of 64 bytes an instruction.
 *
 * Owns: the configuration of the tile registers, which is loaded and released in every call.
 * Must not know: what the bytes are rows of.
 *
 * Two tiles of w and two of x serve four sums: each is loaded once for two products of 16 cycles.
 * Written in assembly: nothing of a compiler is needed, and the load of a configuration names all
 * of its 64 bytes as input, which _tile_loadconfig of gcc 12 does not, so that it may leave out the
 * stores that made them. No other code uses tile registers, so they need not be listed as changed.
 */
#include "kern_c.h"

#if LQI_AMX

struct amx_config {
  uint8_t palette, start, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

#define AMX_TILE 1024

#define AMX_LOAD(tile, from, stride) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"(stride) : "memory")
#define AMX_STORE(tile, to) \
  __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"(line) : "memory")
#define AMX_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile ::)
#define AMX_DOT(op, x, w, sum) __asm__ volatile(op " %%tmm" #x ", %%tmm" #w ", %%tmm" #sum ::)

static void amx_begin(void)
{
  struct amx_config config = {.palette = 1};
  for (size_t i = 0; i < 8; i++) {
    config.row_bytes[i] = LQI_TILE_STEP;
    config.rows[i] = 16;
  }
  __asm__ volatile("ldtilecfg %0" ::"m"(config));
}

/* One block by one panel; `op` is the instruction. */
#define AMX_BLOCK(name, op) \
  static void name(const struct lqi_blocks *b, const uint8_t *w, const uint8_t *x, uint8_t *c) \
  { \
    const size_t line = LQI_TILE_STEP; \
    const uint8_t *below = w + 16 * b->w_stride; \
    if (b->begin) { \
      AMX_ZERO(0); \
      AMX_ZERO(1); \
      AMX_ZERO(2); \
      AMX_ZERO(3); \
    } else { \
      AMX_LOAD(0, c, line); \
      AMX_LOAD(1, c + AMX_TILE, line); \
      AMX_LOAD(2, c + 2 * AMX_TILE, line); \
      AMX_LOAD(3, c + 3 * AMX_TILE, line); \
    } \
    for (size_t s = 0; s < b->steps; s++) { \
      AMX_LOAD(4, w + s * LQI_TILE_STEP, b->w_stride); \
      AMX_LOAD(6, x + s * 2 * AMX_TILE, line); \
      AMX_DOT(op, 6, 4, 0); \
      AMX_LOAD(7, x + s * 2 * AMX_TILE + AMX_TILE, line); \
      AMX_DOT(op, 7, 4, 1); \
      AMX_LOAD(5, below + s * LQI_TILE_STEP, b->w_stride); \
      AMX_DOT(op, 6, 5, 2); \
      AMX_DOT(op, 7, 5, 3); \
    } \
    AMX_STORE(0, c); \
    AMX_STORE(1, c + AMX_TILE); \
    AMX_STORE(2, c + 2 * AMX_TILE); \
    AMX_STORE(3, c + 3 * AMX_TILE); \
  }

AMX_BLOCK(amx_block_bf16, "tdpbf16ps")
AMX_BLOCK(amx_block_i8, "tdpbssd")

/* A block stays in L1 while all panels go by. */
#define AMX_KERNEL(name, block) \
  void name(const struct lqi_blocks *b) \
  { \
    amx_begin(); \
    for (size_t i = 0; i < b->blocks; i++) \
      for (size_t p = 0; p < b->panels; p++) \
        block(b, b->w + i * LQI_TILE_ROWS * b->w_stride, b->x + p * b->x_step, \
              b->c + (p * b->blocks + i) * 4 * AMX_TILE); \
    __asm__ volatile("tilerelease" ::); \
  }

AMX_KERNEL(lqi_blocks_bf16_amx, amx_block_bf16)
AMX_KERNEL(lqi_blocks_i8_amx, amx_block_i8)

#endif
