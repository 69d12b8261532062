/* interrupt.c - see interrupt.h. */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t arrived;

static void on_signal(int signal_number)
{
  if (arrived != 0)
    _exit(128 + signal_number); /* GCOVR_EXCL_LINE: no counters are written */
  arrived = signal_number;
}

bool interrupt_install(fail *why)
{
  struct sigaction action = {0};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0)
    return fail_system(why, NULL, "install a signal handler", errno); /* GCOVR_EXCL_LINE: cannot */
  action.sa_handler = SIG_IGN;
  if (sigaction(SIGPIPE, &action, NULL) != 0 || sigaction(SIGXFSZ, &action, NULL) != 0)
    return fail_system(why, NULL, "ignore a signal", errno); /* GCOVR_EXCL_LINE: cannot */
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
