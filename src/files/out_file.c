/* out_file.c - one output file: see output.h. Must not know: folders being replaced. */
#include "output.h"

#include "io.h"
#include "out_folder.h"
#include "out_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct out_file {
  int fd;
  char *path;   /* final, for messages and rename */
  char *folder; /* of `path`; NULL inside a folder that is itself hidden */
  char *temp;   /* what exists until commit */
  bool force;
  uint64_t appended;
};

static out_file *new_file(void)
{
  out_file *f = calloc(1, sizeof *f);
  if (f != NULL)
    f->fd = -1;
  return f;
}

/* Nothing may be at the target, or with force a plain file; then its mode is kept. */
static bool check_target(const char *path, bool force, unsigned *mode, bool *old, fail *why)
{
  sys_info info;
  *old = sys_look(&info, SYS_CWD, path, false);
  if (!*old && errno != ENOENT)
    return fail_system(why, path, "look at", errno);
  if (!*old)
    return true;
  if (!force)
    return fail_set(why, FAIL_EXISTS, path, "exists already; --force replaces it");
  if (!info.is_file && !info.is_link)
    return fail_set(why, FAIL_EXISTS, path, "is not a plain file and is not replaced");
  *mode = info.is_file ? info.mode : 0;
  return true;
}

bool out_file_create(out_file **out, const char *path, bool force, fail *why)
{
  char *name = NULL;
  unsigned mode = 0;
  bool old = false;
  *out = NULL;
  out_file *f = new_file();
  if (f == NULL)
    return fail_memory(why, path);
  f->force = force;
  f->path = strdup(path);
  if (f->path == NULL) {
    fail_memory(why, path);
    goto fail;
  }
  if (!out_split(path, &f->folder, &name, why) || !check_target(path, force, &mode, &old, why) ||
      !out_open_temp(&f->fd, &f->temp, f->folder, name, path, why))
    goto fail;
  if (mode != 0 && !sys_set_mode(f->fd, mode)) {
    fail_system(why, path, "keep its mode", errno);
    goto fail;
  }
  free(name);
  *out = f;
  return true;
fail:
  free(name);
  out_file_abort(f);
  return false;
}

bool out_file_create_in(out_file **out, out_folder *folder, const char *name, fail *why)
{
  *out = NULL;
  if (!sys_is_name(name))
    return fail_set(why, FAIL_USAGE, out_folder_path(folder), "\"%s\" is not a plain file name",
                    name);
  out_file *f = new_file();
  if (f == NULL)
    return fail_memory(why, name);
  f->path = io_join(out_folder_path(folder), name);
  char *temp = io_join(out_folder_temp(folder), name);
  if (f->path == NULL || temp == NULL) {
    fail_memory(why, name);
    goto fail;
  }
  f->fd = sys_open(SYS_CWD, temp, SYS_CREATE);
  if (f->fd < 0) {
    fail_system(why, f->path, "create", errno);
    goto fail;
  }
  f->temp = temp;
  *out = f;
  return true;
fail:
  free(temp);
  out_file_abort(f);
  return false;
}

const char *out_file_path(const out_file *f)
{
  return f->path;
}

bool out_reserve(out_file *f, uint64_t bytes, fail *why)
{
  if (bytes == 0)
    return true;
  if (bytes > INT64_MAX)
    return fail_set(why, FAIL_OVERFLOW, f->path, "the file would not fit 63 bits");
  if (!sys_reserve(f->fd, bytes))
    return fail_system(why, f->path, "reserve space on the disk", errno);
  return true;
}

bool out_write_at(out_file *f, uint64_t offset, const void *from, size_t count, fail *why)
{
  return io_write_at(f->fd, offset, from, count, f->path, why);
}

bool out_append(out_file *f, const void *from, size_t count, fail *why)
{
  if (!out_write_at(f, f->appended, from, count, why))
    return false;
  f->appended += count;
  return true;
}

/* Contents on the disk and descriptor closed, each with its own chance to report a lost write. */
static bool settle(out_file *f, fail *why)
{
  if (!io_flush(f->fd, f->path, why))
    return false;
  int fd = f->fd;
  f->fd = -1;
  if (!sys_close(fd))
    return fail_system(why, f->path, "close", errno);
  return true;
}

/* The rename; what appeared at the target since the start is treated as at the start. */
static bool publish(out_file *f, fail *why)
{
  unsigned mode;
  bool old;
  if (!check_target(f->path, f->force, &mode, &old, why))
    return false;
  if (!sys_rename(f->temp, f->path))
    return fail_system(why, f->path, "rename the finished file", errno);
  free(f->temp);
  f->temp = NULL;
  if (out_sync_folder(f->folder, f->path, why))
    return true;
  if (!old)
    sys_remove(SYS_CWD, f->path); /* reported as failed, so it must not be there */
  return false;
}

bool out_file_commit(out_file **file, fail *why)
{
  out_file *f = *file;
  *file = NULL;
  bool ok = settle(f, why);
  if (ok && f->folder != NULL)
    ok = publish(f, why);
  if (ok) {
    free(f->temp); /* inside a folder it has its name already */
    f->temp = NULL;
  }
  out_file_abort(f);
  return ok;
}

void out_file_abort(out_file *f)
{
  if (f == NULL)
    return;
  if (f->fd >= 0)
    sys_close(f->fd);
  if (f->temp != NULL)
    sys_remove(SYS_CWD, f->temp);
  free(f->temp);
  free(f->folder);
  free(f->path);
  free(f);
}
