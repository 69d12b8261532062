/* journal.c - see journal.h. */
#include "journal.h"

#include "io.h"
#include "json.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME = 8 };

typedef struct record {
  size_t at, length; /* of the text in journal.text */
} record;

struct journal {
  int fd;
  char *path;
  char *text; /* what the file held when it was opened */
  record *records;
  size_t count;
  uint64_t end; /* where the next record goes */
  bool broken;
};

/* The CRC of Ethernet and zip, four bits at a time. */
static uint32_t crc32(const char *bytes, size_t count)
{
  static const uint32_t of[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                  0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                  0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                  0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
  uint32_t crc = 0xFFFFFFFF;

  for (size_t i = 0; i < count; i++) {
    crc ^= (unsigned char)bytes[i];
    crc = crc >> 4 ^ of[crc & 15];
    crc = crc >> 4 ^ of[crc & 15];
  }
  return ~crc;
}

static uint32_t load32(const char *p)
{
  const unsigned char *b = (const unsigned char *)p;

  return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void store32(char *p, uint32_t x)
{
  for (int i = 0; i < 4; i++)
    p[i] = (char)(unsigned char)(x >> 8 * i & 0xFF);
}

/* ---- opening ---- */

/* Finds the records in `length` bytes; j->end is behind the last good one. */
static bool find_records(journal *j, size_t length, fail *why)
{
  size_t at = 0;

  j->records = calloc(length / FRAME + 1, sizeof *j->records);
  if (j->records == NULL)
    return fail_memory(why, j->path);
  while (length - at >= FRAME) {
    const char *frame = j->text + at;
    uint32_t bytes = load32(frame);

    if (bytes == 0 || bytes > length - at - FRAME) /* zeros: what a power cut leaves */
      break;
    if (crc32(frame + FRAME, bytes) != load32(frame + 4)) {
      if (bytes < length - at - FRAME)
        return fail_set(why, FAIL_FORMAT, j->path, "byte %zu: a damaged record", at);
      break;
    }
    j->records[j->count++] = (record){at + FRAME, bytes};
    at += FRAME + bytes;
  }
  j->end = at;
  return true;
}

static bool read_records(journal *j, fail *why)
{
  sys_info info;

  if (!sys_look_open(&info, j->fd))
    return fail_system(why, j->path, "read its size", errno);
  if (!info.is_file)
    return fail_set(why, FAIL_FORMAT, j->path, "is not a regular file");
  if (info.bytes > JSON_BYTES_MAX)
    return fail_set(why, FAIL_LIMIT, j->path, "more than %d bytes", JSON_BYTES_MAX);
  j->text = malloc((size_t)info.bytes + 1);
  if (j->text == NULL)
    return fail_memory(why, j->path);
  return io_read_at(j->fd, 0, j->text, (size_t)info.bytes, j->path, why) &&
         find_records(j, (size_t)info.bytes, why);
}

/* The open file, locked. Whoever had the lock before may have removed the file since: then again.
 */
static bool open_locked(journal *j, fail *why)
{
  sys_info info;

  for (;;) {
    j->fd = sys_open(SYS_CWD, j->path, SYS_CHANGE_OR_CREATE);
    if (j->fd < 0)
      return fail_system(why, j->path, "open", errno);
    if (!sys_lock(j->fd)) {
      if (errno == EWOULDBLOCK)
        return fail_set(why, FAIL_EXISTS, j->path, "another process is at work here");
      if (errno != ENOLCK && errno != ENOSYS && errno != ENOTSUP)
        return fail_system(why, j->path, "lock", errno); /* else: a disk without locks */
    }
    if (!sys_look_open(&info, j->fd))
      return fail_system(why, j->path, "look at", errno);
    if (info.links > 0)
      return true;
    sys_close(j->fd);
  }
}

bool journal_open(journal **out, const char *path, bool empty, fail *why)
{
  journal *j = calloc(1, sizeof *j);

  *out = NULL;
  if (j == NULL)
    return fail_memory(why, path);
  j->fd = -1;
  j->path = io_join(NULL, path);
  if (j->path == NULL)
    fail_memory(why, path);
  else if (open_locked(j, why) && (empty || read_records(j, why))) {
    if (sys_cut(j->fd, j->end)) {
      *out = j;
      return true;
    }
    fail_system(why, path, "cut", errno);
  }
  journal_close(j);
  return false;
}

void journal_close(journal *j)
{
  if (j == NULL)
    return;
  if (j->fd >= 0)
    sys_close(j->fd);
  free(j->records);
  free(j->text);
  free(j->path);
  free(j);
}

/* ---- records ---- */

size_t journal_count(const journal *j)
{
  return j->count;
}

const char *journal_at(const journal *j, size_t i, size_t *length)
{
  *length = j->records[i].length;
  return j->text + j->records[i].at;
}

bool journal_add(journal *j, const buf *text, fail *why)
{
  buf framed = {0};
  char frame[FRAME];
  bool ok;

  if (j->broken)
    return fail_set(why, FAIL_IO, j->path, "an earlier record could not be written");
  if (text->failed)
    return fail_memory(why, j->path);
  if (text->length > JSON_BYTES_MAX - j->end)
    return fail_set(why, FAIL_LIMIT, j->path, "more than %d bytes", JSON_BYTES_MAX);
  store32(frame, (uint32_t)text->length);
  store32(frame + 4, crc32(text->data, text->length));
  buf_add(&framed, frame, FRAME);
  buf_add(&framed, text->data, text->length);
  if (framed.failed)
    ok = fail_memory(why, j->path);
  else
    ok = io_write_at(j->fd, j->end, framed.data, framed.length, j->path, why) &&
         io_flush(j->fd, j->path, why);
  if (ok)
    j->end += framed.length;
  j->broken = !ok;
  buf_free(&framed);
  return ok;
}
