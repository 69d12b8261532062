/* interrupt.c - see interrupt.h. */
#include "interrupt.h"

#include "system.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

static volatile sig_atomic_t arrived;

static void on_signal(int signal_number)
{
  if (arrived != 0)
    _Exit(128 + signal_number);
  arrived = signal_number;
}

bool interrupt_install(fail *why)
{
  if (!sys_catch(on_signal))
    return fail_system(why, NULL, "install a signal handler", errno);
  return true;
}

int interrupt_signal(void)
{
  return (int)arrived;
}

bool interrupt_check(fail *why)
{
  int which = interrupt_signal();
  if (which == 0)
    return true;
  fail_set(why, FAIL_INTERRUPTED, NULL, "interrupted; nothing was written");
  if (why != NULL)
    why->detail = which;
  return false;
}
