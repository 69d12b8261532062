/*
 * out_folder.c - a folder that appears whole: see output.h.
 *
 * Folders are flat here: what is removed is a list of plain files, never a tree.
 */
#include "out_folder.h"

#include "interrupt.h"
#include "io.h"
#include "out_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_BYTES = 1 << 18 };

struct out_folder {
  char *path;   /* final */
  char *parent; /* folder of `path` */
  char *name;
  char *temp; /* where it is built; NULL once renamed */
  bool lent;  /* `temp` is somebody else's to remove */
  bool force;
};

const char *out_folder_path(const out_folder *f)
{
  return f->path;
}

const char *out_folder_temp(const out_folder *f)
{
  return f->temp;
}

/* ---- old folders ---- */

/* May this folder be removed? Only when it is empty or clearly a model, and holds no folders. */
static bool replaceable(const char *path, fail *why)
{
  bool empty = true, is_model = false, plain = true, ok = true;
  sys_list *list = sys_list_open(SYS_CWD, path, true);
  if (list == NULL)
    return fail_system(why, path, "open", errno);
  for (const char *name; plain && (name = io_next_name(list, &ok, path, why)) != NULL;) {
    sys_info info;
    empty = false;
    is_model = is_model || strcmp(name, "config.json") == 0 || io_has_suffix(name, ".safetensors");
    plain = sys_look(&info, sys_list_folder(list), name, false) && !info.is_folder;
  }
  sys_list_close(list);
  if (!ok)
    return false;
  if (!plain)
    return fail_set(why, FAIL_EXISTS, path, "holds other folders and is not replaced");
  if (!empty && !is_model)
    return fail_set(why, FAIL_EXISTS, path, "does not look like a model and is not replaced");
  return true;
}

static bool check_target(const char *path, bool force, bool *old, fail *why)
{
  sys_info info;
  *old = sys_look(&info, SYS_CWD, path, false);
  if (!*old && errno != ENOENT)
    return fail_system(why, path, "look at", errno);
  if (!*old)
    return true;
  if (!force)
    return fail_set(why, FAIL_EXISTS, path, "exists already; --force replaces it");
  if (!info.is_folder)
    return fail_set(why, FAIL_EXISTS, path, "is not a folder and is not replaced");
  return replaceable(path, why);
}

bool out_folder_check(const char *path, bool force, fail *why)
{
  char *parent = NULL, *name = NULL;
  bool old;
  bool ok = out_split(path, &parent, &name, why) && check_target(path, force, &old, why);
  free(parent);
  free(name);
  return ok;
}

/* Removes a flat folder; false (errno set) when something stayed. */
static bool remove_flat(const char *path)
{
  sys_list *list = sys_list_open(SYS_CWD, path, true);
  if (list == NULL)
    return false;
  bool ok = true;
  for (const char *name; (name = io_next_name(list, &ok, path, NULL)) != NULL;)
    sys_remove(sys_list_folder(list), name); /* what stays keeps the folder */
  sys_list_close(list);
  return sys_remove_folder(SYS_CWD, path);
}

/* A new empty hidden folder beside the target. */
static char *make_beside(const out_folder *f, const char *what, fail *why)
{
  for (unsigned n = 0; n < OUT_TRIES; n++) {
    char *path = out_beside(f->parent, f->name, what, n);
    if (path == NULL) {
      fail_memory(why, f->path);
      return NULL;
    }
    if (sys_make_folder(SYS_CWD, path))
      return path;
    int error = errno;
    free(path);
    if (error != EEXIST) {
      fail_system(why, f->path, "create a temporary folder beside it", error);
      return NULL;
    }
  }
  fail_system(why, f->path, "create a temporary folder beside it", EEXIST);
  return NULL;
}

/* ---- building ---- */

bool out_folder_create(out_folder **out, const char *path, const char *hidden, bool force,
                       fail *why)
{
  bool old;
  *out = NULL;
  out_folder *f = calloc(1, sizeof *f);
  if (f == NULL)
    return fail_memory(why, path);
  f->force = force;
  if (!out_split(path, &f->parent, &f->name, why))
    goto fail;
  f->path = strcmp(f->parent, ".") == 0 ? strdup(f->name) : io_join(f->parent, f->name);
  if (f->path == NULL) {
    fail_memory(why, path);
    goto fail;
  }
  if (!check_target(f->path, force, &old, why))
    goto fail;
  f->lent = hidden != NULL;
  f->temp = f->lent ? strdup(hidden) : make_beside(f, "tmp", why);
  if (f->temp == NULL) {
    if (f->lent)
      fail_memory(why, path);
    goto fail;
  }
  *out = f;
  return true;
fail:
  out_folder_abort(f);
  return false;
}

bool out_folder_put(out_folder *to, const char *name, const void *bytes, size_t count, fail *why)
{
  out_file *file = NULL;
  if (!out_file_create_in(&file, to, name, why))
    return false;
  if (out_append(file, bytes, count, why))
    return out_file_commit(&file, why);
  out_file_abort(file);
  return false;
}

bool out_folder_copy(out_folder *to, int from_folder, const char *name, const char *shown,
                     fail *why)
{
  int fd = -1;
  uint64_t left = 0, at = 0;
  out_file *file = NULL;
  char *piece = NULL;
  bool ok = false;
  if (!io_open(&fd, &left, from_folder, name, true, shown, why))
    return false;
  piece = malloc(COPY_BYTES);
  if (piece == NULL) {
    fail_memory(why, shown);
    goto done;
  }
  if (!out_file_create_in(&file, to, name, why) || !out_reserve(file, left, why))
    goto done;
  while (left > 0) {
    size_t n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
    if (!interrupt_check(why) || !io_read_at(fd, at, piece, n, shown, why) ||
        !out_append(file, piece, n, why))
      goto done;
    at += n;
    left -= n;
  }
  ok = out_file_commit(&file, why);
done:
  out_file_abort(file);
  free(piece);
  sys_close(fd);
  return ok;
}

/* ---- the end ---- */

/* The new folder stands where the old one was: on the disk, and the old one, at `aside`, goes. */
static bool drop_old(out_folder *f, const char *aside, fail *why)
{
  if (!out_sync_folder(f->parent, f->path, why))
    return false;
  free(f->temp);
  f->temp = NULL;
  if (!remove_flat(aside))
    return fail_set(why, FAIL_IO, f->path, "is complete, but the old folder is still at %s", aside);
  return true;
}

/* Where folders cannot be exchanged: the old one aside, the new one in. */
static bool replace_in_two(out_folder *f, fail *why)
{
  char *aside = make_beside(f, "old", why); /* an empty folder is what rename may replace */
  bool ok = false;
  if (aside == NULL)
    return false;
  if (!sys_rename(f->path, aside)) {
    fail_system(why, f->path, "move the old folder aside", errno);
    sys_remove_folder(SYS_CWD, aside);
  } else if (sys_rename(f->temp, f->path)) {
    ok = drop_old(f, aside, why);
  } else {
    int error = errno;
    if (sys_rename(aside, f->path))
      fail_system(why, f->path, "rename the finished folder", error);
    else
      fail_set(why, FAIL_IO, f->path, "cannot be put in place; the old folder is now %s", aside);
  }
  free(aside);
  return ok;
}

/* Both folders change places at one moment, so that no reader misses one. */
static bool replace(out_folder *f, fail *why)
{
  char *aside;
  bool ok;
  if (!sys_exchange(f->temp, f->path)) {
    if (errno == ENOSYS || errno == EINVAL || errno == ENOTSUP)
      return replace_in_two(f, why);
    return fail_system(why, f->path, "exchange it with the finished folder", errno);
  }
  aside = strdup(f->temp);
  ok = aside != NULL ? drop_old(f, aside, why) : fail_memory(why, f->path);
  if (!ok && f->temp != NULL)
    sys_exchange(f->temp, f->path); /* reported as failed, so the old one stays */
  free(aside);
  return ok;
}

bool out_folder_sync(const out_folder *f, fail *why)
{
  return out_sync_folder(f->temp, f->path, why);
}

static bool publish(out_folder *f, fail *why)
{
  bool old;
  if (!out_folder_sync(f, why) || !check_target(f->path, f->force, &old, why))
    return false;
  if (old)
    return replace(f, why);
  if (!sys_rename(f->temp, f->path))
    return fail_system(why, f->path, "rename the finished folder", errno);
  bool ok = out_sync_folder(f->parent, f->path, why);
  if (ok || !sys_rename(f->path, f->temp)) { /* reported as failed, so it must not be there */
    free(f->temp);
    f->temp = NULL;
  }
  return ok;
}

bool out_folder_commit(out_folder **folder, fail *why)
{
  out_folder *f = *folder;
  *folder = NULL;
  bool ok = publish(f, why);
  out_folder_abort(f);
  return ok;
}

void out_folder_abort(out_folder *f)
{
  if (f == NULL)
    return;
  if (f->temp != NULL && !f->lent)
    remove_flat(f->temp);
  free(f->temp);
  free(f->name);
  free(f->parent);
  free(f->path);
  free(f);
}
