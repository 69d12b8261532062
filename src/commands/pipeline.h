/*
 * pipeline.h - items that pass three stages in order, each stage on a thread of its own.
 *
 * Owns: the threads, the order, the bound on what is in flight. Must not know: what an item is. The
 * disk reads the next tensors and writes the last ones while the processor works, and no more than
 * `budget` bytes are held, save that one item alone may be larger.
 */
#ifndef QUANT_COMMANDS_PIPELINE_H
#define QUANT_COMMANDS_PIPELINE_H

#include "../files/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Item i uses slot i % PIPELINE_SLOTS of the caller's, which no other item in flight has. */
enum { PIPELINE_SLOTS = 4 };

typedef bool (*pipeline_stage)(void *user, size_t item, size_t slot, fail *why);

typedef struct pipeline {
  size_t items;
  uint64_t budget;
  void *user;
  uint64_t (*bytes)(void *user, size_t item); /* what the item holds while it is in flight */
  pipeline_stage read;                        /* on a new thread */
  pipeline_stage work;                        /* on the caller's thread */
  pipeline_stage write;                       /* on a new thread */
} pipeline;

/* Runs all items, or stops all stages at the first failure or signal and tells it. Afterwards no
 * thread is left; what failed items hold in their slots is the caller's to free. */
bool pipeline_run(const pipeline *p, fail *why);

#endif
