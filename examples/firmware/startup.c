/*
 * startup.c - the least that a Cortex-M with an FPU needs before main, and text and the end of the
 * program by semihosting: a debugger or the emulator does them.
 */
#include "board.h"

#include <stdint.h>

extern uint32_t data_begin[], data_end[], bss_end[], stack_end[]; /* mps.ld */
extern const uint32_t data_source[];
int main(void);

static int32_t semihost(uint32_t operation, const void *argument)
{
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;

  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return (int32_t)r0;
}

void board_print(const char *text)
{
  semihost(0x04, text); /* SYS_WRITE0 */
}

static _Noreturn void leave(uint32_t status)
{
  const uint32_t arguments[2] = {0x20026, status}; /* ADP_Stopped_ApplicationExit */

  for (;;)
    semihost(0x20, arguments); /* SYS_EXIT_EXTENDED */
}

_Noreturn void reset(void);

_Noreturn void reset(void)
{
  /* Coprocessors 10 and 11, the FPU and the vector unit, are off after a reset. */
  *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20;
  __asm__ volatile("dsb\n\tisb" ::: "memory");
  for (uint32_t *to = data_begin; to < bss_end; to++)
    *(volatile uint32_t *)to = to < data_end ? data_source[to - data_begin] : 0;
  leave((uint32_t)main());
}

static _Noreturn void fault(void)
{
  board_print("fault\n");
  leave(99);
}

struct vectors {
  uint32_t *stack;
  void (*handler[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
    stack_end,
    {reset, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault, fault}};
