/*
 * disk.h - what the system offers beyond POSIX for whole outputs: locks, free space, exchange.
 *
 * Owns: nothing. Must not know: what lies in the files.
 */
#ifndef QUANT_FILES_DISK_H
#define QUANT_FILES_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* Locks an open file for this process until it is closed. False with errno set: EWOULDBLOCK when
 * another one has it. */
bool disk_lock(int fd);

/* Bytes that may still be written to the disk that holds `path`; UINT64_MAX when nobody knows. */
uint64_t disk_free(const char *path);

/* Two names for each other's contents at one moment. False with errno set: ENOSYS or EINVAL where
 * the system cannot. */
bool disk_exchange(const char *a, const char *b);

#endif
