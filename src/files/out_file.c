/* out_file.c - one output file: see output.h. Must not know: folders being replaced. */
#include "output.h"

#include "io.h"
#include "out_folder.h"
#include "out_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
static bool check_target(const char *path, bool force, mode_t *mode, bool *old, fail *why)
{
  struct stat st;
  *old = lstat(path, &st) == 0;
  if (!*old)
    return errno == ENOENT || fail_system(why, path, "look at", errno);
  if (!force)
    return fail_set(why, FAIL_EXISTS, path, "exists already; --force replaces it");
  if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
    return fail_set(why, FAIL_EXISTS, path, "is not a plain file and is not replaced");
  *mode = S_ISREG(st.st_mode) ? st.st_mode & 0777 : 0;
  return true;
}

bool out_file_create(out_file **out, const char *path, bool force, fail *why)
{
  char *name = NULL;
  mode_t mode = 0;
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
  if (mode != 0 && fchmod(f->fd, mode) != 0) {
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
  if (!out_plain_name(name))
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
  f->fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
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
  int error;
  if (bytes == 0)
    return true;
  if (bytes > INT64_MAX)
    return fail_set(why, FAIL_OVERFLOW, f->path, "the file would not fit 63 bits");
  do
    error = posix_fallocate(f->fd, 0, (off_t)bytes);
  while (error == EINTR);
  /* A file system that cannot reserve reports a full disk later, at the write. */
  if (error == 0 || error == EINVAL || error == EOPNOTSUPP || error == ENOTSUP || error == ENOSYS)
    return true;
  return fail_system(why, f->path, "reserve space on the disk", error);
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
  if (close(fd) != 0 && errno != EINTR)
    return fail_system(why, f->path, "close", errno);
  return true;
}

/* The rename; what appeared at the target since the start is treated as at the start. */
static bool publish(out_file *f, fail *why)
{
  mode_t mode;
  bool old;
  if (!check_target(f->path, f->force, &mode, &old, why))
    return false;
  if (rename(f->temp, f->path) != 0)
    return fail_system(why, f->path, "rename the finished file", errno);
  free(f->temp);
  f->temp = NULL;
  if (out_sync_folder(f->folder, f->path, why))
    return true;
  if (!old)
    unlink(f->path); /* reported as failed, so it must not be there */
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
    close(f->fd);
  if (f->temp != NULL)
    unlink(f->temp);
  free(f->temp);
  free(f->folder);
  free(f->path);
  free(f);
}
