/*
 * interrupt.h - SIGINT and SIGTERM as a flag that long work polls.
 *
 * Owns: the only mutable global of the tool, one volatile sig_atomic_t. Must not know: what is
 * being cleaned up. The first signal sets the flag; the pipeline sees it between two tensors,
 * aborts its output and returns FAIL_INTERRUPTED. A second signal ends the process at once with
 * status 128 + signal.
 */
#ifndef QUANT_FILES_INTERRUPT_H
#define QUANT_FILES_INTERRUPT_H

#include "fail.h"

/* Installs the handlers; also ignores SIGPIPE and SIGXFSZ, so that both arrive as errors of
 * write(). Call once, from main, before any thread starts. */
bool interrupt_install(fail *why);

/* The signal that arrived, or 0. Any thread. */
int interrupt_signal(void);

/* True while nothing arrived; else fills `why` with FAIL_INTERRUPTED and returns false. Any thread.
 */
bool interrupt_check(fail *why);

#endif
